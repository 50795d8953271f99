package customer

import (
	"bytes"
	"encoding/base32"
	"html"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/pquerna/otp/totp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/kek"
	"netbank/frontend/edge"
	"netbank/session"
)

const (
	anna     = 7
	bert     = 8
	password = "correct horse battery"
	account  = "6222020000001234"
	second   = "6222020000005678"
	backURI  = "https://shop.example/back?state=s%201"
	nokURI   = "https://shop.example/sorry"
)

var seed = []byte("12345678901234567890") // that of RFC 6238's examples

// bank is one node without Raft: a real journal behind a lock, and a core that does as the test says. Its clock can be put forward.
type bank struct {
	mu       sync.RWMutex
	machine  *journal.Machine
	kek      *kek.Key
	skip     time.Duration
	before   func(cmd *journal.Command) error                              // may fail what is submitted
	core     func(journal.PaymentID)                                       // what becomes of a granted payment; nil: it is settled
	answers  func(cluster.Confirmation) (cluster.Confirmed, error, bool)   // may answer in the gate's place
	blind    error                                                         // of every lookup of a payment
	lies     func(journal.Payment) journal.Payment                         // what Payment shows instead
	news     func(above uint32)                                            // what Await waits for comes
	balance  func(account string) (journal.Money, *cluster.Refusal, error) // nil: a thousand
	refuse   func(gate.Class)                                              // called when a refusal is asked for
	refusals [gate.Classes]cluster.Refusal
	confirms []cluster.Confirmation

	leaderless bool // nobody can say what another node does
	behind     bool // lies is what this node's copy shows until it has caught up
	confirming bool
	pace       gate.Pace // of the waiting line
	flows      atomic.Int64
}

func newBank(t testing.TB) *bank {
	t.Helper()
	key, err := kek.New(slices.Repeat([]byte{9}, kek.Size))
	if err != nil {
		t.Fatal(err)
	}
	b := &bank{machine: journal.New(journal.NewMemoryStore(), journal.DefaultLimits()), kek: key}
	b.must(t, &journal.Command{Body: &command.Command_PutKey{PutKey: &command.PutKey{
		Id: 1, Sealed: key.Seal(session.RootKeyPurpose, slices.Repeat([]byte{1, 2, 3, 4}, session.RootKeySize/4)),
	}}})
	b.must(t, &journal.Command{Body: &command.Command_PutPartner{PutPartner: &command.PutPartner{
		Id: 1, Name: "Shop", Fingerprints: [][]byte{make([]byte, 32)}, RedirectUris: []string{"https://shop.example/"}, CreatesPerSecond: 1e6, PollsPerSecond: 1e6,
	}}})
	b.put(t, anna, "anna", account, second)
	b.put(t, bert, "bert", "6222020000009999")
	return b
}

func (b *bank) put(t testing.TB, id journal.CustomerID, username string, accounts ...string) {
	t.Helper()
	phc, err := session.HashPassword(password, session.Cheap)
	if err != nil {
		t.Fatal(err)
	}
	c := &command.PutCustomer{
		Id: uint64(id), Username: username, Name: strings.ToUpper(username), ReservedMessage: "blue heron", Tier: 2, Locale: "en",
		PasswordSealed: b.kek.Seal(session.PasswordPurpose(id), []byte(phc)), TotpSealed: b.kek.Seal(session.TOTPPurpose(id), seed),
	}
	for _, number := range accounts {
		c.Accounts = append(c.Accounts, &command.Account{Number: number, Currency: "CNY", Label: "Everyday"})
	}
	b.must(t, &journal.Command{Body: &command.Command_PutCustomer{PutCustomer: c}})
}

func (b *bank) must(t testing.TB, cmd *journal.Command) journal.Result {
	t.Helper()
	res, err := b.apply(cmd)
	if err != nil || res.Verdict != journal.Done {
		t.Fatalf("%T: %v %v", cmd.Body, res.Verdict, err)
	}
	return res
}

func (b *bank) apply(cmd *journal.Command) (journal.Result, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(cmd.Id) == 0 {
		id := uuid.New()
		cmd.Id = id[:]
	}
	results, _, err := b.machine.Apply(1, &journal.Batch{Version: journal.Version, Term: 1, StampMs: int64(b.now()), Commands: []*journal.Command{cmd}}, nil, nil)
	if err != nil {
		return journal.Result{}, err
	}
	return results[0], nil
}

func (b *bank) Submit(cmd *journal.Command, _ time.Time) (journal.Result, error) {
	if b.before != nil {
		if err := b.before(cmd); err != nil {
			return journal.Result{}, err
		}
	}
	return b.apply(cmd)
}

// Confirm is what a node does with a free seat: authorise, send, settle.
func (b *bank) Confirm(x cluster.Confirmation) (cluster.Confirmed, error) {
	b.mu.Lock()
	b.confirms = append(b.confirms, x)
	b.mu.Unlock()
	if b.answers != nil {
		if done, err, over := b.answers(x); over {
			return done, err
		}
	}
	res, err := b.authorise(x)
	if err != nil {
		return cluster.Confirmed{}, err
	}
	if res.Verdict == journal.Done {
		if b.core != nil {
			b.core(x.Payment)
		} else {
			b.settle(x.Payment, command.Outcome_OUTCOME_APPROVED, "00")
		}
	}
	p, _, _ := b.Payment(x.Payment)
	return cluster.Confirmed{Verdict: res.Verdict, Payment: p, Access: res.Access}, nil
}

func (b *bank) authorise(x cluster.Confirmation) (journal.Result, error) {
	return b.apply(&journal.Command{Body: &command.Command_Authorise{Authorise: &command.Authorise{
		PaymentId: x.Payment[:], Node: 1, Incarnation: 1, Customer: uint64(x.Customer), SessionEpoch: uint64(x.SessionEpoch), SessionExpiresMs: int64(x.SessionExpires),
		AmountMinor: x.Amount.Minor, Currency: x.Amount.Currency, CreditorAccount: x.CreditorAccount, CreditorName: x.CreditorName, DebtorAccount: x.DebtorAccount,
		Factor: x.Proof.Factor, FactorStep: x.Proof.Step, Credential: x.Proof.Credential, SignCount: x.Proof.SignCount, KnownDevice: x.KnownDevice,
	}}})
}

func (b *bank) settle(id journal.PaymentID, outcome command.Outcome, code string) {
	s := &command.Settle{PaymentId: id[:], Outcome: outcome, Source: command.Source_SOURCE_EXECUTOR, ResponseCode: code}
	if outcome == command.Outcome_OUTCOME_APPROVED {
		s.ApprovalCode = "A1B2C3"
	}
	if _, err := b.apply(&journal.Command{Body: &command.Command_Settle{Settle: s}}); err != nil {
		panic(err)
	}
}

func (b *bank) expire(t testing.TB, id journal.PaymentID) {
	t.Helper()
	b.must(t, &journal.Command{Body: &command.Command_Expire{Expire: &command.Expire{PaymentIds: [][]byte{id[:]}}}})
}

func (b *bank) Balance(_ gate.Class, account, currency string, _ time.Duration) (journal.Money, *cluster.Refusal, error) {
	if b.balance != nil {
		return b.balance(account)
	}
	return journal.Money{Minor: 100_000, Currency: currency}, nil, nil
}

func (b *bank) Payment(id journal.PaymentID) (journal.Payment, bool, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	p, ok := b.machine.Payment(id)
	if ok && b.lies != nil {
		p = b.lies(p)
	}
	return p, ok && b.blind != cluster.ErrUnavailable, b.blind
}

func (b *bank) PaymentsOf(customer journal.CustomerID, before journal.PaymentID) ([]journal.Payment, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.blind == cluster.ErrUnavailable {
		return nil, b.blind
	}
	return b.machine.PaymentsOf(nil, customer, before, cluster.HistoryMax), b.blind
}

// Await never waits: a test says what comes in between.
func (b *bank) Await(id journal.PaymentID, above uint32, _ time.Time) (journal.Payment, bool, error) {
	if b.news != nil {
		b.news(above)
	}
	return b.Payment(id)
}

func (b *bank) Confirming(journal.PaymentID) bool { return b.confirming }

// Unconfirmed is as the cluster has it: a leader must know, and no attempt at a code may be open.
func (b *bank) Unconfirmed(id journal.PaymentID, customer journal.CustomerID) bool {
	if b.behind && !b.leaderless {
		b.behind, b.lies = false, nil
	}
	a, _, _ := b.Access(customer)
	p, ok, err := b.Payment(id)
	return !b.leaderless && a.Lanes[journal.LaneOneTimeCode].Failures == 0 && ok && err == nil && p.State == journal.StateReceived
}

func (b *bank) Refused(c gate.Class) (cluster.Refusal, bool) {
	if b.refuse != nil {
		b.refuse(c)
	}
	return b.refusals[c], b.refusals[c].Reason != gate.Admitted
}

func (b *bank) Customer(username string) (journal.Customer, bool, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	found, ok := b.machine.Customer(username)
	return found, ok, nil
}

func (b *bank) CustomerByID(id journal.CustomerID) (journal.Customer, bool, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	found, ok := b.machine.CustomerByID(id)
	return found, ok, nil
}

func (b *bank) Access(id journal.CustomerID) (journal.Access, bool, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	found, ok := b.machine.Access(id)
	return found, ok, nil
}

func (b *bank) Keys() []journal.Key {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.machine.Keys()
}

func (b *bank) Now() journal.Millis {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.now()
}

func (b *bank) now() journal.Millis { return journal.Millis(time.Now().Add(b.skip).UnixMilli()) }

// pass puts the clock forward.
func (b *bank) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.skip += d
}

// known is a list of one password that others know.
type known [1]string

func (k known) Listed(password string) (bool, error) { return password == k[0], nil }

// house is the pages over a bank.
type house struct {
	t        testing.TB
	bank     *bank
	pages    *Pages
	sessions *session.Store
	handler  fasthttp.RequestHandler
	logs     *bytes.Buffer
}

func newHouse(t testing.TB) *house { return newHouseAt(t, "https://pay.bank.example") }

func newHouseAt(t testing.TB, public string) *house {
	t.Helper()
	return newHouseOver(t, newBank(t), public)
}

// newHouseOver makes another node over the same journal.
func newHouseOver(t testing.TB, b *bank, public string) *house {
	t.Helper()
	h := &house{t: t, bank: b, logs: &bytes.Buffer{}}
	registry := prometheus.NewRegistry()
	var err error
	h.sessions, err = session.New(session.Config{
		Directory: h.bank, Opener: h.bank.kek, Sealer: h.bank.kek, Breached: []session.Breached{known{"trustno1"}}, Listed: []session.Breached{known{"trustno1"}}, Bank: "Example Bank", Params: session.Cheap, AllowCheapHash: true, Registerer: registry, Limits: session.Limits{HashWorkers: 2, HashQueue: 8, CacheEntries: 100},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.sessions.Close)
	h.pages, err = New(Config{
		Bank: h.bank, Sessions: h.sessions, BankName: "Example Bank", PublicURL: public, Registerer: registry, Logger: slog.New(slog.NewJSONHandler(h.logs, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	// A test asks for more pages in a moment than a person: the pace is one test's matter.
	h.pages.links, h.pages.customers = edge.NewRates(1, 1e9, 1), edge.NewRates(1, 1e9, 1)
	if h.handler, err = h.pages.Handler(); err != nil {
		t.Fatal(err)
	}
	return h
}

// pay creates a payment of CNY 128.00 and gives its id and link.
func (h *house) pay(change ...func(*command.CreatePayment)) (journal.PaymentID, string) {
	h.t.Helper()
	id := journal.PaymentID(uuid.Must(uuid.NewV7()))
	c := &command.CreatePayment{
		PaymentId: id[:], Partner: 1, IdempotencyKey: id[:], RequestHash: id[:], AmountMinor: 12800, Currency: "CNY", CreditorAccount: "DE89370400440532013000",
		CreditorName: "Shop 店", EndToEndId: "order-1", Remittance: "reading lamp", RedirectUri: backURI, NokRedirectUri: nokURI,
		ExpiresMs: int64(h.bank.Now()) + (15 * time.Minute).Milliseconds(),
	}
	for _, f := range change {
		f(c)
	}
	h.bank.must(h.t, &journal.Command{Body: &command.Command_CreatePayment{CreatePayment: c}})
	return id, "/pay/" + id.String() + "?s=" + h.sessions.LinkMAC(id)
}

func (h *house) state(id journal.PaymentID) journal.State {
	p, _, _ := h.bank.Payment(id)
	return p.State
}

// code gives the one-time code that the customer's authenticator shows, so many steps from now.
func (h *house) code(steps int) string {
	h.t.Helper()
	at := time.UnixMilli(int64(h.bank.Now())).Add(time.Duration(steps) * session.CodeStep)
	code, err := totp.GenerateCode(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(seed), at)
	if err != nil {
		h.t.Fatal(err)
	}
	return code
}

func (h *house) wrongCode() string {
	for _, code := range []string{"000000", "111111", "222222", "333333"} {
		if code != h.code(-1) && code != h.code(0) && code != h.code(1) {
			return code
		}
	}
	panic("three codes cannot be four")
}

// visitor is a browser: it keeps cookies, sends what a browser sends with a form, and follows redirects when told to.
type visitor struct {
	h       *house
	cookies map[string]string
	header  map[string]string
}

func (h *house) visitor() *visitor {
	return &visitor{h: h, cookies: map[string]string{}, header: map[string]string{}}
}

// page is an answer.
type page struct {
	status   int
	address  string // that was asked for
	location string
	body     string
	header   *fasthttp.ResponseHeader
}

func (v *visitor) send(method, address string, form url.Values) page {
	v.h.t.Helper()
	var ctx fasthttp.RequestCtx
	ctx.Init(&fasthttp.Request{}, nil, nil)
	r := &ctx.Request
	r.Header.SetMethod(method)
	r.SetRequestURI(address)
	r.Header.SetHost("pay.bank.example")
	for name, value := range v.cookies {
		r.Header.SetCookie(name, value)
	}
	if method == "POST" {
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.SetContentType("application/x-www-form-urlencoded")
		r.SetBodyString(form.Encode())
	}
	for name, value := range v.header {
		if r.Header.Set(name, value); value == "" {
			r.Header.Del(name)
		}
	}
	v.h.handler(&ctx)
	p := page{status: ctx.Response.StatusCode(), address: address, location: string(ctx.Response.Header.Peek("Location")), body: string(ctx.Response.Body()), header: &ctx.Response.Header}
	for key, value := range ctx.Response.Header.Cookies() {
		k := fasthttp.AcquireCookie()
		if err := k.ParseBytes(value); err != nil {
			v.h.t.Fatal(err)
		}
		if k.MaxAge() < 0 || len(k.Value()) == 0 {
			delete(v.cookies, string(key))
		} else {
			v.cookies[string(key)] = string(k.Value())
		}
		fasthttp.ReleaseCookie(k)
	}
	v.check(p)
	return p
}

// scriptTag is the one script that a page may have.
var scriptTag = regexp.MustCompile(`<script nonce="([A-Za-z0-9_-]{22})" src="/static/passkey\.[0-9a-f]+\.js"></script>`)

var (
	rawKey = regexp.MustCompile(`>\s*[a-z]+(-[a-z]+)+\s*<`)
	tags   = regexp.MustCompile(`(?s)<[^>]*>`)
)

// headers are those of the OWASP Secure Headers Project, on every answer. Not among them: Clear-Site-Data, since pages are not stored, and
// the cookie of a known device must outlive a session.
var headers = map[string]string{
	"Content-Security-Policy":           "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
	"Strict-Transport-Security":         "max-age=31536000; includeSubDomains",
	"X-Content-Type-Options":            "nosniff",
	"X-Frame-Options":                   "DENY",
	"Referrer-Policy":                   "same-origin",
	"Cross-Origin-Opener-Policy":        "same-origin",
	"Cross-Origin-Resource-Policy":      "same-origin",
	"Permissions-Policy":                "camera=(), display-capture=(), geolocation=(), hid=(), microphone=(), midi=(), payment=(), serial=(), usb=()",
	"X-Permitted-Cross-Domain-Policies": "none",
	"X-DNS-Prefetch-Control":            "off",
	"Cache-Control":                     "no-store",
	// What tells an attacker what runs here, or weakens the above.
	"Server": "", "X-Powered-By": "", "Access-Control-Allow-Origin": "", "X-XSS-Protection": "", "Date": "",
}

// wayOn finds what leads on from a page: a link or a form in its main part. Languages and signing out do not count.
var wayOn = regexp.MustCompile(`(?s)<main.*(<a href="[^"#]|<a class="[a-z]+" href="[^"#]|<form ).*</main>`)

// check holds every answer to what is true of all of them.
func (v *visitor) check(p page) {
	t := v.h.t
	t.Helper()
	for name, want := range headers {
		got := string(p.header.Peek(name))
		if name == "Cache-Control" && strings.HasPrefix(p.address, "/static/") && p.status == fasthttp.StatusOK {
			want = "public, max-age=31536000, immutable"
		}
		if name == "Strict-Transport-Security" && !v.h.pages.secure {
			want = ""
		}
		if m := scriptTag.FindStringSubmatch(p.body); m != nil && name == "Content-Security-Policy" {
			want += "; script-src 'nonce-" + m[1] + "'; require-trusted-types-for 'script'; trusted-types 'none'"
		}
		if got != want {
			t.Errorf("%s: %s is %q, want %q", p.address, name, got, want)
		}
	}
	for _, number := range []string{account, second, "6222020000009999"} {
		if strings.Contains(p.body+p.location+p.header.String(), number) {
			t.Errorf("%s holds an account number in full", p.address)
		}
	}
	if p.status == fasthttp.StatusSeeOther || strings.HasPrefix(p.address, "/static/") {
		return
	}
	if m := rawKey.FindString(p.body); m != "" {
		t.Errorf("%s shows the key of a sentence: %s", p.address, m)
	}
	if !strings.Contains(tags.ReplaceAllString(p.body, ""), "-") || !strings.Contains(p.body, `class="ref"`) {
		t.Errorf("%s bears no reference", p.address)
	}
	if !wayOn.MatchString(p.body) {
		t.Errorf("%s is a dead end:\n%s", p.address, p.body)
	}
	for _, m := range formPattern.FindAllStringSubmatch(p.body, -1) {
		if len(v.cookies) > 0 && strings.Contains(p.body, "<footer class=\"foot\">\n<form") && !regexp.MustCompile(`name="csrf" value="[^"]+"`).MatchString(m[2]) {
			t.Errorf("%s has a form without the session's token, for %s", p.address, m[1])
		}
	}
	// Whose shop it is, is not known where there is no payment, or none can be looked up.
	lost := p.status == fasthttp.StatusTooManyRequests || strings.Contains(p.body, v.h.pages.site.Text("en", "unseen-title")) ||
		strings.Contains(p.body, v.h.pages.site.Text("en", "not-found-title")) || strings.Contains(p.body, v.h.pages.site.Text("zh-CN", "not-found-title"))
	if strings.HasPrefix(p.address, "/pay/") && !lost && p.status != fasthttp.StatusMethodNotAllowed && !strings.Contains(p.body, `href="https://shop.example/`) {
		t.Errorf("%s has no way back to the merchant:\n%s", p.address, p.body)
	}
}

func (v *visitor) get(address string) page { v.h.t.Helper(); return v.send("GET", address, nil) }

// follow goes where redirects lead. Each leads to this site.
func (v *visitor) follow(p page) page {
	v.h.t.Helper()
	for range 6 {
		if p.status != fasthttp.StatusSeeOther {
			return p
		}
		if path, _, _ := strings.Cut(p.location, "?"); !strings.HasPrefix(path, "/pay/") && !slices.Contains([]string{"/signed-out", "/sign-in", "/session", "/payments", "/mandates", "/security", "/factors", "/factors/new", "/factors/code", "/locked", "/wait"}, path) {
			v.h.t.Fatalf("%s leads to %q", p.address, p.location)
		}
		p = v.get(p.location)
	}
	v.h.t.Fatalf("%s leads nowhere: %s", p.address, p.location)
	return p
}

func (v *visitor) open(address string) page { v.h.t.Helper(); return v.follow(v.get(address)) }

var (
	formPattern  = regexp.MustCompile(`(?s)<form method="post" action="([^"]*)"[^>]*>(.*?)</form>`)
	inputPattern = regexp.MustCompile(`<input[^>]*>`)
	attribute    = regexp.MustCompile(`(name|value|type)="([^"]*)"`)
)

// form finds the page's form for a step, with what its hidden fields and its first radio button hold.
func (p page) form(t testing.TB, step string) (action string, fields url.Values) {
	t.Helper()
	for _, m := range formPattern.FindAllStringSubmatch(p.body, -1) {
		action = html.UnescapeString(m[1])
		if path, _, _ := strings.Cut(action, "?"); !strings.HasSuffix(path, "/"+step) {
			continue
		}
		fields = url.Values{}
		for _, input := range inputPattern.FindAllString(m[2], -1) {
			got := map[string]string{}
			for _, a := range attribute.FindAllStringSubmatch(input, -1) {
				got[a[1]] = html.UnescapeString(a[2])
			}
			if got["type"] == "hidden" || got["type"] == "radio" && !fields.Has(got["name"]) {
				fields.Set(got["name"], got["value"])
			}
		}
		return action, fields
	}
	t.Fatalf("%s has no form for %s:\n%s", p.address, step, p.body)
	return "", nil
}

// submit sends the page's form for a step; with are names and values in turn. It does not follow.
func (v *visitor) submit(p page, step string, with ...string) page {
	v.h.t.Helper()
	action, fields := p.form(v.h.t, step)
	for i := 0; i < len(with); i += 2 {
		fields.Set(with[i], with[i+1])
	}
	return v.send("POST", action, fields)
}

// signIn opens a payment's link, signs in, and gives the confirm page.
func (v *visitor) signIn(link, username string) page {
	v.h.t.Helper()
	return v.follow(v.submit(v.open(link), "sign-in", "username", username, "password", password))
}

// choose goes on to the code page.
func (v *visitor) choose(confirm page) page {
	v.h.t.Helper()
	return v.follow(v.submit(confirm, "confirm"))
}

// toCode gives the code page of a payment, signed in as anna.
func (v *visitor) toCode(link string) page { v.h.t.Helper(); return v.choose(v.signIn(link, "anna")) }

// want fails unless the page has the status and each text.
func (p page) want(t testing.TB, status int, texts ...string) {
	t.Helper()
	if p.status != status {
		t.Fatalf("%s: status %d, want %d\n%s%s", p.address, p.status, status, p.location, p.body)
	}
	said := html.UnescapeString(p.body)
	for _, text := range texts {
		if !strings.Contains(said, text) {
			t.Fatalf("%s does not say %q:\n%s", p.address, text, said)
		}
	}
}

// wantNot fails if the page says any of the texts.
func (p page) wantNot(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(html.UnescapeString(p.body), text) {
			t.Fatalf("%s says %q:\n%s", p.address, text, p.body)
		}
	}
}

// says gives an English sentence.
func (h *house) says(key string, args ...any) string {
	h.t.Helper()
	text := h.pages.site.Text("en", key, args...)
	if text == key {
		h.t.Fatalf("no sentence %q", key)
	}
	return text
}

// unlock opens anna's lanes.
func unlock() *journal.Command {
	return &journal.Command{Body: &command.Command_Unlock{Unlock: &command.Unlock{Customer: anna}}}
}

// answerOf answers confirmations as a node does that has settled the payment, and does nothing.
func answerOf(b *bank, id journal.PaymentID) func(cluster.Confirmation) (cluster.Confirmed, error, bool) {
	p, _, _ := b.Payment(id)
	p.State, p.Customer = journal.StateSettled, anna
	return func(cluster.Confirmation) (cluster.Confirmed, error, bool) {
		return cluster.Confirmed{Verdict: journal.Done, Payment: p}, nil, true
	}
}

// The waiting line of this bank is the journal's; the test moves it.

func (b *bank) Line() cluster.Line {
	b.mu.RLock()
	defer b.mu.RUnlock()
	l := b.machine.Line()
	return cluster.Line{Closed: l.Closed, Watermark: l.Watermark, Waiting: l.Waiting, Pace: b.pace}
}

func (b *bank) FlowBegan() { b.flows.Add(1) }

func (b *bank) Place(id journal.PaymentID, _ bool) (journal.Place, bool, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	p, ok := b.machine.Place(id)
	return p, ok, b.blind
}

func (b *bank) Ahead(at journal.Millis) int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.machine.Ahead(at)
}
