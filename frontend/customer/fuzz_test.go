package customer

import (
	"bytes"
	"compress/gzip"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"netbank/cluster/journal"
	"netbank/session/passkeytest"
)

// fuzzed is what FuzzPages may stand before: every page, and every form. A step that is an address of its own begins with a slash.
var fuzzed = []string{
	"", "sign-in", "confirm", "code", "message", "result", "busy", "wait", "locked", "cancel", "sign-out", "signed-out", "session", "x",
	"/", "/sign-in", "/sign-out", "/session", "/wait", "/mandates", "/payments", "/payments/{payment}", "/security", passwordAction,
	"/factors", "/factors/new", "/factors/remove", "/factors/code", "/factors/message",
}

// guest is a customer who is signed in, with what is valid for him at this moment.
type guest struct {
	payment journal.PaymentID
	cookies map[string]string
	valid   *strings.Replacer // of words in braces
}

func signedInGuest(t testing.TB, h *house) *guest {
	h.bank.must(t, unlock())
	id, link := h.pay()
	v := h.visitor()
	confirm := v.signIn(link, "anna")
	_, fields := confirm.form(t, "confirm")
	_, s, _ := strings.Cut(link, "?")
	_, consent, _ := strings.Cut(v.choose(confirm).address, "&c=")
	consent, _, _ = strings.Cut(consent, "&")
	made := v.get("/factors/new")
	action, _ := made.form(t, "new")
	_, asked, _ := strings.Cut(action, "?c=")
	credential, err := passkeytest.New("https://pay.bank.example").Create(optionsOf(t, made))
	if err != nil {
		t.Fatal(err)
	}
	_, change, _ := strings.Cut(v.submit(made, "new", "credential", credential, "name", "My phone").location, "?c=")
	return &guest{payment: id, cookies: maps.Clone(v.cookies), valid: strings.NewReplacer(
		"{csrf}", fields.Get("csrf"), "{account}", url.QueryEscape(fields.Get("account")), "{payment}", id.String(), "{link}", s, "{consent}", consent,
		"{asked}", asked, "{credential}", url.QueryEscape(credential), "{change}", change,
	)}
}

// over tells whether the guest was signed out, or the payment has ended.
func (g *guest) over(h *house) bool {
	_, err := h.sessions.Open([]byte(g.cookies[h.pages.cookie]))
	p, _, _ := h.bank.Payment(g.payment)
	return err != nil || p.State != journal.StateReceived
}

// FuzzPages drives the pages with whatever may stand in an address, a form, a cookie or a header: they never panic, never
// answer 5xx but 503, never give input back unescaped, and never show an account number in full. Where a word in braces stands, what is valid is
// put in its place: the session's token, the payment's link, what was sealed. Otherwise nothing would come past the first check.
func FuzzPages(f *testing.F) {
	h, _ := withFactors(f)
	g := signedInGuest(f, h)
	const marker = `"><img src=x onerror=1>'`
	odd := url.QueryEscape(marker)
	seed := func(address string, get bool, query, form, cookie, language, site string) {
		f.Add(uint8(slices.Index(fuzzed, address)), get, query, form, cookie, language, site)
	}
	seed("", true, "{link}", "", "", "en", "")
	seed("sign-in", false, "{link}", "username=anna&password="+odd, "", "zh-CN", "")
	seed("confirm", false, "{link}&why="+odd, "account={account}&csrf={csrf}", "", "en", "")
	seed("confirm", false, "{link}", "account=0-1234&csrf={csrf}", "", "en", "")
	seed("code", false, "{link}&c={consent}", "code=123456&csrf={csrf}", "", "en", "")
	seed("code", false, "{link}&c={consent}&f=passkey", "credential={credential}&csrf={csrf}", "", "en", "")
	seed("code", true, "{link}&c="+odd, "", "", marker, "")
	seed("message", false, "{link}&c={consent}&f=message", "csrf={csrf}", "", "en", "")
	seed("result", true, "{link}&sent=1&stay="+odd, "", "", "en", "")
	seed("busy", true, "{link}&reason="+odd+"&wait=99999999999999999999", "", "", "en", "")
	seed("wait", true, "{link}", "", "", "en", "")
	seed("locked", true, "{link}&until=9223372036854775807&what="+odd, "", "", "en", "")
	seed("cancel", false, "{link}", "csrf="+odd, "netbank="+marker, "en", "cross-site")
	seed("sign-out", false, "{link}", "csrf={csrf}", "", "en", "")
	seed("signed-out", true, "s=%00&s=&lang="+odd, "", "__Host-netbank=x", "en", "")
	seed("session", true, marker, "", "", "en", marker)
	seed("/sign-in", false, "", "username="+odd+"&password=x", "netbank=x", "en", "")
	seed("/sign-out", false, "", "csrf={csrf}", "", "en", "")
	seed("/payments", true, "before="+odd, "", "", "en", "")
	seed("/payments/{payment}", true, "", "", "", "en", "")
	seed("/mandates", true, "why="+odd, "", "", "zh-CN", "")
	seed("/security", true, "why=password-short", "", "", "en", "")
	seed(passwordAction, false, "", "csrf={csrf}&present="+odd+"&chosen=four+plums+in+a+row&again=four+plums+in+a+row", "", "en", "")
	seed(passwordAction, false, "", "csrf={csrf}&present=x&chosen=%00%ff&again=%00%ff", "", "en", "")
	seed("/factors/new", false, "c={asked}", "csrf={csrf}&name="+odd+"&credential={credential}", "", "en", "")
	seed("/factors/remove", false, "", "csrf={csrf}&key=0123456789abcdef", "", "en", "")
	seed("/factors/code", true, "c={change}&f=message&why=code-wrong", "", "", "en", "")
	seed("/factors/code", false, "c={change}&f=message", "csrf={csrf}&code=123456", "", "en", "")
	seed("/factors/message", false, "c={change}&f="+odd, "csrf={csrf}", "", "en", "")
	f.Fuzz(func(t *testing.T, step uint8, get bool, query, form, cookie, language, site string) {
		if g.over(h) {
			h.t = t
			g = signedInGuest(t, h)
		}
		var ctx fasthttp.RequestCtx
		ctx.Init(&fasthttp.Request{}, nil, nil)
		r := &ctx.Request
		r.Header.SetMethod("POST")
		if get {
			r.Header.SetMethod("GET")
		}
		address := fuzzed[int(step)%len(fuzzed)]
		if !strings.HasPrefix(address, "/") {
			address = strings.TrimSuffix("/pay/{payment}/"+address, "/")
		}
		r.SetRequestURI(g.valid.Replace(address))
		r.URI().SetQueryString(g.valid.Replace(query))
		for name, value := range g.cookies {
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
		r.SetBodyString(g.valid.Replace(form))
		h.handler(&ctx)
		holdAnswer(t, &ctx)
		if h.logs.Len() > 1<<20 {
			h.logs.Reset()
		}
	})
}

// holdAnswer holds an answer to what is true of every one, whatever was asked.
func holdAnswer(t *testing.T, ctx *fasthttp.RequestCtx) {
	t.Helper()
	status, body, location := ctx.Response.StatusCode(), ctx.Response.Body(), string(ctx.Response.Header.Peek("Location"))
	if status >= 500 && status != fasthttp.StatusServiceUnavailable {
		t.Fatalf("status %d: %s", status, body)
	}
	to, _, _ := strings.Cut(location, "?")
	if !strings.HasPrefix(to, "/pay/") && !slices.Contains([]string{"", "/signed-out", "/payments", "/sign-in", "/security", "/factors", "/factors/new", "/factors/code", "/locked"}, to) {
		t.Fatalf("leads to %q", location)
	}
	scripts := scriptTag.ReplaceAll(body, nil) // but for the one that a nonce names
	for _, never := range []string{"<img", "<script", "javascript:", account, second} {
		if bytes.Contains(scripts, []byte(never)) || strings.Contains(location, never) {
			t.Fatalf("%q in the answer: %s\n%s", never, location, body)
		}
	}
	if strings.ContainsAny(location, "\r\n \"<>") {
		t.Fatalf("leads to %q", location)
	}
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
