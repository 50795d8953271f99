package customer

import (
	"fmt"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/frontend/edge"
	"netbank/frontend/web"
)

// telling is a page that tells something: the sentences are those of its name.
type telling struct {
	tone    string
	page    string   // heading and text: page-title, page-text
	more    []string // sentences after the text
	said    []string // finished sentences after those
	order   bool
	back    bool // a link to the merchant
	cancel  bool // a button that cancels the payment
	primary *web.Link
	follow  string // what happens by itself
	refresh string
}

func (c *Pages) tell(q *request, status int, t telling) {
	view := web.Message{
		Frame: c.frame(q, t.page+"-title"), Tone: t.tone, Heading: c.site.Text(q.locale, t.page+"-title"), Primary: t.primary, Follow: t.follow,
		Paragraphs: []string{c.site.Text(q.locale, t.page+"-text")},
	}
	if t.page == "rejected" {
		view.Paragraphs = nil // its text depends on why, and comes in more
	}
	view.Refresh = t.refresh
	for _, key := range t.more {
		view.Paragraphs = append(view.Paragraphs, c.site.Text(q.locale, key))
	}
	view.Paragraphs = append(view.Paragraphs, t.said...)
	if t.order {
		order := c.order(q)
		if q.session != nil && q.session.Customer == q.payment.Customer && q.payment.DebtorAccount != "" {
			order.Account = mask(q.payment.DebtorAccount)
		}
		view.Order = &order
	}
	if q.link != "" {
		if t.back {
			view.Back = merchantURL(&q.payment)
		}
		if t.cancel && q.payment.State == journal.StateReceived {
			view.Cancel = &web.Form{Action: q.step("cancel")}
			if q.session != nil {
				view.Cancel.CSRF = q.session.CSRFToken()
			}
		}
		if t.primary == nil && !t.back {
			view.Primary = &web.Link{Href: q.step(""), Text: c.site.Text(q.locale, "pay-open")}
		}
	}
	c.render(q, status, "message", &view)
}

// result shows what became of a payment. It needs no session: the link is enough to see what the merchant sees anyway.
func (c *Pages) result(q *request) {
	if !c.find(q) {
		return
	}
	if s, err := c.Sessions.Open(q.Request.Header.Cookie(c.cookie)); err == nil {
		q.session = s
	}
	if !q.payment.State.Final() && q.payment.State != journal.StateReceived {
		if p, ok := c.Bank.Await(q.payment.ID, q.payment.Version, time.Now().Add(ResultWait)); ok {
			q.payment = p
		}
	}
	if q.session != nil && q.payment.Customer != 0 && q.payment.Customer != q.session.Customer {
		c.tell(q, fasthttp.StatusForbidden, telling{tone: "bad", page: "other", back: true})
		return
	}
	merchant := merchantURL(&q.payment)
	again := q.step("result")
	switch q.payment.State {
	case journal.StateReceived:
		c.lead(q, "", "")
	case journal.StateSettled:
		t := telling{tone: "good", page: "settled", order: true}
		if merchant != "" {
			t.primary = &web.Link{Href: merchant, Text: c.site.Text(q.locale, "settled-go")}
			t.follow = c.site.Text(q.locale, "follow-merchant")
			t.refresh = fmt.Sprintf("%d; url=%s", int(MerchantAfter.Seconds()), merchant)
		}
		c.tell(q, fasthttp.StatusOK, t)
	case journal.StateRejected:
		c.tell(q, fasthttp.StatusOK, telling{tone: "bad", page: "rejected", more: []string{rejection(&q.payment), "rejected-next"}, order: true, back: true})
	case journal.StateCancelled:
		t := telling{tone: "wait", page: "cancelled", order: true, back: true}
		if merchant != "" {
			t.follow = c.site.Text(q.locale, "follow-merchant")
			t.refresh = fmt.Sprintf("%d; url=%s", int(MerchantAfter.Seconds()), merchant)
		}
		c.tell(q, fasthttp.StatusOK, t)
	case journal.StateExpired:
		c.tell(q, fasthttp.StatusOK, telling{tone: "bad", page: "expired", order: true, back: true})
	case journal.StateAuthorised:
		c.tell(q, fasthttp.StatusOK, telling{tone: "wait", page: "processing", order: true, refresh: "2; url=" + again, primary: &web.Link{Href: again, Text: c.site.Text(q.locale, "look-again")}})
	default: // in doubt, reversing: invariant UnknownIsNotFailed
		c.tell(q, fasthttp.StatusOK, telling{tone: "wait", page: "doubt", more: []string{"doubt-keep"}, order: true, back: true, refresh: "5; url=" + again})
	}
}

func rejection(p *journal.Payment) string {
	switch p.Reason {
	case journal.ReasonNotSent:
		return "rejected-not-sent"
	case journal.ReasonReversed:
		return "rejected-reversed"
	case journal.ReasonCoreUnavailable:
		return "rejected-unavailable"
	}
	switch p.ResponseCode {
	case "51":
		return "rejected-funds"
	case "61":
		return "rejected-limit"
	}
	return "rejected-declined"
}

// refuse leads to the page that says why, and that nothing was charged. The payment stays as it is.
func (c *Pages) refuse(q *request, refusal cluster.Refusal) {
	edge.SetOutcome(q.RequestCtx, edge.Refused)
	wait := min(max(int(refusal.RetryAfter.Seconds()+.5), 1), 600)
	c.redirect(q, q.step("busy")+"&reason="+refusal.Reason.String()+"&wait="+strconv.Itoa(wait))
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
	if err != nil || wait < 1 || wait > 600 {
		wait = 5
	}
	page := "busy"
	switch string(q.QueryArgs().Peek("reason")) {
	case gate.NoLeader.String(), gate.Breaker.String(), gate.Stalled.String():
		page = "unavailable"
	}
	edge.SetOutcome(q.RequestCtx, edge.Answered) // the refusal was counted where it happened
	q.Response.Header.Set("Retry-After", strconv.Itoa(wait))
	c.tell(q, fasthttp.StatusServiceUnavailable, telling{
		tone: "wait", page: page, said: []string{c.site.Text(q.locale, "busy-wait", "Seconds", wait)}, order: true, back: true, cancel: true,
		primary: &web.Link{Href: q.step(""), Text: c.site.Text(q.locale, "try-again")},
	})
}
