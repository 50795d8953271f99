package partner

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"netbank/cluster"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/frontend/edge"
)

// Headers of a create.
const (
	headerIdempotencyKey  = "Idempotency-Key"
	headerReplayed        = "Idempotency-Replayed"
	headerRedirectURI     = "TPP-Redirect-URI"
	headerNokRedirectURI  = "TPP-Nok-Redirect-URI"
	headerNotificationURI = "TPP-Notification-URI"
)

// idempotencyKeyMax bounds an Idempotency-Key, in bytes.
const idempotencyKeyMax = 128

// addresses are where the customer and the webhooks of a payment go.
type addresses struct{ redirect, nok, notification string }

func (a *API) create(ctx *fasthttp.RequestCtx, p *partner) {
	if !isJSON(ctx.Request.Header.ContentType()) {
		a.problem(ctx, problemMediaType)
		return
	}
	key := ctx.Request.Header.Peek(headerIdempotencyKey)
	if !soundKey(key) {
		a.problemDetail(ctx, problemFormat, headerIdempotencyKey+": is required, 1 to 128 visible ASCII characters; use a new one for each payment, and the same to repeat it")
		return
	}
	body := ctx.PostBody()
	order, err := readOrder(body, a.currencies, a.bank.Now())
	if err != nil {
		a.badRequest(ctx, err)
		return
	}
	to, err := p.readAddresses(&ctx.Request.Header)
	if err != nil {
		a.badRequest(ctx, err)
		return
	}
	hash := hashRequest(body, to)
	fl, first := a.flights.begin(hashKey(p.id, key), hash)
	if fl == nil {
		a.capacity(ctx, capacityWait)
		return
	}
	if !first {
		a.attach(ctx, p, fl, hash)
		return
	}
	a.writeCreated(ctx, p, a.fly(fl, p.id, &order, to), false)
}

func (a *API) badRequest(ctx *fasthttp.RequestCtx, err error) {
	var field *fieldError
	if errors.As(err, &field) {
		a.problemDetail(ctx, field.kind, field.detail)
		return
	}
	a.problem(ctx, problemFormat)
}

// attach answers a repeat while the first call is under way, or while its outcome is in doubt.
func (a *API) attach(ctx *fasthttp.RequestCtx, p *partner, fl *flight, hash journal.Key16) {
	if fl.hash != hash {
		a.problem(ctx, problemKeyReused)
		return
	}
	answer, ok := a.flights.wait(fl)
	if !ok {
		a.problem(ctx, problemUnderWay)
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
		return
	}
	a.writeCreated(ctx, p, answer, true)
}

// fly brings the payment into the journal, and lands the flight whatever happens.
func (a *API) fly(fl *flight, by journal.PartnerID, o *order, to addresses) (result answer) {
	kept := false
	result = answer{problem: problemInternal}
	// Deferred, so that a panic below does not leave those who attached waiting.
	defer func() { a.flights.land(fl, result, kept) }()
	id := newPaymentID(a.bank.Now())
	if a.links.LinkMAC(id) == "" {
		a.logger.Error("partner: there is no root key to make customer links with; add one")
		return answer{problem: problemCapacity, capacity: true}
	}
	cmd := createCommand(id, by, fl, o, to)
	deadline := time.Now().Add(a.limits.SubmitTimeout)
	res, err := a.submit(a.uncertain, cmd, deadline)
	if err == nil && res.Verdict == journal.Exists && res.Payment.ID == (journal.PaymentID{}) {
		// A repeat of this very command: the journal remembers that the key was known, but looks the payment up by the
		// command's own id, which names nothing. A command that it has not seen gets the payment.
		cmd = createCommand(id, by, fl, o, to)
		res, err = a.submit(a.uncertain, cmd, deadline)
	}
	if errors.Is(err, cluster.ErrUnknown) {
		// Kept only if somebody finds out; else a repeat asks the journal itself.
		kept = a.findOut(fl, id, by, cmd)
		a.metrics.uncertain.Inc()
		return answer{payment: id, doubt: true}
	}
	return a.judge(id, o, res, err)
}

// judge turns what the journal has said into an answer.
func (a *API) judge(id journal.PaymentID, o *order, res journal.Result, err error) answer {
	switch {
	case errors.Is(err, cluster.ErrTooLarge):
		a.logger.Error("partner: a create is too large for the journal", "error", err)
		return answer{problem: problemInternal}
	case err != nil:
		return answer{problem: problemCapacity, capacity: true}
	}
	switch res.Verdict {
	case journal.Done, journal.Repeated:
		return answer{payment: id}
	case journal.Exists:
		if res.Payment.ID == (journal.PaymentID{}) {
			break
		}
		return answer{payment: res.Payment.ID, existed: true}
	case journal.KeyConflict:
		return answer{problem: problemKeyReused}
	case journal.TooMany:
		return answer{problem: problemOpenPayment}
	case journal.NotFound:
		return answer{problem: problemBadCert} // the partner was removed in this very moment
	case journal.BadCommand:
		if o.seen&fieldExpiresAt != 0 {
			// The journal looks at the key before the expiry, so that a repeat gets its answer even after it.
			return answer{problem: problemFormat, detail: "expiresAt: is not in the future by the bank's time, or more than 24 h away"}
		}
	}
	a.logger.Error("partner: the journal does not take a create that was found sound", "verdict", res.Verdict.String())
	return answer{problem: problemInternal}
}

// submit brings a command into the journal by the deadline. If the outcome of an offer is not known it offers the same command again: the
// command's id makes it take effect once. From then on nothing short of a verdict is certain, so it answers ErrUnknown
// even when a later offer was refused for certain.
func (a *API) submit(ctx context.Context, cmd *journal.Command, deadline time.Time) (journal.Result, error) {
	offered := false
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		res, err := a.bank.Submit(cmd, deadline)
		if err == nil {
			return res, nil
		}
		if !certain(err) {
			offered = true
		}
		if !offered {
			return journal.Result{}, err
		}
		if time.Until(deadline) <= pause {
			return journal.Result{}, cluster.ErrUnknown
		}
		select {
		case <-ctx.Done():
			return journal.Result{}, cluster.ErrUnknown
		case <-time.After(pause):
		}
	}
}

// certain lists the errors after which nothing was done. Any other, also one that is not known here, leaves it open.
func certain(err error) bool {
	return errors.Is(err, cluster.ErrNoLeader) || errors.Is(err, cluster.ErrOverloaded) || errors.Is(err, cluster.ErrTooLarge) || errors.Is(err, cluster.ErrClosed)
}

// findOut goes on with a create whose outcome is not known, so that repeats and polls of this node get one story. Nothing is
// at stake: only the customer's confirmation moves money, and nobody has the link yet.
func (a *API) findOut(fl *flight, id journal.PaymentID, by journal.PartnerID, cmd *journal.Command) bool {
	if !a.flights.doubt(id, by) {
		return false
	}
	go func() {
		defer a.flights.resolved(id)
		defer a.flights.forget(fl)
		res, err := a.submit(a.uncertain, cmd, time.Now().Add(a.limits.UncertainFor))
		if err != nil {
			a.logger.Warn("partner: whether a payment was created is still not known", "payment", id.String(), "error", err)
			return
		}
		a.logger.Info("partner: a create in doubt was decided", "payment", id.String(), "verdict", res.Verdict.String())
	}()
	return true
}

func (a *API) writeCreated(ctx *fasthttp.RequestCtx, p *partner, result answer, attached bool) {
	switch {
	case result.capacity:
		a.capacity(ctx, capacityWait)
		return
	case result.problem == problemOpenPayment:
		a.refuse(ctx, problemOpenPayment, p.openPolicy, "open-payments", edge.Spread(p.quotas.open.wait(time.Now())))
		return
	case result.problem != nil:
		detail := result.detail
		if detail == "" {
			detail = result.problem.detail
		}
		a.problemDetail(ctx, result.problem, detail)
		return
	}
	if attached || result.existed {
		ctx.Response.Header.Set(headerReplayed, "true")
	} else {
		p.quotas.open.found(time.Now())
	}
	b := make([]byte, 0, 768)
	if result.doubt {
		b = a.appendDoubtful(b, result.payment)
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, retryInDoubt)
	} else {
		b = a.appendCreated(b, result.payment)
		ctx.Response.Header.Set("ASPSP-SCA-Approach", "REDIRECT")
	}
	ctx.SetStatusCode(fasthttp.StatusCreated)
	var location [len(pathPayments) + 1 + 36]byte
	ctx.Response.Header.SetBytesV(fasthttp.HeaderLocation, appendSelf(location[:0], result.payment))
	writeJSON(ctx, b)
}

// createCommand makes the command. Its id is random, not derived from the idempotency key: the journal remembers ids and keys for different times,
// and a key that it has forgotten must be free for a new payment. Repeating this one call is what the id is for; repeating
// the request is what the key is for.
func createCommand(id journal.PaymentID, by journal.PartnerID, fl *flight, o *order, to addresses) *journal.Command {
	ids := make([]byte, 64)
	rand.Read(ids[:16])
	copy(ids[16:], id[:])
	copy(ids[32:], fl.key[:])
	copy(ids[48:], fl.hash[:])
	return &journal.Command{Id: ids[:16:16], Body: &command.Command_CreatePayment{CreatePayment: &command.CreatePayment{
		PaymentId: ids[16:32:32], Partner: uint32(by), IdempotencyKey: ids[32:48:48], RequestHash: ids[48:64:64],
		AmountMinor: o.minor, Currency: o.currency, CreditorAccount: o.creditorAccount, CreditorName: o.creditorName,
		DebtorAccount: o.debtorAccount, EndToEndId: o.endToEndID, Remittance: o.remittance, RedirectUri: to.redirect,
		NokRedirectUri: to.nok, NotificationUri: to.notification, ExpiresMs: int64(o.expires),
	}}}
}

// newPaymentID makes a UUID of version 7 (RFC 9562) of the journal's time and 74 random bits.
func newPaymentID(now journal.Millis) journal.PaymentID {
	var id journal.PaymentID
	rand.Read(id[6:])
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now))
	copy(id[:6], ms[2:])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

func (p *partner) readAddresses(header *fasthttp.RequestHeader) (to addresses, err error) {
	redirect := header.Peek(headerRedirectURI)
	if len(redirect) == 0 {
		return to, badField(headerRedirectURI, "is required: where the customer goes after the payment")
	}
	to.redirect = string(redirect)
	if err := p.redirects.Check(to.redirect); err != nil {
		return to, badField(headerRedirectURI, "%s", err)
	}
	to.nok = to.redirect
	if nok := header.Peek(headerNokRedirectURI); len(nok) > 0 {
		to.nok = string(nok)
		if err := p.redirects.Check(to.nok); err != nil {
			return to, badField(headerNokRedirectURI, "%s", err)
		}
	}
	if notification := header.Peek(headerNotificationURI); len(notification) > 0 {
		to.notification = string(notification)
		if err := p.notifications.Check(to.notification); err != nil {
			return to, badField(headerNotificationURI, "%s", err)
		}
	}
	return to, nil
}

func soundKey(key []byte) bool {
	if len(key) == 0 || len(key) > idempotencyKeyMax {
		return false
	}
	for _, c := range key {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

func isJSON(contentType []byte) bool {
	media, _, _ := bytes.Cut(contentType, []byte(";"))
	return bytes.EqualFold(bytes.TrimSpace(media), []byte("application/json"))
}

// hashKey names an idempotency key together with its partner.
func hashKey(by journal.PartnerID, key []byte) journal.Key16 {
	var b [4 + idempotencyKeyMax]byte
	binary.BigEndian.PutUint32(b[:4], uint32(by))
	sum := sha256.Sum256(b[:4+copy(b[4:], key)])
	return journal.Key16(sum[:16])
}

// hashRequest names what was asked for: the body byte for byte, and the three addresses, each with its length before it.
func hashRequest(body []byte, to addresses) journal.Key16 {
	b := make([]byte, 0, 2048)
	for _, part := range [3]string{to.redirect, to.nok, to.notification} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	sum := sha256.Sum256(append(b, body...))
	return journal.Key16(sum[:16])
}
