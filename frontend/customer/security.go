package customer

import (
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"netbank/cluster/gate"
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
		Alert: c.alert(q, "password-wrong", "password-repeat", "password-short", "password-long", "password-characters", "password-own", "password-breached",
			"password-same", "password-busy", "password-unknown"),
	}
	if changed := q.session.PasswordChanged; changed != 0 {
		view.Since = c.site.Text(q.locale, "password-since", "Time", c.clock(changed))
		if string(q.QueryArgs().Peek("why")) == "password-changed" {
			view.Done = c.site.Text(q.locale, "password-changed")
		}
	}
	c.refusedHere(q, &view.Frame, "security")
	c.render(q, fasthttp.StatusOK, "security", &view)
}

// changePassword asks for the present password, whoever holds the session: it may be somebody at a screen that was left.
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
	changed, err := c.Sessions.ChangePassword(q.session, field("present"), field("chosen"), time.Now().Add(SignInBudget))
	if err != nil {
		c.passwordStays(q, err)
		return
	}
	c.Logger.Info("customer: a password was changed", "customer", q.session.Customer, "reference", edge.Reference(q.RequestCtx))
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
