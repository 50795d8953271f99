package peer

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

var someAddrs = []string{"10.0.0.1:7443", "coordinator-2.bank.example:7443", "[fd00::3]:7443"}

func TestATokenIsOneLineThatGivesBackWhatItHolds(t *testing.T) {
	r := newRig(t)
	token := r.newToken(TokenTerms{Addrs: someAddrs, Role: Coordinator, Multiple: true})
	line := token.Text()
	if strings.ContainsAny(line, " \r\n") || !strings.HasPrefix(line, "netbank_join1_") {
		t.Fatalf("the token is %q", line)
	}
	got, err := ParseToken("\n " + line + "\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if got.Text() != line || got.secret != token.secret || got.ID != token.ID || got.Cluster != "main" || got.Role != Coordinator || !got.Multiple ||
		!got.Expires.Equal(token.Expires) || fmt.Sprint(got.Addrs) != fmt.Sprint(someAddrs) || got.Fingerprints[0] != r.authority.Fingerprint() {
		t.Fatalf("ParseToken = %#v", got)
	}
}

func TestTheLongestTokenFitsItsBound(t *testing.T) {
	t0 := Token{Cluster: strings.Repeat("a", ClusterBytesMax), Fingerprints: make([]Fingerprint, AuthoritiesMax), Role: Worker, Expires: time.Unix(1, 0)}
	for range AddrsMax {
		t0.Addrs = append(t0.Addrs, strings.Repeat("a", AddrBytesMax-3)+":80")
	}
	line := t0.Text()
	if len(line) > TokenBytesMax {
		t.Fatalf("the longest token has %d bytes, TokenBytesMax is %d", len(line), TokenBytesMax)
	}
	if _, err := ParseToken(line); err != nil {
		t.Fatal(err)
	}
}

// line makes a token's line of any body, with a right checksum.
func line(body []byte) string {
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(bytes.Clone(body), checksum(body)))
}

func TestParseTokenIsStrictAndSaysWhatIsWrong(t *testing.T) {
	r := newRig(t)
	token := r.newToken(TokenTerms{Addrs: someAddrs, Role: Worker})
	good := token.Text()
	raw := must(base64.RawURLEncoding.DecodeString(strings.TrimPrefix(good, tokenPrefix)))
	body := raw[:len(raw)-4]
	refuse := func(line, want string) {
		t.Helper()
		_, err := ParseToken(line)
		if !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), want) {
			t.Fatalf("ParseToken = %v, want ErrToken that says %q", err, want)
		}
		if len(line) > 40 && strings.Contains(err.Error(), line[20:40]) {
			t.Fatalf("the error quotes the token: %v", err)
		}
	}
	with := func(at int, b byte) string {
		changed := bytes.Clone(body)
		changed[at] = b
		return line(changed)
	}
	refuse("", "does not begin with")
	refuse("hello", "does not begin with")
	refuse("netbank_join2_AAAA", "another version")
	refuse(tokenPrefix, "cut off")
	refuse(good[:len(good)-1], "c")
	slip := []byte(good)
	if slip[len(slip)/2] = 'A'; good[len(slip)/2] == 'A' {
		slip[len(slip)/2] = 'B'
	}
	refuse(string(slip), "checksum")
	refuse(good+"=", "characters that tokens do not have")
	refuse(good[:60]+"\n"+good[60:], "several lines")
	refuse(good[:60]+" "+good[60:], "characters that tokens do not have")
	refuse(good+strings.Repeat("A", TokenBytesMax), "the longest has 3072")
	refuse(line(body[:len(body)-1]), "parts do not fit")
	refuse(line(append(bytes.Clone(body), 0)), "parts do not fit")
	refuse(line(nil), "parts do not fit")
	refuse(with(0, 0), "parts do not fit")
	refuse(with(0, 3), "parts do not fit")
	refuse(with(1, 9), "the roles are")
	refuse(with(2, 0xff), "parts do not fit")
	fingerprints := 2 + 8 + 8 + tokenSecretBytes
	refuse(with(fingerprints, 0), "")
	refuse(with(fingerprints, 255), "")
	cluster := fingerprints + 1 + 32 + 1
	refuse(with(cluster, 'M'), "no cluster id")
	addrs := cluster + len("main")
	refuse(with(addrs, 0), "")
	refuse(with(addrs, 255), "")
	refuse(with(addrs+2, '/'+0x80), "no address")
}

func TestATokensSecretIsPrintedByTextOnly(t *testing.T) {
	r := newRig(t)
	token := r.newToken(TokenTerms{Addrs: someAddrs, Role: Worker})
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("made", "token", token)
	slog.New(slog.NewTextHandler(&log, nil)).Info("made", "token", token, "config", JoinConfig{Token: token})
	fmt.Fprintf(&log, "%v %+v %#v %s %q", token, token, token, token, token)
	fmt.Fprintf(&log, "%v %+v %#v", &token, JoinConfig{Token: token}, JoinConfig{Token: token})
	text := log.String()
	for _, secret := range []string{
		string(token.secret[:]), hex.EncodeToString(token.secret[:]), base64.StdEncoding.EncodeToString(token.secret[:]), fmt.Sprint(token.secret[:8])[1:20], token.Text(),
		fmt.Sprintf("%#v", token.secret[:4])[7:20],
	} {
		if strings.Contains(text, secret) {
			t.Fatalf("the secret was printed: %s", text)
		}
	}
	if !strings.Contains(text, token.ID.String()) {
		t.Fatalf("the token cannot be told from others: %s", text)
	}
}

func TestARecordKnowsItsTokenAndNothingElse(t *testing.T) {
	r := newRig(t)
	token := r.newToken(TokenTerms{Addrs: someAddrs, Role: Worker, Lifetime: time.Hour})
	record := r.tokens[token.ID]
	if bytes.Contains(record.Hash[:], token.secret[:8]) {
		t.Fatal("the record holds the secret")
	}
	check := func(secret []byte, at time.Time, want error) {
		t.Helper()
		if err := record.Check(secret, at); !errors.Is(err, want) {
			t.Fatalf("Check = %v, want %v", err, want)
		}
	}
	wrong := token.secret
	wrong[31] ^= 1
	check(token.secret[:], r.clock(), nil)
	check(token.secret[:], token.Expires.Add(-time.Nanosecond), nil)
	check(token.secret[:], token.Expires, ErrTokenExpired)
	// Who does not have the secret is not told that the token has expired.
	check(wrong[:], token.Expires, ErrTokenRefused)
	check(wrong[:], r.clock(), ErrTokenRefused)
	check(token.secret[:31], r.clock(), ErrTokenRefused)
	check(nil, r.clock(), ErrTokenRefused)
	if err := (TokenRecord{}).Check(nil, r.clock()); !errors.Is(err, ErrTokenRefused) {
		t.Fatalf("an empty record's Check = %v", err)
	}
}

func TestATokensTermsAreChecked(t *testing.T) {
	r := newRig(t)
	id := r.identity(1, Coordinator)
	refuse := func(terms TokenTerms, want string) {
		t.Helper()
		if _, _, err := NewToken(id, terms, r.clock()); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("NewToken = %v, want an error that says %q", err, want)
		}
	}
	refuse(TokenTerms{Role: Worker}, "1 to 7 addresses")
	refuse(TokenTerms{Role: Worker, Addrs: make([]string, 8)}, "1 to 7 addresses")
	refuse(TokenTerms{Role: Worker, Addrs: []string{"host"}}, "write host:port")
	refuse(TokenTerms{Role: Worker, Addrs: []string{":80"}}, "write host:port")
	refuse(TokenTerms{Role: Worker, Addrs: []string{"h:0"}}, "write host:port")
	refuse(TokenTerms{Role: Worker, Addrs: []string{"h:70000"}}, "write host:port")
	refuse(TokenTerms{Role: Worker, Addrs: []string{"h\n:80"}}, "write host:port")
	refuse(TokenTerms{Role: Worker, Addrs: []string{strings.Repeat("h", 255) + ":80"}}, "at most 255")
	refuse(TokenTerms{Addrs: someAddrs}, "the roles are")
	refuse(TokenTerms{Role: Worker, Addrs: someAddrs, Lifetime: -1}, "out of range")
	refuse(TokenTerms{Role: Worker, Addrs: someAddrs, Lifetime: TokenLifetimeMax + 1}, "out of range")
}

func FuzzParseToken(f *testing.F) {
	id := TokenID{1, 2, 3}
	token := Token{ID: id, Cluster: "main", Fingerprints: []Fingerprint{{1}}, Addrs: someAddrs, Role: Worker, Expires: time.Unix(1_790_000_000, 0)}
	f.Add(token.Text())
	token.Multiple, token.Role, token.Fingerprints = true, Coordinator, []Fingerprint{{1}, {2}}
	f.Add(token.Text())
	f.Add(tokenPrefix + "AAAA")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		for _, in := range []string{text, line([]byte(text))} {
			token, err := ParseToken(in)
			if err != nil {
				if !errors.Is(err, ErrToken) {
					t.Fatalf("ParseToken = %v, want ErrToken", err)
				}
				continue
			}
			if token.Text() != strings.TrimSpace(in) {
				t.Fatalf("%q was read and is written as %q", in, token.Text())
			}
		}
	})
}
