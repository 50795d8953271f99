package browser

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// axe gives the source of axe-core.
func axe(t *testing.T) string {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "axe.min.js.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	source, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// inspector looks at pages with axe-core and for what does not fit.
type inspector struct {
	*visitor
	axe      string
	language string
	pictures string // folder; empty: none are taken
}

// everyPage walks over every page in both languages and lets axe-core look at it, in light and dark, and at the width of the
// narrowest phone.
func everyPage(t *testing.T, browser context.Context, lab *bankLab) {
	source := axe(t)
	var waiting []*inspector
	for _, language := range []string{"en", "zh-CN"} {
		v := visit(t, browser, lab, language, true)
		// What axe-core does in the page is not what the page does: the policy that forbids it stays as it is for visitors.
		call(v, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true})
		i := &inspector{visitor: v, axe: source, language: language, pictures: os.Getenv("NETBANK_SCREENSHOTS")}
		i.walk()
		waiting = append(waiting, i)
	}
	paysLong(lab, waiting)
	for _, i := range waiting {
		if i.pictures != "" {
			i.visitor = visit(t, browser, lab, i.language, true)
			i.forTheReadme()
		}
	}
}

// forTheReadme takes the picture of the confirm page that the README shows.
func (i *inspector) forTheReadme() {
	i.t.Helper()
	i.who = i.lab.Customers[map[string]int{"zh-CN": 0, "en": 1}[i.language]]
	i.run(chromedp.EmulateViewport(400, 760, chromedp.EmulateScale(1.25)))
	i.scheme("light")
	i.open(i.lab.Shop.URL + "/?lang=" + i.language)
	i.click("ul.items li:first-child button")
	i.sees("#password")
	i.signIn()
	i.click(`input[name="account"]`)
	i.run(chromedp.Blur(chromedp.CSS(`input[name="account"]`)))
	beyond := true
	png := call(i.visitor, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: &beyond}).Data
	if err := os.WriteFile(filepath.Join(i.pictures, "readme-confirm-"+i.language+".png"), png, 0o644); err != nil {
		i.t.Fatal(err)
	}
}

func (i *inspector) walk() {
	lab, t := i.lab, i.t
	payee := "Zhōnghuá Handicraft and Household Goods Trading Cooperative 上海分公司 Ltd"
	id, link := lab.pay(t, "CNY", "9999999999.99", payee, "订单 2026-11-11-0815: reading lamp, oak, with a very long description that wraps over lines 阅读台灯", 15*time.Minute)
	_, small := lab.simplePay(t)
	_, euro := lab.pay(t, "EUR", "12.00", "Demo Shop", "Tea", 15*time.Minute)
	lapsing, lapsed := lab.pay(t, "CNY", "66.50", "Demo Shop", "Tea", 1500*time.Millisecond)
	_, dropped := lab.simplePay(t)
	step := func(link, name, more string) string { return strings.Replace(link, "?", "/"+name+"?", 1) + more }
	soon := strconv.FormatInt(time.Now().Add(12*time.Minute).Unix(), 10)

	i.at("home", strings.SplitN(link, "/pay/", 2)[0]+"/")
	i.at("nowhere", strings.SplitN(link, "/pay/", 2)[0]+"/nowhere")
	i.at("enter", strings.SplitN(link, "/pay/", 2)[0]+"/sign-in")
	i.at("enter-wrong", strings.SplitN(link, "/pay/", 2)[0]+"/sign-in?why=wrong")
	i.at("enter-locked", strings.SplitN(link, "/pay/", 2)[0]+"/locked?what=sign-in&until="+soon)
	i.at("not-found", strings.Replace(link, "s=", "s=x", 1))
	i.at("sign-in", link)
	i.at("sign-in-wrong", link+"&why=wrong")
	i.at("sign-in-malformed", link+"&why=malformed")
	i.at("busy", step(link, "busy", "&reason=queue-full&wait=20"))
	i.at("unavailable", step(link, "busy", "&reason=no-leader&wait=5"))
	i.at("locked-sign-in", step(link, "locked", "&what=sign-in&until="+soon))
	i.at("locked-code", step(link, "locked", "&what=code&until="+soon))
	i.at("doubt", step(link, "result", "&sent="+strconv.FormatInt(time.Now().UnixMilli(), 10)))
	i.at("unsent", step(link, "result", "&sent=1"))
	i.open(link)
	i.signIn()
	i.look("confirm")
	i.open(link)
	i.sees(".reserved-text")
	i.endsSoon()
	i.look("confirm-ending")
	i.at("session", step(link, "session", ""))
	i.at("payments-none", strings.SplitN(link, "/pay/", 2)[0]+"/payments")
	i.at("mandates", strings.SplitN(link, "/pay/", 2)[0]+"/mandates")
	i.at("home-signed-in", strings.SplitN(link, "/pay/", 2)[0]+"/")
	i.at("confirm-balances", step(link, "confirm", "&balances=1&why=account"))
	i.at("no-account", euro)
	i.open(link)
	i.account()
	i.sees(`form[action*="/message"] button`)
	i.look("message")
	i.click(`form[action*="/message"] button`)
	i.sees("#code")
	i.look("message-sent")
	sent, code := i.where(), lab.message(t, i.who, "CNY\u00a09,999,999,999.99")
	i.at("message-soon", sent+"&why=message-soon")
	i.open(small)
	i.choose()
	i.look("code")
	i.types(wrongCode(t, i.who))
	i.click(`form[action*="/code"] button`)
	i.sees("#alert")
	i.look("code-wrong")
	i.open(small)
	i.choose()
	i.pays()
	i.look("settled")
	i.at("settled-stay", i.where()+"&stay=1")
	i.open(sent)
	i.types(code)
	i.click(`form[action*="/code"] button`)
	i.sees(".state.bad") // the account does not hold ten thousand million
	i.look("rejected")
	i.at("payments", strings.SplitN(link, "/pay/", 2)[0]+"/payments")
	i.at("payment-rejected", strings.SplitN(link, "/pay/", 2)[0]+"/payments/"+id)
	i.changesPassword(strings.SplitN(link, "/pay/", 2)[0] + "/security")
	if lab.status(t, id) != "RJCT" {
		t.Fatal(lab.status(t, id))
	}
	i.open(dropped)
	i.click("form.cancel button")
	i.sees(".state.info")
	i.look("cancelled")
	i.factors()
	i.until("a payment expires", func() bool { return lab.status(t, lapsing) == "RJCT" })
	i.at("expired", lapsed)
	i.click("form.inline button")
	i.sees(".state.good")
	i.look("signed-out")
	i.who = lab.somebody()
	_, next := lab.simplePay(t)
	i.open(next)
	i.signIn()
	i.at("other", small)
	i.open(next)
	i.choose()
}

// changesPassword looks at the page of it, where it says why not, and where it is done.
func (i *inspector) changesPassword(page string) {
	i.at("security", page)
	change := func(again string) {
		i.t.Helper()
		i.run(chromedp.SendKeys(chromedp.CSS("#present"), i.who.Password), chromedp.SendKeys(chromedp.CSS("#chosen"), "four plums in a row"), chromedp.SendKeys(chromedp.CSS("#again"), again))
		i.click(`form[action="/security/password"] button`)
	}
	change("for plums in a row")
	i.sees("#alert")
	i.look("security-repeat")
	change("four plums in a row")
	i.sees(`form[action*="/message"] button`)
	i.look("security-factor")
	i.sendCode(map[string]string{"en": "password", "zh-CN": "密码"}[i.language])
	i.click(`form[action*="/factors/code"] button`)
	i.sees(".done")
	i.look("security-changed")
	i.who.Password = "four plums in a row"
}

// paysLong has all, who are at the page for the code, pay while the core's answers are lost: the pages of a payment that is under way, and of one in doubt.
func paysLong(lab *bankLab, all []*inspector) {
	healed := lab.loseAnswers(all[0].t)
	defer healed()
	var lookers []*inspector
	var paying []string // the addresses of the pages for the code
	for _, i := range all {
		paying = append(paying, i.where())
		look := *i
		look.visitor = i.tab()
		call(look.visitor, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true})
		lookers = append(lookers, &look)
	}
	for _, i := range all {
		i.types(codeOf(i.t, i.who, 0))
		i.run(chromedp.Evaluate[chromedp.Void](`document.querySelector('form[action*="/code"]').submit()`))
	}
	for n, i := range lookers {
		i.looksUnderWay(paying[n])
	}
	for _, i := range lookers {
		i.until("the payment is in doubt", func() bool { i.run(chromedp.Reload()); return strings.Contains(i.text(), i.inDoubt()) })
		i.look("in-doubt")
	}
	healed()
	for _, i := range all {
		i.sees(".state.good, .state.bad") // by itself
	}
}

func (i *inspector) inDoubt() string {
	return map[string]string{"en": "Not yet known", "zh-CN": "结果尚未确定"}[i.language]
}

// looksUnderWay opens the result of the payment whose code was typed at an address.
func (i *inspector) looksUnderWay(code string) {
	i.t.Helper()
	from, err := url.Parse(code)
	if err != nil {
		i.t.Fatal(err)
	}
	result := i.host() + path.Join(path.Dir(from.Path), "result") + "?s=" + url.QueryEscape(from.Query().Get("s")) + "&stay=1&lang=" + i.language // another tab says nothing of its language
	under := map[string]string{"en": "is being processed", "zh-CN": "正在处理中"}[i.language]
	said := ""
	i.until("the payment is under way", func() bool {
		i.open(result)
		said = i.text()
		return strings.Contains(said, under) || strings.Contains(said, i.inDoubt())
	})
	if strings.Contains(said, under) { // on a busy machine it may be in doubt by now
		i.look("processing")
	}
}

// endsSoon puts the clock of the page's notice forward to where it shows.
func (v *visitor) endsSoon() {
	v.t.Helper()
	shown := func() bool {
		return evaluate[bool](v, `document.querySelector('.ending').checkVisibility({visibilityProperty: true})`)
	}
	if shown() {
		v.t.Fatal("a fresh page says that its session ends soon")
	}
	evaluate[int](v, `document.getAnimations().map(a => a.finish()).length`)
	v.until("the notice shows", shown)
}

// at opens an address and looks at the page.
func (i *inspector) at(name, address string) {
	i.t.Helper()
	i.open(address)
	i.sees("h1")
	i.look(name)
}

// look lets axe-core look at the page in light and dark, sees that it fits 320 pixels, and takes pictures if asked to.
func (i *inspector) look(name string) {
	i.t.Helper()
	run := func(options string) string {
		return evaluate[string](i.visitor, `axe.run(document, `+options+`).then(r => JSON.stringify(r.violations.map(v => [v.id, v.help, v.nodes.map(n => n.html + ' ' + n.failureSummary)])))`, chromedp.EvalAwaitPromise)
	}
	i.run(chromedp.EmulateViewport(320, 700, chromedp.EmulateMobile))
	i.scheme("light")
	wide := evaluate[float64](i.visitor, `Math.max(...[...document.querySelectorAll('body, main, main *')].map(e => e.scrollWidth - e.clientWidth > 1 && getComputedStyle(e).overflow !== 'visible' ? 9999 : e.getBoundingClientRect().right))`)
	evaluate[float64](i.visitor, i.axe+";0")
	first := run(`{}`)
	i.scheme("dark")
	second := run(`{runOnly: ['color-contrast', 'link-in-text-block']}`)
	for _, found := range []string{first, second} {
		var findings [][]any
		if err := json.Unmarshal([]byte(found), &findings); err != nil {
			i.t.Fatalf("%s: axe-core answered %q", name, found)
		}
		for _, f := range findings {
			i.t.Errorf("%s in %s: axe-core finds %v", name, i.language, f)
		}
	}
	if wide > 320 {
		i.t.Errorf("%s in %s is %v pixels wide on a screen of 320 (9999: something is cut off)", name, i.language, wide)
	}
	if text := i.text(); !strings.Contains(text, map[string]string{"en": "Reference", "zh-CN": "参考号"}[i.language]) {
		i.t.Errorf("%s in %s bears no reference:\n%s", name, i.language, text)
	}
	if i.pictures != "" {
		i.source(name)
		i.picture(name, "phone", 390, 740, "light")
		i.picture(name, "desk", 1280, 900, "light")
		i.picture(name, "phone-dark", 390, 740, "dark")
		i.picture(name, "desk-dark", 1280, 900, "dark")
		i.picture(name, "print", 700, 900, "light")
	}
	i.run(chromedp.EmulateViewport(400, 800))
	i.scheme("light")
}

func (i *inspector) scheme(name string) {
	i.t.Helper()
	call(i.visitor, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
}

// source saves the page as it is sent, for other checkers.
func (i *inspector) source(name string) {
	i.t.Helper()
	sent := evaluate[string](i.visitor, `fetch(location.href).then(r => r.text())`, chromedp.EvalAwaitPromise)
	if err := os.WriteFile(filepath.Join(i.pictures, name+"-"+i.language+".html"), []byte(sent), 0o644); err != nil {
		i.t.Fatal(err)
	}
}

// picture saves what the page looks like.
func (i *inspector) picture(name, kind string, width, height int64, scheme string) {
	i.t.Helper()
	i.run(chromedp.EmulateViewport(width, height))
	i.scheme(scheme)
	if kind == "print" {
		call(i.visitor, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"})
	}
	beyond := true
	png := call(i.visitor, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: &beyond}).Data
	file := filepath.Join(i.pictures, fmt.Sprintf("%s-%s-%s.png", name, i.language, kind))
	if err := os.WriteFile(file, png, 0o644); err != nil {
		i.t.Fatal(err)
	}
}
