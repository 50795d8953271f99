package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"netbank/bench/sim"
	"netbank/cluster/gate"
)

// clock brings the bubble's time to the simulation's.
type clock struct {
	begun  bool
	origin time.Time
}

// at sleeps until the simulation's now. The first call says what time it is in the simulation.
func (c *clock) at(now gate.Time) {
	if !c.begun {
		c.begun, c.origin = true, time.Now().Add(-now)
		return
	}
	time.Sleep(time.Until(c.origin.Add(now)))
}

// admission is what a run puts before its core, with an end: goroutines that wait in it have to leave before the bubble does.
type admission interface {
	sim.Admission
	close()
}

// world holds the one admission of a bubble that is open.
type world struct{ open admission }

func (w *world) close() {
	if w.open != nil {
		w.open.close()
	}
	w.open = nil
}

// policy makes a simulation's policy of an admission. A new leader's limiter begins anew.
func (w *world) policy(name string, begin func() admission) sim.Policy {
	return sim.Policy{Name: name, New: func(int, uint64) sim.Admission {
		w.close()
		w.open = begin()
		return w.open
	}}
}

// inBubbles carries out jobs, each in a bubble of its own, as many at once as there are processors. It does not return: testing.Main
// ends the process when then has returned.
func inBubbles(jobs []func(w *world), then func() error) {
	todo := make(chan func(w *world), len(jobs))
	for _, j := range jobs {
		todo <- j
	}
	close(todo)
	left := runtime.GOMAXPROCS(0)
	ended := make(chan struct{}, left)
	var tests []testing.InternalTest
	for i := range left {
		tests = append(tests, testing.InternalTest{Name: fmt.Sprintf("Worker%d", i), F: func(t *testing.T) {
			t.Parallel()
			defer func() { ended <- struct{}{} }()
			for job := range todo {
				synctest.Test(t, func(*testing.T) {
					var w world
					defer w.close()
					job(&w)
				})
			}
		}})
	}
	tests = append(tests, testing.InternalTest{Name: "Report", F: func(t *testing.T) {
		t.Parallel()
		for range left {
			<-ended
		}
		if err := then(); err != nil {
			t.Error(err)
		}
	}})
	testing.Init()
	_ = flag.CommandLine.Parse([]string{fmt.Sprintf("-test.parallel=%d", left+1)})
	os.Stdout = os.Stderr // where package testing says PASS
	testing.Main(func(string, string) (bool, error) { return true, nil }, tests, nil, nil)
}
