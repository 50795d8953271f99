package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Bursts makes arrivals burstier than a Poisson process: by a Markov chain of two states, calm and burst, that multiplies their rate
// (a Markov-modulated Poisson process; Fischer and Meier-Hellstern, "The Markov-modulated Poisson process (MMPP) cookbook",
// Performance Evaluation 18, 1993). Given the chain's path, arrivals are a Poisson process on a curve, which is how it is drawn
// here. The mean rate stays that of the curve without bursts: calm times are the calmer for it.
type Bursts struct {
	// Factor is the rate in a burst as a multiple of the rate in calm: 1 to 1,000.
	Factor float64
	// Calm and Burst are the mean lengths of the two states, each exponentially distributed: 1 ms to 24 h.
	Calm, Burst time.Duration
}

// Bounds of bursts.
const (
	burstFactorMax = 1_000
	burstStateMin  = time.Millisecond
)

// Check says what of the bursts cannot be.
func (b Bursts) Check() error {
	switch {
	case !(b.Factor >= 1 && b.Factor <= burstFactorMax):
		return fmt.Errorf("load: bursts of %v times the calm rate; it may be 1 to %d times", b.Factor, burstFactorMax)
	case min(b.Calm, b.Burst) < burstStateMin || max(b.Calm, b.Burst) > MeasureMax:
		return fmt.Errorf("load: bursts of %v in a calm of %v; the mean of each may be %v to %v", b.Burst, b.Calm, burstStateMin, MeasureMax)
	}
	return nil
}

// Share is the long-run share of time that is burst.
func (b Bursts) Share() float64 { return b.Burst.Seconds() / (b.Calm + b.Burst).Seconds() }

// rates are what calm and burst multiply a rate by so that its mean stays.
func (b Bursts) rates() (calm, burst float64) {
	calm = 1 / (1 - b.Share() + b.Share()*b.Factor)
	return calm, calm * b.Factor
}

// Curve draws the chain's path and gives the curve that arrivals follow until end. The same seed gives the same curve. The chain
// begins in its stationary state, so that the expected rate is the base's from the first moment on.
func (b Bursts) Curve(seed uint64, base Curve, end time.Duration) (Curve, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	if err := base.Check(); err != nil {
		return nil, err
	}
	// A source of its own: the same seed draws the arrivals.
	source := rand.NewPCG(seed, 0x627572737473)
	mean, factor := [2]time.Duration{b.Calm, b.Burst}, [2]float64{}
	factor[0], factor[1] = b.rates()
	state := 0
	if uniform(source) < b.Share() {
		state = 1
	}
	var (
		drawn Curve
		step  int
	)
	for at := time.Duration(0); at < end; state = 1 - state {
		// What is left of a state is exponential whenever one looks, so the first is drawn like the others.
		until := at + max(1, time.Duration(exponential(source)*float64(mean[state])))
		for at < min(until, end) {
			drawn = append(drawn, Step{at, base[step].PerSecond * factor[state]})
			if len(drawn) > StepsMax {
				return nil, fmt.Errorf("load: bursts of %v in a calm of %v change the rate more than %d times within %v; make them longer", b.Burst, b.Calm, StepsMax, end)
			}
			next := min(until, end)
			if step+1 < len(base) && base[step+1].From <= next {
				step++
				next = base[step].From
			}
			at = next
		}
	}
	if err := drawn.Check(); err != nil {
		return nil, err
	}
	return drawn, nil
}

// Dispersion is the index of dispersion for counts that bursts on a constant rate have over a window: the variance of the number of
// arrivals in it by its mean. A Poisson process has 1 (Fischer and Meier-Hellstern, section 2; the stationary process).
func (b Bursts) Dispersion(perSecond float64, window time.Duration) float64 {
	calm, burst := b.rates()
	leaveCalm, leaveBurst := 1/b.Calm.Seconds(), 1/b.Burst.Seconds()
	sum, apart := leaveCalm+leaveBurst, perSecond*(burst-calm)
	long := 2 * leaveCalm * leaveBurst * apart * apart / (sum * sum * sum * perSecond)
	x := sum * window.Seconds()
	return 1 + long*(1+math.Expm1(-x)/x)
}
