package gate

import (
	"testing"
	"time"
)

// TestRush_WhoIsRefusedIsPutOffForAboutAsLongAsItHasLasted: five times as many debits come as the core can do. After a second a fifth of a second would be too soon.
func TestRush_WhoIsRefusedIsPutOffForAboutAsLongAsItHasLasted(t *testing.T) {
	const seats, callTime = 10, 100 * time.Millisecond // 100 a second
	g := New(Config{Limit: seats, ServiceTime: callTime})
	type end struct {
		at time.Duration
		of Ticket
	}
	var (
		inside []end
		ticket Ticket
		told   time.Duration // the last refusal's
	)
	follow := func(now time.Duration, out []Decision) {
		for _, d := range out {
			if d.Action == Start {
				inside = append(inside, end{now + callTime, d.Ticket})
			} else {
				told = d.RetryAfter
			}
		}
	}
	run := func(from, until, every time.Duration) {
		for now := from; now < until; now += time.Millisecond {
			for len(inside) > 0 && inside[0].at <= now {
				of := inside[0].of
				inside = inside[1:]
				follow(now, g.Answer(now, of, callTime, false, nil))
			}
			if now%every == 0 {
				ticket++
				follow(now, g.Offer(now, Offer{Ticket: ticket, Class: Express, Weight: 1, Budget: 5 * time.Second}, nil))
			}
			follow(now, g.Tick(now, nil))
		}
	}
	between := func(when string, least, most time.Duration) {
		t.Helper()
		if told < least || told > most {
			t.Errorf("%s: come again in %v, want %v to %v", when, told, least, most)
		}
		if l := g.Level()[Express]; l.Later > told+told/10 || l.Later < told/2 {
			t.Errorf("%s: the nodes say %v, the gate %v", when, l.Later, told)
		}
	}

	const calm, crowded = 20 * time.Millisecond, 2 * time.Millisecond
	run(0, time.Second, calm)
	if told != 0 {
		t.Fatal("refused with half of the core idle")
	}
	run(time.Second, 3*time.Second, crowded)
	early := told
	run(3*time.Second, 6*time.Second, crowded)
	between("three seconds on", 2*time.Second, 4*time.Second)
	if early >= told {
		t.Errorf("come again in %v at first, and in %v later", early, told)
	}
	run(6*time.Second, 40*time.Second, crowded)
	between("after half a minute", 6*time.Second, laterMax)

	run(40*time.Second, 55*time.Second, calm)
	if l := g.Level()[Express]; l.Later != 0 {
		t.Errorf("long after the rush, put off for %v", l.Later)
	}
}
