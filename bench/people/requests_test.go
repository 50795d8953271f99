package people

import (
	"bufio"
	"bytes"
	"encoding/base32"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/pquerna/otp/totp"
)

func testMaker() *Maker {
	return &Maker{Seed: 7, Run: "b1-", CustomerHost: "bank.example:8080", PartnerHost: "api.bank.example:8443", Redirect: "http://shop.example/return", Cookie: "netbank"}
}

// parsed reads a request as a server would, and holds that nothing follows it.
func parsed(t *testing.T, raw []byte) (*http.Request, string) {
	t.Helper()
	in := bufio.NewReader(bytes.NewReader(raw))
	r, err := http.ReadRequest(in)
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	if rest, _ := io.ReadAll(in); len(rest) > 0 {
		t.Fatalf("%q follows the request", rest)
	}
	return r, string(body)
}

func TestACreateIsWhatThePartnerAPIAsksFor(t *testing.T) {
	m := testMaker()
	r, body := parsed(t, m.Create(nil, 12345))
	var in struct {
		EndToEnd string `json:"endToEndIdentification"`
		Amount   struct{ Currency, Amount string }
		Paid     struct{ Currency, Amount string } `json:"instructedAmount"`
	}
	if err := json.Unmarshal([]byte(body), &in); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if r.Method != "POST" || r.URL.Path != payments || r.Host != m.PartnerHost || r.Header.Get("Idempotency-Key") != "b1-12345" ||
		r.Header.Get("TPP-Redirect-URI") != m.Redirect || r.Header.Get("TPP-Notification-URI") != "" || in.EndToEnd != "b1-12345" || in.Paid.Currency != "CNY" {
		t.Errorf("%s %s %v\n%s", r.Method, r.URL, r.Header, body)
	}
	if euros, cents, ok := strings.Cut(in.Paid.Amount, "."); !ok || euros == "" || len(cents) != 2 {
		t.Errorf("the amount is %q", in.Paid.Amount)
	}
	if _, err := uuid.Parse(r.Header.Get("X-Request-ID")); err != nil {
		t.Error(err)
	}
}

func TestTheNthRequestOfASeedIsAlwaysTheSame(t *testing.T) {
	m, other := testMaker(), testMaker()
	other.Seed++
	for n := range int64(1000) {
		if !bytes.Equal(m.Create(nil, n), m.Create([]byte("x"), n)[1:]) {
			t.Fatalf("request %d differs from itself", n)
		}
		if bytes.Equal(m.Status(nil, "id", n), other.Status(nil, "id", n)) {
			t.Fatalf("request %d does not depend on the seed", n)
		}
	}
	if bytes.Equal(m.Status(nil, "id", 1), m.Status(nil, "id", 2)) {
		t.Error("two requests have one id")
	}
}

func TestFormsAndPagesAreWellFormed(t *testing.T) {
	m := testMaker()
	f := func(body string, fields ...string) {
		t.Helper()
		r, got := parsed(t, m.Form(nil, "/pay/1/code?s=2", "secret", fields...))
		cookie, err := r.Cookie("netbank")
		if err != nil || got != body || cookie.Value != "secret" || r.Header.Get("Sec-Fetch-Site") != "same-origin" || r.Host != m.CustomerHost {
			t.Errorf("%v\n%q, want %q (%v)", r.Header, got, body, err)
		}
	}
	f("a=1", "a", "1")
	f("csrf=t0ken&code=123456", "csrf", "t0ken", "code", "123456")
	f("")
	r, _ := parsed(t, m.Page(nil, "/pay/1?s=2", ""))
	if r.URL.RequestURI() != "/pay/1?s=2" || len(r.Cookies()) != 0 {
		t.Errorf("%v %v", r.URL, r.Cookies())
	}
	if r, _ := parsed(t, m.Status(nil, "0197", 1)); r.URL.Path != payments+"/0197/status" {
		t.Errorf("%v", r.URL)
	}
}

func TestAnswersAreReadStrictly(t *testing.T) {
	const id = "0197a9a4-5b7f-7000-8000-000000000000"
	f := func(body, link string, ok bool) {
		t.Helper()
		gotID, gotLink, gotOK := created([]byte(body))
		if gotOK != ok || ok && (gotID != id || gotLink != link) {
			t.Errorf("%s gives %q, %q, %v", body, gotID, gotLink, gotOK)
		}
	}
	f(`{"paymentId":"`+id+`","_links":{"scaRedirect":{"href":"http://localhost:8080/pay/`+id+`?s=abc"}}}`, "/pay/"+id+"?s=abc", true)
	f(`{"paymentId":"`+id+`","_links":{}}`, "", false)
	f(`{"paymentId":"short","_links":{"scaRedirect":{"href":"http://localhost/pay/1"}}}`, "", false)
	f(``, "", false)
	g := func(body, status string, version uint32, ok bool) {
		t.Helper()
		gotStatus, gotVersion, gotOK := standing([]byte(body))
		if gotOK != ok || ok && (gotStatus != status || gotVersion != version) {
			t.Errorf("%s gives %q, %d, %v", body, gotStatus, gotVersion, gotOK)
		}
	}
	g(`{"transactionStatus":"ACSC","version":3}`, "ACSC", 3, true)
	g(`{"version":12,"transactionStatus":"RJCT","reason":"x"}`, "RJCT", 12, true)
	g(`{"transactionStatus":"ACSC"}`, "", 0, false)
	g(`{"version":3}`, "", 0, false)
	g(`{"transactionStatus":"ACSC","version":99999999999}`, "", 0, false)
	h := func(location, name, why string) {
		t.Helper()
		if gotName, gotWhy := stepOf(location); gotName != name || gotWhy != why {
			t.Errorf("%s leads to %q, %q", location, gotName, gotWhy)
		}
	}
	h("/pay/1/result?s=2", "result", "")
	h("/pay/1/busy?s=2&reason=queue-full&wait=3", "busy", "queue-full")
	h("/pay/1?s=2&why=wrong", "", "wrong")
	h("", "", "")
}

func TestCodesAreThoseOfAnAuthenticator(t *testing.T) {
	seed := []byte("12345678901234567890")
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(seed)
	decoded, err := seedOf(text)
	if err != nil || !bytes.Equal(decoded, seed) {
		t.Fatal(decoded, err)
	}
	for _, at := range []int64{59, 1111111109, 1234567890, 2000000000, 20000000000} {
		want, err := totp.GenerateCode(text, time.Unix(at, 0))
		if err != nil {
			t.Fatal(err)
		}
		if got := Code(seed, time.Unix(at, 0)); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
	}
	if _, err := seedOf("not base32!"); err == nil {
		t.Error("a seed that is none was taken")
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"paymentId":"0197a9a4-5b7f-7000-8000-000000000000","_links":{"scaRedirect":{"href":"http://h/pay/1?s=2"}}}`))
	f.Add([]byte(`{"transactionStatus":"ACSC","version":3}`))
	f.Add([]byte(`/pay/1/busy?s=2&reason=full`))
	f.Add([]byte(`"version":`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, link, ok := created(b); ok && (len(id) != 36 || !strings.HasPrefix(link, "/pay/")) {
			t.Fatalf("%q, %q", id, link)
		}
		if status, _, ok := standing(b); ok && len(status) != 4 {
			t.Fatalf("%q", status)
		}
		stepOf(string(b))
	})
}

func BenchmarkCreate(b *testing.B) {
	m, buffer := testMaker(), make([]byte, 0, 2048)
	b.ReportAllocs()
	for n := int64(0); b.Loop(); n++ {
		buffer = m.Create(buffer[:0], n)
	}
}
