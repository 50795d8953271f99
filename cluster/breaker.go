package cluster

import (
	"fmt"
	"slices"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
)

// Constants of the breaker.
const (
	breakerAfter = 5               // calls in a row that could not be written
	breakerPause = time.Second     // between two looks at a core that could not be reached
	pingEvery    = 5 * time.Second // while nothing else shows that the core can be reached
	pingLimit    = time.Second     // a look may take
)

// breaker knows whether the core can be reached at all from one node. A core that is slow or silent is the gate's matter, not the
// breaker's. A node looks after that of its own connection whoever leads, to be able to say so; the leader, after those of all. It belongs
// to the leader's goroutine.
type breaker struct {
	open     bool
	probing  bool      // open, but calls are let through until the first one fails
	failures int       // in a row
	since    gate.Time // when it opened
	looked   gate.Time // last time
	looking  bool
	heard    gate.Time
}

// reset forgets what a leadership has seen of a core that is not asked by itself: a node that follows may have no calls to show that it is back.
func (b *breaker) reset(l *leader) {
	if l.n.pinger != nil {
		return
	}
	if b.open {
		l.n.coreSeen.Store(&CoreStatus{Reachable: true, Since: l.n.cfg.wall()})
	}
	*b = breaker{looking: b.looking}
}

// reached notes a sign of life.
func (b *breaker) reached(l *leader) {
	b.failures, b.heard = 0, l.now
	if b.open {
		b.set(l, false, "")
	}
}

// failed notes a call that could not be written.
func (b *breaker) failed(l *leader, why string) {
	b.failures++
	switch {
	case b.probing:
		b.probing, b.looked = false, l.now
		b.turn(l, true)
	case b.failures >= breakerAfter && !b.open:
		b.looked = l.now
		b.set(l, true, why)
	}
}

// noted takes what a call of this node's has shown of its connection.
func (b *breaker) noted(l *leader, a *Answer, silent bool) {
	switch {
	case a.Word == NotSent && a.Unreachable:
		b.failed(l, fmt.Sprint(a.Err))
	case a.Elapsed > 0 && !silent:
		b.reached(l)
	}
}

// shut reports whether no call may be spent on this connection now.
func (b *breaker) shut() bool { return b.open && !b.probing }

func (b *breaker) turn(l *leader, open bool) {
	if l.reach(); open {
		l.shun(nil)
	}
}

// reach shuts the gate while no node can reach the core, and tells everybody what its own connection is good for. A node that cannot, while
// others can, is refused by itself: it would spend seats on nothing.
func (l *leader) reach() {
	if l.phase != ready {
		return
	}
	shut := l.breaker.shut()
	var cutOff []journal.NodeID
	for _, g := range l.guests {
		shut = shut && (g.link == nil || g.core.shut())
		if g.core.open {
			cutOff = append(cutOff, g.who.Node)
		}
	}
	slices.Sort(cutOff)
	l.n.cutOff.Store(&cutOff)
	if shut != l.shut {
		l.shut = shut
		l.n.coreShut.Store(shut)
		l.decide(l.gate.SetBreaker(l.now, shut, l.decisions[:0]))
	}
	l.publishEdge()
}

// cutOff reports whether the process that a call came from cannot reach the core.
func (l *leader) cutOff(c *call) bool { return l.connectionOf(c).shut() }

// connectionOf gives the breaker of the process that a call came from.
func (l *leader) connectionOf(c *call) *breaker {
	if c.visit != nil {
		return &c.visit.guest.core
	}
	return &l.breaker
}

// again is when to come again to a node with this connection, in whole seconds: what changes is told to every node.
func (b *breaker) again(now gate.Time) time.Duration {
	return asLongAgain((now - b.since).Truncate(time.Second))
}

// shun refuses what waits of a node that cannot reach the core, while others can; nil: this node.
func (l *leader) shun(g *guest) {
	if l.phase != ready || l.shut {
		return // what waits goes on waiting: it is refused when its time is over
	}
	var theirs []*call
	for _, c := range l.calls {
		if c.stage.Load() == waiting && c.class != gate.Resolve && (c.visit == nil && g == nil || c.visit != nil && c.visit.guest == g) {
			theirs = append(theirs, c)
		}
	}
	for _, c := range theirs {
		if c.stage.Load() != waiting {
			continue
		}
		delete(l.calls, c.ticket)
		l.decide(l.gate.Withdraw(l.now, c.ticket, l.decisions[:0]))
		l.refused(c, gate.Breaker, l.connectionOf(c).again(l.now))
	}
}

// coreFailed notes that a guest could not write a call to the core.
func (l *leader) coreFailed(g *guest, why string) {
	b := &g.core
	b.failures++
	switch {
	case l.guests[g.who.Node] != g:
		return
	case b.probing:
		b.probing, b.looked = false, l.now
	case b.failures >= breakerAfter && !b.open:
		b.open, b.looked, b.since = true, l.now, l.now
		l.n.logger.Warn("a node cannot reach the core; what it asks for is refused until it can", "node", g.who.Node, "why", why)
	default:
		return
	}
	l.reach()
	l.shun(g)
}

// coreReached notes a sign of life of the core at a guest.
func (l *leader) coreReached(g *guest) {
	g.core.failures = 0
	if g.core.open {
		g.core.open, g.core.probing = false, false
		l.n.logger.Info("the node can reach the core again", "node", g.who.Node)
		l.reach()
	}
}

// probe lets calls of a guest through now and then, until the first one fails.
func (l *leader) probe(g *guest) {
	if g.core.shut() && l.now-g.core.looked >= breakerPause {
		g.core.probing = true
		l.reach()
	}
}

func (b *breaker) set(l *leader, open bool, why string) {
	if open && !b.open {
		b.since = l.now
	}
	b.open, b.probing = open, false
	b.turn(l, open)
	l.n.coreSeen.Store(&CoreStatus{Reachable: !open, Since: l.n.cfg.wall(), LastError: why})
	if open {
		l.n.logger.Warn("the core cannot be reached; confirmations are refused until it answers", "why", why)
	} else {
		l.n.logger.Info("the core can be reached again")
		l.n.resolver.hasten()
	}
}

// pass looks at the core now and then: with a ping if the core has one; else, while the breaker is open, by letting calls
// through until the first one fails.
func (b *breaker) pass(l *leader) {
	pause := pingEvery
	if b.open || b.failures > 0 {
		pause = breakerPause
	}
	if b.looking || l.closing || l.now-max(b.looked, b.heard) < pause {
		return
	}
	b.looked = l.now
	if l.n.pinger == nil {
		if b.open && !b.probing {
			b.probing = true
			b.turn(l, false)
		}
		return
	}
	b.looking = true
	l.n.goPing()
}

// pinged takes the outcome of a look.
func (b *breaker) pinged(l *leader, err error) {
	b.looking = false
	if err == nil {
		b.reached(l)
		return
	}
	b.failed(l, err.Error())
}
