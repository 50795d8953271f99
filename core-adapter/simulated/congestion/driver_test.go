package congestion

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stopwatch notes when its job was done.
type stopwatch struct {
	began time.Time
	mu    sync.Mutex
	times []time.Duration
}

func (s *stopwatch) WorkDone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times = append(s.times, time.Since(s.began))
}

func (s *stopwatch) want(t *testing.T, times ...time.Duration) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.times, times) {
		t.Errorf("done at %v, want %v", s.times, times)
	}
}

func drive(t *testing.T, m Model) (*Driver, *stopwatch) {
	t.Helper()
	d, err := NewDriver(m)
	if err != nil {
		t.Fatal(err)
	}
	return d, &stopwatch{began: time.Now()}
}

func TestDriver_HandsJobsBackWhenTheStationSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, watch := drive(t, Model{Kind: PS, Sigma: 1})
		defer d.Close()
		d.Submit(30*time.Millisecond, watch)
		time.Sleep(10 * time.Millisecond)
		d.Submit(5*time.Millisecond, watch) // at half the rate each: 10 ms; the first has then 15 ms left
		time.Sleep(time.Second)
		watch.want(t, 20*time.Millisecond, 35*time.Millisecond)
	})
}

func TestDriver_FollowsChangesOfCapacityAndModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, watch := drive(t, Model{Kind: Fixed, Latency: 10 * time.Millisecond})
		defer d.Close()
		if err := d.SetCapacity(0); err != nil {
			t.Fatal(err)
		}
		d.Submit(0, watch)
		time.Sleep(2 * time.Hour) // longer than the timer's own period
		watch.want(t)
		if inside, line := d.Inside(); inside != 1 || line != 0 {
			t.Errorf("%d and %d inside, want 1 and 0", inside, line)
		}
		if err := d.SetCapacity(2); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		watch.want(t, 2*time.Hour+5*time.Millisecond)
		if err := d.SetModel(Model{Kind: Fixed}); err != nil {
			t.Fatal(err)
		}
		now := time.Since(watch.began)
		d.Submit(time.Hour, watch)
		watch.want(t, 2*time.Hour+5*time.Millisecond, now)
	})
}

func TestDriver_CloseForgetsWhatIsInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, watch := drive(t, DefaultModel())
		d.Submit(time.Second, watch)
		d.Close()
		time.Sleep(time.Minute)
		watch.want(t)
	})
}

type counter struct{ left sync.WaitGroup }

func (c *counter) WorkDone() { c.left.Done() }

func BenchmarkDriver_Submit(b *testing.B) {
	f := func(name string, m Model) {
		b.Run(name, func(b *testing.B) {
			d, err := NewDriver(m)
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			b.ReportAllocs()
			for b.Loop() {
				var c counter
				c.left.Add(64)
				for range 64 {
					d.Submit(time.Microsecond, &c)
				}
				c.left.Wait()
			}
		})
	}
	f("ps", DefaultModel())
	f("fixed-0", Model{Kind: Fixed})
}
