package peer

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

const (
	// RaftTimeoutDefault bounds one exchange of Raft over the network; that of a snapshot grows with its size.
	RaftTimeoutDefault = 5 * time.Second
	// RaftPoolMax is the number of idle connections that Raft keeps to each other coordinator.
	RaftPoolMax = 3
)

// RaftConfig says how Raft uses the port.
type RaftConfig struct {
	// Timeout bounds an exchange. 0: RaftTimeoutDefault.
	Timeout time.Duration
	// Logger gets Raft's lines about its connections. nil: those of level Warn and above go to Config.Logger.
	Logger hclog.Logger
}

// RaftTransport gives Raft its way to the other coordinators. There is one at a time; the next can be made once it is closed. A
// server's address is the node's name (Name), and Config.AddressOf says at every dial where the node is, so a node may
// move without a change of Raft's configuration. Close (raft.WithClose) cuts Raft's connections and leaves the port open.
func (p *Port) RaftTransport(cfg RaftConfig) (raft.Transport, error) {
	self := p.Identity().subject
	if self.Role != Coordinator {
		return nil, fmt.Errorf("%w (%s is a %s)", ErrRole, Name(self.Node), self.Role)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = RaftTimeoutDefault
	}
	if cfg.Logger == nil {
		cfg.Logger = hclog.New(&hclog.LoggerOptions{Name: "raft-net", Level: hclog.Warn, Output: logLines{p.log}, DisableTime: true})
	}
	layer := &raftLayer{port: p, name: nodeAddr(Name(self.Node)), conns: make(chan net.Conn), closed: make(chan struct{})}
	old := p.raft.Load()
	if old != nil && !old.isClosed() || !p.raft.CompareAndSwap(old, layer) {
		return nil, fmt.Errorf("peer: Raft has this port's connections already; close its transport first")
	}
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: layer, MaxPool: RaftPoolMax, Timeout: cfg.Timeout, Logger: cfg.Logger,
		MaxRPCsInFlight: 1, // a follower can wedge with pipelining
	}), nil
}

// raftLayer is Raft's share of a port.
type raftLayer struct {
	port   *Port
	name   nodeAddr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

var _ raft.StreamLayer = (*raftLayer)(nil)

// Accept implements net.Listener.
func (l *raftLayer) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener: Raft's name for this node.
func (l *raftLayer) Addr() net.Addr { return l.name }

// Close implements net.Listener. Raft would leave its connections open.
func (l *raftLayer) Close() error {
	l.once.Do(func() { close(l.closed) })
	l.port.places.cut(func(c *Conn) bool { return c.kind == kindRaft })
	return nil
}

func (l *raftLayer) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// offer hands an accepted connection to Raft, which takes at once or not any more.
func (l *raftLayer) offer(c *Conn) {
	t := time.NewTimer(l.port.cfg.Limits.HandshakeTimeout)
	defer t.Stop()
	select {
	case l.conns <- c:
		// Close cuts what is open when it is called; this one may have come just behind it.
		if !l.isClosed() {
			return
		}
	case <-l.closed:
	case <-l.port.ctx.Done():
	case <-t.C:
	}
	c.cut()
}

// Dial implements raft.StreamLayer. The address is a node's name.
func (l *raftLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	node, err := ParseName(string(address))
	if err != nil {
		return nil, err
	}
	if l.isClosed() {
		return nil, ErrClosed
	}
	ctx, cancel := context.WithTimeout(l.port.ctx, timeout)
	defer cancel()
	c, err := l.port.Dial(ctx, node, ALPNRaft)
	if err != nil {
		return nil, err
	}
	if l.isClosed() { // while it dialled: nobody would close this connection any more
		c.cut()
		return nil, ErrClosed
	}
	return c, nil
}

// nodeAddr is a node's name as a net.Addr.
type nodeAddr string

// Network implements net.Addr.
func (nodeAddr) Network() string { return "netbank" }

// String implements net.Addr.
func (a nodeAddr) String() string { return string(a) }

// logLines makes each line of another logger a warning.
type logLines struct{ to *slog.Logger }

// Write implements io.Writer.
func (l logLines) Write(line []byte) (int, error) {
	l.to.Warn(strings.TrimSpace(string(line)))
	return len(line), nil
}

var _ io.Writer = logLines{}
