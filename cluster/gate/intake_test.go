package gate

import (
	"math"
	"math/rand/v2"
	"testing"
)

// taken is an intake of calls with lognormal times around a median, in ms, of which those are still inside that would take longer than the last has.
func taken(n int, median, sigma, inside float64) *intake {
	random := rand.New(rand.NewPCG(1, 2))
	c := &intake{}
	for range n {
		weight := 0.25 + random.Float64()
		time := median * weight * math.Exp(sigma*random.NormFloat64())
		c.begin(weight)
		if time < inside {
			c.end(weight, time*1e6)
		}
	}
	return c
}

func TestIntake_ACoreAtHalfItsPaceIsTwiceAsSlow_HoweverUnevenTheCalls(t *testing.T) {
	for _, sigma := range []float64{0, 0.8, 1.7} {
		a, noise, known := taken(2000, 30, sigma, math.Inf(1)).slowness()
		b, _, _ := taken(2000, 60, sigma, math.Inf(1)).slowness()
		if !known || math.Abs(b-a-math.Ln2) > 0.03 {
			t.Errorf("sigma %v: from %.1f to %.1f ms, known %v", sigma, math.Exp(a)/1e6, math.Exp(b)/1e6, known)
		}
		if deviation := math.Sqrt(2000 * noise); deviation > 2.5 {
			t.Errorf("sigma %v: standard deviation %.2f for one call", sigma, deviation)
		}
	}
}

func TestIntake_TheLongestCallsNeedNotHaveEnded(t *testing.T) {
	all, _, _ := taken(2000, 30, 1.7, math.Inf(1)).slowness()
	some, _, known := taken(2000, 30, 1.7, 3*30*1.25*1.25).slowness()
	if !known || math.Abs(all-some) > 0.02 {
		t.Errorf("%.2f ms with the longest still inside (known: %v), %.2f ms when all have ended", math.Exp(some)/1e6, known, math.Exp(all)/1e6)
	}
	if _, _, known := taken(2000, 30, 0.8, 20).slowness(); known {
		t.Error("most calls are inside, and it is known how long they take")
	}
}

func TestIntake_TimesBeyondItsBinsCountAsTheNearest(t *testing.T) {
	c := &intake{}
	for _, time := range []float64{-1, 0, 1, 1e18, 1e19} {
		c.begin(1)
		c.end(1, time)
	}
	if log, noise, known := c.slowness(); known && (math.IsNaN(log) || math.IsNaN(noise)) {
		t.Errorf("slowness %v, noise %v", log, noise)
	}
}

// BenchmarkIntake is the judgement of an arm, of which there are a few a second.
func BenchmarkIntake(b *testing.B) {
	c := taken(500, 30, 0.8, math.Inf(1))
	b.ReportAllocs()
	for b.Loop() {
		c.slowness()
	}
}
