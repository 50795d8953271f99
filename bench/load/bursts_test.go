package load

import (
	"math"
	"slices"
	"testing"
	"time"
)

// The counts of many seeds in windows from the start of each: a stationary sample of the doubly random process.
func countsOf(t *testing.T, b *Bursts, perSecond float64, window time.Duration, seeds int) (mean, variance float64) {
	t.Helper()
	var sum, squares float64
	for seed := range uint64(seeds) {
		curve := Constant(perSecond)
		if b != nil {
			var err error
			if curve, err = b.Curve(seed, curve, window); err != nil {
				t.Fatal(err)
			}
		}
		n := float64(len(offsets(t, seed, curve, window)))
		sum += n
		squares += n * n
	}
	mean = sum / float64(seeds)
	return mean, squares/float64(seeds) - mean*mean
}

// The index of dispersion is what makes bursts bursts; its formula is checked against the process as drawn, for windows
// shorter and longer than a burst.
func TestBurstsKeepTheMeanAndHaveTheirDispersion(t *testing.T) {
	const seeds, perSecond = 4000, 50.
	f := func(b Bursts, window time.Duration) {
		t.Helper()
		mean, variance := countsOf(t, &b, perSecond, window, seeds)
		expected, dispersion := perSecond*window.Seconds(), b.Dispersion(perSecond, window)
		// Six standard errors of a mean whose variance is the dispersion's.
		if off := math.Abs(mean - expected); off > 6*math.Sqrt(dispersion*expected/seeds) {
			t.Errorf("%+v within %v: %.2f arrivals on average, expected %.2f", b, window, mean, expected)
		}
		if got := variance / mean; math.Abs(got/dispersion-1) > .15 || dispersion < 1 {
			t.Errorf("%+v within %v: an index of dispersion of %.2f, analytically %.2f", b, window, got, dispersion)
		}
	}
	gusts := Bursts{Factor: 10, Calm: 2 * time.Second, Burst: 200 * time.Millisecond}
	f(gusts, 100*time.Millisecond)
	f(gusts, 2*time.Second)
	f(gusts, 20*time.Second)
	f(Bursts{Factor: 3, Calm: time.Second, Burst: time.Second}, 5*time.Second)
	f(Bursts{Factor: 1, Calm: time.Second, Burst: time.Second}, 5*time.Second)
	if mean, variance := countsOf(t, nil, perSecond, 2*time.Second, seeds); math.Abs(variance/mean-1) > .15 {
		t.Errorf("without bursts the index of dispersion is %.2f, expected 1", variance/mean)
	}
	if d := gusts.Dispersion(perSecond, 20*time.Second); d < 5 {
		t.Errorf("these bursts have an index of dispersion of %.2f, which is hardly a burst", d)
	}
}

func TestOneSeedGivesTheSameBursts(t *testing.T) {
	b := Bursts{Factor: 10, Calm: time.Second, Burst: 100 * time.Millisecond}
	base := Curve{{0, 100}, {3 * time.Second, 0}, {5 * time.Second, 400}}
	draw := func(seed uint64) Curve {
		c, err := b.Curve(seed, base, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	one := draw(7)
	if !slices.Equal(one, draw(7)) || slices.Equal(one, draw(8)) {
		t.Error("the seed does not decide")
	}
	// The path is the base's times one of two factors, and changes nowhere without a reason.
	calm, burst := b.rates()
	for i, s := range one {
		step := len(base) - 1
		for base[step].From > s.From {
			step--
		}
		rate := base[step].PerSecond
		if s.PerSecond != rate*calm && s.PerSecond != rate*burst {
			t.Errorf("step %d has a rate of %v on a base of %v", i, s.PerSecond, rate)
		}
	}
	for _, s := range base {
		if !slices.ContainsFunc(one, func(d Step) bool { return d.From == s.From }) {
			t.Errorf("the base's step at %v is lost", s.From)
		}
	}
}

func TestBurstsThatCannotBeAreRefused(t *testing.T) {
	f := func(b Bursts, base Curve, end time.Duration) {
		t.Helper()
		if _, err := b.Curve(1, base, end); err == nil {
			t.Errorf("%+v on %v until %v was taken", b, base, end)
		}
	}
	good := Bursts{Factor: 2, Calm: time.Second, Burst: time.Second}
	if _, err := good.Curve(1, Constant(1), time.Minute); err != nil {
		t.Fatal(err)
	}
	f(good, nil, time.Minute)
	f(Bursts{Factor: .5, Calm: time.Second, Burst: time.Second}, Constant(1), time.Minute)
	f(Bursts{Factor: math.NaN(), Calm: time.Second, Burst: time.Second}, Constant(1), time.Minute)
	f(Bursts{Factor: burstFactorMax + 1, Calm: time.Second, Burst: time.Second}, Constant(1), time.Minute)
	f(Bursts{Factor: 2, Burst: time.Second}, Constant(1), time.Minute)
	f(Bursts{Factor: 2, Calm: time.Second, Burst: MeasureMax + 1}, Constant(1), time.Minute)
	f(Bursts{Factor: 2, Calm: time.Millisecond, Burst: time.Millisecond}, Constant(1), time.Hour)
	f(Bursts{Factor: 1000, Calm: time.Hour, Burst: time.Millisecond}, Constant(PerSecondMax), time.Hour)
}
