package traffic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/scaling"
)

const configuration = `
global
  stats socket %s mode 600 level %s
defaults
  mode tcp
  timeout connect 1s
  timeout client 10s
  timeout server 10s
frontend f
  bind unix@%s
  default_backend customers
backend customers
  server coordinator 127.0.0.1:1
  server-template worker 3 0.0.0.0:1 check disabled
backend partners
  server-template worker 3 0.0.0.0:1 check disabled
`

// haproxy starts a real one and gives its runtime API.
func haproxy(t *testing.T, level string) *HAProxy {
	t.Helper()
	program, err := exec.LookPath("haproxy")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/haproxy")
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("haproxy is not installed, and in CI a real one must do what it is told; install Debian's haproxy")
		}
		t.Skip("haproxy is not installed; with it this test steers a real one (Debian: apt-get install haproxy)")
	}
	// The path of a unix socket has at most 107 characters, and a test's own directory may be deep.
	dir, err := os.MkdirTemp("", "traffic")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket, file := filepath.Join(dir, "admin"), filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, fmt.Appendf(nil, configuration, socket, level, filepath.Join(dir, "front")), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-q", "-db", "-f", file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for limit := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			break
		} else if time.Now().After(limit) {
			t.Fatal(err)
		}
	}
	h, err := ParseHAProxy("unix:" + socket)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// slots says how a backend's slots stand, those that are free left out.
func (h *HAProxy) slots(t *testing.T, backend string) string {
	t.Helper()
	all, err := h.servers(t.Context(), backend)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range all {
		text := fmt.Sprintf("%s %s asked at %s", s.name, s.addr, s.check)
		switch {
		case s.admin&adminMaint != 0:
			continue
		case s.admin&adminDrain != 0:
			text += " drains"
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func route(node journal.NodeID) scaling.Route {
	return scaling.Route{
		Node: node, Customer: fmt.Sprintf("127.0.0.1:%d1", 100+node), Partner: fmt.Sprintf("[::1]:%d2", 100+node), Operator: fmt.Sprintf("127.0.0.1:%d3", 100+node),
	}
}

func TestHAProxy_TheRealOneDoesWhatItIsTold(t *testing.T) {
	h := haproxy(t, "admin")
	f := func(customers, partners string, routes ...scaling.Route) {
		t.Helper()
		for range 2 { // told again, it changes nothing
			if err := h.Steer(t.Context(), routes); err != nil {
				t.Fatal(err)
			}
			const coordinator = "coordinator 127.0.0.1:1 asked at invalid AddrPort"
			if got, want := h.slots(t, "customers"), strings.TrimSuffix(coordinator+"; "+customers, "; "); got != want {
				t.Errorf("customers: %s\nwant %s", got, want)
			}
			if got := h.slots(t, "partners"); got != partners {
				t.Errorf("partners: %s\nwant %s", got, partners)
			}
		}
	}
	f("", "")
	f("worker1 127.0.0.1:1011 asked at 127.0.0.1:1013", "worker1 [::1]:1012 asked at 127.0.0.1:1013", route(1))
	draining := route(1)
	draining.Draining = true
	f("worker1 127.0.0.1:1011 asked at 127.0.0.1:1013 drains; worker2 127.0.0.1:1021 asked at 127.0.0.1:1023",
		"worker1 [::1]:1012 asked at 127.0.0.1:1013 drains; worker2 [::1]:1022 asked at 127.0.0.1:1023", route(2), draining)
	f("worker2 127.0.0.1:1021 asked at 127.0.0.1:1023", "worker2 [::1]:1022 asked at 127.0.0.1:1023", route(2))
	// A worker whose readiness is asked for elsewhere, and one without a door for partners.
	moved, half := route(2), route(3)
	moved.Operator, half.Partner = "127.0.0.1:999", ""
	f("worker1 127.0.0.1:1031 asked at 127.0.0.1:1033; worker2 127.0.0.1:1021 asked at 127.0.0.1:999", "worker2 [::1]:1022 asked at 127.0.0.1:999", moved, half)
	f("worker1 127.0.0.1:1051 asked at 127.0.0.1:1053; worker3 127.0.0.1:1041 asked at 127.0.0.1:1043",
		"worker1 [::1]:1042 asked at 127.0.0.1:1043; worker3 [::1]:1052 asked at 127.0.0.1:1053", route(4), route(5))
	f("", "")

	err := h.Steer(t.Context(), []scaling.Route{route(1), route(2), route(3), route(4)})
	if err == nil || !strings.Contains(err.Error(), "backend customers has 3 slots, all of them taken, and 1 workers have come") || !errors.Is(err, ErrHAProxy) {
		t.Errorf("%v", err)
	}
}

func TestHAProxy_WhoCannotSteerIsToldWhy(t *testing.T) {
	if err := haproxy(t, "operator").Steer(t.Context(), []scaling.Route{route(1)}); err == nil || !strings.Contains(err.Error(), "level admin") {
		t.Errorf("a socket without the right: %v", err)
	}
	h := haproxy(t, "admin")
	h.Customers = "nobody"
	if err := h.Steer(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "Can't find backend") {
		t.Errorf("a backend that there is not: %v", err)
	}
	gone := &HAProxy{Network: "unix", Address: "/nowhere/admin.sock", Customers: "c"}
	if err := gone.Steer(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "is it running") {
		t.Errorf("a socket that there is not: %v", err)
	}
	if err := h.Steer(t.Context(), make([]scaling.Route, RoutesMax+1)); err == nil || !strings.Contains(err.Error(), "there may be 1000") {
		t.Errorf("too many: %v", err)
	}
}

// What stands in a route has come from other nodes. It never becomes a command of its own.
func TestHAProxy_AnAddressIsNeverACommand(t *testing.T) {
	h := haproxy(t, "admin")
	for _, addr := range []string{"127.0.0.1:1; shutdown sessions server customers/coordinator", "127.0.0.1:1\nset server customers/coordinator state maint", "worker.bank.example:8080", "0.0.0.0:80", "127.0.0.1:0", ":80", "fe80::1%eth0:80"} {
		for _, r := range []scaling.Route{{Node: 7, Customer: addr}, {Node: 7, Partner: addr}, {Node: 7, Customer: "127.0.0.1:1", Operator: addr}} {
			if err := h.Steer(t.Context(), []scaling.Route{r}); err == nil || !strings.Contains(err.Error(), "node 7") {
				t.Errorf("%+v: %v", r, err)
			}
		}
	}
	if got := h.slots(t, "customers"); got != "coordinator 127.0.0.1:1 asked at invalid AddrPort" {
		t.Error(got)
	}
}

func TestParseHAProxy(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		h, err := ParseHAProxy(text)
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", text, err, want)
			}
			return
		}
		if got := h.Network + " " + h.Address; got != want {
			t.Errorf("%s: %s, want %q", text, got, want)
		}
	}
	f("unix:/run/haproxy/admin.sock", "unix /run/haproxy/admin.sock")
	f("tcp:127.0.0.1:9999", "tcp 127.0.0.1:9999")
	f("tcp:[::1]:9999", "tcp [::1]:9999")
	f("tcp:10.0.0.7:9999", "on loopback only")
	f("tcp:localhost:9999", "write unix:")
	f("/run/haproxy/admin.sock", "write unix:")
	f("unix:relative", "write unix:")
	f("unix:/"+strings.Repeat("x", 100), "write unix:")
}

// A balancer that answers without end, or never, holds nobody up for longer than the call may take.
func TestEverythingIsBounded_ABalancersAnswers(t *testing.T) {
	f := func(serve func(net.Conn), want string) {
		t.Helper()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				serve(c)
				c.Close()
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		h := &HAProxy{Network: "tcp", Address: l.Addr().String(), Customers: "customers"}
		if err := h.Steer(ctx, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f(func(c net.Conn) { c.Read(make([]byte, 1)); <-t.Context().Done() }, "timeout")
	f(func(c net.Conn) { c.Read(make([]byte, 100)); c.Write(make([]byte, AnswerBytesMax+2)) }, "more than 1048576 bytes")
}

const answer = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n" +
	"3 customers 1 worker1 127.0.0.1 1 4 1 1 0 1 0 1 6 0 0 0 - 9090 - 0 9091 127.0.0.1 - 0\n3 customers 2 worker2 0.0.0.0 0 5 1 1 1 1 0 0 14 0 0 0 - 1 - 0 0 - - 0\n\n"

// FuzzServers: whatever HAProxy answers, what is made of it are commands of one line about slots, for addresses that are wanted.
func FuzzServers(f *testing.F) {
	f.Add(answer)
	f.Add("Can't find backend.\n\n")
	f.Add(strings.ReplaceAll(answer, "worker2", "worker1"))
	f.Add(strings.ReplaceAll(answer, "127.0.0.1", "::ffff:10.0.0.1"))
	f.Add("1\n# be_name srv_name srv_addr srv_admin_state srv_port srv_check_port srv_check_addr\ncustomers worker1 /run/x 4294967295 65536 0 -\n")
	want := []wanted{{addr: netip.MustParseAddrPort("10.0.0.1:80"), check: netip.MustParseAddrPort("10.0.0.1:90")}, {addr: netip.MustParseAddrPort("10.0.0.2:80"), draining: true}}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseServers(text, "customers")
		if err != nil {
			return
		}
		orders, _ := plan("customers", all, want)
		for _, order := range orders {
			if !strings.HasPrefix(order, "set server customers/worker") || strings.ContainsAny(order, ";\n") {
				t.Fatalf("%q", order)
			}
		}
	})
}
