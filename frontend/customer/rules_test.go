package customer

import (
	"errors"
	"html"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

func TestUnknownIsNotFailed_ConfirmationOfUnknownFateIsShownAsUnknown(t *testing.T) {
	for _, unknown := range []error{cluster.ErrUnknown, errors.New("something that nobody thought of"), errors.Join(cluster.ErrUnknown, cluster.ErrClosed)} {
		h := newHouse(t)
		id, link := h.pay()
		v := h.visitor()
		code := v.toCode(link)
		h.bank.answers = func(cluster.Confirmation) (cluster.Confirmed, error, bool) { return cluster.Confirmed{}, unknown, true }
		p := v.follow(v.submit(code, "code", "code", h.code(0)))
		p.want(t, 200, h.says("doubt-title"), h.says("doubt-text"), "error=pending", h.says("follow-look"))
		p.wantNot(t, "Nothing was charged", "not-completed", h.says("cancel-payment"))
		if refresh := string(p.header.Peek("Refresh")); !strings.HasPrefix(refresh, "2; url=/pay/") || !strings.Contains(refresh, "sent=") {
			t.Fatalf("follows to %q", refresh)
		}
		// It came through after all.
		x := h.bank.confirms[0]
		if res, err := h.bank.authorise(x); err != nil || res.Verdict != journal.Done {
			t.Fatal(res.Verdict, err)
		}
		v.get(p.address).want(t, 200, h.says("processing-title"))
		h.bank.settle(id, command.Outcome_OUTCOME_APPROVED, "00")
		v.get(p.address).want(t, 200, h.says("settled-title"))
	}
}

func TestUnknownIsNotFailed_ConfirmationThatWasNeverRecordedCanBeRepeated(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	code := v.toCode(link)
	h.bank.answers = func(cluster.Confirmation) (cluster.Confirmed, error, bool) {
		return cluster.Confirmed{}, cluster.ErrUnknown, true
	}
	p := v.follow(v.submit(code, "code", "code", h.code(0)))
	h.bank.pass(UnheardFor + time.Second)
	p = v.get(p.address)
	p.want(t, 200, h.says("unsent-title"), h.says("unsent-go"), "error=pending")
	p.wantNot(t, "Nothing was charged")
	h.bank.answers = nil
	code = v.choose(v.open(link))
	v.follow(v.submit(code, "code", "code", h.code(0))).want(t, 200, h.says("settled-title"))
}

func TestUnknownIsNotFailed_InDoubtIsShownAsInDoubtUntilTheCoreHasSpoken(t *testing.T) {
	h := newHouse(t)
	id, link := h.pay()
	v := h.visitor()
	code := v.toCode(link)
	h.bank.core = func(journal.PaymentID) {} // silent
	p := v.follow(v.submit(code, "code", "code", h.code(0)))
	p.want(t, 200, h.says("processing-title"), "error=pending")
	p.wantNot(t, "Nothing was charged", h.says("rejected-title"))
	h.bank.settle(id, command.Outcome_OUTCOME_IN_DOUBT, "")
	p = v.get(p.address)
	p.want(t, 200, h.says("doubt-title"), h.says("doubt-text"), "error=pending")
	p.wantNot(t, "Nothing was charged", h.says("rejected-title"))
	if p.header.Peek("Refresh") == nil {
		t.Fatal("the page does not follow by itself")
	}
	h.bank.must(t, &journal.Command{Body: &command.Command_BeginReversal{BeginReversal: &command.BeginReversal{PaymentId: id[:]}}})
	v.get(p.address).want(t, 200, h.says("doubt-title"))
	h.bank.must(t, &journal.Command{Body: &command.Command_Reversed{Reversed: &command.Reversed{PaymentId: id[:], ResponseCode: "00"}}})
	v.get(p.address).want(t, 200, h.says("rejected-title"), h.says("rejected-reversed"), "error=rejected")
}

func TestRejected_SaysWhyAndLeadsBack(t *testing.T) {
	f := func(code, key string) {
		t.Helper()
		h := newHouse(t)
		_, link := h.pay()
		v := h.visitor()
		page := v.toCode(link)
		h.bank.core = func(id journal.PaymentID) { h.bank.settle(id, command.Outcome_OUTCOME_DECLINED, code) }
		p := v.follow(v.submit(page, "code", "code", h.code(0)))
		p.want(t, 200, h.says("rejected-title"), h.says(key), h.says("rejected-next"), nokURI)
		if p.header.Peek("Refresh") != nil {
			t.Fatal("a rejection goes away before it can be read")
		}
	}
	f("51", "rejected-funds")
	f("61", "rejected-limit")
	f("05", "rejected-declined")
}

func TestRefusedMeansNotCharged_EveryRefusalHasItsReasonComesBeforeTheCoreAndLeadsBack(t *testing.T) {
	for reason := gate.QueueFull; reason < gate.Reasons; reason++ {
		h := newHouse(t)
		id, link := h.pay()
		v := h.visitor()
		start := v.open(link)
		code := v.toCode(link)
		refusal := cluster.Refusal{Reason: reason, RetryAfter: 2500 * time.Millisecond}
		title := h.says("busy-title")
		if reason == gate.NoLeader || reason == gate.Breaker || reason == gate.Stalled {
			title = h.says("unavailable-title")
		}
		h.bank.leaderless = reason == gate.NoLeader
		check := func(p page) page {
			t.Helper()
			certain, never, back := "othing was charged", h.says("unavailable-unsure"), nokURI
			if h.bank.leaderless { // nobody can say what has become of an earlier confirmation
				certain, never, back = never, certain, "error=pending"
			}
			if strings.Contains(p.body, never) {
				t.Fatalf("%v: the page says %q", reason, never)
			}
			wait := string(p.header.Peek("Retry-After"))
			p.want(t, 503, title, certain, wait+" seconds", back, h.says("cancel-payment"), h.says("try-again"))
			if len(wait) != 1 || wait < "3" || wait > "6" { // as measured, and up to twice as long
				t.Fatalf("Retry-After %q", wait)
			}
			return p
		}
		h.bank.refusals[gate.SignIn] = refusal
		check(v.follow(v.submit(start, "sign-in", "username", "anna", "password", password)))
		h.bank.refusals[gate.Confirm] = refusal // at the door, before an attempt is counted
		check(v.follow(v.submit(code, "code", "code", h.code(0))))
		if a, _, _ := h.bank.Access(anna); a.Lanes[journal.LaneOneTimeCode].Failures != 0 {
			t.Fatal("an attempt was counted for a confirmation that was refused at the door")
		}
		h.bank.refusals = [gate.Classes]cluster.Refusal{}
		h.bank.answers = func(cluster.Confirmation) (cluster.Confirmed, error, bool) {
			return cluster.Confirmed{Refusal: &refusal}, nil, true
		}
		busy := check(v.follow(v.submit(code, "code", "code", h.code(0))))
		if h.state(id) != journal.StateReceived {
			t.Fatal(h.state(id))
		}
		h.bank.answers = nil
		// The next try begins at the code, not at the beginning.
		again := v.open(primary(t, busy))
		again.want(t, 200, h.says("code-title"))
		v.follow(v.submit(again, "code", "code", h.code(0))).want(t, 200, h.says("settled-title"))
		v.open(busy.address).want(t, 200, h.says("settled-title"))
	}
}

// primary gives the address of a page's main link.
func primary(t *testing.T, p page) string {
	t.Helper()
	_, rest, ok := strings.Cut(p.body, `<a class="go" href="`)
	if !ok {
		t.Fatalf("%s has no main link", p.address)
	}
	address, _, _ := strings.Cut(rest, `"`)
	return html.UnescapeString(address)
}

func TestRefusedMeansNotCharged_ErrorsThatAreCertainAreTold(t *testing.T) {
	f := func(err error, verdict journal.Verdict, key string) {
		t.Helper()
		h := newHouse(t)
		_, link := h.pay()
		v := h.visitor()
		code := v.toCode(link)
		h.bank.answers = func(cluster.Confirmation) (cluster.Confirmed, error, bool) {
			return cluster.Confirmed{Verdict: verdict}, err, true
		}
		v.follow(v.submit(code, "code", "code", h.code(0))).want(t, 503, h.says(key))
	}
	f(cluster.ErrNoLeader, 0, "unavailable-title")
	f(cluster.ErrClosed, 0, "unavailable-title")
	f(cluster.ErrTooLarge, 0, "unavailable-title")
	f(cluster.ErrOverloaded, 0, "busy-title")
	f(nil, journal.StaleTerm, "unavailable-title")
	f(nil, journal.BadCommand, "unavailable-title")
	f(nil, journal.NotAllowed, "unavailable-title") // and the payment still waits: the journal takes nothing now
}

// The first click waits for its seat. What the door would say to a second one is no word about the payment.
func TestRefusedMeansNotCharged_ASecondClickIsNotTurnedAwayAtTheDoor(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	code := v.toCode(link)
	h.bank.refusals[gate.Confirm] = cluster.Refusal{Reason: gate.QueueFull, RetryAfter: time.Second}
	h.bank.confirming = true
	v.follow(v.submit(code, "code", "code", h.code(0))).want(t, 200, h.says("settled-title"))
}

// The first click went to another node, which waits with it for the next leader. What turns the second one away knows nothing of that.
func TestRefusedMeansNotCharged_AnAttemptThatIsOpenMayStillCount(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	code := v.toCode(link)
	h.bank.must(t, &journal.Command{Body: &command.Command_Attempt{Attempt: &command.Attempt{Customer: uint64(anna), Factor: command.Factor_FACTOR_TOTP}}})
	h.bank.refusals[gate.Confirm] = cluster.Refusal{Reason: gate.QueueFull, RetryAfter: time.Second}
	p := v.follow(v.submit(code, "code", "code", h.code(0)))
	p.want(t, 503, h.says("busy-title"), h.says("unavailable-unsure"), "error=pending")
	if strings.Contains(p.body, "othing was charged") {
		t.Fatal("the page speaks for a confirmation of which it knows nothing")
	}
}

// The first click is still at hand, and a second one that was refused has taken its attempt back. The page that tells of the refusal does not speak for the first.
func TestRefusedMeansNotCharged_NotWhileAnEarlierClickIsAtHand(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	code := v.toCode(link)
	busy := strings.Replace(link, "?", "/busy?", 1) + "&reason=queue-full&wait=3"
	asked := false
	h.bank.answers = func(x cluster.Confirmation) (cluster.Confirmed, error, bool) {
		h.bank.must(t, &journal.Command{Body: &command.Command_FactorPassed{FactorPassed: &command.FactorPassed{Customer: uint64(anna), SessionEpoch: uint64(x.SessionEpoch)}}})
		p := v.open(busy)
		p.want(t, 503, h.says("unavailable-unsure"), "error=pending")
		if asked = true; strings.Contains(p.body, "othing was charged") {
			t.Error("the page speaks for a confirmation that is at hand")
		}
		return cluster.Confirmed{}, nil, false
	}
	v.follow(v.submit(code, "code", "code", h.code(0))).want(t, 200, h.says("settled-title"))
	if !asked {
		t.Fatal("nobody confirmed")
	}
	if len(h.pages.paying.by) != 0 {
		t.Error("a request that pays is remembered after its end")
	}
}

// The first click was authorised through another node, with the same code. This node refuses the second, and has not heard of the first.
func TestRefusedMeansNotCharged_ACodeThatAnotherNodeHasSpentLeadsToTheOutcome(t *testing.T) {
	f := func(leaderless bool, status int, want string) {
		t.Helper()
		h := newHouse(t)
		_, link := h.pay()
		v := h.visitor()
		code := v.toCode(link)
		v.submit(code, "code", "code", h.code(0))
		h.bank.behind, h.bank.lies = true, func(p journal.Payment) journal.Payment {
			p.State, p.Granted, p.Customer, p.DebtorAccount = journal.StateReceived, 0, 0, ""
			return p
		}
		h.bank.leaderless = leaderless
		p := v.follow(v.submit(code, "code", "code", h.code(0)))
		p.want(t, status, h.says(want))
		if strings.Contains(p.body, "othing was charged") {
			t.Fatal("the money has moved")
		}
	}
	f(false, 200, "settled-title")
	f(true, 503, "unavailable-unsure")
}

func TestRefusedMeansNotCharged_WhatIsOnlyAsLastSeenIsNotCalledUncharged(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	h.bank.blind = cluster.ErrStale
	p := v.open(strings.Replace(link, "?", "/busy?", 1) + "&reason=queue-full&wait=3")
	p.want(t, 503, h.says("unavailable-unsure"), "error=pending")
	if strings.Contains(p.body, "othing was charged") {
		t.Fatal("nobody knows whether anything was charged")
	}
}

func TestRightCodeOfARefusedPaymentIsNoFailure(t *testing.T) {
	f := func(name string, answer cluster.Confirmed, err error) {
		t.Helper()
		h := newHouse(t)
		_, link := h.pay()
		v := h.visitor()
		code := v.toCode(link)
		h.bank.answers = func(cluster.Confirmation) (cluster.Confirmed, error, bool) { return answer, err, true }
		for range 2 * journal.LockAfter {
			v.submit(code, "code", "code", h.code(0))
		}
		if a, _, _ := h.bank.Access(anna); a.Lanes[journal.LaneOneTimeCode].Failures != 0 || a.Ended {
			t.Fatalf("%s: %+v", name, a)
		}
		h.bank.answers = nil
		v.follow(v.submit(code, "code", "code", h.code(0))).want(t, 200, h.says("settled-title"))
	}
	f("refused", cluster.Confirmed{Refusal: &cluster.Refusal{Reason: gate.QueueFull}}, nil)
	f("no leader", cluster.Confirmed{}, cluster.ErrNoLeader)
	f("stale term", cluster.Confirmed{Verdict: journal.StaleTerm}, nil)
	f("consent differs", cluster.Confirmed{Verdict: journal.ConsentDiffers}, nil)
	f("not taken", cluster.Confirmed{Verdict: journal.TooMany}, nil)
}

func TestRefusedMeansNotCharged_CodeThatCouldNotBeCountedWasNotLookedAt(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	code := v.toCode(link)
	h.bank.before = func(*journal.Command) error { return cluster.ErrUnknown }
	v.follow(v.submit(code, "code", "code", h.code(0))).want(t, 503, h.says("unavailable-title"))
	if len(h.bank.confirms) != 0 {
		t.Fatal("confirmed with a code that was not counted")
	}
}

func TestVerdictsOfTheJournalEachLeadOn(t *testing.T) {
	f := func(verdict journal.Verdict, status int, key string) {
		t.Helper()
		h := newHouse(t)
		_, link := h.pay()
		v := h.visitor()
		code := v.toCode(link)
		h.bank.answers = func(cluster.Confirmation) (cluster.Confirmed, error, bool) {
			switch verdict {
			case journal.NoSession:
				h.endSession(t)
			}
			c := cluster.Confirmed{Verdict: verdict}
			c.Access.Lanes[journal.LaneOneTimeCode].LastAttempt = h.bank.Now()
			return c, nil, true
		}
		v.follow(v.submit(code, "code", "code", h.code(0))).want(t, status, h.says(key))
	}
	f(journal.NoSession, 200, "alert-ended")
	f(journal.ConsentDiffers, 200, "alert-consent-old")
	f(journal.FactorUsed, 200, "alert-code-used")
	f(journal.Locked, 403, "locked-code")
}

func TestBoundConsent_WhatIsAuthorisedIsWhatWasSeen(t *testing.T) {
	// The payment is swapped between the page that was seen and the code: what goes to the node is what was seen, and the
	// journal, which knows the payment, refuses it.
	f := func(swap func(*journal.Payment)) {
		t.Helper()
		h := newHouse(t)
		id, link := h.pay()
		v := h.visitor()
		h.bank.lies = func(p journal.Payment) journal.Payment { swap(&p); return p }
		code := v.toCode(link)
		h.bank.lies = nil
		v.follow(v.submit(code, "code", "code", h.code(0))).want(t, 200, h.says("alert-consent-old"))
		if h.state(id) != journal.StateReceived {
			t.Fatalf("the payment is %s", h.state(id))
		}
	}
	f(func(p *journal.Payment) { p.Amount.Minor = 1 })
	f(func(p *journal.Payment) { p.CreditorName = "Somebody else" })
	f(func(p *journal.Payment) { p.CreditorAccount = "DE02120300000000202051" })
}

func TestBoundConsent_AConsentIsGoodForItsPaymentAndSessionOnly(t *testing.T) {
	h := newHouse(t)
	cheap, cheapLink := h.pay(func(c *command.CreatePayment) { c.AmountMinor = 1 })
	dear, dearLink := h.pay(func(c *command.CreatePayment) { c.AmountMinor = 9_999_999 })
	v := h.visitor()
	code := v.toCode(cheapLink)
	action, fields := code.form(t, "code")
	fields.Set("code", h.code(0))
	consent := strings.TrimSuffix(action[strings.Index(action, "&c=")+3:], "&f=totp")
	swapped := strings.Replace(dearLink, "?", "/code?", 1) + "&c=" + consent
	v.follow(v.send("POST", swapped, fields)).want(t, 200, h.says("alert-consent-old"))
	v.open(swapped).want(t, 200, h.says("alert-consent-old"))
	for _, broken := range []string{"", "x", consent[:len(consent)-1], "B" + consent[1:], consent + consent} {
		v.follow(v.send("POST", strings.Replace(cheapLink, "?", "/code?", 1)+"&c="+broken, fields)).want(t, 200, h.says("alert-consent-old"))
	}
	thief := h.visitor()
	confirm := thief.signIn(cheapLink, "bert")
	_, own := confirm.form(t, "confirm")
	fields.Set("csrf", own.Get("csrf"))
	thief.follow(thief.send("POST", action, fields)).want(t, 200, h.says("alert-consent-old"))
	if len(h.bank.confirms) != 0 || h.state(cheap) != journal.StateReceived || h.state(dear) != journal.StateReceived {
		t.Fatal("money was asked for without its consent")
	}
}

func TestBoundConsent_AnAccountThatIsNotTheCustomersIsNotChosen(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	confirm := v.signIn(link, "anna")
	_, fields := confirm.form(t, "confirm")
	first := fields.Get("account")
	thief := h.visitor()
	_, others := thief.signIn(link, "bert").form(t, "confirm")
	for _, given := range []string{"", "0", "0-", "-1" + first[1:], "1" + first[1:], first + " ", first[:len(first)-1], others.Get("account"), "6222020000009999", account} {
		v.follow(v.submit(confirm, "confirm", "account", given)).want(t, 200, h.says("alert-account"))
	}
	v.choose(confirm).want(t, 200, h.says("code-title"), "Everyday ••••\u00a01234")
	// The list has changed since the page was seen: another account stands in the chosen place.
	h.bank.put(t, anna, "anna", second, account)
	h.bank.pass(2 * time.Minute) // longer than a profile is kept
	v.follow(v.submit(confirm, "confirm")).want(t, 200, h.says("alert-account"))
}

func TestOutMeansOut_NothingIsPaidAfterTheSessionEnded(t *testing.T) {
	f := func(name string, out func(h *house, v *visitor, code page)) {
		t.Helper()
		h := newHouse(t)
		id, link := h.pay()
		v := h.visitor()
		code := v.toCode(link)
		stolen := h.visitor() // the same cookie in another browser
		for name, value := range v.cookies {
			stolen.cookies[name] = value
		}
		out(h, v, code)
		stolen.follow(stolen.submit(code, "code", "code", h.code(0))).want(t, 200, `name="password"`)
		if h.state(id) != journal.StateReceived || len(h.bank.confirms) != 0 {
			t.Fatalf("%s: %s after %d confirmations", name, h.state(id), len(h.bank.confirms))
		}
	}
	f("signed out", func(_ *house, v *visitor, code page) { v.submit(code, "sign-out") })
	f("killed", func(h *house, _ *visitor, _ page) { h.endSession(t) })
	f("locked", func(h *house, v *visitor, code page) {
		for range journal.LockAfter + 1 {
			v.submit(code, "code", "code", h.wrongCode())
		}
	})
}

func TestOutMeansOut_EndedBetweenTheCodeAndTheCommit(t *testing.T) {
	h := newHouse(t)
	id, link := h.pay()
	v := h.visitor()
	code := v.toCode(link)
	h.bank.answers = func(cluster.Confirmation) (cluster.Confirmed, error, bool) {
		h.endSession(t)
		return cluster.Confirmed{}, nil, false
	}
	v.follow(v.submit(code, "code", "code", h.code(0))).want(t, 200, h.says("alert-ended"))
	if h.state(id) != journal.StateReceived {
		t.Fatal(h.state(id))
	}
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	f := func(want int, header ...string) {
		t.Helper()
		h := newHouse(t)
		id, link := h.pay()
		v := h.visitor()
		code := v.toCode(link)
		for i := 0; i < len(header); i += 2 {
			v.header[header[i]] = header[i+1]
		}
		for _, step := range []string{"code", "cancel", "sign-out"} {
			p := v.submit(code, step, "code", h.wrongCode())
			if step == "sign-out" && want == 303 {
				continue // the payment was cancelled before: no page of it is met
			}
			if p.status != want {
				t.Fatalf("%v: %s gives %d, want %d", header, step, p.status, want)
			}
			if want == 403 {
				p.want(t, 403, h.says("forbidden-title"), nokURI)
			}
		}
		if got := h.state(id); want == 403 && got != journal.StateReceived {
			t.Fatalf("%v: %s", header, got)
		}
		if a, _, _ := h.bank.Access(anna); want == 403 && (a.Ended || a.Lanes[journal.LaneOneTimeCode].Failures != 0) {
			t.Fatalf("%v: %+v", header, a)
		}
	}
	f(403, "Sec-Fetch-Site", "cross-site")
	f(403, "Sec-Fetch-Site", "same-site")
	f(403, "Sec-Fetch-Site", "cross-site", "Origin", "https://pay.bank.example")
	f(403, "Sec-Fetch-Site", "", "Origin", "https://evil.example")
	f(403, "Sec-Fetch-Site", "", "Origin", "null")
	f(403, "Sec-Fetch-Site", "", "Origin", "http://pay.bank.example")
	f(303, "Sec-Fetch-Site", "", "Origin", "https://pay.bank.example")
	f(303, "Sec-Fetch-Site", "") // a program with neither: it has nobody's cookies but its own, and the token
}

func TestFormsWithoutTheSessionsTokenAreRefused(t *testing.T) {
	h := newHouse(t)
	id, link := h.pay()
	v := h.visitor()
	confirm := v.signIn(link, "anna")
	code := v.choose(confirm)
	for _, token := range []string{"", "x", strings.Repeat("A", 43), confirm.address} {
		for _, form := range []struct {
			page page
			step string
		}{{confirm, "confirm"}, {code, "code"}, {code, "cancel"}, {code, "sign-out"}} {
			p := v.submit(form.page, form.step, "csrf", token, "code", h.code(0))
			p.want(t, 403)
		}
	}
	if a, _, _ := h.bank.Access(anna); a.Ended || len(h.bank.confirms) != 0 || h.state(id) != journal.StateReceived {
		t.Fatal("something was done without the token")
	}
}

func TestCookies_AreForThisSiteOnly(t *testing.T) {
	f := func(public string, prefix string, secure bool) {
		t.Helper()
		h := newHouseAt(t, public)
		_, link := h.pay()
		v := h.visitor()
		answer := v.submit(v.open(link+"&lang=en"), "sign-in", "username", "anna", "password", password)
		set := string(answer.header.PeekCookie(prefix + "netbank"))
		k := fasthttp.AcquireCookie()
		defer fasthttp.ReleaseCookie(k)
		if err := k.Parse(set); err != nil {
			t.Fatal(err)
		}
		if v.cookies[prefix+"netbank-lang"] != "en" {
			t.Fatalf("%s: the language is kept under another name: %v", public, v.cookies)
		}
		if !k.HTTPOnly() || k.SameSite() != fasthttp.CookieSameSiteLaxMode || k.Secure() != secure || string(k.Path()) != "/" || len(k.Domain()) != 0 || k.MaxAge() != 0 {
			t.Fatalf("%s: %s", public, set)
		}
		paid := v.submit(v.choose(v.follow(answer)), "code", "code", h.code(0))
		device := string(paid.header.PeekCookie(prefix + "netbank-device"))
		if !strings.Contains(device, "HttpOnly") || !strings.Contains(device, "SameSite=Lax") || strings.Contains(device, "secure") != secure || !strings.Contains(device, "max-age=15552000") {
			t.Fatalf("%s: %q", public, device)
		}
	}
	f("https://pay.bank.example", "__Host-", true)
	f("http://localhost:8080", "", false)
}

func TestDeviceIsKnownOnlyAfterAPaymentWasAuthorised(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	code := v.toCode(link)
	code = v.follow(v.submit(code, "code", "code", h.wrongCode()))
	h.bank.answers = func(cluster.Confirmation) (cluster.Confirmed, error, bool) {
		return cluster.Confirmed{Verdict: journal.Attached}, nil, true
	}
	v.submit(code, "code", "code", h.code(0))
	if _, known := v.cookies["__Host-netbank-device"]; known {
		t.Fatal("known without an authorised payment")
	}
	h.bank.answers = nil
	v.submit(code, "code", "code", h.code(0))
	if _, known := v.cookies["__Host-netbank-device"]; !known {
		t.Fatal("not known after an authorised payment")
	}
	h.bank.pass(10 * time.Minute)
	_, next := h.pay()
	p := v.choose(v.signIn(next, "anna"))
	v.submit(p, "code", "code", h.code(0))
	if x := h.bank.confirms[len(h.bank.confirms)-1]; !x.KnownDevice {
		t.Fatal("the device was not recognised")
	}
}

func TestRedirects_LeadToThisSiteOrAsRegistered(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	evil := "&url=https://evil.example&next=//evil.example&back=https://evil.example&state=evil.example"
	v.header["Host"] = "evil.example"
	v.header["X-Forwarded-Host"] = "evil.example"
	v.header["Referer"] = "https://evil.example/"
	for _, address := range []string{link, strings.Replace(link, "?", "/confirm?", 1), strings.Replace(link, "?", "/result?", 1), strings.Replace(link, "?", "/busy?", 1), "/signed-out?x=1", "//evil.example/pay", "/%2f%2fevil.example"} {
		for _, p := range []page{v.get(address + evil), v.open(address + evil)} {
			if said := p.location + p.body + string(p.header.Peek("Refresh")); strings.Contains(said, "evil.example") {
				t.Fatalf("%s leads to evil.example:\n%s", address, said)
			}
		}
	}
	answer := v.submit(v.open(link), "sign-in", "username", "anna", "password", password, "next", "https://evil.example")
	if !strings.HasPrefix(answer.location, "/pay/") || strings.Contains(answer.location, "evil") {
		t.Fatal(answer.location)
	}
}

func TestMerchantURL_KeepsThePartnersQueryAndLeadsNowhereElse(t *testing.T) {
	id := journal.PaymentID{1}
	f := func(state journal.State, redirect, nok, want string) {
		t.Helper()
		got := merchantURL(&journal.Payment{ID: id, State: state, RedirectURI: redirect, NokRedirectURI: nok}, false)
		if want = strings.ReplaceAll(want, "ID", "paymentId="+id.String()); got != want {
			t.Errorf("%s: %q, want %q", state, got, want)
		}
	}
	f(journal.StateSettled, "https://s.example/b", "https://s.example/n", "https://s.example/b?ID")
	f(journal.StateSettled, "https://s.example/b?a=%2F&b", "", "https://s.example/b?a=%2F&b&ID")
	f(journal.StateSettled, "https://s.example/b?", "", "https://s.example/b?ID")
	f(journal.StateReceived, "https://s.example/b", "https://s.example/n", "https://s.example/n?ID&error=not-completed")
	f(journal.StateCancelled, "https://s.example/b", "", "https://s.example/b?ID&error=cancelled")
	f(journal.StateExpired, "https://s.example/b", "", "https://s.example/b?ID&error=expired")
	f(journal.StateRejected, "https://s.example/b", "https://s.example/n", "https://s.example/n?ID&error=rejected")
	f(journal.StateInDoubt, "https://s.example/b", "https://s.example/n", "https://s.example/b?ID&error=pending")
	f(journal.StateAuthorised, "https://s.example/b", "https://s.example/n", "https://s.example/b?ID&error=pending")
	for _, bad := range []string{"", "javascript:alert(1)", "//s.example", "https://s.example/\r\nSet-Cookie: x", "https://s.example/\"x", "data:text/html,x", "https://s.example/ b"} {
		f(journal.StateSettled, bad, "", "")
	}
	if _, err := url.Parse("https://s.example/b?a=%2F&b&paymentId=" + id.String()); err != nil {
		t.Fatal(err)
	}
}

func TestFail_HasItsPageAndStillFindsTheWayBack(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	f := func(address string, status int, texts ...string) {
		t.Helper()
		var ctx fasthttp.RequestCtx
		ctx.Init(&fasthttp.Request{}, nil, nil)
		ctx.Request.SetRequestURI(address)
		ctx.Request.Header.SetMethod("POST")
		ctx.Request.Header.Set("Sec-Fetch-Site", "cross-site") // nothing is done, so nothing is checked
		h.pages.Fail(&ctx, status)
		page{address: address, status: ctx.Response.StatusCode(), body: string(ctx.Response.Body())}.want(t, status, texts...)
	}
	f(link, 503, h.says("unavailable-title"), h.says("unavailable-unsure"), "error=pending", h.says("pay-open"))
	f(strings.Replace(link, "?", "/code?", 1), 500, h.says("error-title"), nokURI)
	f("/", 431, h.says("bad-request-title"))
	f("/pay/", 400, h.says("bad-request-title"))
	h.bank.lies = func(journal.Payment) journal.Payment { panic("broken") }
	f(link, 500, h.says("error-title"))
}

func TestNew_RefusesAPublicAddressThatIsNone(t *testing.T) {
	for _, address := range []string{"", "pay.bank.example", "ftp://x", "https://x/path", "https://", "://"} {
		if _, err := New(Config{PublicURL: address}); err == nil {
			t.Errorf("%q was taken", address)
		}
	}
}

// While the cluster has no majority, what was seen last is shown as that; and what cannot be looked up is not said to be missing.
func TestUnknownIsNotFailed_WhatNobodyCanConfirmIsMarkedSo(t *testing.T) {
	h := newHouse(t)
	_, link := h.pay()
	v := h.visitor()
	code := v.toCode(link)
	p := v.follow(v.submit(code, "code", "code", h.code(0)))
	p.want(t, 200, h.says("settled-title"))
	p.wantNot(t, h.says("as-last-seen"))
	h.bank.blind = cluster.ErrStale
	v.get(p.address).want(t, 200, h.says("settled-title"), h.says("as-last-seen"))
	h.bank.blind = cluster.ErrUnavailable
	blind := v.get(p.address)
	blind.want(t, 503, h.says("unseen-title"))
	blind.wantNot(t, h.says("not-found-title"), "Nothing was charged")
}
