package customer

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"netbank/cluster/journal"
	"netbank/frontend/edge"
	"netbank/frontend/message"
	"netbank/frontend/web"
	"netbank/session"
)

// way is how something is confirmed. It stands in addresses.
type way string

const (
	byDefault way = "" // the best that there is
	byPasskey way = "passkey"
	byTOTP    way = "totp"
	byMessage way = "message"
)

// Messenger takes messages to customers. *message.Gateway is one.
type Messenger interface {
	Ready() error
	Send(message.Message) error
}

// ask is what a factor is asked for: a payment, as it was seen, or a change of the customer's factors.
type ask struct {
	consent *session.Consent // nil: a change
	change  *session.Change
	token   string // either, sealed
	way     way    // that was chosen
}

func (a *ask) bond() *session.Bond {
	if a.consent != nil {
		return &a.consent.Bond
	}
	return &a.change.Bond
}

func (a *ask) challenge() [32]byte {
	if a.consent != nil {
		return a.consent.Challenge()
	}
	return a.change.Challenge()
}

func (a *ask) subject() journal.Subject {
	if a.consent != nil {
		return a.consent.Subject()
	}
	return a.change.Subject()
}

// at is the address of a step of what is asked: code or message.
func (q *request) at(a *ask, step string, w way, why string) string {
	address := "/factors/" + step + "?c=" + a.token
	if a.consent != nil {
		address = q.step(step) + "&c=" + a.token
	}
	if w != byDefault {
		address += "&f=" + string(w)
	}
	if why != "" {
		address += "&why=" + why
	}
	return address
}

// askedWay is the way that an address names.
func (q *request) askedWay() way {
	switch w := way(q.QueryArgs().Peek("f")); w {
	case byPasskey, byTOTP, byMessage:
		return w
	}
	return byDefault
}

// withinTOTP tells whether the code of an authenticator will do. It is not bound to what it confirms, so that it is good for low amounts only, and for
// a change only where there is nothing better.
func (c *Pages) withinTOTP(amount journal.Money) bool {
	most, limited := c.TOTPMax[amount.Currency]
	return c.TOTPMax == nil || limited && amount.Minor <= most
}

// ways lists how a customer can confirm, the best first.
func (c *Pages) ways(a *ask, have *session.Factors) []way {
	var all []way
	if len(have.Passkeys) > 0 && c.Sessions.PasskeySite().On() {
		all = append(all, byPasskey)
	}
	sends := have.Phone != "" && c.Messages != nil
	if a.change != nil {
		if sends {
			all = append(all, byMessage)
		}
		if have.TOTP && len(all) == 0 {
			all = append(all, byTOTP)
		}
		return all
	}
	// The code is at hand, and costs nobody a message.
	if have.TOTP && c.withinTOTP(a.consent.Amount) {
		all = append(all, byTOTP)
	}
	if sends {
		all = append(all, byMessage)
	}
	return all
}

// alerts of the page that asks for a factor.
var factorAlerts = []string{
	"code-wrong", "code-used", "code-malformed", "code-old", "code-spent", "message-wrong", "message-soon", "message-down", "passkey-wrong", "passkey-gone", "way", "later",
}

// askFor shows the page that asks for a factor.
func (c *Pages) askFor(q *request, a *ask) {
	have, err := c.Sessions.Factors(q.session)
	if err != nil {
		c.factorsUnknown(q, a, err)
		return
	}
	ways := c.ways(a, &have)
	w := a.way
	if w == byDefault && a.bond().Sent.Number > 0 {
		w = byMessage
	}
	if !slices.Contains(ways, w) {
		w = byDefault
	}
	if w == byDefault && len(ways) > 0 {
		w = ways[0]
	}
	if w == byDefault {
		c.noWay(q, a, &have)
		return
	}
	csrf := q.session.CSRFToken()
	text := func(key string, args ...any) string { return c.site.Text(q.locale, key, args...) }
	view := web.Code{Way: string(w), CSRF: csrf, Action: q.at(a, "code", w, ""), Phone: have.Phone, Button: text("confirm-change")}
	title := "code-title"
	switch w {
	case byPasskey:
		title, view.Button = "passkey-title", text("passkey-confirm")
		view.Options = c.Sessions.PasskeySite().AssertionOptions(a.challenge(), have.Passkeys)
	case byMessage:
		title = "message-title"
		send := &web.Form{Action: q.at(a, "message", byMessage, ""), CSRF: csrf}
		if a.bond().Sent.Number > 0 {
			view.Resend = send
		} else {
			view.Send = send
		}
	}
	view.Heading = text(title)
	view.Frame = c.frame(q, title)
	c.alert(q, &view.Frame, factorAlerts...)
	for _, other := range ways {
		if other != w {
			view.Others = append(view.Others, web.Link{Href: q.at(a, "code", other, ""), Text: text("way-" + string(other))})
		}
	}
	if a.consent != nil {
		c.askForPayment(q, a, &view)
	} else {
		view.What = text(changeText(a.change), "Name", a.change.Passkey.Name)
		view.Leave = c.leave(q, a)
	}
	if w == byPasskey {
		c.allowScript(q, &view.Frame)
	}
	c.render(q, fasthttp.StatusOK, "code", &view)
}

// askForPayment adds what is shown of a payment: what was sealed, and what will be authorised.
func (c *Pages) askForPayment(q *request, a *ask, view *web.Code) {
	consent := a.consent
	order := c.order(q)
	order.CreditorName, order.Amount, order.Account = consent.CreditorName, show(consent.Amount), q.accountOf(consent.DebtorAccount, consent.Amount.Currency)
	view.Order, view.Step = &order, c.site.Text(q.locale, "step-three")
	button := "pay-now"
	if view.Way == string(byPasskey) {
		button = "passkey-pay"
	}
	view.Button = c.site.Text(q.locale, button, "Amount", order.Amount)
	view.Cancel = &web.Form{Action: q.step("cancel"), CSRF: view.CSRF}
}

// leave leads back to where a change was begun, which then is not made.
func (c *Pages) leave(q *request, a *ask) *web.Link {
	to := home(a.change)
	return &web.Link{Href: to, Text: c.site.Text(q.locale, strings.TrimPrefix(to, "/")+"-back")}
}

func changeText(change *session.Change) string {
	switch change.Kind {
	case session.DropPasskey:
		return "change-drop"
	case session.PutPassword:
		return "change-password"
	}
	return "change-add"
}

// noWay tells a customer who has no factor that will do what helps.
func (c *Pages) noWay(q *request, a *ask, have *session.Factors) {
	t := telling{tone: "bad", page: "no-way", text: "no-way-none", order: true, cancel: true, still: true}
	if a.consent == nil {
		t.primary = c.leave(q, a)
	} else if most, ok := c.TOTPMax[a.consent.Amount.Currency]; have.TOTP {
		if !ok {
			most = 0
		}
		t.text, t.args = "no-way-text", []any{"Limit", show(journal.Money{Minor: most, Currency: a.consent.Amount.Currency})}
		if c.Sessions.PasskeySite().On() {
			t.primary = &web.Link{Href: "/factors", Text: c.site.Text(q.locale, "way-factors")}
		}
	}
	c.tell(q, fasthttp.StatusOK, t)
}

// allowScript lets this page run our one script, which a nonce names.
func (c *Pages) allowScript(q *request, f *web.Frame) {
	var nonce [16]byte
	rand.Read(nonce[:])
	f.Script = base64.RawURLEncoding.EncodeToString(nonce[:])
	q.Response.Header.Set("Content-Security-Policy", policy+"; script-src 'nonce-"+f.Script+"'; require-trusted-types-for 'script'; trusted-types 'none'")
}

// proofWay is how a form confirms: as its address says, or as it must be meant.
func (q *request) proofWay(a *ask) way {
	switch {
	case a.way != byDefault:
		return a.way
	case a.bond().Sent.Number > 0:
		return byMessage
	}
	return byTOTP
}

var errWay = errors.New("customer: this cannot be confirmed in that way")

// prove checks the factor that a form holds.
func (c *Pages) prove(q *request, a *ask, deadline time.Time) (journal.Proof, error) {
	a.way = q.proofWay(a)
	switch a.way {
	case byPasskey:
		return c.Sessions.CheckPasskey(q.session, a.challenge(), q.PostArgs().Peek("credential"), deadline)
	case byMessage:
		return c.Sessions.CheckSentCode(q.session, &a.bond().Sent, typedCode(q), deadline)
	}
	if a.consent != nil && !c.withinTOTP(a.consent.Amount) {
		return journal.Proof{}, errWay
	}
	if a.change != nil {
		have, err := c.Sessions.Factors(q.session)
		if err != nil {
			return journal.Proof{}, err
		}
		if !slices.Contains(c.ways(a, &have), byTOTP) {
			return journal.Proof{}, errWay
		}
	}
	step, err := c.Sessions.CheckCode(q.session, typedCode(q), deadline)
	return journal.TOTP(step), err
}

// refusedWhy names the alert for a factor that was not taken, or nothing for an error that is no factor's.
func refusedWhy(w way, err error) string {
	switch {
	case errors.Is(err, errWay):
		return "way"
	case errors.Is(err, session.ErrMalformed) && w == byPasskey:
		return "passkey-wrong"
	case errors.Is(err, session.ErrMalformed):
		return "code-malformed"
	case errors.Is(err, session.ErrCodeOld):
		return "code-old"
	case errors.Is(err, session.ErrUsed) && w == byMessage:
		return "code-spent"
	case errors.Is(err, session.ErrUsed):
		return "code-used"
	case errors.Is(err, session.ErrPasskey):
		return "passkey-gone"
	case errors.Is(err, session.ErrWrong):
		return map[way]string{byPasskey: "passkey-wrong", byMessage: "message-wrong"}[w]
	}
	return ""
}

// sendCode sends a code for what is asked, and leads to the page that takes it.
func (c *Pages) sendCode(q *request, a *ask) {
	if c.Messages == nil {
		c.redirect(q, q.at(a, "code", byDefault, "way"))
		return
	}
	if err := c.Messages.Ready(); err != nil {
		c.redirect(q, q.at(a, "code", byDefault, "message-down"))
		return
	}
	code, to, err := c.Sessions.PrepareCode(q.session, a.subject(), time.Now().Add(SubmitBudget))
	var locked *session.LockedError
	switch {
	case err == nil:
	case errors.Is(err, session.ErrTooSoon):
		c.redirect(q, q.at(a, "code", byMessage, "message-soon"))
		return
	case errors.Is(err, session.ErrNoPhone):
		c.redirect(q, q.at(a, "code", byDefault, "way"))
		return
	case errors.As(err, &locked):
		c.lockedUntil(q, "code", locked.Until)
		return
	default:
		c.factorsUnknown(q, a, err)
		return
	}
	text := c.messageText(q, a, code.Digits())
	a.bond().Sent = code
	if a.consent != nil {
		a.token, err = c.Sessions.SealConsent(q.session, *a.consent)
	} else {
		a.token, err = c.Sessions.SealChange(q.session, *a.change)
	}
	if err != nil {
		c.factorsUnknown(q, a, err)
		return
	}
	if err := c.Messages.Send(message.Message{ID: strconv.FormatInt(code.Number, 36), To: to, Text: text}); err != nil {
		c.redirect(q, q.at(a, "code", byMessage, "message-down"))
		return
	}
	c.redirect(q, q.at(a, "code", byMessage, ""))
}

// messageText says what a code is for: the message is the one word on it that does not come through the browser.
func (c *Pages) messageText(q *request, a *ask, code string) string {
	if a.consent != nil {
		return c.site.Text(q.locale, "text-payment", "Code", code, "Amount", show(a.consent.Amount), "Payee", a.consent.CreditorName,
			"Account", mask(a.consent.DebtorAccount), "Bank", c.BankName)
	}
	key := "text-add"
	switch a.change.Kind {
	case session.DropPasskey:
		key = "text-drop"
	case session.PutPassword:
		key = "text-password"
	}
	return c.site.Text(q.locale, key, "Code", code, "Name", a.change.Passkey.Name, "Bank", c.BankName)
}

// factorsUnknown answers what could not be looked up or recorded.
func (c *Pages) factorsUnknown(q *request, a *ask, err error) {
	switch {
	case errors.Is(err, session.ErrReplaced), errors.Is(err, session.ErrEnded):
		c.lead(q, "", "session")
		return
	case !errors.Is(err, session.ErrUnavailable):
		c.Logger.Error("customer: a second factor cannot be used", "reference", edge.Reference(q.RequestCtx), "error", err)
	}
	if a.consent != nil {
		c.refuse(q, noLeader(), a.token)
		return
	}
	c.notNow(q, a.change)
}
