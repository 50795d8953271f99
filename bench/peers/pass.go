package main

import (
	"fmt"
	"sync/atomic"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/go-kratos/aegis/ratelimit"
	"github.com/go-kratos/aegis/ratelimit/bbr"
	"github.com/zeromicro/go-zero/core/load"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/core/stat"
)

// The limiters of this file let in what the best hundredth of a second has passed, times the shortest mean time, once the processor is busy
// enough. The processor that they look at is their own machine's.

// aegis is go-kratos/aegis's BBR.
type aegis struct{ of *bbr.BBR }

// quotaOfIdle makes the use of this machine's processors, of which so many would be a whole, nothing.
const quotaOfIdle = 1e9

func newAegis(opts ...bbr.Option) aegis {
	return aegis{bbr.NewLimiter(append(opts, bbr.WithCPUQuota(quotaOfIdle))...)}
}

func (a aegis) acquire() (func(bool), bool) {
	done, err := a.of.Allow()
	if err != nil {
		return nil, false
	}
	return func(bool) { done(ratelimit.DoneInfo{}) }, true
}

// limit is one more than MaxInFlight: it refuses when more than that are inside already.
func (a aegis) limit() int { return int(a.of.Stat().MaxInFlight) + 1 }

// processorUse is what go-zero believes that the processor does, in thousandths. It measures that by itself, four times a second, and lets
// nobody say otherwise.
//
//go:linkname processorUse github.com/zeromicro/go-zero/core/stat.cpuUsage
var processorUse int64

// quiet has go-zero say nothing about each call that it turns away, nor about this process.
func quiet() {
	logx.Disable()
	stat.DisableLog()
	stat.SetReporter(nil)
}

// goZero is go-zero's adaptive shedder.
type goZero struct{ of load.Shedder }

func newGoZero(opts ...load.ShedderOption) goZero {
	return goZero{load.NewAdaptiveShedder(opts...)}
}

func (g goZero) acquire() (func(bool), bool) {
	atomic.StoreInt64(&processorUse, 0)
	promise, err := g.of.Allow()
	if err != nil {
		return nil, false
	}
	return func(late bool) {
		if late {
			promise.Fail()
			return
		}
		promise.Pass()
	}, true
}

// limit is not to be had from it.
func (goZero) limit() int { return 0 }

func passPeers() []peer {
	windows := func(first time.Duration) []time.Duration {
		all := []time.Duration{first}
		for _, w := range []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second} {
			if w != first {
				all = append(all, w)
			}
		}
		return all
	}
	idle := peer{name: "aegis BBR, its threshold", arrangement: asBare}
	idle.add("defaults", func() admission { return bare(newAegis()) })
	bareOnes, behinds := peer{name: "aegis BBR", arrangement: asBare}, peer{name: "aegis BBR", arrangement: asBehind}
	for _, window := range windows(10 * time.Second) {
		for _, buckets := range []int{100, 20, 50, 200} {
			text := fmt.Sprintf("threshold 0; window %v, %d buckets", window, buckets)
			l := func() aegis {
				return newAegis(bbr.WithCPUThreshold(0), bbr.WithWindow(window), bbr.WithBucket(buckets))
			}
			bareOnes.add(text, func() admission { return bare(l()) })
			behinds.add(text, func() admission { return behind(bare(l())) })
		}
	}
	idleZero := peer{name: "go-zero, its threshold", arrangement: asBare}
	idleZero.add("defaults", func() admission { return bare(newGoZero()) })
	zeroes := peer{name: "go-zero", arrangement: asBare}
	for _, window := range windows(5 * time.Second) {
		for _, buckets := range []int{50, 10, 20, 100} {
			text := fmt.Sprintf("threshold 0; window %v, %d buckets", window, buckets)
			zeroes.add(text, func() admission {
				return bare(newGoZero(load.WithCpuThreshold(0), load.WithWindow(window), load.WithBuckets(buckets)))
			})
		}
	}
	return []peer{idle, bareOnes, behinds, idleZero, zeroes}
}
