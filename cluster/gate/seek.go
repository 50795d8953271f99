package gate

import (
	"math"
	"time"
)

// Constants of the search for the limit, tuned in simulation (bench/sim). Lengths on the axis of limits are natural logarithms: 0.30
// is a factor of 1.35.
const (
	seekStart      = 32   // the limit to begin with, where none is configured
	seekMin        = 4    // the lowest point
	seekRoom       = 32   // points up to here need no proof
	spreadMax      = 0.30 // from the point to each arm
	spreadMin      = 0.08
	spreadPerSlope = 0.4
	slopeWanted    = 0.05 // more work per more seats: where less is gained than this, the limit is high enough
	slopeMax       = 1.5  // steeper ones are noise
	slopeGain      = 0.2
	provedGain     = 0.3
	stepPerSlope   = 0.60
	stepMax        = 0.40 // of the point, after one pair
	noiseOfAnswer  = 1.5  // variance of the logarithm of a rate, times the number of answers it was counted by
	noiseTrusted   = 0.09 // squared error of a slope at which the step is halved
	changeMin      = 0.3  // by which the logarithm of the work done has to differ from what is usual, for the core to be another one
	changeNoise    = 3.5  // standard errors of that logarithm, which it has to differ by as well
	changePairs    = 2    // for which slopes that are clear are then believed more, and steps are longer:
	changeClear    = 2.0  // standard errors
	changeTrusted  = 1.0
	changeStep     = 1.2
	changeStepMax  = 1.0
	usualGain      = 0.2
	settlePairs    = 4.0  // pairs that led the other way than the one before, after which steps are half as long,
	settledStep    = 0.25 // and in the end this part
	climbStride    = 0.5  // of the point, while it climbs
	climbSlope     = 0.15 // gained by a stride for which there is another
	climbLost      = -0.1 // by a stride, for which the one before is taken back as well
	elapsedGain    = 0.005
	elapsedPrior   = 20.0 // answers that the expected time counts for
	unevenMuch     = 2.0  // above this, calls are so uneven that a step up looks like more of a gain than it is:
	unevenSlope    = 0.4  // so much, for each
	unevenSlopeMax = 0.6
	skipMin        = 20 * time.Millisecond
	skipMax        = 2 * time.Second // that a new arm is left to itself, for the calls of the last to leave
	measureMin     = 400 * time.Millisecond
	measureClimb   = 100 * time.Millisecond // at least, while it climbs
	measureMax     = 2 * time.Second        // for which an arm waits for its answers
	measureAnswers = 100                    // that an arm hears, if it hears them in time
	arrivalsNeeded = 20                     // fewer answers tell nothing
	usedToJudge    = 0.8                    // part of the time in which an arm's seats were all wanted
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
// The slope is of work, not of answers, or a change of the mix would look like one of capacity; and against the calls that were
// inside, not those allowed, or demand that fits would look like a flat core.
type seek struct {
	enabled bool
	point   float64 // ln of the limit
	spread  float64 // from the point to each arm
	slope   float64 // moving average, less the slope that is wanted
	proved  float64 // moving average of the points at which a slope was measured
	seats   int     // allowed now

	climbing    bool    // from a start that means nothing, by strides, for as long as they do clearly more work
	usual       float64 // moving average of the logarithm of the work done in a time; 0: not known
	usualInside float64 // and of that of the calls inside
	changed     int     // pairs for which the core is still taken for another one
	settled     float64 // pairs since then that led the other way than the one before
	upward      bool    // the way that the last one led

	held   bool // by a stall: nothing is measured
	trying bool // two arms, rather than the point alone: seats are wanted
	arm    int  // 0 low, 1 high
	second bool // of the pair
	done   [2]arm
	before arm // while climbing: the last one
	now    arm
	opened Time // when the present arm was opened; it measures after the skip
	from   Time // when it begins to measure
	last   Time // of the last event

	elapsed  float64 // moving average of a call's time, ns
	square   float64 // and of its square, ns²
	heard    float64 // answers
	most     [2]int  // calls inside, in this and the last half of mostFor
	mostFrom Time
	random   uint64
}

// arm is what was measured while the limit stood at one place.
type arm struct {
	length   float64 // ns
	inside   float64 // integral of the calls inside, ns
	wanted   float64 // ns in which every seat was taken, or somebody waited
	work     float64 // of the answers
	answers  float64
	lateness float64 // sum of the parts of their budgets that the answered calls were inside, each at most 1
}

// tells reports whether an arm says what the core does at its limit: its seats were wanted, and answers came.
func (a *arm) tells() bool {
	return a.wanted > usedToJudge*a.length && a.answers >= arrivalsNeeded && a.work > 0 && a.inside > 0
}

// done is the logarithm of the work done in a time, calls that of the calls inside.
func (a *arm) done() float64  { return math.Log(a.work / a.length) }
func (a *arm) calls() float64 { return math.Log(a.inside / a.length) }

// start begins anew at a limit: one that was found or set, or one that means nothing, from which it climbs.
func (s *seek) start(now Time, limit int, climbs bool, service time.Duration, seed uint64, ceiling int) {
	*s = seek{enabled: true, climbing: climbs, spread: spreadMax, slope: 1, elapsed: float64(service), square: 2 * float64(service) * float64(service), random: seed, last: now, mostFrom: now}
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
	if s.trying {
		at += s.spread * float64(2*s.arm-1)
	}
	s.seats = min(max(1, int(math.Exp(at)+1e-9)), ceiling)
	s.now = arm{}
	s.opened = now
	s.from = now + Time(min(max(s.settling(), float64(skipMin)), float64(skipMax)))
}

// settling gives how long the calls inside take to forget the last arm, in ns: the mean time that a call has still before it when
// it is looked at in the middle, E[T²]/2E[T] (residual life, of renewal theory). With exponential times that is their mean. With long tails it is a
// multiple: after a step up the many short calls among the new ones are answered at once, and the long ones, which will take their
// seats for good, have not made themselves felt. Measured too early, every step up looks like a gain.
func (s *seek) settling() float64 { return s.square / (2 * max(s.elapsed, 1)) }

// unevenness is how much more the times of calls differ than exponential ones: 1 if not at all.
func (s *seek) unevenness() float64 { return max(1, s.settling()/max(s.elapsed, 1)) }

// illusion is how much of a slope comes of uneven calls alone, beyond what settling can wait for.
func (s *seek) illusion() float64 {
	return min(unevenSlope*max(s.unevenness()-unevenMuch, 0), unevenSlopeMax)
}

// pass lets time pass in which so many calls were inside, and says whether the limit may have moved.
func (s *seek) pass(now Time, inside int, wanted, stalled bool, ceiling int) bool {
	since := max(s.last, s.from)
	s.last = now
	s.remember(now, inside)
	if stalled != s.held {
		s.held = stalled
		s.trying = s.trying && !stalled
		s.open(now, ceiling) // with the point where it is: losing capacity does not move the knee
		return true
	}
	if stalled {
		return false
	}
	if now <= since {
		return false
	}
	dt := float64(now - since)
	s.now.length += dt
	s.now.inside += dt * float64(inside)
	if wanted {
		s.now.wanted += dt
	}
	if s.now.length < s.enough() {
		return false
	}
	s.end(now, ceiling)
	return true
}

// enough gives how long the present arm has to be measured, in ns, with the answers it has heard.
func (s *seek) enough() float64 {
	least := measureMin
	if s.climbing {
		least = measureClimb
	}
	enough := max(float64(least), 1.5*float64(s.from-s.opened))
	if s.now.answers < measureAnswers {
		enough = max(enough, float64(measureMax))
	}
	return enough
}

// next names when time alone may move the limit: where nothing is answered before, the present arm ends then. False: not by time.
func (s *seek) next(stalled bool) (Time, bool) {
	switch {
	case stalled != s.held:
		return s.last, true
	case stalled:
		return 0, false
	}
	return max(s.last, s.from) + Time(math.Ceil(s.enough()-s.now.length)), true
}

// remember keeps the most calls that were inside lately.
func (s *seek) remember(now Time, inside int) {
	if now-s.mostFrom >= mostFor/2 {
		s.most[1], s.most[0], s.mostFrom = s.most[0], 0, now
	}
	s.most[0] = max(s.most[0], inside)
}

// answer counts the answer to a call of this work, after elapsed of its budget.
func (s *seek) answer(now Time, w work, elapsed, budget time.Duration) {
	s.heard++
	gain := max(elapsedGain, 1/(elapsedPrior+s.heard))
	s.elapsed += gain * (float64(elapsed) - s.elapsed)
	s.square += gain * (float64(elapsed)*float64(elapsed) - s.square)
	if now < s.from {
		return
	}
	s.now.work += float64(w)
	s.now.answers++
	if budget > 0 {
		s.now.lateness += min(1, float64(elapsed)/float64(budget))
	}
}

// end judges an arm, and a pair.
func (s *seek) end(now Time, ceiling int) {
	a := s.now
	if a.answers >= arrivalsNeeded && a.lateness > budgetUsedMax*a.answers {
		s.point -= stepMax
		s.slope = -0.5
		s.limitTo(ceiling)
		s.open(now, ceiling)
		return
	}
	switch {
	case s.climbing:
		s.climb()
		s.limitTo(ceiling)
		s.open(now, ceiling)
	case !s.trying:
		s.trying = a.wanted > usedToSeek*a.length
		s.limitTo(ceiling)
		s.open(now, ceiling)
	case s.another(a):
		s.open(now, ceiling) // a pair of two cores would tell nothing
	case !s.second:
		s.done[s.arm] = a
		s.second, s.arm = true, 1-s.arm
		s.begin(now, ceiling)
	default:
		s.done[s.arm] = a
		s.judge()
		s.limitTo(ceiling)
		s.open(now, ceiling)
	}
}

// climb takes another stride if the last one was worth it. A limit that the demand does not fill proves nothing, and stays.
func (s *seek) climb() {
	a, last := s.now, s.before
	if s.unevenness() > unevenMuch {
		s.climbing, s.trying = false, true
		return
	}
	if !a.tells() {
		return
	}
	s.before = a
	if last.length > 0 {
		gained := a.done() - last.done()
		if gained < climbSlope*(a.calls()-last.calls()) {
			if gained < 0 {
				s.point -= climbStride
			}
			if gained < climbLost { // the start itself was too high
				s.point -= climbStride
			}
			s.climbing, s.trying, s.proved = false, true, s.point
			return
		}
	}
	s.point += climbStride
}

// judge moves the point by what a pair has shown.
func (s *seek) judge() {
	low, high := &s.done[0], &s.done[1]
	apart := 0.0
	if low.inside > 0 && high.inside > 0 {
		apart = high.calls() - low.calls()
	}
	switch {
	case low.tells() && high.tells() && apart > 0.5*s.spread:
		excess := min(max((high.done()-low.done())/apart, -slopeMax), slopeMax) - slopeWanted - s.illusion()
		s.slope += slopeGain * (excess - s.slope)
		s.remind(0.5*(high.done()+low.done()), 0.5*(high.calls()+low.calls()))
		s.move(excess, noiseOfAnswer*(1/low.answers+1/high.answers)/(apart*apart))
		s.proved += provedGain * (s.point - s.proved)
		s.spread = min(max(spreadPerSlope*math.Abs(s.slope), spreadMin), spreadMax)
	case high.wanted < usedToJudge*high.length:
		s.point += s.spread // demand fits the high arm: let it
		s.trying = false
	}
}

// move takes the step that a slope deserves, by its noise, which is a variance. While nothing changes, steps become shorter, since each pair tells little, and all together
// tell much; but only as often as the way changes, so that a point that is far off gets there soon (accelerated stochastic approximation, Kesten, Ann. Math. Stat. 1958). Before another core a slope that is clear is believed at once, if it leads
// down: what is too much does harm; up it goes as always.
func (s *seek) move(excess, noise float64) {
	trusted, step, most := noiseTrusted, stepPerSlope*max(settledStep, 1/(1+s.settled/settlePairs)), stepMax
	if s.changed > 0 {
		s.changed--
		if excess < -changeClear*math.Sqrt(noise) {
			trusted, step, most = changeTrusted, changeStep, changeStepMax
		}
	}
	if up := excess > 0; up != s.upward {
		s.upward = up
		s.settled++
	}
	s.point += min(max(step/(1+noise/trusted)*excess, -most), most)
}

// another holds an arm against what is usual, and reports whether this must be another core: it does much more or less, and not because there are more or fewer calls
// inside. Then what was found says nothing any more.
func (s *seek) another(a arm) bool {
	if s.usual == 0 || !a.tells() {
		return false
	}
	differs := max(changeMin*s.unevenness(), changeNoise*math.Sqrt(noiseOfAnswer/a.answers)) + math.Abs(a.calls()-s.usualInside)
	if math.Abs(a.done()-s.usual) <= differs {
		return false
	}
	s.usual, s.changed, s.settled = 0, changePairs, 0
	s.slope = math.Copysign(1, s.slope)
	s.spread = spreadMax
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
