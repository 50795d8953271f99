package scenario

import (
	"context"
	"fmt"
	"slices"
	"time"

	"netbank/bench/demo"
	"netbank/bench/people"
	"netbank/bench/report"
)

// rolling restarts every node under load, and replaces one whose disk is gone.
func rolling() *Scenario {
	return &Scenario{
		Name:     "rolling",
		Help:     "every node is restarted, one after the other, and one whose disk is gone is replaced: does anybody notice?",
		Defaults: Options{Seconds: 8, Nodes: 3, Workers: 2, Rate: 60, Customers: 20_000, Pace: .1, CoreModel: "fixed:15ms", CoreSeats: 64},
		Short:    Options{Seconds: 5, Customers: 5000},
		cluster:  true,
		run:      func(ctx context.Context, b *bench) error { return b.rolling(ctx) },
	}
}

func (b *bench) rolling(ctx context.Context) error {
	b.result.Asked = "What customers notice of an upgrade: every node is asked to stop, and started again when it has, one after the other. Then a coordinator dies with its disk, " +
		"and another joins in its place. Who gets no answer, or is turned away, tries once more, at once, and not a third time. Does anybody need a third?"
	steps := b.Nodes + b.Workers + 1
	during := time.Duration(steps) * b.measure()
	b.Plan(during + 70*time.Second)
	if err := b.raise(ctx, Bank{PasswordHash: "cheap"}); err != nil {
		return err
	}
	defer b.lower()
	b.Do(fmt.Sprintf("%.0f customers a second", b.Rate))
	var events []report.Disturbance
	o, err := b.disturbed(ctx, report.Phase{Name: "rolling", What: "whole payments while nodes are restarted and replaced"}, b.onceMoreAtOnce(), during, func(ctx context.Context) error {
		return b.roll(ctx, &events)
	})
	if err != nil {
		return err
	}
	stallsOf(o.Confirmations, events, b.result.Started, b.loadEnd)
	b.result.Disturbances = events
	b.answers(o.Confirmations)
	failed := o.Load.Offered - o.Load.Completed - o.Load.Reasons[people.ReasonRejected]
	b.headline(report.Headline{
		Name: "customers whom one repetition did not help", Value: float64(failed), Unit: "customers", Against: "the objective: at most", Baseline: 0,
		Text: "Who was still not answered, or still turned away, when he tried for the second time, at any step of his way.",
	})
	longest := 0.
	for _, e := range events {
		longest = max(longest, e.LongestMs)
	}
	b.headline(report.Headline{
		Name: "stall, longest", Value: longest, Unit: "ms", Against: "the objective: at most", Baseline: ms(stallLongest),
		Text: "The longest that one customer waited from pressing the button until the definite answer.",
	})
	return b.audit(ctx, "")
}

// roll restarts each node and replaces one. Who leads comes as it happens: each restart of a leader makes another one lead.
func (b *bench) roll(ctx context.Context, events *[]report.Disturbance) error {
	nodes, err := b.target.Cluster.Nodes(ctx)
	if err != nil {
		return err
	}
	step := func(what, name string, do func() error) error {
		began := time.Now()
		e := report.Disturbance{What: what, Node: name, Second: began.Sub(b.result.Started).Seconds()}
		if err := do(); err != nil {
			return fmt.Errorf("%s %s: %w", what, name, err)
		}
		e.ReadyMs = float64(time.Since(began)) / 1e6
		*events = append(*events, e)
		// Room for what follows the restart, so that it is not taken for what follows the next.
		return pause(ctx, max(b.measure()-time.Since(began)-time.Second, b.measure()/8))
	}
	c := b.target.Cluster
	for _, n := range nodes {
		err := step("restart", n.Name, func() error {
			if err := c.Stop(ctx, n.Name); err != nil {
				return err
			}
			return c.Start(ctx, n.Name)
		})
		if err != nil {
			return err
		}
	}
	i := slices.IndexFunc(nodes, func(n demo.Node) bool { return n.PeerAddr != "" }) // a coordinator
	return step("replace", nodes[i].Name, func() error {
		if err := c.Kill(ctx, nodes[i].Name); err != nil {
			return err
		}
		return c.Replace(ctx, nodes[i].Name)
	})
}
