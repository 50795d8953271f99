package load

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"
)

// A server that is drained closes connections that wait for a request; who asks next opens another, as a browser does, and has lost nothing.
func TestAConnectionThatTheServerHasClosedInOrderIsOpenedAnew(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, answerOK)
			}
			conn.Close()
		}
	}()
	c := newClient(&Dialer{Addr: ln.Addr().String()}, 0)
	defer c.Close()
	for i := range 3 {
		if _, err := c.Do(request); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		for !hungUp(c.conn) {
			runtime.Gosched()
		}
		c.used = time.Now().Add(-2 * lookAfter)
	}
	if n := c.opened.Load(); n != 3 {
		t.Errorf("%d connections were opened", n)
	}
}
