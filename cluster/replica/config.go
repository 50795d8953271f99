package replica

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"time"

	"github.com/hashicorp/raft"

	"netbank/cluster/journal"
)

// Bounds of a replica that are not in Config. docs/limits.md lists them.
const (
	// EntryBytesMax is the size of one Raft entry. Raft sends up to 32 in one message.
	EntryBytesMax = 64 << 10
	// SegmentBytes is the size of one file of the log. Each is allocated whole.
	SegmentBytes = 64 << 20
	// ProposalsMax is the number of entries that may wait for Raft to take them; the engine keeps two in flight.
	ProposalsMax = 64
	// SnapshotsKept is the number of finished snapshots on disk. The log reaches back to the older one, so that a
	// damaged newest snapshot costs time and no data.
	SnapshotsKept = 2
	// LogCacheEntries is the number of entries kept in memory for followers: at most 64 MiB.
	LogCacheEntries = 1024
	// TrailingLogs is the number of entries that stay in the log behind a snapshot, so that a node that was away for
	// five minutes catches up from the log: 300 s at 250 entries a second, which is two in flight at 8 ms a
	// commit. On disk they take at most 4.6 GiB, and about 300 MiB at 4 KiB an entry.
	TrailingLogs = 5 * 60 * 250
	// SnapshotBytesDefault is the default of Config.SnapshotBytes.
	SnapshotBytesDefault = 64 << 20
)

// The clock of Raft. Elections take 0.5 to 1 s; a leader that reaches no majority for 250 ms steps down.
const (
	heartbeatTimeout   = 500 * time.Millisecond
	electionTimeout    = 500 * time.Millisecond
	leaderLeaseTimeout = 250 * time.Millisecond
	commitTimeout      = 10 * time.Millisecond
	appendEntriesMax   = 32
	// enqueueTimeout is how long a proposal waits for Raft to take it. Raft takes none while it writes the log, and
	// the disk guard ends a leader's process after 3 s of that.
	enqueueTimeout = 2 * time.Second
	// closeTimeout is how long Close waits for the proposals that are under way.
	closeTimeout = 5 * time.Second
)

// Config says how to open a replica.
type Config struct {
	// Dir is the data directory of this node. It is made when missing.
	Dir string
	// Node is this node's number, from 1. A number is never used again: a node whose data directory is lost comes back
	// with a new one.
	Node journal.NodeID
	// Cluster is the id of the cluster, the same on all its nodes: 1 to ClusterIDBytesMax of the characters a-z, A-Z, 0-9,
	// '-', '_' and '.'. The data directory remembers it. Empty: a node alone, which no other can join.
	Cluster string
	// Beginning says what a node does that has no journal yet. Zero: Alone.
	Beginning Beginning
	// Founders are the first voters, this node among them: 1, 3 or VotersMax, the same list on all of them. Only for
	// Beginning Founding, and of no effect once there is a journal.
	Founders []Founder
	// Limits bounds the state machine; the same on every node. Zero: journal.DefaultLimits.
	Limits journal.Limits
	// Logger gets Raft's and Pebble's lines too. nil: slog.Default().
	Logger *slog.Logger
	// OnApplied is called after each entry, in the order of the log, on the state machine's goroutine, with no lock
	// held. It must not block, and must not call Propose's Wait, Barrier or Close. Entries that are replayed at start
	// are reported too. nil: not called.
	OnApplied func(Applied)
	// OnInstalled is called after the state of another node has taken the place of this one's, in place of the OnApplied of all the
	// entries in between. It is called as OnApplied is. nil: not called.
	OnInstalled func()
	// OnAppended is called on Raft's goroutine after each write to the log, with the number of entries, their bytes
	// and the time that the write took with its fsync. It must not block. nil: not called.
	OnAppended func(entries, bytes int, took time.Duration)
	// SnapshotBytes is how much log is written between two snapshots: 1 MiB or more. 0: SnapshotBytesDefault.
	SnapshotBytes int64
	// OnFatal is called once, when the node cannot go on: the disk failed or hung, or an entry cannot be
	// applied. It must end the process. If it returns, the goroutine that met the failure stays parked until
	// Close, so that nothing goes on as if the write had happened. nil: log and os.Exit(ExitFatal).
	OnFatal func(error)
	// Transport carries Raft's messages between the nodes. It must implement raft.WithPreVote too. Close closes it.
	// nil: none, for a cluster of one node.
	Transport raft.Transport
}

// ExitFatal is the exit code of a process whose replica cannot go on (EX_SOFTWARE of sysexits.h).
const ExitFatal = 70

// Applied tells of one entry of the log. The slices and the batch are valid only during the call.
type Applied struct {
	Index   uint64
	Term    uint64         // in which the entry was appended
	Stamp   journal.Millis // the journal's time after the entry
	Results []journal.Result
	Changes []journal.Change
	Batch   *journal.Batch
}

func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, fmt.Errorf("replica: Config.Dir is empty; name the data directory of this node")
	}
	if c.Node == 0 {
		return c, fmt.Errorf("replica: Config.Node is 0; nodes are numbered from 1")
	}
	if c.SnapshotBytes == 0 {
		c.SnapshotBytes = SnapshotBytesDefault
	}
	if c.SnapshotBytes < 1<<20 {
		return c, fmt.Errorf("replica: Config.SnapshotBytes is %d; the least is %d", c.SnapshotBytes, 1<<20)
	}
	if err := c.checkBeginning(); err != nil {
		return c, err
	}
	if c.Limits == (journal.Limits{}) {
		c.Limits = journal.DefaultLimits()
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.OnApplied == nil {
		c.OnApplied = func(Applied) {}
	}
	if c.OnInstalled == nil {
		c.OnInstalled = func() {}
	}
	if c.OnFatal == nil {
		logger := c.Logger
		c.OnFatal = func(err error) {
			logger.Error("this node cannot go on and stops", "error", err)
			os.Exit(ExitFatal)
		}
	}
	if c.Transport == nil {
		_, c.Transport = raft.NewInmemTransport(raft.ServerAddress(serverID(c.Node)))
	}
	return c, nil
}

func serverID(node journal.NodeID) raft.ServerID {
	return raft.ServerID(fmt.Sprintf("node-%d", node))
}

// timing is the clock of Raft: the constants above, or shorter ones in a test.
type timing struct{ heartbeat, election, lease time.Duration }

var usualTiming = timing{heartbeatTimeout, electionTimeout, leaderLeaseTimeout}

// raftConfig holds the settings of every node; where a value differs from Raft's default, its reason stands beside it.
func raftConfig(c Config, t timing) *raft.Config {
	conf := raft.DefaultConfig()
	conf.LocalID = serverID(c.Node)
	// One millisecond more than what holds later: see hastenElection.
	conf.HeartbeatTimeout = t.heartbeat + time.Millisecond
	conf.ElectionTimeout = t.election + time.Millisecond
	conf.LeaderLeaseTimeout = t.lease
	conf.CommitTimeout = commitTimeout
	conf.MaxAppendEntries = appendEntriesMax
	// A removed node waits for an operator; a process that ends by itself would be started again by its supervisor.
	conf.ShutdownOnRemove = false
	conf.TrailingLogs = TrailingLogs
	// Raft counts entries, which differ a thousandfold in size; the replica counts bytes and asks for snapshots itself.
	conf.SnapshotThreshold = math.MaxUint64
	conf.SnapshotInterval = 365 * 24 * time.Hour
	conf.NoSnapshotRestoreOnStart = false
	conf.PreVoteDisabled = false
	conf.NoLegacyTelemetry = true
	conf.Logger = newRaftLogger(c.Logger, "raft")
	return conf
}
