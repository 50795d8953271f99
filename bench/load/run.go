package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Outcome is what became of a request, or of a flow of several.
type Outcome uint8

// The outcomes. They are counted apart: a refusal that was meant is no failure, and none but the first is a success.
const (
	Completed Outcome = iota
	Refused           // the server said, in the form it has for that, that it does not take the request now
	Failed            // anything else
	Abandoned         // the customer's patience, or the run, ended before there was a definite word
	InDoubt           // the server said that it does not know yet
)

// Verdict is an outcome and, unless it is Completed, why: a few words that do not differ from request to request.
type Verdict struct {
	Outcome Outcome
	Reason  string
	// Late says of what was completed that an objective was missed which the run does not know of, such as that of one step.
	Late bool
	// Latency is what a flow counts as its own, such as its time without the thinking; 0: the time since its intended start.
	Latency time.Duration
}

// Work makes the nth request of a run (from 0), or a flow of several, and judges the answer. It runs in the goroutine
// of its client.
type Work func(c *Client, n int64) Verdict

// Run is what closed and open runs have in common.
type Run struct {
	Pool *Pool
	Work Work
	// WarmUp comes before what is measured and counts for nothing but Result.WarmUp.
	WarmUp time.Duration
	// Measure is how long is measured.
	Measure time.Duration
	// From is the number of the first request; further runs of the same work can go on from Result.Next.
	From int64
	// Limit ends a closed run when that many requests were begun; 0: no limit.
	Limit int64
	// SLO is the latency within which a completed request counts in Result.InSLO; 0: any.
	SLO time.Duration

	pace pace // nil: of the operating system
}

// Bounds of a run.
const (
	MeasureMax = 24 * time.Hour
	// BacklogMax is how many arrivals of an open run may wait for a connection; what comes beyond is dropped.
	BacklogMax = 1 << 16
	// DroppedMax is the share of dropped arrivals over which a run is void.
	DroppedMax = 0.001
	// reasonsMax bounds the reasons that are counted one by one.
	reasonsMax = 64
)

func (r *Run) check() error {
	switch {
	case r.Pool == nil || r.Work == nil:
		return errors.New("load: a run needs a pool and work")
	case r.SLO < 0:
		return fmt.Errorf("load: an SLO of %v; it is 0 for none, or longer", r.SLO)
	case r.Measure <= 0 || r.WarmUp < 0 || r.Measure+r.WarmUp > MeasureMax:
		return fmt.Errorf("load: a run of %v after a warm-up of %v; it may last up to %v", r.Measure, r.WarmUp, MeasureMax)
	}
	return nil
}

// Closed keeps every connection of the pool busy and says how much was completed. A request counts where it finished: in
// the measured time, in the warm-up, or after the end and then nowhere.
func Closed(ctx context.Context, run Run) (*Result, error) {
	if err := run.check(); err != nil {
		return nil, err
	}
	if err := run.Pool.Open(ctx); err != nil {
		return nil, err
	}
	t := newTally(run.WarmUp, run.WarmUp+run.Measure, run.SLO, nil)
	lasts := make([]time.Duration, len(run.Pool.Clients)) // when each connection's last measured request ended
	var next, stopped atomic.Int64
	next.Store(run.From)
	until := run.WarmUp + run.Measure
	t.start = time.Now()
	var wait sync.WaitGroup
	for i, c := range run.Pool.Clients {
		wait.Go(func() {
			began := time.Since(t.start)
			for began < until && ctx.Err() == nil {
				n := next.Add(1) - 1
				if run.Limit > 0 && n >= run.From+run.Limit {
					stopped.Store(1)
					break
				}
				v := run.Work(c, n)
				done := time.Since(t.start)
				if done < until {
					t.end(i, ended{measured: done >= run.WarmUp, closed: true, at: done, latency: own(&v, done-began)}, &v)
					lasts[i] = done
				}
				began = done
			}
		})
	}
	wait.Wait()
	r := t.result(run.Measure)
	if stopped.Load() != 0 {
		// The work ran out: the time ends with the last answer.
		r.Elapsed = max(0, slices.Max(lasts)-run.WarmUp)
	}
	r.Next = next.Load()
	if run.Limit > 0 {
		r.Next = min(r.Next, run.From+run.Limit)
	}
	return r, ctx.Err()
}

// own is the latency that a verdict gives, or else the one that was seen.
func own(v *Verdict, seen time.Duration) time.Duration {
	if v.Latency > 0 {
		return v.Latency
	}
	return seen
}
