package peer

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Identity is what a node shows and trusts: its key, its certificate, and the authorities of its cluster. It never changes;
// renewal and rotation make a new one.
type Identity struct {
	subject     Subject
	serial      Serial
	leaf        *x509.Certificate
	key         *ecdsa.PrivateKey
	authorities []*x509.Certificate
	roots       *x509.CertPool
	shown       *tls.Certificate // the leaf
	introduced  *tls.Certificate // the leaf and its authority, for those that know only the authority's fingerprint
}

// Identity makes a key and a certificate for a node: for the first node of a cluster, which has nobody to join.
func (a *Authority) Identity(to Subject, now time.Time) (*Identity, error) {
	key, csr, err := newRequest()
	if err != nil {
		return nil, err
	}
	issued, err := a.Issue(csr, to, now)
	if err != nil {
		return nil, err
	}
	return newIdentity(key, issued.Certificate, [][]byte{a.cert.Raw})
}

// newIdentity puts together what must fit: the certificate is the key's, and comes from one of the authorities. Whether it
// has lapsed is not asked: a node that was off for long should say so when it dials, not fail to read its own file.
func newIdentity(key *ecdsa.PrivateKey, certificate []byte, authorities [][]byte) (*Identity, error) {
	if len(certificate) > CertificateBytesMax {
		return nil, fmt.Errorf("%w: the certificate has %d bytes, at most %d are read", ErrIdentity, len(certificate), CertificateBytesMax)
	}
	leaf, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, fmt.Errorf("%w: the certificate cannot be read: %w", ErrIdentity, err)
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, fmt.Errorf("%w: the certificate is for another key", ErrIdentity)
	}
	if len(authorities) == 0 || len(authorities) > AuthoritiesMax {
		return nil, fmt.Errorf("%w: %d authorities, 1 to %d can be trusted at once; finish the rotation that is under way first", ErrIdentity, len(authorities), AuthoritiesMax)
	}
	id := &Identity{leaf: leaf, key: key, roots: x509.NewCertPool()}
	if id.subject, err = subjectOf(leaf); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	var ok bool
	if id.serial, ok = serialOf(leaf); !ok {
		return nil, fmt.Errorf("%w: the certificate's serial number has another form", ErrIdentity)
	}
	for _, der := range authorities {
		c, err := parseAuthority(der)
		if err != nil {
			return nil, err
		}
		if c.Subject.Organization[0] != id.subject.Cluster {
			return nil, fmt.Errorf("%w: an authority of cluster %q for a node of %q", ErrIdentity, clip(c.Subject.Organization[0], ClusterBytesMax), id.subject.Cluster)
		}
		id.authorities = append(id.authorities, c)
		id.roots.AddCert(c)
	}
	// At the middle of its life, whatever the clock says now.
	chains, err := verify(leaf, id.roots, leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore)/2), x509.ExtKeyUsageClientAuth)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	id.shown = &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	id.introduced = &tls.Certificate{Certificate: [][]byte{leaf.Raw, chains[0][len(chains[0])-1].Raw}, PrivateKey: key, Leaf: leaf}
	return id, nil
}

// verify checks a certificate against authorities, never against a host name. Errors are ErrAuthority, ErrLapsed or ErrCertificate.
func verify(leaf *x509.Certificate, roots *x509.CertPool, now time.Time, usage x509.ExtKeyUsage) ([][]*x509.Certificate, error) {
	chains, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
	if err != nil {
		return nil, certificateError(err)
	}
	return chains, nil
}

// certificateError gives an error of crypto/x509 the sentinel that says what to do.
func certificateError(err error) error {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("%w: %w", ErrAuthority, err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("%w: %w", ErrLapsed, err)
	}
	return fmt.Errorf("%w: %w", ErrCertificate, err)
}

// Subject gives whom the certificate names.
func (id *Identity) Subject() Subject { return id.subject }

// Serial gives the certificate's serial number.
func (id *Identity) Serial() Serial { return id.serial }

// NotAfter gives the end of the certificate.
func (id *Identity) NotAfter() time.Time { return id.leaf.NotAfter }

// Authority gives the fingerprint of the authority that signed the certificate.
func (id *Identity) Authority() Fingerprint { return FingerprintOf(id.introduced.Certificate[1]) }

// RenewAt gives when the certificate should be renewed: after two thirds of its life.
func (id *Identity) RenewAt() time.Time {
	return id.leaf.NotBefore.Add(id.leaf.NotAfter.Sub(id.leaf.NotBefore) / 3 * 2)
}

// Authorities gives the certificates of the trusted authorities in DER.
func (id *Identity) Authorities() [][]byte {
	var all [][]byte
	for _, a := range id.authorities {
		all = append(all, a.Raw)
	}
	return all
}

// Fingerprints gives those of the trusted authorities, for a token.
func (id *Identity) Fingerprints() []Fingerprint {
	var all []Fingerprint
	for _, a := range id.authorities {
		all = append(all, FingerprintOf(a.Raw))
	}
	return all
}

// Trusting gives the same identity with other authorities, in DER: 1 to AuthoritiesMax, one of which signed its certificate.
// ErrIdentity says that none did: renew first.
func (id *Identity) Trusting(authorities ...[]byte) (*Identity, error) {
	next, err := newIdentity(id.key, id.leaf.Raw, authorities)
	if errors.Is(err, ErrAuthority) {
		return nil, fmt.Errorf("%w: this node's own certificate comes from an authority that would no longer be trusted; renew it first", err)
	}
	return next, err
}

// replaces says why next may not take the place of id on a port.
func (id *Identity) replaces(next *Identity) error {
	if next == nil {
		return fmt.Errorf("%w: there is none", ErrIdentity)
	}
	if next.subject != id.subject {
		return fmt.Errorf("%w: %s cannot become %s; a node keeps cluster, number and role for life", ErrIdentity, id.subject, next.subject)
	}
	return nil
}

// sealedIdentity is what stands under the seal, in DER.
type sealedIdentity struct {
	Version     int
	Key         []byte // PKCS #8
	Certificate []byte
	Authorities [][]byte
}

// Seal gives key, certificate and authorities, sealed for a file.
func (id *Identity) Seal(s Sealer) ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(id.key)
	if err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	plain, err := asn1.Marshal(sealedIdentity{1, key, id.leaf.Raw, id.Authorities()})
	if err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	defer clear(plain)
	defer clear(key)
	return s.Seal(purposeIdentity, plain), nil
}

// OpenIdentity opens what Identity.Seal gave.
func OpenIdentity(o Opener, sealed []byte) (*Identity, error) {
	plain, err := o.Open(purposeIdentity, sealed)
	if err != nil {
		return nil, fmt.Errorf("peer: open this node's identity: %w", err)
	}
	defer clear(plain)
	var v sealedIdentity
	if rest, err := asn1.Unmarshal(plain, &v); err != nil || len(rest) > 0 || v.Version != 1 {
		return nil, fmt.Errorf("%w: the sealed identity has a form that this version does not know; was it written by a newer netbank?", ErrIdentity)
	}
	key, err := parseKey(v.Key)
	if err != nil {
		return nil, err
	}
	// What asn1 gives aliases plain, which is cleared.
	for i := range v.Authorities {
		v.Authorities[i] = slices.Clone(v.Authorities[i])
	}
	return newIdentity(key, slices.Clone(v.Certificate), v.Authorities)
}
