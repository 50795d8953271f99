package scenario

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"netbank/bench/audit"
	"netbank/bench/load"
	"netbank/bench/people"
	"netbank/bench/report"
)

// Limits of the scenario waiting-room.
const (
	// roomMultiple is how many times what the core can do comes to the line whose waits are looked at.
	roomMultiple = 2.
	// roomCloseMax is how many customers come in at most until the line closes: far more than a second's worth, and what a fast machine sends within the
	// quarter of a second in which an idle leader does not look.
	roomCloseMax = 200_000
	// roomMax bounds each of the steps that bring the crowd there.
	roomMax = 10 * time.Minute
	// roomStep is what is left of the core after the step that the line has to tell people of.
	roomStep = 0.5
)

// waitingRoom fills the waiting line, and asks what that costs and whether people wait as long as they were told.
func waitingRoom() *Scenario {
	return &Scenario{
		Name: "waiting-room",
		Help: "a crowd in the waiting line: its memory, how often it can look, and whether it waits as long as it was told",
		Defaults: Options{
			Seconds: 40, Waiting: 1_000_000, CoreModel: narrowCore, CoreSeats: narrowCoreSeats, Pace: .1, Customers: 60_000, Line: true,
		},
		Short: Options{Seconds: 15, Waiting: 50_000, Customers: 30_000},
		run:   func(ctx context.Context, b *bench) error { return b.waitingRoom(ctx) },
	}
}

func (b *bench) waitingRoom(ctx context.Context) error {
	b.result.Asked = "On the day when everybody pays at once, most of them wait. What does a place in the waiting line cost the bank, how many people can look at theirs, and when their turn comes, " +
		"did it come within the time that the page had told them?"
	b.Plan(time.Duration(b.Waiting/5000)*time.Second + 5*b.measure() + 60*time.Second)
	for _, part := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"a crowd", b.crowdInLine}, {"waits", b.waitsAsTold},
	} {
		b.Do("starting a bank")
		if err := b.raise(ctx, Bank{PasswordHash: "cheap"}); err != nil {
			return err
		}
		if err := part.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		b.lower()
	}
	return nil
}

// crowdInLine has a crowd take places and look at them.
func (b *bench) crowdInLine(ctx context.Context) error {
	doors, err := b.target.open(ctx, b.Connections)
	if err != nil {
		return err
	}
	defer doors.close()
	maker := &people.Maker{
		Seed: b.Seed, Run: "b" + strconv.FormatUint(b.Seed, 36) + "-", CustomerHost: doors.customerHost, PartnerHost: doors.partnerHost, Redirect: b.target.Demo.Partner.RedirectURI, Cookie: doors.cookie,
	}
	b.Do(fmt.Sprintf("%d payments are created", b.Waiting))
	links, said := make([]string, b.Waiting), people.NewWords(b.Connections)
	r, err := load.Closed(ctx, load.Run{Pool: doors.partner, Measure: roomMax, Limit: int64(b.Waiting), Work: func(c *load.Client, n int64) load.Verdict {
		o, v := maker.Place(c, n)
		if links[n] = o.Link; v.Outcome == load.Completed && n%1000 == 0 { // of the others the audit sees the journal only
			said.Add(c.Index, audit.Told{Payment: o.ID, Source: audit.ByAPI, Status: "RCVD", Version: 1})
		}
		return v
	}})
	if err != nil {
		return err
	}
	if r.Completed < int64(b.Waiting) {
		return fmt.Errorf("%d of %d payments were created: %v", r.Completed, b.Waiting, r.Reasons)
	}
	b.told = append(b.told, said.All()...)
	place := people.Browser{Maker: maker}
	if err := b.closeLine(ctx, doors, place, links); err != nil {
		return err
	}
	before, err := b.inUse(ctx)
	if err != nil {
		return err
	}
	b.Do("everybody takes a place")
	look := func(c *load.Client, link string) load.Verdict {
		at := place
		at.Client = c
		return at.Wait(link)
	}
	_, _, err = b.run(ctx, report.Phase{
		Name: "arrive", What: "people come to the line, each with a payment of his own", Server: "bank", Unit: "people", RequestsEach: 1,
	}, load.Run{Pool: doors.customer, Measure: roomMax, Limit: int64(b.Waiting), Work: func(c *load.Client, n int64) load.Verdict { return look(c, links[n]) }}, nil)
	if err != nil {
		return err
	}
	after, err := b.inUse(ctx)
	if err != nil {
		return err
	}
	b.Do("they look at their places")
	_, _, err = b.profiled(ctx, report.Phase{
		Name: "look", What: "looks at places in the line, picked at random", Server: "bank", Unit: "looks", RequestsEach: 1,
	}, load.Run{Pool: doors.customer, WarmUp: b.warmUp(), Measure: b.measure() / 4, Work: func(c *load.Client, n int64) load.Verdict {
		return look(c, links[load.Mix(b.Seed, uint64(n))%uint64(len(links))])
	}})
	if err != nil {
		return err
	}
	b.headline(report.Headline{
		Name: "memory for each who waits", Value: (after - before) / float64(b.Waiting), Unit: "bytes",
		Text: fmt.Sprintf("What %d people in the line added to what the node's heap holds after a collection, journal included; of that the place itself is 8 bytes of the payment, which is there anyhow.", b.Waiting),
	})
	b.headline(report.Headline{
		Name: "looks at a place", Value: b.result.Phase("look").PerSecond, Unit: "looks/s", Text: "How many people a second one node tells where they stand; pages ask at most 2,000 times a second altogether.",
	})
	return b.audit(ctx, "the crowd")
}

// inUse is what the bank's heap holds after a collection, in bytes.
func (b *bench) inUse(ctx context.Context) (float64, error) {
	if _, err := b.target.heap(ctx); err != nil { // which collects; a profile itself is a sample, and too coarse
		return 0, err
	}
	families, err := b.target.metrics(ctx)
	if err != nil {
		return 0, err
	}
	for _, m := range families["go_memstats_heap_alloc_bytes"].GetMetric() {
		return m.GetGauge().GetValue(), nil
	}
	return 0, errors.New("the bank does not say what its heap holds")
}

// closeLine has customers begin flows until new ones have to wait.
func (b *bench) closeLine(ctx context.Context, d *doors, at people.Browser, links []string) error {
	b.Do("so many come that the line closes")
	var once sync.Once
	ctx, closed := context.WithCancel(ctx)
	defer closed()
	over := false
	_, err := load.Closed(ctx, load.Run{Pool: d.customer, Measure: roomMax, Limit: roomCloseMax, Work: func(c *load.Client, n int64) load.Verdict {
		at := at
		at.Client = c
		if at.Begin(links[n%int64(len(links))]) {
			once.Do(func() { over = true; closed() })
		}
		return load.Verdict{}
	}})
	switch {
	case over:
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("the line does not close although %d customers came in at once; was the bank started with --line?", roomCloseMax)
}

// waitsAsTold has twice as many customers come as the core can serve, halves the core in the middle, and asks the bank whose wait was as it was told.
func (b *bench) waitsAsTold(ctx context.Context) error {
	peak, err := b.target.peak(ctx)
	if err != nil {
		return err
	}
	offered := roomMultiple * peak.DebitsPerSecond
	habits := b.customers(people.Patient())
	counted := [3]float64{}
	for _, part := range []struct {
		name  string
		speed float64
		text  string
	}{
		{"steady", 1, "while the core stays as it is"}, {"step", roomStep, "while the core becomes half as fast in the middle"},
	} {
		b.Do("waits, " + part.text)
		if err := b.target.coreSpeed(ctx, 1); err != nil {
			return err
		}
		ctx, stop := context.WithCancel(ctx)
		b.onStart = func() {
			time.AfterFunc(b.measure()/2, func() {
				if ctx.Err() == nil {
					_ = b.target.coreSpeed(ctx, part.speed)
				}
			})
		}
		// Everybody is served in the end: twice as long as they came, and twice that on half a core.
		grace := time.Duration(2*roomMultiple*float64(b.measure())) + overloadGrace
		_, err := b.together(ctx, []report.Phase{{
			Name: "waits-" + part.name, Server: "bank", Unit: "payments", RequestsEach: requestsEach[people.Flow], OfferedPerSecond: offered, Multiple: roomMultiple, PeakPerSecond: peak.DebitsPerSecond,
			What: fmt.Sprintf("customers come at %.0f a second, twice what the core can do, wait in line, and pay, %s", offered, part.text),
		}}, []people.Job{{
			Kind: people.Flow, Curve: load.Constant(offered), Measure: b.measure(), Grace: grace, Habits: habits, SLO: confirmObjective, Connections: customerConnections,
		}})
		stop()
		if err != nil {
			return err
		}
		if err := b.countWaits(ctx, part.name, part.text, &counted); err != nil {
			return err
		}
	}
	if err := b.target.coreSpeed(ctx, healed); err != nil {
		return err
	}
	return b.audit(ctx, "the waits")
}

// countWaits asks the bank whose waits were as they were told, since it was asked before.
func (b *bench) countWaits(ctx context.Context, part, text string, before *[3]float64) error {
	families, err := b.target.metrics(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	now := [3]float64{}
	for _, m := range families["netbank_line_waits_total"].GetMetric() {
		for i, shown := range [...]string{"inside", "earlier", "later"} {
			if len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == shown {
				now[i] = m.GetCounter().GetValue()
			}
		}
	}
	inside, earlier, later := now[0]-before[0], now[1]-before[1], now[2]-before[2]
	*before = now
	all := inside + earlier + later
	if all == 0 {
		b.void("waits-%s: nobody waited, or nobody was told how long", part)
		return nil
	}
	b.headline(report.Headline{
		Name: "waits within the range shown, " + part, Value: 100 * inside / all, Unit: "%",
		Text: fmt.Sprintf("Of %.0f customers who waited %s: %.0f came in within the range of time that the page had shown them first, %.0f sooner and %.0f later.", all, text, inside, earlier, later),
	})
	return nil
}
