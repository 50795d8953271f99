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
