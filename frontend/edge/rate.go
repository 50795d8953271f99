package edge

import (
	"hash/maphash"
	"sync"
	"time"
)

// Rates bounds how often each of many may come. It is the generic cell rate algorithm (ITU-T I.371, annex A) with one number for each: the time
// at which everything that came would have been served at the rate. What is not in the table has not come lately; where the table is full,
// the one of a few that has most left is forgotten, and only gains by it.
type Rates struct {
	every time.Duration // between two at the rate
	burst time.Duration // how far the number may run ahead
	max   int
	seed  maphash.Seed
	begun time.Time

	mu  sync.Mutex
	due map[uint64]time.Duration // since begun
}

// NewRates lets each come every so often, and burst times at once; it remembers at most as many as most.
func NewRates(every time.Duration, burst, most int) *Rates {
	return &Rates{
		every: every, burst: time.Duration(burst) * every, max: most, seed: maphash.MakeSeed(), begun: time.Now(), due: make(map[uint64]time.Duration),
	}
}

// Take counts one who comes, and gives 0, or after what time he may; then he is not counted.
func (r *Rates) Take(key []byte) (wait time.Duration) {
	hash := maphash.Bytes(r.seed, key)
	now := time.Since(r.begun)
	r.mu.Lock()
	defer r.mu.Unlock()
	old, known := r.due[hash]
	due := max(old, now) + r.every
	if over := due - now - r.burst; over > 0 {
		return over
	}
	if !known && len(r.due) >= r.max {
		r.evict()
	}
	r.due[hash] = due
	return 0
}

func (r *Rates) evict() {
	const sample = 8
	var least uint64
	var earliest time.Duration
	n := 0
	for key, due := range r.due {
		if n == 0 || due < earliest {
			least, earliest = key, due
		}
		if n++; n == sample {
			break
		}
	}
	delete(r.due, least)
}
