package cluster

import (
	"context"
	"errors"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// errTooLateToSend: the grant could not be used in time, so nothing was written.
var errTooLateToSend = errors.New("cluster: the grant was not used before its send-by time")

// errOtherTerm: the grant is of a term that is over. Another leader counts the seats now.
var errOtherTerm = errors.New("cluster: the grant is of a leadership that is over")

// goExecute starts the executor of a committed grant.
func (n *Node) goExecute(c *call, term uint64) {
	n.executors.Add(1)
	if !n.start(func() { n.execute(c, term) }) {
		n.executors.Add(-1) // the resolver of the next life finds it in the journal
	}
}

// execute carries one granted payment to the core, once, and sends the outcome to the leader. Nobody else can: the
// grant names this process, and its result is handed out once.
func (n *Node) execute(c *call, term uint64) {
	p := &c.result.Payment
	answer := n.send(c, term, p)
	next, silent := n.outcomeCall(p.ID, answer)
	next.of = c
	n.metrics.core(opDebit, answer)
	n.inbox.push(event{call: c, answered: true, silent: silent, answer: answer, next: next}, true)
	n.executors.Add(-1)
}

func (n *Node) send(c *call, term uint64, p *journal.Payment) Answer {
	// A term above the entry's has been seen: its leader will look after this payment, and may count on nobody sending it.
	if n.highestTerm.Load() > term || c.until == 0 && n.gateTerm.Load() != term {
		return Answer{Word: NotSent, Err: errOtherTerm}
	}
	until := c.granted + n.cfg.SendBy
	if c.until != 0 {
		until = c.until
	}
	// A moment, and not what is left of it: this goroutine may lose its processor between two looks at the clock.
	sendBefore := n.clock.origin.Add(until)
	now := time.Now()
	if !now.Before(sendBefore) {
		return Answer{Word: NotSent, Err: errTooLateToSend}
	}
	ctx, cancel := context.WithDeadline(n.coreCtx, now.Add(n.cfg.CoreLimit))
	defer cancel()
	return n.core.Debit(ctx, debitOf(p), sendBefore)
}

// outcomeCall turns the core's answer to a debit into the command that commits it. silent: the debit may go on inside.
func (n *Node) outcomeCall(id journal.PaymentID, a Answer) (next *call, silent bool) {
	switch a.Word {
	case NotSent:
		return n.notSentCall(id), false
	case Approved:
		return settleCall(id, command.Outcome_OUTCOME_APPROVED, command.Source_SOURCE_EXECUTOR, a), false
	case Declined:
		return settleCall(id, command.Outcome_OUTCOME_DECLINED, command.Source_SOURCE_EXECUTOR, a), false
	}
	// In doubt, and words that are none for a debit. With a response code the core has finished; without one it may not have.
	return settleCall(id, command.Outcome_OUTCOME_IN_DOUBT, command.Source_SOURCE_EXECUTOR, a), a.ResponseCode == ""
}

func (n *Node) notSentCall(id journal.PaymentID) *call { return notSentBy(id, n.executor) }

func notSentBy(id journal.PaymentID, executor journal.Executor) *call {
	c := internalCall(&journal.Command{Body: &command.Command_NotSent{NotSent: &command.NotSent{
		PaymentId: id[:], Node: uint32(executor.Node), Incarnation: executor.Incarnation,
	}}})
	c.urgent, c.payment = true, id
	return c
}

func settleCall(id journal.PaymentID, outcome command.Outcome, source command.Source, a Answer) *call {
	c := internalCall(&journal.Command{Body: &command.Command_Settle{Settle: &command.Settle{
		PaymentId: id[:], Outcome: outcome, Source: source, ResponseCode: a.ResponseCode, ApprovalCode: a.ApprovalCode,
	}}})
	c.urgent, c.payment = true, id
	return c
}

// Late takes the core's answer to a debit that came after Debit had returned in doubt. It settles the payment, or stands
// against what was decided meanwhile; which of the two, the journal says.
func (n *Node) Late(a LateAnswer) {
	var next *call
	if a.Word == Approved || a.Word == Declined {
		next, _ = n.outcomeCall(a.Payment, a.Answer)
	}
	n.metrics.late.Inc()
	if n.inbox.enter() != nil {
		n.logger.Warn("a late answer of the core was dropped, because too much waits for the leader; the resolver will ask for it", "payment", a.Payment.String())
		return
	}
	defer n.inbox.left()
	_ = n.inbox.push(event{do: func(l *leader) { l.late(a.Payment, a.Elapsed, next) }}, false)
}

func debitOf(p *journal.Payment) Debit {
	return Debit{
		Reference:       Reference{Payment: p.ID, Wire: p.Wire},
		Account:         p.DebtorAccount,
		Amount:          p.Amount,
		CreditorAccount: p.CreditorAccount,
		CreditorName:    p.CreditorName,
		EndToEndID:      p.EndToEndID,
	}
}

// seat asks the gate for a seat without a journal entry, and waits for it up to the budget.
func (n *Node) seat(class gate.Class, weight float64, budget time.Duration) (*call, *Refusal, error) {
	now := n.clock.elapsed()
	c := &call{
		kind: kindSeat, class: class, weight: weight, asked: now, deadline: now + budget, wake: make(chan struct{}, 1),
	}
	if err := n.await(c, budget); err != nil {
		return nil, nil, err
	}
	if c.refusal.Reason != gate.Admitted {
		return nil, &c.refusal, nil
	}
	return c, nil, nil
}

// leave gives a seat back after a call to the core. silent: the call may go on inside.
func (n *Node) leave(c *call, a Answer, silent bool) {
	n.inbox.push(event{call: c, answered: true, silent: silent, answer: a}, true)
}

// Balance asks the core for an account's available balance, in a seat of the given class and without a journal entry. A
// refusal means that the core was not asked.
func (n *Node) Balance(class gate.Class, account, currency string, budget time.Duration) (journal.Money, *Refusal, error) {
	budget = min(budget, BudgetMax)
	if refusal, refused := n.Refused(class); refused {
		n.metrics.refused(class, refusal.Reason)
		return journal.Money{}, &refusal, nil
	}
	deadline := time.Now().Add(budget)
	c, refusal, err := n.seat(class, weightInquiry, budget)
	if err != nil || refusal != nil {
		return journal.Money{}, refusal, err
	}
	start := time.Now()
	ctx, cancel := context.WithDeadline(n.coreCtx, deadline)
	defer cancel()
	money, err := n.core.Balance(ctx, account, currency)
	a := Answer{Word: Approved, Elapsed: max(time.Since(start), 1)}
	silent := false
	if err != nil {
		// Whether the core still works on it is not known: the seat stays until the core limit.
		a, silent = Answer{Word: InDoubt, Err: err}, ctx.Err() != nil
	}
	n.metrics.core(opBalance, a)
	n.leave(c, a, silent)
	return money, nil, err
}
