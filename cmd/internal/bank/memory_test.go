package bank

import (
	"context"
	"math"
	"runtime/debug"
	"testing"
	"testing/synctest"
)

func TestEverythingIsBounded_MemoryWhileLittleIsLive(t *testing.T) {
	f := func(live uint64, want int64) {
		t.Helper()
		if got := memoryLimit(live); got != want {
			t.Errorf("with %d MiB live the limit is %d MiB, want %d", live>>20, got>>20, want>>20)
		}
	}
	f(0, MemoryLimit)
	f(190<<20, MemoryLimit)       // 15,000 strangers
	f(4<<30, math.MaxInt64)       // a large journal is not collected without end
	f(MemoryLimit, math.MaxInt64) // a limit below what is live would do that
}

func TestEverythingIsBounded_TheLimitIsInForceAndGOMEMLIMITIsNotOverruled(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	f := func(environment string, want int64) {
		t.Helper()
		t.Setenv("GOMEMLIMIT", environment)
		debug.SetMemoryLimit(math.MaxInt64)
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			go boundMemory(ctx)
			synctest.Wait()
			cancel()
		})
		if got := debug.SetMemoryLimit(-1); got != want {
			t.Errorf("with GOMEMLIMIT=%q the limit is %d, want %d", environment, got, want)
		}
	}
	f("", MemoryLimit)
	f("1GiB", math.MaxInt64)
}
