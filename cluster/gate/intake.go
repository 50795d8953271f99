package gate

import (
	"math"
	"math/bits"
)

const (
	intakeFirst = 12 // times below 2^12 ns, 4 µs, count as the shortest
	intakeBins  = 4 * 28
	intakeCut   = 3.0  // slownesses, after which a call counts as no longer
	intakeLevel = 1.25 // the mean of times that are cut there, in slownesses: with it, a slowness is about the median of lognormal times
	intakeNoise = 0.05 // squared coefficient of variation that a time has at least: no core is as even as it looks in a few calls
	bisections  = 40
)

// intake is the calls that were begun while the limit stood at one place, and for how long they held their seats, per unit of weight, in
// quarters of octaves. It tells how slow the core was for them:
//
//	slowness: the s at which the mean of min(time/weight, 3 s), weighted by the weights, is 1.25 s
//
// That is a scale estimate by Huber's proposal (Ann. Math. Stat. 1964): if the core does everything at half the pace, s doubles exactly, whatever the times are
// distributed like. Long tails, which make a mean of them worthless (with a coefficient of variation of 4 it takes 1,600 calls to know it within a tenth), count for little. A
// call that is still inside after 3 s weighs as much as one that ends later: nobody has to wait for the last.
type intake struct {
	all, allSquare       float64             // sums of the weights, and of their squares, of all that were begun
	weight, square, time [intakeBins]float64 // of those that ended: the same, and their times, ns
}

// begin counts a call.
func (c *intake) begin(weight float64) {
	c.all += weight
	c.allSquare += weight * weight
}

// forget takes back a call that was begun.
func (c *intake) forget(weight float64) {
	c.all -= weight
	c.allSquare -= weight * weight
}

// end counts the time of a call that was begun, in ns.
func (c *intake) end(weight, time float64) {
	per, bin := uint64(max(time, 0)/weight), 0
	if octave := bits.Len64(per) - 1; octave >= intakeFirst {
		bin = min(4*(octave-intakeFirst)+int(per>>(octave-2)&3), intakeBins-1)
	}
	c.weight[bin] += weight
	c.square[bin] += weight * weight
	c.time[bin] += time
}

// slowness gives the logarithm of it, in ns, and its variance. It is not known while so many calls are inside that all may still become slow.
func (c *intake) slowness() (log, variance float64, known bool) {
	late, lateSquare := c.all, c.allSquare
	for i, w := range c.weight {
		late -= w
		lateSquare -= c.square[i]
	}
	late, lateSquare = max(late, 0), max(lateSquare, 0)
	if c.all <= 0 || intakeCut*late >= intakeLevel*c.all {
		return 0, 0, false
	}
	low, high := 0.0, float64(intakeFirst+intakeBins/4)*math.Ln2
	for range bisections {
		log = 0.5 * (low + high)
		per, sum := math.Exp(-log), intakeCut*late
		for i, w := range c.weight {
			sum += min(c.time[i]*per, intakeCut*w)
		}
		if sum > intakeLevel*c.all {
			low = log
		} else {
			high = log
		}
	}
	const off = intakeCut - intakeLevel
	per, grows := math.Exp(-log), 0.0 // what of the mean grows as the core slows down
	variance = off * off * lateSquare
	for i, w := range c.weight {
		if w == 0 {
			continue
		}
		x := min(c.time[i]*per/w, intakeCut)
		variance += (x - intakeLevel) * (x - intakeLevel) * c.square[i]
		if x < intakeCut {
			grows += w * x
		}
	}
	if grows <= 0 {
		return 0, 0, false
	}
	return log, max(variance/(grows*grows), intakeNoise*c.allSquare/(c.all*c.all)), true
}
