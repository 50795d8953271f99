package journal

import (
	"bytes"
	"slices"
	"testing"

	"netbank/cluster/journal/command"
)

// Whatever becomes of payments between two pages, each comes once.
func TestPagesGiveEachPaymentOnce(t *testing.T) {
	const payments = 12
	for size := 1; size <= payments+1; size++ {
		b := newBank(t, DefaultLimits())
		var ids []PaymentID
		for n := range payments {
			ids = append(ids, b.create(n))
		}
		cancel := func(id PaymentID) { b.must(Done, &command.CancelPayment{PaymentId: id[:], Partner: 1}) }
		for n := 0; n < payments; n += 3 {
			cancel(ids[n])
		}
		open := b.m.OpenIDs()
		inOrder := func(a, b PaymentID) int { return bytes.Compare(a[:], b[:]) }
		slices.SortFunc(open, inOrder)
		var got []PaymentID
		var last PaymentID
		for turn := 0; ; turn++ {
			var page []Payment
			page, open = b.m.Page(nil, last, open, size)
			if len(page) > size {
				t.Fatalf("a page of %d has %d payments", size, len(page))
			}
			for _, p := range page {
				got = append(got, p.ID)
			}
			if len(page) < size {
				break
			}
			last = page[len(page)-1].ID
			if n := 3*turn + 1; n < payments {
				cancel(ids[n]) // before the cursor or behind it
			}
		}
		slices.SortFunc(ids, inOrder)
		if !slices.Equal(got, ids) {
			t.Fatalf("pages of %d gave %v, want %v", size, got, ids)
		}
	}
}

// A customer is shown what he has confirmed and nothing else, the newest confirmation first, whatever its state; so also by a journal whose
// store was written by a program that kept no such keys.
func TestCustomersSeeTheirOwnPaymentsNewestFirst(t *testing.T) {
	b := newBank(t, DefaultLimits())
	var want []PaymentID
	for n := range 5 {
		id := b.create(n)
		b.create(100 + n) // nobody confirms it
		consent := b.consent(id, int64(n+1))
		if n == 2 {
			consent.Customer, consent.DebtorAccount = 2, account(2)
		} else {
			want = append(want, id)
		}
		b.must(Done, consent)
		if n == 1 || n == 3 {
			b.must(Done, settle(id, approved, "00"))
		}
	}
	slices.Reverse(want)
	look := func(m *Machine) {
		t.Helper()
		var got []PaymentID
		for _, p := range m.PaymentsOf(nil, 1, PaymentID{}, 10) {
			got = append(got, p.ID)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("alice is shown %v, want %v", got, want)
		}
		if bobs := m.PaymentsOf(nil, 2, PaymentID{}, 10); len(bobs) != 1 {
			t.Fatalf("bob is shown %d payments", len(bobs))
		}
		if others := m.PaymentsOf(nil, 2, want[0], 10); len(others) != 0 {
			t.Fatal("another customer's payment is a place in bob's list")
		}
	}
	look(b.m)

	for n := range 1100 { // more than are read at once
		id := b.create(1000 + n)
		b.must(Done, b.consent(id, int64(10+n)))
		b.must(Done, settle(id, approved, "00"))
		want = append([]PaymentID{id}, want...)
	}
	want = want[:10]
	look(b.m)
	// The orders in which open payments come to their ends, and what is pruned, leave nothing behind.
	var open []PaymentID
	for n := range 4 {
		open = append(open, b.create(3000+n))
		b.must(Done, b.consent(open[n], int64(3000+n)))
	}
	for _, n := range []int{2, 0, 3, 1} {
		b.must(Done, settle(open[n], command.Outcome_OUTCOME_DECLINED, "51"))
		page := b.m.PaymentsOf(nil, 1, PaymentID{}, 4)
		for i, p := range page {
			if p.ID != open[3-i] {
				t.Fatalf("after the end of number %d the list is %v", n, page)
			}
		}
		if all := b.m.PaymentsOf(nil, 1, PaymentID{}, 2000); len(all) != 4+1100+4 {
			t.Fatalf("after the end of number %d there are %d payments", n, len(all))
		}
	}
	want = []PaymentID{open[3], open[2], open[1], open[0], want[0], want[1], want[2], want[3], want[4], want[5]}
	look(b.m)
	var snapshot bytes.Buffer
	if _, err := b.m.Live().WriteTo(&snapshot); err != nil {
		t.Fatal(err)
	}
	rows := b.store.Len()
	old := b.store.Clone()
	if err := old.DeleteRange([]byte{keyHistory}, []byte{keyHistory + 1}); err != nil {
		t.Fatal(err)
	}
	again := New(old, DefaultLimits())
	if _, err := again.ReadFrom(&snapshot); err != nil {
		t.Fatal(err)
	}
	look(again)
	if old.Len() != rows {
		t.Fatalf("the store made whole has %d rows, want %d", old.Len(), rows)
	}
	b.now += 97 * hour
	for b.do(&command.Prune{FinishedBeforeMs: int64(b.now)}).Verdict == TooMany {
	}
	for customer := CustomerID(1); customer <= 2; customer++ {
		for _, p := range b.m.PaymentsOf(nil, customer, PaymentID{}, 2000) {
			if p.State.Final() {
				t.Fatalf("%v is listed and pruned", p.ID)
			}
		}
	}
	keys := 0
	_ = b.store.Scan([]byte{keyHistory}, []byte{keyHistory + 1}, func(_, _ []byte) bool {
		keys++
		return true
	})
	if keys != 1 {
		t.Fatalf("%d keys are left of pruned payments", keys-1)
	}
}
