package journal

import (
	"fmt"

	"netbank/cluster/journal/command"
)

// Lever is what operators move, and the leader then sees to. The numbers are in the log.
type Lever uint8

// The levers.
const (
	LeverWorkers Lever = iota + 1 // how many workers the provider runs, 0 to Limits.Nodes
	LeverLevel                    // the level of the gate's ceiling, LevelNormal to LevelEmergency
)

func (l Lever) String() string {
	switch l {
	case LeverWorkers:
		return "workers"
	case LeverLevel:
		return "level"
	}
	return fmt.Sprintf("lever(%d)", uint8(l))
}

// The levels of the gate's ceiling: the lanes of the highway that are open. What each means in seats is the leader's configuration.
const (
	LevelNormal    = iota
	LevelReserve   // what a bank keeps on top of the average
	LevelEmergency // what the core stands for hours, not for days
)

// Wish is where an operator wants a lever to stand.
type Wish struct {
	Number   uint64 // the lever's fence when it was made; 0: there is none
	Value    uint32
	Until    Millis // it gives way to the base then; 0: it stays
	At       Millis // when it was made
	Reason   string
	Operator string // empty: nobody; it came about when another one's time was over
	Approver string // the second operator, who agreed; empty: none was needed, or none has agreed yet
}

// Wanted is how one lever stands.
type Wanted struct {
	// Fence grows with each change. Who wishes names the one that it has seen: so of two operators who looked at the same moment one is
	// refused, and what a deposed leader still had to say comes to nothing.
	Fence   uint64
	Base    uint32 // where it goes back to
	Now     Wish   // in force. Number 0: nothing was ever wished for, and nobody sees to anything
	Pending Wish   // waits for a second operator; Number 0: none does
}

// Wishes are how the levers stand. They never change: each change makes others, with the next version. Nobody may write to them.
type Wishes struct {
	Version uint64
	Workers Wanted
	Level   Wanted
}

// Wishes gives how the levers stand now.
func (m *Machine) Wishes() *Wishes { return m.wishes }

// leverOf gives the lever of a command. 0: there is no such one.
func leverOf(l command.Lever) Lever {
	if l == command.Lever_LEVER_WORKERS || l == command.Lever_LEVER_LEVEL {
		return Lever(l)
	}
	return 0
}

// Of gives a lever. nil: there is no such one.
func (w *Wishes) Of(l Lever) *Wanted {
	switch l {
	case LeverWorkers:
		return &w.Workers
	case LeverLevel:
		return &w.Level
	}
	return nil
}

// Due tells when LapseWishes will next have something to do. 0: never.
func (w *Wishes) Due(l Limits) (due Millis) {
	earliest := func(at Millis) {
		if at > 0 && (due == 0 || at < due) {
			due = at
		}
	}
	for _, v := range [...]*Wanted{&w.Workers, &w.Level} {
		earliest(v.Now.Until)
		if v.Pending.Number > 0 {
			earliest(v.Pending.ends(l))
		}
	}
	return due
}

// ends is when a wish that waits is not waited for any more.
func (w *Wish) ends(l Limits) Millis {
	if w.Until > 0 {
		return min(w.Until, w.At+l.WishPending)
	}
	return w.At + l.WishPending
}

// levers gives the next wishes to be written.
func (m *Machine) levers() *Wishes {
	next := *m.wishes
	next.Version++
	m.wishes = &next
	return &next
}

// signed says whether a change bears a reason and a name.
func (m *Machine) signed(reason, operator string) bool {
	return readable(reason, 1, m.limits.ReasonRunes) && readable(operator, 1, m.limits.OperatorRunes)
}

// highest is the largest value of a lever.
func (m *Machine) highest(l Lever) uint32 {
	if l == LeverLevel {
		return LevelEmergency
	}
	return uint32(m.limits.Nodes)
}

func (m *Machine) putWish(c *command.PutWish, out *Result) {
	lever, until := leverOf(c.GetLever()), Millis(c.GetUntilMs())
	now := m.wishes.Of(lever)
	switch {
	case now == nil || c.Value > m.highest(lever) || c.Base > m.highest(lever) || !m.signed(c.Reason, c.Operator) ||
		until != 0 && (until <= m.now || until > m.now+m.limits.WishFor+m.limits.ClockSlack):
		out.Verdict = BadCommand
		return
	case c.Fence != now.Fence:
		out.Verdict = NotAllowed
		return
	}
	next := m.levers().Of(lever)
	next.Fence++
	if next.Now.Number == 0 {
		next.Base = c.Base
	}
	wish := Wish{Number: next.Fence, Value: c.Value, Until: until, At: m.now, Reason: string([]byte(c.Reason)), Operator: string([]byte(c.Operator))}
	if c.Approval {
		next.Pending = wish
		m.enter(actOf(lever, VerbProposed, next.standing(), &wish))
		return
	}
	m.enforce(lever, next, wish)
}

// standing is where the lever is.
func (w *Wanted) standing() uint32 {
	if w.Now.Number == 0 {
		return w.Base
	}
	return w.Now.Value
}

// enforce puts a wish into force. One without an end is what later ones give way to.
func (m *Machine) enforce(lever Lever, next *Wanted, wish Wish) {
	m.enter(actOf(lever, "", next.standing(), &wish))
	next.Now, next.Pending = wish, Wish{}
	if wish.Until == 0 {
		next.Base = wish.Value
	}
}

func (m *Machine) approveWish(c *command.ApproveWish, out *Result) {
	lever := leverOf(c.GetLever())
	now := m.wishes.Of(lever)
	switch {
	case now == nil || !readable(c.Operator, 1, m.limits.OperatorRunes):
		out.Verdict = BadCommand
	case c.Number == 0 || now.Pending.Number != c.Number || now.Pending.ends(m.limits) <= m.now:
		out.Verdict = NotFound
	case now.Pending.Operator == c.Operator:
		out.Verdict = NotAllowed
	default:
		next := m.levers().Of(lever)
		next.Fence++
		wish := next.Pending
		wish.Approver = string([]byte(c.Operator))
		m.enforce(lever, next, wish)
	}
}

// lapseWishes ends what has come to its end, by the journal's time.
func (m *Machine) lapseWishes() {
	if due := m.wishes.Due(m.limits); due == 0 || due > m.now {
		return
	}
	all := m.levers()
	for _, lever := range [...]Lever{LeverWorkers, LeverLevel} {
		next := all.Of(lever)
		if next.Pending.Number > 0 && next.Pending.ends(m.limits) <= m.now {
			next.Fence++
			m.enter(actOf(lever, VerbDropped, next.standing(), &next.Pending))
			next.Pending = Wish{}
		}
		if next.Now.Until > 0 && next.Now.Until <= m.now {
			next.Fence++
			back := Wish{Number: next.Fence, Value: next.Base, At: m.now}
			m.enter(actOf(lever, VerbLapsed, next.standing(), &back))
			next.Now = back
		}
	}
}
