package partner

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/frontend/edge"
)

const someUUID = "019ab0c4-5b7e-7c3a-9d2f-0123456789ab"

// expect holds an answer against a status and, for problems, a code.
func expect(t *testing.T, r reply, status int, code string) {
	t.Helper()
	if r.StatusCode != status {
		t.Fatalf("status %d, want %d; body %s", r.StatusCode, status, r.body)
	}
	if code == "" {
		return
	}
	p := r.json(t)
	if got := r.Header.Get("Content-Type"); got != "application/problem+json" || p["code"] != code || int(p["status"].(float64)) != status {
		t.Fatalf("%s %s, want a problem with code %s", got, r.body, code)
	}
	if p["requestId"] != r.Header.Get("X-Request-ID") || p["requestId"] == "" || p["reference"] == "" {
		t.Fatalf("a problem without requestId or reference: %s", r.body)
	}
}

func TestPaymentIsCreatedReadAndCancelled(t *testing.T) {
	h := newHouse(t, newBank(t), nil, edge.Limits{})
	created := h.call("POST", pathPayments, orderJSON, "X-Request-ID", someUUID)
	expect(t, created, 201, "")
	body := created.json(t)
	id, _ := body["paymentId"].(string)
	if created.Header.Get("X-Request-ID") != someUUID || created.Header.Get("Location") != pathPayments+"/"+id || body["transactionStatus"] != "RCVD" {
		t.Fatalf("%v %s", created.Header, created.body)
	}
	if !strings.Contains(string(created.body), `"scaRedirect":{"href":"https://pay.bank.example/pay/`+id+`?s=AbCdEfGh1234"}`) {
		t.Fatalf("no link for the customer: %s", created.body)
	}
	read := func(path, want string) {
		t.Helper()
		r := h.call("GET", pathPayments+"/"+id+path, "")
		expect(t, r, 200, "")
		if !strings.Contains(string(r.body), want) {
			t.Fatalf("%s, want %s", r.body, want)
		}
	}
	read("", `"instructedAmount":{"currency":"CNY","amount":"128.00"},"creditorAccount":{"iban":"DE89370400440532013000"},"creditorName":"Shop 店"`)
	read("/status", `{"transactionStatus":"RCVD","version":1}`)
	read("/authorisations/"+id, `{"scaStatus":"received"}`)

	expect(t, h.call("DELETE", pathPayments+"/"+id, "", "X-Test-Partner", "other"), 404, "RESOURCE_UNKNOWN")
	expect(t, h.call("DELETE", pathPayments+"/"+id, ""), 204, "")
	expect(t, h.call("DELETE", pathPayments+"/"+id, ""), 204, "")
	read("/status", `{"transactionStatus":"CANC","reason":"cancelled-by-partner","version":2}`)
	read("/authorisations/"+id, `{"scaStatus":"failed"}`)
}

func TestPaymentOfAnotherPartnerIsUnknown(t *testing.T) {
	h := newHouse(t, newBank(t), nil, edge.Limits{})
	id := h.create("k")
	for _, path := range []string{"", "/status", "/authorisations/" + id} {
		expect(t, h.call("GET", pathPayments+"/"+id+path, "", "X-Test-Partner", "other"), 404, "RESOURCE_UNKNOWN")
	}
	expect(t, h.call("GET", pathPayments+"/"+id+"/authorisations/"+someUUID, ""), 404, "RESOURCE_UNKNOWN")
}

// What nobody can confirm is marked, and what nobody can look up is not said to be unknown.
func TestUnknownIsNotFailed_AStatusThatNobodyCanConfirm(t *testing.T) {
	b := newBank(t)
	h := newHouse(t, b, nil, edge.Limits{})
	id := h.create("k")
	b.blind = cluster.ErrStale
	if r := h.call("GET", pathPayments+"/"+id+"/status", ""); r.StatusCode != 200 || r.Header.Get(headerWarning) != warningStale {
		t.Errorf("got %d, %q", r.StatusCode, r.Header.Get(headerWarning))
	}
	b.blind = cluster.ErrUnavailable
	expect(t, h.call("GET", pathPayments+"/"+id+"/status", ""), 503, "SERVICE_UNAVAILABLE")
}

func TestStrangersSeeNothingButDiscovery(t *testing.T) {
	h := newHouse(t, newBank(t), nil, edge.Limits{})
	expect(t, h.call("GET", pathPayments+"/"+someUUID, "", "X-Test-Partner", ""), 401, "CERTIFICATE_MISSING")
	expect(t, h.call("POST", pathPayments, orderJSON, "X-Test-Partner", "stranger"), 401, "CERTIFICATE_INVALID")
	expect(t, h.call("GET", "/v1/notification-keys", "", "X-Test-Partner", ""), 401, "CERTIFICATE_MISSING")
	expect(t, h.call("GET", "/discovery/status", "", "X-Test-Partner", ""), 200, "")
	if n := h.bank.open(); n != 0 {
		t.Fatalf("%d payments", n)
	}
}

func TestEveryAnswerWithoutAHandlerIsAProblem(t *testing.T) {
	h := newHouse(t, newBank(t), nil, edge.Limits{})
	expect(t, h.call("GET", "/v1/mandates", ""), 404, "RESOURCE_UNKNOWN")
	expect(t, h.call("GET", "/", ""), 404, "RESOURCE_UNKNOWN")
	expect(t, h.call("GET", pathPayments+"/", ""), 404, "RESOURCE_UNKNOWN")
	r := h.call("PUT", pathPayments, "")
	expect(t, r, 405, "SERVICE_INVALID")
	if !strings.Contains(r.Header.Get("Allow"), "POST") {
		t.Fatalf("Allow: %q", r.Header.Get("Allow"))
	}
	expect(t, h.call("OPTIONS", pathPayments, ""), 405, "SERVICE_INVALID")
	expect(t, h.call("POST", pathPayments, strings.Repeat(" ", 17<<10)), 413, "FORMAT_ERROR")
	expect(t, h.call("GET", "/discovery/status", "", "X-Long", strings.Repeat("x", 9<<10)), 431, "FORMAT_ERROR")
	h.bank.trips = true
	expect(t, h.call("GET", pathPayments+"/"+someUUID, ""), 500, "INTERNAL_SERVER_ERROR")
	if logs := h.logs.String(); !strings.Contains(logs, "panicked") || strings.Contains(logs, "12345") {
		t.Fatalf("the log tells of no panic, or of an account: %s", logs)
	}
}

func TestHeaderThatIsNoUUIDGoesNoFurther(t *testing.T) {
	h := newHouse(t, newBank(t), nil, edge.Limits{})
	for _, bad := range []string{"1", strings.Repeat("g", 36), someUUID + "0", "{" + someUUID + "}"} {
		r := h.call("GET", "/discovery/status", "", "X-Request-ID", bad)
		expect(t, r, 400, "FORMAT_ERROR")
		if r.Header.Get("X-Request-ID") == bad {
			t.Fatal("echoed")
		}
	}
	for _, several := range [][]string{{""}, {someUUID, someUUID}} {
		r := request(t, "GET", "/discovery/status", "")
		r.Header["X-Request-Id"] = several
		expect(t, h.do(r), 400, "FORMAT_ERROR")
	}
}

func TestBothLengthsOfABodyAreRefused(t *testing.T) {
	h := newHouse(t, newBank(t), nil, edge.Limits{})
	c, err := h.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	smuggled := "GET /discovery/outages HTTP/1.1\r\nHost: b\r\n\r\n"
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: b\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n%s", pathPayments, 5+len(smuggled), smuggled)
	in := bufio.NewReader(c)
	first, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, first.Body)
	if first.StatusCode < 400 || !first.Close {
		t.Fatalf("status %d, close %v", first.StatusCode, first.Close)
	}
	if second, err := http.ReadResponse(in, nil); err == nil {
		t.Fatalf("a second answer: %d", second.StatusCode)
	}
}

func TestSlowRequestIsAnswered408(t *testing.T) {
	h := newHouse(t, newBank(t), nil, edge.Limits{ReadTimeout: 30 * time.Millisecond})
	c, err := h.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: b\r\nContent-Length: 10\r\n\r\n{", pathPayments)
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(answer.Body)
	expect(t, reply{answer, body}, 408, "FORMAT_ERROR")
}

func TestIdempotencyKeyTakesEffectOnce(t *testing.T) {
	h := newHouse(t, newBank(t), nil, edge.Limits{})
	first := h.call("POST", pathPayments, orderJSON)
	again := h.call("POST", pathPayments, orderJSON)
	expect(t, first, 201, "")
	expect(t, again, 201, "")
	if first.Header.Get("Idempotency-Replayed") != "" || again.Header.Get("Idempotency-Replayed") != "true" || string(first.body) != string(again.body) {
		t.Fatalf("%s\n%s %v", first.body, again.body, again.Header)
	}
	// The stored answer, whatever became of the payment.
	id, _ := first.json(t)["paymentId"].(string)
	expect(t, h.call("DELETE", pathPayments+"/"+id, ""), 204, "")
	if late := h.call("POST", pathPayments, orderJSON); string(late.body) != string(first.body) {
		t.Fatalf("%s", late.body)
	}
	expect(t, h.call("POST", pathPayments, strings.Replace(orderJSON, "128.00", "129.00", 1)), 422, "IDEMPOTENCY_CONFLICT")
	expect(t, h.call("POST", pathPayments, orderJSON, "TPP-Redirect-URI", "https://shop.example/back"), 422, "IDEMPOTENCY_CONFLICT")
	expect(t, h.call("POST", pathPayments, orderJSON, "Idempotency-Key", ""), 400, "FORMAT_ERROR")
	expect(t, h.call("POST", pathPayments, orderJSON, "Idempotency-Key", strings.Repeat("k", 129)), 400, "FORMAT_ERROR")
	other := h.call("POST", pathPayments, orderJSON, "X-Test-Partner", "other")
	expect(t, other, 201, "")
	if other.Header.Get("Idempotency-Replayed") != "" || h.bank.open() != 2 {
		t.Fatal("a key holds beyond its partner")
	}
}

func TestRepeatsWaitForTheFirstAndGetItsAnswer(t *testing.T) {
	b := newBank(t)
	release, entered := make(chan struct{}), make(chan struct{}, 99)
	b.intercept(func(_ *journal.Command, apply func() (journal.Result, error)) (journal.Result, error) {
		entered <- struct{}{}
		<-release
		return apply()
	})
	h := newHouse(t, b, nil, edge.Limits{})
	var all sync.WaitGroup
	replies := make([]reply, 8)
	for i := range replies {
		all.Go(func() { replies[i] = h.call("POST", pathPayments, orderJSON) })
	}
	<-entered
	expect(t, h.call("POST", pathPayments, strings.Replace(orderJSON, "128.00", "129.00", 1)), 422, "IDEMPOTENCY_CONFLICT")
	close(release)
	all.Wait()
	firsts := 0
	for _, r := range replies {
		expect(t, r, 201, "")
		if r.Header.Get("Idempotency-Replayed") == "" {
			firsts++
		}
		if string(r.body) != string(replies[0].body) {
			t.Fatalf("%s\n%s", r.body, replies[0].body)
		}
	}
	if firsts != 1 || b.open() != 1 {
		t.Fatalf("%d answers were first, %d payments", firsts, b.open())
	}
}

func TestRepeatGivesUpWith409WhileTheFirstGoesOn(t *testing.T) {
	b := newBank(t)
	release, entered := make(chan struct{}), make(chan struct{}, 9)
	b.intercept(func(_ *journal.Command, apply func() (journal.Result, error)) (journal.Result, error) {
		entered <- struct{}{}
		<-release
		return apply()
	})
	h := newHouse(t, b, func(c *Config) { c.Limits.AttachTimeout = 10 * time.Millisecond }, edge.Limits{})
	first := make(chan reply)
	go func() { first <- h.call("POST", pathPayments, orderJSON) }()
	<-entered
	expect(t, h.call("POST", pathPayments, orderJSON), 409, "IDEMPOTENCY_CONFLICT")
	close(release)
	expect(t, <-first, 201, "")
}

// refusedAs holds a refusal against RefusedMeansNotCharged: the headers that the contract wants, and no trace in the journal.
func refusedAs(t *testing.T, h *house, r reply, status int, code string, payments int) {
	t.Helper()
	expect(t, r, status, code)
	for _, name := range []string{"Retry-After", "RateLimit", "RateLimit-Policy"} {
		if r.Header.Get(name) == "" {
			t.Fatalf("no %s: %v", name, r.Header)
		}
	}
	kind := map[int]string{429: typeQuota, 503: typeCapacity}[status]
	if p := r.json(t); p["type"] != kind || !strings.Contains(p["detail"].(string), "nothing was done or charged") {
		t.Fatalf("%s", r.body)
	}
	if n := h.bank.open(); n != payments {
		t.Fatalf("%d payments stand in the journal, want %d", n, payments)
	}
}

func TestRefusedMeansNotCharged_NoLeaderAndOverload(t *testing.T) {
	b := newBank(t)
	h := newHouse(t, b, nil, edge.Limits{})
	for _, certainly := range []error{cluster.ErrNoLeader, cluster.ErrOverloaded, cluster.ErrClosed, fmt.Errorf("wrapped: %w", cluster.ErrNoLeader)} {
		b.intercept(func(*journal.Command, func() (journal.Result, error)) (journal.Result, error) {
			return journal.Result{}, certainly
		})
		refusedAs(t, h, h.call("POST", pathPayments, orderJSON), 503, "SERVICE_UNAVAILABLE", 0)
	}
	b.intercept(nil)
	// Refusals are not stored under the key.
	r := h.call("POST", pathPayments, orderJSON)
	expect(t, r, 201, "")
	if r.Header.Get("Idempotency-Replayed") != "" {
		t.Fatal("a refusal was stored")
	}
}

func TestRefusedMeansNotCharged_QuotaAndOpenPayments(t *testing.T) {
	b := newBank(t)
	b.put(t, 2, fingerprintOf("other"), 1)
	now := time.Now()
	h := newHouse(t, b, func(c *Config) { c.Clock = func() time.Time { return now } }, edge.Limits{})
	one := h.call("POST", pathPayments, orderJSON, "X-Test-Partner", "other", "Idempotency-Key", "1")
	expect(t, one, 201, "")
	refusedAs(t, h, h.call("POST", pathPayments, orderJSON, "X-Test-Partner", "other", "Idempotency-Key", "2"), 429, "ACCESS_EXCEEDED", 1)
	// The first goes on to be known, and room for one more comes with its end.
	id, _ := one.json(t)["paymentId"].(string)
	expect(t, h.call("DELETE", pathPayments+"/"+id, "", "X-Test-Partner", "other"), 204, "")
	expect(t, h.call("POST", pathPayments, orderJSON, "X-Test-Partner", "other", "Idempotency-Key", "2"), 201, "")
}

func TestRefusedMeansNotCharged_AlsoWhenTheEdgeSheds(t *testing.T) {
	h := newHouse(t, newBank(t), nil, edge.Limits{RequestsInFlight: -1})
	refusedAs(t, h, h.call("POST", pathPayments, orderJSON), 503, "SERVICE_UNAVAILABLE", 0)
	refusedAs(t, h, h.call("GET", "/discovery/status", ""), 503, "SERVICE_UNAVAILABLE", 0)
	families, err := h.gather.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := 0.0
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "netbank_http_requests_total" && strings.Contains(fmt.Sprint(m.GetLabel()), "refused") {
				counted += m.GetCounter().GetValue()
			}
		}
	}
	if counted != 2 {
		t.Fatalf("%v refusals counted, want 2", counted)
	}
}

// Once the journal has been offered the command without a word, a later certain refusal says nothing about the first offer.
func TestRefusedMeansNotCharged_NeverAfterAnOfferOfUnknownFate(t *testing.T) {
	b := newBank(t)
	offers := 0
	b.intercept(func(_ *journal.Command, apply func() (journal.Result, error)) (journal.Result, error) {
		if offers++; offers == 1 {
			apply() // it was committed, but the answer was lost
			return journal.Result{}, cluster.ErrUnknown
		}
		return journal.Result{}, cluster.ErrNoLeader
	})
	h := newHouse(t, b, func(c *Config) { c.Limits.SubmitTimeout = 50 * time.Millisecond }, edge.Limits{})
	r := h.call("POST", pathPayments, orderJSON)
	expect(t, r, 201, "")
	body := r.json(t)
	if body["transactionStatus"] != "PDNG" || strings.Contains(string(r.body), "scaRedirect") {
		t.Fatalf("%s", r.body)
	}
	if b.open() != 1 {
		t.Fatal("the test is wrong: nothing was committed")
	}
}

func TestRefusedMeansNotCharged_AnUnknownErrorIsNotCertain(t *testing.T) {
	b := newBank(t)
	b.intercept(func(*journal.Command, func() (journal.Result, error)) (journal.Result, error) {
		return journal.Result{}, errors.New("something new")
	})
	h := newHouse(t, b, func(c *Config) { c.Limits.SubmitTimeout = time.Millisecond }, edge.Limits{})
	expect(t, h.call("POST", pathPayments, orderJSON), 201, "")
}

func TestLostAnswerIsAskedForAgainWithTheSameCommand(t *testing.T) {
	b := newBank(t)
	offers := 0
	b.intercept(func(_ *journal.Command, apply func() (journal.Result, error)) (journal.Result, error) {
		if offers++; offers == 1 {
			apply()
			return journal.Result{}, cluster.ErrUnknown
		}
		return apply()
	})
	h := newHouse(t, b, nil, edge.Limits{})
	r := h.call("POST", pathPayments, orderJSON)
	expect(t, r, 201, "")
	if r.json(t)["transactionStatus"] != "RCVD" || r.Header.Get("Idempotency-Replayed") != "" || b.open() != 1 {
		t.Fatalf("%s, %d payments", r.body, b.open())
	}
	// The same for a key that another call has used: the repeated command names no payment, a new one does.
	offers = 0
	again := h.call("POST", pathPayments, orderJSON)
	expect(t, again, 201, "")
	if string(again.body) != string(r.body) || again.Header.Get("Idempotency-Replayed") != "true" || b.open() != 1 {
		t.Fatalf("%s, %d payments", again.body, b.open())
	}
}

func TestDoubtfulCreateHasOneStoryUntilItIsDecided(t *testing.T) {
	b := newBank(t)
	var down sync.Mutex
	down.Lock()
	decided := make(chan struct{}, 9)
	b.intercept(func(_ *journal.Command, apply func() (journal.Result, error)) (journal.Result, error) {
		if !down.TryLock() {
			return journal.Result{}, cluster.ErrUnknown
		}
		defer down.Unlock()
		defer func() { decided <- struct{}{} }()
		return apply()
	})
	h := newHouse(t, b, func(c *Config) { c.Limits.SubmitTimeout = 20 * time.Millisecond }, edge.Limits{})
	first := h.call("POST", pathPayments, orderJSON)
	again := h.call("POST", pathPayments, orderJSON)
	expect(t, first, 201, "")
	expect(t, again, 201, "")
	if string(first.body) != string(again.body) || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Fatalf("%s\n%s", first.body, again.body)
	}
	id, _ := first.json(t)["paymentId"].(string)
	status := h.call("GET", pathPayments+"/"+id+"/status", "")
	expect(t, status, 200, "")
	if string(status.body) != `{"transactionStatus":"PDNG","version":0}` {
		t.Fatalf("%s", status.body)
	}
	expect(t, h.call("GET", pathPayments+"/"+id, ""), 200, "")
	expect(t, h.call("GET", pathPayments+"/"+id, "", "X-Test-Partner", "other"), 404, "RESOURCE_UNKNOWN")
	down.Unlock()
	<-decided
	status = h.call("GET", pathPayments+"/"+id+"/status", "")
	if string(status.body) != `{"transactionStatus":"RCVD","version":1}` {
		t.Fatalf("%s", status.body)
	}
}

func TestUncertainCancelIsNeither204Nor503(t *testing.T) {
	b := newBank(t)
	h := newHouse(t, b, func(c *Config) { c.Limits.SubmitTimeout = time.Millisecond }, edge.Limits{})
	id := h.create("k")
	b.intercept(func(*journal.Command, func() (journal.Result, error)) (journal.Result, error) {
		return journal.Result{}, cluster.ErrUnknown
	})
	expect(t, h.call("DELETE", pathPayments+"/"+id, ""), 202, "")
	b.intercept(func(*journal.Command, func() (journal.Result, error)) (journal.Result, error) {
		return journal.Result{}, cluster.ErrNoLeader
	})
	refusedAs(t, h, h.call("DELETE", pathPayments+"/"+id, ""), 503, "SERVICE_UNAVAILABLE", 1)
}

func TestRepeatAfterTheExpiryGetsItsAnswer(t *testing.T) {
	b := newBank(t)
	h := newHouse(t, b, nil, edge.Limits{})
	soon := time.Now().Add(100 * time.Millisecond).UTC()
	body := strings.Replace(orderJSON, "{", `{"expiresAt":"`+soon.Format(time.RFC3339Nano)+`",`, 1)
	first := h.call("POST", pathPayments, body)
	expect(t, first, 201, "")
	for time.Now().Before(soon) {
		time.Sleep(time.Until(soon))
	}
	again := h.call("POST", pathPayments, body)
	expect(t, again, 201, "")
	if string(first.body) != string(again.body) {
		t.Fatalf("%s", again.body)
	}
	expect(t, h.call("POST", pathPayments, body, "Idempotency-Key", "new"), 400, "FORMAT_ERROR")
}

func TestDiscoveryTellsWhatTheGateWouldRefuse(t *testing.T) {
	b := newBank(t)
	now := time.Now()
	h := newHouse(t, b, func(c *Config) {
		c.Clock = func() time.Time { return now }
		c.Outages = []Outage{{now.Add(time.Hour), now.Add(2 * time.Hour), `moving "house"`}, {now.Add(-2 * time.Hour), now.Add(-time.Hour), "past"}}
	}, edge.Limits{})
	f := func(class gate.Class, reason gate.Reason, want string) {
		t.Helper()
		b.refusals = [gate.Classes]cluster.Refusal{}
		b.refusals[class].Reason = reason
		r := h.call("GET", "/discovery/status", "")
		expect(t, r, 200, "")
		if r.json(t)["status"] != want || !strings.Contains(r.Header.Get("Cache-Control"), "public") {
			t.Fatalf("%s, want %s", r.body, want)
		}
	}
	f(gate.Confirm, gate.Admitted, "OK")
	f(gate.SignIn, gate.QueueFull, "BUSY")
	f(gate.Confirm, gate.TooLate, "BUSY")
	f(gate.Confirm, gate.Stalled, "PARTIAL_FAILURE")
	f(gate.Confirm, gate.Breaker, "UNAVAILABLE")
	f(gate.Confirm, gate.NoLeader, "UNAVAILABLE")
	r := h.call("GET", "/discovery/outages", "")
	if !strings.Contains(string(r.body), `moving \"house\"`) || strings.Contains(string(r.body), "past") {
		t.Fatalf("%s", r.body)
	}
	now = now.Add(90 * time.Minute)
	f(gate.Confirm, gate.Admitted, "SCHEDULED_OUTAGE")
	if head := h.call("HEAD", "/discovery/status", ""); head.StatusCode != 200 || len(head.body) != 0 {
		t.Fatalf("HEAD: %d %q", head.StatusCode, head.body)
	}
}

func TestQuotaIsAPartnersOwn(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	b := newBucket("polls", 3)
	take := func(wantLeft int64, wantWait time.Duration) {
		t.Helper()
		if left, wait := b.take(now.UnixNano()); left != wantLeft || wait != wantWait {
			t.Fatalf("left %d, wait %s; want %d, %s", left, wait, wantLeft, wantWait)
		}
	}
	take(2, 0)
	take(1, 0)
	take(0, 0)
	take(0, time.Second/3)
	now = now.Add(time.Second / 3)
	take(0, 0)
	take(0, time.Second/3)
	now = now.Add(time.Hour)
	take(2, 0)
}

func TestMetricsAreLintedAndHoldNoPath(t *testing.T) {
	h := newHouse(t, newBank(t), nil, edge.Limits{})
	id := h.create("k")
	h.call("GET", pathPayments+"/"+id+"/status", "")
	h.call("GET", "/secret/"+id, "")
	problems, err := testutil.GatherAndLint(h.gather)
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v %v", err, []promlint.Problem(problems))
	}
	families, err := h.gather.Gather()
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(families)
	if strings.Contains(text, id) || strings.Contains(text, "secret") || !strings.Contains(text, "GET /v1/payments/domestic-transfers/{id}/status") {
		t.Fatalf("%s", text)
	}
}
