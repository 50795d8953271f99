package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// TestTheLineInABrowser waits in the line of a bank whose core takes one call at a time, and a second for it.
func TestTheLineInABrowser(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	lab := startLab(t, "--line", "--core-seats", "1", "--core-fixed", "--core-model", "fixed:1s")
	for range 2 { // what a call takes is known when some have been answered
		v := visit(t, browser, lab, "en", false)
		_, link := lab.simplePay(t)
		v.toCode(link)
		v.pays()
	}
	languages := []string{"en", "zh-CN"}
	var visitors []*visitor
	for _, language := range languages {
		visitors = append(visitors, visit(t, browser, lab, language, false))
	}
	lab.closeLine(t)
	var turns []func()
	for i, v := range visitors {
		lab.crowd(t, 15) // some for each: a browser that is slow would find the line open again, and nobody of them comes when he is called
		turns = append(turns, takesAPlace(v, languages[i]))
	}
	lab.crowd(t, 400) // for as long as the pages are looked at
	tooLate(t, browser, lab)
	leaves(t, browser, lab)
	for _, language := range languages {
		lookAtTheLine(t, browser, lab, language)
	}
	for _, comes := range turns {
		comes()
	}
}

// closeLine has customers come in until new ones wait.
func (l *bankLab) closeLine(t *testing.T) {
	t.Helper()
	client := &http.Client{Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	eventually(t, "the line closes", func() bool {
		_, link := l.simplePay(t)
		resp, err := client.PostForm(strings.Replace(link, "?", "/sign-in?", 1), url.Values{}) // who begins a flow counts, whatever he types
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		to, err := resp.Location()
		if err != nil {
			t.Fatal(err)
		}
		return strings.HasSuffix(to.Path, "/wait")
	})
}

// crowd takes places in the line.
func (l *bankLab) crowd(t *testing.T, people int) {
	t.Helper()
	for range people {
		_, link := l.simplePay(t)
		if s := l.place(t, link); s.State != "waiting" {
			t.Fatalf("a program that comes to a closed line is told %+v", s)
		}
	}
}

// place asks for a place in the line as a program does.
func (l *bankLab) place(t *testing.T, link string) (standing struct {
	State    string
	Ahead    int
	TooLate  bool
	AsOf     string
	Open     string
	From, To int
},
) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, strings.Replace(link, "?", "/wait?", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&standing); err != nil {
		t.Fatalf("status %d: %v", resp.StatusCode, err)
	}
	return standing
}

// takesAPlace takes a place in the line. What it gives waits until the page has gone on to the sign-in by itself, and pays.
func takesAPlace(v *visitor, language string) (comesToHisTurn func()) {
	v.t.Helper()
	id, link := v.lab.simplePay(v.t)
	v.open(link)
	for _, text := range map[string][]string{
		"en":    {"You are in line", "People ahead of you", "Expected wait", "Worked out at", "What happens next", "looks again by itself", "Nothing has been charged"},
		"zh-CN": {"您正在排队", "您前面的人数", "预计等待", "计算时间", "接下来", "自动刷新", "尚未扣款"},
	}[language] {
		if !strings.Contains(v.text(), text) {
			v.t.Fatalf("the page of the line does not say %q:\n%s", text, v.text())
		}
	}
	return func() {
		v.t.Helper()
		v.sees("#password")
		v.signIn()
		v.choose()
		v.pays()
		if status := v.lab.status(v.t, id); status != "ACSC" {
			v.t.Fatalf("the payment is %s", status)
		}
		v.open(strings.Replace(link, "?", "/wait?", 1)) // whoever comes back to the line is led to what became of it
		v.sees(".state.good")
	}
}

// tooLate comes with a payment that its merchant lets expire before the turn can come.
func tooLate(t *testing.T, browser context.Context, lab *bankLab) {
	t.Helper()
	v := visit(t, browser, lab, "en", false)
	_, link := lab.pay(t, "CNY", "66.50", "Demo Shop", "Tea", 40*time.Second)
	v.open(link)
	v.reads("Your turn would come too late")
	v.click("a.go")
	v.until("the link leads back", func() bool { return strings.HasPrefix(v.where(), v.lab.Partner.RedirectURI) })
}

// leaves gives his place up and cancels.
func leaves(t *testing.T, browser context.Context, lab *bankLab) {
	t.Helper()
	v := visit(t, browser, lab, "en", false)
	id, link := lab.simplePay(t)
	v.open(link)
	v.reads("You are in line")
	v.click("form.cancel button")
	v.reads("cancelled")
	if status := lab.status(t, id); status != "CANC" {
		t.Fatalf("the payment is %s", status)
	}
	if s := lab.place(t, link); s.State != "over" {
		t.Errorf("a program is told %+v", s)
	}
}

// lookAtTheLine lets axe-core look at the pages of the line, which stay when they are asked to.
func lookAtTheLine(t *testing.T, browser context.Context, lab *bankLab, language string) {
	t.Helper()
	v := visit(t, browser, lab, language, true)
	call(v, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true})
	i := &inspector{visitor: v, axe: axe(t), language: language, pictures: os.Getenv("NETBANK_SCREENSHOTS")}
	for name, life := range map[string]time.Duration{"line": 15 * time.Minute, "line-late": 40 * time.Second} {
		_, link := lab.pay(t, "CNY", "128.00", "Demo Shop 示例商店", "Reading lamp", life)
		i.open(strings.Replace(link, "?", "/wait?", 1) + "&stay=1")
		if !strings.Contains(i.text(), map[string]string{"en": "ahead of you", "zh-CN": "您前面的人数"}[language]) {
			t.Fatalf("no line, but:\n%s", i.text())
		}
		i.look(name)
	}
	i.run(chromedp.Navigate(fmt.Sprintf("%s/sign-in", lab.Customer.URL)))
	if strings.Contains(i.where(), "/wait") {
		i.look("line-enter")
	}
}
