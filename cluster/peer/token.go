package peer

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Bounds of join tokens. docs/limits.md lists them.
const (
	// TokenBytesMax is the length of a token's line.
	TokenBytesMax = 3 << 10
	// TokenLifetimeDefault is how long a token is good for when nothing else is said.
	TokenLifetimeDefault = time.Hour
	// TokenLifetimeMax is the longest life of a token.
	TokenLifetimeMax = 7 * 24 * time.Hour
	// AddrsMax is the number of coordinators' addresses in a token.
	AddrsMax = 7
	// AddrBytesMax is the length of one address.
	AddrBytesMax = 255

	tokenSecretBytes = 32
)

// tokenPrefix says what the line is, to people and to scanners for secrets, and the version of what follows.
const tokenPrefix = "netbank_join1_"

// TokenID names a token in the journal, in lists and in logs. It is no secret.
type TokenID [8]byte

// String gives 16 hexadecimal digits.
func (id TokenID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText implements encoding.TextMarshaler.
func (id TokenID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *TokenID) UnmarshalText(text []byte) error {
	var read TokenID
	if n, err := hex.Decode(read[:], text[:min(len(text), 2*len(read))]); err != nil || n != len(read) || len(text) != 2*len(read) {
		return fmt.Errorf("peer: a token's id has %d hexadecimal digits", 2*len(read))
	}
	*id = read
	return nil
}

// Token is what a new node needs to join. Whoever has one can become a member, so it is printed by Text only: other
// forms of printing leave the secret out.
type Token struct {
	ID           TokenID
	Cluster      string
	Fingerprints []Fingerprint // of the authorities; the coordinator that answers must come from one of them
	Addrs        []string      // of coordinators, host:port; 1 to AddrsMax
	Role         Role
	Expires      time.Time // in whole seconds
	Multiple     bool      // good for more than one node

	secret [tokenSecretBytes]byte
}

// TokenTerms says what kind of token to make.
type TokenTerms struct {
	Addrs    []string // of coordinators
	Role     Role
	Lifetime time.Duration // 0: TokenLifetimeDefault; up to TokenLifetimeMax
	Multiple bool          // for several nodes, as in emergency scale-out
}

// TokenRecord is what the cluster keeps of a token: enough to know it again, too little to make it. The caller commits it to
// the journal, and beside it, for a token of one use, the fingerprint of the key that used it.
type TokenRecord struct {
	ID       TokenID
	Hash     [sha256.Size]byte // of the secret
	Role     Role
	Expires  time.Time
	Multiple bool
}

// NewToken makes a token for the cluster of id.
func NewToken(id *Identity, t TokenTerms, now time.Time) (Token, TokenRecord, error) {
	if t.Lifetime == 0 {
		t.Lifetime = TokenLifetimeDefault
	}
	if t.Lifetime < time.Second || t.Lifetime > TokenLifetimeMax {
		return Token{}, TokenRecord{}, fmt.Errorf("peer: a token's life of %v is out of range; choose %v to %v", t.Lifetime, time.Second, TokenLifetimeMax)
	}
	token := Token{
		Cluster: id.subject.Cluster, Fingerprints: id.Fingerprints(), Addrs: t.Addrs, Role: t.Role,
		Expires: now.Add(t.Lifetime).Truncate(time.Second).UTC(), Multiple: t.Multiple,
	}
	rand.Read(token.ID[:])
	rand.Read(token.secret[:])
	if err := token.check(); err != nil {
		return Token{}, TokenRecord{}, err
	}
	return token, TokenRecord{ID: token.ID, Hash: hashSecret(token.secret[:]), Role: token.Role, Expires: token.Expires, Multiple: token.Multiple}, nil
}

// hashSecret needs no salt and no slowness: the secret has 256 random bits.
func hashSecret(secret []byte) [sha256.Size]byte {
	return sha256.Sum256(append([]byte("netbank join token v1\x00"), secret...))
}

// Check says whether a secret is this token's and the token still good at a time: nil, ErrTokenRefused or ErrTokenExpired. Of a
// wrong secret it tells nothing else.
func (r TokenRecord) Check(secret []byte, now time.Time) error {
	hash := hashSecret(secret)
	if subtle.ConstantTimeCompare(hash[:], r.Hash[:]) != 1 {
		return ErrTokenRefused
	}
	if !now.Before(r.Expires) {
		return fmt.Errorf("%w (at %s)", ErrTokenExpired, r.Expires.UTC().Format(time.RFC3339))
	}
	return nil
}

func (t *Token) check() error {
	if err := CheckCluster(t.Cluster); err != nil {
		return err
	}
	if _, err := t.Role.MarshalText(); err != nil {
		return err
	}
	if n := len(t.Fingerprints); n == 0 || n > AuthoritiesMax {
		return fmt.Errorf("peer: a token names 1 to %d authorities, this one %d", AuthoritiesMax, n)
	}
	if n := len(t.Addrs); n == 0 || n > AddrsMax {
		return fmt.Errorf("peer: a token names 1 to %d addresses of coordinators, this one %d", AddrsMax, n)
	}
	for _, addr := range t.Addrs {
		if err := CheckAddr(addr); err != nil {
			return err
		}
	}
	return nil
}

// CheckAddr says whether a text is an address to dial: a host or IP and a port from 1 to 65535, at most AddrBytesMax long.
func CheckAddr(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || n == 0 || host == "" || len(addr) > AddrBytesMax || strings.ContainsFunc(addr, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r) || r > unicode.MaxASCII
	}) {
		return fmt.Errorf("peer: %q is no address; write host:port with a port from 1 to 65535, at most %d bytes", clip(addr, 64), AddrBytesMax)
	}
	return nil
}

// Text gives the one line that a person carries to the new node:
//
//	netbank_join1_ base64url( uses role expiry id secret n fingerprints cluster n addresses CRC-32C )
func (t Token) Text() string {
	b := make([]byte, 0, 256)
	uses := byte(1)
	if t.Multiple {
		uses = 2
	}
	b = append(b, uses, byte(t.Role))
	b = binary.BigEndian.AppendUint64(b, uint64(t.Expires.Unix()))
	b = append(b, t.ID[:]...)
	b = append(b, t.secret[:]...)
	b = append(b, byte(len(t.Fingerprints)))
	for _, f := range t.Fingerprints {
		b = append(b, f[:]...)
	}
	b = append(append(b, byte(len(t.Cluster))), t.Cluster...)
	b = append(b, byte(len(t.Addrs)))
	for _, a := range t.Addrs {
		b = append(append(b, byte(len(a))), a...)
	}
	b = binary.BigEndian.AppendUint32(b, checksum(b))
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// checksum finds slips of copying. Forgery is the secret's matter.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// String leaves the secret out.
func (t Token) String() string {
	return fmt.Sprintf("token %s (%s of cluster %s, until %s)", t.ID, t.Role, t.Cluster, t.Expires.UTC().Format(time.RFC3339))
}

// GoString leaves the secret out.
func (t Token) GoString() string { return t.String() }

// LogValue implements slog.LogValuer, without the secret.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// ParseToken reads what Text gave. White space around it does no harm. Errors are ErrToken, and never quote the line.
func ParseToken(line string) (Token, error) {
	line = strings.TrimSpace(line)
	no := func(why string) (Token, error) { return Token{}, fmt.Errorf("%w (%s)", ErrToken, why) }
	if len(line) > TokenBytesMax {
		return no(fmt.Sprintf("it has %d bytes, the longest has %d", len(line), TokenBytesMax))
	}
	text, ok := strings.CutPrefix(line, tokenPrefix)
	if !ok {
		if strings.HasPrefix(line, "netbank_join") {
			return no("it was made by another version of netbank")
		}
		return no("it does not begin with " + tokenPrefix)
	}
	if strings.ContainsAny(text, "\r\n") { // which the decoder would skip
		return no("it goes over several lines")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < 4 {
		return no("it is cut off, or holds characters that tokens do not have")
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if checksum(body) != sum {
		return no("its checksum is wrong: something was lost or changed in copying")
	}
	t, ok := readToken(body)
	if !ok {
		return no("its parts do not fit")
	}
	if err := t.check(); err != nil {
		return no(err.Error())
	}
	return t, nil
}

func readToken(b []byte) (t Token, ok bool) {
	take := func(n int) []byte {
		if b == nil || len(b) < n {
			b = nil
			return make([]byte, n)
		}
		taken := b[:n]
		b = b[n:]
		return taken
	}
	count := func() int { return int(take(1)[0]) }
	uses := count()
	t.Role = Role(count())
	expires := binary.BigEndian.Uint64(take(8))
	copy(t.ID[:], take(len(t.ID)))
	copy(t.secret[:], take(len(t.secret)))
	for range min(count(), AuthoritiesMax+1) {
		t.Fingerprints = append(t.Fingerprints, Fingerprint(take(sha256.Size)))
	}
	t.Cluster = string(take(count()))
	for range min(count(), AddrsMax+1) {
		t.Addrs = append(t.Addrs, string(take(count())))
	}
	t.Multiple = uses == 2
	t.Expires = time.Unix(int64(expires), 0).UTC()
	// The last date that RFC 3339 can write.
	return t, b != nil && len(b) == 0 && (uses == 1 || uses == 2) && expires < 253402300800
}
