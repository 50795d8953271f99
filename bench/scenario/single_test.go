package scenario

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"netbank/bench/audit"
	"netbank/bench/load/loadtest"
	"netbank/bench/people"
	"netbank/bench/report"
)

// against makes a run whose doors lead to a server that answers as it is told.
func against(t *testing.T, answer func(r *http.Request, body string) string) *oneNode {
	t.Helper()
	pool := loadtest.Pool(t, 4, answer)
	s := &oneNode{bench: &bench{Progress: silent{}}, m: &people.Maker{Seed: 7, Run: "b1-", CustomerHost: "bank.example:8080", PartnerHost: "api.bank.example:8443", Cookie: "netbank"}}
	s.target, s.Connections = &Target{}, 4
	s.result = &report.Result{}
	s.doors = &doors{customer: pool, partner: pool}
	return s
}

func ledVisits(n int) []people.Checkout {
	visits := make([]people.Checkout, n)
	for i := range visits {
		visits[i] = people.Checkout{Order: people.Order{ID: fmt.Sprintf("payment-%d", i)}, Led: i%2 == 0}
	}
	return visits
}

// A page that leads to the result is not yet money that moved: every such payment is asked about.
func TestConfirmationsThatDidNotSettleFailTheRun(t *testing.T) {
	s := against(t, func(r *http.Request, _ string) string {
		if strings.Contains(r.URL.Path, "/payment-4/") {
			return loadtest.Reply(200, "", `{"transactionStatus":"RJCT","version":3}`)
		}
		return loadtest.Reply(200, "", `{"transactionStatus":"ACSC","version":3}`)
	})
	if err := s.verify(t.Context(), ledVisits(20)); err != nil {
		t.Fatal(err)
	}
	if len(s.result.Failures) != 1 || !strings.HasPrefix(s.result.Failures[0], "1 of 10 confirmations") || len(s.told) != 10 {
		t.Errorf("failures %q, %d things told", s.result.Failures, len(s.told))
	}
	for _, told := range s.told {
		if told.Source != audit.ByAPI || told.Version != 3 || (told.Status == "RJCT") != (told.Payment == "payment-4") {
			t.Errorf("%+v", told)
		}
	}
}

func TestConfirmationsThatCannotBeAskedAboutFailTheRun(t *testing.T) {
	s := against(t, func(*http.Request, string) string { return loadtest.Reply(404, "", "") })
	if err := s.verify(t.Context(), ledVisits(4)); err != nil {
		t.Fatal(err)
	}
	if len(s.result.Failures) != 1 || !strings.HasPrefix(s.result.Failures[0], "2 of 2") {
		t.Errorf("failures %q", s.result.Failures)
	}
}
