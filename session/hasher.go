package session

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// hasher checks passwords, a bounded number at once and with a bounded queue. It has no goroutine of its own: a sign-in waits and
// hashes in the goroutine of its request.
//
// A place is reserved before the attempt is committed, and once it is committed the password is checked whatever the
// deadline: otherwise an overload would use up customers' attempts without looking at their passwords, and lock them out.
type hasher struct {
	places   int64
	workers  int64
	free     chan struct{} // holds a token for each worker at work; waiters are served in order
	reserved atomic.Int64
	running  atomic.Int64
	mean     atomic.Int64            // ns of one hash, smoothed
	matches  func(Hash, string) bool // Hash.matches; another in tests

	wait    prometheus.Histogram
	hash    prometheus.Histogram
	refused *prometheus.CounterVec
}

// meanAtFirst is taken for a hash's time before one was measured.
const meanAtFirst = 20 * time.Millisecond

// newHasher makes a pool of workers with queue waiting places.
func newHasher(workers, queue int) *hasher {
	h := &hasher{
		matches: Hash.matches,
		places:  int64(workers + queue),
		workers: int64(workers),
		free:    make(chan struct{}, workers),
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "netbank_signin_hash_wait_seconds", Help: "Time that a sign-in waited for a worker of the password pool.",
			Buckets: []float64{.001, .01, .05, .1, .25, .5, 1, 2, 4}, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160,
		}),
		hash: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "netbank_signin_hash_seconds", Help: "Time that a worker of the password pool took for one hash.",
			Buckets: []float64{.001, .005, .01, .02, .03, .05, .1, .25, 1}, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160,
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "netbank_signin_hash_refused_total", Help: "Sign-ins refused by the password pool, by reason: queue-full, or too-late for their deadline.",
		}, []string{"reason"}),
	}
	h.mean.Store(int64(meanAtFirst))
	return h
}

// place is a reserved place in the pool. Leave it exactly once.
type place struct{ pool *hasher }

// reserve takes a place, or fails with ErrBusy if all are taken or the hash would probably not be done by the deadline.
func (h *hasher) reserve(deadline time.Time) (place, error) {
	ahead := h.reserved.Add(1) - 1
	if ahead >= h.places {
		h.reserved.Add(-1)
		h.refused.WithLabelValues("queue-full").Inc()
		return place{}, ErrBusy
	}
	if h.expected(ahead) > time.Until(deadline) {
		h.reserved.Add(-1)
		h.refused.WithLabelValues("too-late").Inc()
		return place{}, ErrBusy
	}
	return place{h}, nil
}

// expected estimates when a hash would be done that has so many others ahead.
func (h *hasher) expected(ahead int64) time.Duration {
	return time.Duration(h.mean.Load() * (ahead/h.workers + 1))
}

// rate is the number of hashes a second that the workers can do together, from measured times.
func (h *hasher) rate() float64 { return float64(h.workers) * 1e9 / float64(h.mean.Load()) }

// queued is the number of places held by sign-ins that are not being hashed.
func (h *hasher) queued() int64 { return max(0, h.reserved.Load()-h.running.Load()) }

func (p place) leave() { p.pool.reserved.Add(-1) }

// check waits for a worker and checks the password. The wait is bounded by the number of places.
func (p place) check(password string, against Hash) bool {
	h := p.pool
	came := time.Now()
	h.free <- struct{}{}
	h.running.Add(1)
	began := time.Now()
	ok := h.matches(against, password)
	took := time.Since(began)
	h.running.Add(-1)
	<-h.free
	h.wait.Observe(began.Sub(came).Seconds())
	h.hash.Observe(took.Seconds())
	// A lost update between two workers only delays the mean a little.
	mean := h.mean.Load()
	h.mean.Store(mean + (int64(took)-mean)/16)
	return ok
}
