package browser

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"netbank/bench/demo"
)

// dear is an amount that an authenticator's code alone does not confirm.
const dear = "1280.00"

// message gives the code of the latest message on a customer's demo phone that has words in it. The message may still be on its way.
func (l *bankLab) message(t *testing.T, who demo.Identity, words string) (code string) {
	t.Helper()
	latest := regexp.MustCompile(`<bdi>(\d{6})\D[^<]*` + regexp.QuoteMeta(words))
	eventually(t, "a message with "+words, func() bool {
		resp, err := http.Get(l.Operator.URL + "/demo-phone?username=" + url.QueryEscape(who.Username))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		m := latest.FindSubmatch(text)
		if m != nil {
			code = string(m[1])
		}
		return m != nil
	})
	return code
}

// authenticator gives the visitor's tab a device with passkeys, which recognises its owner.
func (v *visitor) authenticator() webauthn.AuthenticatorID {
	v.t.Helper()
	call(v, webauthn.Enable, webauthn.EnableParams{})
	return call(v, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true, HasUserVerification: true,
		AutomaticPresenceSimulation: true, IsUserVerified: true,
	}}).AuthenticatorID
}

// account takes the first account and goes on, to whatever factor is asked for.
func (v *visitor) account() {
	v.t.Helper()
	v.click(`input[name="account"]`)
	v.click(`form[action*="/confirm"] button`)
}

// sendCode has a code sent, and types it.
func (v *visitor) sendCode(words string) {
	v.t.Helper()
	v.click(`form[action*="/message"] button`)
	v.sees("#code")
	v.types(v.lab.message(v.t, v.who, words))
}

func (v *visitor) host() string { return v.lab.Customer.URL }

// enrol adds a passkey, and sees it in the list.
func (v *visitor) enrol() {
	v.t.Helper()
	v.open(v.host() + "/factors/new")
	v.click(`form[data-passkey] button`)
	v.sendCode("passkey")
	v.click(`form[action*="/factors/code"] button`)
	v.sees(".done")
}

func passkeyPays(v *visitor) {
	t := v.t
	device := v.authenticator()
	id, link := v.lab.pay(t, "CNY", dear, "Demo Shop 示例商店", "Lamps", 15*time.Minute)
	v.open(link)
	v.signIn()
	v.enrol()
	v.open(link)
	v.account()
	v.sees(`form[data-passkey] button`)
	for _, shown := range []string{"CNY\u00a01,280.00", "Demo Shop 示例商店"} {
		if !strings.Contains(v.text(), shown) {
			t.Fatalf("the page does not show %q:\n%s", shown, v.text())
		}
	}
	v.click(`form[data-passkey] button`)
	v.sees(".state.good")
	if status := v.lab.status(t, id); status != "ACSC" {
		t.Fatalf("the payment is %s", status)
	}
	_, link = v.lab.pay(t, "CNY", dear, "Demo Shop", "Lamps", 15*time.Minute)
	v.open(link)
	v.account()
	v.sees(`form[data-passkey] button`)
	// Whom the device does not recognise can still pay by message.
	call(v, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: device, IsUserVerified: false})
	v.click(`form[data-passkey] button`)
	v.sees("[data-failed]")
	v.click(`.ways a[href*="f=message"]`)
	v.sendCode("Demo Shop")
	v.click(`form[action*="/code"] button`)
	v.sees(".state.good")
}

// addCredential is webauthn.AddCredential without the fields that an authenticator refuses as soon as they are there (CMTG).
var addCredential = cdp.Command[addCredentialParams, cdp.Empty]{Method: webauthn.CommandAddCredential}

type addCredentialParams struct {
	AuthenticatorID webauthn.AuthenticatorID `json:"authenticatorId"`
	Credential      credential               `json:"credential"`
}

type credential struct {
	ID         []byte  `json:"credentialId"`
	RPID       string  `json:"rpId"`
	PrivateKey []byte  `json:"privateKey"`
	UserHandle []byte  `json:"userHandle,omitempty"`
	SignCount  float64 `json:"signCount"`
	Resident   bool    `json:"isResidentCredential"`
}

// passkeyRefused is what a man in the browser may try, what a copy of a passkey does, and one that was removed meanwhile.
func passkeyRefused(v *visitor) {
	const ask = `form[data-passkey] button`
	t := v.t
	device := v.authenticator()
	id, link := v.lab.pay(t, "CNY", dear, "Demo Shop", "Lamps", 15*time.Minute)
	_, thiefs := v.lab.pay(t, "CNY", "9999.00", "Somebody else", "Gold", 15*time.Minute)
	v.open(link)
	v.signIn()
	v.enrol()
	toAsk := func(link string) {
		t.Helper()
		v.open(link)
		v.account()
		v.sees(ask)
	}
	refused := func(id, words string) {
		t.Helper()
		v.sees("#alert")
		v.reads(words)
		if status := v.lab.status(t, id); status != "RCVD" {
			t.Fatalf("the payment is %s", status)
		}
	}
	options := func() string {
		return evaluate[string](v, `document.querySelector("form[data-passkey]").dataset.options`)
	}
	toAsk(thiefs)
	wanted := options()

	// Another payee and amount between what is seen and what is signed.
	toAsk(link)
	quoted, err := json.Marshal(wanted)
	if err != nil {
		t.Fatal(err)
	}
	evaluate[string](v, `document.querySelector("form[data-passkey]").dataset.options = `+string(quoted))
	v.click(ask)
	refused(id, "That passkey's answer was not accepted. Nothing was charged. Try again, or use another way.")
	v.sees(`.ways a[href*="f=message"]`)
	mine := options()
	v.click(ask)
	v.sees(".state.good") // and what was seen is still to be had

	// Another site has nobody's passkey asked for: the browser sees to it.
	quoted, err = json.Marshal(mine)
	if err != nil {
		t.Fatal(err)
	}
	v.open(v.lab.Shop.URL)
	if name := evaluate[string](v, `(async () => {
		const o = JSON.parse(`+string(quoted)+`), bytes = (t) => Uint8Array.from(atob(t.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
		o.challenge = bytes(o.challenge);
		o.allowCredentials = o.allowCredentials.map((k) => ({...k, id: bytes(k.id)}));
		try { await navigator.credentials.get({publicKey: o}); return "signed"; } catch (e) { return e.name; }
	})()`, chromedp.EvalAwaitPromise); name != "SecurityError" {
		t.Errorf("a passkey for another site ends as %q", name)
	}

	// A copy: its counter begins anew.
	key := call(v, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: device}).Credentials[0]
	exchange := func(count float64) {
		t.Helper()
		call(v, webauthn.RemoveCredential, webauthn.RemoveCredentialParams{AuthenticatorID: device, CredentialID: key.CredentialID})
		call(v, addCredential, addCredentialParams{device, credential{key.CredentialID, key.RpID, key.PrivateKey, key.UserHandle, count, key.IsResidentCredential}})
	}
	exchange(0)
	const gone = "it was removed, or there may be a copy of it. Nothing was charged. Use another way; if you have not removed it, call us."
	id, link = v.lab.pay(t, "CNY", dear, "Demo Shop", "Lamps", 15*time.Minute)
	toAsk(link)
	v.click(ask)
	refused(id, gone)

	// One that the customer has removed, on a page that still asks for it.
	exchange(key.SignCount)
	toAsk(link)
	list := v.tab()
	list.open(v.host() + "/factors")
	list.click(`form[action="/factors/remove"] button`)
	list.sees(`.ways a[href*="f=message"]`)
	list.click(`.ways a[href*="f=message"]`)
	list.sendCode("remove the passkey")
	list.click(`form[action*="/factors/code"] button`)
	list.sees(".done")
	v.click(ask)
	refused(id, gone)
	v.sendCode("Demo Shop") // the page asks for what is left
	v.click(`form[action*="/code"] button`)
	v.sees(".state.good")
}

// messagePays needs no script.
func messagePays(v *visitor) {
	id, link := v.lab.pay(v.t, "CNY", dear, "Demo Shop", "Lamps", 15*time.Minute)
	v.open(link)
	v.signIn()
	v.account()
	v.sendCode("CNY\u00a01,280.00")
	v.click(`form[action*="/code"] button`)
	v.sees(".state.good")
	if status := v.lab.status(v.t, id); status != "ACSC" {
		v.t.Fatalf("the payment is %s", status)
	}
	v.open(v.host() + "/factors/new")
	v.reads("switched off in this browser")
	v.offersNoPasskey()
}

// offersNoPasskey sees that there is no button that could only fail.
func (v *visitor) offersNoPasskey() {
	v.t.Helper()
	if evaluate[bool](v, `document.querySelector('form[data-passkey] button').checkVisibility()`) {
		v.t.Errorf("a button offers a passkey where there can be none:\n%s", v.text())
	}
}

// factors looks at the pages of second factors, signed in.
func (i *inspector) factors() {
	i.t.Helper()
	device := i.authenticator()
	i.at("factors-none", i.host()+"/factors")
	i.at("passkey-new", i.host()+"/factors/new")
	i.at("passkey-new-name", i.host()+"/factors/new?why=passkey-name")
	i.click(`form[data-passkey] button`)
	i.sees(`form[action*="/message"] button`)
	i.look("change")
	i.sendCode(map[string]string{"en": "passkey", "zh-CN": "通行密钥"}[i.language])
	i.click(`form[action*="/factors/code"] button`)
	i.sees(".done")
	i.look("factors")
	_, link := i.lab.pay(i.t, "CNY", dear, "Demo Shop 示例商店", "Lamps", 15*time.Minute)
	i.open(link)
	i.account()
	i.sees(`form[data-passkey] button`)
	i.look("passkey")
	address := i.where()
	call(i.visitor, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: device, IsUserVerified: false})
	i.click(`form[data-passkey] button`)
	i.sees("[data-failed]")
	i.look("passkey-failed")
	i.at("passkey-refused", address+"&why=passkey-gone")
	none := call(i.visitor, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: "delete window.PublicKeyCredential"}).Identifier
	i.open(address)
	i.sees("[data-unsupported]")
	i.offersNoPasskey()
	i.look("passkey-unsupported")
	call(i.visitor, page.RemoveScriptToEvaluateOnNewDocument, page.RemoveScriptToEvaluateOnNewDocumentParams{Identifier: none})
	i.run(chromedp.Navigate(i.host() + "/factors"))
	i.sees("h1")
}
