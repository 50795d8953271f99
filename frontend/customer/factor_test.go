package customer

import (
	"html"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/frontend/message"
	"netbank/session"
	"netbank/session/passkeytest"
)

// telephone is a message gateway, and the phone behind it.
type telephone struct {
	mu   sync.Mutex
	got  []message.Message
	down error
}

func (f *telephone) Ready() error { return f.down }

func (f *telephone) Send(m message.Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got = append(f.got, m)
	return nil
}

// last gives the latest message, and the code at its beginning.
func (f *telephone) last(t *testing.T) (text, code string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.got) == 0 {
		t.Fatal("no message was sent")
	}
	m := f.got[len(f.got)-1]
	if m.To != "+8613800001234" || m.ID == "" {
		t.Fatalf("a message goes to %q, with the id %q", m.To, m.ID)
	}
	return m.Text, m.Text[:min(len(m.Text), session.CodeDigits)]
}

// withFactors is a house whose anna has a telephone, whose codes of authenticators are good for CNY 100.00, and that takes passkeys.
func withFactors(t testing.TB) (*house, *telephone) {
	t.Helper()
	h, phone := newHouse(t), &telephone{}
	h.pages.Messages, h.pages.TOTPMax = phone, map[string]int64{"CNY": 10_000}
	site, err := session.NewPasskeySite(h.pages.PublicURL, "", "Example Bank")
	if err != nil {
		t.Fatal(err)
	}
	*h.sessions.PasskeySite() = site
	h.reimport(t, true, true)
	return h, phone
}

// reimport brings anna in again.
func (h *house) reimport(t testing.TB, totp, phone bool) {
	t.Helper()
	c, _, _ := h.bank.CustomerByID(anna)
	put := &command.PutCustomer{Id: anna, Username: c.Username, Name: c.Name, ReservedMessage: c.ReservedMessage, Locale: c.Locale, PasswordSealed: c.PasswordSealed}
	for _, a := range c.Accounts {
		put.Accounts = append(put.Accounts, &command.Account{Number: a.Number, Currency: a.Currency, Label: a.Label})
	}
	if totp {
		put.TotpSealed = h.bank.kek.Seal(session.TOTPPurpose(anna), seed)
	}
	if phone {
		put.PhoneSealed = h.bank.kek.Seal(session.PhonePurpose(anna), []byte("+8613800001234"))
	}
	h.bank.must(t, &journal.Command{Body: &command.Command_PutCustomer{PutCustomer: put}})
}

func cheap(c *command.CreatePayment) { c.AmountMinor = 9_999 }

var options = regexp.MustCompile(`data-options="([^"]*)"`)

func optionsOf(t testing.TB, p page) string {
	t.Helper()
	m := options.FindStringSubmatch(p.body)
	if m == nil {
		t.Fatalf("%s has no options for a passkey:\n%s", p.address, p.body)
	}
	return html.UnescapeString(m[1])
}

// signs has an authenticator answer a page.
func signs(t *testing.T, a *passkeytest.Authenticator, p page) string {
	t.Helper()
	answer, err := a.Get(optionsOf(t, p))
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// enrols adds a passkey by the pages, confirmed by a message.
func (v *visitor) enrols(phone *telephone) *passkeytest.Authenticator {
	t := v.h.t.(*testing.T)
	t.Helper()
	a := passkeytest.New("https://pay.bank.example")
	p := v.get("/factors/new")
	made, err := a.Create(optionsOf(t, p))
	if err != nil {
		t.Fatal(err)
	}
	p = v.follow(v.submit(p, "new", "credential", made, "name", "My phone"))
	p.want(t, 200, "add the passkey “My phone”")
	if strings.Contains(p.body, `/factors/message?`) {
		p = v.follow(v.submit(p, "message"))
		text, code := phone.last(t)
		if !strings.Contains(text, "My phone") || !strings.Contains(text, "Example Bank") {
			t.Fatalf("the message says %q", text)
		}
		p = v.submit(p, "code", "code", code)
	} else {
		p = v.submit(p, "code", "code", v.h.code(0))
	}
	v.follow(p).want(t, 200, v.h.says("factors-added"), "My phone")
	return a
}

func TestCodeByMessage_NamesPayeeAndAmountAndPays(t *testing.T) {
	h, phone := withFactors(t)
	id, link := h.pay()
	v := h.visitor()
	p := v.toCode(link)
	p.want(t, 200, h.says("message-title"), "1234", h.says("message-send"))
	p.wantNot(t, h.says("way-totp"), "3800001234") // CNY 128.00 are too much for that
	p = v.follow(v.submit(p, "message"))
	p.want(t, 200, h.says("message-again"))
	text, code := phone.last(t)
	for _, part := range []string{"CNY\u00a0128.00", "Shop 店", mask(account), "Example Bank"} {
		if !strings.Contains(text, part) {
			t.Fatalf("the message %q does not name %q", text, part)
		}
	}
	wrong := "000000"
	if code == wrong {
		wrong = "000001"
	}
	p = v.follow(v.submit(p, "code", "code", wrong))
	p.want(t, 200, h.says("alert-message-wrong"))
	v.follow(v.submit(p, "code", "code", code)).want(t, 200, h.says("settled-title"))
	if h.state(id) != journal.StateSettled {
		t.Fatal(h.state(id))
	}
	if strings.Contains(h.logs.String(), code) || strings.Contains(h.logs.String(), "3800001234") {
		t.Fatalf("the log holds the code or the number:\n%s", h.logs)
	}
}

func TestDynamicLinking_ACodeForOnePaymentIsNoneForAnother_OnThePages(t *testing.T) {
	h, phone := withFactors(t)
	first, link := h.pay()
	other, otherLink := h.pay(func(c *command.CreatePayment) { c.CreditorName = "Another shop" })
	v := h.visitor()
	p := v.follow(v.submit(v.toCode(link), "message"))
	_, code := phone.last(t)
	q := v.choose(v.open(otherLink))
	// The page of the other payment with the consent, and so the code, of the first one.
	stolen := strings.Replace(q.address, "c=", "x=", 1) + "&f=message&c=" + regexp.MustCompile(`c=([^&]*)`).FindStringSubmatch(p.address)[1]
	v.send("POST", stolen, map[string][]string{"csrf": {csrfOf(t, p)}, "code": {code}}).want(t, 303)
	q = v.follow(v.submit(q, "message"))
	_, second := phone.last(t)
	if second == code {
		t.Skip("two codes are the same by chance, one in a million")
	}
	v.follow(v.submit(q, "code", "code", code)).want(t, 200, h.says("alert-message-wrong"))
	// Nor is the first one good any more: only the newest is.
	v.follow(v.submit(p, "code", "code", code)).want(t, 200, h.says("alert-code-spent"))
	if h.state(first) != journal.StateReceived || h.state(other) != journal.StateReceived {
		t.Fatal(h.state(first), h.state(other))
	}
	v.follow(v.submit(q, "code", "code", second)).want(t, 200, h.says("settled-title"))
}

func csrfOf(t *testing.T, p page) string {
	t.Helper()
	_, fields := p.form(t, "code")
	return fields.Get("csrf")
}

func TestCodeByMessage_IsSentAtAPaceAndOldOnesAreNotTaken(t *testing.T) {
	h, phone := withFactors(t)
	_, link := h.pay()
	v := h.visitor()
	p := v.follow(v.submit(v.toCode(link), "message"))
	_, first := phone.last(t)
	v.follow(v.submit(p, "message")).want(t, 200, h.says("alert-message-soon"))
	h.bank.pass(time.Duration(journal.CodeEvery) * time.Millisecond)
	again := v.follow(v.submit(p, "message"))
	again.want(t, 200, h.says("message-again"))
	v.follow(v.submit(p, "code", "code", first)).want(t, 200, h.says("alert-code-spent"))
	h.bank.pass(4*time.Minute + 30*time.Second) // of the session's five
	_ = v.get("/session")
	h.bank.pass(30 * time.Second)
	_, newest := phone.last(t)
	v.follow(v.submit(again, "code", "code", newest)).want(t, 200, h.says("alert-code-old"))
	if len(phone.got) != 2 {
		t.Fatalf("%d messages", len(phone.got))
	}
}

func TestGatewayThatIsDown_IsToldAndAnotherWayIsOffered(t *testing.T) {
	h, phone := withFactors(t)
	phone.down = message.ErrDown
	_, link := h.pay(cheap)
	v := h.visitor()
	p := v.get(strings.Replace(v.toCode(link).address, "&f=totp", "", 1) + "&f=message")
	p = v.follow(v.submit(p, "message"))
	p.want(t, 200, h.says("alert-message-down"), h.says("code-title"))
	v.follow(v.submit(p, "code", "code", h.code(0))).want(t, 200, h.says("settled-title"))
}

func TestTOTP_ConfirmsUpToItsLimitOnly(t *testing.T) {
	h, _ := withFactors(t)
	low, lowLink := h.pay(func(c *command.CreatePayment) { c.AmountMinor = 10_000 })
	v := h.visitor()
	v.follow(v.submit(v.toCode(lowLink), "code", "code", h.code(0))).want(t, 200, h.says("settled-title"))
	high, link := h.pay(func(c *command.CreatePayment) { c.AmountMinor = 10_001 })
	p := v.choose(v.open(link))
	p.wantNot(t, h.says("way-totp"))
	// Who makes up the form all the same is refused before an attempt is counted.
	csrf := regexp.MustCompile(`name="csrf" value="([^"]*)"`).FindStringSubmatch(p.body)[1]
	made := v.send("POST", strings.Replace(p.address, "&f=message", "", 1)+"&f=totp", map[string][]string{"csrf": {csrf}, "code": {h.code(1)}})
	v.follow(made).want(t, 200, h.says("alert-way"))
	euro, euroLink := h.pay(func(c *command.CreatePayment) { c.Currency, c.AmountMinor = "USD", 1 })
	v.open(euroLink).want(t, 200, h.says("no-account-title"))
	if h.state(low) != journal.StateSettled || h.state(high) != journal.StateReceived || h.state(euro) != journal.StateReceived {
		t.Fatal(h.state(low), h.state(high), h.state(euro))
	}
	if a, _, _ := h.bank.Access(anna); a.Lanes[journal.LaneOneTimeCode].Failures != 0 {
		t.Fatalf("%d attempts", a.Lanes[journal.LaneOneTimeCode].Failures)
	}
}

func TestNoFactorThatWillDo_IsToldWithWhatHelps(t *testing.T) {
	h, _ := withFactors(t)
	h.reimport(t, true, false)
	_, link := h.pay()
	h.visitor().toCode(link).want(t, 200, h.says("no-way-title"), "CNY\u00a0100.00", h.says("way-factors"))
}

func TestPasskey_IsEnrolledAndPaysWhatItsCustomerSaw(t *testing.T) {
	h, phone := withFactors(t)
	id, link := h.pay()
	v := h.visitor()
	v.signIn(link, "anna")
	a := v.enrols(phone)
	if text, _ := phone.last(t); !strings.Contains(text, "was added") {
		t.Fatalf("the last message says %q", text)
	}
	p := v.choose(v.open(link))
	p.want(t, 200, h.says("passkey-title"), h.says("way-message"), h.says("passkey-noscript"))
	v.follow(v.submit(p, "code", "credential", signs(t, a, p))).want(t, 200, h.says("settled-title"))
	if h.state(id) != journal.StateSettled {
		t.Fatal(h.state(id))
	}
	v.get("/factors").want(t, 200, "last used")
}

func TestDynamicLinking_AChangedPayeeOrAmountVoidsTheAssertion_OnThePages(t *testing.T) {
	h, phone := withFactors(t)
	_, link := h.pay()
	v := h.visitor()
	v.signIn(link, "anna")
	a := v.enrols(phone)
	seen := signs(t, a, v.choose(v.open(link)))
	f := func(change func(*command.CreatePayment)) {
		t.Helper()
		id, other := h.pay(change)
		v.follow(v.submit(v.choose(v.open(other)), "code", "credential", seen)).want(t, 200, h.says("alert-passkey-wrong"))
		if h.state(id) != journal.StateReceived {
			t.Fatal(h.state(id))
		}
		h.bank.must(t, unlock())
	}
	f(func(c *command.CreatePayment) { c.AmountMinor++ })
	f(func(c *command.CreatePayment) { c.CreditorName = "Another" })
	f(func(c *command.CreatePayment) { c.CreditorAccount = "DE02120300000000202051" })
	f(func(*command.CreatePayment) {}) // the like, but another payment
	// And the same payment from another account.
	confirm := v.open(link)
	_, fields := confirm.form(t, "confirm")
	value := regexp.MustCompile(`value="(1-[0-9a-f]{8})"`).FindStringSubmatch(confirm.body)[1]
	if fields.Get("account") == value {
		t.Fatal("the first account is the second")
	}
	p := v.follow(v.submit(confirm, "confirm", "account", value))
	v.follow(v.submit(p, "code", "credential", seen)).want(t, 200, h.says("alert-passkey-wrong"))
}

func TestPasskey_ThatIsACopyOrWasRemovedIsRefused_OnThePages(t *testing.T) {
	h, phone := withFactors(t)
	_, link := h.pay()
	v := h.visitor()
	v.signIn(link, "anna")
	a := v.enrols(phone)
	p := v.choose(v.open(link))
	v.follow(v.submit(p, "code", "credential", signs(t, a, p))).want(t, 200, h.says("settled-title"))
	next, nextLink := h.pay()
	p = v.choose(v.open(nextLink))
	a.Count -= 2 // a copy of the key counts from where it was copied
	v.follow(v.submit(p, "code", "credential", signs(t, a, p))).want(t, 200, h.says("alert-passkey-gone"))
	a.Count += 5
	answer := signs(t, a, p)
	// Removed meanwhile, with another factor.
	list := v.get("/factors")
	list = v.follow(v.submit(list, "remove"))
	list.want(t, 200, "remove the passkey “My phone”")
	list = v.follow(v.get(strings.Replace(list.address, "&f=passkey", "", 1) + "&f=message"))
	list = v.follow(v.submit(list, "message"))
	_, code := phone.last(t)
	v.follow(v.submit(list, "code", "code", code)).want(t, 200, h.says("factors-removed"), h.says("passkeys-none"))
	v.follow(v.submit(p, "code", "credential", answer)).want(t, 200, h.says("alert-passkey-gone"))
	if h.state(next) != journal.StateReceived {
		t.Fatal(h.state(next))
	}
}

func TestFactors_AreChangedWithTheBestFactorThatTheCustomerHas(t *testing.T) {
	h, phone := withFactors(t)
	_, link := h.pay()
	v := h.visitor()
	v.signIn(link, "anna")
	a := v.enrols(phone)
	p := v.follow(v.submit(v.get("/factors"), "remove"))
	p.want(t, 200, h.says("passkey-title"), h.says("way-message"))
	p.wantNot(t, h.says("way-totp"))
	csrf := csrfOf(t, p)
	made := v.send("POST", strings.Replace(p.address, "&f=passkey", "", 1)+"&f=totp", map[string][]string{"csrf": {csrf}, "code": {h.code(0)}})
	v.follow(made).want(t, 200, h.says("alert-way"))
	v.follow(v.submit(p, "code", "credential", signs(t, a, p))).want(t, 200, h.says("factors-removed"))
	// With an authenticator alone, that is the best.
	h.reimport(t, true, false)
	v.enrols(phone)
}

func TestPasskey_LastFactorIsNotRemoved_OnThePages(t *testing.T) {
	h, phone := withFactors(t)
	_, link := h.pay()
	v := h.visitor()
	v.signIn(link, "anna")
	a := v.enrols(phone)
	h.reimport(t, false, false)
	p := v.follow(v.submit(v.get("/factors"), "remove"))
	v.follow(v.submit(p, "code", "credential", signs(t, a, p))).want(t, 200, h.says("alert-passkey-last"), "My phone")
}

func TestSecurity_AsksForASessionItsTokenAndAFreshChange(t *testing.T) {
	h, phone := withFactors(t)
	stranger := h.visitor()
	for _, address := range []string{"/factors", "/factors/new", "/factors/code?c=x", "/factors/message"} {
		if p := stranger.get(address); p.status != 303 || !strings.HasPrefix(p.location, "/sign-in") {
			t.Fatalf("%s: %d %s", address, p.status, p.location)
		}
	}
	_, link := h.pay()
	v := h.visitor()
	v.signIn(link, "anna")
	for _, address := range []string{"/factors/new", "/factors/remove", "/factors/code", "/factors/message"} {
		p := v.send("POST", address, nil)
		if p.status == 303 && strings.Contains(p.location, "why=change-old") {
			continue // there is no change that could be made
		}
		p.want(t, 403)
	}
	p := v.get("/factors/new")
	a := passkeytest.New("https://pay.bank.example")
	made, err := a.Create(optionsOf(t, p))
	if err != nil {
		t.Fatal(err)
	}
	v.follow(v.submit(p, "new", "credential", made, "name", strings.Repeat("x", 36))).want(t, 200, h.says("alert-passkey-name"))
	v.follow(v.submit(p, "new", "credential", "{}", "name", "x")).want(t, 200, h.says("alert-passkey-made"))
	elsewhere := passkeytest.New("https://pay.bank.example.evil.example")
	if made, err = elsewhere.Create(optionsOf(t, p)); err != nil {
		t.Fatal(err)
	}
	v.follow(v.submit(p, "new", "credential", made, "name", "x")).want(t, 200, h.says("alert-passkey-made"))
	if len(phone.got) != 0 {
		t.Fatalf("%d messages", len(phone.got))
	}
}
