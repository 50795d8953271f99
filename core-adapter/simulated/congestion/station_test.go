package congestion

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func station(t testing.TB, m Model) *Station {
	t.Helper()
	s, err := NewStation(m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// saturate keeps n jobs inside for the given number of completions and gives the work done per second.
func saturate(t testing.TB, m Model, n, completions int) float64 {
	t.Helper()
	s := station(t, m)
	demands := NewDemands(1, 7)
	left := map[ID]time.Duration{}
	arrive := func(now time.Duration) {
		d := demands.Draw(ConfirmMean)
		left[s.Arrive(now, d)] = d
	}
	for range n {
		arrive(0)
	}
	var done time.Duration
	var ids []ID
	var now time.Duration
	for completed := 0; completed < completions; {
		at, ok := s.Next()
		if !ok || at < now {
			t.Fatalf("next completion at %v (%v) after %v", at, ok, now)
		}
		now = at
		for _, id := range s.Complete(now, ids[:0]) {
			done += left[id]
			delete(left, id)
			completed++
			arrive(now)
		}
	}
	return done.Seconds() / now.Seconds()
}

func TestPS_ThroughputFollowsTheUniversalScalabilityLaw(t *testing.T) {
	m := DefaultModel()
	if jobs, _ := m.Knee(); jobs != 64 {
		t.Errorf("knee at %d jobs, want 64", jobs)
	}
	peak := saturate(t, m, 64, 40_000)
	f := func(n int, share float64) {
		t.Helper()
		got := saturate(t, m, n, 40_000)
		if want := m.Throughput(n); math.Abs(got/want-1) > 0.03 {
			t.Errorf("%d jobs do %.3f, the law says %.3f", n, got, want)
		}
		if math.Abs(got/peak-share) > 0.02 {
			t.Errorf("%d jobs do %.1f %% of the peak, want %.0f %%", n, 100*got/peak, 100*share)
		}
	}
	f(1, 1/m.Throughput(64))
	f(16, m.Throughput(16)/m.Throughput(64))
	f(256, 0.59)
	f(1024, 0.19)
	for _, n := range []int{32, 48, 96, 128} {
		if saturate(t, m, n, 40_000) > 1.01*peak {
			t.Errorf("%d jobs do more than 64", n)
		}
	}
}

// sojourns lets jobs arrive as a Poisson process of the given load and gives the mean time from arrival to completion.
func sojourns(t testing.TB, m Model, load float64, demand func(*rand.Rand) time.Duration, jobs int) time.Duration {
	t.Helper()
	s := station(t, m)
	random := rand.New(rand.NewPCG(3, 4))
	const mean = 10 * time.Millisecond
	arrived := map[ID]time.Duration{}
	var sum, nextArrival time.Duration
	var ids []ID
	for completed := 0; completed < jobs; {
		at, ok := s.Next()
		if ok && at <= nextArrival {
			for _, id := range s.Complete(at, ids[:0]) {
				sum += at - arrived[id]
				delete(arrived, id)
				completed++
			}
			continue
		}
		arrived[s.Arrive(nextArrival, demand(random))] = nextArrival
		nextArrival += time.Duration(random.ExpFloat64() * float64(mean) / load)
	}
	return sum / time.Duration(jobs)
}

// Mean sojourn times of queueing theory: L. Kleinrock, Queueing Systems, vol. 1 (M/M/1: E[T] = E[S]/(1-ρ); M/M/c: Erlang C)
// and vol. 2, §4.4 (M/G/1 with processor sharing: E[T] = E[S]/(1-ρ), whatever the distribution of demands).
func TestStation_MeanSojournIsThatOfQueueingTheory(t *testing.T) {
	const mean = 10 * time.Millisecond
	exponential := func(r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * float64(mean)) }
	lognormal := NewDemands(1, 11)
	f := func(what string, m Model, load float64, demand func(*rand.Rand) time.Duration, want time.Duration) {
		t.Helper()
		got := sojourns(t, m, load, demand, 300_000)
		if math.Abs(got.Seconds()/want.Seconds()-1) > 0.04 {
			t.Errorf("%s at load %.1f: mean sojourn %v, theory says %v", what, load, got, want)
		}
	}
	sharing := Model{Kind: PS, Sigma: 1}
	f("M/M/1-PS", sharing, 0.5, exponential, 2*mean)
	f("M/M/1-PS", sharing, 0.8, exponential, 5*mean)
	f("M/G/1-PS", sharing, 0.7, func(*rand.Rand) time.Duration { return lognormal.Draw(mean) }, mean*10/3)
	f("M/M/1", Model{Kind: Servers, Servers: 1}, 0.8, exponential, 5*mean)
	// M/M/2 at ρ = 0.8: Erlang C(2, 1.6) = 0.7111; E[T] = E[S](1 + C/(2(1-ρ))) = 2.778 E[S].
	f("M/M/2", Model{Kind: Servers, Servers: 2}, 1.6, exponential, 27777*time.Microsecond)
	f("M/M/inf", Model{Kind: PS}, 5, exponential, mean)
}

func TestServers_AreFirstComeFirstServed(t *testing.T) {
	s := station(t, Model{Kind: Servers, Servers: 2})
	for range 4 {
		s.Arrive(0, 10*time.Millisecond)
	}
	if inside, line := s.Inside(); inside != 2 || line != 2 {
		t.Errorf("%d inside, %d in line, want 2 and 2", inside, line)
	}
	f := func(at time.Duration, want ...ID) {
		t.Helper()
		if next, ok := s.Next(); !ok || next != at {
			t.Fatalf("next at %v (%v), want %v", next, ok, at)
		}
		if got := s.Complete(at, nil); !slices.Equal(got, want) {
			t.Fatalf("at %v: %v, want %v", at, got, want)
		}
	}
	f(10*time.Millisecond, 1, 2)
	f(20*time.Millisecond, 3, 4)
	if _, ok := s.Next(); ok {
		t.Error("an empty core has a next completion")
	}
}

func TestFixed_TakesItsLatencyWhateverTheDemandAndTheLoad(t *testing.T) {
	s := station(t, Model{Kind: Fixed, Latency: 5 * time.Millisecond})
	for i := range 1000 {
		s.Arrive(0, time.Duration(i)*time.Second)
	}
	if got := s.Complete(5*time.Millisecond-1, nil); len(got) != 0 {
		t.Errorf("%d jobs early", len(got))
	}
	if got := s.Complete(5*time.Millisecond, nil); len(got) != 1000 {
		t.Errorf("%d of 1000 jobs after the latency", len(got))
	}
	zero := station(t, Model{Kind: Fixed})
	zero.Arrive(7, time.Hour)
	if at, ok := zero.Next(); !ok || at != 7 {
		t.Errorf("latency 0: next at %v (%v), want 7ns", at, ok)
	}
}

func TestSetCapacity_ChangesTheRateOfWhatIsInsideAndKeepsItsWork(t *testing.T) {
	s := station(t, Model{Kind: PS})
	s.Arrive(0, 100*time.Millisecond)
	f := func(now time.Duration, factor float64, next time.Duration, some bool) {
		t.Helper()
		if err := s.SetCapacity(now, factor); err != nil {
			t.Fatal(err)
		}
		if at, ok := s.Next(); ok != some || at != next {
			t.Errorf("at %v, factor %v: next at %v (%v), want %v (%v)", now, factor, at, ok, next, some)
		}
	}
	f(50*time.Millisecond, 0.5, 150*time.Millisecond, true)
	f(100*time.Millisecond, 0, 0, false)
	f(time.Hour, 1, time.Hour+25*time.Millisecond, true)
	if err := s.SetCapacity(0, math.NaN()); err == nil {
		t.Error("a factor that is no number was taken")
	}
}

func TestSetModel_KeepsWhatIsInside(t *testing.T) {
	s := station(t, Model{Kind: PS})
	for range 3 {
		s.Arrive(0, 10*time.Millisecond)
	}
	if err := s.SetModel(5*time.Millisecond, Model{Kind: Servers, Servers: 1}); err != nil {
		t.Fatal(err)
	}
	last := s.Arrive(5*time.Millisecond, 10*time.Millisecond)
	if got := s.Complete(10*time.Millisecond, nil); len(got) != 3 {
		t.Errorf("%v completed, want the three that were inside", got)
	}
	if err := s.SetModel(12*time.Millisecond, DefaultModel()); err != nil {
		t.Fatal(err)
	}
	if got := s.Complete(20*time.Millisecond, nil); !slices.Equal(got, []ID{last}) {
		t.Errorf("%v completed, want %v", got, last)
	}
}

// A late caller must see the same history as a punctual one: each completion changes the rate of the others at its own
// time, not when somebody looks.
func TestStation_LookingLateChangesNothing(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := rapid.SampledFrom([]Model{DefaultModel(), {Kind: PS, Sigma: 1}, {Kind: Servers, Servers: 3}, {Kind: Fixed, Latency: 3 * time.Millisecond}}).Draw(r, "model")
		punctual, late := station(t, m), station(t, m)
		var now time.Duration
		var want, got []ID
		for range rapid.IntRange(1, 40).Draw(r, "events") {
			now += time.Duration(rapid.Int64Range(0, 20_000_000).Draw(r, "gap"))
			for {
				at, ok := punctual.Next()
				if !ok || at > now {
					break
				}
				before := len(want)
				if want = punctual.Complete(at, want); len(want) == before {
					r.Fatalf("Next said %v and nothing completed", at)
				}
			}
			switch rapid.IntRange(0, 4).Draw(r, "event") {
			case 0:
				factor := rapid.SampledFrom([]float64{0, 0.3, 1, 2}).Draw(r, "factor")
				punctual.SetCapacity(now, factor)
				late.SetCapacity(now, factor)
			case 1:
				got = late.Complete(now, got)
			default:
				demand := time.Duration(rapid.Int64Range(0, 30_000_000).Draw(r, "demand"))
				if punctual.Arrive(now, demand) != late.Arrive(now, demand) {
					r.Fatal("ids differ")
				}
			}
		}
		punctual.SetCapacity(now, 1)
		late.SetCapacity(now, 1)
		now += time.Hour
		want, got = punctual.Complete(now, want), late.Complete(now, got)
		if !slices.Equal(want, got) {
			r.Fatalf("punctual %v, late %v", want, got)
		}
		if inside, line := punctual.Inside(); inside+line != 0 {
			r.Fatalf("%d and %d jobs never completed", inside, line)
		}
	})
}

func TestDemands_HaveTheirMeanAndVariationAndTheSeedDecides(t *testing.T) {
	d, same := NewDemands(1, 5), NewDemands(1, 5)
	var sum, squares float64
	const n = 400_000
	for range n {
		x := d.Draw(ConfirmMean)
		if x != same.Draw(ConfirmMean) {
			t.Fatal("the same seed gave another demand")
		}
		sum += x.Seconds()
		squares += x.Seconds() * x.Seconds()
	}
	mean := sum / n
	if cv := math.Sqrt(squares/n-mean*mean) / mean; math.Abs(mean/ConfirmMean.Seconds()-1) > 0.01 || math.Abs(cv-1) > 0.03 {
		t.Errorf("mean %.4f s, coefficient of variation %.3f; want 0.04 and 1", mean, cv)
	}
	if NewDemands(0, 1).Draw(ConfirmMean) != ConfirmMean || d.Draw(0) != 0 {
		t.Error("no variation must give the mean, and a mean of 0 no work")
	}
}

func TestParseModel_NamesWhatItDoesNotUnderstand(t *testing.T) {
	f := func(text string, want Model) {
		t.Helper()
		got, err := ParseModel(text)
		if (err != nil) != (want == Model{}) || err == nil && got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	f("ps", DefaultModel())
	f("ps:0.1,0", Model{Kind: PS, Sigma: 0.1})
	f("servers:8", Model{Kind: Servers, Servers: 8})
	f("fixed", Model{Kind: Fixed})
	f("fixed:5ms", Model{Kind: Fixed, Latency: 5 * time.Millisecond})
	for _, bad := range []string{"", "x", "ps:", "ps:1", "ps:2,0", "ps:NaN,0", "servers", "servers:0", "servers:99999999", "fixed:-1s", "fixed:2h", "fixed:x"} {
		f(bad, Model{})
	}
}

func BenchmarkStation_ArriveAndComplete(b *testing.B) {
	s := station(b, DefaultModel())
	demands := NewDemands(1, 1)
	for range 64 {
		s.Arrive(0, demands.Draw(ConfirmMean))
	}
	var ids []ID
	b.ReportAllocs()
	for b.Loop() {
		at, _ := s.Next()
		ids = s.Complete(at, ids[:0])
		for range ids {
			s.Arrive(at, demands.Draw(ConfirmMean))
		}
	}
}
