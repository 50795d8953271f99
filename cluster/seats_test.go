package cluster

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/replica"
)

func TestSeatsAreExact_NeverMoreInsideThanTheLimit(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.cfg.Gate.Limit = 5
		r.core.script = func(d Debit) script {
			return script{work: time.Duration(d.Payment[15]) * 37 * time.Millisecond, mute: d.Payment[15]%7 == 0}
		}
		r.boot()
		var wg sync.WaitGroup
		for range 60 {
			x := r.create()
			x.Budget = 30 * time.Second
			wg.Go(func() { r.confirm(x) })
		}
		wg.Wait()
		if r.core.insideMax != 5 {
			t.Errorf("%d were inside at once, want the limit of 5", r.core.insideMax)
		}
	})
}

// overfill confirms twice as many payments as there are seats, and looks for the most that were inside at once.
func overfill(t *testing.T, r *rig, limit int) {
	t.Helper()
	var wg sync.WaitGroup
	for range 2 * limit {
		x := r.create()
		x.Budget = 30 * time.Second
		wg.Go(func() { r.node.Confirm(x) })
	}
	wg.Wait()
	if r.core.insideMax > limit {
		t.Errorf("%d were inside at once, the limit is %d", r.core.insideMax, limit)
	}
}

// The process dies with its seats taken. The next one counts them all, until they are surely over.
func TestSeatsAreExact_AcrossARestart(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.cfg.Gate.Limit = 4
		r.core.script = func(Debit) script { return script{work: 9 * time.Second} }
		r.boot()
		for range 3 {
			x := r.create()
			go r.node.Confirm(x)
		}
		time.Sleep(500 * time.Millisecond)
		r.kill()
		r.boot()
		synctest.Wait()
		if taken := r.node.Status().Gate.Taken; taken != 3 {
			t.Errorf("the new leader counts %d seats, want 3", taken)
		}
		overfill(t, r, 4)
	})
}

// Payments whose connection broke are in doubt at once, and inside the core all the same. The process dies before their core
// limit has passed: the next one, which finds none of them authorised, counts their seats too.
func TestSeatsAreExact_AcrossARestart_InDoubtAndStillInside(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.cfg.Gate.Limit = 4
		r.core.script = func(Debit) script { return script{work: 9 * time.Second} }
		r.boot()
		for range 3 {
			x := r.create()
			go r.node.Confirm(x)
			time.Sleep(100 * time.Millisecond)
			r.put(settleCall(x.Payment, command.Outcome_OUTCOME_IN_DOUBT, command.Source_SOURCE_EXECUTOR, Answer{}).cmd)
		}
		r.kill()
		r.boot()
		synctest.Wait()
		if taken := r.node.Status().Gate.TakenBy[gate.Confirm]; taken != 3 {
			t.Errorf("the new leader counts %d seats of payments, want 3", taken)
		}
		overfill(t, r, 4)
	})
}

// Leadership is lost and won by the same process, with calls of its own inside: they keep their seats, and answer once.
func TestSeatsAreExact_AcrossALostLeadership(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.cfg.Gate.Limit = 4
		r.core.script = func(Debit) script { return script{work: 3 * time.Second} }
		r.boot()
		var wg sync.WaitGroup
		for range 12 {
			x := r.create()
			x.Budget = 30 * time.Second
			wg.Go(func() {
				if got := r.confirm(x); got.Payment.State != journal.StateSettled {
					t.Errorf("got %v", got.Payment.State)
				}
			})
		}
		time.Sleep(time.Second)
		r.log.depose(vanishes)
		r.log.elect()
		time.Sleep(time.Second)
		if taken := r.node.Status().Gate.Taken; taken != 4 {
			t.Errorf("%d seats are counted, want 4", taken)
		}
		wg.Wait()
		if r.core.insideMax > 4 {
			t.Errorf("%d were inside at once, the limit is 4", r.core.insideMax)
		}
	})
}

// A debit whose answer never comes keeps its seat until send-by and core limit are over.
func TestSeatsAreExact_ASilentCallKeepsItsSeatUntilTheCoreLimit(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.cfg.Gate.Limit = 1
		r.core.inquire = func(Reference) (Answer, bool) { return Answer{Word: Running, ResponseCode: "09", Elapsed: 1}, true }
		r.core.script = func(Debit) script { return script{mute: true, work: 10 * time.Second} }
		r.boot()
		x := r.create()
		granted := time.Now()
		x.Budget = 11 * time.Second
		r.confirm(x)
		time.Sleep(500 * time.Millisecond)
		if got := r.node.Status().Gate.TakenBy[gate.Confirm]; got != 1 {
			t.Errorf("%d seats taken after the answer was given up, want 1", got)
		}
		time.Sleep(time.Until(granted.Add(r.node.cfg.silence() + time.Second)))
		if got := r.node.Status().Gate.TakenBy[gate.Confirm]; got != 0 {
			t.Errorf("%d seats taken after the core limit, want 0", got)
		}
	})
}

func TestBalance_TakesASeatAndNoJournalEntry(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.boot()
		time.Sleep(r.node.cfg.silence() + time.Second)
		_, before := r.log.proposed()
		money, refusal, err := r.node.Balance(gate.Inquiry, accountOf(1), "CNY", time.Second)
		if err != nil || refusal != nil || money.Minor != 12345 {
			t.Fatalf("got %v, %v, %v", money, refusal, err)
		}
		if _, after := r.log.proposed(); after != before {
			t.Error("a balance was journalled")
		}
	})
}

// After a restart nobody knows which balances are still inside the core: none starts until the core limit has passed.
func TestSeatsAreExact_NoBalanceStartsUntilEarlierOnesAreOver(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.boot()
		_, refusal, err := r.node.Balance(gate.Inquiry, accountOf(1), "CNY", time.Second)
		if err != nil || refusal == nil || refusal.Reason != gate.NoLeader || refusal.RetryAfter <= 0 || r.core.balances != 0 {
			t.Fatalf("got %+v, %v", refusal, err)
		}
		time.Sleep(r.node.cfg.silence() + time.Second)
		if _, refusal, err = r.node.Balance(gate.Inquiry, accountOf(1), "CNY", time.Second); refusal != nil || err != nil {
			t.Fatalf("got %+v, %v", refusal, err)
		}
	})
}

// A "go" of a term that is over is not used, even if its entry was committed (rule 3).
func TestRule3_AGrantOfAnEarlierTermIsNotSent(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.boot()
		x := r.create()
		r.log.hold()
		done := make(chan Confirmed, 1)
		go func() { done <- r.confirm(x) }()
		time.Sleep(50 * time.Millisecond)
		raise(&r.node.highestTerm, 99) // an entry of a later leader was applied here
		r.log.release()
		if got := <-done; got.Payment.State != journal.StateRejected || got.Payment.Reason != journal.ReasonNotSent {
			t.Errorf("got %v", got.Payment.State)
		}
		if r.core.wasSent(x.Payment) != 0 {
			t.Error("it was sent")
		}
	})
}

// A batch whose entry is appended in another term grants nothing, and its confirmations are offered again (rule 3).
func TestRule3_AStaleBatchGrantsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.boot()
		x := r.create()
		r.log.mu.Lock()
		r.log.term++ // Raft's term is ahead of what the gate has seen
		r.log.disk.term++
		r.log.mu.Unlock()
		l := newTestBatch(t, r, x)
		if l.Results[0].Verdict != journal.StaleTerm || r.state(x) != journal.StateReceived {
			t.Errorf("got %v, the payment is %v", l.Results[0].Verdict, r.state(x))
		}
		if got := r.confirm(x); got.Payment.State != journal.StateSettled || r.core.wasSent(x.Payment) != 1 {
			t.Errorf("got %v", got.Payment.State)
		}
	})
}

func newTestBatch(t *testing.T, r *rig, x Confirmation) replica.Outcome {
	t.Helper()
	out, err := r.disk.apply(r.log.term, &journal.Batch{Version: 1, Term: r.log.term - 1, StampMs: time.Now().UnixMilli(), Commands: []*journal.Command{grantOf(x, 1, 1)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The reference is assigned by the journal, once, and the same for debit, inquiry and reversal (rule 5).
func TestRule5_EveryCallBearsTheJournalsReference(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		var seen []journal.WireIdentity
		r.core.script = func(d Debit) script { seen = append(seen, d.Wire); return script{lose: true} }
		r.core.inquire = func(ref Reference) (Answer, bool) { seen = append(seen, ref.Wire); return Answer{}, false }
		r.core.reverse = func(d Debit, _ bool) (Answer, bool) { seen = append(seen, d.Wire); return Answer{}, false }
		r.boot()
		x := r.create()
		r.confirm(x)
		r.within(time.Minute, x, journal.StateRejected)
		p, _, _ := r.node.Payment(x.Payment)
		if len(seen) < 3 || p.Wire.RRN == "" {
			t.Fatalf("%d calls, reference %v", len(seen), p.Wire)
		}
		for _, wire := range seen {
			if wire != p.Wire {
				t.Errorf("a call bore %v, the journal says %v", wire, p.Wire)
			}
		}
	})
}

// Nobody is told of a state before it is committed, and every change is in the outbox (ToldOnceCommitted, rule 8).
func TestToldOnceCommitted(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.core.script = func(Debit) script { return script{work: time.Second} }
		r.boot()
		x := r.create()
		done := make(chan Confirmed, 1)
		go func() { done <- r.confirm(x) }()
		time.Sleep(500 * time.Millisecond)
		r.log.hold() // the outcome will be in an entry that is not committed
		time.Sleep(2 * time.Second)
		if p, _, _ := r.node.Payment(x.Payment); p.State != journal.StateAuthorised || len(done) != 0 {
			t.Errorf("told %v before the commit", p.State)
		}
		told := len(r.node.Notices(1, 0, 100))
		for len(r.node.Noticed()) > 0 {
			<-r.node.Noticed()
		}
		r.log.release()
		<-r.node.Noticed()
		notices := r.node.Notices(1, 0, 100)
		if len(notices) <= told || notices[len(notices)-1].State != journal.StateSettled {
			t.Errorf("the outbox holds %+v", notices)
		}
		got := <-done
		if got.Payment.Version <= 2 {
			t.Errorf("version %d", got.Payment.Version)
		}
	})
}

func TestExpire_IsToldOnlyAfterItHasCommitted(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.boot()
		x := r.create()
		time.Sleep(14 * time.Minute)
		r.log.hold()
		time.Sleep(2 * time.Minute)
		if got := r.state(x); got != journal.StateReceived {
			t.Errorf("it is %v without a commit", got)
		}
		r.log.release()
		r.within(2*time.Second, x, journal.StateExpired)
	})
}
