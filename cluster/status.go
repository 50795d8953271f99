package cluster

import (
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/replica"
)

// Status is a picture of a node for its operator. Its parts are taken one after the other, up to 250 ms apart.
type Status struct {
	Node     journal.NodeID
	Role     string // "leader", "starting" (elected, but not all that was committed before is applied) "follower", or "worker": without a journal
	Stamp    journal.Millis
	Clock    ClockStatus
	Replica  replica.Stats
	Gate     gate.Snapshot // zero while this node does not lead
	Counts   journal.Counts
	Resolver ResolverStatus
	Core     CoreStatus // of this node's own connection, whoever leads
	// CoreShut says that no node can reach the core, as this leader sees it.
	CoreShut bool
	// CutOff are the other nodes that cannot reach the core, as this leader sees it.
	CutOff []journal.NodeID
	Reads  ReadsStatus // of a worker; else zero
	// Executing is the number of payments between "go" and the outcome's way to the leader.
	Executing int
	// Waiting is the number of callers that wait for the leader.
	Waiting int
	Line    LineStatus
}

// LineStatus says where the waiting line stands.
type LineStatus struct {
	On bool // there is one: Config.Line
	Line
	Room gate.RoomSnapshot // what the leader reckons with; zero while this node does not lead
}

// ClockStatus says how far the wall clock is from the journal's time.
type ClockStatus struct {
	Deviation time.Duration // wall clock minus stamps; positive: the wall clock is ahead
	Stopped   bool          // no seats are granted because of it
	Remedy    string        // what the operator can do; empty while all is well
}

// ResolverStatus says how much the resolver has to do.
type ResolverStatus struct {
	Backlog int           // payments that it knows of and that are due or will be
	Oldest  time.Duration // since when it has known the oldest of those in doubt
}

// CoreStatus says whether the core can be reached from here.
type CoreStatus struct {
	Reachable bool
	Since     time.Time // of the last change
	LastError string    // empty while reachable; holds no account number
}

// Status takes a picture of the node.
func (n *Node) Status() Status {
	s := Status{
		Node: n.executor.Node, Role: "follower", Clock: n.clock.status(), Replica: n.log.Stats(),
		Resolver: n.resolver.status(), Core: *n.coreSeen.Load(),
		Executing: int(n.executors.Load()), Waiting: int(n.inbox.askers.Load()),
	}
	s.Line = LineStatus{On: n.cfg.Line, Line: n.Line()}
	n.log.View(func(m *journal.Machine) { s.Counts, s.Stamp = m.Counts(), m.Now() })
	switch {
	case n.far != nil:
		s.Role, s.Reads = "worker", n.far.status()
	case n.Leading():
		s.Role, s.Gate, s.CoreShut = "leader", *n.gateSeen.Load(), n.coreShut.Load()
		if s.Line.On {
			s.Line.Room = *n.roomSeen.Load()
		}
		if cutOff := n.cutOff.Load(); cutOff != nil {
			s.CutOff = *cutOff
		}
	case s.Replica.Leading:
		s.Role = "starting"
	}
	return s
}
