package sim

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

func short(s Scenario) Scenario {
	s.Length = min(s.Length, 8*time.Second)
	for i := range s.Weather {
		s.Weather[i].At /= 10
	}
	for i := range s.Changes {
		s.Changes[i].At /= 16
	}
	return s
}

// TestEveryScenario plays all of them, cut short, under several policies, and asks of each run what must hold of any.
func TestEveryScenario(t *testing.T) {
	for _, s := range Scenarios() {
		if s.Times > 10 {
			continue // as 10, for longer
		}
		if full := s.withDefaults(); full.check() != nil {
			t.Error(full.check())
		}
		s = short(s)
		rs, err := Play(s, 7, Fixed(64), Off(), Lined(Seek(0)))
		if err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		for _, r := range rs {
			everyCustomerHasOneOutcome(t, s, r)
			seatsAreExact(t, s, r)
			nothingOvertakes(t, s, r)
			theClairvoyantIsNotBeaten(t, s, r)
		}
	}
}

// everyCustomerHasOneOutcome, and every offer one decision.
func everyCustomerHasOneOutcome(t *testing.T, s Scenario, r Result) {
	t.Helper()

	ended := uint64(0)
	for _, of := range r.Outcomes {
		for _, n := range of {
			ended += n
		}
	}
	if ended != r.Offered {
		t.Errorf("%s, %s: %d customers, %d outcomes", s.Name, r.Policy, r.Offered, ended)
	}
	if r.offers != r.decided+r.withdrawn+r.queued {
		t.Errorf("%s, %s: %d offers, but %d decided, %d withdrawn, %d waiting at the end", s.Name, r.Policy, r.offers, r.decided, r.withdrawn, r.queued)
	}
	signed := uint64(0)
	for _, n := range r.SignedOutcomes {
		signed += n
	}
	if signed != r.Signed {
		t.Errorf("%s, %s: %d signed in, %d outcomes", s.Name, r.Policy, r.Signed, signed)
	}
}

// seatsAreExact: calls inside are never above the limit at the last start.
func seatsAreExact(t *testing.T, s Scenario, r Result) {
	t.Helper()

	if r.Violations > 0 {
		t.Errorf("%s, %s: %d violations", s.Name, r.Policy, r.Violations)
	}
}

// nothingOvertakes better work but for its guaranteed share.
func nothingOvertakes(t *testing.T, s Scenario, r Result) {
	t.Helper()

	if r.Inversions > 0 {
		t.Errorf("%s, %s: %d calls were started before waiting ones of a better class, and no share explains it", s.Name, r.Policy, r.Inversions)
	}
}

func theClairvoyantIsNotBeaten(t *testing.T, s Scenario, r Result) {
	t.Helper()

	if r.Value > r.Clairvoyant*1.03 { // its core and its customers are means; a short run has luck
		t.Errorf("%s, %s: value %.0f, the clairvoyant's is %.0f", s.Name, r.Policy, r.Value, r.Clairvoyant)
	}
}

// TestTheClairvoyant_HasAPlanForNearlyHisBound: else a gate would be measured by what nobody could do. What is bought at the last prices is such a plan, but for
// what it takes beyond the core.
func TestTheClairvoyant_HasAPlanForNearlyHisBound(t *testing.T) {
	for _, name := range []string{"load-2", "core-weather", "surge", "knee-moves", "leader", "hasty-5"} {
		s, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		s.Length = min(s.Length, 130*time.Second)
		r, err := prepare(s, Lined(Off()), 5)
		if err != nil {
			t.Fatal(err)
		}
		m := newMarket(&r.s, &r.arrivals, true)
		bound, excess, all := m.haggle(), 0.0, 0.0
		for b, can := range m.capacity {
			excess += max(0, m.used[b]-can)
			all += can
		}
		if m.bought < 0.99*bound || excess > 0.01*all {
			t.Errorf("%s: a bound of %.0f, but plans for %.0f that need %.2f %% more than the core can do", name, bound, m.bought, 100*excess/all)
		}
	}
}

// TestBest_IsTheBestOfTheNextBins holds the sliding maxima to the plain ones, sharp and blurred.
func TestBest_IsTheBestOfTheNextBins(t *testing.T) {
	for seed := range uint64(200) {
		dice := rand.New(rand.NewPCG(seed, 7))
		of := make([]float64, 1+dice.IntN(40))
		for i := range of {
			of[i] = dice.NormFloat64()
			if dice.IntN(5) == 0 {
				of[i] = math.Inf(-1)
			}
		}
		m := &market{bins: len(of), scratch: [3][]float64{2: make([]float64, len(of))}}
		got, window := make([]float64, len(of)), dice.IntN(50)
		for _, blur := range []float64{0, 0.3} {
			m.best(of, got, window, blur)
			for b := range of {
				want := math.Inf(-1)
				for _, x := range of[b:min(b+window+1, len(of))] {
					want = either(want, x, blur)
				}
				if got[b] != want && math.Abs(got[b]-want) > 1e-9 {
					t.Fatalf("seed %d, a window of %d, blur %v: the best from %d on is %v, got %v", seed, window, blur, b, want, got[b])
				}
			}
		}
	}
}

func TestTheSameSeedIsTheSameRun(t *testing.T) {
	for _, name := range []string{"load-2", "leader", "surge", "bursts"} {
		s, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		s = short(s)
		rs, err := Play(s, 3, Fixed(64), Fixed(64))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(rs[0], rs[1]) {
			t.Errorf("%s: two runs of one seed differ", name)
		}
		if other, err := Play(s, 4, Fixed(64)); err != nil || other[0].Offered == rs[0].Offered && other[0].Value == rs[0].Value {
			t.Errorf("%s: another seed brings the same", name)
		}
	}
}

func TestSurge_MultipliesItsPartOfACurve(t *testing.T) {
	got := curve(2, []Surge{{From: 5, Until: 9, Factor: 3}}, []Surge{{From: 7, Until: 12, Factor: 10}})
	at := func(now time.Duration) (rate float64) {
		for _, step := range got {
			if step.From <= now {
				rate = step.PerSecond
			}
		}
		return rate
	}
	for now, want := range map[time.Duration]float64{0: 2, 4: 2, 5: 6, 6: 6, 7: 60, 8: 60, 9: 20, 11: 20, 12: 2, 99: 2} {
		if at(now) != want {
			t.Errorf("rate %v at %d, want %v in %v", at(now), now, want, got)
		}
	}
	if err := got.Check(); err != nil {
		t.Error(err)
	}
}

func BenchmarkPlay(b *testing.B) {
	s, err := Find("load-5")
	if err != nil {
		b.Fatal(err)
	}
	events := uint64(0)
	for b.Loop() {
		rs, err := Play(s, 1, Fixed(64))
		if err != nil {
			b.Fatal(err)
		}
		events += rs[0].Events
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}
