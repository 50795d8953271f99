package customer

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/frontend/edge"
	"netbank/frontend/web"
	"netbank/session"
)

// codeStep is the address of the code page for a sealed consent; why names an alert that it shows.
func (q *request) codeStep(consent, why string) string {
	address := q.step("code") + "&c=" + consent
	if why != "" {
		address += "&why=" + why
	}
	return address
}

// consented opens the consent that the step carries, or leads back to the page it is given on.
func (c *Pages) consented(q *request) (consent session.Consent, token string, ok bool) {
	sealed := q.QueryArgs().Peek("c")
	consent, err := c.Sessions.OpenConsent(q.session, sealed)
	if err != nil || consent.Payment != q.payment.ID {
		c.lead(q, "confirm", "consent-old")
		return session.Consent{}, "", false
	}
	return consent, string(sealed), true
}

func (c *Pages) code(q *request) {
	if !c.due(q) {
		return
	}
	consent, token, ok := c.consented(q)
	if !ok {
		return
	}
	// What is shown is what was sealed, and what will be authorised.
	order := c.order(q)
	order.CreditorName, order.Amount, order.Account = consent.CreditorName, show(consent.Amount), q.accountOf(consent.DebtorAccount, consent.Amount.Currency)
	csrf := q.session.CSRFToken()
	c.render(q, fasthttp.StatusOK, "code", &web.Code{
		Frame: c.frame(q, "code-title"), Order: order, Alert: c.alert(q, "code-wrong", "code-used", "code-malformed"),
		Action: q.codeStep(token, ""), CSRF: csrf, Cancel: &web.Form{Action: q.step("cancel"), CSRF: csrf},
	})
}

// pay is the one request that moves money.
func (c *Pages) pay(q *request) {
	if !c.checked(q) {
		return
	}
	consent, token, ok := c.consented(q)
	if !ok {
		return
	}
	// What would be refused anyway is refused before an attempt is counted, unless an earlier click is still on its way.
	if refusal, refused := c.Bank.Refused(gate.Confirm); refused && !c.Bank.Confirming(q.payment.ID) {
		c.refuse(q, refusal, token)
		return
	}
	started := time.Now()
	step, err := c.Sessions.CheckCode(q.session, typedCode(q), started.Add(SubmitBudget))
	if err != nil {
		c.codeRefused(q, token, err)
		return
	}
	confirmed, err := c.Bank.Confirm(cluster.Confirmation{
		Payment: q.payment.ID, Customer: q.session.Customer, SessionEpoch: q.session.Epoch, SessionExpires: q.session.Expires(),
		Amount: consent.Amount, CreditorAccount: consent.CreditorAccount, CreditorName: consent.CreditorName, DebtorAccount: consent.DebtorAccount,
		TOTPStep: step, KnownDevice: q.session.KnownDevice, Tier: q.session.Tier, Partner: q.payment.Partner,
		Budget: ConfirmBudget - time.Since(started), Within: ConfirmObjective,
	})
	switch {
	case err != nil && !undone(err): // invariant UnknownIsNotFailed: only what is certain is told as certain
		if !errors.Is(err, cluster.ErrUnknown) {
			c.Logger.Error("customer: a confirmation ended in an unknown way", "payment", q.payment.ID.String(), "reference", edge.Reference(q.RequestCtx), "error", err)
		}
		c.unheard(q)
	case err != nil:
		c.forgive(q)
		c.refuse(q, refusalOf(err), token)
	case confirmed.Refusal != nil:
		c.forgive(q)
		c.refuse(q, *confirmed.Refusal, token)
	default:
		c.confirmed(q, token, &confirmed)
	}
}

// forgive takes back the attempt that was counted for a right code whose payment was then refused: a day on which many are refused must
// not lock out customers who did everything right.
func (c *Pages) forgive(q *request) {
	if err := c.Sessions.ForgiveCode(q.session, time.Now().Add(forgiveBudget)); err != nil {
		c.Logger.Warn("customer: a right code stays counted as an attempt", "reference", edge.Reference(q.RequestCtx), "error", err)
	}
}

// undone reports whether an error of the node says for certain that nothing was done.
func undone(err error) bool {
	for _, certain := range []error{cluster.ErrNoLeader, cluster.ErrOverloaded, cluster.ErrClosed, cluster.ErrTooLarge} {
		if errors.Is(err, certain) && !errors.Is(err, cluster.ErrUnknown) {
			return true
		}
	}
	return false
}

// typedCode gives the code as typed, with the full-width digits and spaces of a Chinese keyboard as plain ones.
func typedCode(q *request) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '０' && r <= '９':
			return r - '０' + '0'
		case r == '\u3000' || r == '\u00a0' || r == '-':
			return ' '
		}
		return r
	}, trimmed(q.RequestCtx, "code"))
}

// codeRefused answers a code that was not taken. The other half of a double click may have spent it, at another node: then the outcome is what
// counts, of which this node may not have heard yet.
func (c *Pages) codeRefused(q *request, token string, err error) {
	heard := errors.Is(err, session.ErrMalformed) || c.Bank.Unconfirmed(q.payment.ID, 0)
	if p, ok, _ := c.Bank.Payment(q.payment.ID); ok && p.State != journal.StateReceived {
		c.lead(q, "result", "")
		return
	}
	var locked *session.LockedError
	switch {
	case errors.As(err, &locked):
		c.lockedUntil(q, "code", locked.Until)
	case errors.Is(err, session.ErrReplaced), errors.Is(err, session.ErrEnded):
		c.lead(q, "", "session")
	case errors.Is(err, session.ErrUnavailable):
		c.refuse(q, noLeader(), token)
	case errors.Is(err, session.ErrMalformed):
		c.redirect(q, q.codeStep(token, "code-malformed"))
	case errors.Is(err, session.ErrUsed) && !heard: // for this payment, or for another one
		c.refuse(q, noLeader(), token)
	case errors.Is(err, session.ErrUsed):
		c.redirect(q, q.codeStep(token, "code-used"))
	default:
		if !errors.Is(err, session.ErrWrong) || errors.Is(err, session.ErrCredential) {
			c.Logger.Error("customer: a one-time code cannot be checked", "reference", edge.Reference(q.RequestCtx), "error", err)
		}
		c.redirect(q, q.codeStep(token, "code-wrong"))
	}
}

func (c *Pages) confirmed(q *request, token string, confirmed *cluster.Confirmed) {
	switch confirmed.Verdict {
	case journal.Done:
		// Only the factor that authorised the payment makes a device known.
		if device := c.Sessions.RememberDevice(q.session, q.Request.Header.Cookie(c.device)); device != "" {
			c.setCookie(q.RequestCtx, c.device, device, session.DeviceLifetime)
		}
		c.lead(q, "result", "")
	case journal.Attached, journal.Repeated:
		c.lead(q, "result", "")
	case journal.NoSession:
		c.lead(q, "", "session")
	case journal.ConsentDiffers:
		c.forgive(q)
		c.lead(q, "confirm", "consent-old")
	case journal.FactorUsed:
		c.codeRefused(q, token, session.ErrUsed)
	case journal.Locked:
		until := confirmed.Access.Lanes[journal.LaneOneTimeCode].LastAttempt + journal.LockFor
		c.codeRefused(q, token, &session.LockedError{Until: time.UnixMilli(int64(until))})
	case journal.StaleTerm:
		c.forgive(q)
		c.refuse(q, noLeader(), token)
	default: // as a rule the payment has moved on: expired, cancelled, another's
		if p, ok, _ := c.Bank.Payment(q.payment.ID); ok && p.State == journal.StateReceived && c.Bank.Now() < p.Expires {
			c.Logger.Error("customer: the journal did not authorise", "verdict", confirmed.Verdict.String(), "payment", p.ID.String(), "reference", edge.Reference(q.RequestCtx))
			c.forgive(q)
			c.refuse(q, noLeader(), token)
			return
		}
		c.lead(q, "result", "")
	}
}

// unheard leads to the result of a confirmation of which it is not known whether it was recorded. The time goes with it, so that
// the page knows how long to wait.
func (c *Pages) unheard(q *request) {
	c.redirect(q, q.step("result")+"&sent="+strconv.FormatInt(int64(c.Bank.Now()), 10))
}
