package ops

import (
	"context"
	"errors"
	"fmt"
	"time"

	"netbank/cluster/journal"
)

// Roles of a node.
const (
	RoleCoordinator = "coordinator"
	RoleWorker      = "worker"
)

// Bounds of what the operator may ask of the cluster.
const (
	// TokenUsesMax is how many nodes one join token can let in.
	TokenUsesMax = 100
	// TokenLifetimeDefault is how long a join token is good for when nothing else is said.
	TokenLifetimeDefault = time.Hour
	// TokenLifetimeMax is the longest life of a join token.
	TokenLifetimeMax = 7 * 24 * time.Hour
	// ReasonRunesMax is the length of the reason that comes with every change, in characters.
	ReasonRunesMax = 200
	// ChangeTimeout bounds a change of the cluster. Promoting a node waits for it to catch up, which may take longer than that: the verb
	// answers then that its outcome is not known, and is repeated.
	ChangeTimeout = 30 * time.Second
)

// Cluster is what the operator's port needs of a node's cluster. Implementations are safe for concurrent use. The reading calls answer at
// once, from what this node knows, whether or not there is a leader; the changing ones return when ctx is done at the latest, and
// the errors below say what is certain.
type Cluster interface {
	// Name gives the cluster's id.
	Name() string
	// Nodes lists the members in the order of their numbers, this node among them.
	Nodes() ([]ClusterNode, error)
	// NewToken makes a join token, one line of text, good once its record has committed. The line is a secret.
	NewToken(ctx context.Context, terms TokenTerms) (line string, err error)
	// RemoveNode takes a node out of the cluster for good; its number is not given again. Without force it is refused when the
	// coordinators left would be no majority. Done again, it changes nothing.
	RemoveNode(ctx context.Context, node journal.NodeID, force bool, reason string) error
	// PromoteNode gives a coordinator its vote, once its journal has caught up. Done again, it changes nothing.
	PromoteNode(ctx context.Context, node journal.NodeID, reason string) error
	// DrainNode keeps customers away from a node, or lets them come again. It returns once that has committed; the node hears of it and acts
	// by itself. operator is who asked. Done again, it changes nothing.
	DrainNode(ctx context.Context, node journal.NodeID, on bool, operator, reason string) error
	// Leader gives who leads, and where its operator's port is; 0 and empty: not known.
	Leader() (journal.NodeID, string)
	// Authority says who signs the nodes' certificates.
	Authority() ClusterAuthority
	// RotateAuthority begins to put another authority in the place of the one that issues; it goes on by itself. Done again before it has
	// ended, it changes nothing.
	RotateAuthority(ctx context.Context, reason string) error
	// TransferLeadership hands the leadership to a node, or to the one whose journal is nearest when to is 0.
	TransferLeadership(ctx context.Context, to journal.NodeID, reason string) error
}

// ClusterNode is one member, as the node that is asked knows it.
type ClusterNode struct {
	Node    journal.NodeID
	Role    string // RoleCoordinator or RoleWorker
	Address string // of its port for other nodes, host:port
	// Operator is where the node's own operator's port is, such as https://10.0.0.2:9090; empty: not known.
	Operator string
	Voter    bool // has a vote in the journal
	Leader   bool // as far as the node that is asked knows
	Self     bool // is the node that is asked
	// Up says whether the node answers, and Since since when it is as it is. A zero Since: this node cannot know, because only the leader
	// hears from all; Up then counts for nothing.
	Up    bool
	Since time.Time
	// Applied is the last journal entry that the node has, and Lag how many it is behind the leader. Only the leader knows them of others;
	// a worker has no journal. Known says whether they are.
	Applied uint64
	Lag     uint64
	Known   bool
	// Version is the program's, as Config.Version; empty: not known.
	Version string
	// CertificateEnd is when the node's certificate ends; zero: not known, or there is none.
	CertificateEnd time.Time
	// Draining is since when no customers are to be sent to the node, in the journal's time, and DrainReason why; zero: they are.
	Draining    time.Time
	DrainReason string
	// Left is who is left of a drained node: connections of customers and partners, and payments inside the core. nil: it is not drained, that is
	// not known, or balancers may not have noticed yet.
	Left *int64
	// Core is the node's own connection to the core; nil: not known.
	Core *CoreStatus
	// NotReady lists why customers should not be sent to the node, as its own /readyz has it. Ready says that this is known and empty.
	Ready    bool
	NotReady []string
	// Serving says that the node has answered a request at its door for customers; false: it has not, or that is not known.
	Serving bool
}

// The steps of a rotation of the authority, as ClusterAuthority.Rotation.
const (
	RotationTrust = "trust" // nodes come to trust the next authority beside the one that issues
	RotationRenew = "renew" // nodes get their certificates from the next one
)

// ClusterAuthority is who signs the certificates with which nodes know each other.
type ClusterAuthority struct {
	Fingerprint string    // SHA-256 of the certificate of the one that issues, in hexadecimal digits; empty: not known
	End         time.Time // of its certificate; zero: not known
	Rotation    string    // RotationTrust or RotationRenew while another one takes its place; empty: none does
	// Waiting lists the nodes that have not done what the step asks for. Only the leader knows; Known says so.
	Waiting []journal.NodeID
	Known   bool
}

// TokenTerms says what kind of join token to make.
type TokenTerms struct {
	Role     string        // RoleCoordinator or RoleWorker
	Uses     int           // 1 to TokenUsesMax
	Lifetime time.Duration // 1 s to TokenLifetimeMax
	Reason   string
}

// Errors of a Cluster. Wrap them with what happened and what to do: the operator reads the whole text. Any other error is told as a
// failure of this node.
var (
	// ErrUnknownNode says that the cluster has no member of that number. Nothing was changed.
	ErrUnknownNode = errors.New("ops: the cluster has no such node")
	// ErrNotAllowed says that the change was refused, because it would lose the majority, say. Nothing was changed.
	ErrNotAllowed = errors.New("ops: refused; nothing was changed")
	// ErrOutcomeUnknown says that the change may have been made, or may yet be: repeat it, or look.
	ErrOutcomeUnknown = errors.New("ops: it is not known yet whether the change was made")
	// ErrAlone is the answer of a node that is in no cluster.
	ErrAlone = errors.New("ops: this node runs alone, without other nodes; start it with --peer-addr to let others join")
)

// NotLeader is the error of a change that only the leader can make. Nothing was changed.
type NotLeader struct {
	Leader   journal.NodeID // 0: no leader is known
	Operator string         // the leader's operator's port; empty: not known
}

func (e *NotLeader) Error() string {
	switch {
	case e.Leader == 0:
		return "ops: only the leader can do this, and no leader is known; nothing was changed"
	case e.Operator == "":
		return fmt.Sprintf("ops: only the leader can do this, which is node %d; nothing was changed", e.Leader)
	}
	return fmt.Sprintf("ops: only the leader can do this, which is node %d at %s; nothing was changed", e.Leader, e.Operator)
}
