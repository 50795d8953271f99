package customer

import (
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"netbank/session"
)

// One link and one customer are held to a pace; others do not notice.
func TestEverythingIsBounded_OneLinkAndOneCustomerAreHeldToAPace(t *testing.T) {
	h := newHouse(t)
	h.pages.pace()
	_, link := h.pay()
	_, other := h.pay()
	held := func(v *visitor, address string, burst int) {
		t.Helper()
		for n := 0; ; n++ {
			p := v.get(address)
			if p.status == fasthttp.StatusTooManyRequests {
				p.want(t, 429, h.says("hasty-title"), h.says("try-again"))
				if p.header.Peek("Retry-After") == nil {
					t.Error("it does not say when")
				}
				return
			}
			if n > 100*burst {
				t.Fatalf("%s was answered %d times at once", address, n)
			}
		}
	}
	v := h.visitor()
	v.signIn(other, "anna")
	held(v, "/payments", CustomerBurstMax)
	held(h.visitor(), link, LinkBurstMax)
	w := h.visitor()
	w.signIn(other, "bert").want(t, 200, `name="account"`)
}

// An attacker with one password and many names is stopped by his address; the customer's own device is not, whatever address it has.
func TestManyNamesFromOneAddressAreRefused_AndTheUsualDeviceIsNot(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	usual := h.visitor()
	usual.pay(link, "anna") // from here on the device is known
	thief := h.visitor()
	form := thief.open("/sign-in")
	for n := range session.AddressFailuresMax {
		thief.submit(form, "sign-in", "username", "name"+strings.Repeat("x", n%20)+string(rune('a'+n%26)), "password", "wrong password")
	}
	for _, name := range []string{"bert", "nobody"} { // a right password and an unknown name are told the same
		p := thief.submit(form, "sign-in", "username", name, "password", password)
		if !strings.Contains(p.location, "why=address") || p.header.Peek("Retry-After") == nil {
			t.Fatalf("%s: %d %s", name, p.status, p.location)
		}
		thief.follow(p).want(t, 200, h.says("alert-address"))
	}
	usual.send("POST", "/sign-out", nil)
	delete(usual.cookies, "__Host-netbank")
	usual.follow(usual.submit(usual.open("/sign-in"), "sign-in", "username", "anna", "password", password)).want(t, 200, h.says("payments-title"))
}
