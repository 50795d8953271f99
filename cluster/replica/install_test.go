package replica

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// compacted makes the logs of all running nodes begin behind a snapshot, so that who is behind it gets a snapshot.
func (c *cluster) compacted(n *uint64) {
	c.t.Helper()
	for range 2 {
		for range 10 {
			*n++
			c.acknowledge(*n)
		}
		c.same()
		for _, s := range c.others(nil) {
			if err := s.raft.ReloadConfig(withoutTrailingLogs(s.Replica)); err != nil {
				c.t.Fatal(err)
			}
			if err := s.Snapshot(); err != nil {
				c.t.Fatal(err)
			}
		}
	}
}

// smallSegments lets a log really begin behind its snapshot: raft-wal goes on serving what was cut off inside its newest
// segment.
func smallSegments(c *cluster) *cluster {
	for _, s := range c.nodes {
		s.seam.segmentBytes = 4 << 10
	}
	return c
}

// newBusyCluster is a founded trio with small segments and compacted logs.
func newBusyCluster(t *testing.T, n *uint64) *cluster {
	c := smallSegments(newCluster(t, 3))
	for node := range c.nodes {
		c.open(node)
	}
	propose(t, c.leader().Replica, partner())
	c.compacted(n)
	return c
}

// fromAnother tells whether the newest snapshot came from another node.
func fromAnother(r *Replica) bool {
	newest, _, local := r.snapshots.floor()
	return newest > 0 && !local
}

func TestASnapshotIsInstalledOnAnEmptyNodeUnderLoad(t *testing.T) {
	var n uint64
	c := newBusyCluster(t, &n)
	stop := make(chan struct{})
	var acknowledged []uint64
	var load sync.WaitGroup
	load.Go(func() { acknowledged, _ = c.proposers(stop, 1_000_000) })
	c.join(4)
	close(stop)
	load.Wait()
	if !fromAnother(c.nodes[4].Replica) {
		t.Fatal("node 4 got no snapshot")
	}
	c.same()
	for _, n := range acknowledged {
		if !has(c.nodes[4].Replica, n) {
			t.Errorf("customer %d is missing", n)
		}
	}
	c.stop(4)
	c.open(4)
	c.same()
}

func TestASnapshotIsInstalledOnANodeThatLagsBehindTheLogUnderLoad(t *testing.T) {
	var n uint64
	c := smallSegments(newCluster(t, 3))
	for node := range c.nodes {
		c.open(node)
	}
	propose(t, c.leader().Replica, partner())
	c.same()
	lagging := c.others(c.leader())[0]
	node := lagging.cfg.Node
	c.stop(node)
	c.compacted(&n)
	stop := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() { c.proposers(stop, 1_000_000) })
	var installed atomic.Int64
	lagging.cfg.OnInstalled = func() { installed.Add(1) }
	c.open(node)
	c.await("the node has received a snapshot", func() bool { return fromAnother(lagging.Replica) })
	c.await("the node's owner is told of it", func() bool { return installed.Load() > 0 })
	close(stop)
	load.Wait()
	c.same()
	// It is a whole member again: it takes its own snapshots, restarts from them, and votes.
	c.acknowledge(2_000_000)
	c.same()
	if err := lagging.Snapshot(); err != nil {
		t.Fatal(err)
	}
	c.stop(node)
	c.open(node)
	c.stop(c.others(c.leader())[0].cfg.Node)
	c.acknowledge(2_000_001)
	c.same()
}

// broken ends a stream early, or changes a byte of it.
type broken struct {
	from  io.Reader
	after int // bytes that pass
	spoil bool
}

func (b *broken) Read(p []byte) (int, error) {
	if b.after == 0 && !b.spoil {
		return 0, io.ErrUnexpectedEOF
	}
	if b.after > 0 {
		p = p[:min(len(p), b.after)]
	}
	k, err := b.from.Read(p)
	if b.spoil && b.after == 0 && k > 0 {
		p[0] ^= 1
		b.spoil, b.after = false, -1
	} else if b.after > 0 {
		b.after -= k
	}
	return k, err
}

func TestASnapshotThatBreaksOffOrIsSpoiltOnTheWayIsSentAgain(t *testing.T) {
	f := func(what string, fault func(io.Reader) io.Reader) {
		t.Helper()
		var n uint64
		c := newBusyCluster(t, &n)
		var faults atomic.Int32
		for _, s := range c.nodes {
			through := func(r io.Reader) io.Reader {
				if faults.Add(1) > 2 {
					return r
				}
				return fault(r)
			}
			s.wire.snapshot.Store(&through)
		}
		s := c.prepare(4, Joining)
		c.open(4)
		if err := c.leader().AddNonvoter(t.Context(), 4, addressOf(4)); err != nil {
			t.Fatal(err)
		}
		c.await("the snapshot was tried three times", func() bool { return faults.Load() > 2 && fromAnother(s.Replica) })
		c.same()
		entries, err := os.ReadDir(filepath.Join(s.cfg.Dir, snapshotsName))
		if err != nil || len(entries) != 1 {
			t.Errorf("%s: left behind: %v, %v", what, entries, err)
		}
	}
	f("nothing comes", func(r io.Reader) io.Reader { return &broken{from: r} })
	f("it breaks off", func(r io.Reader) io.Reader { return &broken{from: r, after: 500} })
	f("a byte is spoilt", func(r io.Reader) io.Reader { return &broken{from: r, after: 500, spoil: true} })
}

// paused lets some bytes pass, says so, and holds the rest back until it is released.
type paused struct {
	from    io.Reader
	after   int
	reached func()
	release <-chan struct{}
}

func (p *paused) Read(b []byte) (int, error) {
	if p.after <= 0 {
		p.reached()
		<-p.release
		return 0, io.ErrUnexpectedEOF
	}
	k, err := p.from.Read(b[:min(len(b), p.after)])
	p.after -= k
	return k, err
}

func TestANodeKilledWhileItReceivesASnapshotGoesOnFromItsNewestWholeState(t *testing.T) {
	f := func(what string, keeps bool) {
		t.Helper()
		var n uint64
		c := newBusyCluster(t, &n)
		lagging := c.others(c.leader())[0]
		node := lagging.cfg.Node
		c.stop(node)
		had := n
		c.compacted(&n)
		if !keeps {
			lagging = c.prepare(4, Joining)
			lagging.seam.segmentBytes = 4 << 10
			node = 4
		}
		reached, release := make(chan struct{}), make(chan struct{})
		var once sync.Once
		var again atomic.Bool
		for _, s := range c.nodes {
			if s.Replica == nil {
				continue
			}
			through := func(r io.Reader) io.Reader {
				if again.Load() {
					return r
				}
				return &paused{from: r, after: 700, reached: func() { once.Do(func() { close(reached) }) }, release: release}
			}
			s.wire.snapshot.Store(&through)
		}
		c.open(node)
		if !keeps {
			if err := c.leader().AddNonvoter(t.Context(), 4, addressOf(4)); err != nil {
				t.Fatal(err)
			}
		}
		<-reached
		crashed := t.TempDir()
		copyTree(t, lagging.cfg.Dir, crashed)
		again.Store(true)
		close(release)
		c.stop(node)
		lagging.cfg.Dir = crashed
		half, err := filepath.Glob(filepath.Join(crashed, snapshotsName, "*"+unfinished))
		if err != nil || len(half) != 1 {
			t.Fatalf("%s: nothing unfinished was left behind: %v", what, half)
		}
		c.part(node)
		c.open(node)
		if has(lagging.Replica, had+1) {
			t.Errorf("%s: it has customer %d, which only the unfinished snapshot holds", what, had+1)
		}
		c.heal()
		c.same()
		if !fromAnother(lagging.Replica) {
			t.Errorf("%s: no snapshot was received after all", what)
		}
	}
	f("a node that lags", true)
	f("an empty node", false)
}

// The crash between receiving a snapshot and emptying the log.
func TestANodeWhoseSnapshotIsAheadOfItsLogCatchesUp(t *testing.T) {
	var n uint64
	c := newBusyCluster(t, &n)
	lagging := c.others(c.leader())[0]
	node := lagging.cfg.Node
	c.stop(node)
	before := filepath.Join(t.TempDir(), "log")
	copyTree(t, filepath.Join(lagging.cfg.Dir, logName), before)
	c.compacted(&n)
	c.open(node)
	c.await("the node has received a snapshot", func() bool { return fromAnother(lagging.Replica) })
	c.same()
	c.stop(node)
	if err := os.RemoveAll(filepath.Join(lagging.cfg.Dir, logName)); err != nil {
		t.Fatal(err)
	}
	copyTree(t, before, filepath.Join(lagging.cfg.Dir, logName))
	c.acknowledge(1_000_000)
	c.open(node)
	if !contains(lagging.log, "past the log's end") {
		t.Error("its log was not behind its snapshot; the test tests nothing")
	}
	c.same()
	c.stop(c.others(c.leader())[0].cfg.Node)
	c.acknowledge(1_000_001)
}

func TestDiskGuard_ADiskThatIsFullWhileASnapshotComesEndsThatNodeOnly(t *testing.T) {
	var n uint64
	c := newBusyCluster(t, &n)
	s := c.prepare(4, Joining)
	c.open(4)
	s.snapshots.sync = func(*os.File) error { return syscall.ENOSPC }
	if err := c.leader().AddNonvoter(t.Context(), 4, addressOf(4)); err != nil {
		t.Fatal(err)
	}
	fatal := s.log.told(t)
	wantError(t, fatal, syscall.ENOSPC, "free or replace the disk", "start this node again")
	c.acknowledge(1_000_000)
	c.stop(4)
	if left, _ := os.ReadDir(filepath.Join(s.cfg.Dir, snapshotsName)); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	c.open(4) // there is room again
	c.same()
}

func TestDiskGuard_AStateThatCannotBeTakenOverEndsTheNode(t *testing.T) {
	var n uint64
	c := newBusyCluster(t, &n)
	s := c.prepare(4, Joining)
	c.open(4)
	s.machine.dir = filepath.Join(s.cfg.Dir, versionName) // a file, in which no directory can be made
	if err := c.leader().AddNonvoter(t.Context(), 4, addressOf(4)); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.log.told(t), syscall.ENOTDIR, "could not be taken over")
	c.stop(4)
	c.open(4)
	if s.Stats().AppliedIndex == 0 {
		t.Error("it did not start from the snapshot that it has whole")
	}
	c.same()
}

func TestWhatTheDiskRefusesIsToldFromWhatTheStreamLacks(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("this machine has no /dev/full:", err)
	}
	defer full.Close()
	_, err = received{full}.Write([]byte("x"))
	wantError(t, err, errReceive)
	wantError(t, err, syscall.ENOSPC)
	f := func(stream string, sync func(*os.File) error, want error) {
		t.Helper()
		_, err := readStream(strings.NewReader(stream), t.TempDir(), sync)
		wantError(t, err, want)
		if errors.Is(err, errReceive) == errors.Is(err, errStream) {
			t.Errorf("%v is both, or neither", err)
		}
	}
	whole := string(streamOf(t, sample))
	f(whole[:len(whole)/2], notDurable, errStream)
	f(whole, func(*os.File) error { return syscall.EIO }, errReceive)
}
