package customer

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"netbank/cluster/journal"
	"netbank/frontend/edge"
	"netbank/frontend/message"
	"netbank/frontend/web"
	"netbank/session"
)

// factors lists the customer's second factors, and leads to what can be done about them.
func (c *Pages) factors(q *request) {
	if !c.signedIn(q) {
		return
	}
	have, err := c.Sessions.Factors(q.session)
	if err != nil {
		c.unseen(q, "unseen", "/factors")
		return
	}
	text := func(key string, args ...any) string { return c.site.Text(q.locale, key, args...) }
	view := web.Factors{Frame: c.frame(q, "factors-title"), None: text("passkeys-none")}
	c.alert(q, &view.Frame, "passkey-made", "passkey-known", "passkey-full", "passkey-last", "passkey-none", "passkey-gone", "change-old", "later")
	switch string(q.QueryArgs().Peek("done")) {
	case "added":
		view.Done = text("factors-added")
	case "removed":
		view.Done = text("factors-removed")
	}
	for i := range have.Passkeys {
		k := &have.Passkeys[i]
		row := web.Passkey{Name: k.Name, When: text("passkey-when", "Added", c.clock(k.Added)), Value: keyValue(k.ID), CSRF: view.SignOut.CSRF, Remove: text("passkey-remove-name", "Name", k.Name)}
		if k.Used != 0 {
			row.When = text("passkey-used", "Added", c.clock(k.Added), "Used", c.clock(k.Used))
		}
		view.Passkeys = append(view.Passkeys, row)
	}
	switch {
	case !c.Sessions.PasskeySite().On():
		view.None = text("passkeys-off")
	case len(have.Passkeys) < journal.DefaultLimits().Passkeys:
		view.Add = &web.Link{Href: "/factors/new", Text: text("passkey-add")}
	}
	view.Rows = []web.Row{{Term: text("phone-term"), Text: text("phone-has-not")}, {Term: text("totp-term"), Text: c.totpText(q, &have)}}
	if have.Phone != "" && c.Messages != nil {
		view.Rows[0].Text = text("phone-has", "Phone", have.Phone)
	}
	c.render(q, fasthttp.StatusOK, "factors", &view)
}

func (c *Pages) totpText(q *request, have *session.Factors) string {
	switch {
	case !have.TOTP:
		return c.site.Text(q.locale, "totp-has-not")
	case c.TOTPMax == nil:
		return c.site.Text(q.locale, "totp-has-all")
	}
	currency := "CNY"
	if len(q.session.Accounts) > 0 {
		currency = q.session.Accounts[0].Currency
	}
	return c.site.Text(q.locale, "totp-has", "Limit", show(journal.Money{Minor: c.TOTPMax[currency], Currency: currency}))
}

// keyValue stands for a passkey in a form. An id is no secret, but it is nobody's business either.
func keyValue(id []byte) string {
	sum := sha256.Sum256(id)
	return hex.EncodeToString(sum[:8])
}

// removePasskey leads to the page that asks for a factor, with which it is removed.
func (c *Pages) removePasskey(q *request) {
	if !c.signedIn(q) || !c.own(q) {
		return
	}
	have, err := c.Sessions.Factors(q.session)
	if err != nil {
		c.redirect(q, "/factors?why=later")
		return
	}
	given := string(q.PostArgs().Peek("key"))
	for i := range have.Passkeys {
		if k := &have.Passkeys[i]; keyValue(k.ID) == given {
			c.begin(q, session.Change{Kind: session.DropPasskey, Passkey: journal.Passkey{ID: k.ID, Name: k.Name}})
			return
		}
	}
	c.redirect(q, "/factors?why=passkey-none")
}

// begin seals a change, and leads to the page that asks for a factor.
func (c *Pages) begin(q *request, change session.Change) {
	token, err := c.Sessions.SealChange(q.session, change)
	if err != nil {
		c.notNow(q, &change)
		return
	}
	a := ask{change: &change, token: token}
	c.redirect(q, q.at(&a, "code", byDefault, ""))
}

// newPasskey is the page on which the browser makes a passkey.
func (c *Pages) newPasskey(q *request) {
	if !c.signedIn(q) {
		return
	}
	have, err := c.Sessions.Factors(q.session)
	site := c.Sessions.PasskeySite()
	switch {
	case err != nil:
		c.redirect(q, "/factors?why=later")
		return
	case !site.On() || len(have.Passkeys) >= journal.DefaultLimits().Passkeys:
		c.redirect(q, "/factors?why=passkey-full")
		return
	}
	token, err := c.Sessions.SealChange(q.session, session.Change{Kind: session.NewPasskey})
	var asked session.Change
	if err == nil {
		asked, err = c.Sessions.OpenChange(q.session, []byte(token))
	}
	if err != nil {
		c.redirect(q, "/factors?why=later")
		return
	}
	view := web.NewPasskey{
		Frame: c.frame(q, "passkey-new-title"), Action: "/factors/new?c=" + token, CSRF: q.session.CSRFToken(),
		Options: site.CreationOptions(q.session, asked.Challenge(), have.Passkeys), Name: c.site.Text(q.locale, "passkey-name-first"),
	}
	c.alert(q, &view.Frame, "passkey-made", "passkey-name")
	c.allowScript(q, &view.Frame)
	c.render(q, fasthttp.StatusOK, "passkey", &view)
}

// madePasskey takes what the browser has made. It is enrolled once another factor has confirmed it.
func (c *Pages) madePasskey(q *request) {
	if !c.signedIn(q) || !c.own(q) {
		return
	}
	asked, err := c.Sessions.OpenChange(q.session, q.QueryArgs().Peek("c"))
	if err != nil || asked.Kind != session.NewPasskey {
		c.redirect(q, "/factors?why=change-old")
		return
	}
	name, ok := passkeyName(trimmed(q.RequestCtx, "name"))
	if !ok {
		c.redirect(q, "/factors/new?why=passkey-name")
		return
	}
	key, err := c.Sessions.MadePasskey(asked.Challenge(), q.PostArgs().Peek("credential"))
	if err != nil {
		c.redirect(q, "/factors/new?why=passkey-made")
		return
	}
	key.Name = name
	c.begin(q, session.Change{Kind: session.AddPasskey, Passkey: key})
}

// passkeyName accepts what the journal takes as a name.
func passkeyName(name string) (string, bool) {
	n := utf8.RuneCountInString(name)
	return name, utf8.ValidString(name) && n >= 1 && n <= journal.DefaultLimits().LabelRunes && strings.IndexFunc(name, unicode.IsControl) < 0
}

// home is the page that a change was begun on.
func home(change *session.Change) string {
	if change.Kind == session.PutPassword {
		return "/security"
	}
	return "/factors"
}

// notNow leads there, to say that nothing can be changed at the moment.
func (c *Pages) notNow(q *request, change *session.Change) {
	if change.Kind == session.PutPassword {
		c.passwordBusy(q, noLeader().Reason.String())
		return
	}
	c.redirect(q, "/factors?why=later")
}

// changed opens the change that a step carries, or leads back to the list.
func (c *Pages) changed(q *request) (ask, bool) {
	if !c.signedIn(q) {
		return ask{}, false
	}
	token := q.QueryArgs().Peek("c")
	change, err := c.Sessions.OpenChange(q.session, token)
	if err != nil || change.Kind == session.NewPasskey {
		c.redirect(q, "/factors?why=change-old")
		return ask{}, false
	}
	return ask{change: &change, token: string(token), way: q.askedWay()}, true
}

func (c *Pages) changeCode(q *request) {
	if a, ok := c.changed(q); ok {
		c.askFor(q, &a)
	}
}

func (c *Pages) changeMessage(q *request) {
	if a, ok := c.changed(q); ok && c.own(q) {
		c.sendCode(q, &a)
	}
}

// enact checks the factor and makes the change.
func (c *Pages) enact(q *request) {
	a, ok := c.changed(q)
	if !ok || !c.own(q) {
		return
	}
	deadline := time.Now().Add(SubmitBudget)
	proof, err := c.prove(q, &a, deadline)
	if err == nil && a.change.Kind == session.PutPassword {
		c.enactPassword(q, &a, &proof, deadline)
		return
	}
	if err == nil {
		err = c.Sessions.Enact(q.session, a.change, proof, deadline)
	}
	why := refusedWhy(a.way, err)
	var locked *session.LockedError
	switch {
	case err == nil:
		c.told(q, a.change)
	case errors.As(err, &locked):
		c.lockedUntil(q, "code", locked.Until)
	case errors.Is(err, session.ErrKnown):
		c.redirect(q, "/factors?why=passkey-known")
	case errors.Is(err, session.ErrFull):
		c.redirect(q, "/factors?why=passkey-full")
	case errors.Is(err, session.ErrLast):
		c.redirect(q, "/factors?why=passkey-last")
	case errors.Is(err, session.ErrGone):
		c.redirect(q, "/factors?why=passkey-none")
	case errors.Is(err, session.ErrCredential), why == "":
		c.factorsUnknown(q, &a, err)
	default:
		c.redirect(q, q.at(&a, "code", a.way, why))
	}
}

// told leads back to the list, and has the customer told elsewhere too.
func (c *Pages) told(q *request, change *session.Change) {
	done, key := "added", "text-added"
	if change.Kind == session.DropPasskey {
		done, key = "removed", "text-dropped"
	}
	c.notify(q, key, "Name", change.Passkey.Name)
	c.redirect(q, "/factors?done="+done)
}

// notify sends the customer word of a change, if the bank knows where to: who changes what is another's does not see that message.
func (c *Pages) notify(q *request, key string, args ...any) {
	to, err := c.Sessions.Phone(q.session)
	if err == nil && (to == "" || c.Messages == nil) {
		return
	}
	if err == nil {
		text := c.site.Text(q.locale, key, append(args, "Bank", c.BankName)...)
		err = c.Messages.Send(message.Message{ID: "notice-" + strings.ToLower(rand.Text()), To: to, Text: text})
	}
	if err != nil {
		c.Logger.Warn("customer: a customer could not be told of a change", "change", key, "reference", edge.Reference(q.RequestCtx), "error", err)
	}
}
