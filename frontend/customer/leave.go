package customer

import (
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"netbank/cluster"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/frontend/edge"
	"netbank/frontend/web"
)

func (c *Pages) cancel(q *request) {
	if !c.find(q) {
		return
	}
	// Who is not signed in may cancel too: whoever holds the link came from the merchant, and nothing is lost but this order.
	// Who is signed in must send the form of that session.
	if s, err := c.Sessions.Open(q.Request.Header.Cookie(c.cookie)); err == nil {
		if q.session = s; !c.own(q) {
			return
		}
	}
	if q.payment.State != journal.StateReceived {
		c.lead(q, "result", "")
		return
	}
	id := q.payment.ID
	_, err := c.Bank.Submit(&journal.Command{Body: &command.Command_CancelPayment{CancelPayment: &command.CancelPayment{PaymentId: id[:]}}}, time.Now().Add(SubmitBudget))
	switch {
	case err == nil: // cancelled, or the result says what came first
		c.lead(q, "result", "")
	case undone(err):
		c.refuse(q, refusalOf(err), "")
	default:
		if !errors.Is(err, cluster.ErrUnknown) {
			c.Logger.Error("customer: a cancellation ended in an unknown way", "payment", id.String(), "reference", edge.Reference(q.RequestCtx), "error", err)
		}
		c.lead(q, "", "cancel-unknown")
	}
}

// signOut ends the session. On a page with a payment the way back to the merchant stays.
func (c *Pages) signOut(q *request) {
	if id, ok := q.UserValue("id").(string); ok {
		c.locate(q, id)
	}
	s, err := c.Sessions.OpenToEnd(q.Request.Header.Cookie(c.cookie))
	if err == nil {
		if q.session = s; !c.own(q) {
			return
		}
		if err := c.Sessions.SignOut(s, time.Now().Add(SubmitBudget)); err != nil {
			c.tell(q, fasthttp.StatusServiceUnavailable, telling{tone: "bad", page: "sign-out-failed"})
			return
		}
	}
	c.setCookie(q.RequestCtx, c.cookie, "", -time.Hour)
	c.redirect(q, q.step("signed-out"))
}

func (c *Pages) signedOut(q *request) {
	if id, ok := q.UserValue("id").(string); ok {
		c.locate(q, id)
	}
	c.tell(q, fasthttp.StatusOK, telling{tone: "good", page: "signed-out"})
}

func (c *Pages) home(q *request) {
	t := telling{tone: "info", page: "home", primary: &web.Link{Href: "/sign-in", Text: c.site.Text(q.locale, "enter-title")}}
	if s, err := c.Sessions.Open(q.Request.Header.Cookie(c.cookie)); err == nil {
		q.session = s
		t.primary = c.toPayments(q)
	}
	c.tell(q, fasthttp.StatusOK, t)
}
