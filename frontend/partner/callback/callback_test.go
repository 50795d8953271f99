package callback

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestOnlyWhatIsRegisteredOrBelowItIsCovered(t *testing.T) {
	registered, err := ParseAll([]string{"https://shop.example/return", "https://shop.example:8443/", "http://127.0.0.1:8081/back", "http://localhost/"})
	if err != nil {
		t.Fatal(err)
	}
	yes := func(text string) {
		t.Helper()
		if err := registered.Check(text); err != nil {
			t.Errorf("Check(%q) = %v", text, err)
		}
	}
	no := func(text string, want error) {
		t.Helper()
		if err := registered.Check(text); !errors.Is(err, want) {
			t.Errorf("Check(%q) = %v, want %v", text, err, want)
		}
	}
	yes("https://shop.example/return")
	yes("https://shop.example/return?state=a%2Fb&x=../..")
	yes("https://shop.example/return/order/7")
	yes("HTTPS://SHOP.example:443/return")
	yes("https://shop.example:8443")
	yes("https://shop.example:8443/anything")
	yes("http://127.0.0.1:8081/back/1")
	yes("http://localhost?x=http://a//b")

	no("https://shop.example/returns", ErrNotRegistered)
	no("https://shop.example/Return", ErrNotRegistered)
	no("https://shop.example/", ErrNotRegistered)
	no("https://shop.example.evil/return", ErrNotRegistered)
	no("https://evil.example/return", ErrNotRegistered)
	no("https://shop.example:444/return", ErrNotRegistered)
	no("http://127.0.0.1/back", ErrNotRegistered)

	no("http://shop.example/return", ErrSyntax)
	no("https://shop.example@evil.example/return", ErrSyntax)
	no("https://evil.example#@shop.example/return", ErrSyntax)
	no("https://shop.example/return#x", ErrSyntax)
	no("https://shop.example/return/../admin", ErrSyntax)
	no("https://shop.example/return/%2e%2E/admin", ErrSyntax)
	no("https://shop.example/return/%2f..", ErrSyntax)
	no("https://shop.example/return/%252e%252e", ErrSyntax)
	no("https://shop.example/return/.", ErrSyntax)
	no("https://shop.example/return//x", ErrSyntax)
	no("https://shop.example\\@evil.example/return", ErrSyntax)
	no("https:/shop.example/return", ErrSyntax)
	no("//shop.example/return", ErrSyntax)
	no("javascript://shop.example/return", ErrSyntax)
	no("https://0x7f.1/return", ErrSyntax)
	no("https://shop.example:/return", ErrSyntax)
	no("https://shop.example:0443/return", ErrSyntax)
	no("https://shop.example:70000/return", ErrSyntax)
	no("https://shop.example./return", ErrSyntax)
	no("https://[::1%25lo]/return", ErrSyntax)
	no("https://sh\u00f6p.example/return", ErrSyntax)
	no("https://shop.example/return\r\nX: y", ErrSyntax)
	no("https://shop.example/return/"+strings.Repeat("a", LengthMax), ErrSyntax)
	no("", ErrSyntax)
}

// What Parse accepts, net/url reads in the same way: a disagreement would be a way around the registration.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"https://shop.example/return?state=1", "http://127.0.0.1:8081/a/b", "https://[::1]:8443/", "https://a@b/", "https://a/%2e%2e/b",
		"https://a:443?x#y", "https://0x7f.1/", "https://a\\b/", "HTTPS://A.B:1/c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrSyntax) {
				t.Fatalf("Parse(%q) = %v", text, err)
			}
			return
		}
		u, err := url.Parse(text)
		if err != nil {
			t.Fatalf("net/url does not read %q: %v", text, err)
		}
		if !strings.EqualFold(strings.Trim(a.Host, "[]"), u.Hostname()) || u.User != nil || u.Fragment != "" || u.Scheme != a.Scheme {
			t.Fatalf("%q: we read %+v, net/url %+v", text, a, u)
		}
		if p := u.EscapedPath(); p != a.Path && !(p == "" && a.Path == "/") {
			t.Fatalf("%q: path %q, net/url %q", text, a.Path, p)
		}
		if strings.Contains(u.Path, "/../") || strings.HasSuffix(u.Path, "/..") || !a.Covers(a) {
			t.Fatalf("%q: a dot segment got through", text)
		}
	})
}
