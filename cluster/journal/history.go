package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
)

// What a customer has confirmed can be listed without a core call, newest first. Open payments hang in memory in a list of their
// customer's (link.older, link.newer); each finished one has a key in the Store, which is written in the same step as the payment itself.
//
// Both are derived: from the open payments, and from the finished ones. They are no part of the digests and of the snapshot's format, and
// what is missing in a store that an older program has written is made when its snapshot is read.

// grantBits is where the reference ends in a grant's number: 36 to the 10th power is below 2 to the 52nd, and an epoch below 2 to the 11th.
const grantBits = 52

// grantNumber numbers the grants in their order, for ever. It is above 0 and below math.MaxInt64.
func (r *paymentRecord) grantNumber() uint64 { return uint64(r.epoch)<<grantBits | r.reference }

// appendHistoryKey gives the key of a grant; of a customer's, the newest comes first.
func appendHistoryKey(to []byte, customer CustomerID, grant uint64) []byte {
	to = binary.BigEndian.AppendUint64(append(to, keyHistory), uint64(customer))
	return binary.BigEndian.AppendUint64(to, ^grant)
}

// remember puts a payment that has come to its end among those of its customer, if somebody has confirmed it. keyHistory alone is a key, too:
// it says that no finished payment lacks its own.
func (m *Machine) remember(r *paymentRecord) {
	if m.finishedTotal() == 0 {
		m.set([]byte{keyHistory}, nil)
	}
	m.rememberOne(r)
}

func (m *Machine) rememberOne(r *paymentRecord) {
	if r.reference != 0 {
		m.key = appendHistoryKey(m.key[:0], r.customer, r.grantNumber())
		m.set(m.key, r.id[:])
	}
}

// rememberAll makes the keys that a store lacks, which an older program has written. It reads every finished payment, once.
func (m *Machine) rememberAll() {
	if m.finishedTotal() == 0 || m.get([]byte{keyHistory}) {
		return
	}
	const atOnce = 1024
	from := []byte{keyPayment}
	for more := true; more && m.Err() == nil; {
		var some []paymentRecord
		m.scanFinished(from, func(r *paymentRecord, _ []byte) bool {
			some = append(some, *r)
			return len(some) < atOnce
		})
		for i := range some {
			m.rememberOne(&some[i])
		}
		if more = len(some) == atOnce; more {
			from = append(bytes.Clone(m.paymentKey(some[atOnce-1].id)), 0) // the first key after it
		}
	}
	m.set([]byte{keyHistory}, nil)
}

// scanFinished calls f with each finished payment from a key on, by id, until f returns false.
func (m *Machine) scanFinished(from []byte, f func(r *paymentRecord, text []byte) bool) {
	err := m.store.Scan(from, []byte{keyPayment + 1}, func(_, value []byte) bool {
		r, text, ok := readRecord(value)
		if !ok {
			m.fail(errFinished)
			return false
		}
		return f(&r, text)
	})
	if err != nil {
		m.fail(err)
	}
}

var (
	errFinished = errors.New("a finished payment is damaged")
	errHistory  = errors.New("an entry of a customer's payments is damaged")
)

// PaymentsOf appends at most max payments that a customer has confirmed, newest first: those confirmed before the given payment, which
// is the last of the page before; the zero PaymentID begins with the newest. Fewer than max mean that nothing follows, until the customer
// confirms another one. After a payment that was pruned, or is another customer's, nothing comes.
//
// Finished payments are looked up one by one. Open ones before the given one are passed over; a customer confirms one in 30 seconds,
// since a one-time code is taken once, and those in doubt do not last, so that there are few.
func (m *Machine) PaymentsOf(page []Payment, customer CustomerID, before PaymentID, max int) []Payment {
	below := uint64(math.MaxUint64)
	if before != (PaymentID{}) {
		below = m.grantOf(customer, before)
	}
	if max <= 0 || below == 0 {
		return page
	}
	most := len(page) + max
	slot := m.open.byCustomer[customer]
	// opened takes the open payments that were confirmed after a grant.
	opened := func(after uint64) {
		for ; slot != 0 && len(page) < most; slot = m.open.links[slot].older {
			n := m.open.cells.at(slot).grantNumber()
			if n <= after {
				return
			}
			if n < below {
				page = append(page, m.openPayment(slot))
			}
		}
	}
	end := appendHistoryKey(nil, customer, 0)
	from := appendHistoryKey(nil, customer, below)
	if below != math.MaxUint64 {
		from = append(from, 0) // the first key after it
	}
	type entry struct {
		grant uint64
		id    PaymentID
	}
	var finished []entry // all of them first: f of Scan may not use the Store
	err := m.store.Scan(from, end, func(key, value []byte) bool {
		if len(key) != len(end) || len(value) != len(PaymentID{}) {
			m.fail(errHistory)
			return false
		}
		finished = append(finished, entry{^binary.BigEndian.Uint64(key[1+8:]), PaymentID(value)})
		return len(finished) < max
	})
	if err != nil {
		m.fail(err)
		return page
	}
	for _, e := range finished {
		opened(e.grant)
		if len(page) == most {
			return page
		}
		p, ok := m.finishedPayment(e.id)
		if !ok {
			m.fail(errHistory)
			return page
		}
		page = append(page, p)
	}
	opened(0)
	return page
}

// grantOf gives the number of the grant of a customer's payment; 0 if there is none.
func (m *Machine) grantOf(customer CustomerID, id PaymentID) (n uint64) {
	if slot, open := m.open.index[id]; open {
		if r := m.open.cells.at(slot); r.customer == customer && r.reference != 0 {
			n = r.grantNumber()
		}
		return n
	}
	_, err := m.store.Get(append([]byte{keyPayment}, id[:]...), func(value []byte) {
		if r, _, ok := readRecord(value); ok && r.customer == customer && r.reference != 0 {
			n = r.grantNumber()
		}
	})
	if err != nil {
		m.fail(err)
	}
	return n
}
