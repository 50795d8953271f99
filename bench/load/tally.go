package load

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// tally collects what became of requests or flows. Its writers are spread over shards, so that two seldom wait for each other.
type tally struct {
	start   time.Time
	from    time.Duration // where measuring begins
	until   time.Duration // where it ends, for what is meant to begin
	slo     time.Duration
	service bool // service times are kept too
	steps   []NamedStep
	shard   [shards]tallyShard
}

// tallyShard is guarded by its lock.
type tallyShard struct {
	sync.Mutex
	warmUp           int64
	timeline         []secondOf
	before           int64 // begun less ended before measuring began
	reasons          map[string]int64
	latency, service *hdrhistogram.Histogram
	lag              *hdrhistogram.Histogram
	steps            []StepResult
	_                [64]byte // apart in memory, so that two processors do not share a cache line
}

// secondOf is a second of a shard. change is how many flows were begun less ended in it.
type secondOf struct {
	Second
	change int64
}

func newTally(from, until, slo time.Duration, steps []NamedStep) *tally {
	t := &tally{from: from, until: until, slo: slo, steps: steps}
	for i := range t.shard {
		s := &t.shard[i]
		s.reasons, s.latency = map[string]int64{}, NewHistogram()
		for _, step := range steps {
			s.steps = append(s.steps, StepResult{Name: step.Name, SLO: step.SLO, Latency: NewHistogram()})
		}
	}
	return t
}

// at gives the second of an offset. Callers hold the lock, and have checked that the offset is measured.
func (s *tallyShard) at(offset, from time.Duration) *secondOf {
	i := min(int((offset-from)/time.Second), timelineMax-1)
	for i >= len(s.timeline) {
		s.timeline = append(s.timeline, secondOf{})
	}
	return &s.timeline[i]
}

// measures says whether what is meant to begin at an offset counts.
func (t *tally) measures(intended time.Duration) bool {
	return t.from <= intended && intended < t.until
}

func (t *tally) of(writer int) *tallyShard { return &t.shard[uint(writer)%shards] }

// offered counts an arrival by its intended start.
func (t *tally) offered(writer int, intended time.Duration, dropped bool) {
	if !t.measures(intended) {
		return
	}
	s := t.of(writer)
	s.Lock()
	defer s.Unlock()
	second := s.at(intended, t.from)
	second.Offered++
	if dropped {
		second.Dropped++
	}
}

// late records by how much the generator itself was late with something that was due while measuring.
func (t *tally) late(writer int, by time.Duration) {
	s := t.of(writer)
	s.Lock()
	if s.lag == nil {
		s.lag = NewHistogram()
	}
	_ = s.lag.RecordValue(inRange(by))
	s.Unlock()
}

// underWay counts a flow that begins (1) or ends (-1).
func (t *tally) underWay(writer int, now time.Duration, change int64) {
	s := t.of(writer)
	s.Lock()
	if now < t.from {
		s.before += change
	} else {
		s.at(now, t.from).change += change
	}
	s.Unlock()
}

// ended is what a writer says of a request or flow that came to an end.
type ended struct {
	measured bool          // else it belongs to the warm-up or the cool-down
	closed   bool          // it was not offered by a schedule: it counts as offered when it ended
	at       time.Duration // offset of its end
	latency  time.Duration // of Result.Latency
	service  time.Duration // of Result.Service
}

// end counts what became of a request or flow.
func (t *tally) end(writer int, e ended, v *Verdict) {
	s := t.of(writer)
	s.Lock()
	defer s.Unlock()
	if !e.measured {
		s.warmUp++
		return
	}
	second := s.at(max(e.at, t.from), t.from)
	if e.closed {
		second.Offered++
	}
	if v.Outcome != Completed {
		addReason(s.reasons, v.Reason, 1)
	}
	switch v.Outcome {
	case Completed:
		second.Completed++
		if !v.Late && (t.slo == 0 || e.latency <= t.slo) {
			second.InSLO++
		}
		_ = s.latency.RecordValue(inRange(e.latency))
		if t.service {
			if s.service == nil {
				s.service = NewHistogram()
			}
			_ = s.service.RecordValue(inRange(e.service))
		}
	case Refused:
		second.Refused++
	case Abandoned:
		second.Abandoned++
	case InDoubt:
		second.InDoubt++
	default:
		second.Failed++
	}
}

// step counts the end of a flow's step.
func (t *tally) step(writer, i int, outcome Outcome, latency time.Duration) {
	s := t.of(writer)
	s.Lock()
	defer s.Unlock()
	step := &s.steps[i]
	switch outcome {
	case Completed:
		step.Completed++
		if step.SLO == 0 || latency <= step.SLO {
			step.InSLO++
		}
		_ = step.Latency.RecordValue(inRange(latency))
	case Refused:
		step.Refused++
	case Abandoned:
		step.Abandoned++
	case InDoubt:
		step.InDoubt++
	default:
		step.Failed++
	}
}

// result sums the shards up. The timeline has at least the seconds of the measured time.
func (t *tally) result(measure time.Duration) *Result {
	r := &Result{Reasons: map[string]int64{}, Latency: NewHistogram(), Elapsed: measure}
	if t.service {
		r.Service = NewHistogram()
	}
	for _, step := range t.steps {
		r.Steps = append(r.Steps, StepResult{Name: step.Name, SLO: step.SLO, Latency: NewHistogram()})
	}
	r.Timeline = make([]Second, (measure+time.Second-1)/time.Second)
	changes, before := make([]int64, len(r.Timeline)), int64(0)
	for i := range t.shard {
		s := &t.shard[i]
		s.Lock()
		r.WarmUp += s.warmUp
		before += s.before
		addReasons(r.Reasons, s.reasons)
		r.Latency = mergeHistograms(r.Latency, s.latency)
		r.Service = mergeHistograms(r.Service, s.service)
		r.Lag = mergeHistograms(r.Lag, s.lag)
		for j := range s.steps {
			r.Steps[j].add(&s.steps[j])
		}
		for j := range s.timeline {
			if j == len(r.Timeline) {
				r.Timeline, changes = append(r.Timeline, Second{}), append(changes, 0)
			}
			r.Timeline[j].add(&s.timeline[j].Second)
			changes[j] += s.timeline[j].change
		}
		s.Unlock()
	}
	for i := range r.Timeline {
		second := &r.Timeline[i]
		before += changes[i]
		second.UnderWay = before
		r.Offered += second.Offered
		r.Completed += second.Completed
		r.InSLO += second.InSLO
		r.Refused += second.Refused
		r.Failed += second.Failed
		r.Abandoned += second.Abandoned
		r.InDoubt += second.InDoubt
		r.Dropped += second.Dropped
	}
	return r
}

// inRange is a latency as histograms take it.
func inRange(d time.Duration) int64 { return int64(min(max(d, LatencyMin), LatencyMax)) }
