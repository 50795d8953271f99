package cluster

import (
	"sync"
	"testing"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/replica"
)

// within waits in virtual time until a payment has a state.
func (r *rig) within(limit time.Duration, x Confirmation, want journal.State) {
	r.t.Helper()
	for start := time.Now(); time.Since(start) <= limit; time.Sleep(50 * time.Millisecond) {
		if r.state(x) == want {
			return
		}
	}
	r.t.Fatalf("the payment is %v after %v, want %v", r.state(x), limit, want)
}

func TestUnknownIsNotFailed_ADroppedAnswerIsShownAsInDoubtAndThenSettled(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.core.script = func(Debit) script { return script{mute: true, work: time.Second} }
		r.boot()
		x := r.create()
		x.Budget = 20 * time.Second
		if got := r.confirm(x); got.Payment.State != journal.StateInDoubt {
			t.Fatalf("got %v", got.Payment.State)
		}
		r.within(20*time.Second, x, journal.StateSettled)
		r.is(x, journal.StateSettled, 1)
	})
}

// 25 from an inquiry is no end: the decision to reverse is committed, and only its acknowledgement rejects (rule 6).
func TestRule6_UnknownLeadsToAReversalThatIsDecidedFirst(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.core.script = func(Debit) script { return script{lose: true} }
		refusals := 3
		r.core.reverse = func(d Debit, repeat bool) (Answer, bool) {
			if p, _, _ := r.node.Payment(d.Payment); p.State != journal.StateReversing {
				t.Errorf("a reversal was sent for a payment that is %v", p.State)
			}
			if refusals == 0 {
				return Answer{}, false
			}
			refusals--
			return Answer{Word: InDoubt, Err: errBroken}, true
		}
		r.boot()
		x := r.create()
		x.Budget = 20 * time.Second
		granted := time.Now()
		if got := r.confirm(x); got.Payment.State != journal.StateInDoubt {
			t.Fatalf("got %v", got.Payment.State)
		}
		r.within(30*time.Second, x, journal.StateReversing)
		if took := time.Since(granted); took < r.node.cfg.silence() {
			t.Errorf("the decision to reverse was taken %v after the grant, before the core limit was over", took)
		}
		r.within(time.Minute, x, journal.StateRejected)
		r.is(x, journal.StateRejected, 0)
		if r.core.repeats != 3 {
			t.Errorf("%d of %d advices were marked as repeats, want all but the first", r.core.repeats, r.core.advices)
		}
	})
}

func TestResolver_ARunningPaymentIsAskedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.core.script = func(Debit) script { return script{mute: true, work: time.Second} }
		running := 5
		r.core.inquire = func(Reference) (Answer, bool) {
			running--
			return Answer{Word: Running, ResponseCode: "09", Elapsed: 1}, running >= 0
		}
		r.boot()
		x := r.create()
		r.confirm(x)
		r.within(time.Minute, x, journal.StateSettled)
		if r.core.advices != 0 {
			t.Error("a running payment was reversed")
		}
	})
}

// The core approves between the inquiry's look and its answer. Whichever commits first stands, and the money agrees with it.
func TestAtMostOneDebit_AReversalRacesALateApproval(t *testing.T) {
	f := func(t *testing.T, late bool, wantState journal.State, wantMoved int) {
		t.Helper()
		inBubble(t, func(t *testing.T, r *rig) {
			r.core.script = func(Debit) script { return script{lose: true} }
			r.boot()
			x := r.create()
			debit := func() {
				p, _, _ := r.node.Payment(x.Payment)
				r.core.mu.Lock()
				r.core.inside++
				r.core.mu.Unlock()
				a := r.core.book(debitOf(&p), script{})
				r.node.Late(LateAnswer{Reference: Reference{Payment: p.ID, Wire: p.Wire}, Answer: a})
			}
			if late { // the message overtakes everything between decision and advice
				r.core.reverse = func(Debit, bool) (Answer, bool) {
					r.core.mu.Unlock()
					debit()
					r.core.mu.Lock()
					return Answer{}, false
				}
			} else {
				once := false
				r.core.meanwhile = func(Reference) {
					if !once {
						once = true
						debit()
						time.Sleep(100 * time.Millisecond)
					}
				}
			}
			r.confirm(x)
			r.within(2*time.Minute, x, wantState)
			time.Sleep(time.Minute)
			r.is(x, wantState, wantMoved)
		})
	}
	f(t, false, journal.StateSettled, 1)
	f(t, true, journal.StateRejected, 0)
}

func TestUnknownIsNotFailed_ALateAnswerSettles(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.core.script = func(Debit) script { return script{mute: true, late: true, work: 11 * time.Second} }
		r.core.inquire = func(Reference) (Answer, bool) { return Answer{Word: InDoubt, Err: errBroken}, true }
		r.boot()
		x := r.create()
		x.Budget = 20 * time.Second
		if got := r.confirm(x); got.Payment.State != journal.StateInDoubt {
			t.Fatalf("got %v", got.Payment.State)
		}
		time.Sleep(2 * time.Second)
		r.is(x, journal.StateSettled, 1)
	})
}

// The process dies between the commit of the grant and the write. Nobody else may send; the core has never heard of
// it, and the reversal makes that certain.
func TestRule1_AGrantWhoseExecutorDiedIsNeverSentByAnother(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		x := r.create()
		out, err := r.disk.apply(0, &journal.Batch{Version: 1, StampMs: time.Now().UnixMilli(), Commands: []*journal.Command{grantOf(x, 2, 77)}}, nil)
		if err != nil || out.Results[0].Verdict != journal.Done {
			t.Fatal(out, err)
		}
		r.boot()
		x.Budget = 5 * time.Second
		if got := r.confirm(x); got.Verdict != journal.Attached || got.Payment.State != journal.StateAuthorised {
			t.Fatalf("got %+v", got)
		}
		r.within(time.Minute, x, journal.StateRejected)
		if r.core.wasSent(x.Payment) != 0 {
			t.Error("it was sent")
		}
		r.is(x, journal.StateRejected, 0)
	})
}

func grantOf(x Confirmation, node uint32, incarnation uint64) *journal.Command {
	return &journal.Command{Id: newCommandID(), Body: &command.Command_Authorise{Authorise: &command.Authorise{
		PaymentId: x.Payment[:], Node: node, Incarnation: incarnation, Customer: uint64(x.Customer), SessionEpoch: uint64(x.SessionEpoch),
		SessionExpiresMs: int64(x.SessionExpires), AmountMinor: x.Amount.Minor, Currency: x.Amount.Currency,
		CreditorAccount: x.CreditorAccount, CreditorName: x.CreditorName, DebtorAccount: x.DebtorAccount,
		Factor: x.Proof.Factor, FactorStep: x.Proof.Step, Credential: x.Proof.Credential, SignCount: x.Proof.SignCount,
	}}}
}

// Resolution of a silent payment starts after send-by and core limit, not before (rule 2).
func TestRule2_ASilentPaymentIsLeftAloneUntilNothingCanBeOnItsWay(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		x := r.create()
		r.disk.apply(0, &journal.Batch{Version: 1, StampMs: time.Now().UnixMilli(), Commands: []*journal.Command{grantOf(x, 2, 77)}}, nil)
		r.boot()
		time.Sleep(r.node.cfg.silence() - time.Second)
		if got := r.state(x); got != journal.StateAuthorised || r.core.asked() != 0 {
			t.Errorf("it is %v after %d inquiries", got, r.core.asked())
		}
		r.within(10*time.Second, x, journal.StateInDoubt)
	})
}

// After a crash nobody waits for what the core has long done: a node's own past life can send nothing any more. Treating it as another's
// silence left each restart with its seats taken for 12 s, and a node that was killed more often than that resolved nothing.
func TestResolver_WhatAPastLifeSentIsAskedAboutAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.core.script = func(Debit) script { return script{work: time.Second} }
		r.boot()
		x := r.create()
		past := r.node
		var asker sync.WaitGroup
		asker.Go(func() { past.Confirm(x) })
		time.Sleep(500 * time.Millisecond)
		r.kill()
		r.boot()
		r.within(4*time.Second, x, journal.StateSettled)
		r.is(x, journal.StateSettled, 1)
		time.Sleep(time.Second)
		if taken := r.node.Status().Gate.Taken; taken != 0 {
			t.Errorf("%d seats are taken by what is over", taken)
		}
		asker.Wait()
	})
}

// But "unknown" is no end before nothing can be on its way to the core (rule 2): the payment stays as it is, and keeps its seat.
func TestRule2_WhatAPastLifeMayHaveSentIsNotReversedEarly(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		x := r.create()
		r.disk.apply(0, &journal.Batch{Version: 1, StampMs: time.Now().UnixMilli(), Commands: []*journal.Command{grantOf(x, 1, 77)}}, nil)
		r.boot()
		time.Sleep(r.node.cfg.silence() - time.Second)
		if got := r.state(x); got != journal.StateAuthorised || r.core.advices != 0 || r.core.asked() == 0 || r.node.Status().Gate.Taken != 1 {
			t.Errorf("it is %v after %d inquiries and %d advices, with %d seats taken", got, r.core.asked(), r.core.advices, r.node.Status().Gate.Taken)
		}
		r.within(5*time.Second, x, journal.StateRejected)
	})
}

// A grant that was not used by its send-by time is not used at all (rule 2).
func TestRule2_ALateGrantIsNotSent(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.core.script = func(Debit) script { t.Error("the core was called"); return script{} }
		r.boot()
		x := r.create()
		x.Budget = 20 * time.Second
		r.log.hold()
		done := make(chan Confirmed)
		go func() { done <- r.confirm(x) }()
		time.Sleep(r.node.cfg.SendBy + time.Second)
		r.log.release()
		got := <-done
		if got.Payment.State != journal.StateRejected || got.Payment.Reason != journal.ReasonNotSent {
			t.Errorf("got %v, %v", got.Payment.State, got.Payment.Reason)
		}
		if r.core.wasSent(x.Payment) != 0 {
			t.Error("it was sent")
		}
	})
}

func TestResolver_AllInDoubtIsResolvedWithinAMinuteOfTheCoresReturn(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.cfg.Gate.Limit = 32
		r.core.script = func(Debit) script { return script{mute: true, work: time.Second} }
		r.boot()
		all := make([]Confirmation, 32)
		for i := range all {
			all[i] = r.create()
			all[i].Budget = 5 * time.Second
			go r.node.Confirm(all[i])
		}
		time.Sleep(2 * time.Second)
		r.core.set(func() { r.core.gone = true })
		time.Sleep(10 * time.Minute)
		for _, x := range all {
			r.is(x, journal.StateInDoubt, 1)
		}
		r.core.set(func() { r.core.gone = false })
		time.Sleep(time.Minute)
		for _, x := range all {
			r.is(x, journal.StateSettled, 1)
		}
	})
}

// An executor that was told nothing certain about its grant says that it will not send it, and the customer hears so.
func TestRule1_AGrantLostWithItsLeadershipIsNotSent(t *testing.T) {
	f := func(t *testing.T, of fate, wantSent int, want journal.State) {
		t.Helper()
		inBubble(t, func(t *testing.T, r *rig) {
			r.boot()
			x := r.create()
			r.log.hold()
			done := make(chan Confirmed)
			go func() { done <- r.confirm(x) }()
			time.Sleep(50 * time.Millisecond)
			r.log.depose(of)
			time.Sleep(500 * time.Millisecond)
			r.log.elect()
			if got := <-done; got.Payment.State != want {
				t.Errorf("got %v, want %v", got.Payment.State, want)
			}
			if got := r.core.wasSent(x.Payment); got != wantSent {
				t.Errorf("sent %d times, want %d", got, wantSent)
			}
		})
	}
	f(t, survives, 0, journal.StateRejected)
	f(t, vanishes, 1, journal.StateSettled) // it never was, so it may be tried again
}

// The core's answer comes while there is no leader: it is kept, and committed by the next.
func TestNothingAcknowledgedIsLost_AnAnswerWithoutALeaderIsCommittedLater(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.core.script = func(Debit) script { return script{work: time.Second} }
		r.boot()
		x := r.create()
		done := make(chan Confirmed)
		go func() { done <- r.confirm(x) }()
		time.Sleep(500 * time.Millisecond)
		r.log.depose(vanishes)
		time.Sleep(2 * time.Second)
		r.log.elect()
		if got := <-done; got.Payment.State != journal.StateSettled {
			t.Errorf("got %v", got.Payment.State)
		}
		r.is(x, journal.StateSettled, 1)
	})
}

// The outcome's entry meets an error that says nothing: it is repeated under the same id until its fate is definite.
func TestNothingAcknowledgedIsLost_AnOutcomeIsRepeatedUntilItIsDefinite(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.core.script = func(Debit) script { return script{work: time.Second} }
		r.boot()
		x := r.create()
		done := make(chan Confirmed)
		go func() { done <- r.confirm(x) }()
		time.Sleep(500 * time.Millisecond)
		r.log.hold()
		time.Sleep(time.Second)
		r.log.depose(vanishes)
		r.log.elect()
		if got := <-done; got.Payment.State != journal.StateSettled {
			t.Errorf("got %v", got.Payment.State)
		}
		r.log.setRefuse(replica.ErrBusy)
		y := r.create()
		go func() { done <- r.confirm(y) }()
		time.Sleep(time.Second)
		r.log.setRefuse(nil)
		if got := <-done; got.Payment.State != journal.StateSettled {
			t.Errorf("got %v", got.Payment.State)
		}
	})
}

// A second tab confirms while a lost grant is being looked for. Its own grant must not meet the NotSent of the first: a random
// history found a payment rejected as not sent while the core was moving its money.
func TestAtMostOneDebit_NoSecondGrantWhileALostOneIsLookedFor(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.core.script = func(Debit) script { return script{work: time.Second} }
		r.boot()
		x := r.create()
		r.log.hold()
		done := make(chan Confirmed, 2)
		go func() { done <- r.confirm(x) }()
		time.Sleep(50 * time.Millisecond)
		r.log.depose(vanishes)
		time.Sleep(50 * time.Millisecond)
		go func() { done <- r.confirm(x) }()
		time.Sleep(50 * time.Millisecond)
		r.log.elect()
		for range 2 {
			if got := <-done; got.Payment.State != journal.StateSettled {
				t.Errorf("got %v, %v", got.Payment.State, got.Payment.Reason)
			}
		}
		time.Sleep(time.Minute)
		r.is(x, journal.StateSettled, 1)
		if sent := r.core.wasSent(x.Payment); sent != 1 {
			t.Errorf("sent %d times", sent)
		}
	})
}
