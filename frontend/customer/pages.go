package customer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
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
	"netbank/frontend/web"
	"netbank/session"
)

// Waits and sizes of the pages.
const (
	// ConfirmBudget is how long a customer's confirmation waits for the core's word before the page says that the
	// payment is being processed and follows by itself.
	ConfirmBudget = 8 * time.Second
	// ConfirmObjective is within what time that word is wanted. Who cannot have it by then is told at once that the bank is busy, and not
	// after a wait that ends in the same.
	ConfirmObjective = 2 * time.Second
	// SignInBudget bounds a sign-in with its password check and two commits.
	SignInBudget = 5 * time.Second
	// SubmitBudget bounds every other command.
	SubmitBudget = 5 * time.Second
	// forgiveBudget bounds the taking back of an attempt; the customer waits for it.
	forgiveBudget = time.Second
	// BalancesMax bounds the calls into the core that one page may cause.
	BalancesMax = 4
	// ResultWait is how long the result page waits for news before it is sent, so that it rarely has to be asked twice.
	ResultWait = time.Second
	// UnheardFor is how long the result page waits for a confirmation whose way into the journal is not known, before
	// it offers to confirm again.
	UnheardFor = 20 * time.Second
	// MerchantAfter is when the page of a payment that has come to its end goes back to the merchant by itself.
	MerchantAfter = 6 * time.Second
	// followFor is how long after that end it still does: who comes back later wants to read.
	followFor = 2 * time.Minute
	// WaitMax bounds the seconds that a page asks a customer to wait before the next try.
	WaitMax = 600
	// EndingNotice is how long before a session ends its pages say so. The style sheet counts with it.
	EndingNotice = 2 * time.Minute
)

// Bank is what the pages need of a node.
type Bank interface {
	Submit(cmd *journal.Command, deadline time.Time) (journal.Result, error)
	Confirm(c cluster.Confirmation) (cluster.Confirmed, error)
	Balance(class gate.Class, account, currency string, budget time.Duration) (journal.Money, *cluster.Refusal, error)
	// Payment and Await report false for a payment that there is not, which is certain. cluster.ErrStale comes with one that is as last
	// seen, and any other error says that nobody can be asked.
	Payment(id journal.PaymentID) (journal.Payment, bool, error)
	Await(id journal.PaymentID, version uint32, deadline time.Time) (journal.Payment, bool, error)
	// PaymentsOf lists what a customer has confirmed, newest first, at most cluster.HistoryMax. An error comes with what was seen last, or says
	// that nobody can be asked.
	PaymentsOf(customer journal.CustomerID, before journal.PaymentID) ([]journal.Payment, error)
	Refused(class gate.Class) (cluster.Refusal, bool)
	Confirming(journal.PaymentID) bool
	Unconfirmed(journal.PaymentID, journal.CustomerID) bool
	Now() journal.Millis
	// Of the waiting line. Place reports false for a payment without one, as far as is known here or for certain; any error says that nobody can be
	// asked.
	Line() cluster.Line
	FlowBegan()
	Place(id journal.PaymentID, certain bool) (journal.Place, bool, error)
	Ahead(at journal.Millis) int
}

// Config of the pages.
type Config struct {
	Bank       Bank
	Sessions   *session.Store
	BankName   string // what the pages call the bank
	PublicURL  string // scheme and host under which customers reach the pages, such as https://pay.bank.example
	Registerer prometheus.Registerer
	Logger     *slog.Logger
	Location   *time.Location // of the few times that pages show; nil: UTC
	Messages   Messenger      // nil: no codes are sent
	// TOTPMax is, by currency, the most that the code of an authenticator alone confirms, in minor units; in others it confirms nothing. nil: it has no limit.
	TOTPMax map[string]int64
	Line    bool // new flows wait in a line when the bank has one that is closed
}

// Pages serves a bank's customers.
type Pages struct {
	Config
	site   *web.Site
	soon   map[web.Locale]string // what most pages hold ready to say of their session's end
	traces *traces
	// How often a payment's link and a customer may come. Neither is a limit that a person meets, nor counts anybody by an address.
	links, customers *edge.Rates
	paying           underWay
	waits            *lineWaits
	refused          *refusals
	origin           string
	secure           bool // the pages are reached over https: cookies are bound to it
	cookie           string
	device           string
	spoken           string // the cookie of the language
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
	if c.Location == nil {
		c.Location = time.UTC
	}
	p := &Pages{Config: c, site: site, traces: newTraces(TracesMax), origin: u.Scheme + "://" + u.Host, secure: u.Scheme == "https", cookie: "netbank", device: "netbank-device", spoken: "netbank-lang"}
	if p.waits, err = newLineWaits(c.Registerer); err != nil {
		return nil, fmt.Errorf("customer: register the metrics of the line: %w", err)
	}
	if p.refused, err = newRefusals(c.Registerer, c.Logger); err != nil {
		return nil, fmt.Errorf("customer: register the metrics of refusals: %w", err)
	}
	p.pace()
	p.soon = map[web.Locale]string{}
	for _, l := range []web.Locale{web.English, web.Chinese} {
		p.soon[l] = site.Text(l, "ending-idle", "Minutes", minutes(EndingNotice))
	}
	if p.secure {
		p.cookie, p.device, p.spoken = "__Host-netbank", "__Host-netbank-device", "__Host-netbank-lang"
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
	on("POST", "/pay/{id}/message", "confirm", c.message)
	on("GET", "/pay/{id}/result", "read", c.result)
	on("GET", "/pay/{id}/busy", "read", c.busy)
	on("GET", "/pay/{id}/wait", "line", c.wait)
	on("GET", "/pay/{id}/locked", "read", c.locked)
	on("POST", "/pay/{id}/cancel", "confirm", c.cancel)
	on("POST", "/pay/{id}/sign-out", "sign-in", c.signOut)
	on("GET", "/pay/{id}/signed-out", "read", c.signedOut)
	on("GET", "/pay/{id}/session", "read", c.inForce)
	// The same without a payment.
	on("GET", "/sign-in", "read", c.entrance)
	on("POST", "/sign-in", "sign-in", c.enter)
	on("GET", "/locked", "read", c.locked)
	on("GET", "/wait", "line", c.wait)
	on("GET", "/session", "read", c.inForce)
	on("GET", "/security", "read", c.security)
	on("POST", passwordAction, "sign-in", c.changePassword)
	on("GET", "/factors", "read", c.factors)
	on("GET", "/factors/new", "read", c.newPasskey)
	on("POST", "/factors/new", "sign-in", c.madePasskey)
	on("POST", "/factors/remove", "sign-in", c.removePasskey)
	on("GET", "/factors/code", "read", c.changeCode)
	on("POST", "/factors/code", "sign-in", c.enact)
	on("POST", "/factors/message", "sign-in", c.changeMessage)
	on("GET", "/payments", "read", c.payments)
	on("GET", "/payments/{payment}", "read", c.payment)
	on("GET", "/mandates", "read", c.mandates)
	on("POST", "/sign-out", "sign-in", c.signOut)
	on("GET", "/signed-out", "read", c.signedOut)
	on("GET", "/sign-out", "read", c.home)
	on("GET", passwordAction, "read", c.security)
	// The address of a form, opened by hand or from a history, leads to the step that is due.
	for _, form := range []string{"sign-in", "cancel", "sign-out", "message"} {
		on("GET", "/pay/{id}/"+form, "read", c.entry)
	}
	for _, form := range []string{"remove", "message"} {
		on("GET", "/factors/"+form, "read", c.factors)
	}
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

// unseenAgain is when to come again for what nobody could look up or take in, at the least.
const unseenAgain = 3 * time.Second

// comeAgain gives that as Retry-After says it: longer where there has been no leader for longer, or the core's queue is, and spread.
func (c *Pages) comeAgain() string {
	wait := unseenAgain
	if now, refused := c.Bank.Refused(gate.Confirm); refused {
		wait = max(wait, now.RetryAfter)
	}
	return strconv.Itoa(seconds(edge.Spread(wait)))
}

// Fail writes the page for a request that no handler could answer.
func (c *Pages) Fail(ctx *fasthttp.RequestCtx, status int) {
	c.harden(ctx)
	q := &request{RequestCtx: ctx}
	c.speak(q)
	page := "bad-request"
	switch status {
	case fasthttp.StatusInternalServerError:
		page = "error"
	case fasthttp.StatusServiceUnavailable:
		page = "unavailable"
		ctx.Response.Header.Set("Retry-After", c.comeAgain())
	}
	// The way back, where it can still be found: what the handler tripped over may lie here too.
	func() {
		defer func() {
			if recover() != nil {
				q.link = ""
			}
		}()
		rest, ok := strings.CutPrefix(string(ctx.Path()), "/pay/")
		if id, _, _ := strings.Cut(rest, "/"); ok {
			c.locate(q, id)
		}
	}()
	text := ""
	if page == "unavailable" && q.link != "" {
		text, q.unsure = "unavailable-unsure", true // it was not looked at, nor what came before it
	}
	c.tell(q, status, telling{tone: "bad", page: page, text: text})
}

// request is one request on its way through the pages.
type request struct {
	*fasthttp.RequestCtx
	locale  web.Locale
	payment journal.Payment
	link    string        // the MAC of the payment's link; every step carries it; empty: no payment was found
	stale   bool          // payment is as last seen
	hasty   time.Duration // the link comes too often; after this time it may again
	blind   bool          // whether there is the payment cannot be known at the moment
	session *session.Session
	ends    time.Time // when the session ends without activity; zero: the page does not watch over it
	ahead   int       // people before the customer in the waiting line, where that was asked for
	unsure  bool      // a confirmation was offered, and it is not known whether it was recorded
}

func (c *Pages) handle(ctx *fasthttp.RequestCtx, h func(*request)) {
	c.harden(ctx)
	q := &request{RequestCtx: ctx}
	c.speak(q)
	if ctx.IsPost() && !c.fromOurPage(ctx) {
		id, _ := q.UserValue("id").(string)
		c.locate(q, id)
		c.tell(q, fasthttp.StatusForbidden, telling{tone: "bad", page: "forbidden"})
		return
	}
	h(q)
}

// speak chooses the language: the one asked for in the address, which is remembered, or the remembered one, or the browser's.
func (c *Pages) speak(q *request) {
	chosen := q.QueryArgs().Peek("lang")
	if c.site.Known(chosen) {
		q.locale = c.site.Match(chosen, nil)
		c.setCookie(q.RequestCtx, c.spoken, string(q.locale), 365*24*time.Hour)
		return
	}
	q.locale = c.site.Match(q.Request.Header.Cookie(c.spoken), q.Request.Header.Peek("Accept-Language"))
}

// locate looks up the payment of a link. A link that this bank has not handed out is refused before anything is looked up.
func (c *Pages) locate(q *request, id string) bool {
	payment, err := journal.ParsePaymentID(id)
	s := q.QueryArgs().Peek("s")
	if err != nil || !c.Sessions.CheckLink(payment, s) {
		return false
	}
	if q.hasty = c.links.Take(payment[:]); q.hasty > 0 {
		return false
	}
	found, ok, err := c.Bank.Payment(payment)
	if ok {
		q.payment, q.link = found, string(s)
	}
	q.stale, q.blind = ok && err != nil, !ok && err != nil
	return ok
}

// look takes the payment as it stands now, if it can be seen.
func (q *request) look(p journal.Payment, ok bool, err error) {
	if ok {
		q.payment, q.stale = p, err != nil
	}
}

// find locates the payment of the route, or says that there is none.
func (c *Pages) find(q *request) bool {
	id, _ := q.UserValue("id").(string)
	if c.locate(q, id) {
		return true
	}
	if q.hasty > 0 {
		c.hold(q, q.hasty, c.sameLink(q, id))
		return false
	}
	if q.blind {
		c.unseen(q, "unseen", c.sameLink(q, id))
		return false
	}
	c.tell(q, fasthttp.StatusNotFound, telling{tone: "bad", page: "not-found"})
	return false
}

// signedIn opens the session, or leads to the sign-in page, which says why there is none.
func (c *Pages) signedIn(q *request) bool {
	s, err := c.Sessions.Open(q.Request.Header.Cookie(c.cookie))
	switch {
	case err == nil:
	case errors.Is(err, session.ErrNoSession) && q.QueryArgs().Has("in"):
		c.lead(q, "", "cookies") // signed in a moment ago, and the cookie did not come back
		return false
	case errors.Is(err, session.ErrUnavailable):
		c.refuse(q, noLeader(), "") // the session may be in force: nobody can say
		return false
	default:
		c.lead(q, "", "session")
		return false
	}
	if wait := c.customers.Take(binary.BigEndian.AppendUint64(nil, uint64(s.Customer))); wait > 0 {
		c.hold(q, wait, q.here())
		return false
	}
	q.session, q.ends = s, s.LastSeen.Add(session.IdleLimit)
	if !q.QueryArgs().Has(untouched) {
		if cookie := c.Sessions.Renew(s); cookie != "" {
			c.setCookie(q.RequestCtx, c.cookie, cookie, 0)
			q.ends = s.Seen.Add(session.IdleLimit)
		}
	}
	return true
}

// step is the address of a step of this payment, or of the like where there is none.
func (q *request) step(name string) string {
	if q.link == "" {
		if name == "" {
			name = "sign-in"
		}
		return "/" + name
	}
	address := "/pay/" + q.payment.ID.String()
	if name != "" {
		address += "/" + name
	}
	return address + "?s=" + url.QueryEscape(q.link)
}

// lead answers a form, or a page that is not due, with the way to the step that is. why names an alert that the step shows. The way to the result
// says what was seen here: another node, which is asked next and has not heard of it yet, would lead back, and the two of them round and round.
func (c *Pages) lead(q *request, step, why string) {
	address := q.step(step)
	if step == "result" {
		address = with(address, "seen", strconv.FormatUint(uint64(q.payment.Version), 10))
	}
	if why != "" {
		address = with(address, "why", why)
	}
	c.redirect(q, address)
}

// with adds a parameter, whose value needs no escape, to an address.
func with(address, name, value string) string {
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	return address + separator + name + "=" + value
}

// redirect leads to an address of this site; nothing of a request but what was checked may be part of it.
func (c *Pages) redirect(q *request, address string) {
	q.Response.Header.Set("Location", address)
	q.SetStatusCode(fasthttp.StatusSeeOther)
}

// alert shows on a page why the last try did not work, as the parameter why has it, if that is one that the page may show.
func (c *Pages) alert(q *request, f *web.Frame, allowed ...string) {
	why := string(q.QueryArgs().Peek("why"))
	if slices.Contains(allowed, why) {
		f.Alert, f.Faulty = c.site.Text(q.locale, "alert-"+why), faulty(why)
	}
}

// faulty names the field that has to be filled in again; empty where that would not help.
func faulty(why string) string {
	switch why {
	case "wrong", "malformed":
		return "sign-in"
	case "code-wrong", "code-used", "code-malformed", "code-old", "code-spent", "message-wrong":
		return "code"
	case "password-wrong":
		return "present"
	case "password-repeat", "password-short", "password-long", "password-characters", "password-own", "password-breached", "password-same":
		return "chosen"
	case "passkey-name":
		return "name"
	}
	return ""
}

// shownParameters are the parameters of a page's address that its links to other languages keep.
var shownParameters = [...]string{"s", "c", "f", "why", "reason", "wait", "balances", "what", "until", "sent", "stay", "before"}

// here is the address of this page, for its links to other languages.
func (q *request) here() string {
	if q.link == "" {
		switch path := string(q.Path()); {
		case q.IsPost():
			return "/"
		case path == "/locked", path == "/security", path == "/payments", path == "/payments/"+q.payment.ID.String():
		case path == "/signed-out", path == "/sign-in", path == "/session", path == "/mandates", path == "/wait", path == "/factors", path == "/factors/new":
			return path
		case path == "/factors/code":
			return path + "?c=" + url.QueryEscape(string(q.QueryArgs().Peek("c"))) + "&f=" + url.QueryEscape(string(q.QueryArgs().Peek("f")))
		default:
			return "/"
		}
	}
	if q.link != "" && q.IsPost() {
		// A form's own address cannot be opened; the payment's entry leads to the step that is due.
		return q.step("")
	}
	address, separator := string(q.Path()), "?"
	for _, name := range shownParameters {
		if q.QueryArgs().Has(name) {
			address += separator + name + "=" + url.QueryEscape(string(q.QueryArgs().Peek(name)))
			separator = "&"
		}
	}
	return address
}

func (c *Pages) frame(q *request, title string) web.Frame {
	f := web.Frame{
		Lang: q.locale, Title: c.site.Text(q.locale, title), Bank: c.BankName, Reference: edge.Reference(q.RequestCtx),
		Langs: web.Languages(q.locale, q.here()),
	}
	if q.link != "" {
		f.Back = merchantURL(&q.payment, q.unsure)
	}
	if q.session != nil {
		f.SignOut = &web.SignOut{Name: q.session.Name, Where: q.step("session"), Action: q.step("sign-out"), CSRF: q.session.CSRFToken()}
		f.Ending = c.ending(q)
		if q.link == "" || q.payment.State != journal.StateReceived {
			f.Menu = c.menu(q)
			if q.session.Listed {
				f.Advice = c.site.Text(q.locale, "advice-listed")
			}
		}
	}
	return f
}

// menu leads to the parts of the site.
func (c *Pages) menu(q *request) []web.MenuLink {
	here := string(q.Path())
	var menu []web.MenuLink
	for _, part := range [...]struct{ href, key string }{{"/payments", "payments-title"}, {"/mandates", "mandates-title"}, {"/security", "security-title"}} {
		link := web.MenuLink{Link: web.Link{Href: part.href, Text: c.site.Text(q.locale, part.key)}}
		switch {
		case here == part.href:
			link.Current = "page"
		case strings.HasPrefix(here, part.href+"/"), part.href == "/security" && strings.HasPrefix(here, "/factors"):
			link.Current = "true"
		}
		menu = append(menu, link)
	}
	return menu
}

func show(m journal.Money) string { return money.Show(m.Minor, m.Currency) }

func (c *Pages) order(q *request) web.Order {
	p := &q.payment
	text := p.Remittance
	if text == "" {
		text = p.EndToEndID
	}
	order := web.Order{CreditorName: p.CreditorName, Amount: show(p.Amount), OrderText: text}
	if q.unsure || p.State != journal.StateReceived {
		// The page's own reference is another at every look. By this one the payment is found, by the merchant too.
		order.Number = p.ID.String()
	}
	if p.State.Final() {
		order.When = c.clock(p.Changed)
	}
	return order
}

func (c *Pages) render(q *request, status int, page string, view any) {
	q.ResetBody()
	if err := c.site.Render(q, q.locale, page, view); err != nil {
		c.Logger.Error("customer: a page cannot be written", "page", page, "reference", edge.Reference(q.RequestCtx), "error", err)
		q.SetStatusCode(fasthttp.StatusInternalServerError)
		q.SetContentType("text/plain; charset=utf-8")
		q.SetBodyString(c.site.Text(q.locale, "error-title") + "\n" + c.site.Text(q.locale, "error-text") + "\n" + edge.Reference(q.RequestCtx) + "\n")
		return
	}
	q.SetStatusCode(status)
	q.SetContentType("text/html; charset=utf-8")
}

// setCookie sets a cookie of this site. An age of 0 is until the browser is closed; below 0 the cookie is removed.
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
	ctx.Response.Header.Set("Vary", "Accept-Encoding")
	body := a.Body
	// Pages themselves are not compressed: they fit what a connection may send at once, and hold secrets beside what others chose (BREACH).
	if ctx.Request.Header.HasAcceptEncoding("gzip") {
		ctx.Response.Header.Set("Content-Encoding", "gzip")
		body = a.Packed
	}
	ctx.Response.SetBodyRaw(body)
}

// trimmed gives a form's field without surrounding white space.
func trimmed(ctx *fasthttp.RequestCtx, name string) string {
	return strings.TrimSpace(string(ctx.PostArgs().Peek(name)))
}
