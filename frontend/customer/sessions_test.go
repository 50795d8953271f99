package customer

import (
	"fmt"
	"html"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"netbank/session"
)

// follows gives when and where a page goes by itself.
func (p page) follows(t testing.TB) (after time.Duration, address string) {
	t.Helper()
	seconds, address, ok := strings.Cut(string(p.header.Peek("Refresh")), "; url=")
	n, err := strconv.Atoi(seconds)
	if !ok || err != nil {
		t.Fatalf("%s does not go on by itself: %q", p.address, p.header.Peek("Refresh"))
	}
	return time.Duration(n) * time.Second, address
}

func TestSessionAboutToEnd_IsSaidTwoMinutesBeforeOnEveryPageThatAsks(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	confirm := v.signIn(link, "anna")
	code := v.choose(confirm)
	for _, p := range []page{confirm, code, v.open("/session")} {
		p.want(t, 200, h.says("ending-idle", "Minutes", 2), h.says("ending-extend"), `class="ending later"`)
		if after, _ := p.follows(t); after < session.IdleLimit || after > session.IdleLimit+2*time.Second {
			t.Errorf("%s looks after its session in %v", p.address, after)
		}
	}
	style, err := os.ReadFile("../web/static/style.css")
	if err != nil {
		t.Fatal(err)
	}
	// The oldest cookie that is not renewed has so much left.
	if rule := fmt.Sprintf("animation: later %.0fs", (session.IdleLimit - session.RenewAfter - EndingNotice).Seconds()); !strings.Contains(string(style), rule) {
		t.Errorf("the style sheet does not say %q", rule)
	}
}

func TestSessionAboutToEnd_PageThatLooksByItselfDoesNotProlongIt(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	confirm := v.signIn(link, "anna")
	h.bank.pass(2 * time.Minute)
	v.get(confirm.address) // another tab
	h.bank.pass(3 * time.Minute)
	_, address := confirm.follows(t)
	before := v.cookies["__Host-netbank"]
	again := v.get(address)
	again.want(t, 200, h.says("ending-idle", "Minutes", 2), `class="ending"`)
	if v.cookies["__Host-netbank"] != before {
		t.Fatal("a page that nobody touched has prolonged the session")
	}
	after, address := again.follows(t)
	if after < 2*time.Minute || after > 2*time.Minute+2*time.Second {
		t.Fatalf("looks again in %v", after)
	}
	h.bank.pass(after)
	v.open(address).want(t, 200, h.says("alert-idle"), `name="password"`)
}

func TestSessionAboutToEnd_OneLinkExtendsIt(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	code := v.toCode(link)
	extend := regexp.MustCompile(`class="ending later".*?<a href="([^"]+)"`).FindStringSubmatch(code.body)
	if extend == nil {
		t.Fatal(code.body)
	}
	h.bank.pass(4 * time.Minute)
	v.get(html.UnescapeString(extend[1])).want(t, 200, `name="code"`, `class="ending later"`)
	h.bank.pass(4 * time.Minute)
	v.get(code.address).want(t, 200, `name="code"`)
}

func TestSessionAboutToEnd_ThirtyMinutesAreSaidAndNotExtended(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	v.signIn(link, "anna")
	for range 12 {
		h.bank.pass(2 * time.Minute)
		v.get("/session").want(t, 200, `class="ending later"`)
	}
	h.bank.pass(3*time.Minute + 30*time.Second)
	last := v.get("/session")
	last.want(t, 200, h.says("ending-absolute", "Minutes", 3))
	last.wantNot(t, h.says("ending-extend"), "later")
	after, address := last.follows(t)
	h.bank.pass(after)
	v.open(address).want(t, 200, h.says("alert-session-over"))
}

func TestSessionPage_TellsOfTheOneInForceAndEndsIt(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	v.signIn(link, "anna")
	p := v.open(strings.Replace(link, "?", "/session?", 1))
	p.want(t, 200, "ANNA (anna)", h.says("session-unknown"), h.says("session-payment"))
	v.follow(v.submit(p, "sign-out")).want(t, 200, h.says("signed-out-title"))
	v.open(p.address).want(t, 200, `name="password"`)
}

func TestWithoutAPayment_OneCanSignInSeeTheSessionAndLeave(t *testing.T) {
	h := newHouse(t)
	v := h.visitor()
	v.open("/").want(t, 200, `href="/sign-in"`)
	form := v.open("/session") // nobody is signed in
	form.want(t, 200, h.says("enter-title"))
	form.wantNot(t, h.says("alert-session-over"), h.says("step-one"))
	v.follow(v.submit(form, "sign-in", "username", "anna", "password", "wrong password")).want(t, 200, h.says("alert-wrong"))
	in := v.follow(v.submit(form, "sign-in", "username", "anna", "password", password))
	in.want(t, 200, h.says("payments-title"), h.says("payments-none", "Days", paymentsKeptDays), "ANNA")
	v.open("/").want(t, 200, `href="/payments"`, `href="/session"`)
	v.open("/mandates").want(t, 200, h.says("mandates-text"), `href="/mandates" aria-current="page"`)
	v.open("/sign-in").want(t, 200, h.says("payments-none", "Days", paymentsKeptDays))
	out := v.follow(v.submit(in, "sign-out"))
	out.want(t, 200, h.says("signed-out-title"), `href="/"`)
	v.open("/session").want(t, 200, `name="password"`)
	v.cookies = map[string]string{}
	for range 5 {
		v.follow(v.submit(form, "sign-in", "username", "bert", "password", "wrong password"))
	}
	v.follow(v.submit(form, "sign-in", "username", "bert", "password", password)).wantNot(t, "BERT")
	in = v.submit(form, "sign-in", "username", "anna", "password", password)
	v.cookies = map[string]string{} // a browser that keeps none
	v.follow(in).want(t, 200, h.says("alert-cookies"))
}
