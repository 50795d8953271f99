package sim

import (
	"testing"
	"time"

	"netbank/core-adapter/simulated/congestion"
)

// saturated is a core with more to do than it can.
func saturated(core congestion.Model, scale float64, length time.Duration) Scenario {
	return Scenario{Name: "saturated", Core: core, Scale: scale, Times: 1.5, Length: length}
}

// atEnd is what was done in time in the last third of a run, as a part of the core's best.
func atEnd(s Scenario, r Result) float64 {
	_, peak := s.Core.Knee()
	work := r.PerSecond()[:int(s.Length/time.Second)]
	last := work[2*len(work)/3:]
	sum := 0.0
	for _, w := range last {
		sum += w
	}
	return sum / (peak * float64(len(last)))
}

func TestSeek_FindsTheKneeFromAnywhere(t *testing.T) {
	f := func(shape string, s Scenario, least float64) {
		t.Helper()
		s = s.withDefaults()
		for _, start := range []int{4, 64, 1024} {
			r, err := prepare(s, Seek(start), TuningSeed)
			if err != nil {
				t.Fatal(err)
			}
			r.loop()
			r.close()
			done := atEnd(s, r.result)
			limit, _, _ := r.result.Limits()
			t.Logf("%s from %d: %.0f %% of the best, limit %.0f, knee %d", shape, start, 100*done, limit, s.Knee())
			if done < least || r.result.Violations > 0 {
				t.Errorf("%s from %d: %.0f %% of the best in the last third, want %.0f; %d violations", shape, start, 100*done, 100*least, r.result.Violations)
			}
		}
	}
	f("convoying", saturated(convoying(), 2, 90*time.Second), 0.92)
	f("small", saturated(small(), 1, 90*time.Second), 0.90)
	f("flat", saturated(flat(), 8, 90*time.Second), 0.90)
	f("wide", saturated(wide(), 1, 60*time.Second), 0.85)
}

func TestSeek_DoesNotDriftInTenSaturatedMinutes(t *testing.T) {
	s := saturated(convoying(), 2, 10*time.Minute)
	r, err := prepare(s, Seek(0), TuningSeed)
	if err != nil {
		t.Fatal(err)
	}
	r.loop()
	limit, least, most := r.result.Limits()
	t.Logf("second half: limit %.0f, %d to %d; %.0f %% of the best", limit, least, most, 100*atEnd(s, r.result))
	if limit < 40 || limit > 90 || most > 150 {
		t.Errorf("limit %.0f, %d to %d, around a knee of 64", limit, least, most)
	}
}

func TestSeek_IsNotMisledByLongTails(t *testing.T) {
	s := saturated(convoying(), 1, 2*time.Minute)
	s.Variation = 4
	r, err := prepare(s, Seek(0), TuningSeed)
	if err != nil {
		t.Fatal(err)
	}
	r.loop()
	limit, least, most := r.result.Limits()
	t.Logf("second half: limit %.0f, %d to %d", limit, least, most)
	if limit < 40 || limit > 130 { // a limit that goes by what is answered in the first moments runs into the hundreds
		t.Errorf("limit %.0f, knee 64: short calls that come and go at once look like more work done", limit)
	}
}

func TestSeek_ANarrowCoreIsNotFloodedAtFirst(t *testing.T) {
	s, err := Find("hasty-10")
	if err != nil {
		t.Fatal(err)
	}
	r := one(t, s.withDefaults(), Lined(Seek(0)))
	limit, _, _ := r.Limits()
	if r.Finished() < 92 || limit > 16 {
		t.Errorf("knee 8: limit %.0f in the second half, and %.1f %% of the flows let in finished", limit, r.Finished())
	}
}
