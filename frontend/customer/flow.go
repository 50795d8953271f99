package customer

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/frontend/edge"
	"netbank/frontend/web"
	"netbank/session"
)

// entry is where the partner's link leads: on to the step that is due, or the sign-in page.
func (c *Pages) entry(q *request) {
	if !c.find(q) || !c.open(q) {
		return
	}
	_, err := c.Sessions.Open(q.Request.Header.Cookie(c.cookie))
	why := string(q.QueryArgs().Peek("why"))
	if !c.admitted(q, err == nil) {
		return
	}
	if err == nil {
		if why != "cancel-unknown" {
			why = ""
		}
		c.lead(q, "confirm", why)
		return
	}
	order := c.order(q)
	view := web.SignIn{Frame: c.frame(q, "sign-in-title"), Order: &order, Action: q.step("sign-in"), Cancel: &web.Form{Action: q.step("cancel")}}
	c.alert(q, &view.Frame, "wrong", "malformed", "address", "sign-in-busy", "cookies", "cancel-unknown")
	if reason := lostSession(err); why == "session" && reason != "" {
		// Only who was led here from a step was signed in for this payment.
		view.Alert = c.site.Text(q.locale, "alert-"+reason)
	}
	c.refusedHere(q, &view.Frame, "sign-in")
	c.render(q, fasthttp.StatusOK, "sign-in", &view)
}

// lostSession names the alert of a session that is not to be had; empty where nobody has been signed in.
func lostSession(err error) string {
	switch {
	case errors.Is(err, session.ErrIdle):
		return "idle"
	case errors.Is(err, session.ErrExpired):
		return "expired-session"
	case errors.Is(err, session.ErrReplaced):
		return "replaced"
	case errors.Is(err, session.ErrEnded):
		return "ended"
	}
	return ""
}

// open reports whether the payment still waits to be confirmed; else it leads to the result.
func (c *Pages) open(q *request) bool {
	if q.payment.State == journal.StateReceived && c.Bank.Now() >= q.payment.Expires {
		// An expiry is told only once it is committed: the leader gets a moment for it.
		q.look(c.Bank.Await(q.payment.ID, q.payment.Version, time.Now().Add(ResultWait)))
		if q.payment.State == journal.StateReceived {
			c.refuse(q, noLeader(), "")
			return false
		}
	}
	if q.payment.State != journal.StateReceived {
		c.lead(q, "result", "")
		return false
	}
	return true
}

func (c *Pages) signIn(q *request) {
	if c.find(q) && c.open(q) && c.admitted(q, true) {
		c.check(q, "confirm")
	}
}

// check checks a user name and a password, and leads on to a step if they are right.
func (c *Pages) check(q *request, next string) {
	if refusal, refused := c.Bank.Refused(gate.SignIn); refused {
		c.refuse(q, refusal, "")
		return
	}
	// Neither field is trimmed here: what a user name and a password may be is the session's matter.
	from := session.Client{Device: q.Request.Header.Cookie(c.device), Form: string(q.Path()) + " " + string(q.UserAgent())}
	from.Address, _ = netip.AddrFromSlice(q.RemoteIP())
	signed, err := c.Sessions.SignIn(from, string(q.PostArgs().Peek("username")), string(q.PostArgs().Peek("password")), time.Now().Add(SignInBudget))
	var locked *session.LockedError
	var busy *session.BusyError
	var crowded *session.AddressError
	switch {
	case err == nil:
		c.setCookie(q.RequestCtx, c.cookie, signed.Cookie, 0)
		c.redirect(q, with(q.step(next), "in", "1"))
	case errors.As(err, &locked):
		c.lockedUntil(q, "sign-in", locked.Until)
	case errors.Is(err, session.ErrMalformed):
		c.lead(q, "", "malformed")
	case errors.As(err, &crowded):
		q.Response.Header.Set("Retry-After", strconv.Itoa(seconds(crowded.RetryAfter)))
		c.refused.add(q, CodeAddress)
		c.lead(q, "", "address")
	case errors.As(err, &busy):
		q.Response.Header.Set("Retry-After", strconv.Itoa(seconds(edge.Spread(busy.RetryAfter))))
		c.refused.add(q, CodeBusy)
		if q.link == "" {
			c.redirect(q, with(with(q.step(""), "why", "away"), "reason", CodeBusy))
			return
		}
		c.lead(q, "", "sign-in-busy")
	case errors.Is(err, session.ErrWrong):
		if errors.Is(err, session.ErrCredential) {
			c.Logger.Error("customer: a stored credential cannot be used", "reference", edge.Reference(q.RequestCtx), "error", err)
		}
		c.lead(q, "", "wrong")
	case errors.Is(err, session.ErrUnavailable):
		c.refuse(q, noLeader(), "")
	default: // no root key yet
		c.Logger.Error("customer: nobody can sign in", "reference", edge.Reference(q.RequestCtx), "error", err)
		c.refuse(q, noLeader(), "")
	}
}

// due leads away from a step that is over: the payment has moved on, or nobody is signed in.
func (c *Pages) due(q *request) bool {
	return c.find(q) && c.open(q) && c.signedIn(q)
}

// checked is due for forms: it also asks for the session's token.
func (c *Pages) checked(q *request) bool { return c.due(q) && c.own(q) }

// own reports whether a form was made for this session, or says that it was not.
func (c *Pages) own(q *request) bool {
	token := q.PostArgs().Peek("csrf")
	if q.session.CheckCSRF(token) {
		return true
	}
	page := "stale" // a form of an earlier sign-in, in another tab
	if len(token) == 0 {
		page = "forbidden"
	}
	t := telling{tone: "bad", page: page}
	if string(q.Path()) == passwordAction {
		t.primary = &web.Link{Href: "/security", Text: c.site.Text(q.locale, "security-title")}
	}
	c.tell(q, fasthttp.StatusForbidden, t)
	return false
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

// choice is what stands for an account in the form: its place, and 32 bits of a hash of the account and this payment, so that a list that
// has changed meanwhile never makes one account of another. The account's number cannot be found from it.
func (q *request) choice(place int, a *journal.Account) string {
	sum := sha256.Sum256([]byte(string(q.payment.ID[:]) + a.Currency + a.Number))
	return strconv.Itoa(place) + "-" + hex.EncodeToString(sum[:4])
}

// accountOf names the customer's account as pages show it: by its label, and the last digits.
func (q *request) accountOf(number, currency string) string {
	account, _ := q.session.Account(number, currency)
	return strings.TrimSpace(account.Label + " " + mask(number))
}

func (c *Pages) confirm(q *request) {
	if !c.due(q) || !c.admitted(q, true) {
		return
	}
	accounts := q.payable()
	if len(accounts) == 0 {
		c.tell(q, fasthttp.StatusOK, telling{
			tone: "bad", page: "no-account", args: []any{"Currency", q.payment.Amount.Currency}, order: true, cancel: true, still: true,
		})
		return
	}
	view := web.Confirm{
		Frame: c.frame(q, "confirm-title"), Order: c.order(q), Reserved: q.session.ReservedMessage,
		Action: q.step("confirm"), CSRF: q.session.CSRFToken(), Cancel: &web.Form{Action: q.step("cancel"), CSRF: q.session.CSRFToken()},
	}
	c.alert(q, &view.Frame, "account", "consent-old", "cancel-unknown")
	for i := range accounts {
		a := &accounts[i]
		view.Accounts = append(view.Accounts, web.Account{Value: q.choice(i, a), Label: a.Label, Masked: mask(a.Number), Checked: len(accounts) == 1})
	}
	if !q.QueryArgs().Has("balances") {
		view.Balances = q.step("confirm") + "&balances=1"
	} else if all, refused := c.balances(accounts, view.Accounts); !all {
		const text = "balances-unknown"
		view.Note = c.site.Text(q.locale, text)
		if refused != "" {
			c.refusedThere(q, &view.Frame, "confirm", text, refused)
		}
	}
	c.render(q, fasthttp.StatusOK, "confirm", &view)
}

// balances fills in what the core answers in time, and reports whether it could, and the code of the refusal if that is why. They are a comfort that the
// gate refuses first, and the page goes without.
func (c *Pages) balances(accounts []journal.Account, shown []web.Account) (all bool, refused string) {
	accounts = accounts[:min(len(accounts), BalancesMax)]
	var wait sync.WaitGroup
	var codes [BalancesMax]string
	for i, a := range accounts {
		wait.Go(func() {
			switch m, refusal, err := c.Bank.Balance(gate.Inquiry, a.Number, a.Currency, cluster.BalanceBudget); {
			case err != nil:
			case refusal != nil:
				codes[i] = refusal.Reason.String()
			default:
				shown[i].Balance = show(m)
			}
		})
	}
	wait.Wait()
	for i := range accounts {
		if shown[i].Balance == "" {
			return false, codes[i]
		}
	}
	return true, ""
}

func (c *Pages) chooseAccount(q *request) {
	if !c.checked(q) {
		return
	}
	given := string(q.PostArgs().Peek("account"))
	accounts := q.payable()
	for i := range accounts {
		if given == q.choice(i, &accounts[i]) {
			c.seal(q, &accounts[i])
			return
		}
	}
	c.lead(q, "confirm", "account")
}

// seal makes the consent of what was shown, and leads to the code that confirms it.
func (c *Pages) seal(q *request, account *journal.Account) {
	p := &q.payment
	consent := session.Consent{
		Payment: p.ID, Amount: p.Amount, CreditorAccount: p.CreditorAccount, CreditorName: p.CreditorName, DebtorAccount: account.Number,
	}
	token, err := c.Sessions.SealConsent(q.session, consent)
	if err != nil {
		c.Logger.Error("customer: a consent cannot be sealed", "payment", p.ID.String(), "reference", edge.Reference(q.RequestCtx), "error", err)
		c.refuse(q, noLeader(), "")
		return
	}
	c.redirect(q, q.at(&ask{consent: &consent, token: token}, "code", byDefault, ""))
}

// noLeader is the refusal of a bank that can record nothing at the moment.
func noLeader() cluster.Refusal {
	return cluster.Refusal{Reason: gate.NoLeader, RetryAfter: 2 * time.Second}
}

// refusalOf is what a node's error that is certain comes to: nothing was done.
func refusalOf(err error) cluster.Refusal {
	refusal := noLeader()
	if errors.Is(err, cluster.ErrOverloaded) {
		refusal.Reason = gate.QueueFull
	}
	return refusal
}
