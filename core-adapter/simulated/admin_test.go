package simulated

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"netbank/core-adapter/iso8583"
)

func TestAdmin_ModelIsReadAndChanged(t *testing.T) {
	h := start(t, Config{Model: fixed(0)})
	f := func(put, want string) {
		t.Helper()
		h.put("/model", put)
		if status, got := h.call("GET", "/model", ""); status != 200 || strings.TrimSpace(got) != want {
			t.Errorf("after %s: %d %s, want %s", put, status, got, want)
		}
	}
	const demands = `"debitMillis":40,"balanceMillis":8,"inquiryMillis":8,"reversalMillis":30,"cv":1,"seed":1}`
	f(`{"kind":"ps"}`, `{"kind":"ps","sigma":0.02,"kappa":0.00024,"latencyMillis":0,`+demands)
	f(`{"kind":"ps","sigma":0,"kappa":0.5,"debitMillis":0.5,"cv":0,"seed":7}`, `{"kind":"ps","sigma":0,"kappa":0.5,"latencyMillis":0,"debitMillis":0.5,"balanceMillis":8,"inquiryMillis":8,"reversalMillis":30,"cv":0,"seed":7}`)
	f(`{"kind":"servers","servers":8}`, `{"kind":"servers","servers":8,"latencyMillis":0,`+demands)
	f(`{"kind":"fixed","latencyMillis":2.5}`, `{"kind":"fixed","latencyMillis":2.5,`+demands)
	if inForce := h.Model(); inForce.Latency != 2500000 {
		t.Errorf("%+v", inForce)
	}
}

func TestAdmin_RefusesWhatItDoesNotUnderstand(t *testing.T) {
	h := start(t, Config{Model: fixed(0)})
	f := func(method, path, body string, want int, sentence string) {
		t.Helper()
		if status, text := h.call(method, path, body); status != want || !strings.Contains(text, sentence) {
			t.Errorf("%s %s %s: %d %s, want %d %s", method, path, body, status, text, want, sentence)
		}
	}
	f("PUT", "/model", `{"kind":"magic"}`, 400, `model "magic"`)
	f("PUT", "/model", `{"kind":"ps","sigma":2}`, 400, "sigma 2")
	f("PUT", "/model", `{"kind":"ps","sgima":2}`, 400, "sgima")
	f("PUT", "/model", `{"kind":"fixed","latencyMillis":1e300}`, 400, "latency")
	f("PUT", "/model", `{"kind":"ps"}{}`, 400, "something follows")
	f("PUT", "/model", strings.Repeat(" ", settingsBody+1), 413, "too large")
	f("PUT", "/faults", `{"capacity":-1}`, 400, "capacity factor -1")
	f("PUT", "/faults", `{"dropAnswers":1.5}`, 400, "probability of 1.5")
	f("PUT", "/faults", `{"decline":"x"}`, 400, `response code "x"`)
	f("POST", "/faults", `{}`, 405, "")
	f("GET", "/nothing", "", 404, "")
	f("POST", "/accounts", `{"number":"1","currency":"CNY","balanceMinor":1}{"number":"x"}`, 400, "account 2")
	f("POST", "/accounts", `{"number":"1","currency":"CNY","balanceMinor":-1}`, 400, "a balance of -1")
	f("POST", "/accounts", `{"number":"1","currency":"cny"}`, 400, `currency "cny"`)

	request, _ := http.NewRequest("PUT", h.admin.URL+"/faults", strings.NewReader(`{"freeze":true}`))
	request.Header.Set("Origin", "http://shop.example")
	browser := func(want int) {
		t.Helper()
		answer, err := h.admin.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want || h.Faults().Freeze {
			t.Errorf("%d, frozen %v, want %d", answer.StatusCode, h.Faults().Freeze, want)
		}
	}
	browser(403)
	request, _ = http.NewRequest("PUT", h.admin.URL+"/faults", strings.NewReader(`{"freeze":true}`))
	request.Host = "rebound.example"
	browser(403)
}

func TestAdmin_OpensAccountsInBulkOnce(t *testing.T) {
	h := start(t, Config{Model: fixed(0)})
	var lines strings.Builder
	const accounts = 10_000
	for i := range accounts {
		fmt.Fprintf(&lines, "{\"number\":\"623%016d\",\"currency\":\"CNY\",\"balanceMinor\":5000,\"debitLimitMinor\":%d}\n", i, 1+i%2*4000)
	}
	f := func(want string) {
		t.Helper()
		if status, text := h.call("POST", "/accounts", lines.String()); status != 200 || strings.TrimSpace(text) != want {
			t.Errorf("%d %s, want %s", status, text, want)
		}
	}
	f(`{"existing":0,"opened":10000,"refused":0}`)
	f(`{"existing":10000,"opened":0,"refused":0}`)
	c := h.signedOn()
	m := c.debit(1, 2)
	m.Set(iso8583.FieldAccount, "6230000000000000000")
	c.wants("61", m)
	m = c.debit(2, 2)
	m.Set(iso8583.FieldAccount, "6230000000000000001")
	c.wants("00", m)
}

func TestAdmin_TellsTheLedgersSumsForTheAudit(t *testing.T) {
	h := start(t, Config{Model: fixed(0)})
	c := h.signedOn()
	c.wants("00", c.debit(1, 2500))
	c.wants("00", c.debit(1, 2500))
	c.wants("51", c.debit(2, 999_999))
	c.wants("00", c.debit(3, 100))
	c.wants("00", c.reversal(iso8583.ReversalAdvice, 3, 100))
	c.wants("00", c.reversal(iso8583.ReversalAdvice, 4, 100))
	want := `{"accounts":1,"references":4,"debited":2,"declined":1,"reversed":1,"voided":1,"duplicates":1,"mismatched":0,"records":8,` +
		`"currencies":{"CNY":{"customersMinor":97500,"clearingMinor":2500,"equityMinor":-100000,"totalMinor":0}},"balanced":true}`
	if _, got := h.call("GET", "/ledger", ""); strings.TrimSpace(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	_, stream := h.call("GET", "/ledger/references", "")
	lines := strings.Split(strings.TrimSpace(stream), "\n")
	if len(lines) != 4 || lines[0] != `{"reference":"A00000000001","paymentId":"`+paymentID(1)+`","debitedMinor":2500,"currency":"CNY","status":"debited","reversed":false,"debits":1,"code":"00"}` {
		t.Errorf("%s", stream)
	}
	if _, one := h.call("GET", "/ledger/references?paymentId="+paymentID(3), ""); strings.TrimSpace(one) != lines[2] || !strings.Contains(one, `"reversed":true`) {
		t.Errorf("%s", one)
	}
	_, text := h.call("GET", "/status", "")
	var status statusJSON
	if err := json.Unmarshal([]byte(text), &status); err != nil || status.Debits != 4 || status.Reversals != 2 || status.InFlight != 0 || status.Connections != 1 {
		t.Errorf("%s (%v)", text, err)
	}
}

func TestAdmin_PeakIsTheModels(t *testing.T) {
	h := start(t, Config{Model: fixed(0)})
	f := func(want string) {
		t.Helper()
		if _, got := h.call("GET", "/peak", ""); !strings.HasPrefix(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	f(`{"unlimited":true`)
	h.put("/model", `{"kind":"ps"}`)
	f(`{"unlimited":false,"knee":64,"workPerSecond":19.8`)
	h.put("/faults", `{"capacity":0.5}`)
	f(`{"unlimited":false,"knee":64,"workPerSecond":9.9`)
	h.put("/model", `{"kind":"servers","servers":4}`)
	f(`{"unlimited":false,"knee":4,"workPerSecond":2,"debitsPerSecond":50,`)
}

func TestEverythingIsBounded_CallsOfTheAdminPort(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	busy := httptest.NewServer(atMost(1, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		inside <- struct{}{}
		<-leave
	})))
	defer busy.Close()
	first := make(chan int)
	get := func() int {
		answer, err := busy.Client().Get(busy.URL)
		if err != nil {
			t.Error(err)
			return 0
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	go func() { first <- get() }()
	<-inside
	if status := get(); status != http.StatusServiceUnavailable {
		t.Errorf("a second call: %d, want 503", status)
	}
	close(leave)
	if status := <-first; status != http.StatusOK {
		t.Errorf("the first call: %d", status)
	}
}

func FuzzAdminModel(f *testing.F) {
	f.Add(`{"kind":"ps","sigma":0.02,"kappa":0.00024,"debitMillis":40}`)
	f.Add(`{"kind":"servers","servers":8}`)
	f.Add(`{"kind":"fixed","latencyMillis":1e18}`)
	f.Fuzz(func(t *testing.T, body string) {
		var j modelJSON
		if decodeOne(strings.NewReader(body), &j) != nil {
			return
		}
		m, err := j.model()
		if err != nil {
			return
		}
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
		again, err := m.json().model()
		if err != nil || again.Kind != m.Kind || again.Debit != m.Debit {
			t.Fatalf("%+v is told as %+v (%v)", m, again, err)
		}
	})
}

func FuzzAdminFaults(f *testing.F) {
	f.Add(`{"capacity":0.3,"dropAnswers":0.5,"decline":"51"}`)
	f.Add(`{"freeze":true,"extraLatencyMillis":50}`)
	f.Fuzz(func(t *testing.T, body string) {
		var j faultsJSON
		if decodeOne(strings.NewReader(body), &j) != nil {
			return
		}
		if faults, err := j.faults(); err == nil {
			if err := faults.Validate(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzAccountLine(f *testing.F) {
	f.Add(`{"number":"6222020000000000001","currency":"CNY","balanceMinor":10000000,"debitLimitMinor":5000000}`)
	f.Fuzz(func(t *testing.T, line string) {
		var j accountJSON
		if decodeOne(strings.NewReader(line), &j) != nil {
			return
		}
		if a, err := j.account(); err == nil && (a.Number.String() != j.Number || a.Balance < 0) {
			t.Fatalf("%q is read as %+v", line, a)
		}
	})
}
