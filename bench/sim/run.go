package sim

import (
	"fmt"
	"math"
	"time"

	"netbank/bench/load"
	"netbank/cluster/gate"
	"netbank/core-adapter/simulated/congestion"
)

// Admission is what a run puts between its customers and its core. *gate.Gate is one.
type Admission interface {
	Offer(now gate.Time, o gate.Offer, out []gate.Decision) []gate.Decision
	Withdraw(now gate.Time, t gate.Ticket, out []gate.Decision) []gate.Decision
	Answer(now gate.Time, t gate.Ticket, elapsed time.Duration, late bool, out []gate.Decision) []gate.Decision
	Occupy(now gate.Time, t gate.Ticket, class gate.Class, weight float64, granted gate.Time) bool
	Tick(now gate.Time, out []gate.Decision) []gate.Decision
	Next(now gate.Time) (gate.Time, bool)
	Snapshot() gate.Snapshot
}

// Policy makes the admission of a run. last is the limit of the leader before, 0 for the first one.
type Policy struct {
	Name string
	New  func(last int, seed uint64) Admission
	Line bool // new flows wait in a line
}

type call struct {
	ticket   gate.Ticket
	customer int32 // none when he has left
	op       Operation
	node     uint8
	state    callState
	asked    time.Duration // start of the try that brought it, at the node
	tried    time.Duration // start of the last try, which may be a later one
	granted  time.Duration
	entered  time.Duration
	elapsed  time.Duration
	still    time.Duration // for which the budget stood still, without a leader
	weight   float64
}

type callState uint8

const (
	unused  callState = iota
	coming            // on its way to the leader
	waiting           // offered
	going             // granted, on its way to its node
	inside            // in the core
	settled           // answered, the leader not yet told
)

type customer struct {
	id      uint64
	stream  uint8
	op      Operation
	tries   int8
	late    bool
	signed  bool
	calling int32
	away    bool          // has lost patience with the call, and is about to press again
	stored  bool          // meanwhile it was answered
	came    time.Duration // when his flow began; before, when he was called
}

const none = -1

type run struct {
	s       Scenario
	seed    uint64
	policy  Policy
	adm     Admission
	line    *line
	station *congestion.Station
	now     time.Duration
	events  events
	dice    dice

	arrivals  [streams][]time.Duration
	arrived   [streams]int
	customers []customer
	freeCust  []int32
	calls     []call
	freeCalls []int32
	jobs      []int32 // job of the station - 1 -> call
	delay     time.Duration
	tick      time.Duration
	ids       []congestion.ID
	out       []gate.Decision

	leaderless bool
	since      time.Duration
	parked     []event
	lastLimit  int

	seats  seatCount
	ranks  precedence
	result Result
}

// Play lets a scenario happen once under each policy. The same scenario, policy and seed give the same result.
func Play(scenario Scenario, seed uint64, policies ...Policy) ([]Result, error) {
	var (
		results []Result
		bound   [2]float64 // the same customers come to all; without and with a line
	)
	for _, p := range policies {
		r, err := prepare(scenario, p, seed)
		if err != nil {
			return nil, err
		}
		with := 0
		if p.Line {
			with = 1
		}
		if bound[with] == 0 {
			bound[with] = r.s.clairvoyant(&r.arrivals, p.Line)
		}
		r.result.Clairvoyant = bound[with]
		r.loop()
		r.close()
		results = append(results, r.result)
	}
	return results, nil
}

func prepare(scenario Scenario, policy Policy, seed uint64) (*run, error) {
	s := scenario.withDefaults()
	if err := s.check(); err != nil {
		return nil, err
	}
	r := &run{s: s, seed: seed, policy: policy, adm: policy.New(0, seed), ranks: newPrecedence()}
	var err error
	if r.station, err = congestion.NewStation(s.Core); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrScenario, err)
	}
	if r.arrivals, err = s.arrivals(seed); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrScenario, err)
	}
	r.result = Result{Scenario: s.Name, Policy: policy.Name, Seed: seed, work: make([]float64, int(s.Length/workBin)+1)}
	for i := range r.arrivals {
		r.expect(i)
	}
	for i, w := range s.Weather {
		r.events.add(w.At, weatherTurns, int32(i), 0)
	}
	for i, c := range s.Changes {
		r.events.add(c.At, leaderGone, int32(i), 0)
		r.events.add(c.At+c.For, leaderCame, int32(i), 0)
	}
	r.events.add(sampleEvery, sampleDue, 0, 0)
	r.openLine()
	return r, nil
}

// expect plans the next arrival of a stream.
func (r *run) expect(stream int) {
	if i := r.arrived[stream]; i < len(r.arrivals[stream]) {
		r.events.add(r.arrivals[stream][i], comes, int32(stream), 0)
	}
}

// loop takes the next of three: an event, the end of a call in the core, the gate's own.
func (r *run) loop() {
	for {
		at, what := r.s.Length, 0
		if next, ok := r.events.next(); ok && next < at {
			at, what = next, 1
		}
		if next, ok := r.station.Next(); ok && next < at {
			at, what = next, 2
		}
		if !r.leaderless {
			if next, ok := r.adm.Next(r.now); ok {
				if next <= r.tick {
					next = r.tick + time.Microsecond // an admission that asks for the same moment again gets a later one
				}
				if next < at {
					at, what = next, 3
				}
			}
		}
		r.now = max(r.now, at)
		r.result.Events++
		switch what {
		case 0:
			return
		case 1:
			r.happen(r.events.take())
		case 2:
			r.ids = r.station.Complete(r.now, r.ids[:0])
			for _, id := range r.ids {
				r.worked(r.jobs[id-1])
			}
		case 3:
			r.tick = r.now
			r.follow(r.adm.Tick(r.now, r.out[:0]))
		}
	}
}

func (r *run) happen(e event) {
	switch e.kind {
	case comes:
		r.comes(int(e.at32))
	case offered, told, settles:
		if r.leaderless {
			r.parked = append(r.parked, e)
			return
		}
		r.atLeader(e)
	case granted:
		r.enter(e.at32, e.ticket)
	case refused:
		r.refused(e)
	case answered:
		r.answered(e.at32)
	case patienceOver:
		r.loses(e.at32, e.ticket)
	case nextStep, again:
		r.ask(e.at32)
	case weatherTurns:
		r.turn(r.s.Weather[e.at32])
	case leaderGone:
		r.leaderless, r.since = true, r.now
		r.lastLimit = r.adm.Snapshot().Limit
	case leaderCame:
		r.succeed()
	case sampleDue:
		r.sample()
	case lineDue:
		r.move()
	case comesIn:
		c := &r.customers[e.at32]
		r.line.room.Came(r.now - c.came)
		c.came = r.now
		r.ask(e.at32)
	}
}

func (r *run) comes(stream int) {
	number := uint64(r.arrived[stream])
	r.arrived[stream]++
	r.expect(stream)
	var slot int32
	if n := len(r.freeCust); n > 0 {
		slot, r.freeCust = r.freeCust[n-1], r.freeCust[:n-1]
	} else {
		slot = int32(len(r.customers))
		r.customers = append(r.customers, customer{})
	}
	op := Express
	switch stream {
	case flowStream:
		op = SignIn
	case inquiryStream:
		op = Inquiry
	}
	r.customers[slot] = customer{id: number*streams + uint64(stream), stream: uint8(stream), op: op, calling: none}
	r.result.Offered++
	if op == SignIn {
		r.customers[slot].came = r.now
		if r.waits(slot) {
			return
		}
	}
	r.ask(slot)
}

// ask sends a customer's next try to his node.
func (r *run) ask(slot int32) {
	c := &r.customers[slot]
	r.confirming(c)
	if c.away && r.attaches(slot) {
		return
	}
	if r.s.Free[c.op] {
		r.result.Tries[c.op]++
		r.serve(slot, true)
		return
	}
	var i int32
	if n := len(r.freeCalls); n > 0 {
		i, r.freeCalls = r.freeCalls[n-1], r.freeCalls[:n-1]
	} else {
		i = int32(len(r.calls))
		r.calls = append(r.calls, call{})
	}
	r.result.Tries[c.op]++
	c.tries++
	c.calling = i
	r.result.tickets++
	node := uint8(load.Mix(r.seed, c.id) % uint64(len(r.s.Nodes)))
	r.calls[i] = call{
		ticket: gate.Ticket(r.result.tickets)<<24 | gate.Ticket(i), customer: slot, op: c.op, node: node, state: coming,
		asked: r.now, tried: r.now, weight: c.op.weight() * r.s.Misweighed[c.op],
	}
	r.events.add(r.now+r.s.Nodes[node], offered, i, r.calls[i].ticket)
	r.events.add(r.now+r.s.Habits.Patience, patienceOver, i, r.calls[i].ticket)
}

// attaches lets who presses again join what he asked for before, and reports whether there was anything left to join: at a bank's node, a payment is
// the same request however often it is sent, by its number or its idempotency key.
func (r *run) attaches(slot int32) bool {
	c := &r.customers[slot]
	c.away = false
	if !c.stored && c.calling == none {
		return false // refused meanwhile; refusals are not stored
	}
	r.result.Tries[c.op]++
	r.result.Attached++
	c.tries++
	if c.stored {
		c.stored = false
		r.serve(slot, true)
		return true
	}
	call := &r.calls[c.calling]
	call.tried = r.now
	r.events.add(r.now+r.s.Habits.Patience, patienceOver, c.calling, call.ticket)
	return true
}

// atLeader lets the admission hear what a node has sent.
func (r *run) atLeader(e event) {
	c := &r.calls[e.at32]
	if c.ticket != e.ticket {
		return
	}
	switch e.kind {
	case offered:
		if c.customer == none {
			r.freeCall(e.at32)
			return
		}
		c.state = waiting
		r.ranks.waiting[c.op.terms().class]++
		partner := uint32(0)
		if s := r.customers[c.customer].stream; s >= firstPartner && s < inquiryStream {
			partner = uint32(s)
		}
		left := c.op.terms().slo + c.still - (r.now - c.asked)
		r.result.offers++
		r.follow(r.adm.Offer(r.now, gate.Offer{Ticket: c.ticket, Class: c.op.terms().class, Partner: partner, Weight: c.weight, Budget: left}, r.out[:0]))
	case told: // the asker has left
		if c.state == waiting {
			r.result.withdrawn++
			r.ranks.waiting[c.op.terms().class]--
			ticket := c.ticket
			r.freeCall(e.at32)
			r.follow(r.adm.Withdraw(r.now, ticket, r.out[:0]))
		}
	case settles:
		ticket, elapsed, late := c.ticket, c.elapsed, c.entered+c.elapsed-c.asked > c.op.terms().slo
		r.seats.end(e.ticket)
		r.ranks.answered(elapsed, c.weight)
		r.freeCall(e.at32)
		r.follow(r.adm.Answer(r.now, ticket, elapsed, late, r.out[:0]))
	}
}

func (r *run) freeCall(i int32) {
	r.calls[i].state = unused
	r.calls[i].ticket = 0
	r.freeCalls = append(r.freeCalls, i)
}

// follow carries out decisions.
func (r *run) follow(out []gate.Decision) {
	r.out = out
	started, limit := false, 0
	for _, d := range out {
		i := int32(d.Ticket & (1<<24 - 1))
		c := &r.calls[i]
		if c.ticket != d.Ticket || c.state != waiting {
			r.result.Violations++
			continue
		}
		r.result.decided++
		class := c.op.terms().class
		r.ranks.waiting[class]--
		back := r.now + r.s.Nodes[c.node]
		if d.Action == gate.Start {
			if !started {
				started, limit = true, r.adm.Snapshot().Limit
			}
			c.state, c.granted = going, r.now
			r.events.add(back, granted, i, c.ticket)
			r.overtakes(class, c.weight, limit)
			r.seats.begin(d.Ticket, class, r.now)
			continue
		}
		r.result.Refusals[d.Reason]++
		r.ranks.refuses(r.now, class, d.Reason, c.op.terms().slo+c.still-(r.now-c.asked), c.weight)
		e := event{at: back, kind: refused, at32: c.customer, ticket: c.ticket, retry: d.RetryAfter}
		r.events.push(e)
		r.freeCall(i)
	}
	if started && r.seats.taken(r.now) > limit {
		r.result.Violations++
	}
}

// overtakes counts a start that comes before better work.
func (r *run) overtakes(class gate.Class, weight float64, limit int) {
	r.seats.taken(r.now)
	switch inversion, explained := r.ranks.starts(r.now, class, weight, r.seats.of[class], limit); {
	case explained:
		r.result.Shared++
	case inversion:
		r.result.Inversions++
	}
}

// enter brings a granted call into the core.
func (r *run) enter(i int32, ticket gate.Ticket) {
	c := &r.calls[i]
	if c.ticket != ticket {
		return
	}
	c.state, c.entered = inside, r.now
	r.dice.roll(r.seed^0xde3a4d, uint64(c.ticket), 0)
	if c.customer != none {
		who := &r.customers[c.customer]
		r.dice.roll(r.seed, who.id, uint64(c.op)<<8|uint64(who.tries))
	}
	demand := load.Lognormal(&r.dice, time.Duration(r.s.demand(c.op)*float64(time.Second)), r.s.Variation)
	r.station.Arrive(r.now, demand)
	r.jobs = append(r.jobs, i)
	r.result.started += r.s.demand(c.op)
}

// worked is the end of a call's work: the core's answer is on its way.
func (r *run) worked(i int32) {
	if r.delay > 0 {
		r.events.add(r.now+r.delay, answered, i, 0)
		return
	}
	r.answered(i)
}

func (r *run) answered(i int32) {
	c := &r.calls[i]
	c.state, c.elapsed = settled, r.now-c.entered
	r.events.add(r.now+r.s.Nodes[c.node], settles, i, c.ticket)
	if c.customer == none {
		r.result.wasted += r.s.demand(c.op)
		return
	}
	slot := c.customer
	c.customer = none
	if who := &r.customers[slot]; who.away {
		who.calling, who.stored = none, true
		return
	}
	r.serve(slot, r.now-c.tried <= c.op.terms().slo)
}

// serve gives a customer what he asked for.
func (r *run) serve(slot int32, inTime bool) {
	op := r.customers[slot].op
	if inTime {
		r.result.InTime[op]++
		r.result.Value += r.s.value(op)
		r.result.work[min(int(r.now/workBin), len(r.result.work)-1)] += r.s.demand(op)
	} else {
		r.result.wasted += r.s.demand(op)
	}
	r.proceed(slot, inTime)
}

// proceed takes a customer whose call was answered to the next step, or to the end.
func (r *run) proceed(slot int32, inTime bool) {
	c := &r.customers[slot]
	c.calling, c.tries, c.late = none, 0, c.late || !inTime
	r.dice.roll(r.seed, c.id, 1<<16|uint64(c.op))
	switch {
	case c.op == SignIn:
		c.op, c.signed = View, true
		r.result.Signed++
		r.events.add(r.now+looksAfter, nextStep, slot, 0)
		return
	case c.op == View && r.dice.uniform() < goesOn:
		c.op = Confirm
		r.events.add(r.now+load.Lognormal(&r.dice, r.s.Think, 1), nextStep, slot, 0)
		return
	}
	outcome := Completed
	if c.late {
		outcome = Late
	}
	r.leave(slot, outcome)
}

func (r *run) leave(slot int32, o Outcome) {
	c := &r.customers[slot]
	r.result.Outcomes[c.stream][o]++
	if c.signed {
		r.result.SignedOutcomes[o]++
	}
	r.freeCust = append(r.freeCust, slot)
}

// refused tells a customer no.
func (r *run) refused(e event) {
	slot := e.at32
	if slot == none || r.customers[slot].calling == none || gate.Ticket(r.customers[slot].calling) != e.ticket&(1<<24-1) {
		return
	}
	c := &r.customers[slot]
	c.calling = none
	if c.away {
		return // he comes again anyway
	}
	if int(c.tries) >= r.s.Habits.Tries {
		r.leave(slot, Refused)
		return
	}
	wait := r.s.Habits.Again
	if r.s.Habits.Heeds {
		wait = max(wait, e.retry)
	}
	if wait > r.s.Habits.Patience {
		r.leave(slot, Refused)
		return
	}
	r.dice.roll(r.seed, c.id, 1<<17|uint64(c.op)<<8|uint64(c.tries))
	r.events.add(r.now+time.Duration(float64(wait)*(1+0.25*r.dice.uniform())), again, slot, 0)
}

// loses is the end of a customer's patience with a call.
func (r *run) loses(i int32, ticket gate.Ticket) {
	c := &r.calls[i]
	if c.ticket != ticket || c.customer == none {
		return
	}
	slot := c.customer
	who := &r.customers[slot]
	last := int(who.tries) >= r.s.Habits.Tries
	if c.op.keyed() && !last {
		who.away = true
		r.events.add(r.now+r.s.Habits.Again, again, slot, 0)
		return
	}
	c.customer, who.calling = none, none
	if c.state == waiting && !c.op.keyed() {
		r.events.add(r.now+r.s.Nodes[c.node], told, i, ticket)
	}
	if last {
		r.leave(slot, Abandoned)
		return
	}
	r.events.add(r.now+r.s.Habits.Again, again, slot, 0)
}

func (r *run) turn(w Weather) {
	r.delay = w.Delay
	if r.station.SetCapacity(r.now, w.Capacity) != nil || w.Model != nil && r.station.SetModel(r.now, *w.Model) != nil {
		r.result.Violations++ // check has seen to it that this cannot be
	}
}

// succeed puts a new leader in its place: it finds the seats, and whoever waited is offered again with what is left of his time,
// which stood still meanwhile.
func (r *run) succeed() {
	r.leaderless = false
	gap := r.now - r.since
	r.adm = r.policy.New(max(1, int(math.Round(limitKept*float64(r.lastLimit)))), r.seed)
	defer r.openLine()
	for i := range r.calls {
		c := &r.calls[i]
		switch c.state {
		case going, inside, settled:
			r.adm.Occupy(r.now, c.ticket, c.op.terms().class, c.weight, c.granted)
		case waiting:
			c.still += gap
			r.ranks.waiting[c.op.terms().class]--
			r.result.offers--
			if c.customer == none {
				r.freeCall(int32(i))
				r.result.withdrawn++
				r.result.offers++
				continue
			}
			c.state = coming
			r.events.add(r.now, offered, int32(i), c.ticket)
		}
	}
	parked := r.parked
	r.parked = nil
	for _, e := range parked {
		if e.kind == offered && r.calls[e.at32].ticket == e.ticket {
			r.calls[e.at32].still += r.now - e.at
		}
		r.atLeader(e)
	}
}
