package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"netbank/cluster/journal"
)

// Dial connects to a node for one of ALPNRaft, ALPNStream and ALPNRenew. It gives a connection only when the other side is that
// node, is admitted here, and has admitted this one. It takes at most Limits.DialTimeout.
func (p *Port) Dial(ctx context.Context, node journal.NodeID, alpn string) (*Conn, error) {
	k, ok := kindOf(alpn)
	if !ok || k == kindJoin {
		return nil, fmt.Errorf("peer: %q is not a protocol to dial a node with; use %s, %s or %s", clip(alpn, 32), ALPNRaft, ALPNStream, ALPNRenew)
	}
	with := p.shown.Load()
	c, err := p.dial(ctx, node, k, with)
	// What this node shows or trusts was replaced meanwhile, and the other side may be further already.
	if now := p.shown.Load(); err != nil && now != with && ctx.Err() == nil {
		c, err = p.dial(ctx, node, k, now)
	}
	return c, err
}

func (p *Port) dial(ctx context.Context, node journal.NodeID, k kind, with *face) (*Conn, error) {
	addr, err := p.cfg.AddressOf(node)
	if err != nil {
		return nil, fmt.Errorf("%w: %s has no known address: %w", ErrUnreachable, Name(node), err)
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Limits.DialTimeout)
	defer cancel()
	var peer Peer
	config := clientConfig(k, p.cfg.Now, with.id.roots, with.id.subject.Cluster, &peer)
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return with.id.shown, nil }
	checked := config.VerifyConnection
	config.VerifyConnection = func(s tls.ConnectionState) error {
		if err := checked(s); err != nil {
			return err
		}
		if peer.Node != node {
			return fmt.Errorf("%w (%s was dialled, %s answers)", ErrNode, Name(node), peer)
		}
		return p.admitted(peer)
	}
	at := Name(node) + " at " + addr
	s, err := connect(ctx, addr, config)
	if err != nil {
		return nil, dialError(at, k, err)
	}
	if err := readWelcome(ctx, s, at); err != nil {
		s.NetConn().Close()
		return nil, dialError(at, k, err)
	}
	c := &Conn{Conn: s, peer: peer, kind: k, port: p}
	if err := p.places.take(c); err != nil {
		s.NetConn().Close()
		return nil, fmt.Errorf("peer: dial %s: %w", at, err)
	}
	// Once more: a node that was removed meanwhile was not there for Disconnect to find.
	if err := p.admitted(peer); err != nil {
		c.cut()
		return nil, dialError(at, k, err)
	}
	return c, nil
}

// clientConfig makes the dialling side's settings. No host name is verified; VerifyConnection does all that counts, and
// fills in peer.
func clientConfig(k kind, now func() time.Time, roots *x509.CertPool, cluster string, peer *Peer) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		Time:               now,
		NextProtos:         []string{k.alpn()},
		InsecureSkipVerify: true, // of host names, which say nothing here
		VerifyConnection: func(s tls.ConnectionState) (err error) {
			if len(s.PeerCertificates) == 0 {
				return ErrCertificate
			}
			if s.NegotiatedProtocol != k.alpn() {
				return ErrALPN
			}
			leaf := s.PeerCertificates[0]
			if _, err := verify(leaf, roots, now(), x509.ExtKeyUsageServerAuth); err != nil {
				return err
			}
			if *peer, err = peerOf(leaf, cluster); err != nil {
				return err
			}
			if k != kindStream && peer.Role != Coordinator {
				return fmt.Errorf("%w (%s is a %s)", ErrRole, peer, peer.Role)
			}
			return nil
		},
	}
}

// connect makes the TCP connection and the handshake. Until its end ctx bounds both.
func connect(ctx context.Context, addr string, config *tls.Config) (*tls.Conn, error) {
	d := net.Dialer{KeepAliveConfig: keepAlive}
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	boundSilence(raw, SilenceTimeout)
	s := tls.Client(raw, config)
	if err := s.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return s, nil
}

// whenDone makes reads and writes fail once ctx is done, until the returned function is called. That gives false
// when ctx was done first.
func whenDone(ctx context.Context, c net.Conn) (stop func() bool) {
	past := time.Unix(1, 0)
	return context.AfterFunc(ctx, func() { _ = c.SetDeadline(past) })
}

// readWelcome waits for the other side's yes. In TLS 1.3 the dialling side's handshake ends before the other side has looked at its
// certificate, so a refusal by TLS arrives here, too.
func readWelcome(ctx context.Context, s *tls.Conn, at string) error {
	stop := whenDone(ctx, s)
	defer stop()
	var first [1]byte
	if _, err := io.ReadFull(s, first[:]); err != nil {
		return err
	}
	switch first[0] {
	case welcome:
		if !stop() {
			return ctx.Err()
		}
		return nil
	case refused:
		var a answer
		if err := readMessage(s, &a, JoinAnswerBytesMax); err != nil {
			return err
		}
		return refusal(at, a.Refused, a.Sentence)
	}
	return fmt.Errorf("%w (the first byte was %d)", ErrRequest, first[0])
}

// dialError gives a failed dial the sentinel that says what to do.
func dialError(at string, k kind, err error) error {
	for _, known := range []error{ErrAuthority, ErrLapsed, ErrCertificate, ErrNode, ErrRole, ErrRemoved, ErrBusy, ErrUnavailable, ErrClosed, ErrRequest, ErrALPN} {
		if errors.Is(err, known) {
			return fmt.Errorf("peer: dial %s: %w", at, err)
		}
	}
	if told := alertOf(err); told != nil {
		return fmt.Errorf("peer: %s refused %s: %w: %w", at, k.alpn(), told, err)
	}
	return fmt.Errorf("%w: %s for %s: %w", ErrUnreachable, at, k.alpn(), err)
}

// alertOf gives what a TLS alert from the other side means here (RFC 8446, section 6.2), or nil.
func alertOf(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return nil
	}
	for _, a := range []struct {
		alert tls.AlertError
		err   error
	}{
		{42, ErrCertificate}, // bad_certificate
		{45, ErrLapsed},      // certificate_expired
		{48, ErrAuthority},   // unknown_ca
		{80, ErrALPN},        // internal_error: what Go sends for ErrALPN of choose
		{116, ErrCertificate},
		{120, ErrALPN}, // no_application_protocol
	} {
		if op.Err.Error() == a.alert.Error() {
			return a.err
		}
	}
	return nil
}
