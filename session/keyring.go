package session

import (
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"netbank/cluster/journal"
)

// Rotation policy. A root key seals for a day, and opens for as long as anything that it sealed may be of use.
const (
	// RootKeySize is the length of a root key in bytes, before it is sealed.
	RootKeySize = 32
	// RotateEvery is the age at which the newest root key gets a successor. It keeps the number of values sealed under one
	// key far below 2^32, the limit for AES-GCM with random nonces (NIST SP 800-38D, 8.3).
	RotateEvery = 24 * time.Hour
	// KeyLifetime is the age to which a root key opens cookies, consents and links: its day of sealing, then the 24
	// hours that a payment can stay open, then a day for looking at the result. The newest key opens at any age, so that
	// a rotation that does not come takes nobody's session.
	KeyLifetime = 72 * time.Hour
	// SealDelay is the age from which a key seals, if there is an older one that still does: every node should know it by then.
	SealDelay = 10 * time.Second
	// sealAgeMax is the age to which a key seals in the place of one that is younger than SealDelay.
	sealAgeMax = KeyLifetime - RotateEvery
	// KeysMax bounds the ring: the keys of DeviceLifetime, with room for rotations out of turn. The oldest are left out.
	KeysMax = 256
	// refreshEvery bounds how often a token under an unknown key makes the ring look at the journal.
	refreshEvery = time.Second
)

// RootKeyPurpose is the purpose under which a root key is sealed with the key-encryption key.
const RootKeyPurpose = "root-key"

// Opener opens what is sealed under the key-encryption key. *kek.Key is one.
type Opener interface {
	Open(purpose string, sealed []byte) ([]byte, error)
}

// The purposes of sub-keys. Each is the info of HKDF and, for sealed tokens, part of the associated data.
const (
	purposeCookie  = "netbank cookie v1"
	purposeDevice  = "netbank device v1"
	purposeConsent = "netbank consent v2"
	purposeChange  = "netbank change of factors v1"
	purposePass    = "netbank pass v1"
	purposeLink    = "netbank link v1"
)

// generation is one root key with its sub-keys. It never changes.
type generation struct {
	id      uint32
	created journal.Millis
	cookie  cipher.AEAD
	device  cipher.AEAD
	consent cipher.AEAD
	change  cipher.AEAD
	pass    cipher.AEAD
	link    cipher.Block
}

func (g *generation) age(now time.Time) time.Duration {
	return now.Sub(time.UnixMilli(int64(g.created)))
}

// KeyRing holds the root keys of the journal, opened, with a sub-key for each purpose. The newest seals; all that are valid
// for the purpose open. It is safe for concurrent use; readers take no lock.
type KeyRing struct {
	source func() []journal.Key
	opener Opener
	now    func() time.Time

	generations atomic.Pointer[[]*generation] // newest first
	mu          sync.Mutex                    // one refresh at a time
	looked      atomic.Int64                  // unix ms of the last refresh that an unknown key caused
}

// NewKeyRing makes a ring over the journal's keys and opens those that are there. source gives all generations, in any order;
// now is the clock that their ages are measured by. A ring without keys is no error: it seals nothing until Refresh finds one.
func NewKeyRing(source func() []journal.Key, opener Opener, now func() time.Time) (*KeyRing, error) {
	r := &KeyRing{source: source, opener: opener, now: now}
	r.generations.Store(new([]*generation))
	return r, r.Refresh()
}

// Refresh picks up what was rotated since. Call it every second or so; while nothing has changed it costs a copy of the
// list. If a key does not open, the others are used all the same, and the error names the key's id.
func (r *KeyRing) Refresh() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := slices.Clone(r.source())
	slices.SortFunc(keys, func(a, b journal.Key) int {
		return cmp.Or(cmp.Compare(b.Created, a.Created), cmp.Compare(b.ID, a.ID))
	})
	if len(keys) > KeysMax {
		keys = keys[:KeysMax]
	}
	old := *r.generations.Load()
	next := make([]*generation, 0, len(keys))
	var errs []error
	for _, key := range keys {
		at := slices.IndexFunc(old, func(g *generation) bool { return g.id == key.ID && g.created == key.Created })
		if at >= 0 {
			next = append(next, old[at])
			continue
		}
		g, err := newGeneration(key, r.opener)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		next = append(next, g)
	}
	if !slices.Equal(old, next) {
		r.generations.Store(&next)
	}
	return errors.Join(errs...)
}

func newGeneration(key journal.Key, opener Opener) (*generation, error) {
	secret, err := opener.Open(RootKeyPurpose, key.Sealed)
	if err != nil {
		return nil, fmt.Errorf("session: root key %d: %w", key.ID, err)
	}
	if len(secret) != RootKeySize {
		return nil, fmt.Errorf("session: root key %d has %d bytes, not %d; rotate to a new one", key.ID, len(secret), RootKeySize)
	}
	g := &generation{id: key.ID, created: key.Created}
	for purpose, aead := range map[string]*cipher.AEAD{purposeCookie: &g.cookie, purposeDevice: &g.device, purposeConsent: &g.consent, purposeChange: &g.change, purposePass: &g.pass} {
		block, err := subKey(secret, purpose)
		if err != nil {
			return nil, fmt.Errorf("session: root key %d: %w", key.ID, err)
		}
		if *aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, fmt.Errorf("session: root key %d: %w", key.ID, err)
		}
	}
	if g.link, err = subKey(secret, purposeLink); err != nil {
		return nil, fmt.Errorf("session: root key %d: %w", key.ID, err)
	}
	clear(secret)
	return g, nil
}

// subKey derives an AES-256 key by HKDF-SHA256 (RFC 5869). The root key is uniformly random, so no salt is needed.
func subKey(secret []byte, purpose string) (cipher.Block, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, purpose, RootKeySize)
	if err != nil {
		return nil, err
	}
	return aes.NewCipher(key)
}

// sealing gives the key that seals now, or ErrNoKey.
func (r *KeyRing) sealing(now time.Time) (*generation, error) {
	all := *r.generations.Load()
	for i, g := range all {
		if g.age(now) < SealDelay && i+1 < len(all) && all[i+1].age(now) <= sealAgeMax {
			continue
		}
		return g, nil
	}
	return nil, ErrNoKey
}

// opening gives the generation of an id if it opens what is good for lifetime, or nil. If the id is unknown, it looks at the journal
// once, at most every refreshEvery: another node may have sealed with a key that this one has not picked up.
func (r *KeyRing) opening(id uint32, lifetime time.Duration, now time.Time) *generation {
	all := *r.generations.Load()
	at := find(all, id)
	if at < 0 && r.mayLook(now) {
		// A key that does not open is reported by the regular Refresh; here the token is simply not valid.
		_ = r.Refresh()
		all = *r.generations.Load()
		at = find(all, id)
	}
	if at < 0 || at > 0 && all[at].age(now) > lifetime {
		return nil
	}
	return all[at]
}

func find(all []*generation, id uint32) int {
	return slices.IndexFunc(all, func(g *generation) bool { return g.id == id })
}

func (r *KeyRing) mayLook(now time.Time) bool {
	last := r.looked.Load()
	ms := now.UnixMilli()
	return ms-last >= refreshEvery.Milliseconds() && r.looked.CompareAndSwap(last, ms)
}

// RotationDue reports whether the leader should commit a new root key: there is none, or the newest is RotateEvery old.
func RotationDue(keys []journal.Key, now journal.Millis) bool {
	for _, key := range keys {
		if now-key.Created < journal.Millis(RotateEvery.Milliseconds()) {
			return false
		}
	}
	return true
}

// NextKeyID gives the id for a new root key: one above the highest, from 1.
func NextKeyID(keys []journal.Key) uint32 {
	var highest uint32
	for _, key := range keys {
		highest = max(highest, key.ID)
	}
	return highest + 1
}
