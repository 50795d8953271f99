package edge

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// caller is a client with one connection.
type caller struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, url string) *caller {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &caller{t, c, bufio.NewReader(c)}
}

// ask sends a request, and says whether the answer closes the connection.
func (c *caller) ask() (closes bool) {
	c.t.Helper()
	c.send()
	return c.answer()
}

func (c *caller) send() {
	c.t.Helper()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *caller) answer() (closes bool) {
	c.t.Helper()
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil || r.StatusCode != 200 {
		c.t.Fatalf("%d %v", r.StatusCode, err)
	}
	return r.Close
}

// ended waits until the server has closed the connection.
func (c *caller) ended() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err != io.EOF {
		c.t.Fatalf("%q %v, want the connection's end", b, err)
	}
}

// await waits for a condition.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-limit:
			t.Fatalf("waiting for %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

// Removing SetConnectionClose from Serve failed this.
func TestDrain_EveryAnswerClosesItsConnection(t *testing.T) {
	url, ln := serve(t, NewServer("test", func(*fasthttp.RequestCtx) {}, nil, Limits{}, quiet()), Limits{})
	old := dial(t, url)
	if old.ask() {
		t.Fatal("closed before the drain")
	}
	ln.Drain(true)
	if !old.ask() {
		t.Fatal("the answer keeps its connection")
	}
	old.ended()
	// A balancer that has not noticed yet sends a new one.
	if late := dial(t, url); !late.ask() {
		t.Fatal("the answer keeps a connection that came later")
	}
	await(t, "an empty door", func() bool { return ln.Open() == 0 })
	ln.Drain(false)
	back := dial(t, url)
	for range 2 {
		if back.ask() {
			t.Fatal("closed after the drain has been undone")
		}
	}
}

// Setting no deadline in hasten left the connection open for its idle time-out, and failed this.
func TestDrain_ConnectionsWithoutRequestAreClosed(t *testing.T) {
	url, ln := serve(t, NewServer("test", func(*fasthttp.RequestCtx) {}, nil, Limits{IdleTimeout: time.Hour}, quiet()), Limits{IdleTimeout: time.Hour})
	c := dial(t, url)
	c.ask()
	ln.Drain(true)
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	c.ended()
	await(t, "an empty door", func() bool { return ln.Open() == 0 })
}

func TestDrain_RequestsUnderWayAreFinished(t *testing.T) {
	inside, release := make(chan struct{}), make(chan struct{})
	server := NewServer("test", func(*fasthttp.RequestCtx) { inside <- struct{}{}; <-release }, nil, Limits{}, quiet())
	ln, err := Listen("127.0.0.1:0", Limits{}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, server, ln, Drain{}) }()
	c := dial(t, ln.Addr().String())
	c.send()
	<-inside
	cancel()
	await(t, "the drain", ln.Draining)
	close(release)
	if !c.answer() {
		t.Fatal("the answer keeps its connection")
	}
	c.ended()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}

// As long as balancers may not have noticed, the door is open. A Serve that closed it at once failed this.
func TestDrain_TheDoorStaysOpenWhileBalancersNotice(t *testing.T) {
	ln, err := Listen("127.0.0.1:0", Limits{}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- Serve(ctx, NewServer("test", func(*fasthttp.RequestCtx) {}, nil, Limits{}, quiet()), ln, Drain{Notice: time.Second})
	}()
	cancel()
	await(t, "the drain", ln.Draining)
	if c := dial(t, ln.Addr().String()); !c.ask() {
		t.Fatal("the answer keeps its connection")
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}
