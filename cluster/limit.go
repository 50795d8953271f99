package cluster

import (
	"math"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

const (
	// foundMoved is by what part the limit must have moved from the one that stands in the journal, before it is kept anew.
	foundMoved = 0.1
	// foundEvery is the least time between two that are kept.
	foundEvery = time.Second
	// foundTaken is the part of the last leader's limit that the next one begins with: what has changed meanwhile, nobody has seen, and from below
	// the way up is short.
	foundTaken = 0.9
)

// foundLimit is what the leader has had kept of the limit that its gate has found.
type foundLimit struct {
	kept   int // what stands in the journal, or what this leadership began with
	at     gate.Time
	moving bool // an entry is under way
}

// gateOf is the gate's configuration for a new leadership, after another one has found that the core works best with so many calls. 0: none has.
func (l *leader) gateOf(found int) gate.Config {
	c := l.n.cfg.Gate
	if c.Seek && found > 0 {
		c.Limit = max(1, int(foundTaken*float64(found)))
		if c.Ceiling > 0 {
			c.Limit = min(c.Limit, c.Ceiling)
		}
	}
	l.limit = foundLimit{at: l.now}
	return c
}

// keepLimit has the limit kept for the next leader, once it has moved.
func (l *leader) keepLimit(found int) {
	k := &l.limit
	if found == 0 || k.moving || l.now-k.at < foundEvery {
		return
	}
	if k.kept == 0 { // where this leadership began
		k.kept = found
	}
	if math.Abs(float64(found-k.kept)) < max(1, foundMoved*float64(k.kept)) {
		return
	}
	c := internalCall(&journal.Command{Body: &command.Command_FindLimit{FindLimit: &command.FindLimit{Seats: uint32(min(found, journal.LimitMax))}}})
	c.bound = l.term // the next leader finds its own
	c.done = func(l *leader) { l.limit.moving = false }
	k.kept, k.at, k.moving = found, l.now, true
	l.queue(c)
}
