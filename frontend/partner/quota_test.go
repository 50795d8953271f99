package partner

import (
	"testing"
	"time"
)

// A partner at its limit is told when a place can be expected, by how soon places have come free, and not the same whatever happens.
func TestRetryAfterIsMeasured_OfOpenPayments(t *testing.T) {
	now := time.Unix(1795417560, 0)
	p := &places{}
	f := func(opened, refused int, want time.Duration) {
		t.Helper()
		got := time.Duration(0)
		for range opened {
			p.found(now)
		}
		for range refused {
			got = p.wait(now)
		}
		if got.Round(time.Second) != want {
			t.Errorf("%d more opened and %d more refused: to come again in %v, want %v", opened, refused, got, want)
		}
		now = now.Add(time.Second)
	}
	f(500, 1, time.Second) // the first: what was opened before says nothing
	f(9, 9, time.Second)
	f(10, 90, 5*time.Second)
	f(10, 900, 30*time.Second)
	now = now.Add(placesKept / 2)
	f(1000, 1, time.Second)
	now = now.Add(placesKept)
	f(0, 1, time.Second) // another time
	f(0, 3, 4*time.Second)
	f(0, 1000, placesWaitMax)
}
