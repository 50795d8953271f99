package scenario

import (
	"context"
	"fmt"
	"time"

	"netbank/bench/load"
	"netbank/bench/people"
	"netbank/bench/report"
)

// Limits of the scenario soak.
const (
	// soakShare of the ceiling is offered.
	soakShare = .7
	// soakRound is how long one round of customers comes; the next follows at once.
	soakRound = 5 * time.Minute
	// soakMost bounds what is offered, since every payment is kept for the audit until the end.
	soakMost = 1000.
	// slow is what a customer should never have to wait for an answer.
	slow = time.Second
)

// soak loads a bank for a long time and looks whether it stays as it was.
func soak() *Scenario {
	return &Scenario{
		Name:     "soak",
		Help:     "a long time at 70 % of the ceiling: do memory, goroutines and files stay flat?",
		Defaults: Options{Seconds: 600, Customers: 200_000, Pace: .2},
		Short:    Options{Seconds: 20, Customers: 60_000},
		run:      func(ctx context.Context, b *bench) error { return b.soak(ctx) },
	}
}

func (b *bench) soak(ctx context.Context) error {
	b.result.Asked = "Whether a bank that works for a long time stays as it was at first: customers come at 70 % of what it can do, while its memory, its goroutines and " +
		"its open files are written down, and how many had to wait for longer than a second."
	b.Plan(b.measure() + 50*time.Second)
	if err := b.raise(ctx, Bank{PasswordHash: "cheap"}); err != nil {
		return err
	}
	defer b.lower()
	b.Do("as many as it can")
	probe := min(b.measure(), 5*time.Second)
	r, err := b.alone(ctx, report.Phase{Name: "ceiling", What: "whole payments, as many as it can", Server: "bank", Unit: "payments", RequestsEach: requestsEach[people.Flow]}, people.Job{
		Kind: people.Flow, AtOnce: flowsAtOnce, WarmUp: time.Second, Measure: probe, Habits: people.Machine(), Connections: b.Connections,
	})
	if err != nil {
		return err
	}
	offered := min(soakShare*r.Load.PerSecond(), soakMost)
	habits := b.customers(people.Patient())
	w := b.watching(ctx, time.Second, true)
	rounds := max(1, int((b.measure()+soakRound-1)/soakRound))
	var completed, late int64
	for n := range rounds {
		b.Do(fmt.Sprintf("%.0f customers a second, round %d of %d", offered, n+1, rounds))
		round, err := b.alone(ctx, report.Phase{
			Name: fmt.Sprintf("soak-%d", n+1), What: fmt.Sprintf("whole payments at %.0f %% of the ceiling", 100*offered/r.Load.PerSecond()), Server: "bank", Unit: "payments",
			RequestsEach: requestsEach[people.Flow], OfferedPerSecond: offered,
		}, people.Job{
			Kind: people.Flow, Curve: load.Constant(offered), WarmUp: habits.Think.Whole(), Measure: b.measure() / time.Duration(rounds), Grace: overloadGrace,
			Habits: habits, SLO: slow, Connections: customerConnections,
		})
		if err != nil {
			w.end(ctx, b.target)
			return err
		}
		completed += round.Load.Completed
		late += round.Load.Completed - round.Load.InSLO
	}
	w.end(ctx, b.target)
	b.result.Samples = w.samples
	if w.missed > 0 {
		b.note("The bank's metrics could not be read %d times of %d.", w.missed, w.missed+len(w.samples))
	}
	first, last := ends(w.samples)
	for _, h := range []struct {
		name, unit, text string
		of               func(report.Sample) int64
	}{
		{"memory at the end", "MiB", "What the bank's process held in memory, in the mean of the last tenth of the time. The journal keeps payments for four days, so some growth belongs to the payments made.", func(s report.Sample) int64 { return s.ResidentMB }},
		{"goroutines at the end", "goroutines", "What is under way inside the bank's process.", func(s report.Sample) int64 { return s.Goroutines }},
		{"open files at the end", "files", "Connections and files that the bank's process holds open.", func(s report.Sample) int64 { return s.Files }},
	} {
		b.headline(report.Headline{Name: h.name, Value: mean(last, h.of), Unit: h.unit, Against: "the second tenth of the time", Baseline: mean(first, h.of), Text: h.text})
	}
	b.headline(report.Headline{
		Name: "waited longer than a second", Value: share(late, completed), Unit: "% of payments", Against: "the objective: at most", Baseline: 1,
		Text: "Payments for whose confirmation a customer waited longer than that.",
	})
	return b.audit(ctx, "")
}

// ends are the second and the last tenth of the samples: at the very beginning caches and heap have yet to settle.
func ends(all []report.Sample) (first, last []report.Sample) {
	tenth := max(1, len(all)/10)
	if len(all) < 2 {
		return all, all
	}
	return all[min(tenth, len(all)-1):min(2*tenth, len(all))], all[len(all)-tenth:]
}

func mean(samples []report.Sample, of func(report.Sample) int64) float64 {
	if len(samples) == 0 {
		return 0
	}
	sum := int64(0)
	for _, s := range samples {
		sum += of(s)
	}
	return float64(sum) / float64(len(samples))
}
