package customer

import (
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/frontend/edge"
	"netbank/frontend/web"
	"netbank/session"
)

// passwordAction is where the form of a new password is sent.
const passwordAction = "/security/password"

// security is where customers change what they sign in with.
func (c *Pages) security(q *request) {
	if !c.signedIn(q) {
		return
	}
	view := web.Security{
		Frame: c.frame(q, "security-title"), Action: passwordAction, CSRF: q.session.CSRFToken(), Username: q.session.Username,
		Since: c.site.Text(q.locale, "password-from-bank"), Min: session.ChosenMin, Max: session.PasswordMax,
	}
	view.Advice = "" // it leads here
	c.alert(q, &view.Frame, "password-wrong", "password-repeat", "password-short", "password-long", "password-characters", "password-own", "password-breached",
		"password-same", "password-busy", "password-unknown")
	if changed := q.session.PasswordChanged; changed != 0 {
		view.Since = c.site.Text(q.locale, "password-since", "Time", c.clock(changed))
		if string(q.QueryArgs().Peek("why")) == "password-changed" {
			view.Done = c.site.Text(q.locale, "password-changed")
		}
	}
	c.refusedHere(q, &view.Frame, "security")
	c.render(q, fasthttp.StatusOK, "security", &view)
}

// changePassword asks for the present password, whoever holds the session: it may be somebody at a screen that was left. Then it asks for the best second
// factor that the customer has: whoever knows the password must not keep the customer out with another.
func (c *Pages) changePassword(q *request) {
	if !c.signedIn(q) || !c.own(q) {
		return
	}
	field := func(name string) string { return string(q.PostArgs().Peek(name)) } // not trimmed: what a password may be is the session's matter
	if field("chosen") != field("again") {
		c.redirect(q, "/security?why=password-repeat")
		return
	}
	if refusal, refused := c.Bank.Refused(gate.SignIn); refused {
		c.passwordBusy(q, refusal.Reason.String())
		return
	}
	change, err := c.Sessions.PreparePassword(q.session, field("present"), field("chosen"), time.Now().Add(SignInBudget))
	if err != nil {
		c.passwordStays(q, err)
		return
	}
	have, err := c.Sessions.Factors(q.session)
	switch {
	case err != nil:
		c.passwordStays(q, err)
	case have.TOTP || have.Phone != "" || len(have.Passkeys) > 0:
		c.begin(q, change)
	default: // then nothing is paid either, and there is nothing to ask for
		c.enactPassword(q, &ask{change: &change}, nil, time.Now().Add(SubmitBudget))
	}
}

// enactPassword makes the change, and has the customer told elsewhere too.
func (c *Pages) enactPassword(q *request, a *ask, proof *journal.Proof, deadline time.Time) {
	changed, err := c.Sessions.EnactPassword(q.session, a.change, proof, deadline)
	switch {
	case errors.Is(err, session.ErrUsed), errors.Is(err, session.ErrPasskey):
		c.redirect(q, q.at(a, "code", a.way, refusedWhy(a.way, err)))
		return
	case err != nil:
		c.passwordStays(q, err)
		return
	}
	c.Logger.Info("customer: a password was changed", "customer", q.session.Customer, "reference", edge.Reference(q.RequestCtx))
	c.notify(q, "text-password-changed")
	c.setCookie(q.RequestCtx, c.cookie, changed.Cookie, 0)
	c.redirect(q, "/security?why=password-changed")
}

// passwordBusy says that a password was not looked at, and why in one word.
func (c *Pages) passwordBusy(q *request, code string) {
	c.refused.add(q, code)
	c.redirect(q, "/security?why=password-busy&reason="+code)
}

// passwordStays says why a password was not changed, or that this is not known.
func (c *Pages) passwordStays(q *request, err error) {
	var locked *session.LockedError
	var unfit *session.UnfitError
	why := "unknown"
	switch {
	case errors.As(err, &locked):
		c.lockedUntil(q, "password", locked.Until)
		return
	case errors.Is(err, session.ErrReplaced), errors.Is(err, session.ErrEnded):
		c.lead(q, "", "session")
		return
	case errors.As(err, &unfit):
		why = string(unfit.Why)
	case errors.Is(err, session.ErrBusy):
		c.passwordBusy(q, CodeBusy)
		return
	case errors.Is(err, session.ErrWrong):
		why = "wrong"
	case undone(err):
		c.passwordBusy(q, refusalOf(err).Reason.String())
		return
	}
	if why == "unknown" || errors.Is(err, session.ErrCredential) {
		c.Logger.Error("customer: a password could not be changed", "reference", edge.Reference(q.RequestCtx), "error", err)
	}
	c.redirect(q, "/security?why=password-"+why)
}
