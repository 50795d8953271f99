package gate

import "math"

// cohorts is the number of seconds for which it is remembered how many began.
const cohorts = 128

// ages measures how many of those who begin something go on to its end, and how long after. At each age it counts those who did of all who have come to that
// age, so that neither many who have just begun nor a pause in which only the slow ones are left misleads it.
type ages struct {
	part   float64 // of all that goes on, as long as nothing is known
	after  float64 // seconds in the mean; the same
	weight float64 // people that this counts for
	kept   float64 // a second, of what is known of earlier ones
	// later: whoever has not gone on at the ages that are known will at a later one, at first; else he will not.
	later bool

	second  int64            // of the newest cohort
	began   [cohorts]float64 // in each of the last seconds
	reached [cohorts]float64 // who have come to each age, of late
	went    [cohorts]float64 // of these, who went on at that age
	yet     [cohorts]float64 // part of all who will go on at this age or later
	goOn    float64          // at any
	mean    float64          // seconds to that
}

func cohort(second int64) int { return int((second%cohorts + cohorts) % cohorts) }

// turn moves on by one second.
func (a *ages) turn() {
	a.second++
	for age := range int64(cohorts) {
		a.reached[age] = a.kept * (a.reached[age] + a.began[cohort(a.second-1-age)])
		a.went[age] *= a.kept
	}
	a.began[cohort(a.second)] = 0
	a.learn()
}

// begin counts some who begin now.
func (a *ages) begin(n float64) { a.began[cohort(a.second)] += n }

// end counts somebody who has gone on, and began then.
func (a *ages) end(began Time) {
	if age := a.second - int64(math.Floor(began.Seconds())); age >= 0 && age < cohorts {
		a.went[age]++
	}
}

// ready is how many of those who have begun will still go on, as far as can be expected.
func (a *ages) ready() (n float64) {
	for age := range int64(cohorts) {
		n += a.yet[age] * a.began[cohort(a.second-age)]
	}
	return n
}

func (a *ages) learn() {
	gone, known, seconds := 0.0, 0.0, 0.0
	for age := range a.yet {
		of := a.reached[age] + a.weight
		part := (a.went[age] + a.weight*a.prior(float64(age), gone, known, seconds)) / of
		gone += part
		known += a.went[age] / of
		seconds += a.went[age] / of * (float64(age) + 0.5)
		a.yet[age] = part
	}
	a.goOn, a.mean = 0, 0
	for age := cohorts - 1; age >= 0; age-- {
		part := a.yet[age]
		a.goOn += part
		a.yet[age] = a.goOn
		a.mean += part * (float64(age) + 0.5)
	}
	a.mean /= a.goOn
	a.goOn = min(a.goOn, 1)
}

// prior is the part of all who will go on at an age of which nothing is known, when so many go on before; so many are known to, after so many seconds together.
func (a *ages) prior(age, gone, known, seconds float64) float64 {
	within := 1 - math.Exp(-1/a.after)
	if !a.later {
		return a.part * math.Exp(-age/a.after) * within
	}
	// Nobody knows yet what those do who began earliest; but who has not gone on when most others did long ago has probably left.
	stays := math.Exp(-known / a.part * max(age*known/max(seconds, WeightMin)-goneAfter, 0))
	return max(a.part-gone, 0) * stays * within
}
