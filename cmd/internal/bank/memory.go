package bank

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How far the heap may grow before the garbage collector works harder. Go lets it grow to twice what is live, which would make
// 15,000 strangers who hold connections open (about 17 KiB each) cost twice their room, and what their time-outs leave behind
// as much again.
const (
	// MemoryLimit holds while little is live: with it a node with an ordinary journal stays under 400 MB whatever strangers do.
	MemoryLimit = 320 << 20
	// memoryLive is what little means. A node with more live state grows as Go does, since collecting it more often would cost more
	// than it gives.
	memoryLive   = 224 << 20
	memoryAdjust = 500 * time.Millisecond
)

// memoryLimit gives Go's soft limit for what was live after the last collection, both in bytes.
func memoryLimit(live uint64) int64 {
	if live <= memoryLive {
		return MemoryLimit
	}
	return math.MaxInt64
}

// boundMemory keeps Go's soft memory limit at what memoryLimit says, until ctx is done. Whoever sets GOMEMLIMIT knows better.
func boundMemory(ctx context.Context) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	ticker := time.NewTicker(memoryAdjust)
	defer ticker.Stop()
	for {
		metrics.Read(live)
		debug.SetMemoryLimit(memoryLimit(live[0].Value.Uint64()))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
