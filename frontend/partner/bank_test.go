package partner

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/frontend/edge"
)

// bank is one node without Raft: a real journal behind a lock. before is called with each command that is submitted, and
// may take its place.
type bank struct {
	mu       sync.RWMutex
	machine  *journal.Machine
	before   func(cmd *journal.Command, apply func() (journal.Result, error)) (journal.Result, error)
	refusals [gate.Classes]cluster.Refusal
	trips    bool  // Payment panics
	blind    error // of every lookup of a payment
	commands int
}

func newBank(t testing.TB) *bank {
	t.Helper()
	b := &bank{machine: journal.New(journal.NewMemoryStore(), journal.DefaultLimits())}
	b.put(t, 1, fingerprintOf("shop"), 0)
	b.put(t, 2, fingerprintOf("other"), 0)
	return b
}

func fingerprintOf(name string) [32]byte {
	var f [32]byte
	copy(f[:], name)
	return f
}

func (b *bank) put(t testing.TB, id uint32, fingerprint [32]byte, openMax uint32) {
	t.Helper()
	b.putRates(t, id, fingerprint, openMax, 1e6)
}

// setRates gives the shop quotas that a benchmark does not reach.
func setRates(t testing.TB, b *bank, perSecond uint32) {
	t.Helper()
	b.putRates(t, 1, fingerprintOf("shop"), 0, perSecond)
}

func (b *bank) putRates(t testing.TB, id uint32, fingerprint [32]byte, openMax, perSecond uint32) {
	t.Helper()
	res, err := b.apply(&journal.Command{Id: newID(), Body: &command.Command_PutPartner{PutPartner: &command.PutPartner{
		Id: id, Name: "Shop", Fingerprints: [][]byte{fingerprint[:]}, RedirectUris: []string{"https://shop.example/back"},
		NotificationUris: []string{"https://shop.example/hook"}, OpenPaymentsMax: openMax, CreatesPerSecond: perSecond, PollsPerSecond: perSecond,
	}}})
	if err != nil || res.Verdict != journal.Done {
		t.Fatalf("PutPartner: %v %v", res.Verdict, err)
	}
}

func newID() []byte { id := newPaymentID(0); return id[:] }

func (b *bank) apply(cmd *journal.Command) (journal.Result, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.commands++
	results, _, err := b.machine.Apply(1, &journal.Batch{Version: journal.Version, Term: 1, StampMs: time.Now().UnixMilli(), Commands: []*journal.Command{cmd}}, nil, nil)
	if err != nil {
		return journal.Result{}, err
	}
	return results[0], nil
}

func (b *bank) Submit(cmd *journal.Command, _ time.Time) (journal.Result, error) {
	b.mu.RLock()
	before := b.before
	b.mu.RUnlock()
	if before != nil {
		return before(cmd, func() (journal.Result, error) { return b.apply(cmd) })
	}
	return b.apply(cmd)
}

// intercept sets before.
func (b *bank) intercept(f func(cmd *journal.Command, apply func() (journal.Result, error)) (journal.Result, error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.before = f
}

func (b *bank) Payment(id journal.PaymentID) (journal.Payment, bool, error) {
	if b.trips {
		panic("account 12345 is broken")
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	found, ok := b.machine.Payment(id)
	return found, ok && b.blind != cluster.ErrUnavailable, b.blind
}

func (b *bank) PartnerByFingerprint(f [32]byte) (journal.Partner, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.machine.PartnerByFingerprint(f)
}

func (b *bank) Now() journal.Millis { return journal.Millis(time.Now().UnixMilli()) }

func (b *bank) Refused(c gate.Class) (cluster.Refusal, bool) {
	return b.refusals[c], b.refusals[c].Reason != gate.Admitted
}

// open counts payments.
func (b *bank) open() (n int) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	b.machine.Payments(func(journal.Payment) bool { n++; return true })
	return n
}

type links struct{}

func (links) LinkMAC(journal.PaymentID) string { return "AbCdEfGh1234" }

type keys struct{}

func (keys) PublicKeys() []string {
	return []string{"whpk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}
}

// house is an API on an in-memory listener. The header X-Test-Partner stands for the client certificate.
type house struct {
	t      testing.TB
	api    *API
	bank   *bank
	client *http.Client
	dial   func() (net.Conn, error)
	logs   *syncBuffer
	gather *prometheus.Registry
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}
func (b *syncBuffer) String() string { b.mu.Lock(); defer b.mu.Unlock(); return b.b.String() }

func newHouse(t testing.TB, b *bank, change func(*Config), limits edge.Limits) *house {
	t.Helper()
	h := &house{t: t, bank: b, logs: &syncBuffer{}, gather: prometheus.NewRegistry()}
	cfg := Config{
		Bank: b, Links: links{}, Keys: keys{}, Logger: slog.New(slog.NewJSONHandler(h.logs, nil)), Registerer: h.gather,
		PublicURL: "https://pay.bank.example/",
	}
	if change != nil {
		change(&cfg)
	}
	api, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	api.fingerprint = func(ctx *fasthttp.RequestCtx) (*caller, error) {
		name := string(ctx.Request.Header.Peek("X-Test-Partner"))
		if name == "" {
			return nil, errNoCertificate
		}
		return &caller{fingerprint: fingerprintOf(name)}, nil
	}
	h.api = api
	ln := fasthttputil.NewInmemoryListener()
	server := api.Server(limits)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	h.dial = ln.Dial
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return ln.Dial() }}
	h.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ln.Close()
		<-served
		api.Close()
	})
	return h
}

// reply is an answer with its body read.
type reply struct {
	*http.Response
	body []byte
}

func (r reply) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(r.body, &v); err != nil {
		t.Fatalf("body %q: %v", r.body, err)
	}
	return v
}

const orderJSON = `{"endToEndIdentification":"order-1","instructedAmount":{"currency":"CNY","amount":"128.00"},` +
	`"creditorAccount":{"iban":"DE89370400440532013000"},"creditorName":"Shop 店","remittanceInformationUnstructured":"shoes"}`

// request makes a request of partner "shop"; header pairs override, an empty value removes.
func request(t testing.TB, method, path, body string, header ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, "http://bank.example"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Test-Partner", "shop")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", "key-1")
		r.Header.Set("TPP-Redirect-URI", "https://shop.example/back?state=s%201")
	}
	for i := 0; i < len(header); i += 2 {
		if header[i+1] == "" {
			r.Header.Del(header[i])
		} else {
			r.Header.Set(header[i], header[i+1])
		}
	}
	return r
}

func (h *house) do(r *http.Request) reply {
	h.t.Helper()
	answer, err := h.client.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	for name, want := range headers {
		if name == "Cache-Control" && strings.HasPrefix(r.URL.Path, "/discovery/") && answer.StatusCode == http.StatusOK {
			want = discoveryAge // the same for everybody
		}
		if got := answer.Header.Get(name); got != want {
			h.t.Errorf("%s %s (%d): %s is %q, want %q", r.Method, r.URL.Path, answer.StatusCode, name, got, want)
		}
	}
	return reply{answer, body}
}

// headers are those of every answer, errors too; empty: it must not be there.
var headers = map[string]string{
	"Cache-Control":             "no-store",
	"Content-Security-Policy":   "default-src 'none'; frame-ancestors 'none'",
	"Strict-Transport-Security": "max-age=31536000",
	"X-Content-Type-Options":    "nosniff",
	"X-Frame-Options":           "DENY",
	"Referrer-Policy":           "no-referrer",
	"Server":                    "", "X-Powered-By": "", "Access-Control-Allow-Origin": "", "Set-Cookie": "",
}

func (h *house) call(method, path, body string, header ...string) reply {
	h.t.Helper()
	return h.do(request(h.t, method, path, body, header...))
}

// create creates a payment and returns its id.
func (h *house) create(key string) string {
	h.t.Helper()
	r := h.call("POST", pathPayments, orderJSON, "Idempotency-Key", key)
	if r.StatusCode != 201 {
		h.t.Fatalf("create: %d %s", r.StatusCode, r.body)
	}
	id, _ := r.json(h.t)["paymentId"].(string)
	return id
}
