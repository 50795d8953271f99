package load

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
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
	t := newTally(len(run.Pool.Clients))
	t.service = NewRecorder()
	p := pacer{run: &run, schedule: schedule, pace: pacing, backlog: make(chan arrival, BacklogMax), lag: NewHistogram()}
	t.start = time.Now()
	var wait sync.WaitGroup
	for i, c := range run.Pool.Clients {
		wait.Go(func() {
			for a := range p.backlog {
				t.do(&run, c, i, a)
			}
		})
	}
	wait.Go(func() { p.release(ctx, t.start) })
	wait.Wait()
	r := t.result()
	r.Offered, r.Dropped, r.Lag, r.Service = p.offered, p.dropped, p.lag, t.service.Histogram()
	r.Elapsed, r.Next = run.Measure, run.From+p.released
	return r, ctx.Err()
}

// do makes one request and counts it by its intended start.
func (t *tally) do(run *Run, c *Client, i int, a arrival) {
	sent := time.Since(t.start)
	v := run.Work(c, a.n)
	done := time.Since(t.start)
	mine := &t.perConn[i]
	if a.intended < run.WarmUp {
		mine.warmUp[v.Outcome]++
		return
	}
	mine.outcomes[v.Outcome]++
	if v.Outcome != Completed {
		t.reason(v.Reason)
		return
	}
	t.latency.Record(i, done-a.intended)
	t.service.Record(i, done-sent)
}

// pacer releases arrivals when they are due.
type pacer struct {
	run      *Run
	schedule *Schedule
	pace     pace
	backlog  chan arrival

	released, offered, dropped int64
	lag                        *hdrhistogram.Histogram
}

// release puts arrivals into the backlog until the schedule or the run ends. It never waits for room there: a generator
// that waits for the server has stopped being open.
func (p *pacer) release(ctx context.Context, start time.Time) {
	defer close(p.backlog)
	p.pace.begin()
	defer p.pace.end()
	until := p.run.WarmUp + p.run.Measure
	for ctx.Err() == nil {
		due, ok := p.schedule.Next()
		if !ok || due >= until {
			return
		}
		now := time.Since(start)
		if due > now {
			p.pace.sleep(due - now)
			now = time.Since(start)
		}
		measured := due >= p.run.WarmUp
		if measured {
			p.offered++
			_ = p.lag.RecordValue(int64(min(max(now-due, LatencyMin), LatencyMax)))
		}
		select {
		case p.backlog <- arrival{p.run.From + p.released, due}:
		default:
			if measured {
				p.dropped++
			}
		}
		p.released++
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
