package cluster

import (
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

// obey does what operators wish for and the leader can do by itself: it lets wishes lapse whose time is over, and has the gate go by what is
// set.
func (l *leader) obey() {
	w := l.n.Wishes()
	if due := w.Due(l.n.cfg.Replica.Limits); due > 0 && due <= l.n.clock.now() && !l.lapsing {
		c := internalCall(&journal.Command{Body: &command.Command_LapseWishes{LapseWishes: &command.LapseWishes{}}})
		l.lapsing = true
		c.done = func(l *leader) { l.lapsing = false }
		l.queue(c)
	}
	l.keepPolicy()
}
