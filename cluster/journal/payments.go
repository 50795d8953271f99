package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unicode/utf8"

	"netbank/cluster/journal/command"
)

// create takes a payment in, once per idempotency key.
func (m *Machine) create(c *command.CreatePayment, out *Result) {
	if len(c.GetPaymentId()) != len(PaymentID{}) || len(c.GetIdempotencyKey()) != len(Key16{}) || len(c.GetRequestHash()) != len(Key16{}) {
		out.Verdict = BadCommand
		return
	}
	partner := m.partnerIndex[PartnerID(c.Partner)]
	if partner == nil {
		out.Verdict = NotFound
		return
	}
	// The key comes before the rest: a repeat of a request that has expired meanwhile is still that request.
	if m.createdBefore(c, out) {
		return
	}
	var r paymentRecord
	if !m.newRecord(c, &r) {
		out.Verdict = BadCommand
		return
	}
	if _, ok := m.open.index[r.id]; ok || m.get(m.paymentKey(r.id)) {
		out.Verdict = NotAllowed // an id names one payment for ever
		return
	}
	if !m.roomFor(partner) {
		out.Verdict = TooMany
		return
	}
	f := &m.found
	f.rec, f.text = r, appendCreateTexts(f.text[:0], c)
	f.rec.textBytes = uint16(len(f.text))
	f.slot = m.open.insert(&f.rec, f.text)
	f.rec = *m.open.cells.at(f.slot)
	partner.open++
	m.rememberKey(c, r.id)
	m.changes = append(m.changes, Change{Payment: r.id, To: StateReceived, Version: 1})
	out.Payment = f.payment()
}

// createdBefore answers a request whose idempotency key is known.
func (m *Machine) createdBefore(c *command.CreatePayment, out *Result) bool {
	m.key = append(append(m.key[:0], keyIdempotency), c.IdempotencyKey...)
	if !m.get(m.key) {
		return false
	}
	if len(m.value) != idempotencyValue {
		m.fail(errIdempotency)
		return true
	}
	var value [idempotencyValue]byte
	copy(value[:], m.value)
	if !m.find(value[:16], out) {
		// The payment was pruned before its key. The key is free again.
		out.Verdict = Done
		m.key = append(append(m.key[:0], keyIdempotency), c.IdempotencyKey...)
		m.delete(m.key)
		m.key = appendTimeKey(m.key[:0], Millis(binary.BigEndian.Uint64(value[32:])), c.IdempotencyKey)
		m.delete(m.key)
		m.idempotency--
		return m.Err() != nil
	}
	if !bytes.Equal(value[16:32], c.RequestHash) || m.found.rec.partner != PartnerID(c.Partner) {
		out.Verdict = KeyConflict
		return true
	}
	m.answer(Exists, out)
	return true
}

var errIdempotency = errors.New("an idempotency key is damaged")

// idempotencyValue is the size of what stands under an idempotency key: payment id, request hash, time.
const idempotencyValue = 16 + 16 + 8

func appendTimeKey(to []byte, at Millis, key []byte) []byte {
	to = binary.BigEndian.AppendUint64(append(to, keyTime), uint64(at))
	return append(to, key...)
}

func (m *Machine) rememberKey(c *command.CreatePayment, id PaymentID) {
	m.value = append(append(m.value[:0], id[:]...), c.RequestHash...)
	m.value = binary.BigEndian.AppendUint64(m.value, uint64(m.now))
	m.key = append(append(m.key[:0], keyIdempotency), c.IdempotencyKey...)
	m.set(m.key, m.value)
	m.key = appendTimeKey(m.key[:0], m.now, c.IdempotencyKey)
	m.set(m.key, nil)
	m.idempotency++
}

// newRecord checks every field's range.
func (m *Machine) newRecord(c *command.CreatePayment, r *paymentRecord) bool {
	l := &m.limits
	*r = paymentRecord{
		id: PaymentID(c.PaymentId), partner: PartnerID(c.Partner), minor: c.AmountMinor, expires: Millis(c.ExpiresMs),
		created: m.now, changed: m.now, version: 1, state: StateReceived, notify: c.NotificationUri != "",
	}
	if !validID(r.id, m.now-l.ExpiresAfter, m.now+l.ClockSlack) || !validCurrency(c.Currency) || c.AmountMinor < 1 || c.AmountMinor > l.AmountMinorMax ||
		r.expires <= m.now || r.expires > min(m.now+l.ExpiresAfter+l.ClockSlack, stampMax) {
		return false
	}
	if !visible(c.CreditorAccount, 1, l.AccountBytes) || !visible(c.DebtorAccount, 0, min(l.AccountBytes, len(r.debtor.chars))) ||
		!visible(c.RedirectUri, 0, l.URIBytes) || !visible(c.NokRedirectUri, 0, l.URIBytes) || !visible(c.NotificationUri, 0, l.URIBytes) {
		return false
	}
	if !readable(c.CreditorName, 1, l.NameRunes) || !readable(c.EndToEndId, 0, l.EndToEndRunes) || !readable(c.Remittance, 0, l.TextRunes) {
		return false
	}
	copy(r.currency[:], c.Currency)
	r.debtor.length = uint8(copy(r.debtor.chars[:], c.DebtorAccount))
	return true
}

func appendCreateTexts(to []byte, c *command.CreatePayment) []byte {
	to = appendText(appendText(to, c.CreditorAccount), c.CreditorName)
	to = appendText(appendText(to, c.EndToEndId), c.Remittance)
	to = appendText(appendText(to, c.RedirectUri), c.NokRedirectUri)
	return appendText(to, c.NotificationUri)
}

// noticesMax is how often an open payment can still change: authorised, in doubt, reversing, final.
const noticesMax = 4

// roomFor tells whether one more payment fits every limit, with all that it may still put into the outbox, so
// that no later change ever finds a table full: the limit is met by refusing new payments and nothing else.
func (m *Machine) roomFor(p *partnerRecord) bool {
	l := &m.limits
	most := int(p.OpenPaymentsMax)
	if most == 0 {
		most = l.PartnerOpen
	}
	open := m.open.len()
	return p.open < most && open < l.OpenPayments &&
		int(p.outbox)+noticesMax*(p.open+1) <= l.PartnerNotices && int(m.outbox)+noticesMax*(open+1) <= l.Notices &&
		open+int(m.finishedTotal()) < l.Stored && int(m.idempotency) < l.Stored
}

func (m *Machine) finishedTotal() (n uint64) {
	for _, count := range m.finished {
		n += count
	}
	return n
}

// cancel ends a payment that nobody has confirmed. Partner 0 stands for the customer.
func (m *Machine) cancel(c *command.CancelPayment, out *Result) {
	if !m.find(c.GetPaymentId(), out) {
		return
	}
	r, reason := &m.found.rec, ReasonByPartner
	switch PartnerID(c.Partner) {
	case 0:
		reason = ReasonByCustomer
	case r.partner:
	default:
		out.Verdict = NotFound // another partner's payment is none of its business
		return
	}
	switch {
	case r.state == StateReceived:
		m.move(StateCancelled, reason)
		m.answer(Done, out)
	case r.state == StateCancelled && r.reason == reason:
		m.answer(Done, out)
	default:
		m.answer(NotAllowed, out)
	}
}

// expire ends payments that nobody has confirmed in time. What is not received, or has time left, is passed over.
func (m *Machine) expire(c *command.Expire, out *Result) {
	if len(c.GetPaymentIds()) > m.limits.ExpireIDs {
		out.Verdict = TooMany
		return
	}
	for _, id := range c.GetPaymentIds() {
		if len(id) != len(PaymentID{}) {
			out.Verdict = BadCommand
			return
		}
	}
	var none Result
	for _, id := range c.GetPaymentIds() {
		if m.find(id, &none) && m.found.rec.state == StateReceived && m.found.rec.expires <= m.now {
			m.move(StateExpired, ReasonExpired)
		}
	}
}

// validID tells whether an id is a UUID of version 7 (RFC 9562, 5.7) made in the given time. The time matters twice:
// finished payments are pruned in the order of their ids, and an id that was pruned can never come back.
func validID(id PaymentID, from, to Millis) bool {
	at := idTime(id)
	return id[6]>>4 == 7 && id[8]>>6 == 2 && from <= at && at <= to
}

// idTime gives the time in a UUID of version 7.
func idTime(id PaymentID) Millis {
	return Millis(binary.BigEndian.Uint64(id[:8]) >> 16)
}

func validCurrency(s string) bool {
	return len(s) == 3 && s[0]-'A' < 26 && s[1]-'A' < 26 && s[2]-'A' < 26
}

// visible accepts text of from to to bytes without spaces and control characters: account numbers, URIs, names of users.
func visible(s string, from, to int) bool {
	if len(s) < from || len(s) > to {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return utf8.ValidString(s)
}

// readable accepts text of from to to characters without control characters.
func readable(s string, from, to int) bool {
	if len(s) > to*utf8.UTFMax || !utf8.ValidString(s) {
		return false
	}
	n := 0
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			return false
		}
		n++
	}
	return n >= from && n <= to
}
