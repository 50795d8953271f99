package scenario

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"netbank/bench/report"
)

// Limits of the scenario failover.
const (
	// stallObjective is within what time a confirmation that met a dead leader should have its definite answer; stallLongest at the latest.
	stallObjective = 2 * time.Second
	stallLongest   = 5 * time.Second
)

// failover kills leaders under load.
func failover() *Scenario {
	return &Scenario{
		Name:     "failover",
		Help:     "the leader is killed again and again: what do those notice who are confirming?",
		Defaults: Options{Seconds: 8, Kills: 20, Nodes: 3, Workers: 2, Rate: 60, Down: .2, Customers: 20_000, Pace: .1, CoreModel: "fixed:15ms", CoreSeats: 64},
		Short:    Options{Kills: 2, Seconds: 6, Customers: 5000},
		cluster:  true,
		run:      func(ctx context.Context, b *bench) error { return b.failover(ctx) },
	}
}

func (b *bench) failover(ctx context.Context) error {
	b.result.Asked = "What customers notice when the node dies that decides about all payments. They come from the shop at a steady rate, sign in and confirm, at any node. Again and again " +
		"the node that leads is killed without warning, and started again a little later. Who gets no answer, or is turned away, tries once more, at once, and not a third time. " +
		"Does everybody learn what became of the payment, and how long does it take?"
	during := time.Duration(b.Kills) * b.measure()
	b.Plan(during + 70*time.Second)
	if err := b.raise(ctx, Bank{PasswordHash: "cheap"}); err != nil {
		return err
	}
	defer b.lower()
	b.Do(fmt.Sprintf("%.0f customers a second, %d kills", b.Rate, b.Kills))
	down := time.Duration(b.Down * float64(time.Second))
	random := rand.New(rand.NewPCG(b.Seed, 1))
	var events []report.Disturbance
	o, err := b.disturbed(ctx, report.Phase{Name: "failover", What: "whole payments while leaders are killed"}, b.onceMoreAtOnce(), during, func(ctx context.Context) error {
		next := time.Now()
		for range b.Kills {
			// A moment of its own within the first half of each span, so that what the machine does regularly does not always meet it alike.
			at := next.Add(time.Duration(random.Float64() * float64(b.measure()) / 4))
			if err := pause(ctx, time.Until(at)); err != nil {
				return err
			}
			next = next.Add(b.measure())
			name, err := b.leader(ctx)
			if err != nil {
				return err
			}
			e := report.Disturbance{What: "kill -9", Node: name, Second: time.Since(b.result.Started).Seconds()}
			if err := b.target.Cluster.Kill(ctx, name); err != nil {
				return err
			}
			if err := pause(ctx, down); err != nil {
				return err
			}
			again := time.Now()
			if err := b.target.Cluster.Start(ctx, name); err != nil {
				return err
			}
			e.ReadyMs = float64(time.Since(again)) / 1e6
			events = append(events, e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	stallsOf(o.Confirmations, events, b.result.Started, b.loadEnd)
	b.result.Disturbances = events
	b.answers(o.Confirmations)
	var waits, gaps []float64
	for _, e := range events {
		waits, gaps = append(waits, e.LongestMs), append(gaps, e.GapMs)
	}
	for _, h := range []report.Headline{
		{
			Name: "stall, 95 % of kills", Value: quantile(waits, .95), Unit: "ms", Against: "the objective: at most", Baseline: ms(stallObjective),
			Text: "The longest that one customer waited from pressing the button until the definite answer, over all tries and pages, was shorter than this in 95 of 100 kills.",
		},
		{Name: "stall, longest", Value: slices.Max(waits), Unit: "ms", Against: "the objective: at most", Baseline: ms(stallLongest), Text: "The same for the worst of all kills."},
		{Name: "stall, half of kills", Value: quantile(waits, .5), Unit: "ms", Against: "the objective: at most", Baseline: ms(stallObjective), Text: "The same for half of them."},
		{Name: "nobody paid, longest", Value: slices.Max(gaps), Unit: "ms", Against: "half of the kills", Baseline: quantile(gaps, .5), Text: "The longest time after a kill in which nobody was told that he has paid."},
	} {
		b.headline(h)
	}
	b.note("A node that was killed stayed down for %v until it was started again.", down)
	b.leftOut("Machines that die with their network: loopback resets connections at once, where a customer of a machine that is gone waits for his browser's patience.")
	return b.audit(ctx, "")
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }
