package bank

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/kek"
	"netbank/cluster/peer"
	"netbank/cluster/replica"
)

const (
	identityName   = "identity"
	identityFormat = 1
	// IdentityBytesMax is the size of the file with a node's identity: certificate, key and the members that it knows.
	IdentityBytesMax = 1 << 20
)

// identity is what a node of a cluster keeps beside its journal: who it is, and where the others are, which it must know before it can
// read the journal's newest entries from them. Keys in it are sealed under the key-encryption key.
type identity struct {
	Format      int               `json:"format"`
	Beginning   string            `json:"beginning"` // alone, founding or joining
	Founders    int               `json:"founders,omitempty"`
	Sealed      []byte            `json:"identity"`              // peer.Identity.Seal
	Authorities map[uint32][]byte `json:"authorities,omitempty"` // peer.Authority.Seal, by the journal's numbers
	Issuer      uint32            `json:"issuer,omitempty"`
	Roster      *roster           `json:"roster"`

	shown *peer.Identity
}

// beginnings are the words of identity.Beginning.
var beginnings = map[string]replica.Beginning{"alone": replica.Alone, "founding": replica.Founding, "joining": replica.Joining}

// readIdentity gives nil for a directory without one, and where there is no directory.
func readIdentity(dir string, key *kek.Key) (*identity, error) {
	if dir == "" {
		return nil, nil
	}
	path := filepath.Join(dir, identityName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &Error{Code: ExitDirectory, Err: fmt.Errorf("bank: this node's identity: %w", err)}
	}
	id := new(identity)
	damaged := func(err error) error {
		return &Error{Code: ExitDirectory, Err: fmt.Errorf("bank: this node's identity, %s, cannot be read: %w; if it is lost, remove the node from the cluster and let it join anew with an empty directory", path, err)}
	}
	if err := json.Unmarshal(text, id); err != nil {
		return nil, damaged(err)
	}
	if id.Format > identityFormat {
		return nil, &Error{Code: ExitNewer, Err: fmt.Errorf("bank: this node's identity, %s, was written by a newer netbank (format %d, known is %d); run that version or a later one", path, id.Format, identityFormat)}
	}
	if _, ok := beginnings[id.Beginning]; !ok || id.Roster == nil {
		return nil, damaged(errors.New("something is missing in it"))
	}
	if id.shown, err = peer.OpenIdentity(key, id.Sealed); err != nil {
		return nil, damaged(err)
	}
	return id, nil
}

// write replaces the file as a whole: a crash leaves the old one or the new one. An empty dir keeps it in memory only.
func (id *identity) write(dir string, key *kek.Key) (err error) {
	if dir == "" {
		return nil
	}
	id.Format = identityFormat
	if id.Sealed, err = id.shown.Seal(key); err != nil {
		return err
	}
	text, err := json.Marshal(id)
	if err != nil {
		return fmt.Errorf("bank: this node's identity: %w", err)
	}
	if len(text) > IdentityBytesMax {
		return fmt.Errorf("bank: this node's identity has %d bytes, the limit is %d; remove nodes that are gone", len(text), IdentityBytesMax)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return &Error{Code: ExitDirectory, Err: fmt.Errorf("bank: the data directory: %w", err)}
	}
	path := filepath.Join(dir, identityName)
	if err := writeSynced(path+".new", text); err != nil {
		return &Error{Code: ExitDirectory, Err: fmt.Errorf("bank: this node's identity: %w", err)}
	}
	if err := os.Rename(path+".new", path); err != nil {
		return &Error{Code: ExitDirectory, Err: fmt.Errorf("bank: this node's identity: %w", err)}
	}
	return syncDirectory(dir)
}

func writeSynced(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("bank: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// lapsedWorker says whether this is a worker whose certificate has ended: it cannot make itself another one.
func (id *identity) lapsedWorker() bool {
	return id.shown.Subject().Role == peer.Worker && !time.Now().Before(id.shown.NotAfter())
}

func (id *identity) node() journal.NodeID { return id.shown.Subject().Node }
