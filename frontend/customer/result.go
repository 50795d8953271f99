package customer

import (
	"fmt"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"netbank/cluster/journal"
	"netbank/frontend/web"
)

// result shows what became of a payment. It needs no session: the link is enough to see what the merchant sees anyway.
func (c *Pages) result(q *request) {
	if !c.find(q) {
		return
	}
	if s, err := c.Sessions.Open(q.Request.Header.Cookie(c.cookie)); err == nil {
		q.session = s
	}
	if seen, err := strconv.ParseUint(string(q.QueryArgs().Peek("seen")), 10, 32); err == nil && uint32(seen) > q.payment.Version {
		q.look(c.Bank.Await(q.payment.ID, uint32(seen)-1, time.Now().Add(ResultWait)))
	}
	sent, offered := c.sent(q)
	if waits := q.payment.State == journal.StateReceived; !q.payment.State.Final() && (!waits || offered) {
		q.look(c.Bank.Await(q.payment.ID, q.payment.Version, time.Now().Add(ResultWait)))
	}
	if q.session != nil && q.payment.Customer != 0 && q.payment.Customer != q.session.Customer {
		c.tell(q, fasthttp.StatusForbidden, telling{tone: "bad", page: "other", still: true})
		return
	}
	v := verdictOf(&q.payment)
	t := telling{tone: v.tone, page: v.page, text: v.text, order: true, still: true}
	switch q.payment.State {
	case journal.StateReceived:
		switch {
		case !offered:
			c.lead(q, "", "")
		case c.Bank.Now()-sent < journal.Millis(UnheardFor.Milliseconds()):
			c.await(q, "doubt", 2)
		default:
			q.unsure = true
			c.tell(q, fasthttp.StatusOK, telling{
				tone: "wait", page: "unsent", order: true, primary: &web.Link{Href: q.step(""), Text: c.site.Text(q.locale, "unsent-go")},
			})
		}
	case journal.StateSettled:
		t := c.returning(q, t)
		if back := merchantURL(&q.payment, false); back != "" {
			t.primary = &web.Link{Href: back, Text: c.site.Text(q.locale, "settled-go")}
		}
		c.tell(q, fasthttp.StatusOK, t)
	case journal.StateRejected:
		t.more = []string{"rejected-next"}
		c.tell(q, fasthttp.StatusOK, t)
	case journal.StateCancelled:
		c.tell(q, fasthttp.StatusOK, c.returning(q, t))
	case journal.StateExpired:
		c.tell(q, fasthttp.StatusOK, t)
	case journal.StateAuthorised:
		c.await(q, v.page, 2)
	default: // in doubt, reversing
		c.await(q, v.page, 5)
	}
}

// sent gives when a confirmation was offered whose way into the journal is not known, and whether there was one.
func (c *Pages) sent(q *request) (journal.Millis, bool) {
	ms, err := strconv.ParseInt(string(q.QueryArgs().Peek("sent")), 10, 64)
	now := int64(c.Bank.Now())
	return journal.Millis(ms), err == nil && ms > 0 && ms <= now
}

// await tells that the outcome is not known yet, on a page that asks again by itself.
func (c *Pages) await(q *request, page string, seconds int) {
	q.unsure = true
	again := q.step("result")
	if sent, ok := c.sent(q); ok {
		again += "&sent=" + strconv.FormatInt(int64(sent), 10)
	}
	t := telling{tone: "wait", page: page, order: true, primary: &web.Link{Href: again, Text: c.site.Text(q.locale, "look-again")}}
	if page == "doubt" {
		t.more = []string{"doubt-keep"}
	}
	if !q.QueryArgs().Has("stay") {
		t.follow, t.refresh, t.stay = "follow-look", fmt.Sprintf("%d; url=%s", seconds, again), again+"&stay=1"
	}
	c.tell(q, fasthttp.StatusOK, t)
}

// returning makes a page go back to the merchant by itself, shortly after the payment came to its end.
func (c *Pages) returning(q *request, t telling) telling {
	back := merchantURL(&q.payment, false)
	lately := c.Bank.Now()-q.payment.Changed < journal.Millis(followFor.Milliseconds())
	if back == "" || !lately || q.QueryArgs().Has("stay") {
		t.still = true
		return t
	}
	t.follow, t.stay = "follow-merchant", q.step("result")+"&stay=1"
	t.refresh = fmt.Sprintf("%d; url=%s", int(MerchantAfter.Seconds()), back)
	return t
}

// rejection is the key of the sentence that says why a payment was not made.
func rejection(p *journal.Payment) string {
	switch p.Reason {
	case journal.ReasonNotSent:
		return "rejected-not-sent"
	case journal.ReasonReversed:
		return "rejected-reversed"
	case journal.ReasonCoreUnavailable:
		return "rejected-unavailable"
	}
	// ISO 8583 (1987), field 39.
	switch p.ResponseCode {
	case "51":
		return "rejected-funds"
	case "61":
		return "rejected-limit"
	}
	return "rejected-declined"
}
