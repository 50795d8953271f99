package congestion

import (
	"fmt"
	"math"
	"time"
)

// ID numbers the jobs of a Station from 1, in the order of their arrival.
type ID uint64

// Station is a core in virtual time. Times count from any origin and must not go back; one that does counts as the
// latest so far. It is not safe for concurrent use.
type Station struct {
	model    Model
	capacity float64 // factor, 0 to CapacityMax
	now      time.Duration
	progress float64 // ns of work that a job inside since the beginning would have had done by now
	last     ID
	inside   heap  // jobs that progress
	line     []job // jobs that wait for a server, oldest at head
	head     int
	finished []ID // completed before now and not yet handed over
}

type job struct {
	id   ID
	mark float64 // in line: the demand in ns; inside: the progress at which it is done
}

// NewStation makes an idle Station of capacity factor 1.
func NewStation(m Model) (*Station, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	return &Station{model: m, capacity: 1}, nil
}

// Arrive brings a job. The model Fixed puts its latency in the place of the demand.
func (s *Station) Arrive(now, demand time.Duration) ID {
	s.advance(now)
	s.last++
	if s.model.Kind == Fixed {
		demand = s.model.Latency
	}
	j := job{id: s.last, mark: float64(max(0, demand))}
	if len(s.inside) < s.model.slots() {
		s.enter(j)
	} else {
		s.line = append(s.line, j)
	}
	return j.id
}

// Next says when the next job completes if nothing else happens; ok is false if none ever does.
func (s *Station) Next() (at time.Duration, ok bool) {
	if len(s.finished) > 0 {
		return s.now, true
	}
	return s.next()
}

// Complete appends to ids the jobs that have completed by now, earliest first.
func (s *Station) Complete(now time.Duration, ids []ID) []ID {
	s.advance(now)
	ids = append(ids, s.finished...)
	s.finished = s.finished[:0]
	return ids
}

// SetCapacity changes the factor by which everything progresses: 1 is the whole core, 0.3 one that has lost 70 %, 0 one
// that stands still. Work done stays done.
func (s *Station) SetCapacity(now time.Duration, factor float64) error {
	if err := ValidateCapacity(factor); err != nil {
		return err
	}
	s.advance(now)
	s.capacity = factor
	return nil
}

// ValidateCapacity says whether a capacity factor is in range.
func ValidateCapacity(factor float64) error {
	if !(factor >= 0 && factor <= CapacityMax) {
		return fmt.Errorf("congestion: capacity factor %v: 0 to %v is allowed", factor, CapacityMax)
	}
	return nil
}

// SetModel changes the model. Jobs keep the work that they have left; those inside stay inside, even when the new model
// has fewer servers.
func (s *Station) SetModel(now time.Duration, m Model) error {
	if err := m.Validate(); err != nil {
		return err
	}
	s.advance(now)
	s.model = m
	s.admit()
	return nil
}

// Model gives the model.
func (s *Station) Model() Model { return s.model }

// Capacity gives the capacity factor.
func (s *Station) Capacity() float64 { return s.capacity }

// Inside counts the jobs that progress and those in line.
func (s *Station) Inside() (progressing, inLine int) { return len(s.inside), len(s.line) - s.head }

func (s *Station) rate() float64 { return s.capacity * s.model.rate(len(s.inside)) }

func (s *Station) next() (time.Duration, bool) {
	rate := s.rate()
	if len(s.inside) == 0 || rate == 0 {
		return 0, false
	}
	left := math.Ceil((s.inside[0].mark - s.progress) / rate)
	if left >= float64(math.MaxInt64/2) {
		return 0, false // later than any clock: a core so slow stands still
	}
	return s.now + max(0, time.Duration(left)), true
}

// advance completes jobs one after the other up to now: each completion changes the rate of the others.
func (s *Station) advance(now time.Duration) {
	for {
		at, ok := s.next()
		if !ok || at > now {
			break
		}
		s.progress = max(s.inside[0].mark, s.progress) // exactly: rounding must not leave a job a fraction short for ever
		s.now = max(s.now, at)
		s.finished = append(s.finished, s.inside.pop().id)
		s.admit()
	}
	if now > s.now {
		s.progress += float64(now-s.now) * s.rate()
		s.now = now
	}
	if len(s.inside) == 0 {
		s.progress = 0 // keeps the numbers small, hence exact
	}
}

// admit lets jobs from the line in while a server is free.
func (s *Station) admit() {
	for s.head < len(s.line) && len(s.inside) < s.model.slots() {
		s.enter(s.line[s.head])
		s.head++
	}
	if s.head == len(s.line) {
		s.line, s.head = s.line[:0], 0
	} else if s.head > 1024 && s.head > len(s.line)/2 {
		s.line = s.line[:copy(s.line, s.line[s.head:])]
		s.head = 0
	}
}

func (s *Station) enter(j job) {
	j.mark += s.progress
	s.inside.push(j)
}

// heap is a binary heap of jobs, the one that is done first on top; among equals the older. container/heap would box
// every job into an interface.
type heap []job

func (h heap) less(i, k int) bool {
	return h[i].mark < h[k].mark || h[i].mark == h[k].mark && h[i].id < h[k].id
}

// first gives the job that is done first, or 0.
func (h heap) first() ID {
	if len(h) == 0 {
		return 0
	}
	return h[0].id
}

func (h *heap) push(j job) {
	*h = append(*h, j)
	q := *h
	for i := len(q) - 1; i > 0; {
		parent := (i - 1) / 2
		if !q.less(i, parent) {
			return
		}
		q[i], q[parent] = q[parent], q[i]
		i = parent
	}
}

func (h *heap) pop() job {
	q := *h
	top := q[0]
	last := len(q) - 1
	q[0] = q[last]
	q = q[:last]
	*h = q
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(q) {
			return top
		}
		if child+1 < len(q) && q.less(child+1, child) {
			child++
		}
		if !q.less(child, i) {
			return top
		}
		q[i], q[child] = q[child], q[i]
		i = child
	}
}
