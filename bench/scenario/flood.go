package scenario

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
		"Customers confirm at a steady rate while partners first ask once for each payment, then a hundred times as often, then once again. What do the customers notice? Load generator, core and bank share " +
		"this machine, so the same hundredfold is sent once to a hello world instead: what customers notice of that is the machine's, and only the rest is the bank's."
	b.Plan(4*b.measure() + 35*time.Second)
	if err := b.raise(ctx, Bank{PasswordHash: "cheap"}); err != nil {
		return err
	}
	defer b.lower()
	for _, part := range []struct {
		name      string
		polls     float64
		elsewhere float64 // polls that go to the hello world
	}{{"quiet-before", 1, 0}, {floodElsewhere, 1, flood - 1}, {"flood", flood, 0}, {"quiet-after", 1, 0}} {
		b.Do(part.name)
		wait, err := b.alsoElsewhere(ctx, floodConfirmations*part.elsewhere)
		if err != nil {
			return err
		}
		_, err = b.together(ctx, []report.Phase{
			{Name: "confirm-" + part.name, What: "payments confirmed with sessions open, while partners poll", Server: "bank", Unit: "payments", RequestsEach: requestsEach[people.Confirm], OfferedPerSecond: floodConfirmations},
			{Name: "status-" + part.name, What: "status reads over the partner API, of payments picked at random", Server: "bank", TLS: true, Unit: "requests", RequestsEach: 1, OfferedPerSecond: floodConfirmations * part.polls},
		}, []people.Job{
			{Kind: people.Confirm, Curve: load.Constant(floodConfirmations), WarmUp: b.warmUp(), Measure: b.measure(), Grace: overloadGrace, SLO: confirmObjective, Connections: b.Connections},
			{Kind: people.Status, Curve: load.Constant(floodConfirmations * part.polls), WarmUp: b.warmUp(), Measure: b.measure(), Grace: overloadGrace, SLO: pollObjective, Connections: b.Connections},
		})
		if err := errors.Join(err, wait()); err != nil {
			return err
		}
	}
	b.beforeAndAfter("confirm", "flood", "confirmation p99 under a hundredfold of status polls",
		"What 99 of 100 customers waited for at most, while partners asked a hundred times as often as they need to.")
	elsewhere, during := b.result.Phase("confirm-"+floodElsewhere), b.result.Phase("confirm-flood")
	if elsewhere != nil && during != nil && elsewhere.Latency != nil && during.Latency != nil {
		b.headline(report.Headline{
			Name: "confirmation p99 under a hundredfold of status polls", Value: float64(during.Latency.P99) / 1e6, Unit: "ms", Against: "the same polls sent to a hello world", Baseline: float64(elsewhere.Latency.P99) / 1e6,
			Text: "The clients of so many polls take processor time on the same machine. What is left between these two is what the bank's answers to them cost.",
		})
	}
	return b.audit(ctx, "")
}

// floodElsewhere is the part whose flood goes to the hello world.
const floodElsewhere = "elsewhere"

// alsoElsewhere has requests such as polls go to the hello world beside the next load, at a rate; the function that it gives waits for their end, and for 0 there
// are none.
func (b *bench) alsoElsewhere(ctx context.Context, rate float64) (wait func() error, err error) {
	if rate == 0 {
		return func() error { return nil }, nil
	}
	d, err := b.target.open(ctx, b.Connections)
	if err != nil {
		return nil, err
	}
	schedule, err := load.NewSchedule(b.Seed, load.Constant(rate), b.warmUp()+b.measure())
	if err != nil {
		d.close()
		return nil, err
	}
	maker := &people.Maker{Seed: b.Seed, PartnerHost: d.partnerHost}
	somebody := strings.Repeat("0", 36)
	done, scarce := make(chan error, 1), ""
	b.onStart = func() {
		go func() {
			r, err := load.Open(ctx, load.Run{
				Pool: d.helloTLS, WarmUp: b.warmUp(), Measure: b.measure(), Work: hello(func(into []byte, n int64) []byte { return maker.Status(into, somebody, n) }),
			}, schedule)
			if err == nil && r.PerSecond() < 0.9*rate {
				scarce = fmt.Sprintf("The hello world answered %.0f polls a second where %.0f were meant (%v): the flood that went there was a smaller one.", r.PerSecond(), rate, r.Reasons)
			}
			done <- err
		}()
	}
	return func() error {
		defer d.close()
		if b.onStart != nil { // the load did not begin
			b.onStart = nil
			return nil
		}
		err := <-done
		if scarce != "" {
			b.note("%s", scarce)
		}
		return err
	}, nil
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
