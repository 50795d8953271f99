package webhook

import (
	"container/heap"
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/frontend/partner/callback"
)

// line delivers the notices of one partner. All its fields but registered belong to the goroutine of run.
type line struct {
	d       *Dispatcher
	partner journal.PartnerID
	ctx     context.Context
	cancel  context.CancelFunc
	woken   chan struct{} // holds one token
	results chan result   // lineInFlight
	// registered are the addresses that may be sent to; the dispatcher replaces it.
	registered atomic.Pointer[callback.Registered]

	cursor   uint64              // the outbox has been read up to here
	rescan   bool                // something before the cursor was let go of, and has to be read again
	known    map[uint64]struct{} // sequences in fresh, waiting, in flight or done
	fresh    []journal.Notice    // read, not tried yet
	waiting  dueHeap             // failed, due later
	inFlight int
	// lastAgain: the last delivery that was started was of waiting.
	lastAgain bool

	failures int       // in a row
	holdTill time.Time // a partner that is down, or has asked for quiet, is not probed before
	closed   bool      // the partner has answered 410

	done       [4]doneBatch // by command.Delivery
	committing bool
	committed  chan commitResult
	retryAt    time.Time // of a commit that failed
}

type doneBatch []uint64

// result is what became of one delivery.
type result struct {
	notice   journal.Notice
	answered answered
	wait     time.Duration // of throttled
	skip     command.Delivery
	withheld bool // not sent: its address is not registered any more
}

type commitResult struct {
	delivery command.Delivery
	n        int
	ok       bool
}

func newLine(ctx context.Context, d *Dispatcher, id journal.PartnerID) *line {
	ctx, cancel := context.WithCancel(ctx)
	return &line{
		d: d, partner: id, ctx: ctx, cancel: cancel, woken: make(chan struct{}, 1), results: make(chan result, lineInFlight),
		known: map[uint64]struct{}{}, committed: make(chan commitResult, 1),
	}
}

// register sets the addresses that may be sent to.
func (l *line) register(p journal.Partner, logger *slog.Logger) {
	registered, err := callback.ParseAll(p.NotificationURIs)
	if before := l.registered.Swap(&registered); err != nil && before == nil {
		logger.Warn("webhook: a registered notification address cannot be used; register it anew", "partner", p.ID, "error", err)
	}
}

func (l *line) wake() {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

func (l *line) run() {
	defer l.end()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		l.read()
		l.start(now)
		l.commit(now)
		timer.Reset(l.next(now))
		select {
		case <-l.ctx.Done():
			return
		case <-l.woken:
		case <-timer.C:
		case r := <-l.results:
			l.take(r, time.Now())
		case c := <-l.committed:
			l.settle(c, time.Now())
		}
	}
}

// end waits for deliveries and the commit under way: what they brought and is not committed is sent again by the next leader.
func (l *line) end() {
	for l.inFlight > 0 {
		l.take(<-l.results, time.Now())
	}
	if l.committing {
		<-l.committed
	}
	if l.failures >= downAfter {
		l.d.metrics.down.Dec()
	}
	l.d.metrics.waiting.Sub(float64(len(l.waiting)))
}

// read takes notices from the outbox, in order, when there is none to start.
func (l *line) read() {
	if len(l.fresh) > 0 || l.closed {
		return
	}
	notices := l.d.outbox.Notices(l.partner, l.cursor, readMax)
	if len(notices) == 0 && l.rescan && len(l.waiting) < waitingMax/2 {
		l.rescan, l.cursor = false, 0
		notices = l.d.outbox.Notices(l.partner, 0, readMax)
	}
	for _, n := range notices {
		l.cursor = n.Sequence
		if _, ok := l.known[n.Sequence]; !ok {
			l.known[n.Sequence] = struct{}{}
			l.fresh = append(l.fresh, n)
		}
	}
	if len(notices) == readMax {
		l.wake() // there may be more
	}
}

// start begins as many deliveries as may run now.
func (l *line) start(now time.Time) {
	for !l.closed && l.inFlight < l.width() && !now.Before(l.holdTill) && l.undone() < doneMax {
		again := len(l.waiting) > 0 && !now.Before(l.waiting[0].due)
		var n journal.Notice
		switch {
		// In turn, or those that keep failing would starve the others of a partner that seems to be down.
		case again && (len(l.fresh) == 0 || !l.lastAgain):
			n = heap.Pop(&l.waiting).(due).notice
			l.d.metrics.waiting.Dec()
		case len(l.fresh) > 0:
			n, l.fresh = l.fresh[0], l.fresh[1:]
			again = false
		default:
			return
		}
		l.lastAgain = again
		l.inFlight++
		go l.deliver(n)
	}
}

// width is how many deliveries may run at once: one, if the partner seems to be down.
func (l *line) width() int {
	if l.failures >= downAfter {
		return 1
	}
	return lineInFlight
}

func (l *line) undone() int {
	n := 0
	for _, batch := range l.done {
		n += len(batch)
	}
	return n
}

// deliver runs in its own goroutine, sends one notice once, and reports.
func (l *line) deliver(n journal.Notice) {
	r := result{notice: n, answered: failed}
	defer func() { l.results <- r }()
	select {
	case l.d.slots <- struct{}{}:
		defer func() { <-l.d.slots }()
	case <-l.ctx.Done():
		return
	}
	if l.age(n) > Window {
		r.skip = command.Delivery_DELIVERY_GIVEN_UP
		return
	}
	payment, ok, err := l.d.outbox.Payment(n.Payment)
	switch {
	case !ok && err != nil:
		r.withheld = true // this node does not lead any more
		return
	case !ok:
		r.skip = command.Delivery_DELIVERY_GIVEN_UP
		l.d.logger.Error("webhook: a payment is gone before its partner was told", "payment", n.Payment.String(), "partner", l.partner)
		return
	case payment.NotificationURI == "":
		// The partner has asked for no notifications of this payment: all that it wanted to be told, it was.
		r.skip = command.Delivery_DELIVERY_ACCEPTED
		return
	case l.registered.Load().Check(payment.NotificationURI) != nil:
		// Registered when the payment was created, and not any more. It may come back: tried again like a failure, which says
		// nothing of the partner.
		r.withheld = true
		return
	}
	message, err := Body(n, payment)
	if err != nil {
		l.d.logger.Error("webhook: cannot write a message", "payment", n.Payment.String(), "error", err)
		return
	}
	l.d.metrics.inFlight.Inc()
	from := time.Now()
	r.answered, r.wait = l.d.send(l.ctx, payment.NotificationURI, messageID(n), message)
	l.d.metrics.inFlight.Dec()
	l.d.metrics.duration.Observe(time.Since(from).Seconds())
}

func (l *line) age(n journal.Notice) time.Duration {
	return time.Duration(l.d.outbox.Now()-n.At) * time.Millisecond
}

// take draws the consequences of one delivery.
func (l *line) take(r result, now time.Time) {
	l.inFlight--
	if r.skip != 0 {
		if r.skip == command.Delivery_DELIVERY_GIVEN_UP {
			l.d.metrics.givenUp.Inc()
		}
		l.finish(r.notice, r.skip)
		return
	}
	if r.withheld {
		l.again(r.notice, now, 0)
		return
	}
	l.d.metrics.results[r.answered].Inc()
	switch r.answered {
	case accepted:
		l.d.metrics.delay.Observe(l.age(r.notice).Seconds())
		l.up()
		l.finish(r.notice, command.Delivery_DELIVERY_ACCEPTED)
	case gone:
		l.closed = true
		l.d.logger.Warn("webhook: the partner answered 410 and is told nothing more", "partner", l.partner)
		l.finish(r.notice, command.Delivery_DELIVERY_GONE)
	case throttled:
		l.holdTill = now.Add(r.wait)
		l.again(r.notice, now, r.wait)
	case failed:
		if l.ctx.Err() != nil {
			return // cut short by the end of this line: it says nothing of the partner
		}
		l.fail(now)
		l.again(r.notice, now, 0)
	}
}

func (l *line) up() {
	if l.failures >= downAfter {
		l.d.metrics.down.Dec()
		l.d.logger.Info("webhook: the partner accepts notifications again", "partner", l.partner)
	}
	l.failures = 0
}

func (l *line) fail(now time.Time) {
	if l.failures++; l.failures == downAfter {
		l.d.metrics.down.Inc()
		l.d.logger.Warn("webhook: the partner does not accept notifications; probing with one at a time", "partner", l.partner, "failures", l.failures)
	}
	if l.failures >= downAfter {
		l.holdTill = now.Add(probeAfter(l.failures))
	}
}

// again puts a notice back for its next attempt, or gives it up.
func (l *line) again(n journal.Notice, now time.Time, least time.Duration) {
	age := l.age(n)
	wait, ok := nextAttempt(age)
	if wait = max(wait, least); !ok || age+wait > Window {
		l.d.metrics.givenUp.Inc()
		l.d.logger.Warn("webhook: gave a notification up", "partner", l.partner, "payment", n.Payment.String(), "version", n.Version, "age", age)
		l.finish(n, command.Delivery_DELIVERY_GIVEN_UP)
		return
	}
	if len(l.waiting) >= waitingMax {
		// Let go of the one that has the longest to wait: it stands in the outbox, and is read again when there is room.
		last := 0
		for i := range l.waiting {
			if l.waiting[i].due.After(l.waiting[last].due) {
				last = i
			}
		}
		dropped := heap.Remove(&l.waiting, last).(due)
		delete(l.known, dropped.notice.Sequence)
		l.rescan = true
		l.d.metrics.waiting.Dec()
	}
	heap.Push(&l.waiting, due{notice: n, due: now.Add(wait)})
	l.d.metrics.waiting.Inc()
}

func (l *line) finish(n journal.Notice, d command.Delivery) {
	l.done[d] = append(l.done[d], n.Sequence)
}

// commit tells the journal what is done, while nothing else is being told: the longer a commit takes, the more the next one carries.
func (l *line) commit(now time.Time) {
	if l.committing || now.Before(l.retryAt) {
		return
	}
	for d, batch := range l.done {
		if len(batch) == 0 {
			continue
		}
		n := min(len(batch), doneMax)
		cmd := &journal.Command{Id: newCommandID(), Body: &command.Command_OutboxDone{OutboxDone: &command.OutboxDone{
			Partner: uint32(l.partner), Sequences: batch[:n:n], Delivery: command.Delivery(d),
		}}}
		l.committing = true
		go func() {
			_, err := l.d.outbox.Submit(cmd, time.Now().Add(commitWithin))
			if err != nil {
				l.d.logger.Warn("webhook: cannot commit deliveries now; trying again", "partner", l.partner, "error", err)
			}
			l.committed <- commitResult{delivery: command.Delivery(d), n: n, ok: err == nil}
		}()
		return
	}
}

func (l *line) settle(c commitResult, now time.Time) {
	l.committing = false
	if !c.ok {
		l.retryAt = now.Add(refreshEvery)
		return
	}
	if c.delivery == command.Delivery_DELIVERY_GONE {
		l.reset()
		return
	}
	batch := l.done[c.delivery]
	for _, sequence := range batch[:c.n] {
		delete(l.known, sequence)
	}
	l.done[c.delivery] = append(doneBatch(nil), batch[c.n:]...)
}

// reset forgets what the journal has forgotten with a committed 410. If the partner's record is put anew, later notices
// are delivered as if nothing had been.
func (l *line) reset() {
	l.d.metrics.waiting.Sub(float64(len(l.waiting)))
	l.closed, l.fresh, l.waiting, l.done = false, nil, nil, [4]doneBatch{}
	clear(l.known)
}

// next is how long there is nothing to do by itself.
func (l *line) next(now time.Time) time.Duration {
	wait := time.Hour
	sooner := func(at time.Time) { wait = min(wait, max(0, at.Sub(now))) }
	if l.inFlight < l.width() && !l.closed && l.undone() < doneMax {
		switch {
		case len(l.fresh) > 0:
			sooner(l.holdTill)
		case len(l.waiting) > 0:
			at := l.waiting[0].due
			if at.Before(l.holdTill) {
				at = l.holdTill
			}
			sooner(at)
		}
	}
	if !l.committing && l.undone() > 0 {
		sooner(l.retryAt)
	}
	return wait
}

// due is a notice that waits for its next attempt.
type due struct {
	notice journal.Notice
	due    time.Time
}

// dueHeap has the one that is due first at its front.
type dueHeap []due

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(due)) }
func (h *dueHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
