package corelink

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	coreadapter "netbank/core-adapter"
	"netbank/core-adapter/iso8583"
)

// What an Answer's Err, or the error of Balance and Ping, may wrap.
var (
	ErrNotConnected   = errors.New("corelink: no connection to the core is up; nothing was written")
	ErrBusy           = errors.New("corelink: every connection is full of messages in flight; nothing was written")
	ErrTooLate        = errors.New("corelink: the time to send by had passed before the write; nothing was written")
	ErrBadRequest     = errors.New("corelink: the request cannot be put on the wire; nothing was written")
	ErrNoAnswer       = errors.New("corelink: the core did not answer in time")
	ErrConnectionLost = errors.New("corelink: the connection to the core was lost before the answer")
	ErrNoBalance      = errors.New("corelink: the core's answer holds no available balance in the currency asked for")
	ErrInFlight       = errors.New("corelink: a message with this reference is in flight already; its own call brings the answer")
	ErrClosed         = errors.New("corelink: the link was closed")
)

// CodeError says that the core answered with a response code that is no yes.
type CodeError struct{ Code string }

func (e *CodeError) Error() string { return "corelink: the core answered with response code " + e.Code }

// Stats counts since the link was opened. Now-values stand at the end.
type Stats struct {
	Sent          uint64 // messages given to the socket
	Answered      uint64 // answers that found their call
	GivenUp       uint64 // written, and returned in doubt for want of an answer
	NotSent       uint64 // calls of which nothing was written
	Late          uint64 // late answers reported through OnLate
	Unmatched     uint64 // answers nobody waited for: duplicates, and late ones no longer remembered or of no interest
	BadInput      uint64 // connections closed for what was read from them
	Connected     uint64 // sign-ons that succeeded
	ConnectFailed uint64 // attempts to connect and sign on that failed
	Lost          uint64 // connections lost after their sign-on, for whatever reason

	Up         int // usable connections
	InFlight   int // calls under way
	Waiting    int // calls that wait for a connection with room
	Remembered int // debits in doubt whose late answer would be recognised
}

// Link is a connector to one core. It is safe for concurrent use.
type Link struct {
	cfg    Config
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	pool   sync.Pool // *encoder

	mu      sync.Mutex // guards what follows, and each call and connection's queue
	closed  bool
	up      []*conn // usable, in no order
	calls   map[key]*call
	waiters []*waiter // first come first served
	late    lateBook
	stats   Stats
	stan    uint32        // of the link's own messages
	serial  uint64        // of the link's own retrieval references
	upping  chan struct{} // closed and replaced when a connection comes up
}

var _ coreadapter.Core = (*Link)(nil)

// Open checks the configuration and begins to connect. It does not wait for the core: see WaitUp. Close ends it.
func Open(cfg Config) (*Link, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Link{cfg: cfg, ctx: ctx, cancel: cancel, calls: make(map[key]*call), late: newLateBook(cfg.LateMax), upping: make(chan struct{})}
	l.pool.New = func() any { return new(encoder) }
	// Several nodes share one acquirer: random beginnings keep their inquiries' and balances' 7+11 and 37 apart.
	var seed [8]byte
	rand.Read(seed[:])
	l.serial = binary.BigEndian.Uint64(seed[:])
	l.stan = uint32(l.serial % maxSTAN)
	for i := range cfg.Conns {
		l.wg.Go(func() { l.keepConnected(i) })
	}
	return l, nil
}

// Close ends every connection and waits for them. Calls under way return at once: NotSent when nothing of them was
// written, else InDoubt. It may be called again.
func (l *Link) Close() error {
	l.mu.Lock()
	l.closed = true
	for _, w := range slices.Clone(l.waiters) {
		l.leave(w, ErrClosed)
	}
	l.mu.Unlock()
	l.cancel()
	l.wg.Wait()
	return nil
}

// Up gives the number of usable connections: signed on, and nothing known against them.
func (l *Link) Up() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.up)
}

// WaitUp waits until a connection is usable.
func (l *Link) WaitUp(ctx context.Context) error {
	for {
		l.mu.Lock()
		n, upping := len(l.up), l.upping
		l.mu.Unlock()
		if n > 0 {
			return nil
		}
		select {
		case <-upping:
		case <-l.ctx.Done():
			return ErrClosed
		case <-ctx.Done():
			return errors.Join(ErrNotConnected, ctx.Err())
		}
	}
}

// Stats gives the link's counters.
func (l *Link) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Up, s.InFlight, s.Waiting, s.Remembered = len(l.up), len(l.calls), len(l.waiters), len(l.late.byKey)
	return s
}

// exchange carries a call through: a connection, the write, the answer or the deadline. It returns when c has ended.
func (l *Link) exchange(ctx context.Context, c *call) {
	if w := l.begin(ctx, c); w != nil {
		l.wait(ctx, w)
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		l.mu.Lock()
		if !c.ended {
			l.giveUp(c, ErrNoAnswer)
		}
		l.mu.Unlock()
		<-c.done
	}
}

// begin enters the call in the table and puts it in the queue of the connection with the fewest messages in flight. It
// returns a waiter when there is none with room, and nil also when the call has ended at once.
func (l *Link) begin(ctx context.Context, c *call) *waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		l.end(c, notSent(ErrClosed))
	case ctx.Err() != nil || !time.Now().Before(c.sendBefore):
		l.end(c, notSent(ErrTooLate))
	case l.calls[c.key] != nil:
		// Not NotSent: that word would let the caller believe that nothing of this reference is on its way.
		l.end(c, coreadapter.Answer{Word: coreadapter.InDoubt, Err: ErrInFlight})
	case len(l.waiters) == 0 && l.enqueue(c):
	case len(l.waiters) >= l.cfg.WaitersMax:
		l.end(c, notSent(ErrBusy))
	default:
		l.calls[c.key] = c
		w := &waiter{c: c, ready: make(chan struct{}, 1)}
		l.waiters = append(l.waiters, w)
		return w
	}
	return nil
}

// wait waits for a connection with room, at most until the call must be sent, and only briefly while none is up at all.
func (l *Link) wait(ctx context.Context, w *waiter) {
	brief := time.NewTimer(l.cfg.Timeouts.Up)
	defer brief.Stop()
	last := time.NewTimer(time.Until(w.c.sendBefore))
	defer last.Stop()
	for {
		select {
		case <-w.ready:
			return
		case <-w.c.done:
			w.c.done <- struct{}{} // for exchange
			return
		case <-brief.C:
			l.mu.Lock()
			if len(l.up) == 0 {
				l.leave(w, ErrNotConnected)
			}
			l.mu.Unlock()
		case <-last.C:
			l.mu.Lock()
			l.leave(w, ErrTooLate)
			l.mu.Unlock()
			return
		case <-ctx.Done():
			l.mu.Lock()
			l.leave(w, ErrTooLate)
			l.mu.Unlock()
			return
		}
	}
}

// leave ends a call that still waits for a connection. The caller holds l.mu.
func (l *Link) leave(w *waiter, why error) {
	if at := slices.Index(l.waiters, w); at >= 0 {
		l.waiters = slices.Delete(l.waiters, at, at+1)
		l.end(w.c, notSent(why))
	}
}

// enqueue puts the call in the queue of the usable connection with the fewest in flight. The caller holds l.mu.
func (l *Link) enqueue(c *call) bool {
	var best *conn
	for _, k := range l.up {
		if k.inFlight < l.cfg.InFlightMax && (best == nil || k.inFlight < best.inFlight) {
			best = k
		}
	}
	if best == nil {
		return false
	}
	l.calls[c.key] = c
	c.conn = best
	best.inFlight++
	best.queue = append(best.queue, c)
	best.wakeUp()
	return true
}

// admit gives waiting calls the room that has come up. The caller holds l.mu.
func (l *Link) admit() {
	for len(l.waiters) > 0 && l.enqueue(l.waiters[0].c) {
		l.waiters[0].ready <- struct{}{}
		l.waiters = slices.Delete(l.waiters, 0, 1)
	}
}

// end ends a call with its answer and frees its place. The caller holds l.mu, and the call has not ended.
func (l *Link) end(c *call, a coreadapter.Answer) {
	c.ended = true
	c.answer = a
	if l.calls[c.key] == c {
		delete(l.calls, c.key)
	}
	if a.Word == coreadapter.NotSent {
		l.stats.NotSent++
	}
	if k := c.conn; k != nil {
		k.inFlight--
		if !c.claimed {
			if at := slices.Index(k.queue, c); at >= 0 {
				k.queue = slices.Delete(k.queue, at, at+1)
			}
		}
		l.admit()
	}
	c.done <- struct{}{}
}

// giveUp ends a call without an answer: NotSent while the writer has not claimed it, else InDoubt, and then a debit is
// remembered for its late answer. The caller holds l.mu.
func (l *Link) giveUp(c *call, why error) {
	if !c.claimed {
		if why == ErrNoAnswer {
			why = ErrTooLate
		}
		l.end(c, notSent(why))
		return
	}
	l.stats.GivenUp++
	if c.op == OpDebit {
		l.late.remember(c.key, late{debit: c.debit, numeric: c.numeric, written: c.written})
	}
	l.end(c, coreadapter.Answer{Word: coreadapter.InDoubt, Elapsed: time.Since(c.written), Err: why})
}

func notSent(why error) coreadapter.Answer {
	return coreadapter.Answer{Word: coreadapter.NotSent, Err: why}
}

// maxSTAN is the largest number that field 11 holds.
const maxSTAN = 999_999

// number gives a message of the link's own its 7, 11 and 37.
func (l *Link) number(now time.Time) coreadapter.Reference {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stan = l.stan%maxSTAN + 1
	l.serial++
	return coreadapter.Reference{Transmission: transmission(now), STAN: l.stan, RRN: ownRRN(l.serial)}
}

// ownRRN makes a retrieval reference that none of a payment's will equal: theirs begin with the journal's epoch in base
// 36, which takes 936 restores from backup to reach "Q0".
func ownRRN(serial uint64) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	var b [12]byte
	b[0] = 'Q'
	for i := len(b) - 1; i > 0; i-- {
		b[i] = digits[serial%36]
		serial /= 36
	}
	return string(b[:])
}

func transmission(t time.Time) string { return t.UTC().Format("0102150405") }

// keyOf builds the match key of a message's answer. It fails on a transmission time that is not ten digits.
func keyOf(request iso8583.MTI, ref coreadapter.Reference) (key, bool) {
	k := key{answer: request.Answer(), stan: ref.STAN}
	for i := range len(ref.Transmission) {
		d := ref.Transmission[i] - '0'
		if d > 9 {
			return key{}, false
		}
		k.transmission = k.transmission*10 + uint64(d)
	}
	return k, len(ref.Transmission) == 10
}
