package journal

import (
	"encoding/binary"
	"errors"
	"math"

	"netbank/cluster/journal/command"
)

// announce puts a change into the outbox, in the same step in which it is made: a change that is committed is told
// at least once, and one that is not is never told (ToldOnceCommitted).
func (m *Machine) announce(r *paymentRecord) {
	p := m.partnerIndex[r.partner]
	if !r.notify || p == nil || p.WebhooksDisabled {
		return
	}
	m.noticeSequence++
	m.outbox++
	p.outbox++
	m.value = append(m.value[:0], r.id[:]...)
	m.value = binary.BigEndian.AppendUint32(m.value, r.version)
	m.value = append(m.value, byte(r.state), byte(r.reason))
	m.value = binary.BigEndian.AppendUint64(m.value, uint64(m.now))
	m.key = appendNoticeKey(m.key[:0], r.partner, m.noticeSequence)
	m.set(m.key, m.value)
}

const noticeBytes = 16 + 4 + 1 + 1 + 8

func appendNoticeKey(to []byte, p PartnerID, sequence uint64) []byte {
	to = binary.BigEndian.AppendUint32(append(to, keyNotice), uint32(p))
	return binary.BigEndian.AppendUint64(to, sequence)
}

// noticeRange gives the keys of a partner's notices after a sequence.
func noticeRange(p PartnerID, after uint64) (from, to []byte) {
	if after == math.MaxUint64 {
		after--
	}
	from = appendNoticeKey(nil, p, after+1)
	if p == math.MaxUint32 {
		return from, []byte{keyNotice + 1}
	}
	return from, binary.BigEndian.AppendUint32([]byte{keyNotice}, uint32(p)+1)
}

func readNotice(key, value []byte) (n Notice, ok bool) {
	if len(key) != 1+4+8 || len(value) != noticeBytes {
		return n, false
	}
	n.Partner = PartnerID(binary.BigEndian.Uint32(key[1:]))
	n.Sequence = binary.BigEndian.Uint64(key[5:])
	n.Payment = PaymentID(value[:16])
	n.Version = binary.BigEndian.Uint32(value[16:])
	n.State, n.Reason = State(value[20]), Reason(value[21])
	n.At = Millis(binary.BigEndian.Uint64(value[22:]))
	return n, true
}

var errNotice = errors.New("a notice of the outbox is damaged")

// Notices gives at most max notices of a partner with sequences after the given one, in order.
func (m *Machine) Notices(partner PartnerID, after uint64, max int) []Notice {
	var notices []Notice
	record := m.partnerIndex[partner]
	if record == nil || record.outbox == 0 || max <= 0 {
		return nil
	}
	from, to := noticeRange(partner, after)
	err := m.store.Scan(from, to, func(key, value []byte) bool {
		n, ok := readNotice(key, value)
		if !ok {
			m.fail(errNotice)
			return false
		}
		notices = append(notices, n)
		return len(notices) < max
	})
	if err != nil {
		m.fail(err)
	}
	return notices
}

// outboxDone takes notices out: they were accepted, or given up after the retry window. A partner that answered
// that its receiver is gone is not told anything more, until its record is put anew.
func (m *Machine) outboxDone(c *command.OutboxDone, out *Result) {
	p := m.partnerIndex[PartnerID(c.GetPartner())]
	if p == nil {
		out.Verdict = NotFound
		return
	}
	if c.Delivery < command.Delivery_DELIVERY_ACCEPTED || c.Delivery > command.Delivery_DELIVERY_GIVEN_UP || len(c.Sequences) > m.limits.OutboxIDs {
		out.Verdict = BadCommand
		return
	}
	if c.Delivery == command.Delivery_DELIVERY_GONE {
		p.WebhooksDisabled = true
		from, to := noticeRange(p.ID, 0)
		if err := m.store.DeleteRange(from, to); err != nil {
			m.fail(err)
		}
		m.outbox -= p.outbox
		p.outbox = 0
		return
	}
	for _, sequence := range c.Sequences {
		m.key = appendNoticeKey(m.key[:0], p.ID, sequence)
		if !m.get(m.key) {
			continue // taken out before
		}
		m.delete(m.key)
		m.outbox--
		p.outbox--
	}
}

// prune drops what is past its retention, at most PruneRecords of each kind. TooMany asks for one more Prune,
// under a new id.
func (m *Machine) prune(c *command.Prune, out *Result) {
	latest := m.now - PruneAfter
	more := m.prunePayments(min(Millis(c.GetFinishedBeforeMs()), latest))
	more = m.pruneKeys(min(Millis(c.GetIdempotencyBeforeMs()), latest)) || more
	more = m.pruneOutbox(Millis(c.GetOutboxBeforeMs())) || more
	if more {
		out.Verdict = TooMany
	}
}

// prunePayments drops finished payments that have not changed since the given time. Their keys sort by creation, and
// nothing changes before it is created, so the scan ends where creation reaches that time.
func (m *Machine) prunePayments(before Millis) (more bool) {
	if before <= 0 {
		return false
	}
	var doomed []paymentRecord
	visited := 0
	m.scanFinished([]byte{keyPayment}, func(r *paymentRecord, _ []byte) bool {
		if idTime(r.id) >= before+m.limits.ClockSlack {
			return false
		}
		if visited++; visited > m.limits.PruneRecords {
			more = len(doomed) > 0 // only survivors: asking again would change nothing
			return false
		}
		if r.changed < before {
			doomed = append(doomed, *r)
		}
		return true
	})
	for i := range doomed {
		r := &doomed[i]
		m.delete(m.paymentKey(r.id))
		if r.reference != 0 {
			m.key = appendHistoryKey(m.key[:0], r.customer, r.grantNumber())
			m.delete(m.key)
		}
		m.finished[r.state]--
	}
	return more
}

// pruneKeys drops idempotency keys from before the given time.
func (m *Machine) pruneKeys(before Millis) (more bool) {
	if before <= 0 {
		return false
	}
	to := binary.BigEndian.AppendUint64([]byte{keyTime}, uint64(before))
	var doomed [][]byte
	err := m.store.Scan([]byte{keyTime}, to, func(key, _ []byte) bool {
		if more = len(doomed) == m.limits.PruneRecords; more {
			return false
		}
		doomed = append(doomed, append([]byte(nil), key...))
		return true
	})
	if err != nil {
		m.fail(err)
	}
	if len(doomed) == 0 {
		return false
	}
	for _, key := range doomed {
		m.key = append(append(m.key[:0], keyIdempotency), key[1+8:]...)
		m.delete(m.key)
	}
	last := append(doomed[len(doomed)-1], 0) // the first key after it
	if err := m.store.DeleteRange([]byte{keyTime}, last); err != nil {
		m.fail(err)
	}
	m.idempotency -= uint64(len(doomed))
	return more
}

// pruneOutbox drops notices from before the given time. A partner's notices stand in the order of their times.
func (m *Machine) pruneOutbox(before Millis) (more bool) {
	left := m.limits.PruneRecords
	for _, p := range m.partners {
		if p.outbox == 0 {
			continue
		}
		n := 0
		var end []byte
		from, to := noticeRange(p.ID, 0)
		err := m.store.Scan(from, to, func(key, value []byte) bool {
			notice, ok := readNotice(key, value)
			if !ok {
				m.fail(errNotice)
				return false
			}
			if notice.At >= before {
				return false
			}
			if n == left {
				more = true
				return false
			}
			n++
			end = append(append(end[:0], key...), 0)
			return true
		})
		if err != nil {
			m.fail(err)
		}
		if n == 0 {
			continue
		}
		if err := m.store.DeleteRange(from, end); err != nil {
			m.fail(err)
		}
		p.outbox -= uint64(n)
		m.outbox -= uint64(n)
		left -= n
	}
	return more
}
