package gate

import (
	"testing"
	"time"
)

// TestSeek_CallsThatTheCoreHasLostDoNotHoldTheSeats: one answer of ten never comes. Each such call holds its seat for two seconds, and the search begins with eight.
func TestSeek_CallsThatTheCoreHasLostDoNotHoldTheSeats(t *testing.T) {
	const callTime, perSecond, seconds = 10 * time.Millisecond, 100, 10
	g := New(Config{Seek: true, CoreLimit: 2 * time.Second})
	type end struct {
		at time.Duration
		of Ticket
	}
	var (
		inside  []end
		ticket  Ticket
		started int
	)
	follow := func(now time.Duration, out []Decision) {
		for _, d := range out {
			if d.Action != Start {
				continue
			}
			if started++; started%10 != 0 {
				inside = append(inside, end{now + callTime, d.Ticket})
			}
		}
	}
	for now := time.Duration(0); now < seconds*time.Second; now += time.Millisecond {
		for len(inside) > 0 && inside[0].at <= now {
			of := inside[0].of
			inside = inside[1:]
			follow(now, g.Answer(now, of, callTime, false, nil))
		}
		if now%(time.Second/perSecond) == 0 {
			ticket++
			follow(now, g.Offer(now, Offer{Ticket: ticket, Class: Confirm, Weight: 1, Budget: 2 * time.Second}, nil))
		}
		follow(now, g.Tick(now, nil))
	}
	if most := perSecond * seconds; started < most*9/10 {
		t.Errorf("%d of %d were let in", started, most)
	}
	if l := g.Snapshot().Limit; l > seekRoom {
		t.Errorf("%d seats, of which none was proved", l)
	}
}
