package cluster

import (
	"netbank/cluster/gate"
	"netbank/cluster/journal"
)

// Policy is what the gate goes by: what operators have set while it runs or, as far as they have set nothing, this node's configuration.
type Policy struct {
	Version  uint64         // 0: nothing was ever set
	At       journal.Millis // when it was
	Shares   [gate.Classes]float64
	Closed   [gate.Classes]bool
	Seats    int // the most that may be inside the core at the normal level
	Weights  map[uint32]float64
	Reason   string
	Operator string
}

// Policy gives it as this node's copy of the journal has it. A worker, which has none, knows its configuration only.
func (n *Node) Policy() Policy { return n.cfg.policy(n.ruled()) }

// ruled gives what operators have set, as this node's copy of the journal has it.
func (n *Node) ruled() *journal.Policy {
	set := new(journal.Policy)
	if n.far == nil {
		n.log.View(func(m *journal.Machine) { set = m.Policy() })
	}
	return set
}

func (c *Config) policy(set *journal.Policy) Policy {
	p := Policy{Version: set.Version, At: set.At, Reason: set.Reason, Operator: set.Operator, Seats: c.seats(set), Shares: c.Gate.Shares, Weights: c.Gate.PartnerWeights}
	if set.Version == 0 {
		if p.Shares == [gate.Classes]float64{} {
			p.Shares = gate.Default().Shares
		}
		return p
	}
	p.Weights = make(map[uint32]float64, len(set.Weights))
	for _, w := range set.Weights {
		p.Weights[uint32(w.Partner)] = float64(w.Hundredths) / journal.WeightUnit
	}
	for class := range p.Shares {
		p.Shares[class], p.Closed[class] = float64(set.Shares[class])/journal.ShareWhole, set.Closed[class]
	}
	return p
}

// seats is the most that may be inside the core at the normal level.
func (c *Config) seats(set *journal.Policy) int {
	if set.Seats > 0 {
		return int(set.Seats)
	}
	return c.Gate.Ceiling
}

// Ceiling gives how many seats a level has at most.
func (n *Node) Ceiling(level uint32) int { return n.cfg.ceiling(level, n.cfg.seats(n.ruled())) }

// ceiling is that of a level, where the normal one has so many seats.
func (c *Config) ceiling(level uint32, seats int) int {
	if level >= journal.LevelReserve {
		seats = max(seats, c.Reserve)
	}
	if level >= journal.LevelEmergency {
		seats = max(seats, c.Emergency)
	}
	return seats
}

// keepPolicy has the gate go by what operators have set, and by the level in force. A new leader does so before it grants anything.
func (l *leader) keepPolicy() {
	if l.n.cfg.AdmissionOff {
		return
	}
	set := l.n.ruled()
	if set.Version != l.policy {
		l.policy = set.Version
		p := l.n.cfg.policy(set)
		l.decide(l.gate.SetShares(l.now, p.Shares, p.Weights, l.decisions[:0]))
		l.decide(l.gate.SetPlan(l.now, p.Closed, l.decisions[:0]))
		l.n.logger.Info("the gate has a policy", "version", p.Version, "operator", p.Operator, "reason", p.Reason)
	}
	level := &l.n.Wishes().Level.Now
	ceiling := l.n.cfg.ceiling(level.Value, l.n.cfg.seats(set))
	if ceiling == l.ceiling {
		return
	}
	l.n.logger.Info("the gate has another ceiling", "seats", ceiling, "were", l.ceiling, "level", level.Value)
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
