package simulated

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	coreadapter "netbank/core-adapter"
	"netbank/core-adapter/corelink"
)

// certificate makes one for 127.0.0.1, valid long enough for a test.
func certificate(t *testing.T) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, parsed
}

func TestRun_SpeaksTLSToAConnectorThatPinsItsCertificate(t *testing.T) {
	own, pin := certificate(t)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	addr, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- Run(ctx, Config{
			Addr: "127.0.0.1:0", Dir: t.TempDir(), Model: fixed(0), TLS: &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS13},
			Ready: func(wire, _ net.Addr) { addr <- wire.String() },
		})
	}()
	core, err := corelink.Open(corelink.Config{Addr: <-addr, Pin: pin, Acquirer: "104100", Terminal: "NETBANK1", Acceptor: "NETBANK", Conns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	if err := core.WaitUp(ctx); err != nil {
		t.Fatal(err)
	}
	if err := core.Ping(ctx); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// The bank's own connector against the host: both were written from the same description, by different hands.
func TestConnector_FindsEveryWordAtTheHost(t *testing.T) {
	m := DefaultModel()
	m.Debit, m.Balance, m.Inquiry, m.Reversal, m.CV = time.Millisecond, 0, 0, 0, 0
	h := start(t, Config{Model: m})
	late := make(chan coreadapter.LateAnswer, 1)
	core, err := corelink.Open(corelink.Config{
		Addr: h.addr, Acquirer: "104100", Terminal: "NETBANK1", Acceptor: "NETBANK", Conns: 2, Location: time.UTC,
		OnLate: func(a coreadapter.LateAnswer) { late <- a },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	payment := func(n int, minor int64) coreadapter.Debit {
		return coreadapter.Debit{
			Reference: coreadapter.Reference{PaymentID: paymentID(n), Transmission: transmitted, STAN: uint32(n), RRN: rrn(n)},
			Account:   customer, Minor: minor, Currency: "CNY", CreditorAccount: "CN77", CreditorName: "测试商店", EndToEndID: "e2e",
		}
	}
	debit := func(ctx context.Context, d coreadapter.Debit) coreadapter.Answer {
		return core.Debit(ctx, d, time.Now().Add(timeout))
	}
	f := func(what string, got coreadapter.Answer, word coreadapter.Word, code string) {
		t.Helper()
		if got.Word != word || got.ResponseCode != code {
			t.Errorf("%s: %v %q (%v), want %v %q", what, got.Word, got.ResponseCode, got.Err, word, code)
		}
	}
	if err := core.WaitUp(ctx); err != nil {
		t.Fatal(err)
	}
	if err := core.Ping(ctx); err != nil {
		t.Error(err)
	}
	first := debit(ctx, payment(1, 2500))
	f("debit", first, coreadapter.Approved, "00")
	if again := debit(ctx, payment(1, 2500)); again.ApprovalCode != first.ApprovalCode || first.ApprovalCode == "" {
		t.Errorf("approval %q, then %q", first.ApprovalCode, again.ApprovalCode)
	}
	f("debit of too much", debit(ctx, payment(2, 99_999_999)), coreadapter.Declined, "51")
	f("inquiry for a debit", core.Inquire(ctx, payment(1, 2500).Reference), coreadapter.Approved, "00")
	f("inquiry for a decline", core.Inquire(ctx, payment(2, 1).Reference), coreadapter.Declined, "05")
	f("inquiry for nothing", core.Inquire(ctx, payment(3, 1).Reference), coreadapter.Unknown, "25")
	f("reversal of nothing", core.Reverse(ctx, payment(3, 1), false), coreadapter.Approved, "00")
	f("reversal again", core.Reverse(ctx, payment(3, 1), true), coreadapter.Approved, "00")
	f("debit after its reversal", debit(ctx, payment(3, 1)), coreadapter.Reversed, "21")
	if minor, err := core.Balance(ctx, customer, "CNY"); err != nil || minor != 97500 {
		t.Errorf("balance %d (%v), want 97500", minor, err)
	}

	h.put("/faults", `{"capacity":0.000001}`)
	before := h.counts.debits.Load()
	impatient, giveUp := context.WithCancel(ctx)
	answer := make(chan coreadapter.Answer, 1)
	go func() { answer <- debit(impatient, payment(4, 700)) }()
	h.until("the debit is at the host", func() bool { return h.counts.debits.Load() > before })
	giveUp()
	f("debit given up", <-answer, coreadapter.InDoubt, "")
	f("inquiry meanwhile", core.Inquire(ctx, payment(4, 700).Reference), coreadapter.Running, "09")
	h.put("/faults", `{}`)
	select {
	case a := <-late:
		f("late answer", a.Answer, coreadapter.Approved, "00")
	case <-ctx.Done():
		t.Error("no late answer")
	}
	if report := h.audit(); report.Debits != 2 || report.Currencies["CNY"].Net != 3200 {
		t.Errorf("%+v", report)
	}
}
