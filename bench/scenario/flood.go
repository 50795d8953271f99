package scenario

import (
	"context"
	"time"

	"netbank/bench/load"
	"netbank/bench/people"
	"netbank/bench/report"
)

// Rates of the scenario status-flood.
const (
	// floodConfirmations are confirmed each second throughout. One status read for each is what a well-behaved partner asks.
	floodConfirmations = 150.
	// flood is how many times as many status reads come then.
	flood = 100.
	// pollObjective is how long a partner may wait for a status.
	pollObjective = time.Second
)

// statusFlood asks what a hundredfold of status polling does to customers who confirm.
func statusFlood() *Scenario {
	return &Scenario{
		Name:     "status-flood",
		Help:     "a hundred times as many status polls: do confirmations notice?",
		Defaults: Options{Seconds: 20, Customers: 60_000},
		Short:    Options{Seconds: 5, Customers: 20_000},
		run:      func(ctx context.Context, b *bench) error { return b.statusFlood(ctx) },
	}
}

func (b *bench) statusFlood(ctx context.Context) error {
	b.result.Asked = "When payments are slow, every partner's program asks for their status again and again, and those questions must not slow the payments further. " +
		"Customers confirm at a steady rate while partners first ask once for each payment, then a hundred times as often, then once again. What do the customers notice?"
	b.Plan(3*b.measure() + 30*time.Second)
	if err := b.raise(ctx, Bank{PasswordHash: "cheap"}); err != nil {
		return err
	}
	defer b.lower()
	for _, part := range []struct {
		name  string
		polls float64
	}{{"quiet-before", 1}, {"flood", flood}, {"quiet-after", 1}} {
		b.Do(part.name)
		_, err := b.together(ctx, []report.Phase{
			{Name: "confirm-" + part.name, What: "payments confirmed with sessions open, while partners poll", Server: "bank", Unit: "payments", RequestsEach: requestsEach[people.Confirm], OfferedPerSecond: floodConfirmations},
			{Name: "status-" + part.name, What: "status reads over the partner API, of payments picked at random", Server: "bank", TLS: true, Unit: "requests", RequestsEach: 1, OfferedPerSecond: floodConfirmations * part.polls},
		}, []people.Job{
			{Kind: people.Confirm, Curve: load.Constant(floodConfirmations), WarmUp: b.warmUp(), Measure: b.measure(), Grace: overloadGrace, SLO: confirmObjective, Connections: b.Connections},
			{Kind: people.Status, Curve: load.Constant(floodConfirmations * part.polls), WarmUp: b.warmUp(), Measure: b.measure(), Grace: overloadGrace, SLO: pollObjective, Connections: b.Connections},
		})
		if err != nil {
			return err
		}
	}
	b.beforeAndAfter("confirm", "flood", "confirmation p99 under a hundredfold of status polls",
		"What 99 of 100 customers waited for at most, while partners asked a hundred times as often as they need to.")
	return b.audit(ctx, "")
}

// beforeAndAfter puts the 99th percentile of a phase beside those of the quiet ones before and after it.
func (b *bench) beforeAndAfter(phase, busy, name, text string) {
	before, during, after := b.result.Phase(phase+"-quiet-before"), b.result.Phase(phase+"-"+busy), b.result.Phase(phase+"-quiet-after")
	if before == nil || during == nil || after == nil || before.Latency == nil || during.Latency == nil || after.Latency == nil {
		return
	}
	b.headline(report.Headline{
		Name: name, Value: float64(during.Latency.P99) / 1e6, Unit: "ms", Against: "before and after it", Baseline: float64(before.Latency.P99+after.Latency.P99) / 2e6, Text: text,
	})
}
