package scenario

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"netbank/bench/demo"
	"netbank/bench/load"
	"netbank/bench/people"
	"netbank/bench/report"
)

func TestOptionsOutOfBoundsAreRefused(t *testing.T) {
	f := func(change func(*Options), ok bool) {
		t.Helper()
		o := Options{Seconds: 5, Connections: 128, Customers: 1000, OpenShare: .6, Pace: 1}
		change(&o)
		if err := o.Check(); (err == nil) != ok {
			t.Errorf("%+v: %v", o, err)
		}
	}
	f(func(*Options) {}, true)
	f(func(o *Options) { o.Seconds = 0 }, false)
	f(func(o *Options) { o.Seconds = math.NaN() }, false)
	f(func(o *Options) { o.Seconds = 1e6 }, false)
	f(func(o *Options) { o.Connections = 0 }, false)
	f(func(o *Options) { o.Connections = load.ConnectionsMax + 1 }, false)
	f(func(o *Options) { o.Customers = 99 }, false)
	f(func(o *Options) { o.OpenShare = 1 }, false)
	f(func(o *Options) { o.OpenShare = 0 }, false)
	f(func(o *Options) { o.Pace = 0 }, false)
	f(func(o *Options) { o.Pace = math.Inf(1) }, false)
	f(func(o *Options) { o.Multiples = []float64{.5, 50} }, true)
	f(func(o *Options) { o.Multiples = []float64{0} }, false)
	f(func(o *Options) { o.Multiples = []float64{101} }, false)
	f(func(o *Options) { o.Multiples = make([]float64, MultiplesMax+1) }, false)
	f(func(o *Options) { o.Arms = []string{report.ArmOff} }, true)
	f(func(o *Options) { o.Arms = []string{"off"} }, false)
	f(func(o *Options) { o.Habits = "impatient" }, true)
	f(func(o *Options) { o.Habits = "angry" }, false)
	f(func(o *Options) { o.Nodes, o.Workers, o.Kills, o.Rate = 5, WorkersMax, KillsMax, RateMax }, true)
	f(func(o *Options) { o.Nodes = 2 }, false)
	f(func(o *Options) { o.Workers = WorkersMax + 1 }, false)
	f(func(o *Options) { o.Kills = -1 }, false)
	f(func(o *Options) { o.Rate = math.NaN() }, false)
}

// Every scenario's own options, long and short, are ones that it takes; and what is given wins over them.
func TestScenariosHaveOptionsThatAreInBounds(t *testing.T) {
	var names []string
	for _, s := range Scenarios() {
		names = append(names, s.Name)
		for _, short := range []bool{false, true} {
			o := s.With(Options{Seed: 7, Seconds: 3}, short)
			if err := s.Check(&o); err != nil {
				t.Errorf("%s, short %v: %v", s.Name, short, err)
			}
			if o.Nodes = 4 - o.Nodes; s.Check(&o) == nil {
				t.Errorf("%s takes %d nodes", s.Name, o.Nodes)
			}
			if o.Seed != 7 || o.Seconds != 3 {
				t.Errorf("%s: given options are lost: %+v", s.Name, o)
			}
		}
		if found, err := Find(s.Name); err != nil || found.Name != s.Name {
			t.Errorf("%s is not found: %v", s.Name, err)
		}
		if s.Help == "" {
			t.Errorf("%s says nothing of itself", s.Name)
		}
	}
	if slices.Sort(names); len(slices.Compact(names)) != len(Scenarios()) {
		t.Errorf("two scenarios have one name: %v", names)
	}
	if _, err := Find("nonsense"); err == nil || !strings.Contains(err.Error(), "overload") {
		t.Errorf("an unknown scenario: %v", err)
	}
}

// recorded is a rig without banks: it keeps the jobs that it is given.
type recorded struct {
	Rig
	jobs []people.Job
	err  error
}

func (r *recorded) Generators() Generators { return r }
func (r *recorded) Alive() error           { return nil }
func (r *recorded) Number() int            { return 1 }

func (r *recorded) Run(_ context.Context, _ *demo.Demo, jobs []people.Job, ready func()) ([]*people.Outcome, error) {
	ready()
	r.jobs = append(r.jobs, jobs...)
	outcomes := make([]*people.Outcome, len(jobs))
	for i := range outcomes {
		outcomes[i] = &people.Outcome{Name: jobs[i].Name, Load: &load.Result{Offered: 10, Completed: 10, InSLO: 9, Elapsed: time.Second, Latency: load.NewHistogram()}}
	}
	return outcomes, r.err
}

func recording(seed uint64, customers int) (*bench, *recorded) {
	r := &recorded{}
	b := &bench{Options: Options{Seed: seed}, Progress: silent{}, rig: r, result: &report.Result{}}
	b.target = &Target{Demo: &demo.Demo{Customers: make([]demo.Identity, customers)}}
	return b, r
}

// Two runs of one seed hand out the same jobs: what a job then requests depends on nothing else (package people).
func TestTheSameSeedGivesTheSameJobs(t *testing.T) {
	jobs := func(seed uint64) []people.Job {
		b, r := recording(seed, 10_000)
		for range 3 {
			_, err := b.together(t.Context(), []report.Phase{{Name: "confirm"}, {Name: "status"}}, []people.Job{
				{Kind: people.Confirm, Curve: load.Constant(100), Measure: 5 * time.Second}, {Kind: people.Status, Curve: load.Constant(1000), Measure: 5 * time.Second},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		return r.jobs
	}
	equal := func(a, b people.Job) bool {
		return a.Seed == b.Seed && a.Customers == b.Customers && a.Number == b.Number && a.Name == b.Name
	}
	one := jobs(1)
	if !slices.EqualFunc(one, jobs(1), equal) {
		t.Error("two runs of one seed differ")
	}
	if slices.EqualFunc(one, jobs(2), equal) {
		t.Error("two seeds give the same jobs")
	}
	for i, a := range one {
		for _, b := range one[:i] {
			if a.Seed == b.Seed {
				t.Errorf("two jobs have seed %d: their idempotency keys would meet", a.Seed)
			}
			if people.ByCustomers(a.Kind) && people.ByCustomers(b.Kind) && a.Customers.From < b.Customers.To && b.Customers.From < a.Customers.To {
				t.Errorf("customers %v and %v overlap", a.Customers, b.Customers)
			}
		}
	}
}

// When all customers have paid, those who were first are used again, after their codes are fresh.
func TestCustomersAreUsedAgainWhenTheirCodesAreFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := recording(1, 1000)
		start := time.Now()
		for range 2 {
			if _, err := b.alone(t.Context(), report.Phase{Name: "flow"}, people.Job{Kind: people.Flow, Curve: load.Constant(100), Measure: 4 * time.Second}); err != nil {
				t.Fatal(err)
			}
		}
		if r.jobs[1].Customers.From != 0 || time.Since(start) < codeLife {
			t.Errorf("%v were used again after %v", r.jobs[1].Customers, time.Since(start))
		}
	})
}

func TestAPhaseSaysWhatItsJobWas(t *testing.T) {
	b, r := recording(1, 1000)
	job := people.Job{Kind: people.Flow, Curve: load.Constant(50), Measure: time.Second, SLO: 2 * time.Second, Habits: people.Impatient(), Connections: 9}
	if _, err := b.alone(t.Context(), report.Phase{Name: "flow", PeakPerSecond: 18, Server: "bank"}, job); err != nil {
		t.Fatal(err)
	}
	p := b.result.Phase("flow")
	if p.Loop != "open" || p.SLOSeconds != 2 || p.Connections != 9 || !strings.Contains(p.People, "3s for an answer") || p.InSLO != 9 || p.GoodputPercent != 50 {
		t.Errorf("%+v", p)
	}
	r.err = errors.New("broken")
	if _, err := b.alone(t.Context(), report.Phase{Name: "again"}, job); !errors.Is(err, r.err) {
		t.Errorf("an error of the generators is lost: %v", err)
	}
}

func TestTheRateOfWrkIsRead(t *testing.T) {
	m := rateOf.FindSubmatch([]byte("Running 1s test @ http://127.0.0.1:1/\n  2 threads and 16 connections\nRequests/sec: 123456.78\nTransfer/sec:     10.1MB\n"))
	if m == nil || string(m[1]) != "123456.78" {
		t.Errorf("%q", m)
	}
}
