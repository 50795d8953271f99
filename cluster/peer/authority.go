package peer

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// Bounds of certificates. docs/limits.md lists them.
const (
	// CertificateLifetime is how long a node's certificate is valid: one that leaks is of little use for long.
	CertificateLifetime = 30 * 24 * time.Hour
	// AuthorityLifetime is how long an authority's certificate is valid. Rotations come by decision, not by this.
	AuthorityLifetime = 10 * 365 * 24 * time.Hour
	// AuthoritiesMax is the number of authorities that a node trusts at once: the current one, and the other of a rotation.
	AuthoritiesMax = 2
	// RequestBytesMax is the size of a certificate request; one of netbank has about 260 bytes.
	RequestBytesMax = 2 << 10
	// CertificateBytesMax is the size of a certificate; one of netbank has about 500 bytes.
	CertificateBytesMax = 4 << 10
	// ClockSkewMax is how long before its making a certificate counts as valid, for nodes whose clocks are behind.
	ClockSkewMax = 5 * time.Minute
)

// The purposes under which keys are sealed.
const (
	purposeAuthority = "cluster-authority"
	purposeIdentity  = "node-identity"
)

// Sealer seals a secret for storage. *kek.Key is one.
type Sealer interface {
	Seal(purpose string, secret []byte) []byte
}

// Opener opens what a Sealer sealed for the same purpose. *kek.Key is one.
type Opener interface {
	Open(purpose string, sealed []byte) ([]byte, error)
}

// Fingerprint is the SHA-256 of a certificate, the same that `openssl x509 -fingerprint -sha256` shows.
type Fingerprint [sha256.Size]byte

// String gives 64 hexadecimal digits.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// FingerprintOf hashes a certificate in DER.
func FingerprintOf(der []byte) Fingerprint { return sha256.Sum256(der) }

// Authority signs the certificates of one cluster's nodes. It never changes and is safe for concurrent use.
type Authority struct {
	cluster string
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
}

// NewAuthority makes an authority of a cluster, valid from now.
func NewAuthority(cluster string, now time.Time) (*Authority, error) {
	if err := CheckCluster(cluster); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	serial := newSerial()
	template := &x509.Certificate{
		SerialNumber: serial,
		// A number in the name tells the two authorities of a rotation apart, for people and for chain building.
		Subject:               pkix.Name{Organization: []string{cluster}, CommonName: fmt.Sprintf("netbank authority %.8x", serial.Bytes())},
		NotBefore:             now.Add(-ClockSkewMax).UTC(),
		NotAfter:              now.Add(AuthorityLifetime).UTC(),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	cert, err := parseAuthority(der)
	if err != nil {
		return nil, err
	}
	return &Authority{cluster: cluster, cert: cert, key: key}, nil
}

func newSerial() *big.Int {
	var b Serial
	rand.Read(b[:])
	b[0] &= 0x7f // positive in DER without a byte more
	return new(big.Int).SetBytes(b[:])
}

// parseAuthority reads an authority's certificate and the cluster that it names.
func parseAuthority(der []byte) (*x509.Certificate, error) {
	if len(der) > CertificateBytesMax {
		return nil, fmt.Errorf("%w: an authority's certificate has %d bytes, at most %d are read", ErrIdentity, len(der), CertificateBytesMax)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: an authority's certificate cannot be read: %w", ErrIdentity, err)
	}
	if !c.IsCA || !c.BasicConstraintsValid || c.KeyUsage&x509.KeyUsageCertSign == 0 || len(c.Subject.Organization) != 1 || !knownKey(c.PublicKey) {
		return nil, fmt.Errorf("%w: the certificate %q is not one of a netbank authority", ErrIdentity, clip(c.Subject.String(), 128))
	}
	return c, nil
}

// knownKey says whether a public key is of a kind whose checking costs little. RSA keys can be made to cost much.
func knownKey(public any) bool {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return true
	}
	return false
}

// Cluster gives the id of the cluster that the authority signs for.
func (a *Authority) Cluster() string { return a.cluster }

// Certificate gives the authority's own certificate in DER. It is no secret.
func (a *Authority) Certificate() []byte { return a.cert.Raw }

// NotAfter gives the end of the authority's certificate. What it signs ends by then.
func (a *Authority) NotAfter() time.Time { return a.cert.NotAfter }

// Fingerprint gives the fingerprint of the authority's certificate.
func (a *Authority) Fingerprint() Fingerprint { return FingerprintOf(a.cert.Raw) }

// sealedAuthority is what stands under the seal, in DER.
type sealedAuthority struct {
	Version     int
	Key         []byte // PKCS #8
	Certificate []byte
}

// Seal gives key and certificate, sealed for the journal or a file.
func (a *Authority) Seal(s Sealer) ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	plain, err := asn1.Marshal(sealedAuthority{1, key, a.cert.Raw})
	if err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	defer clear(plain)
	defer clear(key)
	return s.Seal(purposeAuthority, plain), nil
}

// OpenAuthority opens what Authority.Seal gave.
func OpenAuthority(o Opener, sealed []byte) (*Authority, error) {
	plain, err := o.Open(purposeAuthority, sealed)
	if err != nil {
		return nil, fmt.Errorf("peer: open the cluster's authority: %w", err)
	}
	defer clear(plain)
	var v sealedAuthority
	if rest, err := asn1.Unmarshal(plain, &v); err != nil || len(rest) > 0 || v.Version != 1 {
		return nil, fmt.Errorf("%w: the sealed authority has a form that this version does not know; was it written by a newer netbank?", ErrIdentity)
	}
	key, err := parseKey(v.Key)
	if err != nil {
		return nil, err
	}
	cert, err := parseAuthority(slices.Clone(v.Certificate)) // which may alias plain
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%w: the authority's key is not its certificate's", ErrIdentity)
	}
	return &Authority{cluster: cert.Subject.Organization[0], cert: cert, key: key}, nil
}

func parseKey(pkcs8 []byte) (*ecdsa.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(pkcs8)
	key, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: not an ECDSA key on P-256", ErrIdentity)
	}
	return key, nil
}

// Issued is a new certificate.
type Issued struct {
	Certificate []byte // DER
	Serial      Serial
	NotAfter    time.Time
}

// Issue signs a certificate for the key of a certificate request. Nothing else of the request counts: to is the
// cluster's decision. Errors are ErrRequest, or say what is wrong with to.
func (a *Authority) Issue(request []byte, to Subject, now time.Time) (Issued, error) {
	csr, err := checkRequest(request)
	if err != nil {
		return Issued{}, err
	}
	if err := to.check(); err != nil {
		return Issued{}, err
	}
	if to.Cluster != a.cluster {
		return Issued{}, fmt.Errorf("peer: the authority of cluster %q issues nothing for %q", a.cluster, to.Cluster)
	}
	until := now.Add(CertificateLifetime)
	if until.After(a.cert.NotAfter) {
		until = a.cert.NotAfter
	}
	if !now.Before(until) {
		return Issued{}, fmt.Errorf("%w: the authority's own certificate ended at %s; rotate the authority", ErrLapsed, a.cert.NotAfter.Format(time.RFC3339))
	}
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{Organization: []string{a.cluster}, CommonName: Name(to.Node)},
		NotBefore:             now.Add(-ClockSkewMax).UTC(),
		NotAfter:              until.UTC(),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	template.URIs = append(template.URIs, to.uri())
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, csr.PublicKey, a.key)
	if err != nil {
		return Issued{}, fmt.Errorf("peer: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return Issued{}, fmt.Errorf("peer: %w", err)
	}
	serial, _ := serialOf(cert)
	return Issued{Certificate: der, Serial: serial, NotAfter: cert.NotAfter}, nil
}

// checkRequest reads a certificate request and checks that its sender holds the key.
func checkRequest(der []byte) (*x509.CertificateRequest, error) {
	if len(der) > RequestBytesMax {
		return nil, fmt.Errorf("%w: the certificate request has %d bytes, at most %d are read", ErrRequest, len(der), RequestBytesMax)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("%w: the certificate request cannot be read: %w", ErrRequest, err)
	}
	if !knownKey(csr.PublicKey) {
		return nil, fmt.Errorf("%w: the key of a certificate request is ECDSA on P-256, or Ed25519", ErrRequest)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: the certificate request is not signed with its own key: %w", ErrRequest, err)
	}
	return csr, nil
}

// newRequest makes a key and a certificate request for it.
func newRequest() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("peer: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, nil, fmt.Errorf("peer: %w", err)
	}
	return key, csr, nil
}
