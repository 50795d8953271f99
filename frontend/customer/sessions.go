package customer

import (
	"math"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"netbank/cluster/journal"
	"netbank/frontend/web"
	"netbank/session"
)

// untouched is the parameter of an address that a page leads to by itself: nobody did anything, so the session is not renewed by it. Otherwise
// two open pages would keep each other's session alive.
const untouched = "idle"

// ending is what a page says of the end of its session, and makes the page look after the session when that has come: nobody's reserved
// message and accounts stay on a screen that was left. It says nothing on pages that do not ask for anything.
//
// WCAG 2.2, 2.2.1 asks for a warning at least 20 seconds before, and a simple way to extend, ten times; here it is EndingNotice, and as
// often as the 30 minutes of a session allow, which are there for safety.
func (c *Pages) ending(q *request) *web.Ending {
	if q.ends.IsZero() {
		return nil
	}
	left := q.ends.Sub(q.session.Seen)
	absolute := q.session.SignedIn.Add(session.AbsoluteLimit).Sub(q.session.Seen)
	final := absolute < left
	left = min(left, absolute)
	page := q.here()
	q.Response.Header.Set("Refresh", strconv.Itoa(int(math.Ceil(left.Seconds()))+1)+"; url="+with(page, untouched, "1"))
	if final {
		return &web.Ending{Text: c.site.Text(q.locale, "ending-absolute", "Minutes", minutes(left))}
	}
	e := &web.Ending{Extend: &web.Link{Href: page, Text: c.site.Text(q.locale, "ending-extend")}}
	if e.Later = left >= session.IdleLimit-session.RenewAfter; e.Later {
		e.Text = c.soon[q.locale]
		return e
	}
	e.Text = c.site.Text(q.locale, "ending-idle", "Minutes", minutes(left))
	return e
}

// minutes gives a duration in minutes as a page says it, at least one.
func minutes(d time.Duration) int { return max(int(math.Ceil(d.Minutes())), 1) }

// inForce tells about the session in force: the only one there is, since a new sign-in replaces the one before.
func (c *Pages) inForce(q *request) {
	if id, ok := q.UserValue("id").(string); ok {
		c.locate(q, id)
	}
	if !c.signedIn(q) {
		return
	}
	s := q.session
	text := func(key string, args ...any) string { return c.site.Text(q.locale, key, args...) }
	device := "session-unknown"
	if s.KnownDevice {
		device = "session-known"
	}
	view := web.Session{Frame: c.frame(q, "session-title"), Rows: []web.Row{
		{Term: text("session-name"), Text: s.Name + " (" + s.Username + ")"},
		{Term: text("session-since"), Text: c.clock(journal.Millis(s.SignedIn.UnixMilli()))},
		{Term: text("session-until"), Text: text("session-until-text", "Time", s.SignedIn.Add(session.AbsoluteLimit).In(c.Location).Format("15:04 MST"))},
		{Term: text("session-device"), Text: text(device)},
	}}
	if q.link != "" {
		view.Payment = &web.Link{Href: q.step(""), Text: text("session-payment")}
	}
	c.render(q, fasthttp.StatusOK, "session", &view)
}

// entrance is the sign-in page of a customer who came without a payment.
func (c *Pages) entrance(q *request) {
	_, err := c.Sessions.Open(q.Request.Header.Cookie(c.cookie))
	if err == nil {
		c.redirect(q, "/payments")
		return
	}
	if !c.admitted(q, false) {
		return
	}
	view := web.SignIn{Frame: c.frame(q, "enter-title"), Action: "/sign-in"}
	c.alert(q, &view.Frame, "wrong", "malformed", "address", "away", "cookies")
	if string(q.QueryArgs().Peek("why")) == "session" && lostSession(err) != "" {
		view.Alert = c.site.Text(q.locale, "alert-session-over")
	}
	c.refusedHere(q, &view.Frame, "enter")
	c.render(q, fasthttp.StatusOK, "sign-in", &view)
}

// enter signs in without a payment: who does wants to know what became of one.
func (c *Pages) enter(q *request) {
	if c.admitted(q, true) {
		c.check(q, "payments")
	}
}
