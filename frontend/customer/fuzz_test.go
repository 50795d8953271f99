package customer

import (
	"bytes"
	"compress/gzip"
	"net/url"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// FuzzPages drives the pages with whatever may stand in an address, a form, a cookie or a header: they never panic, never
// answer 5xx but 503, never give input back unescaped, and never show an account number in full.
func FuzzPages(f *testing.F) {
	h := newHouse(f)
	id, link := h.pay()
	v := h.visitor()
	confirm := v.signIn(link, "anna")
	code := v.choose(confirm)
	_, fields := confirm.form(f, "confirm")
	_, consent, _ := strings.Cut(code.address, "&c=")
	cookies := map[string]string{}
	for name, value := range v.cookies {
		cookies[name] = value
	}
	path, s, _ := strings.Cut(link, "?")
	steps := []string{"", "/sign-in", "/confirm", "/code", "/result", "/busy", "/locked", "/cancel", "/sign-out", "/signed-out", "/session", "/x", "/payments", "/payments/" + id.String()}
	const marker = `"><img src=x onerror=1>'`
	f.Add(uint8(0), true, s, "", "", "en", "")
	f.Add(uint8(1), false, s, "username=anna&password="+url.QueryEscape(marker), "", "zh-CN", "")
	f.Add(uint8(2), false, s+"&why="+url.QueryEscape(marker), "account=0-1234&csrf="+fields.Get("csrf"), "", "en", "")
	f.Add(uint8(3), false, s+"&c="+consent, "code=123456&csrf="+fields.Get("csrf"), "", "en", "")
	f.Add(uint8(3), true, s+"&c="+url.QueryEscape(marker), "", "", marker, "")
	f.Add(uint8(4), true, s+"&sent=1&stay="+url.QueryEscape(marker), "", "", "en", "")
	f.Add(uint8(5), true, s+"&reason="+url.QueryEscape(marker)+"&wait=99999999999999999999", "", "", "en", "")
	f.Add(uint8(6), true, s+"&until=9223372036854775807&what="+url.QueryEscape(marker), "", "", "en", "")
	f.Add(uint8(7), false, s, "csrf="+url.QueryEscape(marker), "netbank="+marker, "en", "cross-site")
	f.Add(uint8(9), true, "s=%00&s=&lang="+url.QueryEscape(marker), "", "__Host-netbank=x", "en", "")
	f.Add(uint8(10), true, marker, "", "", "en", marker)
	f.Add(uint8(12), true, "before="+url.QueryEscape(marker), "", "", "en", "")
	f.Fuzz(func(t *testing.T, step uint8, get bool, query, form, cookie, language, site string) {
		var ctx fasthttp.RequestCtx
		ctx.Init(&fasthttp.Request{}, nil, nil)
		r := &ctx.Request
		r.Header.SetMethod("POST")
		if get {
			r.Header.SetMethod("GET")
		}
		address := steps[int(step)%len(steps)]
		if !strings.HasPrefix(address, "/payments") {
			address = path + address
		}
		r.SetRequestURI(address)
		r.URI().SetQueryString(query)
		for name, value := range cookies {
			r.Header.SetCookie(name, value)
		}
		if cookie != "" {
			r.Header.Set("Cookie", cookie)
		}
		r.Header.Set("Accept-Language", language)
		if r.Header.Set("Sec-Fetch-Site", site); site == "" {
			r.Header.Set("Sec-Fetch-Site", "same-origin")
		}
		r.Header.SetContentType("application/x-www-form-urlencoded")
		r.SetBodyString(form)
		h.handler(&ctx)
		status, body, location := ctx.Response.StatusCode(), ctx.Response.Body(), string(ctx.Response.Header.Peek("Location"))
		if status >= 500 && status != fasthttp.StatusServiceUnavailable {
			t.Fatalf("status %d: %s", status, body)
		}
		if location != "" && !strings.HasPrefix(location, "/pay/") && location != "/signed-out" && location != "/payments" && !strings.HasPrefix(location, "/sign-in?why=") {
			t.Fatalf("leads to %q", location)
		}
		for _, never := range []string{"<img", "<script", "javascript:", account, second} {
			if bytes.Contains(body, []byte(never)) || strings.Contains(location, never) {
				t.Fatalf("%q in the answer: %s\n%s", never, location, body)
			}
		}
		if strings.ContainsAny(location, "\r\n \"<>") {
			t.Fatalf("leads to %q", location)
		}
		if h.logs.Len() > 1<<20 {
			h.logs.Reset()
		}
	})
}

func TestConfirmPageIsSmall(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	v.header["Accept-Language"] = "zh-CN"
	confirm := v.signIn(link, "anna")
	_, rest, _ := strings.Cut(confirm.body, `rel="stylesheet" href="`)
	style, _, _ := strings.Cut(rest, `"`)
	css := v.get(style)
	if css.status != 200 || string(css.header.Peek("Cache-Control")) != "public, max-age=31536000, immutable" {
		t.Fatalf("%s: %d", style, css.status)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	for _, part := range []string{confirm.body, css.body} {
		if _, err := w.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if most := 10 << 10; packed.Len() > most {
		t.Fatalf("the confirm page with its style has %d bytes compressed, at most %d", packed.Len(), most)
	}
	if missing := v.get("/static/none.css"); missing.status != 404 {
		t.Fatal(missing.status)
	}
}

// request prepares one request that can be served again and again.
func (v *visitor) request(method, address, body string) *fasthttp.RequestCtx {
	ctx := &fasthttp.RequestCtx{}
	ctx.Init(&fasthttp.Request{}, nil, nil)
	ctx.Request.Header.SetMethod(method)
	ctx.Request.SetRequestURI(address)
	ctx.Request.Header.Set("Sec-Fetch-Site", "same-origin")
	for name, value := range v.cookies {
		ctx.Request.Header.SetCookie(name, value)
	}
	if body != "" {
		ctx.Request.Header.SetContentType("application/x-www-form-urlencoded")
		ctx.Request.SetBodyString(body)
	}
	return ctx
}

func BenchmarkConfirmPage(b *testing.B) {
	h := newHouse(b)
	_, link := h.pay()
	v := h.visitor()
	ctx := v.request("GET", v.signIn(link, "anna").address, "")
	b.ReportAllocs()
	for b.Loop() {
		ctx.Response.Reset()
		h.handler(ctx)
	}
	b.ReportMetric(float64(len(ctx.Response.Body())), "bytes/page")
}

func BenchmarkResultPage(b *testing.B) {
	h := newHouse(b)
	_, link := h.pay()
	v := h.visitor()
	ctx := v.request("GET", v.follow(v.submit(v.toCode(link), "code", "code", h.code(0))).address, "")
	b.ReportAllocs()
	for b.Loop() {
		ctx.Response.Reset()
		h.handler(ctx)
	}
}

// BenchmarkPay is the POST that moves money, with the attempt in the journal and the code's check; the node is left out. Each payment is
// paid once, so a new one is made outside of the measured time.
func BenchmarkPay(b *testing.B) {
	h := newHouse(b)
	v := h.visitor()
	_, link := h.pay()
	v.signIn(link, "anna")
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		h.bank.must(b, unlock())
		id, link := h.pay()
		code := v.choose(v.open(link))
		action, fields := code.form(b, "code")
		fields.Set("code", h.code(0))
		ctx := v.request("POST", action, fields.Encode())
		h.bank.answers = answerOf(h.bank, id)
		b.StartTimer()
		h.handler(ctx)
		b.StopTimer()
		if ctx.Response.StatusCode() != 303 || !strings.Contains(string(ctx.Response.Header.Peek("Location")), "/result?") {
			b.Fatalf("%d %s", ctx.Response.StatusCode(), ctx.Response.Header.Peek("Location"))
		}
		b.StartTimer()
	}
}
