package scenario

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"netbank/bench/audit"
	"netbank/bench/load"
	"netbank/bench/people"
	"netbank/bench/report"
)

// Limits of the scenario single.
const (
	// prepareMax is how long customers are signed in before a measurement; with fewer ready the measurement is shorter.
	prepareMax = 30 * time.Second
	// signInsAtOnce is how many customers sign in at a time: a bank has 64 places for each processor that checks passwords, and
	// turns away who comes beyond. That is its right, and not what is asked about here.
	signInsAtOnce = 64
	// calibration is how many confirmations tell the rate for which customers are then prepared.
	calibration = 2000
	// reserve is what is prepared beyond what the calibrated rate needs.
	reserve = 1.3
	// Shares of the customers who have not paid yet: for the closed loop, and of the rest for the open one. Who is left takes the
	// full flow.
	closedShare = .6
	openShare   = .8
	// scheduleRoom is how many customers are prepared for each arrival that a Poisson schedule has on average.
	scheduleRoom = 1.1
)

// errCustomers says that the scenario ran out of people.
var errCustomers = errors.New("no customer is left who has not paid; seed more with --customers")

// oneNode is the scenario single under way.
type oneNode struct {
	*bench
	m      *people.Maker
	people []people.Person
	free   []people.Order // created, not yet given to a customer
	next   int            // the next customer
	ids    []string       // of every payment created
}

// singleScenario measures every door of one node, beside a hello world.
func singleScenario() *Scenario {
	return &Scenario{
		Name:     "single",
		Help:     "one node, every door, beside a hello world",
		Defaults: Options{Seconds: 5, Customers: 200_000},
		Short:    Options{Seconds: 2.5, Customers: 120_000},
		run:      single,
	}
}

func single(ctx context.Context, b *bench) error {
	b.result.Asked = "How fast one node is at each thing that it does, and what part of a bare web server's speed is left when every answer is a payment that was written to disk: " +
		"each door is measured between two measurements of a server that answers the same requests with a greeting."
	b.Plan(18*(b.measure()+b.warmUp()) + 35*time.Second)
	b.Do("starting a bank")
	if err := b.raise(ctx, Bank{PasswordHash: "cheap"}); err != nil {
		return err
	}
	defer b.lower()
	return (&oneNode{bench: b}).all(ctx)
}

// all measures creates, status reads, confirmations with sessions open in a closed and an open loop, and the full flow of a node that
// has no payments yet.
func (s *oneNode) all(ctx context.Context) (err error) {
	if s.people, err = people.Of(s.target.Demo); err != nil {
		return err
	}
	if s.doors, err = s.target.open(ctx, s.Connections); err != nil {
		return err
	}
	defer s.doors.close()
	s.m = &people.Maker{
		// The bank is new, so that keys of the seed are too; the same seed then offers the same requests, to the byte.
		Seed: s.Seed, Run: "b" + strconv.FormatUint(s.Seed, 36) + "-", CustomerHost: s.doors.customerHost,
		PartnerHost: s.doors.partnerHost, Redirect: s.target.Demo.Partner.RedirectURI, Cookie: s.doors.cookie,
	}
	for _, part := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"creates", s.creates}, {"status reads", s.statuses}, {"confirmations", s.confirmations}, {"the full flow", s.flows},
	} {
		s.Do(part.name)
		if err := part.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	for _, h := range []struct{ phase, name, text string }{
		{"status", "status reads", "What partners ask most often, answered from memory over mutual TLS."},
		{"create", "payments created", "Each is on disk before it is answered."},
		{"confirm", "payments confirmed", "The code is checked, the payment written to disk, the core debited, and its answer written to disk, before the customer is led to the result."},
	} {
		if p := s.result.Phase(h.phase); p != nil && p.Baseline != nil {
			s.headline(report.Headline{Name: h.name, Value: p.PerSecond, Unit: p.Unit + "/s", Against: "a hello world with the same requests, right before and after", Baseline: p.Baseline.PerSecond, Text: h.text})
		}
	}
	s.leftOut("Webhooks, password hashes as strong as the product's, the network, think times, style sheets.")
	return s.audit(ctx, "")
}

// creating makes work that creates payments, and the function that takes up what was created.
func (s *oneNode) creating(clients int) (load.Work, func()) {
	made, said := make([][]people.Order, clients), people.NewWords(clients)
	work := func(c *load.Client, n int64) load.Verdict {
		o, v := s.m.Place(c, n)
		if v.Outcome == load.Completed {
			made[c.Index] = append(made[c.Index], o)
			said.Add(c.Index, audit.Told{Payment: o.ID, Source: audit.ByAPI, Status: "RCVD", Version: 1})
		}
		return v
	}
	return work, func() {
		for _, mine := range made {
			s.free = append(s.free, mine...)
			for i := range mine {
				s.ids = append(s.ids, mine[i].ID)
			}
		}
		s.told = append(s.told, said.All()...)
	}
}

func (s *oneNode) creates(ctx context.Context) error {
	work, take := s.creating(s.Connections)
	r, err := s.beside(ctx, report.Phase{
		Name: "create", What: "payments created over the partner API", Server: "bank", TLS: true, Unit: "payments", RequestsEach: 1,
	}, s.m.Create, load.Run{Pool: s.doors.partner, Work: work, WarmUp: s.warmUp(), Measure: s.measure(), From: s.number})
	if err != nil {
		return err
	}
	s.number = r.Next
	take()
	if len(s.ids) == 0 {
		return fmt.Errorf("no payment was created: %v", r.Reasons)
	}
	return nil
}

// stock creates payments until that many are free.
func (s *oneNode) stock(ctx context.Context, want int) error {
	missing := want - len(s.free)
	if missing <= 0 {
		return nil
	}
	work, take := s.creating(s.Connections)
	r, err := load.Closed(ctx, load.Run{Pool: s.doors.partner, Work: work, Measure: prepareMax, From: s.number, Limit: int64(missing)})
	if err != nil {
		return err
	}
	s.number = r.Next
	take()
	return nil
}

func (s *oneNode) statuses(ctx context.Context) error {
	ids := s.ids
	pick := func(n int64) string { return ids[load.Mix(s.Seed, uint64(n))%uint64(len(ids))] }
	work := func(c *load.Client, n int64) load.Verdict {
		_, _, v := s.m.Ask(c, pick(n), n)
		return v
	}
	_, err := s.beside(ctx, report.Phase{
		Name: "status", What: "status reads over the partner API, of payments picked at random", Server: "bank", TLS: true, Unit: "requests", RequestsEach: 1,
	}, func(b []byte, n int64) []byte { return s.m.Status(b, pick(n), n) }, load.Run{Pool: s.doors.partner, Work: work, WarmUp: s.warmUp(), Measure: s.measure()})
	return err
}

// arrivals signs customers in, each with a payment of his own, until want of them are at the code page or the time is over.
// With a name it is a phase of the report.
func (s *oneNode) arrivals(ctx context.Context, name string, want int) ([]people.Checkout, error) {
	want = min(want, len(s.people)-s.next)
	if err := s.stock(ctx, want); err != nil {
		return nil, err
	}
	if want = min(want, len(s.free)); want <= 0 {
		return nil, errCustomers
	}
	visits := make([]people.Checkout, want)
	for i := range visits {
		visits[i] = people.Checkout{Order: s.free[i], Who: s.people[s.next+i]}
	}
	steps := newSteps("sign in", "confirm page", "choose account")
	work := func(c *load.Client, n int64) load.Verdict {
		return people.Browser{Maker: s.m, Client: c}.Arrive(&visits[n], steps.from(c.Index))
	}
	run := load.Run{Pool: s.doors.customer.First(signInsAtOnce), Work: work, Measure: prepareMax, Limit: int64(want)}
	var (
		r   *load.Result
		err error
	)
	if name == "" {
		r, err = load.Closed(ctx, run)
	} else {
		var phase *report.Phase
		r, phase, err = s.profiled(ctx, report.Phase{
			Name: name, What: "customers from the sign-in form to the code page", Server: "bank", Unit: "customers", RequestsEach: 3,
		}, run)
		if err == nil {
			phase.Steps = steps.report()
		}
	}
	if err != nil {
		return nil, err
	}
	// Whoever was begun has a session and a payment that nobody else may use.
	s.free, s.next = s.free[want:], s.next+want
	ready := visits[:0]
	for i := range visits {
		if visits[i].Ready {
			ready = append(ready, visits[i])
		}
	}
	if len(ready) == 0 {
		return nil, fmt.Errorf("no customer got as far as the code page: %v", r.Reasons)
	}
	return ready, nil
}

// share is a part of the customers who are left.
func (s *oneNode) share(part float64) int { return int(part * float64(len(s.people)-s.next)) }

// paying makes work that sends the codes of visits.
func (s *oneNode) paying(visits []people.Checkout) load.Work {
	return func(c *load.Client, n int64) load.Verdict {
		return people.Browser{Maker: s.m, Client: c}.Pay(&visits[n])
	}
}

func (s *oneNode) confirmations(ctx context.Context) error {
	first, err := s.arrivals(ctx, "", min(calibration, s.share(.1)))
	if err != nil {
		return err
	}
	rough, err := load.Closed(ctx, load.Run{Pool: s.doors.customer, Work: s.paying(first), Measure: prepareMax, Limit: int64(len(first))})
	if err != nil {
		return err
	}
	if rough.Completed == 0 || rough.Elapsed <= 0 {
		return fmt.Errorf("no confirmation was taken: %v", rough.Reasons)
	}
	if err := s.verify(ctx, first); err != nil {
		return err
	}
	ceiling, err := s.ceiling(ctx, rough.PerSecond())
	if err != nil {
		return err
	}
	return s.steady(ctx, ceiling*s.OpenShare)
}

// ceiling measures how many confirmations a second a closed loop gets through.
func (s *oneNode) ceiling(ctx context.Context, rough float64) (float64, error) {
	span := (s.warmUp() + s.measure()).Seconds()
	visits, err := s.arrivals(ctx, "sign-in", min(int(rough*span*reserve), s.share(closedShare)))
	if err != nil {
		return 0, err
	}
	same := func(b []byte, n int64) []byte {
		v := &visits[n%int64(len(visits))]
		return s.m.Form(b, v.Code, v.Cookie, "csrf", v.CSRF, "code", people.Code(v.Who.Seed, time.Now()))
	}
	r, err := s.beside(ctx, report.Phase{
		Name: "confirm", What: "payments confirmed with sessions open: the code is sent, the core is debited, the result is led to", Server: "bank", Unit: "payments", RequestsEach: 1,
	}, same, load.Run{
		Pool: s.doors.customer, Work: s.paying(visits), Measure: s.measure(), Limit: int64(len(visits)),
		// With too few customers, warm-up and measurement both are shorter.
		WarmUp: min(s.warmUp(), time.Duration(float64(len(visits))/rough/6*float64(time.Second))),
	})
	if err != nil {
		return 0, err
	}
	if r.Completed == 0 {
		return 0, fmt.Errorf("none of %d prepared confirmations was measured (%v); seed more with --customers", len(visits), r.Reasons)
	}
	if r.Elapsed < s.measure() {
		s.note("The closed loop of confirmations ran out of prepared customers after %.1f s; more --customers make it longer.", r.Elapsed.Seconds())
	}
	return r.PerSecond(), s.verify(ctx, visits)
}

// steady measures the latency of confirmations that come at a rate which the bank can bear.
func (s *oneNode) steady(ctx context.Context, perSecond float64) error {
	span := s.warmUp() + s.measure()
	visits, err := s.arrivals(ctx, "", min(int(perSecond*span.Seconds()*scheduleRoom)+100, s.share(openShare)))
	if err != nil {
		return err
	}
	// With fewer customers than the schedule needs, a lower rate is offered for the whole time.
	offered := min(perSecond, float64(len(visits))/scheduleRoom/span.Seconds())
	if offered < perSecond {
		s.note("The open loop offers %.0f confirmations a second instead of %.0f: there are no more customers. More --customers let it.", offered, perSecond)
	}
	schedule, err := load.NewSchedule(s.Seed, load.Constant(offered), span)
	if err != nil {
		return err
	}
	pay := s.paying(visits)
	_, _, err = s.run(ctx, report.Phase{
		Name: "confirm-open", What: "the same, coming by a Poisson schedule below the ceiling", Server: "bank", Unit: "payments", RequestsEach: 1, OfferedPerSecond: offered,
	}, load.Run{Pool: s.doors.customer, WarmUp: s.warmUp(), Measure: s.measure(), Work: func(c *load.Client, n int64) load.Verdict {
		if n >= int64(len(visits)) {
			return load.Verdict{Outcome: load.Failed, Reason: "no customer was ready"}
		}
		return pay(c, n)
	}}, schedule)
	if err != nil {
		return err
	}
	return s.verify(ctx, visits)
}

// verify asks the partner API about every payment whose confirmation led to the result, and keeps the answers for the
// audit. What is not settled was not confirmed, whatever the page said.
func (s *oneNode) verify(ctx context.Context, visits []people.Checkout) error {
	var led []int
	for i := range visits {
		if visits[i].Led {
			led = append(led, i)
		}
	}
	if len(led) == 0 {
		return nil
	}
	said, unsettled := people.NewWords(s.Connections), make([]int64, s.Connections)
	work := func(c *load.Client, n int64) load.Verdict {
		id := visits[led[n]].Order.ID
		status, version, v := s.m.Ask(c, id, n)
		if v.Outcome == load.Completed {
			said.Add(c.Index, audit.Told{Payment: id, Source: audit.ByAPI, Status: status, Version: version})
			if status != "ACSC" {
				unsettled[c.Index]++
			}
		}
		return v
	}
	r, err := load.Closed(ctx, load.Run{Pool: s.doors.partner, Work: work, Measure: prepareMax, Limit: int64(len(led))})
	if err != nil {
		return err
	}
	if r.Completed != int64(len(led)) {
		s.fail("%d of %d confirmed payments could not be asked about: %v", int64(len(led))-r.Completed, len(led), r.Reasons)
	}
	s.told = append(s.told, said.All()...)
	sum := int64(0)
	for _, n := range unsettled {
		sum += n
	}
	if sum > 0 {
		s.fail("%d of %d confirmations led to the result page of a payment that is not settled", sum, len(led))
	}
	return nil
}
