package ops

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// ServerTLS gives the settings of a port that others than this machine reach: TLS 1.3, and nobody is answered who shows no certificate
// that clientCAs have signed.
func ServerTLS(certificate tls.Certificate, clientCAs *x509.CertPool) (*tls.Config, error) {
	if clientCAs == nil {
		return nil, errors.New("ops: no certificate authority for operators is given")
	}
	if len(certificate.Certificate) == 0 {
		return nil, errors.New("ops: no server certificate is given")
	}
	return &tls.Config{
		Certificates: []tls.Certificate{certificate},
		ClientCAs:    clientCAs,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{"http/1.1"},
	}, nil
}
