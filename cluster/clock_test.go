package cluster

import (
	"sync/atomic"
	"testing"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
)

// jumpy is a wall clock that a test sets.
type jumpy struct{ off atomic.Int64 }

func (j *jumpy) now() time.Time        { return time.Now().Add(time.Duration(j.off.Load())) }
func (j *jumpy) set(off time.Duration) { j.off.Store(int64(off)) }

// granted tries a confirmation and tells whether the clock let it through.
func (r *rig) granted() bool {
	r.t.Helper()
	got := r.confirm(r.create())
	if got.Refusal == nil {
		return got.Payment.State == journal.StateSettled
	}
	if got.Refusal.Reason != gate.NoLeader {
		r.t.Errorf("refused with %v", got.Refusal.Reason)
	}
	return false
}

func TestRule7_AJumpOfTheRunningClockStopsGrantsAndMovesNoStamp(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		var wall jumpy
		r.cfg.wall = wall.now
		r.boot()
		if !r.granted() {
			t.Fatal("refused with a good clock")
		}
		for _, off := range []time.Duration{time.Hour, -time.Hour} {
			before := r.node.Now()
			wall.set(off)
			time.Sleep(time.Second)
			if moved := r.node.Now() - before; moved != 1000 {
				t.Errorf("the stamps moved by %d ms in a second", moved)
			}
			if r.granted() {
				t.Errorf("granted with a clock that is %v off", off)
			}
			if s := r.node.Status().Clock; !s.Stopped || s.Remedy == "" {
				t.Errorf("status %+v", s)
			}
		}
		wall.set(4 * time.Second)
		time.Sleep(time.Second)
		if !r.granted() {
			t.Error("refused with a clock that is 4 s off")
		}
		wall.set(time.Hour)
		time.Sleep(time.Second)
		r.node.AcceptClock()
		time.Sleep(time.Second)
		if !r.granted() {
			t.Error("refused after an operator has accepted the clock")
		}
	})
}

func TestRule7_AWrongClockIsNotHeldAgainstANodeThatNoLongerLeads(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		var wall jumpy
		r.cfg.wall = wall.now
		r.boot()
		wall.set(-time.Hour)
		time.Sleep(time.Second)
		if !r.node.Status().Clock.Stopped {
			t.Error("it goes on granting with a clock that is an hour off")
		}
		wall.set(0)
		r.log.depose(vanishes)
		time.Sleep(time.Second)
		if s := r.node.Status().Clock; s.Stopped {
			t.Errorf("nothing is granted here, and nobody looks at this clock again: %+v", s)
		}
	})
}

func TestRule7_AClockBehindTheJournalAtTheStartNeedsAnOperator(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		var wall jumpy
		r.cfg.wall = wall.now
		wall.set(-time.Minute)
		r.boot()
		if r.granted() {
			t.Error("granted with a clock a minute behind the journal")
		}
		last := r.node.Now()
		r.node.Close()
		r.cfg.AcceptClock = true
		r.boot()
		if !r.granted() {
			t.Error("refused although the clock was accepted")
		}
		if r.node.Now() < last {
			t.Error("the stamps went back")
		}
	})
}

func TestRule7_StampsNeverGoBackAcrossLeaderships(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.boot()
		last := r.node.Now()
		for range 5 {
			r.log.depose(vanishes)
			time.Sleep(100 * time.Millisecond)
			r.log.elect()
			time.Sleep(100 * time.Millisecond)
			if now := r.node.Now(); now < last {
				t.Fatalf("%d after %d", now, last)
			} else {
				last = now
			}
		}
	})
}
