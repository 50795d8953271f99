package bank

import (
	"fmt"
	"sync/atomic"

	"netbank/cluster/journal"
	"netbank/cluster/kek"
	"netbank/frontend/partner/webhook"
	"netbank/session"
)

// signer signs webhooks with keys derived from the root keys in use, and follows their rotation.
type signer struct{ key atomic.Pointer[webhook.Key] }

// refresh takes up the newest generations. keys are those of the journal, oldest first.
func (s *signer) refresh(keys []journal.Key, opener *kek.Key) error {
	var roots [][]byte
	for i := len(keys) - 1; i >= 0 && len(roots) < webhook.RootsMax; i-- {
		root, err := opener.Open(session.RootKeyPurpose, keys[i].Sealed)
		if err != nil {
			return fmt.Errorf("bank: root key %d: %w", keys[i].ID, err)
		}
		roots = append(roots, root)
	}
	key, err := webhook.NewKey(roots...)
	if err != nil {
		return err
	}
	s.key.Store(key)
	return nil
}

// AppendSignature implements webhook.Signer.
func (s *signer) AppendSignature(dst, content []byte) []byte {
	return s.key.Load().AppendSignature(dst, content)
}

// PublicKeys implements partner.Keys.
func (s *signer) PublicKeys() []string { return s.key.Load().PublicKeys() }
