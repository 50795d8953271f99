package loadtest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"netbank/bench/load"
)

// Pool gives clients of a server that answers every request with what answer gives: the bytes of a whole response, see Reply. The
// pool is closed when the test ends.
func Pool(t *testing.T, clients int, answer func(r *http.Request, body string) string) *load.Pool {
	t.Helper()
	dialer := load.Dialer{Dial: func(context.Context) (net.Conn, error) {
		client, server := net.Pipe()
		go serve(server, answer)
		return client, nil
	}}
	pool, err := load.NewPool(t.Context(), dialer, clients)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func serve(conn net.Conn, answer func(r *http.Request, body string) string) {
	defer conn.Close()
	for in := bufio.NewReader(conn); ; {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(r.Body)
		if _, err := io.WriteString(conn, answer(r, string(body))); err != nil {
			return
		}
	}
}

// Reply is a response with that status and body. Each line of header ends in \r\n.
func Reply(status int, header, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d %s\r\n%sContent-Length: %d\r\n\r\n%s", status, http.StatusText(status), header, len(body), body)
}
