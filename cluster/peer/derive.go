package peer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"time"
)

// DerivedSecretBytesMin is the least length of the secret of DeriveAuthority: that of a key on P-256.
const DerivedSecretBytesMin = 32

// The life of a derived authority. It is fixed, since all founders must make the same certificate, whenever they do.
func derivedLife() (from, until time.Time) {
	return time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC)
}

// DeriveAuthority makes a cluster's first authority out of a secret that its founders share: the same secret and cluster give the
// same key and, to the byte, the same certificate, so that three empty nodes trust each other from the first packet. It gives
// nothing away: who has the secret (a key-encryption key, say) can open the sealed authority anyway. Another one takes its place by
// a rotation. The key is that of FIPS 186-5, A.2.1; the certificate is signed as in RFC 6979.
func DeriveAuthority(cluster string, secret []byte) (*Authority, error) {
	if err := CheckCluster(cluster); err != nil {
		return nil, err
	}
	if len(secret) < DerivedSecretBytesMin {
		return nil, fmt.Errorf("peer: an authority is derived from a secret of %d bytes or more, this one has %d", DerivedSecretBytesMin, len(secret))
	}
	draw := func(what string, n int) ([]byte, error) {
		b, err := hkdf.Key(sha256.New, secret, nil, "netbank cluster authority v1\x00"+what+"\x00"+cluster, n)
		if err != nil {
			return nil, fmt.Errorf("peer: %w", err)
		}
		return b, nil
	}
	// 64 bits more than the order has, so that the remainder is as good as even.
	wide, err := draw("key", 40)
	if err != nil {
		return nil, err
	}
	defer clear(wide)
	order := new(big.Int).Sub(elliptic.P256().Params().N, big.NewInt(1))
	d := new(big.Int).SetBytes(wide)
	d.Add(d.Mod(d, order), big.NewInt(1))
	raw := d.FillBytes(make([]byte, 32))
	defer clear(raw)
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
	if err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	serial, err := draw("serial", len(Serial{}))
	if err != nil {
		return nil, err
	}
	serial[0] = serial[0]&0x7f | 0x40 // positive, and never shorter
	return selfSigned(cluster, key, serial)
}

func selfSigned(cluster string, key *ecdsa.PrivateKey, serial []byte) (*Authority, error) {
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	// crypto/x509 would make the number of the key by a rule that changes with its versions; this one stays.
	id := sha256.Sum256(point)
	from, until := derivedLife()
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), SubjectKeyId: id[:20], SignatureAlgorithm: x509.ECDSAWithSHA256,
		Subject:   pkix.Name{Organization: []string{cluster}, CommonName: fmt.Sprintf("netbank authority %.8x", serial)},
		NotBefore: from, NotAfter: until,
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), plainSigner{key})
	if err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	cert, err := parseAuthority(der)
	if err != nil {
		return nil, err
	}
	return &Authority{cluster: cluster, cert: cert, key: key}, nil
}

// plainSigner signs without randomness (RFC 6979): the same message gets the same signature.
type plainSigner struct{ key *ecdsa.PrivateKey }

// Public implements crypto.Signer.
func (s plainSigner) Public() crypto.PublicKey { return s.key.Public() }

// Sign implements crypto.Signer.
func (s plainSigner) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.key.Sign(nil, digest, opts)
}
