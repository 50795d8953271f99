package people

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"netbank/bench/audit"
	"netbank/bench/demo"
	"netbank/bench/load"
)

// Bounds of a preparation.
const (
	// PrepareMax bounds it: a bank's sessions end after five idle minutes, so who was signed in first must not wait longer.
	PrepareMax = 4 * time.Minute
	// SignInsAtOnce is how many customers sign in at a time in preparation, over all processes: a bank has 64 places for each processor that checks passwords,
	// and turns away who comes beyond.
	SignInsAtOnce = 64
	// createsAtOnce is how many payments are created at a time in preparation, over all processes.
	createsAtOnce = 64
	// prepareTries is how often each part of it is tried.
	prepareTries = 50
	// prepareWait is how long the second try waits, the third twice as long, and so on up to prepareWaitMax.
	prepareWait    = 20 * time.Millisecond
	prepareWaitMax = time.Second
)

// Prepared is a job that is ready to run.
type Prepared struct {
	// Start is when Run begins, for processes that share a job; zero: at once.
	Start time.Time

	job             Job
	maker           *Maker
	device          string // name of the cookie by which a bank knows a browser again
	customers, shop *load.Lines
	roster          *roster
	ready           []Checkout      // of Confirm, by this process's turn
	stock           []Order         // the same in all processes
	versions        []atomic.Uint32 // the newest that was told of the stock
	news            sync.Mutex      // held while they change
	from            int64           // number of the run's first request
	arrivals        int64           // of an open loop: all shares' together
	index           [steps]int      // of CrowdRun.Steps; below 0: not counted
	took            time.Duration
	ran             bool

	buffers       sync.Pool // of *[]byte, to write requests in
	words         notes[audit.Told]
	unsettled     notes[string]
	confirmations notes[Confirmation]
	signIns       notes[time.Time]
	retries       atomic.Int64
	unserved      atomic.Int64
	last          atomic.Int64 // when the last customer left, in nanoseconds of the run
}

// Prepare does all that a job's requests take for granted: creates payments and signs customers in. The caller runs or closes what
// it gives.
//
// The run's connections are opened when they are first needed, in its warm-up. A bank closes a connection on which no first request comes
// within a few seconds, so those that were opened ahead would fail the requests that meet them.
func Prepare(ctx context.Context, d *demo.Demo, j Job) (*Prepared, error) {
	doors, err := DoorsOf(d)
	if err != nil {
		return nil, err
	}
	return prepareAt(ctx, d, doors, j)
}

func prepareAt(ctx context.Context, d *demo.Demo, doors *Doors, j Job) (_ *Prepared, err error) {
	began := time.Now()
	if err := j.Check(); err != nil {
		return nil, err
	}
	p := &Prepared{job: j}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	if j.people() {
		if p.roster, err = newRoster(d, &j); err != nil {
			return nil, err
		}
	}
	if err := p.open(doors); err != nil {
		return nil, err
	}
	if err := p.prepare(ctx, doors); err != nil {
		return nil, err
	}
	p.took = time.Since(began)
	return p, nil
}

// open makes the lines, and the maker of requests.
func (p *Prepared) open(doors *Doors) (err error) {
	j := &p.job
	p.maker = &Maker{Seed: j.Seed, Run: j.run(), CustomerHost: doors.CustomerHost, PartnerHost: doors.PartnerHost, Redirect: doors.Redirect, Cookie: SessionCookie}
	p.device = p.maker.Cookie + deviceSuffix
	for i := range p.index {
		p.index[i] = -1
	}
	for i, s := range kinds[j.Kind] {
		p.index[s] = i
	}
	mine := max(1, j.share(j.Connections))
	if p.customers, err = load.NewLines(doors.Customer, mine); err != nil {
		return err
	}
	p.shop, err = load.NewLines(doors.Partner, mine)
	return err
}

// prepare does what the job's kind needs. The numbers of what it creates come before those of the run, but for Confirm, whose payments
// are the run's.
func (p *Prepared) prepare(ctx context.Context, doors *Doors) error {
	j := &p.job
	p.from = j.Number
	if j.AtOnce == 0 {
		var err error
		if p.arrivals, err = j.Arrivals(); err != nil {
			return err
		}
	}
	if j.Kind == Flow || j.Kind == Create {
		return nil
	}
	shop, err := p.pool(ctx, doors.Partner, createsAtOnce)
	if err != nil {
		return err
	}
	defer shop.Close()
	switch j.Kind {
	case Status, SignIn, Returning:
		stock := j.Stock
		if stock == 0 {
			stock = StockDefault
		}
		p.from += int64(stock)
		// Each process creates all of it under the same keys, so that all get the same payments, and which of them a request is about does not
		// depend on how many processes there are.
		if p.stock, err = p.creates(ctx, shop, stock, func(i int) int64 { return j.Number + int64(i) }); err != nil {
			return err
		}
		p.versions = make([]atomic.Uint32, len(p.stock))
		for i := range p.versions {
			p.versions[i].Store(1)
		}
	case Confirm:
		turns := p.turns()
		if turns > len(p.roster.members) {
			return fmt.Errorf("people: %s: %d confirmations for %d customers in this process; seed more customers or offer less", j.Name, turns, len(p.roster.members))
		}
		if p.stock, err = p.creates(ctx, shop, turns, func(i int) int64 { return j.Number + p.place(i) }); err != nil {
			return err
		}
	}
	if j.Kind != Confirm && j.Kind != Returning {
		return nil
	}
	door, err := p.pool(ctx, doors.Customer, SignInsAtOnce)
	if err != nil {
		return err
	}
	defer door.Close()
	if j.Kind == Confirm {
		return p.toCodePage(ctx, door)
	}
	return p.signedIn(ctx, door)
}

// turns is how many flows this process will begin at most: those of the schedule, or one for each customer.
func (p *Prepared) turns() int {
	if p.job.AtOnce > 0 {
		return len(p.roster.members)
	}
	return p.job.share(int(p.arrivals))
}

// pool opens connections for a preparation, this process's share of a number.
func (p *Prepared) pool(ctx context.Context, d load.Dialer, most int) (*load.Pool, error) {
	return load.NewPool(ctx, d, max(1, p.job.share(min(most, p.job.Connections))))
}

// each does something for each of a number of things, a few at a time, and again what was refused or failed.
func each(ctx context.Context, pool *load.Pool, all int, do func(c *load.Client, i int) load.Verdict) error {
	if all == 0 {
		return nil
	}
	work := func(c *load.Client, n int64) load.Verdict {
		for tries := 1; ; tries++ {
			v := do(c, int(n))
			if v.Outcome == load.Completed || tries >= prepareTries || ctx.Err() != nil {
				return v
			}
			select {
			case <-ctx.Done():
			case <-time.After(min(time.Duration(tries)*prepareWait, prepareWaitMax)):
			}
		}
	}
	r, err := load.Closed(ctx, load.Run{Pool: pool, Work: work, Measure: PrepareMax, Limit: int64(all)})
	if err != nil {
		return err
	}
	if r.Completed < int64(all) {
		return fmt.Errorf("only %d of %d were ready after %v: %v", r.Completed, all, r.Elapsed.Round(time.Millisecond), r.Reasons)
	}
	return nil
}

// place is the place among all processes' of the ith thing that was dealt to this one.
func (p *Prepared) place(i int) int64 { return int64(i)*int64(p.job.of()) + int64(p.job.Share) }

// creates creates payments of numbers.
func (p *Prepared) creates(ctx context.Context, shop *load.Pool, all int, number func(i int) int64) ([]Order, error) {
	orders := make([]Order, all)
	err := each(ctx, shop, all, func(c *load.Client, i int) (v load.Verdict) {
		n := number(i)
		if orders[i], v = p.maker.Place(c, n); v.Outcome == load.Completed {
			p.words.add(n, audit.Told{Payment: orders[i].ID, Source: audit.ByAPI, Status: "RCVD", Version: 1})
		}
		return v
	})
	if err != nil {
		return nil, fmt.Errorf("people: %s: creating payments: %w", p.job.Name, err)
	}
	return orders, nil
}

// toCodePage takes customers to the code page, each with a payment of his own.
func (p *Prepared) toCodePage(ctx context.Context, door *load.Pool) error {
	p.ready = make([]Checkout, len(p.stock))
	err := each(ctx, door, len(p.ready), func(c *load.Client, i int) load.Verdict {
		way := &p.ready[i]
		*way = Checkout{Order: p.stock[i], Who: p.roster.members[i].Person}
		w := Browser{p.maker, c}
		var bad *load.Verdict
		if way.SignIn, bad = w.enter(way.Order.Link, &way.Cookie); bad != nil {
			return *bad
		}
		return w.Arrive(way, func(int) {})
	})
	if err != nil {
		return fmt.Errorf("people: %s: customers at the code page: %w", p.job.Name, err)
	}
	p.stock = nil
	for i := range p.ready {
		p.ready[i].Who = Person{} // he is in the roster
		p.roster.members[i].cookies.session = p.ready[i].Cookie
	}
	return nil
}

// signedIn signs in the customers who will come.
func (p *Prepared) signedIn(ctx context.Context, door *load.Pool) error {
	if turns := p.turns(); turns < len(p.roster.members) {
		p.roster.members = p.roster.members[:max(1, turns)]
	}
	err := each(ctx, door, len(p.roster.members), func(c *load.Client, i int) load.Verdict {
		m := &p.roster.members[i]
		w := Browser{p.maker, c}
		action, bad := w.enter(p.stock[p.place(i)%int64(len(p.stock))].Link, &m.cookies.session)
		if bad == nil {
			_, bad = w.Send(action, &m.cookies.session, "confirm", "username", m.Username, "password", m.Password)
		}
		if bad != nil {
			return *bad
		}
		return load.Verdict{}
	})
	if err != nil {
		return fmt.Errorf("people: %s: signing customers in: %w", p.job.Name, err)
	}
	return nil
}

// Close closes the connections.
func (p *Prepared) Close() {
	for _, l := range []*load.Lines{p.customers, p.shop} {
		if l != nil {
			l.Close()
		}
	}
}

// errRun says that a job was run twice.
var errRun = errors.New("people: a job runs once; prepare it again")
