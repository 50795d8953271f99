package main

import (
	"net/http"
	"net/url"
	"time"

	"netbank/frontend/ops"
)

type why struct {
	operator
	Reference string `arg:"" help:"The payment's number, or the reference at the foot of the customer's page."`
	JSON      bool   `name:"json" help:"Print JSON."`
}

// Help is what `netbank why --help` says first.
func (*why) Help() string {
	return `Says how a payment stands, when, and why, and what the customer is to be told, in the words of the page. The support token
(--support-token-file of the node) is enough, given as --operator-token-file. A payment's number is known to every node; a page's reference for a
while to the node that showed it.

Examples:
  netbank why 019ab0c4-5b7e-7c3a-9d2f-0123456789ab --operator-token-file support.token
  netbank why 7KQ2M-X9R4T --json | jq -r .code

Exit codes: 0 it is explained; 1 the node does not know the reference; 75 not now; 69 it does not answer; 77 it refused the token or the
certificate; 64 a flag or file is wrong.`
}

// Run prints the explanation.
func (y *why) Run(t *terminal) error {
	text, err := y.call(http.MethodGet, "/api/v1/support/"+url.PathEscape(y.Reference), nil)
	if err != nil {
		return err
	}
	var e ops.Case
	if err := answerInto(text, &e); err != nil {
		return err
	}
	return t.print(y.JSON, text, func() { t.printWhy(&e) })
}

func (t *terminal) printWhy(e *ops.Case) {
	t.say("%s: %s", e.Reference, e.Code)
	when := func(what string, at time.Time) {
		if !at.IsZero() {
			t.say("%-11s %s", what, at.Local().Format("2006-01-02 15:04:05 MST"))
		}
	}
	if e.Meaning != "" {
		t.say("%s", e.Meaning)
	}
	when("page shown", e.Shown)
	if e.Payment != "" {
		t.say("%-11s %s, %s to %s, platform %d", "payment", e.Payment, e.Amount, e.Payee, e.Partner)
		t.say("%-11s %s (%s)", "state", e.State, e.Status)
		if e.ResponseCode != "" {
			t.say("%-11s %s", "core said", e.ResponseCode)
		}
	}
	when("created", e.Created)
	when("confirmed", e.Granted)
	when("changed", e.Changed)
	when("expires", e.Expires)
	if e.Stale {
		t.say("This is as last seen: no leader confirms it at the moment.")
	}
	words := func(heading string, all map[string][]string) {
		for _, language := range []string{"en", "zh-CN"} {
			if sentences := all[language]; len(sentences) > 0 {
				t.say("")
				t.say("%s (%s):", heading, language)
				for _, s := range sentences {
					t.say("  %s", s)
				}
			}
		}
	}
	words("The page said", e.Told)
	words("Tell the customer", e.Tell)
}
