package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// CrowdRun is a run of flows that take seconds: customers who read, think and type between their requests.
type CrowdRun struct {
	Flow  Flow
	Steps []NamedStep // that Visit.Step records, at most 64
	// Seed is what the visits draw from, each by its number.
	Seed uint64
	// SLO is the latency within which a completed flow counts in Result.InSLO; 0: any.
	SLO time.Duration
	// WarmUp comes before what is measured; what is meant to begin in it counts for nothing but Result.WarmUp.
	WarmUp  time.Duration
	Measure time.Duration
	// CoolDown is how long the load goes on after what is measured, and counts for nothing but Result.WarmUp: or those who come last would
	// have the server to themselves, and an overload would look better the shorter it is measured. Not for Busy.
	CoolDown time.Duration
	// Grace is how long flows may go on that are under way when the load ends. Then the visits' context ends, their
	// Think and Wait say no, and who has no definite word by then has Abandoned: EndedReason.
	Grace time.Duration
	// From is added to the numbers of a schedule, and is the first number of Busy.
	From int64
	// AtOnce bounds the flows under way in a crowd; arrivals beyond it are Dropped. 0: CrowdMax.
	AtOnce int
	// Limit ends Busy when that many flows were begun, in all shares together; 0: no limit.
	Limit int64
	// Share and Of split the numbers of Busy over processes like Schedule.Share: this one takes From+Share, From+Share+Of and so on.
	// Of 0: it takes all.
	Share, Of int
	// Start is the moment from which offsets count, common to several processes; zero: when the run is ready. If it has passed, what
	// was due since is late and counted so.
	Start time.Time

	pace pace // nil: of the operating system
}

// Bounds of a crowd.
const (
	// CrowdMax is how many flows one process carries at once. Each has a goroutine.
	CrowdMax = 50_000
	// GraceMax is the longest grace.
	GraceMax = time.Hour
	// startMax is how far ahead a run may be told to start.
	startMax = 10 * time.Minute
)

func (r *CrowdRun) check() error {
	if r.AtOnce == 0 {
		r.AtOnce = CrowdMax
	}
	if r.Of == 0 && r.Share == 0 {
		r.Of = 1
	}
	switch {
	case r.Flow == nil:
		return errors.New("load: a crowd needs a flow")
	case len(r.Steps) > stepsMax:
		return fmt.Errorf("load: a flow of %d steps; it has at most %d", len(r.Steps), stepsMax)
	case r.Measure <= 0 || r.WarmUp < 0 || r.CoolDown < 0 || r.load() > MeasureMax:
		return fmt.Errorf("load: a run of %v after a warm-up of %v and before a cool-down of %v; it may last up to %v", r.Measure, r.WarmUp, r.CoolDown, MeasureMax)
	case r.Grace < 0 || r.Grace > GraceMax:
		return fmt.Errorf("load: a grace of %v; it may be 0 to %v", r.Grace, GraceMax)
	case r.SLO < 0:
		return fmt.Errorf("load: an SLO of %v; it is 0 for none, or longer", r.SLO)
	case r.AtOnce < 1 || r.AtOnce > CrowdMax:
		return fmt.Errorf("load: %d flows at once; one process carries 1 to %d: share the load among several", r.AtOnce, CrowdMax)
	case r.Of < 1 || r.Of > SharesMax || r.Share < 0 || r.Share >= r.Of:
		return fmt.Errorf("load: share %d of %d; there may be %d shares, counted from 0", r.Share, r.Of, SharesMax)
	case r.Limit < 0:
		return fmt.Errorf("load: a limit of %d flows; it is 0 for none, or more", r.Limit)
	case time.Until(r.Start) > startMax:
		return fmt.Errorf("load: a start at %v, which is more than %v away", r.Start, startMax)
	}
	return nil
}

// load is how long customers keep coming.
func (r *CrowdRun) load() time.Duration { return r.WarmUp + r.Measure + r.CoolDown }

// crowd is a run of flows under way.
type crowd struct {
	*CrowdRun
	ctx   context.Context // of the visits
	tally *tally
	busy  bool          // of Busy: it counts what ended in the measured time, and not what was meant to begin in it
	cut   time.Duration // when the grace ends
	wait  sync.WaitGroup

	underWay, most atomic.Int64
	last           atomic.Int64 // when the last flow of Busy that counts ended
}

// begin waits for the start, and gives the crowd with the function that ends it.
func begin(ctx context.Context, run *CrowdRun) (*crowd, context.CancelFunc, error) {
	c := &crowd{CrowdRun: run, tally: newTally(run.WarmUp, run.WarmUp+run.Measure, run.SLO, run.Steps), cut: run.load() + run.Grace}
	c.tally.start = time.Now()
	if !run.Start.IsZero() {
		ahead := time.Until(run.Start)
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-time.After(ahead):
		}
		c.tally.start = c.tally.start.Add(ahead)
	}
	var cancel context.CancelFunc
	c.ctx, cancel = context.WithDeadline(ctx, c.tally.start.Add(c.cut))
	return c, cancel, nil
}

// Crowd sends a crowd by a schedule, whatever became of those who came before: each arrival is a flow of its own. It returns when all
// that was begun has ended, and counts flows by their intended start.
func Crowd(ctx context.Context, run CrowdRun, schedule *Schedule) (*Result, error) {
	if err := run.check(); err != nil {
		return nil, err
	}
	if schedule == nil || run.Limit != 0 || run.Of != 1 {
		return nil, errors.New("load: a crowd needs a schedule, which also is its limit and has its share")
	}
	pacing := run.pace
	if pacing == nil {
		pacing = newPace()
	}
	schedule.until(run.load())
	c, cancel, err := begin(ctx, &run)
	if err != nil {
		return nil, err
	}
	defer cancel()
	// Goroutines that have ended a flow wait for the next one, as their stacks have grown already. They are as many as flows were
	// under way at once.
	free := make(chan arrival)
	c.wait.Go(func() {
		defer close(free)
		release(ctx, c.tally, schedule, pacing, func(a arrival, _ time.Duration) bool {
			if c.underWay.Load() >= int64(run.AtOnce) {
				return false
			}
			c.enter(a.intended)
			select {
			case free <- a:
			default:
				c.wait.Go(func() {
					for ok := true; ok; a, ok = <-free {
						c.visit(run.From+a.n, a.intended)
					}
				})
			}
			return true
		})
	})
	c.wait.Wait()
	r := c.result()
	r.Next = run.From + schedule.drawn
	return r, ctx.Err()
}

// enter counts a flow that begins.
func (c *crowd) enter(intended time.Duration) {
	now := c.underWay.Add(1)
	if c.tally.measures(intended) && now > c.most.Load() {
		c.most.Store(now) // only one goroutine enters
	}
}

// visit makes one flow and counts it.
func (c *crowd) visit(n int64, intended time.Duration) {
	t := c.tally
	v := &Visit{N: n, Intended: intended, crowd: c, writer: int(n), due: intended}
	began := v.Now()
	t.underWay(v.writer, began, 1)
	if !c.busy && v.measured(began) {
		t.late(v.writer, began-intended) // the pacer, and then the scheduler of goroutines
	}
	verdict := c.Flow(v)
	done := v.Now()
	c.underWay.Add(-1)
	t.underWay(v.writer, done, -1)
	if done >= c.cut && verdict.Outcome == Failed {
		verdict = v.Ended() // it did not fail by itself
	}
	if c.busy {
		if done >= c.WarmUp+c.Measure {
			return
		}
		for last := c.last.Load(); last < int64(done) && !c.last.CompareAndSwap(last, int64(done)); last = c.last.Load() {
		}
	}
	t.end(v.writer, ended{measured: v.measured(done), closed: c.busy, at: done, latency: own(&verdict, done-intended)}, &verdict)
}

func (c *crowd) result() *Result {
	r := c.tally.result(c.Measure)
	r.Lag = mergeHistograms(NewHistogram(), r.Lag)
	r.AtOnce = c.most.Load()
	return r
}

// Busy keeps n customers at their flows: each begins its next when the last has ended. Like Closed, it asks how much a server can do,
// and counts a flow where it ended: in the measured time, in the warm-up, or after the end and then nowhere. What CrowdRun.Limit
// ends is measured until its last flow.
func Busy(ctx context.Context, run CrowdRun, n int) (*Result, error) {
	if err := run.check(); err != nil {
		return nil, err
	}
	if run.CoolDown != 0 {
		return nil, fmt.Errorf("load: a cool-down of %v of customers who are counted where they end; leave it 0", run.CoolDown)
	}
	if n < 1 || n > run.AtOnce {
		return nil, fmt.Errorf("load: %d flows at once; one process carries 1 to %d: share the load among several", n, run.AtOnce)
	}
	c, cancel, err := begin(ctx, &run)
	if err != nil {
		return nil, err
	}
	defer cancel()
	c.busy = true
	var next, stopped atomic.Int64
	c.most.Store(int64(n))
	for range n {
		c.wait.Go(func() {
			for ctx.Err() == nil {
				now := time.Since(c.tally.start)
				if now >= run.WarmUp+run.Measure {
					return
				}
				i := (next.Add(1)-1)*int64(run.Of) + int64(run.Share)
				if run.Limit > 0 && i >= run.Limit {
					stopped.Store(1)
					return
				}
				c.visit(run.From+i, now)
			}
		})
	}
	c.wait.Wait()
	r := c.result()
	if stopped.Load() != 0 {
		// The flows ran out: the time ends with the last of them.
		r.Elapsed = max(0, time.Duration(c.last.Load())-run.WarmUp)
	}
	r.Next = run.From + next.Load()*int64(run.Of)
	if run.Limit > 0 {
		r.Next = min(r.Next, run.From+run.Limit)
	}
	return r, ctx.Err()
}
