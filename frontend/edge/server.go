package edge

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Limits bounds what strangers can make a listener hold. A zero field takes its default.
type Limits struct {
	// Connections open at once, idle ones too; what comes beyond is closed before a byte is read. Default 20,000.
	Connections int
	// RequestsInFlight are handled at once; what comes beyond is answered by Fail with 503. Default 8,192.
	RequestsInFlight int
	// BodyBytes of a request; 413 beyond. Default 16 KiB.
	BodyBytes int
	// HeaderBytes of a request line with its header; 431 beyond. It is also the read buffer of every connection that
	// has sent something. Default 8 KiB.
	HeaderBytes int
	// ReadTimeout from a request's first byte to its last, and for a TLS handshake. Default 5 s.
	ReadTimeout time.Duration
	// WriteTimeout of an answer. Default 10 s.
	WriteTimeout time.Duration
	// IdleTimeout between two requests on a connection. Default 15 s.
	IdleTimeout time.Duration
	// ConnectionAge is how long a connection is kept: the first answer after that closes it. A balancer that carries connections can give a node that has
	// come nothing but new ones. It differs by up to a quarter between connections, so that those that came together do not leave together. Default 30 s.
	ConnectionAge time.Duration
}

// DefaultLimits are the limits of a listener that was given none.
func DefaultLimits() Limits {
	return Limits{
		Connections:      20_000,
		RequestsInFlight: 8_192,
		BodyBytes:        16 << 10,
		HeaderBytes:      8 << 10,
		ReadTimeout:      5 * time.Second,
		WriteTimeout:     10 * time.Second,
		IdleTimeout:      15 * time.Second,
		ConnectionAge:    30 * time.Second,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	setDefault(&l.Connections, d.Connections)
	setDefault(&l.RequestsInFlight, d.RequestsInFlight)
	setDefault(&l.BodyBytes, d.BodyBytes)
	setDefault(&l.HeaderBytes, d.HeaderBytes)
	setDefault(&l.ReadTimeout, d.ReadTimeout)
	setDefault(&l.WriteTimeout, d.WriteTimeout)
	setDefault(&l.IdleTimeout, d.IdleTimeout)
	setDefault(&l.ConnectionAge, d.ConnectionAge)
	return l
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Fail writes an answer that no handler gave, in the listener's own form (a page, a problem document). The status
// is one of 400, 408, 413, 431, 500 and 503. The response is empty when it is called. It must not panic.
type Fail func(ctx *fasthttp.RequestCtx, status int)

// NewServer makes a server whose handler may panic and whose clients may misbehave. The name appears in log lines only.
// fail may be nil: then such answers have no body.
func NewServer(name string, handler fasthttp.RequestHandler, fail Fail, limits Limits, logger *slog.Logger) *fasthttp.Server {
	limits = limits.withDefaults()
	logger = logger.With("listener", name)
	if fail == nil {
		fail = func(ctx *fasthttp.RequestCtx, status int) { ctx.SetStatusCode(status) }
	}
	g := &guard{handler: handler, fail: fail, inFlightMax: int64(limits.RequestsInFlight), age: limits.ConnectionAge, logger: logger}
	return &fasthttp.Server{
		Handler:      g.serve,
		ErrorHandler: func(ctx *fasthttp.RequestCtx, err error) { fail(ctx, StatusOf(err)) },
		Logger:       printer{logger},
		// One more than the listener lets in: fasthttp's own refusal is plain text, and must never be what is met.
		Concurrency:                  limits.Connections + 1,
		ReadBufferSize:               limits.HeaderBytes,
		MaxRequestBodySize:           limits.BodyBytes,
		ReadTimeout:                  limits.ReadTimeout,
		WriteTimeout:                 limits.WriteTimeout,
		IdleTimeout:                  limits.IdleTimeout,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultDate:                true,
		NoDefaultContentType:         true,
		SecureErrorLogMessage:        true,
		CloseOnShutdown:              true,
	}
}

// StatusOf gives the status that answers a request which could not be read.
func StatusOf(err error) int {
	var small *fasthttp.ErrSmallBuffer
	var timed interface{ Timeout() bool } // net.Error, and what is as good as one
	switch {
	case errors.As(err, &small):
		return fasthttp.StatusRequestHeaderFieldsTooLarge
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		return fasthttp.StatusRequestEntityTooLarge
	case errors.As(err, &timed) && timed.Timeout():
		return fasthttp.StatusRequestTimeout
	}
	return fasthttp.StatusBadRequest
}

// guard stands between the server and the handler: it sheds what is too much, and turns a panic into an answer. A panic
// in a handler would otherwise end the process.
type guard struct {
	handler     fasthttp.RequestHandler
	fail        Fail
	inFlight    atomic.Int64
	inFlightMax int64
	age         time.Duration
	logger      *slog.Logger
}

func (g *guard) serve(ctx *fasthttp.RequestCtx) {
	if g.aged(ctx) {
		defer ctx.SetConnectionClose()
	}
	if g.inFlight.Add(1) > g.inFlightMax {
		g.inFlight.Add(-1)
		g.fail(ctx, fasthttp.StatusServiceUnavailable)
		return
	}
	defer g.finish(ctx)
	g.handler(ctx)
}

// aged says whether a connection has been kept for long enough.
func (g *guard) aged(ctx *fasthttp.RequestCtx) bool {
	const shares = 256
	most := g.age - g.age/4*time.Duration(mix(ctx.ConnID())%shares)/shares
	return ctx.Time().Sub(ctx.ConnTime()) >= most
}

// finish runs deferred, so that recover sees the handler's panic.
func (g *guard) finish(ctx *fasthttp.RequestCtx) {
	g.inFlight.Add(-1)
	p := recover()
	if p == nil {
		return
	}
	// The panic's value may hold what the request held; its type and the stack do not.
	g.logger.Error("edge: a handler panicked", "reference", Reference(ctx), "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
	ctx.Response.Reset()
	g.fail(ctx, fasthttp.StatusInternalServerError)
}

// printer hands fasthttp's own log lines to slog.
type printer struct{ logger *slog.Logger }

func (p printer) Printf(format string, args ...any) {
	p.logger.Warn("edge: " + fmt.Sprintf(format, args...))
}
