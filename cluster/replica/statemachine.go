package replica

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"netbank/cluster/journal"
)

// entryOverhead is what the log stores beside an entry's bytes, rounded up.
const entryOverhead = 64

// stateMachine is raft.FSM around journal.Machine and its store.
type stateMachine struct {
	dir       string // state/, which holds one numbered directory for each store opened
	limits    journal.Limits
	logger    *slog.Logger
	snapshots *snapshots
	guard     *guard
	fuse      *fuse
	onApplied func(Applied)
	// onInstalled is told of a state that came from another node while this one ran.
	onInstalled func()
	// decoded gives the batch of an entry that was proposed here, so that its results are wanted.
	decoded func(entry []byte) (*journal.Batch, bool)
	// grown is told how much log lies behind the newest snapshot; it must not block.
	grown func(bytes int64)

	applied atomic.Uint64 // index of the last entry applied or restored
	bytes   atomic.Int64  // of log since the last snapshot was begun
	paused  atomic.Int64  // nanoseconds for which the last snapshot held up entries
	members atomic.Pointer[configured]
	taken   atomic.Uint64 // numbers checkpoints that are not yet in a snapshot

	// mu is held for writing for one entry at a time, and to exchange the state on a restore.
	mu      sync.RWMutex
	journal *journal.Machine
	store   *store
	opened  int // stores opened so far

	// unrestored is why the snapshot could not be taken over with which this node was to start. Owned by Open.
	unrestored error

	// Owned by Raft's state machine goroutine: reused when nobody here waits for the results.
	results []journal.Result
	changes []journal.Change
}

var (
	_ raft.FSM                = (*stateMachine)(nil)
	_ raft.ConfigurationStore = (*stateMachine)(nil)
)

// start opens an empty state, for a directory without snapshots.
func (s *stateMachine) start() error {
	store, err := openStore(s.nextDir(), s.logger, s.fuse)
	if err != nil {
		return err
	}
	s.store, s.journal = store, journal.New(store, s.limits)
	return nil
}

func (s *stateMachine) nextDir() string {
	s.opened++
	return filepath.Join(s.dir, strconv.Itoa(s.opened))
}

// response is what Apply gives to the Future of the entry.
type response struct {
	term    uint64
	results []journal.Result
	changes []journal.Change
}

// Apply implements raft.FSM.
func (s *stateMachine) Apply(entry *raft.Log) any {
	var results []journal.Result
	var changes []journal.Change
	batch, wanted := s.decoded(entry.Data)
	if !wanted {
		batch = new(journal.Batch)
		if err := batch.UnmarshalVT(entry.Data); err != nil {
			s.poisoned(entry, err)
		}
	}
	if wanted {
		results = make([]journal.Result, 0, len(batch.Commands))
	} else {
		results, changes = s.results[:0], s.changes[:0]
	}
	slot := s.guard.begin("applying an entry to the store of finished payments")
	s.mu.Lock()
	results, changes, err := s.journal.Apply(entry.Term, batch, results, changes)
	stamp := s.journal.Now()
	s.mu.Unlock()
	if err != nil {
		s.poisoned(entry, err)
	}
	_ = s.guard.end(slot, true, nil)
	s.applied.Store(entry.Index)
	s.onApplied(Applied{Index: entry.Index, Term: entry.Term, Stamp: stamp, Results: results, Changes: changes, Batch: batch})
	s.grown(s.bytes.Add(int64(len(entry.Data)) + entryOverhead))
	if wanted {
		return &response{term: entry.Term, results: results, changes: changes}
	}
	// The copies in them hold strings that would otherwise live until as long a batch comes again.
	clear(results)
	s.results, s.changes = results, changes
	return nil
}

const (
	remedyVersion = "start the version of netbank that wrote it, or a later one; if this is that version, keep the data directory and report the error"
	remedyDisk    = "check the disk under the data directory and start again; if it fails again, keep the data directory and report the error"
)

// poisoned ends the process: an entry that cannot be applied must not be skipped, or this node would differ from others.
func (s *stateMachine) poisoned(entry *raft.Log, err error) {
	remedy := remedyVersion
	if errors.Is(err, journal.ErrStore) {
		remedy = remedyDisk
	}
	s.fuse.stop(fmt.Errorf("replica: entry %d of term %d (%d bytes) cannot be applied: %w; nothing of it was skipped; %s",
		entry.Index, entry.Term, len(entry.Data), err, remedy))
}

// configured is a committed list of members and the entry that holds it. Raft knows the list, and tells the entry to
// nobody else.
type configured struct {
	index   uint64
	servers []raft.Server
}

// StoreConfiguration implements raft.ConfigurationStore. The members are Raft's own; but with this method a snapshot may be
// taken right behind a change of them, and their entry is known.
func (s *stateMachine) StoreConfiguration(index uint64, configuration raft.Configuration) {
	s.members.Store(&configured{index, configuration.Servers})
}

// view is Replica.View.
func (s *stateMachine) view(f func(*journal.Machine)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f(s.journal)
	if err := s.journal.Err(); err != nil {
		s.fuse.report(fmt.Errorf("replica: the store of finished payments cannot be read: %w; %s", err, remedyDisk))
	}
}

// pending is a copy of the state between two entries, on its way into a snapshot.
type pending struct {
	machine    *stateMachine
	live       *journal.Live
	checkpoint string
	bytes      int64
}

// Snapshot implements raft.FSM. Raft applies nothing while it runs.
func (s *stateMachine) Snapshot() (raft.FSMSnapshot, error) {
	began := time.Now()
	defer func() { s.paused.Store(int64(time.Since(began))) }()
	p := &pending{machine: s, bytes: s.bytes.Load()}
	p.checkpoint = filepath.Join(s.snapshots.path, fmt.Sprintf("checkpoint-%d%s", s.taken.Add(1), unfinished))
	s.mu.Lock() // Live marks what it shares with the copy
	p.live = s.journal.Live()
	s.mu.Unlock()
	if err := s.store.checkpoint(p.checkpoint); err != nil {
		os.RemoveAll(p.checkpoint)
		return nil, err
	}
	return p, nil
}

// Persist implements raft.FSMSnapshot.
func (p *pending) Persist(to raft.SnapshotSink) error {
	s, ok := to.(*sink)
	if !ok {
		return fmt.Errorf("replica: a snapshot cannot be written to a %T", to)
	}
	if err := s.adopt(p.live, p.checkpoint); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	p.machine.bytes.Add(-p.bytes)
	return nil
}

// Release implements raft.FSMSnapshot. After Persist the checkpoint has moved, and nothing is left to remove.
func (p *pending) Release() { os.RemoveAll(p.checkpoint) }

// Restore implements raft.FSM: at start, and when another node or a backup sends its state. The new state is built
// beside the old one and takes its place whole. If that fails while the node runs, the process ends: Raft would go on with
// the old state and have the same snapshot sent again and again, while a start takes the newest one that is whole.
//
// At start only one snapshot may be taken over: the newest, to which the log was joined. Raft would try the one before it next, though
// the log may not reach back so far; then what lies between the two would be forgotten without a word.
func (s *stateMachine) Restore(from io.ReadCloser) error {
	if s.unrestored != nil {
		return s.unrestored
	}
	running := s.store != nil
	err := s.restore(from)
	switch {
	case err != nil && running:
		s.fuse.report(fmt.Errorf("replica: the state from another node could not be taken over: %w; %s", err, remedyDisk))
	case err != nil:
		s.unrestored = err
	}
	return err
}

func (s *stateMachine) restore(from io.ReadCloser) error {
	if wrapped, ok := from.(raft.ReadCloserWrapper); ok {
		from = wrapped.WrappedReadCloser()
	}
	opened, ok := from.(*openedSnapshot)
	if !ok {
		return fmt.Errorf("replica: a snapshot cannot be read from a %T", from)
	}
	if err := opened.check(); err != nil {
		return err
	}
	dir := s.nextDir()
	store, err := linkStore(filepath.Join(opened.dir, pebbleName), dir, s.logger, s.fuse)
	if err != nil {
		return err
	}
	fresh := journal.New(store, s.limits)
	if err := readLive(filepath.Join(opened.dir, liveName), fresh); err != nil {
		return errors.Join(err, store.close())
	}
	s.mu.Lock()
	old := s.store
	s.journal, s.store = fresh, store
	s.mu.Unlock()
	s.applied.Store(opened.manifest.Meta.Index)
	s.members.Store(&configured{opened.manifest.Meta.ConfigurationIndex, opened.manifest.Meta.Configuration.Servers})
	s.bytes.Store(0)
	if old == nil {
		return nil
	}
	s.onInstalled()
	return errors.Join(old.close(), os.RemoveAll(old.path))
}

func readLive(path string, into *journal.Machine) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("replica: read the live set: %w", err)
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	if _, err := into.ReadFrom(r); err != nil {
		return fmt.Errorf("replica: read the live set: %w", err)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		return errors.New("replica: read the live set: something follows its end")
	}
	return nil
}

// check compares the checksums, unless Open has just done so.
func (o *openedSnapshot) check() error {
	if o.from.takeVerified(o.manifest.Meta.ID) {
		return nil
	}
	if err := o.from.verify(o.manifest); err != nil {
		return fmt.Errorf("%w: snapshot %s: %w", ErrDamaged, o.manifest.Meta.ID, err)
	}
	return nil
}

func (s *stateMachine) close() error {
	if s.store == nil {
		return nil
	}
	return s.store.close()
}
