package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"netbank/cluster/journal"
)

const (
	// SilenceTimeout is how long a connection may go without a sign of life from the other machine: bytes that are not
	// acknowledged, or unanswered keep-alive probes. It is above the 15 s after which a stalled disk ends a follower.
	SilenceTimeout = 20 * time.Second
	// probeEvery is the time between keep-alive probes of a silent connection.
	probeEvery = 5 * time.Second
	// complainEvery is the time between two lines in the log about refused connections.
	complainEvery = time.Second
	// acceptBackoffMax is the longest pause after a failure to accept, as when file descriptors run out.
	acceptBackoffMax = time.Second
)

var keepAlive = net.KeepAliveConfig{Enable: true, Idle: probeEvery, Interval: probeEvery, Count: int(SilenceTimeout/probeEvery) - 1}

// Port is a node's end of the connections to the other nodes. It is safe for concurrent use.
type Port struct {
	cfg      Config
	log      *slog.Logger
	listener net.Listener // nil: dials only
	metrics  *metrics
	room     room
	places   places
	raft     atomic.Pointer[raftLayer]
	renewal  chan struct{} // holds a signal of RenewNow
	ctx      context.Context
	cancel   context.CancelFunc
	serving  sync.WaitGroup
	close    func() error

	changing sync.Mutex // held while shown is replaced
	shown    atomic.Pointer[face]

	complaints struct {
		sync.Mutex
		last  time.Time
		since int // complaints that were left out
	}
}

// face is an identity with the TLS settings made of it.
type face struct {
	id     *Identity
	member *tls.Config // for those that show a certificate
	joiner *tls.Config // for those that have none yet
}

// Listen opens the port. addr is host:port of this machine, with port 0 for any; empty for a node that only dials.
func Listen(addr string, cfg Config) (*Port, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	p := &Port{cfg: cfg, log: cfg.Logger.With("from", "peer"), renewal: make(chan struct{}, 1)}
	p.metrics = newMetrics(p)
	p.room.size = cfg.Limits.Handshakes
	p.places = places{limits: cfg.Limits, open: make(map[*Conn]struct{}), nodes: make(map[nodeSide]int), metered: p.metrics}
	p.shown.Store(p.newFace(cfg.Identity))
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.close = sync.OnceValue(p.shut)
	if err := p.metrics.register(cfg.Registerer); err != nil {
		p.cancel()
		return nil, err
	}
	if addr == "" {
		return p, nil
	}
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	p.listener, err = lc.Listen(p.ctx, "tcp", addr)
	if err != nil {
		p.metrics.unregister(cfg.Registerer)
		p.cancel()
		return nil, fmt.Errorf("peer: cannot listen on %s: %w; choose another address or stop the process that has it", addr, err)
	}
	p.serving.Go(p.accept)
	return p, nil
}

// Addr gives the address on which the port listens, or nil for one that only dials.
func (p *Port) Addr() net.Addr {
	if p.listener == nil {
		return nil
	}
	return p.listener.Addr()
}

// Identity gives what the port shows and trusts now.
func (p *Port) Identity() *Identity { return p.shown.Load().id }

// SetIdentity changes what new connections show and trust; those that stand go on. Cluster, node and role stay.
func (p *Port) SetIdentity(next *Identity) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	return p.set(next)
}

// set needs p.changing.
func (p *Port) set(next *Identity) error {
	if err := p.Identity().replaces(next); err != nil {
		return err
	}
	p.shown.Store(p.newFace(next))
	return nil
}

// Trust changes the authorities that new connections trust, as Identity.Trusting does, and gives the new identity to be stored.
func (p *Port) Trust(authorities ...[]byte) (*Identity, error) {
	p.changing.Lock()
	defer p.changing.Unlock()
	next, err := p.Identity().Trusting(authorities...)
	if err != nil {
		return nil, err
	}
	return next, p.set(next)
}

// Disconnect cuts every connection with a node, as after its removal. Without Admitted's refusal it may come back at once.
func (p *Port) Disconnect(node journal.NodeID) {
	p.places.cut(func(c *Conn) bool { return c.peer.Node == node })
}

// Close cuts every connection and waits up to Limits.CloseTimeout for the handlers. Close Raft before it.
func (p *Port) Close() error { return p.close() }

func (p *Port) shut() error {
	p.cancel()
	if p.listener != nil {
		p.listener.Close()
	}
	p.room.shut()
	p.places.shut()
	p.metrics.unregister(p.cfg.Registerer)
	done := make(chan struct{})
	go func() {
		p.serving.Wait()
		close(done)
	}()
	t := time.NewTimer(p.cfg.Limits.CloseTimeout)
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-t.C:
		return fmt.Errorf("peer: a handler has not returned %v after its connection was cut", p.cfg.Limits.CloseTimeout)
	}
}

func (p *Port) accept() {
	pause := time.Duration(0)
	for {
		raw, err := p.listener.Accept()
		if err != nil {
			if p.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			pause = min(max(2*pause, 5*time.Millisecond), acceptBackoffMax)
			p.complain(fmt.Errorf("peer: cannot accept connections: %w; raise the limit of open files if it is reached", err), "")
			select {
			case <-p.ctx.Done():
				return
			case <-time.After(pause):
			}
			continue
		}
		pause = 0
		boundSilence(raw, SilenceTimeout)
		g := p.room.enter(raw)
		if g == nil {
			raw.Close()
			return
		}
		p.serving.Go(func() { p.serve(raw, g) })
	}
}

// serve lives as long as the connection's handler.
func (p *Port) serve(raw net.Conn, g *guest) {
	handle, err := p.receive(raw, g)
	if !p.room.leave(g) && p.room.wasPushed(g) {
		err = errCrowded
	}
	if p.ctx.Err() != nil && err != nil {
		raw.Close()
		return
	}
	p.metrics.handshakes[resultOf(err)].Inc()
	if err != nil {
		raw.Close()
		p.complain(err, raw.RemoteAddr().String())
		return
	}
	handle()
}

// complain logs that a connection was refused, once a second at most: a stranger must not fill the disk.
func (p *Port) complain(err error, from string) {
	c := &p.complaints
	c.Lock()
	now := p.cfg.Now()
	if d := now.Sub(c.last); d >= 0 && d < complainEvery {
		c.since++
		c.Unlock()
		return
	}
	left := c.since
	c.last, c.since = now, 0
	c.Unlock()
	p.log.Warn("refused a connection", "remote", from, "error", err, "left_out", left)
}

// Conn is a connection to another node, admitted by both sides.
type Conn struct {
	*tls.Conn
	peer     Peer
	kind     kind
	accepted bool
	port     *Port
}

// Peer gives the node at the other end.
func (c *Conn) Peer() Peer { return c.peer }

// Close ends the connection, with TLS's farewell.
func (c *Conn) Close() error {
	c.port.places.give(c)
	return c.Conn.Close()
}

// cut ends the connection at once: a farewell could wait for a peer that does not read.
func (c *Conn) cut() {
	c.port.places.give(c)
	c.NetConn().Close()
}
