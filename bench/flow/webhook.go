package flow

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// Notification is a webhook that bears the bank's signature.
type Notification struct {
	ID        string // the same for every attempt at the same news
	Type      string // such as payment.settled
	Timestamp time.Time
	PaymentID string
	Status
}

// WebhookAgeMax is how far a webhook's time may be from ours (Standard Webhooks proposes five minutes).
const WebhookAgeMax = 5 * time.Minute

// ErrSignature says that a notification does not bear the bank's signature, or is too old.
var ErrSignature = errors.New("flow: the notification is not signed by the bank, or is too old")

// Receiver is a partner's end for webhooks.
type Receiver struct {
	server   *fasthttp.Server
	listener net.Listener
	path     string
	ask      func() ([]ed25519.PublicKey, error)
	told     func(Notification)

	lock sync.Mutex
	keys []ed25519.PublicKey
}

// Listen receives webhooks at an address such as demo.json's notificationURI, and hands each that bears the bank's signature to told, which must
// be safe for concurrent use. keys is asked for the bank's public keys, when there are none yet and when a signature does
// not fit them; Partner.Keys is meant.
func Listen(notificationURI string, keys func() ([]ed25519.PublicKey, error), told func(Notification)) (*Receiver, error) {
	u, err := url.Parse(notificationURI)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("flow: webhooks are received at http://host:port/path, not at %q", notificationURI)
	}
	listener, err := net.Listen("tcp", u.Host)
	if err != nil {
		return nil, fmt.Errorf("flow: %w", err)
	}
	r := &Receiver{listener: listener, path: u.Path, ask: keys, told: told}
	r.server = &fasthttp.Server{
		Handler: r.handle, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		MaxRequestBodySize: 64 << 10, Concurrency: 4096, CloseOnShutdown: true, NoDefaultServerHeader: true,
	}
	go r.server.Serve(listener)
	return r, nil
}

// Close stops receiving.
func (r *Receiver) Close() error { return r.server.Shutdown() }

func (r *Receiver) handle(ctx *fasthttp.RequestCtx) {
	if string(ctx.Path()) != r.path || !ctx.IsPost() {
		ctx.SetStatusCode(fasthttp.StatusNotFound)
		return
	}
	h := &ctx.Request.Header
	n, err := r.read(string(h.Peek("webhook-id")), string(h.Peek("webhook-timestamp")), string(h.Peek("webhook-signature")), ctx.PostBody())
	switch {
	case errors.Is(err, ErrSignature):
		ctx.SetStatusCode(fasthttp.StatusUnauthorized)
	case err != nil: // the keys are not to be had now
		ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
	default:
		r.told(n)
		ctx.SetStatusCode(fasthttp.StatusNoContent)
	}
}

func (r *Receiver) read(id, stamp, signatures string, body []byte) (Notification, error) {
	r.lock.Lock()
	keys := r.keys
	r.lock.Unlock()
	err := ErrSignature
	if keys != nil {
		err = Verify(keys, id, stamp, signatures, body, time.Now())
	}
	if err != nil {
		// The bank may have begun to use a new key.
		if keys, err = r.ask(); err != nil {
			return Notification{}, err
		}
		if err = Verify(keys, id, stamp, signatures, body, time.Now()); err != nil {
			return Notification{}, err
		}
		r.lock.Lock()
		r.keys = keys
		r.lock.Unlock()
	}
	var j struct {
		Type      string    `json:"type"`
		Timestamp time.Time `json:"timestamp"`
		Data      struct {
			Status
			PaymentID string `json:"paymentId"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &j); err != nil {
		return Notification{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return Notification{ID: id, Type: j.Type, Timestamp: j.Timestamp, PaymentID: j.Data.PaymentID, Status: j.Data.Status}, nil
}

// Verify checks the asymmetric signature of Standard Webhooks, version 1a: Ed25519 over id, time and body with points between.
// One signature of those given that fits one of the keys is enough.
func Verify(keys []ed25519.PublicKey, id, stamp, signatures string, body []byte, now time.Time) error {
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if age := now.Sub(time.Unix(seconds, 0)); err != nil || id == "" || age > WebhookAgeMax || age < -WebhookAgeMax {
		return ErrSignature
	}
	signed := make([]byte, 0, len(id)+len(stamp)+len(body)+2)
	signed = append(append(append(append(append(signed, id...), '.'), stamp...), '.'), body...)
	for signature := range strings.FieldsSeq(signatures) {
		encoded, ok := strings.CutPrefix(signature, "v1a,")
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil {
			continue
		}
		for _, key := range keys {
			if len(key) == ed25519.PublicKeySize && ed25519.Verify(key, signed, raw) {
				return nil
			}
		}
	}
	return ErrSignature
}
