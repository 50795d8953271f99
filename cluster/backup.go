package cluster

import "netbank/cluster/replica"

// Errors of Backup that are no failure: try again later.
var (
	ErrBackupRuns = replica.ErrBackupRuns
	ErrNoJournal  = replica.ErrNoJournal
)

// Backup gives a backup of this node's copy of the journal: see replica.Backup. The caller closes it.
func (n *Node) Backup(writer, kekID string) (*replica.Backup, error) {
	log, ok := n.log.(interface {
		Backup(writer, kekID string) (*replica.Backup, error)
	})
	if !ok {
		return nil, ErrWorker
	}
	return log.Backup(writer, kekID)
}
