package session

import (
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"sync"
	"time"
)

// A sealed token is base64url (RFC 4648, 5, without padding) over
//
//	version (1) | key id (4) | nonce (12) | AES-256-GCM of the content | tag (16)
//
// with the purpose, the version and the key id as associated data: a token for one purpose opens for no other.
const (
	tokenVersion  = 1
	tokenHeader   = 1 + 4
	tokenOverhead = tokenHeader + 12 + 16
	// tokenSizeMax bounds a token in characters, before anything of it is decoded. The largest is a consent.
	tokenSizeMax = 1400
)

var errToken = errors.New("session: not a sealed token")

// encoding refuses set trailing bits, so that one token has one spelling only.
var encoding = base64.RawURLEncoding.Strict()

// scratch is memory for one seal or open. Nothing that leaves the package points into it.
type scratch struct {
	raw   [tokenSizeMax]byte
	plain [tokenSizeMax]byte
	text  [tokenSizeMax]byte
	bound [64]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// associated puts purpose and header together.
func (s *scratch) associated(purpose string, header []byte) []byte {
	return append(append(s.bound[:0], purpose...), header...)
}

// kind is what a token is for: its purpose, its life and its sub-key.
type kind struct {
	purpose  string
	lifetime time.Duration // of the root key for this purpose
	aead     func(*generation) cipher.AEAD
}

var (
	cookieKind  = kind{purposeCookie, KeyLifetime, func(g *generation) cipher.AEAD { return g.cookie }}
	consentKind = kind{purposeConsent, KeyLifetime, func(g *generation) cipher.AEAD { return g.consent }}
	changeKind  = kind{purposeChange, KeyLifetime, func(g *generation) cipher.AEAD { return g.change }}
	deviceKind  = kind{purposeDevice, DeviceLifetime + RotateEvery + SealDelay, func(g *generation) cipher.AEAD { return g.device }}
)

// seal makes a token of content, which must fit tokenSizeMax.
func (r *KeyRing) seal(k *kind, content []byte, s *scratch, now time.Time) (string, error) {
	g, err := r.sealing(now)
	if err != nil {
		return "", err
	}
	s.raw[0] = tokenVersion
	binary.BigEndian.PutUint32(s.raw[1:tokenHeader], g.id)
	header := s.raw[:tokenHeader]
	sealed := k.aead(g).Seal(header, nil, content, s.associated(k.purpose, header))
	n := encoding.EncodedLen(len(sealed))
	encoding.Encode(s.text[:n], sealed)
	return string(s.text[:n]), nil
}

// open gives the content of a token, which lies in s until s is given back.
func (r *KeyRing) open(k *kind, token []byte, s *scratch, now time.Time) ([]byte, error) {
	if len(token) > tokenSizeMax {
		return nil, errToken
	}
	n, err := encoding.Decode(s.raw[:], token)
	// The decoder skips line ends; the length check refuses them.
	if err != nil || n < tokenOverhead || encoding.EncodedLen(n) != len(token) || s.raw[0] != tokenVersion {
		return nil, errToken
	}
	header := s.raw[:tokenHeader]
	g := r.opening(binary.BigEndian.Uint32(s.raw[1:tokenHeader]), k.lifetime, now)
	if g == nil {
		return nil, errToken
	}
	content, err := k.aead(g).Open(s.plain[:0], nil, s.raw[tokenHeader:n], s.associated(k.purpose, header))
	if err != nil {
		return nil, errToken
	}
	return content, nil
}
