package partner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/fasthttp/router"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/frontend/edge"
	"netbank/frontend/money"
)

// Bank is what the API needs of the cluster. *cluster.Node is one. Its methods are safe for concurrent use.
type Bank interface {
	// Submit brings a command into the journal. Its errors say what is certain: see package cluster.
	Submit(cmd *journal.Command, deadline time.Time) (journal.Result, error)
	// Payment reports false for a payment that there is not, which is certain. cluster.ErrStale comes with one that is as last seen;
	// any other error says that nobody can be asked.
	Payment(id journal.PaymentID) (journal.Payment, bool, error)
	PartnerByFingerprint(fingerprint [32]byte) (journal.Partner, bool)
	Now() journal.Millis
	Refused(class gate.Class) (cluster.Refusal, bool)
}

// Links makes the MAC of a customer link, or "" while it has no key. *session.KeyRing is one.
type Links interface {
	LinkMAC(id journal.PaymentID) string
}

// Keys lists the public keys of webhook signatures as "whpk_…", the one in use first. *webhook.Key is one.
type Keys interface {
	PublicKeys() []string
}

// Limits bounds the API. A zero field takes its default.
type Limits struct {
	// SubmitTimeout is how long a create or cancel waits for the journal. Default 10 s.
	SubmitTimeout time.Duration
	// AttachTimeout is how long a repeat waits for the first call with its idempotency key. Default 10 s.
	AttachTimeout time.Duration
	// CreatesInFlight of all partners on this node; 503 beyond. Default 4,096.
	CreatesInFlight int
	// Uncertain creates that were answered PDNG and are still asked about, on this node. Default 256.
	Uncertain int
	// UncertainFor is how long one of them is asked about. Default 2 min.
	UncertainFor time.Duration
	// CreatesPerSecond of a partner whose record says 0; as many cancels. A second's worth can come at once. Default 100.
	CreatesPerSecond uint32
	// PollsPerSecond of a partner whose record says 0. A second's worth can come at once. Default 500.
	PollsPerSecond uint32
	// PartnerFresh is how long a partner's record is used before it is read again: what a withdrawn certificate can outlive. Default 1 s.
	PartnerFresh time.Duration
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.SubmitTimeout, 10*time.Second)
	setDefault(&l.AttachTimeout, 10*time.Second)
	setDefault(&l.CreatesInFlight, 4096)
	setDefault(&l.Uncertain, 256)
	setDefault(&l.UncertainFor, 2*time.Minute)
	setDefault(&l.CreatesPerSecond, 100)
	setDefault(&l.PollsPerSecond, 500)
	setDefault(&l.PartnerFresh, time.Second)
	return l
}

func setDefault[T int | uint32 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Outage is a planned time without service, told beforehand at /discovery/outages.
type Outage struct {
	Start, End time.Time
	Summary    string // for people; at most 140 characters
}

// OutagesMax bounds Config.Outages.
const OutagesMax = 64

// Config is what the API is made of. Bank, Links, Keys, Logger, Registerer and PublicURL are required.
type Config struct {
	Bank       Bank
	Links      Links
	Keys       Keys
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// PublicURL is where customers find the bank, without a slash at its end, such as https://pay.bank.example.
	PublicURL string
	// Currencies that can be paid in, as ISO 4217 codes; none means CNY, EUR, GBP, JPY and USD.
	Currencies []string
	Outages    []Outage
	// Clock is the wall clock; nil means time.Now. Payments carry the journal's time, not this one.
	Clock  func() time.Time
	Limits Limits
}

// API answers partners. Handler and Server may be used for several listeners.
type API struct {
	bank       Bank
	links      Links
	keys       Keys
	logger     *slog.Logger
	clock      func() time.Time
	limits     Limits
	currencies []string
	payURL     string // up to the payment id
	outages    []Outage
	partners   *registry
	flights    *flights
	metrics    *metrics
	requests   *edge.Metrics
	hardening  hardening
	started    time.Time // origin of the quotas' clock
	handler    fasthttp.RequestHandler
	// fingerprint tells who is calling; tests without TLS replace it.
	fingerprint func(ctx *fasthttp.RequestCtx) (*caller, error)

	// uncertain is done when Close has been called.
	uncertain context.Context
	stop      context.CancelFunc
}

// New makes the API and registers its metrics.
func New(cfg Config) (*API, error) {
	if cfg.Bank == nil || cfg.Links == nil || cfg.Keys == nil || cfg.Logger == nil || cfg.Registerer == nil {
		return nil, errors.New("partner: Config needs Bank, Links, Keys, Logger and Registerer")
	}
	publicURL := strings.TrimSuffix(cfg.PublicURL, "/")
	if !strings.HasPrefix(publicURL, "https://") && !strings.HasPrefix(publicURL, "http://") {
		return nil, fmt.Errorf("partner: PublicURL %q is not absolute; give the customer pages' address, such as https://pay.bank.example", cfg.PublicURL)
	}
	if len(cfg.Outages) > OutagesMax {
		return nil, fmt.Errorf("partner: %d outages are planned, allowed are %d; leave out those that are past", len(cfg.Outages), OutagesMax)
	}
	currencies := cfg.Currencies
	if len(currencies) == 0 {
		currencies = []string{"CNY", "EUR", "GBP", "JPY", "USD"}
	}
	for _, c := range currencies {
		if _, ok := money.Exponent(c); !ok {
			return nil, fmt.Errorf("partner: currency %q is not known; leave it out of Currencies", c)
		}
	}
	clock := cfg.Clock
	if clock == nil {
		clock = time.Now
	}
	a := &API{
		bank: cfg.Bank, links: cfg.Links, keys: cfg.Keys, logger: cfg.Logger, clock: clock,
		limits: cfg.Limits.withDefaults(), currencies: slices.Clone(currencies),
		payURL: publicURL + "/pay/", outages: slices.Clone(cfg.Outages), hardening: newHardening(),
	}
	a.partners = newRegistry(cfg.Bank, a.limits, cfg.Logger)
	a.flights = newFlights(a.limits)
	a.fingerprint = tlsCaller
	a.uncertain, a.stop = context.WithCancel(context.Background())
	a.started = clock()
	var err error
	if a.requests, err = edge.NewMetrics(cfg.Registerer, "partner"); err != nil {
		return nil, fmt.Errorf("partner: %w", err)
	}
	if a.metrics, err = newMetrics(cfg.Registerer, a.flights); err != nil {
		return nil, err
	}
	a.handler = a.routes(a.requests)
	return a, nil
}

// Paths of the API.
const (
	pathPayments = "/v1/payments/domestic-transfers"
	pathPayment  = pathPayments + "/{id}"
)

func (a *API) routes(requests *edge.Metrics) fasthttp.RequestHandler {
	r := router.New()
	r.RedirectTrailingSlash = false
	r.RedirectFixedPath = false
	r.HandleOPTIONS = false
	handle := func(method, path, class string, h fasthttp.RequestHandler) {
		r.Handle(method, path, requests.Route(method+" "+path, class, a.withRequestID(h)))
	}
	partners := func(quota func(*partner) *bucket, h partnerHandler) fasthttp.RequestHandler {
		return a.authenticated(quota, h)
	}
	creates := func(p *partner) *bucket { return p.quotas.creates }
	polls := func(p *partner) *bucket { return p.quotas.polls }
	cancels := func(p *partner) *bucket { return p.quotas.cancels }

	handle(fasthttp.MethodPost, pathPayments, "create", partners(creates, a.create))
	handle(fasthttp.MethodGet, pathPayment, "read", partners(polls, a.details))
	handle(fasthttp.MethodGet, pathPayment+"/status", "read", partners(polls, a.status))
	handle(fasthttp.MethodGet, pathPayment+"/authorisations/{authId}", "read", partners(polls, a.scaStatus))
	handle(fasthttp.MethodDelete, pathPayment, "cancel", partners(cancels, a.cancel))
	handle(fasthttp.MethodGet, "/v1/notification-keys", "read", partners(polls, a.notificationKeys))
	for _, method := range []string{fasthttp.MethodGet, fasthttp.MethodHead} {
		handle(method, "/discovery/status", "public", a.discoveryStatus)
		handle(method, "/discovery/outages", "public", a.discoveryOutages)
	}
	r.NotFound = requests.Route(edge.NoRoute, edge.NoRoute, a.withRequestID(func(ctx *fasthttp.RequestCtx) {
		a.problem(ctx, problemNoSuchPath)
	}))
	r.MethodNotAllowed = requests.Route(edge.NoRoute, edge.NoRoute, a.withRequestID(func(ctx *fasthttp.RequestCtx) {
		a.problem(ctx, problemMethod)
	}))
	return r.Handler
}

// Handler routes and answers requests.
func (a *API) Handler() fasthttp.RequestHandler { return a.handler }

// Server makes a server for connections of a Listener.
func (a *API) Server(limits edge.Limits) *fasthttp.Server {
	return edge.NewServer("partner", a.handler, a.fail, limits, a.logger)
}

// Close stops asking about creates whose fate is not known. Requests under way end by their deadlines.
func (a *API) Close() {
	a.stop()
	a.flights.close()
}
