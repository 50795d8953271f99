package cluster

import (
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/replica"
)

// Log is what a node needs of its replica: the replicated log and the state that it drives. *replica.Replica is one.
type Log interface {
	// Propose offers an encoded journal.Batch, in the order of the calls, and returns at once.
	Propose(entry []byte) replica.Future
	// View calls f with the state while no entry is applied.
	View(f func(*journal.Machine))
	// Leadership tells whether this node leads, and in which term.
	Leadership() (term uint64, leading bool)
	// LeadershipChanged gives a signal after Leadership may have changed.
	LeadershipChanged() <-chan bool
	// Barrier returns the term in which this node led while everything committed before was applied.
	Barrier(timeout time.Duration) (term uint64, err error)
	// Verify returns the term in which this node leads, once a majority knows no later one.
	Verify() (term uint64, err error)
	Stats() replica.Stats
	Close() error
}

var _ Log = (*replica.Replica)(nil)
