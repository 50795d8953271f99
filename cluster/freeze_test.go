package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"netbank/cluster/journal"
)

// frozenCore takes everything and answers nothing, inquiries and reversals included, until it thaws.
type frozenCore struct {
	*fakeCore
	frozen atomic.Bool
}

func (c *frozenCore) silent(ctx context.Context) (Answer, bool) {
	if !c.frozen.Load() {
		return Answer{}, false
	}
	<-ctx.Done()
	return Answer{Word: InDoubt, Err: ctx.Err()}, true
}

// Inquire implements Core.
func (c *frozenCore) Inquire(ctx context.Context, ref Reference) Answer {
	if a, silent := c.silent(ctx); silent {
		return a
	}
	return c.fakeCore.Inquire(ctx, ref)
}

// Reverse implements Core.
func (c *frozenCore) Reverse(ctx context.Context, d Debit, repeat bool) Answer {
	if a, silent := c.silent(ctx); silent {
		return a
	}
	return c.fakeCore.Reverse(ctx, d, repeat)
}

// A core that hangs also swallows inquiries: each keeps one of the resolver's own seats until the core limit. The resolver must
// not be out of seats, or of patience, when the core comes back.
func TestResolver_AllInDoubtIsResolvedWithinAMinute_OfACoreThatWasFrozen(t *testing.T) {
	for _, frozenFor := range []time.Duration{15 * time.Second, time.Minute, 10 * time.Minute} {
		inBubble(t, func(t *testing.T, r *rig) {
			core := &frozenCore{fakeCore: r.core}
			core.frozen.Store(true)
			r.cfg.Core, r.cfg.Gate.Limit = core, 64
			r.core.script = func(Debit) script { return script{lose: true} }
			r.boot()
			all := make([]Confirmation, 60)
			var asked sync.WaitGroup
			for i := range all {
				all[i] = r.create()
				asked.Go(func() { r.node.Confirm(all[i]) })
			}
			time.Sleep(frozenFor)
			asked.Wait()
			core.frozen.Store(false)
			time.Sleep(time.Minute)
			for _, x := range all {
				r.is(x, journal.StateRejected, 0)
			}
		})
	}
}
