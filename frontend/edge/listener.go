package edge

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Back-off of Accept while the process is short of file descriptors or memory.
const (
	acceptBackoffMin = 5 * time.Millisecond // the first wait
	acceptBackoffMax = time.Second          // the longest
)

// Listen opens a TCP listener for NewServer. The error names the address and what can be done.
func Listen(addr string, limits Limits, logger *slog.Logger) (*Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("edge: cannot listen on %s (is another process using it? choose another address): %w", addr, err)
	}
	return NewListener(ln, limits, logger), nil
}

// Listener accepts at most Limits.Connections at once, closes what comes beyond, and tries again after an error that
// passes: running out of file descriptors would otherwise end the server for good.
type Listener struct {
	net.Listener
	logger *slog.Logger
	max    int64
	open   atomic.Int64
	shed   atomic.Uint64
	closed chan struct{}
	once   sync.Once
}

// NewListener wraps ln.
func NewListener(ln net.Listener, limits Limits, logger *slog.Logger) *Listener {
	return &Listener{Listener: ln, logger: logger, max: int64(limits.withDefaults().Connections), closed: make(chan struct{})}
}

// Open is the number of connections that are open now.
func (l *Listener) Open() int64 { return l.open.Load() }

// Shed is the number of connections that were closed because too many were open.
func (l *Listener) Shed() uint64 { return l.shed.Load() }

// Close stops Accept.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// Accept waits for a connection. It returns an error only when the listener is closed or broken.
func (l *Listener) Accept() (net.Conn, error) {
	backoff := acceptBackoffMin
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			if !passes(err) {
				return nil, err
			}
			l.logger.Warn("edge: cannot accept a connection now; trying again", "error", err, "in", backoff)
			select {
			case <-l.closed:
				return nil, net.ErrClosed
			case <-time.After(backoff):
			}
			backoff = min(2*backoff, acceptBackoffMax)
			continue
		}
		backoff = acceptBackoffMin
		if l.open.Add(1) > l.max {
			l.open.Add(-1)
			l.shed.Add(1)
			c.Close()
			continue
		}
		return &conn{Conn: c, open: &l.open}, nil
	}
}

func passes(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// conn gives its place back once, however often it is closed.
type conn struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

func (c *conn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}
