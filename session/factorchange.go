package session

import (
	"crypto/sha256"
	"encoding/binary"

	"netbank/cluster/journal"
)

// ChangeKind says what a change does to a customer's factors, or password.
type ChangeKind uint8

// The kinds of changes. The numbers are in sealed tokens.
const (
	NewPasskey  ChangeKind = iota + 1 // the authenticator is asked to make one
	AddPasskey                        // one was made, and waits for the customer's word by another factor
	DropPasskey                       // one is to be taken away
	PutPassword                       // a password is to be replaced
)

// Change is a change of the customer's factors, or password, that waits for a step of the customer. It travels sealed, like a Consent, and is confirmed by a factor
// in the same way: whoever has only the session changes nothing.
type Change struct {
	Bond
	Kind     ChangeKind
	Passkey  journal.Passkey // of AddPasskey whole; of DropPasskey id and name
	Password NewPassword     // of PutPassword
}

// The content of a change, big-endian:
//
//	bond | kind (1) | count (4) | id, key, name, sealed password (length, 2; bytes) | what it replaces (32), where there is one

// SealChange gives the change for an address or a form. It fails with ErrNoKey only.
func (s *Store) SealChange(session *Session, c Change) (string, error) {
	memory := scratches.Get().(*scratch)
	defer scratches.Put(memory)
	now := s.clock()
	c.begin(session, now)
	return s.seal(&changeKind, c.encode(memory.plain[:0]), memory, now)
}

func (c *Change) encode(b []byte) []byte {
	b = append(c.Bond.encode(b), byte(c.Kind))
	b = binary.BigEndian.AppendUint32(b, c.Passkey.SignCount)
	b = appendLong(appendLong(appendLong(b, c.Passkey.ID), c.Passkey.PublicKey), c.Passkey.Name)
	b = appendLong(b, c.Password.Sealed)
	if c.Kind == PutPassword {
		b = append(b, c.Password.Replaces[:]...)
	}
	return b
}

// OpenChange gives back what was sealed for this session: ErrConsent or ErrConsentExpired if it was not, or not lately.
func (s *Store) OpenChange(session *Session, token []byte) (Change, error) {
	memory := scratches.Get().(*scratch)
	defer scratches.Put(memory)
	now := s.clock()
	content, err := s.KeyRing.open(&changeKind, token, memory, now)
	if err != nil {
		return Change{}, ErrConsent
	}
	c, ok := decodeChange(content)
	if !ok {
		return Change{}, ErrConsent
	}
	if err := c.holds(session, now); err != nil {
		return Change{}, err
	}
	return c, nil
}

func decodeChange(b []byte) (c Change, ok bool) {
	b, ok = c.decode(b)
	if !ok || len(b) < 1+4 {
		return Change{}, false
	}
	c.Kind = ChangeKind(b[0])
	c.Passkey.SignCount = binary.BigEndian.Uint32(b[1:])
	b = b[1+4:]
	var texts [4]string
	for i := range texts {
		if texts[i], b, ok = cutLong(b, tokenSizeMax); !ok {
			return Change{}, false
		}
	}
	c.Passkey.ID, c.Passkey.PublicKey, c.Passkey.Name = []byte(texts[0]), []byte(texts[1]), texts[2]
	if c.Kind == PutPassword {
		if len(b) != len(c.Password.Replaces) || texts[3] == "" {
			return Change{}, false
		}
		c.Password = NewPassword{[sha256.Size]byte(b), []byte(texts[3])}
		return c, true
	}
	return c, len(b) == 0 && texts[3] == "" && c.Kind >= NewPasskey && c.Kind <= DropPasskey
}

// Challenge is what a passkey, the new one or one that confirms, signs for this change.
func (c *Change) Challenge() [sha256.Size]byte {
	b := c.encode(append(make([]byte, 0, 1024), "netbank change of factors v1"...))
	return sha256.Sum256(b)
}

// Subject is what a code for this change is good for: the change as it began, whatever codes were sent for it since.
func (c *Change) Subject() journal.Subject {
	bare := *c
	bare.Sent = SentCode{}
	sum := bare.Challenge()
	return journal.Subject(sum[:len(journal.Subject{})])
}
