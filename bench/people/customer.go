package people

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"netbank/bench/audit"
	"netbank/bench/load"
)

// Bounds of a customer's way through a payment.
const (
	redirectsMax = 8
	// pagesMax is far more than anyone opens: who watches a page for an hour that looks again every two seconds has 1,800.
	pagesMax = 2000
	// requestRoom holds most requests.
	requestRoom = 2 << 10
)

// ReasonRejected is why a confirmation was not completed whose customer was told that the payment was not made: a definite answer.
const ReasonRejected = "rejected"

// customer is one visit of a person, from coming to leaving.
type customer struct {
	*Prepared
	v     *load.Visit
	who   *member
	order Order
	// tried counts how often each form was sent, and how often each page was asked for since it last came.
	tried   [steps]uint16
	last    step          // of the last form
	turned  int           // how often the bank was busy
	counter int64         // of the last code that was typed
	least   int64         // codes before this one are known to be spent
	sending time.Duration // when he first meant to send the code; below 0: he has not
	paused  time.Duration // that he waited for the bank, not for himself
	unsure  bool          // a code was sent that nothing was heard of
	lined   time.Duration // when he came to the line; 0: he has not, or is through
	word    string        // what he was told at last that is definite: what became of the payment, or that this try did not charge him
	line    *load.Client  // his own connection; nil: he has none
}

// step counts a step of the visit.
func (c *customer) step(s step, o load.Outcome) { c.v.Step(c.index[s], o) }

// browse goes from one page to the next until the payment's outcome is known, or the customer leaves; with only sign-in to do, until he is
// signed in.
func (c *customer) browse(p sheet, bad *load.Verdict) load.Verdict {
	for range pagesMax {
		if bad != nil {
			return *bad
		}
		switch p.kind {
		case signIn:
			p, bad = c.signIn(&p)
		case choose:
			if c.job.Kind == SignIn {
				return load.Verdict{}
			}
			p, bad = c.choose(&p)
		case oneTime:
			p, bad = c.confirm(&p)
		case tells:
			if p.waits() {
				p, bad = c.wait(&p)
				continue
			}
			if v := c.judge(&p); v != nil {
				return *v
			}
			p, bad = c.goOn(&p)
		}
	}
	return failed("pages without an end")
}

// navigate sends a form, or asks for a page where there are no fields, and follows redirects to the page behind.
func (c *customer) navigate(s step, path string, fields ...string) (sheet, *load.Verdict) {
	if path == "" {
		return sheet{}, verdict(failed("a page that leads nowhere"))
	}
	for range redirectsMax {
		to, p, bad := c.exchange(s, path, fields)
		if bad != nil {
			return sheet{}, bad
		}
		if to == "" {
			return p, nil
		}
		path, fields = to, nil
		name, _ := stepOf(to)
		s = stepTo(name)
	}
	return sheet{}, verdict(failed("redirects without an end"))
}

func verdict(v load.Verdict) *load.Verdict { return &v }

// stepTo names the step of a page by what its address bears.
func stepTo(name string) step {
	switch name {
	case "confirm":
		return toConfirm
	case "code":
		return toCode
	case "result":
		return toResult
	case "busy":
		return toBusy
	case "wait":
		return toWait
	}
	return toEntry
}

// exchange makes one request until it is answered or given up: it gives where the answer leads, or the page that it is.
func (c *customer) exchange(s step, path string, fields []string) (to string, p sheet, bad *load.Verdict) {
	if fields != nil {
		c.last = s
	}
	for {
		if c.tried[s] > 0 {
			c.retries.Add(1)
		}
		c.tried[s]++
		to, p, err := c.request(path, fields, c.tried[s] > 1)
		if err == nil {
			if fields == nil {
				c.tried[s] = 0
			}
			o := answered(to, &p)
			c.step(s, o)
			if s == toSignIn && o == load.Completed && c.job.Trace {
				c.signIns.add(c.v.N, c.Start.Add(c.v.Now()))
			}
			return to, p, nil
		}
		v := c.unanswered(c.v, err)
		c.step(s, v.Outcome)
		c.unsure = c.unsure || s == toSend
		if int(c.tried[s]) >= c.job.Habits.tries() {
			return "", p, &v
		}
		if !c.pause(c.job.Habits.RetryAfter) {
			return "", p, verdict(c.v.Ended())
		}
	}
}

// pause waits for the bank: the time counts as the customer's whole wait, but not as that for the answer to his next request.
func (c *customer) pause(d time.Duration) bool {
	c.paused += d
	return c.v.Think(d)
}

// unanswered is the verdict of a request that was not answered.
func (p *Prepared) unanswered(v *load.Visit, err error) load.Verdict {
	if v.Context().Err() != nil {
		return v.Ended()
	}
	var timed net.Error
	if p.job.Habits.Patience > 0 && (errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timed) && timed.Timeout()) {
		return load.Verdict{Outcome: load.Abandoned, Reason: "no answer within the customer's patience"}
	}
	return failed(load.Reason(err))
}

// answered judges an answer as a request: what it means for the payment is for who reads the page.
func answered(to string, p *sheet) load.Outcome {
	name, why := stepOf(to)
	switch {
	case name == "busy" || why == "sign-in-busy" || to == "" && p.step != "busy" && p.turnedAway():
		return load.Refused
	case why != "" || to == "" && p.status != 200 && !p.turnedAway():
		return load.Failed
	}
	return load.Completed
}

// request makes one request over the next free connection, for as long as the customer's patience lasts. One that is repeated because no answer came goes
// over a new connection, as a browser's does: what has ended one has often ended all that were open.
func (c *customer) request(path string, fields []string, again bool) (to string, p sheet, err error) {
	ctx, cancel, patience := c.patience(c.v)
	defer cancel()
	line, err := c.take(ctx)
	if err != nil {
		return "", sheet{}, err
	}
	if line != c.line {
		defer c.customers.Give(line)
	}
	if again {
		line.Close()
	}
	b := c.buffer()
	defer c.buffers.Put(b)
	if fields == nil {
		*b = c.maker.page((*b)[:0], path, &c.who.cookies)
	} else {
		*b = c.maker.form((*b)[:0], path, &c.who.cookies, fields)
	}
	r, err := line.DoWithin(*b, patience())
	if err != nil {
		return "", sheet{}, err
	}
	if fresh, ok := r.Cookie(c.maker.Cookie); ok {
		c.who.cookies.session = string(fresh)
	}
	if fresh, ok := r.Cookie(c.device); ok {
		c.who.cookies.device = string(fresh)
	}
	if fresh, ok := r.Cookie(passCookie); ok {
		c.who.cookies.pass = string(fresh)
	}
	if r.Status == 303 {
		if to = local(string(r.Header("Location"))); to == "" {
			return "", sheet{}, fmt.Errorf("%w: it leads to another site", load.ErrMalformed)
		}
		return to, sheet{}, nil
	}
	return "", readSheet(path, r, c.maker.Redirect), nil
}

// take gives the connection for the next request: the customer's own, or one that somebody has left open.
func (c *customer) take(ctx context.Context) (*load.Client, error) {
	if c.line != nil {
		return c.line, nil
	}
	line, err := c.customers.Take(ctx)
	if err == nil && c.job.Habits.Own {
		line.Close() // it was another's
		c.line = line
	}
	return line, err
}

// buffer gives room to write a request in, to be put back when it is answered: who thinks holds none.
func (p *Prepared) buffer() *[]byte {
	if b, ok := p.buffers.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, requestRoom)
	return &b
}

// patience bounds one request of a visit, the wait for a connection included: by a context, and by what is left of it when it is asked.
func (p *Prepared) patience(v *load.Visit) (context.Context, context.CancelFunc, func() time.Duration) {
	d := p.job.Habits.Patience
	if d == 0 {
		return v.Context(), func() {}, func() time.Duration { return v.Within(load.DefaultTimeout) }
	}
	end := v.Now() + v.Within(d)
	ctx, cancel := context.WithTimeout(v.Context(), end-v.Now())
	return ctx, cancel, func() time.Duration { return v.Within(end - v.Now()) }
}

// wait stays in the line until the page looks again, or leaves it.
func (c *customer) wait(p *sheet) (sheet, *load.Verdict) {
	now := c.v.Now()
	if c.lined == 0 {
		c.lined = max(now, 1)
	}
	leaves := func(why string) (sheet, *load.Verdict) {
		c.outOfLine(load.Abandoned)
		return sheet{}, &load.Verdict{Outcome: load.Abandoned, Reason: why}
	}
	switch stays := c.job.Habits.Queues; {
	case p.late:
		return leaves("the turn would have come too late")
	case p.follows == "":
		return sheet{}, verdict(failed("a page of the line that does not look again"))
	case stays > 0 && now+p.wait-c.lined > stays:
		return leaves("the line took too long")
	}
	if !c.v.Think(p.wait) { // counted apart
		c.outOfLine(load.Abandoned)
		return sheet{}, verdict(c.v.Ended())
	}
	next, bad := c.navigate(toWait, p.follows)
	if bad == nil && !next.waits() {
		c.outOfLine(load.Completed)
	}
	return next, bad
}

// outOfLine counts the whole wait in the line. It is no part of a request's time.
func (c *customer) outOfLine(o load.Outcome) {
	c.v.Span(c.index[toLine], o, c.v.Now()-c.lined)
	c.lined = 0
}

// again reports whether what was refused is tried once more, after the wait that the customer's habits and the page ask for.
func (c *customer) again(asked time.Duration) (again bool, bad *load.Verdict) {
	h := &c.job.Habits
	if c.turned++; max(c.turned, int(c.tried[c.last])) >= h.tries() {
		return false, nil
	}
	wait := h.RetryAfter
	if h.Heeds {
		wait = max(wait, asked)
	}
	if !c.pause(wait) {
		return false, verdict(c.v.Ended())
	}
	return true, nil
}

func (c *customer) signIn(p *sheet) (sheet, *load.Verdict) {
	switch {
	case c.job.Kind == Confirm: // who was signed in for the run is not any more
		return sheet{}, verdict(failed(strings.TrimSpace("led to / " + p.why)))
	case p.why == "sign-in-busy":
		if again, bad := c.again(p.wait); !again {
			if bad == nil {
				bad = &load.Verdict{Outcome: load.Refused, Reason: p.why}
			}
			return sheet{}, bad
		}
	case p.why != "" && p.why != "session" || int(c.tried[toSignIn]) >= c.job.Habits.tries():
		return sheet{}, verdict(failed(strings.TrimSpace("led to / " + p.why)))
	case !c.think(c.job.Habits.Think.SignIn):
		return sheet{}, verdict(c.v.Ended())
	}
	return c.navigate(toSignIn, p.action, "username", c.who.Username, "password", c.who.Password)
}

func (c *customer) choose(p *sheet) (sheet, *load.Verdict) {
	switch {
	case p.csrf == "" || p.account == "":
		return sheet{}, verdict(failed("a confirm page without its form"))
	case int(c.tried[toChoose]) >= c.job.Habits.tries():
		return sheet{}, verdict(failed(strings.TrimSpace("led to /confirm " + p.why)))
	case !c.think(c.job.Habits.Think.Confirm):
		return sheet{}, verdict(c.v.Ended())
	}
	return c.navigate(toChoose, p.action, "csrf", p.csrf, "account", p.account)
}

func (c *customer) think(mean time.Duration) bool {
	return c.v.Think(c.v.Lognormal(mean, thinkVariation))
}

// confirm sends the code: the one request that moves money.
func (c *customer) confirm(p *sheet) (sheet, *load.Verdict) {
	if p.csrf == "" {
		return sheet{}, verdict(failed("a code page without its form"))
	}
	if int(c.tried[toSend]) >= c.job.Habits.tries() {
		if c.counter > 0 && !c.unsure {
			c.tell(audit.Refused) // he is asked for a code again, and every one that he sent was answered
		}
		return sheet{}, verdict(failed(strings.TrimSpace("led to /code " + p.why)))
	}
	if p.why == "code-used" {
		c.least = c.counter + 1
	}
	if c.sending < 0 {
		if !c.think(c.job.Habits.Think.Code) {
			return sheet{}, verdict(c.v.Ended())
		}
		c.sending = c.v.Now() - c.v.Since()
	}
	return c.send(p.action, p.csrf)
}

// send types the code that the telephone shows. One that is known to be spent is not typed again: the next is waited for.
func (c *customer) send(action, csrf string) (sheet, *load.Verdict) {
	now := time.Now()
	c.counter = counterOf(now)
	if c.counter < c.least {
		c.counter = c.least
		shown := time.Unix(c.least*int64(codeStep/time.Second), 0)
		if !c.pause(shown.Sub(now)) {
			return sheet{}, verdict(c.v.Ended())
		}
	}
	return c.navigate(toSend, action, "csrf", csrf, "code", codeOf(c.who.Seed, c.counter))
}

// judge says what a page that only tells means for the visit; nil: the customer goes on from it.
func (c *customer) judge(p *sheet) *load.Verdict {
	if p.turnedAway() {
		again, bad := c.again(p.wait)
		if bad != nil || again && p.again != "" {
			return bad
		}
		if p.known == uncharged {
			c.tell(audit.Refused)
		}
		return &load.Verdict{Outcome: load.Refused, Reason: strings.TrimSpace("busy " + p.why)}
	}
	if p.status != 200 {
		return verdict(failed(strings.TrimSpace(fmt.Sprintf("status %d of /%s %s", p.status, p.step, p.why))))
	}
	switch p.known {
	case settled:
		c.tell("ACSC")
		return &load.Verdict{}
	case rejected:
		c.tell("RJCT")
		return verdict(failed(ReasonRejected))
	case expired:
		c.tell("RJCT")
		return verdict(failed("expired"))
	case cancelled:
		c.tell("CANC")
		return verdict(failed("cancelled"))
	case unknown:
		if leads := p.follows != "" || p.again != "" && int(c.tried[toSend]) < c.job.Habits.tries(); leads && !c.watched(p.wait) {
			return nil
		}
		return &load.Verdict{Outcome: load.InDoubt, Reason: "not known yet"}
	}
	return verdict(failed("a page that says nothing of the payment: /" + p.step))
}

// watched reports whether the customer will have left before the page looks again.
func (c *customer) watched(next time.Duration) bool {
	watch := c.job.Habits.Watch
	if watch == 0 {
		watch = c.job.SLO
	}
	if watch == 0 {
		watch = load.DefaultTimeout
	}
	return c.v.Now()+next > max(c.sending, 0)+watch
}

// goOn follows a page that tells to where it leads: by itself when it does, else by its main link.
func (c *customer) goOn(p *sheet) (sheet, *load.Verdict) {
	if p.follows == "" {
		name, _ := stepOf(p.again)
		return c.navigate(stepTo(name), p.again)
	}
	if !c.pause(p.wait) {
		return sheet{}, verdict(c.v.Ended())
	}
	name, _ := stepOf(p.follows)
	return c.navigate(stepTo(name), p.follows)
}

// tell keeps what the customer was told of his payment.
func (c *customer) tell(status string) {
	c.word = status
	c.words.add(c.v.N, audit.Told{Payment: c.order.ID, Source: audit.ByPage, Status: status})
}

// leave ends the visit: what the customer knows at last is kept for the audit.
func (c *customer) leave(v load.Verdict) load.Verdict {
	now := c.v.Now()
	if c.line != nil {
		c.line.Close()
		c.customers.Give(c.line)
	}
	switch {
	case c.order.ID == "": // there was nothing to confirm
	case c.sending < 0:
		if c.word == "" {
			c.tell(audit.Refused) // he knows best that he confirmed nothing
		}
	default:
		word := now - c.sending
		c.v.Span(c.index[toWord], v.Outcome, word)
		v.Late = c.job.SLO > 0 && word > c.job.SLO
		if c.job.Trace {
			c.confirmations.add(c.v.N, Confirmation{Payment: c.order.ID, Sent: c.Start.Add(c.sending), Took: word, Word: c.word, Why: v.Reason})
		}
		if c.word == "" {
			c.tell("PDNG")
			c.unsettled.add(c.v.N, c.order.ID)
		}
	}
	v.Latency = max(now-c.v.Intended-c.v.Thought()+c.paused, 1)
	return v
}
