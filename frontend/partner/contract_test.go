package partner

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"netbank/cluster"
	"netbank/cluster/journal"
	"netbank/frontend/edge"
	"netbank/frontend/partner/webhook"
)

// contract holds requests and answers against docs/openapi.yaml, and notes which documented answers were seen.
type contract struct {
	t    *testing.T
	spec *openapi3.T
	seen map[string]bool
}

func newContract(t *testing.T) *contract {
	t.Helper()
	spec, err := openapi3.NewLoader().LoadFromFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !spec.IsOpenAPI31OrLater() {
		t.Fatal("the document is not OpenAPI 3.1")
	}
	return &contract{t: t, spec: spec, seen: map[string]bool{}}
}

// hold makes the call, and holds the answer, and a request that was not answered by a problem, against the document.
func (c *contract) hold(h *house, method, template, path, body string, status int, header ...string) reply {
	c.t.Helper()
	item := c.spec.Paths.Value(template)
	if item == nil || item.GetOperation(method) == nil {
		c.t.Fatalf("%s %s is not documented", method, template)
	}
	input := &openapi3filter.RequestValidationInput{
		Request: request(c.t, method, path, body, header...),
		Route:   &routers.Route{Spec: c.spec, Path: template, PathItem: item, Method: method, Operation: item.GetOperation(method)},
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	if rest, ok := strings.CutPrefix(path, pathPayments+"/"); ok {
		parts := strings.Split(rest, "/")
		input.PathParams = map[string]string{"id": parts[0], "authId": parts[len(parts)-1]}
	}
	invalid := openapi3filter.ValidateRequest(c.t.Context(), input)
	r := h.do(request(c.t, method, path, body, header...))
	if r.StatusCode != status {
		c.t.Fatalf("%s %s: %d, want %d: %s", method, path, r.StatusCode, status, r.body)
	}
	if status < 400 && invalid != nil {
		c.t.Fatalf("%s %s: the server takes what the document does not: %v", method, path, invalid)
	}
	answer := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: r.StatusCode, Header: r.Header, Options: input.Options}
	if err := openapi3filter.ValidateResponse(c.t.Context(), answer.SetBodyBytes(r.body)); err != nil {
		c.t.Fatalf("%s %s: %d: %v\n%v\n%s", method, path, status, err, r.Header, r.body)
	}
	c.seen[fmt.Sprintf("%s %s %d", method, template, status)] = true
	return r
}

// unseen lists documented answers that hold has not met.
func (c *contract) unseen() (missing []string) {
	for path, item := range c.spec.Paths.Map() {
		for method, operation := range item.Operations() {
			for status := range operation.Responses.Map() {
				if name := method + " " + path + " " + status; !c.seen[name] {
					missing = append(missing, name)
				}
			}
		}
	}
	slices.Sort(missing)
	return missing
}

// Every documented answer is met once at a running server, and is as documented.
func TestServerKeepsTheDocumentedContract(t *testing.T) {
	c := newContract(t)
	b := newBank(t)
	h := newHouse(t, b, nil, edge.Limits{})
	c.payments(h)
	c.uncertain(newBank(t))
	for _, o := range []struct{ method, template string }{
		{"POST", pathPayments},
		{"GET", pathPayment},
		{"DELETE", pathPayment},
		{"GET", pathPayment + "/status"},
		{"GET", pathPayment + "/authorisations/{authId}"},
		{"GET", "/v1/notification-keys"},
		{"GET", "/discovery/status"},
		{"GET", "/discovery/outages"},
	} {
		c.everywhere(o.method, o.template)
	}
	if missing := c.unseen(); len(missing) > 0 {
		t.Fatalf("documented, but not met: %v", missing)
	}
}

// payments goes through the life of payments.
func (c *contract) payments(h *house) {
	full := strings.Replace(orderJSON, "{", `{"expiresAt":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`","debtorAccount":{"other":"6222000011112222"},"x":1,`, 1)
	r := c.hold(h, "POST", pathPayments, pathPayments, full, 201, "TPP-Notification-URI", "https://shop.example/hook", "TPP-Nok-Redirect-URI", "https://shop.example/back/nok")
	c.hold(h, "POST", pathPayments, pathPayments, full, 201, "TPP-Notification-URI", "https://shop.example/hook", "TPP-Nok-Redirect-URI", "https://shop.example/back/nok")
	c.hold(h, "POST", pathPayments, pathPayments, orderJSON, 422)
	c.hold(h, "POST", pathPayments, pathPayments, "{}", 400)
	c.hold(h, "POST", pathPayments, pathPayments, orderJSON, 415, "Content-Type", "text/plain")
	c.hold(h, "POST", pathPayments, pathPayments, strings.Repeat(" ", 17<<10), 413)
	other := c.hold(h, "POST", pathPayments, pathPayments, strings.Replace(orderJSON, `"iban":"DE89370400440532013000"`, `"other":{"identification":"6222-1"}`, 1), 201, "Idempotency-Key", "other")
	for _, r := range []reply{other, r} {
		id, _ := r.json(c.t)["paymentId"].(string)
		path := pathPayments + "/" + id
		read := func() {
			c.hold(h, "GET", pathPayment, path, "", 200)
			c.hold(h, "GET", pathPayment+"/status", path+"/status", "", 200)
			c.hold(h, "GET", pathPayment+"/authorisations/{authId}", path+"/authorisations/"+id, "", 200)
		}
		read()
		c.hold(h, "DELETE", pathPayment, path, "", 204)
		read()
	}
	for _, suffix := range []string{"", "/status", "/authorisations/{authId}"} {
		c.hold(h, "GET", pathPayment+suffix, pathPayments+"/"+someUUID+strings.Replace(suffix, "{authId}", someUUID, 1), "", 404)
	}
	c.hold(h, "DELETE", pathPayment, pathPayments+"/"+someUUID, "", 404)
	c.hold(h, "GET", "/v1/notification-keys", "/v1/notification-keys", "", 200)
	c.hold(h, "GET", "/discovery/status", "/discovery/status", "", 200)
	c.hold(h, "GET", "/discovery/outages", "/discovery/outages", "", 200)

	slow := newHouse(c.t, newBank(c.t), func(cfg *Config) { cfg.Outages = []Outage{{time.Now(), time.Now().Add(time.Hour), "works"}} }, edge.Limits{ReadTimeout: 30 * time.Millisecond})
	c.hold(slow, "GET", "/discovery/status", "/discovery/status", "", 200)
	c.hold(slow, "GET", "/discovery/outages", "/discovery/outages", "", 200)
	late := request(c.t, "POST", pathPayments, "")
	late.Body, late.ContentLength = &neverRead{done: c.t.Context().Done()}, 10
	if answer, err := slow.client.Do(late); err != nil || answer.StatusCode != 408 {
		c.t.Fatalf("%v %v", answer, err)
	} else {
		answer.Body.Close()
		c.seen["POST "+pathPayments+" 408"] = true // the same document as every other problem; TestSlowRequestIsAnswered408 looks at it
	}
}

type neverRead struct{ done <-chan struct{} }

func (n *neverRead) Read([]byte) (int, error) { <-n.done; return 0, http.ErrBodyReadAfterClose }
func (n *neverRead) Close() error             { return nil }

// uncertain meets the answers of a bank whose journal is slow, silent or gone.
func (c *contract) uncertain(b *bank) {
	h := newHouse(c.t, b, func(cfg *Config) {
		cfg.Limits = Limits{SubmitTimeout: time.Millisecond, AttachTimeout: time.Millisecond}
	}, edge.Limits{})
	id := h.create("uncertain-1")
	path := pathPayments + "/" + id
	b.intercept(func(*journal.Command, func() (journal.Result, error)) (journal.Result, error) {
		return journal.Result{}, cluster.ErrUnknown
	})
	c.hold(h, "POST", pathPayments, pathPayments, orderJSON, 201, "Idempotency-Key", "uncertain-2")
	c.hold(h, "DELETE", pathPayment, path, "", 202)
	b.intercept(func(*journal.Command, func() (journal.Result, error)) (journal.Result, error) {
		return journal.Result{}, cluster.ErrNoLeader
	})
	c.hold(h, "POST", pathPayments, pathPayments, orderJSON, 503, "Idempotency-Key", "uncertain-3")
	c.hold(h, "DELETE", pathPayment, path, "", 503)
	// A payment that has left RCVD in the meantime.
	b.intercept(func(*journal.Command, func() (journal.Result, error)) (journal.Result, error) {
		return journal.Result{Verdict: journal.NotAllowed, Payment: journal.Payment{State: journal.StateSettled}}, nil
	})
	c.hold(h, "DELETE", pathPayment, path, "", 409)
	// Another bank: the first still asks about a create in doubt.
	b = newBank(c.t)
	h = newHouse(c.t, b, func(cfg *Config) { cfg.Limits.AttachTimeout = time.Millisecond }, edge.Limits{})
	release, entered := make(chan struct{}), make(chan struct{})
	b.intercept(func(_ *journal.Command, apply func() (journal.Result, error)) (journal.Result, error) {
		close(entered)
		<-release
		return apply()
	})
	first := make(chan reply)
	go func() { first <- h.call("POST", pathPayments, orderJSON, "Idempotency-Key", "uncertain-4") }()
	<-entered
	c.hold(h, "POST", pathPayments, pathPayments, orderJSON, 409, "Idempotency-Key", "uncertain-4")
	close(release)
	<-first
	b.intercept(nil)
}

// everywhere meets the answers that every call of a kind can get.
func (c *contract) everywhere(method, template string) {
	path := strings.NewReplacer("{id}", someUUID, "{authId}", someUUID).Replace(template)
	public := strings.HasPrefix(template, "/discovery")
	b := newBank(c.t)
	h := newHouse(c.t, b, nil, edge.Limits{})
	c.hold(h, method, template, path, orderJSON, 400, "X-Request-ID", "7")
	c.hold(h, method, template, path, orderJSON, 431, "X-Long", strings.Repeat("x", 9<<10))
	if !public {
		c.hold(h, method, template, path, orderJSON, 401, "X-Test-Partner", "")
		c.hold(h, method, template, path, orderJSON, 401, "X-Test-Partner", "stranger")
		spent := newHouse(c.t, newBank(c.t), func(cfg *Config) {
			now := time.Now()
			cfg.Clock = func() time.Time { return now }
			cfg.Bank = modest{newBank(c.t)}
		}, edge.Limits{})
		spent.call(method, path, orderJSON)
		c.hold(spent, method, template, path, orderJSON, 429)
	}
	shedding := newHouse(c.t, b, nil, edge.Limits{RequestsInFlight: -1})
	c.hold(shedding, method, template, path, orderJSON, 503)
	var dead atomic.Bool
	broken := newHouse(c.t, b, func(cfg *Config) {
		cfg.Clock = func() time.Time {
			if dead.Load() {
				panic("no time")
			}
			return time.Now()
		}
	}, edge.Limits{})
	dead.Store(true)
	c.hold(broken, method, template, path, orderJSON, 500)
}

// modest allows one call of each kind in a second.
type modest struct{ *bank }

func (m modest) PartnerByFingerprint(f [32]byte) (journal.Partner, bool) {
	p, ok := m.bank.PartnerByFingerprint(f)
	p.CreatesPerSecond, p.PollsPerSecond = 1, 1
	return p, ok
}

// What webhooks say is documented too.
func TestWebhooksAreAsDocumented(t *testing.T) {
	c := newContract(t)
	schema := c.spec.Components.Schemas["Notification"].Value
	for s := journal.StateAuthorised; s <= journal.StateReversing; s++ {
		body, err := webhook.Body(
			journal.Notice{Payment: journal.PaymentID{1}, Version: 2, State: s, Reason: journal.ReasonNoAnswer, At: testNow},
			journal.Payment{EndToEndID: "order", Amount: journal.Money{Minor: 1, Currency: "CNY"}})
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			t.Fatal(err)
		}
		if err := schema.VisitJSON(v, openapi3.EnableJSONSchema2020(), openapi3.EnableFormatValidation()); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
	}
}

// The contract test must be able to fail.
func TestContractTestSeesWhatIsNotDocumented(t *testing.T) {
	c := newContract(t)
	item := c.spec.Paths.Value(pathPayment + "/status")
	f := func(status int, body string) {
		t.Helper()
		input := &openapi3filter.RequestValidationInput{
			Request: httptest.NewRequest("GET", pathPayments+"/"+someUUID+"/status", nil),
			Route:   &routers.Route{Spec: c.spec, PathItem: item, Method: "GET", Operation: item.Get},
			Options: &openapi3filter.Options{IncludeResponseStatus: true},
		}
		header := http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {someUUID}, "Ratelimit": {`"polls";r=1;t=1`}, "Ratelimit-Policy": {`"polls";q=1;w=1`}}
		answer := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: status, Header: header, Options: input.Options}
		answer.SetBodyBytes([]byte(body))
		err := openapi3filter.ValidateResponse(t.Context(), answer)
		if good := bytes.Contains([]byte(body), []byte("RCVD")) && status == 200; (err == nil) != good {
			t.Errorf("%d %s: %v", status, body, err)
		}
	}
	f(200, `{"transactionStatus":"RCVD","version":1}`)
	f(200, `{"transactionStatus":"DONE","version":1}`)
	f(200, `{"transactionStatus":"ACSC"}`)
	f(200, `{"transactionStatus":"ACSC","version":1,"more":1}`)
	f(418, `{"transactionStatus":"RCVD","version":1}`)
}
