package session

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"time"

	"netbank/cluster/journal"
)

// Pass is what a browser keeps of the waiting line: a ticket while its customer waits, and a pass once he was let in. It travels sealed. The place of
// somebody who has a payment does not hang on it, since that stands in the journal.
type Pass struct {
	Payment journal.PaymentID // zero: somebody without a payment
	// In: he was let in. Else he waits.
	In bool
	// Counted: his flow is counted among those that began.
	Counted bool
	// Since is the first visit of who waits, or when the pass was last used; to the millisecond.
	Since time.Time
	// From and To are the range of the wait that was shown at first; zero if none was.
	From, To time.Duration
	// ID makes the turn of somebody without a payment count once.
	ID journal.CommandID
}

// The content of a pass: flags (1) | payment (16) | since, ms (8) | from, s (4) | to, s (4) | id (16)
const passSize = 1 + 16 + 8 + 4 + 4 + 16

const (
	passIn = 1 << iota
	passCounted
)

var (
	// ErrPass says that a pass was not sealed by this bank, or not lately.
	ErrPass  = errors.New("session: the pass was not made here, or was changed")
	passKind = kind{purposePass, KeyLifetime, func(g *generation) cipher.AEAD { return g.pass }}
)

// NewPassID draws an ID.
func NewPassID() (id journal.CommandID) {
	rand.Read(id[:])
	return id
}

// SealPass gives the value of a cookie. It fails with ErrNoKey only.
func (r *KeyRing) SealPass(p Pass) (string, error) {
	memory := scratches.Get().(*scratch)
	defer scratches.Put(memory)
	flags := byte(0)
	if p.In {
		flags |= passIn
	}
	if p.Counted {
		flags |= passCounted
	}
	b := append(memory.plain[:0], flags)
	b = append(b, p.Payment[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(p.Since.UnixMilli()))
	b = binary.BigEndian.AppendUint32(b, uint32(p.From/time.Second))
	b = binary.BigEndian.AppendUint32(b, uint32(p.To/time.Second))
	b = append(b, p.ID[:]...)
	return r.seal(&passKind, b, memory, r.now())
}

// OpenPass gives back what was sealed, or ErrPass.
func (r *KeyRing) OpenPass(token []byte) (p Pass, err error) {
	memory := scratches.Get().(*scratch)
	defer scratches.Put(memory)
	b, err := r.open(&passKind, token, memory, r.now())
	if err != nil || len(b) != passSize || b[0] > passIn|passCounted {
		return Pass{}, ErrPass
	}
	p.In, p.Counted = b[0]&passIn != 0, b[0]&passCounted != 0
	copy(p.Payment[:], b[1:17])
	p.Since = time.UnixMilli(int64(binary.BigEndian.Uint64(b[17:])))
	p.From = time.Duration(binary.BigEndian.Uint32(b[25:])) * time.Second
	p.To = time.Duration(binary.BigEndian.Uint32(b[29:])) * time.Second
	copy(p.ID[:], b[33:])
	return p, nil
}
