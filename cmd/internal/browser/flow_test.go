package browser

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// TestInABrowser drives one bank with one browser: each of its parts is a person of its own.
func TestInABrowser(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	lab := startLab(t)
	part := func(name string, f func(v *visitor)) {
		t.Run(name, func(t *testing.T) { f(visit(t, browser, lab, "en", true)) })
	}
	for _, language := range []string{"en", "zh-CN"} {
		for _, javascript := range []bool{true, false} {
			name := "FromTheShopToTheBankAndBack_" + language
			if !javascript {
				name += "_WithoutJavaScript"
			}
			t.Run(name, func(t *testing.T) {
				fromTheShopAndBack(visit(t, browser, lab, language, javascript), language, javascript)
			})
		}
	}
	part("FromTheShopToDone_FourPagesAndUnderTwentySecondsOfTyping", shopToDone)
	part("DoubleClickOnSignInSignsIn", doubleClickOnSignIn)
	part("DoubleClickOnPayPaysOnce", doubleClickOnPay)
	part("BackButtonAfterPayingShowsTheResult", backAfterPaying)
	part("EveryPageCanBeReloaded", reloadEveryPage)
	part("TwoTabsOfOnePaymentEndInOneResult", twoTabs)
	part("WrongCodeThenRightCode", wrongThenRightCode)
	part("CancelledLeadsBackToTheShop", cancelled)
	part("ExpiredSaysSoAndLeadsBack", expired)
	part("KeyboardAloneIsEnough", keyboardAlone)
	part("SessionThatEndsSoonIsExtendedByOneClick", extendSession)
	part("PaymentThatTakesLongFollowsByItself", takesLong)
	part("PasskeyPaysWhatIsSeen_AndWhoIsNotRecognisedPaysByMessage", passkeyPays)
	part("PasskeyOfAnotherOriginOrPayment_ACopyOfIt_ARemovedOne_AreRefusedWithWhatToDo", passkeyRefused)
	t.Run("CodeByMessagePays_WithoutJavaScript", func(t *testing.T) { messagePays(visit(t, browser, lab, "en", false)) })
	t.Run("SlowNetworkWithoutJavaScript", func(t *testing.T) { slowNetwork(visit(t, browser, lab, "en", false)) })
	t.Run("KeyboardAloneIsEnough_WithoutJavaScript", func(t *testing.T) { keyboardAlone(visit(t, browser, lab, "en", false)) })
	part("AccountByKeyboardAlone", func(v *visitor) { accountByKeyboard(v, true) })
	t.Run("AccountByKeyboardAlone_WithoutJavaScript", func(t *testing.T) { accountByKeyboard(visit(t, browser, lab, "en", false), false) })
	t.Run("AxeFindsNothingOnAnyPage", func(t *testing.T) { everyPage(t, browser, lab) })
}

func fromTheShopAndBack(v *visitor, language string, javascript bool) {
	t := v.t
	v.open(v.lab.Shop.URL + "/?lang=" + language)
	v.click("ul.items li:first-child button")
	v.sees("#password")
	said := map[string][]string{"en": {"Sign in to pay", "Reading lamp"}, "zh-CN": {"登录并付款", "阅读台灯"}}[language]
	for _, text := range append(said, "CNY\u00a0128.00") {
		if !strings.Contains(v.text(), text) {
			t.Fatalf("the sign-in page does not say %q:\n%s", text, v.text())
		}
	}
	v.signIn()
	v.choose()
	v.pays()
	if javascript {
		v.reads(map[string]string{"en": "back to the merchant by itself", "zh-CN": "自动返回商户"}[language])
	} else {
		v.click("a.go") // and by the link
	}
	v.sees(`#outcome[data-status="ACSC"]`) // the page goes on by itself, and the shop was told
	back, err := url.Parse(v.where())
	if err != nil || !strings.HasPrefix(v.where(), v.lab.Shop.URL+"/return?") || back.Query().Get("lang") != language || back.Query().Get("error") != "" {
		t.Fatalf("came back to %s", v.where())
	}
}

func doubleClickOnSignIn(v *visitor) {
	_, link := v.lab.simplePay(v.t)
	v.open(link)
	v.run(chromedp.SendKeys(chromedp.CSS("#username"), v.who.Username), chromedp.SendKeys(chromedp.CSS("#password"), v.who.Password))
	v.doubleClick(`form[action*="/sign-in"] button`)
	v.sees(".reserved-text")
	v.choose()
	v.pays()
}

func doubleClickOnPay(v *visitor) {
	id, link := v.lab.simplePay(v.t)
	v.toCode(link)
	v.types(codeOf(v.t, v.who, 0))
	v.doubleClick(`form[action*="/code"] button`)
	v.sees(".state.good")
	v.reads("charged once")
	if status := v.lab.status(v.t, id); status != "ACSC" {
		v.t.Fatalf("the payment is %s", status)
	}
}

func backAfterPaying(v *visitor) {
	_, link := v.lab.simplePay(v.t)
	v.toCode(link)
	v.pays()
	v.open(v.where() + "&stay=1")
	for range 3 { // the result, the code, the confirm page: each of them leads to the result
		before := v.reference()
		evaluate[chromedp.Void](v, "history.back()")
		v.until("the page before comes", func() bool { now := v.reference(); return now != before && now != "" })
		v.reads("charged once")
	}
}

func reloadEveryPage(v *visitor) {
	_, link := v.lab.simplePay(v.t)
	again := func(selector string) {
		v.t.Helper()
		before := v.where()
		v.run(chromedp.Reload())
		v.sees(selector)
		if v.where() != before {
			v.t.Fatalf("reloading %s leads to %s", before, v.where())
		}
	}
	v.open(link)
	again("#password")
	v.signIn()
	again(".reserved-text")
	v.choose()
	again("#code")
	v.pays()
	again(".state.good")
}

func twoTabs(v *visitor) {
	_, link := v.lab.simplePay(v.t)
	v.toCode(link)
	other := v.tab()
	other.open(link)
	other.sees(".reserved-text") // signed in already
	other.choose()
	v.pays()
	other.types(codeOf(v.t, v.who, 1))
	other.click(`form[action*="/code"] button`)
	other.sees(".state.good")
}

func wrongThenRightCode(v *visitor) {
	id, link := v.lab.simplePay(v.t)
	v.toCode(link)
	v.types(wrongCode(v.t, v.who))
	v.click(`form[action*="/code"] button`)
	v.sees("#alert")
	v.reads("not accepted")
	v.pays()
	_, second := v.lab.simplePay(v.t)
	v.open(second)
	v.choose()
	if status := v.lab.status(v.t, id); status != "ACSC" {
		v.t.Fatalf("the payment is %s", status)
	}
	v.types(codeOf(v.t, v.who, 1)) // the one of now is used
	v.click(`form[action*="/code"] button`)
	v.sees(".state.good")
}

func cancelled(v *visitor) {
	v.open(v.lab.Shop.URL)
	v.click("ul.items li:first-child button")
	v.sees("#password")
	v.signIn()
	v.click("form.cancel button")
	v.sees(".state.info")
	v.reads("Payment cancelled")
	v.click("a.go")
	v.sees(`#outcome[data-status="CANC"]`)
	if !strings.Contains(v.where(), "error=cancelled") {
		v.t.Fatalf("came back to %s", v.where())
	}
}

func expired(v *visitor) {
	id, link := v.lab.pay(v.t, "CNY", "66.50", "Demo Shop", "Tea", 1500*time.Millisecond)
	v.open(link)
	v.sees("#password")
	v.until("the payment expires", func() bool { return v.lab.status(v.t, id) == "RJCT" })
	v.run(chromedp.Reload())
	v.sees(".state.bad")
	v.reads("This payment has expired")
	v.click("a.go")
	v.until("the link leads back", func() bool { return strings.HasPrefix(v.where(), v.lab.Partner.RedirectURI) })
	if !strings.Contains(v.where(), "state=a%20b") || !strings.Contains(v.where(), "error=expired") {
		v.t.Fatalf("came back to %s", v.where())
	}
}

func keyboardAlone(v *visitor) {
	id, link := v.lab.simplePay(v.t)
	v.run(chromedp.EmulateViewport(1000, 800))
	v.open(link)
	v.press("\t")
	if name, visible := v.focus(); name != "Skip to the content" || !visible {
		v.t.Fatalf("the first Tab reaches %q", name)
	}
	v.tabTo("username")
	v.press(v.who.Username)
	v.tabTo("password")
	v.press(v.who.Password + "\r")
	v.sees(".reserved-text")
	v.tabTo("account")
	v.press(" ")
	v.tabTo("Continue")
	v.press("\r")
	v.sees("#code")
	v.tabTo("code")
	v.press(codeOf(v.t, v.who, 0) + "\r")
	v.sees(".state.good")
	v.tabTo("Return to the merchant")
	v.press("\r")
	v.until("the keyboard leads back to the shop", func() bool { return strings.HasPrefix(v.where(), v.lab.Shop.URL) })
	if status := v.lab.status(v.t, id); status != "ACSC" {
		v.t.Fatalf("the payment is %s", status)
	}
}

func extendSession(v *visitor) {
	_, link := v.lab.simplePay(v.t)
	v.toCode(link)
	v.endsSoon()
	v.reads("signed out in about 2 min")
	before := v.reference()
	v.click(".ending a")
	v.until("the page comes anew", func() bool { now := v.reference(); return now != before && now != "" })
	v.pays()
}

// takesLong loses the core's answers until the page says that the outcome is not known.
func takesLong(v *visitor) {
	_, link := v.lab.simplePay(v.t)
	v.toCode(link)
	v.types(codeOf(v.t, v.who, 0))
	healed := v.lab.loseAnswers(v.t)
	defer healed()
	v.click(`form[action*="/code"] button`)
	v.sees(".state.wait")
	v.reads("Do not pay again")
	v.reads("Payment number")
	v.reads("Not yet known")
	healed()
	v.sees(".state.good, .state.bad") // by itself: charged, or reversed if that was begun meanwhile
}

// slowNetwork pays on a line as slow as a crowded mobile cell: each page after the first is one request of a round trip.
func slowNetwork(v *visitor) {
	id, link := v.lab.simplePay(v.t)
	call(v, network.Enable, network.EnableParams{})
	call(v, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{{
		Latency: 400, DownloadThroughput: 50_000, UploadThroughput: 20_000, // milliseconds, bytes a second
	}}})
	v.open(link)
	v.signIn()
	v.light("the confirm page")
	v.choose()
	v.light("the page for the code")
	v.pays()
	v.light("the receipt")
	v.click("a.go")
	v.until("the customer is back at the shop", func() bool { return strings.HasPrefix(v.where(), v.lab.Shop.URL) })
	if status := v.lab.status(v.t, id); status != "ACSC" {
		v.t.Fatalf("the payment is %s", status)
	}
	accountPages(v)
}
