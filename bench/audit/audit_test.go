package audit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netbank/bench/demo"
)

// account is a sound world of four payments, to be spoilt by a test: settled, rejected by reversal, cancelled, never confirmed.
type account struct {
	payments, references []string
	ledger               string
	told                 []Told
	webhooks             bool
}

const (
	settledLine  = `{"paymentId":"s","state":"settled","transactionStatus":"ACSC","version":3,"minor":100,"currency":"CNY","grantedMs":1000,"changedMs":1700,"rrn":"000000000001"}`
	reversedLine = `{"paymentId":"r","state":"rejected","transactionStatus":"RJCT","reason":"reversed","version":5,"minor":200,"currency":"CNY","grantedMs":1000,"changedMs":9000,"rrn":"000000000002"}`
	cancelLine   = `{"paymentId":"c","state":"cancelled","transactionStatus":"CANC","version":2,"minor":300,"currency":"CNY"}`
	waitingLine  = `{"paymentId":"w","state":"received","transactionStatus":"RCVD","version":1,"minor":400,"currency":"CNY"}`
	settledRef   = `{"reference":"000000000001","paymentId":"s","debitedMinor":100,"currency":"CNY","status":"debited","reversed":false,"debits":1,"code":"00"}`
	reversedRef  = `{"reference":"000000000002","paymentId":"r","debitedMinor":200,"currency":"CNY","status":"reversed","reversed":true,"debits":1,"code":"00"}`
)

func ledger(references, debited, clearing, total int) string {
	return fmt.Sprintf(`{"references":%d,"debited":%d,"balanced":%v,"currencies":{"CNY":{"clearingMinor":%d,"totalMinor":%d}}}`, references, debited, total == 0, clearing, total)
}

func sound() *account {
	return &account{
		payments: []string{settledLine, reversedLine, cancelLine, waitingLine}, references: []string{settledRef, reversedRef}, ledger: ledger(2, 1, 100, 0),
		told: []Told{
			{"s", ByAPI, "RCVD", 1},
			{"s", ByWebhook, "ACSC", 3},
			{"s", ByAPI, "ACSP", 2},
			{"s", ByWebhook, "ACSP", 2},
			{"s", ByAPI, "ACSC", 3},
			{"s", ByPage, "ACSC", 0},
			{"r", ByAPI, "RCVD", 1},
			{"r", ByWebhook, "PDNG", 3},
			{"r", ByWebhook, "RJCT", 5},
			{"c", ByWebhook, "CANC", 2},
			{"w", ByPage, Refused, 0},
		},
		webhooks: true,
	}
}

func (a *account) check(t *testing.T) *Report {
	t.Helper()
	r, err := Check(Input{
		Payments: strings.NewReader(strings.Join(a.payments, "\n")), References: strings.NewReader(strings.Join(a.references, "\n")),
		Ledger: strings.NewReader(a.ledger), Told: a.told, Webhooks: a.webhooks,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestASoundRunHasNoFindings(t *testing.T) {
	r := sound().check(t)
	if !r.OK() || r.Payments != 4 || r.Settled != 1 || r.NotCharged != 2 || r.Reversed != 1 || r.Received != 1 || r.Debited != 1 || r.LongestMs != 8000 {
		t.Errorf("%+v\n%s", r, r)
	}
}

// found spoils a sound world and says which rule the audit must name, and for whom.
func found(t *testing.T, rule, payment string, spoil func(*account)) {
	t.Helper()
	a := sound()
	spoil(a)
	r := a.check(t)
	for _, f := range r.Findings {
		if f.Rule == rule && f.Payment == payment {
			return
		}
	}
	t.Errorf("the audit did not find %s for %q:\n%s", rule, payment, r)
}

func TestAtMostOneDebit_PlantedDoublesAreFound(t *testing.T) {
	second := strings.Replace(settledRef, "000000000001", "010000000001", 1)
	found(t, DoubleDebit, "s", func(a *account) {
		a.references = append(a.references, second)
		a.ledger = ledger(3, 2, 200, 0)
	})
	found(t, DoubleDebit, "s", func(a *account) { a.references[0] = strings.Replace(settledRef, `"debits":1`, `"debits":2`, 1) })
	found(t, DoubleDebit, "s", func(a *account) { a.references[0] = strings.Replace(settledRef, `Minor":100`, `Minor":101`, 1) })
	// One that was reversed and one that stands: the money moved twice.
	found(t, DoubleDebit, "s", func(a *account) {
		a.references = append(a.references, strings.Replace(second, `"reversed":false`, `"reversed":true`, 1))
		a.ledger = ledger(3, 1, 100, 0)
	})
}

func TestNothingAcknowledgedIsLost_PlantedLossesAreFound(t *testing.T) {
	found(t, Lost, "s", func(a *account) { a.payments = a.payments[1:] })
	found(t, Lost, "s", func(a *account) { a.references = a.references[1:] })
	found(t, Lost, "w", func(a *account) { a.told = append(a.told, Told{"w", ByAPI, "ACSP", 2}) })
	found(t, Lost, "s", func(a *account) {
		a.references[0] = strings.Replace(settledRef, `"reversed":false`, `"reversed":true`, 1)
	})
	found(t, Unresolved, "s", func(a *account) { a.payments[0] = strings.Replace(settledLine, `"settled"`, `"in-doubt"`, 1) })
	found(t, Unresolved, "s", func(a *account) { a.payments[0] = strings.Replace(settledLine, `"settled"`, `"authorised"`, 1) })
}

func TestNothingAcknowledgedIsLost_ACreateInDoubtPromisesNothing(t *testing.T) {
	a := sound()
	a.told = append(a.told, Told{"never", ByAPI, "PDNG", 0})
	if r := a.check(t); !r.OK() {
		t.Error(r)
	}
}

func TestRefusedMeansNotCharged_PlantedChargesAreFound(t *testing.T) {
	charge := func(id string) func(*account) {
		return func(a *account) {
			a.references = append(a.references, strings.NewReplacer(`"s"`, `"`+id+`"`).Replace(settledRef))
			a.ledger = ledger(3, 2, 200, 0)
		}
	}
	found(t, Charged, "c", charge("c"))
	found(t, Charged, "w", charge("w"))
	found(t, Charged, "stranger", charge("stranger"))
	found(t, Charged, "r", func(a *account) {
		a.references[1] = strings.Replace(reversedRef, `"reversed":true`, `"reversed":false`, 1)
		a.ledger = ledger(2, 2, 300, 0)
	})
	found(t, Charged, "s", func(a *account) { a.told = append(a.told, Told{"s", ByPage, Refused, 0}) })
}

func TestStatusNeverGoesBack_PlantedLiesAreFound(t *testing.T) {
	tell := func(t Told) func(*account) {
		return func(a *account) { a.told = append(a.told, t) }
	}
	found(t, WentBack, "s", tell(Told{"s", ByAPI, "ACSP", 2}))     // an older version after a newer one
	found(t, WentBack, "s", tell(Told{"s", ByWebhook, "PDNG", 2})) // another status for a version
	found(t, WentBack, "s", tell(Told{"s", ByWebhook, "RJCT", 2})) // a final one that did not last
	found(t, WentBack, "s", tell(Told{"s", ByPage, "RJCT", 0}))
	found(t, WentBack, "c", tell(Told{"c", ByPage, "ACSC", 0}))
	found(t, WentBack, "s", tell(Told{"s", ByWebhook, "PDNG", 3}))
	found(t, WentBack, "s", func(a *account) { a.payments = append(a.payments, settledLine) })
}

func TestToldOnceCommitted_AMissingWebhookIsFound(t *testing.T) {
	found(t, Untold, "c", func(a *account) {
		for i := range a.told {
			if a.told[i].Payment == "c" {
				a.told[i].Source = ByAPI
			}
		}
	})
}

func TestPostingsThatDoNotSumToZeroAreFound(t *testing.T) {
	found(t, Unbalanced, "", func(a *account) { a.ledger = ledger(2, 1, 100, 7) })
	found(t, Unbalanced, "", func(a *account) { a.ledger = ledger(2, 1, 101, 0) })
	found(t, Unbalanced, "", func(a *account) { a.ledger = ledger(3, 1, 100, 0) })
}

func TestWhatCannotBeReadIsAnErrorAndNoReport(t *testing.T) {
	f := func(payments, references, ledger string) {
		t.Helper()
		_, err := Check(Input{Payments: strings.NewReader(payments), References: strings.NewReader(references), Ledger: strings.NewReader(ledger)})
		if err == nil {
			t.Error("no error")
		}
	}
	f(settledLine[:20], "", "{}")
	f(settledLine, settledRef[:30], "{}")
	f(settledLine, settledRef, "")
	f("[]", "", "{}")
}

func TestCollectAsksABankAndAwaitsItsResolver(t *testing.T) {
	a := sound()
	asked := 0
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/status", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		asked++
		fmt.Fprintf(w, `{"inDoubt":%d,"outbox":0}`, max(0, 3-asked))
	})
	text := func(lines ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Join(lines, "\n")) }
	}
	mux.HandleFunc("/api/v1/payments", text(a.payments...))
	mux.HandleFunc("/ledger/references", text(a.references...))
	mux.HandleFunc("/ledger", text(a.ledger))
	server := httptest.NewServer(mux)
	defer server.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bank, err := NewBank(&demo.Demo{Operator: demo.Operator{URL: server.URL, TokenFile: token}, Core: demo.Core{Admin: server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := bank.Await(ctx, true); err != nil || asked != 3 {
		t.Fatalf("%v after %d questions", err, asked)
	}
	r, err := bank.Collect(ctx, a.told, true)
	if err != nil || !r.OK() || r.Settled != 1 {
		t.Fatalf("%v %s", err, r)
	}
	asked = -1 << 30
	ended, end := context.WithCancel(t.Context())
	end()
	if err := bank.Await(ended, true); !errors.Is(err, ErrUnresolved) {
		t.Errorf("%v", err)
	}
}

func FuzzCheck(f *testing.F) {
	a := sound()
	f.Add(strings.Join(a.payments, "\n"), strings.Join(a.references, "\n"), a.ledger)
	f.Add("{}", "{}", "{}")
	f.Add("", "", `{"currencies":{"CNY":null}}`)
	f.Fuzz(func(t *testing.T, payments, references, ledger string) {
		r, err := Check(Input{Payments: strings.NewReader(payments), References: strings.NewReader(references), Ledger: strings.NewReader(ledger), Told: a.told})
		if err == nil && len(r.Findings) > findingsKept {
			t.Error("the report is not bounded")
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	var payments, references strings.Builder
	var told []Told
	const n = 10_000
	for i := range n {
		id, rrn := fmt.Sprintf("p%06d", i), fmt.Sprintf("%012d", i)
		fmt.Fprintln(&payments, strings.NewReplacer(`"s"`, `"`+id+`"`, "000000000001", rrn).Replace(settledLine))
		fmt.Fprintln(&references, strings.NewReplacer(`"s"`, `"`+id+`"`, "000000000001", rrn).Replace(settledRef))
		told = append(told, Told{id, ByAPI, "ACSC", 3})
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := Check(Input{Payments: strings.NewReader(payments.String()), References: strings.NewReader(references.String()), Ledger: strings.NewReader(ledger(n, n, n*100, 0)), Told: told})
		if err != nil || !r.OK() {
			b.Fatal(err, r)
		}
	}
}
