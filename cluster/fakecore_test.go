package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"netbank/cluster/journal"
)

// script says what the core does with one debit.
type script struct {
	work    time.Duration // from the write to the answer
	decline string        // response code; empty: approve
	lose    bool          // the message never arrives
	mute    bool          // the work is done, the answer is dropped
	late    bool          // with mute: the answer comes through OnLate
	notSent bool          // nothing could be written
	doubt   string        // the core answers that it does not know, and has moved the money
}

var errBroken = errors.New("fake core: connection refused")

// fakeCore is a core host with a ledger, by the rules of the wire: a reference is seen once, and a reversal of what was never
// seen makes every later debit move nothing.
type fakeCore struct {
	script func(d Debit) script
	onLate func(LateAnswer)

	mu        sync.Mutex
	gone      bool // nothing can be written
	booked    map[journal.PaymentID]string
	moves     map[journal.PaymentID]int
	reversed  map[journal.PaymentID]bool
	sent      map[journal.PaymentID]int
	inside    int
	insideMax int
	balances  int
	inquiries int
	advices   int
	repeats   int
	ends      sync.WaitGroup
	// meanwhile is called in the middle of an inquiry, between its look at the ledger and its answer.
	meanwhile func(Reference)
	balance   func() // called before each balance
	inquire   func(Reference) (Answer, bool)
	reverse   func(Debit, bool) (Answer, bool)
}

func newFakeCore() *fakeCore {
	return &fakeCore{
		booked: make(map[journal.PaymentID]string), moves: make(map[journal.PaymentID]int),
		reversed: make(map[journal.PaymentID]bool), sent: make(map[journal.PaymentID]int),
	}
}

func (c *fakeCore) enter() {
	c.inside++
	c.insideMax = max(c.insideMax, c.inside)
}

// Debit implements Core.
func (c *fakeCore) Debit(ctx context.Context, d Debit, sendBefore time.Time) Answer {
	var s script
	if c.script != nil {
		s = c.script(d)
	}
	c.mu.Lock()
	if c.gone || s.notSent || !time.Now().Before(sendBefore) {
		gone := c.gone
		c.mu.Unlock()
		return Answer{Word: NotSent, Err: errBroken, Unreachable: gone}
	}
	c.sent[d.Payment]++
	if s.lose {
		c.mu.Unlock()
		<-ctx.Done()
		return Answer{Word: InDoubt, Err: ctx.Err()}
	}
	c.enter()
	c.mu.Unlock()
	if s.work == 0 && !s.mute {
		return c.book(d, s)
	}
	result := make(chan Answer, 1)
	c.ends.Go(func() {
		time.Sleep(s.work)
		result <- c.book(d, s)
		if s.mute && s.late {
			c.onLate(LateAnswer{Reference: d.Reference, Answer: <-result})
		}
	})
	if s.mute {
		<-ctx.Done()
		return Answer{Word: InDoubt, Err: ctx.Err()}
	}
	select {
	case a := <-result:
		return a
	case <-ctx.Done():
		return Answer{Word: InDoubt, Err: ctx.Err()}
	}
}

// book does the work of a debit at its end.
func (c *fakeCore) book(d Debit, s script) Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inside--
	a := Answer{Word: Approved, ResponseCode: "00", ApprovalCode: "A00001", Elapsed: max(s.work, time.Microsecond)}
	switch {
	case c.reversed[d.Payment]:
		a.Word, a.ResponseCode, a.ApprovalCode = Reversed, "21", ""
		return a
	case s.decline != "":
		c.booked[d.Payment] = s.decline
		a.Word, a.ResponseCode, a.ApprovalCode = Declined, s.decline, ""
		return a
	}
	if c.booked[d.Payment] == "" {
		c.booked[d.Payment] = "00"
		c.moves[d.Payment]++
	}
	if s.doubt != "" {
		a.Word, a.ResponseCode, a.ApprovalCode = InDoubt, s.doubt, ""
	}
	return a
}

// Inquire implements Core.
func (c *fakeCore) Inquire(_ context.Context, ref Reference) Answer {
	c.mu.Lock()
	c.inquiries++
	gone, code, back := c.gone, c.booked[ref.Payment], c.reversed[ref.Payment]
	c.mu.Unlock()
	if gone {
		return Answer{Word: NotSent, Err: errBroken, Unreachable: true}
	}
	if c.meanwhile != nil {
		c.meanwhile(ref)
	}
	if c.inquire != nil {
		if a, ok := c.inquire(ref); ok {
			return a
		}
	}
	a := Answer{Word: Unknown, ResponseCode: "25", Elapsed: time.Microsecond}
	switch {
	case back:
		a.Word, a.ResponseCode = Reversed, "21"
	case code == "00":
		a.Word, a.ResponseCode = Approved, "00"
	case code != "":
		a.Word, a.ResponseCode = Declined, "05"
	}
	return a
}

// Reverse implements Core.
func (c *fakeCore) Reverse(_ context.Context, d Debit, repeat bool) Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advices++
	if repeat {
		c.repeats++
	}
	if c.gone {
		return Answer{Word: NotSent, Err: errBroken, Unreachable: true}
	}
	if c.reverse != nil {
		if a, ok := c.reverse(d, repeat); ok {
			return a
		}
	}
	if !c.reversed[d.Payment] {
		c.reversed[d.Payment] = true
		if c.booked[d.Payment] == "00" {
			c.moves[d.Payment]--
		}
	}
	return Answer{Word: Approved, ResponseCode: "00", Elapsed: time.Microsecond}
}

// Balance implements Core. An account that is a duration takes as long.
func (c *fakeCore) Balance(ctx context.Context, account, currency string) (journal.Money, error) {
	if work, err := time.ParseDuration(account); err == nil {
		select {
		case <-time.After(work):
		case <-ctx.Done():
			return journal.Money{}, ctx.Err()
		}
	}
	if c.balance != nil {
		c.balance()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.balances++
	if c.gone {
		return journal.Money{}, errBroken
	}
	return journal.Money{Minor: 12345, Currency: currency}, nil
}

func (c *fakeCore) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *fakeCore) moved(id journal.PaymentID) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.moves[id]
}

func (c *fakeCore) wasSent(id journal.PaymentID) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent[id]
}

func (c *fakeCore) asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inquiries
}
