package simulated

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"netbank/core-adapter/iso8583"
	"netbank/core-adapter/simulated/congestion"
)

const childDirectory = "NETBANK_CORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDirectory); dir != "" {
		err := Run(context.Background(), Config{
			Addr: "127.0.0.1:0", Dir: dir, Model: fixed(0), Sync: true, Ready: func(wire, _ net.Addr) { fmt.Println(wire) },
		})
		fmt.Println(err)
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	customer    = "6222020000000000001"
	transmitted = "1123061500"
	timeout     = 20 * time.Second // of a test that would hang
)

func fixed(latency time.Duration) Model {
	m := DefaultModel()
	m.Model = congestion.Model{Kind: congestion.Fixed, Latency: latency}
	return m
}

// host is a core with one customer of 1,000.00 CNY, and its admin port.
type host struct {
	*Server
	t     testing.TB
	addr  string
	admin *httptest.Server
	dir   string
	log   *logLines
}

// logLines collects what the host logs.
type logLines struct {
	mu    sync.Mutex
	lines strings.Builder
	more  chan struct{}
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
	return l.lines.Write(b)
}

// wait waits until the log holds a text.
func (l *logLines) wait(t testing.TB, text string) {
	t.Helper()
	late := time.After(timeout)
	for {
		l.mu.Lock()
		got := l.lines.String()
		l.mu.Unlock()
		if strings.Contains(got, text) {
			return
		}
		select {
		case <-l.more:
		case <-late:
			t.Fatalf("the log never said %q; it says:\n%s", text, got)
		}
	}
}

func start(t testing.TB, cfg Config) *host {
	t.Helper()
	h := &host{t: t, log: &logLines{more: make(chan struct{}, 1)}}
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	h.dir = cfg.Dir
	cfg.Addr, cfg.Sync = "127.0.0.1:0", true
	cfg.Logger = testLogger(h.log)
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		t.Fatal(err)
	}
	h.Server, h.addr = s, l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	h.admin = httptest.NewServer(s.AdminHandler())
	t.Cleanup(func() {
		h.admin.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
	if _, err := s.OpenAccounts(strings.NewReader(`{"number":"` + customer + `","currency":"CNY","balanceMinor":100000}`)); err != nil {
		t.Fatal(err)
	}
	return h
}

// call asks the admin port.
func (h *host) call(method, path, body string) (int, string) {
	h.t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), method, h.admin.URL+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	answer, err := h.admin.Client().Do(request)
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func (h *host) put(path, body string) {
	h.t.Helper()
	if status, text := h.call(http.MethodPut, path, body); status != http.StatusOK {
		h.t.Fatalf("PUT %s %s: %d %s", path, body, status, text)
	}
}

// audit closes the host and audits what it left.
func (h *host) audit() Report {
	h.t.Helper()
	if err := h.Server.Close(); err != nil {
		h.t.Fatal(err)
	}
	report, err := Audit(h.dir)
	if err != nil {
		h.t.Fatal(err)
	}
	if !report.OK() {
		h.t.Errorf("audit: %v", report.Violations)
	}
	return report
}

// until waits for a condition.
func (h *host) until(what string, holds func() bool) {
	h.t.Helper()
	for late := time.Now().Add(timeout); !holds(); runtime.Gosched() {
		if time.Now().After(late) {
			h.t.Fatalf("never: %s", what)
		}
	}
}

// wantRefused connects and waits to be turned away, be it during the handshake or after it.
func (h *host) wantRefused() {
	h.t.Helper()
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(timeout))
	(&client{t: h.t, conn: conn, in: bufio.NewReader(conn)}).wantClosed()
}

// client is one connection of a bank.
type client struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
	stan int
}

func (h *host) dial() *client {
	h.t.Helper()
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(timeout))
	return &client{t: h.t, conn: conn, in: bufio.NewReader(conn)}
}

func (h *host) signedOn() *client {
	h.t.Helper()
	c := h.dial()
	if answer := c.ask(c.network(iso8583.NetworkSignOn)); !answer.Is(iso8583.FieldResponse, "00") {
		h.t.Fatalf("sign-on: %s", answer.Text(iso8583.FieldResponse))
	}
	return c
}

func (c *client) message(mti iso8583.MTI, fields map[int]string) *iso8583.Message {
	c.t.Helper()
	c.stan++
	m := new(iso8583.Message)
	m.Reset(mti)
	for field, value := range map[int]string{iso8583.FieldTransmission: transmitted, iso8583.FieldSTAN: fmt.Sprintf("%06d", c.stan)} {
		if err := m.Set(field, value); err != nil {
			c.t.Fatal(err)
		}
	}
	for field, value := range fields {
		if err := m.Set(field, value); err != nil {
			c.t.Fatal(err)
		}
	}
	return m
}

func (c *client) network(code string) *iso8583.Message {
	return c.message(iso8583.NetworkRequest, map[int]string{iso8583.FieldNetwork: code})
}

func rrn(payment int) string       { return fmt.Sprintf("A%011d", payment) }
func paymentID(payment int) string { return fmt.Sprintf("019ab0c4-5b7e-7c3a-9d2f-%012d", payment) }

func additional(t testing.TB, payment int) string {
	t.Helper()
	b, err := (&iso8583.Additional{PaymentID: paymentID(payment), CreditorAccount: "CN77", CreditorName: "测试商店", EndToEndID: "e2e"}).AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (c *client) debit(payment int, minor int64) *iso8583.Message {
	return c.message(iso8583.DebitRequest, map[int]string{
		iso8583.FieldAccount: customer, iso8583.FieldProcessing: iso8583.ProcessingDebit, iso8583.FieldAmount: fmt.Sprintf("%012d", minor),
		iso8583.FieldLocalTime: "141500", iso8583.FieldLocalDate: "1123", iso8583.FieldAcquirer: "104100", iso8583.FieldRRN: rrn(payment),
		iso8583.FieldTerminal: "NETBANK1", iso8583.FieldAcceptor: "NETBANK", iso8583.FieldAdditional: additional(c.t, payment), iso8583.FieldCurrency: "156",
	})
}

func (c *client) reversal(mti iso8583.MTI, payment int, minor int64) *iso8583.Message {
	original, err := (&iso8583.Original{MTI: iso8583.DebitRequest, STAN: 1, Transmission: transmitted, Acquirer: "104100"}).AppendTo(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.message(mti, map[int]string{
		iso8583.FieldAccount: customer, iso8583.FieldProcessing: iso8583.ProcessingDebit, iso8583.FieldAmount: fmt.Sprintf("%012d", minor),
		iso8583.FieldAcquirer: "104100", iso8583.FieldRRN: rrn(payment), iso8583.FieldAdditional: additional(c.t, payment),
		iso8583.FieldCurrency: "156", iso8583.FieldOriginal: string(original),
	})
}

func (c *client) inquiry(payment int) *iso8583.Message {
	only, err := (&iso8583.Additional{PaymentID: paymentID(payment)}).AppendTo(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.message(iso8583.InquiryRequest, map[int]string{
		iso8583.FieldAcquirer: "104100", iso8583.FieldRRN: rrn(payment), iso8583.FieldAdditional: string(only),
	})
}

func (c *client) balance() *iso8583.Message {
	return c.message(iso8583.BalanceRequest, map[int]string{
		iso8583.FieldAccount: customer, iso8583.FieldProcessing: iso8583.ProcessingBalance, iso8583.FieldLocalTime: "141500", iso8583.FieldLocalDate: "1123",
		iso8583.FieldAcquirer: "104100", iso8583.FieldRRN: "B00000000001", iso8583.FieldTerminal: "NETBANK1", iso8583.FieldAcceptor: "NETBANK", iso8583.FieldCurrency: "156",
	})
}

func (c *client) send(messages ...*iso8583.Message) {
	c.t.Helper()
	var out []byte
	for _, m := range messages {
		var err error
		if out, err = m.AppendTo(out); err != nil {
			c.t.Fatal(err)
		}
	}
	if _, err := c.conn.Write(out); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) receive() *iso8583.Message {
	c.t.Helper()
	frame, err := iso8583.ReadFrame(c.in, nil)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	m := new(iso8583.Message)
	if err := iso8583.Parse(frame, m); err != nil {
		c.t.Fatal(err)
	}
	if err := m.Check(); err != nil {
		c.t.Fatal(err)
	}
	return m
}

func (c *client) ask(m *iso8583.Message) *iso8583.Message {
	c.t.Helper()
	c.send(m)
	return c.receive()
}

// wants asks and holds the response code against what is wanted.
func (c *client) wants(code string, m *iso8583.Message) *iso8583.Message {
	c.t.Helper()
	answer := c.ask(m)
	if !answer.Is(iso8583.FieldResponse, code) {
		c.t.Errorf("%v: %s, want %s", m.MTI(), answer.Text(iso8583.FieldResponse), code)
	}
	return answer
}

// wantClosed waits for the end of the connection.
func (c *client) wantClosed() {
	c.t.Helper()
	if frame, err := iso8583.ReadFrame(c.in, nil); err == nil {
		c.t.Fatalf("the connection stands, and brought %q", frame)
	} else if e, ok := err.(net.Error); ok && e.Timeout() {
		c.t.Fatal("the connection stands")
	}
}
