package cluster

import (
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// Wishes gives how operators want the levers to stand, as this node's copy of the journal has it. nil: it keeps none.
func (n *Node) Wishes() (w *journal.Wishes) {
	if n.far != nil {
		return nil
	}
	n.log.View(func(m *journal.Machine) { w = m.Wishes() })
	return w
}

// Acts gives the newest max entries of the audit, the oldest of them first, as this node's copy of the journal has it.
func (n *Node) Acts(max int) (acts []journal.Act, err error) {
	if n.far != nil {
		return nil, ErrUnavailable
	}
	n.log.View(func(m *journal.Machine) { acts = m.Acts(max) })
	return acts, nil
}

// Verified gives the term in which this node leads for certain, because a majority has just said so. 0: it does not.
func (n *Node) Verified() uint64 {
	if term := n.gateTerm.Load(); term != 0 && n.rules() {
		return term
	}
	return 0
}

// Ceiling gives how many seats a level has at most, by this node's configuration.
func (n *Node) Ceiling(level uint32) int { return n.cfg.ceiling(level) }

func (c *Config) ceiling(level uint32) int {
	seats := c.Gate.Ceiling
	if level >= journal.LevelReserve {
		seats = max(seats, c.Reserve)
	}
	if level >= journal.LevelEmergency {
		seats = max(seats, c.Emergency)
	}
	return seats
}

// obey does what operators wish for and the leader can do by itself: it lets wishes lapse whose time is over, and gives the gate the
// ceiling of the level in force.
func (l *leader) obey() {
	w := l.n.Wishes()
	if due := w.Due(l.n.cfg.Replica.Limits); due > 0 && due <= l.n.clock.now() && !l.lapsing {
		c := internalCall(&journal.Command{Body: &command.Command_LapseWishes{LapseWishes: &command.LapseWishes{}}})
		l.lapsing = true
		c.done = func(l *leader) { l.lapsing = false }
		l.queue(c)
	}
	ceiling := l.n.cfg.ceiling(w.Level.Now.Value)
	if ceiling == l.ceiling || l.n.cfg.AdmissionOff {
		return
	}
	l.n.logger.Info("the gate has another ceiling", "seats", ceiling, "were", l.ceiling, "reason", w.Level.Now.Reason)
	l.ceiling = ceiling
	l.decide(l.gate.SetCeiling(l.now, ceiling, l.decisions[:0]))
	if normal := &l.n.cfg.Gate; !normal.Seek {
		limit := normal.Limit
		if limit == 0 {
			limit = min(gate.DefaultLimit, normal.Ceiling)
		}
		l.decide(l.gate.SetLimit(l.now, limit+ceiling-normal.Ceiling, l.decisions[:0]))
	}
}
