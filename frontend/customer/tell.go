package customer

import (
	"math"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/frontend/edge"
	"netbank/frontend/web"
)

// telling is a page that tells something and leads on or back: the sentences are those of its name.
type telling struct {
	tone    string   // good, bad, wait or info
	page    string   // heading and text: page-title, page-text
	args    []any    // of the text
	code    string   // why something was refused, in one word; empty: nothing was
	text    string   // the text's key, where it is not page-text
	more    []string // keys of sentences after the text
	said    []string // finished sentences after those
	place   *web.Line
	order   bool // what the payment is
	cancel  bool // a button that cancels the payment
	still   bool // no link to open the payment again: this is its page
	primary *web.Link
	also    *web.Link // another way on
	follow  string    // key: what happens by itself
	refresh string    // content of the header Refresh
	stay    string    // where the same page is shown without it
}

func (c *Pages) tell(q *request, status int, t telling) {
	text := t.text
	if text == "" {
		text = t.page + "-text"
	}
	c.note(q, &t, text)
	view := web.Message{
		Frame: c.frame(q, t.page+"-title"), Tone: t.tone, Heading: c.site.Text(q.locale, t.page+"-title"), Line: t.place, Primary: t.primary, Also: t.also,
		Paragraphs: []string{c.site.Text(q.locale, text, t.args...)},
	}
	view.Reference = reference(q.RequestCtx, t.code)
	for _, key := range t.more {
		view.Paragraphs = append(view.Paragraphs, c.site.Text(q.locale, key))
	}
	if q.stale {
		view.Paragraphs = append(view.Paragraphs, c.site.Text(q.locale, "as-last-seen"))
	}
	view.Paragraphs = append(view.Paragraphs, t.said...)
	if t.order {
		c.tellOrder(q, &view)
	}
	if q.link != "" {
		c.tellWays(q, &view, &t)
	}
	if q.link == "" && view.Primary == nil && t.page != "home" {
		view.Primary = &web.Link{Href: "/", Text: c.site.Text(q.locale, "home-go")}
	}
	if t.follow != "" {
		view.Follow = c.site.Text(q.locale, t.follow)
	}
	if t.refresh != "" {
		// A header, not an element of the page: what it holds is either our own address or one that merchantURL has found plain.
		q.Response.Header.Set("Refresh", t.refresh)
		if t.stay != "" {
			view.Stay = &web.Link{Href: t.stay, Text: c.site.Text(q.locale, "stay")}
		}
	}
	c.render(q, status, "message", &view)
}

// tellOrder adds what a page shows of the payment it is about, if there is one.
func (c *Pages) tellOrder(q *request, view *web.Message) {
	if q.payment.State == journal.StateNone {
		return
	}
	order := c.order(q)
	if q.session != nil && q.session.Customer == q.payment.Customer && q.payment.DebtorAccount != "" {
		order.Account = q.accountOf(q.payment.DebtorAccount, q.payment.Amount.Currency)
	}
	view.Order = &order
}

// tellWays adds the ways on from a page of a payment's link.
func (c *Pages) tellWays(q *request, view *web.Message, t *telling) {
	if t.cancel && q.payment.State == journal.StateReceived {
		view.Cancel = &web.Form{Action: q.step("cancel")}
		if q.session != nil {
			view.Cancel.CSRF = q.session.CSRFToken()
		}
	}
	switch {
	case t.primary == nil && !t.still:
		view.Primary = &web.Link{Href: q.step(""), Text: c.site.Text(q.locale, "pay-open")}
	case t.primary == nil && view.Cancel == nil && view.Back != "": // there is nothing else to do
		view.Primary, view.Back = &web.Link{Href: view.Back, Text: c.site.Text(q.locale, "back-to-merchant")}, ""
	case t.primary != nil && t.primary.Href == view.Back:
		view.Back = "" // the main link leads there
	}
}

// refuse leads to the page that says why, and that nothing was charged. The payment stays as it is. consent, if there is one, goes with
// it, so that the next try begins at the code.
func (c *Pages) refuse(q *request, refusal cluster.Refusal, consent string) {
	code := refusal.Reason.String()
	c.refused.add(q, code)
	if q.link == "" { // a sign-in without a payment
		c.redirect(q, with(with(q.step(""), "why", "away"), "reason", code))
		return
	}
	if now, refused := c.Bank.Refused(gate.Confirm); refused && now.Reason == refusal.Reason {
		refusal.RetryAfter = max(refusal.RetryAfter, now.RetryAfter) // a leader's rate, or how long there has been none
	}
	wait := seconds(edge.Spread(refusal.RetryAfter))
	address := q.step("busy") + "&reason=" + code + "&wait=" + strconv.Itoa(wait)
	if consent != "" {
		address += "&c=" + consent
	}
	c.redirect(q, address)
}

func (c *Pages) busy(q *request) {
	if !c.find(q) {
		return
	}
	if q.payment.State != journal.StateReceived {
		c.lead(q, "result", "")
		return
	}
	wait, err := strconv.Atoi(string(q.QueryArgs().Peek("wait")))
	if err != nil || wait < 1 || wait > WaitMax {
		wait = 5
	}
	page, text := "busy", ""
	reason := string(q.QueryArgs().Peek("reason"))
	switch reason {
	case gate.NoLeader.String(), gate.Breaker.String(), gate.Stalled.String():
		page = "unavailable"
	}
	again := q.step("")
	var customer journal.CustomerID
	if s, err := c.Sessions.Open(q.Request.Header.Cookie(c.cookie)); err == nil {
		q.session, customer = s, s.Customer
		// Only a consent that opens is led back to; anything else begins at the confirm page.
		if consent, err := c.Sessions.OpenConsent(s, q.QueryArgs().Peek("c")); err == nil && consent.Payment == q.payment.ID {
			again = q.at(&ask{consent: &consent, token: string(q.QueryArgs().Peek("c"))}, "code", byDefault, "")
		}
	}
	// Invariant RefusedMeansNotCharged: that nothing was charged is said only where a leader's word makes it certain. What refused this try knows
	// nothing of an earlier confirmation of the same payment, which another node may have, and bring to the next leader. Who could not sign in
	// for want of a leader may have confirmed it in a session that is gone.
	if q.stale {
		page = "unavailable"
	}
	if q.stale || customer == 0 && reason == gate.NoLeader.String() || c.paying.any(q.payment.ID) || !c.Bank.Unconfirmed(q.payment.ID, customer) {
		text, q.unsure = "unavailable-unsure", true
	}
	edge.SetOutcome(q.RequestCtx, edge.Answered) // the refusal was counted where it happened
	q.Response.Header.Set("Retry-After", strconv.Itoa(wait))
	c.tell(q, fasthttp.StatusServiceUnavailable, telling{
		tone: "wait", page: page, text: text, code: refusalCode(reason), said: []string{c.site.Text(q.locale, "busy-wait", "Seconds", wait)}, order: true, cancel: true,
		primary: &web.Link{Href: again, Text: c.site.Text(q.locale, "try-again")},
	})
}

// lockFor is the journal's, as a duration.
const lockFor = time.Duration(journal.LockFor) * time.Millisecond

// lockedUntil leads to the page that says until when a factor is locked: "sign-in", "code" or "password".
func (c *Pages) lockedUntil(q *request, what string, until time.Time) {
	edge.SetOutcome(q.RequestCtx, edge.Rejected)
	c.redirect(q, with(with(q.step("locked"), "what", what), "until", strconv.FormatInt(until.Unix(), 10)))
}

func (c *Pages) locked(q *request) {
	if _, paying := q.UserValue("id").(string); paying && !c.find(q) {
		return
	}
	seconds, err := strconv.ParseInt(string(q.QueryArgs().Peek("until")), 10, 64)
	now := time.UnixMilli(int64(c.Bank.Now()))
	until := time.Unix(seconds, 0)
	if left := until.Sub(now); err != nil || seconds < 0 || left <= 0 || left > lockFor+time.Second {
		c.lead(q, "", "") // over, or never was
		return
	}
	t := telling{tone: "bad", page: "locked", text: "locked-sign-in", order: true, cancel: true}
	switch string(q.QueryArgs().Peek("what")) {
	case "code":
		t.text = "locked-code"
	case "password":
		t.text = "locked-password"
	}
	minutes := int(math.Ceil(until.Sub(now).Minutes()))
	t.said = append(t.said, c.site.Text(q.locale, "locked-until", "Minutes", minutes, "Time", until.In(c.Location).Format("15:04 MST")))
	if t.text == "locked-sign-in" {
		t.said = append(t.said, c.site.Text(q.locale, "locked-usual"))
	}
	c.tell(q, fasthttp.StatusForbidden, t)
}
