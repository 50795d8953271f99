package balancer

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// exchange sends a kilobyte and reads a kilobyte, as a request and its answer.
func exchange(b *testing.B, addr net.Addr) {
	c := dial(b, addr)
	c.line(b)
	_ = c.SetDeadline(time.Time{})
	message := make([]byte, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(message); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c.lines, message); err != nil {
			b.Fatal(err)
		}
	}
}

// What a request pays for its way through the balancer: compare both.
func BenchmarkExchange_Direct(b *testing.B) { exchange(b, newNode(b, "a").door.Addr()) }

func BenchmarkExchange_Balanced(b *testing.B) {
	exchange(b, start(b, nil, newNode(b, "a")).Addr("door"))
}

// What a new connection pays.
func BenchmarkConnect_Direct(b *testing.B) {
	addr := newNode(b, "a").door.Addr()
	for b.Loop() {
		c := dial(b, addr)
		c.line(b)
		c.Close()
	}
}

func BenchmarkConnect_Balanced(b *testing.B) {
	addr := start(b, nil, newNode(b, "a"), newNode(b, "b"), newNode(b, "c")).Addr("door")
	for b.Loop() {
		c := dial(b, addr)
		c.line(b)
		c.Close()
	}
}

// forward beside io.Copy, which splices: a kilobyte there and back over four connections.
func BenchmarkForward(b *testing.B) {
	f := func(name string, copying func(dst, src *net.TCPConn)) {
		b.Run(name, func(b *testing.B) {
			target, front := newNode(b, "a"), listen(b)
			go func() {
				in, err := front.AcceptTCP()
				if err != nil {
					return
				}
				out, err := net.Dial("tcp", target.door.Addr().String())
				if err != nil {
					return
				}
				go copying(in, out.(*net.TCPConn))
				copying(out.(*net.TCPConn), in)
				in.Close()
				out.Close()
			}()
			exchange(b, front.Addr())
		})
	}
	f("read", func(dst, src *net.TCPConn) { var n atomic.Uint64; _ = forward(dst, src, &n) })
	f("splice", func(dst, src *net.TCPConn) { _, _ = io.Copy(dst, src) })
}
