package partner

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/valyala/fasthttp"

	"netbank/frontend/edge"
)

// ServerTLS gives the TLS settings of the partner listener: version 1.3 only. A client certificate is asked for, and
// must be from clientCAs if it is given; without one only /discovery answers.
func ServerTLS(certificate tls.Certificate, clientCAs *x509.CertPool) (*tls.Config, error) {
	if clientCAs == nil {
		return nil, errors.New("partner: no certificate authority for partners is given")
	}
	if len(certificate.Certificate) == 0 {
		return nil, errors.New("partner: no server certificate is given")
	}
	return &tls.Config{
		Certificates: []tls.Certificate{certificate},
		ClientCAs:    clientCAs,
		ClientAuth:   tls.VerifyClientCertIfGiven,
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{"http/1.1"},
	}, nil
}

// Listener accepts TLS connections and remembers whose they are.
type Listener struct {
	*edge.Listener
	config *tls.Config
}

// ListenTLS opens the partner listener; config is from ServerTLS.
func ListenTLS(addr string, config *tls.Config, limits edge.Limits, logger *slog.Logger) (*Listener, error) {
	ln, err := edge.Listen(addr, limits, logger)
	if err != nil {
		return nil, fmt.Errorf("partner: %w", err)
	}
	return &Listener{Listener: ln, config: config}, nil
}

// Accept returns a connection whose handshake has not begun: the server's worker makes it, within the read timeout.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &secured{Conn: tls.Server(c, l.config)}, nil
}

// secured is a TLS connection with its caller. Requests of one connection are handled one after the other, so nothing
// here needs a lock.
type secured struct {
	*tls.Conn
	asked  bool
	caller caller
}

// caller is who speaks on one connection: found out once, and looked up again when the registry says so.
type caller struct {
	fingerprint [32]byte // SHA-256 of the certificate as sent
	known       *partner // the last look-up; nil before the first and for strangers
}

// errNoCertificate: the client has shown none.
var errNoCertificate = errors.New("partner: no client certificate")

func tlsCaller(ctx *fasthttp.RequestCtx) (*caller, error) {
	c, ok := ctx.Conn().(*secured)
	if !ok {
		return nil, errNoCertificate
	}
	if !c.asked {
		c.asked = true
		if chain := c.ConnectionState().PeerCertificates; len(chain) > 0 {
			c.caller.fingerprint = sha256.Sum256(chain[0].Raw)
		}
	}
	if c.caller.fingerprint == ([32]byte{}) {
		return nil, errNoCertificate
	}
	return &c.caller, nil
}
