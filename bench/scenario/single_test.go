package scenario

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"

	"netbank/bench/audit"
	"netbank/bench/load"
	"netbank/bench/report"
)

// against makes a run whose doors lead to a server that answers as it is told.
func against(t *testing.T, answer func(r *http.Request, body string) string) *single {
	t.Helper()
	dialer := load.Dialer{Dial: func(context.Context) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			for in := bufio.NewReader(server); ; {
				r, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				body, _ := io.ReadAll(r.Body)
				if _, err := io.WriteString(server, answer(r, string(body))); err != nil {
					return
				}
			}
		}()
		return client, nil
	}}
	pool, err := load.NewPool(t.Context(), dialer, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s := &single{m: testMaker()}
	s.target, s.Connections, s.Say = &Target{}, 4, func(string, ...any) {}
	s.result = &report.Result{}
	s.doors = &doors{customer: pool, partner: pool}
	return s
}

func reply(status int, header, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d %s\r\n%sContent-Length: %d\r\n\r\n%s", status, http.StatusText(status), header, len(body), body)
}

func ledVisits(n int) []visit {
	visits := make([]visit, n)
	for i := range visits {
		visits[i] = visit{order: order{id: fmt.Sprintf("payment-%d", i)}, led: i%2 == 0}
	}
	return visits
}

// A page that leads to the result is not yet money that moved: every such payment is asked about.
func TestConfirmationsThatDidNotSettleFailTheRun(t *testing.T) {
	s := against(t, func(r *http.Request, _ string) string {
		if strings.Contains(r.URL.Path, "/payment-4/") {
			return reply(200, "", `{"transactionStatus":"RJCT","version":3}`)
		}
		return reply(200, "", `{"transactionStatus":"ACSC","version":3}`)
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
	s := against(t, func(*http.Request, string) string { return reply(404, "", "") })
	if err := s.verify(t.Context(), ledVisits(4)); err != nil {
		t.Fatal(err)
	}
	if len(s.result.Failures) != 1 || !strings.HasPrefix(s.result.Failures[0], "2 of 2") {
		t.Errorf("failures %q", s.result.Failures)
	}
}

// bankOf answers the steps of a flow, except for those that are spoilt.
func bankOf(spoilt map[string]string) func(*http.Request, string) string {
	return func(r *http.Request, body string) string {
		parts := strings.Split(r.URL.Path, "/")
		name := r.Method + " "
		if len(parts) > 3 {
			name += parts[3]
		}
		if answer, ok := spoilt[name]; ok {
			return answer
		}
		to := func(path string) string { return reply(303, "Location: /pay/1/"+path+"\r\n", "") }
		switch cookie, _ := r.Cookie("netbank"); {
		case name == "POST sign-in" && body == "username=wang&password=lotus":
			return reply(303, "Set-Cookie: netbank=c1; Path=/\r\nLocation: /pay/1/confirm?s=2\r\n", "")
		case cookie == nil || !strings.HasPrefix(cookie.Value, "c"):
			return to("?why=session")
		case name == "GET confirm":
			return reply(200, "Set-Cookie: netbank=c2; Path=/\r\n", `<input type="hidden" name="csrf" value="tok"><input type="radio" name="account" value="abc"`)
		case name == "POST confirm" && body == "csrf=tok&account=abc" && cookie.Value == "c2":
			return to("code?s=2&c=consent")
		case name == "POST code" && r.URL.Query().Get("c") == "consent" && strings.HasPrefix(body, "csrf=tok&code="):
			return to("result?s=2")
		}
		return reply(500, "", "")
	}
}

func TestACustomersWayIsJudgedByWhereItLeads(t *testing.T) {
	f := func(name string, want load.Verdict, led bool, spoilt map[string]string) {
		t.Helper()
		s := against(t, bankOf(spoilt))
		v := visit{order: order{id: "1", link: "/pay/1?s=2"}, who: person{"wang", "lotus", []byte("12345678901234567890")}}
		w := window{s.m, s.doors.customer.Clients[0]}
		got := w.arrive(&v, func(int) {})
		if got.Outcome == load.Completed {
			got = w.pay(&v)
		}
		if got != want || v.led != led {
			t.Errorf("%s: %+v, led %v", name, got, v.led)
		}
	}
	f("paid", load.Verdict{}, true, nil)
	f("busy at the sign-in", load.Verdict{Outcome: load.Refused, Reason: "sign-in-busy"}, false,
		map[string]string{"POST sign-in": reply(303, "Location: /pay/1?s=2&why=sign-in-busy\r\n", "")})
	f("wrong password", load.Verdict{Outcome: load.Failed, Reason: "led to / wrong"}, false,
		map[string]string{"POST sign-in": reply(303, "Location: /pay/1?s=2&why=wrong\r\n", "")})
	f("refused by the gate", load.Verdict{Outcome: load.Refused, Reason: "busy queue-full"}, false,
		map[string]string{"POST code": reply(303, "Location: /pay/1/busy?s=2&reason=queue-full&wait=3\r\n", "")})
	f("a code that was not taken", load.Verdict{Outcome: load.Failed, Reason: "led to /code code-wrong"}, false,
		map[string]string{"POST code": reply(303, "Location: /pay/1/code?s=2&why=code-wrong&c=x\r\n", "")})
	f("a result that is an alert", load.Verdict{Outcome: load.Failed, Reason: "led to /result x"}, false,
		map[string]string{"POST code": reply(303, "Location: /pay/1/result?s=2&why=x\r\n", "")})
	f("a page that is an error", load.Verdict{Outcome: load.Failed, Reason: "status 500"}, false,
		map[string]string{"GET confirm": reply(500, "", "")})
	f("a page without a form", load.Verdict{Outcome: load.Failed, Reason: "a confirm page without its form"}, false,
		map[string]string{"GET confirm": reply(200, "", "<html>")})
}

func TestOptionsOutOfBoundsAreRefused(t *testing.T) {
	f := func(o Options, ok bool) {
		t.Helper()
		if err := o.Check(); (err == nil) != ok {
			t.Errorf("%+v: %v", o, err)
		}
	}
	f(Options{Seconds: 5, Connections: 128, OpenShare: .6}, true)
	f(Options{Connections: 128, OpenShare: .6}, false)
	f(Options{Seconds: math.NaN(), Connections: 128, OpenShare: .6}, false)
	f(Options{Seconds: 1e6, Connections: 128, OpenShare: .6}, false)
	f(Options{Seconds: 5, OpenShare: .6}, false)
	f(Options{Seconds: 5, Connections: load.ConnectionsMax + 1, OpenShare: .6}, false)
	f(Options{Seconds: 5, Connections: 128, OpenShare: 1}, false)
	f(Options{Seconds: 5, Connections: 128}, false)
}
