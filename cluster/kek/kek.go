// Package kek seals secrets at rest under a key-encryption key: root keys, TOTP seeds, password hashes. What is sealed
// may stand in the journal and in backups; the key-encryption key stands in a file of its own (later in an HSM) and never
// in either.
package kek

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Size is the length of a key-encryption key: 32 bytes, for AES-256-GCM.
const Size = 32

// ErrSealed says that a sealed value cannot be opened: another key, another purpose, or damage.
var ErrSealed = errors.New("kek: the value does not open: it was sealed under another key-encryption key or for another purpose, or is damaged; check --kek-file")

// Key seals and opens. It is safe for concurrent use.
type Key struct {
	aead cipher.AEAD
	id   string
	root []byte // of what Derive gives; it does not tell the key
}

// New makes a Key of 32 secret bytes.
func New(secret []byte) (*Key, error) {
	if len(secret) != Size {
		return nil, fmt.Errorf("kek: a key-encryption key has %d bytes, this one %d", Size, len(secret))
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, fmt.Errorf("kek: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("kek: %w", err)
	}
	root, err := hkdf.Extract(sha256.New, secret, []byte("netbank key-encryption key: derived secrets v1"))
	if err != nil {
		return nil, fmt.Errorf("kek: %w", err)
	}
	return &Key{aead: aead, id: idOf(secret), root: root}, nil
}

// DerivedBytesMax is the length of a derived secret: what HKDF with SHA-256 gives at most.
const DerivedBytesMax = 255 * sha256.Size

// Derive gives a secret that everybody has who has the key-encryption key, and nobody else: another one for each purpose,
// by HKDF (RFC 5869) with SHA-256. It tells nothing of the key, of what is sealed, or of other purposes' secrets. length is 1 to
// DerivedBytesMax bytes.
func (k *Key) Derive(purpose string, length int) ([]byte, error) {
	if length < 1 || length > DerivedBytesMax {
		return nil, fmt.Errorf("kek: a derived secret of %d bytes; choose 1 to %d", length, DerivedBytesMax)
	}
	return hkdf.Expand(sha256.New, k.root, purpose, length)
}

// idOf gives 64 bits of HMAC-SHA256 under the key: nobody who has not got the key learns anything of it, or makes another key
// with the same id.
func idOf(secret []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("netbank: id of a key-encryption key"))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// ID tells keys apart, in 16 hexadecimal digits that are not secret: a backup names the key without which its secrets do not open.
func (k *Key) ID() string { return k.id }

// Load reads a file of 64 hexadecimal digits, which only its owner may read.
func Load(path string) (*Key, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("kek: no key-encryption key at %s; make one with `netbank keygen --kek-file %s`, and keep a copy apart from the backups", path, path)
	}
	if err != nil {
		return nil, fmt.Errorf("kek: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("kek: %s can be read by others (mode %04o); run `chmod 600 %s`", path, info.Mode().Perm(), path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("kek: %w", err)
	}
	secret := make([]byte, Size)
	if n, err := hex.Decode(secret, bytes.TrimSpace(text)); err != nil || n != Size {
		return nil, fmt.Errorf("kek: %s does not hold %d hexadecimal digits", path, 2*Size)
	}
	return New(secret)
}

// Generate writes a new key to path, which must not exist, readable by its owner only.
func Generate(path string) error {
	secret := make([]byte, Size)
	rand.Read(secret)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("kek: %w", err)
	}
	if _, err := fmt.Fprintln(f, hex.EncodeToString(secret)); err != nil {
		f.Close()
		return fmt.Errorf("kek: %w", err)
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return fmt.Errorf("kek: %w", err)
	}
	return f.Close()
}

// Seal encrypts secret. The purpose is bound to it: what was sealed for one purpose does not open for another.
func (k *Key) Seal(purpose string, secret []byte) []byte {
	return k.aead.Seal(nil, nil, secret, []byte(purpose))
}

// Open decrypts what Seal made for the same purpose, or fails with ErrSealed.
func (k *Key) Open(purpose string, sealed []byte) ([]byte, error) {
	secret, err := k.aead.Open(nil, nil, sealed, []byte(purpose))
	if err != nil {
		return nil, ErrSealed
	}
	return secret, nil
}
