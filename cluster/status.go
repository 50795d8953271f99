package cluster

import (
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
)

// Status is a picture of a node for its operator.
type Status struct {
	Node     journal.NodeID
	Role     string // "leader", "starting" (elected, barrier not applied yet), "follower", "closed"
	Term     uint64
	Applied  uint64         // index of the last entry applied
	Stamp    journal.Millis // the last stamp of the journal
	Clock    ClockStatus
	Seats    int                // taken now, resolver's not counted
	Limit    int                // seats allowed
	Queued   [gate.Classes]int  // waiting for a seat
	Refusing [gate.Classes]bool // what the edge refuses now
	Reasons  [gate.Classes]gate.Reason
	Waiting  int // commands that wait for an entry
	Open     int // payments not yet final
	Doubtful int // payments in doubt or being reversed
	Core     CoreStatus
}

// ClockStatus says how far the wall clock is from the journal's time.
type ClockStatus struct {
	Deviation time.Duration // wall clock minus stamps; positive: the wall clock is ahead
	Stopped   bool          // no grants because of the clock
	Remedy    string        // what the operator can do; empty while all is well
}

// CoreStatus says what the core looks like from here.
type CoreStatus struct {
	Reachable bool
	Since     time.Time // of the last change of Reachable
	LastError string
}
