package gate

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// judge is what both testing.T and rapid.T can do.
type judge interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// fate is what the observer knows of a ticket.
type fate uint8

const (
	waiting fate = iota
	started
	refused
	withdrawn
	ended
)

// observer watches a gate from outside: it keeps its own simple account of every ticket, and checks each decision and
// each state against the rules. It shares no code with the gate but the limit in force.
type observer struct {
	t       judge
	g       *Gate
	now     Time
	known   map[Ticket]*watched
	order   []Ticket // all tickets, by arrival
	wished  int
	ceiling int
	limit   int // what follows from both
	shares  [Classes]float64
	breaker bool
	out     []Decision

	spare [Classes]float64 // debits that a class may start before better ones beyond its whole seats, at most one saved up
}

type watched struct {
	Offer
	deadline Time
	arrival  int
	fate     fate
	granted  Time
	stall    uint64 // the stall in which it was started
}

func observe(t judge, c Config) *observer {
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	c = c.withDefaults()
	return &observer{t: t, g: New(c), known: map[Ticket]*watched{}, wished: c.Limit, ceiling: c.Ceiling, limit: c.Limit, shares: c.Shares, spare: [Classes]float64{1, 1, 1, 1, 1}}
}

// event lets the time pass on its own first, so that what follows is the event's own doing.
func (o *observer) event(now Time, f func(out []Decision) []Decision) {
	o.now = now
	for _, w := range o.known {
		if w.fate == started && w.granted+o.g.coreLimit <= now {
			w.fate = ended
		}
	}
	for quiet := false; !quiet; { // a search for the limit may go on at once where a seat has just become free
		before := o.g.Snapshot()
		out := o.g.Tick(now, o.out[:0])
		o.judge(out)
		after := o.g.Snapshot()
		quiet = len(out) == 0 && before.Taken == after.Taken && before.Limit == after.Limit
	}
	if f != nil {
		o.judge(f(o.out[:0]))
	}
}

func (o *observer) offer(now Time, of Offer) {
	o.event(now, func(out []Decision) []Decision {
		if o.known[of.Ticket] == nil {
			o.known[of.Ticket] = &watched{Offer: of, deadline: now + of.Budget, arrival: len(o.order)}
			o.order = append(o.order, of.Ticket)
		}
		return o.g.Offer(now, of, out)
	})
}

// occupy finds a seat that an earlier leader has granted.
func (o *observer) occupy(now Time, of Offer, granted Time) {
	o.event(now, func(out []Decision) []Decision {
		if o.g.Occupy(now, of.Ticket, of.Class, of.Weight, granted) {
			o.known[of.Ticket] = &watched{Offer: of, arrival: len(o.order), fate: started, granted: granted}
			o.order = append(o.order, of.Ticket)
		}
		return out
	})
}

func (o *observer) answer(now Time, t Ticket, elapsed time.Duration) {
	o.event(now, func(out []Decision) []Decision {
		if w := o.known[t]; w != nil && w.fate == started {
			w.fate = ended
		}
		return o.g.Answer(now, t, elapsed, false, out)
	})
}

func (o *observer) withdraw(now Time, t Ticket) {
	o.event(now, func(out []Decision) []Decision {
		if w := o.known[t]; w != nil && w.fate == waiting {
			w.fate = withdrawn
		}
		return o.g.Withdraw(now, t, out)
	})
}

// probes counts what is inside and was started in the present stall.
func (o *observer) probes() (n int) {
	s := o.g.Snapshot()
	for _, w := range o.known {
		if s.Stalled && w.fate == started && w.stall == s.Tally.Stalls {
			n++
		}
	}
	return n
}

func (o *observer) inside() (all, resolve int) {
	for _, w := range o.known {
		if w.fate == started {
			all++
			if w.Class == Resolve {
				resolve++
			}
		}
	}
	return all, resolve
}

func (o *observer) judge(out []Decision) {
	if o.g.seek.enabled {
		o.limit = o.g.limit.seats()
		all, _ := o.inside()
		bound := math.Exp(o.g.seek.point+spreadMax) + 1
		if bound < seekRoom { // calls that take very long have no part in it
			bound = min(bound+float64(all), seekRoom)
		}
		if o.limit < 1 || float64(o.limit) > bound {
			o.t.Fatalf("seek allows %d seats with %d calls inside, its point is %.1f", o.limit, all, math.Exp(o.g.seek.point))
		}
	}
	for _, d := range out {
		w := o.known[d.Ticket]
		if w == nil {
			o.t.Fatalf("a decision about ticket %d, which was never offered", d.Ticket)
		}
		if w.fate != waiting {
			o.t.Fatalf("RefusedMeansNotCharged: a second decision %v about ticket %d", d, d.Ticket)
		}
		if d.Action == Refuse {
			if d.Reason == Admitted || d.RetryAfter < retryMin || d.RetryAfter > retryMax {
				o.t.Fatalf("a refusal needs a reason and a time to come again: %+v", d)
			}
			w.fate = refused
			continue
		}
		o.judgeStart(w)
		w.fate, w.granted = started, o.now
		if s := o.g.Snapshot(); s.Stalled {
			w.stall = s.Tally.Stalls
		}
	}
	o.judgeState()
}

func (o *observer) judgeStart(w *watched) {
	all, resolve := o.inside()
	own := w.Class == Resolve && resolve < ResolveSeats
	if shared := all - min(resolve, ResolveSeats); !own && shared >= o.limit {
		o.t.Fatalf("SeatsAreExact: ticket %d starts with %d of %d seats taken", w.Ticket, shared, o.limit)
	}
	if !own && o.g.stalled && o.probes() >= Probes {
		o.t.Fatalf("ticket %d starts in a stall with %d probes inside", w.Ticket, o.probes())
	}
	if o.breaker {
		o.t.Fatalf("ticket %d starts while the breaker is open", w.Ticket)
	}
	if o.now >= w.deadline {
		o.t.Fatalf("ticket %d starts after its deadline", w.Ticket)
	}
	inversion := false
	for _, t := range o.order {
		v := o.known[t]
		if v.fate != waiting || v == w {
			continue
		}
		inversion = inversion || v.Class < w.Class
		sameClass := v.Class == w.Class
		if sameClass && min(v.Tier, Tiers-1) < min(w.Tier, Tiers-1) {
			o.t.Fatalf("ticket %d of tier %d starts before %d of tier %d", w.Ticket, w.Tier, v.Ticket, v.Tier)
		}
		sameLane := sameClass && min(v.Tier, Tiers-1) == min(w.Tier, Tiers-1) && v.Partner == w.Partner
		if sameLane && (v.deadline < w.deadline || v.deadline == w.deadline && v.arrival < w.arrival) {
			o.t.Fatalf("EarliestDeadlineFirst: ticket %d (%v) starts before %d (%v)", w.Ticket, w.deadline, v.Ticket, v.deadline)
		}
	}
	o.judgeInversion(w, inversion)
}

// judgeInversion allows work to overtake a better class for its guaranteed share only: as whole seats, or as a part of all the work that is
// started, in any time, and one debit.
func (o *observer) judgeInversion(w *watched, inversion bool) {
	share := o.shares[w.Class]
	weight := min(max(w.Weight, WeightMin), WeightMax)
	if inversion {
		held := 0
		for _, v := range o.known {
			if v.fate == started && v.Class == w.Class {
				held++
			}
		}
		if held >= int(share*float64(o.g.seats())) {
			if share == 0 || o.spare[w.Class] <= 0 {
				o.t.Fatalf("StrictPriority: ticket %d of class %v starts before a better one; %d of its class are inside, and %.2f debits are beyond its share of %v",
					w.Ticket, w.Class, held, -o.spare[w.Class], share)
			}
			o.spare[w.Class] -= weight
		}
	}
	for c, share := range o.shares {
		o.spare[c] = min(o.spare[c]+share*weight, 1)
	}
}

func (o *observer) judgeState() {
	all, resolve := o.inside()
	shared := all - min(resolve, ResolveSeats)
	count, ofResolve := 0, 0
	for _, w := range o.known {
		if w.fate == waiting {
			count++
			if w.Class == Resolve {
				ofResolve++
			}
			if o.now >= w.deadline {
				o.t.Fatalf("EverythingIsBounded: ticket %d waits beyond its deadline", w.Ticket)
			}
		}
	}
	s := o.g.Snapshot()
	if s.Taken != all || s.Queued != count {
		o.t.Fatalf("SeatsAreExact: the gate counts %d inside and %d waiting, there are %d and %d", s.Taken, s.Queued, all, count)
	}
	idle := shared < o.limit && (!s.Stalled || o.probes() < min(Probes, o.limit))
	if !o.breaker && count > 0 && (idle || ofResolve > 0 && resolve < ResolveSeats) {
		o.t.Fatalf("WorkConservation: %d wait while %d of %d seats are taken", count, shared, o.limit)
	}
	if err := o.g.sound(); err != nil {
		o.t.Fatal(err)
	}
	next, any := o.g.Next(o.now)
	if (count > 0 || all > 0) && !any || next < o.now {
		o.t.Fatalf("Next says %v, %v at %v with %d inside and %d waiting", next, any, o.now, all, count)
	}
}

// sound checks that the gate's structures agree with each other and are within their bounds.
func (g *Gate) sound() error {
	if g.queue.length > g.queueMax || g.taken > SeatsMax {
		return fmt.Errorf("EverythingIsBounded: %d wait, %d inside", g.queue.length, g.taken)
	}
	if len(g.entries) != g.queueMax+SeatsMax || len(g.unused)+g.queue.length+g.taken != len(g.entries) || cap(g.unused) != len(g.entries) {
		return fmt.Errorf("EverythingIsBounded: %d entries, %d free", len(g.entries), len(g.unused))
	}
	lanes, heaped := 0, 0
	var sum, inside work
	for class := range g.queue.rings {
		sum += g.queue.workOf[class]
		inside += g.workInside[class]
		heaped += len(g.queue.latest[class].nodes)
		for tier, r := range g.queue.rings[class] {
			lanes += r.lanes
			if (r.lanes > 0) != (g.queue.tiers[class]&(1<<tier) != 0) || (r.lanes == 0) != (r.current == none) {
				return fmt.Errorf("class %d tier %d has %d lanes", class, tier, r.lanes)
			}
		}
	}
	if lanes+len(g.queue.freeLanes) != g.queueMax || cap(g.queue.freeLanes) != g.queueMax {
		return fmt.Errorf("%d lanes in use, %d free, of %d", lanes, len(g.queue.freeLanes), g.queueMax)
	}
	if heaped != g.queue.length || len(g.queue.byDeadline.nodes) != g.queue.length || inside != g.workInsideAll {
		return fmt.Errorf("%d wait, %d by class, %d by deadline", g.queue.length, heaped, len(g.queue.byDeadline.nodes))
	}
	if g.queue.length == 0 && sum != 0 || g.taken == 0 && (g.workInsideAll != 0 || g.own != (calls{}) || g.oldest != none || g.youngest != none) {
		return fmt.Errorf("something is left in an empty gate")
	}
	return nil
}

// anyConfig draws a small gate, so that every bound is met often.
func anyConfig(t *rapid.T) Config {
	c := Config{
		Limit:       rapid.IntRange(1, 24).Draw(t, "limit"),
		QueueMax:    rapid.IntRange(1, 24).Draw(t, "queue"),
		CoreLimit:   rapid.SampledFrom([]time.Duration{time.Second, 10 * time.Second}).Draw(t, "core limit"),
		ServiceTime: rapid.SampledFrom([]time.Duration{time.Millisecond, 50 * time.Millisecond}).Draw(t, "service time"),
	}
	c.Seek = rapid.Bool().Draw(t, "seek")
	if rapid.Bool().Draw(t, "weighted") {
		c.PartnerWeights = map[uint32]float64{1: 3, 2: 0.01}
	}
	if rapid.Bool().Draw(t, "shared") {
		c.Shares = [Classes]float64{Express: 0.3, SignIn: 0.1, Inquiry: 0.02}
	}
	return c
}

func anyOffer(t *rapid.T, ticket Ticket) Offer {
	return Offer{
		Ticket:  ticket,
		Class:   Class(rapid.IntRange(0, Classes-1).Draw(t, "class")),
		Tier:    uint8(rapid.IntRange(0, 5).Draw(t, "tier")),
		Partner: uint32(rapid.IntRange(0, 3).Draw(t, "partner")),
		Weight:  rapid.SampledFrom([]float64{1, 0.25, 1.5, 16, 0.01}).Draw(t, "weight"),
		Budget:  time.Duration(rapid.SampledFrom([]int{60_000, 61_000, 20_000, 4000, 2000, 500, 1, 0, -1}).Draw(t, "budget")) * time.Millisecond,
	}
}

// kinds of events: rapid prefers the first of a sample, which are offers.
var kinds = []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23}

// step draws one event and lets it happen.
func step(t *rapid.T, o *observer, now Time, ticket *Ticket) {
	with := func(f fate) (ts []Ticket) {
		for _, k := range o.order {
			if o.known[k].fate == f {
				ts = append(ts, k)
			}
		}
		return ts
	}
	anyTicket := func() Ticket { return Ticket(rapid.Uint64Range(0, uint64(*ticket)+1).Draw(t, "ticket")) }
	switch kind := rapid.SampledFrom(kinds).Draw(t, "event"); {
	case kind < 9:
		*ticket++
		o.offer(now, anyOffer(t, *ticket))
	case kind < 14:
		if ts := with(started); len(ts) > 0 {
			elapsed := time.Duration(rapid.IntRange(-1, 500).Draw(t, "elapsed")) * time.Millisecond
			o.answer(now, rapid.SampledFrom(ts).Draw(t, "answered"), elapsed)
		}
	case kind == 14:
		if ts := with(waiting); len(ts) > 0 {
			o.withdraw(now, rapid.SampledFrom(ts).Draw(t, "withdrawn"))
		}
	case kind == 20:
		o.withdraw(now, anyTicket()) // in any state
	case kind == 15:
		o.answer(now, anyTicket(), time.Millisecond) // of a ticket in any state
	case kind == 16:
		o.event(now, nil)
		again := anyTicket() // only one that is still there: a ticket is never used for other work
		if w := o.known[again]; w != nil && (w.fate == waiting || w.fate == started) {
			o.offer(now, anyOffer(t, again))
		}
	case kind == 17:
		n := rapid.IntRange(1, 24).Draw(t, "new limit")
		o.event(now, func(out []Decision) []Decision {
			o.wished, o.limit = n, min(n, o.ceiling)
			return o.g.SetLimit(now, n, out)
		})
	case kind == 18:
		o.event(now, func(out []Decision) []Decision {
			o.breaker = !o.breaker
			return o.g.SetBreaker(now, o.breaker, out)
		})
	case kind == 21:
		n := rapid.IntRange(1, 24).Draw(t, "ceiling")
		o.event(now, func(out []Decision) []Decision {
			o.ceiling, o.limit = n, min(o.wished, n)
			return o.g.SetCeiling(now, n, out)
		})
	case kind == 22:
		c := anyConfig(t).withDefaults()
		o.event(now, func(out []Decision) []Decision {
			o.shares = c.Shares
			return o.g.SetShares(now, c.Shares, c.PartnerWeights, out)
		})
	case kind == 23:
		*ticket++
		o.occupy(now, anyOffer(t, *ticket), now-time.Duration(rapid.IntRange(0, 11_000).Draw(t, "ago"))*time.Millisecond)
	default:
		closed := [Classes]bool{Inquiry: rapid.Bool().Draw(t, "closed")}
		o.event(now, func(out []Decision) []Decision { return o.g.SetPlan(now, closed, out) })
	}
}

// Each rule has failed once on purpose: one seat too many (SeatsAreExact), a decision about withdrawn work
// (RefusedMeansNotCharged), slots that leak (EverythingIsBounded), an answer or a new limit that starts nobody
// (WorkConservation), credit that costs nothing (StrictPriority), deadlines or ties the other way about
// (EarliestDeadlineFirst), probes without number (the stall).
func TestSeatsAreExact_RefusedMeansNotCharged_EverythingIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := observe(t, anyConfig(t))
		var now Time
		var ticket Ticket
		for range 150 {
			now += time.Duration(rapid.SampledFrom([]int{0, 0, 1, 10, 100, 400, 3000}).Draw(t, "ms")) * time.Millisecond
			step(t, o, now, &ticket)
		}
		o.event(now+BudgetMax, nil)
		for _, k := range o.order {
			if o.known[k].fate == waiting || o.known[k].fate == started {
				t.Fatalf("ticket %d is still there long after every deadline", k)
			}
		}
	})
}
