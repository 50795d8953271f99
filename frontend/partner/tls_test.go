package partner

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"netbank/frontend/edge"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key = a.sign(t, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) sign(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (a *authority) leaf(t *testing.T, serial int64, usage x509.ExtKeyUsage) tls.Certificate {
	t.Helper()
	cert, key := a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "leaf"}, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
	})
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func TestOnlyARegisteredCertificateOpensThePartnerPaths(t *testing.T) {
	ca, foreign := newAuthority(t), newAuthority(t)
	shop := ca.leaf(t, 2, x509.ExtKeyUsageClientAuth)
	b := newBank(t)
	b.put(t, 1, sha256.Sum256(shop.Certificate[0]), 0)
	now := time.Now()
	api, err := New(Config{
		Bank: b, Links: links{}, Keys: keys{}, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		PublicURL: "https://pay.bank.example", Clock: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	config, err := ServerTLS(ca.leaf(t, 3, x509.ExtKeyUsageServerAuth), ca.pool())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := ListenTLS("127.0.0.1:0", config, edge.Limits{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server := api.Server(edge.Limits{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	defer func() {
		server.Shutdown()
		<-served
	}()
	client := func(version uint16, certs ...tls.Certificate) *http.Client {
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool(), Certificates: certs, MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(4)}}}
		t.Cleanup(c.CloseIdleConnections)
		return c
	}
	get := func(c *http.Client, path string) (reply, error) {
		r, err := c.Get("https://" + ln.Addr().String() + path)
		if err != nil {
			return reply{}, err
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		return reply{r, body}, nil
	}
	f := func(c *http.Client, path string, status int, code string) {
		t.Helper()
		r, err := get(c, path)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, r, status, code)
	}
	const unknown = pathPayments + "/" + someUUID
	nobody, known := client(0), client(0, shop)
	f(nobody, "/discovery/status", 200, "")
	f(nobody, unknown, 401, "CERTIFICATE_MISSING")
	f(known, unknown, 404, "RESOURCE_UNKNOWN")
	known.CloseIdleConnections() // the next connection resumes the session, and is still the shop's
	f(known, unknown, 404, "RESOURCE_UNKNOWN")
	f(client(0, ca.leaf(t, 4, x509.ExtKeyUsageClientAuth)), unknown, 401, "CERTIFICATE_INVALID")
	if _, err := get(client(0, foreign.leaf(t, 5, x509.ExtKeyUsageClientAuth)), unknown); err == nil {
		t.Fatal("a certificate of another authority was taken")
	}
	if _, err := get(client(tls.VersionTLS12, shop), "/discovery/status"); err == nil {
		t.Fatal("TLS 1.2 was spoken")
	}
	// A certificate that is withdrawn is refused on connections that are open, within PartnerFresh.
	b.put(t, 1, fingerprintOf("another certificate"), 0)
	now = now.Add(2 * time.Second)
	f(known, unknown, 401, "CERTIFICATE_INVALID")
	if _, ok := b.PartnerByFingerprint(sha256.Sum256(shop.Certificate[0])); ok {
		t.Fatal("the test is wrong")
	}
}
