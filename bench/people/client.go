package people

import (
	"fmt"
	"strconv"
	"time"

	"netbank/bench/audit"
	"netbank/bench/load"
)

// client is one visit of a payment platform at the partner door.
type client struct {
	*Prepared
	v *load.Visit
}

// answer is what a client needs of an answer, taken out of it.
type answer struct {
	status int
	wait   time.Duration // that the bank asks for
	order  Order
	code   string // transactionStatus
	number uint32 // version
	ok     bool   // the answer holds what it has to
}

// call makes one request over the next free connection, for as long as the client's patience lasts; again, over a new one.
func (c *client) call(again bool, build func(b []byte) []byte, read func(r *load.Response, into *answer)) (answer, error) {
	ctx, cancel, patience := c.patience(c.v)
	defer cancel()
	line, err := c.shop.Take(ctx)
	if err != nil {
		return answer{}, err
	}
	defer c.shop.Give(line)
	if again {
		line.Close()
	}
	b := c.buffer()
	defer c.buffers.Put(b)
	*b = build((*b)[:0])
	r, err := line.DoWithin(*b, patience())
	if err != nil {
		return answer{}, err
	}
	a := answer{status: r.Status}
	if seconds, err := strconv.Atoi(string(r.Header("Retry-After"))); err == nil {
		a.wait = min(max(time.Duration(seconds)*time.Second, 0), pageWaitMax)
	}
	read(r, &a)
	return a, nil
}

// create creates the payment of a number. What is not answered is repeated under the same key: that it happens once is the bank's
// affair.
func (c *client) create(n int64, s step) (Order, load.Verdict) {
	build := func(b []byte) []byte { return c.maker.Create(b, n) }
	read := func(r *load.Response, into *answer) {
		if r.Status == 201 {
			into.order.ID, into.order.Link, into.ok = created(r.Body)
			into.code, into.number, _ = standing(r.Body)
		}
	}
	for tries := 1; ; tries++ {
		var v load.Verdict
		a, err := c.call(tries > 1, build, read)
		switch {
		case err != nil:
			v = c.unanswered(c.v, err)
		case a.status == 429 || a.status == 503:
			v = load.Verdict{Outcome: load.Refused, Reason: fmt.Sprint("status ", a.status)}
		case a.status == 409: // an earlier repeat is still under way
			v = load.Verdict{Outcome: load.InDoubt, Reason: "status 409"}
		case a.status != 201:
			v = failed(fmt.Sprint("status ", a.status))
		case a.code == "PDNG":
			v = load.Verdict{Outcome: load.InDoubt, Reason: "a create in doubt"}
		case !a.ok:
			v = failed("a create without id or link")
		}
		c.v.Step(c.index[s], v.Outcome)
		if v.Outcome == load.Completed {
			c.words.add(c.v.N, audit.Told{Payment: a.order.ID, Source: audit.ByAPI, Status: a.code, Version: a.number})
			return a.order, v
		}
		h := &c.job.Habits
		if v.Outcome == load.Failed && err == nil || tries >= h.tries() || c.v.Context().Err() != nil {
			return Order{}, v
		}
		wait := h.RetryAfter
		if h.Heeds {
			wait = max(wait, a.wait)
		}
		c.retries.Add(1)
		if !c.v.Think(wait) {
			return Order{}, c.v.Ended()
		}
	}
}

// express is one create of a platform whose customers are elsewhere, and for some the same again.
func (c *client) express() load.Verdict {
	o, v := c.create(c.v.N, toCreate)
	if v.Outcome == load.Completed && c.v.Uniform() < c.job.Habits.Repeats {
		same, again := c.create(c.v.N, toRepeat)
		switch {
		case again.Outcome != load.Completed:
			v = again
		case same != o:
			v = failed("a repeat named another payment")
		}
	}
	v.Latency = max(c.v.Now()-c.v.Intended, 1)
	return v
}

// poll asks how a payment of the stock stands.
func (c *client) poll() load.Verdict {
	i := int(load.Mix(c.job.Seed, uint64(c.v.N)) % uint64(len(c.stock)))
	id, before := c.stock[i].ID, c.versions[i].Load()
	build := func(b []byte) []byte { return c.maker.Status(b, id, c.v.N) }
	read := func(r *load.Response, into *answer) {
		if r.Status == 200 {
			into.code, into.number, into.ok = standing(r.Body)
		}
	}
	for tries := 1; ; tries++ {
		var v load.Verdict
		a, err := c.call(tries > 1, build, read)
		switch {
		case err != nil:
			v = c.unanswered(c.v, err)
		case a.status == 429 || a.status == 503:
			v = load.Verdict{Outcome: load.Refused, Reason: fmt.Sprint("status ", a.status)}
		case a.status != 200:
			v = failed(fmt.Sprint("status ", a.status))
		case !a.ok:
			v = failed("a status without its code")
		}
		c.v.Step(c.index[toStatus], v.Outcome)
		if v.Outcome == load.Completed {
			c.learn(i, before, &a)
			return v
		}
		if err == nil || tries >= c.job.Habits.tries() || c.v.Context().Err() != nil {
			return v
		}
		c.retries.Add(1)
		if !c.v.Think(c.job.Habits.RetryAfter) {
			return c.v.Ended()
		}
	}
}

// learn keeps what a poll was told of a payment of the stock when it is news, or older than what was known before the poll began. Each payment's
// words stay in an order in which one client could have heard them.
func (c *client) learn(i int, before uint32, a *answer) {
	known := &c.versions[i]
	if a.number >= before && a.number <= known.Load() {
		return
	}
	c.news.Lock()
	defer c.news.Unlock()
	if a.number >= before && a.number <= known.Load() {
		return
	}
	known.Store(max(known.Load(), a.number))
	c.words.add(c.job.Number+int64(i), audit.Told{Payment: c.stock[i].ID, Source: audit.ByAPI, Status: a.code, Version: a.number})
}
