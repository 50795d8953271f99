package scaling

import (
	"testing"
	"time"

	"netbank/cluster/journal"

	"pgregory.net/rapid"
)

var noon = time.Date(2010, 11, 11, 12, 0, 0, 0, time.UTC)

func wish(workers uint32, fence uint64) journal.Wanted {
	return journal.Wanted{Fence: fence, Now: journal.Wish{Number: fence, Value: workers}}
}

func TestStatusComesBeforeTheFirstScale(t *testing.T) {
	s := &Seen{Wish: wish(5, 1)}
	if step, _, _ := Next(s, noon); step != Look {
		t.Fatalf("the first step is %d", step)
	}
	s.Standing, s.At = Standing{Wanted: 2, Running: 2}, noon
	if step, order, _ := Next(s, noon); step != Scale || order.Workers != 5 || order.Fence != 1 {
		t.Errorf("%d, %+v", step, order)
	}
}

func TestNothingIsDoneWhileNobodyWished(t *testing.T) {
	s := &Seen{Standing: Standing{Wanted: 3, Running: 3}, At: noon}
	if step, _, next := Next(s, noon); step != Rest || next != noon.Add(LookEvery) {
		t.Errorf("%d until %v", step, next)
	}
	if step, _, _ := Next(s, noon.Add(LookEvery)); step != Look {
		t.Errorf("%d", step)
	}
}

func TestAfterAFailureTheProviderIsLookedAtFirst_AndEverMoreRarely(t *testing.T) {
	s := &Seen{Wish: wish(5, 1), Standing: Standing{Wanted: 2}, At: noon, Failures: 1, Failed: noon, Jitter: 1}
	if step, _, next := Next(s, noon); step != Rest || next != noon.Add(BackoffMin) {
		t.Fatalf("%d until %v", step, next)
	}
	if step, _, _ := Next(s, noon.Add(BackoffMin)); step != Look {
		t.Errorf("it is told again, and nobody knows how far it came: %d", step)
	}
	s.At = noon.Add(BackoffMin)
	if step, _, _ := Next(s, noon.Add(BackoffMin)); step != Scale {
		t.Errorf("%d", step)
	}
	rapid.Check(t, func(t *rapid.T) {
		n, jitter := rapid.IntRange(1, 1000).Draw(t, "failures"), rapid.Float64().Draw(t, "jitter")
		if d := backoff(n, jitter); d < BackoffMin/2 || d > BackoffMax {
			t.Fatalf("after %d failures it pauses %v", n, d)
		}
	})
}

// Whatever a provider says of itself, it is never told another number than the one wished for.
func TestNeverMoreThanAsked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &Seen{
			Wish:     wish(uint32(rapid.IntRange(0, 9).Draw(t, "workers")), uint64(rapid.IntRange(0, 2).Draw(t, "fence"))),
			Standing: Standing{Wanted: rapid.IntRange(0, 9).Draw(t, "wanted"), Running: rapid.IntRange(-1, 9).Draw(t, "running"), Leaving: rapid.IntRange(0, 3).Draw(t, "leaving")},
			Failures: rapid.IntRange(0, 3).Draw(t, "failures"),
		}
		at := func(name string) time.Time {
			return noon.Add(time.Duration(rapid.IntRange(-60, 0).Draw(t, name)) * time.Second)
		}
		s.Failed = at("failed")
		if rapid.Bool().Draw(t, "known") {
			s.At = at("at")
		}
		step, order, next := Next(s, noon)
		switch step {
		case Scale:
			if s.Wish.Now.Number == 0 || order.Workers != int(s.Wish.Now.Value) || order.Fence != s.Wish.Fence || s.At.IsZero() || order.Workers == s.Standing.Wanted {
				t.Fatalf("%+v of %+v", order, s)
			}
		case Rest:
			if !next.After(noon) {
				t.Fatalf("it rests until %v", next)
			}
		}
	})
}
