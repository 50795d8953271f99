package web

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

func sentencesOf(t *testing.T, locale Locale) map[string]string {
	t.Helper()
	text, err := files.ReadFile("locales/" + string(locale) + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]string
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEverySentenceExistsInEveryLanguage(t *testing.T) {
	arguments := regexp.MustCompile(`{{\.\w+}}`)
	first := sentencesOf(t, locales[0].Tag)
	for _, l := range locales[1:] {
		other := sentencesOf(t, l.Tag)
		for key, sentence := range first {
			if strings.TrimSpace(other[key]) == "" {
				t.Errorf("%s has no sentence %q", l.Tag, key)
			}
			if a, b := arguments.FindString(sentence), arguments.FindString(other[key]); a != b {
				t.Errorf("%q takes %q in %s and %q in %s", key, a, locales[0].Tag, b, l.Tag)
			}
		}
		for key := range other {
			if _, ok := first[key]; !ok {
				t.Errorf("%s has no sentence %q", locales[0].Tag, key)
			}
		}
	}
}

func TestTemplatesUseOnlySentencesThatExistAndNothingInline(t *testing.T) {
	known := sentencesOf(t, English)
	used := regexp.MustCompile(`\bt "([a-z-]+)"`)
	inline := regexp.MustCompile(`(?i)<script|<style|\sstyle=|\son[a-z]+=`)
	err := fs.WalkDir(files, "templates", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		for _, m := range used.FindAllSubmatch(text, -1) {
			if _, ok := known[string(m[1])]; !ok {
				t.Errorf("%s says %q, which no language has", path, m[1])
			}
		}
		// But for the one script, which is a file and bears the nonce of its page.
		text = bytes.ReplaceAll(text, []byte(`<script nonce="{{.}}" src="{{asset "passkey.js"}}"></script>`), nil)
		if m := inline.Find(text); m != nil {
			t.Errorf("%s holds %q; the content security policy forbids anything inline", path, m)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPagesRenderAndEscape(t *testing.T) {
	site, err := New()
	if err != nil {
		t.Fatal(err)
	}
	hostile := `"><script>alert(1)</script>`
	for _, l := range locales {
		frame := Frame{Lang: l.Tag, Title: hostile, Bank: hostile, Reference: hostile, Alert: hostile, Menu: []MenuLink{{Link: Link{Href: "javascript:alert(1)", Text: hostile}, Current: hostile}}, Langs: Languages(l.Tag, "/pay/x?s=y"), SignOut: &SignOut{Name: hostile, Action: "/sign-out", CSRF: hostile}, Back: "javascript:alert(1)", Ending: &Ending{Text: hostile, Extend: &Link{Href: "javascript:alert(1)", Text: hostile}}}
		order := Order{CreditorName: hostile, Amount: hostile, OrderText: hostile, Account: hostile}
		views := map[string]any{
			"sign-in":  SignIn{Frame: frame, Order: &order, Action: "/a", Cancel: &Form{Action: "/c", CSRF: hostile}},
			"confirm":  Confirm{Frame: frame, Order: order, Reserved: hostile, Accounts: []Account{{Value: "0", Label: hostile, Masked: hostile, Balance: hostile}}},
			"session":  Session{Frame: frame, Rows: []Row{{Term: hostile, Text: hostile}}, Payment: &Link{Href: "javascript:alert(1)", Text: hostile}},
			"security": Security{Frame: frame, Done: hostile, Action: "/a", CSRF: hostile, Username: hostile, Since: hostile},
			"payments": Payments{Frame: frame, Note: hostile, Intro: hostile, Rows: []Payment{{Href: "javascript:alert(1)", CreditorName: hostile, Amount: hostile, When: hostile, Tone: hostile, State: hostile, Number: hostile}}, Older: &Link{Href: "javascript:alert(1)", Text: hostile}, Newest: &Link{Text: hostile}},
			"code": Code{
				Frame: frame, Step: hostile, Heading: hostile, Order: &order, What: hostile, Way: "passkey", Action: "/a", CSRF: hostile, Button: hostile, Options: hostile,
				Phone: hostile, Others: []Link{{Href: "javascript:alert(1)", Text: hostile}}, Cancel: &Form{Action: "/c", CSRF: hostile}, Leave: &Link{Href: "javascript:alert(1)", Text: hostile},
			},
			"passkey": NewPasskey{Frame: frame, Action: "/a", CSRF: hostile, Options: hostile, Name: hostile},
			"factors": Factors{Frame: frame, Done: hostile, Passkeys: []Passkey{{Name: hostile, When: hostile, Value: hostile, CSRF: hostile, Remove: hostile}}, None: hostile, Add: &Link{Href: "javascript:alert(1)", Text: hostile}, Rows: []Row{{Term: hostile, Text: hostile}}},
			"message": Message{Frame: frame, Tone: "good", Heading: hostile, Paragraphs: []string{hostile}, Primary: &Link{Href: "javascript:alert(1)", Text: hostile}, Follow: hostile, Stay: &Link{Href: "javascript:alert(1)", Text: hostile}},
		}
		for _, page := range pages {
			var b bytes.Buffer
			if err := site.Render(&b, l.Tag, page, views[page]); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(b.String(), "<script") || strings.Contains(b.String(), `href="javascript:`) {
				t.Errorf("%s in %s lets markup through:\n%s", page, l.Tag, b.String())
			}
		}
	}
}

func TestMatchChoosesTheLanguageAskedFor(t *testing.T) {
	site, err := New()
	if err != nil {
		t.Fatal(err)
	}
	f := func(chosen, header string, want Locale) {
		t.Helper()
		if got := site.Match([]byte(chosen), []byte(header)); got != want {
			t.Errorf("Match(%q, %q) = %s, want %s", chosen, header, got, want)
		}
	}
	f("", "", English)
	f("en", "zh-CN", English)
	f("zh-CN", "en", Chinese)
	f("", "zh-CN,zh;q=0.9,en;q=0.8", Chinese)
	f("", "zh-Hans", Chinese)
	f("", "de, zh;q=0.5", Chinese)
	f("", "fr-FR", English)
	f("xx", ";;;", English)
	f("", strings.Repeat("zh,", 200), English)
}

func BenchmarkConfirmPage(b *testing.B) {
	site, err := New()
	if err != nil {
		b.Fatal(err)
	}
	view := Confirm{
		Frame: Frame{Lang: Chinese, Title: "t", Bank: "b", Reference: "r", Langs: Languages(Chinese, "/pay/x?s=y"), SignOut: &SignOut{Name: "n", CSRF: "c"}},
		Order: Order{CreditorName: "商户", Amount: "CNY 128.00", OrderText: "订单"}, Reserved: "清风", Accounts: []Account{{Value: "0", Label: "储蓄", Masked: "•••• 1234"}}, Cancel: &Form{Action: "/x", CSRF: "c"},
	}
	var out bytes.Buffer
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		if err := site.Render(&out, Chinese, "confirm", &view); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(out.Len()), "bytes/page")
}

func TestKnownIsALanguageThatThePagesExistIn(t *testing.T) {
	site, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"", "xx", "zh", "EN", "en ", "zh-cn"} {
		if site.Known([]byte(tag)) {
			t.Errorf("%q is known", tag)
		}
	}
	for _, l := range locales {
		if !site.Known([]byte(l.Tag)) {
			t.Errorf("%q is not known", l.Tag)
		}
	}
}

func TestFixedSentencesAreWrittenIntoTemplatesEscaped(t *testing.T) {
	site := &Site{address: map[string]string{"icon.svg": "/static/icon.1.svg"}}
	words := &sentences{fixed: map[string]string{"a-b": `1 < 2 & "3"`}}
	f := func(text, want string) {
		t.Helper()
		if got := site.settle(words, text); got != want {
			t.Errorf("settle(%s) = %s, want %s", text, got, want)
		}
	}
	f(`<p title="{{t "a-b"}}">{{t "a-b"}}</p>`, `<p title="1 &lt; 2 &amp; &#34;3&#34;">1 &lt; 2 &amp; &#34;3&#34;</p>`)
	f(`<img src="{{asset "icon.svg"}}">`, `<img src="/static/icon.1.svg">`)
	f(`{{t "unknown"}}{{t "a-b" "Amount" .Amount}}{{asset "none"}}`, `{{t "unknown"}}{{t "a-b" "Amount" .Amount}}{{asset "none"}}`)
}
