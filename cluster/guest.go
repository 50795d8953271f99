package cluster

import (
	"errors"
	"fmt"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/stream"
	"netbank/cluster/stream/wire"
)

var (
	errNotLeading  = errors.New("cluster: this node does not lead, or not yet")
	errGuests      = fmt.Errorf("cluster: %d nodes have streams to this one already", GuestsMax)
	errGuestCalls  = fmt.Errorf("%w: more than %d calls of one node are out", stream.ErrFrame, GuestCallsMax)
	errAnotherLink = errors.New("cluster: the node has opened another stream")
)

// guest is a node whose calls this leader looks after, in one of its lives. It is their asker here: what the node says is
// carried out by the same stages as a call of this process. It belongs to the goroutine of leader, and ends with the leadership.
type guest struct {
	n          *Node
	who        stream.Identity
	link       *stream.Link // nil while the node is away
	calls      map[uint64]*call
	levels     [gate.Classes]uint64 // as last sent
	line       Line                 // as last sent
	beat       bool                 // its heartbeat has been heard
	flows      uint64               // it says that it has let in without a place in the line
	flowsTaken uint64               // of these, those counted here
	signIns    float64              // it says that it can check a second
	parted     gate.Time            // when link became nil
	reported   bool                 // its calls inside the core are known
	core       breaker              // its connection to the core, as far as its calls show
	up         gate.Time            // since when its process has been running, at the latest
	about      []byte               // what it tells of itself; nil: nothing yet
	clockOff   *time.Duration       // how far its machine's clock is ahead of the journal's time; nil: it does not know
}

// visit is what a call has that came from another node.
type visit struct {
	guest   *guest
	id      uint64
	command []byte // as it came
	sent    int64  // the node's own time of sending, which its "go" gives back
	// arrived is when it was read: later than it was sent, which the leader's time of this turn need not be.
	arrived gate.Time
	term    uint64 // of the leadership that took it
	bad     bool
	granted bool         // and committed: nobody but this guest may be told
	told    bool         // its "go" was handed to a stream
	over    *stream.Link // by which it came last
}

// receive takes a node in, or says why not.
func (l *leader) receive(link *stream.Link, who stream.Identity) (*guest, error) {
	raise(&l.n.highestTerm, who.HighestTerm)
	if l.phase != ready || l.closing || who.HighestTerm > l.term {
		return nil, errNotLeading
	}
	g := l.guests[who.Node]
	if g != nil && g.who.Incarnation != who.Incarnation {
		l.gone(g, errAnotherLink)
		l.forsake(g)
		g = nil
	}
	if g == nil {
		if len(l.guests) >= GuestsMax {
			return nil, errGuests
		}
		g = &guest{n: l.n, who: who, calls: make(map[uint64]*call)}
		l.guests[who.Node] = g
		l.n.resolver.came(who.Node, who.Incarnation)
	}
	l.gone(g, errAnotherLink)
	g.link, g.reported = link, false
	l.n.guests.Add(1)
	g.levels = wordsFor(&l.words, &g.core, l.now)
	if err := link.Welcome(stream.Welcomed{Term: l.term, Levels: g.levels[:]}); err != nil {
		return nil, err
	}
	g.beat = false
	l.inform(g, g.levels)
	link.Beat(l.n.heartbeatAbout(link, l.term))
	l.reach() // it may be the first that can
	return g, nil
}

// spread tells the guests what has changed at the edge. It is called every 10 ms at most, but for changes of the breaker.
func (l *leader) spread() {
	for _, g := range l.guests {
		words := wordsFor(&l.words, &g.core, l.now)
		if g.link != nil && (g.levels != words || g.line != l.n.Line()) {
			l.inform(g, words)
		}
	}
}

func (l *leader) inform(g *guest, words [gate.Classes]uint64) {
	g.levels, g.line = words, l.n.Line()
	g.say(&wire.Message{Body: &wire.Message_Levels{Levels: &wire.Levels{Words: words[:], Line: putLine(&g.line)}}})
}

func (g *guest) say(m *wire.Message) {
	if g.link != nil {
		_ = g.link.Send(m) // an error has closed the link; its reader tells
	}
}

// gone follows a guest whose stream has ended: what waits is taken back, which is certain; what was offered goes on to its end.
func (l *leader) gone(g *guest, why error) {
	if g.link == nil {
		return
	}
	g.link.Close(why)
	g.link, g.parted = nil, l.now
	l.n.guests.Add(-1)
	for id, c := range g.calls {
		switch {
		case c.stage.CompareAndSwap(waiting, withdrawn):
			delete(g.calls, id)
			l.unqueue(c)
		case c.kind == kindSeat || c.visit.granted:
			// It may be inside the core, or on its way there. It keeps its seat as long as that is possible.
			if _, ok := l.calls[c.ticket]; ok {
				delete(l.calls, c.ticket)
				l.hush(c)
			}
		}
	}
	l.reach()
}

// unqueue forgets a call that was withdrawn while it waited.
func (l *leader) unqueue(c *call) {
	if l.calls[c.ticket] == c {
		delete(l.calls, c.ticket)
		if l.gate != nil {
			l.decide(l.gate.Withdraw(l.now, c.ticket, l.decisions[:0]))
		}
	}
	l.abandon(c)
}

// forsake gives up a life of a node that will not come back. Grants whose "go" was never handed to a stream are ended at
// once: it is certain that nobody sends them.
func (l *leader) forsake(g *guest) {
	if l.guests[g.who.Node] == g {
		delete(l.guests, g.who.Node)
		l.n.resolver.came(g.who.Node, 0)
	}
	for _, c := range g.calls {
		l.notTold(c)
	}
	clear(g.calls)
}

// notTold ends a grant whose "go" was never handed to a stream. The NotSent holds in this term only: then it stands in the log before
// whatever another leader grants to the same executor, or nowhere.
func (l *leader) notTold(c *call) {
	v := c.visit
	if c.kind != kindAuthorise || !v.granted || v.told || l.asked[c.payment] != nil {
		return
	}
	v.told = true
	ghost := &call{kind: kindAuthorise, payment: c.payment, visit: v}
	ghost.stage.Store(withdrawn)
	l.asked[c.payment] = ghost
	next := l.notSentFor(c)
	next.instead = ghost
	l.n.metrics.disowned.Inc()
	l.take(next)
}

// notSentFor says in a guest's name that it will not send, which this leader knows because it has not told it to.
func (l *leader) notSentFor(c *call) *call {
	executor := journal.Executor{Node: c.visit.guest.who.Node, Incarnation: c.visit.guest.who.Incarnation}
	next := notSentBy(c.payment, executor)
	next.bound = l.term
	return next
}

// lostByGuest deals with a guest's grant whose entry may or may not be in the log; see lost. When that leadership is over the
// grant's fate is another leader's to find out, which may be this node again: by then the guest may have been granted the payment anew.
func (l *leader) lostByGuest(c *call) {
	if l.phase != ready || c.visit.term != l.term {
		l.dismiss(c)
		return
	}
	delete(l.calls, c.ticket)
	l.hush(c)
	next := l.notSentFor(c)
	next.instead = c
	l.take(next)
}

// permit hands a "go" to the node that is to execute it, or keeps it for a while if that one is away.
func (l *leader) permit(c *call) {
	v := c.visit
	v.granted = true
	for _, f := range l.forget(c) {
		f.attach(c.result.Payment)
	}
	g := v.guest
	switch {
	case l.guests[g.who.Node] != g:
		l.hush(c)
		delete(l.calls, c.ticket)
		if l.phase == ready {
			l.notTold(c)
		}
	case g.link == nil:
		delete(l.calls, c.ticket)
		l.hush(c)
	default:
		g.goAhead(c, l.term)
	}
}

// goAhead says "go". good-for is counted from the sending of the call by the node's own clock: its time here before
// the grant, and send-by.
func (g *guest) goAhead(c *call, term uint64) {
	v := c.visit
	v.told = true
	g.say(&wire.Message{Body: &wire.Message_Go{Go: &wire.Go{
		Id: v.id, Term: term, SentUs: v.sent, GoodForUs: stream.Micros(c.granted - v.arrived + g.n.cfg.SendBy),
		Payment: stream.PutPayment(&c.result.Payment),
	}}})
}

// tell answers a call of a guest. It is called where a local call's asker is woken.
func (v *visit) tell(c *call) {
	g := v.guest
	r := &wire.Result{Id: v.id, Applied: c.applied}
	switch {
	case c.err != nil && !errors.Is(c.err, ErrTooLarge):
		// This leader is closing. The node asks the next one.
		delete(g.calls, v.id)
		return
	case c.err != nil:
		r.Error = wire.Error_ERROR_TOO_LARGE
	case c.refusal.Reason != gate.Admitted:
		r.Refusal, r.RetryAfterUs = uint32(c.refusal.Reason), stream.Micros(c.refusal.RetryAfter)
	default:
		r.Verdict = uint32(c.result.Verdict)
		r.Payment, r.Access = stream.PutPayment(&c.result.Payment), stream.PutAccess(&c.result.Access)
	}
	if c.kind != kindSeat || c.refusal.Reason != gate.Admitted {
		delete(g.calls, v.id)
	}
	g.say(&wire.Message{Body: &wire.Message_Result{Result: r}})
}

// tellApplied says how far this leader has applied the journal.
func (l *leader) tellApplied(c *call) {
	if term, leading := l.n.log.Leadership(); !leading || term != l.term {
		l.park(c) // the signal of that change is on its way
		return
	}
	c.applied = l.n.log.Stats().AppliedIndex
	if c.stage.CompareAndSwap(waiting, offered) {
		c.finish()
	}
}

// said takes what a guest says, in its order.
func (l *leader) said(g *guest, link *stream.Link, all []visitMessage) {
	for i := range all {
		if g.link != link {
			return
		}
		m := &all[i]
		switch {
		case m.call != nil && m.answered == nil:
			l.called(g, m.call)
		case m.answered != nil:
			l.guestAnswered(g, m.answered, m.call)
		case m.withdraw != nil:
			l.guestWithdraws(g, m.withdraw)
		case m.open != nil:
			l.opened(g, m.open)
		case m.about != nil:
			g.about = m.about
		case m.beat != nil:
			g.tellsTime(m.beat)
			if err := g.beaten(m.beat); err != nil {
				link.Close(err)
				l.gone(g, err)
			}
		case m.leaving:
			l.gone(g, ErrClosed)
		case m.err != nil:
			link.Close(m.err)
			l.gone(g, m.err)
		}
	}
}

// called takes a guest's call, for the first time or again: what is under way with the same id is not offered twice.
func (l *leader) called(g *guest, c *call) {
	v := c.visit
	v.guest, v.term, v.over = g, l.term, g.link
	if first := g.calls[v.id]; first != nil {
		l.calledAgain(g, first)
		return
	}
	if len(g.calls) >= GuestCallsMax {
		g.link.Close(errGuestCalls)
		l.gone(g, errGuestCalls)
		return
	}
	c.asked, c.deadline = l.now, l.now+c.deadline
	g.calls[v.id] = c
	switch {
	case v.bad:
		c.result.Verdict = journal.BadCommand
		c.finish()
	case c.size > entryRoom:
		c.fail(ErrTooLarge)
	default:
		l.take(c)
	}
}

func (l *leader) calledAgain(g *guest, c *call) {
	v := c.visit
	v.over = g.link
	if l.silent[c.ticket] == c { // the node is back
		l.unsilence(c)
		l.calls[c.ticket] = c
	}
	switch {
	case c.kind == kindSeat && c.stage.Load() == offered:
		v.tell(c)
	case v.granted:
		// It says that it has not been told, or that what it was told came over a stream that has ended.
		g.goAhead(c, l.term)
	}
}

// guestWithdraws answers an asker that has left: whether anything was done is decided here, by the same compare-and-swap
// as for a call of this process.
func (l *leader) guestWithdraws(g *guest, w *wire.Withdraw) {
	r := &wire.Result{Id: w.Id, Error: wire.Error_ERROR_WITHDRAWN}
	c := g.calls[w.Id]
	switch {
	case c == nil:
		if len(w.Payment) == len(journal.PaymentID{}) {
			// Answered before, or never heard of. What has become of the payment tells the node whether it was granted it.
			p, _ := l.n.payment(journal.PaymentID(w.Payment))
			r.Payment = stream.PutPayment(&p)
		}
	case c.stage.CompareAndSwap(waiting, withdrawn):
		delete(g.calls, w.Id)
		l.unqueue(c)
	default:
		r.Error = wire.Error_ERROR_OFFERED
	}
	g.say(&wire.Message{Body: &wire.Message_Result{Result: r}})
	if c != nil && r.Error == wire.Error_ERROR_OFFERED && c.visit.over != g.link {
		l.calledAgain(g, c) // over this stream it has not heard what came of it
	}
}

// guestAnswered frees the seat of a guest's call that has ended, and takes the outcome's command.
func (l *leader) guestAnswered(g *guest, a *wire.Answered, next *call) {
	end := &ending{
		id: a.Id, silent: a.Silent, late: a.Late,
		answer: Answer{Elapsed: max(stream.Duration(a.ElapsedUs), 0), Unreachable: a.Unreachable, Word: InDoubt},
	}
	if a.NotSent {
		end.answer.Word = NotSent
	}
	if a.Unreachable {
		end.answer.Err = fmt.Errorf("node %d: %s", g.who.Node, a.Why[:min(len(a.Why), whyMax)])
	}
	if len(a.Payment) == len(end.payment) {
		end.payment = journal.PaymentID(a.Payment)
	}
	if c := g.calls[a.Id]; c != nil && (c.kind == kindSeat && c.stage.Load() == offered || c.visit.granted) {
		delete(g.calls, a.Id)
		l.answered(event{call: c, silent: a.Silent, answer: end.answer})
	} else {
		l.ended(end)
		switch {
		case a.NotSent && a.Unreachable:
			l.coreFailed(g, fmt.Sprint(end.answer.Err))
		case end.answer.Elapsed > 0 && !a.Silent:
			l.coreReached(g)
		}
	}
	if next != nil {
		l.called(g, next)
	}
}

// ended frees the seat of a payment that another leadership granted, as soon as the core has said all of it.
func (l *leader) ended(e *ending) {
	if e.silent || e.payment == (journal.PaymentID{}) {
		return
	}
	if t, ok := l.unhush(e.payment); ok {
		l.release(t, e.answer.Elapsed, e.late)
	}
}

// unsilence takes a call from those that nobody waits for.
func (l *leader) unsilence(c *call) {
	if l.silent[c.ticket] != c {
		return
	}
	delete(l.silent, c.ticket)
	if l.seatOf[c.payment] == c.ticket {
		delete(l.seatOf, c.payment)
	}
}

// opened takes a guest's report of its calls inside the core that are in no journal. Those that this leader gave seats to and that are neither
// reported nor asked for again over this stream are over.
func (l *leader) opened(g *guest, o *wire.Open) {
	g.reported, g.up = true, l.now-max(stream.Duration(o.UpUs), 0)
	inside := make(map[uint64]bool, len(o.Seats))
	for _, s := range o.Seats {
		inside[s.GetId()] = true
		l.openSeat(g, s)
	}
	for id, c := range g.calls {
		if c.kind == kindSeat && c.stage.Load() == offered && !inside[id] && c.visit.over != g.link {
			delete(g.calls, id)
			l.unsilence(c)
			l.release(c.ticket, 0, false)
		}
	}
}

// openSeat counts one call that an earlier leader, or this one over an earlier stream, has let into the core.
func (l *leader) openSeat(g *guest, s *wire.Seat) {
	if c := g.calls[s.GetId()]; c != nil {
		if l.silent[c.ticket] == c && !s.GetSilent() {
			l.unsilence(c)
			l.calls[c.ticket] = c
		}
		return
	}
	if len(g.calls) >= GuestCallsMax {
		return // more than the gate can count
	}
	l.ticket++
	c := &call{
		kind: kindSeat, class: gate.Class(min(s.GetClass(), uint32(gate.Classes-1))), weight: s.GetWeight(), ticket: l.ticket,
		granted: l.now - min(max(stream.Duration(s.GetAgeUs()), 0), l.n.cfg.silence()),
		visit:   &visit{guest: g, id: s.GetId(), over: g.link},
	}
	c.stage.Store(offered)
	if !l.gate.Occupy(l.now, c.ticket, c.class, c.weight, c.granted) {
		return
	}
	g.calls[s.GetId()] = c
	if s.GetSilent() {
		l.hush(c)
		return
	}
	l.calls[c.ticket] = c
}

// allReported says that every call that an earlier leader let into the core without an entry is known: all members have
// reported, and none of them is so young that an earlier life of its may have left something there.
func (l *leader) allReported() bool {
	if l.n.cfg.Members == nil {
		return false
	}
	old := func(since gate.Time) bool { return l.now-since >= l.n.cfg.silence() }
	if !old(0) {
		return false
	}
	for _, id := range l.n.cfg.Members() {
		if id == l.n.executor.Node {
			continue
		}
		if g := l.guests[id]; g == nil || !g.reported || !old(g.up) {
			return false
		}
	}
	return true
}

// seeGuests gives up, now and then, what guests that are away have left.
func (l *leader) seeGuests() {
	for _, g := range l.guests {
		if g.link != nil {
			l.probe(g)
			continue
		}
		for id, c := range g.calls {
			if c.visit.granted && !c.visit.told && l.now-c.granted >= l.n.cfg.SendBy {
				delete(g.calls, id)
				l.notTold(c)
			}
		}
		if l.now-g.parted >= l.n.cfg.silence()+time.Second {
			l.forsake(g)
		}
	}
}

// over forgets a guest's call whose seat has ended by time.
func (l *leader) over(c *call) {
	delete(l.away.inside, c.id)
	if v := c.visit; v != nil && v.guest.calls[v.id] == c {
		delete(v.guest.calls, v.id)
	}
}

// dismiss forgets a guest's call for which nothing was done here and nothing will be.
func (l *leader) dismiss(c *call) {
	if v := c.visit; v.guest.calls[v.id] == c {
		delete(v.guest.calls, v.id)
	}
	c.stage.CompareAndSwap(waiting, withdrawn)
	l.abandon(c)
}

// sendHome ends all streams to this node, at the end of its leadership. What the guests had here they repeat at the next
// leader; of what is inside the core, payments keep their seats for the case that this node leads again.
func (l *leader) sendHome() {
	for _, g := range l.guests {
		if g.link != nil {
			g.link.Close(errNotLeading)
			g.link = nil
			l.n.guests.Add(-1)
		}
		clear(g.calls)
	}
	clear(l.guests)
	l.n.resolver.forget()
	for t, c := range l.calls {
		if c.visit == nil {
			continue
		}
		delete(l.calls, t)
		switch {
		case c.stage.CompareAndSwap(waiting, withdrawn):
			l.abandon(c)
		case c.kind == kindAuthorise && c.visit.granted:
			l.hush(c)
		}
	}
	for t, c := range l.silent {
		if c.visit != nil && c.kind == kindSeat {
			delete(l.silent, t)
		}
	}
	for _, c := range l.asked {
		if c.visit != nil {
			for _, f := range l.forget(c) {
				f.free()
				l.elsewhere(f)
			}
		}
	}
}
