package journal

import (
	"encoding/binary"
	"math"
	"time"
)

// paymentRecord is a payment without its texts: a cell of the table of open payments. No pointers.
type paymentRecord struct {
	id           PaymentID
	created      Millis
	expires      Millis
	changed      Millis
	granted      Millis
	minor        int64
	customer     CustomerID
	sessionEpoch Epoch
	incarnation  uint64
	reference    uint64 // of the RRN, within its epoch; from 1, 0 before the grant
	spot         spot   // in the waiting line, of received payments only
	partner      PartnerID
	version      uint32
	node         NodeID
	stan         uint32
	text         uint32 // first block, of open payments only
	textBytes    uint16
	epoch        uint16 // of the RRN
	currency     [3]byte
	state        State
	reason       Reason
	notify       bool // there is a notification URI
	debtor       short[[34]byte]
	response     short[[2]byte]
	approval     short[[6]byte]
}

// short is a text of a few bytes, kept in place.
type short[A [2]byte | [6]byte | [34]byte] struct {
	length uint8
	chars  A
}

// The texts of a payment, in the order in which they are stored: each a uvarint length and its bytes.
const (
	textCreditorAccount = iota
	textCreditorName
	textEndToEndID
	textRemittance
	textRedirectURI
	textNokRedirectURI
	textNotificationURI
	textCount
)

// textBytesMax is the largest stored text; it fits textBytes. The limits keep texts far below.
const textBytesMax = math.MaxUint16

func (r *paymentRecord) executor() Executor { return Executor{r.node, r.incarnation} }

// ReferenceEpochMax is the last epoch: what two characters of 0-9A-Z hold. Each restore from a backup takes one.
const ReferenceEpochMax = 36*36 - 1

// Field lengths on the wire.
const (
	transmissionChars = 10
	rrnChars          = 12
	rrnEpochChars     = 2
	rrnEpochMax       = ReferenceEpochMax
	stanMax           = 999999
	referenceMax      = 36*36*36*36*36*36*36*36*36*36 - 1 // of an epoch: 3,000 years at 36,000 a second
)

func (r *paymentRecord) appendWire(to []byte) []byte {
	to = time.UnixMilli(int64(r.granted)).UTC().AppendFormat(to, "0102150405")
	to = appendBase36(to, uint64(r.epoch), rrnEpochChars)
	return appendBase36(to, r.reference, rrnChars-rrnEpochChars)
}

// appendBase36 appends the last digits of v, most significant first, in 0-9A-Z.
func appendBase36(to []byte, v uint64, digits int) []byte {
	const figures = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	at := len(to)
	for range digits {
		to = append(to, '0')
	}
	for i := len(to) - 1; i >= at; i-- {
		to[i] = figures[v%36]
		v /= 36
	}
	return to
}

// payment makes the copy that goes out. All its texts are cut from one string, so that a copy costs one allocation.
func (r *paymentRecord) payment(text []byte) Payment {
	var space [1024]byte
	b := append(space[:0], text...)
	b = append(b, r.currency[:]...)
	b = append(b, r.debtor.chars[:r.debtor.length]...)
	b = append(b, r.response.chars[:r.response.length]...)
	b = append(b, r.approval.chars[:r.approval.length]...)
	if r.reference != 0 {
		b = r.appendWire(b)
	}
	all := string(b)
	p := Payment{
		ID: r.id, Partner: r.partner, State: r.state, Reason: r.reason, Version: r.version,
		Created: r.created, Expires: r.expires, Changed: r.changed, Granted: r.granted,
		Customer: r.customer, SessionEpoch: r.sessionEpoch, Executor: r.executor(),
	}
	var parts [textCount]string
	rest := all
	for i := range parts {
		n, size := binary.Uvarint(text)
		text = text[size+int(n):]
		parts[i], rest = rest[size:size+int(n)], rest[size+int(n):]
	}
	cut := func(n int) string {
		s := rest[:n]
		rest = rest[n:]
		return s
	}
	p.CreditorAccount, p.CreditorName = parts[textCreditorAccount], parts[textCreditorName]
	p.EndToEndID, p.Remittance = parts[textEndToEndID], parts[textRemittance]
	p.RedirectURI, p.NokRedirectURI = parts[textRedirectURI], parts[textNokRedirectURI]
	p.NotificationURI = parts[textNotificationURI]
	p.Amount = Money{r.minor, cut(len(r.currency))}
	p.DebtorAccount = cut(int(r.debtor.length))
	p.ResponseCode = cut(int(r.response.length))
	p.ApprovalCode = cut(int(r.approval.length))
	if r.reference != 0 {
		p.Wire = WireIdentity{Transmission: cut(transmissionChars), STAN: r.stan, RRN: cut(rrnChars)}
	}
	return p
}

// consentTexts gives the creditor's account and name without a copy.
func consentTexts(text []byte) (account, name []byte) {
	n, size := binary.Uvarint(text)
	account, text = text[size:size+int(n)], text[size+int(n):]
	n, size = binary.Uvarint(text)
	return account, text[size : size+int(n)]
}

// These stand first in every stored payment. A new layout gets a new number and the old one stays readable.
const (
	recordFormat     = 1
	recordFormatLine = 2 // the same, and a place in the waiting line at the end
)

// appendRecord encodes a payment for the store and the snapshot.
func appendRecord(to []byte, r *paymentRecord, text []byte) []byte {
	format := byte(recordFormat)
	if r.spot != 0 {
		format = recordFormatLine
	}
	to = append(to, format)
	to = append(to, r.id[:]...)
	to = append(to, byte(r.state), byte(r.reason))
	to = append(to, r.currency[:]...)
	for _, v := range [...]uint64{
		uint64(r.created), uint64(r.expires), uint64(r.changed), uint64(r.granted), uint64(r.minor),
		uint64(r.customer), uint64(r.sessionEpoch), r.incarnation, r.reference,
		uint64(r.partner), uint64(r.version), uint64(r.node), uint64(r.stan), uint64(r.epoch),
	} {
		to = binary.AppendUvarint(to, v)
	}
	to = appendText(to, r.debtor.chars[:r.debtor.length])
	to = appendText(to, r.response.chars[:r.response.length])
	to = appendText(to, r.approval.chars[:r.approval.length])
	to = appendText(to, text)
	if r.spot != 0 {
		to = binary.AppendUvarint(to, uint64(r.spot))
	}
	return to
}

func appendText[S string | []byte](to []byte, s S) []byte {
	to = binary.AppendUvarint(to, uint64(len(s)))
	return append(to, s...)
}

// readRecord decodes what appendRecord wrote. The text aliases b.
func readRecord(b []byte) (r paymentRecord, text []byte, ok bool) {
	p := parser{rest: b}
	format := p.byte()
	if format != recordFormat && format != recordFormatLine {
		return r, nil, false
	}
	copy(r.id[:], p.bytes(len(r.id)))
	r.state, r.reason = State(p.byte()), Reason(p.byte())
	copy(r.currency[:], p.bytes(len(r.currency)))
	r.created, r.expires, r.changed, r.granted = p.millis(), p.millis(), p.millis(), p.millis()
	r.minor = int64(p.atMost(math.MaxInt64))
	r.customer, r.sessionEpoch = CustomerID(p.uint()), Epoch(p.uint())
	r.incarnation, r.reference = p.uint(), p.atMost(referenceMax)
	r.partner, r.version = PartnerID(p.atMost(math.MaxUint32)), uint32(p.atMost(math.MaxUint32))
	r.node, r.stan = NodeID(p.atMost(math.MaxUint32)), uint32(p.atMost(stanMax))
	r.epoch = uint16(p.atMost(rrnEpochMax))
	r.debtor.length = uint8(copy(r.debtor.chars[:], p.text(len(r.debtor.chars))))
	r.response.length = uint8(copy(r.response.chars[:], p.text(len(r.response.chars))))
	r.approval.length = uint8(copy(r.approval.chars[:], p.text(len(r.approval.chars))))
	text = p.text(textBytesMax)
	r.textBytes = uint16(len(text))
	// The parts of the text are checked here once, so that payment can cut them without a look.
	t := parser{rest: text}
	for i := range textCount {
		part := t.text(textBytesMax)
		r.notify = i == textNotificationURI && len(part) > 0
	}
	if format == recordFormatLine {
		r.spot = spot(p.uint())
	}
	placed := r.spot != 0
	ok = placed == (format == recordFormatLine) && (!placed || r.state == StateReceived && r.spot.at() > 0) &&
		!p.bad && len(p.rest) == 0 && !t.bad && len(t.rest) == 0 &&
		r.state >= StateReceived && r.state <= StateReversing && r.reason <= ReasonCoreUnavailable
	return r, text, ok
}

// parser reads what the append functions wrote, and goes bad instead of past the end.
type parser struct {
	rest []byte
	bad  bool
}

func (p *parser) uint() uint64 {
	v, n := binary.Uvarint(p.rest)
	if n <= 0 {
		p.bad, p.rest = true, nil
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

// atMost reads a number that must not exceed the limit.
func (p *parser) atMost(limit uint64) uint64 {
	v := p.uint()
	if v > limit {
		p.bad = true
		return 0
	}
	return v
}

func (p *parser) millis() Millis { return Millis(p.atMost(uint64(stampMax))) }

func (p *parser) byte() byte {
	b := p.bytes(1)
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// bytes gives n bytes of the input, or none.
func (p *parser) bytes(n int) []byte {
	if n > len(p.rest) {
		p.bad, p.rest = true, nil
		return nil
	}
	b := p.rest[:n:n]
	p.rest = p.rest[n:]
	return b
}

// text gives a text of at most limit bytes.
func (p *parser) text(limit int) []byte { return p.bytes(int(p.atMost(uint64(limit)))) }
