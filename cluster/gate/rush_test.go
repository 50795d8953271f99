package gate

import (
	"testing"
	"time"
)

// TestRush_WhoIsRefusedIsPutOffForAboutAsLongAsItHasLasted: five times as many debits come as the core can do. After a second a fifth of a second would be too soon.
func TestRush_WhoIsRefusedIsPutOffForAboutAsLongAsItHasLasted(t *testing.T) {
	const seats, callTime = 10, 100 * time.Millisecond // 100 a second
	g := New(Config{Limit: seats, ServiceTime: callTime})
	core := &steadyCore{gate: g, callTime: callTime}
	run := func(from, until, every time.Duration) {
		core.run(from, until, every, Offer{Class: Express, Weight: 1, Budget: 5 * time.Second})
	}
	between := func(when string, least, most time.Duration) {
		t.Helper()
		if core.told < least || core.told > most {
			t.Errorf("%s: come again in %v, want %v to %v", when, core.told, least, most)
		}
		if l := g.Level()[Express]; l.Later > core.told+core.told/10 || l.Later < core.told/2 {
			t.Errorf("%s: the nodes say %v, the gate %v", when, l.Later, core.told)
		}
	}

	const calm, crowded = 20 * time.Millisecond, 2 * time.Millisecond
	run(0, time.Second, calm)
	if core.told != 0 {
		t.Fatal("refused with half of the core idle")
	}
	run(time.Second, 3*time.Second, crowded)
	early := core.told
	run(3*time.Second, 6*time.Second, crowded)
	between("three seconds on", 2*time.Second, 4*time.Second)
	if early >= core.told {
		t.Errorf("come again in %v at first, and in %v later", early, core.told)
	}
	run(6*time.Second, 40*time.Second, crowded)
	between("after half a minute", 6*time.Second, laterMax)

	run(40*time.Second, 55*time.Second, calm)
	if l := g.Level()[Express]; l.Later != 0 {
		t.Errorf("long after the rush, put off for %v", l.Later)
	}
}
