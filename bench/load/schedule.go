package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Step is a rate that holds from an offset on.
type Step struct {
	From      time.Duration
	PerSecond float64
}

// Curve is the rate of arrivals over time: the steps in order of From, the first at 0. A burst is a short, high step.
type Curve []Step

// Bounds of a curve.
const (
	StepsMax     = 100_000
	PerSecondMax = 10_000_000
)

// Constant is a curve of one rate.
func Constant(perSecond float64) Curve { return Curve{{0, perSecond}} }

// Check says what of a curve cannot be.
func (c Curve) Check() error {
	if len(c) == 0 || len(c) > StepsMax {
		return fmt.Errorf("load: a curve of %d steps; it has 1 to %d", len(c), StepsMax)
	}
	for i, s := range c {
		switch {
		case i == 0 && s.From != 0:
			return fmt.Errorf("load: the curve begins at %v; let its first step begin at 0", s.From)
		case i > 0 && s.From <= c[i-1].From:
			return fmt.Errorf("load: step %d of the curve begins at %v, not after %v", i, s.From, c[i-1].From)
		case !(s.PerSecond >= 0 && s.PerSecond <= PerSecondMax):
			return fmt.Errorf("load: step %d of the curve has a rate of %v a second; it may be 0 to %d", i, s.PerSecond, PerSecondMax)
		}
	}
	return nil
}

// Expected is the mean number of arrivals until an offset.
func (c Curve) Expected(until time.Duration) (arrivals float64) {
	for i, step := range c {
		end := until
		if i+1 < len(c) {
			end = min(end, c[i+1].From)
		}
		arrivals += step.PerSecond * max(0, end-step.From).Seconds()
	}
	return arrivals
}

// Schedule is a Poisson process on a curve: the offsets of arrivals from the start of a run, drawn one after the other and
// numbered from 0. The gaps of a Poisson process of rate 1 are exponential with mean 1; read as amounts of the curve's integral
// they become the process of that curve (the time-change theorem; Çınlar, Introduction to Stochastic Processes, 4.7).
//
// A schedule is used by one goroutine.
type Schedule struct {
	curve     Curve
	end       time.Duration
	source    *rand.PCG
	step      int
	at        float64 // seconds
	drawn     int64
	share, of int64
}

// SharesMax bounds the processes that share a schedule.
const SharesMax = 1024

// NewSchedule draws the arrivals before end on a curve. The same seed and curve give the same arrivals.
func NewSchedule(seed uint64, curve Curve, end time.Duration) (*Schedule, error) {
	if err := curve.Check(); err != nil {
		return nil, err
	}
	return &Schedule{curve: curve, end: end, source: rand.NewPCG(seed, 0x6e657462616e6b), of: 1}, nil
}

// Share restricts the schedule to the arrivals whose number leaves the remainder k when divided by of. All of them are drawn still,
// so that of processes with one seed and a share each offer together exactly what one process would: the same arrivals, at
// the same offsets, under the same numbers. It is called before the first Next.
func (s *Schedule) Share(k, of int) error {
	if of < 1 || of > SharesMax || k < 0 || k >= of {
		return fmt.Errorf("load: share %d of %d; there may be %d shares, counted from 0", k, of, SharesMax)
	}
	if s.drawn > 0 {
		return fmt.Errorf("load: a schedule of which %d arrivals were drawn cannot be shared any more", s.drawn)
	}
	s.share, s.of = int64(k), int64(of)
	return nil
}

// Next gives the number and the offset of the next arrival of the schedule's share, or false when there is none before the
// end.
func (s *Schedule) Next() (n int64, at time.Duration, ok bool) {
	for {
		if at, ok = s.draw(); !ok {
			return 0, 0, false
		}
		n = s.drawn
		s.drawn++
		if n%s.of == s.share {
			return n, at, true
		}
	}
}

// until takes from the schedule what is due at an offset or later.
func (s *Schedule) until(end time.Duration) { s.end = min(s.end, end) }

// draw gives the offset of the next arrival, whosoever it is.
func (s *Schedule) draw() (time.Duration, bool) {
	need := exponential(s.source)
	end := s.end.Seconds()
	for {
		until, rate := end, s.curve[s.step].PerSecond
		last := s.step == len(s.curve)-1
		if !last {
			until = min(end, s.curve[s.step+1].From.Seconds())
		}
		if room := rate * (until - s.at); need < room {
			s.at += need / rate
			return time.Duration(s.at * float64(time.Second)), true
		} else {
			need -= room
		}
		s.at = until
		if last || until >= end {
			return 0, false
		}
		s.step++
	}
}

// uniform draws from [0, 1).
func uniform(source rand.Source) float64 { return float64(source.Uint64()>>11) / (1 << 53) }

// exponential draws from the exponential distribution of mean 1. By inversion rather than rand.ExpFloat64, whose algorithm is not
// promised to stay. 1-u is in (0, 1].
func exponential(source rand.Source) float64 { return -math.Log1p(-uniform(source)) }

// Lognormal draws from the lognormal distribution of a mean and a coefficient of variation, by inversion: how long customers
// think, or take to type. A mean of 0 or less gives 0.
func Lognormal(source rand.Source, mean time.Duration, variation float64) time.Duration {
	if mean <= 0 {
		return 0
	}
	sigma2 := math.Log1p(variation * variation)
	// The middle of each of 2^53 cells: neither end of (0, 1), where the normal quantile is infinite.
	normal := math.Sqrt2 * math.Erfinv(2*(uniform(source)+0x1p-54)-1)
	return time.Duration(min(float64(MeasureMax), float64(mean)*math.Exp(math.Sqrt(sigma2)*normal-sigma2/2)))
}

// Mix scatters a number under a seed (SplitMix64's finaliser; Steele, Lea, Flood, OOPSLA 2014): which customer or payment
// the nth request is about, without a source that goroutines would share.
func Mix(seed, n uint64) uint64 {
	z := seed + (n+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
