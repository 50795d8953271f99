package cluster

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
)

func TestConfirm_ReturnsWithTheOutcome(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.boot()
		x := r.create()
		got := r.confirm(x)
		if got.Refusal != nil || got.Verdict != journal.Done || got.Payment.State != journal.StateSettled || got.Payment.ApprovalCode != "A00001" {
			t.Fatalf("got %+v", got)
		}
		r.is(x, journal.StateSettled, 1)
	})
}

func TestConfirm_ADeclineIsARejection(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.core.script = func(Debit) script { return script{decline: "51"} }
		r.boot()
		x := r.create()
		if got := r.confirm(x); got.Payment.State != journal.StateRejected || got.Payment.ResponseCode != "51" {
			t.Fatalf("got %+v", got)
		}
		r.is(x, journal.StateRejected, 0)
	})
}

func TestAtMostOneDebit_ConcurrentConfirmsTakeOneSeat(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.core.script = func(Debit) script { return script{work: 100 * time.Millisecond} }
		r.boot()
		x := r.create()
		r.log.hold()
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 50 * time.Millisecond)
				if got := r.confirm(x); got.Payment.State != journal.StateSettled {
					t.Errorf("confirm %d: %+v", i, got)
				}
			})
		}
		time.Sleep(225 * time.Millisecond)
		r.log.release()
		wg.Wait()
		time.Sleep(time.Second)
		if sent := r.core.wasSent(x.Payment); sent != 1 {
			t.Errorf("sent %d times", sent)
		}
		if starts := r.node.Status().Gate.Counts[gate.Confirm][gate.Admitted]; starts != 1 {
			t.Errorf("%d seats were taken", starts)
		}
		r.is(x, journal.StateSettled, 1)
	})
}

// While it waits for its seat, somebody else is granted the payment. Its own grant is Attached, and starts nothing.
func TestAtMostOneDebit_AGrantThatComesSecondIsNotSent(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.cfg.Gate.Limit = 1
		r.core.script = func(Debit) script { return script{work: 2 * time.Second} }
		r.boot()
		first, x := r.create(), r.create()
		var wg sync.WaitGroup
		wg.Go(func() { r.confirm(first) })
		time.Sleep(100 * time.Millisecond)
		wg.Go(func() {
			if got := r.confirm(x); got.Verdict != journal.Attached || got.Payment.State != journal.StateAuthorised {
				t.Errorf("got %v, %v", got.Verdict, got.Payment.State)
			}
		})
		time.Sleep(100 * time.Millisecond)
		r.put(grantOf(x, 2, 77))
		wg.Wait()
		if r.core.wasSent(x.Payment) != 0 {
			t.Error("it was sent by the wrong executor")
		}
	})
}

func TestConfirm_AnotherCustomersPaymentIsNotShown(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.boot()
		x := r.create()
		r.confirm(x)
		x.Customer++
		if got := r.confirm(x); got.Verdict != journal.NotAllowed {
			t.Fatalf("got %v", got.Verdict)
		}
	})
}

func TestConfirm_AWrongSessionIsAVerdictAndFreesTheSeat(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.cfg.Gate.Limit = 1
		r.boot()
		x := r.create()
		bad := x
		bad.SessionEpoch = 9
		if got := r.confirm(bad); got.Verdict != journal.NoSession || got.Access.Epoch != 1 {
			t.Fatalf("got %+v", got)
		}
		if got := r.confirm(x); got.Payment.State != journal.StateSettled {
			t.Fatalf("got %+v", got)
		}
	})
}

func TestConfirm_AFollowerOfAFailedConfirmAsksForItself(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.boot()
		x := r.create()
		bad := x
		bad.SessionEpoch = 9
		r.log.hold()
		var wg sync.WaitGroup
		wg.Go(func() {
			if got := r.confirm(bad); got.Verdict != journal.NoSession {
				t.Errorf("got %+v", got)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if got := r.confirm(x); got.Payment.State != journal.StateSettled {
				t.Errorf("got %+v", got)
			}
		})
		synctest.Wait()
		time.Sleep(10 * time.Millisecond)
		r.log.release()
		wg.Wait()
	})
}

// While it is queued, a budget that is over is a certain no; nothing is charged later.
func TestRefusedMeansNotCharged_BudgetOverInTheQueue(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.cfg.Gate.Limit = 1
		r.core.script = func(Debit) script { return script{work: 3 * time.Second} }
		r.boot()
		first, second := r.create(), r.create()
		second.Budget = time.Second
		var wg sync.WaitGroup
		wg.Go(func() { r.confirm(first) })
		synctest.Wait()
		time.Sleep(10 * time.Millisecond)
		got := r.confirm(second)
		if got.Refusal == nil || got.Payment.State != journal.StateReceived {
			t.Fatalf("got %+v", got)
		}
		wg.Wait()
		time.Sleep(time.Minute)
		r.is(second, journal.StateReceived, 0)
		if r.core.wasSent(second.Payment) != 0 {
			t.Error("a refused payment was sent")
		}
	})
}

// Once offered to Raft there is no refusal, only the state as it stands (rule 4).
func TestRule4_BudgetOverInTheEntryIsNoRefusal(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.boot()
		x := r.create()
		x.Budget = time.Second
		r.log.hold()
		got, err := r.node.Confirm(x)
		if !errors.Is(err, ErrUnknown) || got.Refusal != nil {
			t.Fatalf("got %+v, %v", got, err)
		}
		r.log.release()
		time.Sleep(time.Second)
		r.is(x, journal.StateSettled, 1)
	})
}

func TestConfirm_BudgetOverInTheCoreGivesThePaymentAsItStands(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.core.script = func(Debit) script { return script{work: 5 * time.Second} }
		r.boot()
		x := r.create()
		x.Budget = 2 * time.Second
		if got := r.confirm(x); got.Refusal != nil || got.Payment.State != journal.StateAuthorised {
			t.Fatalf("got %+v", got)
		}
		time.Sleep(10 * time.Second)
		r.is(x, journal.StateSettled, 1)
	})
}

// Rule 4: a new leader that has not applied everything neither refuses nor grants.
func TestRule4_ANewLeaderIsSilentUntilItsBarrier(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.commit = 500 * time.Millisecond
		r.start()
		x := r.create()
		x.Budget = 200 * time.Millisecond
		if got, err := r.node.Confirm(x); !errors.Is(err, ErrNoLeader) || got.Refusal != nil {
			t.Fatalf("got %+v, %v", got, err)
		}
		r.log.elect()
		synctest.Wait()
		if r.node.Leading() {
			t.Error("leads before its barrier")
		}
		if got, err := r.node.Confirm(x); !errors.Is(err, ErrNoLeader) || got.Refusal != nil {
			t.Fatalf("got %+v, %v", got, err)
		}
		x.Budget = 5 * time.Second
		if got := r.confirm(x); got.Payment.State != journal.StateSettled {
			t.Fatalf("got %+v", got)
		}
	})
}

// Rule 4: a new leader looks a payment up before it refuses it. Here the clock makes it refuse everything.
func TestRule4_ALookComesBeforeARefusal(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		var wall jumpy
		r.cfg.wall = wall.now
		r.start()
		x, other := r.create(), r.create()
		x.Budget, other.Budget = 5*time.Second, 5*time.Second
		var wg sync.WaitGroup
		wg.Go(func() {
			if got := r.confirm(x); got.Refusal != nil || got.Verdict != journal.Attached || got.Payment.State != journal.StateAuthorised {
				t.Errorf("got %+v", got)
			}
		})
		wg.Go(func() {
			if got := r.confirm(other); got.Refusal == nil || got.Refusal.Reason != gate.NoLeader {
				t.Errorf("got %+v", got)
			}
		})
		synctest.Wait()
		r.put(grantOf(x, 2, 77)) // the last leader's doing, applied only now
		wall.set(-time.Hour)
		r.log.elect()
		wg.Wait()
	})
}

// A second tab must not hear "not charged" while the first one's grant is in flight, whatever the gate thinks now.
func TestRefusedMeansNotCharged_ASecondTabIsNotRefusedWhileTheFirstIsInFlight(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		var wall jumpy
		r.cfg.wall = wall.now
		r.boot()
		x := r.create()
		r.log.hold()
		var wg sync.WaitGroup
		confirm := func(budget time.Duration) {
			x := x
			x.Budget = budget
			wg.Go(func() {
				if got, _ := r.node.Confirm(x); got.Refusal != nil {
					t.Errorf("refused with %v", got.Refusal.Reason)
				}
			})
		}
		confirm(10 * time.Second)
		time.Sleep(10 * time.Millisecond)
		confirm(500 * time.Millisecond) // its budget ends in the queue behind the first
		wall.set(-time.Hour)            // and from here on everything is refused
		time.Sleep(time.Second)
		confirm(10 * time.Second)
		time.Sleep(100 * time.Millisecond)
		r.log.release()
		wg.Wait()
		r.is(x, journal.StateSettled, 1)
	})
}

// The second tab queues behind the first for its seat, and its budget ends when the first is in flight.
func TestRefusedMeansNotCharged_WhoHangsOnAGrantSharesItsFate(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.cfg.Gate.Limit = 1
		r.core.script = func(Debit) script { return script{work: time.Second} }
		r.boot()
		first, x := r.create(), r.create()
		var wg sync.WaitGroup
		wg.Go(func() { r.confirm(first) })
		time.Sleep(50 * time.Millisecond)
		wg.Go(func() { r.confirm(x) })
		time.Sleep(50 * time.Millisecond)
		wg.Go(func() {
			x := x
			x.Budget = 1500 * time.Millisecond
			if got, err := r.node.Confirm(x); got.Refusal != nil || !errors.Is(err, ErrUnknown) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
		time.Sleep(500 * time.Millisecond)
		r.log.hold()
		time.Sleep(1500 * time.Millisecond)
		r.log.release()
		wg.Wait()
	})
}

// Between a confirmation's own look and the gate's no, the payment was granted to another one.
func TestRefusedMeansNotCharged_ALookComesBeforeEveryNo(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		var wall jumpy
		r.cfg.wall = wall.now
		r.boot()
		x, y := r.create(), r.create()
		r.put(grantOf(x, 2, 77))
		wall.set(-time.Hour)
		time.Sleep(time.Second)
		c := &call{kind: kindAuthorise, class: gate.Confirm, weight: weightDebit, payment: x.Payment, wake: make(chan struct{}, 1)}
		r.node.inbox.push(event{call: c}, false)
		<-c.wake
		if c.refusal.Reason != gate.Admitted || c.result.Verdict != journal.Attached {
			t.Errorf("refused with %v", c.refusal.Reason)
		}
		r.log.depose(vanishes)
		time.Sleep(time.Second)
		done := make(chan struct{})
		y.Budget = time.Second
		go func() {
			defer close(done)
			if got, err := r.node.Confirm(y); err != nil || got.Refusal != nil || got.Payment.State != journal.StateAuthorised {
				t.Errorf("got %+v, %v", got, err)
			}
		}()
		time.Sleep(100 * time.Millisecond)
		r.put(grantOf(y, 1, 77))
		<-done
	})
}

// A grant that waits too long for a place in an entry is taken back. It was never offered to Raft, so the no is certain.
func TestRefusedMeansNotCharged_AGrantThatFoundNoEntry(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.boot()
		r.log.hold()
		var wg sync.WaitGroup
		for range EntriesInFlight {
			x := r.create()
			x.Budget = 30 * time.Second
			wg.Go(func() { r.confirm(x) })
			time.Sleep(20 * time.Millisecond)
		}
		x := r.create()
		x.Budget = 30 * time.Second
		wg.Go(func() {
			if got := r.confirm(x); got.Refusal == nil || got.Refusal.Reason != gate.TooLate {
				t.Errorf("got %+v", got)
			}
		})
		time.Sleep(3 * time.Second)
		r.log.release()
		wg.Wait()
		r.is(x, journal.StateReceived, 0)
		time.Sleep(time.Second)
		if taken := r.node.Status().Gate.Taken; taken != 0 {
			t.Errorf("%d seats are taken", taken)
		}
	})
}

func TestConfirm_WaitsThroughALeaderlessTime(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.cfg.Gate.Limit = 1
		r.core.script = func(Debit) script { return script{work: time.Second} }
		r.boot()
		first, x := r.create(), r.create()
		x.Budget = 30 * time.Second
		var wg sync.WaitGroup
		wg.Go(func() { r.confirm(first) })
		time.Sleep(100 * time.Millisecond)
		for range 3 { // the first is queued in the gate, the others follow it
			wg.Go(func() {
				start := time.Now()
				if got := r.confirm(x); got.Payment.State != journal.StateSettled || time.Since(start) > 20*time.Second {
					t.Errorf("got %v after %v", got.Payment.State, time.Since(start))
				}
			})
			time.Sleep(10 * time.Millisecond)
		}
		r.log.depose(vanishes)
		time.Sleep(2 * time.Second)
		r.log.elect()
		wg.Wait()
	})
}

// The answer is wanted sooner than the customer would wait: who cannot have it by then is refused by then, and not at the end of his budget;
// who has his seat may take longer.
func TestConfirm_IsRefusedWhenTheAnswerCannotComeWithinWhatIsWanted(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.cfg.Gate.Limit = 1
		r.core.script = func(Debit) script { return script{work: 4 * time.Second} }
		r.boot()
		inside, late := r.create(), r.create()
		inside.Within, inside.Budget = 2*time.Second, 8*time.Second
		late.Within, late.Budget = 2*time.Second, 8*time.Second
		var wg sync.WaitGroup
		wg.Go(func() {
			if got := r.confirm(inside); got.Payment.State != journal.StateSettled {
				t.Errorf("the one inside: %+v", got)
			}
		})
		time.Sleep(100 * time.Millisecond)
		start := time.Now()
		if got := r.confirm(late); got.Refusal == nil || time.Since(start) > 2*time.Second {
			t.Errorf("got %+v after %v", got, time.Since(start))
		}
		wg.Wait()
		r.is(late, journal.StateReceived, 0)
	})
}

func TestSubmit_ErrorsAreCertain(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.start()
		if _, err := r.node.Submit(expireCall(nil).cmd, time.Now().Add(time.Second)); !errors.Is(err, ErrNoLeader) {
			t.Errorf("got %v", err)
		}
		r.log.elect()
		synctestWait(r)
		ids := make([]journal.PaymentID, 5000)
		if _, err := r.node.Submit(expireCall(ids).cmd, time.Now().Add(time.Second)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("got %v", err)
		}
		r.log.hold()
		if _, err := r.node.Submit(expireCall(ids[:1]).cmd, time.Now().Add(time.Second)); !errors.Is(err, ErrUnknown) {
			t.Errorf("got %v", err)
		}
		r.log.release()
		r.node.Close()
		r.open = false
		if _, err := r.node.Submit(expireCall(ids[:1]).cmd, time.Now().Add(time.Second)); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAwait_ReturnsWithTheNextVersion(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.core.script = func(Debit) script { return script{work: time.Second} }
		r.boot()
		x := r.create()
		var wg sync.WaitGroup
		for version, want := range []journal.State{journal.StateReceived, journal.StateAuthorised, journal.StateSettled} {
			wg.Go(func() {
				if p, ok, _ := r.node.Await(x.Payment, uint32(version), time.Now().Add(time.Minute)); !ok || p.State != want {
					t.Errorf("above version %d: %v, want %v", version, p.State, want)
				}
			})
		}
		synctest.Wait()
		r.confirm(x)
		wg.Wait()
	})
}

func TestConfirming_IsSaidFromTheFirstClickToTheOutcome(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.core.script = func(Debit) script { return script{work: time.Second} }
		r.boot()
		x, other := r.create(), r.create()
		var done sync.WaitGroup
		done.Go(func() { r.confirm(x) })
		synctest.Wait()
		if !r.node.Confirming(x.Payment) || r.node.Confirming(other.Payment) {
			t.Error("a confirmation inside the core is not known, or another payment's is")
		}
		done.Wait()
		if r.node.Confirming(x.Payment) {
			t.Error("a confirmation with an outcome goes on")
		}
	})
}

// Somebody sends one confirmation again and again while it waits for its seat.
func TestRefusedMeansNotCharged_NoneOfManyConfirmationsOfOnePaymentIsRefusedWhileItIsMade(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.cfg.Gate.Limit = 1
		r.core.script = func(Debit) script { return script{work: time.Second} }
		r.boot()
		var done sync.WaitGroup
		other := r.create()
		done.Go(func() { r.confirm(other) })
		time.Sleep(10 * time.Millisecond) // it has the seat
		x := r.create()
		for click := range FollowersMax + 10 {
			done.Go(func() {
				got, err := r.node.Confirm(x)
				if err != nil || got.Refusal != nil || got.Payment.State != journal.StateSettled {
					t.Errorf("click %d: %+v, %v", click, got, err)
				}
			})
		}
		done.Wait()
		r.is(x, journal.StateSettled, 1)
	})
}
