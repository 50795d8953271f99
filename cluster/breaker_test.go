package cluster

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
)

// A node whose own connection to the core is down is refused by itself, whether it leads or not: others do not notice.
func TestBreaker_ANodeThatCannotReachTheCoreIsRefusedByItself(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		refused := func(i int) bool {
			refusal, ok := r.nodes[i].Refused(gate.Confirm)
			return ok && refusal.Reason == gate.Breaker
		}
		for _, cut := range []int{1, 0} {
			r.noCore[cut].Store(true)
			for range breakerAfter {
				x := r.order()
				if got := r.confirmAt(cut, x); got.Payment.Reason != journal.ReasonNotSent {
					t.Errorf("node %d: %+v", cut+1, got)
				}
			}
			time.Sleep(20 * time.Millisecond)
			x := r.order()
			if got := r.confirmAt(cut, x); got.Refusal == nil || got.Refusal.Reason != gate.Breaker {
				t.Errorf("node %d: %+v", cut+1, got)
			}
			r.is(x, journal.StateReceived, 0)
			for i := range r.nodes {
				if refused(i) != (i == cut) {
					t.Errorf("node %d cannot reach the core, and node %d is refused: %v", cut+1, i+1, refused(i))
				}
				if i != cut {
					y := r.order()
					r.confirmAt(i, y)
					r.is(y, journal.StateSettled, 1)
				}
			}
			if s := r.nodes[0].Status(); cut != 0 && !slices.Equal(s.CutOff, []journal.NodeID{journal.NodeID(cut + 1)}) || s.Core.Reachable == (cut == 0) {
				t.Errorf("the status says %v, %v", s.CutOff, s.Core)
			}
			if own := r.nodes[cut].Status().Core; own.Reachable || own.LastError == "" {
				t.Errorf("node %d cannot reach the core, and says %+v", cut+1, own)
			}
			r.noCore[cut].Store(false)
			time.Sleep(1500 * time.Millisecond)
			if got := r.confirmAt(cut, x); got.Payment.State != journal.StateSettled {
				t.Errorf("node %d is back: %+v", cut+1, got)
			}
			time.Sleep(50 * time.Millisecond)
			if s := r.nodes[0].Status(); refused(cut) || len(s.CutOff) != 0 || !s.Core.Reachable {
				t.Errorf("node %d is back, and refused: %v, %v, %v", cut+1, refused(cut), s.CutOff, s.Core)
			}
			if own := r.nodes[cut].Status().Core; !own.Reachable {
				t.Errorf("node %d is back, and says %+v", cut+1, own)
			}
		}
	})
}

// A leader whose leadership ends while its breaker is open has nobody left to close it: a node that follows does not look at the core.
func TestBreaker_EndsWithTheLeadership(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		f := func(next int) {
			t.Helper()
			r.noCore[0].Store(true)
			for range breakerAfter {
				r.confirmAt(0, r.order())
			}
			if r.nodes[0].Status().Core.Reachable {
				t.Error("the breaker has not opened; the test tests nothing")
			}
			r.noCore[0].Store(false)
			r.lead(next)
			if s := r.nodes[0].Status().Core; !s.Reachable || s.LastError != "" {
				t.Errorf("node %d leads, and node 1 says %+v for ever", next+1, s)
			}
			x := r.order()
			r.confirmAt(0, x)
			r.is(x, journal.StateSettled, 1)
			r.lead(0)
		}
		f(1)
		f(0)
	})
}

// What waits for a seat in vain does not wait, and takes none.
func TestBreaker_WhatWaitsOfSuchANodeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTrio(t, func(r *rig) { r.cfg.Gate.Limit = 1 })
		defer r.close()
		r.lead(0)
		r.core.script = func(Debit) script { return script{work: 3 * time.Second} }
		first, x := r.order(), r.order()
		var asks sync.WaitGroup
		asks.Go(func() { r.confirmAt(2, first) })
		time.Sleep(50 * time.Millisecond)
		asks.Go(func() {
			start := time.Now()
			got := r.confirmAt(1, x)
			if got.Refusal == nil || got.Refusal.Reason != gate.Breaker || time.Since(start) > time.Second {
				t.Errorf("%+v after %v", got, time.Since(start))
			}
		})
		time.Sleep(100 * time.Millisecond)
		r.nodes[0].inbox.push(event{do: func(l *leader) {
			for range breakerAfter {
				l.coreFailed(l.guests[2], "as if")
			}
		}}, true)
		asks.Wait()
		r.is(x, journal.StateReceived, 0)
	})
}
