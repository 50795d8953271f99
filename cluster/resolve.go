package cluster

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// The resolver's pace.
const (
	resolveScan    = 250 * time.Millisecond // between two looks into the journal
	resolveMargin  = 250 * time.Millisecond // beyond send-by and core limit, for what a clock reads between two events
	backoffFirst   = 500 * time.Millisecond
	backoffMax     = 15 * time.Second
	resolveSeatFor = 5 * time.Second // an inquiry waits for its seat
)

// resolver ends what the executors could not: payments that are silent, in doubt or being reversed. It runs on the leader,
// keeps nothing but a schedule, and finds its work in the journal, so that a restart or a new leader goes on where the
// last one stopped.
//
//	authorised, silent for send-by + core limit ──> MarkInDoubt
//	authorised by a past life of a node whose next one is here ──> inquiry ──> done, declined ──> Settle
//	in doubt ──> inquiry ──> done, declined ──> Settle
//	                ├──> running, no answer ──> later
//	                └──> unknown (once nothing can be on its way any more), reversed ──> BeginReversal
//	reversing ──> reversal advice, repeated until acknowledged ──> Reversed
type resolver struct {
	n     *Node
	slots chan struct{}
	term  uint64 // of the leadership that the schedule belongs to; owned by run

	hurry atomic.Bool

	mu      sync.Mutex
	pending map[journal.PaymentID]*doubt
	lives   map[journal.NodeID]uint64 // the incarnation of every node that has come to this leadership, at most GuestsMax
}

// doubt is the schedule of one payment.
type doubt struct {
	seen      time.Duration // when this leadership first saw it: not before its grant
	doubtful  time.Duration // when it was first seen in doubt or reversing; 0 before
	next      time.Duration // not to be touched before
	decidable time.Duration // when an "unknown" may lead to a reversal; 0 until the core has said one
	tries     int
	advised   bool // this leadership began the reversal and has not sent it yet: the first advice is no repeat
	busy      bool
	found     bool // by the last scan
}

func newResolver(n *Node) *resolver {
	return &resolver{n: n, slots: make(chan struct{}, ResolversMax), pending: make(map[journal.PaymentID]*doubt), lives: make(map[journal.NodeID]uint64)}
}

// came notes that a node has come to this leadership, in a life of its; 0: it is given up.
func (r *resolver) came(node journal.NodeID, incarnation uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if incarnation == 0 {
		delete(r.lives, node)
		return
	}
	r.lives[node] = incarnation
}

// forget forgets who has come, at the end of a leadership.
func (r *resolver) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.lives)
}

// past reports whether an executor's process has ended: a later life of the same node is here, which could not have the data directory otherwise. Only a
// question to the core depends on it. The lock is held.
func (r *resolver) past(e journal.Executor) bool {
	if e.Node == r.n.executor.Node {
		return e.Incarnation != r.n.executor.Incarnation
	}
	now, here := r.lives[e.Node]
	return here && e.Incarnation != now
}

// run looks for work until the node closes.
func (r *resolver) run() {
	var workers sync.WaitGroup
	defer workers.Wait()
	for r.n.sleep(resolveScan) {
		term := r.n.gateTerm.Load()
		if term != r.term {
			r.mu.Lock()
			clear(r.pending)
			r.mu.Unlock()
			r.term = term
		}
		if term == 0 {
			continue
		}
		for _, work := range r.due() {
			select {
			case r.slots <- struct{}{}:
			case <-r.n.closing:
				return
			}
			workers.Go(func() {
				defer func() { <-r.slots }()
				r.resolve(work)
			})
		}
	}
}

// task is one step to take.
type task struct {
	id    journal.PaymentID
	state journal.State
	doubt *doubt
	early bool // authorised, and not yet silent for long enough to be in doubt
}

// due brings the schedule up to date with the journal and gives what is to be done now, at most what a scan can start.
func (r *resolver) due() (tasks []task) {
	now := r.n.clock.elapsed()
	hurry := r.hurry.Swap(false)
	var open []journal.Open
	r.n.log.View(func(m *journal.Machine) {
		m.Unresolved(func(o journal.Open) bool {
			open = append(open, o)
			return len(open) < DoubtfulMax
		})
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.pending {
		d.found = false
	}
	for _, o := range open {
		d := r.pending[o.ID]
		if d == nil {
			d = &doubt{seen: now}
			r.pending[o.ID] = d
		}
		d.found = true
		if o.State != journal.StateAuthorised && d.doubtful == 0 {
			d.doubtful = now
		}
		if hurry {
			d.next = min(d.next, now+rand.N(resolveScan))
		}
		// A past life waits for nothing any more. What the core has long done for it is asked at once. Until the core says so, the payment stays
		// authorised and keeps its seat.
		early := o.State == journal.StateAuthorised && now-d.seen < r.n.cfg.silence()+resolveMargin
		if d.busy || now < d.next || early && !r.past(o.Executor) || len(tasks) >= 4*ResolversMax {
			continue
		}
		d.busy = true
		tasks = append(tasks, task{o.ID, o.State, d, early})
	}
	for id, d := range r.pending {
		if !d.found && !d.busy {
			delete(r.pending, id)
		}
	}
	return tasks
}

// hasten brings every step forward, because the core has come back.
func (r *resolver) hasten() { r.hurry.Store(true) }

// resolve takes one step with one payment and plans the next.
func (r *resolver) resolve(t task) {
	var ahead bool
	switch t.state {
	case journal.StateAuthorised:
		if t.early {
			ahead = r.inquire(t)
		} else {
			ahead = r.mark(t.id)
		}
	case journal.StateInDoubt:
		ahead = r.inquire(t)
	case journal.StateReversing:
		ahead = r.reverse(t)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	d := t.doubt
	d.busy = false
	if ahead {
		d.tries, d.next = 0, 0
		return
	}
	wait := min(backoffFirst<<min(d.tries, 10), backoffMax)
	d.tries++
	now := r.n.clock.elapsed()
	d.next = now + wait/2 + rand.N(wait/2+1)
	if d.decidable > now && d.next > d.decidable {
		d.next = d.decidable
	}
}

// commit brings a decision into the journal and reports whether it stands. If not, another one came first, which the next
// scan shows.
func (r *resolver) commit(cmd *journal.Command) bool {
	result, err := r.n.submit(cmd, r.n.cfg.CoreLimit, true)
	return err == nil && (result.Verdict == journal.Done || result.Verdict == journal.Repeated)
}

func (r *resolver) mark(id journal.PaymentID) bool {
	return r.commit(&journal.Command{Body: &command.Command_MarkInDoubt{MarkInDoubt: &command.MarkInDoubt{PaymentId: id[:]}}})
}

// ask takes a seat of the class resolve, calls the core with the core limit, and gives the seat back.
func (r *resolver) ask(op operation, weight float64, call func(ctx context.Context) Answer) Answer {
	c, refusal, err := r.n.seat(gate.Resolve, weight, resolveSeatFor)
	if err != nil || refusal != nil {
		return Answer{Word: NotSent, Err: err}
	}
	ctx, cancel := context.WithTimeout(r.n.coreCtx, r.n.cfg.CoreLimit)
	defer cancel()
	a := call(ctx)
	r.n.metrics.core(op, a)
	r.n.leave(c, a, a.Word == InDoubt && a.ResponseCode == "")
	return a
}

func (r *resolver) inquire(t task) bool {
	p, ok := r.n.payment(t.id)
	if !ok || p.State != t.state {
		return true
	}
	ref := Reference{Payment: p.ID, Wire: p.Wire}
	a := r.ask(opInquire, weightInquiry, func(ctx context.Context) Answer { return r.n.core.Inquire(ctx, ref) })
	switch {
	case a.Word == Approved:
		return r.settle(t, command.Outcome_OUTCOME_APPROVED, a)
	case a.Word == Declined:
		return r.settle(t, command.Outcome_OUTCOME_DECLINED, a)
	}
	if t.early {
		r.mu.Lock()
		t.doubt.decidable = t.doubt.seen + r.n.cfg.silence() + resolveMargin
		r.mu.Unlock()
		return false
	}
	switch a.Word {
	case Reversed:
		return r.beginReversal(t)
	case Unknown:
		// The debit may still be on its way. Only when nothing can arrive any more, or be about to be sent, is a
		// reversal the right question.
		r.mu.Lock()
		over := r.n.clock.elapsed()-t.doubt.seen >= r.n.cfg.silence()+resolveMargin
		// The next question is not put off beyond the moment at which its answer can be acted on.
		t.doubt.decidable = t.doubt.seen + r.n.cfg.silence() + resolveMargin
		r.mu.Unlock()
		return over && r.beginReversal(t)
	}
	return false // running, in doubt or not sent: later
}

// settle commits the core's final word, and frees the seat of a payment that kept one: the core has said all of it.
func (r *resolver) settle(t task, outcome command.Outcome, a Answer) bool {
	if !r.commit(settleCall(t.id, outcome, command.Source_SOURCE_INQUIRY, a).cmd) {
		return false
	}
	if t.early {
		_ = r.n.inbox.push(event{do: func(l *leader) {
			if seat, ok := l.unhush(t.id); ok {
				l.release(seat, 0, false)
			}
		}}, false)
	}
	return true
}

func (r *resolver) beginReversal(t task) bool {
	id := t.id
	if !r.commit(&journal.Command{Body: &command.Command_BeginReversal{BeginReversal: &command.BeginReversal{PaymentId: id[:]}}}) {
		return false
	}
	r.n.metrics.reversals.Inc()
	r.n.logger.Info("the decision to reverse a payment is committed", "payment", id.String())
	r.mu.Lock()
	t.doubt.advised = true
	r.mu.Unlock()
	return true
}

func (r *resolver) reverse(t task) bool {
	p, ok := r.n.payment(t.id)
	if !ok || p.State != journal.StateReversing {
		return true
	}
	r.mu.Lock()
	repeat := !t.doubt.advised
	t.doubt.advised = false
	r.mu.Unlock()
	a := r.ask(opReverse, weightReverse, func(ctx context.Context) Answer { return r.n.core.Reverse(ctx, debitOf(&p), repeat) })
	if a.Word != Approved {
		if a.Word == NotSent && !repeat {
			r.mu.Lock()
			t.doubt.advised = true
			r.mu.Unlock()
		}
		return false
	}
	id := t.id
	return r.commit(&journal.Command{Body: &command.Command_Reversed{Reversed: &command.Reversed{PaymentId: id[:], ResponseCode: a.ResponseCode}}})
}

func (r *resolver) status() ResolverStatus {
	now := r.n.clock.elapsed()
	r.mu.Lock()
	defer r.mu.Unlock()
	var s ResolverStatus
	for _, d := range r.pending {
		if d.doubtful > 0 {
			s.Backlog++
			s.Oldest = max(s.Oldest, now-d.doubtful)
		}
	}
	return s
}
