package chaos

import (
	"slices"
	"testing"
	"time"
)

func TestASeedGivesThePlanAgain(t *testing.T) {
	shape := Shape{Coordinators: 3, Workers: 2, Disks: true, Delays: true}
	a, b := Plan(7, 2*time.Minute, shape), Plan(7, 2*time.Minute, shape)
	if !slices.Equal(a, b) {
		t.Error("two plans of one seed differ")
	}
	if slices.Equal(a, Plan(8, 2*time.Minute, shape)) {
		t.Error("two seeds give one plan")
	}
	if len(a) < 30 {
		t.Errorf("two minutes have %d faults only", len(a))
	}
}

func TestAPlanKeepsToItsShape(t *testing.T) {
	f := func(shape Shape, want ...Fault) {
		t.Helper()
		met := make(map[Fault]bool)
		for seed := range uint64(20) {
			const length = 5 * time.Minute
			for _, s := range Plan(seed, length, shape) {
				met[s.Fault] = true
				if s.At < calmBefore || s.At+s.For > length-calmAfter || s.For < 0 || s.For > forMax {
					t.Errorf("%v does not keep its time", s)
				}
				if nodes := shape.Coordinators + shape.Workers; s.Node > nodes || s.To > nodes || s.To > 0 && s.To == s.Node {
					t.Errorf("%v: there are %d nodes", s, nodes)
				}
				if (s.Fault == DiskFull || s.Fault == DiskStall) && s.Node > shape.Coordinators {
					t.Errorf("%v: a worker has no disk", s)
				}
				if s.Fault == Replace && s.Node <= shape.Coordinators {
					t.Errorf("%v: that is no worker", s)
				}
			}
		}
		for _, fault := range Faults() {
			if met[fault] != slices.Contains(want, fault) {
				t.Errorf("%+v: %s is met: %t", shape, fault, met[fault])
			}
		}
	}
	f(Shape{Coordinators: 3, Workers: 2, Disks: true, Delays: true}, Faults()...)
	noWorker := slices.DeleteFunc(Faults(), func(f Fault) bool { return f == Replace })
	f(Shape{Coordinators: 3, Disks: true, Delays: true}, noWorker...)
	f(Shape{Coordinators: 3, Only: []Fault{Cut, Delay}}, Cut)
	f(Shape{Coordinators: 1, Workers: 1, Only: []Fault{Cut, HandOver, Replace}}, Cut, Replace)
	f(Shape{Coordinators: 1}, Kill, Pause, KillCore, CoreLoses, CoreTwice, CoreSlow, CoreFrozen, CoreAway, ClockStep)
	f(Shape{Coordinators: 1, Disks: true, Only: []Fault{DiskFull, Cut}}, DiskFull)
	f(Shape{Coordinators: 1, Only: []Fault{Cut}})
}

func TestFaultsAreNamed(t *testing.T) {
	if all, err := ParseFaults(""); err != nil || !slices.Equal(all, Faults()) {
		t.Error(all, err)
	}
	if some, err := ParseFaults("kill, cut"); err != nil || !slices.Equal(some, []Fault{Kill, Cut}) {
		t.Error(some, err)
	}
	if _, err := ParseFaults("kill,flood"); err == nil {
		t.Error("a flood is no fault")
	}
}
