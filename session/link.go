package session

import (
	"crypto/subtle"

	"netbank/cluster/journal"
)

// LinkSize is the length of a link's MAC in characters.
const LinkSize = 12

// linkMAC is one byte of key id and 64 bits of MAC. The MAC is AES-256 of the payment id, cut: a pseudo-random function
// on a message of exactly one block needs no more than the block cipher (Bellare, Kilian, Rogaway: CBC-MAC, 2000, for one block).
// 64 bits are enough for what can only be tried online and gains no more than the page of a payment.
func (g *generation) linkMAC(id journal.PaymentID, memory *scratch) [9]byte {
	b := memory.raw[:32]
	copy(b, id[:])
	g.link.Encrypt(b[16:], b[:16])
	mac := [9]byte{byte(g.id)}
	copy(mac[1:], b[16:24])
	return mac
}

// LinkMAC gives the s of /pay/{id}?s=…, or "" while there is no key. It makes identifiers that nobody has handed out cost nothing: they are
// refused before anything is looked up.
func (r *KeyRing) LinkMAC(id journal.PaymentID) string {
	g, err := r.sealing(r.now())
	if err != nil {
		return ""
	}
	memory := scratches.Get().(*scratch)
	defer scratches.Put(memory)
	mac := g.linkMAC(id, memory)
	return encoding.EncodeToString(mac[:])
}

// CheckLink reports whether s came from LinkMAC for this payment, within KeyLifetime.
func (r *KeyRing) CheckLink(id journal.PaymentID, s []byte) bool {
	var given [9]byte
	if len(s) != LinkSize {
		return false
	}
	if n, err := encoding.Decode(given[:], s); err != nil || n != len(given) {
		return false
	}
	memory := scratches.Get().(*scratch)
	defer scratches.Put(memory)
	now := r.now()
	// Within KeyLifetime there are a handful of keys; more than one can share its last byte only after 256 rotations out of turn.
	for i, g := range *r.generations.Load() {
		if byte(g.id) != given[0] || i > 0 && g.age(now) > KeyLifetime {
			continue
		}
		mac := g.linkMAC(id, memory)
		if subtle.ConstantTimeCompare(mac[:], given[:]) == 1 {
			return true
		}
	}
	return false
}
