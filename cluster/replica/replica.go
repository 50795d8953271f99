package replica

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"

	"netbank/cluster/journal"
)

// Replica is one node's copy of the journal. Its methods are safe for concurrent use.
type Replica struct {
	cfg       Config
	directory *directory
	disk      diskLog
	closeDisk func() error
	guard     *guard
	fuse      *fuse
	snapshots *snapshots
	machine   *stateMachine
	raft      *raft.Raft
	proposer  *proposer
	link      *link // nil without a cluster id
	timing    timing
	changing  chan struct{}             // holds a token while the members are being changed
	waits     atomic.Pointer[error]     // what a founder waits for
	started   atomic.Pointer[raft.Raft] // raft, for those who may ask before it is there

	due      chan struct{} // a snapshot is due
	stop     chan struct{} // closed when Close begins
	unwatch  chan struct{} // closed when Raft has stopped
	stopped  sync.WaitGroup
	closing  sync.Once
	closeErr error

	snapshotsTaken   atomic.Uint64
	snapshotFailures atomic.Uint64
	snapshotTook     atomic.Int64
}

// Open opens the data directory and starts Raft. An empty directory becomes what Config.Beginning says: Open does not wait
// for other nodes, Waiting tells what is missing. The errors are ErrLocked, ErrNewer, ErrUnwritable, ErrDamaged,
// ErrOtherNode and ErrOtherCluster, or what Raft, its log or Pebble say.
func Open(cfg Config) (*Replica, error) { return open(cfg, seams{segmentBytes: SegmentBytes}) }

// seams are what tests replace.
type seams struct {
	segmentBytes int
	wrap         func(diskLog) diskLog // puts a faulty log between the guard and the real one
	timing       timing                // zero: usualTiming
}

func open(cfg Config, seams seams) (*Replica, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if seams.timing == (timing{}) {
		seams.timing = usualTiming
	}
	r := &Replica{
		cfg: cfg, fuse: newFuse(cfg.OnFatal), timing: seams.timing, changing: make(chan struct{}, 1),
		due: make(chan struct{}, 1), stop: make(chan struct{}), unwatch: make(chan struct{}),
	}
	if r.directory, err = openDirectory(cfg); err != nil {
		return nil, err
	}
	if err := r.openParts(seams); err != nil {
		r.release()
		if cannotWrite(err) && !errors.Is(err, ErrUnwritable) {
			err = unwritable(r.directory.path, err)
		}
		return nil, err
	}
	return r, nil
}

func (r *Replica) openParts(seams seams) error {
	path := filepath.Join(r.directory.path, logName)
	log, err := openLog(path, seams.segmentBytes, r.cfg.Logger)
	if cannotWrite(err) {
		return unwritable(path, err)
	}
	if err != nil {
		return fmt.Errorf("%w: %s cannot be opened: %w; %s", ErrDamaged, path, err, remedy)
	}
	r.disk, r.closeDisk = log, log.Close
	if seams.wrap != nil {
		r.disk = seams.wrap(log)
	}
	if err := r.openSnapshots(); err != nil {
		return err
	}
	r.guard = &guard{disk: r.disk, path: path, fuse: r.fuse, floor: r.snapshots.floor, appended: r.cfg.OnAppended, leading: func() bool { return false }}
	r.machine = &stateMachine{
		dir: filepath.Join(r.directory.path, stateName), limits: r.cfg.Limits, logger: r.cfg.Logger,
		snapshots: r.snapshots, guard: r.guard, fuse: r.fuse, onApplied: r.cfg.OnApplied, onInstalled: r.cfg.OnInstalled,
		decoded: func(entry []byte) (*journal.Batch, bool) { return r.proposer.decoded(entry) },
		grown:   r.grown,
	}
	if r.snapshots.newest() == 0 {
		if err := r.machine.start(); err != nil {
			return err
		}
	}
	return r.startRaft()
}

func openLog(path string, segmentBytes int, logger *slog.Logger) (*wal.WAL, error) {
	repaired, err := repairLog(path)
	if err != nil {
		return nil, err
	}
	if repaired != "" {
		logger.Warn("a crash left the log half written; it was repaired, and nothing acknowledged was touched", "path", path, "repair", repaired)
	}
	return wal.Open(path, wal.WithLogger(newRaftLogger(logger, "log")), wal.WithSegmentSize(segmentBytes))
}

func (r *Replica) startRaft() error {
	cache, err := raft.NewLogCache(LogCacheEntries, r.guard)
	if err != nil {
		return fmt.Errorf("replica: %w", err)
	}
	conf := raftConfig(r.cfg, r.timing)
	hasJournal, err := r.begin(conf)
	if err != nil {
		return err
	}
	r.guard.enter(writing)
	// The state machine is called by Raft's goroutines from here on, and asks the proposer.
	r.proposer = newProposer(func(entry []byte, timeout time.Duration) raft.ApplyFuture { return r.raft.Apply(entry, timeout) })
	started, err := newRaft(conf, r.machine, cache, r.guard, r.snapshots, r.transport())
	switch why := r.machine.unrestored; {
	case err != nil && cannotWrite(why):
		return unwritable(r.directory.path, why)
	case err != nil && why != nil: // it says more than Raft does
		return fmt.Errorf("replica: the newest snapshot could not be taken over: %w; %s", why, remedyDisk)
	case err != nil:
		return err
	}
	r.raft = started
	r.started.Store(started)
	r.guard.leading = func() bool { return started.State() == raft.Leader }
	r.guard.enter(guarding)
	r.stopped.Go(func() { r.guard.watch(r.unwatch) })
	r.stopped.Go(r.keepSnapshots)
	if r.link != nil {
		r.stopped.Go(func() { r.becomeMember(hasJournal) })
	}
	return r.hastenElection()
}

// newRaft makes an error of the panic with which Raft meets a log that it cannot read.
func newRaft(conf *raft.Config, machine raft.FSM, log raft.LogStore, stable raft.StableStore, snapshots raft.SnapshotStore, transport raft.Transport) (r *raft.Raft, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: Raft cannot start: %v; %s", ErrDamaged, p, remedy)
		}
	}()
	r, err = raft.NewRaft(conf, machine, log, stable, snapshots, transport)
	if err != nil {
		return nil, fmt.Errorf("replica: start Raft: %w", err)
	}
	return r, nil
}

// hastenElection sets the final time-outs. Raft looks at once for a leader when its heartbeat time-out is
// lowered, so a node that is alone need not wait the 0.5 to 1 s in which another could have spoken.
func (r *Replica) hastenElection() error {
	next := r.raft.ReloadableConfig()
	next.HeartbeatTimeout, next.ElectionTimeout = r.timing.heartbeat, r.timing.election
	members := r.raft.GetConfiguration().Configuration().Servers
	if len(members) != 1 || members[0].ID != serverID(r.cfg.Node) {
		next.HeartbeatTimeout += time.Millisecond
		next.ElectionTimeout += time.Millisecond
	}
	if err := r.raft.ReloadConfig(next); err != nil {
		return fmt.Errorf("replica: %w", err)
	}
	return nil
}

// Propose offers an encoded journal.Batch to Raft, in the order of the calls, and returns at once. The entry belongs to
// the replica from here on: it is kept in memory and must not be changed.
func (r *Replica) Propose(entry []byte) Future { return r.proposer.propose(entry) }

// View calls f with the state machine while no entry is applied. f must be short, must only read, and must not keep
// references.
func (r *Replica) View(f func(*journal.Machine)) { r.machine.view(f) }

// Leadership tells whether this node leads, and in which term. Terms only grow: two calls that both say leading with
// the same term mean that this node led all the time in between.
func (r *Replica) Leadership() (term uint64, leading bool) {
	for {
		term = r.raft.CurrentTerm()
		leading = r.raft.State() == raft.Leader
		if r.raft.CurrentTerm() == term {
			return term, leading
		}
	}
}

// LeadershipChanged gives a signal after Leadership may have changed. Signals coalesce: one may stand for a
// leadership lost and won again, so compare terms and ignore the value. There is one channel, for one reader.
func (r *Replica) LeadershipChanged() <-chan bool { return r.raft.LeaderCh() }

// Barrier returns when every entry committed before the call is applied here, and gives the term in which this node
// led from before the barrier was appended until it was applied. timeout bounds the wait for Raft to take the barrier.
// The error is ErrNotLeader or ErrClosed; nothing depends on a barrier that failed.
func (r *Replica) Barrier(timeout time.Duration) (term uint64, err error) {
	term, leading := r.Leadership()
	if !leading {
		return 0, ErrNotLeader
	}
	err = r.await(r.raft.Barrier(timeout))
	if errors.Is(err, ErrClosed) {
		return 0, err
	}
	if err != nil {
		return 0, fmt.Errorf("%w (%v)", ErrNotLeader, err)
	}
	if now, leading := r.Leadership(); !leading || now != term {
		return 0, fmt.Errorf("%w (it led in term %d, the term is %d now)", ErrNotLeader, term, now)
	}
	return term, nil
}

// await waits for Raft's answer, and for Close: Raft never answers for what was committed and not applied when it was
// shut down.
func (r *Replica) await(f raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		return err
	case <-r.stop:
		return ErrClosed
	}
}

// Stats is a cheap look at the replica for metrics.
type Stats struct {
	Term          uint64
	Leading       bool
	LastIndex     uint64 // of the log
	CommitIndex   uint64
	AppliedIndex  uint64 // of the last command; members and barriers are not counted
	SnapshotIndex uint64 // of the newest snapshot; 0 if there is none
	// LogBytes is how much log was applied since the newest snapshot was begun.
	LogBytes         int64
	Snapshots        uint64        // taken since the start
	SnapshotFailures uint64        // since the start
	SnapshotDuration time.Duration // of the last one
	SnapshotPause    time.Duration // for which the last one held up entries
	Proposals        int           // waiting or in flight
}

// Stats takes no lock that is held during input or output, unlike Raft's own.
func (r *Replica) Stats() Stats {
	term, leading := r.Leadership()
	return Stats{
		Term: term, Leading: leading,
		LastIndex: r.raft.LastIndex(), CommitIndex: r.raft.CommitIndex(), AppliedIndex: r.machine.applied.Load(),
		SnapshotIndex: r.snapshots.newest(), LogBytes: r.machine.bytes.Load(),
		Snapshots: r.snapshotsTaken.Load(), SnapshotFailures: r.snapshotFailures.Load(),
		SnapshotDuration: time.Duration(r.snapshotTook.Load()), SnapshotPause: time.Duration(r.machine.paused.Load()),
		Proposals: r.proposer.pending(),
	}
}

// Close refuses new proposals, waits up to 5 s for those under way, and ends the replica. It takes no snapshot:
// closing and being killed leave the same state on disk.
func (r *Replica) Close() error {
	r.closing.Do(func() { r.closeErr = r.release() })
	return r.closeErr
}

// release closes what is open, in the order in which the parts use each other.
func (r *Replica) release() error {
	var errs []error
	if r.proposer != nil {
		select {
		case <-r.fuse.blown: // nothing under way will come back
			r.proposer.drain(0)
		default:
			r.proposer.drain(closeTimeout)
		}
	}
	close(r.stop)
	close(r.fuse.released)
	if r.raft != nil {
		errs = append(errs, r.raft.Shutdown().Error())
	} else if closer, ok := r.transport().(raft.WithClose); ok {
		errs = append(errs, closer.Close())
	}
	close(r.unwatch)
	r.stopped.Wait()
	if r.proposer != nil {
		r.proposer.abandon()
	}
	if r.guard != nil {
		r.guard.enter(closing)
	}
	if r.machine != nil {
		errs = append(errs, r.machine.close())
	}
	if r.closeDisk != nil {
		errs = append(errs, r.closeDisk())
	}
	return errors.Join(append(errs, r.directory.close())...)
}
