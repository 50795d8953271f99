package cluster

import (
	"fmt"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// Submit brings a command other than Authorise into the journal and returns what it did. A command without an id gets
// a random one; the caller must not change the command afterwards. While there is no leader it waits, up to the
// deadline and at most WaitMax. Repeated as a verdict means that an earlier try of the same id had taken effect.
//
// Errors: ErrNoLeader, ErrTooLarge, ErrOverloaded and ErrClosed are certain: nothing was done. ErrUnknown is not.
func (n *Node) Submit(cmd *journal.Command, deadline time.Time) (journal.Result, error) {
	if _, grant := cmd.GetBody().(*command.Command_Authorise); grant {
		return journal.Result{}, fmt.Errorf("cluster: Submit takes no Authorise: only the gate grants, through Confirm")
	}
	return n.submit(cmd, time.Until(deadline), false)
}

func (n *Node) submit(cmd *journal.Command, wait time.Duration, urgent bool) (journal.Result, error) {
	if len(cmd.Id) == 0 {
		cmd.Id = newCommandID()
	}
	wait = min(wait, WaitMax)
	now := n.clock.elapsed()
	c := &call{
		kind: kindCommand, urgent: urgent, cmd: cmd, size: sizeInEntry(cmd), asked: now, deadline: now + wait,
		wake: make(chan struct{}, 1),
	}
	if c.size > entryRoom {
		return journal.Result{}, fmt.Errorf("%w: it has %d bytes; make it smaller", ErrTooLarge, c.size)
	}
	if err := n.await(c, wait); err != nil {
		return journal.Result{}, err
	}
	return c.result, nil
}

// await pushes a call and waits for its answer, for as long as its asker does.
func (n *Node) await(c *call, wait time.Duration) error {
	if err := n.inbox.enter(); err != nil {
		return err
	}
	defer n.inbox.left()
	if err := n.inbox.push(event{call: c}, false); err != nil {
		return err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-c.wake:
		return c.err
	case <-timer.C:
	}
	if n.withdraw(c) {
		return n.notOffered()
	}
	if c.kind == kindSeat || c.stage.Load() == withdrawn {
		// Granted or refused in the same moment: the answer is on its way.
		<-c.wake
		return c.err
	}
	if c.answered.Load() {
		return c.err
	}
	return ErrUnknown
}

// withdraw takes a call back whose asker's time is over. It reports true if nothing was done for the call, and nothing
// will be. A call that is abroad is asked for, since only the leader that has it knows; no word in time is no certainty.
func (n *Node) withdraw(c *call) (certain bool) {
	if c.stage.CompareAndSwap(waiting, withdrawn) {
		return true
	}
	if c.stage.Load() != abroad {
		return false
	}
	// A seat without an asker is not used: the leader has only to be told.
	if (c.kind == kindSeat || c.kind == kindApplied) && c.stage.CompareAndSwap(abroad, withdrawn) {
		n.inbox.push(event{do: func(l *leader) { l.leave(c) }}, true)
		return true
	}
	n.inbox.push(event{do: func(l *leader) { l.leave(c) }}, true)
	timer := time.NewTimer(WithdrawWait)
	defer timer.Stop()
	for {
		// A recalled call may wait again; and the answer may come in this very moment.
		if c.answered.Load() {
			return false
		}
		switch c.stage.Load() {
		case withdrawn:
			return !c.answered.Load()
		case offered:
			return false
		case waiting:
			if c.stage.CompareAndSwap(waiting, withdrawn) {
				return true
			}
		}
		select {
		case <-c.wake:
		case <-timer.C:
			return false
		}
	}
}

// notOffered says why a call never got anywhere.
func (n *Node) notOffered() error {
	if !n.led() {
		return ErrNoLeader
	}
	return ErrOverloaded
}

// led reports whether a leader can be asked that may grant: this node itself, or one at the other end of the stream.
func (n *Node) led() bool { return n.gateTerm.Load() != 0 || n.linkTerm.Load() != 0 }

// Confirm authorises a payment, sends it to the core, and returns with the outcome, or at the end of the budget with the
// payment as it stands. A payment that somebody has confirmed before is not authorised again: Confirm then waits for
// the same outcome, with the verdict Attached.
//
// A Refusal is certain: for this call nothing was sent, and nothing was or will be charged. Once the gate has granted
// the seat there are no refusals any more, only states. Errors: ErrNoLeader, ErrOverloaded and ErrClosed (nothing was
// done), ErrUnknown (the payment is returned as last seen; ask again).
func (n *Node) Confirm(x Confirmation) (Confirmed, error) {
	budget := min(x.Budget, BudgetMax)
	now := n.clock.elapsed()
	c := &call{
		kind: kindAuthorise, urgent: true, class: gate.Confirm, tier: x.Tier, partner: uint32(x.Partner),
		weight: weightDebit, payment: x.Payment, asked: now, deadline: now + budget, within: x.Within, wake: make(chan struct{}, 1),
	}
	w := &waiter{id: x.Payment, outcome: true, wake: c.wake}
	// First the watch, then the look: a change between the two is seen by one of them.
	if !n.attendTo(w) {
		return Confirmed{}, ErrOverloaded
	}
	told := false
	defer func() {
		if !told {
			n.turnFrom(w)
		}
	}()
	p, ok := n.payment(x.Payment)
	done, over := n.standing(&x, p, ok)
	if over {
		return done, nil
	}
	if !ok || p.State == journal.StateReceived {
		// The edge's level is not asked here: only the leader knows whether another confirmation of this payment is
		// under way, and must not be contradicted by a refusal (rule 4).
		n.authorise(c, &x)
		if c.size > entryRoom {
			return Confirmed{}, fmt.Errorf("%w: it has %d bytes; shorten its texts", ErrTooLarge, c.size)
		}
		if err := n.inbox.enter(); err != nil {
			return Confirmed{}, err
		}
		defer n.inbox.left()
		if err := n.inbox.push(event{call: c}, false); err != nil {
			return Confirmed{}, err
		}
	}
	done, told, err := n.attend(c, w, &x, p, budget)
	return done, err
}

// standing answers a confirmation of a payment that does not wait for one. over is false if it does, or if its
// outcome is still to come.
func (n *Node) standing(x *Confirmation, p journal.Payment, ok bool) (done Confirmed, over bool) {
	switch {
	case !ok && !n.Leading():
		return Confirmed{}, false // this copy of the journal may be behind: the leader knows
	case !ok:
		return Confirmed{Verdict: journal.NotFound}, true
	case p.State == journal.StateReceived:
		return Confirmed{}, false
	case p.Granted == 0 || p.Customer != x.Customer:
		// Cancelled or expired, or confirmed by somebody else: nothing to attach to.
		return Confirmed{Verdict: journal.NotAllowed, Payment: p}, true
	case spoken(p.State):
		return Confirmed{Verdict: journal.Attached, Payment: p}, true
	}
	return Confirmed{}, false
}

// attend waits for a confirmation's end: a refusal, a verdict, the payment's outcome, or the end of the budget.
func (n *Node) attend(c *call, w *waiter, x *Confirmation, p journal.Payment, budget time.Duration) (done Confirmed, told bool, err error) {
	timer := time.NewTimer(budget)
	defer timer.Stop()
	verdict := journal.Done
	if p.State > journal.StateReceived {
		verdict = journal.Attached
	}
	for over := false; ; {
		select {
		case <-c.wake:
		case <-timer.C:
			over = true
		}
		if n.watch.told(w) {
			done = n.outcome(w, x, verdict)
			n.turnFrom(w)
			return done, true, nil
		}
		if c.answered.Load() {
			if c.err != nil {
				return Confirmed{Payment: p}, false, c.err
			}
			if c.refusal.Reason != gate.Admitted {
				return Confirmed{Refusal: &c.refusal, Payment: p}, false, nil
			}
			switch r := &c.result; r.Verdict {
			case journal.Done, journal.Repeated, journal.Attached:
				verdict = journal.Attached
				now, _ := n.payment(x.Payment)
				if r.Payment.Version > now.Version {
					now = r.Payment // the leader is ahead of this copy
				}
				if now.State > journal.StateReceived {
					if done, over := n.standing(x, now, true); over {
						return done, false, nil
					}
				}
			default:
				return Confirmed{Verdict: r.Verdict, Payment: r.Payment, Access: r.Access}, false, nil
			}
		}
		if over {
			done, err = n.overdue(c, p, verdict, budget)
			return done, false, err
		}
	}
}

// outcome reads the outcome that a waiter was told of.
func (n *Node) outcome(w *waiter, x *Confirmation, verdict journal.Verdict) Confirmed {
	p := w.payment
	if p.State == journal.StateNone {
		p, _ = n.payment(w.id)
	}
	if p.Granted == 0 || p.Customer != x.Customer {
		verdict = journal.NotAllowed
	}
	return Confirmed{Verdict: verdict, Payment: p}
}

// overdue answers a confirmation whose budget is over. If the gate has not granted its seat, that is certain; and the queue is known to be at least that long.
func (n *Node) overdue(c *call, seen journal.Payment, verdict journal.Verdict, budget time.Duration) (Confirmed, error) {
	if c.cmd != nil && n.withdraw(c) {
		if now, ok := n.payment(c.payment); ok && now.State != journal.StateReceived {
			return Confirmed{Verdict: journal.Attached, Payment: now}, nil // another confirmation was granted meanwhile
		}
		if !n.led() {
			return Confirmed{Payment: seen}, ErrNoLeader
		}
		n.metrics.refused(c.class, gate.TooLate)
		again := asLongAgain(budget)
		if now, refused := n.Refused(c.class); refused {
			again = max(now.RetryAfter, againMin)
		}
		return Confirmed{Refusal: &Refusal{Reason: gate.TooLate, RetryAfter: again}, Payment: seen}, nil
	}
	if c.stage.Load() == withdrawn { // refused in the same moment: the answer is on its way
		for !c.answered.Load() {
			<-c.wake
		}
		if c.err != nil {
			return Confirmed{Payment: seen}, c.err
		}
		return Confirmed{Refusal: &c.refusal, Payment: seen}, nil
	}
	p, ok := n.payment(c.payment)
	if !ok || p.State == journal.StateReceived {
		return Confirmed{Payment: seen}, ErrUnknown
	}
	return Confirmed{Verdict: verdict, Payment: p}, nil
}

// Unconfirmed reports whether it is certain that no confirmation of a payment by a customer has counted or is on its way, at any node: a leader
// has said how far the journal is, and up to there the payment waits for its confirmation, and no attempt of the customer's at a one-time code is
// open. Every confirmation begins with such an attempt (rule 9), which stands until the payment is authorised or the code's owner is told no.
// A customer of 0 is one who has not signed in. It waits UnconfirmedWait at most; false says nothing.
func (n *Node) Unconfirmed(id journal.PaymentID, customer journal.CustomerID) bool {
	if !n.led() || !n.CatchUp(UnconfirmedWait) {
		return false
	}
	// First the attempt, then the payment: what ends the one changes the other in the same entry.
	if customer != 0 {
		a, _, err := n.Access(customer)
		if err != nil || a.Lanes[journal.LaneOneTimeCode].Failures > 0 {
			return false
		}
	}
	p, ok, err := n.lookUp(id)
	return ok && err == nil && p.State == journal.StateReceived && !n.Confirming(id)
}

// authorise writes the command that a grant commits.
func (n *Node) authorise(c *call, x *Confirmation) {
	c.cmd = &journal.Command{
		Id: newCommandID(),
		Body: &command.Command_Authorise{Authorise: &command.Authorise{
			PaymentId: c.payment[:], Node: uint32(n.executor.Node), Incarnation: n.executor.Incarnation,
			Customer: uint64(x.Customer), SessionEpoch: uint64(x.SessionEpoch), SessionExpiresMs: int64(x.SessionExpires),
			AmountMinor: x.Amount.Minor, Currency: x.Amount.Currency,
			CreditorAccount: x.CreditorAccount, CreditorName: x.CreditorName, DebtorAccount: x.DebtorAccount,
			Factor: x.Proof.Factor, FactorStep: x.Proof.Step, Credential: x.Proof.Credential, SignCount: x.Proof.SignCount, KnownDevice: x.KnownDevice,
		}},
	}
	c.size = sizeInEntry(c.cmd)
}

// Await returns as soon as the payment's version is above the given one, or at the deadline, at most WaitMax from now,
// with the payment as it stands. Between two leaders, when no news can come, the time stands still (LeaderlessMax). It reports false if there is no such
// payment. Errors are those of Payment.
func (n *Node) Await(id journal.PaymentID, version uint32, deadline time.Time) (journal.Payment, bool, error) {
	w := &waiter{id: id, above: version, wake: make(chan struct{}, 1)}
	watched := n.attendTo(w)
	if watched {
		defer n.turnFrom(w)
	}
	p, ok, err := n.Payment(id)
	wait := min(time.Until(deadline), WaitMax)
	if !ok || p.Version > version || p.State.Final() || !watched || wait <= 0 {
		return p, ok, err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for over, stood := false, false; !over; {
		select {
		case <-w.wake:
			over = true
		case <-n.closing:
			over = true
		case <-timer.C:
			if left := n.leaderless(); left > 0 && !n.led() {
				stood = true
				timer.Reset(min(left, wait))
			} else {
				over, stood = !stood, false // the next leader gets the time, too
				timer.Reset(wait)
			}
		}
	}
	if now, found := n.payment(id); found {
		p = now
	}
	return p, true, n.staleness(&p)
}
