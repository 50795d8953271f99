package cluster

import (
	"context"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/stream"
	"netbank/cluster/stream/wire"
)

// When a leader whose clock is wrong lets another node lead (rule 7).
const (
	// ClockYieldAt is how far a leader's clock may be from the journal's time before another coordinator is to lead.
	ClockYieldAt = 500 * time.Millisecond
	// ClockHeirMax is how far the other one's may be.
	ClockHeirMax = ClockYieldAt / 2
	// clockYieldAfter is for how long that must have been so: heartbeats may have been held up.
	clockYieldAfter = time.Second
	// clockYieldPause is the time between two tries.
	clockYieldPause = 10 * time.Second
)

// yielder is what a log may have to let another node lead. *replica.Replica has it.
type yielder interface {
	TransferLeadership(ctx context.Context, to journal.NodeID) error
}

// tellTime fills in what a heartbeat says of time: a leader, the journal's; who follows, how far its own clock is from that.
func (n *Node) tellTime(h *wire.Heartbeat) {
	switch {
	case n.gateTerm.Load() == h.Term && h.Term != 0:
		h.StampMs = int64(n.clock.now())
	case n.clock.known.Load():
		off := n.clock.off().Microseconds()
		h.ClockOffUs = &off
	}
}

// hearTime takes the leader's time over. One that says none is of an earlier version.
func (l *leader) hearTime(h *wire.Heartbeat) {
	if h.StampMs <= 0 {
		return
	}
	l.n.clock.hear(journal.Millis(h.StampMs), l.away.timed != l.away.term)
	l.away.timed = l.away.term
}

// yield lets another coordinator lead when this one's clock is off and that one's is not. The journal's time was made by the leaders before, so it is a
// second witness beside the other clock. When all clocks are off alike, nobody's is better, and a person has to look.
func (l *leader) yield() {
	to, ok := l.n.log.(yielder)
	off := l.n.clock.off()
	heir := l.heir()
	if !ok || off.Abs() <= ClockYieldAt || heir == 0 {
		l.offSince = 0
		return
	}
	if l.offSince == 0 {
		l.offSince = l.now
	}
	if l.now-l.offSince < clockYieldAfter || l.yielding || l.yielded != 0 && l.now-l.yielded < clockYieldPause {
		return
	}
	l.yielding, l.yielded = true, l.now
	l.n.logger.Warn("this node leads and its clock is off: another one is to lead; set the clock right", "off", off, "heir", heir)
	l.n.start(func() {
		// It ends by itself (replica.TransferTimeout). That it fails is no fault: this node goes on, and grants nothing once it is too far off.
		if err := to.TransferLeadership(l.n.coreCtx, heir); err != nil {
			l.n.logger.Warn("the other node does not lead yet; it is tried again", "heir", heir, "error", err)
		}
		l.n.inbox.push(event{do: func(l *leader) { l.yielding = false }}, true)
	})
}

// heir is the coordinator whose clock is nearest to the journal's time; 0: none is near.
func (l *leader) heir() (best journal.NodeID) {
	nearest := ClockHeirMax + 1
	for _, g := range l.guests {
		if g.link == nil || g.who.Role != stream.Coordinator || g.clockOff == nil {
			continue
		}
		if off := g.clockOff.Abs(); off < nearest {
			nearest, best = off, g.who.Node
		}
	}
	return best
}

// tellsTime takes what a guest says of its clock.
func (g *guest) tellsTime(h *wire.Heartbeat) {
	g.clockOff = nil
	if h.ClockOffUs != nil {
		off := stream.Duration(*h.ClockOffUs)
		g.clockOff = &off
	}
}

// clockYield is the leader's memory of that.
type clockYield struct {
	offSince gate.Time // since when this node's clock has been off, and another one's is not; 0: it is not so
	yielding bool
	yielded  gate.Time // the last try; 0: none
}
