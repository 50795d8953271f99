package cluster

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/stream/wire"
)

// Two tabs at two nodes confirm one payment: one of them is the executor, and both hear the outcome.
func TestAtMostOneDebit_ConfirmedAtTwoNodesAtOnce(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		r.core.script = func(Debit) script { return script{work: 50 * time.Millisecond} }
		for range 20 {
			x := r.order()
			var asks sync.WaitGroup
			for i := range r.nodes {
				for range 2 {
					asks.Go(func() {
						if got := r.confirmAt(i, x); got.Payment.State != journal.StateSettled {
							t.Errorf("node %d: %+v", i+1, got)
						}
					})
				}
			}
			asks.Wait()
			r.is(x, journal.StateSettled, 1)
			if sent := r.core.wasSent(x.Payment); sent != 1 {
				t.Errorf("sent %d times", sent)
			}
		}
	})
}

// The stream breaks while the grant is being committed. The node asks again over the next one, hangs on to the call that
// is under way, and gets its "go".
func TestAtMostOneDebit_TheStreamBreaksDuringTheCommit(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		x := r.order()
		r.members[0].hold(true)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if got := r.confirmAt(1, x); got.Payment.State != journal.StateSettled {
				t.Errorf("got %+v", got)
			}
		}()
		time.Sleep(10 * time.Millisecond)
		r.cut(1)
		time.Sleep(300 * time.Millisecond)
		r.members[0].hold(false)
		<-done
		if sent := r.core.wasSent(x.Payment); sent != 1 {
			t.Errorf("sent %d times", sent)
		}
		r.is(x, journal.StateSettled, 1)
	})
}

// The executor's outcome is lost with the stream, and repeated.
func TestNothingAcknowledgedIsLost_AnOutcomeIsRepeatedOverTheNextStream(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		r.core.script = func(Debit) script { return script{work: time.Second} }
		x := r.order()
		done := make(chan struct{})
		go func() {
			defer close(done)
			if got := r.confirmAt(1, x); got.Payment.State != journal.StateSettled {
				t.Errorf("got %+v", got)
			}
		}()
		time.Sleep(500 * time.Millisecond)
		r.deaf[1].Store(true)
		r.cut(1)
		time.Sleep(time.Second)
		r.elect(2)
		time.Sleep(time.Second)
		r.deaf[1].Store(false)
		<-done
		r.is(x, journal.StateSettled, 1)
		time.Sleep(time.Second)
		if taken := r.nodes[2].Status().Gate.Taken; taken != 0 {
			t.Errorf("%d seats are taken", taken)
		}
	})
}

// A budget ends in the leader's queue: the leader takes the call back, and the no is certain. Where nobody can be asked, it is not.
func TestRefusedMeansNotCharged_ACallAbroadIsTakenBackByTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTrio(t, func(r *rig) { r.cfg.Gate.Limit = 1 })
		defer r.close()
		r.lead(0)
		r.core.script = func(Debit) script { return script{work: 6 * time.Second} }
		first, second, third := r.order(), r.order(), r.order()
		second.Budget, third.Budget = 1500*time.Millisecond, 1500*time.Millisecond
		var asks sync.WaitGroup
		asks.Go(func() { r.confirmAt(0, first) })
		time.Sleep(50 * time.Millisecond)
		asks.Go(func() {
			if got := r.confirmAt(1, second); got.Refusal == nil {
				t.Errorf("got %+v", got)
			}
		})
		asks.Go(func() {
			time.Sleep(100 * time.Millisecond)
			if got, err := r.nodes[2].Confirm(third); got.Refusal != nil || !errors.Is(err, ErrUnknown) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
		time.Sleep(500 * time.Millisecond)
		r.deaf[2].Store(true)
		r.cut(2)
		asks.Wait()
		time.Sleep(20 * time.Second)
		r.is(second, journal.StateReceived, 0)
		r.is(third, journal.StateReceived, 0)
	})
}

// A new leader starts balances as soon as every node has said which of its calls are inside the core; and counts those.
func TestSeatsAreExact_OpenCallsAreReportedToTheNextLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTrio(t, func(r *rig) { r.cfg.Gate.Limit = 4 })
		defer r.close()
		r.lead(0)
		time.Sleep(13 * time.Second)
		hold := make(chan struct{})
		r.core.balance = func() { <-hold }
		var asks sync.WaitGroup
		for i := range 3 {
			asks.Go(func() {
				if _, refusal, err := r.nodes[i].Balance(gate.Inquiry, "62220000000001", "CNY", 20*time.Second); err != nil || refusal != nil {
					t.Errorf("node %d: %v, %v", i+1, refusal, err)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		r.lead(1)
		time.Sleep(300 * time.Millisecond)
		if taken := r.nodes[1].Status().Gate.Taken; taken != 3 {
			t.Errorf("%d seats are taken, want 3", taken)
		}
		time.Sleep(500 * time.Millisecond)
		if refusal, ok := r.nodes[2].Refused(gate.Inquiry); ok {
			t.Errorf("refused with %v", refusal.Reason)
		}
		asks.Go(func() {
			if _, refusal, err := r.nodes[2].Balance(gate.Inquiry, "62220000000001", "CNY", 10*time.Second); err != nil || refusal != nil {
				t.Errorf("a fourth: %v, %v", refusal, err)
			}
		})
		time.Sleep(500 * time.Millisecond)
		if taken := r.nodes[1].Status().Gate.Taken; taken != 4 {
			t.Errorf("%d seats are taken, want 4", taken)
		}
		close(hold)
		asks.Wait()
		time.Sleep(time.Second)
		if taken := r.nodes[1].Status().Gate.Taken; taken != 0 {
			t.Errorf("%d seats are taken at the end", taken)
		}
	})
}

// A no of a leader whose term is over may be contradicted by the present one.
func TestRule4_ARefusalOfATermThatIsOverIsNotBelieved(t *testing.T) {
	withPuppet(t, func(t *testing.T, p *puppet) {
		x := p.r.create()
		x.Budget = time.Second
		link := <-p.links
		done := make(chan struct{})
		go func() {
			defer close(done)
			if got, err := p.node.Confirm(x); got.Refusal != nil || !errors.Is(err, ErrUnknown) {
				t.Errorf("got %+v, %v", got, err)
			}
		}()
		c := <-p.calls
		raise(&p.node.highestTerm, 6)
		link.Send(&wire.Message{Body: &wire.Message_Result{Result: &wire.Result{Id: c.Id, Refusal: uint32(gate.QueueFull), RetryAfterUs: 1e6}}})
		<-done
	})
}

// The outcome has arrived at a leader that loses it with its term.
func TestNothingAcknowledgedIsLost_AnOutcomeThatTheLeaderLosesIsRepeatedAtTheNext(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		r.core.script = func(Debit) script { return script{work: 300 * time.Millisecond} }
		x := r.order()
		done := make(chan struct{})
		go func() {
			defer close(done)
			if got := r.confirmAt(1, x); got.Payment.State != journal.StateSettled {
				t.Errorf("got %+v", got)
			}
		}()
		time.Sleep(200 * time.Millisecond)
		r.members[0].hold(true)
		time.Sleep(200 * time.Millisecond)
		r.elect(2) // what is in flight vanishes
		<-done
		r.is(x, journal.StateSettled, 1)
	})
}

// The payment is inside the core, and this node's copy of the journal does not know it yet: another tab asks the leader, hears that
// it was granted to this process, and must not take its "go" for lost.
func TestAtMostOneDebit_ASecondTabWhileTheFirstIsInTheCore(t *testing.T) {
	f := func(t *testing.T, r *trio, at int, between func()) {
		t.Helper()
		r.core.script = func(Debit) script { return script{work: time.Second} }
		x := r.order()
		r.members[at].lag.Store(int64(700 * time.Millisecond))
		time.Sleep(time.Second)
		var asks sync.WaitGroup
		for range 2 {
			asks.Go(func() {
				if got := r.confirmAt(at, x); got.Payment.State != journal.StateSettled {
					t.Errorf("got %+v", got)
				}
			})
			time.Sleep(100 * time.Millisecond)
			between()
		}
		asks.Wait()
		r.is(x, journal.StateSettled, 1)
	}
	inTrio(t, func(t *testing.T, r *trio) { f(t, r, 1, func() {}) })
	inTrio(t, func(t *testing.T, r *trio) { f(t, r, 1, func() { r.cut(1) }) })
	inTrio(t, func(t *testing.T, r *trio) { f(t, r, 1, func() { r.elect(2) }) })
	inTrio(t, func(t *testing.T, r *trio) { f(t, r, 0, func() { r.elect(2) }) })
}

// The leader loses its term with a grant in flight, and wins the next one before it hears what became of the entry. The payment
// is granted again meanwhile: whatever is said about the first grant must not hit the second.
func TestAtMostOneDebit_AGrantOfAnEarlierTermIsGivenUpAfterTheSecond(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		r.core.script = func(Debit) script { return script{work: time.Second} }
		x := r.order()
		r.members[0].latency = 100 * time.Millisecond
		done := make(chan struct{})
		go func() {
			defer close(done)
			if got := r.confirmAt(1, x); got.Payment.State != journal.StateSettled {
				t.Errorf("got %v, %v", got.Payment.State, got.Payment.Reason)
			}
		}()
		time.Sleep(5 * time.Millisecond)
		r.elect(0)
		<-done
		time.Sleep(5 * time.Second)
		r.is(x, journal.StateSettled, 1)
	})
}

// This node grants a payment itself and has it in the core. A second tab has looked at the payment before that, and its call comes
// to another node's leader, which says that this process is the executor. That must not be taken for a "go" that was lost.
func TestAtMostOneDebit_ASecondTabAsksTheNextLeaderAboutWhatThisNodeGranted(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		r.core.script = func(Debit) script { return script{work: time.Second} }
		x := r.order()
		done := make(chan struct{})
		go func() {
			defer close(done)
			if got := r.confirmAt(0, x); got.Payment.State != journal.StateSettled {
				t.Errorf("got %v, %v", got.Payment.State, got.Payment.Reason)
			}
		}()
		time.Sleep(100 * time.Millisecond)
		r.lead(2)
		n := r.nodes[0]
		late := &call{kind: kindAuthorise, urgent: true, weight: weightDebit, payment: x.Payment, asked: n.clock.elapsed(), wake: make(chan struct{}, 1)}
		late.deadline = late.asked + x.Budget
		n.authorise(late, &x)
		n.inbox.push(event{call: late}, false)
		<-done
		r.is(x, journal.StateSettled, 1)
	})
}

// A balance that a node that follows has given up is over some time later, and then nobody remembers it.
func TestEverythingIsBounded_BalancesThatWereGivenUpAreForgotten(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		time.Sleep(13 * time.Second)
		if _, refusal, err := r.nodes[1].Balance(gate.Inquiry, "20s", "CNY", time.Second); err == nil || refusal != nil {
			t.Fatalf("%v, %v", refusal, err)
		}
		time.Sleep(20 * time.Second)
		if left := leftovers(r.nodes[1]); left != "" {
			t.Errorf("it keeps %s", left)
		}
	})
}

// A NotSent names the executor and not the grant: it is not said while a confirmation of the payment by this process is out.
func TestAtMostOneDebit_NotSentIsNotSaidWhileAConfirmationIsOut(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		r.core.script = func(Debit) script { return script{work: time.Second} }
		for i := range 2 {
			x := r.order()
			done := make(chan struct{})
			go func() {
				defer close(done)
				r.confirmAt(i, x)
			}()
			time.Sleep(500 * time.Millisecond)
			r.nodes[i].inbox.push(event{do: func(l *leader) {
				p, _ := l.n.payment(x.Payment)
				if p.State != journal.StateAuthorised || p.Executor != l.n.executor {
					t.Errorf("the payment is %v", p.State)
				}
				l.disown(p)
			}}, true)
			<-done
			r.is(x, journal.StateSettled, 1)
		}
	})
}

// The asker leaves while its grant is being committed: the leader does not say that it was taken back.
func TestRefusedMeansNotCharged_WhatIsInAnEntryIsNotTakenBack(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		x := r.order()
		x.Budget = 300 * time.Millisecond
		r.members[0].hold(true)
		if got, err := r.nodes[1].Confirm(x); got.Refusal != nil || !errors.Is(err, ErrUnknown) {
			t.Errorf("got %+v, %v", got, err)
		}
		r.members[0].hold(false)
		time.Sleep(time.Second)
		r.is(x, journal.StateSettled, 1)
	})
}
