package customer

import (
	"time"

	"github.com/valyala/fasthttp"

	"netbank/cluster"
	"netbank/cluster/journal"
	"netbank/frontend/web"
)

// verdict is what a page says of a payment's state: the result of a payment that was just made, and the same payment in the list, in the same
// words. It is for every state but received, in which there is nothing to say yet.
type verdict struct {
	tone  string // good, bad, wait or info
	page  string // of the sentences page-title and page-text
	text  string // the text's key, where it is not page-text
	short string // key: charged, not charged, or not yet known (invariant UnknownIsNotFailed)
}

func verdictOf(p *journal.Payment) verdict {
	switch p.State {
	case journal.StateSettled:
		return verdict{tone: "good", page: "settled", short: "state-charged"}
	case journal.StateRejected:
		return verdict{tone: "bad", page: "rejected", text: rejection(p), short: "state-not-charged"}
	case journal.StateCancelled:
		return verdict{tone: "info", page: "cancelled", short: "state-not-charged"}
	case journal.StateExpired:
		return verdict{tone: "bad", page: "expired", short: "state-not-charged"}
	case journal.StateAuthorised:
		return verdict{tone: "wait", page: "processing", short: "state-unknown"}
	}
	return verdict{tone: "wait", page: "doubt", short: "state-unknown"}
}

// paymentsKeptDays is for how long a payment is in the list, as the page says it.
const paymentsKeptDays = int(cluster.PaymentsKept / (24 * time.Hour))

// payments lists what the customer has confirmed, the newest first. The core is not asked, so that the page is there on the day on which the core
// is not: who does not know whether a payment was charged looks here instead of calling, or paying again.
func (c *Pages) payments(q *request) {
	if !c.signedIn(q) {
		return
	}
	var before journal.PaymentID
	if given := q.QueryArgs().Peek("before"); len(given) > 0 {
		id, err := journal.ParsePaymentID(string(given))
		if err != nil {
			c.redirect(q, "/payments")
			return
		}
		before = id
	}
	page, err := c.Bank.PaymentsOf(q.session.Customer, before)
	q.stale = err != nil
	if err != nil && len(page) == 0 {
		c.unseen(q, "payments-unseen", "/payments")
		return
	}
	view := web.Payments{Frame: c.frame(q, "payments-title"), Intro: c.site.Text(q.locale, "payments-text", "Days", paymentsKeptDays), None: c.site.Text(q.locale, "payments-none", "Days", paymentsKeptDays), Later: before == (journal.PaymentID{})}
	for i := range page {
		p := &page[i]
		v := verdictOf(p)
		view.Rows = append(view.Rows, web.Payment{
			Href: "/payments/" + p.ID.String(), CreditorName: p.CreditorName, Amount: show(p.Amount), Number: p.ID.String(),
			When: c.clock(p.Granted), Tone: v.tone, State: c.site.Text(q.locale, v.short),
		})
	}
	if q.stale {
		view.Note = c.site.Text(q.locale, "payments-as-last-seen")
	}
	if len(page) == cluster.HistoryMax {
		view.Older = &web.Link{Href: "/payments?before=" + page[len(page)-1].ID.String(), Text: c.site.Text(q.locale, "payments-older")}
	}
	if before != (journal.PaymentID{}) {
		view.Newest = &web.Link{Href: "/payments", Text: c.site.Text(q.locale, "payments-newest")}
	}
	c.render(q, fasthttp.StatusOK, "payments", &view)
}

// payment shows one of them: what the page of its result said, with the same words.
func (c *Pages) payment(q *request) {
	if !c.signedIn(q) {
		return
	}
	given, _ := q.UserValue("payment").(string)
	id, err := journal.ParsePaymentID(given)
	if err != nil {
		c.tell(q, fasthttp.StatusNotFound, telling{tone: "bad", page: "not-yours", primary: c.toPayments(q)})
		return
	}
	p, ok, err := c.Bank.Payment(id)
	switch {
	case !ok && err != nil:
		c.unseen(q, "payments-unseen", "/payments/"+id.String())
		return
	case !ok || p.Granted == 0 || p.Customer != q.session.Customer:
		// Whether there is such a payment is nobody's business but its customer's.
		c.tell(q, fasthttp.StatusNotFound, telling{tone: "bad", page: "not-yours", primary: c.toPayments(q)})
		return
	}
	q.payment, q.stale = p, err != nil
	v := verdictOf(&p)
	t := telling{tone: v.tone, page: v.page, text: v.text, order: true, primary: c.toPayments(q)}
	if v.tone == "wait" {
		t.more = []string{"doubt-keep"}
		t.also = t.primary
		t.primary = &web.Link{Href: q.here(), Text: c.site.Text(q.locale, "look-again")}
	}
	c.tell(q, fasthttp.StatusOK, t)
}

// mandates says what a merchant may collect without asking: nothing so far. It is the place of those that will be.
func (c *Pages) mandates(q *request) {
	if c.signedIn(q) {
		c.tell(q, fasthttp.StatusOK, telling{tone: "info", page: "mandates", primary: c.toPayments(q)})
	}
}

func (c *Pages) toPayments(q *request) *web.Link {
	return &web.Link{Href: "/payments", Text: c.site.Text(q.locale, "payments-title")}
}

// unseen says that what was asked for cannot be looked up at the moment, and leads to the same address again.
func (c *Pages) unseen(q *request, page, again string) {
	q.Response.Header.Set("Retry-After", c.comeAgain())
	c.tell(q, fasthttp.StatusServiceUnavailable, telling{tone: "wait", page: page, primary: &web.Link{Href: again, Text: c.site.Text(q.locale, "look-again")}})
}

// clock gives a time of the journal's as pages show it.
func (c *Pages) clock(at journal.Millis) string {
	return time.UnixMilli(int64(at)).In(c.Location).Format("2006-01-02 15:04 MST")
}
