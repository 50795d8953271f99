package customer

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"netbank/cluster/gate"
	"netbank/frontend/edge"
	"netbank/frontend/web"
)

// Codes of refusals that are not the gate's.
const (
	CodeRate    = "rate"    // one payment's link, or one customer, comes too often
	CodeBusy    = "busy"    // more sign-ins than passwords can be checked
	CodeAddress = "address" // too many wrong sign-ins from one address
)

// RefusalCodes lists why a page refuses something, each in one word: the same in metrics, in the log, at the foot of the page and in what `netbank why`
// says of that page's reference. docs/operations.md has a line for each.
func RefusalCodes() []string {
	codes := []string{CodeRate, CodeBusy, CodeAddress}
	for r := gate.Reason(1); r < gate.Reasons; r++ {
		codes = append(codes, r.String())
	}
	return codes
}

// refusalCode gives a word of an address if it is one of the codes.
func refusalCode(word string) string {
	for _, code := range RefusalCodes() {
		if code == word {
			return word
		}
	}
	return ""
}

// refusalToldEvery is the least pause between two lines of the log about one code.
const refusalToldEvery = time.Second

// refusals counts what is refused, and tells the log of it, at most once a second for each code: on the day on which everything is refused, a line
// for each would be one more load.
type refusals struct {
	counted *prometheus.CounterVec
	logger  *slog.Logger
	lock    sync.Mutex
	told    map[string]toldRefusals // by code
}

type toldRefusals struct {
	at    time.Time
	since int // refusals since then
}

func newRefusals(to prometheus.Registerer, logger *slog.Logger) (*refusals, error) {
	r := &refusals{logger: logger, told: make(map[string]toldRefusals), counted: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "netbank_pages_refused_total", Help: "Requests of customers that were refused before any work was done for them, by the code that the page shows.",
	}, []string{"code"})}
	for _, code := range RefusalCodes() {
		r.counted.WithLabelValues(code)
	}
	if to == nil {
		return r, nil
	}
	return r, to.Register(r.counted)
}

// add counts a refusal. The reference is that of the request that was refused.
func (r *refusals) add(q *request, code string) {
	edge.SetOutcome(q.RequestCtx, edge.Refused)
	r.counted.WithLabelValues(code).Inc()
	now := time.Now()
	r.lock.Lock()
	last := r.told[code]
	quiet := now.Sub(last.at) < refusalToldEvery
	last.since++
	if quiet {
		r.told[code] = last
	} else {
		r.told[code] = toldRefusals{at: now}
	}
	r.lock.Unlock()
	if !quiet {
		r.logger.Info("customer: refused", "code", code, "refusals", last.since, "reference", edge.Reference(q.RequestCtx))
	}
}

// refusedHere shows on a page with a password why the last try was refused, if it was: in one word beside the reference, by which support finds it.
func (c *Pages) refusedHere(q *request, f *web.Frame, page string) {
	code, alert := "", ""
	switch why := string(q.QueryArgs().Peek("why")); why {
	case "address":
		code, alert = CodeAddress, why
	case "sign-in-busy":
		code, alert = CodeBusy, why
	case "away", "password-busy":
		code, alert = refusalCode(string(q.QueryArgs().Peek("reason"))), why
	}
	if code == "" {
		return
	}
	c.refusedThere(q, f, page, "alert-"+alert, code)
}

// refusedThere shows on a page the code of something that was refused, and keeps it for who asks about the reference.
func (c *Pages) refusedThere(q *request, f *web.Frame, page, text, code string) {
	f.Reference = reference(q.RequestCtx, code)
	c.traces.add(trace{reference: edge.Reference(q.RequestCtx), at: c.Bank.Now(), page: page, text: text, code: code, payment: q.payment.ID})
}
