package ledger

import (
	"encoding/binary"
	"errors"
)

// RecordKind says what a record changes. The numbers are in the file: never reuse one.
type RecordKind uint8

// The kinds of record.
const (
	RecordOwn      RecordKind = iota + 1 // one of the bank's own accounts of a currency: Code[0] E equity, C clearing
	RecordAccount                        // a customer's account, its debit limit in Minor, its opening balance posted
	RecordDebit                          // a reference answered 00, its debit posted
	RecordDecline                        // a reference answered no
	RecordVoid                           // a reference reversed before it was seen
	RecordReversal                       // a debited reference reversed, the reverse posted
)

// Posting adds minor units to an account. Accounts are numbered from 0 in the order in which they were opened.
type Posting struct {
	Account uint32
	Minor   int64
}

// Record is one line of the ledger. Its postings sum to zero.
type Record struct {
	Kind      RecordKind
	Code      Code
	Currency  Currency
	Number    Number
	Reference Reference
	Minor     int64
	Postings  [2]Posting
}

// postings gives the two postings, or none for a kind that moves nothing.
func (r *Record) postings() []Posting {
	switch r.Kind {
	case RecordAccount, RecordDebit, RecordReversal:
		return r.Postings[:]
	}
	return nil
}

// recordMax is the longest encoding of a record: kind, code, currency, number, reference, amount, two postings.
const recordMax = 1 + 2 + 3 + 1 + NumberMax + 12 + 16 + 8 + 2*12

// openMax is the longest encoding of what opens one account: two accounts of the bank's own and the customer's.
const openMax = 2*(7+8) + 7 + NumberMax + 8 + 2*12

var errRecordShort = errors.New("ledger: a record is cut short or of an unknown kind")

// appendRecord encodes r. Amounts are fixed-width: a debit is read back at memory speed, and a glance at a hex dump shows it.
func appendRecord(to []byte, r *Record) []byte {
	to = append(to, byte(r.Kind), r.Code[0], r.Code[1], r.Currency[0], r.Currency[1], r.Currency[2], r.Number.length)
	to = append(to, r.Number.digits[:r.Number.length]...)
	if r.Kind != RecordOwn && r.Kind != RecordAccount {
		to = append(to, r.Reference.RRN[:]...)
		to = append(to, r.Reference.Payment[:]...)
	}
	to = binary.LittleEndian.AppendUint64(to, uint64(r.Minor))
	for _, p := range r.postings() {
		to = binary.LittleEndian.AppendUint32(to, p.Account)
		to = binary.LittleEndian.AppendUint64(to, uint64(p.Minor))
	}
	return to
}

// parseRecord decodes the record that b begins with, and gives what follows it.
func parseRecord(b []byte, r *Record) (rest []byte, err error) {
	*r = Record{}
	if len(b) < 7 || b[0] < byte(RecordOwn) || b[0] > byte(RecordReversal) || b[6] > NumberMax {
		return nil, errRecordShort
	}
	r.Kind = RecordKind(b[0])
	r.Code = Code(b[1:3])
	r.Currency = Currency(b[3:6])
	r.Number.length = b[6]
	b = b[7:]
	need := int(r.Number.length) + 8 + 12*len(r.postings())
	referenced := r.Kind != RecordOwn && r.Kind != RecordAccount
	if referenced {
		need += 28
	}
	if len(b) < need {
		return nil, errRecordShort
	}
	copy(r.Number.digits[:], b[:r.Number.length])
	b = b[r.Number.length:]
	if referenced {
		copy(r.Reference.RRN[:], b)
		copy(r.Reference.Payment[:], b[12:])
		b = b[28:]
	}
	r.Minor = int64(binary.LittleEndian.Uint64(b))
	b = b[8:]
	for i := range r.postings() {
		r.Postings[i] = Posting{Account: binary.LittleEndian.Uint32(b), Minor: int64(binary.LittleEndian.Uint64(b[4:]))}
		b = b[12:]
	}
	return b, nil
}
