package cluster

import (
	"errors"
	"sync"
	"testing"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/stream"
	"netbank/cluster/stream/wire"
)

func attempt() *journal.Command {
	return &journal.Command{Body: &command.Command_Attempt{Attempt: &command.Attempt{Customer: 1, Factor: command.Factor_FACTOR_PASSWORD}}}
}

func TestFollower_ServesCustomersInFull(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		time.Sleep(13 * time.Second) // until nothing that a process before the first may have left is inside the core
		for i := range r.nodes {
			x := r.order()
			got := r.confirmAt(i, x)
			if got.Verdict != journal.Done || got.Payment.State != journal.StateSettled || got.Payment.Executor.Node != journal.NodeID(i+1) {
				t.Errorf("node %d: %+v", i+1, got)
			}
			r.is(x, journal.StateSettled, 1)
			if r.sentBy[x.Payment] != i {
				t.Errorf("node %d's payment was sent by node %d", i+1, r.sentBy[x.Payment]+1)
			}
			money, refusal, err := r.nodes[i].Balance(gate.Inquiry, "62220000000001", "CNY", time.Second)
			if err != nil || refusal != nil || money.Minor != 12345 {
				t.Errorf("node %d: balance %v, %v, %v", i+1, money, refusal, err)
			}
			result, err := r.nodes[i].Submit(attempt(), time.Now().Add(time.Second))
			if err != nil || result.Verdict != journal.Done {
				t.Errorf("node %d: submit %v, %v", i+1, result.Verdict, err)
			}
		}
	})
}

// The copy of the journal on the node that is asked is behind: it does not know the payment yet.
func TestRule8_ANotFoundIsConfirmedAtTheLeader(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		r.members[1].lag.Store(int64(300 * time.Millisecond))
		time.Sleep(time.Second)
		x := r.create()
		if p, ok := r.nodes[1].payment(x.Payment); ok {
			t.Fatalf("the copy is not behind: %v", p.State)
		}
		if p, ok, _ := r.nodes[1].Payment(x.Payment); !ok || p.State != journal.StateReceived {
			t.Errorf("got %v, %v", p.State, ok)
		}
		y := r.create()
		if got := r.confirmAt(1, y); got.Payment.State != journal.StateSettled {
			t.Errorf("got %+v", got)
		}
		y.Payment[15]++
		if got := r.confirmAt(1, y); got.Verdict != journal.NotFound {
			t.Errorf("got %+v", got)
		}
		if _, ok, _ := r.nodes[1].Payment(y.Payment); ok {
			t.Error("found what there is not")
		}
	})
}

// A node that is asked while nobody leads keeps its calls; the next leader gets them.
func TestRule4_WithoutALeaderCallsWaitAndNothingIsRefused(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		x, y := r.order(), r.order()
		y.Budget = 500 * time.Millisecond
		r.members[0].depose(vanishes)
		time.Sleep(100 * time.Millisecond)
		var asks sync.WaitGroup
		asks.Go(func() {
			if got := r.confirmAt(1, x); got.Payment.State != journal.StateSettled {
				t.Errorf("got %+v", got)
			}
		})
		asks.Go(func() {
			if got, err := r.nodes[1].Confirm(y); !errors.Is(err, ErrNoLeader) || got.Refusal != nil {
				t.Errorf("got %+v, %v", got, err)
			}
		})
		asks.Go(func() {
			if result, err := r.nodes[1].Submit(attempt(), time.Now().Add(10*time.Second)); err != nil || result.Verdict != journal.Done {
				t.Errorf("got %v, %v", result.Verdict, err)
			}
		})
		time.Sleep(2 * time.Second)
		r.group.elect(r.members[2])
		asks.Wait()
		r.is(y, journal.StateReceived, 0)
	})
}

// A process that stood still has a successor of whom it has not heard. What it does not know it does not call unknown.
func TestRule8_ALeaderThatWasReplacedUnawaresConfirmsNothing(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		if _, ok, err := r.nodes[0].Payment(journal.PaymentID{1}); ok || err != nil {
			t.Errorf("the leader says %v, %v of what there is not", ok, err)
		}
		r.members[0].lag.Store(int64(time.Minute))
		r.group.elect(r.members[1])
		for !r.nodes[1].Leading() {
			time.Sleep(time.Millisecond)
		}
		x := r.create()
		if _, here := r.nodes[0].payment(x.Payment); here || !r.nodes[0].Leading() {
			t.Fatal("node 1 has heard of its successor")
		}
		if p, ok, err := r.nodes[0].Payment(x.Payment); ok || !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v, %v, %v", p.State, ok, err)
		}
	})
}

// A leader that is silent, and does not even close its connection, is looked for again.
func TestStream_ASilentLeaderIsLookedForAgainAndEverythingIsRepeated(t *testing.T) {
	withPuppet(t, func(t *testing.T, p *puppet) {
		link := <-p.links
		done := make(chan struct{})
		go func() {
			defer close(done)
			if result, err := p.node.Submit(attempt(), time.Now().Add(10*time.Second)); err != nil || result.Verdict != journal.Repeated {
				t.Errorf("got %v, %v", result.Verdict, err)
			}
		}()
		first := <-p.calls
		start := time.Now()
		link.Beat(nil)
		next := <-p.links
		if took := time.Since(start); took > 2*stream.SilenceMax {
			t.Errorf("it took %v", took)
		}
		again := <-p.calls
		if again.Id != first.Id || string(again.Command) != string(first.Command) {
			t.Errorf("%v was repeated as %v", first, again)
		}
		next.Send(&wire.Message{Body: &wire.Message_Result{Result: &wire.Result{Id: again.Id, Verdict: uint32(journal.Repeated)}}})
		<-done
	})
}

// A node that follows and closes lets its calls in the core finish, and tells the leader what they brought.
func TestClose_AFollowerLetsCallsFinishAndTellsTheLeader(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		r.core.script = func(Debit) script { return script{work: 2 * time.Second} }
		x := r.order()
		done := make(chan struct{})
		go func() {
			defer close(done)
			// Its own copy of the journal may close before the outcome has come to it: then this is the payment as it stands.
			if got := r.confirmAt(1, x); got.Refusal != nil || got.Payment.Granted == 0 {
				t.Errorf("got %+v", got)
			}
		}()
		time.Sleep(100 * time.Millisecond)
		if err := r.nodes[1].Close(); err != nil {
			t.Error(err)
		}
		r.dead[1].Store(true)
		time.Sleep(50 * time.Millisecond)
		r.is(x, journal.StateSettled, 1)
		<-done
		if guests := r.nodes[0].guests.Load(); guests != 1 {
			t.Errorf("the leader counts %d guests, want 1", guests)
		}
	})
}

// Payments are refused at the door of a node that follows as they are at the leader's.
func TestFollower_KnowsTheLeadersLevels(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		if refusal, ok := r.nodes[1].Refused(gate.Confirm); ok {
			t.Fatalf("refused with %v", refusal.Reason)
		}
		r.core.set(func() { r.core.gone = true })
		for i := range r.nodes {
			for range breakerAfter {
				r.nodes[i].Confirm(r.order())
			}
		}
		time.Sleep(100 * time.Millisecond)
		if refusal, ok := r.nodes[2].Refused(gate.Confirm); !ok || refusal.Reason != gate.Breaker {
			t.Errorf("the edge says %v, %v", refusal.Reason, ok)
		}
	})
}

// Between two leaders the edge lets calls come, and they wait. Only when no next one comes for long, it refuses.
func TestFollower_BetweenTwoLeadersTheEdgeLetsCallsWait(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		r.members[0].depose(vanishes)
		time.Sleep(100 * time.Millisecond)
		for i, n := range r.nodes {
			if refusal, ok := n.Refused(gate.Confirm); ok {
				t.Errorf("node %d: a moment after the loss of the leader the edge says %v", i, refusal.Reason)
			}
			if !n.BetweenLeaders() {
				t.Errorf("node %d: a moment after the loss of the leader it is not ready for calls", i)
			}
		}
		time.Sleep(LeaderlessMax / 2)
		for i, n := range r.nodes {
			if _, ok := n.Refused(gate.Confirm); ok || n.BetweenLeaders() {
				t.Errorf("node %d: who came in the last moment does not wait, or others are still sent here", i)
			}
		}
		time.Sleep(LeaderlessMax / 2)
		for i, n := range r.nodes {
			if refusal, ok := n.Refused(gate.Confirm); !ok || refusal.Reason != gate.NoLeader {
				t.Errorf("node %d: long without a leader the edge says %v, %v", i, refusal.Reason, ok)
			}
		}
	})
}

// A state that comes whole brings what people wait for without a word about it: they are told all the same.
func TestFollower_WhoWaitsHearsOfAnOutcomeThatCameWithASnapshot(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		r.core.script = func(Debit) script { return script{work: time.Second} }
		x := r.order()
		for i := range r.members[1:] {
			r.members[i+1].lag.Store(int64(time.Hour))
		}
		time.Sleep(10 * time.Millisecond)
		var asks sync.WaitGroup
		asks.Go(func() { r.confirmAt(0, x) })
		time.Sleep(100 * time.Millisecond)
		start := time.Now()
		for _, i := range []int{1, 2} {
			asks.Go(func() {
				if got := r.confirmAt(i, x); got.Payment.State != journal.StateSettled || time.Since(start) > 3*time.Second {
					t.Errorf("node %d: %v after %v", i+1, got.Payment.State, time.Since(start))
				}
			})
			asks.Go(func() {
				p, _, _ := r.nodes[i].Await(x.Payment, 2, time.Now().Add(30*time.Second))
				if p.State != journal.StateSettled || time.Since(start) > 3*time.Second {
					t.Errorf("node %d: %v after %v", i+1, p.State, time.Since(start))
				}
			})
		}
		time.Sleep(2 * time.Second)
		r.members[1].install()
		r.members[2].install()
		asks.Wait()
	})
}

// A click waits at a node that has lost the leader, and comes to the next one from there. Until then no other node may say that nothing is
// charged, however it is asked; and where nobody has confirmed, all may.
func TestRefusedMeansNotCharged_NoNodeSpeaksForAConfirmationThatAnotherOneRepeats(t *testing.T) {
	inFive(t, func(t *testing.T, r *trio) {
		x, other := r.order(), r.order()
		other.Customer = x.Customer + 1
		says := func(i int, x Confirmation, want bool) {
			t.Helper()
			if got := r.nodes[i].Unconfirmed(x.Payment, x.Customer); got != want {
				t.Errorf("node %d calls it unconfirmed: %v", i+1, got)
			}
		}
		for i := range r.nodes {
			says(i, x, true)
		}
		tried := &command.Attempt{Customer: uint64(x.Customer), Factor: command.Factor_FACTOR_TOTP}
		if _, err := r.nodes[1].Submit(&journal.Command{Body: &command.Command_Attempt{Attempt: tried}}, time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		r.deaf[1].Store(true)
		r.cut(1)
		time.Sleep(time.Second)
		var click sync.WaitGroup
		click.Go(func() { r.confirmAt(1, x) })
		time.Sleep(100 * time.Millisecond)
		r.lead(2)
		says(1, x, false)
		says(1, other, false) // it knows of no leader, and so of nothing for certain
		for _, i := range []int{0, 2, 3, 4} {
			says(i, x, false)
			says(i, other, true)
		}
		r.deaf[1].Store(false)
		click.Wait()
		r.is(x, journal.StateSettled, 1)
		time.Sleep(100 * time.Millisecond)
		for i := range r.nodes {
			says(i, x, false)
		}
	})
}

// A node whose copy of the journal is behind does not speak from it: it hears the leader's word first, and waits until it has what the leader had.
func TestRefusedMeansNotCharged_ANodeThatIsBehindWaitsBeforeItSpeaks(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		x, other := r.order(), r.order()
		r.members[1].lag.Store(int64(time.Hour))
		r.confirmAt(0, x)
		r.is(x, journal.StateSettled, 1)
		if r.nodes[1].Unconfirmed(x.Payment, x.Customer) {
			t.Error("it is called unconfirmed by a node that has not seen it settled")
		}
		r.members[1].lag.Store(0)
		r.members[1].install()
		if r.nodes[1].Unconfirmed(x.Payment, x.Customer) || !r.nodes[1].Unconfirmed(other.Payment, other.Customer+1) {
			t.Error("a node that has caught up does not know which of the two was confirmed")
		}
	})
}

// When the leader dies with a debit of its own in the core, nobody waits for the core limit once its next life is here: the core is asked at once.
// Before that it is only silent (rule 2).
func TestResolver_WhatADeadLeaderSentIsAskedAboutWhenItsNextLifeComes(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		r.core.script = func(Debit) script { return script{work: 500 * time.Millisecond} }
		x := r.order()
		past := r.nodes[0]
		var asker sync.WaitGroup
		asker.Go(func() { past.Confirm(x) })
		time.Sleep(100 * time.Millisecond)
		r.kill(0)
		r.elect(1)
		time.Sleep(3 * time.Second)
		if got := r.state(x); got != journal.StateAuthorised || r.core.asked() != 0 {
			t.Errorf("with nothing of its executor the payment is %v after %d inquiries", got, r.core.asked())
		}
		r.bootNode(0)
		time.Sleep(time.Second)
		r.is(x, journal.StateSettled, 1)
		if taken := r.nodes[1].Status().Gate.Taken; taken != 0 {
			t.Errorf("%d seats are taken by what is over", taken)
		}
		asker.Wait()
	})
}

// Who looks at a payment while there is no leader hears of it when the next one has brought its end, however short he wanted to wait. He does not wait
// for a leader who does not come.
func TestFollower_WhoAwaitsBetweenTwoLeadersHearsWhatTheNextOneBrings(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		x := r.order()
		await := func() (journal.Payment, time.Duration) {
			start := time.Now()
			p, _, _ := r.nodes[2].Await(x.Payment, 1, start.Add(100*time.Millisecond))
			return p, time.Since(start)
		}
		if p, took := await(); p.State != journal.StateReceived || took > 200*time.Millisecond {
			t.Errorf("with a leader: %v after %v", p.State, took)
		}
		r.members[0].depose(vanishes)
		time.Sleep(10 * time.Millisecond)
		if p, took := await(); p.State != journal.StateReceived || took < LeaderlessMax/2 || took > LeaderlessMax+300*time.Millisecond {
			t.Errorf("without one: %v after %v", p.State, took)
		}
		r.lead(0)
		r.members[0].depose(vanishes)
		time.Sleep(10 * time.Millisecond)
		var next sync.WaitGroup
		next.Go(func() {
			time.Sleep(time.Second)
			r.lead(1)
			r.confirmAt(1, x)
		})
		if p, took := await(); p.State < journal.StateAuthorised || took > 3*time.Second {
			t.Errorf("with another after a second: %v after %v", p.State, took)
		}
		next.Wait()
	})
}
