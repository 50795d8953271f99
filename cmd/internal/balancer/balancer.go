package balancer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Balancer is a running balancer.
type Balancer struct {
	config Config
	logger *slog.Logger
	fronts []*front
	ctx    context.Context // done when the balancer is closed
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	lock     sync.Mutex
	backends []*backend // in the order of Set; those that are leaving stand last
	leader   string
	turn     int
	changed  chan struct{} // closed at the next change of a backend
	closed   bool
	links    map[*link]struct{}
}

// front is a listener and what it has done.
type front struct {
	Front
	listener *net.TCPListener
	refusals atomic.Int64 // under way

	open      atomic.Int64
	accepted  atomic.Uint64
	refused   atomic.Uint64 // beyond the limit
	unserved  atomic.Uint64 // no backend took them in time
	warned    atomic.Int64  // when a refusal was last logged, in nanoseconds since the epoch
	bytesUp   atomic.Uint64 // from clients
	bytesDown atomic.Uint64 // to clients
}

// Listen opens every front and serves them until Close. There are no backends yet: connections wait for them.
func Listen(c Config) (*Balancer, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	b := &Balancer{config: c, logger: c.Logger, changed: make(chan struct{}), links: make(map[*link]struct{})}
	for _, f := range c.Fronts {
		l, err := net.Listen("tcp", f.Addr)
		if err != nil {
			for _, open := range b.fronts {
				open.listener.Close()
			}
			return nil, fmt.Errorf("balancer: cannot listen on %s for %s: %w; stop who has it, or choose another address", f.Addr, f.Name, err)
		}
		b.fronts = append(b.fronts, &front{Front: f, listener: l.(*net.TCPListener)})
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	for _, f := range b.fronts {
		b.tasks.Go(func() { b.accept(f) })
	}
	return b, nil
}

// Addr gives the address that a front listens on, or nil when there is no such front.
func (b *Balancer) Addr(name string) net.Addr {
	for _, f := range b.fronts {
		if f.Name == name {
			return f.listener.Addr()
		}
	}
	return nil
}

// Set replaces the backends. One that is no longer among them gets no new connections; those that it has go on. One whose addresses
// have changed counts as another.
func (b *Balancer) Set(all []Backend) error {
	if err := b.config.checkBackends(all); err != nil {
		return err
	}
	b.lock.Lock()
	defer b.lock.Unlock()
	if b.closed {
		return ErrClosed
	}
	before := b.backends
	b.backends = nil
	for _, want := range all {
		i := slices.IndexFunc(before, func(old *backend) bool { return !old.leaving && old.same(want) })
		if i < 0 {
			b.backends = append(b.backends, b.begin(want))
			continue
		}
		b.backends = append(b.backends, before[i])
		before = slices.Delete(slices.Clone(before), i, i+1)
	}
	for _, old := range before {
		old.leaving = true
		old.end()
		if old.open > 0 {
			b.backends = append(b.backends, old)
		}
	}
	b.tell()
	return nil
}

// begin makes a backend and starts to ask it. The lock is held.
func (b *Balancer) begin(want Backend) *backend {
	want.Doors = maps.Clone(want.Doors)
	k := &backend{Backend: want, since: time.Now(), heard: time.Now(), look: make(chan struct{}, 1)}
	ctx, end := context.WithCancel(b.ctx)
	k.end = end
	b.tasks.Go(func() { b.watch(ctx, k) })
	return k
}

// Lead says which backend leads, by its name; empty: none does.
func (b *Balancer) Lead(name string) {
	b.lock.Lock()
	defer b.lock.Unlock()
	if b.leader == name {
		return
	}
	b.leader = name
	for l := range b.links {
		if !b.mayStay(l) {
			l.reset()
		}
	}
	b.tell()
}

// mayStay reports whether a connection is where it belongs after the leader has changed. The lock is held.
func (b *Balancer) mayStay(l *link) bool {
	return b.leader == "" || l.front.Policy != ToLeader || l.backend.Name == b.leader
}

// Changed gives a channel that is closed at the next change: of a backend's state, of the set, of the leader.
func (b *Balancer) Changed() <-chan struct{} {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.changed
}

// tell wakes who waits for a change. The lock is held.
func (b *Balancer) tell() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// Stop closes the fronts; connections go on.
func (b *Balancer) Stop() {
	for _, f := range b.fronts {
		f.listener.Close()
	}
}

// Close closes the fronts, resets every connection, and returns when nothing of the balancer runs any more.
func (b *Balancer) Close() {
	b.Stop()
	b.lock.Lock()
	b.closed = true
	b.cancel()
	for l := range b.links {
		l.reset()
	}
	b.lock.Unlock()
	b.tasks.Wait()
}

// accept takes a front's connections until it is closed.
func (b *Balancer) accept(f *front) {
	backoff := 5 * time.Millisecond
	for {
		c, err := f.listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			b.logger.Warn("balancer: cannot accept a connection now; trying again", "front", f.Name, "error", err, "in", backoff)
			select {
			case <-b.ctx.Done():
				return
			case <-time.After(backoff):
			}
			backoff = min(2*backoff, acceptBackoffMax)
			continue
		}
		backoff = 5 * time.Millisecond
		f.accepted.Add(1)
		if f.open.Add(1) > int64(b.config.ConnectionsMax) {
			f.open.Add(-1)
			f.refused.Add(1)
			b.refuse(f, c, "too many connections are open")
			continue
		}
		b.tasks.Go(func() {
			defer f.open.Add(-1)
			b.serve(f, c)
		})
	}
}

// serve finds a backend for a connection and carries it.
func (b *Balancer) serve(f *front, client *net.TCPConn) {
	k, server, leader, err := b.connect(f)
	if err != nil {
		f.unserved.Add(1)
		b.refuse(f, client, "no backend took the connection")
		return
	}
	l := &link{front: f, backend: k, client: client, server: server, lost: func() { b.doubt(k) }}
	if !b.join(l, leader) {
		l.reset()
		b.release(k)
		return
	}
	l.carry()
	b.lock.Lock()
	delete(b.links, l)
	b.lock.Unlock()
	b.release(k)
}

// join makes a link known, so that it can be reset; false when that would have happened already: the balancer has been closed since the
// backend was chosen, or another leads.
func (b *Balancer) join(l *link, leader string) bool {
	b.lock.Lock()
	defer b.lock.Unlock()
	if b.closed || b.leader != leader && !b.mayStay(l) {
		return false
	}
	b.links[l] = struct{}{}
	l.backend.taken++
	return true
}

// errNobody says that no backend took a connection in time.
var errNobody = errors.New("balancer: no backend took the connection in time")

// connect opens a connection to the best backend that takes it, and says who led when it was chosen. Each is tried once; then it waits for
// a change.
func (b *Balancer) connect(f *front) (*backend, *net.TCPConn, string, error) {
	limit := time.NewTimer(b.config.hold)
	defer limit.Stop()
	dialer := net.Dialer{Timeout: connectTimeout}
	var tried []*backend
	for {
		k, leader, changed := b.take(f, tried)
		if k != nil {
			c, err := dialer.DialContext(b.ctx, "tcp", k.Doors[f.Name])
			if err == nil {
				return k, c.(*net.TCPConn), leader, nil
			}
			b.failed(k, err)
			tried = append(tried, k)
			select {
			case <-limit.C:
				return nil, nil, "", errNobody
			default:
			}
			continue
		}
		select {
		case <-changed:
			tried = tried[:0]
		case <-limit.C:
			return nil, nil, "", errNobody
		case <-b.ctx.Done():
			return nil, nil, "", ErrClosed
		}
	}
}

// refuse tells a client that it is not served, in the front's words, or resets the connection.
func (b *Balancer) refuse(f *front, c *net.TCPConn, why string) {
	now := time.Now()
	if last := f.warned.Load(); now.UnixNano()-last > int64(time.Second) && f.warned.CompareAndSwap(last, now.UnixNano()) {
		b.logger.Warn("balancer: a connection is refused; further ones within a second are only counted", "front", f.Name, "why", why, "refused", f.refused.Load(), "unserved", f.unserved.Load())
	}
	if len(f.Refusal) == 0 || f.refusals.Add(1) > refusalsMax || b.ctx.Err() != nil {
		if len(f.Refusal) > 0 {
			f.refusals.Add(-1)
		}
		abort(c)
		return
	}
	b.tasks.Go(func() {
		defer f.refusals.Add(-1)
		defer c.Close()
		// Closing with unread bytes would reset the connection, and the words might be lost on the way.
		_ = c.SetDeadline(now.Add(refusalLimit))
		if _, err := c.Write(f.Refusal); err != nil {
			return
		}
		_ = c.CloseWrite()
		var waste [512]byte
		for {
			if _, err := c.Read(waste[:]); err != nil {
				return
			}
		}
	})
}

// abort closes a connection so that the other end sees a reset.
func abort(c *net.TCPConn) {
	_ = c.SetLinger(0)
	c.Close()
}

// refusedNow reports whether an error says that nobody listens, or that the process is gone: no need to ask twice.
func refusedNow(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)
}
