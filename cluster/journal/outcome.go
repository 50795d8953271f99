package journal

import "netbank/cluster/journal/command"

// notSent: the executor says that it has not sent the payment and never will. Nobody else can know that.
func (m *Machine) notSent(c *command.NotSent, out *Result) {
	if !m.find(c.GetPaymentId(), out) {
		return
	}
	r := &m.found.rec
	sameExecutor := r.reference != 0 && r.executor() == Executor{NodeID(c.Node), c.Incarnation}
	switch {
	case sameExecutor && r.state == StateAuthorised:
		m.move(StateRejected, ReasonNotSent)
		m.answer(Done, out)
	case sameExecutor && r.state == StateRejected && r.reason == ReasonNotSent:
		m.answer(Done, out)
	default:
		m.answer(NotAllowed, out)
	}
}

// settle takes in what the core said about a debit.
func (m *Machine) settle(c *command.Settle, out *Result) {
	if !m.find(c.GetPaymentId(), out) {
		return
	}
	r, outcome := &m.found.rec, certain(c)
	if outcome == command.Outcome_OUTCOME_UNSPECIFIED || len(c.ResponseCode) > len(r.response.chars) || len(c.ApprovalCode) > len(r.approval.chars) ||
		!visible(c.ResponseCode, 0, len(r.response.chars)) || !visible(c.ApprovalCode, 0, len(r.approval.chars)) {
		m.answer(BadCommand, out)
		return
	}
	switch r.state {
	case StateAuthorised, StateInDoubt:
		m.outcome(c, outcome)
		m.answer(Done, out)
	case StateReversing:
		m.answer(NotAllowed, out) // rule 6: only the reversal's own outcome counts now
	default:
		if !contradicts(r.state, outcome) {
			m.answer(Done, out)
			return
		}
		m.reconcile(outcomeWord(outcome), c.ResponseCode)
		m.answer(NotAllowed, out)
	}
}

// outcome moves a payment inside the core to where the core's word puts it.
func (m *Machine) outcome(c *command.Settle, outcome command.Outcome) {
	r := &m.found.rec
	if outcome == command.Outcome_OUTCOME_IN_DOUBT {
		reason := ReasonNoAnswer
		if c.ResponseCode != "" {
			reason = ReasonCoreUncertain
		}
		if r.state == StateAuthorised {
			r.setCodes(c)
			m.move(StateInDoubt, reason)
		}
		return // in doubt before and in doubt now: nothing is news
	}
	r.setCodes(c)
	switch {
	case outcome == command.Outcome_OUTCOME_APPROVED:
		m.move(StateSettled, ReasonNone)
	case c.ResponseCode == codeUnavailable:
		m.move(StateRejected, ReasonCoreUnavailable)
	default:
		m.move(StateRejected, ReasonDeclined)
	}
}

func (r *paymentRecord) setCodes(c *command.Settle) {
	r.response.length = uint8(copy(r.response.chars[:], c.ResponseCode))
	r.approval.length = uint8(copy(r.approval.chars[:], c.ApprovalCode))
}

// Response codes (field 39) that bear on what an outcome means.
const (
	codeUnavailable = "91" // nothing was done
	codeRunning     = "09" // inquiry: still under way
	codeUnknown     = "25" // inquiry: never seen
	codeDuplicate   = "94" // seen before: ask
	codeError       = "96" // nobody knows
)

// certain takes a refusal whose code does not say that the money stayed for what it is: a doubt (UnknownIsNotFailed).
// An adapter that maps such a code to "declined" cannot end a payment here.
func certain(c *command.Settle) command.Outcome {
	switch c.Outcome {
	case command.Outcome_OUTCOME_APPROVED, command.Outcome_OUTCOME_IN_DOUBT:
		return c.Outcome
	case command.Outcome_OUTCOME_DECLINED:
		switch c.ResponseCode {
		case codeRunning, codeUnknown, codeDuplicate, codeError:
			return command.Outcome_OUTCOME_IN_DOUBT
		}
		return c.Outcome
	}
	return command.Outcome_OUTCOME_UNSPECIFIED
}

// contradicts tells whether the core's word and a state without a payment inside the core cannot both be true.
// A refusal agrees with whatever is not charged.
func contradicts(s State, outcome command.Outcome) bool {
	switch outcome {
	case command.Outcome_OUTCOME_APPROVED:
		return s != StateSettled
	case command.Outcome_OUTCOME_DECLINED:
		return s == StateSettled
	}
	return false
}

// markInDoubt: the time to send and the core's limit have passed in silence.
func (m *Machine) markInDoubt(c *command.MarkInDoubt, out *Result) {
	if !m.find(c.GetPaymentId(), out) {
		return
	}
	switch m.found.rec.state {
	case StateAuthorised:
		m.move(StateInDoubt, ReasonNoAnswer)
		m.answer(Done, out)
	case StateInDoubt:
		m.answer(Done, out)
	default:
		m.answer(NotAllowed, out)
	}
}

// beginReversal commits the decision before the first reversal is sent (rule 6).
func (m *Machine) beginReversal(c *command.BeginReversal, out *Result) {
	if !m.find(c.GetPaymentId(), out) {
		return
	}
	switch m.found.rec.state {
	case StateInDoubt:
		m.move(StateReversing, m.found.rec.reason)
		m.answer(Done, out)
	case StateReversing:
		m.answer(Done, out)
	default:
		m.answer(NotAllowed, out)
	}
}

// reversed: the core has acknowledged the reversal, so nothing remains charged.
func (m *Machine) reversed(c *command.Reversed, out *Result) {
	if !m.find(c.GetPaymentId(), out) {
		return
	}
	r := &m.found.rec
	if !visible(c.ResponseCode, 0, len(r.response.chars)) {
		m.answer(BadCommand, out)
		return
	}
	switch {
	case r.state == StateReversing:
		r.setCodes(&command.Settle{ResponseCode: c.ResponseCode})
		m.move(StateRejected, ReasonReversed)
		m.answer(Done, out)
	case r.state == StateRejected && r.reason == ReasonReversed:
		m.answer(Done, out)
	case r.state == StateSettled:
		m.reconcile(saidReversed, c.ResponseCode)
		m.answer(NotAllowed, out)
	default:
		m.answer(NotAllowed, out)
	}
}

// contradiction puts what the proposer found on the reconciliation list.
func (m *Machine) contradiction(c *command.Contradiction, out *Result) {
	if !m.find(c.GetPaymentId(), out) {
		return
	}
	word := outcomeWord(c.Outcome)
	if word == "" || !visible(c.ResponseCode, 0, len(m.found.rec.response.chars)) {
		m.answer(BadCommand, out)
		return
	}
	if !m.reconcile(word, c.ResponseCode) {
		m.answer(TooMany, out)
		return
	}
	m.answer(Done, out)
}

// said tells entries of the reconciliation list apart.
type said struct {
	payment PaymentID
	word    string
	code    string
}

// What the core said, on the reconciliation list.
const saidReversed = "reversed"

func outcomeWord(o command.Outcome) string {
	switch o {
	case command.Outcome_OUTCOME_APPROVED:
		return "approved"
	case command.Outcome_OUTCOME_DECLINED:
		return "declined"
	case command.Outcome_OUTCOME_IN_DOUBT:
		return "in-doubt"
	}
	return ""
}

// reconcile records a contradiction about the found payment, and reports whether there was room for it. The list keeps
// the oldest: those are what a person has begun to look at, and the rest repeats their cause.
func (m *Machine) reconcile(word, code string) bool {
	key := said{m.found.rec.id, word, code}
	if i, ok := m.contradictionIndex[key]; ok {
		m.contradictions[i].Last = m.now
		m.contradictions[i].Times++
		return true
	}
	if len(m.contradictions) >= m.limits.Contradictions {
		m.dropped++
		return false
	}
	key.code = string(append([]byte(nil), code...)) // the command's memory is not ours
	m.addContradiction(Contradiction{
		Payment: key.payment, State: m.found.rec.state, Said: word, ResponseCode: key.code,
		First: m.now, Last: m.now, Times: 1,
	})
	return true
}

func (t *tables) addContradiction(c Contradiction) {
	t.contradictionIndex[said{c.Payment, c.Said, c.ResponseCode}] = len(t.contradictions)
	t.contradictions = append(t.contradictions, c)
}
