package gate

import "time"

// Constants of the estimators, tuned in simulation of the gate before processor-sharing, convoying and flat cores.
const (
	stretchGain  = 0.01  // of the moving average: about the last hundred answers
	quantileGain = 0.02  // of the running quantiles
	ageGain      = 0.002 // of the usual age: about the last five hundred
	agedPart     = 0.5   // of the age of the calls inside, that counts as the time which they will have taken
	priorAnswers = 10    // what the expected service time counts for, so that one odd first answer is not believed
	// Where the quantiles start: those of a lognormal service time with coefficient of variation 1, over its mean.
	medianStart = 0.71
	tailStart   = 2.8
	// Where they stop: beyond these lies a fault of measurement, not a core.
	quantileMin = 0.05
	quantileMax = 50.0
)

// estimate knows how long a call takes, per unit of weight.
//
// stretch is an exponentially weighted moving average (Roberts, Technometrics 1959) of elapsed time over weight, late
// answers included: leaving them out would call a core fast because only its quick answers came in time. Until about a
// hundred answers are in, it is the plain mean of them and of a prior. The quantiles are of elapsed/(stretch*weight), found by stochastic
// approximation (Robbins and Monro, Ann. Math. Stat. 1951): each answer moves them up or down a little, in the
// proportion in which answers should lie above and below.
//
// age is how old the calls inside usually are, over the stretch. With exponential times that is 1; with long tails a multiple of it, since the few
// long calls are inside for most of the time (the inspection paradox: E[T²]/2E[T], of renewal theory). It moves slowly, so that a core which slows down is seen against it.
type estimate struct {
	stretch float64 // ns per unit of weight
	median  float64 // q50 of elapsed/(stretch*weight)
	tail    float64 // q95 of it
	age     float64
	answers uint64
}

func newEstimate(serviceTime time.Duration) estimate {
	return estimate{stretch: float64(serviceTime), median: medianStart, tail: tailStart}
}

func (e *estimate) observe(elapsed time.Duration, w work) {
	perWeight := float64(elapsed) * float64(workUnit) / float64(w)
	e.answers++
	gain := max(stretchGain, 1/float64(priorAnswers+e.answers))
	e.stretch += gain * (perWeight - e.stretch)
	ratio := perWeight / e.stretch
	e.median = approach(e.median, ratio, 0.50)
	e.tail = max(e.median, approach(e.tail, ratio, 0.95))
}

// observeAge takes note of how old the calls inside are, in ns per unit of weight.
func (e *estimate) observeAge(age float64) { e.age += ageGain * (age/e.stretch - e.age) }

// approach moves the estimate q of the p-quantile by one observation. The step is in proportion to q, since what is
// estimated is a positive ratio without a scale of its own.
func approach(q, observed, p float64) float64 {
	if observed > q {
		q += quantileGain * q * p
	} else {
		q -= quantileGain * q * (1 - p)
	}
	return min(max(q, quantileMin), quantileMax)
}

// typical is how long a call of this work takes in the middle case, in ns.
func (e *estimate) typical(w work) float64 {
	return e.median * e.stretch * float64(w) / float64(workUnit)
}
