package gate

import (
	"math"
	"time"
)

// Constants of the search for the limit, tuned in simulation (bench/sim). Lengths on the axis of limits are natural logarithms: 0.30
// is a factor of 1.35.
const (
	seekStart      = 8    // the limit to begin with, where none is configured
	seekMin        = 4    // the lowest point
	seekRoom       = 32   // points up to here need no proof
	spreadMax      = 0.30 // from the point to each arm
	spreadMin      = 0.08
	spreadPerSlope = 0.4
	slopeWanted    = 0.01 // more work per more seats: where less is gained than this, the limit is high enough
	slopeMax       = 1.5  // steeper ones are noise
	slopeGain      = 0.2
	provedGain     = 0.3
	stepPerSlope   = 0.60
	stepMax        = 0.40 // of the point, after one pair
	noiseTrusted   = 0.09 // squared error of a slope at which the step is halved
	changeMin      = 0.2  // by which the logarithm of the work done has to differ from what is usual, for the core to be another one
	changeNoise    = 3.5  // standard errors of that logarithm, which it has to differ by as well
	usualGain      = 0.2
	settlePairs    = 4.0             // pairs that led the other way than the one before, after which steps are half as long,
	settledStep    = 0.25            // and in the end this part
	spreadFound    = 0.15            // after strides
	followMax      = 2 * time.Second // for which an arm waits for its calls to end
	measureMin     = 400 * time.Millisecond
	measureStride  = 50 * time.Millisecond // at least, while it strides
	measureMax     = 2 * time.Second       // for which an arm waits for its calls
	measureCalls   = 100                   // that an arm begins, if there is time
	callsNeeded    = 20                    // fewer tell nothing
	usedToJudge    = 0.8                   // part of the time in which an arm's seats were all wanted
	usedToSeek     = 0.5
	budgetUsedMax  = 0.25 // mean part of its budget that a call may spend inside
	mostFor        = 10 * time.Second
)

// seek finds the limit by itself: it stands at a point, tries an arm above and one below it in turn, and asks which way the work done
// grows. On a core that trips over itself the slope of work against calls inside is positive below the knee and negative beyond it;
// the point settles where a little more would still be gained, so that on a core that does not suffer the limit stays low as well.
//
//	work done
//	  │          ......            low arm and high arm are measured one after the other,
//	  │      ..L...   ...H.        in random order; the slope from L to H, in logarithms,
//	  │    ..  │  point  │ ..      moves the point
//	  └────────┴─────────┴──────> calls inside
//
// The work done in a time is the calls inside over the time that each takes (Little's law), so that its slope is one less that of the core's slowness, which an intake
// measures: of the calls begun in an arm alone. What is answered in an arm would tell less: right after a step up the many short calls among the new ones are answered, and the
// long ones, which take their seats for good, are not yet heard of, so that every step up looks like a gain. The time is per unit of weight, or a change of the mix would look like one of
// capacity; and the slope against the calls that were inside, not those allowed, or demand that fits would look like a flat core.
type seek struct {
	enabled bool
	point   float64 // ln of the limit
	spread  float64 // from the point to each arm
	slope   float64 // moving average, less the slope that is wanted
	proved  float64 // moving average of the points at which a slope was measured
	seats   int     // allowed now

	strides     strides
	usual       float64 // moving average of the logarithm of the work done in a time; 0: not known
	usualInside float64 // and of that of the calls inside
	settled     float64 // pairs that led the other way than the one before
	upward      bool    // the way that the last one led

	held   bool // by a stall: nothing is measured
	trying bool // two arms, rather than the point alone: seats are wanted
	arm    int  // 0 low, 1 high
	second bool // of the pair
	done   [2]arm
	now    arm
	intake intake // of the present arm
	opened Time   // when the present arm was opened
	closed Time   // when it stopped to take calls: never, while it takes them
	last   Time   // of the last event

	slowness float64 // the last one that was measured, ns per unit of weight
	most     [2]int  // calls inside, in this and the last half of mostFor
	mostFrom Time
	random   uint64
}

// never is no time of the gate's.
const never Time = 1<<63 - 1

// arm is what was measured while the limit stood at one place.
type arm struct {
	point    float64 // ln of the limit between the arms
	length   float64 // ns
	inside   float64 // integral of the calls inside, ns
	wanted   float64 // ns in which every seat was taken, or somebody waited
	answers  float64
	lateness float64 // sum of the parts of their budgets that the answered calls were inside, each at most 1

	begun    float64 // calls that were begun in it
	out      float64 // of these, still inside
	heaviest float64 // of their weights
	slowness float64 // ln, ns
	noise    float64 // its variance
	known    bool
}

// tells reports whether an arm says what the core does at its limit: its seats were wanted, and it speaks.
func (a *arm) tells() bool { return a.wanted > usedToJudge*a.length && a.speaks() }

// speaks reports whether an arm says how slow the core is with the calls that were inside, be that all that there was demand for.
func (a *arm) speaks() bool { return a.begun >= callsNeeded && a.known && a.inside > 0 }

// calls is the logarithm of the calls inside.
func (a *arm) calls() float64 { return math.Log(a.inside / a.length) }

// done is the logarithm of the work done in a time.
func (a *arm) done() float64 { return a.calls() - a.slowness }

// start begins anew at a limit: one that was found or set, or one that means nothing, from which it climbs by strides.
func (s *seek) start(now Time, limit int, climbs bool, service time.Duration, seed uint64, ceiling int) {
	*s = seek{enabled: true, spread: spreadMax, slope: 1, slowness: float64(service), random: seed, last: now, mostFrom: now}
	s.strides = strides{on: climbs, length: strideLong, turned: true, since: now}
	s.point = math.Log(float64(min(max(limit, seekMin), max(ceiling, seekMin))))
	s.open(now, ceiling)
}

// found gives the limit that the point stands for.
func (s *seek) found() int { return max(1, int(math.Exp(s.point)+0.5)) }

// open begins a new pair, or a look at the point alone.
func (s *seek) open(now Time, ceiling int) {
	s.second, s.done = false, [2]arm{}
	s.random = s.random*6364136223846793005 + 1442695040888963407 // Knuth's MMIX; its high bits are good enough for a coin
	s.arm = int(s.random >> 63)
	s.begin(now, ceiling)
}

// begin lets the limit stand at the present arm.
func (s *seek) begin(now Time, ceiling int) {
	at := s.point
	if s.trying && !s.strides.on {
		at += s.spread * float64(2*s.arm-1)
	}
	s.seats = min(max(1, int(math.Exp(at)+1e-9)), ceiling)
	s.now = arm{point: s.point}
	s.intake = intake{}
	s.opened, s.closed = now, never
}

// pass lets time pass in which so many calls were inside.
func (s *seek) pass(now Time, inside int, wanted, stalled bool, ceiling int) {
	since := s.last
	s.last = now
	s.remember(now, inside)
	if stalled != s.held {
		s.held = stalled
		s.trying = s.trying && !stalled
		s.open(now, ceiling) // with the point where it is: losing capacity does not move the knee
		return
	}
	if stalled {
		return
	}
	dt := float64(max(now-since, 0))
	s.now.length += dt
	s.now.inside += dt * float64(inside)
	if wanted {
		s.now.wanted += dt
	}
	if s.closed == never && now >= s.closes() {
		s.closed = now
	}
	if s.closed == never || now < s.ends() {
		return
	}
	if s.look(); now < s.ends() {
		return
	}
	s.end(now, ceiling)
}

// closes is when the present arm takes no more calls, with those that it has.
func (s *seek) closes() Time {
	least, calls := max(measureMin, min(2*s.follow(), measureMax)), float64(measureCalls)
	if s.strides.on {
		least, calls = measureStride, strideCalls+stridePer*float64(s.seats)
	}
	if s.now.begun < calls {
		least = measureMax
	}
	return s.opened + least
}

// follow is how long the calls of the present arm are waited for: afterwards those that are not answered count as no longer.
func (s *seek) follow() Time {
	return Time(min(intakeCut*s.slowness*s.now.heaviest, float64(followMax)))
}

// look takes what the intake tells.
func (s *seek) look() {
	a := &s.now
	if a.slowness, a.noise, a.known = s.intake.slowness(); a.known {
		s.slowness = math.Exp(a.slowness)
	} else {
		s.slowness = min(2*s.slowness, float64(followMax))
	}
}

// ends is when all calls of the present arm are answered, or have been inside for long enough.
func (s *seek) ends() Time {
	if s.now.out <= 0 {
		return s.closed
	}
	return s.closed + s.follow()
}

// next names when time alone may move the limit: where nothing is answered before, the present arm ends then. False: not by time.
func (s *seek) next(stalled bool) (Time, bool) {
	switch {
	case stalled != s.held:
		return s.last, true
	case stalled:
		return 0, false
	case s.closed == never:
		return s.closes(), true
	}
	return s.ends(), true
}

// remember keeps the most calls that were inside lately.
func (s *seek) remember(now Time, inside int) {
	if now-s.mostFrom >= mostFor/2 {
		s.most[1], s.most[0], s.mostFrom = s.most[0], 0, now
	}
	s.most[0] = max(s.most[0], inside)
}

// starts counts a call that is begun.
func (s *seek) starts(now Time, w work) {
	if now < s.opened || now >= s.closed {
		return
	}
	of := float64(w) / float64(workUnit)
	s.now.begun++
	s.now.out++
	s.intake.begin(of)
	s.now.heaviest = max(s.now.heaviest, of)
}

// unsent takes back a call that did not reach the core.
func (s *seek) unsent(granted Time, w work) {
	if granted < s.opened || granted >= s.closed {
		return
	}
	of := float64(w) / float64(workUnit)
	s.now.begun--
	s.now.out--
	s.intake.forget(of)
}

// answer counts the answer to a call of this work, after elapsed of its budget.
func (s *seek) answer(now, granted Time, w work, elapsed, budget time.Duration) {
	of := float64(w) / float64(workUnit)
	s.now.answers++
	if budget > 0 {
		s.now.lateness += min(1, float64(elapsed)/float64(budget))
	}
	if granted < s.opened || granted >= s.closed {
		return
	}
	s.now.out--
	s.intake.end(of, float64(now-granted))
}

// end judges an arm, and a pair.
func (s *seek) end(now Time, ceiling int) {
	a := s.now
	if a.answers >= callsNeeded && a.lateness > budgetUsedMax*a.answers {
		s.point -= stepMax
		s.slope = -0.5
		s.limitTo(ceiling)
		s.open(now, ceiling)
		return
	}
	switch {
	case s.another(&a): // a pair, or a stride, of two cores would tell nothing
	case s.strides.on:
		s.stride()
	case !s.trying:
		s.trying = a.wanted > usedToSeek*a.length
	case !s.second:
		s.done[s.arm] = a
		s.second, s.arm = true, 1-s.arm
		s.begin(now, ceiling)
		return
	default:
		s.done[s.arm] = a
		s.judge()
	}
	s.limitTo(ceiling)
	s.open(now, ceiling)
}

// judge moves the point by what a pair has shown.
func (s *seek) judge() {
	low, high := &s.done[0], &s.done[1]
	apart := 0.0
	if low.inside > 0 && high.inside > 0 {
		apart = high.calls() - low.calls()
	}
	switch {
	case low.speaks() && high.speaks() && apart > 0.5*s.spread:
		excess := min(max((high.done()-low.done())/apart, -slopeMax), slopeMax) - slopeWanted
		s.slope += slopeGain * (excess - s.slope)
		s.remind(0.5*(high.done()+low.done()), 0.5*(high.calls()+low.calls()))
		noise := (low.noise + high.noise) / (apart * apart)
		if steep := math.Abs(excess); steep > strideSteep && steep > strideClear*math.Sqrt(noise) {
			s.strides = strides{on: true, length: math.Copysign(strideBack, excess), turned: true, since: s.last}
		}
		s.move(excess, noise)
		s.proved += provedGain * (s.point - s.proved)
		s.spread = min(max(spreadPerSlope*math.Abs(s.slope), spreadMin), spreadMax)
	case high.wanted < usedToJudge*high.length:
		s.point += s.spread // demand fits the high arm: let it
		s.trying = false
	}
}

// move takes the step that a slope deserves, by its noise, which is a variance. While nothing changes, steps become shorter, since each pair tells little, and all together
// tell much; but only as often as the way changes, so that a point that is far off gets there soon (accelerated stochastic approximation, Kesten, Ann. Math. Stat. 1958).
func (s *seek) move(excess, noise float64) {
	step := stepPerSlope * max(settledStep, 1/(1+s.settled/settlePairs))
	if up := excess > 0; up != s.upward {
		s.upward = up
		s.settled++
	}
	s.point += min(max(step/(1+noise/noiseTrusted)*excess, -stepMax), stepMax)
}

// another holds an arm against what is usual, and reports whether this must be another core: it does much more or less, and not because there are more or fewer calls
// inside. Then what was found says nothing any more, and strides look for it anew.
func (s *seek) another(a *arm) bool {
	if s.usual == 0 || !a.tells() {
		return false
	}
	differs := max(changeMin, changeNoise*math.Sqrt(a.noise)) + math.Abs(a.calls()-s.usualInside)
	off := a.done() - s.usual
	if math.Abs(off) <= differs {
		return false
	}
	s.usual, s.settled = 0, 0
	s.strides = strides{on: true, length: strideBack, since: s.last}
	if off < 0 { // more often than not it is its knee that has come down, if the core does less; too much does harm
		s.strides.length = -strideLong
	}
	s.trying = false
	return true
}

// remind keeps what is usual.
func (s *seek) remind(done, inside float64) {
	if s.usual == 0 {
		s.usual, s.usualInside = done, inside
	}
	s.usual += usualGain * (done - s.usual)
	s.usualInside += usualGain * (inside - s.usualInside)
}

// limitTo keeps the point where it is sane: a limit that was never filled is not believed.
func (s *seek) limitTo(ceiling int) {
	most := max(seekRoom, 2*float64(max(s.most[0], s.most[1])), math.Exp(s.proved))
	most = max(seekMin, min(most, CeilingMax, float64(ceiling)))
	s.point = min(max(s.point, math.Log(seekMin)), math.Log(most))
}
