package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/frontend/ops"
)

// authority signs certificates and leaves them as files.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.issue("ca", nil, nil)
	return a
}

// issue makes NAME.pem and NAME-key.pem.
func (a *authority) issue(name string, parent *x509.Certificate, signer *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: parent == nil,
	}
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	if template.IsCA {
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			a.t.Fatal(err)
		}
		a.key = key
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + "-key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(a.dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
}

func (a *authority) flags(name, ca string) []string {
	a.issue(name, a.cert, a.key)
	return []string{"--operator-ca=" + ca, "--operator-cert=" + filepath.Join(a.dir, name+".pem"), "--operator-key=" + filepath.Join(a.dir, name+"-key.pem")}
}

func (a *authority) ca() string { return filepath.Join(a.dir, "ca.pem") }

// still is a node of which nothing is known.
type still struct{ ops.Bank }

func (still) Status() cluster.Status { return cluster.Status{} }

func (still) Refused(gate.Class) (cluster.Refusal, bool) { return cluster.Refusal{}, false }

// Off loopback the certificate is the operator's name, and no token is needed.
func TestOperatorIsKnownByACertificate(t *testing.T) {
	own, foreign := newAuthority(t), newAuthority(t)
	own.issue("node", own.cert, own.key)
	pair, err := tls.LoadX509KeyPair(filepath.Join(own.dir, "node.pem"), filepath.Join(own.dir, "node-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(own.cert)
	config, err := ops.ServerTLS(pair, pool)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	server := ops.Serve(l, config, logger)
	t.Cleanup(server.Close)
	handler, err := ops.New(ops.Config{Bank: still{}, Gatherer: prometheus.NewRegistry(), ClientCertificates: true, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	f := func(flags []string, codes ...int) {
		t.Helper()
		code, out, said := try("", false, append([]string{"status", "--operator=https://" + l.Addr().String()}, flags...)...)
		for _, want := range codes {
			if code == want {
				return
			}
		}
		t.Errorf("exit code %d, want one of %d\n%s%s", code, codes, out, said)
	}
	f(own.flags("me", own.ca()), 75) // the node is starting
	server.Handle(handler)
	f(own.flags("me", own.ca()), 0)
	f(own.flags("me", foreign.ca()), exitDenied) // that is not our node
	// The port's refusal comes after the client's half of the handshake, and may be lost with the connection.
	f(foreign.flags("stranger", own.ca()), exitDenied, exitUnreachable)
}
