package session

import (
	"encoding/binary"
	"time"

	"netbank/cluster/journal"
)

// The content of a session cookie, big-endian:
//
//	customer (8) | epoch (8) | signed in, ms (8) | last seen, ms (8) | CSRF secret (16) | flags (1)
const (
	csrfSize      = 16
	cookieContent = 8 + 8 + 8 + 8 + csrfSize + 1
	// CookieSize is the length of a session cookie's value in characters.
	CookieSize = ((tokenOverhead+cookieContent)*8 + 5) / 6
	// flagKnownDevice: the sign-in came from a known device.
	flagKnownDevice = 1 << 0
	// flagListed: others know the password that the session began with.
	flagListed = 1 << 1
	flagsKnown = flagKnownDevice | flagListed
)

// state is what a cookie holds.
type state struct {
	customer    journal.CustomerID
	epoch       journal.Epoch
	signedIn    journal.Millis
	lastSeen    journal.Millis
	csrf        [csrfSize]byte
	knownDevice bool
	listed      bool
}

func (c *state) encode(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(c.customer))
	b = binary.BigEndian.AppendUint64(b, uint64(c.epoch))
	b = binary.BigEndian.AppendUint64(b, uint64(c.signedIn))
	b = binary.BigEndian.AppendUint64(b, uint64(c.lastSeen))
	b = append(b, c.csrf[:]...)
	var flags byte
	if c.knownDevice {
		flags |= flagKnownDevice
	}
	if c.listed {
		flags |= flagListed
	}
	return append(b, flags)
}

func (c *state) decode(b []byte) bool {
	if len(b) != cookieContent || b[cookieContent-1]&^flagsKnown != 0 {
		return false
	}
	c.customer = journal.CustomerID(binary.BigEndian.Uint64(b))
	c.epoch = journal.Epoch(binary.BigEndian.Uint64(b[8:]))
	c.signedIn = journal.Millis(binary.BigEndian.Uint64(b[16:]))
	c.lastSeen = journal.Millis(binary.BigEndian.Uint64(b[24:]))
	copy(c.csrf[:], b[32:])
	c.knownDevice = b[cookieContent-1]&flagKnownDevice != 0
	c.listed = b[cookieContent-1]&flagListed != 0
	return true
}

func (r *KeyRing) sealCookie(c *state, now time.Time) (string, error) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	return r.seal(&cookieKind, c.encode(s.plain[:0]), s, now)
}

func (r *KeyRing) openCookie(token []byte, now time.Time) (state, error) {
	var c state
	if len(token) != encoding.EncodedLen(tokenOverhead+cookieContent) {
		return c, ErrNoSession
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	content, err := r.open(&cookieKind, token, s, now)
	if err != nil || !c.decode(content) {
		return state{}, ErrNoSession
	}
	return c, nil
}
