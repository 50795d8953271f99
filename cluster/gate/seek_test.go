package gate

import (
	"math"
	"testing"
	"time"
)

// saturate keeps every seat of a gate taken from now on, before a core of so many servers that take 40 ms for a call. It returns the
// time at which it stopped, with an empty core.
func saturate(g *Gate, from, until Time, budget time.Duration, servers int) (now Time) {
	const service = 40 * time.Millisecond
	type inside struct {
		t           Ticket
		began, ends Time
	}
	var (
		queue []inside
		out   []Decision
		ends  Time
		next  = 1<<40 + Ticket(from)
	)
	follow := func() (refused bool) {
		for _, d := range out {
			if refused = d.Action == Refuse; !refused {
				ends = max(now+service, ends+service/time.Duration(servers))
				queue = append(queue, inside{d.Ticket, now, ends})
			}
		}
		return refused
	}
	for now = from; now < until; {
		for i := 0; i < CeilingMax && g.Snapshot().Queued < 4; i++ {
			next++
			out = g.Offer(now, Offer{Ticket: next, Class: Confirm, Weight: 1, Budget: budget}, out[:0])
			if follow() {
				break
			}
		}
		if len(queue) == 0 {
			return now
		}
		first := queue[0]
		queue = queue[1:]
		now = first.ends
		out = g.Answer(now, first.t, now-first.began, false, out[:0])
		follow()
	}
	for len(queue) > 0 {
		now = queue[0].ends
		out = g.Answer(now, queue[0].t, now-queue[0].began, false, out[:0])
		queue = queue[1:]
		follow()
	}
	return now
}

func TestSeek_AStallFreezesThePoint(t *testing.T) {
	g := New(Config{Seek: true, Limit: 32})
	now := saturate(g, 0, 10*time.Second, time.Minute, 100)
	point := g.seek.point
	for i := range 200 {
		at := now + time.Duration(i)*100*time.Millisecond
		g.Tick(at, nil)
		g.Offer(at, Offer{Ticket: Ticket(i) + 1, Class: Confirm, Weight: 1, Budget: time.Minute}, nil)
		if s := g.Snapshot(); i > 50 && !s.Stalled {
			t.Fatal("the core has not answered for seconds, and does not count as stalled")
		}
	}
	if g.seek.point != point {
		t.Errorf("the point went from %.1f to %.1f while the core was silent", math.Exp(point), math.Exp(g.seek.point))
	}
}

func TestSeek_ALimitThatWasNeverFilledIsNotBelieved(t *testing.T) {
	g := New(Config{Seek: true, Limit: 1024})
	var out []Decision
	for i := range 3000 { // two calls inside at any time
		at := time.Duration(i) * 10 * time.Millisecond
		out = g.Offer(at, Offer{Ticket: Ticket(i + 1), Class: Confirm, Weight: 1, Budget: time.Second}, out[:0])
		if i > 0 {
			out = g.Answer(at, Ticket(i), 10*time.Millisecond, false, out[:0])
		}
	}
	if limit := g.Snapshot().Limit; limit > seekRoom {
		t.Errorf("a limit of %d is kept, though two calls are inside at most", limit)
	}
}

func TestSeek_CallsThatSpendTheirBudgetsInsideLowerTheLimit(t *testing.T) {
	g := New(Config{Seek: true, Limit: 400})
	saturate(g, 0, 20*time.Second, 4*time.Second, 8) // 200 a second, whatever is inside
	if limit := g.Snapshot().Limit; limit > 200 {
		t.Errorf("limit %d: calls are inside for %v of their four seconds", limit, time.Duration(limit)*5*time.Millisecond)
	}
}

func TestSeek_TheCeilingHolds_AndALimitSetByHandIsWhereItGoesOn(t *testing.T) {
	g := New(Config{Seek: true, Limit: 64, Ceiling: 80})
	now := saturate(g, 0, 20*time.Second, time.Minute, 100)
	if limit := g.Snapshot().Limit; limit > 80 {
		t.Errorf("limit %d above the ceiling of 80", limit)
	}
	g.SetLimit(now, 10, nil)
	if limit := g.Snapshot().Limit; limit != 10 {
		t.Errorf("limit %d, want the 10 that was set", limit)
	}
	g.SetCeiling(now, 2, nil)
	g.Tick(now+time.Hour, nil)
	if limit := g.Snapshot().Limit; limit != 2 {
		t.Errorf("limit %d, want the ceiling's 2", limit)
	}
}

func TestSeek_FromAStartThatMeansNothingItClimbs(t *testing.T) {
	f := func(c Config) int {
		c.Seek = true
		g := New(c)
		saturate(g, 0, 3*time.Second, time.Minute, 1000)
		return g.Snapshot().Found
	}
	if climbed, sought := f(Config{}), f(Config{Limit: seekStart}); climbed < 300 || climbed < 2*sought {
		t.Errorf("in three seconds from nothing to %d, from a limit of %d that somebody has set to %d", climbed, seekStart, sought)
	}
}

// BenchmarkAcceptAndReleaseWithSeek is BenchmarkAcceptAndRelease with a limit that is sought.
func BenchmarkAcceptAndReleaseWithSeek(b *testing.B) {
	g := New(Config{Seek: true})
	out := make([]Decision, 0, 8)
	b.ReportAllocs()
	t := Ticket(0)
	for b.Loop() {
		t++
		now := Time(t) * 1000
		out = g.Offer(now, Offer{Ticket: t, Class: Confirm, Weight: 1, Budget: 2 * time.Second}, out[:0])
		out = g.Answer(now, t, 40*time.Millisecond, false, out)
	}
}
