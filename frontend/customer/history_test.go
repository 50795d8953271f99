package customer

import (
	"strings"
	"testing"
	"time"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// pay confirms a payment, and signs in for it if nobody is signed in.
func (v *visitor) pay(link, username string) page {
	v.h.t.Helper()
	confirm := v.open(link)
	if strings.Contains(confirm.body, `name="password"`) {
		confirm = v.signIn(link, username)
	}
	return v.submit(v.choose(confirm), "code", "code", v.h.code(0))
}

// The list is made of what the journal holds: the fake core answers nothing here.
func TestMyPayments_SayWhatWasChargedWhatWasNotAndWhatIsNotKnown(t *testing.T) {
	h := newHouse(t)
	v := h.visitor()
	var ids []journal.PaymentID
	for _, end := range []func(journal.PaymentID){
		func(id journal.PaymentID) { h.bank.settle(id, command.Outcome_OUTCOME_APPROVED, "00") },
		func(id journal.PaymentID) { h.bank.settle(id, command.Outcome_OUTCOME_DECLINED, "51") },
		func(id journal.PaymentID) { h.bank.settle(id, command.Outcome_OUTCOME_IN_DOUBT, "") },
		func(journal.PaymentID) {},
	} {
		id, link := h.pay()
		h.bank.core = end
		v.pay(link, "anna")
		h.bank.pass(time.Minute)
		ids = append(ids, id)
	}
	h.pay() // nobody confirms it
	_, other := h.pay()
	w := h.visitor()
	w.pay(other, "bert")

	h.bank.balance = func(string) (journal.Money, *cluster.Refusal, error) {
		t.Error("the core was asked")
		return journal.Money{}, nil, nil
	}
	list := v.open("/payments")
	list.want(t, 200, "Shop 店", show(journal.Money{Minor: 12800, Currency: "CNY"}))
	said := list.body
	for _, line := range []string{"state-unknown", "state-unknown", "state-not-charged", "state-charged"} { // the newest first
		_, rest, ok := strings.Cut(said, ">"+h.says(line)+"<")
		if !ok {
			t.Fatalf("no line says %q where it should:\n%s", h.says(line), list.body)
		}
		said = rest
	}
	if n := strings.Count(list.body, `class="sum"`); n != len(ids) {
		t.Fatalf("%d lines for %d payments", n, len(ids))
	}
	for i, page := range []string{"settled-text", "rejected-funds", "doubt-text", "processing-text"} {
		address := "/payments/" + ids[i].String()
		if !strings.Contains(list.body, `href="`+address+`"`) {
			t.Fatalf("the list does not lead to %s", address)
		}
		v.get(address).want(t, 200, h.says(page), "Shop 店", show(journal.Money{Minor: 12800, Currency: "CNY"}), ids[i].String(), "Everyday "+mask(account), `href="/payments"`)
		w.get(address).want(t, 404, h.says("not-yours-title"))
		h.visitor().open(address).want(t, 200, `name="password"`)
	}
	v.header["Accept-Language"] = "zh-CN"
	v.get("/payments").want(t, 200, "我的付款", "尚未确定", "已扣款", "未扣款")
}

func TestMyPayments_ComeInPagesOfBoundedLength(t *testing.T) {
	h := newHouse(t)
	v := h.visitor()
	const all = cluster.HistoryMax + 3
	for range all {
		_, link := h.pay()
		v.pay(link, "anna")
		h.bank.pass(time.Minute)
	}
	first := v.open("/payments")
	_, rest, ok := strings.Cut(first.body, `href="/payments?before=`)
	if n := strings.Count(first.body, `class="sum"`); n != cluster.HistoryMax || !ok {
		t.Fatalf("%d lines on the first page:\n%s", n, first.body)
	}
	id, _, _ := strings.Cut(rest, `"`)
	second := v.get("/payments?before=" + id)
	second.want(t, 200, h.says("payments-newest"))
	if n := strings.Count(second.body, `class="sum"`); n != all-cluster.HistoryMax {
		t.Fatalf("%d lines on the second page", n)
	}
	second.wantNot(t, h.says("payments-older"))
	v.open("/payments?before=nothing").want(t, 200, h.says("payments-older"))
}

func TestUnknownIsNotFailed_MyPaymentsSayWhenTheyMayNotBeAll(t *testing.T) {
	h := newHouse(t)
	id, link := h.pay()
	v := h.visitor()
	v.pay(link, "anna")
	h.bank.blind = cluster.ErrStale
	v.open("/payments").want(t, 200, h.says("payments-as-last-seen"), h.says("state-charged"))
	v.open("/payments/"+id.String()).want(t, 200, h.says("as-last-seen"))
	h.bank.blind = cluster.ErrUnavailable
	h.bank.refusals[gate.Confirm] = cluster.Refusal{Reason: gate.NoLeader, RetryAfter: 20 * time.Second}
	for _, address := range []string{"/payments", "/payments/" + id.String()} {
		p := v.open(address)
		p.want(t, 503, h.says("payments-unseen-title"), `href="`+address+`"`)
		p.wantNot(t, h.says("state-not-charged"), h.says("payments-none", "Days", paymentsKeptDays))
		if wait := string(p.header.Peek("Retry-After")); len(wait) != 2 || wait < "20" {
			t.Errorf("there has been no leader for 20 s, and Retry-After is %s", wait)
		}
	}
}
