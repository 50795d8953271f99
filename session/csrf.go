package session

import (
	"crypto/rand"
	"crypto/subtle"
)

// CSRFToken gives the value for a form's hidden field. It is bound to the session and good for as long. Each call gives another
// spelling (a random mask and the secret under it), so that a compressed page tells nothing about it (BREACH).
func (s *Session) CSRFToken() string {
	var b [2 * csrfSize]byte
	rand.Read(b[:csrfSize])
	subtle.XORBytes(b[csrfSize:], b[:csrfSize], s.csrf[:])
	return encoding.EncodeToString(b[:])
}

// CheckCSRF reports whether token was made for this session.
func (s *Session) CheckCSRF(token []byte) bool {
	var b [2*csrfSize + 2]byte
	if len(token) != encoding.EncodedLen(2*csrfSize) {
		return false
	}
	if n, err := encoding.Decode(b[:], token); err != nil || n != 2*csrfSize {
		return false
	}
	var secret [csrfSize]byte
	subtle.XORBytes(secret[:], b[:csrfSize], b[csrfSize:2*csrfSize])
	return subtle.ConstantTimeCompare(secret[:], s.csrf[:]) == 1
}
