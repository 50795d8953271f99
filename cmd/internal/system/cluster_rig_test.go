package system

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"netbank/cmd/internal/bank"
	"netbank/frontend/ops"
)

// coordinator is one node of a cluster under test.
type coordinator struct {
	*process
	name                                      string
	customers, partners, operator, peer, data string
	args                                      []string // how it came to the cluster
}

// trio is a cluster of real processes behind the addresses of the rig's one bank.
type trio struct {
	*rig
	nodes []*coordinator
	doors atomic.Pointer[[]*coordinator] // who alone has open doors for customers and partners; nil: all
	lock  sync.Mutex                     // guards changes of nodes, and reads by other goroutines than the test's
	front atomic.Pointer[[]*coordinator] // who gets connections, the leader first
	token string
}

// newTrio founds a cluster of three and seeds it.
func newTrio(t *testing.T, customers int) *trio {
	t.Helper()
	c := prepareTrio(t, customers)
	addr := ports(t, c.random, 12)
	founders := []string{addr[3], addr[7], addr[11]}
	for i := range 3 {
		c.add(fmt.Sprintf("founder%d", i+1), addr[4*i:4*i+4], "--bootstrap-expect=3", "--join="+strings.Join(founders, ","))
	}
	c.open(c.nodes...)
	return c
}

// prepareTrio opens the doors in front of a cluster, and starts nothing.
func prepareTrio(t *testing.T, customers int) *trio {
	t.Helper()
	c := prepareNodes(t, customers)
	c.forward(c.dev.CustomerAddr, func(n *coordinator) string { return n.customers })
	c.forward(c.dev.PartnerAddr, func(n *coordinator) string { return n.partners })
	return c
}

// prepareNodes opens the operator's door in front of a cluster, and starts nothing.
func prepareNodes(t *testing.T, customers int) *trio {
	t.Helper()
	c := &trio{rig: prepare(t, customers, "fixed:15ms")}
	c.told.newest = make(map[string]uint32)
	token, err := bank.ReadToken(filepath.Join(c.dev.DataDir, c.demo.Operator.TokenFile))
	if err != nil {
		t.Fatal(err)
	}
	c.token = token
	c.front.Store(&[]*coordinator{})
	c.forward(c.dev.OperatorAddr, func(n *coordinator) string { return n.operator })
	return c
}

// open starts the core and the nodes, and seeds them.
func (c *trio) open(nodes ...*coordinator) {
	c.t.Helper()
	c.startCore()
	for _, n := range nodes {
		c.launch(n)
	}
	c.awaitReady(nodes...)
	c.bank = nodes[0].process
	c.use()
}

// add prepares a node with four addresses, and does not start it.
func (c *trio) add(name string, addr []string, args ...string) *coordinator {
	n := &coordinator{name: name, customers: addr[0], partners: addr[1], operator: addr[2], peer: addr[3], data: filepath.Join(c.dev.DataDir, name), args: args}
	c.lock.Lock()
	c.nodes = append(c.nodes, n)
	c.lock.Unlock()
	return n
}

func (c *trio) launch(n *coordinator) {
	c.t.Helper()
	args := append(c.dev.BankArgs(), "--data-dir", n.data, "--customer-addr", n.customers, "--partner-addr", n.partners, "--operator-addr", n.operator)
	if n.peer != "" {
		args = append(args, "--peer-addr", n.peer)
	}
	n.process = start(c.t, labProgram, c.log(n.name), append(args, n.args...)...)
}

func (c *trio) awaitReady(nodes ...*coordinator) {
	c.t.Helper()
	for _, n := range nodes {
		c.await(n.name, func() bool { return c.answers("http://" + n.operator + "/readyz") }, n.process)
	}
	c.look()
}

// use makes customers, a partner and an audit, as open does with one bank.
func (c *trio) use() {
	t := c.t
	t.Helper()
	if err := c.dev.Seed(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.meet()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
				c.look()
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
}

// look finds out who is ready, and who of them leads.
func (c *trio) look() {
	var ready []*coordinator
	c.lock.Lock()
	nodes := slices.Clone(c.nodes)
	c.lock.Unlock()
	for _, n := range nodes {
		if !c.answers("http://" + n.operator + "/readyz") {
			continue
		}
		if m, err := c.members(n); err == nil && m.Leader == m.Self {
			ready = slices.Insert(ready, 0, n)
			continue
		}
		ready = append(ready, n)
	}
	c.front.Store(&ready)
}

// forward passes connections on to the first node that takes them.
func (c *trio) forward(addr string, door func(*coordinator) string) {
	c.t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { l.Close() })
	var turn atomic.Uint64
	leaderOnly := addr == c.dev.OperatorAddr
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			nodes := *c.front.Load()
			if only := c.doors.Load(); only != nil && !leaderOnly {
				nodes = slices.DeleteFunc(slices.Clone(nodes), func(n *coordinator) bool { return !slices.Contains(*only, n) })
			}
			go func() {
				defer in.Close()
				for i := range nodes {
					at := i
					if !leaderOnly { // every node has its share
						at = int((turn.Add(1) + uint64(i)) % uint64(len(nodes)))
					}
					out, err := net.DialTimeout("tcp", door(nodes[at]), time.Second)
					if err != nil {
						continue
					}
					defer out.Close()
					done := make(chan struct{}, 2)
					pass := func(to, from net.Conn) { _, _ = io.Copy(to, from); done <- struct{}{} }
					go pass(out, in)
					go pass(in, out)
					<-done
					return
				}
			}()
		}
	}()
}

// call asks a node's operator's port.
func (c *trio) call(n *coordinator, method, path string, in, out any) error {
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, "http://"+n.operator+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(string(answer))
	}
	return json.Unmarshal(answer, out)
}

func (c *trio) members(n *coordinator) (m ops.Members, err error) {
	err = c.call(n, http.MethodGet, "/api/v1/cluster", nil, &m)
	return m, err
}

// leader waits until a node that is ready leads.
func (c *trio) leader() *coordinator {
	c.t.Helper()
	var leader *coordinator
	c.await("a leader", func() bool {
		for _, n := range c.nodes {
			if n.process == nil || n.ended() {
				continue
			}
			if m, err := c.members(n); err == nil && m.Leader != 0 && m.Leader == m.Self && c.answers("http://"+n.operator+"/readyz") {
				leader = n
				return true
			}
		}
		return false
	})
	return leader
}

// number gives a node's number in the cluster.
func (c *trio) number(n *coordinator) uint32 {
	c.t.Helper()
	m, err := c.members(n)
	if err != nil {
		c.t.Fatal(err)
	}
	return m.Self
}

// joins starts a new coordinator with a token, and waits until it has a vote.
func (c *trio) joins(name string) *coordinator {
	c.t.Helper()
	n := c.add(name, ports(c.t, c.random, 4), "--join-token-file", c.invite(name, ops.RoleCoordinator, 1))
	c.launch(n)
	c.awaitReady(n)
	c.await(name+"'s vote", func() bool {
		m, err := c.members(n)
		return err == nil && slices.ContainsFunc(m.Nodes, func(one ops.Node) bool { return one.Self && one.Voter })
	}, n.process)
	return n
}

// works starts a new worker with a token.
func (c *trio) works(name string) *coordinator {
	c.t.Helper()
	n := c.add(name, append(ports(c.t, c.random, 3), ""), "--role=worker", "--join-token-file", c.invite(name, ops.RoleWorker, 1))
	c.launch(n)
	c.awaitReady(n)
	return n
}

// invite makes a token for so many nodes, in a file.
func (c *trio) invite(name, role string, uses int) string {
	t := c.t
	t.Helper()
	var made ops.Change
	if err := c.call(c.leader(), http.MethodPost, "/api/v1/cluster/tokens", ops.TokenRequest{Role: role, Uses: uses, LifetimeSeconds: 600, Reason: "test"}, &made); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(c.dev.DataDir, name+".token")
	if err := os.WriteFile(file, []byte(made.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
