package scenario

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"netbank/bench/audit"
	"netbank/bench/load"
	"netbank/bench/machine"
	"netbank/bench/report"
)

// bench is a run under way.
type bench struct {
	Options
	Progress
	rig     Rig
	result  *report.Result
	target  *Target
	auditor *audit.Bank
	jobs    int       // carried out until now
	doors   *doors    // of scenario single
	onStart func()    // called once, when the next load begins
	loadEnd time.Time // when the last customer of a disturbed load is due
	// Of the bank that is raised:
	told     []audit.Told
	number   int64 // of the next create of scenario single
	customer int   // the first customer who was not used yet
}

func (b *bench) fail(format string, args ...any) {
	b.result.Failures = append(b.result.Failures, fmt.Sprintf(format, args...))
}

func (b *bench) void(format string, args ...any) {
	b.result.Void = append(b.result.Void, fmt.Sprintf(format, args...))
}

func (b *bench) note(format string, args ...any) {
	b.result.Notes = append(b.result.Notes, fmt.Sprintf(format, args...))
}

// run makes a run, and takes it and what the processes used into a phase. schedule is nil in a closed run.
func (b *bench) run(ctx context.Context, p report.Phase, run load.Run, schedule *load.Schedule) (*load.Result, *report.Phase, error) {
	before := b.used()
	reopened := run.Pool.Reopened()
	p.Loop, p.Connections = "closed", len(run.Pool.Clients)
	var (
		r   *load.Result
		err error
	)
	if schedule == nil {
		r, err = load.Closed(ctx, run)
	} else {
		p.Loop = "open"
		r, err = load.Open(ctx, run, schedule)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	p.Reopened = run.Pool.Reopened() - reopened
	return r, b.take(p, r, before), nil
}

// take makes a phase of a result, and of what the processes used since before.
func (b *bench) take(p report.Phase, r *load.Result, before usage) *report.Phase {
	p.Count(r)
	p.Processes = map[string]report.Used{}
	now := b.used()
	others := now.busy - before.busy
	for name, process := range now.processes {
		used := process.CPU - before.processes[name].CPU
		others -= used
		p.Processes[name] = report.Used{CPUSeconds: used.Seconds(), ResidentMB: process.ResidentMB}
	}
	p.OthersShare = max(0, others.Seconds()/(now.at.Sub(before.at).Seconds()*float64(runtime.NumCPU())))
	if void := r.Void(); void != nil {
		b.void("%s: %v", p.Name, void)
	}
	b.result.Phases = append(b.result.Phases, p)
	b.Say("  %-26s %9.0f %s/s   p50 %v   p99 %v%s", p.Name, p.PerSecond, p.Unit,
		time.Duration(p.Latency.P50).Round(time.Microsecond), time.Duration(p.Latency.P99).Round(time.Microsecond), complaints(r))
	return &b.result.Phases[len(b.result.Phases)-1]
}

// complaints lists what did not complete.
func complaints(r *load.Result) string {
	var s strings.Builder
	for why, n := range r.Reasons {
		fmt.Fprintf(&s, "   %d × %s", n, why)
	}
	if r.Dropped > 0 {
		fmt.Fprintf(&s, "   %d dropped", r.Dropped)
	}
	return s.String()
}

// usage is what processes have used until a moment.
type usage struct {
	at        time.Time
	busy      time.Duration // of all processors, for whatever process
	processes map[string]machine.Process
}

func (b *bench) used() usage {
	u := usage{at: time.Now(), busy: machine.Busy(), processes: make(map[string]machine.Process, len(b.target.Processes))}
	for name, pid := range b.target.Processes {
		u.processes[name] = machine.Used(pid)
	}
	if b.target.Cluster != nil {
		maps.Copy(u.processes, b.target.Cluster.Used())
	}
	return u
}

// request builds the nth request of a phase in a buffer.
type request func(into []byte, n int64) []byte

// hello makes work of requests whose answers do not matter, as long as they are the hello world's.
func hello(build request) load.Work {
	return func(c *load.Client, n int64) load.Verdict {
		c.Scratch = build(c.Scratch[:0], n)
		r, err := c.Do(c.Scratch)
		switch {
		case err != nil:
			return load.Verdict{Outcome: load.Failed, Reason: load.Reason(err)}
		case r.Status != 200:
			return load.Verdict{Outcome: load.Failed, Reason: fmt.Sprint("status ", r.Status)}
		}
		return load.Verdict{}
	}
}

// unsteady is by how much the hello world may differ before and after a phase until a note warns of it.
const unsteady = 1.25

// beside measures a phase between two of the hello world with the same requests, and profiles the bank meanwhile.
func (b *bench) beside(ctx context.Context, p report.Phase, same request, run load.Run) (*load.Result, error) {
	pool := b.doors.hello
	if p.TLS {
		pool = b.doors.helloTLS
	}
	eachHello := 0.
	side := func(when string) (float64, error) {
		h := report.Phase{
			Name: "hello-" + p.Name + "-" + when, What: "hello world: the requests of " + p.Name, Server: "hello", TLS: p.TLS, Unit: "requests", RequestsEach: 1,
		}
		// Half as long as the phase, twice.
		r, measured, err := b.run(ctx, h, load.Run{Pool: pool, Work: hello(same), WarmUp: b.warmUp() / 2, Measure: b.measure() / 2}, nil)
		if err != nil {
			return 0, err
		}
		if r.Failed > 0 || r.Completed == 0 {
			b.void("%s: the hello world answered %d requests and failed %d (%v): there is nothing to measure beside", h.Name, r.Completed, r.Failed, r.Reasons)
		}
		eachHello += measured.CPUEach() / 2
		return r.PerSecond(), nil
	}
	before, err := side("before")
	if err != nil {
		return nil, err
	}
	r, _, err := b.profiled(ctx, p, run)
	if err != nil {
		return nil, err
	}
	at := len(b.result.Phases) - 1
	after, err := side("after")
	if err != nil {
		return nil, err
	}
	phase := &b.result.Phases[at]
	base := &report.Baseline{Name: "hello-" + p.Name, Before: before, After: after, PerSecond: (before + after) / 2}
	if high, low := max(before, after), min(before, after); high > unsteady*low {
		b.note("Around %s the hello world did %.0f and then %.0f requests a second: the machine was not the same before and after, and neither is the share of %s.", p.Name, before, after, p.Name)
	}
	if base.PerSecond > 0 {
		base.Ratio = phase.PerSecond / base.PerSecond
	}
	if each := phase.CPUEach(); each > 0 {
		base.CPURatio = eachHello / each
	}
	phase.Baseline = base
	b.Say("  %-22s %9.1f %% of the hello world's rate, %.1f %% by processor time", "", 100*base.Ratio, 100*base.CPURatio)
	return r, nil
}

// profiled is a closed run with profiles of the bank.
func (b *bench) profiled(ctx context.Context, p report.Phase, run load.Run) (*load.Result, *report.Phase, error) {
	wait := b.profile(ctx, p.Name, run.WarmUp)
	r, phase, err := b.run(ctx, p, run, nil)
	return r, phase, errors.Join(err, wait())
}

// profile takes profiles of the bank: of its processor time from the end of the warm-up on, and of what it allocates from now until the
// function that it gives is called, which waits for both and takes them up.
func (b *bench) profile(ctx context.Context, phase string, warmUp time.Duration) func() error {
	if b.ProfileDir == "" {
		return func() error { return nil }
	}
	before, heapErr := b.target.heap(ctx)
	var (
		cpu    []byte
		cpuErr error
		wait   sync.WaitGroup
	)
	wait.Go(func() {
		select {
		case <-ctx.Done():
		case <-time.After(warmUp):
			cpu, cpuErr = b.target.cpu(ctx, b.measure())
		}
	})
	return func() error {
		wait.Wait()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if cpuErr == nil {
			cpuErr = b.keep(phase, "cpu", "cpu", cpu)
		}
		var after []byte
		if heapErr == nil {
			after, heapErr = b.target.heap(ctx)
		}
		if heapErr == nil {
			after, heapErr = report.Allocated(before, after)
		}
		if heapErr == nil {
			heapErr = b.keep(phase, "allocs", "alloc_space", after)
		}
		if err := errors.Join(cpuErr, heapErr); err != nil {
			b.note("Not all profiles of %s could be taken: %v.", phase, err)
		}
		return nil
	}
}

// keep writes a profile to its file and its short form into the result.
func (b *bench) keep(phase, kind, sample string, text []byte) error {
	p, err := report.ReadProfile(text, sample, func(f string) bool { return strings.HasPrefix(f, "netbank/") })
	if err != nil {
		return err
	}
	p.Phase, p.Kind, p.File = phase, kind, phase+"-"+kind+".pprof"
	if err := os.WriteFile(filepath.Join(b.ProfileDir, p.File), text, 0o644); err != nil {
		return fmt.Errorf("scenario: %w", err)
	}
	b.result.Profiles = append(b.result.Profiles, *p)
	return nil
}
