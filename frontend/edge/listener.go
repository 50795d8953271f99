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
// passes: running out of file descriptors would otherwise end the server for good. It can be drained, and it can believe named balancers
// who their clients are.
type Listener struct {
	net.Listener
	logger      *slog.Logger
	max         int64
	readTimeout time.Duration // of a request; whoever waits for longer is idle
	proxies     Proxies
	open        atomic.Int64
	shed        atomic.Uint64
	unannounced atomic.Uint64
	warned      atomic.Int64 // when an unannounced connection was last logged, in nanoseconds since the epoch
	draining    atomic.Bool
	closed      chan struct{}
	once        sync.Once

	lock  sync.Mutex
	conns map[*conn]struct{} // that are open
}

// NewListener wraps ln.
func NewListener(ln net.Listener, limits Limits, logger *slog.Logger) *Listener {
	limits = limits.withDefaults()
	return &Listener{
		Listener: ln, logger: logger, max: int64(limits.Connections), readTimeout: limits.ReadTimeout,
		closed: make(chan struct{}), conns: make(map[*conn]struct{}),
	}
}

// Open is the number of connections that are open now.
func (l *Listener) Open() int64 { return l.open.Load() }

// Full is the part of the places for connections that is taken, 0 to 1.
func (l *Listener) Full() float64 { return float64(l.open.Load()) / float64(l.max) }

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
		return l.adopt(c), nil
	}
}

// adopt makes an accepted connection one of the listener's own.
func (l *Listener) adopt(c net.Conn) *conn {
	own := &conn{Conn: l.announced(c), listener: l}
	l.lock.Lock()
	l.conns[own] = struct{}{}
	l.lock.Unlock()
	return own
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
	listener *Listener
	until    atomic.Int64 // the read deadline that the server has set, in nanoseconds since the epoch
	once     sync.Once
}

func (c *conn) Close() error {
	c.once.Do(func() {
		l := c.listener
		l.lock.Lock()
		delete(l.conns, c)
		l.lock.Unlock()
		l.open.Add(-1)
	})
	return c.Conn.Close()
}
