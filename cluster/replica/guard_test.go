package replica

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// faultyLog fails or hangs when it is told to.
type faultyLog struct {
	diskLog
	fail func(name string) error // nil: no fault
}

func (l faultyLog) StoreLogs(entries []*raft.Log) error {
	if err := l.fail("StoreLogs"); err != nil {
		return err
	}
	return l.diskLog.StoreLogs(entries)
}

func (l faultyLog) GetLog(index uint64, entry *raft.Log) error {
	if err := l.fail("GetLog"); err != nil {
		return err
	}
	return l.diskLog.GetLog(index, entry)
}

func (l faultyLog) SetUint64(key []byte, value uint64) error {
	if err := l.fail("SetUint64"); err != nil {
		return err
	}
	return l.diskLog.SetUint64(key, value)
}

var errDisk = errors.New("input/output error")

// guardBench is a guard over a log in memory, in virtual time.
type guardBench struct {
	*guard
	told    error
	leader  bool
	floors  [2]uint64
	foreign bool
}

func newGuardBench(fail func(string) error) *guardBench {
	b := &guardBench{}
	b.guard = &guard{
		disk: faultyLog{raft.NewInmemStore(), fail}, path: "data/log",
		fuse:    newFuse(func(err error) { b.told = err }),
		leading: func() bool { return b.leader },
		floor:   func() (uint64, uint64, bool) { return b.floors[0], b.floors[1], !b.foreign },
	}
	b.enter(guarding)
	return b
}

// inBubble runs f beside the guard's watch.
func (b *guardBench) inBubble(t *testing.T, f func()) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		// Channels belong to the bubble that makes them.
		b.fuse = newFuse(b.fuse.blow)
		stop := make(chan struct{})
		go b.watch(stop)
		f()
		close(b.fuse.released)
		close(stop)
		synctest.Wait()
	})
}

func TestDiskGuard_AnErrorOfTheLogEndsTheProcess(t *testing.T) {
	f := func(name string, operation func(*guard) error) {
		t.Helper()
		b := newGuardBench(func(at string) error {
			if at == name {
				return errDisk
			}
			return nil
		})
		returned := false
		b.inBubble(t, func() {
			go func() {
				_ = operation(b.guard)
				returned = true
			}()
			time.Sleep(time.Minute)
			synctest.Wait()
		})
		if !errors.Is(b.told, errDisk) {
			t.Errorf("%s: told %v", name, b.told)
		}
		for _, want := range []string{"data/log", "free or replace the disk"} {
			if b.told != nil && !strings.Contains(b.told.Error(), want) {
				t.Errorf("%s: %q does not say %q", name, b.told, want)
			}
		}
		if returned {
			t.Errorf("%s: Raft went on after the error", name)
		}
	}
	f("StoreLogs", func(g *guard) error { return g.StoreLog(&raft.Log{Index: 1}) })
	f("SetUint64", func(g *guard) error { return g.SetUint64([]byte("CurrentTerm"), 2) })
	f("GetLog", func(g *guard) error { return g.GetLog(1, new(raft.Log)) })
}

func TestDiskGuard_SilenceEndsTheProcessAfter3sOnTheLeaderAnd15sOnAFollower(t *testing.T) {
	f := func(leader bool, hang time.Duration, want bool) {
		t.Helper()
		b := newGuardBench(func(string) error {
			time.Sleep(hang)
			return nil
		})
		b.leader = leader
		returned := false
		b.inBubble(t, func() {
			go func() {
				_ = b.StoreLog(&raft.Log{Index: 1})
				returned = true
			}()
			time.Sleep(time.Minute)
			synctest.Wait()
		})
		if got := b.told != nil; got != want {
			t.Errorf("leader %t, %v of silence: told %v", leader, hang, b.told)
		}
		if returned == want {
			t.Errorf("leader %t, %v of silence: returned to Raft: %t", leader, hang, returned)
		}
		if want && (!strings.Contains(b.told.Error(), "appending to the log") || !strings.Contains(b.told.Error(), "check the disk")) {
			t.Errorf("%v", b.told)
		}
	}
	f(true, 2900*time.Millisecond, false)
	f(true, 3200*time.Millisecond, true)
	f(false, 3200*time.Millisecond, false)
	f(false, 14900*time.Millisecond, false)
	f(false, 15200*time.Millisecond, true)
}

func TestDiskGuard_AWriteThatComesBackTooLateDoesNotReturnToRaft(t *testing.T) {
	b := newGuardBench(func(string) error {
		time.Sleep(10 * time.Second)
		return nil
	})
	b.leader = true
	b.inBubble(t, func() {
		go func() {
			_ = b.StoreLog(&raft.Log{Index: 1})
			t.Error("it returned")
		}()
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if b.told == nil {
			t.Error("nobody was told")
		}
		time.Sleep(time.Minute)
	})
}

func TestDiskGuard_AFrozenProcessDoesNotBlameTheDisk(t *testing.T) {
	b := newGuardBench(func(string) error { return nil })
	b.leader = true
	slot := b.begin("appending to the log")
	b.tick(time.Hour) // it was stopped and continued
	if b.told != nil {
		t.Fatal(b.told)
	}
	if err := b.end(slot, true, nil); err != nil {
		t.Fatal(err)
	}
}

func TestDiskGuard_AnEntryThatWasCompactedIsAnOrdinaryAnswer(t *testing.T) {
	b := newGuardBench(func(string) error { return nil })
	if err := b.GetLog(7, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) || b.told != nil {
		t.Errorf("%v, told %v", err, b.told)
	}
}

func TestDiskGuard_WhileItOpensErrorsGoBackToOpen(t *testing.T) {
	b := newGuardBench(func(string) error { return errDisk })
	f := func(p phase, operation func() error) {
		t.Helper()
		b.enter(p)
		if err := operation(); !errors.Is(err, errDisk) || b.told != nil {
			t.Errorf("phase %d: %v, told %v", p, err, b.told)
		}
	}
	f(opening, func() error { return b.SetUint64(nil, 1) })
	f(writing, func() error { return b.GetLog(1, new(raft.Log)) })
	f(closing, func() error { return b.GetLog(1, new(raft.Log)) })
}

func TestCompactionStopsAtTheOlderSnapshot(t *testing.T) {
	f := func(newest, older uint64, foreign bool, from, to, wantFirst, wantLast uint64) {
		t.Helper()
		b := newGuardBench(func(string) error { return nil })
		b.floors, b.foreign = [2]uint64{newest, older}, foreign
		for index := uint64(1); index <= 100; index++ {
			if err := b.StoreLog(&raft.Log{Index: index}); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.DeleteRange(from, to); err != nil {
			t.Fatal(err)
		}
		first, _ := b.FirstIndex()
		last, _ := b.LastIndex()
		if first > last { // raft's store in memory says so when it is empty
			first, last = 0, 0
		}
		if first != wantFirst || last != wantLast {
			t.Errorf("snapshots %d and %d: cutting %d to %d leaves %d to %d, want %d to %d", newest, older, from, to, first, last, wantFirst, wantLast)
		}
	}
	f(80, 50, false, 1, 80, 51, 100)   // compaction
	f(80, 50, false, 1, 40, 41, 100)   // compaction that leaves more
	f(80, 0, false, 1, 80, 1, 100)     // only one snapshot: nothing may go
	f(100, 50, false, 1, 100, 51, 100) // even if Raft would empty the log
	f(80, 50, false, 90, 100, 1, 89)   // a tail that another leader replaced
	f(0, 0, false, 1, 100, 0, 0)       // the same, all of it
	f(120, 50, true, 1, 100, 0, 0)     // another node's snapshot: the log need not fit it
	f(90, 50, true, 1, 100, 0, 0)
}

// The fault is injected under a whole replica: what was not acknowledged is told as unknown, and Close returns.
func TestDiskGuard_NothingIsAcknowledgedAfterTheLogFailed(t *testing.T) {
	cfg, log := testConfig(t, t.TempDir())
	broken := make(chan struct{})
	r := startWith(t, cfg, seams{segmentBytes: small.segmentBytes, wrap: func(real diskLog) diskLog {
		return faultyLog{real, func(name string) error {
			select {
			case <-broken:
				return errDisk
			default:
				return nil
			}
		}}
	}})
	propose(t, r, partner())
	before := digest(t, r)
	close(broken)
	futures := []Future{r.Propose(encode(t, customer(1))), r.Propose(encode(t, customer(2)))}
	if err := log.told(t); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	if digest(t, r) != before {
		t.Error("an entry was applied that is not on the disk")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for _, f := range futures {
		if _, err := f.Wait(); err == nil {
			t.Error("acknowledged")
		}
	}
	select {
	case err := <-log.fatal:
		t.Error("told twice:", err)
	default:
	}
}

func TestEverythingIsBounded_Proposals(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	hang := make(chan struct{}, 1)
	release := make(chan struct{})
	r := startWith(t, cfg, seams{segmentBytes: small.segmentBytes, wrap: func(real diskLog) diskLog {
		return faultyLog{real, func(name string) error {
			select {
			case <-hang:
				<-release
			default:
			}
			return nil
		}}
	}})
	propose(t, r, partner())
	hang <- struct{}{}
	var futures []Future
	for n := range uint64(ProposalsMax) {
		futures = append(futures, r.Propose(encode(t, customer(n+1))))
	}
	if _, err := r.Propose(encode(t, customer(1000))).Wait(); !errors.Is(err, ErrBusy) {
		t.Errorf("%v, want %v", err, ErrBusy)
	}
	close(release)
	for _, f := range futures {
		if _, err := f.Wait(); err != nil {
			t.Error(err)
		}
	}
}
