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
