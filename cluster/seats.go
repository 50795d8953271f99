package cluster

import (
	"fmt"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
)

// Relative costs of the core's operations, by the demands of the reference core (a debit is 1).
const (
	weightDebit   = 1.0
	weightInquiry = 0.2
	weightReverse = 0.75
)

// offer asks the gate for a call's seat.
func (l *leader) offer(c *call) {
	if c.kind == kindAuthorise {
		if first := l.asked[c.payment]; first != nil && first != c {
			l.followUp(first, c)
			return
		}
	}
	switch {
	case l.n.clock.stopped.Load() && c.class != gate.Resolve:
		l.refused(c, gate.NoLeader, time.Second)
		return
	case c.kind == kindSeat && !l.mayOthers && c.class != gate.Resolve:
		l.refused(c, gate.NoLeader, max(l.started+l.n.cfg.silence()-l.now, 0))
		return
	case !l.shut && c.class != gate.Resolve && l.cutOff(c):
		l.refused(c, gate.Breaker, l.connectionOf(c).again(l.now))
		return
	case c.kind == kindAuthorise && c.visit == nil && l.n.executors.Load() >= ExecutorsMax:
		l.refused(c, gate.QueueFull, time.Second)
		return
	}
	l.ticket++
	c.ticket = l.ticket
	l.calls[c.ticket] = c
	if c.kind == kindAuthorise {
		l.asked[c.payment] = c
		l.confirming(c)
	}
	budget := c.deadline - l.now
	if c.within > 0 {
		budget = min(budget, c.within)
	}
	l.decide(l.gate.Offer(l.now, gate.Offer{
		Ticket: c.ticket, Class: c.class, Tier: c.tier, Partner: c.partner, Weight: c.weight, Budget: budget,
	}, l.decisions[:0]))
}

// followUp hangs a second confirmation of a payment on the first: together they take one seat.
func (l *leader) followUp(first, c *call) {
	if first.went || len(first.followers) >= FollowersMax {
		// No refusal: the first one may be granted in the next moment, and "nothing was done" would be told of a payment that is
		// made. It waits for the outcome, and asks for nothing itself.
		p, _ := l.n.payment(c.payment)
		c.attach(p)
		return
	}
	if s := first.stage.Load(); (s == offered || s == abroad) && !c.stage.CompareAndSwap(waiting, s) && c.stage.Load() != abroad {
		return // its asker has left
	}
	first.followers = append(first.followers, c)
}

// join makes the followers of a granted confirmation share its fate: from here on none of them is told "not charged".
func (c *call) join() {
	for _, f := range c.followers {
		if !f.stage.CompareAndSwap(waiting, offered) {
			f.stage.CompareAndSwap(abroad, offered)
		}
	}
}

// attach answers a call that hung on another one, or came after it: it follows the payment's outcome.
func (c *call) attach(p journal.Payment) {
	if c.stage.CompareAndSwap(waiting, offered) || c.stage.CompareAndSwap(abroad, offered) || c.stage.Load() == offered {
		c.result = journal.Result{Verdict: journal.Attached, Payment: p}
		c.finish()
	}
}

// decide carries out what the gate has decided. Carrying out may free seats, which leads to more decisions.
func (l *leader) decide(decisions []gate.Decision) {
	for i := 0; i < len(decisions); i++ {
		d := decisions[i]
		c := l.calls[d.Ticket]
		if c == nil {
			continue
		}
		if d.Action == gate.Refuse {
			delete(l.calls, d.Ticket)
			l.refused(c, d.Reason, d.RetryAfter)
			continue
		}
		if !c.stage.CompareAndSwap(waiting, offered) { // its asker has left
			delete(l.calls, d.Ticket)
			decisions = l.gate.Answer(l.now, d.Ticket, 0, false, decisions)
			l.abandon(c)
			continue
		}
		c.granted = l.now
		l.n.metrics.waited(c.class, l.now-c.asked)
		if c.kind == kindSeat {
			c.finish()
			continue
		}
		c.join()
		l.urgent.push(c)
	}
	l.decisions = decisions[:0]
}

// refused tells a call that nothing was done for it, unless its payment was granted to another meanwhile.
func (l *leader) refused(c *call, reason gate.Reason, retryAfter time.Duration) {
	if c.kind == kindAuthorise && !l.stillReceived(c) {
		l.abandon(c)
		return
	}
	if c.stage.CompareAndSwap(waiting, withdrawn) {
		l.n.metrics.refused(c.class, reason)
		c.refuse(reason, retryAfter)
	}
	l.abandon(c)
}

// abandon forgets a confirmation that leads nowhere. Those who hung on it ask for themselves: their budgets and sessions
// are their own.
func (l *leader) abandon(c *call) {
	followers := l.forget(c)
	for _, f := range followers {
		f.free()
		l.n.inbox.push(event{call: f}, true)
	}
}

// free makes a call wait for itself again, whose companion has come to nothing. What has been sent to another leader itself stays uncertain.
func (c *call) free() {
	if !c.stage.CompareAndSwap(offered, waiting) && c.id == 0 {
		c.stage.CompareAndSwap(abroad, waiting)
	}
}

// forget takes a confirmation from the table of those that wait, and gives its followers.
func (l *leader) forget(c *call) []*call {
	if c.kind == kindAuthorise && l.asked[c.payment] == c {
		delete(l.asked, c.payment)
	}
	return l.followersOf(c)
}

// followersOf takes a confirmation's followers from it.
func (l *leader) followersOf(c *call) []*call {
	followers := c.followers
	c.followers = nil
	return followers
}

// release frees a seat of which the core has said all, or to which nothing was sent.
func (l *leader) release(t gate.Ticket, elapsed time.Duration, late bool) {
	delete(l.calls, t)
	if l.phase == ready {
		l.decide(l.gate.Answer(l.now, t, elapsed, late, l.decisions[:0]))
	}
}

// answered takes the end of a core call. The seat is free now, not when the outcome is committed: a slow disk is not a
// slow core.
func (l *leader) answered(e event) {
	c, a := e.call, &e.answer
	c.over, c.mute = true, e.silent
	if l.phase != ready {
		l.answeredAway(e)
		return
	}
	delete(l.away.inside, c.id)
	if e.silent {
		delete(l.calls, c.ticket)
		l.hush(c)
	} else {
		l.unsilence(c)
		l.release(c.ticket, a.Elapsed, false)
	}
	switch v := c.visit; {
	case v != nil && a.Word == NotSent && a.Unreachable:
		l.coreFailed(v.guest, fmt.Sprint(a.Err))
	case v != nil && a.Elapsed > 0 && !e.silent:
		l.coreReached(v.guest)
	case v == nil:
		l.breaker.noted(l, a, e.silent)
	}
	if e.next != nil {
		l.take(e.next)
	}
}

// late takes an answer that came after its call had been given up.
func (l *leader) late(id journal.PaymentID, elapsed time.Duration, next *call) {
	if l.phase != ready {
		l.lateAway(id, elapsed, next)
		return
	}
	if t, ok := l.unhush(id); ok {
		l.release(t, elapsed, true)
	}
	l.breaker.reached(l)
	if next != nil {
		l.take(next)
	}
}

// publishEdge tells the edge what the gate would refuse now, however long the asker could wait.
func (l *leader) publishEdge() {
	if l.phase != ready {
		return
	}
	levels := l.gate.Level()
	stopped := l.n.clock.stopped.Load()
	for class := range levels {
		weight, budget := weightDebit, BudgetMax
		if gate.Class(class) == gate.Inquiry {
			weight, budget = weightInquiry, BalanceBudget
		}
		reason, retryAfter := levels[class].Refuses(weight, budget)
		if stopped {
			reason, retryAfter = gate.NoLeader, time.Second
		}
		l.words[class] = packRefusal(reason, retryAfter)
	}
	for class, word := range wordsFor(&l.words, &l.breaker, l.now) {
		l.n.edge[class].Store(word)
	}
	if len(l.guests) > 0 {
		l.spread()
	}
}

// wordsFor gives the refusals for a node with this connection to the core.
func wordsFor(words *[gate.Classes]uint64, b *breaker, now gate.Time) [gate.Classes]uint64 {
	theirs := *words
	for class := range theirs {
		if b.shut() && theirs[class]&0xff == uint64(gate.Admitted) {
			theirs[class] = packRefusal(gate.Breaker, b.again(now))
		}
	}
	return theirs
}

// packRefusal puts a refusal into one word, so that the edge reads it with one load: milliseconds, then the reason.
func packRefusal(reason gate.Reason, retryAfter time.Duration) uint64 {
	return uint64(min(max(retryAfter, 0), time.Hour)/time.Millisecond)<<8 | uint64(reason)
}

func unpackRefusal(word uint64) (Refusal, bool) {
	reason := gate.Reason(word & 0xff)
	return Refusal{Reason: reason, RetryAfter: time.Duration(word>>8) * time.Millisecond}, reason != gate.Admitted
}
