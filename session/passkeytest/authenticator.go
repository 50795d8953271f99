// Package passkeytest is an authenticator for tests: it makes passkeys and assertions as a browser would send them, and can be made to do it wrong. It is
// part of no program.
package passkeytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// Authenticator holds passkeys, as a customer's device does, and is the browser in front of it.
type Authenticator struct {
	Origin   string // of the page that the browser shows
	Counts   bool   // it keeps a signature counter
	Count    uint32 // the last one
	Careless bool   // it does not verify who uses it

	keys map[string]*ecdsa.PrivateKey // by id
}

// New makes an authenticator that counts, behind a browser at that origin.
func New(origin string) *Authenticator {
	return &Authenticator{Origin: origin, Counts: true, keys: make(map[string]*ecdsa.PrivateKey)}
}

// Flags of authenticator data (WebAuthn level 3, 6.1).
const (
	present  = 1 << 0
	verified = 1 << 2
	attested = 1 << 6
)

type options struct {
	Challenge string `json:"challenge"`
	RPID      string `json:"rpId"`
	RP        struct {
		ID string `json:"id"`
	} `json:"rp"`
	AllowCredentials []struct {
		ID string `json:"id"`
	} `json:"allowCredentials"`
}

func read(text string) (o options, err error) {
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return o, fmt.Errorf("passkeytest: the options: %w", err)
	}
	if o.RPID == "" {
		o.RPID = o.RP.ID
	}
	return o, nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// data is authenticator data without an attested credential.
func (a *Authenticator) data(domain string, flags byte) []byte {
	if !a.Careless {
		flags |= verified
	}
	if a.Counts {
		a.Count++
	}
	sum := sha256.Sum256([]byte(domain))
	return binary.BigEndian.AppendUint32(append(sum[:], flags|present), a.Count)
}

func (a *Authenticator) client(ceremony, challenge string) []byte {
	text, _ := json.Marshal(map[string]any{"type": ceremony, "challenge": challenge, "origin": a.Origin, "crossOrigin": false})
	return text
}

// Create makes a passkey for CreationOptions, and gives the browser's RegistrationResponseJSON.
func (a *Authenticator) Create(creation string) (string, error) {
	o, err := read(creation)
	if err != nil {
		return "", err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	point, err := key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		return "", err
	}
	id := make([]byte, 32)
	rand.Read(id)
	a.keys[string(id)] = key
	data := append(a.data(o.RPID, attested), make([]byte, 16)...) // an AAGUID that says nothing
	data = append(binary.BigEndian.AppendUint16(data, uint16(len(id))), id...)
	// COSE_Key (RFC 9053, 7.1.1): kty EC2, alg ES256, crv P-256, x, y.
	data = append(data, 0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20)
	data = append(append(append(data, point[1:33]...), 0x22, 0x58, 0x20), point[33:]...)
	// {"fmt": "none", "attStmt": {}, "authData": bytes} in CBOR.
	object := append([]byte{0xa3, 0x63}, "fmt"...)
	object = append(append(object, 0x64), "none"...)
	object = append(append(object, 0x67), "attStmt"...)
	object = append(append(append(object, 0xa0), 0x68), "authData"...)
	object = append(binary.BigEndian.AppendUint16(append(object, 0x59), uint16(len(data))), data...)
	text, err := json.Marshal(map[string]any{
		"id": encode(id), "rawId": encode(id), "type": "public-key", "clientExtensionResults": map[string]any{},
		"response": map[string]any{"clientDataJSON": encode(a.client("webauthn.create", o.Challenge)), "attestationObject": encode(object)},
	})
	return string(text), err
}

// Get signs the challenge of AssertionOptions with the first of the allowed passkeys that is here, and gives the browser's AuthenticationResponseJSON.
func (a *Authenticator) Get(request string) (string, error) {
	o, err := read(request)
	if err != nil {
		return "", err
	}
	for _, allowed := range o.AllowCredentials {
		id, err := base64.RawURLEncoding.DecodeString(allowed.ID)
		if err != nil {
			return "", fmt.Errorf("passkeytest: %w", err)
		}
		key, ok := a.keys[string(id)]
		if !ok {
			continue
		}
		data, client := a.data(o.RPID, 0), a.client("webauthn.get", o.Challenge)
		sum := sha256.Sum256(client)
		digest := sha256.Sum256(append(append([]byte{}, data...), sum[:]...))
		signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			return "", err
		}
		text, err := json.Marshal(map[string]any{
			"id": encode(id), "rawId": encode(id), "type": "public-key", "clientExtensionResults": map[string]any{},
			"response": map[string]any{"clientDataJSON": encode(client), "authenticatorData": encode(data), "signature": encode(signature)},
		})
		return string(text), err
	}
	return "", fmt.Errorf("passkeytest: none of the %d passkeys that are allowed is here", len(o.AllowCredentials))
}
