package bank

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"netbank/frontend/edge"
)

// door is a door that is only drained.
type door struct {
	edge.Door
	draining bool
	open     int64
}

func (d *door) Drain(on bool)  { d.draining = on }
func (d *door) Draining() bool { return d.draining }
func (d *door) Open() int64    { return d.open }

// Nobody is told that a drained node can be ended before balancers have had their time to notice.
func TestWhoIsLeftIsKnownOnceBalancersHaveNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var v leaving
		d := &door{}
		v.open(d)
		f := func(wait time.Duration, known bool, want int64) {
			t.Helper()
			time.Sleep(wait)
			if n, ok := v.remaining(time.Second); n != want || ok != known {
				t.Errorf("%d are left, known %v; want %d, %v", n, ok, want, known)
			}
		}
		f(0, false, 0)
		v.order(1, "a new kernel")
		f(999*time.Millisecond, false, 0)
		d.open = 2
		f(time.Millisecond, true, 2)
		v.order(0, "")
		f(time.Minute, false, 0)
		v.order(2, "again")
		f(0, false, 0)
	})
}

// An order that was taken up before the doors are open holds for them; one that is taken back does not open the doors of a node that is
// being stopped.
func TestANodeLeavesWhenItIsDrainedOrStopped(t *testing.T) {
	var v leaving
	d := &door{open: 2}
	f := func(draining bool, words string) {
		t.Helper()
		err := v.check()
		if (err != nil) != (words != "") || err != nil && !strings.Contains(err.Error(), words) {
			t.Errorf("%v, want %q", err, words)
		}
		if d.draining != draining {
			t.Errorf("the door drains: %v, want %v", d.draining, draining)
		}
	}
	f(false, "")
	if !v.order(1, "a new kernel") || v.order(1, "a new kernel") {
		t.Error("it does not say what is new")
	}
	v.open(d)
	f(true, "drained since 1970-01-01T00:00:00Z (a new kernel), and 2 connections are left; customers are served elsewhere; `netbank node undrain`")
	v.order(0, "")
	f(false, "")
	v.stop()
	d.open = 0
	f(true, "being stopped, and nobody is left")
	v.order(2, "again")
	v.order(0, "")
	f(true, "being stopped")
}
