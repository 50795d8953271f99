package partner

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"netbank/cluster/journal"
)

// quotas are what one partner may ask of this node, in one second.
type quotas struct {
	creates, polls, cancels *bucket
	open                    *places
}

// set follows the partner's record. Callers hold the registry's lock; a bucket is replaced only when its rate changes.
func (q *quotas) set(record journal.Partner, limits Limits) {
	creates, polls := record.CreatesPerSecond, record.PollsPerSecond
	setDefault(&creates, limits.CreatesPerSecond)
	setDefault(&polls, limits.PollsPerSecond)
	fresh := func(b **bucket, name string, rate uint32) {
		if *b == nil || (*b).rate != rate {
			*b = newBucket(name, rate)
		}
	}
	fresh(&q.creates, "creates", creates)
	fresh(&q.polls, "polls", polls)
	fresh(&q.cancels, "cancels", creates)
	if q.open == nil {
		q.open = &places{}
	}
}

// Bounds of what a partner is told who has as many open payments as he may.
const (
	// placesWaitMax is the longest.
	placesWaitMax = 30 * time.Second
	// placesKept is how long what was seen before counts: longer than anybody is put off for.
	placesKept = 2 * placesWaitMax
)

// places measures how soon a partner who has as many open payments as he may can have another one: for each create that finds one has ended there are some
// that do not. Those who are refused in a second come again in as many seconds as that many places take to come free.
type places struct {
	mu              sync.Mutex
	since, last     time.Time // the first refusal of a time in which there were some, and the last
	refused, opened float64   // since then; after placesKept, half of what came before
}

// found counts a payment that was opened.
func (p *places) found(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refused > 0 && now.Sub(p.last) < placesKept {
		p.opened++
	}
}

// wait counts a refusal, and gives when to come again.
func (p *places) wait(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.refused == 0 || now.Sub(p.last) >= placesKept:
		p.since, p.refused, p.opened = now, 0, 0
	case now.Sub(p.since) >= placesKept:
		p.since, p.refused, p.opened = now.Add(-placesKept/2), p.refused/2, p.opened/2
	}
	p.last = now
	p.refused++
	return time.Duration(min(p.refused/(p.opened+1), placesWaitMax.Seconds()) * float64(time.Second))
}

// bucket is a token bucket of one second's worth of tokens, kept as the time at which it will be full again (the generic
// cell rate algorithm, ITU-T I.371): one word, no lock, no timer.
type bucket struct {
	rate   uint32
	cost   int64  // nanoseconds that one token takes to come back
	policy string // the RateLimit-Policy field
	name   string
	full   atomic.Int64 // nanoseconds since the API's start at which the bucket will be full
}

func newBucket(name string, perSecond uint32) *bucket {
	return &bucket{
		rate: perSecond, cost: max(1, int64(time.Second)/int64(perSecond)), name: name,
		policy: `"` + name + `";q=` + strconv.FormatUint(uint64(perSecond), 10) + `;w=1`,
	}
}

// take takes a token at a time since the API's start. It says how many are left, and if there was none, how long until there is one.
func (b *bucket) take(now int64) (left int64, wait time.Duration) {
	window := b.cost * int64(b.rate)
	for {
		full := b.full.Load()
		next := max(full, now) + b.cost
		if next-now > window {
			return 0, time.Duration(next - now - window)
		}
		if b.full.CompareAndSwap(full, next) {
			return (window - (next - now)) / b.cost, 0
		}
	}
}

// appendRateLimit writes the RateLimit field of draft-ietf-httpapi-ratelimit-headers: what is left, and in how many
// seconds the quota is whole again.
func (b *bucket) appendRateLimit(dst []byte, left int64, reset int64) []byte {
	dst = append(dst, '"')
	dst = append(dst, b.name...)
	dst = append(dst, `";r=`...)
	dst = strconv.AppendInt(dst, left, 10)
	dst = append(dst, `;t=`...)
	return strconv.AppendInt(dst, reset, 10)
}

// retrySeconds rounds up, and is at least 1: what Retry-After can say.
func retrySeconds(wait time.Duration) int64 {
	return max(1, int64((wait+time.Second-1)/time.Second))
}
