package session

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// Bounds of what a browser sends of a passkey.
const (
	// AssertionMax and AttestationMax bound the JSON of either, in bytes. Attestations that state the authenticator's make are not asked for; who sends
	// one all the same may have its certificates in it.
	AssertionMax   = 4 << 10
	AttestationMax = 10 << 10
	// PasskeyWait is for how long the browser lets the customer reach for the authenticator.
	PasskeyWait = 3 * time.Minute
	// passkeyDepth bounds the nesting of that JSON.
	passkeyDepth = 8
)

// PasskeySite is whose passkeys are taken. The zero value takes none.
type PasskeySite struct {
	Domain string // WebAuthn's relying party id: the passkeys belong to it
	Origin string // scheme, host and port of the pages, as browsers write them
	Name   string // what authenticators call the bank
}

// NewPasskeySite makes the site of pages at a public address. domain is the pages' host or a parent of it, and empty for the host. Passkeys need https,
// or localhost, and a name: at an address of digits there are none, and the zero site says so.
func NewPasskeySite(public, domain, name string) (PasskeySite, error) {
	u, err := url.Parse(public)
	if err != nil || u.Host == "" {
		return PasskeySite{}, fmt.Errorf("session: %q is no public address", public)
	}
	host := strings.ToLower(u.Hostname())
	_, digits := netip.ParseAddr(host)
	if domain == "" {
		if digits == nil || u.Scheme != "https" && host != "localhost" {
			return PasskeySite{}, nil
		}
		domain = host
	}
	if domain != host && !strings.HasSuffix(host, "."+domain) || digits == nil {
		return PasskeySite{}, fmt.Errorf("session: passkeys of %q cannot be used at %s; name its host, or a domain that it is in", domain, public)
	}
	origin := u.Scheme + "://" + host
	if port := u.Port(); port != "" && !(u.Scheme == "https" && port == "443") && !(u.Scheme == "http" && port == "80") {
		origin += ":" + port
	}
	return PasskeySite{Domain: domain, Origin: origin, Name: name}, nil
}

// On tells whether passkeys are taken.
func (p *PasskeySite) On() bool { return p.Domain != "" }

// algorithms are those of the keys that are taken, the preferred one first: ECDSA on P-256, Ed25519, and RSA as Windows' authenticators have it.
var algorithms = [...]webauthncose.COSEAlgorithmIdentifier{webauthncose.AlgES256, webauthncose.AlgEdDSA, webauthncose.AlgRS256}

type descriptor struct {
	Type string                    `json:"type"`
	ID   protocol.URLEncodedBase64 `json:"id"`
}

func descriptors(keys []journal.Passkey) []descriptor {
	all := make([]descriptor, 0, len(keys))
	for i := range keys {
		all = append(all, descriptor{"public-key", keys[i].ID})
	}
	return all
}

// AssertionOptions is what the page's script asks the browser with: PublicKeyCredentialRequestOptionsJSON (WebAuthn level 3).
func (p *PasskeySite) AssertionOptions(challenge [sha256.Size]byte, keys []journal.Passkey) string {
	return optionsJSON(map[string]any{
		"challenge": protocol.URLEncodedBase64(challenge[:]), "rpId": p.Domain, "timeout": PasskeyWait.Milliseconds(),
		"userVerification": protocol.VerificationRequired, "allowCredentials": descriptors(keys),
	})
}

// CreationOptions is the same for a new passkey: PublicKeyCredentialCreationOptionsJSON. The browser refuses those that the customer has.
func (p *PasskeySite) CreationOptions(session *Session, challenge [sha256.Size]byte, keys []journal.Passkey) string {
	parameters := make([]map[string]any, len(algorithms))
	for i, algorithm := range algorithms {
		parameters[i] = map[string]any{"type": "public-key", "alg": algorithm}
	}
	// The handle names the customer to the authenticator, and says nothing by itself.
	handle := sha256.Sum256(fmt.Appendf(nil, "netbank passkey user v1/%s/%d", p.Domain, session.Customer))
	return optionsJSON(map[string]any{
		"challenge": protocol.URLEncodedBase64(challenge[:]), "rp": map[string]string{"id": p.Domain, "name": p.Name},
		"user":             map[string]any{"id": protocol.URLEncodedBase64(handle[:16]), "name": session.Username, "displayName": session.Name},
		"pubKeyCredParams": parameters, "timeout": PasskeyWait.Milliseconds(), "attestation": protocol.PreferNoAttestation,
		"excludeCredentials":     descriptors(keys),
		"authenticatorSelection": map[string]any{"userVerification": protocol.VerificationRequired, "residentKey": protocol.ResidentKeyRequirementDiscouraged, "requireResidentKey": false},
	})
}

// optionsJSON encodes strings, numbers and lists of them, which cannot fail.
func optionsJSON(options map[string]any) string {
	text, err := json.Marshal(options)
	if err != nil {
		return "{}"
	}
	return string(text)
}

// CheckPasskey checks an assertion, as a browser's JSON has it, for a challenge. The attempt is committed before (rule 9), although nobody guesses
// signatures: who fails five times at any factor has to wait. Whether the signature counter goes on, the journal decides when it takes the proof.
//
// Errors: ErrMalformed, ErrReplaced and ErrEnded (no attempt was counted), ErrPasskey, ErrWrong, ErrLocked, ErrUnavailable.
func (s *Store) CheckPasskey(session *Session, challenge [sha256.Size]byte, assertion []byte, deadline time.Time) (proof journal.Proof, err error) {
	proof, err = s.checkPasskey(session, challenge, assertion, deadline)
	s.metrics.passkeys.WithLabelValues(outcomeOf(err)).Inc()
	return proof, err
}

func (s *Store) checkPasskey(session *Session, challenge [sha256.Size]byte, assertion []byte, deadline time.Time) (journal.Proof, error) {
	given, err := parseAssertion(assertion)
	if err != nil || !s.site.On() {
		return journal.Proof{}, ErrMalformed
	}
	sum := sha256.Sum256(assertion)
	tried := rightCode{session.Customer, session.Epoch, string(sum[:])}
	if err := s.try(session, tried, command.Factor_FACTOR_PASSKEY, deadline); err != nil {
		return journal.Proof{}, err
	}
	c, err := s.customer(session.Customer)
	if err != nil {
		return journal.Proof{}, err
	}
	at := slices.IndexFunc(c.Passkeys, func(k journal.Passkey) bool { return bytes.Equal(k.ID, given.RawID) })
	if at < 0 {
		return journal.Proof{}, ErrPasskey
	}
	if err := s.site.verify(given, challenge, c.Passkeys[at].PublicKey); err != nil {
		return journal.Proof{}, fmt.Errorf("%w: %w", ErrWrong, err)
	}
	s.right.add(tried, s.wall())
	return journal.Proof{
		Factor: command.Factor_FACTOR_PASSKEY, Credential: c.Passkeys[at].ID, SignCount: given.Response.AuthenticatorData.Counter,
	}, nil
}

func encodedChallenge(challenge [sha256.Size]byte) string {
	return protocol.URLEncodedBase64(challenge[:]).String()
}

// verify does WebAuthn level 3, 7.2: type, challenge, origin, relying party, presence, verification of the user, signature.
func (p *PasskeySite) verify(a *protocol.ParsedCredentialAssertionData, challenge [sha256.Size]byte, key []byte) error {
	return a.Verify(encodedChallenge(challenge), p.Domain, "", []string{p.Origin}, nil, nil, protocol.TopOriginExplicitVerificationMode,
		false, true, true, key, protocol.SignaturePolicy{})
}

// parseAssertion reads what a browser sent. It never panics: the library parses CBOR and JSON of strangers.
func parseAssertion(text []byte) (*protocol.ParsedCredentialAssertionData, error) {
	if len(text) == 0 || len(text) > AssertionMax || depth(text) > passkeyDepth {
		return nil, ErrMalformed
	}
	return protocol.ParseCredentialRequestResponseBytes(text)
}

// depth is how deep JSON is nested at most, brackets in its strings counted too.
func depth(text []byte) (deepest int) {
	now := 0
	for _, c := range text {
		switch c {
		case '{', '[':
			now++
			deepest = max(deepest, now)
		case '}', ']':
			now--
		}
	}
	return deepest
}

// ErrPasskeyMade says that what the browser made is no passkey for this customer, page and moment, or of a kind that is not taken.
var ErrPasskeyMade = errors.New("session: no passkey for this page: its key is of a kind that is not taken, or it was made elsewhere, without the user's verification, or too long ago")

// MadePasskey checks what a browser made for a challenge (WebAuthn level 3, 7.1). The authenticator's make is neither asked for nor believed, so its
// statement is not looked at. The result has no name yet.
func (s *Store) MadePasskey(challenge [sha256.Size]byte, attestation []byte) (journal.Passkey, error) {
	if !s.site.On() || len(attestation) == 0 || len(attestation) > AttestationMax || depth(attestation) > passkeyDepth {
		return journal.Passkey{}, ErrMalformed
	}
	made, err := protocol.ParseCredentialCreationResponseBytes(attestation)
	if err != nil {
		return journal.Passkey{}, ErrMalformed
	}
	data := &made.Response.AttestationObject.AuthData
	err = made.Response.CollectedClientData.Verify(encodedChallenge(challenge), protocol.CreateCeremony, []string{s.site.Origin}, nil, nil, protocol.TopOriginExplicitVerificationMode, false)
	if err == nil {
		domain := sha256.Sum256([]byte(s.site.Domain))
		err = data.Verify(domain[:], nil, true, true)
	}
	if err == nil && !data.Flags.HasAttestedCredentialData() {
		err = errors.New("it holds no credential")
	}
	id, key := data.AttData.CredentialID, data.AttData.CredentialPublicKey
	limits := journal.DefaultLimits()
	switch {
	case err != nil:
	case !bytes.Equal(id, made.RawID) || len(id) == 0 || len(id) > limits.CredentialBytes:
		err = fmt.Errorf("an id of %d bytes; 1 to %d", len(id), limits.CredentialBytes)
	case len(key) == 0 || len(key) > limits.PublicKeyBytes:
		err = fmt.Errorf("a key of %d bytes; 1 to %d", len(key), limits.PublicKeyBytes)
	default:
		err = takenKey(key)
	}
	if err != nil {
		return journal.Passkey{}, fmt.Errorf("%w: %w", ErrPasskeyMade, err)
	}
	return journal.Passkey{ID: id, PublicKey: key, SignCount: data.Counter}, nil
}

// takenKey refuses keys of other kinds than were asked for.
func takenKey(key []byte) error {
	parsed, err := webauthncose.ParsePublicKey(key)
	if err != nil {
		return err
	}
	var algorithm int64
	switch k := parsed.(type) {
	case webauthncose.EC2PublicKeyData:
		algorithm = k.Algorithm
	case webauthncose.OKPPublicKeyData:
		algorithm = k.Algorithm
	case webauthncose.RSAPublicKeyData:
		algorithm = k.Algorithm
	}
	if !slices.Contains(algorithms[:], webauthncose.COSEAlgorithmIdentifier(algorithm)) {
		return fmt.Errorf("algorithm %d", algorithm)
	}
	return nil
}
