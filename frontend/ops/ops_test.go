package ops

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

const (
	token        = "0123456789abcdef0123456789abcdef0123456789abcdef"
	supportToken = "fedcba9876543210fedcba9876543210fedcba9876543210"
)

// bank is a node that remembers what it was told.
type bank struct {
	worker   bool // it keeps no journal
	lock     sync.Mutex
	commands []*journal.Command
	notes    []*command.Note // of what operators have done, apart from the rest
	acts     *drawer         // has them entered; may be nil
	verdict  journal.Verdict
	err      error
	refused  map[gate.Class]gate.Reason
	status   cluster.Status
	payments []journal.Payment
	hang     chan struct{} // Status waits for it
}

func (b *bank) Submit(cmd *journal.Command, _ time.Time) (journal.Result, error) {
	b.lock.Lock()
	defer b.lock.Unlock()
	if note := cmd.GetNote(); note != nil {
		b.notes = append(b.notes, note)
		if b.acts != nil {
			verdict, err := b.acts.Move(cmd)
			return journal.Result{Verdict: verdict}, err
		}
		return journal.Result{Verdict: journal.Done}, b.err
	}
	b.commands = append(b.commands, cmd)
	return journal.Result{Verdict: b.verdict}, b.err
}

func (b *bank) Customer(username string) (journal.Customer, bool, error) {
	return journal.Customer{ID: 7}, username == "wang", nil
}

func (b *bank) Payments(f func(journal.Payment) bool) error {
	if b.worker {
		return cluster.ErrWorker
	}
	for _, p := range b.payments {
		if !f(p) {
			break
		}
	}
	return nil
}

func (b *bank) Status() cluster.Status {
	if b.hang != nil {
		<-b.hang
	}
	return b.status
}

func (b *bank) Refused(c gate.Class) (cluster.Refusal, bool) {
	reason, ok := b.refused[c]
	return cluster.Refusal{Reason: reason}, ok
}

type plainCredentials struct{}

func (plainCredentials) Password(id journal.CustomerID, plain string) ([]byte, error) {
	return fmt.Appendf(nil, "sealed %d", id), nil
}

func (plainCredentials) PasswordHash(id journal.CustomerID, phc string) ([]byte, error) {
	if phc == "weak" {
		return nil, errors.New("too weak")
	}
	return fmt.Appendf(nil, "sealed %d", id), nil
}

func (plainCredentials) Phone(id journal.CustomerID, number string) []byte {
	return []byte(fmt.Sprintf("phone %d", id))
}

func (plainCredentials) TOTP(id journal.CustomerID, seed []byte) []byte {
	return fmt.Appendf(nil, "seed %d", id)
}

func newPort(t testing.TB, b *bank, checks ...Check) http.Handler {
	t.Helper()
	h, err := New(Config{
		Bank: b, Credentials: plainCredentials{}, Gatherer: prometheus.NewRegistry(), Token: token, Checks: checks, BankName: "Test bank",
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func ask(h http.Handler, method, path, bearer, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:9090"+path, strings.NewReader(body))
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Whatever is asked for and by whom: pages, metrics, calls, refusals, what there is not.
func TestHeaders_EveryAnswerOfTheOperatorsPortBearsThem(t *testing.T) {
	headers := map[string]string{
		"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		"Server": "", "X-Powered-By": "", "Access-Control-Allow-Origin": "", "Set-Cookie": "",
	}
	h := newPort(t, &bank{})
	paths := []string{
		"/", "/cluster", "/scale", "/support", "/metrics", "/livez", "/readyz", "/style.css", "/nowhere", "/debug/pprof/",
		"/api/v1/status", "/api/v1/payments", "/api/v1/cluster", "/api/v1/audit", "/api/v1/nowhere",
	}
	for _, path := range paths {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete, http.MethodOptions} {
			for _, bearer := range []string{"", token} {
				for _, host := range []string{"127.0.0.1:9090", "evil.example"} {
					for _, secure := range []string{"", "max-age=31536000"} {
						r := httptest.NewRequest(method, "http://127.0.0.1:9090"+path, nil)
						r.Host = host
						if bearer != "" {
							r.Header.Set("Authorization", "Bearer "+bearer)
						}
						if headers["Strict-Transport-Security"] = secure; secure != "" {
							r.TLS = &tls.ConnectionState{}
						}
						w := httptest.NewRecorder()
						h.ServeHTTP(w, r)
						for name, want := range headers {
							if got := w.Header().Get(name); got != want {
								t.Errorf("%s %s (%d): %s is %q, want %q", method, path, w.Code, name, got, want)
							}
						}
					}
				}
			}
		}
	}
}

func TestEveryVerbAsksForTheToken(t *testing.T) {
	b := &bank{}
	h := newPort(t, b)
	for _, call := range []string{"GET /api/v1/status", "GET /api/v1/payments", "GET /api/v1/backup", "POST /api/v1/partners", "POST /api/v1/customers", "POST /api/v1/customers/wang/unlock"} {
		method, path, _ := strings.Cut(call, " ")
		for _, bearer := range []string{"", "wrong", token[:len(token)-1], token + "0"} {
			if w := ask(h, method, path, bearer, ""); w.Code != http.StatusUnauthorized {
				t.Errorf("%s with token %q answered %d", call, bearer, w.Code)
			}
		}
		if w := ask(h, method, path, token, ""); w.Code == http.StatusUnauthorized {
			t.Errorf("%s refused the right token", call)
		}
	}
	if _, err := New(Config{Token: "short"}); err == nil {
		t.Error("a short token was taken")
	}
}

func TestPageOfAnotherNameIsToldNothing(t *testing.T) {
	h := newPort(t, &bank{})
	f := func(host string, want int) {
		t.Helper()
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.Host = host
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%q was answered %d", host, w.Code)
		}
	}
	f("localhost:9090", http.StatusOK)
	f("[::1]:9090", http.StatusOK)
	f("127.0.0.1", http.StatusOK)
	f("rebound.example:9090", http.StatusForbidden)
	f("", http.StatusForbidden)
}

func TestPortIsAliveBeforeTheBankIsOpen(t *testing.T) {
	h := Starting()
	f := func(path string, want int) {
		t.Helper()
		if w := ask(h, "GET", path, "", ""); w.Code != want {
			t.Errorf("%s answered %d", path, w.Code)
		}
	}
	f("/livez", http.StatusOK)
	f("/readyz", http.StatusServiceUnavailable)
	f("/", http.StatusServiceUnavailable)
}

func TestReadinessNamesWhatIsNotWellAndWhatToDo(t *testing.T) {
	well := true
	h := newPort(t, &bank{}, Check{Name: "core", Ask: func() error {
		if well {
			return nil
		}
		return errors.New("the core cannot be reached; ask its operators")
	}})
	if w := ask(h, "GET", "/readyz", "", ""); w.Code != http.StatusOK {
		t.Errorf("ready answered %d", w.Code)
	}
	well = false
	if w := ask(h, "GET", "/readyz?verbose", "", ""); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "[-]core failed: the core cannot be reached; ask its operators\nreadyz check failed\n") {
		t.Errorf("not ready answered %d: %s", w.Code, w.Body)
	}
	if w := ask(h, "GET", "/livez", "", ""); w.Code != http.StatusOK {
		t.Errorf("alive answered %d while the core is away", w.Code)
	}
	if w := ask(h, "GET", "/", "", ""); !strings.Contains(w.Body.String(), "Payments are not getting through") {
		t.Errorf("the page does not say so:\n%s", w.Body)
	}
}

func TestPageSaysWhatIsRefusedAndThatMoreNodesWouldNotHelp(t *testing.T) {
	b := &bank{refused: map[gate.Class]gate.Reason{gate.Confirm: gate.TooLate}}
	page := ask(newPort(t, b), "GET", "/", "", "").Body.String()
	for _, want := range []string{"being refused: too-late", "More nodes would not help"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

const customerLine = `{"id":7,"username":"wang","password":"lotus-river-42","totp":"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ","name":"王小雨","accounts":[{"number":"6222000000000000007","currency":"CNY","label":"a"}]}`

func TestImportsTakeGoodLinesAndNameBadOnes(t *testing.T) {
	b := &bank{}
	h := newPort(t, b)
	lines := strings.Join([]string{
		customerLine, "", `{"id":8,"username":"x","passwrod":"y"}`, `not json`, `{"id":9,"username":"z","totp":"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"}`,
		`{"id":10,"username":"w","passwordHash":"weak","totp":"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"}`, `{"id":11,"username":"v","password":"lotus-river-42","totp":"1"}`,
		`{"id":12,"username":"u","password":"lotus-river-42","totp":"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ","accounts":[{"number":"DE89370400440532013000","currency":"EUR"}]}`,
	}, "\n")
	w := ask(h, "POST", "/api/v1/customers", token, lines)
	var out Imported
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusUnprocessableEntity || out.Imported != 1 || out.Failed != 6 || len(b.commands) != 1 {
		t.Fatalf("answered %d %+v, %d commands", w.Code, out, len(b.commands))
	}
	all := strings.Join(out.Errors, "\n")
	for _, want := range []string{`line 3: `, `passwrod`, `line 4: `, `line 5: customer 9: give either`, `line 6: customer 10: too weak`, `line 7: customer 11: totp`, `line 8: customer 12: an account number is not 1 to 19 digits`} {
		if !strings.Contains(all, want) {
			t.Errorf("the errors lack %q:\n%s", want, all)
		}
	}
	if strings.Contains(all, "lotus") {
		t.Errorf("a password stands in the errors:\n%s", all)
	}
	put := b.commands[0].Body.(*command.Command_PutCustomer).PutCustomer
	if put.Id != 7 || string(put.PasswordSealed) != "sealed 7" || string(put.TotpSealed) != "seed 7" || len(put.Accounts) != 1 {
		t.Errorf("the journal was given %+v", put)
	}
}

func TestImportLeavesAChosenPasswordUnlessItSaysReset(t *testing.T) {
	b := &bank{}
	f := func(line string, want bool) {
		t.Helper()
		ask(newPort(t, b), "POST", "/api/v1/customers", token, line)
		if got := b.commands[len(b.commands)-1].GetPutCustomer(); got == nil || got.ResetPassword != want {
			t.Errorf("the journal was given %+v", got)
		}
	}
	f(customerLine, false)
	f(strings.Replace(customerLine, "{", `{"resetPassword":true,`, 1), true)
}

func TestImportDryRunChangesNothing(t *testing.T) {
	b := &bank{}
	w := ask(newPort(t, b), "POST", "/api/v1/customers?dryRun=1", token, customerLine)
	if w.Code != http.StatusOK || len(b.commands) != 0 || !strings.Contains(w.Body.String(), `"imported":1`) {
		t.Errorf("answered %d %s with %d commands", w.Code, w.Body, len(b.commands))
	}
}

func TestImportTellsWhatTheJournalRefused(t *testing.T) {
	w := ask(newPort(t, &bank{verdict: journal.NotAllowed}), "POST", "/api/v1/partners", token, `{"id":1,"name":"Shop"}`)
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "not-allowed") {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	w = ask(newPort(t, &bank{}), "POST", "/api/v1/partners", token, `{"id":1,"name":"Shop","fingerprints":["zz"]}`)
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "openssl x509") {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
}

func TestEverythingIsBounded_ALineOfAnImport(t *testing.T) {
	w := ask(newPort(t, &bank{}), "POST", "/api/v1/customers", token, customerLine+"\n"+strings.Repeat("x", LineBytesMax+1))
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), fmt.Sprint(LineBytesMax)) {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
}

func TestPaymentsOfTheAuditHoldNoAccountNumber(t *testing.T) {
	b := &bank{payments: []journal.Payment{{State: journal.StateSettled, DebtorAccount: "6222000000000000007", CreditorAccount: "6228480000000000017", Amount: journal.Money{Minor: 5, Currency: "CNY"}}}}
	w := ask(newPort(t, b), "GET", "/api/v1/payments", token, "")
	var line Payment
	if err := json.Unmarshal(w.Body.Bytes(), &line); err != nil || line.State != "settled" || line.Minor != 5 {
		t.Errorf("%v: %s", err, w.Body)
	}
	if strings.Contains(w.Body.String(), "622") {
		t.Errorf("an account number stands in %s", w.Body)
	}
}

// What changes who may pay is in the journal's audit, whichever door it came by, and on a node alone, too.
func TestImportsAndUnlocksAreEnteredIntoTheAudit(t *testing.T) {
	b := &bank{}
	h := newPort(t, b)
	f := func(path, body, verb, reason, detail string) {
		t.Helper()
		before := len(b.notes)
		if w := ask(h, "POST", path, token, body); w.Code/100 != 2 && w.Code != http.StatusBadRequest {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		if verb == "" {
			if len(b.notes) != before {
				t.Errorf("%s was entered: %v", path, b.notes[before:])
			}
			return
		}
		if len(b.notes) != before+1 {
			t.Fatalf("%s: %d entries", path, len(b.notes)-before)
		}
		if n := b.notes[before]; n.Verb != verb || n.Operator != "token" || n.Reason != reason || n.Detail != detail {
			t.Errorf("%s: %+v", path, n)
		}
	}
	f("/api/v1/customers/wang/unlock?reason=she+called", "", "unlock", "she called", "customer 7")
	f("/api/v1/customers/wang/unlock", "", "unlock", "no reason was given", "customer 7")
	f("/api/v1/customers/wang/unlock?reason=%07", "", "", "", "")
	f("/api/v1/customers?reason=new+ones", customerLine, "import-customers", "new ones", "imported 1, failed 0")
	f("/api/v1/customers?dryRun=1", customerLine, "", "", "")
	f("/api/v1/partners", `{"id":1,"name":"Shop"}`, "import-partners", "no reason was given", "imported 1, failed 0")
	if len(b.commands) != 4 {
		t.Errorf("%d commands", len(b.commands))
	}
}

func TestUnlockNamesTheCustomerByID(t *testing.T) {
	b := &bank{}
	h := newPort(t, b)
	if w := ask(h, "POST", "/api/v1/customers/wang/unlock", token, ""); w.Code != http.StatusOK || b.commands[0].Body.(*command.Command_Unlock).Unlock.Customer != 7 {
		t.Errorf("answered %d", w.Code)
	}
	if w := ask(h, "POST", "/api/v1/customers/nobody/unlock", token, ""); w.Code != http.StatusNotFound {
		t.Errorf("nobody was unlocked with %d", w.Code)
	}
}

func FuzzImport(f *testing.F) {
	f.Add(customerLine)
	f.Add(`{"id":1,"name":"Shop","fingerprints":["00"]}`)
	f.Add("{}\n{}\n[]")
	f.Add(`{"id":-1}`)
	h := newPort(f, &bank{})
	f.Fuzz(func(t *testing.T, lines string) {
		for _, path := range []string{"/api/v1/customers", "/api/v1/partners"} {
			if w := ask(h, "POST", path, token, lines); w.Code != http.StatusOK && w.Code != http.StatusUnprocessableEntity {
				t.Fatalf("%s answered %d", path, w.Code)
			}
		}
	})
}

// A name in another form than the one that signing in looks up would be a customer who can never sign in.
func TestImportedUserNamesAreThoseThatSigningInLooksUp(t *testing.T) {
	b := &bank{}
	h := newPort(t, b)
	f := func(given, want string) {
		t.Helper()
		line := strings.Replace(customerLine, `"wang"`, `"`+given+`"`, 1)
		w := ask(h, "POST", "/api/v1/customers", token, line)
		if want == "" {
			if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "username must have") {
				t.Errorf("%q answered %d %s", given, w.Code, w.Body)
			}
			return
		}
		if w.Code != http.StatusOK {
			t.Fatalf("%q answered %d %s", given, w.Code, w.Body)
		}
		if got := b.commands[len(b.commands)-1].Body.(*command.Command_PutCustomer).PutCustomer.Username; got != want {
			t.Errorf("%q was stored as %q, want %q", given, got, want)
		}
	}
	f("wang", "wang")
	f(" wang ", "wang")
	f("Ju\u0308rgen", "J\u00fcrgen") // NFD, as some systems export it
	f("", "")
	f(`a\u0007b`, "")
}
