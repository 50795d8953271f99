package main

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// What the proxy may hold, and how long it waits.
const (
	liveConnections = 16_384                     // to the bank, and from customers
	liveAnswer      = 20 * time.Second           // for the bank's answer: longer than the bank keeps anybody waiting
	liveHeader      = 16 << 10                   // bytes of a request's or an answer's header
	liveBody        = 64 << 10                   // bytes of a form
	liveStop        = 2 * time.Second            // for requests that are under way at the end
	liveAgain       = 1                          // second until somebody who was refused may try again
	retryAfter      = "Retry-After"              // header
	htmlType        = "text/html; charset=utf-8" // of the page that says so
)

// What is limited: the calls that reach the core, or every step of a payment that the bank works for.
const (
	limitCore = "core"
	limitFlow = "flow"
)

// live is a proxy with one limiter, as an operator would put one before a bank that has none.
type live struct {
	Limiter string        `help:"Whose: ${limiters}." required:""`
	Tuned   bool          `help:"With the setting of tuned.json in the place of its defaults."`
	Listen  string        `help:"Where customers come." required:""`
	Bank    string        `help:"The bank's customer door, HTTP." required:""`
	Limit   string        `help:"core: the confirmations, which are what reaches the core; flow: sign-ins and confirm pages too." enum:"core,flow" default:"core"`
	Late    time.Duration `help:"An answer after so long counts as late, for limiters that ask." default:"2s"`
}

// liveLimiters are those that can stand before a real bank: Sentinel has the simulation's clock.
func liveLimiters() []string {
	var names []string
	for _, p := range peers() {
		if p.arrangement == asBare && p.name != "Sentinel" && p.name != "no limit" {
			names = append(names, p.name)
		}
	}
	return names
}

// limiter makes the one that was asked for, the same as in virtual time.
func (l *live) limiter() (limiter, error) {
	all := peers()
	i := slices.IndexFunc(all, func(p peer) bool { return p.name == l.Limiter && p.arrangement == asBare })
	if i < 0 || !slices.Contains(liveLimiters(), l.Limiter) {
		return nil, fmt.Errorf("--limiter is %q; there are %s", l.Limiter, strings.Join(liveLimiters(), ", "))
	}
	chosen := all[i].settings[0]
	if l.Tuned {
		var err error
		if chosen, err = all[i].tuned(); err != nil {
			return nil, err
		}
	}
	return chosen.begin().(*door).limiter, nil
}

// Run proxies until it is told to end.
func (l *live) Run() error {
	of, err := l.limiter()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", l.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w; choose another address with --listen", l.Listen, err)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	return serve(ctx, listener, l.before(l.client(), of))
}

// serve serves until the context ends.
func serve(ctx context.Context, listener net.Listener, handler fasthttp.RequestHandler) error {
	server := &fasthttp.Server{
		Handler: handler, Concurrency: liveConnections, ReadBufferSize: liveHeader, MaxRequestBodySize: liveBody, NoDefaultServerHeader: true, CloseOnShutdown: true,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.Background(), liveStop)
	defer cancel()
	if err := server.ShutdownWithContext(stop); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// client is how the bank is reached.
func (l *live) client() *fasthttp.HostClient {
	return &fasthttp.HostClient{
		Addr: l.Bank, MaxConns: liveConnections, ReadTimeout: liveAnswer, ReadBufferSize: liveHeader, NoDefaultUserAgentHeader: true, DisablePathNormalizing: true,
		RetryIfErr: func(*fasthttp.Request, int, error) (reset, retry bool) { return false, false }, // what reached the bank is not sent twice
	}
}

// before asks the limiter, and lets the bank answer. A seat ends with the bank's answer: a customer who has left meanwhile does not free it, since what he
// asked for is still inside.
func (l *live) before(bank *fasthttp.HostClient, of limiter) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if l.limited(string(ctx.Method()), string(ctx.Path())) {
			began := time.Now()
			release, ok := of.acquire()
			if !ok {
				refuse(ctx)
				return
			}
			defer func() { release(time.Since(began) > l.Late) }()
		}
		ctx.Request.Header.Del(fasthttp.HeaderConnection)
		if err := bank.Do(&ctx.Request, &ctx.Response); err != nil {
			ctx.Error("the bank did not answer", fasthttp.StatusBadGateway)
			return
		}
		ctx.Response.Header.Del(fasthttp.HeaderConnection)
	}
}

// limited tells which requests need a seat.
func (l *live) limited(method, path string) bool {
	step, pays := strings.CutPrefix(path, "/pay/")
	_, step, _ = strings.Cut(step, "/")
	switch {
	case !pays:
		return false
	case method == fasthttp.MethodPost && step == "code":
		return true
	case l.Limit == limitCore:
		return false
	}
	return method == fasthttp.MethodPost && step == "sign-in" || method == fasthttp.MethodGet && step == "confirm"
}

// refuse says no as a proxy can: it does not know the payment, and promises nothing of it. The link leads to the same step, where it can be tried again.
func refuse(ctx *fasthttp.RequestCtx) {
	here := html.EscapeString(string(ctx.RequestURI()))
	ctx.Response.Header.SetContentType(htmlType)
	ctx.Response.Header.Set(retryAfter, fmt.Sprint(liveAgain))
	ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
	fmt.Fprintf(ctx, "<!doctype html><title>Busy</title><p>The bank is busy. Please try again in a moment.</p><p><a class=\"go\" href=\"%s\">Try again</a></p>", here)
}
