package peer

import (
	"container/list"
	"net"
	"sync"

	"netbank/cluster/journal"
)

// room is the waiting room: accepted connections that have not shown who they are, oldest first. It never holds more than size.
type room struct {
	size int

	mu     sync.Mutex
	guests list.List // of *guest
	closed bool
}

// guest is a connection in the room. Its fields belong to the room's lock.
type guest struct {
	conn   net.Conn
	place  *list.Element // nil once it has left
	pushed bool          // out, by one that came later
}

// enter takes a connection in. When the room is full its oldest guest is closed. It gives nil when the room is closed.
func (r *room) enter(c net.Conn) *guest {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	for r.guests.Len() >= r.size {
		oldest := r.guests.Remove(r.guests.Front()).(*guest)
		oldest.place, oldest.pushed = nil, true
		oldest.conn.Close()
	}
	g := &guest{conn: c}
	g.place = r.guests.PushBack(g)
	return g
}

// leave lets a guest out, and says whether it was still in.
func (r *room) leave(g *guest) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g.place == nil {
		return false
	}
	r.guests.Remove(g.place)
	g.place = nil
	return true
}

// wasPushed says whether a later guest has taken g's place.
func (r *room) wasPushed(g *guest) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return g.pushed
}

// shut closes the room and every guest's connection.
func (r *room) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for e := r.guests.Front(); e != nil; e = e.Next() {
		e.Value.(*guest).conn.Close()
	}
}

// places counts connections whose other side is known, and holds them so that they can be cut.
type places struct {
	limits Limits

	mu      sync.Mutex
	open    map[*Conn]struct{}
	kinds   [kinds]int // accepted
	nodes   map[nodeSide]int
	metered *metrics
	closed  bool
}

// nodeSide is a node, and which side dialled.
type nodeSide struct {
	node     journal.NodeID
	accepted bool
}

func (p *places) most(k kind) int {
	switch k {
	case kindRaft:
		return p.limits.Raft
	case kindStream:
		return p.limits.Streams
	}
	return p.limits.Exchanges
}

// take gives a connection its place: nil, ErrBusy or ErrClosed.
func (p *places) take(c *Conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	side := nodeSide{c.peer.Node, c.accepted}
	switch {
	case p.closed:
		return ErrClosed
	case c.accepted && p.kinds[c.kind] >= p.most(c.kind):
		return ErrBusy
	// Who joins has no number yet.
	case c.peer.Node != 0 && p.nodes[side] >= p.limits.PerNode:
		return ErrBusy
	}
	if c.accepted {
		p.kinds[c.kind]++
	}
	p.nodes[side]++
	p.open[c] = struct{}{}
	p.metered.connections[c.kind][c.peer.Role].Inc()
	return nil
}

// give returns a connection's place. A second time does nothing.
func (p *places) give(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.open[c]; !ok {
		return
	}
	delete(p.open, c)
	if c.accepted {
		p.kinds[c.kind]--
	}
	side := nodeSide{c.peer.Node, c.accepted}
	if p.nodes[side]--; p.nodes[side] == 0 {
		delete(p.nodes, side)
	}
	p.metered.connections[c.kind][c.peer.Role].Dec()
}

// cut closes every connection for which which says so, without a farewell.
func (p *places) cut(which func(*Conn) bool) {
	p.mu.Lock()
	var chosen []*Conn
	for c := range p.open {
		if which(c) {
			chosen = append(chosen, c)
		}
	}
	p.mu.Unlock()
	for _, c := range chosen {
		c.cut()
	}
}

// shut cuts everything, and lets nothing in any more.
func (p *places) shut() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cut(func(*Conn) bool { return true })
}
