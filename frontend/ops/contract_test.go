package ops

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/prometheus/client_golang/prometheus"

	"netbank/cluster"
	"netbank/cluster/gate"
)

func document(t *testing.T) *openapi3.T {
	t.Helper()
	spec, err := openapi3.NewLoader().LoadFromFile("../../docs/operator-api.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestRoutesAreThoseOfTheDocument(t *testing.T) {
	var served, documented []string
	for _, r := range (&port{Config: Config{Gatherer: prometheus.NewRegistry()}}).routes() {
		served = append(served, strings.TrimSuffix(r.pattern, "{$}"))
	}
	spec := document(t)
	for path, item := range spec.Paths.Map() {
		for method, operation := range item.Operations() {
			call := method + " " + path
			documented = append(documented, call)
			open := operation.Security != nil && len(*operation.Security) == 1 && len((*operation.Security)[0]) == 0
			if asksWho(path) == open {
				t.Errorf("%s is documented as open: %v", call, open)
			}
		}
	}
	slices.Sort(served)
	slices.Sort(documented)
	if !slices.Equal(served, documented) {
		t.Errorf("served\n%s\ndocumented\n%s", strings.Join(served, "\n"), strings.Join(documented, "\n"))
	}
	for _, r := range (&port{Config: Config{Gatherer: prometheus.NewRegistry()}}).routes() {
		if _, path, _ := strings.Cut(r.pattern, " "); r.verb != asksWho(path) {
			t.Errorf("%s asks for the token: %v", r.pattern, r.verb)
		}
	}
}

// asksWho tells whether a call needs a token.
func asksWho(path string) bool { return strings.HasPrefix(path, "/api/") || path == "/support" }

// contract holds calls against the document, and notes which documented answers were met.
type contract struct {
	t    *testing.T
	spec *openapi3.T
	seen map[string]bool

	reference string // that support asks for; empty: one that is known
}

var parameter = regexp.MustCompile(`\{(\w+)\}`)

func (c *contract) hold(h http.Handler, method, template, query, body string, status int, header ...string) string {
	c.t.Helper()
	path := strings.NewReplacer("{node}", "2", "{name}", "wang", "{lever}", "workers", "{reference}", cmp.Or(c.reference, "known")).Replace(template) + query
	if strings.Contains(template, "{name}") && status == http.StatusNotFound {
		path = strings.Replace(template, "{name}", "nobody", 1) + query
	}
	if strings.Contains(template, "{node}") && status == http.StatusNotFound {
		path = strings.Replace(template, "{node}", "99", 1) + query
	}
	item := c.spec.Paths.Value(template)
	r := httptest.NewRequest(method, "http://127.0.0.1:9090"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
		if strings.HasSuffix(template, "ers") {
			r.Header.Set("Content-Type", "application/x-ndjson")
		}
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	operation := item.GetOperation(method)
	input := &openapi3filter.RequestValidationInput{
		Request: r, Route: &routers.Route{Spec: c.spec, Path: template, PathItem: item, Method: method, Operation: operation},
		PathParams: map[string]string{}, QueryParams: r.URL.Query(),
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, ExcludeRequestBody: strings.HasSuffix(template, "ers")},
	}
	for _, name := range parameter.FindAllStringSubmatch(template, -1) {
		if input.PathParams[name[1]] = "2"; name[1] == "lever" {
			input.PathParams[name[1]] = "workers"
		}
	}
	invalid := openapi3filter.ValidateRequest(c.t.Context(), input)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != status {
		c.t.Fatalf("%s %s: %d, want %d: %s", method, path, w.Code, status, w.Body)
	}
	if status < 400 && invalid != nil {
		c.t.Fatalf("%s %s: the port takes what the document does not: %v", method, path, invalid)
	}
	answer := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: w.Code, Header: w.Header(), Options: input.Options}
	if kind := w.Header().Get("Content-Type"); !strings.Contains(kind, "json") || strings.Contains(kind, "ndjson") {
		answer.Options = &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: true}
	}
	if err := openapi3filter.ValidateResponse(c.t.Context(), answer.SetBodyBytes(w.Body.Bytes())); err != nil {
		c.t.Fatalf("%s %s: %d: %v\n%s", method, path, status, err, w.Body)
	}
	c.seen[fmt.Sprintf("%s %s %d", method, template, status)] = true
	return w.Body.String()
}

// Every documented answer is met once, and is as documented.
func TestPortKeepsTheDocumentedContract(t *testing.T) {
	c := &contract{t: t, spec: document(t), seen: map[string]bool{}}
	well := three()
	b := &bank{refused: map[gate.Class]gate.Reason{gate.Confirm: gate.TooLate}}
	h := clusterPort(t, b, well)
	sick := clusterPort(t, b, well, Check{Name: "core", Ask: func() error { return &Fault{"gone", "call them"} }}, Check{Name: "clock", Ask: func() error { return errors.New("wrong") }})
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/", "/cluster", "/style.css", "/api/v1/status", "/api/v1/cluster", "/api/v1/payments"} {
		c.hold(h, "GET", path, "", "", 200)
		c.hold(h, "GET", path, "", "", 403, "Host", "rebound.example")
	}
	for _, path := range []string{"/api/v1/status", "/api/v1/cluster", "/api/v1/payments"} {
		c.hold(h, "GET", path, "", "", 401, "Authorization", "Bearer x")
	}
	c.hold(h, "GET", "/readyz", "?format=json", "", 200)
	c.hold(sick, "GET", "/readyz", "", "", 503, "Accept", "application/json")
	c.hold(newPort(t, b), "GET", "/api/v1/cluster", "", "", 200)
	for _, path := range []string{"/api/v1/status", "/api/v1/cluster"} {
		c.hold(Starting(), "GET", path, "", "", 503)
	}
	c.hold(Starting(), "POST", "/api/v1/customers/{name}/unlock", "", "", 503)
	c.hold(clusterPort(t, &bank{worker: true}, three()), "GET", "/api/v1/payments", "", "", 404)

	const (
		remove  = "/api/v1/cluster/nodes/{node}/remove"
		promote = "/api/v1/cluster/nodes/{node}/promote"
		drain   = "/api/v1/cluster/nodes/{node}/drain"
		undrain = "/api/v1/cluster/nodes/{node}/undrain"
		lead    = "/api/v1/cluster/lead"
		tokens  = "/api/v1/cluster/tokens"
		rotate  = "/api/v1/cluster/authority/rotate"
	)
	good := map[string]string{remove: `{"reason":"x","force":true}`, promote: `{"reason":"x"}`, drain: `{"reason":"x","force":true}`, undrain: `{"reason":"x"}`, lead: `{"reason":"x","node":2}`, tokens: `{"role":"worker","uses":2,"lifetimeSeconds":60,"reason":"x"}`, rotate: `{"reason":"x"}`}
	for path, body := range good {
		c.hold(h, "POST", path, "", body, 200)
		c.hold(h, "POST", path, "?dryRun=1", body, 200)
		c.hold(h, "POST", path, "?dryRun=maybe", body, 400)
		c.hold(h, "POST", path, "", `{"reason":" "}`, 400)
		c.hold(h, "POST", path, "", `{"raeson":"x"}`, 400)
		c.hold(h, "POST", path, "", body, 401, "Authorization", "Basic x")
		c.hold(h, "POST", path, "", body, 403, "Sec-Fetch-Site", "cross-site")
		c.hold(newPort(t, b), "POST", path, "", body, 409)
		for status, err := range map[int]error{500: errors.New("broken"), 503: cluster.ErrNoLeader, 504: context.DeadlineExceeded, 409: &NotLeader{Leader: 2, Operator: "https://b:9090"}} {
			failing := three()
			failing.err = err
			c.hold(clusterPort(t, b, failing), "POST", path, "", body, status)
		}
	}
	c.hold(h, "POST", remove, "", good[remove], 404)
	c.hold(h, "POST", promote, "", good[promote], 404)
	c.hold(h, "POST", drain, "", good[drain], 404)
	c.hold(h, "POST", undrain, "", good[undrain], 404)
	c.hold(h, "POST", lead, "", `{"reason":"x","node":99}`, 404)

	holdLevers(t, c, b)

	for _, path := range []string{"/api/v1/partners", "/api/v1/customers"} {
		c.hold(h, "POST", path, "?dryRun=true", "", 200)
		c.hold(h, "POST", path, "?dryRun=maybe", "", 400)
		c.hold(h, "POST", path, "", "", 401, "Authorization", "Bearer x")
		c.hold(h, "POST", path, "", "", 403, "Origin", "https://elsewhere.example")
		c.hold(h, "POST", path, "", "[]", 422)
	}
	const unlock = "/api/v1/customers/{name}/unlock"
	c.hold(h, "POST", unlock, "", "", 200)
	c.hold(h, "POST", unlock, "", "", 401, "Authorization", "Bearer x")
	c.hold(h, "POST", unlock, "", "", 403, "Sec-Fetch-Site", "same-site")
	c.hold(h, "POST", unlock, "", "", 404)
	c.hold(h, "POST", unlock, "?reason=%07", "", 400)
	c.hold(newPort(t, &bank{err: cluster.ErrNoLeader}), "POST", unlock, "", "", 503)

	const reset = "/api/v1/customers/{name}/reset-factors"
	c.hold(h, "POST", reset, "", `{"reason":"x"}`, 200)
	c.hold(h, "POST", reset, "?dryRun=1", `{"reason":"x"}`, 200)
	c.hold(h, "POST", reset, "?dryRun=maybe", `{"reason":"x"}`, 400)
	c.hold(h, "POST", reset, "", `{"reason":""}`, 400)
	c.hold(h, "POST", reset, "", `{"reason":"x"}`, 401, "Authorization", "Bearer x")
	c.hold(h, "POST", reset, "", `{"reason":"x"}`, 403, "Sec-Fetch-Site", "same-site")
	c.hold(h, "POST", reset, "", `{"reason":"x"}`, 404)
	c.hold(newPort(t, &bank{err: cluster.ErrNoLeader}), "POST", reset, "", `{"reason":"x"}`, 503)

	const copied = "/api/v1/backup"
	c.hold(h, "GET", copied, "", "", 401, "Authorization", "Bearer x")
	c.hold(h, "GET", copied, "", "", 403, "Host", "rebound.example")
	for status, err := range map[int]error{200: nil, 404: cluster.ErrNoJournal, 409: cluster.ErrBackupRuns, 500: errors.New("no space")} {
		closed := new(atomic.Int32)
		c.hold(changedPort(t, io.Discard, b, well, func(cfg *Config) {
			cfg.Backup = func() (Backup, error) { return canned{"whole", 5, closed}, err }
		}), "GET", copied, "", "", status)
	}

	const support = "/api/v1/support/{reference}"
	c.hold(h, "GET", support, "", "", 200)
	c.hold(h, "GET", support, "", "", 200, "Authorization", "Bearer "+supportToken)
	c.hold(h, "GET", support, "", "", 401, "Authorization", "Bearer x")
	c.hold(h, "GET", support, "", "", 403, "Host", "rebound.example")
	for path, item := range c.spec.Paths.Map() { // the support token opens nothing else
		for method := range item.Operations() {
			if asksWho(path) && path != support && path != "/support" {
				c.hold(h, method, path, "", "", 401, "Authorization", "Bearer "+supportToken)
			}
		}
	}
	c.hold(h, "GET", "/support", "?reference=known", "", 200)
	c.hold(h, "GET", "/support", "", "", 401, "Authorization", "Bearer x")
	c.hold(h, "GET", "/support", "", "", 403, "Sec-Fetch-Site", "cross-site", "Host", "rebound.example")
	for status, reference := range map[int]string{400: strings.Repeat("x", 65), 404: "unknown", 503: "blind"} {
		c.hold(h, "GET", "/support", "?reference="+reference, "", status)
		c.reference = reference
		c.hold(h, "GET", support, "", "", status)
	}

	var missing []string
	for path, item := range c.spec.Paths.Map() {
		for method, operation := range item.Operations() {
			for status := range operation.Responses.Map() {
				if name := method + " " + path + " " + status; !c.seen[name] {
					missing = append(missing, name)
				}
			}
		}
	}
	if slices.Sort(missing); len(missing) > 0 {
		t.Errorf("documented, but not met: %v", missing)
	}
}

// The contract test must be able to fail.
func TestContractTestSeesWhatIsNotDocumented(t *testing.T) {
	spec := document(t)
	item := spec.Paths.Value("/api/v1/cluster/lead")
	f := func(body string, good bool) {
		t.Helper()
		input := &openapi3filter.RequestValidationInput{
			Request: httptest.NewRequest("POST", "/api/v1/cluster/lead", bytes.NewReader(nil)), Route: &routers.Route{Spec: spec, PathItem: item, Method: "POST", Operation: item.Post},
			Options: &openapi3filter.Options{IncludeResponseStatus: true},
		}
		answer := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Options: input.Options}
		if err := openapi3filter.ValidateResponse(t.Context(), answer.SetBodyBytes([]byte(body))); (err == nil) != good {
			t.Errorf("%s: %v", body, err)
		}
	}
	f(`{"verb":"lead","dryRun":true,"effect":[]}`, true)
	f(`{"verb":"lead","dryRun":true,"effect":[],"more":1}`, false)
	f(`{"verb":"dance","dryRun":true,"effect":[]}`, false)
}
