package corelink

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	coreadapter "netbank/core-adapter"
	"netbank/core-adapter/iso8583"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testAccount = "6222021234567890123"

// scripted is a core of which each test writes the part: it signs connections on by itself, and leaves the rest to the
// test. Connections are in-memory pipes, whose every byte is handed over only when the other side reads; so time can be
// virtual, and a core that does not read is a core that does not read.
type scripted struct {
	t     *testing.T
	peers chan *peer
	log   bytes.Buffer

	mu      sync.Mutex
	refuse  error  // dialling fails with it
	signOn  string // code of the answer to a sign-on; "" is none
	dialled int
	writes  int // calls of Write by the link
	late    []coreadapter.LateAnswer
	seen    []Exchange
}

// peer is the core's side of one connection.
type peer struct {
	t  *testing.T
	nc net.Conn
	r  *bufio.Reader
}

// lockedWriter lets a log be written from several goroutines.
type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (w lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(b)
}

// countedConn counts writes.
type countedConn struct {
	net.Conn
	s *scripted
}

func (c countedConn) Write(b []byte) (int, error) {
	c.s.mu.Lock()
	c.s.writes++
	c.s.mu.Unlock()
	return c.Conn.Write(b)
}

func (s *scripted) dial(context.Context) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dialled++
	if s.refuse != nil {
		return nil, s.refuse
	}
	ours, theirs := net.Pipe()
	p := &peer{t: s.t, nc: theirs, r: bufio.NewReader(theirs)}
	code := s.signOn
	go func() {
		b, err := iso8583.ReadFrame(p.r, nil)
		if err != nil {
			return
		}
		var m iso8583.Message
		if err := iso8583.Parse(b, &m); err != nil || !m.Is(iso8583.FieldNetwork, iso8583.NetworkSignOn) {
			s.t.Errorf("the first message is no sign-on: %v, %v", m.MTI(), err)
		}
		if code == "" {
			return // the link will end the connection
		}
		if _, err := theirs.Write(answerTo(s.t, &m, code, nil)); err == nil && code == iso8583.CodeApproved {
			s.peers <- p
		}
	}()
	return countedConn{ours, s}, nil
}

func newScripted(t *testing.T) *scripted {
	return &scripted{t: t, peers: make(chan *peer, 1024), signOn: iso8583.CodeApproved}
}

// open starts a link to a scripted core, inside a bubble of virtual time. Where change leaves it open, it has one
// connection, and a zone that is not UTC.
func open(t *testing.T, change func(*Config)) (*Link, *scripted) {
	t.Helper()
	s := newScripted(t)
	return s.open(change), s
}

func (s *scripted) open(change func(*Config)) *Link {
	t := s.t
	t.Helper()
	cfg := Config{
		Addr: "127.0.0.1:8583", Acquirer: "102", Terminal: "NETBANK1", Acceptor: "NETBANKING", Conns: 1,
		Location: time.FixedZone("CST", 8*3600), Logger: slog.New(slog.NewTextHandler(lockedWriter{&s.mu, &s.log}, nil)),
		OnLate:  func(a coreadapter.LateAnswer) { s.mu.Lock(); s.late = append(s.late, a); s.mu.Unlock() },
		Observe: func(e Exchange) { s.mu.Lock(); s.seen = append(s.seen, e); s.mu.Unlock() },
		dial:    s.dial,
	}
	if change != nil {
		change(&cfg)
	}
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// bubble runs a test in virtual time. It fails when a goroutine outlives the link.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func (s *scripted) peer() *peer {
	s.t.Helper()
	select {
	case p := <-s.peers:
		return p
	case <-time.After(time.Hour): // virtual
		s.t.Fatal("the link did not connect")
		return nil
	}
}

func (s *scripted) logged() string { s.mu.Lock(); defer s.mu.Unlock(); return s.log.String() }

func (s *scripted) lates() []coreadapter.LateAnswer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]coreadapter.LateAnswer(nil), s.late...)
}

// read reads the next message of the link.
func (p *peer) read() *iso8583.Message {
	p.t.Helper()
	b, err := iso8583.ReadFrame(p.r, nil)
	if err != nil {
		p.t.Fatalf("reading a request: %v", err)
	}
	m := new(iso8583.Message)
	if err := iso8583.Parse(b, m); err != nil {
		p.t.Fatalf("reading a request: %v", err)
	}
	if err := m.Check(); err != nil {
		p.t.Fatalf("reading a request: %v", err)
	}
	return m
}

// ended waits for the link to end the connection, and fails if anything else comes before.
func (p *peer) ended() {
	p.t.Helper()
	if b, err := iso8583.ReadFrame(p.r, nil); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
		p.t.Fatalf("want the end of the connection, got %q, %v", b, err)
	}
}

func (p *peer) write(b []byte) {
	p.t.Helper()
	if _, err := p.nc.Write(b); err != nil {
		p.t.Fatalf("writing an answer: %v", err)
	}
}

func (p *peer) answer(request *iso8583.Message, code string, change func(*iso8583.Message)) {
	p.t.Helper()
	p.write(answerTo(p.t, request, code, change))
}

// answerTo builds the answer that a core gives, changed.
func answerTo(t *testing.T, request *iso8583.Message, code string, change func(*iso8583.Message)) []byte {
	t.Helper()
	var m iso8583.Message
	m.Reset(request.MTI().Answer())
	for _, field := range []int{2, 3, 4, 7, 11, 32, 37, 41, 49, 70} {
		if v, ok := request.Get(field); ok {
			if err := m.SetBytes(field, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	must(t, m.Set(iso8583.FieldResponse, code))
	if request.MTI() == iso8583.DebitRequest && code == iso8583.CodeApproved {
		must(t, m.Set(iso8583.FieldApproval, "A1B2C3"))
	}
	if change != nil {
		change(&m)
	}
	b, err := m.AppendTo(nil)
	must(t, err)
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// debit is payment number n.
func debit(n int) coreadapter.Debit {
	return coreadapter.Debit{
		Reference: coreadapter.Reference{
			PaymentID: paymentID(n), Transmission: "1111000001", STAN: uint32(n), RRN: "01" + digits(10, n),
		},
		Account: testAccount, Minor: 19900, Currency: "CNY",
		CreditorAccount: "DE89370400440532013000", CreditorName: "天猫商城", EndToEndID: "ORDER-1",
	}
}

func paymentID(n int) string { return "019ab0c4-5b7e-7c3a-9d2f-" + digits(12, n) }

func digits(width, n int) string {
	b := bytes.Repeat([]byte{'0'}, width)
	for i := width - 1; n > 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return string(b)
}

// within is a context that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// asked runs a call in its own goroutine and gives its answer when it has one.
func asked(call func() coreadapter.Answer) func() coreadapter.Answer {
	c := make(chan coreadapter.Answer, 1)
	go func() { c <- call() }()
	return func() coreadapter.Answer { return <-c }
}

// debiting sends payment n, with a second to send it in and ten to answer it in.
func debiting(t *testing.T, l *Link, n int) func() coreadapter.Answer {
	ctx := within(t, 10*time.Second)
	return asked(func() coreadapter.Answer { return l.Debit(ctx, debit(n), time.Now().Add(time.Second)) })
}
