package system

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"netbank/bench/audit"
	"netbank/bench/demo"
	"netbank/bench/flow"
)

// people are customers, used in turn so that each has an unused one-time code when it is due.
type people struct {
	free chan *flow.Customer
}

func newPeople(site *flow.Site, who []demo.Identity) (*people, error) {
	p := &people{free: make(chan *flow.Customer, len(who))}
	for _, w := range who {
		c, err := site.NewCustomer(w)
		if err != nil {
			return nil, err
		}
		p.free <- c
	}
	return p, nil
}

// take gives the customer who has rested longest, once there is an unused code.
func (p *people) take(ctx context.Context) *flow.Customer {
	select {
	case c := <-p.free:
		select {
		case <-time.After(c.CodeWait(time.Now())):
			return c
		case <-ctx.Done():
			p.free <- c
		}
	case <-ctx.Done():
	}
	return nil
}

func (p *people) give(c *flow.Customer) { p.free <- c }

// load is shoppers that go on until they are stopped, whatever happens to the bank.
type load struct {
	rig    *rig
	ctx    context.Context
	stop   context.CancelFunc
	wait   sync.WaitGroup
	orders atomic.Int64
	name   string // of this load, in its idempotency keys

	settled, refused, doubtful, failed, left atomic.Int64 // by what the customer was told at last
	repeated                                 atomic.Int64 // calls that brought no answer
	turned                                   atomic.Int64 // pages that said "not now"

	lock sync.Mutex
	why  map[string]int // of those who failed
	hung map[string]int // of the calls that were repeated
}

// fail counts a customer who got no answer, by the last page or error.
func (l *load) fail(why string) {
	l.failed.Add(1)
	l.count(&l.why, why)
}

func (l *load) count(in *map[string]int, why string) {
	l.lock.Lock()
	defer l.lock.Unlock()
	if *in == nil {
		*in = make(map[string]int)
	}
	(*in)[identifiers.ReplaceAllString(why, "…")]++
}

// identifiers differ between payments that fail in the same way.
var identifiers = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|127\.0\.0\.1:\d+|\(\d+s\)`)

// startLoad sets shoppers going. Each customer pays, cancels or leaves; a third of those who pay click twice.
func (r *rig) startLoad(shoppers int) *load {
	r.t.Helper()
	l := &load{rig: r, name: fmt.Sprintf("%x", r.random.Uint64())}
	l.ctx, l.stop = context.WithCancel(r.t.Context())
	for range shoppers {
		random := rand.New(rand.NewPCG(r.random.Uint64(), 2))
		l.wait.Go(func() {
			for l.ctx.Err() == nil {
				if c := r.people.take(l.ctx); c != nil {
					l.shop(c, random)
					r.people.give(c)
				}
			}
		})
	}
	r.t.Cleanup(l.end)
	return l
}

// end stops the shoppers, and waits until each has heard what became of the payment at hand.
func (l *load) end() {
	l.stop()
	l.wait.Wait()
}

// finish ends the load and says what it came to.
func (l *load) finish() {
	l.rig.t.Helper()
	l.end()
	l.rig.t.Logf("load: %d orders; told last: %d settled, %d refused or not charged, %d in doubt, %d left, %d without an answer: %v; %d calls repeated: %v; %d pages said \"not now\"",
		l.orders.Load(), l.settled.Load(), l.refused.Load(), l.doubtful.Load(), l.left.Load(), l.failed.Load(), l.why, l.repeated.Load(), l.hung, l.turned.Load())
}

// patience bounds the tries of one step, each of which waits until the bank is up.
const patience = 6

// again counts a call that brought no answer, and waits until the bank is up.
func (l *load) again(why error) {
	l.repeated.Add(1)
	l.count(&l.hung, fmt.Sprint(why))
	l.up()
}

// up waits until the bank says that it is ready, for as long as a client would.
func (l *load) up() {
	limit := time.After(15 * time.Second)
	for !l.rig.answers(l.rig.demo.Operator.URL + "/readyz") {
		select {
		case <-limit:
			return
		case <-l.ctx.Done():
			return
		case <-time.After(pollPause):
		}
	}
}

// shop is one customer's errand.
func (l *load) shop(c *flow.Customer, random *rand.Rand) {
	n := l.orders.Add(1)
	created, err := l.tryToCreate(n)
	if err != nil {
		l.fail("no payment was created: " + err.Error())
		return
	}
	if random.IntN(4) == 0 {
		c.Forget() // signs in anew; the others go on with their session
	}
	switch kind := random.IntN(100); {
	case kind < 4: // leaves without a word
		l.left.Add(1)
		l.poll(created.PaymentID)
	case kind < 10:
		l.cancel(created.PaymentID)
	default:
		l.pay(c, &created, kind%3 == 0)
	}
}

func (l *load) create(n int64) (flow.Created, bool) {
	created, err := l.tryToCreate(n)
	return created, err == nil
}

func (l *load) tryToCreate(n int64) (created flow.Created, err error) {
	order := flow.Order{
		EndToEndID: fmt.Sprintf("order-%d", n), Amount: fmt.Sprintf("%d.%02d", 1+n%90, n%100), Currency: "CNY",
		CreditorAccount: "6228480000000000017", CreditorName: "System Shop", State: fmt.Sprint(n),
	}
	key := fmt.Sprintf("%s-%d", l.name, n)
	for range patience {
		created, err = l.rig.partner.Create(&order, key)
		if err == nil && created.Link == "" {
			err = fmt.Errorf("status %s, no link", created.Status.Status)
		}
		if err == nil {
			l.rig.told.add(audit.Told{Payment: created.PaymentID, Source: audit.ByAPI, Status: created.Status.Status, Version: created.Version})
			return created, nil
		}
		if l.ctx.Err() != nil {
			break
		}
		l.again(err)
	}
	return created, err
}

func (l *load) pay(c *flow.Customer, created *flow.Created, twice bool) {
	last, why := flow.ToldOther, ""
	for try := range patience {
		told, err := c.Pay(created.Link, twice && try == 0)
		switch {
		case err == nil && told == flow.ToldRefused && try < 2:
			last = told
			l.turned.Add(1)
			l.up()
			continue
		case err == nil:
			last, why = told, c.Last
		case errors.Is(err, flow.ErrNoCode), errors.Is(err, flow.ErrSignIn):
			last, why = flow.ToldOther, err.Error()+" after "+c.Last // has no more codes now, and leaves
		default:
			last, why = flow.ToldOther, err.Error()
			c.Forget()
			l.again(err)
			continue
		}
		break
	}
	tell := func(status string) {
		l.rig.told.add(audit.Told{Payment: created.PaymentID, Source: audit.ByPage, Status: status})
	}
	switch last {
	case flow.ToldSettled:
		l.settled.Add(1)
		tell("ACSC")
	case flow.ToldRejected, flow.ToldExpired:
		l.refused.Add(1)
		tell("RJCT")
	case flow.ToldCancelled:
		l.refused.Add(1)
		tell("CANC")
	case flow.ToldRefused:
		l.refused.Add(1)
		tell(audit.Refused)
	case flow.ToldInDoubt, flow.ToldProcessing:
		l.doubtful.Add(1)
	default:
		l.fail(why)
	}
	l.poll(created.PaymentID)
}

func (l *load) cancel(id string) {
	l.refused.Add(1)
	for range patience {
		certain, err := l.rig.partner.Cancel(id)
		if err == nil && certain {
			l.rig.told.add(audit.Told{Payment: id, Source: audit.ByPage, Status: "CANC"})
			break
		}
		if l.ctx.Err() != nil {
			break
		}
		l.again(err)
	}
	l.poll(id)
}

// poll asks for the status two times: what it says may not go back in between.
func (l *load) poll(id string) {
	for range 2 {
		if s, err := l.rig.partner.Status(id); err == nil {
			l.rig.told.add(audit.Told{Payment: id, Source: audit.ByAPI, Status: s.Status, Version: s.Version})
		}
	}
}
