package load

import (
	"context"
	"errors"
	"sync"
	"time"
)

// arrival is a request that is due.
type arrival struct {
	n        int64
	intended time.Duration // from the start of the run
}

// Open makes requests by a schedule, whether or not earlier ones were answered. The schedule's offsets count from the
// beginning of the warm-up; what is due before its end is not measured. It returns when all that was begun is answered or
// timed out, and counts them all.
func Open(ctx context.Context, run Run, schedule *Schedule) (*Result, error) {
	if err := run.check(); err != nil {
		return nil, err
	}
	if schedule == nil || run.Limit != 0 {
		return nil, errors.New("load: an open run needs a schedule, which also is its limit")
	}
	if err := run.Pool.Open(ctx); err != nil {
		return nil, err
	}
	pacing := run.pace
	if pacing == nil {
		pacing = newPace()
	}
	t := newTally(run.WarmUp, run.WarmUp+run.Measure, run.SLO, nil)
	t.service = true
	schedule.until(run.WarmUp + run.Measure)
	backlog := make(chan arrival, BacklogMax)
	t.start = time.Now()
	var wait sync.WaitGroup
	for i, c := range run.Pool.Clients {
		wait.Go(func() {
			for a := range backlog {
				t.do(&run, c, i, a)
			}
		})
	}
	wait.Go(func() {
		defer close(backlog)
		release(ctx, t, schedule, pacing, func(a arrival, late time.Duration) bool {
			if a.intended >= t.from {
				t.late(0, late)
			}
			a.n += run.From
			select {
			case backlog <- a:
				return true
			default:
				return false
			}
		})
	})
	wait.Wait()
	r := t.result(run.Measure)
	r.Lag = mergeHistograms(NewHistogram(), r.Lag)
	r.Next = run.From + schedule.drawn
	return r, ctx.Err()
}

// do makes one request and counts it by its intended start.
func (t *tally) do(run *Run, c *Client, i int, a arrival) {
	sent := time.Since(t.start)
	v := run.Work(c, a.n)
	done := time.Since(t.start)
	t.end(i, ended{measured: a.intended >= t.from, at: done, latency: own(&v, done-a.intended), service: done - sent}, &v)
}

// release gives arrivals to take when they are due, with how late they are, until the schedule or the run ends. take says whether
// it had room, and never waits for it: a generator that waits for the server has stopped being open.
func release(ctx context.Context, t *tally, schedule *Schedule, pacing pace, take func(a arrival, late time.Duration) bool) {
	pacing.begin()
	defer pacing.end()
	for ctx.Err() == nil {
		n, due, ok := schedule.Next()
		if !ok {
			return
		}
		now := time.Since(t.start)
		if due > now {
			pacing.sleep(due - now)
			now = time.Since(t.start)
		}
		t.offered(0, due, !take(arrival{n, due}, now-due))
	}
}

// pace waits. It belongs to one goroutine between begin and end.
type pace interface {
	begin()
	sleep(time.Duration)
	end()
}

// timers waits by the runtime's timers: to the millisecond, where the operating system offers no better.
type timers struct{}

func (timers) begin()                {}
func (timers) sleep(d time.Duration) { time.Sleep(d) }
func (timers) end()                  {}
