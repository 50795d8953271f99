package customer

import (
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"netbank/cluster"
	"netbank/cluster/journal"
)

var anchor = regexp.MustCompile(`<a [^>]*href="([^"]*)"`)

// walk opens everything that links and refreshes lead to from some pages, and gives the addresses in order. send holds each page to have a way
// on of its own; here it is about what stands behind the links.
func (v *visitor) walk(from ...string) []string {
	t := v.h.t
	t.Helper()
	seen := map[string]bool{}
	for _, address := range from {
		seen[address] = true
	}
	for n := 0; n < len(from) && n < 400; n++ {
		p := v.get(from[n])
		if p.status == fasthttp.StatusNotFound || p.status >= 500 && !strings.Contains(from[n], "/busy?") {
			t.Errorf("a link leads to %s, which is a %d", from[n], p.status)
		}
		next := []string{p.location}
		for _, m := range anchor.FindAllStringSubmatch(p.body, -1) {
			next = append(next, html.UnescapeString(m[1]))
		}
		if _, by, ok := strings.Cut(string(p.header.Peek("Refresh")), "; url="); ok {
			next = append(next, by)
		}
		for _, address := range next {
			if address == "" || address[0] == '#' || strings.HasPrefix(address, "https://shop.example/") || seen[address] {
				continue
			}
			if !strings.HasPrefix(address, "/") {
				t.Errorf("%s leads to %s, which is nobody's here", from[n], address)
				continue
			}
			seen[address] = true
			from = append(from, address)
		}
	}
	return from
}

// TestNoPageIsADeadEnd walks over every page in every state of a payment, signed in and not, by all links there are.
func TestNoPageIsADeadEnd(t *testing.T) {
	h := newHouse(t)
	id, link := h.pay()
	paid, first := h.pay()
	v := h.visitor()
	v.submit(v.toCode(first), "code", "code", h.code(-1))
	step := func(name, more string) string { return strings.Replace(link, "?", "/"+name+"?", 1) + more }
	until := unix(time.Now().Add(time.Minute))
	pages := []string{
		"/", "/sign-in", "/sign-in?why=wrong", "/session", "/mandates", "/security", "/factors", "/factors/new", "/payments", "/payments?before=x", "/payments?before=" + id.String(), "/payments/" + paid.String(), "/signed-out", "/locked?what=sign-in&until=" + until, link, link + "&why=wrong", step("confirm", ""),
		step("session", ""), step("signed-out", ""), step("busy", "&reason=queue-full&wait=9"), step("busy", "&reason=no-leader"), step("result", "&sent=1"),
		step("result", "&sent="+unix(time.Now())+"000"), step("locked", "&what=code&until="+until),
	}
	for s := journal.StateReceived; s <= journal.StateReversing; s++ {
		stranger, customer := h.visitor(), h.visitor()
		h.bank.lies = nil
		code := customer.toCode(link)
		h.bank.lies = func(p journal.Payment) journal.Payment {
			if s != journal.StateReceived {
				p.State, p.Customer, p.Changed = s, anna, h.bank.now()
			}
			return p
		}
		walked := stranger.walk(pages...)
		signedIn := customer.walk(append([]string{code.address}, pages...)...)
		if len(walked) < len(pages)+5 || len(signedIn) < len(pages)+5 {
			t.Errorf("%v: only %d and %d pages", s, len(walked), len(signedIn))
		}
	}
}

func TestErrorPagesLeadOn(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	v.get("/nowhere").want(t, 404, `href="/"`)
	v.send("PUT", link, nil).want(t, 405)
	for _, status := range []int{400, 408, 413, 431, 500, 503} {
		for _, address := range []string{"/", link} {
			var ctx fasthttp.RequestCtx
			ctx.Init(&fasthttp.Request{}, nil, nil)
			ctx.Request.SetRequestURI(address)
			h.pages.Fail(&ctx, status)
			v.check(page{status: ctx.Response.StatusCode(), address: address, body: string(ctx.Response.Body()), header: &ctx.Response.Header})
		}
	}
}

func TestPageOfAPaymentThatNobodyCanLookUp_LeadsToTheSameLinkAgain(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	h.bank.blind = cluster.ErrUnavailable
	v := h.visitor()
	address, _ := url.Parse(link)
	p := v.get(strings.Replace(link, "?", "/confirm?", 1))
	p.want(t, 503, h.says("unseen-title"), h.says("look-again"), address.Path+"?s="+address.Query().Get("s"))
}

func TestInDoubt_BearsANumberThatStaysTheSame(t *testing.T) {
	h := newHouse(t)
	id, link := h.pay()
	h.bank.lies = func(p journal.Payment) journal.Payment {
		p.State, p.Customer = journal.StateInDoubt, anna
		return p
	}
	v := h.visitor()
	for range 2 {
		v.open(link).want(t, 200, h.says("doubt-title"), h.says("payment-number"), id.String(), h.says("doubt-keep"))
	}
}

func TestConfirmPage_ComesInOneRoundTripAfterTheRedirect(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	v.header["Accept-Language"] = "zh-CN"
	confirm := v.signIn(link, "anna")
	// RFC 6928: a connection begins with ten segments. 1,400 bytes are left of each after TLS.
	if sent, most := len(confirm.header.Header())+len(confirm.body), 10*1400; sent > most {
		t.Errorf("the confirm page has %d bytes with its header, at most %d", sent, most)
	}
	style := anchor.FindStringSubmatch(strings.ReplaceAll(confirm.body, `<link rel="stylesheet"`, "<a "))[1]
	v.header["Accept-Encoding"] = "gzip, br"
	packed := v.get(style)
	if packed.status != 200 || string(packed.header.Peek("Content-Encoding")) != "gzip" || len(packed.body) > 4<<10 {
		t.Errorf("%s: %d, %d bytes of %q", style, packed.status, len(packed.body), packed.header.Peek("Content-Encoding"))
	}
}
