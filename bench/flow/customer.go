package flow

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"netbank/bench/demo"
)

// Bounds of a customer's patience.
const (
	redirectsMax = 8
	stepsMax     = 16 // pages of one payment
	codesMax     = 2  // one-time codes of one payment
	// lineMax is how long a customer stays in the waiting line in all: as long as an order waits for him.
	lineMax  = 15 * time.Minute
	looksMax = 2000 // at a place in the line
)

// Site is the customer pages of a bank. It is safe for concurrent use.
type Site struct {
	client   *fasthttp.HostClient
	base     *url.URL
	merchant string // the ways back to the merchant begin with it
	timeout  time.Duration
	wait     func(time.Duration) // in the line
}

// NewSite makes the customer pages of a demo.json.
func NewSite(d *demo.Demo, o Options) (*Site, error) {
	base, err := url.Parse(d.Customer.URL)
	if err != nil || base.Scheme != "http" || base.Host == "" {
		return nil, fmt.Errorf("flow: the customer door %q is not http://host:port", d.Customer.URL)
	}
	if o.Timeout == 0 {
		o.Timeout = TimeoutDefault
	}
	return &Site{client: o.client(base.Host, nil), base: base, merchant: d.Partner.RedirectURI, timeout: o.Timeout, wait: time.Sleep}, nil
}

// Close closes the idle connections.
func (s *Site) Close() { s.client.CloseIdleConnections() }

// Told is what a customer was told of a payment at last.
type Told string

// What a customer can be told.
const (
	ToldSettled    Told = "settled"    // paid
	ToldRejected   Told = "rejected"   // not charged, for good
	ToldCancelled  Told = "cancelled"  // not charged, for good
	ToldExpired    Told = "expired"    // not charged, for good
	ToldRefused    Told = "refused"    // not charged by this try; the payment can still be made
	ToldInDoubt    Told = "in-doubt"   // not known yet
	ToldProcessing Told = "processing" // under way
	ToldOther      Told = "other"      // a page that says nothing of the payment
)

// Errors of Customer.Pay, beside those of the connection. After ErrNoCode, ErrSignIn and ErrLine nothing was asked of the core by this try.
var (
	ErrSignIn = errors.New("flow: the bank does not take the user name and password now")
	ErrNoCode = errors.New("flow: no unused one-time code; wait for the next 30 s")
	ErrLine   = errors.New("flow: the turn in the waiting line did not come")
	ErrLost   = errors.New("flow: the pages led nowhere")
)

// Customer is a person with a browser, a password manager and an authenticator. One goroutine at a time.
type Customer struct {
	site     *Site
	who      demo.Identity
	codes    *Authenticator
	cookies  []cookie
	Language string // Accept-Language; empty: none is sent
	Last     string // status and path of the last page that was shown, such as "503 /pay/…/busy"; it holds no query
}

type cookie struct{ name, value string }

// NewCustomer makes a customer of a demo.json.
func (s *Site) NewCustomer(who demo.Identity) (*Customer, error) {
	codes, err := NewAuthenticator(who.TOTP)
	if err != nil {
		return nil, err
	}
	return &Customer{site: s, who: who, codes: codes}, nil
}

// Username names the customer.
func (c *Customer) Username() string { return c.who.Username }

// Cookies gives the values of the browser's cookies.
func (c *Customer) Cookies() []string {
	values := make([]string, 0, len(c.cookies))
	for _, k := range c.cookies {
		values = append(values, k.value)
	}
	return values
}

// Forget clears the browser's cookies: the session ends for this browser.
func (c *Customer) Forget() { c.cookies = c.cookies[:0] }

// CodeWait is how long until an unused one-time code is to be had: 0 when there is one.
func (c *Customer) CodeWait(now time.Time) time.Duration {
	a := *c.codes
	_, wait, _ := a.Next(now)
	return wait
}

func (c *Customer) keep(resp *fasthttp.Response) {
	for _, raw := range resp.Header.Cookies() {
		k := fasthttp.AcquireCookie()
		if k.ParseBytes(raw) == nil {
			c.set(string(k.Key()), string(k.Value()), k.MaxAge() < 0 || !k.Expire().Equal(fasthttp.CookieExpireUnlimited) && k.Expire().Before(time.Now()))
		}
		fasthttp.ReleaseCookie(k)
	}
}

func (c *Customer) set(name, value string, gone bool) {
	for i := range c.cookies {
		if c.cookies[i].name != name {
			continue
		}
		if gone || value == "" {
			c.cookies = append(c.cookies[:i], c.cookies[i+1:]...)
		} else {
			c.cookies[i].value = value
		}
		return
	}
	if !gone && value != "" {
		c.cookies = append(c.cookies, cookie{name, value})
	}
}

// request makes a request with the browser's cookies.
func (c *Customer) request(method, address string, body []byte) *fasthttp.Request {
	req := fasthttp.AcquireRequest()
	req.SetRequestURI(address)
	req.Header.SetMethod(method)
	for _, k := range c.cookies {
		req.Header.SetCookie(k.name, k.value)
	}
	if c.Language != "" {
		req.Header.Set("Accept-Language", c.Language)
	}
	if body != nil {
		req.Header.SetContentType("application/x-www-form-urlencoded")
		req.Header.Set("Origin", c.site.base.Scheme+"://"+c.site.base.Host)
		req.SetBodyRaw(body)
	}
	return req
}

// Open opens an address of the site and follows its redirects.
func (c *Customer) Open(address string) (*Page, error) {
	return c.load("GET", address, nil)
}

// Submit sends a form and follows the redirects behind it.
func (c *Customer) Submit(p *Page, f *Form) (*Page, error) {
	address, err := resolve(p.URL, f.Action)
	if err != nil {
		return nil, err
	}
	return c.load(f.Method, address, f.encode())
}

func (c *Customer) load(method, address string, body []byte) (*Page, error) {
	resp := fasthttp.AcquireResponse()
	defer fasthttp.ReleaseResponse(resp)
	for range redirectsMax {
		req := c.request(method, address, body)
		err := c.site.client.DoTimeout(req, resp, c.site.timeout)
		fasthttp.ReleaseRequest(req)
		if err != nil {
			return nil, fmt.Errorf("flow: %s %s: %w", method, pathOf(address), err)
		}
		c.keep(resp)
		if next := resp.Header.Peek("Location"); resp.StatusCode()/100 == 3 && len(next) > 0 {
			if address, err = resolve(address, string(next)); err != nil {
				return nil, err
			}
			method, body = "GET", nil
			continue
		}
		page := &Page{URL: address, Status: resp.StatusCode(), Body: append([]byte(nil), resp.Body()...)}
		page.refresh(string(resp.Header.Peek("Refresh")))
		ParsePage(page)
		c.Last = strconv.Itoa(page.Status) + " " + strings.TrimPrefix(pathOf(address), c.site.base.Scheme+"://"+c.site.base.Host)
		return page, nil
	}
	return nil, fmt.Errorf("%w: more than %d redirects from %s", ErrLost, redirectsMax, pathOf(address))
}

// pathOf leaves the query out of error texts: it holds what lets one pay.
func pathOf(address string) string {
	path, _, _ := strings.Cut(address, "?")
	return path
}

func resolve(base, reference string) (string, error) {
	b, err := url.Parse(base)
	if err != nil {
		return "", fmt.Errorf("flow: %w", err)
	}
	u, err := b.Parse(reference)
	if err != nil {
		return "", fmt.Errorf("flow: the address in a page: %w", err)
	}
	if u.Host != b.Host || u.Scheme != b.Scheme {
		return "", fmt.Errorf("%w: the page leads to another site, %s", ErrLost, u.Host)
	}
	return u.String(), nil
}

// encode gives the fields that a browser would send: what has a name, the choices that are made, no buttons.
func (f *Form) encode() []byte {
	body := make([]byte, 0, 256)
	for i := range f.Fields {
		k := &f.Fields[i]
		switch {
		case k.Name == "", k.Type == "submit", k.Type == "button", k.Type == "reset", (k.Type == "radio" || k.Type == "checkbox") && !k.Checked:
			continue
		}
		if len(body) > 0 {
			body = append(body, '&')
		}
		body = fasthttp.AppendQuotedArg(body, []byte(k.Name))
		body = append(body, '=')
		body = fasthttp.AppendQuotedArg(body, []byte(k.Value))
	}
	return body
}

// choose takes the first choice of a form that has none.
func (f *Form) choose() {
	for i := range f.Fields {
		if f.Fields[i].Type == "radio" && f.Fields[i].Checked {
			return
		}
	}
	if k := f.typed("radio"); k != nil {
		k.Checked = true
	}
}

// Pay follows a payment's link to its outcome. It goes on wherever the payment stands, so it may be called again after any error.
// Where the bank has him stand in line, he does. With twice it sends the confirmation itself two times at once, as a double click does.
//
// An error after the confirmation was sent leaves open what became of the payment; call again, or ask the bank.
func (c *Customer) Pay(link string, twice bool) (Told, error) {
	spent := c.codes.last
	page, err := c.Open(link)
	signIns, codes := 0, 0
	for steps := 0; err == nil && steps < stepsMax; steps++ {
		if f := page.Asks("current-password"); f != nil {
			if signIns++; signIns > 2 {
				return ToldRefused, ErrSignIn
			}
			page, err = c.signIn(page, f)
		} else if f := page.Asks("one-time-code"); f != nil {
			if codes++; codes > codesMax {
				return ToldRefused, fmt.Errorf("%w: %d were not taken", ErrNoCode, codesMax)
			}
			page, err = c.confirm(page, f, twice && codes == 1)
		} else if f := page.Offers(); f != nil {
			f.choose()
			page, err = c.Submit(page, f)
		} else if page.inLine() {
			page, err = c.stand(page)
		} else if told := c.told(page); told != ToldProcessing {
			if told == ToldRefused {
				c.codes.last = spent // the telephone still shows it: a person types it again
			}
			return told, nil
		} else {
			page, err = c.Open(page.URL) // the bank holds the answer back until there is news
		}
	}
	if err == nil {
		err = fmt.Errorf("%w: %d pages", ErrLost, stepsMax)
	}
	return ToldOther, err
}

// stand waits in the line until the turn has come: the page looks again by itself, and the customer with it.
func (c *Customer) stand(page *Page) (*Page, error) {
	stood := time.Duration(0)
	for looks := 0; page.inLine(); looks++ {
		if stood += page.In; stood > lineMax || looks >= looksMax {
			return page, fmt.Errorf("%w within %v", ErrLine, lineMax)
		}
		c.site.wait(page.In)
		address, err := resolve(page.URL, page.Again)
		if err != nil {
			return page, err
		}
		if page, err = c.Open(address); err != nil {
			return page, err
		}
	}
	return page, nil
}

// SignIn begins a session without a payment, or tells what the bank said instead.
func (c *Customer) SignIn() error {
	page, err := c.Open(c.site.base.JoinPath("sign-in").String())
	if err != nil {
		return err
	}
	f := page.Asks("current-password")
	if f == nil {
		return fmt.Errorf("%w: no form to sign in at %s", ErrLost, page.URL)
	}
	if page, err = c.signIn(page, f); err != nil {
		return err
	}
	if page.Status != fasthttp.StatusOK || page.Asks("current-password") != nil {
		return ErrSignIn
	}
	return nil
}

func (c *Customer) signIn(page *Page, f *Form) (*Page, error) {
	if name := f.field("username"); name != nil {
		name.Value = c.who.Username
	}
	f.field("current-password").Value = c.who.Password
	return c.Submit(page, f)
}

func (c *Customer) confirm(page *Page, f *Form, twice bool) (*Page, error) {
	code, wait, ok := c.codes.Next(time.Now())
	if !ok {
		return nil, fmt.Errorf("%w (%v)", ErrNoCode, wait.Round(time.Second))
	}
	f.field("one-time-code").Value = code
	if !twice {
		return c.Submit(page, f)
	}
	// The second click is another connection with the same cookies; what it sets is not kept.
	second := *c
	second.cookies = append([]cookie(nil), c.cookies...)
	done := make(chan error, 1)
	go func() {
		_, err := second.Submit(page, f)
		done <- err
	}()
	next, err := c.Submit(page, f)
	if other := <-done; err == nil && other == nil && next.Asks("one-time-code") != nil {
		// The other click took the code: what counts is what the payment says now.
		return c.Open(next.URL)
	}
	return next, err
}

// told reads what a page says of the payment from the way back that it offers: an outcome that is no success stands in its query.
func (c *Customer) told(p *Page) Told {
	for _, link := range p.Links {
		if !strings.HasPrefix(link, c.site.merchant) {
			continue
		}
		u, err := url.Parse(link)
		if err != nil || u.Query().Get("paymentId") == "" {
			continue
		}
		switch failure := u.Query().Get("error"); failure {
		case "":
			return ToldSettled
		case "rejected", "cancelled", "expired":
			return Told(failure)
		case "pending":
			return ToldInDoubt
		case "not-completed":
			return ToldRefused
		}
		return ToldOther
	}
	for _, link := range p.Links {
		if at, err := resolve(p.URL, link); err == nil && p.Status == fasthttp.StatusOK && at == p.URL {
			return ToldProcessing // "look again" leads to the page itself
		}
	}
	return ToldOther
}
