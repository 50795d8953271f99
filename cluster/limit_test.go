package cluster

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netbank/cluster/journal"
)

// A core of 40 servers is kept busy until the gate has found that more than its first limit pays. The next leader goes on from there.
func TestFoundLimit_TheNextLeaderBeginsWithIt(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.cfg.Gate.Limit, r.cfg.Gate.Seek = 4, true
		r.core.script = func(Debit) script { return script{work: 50 * time.Millisecond} }
		r.boot()
		until := time.Now().Add(20 * time.Second)
		var making sync.Mutex
		create := func() Confirmation {
			making.Lock()
			defer making.Unlock()
			return r.create()
		}
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for time.Now().Before(until) {
					x := create()
					x.Budget = 10 * time.Second
					r.node.Confirm(x)
				}
			})
		}
		wg.Wait()
		var kept int
		r.node.log.View(func(m *journal.Machine) { kept = m.FoundLimit() })
		if kept < 16 {
			t.Fatalf("the journal keeps a limit of %d: the search began with 4, and more is gained up to 64 at least", kept)
		}
		r.kill()
		r.boot()
		synctest.Wait()
		time.Sleep(time.Second)
		if began := r.node.Status().Gate.Found; began != int(foundTaken*float64(kept)) {
			t.Errorf("the next leader begins with %d, want nine tenths of %d", began, kept)
		}
	})
}
