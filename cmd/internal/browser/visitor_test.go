package browser

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"netbank/bench/demo"
)

// visitor is a person at a browser: a profile of its own, one tab at first.
type visitor struct {
	t   *testing.T
	lab *bankLab
	ctx context.Context
	who demo.Identity

	typed int // characters
}

// stepLimit bounds every wait of a step, on a busy machine.
const stepLimit = 30 * time.Second

// visit opens a browser profile in a language, with or without JavaScript.
func visit(t *testing.T, browser context.Context, lab *bankLab, language string, javascript bool) *visitor {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	v := &visitor{t: t, lab: lab, ctx: ctx, who: lab.somebody()}
	v.run()
	call(v, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": language}})
	call(v, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !javascript})
	v.run(chromedp.EmulateViewport(400, 800))
	return v
}

// tab opens another tab of the same profile.
func (v *visitor) tab() *visitor {
	v.t.Helper()
	ctx, cancel := chromedp.NewContext(v.ctx)
	v.t.Cleanup(cancel)
	other := *v
	other.ctx = ctx
	other.run()
	return &other
}

// run does the steps within the limit, or says what the page shows instead. A page that is still coming in may exchange an element between
// the look for it and the step; nothing was done to it then, and the step is done to the one that has come.
func (v *visitor) run(steps ...chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	ctx, cancel := v.limited()
	defer cancel()
	for _, step := range steps {
		err := chromedp.Do(ctx, step)
		for err != nil && strings.Contains(err.Error(), "Could not find node with given id") && ctx.Err() == nil {
			err = chromedp.Do(ctx, step)
		}
		v.failed(err)
	}
}

// limited gives a context for one step. The first one of a tab opens it, and carries no limit: the tab would be closed with it.
func (v *visitor) limited() (context.Context, context.CancelFunc) {
	v.t.Helper()
	if chromedp.FromContext(v.ctx).Target == nil {
		if err := chromedp.Do(v.ctx); err != nil {
			v.t.Fatal(err)
		}
	}
	return context.WithTimeout(v.ctx, stepLimit)
}

func (v *visitor) failed(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatalf("%v; at %s the page says:\n%s", err, v.where(), v.text())
	}
}

// call sends a command of the protocol.
func call[P, R any](v *visitor, command cdp.Command[P, R], params P) R {
	v.t.Helper()
	ctx, cancel := v.limited()
	defer cancel()
	result, err := chromedp.Call(ctx, command, params)
	v.failed(err)
	return result
}

// evaluate asks the page.
func evaluate[T any](v *visitor, expression string, options ...chromedp.EvaluateOption) T {
	v.t.Helper()
	ctx, cancel := v.limited()
	defer cancel()
	result, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, options...))
	v.failed(err)
	return result
}

func (v *visitor) open(address string) { v.t.Helper(); v.run(chromedp.Navigate(address)) }

// sees waits until the page shows something.
func (v *visitor) sees(selector string) {
	v.t.Helper()
	v.run(chromedp.WaitVisible(chromedp.CSS(selector)))
}

// reads waits until the page says something.
func (v *visitor) reads(text string) {
	v.t.Helper()
	v.until("the page says "+text, func() bool { return strings.Contains(v.text(), text) })
}

func (v *visitor) until(what string, so func() bool) {
	v.t.Helper()
	for limit := time.Now().Add(stepLimit); !so(); <-time.After(50 * time.Millisecond) {
		if time.Now().After(limit) {
			v.t.Fatalf("in vain: %s; at %s it says:\n%s", what, v.where(), v.text())
		}
	}
}

// text gives what the page says; between two pages it is empty.
func (v *visitor) text() (text string) {
	ctx, cancel := context.WithTimeout(v.ctx, 5*time.Second)
	defer cancel()
	text, _ = chromedp.Run(ctx, chromedp.Evaluate[string]("document.body ? document.body.innerText : ''"))
	return text
}

// reference gives the reference at the foot of the page: each page that is sent has its own. Between two pages it is empty.
func (v *visitor) reference() (reference string) {
	ctx, cancel := context.WithTimeout(v.ctx, 5*time.Second)
	defer cancel()
	reference, _ = chromedp.Run(ctx, chromedp.Evaluate[string]("(document.querySelector('.ref') || {innerText: ''}).innerText"))
	return reference
}

func (v *visitor) where() (address string) {
	ctx, cancel := context.WithTimeout(v.ctx, 5*time.Second)
	defer cancel()
	address, _ = chromedp.Run(ctx, chromedp.Location())
	return address
}

func (v *visitor) click(selector string) {
	v.t.Helper()
	v.run(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// signs in on the page that is open, and sees the confirm page.
func (v *visitor) signIn() {
	v.t.Helper()
	v.fill("#username", v.who.Username)
	v.fill("#password", v.who.Password)
	v.click(`form[action*="/sign-in"] button`)
	v.sees(".reserved-text")
}

// choose takes the first account, and sees the code page.
func (v *visitor) choose() {
	v.t.Helper()
	v.click(`input[name="account"]`)
	v.click(`form[action*="/confirm"] button`)
	v.sees("#code")
}

// types enters a code, and does not send it.
func (v *visitor) types(code string) {
	v.t.Helper()
	v.fill("#code", code)
}

// fill types into a field.
func (v *visitor) fill(selector, text string) {
	v.t.Helper()
	v.run(chromedp.SendKeys(chromedp.CSS(selector), text))
	v.typed += utf8.RuneCountInString(text)
}

func (v *visitor) pays() {
	v.t.Helper()
	v.types(codeOf(v.t, v.who, 0))
	v.click(`form[action*="/code"] button`)
	v.sees(".state.good")
}

// toCode opens a payment's link and goes on to the code page.
func (v *visitor) toCode(link string) {
	v.t.Helper()
	v.open(link)
	v.signIn()
	v.choose()
}

// doubleClick clicks a button twice as a hasty hand does: the second click does not wait for the first.
func (v *visitor) doubleClick(selector string) {
	v.t.Helper()
	v.run(chromedp.ScrollIntoView(chromedp.CSS(selector)))
	at := evaluate[struct{ X, Y float64 }](v, `(() => { const r = document.querySelector('`+selector+`').getBoundingClientRect(); return {X: r.x + r.width / 2, Y: r.y + r.height / 2} })()`)
	v.run(
		chromedp.MouseEvent(chromedp.MousePressed, at.X, at.Y, chromedp.ButtonLeft, chromedp.ClickCount(1)),
		chromedp.MouseEvent(chromedp.MouseReleased, at.X, at.Y, chromedp.ButtonLeft, chromedp.ClickCount(1)),
		chromedp.MouseEvent(chromedp.MousePressed, at.X, at.Y, chromedp.ButtonLeft, chromedp.ClickCount(2)),
		chromedp.MouseEvent(chromedp.MouseReleased, at.X, at.Y, chromedp.ButtonLeft, chromedp.ClickCount(2)),
	)
}

// press types keys where the focus is.
func (v *visitor) press(keys string) { v.t.Helper(); v.run(chromedp.KeyEvent(keys)) }

// focus gives the name of what has the focus, and whether a person can see that it has.
func (v *visitor) focus() (name string, visible bool) {
	v.t.Helper()
	got := evaluate[struct {
		Name    string
		Visible bool
	}](v, `(() => { const e = document.activeElement, s = getComputedStyle(e);
		if (e === document.body) return {Name: '', Visible: true} // the browser's own bar has it
		return {Name: e.id || e.name || e.innerText || e.tagName, Visible: s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2} })()`)
	return got.Name, got.Visible
}

// tabTo presses Tab until something has the focus. Whatever has it on the way can be seen to have it.
func (v *visitor) tabTo(name string) {
	v.t.Helper()
	for range 20 {
		v.press("\t")
		got, visible := v.focus()
		if !visible {
			v.t.Fatalf("nobody can see that %q has the focus", got)
		}
		if got == name {
			return
		}
	}
	v.t.Fatalf("20 times Tab do not reach %q on %s", name, v.where())
}
