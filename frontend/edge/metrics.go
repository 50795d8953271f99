package edge

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

// Outcome says how a request ended, in the words of the metric netbank_http_requests_total.
type Outcome uint8

// The outcomes. The status decides, unless the handler calls SetOutcome.
const (
	Answered Outcome = iota + 1 // 1xx to 3xx
	Rejected                    // 4xx but 429: the client's mistake
	Refused                     // 429 and 503: shed before any work
	Failed                      // 5xx but 503, and panics
	outcomes = 5
)

func (o Outcome) String() string {
	names := [outcomes]string{"", "answered", "rejected", "refused", "failed"}
	if int(o) < len(names) {
		return names[o]
	}
	return "unknown"
}

type outcomeKey struct{}

// SetOutcome overrides what the status would say, such as a page with status 200 that tells of a refusal.
func SetOutcome(ctx *fasthttp.RequestCtx, o Outcome) {
	if o >= Answered && o < outcomes {
		ctx.SetUserValue(outcomeKey{}, o)
	}
}

// Metrics counts and times the requests of one listener.
//
//	netbank_http_requests_total{listener,route,class,outcome}
//	netbank_http_request_duration_seconds{listener,route}
//	netbank_http_requests_in_flight{listener}
type Metrics struct {
	listener string
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
}

// NewMetrics makes the metrics of a listener. Listeners of one process share a registerer and differ in the label.
func NewMetrics(registerer prometheus.Registerer, listener string) (*Metrics, error) {
	requests, err := register(registerer, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "netbank_http_requests_total",
		Help: "Requests, by listener, route template, class of work and outcome (answered, rejected, refused, failed).",
	}, []string{"listener", "route", "class", "outcome"}))
	if err != nil {
		return nil, err
	}
	duration, err := register(registerer, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:                           "netbank_http_request_duration_seconds",
		Help:                           "Time from a request's last byte to its answer, by listener and route template.",
		Buckets:                        []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		NativeHistogramBucketFactor:    1.1,
		NativeHistogramMaxBucketNumber: 160,
	}, []string{"listener", "route"}))
	if err != nil {
		return nil, err
	}
	inFlight, err := register(registerer, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "netbank_http_requests_in_flight",
		Help: "Requests that are being handled, by listener.",
	}, []string{"listener"}))
	if err != nil {
		return nil, err
	}
	return &Metrics{listener: listener, requests: requests, duration: duration, inFlight: inFlight.WithLabelValues(listener)}, nil
}

func register[C prometheus.Collector](registerer prometheus.Registerer, c C) (C, error) {
	err := registerer.Register(c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(C); ok {
			return existing, nil
		}
	}
	if err != nil {
		return c, fmt.Errorf("edge: registering metrics: %w", err)
	}
	return c, nil
}

// Watch adds the connections of the listener:
//
//	netbank_http_connections_open{listener}
//	netbank_http_connections_shed_total{listener}
//	netbank_http_connections_unannounced_total{listener}
func (m *Metrics) Watch(registerer prometheus.Registerer, l *Listener) error {
	labels := prometheus.Labels{"listener": m.listener}
	open := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "netbank_http_connections_open", Help: "Connections that are open, by listener.", ConstLabels: labels,
	}, func() float64 { return float64(l.Open()) })
	shed := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "netbank_http_connections_shed_total", Help: "Connections closed because too many were open, by listener.", ConstLabels: labels,
	}, func() float64 { return float64(l.Shed()) })
	unannounced := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "netbank_http_connections_unannounced_total", Help: "Connections from balancers that did not say who their client is, by listener.", ConstLabels: labels,
	}, func() float64 { return float64(l.Unannounced()) })
	for _, c := range []prometheus.Collector{open, shed, unannounced} {
		if err := registerer.Register(c); err != nil {
			return fmt.Errorf("edge: registering metrics: %w", err)
		}
	}
	return nil
}

// Route wraps the handler of one route. The template is the route's pattern, such as /pay/{id}, never a request's path; the class is the
// kind of work, one of few.
func (m *Metrics) Route(template, class string, handler fasthttp.RequestHandler) fasthttp.RequestHandler {
	r := &route{inFlight: m.inFlight, duration: m.duration.WithLabelValues(m.listener, template), handler: handler}
	for o := Answered; o < outcomes; o++ {
		r.outcomes[o] = m.requests.WithLabelValues(m.listener, template, class, o.String())
	}
	return r.serve
}

// NoRoute is the template of requests that reached no route.
const NoRoute = "none"

// Unrouted counts an answer that no route gave: Fail calls it, but for 500, which the route has counted as a panic.
func (m *Metrics) Unrouted(status int) {
	m.requests.WithLabelValues(m.listener, NoRoute, NoRoute, outcomeOf(status).String()).Inc()
}

// route holds the resolved children of one route, so that a request looks up no label.
type route struct {
	handler  fasthttp.RequestHandler
	inFlight prometheus.Gauge
	duration prometheus.Observer
	outcomes [outcomes]prometheus.Counter
}

func (r *route) serve(ctx *fasthttp.RequestCtx) {
	r.inFlight.Inc()
	panicked := true
	defer func() { r.observe(ctx, panicked) }()
	r.handler(ctx)
	panicked = false
}

func (r *route) observe(ctx *fasthttp.RequestCtx, panicked bool) {
	r.inFlight.Dec()
	r.duration.Observe(time.Since(ctx.Time()).Seconds())
	outcome := outcomeOf(ctx.Response.StatusCode())
	if panicked {
		outcome = Failed
	} else if said, ok := ctx.UserValue(outcomeKey{}).(Outcome); ok {
		outcome = said
	}
	r.outcomes[outcome].Inc()
}

func outcomeOf(status int) Outcome {
	switch {
	case status == fasthttp.StatusTooManyRequests || status == fasthttp.StatusServiceUnavailable:
		return Refused
	case status >= 500:
		return Failed
	case status >= 400:
		return Rejected
	}
	return Answered
}
