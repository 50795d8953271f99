package cluster

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/stream"
	"netbank/cluster/stream/wire"
)

// errLeadsItself ends the stream of a node that has been elected.
var errLeadsItself = errors.New("cluster: this node leads itself")

// away is the asker's side of the stream: this node's calls that another node's leader has. It belongs to the goroutine of leader.
type away struct {
	link   *stream.Link // to the node that leads; nil: none does as far as is known, or this one
	term   uint64       // of that leader
	timed  uint64       // the term of the leader whose time was heard last
	lastID uint64
	bytes  int              // of the commands in sent that are not internal
	sent   map[uint64]*call // no definite word has come yet
	inside map[uint64]*call // seats without a payment: their calls are inside the core. Those that this node's own leadership gave are here while it does not lead
}

// ending is what the leader must know of a seat beside the outcome's command.
type ending struct {
	id      uint64 // of the call; 0: another leader gave the seat
	payment journal.PaymentID
	silent  bool
	late    bool
	answer  Answer
}

func (l *leader) say(m *wire.Message) {
	if l.away.link != nil {
		// An error has closed the link; its reader tells, and everything is repeated over the next one.
		_ = l.away.link.Send(m)
	}
}

// joined begins to use a stream: first everything that an earlier leader has not answered is repeated, so that this one knows of it, then the seats
// that no journal knows are reported, and then comes what is new.
func (l *leader) joined(link *stream.Link, w stream.Welcomed) {
	if l.phase != following || l.closing || l.n.highestTerm.Load() > w.Term {
		link.Close(errOtherTerm)
		return
	}
	l.part(errOtherTerm)
	raise(&l.n.highestTerm, w.Term)
	l.away.link, l.away.term = link, w.Term
	l.n.linkTerm.Store(w.Term)
	l.n.metrics.streams.Inc()
	l.levels(w.Levels)
	parked := l.parked
	l.parked = nil
	for _, c := range parked {
		if c.id != 0 {
			l.n.metrics.repeats.Inc()
			l.take(c)
		}
	}
	l.reportInside()
	for _, c := range parked {
		if c.id == 0 {
			l.take(c)
		}
	}
}

// reportInside tells a leader the calls of this node inside the core that are in no journal.
func (l *leader) reportInside() {
	open := &wire.Open{UpUs: stream.Micros(l.now)}
	for _, id := range slices.Sorted(maps.Keys(l.away.inside)) {
		c := l.away.inside[id]
		open.Seats = append(open.Seats, &wire.Seat{
			Id: id, Class: uint32(c.class), Weight: c.weight, AgeUs: stream.Micros(l.now - c.granted), Silent: c.mute,
		})
	}
	l.say(&wire.Message{Body: &wire.Message_Open{Open: open}})
}

// send gives a call to the node that leads.
func (l *leader) send(c *call) {
	if c.kind == kindAuthorise {
		first := l.asked[c.payment]
		if c.left && (c.id == 0 || first != nil) {
			return // never sent itself; or the other one finds out what has become of the payment
		}
		if first != nil && first != c {
			l.followUp(first, c)
			return
		}
		l.asked[c.payment] = c
		if c.left {
			l.depart(c)
			l.say(withdrawal(c))
			return
		}
	}
	if c.left && !c.internal {
		return // its asker knows that nobody knows
	}
	full := len(l.away.sent) >= CallsAwayMax || l.away.bytes >= CallsAwayBytesMax || c.kind == kindAuthorise && l.n.executors.Load() >= ExecutorsMax
	if full && !c.internal && c.stage.Load() == waiting {
		l.keep(c, true)
		return
	}
	if !c.stage.CompareAndSwap(waiting, abroad) && c.stage.Load() == withdrawn {
		l.abandon(c)
		return
	}
	if c.id == 0 {
		l.away.lastID++
		c.id = l.away.lastID
	}
	l.depart(c)
	l.say(l.message(c))
}

// depart puts a call among those that are out; arrived takes it away again.
func (l *leader) depart(c *call) {
	l.away.sent[c.id] = c
	if !c.internal {
		l.away.bytes += c.size
	}
}

// message is a call as it travels; an outcome travels with what is to be known of its seat.
func (l *leader) message(c *call) *wire.Message {
	w := &wire.Call{
		Id: c.id, Kind: wireKinds[c.kind], Urgent: c.urgent, Class: uint32(c.class), Tier: uint32(c.tier), Partner: c.partner, Weight: c.weight,
		BudgetUs: stream.Micros(c.deadline - l.now), WithinUs: stream.Micros(c.within), SentUs: stream.Micros(l.now),
	}
	if c.internal {
		w.BudgetUs = stream.Micros(WaitMax)
	}
	if c.cmd != nil {
		// Encoding fails only if somebody changes a command behind our back; then it is empty, and refused as bad.
		w.Command, _ = c.cmd.MarshalVT()
	}
	switch {
	case c.tell != nil:
		return &wire.Message{Body: &wire.Message_Answered{Answered: c.tell.message(w)}}
	case c.of != nil: // its call ended while this node led
		end := ending{payment: c.payment, silent: c.of.mute}
		return &wire.Message{Body: &wire.Message_Answered{Answered: end.message(w)}}
	}
	return &wire.Message{Body: &wire.Message_Call{Call: w}}
}

var wireKinds = [...]wire.Kind{
	kindCommand: wire.Kind_KIND_COMMAND, kindAuthorise: wire.Kind_KIND_AUTHORISE, kindSeat: wire.Kind_KIND_SEAT, kindApplied: wire.Kind_KIND_APPLIED,
}

func (e *ending) message(next *wire.Call) *wire.Answered {
	a := &wire.Answered{
		Id: e.id, Silent: e.silent, Late: e.late, ElapsedUs: stream.Micros(e.answer.Elapsed),
		NotSent: e.answer.Word == NotSent, Unreachable: e.answer.Unreachable, Next: next,
	}
	if e.payment != (journal.PaymentID{}) {
		a.Payment = e.payment[:]
	}
	if e.answer.Unreachable && e.answer.Err != nil {
		a.Why = e.answer.Err.Error()[:min(len(e.answer.Err.Error()), whyMax)]
	}
	return a
}

func withdrawal(c *call) *wire.Message {
	w := &wire.Withdraw{Id: c.id}
	if c.kind == kindAuthorise {
		w.Payment = c.payment[:]
	}
	return &wire.Message{Body: &wire.Message_Withdraw{Withdraw: w}}
}

// leave follows an asker that has gone while its call was abroad.
func (l *leader) leave(c *call) {
	c.left = true
	if l.away.sent[c.id] == c {
		l.say(withdrawal(c))
	}
}

// part ends the use of a stream. What it leaves unanswered may or may not have been done: it is repeated at the next leader, with the same ids.
func (l *leader) part(why error) {
	if l.away.link == nil {
		return
	}
	if errors.Is(why, ErrClosed) {
		l.away.link.Drain()
	} else {
		l.away.link.Close(why)
	}
	l.away.link, l.away.term = nil, 0
	l.n.linkTerm.Store(0)
	l.n.leaderSays.Store(nil)
	l.n.loseLeader()
	sent := slices.SortedFunc(maps.Values(l.away.sent), func(a, b *call) int { return cmp.Compare(a.id, b.id) })
	clear(l.away.sent)
	l.away.bytes = 0
	for _, c := range sent {
		switch c.kind {
		case kindSeat, kindApplied:
			// A seat that nobody has used was not given, as far as the core is concerned.
			if c.stage.CompareAndSwap(abroad, waiting) {
				l.park(c)
			}
		case kindAuthorise:
			l.keep(c, false)
		default:
			l.park(c)
		}
	}
}

// keep parks a confirmation and those that hang on it. certain: nothing was done for it, so that they are free.
func (l *leader) keep(c *call, certain bool) {
	followers := l.forget(c)
	l.park(c)
	for _, f := range followers {
		if certain {
			f.free()
		}
		l.park(f)
	}
}

// parted is told that a stream has ended.
func (l *leader) parted(link *stream.Link) {
	if l.away.link == link {
		l.part(link.Err())
	}
}

// callBack asks for everything back that waits abroad, because this node closes.
func (l *leader) callBack() {
	for _, c := range l.away.sent {
		if !c.internal && !c.left {
			l.leave(c)
		}
	}
}

// home looks at a call that was sent to another leader, now that this node leads: every entry that can ever commit from
// before is applied here. It reports whether the call has to be offered.
func (l *leader) home(c *call) bool {
	if c.kind != kindAuthorise {
		if c.left && !c.internal {
			return false
		}
		if c.kind == kindCommand {
			c.stage.CompareAndSwap(abroad, offered) // it may have been done: the same id tells
			return true
		}
		return c.stage.CompareAndSwap(abroad, waiting)
	}
	p, ok := l.n.payment(c.payment)
	if ok && p.State == journal.StateReceived {
		if c.left {
			c.stage.CompareAndSwap(abroad, withdrawn)
			c.ring()
			return false
		}
		return c.stage.CompareAndSwap(abroad, waiting)
	}
	c.attach(p)
	l.disown(p)
	return false
}

// disown ends a payment that was granted to this process and whose "go" never came: nobody else may send it, and this
// process has not and will not. It must not be said while a confirmation of the payment is out, since that might still
// bring a "go"; so the payment is among those that are asked for from the first Authorise to the last word.
func (l *leader) disown(p journal.Payment) {
	if p.State != journal.StateAuthorised || p.Executor != l.n.executor || l.asked[p.ID] != nil {
		return
	}
	ghost := &call{kind: kindAuthorise, payment: p.ID}
	ghost.stage.Store(withdrawn)
	l.asked[p.ID] = ghost
	next := l.n.notSentCall(p.ID)
	next.instead = ghost
	l.n.metrics.disowned.Inc()
	l.take(next)
}

// answeredAway takes the end of a core call while this node does not lead.
func (l *leader) answeredAway(e event) {
	c := e.call
	if _, own := l.calls[c.ticket]; own {
		delete(l.calls, c.ticket)
		if e.silent {
			l.hush(c)
		}
	}
	l.breaker.noted(l, &e.answer, e.silent)
	end := &ending{id: c.id, payment: c.payment, silent: e.silent, answer: e.answer}
	if e.next != nil {
		e.next.tell = end
		l.take(e.next)
		return
	}
	if !e.silent {
		delete(l.away.inside, c.id)
	}
	l.say(&wire.Message{Body: &wire.Message_Answered{Answered: end.message(nil)}})
}

// lateAway takes an answer that came after its call had been given up, while this node does not lead.
func (l *leader) lateAway(id journal.PaymentID, elapsed time.Duration, next *call) {
	l.unhush(id)
	l.breaker.reached(l)
	end := &ending{payment: id, late: true, answer: Answer{Elapsed: elapsed}}
	if next != nil {
		next.tell = end
		l.take(next)
		return
	}
	l.say(&wire.Message{Body: &wire.Message_Answered{Answered: end.message(nil)}})
}

// carry keeps the calls inside the core that this node's own leadership gave seats to, to report them to the next leader.
func (l *leader) carry() {
	keep := func(c *call) {
		if c.kind != kindSeat || c.visit != nil || c.stage.Load() != offered {
			return
		}
		if c.id == 0 {
			l.away.lastID++
			c.id = l.away.lastID
		}
		l.away.inside[c.id] = c
	}
	for _, c := range l.calls {
		keep(c)
	}
	for _, c := range l.silent {
		keep(c)
	}
}

// returned gives tickets to the calls of this process that other leaders have let into the core, before this node's gate counts.
func (l *leader) returned() {
	enter := func(c *call) {
		if _, known := l.calls[c.ticket]; known && c.ticket != 0 {
			return
		}
		if _, known := l.silent[c.ticket]; known && c.ticket != 0 {
			return
		}
		l.ticket++
		c.ticket = l.ticket
		if c.mute {
			l.hush(c)
			return
		}
		l.calls[c.ticket] = c
	}
	for _, id := range slices.Sorted(maps.Keys(l.away.inside)) {
		enter(l.away.inside[id])
	}
	for _, c := range l.asked {
		if c.went && c.until != 0 && !c.over {
			enter(c)
		}
	}
}
