package customer

import (
	"strings"
	"testing"
	"time"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
)

const chosen = "four plums in a row"

// change sends the form of the page Security, and gives the page that follows.
func (v *visitor) change(present, chosen, again string) page {
	v.h.t.Helper()
	return v.follow(v.submit(v.open("/security"), "password", "present", present, "chosen", chosen, "again", again))
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
		if cmd.GetChangePassword() != nil {
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
