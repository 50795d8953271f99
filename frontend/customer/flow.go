package customer

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/frontend/edge"
	"netbank/frontend/money"
	"netbank/frontend/web"
	"netbank/session"
)

func show(m journal.Money) string { return money.Show(m.Minor, m.Currency) }

// entry is where the partner's link leads: on to the step that is due, or the sign-in page.
func (c *Pages) entry(q *request) {
	if !c.find(q) {
		return
	}
	if c.settleExpiry(q); q.payment.State != journal.StateReceived {
		c.lead(q, "result", "")
		return
	}
	_, err := c.Sessions.Open(q.Request.Header.Cookie(c.cookie))
	if err == nil {
		c.lead(q, "confirm", "")
		return
	}
	alert := c.alert(q, "wrong", "sign-in-busy")
	if reason := why(err); alert == "" && reason != "" {
		alert = c.site.Text(q.locale, "alert-"+reason)
	}
	order := c.order(q)
	c.render(q, fasthttp.StatusOK, "sign-in", &web.SignIn{
		Frame: c.frame(q, "sign-in-title"), Order: &order, Alert: alert,
		Action: q.step("sign-in"), Cancel: &web.Form{Action: q.step("cancel")},
	})
}

// settleExpiry gives the leader a moment to commit what the clock already says: an expiry is told only once it is committed.
func (c *Pages) settleExpiry(q *request) {
	if q.payment.State == journal.StateReceived && c.Bank.Now() >= q.payment.Expires {
		if p, ok := c.Bank.Await(q.payment.ID, q.payment.Version, time.Now().Add(ResultWait)); ok {
			q.payment = p
		}
	}
}

func (c *Pages) signIn(q *request) {
	if !c.find(q) {
		return
	}
	if refusal, refused := c.Bank.Refused(gate.Confirm); refused {
		c.refuse(q, refusal)
		return
	}
	signed, err := c.Sessions.SignIn(trimmed(q.RequestCtx, "username"), string(q.PostArgs().Peek("password")),
		q.Request.Header.Cookie(c.device), time.Now().Add(SignInBudget))
	switch {
	case err == nil:
		c.setCookie(q.RequestCtx, c.cookie, signed.Cookie, 0)
		c.lead(q, "confirm", "")
	case errors.Is(err, session.ErrBusy), errors.Is(err, session.ErrUnavailable):
		c.lead(q, "", "sign-in-busy")
	default:
		if errors.Is(err, session.ErrCredential) {
			c.Logger.Error("customer: a stored credential cannot be used", "reference", edge.Reference(q.RequestCtx), "error", err)
		}
		c.lead(q, "", "wrong")
	}
}

// due leads away from a step that is over: the payment has moved on, or nobody is signed in.
func (c *Pages) due(q *request) bool {
	if !c.find(q) {
		return false
	}
	if c.settleExpiry(q); q.payment.State != journal.StateReceived {
		c.lead(q, "result", "")
		return false
	}
	return c.signedIn(q)
}

// checked is due for forms: it also asks for the session's token.
func (c *Pages) checked(q *request) bool {
	if !c.due(q) {
		return false
	}
	if !q.session.CheckCSRF(q.PostArgs().Peek("csrf")) {
		c.tell(q, fasthttp.StatusForbidden, telling{tone: "bad", page: "forbidden"})
		return false
	}
	return true
}

// payable lists the accounts that can pay: in the payment's currency, and the one the partner asked for if it did.
func (q *request) payable() []journal.Account {
	var accounts []journal.Account
	for _, a := range q.session.Accounts {
		if a.Currency == q.payment.Amount.Currency && (q.payment.DebtorAccount == "" || q.payment.DebtorAccount == a.Number) {
			accounts = append(accounts, a)
		}
	}
	return accounts
}

func (c *Pages) confirm(q *request) {
	if !c.due(q) {
		return
	}
	accounts := q.payable()
	if len(accounts) == 0 {
		c.tell(q, fasthttp.StatusOK, telling{tone: "bad", page: "no-account", back: true, cancel: true})
		return
	}
	view := web.Confirm{
		Frame: c.frame(q, "confirm-title"), Order: c.order(q), Reserved: q.session.ReservedMessage,
		Alert: c.alert(q, "account", "consent-old"), Action: q.step("confirm"), CSRF: q.session.CSRFToken(),
		Cancel: &web.Form{Action: q.step("cancel"), CSRF: q.session.CSRFToken()},
	}
	for i, a := range accounts {
		view.Accounts = append(view.Accounts, web.Account{Value: strconv.Itoa(i), Label: a.Label, Masked: mask(a.Number), Checked: len(accounts) == 1})
	}
	if q.QueryArgs().Has("balances") {
		c.balances(accounts, view.Accounts)
	} else {
		view.Balances = q.step("confirm") + "&balances=1"
	}
	c.render(q, fasthttp.StatusOK, "confirm", &view)
}

// balances fills in what the core answers in time. It is a comfort that the gate refuses first, and the page goes without.
func (c *Pages) balances(accounts []journal.Account, shown []web.Account) {
	var wait sync.WaitGroup
	for i, a := range accounts[:min(len(accounts), balancesMax)] {
		wait.Go(func() {
			if m, refusal, err := c.Bank.Balance(gate.Inquiry, a.Number, a.Currency, BalanceBudget); err == nil && refusal == nil {
				shown[i].Balance = show(m)
			}
		})
	}
	wait.Wait()
}

// balancesMax bounds the calls into the core that one page may cause.
const balancesMax = 4

func (c *Pages) chooseAccount(q *request) {
	if !c.checked(q) {
		return
	}
	accounts := q.payable()
	chosen, err := strconv.Atoi(string(q.PostArgs().Peek("account")))
	if err != nil || chosen < 0 || chosen >= len(accounts) {
		c.lead(q, "confirm", "account")
		return
	}
	p := &q.payment
	token, err := c.Sessions.SealConsent(q.session, session.Consent{
		Payment: p.ID, Amount: p.Amount, CreditorAccount: p.CreditorAccount, CreditorName: p.CreditorName, DebtorAccount: accounts[chosen].Number,
	})
	if err != nil {
		c.Logger.Error("customer: a consent cannot be sealed", "payment", p.ID.String(), "reference", edge.Reference(q.RequestCtx), "error", err)
		c.tell(q, fasthttp.StatusServiceUnavailable, telling{tone: "bad", page: "unavailable", back: true})
		return
	}
	c.redirect(q, q.step("code")+"&c="+token)
}

// consented opens the consent that the step carries, or leads back to the page it is given on.
func (c *Pages) consented(q *request) (session.Consent, bool) {
	consent, err := c.Sessions.OpenConsent(q.session, q.QueryArgs().Peek("c"))
	if err != nil || consent.Payment != q.payment.ID {
		c.lead(q, "confirm", "consent-old")
		return consent, false
	}
	return consent, true
}

func (c *Pages) code(q *request) {
	if !c.due(q) {
		return
	}
	consent, ok := c.consented(q)
	if !ok {
		return
	}
	// What is shown is what was sealed, and what will be authorised.
	order := c.order(q)
	order.CreditorName, order.Amount, order.Account = consent.CreditorName, show(consent.Amount), mask(consent.DebtorAccount)
	csrf := q.session.CSRFToken()
	c.render(q, fasthttp.StatusOK, "code", &web.Code{
		Frame: c.frame(q, "code-title"), Order: order, Alert: c.alert(q, "code-wrong", "sign-in-busy"),
		Action: q.step("code") + "&c=" + string(q.QueryArgs().Peek("c")), CSRF: csrf,
		Cancel: &web.Form{Action: q.step("cancel"), CSRF: csrf},
	})
}

// pay is the one request that moves money.
func (c *Pages) pay(q *request) {
	if !c.checked(q) {
		return
	}
	consent, ok := c.consented(q)
	if !ok {
		return
	}
	// What would be refused anyway is refused before a code is spent on it.
	if refusal, refused := c.Bank.Refused(gate.Confirm); refused {
		c.refuse(q, refusal)
		return
	}
	started := time.Now()
	code := strings.ReplaceAll(trimmed(q.RequestCtx, "code"), " ", "")
	step, err := c.Sessions.CheckCode(q.session, code, started.Add(SubmitBudget))
	if err != nil {
		c.codeRefused(q, err)
		return
	}
	confirmed, err := c.Bank.Confirm(cluster.Confirmation{
		Payment: q.payment.ID, Customer: q.session.Customer, SessionEpoch: q.session.Epoch, SessionExpires: q.session.Expires(),
		Amount: consent.Amount, CreditorAccount: consent.CreditorAccount, CreditorName: consent.CreditorName, DebtorAccount: consent.DebtorAccount,
		TOTPStep: step, KnownDevice: q.session.KnownDevice, Tier: q.session.Tier, Partner: q.payment.Partner,
		Budget: ConfirmBudget - time.Since(started),
	})
	switch {
	case errors.Is(err, cluster.ErrUnknown):
		c.lead(q, "result", "") // it follows by itself
	case err != nil:
		c.refuse(q, cluster.Refusal{Reason: gate.NoLeader, RetryAfter: 2 * time.Second})
	case confirmed.Refusal != nil:
		c.refuse(q, *confirmed.Refusal)
	default:
		c.confirmed(q, confirmed)
	}
}

// codeRefused answers a code that was not taken. The other half of a double click may have spent it: then the outcome is what counts.
func (c *Pages) codeRefused(q *request, err error) {
	if p, ok := c.Bank.Payment(q.payment.ID); ok && p.State != journal.StateReceived {
		c.lead(q, "result", "")
		return
	}
	switch {
	case errors.Is(err, session.ErrLocked):
		c.tell(q, fasthttp.StatusForbidden, telling{tone: "bad", page: "locked", back: true})
	case errors.Is(err, session.ErrUnavailable):
		c.redirect(q, q.step("code")+"&why=sign-in-busy&c="+string(q.QueryArgs().Peek("c")))
	default:
		c.redirect(q, q.step("code")+"&why=code-wrong&c="+string(q.QueryArgs().Peek("c")))
	}
}

func (c *Pages) confirmed(q *request, confirmed cluster.Confirmed) {
	switch confirmed.Verdict {
	case journal.Done, journal.Attached, journal.Repeated:
		if device := c.Sessions.RememberDevice(q.session, q.Request.Header.Cookie(c.device)); device != "" && confirmed.Verdict == journal.Done {
			c.setCookie(q.RequestCtx, c.device, device, session.DeviceLifetime)
		}
		c.lead(q, "result", "")
	case journal.NoSession:
		c.lead(q, "", "")
	case journal.ConsentDiffers:
		c.lead(q, "confirm", "consent-old")
	case journal.FactorUsed:
		c.codeRefused(q, session.ErrUsed)
	case journal.StaleTerm:
		c.refuse(q, cluster.Refusal{Reason: gate.NoLeader, RetryAfter: 2 * time.Second})
	default: // the payment has moved on: expired, cancelled, another's
		c.lead(q, "result", "")
	}
}

func (c *Pages) cancel(q *request) {
	if !c.find(q) {
		return
	}
	// Who is not signed in may cancel too: whoever holds the link came from the merchant, and nothing is lost but this order.
	// Who is signed in must send the form of that session.
	if s, err := c.Sessions.Open(q.Request.Header.Cookie(c.cookie)); err == nil {
		if q.session = s; !s.CheckCSRF(q.PostArgs().Peek("csrf")) {
			c.tell(q, fasthttp.StatusForbidden, telling{tone: "bad", page: "forbidden"})
			return
		}
	}
	if q.payment.State == journal.StateReceived {
		id := q.payment.ID
		_, err := c.Bank.Submit(&journal.Command{Body: &command.Command_CancelPayment{CancelPayment: &command.CancelPayment{PaymentId: id[:]}}}, time.Now().Add(SubmitBudget))
		if err != nil && !errors.Is(err, cluster.ErrUnknown) {
			c.tell(q, fasthttp.StatusServiceUnavailable, telling{tone: "bad", page: "unavailable", back: true})
			return
		}
	}
	c.lead(q, "result", "")
}

func (c *Pages) signOut(q *request) {
	s, err := c.Sessions.Open(q.Request.Header.Cookie(c.cookie))
	if err == nil {
		if !s.CheckCSRF(q.PostArgs().Peek("csrf")) {
			q.session = s
			c.tell(q, fasthttp.StatusForbidden, telling{tone: "bad", page: "forbidden"})
			return
		}
		if err := c.Sessions.SignOut(s, time.Now().Add(SubmitBudget)); err != nil {
			q.session = s
			c.tell(q, fasthttp.StatusServiceUnavailable, telling{tone: "bad", page: "sign-out-failed"})
			return
		}
	}
	c.setCookie(q.RequestCtx, c.cookie, "", -time.Hour)
	c.redirect(q, "/signed-out")
}

func (c *Pages) signedOut(q *request) {
	c.tell(q, fasthttp.StatusOK, telling{tone: "good", page: "signed-out"})
}

func (c *Pages) home(q *request) {
	c.tell(q, fasthttp.StatusOK, telling{tone: "wait", page: "home"})
}
