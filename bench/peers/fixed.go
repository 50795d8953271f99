package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/semaphore"

	"netbank/bench/sim"
	"netbank/cluster/gate"
)

// sizes are the fixed limits that are tried; the first is the knee of the reference core, which an operator would have to know.
func sizes() []int {
	return []int{64, 4, 8, 12, 16, 20, 24, 32, 40, 48, 56, 72, 80, 96, 112, 128, 160, 192, 256, 384}
}

// weighted is golang.org/x/sync/semaphore, with one seat a call.
type weighted struct {
	of   *semaphore.Weighted
	size int
}

func newWeighted(size int) *weighted {
	return &weighted{of: semaphore.NewWeighted(int64(size)), size: size}
}

func (w *weighted) release(bool) { w.of.Release(1) }

func (w *weighted) acquire() (func(bool), bool) { return w.release, w.of.TryAcquire(1) }

func (w *weighted) limit() int { return w.size }

func (w *weighted) try(gate.Offer) (func(bool), verdict) {
	if w.of.TryAcquire(1) {
		return w.release, started
	}
	return nil, waits
}

func (w *weighted) wait(ctx context.Context, _ gate.Offer) (func(bool), error) {
	return w.release, w.of.Acquire(ctx, 1)
}

func fixedPeers() []peer {
	bareOnes, halls, behinds := peer{name: "fixed limit", arrangement: asBare}, peer{name: "x/sync semaphore", arrangement: asQueued}, peer{name: "fixed limit", arrangement: asBehind}
	for _, n := range sizes() {
		text := fmt.Sprintf("%d seats", n)
		bareOnes.add(text, func() admission { return bare(newWeighted(n)) })
		halls.add(text, func() admission { return queued(newWeighted(n), nil) })
		behinds.add(text, func() admission { return behind(bare(newWeighted(n))) })
	}
	none := peer{name: "no limit", arrangement: asBare}
	none.add("", func() admission { return unlimited{sim.Off().New(0, 0)} })
	return []peer{none, bareOnes, halls, behinds}
}

// unlimited is no limit.
type unlimited struct{ sim.Admission }

func (unlimited) close() {}
