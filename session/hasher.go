package session

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// hasher decides who may have a password checked, and when: a bounded number at once, and a queue that is bounded by time. It has
// no goroutine of its own: a sign-in waits in the goroutine of its request.
//
//	reserve ── waits for a turn ── commits the attempt ── waits for a worker ── password checked
//	   │ measured times say: too late       │ a turn for each worker, and three that have it next
//	   └─ refused at once                   └─ refused after Limits.SignInWait
//
// Whoever is refused has no attempt counted. Once an attempt is committed the password is checked whatever the deadline: otherwise an
// overload would use up customers' attempts without looking at their passwords, and lock them out.
type hasher struct {
	places   int64
	workers  int64
	wait     time.Duration // Limits.SignInWait
	turns    chan struct{} // holds a token for each turn taken; waiters are served in order
	free     chan struct{} // holds a token for each worker at work; waiters are served in order
	reserved atomic.Int64
	running  atomic.Int64
	mean     atomic.Int64            // ns of one hash, smoothed over the last few
	lasting  atomic.Int64            // ns of one hash, smoothed over many
	learnt   atomic.Int64            // hashes
	worked   atomic.Int64            // ns that workers spent on hashes, all together
	matches  func(Hash, string) bool // see matchesBy

	waited   prometheus.Histogram
	hash     prometheus.Histogram
	refused  *prometheus.CounterVec
	fallback prometheus.Counter
}

const (
	// meanAtFirst is taken for a hash's time before one was measured.
	meanAtFirst = 20 * time.Millisecond
	// meanOfMax bounds what one measurement counts for. A machine that slept is not slow.
	meanOfMax = time.Second
	// meanOver and lastingOver are how many hashes the two means are smoothed over.
	meanOver    = 16
	lastingOver = 256
	// lastingOutlier is how many times the lasting mean a single hash counts for at most. A hash of a fifth of a millisecond that had to wait for a processor
	// takes a hundred times as long, and would have the line stand still for a second.
	lastingOutlier = 8
	// turnsPerWorker: the attempts of those who are next are committed while others are hashed, so that no worker waits for the
	// journal unless a commit takes three times as long as a hash.
	turnsPerWorker = 4
)

// newHasher makes a pool of workers with queue waiting places.
func newHasher(workers, queue int, wait time.Duration) *hasher {
	h := &hasher{
		matches: Hash.matches,
		places:  int64(workers + queue),
		workers: int64(workers),
		wait:    wait,
		turns:   make(chan struct{}, turnsPerWorker*workers),
		free:    make(chan struct{}, workers),
		waited: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "netbank_signin_hash_wait_seconds", Help: "Time that a sign-in waited for its turn and for a worker of the password pool.",
			Buckets: []float64{.001, .01, .05, .1, .25, .5, 1, 2, 4}, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160,
		}),
		hash: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "netbank_signin_hash_seconds", Help: "Time that a worker of the password pool took for one hash.",
			Buckets: []float64{.001, .005, .01, .02, .03, .05, .1, .25, 1}, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160,
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "netbank_signin_hash_refused_total",
			Help: "Sign-ins refused by the password pool, by reason: queue-full; too-late, by measured times; waited, because hashes became slower meanwhile.",
		}, []string{"reason"}),
		fallback: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "netbank_signin_hash_fallback_total", Help: "Passwords that the bank hashed itself, because there was no hashing process that answered.",
		}),
	}
	h.mean.Store(int64(meanAtFirst))
	h.lasting.Store(int64(meanAtFirst))
	return h
}

// matchesBy lets hashes be computed elsewhere, and in this process when that fails: the attempt has been counted.
func (h *hasher) matchesBy(d Deriver) {
	h.matches = func(against Hash, password string) bool {
		key, err := d.Key(against.request(password))
		if err != nil {
			h.fallback.Inc()
			return against.matches(password)
		}
		return against.is(key)
	}
}

// place is a reserved place in the pool. Leave it at the end, whatever came of it.
type place struct {
	pool     *hasher
	reserved time.Time
	waited   time.Duration
	turn     bool
	left     bool
}

// reserve takes a place, or refuses at once: with a *BusyError if all are taken or the turn would, by measured times, come too late.
// Whoever finds a worker free is let in, however long hashes took before: or a pool that was slow once would never find out that it
// no longer is.
func (h *hasher) reserve(deadline time.Time) (*place, error) {
	now := time.Now()
	ahead := h.reserved.Add(1) - 1
	// A quarter of the wait is kept for hashes that become slower meanwhile.
	left := min(deadline.Sub(now), h.wait-h.wait/4)
	switch {
	case ahead >= h.places:
		return nil, h.refuse("queue-full")
	case left <= 0, ahead >= h.workers && h.expected(ahead) > left:
		return nil, h.refuse("too-late")
	}
	return &place{pool: h, reserved: now}, nil
}

// refuse gives a place back, or one that was never there.
func (h *hasher) refuse(reason string) error {
	waiting := h.reserved.Add(-1)
	h.refused.WithLabelValues(reason).Inc()
	return &BusyError{RetryAfter: h.expected(waiting)}
}

// expected estimates when a hash would be done that has so many others ahead.
func (h *hasher) expected(ahead int64) time.Duration {
	return time.Duration(h.mean.Load() * (ahead/h.workers + 1))
}

// rate is the number of hashes a second that the workers can do together, from measured times. It is steady: others plan with it.
func (h *hasher) rate() float64 { return float64(h.workers) * 1e9 / float64(h.lasting.Load()) }

// learn takes up how long a hash took. A lost update between two workers only delays the means a little.
func (h *hasher) learn(took time.Duration) {
	mean := h.mean.Load()
	h.mean.Store(mean + (int64(min(took, meanOfMax))-mean)/meanOver)
	lasting := h.lasting.Load()
	over := min(meanOver+h.learnt.Add(1), lastingOver)
	h.lasting.Store(max(lasting+(min(int64(min(took, meanOfMax)), lastingOutlier*lasting)-lasting)/over, 1))
}

// queued is the number of places held by sign-ins that are not being hashed.
func (h *hasher) queued() int64 { return max(0, h.reserved.Load()-h.running.Load()) }

// await waits for the place's turn, until the deadline or Limits.SignInWait at most; then it gives the place up with a *BusyError.
func (p *place) await(deadline time.Time) error {
	h := p.pool
	limit := time.NewTimer(min(time.Until(deadline), h.wait))
	defer limit.Stop()
	select {
	case h.turns <- struct{}{}:
		p.turn = true
		p.waited = time.Since(p.reserved)
		return nil
	case <-limit.C:
		p.left = true
		return h.refuse("waited")
	}
}

// leave gives the place back, once.
func (p *place) leave() {
	if p.left {
		return
	}
	p.left = true
	if p.turn {
		<-p.pool.turns
	}
	p.pool.reserved.Add(-1)
}

// check waits for a worker, checks the password and leaves the place. The wait is bounded by the number of turns.
func (p *place) check(password string, against Hash) (ok bool) {
	defer p.leave()
	p.work(func() { ok = p.pool.matches(against, password) })
	return ok
}

// work waits for a worker and computes one hash with it.
func (p *place) work(compute func()) {
	h := p.pool
	came := time.Now()
	h.free <- struct{}{}
	h.running.Add(1)
	began := time.Now()
	compute()
	took := time.Since(began)
	h.running.Add(-1)
	<-h.free
	h.worked.Add(int64(took))
	h.waited.Observe((p.waited + began.Sub(came)).Seconds())
	h.hash.Observe(took.Seconds())
	h.learn(took)
}
