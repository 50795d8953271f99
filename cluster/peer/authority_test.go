package peer

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"netbank/cluster/kek"
)

func TestASubjectHasOneSpelling(t *testing.T) {
	good := func(uri string, want Subject) {
		t.Helper()
		got, err := ParseSubject(uri)
		if err != nil || got != want {
			t.Fatalf("ParseSubject(%q) = %v, %v", uri, got, err)
		}
		if got.String() != uri || got.uri().String() != uri {
			t.Fatalf("%q is written as %q and %q", uri, got, got.uri())
		}
	}
	bad := func(uri string) {
		t.Helper()
		if got, err := ParseSubject(uri); err == nil {
			t.Fatalf("ParseSubject(%q) = %v, want an error", uri, got)
		}
	}
	good("netbank://main/coordinator/1", Subject{"main", 1, Coordinator})
	good("netbank://bank-7/worker/4294967295", Subject{"bank-7", 4294967295, Worker})
	bad("")
	bad("netbank://main/worker/0")
	bad("netbank://main/worker/01")
	bad("netbank://main/worker/+1")
	bad("netbank://main/worker/4294967296")
	bad("netbank://main/leader/1")
	bad("netbank://main/Worker/1")
	bad("netbank://Main/worker/1")
	bad("netbank://-main/worker/1")
	bad("netbank:///worker/1")
	bad("netbank://main/worker/1/")
	bad("netbank://main/worker/1?x")
	bad("netbank://main@evil/worker/1")
	bad("https://main/worker/1")
	bad("netbank://" + strings.Repeat("a", ClusterBytesMax+1) + "/worker/1")
}

func TestANodesNameHasOneSpelling(t *testing.T) {
	if got, err := ParseName(Name(12)); err != nil || got != 12 {
		t.Fatalf("ParseName = %v, %v", got, err)
	}
	for _, bad := range []string{"", "node-", "node-0", "node-01", "node--1", "12", "node-4294967296", "127.0.0.1:80"} {
		if got, err := ParseName(bad); err == nil {
			t.Fatalf("ParseName(%q) = %v, want an error", bad, got)
		}
	}
}

func TestKeysLeaveThePackageSealedOnly(t *testing.T) {
	r := newRig(t)
	id := r.identity(3, Worker)
	sealedAuthority, sealedIdentity := must(r.authority.Seal(sealer(1))), must(id.Seal(sealer(1)))
	for what, secret := range map[string][]byte{
		"the authority's key": must(r.authority.key.Bytes()), "the node's key": must(id.key.Bytes()),
	} {
		if bytes.Contains(sealedAuthority, secret) || bytes.Contains(sealedIdentity, secret) {
			t.Fatalf("%s stands in a sealed value", what)
		}
	}
	a, err := OpenAuthority(sealer(1), sealedAuthority)
	if err != nil || a.Cluster() != "main" || a.Fingerprint() != r.authority.Fingerprint() || !a.key.Equal(r.authority.key) {
		t.Fatalf("OpenAuthority = %v, %v", a, err)
	}
	opened, err := OpenIdentity(sealer(1), sealedIdentity)
	if err != nil || opened.Subject() != id.Subject() || opened.Serial() != id.Serial() || !opened.key.Equal(id.key) || len(opened.Authorities()) != 1 {
		t.Fatalf("OpenIdentity = %v, %v", opened, err)
	}
	if _, err := OpenAuthority(sealer(2), sealedAuthority); !errors.Is(err, kek.ErrSealed) {
		t.Fatalf("OpenAuthority under another key = %v", err)
	}
	if _, err := OpenIdentity(sealer(1), sealedAuthority); !errors.Is(err, kek.ErrSealed) {
		t.Fatalf("OpenIdentity of an authority = %v", err)
	}
	if _, err := OpenIdentity(sealer(1), sealer(1).Seal(purposeIdentity, []byte("0"))); !errors.Is(err, ErrIdentity) {
		t.Fatalf("OpenIdentity of something else = %v", err)
	}
	if _, err := OpenAuthority(sealer(1), sealer(1).Seal(purposeAuthority, nil)); !errors.Is(err, ErrIdentity) {
		t.Fatalf("OpenAuthority of something else = %v", err)
	}
}

// requestFor makes a certificate request that asks for everything.
func requestFor(t testing.TB, key any) []byte {
	t.Helper()
	evil, _ := url.Parse("netbank://main/coordinator/1")
	return must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "node-1"}, DNSNames: []string{"node-1"}, URIs: []*url.URL{evil},
	}, key))
}

func TestIssueTakesNothingFromARequestButItsKey(t *testing.T) {
	r := newRig(t)
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	issued, err := r.authority.Issue(requestFor(t, key), Subject{"main", 9, Worker}, r.clock())
	if err != nil {
		t.Fatal(err)
	}
	leaf := must(x509.ParseCertificate(issued.Certificate))
	if s, err := subjectOf(leaf); err != nil || s != (Subject{"main", 9, Worker}) {
		t.Fatalf("the certificate names %v, %v", s, err)
	}
	if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature || !leaf.NotAfter.Equal(issued.NotAfter) {
		t.Fatalf("the certificate can do more than it should: %+v", leaf.KeyUsage)
	}
	if life := leaf.NotAfter.Sub(r.clock()); life > CertificateLifetime || life < CertificateLifetime-2*time.Second {
		t.Fatalf("the certificate lives %v, want %v", life, CertificateLifetime)
	}
	_, node := must2(ed25519.GenerateKey(rand.Reader))
	if _, err := r.authority.Issue(requestFor(t, node), Subject{"main", 9, Worker}, r.clock()); err != nil {
		t.Fatalf("Issue for an Ed25519 key = %v", err)
	}
}

func must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic(err)
	}
	return a, b
}

func TestIssueRefusesWhatIsNoRequestOfANode(t *testing.T) {
	r := newRig(t)
	refuse := func(request []byte, to Subject, at time.Time, want string) {
		t.Helper()
		if _, err := r.authority.Issue(request, to, at); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("Issue = %v, want an error that says %q", err, want)
		}
	}
	to := Subject{"main", 2, Worker}
	_, good, _ := newRequest()
	forged := bytes.Clone(good)
	forged[len(forged)-1] ^= 1
	refuse(nil, to, r.clock(), "cannot be read")
	refuse(make([]byte, RequestBytesMax+1), to, r.clock(), "at most 2048")
	refuse(forged, to, r.clock(), "not signed with its own key")
	refuse(requestFor(t, must(rsa.GenerateKey(rand.Reader, 2048))), to, r.clock(), "ECDSA on P-256")
	refuse(requestFor(t, must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))), to, r.clock(), "ECDSA on P-256")
	refuse(good, Subject{"other", 2, Worker}, r.clock(), `issues nothing for "other"`)
	refuse(good, Subject{"main", 0, Worker}, r.clock(), "numbered from 1")
	refuse(good, Subject{"main", 2, 0}, r.clock(), "the roles are")
	refuse(good, to, r.clock().Add(AuthorityLifetime+time.Hour), "rotate the authority")
	// Near the end of the authority a certificate ends with it.
	late, err := r.authority.Issue(good, to, r.clock().Add(AuthorityLifetime-time.Hour))
	if err != nil || late.NotAfter.After(r.authority.cert.NotAfter) {
		t.Fatalf("Issue = until %v, %v; the authority ends at %v", late.NotAfter, err, r.authority.cert.NotAfter)
	}
}

func TestAnIdentityHoldsOnlyWhatFits(t *testing.T) {
	r := newRig(t)
	other := must(NewAuthority("main", r.clock()))
	foreign := must(NewAuthority("other", r.clock()))
	id := r.identity(1, Coordinator)
	refuse := func(want string, authorities ...[]byte) {
		t.Helper()
		if _, err := id.Trusting(authorities...); !errors.Is(err, ErrIdentity) || !strings.Contains(err.Error(), want) {
			t.Fatalf("Trusting = %v, want ErrIdentity that says %q", err, want)
		}
	}
	refuse("1 to 2 can be trusted")
	refuse("finish the rotation", r.authority.Certificate(), other.Certificate(), other.Certificate())
	refuse("renew it first", other.Certificate())
	refuse(`of cluster "other"`, r.authority.Certificate(), foreign.Certificate())
	refuse("not one of a netbank authority", r.authority.Certificate(), id.leaf.Raw)
	refuse("cannot be read", r.authority.Certificate(), []byte("x"))
	refuse("at most 4096", r.authority.Certificate(), make([]byte, CertificateBytesMax+1))
	both, err := id.Trusting(r.authority.Certificate(), other.Certificate())
	if err != nil || len(both.Fingerprints()) != 2 {
		t.Fatalf("Trusting two = %v", err)
	}
	key, csr, _ := newRequest()
	issued := must(r.authority.Issue(csr, Subject{"main", 1, Coordinator}, r.clock()))
	if _, err := newIdentity(id.key, issued.Certificate, r.authorities); !errors.Is(err, ErrIdentity) || !strings.Contains(err.Error(), "another key") {
		t.Fatalf("an identity of another key = %v", err)
	}
	if _, err := newIdentity(key, make([]byte, CertificateBytesMax+1), r.authorities); !errors.Is(err, ErrIdentity) {
		t.Fatalf("an identity of an oversize certificate = %v", err)
	}
}

func TestRenewalIsDueAfterTwoThirdsOfACertificatesLife(t *testing.T) {
	r := newRig(t)
	id := r.identity(1, Worker)
	due := id.RenewAt().Sub(r.clock())
	if due > 20*24*time.Hour || due < 20*24*time.Hour-2*ClockSkewMax {
		t.Fatalf("renewal is due after %v, want about 20 days", due)
	}
}

func FuzzParseSubject(f *testing.F) {
	f.Add("netbank://main/coordinator/1")
	f.Add("netbank://a-b/worker/4294967295")
	f.Add("netbank://main/worker/01")
	f.Add("netbank://main:80@x/worker/1")
	f.Fuzz(func(t *testing.T, uri string) {
		if s, err := ParseSubject(uri); err == nil && (s.String() != uri || s.check() != nil) {
			t.Fatalf("ParseSubject(%q) = %v", uri, s)
		}
	})
}
