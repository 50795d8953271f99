package webhook

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// outbox is a real journal behind a lock.
type outbox struct {
	mu      sync.Mutex
	machine *journal.Machine
	noticed chan struct{}
	away    bool // this node does not lead
	refuse  bool // OutboxDone cannot be committed
}

func newOutbox(t testing.TB, uris ...string) *outbox {
	o := &outbox{machine: journal.New(journal.NewMemoryStore(), journal.DefaultLimits()), noticed: make(chan struct{}, 1)}
	for i, uri := range uris {
		o.do(t, &command.Command_PutPartner{PutPartner: &command.PutPartner{
			Id: uint32(i + 1), Name: "Shop", RedirectUris: []string{uri}, NotificationUris: []string{uri}, Fingerprints: [][]byte{fingerprint(i)},
		}})
	}
	return o
}

func fingerprint(i int) []byte { f := sha256.Sum256([]byte{byte(i)}); return f[:] }

func (o *outbox) do(t testing.TB, body any) journal.Result {
	t.Helper()
	cmd := &journal.Command{Id: newCommandID()}
	switch b := body.(type) {
	case *command.Command_PutPartner:
		cmd.Body = b
	case *command.Command_CreatePayment:
		cmd.Body = b
	case *command.Command_CancelPayment:
		cmd.Body = b
	}
	res, err := o.Submit(cmd, time.Time{})
	if err != nil || res.Verdict != journal.Done {
		t.Fatalf("%v %v", res.Verdict, err)
	}
	return res
}

// change creates a payment of a partner and cancels it: one notice.
func (o *outbox) change(t testing.TB, partner uint32, uri string) journal.PaymentID {
	t.Helper()
	var id journal.PaymentID
	rand.Read(id[:])
	binary.BigEndian.PutUint64(id[:8], uint64(time.Now().UnixMilli())<<16|uint64(id[6])<<8|uint64(id[7]))
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	o.do(t, &command.Command_CreatePayment{CreatePayment: &command.CreatePayment{
		PaymentId: id[:], Partner: partner, IdempotencyKey: id[:], RequestHash: id[:], AmountMinor: 12800, Currency: "CNY", CreditorAccount: "1", CreditorName: "Shop",
		EndToEndId: "order \"7\"", RedirectUri: uri, NokRedirectUri: uri, NotificationUri: uri, ExpiresMs: time.Now().Add(time.Hour).UnixMilli(),
	}})
	o.do(t, &command.Command_CancelPayment{CancelPayment: &command.CancelPayment{PaymentId: id[:], Partner: partner}})
	return id
}

func (o *outbox) Submit(cmd *journal.Command, _ time.Time) (journal.Result, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, done := cmd.Body.(*command.Command_OutboxDone); done && o.refuse {
		return journal.Result{}, errors.New("no leader")
	}
	results, _, err := o.machine.Apply(1, &journal.Batch{Version: journal.Version, Term: 1, StampMs: time.Now().UnixMilli(), Commands: []*journal.Command{cmd}}, nil, nil)
	if err != nil {
		return journal.Result{}, err
	}
	select {
	case o.noticed <- struct{}{}:
	default:
	}
	return results[0], nil
}

func (o *outbox) Payment(id journal.PaymentID) (journal.Payment, bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	found, ok := o.machine.Payment(id)
	return found, ok, nil
}

func (o *outbox) Partners() []journal.Partner {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.machine.Partners()
}

func (o *outbox) Notices(p journal.PartnerID, after uint64, most int) []journal.Notice {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.machine.Notices(p, after, most)
}

func (o *outbox) Noticed() <-chan struct{} { return o.noticed }
func (o *outbox) Leading() bool            { o.mu.Lock(); defer o.mu.Unlock(); return !o.away }
func (o *outbox) Now() journal.Millis      { return journal.Millis(time.Now().UnixMilli()) }

func (o *outbox) set(away, refuse bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.away, o.refuse = away, refuse
}

// site is the partners' side: it answers what answer says, and remembers what came.
type site struct {
	mu      sync.Mutex
	answer  func(r *http.Request) *http.Response
	came    []arrival
	now     int
	nowMost int
}

type arrival struct {
	at time.Time
	id string
	to string
}

func status(code int, header ...string) *http.Response {
	r := &http.Response{StatusCode: code, Header: http.Header{}, Body: http.NoBody}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func (s *site) RoundTrip(r *http.Request) (*http.Response, error) {
	io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	//lint:ignore SA1008 the headers go out in lower case, as the standard writes them
	s.came = append(s.came, arrival{time.Now(), r.Header["webhook-id"][0], r.URL.String()})
	s.now++
	s.nowMost = max(s.nowMost, s.now)
	answer := s.answer
	s.mu.Unlock()
	time.Sleep(10 * time.Millisecond) // of the bubble
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now--
	if a := answer(r); a != nil {
		return a, nil
	}
	return nil, errors.New("connection refused")
}

func (s *site) set(answer func(r *http.Request) *http.Response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *site) arrivals() []arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]arrival(nil), s.came...)
}

func newKey(t testing.TB) *Key {
	t.Helper()
	key, err := NewKey([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// run starts a dispatcher, and returns what stops it.
func run(t testing.TB, o *outbox, to http.RoundTripper) (stop func(), metrics *prometheus.Registry) {
	t.Helper()
	metrics = prometheus.NewRegistry()
	d, err := New(Config{Outbox: o, Signer: newKey(t), Transport: to, Logger: slog.New(slog.DiscardHandler), Registerer: metrics})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { d.Run(ctx); close(done) }()
	return func() { cancel(); <-done }, metrics
}

func left(o *outbox) int { return len(o.Notices(1, 0, 1<<20)) }

const hook = "https://shop.example/hook"

func TestToldOnceCommitted_EveryChangeIsToldAndLeavesTheOutbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(t, hook)
		s := &site{answer: func(*http.Request) *http.Response { return status(204) }}
		stop, metrics := run(t, o, s)
		defer stop()
		want := map[string]bool{}
		for range 1000 {
			want[o.change(t, 1, hook).String()+"-v2"] = true
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for _, a := range s.arrivals() {
			delete(want, a.id)
		}
		if len(want) != 0 || left(o) != 0 || len(s.arrivals()) != 1000 || s.nowMost > lineInFlight {
			t.Fatalf("%d not told, %d left in the outbox, %d sent, %d at once", len(want), left(o), len(s.arrivals()), s.nowMost)
		}
		if problems, err := testutil.GatherAndLint(metrics); err != nil || len(problems) > 0 {
			t.Fatalf("%v %v", problems, err)
		}
	})
}

func TestToldOnceCommitted_ANewLeaderTellsAgainWhatWasNotCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(t, hook)
		s := &site{answer: func(*http.Request) *http.Response { return status(200) }}
		o.change(t, 1, hook)
		o.set(false, true)
		stop, _ := run(t, o, s)
		time.Sleep(10 * time.Second)
		stop()
		if n := len(s.arrivals()); n != 1 || left(o) != 1 {
			t.Fatalf("sent %d times by one leader, %d left", n, left(o))
		}
		o.set(true, false)
		stop, _ = run(t, o, s)
		defer stop()
		time.Sleep(10 * time.Second)
		if n := len(s.arrivals()); n != 1 {
			t.Fatalf("a node that does not lead has sent %d", n-1)
		}
		o.set(false, false)
		time.Sleep(10 * time.Second)
		a := s.arrivals()
		if len(a) != 2 || a[0].id != a[1].id || left(o) != 0 {
			t.Fatalf("%v, %d left", a, left(o))
		}
	})
}

func TestToldOnceCommitted_ACommitThatFailedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(t, hook)
		s := &site{answer: func(*http.Request) *http.Response { return status(200) }}
		o.set(false, true)
		stop, _ := run(t, o, s)
		defer stop()
		for range 20 {
			o.change(t, 1, hook)
		}
		time.Sleep(10 * time.Second)
		o.set(false, false)
		time.Sleep(10 * time.Second)
		if left(o) != 0 || len(s.arrivals()) != 20 {
			t.Fatalf("%d left, %d sent", left(o), len(s.arrivals()))
		}
	})
}

func TestFailedDeliveryIsTriedForThreeDaysAndGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(t, hook)
		s := &site{answer: func(*http.Request) *http.Response { return status(500) }}
		begin := time.Now()
		o.change(t, 1, hook)
		stop, _ := run(t, o, s)
		defer stop()
		time.Sleep(4 * 24 * time.Hour)
		if left(o) != 0 {
			t.Fatal("not given up")
		}
		a := s.arrivals()
		wants := append([]time.Duration{0}, func() []time.Duration { all := attemptsAt(); return all[:] }()...)
		if len(a) != len(wants)+1 {
			t.Fatalf("%d attempts, want %d", len(a), len(wants)+1)
		}
		before := time.Duration(0)
		for i, want := range wants {
			age := a[i].at.Sub(begin)
			if age < want || age > want+(want-before)/5+2*time.Second {
				t.Errorf("attempt %d at %s, want %s to a fifth of the gap more", i+1, age, want)
			}
			before = want
		}
		if last := a[len(a)-1].at.Sub(begin); last > Window {
			t.Errorf("the last attempt came at %s", last)
		}
	})
}

func TestPartnerThatIsDownIsProbedByOneAndCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(t, hook, "https://well.example/hook")
		s := &site{answer: func(r *http.Request) *http.Response {
			if r.URL.Host == "shop.example" {
				return nil
			}
			return status(200)
		}}
		stop, _ := run(t, o, s)
		defer stop()
		for range 500 {
			o.change(t, 1, hook)
		}
		for range 10 {
			o.change(t, 2, "https://well.example/hook")
		}
		time.Sleep(time.Hour)
		down := 0
		for _, a := range s.arrivals() {
			if a.to == hook {
				down++
			}
		}
		if well := len(s.arrivals()) - down; well != 10 {
			t.Fatalf("the other partner was told %d of 10", well)
		}
		if down < 5 || down > lineInFlight+40 {
			t.Fatalf("%d attempts in an hour at a partner that is down", down)
		}
		s.set(func(*http.Request) *http.Response { return status(200) })
		time.Sleep(4 * time.Hour)
		if left(o) != 0 {
			t.Fatalf("%d left after it came back", left(o))
		}
	})
}

func TestOneFailingAddressDoesNotBlockTheOthersOfItsPartner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(t, hook)
		s := &site{answer: func(r *http.Request) *http.Response {
			if strings.HasSuffix(r.URL.Path, "/broken") {
				return status(404)
			}
			return status(200)
		}}
		stop, _ := run(t, o, s)
		defer stop()
		for range 100 {
			o.change(t, 1, hook+"/broken")
			o.change(t, 1, hook+"/works")
		}
		time.Sleep(time.Hour)
		for _, n := range o.Notices(1, 0, 1000) {
			if p, _, _ := o.Payment(n.Payment); strings.HasSuffix(p.NotificationURI, "/works") {
				t.Fatal("a notice is blocked by others that fail")
			}
		}
		if left(o) != 100 {
			t.Fatalf("%d left, want those that fail", left(o))
		}
	})
}

// Probing a partner that seems to be down takes turns, or what keeps failing would be all that is ever tried.
func TestProbesTakeTurnsBetweenWhatFailedAndWhatIsNew(t *testing.T) {
	d, err := New(Config{Outbox: newOutbox(t, hook), Signer: newKey(t), Transport: &site{}, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	l := newLine(t.Context(), d, 1)
	l.failures = downAfter
	now := time.Now()
	for i := range uint64(3) {
		// The journal knows none of them, so nothing is sent.
		l.waiting = append(l.waiting, due{notice: journal.Notice{Sequence: 10 + i, At: d.outbox.Now()}, due: now.Add(-time.Minute)})
		l.fresh = append(l.fresh, journal.Notice{Sequence: 20 + i, At: d.outbox.Now()})
	}
	var turns []bool
	for range 6 {
		l.start(now)
		if l.inFlight != 1 {
			t.Fatalf("%d in flight at a partner that is down", l.inFlight)
		}
		turns = append(turns, (<-l.results).notice.Sequence >= 20)
		l.inFlight--
	}
	if got := fmt.Sprint(turns); got != "[false true false true false true]" {
		t.Fatalf("new ones were tried at %s", got)
	}
}

func TestAnswer410DisablesAndRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(t, hook)
		s := &site{answer: func(*http.Request) *http.Response { return status(429, "Retry-After", "3600") }}
		stop, _ := run(t, o, s)
		defer stop()
		o.change(t, 1, hook)
		time.Sleep(59 * time.Minute)
		o.change(t, 1, hook)
		time.Sleep(30 * time.Second)
		if n := len(s.arrivals()); n != 1 {
			t.Fatalf("%d attempts within the hour that was asked for", n)
		}
		s.set(func(*http.Request) *http.Response { return status(410) })
		time.Sleep(10 * time.Minute)
		if !o.Partners()[0].WebhooksDisabled || left(o) != 0 {
			t.Fatal("410 did not disable")
		}
		before := len(s.arrivals())
		o.change(t, 1, hook)
		time.Sleep(time.Hour)
		if len(s.arrivals()) != before {
			t.Fatal("told after 410")
		}
		// The bank's operator registers the partner anew.
		s.set(func(*http.Request) *http.Response { return status(200) })
		o.do(t, &command.Command_PutPartner{PutPartner: &command.PutPartner{
			Id: 1, Name: "Shop", RedirectUris: []string{hook}, NotificationUris: []string{hook}, Fingerprints: [][]byte{fingerprint(0)},
		}})
		o.change(t, 1, hook)
		time.Sleep(time.Minute)
		if len(s.arrivals()) != before+1 || left(o) != 0 {
			t.Fatal("not told after it was registered anew")
		}
	})
}

func TestAddressThatIsNoLongerRegisteredGetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(t, hook)
		s := &site{answer: func(*http.Request) *http.Response { return status(200) }}
		stop, _ := run(t, o, s)
		defer stop()
		o.change(t, 1, "https://elsewhere.example/hook")
		time.Sleep(time.Minute)
		if len(s.arrivals()) != 0 || left(o) != 1 {
			t.Fatalf("sent %v", s.arrivals())
		}
	})
}

// Over a real connection, and verified with nothing of this package but the public key.
func TestSignatureIsThatOfStandardWebhooks(t *testing.T) {
	type received struct {
		header http.Header
		body   []byte
	}
	came := make(chan received, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		came <- received{r.Header, body}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer server.Close()
	o := newOutbox(t, server.URL+"/hook")
	stop, _ := run(t, o, NewTransport(nil))
	defer stop()
	id := o.change(t, 1, server.URL+"/hook")
	r := <-came

	public, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(newKey(t).PublicKeys()[0], "whpk_"))
	if err != nil {
		t.Fatal(err)
	}
	version, encoded, _ := strings.Cut(r.header.Get("webhook-signature"), ",")
	signature, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || version != "v1a" {
		t.Fatalf("%v %v", version, err)
	}
	signed := fmt.Sprintf("%s.%s.%s", r.header.Get("webhook-id"), r.header.Get("webhook-timestamp"), r.body)
	if !ed25519.Verify(public, []byte(signed), signature) {
		t.Fatal("the signature does not verify")
	}
	var m Message
	if err := json.Unmarshal(r.body, &m); err != nil {
		t.Fatal(err)
	}
	want := Payment{PaymentID: id.String(), TransactionStatus: "CANC", Reason: "cancelled-by-partner", Version: 2, EndToEndID: `order "7"`, InstructedAmount: Amount{"CNY", "128.00"}}
	if m.Type != "payment.cancelled" || m.Data != want || r.header.Get("webhook-id") != id.String()+"-v2" {
		t.Fatalf("%s", r.body)
	}
}

func TestRedirectsAreNotFollowedAndPlacesAreChecked(t *testing.T) {
	followed := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/target" {
			followed <- struct{}{}
			return
		}
		http.Redirect(w, r, "/target", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	d, err := New(Config{Outbox: newOutbox(t), Signer: newKey(t), Transport: NewTransport(nil), Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := d.send(t.Context(), server.URL+"/from", "id", []byte("{}")); got != failed || len(followed) != 0 {
		t.Fatalf("%v, followed %d", got, len(followed))
	}
	for _, uri := range []string{"http://192.0.2.1/hook", "https://169.254.169.254/hook", "https://0.0.0.0/hook", "ftp://127.0.0.1/hook"} {
		r := httptest.NewRequest("POST", uri, nil)
		r.RequestURI = ""
		if _, err := d.transport.RoundTrip(r); !errors.Is(err, errAddress) {
			t.Errorf("%s: %v", uri, err)
		}
	}
	if !allowedSecure(netip.MustParseAddr("192.0.2.1")) {
		t.Error("an ordinary address is refused")
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Wed, 21 Oct 2026 07:28:00 GMT")
	f.Add("99999999999999999999")
	f.Fuzz(func(t *testing.T, header string) {
		if wait := retryAfter(header, time.Unix(1_800_000_000, 0)); wait < 0 || wait > retryAfterMax {
			t.Fatalf("%q: %s", header, wait)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	key := newKey(b)
	content := make([]byte, 400)
	b.ReportAllocs()
	for b.Loop() {
		key.AppendSignature(nil, content)
	}
}
