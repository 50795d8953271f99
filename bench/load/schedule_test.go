package load

import (
	"hash/fnv"
	"math"
	"testing"
	"time"
)

func offsets(t *testing.T, seed uint64, curve Curve, end time.Duration) []time.Duration {
	t.Helper()
	s, err := NewSchedule(seed, curve, end)
	if err != nil {
		t.Fatal(err)
	}
	var all []time.Duration
	for {
		_, at, ok := s.Next()
		if !ok {
			return all
		}
		all = append(all, at)
	}
}

func TestOneSeedGivesTheSameScheduleToTheRequest(t *testing.T) {
	curve := Curve{{0, 100}, {time.Second, 2000}, {1100 * time.Millisecond, 100}}
	first, second := offsets(t, 7, curve, 5*time.Second), offsets(t, 7, curve, 5*time.Second)
	if len(first) != len(second) {
		t.Fatalf("%d and %d arrivals of one seed", len(first), len(second))
	}
	sum := fnv.New64a()
	for i := range first {
		if first[i] != second[i] {
			t.Fatalf("arrival %d is due at %v and %v", i, first[i], second[i])
		}
		sum.Write([]byte(first[i].String()))
	}
	// Written down so that a change of the algorithm, or of Go's source of random numbers, does not pass unseen: results of
	// an older version could then no longer be repeated.
	if got := sum.Sum64(); len(first) != 689 || got != 0x278e33ee635b8e69 {
		t.Errorf("the schedule of seed 7 has %d arrivals with sum %#x; it was recorded otherwise", len(first), got)
	}
	if other := offsets(t, 8, curve, 5*time.Second); len(other) == len(first) && other[0] == first[0] {
		t.Error("another seed gives the same schedule")
	}
}

func TestAScheduleKeepsToItsCurve(t *testing.T) {
	curve := Curve{{0, 1000}, {10 * time.Second, 0}, {20 * time.Second, 5000}}
	count := map[int]int{}
	var before time.Duration
	for _, at := range offsets(t, 1, curve, 30*time.Second) {
		if at < before {
			t.Fatalf("an arrival at %v after one at %v", at, before)
		}
		before = at
		count[int(at/(10*time.Second))]++
	}
	f := func(part int, want float64) {
		t.Helper()
		// Six standard deviations of a Poisson count.
		if got := float64(count[part]); math.Abs(got-want) > 6*math.Sqrt(want) {
			t.Errorf("%v arrivals in part %d, expected about %v", got, part, want)
		}
	}
	f(0, 10_000)
	f(1, 0)
	f(2, 50_000)
}

// The gaps of a Poisson process have a coefficient of variation of 1; evenly spaced arrivals would have 0.
func TestAScheduleIsPoisson(t *testing.T) {
	all := offsets(t, 3, Constant(1000), 60*time.Second)
	var sum, squares float64
	for i := 1; i < len(all); i++ {
		gap := (all[i] - all[i-1]).Seconds()
		sum += gap
		squares += gap * gap
	}
	n := float64(len(all) - 1)
	mean := sum / n
	if cv := math.Sqrt(squares/n-mean*mean) / mean; math.Abs(cv-1) > .05 {
		t.Errorf("the gaps have a coefficient of variation of %.3f, expected 1", cv)
	}
}

func TestACurveThatCannotBeIsRefused(t *testing.T) {
	f := func(c Curve) {
		t.Helper()
		if _, err := NewSchedule(1, c, time.Second); err == nil {
			t.Errorf("curve %v was taken", c)
		}
	}
	f(nil)
	f(Curve{{time.Second, 1}})
	f(Curve{{0, 1}, {0, 2}})
	f(Curve{{0, -1}})
	f(Curve{{0, math.NaN()}})
	f(Curve{{0, math.Inf(1)}})
}

func TestMixSpreadsOverEverything(t *testing.T) {
	seen := map[uint64]bool{}
	for n := range uint64(10_000) {
		seen[Mix(1, n)%1000] = true
	}
	if len(seen) != 1000 {
		t.Errorf("10,000 draws met %d of 1,000 values", len(seen))
	}
	if Mix(1, 0) == Mix(2, 0) {
		t.Error("the seed does not matter")
	}
}

func BenchmarkScheduleNext(b *testing.B) {
	s, err := NewSchedule(1, Constant(1e6), 1000*time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Next()
	}
}
