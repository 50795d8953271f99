package partner

import (
	"testing"

	"github.com/valyala/fasthttp"

	"netbank/frontend/edge"
)

func BenchmarkReadOrder(b *testing.B) {
	body := []byte(orderJSON)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := readOrder(body, allCurrencies, testNow); err != nil {
			b.Fatal(err)
		}
	}
}

// handle drives the handler as the server would, without a connection.
func handle(b *testing.B, h *house, method, path, body string, want int, header func(*fasthttp.RequestHeader)) {
	who := &caller{fingerprint: fingerprintOf("shop")}
	h.api.fingerprint = func(*fasthttp.RequestCtx) (*caller, error) { return who, nil }
	handler := h.api.Handler()
	ctx := &fasthttp.RequestCtx{}
	ctx.Init(&fasthttp.Request{}, nil, nil)
	b.ReportAllocs()
	for b.Loop() {
		ctx.ResetUserValues()
		ctx.Response.Reset()
		ctx.Request.Header.SetMethod(method)
		ctx.Request.SetRequestURI(path)
		ctx.Request.SetBodyString(body)
		ctx.Request.Header.Set(headerRequestID, someUUID)
		if header != nil {
			header(&ctx.Request.Header)
		}
		handler(ctx)
		if ctx.Response.StatusCode() != want {
			b.Fatalf("%d %s", ctx.Response.StatusCode(), ctx.Response.Body())
		}
	}
}

// The hottest read: what partners poll.
func BenchmarkStatus(b *testing.B) {
	bank := newBank(b)
	h := newHouse(b, bank, nil, edge.Limits{})
	id := h.create("k")
	setRates(b, bank, 1_000_000_000)
	h.api.partners.limits.PartnerFresh = 1 << 62
	handle(b, h, "GET", pathPayments+"/"+id+"/status", "", 200, nil)
}

// A replay, which costs what a create costs but for the journal's new payment.
func BenchmarkCreate(b *testing.B) {
	bank := newBank(b)
	setRates(b, bank, 1_000_000_000)
	h := newHouse(b, bank, nil, edge.Limits{})
	handle(b, h, "POST", pathPayments, orderJSON, 201, func(header *fasthttp.RequestHeader) {
		header.SetContentType("application/json")
		header.Set(headerIdempotencyKey, "key-1")
		header.Set(headerRedirectURI, "https://shop.example/back?state=1")
	})
}

// What a path that is not there costs.
func BenchmarkNotFound(b *testing.B) {
	h := newHouse(b, newBank(b), nil, edge.Limits{})
	handle(b, h, "GET", "/v1/nothing", "", 404, nil)
}
