package cluster

import (
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/stream/wire"
)

// phase is how far this node has come in a leadership.
type phase uint8

const (
	following phase = iota
	starting        // elected; silent until a barrier of its own term is applied
	ready
)

// How often the leader looks at the time: finely while anything is queued or inside, else coarsely.
const (
	fineTick   = 10 * time.Millisecond
	coarseTick = 250 * time.Millisecond
)

// leader owns the gate and packs the journal's entries. All of it belongs to one goroutine, run; others talk to it
// through the inbox. It runs on every node, and holds calls back while another node leads.
type leader struct {
	n     *Node
	phase phase
	term  uint64
	now   gate.Time

	gate      *gate.Gate
	line      lineKeeper
	ticket    gate.Ticket // the last one given; never goes back, so that a seat keeps its name across leaderships
	calls     map[gate.Ticket]*call
	silent    map[gate.Ticket]*call // inside the core as far as anyone knows, with nobody waiting
	seatOf    map[journal.PaymentID]gate.Ticket
	asked     map[journal.PaymentID]*call // confirmations that wait for their seat or their entry
	decisions []gate.Decision

	parked   []*call // wait for a leader
	urgent   queue
	ordinary queue
	inFlight int
	// packAfter is when the next entry may be made, after one that was not taken.
	packAfter gate.Time

	started   gate.Time // of this leadership
	mayOthers bool      // calls of other kinds than payments that were inside before are surely over
	nextFine  gate.Time
	coarse    gate.Time // last coarse tick
	expired   gate.Time // last look for expired payments
	expiring  bool
	pruned    gate.Time // last look at what is past its retention
	pruning   bool
	limit     foundLimit
	lapsing   bool
	ceiling   int                  // of the gate, by the level in force
	policy    uint64               // version of what the gate goes by
	breaker   breaker              // of this node's own connection
	shut      bool                 // no node can reach the core
	words     [gate.Classes]uint64 // the edge's refusals, for whoever can
	closing   bool
	onIdle    []func(l *leader) // called after the next turn

	clockYield
	away     away
	guests   map[journal.NodeID]*guest
	unspoken []journal.PaymentID // authorised, although their executors have had their say here
}

func newLeader(n *Node) *leader {
	return &leader{
		n:      n,
		calls:  make(map[gate.Ticket]*call),
		silent: make(map[gate.Ticket]*call),
		seatOf: make(map[journal.PaymentID]gate.Ticket),
		asked:  make(map[journal.PaymentID]*call),
		away:   away{sent: make(map[uint64]*call), inside: make(map[uint64]*call)},
		guests: make(map[journal.NodeID]*guest),
	}
}

// run is the leader's goroutine. It ends when stop is closed.
func (l *leader) run(stop <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	armed := gate.Time(0)
	for {
		select {
		case <-l.n.inbox.wake:
		case <-l.n.log.LeadershipChanged():
		case <-timer.C:
			armed = 0
		case <-stop:
			l.end()
			return
		}
		l.now = l.n.clock.elapsed()
		l.follow()
		for _, e := range l.n.inbox.take() {
			l.handle(e)
		}
		l.pass()
		l.pack()
		l.idle()
		// An armed timer that fires early costs one turn; resetting it at every turn would cost more.
		if next := l.now + l.pause(); armed == 0 || next < armed {
			timer.Reset(next - l.now)
			armed = next
		}
	}
}

// idle calls those who wait for something to have happened.
func (l *leader) idle() {
	waiters := l.onIdle
	l.onIdle = nil
	for _, f := range waiters {
		f(l)
	}
}

// pause is how long the leader may sleep if nothing happens.
func (l *leader) pause() time.Duration {
	if l.phase == ready && (len(l.calls)+len(l.silent)+l.urgent.len()+l.ordinary.len() > 0 || l.n.Line().Closed) {
		return fineTick
	}
	return coarseTick
}

func (l *leader) handle(e event) {
	switch {
	case e.do != nil:
		e.do(l)
	case e.answered:
		l.answered(e)
	default:
		l.take(e.call)
	}
}

// take looks at a call for the first time, or again after its entry was not appended.
func (l *leader) take(c *call) {
	if c.stage.Load() == withdrawn {
		return
	}
	if l.closing && !c.internal && c.stage.CompareAndSwap(waiting, withdrawn) {
		c.fail(ErrClosed)
		return
	}
	if l.phase != ready || c.visit != nil && !l.hosts(c) {
		l.elsewhere(c)
		return
	}
	if c.stage.Load() == abroad && !l.home(c) || c.bound != 0 && c.bound != l.term {
		return
	}
	switch c.kind {
	case kindCommand:
		if c.tell != nil {
			l.ended(c.tell)
			if c.tell.answer.Elapsed > 0 {
				l.breaker.reached(l)
			}
		}
		l.queue(c)
	case kindApplied:
		l.tellApplied(c)
	default:
		l.offer(c)
	}
}

// hosts reports whether a guest's call is still this leader's to offer.
func (l *leader) hosts(c *call) bool {
	g := c.visit.guest
	return l.guests[g.who.Node] == g && (g.link != nil || c.stage.Load() == offered)
}

// elsewhere deals with a call while this node may not grant. What came from another node goes to the next leader from there.
func (l *leader) elsewhere(c *call) {
	switch {
	case c.visit != nil:
		l.dismiss(c)
	case c.bound != 0:
		// It would be untrue in another term; see bound.
	case l.away.link != nil:
		l.send(c)
	default:
		l.park(c)
	}
}

// park keeps a call until there is a leader. Those whose askers have left are swept when they pile up.
func (l *leader) park(c *call) {
	if len(l.parked) >= 2*CommandsMax {
		l.sweep()
	}
	l.parked = append(l.parked, c)
}

// parkAll keeps a confirmation that was not granted, and those that hang on it.
func (l *leader) parkAll(c *call) {
	followers := l.forget(c)
	l.elsewhere(c)
	for _, f := range followers {
		f.free()
		l.elsewhere(f)
	}
}

// quit begins the end of the node: nothing new is granted, and what waits is told so.
func (l *leader) quit() {
	l.closing = true
	for t, c := range l.calls {
		if c.stage.CompareAndSwap(waiting, withdrawn) {
			c.fail(ErrClosed)
			if l.gate != nil {
				l.decide(l.gate.Withdraw(l.now, t, l.decisions[:0]))
			}
			delete(l.calls, t)
			l.abandon(c)
		}
	}
	parked := l.parked
	l.parked = nil
	for _, c := range parked {
		l.take(c)
	}
	l.callBack()
}

func (l *leader) sweep() {
	kept := l.parked[:0]
	for _, c := range l.parked {
		if c.stage.Load() != withdrawn {
			kept = append(kept, c)
		}
	}
	clear(l.parked[len(kept):])
	l.parked = kept
}

// follow compares terms: signals of leadership coalesce, so that a leadership lost and won again may look like none.
func (l *leader) follow() {
	term, leading := l.n.log.Leadership()
	if l.phase != following && (!leading || term != l.term) {
		l.stepDown()
	}
	if leading && l.phase == following && !l.closing {
		l.part(errLeadsItself)
		l.phase, l.term = starting, term
		l.n.goBarrier(term)
	}
}

// stepDown ends a leadership: what was never offered to Raft waits for the next one; what was, has its fate there.
func (l *leader) stepDown() {
	if l.n.gateTerm.Swap(0) != 0 {
		l.n.loseLeader()
	}
	l.phase = following
	l.gate = nil
	l.line = lineKeeper{}
	l.breaker.reset(l)
	l.n.clock.stopped.Store(false)
	l.sendHome()
	l.n.followers.Store(nil)
	l.carry()
	for t, c := range l.calls {
		if c.stage.Load() == waiting { // never granted
			delete(l.calls, t)
			l.parkAll(c)
		}
	}
	for c := l.urgent.pop(); c != nil; c = l.urgent.pop() {
		if c.kind == kindAuthorise { // granted, but in no entry
			delete(l.calls, c.ticket)
			c.stage.Store(waiting)
			l.parkAll(c)
			continue
		}
		l.elsewhere(c)
	}
	for c := l.ordinary.pop(); c != nil; c = l.ordinary.pop() {
		l.elsewhere(c)
	}
}

// begin opens the gate of a new leadership, once a barrier of its term is applied: every payment that may be inside
// the core has a seat before the first is granted.
func (l *leader) begin(term uint64) {
	if l.phase != starting || term != l.term {
		return
	}
	var last journal.Millis
	var found int
	var open []journal.PaymentID
	l.n.log.View(func(m *journal.Machine) {
		last, found = m.Now(), m.FoundLimit()
		m.Unresolved(func(o journal.Open) bool {
			// One that an earlier life already asked about may be inside all the same, if it had been granted shortly before that
			// life's last entry. How long ago that was, nobody knows for certain.
			if o.State == journal.StateAuthorised || last-o.Granted < journal.Millis(l.n.cfg.silence().Milliseconds()) {
				open = append(open, o.ID)
			}
			return true
		})
	})
	l.n.clock.start(last, l.n.cfg.AcceptClock)
	l.n.clock.known.Store(true)
	l.offSince = 0
	l.gate, l.ceiling, l.policy = gate.New(l.gateOf(found)), l.n.cfg.Gate.Ceiling, 0
	l.keepPolicy()
	l.started, l.expired, l.pruned = l.now, l.now, l.now
	// Nobody has reported the calls that an earlier process left inside the core. A journal without a stamp had none.
	l.mayOthers = last == 0
	l.returned()
	l.occupy(open)
	l.takeUpLine()
	l.phase = ready
	l.shut = false
	l.n.coreShut.Store(false)
	l.reach() // its own connection is as it was; of the others' nothing is known yet
	raise(&l.n.highestTerm, term)
	l.n.gateTerm.Store(term)
	l.n.logger.Info("this node leads", "term", term, "seats taken over", len(l.silent)+len(l.calls))
	parked := l.parked
	l.parked = nil
	for _, c := range parked {
		if c.kind == kindAuthorise && c.stage.Load() != abroad && !l.stillReceived(c) {
			continue
		}
		l.take(c)
	}
	l.coarsely()
}

// occupy gives seats to what is inside: calls of this process under their own tickets, and authorised payments of which
// only the journal knows, from this moment on, because nobody knows how long they have been there.
func (l *leader) occupy(open []journal.PaymentID) {
	inside := make(map[journal.PaymentID]bool, len(l.calls))
	for t, c := range l.calls {
		l.gate.Occupy(l.now, t, c.class, c.weight, c.granted)
		inside[c.payment] = true
	}
	for t, c := range l.silent {
		l.gate.Occupy(l.now, t, c.class, c.weight, c.granted)
		inside[c.payment] = true
	}
	for _, id := range open {
		if inside[id] {
			continue
		}
		l.ticket++
		c := &call{kind: kindAuthorise, class: gate.Confirm, weight: weightDebit, payment: id, ticket: l.ticket, granted: l.now}
		if !l.gate.Occupy(l.now, c.ticket, c.class, c.weight, c.granted) {
			// More than the gate can ever count: every seat is taken already.
			return
		}
		l.hush(c)
	}
}

// stillReceived looks a confirmation's payment up before it is offered again or refused: an earlier leader, or an earlier
// confirmation, may have been granted it. Then the call follows that one.
func (l *leader) stillReceived(c *call) bool {
	p, ok := l.n.payment(c.payment)
	if ok && p.State == journal.StateReceived {
		return true
	}
	c.attach(p)
	return false
}

// hush keeps the seat of a call that nobody waits for, until its late answer or its core limit.
func (l *leader) hush(c *call) {
	l.silent[c.ticket] = c
	if c.payment != (journal.PaymentID{}) {
		l.seatOf[c.payment] = c.ticket
	}
}

// unhush forgets such a call, and tells its ticket.
func (l *leader) unhush(id journal.PaymentID) (gate.Ticket, bool) {
	t, ok := l.seatOf[id]
	if ok {
		delete(l.seatOf, id)
		delete(l.silent, t)
	}
	return t, ok
}

// pass lets time pass in the gate, and now and then for everything else.
func (l *leader) pass() {
	if l.phase == ready && l.now >= l.nextFine {
		l.nextFine = l.now + fineTick
		l.decide(l.gate.Tick(l.now, l.decisions[:0]))
		l.publishEdge()
		l.keepLine()
	}
	if l.now-l.coarse >= coarseTick {
		l.coarsely()
	}
}

// coarsely does what needs no precision.
func (l *leader) coarsely() {
	l.coarse = l.now
	l.sweep()
	for t, c := range l.silent {
		if l.now-c.granted >= l.n.cfg.silence() { // its seat has ended in the gate too
			delete(l.silent, t)
			if l.seatOf[c.payment] == t {
				delete(l.seatOf, c.payment)
			}
			l.over(c)
		}
	}
	for id, c := range l.away.inside {
		if c.mute && l.now-c.granted >= l.n.cfg.silence() { // given up, and over by now: no leader has to know
			delete(l.away.inside, id)
		}
	}
	l.speak()
	l.breaker.pass(l)
	if l.phase != ready {
		return
	}
	l.seeGuests()
	l.listFollowers()
	l.n.clock.check()
	l.yield()
	l.obey()
	l.publishEdge() // or the doors would refuse for another tick after the operator sees that all is well
	l.mayOthers = l.mayOthers || l.now-l.started >= l.n.cfg.silence() || l.allReported()
	snapshot := l.gate.Snapshot()
	l.n.gateSeen.Store(&snapshot)
	l.keepLimit(snapshot.Found)
	l.housekeeping()
}

// housekeeping commits what time alone has decided: expiries, and the end of retention. One of each is under way at a
// time. What does not fit into one is followed by the next: at once for expiries, which people wait for.
func (l *leader) housekeeping() {
	if l.now-l.expired >= expireEvery && !l.expiring {
		l.expire()
	}
	if l.now-l.pruned >= pruneEvery && !l.pruning {
		l.prune()
	}
}

func (l *leader) expire() {
	l.expired = l.now
	var ids []journal.PaymentID
	limit := l.n.cfg.Replica.Limits.ExpireIDs
	stamp := l.n.clock.now()
	l.n.log.View(func(m *journal.Machine) { ids = m.Expired(stamp, limit) })
	if len(ids) == 0 {
		return
	}
	c := expireCall(ids)
	l.expiring = true
	c.done = func(l *leader) {
		l.expiring = false
		if len(ids) == limit && l.phase == ready {
			l.expire()
		}
	}
	l.queue(c)
}

func (l *leader) prune() {
	l.pruned = l.now
	c := pruneCall(l.n.clock.now())
	l.pruning = true
	c.done = func(l *leader) {
		l.pruning = false
		if c.result.Verdict == journal.TooMany {
			// The rest follows with the next coarse tick. One after the other at once, they would leave no room for payments.
			l.pruned = l.now - pruneEvery
		}
	}
	l.queue(c)
}

// end gives every call that still waits its answer.
func (l *leader) end() {
	l.closing = true
	if l.phase != following {
		l.stepDown()
	}
	for _, e := range l.n.inbox.take() {
		l.handle(e)
	}
	l.say(&wire.Message{Body: &wire.Message_Leaving{Leaving: &wire.Leaving{}}})
	l.part(ErrClosed)
	for _, c := range l.parked {
		if c.stage.CompareAndSwap(waiting, withdrawn) {
			c.fail(ErrClosed)
		} else {
			c.fail(ErrUnknown)
		}
	}
	l.parked = nil
	close(l.n.ended)
	close(l.n.committing)
}
