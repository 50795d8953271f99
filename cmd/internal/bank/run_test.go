package bank_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"netbank/cluster/kek"
	"netbank/cmd/internal/bank"
	"netbank/core-adapter/simulated"
)

// running is a bank in this process, with a simulated core behind it.
type running struct {
	config bank.Config
	stop   context.CancelFunc
	ended  chan error
}

func start(t *testing.T, change func(*bank.Config)) *running {
	t.Helper()
	dir := t.TempDir()
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	ctx, stop := context.WithCancel(context.Background())
	wire := make(chan net.Addr, 1)
	core := make(chan error, 1)
	go func() {
		core <- simulated.Run(ctx, simulated.Config{
			Addr: "127.0.0.1:0", Dir: filepath.Join(dir, "core"), Logger: logger, Ready: func(at, _ net.Addr) { wire <- at },
		})
	}()
	var at net.Addr
	select {
	case at = <-wire:
	case err := <-core:
		t.Fatal(err)
	}
	cert, key := certificate(t, dir)
	if err := kek.Generate(filepath.Join(dir, "kek")); err != nil {
		t.Fatal(err)
	}
	c := bank.Config{
		DataDir: filepath.Join(dir, "bank"), KEKFile: filepath.Join(dir, "kek"), BankName: "Test bank", OperatorTokenFile: filepath.Join(dir, "token"),
		CustomerAddr: free(t), CustomerURL: "http://localhost", PartnerAddr: free(t), PartnerCert: cert, PartnerKey: key, PartnerCA: cert,
		OperatorAddr: free(t), CoreAddr: at.String(), CoreSeats: 8, CoreAcquirer: "1", CoreTerminal: "T1", CoreAcceptor: "A1",
	}
	if change != nil {
		change(&c)
	}
	r := &running{config: c, stop: stop, ended: make(chan error, 1)}
	ready := make(chan struct{})
	go func() { r.ended <- bank.Run(ctx, c, logger, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-r.ended:
		stop()
		<-core
		t.Fatalf("the bank did not open: %v", err)
	}
	t.Cleanup(func() {
		stop()
		if err := <-r.ended; err != nil {
			t.Errorf("the bank closed with %v", err)
		}
		if err := <-core; err != nil {
			t.Errorf("the core closed with %v", err)
		}
	})
	return r
}

// free gives an address that nobody listens on now. Its port is none of those that the system gives away by itself, to another test's
// connection for example.
func free(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+mathrand.IntN(10_000)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port between 10,000 and 20,000")
	return ""
}

func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// All metrics of a running bank, as a scraper sees them, after each door was used.
func TestMetricsAreWellFormedBoundedAndDocumented(t *testing.T) {
	r := start(t, nil)
	get(t, "http://"+r.config.CustomerAddr+"/")
	get(t, "http://"+r.config.CustomerAddr+"/pay/nothing")
	get(t, "http://"+r.config.OperatorAddr+"/readyz")
	_, text := get(t, "http://"+r.config.OperatorAddr+"/metrics")
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "netbank_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	guide, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	prefix := regexp.MustCompile("`(netbank_[a-z]+_|go_|process_)`")
	var documented []string
	for _, m := range prefix.FindAllStringSubmatch(string(guide), -1) {
		documented = append(documented, m[1])
	}
	series := make(map[string]int)
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name = strings.Fields(name)[0]
			known := false
			for _, d := range documented {
				known = known || strings.HasPrefix(name, d)
			}
			if !known {
				t.Errorf("docs/operations.md does not name the family of %s", name)
			}
		}
		if !strings.HasPrefix(line, "#") {
			series[line[:strings.IndexAny(line+" ", "{ ")]]++
		}
		for _, label := range []string{"user", "customer=", "payment", "partner=", "account", "path="} {
			if i := strings.Index(line, "{"); i >= 0 && strings.Contains(line[i:], label) && !strings.Contains(line, `listener="`) {
				t.Errorf("a label names somebody: %s", line)
			}
		}
	}
	for name, n := range series {
		if n > 700 { // a histogram of 14 buckets for each of at most 50 routes
			t.Errorf("%s has %d series", name, n)
		}
	}
}

func TestReadyAndDiscoveryAnswerOnceTheBankIsOpen(t *testing.T) {
	r := start(t, nil)
	deadline := time.Now().Add(10 * time.Second)
	for {
		code, text := get(t, "http://"+r.config.OperatorAddr+"/readyz?verbose")
		if code == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready: %s", text)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if code, page := get(t, "http://"+r.config.OperatorAddr+"/"); code != http.StatusOK || !strings.Contains(page, "Payments are getting through") {
		t.Errorf("the operator's page answered %d:\n%s", code, page)
	}
	if code, page := get(t, "http://"+r.config.CustomerAddr+"/"); code != http.StatusOK || !strings.Contains(page, "Test bank") {
		t.Errorf("the customer's door answered %d:\n%s", code, page)
	}
}

func TestTakenAddressIsToldBeforeTheJournalIsOpened(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	cert, key := certificate(t, dir)
	c := bank.Config{
		DataDir: filepath.Join(dir, "bank"), KEKFile: filepath.Join(dir, "kek"), OperatorTokenFile: filepath.Join(dir, "token"),
		CustomerAddr: l.Addr().String(), CustomerURL: "http://localhost", PartnerAddr: free(t), PartnerCert: cert, PartnerKey: key, PartnerCA: cert,
		OperatorAddr: free(t), CoreAddr: "127.0.0.1:1", CoreSeats: 8,
	}
	err = bank.Run(context.Background(), c, slog.New(slog.NewTextHandler(io.Discard, nil)), nil)
	if code := err.(*bank.Error).ExitCode(); code != bank.ExitAddress || !strings.Contains(err.Error(), "--customer-addr") {
		t.Errorf("Run = %v (code %d)", err, code)
	}
	if _, err := os.Stat(c.DataDir); err == nil {
		t.Error("the journal was opened all the same")
	}
}

// With certificates the port needs no token, and answers nobody else.
func TestOperatorPortWithCertificatesAnswersOnlyWhoShowsOne(t *testing.T) {
	r := start(t, func(c *bank.Config) {
		c.OperatorCert, c.OperatorKey, c.OperatorCA, c.OperatorTokenFile = c.PartnerCert, c.PartnerKey, c.PartnerCA, ""
	})
	pair, err := tls.LoadX509KeyPair(r.config.OperatorCert, r.config.OperatorKey)
	if err != nil {
		t.Fatal(err)
	}
	f := func(scheme string, certificates []tls.Certificate, want int) {
		t.Helper()
		// The certificate names no host; whom it vouches for is not the question here.
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certificates}}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get(scheme + "://" + r.config.OperatorAddr + "/api/v1/status")
		code := 0
		if err == nil {
			code = resp.StatusCode
			resp.Body.Close()
		}
		if code != want {
			t.Errorf("%s with %d certificates answered %d (%v), want %d", scheme, len(certificates), code, err, want)
		}
	}
	f("https", []tls.Certificate{pair}, http.StatusOK)
	f("https", nil, 0)
	f("http", nil, http.StatusBadRequest) // net/http's own words to who speaks plain HTTP to a TLS port
}
