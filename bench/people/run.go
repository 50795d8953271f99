package people

import (
	"context"
	"fmt"
	"time"

	"netbank/bench/load"
)

// unservedWait is how long a closed loop waits that finds no customer free.
const unservedWait = 100 * time.Millisecond

// Run runs the job, this process's share of it, and closes its connections.
func (p *Prepared) Run(ctx context.Context) (*Outcome, error) {
	if p.ran {
		return nil, errRun
	}
	p.ran = true
	defer p.Close()
	if p.Start.IsZero() {
		p.Start = time.Now()
	}
	j, run := &p.job, p.crowd()
	var (
		r   *load.Result
		err error
	)
	if j.AtOnce > 0 {
		r, err = load.Busy(ctx, run, j.share(j.AtOnce))
	} else {
		var schedule *load.Schedule
		if schedule, err = j.schedule(); err != nil {
			return nil, err
		}
		r, err = load.Crowd(ctx, run, schedule)
	}
	if err != nil {
		return nil, fmt.Errorf("people: %s: %w", j.Name, err)
	}
	return p.outcome(r), nil
}

// crowd is the job as the generator knows it.
func (p *Prepared) crowd() load.CrowdRun {
	j := &p.job
	run := load.CrowdRun{
		Flow: p.flow(), Seed: j.Seed, WarmUp: j.WarmUp, Measure: j.Measure, CoolDown: j.CoolDown, Grace: j.Grace, From: p.from, Start: p.Start,
	}
	for _, s := range kinds[j.Kind] {
		named := load.NamedStep{Name: s.String()}
		if s == toWord {
			named.SLO = j.SLO
		}
		run.Steps = append(run.Steps, named)
	}
	if !p.moves() {
		run.SLO = j.SLO
	}
	if j.AtOnce > 0 {
		run.Share, run.Of = j.Share, j.of()
		if j.Kind == Confirm {
			run.Limit = int64(len(p.ready) * j.of()) // each prepared customer once
		}
	}
	return run
}

func (p *Prepared) outcome(r *load.Result) *Outcome {
	o := &Outcome{
		Name: p.job.Name, Load: r, Told: p.words.take(), Unsettled: p.unsettled.take(), Confirmations: p.confirmations.take(), SignIns: p.signIns.take(), NextNumber: max(r.Next, p.from),
		Retries: p.retries.Load(), Unserved: p.unserved.Load(), Prepared: p.took,
		Waited: p.customers.Count().Waited + p.shop.Count().Waited,
	}
	if p.job.Kind == Confirm && p.job.AtOnce > 0 {
		all := p.from + int64(len(p.ready)*p.job.of())
		o.NextNumber = max(o.NextNumber, all)
		if r.Next >= all {
			// The time ends with the last of those who were prepared.
			o.Exhausted = true
			r.Elapsed = min(r.Elapsed, max(0, time.Duration(p.last.Load())-p.job.WarmUp))
		}
	}
	if p.roster != nil {
		o.UsedCustomers, o.Skipped = p.roster.used, p.roster.skipped
	}
	return o
}

// moves tells whether the job's requests move money.
func (p *Prepared) moves() bool {
	return p.job.Kind == Flow || p.job.Kind == Returning || p.job.Kind == Confirm
}

// flow is what each arrival does.
func (p *Prepared) flow() load.Flow {
	switch p.job.Kind {
	case Create:
		return func(v *load.Visit) load.Verdict { return (&client{p, v}).express() }
	case Status:
		return func(v *load.Visit) load.Verdict { return (&client{p, v}).poll() }
	case Confirm:
		return func(v *load.Visit) load.Verdict { return p.served(v, (*customer).paying) }
	case SignIn:
		return func(v *load.Visit) load.Verdict { return p.served(v, (*customer).signing) }
	}
	return func(v *load.Visit) load.Verdict { return p.served(v, (*customer).shopping) }
}

// served finds a customer for a visit.
func (p *Prepared) served(v *load.Visit, do func(c *customer) load.Verdict) load.Verdict {
	who := p.roster.enter(p.turn(v), time.Now())
	if who == nil {
		p.unserved.Add(1)
		if p.job.AtOnce > 0 {
			v.Wait(unservedWait) // the next would find nobody either
		}
		return failed("no customer was free")
	}
	c := &customer{Prepared: p, v: v, who: who, last: toEntry, sending: -1}
	verdict := c.leave(do(c))
	for now, last := int64(v.Now()), p.last.Load(); now > last && !p.last.CompareAndSwap(last, now); last = p.last.Load() {
	}
	spent := c.counter
	if verdict.Outcome == load.Refused {
		spent = 0 // the bank has not taken it: it can be typed again
	}
	p.roster.leave(who, spent)
	return verdict
}

// turn counts the visits of this process.
func (p *Prepared) turn(v *load.Visit) int64 { return (v.N - p.from) / int64(p.job.of()) }

// shopping is a customer's whole way: the shop creates the payment and sends him to its link.
func (c *customer) shopping() load.Verdict {
	c.who.cookies.pass = "" // it was another payment's
	if c.job.Kind == Flow {
		c.who.cookies.session = "" // a browser forgets the session with the window
	}
	var v load.Verdict
	if c.order, v = (&client{c.Prepared, c.v}).create(c.v.N, toCreate); v.Outcome != load.Completed {
		return v
	}
	return c.browse(c.navigate(toEntry, c.order.Link))
}

// signing is somebody who only signs in. The order is another's, and nobody confirms it.
func (c *customer) signing() load.Verdict {
	c.who.cookies.session = ""
	link := c.stock[(c.v.N-c.from)%int64(len(c.stock))].Link
	return c.browse(c.navigate(toEntry, link))
}

// paying is a customer who was taken to the code page in preparation, and sends the code now.
func (c *customer) paying() load.Verdict {
	way := &c.ready[c.turn(c.v)]
	c.order, c.sending = way.Order, c.v.Intended
	return c.browse(c.send(way.Code, way.CSRF))
}
