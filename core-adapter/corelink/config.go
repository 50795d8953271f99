package corelink

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	coreadapter "netbank/core-adapter"
	"netbank/core-adapter/iso8583"
)

// The bounds of a link, where Config leaves them open.
const (
	DefaultConns       = 4     // connections
	MaxConns           = 64    // connections
	DefaultInFlightMax = 256   // messages in flight on one connection
	MaxInFlight        = 4096  // messages in flight on one connection
	DefaultWaitersMax  = 1024  // calls that wait for a connection with room
	DefaultLateMax     = 16384 // references whose late answers are still recognised
)

// Config is what a link is opened with. Addr, Acquirer, Terminal and Acceptor must be given; zero elsewhere means the
// default.
type Config struct {
	Addr string // host:port of the core
	// Pin is the core's certificate: exactly this one is accepted, whoever signed it and whenever it ends. Without it the
	// link is plain TCP, which is refused unless Addr is on loopback.
	Pin *x509.Certificate
	// Certificate is the bank's own, shown when the core asks for one. Optional.
	Certificate *tls.Certificate

	Acquirer string // field 32: 1 to 11 digits; no zero in front, which field 90 would lose
	Terminal string // field 41: up to 8 characters
	Acceptor string // field 42: up to 15 characters

	Conns       int // connections, 1 to MaxConns
	InFlightMax int // messages in flight on each, 1 to MaxInFlight
	WaitersMax  int // calls that may wait for a connection with room; more are NotSent at once
	LateMax     int // references remembered for late answers; about 500 bytes each
	Timeouts    Timeouts

	// Location is the zone of fields 12 and 13, the local time of the transaction. Nil means time.Local.
	Location *time.Location
	// OnLate is told each answer to a debit that Debit had returned in doubt, once for each debit. It runs on the
	// connection's reader: it must return quickly, and must not call the link.
	OnLate func(coreadapter.LateAnswer)
	// Observe is told each exchange when it ends, and each late answer: for metrics. It must return quickly.
	Observe func(Exchange)
	// Logger gets connections made and lost. Nil means silence.
	Logger *slog.Logger

	// dial takes the place of TCP and TLS in tests.
	dial func(context.Context) (net.Conn, error)
}

// Timeouts bounds each wait of a link. Zero means the default.
type Timeouts struct {
	Connect    time.Duration // dial, TLS and sign-on together; 5 s
	Up         time.Duration // how long a call waits while no connection at all is up; 200 ms
	Write      time.Duration // one write to the socket, after which the connection is given up; 2 s
	Answer     time.Duration // a call whose context has no deadline; 10 s
	EchoAfter  time.Duration // silence of the core before an echo; 30 s
	EchoAnswer time.Duration // silence after an echo before the connection is given up; 5 s
	BackoffMin time.Duration // first wait before connecting again, half of it random; 100 ms
	BackoffMax time.Duration // longest such wait; 5 s
}

// Op is a kind of exchange with the core.
type Op uint8

// The kinds.
const (
	OpDebit Op = iota
	OpInquire
	OpReverse
	OpBalance
	OpEcho
)

func (o Op) String() string {
	names := [...]string{"debit", "inquire", "reverse", "balance", "echo"}
	if int(o) < len(names) {
		return names[o]
	}
	return "invalid"
}

// Exchange is one ended exchange with the core, as metrics see it.
type Exchange struct {
	Op      Op
	Word    coreadapter.Word
	Code    string        // field 39 as the core sent it; empty without an answer. Not a metric label as it stands: see KnownCode
	Elapsed time.Duration // from the write to the answer or to giving up; 0 if nothing was written
	Late    bool          // the answer came after its call had returned in doubt
}

// KnownCode gives a response code that this wire defines as it is, none as "none" and any other as "other", so that a
// core cannot make up metric labels.
func KnownCode(code string) string {
	switch code {
	case "":
		return "none"
	case iso8583.CodeApproved, iso8583.CodeDeclined, iso8583.CodeRunning, iso8583.CodeNoAccount, iso8583.CodeReversed,
		iso8583.CodeUnknown, iso8583.CodeInsufficient, iso8583.CodeOverLimit, iso8583.CodeUnavailable,
		iso8583.CodeDuplicate, iso8583.CodeSystemError:
		return code
	}
	return "other"
}

// ErrConfig is what every error about a Config wraps.
var ErrConfig = errors.New("corelink: bad configuration")

// withDefaults fills what is open and judges the rest.
func (c Config) withDefaults() (Config, error) {
	t := &c.Timeouts
	for _, d := range []struct {
		at   *time.Duration
		name string
		def  time.Duration
	}{
		{&t.Connect, "Connect", 5 * time.Second},
		{&t.Up, "Up", 200 * time.Millisecond},
		{&t.Write, "Write", 2 * time.Second},
		{&t.Answer, "Answer", 10 * time.Second},
		{&t.EchoAfter, "EchoAfter", 30 * time.Second},
		{&t.EchoAnswer, "EchoAnswer", 5 * time.Second},
		{&t.BackoffMin, "BackoffMin", 100 * time.Millisecond},
		{&t.BackoffMax, "BackoffMax", 5 * time.Second},
	} {
		if *d.at == 0 {
			*d.at = d.def
		}
		if *d.at < 0 {
			return c, fmt.Errorf("%w: Timeouts.%s is %v; give a positive duration, or 0 for %v", ErrConfig, d.name, *d.at, d.def)
		}
	}
	for _, n := range []struct {
		at       *int
		name     string
		def, max int
	}{
		{&c.Conns, "Conns", DefaultConns, MaxConns},
		{&c.InFlightMax, "InFlightMax", DefaultInFlightMax, MaxInFlight},
		{&c.WaitersMax, "WaitersMax", DefaultWaitersMax, 1 << 16},
		{&c.LateMax, "LateMax", DefaultLateMax, 1 << 20},
	} {
		if *n.at == 0 {
			*n.at = n.def
		}
		if *n.at < 1 || *n.at > n.max {
			return c, fmt.Errorf("%w: %s is %d; give 1 to %d, or 0 for %d", ErrConfig, n.name, *n.at, n.max, n.def)
		}
	}
	if c.Location == nil {
		c.Location = time.Local
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.OnLate == nil {
		c.OnLate = func(coreadapter.LateAnswer) {}
	}
	if c.Observe == nil {
		c.Observe = func(Exchange) {}
	}
	if c.dial == nil {
		c.dial = c.dialTCP
	}
	return c, c.check()
}

func (c *Config) check() error {
	var m iso8583.Message
	m.Reset(iso8583.DebitRequest)
	for field, value := range map[int]string{
		iso8583.FieldAcquirer: c.Acquirer, iso8583.FieldTerminal: c.Terminal, iso8583.FieldAcceptor: c.Acceptor,
	} {
		if value == "" {
			return fmt.Errorf("%w: Acquirer, Terminal and Acceptor (fields 32, 41, 42) must all be given; the core's operator assigns them", ErrConfig)
		}
		if err := m.Set(field, value); err != nil {
			return fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	if c.Acquirer[0] == '0' {
		return fmt.Errorf("%w: the acquirer %q begins with a zero, which field 90 of a reversal cannot carry; give it without", ErrConfig, c.Acquirer)
	}
	host, _, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return fmt.Errorf("%w: the core's address %q is not host:port: %w", ErrConfig, c.Addr, err)
	}
	if c.Pin == nil && !onLoopback(host) {
		return fmt.Errorf("%w: the core at %s is not on loopback and no certificate is pinned; the link carries account numbers and moves money: give the core's certificate as Pin", ErrConfig, c.Addr)
	}
	return nil
}

func onLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// dialTCP connects, by TLS when a certificate is pinned.
func (c *Config) dialTCP(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", c.Addr)
	if err != nil {
		return nil, err
	}
	if c.Pin == nil {
		// "localhost" is only a name: what counts is where it led.
		if at, ok := nc.RemoteAddr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() {
			nc.Close()
			return nil, fmt.Errorf("%w: %s led to %s, which is not loopback, and no certificate is pinned", ErrConfig, c.Addr, nc.RemoteAddr())
		}
		return nc, nil
	}
	tc := tls.Client(nc, c.tlsConfig())
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, err
	}
	return tc, nil
}

func (c *Config) tlsConfig() *tls.Config {
	host, _, _ := net.SplitHostPort(c.Addr)
	t := &tls.Config{
		MinVersion: tls.VersionTLS12, // many cores' TLS ends at 1.2
		ServerName: host,
		// The chain and the name are not asked: the pin below is narrower than both, and holds on resumed connections too.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 || !bytes.Equal(s.PeerCertificates[0].Raw, c.Pin.Raw) {
				return errors.New("corelink: the core's certificate is not the pinned one; if the core has a new one, get it from its operator by another way and pin it")
			}
			return nil
		},
	}
	if c.Certificate != nil {
		t.Certificates = []tls.Certificate{*c.Certificate}
	}
	return t
}
