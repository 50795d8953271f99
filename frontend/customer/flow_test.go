package customer

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/frontend/web"
	"netbank/session"
)

func TestFlow_FromTheShopToThePaidOrderAndBack(t *testing.T) {
	h := newHouse(t)
	id, link := h.pay()
	v := h.visitor()
	v.open(link).want(t, 200, "Shop 店", "CNY\u00a0128.00", "reading lamp", `autocomplete="username"`, `autocomplete="current-password"`)
	confirm := v.signIn(link, "anna")
	confirm.want(t, 200, "blue heron", "Shop 店", "CNY\u00a0128.00", "••••\u00a01234", "••••\u00a05678")
	code := v.choose(confirm)
	code.want(t, 200, "••••\u00a01234", "Pay CNY\u00a0128.00", `autocomplete="one-time-code"`)
	result := v.follow(v.submit(code, "code", "code", h.code(0)))
	back := `href="https://shop.example/back?state=s%201&paymentId=` + id.String() + `"`
	result.want(t, 200, h.says("settled-title"), h.says("follow-merchant"), back, "••••\u00a01234")
	if got, want := string(result.header.Peek("Refresh")), "6; url="+backURI+"&paymentId="+id.String(); got != want {
		t.Fatalf("the page goes on to %q, want %q", got, want)
	}
	if h.state(id) != journal.StateSettled || len(h.bank.confirms) != 1 {
		t.Fatalf("the payment is %s after %d confirmations", h.state(id), len(h.bank.confirms))
	}
	if x := h.bank.confirms[0]; x.Budget <= 0 || x.Budget > ConfirmBudget || x.Tier != 2 || x.Partner != 1 || x.DebtorAccount != account {
		t.Fatalf("the confirmation was %+v", x)
	}
}

func TestFlow_ThePageThatWasPaidOnCanBeReadInPeace(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	result := v.follow(v.submit(v.toCode(link), "code", "code", h.code(0)))
	stay := v.get(result.address + "&stay=1")
	stay.want(t, 200, h.says("settled-title"))
	if stay.header.Peek("Refresh") != nil {
		t.Fatal("the page goes on although it was asked to stay")
	}
	h.bank.pass(10 * time.Minute)
	if later := v.get(result.address); later.header.Peek("Refresh") != nil {
		t.Fatal("who comes back later is sent away again")
	}
}

func TestEveryStepIsReloaded_AndEveryOldStepLeadsToTheResult(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	confirm := v.signIn(link, "anna")
	code := v.choose(confirm)
	for _, p := range []page{confirm, code} {
		again := v.get(p.address)
		again.want(t, 200, tags.FindString(p.body)) // the same page, not a redirect
	}
	v.open(link).want(t, 200, h.says("confirm-title")) // the shop's link again, or another tab
	settled := v.follow(v.submit(code, "code", "code", h.code(0)))
	for _, p := range []page{confirm, code, settled} {
		v.open(p.address).want(t, 200, h.says("settled-title")) // the back button
	}
	v.open(link).want(t, 200, h.says("settled-title"))
	v.follow(v.submit(code, "code", "code", h.code(1))).want(t, 200, h.says("settled-title")) // another tab's form
	v.follow(v.submit(confirm, "confirm")).want(t, 200, h.says("settled-title"))              //
	v.follow(v.submit(code, "cancel")).want(t, 200, h.says("settled-title"))                  //
	h.visitor().open(link).want(t, 200, h.says("settled-title"))                              // somebody with the link, signed out
	if n := len(h.bank.confirms); n != 1 {
		t.Fatalf("%d confirmations reached the node", n)
	}
}

func TestDoubleClickOnSignIn_BothHalvesAreOneSession(t *testing.T) {
	newHouse(t).visitor().open("/") // fasthttp's clock outlives every test: it starts outside of the bubble
	today := time.Now().Round(0)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(today)) // numbers of payments never go back in time
		h := newHouse(t)
		_, link := h.pay()
		start := h.visitor().open(link)
		h.bank.before = func(*journal.Command) error { time.Sleep(time.Second); return nil }
		var halves [2]*visitor
		var pages [2]page
		var both sync.WaitGroup
		for i := range halves {
			halves[i] = h.visitor()
			both.Go(func() { pages[i] = halves[i].submit(start, "sign-in", "username", "anna", "password", password) })
			synctest.Wait() // one half is being checked
		}
		both.Wait()
		h.bank.before = nil
		for i := range halves { // whichever answer the browser keeps
			halves[i].follow(pages[i]).want(t, 200, h.says("confirm-title"))
		}
		if a, _, _ := h.bank.Access(anna); a.Epoch != 1 {
			t.Fatalf("%d sign-ins", a.Epoch)
		}
	})
}

func TestDoubleClickOnPay_BothHalvesLeadToTheSameOutcome(t *testing.T) {
	h := newHouse(t)
	id, link := h.pay()
	v := h.visitor()
	code := v.toCode(link)
	right := h.code(0)
	var halves [2]*visitor
	var pages [2]page
	var both sync.WaitGroup
	for i := range halves {
		halves[i] = h.visitor()
		for name, value := range v.cookies {
			halves[i].cookies[name] = value
		}
		both.Go(func() { pages[i] = halves[i].submit(code, "code", "code", right) })
	}
	both.Wait()
	for i := range halves {
		halves[i].follow(pages[i]).want(t, 200, h.says("settled-title"))
	}
	if h.state(id) != journal.StateSettled {
		t.Fatal(h.state(id))
	}
}

func TestDoubleClickOnPay_TheHalfThatComesLateFindsTheOutcomeNotAWrongCode(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	code := v.toCode(link)
	right, click := h.code(0), false
	h.bank.before = func(cmd *journal.Command) error {
		if a, ok := cmd.Body.(*command.Command_Attempt); ok && a.Attempt.Factor == command.Factor_FACTOR_TOTP && !click {
			click = true // the other half comes through between this half's look at the payment and its attempt
			other := h.visitor()
			other.cookies = v.cookies
			other.submit(code, "code", "code", right)
		}
		return nil
	}
	late := v.submit(code, "code", "code", right)
	if !strings.Contains(late.location, "/result?") {
		t.Fatalf("leads to %s", late.location)
	}
	v.follow(late).want(t, 200, h.says("settled-title"))
}

// Behind a balancer the next request may reach a node that has not heard yet. Without what was seen in the address it led back to the
// beginning, which led to the result, eight times and more.
func TestResult_WhatAnotherNodeHasSeenIsWaitedFor(t *testing.T) {
	h := newHouse(t)
	id, link := h.pay()
	v := h.visitor()
	v.follow(v.submit(v.toCode(link), "code", "code", h.code(0)))
	p := v.get(link)
	if !strings.Contains(p.location, "/result?") {
		t.Fatalf("%d %s", p.status, p.location)
	}
	settled, _, _ := h.bank.Payment(id)
	heard := false
	h.bank.news = func(above uint32) { heard = heard || above == settled.Version-1 }
	h.bank.lies = func(p journal.Payment) journal.Payment {
		if !heard {
			p.State, p.Version = journal.StateReceived, 1
		}
		return p
	}
	v.get(p.location).want(t, 200, h.says("settled-title"))
}

func TestSessionGoneWhileTheCodeIsSent_LeadsToASignInThatSaysWhy(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	code := v.toCode(link)
	gone := false
	h.bank.refuse = func(class gate.Class) {
		if class == gate.Confirm && !gone { // between the look at the cookie and the look at the code
			gone = true
			h.endSession(t)
		}
	}
	v.follow(v.submit(code, "code", "code", h.code(0))).want(t, 200, h.says("alert-ended"))
	if a, _, _ := h.bank.Access(anna); a.Lanes[journal.LaneOneTimeCode].Failures != 0 {
		t.Fatal("an attempt was counted")
	}
	if h.logs.Len() != 0 {
		t.Fatalf("logged as a fault: %s", h.logs)
	}
}

func TestWrongPasswordAndWrongName_AreToldAlike(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	wrong := h.visitor()
	p1 := wrong.follow(wrong.submit(wrong.open(link), "sign-in", "username", "anna", "password", "not the password"))
	p2 := wrong.follow(wrong.submit(wrong.open(link), "sign-in", "username", "nobody", "password", password))
	p1.want(t, 200, h.says("alert-wrong"))
	if p1.address != p2.address || p1.status != p2.status {
		t.Fatalf("told apart: %s and %s", p1.address, p2.address)
	}
}

func TestMalformedSignIn_IsNotCountedAndSaysWhatCanBe(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	f := func(username, typed string) {
		t.Helper()
		v.follow(v.submit(v.open(link), "sign-in", "username", username, "password", typed)).want(t, 200, "1 to 64 characters", "8 to 128")
	}
	f("", password)
	f("anna", "")
	f("anna", "short")
	f(strings.Repeat("a", 65), password)
	f("an\x00na", password)
	f("anna", strings.Repeat("p", 129))
	f("anna", "\xff\xfe12345678")
	if a, _, _ := h.bank.Access(anna); a.Lanes[journal.LaneUnknownDevice].Failures != 0 {
		t.Fatalf("counted: %+v", a)
	}
	v.signIn(link, " anna ").want(t, 200, "blue heron") // spaces that a password manager leaves
}

func TestLockedSignIn_HasItsPageThatSaysUntilWhenAndLeadsBack(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	for range journal.LockAfter {
		v.submit(v.open(link), "sign-in", "username", "anna", "password", "not the password")
	}
	until := time.Now().Add(15 * time.Minute).UTC().Format("15:04")
	locked := v.follow(v.submit(v.open(link), "sign-in", "username", "anna", "password", "not the password"))
	locked.want(t, 403, h.says("locked-title"), h.says("locked-sign-in"), "15 min", h.says("locked-usual"), nokURI)
	if !strings.Contains(locked.body, until) && !strings.Contains(locked.body, time.Now().Add(15*time.Minute).UTC().Format("15:04")) {
		t.Fatalf("does not say %s:\n%s", until, locked.body)
	}
	v.get(locked.address).want(t, 403, h.says("locked-title")) // reload
	unknown := h.visitor()
	for range journal.LockAfter {
		unknown.submit(unknown.open(link), "sign-in", "username", "nobody", "password", "not the password")
	}
	unknown.follow(unknown.submit(unknown.open(link), "sign-in", "username", "nobody", "password", "not the password")).want(t, 403, h.says("locked-sign-in"))
	h.bank.pass(14*time.Minute + 59*time.Second)
	h.bank.pass(2 * time.Second)
	if over := v.get(locked.address); over.status != 303 {
		t.Fatalf("still locked after its time: %d", over.status)
	}
}

func TestLockedPage_SaysNothingThatNobodyHasSaid(t *testing.T) {
	h := newHouse(t)
	id, link := h.pay()
	_ = id
	base := strings.Replace(link, "?", "/locked?", 1)
	for _, until := range []string{"", "x", "-1", "0", "99999999999999", "9223372036854775807", "1"} {
		if p := h.visitor().get(base + "&what=code&until=" + until); p.status != 303 {
			t.Errorf("until=%s gives %d", until, p.status)
		}
	}
}

func TestWrongCodeThenRightCode(t *testing.T) {
	h := newHouse(t)
	id, link := h.pay()
	v := h.visitor()
	code := v.toCode(link)
	code = v.follow(v.submit(code, "code", "code", h.wrongCode()))
	code.want(t, 200, h.says("alert-code-wrong"), `name="code"`)
	code = v.follow(v.submit(code, "code", "code", "12345"))
	code.want(t, 200, h.says("alert-code-malformed"))
	if a, _, _ := h.bank.Access(anna); a.Lanes[journal.LaneOneTimeCode].Failures != 1 {
		t.Fatalf("failures: %+v", a.Lanes)
	}
	if h.state(id) != journal.StateReceived {
		t.Fatal(h.state(id))
	}
	right := h.code(0)
	v.follow(v.submit(code, "code", "code", right[:3]+" "+right[3:])).want(t, 200, h.says("settled-title"))
}

func TestCodeTypedWithAChineseKeyboardIsTaken(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	wide := strings.Map(func(r rune) rune { return r - '0' + '０' }, h.code(0))
	v.follow(v.submit(v.toCode(link), "code", "code", wide[:9]+"　"+wide[9:])).want(t, 200, h.says("settled-title"))
}

func TestUsedCode_IsRefusedAndTheNextOneIsTaken(t *testing.T) {
	h := newHouse(t)
	_, first := h.pay()
	id, then := h.pay()
	v := h.visitor()
	right := h.code(0)
	v.follow(v.submit(v.toCode(first), "code", "code", right)).want(t, 200, h.says("settled-title"))
	code := v.choose(v.open(then))
	code = v.follow(v.submit(code, "code", "code", right))
	code.want(t, 200, h.says("alert-code-used"))
	if h.state(id) != journal.StateReceived {
		t.Fatal(h.state(id))
	}
	v.follow(v.submit(code, "code", "code", h.code(1))).want(t, 200, h.says("settled-title"))
}

func TestLockedCode_HasItsPageThatSaysUntilWhenAndLeadsBack(t *testing.T) {
	h := newHouse(t)
	id, link := h.pay()
	v := h.visitor()
	code := v.toCode(link)
	for range journal.LockAfter {
		v.follow(v.submit(code, "code", "code", h.wrongCode())).want(t, 200, h.says("alert-code-wrong"))
	}
	locked := v.follow(v.submit(code, "code", "code", h.code(0)))
	locked.want(t, 403, h.says("locked-code"), "15 min", nokURI)
	locked.wantNot(t, h.says("locked-usual"))
	v.open(link).want(t, 200, `name="password"`) // signed out
	if h.state(id) != journal.StateReceived {
		t.Fatal(h.state(id))
	}
}

func TestSessionGoneInTheMiddle_LeadsToASignInThatSaysWhyAndGoesOn(t *testing.T) {
	f := func(key string, gone func(h *house, v *visitor, link string)) {
		t.Helper()
		h := newHouse(t)
		id, link := h.pay(func(c *command.CreatePayment) { c.ExpiresMs += time.Hour.Milliseconds() })
		v := h.visitor()
		confirm := v.signIn(link, "anna")
		code := v.choose(confirm)
		gone(h, v, link)
		for _, p := range []page{v.open(confirm.address), v.open(code.address), v.follow(v.submit(confirm, "confirm")), v.follow(v.submit(code, "code", "code", h.code(0)))} {
			p.want(t, 200, h.says("alert-"+key), `name="password"`)
		}
		if len(h.bank.confirms) != 0 || h.state(id) != journal.StateReceived {
			t.Fatalf("%s: %d confirmations, %s", key, len(h.bank.confirms), h.state(id))
		}
		v.signIn(link, "anna").want(t, 200, h.says("confirm-title"))
		// A consent of the old session is good for nothing.
		v.open(code.address).want(t, 200, h.says("alert-consent-old"))
	}
	f("idle", func(h *house, _ *visitor, _ string) { h.bank.pass(5*time.Minute + time.Second) })
	f("expired-session", func(h *house, v *visitor, link string) {
		for range 10 { // never idle
			h.bank.pass(3 * time.Minute)
			v.open(link)
		}
		h.bank.pass(time.Second)
	})
	f("replaced", func(h *house, _ *visitor, link string) { h.visitor().signIn(link, "anna") })
	f("ended", func(h *house, _ *visitor, _ string) { h.endSession(t) })
}

// endSession ends anna's session as an operator, or another device, does.
func (h *house) endSession(t *testing.T) {
	t.Helper()
	a, _, _ := h.bank.Access(anna)
	h.bank.must(t, &journal.Command{Body: &command.Command_EndSession{EndSession: &command.EndSession{Customer: anna, SessionEpoch: uint64(a.Epoch)}}})
}

func TestNewVisit_IsNotToldOfAnOldSession(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	v.signIn(link, "anna")
	h.bank.pass(6 * time.Minute)
	_, next := h.pay()
	v.open(next).wantNot(t, h.says("alert-idle"))
}

func TestBrowserWithoutCookies_IsToldSo(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	signed := v.submit(v.open(link), "sign-in", "username", "anna", "password", password)
	clear(v.cookies)
	v.follow(signed).want(t, 200, h.says("alert-cookies"))
}

func TestConsentIsTooOld_LeadsBackToTheConfirmPage(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	code := v.toCode(link)
	for range 4 {
		h.bank.pass(3 * time.Minute)
		v.open(link)
	}
	v.follow(v.submit(code, "code", "code", h.code(0))).want(t, 200, h.says("alert-consent-old"), h.says("confirm-title"))
}

func TestTwoTabs_AFormOfAnEarlierSignInIsRefusedKindly(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	confirm := v.signIn(link, "anna")
	v.submit(confirm, "sign-out")
	v.signIn(link, "bert")
	stale := v.submit(confirm, "confirm")
	stale.want(t, 403, h.says("stale-title"), h.says("pay-open"))
	v.submit(confirm, "cancel").want(t, 403, h.says("stale-title"))
	v.submit(confirm, "sign-out").want(t, 403, h.says("stale-title"))
}

func TestCancel_BeforeAndAfterSigningIn(t *testing.T) {
	h := newHouse(t)
	for _, signedIn := range []bool{false, true} {
		id, link := h.pay()
		v := h.visitor()
		p := v.open(link)
		if signedIn {
			p = v.signIn(link, "anna")
		}
		cancelled := v.follow(v.submit(p, "cancel"))
		cancelled.want(t, 200, h.says("cancelled-title"), nokURI+"?paymentId="+id.String()+"&error=cancelled", h.says("follow-merchant"))
		if h.state(id) != journal.StateCancelled {
			t.Fatal(h.state(id))
		}
		v.open(link).want(t, 200, h.says("cancelled-title"))
		v.follow(v.submit(p, "cancel")).want(t, 200, h.says("cancelled-title"))
	}
}

func TestCancel_WhoseFateIsUnknownSaysSo(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	confirm := v.signIn(link, "anna")
	f := func(err error, status int, text string) {
		t.Helper()
		h.bank.before = func(*journal.Command) error { return err }
		v.follow(v.submit(confirm, "cancel")).want(t, status, text)
	}
	f(cluster.ErrUnknown, 200, h.says("alert-cancel-unknown"))
	f(errors.New("something else"), 200, h.says("alert-cancel-unknown"))
	f(cluster.ErrNoLeader, 503, h.says("unavailable-title"))
	f(cluster.ErrOverloaded, 503, h.says("busy-title"))
	out := h.visitor()
	h.bank.before = nil
	p := out.open(link)
	h.bank.before = func(*journal.Command) error { return cluster.ErrUnknown }
	out.follow(out.submit(p, "cancel")).want(t, 200, h.says("alert-cancel-unknown"), `name="password"`)
}

func TestExpired_IsToldOnceCommitted(t *testing.T) {
	h := newHouse(t)
	id, link := h.pay()
	v := h.visitor()
	confirm := v.signIn(link, "anna")
	for range 6 {
		h.bank.pass(150 * time.Second)
		v.open(link)
	}
	// The time is over, and the leader has not committed it: nothing is told that is not certain.
	v.follow(v.submit(confirm, "confirm")).want(t, 503, h.says("unavailable-title"))
	v.open(link).wantNot(t, h.says("expired-title"))
	h.bank.expire(t, id)
	v.open(link).want(t, 200, h.says("expired-title"), nokURI+"?paymentId="+id.String()+"&error=expired")
	v.follow(v.submit(confirm, "confirm")).want(t, 200, h.says("expired-title"))
	v.follow(v.submit(confirm, "cancel")).want(t, 200, h.says("expired-title"))
}

func TestPaymentOfAnotherCustomer_TellsNothingOfIt(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	a, b := h.visitor(), h.visitor()
	code := a.toCode(link)
	other := b.choose(b.signIn(link, "bert"))
	a.follow(a.submit(code, "code", "code", h.code(0))).want(t, 200, h.says("settled-title"))
	p := b.follow(b.submit(other, "code", "code", h.code(0)))
	p.want(t, 403, h.says("other-title"), h.says("sign-out"))
	p.wantNot(t, "••••\u00a01234", "128.00")
	h.visitor().open(link).wantNot(t, "••••\u00a01234")
}

func TestPaymentOfAnotherCustomer_ConfirmedInTheSameMoment(t *testing.T) {
	h := newHouse(t)
	id, link := h.pay()
	a, b := h.visitor(), h.visitor()
	code, other := a.toCode(link), b.choose(b.signIn(link, "bert"))
	h.bank.answers = func(x cluster.Confirmation) (cluster.Confirmed, error, bool) {
		if x.Customer == bert {
			a.submit(code, "code", "code", h.code(0))
		}
		return cluster.Confirmed{}, nil, false
	}
	b.follow(b.submit(other, "code", "code", h.code(0))).want(t, 403, h.says("other-title"))
	if p, _, _ := h.bank.Payment(id); p.Customer != anna {
		t.Fatalf("charged customer %d", p.Customer)
	}
}

func TestNoMatchingAccount(t *testing.T) {
	h := newHouse(t)
	_, euro := h.pay(func(c *command.CreatePayment) { c.Currency = "EUR" })
	v := h.visitor()
	v.signIn(euro, "anna").want(t, 200, h.says("no-account-title"), "EUR", h.says("cancel-payment"), "EUR\u00a0128.00")
	_, foreign := h.pay(func(c *command.CreatePayment) { c.DebtorAccount = "6222020000000000" })
	p := v.open(foreign)
	p.want(t, 200, h.says("no-account-title"))
	p.wantNot(t, "0000")
	_, mine := h.pay(func(c *command.CreatePayment) { c.DebtorAccount = second })
	confirm := v.open(mine)
	confirm.want(t, 200, "••••\u00a05678", "checked")
	confirm.wantNot(t, "••••\u00a01234")
}

func TestBalances_AreShownWhenTheyComeAndMissedWhenTheyDoNot(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	confirm := v.signIn(link, "anna")
	confirm.wantNot(t, h.says("available"))
	v.get(confirm.address+"&balances=1").want(t, 200, h.says("available"), "CNY\u00a01,000.00")
	h.bank.balance = func(string) (journal.Money, *cluster.Refusal, error) {
		return journal.Money{}, &cluster.Refusal{Reason: gate.QueueFull}, nil
	}
	without := v.get(confirm.address + "&balances=1")
	without.want(t, 200, h.says("balances-unknown"), gate.QueueFull.String())
	v.choose(without).want(t, 200, h.says("code-title"))
}

func TestSignOut_KeepsTheWayBackAndEndsTheSession(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	confirm := v.signIn(link, "anna")
	h.bank.before = func(*journal.Command) error { return cluster.ErrNoLeader }
	v.submit(confirm, "sign-out").want(t, 503, h.says("sign-out-failed-title"))
	h.bank.before = nil
	out := v.follow(v.submit(confirm, "sign-out"))
	out.want(t, 200, h.says("signed-out-title"), nokURI, h.says("pay-open"))
	if len(v.cookies) != 0 {
		t.Fatalf("cookies left: %v", v.cookies)
	}
	if a, _, _ := h.bank.Access(anna); !a.Ended {
		t.Fatal("the session is still in force")
	}
	v.follow(v.submit(confirm, "sign-out")).want(t, 200, h.says("signed-out-title")) // the second half of a double click
	plain := h.visitor().send("POST", "/sign-out", nil)
	h.visitor().follow(plain).want(t, 200, h.says("signed-out-title"))
}

func TestFormAddressOpenedByHand_LeadsToTheStepThatIsDue(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	for _, form := range []string{"sign-in", "cancel", "sign-out"} {
		v.open(strings.Replace(link, "?", "/"+form+"?", 1)).want(t, 200, h.says("sign-in-title"))
	}
	v.signIn(link, "anna")
	v.open(strings.Replace(link, "?", "/cancel?", 1)).want(t, 200, h.says("confirm-title"))
}

func TestUnknownLinksAndMethodsHaveTheirPage(t *testing.T) {
	h := newHouse(t)
	id, link := h.pay()
	v := h.visitor()
	for _, address := range []string{"/nowhere", "/pay/", "/pay/x", "/pay/" + id.String(), "/pay/" + id.String() + "?s=AAAAAAAAAAAA", strings.Replace(link, id.String(), "019ab0c4-5b7e-7c3a-9d2f-0123456789ab", 1)} {
		v.get(address).want(t, 404, h.says("not-found-title"))
	}
	v.send("PUT", link, nil).want(t, 405, h.says("method-title"))
	v.get("/").want(t, 200, h.says("home-title"))
}

func TestLanguage_IsTakenFromTheAddressKeptAndNeverMadeUp(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	v.header["Accept-Language"] = "zh-CN"
	v.open(link).want(t, 200, `lang="zh-CN"`)
	v.open(link+"&lang=en").want(t, 200, `<html lang="en"`)
	v.open(link).want(t, 200, `<html lang="en"`)
	v.open(link+"&lang=xx").want(t, 200, `<html lang="en"`)
	p := v.signIn(link+"&lang=zh-CN", "anna")
	p.want(t, 200, `<html lang="zh-CN"`, "lang=en")
	if strings.Contains(p.body, "lang=zh-CN&amp;") || strings.Contains(p.location, "in=1") {
		t.Fatal("the language link drags parameters along")
	}
}

// TestEveryTellingHasItsSentences reads the sources: a page that is told somewhere has its heading and text in each language.
func TestEveryTellingHasItsSentences(t *testing.T) {
	site, err := web.New()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	literal := regexp.MustCompile(`"([a-z]+(?:-[a-z]+)*)"`)
	pages := regexp.MustCompile(`page\s*(?::|:=|=)\s*"([a-z-]+)"|lost\([^,]+, "([a-z-]+)"`)
	lists := regexp.MustCompile(`(?:c\.alert\(q, |more: \[\]string\{)([^)}]*)`)
	single := regexp.MustCompile(`(?:text:|text =|follow:|site\.Text\(q\.locale,|t\.text ==) "([a-z-]+)"|return "(rejected-[a-z-]+)"|return "(idle|expired-session|replaced|ended)"`)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range pages.FindAllSubmatch(text, -1) {
			page := string(m[1]) + string(m[2])
			keys[page+"-title"] = true
			if page != "rejected" && page != "locked" { // these have a text for each reason
				keys[page+"-text"] = true
			}
		}
		for _, m := range lists.FindAllSubmatch(text, -1) {
			for _, l := range literal.FindAllSubmatch(m[1], -1) {
				if strings.HasPrefix(string(m[0]), "c.alert") {
					keys["alert-"+string(l[1])] = true
				} else {
					keys[string(l[1])] = true
				}
			}
		}
		for _, m := range single.FindAllSubmatch(text, -1) {
			key := string(m[1]) + string(m[2])
			if len(m[3]) > 0 {
				key = "alert-" + string(m[3])
			}
			if !strings.HasSuffix(key, "-") { // a prefix that is put together with a name
				keys[key] = true
			}
		}
	}
	if len(keys) < 60 {
		t.Fatalf("only %d sentences found in the sources: the patterns no longer fit them", len(keys))
	}
	for key := range keys {
		for _, l := range []web.Locale{web.English, web.Chinese} {
			if text := site.Text(l, key, "Currency", "CNY", "Seconds", 1, "Minutes", 1, "Time", "14:05"); text == key {
				t.Errorf("%s has no sentence %q", l, key)
			}
		}
	}
}

func TestEveryTellingIsRenderedInEveryLanguage(t *testing.T) {
	h := newHouse(t)
	for _, lang := range []string{"en", "zh-CN"} {
		v := h.visitor()
		v.header["Accept-Language"] = lang
		id, link := h.pay()
		base := func(step, more string) string { return strings.Replace(link, "?", "/"+step+"?", 1) + more }
		for _, address := range []string{
			"/", "/nowhere", "/signed-out", link, link + "&why=wrong", link + "&why=malformed", link + "&why=sign-in-busy", link + "&why=cookies", link + "&why=cancel-unknown",
			base("signed-out", ""), base("busy", ""), base("busy", "&reason=no-leader&wait=7"), base("result", "&sent=1"), base("result", "&sent=999999999999999"),
			base("locked", "&what=code&until="+unix(time.Now().Add(time.Minute))), base("locked", "&what=sign-in&until="+unix(time.Now().Add(time.Minute))),
		} {
			v.open(address) // send checks each page
		}
		states := []func(p *journal.Payment){}
		for s := journal.StateAuthorised; s <= journal.StateReversing; s++ {
			states = append(states, func(p *journal.Payment) { p.State = s })
		}
		for r := journal.ReasonDeclined; r <= journal.ReasonCoreUnavailable; r++ {
			states = append(states, func(p *journal.Payment) { p.State, p.Reason = journal.StateRejected, r })
		}
		for _, code := range []string{"51", "61", "05"} {
			states = append(states, func(p *journal.Payment) {
				p.State, p.Reason, p.ResponseCode = journal.StateRejected, journal.ReasonDeclined, code
			})
		}
		for _, change := range states {
			h.bank.lies = func(p journal.Payment) journal.Payment { change(&p); return p }
			v.open(link)
			v.open(base("result", "&stay=1"))
		}
		h.bank.lies = nil
		v.header["Sec-Fetch-Site"] = "cross-site"
		v.send("POST", base("cancel", ""), nil).want(t, 403)
		if h.state(id) != journal.StateReceived {
			t.Fatal("cancelled from another site")
		}
	}
}

func TestStorageOfAnUnusableCredentialIsLoggedAndToldAsWrong(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	c := &command.PutCustomer{Id: anna, Username: "anna", PasswordSealed: []byte("damaged"), TotpSealed: []byte("damaged"), Name: "A"}
	h.bank.must(t, &journal.Command{Body: &command.Command_PutCustomer{PutCustomer: c}})
	v := h.visitor()
	v.follow(v.submit(v.open(link), "sign-in", "username", "anna", "password", password)).want(t, 200, h.says("alert-wrong"))
	if log := h.logs.String(); !strings.Contains(log, "a stored credential cannot be used") || strings.Contains(log, password) {
		t.Fatal(log)
	}
}

func TestSignInWithoutALeader_SaysNothingOfAnEarlierConfirmation(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	p := v.open(link)
	h.bank.before = func(*journal.Command) error { return cluster.ErrNoLeader }
	v.follow(v.submit(p, "sign-in", "username", "anna", "password", password)).want(t, 503, h.says("unavailable-title"), h.says("unavailable-unsure"))
}

func TestSignIn_WhoFindsTooManyWaitingIsToldWhenToComeBack(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	p := v.open(link)
	sessions, err := session.New(session.Config{
		Directory: h.bank, Opener: h.bank.kek, Params: session.Cheap, AllowCheapHash: true, Limits: session.Limits{HashWorkers: 1, HashQueue: 1, CacheEntries: 100},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sessions.Close()
	h.pages.Sessions = sessions
	inside, release := make(chan struct{}), make(chan struct{})
	h.bank.before = func(*journal.Command) error {
		inside <- struct{}{}
		<-release
		return cluster.ErrNoLeader
	}
	var others sync.WaitGroup
	for range 2 {
		others.Go(func() { _, _ = sessions.SignIn(session.Client{}, "nobody", password, time.Now().Add(time.Minute)) })
		<-inside
	}
	refused := v.submit(p, "sign-in", "username", "anna", "password", password)
	close(release)
	others.Wait()
	if wait := string(refused.header.Peek("Retry-After")); refused.status != 303 || wait != "1" && wait != "2" { // it is spread
		t.Errorf("status %d, Retry-After %q", refused.status, wait)
	}
	h.bank.before = nil
	v.follow(refused).want(t, 200, h.says("alert-sign-in-busy"))
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
