package cluster

import (
	"testing"
	"time"

	"netbank/cluster/journal"
)

// leads gives the node that leads.
func (r *trio) leads() int {
	r.t.Helper()
	for range 5000 {
		for i, n := range r.nodes {
			if n.Leading() {
				return i
			}
		}
		time.Sleep(time.Millisecond)
	}
	r.t.Fatal("nobody leads")
	return 0
}

// pays reports whether a payment is made at a node.
func (r *trio) pays(i int) bool {
	r.t.Helper()
	return r.confirmAt(i, r.order()).Payment.State == journal.StateSettled
}

func TestRule7_TheNextLeaderGoesOnFromTheTimeOfTheOneBefore(t *testing.T) {
	f := func(off time.Duration) {
		t.Helper()
		inTrio(t, func(t *testing.T, r *trio) {
			if !r.pays(0) {
				t.Fatal("nobody can pay")
			}
			time.Sleep(time.Second)
			r.walls[1].set(off)
			before, then := r.nodes[0].Now(), time.Now()
			r.lead(1)
			moved := time.Duration(r.nodes[1].Now()-before)*time.Millisecond - time.Since(then)
			if moved.Abs() > 20*time.Millisecond {
				t.Errorf("with a clock that is %v off the next leader moved the journal's time by %v", off, moved)
			}
			if s := r.nodes[1].Status().Clock; (s.Deviation - off).Abs() > 20*time.Millisecond {
				t.Errorf("the clock is %v off, and the status says %v", off, s.Deviation)
			}
		})
	}
	f(4 * time.Second)
	f(8 * time.Second)
	f(-8 * time.Second)
	f(24 * time.Hour)
}

// A node that follows counts time as its leader does, whatever its own clock said when it was started.
func TestRule7_WhoFollowsKeepsTheLeadersTime(t *testing.T) {
	inFive(t, func(t *testing.T, r *trio) {
		for _, i := range []int{1, firstWorker} {
			r.walls[i].set(-8 * time.Second)
			r.kill(i)
			r.bootNode(i)
		}
		time.Sleep(time.Second)
		same := func(i int) {
			t.Helper()
			if off := time.Duration(r.nodes[i].Now()-r.nodes[0].Now()) * time.Millisecond; off.Abs() > 20*time.Millisecond {
				t.Errorf("node %d is %v from the leader's time", i+1, off)
			}
		}
		same(1)
		same(firstWorker)
		r.lead(1)
		same(1)
	})
}

func TestRule7_ALeaderWhoseClockIsOffLetsAnotherOneLead(t *testing.T) {
	f := func(off time.Duration, want bool) {
		t.Helper()
		inTrio(t, func(t *testing.T, r *trio) {
			r.walls[0].set(off)
			time.Sleep(3 * time.Second)
			if left := r.leads() != 0; left != want {
				t.Errorf("its clock is %v off, and it has given up the lead: %v", off, left)
			}
			for i := range r.nodes {
				if !r.pays(i) {
					t.Errorf("one clock is %v off, and nobody can pay at node %d", off, i+1)
				}
			}
		})
	}
	f(8*time.Second, true)
	f(-time.Minute, true)
	f(600*time.Millisecond, true)
	f(400*time.Millisecond, false)
}

// A leader is not to be handed on and on when nobody's clock is better, nor to one whose clock is as wrong.
func TestRule7_ClocksThatAreAllOffNeedAnOperator(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		for i := range r.nodes {
			r.walls[i].set(time.Minute)
		}
		time.Sleep(5 * time.Second)
		if r.leads() != 0 {
			t.Error("the lead went on, to a clock that is as wrong")
		}
		if s := r.nodes[0].Status().Clock; !s.Stopped || s.Remedy == "" {
			t.Errorf("it goes on granting: %+v", s)
		}
		r.walls[2].set(0)
		time.Sleep(5 * time.Second)
		if got := r.leads(); got != 2 {
			t.Errorf("node %d leads, and only node 3 has a right clock", got+1)
		}
		if !r.pays(1) {
			t.Error("nobody can pay with a leader whose clock is right")
		}
	})
}
