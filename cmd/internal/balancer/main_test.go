package balancer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
}

// patience bounds what a test waits for.
const patience = 20 * time.Second

// node is a backend: a door that says its name and then sends back what it is sent, and a page that says how it is.
type node struct {
	name   string
	door   *net.TCPListener
	page   *httptest.Server
	answer atomic.Int32                  // of the page
	words  atomic.Value                  // of the page
	frozen atomic.Pointer[chan struct{}] // until it is closed the page does not answer; nil: it does
	came   atomic.Int64                  // connections
	tasks  sync.WaitGroup

	lock  sync.Mutex
	conns []*net.TCPConn
}

func listen(t testing.TB) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

func newNode(t testing.TB, name string) *node {
	t.Helper()
	return newNodeServing(t, name, func(c *net.TCPConn) {
		fmt.Fprintln(c, name)
		io.Copy(c, c)
	})
}

func newNodeServing(t testing.TB, name string, serve func(c *net.TCPConn)) *node {
	t.Helper()
	n := &node{name: name, door: listen(t)}
	n.answer.Store(http.StatusOK)
	n.words.Store("")
	n.page = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if until := n.frozen.Load(); until != nil {
			<-*until
		}
		w.WriteHeader(int(n.answer.Load()))
		io.WriteString(w, n.words.Load().(string))
	}))
	n.tasks.Go(func() {
		for {
			c, err := n.door.AcceptTCP()
			if err != nil {
				return
			}
			n.came.Add(1)
			n.lock.Lock()
			n.conns = append(n.conns, c)
			n.lock.Unlock()
			n.tasks.Go(func() {
				serve(c)
				c.Close()
			})
		}
	})
	t.Cleanup(n.kill)
	return n
}

// kill ends a node as SIGKILL does: nobody listens any more, and every connection is reset.
func (n *node) kill() {
	n.door.Close()
	n.page.CloseClientConnections()
	n.page.Close()
	n.cut()
	n.tasks.Wait()
}

// pause lets the page answer nobody until a channel is closed.
func (n *node) pause(until chan struct{}) { n.frozen.Store(&until) }

// cut resets every connection of the door.
func (n *node) cut() {
	n.lock.Lock()
	defer n.lock.Unlock()
	for _, c := range n.conns {
		abort(c)
	}
	n.conns = nil
}

func (n *node) backend() Backend {
	return Backend{Name: n.name, Ready: n.page.URL + "/readyz", Doors: map[string]string{"door": n.door.Addr().String()}}
}

// start runs a balancer with one front, called door.
func start(t testing.TB, change func(*Config), nodes ...*node) *Balancer {
	t.Helper()
	c := Config{Fronts: []Front{{Name: "door", Addr: "127.0.0.1:0"}}, CheckEvery: 5 * time.Millisecond}
	if change != nil {
		change(&c)
	}
	b, err := Listen(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	set(t, b, nodes...)
	for _, n := range nodes {
		b.await(t, n.name+" ready", func(s Status) bool { return s.state(n.name) == Ready })
	}
	return b
}

func set(t testing.TB, b *Balancer, nodes ...*node) {
	t.Helper()
	var all []Backend
	for _, n := range nodes {
		all = append(all, n.backend())
	}
	if err := b.Set(all); err != nil {
		t.Fatal(err)
	}
}

func (s Status) backend(name string) *BackendStatus {
	for i := range s.Backends {
		if s.Backends[i].Name == name {
			return &s.Backends[i]
		}
	}
	return nil
}

func (s Status) state(name string) State {
	if k := s.backend(name); k != nil {
		return k.State
	}
	return Down
}

// await waits until the balancer's status is as wanted, looking at each change and, for what is only counted, now and then.
func (b *Balancer) await(t testing.TB, what string, ok func(Status) bool) {
	t.Helper()
	limit := time.After(patience)
	for {
		changed := b.Changed()
		if ok(b.Status()) {
			return
		}
		select {
		case <-changed:
		case <-time.After(time.Millisecond):
		case <-limit:
			t.Fatalf("%s: not within %v: %+v", what, patience, b.Status())
		}
	}
}

// client is a connection through the balancer, and the name of the node that it came to.
type client struct {
	*net.TCPConn
	lines *bufio.Reader
}

func dial(t testing.TB, addr net.Addr) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &client{c.(*net.TCPConn), bufio.NewReader(c)}
}

func (c *client) line(t testing.TB) string {
	t.Helper()
	text, err := c.lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(text)
}

// echo sends a line and wants it back.
func (c *client) echo(t testing.TB, text string) {
	t.Helper()
	if _, err := fmt.Fprintln(c, text); err != nil {
		t.Fatal(err)
	}
	if got := c.line(t); got != text {
		t.Fatalf("%q came back as %q", text, got)
	}
}

// wantReset wants the connection to end by a reset, and nothing before.
func (c *client) wantReset(t testing.TB) {
	t.Helper()
	rest, err := io.ReadAll(c.lines)
	if !errors.Is(err, syscall.ECONNRESET) || len(bytes.TrimSpace(rest)) > 0 {
		t.Fatalf("the connection ended with %q and %v, not by a reset", rest, err)
	}
}
