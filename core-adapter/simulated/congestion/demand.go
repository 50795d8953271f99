package congestion

import (
	"math"
	"math/rand/v2"
	"time"
)

// Mean demands of the operations that admission and the benchmarks count with: how long each would take alone in a core
// of capacity 1.
const (
	ConfirmMean = 40 * time.Millisecond
	ExpressMean = 30 * time.Millisecond
	SignInMean  = 20 * time.Millisecond
	InquiryMean = 8 * time.Millisecond
)

// Demands draws the work of single jobs from a lognormal distribution with a coefficient of variation. The same seed
// gives the same sequence. It is not safe for concurrent use.
type Demands struct {
	random *rand.Rand
	mu     float64 // of the underlying normal distribution for a mean of 1
	sigma  float64
}

// NewDemands takes the coefficient of variation (standard deviation divided by mean; 0 makes every demand the mean) and a seed.
func NewDemands(cv float64, seed uint64) *Demands {
	variance := math.Log1p(cv * cv) // of ln X, when X is lognormal with this cv
	return &Demands{random: rand.New(rand.NewPCG(seed, 0x636f7265)), mu: -variance / 2, sigma: math.Sqrt(variance)}
}

// Draw gives one demand of the given mean, at least 1 ns unless the mean is 0.
func (d *Demands) Draw(mean time.Duration) time.Duration {
	if mean <= 0 {
		return 0
	}
	work := float64(mean) * math.Exp(d.mu+d.sigma*d.random.NormFloat64())
	return max(1, time.Duration(min(work, float64(math.MaxInt64/2))))
}
