package edge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/valyala/fasthttp"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// serve runs a server on loopback until the test ends, and returns its address.
func serve(t *testing.T, server *fasthttp.Server, limits Limits) (string, *Listener) {
	t.Helper()
	ln, err := Listen("127.0.0.1:0", limits, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, server, ln, Drain{Limit: 2 * time.Second}) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return "http://" + ln.Addr().String(), ln
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(body)
}

func TestPanicIsAnsweredAndLoggedWithoutItsValue(t *testing.T) {
	var logs bytes.Buffer
	registry := prometheus.NewRegistry()
	metrics, err := NewMetrics(registry, "test")
	if err != nil {
		t.Fatal(err)
	}
	reference := make(chan string, 1)
	handler := metrics.Route("/x", "page", func(ctx *fasthttp.RequestCtx) {
		reference <- Reference(ctx)
		ctx.WriteString("half a page")
		panic("account 6222")
	})
	fail := func(ctx *fasthttp.RequestCtx, status int) {
		ctx.SetStatusCode(status)
		ctx.WriteString("sorry " + Reference(ctx))
	}
	url, _ := serve(t, NewServer("test", handler, fail, Limits{}, slog.New(slog.NewTextHandler(&logs, nil))), Limits{})
	status, body := get(t, url)
	ref := <-reference
	if status != 500 || body != "sorry "+ref {
		t.Fatalf("%d %q", status, body)
	}
	if text := logs.String(); !strings.Contains(text, ref) || strings.Contains(text, "6222") {
		t.Fatalf("%s", text)
	}
	if got := testutil.ToFloat64(metrics.requests.WithLabelValues("test", "/x", "page", "failed")); got != 1 {
		t.Fatalf("%v failed requests counted", got)
	}
	if status, _ := get(t, url); status != 500 {
		t.Fatal("the server is gone after a panic")
	}
	<-reference
}

func TestEverythingIsBounded_RequestsInFlight(t *testing.T) {
	inside, release := make(chan struct{}), make(chan struct{})
	handler := func(ctx *fasthttp.RequestCtx) { inside <- struct{}{}; <-release }
	fail := func(ctx *fasthttp.RequestCtx, status int) { ctx.SetStatusCode(status) }
	url, _ := serve(t, NewServer("test", handler, fail, Limits{RequestsInFlight: 1}, quiet()), Limits{})
	first := make(chan int)
	go func() { s, _ := get(t, url); first <- s }()
	<-inside
	if status, _ := get(t, url); status != 503 {
		t.Fatalf("%d, want 503", status)
	}
	close(release)
	if status := <-first; status != 200 {
		t.Fatalf("%d", status)
	}
}

func TestEverythingIsBounded_ConnectionsBeyondTheLimitAreClosed(t *testing.T) {
	url, ln := serve(t, NewServer("test", func(*fasthttp.RequestCtx) {}, nil, Limits{}, quiet()), Limits{Connections: 1})
	address := strings.TrimPrefix(url, "http://")
	one, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(one, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := one.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	two, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := two.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatal("the second connection is served")
	}
	two.Close()
	if ln.Shed() != 1 {
		t.Fatalf("%d shed", ln.Shed())
	}
	one.Close()
}

// starved fails with EMFILE a few times.
type starved struct {
	net.Listener
	left atomic.Int32
}

func (s *starved) Accept() (net.Conn, error) {
	if s.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return s.Listener.Accept()
}

func TestListenerOutlivesAShortageOfDescriptors(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hungry := &starved{Listener: inner}
	hungry.left.Store(3)
	ln := NewListener(hungry, Limits{}, quiet())
	defer ln.Close()
	go func() {
		if c, err := net.Dial("tcp", inner.Addr().String()); err == nil {
			c.Close()
		}
	}()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	c.Close()
	if ln.Open() != 0 {
		t.Fatalf("%d open", ln.Open())
	}
	ln.Close()
	if _, err := ln.Accept(); err == nil || passes(err) {
		t.Fatalf("Accept after Close: %v", err)
	}
}

func TestTakenPortIsNamedWithItsRemedy(t *testing.T) {
	first, err := Listen("127.0.0.1:0", Limits{}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	_, err = Listen(first.Addr().String(), Limits{}, quiet())
	if err == nil || !strings.Contains(err.Error(), first.Addr().String()) || !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("%v", err)
	}
}

func TestReferenceIsTheSameWithinARequestOnly(t *testing.T) {
	seen := make(chan [2]string, 1)
	url, _ := serve(t, NewServer("test", func(ctx *fasthttp.RequestCtx) { seen <- [2]string{Reference(ctx), Reference(ctx)} }, nil, Limits{}, quiet()), Limits{})
	known := map[string]bool{}
	for range 100 {
		get(t, url)
		pair := <-seen
		if pair[0] != pair[1] || known[pair[0]] || len(pair[0]) != 11 {
			t.Fatalf("%v", pair)
		}
		known[pair[0]] = true
	}
}

func TestListenersShareOneRegisterer(t *testing.T) {
	registry := prometheus.NewRegistry()
	for _, name := range []string{"customer", "partner"} {
		m, err := NewMetrics(registry, name)
		if err != nil {
			t.Fatal(err)
		}
		m.Route("/", "page", func(ctx *fasthttp.RequestCtx) {})
		ln := NewListener(nil, Limits{}, quiet())
		if err := m.Watch(registry, ln); err != nil {
			t.Fatal(err)
		}
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Fatalf("%v %v", problems, err)
	}
}

func BenchmarkRoute(b *testing.B) {
	m, err := NewMetrics(prometheus.NewRegistry(), "bench")
	if err != nil {
		b.Fatal(err)
	}
	handler := m.Route("/", "page", func(*fasthttp.RequestCtx) {})
	ctx := &fasthttp.RequestCtx{}
	b.ReportAllocs()
	for b.Loop() {
		handler(ctx)
	}
}

// A process that is asked to end in the moment it has started ends. Removing the Close behind the shutdown made this hang.
func TestServeEndsWhenItIsAskedToBeforeItHasBegun(t *testing.T) {
	for range 20 {
		ln, err := Listen("127.0.0.1:0", Limits{}, quiet())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := Serve(ctx, NewServer("test", func(*fasthttp.RequestCtx) {}, nil, Limits{}, quiet()), ln, Drain{}); err != nil {
			t.Fatal(err)
		}
	}
}

// A node that comes to a cluster behind a balancer of connections would otherwise never serve those who came before it.
func TestAConnectionIsNotKeptForEver(t *testing.T) {
	limits := Limits{ConnectionAge: 20 * time.Millisecond}
	url, _ := serve(t, NewServer("test", func(*fasthttp.RequestCtx) {}, nil, limits, quiet()), limits)
	c := dial(t, url)
	for !c.ask() {
	}
	c.ended()
	url, _ = serve(t, NewServer("test", func(*fasthttp.RequestCtx) {}, nil, Limits{}, quiet()), Limits{})
	c = dial(t, url)
	for range 100 {
		if c.ask() {
			t.Fatal("a young connection is closed")
		}
	}
}
