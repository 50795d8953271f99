package browser

import (
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// What the way from the shop to the receipt may ask of a customer.
const (
	bankPagesMax = 4
	// Characters a second: 36 words of five characters a minute are the mean of 37,000 people who typed sentences on their phones (Palin, Feit,
	// Kim, Kristensson and Oulasvirta: How do People Type on Mobile Devices?, MobileHCI 2019).
	typedPerSecond   = 3
	typingSecondsMax = 20
)

// shopToDone pays on a phone, and counts the pages of the bank that come and what is typed.
func shopToDone(v *visitor) {
	var lock sync.Mutex
	var came []string
	bank := v.host()
	err := chromedp.Listen(v.ctx, func(event any) {
		if e, ok := event.(*network.EventResponseReceived); ok && e.Type == network.ResourceTypeDocument && strings.HasPrefix(e.Response.URL, bank) {
			lock.Lock()
			defer lock.Unlock()
			came = append(came, fmt.Sprintf("%d %s", e.Response.Status, strings.SplitN(e.Response.URL, "?", 2)[0]))
		}
	})
	if err != nil {
		v.t.Fatal(err)
	}
	call(v, network.Enable, network.EnableParams{})
	v.run(chromedp.EmulateViewport(390, 740, chromedp.EmulateMobile))
	v.open(v.lab.Shop.URL + "/?lang=en")
	v.click("ul.items li:first-child button")
	v.sees("#password")
	v.signIn()
	v.choose()
	v.pays()
	lock.Lock()
	defer lock.Unlock()
	seconds := (v.typed + typedPerSecond - 1) / typedPerSecond
	v.t.Logf("%d characters typed, %d s at %d a second; %d pages of the bank:\n%s", v.typed, seconds, typedPerSecond, len(came), strings.Join(came, "\n"))
	if len(came) > bankPagesMax || seconds >= typingSecondsMax || v.typed < utf8.RuneCountInString(v.who.Username+v.who.Password)+6 {
		v.t.Errorf("%d pages and %d s of typing; at most %d and less than %d s are allowed", len(came), seconds, bankPagesMax, typingSecondsMax)
	}
}

// goes takes the link or button of that name with the keyboard, and waits for what the next page says.
func (v *visitor) goes(name, says string) {
	v.t.Helper()
	v.tabTo(name)
	v.press("\r")
	v.reads(says)
}

// codeByKeyboard has a code sent in a message with words in it, and confirms a change with it.
func (v *visitor) codeByKeyboard(words string) {
	v.t.Helper()
	v.tabTo("Send the code")
	v.press("\r")
	v.sees("#code")
	v.tabTo("code")
	v.press(v.lab.message(v.t, v.who, words) + "\r")
	v.sees(".done")
}

// accountByKeyboard goes over the pages of a customer's account, changes the password, and adds a passkey where there is JavaScript.
func accountByKeyboard(v *visitor, javascript bool) {
	v.run(chromedp.EmulateViewport(1000, 800))
	if javascript {
		v.authenticator()
	}
	v.open(v.host() + "/sign-in")
	v.tabTo("username")
	v.press(v.who.Username)
	v.tabTo("password")
	v.press(v.who.Password + "\r")
	v.reads("You have confirmed no payment")
	v.goes("My mandates", "You have none")
	v.goes("Security", "Change your password")
	const chosen = "four plums in a row"
	v.tabTo("present")
	v.press(v.who.Password)
	v.tabTo("chosen")
	v.press(chosen)
	v.tabTo("again")
	v.press(chosen + "\r")
	v.reads("about to change the password")
	v.codeByKeyboard("password")
	v.goes("Passkeys and codes", "Lost your device?")
	if !javascript {
		v.goes("Add a passkey", "switched off in this browser")
		v.goes("Back to the second factors", "Lost your device?")
	} else {
		v.goes("Add a passkey", "Make the passkey")
		v.tabTo("name")
		v.press("\r")
		v.reads("You are about to add")
		v.codeByKeyboard("passkey")
		v.goes("Remove", "You are about to remove")
		v.goes("Back to the second factors", "Lost your device?")
	}
	v.goes("My payments", "You have confirmed no payment")
	v.goes(evaluate[string](v, `document.querySelector('.foot a[href="/session"]').innerText`), "Only your newest sign-in counts")
	v.goes("Sign out", "You are signed out")
	v.goes("To the start page", "Payments are confirmed here")
	v.goes("Sign in", "User name")
}

// accountPages opens the pages of a customer's account, and holds each to one file of a size that comes at once.
func accountPages(v *visitor) {
	for _, path := range []string{"/payments", "/mandates", "/security", "/factors", "/session"} {
		v.open(v.host() + path)
		v.sees("h1")
		v.light(path)
	}
}

// light sees that the page came alone: what it is shown with was there from the page before.
func (v *visitor) light(name string) {
	v.t.Helper()
	v.until(name+" is whole", func() bool { return evaluate[bool](v, `document.readyState === 'complete'`) }) // what is still on its way is not counted
	fetched := evaluate[int](v, `performance.getEntriesByType('resource').filter(e => e.transferSize > 0).length`)
	bytes := evaluate[int](v, `performance.getEntriesByType('navigation')[0].transferSize`)
	if fetched != 0 || bytes == 0 || bytes > 10<<10 {
		v.t.Errorf("%s has %d bytes and asks for %d files more", name, bytes, fetched)
	}
}
