package people

import (
	"net/http"
	"strings"
	"testing"

	"netbank/bench/load"
	"netbank/bench/load/loadtest"
)

// against gives a client whose server answers as it is told.
func against(t *testing.T, answer func(r *http.Request, body string) string) *load.Client {
	t.Helper()
	return loadtest.Pool(t, 1, answer).Clients[0]
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
		to := func(path string) string { return loadtest.Reply(303, "Location: /pay/1/"+path+"\r\n", "") }
		switch cookie, _ := r.Cookie("netbank"); {
		case name == "POST sign-in" && body == "username=wang&password=lotus":
			return loadtest.Reply(303, "Set-Cookie: netbank=c1; Path=/\r\nLocation: /pay/1/confirm?s=2\r\n", "")
		case cookie == nil || !strings.HasPrefix(cookie.Value, "c"):
			return to("?why=session")
		case name == "GET confirm":
			return loadtest.Reply(200, "Set-Cookie: netbank=c2; Path=/\r\n", `<input type="hidden" name="csrf" value="tok"><input type="radio" name="account" value="abc"`)
		case name == "POST confirm" && body == "csrf=tok&account=abc" && cookie.Value == "c2":
			return to("code?s=2&c=consent")
		case name == "POST code" && r.URL.Query().Get("c") == "consent" && strings.HasPrefix(body, "csrf=tok&code="):
			return to("result?s=2")
		}
		return loadtest.Reply(500, "", "")
	}
}

func TestACustomersWayIsJudgedByWhereItLeads(t *testing.T) {
	f := func(name string, want load.Verdict, led bool, spoilt map[string]string) {
		t.Helper()
		v := Checkout{Order: Order{"1", "/pay/1?s=2"}, Who: Person{"wang", "lotus", []byte("12345678901234567890")}}
		w := Browser{testMaker(), against(t, bankOf(spoilt))}
		got := w.Arrive(&v, func(int) {})
		if got.Outcome == load.Completed {
			got = w.Pay(&v)
		}
		if got != want || v.Led != led {
			t.Errorf("%s: %+v, led %v", name, got, v.Led)
		}
	}
	f("paid", load.Verdict{}, true, nil)
	f("busy at the sign-in", load.Verdict{Outcome: load.Refused, Reason: "sign-in-busy"}, false,
		map[string]string{"POST sign-in": loadtest.Reply(303, "Location: /pay/1?s=2&why=sign-in-busy\r\n", "")})
	f("wrong password", load.Verdict{Outcome: load.Failed, Reason: "led to / wrong"}, false,
		map[string]string{"POST sign-in": loadtest.Reply(303, "Location: /pay/1?s=2&why=wrong\r\n", "")})
	f("refused by the gate", load.Verdict{Outcome: load.Refused, Reason: "busy queue-full"}, false,
		map[string]string{"POST code": loadtest.Reply(303, "Location: /pay/1/busy?s=2&reason=queue-full&wait=3\r\n", "")})
	f("a code that was not taken", load.Verdict{Outcome: load.Failed, Reason: "led to /code code-wrong"}, false,
		map[string]string{"POST code": loadtest.Reply(303, "Location: /pay/1/code?s=2&why=code-wrong&c=x\r\n", "")})
	f("a result that is an alert", load.Verdict{Outcome: load.Failed, Reason: "led to /result x"}, false,
		map[string]string{"POST code": loadtest.Reply(303, "Location: /pay/1/result?s=2&why=x\r\n", "")})
	f("a page that is an error", load.Verdict{Outcome: load.Failed, Reason: "status 500"}, false,
		map[string]string{"GET confirm": loadtest.Reply(500, "", "")})
	f("a page without a form", load.Verdict{Outcome: load.Failed, Reason: "a confirm page without its form"}, false,
		map[string]string{"GET confirm": loadtest.Reply(200, "", "<html>")})
}
