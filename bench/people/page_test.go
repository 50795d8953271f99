package people

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shown reads a page of a real bank that was kept in a file, with its own address among the header lines.
func shown(t *testing.T, name string) sheet {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "pages", name+".http"))
	if err != nil {
		t.Fatal(err)
	}
	c := against(t, func(*http.Request, string) string { return string(text) })
	r, err := c.Do([]byte("GET / HTTP/1.1\r\nHost: bank.example\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	return readSheet(string(r.Header("X-Path")), r, "http://127.0.0.1:18081/return")
}

func TestPagesOfABankAreReadAsABrowserShowsThem(t *testing.T) {
	f := func(name string, k kind, says known, form, fields, again, follows string, wait time.Duration) {
		t.Helper()
		p := shown(t, name)
		leads := func(what, address, step string) {
			t.Helper()
			if step == "" && address != "" || step != "" && (!strings.HasPrefix(address, "/pay/01a207b") || !strings.Contains(address, step) || strings.Contains(address, "&amp;")) {
				t.Errorf("%s: %s leads to %q, expected to %q", name, what, address, step)
			}
		}
		leads("the form", p.action, form)
		leads("the main link", p.again, again)
		leads("the page by itself", p.follows, follows)
		if got := strings.TrimSpace(map[bool]string{true: "csrf "}[len(p.csrf) == 43] + map[bool]string{true: "account"}[p.account != ""]); got != fields {
			t.Errorf("%s: fields %q, expected %q", name, got, fields)
		}
		if p.kind != k || p.known != says || p.wait != wait {
			t.Errorf("%s: %+v", name, p)
		}
	}
	f("sign-in", signIn, uncharged, "/sign-in?s=", "", "", "", 0)
	f("confirm", choose, uncharged, "/confirm?s=", "csrf account", "", "", 0)
	f("code", oneTime, uncharged, "/code?s=", "csrf", "", "", 0)
	f("busy", tells, uncharged, "", "", "/code?s=", "", time.Second)
	f("processing", tells, unknown, "", "", "/result?s=", "/result?s=", 2*time.Second)
	f("doubt", tells, unknown, "", "", "/result?s=", "/result?s=", 5*time.Second)
	f("rejected", tells, rejected, "", "", "", "", 0)
	f("settled", tells, settled, "", "", "", "", 0)
	if p := shown(t, "busy"); !p.turnedAway() || p.step != "busy" || p.why != "too-late" {
		t.Errorf("%+v", p)
	}
}

func TestNoPageLeadsOutOfTheBank(t *testing.T) {
	f := func(address string, ok bool) {
		t.Helper()
		if (local(address) != "") != ok {
			t.Errorf("%q", address)
		}
	}
	f("/pay/1?s=2", true)
	f("//evil.example/", false)
	f("http://evil.example/", false)
	f("/pay/1 HTTP/1.1\r\nHost: x", false)
	f("/pay/\u00fc", false)
	f("", false)
}

func FuzzPages(f *testing.F) {
	files, err := filepath.Glob("testdata/pages/*.http")
	if err != nil || len(files) == 0 {
		f.Fatal("no pages to begin with: ", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, "2; url=/pay/1/result?s=2")
	}
	f.Add([]byte("<form action=\"/pay/1\"><input autocomplete=\"one-time-code\"></form>"), "6; url=http://shop.example/")
	f.Add([]byte("href=\"http://shop.example/return?paymentId=1&amp;error=pending\""), "-1; url=//x")
	f.Fuzz(func(t *testing.T, body []byte, refresh string) {
		p := readPage("/pay/1/result?s=2", 200, body, "http://shop.example/return")
		p.refresh(refresh)
		for _, address := range []string{p.action, p.again, p.follows} {
			if address != "" && local(address) != address {
				t.Errorf("leads to %q", address)
			}
		}
		if p.wait < 0 || p.wait > pageWaitMax {
			t.Errorf("waits for %v", p.wait)
		}
	})
}

func BenchmarkReadResultPage(b *testing.B) {
	text, err := os.ReadFile("testdata/pages/settled.http")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if p := readPage("/pay/1/result?s=2", 200, text, "http://127.0.0.1:18081/return"); p.known != settled {
			b.Fatal(p.known)
		}
	}
}
