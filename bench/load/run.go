package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Outcome is what became of a request, or of a flow of several.
type Outcome uint8

// The outcomes. They are counted apart: a refusal that was meant is no failure, and neither is a success.
const (
	Completed Outcome = iota
	Refused           // the server said, in the form it has for that, that it does not take the request now
	Failed            // anything else
)

// Verdict is an outcome and, unless it is Completed, why: a few words that do not differ from request to request.
type Verdict struct {
	Outcome Outcome
	Reason  string
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

// Result is what a run measured. Requests of the warm-up are in WarmUp only.
type Result struct {
	WarmUp    int64 // requests finished before measuring began
	Offered   int64 // requests that were due while measuring
	Completed int64
	Refused   int64
	Failed    int64
	Dropped   int64            // open runs: the generator had no room for them
	Reasons   map[string]int64 // of refusals and failures
	Elapsed   time.Duration    // what Completed is to be divided by for a rate
	Next      int64            // the number after the last request begun

	// Latency of completed requests: in an open run from the intended start, in a closed run from the sending.
	Latency *hdrhistogram.Histogram
	// Service is the latency from the sending, which hides what waited; open runs only.
	Service *hdrhistogram.Histogram
	// Lag is how late the pacer released arrivals: the generator's own fault. Open runs only.
	Lag *hdrhistogram.Histogram
}

// PerSecond is the rate of completed requests.
func (r *Result) PerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Completed) / r.Elapsed.Seconds()
}

// Void says why the run is worth nothing, or nil.
func (r *Result) Void() error {
	if float64(r.Dropped) > DroppedMax*float64(r.Offered) {
		return fmt.Errorf("load: the generator dropped %d of %d requests, more than %.1f %%: give it more connections or a lower rate", r.Dropped, r.Offered, 100*DroppedMax)
	}
	return nil
}

func (r *Run) check() error {
	switch {
	case r.Pool == nil || r.Work == nil:
		return errors.New("load: a run needs a pool and work")
	case r.Measure <= 0 || r.WarmUp < 0 || r.Measure+r.WarmUp > MeasureMax:
		return fmt.Errorf("load: a run of %v after a warm-up of %v; it may last up to %v", r.Measure, r.WarmUp, MeasureMax)
	}
	return nil
}

// counts are kept by every goroutine of a run for itself.
type counts struct {
	warmUp, outcomes [Failed + 1]int64
	late             int64 // finished after a closed run's end
	last             time.Duration
	_                [64]byte
}

// tally collects verdicts of a run.
type tally struct {
	start   time.Time
	perConn []counts
	latency *Recorder
	service *Recorder

	lock    sync.Mutex
	reasons map[string]int64
}

func newTally(clients int) *tally {
	return &tally{perConn: make([]counts, clients), latency: NewRecorder(), reasons: map[string]int64{}}
}

func (t *tally) reason(why string) {
	t.lock.Lock()
	defer t.lock.Unlock()
	if _, known := t.reasons[why]; !known && len(t.reasons) >= reasonsMax {
		why = "other"
	}
	t.reasons[why]++
}

func (t *tally) result() *Result {
	r := &Result{Reasons: t.reasons, Latency: t.latency.Histogram()}
	for i := range t.perConn {
		c := &t.perConn[i]
		r.Completed += c.outcomes[Completed]
		r.Refused += c.outcomes[Refused]
		r.Failed += c.outcomes[Failed]
		r.WarmUp += c.warmUp[Completed] + c.warmUp[Refused] + c.warmUp[Failed]
	}
	return r
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
	t := newTally(len(run.Pool.Clients))
	var next, stopped atomic.Int64
	next.Store(run.From)
	from, until := run.WarmUp, run.WarmUp+run.Measure
	t.start = time.Now()
	var wait sync.WaitGroup
	for i, c := range run.Pool.Clients {
		wait.Go(func() {
			mine := &t.perConn[i]
			for ctx.Err() == nil {
				began := time.Since(t.start)
				if began >= until {
					return
				}
				n := next.Add(1) - 1
				if run.Limit > 0 && n >= run.From+run.Limit {
					stopped.Store(1)
					return
				}
				v := run.Work(c, n)
				done := time.Since(t.start)
				switch {
				case done < from:
					mine.warmUp[v.Outcome]++
					continue
				case done >= until:
					mine.late++
					continue
				}
				mine.outcomes[v.Outcome]++
				mine.last = done
				if v.Outcome == Completed {
					t.latency.Record(i, done-began)
				} else {
					t.reason(v.Reason)
				}
			}
		})
	}
	wait.Wait()
	r := t.result()
	r.Elapsed = run.Measure
	if stopped.Load() != 0 {
		// The work ran out: the time ends with the last answer.
		r.Elapsed = 0
		for i := range t.perConn {
			r.Elapsed = max(r.Elapsed, t.perConn[i].last-from)
		}
	}
	r.Offered = r.Completed + r.Refused + r.Failed
	r.Next = next.Load()
	if run.Limit > 0 {
		r.Next = min(r.Next, run.From+run.Limit)
	}
	return r, ctx.Err()
}
