package webhook

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// Signer signs what is sent.
type Signer interface {
	// AppendSignature adds the value of webhook-signature for a signed content to dst.
	AppendSignature(dst, content []byte) []byte
}

// RootsMax bounds the generations of the root key that sign at the same time: the newest, and the one before it.
const RootsMax = 2

// Key signs with Ed25519. It is safe for concurrent use.
type Key struct{ private []ed25519.PrivateKey }

// NewKey derives signing keys from generations of the root key, newest first, by HKDF-SHA256 (RFC 5869). Every one of
// them signs, so that a partner that has not fetched the newest public key yet can still verify.
func NewKey(roots ...[]byte) (*Key, error) {
	if len(roots) == 0 || len(roots) > RootsMax {
		return nil, fmt.Errorf("webhook: %d root keys were given; signing takes the newest and at most the one before it", len(roots))
	}
	k := &Key{}
	for _, root := range roots {
		if len(root) < 16 {
			return nil, errors.New("webhook: a root key has fewer than 16 bytes")
		}
		seed, err := hkdf.Key(sha256.New, root, nil, "netbank webhook signature v1a", ed25519.SeedSize)
		if err != nil {
			return nil, fmt.Errorf("webhook: deriving the signing key: %w", err)
		}
		k.private = append(k.private, ed25519.NewKeyFromSeed(seed))
	}
	return k, nil
}

// PublicKeys lists the public keys as "whpk_" and base64, newest first.
func (k *Key) PublicKeys() []string {
	keys := make([]string, len(k.private))
	for i, private := range k.private {
		public, _ := private.Public().(ed25519.PublicKey)
		keys[i] = "whpk_" + base64.StdEncoding.EncodeToString(public)
	}
	return keys
}

// AppendSignature implements Signer: "v1a," and base64 for each key, with a space between.
func (k *Key) AppendSignature(dst, content []byte) []byte {
	for i, private := range k.private {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, "v1a,"...)
		dst = base64.StdEncoding.AppendEncode(dst, ed25519.Sign(private, content))
	}
	return dst
}
