package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

// Bounds of one delivery.
const (
	deliveryTimeout = 20 * time.Second // from the dial to the answer's header
	connectTimeout  = 5 * time.Second  // for the dial, and again for the TLS handshake
	answerBytesMax  = 4 << 10          // of an answer's body that are read, to use the connection again; nobody looks at them
	answerHeaderMax = 16 << 10         // of an answer's header; a longer one is a failure
	connectionsMax  = lineInFlight     // to one host
	idleConnections = 64               // to all hosts
	idleTimeout     = 60 * time.Second // after which an unused connection is closed
)

// errAddress: the name of an address resolved to a place where no partner can be.
var errAddress = errors.New("webhook: the address leads to a place that is not allowed")

// NewTransport makes the client of deliveries: no proxy, no redirects, TLS 1.2 or newer with the given roots (nil: the system's), and http to
// loopback addresses only, whatever a name resolves to.
func NewTransport(roots *x509.CertPool) http.RoundTripper {
	return &transport{secure: newTransport(roots, allowedSecure), plain: newTransport(nil, netip.Addr.IsLoopback)}
}

type transport struct{ secure, plain *http.Transport }

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	switch r.URL.Scheme {
	case "https":
		return t.secure.RoundTrip(r)
	case "http":
		return t.plain.RoundTrip(r)
	}
	return nil, fmt.Errorf("%w: %s", errAddress, r.URL.Scheme)
}

// CloseIdleConnections is called when deliveries end.
func (t *transport) CloseIdleConnections() {
	t.secure.CloseIdleConnections()
	t.plain.CloseIdleConnections()
}

func newTransport(roots *x509.CertPool, allowed func(netip.Addr) bool) *http.Transport {
	dialer := &net.Dialer{Timeout: connectTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !allowed(to.Addr().Unmap()) {
			return errAddress
		}
		return nil
	}}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    connectTimeout,
		ResponseHeaderTimeout:  deliveryTimeout,
		MaxResponseHeaderBytes: answerHeaderMax,
		MaxConnsPerHost:        connectionsMax,
		MaxIdleConnsPerHost:    connectionsMax,
		MaxIdleConns:           idleConnections,
		IdleConnTimeout:        idleTimeout,
		DisableCompression:     true,
	}
}

// allowedSecure keeps deliveries away from addresses that belong to the link or to nobody, such as a cloud's metadata service.
func allowedSecure(ip netip.Addr) bool {
	return !ip.IsUnspecified() && !ip.IsMulticast() && !ip.IsLinkLocalUnicast()
}

// answered is what a delivery came to.
type answered uint8

const (
	accepted  answered = iota // 2xx
	gone                      // 410
	throttled                 // 429 or 503 with Retry-After
	failed                    // anything else
)

// send posts one message once.
func (d *Dispatcher) send(ctx context.Context, uri, id string, message []byte) (answered, time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, deliveryTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, uri, bytes.NewReader(message))
	if err != nil {
		return failed, 0
	}
	at := time.Now()
	// Written in lower case, as Standard Webhooks has them; names of fields know no case.
	r.Header["webhook-id"] = []string{id}
	r.Header["webhook-timestamp"] = []string{strconv.FormatInt(at.Unix(), 10)}
	r.Header["webhook-signature"] = []string{string(d.signer.AppendSignature(nil, signedContent(id, at, message)))}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "netbank-webhook/1")
	answer, err := d.transport.RoundTrip(r) // a RoundTripper follows no redirect
	if err != nil {
		return failed, 0
	}
	defer answer.Body.Close()
	io.CopyN(io.Discard, answer.Body, answerBytesMax)
	switch code := answer.StatusCode; {
	case code >= 200 && code < 300:
		return accepted, 0
	case code == http.StatusGone:
		return gone, 0
	case code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable:
		if wait := retryAfter(answer.Header.Get("Retry-After"), at); wait > 0 {
			return throttled, wait
		}
	}
	return failed, 0
}
