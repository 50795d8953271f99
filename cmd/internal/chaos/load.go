package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"netbank/bench/demo"
	"netbank/bench/flow"
)

// Bounds of a load.
const (
	underWayMax = 300                    // errands at once; one that comes while so many are under way does not begin
	patience    = 5                      // tries of one step
	retryPause  = 200 * time.Millisecond // before the next try
	callTimeout = 8 * time.Second
	newestKept  = 256 // payments that are looked at beside their errands
)

// load is those who use the bank: errands that begin at random moments, however slow the bank is (an open load), and write down what they
// do and what they are told.
type load struct {
	rig     *rig
	history *History
	dice    *drawn
	name    string // of this load, in its idempotency keys

	doors   []door
	people  chan *person
	ghosts  chan *person // who sign in twice; apart, because they spend codes that the others would not know of
	errands sync.WaitGroup
	session atomic.Int64
	clients atomic.Int64

	cuts                                         cuts
	begun, turnedAway, settled, unknown, haunted atomic.Int64

	lock   sync.Mutex
	ids    map[string]string // payment ids by idempotency key
	newest []string          // keys
}

// door is a node as clients reach it.
type door struct {
	node    *node
	partner *flow.Partner
	site    *flow.Site
}

// person is a customer with a browser at one of the nodes.
type person struct {
	who     demo.Identity
	home    int
	browser *flow.Customer
	codes   *flow.Authenticator // of a ghost
}

func newLoad(r *rig, h *History, seed uint64) (*load, error) {
	l := &load{rig: r, history: h, name: fmt.Sprintf("chaos-%x", seed), ids: make(map[string]string), dice: &drawn{r: rand.New(rand.NewPCG(seed, 0x10ad))}}
	options := flow.Options{Timeout: callTimeout}
	for _, n := range r.nodes {
		partner, err := flow.NewPartner(n.demo, options)
		if err != nil {
			return nil, err
		}
		site, err := flow.NewSite(n.demo, options)
		if err != nil {
			return nil, err
		}
		l.doors = append(l.doors, door{n, partner, site})
	}
	all := r.nodes[0].demo.Customers
	l.people, l.ghosts = make(chan *person, len(all)), make(chan *person, len(all))
	for i, who := range all {
		home := i % len(l.doors)
		browser, err := l.doors[home].site.NewCustomer(who)
		if err != nil {
			return nil, err
		}
		p := &person{who: who, home: home, browser: browser}
		if i%6 != 0 {
			l.people <- p
			continue
		}
		if p.codes, err = flow.NewAuthenticator(who.TOTP); err != nil {
			return nil, err
		}
		l.ghosts <- p
	}
	return l, nil
}

func (l *load) close() {
	for _, d := range l.doors {
		d.partner.Close()
		d.site.Close()
	}
}

// run begins rate errands a second until ctx is over, and waits for all of them.
func (l *load) run(ctx context.Context, rate float64) {
	places := make(chan struct{}, underWayMax)
	next := time.Now()
	for {
		next = next.Add(time.Duration(l.dice.exp() / rate * float64(time.Second)))
		if !pause(ctx, time.Until(next)) {
			break
		}
		select {
		case places <- struct{}{}:
		default:
			l.turnedAway.Add(1)
			continue
		}
		l.begun.Add(1)
		l.errands.Go(func() {
			defer func() { <-places }()
			l.errand(ctx)
		})
	}
	l.errands.Wait()
}

// errand is what one customer or partner comes for.
func (l *load) errand(ctx context.Context) {
	e := l.newErrand(ctx, fmt.Sprintf("%s-%d", l.name, l.begun.Load()*1000+int64(l.dice.intN(1000))))
	switch kind := l.dice.intN(100); {
	case kind < 12:
		e.look()
	case kind < 20:
		if e.create() {
			e.cancel()
			e.read()
		}
	case kind < 35:
		e.haunt()
	default:
		e.buy(kind < 60)
	}
}

func (l *load) newErrand(ctx context.Context, key string) *errand {
	return &errand{load: l, ctx: ctx, client: int(l.clients.Add(1)), key: key}
}

// errand is one client on one payment.
type errand struct {
	load   *load
	ctx    context.Context
	client int
	key    string
	id     string // of the payment
	link   string
}

func (e *errand) door() int { return e.load.dice.intN(len(e.load.doors)) }

// begin is an operation that is about to be done.
func (e *errand) begin(kind Kind, door int) Operation {
	n := e.load.doors[door].node
	return Operation{Client: e.client, Kind: kind, Key: e.key, Call: e.load.history.Now(), Node: n.number, Life: n.lives()}
}

// create creates the payment, now and then at two doors at once, and tells whether the bank has taken it.
func (e *errand) create() bool {
	order := e.load.order()
	if e.load.dice.intN(10) == 0 {
		second := *e
		e.load.errands.Go(func() { second.submit(&order, second.door()) })
	}
	for range patience {
		if e.submit(&order, e.door()) {
			return true
		}
		if !pause(e.ctx, retryPause) {
			return false
		}
	}
	return false
}

func (l *load) order() flow.Order {
	n := l.dice.intN(9000)
	return flow.Order{
		EndToEndID: fmt.Sprintf("order-%d", n), Amount: fmt.Sprintf("%d.%02d", 1+n%90, n%100), Currency: "CNY",
		CreditorAccount: "6228480000000000017", CreditorName: "Chaos Shop", State: fmt.Sprint(n),
	}
}

func (e *errand) submit(order *flow.Order, door int) bool {
	o := e.begin(Create, door)
	created, err := e.load.doors[door].partner.Create(order, e.key)
	switch {
	case refused(err):
		return false
	case err != nil, created.Link == "":
		o.Return = Never
	default:
		o.Payment, o.Status, o.Version = created.PaymentID, created.Status.Status, created.Version
		e.id, e.link = created.PaymentID, created.Link
		e.load.know(e.key, e.id)
	}
	e.load.note(o)
	return o.Payment != ""
}

// refused tells whether the bank promises that nothing was done.
func refused(err error) bool {
	problem := new(flow.Problem)
	return errors.As(err, &problem) && problem.Refused()
}

// at is the payment's link at another door: the nodes are one bank.
func (e *errand) at(door int) string {
	u, err := url.Parse(e.link)
	base, _ := url.Parse(e.load.doors[door].node.demo.Customer.URL)
	if err != nil {
		return e.link
	}
	u.Host = base.Host
	return u.String()
}

// buy creates a payment, and pays.
func (e *errand) buy(twice bool) {
	if !e.create() {
		return
	}
	var p *person
	select {
	case p = <-e.load.people:
	default:
		return // all of them are busy
	}
	defer func() { e.load.people <- p }()
	if !pause(e.ctx, p.browser.CodeWait(time.Now())) {
		return
	}
	if e.load.dice.intN(3) == 0 {
		p.browser.Forget()
	}
	for try := range patience {
		o := e.begin(Confirm, p.home)
		told, err := p.browser.Pay(e.at(p.home), twice && try == 0)
		again := false
		switch {
		case errors.Is(err, flow.ErrNoCode), errors.Is(err, flow.ErrSignIn):
			o.Status = Refused
		case err != nil:
			p.browser.Forget()
			o.Return, again = Never, true
		case told == flow.ToldSettled:
			o.Status = Settled
			e.load.settled.Add(1)
		case told == flow.ToldRejected, told == flow.ToldExpired:
			o.Status = Rejected
		case told == flow.ToldCancelled:
			o.Status = Cancelled
		case told == flow.ToldRefused && !(twice && try == 0):
			o.Status, again = Refused, true
		default:
			o.Return, again = Never, told == flow.ToldRefused
		}
		e.load.note(o)
		if !again || !pause(e.ctx, retryPause) {
			break
		}
	}
	e.read()
	e.read()
}

func (e *errand) cancel() {
	for range patience {
		door := e.door()
		o := e.begin(Cancel, door)
		certain, err := e.load.doors[door].partner.Cancel(e.id)
		problem := new(flow.Problem)
		switch {
		case err == nil && certain:
			o.Status = cancelled
			e.load.note(o)
			return
		case refused(err):
		case errors.As(err, &problem) && problem.HTTP/100 == 4:
			return // it cannot be cancelled any more
		default:
			o.Return = Never
			e.load.note(o)
		}
		if !pause(e.ctx, retryPause) {
			return
		}
	}
}

// read asks for the status.
func (e *errand) read() { _, _ = e.readAt(e.door()) }

func (e *errand) readAt(door int) (flow.Status, error) {
	o := e.begin(Read, door)
	s, err := e.load.doors[door].partner.Status(e.id)
	problem := new(flow.Problem)
	switch {
	case err == nil:
		o.Status, o.Version = s.Status, s.Version
	case errors.As(err, &problem) && problem.HTTP == http.StatusNotFound:
		o.Status = NotFound
	default:
		return s, err
	}
	if e.load.doors[door].node.lives() != o.Life {
		o.Life = -1 // which of the lives has answered is not known
	}
	e.load.note(o)
	return s, err
}

// look reads payments of other errands.
func (e *errand) look() {
	for range 3 {
		e.load.lock.Lock()
		if len(e.load.newest) > 0 {
			e.key = e.load.newest[e.load.dice.intN(len(e.load.newest))]
			e.id = e.load.ids[e.key]
		}
		e.load.lock.Unlock()
		if e.id != "" {
			e.read()
		}
	}
}

func (l *load) know(key, id string) {
	l.lock.Lock()
	defer l.lock.Unlock()
	l.ids[key] = id
	l.newest = append(l.newest, key)
	if len(l.newest) > newestKept {
		l.newest = l.newest[1:]
	}
}

// note writes an operation down, for the history and for the audit.
func (l *load) note(o Operation) {
	if o.Return == Never {
		l.unknown.Add(1)
	}
	l.history.Add(o)
}

// everything lists all payments by their keys.
func (l *load) everything() (keys []string, ids map[string]string) {
	l.lock.Lock()
	defer l.lock.Unlock()
	ids = maps.Clone(l.ids)
	return slices.Sorted(maps.Keys(ids)), ids
}

// readAll asks for the status of every payment once, when the bank is at rest.
func (l *load) readAll() {
	keys, ids := l.everything()
	work := make(chan string)
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for key := range work {
				e := &errand{load: l, client: int(l.clients.Add(1)), key: key, id: ids[key]}
				e.read()
			}
		})
	}
	for _, key := range keys {
		work <- key
	}
	close(work)
	readers.Wait()
}
