package balancer

import (
	"bytes"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
)

func TestProxyHeaderIsAsItsSpecificationHasIt(t *testing.T) {
	const signature = "0d0a0d0a000d0a515549540a"
	f := func(from, to net.Addr, want string) {
		t.Helper()
		if got := hex.EncodeToString(proxyHeader(from, to)); got != strings.ReplaceAll(want, " ", "") {
			t.Errorf("%s, want %s", got, want)
		}
	}
	tcp := func(ip string, port int) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: port} }
	f(tcp("192.0.2.1", 40000), tcp("198.51.100.7", 443), signature+"21 11 000c c0000201 c6336407 9c40 01bb")
	f(tcp("2001:db8::1", 40000), tcp("2001:db8::2", 443), signature+"21 21 0024 20010db8000000000000000000000001 20010db8000000000000000000000002 9c40 01bb")
	f(tcp("192.0.2.1", 1), tcp("2001:db8::2", 2), signature+"21 21 0024 00000000000000000000ffffc0000201 20010db8000000000000000000000002 0001 0002")
	f(&net.UnixAddr{}, tcp("198.51.100.7", 443), signature+"20 00 0000")
}

func TestProxyHeaderComesBeforeTheFirstByte(t *testing.T) {
	a := newNode(t, "a")
	b := start(t, func(c *Config) { c.Fronts[0].ProxyHeader = true }, a)
	c := dial(t, b.Addr("door"))
	c.line(t)
	io.WriteString(c, "hello")
	want := append(proxyHeader(c.LocalAddr(), c.RemoteAddr()), "hello"...)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c.lines, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the backend was sent %q (%v), want %q", got, err, want)
	}
}
