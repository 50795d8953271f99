package gate

import (
	"testing"
	"time"
)

// TestSeek_CallsThatTheCoreHasLostDoNotHoldTheSeats: one answer of ten never comes. Each such call holds its seat for two seconds, and the search begins with eight.
func TestSeek_CallsThatTheCoreHasLostDoNotHoldTheSeats(t *testing.T) {
	const callTime, perSecond, seconds = 10 * time.Millisecond, 100, 10
	g := New(Config{Seek: true, CoreLimit: 2 * time.Second})
	core := &steadyCore{gate: g, callTime: callTime, loses: func(started int) bool { return started%10 == 0 }}
	core.run(0, seconds*time.Second, time.Second/perSecond, Offer{Class: Confirm, Weight: 1, Budget: 2 * time.Second})
	if most := perSecond * seconds; core.started < most*9/10 {
		t.Errorf("%d of %d were let in", core.started, most)
	}
	if l := g.Snapshot().Limit; l > seekRoom {
		t.Errorf("%d seats, of which none was proved", l)
	}
}
