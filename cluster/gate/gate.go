package gate

import "time"

// Gate decides who enters the core. It is not safe for concurrent use: one goroutine owns it. The time given
// with an event must not lie before that of an earlier one; if it does, the earlier one's is used.
//
// Every event first lets the time pass, as Tick does, so that decisions about other tickets may come with any event.
type Gate struct {
	now          Time
	limit        limit
	queueMax     int
	coreLimit    time.Duration
	shares       [Classes]float64
	credit       [Classes]work // see owed
	closed       [Classes]bool
	ignoreStalls bool
	estimate     estimate

	entries  []entry
	unused   []int32 // slots of entries
	slotOf   index   // ticket -> entry
	queue    queue
	takenOf  [Classes]int
	taken    int   // seats taken, over all classes
	oldest   int32 // the seats in the order of their grants
	youngest int32

	workInside    [Classes]work
	workInsideAll work
	own           calls

	quietSince   Time // the last answer, or the grant that ended an empty core
	stalled      bool
	stall        uint32 // number of the last stall, from 1
	probes       int    // calls inside that were started in this stall
	breaker      bool
	breakerSince Time

	counts [Classes][Reasons]uint64
	rushes [Classes]rush
	done   work // answered
	others work // admitted of what is no flow's, less what was dropped again
	tally  Tally
	seek   seek

	swallowed  int // calls that are probably lost, and have no part in the limit that seek has found
	swallowsAt Time
}

// New makes a gate of a configuration that Validate accepts. A configuration that it does not accept is replaced
// by the defaults as a whole. All memory that the gate ever uses is allocated here: about 2 MB with the defaults.
func New(c Config) *Gate {
	if c.Validate() != nil {
		c = Config{}
	}
	climbs := c.Limit == 0
	c = c.withDefaults()
	entries := make([]entry, c.QueueMax+SeatsMax)
	g := &Gate{
		limit:        limit{}.of(c.Limit, c.Ceiling),
		queueMax:     c.QueueMax,
		coreLimit:    c.CoreLimit,
		ignoreStalls: c.IgnoreStalls,
		shares:       c.Shares,
		estimate:     newEstimate(c.ServiceTime),
		entries:      entries,
		unused:       make([]int32, len(entries)),
		slotOf:       newIndex(len(entries)),
		queue:        newQueue(entries, c.QueueMax, c.Shares, c.PartnerWeights),
		oldest:       none,
		youngest:     none,
	}
	if c.Seek {
		g.seek.start(0, c.Limit, climbs, c.ServiceTime, c.SeekSeed, c.Ceiling)
		g.limit.wish(g.seek.seats)
	}
	for i := range g.unused {
		g.unused[i] = int32(len(entries) - 1 - i)
	}
	return g
}

// Offer asks for a seat. The decision about it is appended to out, now or by a later event. An offer whose ticket
// the gate already knows is ignored. A class, tier, weight or budget out of its range counts as the nearest in range.
func (g *Gate) Offer(now Time, o Offer, out []Decision) []Decision {
	out = g.pass(now, out)
	if g.slotOf.get(uint64(o.Ticket)) != none {
		return out
	}
	o.Class = min(o.Class, Classes-1)
	o.Tier = min(o.Tier, Tiers-1)
	o.Budget = min(o.Budget, BudgetMax)
	cost := workOf(o.Weight)

	level := g.level(o.Class, g.queue.ahead(o.Class, o.Tier, o.Partner, cost))
	full := g.queue.full(o.Class, o.Tier, o.Partner) && !g.seatFor(o.Class)
	if full && level.Shut == Admitted && g.queue.givesWay(o.Class) == none {
		level.Shut, level.RetryAfter = g.fullFor(o.Class, level.Wait)
	}
	reason, retry := level.Shut, level.RetryAfter
	if reason == Admitted {
		reason, retry = level.infeasible(cost, o.Budget)
	}
	if reason != Admitted {
		return g.refuse(o.Ticket, o.Class, reason, retry, out)
	}
	if full {
		out = g.drop(g.queue.givesWay(o.Class), QueueFull, out)
	}
	slot := g.enter(o.Ticket, o.Class, cost)
	g.bring(o.Class, cost)
	e := &g.entries[slot]
	e.tier, e.deadline, e.budget = o.Tier, g.now+o.Budget, o.Budget
	if g.queue.lengthOf[o.Class] == 0 && g.seatFor(o.Class) && !g.tooLate(e) {
		// Nobody who waits can take this seat, or it would be taken.
		return g.start(slot, false, out)
	}
	g.queue.add(slot, o.Partner)
	return g.fill(out)
}

// Withdraw takes back an offer whose asker has left the queue: no decision is given for it any more. It has no
// effect on a ticket that has a seat: what is inside the core stays inside.
func (g *Gate) Withdraw(now Time, t Ticket, out []Decision) []Decision {
	// Before time passes: what becomes due at this very moment would decide about it once more.
	if slot := g.slotOf.get(uint64(t)); slot != none && g.entries[slot].place == queued {
		g.queue.remove(slot)
		g.bring(g.entries[slot].class, -g.entries[slot].cost)
		g.leave(slot)
		g.tally.Withdrawn++
	}
	return g.pass(now, out)
}

// Occupy counts a seat that was granted before this gate existed: a new leader finds it in the journal, or a node reports
// it. Nothing is decided about it. granted may lie before the origin of time. It reports false, and counts nothing,
// if the ticket is known, or if CeilingMax seats are taken. What such a call does not answer says nothing about the core,
// since its executor may have died with the earlier leader: it takes its seat, but counts in no estimate of a stall.
func (g *Gate) Occupy(now Time, t Ticket, class Class, weight float64, granted Time) bool {
	g.now = max(g.now, now)
	class = min(class, Classes-1)
	if g.shared() >= CeilingMax && !g.hasOwnSeat(class) || g.slotOf.get(uint64(t)) != none {
		return false
	}
	slot := g.enter(t, class, workOf(weight))
	g.entries[slot].found = true
	g.seat(slot, min(granted, g.now))
	return true
}

// Answer frees a seat: the core has answered the call, in time or late, after elapsed as measured at its socket. With
// elapsed <= 0 nothing was sent: the seat is free, and nothing is learnt from it.
// A late answer to a call whose seat has ended already still shows that the core is alive.
func (g *Gate) Answer(now Time, t Ticket, elapsed time.Duration, late bool, out []Decision) []Decision {
	out = g.pass(now, out)
	slot := g.slotOf.get(uint64(t))
	known := slot != none && g.entries[slot].place == inside
	if elapsed > 0 && (known || late) {
		g.heard()
		g.tally.Answers++
		if late {
			g.tally.Late++
		}
	}
	if known {
		if elapsed > 0 {
			e := &g.entries[slot]
			g.estimate.observe(min(elapsed, CoreLimitMax), e.cost)
			if g.own.work > 0 {
				g.estimate.observeAge(g.age())
			}
			g.done += e.cost
			if g.seek.enabled {
				g.seek.answer(g.now, e.granted, e.cost, elapsed, e.budget)
			}
		} else if g.seek.enabled {
			g.seek.unsent(g.entries[slot].granted, g.entries[slot].cost)
		}
		g.unseat(slot)
	}
	return g.fill(out)
}

// Tick lets time pass: seats end at the core limit, a silent core is found to be stalled, and what waits and can no longer
// be answered in time is refused.
func (g *Gate) Tick(now Time, out []Decision) []Decision { return g.pass(now, out) }

// SetLimit changes the number of seats, 1 to CeilingMax; the ceiling still holds. Calls inside stay inside. A gate that seeks its limit
// goes on from there.
func (g *Gate) SetLimit(now Time, seats int, out []Decision) []Decision {
	out = g.pass(now, out)
	g.limit.wish(min(max(seats, 1), CeilingMax))
	if s := &g.seek; s.enabled {
		s.start(g.now, g.limit.wished, false, time.Duration(s.slowness), s.random, g.limit.ceiling)
		g.limit.wish(s.seats)
	}
	return g.fill(out)
}

// SetCeiling changes the operator's upper bound of the limit, 1 to CeilingMax.
func (g *Gate) SetCeiling(now Time, seats int, out []Decision) []Decision {
	out = g.pass(now, out)
	g.limit.cap(min(max(seats, 1), CeilingMax))
	return g.fill(out)
}

// SetBreaker opens (on) or closes the breaker. While it is open the core cannot be reached: offers are refused, nothing
// starts, and what waits goes on waiting until its time runs out.
func (g *Gate) SetBreaker(now Time, on bool, out []Decision) []Decision {
	out = g.pass(now, out)
	if on && !g.breaker {
		g.breakerSince = g.now
	}
	g.breaker = on
	return g.fill(out)
}

// SetPlan keeps classes out by an operator's plan. What waits already keeps its place: it was not told no.
func (g *Gate) SetPlan(now Time, closed [Classes]bool, out []Decision) []Decision {
	out = g.pass(now, out)
	g.closed = closed
	return g.fill(out)
}

// Next tells when the next Tick can change anything, if no other event comes before; false if none can.
func (g *Gate) Next(now Time) (Time, bool) {
	next, any := Time(0), false
	earliest := func(t Time) {
		if !any || t < next {
			next, any = t, true
		}
	}
	if g.oldest != none {
		earliest(g.entries[g.oldest].granted + g.coreLimit)
		if g.maySeeStall() {
			earliest(g.quietSince + g.patience())
		}
	}
	if g.queue.length > 0 {
		earliest(g.lateAt(&g.entries[g.queue.byDeadline.nodes[0].slot]))
		if g.seek.enabled { // whose next arm may have a seat for one who waits
			if at, any := g.seek.next(g.stalled); any {
				earliest(at)
			}
			if g.swallowsAt != never {
				earliest(g.swallowsAt)
			}
		}
	}
	return max(next, g.now, now), any
}

// pass lets the time pass up to now.
func (g *Gate) pass(now Time, out []Decision) []Decision {
	g.now = max(g.now, now)
	if g.maySeeStall() && g.quietSince+g.patience() <= g.now {
		g.stalled, g.probes = true, 0
		g.stall++
	}
	if g.seek.enabled {
		g.seek.pass(g.now, max(g.shared()-g.swallowed, 0), g.wanted(), g.stalled, g.limit.ceiling)
	}
	taken, seats := g.taken, g.limit.seats()
	for g.oldest != none && g.entries[g.oldest].granted+g.coreLimit <= g.now {
		g.tally.Expired++
		g.unseat(g.oldest)
	}
	if g.seek.enabled {
		g.swallow()
	}
	for g.queue.length > 0 {
		slot := g.queue.byDeadline.nodes[0].slot
		if !g.tooLate(&g.entries[slot]) {
			break
		}
		out = g.drop(slot, TooLate, out)
	}
	if g.taken < taken || g.limit.seats() != seats {
		out = g.fill(out)
	}
	return out
}

// maySeeStall tells whether silence can make the core count as stalled.
func (g *Gate) maySeeStall() bool { return !g.stalled && !g.ignoreStalls && g.own.calls > 0 }

// wanted reports whether every seat is taken, or somebody waits for one.
func (g *Gate) wanted() bool { return g.queue.length > 0 || g.shared() >= g.limit.seats() }

// enter takes an entry from the slab. There is always one: the queue and the seats are bounded, and both fit.
func (g *Gate) enter(t Ticket, class Class, cost work) int32 {
	slot := g.unused[len(g.unused)-1]
	g.unused = g.unused[:len(g.unused)-1]
	e := &g.entries[slot]
	e.ticket, e.class, e.cost, e.budget, e.found, e.stall = t, class, cost, 0, false, 0
	g.slotOf.put(uint64(t), slot)
	return slot
}

// bring counts what is admitted that is no flow's, and takes back what is dropped again.
func (g *Gate) bring(class Class, cost work) {
	if class == Express || class == Resolve {
		g.others += cost
	}
}

func (g *Gate) leave(slot int32) {
	g.slotOf.remove(uint64(g.entries[slot].ticket))
	g.unused = append(g.unused, slot)
}

// refuse decides against work that has no entry.
func (g *Gate) refuse(t Ticket, class Class, reason Reason, retry time.Duration, out []Decision) []Decision {
	g.counts[class][reason]++
	if reason == TooLate || reason == QueueFull {
		g.rushes[class].decided(g.now, true)
	}
	return append(out, Decision{Ticket: t, Action: Refuse, Reason: reason, RetryAfter: retry})
}

// drop refuses what waits.
func (g *Gate) drop(slot int32, reason Reason, out []Decision) []Decision {
	t, class := g.entries[slot].ticket, g.entries[slot].class
	retry := max(retryIn(g.wait(class, g.queue.workOf[class], g.seatTime())), g.rushes[class].later(g.now))
	switch {
	case g.breaker:
		reason, retry = Breaker, g.again(g.breakerSince)
	case g.stalled:
		reason, retry = Stalled, g.again(g.quietSince)
	}
	g.queue.remove(slot)
	g.bring(class, -g.entries[slot].cost)
	g.leave(slot)
	return g.refuse(t, class, reason, retry, out)
}
