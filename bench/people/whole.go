package people

import (
	"netbank/bench/audit"
	"netbank/bench/load"
)

// FlowSteps are the requests of the full flow, as a browser and the shop behind it make them. Style sheet and icon are left out: a browser
// keeps them for a year.
var FlowSteps = []string{"create", "sign-in page", "sign in", "confirm page", "choose account", "code page", "send code", "result page"}

// Whole is one customer's whole way from the shop and back, the nth of a run. The shop's requests go through its own connection. The result page's word is
// kept for the audit. seen is called after each of FlowSteps.
func (w Browser) Whole(shop *load.Client, n int64, who Person, said Words, seen func(step int)) load.Verdict {
	c := w.Client
	o, verdict := w.Maker.Place(shop, n)
	if verdict.Outcome != load.Completed {
		return verdict
	}
	said.Add(c.Index, audit.Told{Payment: o.ID, Source: audit.ByAPI, Status: "RCVD", Version: 1})
	seen(0)
	v := Checkout{Order: o, Who: who}
	if _, bad := w.Open(o.Link, &v.Cookie); bad != nil {
		return *bad
	}
	seen(1)
	if verdict = w.Arrive(&v, func(step int) { seen(2 + step) }); verdict.Outcome != load.Completed {
		return verdict
	}
	if _, bad := w.Open(v.Code, &v.Cookie); bad != nil {
		return *bad
	}
	seen(5)
	if verdict = w.Pay(&v); verdict.Outcome != load.Completed {
		return verdict
	}
	seen(6)
	page, bad := w.Open(withStep(o.Link, "result"), &v.Cookie)
	if bad != nil {
		return *bad
	}
	seen(7)
	if between(page.Body, `class="state good"`, ">") == nil {
		return failed("a result page that does not say settled")
	}
	said.Add(c.Index, audit.Told{Payment: o.ID, Source: audit.ByPage, Status: "ACSC"})
	return load.Verdict{}
}
