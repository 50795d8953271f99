package people

import (
	"fmt"
	"strings"
	"time"

	"netbank/bench/demo"
	"netbank/bench/load"
)

// Person is a customer who can sign in.
type Person struct {
	Username, Password string
	Seed               []byte // of the one-time codes
}

// Of gives the customers of a demo.json.
func Of(d *demo.Demo) ([]Person, error) {
	all := make([]Person, len(d.Customers))
	for i := range d.Customers {
		var err error
		if all[i], err = personOf(&d.Customers[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func personOf(who *demo.Identity) (Person, error) {
	seed, err := seedOf(who.TOTP)
	return Person{who.Username, who.Password, seed}, err
}

// Checkout is a customer's way through one payment. When he is signed in and has chosen an account, only the code is missing.
type Checkout struct {
	Order      Order
	Who        Person
	SignIn     string // where the sign-in form goes; empty: where it is known to go, so that the page need not be opened
	Cookie     string // value of the session's
	CSRF       string
	Code       string // path of the code page, with the consent
	Ready, Led bool   // got as far as the code page; the code led to the result
}

// Browser is what a customer sees of the bank through one connection.
type Browser struct {
	Maker  *Maker
	Client *load.Client
}

func failed(why string) load.Verdict { return load.Verdict{Outcome: load.Failed, Reason: why} }

// do sends a request and takes the session's cookie out of the answer.
func (w Browser) do(cookie *string) (*load.Response, *load.Verdict) {
	r, err := w.Client.Do(w.Client.Scratch)
	if err != nil {
		v := failed(load.Reason(err))
		return nil, &v
	}
	if fresh, ok := r.Cookie(w.Maker.Cookie); ok {
		*cookie = string(fresh)
	}
	return r, nil
}

// Open asks for a page, which must be there.
func (w Browser) Open(path string, cookie *string) (*load.Response, *load.Verdict) {
	w.Client.Scratch = w.Maker.Page(w.Client.Scratch[:0], path, *cookie)
	r, v := w.do(cookie)
	switch {
	case v != nil:
		return nil, v
	case r.Status != 200:
		refused := w.elsewhere(r)
		return nil, &refused
	}
	return r, nil
}

// Send sends a form and follows to the step that it is expected to lead to; it gives the step's path.
func (w Browser) Send(path string, cookie *string, expected string, fields ...string) (string, *load.Verdict) {
	w.Client.Scratch = w.Maker.Form(w.Client.Scratch[:0], path, *cookie, fields...)
	r, v := w.do(cookie)
	if v != nil {
		return "", v
	}
	location := r.Header("Location")
	if name, why := stepOf(string(location)); r.Status != 303 || name != expected || why != "" {
		refused := w.elsewhere(r)
		return "", &refused
	}
	return string(location), nil
}

// elsewhere judges an answer that is not the expected one. The bank refuses by leading to the page that says so.
func (w Browser) elsewhere(r *load.Response) load.Verdict {
	if r.Status != 303 {
		return failed(fmt.Sprint("status ", r.Status))
	}
	name, why := stepOf(string(r.Header("Location")))
	if name == "busy" || why == "sign-in-busy" {
		return load.Verdict{Outcome: load.Refused, Reason: strings.TrimSpace(name + " " + why)}
	}
	return failed(strings.TrimSpace("led to /" + name + " " + why))
}

// withStep puts a step's name into the path of a payment's link.
func withStep(link, name string) string {
	path, query, _ := strings.Cut(link, "?")
	return path + "/" + name + "?" + query
}

// enter opens a payment's link as a new customer, and gives where the form leads that it shows.
func (w Browser) enter(link string, cookie *string) (action string, bad *load.Verdict) {
	*cookie = ""
	page, bad := w.Open(link, cookie)
	if bad != nil {
		return "", bad
	}
	p := readSheet(link, page, w.Maker.Redirect)
	if p.kind != signIn || p.action == "" {
		return "", verdict(failed("a sign-in page without its form"))
	}
	return p.action, nil
}

// Arrive takes a customer from the sign-in form to the code page: what has to be done before a confirmation can be sent. seen is
// called after each request.
func (w Browser) Arrive(v *Checkout, seen func(step int)) load.Verdict {
	if v.SignIn == "" {
		v.SignIn = withStep(v.Order.Link, "sign-in")
	}
	confirm, bad := w.Send(v.SignIn, &v.Cookie, "confirm", "username", v.Who.Username, "password", v.Who.Password)
	if bad != nil {
		return *bad
	}
	seen(0)
	page, bad := w.Open(confirm, &v.Cookie)
	if bad != nil {
		return *bad
	}
	seen(1)
	// Both are of an alphabet that needs no escaping in a form.
	account := string(between(page.Body, `name="account" value="`, `"`))
	if v.CSRF = string(between(page.Body, `name="csrf" value="`, `"`)); v.CSRF == "" || account == "" {
		return failed("a confirm page without its form")
	}
	if v.Code, bad = w.Send(confirm, &v.Cookie, "code", "csrf", v.CSRF, "account", account); bad != nil {
		return *bad
	}
	seen(2)
	v.Ready = true
	return load.Verdict{}
}

// Pay sends the code: the one request that moves money.
func (w Browser) Pay(v *Checkout) load.Verdict {
	if _, bad := w.Send(v.Code, &v.Cookie, "result", "csrf", v.CSRF, "code", Code(v.Who.Seed, time.Now())); bad != nil {
		return *bad
	}
	v.Led = true
	return load.Verdict{}
}

// Begin begins a flow without going on with it, as far as the waiting line counts: a sign-in form without a name. It reports whether new
// customers have to wait.
func (w Browser) Begin(link string) (waits bool) {
	w.Client.Scratch = w.Maker.Form(w.Client.Scratch[:0], withStep(link, "sign-in"), "")
	r, err := w.Client.Do(w.Client.Scratch)
	if err != nil {
		return false
	}
	name, _ := stepOf(string(r.Header("Location")))
	return name == "wait"
}

// Wait asks for a payment's place in the line as a program does, and takes one at the first time. Who has been called is told so, and counts as
// completed too.
func (w Browser) Wait(link string) load.Verdict {
	w.Client.Scratch = w.Maker.Program(w.Client.Scratch[:0], withStep(link, "wait"))
	r, err := w.Client.Do(w.Client.Scratch)
	switch {
	case err != nil:
		return failed(load.Reason(err))
	case r.Status != 200:
		return failed(fmt.Sprint("status ", r.Status))
	}
	switch state := string(between(r.Body, `"state":"`, `"`)); state {
	case "waiting", "turn":
		return load.Verdict{}
	default:
		return failed("state " + state)
	}
}
