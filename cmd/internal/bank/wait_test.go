package bank

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestStartWaitsAsLongAsTheLogIsReplayed(t *testing.T) {
	// until is when the node leads, busy until when it applies entries.
	f := func(until, busy time.Duration, want error) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			since := func() time.Duration { return time.Since(began) }
			got := waitForLeader(t.Context(), func() bool { return since() >= until }, func() uint64 { return uint64(min(since(), busy)) })
			if !errors.Is(got, want) {
				t.Errorf("a node that leads after %v and is busy for %v: %v, want %v", until, busy, got, want)
			}
		})
	}
	f(time.Second, 0, nil)
	f(10*time.Minute, 10*time.Minute, nil)
	f(10*time.Minute, 0, errNoLeader)
	f(10*time.Minute, time.Minute, errNoLeader)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := waitForLeader(ctx, func() bool { return false }, func() uint64 { return 0 }); !errors.Is(err, context.Canceled) {
			t.Errorf("asked to end: %v", err)
		}
	})
}
