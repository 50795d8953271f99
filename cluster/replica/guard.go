package replica

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// How long one operation of the log may take, and how often the guard looks. hashicorp/raft goes on sending heartbeats
// while its log hangs, so nobody else is elected: the leader's process has to end. A follower that hangs costs the
// others nothing, so it gets more time.
const (
	SilenceLeaderMax   = 3 * time.Second
	SilenceFollowerMax = 15 * time.Second
	guardInterval      = 100 * time.Millisecond
)

// fuse ends the process. It blows once; whoever meets a failure afterwards is held until Close, so that Raft never
// goes on as if the failed operation had been done.
type fuse struct {
	blow func(error)

	once     sync.Once
	blown    chan struct{}
	released chan struct{}
}

func newFuse(blow func(error)) *fuse {
	return &fuse{blow: blow, blown: make(chan struct{}), released: make(chan struct{})}
}

// report tells of the first failure and returns, unless the process has ended.
func (f *fuse) report(err error) {
	f.once.Do(func() {
		close(f.blown)
		f.blow(err)
	})
}

// stop tells of the failure and ends the calling goroutine, though not before Close.
func (f *fuse) stop(err error) {
	f.report(err)
	<-f.released
	runtime.Goexit()
}

// hold keeps the calling goroutine if the fuse has blown.
func (f *fuse) hold() {
	select {
	case <-f.blown:
		<-f.released
		runtime.Goexit()
	default:
	}
}

// diskLog is what the guard wraps: raft-wal, or a faulty one in a test.
type diskLog interface {
	raft.LogStore
	raft.StableStore
}

// guard stands between Raft and its log. An error of the log, or silence, blows the fuse; the operation is never
// abandoned while Raft goes on.
type guard struct {
	disk     diskLog
	path     string
	fuse     *fuse
	leading  func() bool
	floor    func() (newest, older uint64, local bool)
	appended func(entries, bytes int, took time.Duration)

	mu      sync.Mutex
	phase   phase
	lived   time.Duration // what the watch has seen pass: see tick
	running []operation
}

type phase uint8

// While the replica opens, errors go back to Open, which returns them. Raft's constructor only reads, so from then on
// writes are guarded, and reads when it has returned. When Raft has stopped, late readers may meet a closed log.
const (
	opening phase = iota
	writing
	guarding
	closing
)

// operation is one call into the log. A slot with an empty name is free.
type operation struct {
	name  string
	since time.Duration // of lived
}

var (
	_ raft.LogStore          = (*guard)(nil)
	_ raft.StableStore       = (*guard)(nil)
	_ raft.MonotonicLogStore = (*guard)(nil)
)

func (g *guard) enter(p phase) {
	g.mu.Lock()
	g.phase = p
	g.mu.Unlock()
}

func (g *guard) begin(name string) (slot int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	op := operation{name, g.lived + guardInterval} // it may have begun just before the next tick
	for i := range g.running {
		if g.running[i].name == "" {
			g.running[i] = op
			return i
		}
	}
	g.running = append(g.running, op)
	return len(g.running) - 1
}

// end closes an operation. An error from a guarded one does not return to Raft.
func (g *guard) end(slot int, write bool, err error) error {
	g.mu.Lock()
	name := g.running[slot].name
	g.running[slot].name = ""
	p := g.phase
	g.mu.Unlock()
	if p == opening || p == closing {
		return err
	}
	// The watch may have found this very operation hanging, and it came back: too late.
	g.fuse.hold()
	// A log that does not reach so far back is an ordinary answer: Raft then sends a snapshot.
	if err == nil || errors.Is(err, raft.ErrLogNotFound) || (p == writing && !write) {
		return err
	}
	g.fuse.stop(fmt.Errorf("replica: %s under %s failed: %w; free or replace the disk, then start this node again: what was acknowledged is on a majority of the nodes' disks", name, g.path, err))
	return err
}

// watch looks for operations that hang, until stop is closed.
func (g *guard) watch(stop <-chan struct{}) {
	ticker := time.NewTicker(guardInterval)
	defer ticker.Stop()
	before := time.Now()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			now := time.Now()
			g.tick(now.Sub(before))
			before = now
		}
	}
}

// tick looks once. A process that was frozen, by a debugger or a moving virtual machine, loses time in which the disk
// may have answered; so a long gap between two looks counts as a short one.
func (g *guard) tick(elapsed time.Duration) {
	limit, role := SilenceFollowerMax, "a follower"
	if g.leading() {
		limit, role = SilenceLeaderMax, "the leader"
	}
	if name, took := g.slowest(min(elapsed, 2*guardInterval)); took >= limit {
		g.fuse.report(fmt.Errorf("replica: %s under %s has not returned for %v, and %s may wait %v; check the disk, then start this node again: what was acknowledged is on a majority of the nodes' disks",
			name, g.path, took.Round(guardInterval), role, limit))
	}
}

func (g *guard) slowest(elapsed time.Duration) (name string, took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lived += elapsed
	for _, op := range g.running {
		if op.name != "" && g.lived-op.since > took {
			name, took = op.name, g.lived-op.since
		}
	}
	return name, took
}

// IsMonotonic implements raft.MonotonicLogStore: raft-wal takes no gaps.
func (g *guard) IsMonotonic() bool { return true }

// FirstIndex implements raft.LogStore.
func (g *guard) FirstIndex() (uint64, error) {
	slot := g.begin("reading the log's first index")
	index, err := g.disk.FirstIndex()
	return index, g.end(slot, false, err)
}

// LastIndex implements raft.LogStore.
func (g *guard) LastIndex() (uint64, error) {
	slot := g.begin("reading the log's last index")
	index, err := g.disk.LastIndex()
	return index, g.end(slot, false, err)
}

// GetLog implements raft.LogStore.
func (g *guard) GetLog(index uint64, entry *raft.Log) error {
	slot := g.begin("reading the log")
	return g.end(slot, false, g.disk.GetLog(index, entry))
}

// StoreLog implements raft.LogStore.
func (g *guard) StoreLog(entry *raft.Log) error { return g.StoreLogs([]*raft.Log{entry}) }

// StoreLogs implements raft.LogStore.
func (g *guard) StoreLogs(entries []*raft.Log) error {
	began := time.Now()
	slot := g.begin("appending to the log")
	if err := g.end(slot, true, g.disk.StoreLogs(entries)); err != nil {
		return err
	}
	if g.appended != nil {
		size := 0
		for _, entry := range entries {
			size += len(entry.Data)
		}
		g.appended(len(entries), size, time.Since(began))
	}
	return nil
}

// DeleteRange implements raft.LogStore. Compaction behind a snapshot stops at the older snapshot that is kept, so that
// the older one and the log still make the whole state if the newest turns out damaged.
func (g *guard) DeleteRange(from, to uint64) error {
	first, err := g.FirstIndex()
	if err != nil {
		return err
	}
	newest, older, local := g.floor()
	// What lies behind the newest snapshot is compaction, unless that snapshot came from another node: then Raft
	// empties the log, which need not fit the snapshot. What lies past it is a conflicting tail, which has to go.
	if local && from <= first && to <= newest {
		to = min(to, older)
	}
	if to < from {
		return nil
	}
	slot := g.begin("cutting the log")
	return g.end(slot, true, g.disk.DeleteRange(from, to))
}

// Set implements raft.StableStore.
func (g *guard) Set(key, value []byte) error {
	slot := g.begin("writing term or vote")
	return g.end(slot, true, g.disk.Set(key, value))
}

// Get implements raft.StableStore.
func (g *guard) Get(key []byte) ([]byte, error) {
	slot := g.begin("reading term or vote")
	value, err := g.disk.Get(key)
	return value, g.end(slot, false, err)
}

// SetUint64 implements raft.StableStore.
func (g *guard) SetUint64(key []byte, value uint64) error {
	slot := g.begin("writing term or vote")
	return g.end(slot, true, g.disk.SetUint64(key, value))
}

// GetUint64 implements raft.StableStore.
func (g *guard) GetUint64(key []byte) (uint64, error) {
	slot := g.begin("reading term or vote")
	value, err := g.disk.GetUint64(key)
	return value, g.end(slot, false, err)
}
