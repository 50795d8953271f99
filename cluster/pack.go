package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/replica"
)

// entryVersion is the Batch.version that this program writes.
const entryVersion = 1

// entryHead is the most that version, term and stamp take in an entry.
const entryHead = 3 * (1 + binary.MaxVarintLen64)

// entryRoom is the most that one command may take, with its tag and length.
const entryRoom = replica.EntryBytesMax - entryHead

// entry is a batch on its way through Raft.
type entry struct {
	future replica.Future
	calls  []*call
	term   uint64
	since  gate.Time
	err    error
}

// queue is a first-in, first-out list of calls that reuses its memory.
type queue struct {
	calls []*call
	head  int
}

func (q *queue) len() int { return len(q.calls) - q.head }

func (q *queue) push(c *call) {
	if q.head > 0 && len(q.calls) == cap(q.calls) {
		n := copy(q.calls, q.calls[q.head:])
		clear(q.calls[n:])
		q.calls, q.head = q.calls[:n], 0
	}
	q.calls = append(q.calls, c)
}

func (q *queue) peek() *call {
	if q.len() == 0 {
		return nil
	}
	return q.calls[q.head]
}

func (q *queue) pop() *call {
	if q.len() == 0 {
		return nil
	}
	c := q.calls[q.head]
	q.calls[q.head] = nil
	q.head++
	if q.head == len(q.calls) {
		q.calls, q.head = q.calls[:0], 0
	}
	return c
}

// queue puts a command in line for an entry.
func (l *leader) queue(c *call) {
	if c.urgent {
		l.urgent.push(c)
		return
	}
	l.ordinary.push(c)
}

// pack makes entries of what waits, while fewer than EntriesInFlight are in flight.
func (l *leader) pack() {
	if l.now < l.packAfter {
		return
	}
	for l.phase == ready && l.inFlight < EntriesInFlight && l.urgent.len()+l.ordinary.len() > 0 {
		calls, size := l.fill()
		if len(calls) == 0 {
			continue
		}
		e := &entry{calls: calls, term: l.term, since: l.now}
		e.future = l.n.log.Propose(l.encode(calls, size))
		l.inFlight++
		l.n.metrics.batch(len(calls), size)
		l.n.committing <- e
	}
}

// fill takes what fits into one entry, what is urgent first.
func (l *leader) fill() (calls []*call, size int) {
	calls = make([]*call, 0, min(l.urgent.len()+l.ordinary.len(), EntryCommandsMax))
	size = entryHead
	for _, q := range [2]*queue{&l.urgent, &l.ordinary} {
		for q.len() > 0 && len(calls) < EntryCommandsMax && size+q.peek().size <= replica.EntryBytesMax {
			c := q.pop()
			if l.mayPack(c) {
				calls = append(calls, c)
				size += c.size
			}
		}
	}
	return calls, size
}

// mayPack turns a call to offered, or drops it if its asker has left. A grant that has waited too long for its entry is
// taken back: it has never been offered to Raft, so the refusal is certain.
func (l *leader) mayPack(c *call) bool {
	if c.kind == kindAuthorise {
		if l.now-c.granted < l.n.cfg.SendBy {
			return true
		}
		c.stage.Store(waiting)
		l.release(c.ticket, 0, false)
		l.refused(c, gate.TooLate, time.Second)
		return false
	}
	return c.stage.CompareAndSwap(waiting, offered) || c.stage.Load() == offered
}

// encode writes the batch without an intermediate object. The buffer belongs to Raft afterwards.
func (l *leader) encode(calls []*call, size int) []byte {
	b := make([]byte, 0, size)
	b = binary.AppendUvarint(append(b, 1<<3), entryVersion)
	b = binary.AppendUvarint(append(b, 2<<3), l.term)
	b = binary.AppendUvarint(append(b, 3<<3), uint64(l.n.clock.now()))
	for _, c := range calls {
		if c.visit != nil { // as it came: it was decoded, so every node will read it alike
			b = binary.AppendUvarint(append(b, 4<<3|2), uint64(len(c.visit.command)))
			b = append(b, c.visit.command...)
			continue
		}
		n := c.cmd.SizeVT()
		b = binary.AppendUvarint(append(b, 4<<3|2), uint64(n))
		at := len(b)
		b = slices.Grow(b, n)[:at+n]
		if _, err := c.cmd.MarshalToSizedBufferVT(b[at:]); err != nil {
			// Only an asker that changes its command behind our back comes here. What it gets is a BadCommand, and
			// the others in the entry are not harmed.
			b = append(b[:start(at, n)], 4<<3|2, 0)
		}
	}
	return b
}

// start is where a command of n bytes at at begins with its tag and length.
func start(at, n int) int { return at - (sizeOf(n) - n) }

// sizeInEntry is what a command takes in an entry, with its tag and length.
func sizeInEntry(cmd *journal.Command) int {
	return sizeOf(cmd.SizeVT())
}

func sizeOf(n int) int { return n + 1 + (bits.Len32(uint32(n)|1)+6)/7 }

// commit waits for entries in the order of their proposal, and hands out the results. It is one goroutine.
func (n *Node) commit() {
	for e := range n.committing {
		out, err := e.future.Wait()
		if err == nil && len(out.Results) != len(e.calls) {
			err = replica.ErrUnknown
		}
		e.err = err
		if err == nil {
			n.metrics.committed(n.clock.elapsed() - e.since)
			for i, c := range e.calls {
				n.result(c, e.term, &out.Results[i])
			}
		}
		n.inbox.push(event{do: func(l *leader) { l.committed(e) }}, true)
		select {
		case <-n.ended: // nobody looks into the inbox any more
			for _, c := range e.calls {
				if err != nil {
					c.fail(ErrUnknown)
				}
			}
		default:
		}
	}
}

// result hands one command's result to whoever waits for it. A grant that is committed starts its executor here.
func (n *Node) result(c *call, term uint64, r *journal.Result) {
	c.result = *r
	if c.visit != nil {
		return // the leader's goroutine looks after those
	}
	if c.kind != kindAuthorise {
		c.finish()
		return
	}
	switch r.Verdict {
	case journal.Done:
		n.goExecute(c, term)
	case journal.StaleTerm: // nothing was granted: the leader offers it again
	default:
		c.finish()
	}
}

// committed looks at an entry that has come back from Raft.
func (l *leader) committed(e *entry) {
	l.inFlight--
	if e.err != nil {
		l.packAfter = l.now + fineTick // Raft is busy or has no leader: asking again at once would only spin
	}
	for _, c := range e.calls {
		switch {
		case e.err != nil:
			l.notCommitted(c, e.err)
		case c.kind == kindAuthorise:
			l.granted(c)
		default:
			l.settled(c)
		}
	}
}

// settled looks at a command whose result is known.
func (l *leader) settled(c *call) {
	l.cameIn(c)
	switch {
	case c.visit != nil:
		c.finish()
	case c.instead != nil:
		l.found(c)
	case c.of != nil:
		l.concluded(c)
	case c.done != nil:
		c.done(l)
	}
}

// concluded ends a payment's execution by this process: from here on its confirmations ask the leader again, and find the outcome. Until
// then they know without asking, and nobody takes it for one whose "go" was lost. That is so for what this node has granted itself too:
// a confirmation may have looked at the payment before the grant, and ask another node's leader after it.
func (l *leader) concluded(c *call) {
	if l.asked[c.payment] != c.of {
		return
	}
	if c.result.Payment.State == journal.StateAuthorised {
		l.unspoken = append(l.unspoken, c.payment) // the journal did not take the outcome; the resolver will
		if l.n.far != nil {
			l.n.far.spoken(l.n, c.payment)
		}
		return
	}
	delete(l.asked, c.payment)
}

// speak forgets executions whose payments have come to an end in another way.
func (l *leader) speak() {
	l.unspoken = slices.DeleteFunc(l.unspoken, func(id journal.PaymentID) bool {
		if p, ok := l.n.payment(id); ok && p.State == journal.StateAuthorised || !ok && l.n.far != nil {
			return false // or it has been forgotten here, and is asked for; see far.spoken
		}
		delete(l.asked, id)
		return true
	})
}

// granted follows a committed Authorise: others who confirm the same payment wait for its outcome; a verdict other than
// Done means that nobody will be inside the core.
func (l *leader) granted(c *call) {
	switch c.result.Verdict {
	case journal.Done:
		if c.visit != nil {
			l.permit(c)
			return
		}
		c.went = true
		for _, f := range l.followersOf(c) {
			f.attach(c.result.Payment)
		}
	case journal.StaleTerm:
		l.again(c)
	default:
		if c.visit != nil {
			c.finish()
		}
		l.release(c.ticket, 0, false)
		l.abandon(c)
	}
}

// again offers a call from the beginning, under a new ticket. Nothing has come of the first offer.
func (l *leader) again(c *call) {
	if c.kind == kindAuthorise {
		l.release(c.ticket, 0, false)
		l.abandon(c)
	}
	c.stage.CompareAndSwap(offered, waiting)
	l.take(c)
}

// notCommitted sorts out what an error leaves certain.
func (l *leader) notCommitted(c *call, err error) {
	switch {
	case errors.Is(err, replica.ErrEntry):
		c.stage.Store(withdrawn)
		if c.kind == kindAuthorise {
			l.release(c.ticket, 0, false)
			l.abandon(c)
		}
		c.fail(fmt.Errorf("%w: %w", ErrTooLarge, err))
	case !errors.Is(err, replica.ErrUnknown):
		l.again(c)
	case c.kind == kindAuthorise:
		l.lost(c)
	default:
		// The same id takes effect once: repeating it is safe, and tells what became of it.
		l.take(c)
	}
}

// lost deals with a grant whose entry may or may not be in the log. Its executor will not send it, and says so: then the
// payment is rejected as soon as a leader can commit, and the customer knows. Until then the payment stays in the table
// of those that are asked for: a NotSent names the executor, not the grant, and would hit a second grant too.
func (l *leader) lost(c *call) {
	if c.visit != nil {
		l.lostByGuest(c)
		return
	}
	delete(l.calls, c.ticket)
	l.hush(c)
	next := l.n.notSentCall(c.payment)
	next.instead = c
	l.take(next)
}

// found ends such a search. The NotSent stands in the log behind the place where the lost entry would stand: if the
// payment is still received, the grant never was and never will be, and its askers may try again.
func (l *leader) found(notSent *call) {
	c := notSent.instead
	if t, ok := l.unhush(c.payment); ok {
		l.release(t, 0, false)
	}
	if notSent.result.Verdict != journal.Done && notSent.result.Payment.State == journal.StateReceived {
		l.abandon(c)
		if c.stage.CompareAndSwap(offered, waiting) {
			l.take(c)
		}
		return
	}
	for _, f := range l.forget(c) {
		f.attach(notSent.result.Payment)
	}
	if c.visit != nil { // its asker is at the other end of a stream, and sees no change of this copy
		c.attach(notSent.result.Payment)
	}
}

func expireCall(ids []journal.PaymentID) *call {
	body := &command.Expire{PaymentIds: make([][]byte, len(ids))}
	for i := range ids {
		body.PaymentIds[i] = ids[i][:]
	}
	return internalCall(&journal.Command{Body: &command.Command_Expire{Expire: body}})
}

func pruneCall(stamp journal.Millis) *call {
	before := func(kept time.Duration) int64 { return max(int64(stamp)-kept.Milliseconds(), 0) }
	return internalCall(&journal.Command{Body: &command.Command_Prune{Prune: &command.Prune{
		FinishedBeforeMs:    before(PaymentsKept),
		IdempotencyBeforeMs: before(IdempotencyKeysKept),
		OutboxBeforeMs:      before(NoticesKept),
	}}})
}

// internalCall is a command for which nobody waits, repeated until its fate is definite.
func internalCall(cmd *journal.Command) *call {
	cmd.Id = newCommandID()
	return &call{kind: kindCommand, internal: true, cmd: cmd, size: sizeInEntry(cmd), wake: make(chan struct{}, 1)}
}
