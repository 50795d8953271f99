package balancer

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
)

func TestProxyHeaderComesBeforeTheFirstByte(t *testing.T) {
	a := newNode(t, "a")
	b := start(t, func(c *Config) { c.Fronts[0].ProxyHeader = true }, a)
	c := dial(t, b.Addr("door"))
	c.line(t)
	io.WriteString(c, "hello")
	const signature, version2, tcp4 = "\r\n\r\n\x00\r\nQUIT\n", "\x21", "\x11\x00\x0c"
	want := []byte(signature + version2 + tcp4)
	from, to := c.LocalAddr().(*net.TCPAddr), c.RemoteAddr().(*net.TCPAddr)
	want = append(append(want, from.IP.To4()...), to.IP.To4()...)
	want = binary.BigEndian.AppendUint16(want, uint16(from.Port))
	want = append(binary.BigEndian.AppendUint16(want, uint16(to.Port)), "hello"...)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c.lines, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the backend was sent %q (%v), want %q", got, err, want)
	}
}
