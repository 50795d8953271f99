package customer

import (
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"netbank/cluster/journal"
	"netbank/frontend/edge"
	"netbank/frontend/web"
)

// TracesMax bounds the pages of which this node remembers what they said: the latest that told of something, whether or not there was a
// payment. Each takes about 100 bytes.
const TracesMax = 65_536

// trace is what a page with a reference said.
type trace struct {
	reference  string
	at         journal.Millis
	page, text string // the keys of its sentences
	code       string // why, in one word: the gate's reason, or the page's name
	payment    journal.PaymentID
}

// traces remembers the latest pages that told of something, by their references.
type traces struct {
	mu    sync.Mutex
	max   int
	next  int // the oldest, once the ring is full
	ring  []trace
	index map[string]int
}

func newTraces(most int) *traces { return &traces{max: most, index: make(map[string]int)} }

func (r *traces) add(t trace) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ring) < r.max {
		r.index[t.reference] = len(r.ring)
		r.ring = append(r.ring, t)
		return
	}
	delete(r.index, r.ring[r.next].reference)
	r.index[t.reference] = r.next
	r.ring[r.next] = t
	r.next = (r.next + 1) % r.max
}

func (r *traces) find(reference string) (trace, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.index[reference]
	if !ok {
		return trace{}, false
	}
	return r.ring[at], true
}

// note remembers what a page says. Pages that everybody may open without a reason to ask are left out.
func (c *Pages) note(q *request, t *telling, text string) {
	if t.page == "home" || t.page == "signed-out" {
		return
	}
	code := t.code
	if code == "" {
		code = t.page
	}
	c.traces.add(trace{reference: edge.Reference(q.RequestCtx), at: c.Bank.Now(), page: t.page, text: text, code: code, payment: q.payment.ID})
}

// Explanation is what a customer's reference stands for, for those who support customers. It holds no account number.
type Explanation struct {
	Reference    string
	Code         string              // why it is as it is, in the one word that metrics, logs, pages and the API have for it
	Shown        time.Time           // when a page with this reference was shown; zero: the reference is a payment's number
	Told         map[string][]string // by language: what that page said
	Payment      string              // the payment's number; empty: there was none, or there is no such payment any more
	Partner      uint32
	Payee        string
	Amount       string
	State        string
	Status       string // the partner's code for it
	ResponseCode string // of the core's last word
	Created      time.Time
	Granted      time.Time // when the customer confirmed it; zero: nobody has
	Changed      time.Time
	Expires      time.Time           // of a payment that nobody has confirmed
	Tell         map[string][]string // by language: what the customer is to be told of the payment as it stands now
	Stale        bool                // that is as last seen: no leader confirms it
}

// Why explains a reference: the number of a payment, which every node knows, or that of a page, which the node remembers that showed it. The
// sentences are those of the pages. It reports false for what this node does not know. The error is the node's: nobody can be asked.
func (c *Pages) Why(reference string) (Explanation, bool, error) {
	reference = strings.TrimSpace(reference)
	if id, err := journal.ParsePaymentID(reference); err == nil {
		e := Explanation{Reference: id.String()}
		known, err := c.explain(&e, id)
		return e, known, err
	}
	name, _, _ := strings.Cut(strings.ToUpper(reference), " ")
	t, ok := c.traces.find(name)
	if !ok {
		return Explanation{}, false, nil
	}
	e := Explanation{Reference: t.reference, Code: t.code, Shown: moment(t.at), Told: c.inWords(t.page, t.text)}
	if t.payment == (journal.PaymentID{}) {
		return e, true, nil
	}
	code := e.Code
	_, err := c.explain(&e, t.payment)
	e.Code = code // why the page said what it said; the payment may have moved on
	return e, true, err
}

// explain fills in how a payment stands.
func (c *Pages) explain(e *Explanation, id journal.PaymentID) (bool, error) {
	p, ok, err := c.Bank.Payment(id)
	if !ok {
		return false, err
	}
	e.Payment, e.Partner, e.Payee, e.Amount, e.Stale = id.String(), uint32(p.Partner), p.CreditorName, show(p.Amount), err != nil
	e.State, e.Status, e.ResponseCode, e.Code = p.State.String(), p.State.Code(), p.ResponseCode, p.Reason.String()
	e.Created, e.Granted, e.Changed = moment(p.Created), moment(p.Granted), moment(p.Changed)
	if e.Code == "" {
		e.Code = e.State
	}
	if p.State == journal.StateReceived {
		e.Expires = moment(p.Expires)
		e.Tell = c.inWords("why-received", "why-received-text")
		return true, nil
	}
	v := verdictOf(&p)
	if v.text == "" {
		v.text = v.page + "-text"
	}
	e.Tell = c.inWords(v.page, v.text)
	return true, nil
}

// inWords gives a page's heading and sentence in every language. What they would fill in is left to the page that was shown.
func (c *Pages) inWords(page, text string) map[string][]string {
	words := make(map[string][]string)
	for _, l := range []web.Locale{web.English, web.Chinese} {
		words[string(l)] = []string{c.site.Text(l, page+"-title"), c.site.Text(l, text, "Currency", "–")}
	}
	return words
}

func moment(at journal.Millis) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(at)).UTC()
}

// reference is what a page shows for the hotline: the request's name and, where something was refused, why in one word.
func reference(ctx *fasthttp.RequestCtx, code string) string {
	if code == "" {
		return edge.Reference(ctx)
	}
	return edge.Reference(ctx) + " " + code
}
