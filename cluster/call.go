package cluster

import (
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
)

// kind says what a call wants of the leader.
type kind uint8

const (
	kindCommand   kind = iota // a place in the journal
	kindAuthorise             // a seat, and with it a place in the journal
	kindSeat                  // a seat without a place in the journal
	kindApplied               // how far the leader has applied the journal
)

// The stages of a call. Its asker may leave while it waits, by turning waiting into withdrawn; the leader turns waiting into
// offered before it does anything that can have an effect. Whoever comes second sees that, so "nothing was done" is
// never a guess.
//
// A call that has been sent to another node's leader is abroad: there it has a stage of its own, and only that leader's word,
// or a later leader's look into the journal, says whether anything was done for it.
const (
	waiting uint32 = iota
	offered
	withdrawn
	abroad
)

// call is one wish on its way through the leader. Fields without a note are set before the call is pushed.
type call struct {
	kind     kind
	urgent   bool // packed before what is not urgent: grants, outcomes, the resolver's decisions
	internal bool // nobody waits for it: it is repeated until its fate is definite
	class    gate.Class
	tier     uint8
	partner  uint32
	weight   float64
	cmd      *journal.Command
	size     int // of cmd in an entry, with its tag and length
	payment  journal.PaymentID
	asked    gate.Time     // when the asker came
	deadline gate.Time     // when it leaves
	within   time.Duration // in which the answer is wanted, once it is offered; 0: by the deadline

	stage atomic.Uint32

	// Owned by the leader's goroutine.
	ticket    gate.Ticket
	granted   gate.Time
	followers []*call
	done      func(l *leader) // housekeeping: called when its fate is definite
	instead   *call           // NotSent: committed because nobody knew what had become of this grant
	of        *call           // an outcome: the granted call that it ends
	went      bool            // granted, and its executor has been started here
	over      bool            // its call to the core has ended
	mute      bool            // over, but given up: it may go on inside the core
	left      bool            // abroad, and its asker has gone
	id        uint64          // names it to other nodes' leaders; 0: never sent to one
	until     gate.Time       // a grant by another node's leader may be used before; 0: granted here
	tell      *ending         // an outcome for another node's leader: of a seat that it counts
	visit     *visit          // it came from another node
	bound     uint64          // the only term in which it may be offered; 0: any

	// The answer: written once, before answered is set.
	answered atomic.Bool
	failed   atomic.Bool
	result   journal.Result
	refusal  Refusal
	applied  uint64 // of kindApplied
	err      error
	wake     chan struct{} // capacity 1; a token after answered, and when the payment has changed
}

// finish makes the answer visible and wakes the asker. An answer is given once; later ones are dropped.
func (c *call) finish() {
	if c.visit != nil {
		c.visit.tell(c)
		return
	}
	c.answered.Store(true)
	c.ring()
}

// ring wakes the asker.
func (c *call) ring() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// fail answers with an error, unless somebody has done so before: at the end of a node two goroutines may try.
func (c *call) fail(err error) {
	if c.failed.CompareAndSwap(false, true) {
		c.err = err
		c.finish()
	}
}

func (c *call) refuse(reason gate.Reason, retryAfter time.Duration) {
	c.refusal = Refusal{Reason: reason, RetryAfter: retryAfter}
	c.finish()
}

// event is one thing that the leader's goroutine has to look at.
type event struct {
	do   func(l *leader) // rare events; nil for the two below
	call *call           // new, unless answered is set
	// answered: the core call that call was granted for has ended; silent if it may go on inside. next follows it.
	answered bool
	silent   bool
	answer   Answer
	next     *call
}

// inbox is the bounded way to the leader's goroutine.
type inbox struct {
	mu     sync.Mutex
	events []event
	spare  []event
	closed bool
	wake   chan struct{}
	askers atomic.Int64 // callers that wait for the leader
}

// enter counts an asker; it calls left when it goes away.
func (b *inbox) enter() error {
	if b.askers.Add(1) > CommandsMax {
		b.askers.Add(-1)
		return ErrOverloaded
	}
	return nil
}

func (b *inbox) left() { b.askers.Add(-1) }

// push adds an event. What must not be lost (answers and repeats, bounded by seats and entries) is taken even when the
// inbox is closed; calls are bounded by enter.
func (b *inbox) push(e event, must bool) error {
	b.mu.Lock()
	if b.closed && !must {
		b.mu.Unlock()
		return ErrClosed
	}
	b.events = append(b.events, e)
	first := len(b.events) == 1
	b.mu.Unlock()
	if first {
		select {
		case b.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// take empties the inbox. The slice is valid until the next take.
func (b *inbox) take() []event {
	b.mu.Lock()
	defer b.mu.Unlock()
	events := b.events
	clear(b.spare)
	b.events, b.spare = b.spare[:0], events
	return events
}

func (b *inbox) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
}

// newCommandID draws a random command id.
func newCommandID() []byte {
	id := make([]byte, 16)
	rand.Read(id)
	return id
}
