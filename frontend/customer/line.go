package customer

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/frontend/edge"
	"netbank/frontend/money"
	"netbank/frontend/web"
	"netbank/session"
)

// The waiting line at the doors. A flow begins with a sign-in, or with a new payment of somebody who is signed in; once it is in, its pass keeps it
// in (invariant AdmittedStaysAdmitted), and no node keeps anything of those who wait.
const (
	// PassIdle is how long a pass lives that nobody uses.
	PassIdle = time.Duration(journal.PassIdle) * time.Millisecond
	// passRenew is the age from which a pass that is used is made anew.
	passRenew = 30 * time.Second
	// lineBudget bounds a place in the line, and the turn.
	lineBudget = 5 * time.Second
	// Pauses between two looks of a page at its place: farther back they are longer.
	lookNext  = time.Second     // while the turn may come at any moment: until he looks, nobody has what was set aside for him
	lookFirst = 3 * time.Second // within half a minute of the turn
	lookMin   = 5 * time.Second
	lookMax   = 60 * time.Second
	lookPart  = 8 // of the wait, and
	lookClose = 4 // of the last half a minute
	lookLate  = 15 * time.Second
	// looksPerSecond is how many looks a second all who wait together cause at most, as long as nobody misses his turn.
	looksPerSecond = 2000
	lookUnknown    = 15 * time.Second
	// SignInNeeds is what a customer needs from his turn to the confirmation, at the least, before the payment expires.
	SignInNeeds = time.Minute
)

// admitted reports whether a flow may go on; else it has been led to the line. starts says that the request begins the flow's work.
func (c *Pages) admitted(q *request, starts bool) bool {
	if !c.Line {
		return true
	}
	pass, ok := c.pass(q)
	switch {
	case ok && pass.In:
	case !c.Bank.Line().Closed:
		pass = session.Pass{Payment: q.payment.ID, In: true}
	default:
		return c.turn(q, pass, ok)
	}
	if starts && !pass.Counted {
		c.Bank.FlowBegan()
		pass.Counted = true
		pass.Since = time.Time{}
	}
	c.keep(q, pass)
	return true
}

// pass opens what the browser keeps of the line, if it is for this payment and lives.
func (c *Pages) pass(q *request) (session.Pass, bool) {
	token := q.Request.Header.Cookie(passCookie)
	if len(token) == 0 {
		return session.Pass{}, false
	}
	pass, err := c.Sessions.OpenPass(token)
	age := time.UnixMilli(int64(c.Bank.Now())).Sub(pass.Since)
	if err != nil || pass.Payment != q.payment.ID || pass.In && age >= PassIdle || age >= session.KeyLifetime {
		return session.Pass{}, false
	}
	return pass, true
}

// passCookie is the cookie of a pass. Its path is the payment's, so that a browser keeps one for each.
const passCookie = "netbank-pass"

// keep has the browser keep a pass; one that was made anew a moment ago stays.
func (c *Pages) keep(q *request, pass session.Pass) {
	now := time.UnixMilli(int64(c.Bank.Now()))
	if pass.In {
		if now.Sub(pass.Since) < passRenew {
			return
		}
		pass.Since = now
	}
	token, err := c.Sessions.SealPass(pass)
	if err != nil {
		c.Logger.Error("customer: a pass cannot be sealed", "reference", edge.Reference(q.RequestCtx), "error", err)
		return
	}
	k := fasthttp.AcquireCookie()
	defer fasthttp.ReleaseCookie(k)
	k.SetKey(passCookie)
	k.SetValue(token)
	k.SetPath("/")
	if q.link != "" {
		k.SetPath("/pay/" + q.payment.ID.String())
	}
	k.SetHTTPOnly(true)
	k.SetSecure(c.secure)
	k.SetSameSite(fasthttp.CookieSameSiteLaxMode)
	if pass.In {
		k.SetMaxAge(int(PassIdle.Seconds()))
	}
	q.Response.Header.SetCookie(k)
}

// turn lets a flow in whose turn it is, and leads others to the line.
func (c *Pages) turn(q *request, ticket session.Pass, has bool) bool {
	called, ok := c.place(q, &ticket, has)
	if !ok {
		return false
	}
	if !called {
		c.keep(q, ticket)
		c.lead(q, "wait", "")
		return false
	}
	body := &command.Enter{SinceMs: ticket.Since.UnixMilli()}
	cmd := &journal.Command{Body: &command.Command_Enter{Enter: body}}
	if q.link != "" {
		body.PaymentId = q.payment.ID[:]
	} else {
		cmd.Id = ticket.ID[:]
	}
	result, err := c.Bank.Submit(cmd, time.Now().Add(lineBudget))
	switch {
	case err != nil && q.link == "":
		return true // without a leader nobody can sign in either: the page that says so is the one that was asked for
	case err != nil:
		c.refuse(q, refusalOf(err), "")
		return false
	case result.Verdict != journal.Done && result.Verdict != journal.Repeated:
		c.lead(q, "wait", "")
		return false
	}
	c.waits.entered(ticket, time.UnixMilli(int64(c.Bank.Now())))
	c.keep(q, session.Pass{Payment: q.payment.ID, In: true, Counted: true})
	return true
}

// place finds where the request stands, and gives it a place if it has none. ok is false if it was answered otherwise. A ticket that there was not is made.
func (c *Pages) place(q *request, ticket *session.Pass, has bool) (called, ok bool) {
	now := time.UnixMilli(int64(c.Bank.Now()))
	if !has {
		*ticket = session.Pass{Payment: q.payment.ID, Since: now, ID: session.NewPassID()}
	}
	if q.link == "" {
		since := journal.Millis(ticket.Since.UnixMilli())
		q.ahead = c.Bank.Ahead(since)
		called = since < c.Bank.Line().Watermark
	} else {
		p, placed, err := c.Bank.Place(q.payment.ID, false)
		if err == nil && !placed {
			if p, ok = c.arrive(q); !ok {
				return false, false
			}
		}
		if err != nil {
			c.refuse(q, noLeader(), "")
			return false, false
		}
		q.ahead, called = p.Ahead, p.Called
	}
	if from, to, known := c.Bank.Line().Pace.Wait(q.ahead); !has && known {
		ticket.From, ticket.To = rounded(from, to)
	}
	return called, true
}

// arrive takes a place for a payment.
func (c *Pages) arrive(q *request) (journal.Place, bool) {
	id := q.payment.ID
	result, err := c.Bank.Submit(&journal.Command{Body: &command.Command_Arrive{Arrive: &command.Arrive{PaymentId: id[:]}}}, time.Now().Add(lineBudget))
	if err != nil {
		c.refuse(q, refusalOf(err), "")
		return journal.Place{}, false
	}
	if result.Verdict != journal.Done && result.Verdict != journal.Repeated {
		c.lead(q, "", "") // the line has just opened, or the payment has come to its end
		return journal.Place{}, false
	}
	p, placed, err := c.Bank.Place(id, true)
	if err != nil || !placed {
		c.refuse(q, noLeader(), "")
		return journal.Place{}, false
	}
	return p, true
}

// wait shows a place in the line, to a person or to a program.
func (c *Pages) wait(q *request) {
	if _, paying := q.UserValue("id").(string); paying {
		if !c.find(q) {
			return
		}
		if q.payment.State != journal.StateReceived {
			if q.wantsJSON() {
				c.say(q, standing{State: "over"}, 0)
				return
			}
			c.lead(q, "result", "")
			return
		}
	}
	ticket, has := c.pass(q)
	if !c.Line || !c.Bank.Line().Closed || has && ticket.In {
		c.myTurn(q)
		return
	}
	called, ok := c.place(q, &ticket, has)
	switch {
	case !ok:
		if q.wantsJSON() { // what the page would lead to says less to a program
			q.Response.Header.Del("Location")
			c.say(q, standing{State: "unknown"}, lookUnknown)
		}
		return
	case called:
		if !has {
			c.keep(q, ticket)
		}
		c.myTurn(q)
		return
	case !has:
		c.keep(q, ticket)
	}
	c.showPlace(q)
}

// myTurn leads in, where the turn is taken.
func (c *Pages) myTurn(q *request) {
	if q.wantsJSON() {
		c.say(q, standing{State: "turn", Open: q.step("")}, 0)
		return
	}
	c.lead(q, "", "")
}

// standing is what a program is told of a place in the line. docs/waiting.md describes it.
type standing struct {
	State       string `json:"state"`                 // waiting, turn, over or unknown
	Ahead       *int   `json:"ahead,omitempty"`       // people
	FromSeconds *int   `json:"fromSeconds,omitempty"` // of the wait from now on; absent: nobody can say
	ToSeconds   *int   `json:"toSeconds,omitempty"`
	AsOf        string `json:"asOf,omitempty"` // RFC 3339
	Expires     string `json:"expires,omitempty"`
	TooLate     bool   `json:"tooLate,omitempty"` // the payment expires before its turn, as far as can be seen
	Open        string `json:"open,omitempty"`    // the address to open now
	LookAgain   int    `json:"lookAgainSeconds,omitempty"`
}

func (q *request) wantsJSON() bool {
	return bytes.HasPrefix(q.Request.Header.Peek("Accept"), []byte("application/json"))
}

func (c *Pages) say(q *request, s standing, again time.Duration) {
	if again > 0 {
		s.LookAgain = int(again / time.Second)
		q.Response.Header.Set("Retry-After", strconv.Itoa(s.LookAgain))
	}
	body, err := json.Marshal(s)
	if err != nil {
		c.Logger.Error("customer: a place in the line cannot be written", "reference", edge.Reference(q.RequestCtx), "error", err)
	}
	q.SetStatusCode(fasthttp.StatusOK)
	q.SetContentType("application/json")
	q.SetBody(append(body, '\n'))
}

// rounded makes a range that can be read: its ends lie on round times, outside of it.
func rounded(from, to time.Duration) (time.Duration, time.Duration) {
	step := 10 * time.Second
	switch {
	case to > 20*time.Minute:
		step = time.Minute
	case to > 5*time.Minute:
		step = 30 * time.Second
	}
	return from - from%step, to + (step-to%step)%step
}

// pause is how long a page waits until it looks again: longer farther back, but so that nobody misses his turn, and not all at once.
func pause(from time.Duration, known bool, waiting int) time.Duration {
	many := time.Duration(waiting) * time.Second / looksPerSecond
	if !known { // the line has just closed, and the first may be called at once; or nobody is called, and nothing is missed
		return jittered(min(max(lookNext, many), lookMax))
	}
	next := min(max(from/lookPart, lookMin), lookMax)
	if from < 30*time.Second {
		next = min(max(from/lookClose, lookNext), lookFirst)
	}
	return jittered(min(max(next, many), from+lookLate))
}

// jittered spreads a pause, in whole seconds: a short one too, or who was called in a moment would come in another moment, all together.
func jittered(d time.Duration) time.Duration {
	return max((time.Duration(float64(d)*(0.85+0.3*rand.Float64())) + rand.N(time.Second)).Truncate(time.Second), lookNext)
}

func (c *Pages) showPlace(q *request) {
	line := c.Bank.Line()
	from, to, known := line.Pace.Wait(q.ahead)
	now := c.Bank.Now()
	again := pause(from, known, line.Waiting)
	from, to = rounded(from, to)
	late := q.link != "" && known && now+journal.Millis((from+SignInNeeds).Milliseconds()) > q.payment.Expires
	clock := func(ms journal.Millis, layout string) string {
		return time.UnixMilli(int64(ms)).In(c.Location).Format(layout)
	}
	if q.wantsJSON() {
		s := standing{State: "waiting", Ahead: &q.ahead, AsOf: clock(now, time.RFC3339), TooLate: late}
		if known {
			lower, upper := int(from/time.Second), int(to/time.Second)
			s.FromSeconds, s.ToSeconds = &lower, &upper
		}
		if q.link != "" {
			s.Expires = clock(q.payment.Expires, time.RFC3339)
		}
		c.say(q, s, again)
		return
	}
	place := web.Line{Ahead: money.Grouped(int64(q.ahead)), At: clock(now, "15:04:05 MST")}
	switch {
	case !known:
		place.Wait = c.site.Text(q.locale, "line-unknown")
	case from <= 0:
		place.Wait = c.site.Text(q.locale, "line-soon", "To", c.lasting(q, to))
	default:
		place.Wait = c.site.Text(q.locale, "line-range", "From", c.lasting(q, from), "To", c.lasting(q, to))
	}
	look := &web.Link{Href: q.step("wait"), Text: c.site.Text(q.locale, "look-again")}
	t := telling{tone: "wait", page: "line", more: []string{"line-next"}, place: &place, order: true, cancel: true, primary: look}
	if late {
		t.page, t.tone, t.more = "line-late", "bad", nil
		t.said = []string{c.site.Text(q.locale, "line-late-expires", "Time", clock(q.payment.Expires, "15:04:05 MST"))}
		if back := merchantURL(&q.payment, false); back != "" {
			t.primary, t.also = &web.Link{Href: back, Text: c.site.Text(q.locale, "back-to-merchant")}, look
		}
	}
	if !q.QueryArgs().Has("stay") {
		t.follow, t.refresh = "line-follow", strconv.Itoa(int(again/time.Second))+"; url="+q.step("wait")
		t.stay = with(q.step("wait"), "stay", "1")
	}
	q.Response.Header.Set("Retry-After", strconv.Itoa(int(again/time.Second)))
	c.tell(q, fasthttp.StatusOK, t)
}

// lasting says how long something takes.
func (c *Pages) lasting(q *request, d time.Duration) string {
	minutes, seconds := int(d/time.Minute), int(d%time.Minute/time.Second)
	switch {
	case minutes == 0:
		return c.site.Text(q.locale, "lasting-seconds", "Seconds", seconds)
	case seconds == 0:
		return c.site.Text(q.locale, "lasting-minutes", "Minutes", minutes)
	}
	return c.site.Text(q.locale, "lasting-both", "Minutes", minutes, "Seconds", seconds)
}
