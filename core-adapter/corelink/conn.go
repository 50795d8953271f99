package corelink

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"time"

	coreadapter "netbank/core-adapter"
	"netbank/core-adapter/iso8583"
)

// readBuffer holds dozens of answers, so that a busy core costs one read for many.
const readBuffer = 16 << 10

// conn is one signed-on connection.
type conn struct {
	link  *Link
	nc    net.Conn
	place int // which of the link's connections it is; for the log
	r     *bufio.Reader

	wake chan struct{} // capacity 1: the queue is no longer empty
	gone chan struct{} // closed by shut

	// Link.mu guards these.
	queue    []*call // not yet claimed by the writer
	inFlight int     // queued or written, and not ended
	down     bool
	why      error
	lastRead time.Time
	echo     *call // the newest, until answered
	echoed   time.Time
}

func (k *conn) wakeUp() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// keepConnected holds one of the link's connections up until the link is closed.
func (l *Link) keepConnected(place int) {
	t := l.cfg.Timeouts
	backoff := t.BackoffMin
	var lastWhy string
	for {
		began := time.Now()
		k, err := l.connect(place)
		if err == nil {
			l.cfg.Logger.Info("core connection up", "core", l.cfg.Addr, "place", place)
			lastWhy = ""
			err = l.serve(k)
		}
		if l.ctx.Err() != nil {
			return
		}
		if why := err.Error(); why != lastWhy { // a core that stays away is one line, not one each second
			l.cfg.Logger.Warn("core connection down; connecting again", "core", l.cfg.Addr, "place", place, "reason", why)
			lastWhy = why
		}
		if time.Since(began) > t.BackoffMax { // it was of use
			backoff = t.BackoffMin
		}
		pause := time.NewTimer(backoff/2 + rand.N(backoff/2+1))
		select {
		case <-pause.C:
		case <-l.ctx.Done():
			pause.Stop()
			return
		}
		backoff = min(2*backoff, t.BackoffMax)
	}
}

// connect dials and signs on, within Timeouts.Connect.
func (l *Link) connect(place int) (*conn, error) {
	ctx, cancel := context.WithTimeout(l.ctx, l.cfg.Timeouts.Connect)
	defer cancel()
	k, err := l.dialAndSignOn(ctx, place)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.stats.ConnectFailed++
		if errors.Is(err, iso8583.ErrFormat) {
			l.stats.BadInput++
		}
		return nil, err
	}
	l.stats.Connected++
	k.lastRead = time.Now()
	l.up = append(l.up, k)
	close(l.upping)
	l.upping = make(chan struct{})
	l.admit()
	return k, nil
}

func (l *Link) dialAndSignOn(ctx context.Context, place int) (*conn, error) {
	nc, err := l.cfg.dial(ctx)
	if err != nil {
		return nil, err
	}
	k := &conn{link: l, nc: nc, place: place, r: bufio.NewReaderSize(nc, readBuffer), wake: make(chan struct{}, 1), gone: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	err = k.signOn()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		nc.Close()
		if ctx.Err() != nil {
			err = fmt.Errorf("corelink: no sign-on within %v: %w", l.cfg.Timeouts.Connect, err)
		}
		return nil, err
	}
	return k, nil
}

// signOn exchanges 0800 and 0810 before the connection carries anything else.
func (k *conn) signOn() error {
	c, err := k.link.networkCall(iso8583.NetworkSignOn)
	if err != nil {
		return err
	}
	if _, err := k.nc.Write(c.frame); err != nil {
		return err
	}
	b, err := iso8583.ReadFrame(k.r, nil)
	if err != nil {
		return fmt.Errorf("corelink: no answer to the sign-on: %w", err)
	}
	var m iso8583.Message
	if err := parseAnswer(b, &m); err != nil {
		return err
	}
	if answered, ok := answerKey(&m); !ok || answered != c.key || !m.Is(iso8583.FieldNetwork, iso8583.NetworkSignOn) {
		return fmt.Errorf("%w: the first message, a %v, does not answer the sign-on", errContradiction, m.MTI())
	}
	if !m.Is(iso8583.FieldResponse, iso8583.CodeApproved) {
		return fmt.Errorf("corelink: the core refused the sign-on: %w", &CodeError{m.Text(iso8583.FieldResponse)})
	}
	return nil
}

// serve runs a connection until it is lost, and says why it was.
func (l *Link) serve(k *conn) error {
	stop := context.AfterFunc(l.ctx, func() { k.shut(ErrClosed) })
	defer stop()
	read := make(chan struct{})
	go func() {
		defer close(read)
		k.shut(k.readAll())
	}()
	k.shut(k.writeAll())
	<-read
	return k.why // set before gone was closed, once
}

// shut takes the connection out of use, once: nobody queues on it any more, what was only queued goes elsewhere or is
// NotSent, and what was written is in doubt.
func (k *conn) shut(why error) {
	l := k.link
	l.mu.Lock()
	first := !k.down
	if first {
		k.takeDown(why)
	}
	l.mu.Unlock()
	if first {
		k.nc.Close() // not under the lock: TLS says goodbye, and may wait
	}
}

// takeDown does shut's part under Link.mu.
func (k *conn) takeDown(why error) {
	l := k.link
	k.down, k.why = true, why
	close(k.gone)
	if at := slices.Index(l.up, k); at >= 0 {
		l.up = slices.Delete(l.up, at, at+1)
	}
	l.stats.Lost++
	if errors.Is(why, iso8583.ErrFormat) || errors.Is(why, errContradiction) {
		l.stats.BadInput++
	}
	lost := fmt.Errorf("%w: %w", ErrConnectionLost, why)
	if l.closed {
		lost = ErrClosed
	}
	queued := k.queue
	k.queue = nil
	for _, c := range queued {
		c.conn = nil
		k.inFlight--
		if l.closed || c.op == OpEcho || !l.enqueue(c) {
			l.end(c, notSent(lost))
		}
	}
	for _, c := range l.calls {
		if c.conn == k {
			l.giveUp(c, lost)
		}
	}
}

// writeAll writes what is queued, all that has come together in one write, and keeps the echo.
func (k *conn) writeAll() error {
	silence := time.NewTimer(k.link.cfg.Timeouts.EchoAfter)
	defer silence.Stop()
	var batch []byte
	for {
		select {
		case <-k.wake:
			// Whoever is about to queue gets the chance to join this write.
			runtime.Gosched()
			if batch = k.claim(batch[:0]); len(batch) == 0 {
				continue
			}
			if err := k.nc.SetWriteDeadline(time.Now().Add(k.link.cfg.Timeouts.Write)); err != nil {
				return err
			}
			if _, err := k.nc.Write(batch); err != nil {
				return err
			}
		case <-silence.C:
			next, err := k.keepEcho()
			if err != nil {
				return err
			}
			silence.Reset(next)
		case <-k.gone:
			return nil
		}
	}
}

// claim takes the whole queue, ends what is too late, and appends the rest to batch. From here on what it took may be on
// the wire: whatever goes wrong is in doubt.
func (k *conn) claim(batch []byte) []byte {
	l := k.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.down {
		return batch
	}
	queue := k.queue
	k.queue = nil // ending a call may admit a waiting one, which queues anew
	now := time.Now()
	for _, c := range queue {
		if !now.Before(c.sendBefore) {
			l.end(c, notSent(ErrTooLate))
			continue
		}
		c.claimed, c.written = true, now
		batch = append(batch, c.frame...)
		l.stats.Sent++
	}
	if k.queue == nil {
		clear(queue)
		k.queue = queue[:0]
	}
	return batch
}

// keepEcho sends an echo when the core has been silent for long enough, gives the connection up when the last one was
// not followed by anything, and returns when to look again.
func (k *conn) keepEcho() (time.Duration, error) {
	l, t := k.link, k.link.cfg.Timeouts
	l.mu.Lock()
	silent := time.Since(k.lastRead)
	waiting := k.echoed.After(k.lastRead)
	since := time.Since(k.echoed)
	l.mu.Unlock()
	switch {
	case waiting && since >= t.EchoAnswer:
		return 0, fmt.Errorf("corelink: the core was silent for %v and did not answer an echo within %v", silent.Round(time.Millisecond), t.EchoAnswer)
	case waiting:
		return t.EchoAnswer - since, nil
	case silent < t.EchoAfter:
		return t.EchoAfter - silent, nil
	}
	c, err := l.networkCall(iso8583.NetworkEcho)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.down || l.calls[c.key] != nil {
		return t.EchoAnswer, nil
	}
	if k.echo != nil && !k.echo.ended {
		l.giveUp(k.echo, ErrNoAnswer) // followed by other traffic, but never answered itself
	}
	k.echo, k.echoed = c, time.Now()
	l.calls[c.key] = c
	c.conn = k
	k.inFlight++
	k.queue = append(k.queue, c)
	k.wakeUp()
	return t.EchoAnswer, nil
}

var errEnded = errors.New("corelink: the core ended the connection")

// readAll reads answers until something is wrong.
func (k *conn) readAll() error {
	var m iso8583.Message
	buf := make([]byte, iso8583.MaxMessage)
	for {
		b, err := iso8583.ReadFrame(k.r, buf)
		if err == io.EOF {
			return errEnded
		}
		if err != nil {
			return err
		}
		if err := parseAnswer(b, &m); err != nil {
			return err
		}
		if err := k.deliver(&m); err != nil {
			return err
		}
	}
}

// parseAnswer reads a message that must be an answer, whole.
func parseAnswer(b []byte, m *iso8583.Message) error {
	if err := iso8583.Parse(b, m); err != nil {
		return err
	}
	if !m.MTI().IsAnswer() {
		return &iso8583.Error{MTI: m.MTI(), Found: "a request from the core", Allowed: "answers"}
	}
	return m.Check()
}

// deliver gives an answer to its call, or to OnLate, or drops it. It fails when the answer contradicts its request.
func (k *conn) deliver(m *iso8583.Message) error {
	l := k.link
	at, ok := answerKey(m)
	now := time.Now()
	report, err := func() (*coreadapter.LateAnswer, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		k.lastRead = now
		if m.Has(iso8583.FieldAcquirer) && !m.Is(iso8583.FieldAcquirer, l.cfg.Acquirer) {
			ok = false
		}
		// An answer to what has not been written is a guess, and answers nothing.
		if c := l.calls[at]; ok && c != nil && c.claimed {
			return nil, l.answered(c, m, now)
		}
		if debit, found := l.late.byKey[at]; ok && found {
			return l.answeredLate(at, debit, m, now)
		}
		l.stats.Unmatched++
		return nil, nil
	}()
	if report != nil {
		l.cfg.Observe(Exchange{Op: OpDebit, Word: report.Word, Code: report.ResponseCode, Elapsed: report.Elapsed, Late: true})
		l.cfg.OnLate(*report)
	}
	return err
}

// answered ends a call with what the core said. The caller holds l.mu.
func (l *Link) answered(c *call, m *iso8583.Message, now time.Time) error {
	if err := l.contradiction(c.op, &c.debit, c.numeric, m); err != nil {
		return err // the connection is shut, and with it the call ends in doubt
	}
	a, minor, err := judge(c.op, c.numeric, m)
	if err != nil {
		return err
	}
	a.Elapsed = now.Sub(c.written)
	c.minor = minor
	l.stats.Answered++
	if c.op == OpDebit {
		l.late.forget(c.key)
		if a.Word == coreadapter.InDoubt {
			// The core does not know yet. Should it come to know, its word is welcome.
			l.late.remember(c.key, late{debit: c.debit, numeric: c.numeric, written: c.written})
		}
	}
	l.end(c, a)
	return nil
}

// answeredLate makes the report for OnLate. The caller holds l.mu.
func (l *Link) answeredLate(at key, debit late, m *iso8583.Message, now time.Time) (*coreadapter.LateAnswer, error) {
	if err := l.contradiction(OpDebit, &debit.debit, debit.numeric, m); err != nil {
		return nil, err
	}
	a, _, err := judge(OpDebit, debit.numeric, m)
	if err != nil {
		return nil, err
	}
	if a.Word == coreadapter.InDoubt { // nothing that is not known already
		l.stats.Unmatched++
		return nil, nil
	}
	a.Elapsed = now.Sub(debit.written)
	l.late.forget(at)
	l.stats.Late++
	return &coreadapter.LateAnswer{Reference: debit.debit.Reference, Answer: a}, nil
}
