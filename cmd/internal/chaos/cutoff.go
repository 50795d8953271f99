package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"netbank/bench/flow"
)

// How a worker that is cut off is looked at.
const (
	// cutNoticed is when it must know: a silent stream is given up after 750 ms, and a machine may be busy.
	cutNoticed = 2 * time.Second
	// cutLookMin is the shortest cut in which there is time for that.
	cutLookMin = cutNoticed + 1500*time.Millisecond
	// brokenMax is how many broken promises are told.
	brokenMax = 20
)

// cuts are the times in which workers were cut off, and what was seen of them then: a worker that nobody hears grants nothing new at once, and
// keeps showing what it has shown, marked as last seen.
type cuts struct {
	lock    sync.Mutex
	all     []*cutOff
	seen    int      // looks in which everything was as promised
	missed  int      // those that something else came between, a killed worker, say
	broken  []string // what was not
	created int      // payments made to be looked at
}

// cutOff is one of those times.
type cutOff struct {
	load     *load
	node     *node
	door     int
	errand   *errand // with a payment that the worker has shown; nil: there was none
	life     int
	from, to time.Time // to is zero while it lasts
	ended    chan struct{}
}

// beforeCut prepares for a cut of a worker: it shows a payment.
func (l *load) beforeCut(s Step) *cutOff {
	c := &cutOff{load: l, node: l.rig.nodes[s.Node-1], door: s.Node - 1, ended: make(chan struct{})}
	if s.For < cutLookMin {
		return c
	}
	l.cuts.lock.Lock()
	l.cuts.created++
	key := fmt.Sprintf("%s-cut-%d", l.name, l.cuts.created)
	l.cuts.lock.Unlock()
	e := l.newErrand(context.Background(), key)
	order := l.order()
	for range patience { // there may be no leader just now
		c.life = c.node.lives()
		if e.submit(&order, c.door) {
			if at, err := e.readAt(c.door); err == nil && at.Status == received && !at.Stale {
				c.errand = e
				break
			}
		}
		pause(e.ctx, retryPause)
	}
	return c
}

// begin notes that nothing reaches the worker any more.
func (c *cutOff) begin() {
	c.from = time.Now()
	c.load.cuts.lock.Lock()
	defer c.load.cuts.lock.Unlock()
	c.load.cuts.all = append(c.load.cuts.all, c)
}

// end notes that it is about to be reached again.
func (c *cutOff) end() {
	c.load.cuts.lock.Lock()
	c.to = time.Now()
	c.load.cuts.lock.Unlock()
	close(c.ended)
}

// lasts reports whether the same process has been cut off since the beginning. Asked after an answer: what was answered before counts.
func (c *cutOff) lasts() bool {
	select {
	case <-c.ended:
		return false
	default:
		return c.node.lives() == c.life && c.node.process() != nil
	}
}

// during looks at the worker once it must have noticed.
func (c *cutOff) during(ctx context.Context) {
	if c.errand == nil || !pause(ctx, cutNoticed) {
		return
	}
	l := c.load
	at, err := c.errand.readAt(c.door)
	problem := new(flow.Problem)
	switch {
	case !c.lasts(), err != nil && !errors.As(err, &problem): // it was killed, or stands still
		l.cuts.miss()
		return
	case err != nil:
		l.cuts.tell("%s, cut off, does not show a payment that it has shown: %v", c.node.name, err)
		return
	case at.Status != received || !at.Stale:
		l.cuts.tell("%s, cut off, shows a payment as %s, marked as last seen: %t", c.node.name, at.Status, at.Stale)
		return
	}
	if ready := l.rig.answers(c.node.ready); ready && c.lasts() {
		l.cuts.tell("%s, cut off, says that it is ready", c.node.name)
		return
	}
	browser, err := l.doors[c.door].site.NewCustomer(l.rig.nodes[0].demo.Customers[0])
	if err != nil {
		l.cuts.miss()
		return
	}
	page, err := browser.Open(c.errand.at(c.door))
	switch {
	case err != nil || !c.lasts():
		l.cuts.miss()
	case page.Status != http.StatusOK:
		l.cuts.tell("%s, cut off, answers %d to who comes to pay", c.node.name, page.Status)
	default:
		l.cuts.lock.Lock()
		l.cuts.seen++
		l.cuts.lock.Unlock()
	}
}

func (c *cuts) miss() {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.missed++
}

func (c *cuts) tell(format string, args ...any) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if len(c.broken) < brokenMax {
		c.broken = append(c.broken, fmt.Sprintf(format, args...))
	}
}

func (c *cuts) String() string {
	c.lock.Lock()
	defer c.lock.Unlock()
	return fmt.Sprintf("cut off: workers %d times; %d looked at, %d of them in vain; %d promises broken", len(c.all), c.seen+c.missed+len(c.broken), c.missed, len(c.broken))
}

// judge adds what a history shows of these times, and tells what was not as promised.
func (c *cuts) judge(h *History) error {
	c.lock.Lock()
	spans := make([]span, 0, len(c.all))
	for _, one := range c.all {
		spans = append(spans, span{node: one.node.number, from: h.at(one.from), to: h.at(one.to)})
	}
	c.lock.Unlock()
	for _, o := range grantedIn(h.Operations(), spans) {
		c.tell("a worker that was cut off told of a payment that nobody had confirmed before: %v", o)
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	if len(c.broken) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrFound, strings.Join(c.broken, "; "))
}

// span is a time in which nothing reached a node, in nanoseconds since the beginning of the run.
type span struct {
	node     int
	from, to int64
}

// grantedIn finds confirmations at nodes that nothing reached from their beginning to their end, which were told that money has moved. One that
// had a confirmation before proves nothing: its outcome may have been on its way already.
func grantedIn(all []Operation, spans []span) (found []Operation) {
	first := make(map[string]int64) // when a payment was first confirmed
	for _, o := range all {
		if at, ok := first[o.Key]; o.Kind == Confirm && (!ok || o.Call < at) {
			first[o.Key] = o.Call
		}
	}
	for _, o := range all {
		if o.Kind != Confirm || o.Status != Settled {
			continue
		}
		for _, s := range spans {
			if o.Node == s.node && first[o.Key] >= s.from && o.Return <= s.to {
				found = append(found, o)
			}
		}
	}
	return found
}
