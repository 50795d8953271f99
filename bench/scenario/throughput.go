package scenario

import (
	"context"
	"fmt"
	"time"

	"netbank/bench/load"
	"netbank/bench/people"
	"netbank/bench/report"
)

// throughputConfirm measures the whole redirect flow.
func throughputConfirm() *Scenario {
	return &Scenario{
		Name:     "throughput-confirm",
		Help:     "whole payments: from the shop and back, with sessions open and with signing in",
		Defaults: Options{Seconds: 15, Pace: .2, Customers: 100_000},
		Short:    Options{Seconds: 4, Customers: 60_000},
		run:      func(ctx context.Context, b *bench) error { return b.throughput(ctx) },
	}
}

// flowsAtOnce is how many flows the closed loops keep under way: sign-ins are checked by 64 places for each processor, and who comes beyond
// is turned away. That is the bank's right, and not what is asked about here.
const flowsAtOnce = 64

func (b *bench) throughput(ctx context.Context) error {
	b.result.Asked = "How many whole payments a second one node gets through: a customer comes from the shop, reads who is to be paid, chooses an account, " +
		"sends a one-time code, and is led to the result. Once with customers whose session is open already, once with customers who sign in first. " +
		"Then customers who take their time come at a rate that the bank can bear, and what they wait for its answers is measured."
	b.Plan(6*b.measure() + 40*time.Second)
	if err := b.raise(ctx, Bank{PasswordHash: "cheap"}); err != nil {
		return err
	}
	defer b.lower()
	ceilings := map[string]float64{}
	for _, f := range []struct{ name, kind, what string }{
		{"returning", people.Returning, "payments of customers whose session is open: created by the shop, looked at, account chosen, code sent, result"},
		{"flow", people.Flow, "the whole way: created by the shop, signed in, looked at, account chosen, code sent, result"},
	} {
		b.Do(f.name + ", as many as it can")
		r, err := b.alone(ctx, report.Phase{Name: f.name, What: f.what, Server: "bank", Unit: "payments", RequestsEach: requestsEach[f.kind]}, people.Job{
			Kind: f.kind, AtOnce: flowsAtOnce, WarmUp: b.warmUp(), Measure: b.measure(), Habits: people.Machine(), Connections: b.Connections,
		})
		if err != nil {
			return err
		}
		if r.Load.Completed == 0 {
			return fmt.Errorf("%s: nothing was completed: %v", f.name, r.Load.Reasons)
		}
		ceilings[f.name] = r.Load.PerSecond()
	}
	offered := ceilings["flow"] * b.OpenShare
	habits := b.customers(people.Patient())
	b.Do(fmt.Sprintf("flow, %.0f a second", offered))
	phase := report.Phase{
		Name: "flow-open", What: "the same, by customers who read and type, coming by a Poisson schedule below the ceiling", Server: "bank", Unit: "payments",
		RequestsEach: requestsEach[people.Flow], OfferedPerSecond: offered,
	}
	open, err := b.alone(ctx, phase, people.Job{
		Kind: people.Flow, Curve: load.Constant(offered), WarmUp: b.warmUp() + habits.Think.Whole(), Measure: b.measure(), Grace: overloadGrace, Habits: habits,
		SLO: confirmObjective, Connections: customerConnections,
	})
	if err != nil {
		return err
	}
	if err := b.audit(ctx, ""); err != nil {
		return err
	}
	b.headline(report.Headline{
		Name: "whole payments with sessions open", Value: ceilings["returning"], Unit: "payments/s", Against: "with signing in", Baseline: ceilings["flow"],
		Text: "The most that one node got through on this machine, with the load's own programs on the same processors.",
	})
	b.headline(report.Headline{
		Name: "time for 12.61 million", Value: 12.61e6 / ceilings["flow"] / 3600, Unit: "h", Against: "the day it took in 2010", Baseline: 24,
		Text: "How long the payments of 11 November 2010 would take one node of this machine, all of them with signing in.",
	})
	if word := stepOf(open, people.StepWord); word != nil && word.Latency.TotalCount() > 0 {
		b.headline(report.Headline{
			Name: "wait for the bank's word, 99 %", Value: float64(word.Latency.ValueAtPercentile(99)) / 1e6, Unit: "ms", Against: "the objective", Baseline: confirmObjective.Seconds() * 1e3,
			Text: fmt.Sprintf("At %.0f %% of that rate, 99 of 100 customers had the bank's word on their code in this time.", 100*b.OpenShare),
		})
	}
	b.leftOut("Style sheet and icon, which a browser keeps for a year; TLS between customers and the bank's balancer; webhooks.")
	return nil
}
