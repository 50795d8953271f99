package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"
)

func TestLive_WhatReachesTheCoreNeedsASeat(t *testing.T) {
	f := func(limit, request string, want bool) {
		t.Helper()
		method, path, _ := strings.Cut(request, " ")
		if got := (&live{Limit: limit}).limited(method, path); got != want {
			t.Errorf("%s with --limit %s: %v", request, limit, got)
		}
	}
	const pay = "/pay/0197a9a4-5b7f-7000-8000-000000000001"
	f(limitCore, "POST "+pay+"/code", true)
	f(limitCore, "POST "+pay+"/sign-in", false)
	f(limitCore, "GET "+pay+"/confirm", false)
	f(limitCore, "GET "+pay+"/code", false)
	f(limitFlow, "POST "+pay+"/code", true)
	f(limitFlow, "POST "+pay+"/sign-in", true)
	f(limitFlow, "GET "+pay+"/confirm", true)
	f(limitFlow, "POST "+pay+"/confirm", false)
	f(limitFlow, "GET "+pay, false)
	f(limitFlow, "POST /sign-in", false)
}

func TestLive_EveryLimiterStandsWithItsDefaultsAndWithItsBestSetting(t *testing.T) {
	for _, name := range liveLimiters() {
		for _, tuned := range []bool{false, true} {
			of, err := (&live{Limiter: name, Tuned: tuned}).limiter()
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if release, ok := of.acquire(); ok {
				release(false)
			} else {
				t.Errorf("%s refuses the first of all", name)
			}
		}
	}
	for _, name := range []string{"Sentinel", "no limit", "nobody's"} {
		if _, err := (&live{Limiter: name}).limiter(); err == nil || !strings.Contains(err.Error(), "Gradient2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// proxied is a proxy with a limiter before a bank, both in memory.
type proxied struct {
	t     *testing.T
	front *fasthttputil.InmemoryListener
}

func newProxied(t *testing.T, of limiter, bank fasthttp.RequestHandler) *proxied {
	door := fasthttputil.NewInmemoryListener()
	l := &live{Limit: limitCore, Late: 2 * time.Second, Bank: "bank.example:80"}
	p := &proxied{t: t, front: fasthttputil.NewInmemoryListener()}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- serve(ctx, door, bank) }()
	go func() {
		ended <- serve(ctx, p.front, l.before(&fasthttp.HostClient{Addr: l.Bank, Dial: func(string) (net.Conn, error) { return door.Dial() }}, of))
	}()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	return p
}

// send sends a request, and gives the connection that the answer comes on.
func (p *proxied) send(method, path string) net.Conn {
	p.t.Helper()
	c, err := p.front.Dial()
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := io.WriteString(c, method+" "+path+" HTTP/1.1\r\nHost: bank.example\r\nContent-Length: 0\r\n\r\n"); err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *proxied) ask(method, path string) (int, string) {
	p.t.Helper()
	c := p.send(method, path)
	defer c.Close()
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

func TestLive_WhoIsRefusedDoesNotReachTheBank_AndIsLedBackToTheStep(t *testing.T) {
	var came atomic.Int64
	p := newProxied(t, &steps{size: 0}, func(ctx *fasthttp.RequestCtx) {
		came.Add(1)
		ctx.SetBodyString("from the bank: " + string(ctx.RequestURI()))
	})
	status, body := p.ask("POST", "/pay/1/code?s=a&c=%3C")
	if status != 503 || !strings.Contains(body, `<a class="go" href="/pay/1/code?s=a&amp;c=%3C">`) || came.Load() != 0 {
		t.Errorf("%d, %s; %d requests reached the bank", status, body, came.Load())
	}
	if status, body = p.ask("GET", "/pay/1/code?s=a&c=%3C"); status != 200 || body != "from the bank: /pay/1/code?s=a&c=%3C" {
		t.Errorf("%d, %s", status, body)
	}
}

// TestLive_ASeatEndsWithTheBanksAnswer, and not with the customer's patience.
func TestLive_ASeatEndsWithTheBanksAnswer(t *testing.T) {
	inside, answer, freed := make(chan struct{}), make(chan struct{}), make(chan bool, 1)
	p := newProxied(t, once{seat: new(atomic.Bool), freed: freed}, func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) == "/pay/1/code" {
			close(inside)
			<-answer
		}
	})
	leaves := p.send("POST", "/pay/1/code")
	<-inside
	leaves.Close()
	if len(freed) > 0 {
		t.Fatal("the seat was given back before the bank had answered")
	}
	if status, _ := p.ask("POST", "/pay/2/code"); status != 503 {
		t.Errorf("the seat of one who has left was given away: %d", status)
	}
	close(answer)
	if late := <-freed; late {
		t.Error("an answer at once counts as late")
	}
}

// once has one seat, and says when it is free again.
type once struct {
	seat  *atomic.Bool
	freed chan bool
}

func (o once) acquire() (func(bool), bool) {
	if !o.seat.CompareAndSwap(false, true) {
		return nil, false
	}
	return func(late bool) {
		o.seat.Store(false)
		o.freed <- late
	}, true
}

func (once) limit() int { return 1 }
