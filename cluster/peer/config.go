package peer

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"netbank/cluster/journal"
)

// The protocols of the port, as ALPN names them (RFC 7301).
const (
	ALPNRaft   = "netbank-raft/1"
	ALPNStream = "netbank-stream/1"
	ALPNJoin   = "netbank-join/1"
	ALPNRenew  = "netbank-renew/1"
)

// kind is a protocol of the port, as bounds and metrics count it.
type kind uint8

const (
	kindRaft kind = iota
	kindStream
	kindJoin
	kindRenew
	kinds
)

func (k kind) alpn() string {
	return [kinds]string{ALPNRaft, ALPNStream, ALPNJoin, ALPNRenew}[k]
}

func (k kind) String() string { return [kinds]string{"raft", "stream", "join", "renew"}[k] }

func kindOf(alpn string) (kind, bool) {
	for k := range kinds {
		if k.alpn() == alpn {
			return k, true
		}
	}
	return 0, false
}

// Limits bounds a port. Zero fields count as the defaults.
type Limits struct {
	// Handshakes is the number of accepted connections that have not shown who they are; one more pushes out the oldest.
	Handshakes int
	// Raft is the number of accepted connections for Raft; each coordinator keeps up to about eight.
	Raft int
	// Streams is the number of accepted streams.
	Streams int
	// Exchanges is the number of joins under way, and of renewals.
	Exchanges int
	// PerNode is the number of connections accepted from one node, and the number dialled to one.
	PerNode int
	// HandshakeTimeout is how long an accepted connection may take to show who it is.
	HandshakeTimeout time.Duration
	// DialTimeout is how long a dial may take, from the first packet to the other side's welcome.
	DialTimeout time.Duration
	// ExchangeTimeout is how long Config.Enrol and Config.Renew may take.
	ExchangeTimeout time.Duration
	// CloseTimeout is how long Close waits for handlers to return.
	CloseTimeout time.Duration
}

// DefaultLimits are the limits of a cluster of up to about a thousand nodes.
func DefaultLimits() Limits {
	return Limits{
		Handshakes:       256,
		Raft:             128,
		Streams:          1024,
		Exchanges:        16,
		PerNode:          32,
		HandshakeTimeout: 5 * time.Second,
		DialTimeout:      2 * time.Second,
		ExchangeTimeout:  10 * time.Second,
		CloseTimeout:     5 * time.Second,
	}
}

// placesMax is the highest number of connections of a kind that can be configured.
const placesMax = 1 << 16

func (l Limits) orDefaults() (Limits, error) {
	d := DefaultLimits()
	for _, f := range []struct {
		name      string
		field     *int
		otherwise int
	}{
		{"Handshakes", &l.Handshakes, d.Handshakes},
		{"Raft", &l.Raft, d.Raft},
		{"Streams", &l.Streams, d.Streams},
		{"Exchanges", &l.Exchanges, d.Exchanges},
		{"PerNode", &l.PerNode, d.PerNode},
	} {
		if *f.field == 0 {
			*f.field = f.otherwise
		}
		if *f.field < 1 || *f.field > placesMax {
			return l, fmt.Errorf("peer: Limits.%s is %d; choose 1 to %d", f.name, *f.field, placesMax)
		}
	}
	for _, f := range []struct {
		name      string
		field     *time.Duration
		otherwise time.Duration
	}{
		{"HandshakeTimeout", &l.HandshakeTimeout, d.HandshakeTimeout},
		{"DialTimeout", &l.DialTimeout, d.DialTimeout},
		{"ExchangeTimeout", &l.ExchangeTimeout, d.ExchangeTimeout},
		{"CloseTimeout", &l.CloseTimeout, d.CloseTimeout},
	} {
		if *f.field == 0 {
			*f.field = f.otherwise
		}
		if *f.field < time.Millisecond || *f.field > time.Minute {
			return l, fmt.Errorf("peer: Limits.%s is %v; choose %v to %v", f.name, *f.field, time.Millisecond, time.Minute)
		}
	}
	return l, nil
}

// Enrolment is the request of the holder of a good token. Its secret has been checked and its key proved.
type Enrolment struct {
	Token   TokenID
	Role    Role        // as the token's record has it
	Request []byte      // PKCS #10, DER; for Authority.Issue
	Key     Fingerprint // SHA-256 of the public key; tells a repetition from another node
	Addr    string      // where the new node's own port can be dialled; may be empty
	From    string      // the address from which the request came, for the audit
}

// Renewal is a member's request for its next certificate. Its key has been proved.
type Renewal struct {
	From    Peer
	Request []byte // PKCS #10, DER; for Authority.Issue
	Addr    string // where the member's port can be dialled now; empty: it does not say, or nobody dials it
}

// Config says what a port is part of. Callbacks are called on many goroutines at once.
type Config struct {
	// Identity is what the port shows and trusts at first; see SetIdentity and Trust. Required.
	Identity *Identity
	// Admitted says whether a node with a good certificate is a member: nil, or an error that says why not. It is asked for each
	// connection, on both sides, and must answer from memory. Required.
	Admitted func(Peer) error
	// AddressOf gives host:port of a node's port. It is asked for each dial, and must answer from memory. Required.
	AddressOf func(journal.NodeID) (string, error)
	// Stream serves an accepted stream on a goroutine of its own. The connection is closed when it returns; it must return soon
	// after the connection has failed. nil: streams are refused.
	Stream func(Peer, net.Conn)
	// Token looks up the record of a token. nil: nobody can join here.
	Token func(TokenID) (TokenRecord, bool)
	// Enrol decides about a join: it commits the token's use, draws the node's number, and issues the certificate. It must give
	// the same node again when the same token comes with the same key, since the first answer may have been lost, and
	// ErrTokenUsed when a token of one use comes with another key, and ErrRefused when it does not want the node at all.
	// ErrUnavailable, or any error that is none of this package's, makes the new node ask again. nil: nobody can join here.
	Enrol func(context.Context, Enrolment) (Granted, error)
	// Renew issues a member's next certificate, for the same node and role. nil: renewals are refused.
	Renew func(context.Context, Renewal) (Granted, error)
	// Addr is where this node's own port can be dialled: its renewals tell it. Empty: nobody dials it.
	Addr string
	// Told gets the members that the answer to a renewal names: how a node without a journal learns where the coordinators are. It is
	// called before the renewed identity is stored. nil: not called.
	Told func([]Member)
	// Now is the clock by which certificates and tokens are judged. nil: time.Now.
	Now func() time.Time
	// Logger gets one line a second at most about refused connections. nil: slog.Default().
	Logger *slog.Logger
	// Registerer gets the metrics. nil: none.
	Registerer prometheus.Registerer
	// Limits bounds the port. Zero: DefaultLimits.
	Limits Limits
}

func (c Config) complete() (Config, error) {
	if c.Identity == nil {
		return c, fmt.Errorf("peer: Config.Identity is nil; make one with Authority.Identity, Join or OpenIdentity")
	}
	if c.Admitted == nil || c.AddressOf == nil {
		return c, fmt.Errorf("peer: Config.Admitted and Config.AddressOf are required; both answer from the member list")
	}
	if (c.Token == nil) != (c.Enrol == nil) {
		return c, fmt.Errorf("peer: Config.Token and Config.Enrol go together; set both, or neither")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	var err error
	c.Limits, err = c.Limits.orDefaults()
	return c, err
}
