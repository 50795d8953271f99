package scenario

import (
	"context"
	"math"
	"testing"
	"time"

	"netbank/bench/load"
	"netbank/bench/people"
	"netbank/bench/report"
)

// judged is a run of scale-out in which five workers signed in as many as are given a second, and two 30.
func judged(signIns float64, most int, steps ...load.StepResult) *report.Result {
	began := time.Now()
	s := scaling{bench: &bench{
		Options: Options{Workers: 2, WorkersAfter: 5}, Progress: silent{},
		result: &report.Result{Started: began, Scalings: []report.Scaling{{Most: most, Nodes: []report.ScaledNode{{Node: 7, PaidMs: 900}, {Node: 6, PaidMs: 1200}}}, {}}},
	}}
	o := &people.Outcome{Load: &load.Result{Steps: steps}}
	for i, rate := range []float64{30, signIns, 30} {
		from := began.Add(time.Duration(i) * 20 * time.Second)
		s.spans[i] = span{from, from.Add(10 * time.Second)}
		for n := range int(rate * 15) { // for longer than is counted
			o.SignIns = append(o.SignIns, from.Add(time.Duration(float64(n)/rate*float64(time.Second))))
		}
	}
	s.judge(o)
	return s.result
}

func TestSignInsAreCountedWhileTheNumberOfWorkersStandsStill(t *testing.T) {
	r := judged(75, 5, load.StepResult{Name: "sign in", Failed: 2, Abandoned: 1, Refused: 40}, load.StepResult{Name: people.StepWord, Failed: 5})
	f := func(at int, want float64) {
		t.Helper()
		if h := r.Headlines[at]; math.Abs(h.Value-want) > 1e-9 {
			t.Errorf("%s: %v, want %v", h.Name, h.Value, want)
		}
	}
	f(0, 2.5)
	f(1, .9)
	f(2, 3) // and not the customer's whole way, of which one failed request is a part
	if r.Scalings[0].SignInsPerSecond != 75 || r.Scalings[1].SignInsPerSecond != 30 || len(r.Failures) != 0 {
		t.Errorf("%+v, failures %v", r.Scalings, r.Failures)
	}
}

func TestMoreWorkersThanWereAskedForFailTheRun(t *testing.T) {
	if r := judged(75, 6); len(r.Failures) != 1 {
		t.Errorf("failures %v", r.Failures)
	}
}

// told is a cluster that says how its workers stand.
type told struct {
	Cluster
	now Scaled
}

func (c *told) Scaled(context.Context) (Scaled, error) { return c.now, nil }

func TestANewWorkersStepsAreThoseItWasFirstSeenToHaveDone(t *testing.T) {
	c := &told{}
	w := watcher{bench: &bench{target: &Target{Cluster: c}}, began: time.Now(), known: map[uint32]bool{4: true}, to: 2}
	look := func(running int, workers ...ScaledWorker) {
		w.look(t.Context(), &Scaled{Running: running, Workers: append(workers, ScaledWorker{Node: 4, Up: true, Ready: true, Serving: true})})
	}
	look(1)
	look(2, ScaledWorker{Node: 5})
	if len(w.nodes) != 0 {
		t.Errorf("a worker that nobody has heard of has joined: %+v", w.nodes)
	}
	look(3, ScaledWorker{Node: 5, Up: true})
	look(2, ScaledWorker{Node: 5, Up: true, Ready: true})
	first := w.nodes[0]
	look(2, ScaledWorker{Node: 5, Up: true, Ready: true, Serving: true})
	now := w.nodes[0]
	if len(w.nodes) != 1 || first.JoinedMs <= 0 || first.WarmMs <= first.JoinedMs || first.ServingMs != 0 || now.JoinedMs != first.JoinedMs || now.WarmMs != first.WarmMs || now.ServingMs <= now.WarmMs {
		t.Errorf("%+v and then %+v", first, now)
	}
	if w.most != 3 || w.paid() {
		t.Errorf("%d at most, paid %v", w.most, w.paid())
	}
}
