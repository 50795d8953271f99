package load

import (
	"context"
	"math/rand/v2"
	"time"
)

// Flow is what one customer does, from coming to leaving: requests, and thinking between them. It runs in a goroutine of its own,
// takes connections from Lines, and says what became of it.
type Flow func(v *Visit) Verdict

// NamedStep is a step of a flow that is measured on its own: a request with its repeats, or several that the customer sees as
// one.
type NamedStep struct {
	Name string
	SLO  time.Duration // within which a completed step counts as in time; 0: any
}

// EndedReason is why flows were abandoned that were under way when the run's grace ended.
const EndedReason = "the run ended"

// Visit is one arrival of a Flow. One goroutine uses it.
//
// Its clock is that of the customer: a step is meant to start when the thinking before it ends, or, without thinking, when the step
// before it ended. What comes later than that, be it for the server or for the generator, is latency.
//
//	arrival   step 0      Think       step 1   step 2     Think    ...
//	├─────────────────┤┄┄┄┄┄┄┄┄┄┄┄├───────────┤────────┤┄┄┄┄┄┄┄┄┄
//	Intended                      due
type Visit struct {
	// N is the arrival's number: the same in every run of one seed, however many processes share it.
	N int64
	// Intended is when the arrival was due, from the start of the run, its warm-up included. In Busy it is when the flow began.
	Intended time.Duration

	crowd   *crowd
	writer  int           // spreads the visits over the tally's shards
	due     time.Duration // when the next step is meant to start
	thought time.Duration
	source  *rand.PCG
}

// measured says whether what ends now counts: in a crowd by the visit's intended start, and in Busy by its end.
func (v *Visit) measured(now time.Duration) bool {
	c := v.crowd
	if c.busy {
		return now >= c.WarmUp && now < c.WarmUp+c.Measure
	}
	return c.tally.measures(v.Intended)
}

// Now is the time since the start of the run.
func (v *Visit) Now() time.Duration { return time.Since(v.crowd.tally.start) }

// Thought is how long the visit was thinking until now: Now() - Intended - Thought() is what it waited for others.
func (v *Visit) Thought() time.Duration { return v.thought }

// Think lets the customer think for d after the last step, and says whether the run goes on. The next step is meant to start at
// the end of d, whenever the goroutine wakes.
func (v *Visit) Think(d time.Duration) bool {
	d = max(d, 0)
	v.due += d
	v.thought += d
	if !v.sleep(v.due - v.Now()) {
		return false
	}
	if now := v.Now(); d > 0 && v.measured(now) {
		v.crowd.tally.late(v.writer, now-v.due)
	}
	return true
}

// Wait waits for d within a step, such as before a repeat, and says whether the run goes on. The step's latency includes it.
func (v *Visit) Wait(d time.Duration) bool { return v.sleep(d) }

func (v *Visit) sleep(d time.Duration) bool {
	ctx := v.crowd.ctx
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Step ends the step with an index of CrowdRun.Steps: its latency is the time since it was meant to start. The next one is meant to
// start now, or after what is thought first. With a negative index it is recorded nowhere.
func (v *Visit) Step(i int, outcome Outcome) {
	now := v.Now()
	if i >= 0 && v.measured(now) {
		v.crowd.tally.step(v.writer, i, outcome, now-v.due)
	}
	v.due = now
}

// Span ends a step that others lie within, with a latency of its own. It moves no start.
func (v *Visit) Span(i int, outcome Outcome, latency time.Duration) {
	if i >= 0 && v.measured(v.Now()) {
		v.crowd.tally.step(v.writer, i, outcome, latency)
	}
}

// Since is the time since the current step was meant to start.
func (v *Visit) Since() time.Duration { return v.Now() - v.due }

// Context ends when flows have to: when the run is called off, or its grace is over.
func (v *Visit) Context() context.Context { return v.crowd.ctx }

// Within is how long a request may take that a customer waits for up to d: no longer than to the end of the run's grace, and no
// less than a millisecond. See Client.DoWithin.
func (v *Visit) Within(d time.Duration) time.Duration {
	return max(min(d, v.crowd.cut-v.Now()), time.Millisecond)
}

// Ended is the verdict of a flow that stops because the run is over: when Think or Wait say so.
func (v *Visit) Ended() Verdict { return Verdict{Outcome: Abandoned, Reason: EndedReason} }

// Source gives random numbers that depend on the run's seed and the visit's number only.
func (v *Visit) Source() *rand.PCG {
	if v.source == nil {
		v.source = rand.NewPCG(Mix(v.crowd.Seed, uint64(v.N)), Mix(^v.crowd.Seed, uint64(v.N)))
	}
	return v.source
}

// Uniform draws from [0, 1).
func (v *Visit) Uniform() float64 { return uniform(v.Source()) }

// Lognormal draws a duration, such as a time to think (see the function Lognormal).
func (v *Visit) Lognormal(mean time.Duration, variation float64) time.Duration {
	return Lognormal(v.Source(), mean, variation)
}
