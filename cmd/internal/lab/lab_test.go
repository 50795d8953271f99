package lab

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"netbank/bench/demo"
	"netbank/frontend/message"
)

func TestDemoCustomersAreTheSameForTheSameNumber(t *testing.T) {
	seen := make(map[string]bool)
	for n := 1; n <= 1000; n++ {
		a, b := person(n, "hash"), person(n, "hash")
		if a.Username != b.Username || a.TOTP != b.TOTP || a.Accounts[0] != b.Accounts[0] {
			t.Fatalf("customer %d is not always the same", n)
		}
		for _, key := range append([]string{a.Username, a.TOTP}, a.Accounts...) {
			if seen[key] {
				t.Fatalf("customer %d shares %s with another", n, key)
			}
			seen[key] = true
		}
		if len(a.Accounts[0]) != 19 {
			t.Fatalf("account %s of customer %d does not fit field 2", a.Accounts[0], n)
		}
	}
}

func TestCertificatesLetTheShopInAndNobodyElse(t *testing.T) {
	dir := t.TempDir()
	if err := makePKI(dir); err != nil {
		t.Fatal(err)
	}
	first, err := fingerprint(filepath.Join(dir, shopCertFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := makePKI(dir); err != nil {
		t.Fatal(err)
	}
	if again, _ := fingerprint(filepath.Join(dir, shopCertFile)); again != first || len(first) != 64 {
		t.Errorf("the shop's certificate changed at the second start")
	}
	client, err := clientTLS(filepath.Join(dir, caFile), filepath.Join(dir, shopCertFile), filepath.Join(dir, shopKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, serverCertFile), filepath.Join(dir, serverKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: client.RootCAs}
	server.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), slog.LevelInfo)
	server.StartTLS()
	defer server.Close()
	resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: client}}).Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	stranger := client.Clone()
	stranger.Certificates = nil
	if _, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: stranger}}).Get(server.URL); err == nil {
		t.Error("a client without a certificate was let in")
	}
}

func TestPhoneShowsTheCodeThatTheCustomersSeedGives(t *testing.T) {
	p := person(1, "")
	w := httptest.NewRecorder()
	inbox := func(to string) ([]received, error) {
		return []received{{Message: message.Message{To: to, Text: "<b>sent to" + to}}}, nil
	}
	phone([]demo.Identity{p.Identity}, inbox).ServeHTTP(w, httptest.NewRequest("GET", "/demo-phone?username="+p.Username, nil))
	now, _ := totp.GenerateCode(p.TOTP, time.Now())
	before, _ := totp.GenerateCode(p.TOTP, time.Now().Add(-30*time.Second))
	if page := w.Body.String(); !strings.Contains(page, now[:3]+" "+now[3:]) && !strings.Contains(page, before[:3]+" "+before[3:]) {
		t.Errorf("the phone shows no code:\n%s", page)
	}
	if page := w.Body.String(); !strings.Contains(page, "&lt;b&gt;sent to"+strings.ReplaceAll(p.Phone, "+", "&#43;")) && !strings.Contains(page, "&lt;b&gt;sent to"+p.Phone) {
		t.Errorf("the phone shows no message:\n%s", page)
	}
	w = httptest.NewRecorder()
	phone(nil, inbox).ServeHTTP(w, httptest.NewRequest("GET", "/demo-phone?username=%3Cscript%3E", nil))
	if strings.Contains(w.Body.String(), "<script>") {
		t.Error("the phone lets markup through")
	}
}

func TestShopBelievesOnlySignedNotifications(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	s := &Shop{logger: slog.New(slog.NewTextHandler(io.Discard, nil)), now: func() time.Time { return now }, orders: map[string]*order{}, keys: []ed25519.PublicKey{public}}
	s.remember(&order{Payment: "p1", Status: "RCVD"})
	tell := func(body, stamp, signed string) int {
		r := httptest.NewRequest("POST", "/webhook", strings.NewReader(body))
		r.Header.Set("webhook-id", "m1")
		r.Header.Set("webhook-timestamp", stamp)
		r.Header.Set("webhook-signature", "v1a,"+base64.StdEncoding.EncodeToString(ed25519.Sign(private, []byte(signed))))
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		s.keys = []ed25519.PublicKey{public}
		return w.Code
	}
	stamp := strconv.FormatInt(now.Unix(), 10)
	settled := `{"type":"payment.settled","data":{"paymentId":"p1","transactionStatus":"ACSC","version":3}}`
	if code := tell(settled, stamp, "m1."+stamp+"."+strings.Replace(settled, "p1", "p2", 1)); code != http.StatusUnauthorized || s.orders["p1"].Status != "RCVD" {
		t.Errorf("a notification signed for another body was answered %d", code)
	}
	old := strconv.FormatInt(now.Add(-time.Hour).Unix(), 10)
	if code := tell(settled, old, "m1."+old+"."+settled); code != http.StatusUnauthorized {
		t.Errorf("an old notification was answered %d", code)
	}
	if code := tell(settled, stamp, "m1."+stamp+"."+settled); code != http.StatusNoContent || s.orders["p1"].Status != "ACSC" {
		t.Errorf("a signed notification was answered %d, the order is %s", code, s.orders["p1"].Status)
	}
	doubt := `{"type":"payment.in-doubt","data":{"paymentId":"p1","transactionStatus":"PDNG","version":2}}`
	if code := tell(doubt, stamp, "m1."+stamp+"."+doubt); code != http.StatusNoContent || s.orders["p1"].Status != "ACSC" {
		t.Errorf("an older version was believed: %d, %s", code, s.orders["p1"].Status)
	}
}

func TestResetRemovesOnlyADemoBank(t *testing.T) {
	dir := t.TempDir()
	if err := Reset(dir, false, io.Discard); err == nil {
		t.Error("a folder without demo.json was removed")
	}
	if err := os.WriteFile(filepath.Join(dir, demo.Name), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bank.pid"), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Reset(dir, false, io.Discard); err == nil || !strings.Contains(err.Error(), "running") {
		t.Errorf("a running bank was reset: %v", err)
	}
	os.Remove(filepath.Join(dir, "bank.pid"))
	if err := Reset(dir, true, io.Discard); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error("a dry run removed something")
	}
	if err := Reset(dir, false, io.Discard); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("nothing was removed")
	}
}

func FuzzWebhook(f *testing.F) {
	f.Add("1700000000", "v1a,AAAA", `{"data":{"paymentId":"p1"}}`)
	f.Add("", "", "")
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, stamp, signature, body string) {
		s := &Shop{logger: slog.New(slog.NewTextHandler(io.Discard, nil)), now: func() time.Time { return time.Unix(1_700_000_000, 0) }, orders: map[string]*order{}, keys: []ed25519.PublicKey{public}}
		r := httptest.NewRequest("POST", "/webhook", strings.NewReader(body))
		r.Header.Set("webhook-timestamp", stamp)
		r.Header.Set("webhook-signature", signature)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusUnauthorized {
			t.Fatalf("an unsigned notification was answered %d", w.Code)
		}
	})
}
