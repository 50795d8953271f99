package edge

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
	"github.com/valyala/fasthttp"
)

// behind runs a server that answers with its client's address, and believes the balancers named.
func behind(t *testing.T, logger *slog.Logger, balancers ...string) (string, *Listener) {
	t.Helper()
	proxies, err := ParseProxies(balancers)
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer("test", func(ctx *fasthttp.RequestCtx) { ctx.WriteString(ctx.RemoteAddr().String()) }, nil, Limits{}, logger)
	ln, err := Listen("127.0.0.1:0", Limits{}, logger)
	if err != nil {
		t.Fatal(err)
	}
	ln.Trust(proxies)
	go server.Serve(ln)
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String(), ln
}

// say sends bytes, and gives everything that is answered.
func say(t *testing.T, addr, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	// A connection that is refused with bytes unread is reset, which is an answer, too.
	all, _ := io.ReadAll(c)
	return string(all)
}

func header(t testing.TB, version byte, from string) string {
	t.Helper()
	source, err := net.ResolveTCPAddr("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	h := proxyproto.HeaderProxyFromAddrs(version, source, &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 443})
	text, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const request = "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.9\r\nConnection: close\r\n\r\n"

func TestProxies_ABalancerIsBelievedWhoItsClientIs(t *testing.T) {
	addr, ln := behind(t, quiet(), "10.0.0.0/8", "127.0.0.1")
	if got := say(t, addr, header(t, 2, "203.0.113.7:4711")+request); !strings.HasSuffix(got, "\r\n203.0.113.7:4711") {
		t.Errorf("%q", got)
	}
	if n := ln.Unannounced(); n != 0 {
		t.Errorf("%d unannounced", n)
	}
}

// A listener that believed everybody failed this.
func TestProxies_NobodyElseIsBelieved(t *testing.T) {
	addr, _ := behind(t, quiet(), "10.0.0.0/8")
	if got := say(t, addr, header(t, 2, "203.0.113.7:4711")+request); strings.Contains(got, "203.0.113.7") || strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("%q", got)
	}
	if got := say(t, addr, request); !strings.Contains(got, "\r\n127.0.0.1:") {
		t.Errorf("%q", got)
	}
}

func TestProxies_ABalancerThatNamesNobodyIsRefused(t *testing.T) {
	var logs bytes.Buffer
	addr, ln := behind(t, slog.New(slog.NewTextHandler(&logs, nil)), "127.0.0.1")
	for i, text := range []string{request, header(t, 1, "203.0.113.7:4711") + request, header(t, 2, "203.0.113.7:4711")[:20]} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, text)
		c.(*net.TCPConn).CloseWrite()
		if all, _ := io.ReadAll(c); len(all) > 0 {
			t.Errorf("%q is answered with %q", text, all)
		}
		c.Close()
		await(t, "the refusal", func() bool { return ln.Unannounced() == uint64(i+1) && ln.Open() == 0 })
	}
	ln.Close()
	if text := logs.String(); strings.Count(text, "send-proxy-v2") != 1 || strings.Contains(text, "203.0.113.7") {
		t.Errorf("%s", text)
	}
}

func TestParseProxies(t *testing.T) {
	f := func(want string, all ...string) {
		t.Helper()
		p, err := ParseProxies(all)
		got := ""
		for _, prefix := range p {
			got += prefix.String() + " "
		}
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q gives %q, want %q", all, got, want)
		}
	}
	f("10.0.0.7/32 fd00::/64 ", "10.0.0.7", "fd00::/64")
	f("no balancer's address", "balancer.bank.example")
	f("no balancer's address", "fe80::1%eth0")
	f("write 10.0.0.0/28 for the network", "10.0.0.7/28")
	f("is everybody", "0.0.0.0/0")
	f("there may be 64", make([]string, ProxiesMax+1)...)
}

// FuzzAnnounced: whatever a balancer sends, the connection is refused or what follows the header arrives as it was sent.
func FuzzAnnounced(f *testing.F) {
	good := header(f, 2, "203.0.113.7:4711")
	f.Add([]byte(good), []byte("GET /"))
	f.Add([]byte(header(f, 2, "[2001:db8::1]:4711")), []byte(strings.Repeat("x", 1000)))
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"), []byte("local"))
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff"), []byte("long"))
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x02"), []byte("short"))
	f.Add([]byte(header(f, 1, "203.0.113.7:4711")), []byte("one"))
	f.Add([]byte(good[:15]), []byte{})
	f.Fuzz(func(t *testing.T, head, body []byte) {
		proxies, err := ParseProxies([]string{"127.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		l := NewListener(pipeListener{}, Limits{}, quiet())
		l.Trust(proxies)
		c := l.announced(&fixed{Reader: bytes.NewReader(append(bytes.Clone(head), body...))})
		got, err := io.ReadAll(c)
		if err != nil {
			if len(got) > 0 {
				t.Fatalf("refused (%v) behind %d bytes", err, len(got))
			}
			return
		}
		if !bytes.HasSuffix(append(bytes.Clone(head), body...), got) {
			t.Fatalf("%d bytes came through that were not sent", len(got))
		}
		_, _ = c.RemoteAddr().String(), c.LocalAddr().String()
	})
}

// pipeListener has an address and nothing else.
type pipeListener struct{ net.Listener }

func (pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// fixed is a connection from loopback whose bytes are known.
type fixed struct {
	io.Reader
	net.Conn
}

func (c *fixed) Read(b []byte) (int, error)      { return c.Reader.Read(b) }
func (c *fixed) RemoteAddr() net.Addr            { return pipeListener{}.Addr() }
func (c *fixed) LocalAddr() net.Addr             { return pipeListener{}.Addr() }
func (c *fixed) SetReadDeadline(time.Time) error { return nil }
