package message

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of the gateway's use.
const (
	// QueueMax is how many messages wait; of more, Send refuses.
	QueueMax = 512
	// Senders is how many are being sent at once.
	Senders = 8
	// TryTimeout bounds one request, from the dial to the answer.
	TryTimeout = 5 * time.Second
	// TryFor is how long a message is tried from the moment it was handed over: a code that comes later is too late for most customers, who can ask
	// for another.
	TryFor = 30 * time.Second
	// TryAgainMin and TryAgainMax bound the pause between two tries; each is twice the one before.
	TryAgainMin = 250 * time.Millisecond
	TryAgainMax = 4 * time.Second
	// FailuresMax is how many tries in a row may fail before the gateway is taken for down, for DownFor.
	FailuresMax = 8
	DownFor     = 10 * time.Second
	// TextMax bounds a text, in bytes.
	TextMax = 1024

	answerBytesMax  = 4 << 10  // of an answer's body that are read, to use the connection again; nobody looks at them
	answerHeaderMax = 16 << 10 // of an answer's header
)

// Why a message was not taken.
var (
	// ErrFull says that QueueMax messages wait already.
	ErrFull = errors.New("message: too many messages wait for the gateway; try again, or offer another factor")
	// ErrDown says that the gateway has not answered lately.
	ErrDown = errors.New("message: the message gateway does not take messages; look at it, customers use another factor meanwhile")
	// ErrClosed says that the node is going down.
	ErrClosed = errors.New("message: the node is being stopped")
)

// Message is one message to a customer.
type Message struct {
	ID   string `json:"id"`   // the same for every try: a gateway that knows it sends nothing a second time
	To   string `json:"to"`   // a telephone number in E.164
	Text string `json:"text"` // one message, in the customer's language
}

// Config of a gateway.
type Config struct {
	URL        string // where messages are posted: https, or http on loopback
	Token      string // sent as a bearer token; empty: none
	Registerer prometheus.Registerer
	Logger     *slog.Logger
	Now        func() time.Time  // nil: time.Now
	Transport  http.RoundTripper // nil: TLS 1.2 or newer, no proxy, http to loopback only
}

// Gateway sends messages. It is safe for concurrent use. Close it.
type Gateway struct {
	url, token string
	transport  http.RoundTripper
	logger     *slog.Logger
	now        func() time.Time
	queue      chan job
	stop       context.CancelFunc
	senders    sync.WaitGroup
	metrics    *metrics

	failures  atomic.Int64 // in a row
	downUntil atomic.Int64 // unix ms
}

type job struct {
	Message
	until time.Time
}

// CheckURL refuses an address of a gateway that texts would travel to in clear.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("message: the gateway's address %.200q is not https://HOST[:PORT]/PATH", address)
	}
	if u.Scheme == "http" && !onLoopback(u.Hostname()) {
		return fmt.Errorf("message: the gateway's address %.200s speaks plain HTTP off loopback, where codes travel in clear; use https", address)
	}
	return nil
}

func onLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// New starts a gateway's senders.
func New(c Config) (*Gateway, error) {
	if err := CheckURL(c.URL); err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Transport == nil {
		c.Transport = newTransport()
	}
	ctx, stop := context.WithCancel(context.Background())
	g := &Gateway{url: c.URL, token: c.Token, transport: c.Transport, logger: c.Logger, now: c.Now, queue: make(chan job, QueueMax), stop: stop}
	g.metrics = newMetrics(g)
	if c.Registerer != nil {
		if err := c.Registerer.Register(g.metrics); err != nil {
			stop()
			return nil, fmt.Errorf("message: %w", err)
		}
	}
	for range Senders {
		g.senders.Go(func() { g.work(ctx) })
	}
	return g, nil
}

func newTransport() http.RoundTripper {
	dialer := &net.Dialer{Timeout: TryTimeout}
	plain := &net.Dialer{Timeout: TryTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		if to, err := netip.ParseAddrPort(address); err != nil || !to.Addr().Unmap().IsLoopback() {
			return errors.New("message: a name of loopback leads elsewhere")
		}
		return nil
	}}
	return &http.Transport{
		DialContext: plain.DialContext, // of http
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			secure := tls.Dialer{NetDialer: dialer, Config: &tls.Config{MinVersion: tls.VersionTLS12}}
			return secure.DialContext(ctx, network, address)
		},
		MaxResponseHeaderBytes: answerHeaderMax, MaxConnsPerHost: Senders, MaxIdleConnsPerHost: Senders, IdleConnTimeout: time.Minute, DisableCompression: true,
	}
}

// Ready says whether a message would be taken now: nil, ErrFull or ErrDown.
func (g *Gateway) Ready() error {
	if len(g.queue) >= QueueMax {
		return ErrFull
	}
	if g.now().UnixMilli() < g.downUntil.Load() {
		return ErrDown
	}
	return nil
}

// Send hands a message over. It does not wait.
func (g *Gateway) Send(m Message) error {
	if len(m.Text) > TextMax {
		return fmt.Errorf("message: a text of %d bytes; at most %d", len(m.Text), TextMax)
	}
	if err := g.Ready(); err != nil {
		g.metrics.results.WithLabelValues("busy").Inc()
		return err
	}
	select {
	case g.queue <- job{m, g.now().Add(TryFor)}:
		return nil
	default:
		g.metrics.results.WithLabelValues("busy").Inc()
		return ErrFull
	}
}

// Close ends the senders. What has not been sent is not.
func (g *Gateway) Close() {
	g.stop()
	g.senders.Wait()
	if t, ok := g.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

func (g *Gateway) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-g.queue:
			g.metrics.results.WithLabelValues(g.deliver(ctx, j)).Inc()
		}
	}
}

// deliver tries until the gateway has taken the message or refused it, or its time is over.
func (g *Gateway) deliver(ctx context.Context, j job) (result string) {
	body, err := json.Marshal(j.Message)
	if err != nil {
		return "refused"
	}
	pause := TryAgainMin
	for {
		taken, again, wait := g.try(ctx, body, j.ID)
		switch {
		case taken:
			return "taken"
		case !again:
			g.logger.Warn("message: the gateway refuses a message for good", "id", j.ID)
			return "refused"
		}
		wait = max(wait, pause)
		if g.now().Add(wait).After(j.until) {
			g.logger.Warn("message: the gateway has not taken a message in time", "id", j.ID, "within", TryFor)
			return "late"
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return "late"
		case <-timer.C:
		}
		pause = min(2*pause, TryAgainMax)
	}
}

// try posts a message once. again says that another try may do.
func (g *Gateway) try(ctx context.Context, body []byte, id string) (taken, again bool, wait time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, TryTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url, bytes.NewReader(body))
	if err != nil {
		return false, false, 0
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "netbank-message/1")
	r.Header.Set("Idempotency-Key", id)
	if g.token != "" {
		r.Header.Set("Authorization", "Bearer "+g.token)
	}
	began := g.now()
	answer, err := g.transport.RoundTrip(r) // a RoundTripper follows no redirect, which would carry the token elsewhere
	if err != nil {
		g.failed()
		return false, true, 0
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, answerBytesMax)
	g.metrics.took.Observe(g.now().Sub(began).Seconds())
	switch code := answer.StatusCode; {
	case code >= 200 && code < 300, code == http.StatusConflict: // 409: taken before
		g.failures.Store(0)
		g.downUntil.Store(0)
		return true, false, 0
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		g.logger.Error("message: the gateway refuses the token; see --message-gateway-token-file", "status", code)
		g.failed()
		return false, true, 0
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code >= 500:
		g.failed()
		return false, true, retryAfter(answer.Header.Get("Retry-After"))
	}
	return false, false, 0 // this message only: a number that it does not serve
}

// failed counts a try that the gateway did not take for reasons of its own.
func (g *Gateway) failed() {
	if g.failures.Add(1) >= FailuresMax {
		g.downUntil.Store(g.now().Add(DownFor).UnixMilli())
	}
}

// retryAfter reads seconds, at most TryAgainMax of them.
func retryAfter(text string) time.Duration {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(min(n, 3600))*time.Second, TryAgainMax)
}
