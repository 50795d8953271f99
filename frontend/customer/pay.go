package customer

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/frontend/edge"
	"netbank/session"
)

// consented opens the consent that the step carries, or leads back to the page it is given on.
func (c *Pages) consented(q *request) (a ask, ok bool) {
	sealed := q.QueryArgs().Peek("c")
	consent, err := c.Sessions.OpenConsent(q.session, sealed)
	if err != nil || consent.Payment != q.payment.ID {
		c.lead(q, "confirm", "consent-old")
		return ask{}, false
	}
	return ask{consent: &consent, token: string(sealed), way: q.askedWay()}, true
}

func (c *Pages) code(q *request) {
	if !c.due(q) {
		return
	}
	if a, ok := c.consented(q); ok {
		c.askFor(q, &a)
	}
}

// message sends a code that is good for what was seen.
func (c *Pages) message(q *request) {
	if !c.checked(q) {
		return
	}
	if a, ok := c.consented(q); ok {
		c.sendCode(q, &a)
	}
}

// pay is the one request that moves money.
func (c *Pages) pay(q *request) {
	if !c.checked(q) {
		return
	}
	a, ok := c.consented(q)
	if !ok {
		return
	}
	consent := a.consent
	c.paying.begin(q.payment.ID)
	defer c.paying.end(q.payment.ID)
	// What would be refused anyway is refused before an attempt is counted, unless an earlier click is still on its way.
	if refusal, refused := c.Bank.Refused(gate.Confirm); refused && !c.Bank.Confirming(q.payment.ID) {
		c.refuse(q, refusal, a.token)
		return
	}
	started := time.Now()
	proof, err := c.prove(q, &a, started.Add(SubmitBudget))
	if err != nil {
		c.factorRefused(q, &a, err)
		return
	}
	confirmed, err := c.Bank.Confirm(cluster.Confirmation{
		Payment: q.payment.ID, Customer: q.session.Customer, SessionEpoch: q.session.Epoch, SessionExpires: q.session.Expires(),
		Amount: consent.Amount, CreditorAccount: consent.CreditorAccount, CreditorName: consent.CreditorName, DebtorAccount: consent.DebtorAccount,
		Proof: proof, KnownDevice: q.session.KnownDevice, Tier: q.session.Tier, Partner: q.payment.Partner,
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
		c.refuse(q, refusalOf(err), a.token)
	case confirmed.Refusal != nil:
		c.forgive(q)
		c.refuse(q, *confirmed.Refusal, a.token)
	default:
		c.confirmed(q, &a, &confirmed)
	}
}

// underWay counts the requests that pay, by payment. That one is at hand is known from its beginning on: until it has come to the bank's Confirm, an attempt
// that was counted for it stands for it, and somebody else's refusal may have taken that back.
type underWay struct {
	mu sync.Mutex
	by map[journal.PaymentID]int // as many as there are requests at once
}

func (u *underWay) begin(id journal.PaymentID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.by == nil {
		u.by = map[journal.PaymentID]int{}
	}
	u.by[id]++
}

func (u *underWay) end(id journal.PaymentID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.by[id]--; u.by[id] == 0 {
		delete(u.by, id)
	}
}

func (u *underWay) any(id journal.PaymentID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.by[id] > 0
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

// factorRefused answers a factor that was not taken. The other half of a double click may have spent it, at another node: then the outcome is what
// counts, of which this node may not have heard yet.
func (c *Pages) factorRefused(q *request, a *ask, err error) {
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
		c.refuse(q, noLeader(), a.token)
	case (errors.Is(err, session.ErrUsed) || errors.Is(err, session.ErrPasskey)) && !heard: // for this payment, or for another one
		c.refuse(q, noLeader(), a.token)
	default:
		why := refusedWhy(a.way, err)
		if why == "" || errors.Is(err, session.ErrCredential) {
			c.Logger.Error("customer: a second factor cannot be checked", "reference", edge.Reference(q.RequestCtx), "error", err)
		}
		if why == "" {
			why = "code-wrong"
		}
		c.redirect(q, q.at(a, "code", a.way, why))
	}
}

func (c *Pages) confirmed(q *request, a *ask, confirmed *cluster.Confirmed) {
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
		c.factorRefused(q, a, session.ErrUsed)
	case journal.FactorRefused:
		c.factorRefused(q, a, session.ErrPasskey)
	case journal.Locked:
		until := confirmed.Access.Lanes[journal.LaneOneTimeCode].LastAttempt + journal.LockFor
		c.factorRefused(q, a, &session.LockedError{Until: time.UnixMilli(int64(until))})
	case journal.StaleTerm:
		c.forgive(q)
		c.refuse(q, noLeader(), a.token)
	default: // as a rule the payment has moved on: expired, cancelled, another's
		if p, ok, _ := c.Bank.Payment(q.payment.ID); ok && p.State == journal.StateReceived && c.Bank.Now() < p.Expires {
			c.Logger.Error("customer: the journal did not authorise", "verdict", confirmed.Verdict.String(), "payment", p.ID.String(), "reference", edge.Reference(q.RequestCtx))
			c.forgive(q)
			c.refuse(q, noLeader(), a.token)
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
