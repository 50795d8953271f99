package flow

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"netbank/bench/demo"
)

// Bounds of every client of this package.
const (
	ConnsDefault   = 1024             // open to one door at once
	TimeoutDefault = 30 * time.Second // of one call
	BodyMax        = 1 << 20          // bytes of an answer
	// idleMax is shorter than a bank keeps an idle connection, so that a call is rarely sent into one that is being closed.
	idleMax = 10 * time.Second
)

// Options of a client. Zero fields take their defaults.
type Options struct {
	Conns   int
	Timeout time.Duration
	Idle    time.Duration // that a connection is kept without a call
}

func (o Options) client(address string, config *tls.Config) *fasthttp.HostClient {
	if o.Conns == 0 {
		o.Conns = ConnsDefault
	}
	if o.Timeout == 0 {
		o.Timeout = TimeoutDefault
	}
	if o.Idle == 0 {
		o.Idle = idleMax
	}
	dialer := &net.Dialer{Timeout: o.Timeout}
	return &fasthttp.HostClient{
		Addr: address, IsTLS: config != nil, TLSConfig: config, MaxConns: o.Conns, MaxConnWaitTimeout: o.Timeout,
		ReadTimeout: o.Timeout, WriteTimeout: o.Timeout, MaxIdleConnDuration: o.Idle, MaxResponseBodySize: BodyMax,
		Dial:                     func(addr string) (net.Conn, error) { return dialer.Dial("tcp", addr) },
		NoDefaultUserAgentHeader: true, DisablePathNormalizing: true,
	}
}

// Partner is a payment platform at the partner API. It is safe for concurrent use.
type Partner struct {
	client   *fasthttp.HostClient
	base     string
	redirect string
	notify   string
}

// NewPartner makes the demo partner of a demo.json.
func NewPartner(d *demo.Demo, o Options) (*Partner, error) {
	base, err := url.Parse(d.Partner.URL)
	if err != nil || base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("flow: the partner door %q is not https://host:port", d.Partner.URL)
	}
	authority, err := os.ReadFile(d.Path(d.Partner.CA))
	if err != nil {
		return nil, fmt.Errorf("flow: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("flow: %s holds no certificate", d.Partner.CA)
	}
	pair, err := tls.LoadX509KeyPair(d.Path(d.Partner.Cert), d.Path(d.Partner.Key))
	if err != nil {
		return nil, fmt.Errorf("flow: %w", err)
	}
	config := &tls.Config{
		RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13, ServerName: base.Hostname(),
		ClientSessionCache: tls.NewLRUClientSessionCache(64),
	}
	return &Partner{
		client: o.client(base.Host, config), base: "https://" + base.Host, redirect: d.Partner.RedirectURI, notify: d.Partner.NotificationURI,
	}, nil
}

// Close closes the idle connections.
func (p *Partner) Close() { p.client.CloseIdleConnections() }

// Order is what a payment is to be.
type Order struct {
	EndToEndID      string // at most 35 characters
	Amount          string // decimal, such as 12.34
	Currency        string
	CreditorAccount string
	CreditorName    string
	Remittance      string    // may be empty
	DebtorAccount   string    // may be empty
	ExpiresAt       time.Time // zero: the bank's default
	State           string    // the partner's own, in the query of the way back; may be empty
}

type amountJSON struct {
	Currency string `json:"currency"`
	Amount   string `json:"amount"`
}

type accountJSON struct {
	Other struct {
		Identification string `json:"identification"`
	} `json:"other"`
}

type orderJSON struct {
	EndToEndID      string       `json:"endToEndIdentification"`
	Amount          amountJSON   `json:"instructedAmount"`
	CreditorAccount accountJSON  `json:"creditorAccount"`
	CreditorName    string       `json:"creditorName"`
	DebtorAccount   *accountJSON `json:"debtorAccount,omitempty"`
	Remittance      string       `json:"remittanceInformationUnstructured,omitempty"`
	ExpiresAt       string       `json:"expiresAt,omitempty"`
}

func (o *Order) body() ([]byte, error) {
	j := orderJSON{EndToEndID: o.EndToEndID, Amount: amountJSON{o.Currency, o.Amount}, CreditorName: o.CreditorName, Remittance: o.Remittance}
	j.CreditorAccount.Other.Identification = o.CreditorAccount
	if o.DebtorAccount != "" {
		j.DebtorAccount = new(accountJSON)
		j.DebtorAccount.Other.Identification = o.DebtorAccount
	}
	if !o.ExpiresAt.IsZero() {
		j.ExpiresAt = o.ExpiresAt.UTC().Format(time.RFC3339)
	}
	return json.Marshal(&j)
}

// Status is where a payment stands, as the bank told it.
type Status struct {
	Status  string `json:"transactionStatus"` // RCVD ACSP ACSC RJCT CANC PDNG
	Reason  string `json:"reason"`
	Version uint32 `json:"version"` // grows with each change of the payment
	Stale   bool   `json:"-"`       // the bank says that it is as last seen; known of a look at a status only
}

// Final reports whether the status can never change again.
func (s Status) Final() bool { return s.Status == "ACSC" || s.Status == "RJCT" || s.Status == "CANC" }

// Created is a payment that the bank has taken.
type Created struct {
	Status
	PaymentID string
	Link      string // where the customer goes; empty while the creation is in doubt (PDNG)
	Replayed  bool   // an earlier call with this idempotency key created it
}

// Problem is an answer that is not a success (RFC 9457).
type Problem struct {
	HTTP       int           `json:"-"`
	Type       string        `json:"type"`
	Code       string        `json:"code"`
	Detail     string        `json:"detail"`
	Reference  string        `json:"reference"`
	RetryAfter time.Duration `json:"-"` // 0: the bank named none
}

func (p *Problem) Error() string {
	return fmt.Sprintf("flow: the bank answered %d %s: %s (reference %s)", p.HTTP, p.Code, p.Detail, p.Reference)
}

// Refused reports whether the bank promises that nothing was done for the call.
func (p *Problem) Refused() bool { return p.HTTP == 429 || p.HTTP == 503 }

const payments = "/v1/payments/domestic-transfers"

// call sends one request and leaves the answer in resp. An answer that is no success is a *Problem.
func (p *Partner) call(method, path, key string, headers [][2]string, body []byte, resp *fasthttp.Response) error {
	req := fasthttp.AcquireRequest()
	defer fasthttp.ReleaseRequest(req)
	req.SetRequestURI(p.base + path)
	req.Header.SetMethod(method)
	id, err := uuid.NewRandom()
	if err != nil {
		return fmt.Errorf("flow: %w", err)
	}
	req.Header.Set("X-Request-ID", id.String())
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	for _, h := range headers {
		req.Header.Set(h[0], h[1])
	}
	if body != nil {
		req.Header.SetContentType("application/json")
		req.SetBodyRaw(body)
	}
	if err := p.client.Do(req, resp); err != nil {
		return fmt.Errorf("flow: %s %s: %w", method, path, err)
	}
	if status := resp.StatusCode(); status >= 300 {
		problem := &Problem{HTTP: status}
		if json.Unmarshal(resp.Body(), problem) != nil {
			problem.Detail = fmt.Sprintf("no problem document: %.120q", resp.Body())
		}
		problem.RetryAfter = retryAfter(resp)
		return problem
	}
	return nil
}

func retryAfter(resp *fasthttp.Response) time.Duration {
	seconds, err := strconv.Atoi(string(resp.Header.Peek("Retry-After")))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// Create creates a payment. The same key with the same order may be sent again after any failure, and takes effect once.
func (p *Partner) Create(o *Order, key string) (Created, error) {
	body, err := o.body()
	if err != nil {
		return Created{}, fmt.Errorf("flow: %w", err)
	}
	back := p.redirect
	if o.State != "" {
		back += "?state=" + url.QueryEscape(o.State)
	}
	headers := [][2]string{{"TPP-Redirect-URI", back}}
	if p.notify != "" {
		headers = append(headers, [2]string{"TPP-Notification-URI", p.notify})
	}
	resp := fasthttp.AcquireResponse()
	defer fasthttp.ReleaseResponse(resp)
	if err := p.call("POST", payments, key, headers, body, resp); err != nil {
		return Created{}, err
	}
	var j struct {
		Status
		PaymentID string `json:"paymentId"`
		Links     struct {
			Redirect struct {
				Href string `json:"href"`
			} `json:"scaRedirect"`
		} `json:"_links"`
	}
	if err := json.Unmarshal(resp.Body(), &j); err != nil {
		return Created{}, fmt.Errorf("flow: the answer to a create: %w", err)
	}
	return Created{
		Status: j.Status, PaymentID: j.PaymentID, Link: j.Links.Redirect.Href, Replayed: len(resp.Header.Peek("Idempotency-Replayed")) > 0,
	}, nil
}

// Payment is a payment's details.
type Payment struct {
	Status
	PaymentID    string     `json:"paymentId"`
	EndToEndID   string     `json:"endToEndIdentification"`
	Amount       amountJSON `json:"instructedAmount"`
	CreditorName string     `json:"creditorName"`
	CreatedAt    time.Time  `json:"createdAt"`
	ExpiresAt    time.Time  `json:"expiresAt"`
	ChangedAt    time.Time  `json:"changedAt"`
}

func (p *Partner) get(path string, into any) error {
	resp := fasthttp.AcquireResponse()
	defer fasthttp.ReleaseResponse(resp)
	if err := p.call("GET", path, "", nil, nil, resp); err != nil {
		return err
	}
	if err := json.Unmarshal(resp.Body(), into); err != nil {
		return fmt.Errorf("flow: the answer to GET %s: %w", path, err)
	}
	return nil
}

// Get asks for a payment's details.
func (p *Partner) Get(id string) (Payment, error) {
	var d Payment
	return d, p.get(payments+"/"+id, &d)
}

// Status asks where a payment stands.
func (p *Partner) Status(id string) (Status, error) {
	resp := fasthttp.AcquireResponse()
	defer fasthttp.ReleaseResponse(resp)
	var s Status
	if err := p.call("GET", payments+"/"+id+"/status", "", nil, nil, resp); err != nil {
		return s, err
	}
	if err := json.Unmarshal(resp.Body(), &s); err != nil {
		return s, fmt.Errorf("flow: the answer to a look at a status: %w", err)
	}
	s.Stale = bytes.HasPrefix(resp.Header.Peek("Warning"), []byte("110 "))
	return s, nil
}

// Cancel cancels a payment that nobody has confirmed. certain is false when the bank cannot say yet whether it did.
func (p *Partner) Cancel(id string) (certain bool, err error) {
	resp := fasthttp.AcquireResponse()
	defer fasthttp.ReleaseResponse(resp)
	if err := p.call("DELETE", payments+"/"+id, "", nil, nil, resp); err != nil {
		return false, err
	}
	return resp.StatusCode() == fasthttp.StatusNoContent, nil
}

// Keys asks for the public keys that webhooks are signed with.
func (p *Partner) Keys() ([]ed25519.PublicKey, error) {
	var j struct {
		Keys []struct {
			Key string `json:"key"`
		} `json:"keys"`
	}
	if err := p.get("/v1/notification-keys", &j); err != nil {
		return nil, err
	}
	keys := make([]ed25519.PublicKey, 0, len(j.Keys))
	for _, k := range j.Keys {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(k.Key, "whpk_"))
		if err != nil || len(raw) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("flow: %.60q is not a public key of the form whpk_…", k.Key)
		}
		keys = append(keys, raw)
	}
	return keys, nil
}
