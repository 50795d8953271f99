package gate

import "time"

// Constants of the stall rule, tuned in simulation.
const (
	patienceMin     = 250 * time.Millisecond
	patienceAnswers = 20 // answers that should have come by now, and not one did
)

// seats is how many calls can be expected to pass through the core at once, without Resolve's own.
func (g *Gate) seats() int {
	if g.stalled {
		return g.limit.probing()
	}
	return g.limit.seats()
}

// free reports whether one of the seats of all classes is free. In a stall, probes are counted by themselves: calls that the
// core has lost, and that fill seats until the core limit, must not keep us from noticing that it is back.
func (g *Gate) free() bool {
	return g.shared() < g.limit.seats() && (!g.stalled || g.probes < g.limit.probing())
}

// shared is how many of the seats of all classes are taken. Resolve sits on its own seats first.
func (g *Gate) shared() int { return g.taken - min(g.takenOf[Resolve], ResolveSeats) }

// crowded reports whether more than half of the seats are taken. Below that, estimates turn nobody away: a gate that has
// seen a slow spell would otherwise believe for ever that nothing can be done in time, since nothing would be tried.
func (g *Gate) crowded() bool { return 2*g.shared() > g.seats() }

func (g *Gate) hasOwnSeat(class Class) bool {
	return class == Resolve && g.takenOf[Resolve] < ResolveSeats
}

// seatFor reports whether a seat is free for this class.
func (g *Gate) seatFor(class Class) bool {
	return !g.breaker && (g.hasOwnSeat(class) || g.free())
}

// owed reports whether a class holds less than its guaranteed share. Whole seats are counted; what rounding takes
// away, which at a small limit is everything, comes back as credit: each start earns every class its share of the work
// started, up to one debit, and a class that has saved up one debit is owed a seat.
func (g *Gate) owed(class Class) bool {
	return g.takenOf[class] < int(g.shares[class]*float64(g.seats())) || g.shares[class] > 0 && g.credit[class] >= workUnit
}

// choose finds the class that takes the next seat: one that is owed a seat, else the best. Resolve's own seats come before
// all, since nobody else can sit there.
func (g *Gate) choose() (class Class, owed, any bool) {
	if g.queue.length == 0 || g.breaker {
		return 0, false, false
	}
	if g.queue.lengthOf[Resolve] > 0 && g.takenOf[Resolve] < ResolveSeats {
		return Resolve, false, true
	}
	if !g.free() {
		return 0, false, false
	}
	best := Class(Classes)
	for c := Class(0); c < Classes; c++ {
		if g.queue.lengthOf[c] == 0 {
			continue
		}
		if g.owed(c) {
			return c, true, true
		}
		best = min(best, c)
	}
	return best, false, best < Classes
}

// fill starts what waits while there are seats, and refuses what it finds too late.
func (g *Gate) fill(out []Decision) []Decision {
	for {
		class, owed, any := g.choose()
		if !any {
			return out
		}
		slot, lane := g.queue.next(class)
		e := &g.entries[slot]
		if g.tooLate(e) {
			out = g.drop(slot, TooLate, out)
			continue
		}
		g.queue.lanes[lane].deficit -= e.cost
		g.queue.remove(slot)
		out = g.start(slot, owed, out)
	}
}

// start gives an entry, which is in no queue, its seat.
func (g *Gate) start(slot int32, owed bool, out []Decision) []Decision {
	e := &g.entries[slot]
	g.charge(e.class, e.cost, owed)
	if g.stalled {
		e.stall = g.stall
		g.probes++
	}
	g.seat(slot, g.now)
	if g.seek.enabled {
		g.seek.starts(g.now, e.cost)
	}
	g.counts[e.class][Admitted]++
	g.rushes[e.class].decided(g.now, false)
	return append(out, Decision{Ticket: e.ticket, Action: Start})
}

// charge keeps the credits: a start earns every class its share, and costs the class that started. A seat that was lent
// costs what was saved at most: nobody goes into debt for using what nobody else wanted.
func (g *Gate) charge(class Class, cost work, owed bool) {
	if owed {
		g.credit[class] -= cost
	} else {
		g.credit[class] = max(min(g.credit[class], 0), g.credit[class]-cost)
	}
	for c := range g.credit {
		if g.shares[c] > 0 {
			g.credit[c] = min(g.credit[c]+work(g.shares[c]*float64(cost)), workUnit)
		}
	}
}

// seat puts an entry among the seats, which are kept in the order of their grants.
func (g *Gate) seat(slot int32, granted Time) {
	e := &g.entries[slot]
	e.place, e.granted = inside, granted
	before := g.youngest
	for before != none && g.entries[before].granted > granted {
		before = g.entries[before].prev // only a seat found by a new leader walks here
	}
	e.prev, e.next = before, g.oldest
	if before == none {
		g.oldest = slot
	} else {
		e.next = g.entries[before].next
		g.entries[before].next = slot
	}
	if e.next == none {
		g.youngest = slot
	} else {
		g.entries[e.next].prev = slot
	}
	g.taken++
	g.takenOf[e.class]++
	g.workInside[e.class] += e.cost
	g.workInsideAll += e.cost
	if e.found {
		return
	}
	if g.own.calls == 0 {
		g.quietSince = g.now
	}
	g.own.calls++
	g.own.work += e.cost
	g.own.granted += int64(granted)
}

// unseat ends a seat and forgets its entry.
func (g *Gate) unseat(slot int32) {
	e := &g.entries[slot]
	if e.prev == none {
		g.oldest = e.next
	} else {
		g.entries[e.prev].next = e.next
	}
	if e.next == none {
		g.youngest = e.prev
	} else {
		g.entries[e.next].prev = e.prev
	}
	g.taken--
	g.takenOf[e.class]--
	g.workInside[e.class] -= e.cost
	g.workInsideAll -= e.cost
	if e.stall == g.stall && g.stall > 0 {
		g.probes--
	}
	if !e.found {
		g.own.calls--
		g.own.work -= e.cost
		g.own.granted -= int64(e.granted)
	}
	g.leave(slot)
}

// calls sums up the calls inside that this gate started itself: those of which it may expect an answer.
type calls struct {
	calls   int
	work    work
	granted int64 // sum of the grant times, modulo 2^64
}

// ages is the sum of the ages of these calls, in ns. Both terms wrap around; their difference, at most SeatsMax times
// the core limit, does not.
func (c *calls) ages(now Time) int64 { return int64(c.calls)*int64(now) - c.granted }

// patience is how long the core may be silent, with calls inside, before it counts as stalled: as long as twenty answers
// take, never less than 250 ms, and never longer than a call may be inside. The rule is our own, from simulation.
func (g *Gate) patience() time.Duration {
	expected := time.Duration(patienceAnswers * g.estimate.stretch / float64(max(g.own.calls, 1)))
	return min(max(patienceMin, expected), g.coreLimit)
}

// swallow finds how many calls inside the core, or the way to it, has probably lost: they have been inside for twenty times as long as a debit takes.
// With few seats these would soon hold all of them, until the core limit. So they do not count among the seats that the search has found, as far as those need no proof. When
// the next one will count is in swallowsAt, or never.
func (g *Gate) swallow() {
	after := max(patienceMin, min(time.Duration(patienceAnswers*g.seek.slowness), g.coreLimit))
	g.swallowed, g.swallowsAt = 0, never
	for slot := g.oldest; slot != none && g.swallowed < seekRoom-g.seek.seats; slot = g.entries[slot].next {
		if at := g.entries[slot].granted + after; at > g.now {
			g.swallowsAt = at
			break
		}
		g.swallowed++
	}
	g.limit.wish(g.seek.seats + g.swallowed)
}

// heard notes a sign of life. A stall ends with the next answer and with nothing else: not with the calls that are given
// up at the core limit, or a dead core would be filled to its limit every time.
func (g *Gate) heard() {
	g.quietSince = g.now
	g.stalled = false
}

// lateAt is when a waiting entry can no longer be answered in time: when a typical call would outlast its deadline.
// While the core is not crowded, only the deadline itself counts.
func (g *Gate) lateAt(e *entry) Time {
	if !g.crowded() || e.class == Resolve && g.hasOwnSeat(Resolve) {
		return e.deadline
	}
	return e.deadline - time.Duration(g.estimate.typical(e.cost))
}

func (g *Gate) tooLate(e *entry) bool { return g.now >= g.lateAt(e) }
