package gate

import (
	"math"
	"time"
)

// Constants of the waiting room, tuned in simulation (bench/sim).
const (
	roomSmooth     = 1500 * time.Millisecond // capacity is smoothed over this, so that the trials of seek do not modulate who comes in
	fullWindow     = 2 * time.Second
	fullPart       = 0.8 // of a window in which seats must have been wanted
	fullGain       = 0.5
	roomUse        = 0.95 // part of the capacity that is handed out
	roomBurst      = 0.1  // seconds of its rate that a quiet room saves up
	roomBurstMin   = 2.0
	roomSlack      = time.Second // of its rate that may have come in on credit before the room closes
	roomSlackMin   = 4.0
	arriveSmooth   = 5 * time.Second
	roomCalm       = time.Second // in which all who wait can be called at once, before it opens again
	roomFeedback   = 3.0         // how sharply flows are held back when more is still to come of those inside than was planned
	callWindow     = 30          // seconds in which who was called has to come; see settle
	noShowGain     = 0.1
	noShowMax      = 0.9
	cohorts        = 128 // seconds for which it is remembered how many flows began, and how many of them confirmed
	cohortRipe     = 60  // seconds after which those who will confirm have done so, as a rule
	goOnPrior      = 0.9
	goOnPriorFlows = 20.0
	thinkPrior     = 11 * time.Second
	thinkGain      = 0.01
	rateSmooth     = 15 * time.Second
	spreadSmooth   = time.Minute
	spreadWindow   = 2 * time.Second
	spreadPrior    = 0.3
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
	SeatTime   time.Duration // for which a call of weight 1 holds its seat
	OtherSeats int           // taken by what is no flow's: express debits, and the resolver
	Done       float64       // work that the core has answered so far, in debits
	Wanted     bool          // every seat is taken, or somebody waits for one
	Halted     bool          // the core has stopped answering, or cannot be reached
}

// Load gives what the room looks at.
func (g *Gate) Load() Load {
	return Load{
		Seats: g.limit.seats(), SeatTime: time.Duration(g.seatTime()), OtherSeats: g.takenOf[Express] + g.takenOf[Resolve],
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
	closed bool
	calm   Time // since when nobody waits

	capacity float64 // work a second that the core can do, smoothed
	full     fullness
	others   float64 // seats of others, smoothed
	rate     float64 // flows a second that can be carried
	signIns  bool    // and that is because no more passwords can be checked
	usual    float64 // the same, smoothed
	tokens   float64
	arriving float64 // flows that come in a second, smoothed
	arrived  float64 // since the last event

	called   [callWindow]float64 // in each of the last seconds
	came     [callWindow]float64 // of these
	noShows  float64
	second   int64 // of the newest entry in the rings
	flows    [cohorts]float64
	confirms [cohorts]float64
	goOn     float64
	think    float64 // ns

	calls    float64 // a second, smoothed
	variance float64
	window   float64 // called in this spreadWindow
	windowAt Time
	windows  int
}

// NewRoom makes an open room.
func NewRoom(cost FlowCost) *Room {
	return &Room{cost: cost, goOn: goOnPrior, think: float64(thinkPrior), tokens: roomBurstMin}
}

// Pass lets time pass: the load is that of now, waiting the number of those who were not called yet, and signIns what all nodes together
// can check of passwords a second; 0: not known.
func (r *Room) Pass(now Time, load Load, waiting int, signIns float64) {
	if !r.begun {
		r.begun, r.now, r.second, r.windowAt, r.calm = true, now, int64(now/time.Second), now, now
		r.capacity = capacityOf(load)
		r.usual = r.carried(load, signIns)
	}
	dt := (max(now, r.now) - r.now).Seconds()
	r.now = max(now, r.now)
	r.turn()
	r.full.see(r.now, dt, load)
	if !load.Halted { // losing capacity for a moment says nothing of what there will be
		gain := 1 - math.Exp(-dt/roomSmooth.Seconds())
		r.capacity += gain * (r.full.bound(capacityOf(load)) - r.capacity)
		r.others += gain * (float64(load.OtherSeats) - r.others)
	}
	if dt > 0 {
		r.arriving += (1 - math.Exp(-dt/arriveSmooth.Seconds())) * (r.arrived/dt - r.arriving)
		r.arrived = 0
	}
	r.rate = r.carried(load, signIns)
	r.usual += (1 - math.Exp(-dt/rateSmooth.Seconds())) * (r.rate - r.usual)
	if most := max(roomBurstMin, roomBurst*r.rate); r.tokens < most {
		r.tokens = min(r.tokens+r.rate*dt, most)
	}
	r.measure(waiting)
	r.judge(waiting)
}

// fullness measures what a core does that has more to do than it can. Seats over the time that a call holds one say what can be done, and know it soon when
// there is little to do; but after a change the time of a call is known only when many calls have ended, and a slow core ends few.
type fullness struct {
	begun  Time
	done   float64 // when the window began
	wanted float64 // seconds of it
	rate   float64 // work a second in the last windows that were full; 0: the last one was not
}

func (f *fullness) see(now Time, dt float64, l Load) {
	if l.Wanted {
		f.wanted += dt
	}
	length := (now - f.begun).Seconds()
	if length < fullWindow.Seconds() {
		return
	}
	if full := f.wanted > fullPart*length; !full || l.Halted {
		f.rate = 0
	} else if rate := (l.Done - f.done) / length; f.rate == 0 {
		f.rate = rate
	} else {
		f.rate += fullGain * (rate - f.rate)
	}
	f.begun, f.done, f.wanted = now, l.Done, 0
}

func (f *fullness) bound(capacity float64) float64 {
	if f.rate == 0 {
		return capacity
	}
	return min(capacity, f.rate)
}

func capacityOf(l Load) float64 {
	return float64(l.Seats) / max(l.SeatTime, time.Microsecond).Seconds()
}

// carried is how many flows a second can be carried.
func (r *Room) carried(l Load, signIns float64) float64 {
	if l.Halted {
		r.signIns = false
		return 0
	}
	share := roomUse * r.capacity
	others := min(r.others/max(l.SeatTime, time.Microsecond).Seconds(), roomUse*share)
	free := share - others
	whole := r.cost.SignIn + r.cost.View + r.goOn*r.cost.Confirm
	rate := free / max(whole, WeightMin)
	// Those who are inside and think come first: the more of them there are, the less is left for sign-ins.
	committed := r.ready() / (r.think / float64(time.Second)) * r.cost.Confirm
	rate *= min(max(1+roomFeedback*(1-(committed+rate*(whole-r.goOn*r.cost.Confirm))/max(free, WeightMin)), 0), 1)
	r.signIns = signIns > 0 && rate > roomUse*signIns
	if r.signIns {
		rate = roomUse * signIns
	}
	return rate
}

// ready is how many of those inside will still confirm, as far as can be expected.
func (r *Room) ready() (n float64) {
	for age := range int64(cohortRipe) { // the balance of all seconds: what one has too few of, another has too many
		i := int(((r.second-age)%cohorts + cohorts) % cohorts)
		n += r.goOn*r.flows[i] - r.confirms[i]
	}
	return max(n, 0)
}

// turn moves the rings on to the present second.
func (r *Room) turn() {
	now := int64(r.now / time.Second)
	for steps := 0; r.second < now && steps < cohorts; steps++ {
		r.second++
		r.settle(int(r.second % callWindow))
		i := int(r.second % cohorts)
		r.flows[i], r.confirms[i] = 0, 0
		if r.second%cohortRipe == 0 {
			r.learn()
		}
	}
	r.second = max(r.second, now)
}

// settle closes the books over those who were called callWindow seconds ago: what was set aside for them, and was not used, is free again.
func (r *Room) settle(i int) {
	called, came := r.called[i], r.came[i]
	r.called[i], r.came[i] = 0, 0
	if called == 0 {
		return
	}
	r.tokens += called*(1-r.noShows) - came
	r.noShows += noShowGain * (min(max(1-came/called, 0), noShowMax) - r.noShows)
}

// learn measures how many go on to confirm, of the flows that are old enough.
func (r *Room) learn() {
	begun, confirmed := goOnPriorFlows, goOnPriorFlows*r.goOn
	for age := int64(cohortRipe); age < cohorts; age++ {
		i := int(((r.second-age)%cohorts + cohorts) % cohorts)
		begun += r.flows[i]
		confirmed += r.confirms[i]
	}
	r.goOn = min(max(confirmed/begun, 0.05), 1)
}

// measure follows how many are called a second, and how restless that is, for those who want to know how long they wait.
func (r *Room) measure(waiting int) {
	dt := r.now - r.windowAt
	if dt < spreadWindow {
		return
	}
	rate := r.window / dt.Seconds()
	r.window, r.windowAt = 0, r.now
	if !r.closed || waiting == 0 {
		return // it says how many came, not how many could be called
	}
	r.windows++
	of := func(smooth time.Duration) float64 {
		return max(1-math.Exp(-dt.Seconds()/smooth.Seconds()), 1/float64(r.windows))
	}
	off := rate - r.calls
	r.calls += of(rateSmooth) * off
	r.variance += of(spreadSmooth) * (off*off - r.variance)
}

// judge opens and closes the room.
func (r *Room) judge(waiting int) {
	if waiting > int(max(r.tokens, 0)) || r.tokens < 0 { // more than can be called at once
		r.calm = r.now
	}
	switch {
	// What has come in beyond the rate is a second's worth: of what can be carried, or, where the core has stopped, of those who come.
	case !r.closed && r.tokens < -max(roomSlackMin, min(r.usual, r.arriving)*roomSlack.Seconds()):
		r.Close()
	case r.closed && r.now-r.calm >= roomCalm:
		r.closed = false
	}
}

// Close lets nobody in any more who has not been called. A new leader that finds the line closed goes on from there.
func (r *Room) Close() {
	r.closed, r.calm = true, r.now
	r.calls, r.variance, r.windows = min(r.usual, r.rate), 0, 0
	r.window, r.windowAt = 0, r.now
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
	r.called[int(r.second%callWindow)] += float64(n)
	r.window += float64(n)
}

// Entered says that so many came in: who was called, as far as any are expected, and others on credit.
func (r *Room) Entered(n int) {
	left := float64(n)
	r.arrived += left
	r.flows[int(r.second%cohorts)] += left
	for age := int64(0); age < callWindow && left > 0; age++ { // as a rule they were called a moment ago
		i := int(((r.second-age)%callWindow + callWindow) % callWindow)
		came := min(left, max(r.called[i]-r.came[i], 0))
		r.came[i] += came
		left -= came
	}
	r.tokens -= left
}

// Confirmed says that a customer has come to the confirmation, so long after his flow began.
func (r *Room) Confirmed(after time.Duration) {
	if after < 0 || after >= cohorts*time.Second {
		return
	}
	r.think += thinkGain * (max(float64(after), float64(time.Second)) - r.think)
	began := int64((r.now - after) / time.Second)
	r.confirms[int((began%cohorts+cohorts)%cohorts)]++
}

// Pace is how fast the line moves.
type Pace struct {
	PerSecond float64 // called
	Spread    float64 // standard deviation of that from one moment to the next, as a part of it
}

// Pace gives the recent one.
func (r *Room) Pace() Pace {
	p := Pace{PerSecond: r.calls, Spread: spreadPrior}
	if r.windows > 0 && r.calls > 0 {
		p.Spread = math.Sqrt(r.variance) / r.calls
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
	return RoomSnapshot{r.closed, r.rate, r.signIns, r.tokens, r.noShows, r.goOn, time.Duration(r.think), r.Pace()}
}

// The range that is shown to who waits.
const (
	rangeMin  = 15 * time.Second // half of the least width; polls alone are some seconds apart
	rangeWide = 60 * time.Second // the most that the whole width may be, or
	rangePart = 0.4              // of the wait, whichever is more
	rangeBase = 0.08             // half of the width, of the wait, that even a steady line has
	rangeDevs = 1.0              // standard deviations of the pace beside that
	paceMin   = 1e-3             // below one in a quarter of an hour nobody can say anything
	// WaitKnownMax is the longest wait that is shown; beyond it no more is said than that.
	WaitKnownMax = 24 * time.Hour
)

// Wait gives the range in which the wait of somebody will be who has so many ahead of him. false: nobody can say, since the line stands still.
func (p Pace) Wait(ahead int) (from, to time.Duration, known bool) {
	if p.PerSecond < paceMin || math.IsNaN(p.PerSecond) || math.IsInf(p.PerSecond, 0) {
		return 0, 0, false
	}
	seconds := float64(ahead) / p.PerSecond
	if seconds > WaitKnownMax.Seconds() {
		return 0, 0, false
	}
	wait := time.Duration(seconds * float64(time.Second))
	half := time.Duration(float64(wait) * (rangeBase + rangeDevs*min(max(p.Spread, 0), 1)))
	half = max(min(half, max(rangeWide, time.Duration(rangePart*float64(wait)))/2), rangeMin)
	return max(wait-half, 0), wait + half, true
}
