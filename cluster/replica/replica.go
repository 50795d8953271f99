package replica

import (
	"time"

	"netbank/cluster/journal"
)

// Replica is one node's copy of the journal. Its methods are safe for concurrent use.
type Replica struct{}

// Future is a proposal under way.
type Future interface {
	// Done is closed when the outcome is known, or known to be unknown.
	Done() <-chan struct{}
	// Wait waits for Done. The error is nil, ErrNotLeader, ErrBusy, ErrTooLarge or ErrClosed (never appended), or
	// ErrUnknown.
	Wait() (Outcome, error)
}

// Outcome is what Apply made of a proposed entry. The slices belong to the caller; all who wait for one Future share
// them.
type Outcome struct {
	Index   uint64
	Term    uint64
	Results []journal.Result // one for each command of the batch
	Changes []journal.Change
}

// Open opens the data directory and starts Raft.
func Open(cfg Config) (*Replica, error) { return nil, ErrClosed }

// Propose offers an encoded journal.Batch to Raft, in the order of the calls, and returns at once. The entry belongs to
// the replica from here on: it is kept in memory and must not be changed.
func (r *Replica) Propose(entry []byte) Future { return nil }

// View calls f with the state machine while no entry is applied. f must be short, must only read, and must not keep
// references.
func (r *Replica) View(f func(*journal.Machine)) {}

// Leadership tells whether this node leads, and in which term. Terms only grow: two calls that both say leading with
// the same term mean that this node led all the time in between.
func (r *Replica) Leadership() (term uint64, leading bool) { return 0, false }

// LeadershipChanged gives a signal after Leadership may have changed. Signals coalesce: one may stand for a
// leadership lost and won again, so compare terms. There is one channel, for one reader.
func (r *Replica) LeadershipChanged() <-chan bool { return nil }

// Barrier returns when every entry committed before the call is applied here, and gives the term in which this node
// led from before the barrier was appended until it was applied. timeout bounds the wait for Raft to take the barrier.
func (r *Replica) Barrier(timeout time.Duration) (term uint64, err error) { return 0, nil }

// Snapshot takes a snapshot now, unless nothing was applied since the last one.
func (r *Replica) Snapshot() error { return nil }

// Close ends the replica.
func (r *Replica) Close() error { return nil }

// Stats is a cheap look at the replica for metrics.
type Stats struct {
	Term          uint64
	Leading       bool
	LastIndex     uint64 // of the log
	CommitIndex   uint64
	AppliedIndex  uint64
	SnapshotIndex uint64 // of the newest snapshot; 0 if there is none
	// LogBytes is how much log was applied since the newest snapshot.
	LogBytes         int64
	Snapshots        uint64 // taken since the start
	SnapshotFailures uint64 // since the start
	SnapshotDuration time.Duration
	Proposals        int // waiting or in flight
}

// Stats never blocks.
func (r *Replica) Stats() Stats { return Stats{} }
