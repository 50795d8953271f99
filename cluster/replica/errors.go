package replica

import "errors"

// Errors of Open, each one line with its remedy. cmd gives them exit codes.
var (
	// ErrLocked says that another process has the data directory open.
	ErrLocked = errors.New("replica: the data directory is in use by another process")
	// ErrNewer says that the data directory was written in a format that this program does not know.
	ErrNewer = errors.New("replica: the data directory was written by a newer netbank")
	// ErrUnwritable says that the data directory cannot be made or written.
	ErrUnwritable = errors.New("replica: the data directory cannot be written")
	// ErrDamaged says that snapshots and log do not join to a whole state. Nothing was changed on disk, except that
	// a snapshot with wrong checksums may have been set aside.
	ErrDamaged = errors.New("replica: the data directory is damaged")
	// ErrOtherNode says that the data directory belongs to another node of the cluster.
	ErrOtherNode = errors.New("replica: the data directory belongs to another node")
)

// remedy is what to do about a directory that is damaged. A copy of a directory is no remedy: see doc.go.
const remedy = "restore a backup into an empty directory; or, if the cluster has other members, remove this node and let it join anew with an empty directory and a new number"

// Errors of a proposal. The first four are certain: the entry was never appended and never will be. ErrUnknown is
// not: the entry may be applied now, later or never; repeat its commands with the same ids, or look.
var (
	// ErrNotLeader says that this node does not lead, so the entry was never appended.
	ErrNotLeader = errors.New("replica: this node is not the leader; the entry was not appended")
	// ErrBusy says that ProposalsMax entries are waiting already, or that this one waited 2 s for a slow disk.
	ErrBusy = errors.New("replica: too many entries are waiting; the entry was not appended")
	// ErrEntry says that the entry is empty, larger than EntryBytesMax, or no batch that this program could apply.
	ErrEntry = errors.New("replica: not an entry of the journal; it was not appended")
	// ErrClosed says that the replica is closing.
	ErrClosed = errors.New("replica: closed; the entry was not appended")
	// ErrUnknown says that the entry's fate is not known: leadership was lost, the disk failed, or the replica closed
	// after the entry had been offered.
	ErrUnknown = errors.New("replica: the entry's outcome is not known")
)

// Errors of membership. They come from Open, Waiting and the calls that change the members.
var (
	// ErrOtherCluster says that the data directory, or a node at a given address, belongs to another cluster.
	ErrOtherCluster = errors.New("replica: another cluster")
	// ErrOtherDisk says that a node's data directory was made anew under the same number. What it acknowledged and
	// voted is forgotten, so it must not go on as the same member.
	ErrOtherDisk = errors.New("replica: the node has another data directory than before")
	// ErrFounded says that a founder with an empty directory has met a cluster that exists already.
	ErrFounded = errors.New("replica: the cluster exists already")
	// ErrWaiting says that the node has no journal yet, and waits for the other founders or to be added.
	ErrWaiting = errors.New("replica: this node is in no cluster yet")
	// ErrNotMember says that a node is not a member of the cluster.
	ErrNotMember = errors.New("replica: the node is not a member of the cluster")
	// ErrMember says that a node is a member already, and not as asked for.
	ErrMember = errors.New("replica: the node is a member of the cluster already")
	// ErrUnreachable says that a node did not answer.
	ErrUnreachable = errors.New("replica: the node does not answer")
	// ErrBehind says that a node's log has not caught up with the leader's.
	ErrBehind = errors.New("replica: the node has not caught up")
	// ErrMajority says that a change would leave fewer live voters than a majority. Nothing was changed.
	ErrMajority = errors.New("replica: the change would lose the majority")
	// ErrTooMany says that the cluster has as many members, or voters, as it may have.
	ErrTooMany = errors.New("replica: the cluster has no room for another member")
)
