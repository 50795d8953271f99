package gate

import "math"

// Constants of the strides, in natural logarithms where they are lengths.
const (
	strideLong  = 0.7 // a factor of two
	strideBack  = 0.5 // at most, the other way than it began
	strideShort = 0.35
	strideGain  = 0.05 // slope of work against calls for which there is another
	strideFlat  = 0.3  // below it strides become short
	strideFar   = 1.0  // from the best to a place that it came to while demand left seats over
	strideCalls = 40   // that a stride begins at least, and
	stridePer   = 2.5  // for each seat
	strideSteep = 0.5  // slope between two arms, after which strides go that way, if it is
	strideClear = 3.0  // standard errors
	strideIdle  = 10 * second
	seatsUsed   = 0.7 // part of the seats that is used by a demand which may soon want more
	freeMore    = 0.2 // calls more
	freeSlope   = 0.7 // that were hardly a burden to each other

	second Time = 1e9
)

// strides are how the search gets far soon: from a start that means nothing, and before a core that has become another one. Each stride moves the point,
// and is kept if more work is done; the first one that is not turns the search round, once, and then ends it. The arms are short: what a whole
// stride changes is seen in a hundred calls.
type strides struct {
	on     bool
	length float64 // of the next, downward if negative
	turned bool    // or need not be: the other way is known to be worse
	best   arm     // no length: none yet
	since  Time    // the last arm whose seats were wanted
}

// stride judges an arm, and moves the point.
func (s *seek) stride() {
	t, a := &s.strides, s.now
	best := &t.best
	if !a.tells() {
		// Demand that is about to fill the seats need not wait, if those inside are hardly a burden to each other.
		if a.speaks() && a.inside > seatsUsed*float64(s.seats)*a.length && a.free(best) {
			s.point += math.Abs(t.length)
		}
		t.on = s.last-t.since < strideIdle
		return
	}
	t.since = s.last
	if best.length == 0 {
		*best = a
		s.point += t.length
		return
	}
	more := a.calls() - best.calls()
	gained := a.done() - best.done()
	if more > strideFar { // it came here while demand left seats over: the top may lie behind
		*best, t.turned, t.length = a, false, strideShort
		if gained < strideFlat*more {
			t.length = -strideShort
		}
		s.point = a.point + t.length
		return
	}
	if gained < strideFlat*more {
		t.length = math.Copysign(strideShort, t.length)
	}
	switch {
	case gained > strideGain*more:
		*best, t.turned = a, true
		s.point = a.point + t.length
	case !t.turned:
		t.turned = true
		t.length = -math.Copysign(min(math.Abs(t.length), strideBack), t.length)
		s.point = best.point + t.length
	default:
		doubt := 1 + gained/math.Sqrt(best.noise+a.noise) // whether the best is better than the last
		s.point = best.point + 0.5*min(max(doubt, 0), 1)*(a.point-best.point)
		s.proved = s.point
		s.spread, s.slope = spreadFound, spreadFound/spreadPerSlope
		s.trying = true
		*t = strides{}
	}
}

// free reports whether the calls of an arm were hardly more of a burden to each other than the fewer ones of another.
func (a *arm) free(fewer *arm) bool {
	if fewer.length == 0 {
		return false
	}
	more := a.calls() - fewer.calls()
	return more > freeMore && a.done()-fewer.done() > freeSlope*more
}
