package journal

import "netbank/cluster/journal/command"

// Act is an entry of the audit: what an operator has done, or what came about because a wish's time was over.
type Act struct {
	Number   uint64 // from 1, without gaps; the oldest are forgotten
	At       Millis
	Verb     string
	Operator string // empty: by itself
	Approver string
	Reason   string
	Detail   string
	Node     NodeID // that was drained; 0: it was not about one
	From, To uint32 // of a lever
	Until    Millis
}

// The verbs of the acts that the journal enters itself. They are in snapshots: never change one. Those of a lever begin with its name.
const (
	VerbDrain    = "drain"
	VerbUndrain  = "undrain"
	VerbPolicy   = "policy"
	VerbReset    = "reset-factors"
	VerbProposed = "-proposed" // waits for a second operator
	VerbDropped  = "-dropped"  // nobody agreed in time
	VerbLapsed   = "-lapsed"   // gave way to the base, its time being over
)

func actOf(lever Lever, verb string, from uint32, wish *Wish) Act {
	return Act{
		Verb: lever.String() + verb, Operator: wish.Operator, Approver: wish.Approver, Reason: wish.Reason,
		From: from, To: wish.Value, Until: wish.Until,
	}
}

// enter puts an act into the audit. Entries that somebody reads are never written to: the slice grows at its end, and forgets at its
// beginning.
func (m *Machine) enter(a Act) {
	a.Number, a.At = 1, m.now
	if n := len(m.acts); n > 0 {
		a.Number = m.acts[n-1].Number + 1
	}
	m.acts = append(m.acts, a)
	if most := max(m.limits.Acts, 1); len(m.acts) > most {
		m.acts = m.acts[len(m.acts)-most:]
	}
}

func (m *Machine) note(c *command.Note, out *Result) {
	if !visible(c.GetVerb(), 1, m.limits.VerbBytes) || !m.signed(c.Reason, c.Operator) || !readable(c.Detail, 0, m.limits.ReasonRunes) {
		out.Verdict = BadCommand
		return
	}
	m.enter(Act{Verb: string([]byte(c.Verb)), Operator: string([]byte(c.Operator)), Reason: string([]byte(c.Reason)), Detail: string([]byte(c.Detail))})
}

// Acts gives the newest max entries of the audit, the oldest of them first. Nobody may write to them.
func (m *Machine) Acts(max int) []Act {
	from := len(m.acts) - max
	if from < 0 {
		from = 0
	}
	if max <= 0 {
		return nil
	}
	return m.acts[from:len(m.acts):len(m.acts)]
}
