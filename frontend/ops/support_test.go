package ops

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
)

func TestSupportPageAsksABrowserForTheTokenAndSaysWhatToTell(t *testing.T) {
	e := Explained{
		Reference: "7KQ2M-X9R4T", Code: "queue-full", Payment: "019ab0c4-5b7e-7c3a-9d2f-0123456789ab", Payee: "<b>Shop</b>", Amount: "CNY 128.00", State: "in-doubt", Status: "PDNG",
		Told: map[string][]string{"en": {"Many payments", "Nothing was charged."}}, Tell: map[string][]string{"zh-CN": {"结果尚未确定"}},
	}
	h, err := New(Config{
		Bank: &bank{}, Gatherer: prometheus.NewRegistry(), Token: token, SupportToken: supportToken, BankName: "Test bank", Logger: slog.New(slog.DiscardHandler),
		Why: func(reference string) (Explained, bool, error) { return e, reference == e.Reference, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	f := func(path, name, password string, code int, words ...string) {
		t.Helper()
		r := httptest.NewRequest("GET", "http://127.0.0.1:9090"+path, nil)
		if name != "" {
			r.SetBasicAuth(name, password)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != code {
			t.Errorf("%s: %d, want %d", path, w.Code, code)
		}
		if challenged := strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic "); challenged != (code == http.StatusUnauthorized && path != "/api/v1/status") {
			t.Errorf("%s asks the browser for a password: %v", path, challenged)
		}
		for _, word := range words {
			if !strings.Contains(w.Body.String(), word) {
				t.Errorf("%s lacks %q:\n%s", path, word, w.Body)
			}
		}
	}
	f("/support", "", "", 401, "support token")
	f("/support", "anybody", "wrong", 401)
	f("/support", "anybody", supportToken, 200, "A customer calls", `name="reference"`)
	f("/support", "anybody", token, 200, "A customer calls")
	f("/support?reference=7KQ2M-X9R4T", "anybody", supportToken, 200, "Nothing reached the core", "not yet known", "&lt;b&gt;Shop", "The page said", "Nothing was charged.", `lang="zh-CN"`, "结果尚未确定", "in-doubt (PDNG)")
	f("/support?reference=other", "anybody", supportToken, 404, "ask the customer for the payment&#39;s number")
	f("/api/v1/status", "anybody", token, 401) // a password that a browser sends by itself opens nothing else
}

func TestEveryCodeHasAMeaningForWhoWorksAtTheBank(t *testing.T) {
	f := func(code string) {
		t.Helper()
		if code != "" && meanings[code] == "" {
			t.Errorf("nobody is told what %q means", code)
		}
	}
	for r := gate.Reason(1); r < gate.Reasons; r++ {
		f(r.String())
	}
	for _, code := range []string{"busy", "address", "rate"} { // of the pages
		f(code)
	}
	for r := journal.ReasonNone; r <= journal.ReasonCoreUnavailable; r++ {
		f(r.String())
	}
	for s := journal.StateNone; s <= journal.StateReversing; s++ {
		f(s.String())
	}
}

// Invariant UnknownIsNotFailed, for those who support customers.
func TestUnknownIsNotFailed_SupportIsToldThatItIsNotKnown(t *testing.T) {
	f := func(state journal.State, want string) {
		t.Helper()
		if got := (&Explained{State: state.String()}).charged(); got != want {
			t.Errorf("%s is told as %q, want %q", state, got, want)
		}
	}
	f(journal.StateReceived, "not charged")
	f(journal.StateAuthorised, "not yet known")
	f(journal.StateInDoubt, "not yet known")
	f(journal.StateReversing, "not yet known")
	f(journal.StateSettled, "charged once")
	f(journal.StateRejected, "not charged")
	f(journal.StateExpired, "not charged")
}
