package customer

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/fasthttp/router"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/frontend/edge"
	"netbank/frontend/web"
	"netbank/session"
)

// Waits and sizes of the pages.
const (
	// ConfirmBudget is how long a customer's confirmation waits for the core's word before the page says that the
	// payment is being processed and follows by itself.
	ConfirmBudget = 8 * time.Second
	// SignInBudget bounds a sign-in with its password check and two commits.
	SignInBudget = 5 * time.Second
	// SubmitBudget bounds every other command.
	SubmitBudget = 5 * time.Second
	// BalanceBudget is how long the confirm page waits for balances that the customer asked for.
	BalanceBudget = 800 * time.Millisecond
	// ResultWait is how long the result page waits for news before it is sent, so that it rarely has to be asked twice.
	ResultWait = time.Second
	// MerchantAfter is when a settled payment's page goes back to the merchant by itself.
	MerchantAfter = 6 * time.Second
)

// Bank is what the pages need of a node.
type Bank interface {
	Submit(cmd *journal.Command, deadline time.Time) (journal.Result, error)
	Confirm(c cluster.Confirmation) (cluster.Confirmed, error)
	Balance(class gate.Class, account, currency string, budget time.Duration) (journal.Money, *cluster.Refusal, error)
	Payment(id journal.PaymentID) (journal.Payment, bool)
	Await(id journal.PaymentID, version uint32, deadline time.Time) (journal.Payment, bool)
	Refused(class gate.Class) (cluster.Refusal, bool)
	Now() journal.Millis
}

// Config of the pages.
type Config struct {
	Bank       Bank
	Sessions   *session.Store
	BankName   string // what the pages call the bank
	PublicURL  string // scheme and host under which customers reach the pages, such as https://pay.bank.example
	Registerer prometheus.Registerer
	Logger     *slog.Logger
}

// Pages serves a bank's customers.
type Pages struct {
	Config
	site   *web.Site
	origin string
	secure bool // the pages are reached over https: cookies are bound to it
	cookie string
	device string
}

// New makes the pages, or says what of the configuration cannot be.
func New(c Config) (*Pages, error) {
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Host == "" || u.Path != "" && u.Path != "/" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("customer: the public address %q is not a scheme and a host, such as https://pay.bank.example", c.PublicURL)
	}
	site, err := web.New()
	if err != nil {
		return nil, err
	}
	p := &Pages{Config: c, site: site, origin: u.Scheme + "://" + u.Host, secure: u.Scheme == "https", cookie: "netbank", device: "netbank-device"}
	if p.secure {
		p.cookie, p.device = "__Host-netbank", "__Host-netbank-device"
	}
	return p, nil
}

// Handler routes the pages.
func (c *Pages) Handler() (fasthttp.RequestHandler, error) {
	m, err := edge.NewMetrics(c.Registerer, "customer")
	if err != nil {
		return nil, err
	}
	r := router.New()
	r.RedirectTrailingSlash, r.RedirectFixedPath, r.HandleOPTIONS = false, false, false
	on := func(method, template, class string, h func(*request)) {
		r.Handle(method, template, m.Route(template, class, func(ctx *fasthttp.RequestCtx) { c.handle(ctx, h) }))
	}
	on("GET", "/", "read", c.home)
	on("GET", "/pay/{id}", "read", c.entry)
	on("POST", "/pay/{id}/sign-in", "sign-in", c.signIn)
	on("GET", "/pay/{id}/confirm", "read", c.confirm)
	on("POST", "/pay/{id}/confirm", "read", c.chooseAccount)
	on("GET", "/pay/{id}/code", "read", c.code)
	on("POST", "/pay/{id}/code", "confirm", c.pay)
	on("GET", "/pay/{id}/result", "read", c.result)
	on("GET", "/pay/{id}/busy", "read", c.busy)
	on("POST", "/pay/{id}/cancel", "confirm", c.cancel)
	on("POST", "/sign-out", "sign-in", c.signOut)
	on("GET", "/signed-out", "read", c.signedOut)
	r.GET("/static/{file}", m.Route("/static/{file}", "static", c.static))
	lost := func(status int, page string) fasthttp.RequestHandler {
		return m.Route("other", "read", func(ctx *fasthttp.RequestCtx) {
			c.handle(ctx, func(q *request) { c.tell(q, status, telling{tone: "bad", page: page}) })
		})
	}
	r.NotFound = lost(fasthttp.StatusNotFound, "not-found")
	r.MethodNotAllowed = lost(fasthttp.StatusMethodNotAllowed, "method")
	return r.Handler, nil
}

// Fail writes the page for a request that no handler could answer.
func (c *Pages) Fail(ctx *fasthttp.RequestCtx, status int) {
	c.handle(ctx, func(q *request) {
		page := "bad-request"
		switch status {
		case fasthttp.StatusInternalServerError:
			page = "error"
		case fasthttp.StatusServiceUnavailable:
			page = "unavailable"
			ctx.Response.Header.Set("Retry-After", "5")
		}
		c.tell(q, status, telling{tone: "bad", page: page})
	})
}

// request is one request on its way through the pages.
type request struct {
	*fasthttp.RequestCtx
	locale  web.Locale
	payment journal.Payment
	link    string // the MAC of the payment's link; every step carries it
	session *session.Session
}

func (c *Pages) handle(ctx *fasthttp.RequestCtx, h func(*request)) {
	c.harden(ctx)
	q := &request{RequestCtx: ctx}
	lang := ctx.QueryArgs().Peek("lang")
	if len(lang) == 0 {
		lang = ctx.Request.Header.Cookie("netbank-lang")
	} else {
		q.locale = c.site.Match(lang, nil)
		c.setCookie(ctx, "netbank-lang", string(q.locale), 365*24*time.Hour)
	}
	q.locale = c.site.Match(lang, ctx.Request.Header.Peek("Accept-Language"))
	if ctx.IsPost() && !c.fromOurPage(ctx) {
		c.tell(q, fasthttp.StatusForbidden, telling{tone: "bad", page: "forbidden"})
		return
	}
	h(q)
}

// find looks up the payment of a link. A link that this bank has not handed out is refused before anything is looked up.
func (c *Pages) find(q *request) bool {
	id, _ := q.UserValue("id").(string)
	payment, err := journal.ParsePaymentID(id)
	s := q.QueryArgs().Peek("s")
	if err == nil && c.Sessions.CheckLink(payment, s) {
		var ok bool
		if q.payment, ok = c.Bank.Payment(payment); ok {
			q.link = string(s)
			return true
		}
	}
	c.tell(q, fasthttp.StatusNotFound, telling{tone: "bad", page: "not-found"})
	return false
}

// signedIn opens the session, or leads to the sign-in page, which says why there is none.
func (c *Pages) signedIn(q *request) bool {
	s, err := c.Sessions.Open(q.Request.Header.Cookie(c.cookie))
	if err != nil {
		c.lead(q, "", "")
		return false
	}
	q.session = s
	if cookie := c.Sessions.Renew(s); cookie != "" {
		c.setCookie(q.RequestCtx, c.cookie, cookie, 0)
	}
	return true
}

// step is the address of a step of this payment.
func (q *request) step(name string) string {
	address := "/pay/" + q.payment.ID.String()
	if name != "" {
		address += "/" + name
	}
	return address + "?s=" + url.QueryEscape(q.link)
}

// lead answers a form, or a page that is not due, with the way to the step that is. why names an alert that the step shows.
func (c *Pages) lead(q *request, step, why string) {
	address := q.step(step)
	if why != "" {
		address += "&why=" + why
	}
	c.redirect(q, address)
}

func (c *Pages) redirect(q *request, address string) {
	q.Response.Header.Set("Location", address)
	q.SetStatusCode(fasthttp.StatusSeeOther)
}

// alert gives the sentence for the parameter why, if it is one that a step may show.
func (c *Pages) alert(q *request, allowed ...string) string {
	why := string(q.QueryArgs().Peek("why"))
	for _, a := range allowed {
		if why == a {
			return c.site.Text(q.locale, "alert-"+a)
		}
	}
	return ""
}

func (c *Pages) frame(q *request, title string) web.Frame {
	address := string(q.Path())
	args := fasthttp.AcquireArgs()
	defer fasthttp.ReleaseArgs(args)
	q.QueryArgs().CopyTo(args)
	args.Del("lang")
	if args.Len() > 0 {
		address += "?" + args.String()
	}
	if q.IsPost() {
		// A form's own address cannot be opened; the payment's entry leads to the step that is due.
		address = "/"
		if q.link != "" {
			address = q.step("")
		}
	}
	f := web.Frame{
		Lang: q.locale, Title: c.site.Text(q.locale, title), Bank: c.BankName, Reference: edge.Reference(q.RequestCtx),
		Langs: web.Languages(q.locale, address),
	}
	if q.session != nil {
		f.SignOut = &web.SignOut{Name: q.session.Name, CSRF: q.session.CSRFToken()}
	}
	return f
}

func (c *Pages) order(q *request) web.Order {
	p := &q.payment
	text := p.Remittance
	if text == "" {
		text = p.EndToEndID
	}
	return web.Order{CreditorName: p.CreditorName, Amount: show(p.Amount), OrderText: text}
}

func (c *Pages) render(q *request, status int, page string, view any) {
	var b bytes.Buffer
	if err := c.site.Render(&b, q.locale, page, view); err != nil {
		c.Logger.Error("customer: a page cannot be written", "page", page, "reference", edge.Reference(q.RequestCtx), "error", err)
		q.SetStatusCode(fasthttp.StatusInternalServerError)
		return
	}
	q.SetStatusCode(status)
	q.SetContentType("text/html; charset=utf-8")
	q.Response.SetBodyRaw(b.Bytes())
}

func (c *Pages) setCookie(ctx *fasthttp.RequestCtx, name, value string, age time.Duration) {
	k := fasthttp.AcquireCookie()
	defer fasthttp.ReleaseCookie(k)
	k.SetKey(name)
	k.SetValue(value)
	k.SetPath("/")
	k.SetHTTPOnly(true)
	k.SetSecure(c.secure)
	k.SetSameSite(fasthttp.CookieSameSiteLaxMode)
	if age != 0 {
		k.SetMaxAge(int(age.Seconds()))
	}
	ctx.Response.Header.SetCookie(k)
}

func (c *Pages) static(ctx *fasthttp.RequestCtx) {
	c.harden(ctx)
	a, ok := c.site.Asset(ctx.Path())
	if !ok {
		ctx.SetStatusCode(fasthttp.StatusNotFound)
		return
	}
	ctx.Response.Header.Set("Cache-Control", "public, max-age=31536000, immutable")
	ctx.SetContentType(a.ContentType)
	ctx.Response.SetBodyRaw(a.Body)
}

// why names the alert of a session that is not to be had; empty where nobody has been signed in.
func why(err error) string {
	switch {
	case errors.Is(err, session.ErrIdle):
		return "idle"
	case errors.Is(err, session.ErrExpired):
		return "expired-session"
	case errors.Is(err, session.ErrReplaced):
		return "replaced"
	case errors.Is(err, session.ErrEnded):
		return "ended"
	}
	return ""
}

// trimmed gives a form's field without surrounding white space.
func trimmed(ctx *fasthttp.RequestCtx, name string) string {
	return strings.TrimSpace(string(ctx.PostArgs().Peek(name)))
}
