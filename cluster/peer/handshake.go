package peer

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// newFace makes the TLS settings of an identity. Sessions are never resumed: connections are long, and each handshake
// shall look at the certificate as it is now.
func (p *Port) newFace(id *Identity) *face {
	member := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
		Time:                   p.cfg.Now,
		Certificates:           []tls.Certificate{*id.shown},
		NextProtos:             []string{ALPNRaft, ALPNStream, ALPNRenew},
		// One that shows none is told so by VerifyConnection; with RequireAndVerifyClientCert the error could not be told from others.
		ClientAuth: tls.VerifyClientCertIfGiven,
		ClientCAs:  id.roots,
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return fmt.Errorf("%w: %w", ErrCertificate, errNoCertificate)
			}
			_, err := peerOf(s.PeerCertificates[0], id.subject.Cluster)
			return err
		},
	}
	joiner := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
		Time:                   p.cfg.Now,
		Certificates:           []tls.Certificate{*id.introduced},
		NextProtos:             []string{ALPNJoin},
		ClientAuth:             tls.NoClientCert,
	}
	return &face{id: id, member: member, joiner: joiner}
}

// choose picks the settings by what the client says it wants. It wants one thing: which certificate it must show depends on it.
func (p *Port) choose(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if len(hello.SupportedProtos) != 1 {
		return nil, ErrALPN
	}
	k, ok := kindOf(hello.SupportedProtos[0])
	switch {
	case !ok, k == kindJoin && p.cfg.Enrol == nil:
		return nil, ErrALPN
	case k == kindJoin:
		return p.shown.Load().joiner, nil
	}
	return p.shown.Load().member, nil
}

// receive lets an accepted connection show who it is, and gives the function that serves it. Everything before that happens in the
// waiting room, within Limits.HandshakeTimeout.
func (p *Port) receive(raw net.Conn, g *guest) (handle func(), err error) {
	if err := raw.SetDeadline(time.Now().Add(p.cfg.Limits.HandshakeTimeout)); err != nil {
		return nil, err
	}
	s := tls.Server(raw, &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: p.choose})
	if err := s.Handshake(); err != nil {
		var unverified *tls.CertificateVerificationError
		if errors.As(err, &unverified) {
			err = certificateError(unverified.Err)
		}
		return nil, err
	}
	state := s.ConnectionState()
	k, ok := kindOf(state.NegotiatedProtocol)
	if !ok {
		return nil, ErrALPN
	}
	if k == kindJoin {
		return p.receiveJoin(s, g)
	}
	if len(state.PeerCertificates) == 0 { // which VerifyConnection has refused
		return nil, fmt.Errorf("%w: %w", ErrCertificate, errNoCertificate)
	}
	return p.receiveMember(s, g, k, state.PeerCertificates[0])
}

// receiveMember decides about a connection whose certificate is good, and tells the other side.
func (p *Port) receiveMember(s *tls.Conn, g *guest, k kind, leaf *x509.Certificate) (handle func(), err error) {
	peer, err := peerOf(leaf, p.Identity().subject.Cluster)
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: s, peer: peer, kind: k, accepted: true, port: p}
	handle, err = p.handler(c)
	if err == nil {
		err = p.places.take(c)
	}
	// Only now: a node that is removed from here on is found by Disconnect.
	if err == nil {
		err = p.admitted(peer)
	}
	if err != nil {
		p.places.give(c)
		err = fmt.Errorf("%s (%s) for %s: %w", peer, peer.Role, k.alpn(), err)
		p.sayNo(s, err)
		return nil, err
	}
	if !p.room.leave(g) {
		c.cut()
		return nil, errCrowded
	}
	if _, err := s.Write([]byte{welcome}); err != nil {
		c.cut()
		return nil, err
	}
	if err := s.SetDeadline(time.Time{}); err != nil {
		c.cut()
		return nil, err
	}
	return handle, nil
}

// handler gives what serves a connection, or why nothing does.
func (p *Port) handler(c *Conn) (func(), error) {
	switch c.kind {
	case kindRaft:
		layer := p.raft.Load()
		if c.peer.Role != Coordinator || p.Identity().subject.Role != Coordinator {
			return nil, ErrRole
		}
		if layer == nil || layer.isClosed() {
			return nil, fmt.Errorf("%w (%s has not started Raft)", ErrUnavailable, Name(p.Identity().subject.Node))
		}
		return func() { layer.offer(c) }, nil
	case kindStream:
		if p.cfg.Stream == nil {
			return nil, fmt.Errorf("%w (%s serves no streams)", ErrRole, Name(p.Identity().subject.Node))
		}
		return func() {
			defer c.Close()
			p.cfg.Stream(c.peer, c)
		}, nil
	case kindRenew:
		if p.cfg.Renew == nil {
			return nil, ErrRole
		}
		return func() { p.serveRenewal(c) }, nil
	}
	return nil, ErrALPN
}

func (p *Port) admitted(peer Peer) error {
	if err := p.cfg.Admitted(peer); err != nil {
		return fmt.Errorf("%w: %w", ErrRemoved, err)
	}
	return nil
}

// sayNo tells a member why it is refused. If that fails the member finds out by itself.
func (p *Port) sayNo(s *tls.Conn, err error) {
	if _, wrong := s.Write([]byte{refused}); wrong != nil {
		return
	}
	_ = writeMessage(s, refuse(err), JoinAnswerBytesMax)
	_ = s.Close()
}

// receiveJoin reads a join request and looks at its token, while still in the waiting room: a stranger must not hold a place.
func (p *Port) receiveJoin(s *tls.Conn, g *guest) (handle func(), err error) {
	no := func(err error) (func(), error) {
		_ = writeMessage(s, refuse(err), JoinAnswerBytesMax)
		_ = s.Close()
		return nil, err
	}
	var req joinRequest
	if err := readMessage(s, &req, JoinRequestBytesMax); errors.Is(err, ErrRequest) {
		return no(err)
	} else if err != nil {
		return nil, err
	}
	if req.Token == nil {
		return no(ErrTokenRefused)
	}
	record, ok := p.cfg.Token(*req.Token)
	if !ok || record.ID != *req.Token {
		return no(ErrTokenRefused)
	}
	if err := record.Check(req.Secret, p.cfg.Now()); err != nil {
		return no(err)
	}
	if err := req.check(); err != nil {
		return no(err)
	}
	csr, err := checkRequest(req.Request)
	if err != nil {
		return no(err)
	}
	c := &Conn{Conn: s, kind: kindJoin, accepted: true, port: p}
	if err := p.places.take(c); err != nil {
		return no(err)
	}
	if !p.room.leave(g) {
		c.cut()
		return nil, errCrowded
	}
	e := Enrolment{
		Token: record.ID, Role: record.Role, Request: req.Request, Key: sha256.Sum256(csr.RawSubjectPublicKeyInfo),
		Addr: req.Addr, From: s.RemoteAddr().String(),
	}
	return func() { p.serveJoin(c, e) }, nil
}
