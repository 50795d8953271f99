package session

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"netbank/session/derive"
)

// Bounds of what a person types, after normalisation.
const (
	UsernameMax = 64  // bytes of a user name in UTF-8
	PasswordMin = 8   // bytes of a password in UTF-8
	PasswordMax = 128 // characters of a password
)

// Bounds of a stored hash. They keep an imported record from taking the memory or the time of the whole node.
const (
	MemoryMaxKiB = 64 << 10
	PassesMax    = 10
	LanesMax     = 4
	saltMin      = 8
	saltMax      = 64
	digestMin    = 16
	digestMax    = 64
	phcSizeMax   = 256
)

// Params are the cost parameters of argon2id (RFC 9106).
type Params struct {
	MemoryKiB uint32 // 8 per lane to MemoryMaxKiB
	Passes    uint32 // 1 to PassesMax
	Lanes     uint8  // 1 to LanesMax
}

// Standard is what OWASP's Password Storage Cheat Sheet asks for at least: 19 MiB, two passes, one lane. About 20 ms.
var Standard = Params{MemoryKiB: 19456, Passes: 2, Lanes: 1}

// Cheap is for netbank-lab only: it lets 200,000 customers be imported in seconds, and is worth nothing as protection.
var Cheap = Params{MemoryKiB: 64, Passes: 1, Lanes: 1}

// check refuses what is out of bounds, and what is weaker than Standard unless cheap hashes are allowed.
func (p Params) check(cheap bool) error {
	if p.Lanes < 1 || p.Lanes > LanesMax || p.Passes < 1 || p.Passes > PassesMax || p.MemoryKiB < 8*uint32(p.Lanes) || p.MemoryKiB > MemoryMaxKiB {
		return fmt.Errorf("session: argon2id parameters m=%d,t=%d,p=%d are out of bounds (m 8 per lane to %d KiB, t 1 to %d, p 1 to %d)",
			p.MemoryKiB, p.Passes, p.Lanes, MemoryMaxKiB, PassesMax, LanesMax)
	}
	if !cheap && (p.MemoryKiB < Standard.MemoryKiB || p.Passes < Standard.Passes) {
		return fmt.Errorf("session: argon2id parameters m=%d,t=%d are weaker than m=%d,t=%d; hash the password anew (only netbank-lab admits cheap hashes)",
			p.MemoryKiB, p.Passes, Standard.MemoryKiB, Standard.Passes)
	}
	return nil
}

// CheckPHC says why a PHC string cannot be imported: it is not one, or it is weaker than Standard and cheap hashes are not allowed.
func CheckPHC(phc string, cheap bool) error {
	hash, err := ParseHash(phc)
	if err != nil {
		return err
	}
	return hash.check(cheap)
}

// Hash is a parsed PHC string.
type Hash struct {
	Params
	Salt   []byte
	Digest []byte
}

// phcEncoding is standard base64 without padding, as the PHC string format says; one spelling only.
var phcEncoding = base64.RawStdEncoding.Strict()

// ParseHash reads a PHC string, strictly in the form that argon2's reference code writes:
// $argon2id$v=19$m=19456,t=2,p=1$salt$hash. The error never holds any of the text.
func ParseHash(phc string) (Hash, error) {
	bad := func(what string) (Hash, error) {
		return Hash{}, fmt.Errorf("session: not an argon2id PHC string ($argon2id$v=19$m=…,t=…,p=…$salt$hash): %s", what)
	}
	if len(phc) > phcSizeMax {
		return bad(fmt.Sprintf("%d bytes, at most %d", len(phc), phcSizeMax))
	}
	part := strings.Split(phc, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" || part[2] != "v=19" {
		return bad("algorithm, version or number of parts")
	}
	cost := strings.Split(part[3], ",")
	if len(cost) != 3 {
		return bad("parameters")
	}
	var value [3]uint32
	for i, name := range [...]string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(cost[i], name)
		n, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || strconv.FormatUint(n, 10) != digits {
			return bad("parameter " + name)
		}
		value[i] = uint32(n)
	}
	if value[2] > LanesMax {
		return bad("parameter p=")
	}
	h := Hash{Params: Params{MemoryKiB: value[0], Passes: value[1], Lanes: uint8(value[2])}}
	if err := h.check(true); err != nil {
		return Hash{}, err
	}
	var err error
	if h.Salt, err = phcEncoding.DecodeString(part[4]); err != nil || len(h.Salt) < saltMin || len(h.Salt) > saltMax || strings.ContainsAny(part[4], "\r\n") {
		return bad("salt")
	}
	if h.Digest, err = phcEncoding.DecodeString(part[5]); err != nil || len(h.Digest) < digestMin || len(h.Digest) > digestMax || strings.ContainsAny(part[5], "\r\n") {
		return bad("hash")
	}
	return h, nil
}

// String gives the PHC string.
func (h Hash) String() string {
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", h.MemoryKiB, h.Passes, h.Lanes, phcEncoding.EncodeToString(h.Salt), phcEncoding.EncodeToString(h.Digest))
}

// request asks for the hash of a password with h's parameters and salt.
func (h Hash) request(password string) *derive.Request {
	return &derive.Request{
		Password: []byte(password), Salt: h.Salt, MemoryKiB: h.MemoryKiB, Passes: h.Passes, Lanes: h.Lanes, KeySize: uint8(len(h.Digest)),
	}
}

// is compares in constant time.
func (h Hash) is(key []byte) bool { return subtle.ConstantTimeCompare(key, h.Digest) == 1 }

// matches computes the hash of a password in this process and compares.
func (h Hash) matches(password string) bool { return h.is(h.request(password).Key()) }

// HashPassword gives the PHC string for a customer's record, with a salt of its own. It is for importers, which seal it under
// PasswordPurpose. It fails on a password that could not be typed at sign-in, and on parameters out of bounds.
func HashPassword(password string, p Params) (string, error) {
	return HashPasswordBy(nil, password, p)
}

// HashPasswordBy is HashPassword with the hash computed by d. If d is nil or cannot, this process computes it.
func HashPasswordBy(d Deriver, password string, p Params) (string, error) {
	password, err := normalPassword(password)
	if err != nil {
		return "", err
	}
	if err := p.check(true); err != nil {
		return "", err
	}
	h := Hash{Params: p, Salt: make([]byte, 16)}
	rand.Read(h.Salt)
	h.Digest = make([]byte, 32)
	if d != nil {
		if key, err := d.Key(h.request(password)); err == nil {
			h.Digest = key
			return h.String(), nil
		}
	}
	h.Digest = h.request(password).Key()
	return h.String(), nil
}

// dummyHash is what is computed for a user name that nobody has. Its digest is random, so that no password matches.
func dummyHash(p Params) Hash {
	h := Hash{Params: p, Salt: make([]byte, 16), Digest: make([]byte, 32)}
	rand.Read(h.Salt)
	rand.Read(h.Digest)
	return h
}

// passwordBytesMax bounds what is brought into its normal form, which may be shorter.
const passwordBytesMax = 4 * utf8.UTFMax * PasswordMax

// normalPassword gives the NFC form (as RFC 8265's OpaqueString has it), so that the same characters from two keyboards are the same password.
func normalPassword(password string) (string, error) {
	if len(password) > passwordBytesMax || !plain(password) {
		return "", ErrMalformed
	}
	password = norm.NFC.String(password)
	if len(password) < PasswordMin || utf8.RuneCountInString(password) > PasswordMax {
		return "", ErrMalformed
	}
	return password, nil
}

// NormalUsername gives the form of a user name that SignIn looks up: NFC, without space around it, 1 to UsernameMax bytes; or
// ErrMalformed. Importers store names in this form, or nobody can sign in by them.
func NormalUsername(username string) (string, error) {
	if len(username) > 4*UsernameMax || !plain(username) {
		return "", ErrMalformed
	}
	username = norm.NFC.String(strings.TrimSpace(username))
	if username == "" || len(username) > UsernameMax {
		return "", ErrMalformed
	}
	return username, nil
}

// plain reports whether a text is valid UTF-8 without control characters.
func plain(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}
