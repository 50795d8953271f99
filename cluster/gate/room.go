package gate

import (
	"math"
	"time"
)

// Constants of the waiting room, tuned in simulation (bench/sim).
const (
	roomSmooth   = 1500 * time.Millisecond // capacity is smoothed over this, so that the trials of seek do not modulate who comes in
	fullWindow   = time.Second
	fullPart     = 0.8  // of a window in which seats must have been wanted
	fullMargin   = 1.1  // above what was done in the last full window, capacity is not believed
	fullGrowth   = 1.02 // of that for each window that was not full
	fullKept     = 60   // windows for which it is remembered
	usedMargin   = 1.15 // above what the seats that are taken let believe of the others
	othersMost   = 0.95 // part of the capacity that others may take before flows
	queueDrained = 1.0  // seconds in which what others wait with for seats should go
	signInUse    = 0.95 // part of what the password pools can check that is handed out
	roomBurst    = 0.1  // seconds of its rate that a quiet room saves up
	roomBurstMin = 2.0
	roomSlack    = time.Second // of its rate that may have come in on credit before the room closes
	roomSlackMin = 4.0
	arriveSmooth = 5 * time.Second
	roomCalm     = time.Second // in which all who wait can be called at once, before it opens again
	roomFeedback = 4.0         // how sharply flows are held back when more is still to come of those inside than was planned, or let in when less is
	roomMore     = 2.0         // times the lasting rate, that are let in at most while few are inside
	noShowGain   = 0.3         // a second; who comes late is no no-show, and when he comes it is too late not to have called others
	noShowMax    = 0.9
	noticePrior  = 2.0 // seconds that who was called takes to notice it
	noticeMax    = 10.0
	noticeKept   = 0.9 // a second: ten of them, since who leaves a line stands beside others who leave it
	goOnPrior    = 0.9
	goOnKept     = 0.9917 // a second: two minutes
	agesPrior    = 20.0   // people that what is not known counts for
	thinkPrior   = 3.0    // seconds; a short one is corrected by every second in which nobody confirms, a long one only when many did
	goneAfter    = 4.0    // times the mean, until who has not confirmed has probably left
	rateSmooth   = 15 * time.Second
	paceWindow   = 2 * time.Second
	paceSmooth   = 8 * time.Second
	paceAfter    = 3               // windows: before, nobody knows what others will take while flows wait
	paceMean     = 3 * time.Minute // for which the mean is remembered; whoever is slow for so long is so for good
	paceSlow     = 0.8             // of the mean: a line below it is slow
	paceLasts    = 1.5             // times as long as it has been slow, it is expected to stay so
)

// FlowCost is what the parts of a flow cost in the core, as weights of offers: 1 is a debit.
type FlowCost struct {
	SignIn  float64
	View    float64
	Confirm float64
}

// Load is what the room looks at of the gate.
type Load struct {
	Seats      int           // the limit
	Taken      int           // seats taken
	SeatTime   time.Duration // for which a call of weight 1 holds its seat
	Others     float64       // work that was admitted so far of what is no flow's, express debits and the resolver's, less what was dropped again, in debits
	OtherQueue float64       // work of the same that waits for a seat, in debits
	FlowQueue  float64       // work of flows that waits for a seat, in debits
	Done       float64       // work that the core has answered so far, in debits
	Wanted     bool          // every seat is taken, or somebody waits for one
	Halted     bool          // the core has stopped answering, or cannot be reached
}

// Load gives what the room looks at.
func (g *Gate) Load() Load {
	return Load{
		Seats: g.limit.seats(), Taken: g.taken, SeatTime: time.Duration(g.seatTime()), Others: float64(g.others) / float64(workUnit),
		OtherQueue: float64(g.queue.workOf[Express]) / float64(workUnit), FlowQueue: float64(g.queue.workOf[Confirm]+g.queue.workOf[SignIn]) / float64(workUnit),
		Done: float64(g.done) / float64(workUnit), Wanted: g.wanted(), Halted: g.stalled || g.breaker,
	}
}

// Room decides whether new flows have to wait outside, and how many of those who wait are called in. Flows that are in never wait outside again, so only as
// many are let in as can be carried to their end: a sign-in, a look and, if the customer goes on, a confirmation.
//
// While it is open flows come in as they come, on credit, and are told afterwards: so a bank that is not overloaded spends nothing on it. When more than a second's
// worth has come in on credit it closes. Then it says how many are Due to be called; who comes after being called takes nothing more, and what those who
// do not come would have taken is used for others. It does not know who waits: first come, first served is the journal's.
//
// Like the gate it is pure and is not safe for concurrent use; times are those of the gate.
type Room struct {
	cost   FlowCost
	now    Time
	begun  bool
	since  Time // it has begun
	closed bool
	halted bool // the core has stopped answering
	owing  bool // for what came in on credit before it closed
	calm   Time // since when nobody waits

	capacity float64 // work a second that the core can do, smoothed
	full     fullness
	used     float64 // part of the seats, smoothed
	others   float64 // of this, what others bring, smoothed
	brought  float64 // by others, up to now
	queue    float64 // of others, smoothed
	rate     float64 // flows a second that can be carried
	signIns  bool    // and that is because no more passwords can be checked
	lasting  float64 // flows a second that could be carried for ever, whoever is inside at the moment
	usual    float64 // the same as rate, smoothed
	tokens   float64
	arriving float64 // flows that come in a second, smoothed
	arrived  float64 // since the last event

	calls   ages    // from the call to the coming in
	flows   ages    // from the coming in to the confirmation
	noShows float64 // part of those called who do not come

	pace      float64 // lasting, smoothed
	mean      float64 // the same over minutes in which it was not slow
	measured  int     // windows in this
	slowSince Time
	window    float64 // flows that could have been carried in this window
	windowAt  Time
	windows   int // since the line closed
}

// NewRoom makes an open room.
func NewRoom(cost FlowCost) *Room {
	r := &Room{
		cost: cost, tokens: roomBurstMin,
		calls: ages{part: 1, after: noticePrior, weight: agesPrior, kept: noticeKept},
		flows: ages{part: goOnPrior, after: thinkPrior, weight: agesPrior, kept: goOnKept, later: true},
	}
	r.calls.learn()
	r.flows.learn()
	return r
}

// Pass lets time pass: the load is that of now, waiting the number of those who were not called yet, and signIns what all nodes together
// can check of passwords a second; 0: not known.
func (r *Room) Pass(now Time, load Load, waiting int, signIns float64) {
	if !r.begun {
		r.begun, r.since, r.now, r.windowAt, r.calm = true, now, now, now, now
		r.calls.second, r.flows.second = int64(now/time.Second), int64(now/time.Second)
		r.used, r.brought, r.queue = usedOf(load), load.Others, load.OtherQueue
		r.capacity = r.full.bound(capacityOf(load), r.used)
		r.usual = r.carried(load, signIns)
	}
	dt := (max(now, r.now) - r.now).Seconds()
	r.now = max(now, r.now)
	r.turn()
	r.full.see(r.now, dt, load)
	if !load.Halted { // losing capacity for a moment says nothing of what there will be
		gain := 1 - math.Exp(-dt/roomSmooth.Seconds())
		if dt > 0 { // at first a plain mean
			age := min((r.now - r.since).Seconds(), roomSmooth.Seconds())
			r.others += (1 - math.Exp(-dt/age)) * (max(load.Others-r.brought, 0)/dt - r.others)
		}
		r.queue += gain * (load.OtherQueue - r.queue)
		r.used += gain * (usedOf(load) - r.used)
		r.capacity += gain * (r.full.bound(capacityOf(load), r.used) - r.capacity)
	}
	r.brought = load.Others
	if dt > 0 {
		gain := 1 - math.Exp(-dt/arriveSmooth.Seconds())
		r.arriving += gain * (r.arrived/dt - r.arriving)
		r.arrived = 0
	}
	r.rate = r.carried(load, signIns)
	r.usual += (1 - math.Exp(-dt/rateSmooth.Seconds())) * (r.rate - r.usual)
	if most := max(roomBurstMin, roomBurst*r.rate); r.tokens < most {
		r.tokens = min(r.tokens+r.rate*dt, most)
	}
	r.halted = load.Halted
	r.measure(dt)
	r.judge(waiting)
}

// fullness measures what a core does that has more to do than it can. Seats over the time that a call holds one say what can be done, and know it soon when
// there is little to do; but after a change the time of a call is known only when many calls have ended, and a slow core ends few.
type fullness struct {
	begun  Time
	done   float64 // when the window began
	wanted float64 // seconds of it
	rate   float64 // work a second in the last window that was full, and slowly more since then; 0: none was
	since  int     // windows since then
}

func (f *fullness) see(now Time, dt float64, l Load) {
	if l.Wanted {
		f.wanted += dt
	}
	length := (now - f.begun).Seconds()
	if length < fullWindow.Seconds() {
		return
	}
	if !l.Halted { // else the window tells how long it stood still, and nothing more
		rate := (l.Done - f.done) / length
		switch {
		case f.wanted > fullPart*length:
			f.rate, f.since = rate, 0
		case f.since >= fullKept:
			f.rate = 0
		case f.rate > 0:
			f.rate = max(f.rate*fullGrowth, rate)
			f.since++
		}
	}
	f.begun, f.done, f.wanted = now, l.Done, 0
}

// bound is how much of a capacity is believed. Before the core has been full nobody knows how much it slows down: then the geometric mean counts of what it would do
// if more calls inside brought nothing, and of what it would do if they were no burden to each other.
func (f *fullness) bound(capacity, used float64) float64 {
	if f.rate == 0 {
		return capacity * min(usedMargin*math.Sqrt(used), 1)
	}
	return min(capacity, fullMargin*f.rate)
}

func capacityOf(l Load) float64 {
	return float64(l.Seats) / max(l.SeatTime, time.Microsecond).Seconds()
}

// usedOf is the part of the seats that is taken: one at the least, with which any core does something.
func usedOf(l Load) float64 { return min(max(float64(l.Taken), 1)/max(float64(l.Seats), 1), 1) }

// carried is how many flows a second can be carried.
func (r *Room) carried(l Load, signIns float64) float64 {
	if l.Halted {
		r.signIns = false
		return 0
	}
	// Who is called now comes when a queue that becomes shorter has become so. One that stays says that others bring more than they get.
	left := l.OtherQueue + min(l.OtherQueue-r.queue, 0)/roomSmooth.Seconds()*r.notice()
	others := r.others + max(left, 0)/queueDrained
	free := r.capacity - min(others, othersMost*r.capacity)
	whole := r.cost.SignIn + r.cost.View + r.flows.goOn*r.cost.Confirm
	if signIns > 0 {
		signIns *= signInUse
	} else {
		signIns = math.Inf(1)
	}
	r.lasting = min(free/max(whole, WeightMin), signIns)
	rate := free / max(whole, WeightMin)
	if !r.closed { // nobody has been called yet: what waits for seats came in on credit, and shows that too many did
		rate = max(free-l.FlowQueue/queueDrained, 0) / max(whole, WeightMin)
	}
	// Those who are inside and think, or are on their way in, come first: the more of them there are than these rates bring, the less is left for sign-ins.
	committed := (r.ready()*r.cost.Confirm + l.FlowQueue) / (r.flows.mean + r.notice())
	rate *= min(max(1+roomFeedback*(1-(committed+rate*(whole-r.flows.goOn*r.cost.Confirm))/max(free, WeightMin)), 0), roomMore)
	r.signIns = rate > signIns
	return min(rate, signIns)
}

// ready is how many of those inside, and of those who were called and are to come, will still confirm, as far as can be expected.
func (r *Room) ready() float64 { return r.flows.goOn*r.calls.ready() + r.flows.ready() }

// notice is how many seconds pass until somebody who was called comes in. Who does not come says nothing of that.
func (r *Room) notice() float64 {
	return min(r.calls.goOn*r.calls.mean+(1-r.calls.goOn)*noticePrior, noticeMax)
}

// turn moves on to the present second.
func (r *Room) turn() {
	now := int64(r.now / time.Second)
	for steps := 0; r.flows.second < now && steps < cohorts; steps++ {
		r.calls.turn()
		r.flows.turn()
		r.noShows += noShowGain * (min(1-r.calls.goOn, noShowMax) - r.noShows)
	}
	r.calls.second, r.flows.second = max(r.calls.second, now), max(r.flows.second, now)
}

// measure follows what pace the line will keep, for those who want to know how long they wait: not how many are called at the moment, which is more while
// few are inside.
func (r *Room) measure(dt float64) {
	if r.halted {
		return
	}
	r.window += dt * r.lasting
	length := r.now - r.windowAt
	if length < paceWindow {
		return
	}
	pace := r.window / length.Seconds()
	r.window, r.windowAt = 0, r.now
	if slow := r.now - r.slowSince; slow <= length || slow > paceMean { // what it was before it became slow is remembered
		r.measured = min(r.measured+1, int(paceMean/paceWindow))
		r.mean += (pace - r.mean) / float64(r.measured)
	}
	if !r.closed {
		r.slowSince = r.now
		return
	}
	if r.windows++; r.windows < paceAfter {
		return
	}
	gain := max(1-math.Exp(-length.Seconds()/paceSmooth.Seconds()), 1/float64(r.windows-paceAfter+1))
	r.pace += gain * (pace - r.pace)
	if r.pace >= paceSlow*r.mean {
		r.slowSince = r.now
	}
}

// judge opens and closes the room.
func (r *Room) judge(waiting int) {
	if r.owing && waiting > 0 { // whoever came in on credit is inside, and counts there: those who wait need not pay for him
		r.tokens, r.owing = max(r.tokens, 0), false
	}
	if waiting > int(max(r.tokens, 0)) || r.tokens < 0 { // more than can be called at once
		r.calm = r.now
	}
	switch {
	// What has come in beyond the rate is a second's worth: of what can be carried, or, where the core has stopped, of those who come.
	case !r.closed && r.tokens < -max(roomSlackMin, min(r.usual, r.arriving)*roomSlack.Seconds()):
		r.close()
	case r.closed && r.now-r.calm >= roomCalm:
		r.closed = false
	}
}

// Close lets nobody in any more who has not been called: for a new leader that finds the line closed. It does not know who is inside, and supposes as many as
// the lasting rate would have brought.
func (r *Room) Close() {
	for i := range r.flows.began {
		r.flows.began[i] = r.lasting
	}
	r.close()
}

func (r *Room) close() {
	r.closed, r.calm = true, r.now
	r.owing = true
	r.pace, r.windows = 0, 0
	r.window, r.windowAt, r.slowSince = 0, r.now, r.now
}

// Closed reports whether new flows have to wait.
func (r *Room) Closed() bool { return r.closed }

// Due is how many of those who wait are to be called now.
func (r *Room) Due() int {
	if !r.closed || r.tokens < 0 {
		return 0
	}
	return int(r.tokens / (1 - r.noShows))
}

// Called says that so many were called.
func (r *Room) Called(n int) {
	r.tokens -= float64(n) * (1 - r.noShows)
	r.calls.begin(float64(n))
}

// Entered says that so many came in on credit.
func (r *Room) Entered(n int) {
	r.arrived += float64(n)
	r.flows.begin(float64(n))
	if !r.closed { // else they are inside, and count there
		r.tokens -= float64(n)
	}
}

// Came says that somebody came in who was called so long ago.
func (r *Room) Came(after time.Duration) {
	r.arrived++
	r.flows.begin(1)
	r.calls.end(r.now - after)
}

// Confirmed says that a customer has come to the confirmation, so long after his flow began.
func (r *Room) Confirmed(after time.Duration) {
	r.flows.end(r.now - after)
}

// Pace is how fast the line is expected to move.
type Pace struct {
	PerSecond float64       // called
	Guessed   bool          // since the line has just closed
	SlowFor   time.Duration // so long, and then
	Then      float64       // called a second
}

// Pace gives the one to be expected; none if the core had stopped when the line closed. A line that has become slow is expected to stay so for half as long again as it has
// been: of what has lasted for a moment nobody knows whether it is a moment's matter, and the longer it has lasted the longer it will.
func (r *Room) Pace() Pace {
	called := 1 / (1 - r.noShows)
	if r.windows < paceAfter {
		if r.halted {
			return Pace{}
		}
		return Pace{PerSecond: r.lasting * called, Guessed: true}
	}
	p := Pace{PerSecond: r.pace * called}
	if slow := r.now - r.slowSince; slow > 0 && r.mean > r.pace {
		p.SlowFor, p.Then = min(time.Duration(paceLasts*float64(slow)), WaitKnownMax), r.mean*called
	}
	return p
}

// RoomSnapshot is the state of a room for metrics and consoles.
type RoomSnapshot struct {
	Closed  bool
	Rate    float64 // flows a second that can be carried
	SignIns bool    // Rate is what can be checked of passwords; the core could carry more
	Tokens  float64
	NoShows float64 // part of those called who do not come
	GoOn    float64 // part of the flows that come to confirm
	Think   time.Duration
	Pace    Pace
}

// Snapshot gives the state as of the last event.
func (r *Room) Snapshot() RoomSnapshot {
	return RoomSnapshot{r.closed, r.rate, r.signIns, r.tokens, r.noShows, r.flows.goOn, time.Duration(r.flows.mean * float64(time.Second)), r.Pace()}
}

// The range that is shown to who waits.
const (
	rangeWide   = 60 * time.Second // wide, or
	rangePart   = 0.4              // of the wait, whichever is more
	rangeBefore = 1.0 / 3          // of this lies before the turn that is to be expected
	guessOff    = 4.0              // times too high, a guessed pace may be
	paceMin     = 1e-3             // below one in a quarter of an hour nobody can say anything
	// WaitKnownMax is the longest wait that is shown; beyond it no more is said than that.
	WaitKnownMax = 24 * time.Hour
)

// Wait gives the range in which the wait of somebody will be who has so many ahead of him. false: nobody can say, since the line stands still, or has
// just closed and he is not among the first.
//
// On a steady core waits of minutes can be told to some seconds. The range is as wide as it may be since the core may become another one while people wait, which
// nobody can know beforehand; and most of it lies after the turn that is to be expected, since what a core does at its best it can only do less of.
func (p Pace) Wait(ahead int) (from, to time.Duration, known bool) {
	sound := func(pace float64) bool { return pace >= paceMin && !math.IsInf(pace, 0) }
	if !sound(p.PerSecond) {
		return 0, 0, false
	}
	seconds := float64(ahead) / p.PerSecond
	if p.Guessed {
		return 0, rangeWide, guessOff*seconds <= rangeWide.Seconds()
	}
	if slow := p.SlowFor.Seconds(); sound(p.Then) && seconds > slow {
		seconds = slow + (float64(ahead)-slow*p.PerSecond)/p.Then
	}
	if seconds > WaitKnownMax.Seconds() {
		return 0, 0, false
	}
	wait := time.Duration(seconds * float64(time.Second))
	wide := max(rangeWide, time.Duration(rangePart*float64(wait)))
	before := time.Duration(rangeBefore * float64(wide))
	return max(wait-before, 0), wait + wide - before, true
}
