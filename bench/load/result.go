package load

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what a run measured. Requests, or flows, of the warm-up and the cool-down are in WarmUp only.
type Result struct {
	WarmUp    int64 // requests finished that were meant for the time before measuring began, or after its end
	Offered   int64 // requests that were due while measuring
	Completed int64
	InSLO     int64 // completed within the run's SLO from the intended start, and not Late; without an SLO all that were not Late
	Refused   int64
	Failed    int64
	Abandoned int64
	InDoubt   int64
	Dropped   int64            // open runs: the generator had no room for them
	Reasons   map[string]int64 // of everything that was not completed and not dropped
	Elapsed   time.Duration    // what Completed is to be divided by for a rate
	Next      int64            // the number after the last request that is due in the run, in all shares together
	// AtOnce is the most flows that were under way at one moment while measuring; of merged results it is the sum, which no moment
	// exceeded. Runs of flows only.
	AtOnce int64

	// Latency of completed requests: in an open run from the intended start, in a closed run from the sending. A flow may say
	// another (Verdict.Latency).
	Latency *hdrhistogram.Histogram
	// Service is the latency from the sending, which hides what waited; only of Open.
	Service *hdrhistogram.Histogram
	// Lag is how late the generator was: its pacer in releasing arrivals, and its timers in ending customers' thinking. It is the
	// generator's own fault, and part of Latency. Open runs, and runs of flows.
	Lag *hdrhistogram.Histogram
	// Steps are the steps of flows, in the order of CrowdRun.Steps.
	Steps []StepResult
	// Timeline has an element for each second from the end of the warm-up on: of the measured time, and of what came after it until
	// the last request ended. Its columns add up to the counts above.
	Timeline []Second
}

// StepResult is what became of one step of the flows that were measured.
type StepResult struct {
	Name      string        `json:"name"`
	SLO       time.Duration `json:"sloNs"`
	Completed int64         `json:"completed"`
	InSLO     int64         `json:"inSLO"` // completed within SLO from the intended start; without an SLO all that completed
	Refused   int64         `json:"refused"`
	Failed    int64         `json:"failed"`
	Abandoned int64         `json:"abandoned"`
	InDoubt   int64         `json:"inDoubt"`
	// Latency of completed steps, from their intended start: the end of the thinking before.
	Latency *hdrhistogram.Histogram `json:"-"`
}

// Second is one second of a run: Offered and Dropped by intended start (in closed runs, which intend nothing, by when it ended), all
// else by when it ended.
type Second struct {
	Offered   int64 `json:"offered"`
	Completed int64 `json:"completed"`
	InSLO     int64 `json:"inSLO"`
	Refused   int64 `json:"refused"`
	Failed    int64 `json:"failed"`
	Abandoned int64 `json:"abandoned"`
	InDoubt   int64 `json:"inDoubt"`
	Dropped   int64 `json:"dropped"`
	// UnderWay is how many flows were under way at the second's end, those of warm-up and cool-down included. Runs of flows only.
	UnderWay int64 `json:"underWay"`
}

// PerSecond is the rate of completed requests.
func (r *Result) PerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Completed) / r.Elapsed.Seconds()
}

// InSLOPerSecond is the rate of requests completed within the objective: goodput.
func (r *Result) InSLOPerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.InSLO) / r.Elapsed.Seconds()
}

// Void says why the run is worth nothing, or nil.
func (r *Result) Void() error {
	if float64(r.Dropped) > DroppedMax*float64(r.Offered) {
		return fmt.Errorf("load: the generator dropped %d of %d requests, more than %.1f %%: give it more connections or a lower rate", r.Dropped, r.Offered, 100*DroppedMax)
	}
	return nil
}

// Merge adds what another process measured at the same time with another share of the same load: the result is as if one
// process had run both. Only AtOnce is a bound then and no measurement, as the peaks may have come at different moments.
// With an error the result is unchanged.
func (r *Result) Merge(o *Result) error {
	if o == nil || o == r {
		return errors.New("load: a result can be merged with another result only")
	}
	sameStep := func(a, b StepResult) bool { return a.Name == b.Name && a.SLO == b.SLO }
	if !slices.EqualFunc(r.Steps, o.Steps, sameStep) {
		return fmt.Errorf("load: results of different steps cannot be merged: %v and %v", stepNames(r.Steps), stepNames(o.Steps))
	}
	r.WarmUp += o.WarmUp
	r.Offered += o.Offered
	r.Completed += o.Completed
	r.InSLO += o.InSLO
	r.Refused += o.Refused
	r.Failed += o.Failed
	r.Abandoned += o.Abandoned
	r.InDoubt += o.InDoubt
	r.Dropped += o.Dropped
	r.AtOnce += o.AtOnce
	r.Elapsed, r.Next = max(r.Elapsed, o.Elapsed), max(r.Next, o.Next)
	if r.Reasons == nil {
		r.Reasons = map[string]int64{}
	}
	addReasons(r.Reasons, o.Reasons)
	r.Latency = mergeHistograms(r.Latency, o.Latency)
	r.Service = mergeHistograms(r.Service, o.Service)
	r.Lag = mergeHistograms(r.Lag, o.Lag)
	r.Steps = slices.Clone(r.Steps)
	for i := range r.Steps {
		r.Steps[i].add(&o.Steps[i])
	}
	r.Timeline = slices.Clone(r.Timeline)
	for i := range o.Timeline {
		if i == len(r.Timeline) {
			r.Timeline = append(r.Timeline, Second{})
		}
		r.Timeline[i].add(&o.Timeline[i])
	}
	return nil
}

func stepNames(steps []StepResult) []string {
	var names []string
	for _, s := range steps {
		names = append(names, s.Name)
	}
	return names
}

func (s *StepResult) add(o *StepResult) {
	s.Completed += o.Completed
	s.InSLO += o.InSLO
	s.Refused += o.Refused
	s.Failed += o.Failed
	s.Abandoned += o.Abandoned
	s.InDoubt += o.InDoubt
	s.Latency = mergeHistograms(s.Latency, o.Latency)
}

func (s *Second) add(o *Second) {
	s.Offered += o.Offered
	s.Completed += o.Completed
	s.InSLO += o.InSLO
	s.Refused += o.Refused
	s.Failed += o.Failed
	s.Abandoned += o.Abandoned
	s.InDoubt += o.InDoubt
	s.Dropped += o.Dropped
	s.UnderWay += o.UnderWay
}

// addReasons counts reasons into others, no more than reasonsMax of them one by one.
func addReasons(into, from map[string]int64) {
	names := make([]string, 0, len(from))
	for why := range from {
		names = append(names, why)
	}
	slices.Sort(names) // which are counted as "other" must not depend on the order of a map
	for _, why := range names {
		addReason(into, why, from[why])
	}
}

func addReason(into map[string]int64, why string, n int64) {
	if _, known := into[why]; !known && len(into) >= reasonsMax {
		why = "other"
	}
	into[why] += n
}

// mergeHistograms gives the sum of two histograms, of which either may be nil, in the first or in a new one.
func mergeHistograms(into, from *hdrhistogram.Histogram) *hdrhistogram.Histogram {
	if from == nil {
		return into
	}
	if into == nil {
		into = NewHistogram()
	}
	into.Merge(from)
	return into
}
