package bank

import (
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"time"

	"netbank/cluster"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/kek"
	"netbank/session"
)

// credentials seals what customers sign in with under the key-encryption key.
type credentials struct {
	key        *kek.Key
	params     session.Params
	allowCheap bool
	deriver    session.Deriver
	places     chan struct{} // of passwords that are hashed at once
}

// newCredentials lets half of the cores hash what is imported, each hash with its memory: signing in needs the others.
func newCredentials(key *kek.Key, params session.Params, allowCheap bool, deriver session.Deriver) credentials {
	return credentials{key: key, params: params, allowCheap: allowCheap, deriver: deriver, places: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
}

func (c credentials) Password(id journal.CustomerID, plain string) ([]byte, error) {
	c.places <- struct{}{}
	defer func() { <-c.places }()
	phc, err := session.HashPasswordBy(c.deriver, plain, c.params)
	if err != nil {
		return nil, err
	}
	return c.key.Seal(session.PasswordPurpose(id), []byte(phc)), nil
}

func (c credentials) PasswordHash(id journal.CustomerID, phc string) ([]byte, error) {
	if err := session.CheckPHC(phc, c.allowCheap); err != nil {
		return nil, err
	}
	return c.key.Seal(session.PasswordPurpose(id), []byte(phc)), nil
}

func (c credentials) TOTP(id journal.CustomerID, seed []byte) []byte {
	return c.key.Seal(session.TOTPPurpose(id), seed)
}

func (c credentials) Phone(id journal.CustomerID, number string) []byte {
	return c.key.Seal(session.PhonePurpose(id), []byte(number))
}

// ensureKey commits a generation of the root key when one is due: the first when the cluster starts, then one a day.
func ensureKey(node *cluster.Node, key *kek.Key) error {
	keys := node.Keys()
	if !session.RotationDue(keys, node.Now()) {
		return nil
	}
	secret := make([]byte, session.RootKeySize)
	rand.Read(secret)
	put := &command.PutKey{Id: session.NextKeyID(keys), Sealed: key.Seal(session.RootKeyPurpose, secret)}
	result, err := node.Submit(&journal.Command{Body: &command.Command_PutKey{PutKey: put}}, time.Now().Add(5*time.Second))
	if err != nil {
		return fmt.Errorf("bank: committing a root key: %w", err)
	}
	if result.Verdict != journal.Done && result.Verdict != journal.Repeated {
		return fmt.Errorf("bank: the journal did not take a root key: %s", result.Verdict)
	}
	return nil
}

var errNoLeader = errors.New("bank: the node did not become the leader in time; see the lines above for the disk and the clock")
