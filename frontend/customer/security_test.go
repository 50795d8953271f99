package customer

import (
	"strings"
	"testing"
	"time"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/session"
)

const chosen = "four plums in a row"

// asks sends the form of the page Security, and gives the page that follows: a factor is asked for, or why nothing was changed.
func (v *visitor) asks(present, chosen, again string) page {
	v.h.t.Helper()
	return v.follow(v.submit(v.open("/security"), "password", "present", present, "chosen", chosen, "again", again))
}

// change is asks, and confirms with an authenticator's code what can be confirmed.
func (v *visitor) change(present, chosen, again string) page {
	v.h.t.Helper()
	p := v.asks(present, chosen, again)
	if strings.Contains(p.body, v.h.says("change-password")) {
		p = v.follow(v.submit(p, "code", "code", v.h.code(0)))
	}
	return p
}

// enters signs in without a payment.
func (v *visitor) enters(username, password string) page {
	v.h.t.Helper()
	return v.follow(v.submit(v.open("/sign-in"), "sign-in", "username", username, "password", password))
}

func TestPasswordPage_ChangesItAndEndsEveryOtherSignIn(t *testing.T) {
	h := newHouse(t)
	v := h.visitor()
	v.enters("anna", password).want(t, 200, h.says("payments-title"), h.says("security-title"))
	thief := h.visitor()
	thief.cookies["__Host-netbank"] = v.cookies["__Host-netbank"]
	v.open("/security").want(t, 200, h.says("password-from-bank"), `autocomplete="current-password"`, `autocomplete="new-password"`, `value="anna"`)
	v.change(password, chosen, chosen).want(t, 200, h.says("password-changed"))
	v.open("/payments").want(t, 200, h.says("payments-title"))
	thief.open("/payments").want(t, 200, `name="password"`)
	h.visitor().enters("anna", password).want(t, 200, h.says("alert-wrong"))
	h.visitor().enters("anna", chosen).want(t, 200, h.says("payments-title"))
	if log := h.logs.String(); !strings.Contains(log, "a password was changed") || strings.Contains(log, chosen) || strings.Contains(log, password) {
		t.Errorf("the log says %s", log)
	}
}

func TestPasswordPage_SaysWhyNothingWasChanged(t *testing.T) {
	h := newHouse(t)
	v := h.visitor()
	v.enters("anna", password)
	f := func(want, present, chosen, again string) {
		t.Helper()
		p := v.change(present, chosen, again)
		p.want(t, 200, h.says(want), `name="present"`)
		if strings.Contains(p.body+p.address, chosen) {
			t.Error("the page holds what was typed")
		}
	}
	f("alert-password-repeat", password, chosen, chosen+"!")
	f("alert-password-short", password, "7 plums", "7 plums")
	f("alert-password-long", password, strings.Repeat("plum", 40), strings.Repeat("plum", 40))
	f("alert-password-characters", password, "four\x01plums in", "four\x01plums in")
	f("alert-password-own", password, "anna.anna.1", "anna.anna.1")
	f("alert-password-breached", password, "trustno1", "trustno1")
	f("alert-password-same", password, password, password)
	f("alert-password-wrong", "not my password", chosen, chosen)
	h.bank.refusals[gate.SignIn] = cluster.Refusal{Reason: gate.QueueFull, RetryAfter: time.Second}
	f("alert-password-busy", password, chosen, chosen)
	h.bank.refusals = [gate.Classes]cluster.Refusal{}
	h.bank.before = func(*journal.Command) error { return cluster.ErrNoLeader }
	f("alert-password-busy", password, chosen, chosen)
	h.bank.before = func(cmd *journal.Command) error {
		if cmd.GetReplacePassword() != nil {
			return cluster.ErrUnknown
		}
		return nil
	}
	f("alert-password-unknown", password, chosen, chosen)
	h.bank.before = nil
	h.visitor().enters("anna", password).want(t, 200, h.says("payments-title"))
}

func TestPasswordPage_LocksAfterFiveWrongOnes(t *testing.T) {
	h := newHouse(t)
	v := h.visitor()
	v.enters("anna", password)
	for range journal.LockAfter {
		v.change("not my password", chosen, chosen).want(t, 200, h.says("alert-password-wrong"))
	}
	v.change(password, chosen, chosen).want(t, 403, h.says("locked-title"), h.says("locked-password"))
	v.open("/security").want(t, 200, h.says("password-from-bank"))
}

func TestPasswordPage_AsksForTheSessionAndItsToken(t *testing.T) {
	h := newHouse(t)
	stranger := h.visitor()
	stranger.open("/security").want(t, 200, `name="username"`)
	stranger.follow(stranger.send("POST", "/security/password", nil)).want(t, 200, `name="username"`)
	v := h.visitor()
	v.enters("anna", password)
	form := v.open("/security")
	v.submit(form, "password", "csrf", "", "present", password, "chosen", chosen, "again", chosen).want(t, 403, h.says("forbidden-title"))
	v.header["Sec-Fetch-Site"] = "cross-site"
	v.submit(form, "password", "present", password, "chosen", chosen, "again", chosen).want(t, 403, h.says("forbidden-title"))
	delete(v.header, "Sec-Fetch-Site")
	v.open("/security/password").want(t, 200, h.says("password-title"))
	if c, _, _ := h.bank.CustomerByID(anna); c.PasswordChanged != 0 {
		t.Error("the password was changed")
	}
}

func TestPasswordPage_AsksForTheBestSecondFactorAndTellsTheCustomer(t *testing.T) {
	h, phone := withFactors(t)
	v := h.visitor()
	v.enters("anna", password)
	p := v.asks(password, chosen, chosen)
	p.want(t, 200, h.says("change-password"), h.says("message-title"), `href="/security"`)
	p.wantNot(t, h.says("way-totp"))
	address, fields := p.form(t, "message")
	unchanged := func(what string) {
		t.Helper()
		if c, _, _ := h.bank.CustomerByID(anna); c.PasswordChanged != 0 {
			t.Fatalf("the password was changed %s", what)
		}
	}
	// A code of the authenticator is asked for of nobody who has better.
	v.follow(v.send("POST", strings.NewReplacer("/message", "/code", "f=message", "f=totp").Replace(address), and(fields, "code", h.code(0)))).want(t, 200, h.says("alert-way"))
	unchanged("by an authenticator")
	p = v.follow(v.send("POST", address, fields))
	p.want(t, 200, h.says("message-again"))
	text, code := phone.last(t)
	if !strings.Contains(text, "change your password at Example Bank") {
		t.Errorf("the message says %q", text)
	}
	wrong := "000000"
	if code == wrong {
		wrong = "000001"
	}
	v.follow(v.submit(p, "code", "code", wrong)).want(t, 200, h.says("alert-message-wrong"))
	unchanged("by a wrong code")
	v.follow(v.submit(p, "code", "code", code)).want(t, 200, h.says("password-changed"))
	text, _ = phone.last(t)
	if want := "Your password at Example Bank was changed. If that was not you, call us at once."; text != want {
		t.Errorf("the customer is told %q, want %q", text, want)
	}
	h.visitor().enters("anna", password).want(t, 200, h.says("alert-wrong"))
	h.visitor().enters("anna", chosen).want(t, 200, h.says("payments-title"))
	for _, m := range phone.got {
		if strings.Contains(m.Text, chosen) || strings.Contains(m.Text, password) {
			t.Error("a message holds a password")
		}
	}
}

func TestPasswordPage_APasskeyConfirmsThisPasswordOnly(t *testing.T) {
	h, phone := withFactors(t)
	v := h.visitor()
	v.enters("anna", password)
	a := v.enrols(phone)
	h.bank.pass(time.Minute)
	first := v.asks(password, chosen, chosen)
	first.want(t, 200, h.says("passkey-title"), h.says("change-password"))
	second := v.asks(password, "what a thief has chosen", "what a thief has chosen")
	v.follow(v.submit(second, "code", "credential", signs(t, a, first))).want(t, 200, h.says("alert-passkey-wrong"))
	v.follow(v.submit(first, "code", "credential", signs(t, a, first))).want(t, 200, h.says("password-changed"))
	h.visitor().enters("anna", chosen).want(t, 200, h.says("payments-title"))
}

func TestPasswordPage_WhoHasNoFactorIsAskedForNone(t *testing.T) {
	h := newHouse(t)
	h.reimport(t, false, false)
	v := h.visitor()
	v.enters("anna", password)
	v.asks(password, chosen, chosen).want(t, 200, h.says("password-changed"))
}

// Others may know a password that the bank has imported, or have come to know it since.
func TestKnownPassword_SignsInAndIsAdvisedAgainstUntilItIsChanged(t *testing.T) {
	h := newHouse(t)
	phc, err := session.HashPassword("trustno1", session.Cheap)
	if err != nil {
		t.Fatal(err)
	}
	c, _, _ := h.bank.CustomerByID(anna)
	put := &command.PutCustomer{
		Id: anna, Username: c.Username, Name: c.Name, Locale: c.Locale, PasswordSealed: h.bank.kek.Seal(session.PasswordPurpose(anna), []byte(phc)), TotpSealed: c.TOTPSealed,
		Accounts: []*command.Account{{Number: account, Currency: "CNY", Label: "Everyday"}},
	}
	h.bank.must(t, &journal.Command{Body: &command.Command_PutCustomer{PutCustomer: put}})
	_, link := h.pay()
	v := h.visitor()
	p := v.follow(v.submit(v.open(link), "sign-in", "username", "anna", "password", "trustno1"))
	p.wantNot(t, h.says("advice-listed")) // who pays is not disturbed
	v.follow(v.submit(v.choose(p), "code", "code", h.code(0))).want(t, 200, h.says("settled-title"), h.says("advice-listed"), `href="/security"`)
	h.bank.pass(time.Minute) // the cookie is renewed
	v.open("/payments").want(t, 200, h.says("advice-listed"))
	v.open("/payments").want(t, 200, h.says("advice-listed"))
	v.change("trustno1", chosen, chosen).want(t, 200, h.says("password-changed"))
	v.open("/payments").wantNot(t, h.says("advice-listed"))
	other := h.visitor()
	other.enters("bert", password).wantNot(t, h.says("advice-listed"))
}
