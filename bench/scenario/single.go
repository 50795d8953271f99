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
	// auditWait bounds the wait for payments that are still under way when the load has ended.
	auditWait = time.Minute
)

// errCustomers says that the scenario ran out of people.
var errCustomers = errors.New("no customer is left who has not paid; seed more with --customers")

// single measures one node through its doors.
type single struct {
	bench
	m      *people.Maker
	people []people.Person
	free   []people.Order // created, not yet given to a customer
	next   int            // the next customer
	number int64          // of the next create
	told   []audit.Told
	ids    []string // of every payment created
}

// Single measures one node that has no payments yet: creates, status reads, confirmations with sessions open in a closed and an open loop, and the full
// flow. It fills the phases, profiles, audit and verdicts of a result; the caller adds machine and setting.
func Single(ctx context.Context, target *Target, o Options) (*report.Result, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	s := &single{bench: bench{target: target, Options: o}}
	s.result = &report.Result{
		Version: report.Version, Scenario: "single", Started: time.Now().UTC(), Seed: o.Seed,
		Phases: []report.Phase{}, Profiles: []report.Profile{}, Void: []string{}, Failures: []string{}, Notes: []string{},
	}
	var err error
	if s.people, err = people.Of(target.Demo); err != nil {
		return nil, err
	}
	if s.doors, err = target.open(ctx, o.Connections); err != nil {
		return nil, err
	}
	defer s.doors.close()
	s.m = &people.Maker{
		// The bank is new, so that keys of the seed are too; the same seed then offers the same requests, to the byte.
		Seed: o.Seed, Run: "b" + strconv.FormatUint(o.Seed, 36) + "-", CustomerHost: s.doors.customerHost,
		PartnerHost: s.doors.partnerHost, Redirect: target.Demo.Partner.RedirectURI, Cookie: s.doors.cookie,
	}
	for _, part := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"creates", s.creates}, {"status reads", s.statuses}, {"confirmations", s.confirmations}, {"the full flow", s.flows}, {"audit", s.audit},
	} {
		o.Say("%s", part.name)
		if err := part.do(ctx); err != nil {
			return nil, fmt.Errorf("scenario: %s: %w", part.name, err)
		}
	}
	s.result.TookSeconds = time.Since(s.result.Started).Seconds()
	return s.result, nil
}

// creating makes work that creates payments, and the function that takes up what was created.
func (s *single) creating(clients int) (load.Work, func()) {
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

func (s *single) creates(ctx context.Context) error {
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
func (s *single) stock(ctx context.Context, want int) error {
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

func (s *single) statuses(ctx context.Context) error {
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
func (s *single) arrivals(ctx context.Context, name string, want int) ([]people.Checkout, error) {
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
func (s *single) share(part float64) int { return int(part * float64(len(s.people)-s.next)) }

// paying makes work that sends the codes of visits.
func (s *single) paying(visits []people.Checkout) load.Work {
	return func(c *load.Client, n int64) load.Verdict {
		return people.Browser{Maker: s.m, Client: c}.Pay(&visits[n])
	}
}

func (s *single) confirmations(ctx context.Context) error {
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
func (s *single) ceiling(ctx context.Context, rough float64) (float64, error) {
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
func (s *single) steady(ctx context.Context, perSecond float64) error {
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
func (s *single) verify(ctx context.Context, visits []people.Checkout) error {
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
