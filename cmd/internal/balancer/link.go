package balancer

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
)

// link is a client's connection and the backend's that belongs to it.
type link struct {
	front   *front
	backend *backend
	client  *net.TCPConn
	server  *net.TCPConn
	lost    func()       // called when the backend ends the connection before the client does, and before the client can know
	broken  atomic.Bool  // by reset
	ended   atomic.Int32 // directions whose end was passed on
}

// undelivered is a failure of who was to receive.
type undelivered struct{ error }

func (u *undelivered) Unwrap() error { return u.error }

// reset breaks both connections so that both ends see it.
func (l *link) reset() {
	l.broken.Store(true)
	abort(l.client)
	abort(l.server)
}

// carry carries both directions until both have ended, and closes both connections.
func (l *link) carry() {
	if l.front.ProxyHeader {
		if _, err := proxyproto.HeaderProxyFromAddrs(2, l.client.RemoteAddr(), l.client.LocalAddr()).WriteTo(l.server); err != nil {
			l.reset()
			return
		}
	}
	var up sync.WaitGroup
	up.Go(func() { l.direction(l.server, l.client, &l.front.bytesUp) })
	l.direction(l.client, l.server, &l.front.bytesDown)
	up.Wait()
	l.client.Close()
	l.server.Close()
}

// direction carries what src sends to dst, until that half of the connection has ended.
func (l *link) direction(dst, src *net.TCPConn, count *atomic.Uint64) {
	err := forward(dst, src, count)
	if src == l.server && l.ended.Load() == 0 && !l.broken.Load() && !errors.As(err, new(*undelivered)) {
		l.lost()
	}
	if err == nil {
		if failed := dst.CloseWrite(); failed != nil {
			err = &undelivered{failed}
		}
	}
	if lost := new(undelivered); errors.As(err, &lost) && l.ended.Load() > 0 {
		// dst has said all that it had to say, and that is on its way to src: a reset would take it back. src may finish.
		_ = src.SetReadDeadline(time.Now().Add(lingerLimit))
		_, _ = io.Copy(io.Discard, src)
		l.client.Close()
		l.server.Close()
		return
	}
	if err != nil {
		l.reset()
		return
	}
	l.ended.Add(1)
	_ = dst.SetReadDeadline(time.Now().Add(halfClosedLimit))
}

// buffers are shared by all connections: one that waits for bytes holds none.
var buffers = sync.Pool{New: func() any { return new([bufferBytes]byte) }}

// forward copies until the end of src. It reads when there is something to read, and takes a buffer only then: thousands of idle connections
// hold no memory. io.Copy would splice, which needs a pipe of two more file descriptors for each direction while it waits; for messages of
// a kilobyte it is as fast (BenchmarkForward).
func forward(dst, src *net.TCPConn, count *atomic.Uint64) error {
	raw, err := src.SyscallConn()
	if err != nil {
		return err
	}
	var (
		buffer *[bufferBytes]byte
		n      int
		failed error
	)
	read := func(fd uintptr) bool {
		buffer = buffers.Get().(*[bufferBytes]byte)
		for {
			n, failed = syscall.Read(int(fd), buffer[:])
			if !errors.Is(failed, syscall.EINTR) {
				break
			}
		}
		if errors.Is(failed, syscall.EAGAIN) {
			buffers.Put(buffer)
			return false
		}
		return true
	}
	for {
		if err := raw.Read(read); err != nil {
			return err
		}
		if failed == nil && n == 0 {
			buffers.Put(buffer)
			return nil
		}
		if failed == nil {
			count.Add(uint64(n))
			_ = dst.SetWriteDeadline(time.Now().Add(stalledLimit))
			if _, err := dst.Write(buffer[:n]); err != nil {
				failed = &undelivered{err}
			}
		}
		buffers.Put(buffer)
		if failed != nil {
			return failed
		}
	}
}
