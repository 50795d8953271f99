package cluster

import (
	"time"

	"netbank/cluster/gate"
)

// Constants of the breaker.
const (
	breakerAfter = 5               // calls in a row that could not be written
	breakerPause = time.Second     // between two looks at a core that could not be reached
	pingEvery    = 5 * time.Second // while nothing else shows that the core can be reached
	pingLimit    = time.Second     // a look may take
)

// breaker knows whether the core can be reached at all. A core that is slow or silent is the gate's matter, not the
// breaker's. It belongs to the leader's goroutine.
type breaker struct {
	open     bool
	probing  bool      // open, but calls are let through until the first one fails
	failures int       // in a row
	looked   gate.Time // last time
	looking  bool
	heard    gate.Time
}

func (b *breaker) reset() { *b = breaker{looking: b.looking} }

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

func (b *breaker) turn(l *leader, open bool) {
	if l.phase == ready {
		l.decide(l.gate.SetBreaker(l.now, open, l.decisions[:0]))
		l.publishEdge()
	}
}

func (b *breaker) set(l *leader, open bool, why string) {
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
	if l.phase != ready {
		return
	}
	if err == nil {
		b.reached(l)
		return
	}
	b.failed(l, err.Error())
}
