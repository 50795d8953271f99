package people

import (
	"bufio"
	"context"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"netbank/bench/demo"
	"netbank/bench/load"
	"netbank/bench/load/loadtest"
)

const shopBack = "http://shop.example/return?state=a%26b"

// order of the scripted bank.
type scripted struct {
	n          int // the how manieth
	id, s, key string
	state      string // "", settled, rejected, processing, doubt
	looked     int    // times its result was looked at
}

// bank speaks the pages and the partner API of a bank, as far as its clients need them, and holds the clients to what a browser can do: no
// address that it has not handed out is asked for, forms bear the token of their session, and a code is used once.
type bank struct {
	t    *testing.T
	lock sync.Mutex
	// script says what happens to a request before the bank acts on it, by its name, such as "POST code" or "POST create", and by how often that
	// name came for the payment; nil: it is answered.
	script   func(name string, o *scripted, times int) *event
	orders   map[string]*scripted // by key, and by id
	sessions map[string]string    // cookie to user
	spent    map[string]int64     // by user
	given    map[string]bool      // addresses handed out
	times    map[string]int       // by name and payment
	creates  []string             // whole requests
	statuses []string
	signIns  []string // user and payment
	users    map[string]bool
	first    int // number of the first payment
	forgets  bool
	serving  sync.WaitGroup
	came     int // connections of customers
}

// event is what a script makes of a request.
type event struct {
	before time.Duration // until the bank acts
	after  time.Duration // until it answers
	answer string        // in place of acting
	state  string        // what a code makes of the payment, in place of settled
	waits  bool          // there is a line, and he is in it
	late   bool          // his turn would come too late
}

func newBank(t *testing.T) *bank {
	return &bank{
		t: t, orders: map[string]*scripted{}, sessions: map[string]string{}, spent: map[string]int64{}, given: map[string]bool{},
		times: map[string]int{}, users: map[string]bool{},
	}
}

func (b *bank) doors() *Doors {
	dialer := load.Dialer{Dial: func(context.Context) (net.Conn, error) {
		client, server := net.Pipe()
		b.serving.Go(func() { b.serve(server) })
		return client, nil
	}}
	customers := load.Dialer{Dial: func(ctx context.Context) (net.Conn, error) {
		b.lock.Lock()
		b.came++
		b.lock.Unlock()
		return dialer.Dial(ctx)
	}}
	return &Doors{Customer: customers, Partner: dialer, CustomerHost: "bank.example", PartnerHost: "api.bank.example", Redirect: "http://shop.example/return"}
}

func demoOf(customers int) *demo.Demo {
	d := &demo.Demo{}
	for i := range customers {
		seed := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(fmt.Appendf(nil, "seed of customer %03d", i))
		d.Customers = append(d.Customers, demo.Identity{Username: fmt.Sprintf("user%d", i), Password: "lotus&river=42 ü", TOTP: seed})
	}
	return d
}

func (b *bank) serve(c net.Conn) {
	defer c.Close()
	for in := bufio.NewReader(c); ; {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(r.Body)
		if _, err := io.WriteString(c, b.answer(r, string(body))); err != nil {
			return
		}
	}
}

func (b *bank) answer(r *http.Request, body string) string {
	name, o := b.name(r)
	b.lock.Lock()
	id := ""
	if o != nil {
		id = o.id
	}
	b.times[name+id]++
	times := b.times[name+id]
	var e event
	if b.script != nil {
		if scripted := b.script(name, o, times); scripted != nil {
			e = *scripted
		}
	}
	b.lock.Unlock()
	time.Sleep(e.before)
	answer := e.answer
	if answer == "" {
		b.lock.Lock()
		answer = b.act(r, name, o, body, &e)
		b.lock.Unlock()
	}
	time.Sleep(e.after)
	return answer
}

func (b *bank) name(r *http.Request) (string, *scripted) {
	if strings.HasPrefix(r.URL.Path, payments) {
		id := strings.TrimPrefix(strings.TrimSuffix(r.URL.Path, "/status"), payments)
		b.lock.Lock()
		defer b.lock.Unlock()
		return r.Method + map[bool]string{true: " create", false: " status"}[id == ""], b.orders[strings.TrimPrefix(id, "/")]
	}
	parts := strings.Split(r.URL.Path, "/")
	if len(parts) < 3 || parts[1] != "pay" {
		return r.Method + " " + r.URL.Path, nil
	}
	b.lock.Lock()
	defer b.lock.Unlock()
	return strings.TrimSpace(r.Method + " " + strings.Join(parts[3:], "/")), b.orders[parts[2]]
}

// act is the bank without a script.
func (b *bank) act(r *http.Request, name string, o *scripted, body string, e *event) string {
	switch name {
	case "POST create":
		return b.create(r, body)
	case "GET status":
		b.statuses = append(b.statuses, r.URL.Path+" "+r.Header.Get("X-Request-ID"))
		return loadtest.Reply(200, "", `{"transactionStatus":"RCVD","version":1}`)
	}
	if o == nil || r.Host != "bank.example" || !b.given[r.URL.RequestURI()] {
		b.t.Errorf("%s %s was asked for, which no page and no answer named", r.Method, r.URL.RequestURI())
		return loadtest.Reply(404, "", "")
	}
	form, err := url.ParseQuery(body)
	if err != nil {
		b.t.Errorf("%q is no form: %v", body, err)
	}
	cookie, _ := r.Cookie("netbank")
	user := ""
	if cookie != nil {
		user = b.sessions[cookie.Value]
	}
	if o.state != "" && name != "GET result" {
		return b.lead(o, "result", "")
	}
	if e.waits {
		if name == "GET wait" {
			again := html.UnescapeString(b.hand(o, "wait", ""))
			return b.page(200, "Set-Cookie: netbank-pass=ticket-"+o.id+"; Path=/pay/"+o.id+"\r\nRefresh: 5; url="+again+"\r\n", `<div class="state `+map[bool]string{false: "wait", true: "bad"}[e.late]+`"></div>`+b.back(o, "not-completed"))
		}
		return b.lead(o, "wait", "")
	}
	if name == "GET wait" {
		if k, err := r.Cookie("netbank-pass"); err != nil || k.Value != "ticket-"+o.id {
			b.t.Errorf("whoever waited shows %v in the place of his ticket", k)
		}
		return b.lead(o, "", "")
	}
	switch {
	case name == "GET":
		if user != "" {
			return b.lead(o, "confirm", "")
		}
		return b.page(200, "", b.form(o, "sign-in", `<input name="username" autocomplete="username"><input type="password" name="password" autocomplete="current-password">`))
	case name == "POST sign-in":
		return b.signIn(o, form)
	case name == "GET busy":
		return b.page(503, "Retry-After: 7\r\n", `<a class="go" href="`+b.hand(o, r.URL.Query().Get("back"), "c=consent-"+o.s)+`">try again</a>`+b.back(o, "not-completed"))
	case name == "GET result":
		return b.result(o)
	case user == "":
		return b.lead(o, "", "session")
	}
	return b.signed(name, o, user, form, e)
}

// signed answers who is signed in.
func (b *bank) signed(name string, o *scripted, user string, form url.Values, e *event) string {
	token := "t" + user
	if strings.HasPrefix(name, "POST ") && form.Get("csrf") != token {
		b.t.Errorf("%s: %q is not the token of %s", name, form.Get("csrf"), user)
		return loadtest.Reply(403, "", "")
	}
	hidden := `<input type="hidden" name="csrf" value="` + token + `">`
	switch name {
	case "GET confirm":
		return b.page(200, "", b.form(o, "cancel", hidden)+b.form(o, "confirm", hidden+
			`<label class="account"><input type="radio" name="account" value="0-aa" required></label><input type="radio" name="account" value="1-bb">`))
	case "POST confirm":
		if form.Get("account") != "0-aa" {
			return b.lead(o, "confirm", "account")
		}
		return loadtest.Reply(303, "Location: "+html.UnescapeString(b.hand(o, "code", "c=consent-"+o.s))+"\r\n", "")
	case "GET code":
		return b.page(200, "", b.form(o, "code", hidden+`<input name="code" autocomplete="one-time-code">`)+b.back(o, "not-completed"))
	case "POST code":
		return b.code(o, user, form.Get("code"), e)
	}
	b.t.Errorf("%s is nothing a page leads to", name)
	return loadtest.Reply(404, "", "")
}

func (b *bank) code(o *scripted, user, code string, e *event) string {
	seed := fmt.Appendf(nil, "seed of customer %03s", strings.TrimPrefix(user, "user"))
	now := counterOf(time.Now())
	// It may have been on the way for a while.
	for late := 0; late < 2 && code != codeOf(seed, now); late++ {
		now--
	}
	if code != codeOf(seed, now) {
		b.t.Errorf("%s typed %s, the telephone shows another", user, code)
	}
	if b.spent[user] >= now {
		return loadtest.Reply(303, "Location: "+html.UnescapeString(b.hand(o, "code", "c=consent-"+o.s+"&why=code-used"))+"\r\n", "")
	}
	b.spent[user] = now
	o.state = "settled"
	if e.state != "" {
		o.state = e.state
	}
	return b.lead(o, "result", "")
}

func (b *bank) signIn(o *scripted, form url.Values) string {
	if form.Get("password") != "lotus&river=42 ü" {
		return b.lead(o, "", "wrong")
	}
	user := form.Get("username")
	maps.DeleteFunc(b.sessions, func(_, of string) bool { return of == user })
	cookie := fmt.Sprintf("c%d-%s", len(b.times), user)
	b.sessions[cookie], b.users[user] = user, true
	b.signIns = append(b.signIns, user+" for "+o.key)
	return strings.Replace(b.lead(o, "confirm", ""), "Location", "Set-Cookie: netbank="+cookie+"; Path=/; HttpOnly\r\nLocation", 1)
}

func (b *bank) result(o *scripted) string {
	o.looked++
	again := b.hand(o, "result", "")
	waits := func(seconds int) string {
		return b.page(200, fmt.Sprintf("Refresh: %d; url=%s\r\n", seconds, html.UnescapeString(again)), `<a class="go" href="`+again+`">look again</a>`+b.back(o, "pending"))
	}
	state := o.state
	if rest, ok := strings.CutPrefix(state, "twice "); ok && o.looked > 2 {
		state = rest
	}
	switch {
	case strings.HasPrefix(state, "twice "), state == "processing":
		return waits(2)
	case state == "doubt":
		return waits(5)
	case state == "settled":
		return b.page(200, "Refresh: 6; url=http://shop.example/return\r\n", `<div class="state good"></div>`+b.back(o, ""))
	}
	return b.page(200, "", b.back(o, state))
}

func (b *bank) create(r *http.Request, body string) string {
	key := r.Header.Get("Idempotency-Key")
	var in struct {
		EndToEnd string `json:"endToEndIdentification"`
	}
	if err := json.Unmarshal([]byte(body), &in); err != nil || key == "" || r.Header.Get("TPP-Redirect-URI") == "" {
		b.t.Errorf("a create with key %q: %v", key, err)
	}
	o := b.orders[key]
	if o == nil {
		// A bank knows a payment again by its key, and gives it another number when it does not.
		n, _ := strconv.Atoi(key[strings.LastIndexByte(key, '-')+1:])
		if n -= b.first; b.forgets {
			n = len(b.creates)
		}
		o = &scripted{n: n, key: key, id: fmt.Sprintf("0197a9a4-5b7f-7000-8000-%012d", n), s: fmt.Sprintf("m+%d=", n)}
		b.orders[key], b.orders[o.id] = o, o
	}
	b.creates = append(b.creates, fmt.Sprint(r.Method, r.URL, key, r.Header.Get("X-Request-ID"), body))
	link := html.UnescapeString(b.hand(o, "", ""))
	return loadtest.Reply(201, "", `{"paymentId":"`+o.id+`","transactionStatus":"RCVD","version":1,"_links":{"scaRedirect":{"href":"http://bank.example`+strings.ReplaceAll(link, "&", `\u0026`)+`"}}}`)
}

// hand gives an address of a payment as a page's attribute bears it, and notes that it was handed out.
func (b *bank) hand(o *scripted, step, more string) string {
	address := "/pay/" + o.id
	if step != "" {
		address += "/" + step
	}
	address += "?s=" + url.QueryEscape(o.s)
	if more != "" {
		address += "&" + more
	}
	b.given[address] = true
	return strings.ReplaceAll(html.EscapeString(address), "+", "&#43;")
}

func (b *bank) lead(o *scripted, step, why string) string {
	more := ""
	if why != "" {
		more = "why=" + why
	}
	return loadtest.Reply(303, "Location: "+html.UnescapeString(b.hand(o, step, more))+"\r\n", "")
}

// busy leads to the page that says so, which leads back to a step.
func (b *bank) busy(o *scripted, back string) string {
	return loadtest.Reply(303, "Location: "+html.UnescapeString(b.hand(o, "busy", "reason=queue-full&back="+back))+"\r\n", "")
}

func (b *bank) form(o *scripted, step, fields string) string {
	more := ""
	if step == "code" {
		more = "c=consent-" + o.s
	}
	return `<form method="post" action="` + b.hand(o, step, more) + `" class="stack">` + fields + `<button>go</button></form>`
}

func (b *bank) back(o *scripted, failure string) string {
	way := shopBack + "&paymentId=" + o.id
	if failure != "" {
		way += "&error=" + failure
	}
	return `<p class="back"><a href="` + html.EscapeString(way) + `">back</a></p>`
}

func (b *bank) page(status int, header, main string) string {
	return loadtest.Reply(status, header, `<!DOCTYPE html><a class="skip" href="#main">skip</a><a href="/pay/x?lang=en">English</a><main>`+main+`</main>`)
}

// told gives what was told, by payment.
func told(o *Outcome) map[string][]string {
	all := map[string][]string{}
	for _, t := range o.Told {
		all[t.Payment] = append(all[t.Payment], t.Status)
	}
	return all
}

func sorted(all []string) []string {
	all = slices.Clone(all)
	slices.Sort(all)
	return all
}
