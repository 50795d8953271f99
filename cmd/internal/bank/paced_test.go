package bank

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netbank/session/derive"
)

// slowly takes as long for a key as the machine happens to.
type slowly struct{ takes time.Duration }

func (s slowly) Key(*derive.Request) ([]byte, error) {
	time.Sleep(s.takes)
	return nil, nil
}

func TestANodeWithACapChecksSoManyPasswordsASecond_AndSavesNothingUp(t *testing.T) {
	f := func(idle time.Duration, many int, want time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			p := newPaced(slowly{takes: 20 * time.Millisecond}, 10)
			if _, err := p.Key(nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(idle)
			began := time.Now()
			var all sync.WaitGroup
			for range many {
				all.Go(func() { _, _ = p.Key(nil) })
			}
			all.Wait()
			if took := time.Since(began); took != want {
				t.Errorf("%d keys after %v took %v, want %v", many, idle, took, want)
			}
		})
	}
	f(0, 15, 1500*time.Millisecond)
	f(30*time.Millisecond, 1, 100*time.Millisecond-30*time.Millisecond)
	f(time.Minute, 15, 1500*time.Millisecond)
}
