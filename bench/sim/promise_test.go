package sim

import (
	"testing"
	"time"
)

// one plays a scenario once.
func one(t *testing.T, s Scenario, p Policy) Result {
	t.Helper()
	r, err := prepare(s, p, TuningSeed)
	if err != nil {
		t.Fatal(err)
	}
	r.loop()
	r.close()
	if r.result.Violations > 0 {
		t.Errorf("%s, %s: %d violations", s.Name, p.Name, r.result.Violations)
	}
	return r.result
}

func TestNothingStarves_AtHalfOfWhatTheCoreCanDo(t *testing.T) {
	s := Scenario{Name: "half", Core: convoying(), Times: 0.5, Length: 40 * time.Second}
	for _, p := range []Policy{Fixed(64), Seek(0), Lined(Seek(0))} {
		r := one(t, s, p)
		for o, tries := range r.Tries {
			if part := float64(r.InTime[o]) / float64(tries); part < 0.99 {
				t.Errorf("%s: %.1f %% of all %v are answered in time", p.Name, 100*part, Operation(o))
			}
		}
	}
}

func TestGoodputIsBack_ThirtySecondsAfterATriggerHasGone(t *testing.T) {
	const ends, length = 15 * time.Second, 60 * time.Second
	f := func(trigger string, s Scenario) {
		t.Helper()
		s.Name, s.Core, s.Times, s.Length, s.Habits = trigger, convoying(), 0.8, length, Impatient()
		for _, p := range []Policy{Seek(0), Lined(Seek(0))} {
			r := one(t, s, p)
			_, peak := s.Core.Knee()
			done := 0.0
			last := r.PerSecond()[int((ends+30*time.Second)/time.Second):int(length/time.Second)]
			for _, w := range last {
				done += w / (s.Times * peak * float64(len(last)))
			}
			if done < 0.95 {
				t.Errorf("%s, %s: %.1f %% of what is asked for is done in time 30 s after it was over", trigger, p.Name, 100*done)
			}
		}
	}
	f("ten times as many", Scenario{Surges: []Surge{{From: 5 * time.Second, Until: ends, Factor: 12.5}}})
	f("a core that stands still", Scenario{Weather: []Weather{{At: 5 * time.Second, Capacity: 0}, {At: ends, Capacity: 1}}})
	f("a slow core", Scenario{Weather: []Weather{{At: 5 * time.Second, Capacity: 0.2}, {At: ends, Capacity: 1}}})
}

func TestAFurtherTryJoinsWhatIsUnderWay(t *testing.T) {
	s := Scenario{Name: "impatient", Core: small(), Times: 3, Bulk: 1, Length: 30 * time.Second, Habits: Impatient()}
	s.Habits.Patience = 1200 * time.Millisecond // less than a debit waits, more than an inquiry
	s.Habits.Tries = 20
	r := one(t, s, Fixed(16))
	if r.Attached == 0 || r.Wasted() > 5 {
		t.Errorf("%d tries joined others; %.1f %% of the work was for nobody", r.Attached, r.Wasted())
	}
}

func TestRecoveries_TellALimitThatFollowsFromOneThatDoesNot(t *testing.T) {
	narrow := small()
	s := Scenario{
		Name: "knee", Core: convoying(), Times: 2, Length: 40 * time.Second,
		Weather: []Weather{{At: 15 * time.Second, Capacity: 1, Model: &narrow}},
	}
	if r := one(t, s, Fixed(64)); len(r.Recoveries) != 1 || r.Recoveries[0].Known {
		t.Errorf("with a limit of 64 before a knee of 16: %+v", r.Recoveries)
	}
	if r := one(t, s, Seek(0)); len(r.Recoveries) != 1 || !r.Recoveries[0].Known || r.Recoveries[0].At != 15*time.Second {
		t.Errorf("with a limit that is sought: %+v", r.Recoveries)
	}
}

func TestAdmittedStaysAdmitted_CustomersWhoThinkForTwoSeconds(t *testing.T) {
	for _, name := range []string{"hasty-2", "hasty-10"} {
		s, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		r := one(t, s.withDefaults(), Lined(Fixed(8)))
		if r.Finished() < 97 {
			t.Errorf("%s: %.1f %% of the flows let in finished", name, r.Finished())
		}
		_, peak := s.Core.Knee()
		work := r.PerSecond()
		for at := 6; at < int(s.Length/time.Second)-3; at++ {
			if done := (work[at] + work[at+1] + work[at+2]) / (3 * peak); done < 0.6 {
				t.Errorf("%s: from %d s on, for three seconds, the core did %.0f %% of its best, and people waited", name, at, 100*done)
			}
		}
	}
}

// The few long calls are inside for most of the time, and make those inside look old: the core is no slower for that.
func TestUnevenCallsAreNotTakenForASlowCore(t *testing.T) {
	s, err := Find("tails-2")
	if err != nil {
		t.Fatal(err)
	}
	r := one(t, s.withDefaults(), Lined(Fixed(64)))
	if done := atEnd(s, r); done < 0.9 || r.Finished() < 99 {
		t.Errorf("the core did %.0f %% of its best in time, and %.1f %% of the flows let in finished", 100*done, r.Finished())
	}
}

// One partner sends so many debits that they alone are more than the core can do: his are refused, the others lose nothing.
func TestFlood_TheOtherPartnersLoseLessThanOneInAHundred(t *testing.T) {
	s, err := Find("flood")
	if err != nil {
		t.Fatal(err)
	}
	f := func(factor float64, most float64) {
		t.Helper()
		s := s.withDefaults()
		s.Flood = []Surge{{From: s.Length / 3, Until: s.Length, Factor: factor}}
		r := one(t, s, Lined(Seek(32)))
		served := r.DebitsInTime()
		t.Logf("%v times: %.2f", factor, served)
		if served[0] > most {
			t.Errorf("the partner who sends %v times his debits is served in %.1f %% of them", factor, served[0])
		}
		for partner, percent := range served[1:] {
			if percent < 99 {
				t.Errorf("partner %d, who sends what he always does, is served in %.2f %% of his debits", partner+2, percent)
			}
		}
	}
	f(20, 100)
	f(100, 60)
}

func TestShownWaitsAreTrue_AtSteadyStateAndThroughAStepOfCapacity(t *testing.T) {
	for _, name := range []string{"load-0_9", "load-10-impatient", "hasty-10", "step", "slowdown", "knee-moves", "bursts", "flood", "surge"} {
		s, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		r := one(t, s.withDefaults(), Lined(Fixed(s.Knee())))
		if r.Waits == 0 || float64(r.WaitsInside) < 0.9*float64(r.Waits) {
			t.Errorf("%s: of %d waits %d were shown a range at first, %d lay inside", name, r.Waits, r.WaitsKnown, r.WaitsInside)
		}
	}
}
