package journal

import (
	"bytes"
	"slices"
)

// Payment gives a payment, open or finished; false if there is none, or it was pruned.
func (m *Machine) Payment(id PaymentID) (Payment, bool) {
	if slot, open := m.open.index[id]; open {
		return m.openPayment(slot), true
	}
	return m.finishedPayment(id)
}

func (m *Machine) finishedPayment(id PaymentID) (p Payment, ok bool) {
	key := append([]byte{keyPayment}, id[:]...)
	found, err := m.store.Get(key, func(value []byte) {
		if r, text, whole := readRecord(value); whole {
			p, ok = r.payment(text), true
		}
	})
	if err == nil && found && !ok {
		err = errFinished
	}
	if err != nil {
		m.fail(err)
		return Payment{}, false
	}
	return p, ok
}

func (m *Machine) openPayment(slot uint32) Payment {
	var space [1024]byte
	r := m.open.cells.at(slot)
	return r.payment(m.open.text(space[:0], r))
}

// Expired gives at most max received payments whose time is over, the oldest first. When there are none it
// costs one comparison.
func (m *Machine) Expired(now Millis, max int) []PaymentID { return m.open.expired(now, max) }

// Unresolved calls f with each payment that may be inside the core, in the order of their grants, until f returns false:
// the seats that a new leader must count, and what its resolver looks at.
func (m *Machine) Unresolved(f func(Open) bool) {
	for slot := m.open.first; slot != 0; slot = m.open.links[slot].after {
		r := m.open.cells.at(slot)
		if !f(Open{ID: r.id, State: r.state, Granted: r.granted, Changed: r.changed, Executor: r.executor()}) {
			return
		}
	}
}

// Payments calls f with every payment until f returns false: finished ones first, then open ones, each by id. It
// reads the whole Store, which takes minutes where there are millions: for tests. Page does the same in pieces. f may not use the Machine.
func (m *Machine) Payments(f func(Payment) bool) {
	more := true
	m.scanFinished([]byte{keyPayment}, func(r *paymentRecord, text []byte) bool {
		more = f(r.payment(text))
		return more
	})
	if m.Err() != nil {
		return
	}
	for _, slot := range inOrder(&m.open.cells) {
		if !more {
			return
		}
		more = f(m.openPayment(slot))
	}
}

// OpenIDs lists the payments that are not in a final state, in no order. It costs time and 16 bytes for each of them.
func (m *Machine) OpenIDs() []PaymentID {
	ids := make([]PaymentID, 0, m.open.len())
	for id := range m.open.index {
		ids = append(ids, id)
	}
	return ids
}

// Page appends at most max payments to page, by id: finished ones whose ids lie after the given one, and those of open,
// which are in order and lie after it too. It gives the rest of open. Fewer than max mean that nothing follows. Whoever takes
// OpenIDs, puts them in order and goes on from the last payment of each page meets every payment of that moment once,
// whatever becomes of them between two pages, unless it is pruned; newer ones may be among them.
func (m *Machine) Page(page []Payment, after PaymentID, open []PaymentID, max int) ([]Payment, []PaymentID) {
	if max <= 0 {
		return page, open
	}
	most := len(page) + max
	opened := func(before *PaymentID) {
		for len(open) > 0 && len(page) < most && (before == nil || bytes.Compare(open[0][:], before[:]) < 0) {
			if slot, ok := m.open.index[open[0]]; ok {
				page = append(page, m.openPayment(slot))
			}
			open = open[1:]
		}
	}
	from := append(append([]byte{keyPayment}, after[:]...), 0) // the first key after it
	m.scanFinished(from, func(r *paymentRecord, text []byte) bool {
		if opened(&r.id); len(page) == most {
			return false
		}
		page = append(page, r.payment(text))
		if len(open) > 0 && open[0] == r.id {
			open = open[1:] // finished since
		}
		return len(page) < most
	})
	if m.Err() != nil {
		return page, open
	}
	opened(nil)
	return page, open
}

// inOrder gives the slots of a table of payments by id.
func inOrder(cells *slab[paymentRecord]) []uint32 {
	slots := make([]uint32, 0, cells.used)
	for slot := uint32(1); slot <= cells.used; slot++ {
		if cells.at(slot).state != StateNone {
			slots = append(slots, slot)
		}
	}
	slices.SortFunc(slots, func(a, b uint32) int {
		x, y := cells.at(a), cells.at(b)
		return bytes.Compare(x.id[:], y.id[:])
	})
	return slots
}

// Contradictions gives the oldest max entries of the reconciliation list.
func (m *Machine) Contradictions(max int) []Contradiction {
	if max <= 0 {
		return nil
	}
	return slices.Clone(m.contradictions[:min(len(m.contradictions), max)])
}

// Counts tells how full the journal is. It costs a look at each partner.
func (m *Machine) Counts() Counts {
	c := Counts{
		ByState:               m.finished,
		Open:                  m.open.len(),
		Unresolved:            m.open.granted,
		Outbox:                int(m.outbox),
		Partners:              len(m.partners),
		Customers:             m.access.len(),
		Keys:                  len(m.keys),
		CommandIDs:            m.seen.cells.len(),
		IdempotencyKeys:       int(m.idempotency),
		Contradictions:        len(m.contradictions),
		Nodes:                 len(m.members.Nodes),
		Tokens:                len(m.members.Tokens),
		ContradictionsDropped: m.dropped,
		ReferenceEpoch:        m.epoch,
		References:            m.references,
	}
	for state, n := range m.open.byState {
		c.ByState[state] += n
	}
	for _, p := range m.partners {
		c.PerPartner = append(c.PerPartner, PartnerCounts{p.ID, p.open, int(p.outbox)})
	}
	return c
}
