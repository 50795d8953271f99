package session

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"netbank/cluster/journal"
)

// deviation is the statistic of Mann and Whitney (1947) in units of its standard deviation: how far the times of one group lie before those of
// another. It asks nothing of their distribution, and a few that were held up by the machine weigh no more than any other.
func deviation(a, b []time.Duration) float64 {
	type one struct {
		at    time.Duration
		first bool
	}
	var all []one
	for _, at := range a {
		all = append(all, one{at, true})
	}
	for _, at := range b {
		all = append(all, one{at, false})
	}
	slices.SortFunc(all, func(x, y one) int { return int(x.at - y.at) })
	sum := 0.0 // of the first group's ranks; equal times share theirs
	for from := 0; from < len(all); {
		to := from
		for to < len(all) && all[to].at == all[from].at {
			to++
		}
		for _, x := range all[from:to] {
			if x.first {
				sum += float64(from+to+1) / 2
			}
		}
		from = to
	}
	n, m := float64(len(a)), float64(len(b))
	return (sum - n*(n+m+1)/2) / math.Sqrt(n*m*(n+m+1)/12)
}

// signInTimes measures wrong sign-ins of a customer's name and of names that nobody has, in turn and in an order that is drawn, so that whatever
// slows the machine slows both.
func signInTimes(t *testing.T, pairs int) (known, unknown []time.Duration) {
	b := newBank(t)
	// Cheap hashes: beside one of 20 ms nobody would find a difference that stands out here.
	s := newStore(t, b, dropped{})
	for range pairs {
		b.mu.Lock()
		b.access[anna] = journal.Access{} // locks are another test's matter
		b.mu.Unlock()
		s.guesses = newGuesses(10)
		names := []string{"anna", "nobody"}
		if rand.IntN(2) == 0 {
			slices.Reverse(names)
		}
		for _, name := range names {
			began := time.Now()
			if _, err := s.SignIn(nowhere, name, "wrong password", soon()); err == nil {
				t.Fatal("a wrong password is right")
			}
			took := time.Since(began)
			if name == "anna" {
				known = append(known, took)
			} else {
				unknown = append(unknown, took)
			}
		}
	}
	return known, unknown
}

// The test fails when three measurements in a row say the same of who is slower, each with a chance of one in a thousand.
func TestSignInTakesAsLongForAnUnknownNameAsForACustomer(t *testing.T) {
	const pairs, surely = 1500, 3.3
	var seen []float64
	for range 3 {
		known, unknown := signInTimes(t, pairs)
		z := deviation(known, unknown)
		seen = append(seen, z)
		slices.Sort(known)
		slices.Sort(unknown)
		t.Logf("z %.1f; medians %v and %v", z, known[pairs/2], unknown[pairs/2])
		if math.Abs(z) < surely || z*seen[0] < 0 {
			return
		}
	}
	t.Errorf("a stranger can tell by the time who is a customer: %.1f standard deviations", seen)
}

// The statistic must see a difference of a twentieth of the time, and none where there is none.
func TestEqualityTestSeesADifference(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	draw := func(n int, more float64) (all []time.Duration) {
		for range n {
			all = append(all, time.Duration((100+10*dice.ExpFloat64()+more)*float64(time.Microsecond)))
		}
		return all
	}
	if z := deviation(draw(1500, 0), draw(1500, 0)); math.Abs(z) > 3.3 {
		t.Errorf("equal ones differ by %.1f", z)
	}
	if z := deviation(draw(1500, 5), draw(1500, 0)); z < 3.3 {
		t.Errorf("five microseconds more give %.1f", z)
	}
}
