package bank

import "netbank/frontend/ops"

// backup begins a backup of this node.
func (b *Bank) backup() (ops.Backup, error) {
	backup, err := b.node.Backup(b.config.Version, b.key.ID())
	if err != nil {
		return nil, err // not a nil *replica.Backup, which would be an ops.Backup
	}
	return backup, nil
}
