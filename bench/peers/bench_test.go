package main

import (
	"sync"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
	"github.com/go-kratos/aegis/ratelimit/bbr"
	"github.com/platinummonkey/go-concurrency-limits/core"
	"github.com/platinummonkey/go-concurrency-limits/limit"
	pool "github.com/platinummonkey/go-concurrency-limits/limiter"
	"github.com/platinummonkey/go-concurrency-limits/strategy"
	"golang.org/x/sync/semaphore"

	"netbank/cluster/gate"
)

// BenchmarkContended is a call that finds a free seat, and its answer, from as many goroutines at once as there are processors. Every limiter is asked
// directly, without the adapters of this package, and reads the clock itself or is given its time.
//
// Our gate has one owner: at the leader that is a goroutine which takes its calls out of an inbox, many at a time. What contends here is
// a mutex around the gate, taken once to offer and once to answer, which costs more than the inbox does: there one turn of the owner serves
// whoever has come meanwhile.
func BenchmarkContended(b *testing.B) {
	b.Run("netbank gate, mutex", func(b *testing.B) { contendedGate(b, gate.Config{Seek: true}) })
	b.Run("failsafe-go adaptive", func(b *testing.B) {
		l := adaptivelimiter.NewWithDefaults[any]()
		contended(b, func() bool {
			permit, ok := l.TryAcquirePermit()
			if ok {
				permit.Record()
			}
			return ok
		})
	})
	b.Run("x-sync semaphore", func(b *testing.B) {
		s := semaphore.NewWeighted(64)
		contended(b, func() bool {
			ok := s.TryAcquire(1)
			if ok {
				s.Release(1)
			}
			return ok
		})
	})
	b.Run("Gradient2", func(b *testing.B) {
		l, err := pool.NewDefaultLimiter(limit.NewDefaultGradient2Limit("", nil, nil), 1e9, 1e9, 1e5, 100, strategy.NewPreciseStrategy(20), limit.NoopLimitLogger{}, core.EmptyMetricRegistryInstance)
		if err != nil {
			b.Fatal(err)
		}
		contended(b, func() bool {
			listener, ok := l.Acquire(b.Context())
			if ok {
				listener.OnSuccess()
			}
			return ok
		})
	})
	b.Run("aegis BBR", func(b *testing.B) {
		l := aegis{bbr.NewLimiter(bbr.WithCPUThreshold(0))}
		contended(b, func() bool {
			release, ok := l.acquire()
			if ok {
				release(false)
			}
			return ok
		})
	})
}

// contended runs what accepts and releases one call, and says how many were refused.
func contended(b *testing.B, once func() bool) {
	b.ReportAllocs()
	var mu sync.Mutex
	refused := 0
	b.RunParallel(func(p *testing.PB) {
		no := 0
		for p.Next() {
			if !once() {
				no++
			}
		}
		mu.Lock()
		refused += no
		mu.Unlock()
	})
	b.ReportMetric(100*float64(refused)/float64(b.N), "%refused")
}

func contendedGate(b *testing.B, c gate.Config) {
	b.ReportAllocs()
	var (
		mu      sync.Mutex
		g       = gate.New(c)
		last    gate.Ticket
		began   = time.Now()
		refused int
	)
	b.RunParallel(func(p *testing.PB) {
		out := make([]gate.Decision, 0, 8)
		no := 0
		for p.Next() {
			now := time.Since(began)
			mu.Lock()
			last++
			t := last
			out = g.Offer(now, gate.Offer{Ticket: t, Class: gate.Confirm, Weight: 1, Budget: 2 * time.Second}, out[:0])
			mu.Unlock()
			if len(out) != 1 || out[0].Action != gate.Start {
				no++
				continue
			}
			done := time.Since(began)
			mu.Lock()
			out = g.Answer(done, t, max(done-now, 1), false, out[:0])
			mu.Unlock()
		}
		mu.Lock()
		refused += no
		mu.Unlock()
	})
	b.ReportMetric(100*float64(refused)/float64(b.N), "%refused")
}
