package partner

import (
	"crypto/rand"
	"errors"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"netbank/cluster"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/frontend/money"
)

// partnerHandler answers a request whose partner is known.
type partnerHandler func(ctx *fasthttp.RequestCtx, p *partner)

// authenticated finds the partner, takes a token of its quota, and goes on.
func (a *API) authenticated(quota func(*partner) *bucket, next partnerHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		c, err := a.fingerprint(ctx)
		if err != nil {
			a.problem(ctx, problemNoCert)
			return
		}
		now := a.clock()
		p := a.partners.find(c, now)
		if p == nil {
			a.problem(ctx, problemBadCert)
			return
		}
		bucket := quota(p)
		left, wait := bucket.take(int64(now.Sub(a.started))) // monotonic: a clock that is set back must not empty a quota
		if wait > 0 {
			a.refuse(ctx, problemQuota, bucket.policy, bucket.name, wait)
			return
		}
		ctx.Response.Header.Set(headerRateLimitPolicy, bucket.policy)
		var limit [64]byte
		ctx.Response.Header.SetBytesV(headerRateLimit, bucket.appendRateLimit(limit[:0], left, 1))
		next(ctx, p)
	}
}

// Retry-After of a status that will change, in seconds: a hint when asking again is worth it.
const (
	retryReceived = "2" // a person is reading
	retryInside   = "1" // the core is at work
	retryInDoubt  = "5" // the resolver is at work
)

// payment finds the path's payment if it is this partner's, or answers and reports false.
func (a *API) payment(ctx *fasthttp.RequestCtx, p *partner) (journal.Payment, bool) {
	text, _ := ctx.UserValue("id").(string)
	id, err := journal.ParsePaymentID(text)
	if err != nil {
		a.problem(ctx, problemUnknown)
		return journal.Payment{}, false
	}
	payment, ok, err := a.bank.Payment(id)
	if ok && payment.Partner == p.id {
		if err != nil {
			ctx.Response.Header.Set(headerWarning, warningStale)
		}
		return payment, true
	}
	// A create that was answered PDNG, and about which the journal has not spoken.
	if !ok && a.flights.inDoubt(id, p.id) {
		return journal.Payment{ID: id, Partner: p.id, State: journal.StateInDoubt}, true
	}
	if !ok && err != nil {
		a.capacity(ctx, capacityWait)
		return journal.Payment{}, false
	}
	a.problem(ctx, problemUnknown)
	return journal.Payment{}, false
}

// A status that nobody can confirm at the moment is marked as HTTP marked what a cache could not check (RFC 7234, section 5.5.1): "payments as
// last seen" is better than none, and a partner must be able to tell.
const (
	headerWarning = "Warning"
	warningStale  = `110 - "Response is Stale"`
)

func setRetryHint(ctx *fasthttp.RequestCtx, s journal.State) {
	switch s {
	case journal.StateReceived:
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, retryReceived)
	case journal.StateAuthorised:
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, retryInside)
	case journal.StateInDoubt, journal.StateReversing:
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, retryInDoubt)
	}
}

func (a *API) status(ctx *fasthttp.RequestCtx, p *partner) {
	payment, ok := a.payment(ctx, p)
	if !ok {
		return
	}
	setRetryHint(ctx, payment.State)
	writeJSON(ctx, append(appendStatus(append(make([]byte, 0, 128), '{'), &payment), '}'))
}

func (a *API) details(ctx *fasthttp.RequestCtx, p *partner) {
	payment, ok := a.payment(ctx, p)
	if !ok {
		return
	}
	setRetryHint(ctx, payment.State)
	if payment.Created == 0 {
		writeJSON(ctx, a.appendDoubtful(make([]byte, 0, 512), payment.ID))
		return
	}
	writeJSON(ctx, a.appendDetails(make([]byte, 0, 1536), &payment))
}

func (a *API) scaStatus(ctx *fasthttp.RequestCtx, p *partner) {
	payment, ok := a.payment(ctx, p)
	if !ok {
		return
	}
	// A payment has one authorisation, which bears its id.
	text, _ := ctx.UserValue("authId").(string)
	if id, err := journal.ParsePaymentID(text); err != nil || id != payment.ID {
		a.problemDetail(ctx, problemUnknown, "this payment has no such authorisation")
		return
	}
	setRetryHint(ctx, payment.State)
	b := append(make([]byte, 0, 64), `{"scaStatus":"`...)
	b = append(b, scaStatusOf(payment.State)...)
	writeJSON(ctx, append(b, `"}`...))
}

// scaStatusOf tells of the customer's authentication, not of the money: finalised as soon as the consent is committed.
func scaStatusOf(s journal.State) string {
	switch s {
	case journal.StateReceived:
		return "received"
	case journal.StateCancelled, journal.StateExpired:
		return "failed"
	}
	return "finalised"
}

func (a *API) cancel(ctx *fasthttp.RequestCtx, p *partner) {
	payment, ok := a.payment(ctx, p)
	if !ok {
		return
	}
	if payment.State != journal.StateReceived {
		a.writeCancelled(ctx, payment)
		return
	}
	id := make([]byte, 16)
	rand.Read(id)
	cmd := &journal.Command{Id: id, Body: &command.Command_CancelPayment{CancelPayment: &command.CancelPayment{PaymentId: payment.ID[:], Partner: uint32(p.id)}}}
	res, err := a.submit(a.uncertain, cmd, time.Now().Add(a.limits.SubmitTimeout))
	switch {
	case errors.Is(err, cluster.ErrUnknown):
		// Not certain, so neither 204 nor 503: the status will tell.
		ctx.SetStatusCode(fasthttp.StatusAccepted)
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, retryInDoubt)
		b := appendStatus(append(make([]byte, 0, 384), '{'), &payment)
		b = append(b, `,"_links":{`...)
		b = appendReadLinks(b, payment.ID)
		writeJSON(ctx, append(b, "}}"...))
	case err != nil:
		a.capacity(ctx, capacityWait)
	case res.Verdict == journal.NotFound:
		a.problem(ctx, problemUnknown)
	case res.Verdict == journal.BadCommand:
		a.logger.Error("partner: the journal does not take a cancel", "payment", payment.ID.String())
		a.problem(ctx, problemInternal)
	default:
		a.writeCancelled(ctx, res.Payment)
	}
}

// writeCancelled answers a cancel by where the payment stands: a repeat of a cancel succeeds again.
func (a *API) writeCancelled(ctx *fasthttp.RequestCtx, payment journal.Payment) {
	if payment.State == journal.StateCancelled {
		ctx.SetStatusCode(fasthttp.StatusNoContent)
		return
	}
	a.problemDetail(ctx, problemState, "the payment is "+payment.State.Code()+"; only a payment that is RCVD can be cancelled")
}

func (a *API) notificationKeys(ctx *fasthttp.RequestCtx, _ *partner) {
	b := append(make([]byte, 0, 256), `{"keys":[`...)
	for i, key := range a.keys.PublicKeys() {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"algorithm":"ed25519","key":`...)
		b = append(appendJSON(b, key), '}')
	}
	writeJSON(ctx, append(b, "]}"...))
}

func writeJSON(ctx *fasthttp.RequestCtx, body []byte) {
	ctx.SetContentType("application/json")
	ctx.Response.SetBody(body)
}

func appendSelf(b []byte, id journal.PaymentID) []byte {
	b = append(b, pathPayments+"/"...)
	return appendID(b, id)
}

func appendID(b []byte, id journal.PaymentID) []byte {
	const hex = "0123456789abcdef"
	for i, c := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b = append(b, '-')
		}
		b = append(b, hex[c>>4], hex[c&15])
	}
	return b
}

func appendReadLinks(b []byte, id journal.PaymentID) []byte {
	b = append(b, `"self":{"href":"`...)
	b = appendSelf(b, id)
	b = append(b, `"},"status":{"href":"`...)
	b = appendSelf(b, id)
	b = append(b, `/status"},"scaStatus":{"href":"`...)
	b = appendSelf(b, id)
	b = append(b, `/authorisations/`...)
	b = appendID(b, id)
	return append(b, `"}`...)
}

func (a *API) appendLinks(b []byte, id journal.PaymentID, redirect bool) []byte {
	b = append(b, `"_links":{`...)
	if mac := ""; redirect {
		if mac = a.links.LinkMAC(id); mac != "" {
			b = append(b, `"scaRedirect":{"href":"`...)
			b = append(b, a.payURL...)
			b = appendID(b, id)
			b = append(b, "?s="...)
			b = append(b, mac...)
			b = append(b, `"},`...)
		}
	}
	return append(appendReadLinks(b, id), '}')
}

// appendCreated writes the answer to a create: made of the id alone, so that every repeat gets the same.
func (a *API) appendCreated(b []byte, id journal.PaymentID) []byte {
	b = append(b, `{"paymentId":"`...)
	b = appendID(b, id)
	b = append(b, `","transactionStatus":"RCVD","version":1,`...)
	return append(a.appendLinks(b, id, true), '}')
}

// appendDoubtful writes what is known of a payment whose creation is in doubt: version 0, and no link for the customer.
func (a *API) appendDoubtful(b []byte, id journal.PaymentID) []byte {
	b = append(b, `{"paymentId":"`...)
	b = appendID(b, id)
	b = append(b, `","transactionStatus":"PDNG","version":0,`...)
	return append(a.appendLinks(b, id, false), '}')
}

// appendStatus writes the members that every status has.
func appendStatus(b []byte, p *journal.Payment) []byte {
	b = append(b, `"transactionStatus":"`...)
	b = append(b, p.State.Code()...)
	b = append(b, '"')
	if p.Reason != journal.ReasonNone {
		b = append(b, `,"reason":"`...)
		b = append(b, p.Reason.String()...)
		b = append(b, '"')
	}
	b = append(b, `,"version":`...)
	return strconv.AppendUint(b, uint64(p.Version), 10)
}

// appendDetails leaves the debtor's account out: the customer may have chosen another one than the partner asked for.
func (a *API) appendDetails(b []byte, p *journal.Payment) []byte {
	b = append(b, `{"paymentId":"`...)
	b = appendID(b, p.ID)
	b = append(b, `",`...)
	b = appendStatus(b, p)
	b = append(b, `,"endToEndIdentification":`...)
	b = appendJSON(b, p.EndToEndID)
	b = append(b, `,"instructedAmount":{"currency":`...)
	b = appendJSON(b, p.Amount.Currency)
	b = append(b, `,"amount":"`...)
	b = money.Append(b, p.Amount.Minor, p.Amount.Currency)
	b = append(b, `"},"creditorAccount":{`...)
	if isIBAN(p.CreditorAccount) {
		b = append(b, `"iban":`...)
		b = appendJSON(b, p.CreditorAccount)
	} else {
		b = append(b, `"other":{"identification":`...)
		b = append(appendJSON(b, p.CreditorAccount), '}')
	}
	b = append(b, `},"creditorName":`...)
	b = appendJSON(b, p.CreditorName)
	if p.Remittance != "" {
		b = append(b, `,"remittanceInformationUnstructured":`...)
		b = appendJSON(b, p.Remittance)
	}
	b = append(b, `,"createdAt":"`...)
	b = appendTime(b, p.Created)
	b = append(b, `","expiresAt":"`...)
	b = appendTime(b, p.Expires)
	b = append(b, `","changedAt":"`...)
	b = appendTime(b, p.Changed)
	b = append(b, `",`...)
	b = a.appendLinks(b, p.ID, p.State == journal.StateReceived)
	return append(b, '}')
}
