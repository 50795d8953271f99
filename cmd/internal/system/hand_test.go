package system

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"netbank/bench/audit"
	"netbank/bench/demo"
	"netbank/bench/flow"
)

// hand is a browser that somebody drives himself, at the door of whichever node he likes: past the balancer, from page to page as he sees fit.
type hand struct {
	*rig
	door    string // the node's address for customers
	cookies map[string]string
}

// shown is a page, and where it led if nobody followed.
type shown struct {
	flow.Page
	location string
}

func (r *rig) hand(door string) *hand { return &hand{rig: r, door: door, cookies: map[string]string{}} }

// at is the same browser, with the same cookies, at another door.
func (h *hand) at(door string) *hand {
	return &hand{rig: h.rig, door: door, cookies: maps.Clone(h.cookies)}
}

// send asks once, and follows nothing.
func (h *hand) send(method, address string, form url.Values) (*shown, error) {
	at, err := url.Parse(h.demo.Customer.URL)
	if err != nil {
		return nil, err
	}
	if at, err = at.Parse(address); err != nil {
		return nil, err
	}
	req, err := http.NewRequest(method, at.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	for name, value := range h.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", h.demo.Customer.URL)
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, h.door)
	}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	for _, c := range resp.Cookies() {
		if h.cookies[c.Name] = c.Value; c.Value == "" || c.MaxAge < 0 {
			delete(h.cookies, c.Name)
		}
	}
	p := &shown{Page: flow.Page{URL: at.String(), Status: resp.StatusCode, Body: body}, location: resp.Header.Get("Location")}
	flow.ParsePage(&p.Page)
	return p, nil
}

// goOn asks, and follows whatever is shown to its end.
func (h *hand) goOn(method, address string, form url.Values) *shown {
	h.t.Helper()
	for range 12 {
		p, err := h.send(method, address, form)
		if err != nil {
			h.t.Fatal(err)
		}
		if p.location == "" {
			return p
		}
		method, form = http.MethodGet, nil
		at, err := url.Parse(p.URL)
		if err == nil {
			at, err = at.Parse(p.location)
		}
		if err != nil {
			h.t.Fatal(err)
		}
		address = at.String()
	}
	h.t.Fatalf("%s leads in circles", address)
	return nil
}

func (h *hand) open(address string) *shown {
	h.t.Helper()
	return h.goOn(http.MethodGet, address, nil)
}

// filled gives a form's fields as a browser would send them, with the first choice, and what is typed where a token asks for it.
func filled(f *flow.Form, typed map[string]string) url.Values {
	fields := url.Values{}
	chosen := false
	for _, k := range f.Fields {
		switch {
		case k.Name == "", k.Type == "submit", k.Type == "radio" && chosen:
			continue
		case k.Type == "radio":
			chosen = true
		}
		fields.Set(k.Name, k.Value)
		if value, ok := typed[k.Autocomplete]; ok && k.Autocomplete != "" {
			fields.Set(k.Name, value)
		}
	}
	return fields
}

// signIn signs in on the page of a link, or of none, and gives the page behind it.
func (h *hand) signIn(p *shown, who demo.Identity) *shown {
	h.t.Helper()
	f := p.Asks("current-password")
	if f == nil {
		h.t.Fatalf("%s asks for no password:\n%s", p.URL, p.Body)
	}
	return h.goOn(http.MethodPost, address(p, f), filled(f, map[string]string{"username": who.Username, "current-password": who.Password}))
}

// address is where a form of a page is sent.
func address(p *shown, f *flow.Form) string {
	base, _ := url.Parse(p.URL)
	at, err := base.Parse(f.Action)
	if err != nil {
		return ""
	}
	return at.String()
}

// toCode goes from a link to the page that asks for a code, and gives where its form is sent and with what.
func (h *hand) toCode(link string, who demo.Identity) (string, url.Values) {
	h.t.Helper()
	p := h.open(link)
	if p.Asks("current-password") != nil {
		p = h.signIn(p, who)
	}
	if f := p.Offers(); f != nil {
		p = h.goOn(http.MethodPost, address(p, f), filled(f, nil))
	}
	f := p.Asks("one-time-code")
	if f == nil {
		h.t.Fatalf("%s asks for no code:\n%s", p.URL, p.Body)
	}
	return address(p, f), filled(f, nil)
}

// typed is the form with a code.
func typed(form url.Values, code string) url.Values {
	form = maps.Clone(form)
	form.Set("code", code)
	return form
}

// codeOf gives a customer's code, so many steps from now.
func codeOf(t *testing.T, who demo.Identity, steps int) string {
	t.Helper()
	code, err := totp.GenerateCode(who.TOTP, time.Now().Add(time.Duration(steps)*flow.CodeStep))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// wrongCodes gives n codes that are not a customer's now, nor soon.
func wrongCodes(t *testing.T, who demo.Identity, n int) (all []string) {
	t.Helper()
	right := map[string]bool{}
	for step := -2; step <= 4; step++ {
		right[codeOf(t, who, step)] = true
	}
	for i := 0; len(all) < n; i++ {
		if code := fmt.Sprintf("%06d", i); !right[code] {
			all = append(all, code)
		}
	}
	return all
}

// order has the partner create a payment.
func (r *rig) order(name string, change func(*flow.Order)) flow.Created {
	r.t.Helper()
	o := &flow.Order{EndToEndID: "order-" + name, Amount: "12.34", Currency: "CNY", CreditorAccount: "6228480000000000017", CreditorName: "System Shop"}
	if change != nil {
		change(o)
	}
	created, err := r.partner.Create(o, name)
	if err != nil || created.Link == "" {
		r.t.Fatalf("%s: no payment: %v", name, err)
	}
	r.told.add(audit.Told{Payment: created.PaymentID, Source: audit.ByAPI, Status: created.Status.Status, Version: created.Version})
	return created
}

// stands gives where a payment stands, as the partner is told.
func (r *rig) stands(id string) string {
	r.t.Helper()
	s, err := r.partner.Status(id)
	if err != nil {
		r.t.Fatal(err)
	}
	return s.Status
}
