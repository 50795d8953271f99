package scenario

import (
	"fmt"
	"strings"
	"time"

	"netbank/bench/audit"
	"netbank/bench/demo"
	"netbank/bench/load"
)

// order is a payment that was created and that nobody has confirmed.
type order struct{ id, link string }

// person is a customer who can sign in.
type person struct {
	username, password string
	seed               []byte
}

func peopleOf(d *demo.Demo) ([]person, error) {
	all := make([]person, len(d.Customers))
	for i, c := range d.Customers {
		seed, err := seedOf(c.TOTP)
		if err != nil {
			return nil, err
		}
		all[i] = person{c.Username, c.Password, seed}
	}
	return all, nil
}

// visit is a customer who is signed in and has chosen an account: only the code is missing.
type visit struct {
	order      order
	who        person
	cookie     string
	csrf       string
	code       string // path of the code page, with the consent
	ready, led bool   // got as far as the code page; the code led to the result
}

// window is what a customer sees of the bank through one connection.
type window struct {
	m *maker
	c *load.Client
}

func failed(why string) load.Verdict { return load.Verdict{Outcome: load.Failed, Reason: why} }

// do sends a request and takes the session's cookie out of the answer.
func (w window) do(cookie *string) (*load.Response, *load.Verdict) {
	r, err := w.c.Do(w.c.Scratch)
	if err != nil {
		v := failed(load.Reason(err))
		return nil, &v
	}
	if fresh, ok := r.Cookie(w.m.cookie); ok {
		*cookie = string(fresh)
	}
	return r, nil
}

// open asks for a page, which must be there.
func (w window) open(path string, cookie *string) (*load.Response, *load.Verdict) {
	w.c.Scratch = w.m.page(w.c.Scratch[:0], path, *cookie)
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

// send sends a form and follows to the step that it is expected to lead to; it gives the step's path.
func (w window) send(path string, cookie *string, expected string, fields ...string) (string, *load.Verdict) {
	w.c.Scratch = w.m.form(w.c.Scratch[:0], path, *cookie, fields...)
	r, v := w.do(cookie)
	if v != nil {
		return "", v
	}
	location := r.Header("Location")
	if name, why := step(location); r.Status != 303 || name != expected || why != "" {
		refused := w.elsewhere(r)
		return "", &refused
	}
	return string(location), nil
}

// elsewhere judges an answer that is not the expected one. The bank refuses by leading to the page that says so.
func (w window) elsewhere(r *load.Response) load.Verdict {
	if r.Status != 303 {
		return failed(fmt.Sprint("status ", r.Status))
	}
	name, why := step(r.Header("Location"))
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

// arrive takes a customer from the sign-in form to the code page: what has to be done before a confirmation can be sent. seen is
// called after each request.
func (w window) arrive(v *visit, seen func(step int)) load.Verdict {
	confirm, bad := w.send(withStep(v.order.link, "sign-in"), &v.cookie, "confirm", "username", v.who.username, "password", v.who.password)
	if bad != nil {
		return *bad
	}
	seen(0)
	page, bad := w.open(confirm, &v.cookie)
	if bad != nil {
		return *bad
	}
	seen(1)
	// Both are of an alphabet that needs no escaping in a form.
	account := string(between(page.Body, `name="account" value="`, `"`))
	if v.csrf = string(between(page.Body, `name="csrf" value="`, `"`)); v.csrf == "" || account == "" {
		return failed("a confirm page without its form")
	}
	if v.code, bad = w.send(confirm, &v.cookie, "code", "csrf", v.csrf, "account", account); bad != nil {
		return *bad
	}
	seen(2)
	v.ready = true
	return load.Verdict{}
}

// pay sends the code: the one request that moves money.
func (w window) pay(v *visit) load.Verdict {
	if _, bad := w.send(v.code, &v.cookie, "result", "csrf", v.csrf, "code", code(v.who.seed, time.Now())); bad != nil {
		return *bad
	}
	v.led = true
	return load.Verdict{}
}

// words are what clients were told, kept for the audit. Each client writes to its own list.
type words [][]audit.Told

func newWords(clients int) words { return make(words, clients) }

func (w words) add(client int, t audit.Told) { w[client] = append(w[client], t) }

func (w words) all() []audit.Told {
	var all []audit.Told
	for _, mine := range w {
		all = append(all, mine...)
	}
	return all
}
