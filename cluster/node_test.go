package cluster

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOpen_NamesWhatIsWrong(t *testing.T) {
	f := func(change func(c *Config), want string) {
		t.Helper()
		c := Config{Core: newFakeCore()}
		c.Replica.Node = 1
		change(&c)
		if _, err := Open(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(func(c *Config) { c.Core = nil }, "Core is nil")
	f(func(c *Config) { c.Replica.Node = 0 }, "Node is 0")
	f(func(c *Config) { c.CoreLimit = time.Hour }, "1h0m0s")
	f(func(c *Config) { c.SendBy = time.Minute }, "1m0s")
	f(func(c *Config) { c.CloseWait = time.Hour }, "close wait")
	f(func(c *Config) { c.Gate.Limit = -1 }, "limit -1")
}

// pingedCore is a core that can be asked whether it can be reached.
type pingedCore struct{ *fakeCore }

func (c pingedCore) Ping(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return errBroken
	}
	return nil
}

func TestBreaker_RefusesWhileTheCoreCannotBeReached(t *testing.T) {
	f := func(t *testing.T, core func(*fakeCore) Core, lost int) {
		t.Helper()
		inBubble(t, func(t *testing.T, r *rig) {
			r.cfg.Core = core(r.core)
			r.boot()
			r.core.set(func() { r.core.gone = true })
			rejected, refused := 0, 0
			for range 300 {
				x := r.create()
				x.Budget = 500 * time.Millisecond
				got := r.confirm(x)
				switch {
				case got.Refusal == nil:
					rejected++
				case got.Refusal.Reason == gate.Breaker:
					refused++
				}
				time.Sleep(100 * time.Millisecond)
			}
			if rejected > lost || refused < 300-lost {
				t.Errorf("%d payments were granted in vain and %d refused, want at most %d of 300", rejected, refused, lost)
			}
			if s := r.node.Status().Core; s.Reachable || s.LastError == "" {
				t.Errorf("status %+v", s)
			}
			if refusal, ok := r.node.Refused(gate.Confirm); !ok || refusal.Reason != gate.Breaker {
				t.Errorf("the edge says %+v, %v", refusal, ok)
			}
			r.core.set(func() { r.core.gone = false })
			time.Sleep(3 * time.Second)
			x := r.create()
			if got := r.confirm(x); got.Payment.State != journal.StateSettled {
				t.Errorf("got %+v", got)
			}
			if !r.node.Status().Core.Reachable {
				t.Error("it can be reached again")
			}
		})
	}
	f(t, func(c *fakeCore) Core { return pingedCore{c} }, breakerAfter)
	f(t, func(c *fakeCore) Core { return c }, breakerAfter+31)
}

// A link that is full, or a grant that was not written in time, says nothing about the core.
func TestBreaker_StaysShutWhileTheCoreIsThereButGrantsAreNotSent(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.core.script = func(Debit) script { return script{notSent: true} }
		r.boot()
		for range 3 * breakerAfter {
			if got := r.confirm(r.create()); got.Payment.Reason != journal.ReasonNotSent {
				t.Fatalf("got %+v", got)
			}
		}
		if refusal, ok := r.node.Refused(gate.Confirm); ok || !r.node.Status().Core.Reachable {
			t.Errorf("the edge says %+v, %v", refusal, ok)
		}
	})
}

func TestClose_LetsCallsFinishAndCommitsThem(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.cfg.Gate.Limit = 1
		r.core.script = func(Debit) script { return script{work: 2 * time.Second} }
		r.boot()
		x, queued := r.create(), r.create()
		var wg sync.WaitGroup
		wg.Go(func() {
			if got := r.confirm(x); got.Payment.State != journal.StateSettled {
				t.Errorf("got %v", got.Payment.State)
			}
		})
		time.Sleep(100 * time.Millisecond)
		wg.Go(func() {
			if _, err := r.node.Confirm(queued); !errors.Is(err, ErrClosed) {
				t.Errorf("got %v", err)
			}
		})
		time.Sleep(100 * time.Millisecond)
		if err := r.node.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		r.open = false
		r.is(x, journal.StateSettled, 1)
		r.is(queued, journal.StateReceived, 0)
	})
}

func TestClose_EndsWhateverHangs(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.core.script = func(Debit) script { return script{lose: true} }
		r.boot()
		x, y := r.create(), r.create()
		x.Budget, y.Budget = 30*time.Second, 30*time.Second
		var wg sync.WaitGroup
		wg.Go(func() { r.node.Confirm(x) })
		time.Sleep(100 * time.Millisecond)
		r.log.hold()
		wg.Go(func() { r.node.Confirm(y) })
		synctest.Wait()
		start := time.Now()
		r.node.Close()
		r.open = false
		if took := time.Since(start); took > r.node.cfg.CloseWait+3*time.Second {
			t.Errorf("Close took %v", took)
		}
		wg.Wait()
	})
}

func TestEverythingIsBounded_Callers(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.start() // no leader: everybody waits
		var wg sync.WaitGroup
		for range CommandsMax {
			wg.Go(func() {
				if _, err := r.node.Submit(expireCall(nil).cmd, time.Now().Add(time.Second)); !errors.Is(err, ErrNoLeader) {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait()
		if _, err := r.node.Submit(expireCall(nil).cmd, time.Now().Add(time.Second)); !errors.Is(err, ErrOverloaded) {
			t.Errorf("got %v", err)
		}
		x := r.create()
		if got, err := r.node.Confirm(x); !errors.Is(err, ErrOverloaded) || got.Refusal != nil {
			t.Errorf("got %v", err)
		}
		wg.Wait()
		if n := r.node.inbox.askers.Load(); n != 0 {
			t.Errorf("%d callers are still counted", n)
		}
	})
}

func TestEverythingIsBounded_FollowersAndWaiters(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.cfg.Gate.Limit = 1
		r.core.script = func(Debit) script { return script{work: 5 * time.Second} }
		r.boot()
		first, x := r.create(), r.create()
		var wg sync.WaitGroup
		wg.Go(func() { r.confirm(first) })
		time.Sleep(10 * time.Millisecond)
		for range FollowersMax + 4 {
			wg.Go(func() { r.confirm(x) })
		}
		time.Sleep(10 * time.Millisecond)
		followers := make(chan int, 1)
		r.node.inbox.push(event{do: func(l *leader) { followers <- len(l.asked[x.Payment].followers) }}, true)
		if n := <-followers; n != FollowersMax {
			t.Errorf("%d hang on to the first, want %d", n, FollowersMax)
		}
		wg.Wait()
		if n := r.node.watch.waiters.Load(); n != 0 {
			t.Errorf("%d waiters are left", n)
		}
		for i := range r.node.watch.shards {
			if n := len(r.node.watch.shards[i].by); n != 0 {
				t.Errorf("shard %d holds %d", i, n)
			}
		}
	})
}

func TestEverythingIsBounded_AnEntryHoldsAtMost64KiB(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.boot()
		r.log.hold()
		var wg sync.WaitGroup
		for range 3000 {
			wg.Go(func() {
				cmd := expireCall(make([]journal.PaymentID, 30)).cmd
				if _, err := r.node.Submit(cmd, time.Now().Add(30*time.Second)); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Second)
		if entries, _ := r.log.proposed(); len(entries) > 2 {
			t.Errorf("%d entries are in flight", len(entries))
		}
		r.log.release()
		wg.Wait()
		entries, _ := r.log.proposed()
		for _, e := range entries {
			var b journal.Batch
			if err := b.UnmarshalVT(e); err != nil || len(e) > 64<<10 || len(b.Commands) > EntryCommandsMax {
				t.Errorf("an entry of %d bytes and %d commands: %v", len(e), len(b.Commands), err)
			}
		}
	})
}

// More payments expire than one command can name: the next one follows at once.
func TestExpire_FollowsUpUntilNothingIsLeft(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.boot()
		var all []Confirmation
		for range 3000 {
			all = append(all, r.create())
		}
		time.Sleep(15*time.Minute + time.Second)
		for _, x := range all {
			if got := r.state(x); got != journal.StateExpired {
				t.Fatalf("it is %v", got)
			}
		}
	})
}

func TestPrune_DropsWhatIsPastItsRetention(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.boot()
		x := r.create()
		r.confirm(x)
		time.Sleep(PaymentsKept - time.Hour)
		if got := r.state(x); got != journal.StateSettled {
			t.Errorf("it is %v before its time", got)
		}
		time.Sleep(3 * time.Hour)
		if got := r.state(x); got != journal.StateNone {
			t.Errorf("it is %v after its time", got)
		}
	})
}

func TestMetrics_AreLinted(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		registry := prometheus.NewPedanticRegistry()
		r.cfg.Registerer = registry
		r.boot()
		r.confirm(r.create())
		problems, err := testutil.GatherAndLint(registry)
		if err != nil || len(problems) > 0 {
			t.Errorf("%v, %v", problems, err)
		}
		if n, err := testutil.GatherAndCount(registry); err != nil || n < 50 {
			t.Errorf("%d metrics, %v", n, err)
		}
		r.node.Close()
		r.open = false
		if n, err := testutil.GatherAndCount(registry); err != nil || n != 0 {
			t.Errorf("%d metrics after Close, %v", n, err)
		}
	})
}

func TestRefused_AllocatesNothing(t *testing.T) {
	var n Node
	n.closeEdge(gate.Breaker)
	if allocs := testing.AllocsPerRun(100, func() { n.Refused(gate.Confirm) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if r, ok := n.Refused(gate.SignIn); !ok || r.Reason != gate.Breaker || r.RetryAfter != time.Second {
		t.Errorf("got %+v, %v", r, ok)
	}
	n.edge[gate.Express].Store(packRefusal(gate.Admitted, 0))
	if _, ok := n.Refused(gate.Express); ok {
		t.Error("refused although admitted")
	}
}
