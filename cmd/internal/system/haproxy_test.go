package system

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"netbank/frontend/ops"
)

// proxied is a cluster behind a real HAProxy with the configuration of deploy/haproxy. Its nodes have an address each on loopback, and
// the same ports, as they would have on machines of their own.
type proxied struct {
	*trio
	haproxy *process
	ports   []string // of customers, partners, operators and other nodes
}

// newProxied founds a cluster of three behind HAProxy and seeds it.
func newProxied(t *testing.T, customers int) *proxied {
	t.Helper()
	program := tool(t, "haproxy")
	p := &proxied{trio: prepareNodes(t, customers)}
	p.idle = time.Second / 5 // the client looks about that often, so it is twice as much; well below that of a door that is drained
	for _, addr := range ports(t, p.random, 4) {
		_, port, _ := net.SplitHostPort(addr)
		p.ports = append(p.ports, port)
	}
	var founders []string
	for i := range 3 {
		founders = append(founders, net.JoinHostPort(p.host(i), p.ports[3]))
	}
	// The path of a unix socket has at most 107 characters, and a test's own directory may be deep.
	dir, err := os.MkdirTemp("", "haproxy")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "admin")
	for i := range 3 {
		p.add(fmt.Sprintf("founder%d", i+1), p.addresses(i), "--proxy-from=127.0.0.0/8", "--traffic=haproxy=unix:"+socket, "--bootstrap-expect=3", "--join="+strings.Join(founders, ","))
	}
	for name, value := range map[string]string{
		"CUSTOMERS": p.dev.CustomerAddr, "PARTNERS": p.dev.PartnerAddr, "SOCKET": socket, "503": deployed(t, "haproxy", "503.http"),
		"COORDINATOR_1": p.host(0), "COORDINATOR_2": p.host(1), "COORDINATOR_3": p.host(2),
		"CUSTOMER_PORT": p.ports[0], "PARTNER_PORT": p.ports[1], "OPERATOR_PORT": p.ports[2],
	} {
		t.Setenv("NETBANK_"+name, value)
	}
	p.haproxy = start(t, program, p.log("haproxy"), "-db", "-f", deployed(t, "haproxy", "haproxy.cfg"))
	p.open(p.nodes...)
	// It begins by taking every node for one that serves, finds that none does, and looks again a quarter of a second later.
	p.await("HAProxy to see three nodes behind both doors", func() bool { return p.seen(socket) == 6 }, p.haproxy)
	return p
}

// seen is how many of the coordinators' doors have answered HAProxy's looks.
func (p *proxied) seen(socket string) int {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return 0
	}
	defer c.Close()
	if _, err := io.WriteString(c, "show stat\n"); err != nil {
		return 0
	}
	text, _ := io.ReadAll(c)
	return len(servingLine.FindAll(text, -1))
}

var servingLine = regexp.MustCompile(`(?m)^(customers|partners),coordinator\d,.*,UP,.*,L7OK,`)

// host is the address of the node that was made as number i, from 0.
func (p *proxied) host(i int) string { return fmt.Sprintf("127.0.1.%d", i+1) }

func (p *proxied) addresses(i int) (all []string) {
	for _, port := range p.ports {
		all = append(all, net.JoinHostPort(p.host(i), port))
	}
	return all
}

// worker starts a new worker. The leader tells HAProxy of it.
func (p *proxied) worker(name string) *coordinator {
	p.t.Helper()
	addr := p.addresses(len(p.nodes))
	n := p.add(name, append(addr[:3:3], ""), "--proxy-from=127.0.0.0/8", "--role=worker", "--join-token-file", p.invite(name, ops.RoleWorker, 1))
	p.launch(n)
	p.awaitReady(n)
	return n
}

var answeredLine = regexp.MustCompile(`(?m)^netbank_http_requests_total\{.*listener="(\w+)",outcome="answered".*\} (\d+)`)

// answered counts the requests that a node has answered, by door.
func (p *proxied) answered(n *coordinator) map[string]int {
	resp, err := p.client.Get("http://" + n.operator + "/metrics")
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	all := make(map[string]int)
	for _, m := range answeredLine.FindAllSubmatch(text, -1) {
		count, _ := strconv.Atoi(string(m[2]))
		all[string(m[1])] += count
	}
	return all
}

// awaitServing waits until a node has answered customers and partners since it had answered so many.
func (p *proxied) awaitServing(n *coordinator, before map[string]int) {
	p.t.Helper()
	p.await(n.name+" to serve customers and partners", func() bool {
		now := p.answered(n)
		return now["customer"] > before["customer"] && now["partner"] > before["partner"]
	}, n.process, p.haproxy)
}

// order drains or undrains a node by asking another one.
func (p *proxied) order(by, n *coordinator, verb string) {
	p.t.Helper()
	var done ops.Change
	if err := p.call(by, http.MethodPost, fmt.Sprintf("/api/v1/cluster/nodes/%d/%s", p.number(n), verb), ops.NodeRequest{Reason: "test"}, &done); err != nil {
		p.t.Fatal(err)
	}
}

// readiness gives what a node says to balancers.
func (p *proxied) readiness(n *coordinator) string {
	resp, err := p.client.Get("http://" + n.operator + "/readyz?verbose")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}

// Behind a real HAProxy, with partners' certificates through it: workers come and go, the leader is drained and comes back, a coordinator is
// stopped and started again; set NETBANK_RESTARTS=3 for all of them. Nobody has to try anything twice.
func TestNoRequestFails_NodesComeAndGoBehindHAProxy(t *testing.T) {
	p := newProxied(t, 3000)
	l := p.startLoad(shoppers)
	p.progress(l, 10)
	first := p.worker("worker1")
	second := p.worker("worker2")
	p.awaitServing(first, nil)
	p.awaitServing(second, nil)
	p.progress(l, 20)

	leader := p.leader()
	p.order(second, leader, "drain") // any node can be asked
	p.await("the drained node's last client to leave", func() bool { return strings.Contains(p.readiness(leader), "and nobody is left") }, leader.process)
	if p.leader() == leader {
		t.Error("a drained node leads")
	}
	before := p.answered(leader)
	p.progress(l, 10)
	if now := p.answered(leader); now["customer"] != before["customer"] || now["partner"] != before["partner"] {
		t.Errorf("a drained node has served: %v, and before %v", now, before)
	}
	p.order(first, leader, "undrain")
	p.awaitServing(leader, before)

	if code := first.stop(t); code != 0 {
		t.Errorf("%s ended with %d\n%s", first.name, code, first.tail())
	}
	p.progress(l, 10)
	for _, n := range p.nodes[:min(times(t, "NETBANK_RESTARTS", 1), 3)] {
		if code := n.stop(t); code != 0 {
			t.Errorf("%s ended with %d\n%s", n.name, code, n.tail())
		}
		p.progress(l, 5)
		p.launch(n)
		p.awaitReady(n)
		p.awaitServing(n, nil)
	}
	p.progress(l, 10)
	l.finish()
	if l.failed.Load() > 0 || l.repeated.Load() > 0 || l.turned.Load() > 0 {
		t.Errorf("%d customers have had no answer, %d calls were repeated, %d pages said \"not now\"\n%s", l.failed.Load(), l.repeated.Load(), l.turned.Load(), p.haproxy.tail())
	}
	p.bank = p.leader().process
	p.audit()
}
