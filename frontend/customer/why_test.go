package customer

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

var shownReference = regexp.MustCompile(`class="ref">([^<]+)<`)

func (h *house) why(reference string) Explanation {
	h.t.Helper()
	e, ok, err := h.pages.Why(reference)
	if !ok || err != nil {
		h.t.Fatalf("%q is not explained: %v, %v", reference, ok, err)
	}
	return e
}

// Support says what the page said: the same sentences, and the same word for why.
func TestWhy_SaysOfAPaymentWhatItsPageSays(t *testing.T) {
	h := newHouse(t)
	v := h.visitor()
	f := func(end func(journal.PaymentID), code, heading, text string) {
		t.Helper()
		id, link := h.pay()
		h.bank.core = end
		v.pay(link, "anna")
		h.bank.pass(time.Minute)
		page := v.open("/payments/" + id.String())
		e := h.why(id.String())
		if e.Code != code || e.Payment != id.String() || e.Granted.IsZero() || len(e.Tell) != 2 {
			t.Errorf("%+v", e)
		}
		page.want(t, 200, e.Tell["en"]...)
		page.want(t, 200, h.says(heading), h.says(text))
		if e.Tell["en"][1] != h.says(text) || e.Tell["zh-CN"][1] != h.pages.site.Text("zh-CN", text) {
			t.Errorf("support says %q", e.Tell)
		}
	}
	f(func(id journal.PaymentID) { h.bank.settle(id, command.Outcome_OUTCOME_APPROVED, "00") }, "settled", "settled-title", "settled-text")
	f(func(id journal.PaymentID) { h.bank.settle(id, command.Outcome_OUTCOME_DECLINED, "51") }, "declined", "rejected-title", "rejected-funds")
	f(func(id journal.PaymentID) { h.bank.settle(id, command.Outcome_OUTCOME_IN_DOUBT, "") }, "no-answer", "doubt-title", "doubt-text")
	f(func(journal.PaymentID) {}, "authorised", "processing-title", "processing-text")
	id, _ := h.pay()
	if e := h.why(id.String()); e.Code != "received" || e.Expires.IsZero() || e.Tell["en"][0] != h.says("why-received-title") {
		t.Errorf("%+v", e)
	}
	h.bank.blind = cluster.ErrUnavailable
	if _, ok, err := h.pages.Why(id.String()); ok || err == nil {
		t.Error("what nobody can look up is explained")
	}
}

func TestWhy_SaysOfARefusalWhyInTheWordOfTheMetric(t *testing.T) {
	h := newHouse(t)
	id, link := h.pay()
	v := h.visitor()
	code := v.toCode(link)
	h.bank.refusals[gate.Confirm] = cluster.Refusal{Reason: gate.QueueFull, RetryAfter: 9 * time.Second}
	busy := v.follow(v.submit(code, "code", "code", h.code(0)))
	shown := shownReference.FindStringSubmatch(busy.body)[1]
	e := h.why(shown)
	if e.Code != gate.QueueFull.String() || shown != e.Reference+" "+e.Code || e.Payment != id.String() || e.State != "received" || e.Shown.IsZero() {
		t.Errorf("%q: %+v", shown, e)
	}
	busy.want(t, 503, e.Told["en"]...)
	// What an address claims is not a reason.
	lie := v.get(strings.Replace(busy.address, "reason=queue-full", "reason=stolen", 1))
	lie.wantNot(t, " stolen<")
	lost := v.get("/nowhere")
	if e := h.why(shownReference.FindStringSubmatch(lost.body)[1]); e.Code != "not-found" || e.Payment != "" {
		t.Errorf("%+v", e)
	}
	for _, unknown := range []string{"", " ", "AAAAA-AAAAA", "x", "019ab0c4-5b7e-7c3a-9d2f-0123456789ab"} {
		if e, ok, err := h.pages.Why(unknown); ok || err != nil {
			t.Errorf("%q is explained: %+v, %v", unknown, e, err)
		}
	}
}

func TestEverythingIsBounded_TracesForgetTheOldest(t *testing.T) {
	r := newTraces(3)
	for n := range 10 {
		r.add(trace{reference: fmt.Sprint(n)})
	}
	for n := range 10 {
		if _, ok := r.find(fmt.Sprint(n)); ok != (n >= 7) || len(r.index) != 3 || len(r.ring) != 3 {
			t.Errorf("%d is remembered: %v", n, ok)
		}
	}
}

func BenchmarkNote(b *testing.B) {
	r := newTraces(TracesMax)
	references := make([]string, 1<<17)
	for i := range references {
		references[i] = fmt.Sprint(i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.add(trace{reference: references[i%len(references)]})
	}
}
