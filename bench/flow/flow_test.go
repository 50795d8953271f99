package flow

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"netbank/bench/demo"
)

const confirmPage = `<!DOCTYPE html><title>a <form> in a title</title><!-- <form action="/x"><input name=a></form> -->
<script>document.write("<form action='/y'>")</script>
<a class="skip" href="#main">skip</a>
<form method="post" action="/pay/1/confirm?s=a&amp;b=&quot;" class="stack">
<input type="hidden" name="csrf" value="t&#43;k">
<INPUT TYPE=radio NAME='account' value=0 required><input type="radio" name="account" value="1" required>
<button class="go" type="submit">Go > on</button></form>
<form method="post" action="/pay/1/cancel"><input type="hidden" name="csrf" value="x"></form>`

func TestFormsAreReadAsABrowserReadsThem(t *testing.T) {
	p := &Page{Body: []byte(confirmPage)}
	ParsePage(p)
	if len(p.Forms) != 2 || p.Forms[0].Action != `/pay/1/confirm?s=a&b="` || p.Forms[0].Method != "POST" || len(p.Links) != 1 || p.Links[0] != "#main" {
		t.Fatalf("%+v %q", p.Forms, p.Links)
	}
	f := p.Offers()
	if f != &p.Forms[0] || p.Asks("one-time-code") != nil {
		t.Fatal("the form with the choice is the first one")
	}
	if got := string(f.encode()); got != "csrf=t%2Bk" {
		t.Errorf("before a choice: %s", got)
	}
	f.choose()
	f.choose()
	if got := string(f.encode()); got != "csrf=t%2Bk&account=0" {
		t.Errorf("with the first choice: %s", got)
	}
}

func TestFieldsAreFoundByTheirAutocompleteTokens(t *testing.T) {
	p := &Page{Body: []byte(`<form action=/a><input name=u autocomplete="username"><input name=p type=password autocomplete=current-password></form><input autocomplete="one-time-code">`)}
	ParsePage(p)
	f := p.Asks("current-password")
	if f == nil || f.Method != "GET" || f.field("username").Name != "u" || f.field("current-password").Type != "password" {
		t.Fatalf("%+v", p.Forms)
	}
	if p.Asks("one-time-code") != nil {
		t.Error("an input outside a form can be sent nowhere")
	}
}

// RFC 6238, appendix B, cut to six digits; and a second implementation for the rest.
func TestCodesAreThoseOfTheStandardAndGivenOnce(t *testing.T) {
	const seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	a, err := NewAuthenticator(seed)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		at   int64
		code string
	}{{59, "287082"}, {1111111109, "081804"}, {1234567890, "005924"}, {20000000000, "353130"}} {
		if got := a.at(v.at / 30); got != v.code {
			t.Errorf("at %d: %s, want %s", v.at, got, v.code)
		}
	}
	now := time.Unix(1795417560, 0)
	first, _, ok1 := a.Next(now)
	second, _, ok2 := a.Next(now)
	_, wait, ok3 := a.Next(now)
	want1, _ := totp.GenerateCode(seed, now)
	want2, _ := totp.GenerateCode(seed, now.Add(CodeStep))
	if !ok1 || !ok2 || ok3 || first != want1 || second != want2 || wait != CodeStep {
		t.Errorf("%s %s %v, want %s %s and a wait of 30 s", first, second, wait, want1, want2)
	}
	if third, _, ok := a.Next(now.Add(wait)); !ok || third == second {
		t.Errorf("after the wait: %s %v", third, ok)
	}
}

func TestNotificationsAreBelievedOnlyWithTheBanksSignature(t *testing.T) {
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	stranger, _, _ := ed25519.GenerateKey(rand.Reader)
	now := time.Unix(1795417560, 0)
	body := []byte(`{"type":"payment.settled"}`)
	sign := func(content string) string {
		return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(private, []byte(content)))
	}
	good := sign("m1.1795417560." + string(body))
	f := func(want bool, keys []ed25519.PublicKey, id, stamp, signatures string, body []byte) {
		t.Helper()
		if err := Verify(keys, id, stamp, signatures, body, now); (err == nil) != want {
			t.Errorf("%q %q: %v", id, signatures, err)
		}
	}
	mine := []ed25519.PublicKey{stranger, public}
	f(true, mine, "m1", "1795417560", good, body)
	f(true, mine, "m1", "1795417560", "v1,AAAA v1a,!! "+good, body)
	f(false, mine[:1], "m1", "1795417560", good, body)
	f(false, mine, "m2", "1795417560", good, body)
	f(false, mine, "m1", "1795417561", good, body)
	f(false, mine, "m1", "1795417560", good, []byte(`{"type":"payment.rejected"}`))
	f(false, mine, "m1", "1795417560", strings.TrimPrefix(good, "v1a,"), body)
	f(false, mine, "m1", "1795417560", "", body)
	f(false, mine, "", "1795417560", sign(".1795417560."+string(body)), body)
	f(false, mine, "m1", "1795410000", sign("m1.1795410000."+string(body)), body)
	f(false, mine, "m1", "now", sign("m1.now."+string(body)), body)
}

func TestReceiverAsksForTheKeysAgainWhenASignatureFitsNone(t *testing.T) {
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	older, _, _ := ed25519.GenerateKey(rand.Reader)
	asked, told := 0, []Notification{}
	r := &Receiver{keys: []ed25519.PublicKey{older}, told: func(n Notification) { told = append(told, n) }}
	r.ask = func() ([]ed25519.PublicKey, error) { asked++; return []ed25519.PublicKey{public, older}, nil }
	body := `{"type":"payment.settled","timestamp":"2026-11-23T07:00:00.000Z","data":{"paymentId":"p","transactionStatus":"ACSC","version":3}}`
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	signature := "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(private, []byte("m."+stamp+"."+body)))
	for range 2 {
		n, err := r.read("m", stamp, signature, []byte(body))
		if err != nil || n.PaymentID != "p" || n.Version != 3 || !n.Final() {
			t.Fatalf("%+v %v", n, err)
		}
	}
	if asked != 1 {
		t.Errorf("the keys were asked for %d times", asked)
	}
	if _, err := r.read("other", stamp, signature, []byte(body)); !errors.Is(err, ErrSignature) {
		t.Errorf("another id: %v", err)
	}
	r.ask = func() ([]ed25519.PublicKey, error) { return nil, errors.New("the bank is away") }
	if _, err := r.read("other", stamp, signature, []byte(body)); errors.Is(err, ErrSignature) {
		t.Error("a bank that is away makes no signature wrong")
	}
}

// small is a bank's pages in miniature: sign-in, choice, code, outcome.
func small(t *testing.T, outcome string) (*Site, demo.Identity) {
	t.Helper()
	step := "sign-in"
	mux := http.NewServeMux()
	mux.HandleFunc("GET /pay/7", func(w http.ResponseWriter, r *http.Request) {
		switch step {
		case "sign-in":
			fmt.Fprint(w, `<form method=post action="/in?s=m"><input name=n autocomplete=username><input name=w autocomplete=current-password></form>`)
		case "choice":
			if k, err := r.Cookie("k"); err != nil || k.Value != "v" {
				t.Error("the cookie did not come back")
			}
			fmt.Fprint(w, `<form method=post action="/choose"><input type=radio name=account value=0></form>`)
		case "code":
			fmt.Fprint(w, `<form method=post action="/code"><input name=c autocomplete=one-time-code></form>`)
		default:
			fmt.Fprint(w, outcome)
		}
	})
	next := func(path, field, value, then string) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			if got := r.FormValue(field); value != "" && got != value || got == "" {
				t.Errorf("%s: %s is %q", path, field, got)
			}
			step = then
			http.SetCookie(w, &http.Cookie{Name: "k", Value: "v"})
			http.Redirect(w, r, "/pay/7", http.StatusSeeOther)
		})
	}
	next("/in", "w", "secret word", "choice")
	next("/choose", "account", "0", "code")
	next("/code", "c", "", "done")
	return serving(t, mux.ServeHTTP)
}

// serving gives a bank whose pages a handler makes, and a customer of it.
func serving(t *testing.T, pages http.HandlerFunc) (*Site, demo.Identity) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: pages}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	site, err := NewSite(&demo.Demo{Customer: demo.Customer{URL: "http://" + l.Addr().String()}, Partner: demo.Partner{RedirectURI: "http://shop/return"}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(site.Close)
	return site, demo.Identity{Username: "wang", Password: "secret word", TOTP: "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"}
}

func TestCustomerIsToldWhatTheWayBackSays(t *testing.T) {
	f := func(want Told, outcome string) {
		t.Helper()
		site, who := small(t, outcome)
		c, err := site.NewCustomer(who)
		if err != nil {
			t.Fatal(err)
		}
		if told, err := c.Pay(site.base.String()+"/pay/7", false); told != want || err != nil {
			t.Errorf("told %s, want %s (%v)", told, want, err)
		}
	}
	f(ToldSettled, `<a href="http://shop/return?order=1&amp;paymentId=7">`)
	f(ToldRejected, `<a href="http://shop/return?paymentId=7&amp;error=rejected">`)
	f(ToldExpired, `<a href="http://shop/return?paymentId=7&amp;error=expired">`)
	f(ToldInDoubt, `<a href="http://shop/return?paymentId=7&amp;error=pending">`)
	f(ToldRefused, `<a href="http://shop/return?paymentId=7&amp;error=not-completed">`)
	f(ToldOther, `<a href="http://other/return?paymentId=7">`)
	f(ToldOther, `nothing`)
}

func TestPagesThatLeadNowhereEnd(t *testing.T) {
	site, who := small(t, `<a href="/pay/7">look again</a>`)
	c, _ := site.NewCustomer(who)
	if _, err := c.Pay(site.base.String()+"/pay/7", false); !errors.Is(err, ErrLost) {
		t.Errorf("%v", err)
	}
	if _, err := resolve("http://bank/pay/1", "http://evil/"); !errors.Is(err, ErrLost) {
		t.Error("a customer's cookies and code go to the bank only")
	}
}

func TestCustomerStandsInLineAsLongAsThePageSays(t *testing.T) {
	f := func(looks int, again, want string, paid bool) {
		t.Helper()
		left := looks
		site, who := serving(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/wait") && left > 0:
				left--
				w.Header().Set("Refresh", again)
				fmt.Fprint(w, `<a class="go" href="/pay/7/wait?s=x">look again</a>`)
			case left > 0:
				http.Redirect(w, r, "/pay/7/wait?s=x", http.StatusSeeOther)
			default:
				fmt.Fprint(w, `<a href="http://shop/return?paymentId=7">`)
			}
		})
		stood := time.Duration(0)
		site.wait = func(d time.Duration) { stood += d }
		c, err := site.NewCustomer(who)
		if err != nil {
			t.Fatal(err)
		}
		told, err := c.Pay(site.base.String()+"/pay/7?s=x", false)
		if paid != (told == ToldSettled && err == nil) || !paid && !errors.Is(err, ErrLine) || stood.String() != want {
			t.Errorf("%d looks with %q: told %s after %v (%v), want %s", looks, again, told, stood, err, want)
		}
	}
	f(0, "", "0s", true)
	f(40, "3; url=/pay/7/wait?s=x", "2m0s", true)
	f(5, "60000; url=/pay/7/wait?s=x", "10m0s", false)
	f(3000, "0; url=/pay/7/wait?s=x", "0s", false)
}

func TestProblemsSayWhatIsCertain(t *testing.T) {
	f := func(status int, refused bool) {
		t.Helper()
		if (&Problem{HTTP: status}).Refused() != refused {
			t.Errorf("%d", status)
		}
	}
	f(429, true)
	f(503, true)
	f(500, false)
	f(409, false)
}

func TestOrdersAreWrittenAsTheDocumentSays(t *testing.T) {
	o := Order{EndToEndID: "e", Amount: "1.20", Currency: "CNY", CreditorAccount: "62", CreditorName: "n", DebtorAccount: "63", ExpiresAt: time.Unix(0, 0)}
	body, err := o.body()
	if err != nil || !json.Valid(body) {
		t.Fatal(err)
	}
	want := `{"endToEndIdentification":"e","instructedAmount":{"currency":"CNY","amount":"1.20"},"creditorAccount":{"other":{"identification":"62"}},` +
		`"creditorName":"n","debtorAccount":{"other":{"identification":"63"}},"expiresAt":"1970-01-01T00:00:00Z"}`
	if string(body) != want {
		t.Errorf("%s", body)
	}
}

func FuzzParsePage(f *testing.F) {
	f.Add(confirmPage)
	for _, seed := range []string{"<", "<a href=", `<form><input value="`, "<!--", "</script", "<title></TITLE><a href=x>", "<form action='a'/><input/name=x/checked>"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := &Page{Body: []byte(text)}
		ParsePage(p)
		for i := range p.Forms {
			p.Forms[i].choose()
			p.Forms[i].encode()
		}
	})
}

func BenchmarkParsePage(b *testing.B) {
	p := &Page{Body: []byte(strings.Repeat("<p class=x>text</p>", 100) + confirmPage)}
	b.ReportAllocs()
	b.SetBytes(int64(len(p.Body)))
	for b.Loop() {
		ParsePage(p)
	}
}
