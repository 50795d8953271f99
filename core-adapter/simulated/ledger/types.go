package ledger

import (
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// Bounds. The wire has twelve digits for an amount (fields 4 and 54).
const (
	MinorMax        = 999_999_999_999 // largest amount and opening balance, minor units
	NumberMax       = 19              // digits of an account number, field 2
	AccountsMax     = 4_000_000       // accounts in one ledger
	ReferencesMax   = 50_000_000      // references in one ledger, about 110 bytes of memory each
	QueueMax        = 65_536          // operations waiting for the next group commit
	OpenBatchMax    = 4_096           // accounts in one Open
	DebitLimitMinor = 100_000_000     // largest single debit of an account that names no limit of its own, minor units
)

// Code is a response code: field 39, two characters.
type Code [2]byte

// The codes a ledger gives.
var (
	CodeApproved     = Code{'0', '0'}
	CodeDeclined     = Code{'0', '5'} // also: wrong currency
	CodeNoAccount    = Code{'1', '4'}
	CodeReversed     = Code{'2', '1'}
	CodeUnknown      = Code{'2', '5'}
	CodeInsufficient = Code{'5', '1'}
	CodeOverLimit    = Code{'6', '1'}
	CodeUnavailable  = Code{'9', '1'} // not done, and not recorded
	CodeDuplicate    = Code{'9', '4'} // the reference is known with other contents; nothing was moved
	CodeSystemError  = Code{'9', '6'}
)

// ParseCode reads two letters or digits.
func ParseCode(s string) (Code, error) {
	if len(s) != 2 || !alphanumeric(s[0]) || !alphanumeric(s[1]) {
		return Code{}, fmt.Errorf("ledger: response code %q: two letters or digits are wanted, such as 51", s)
	}
	return Code{s[0], s[1]}, nil
}

func (c Code) String() string { return string(c[:]) }

// Currency is an ISO 4217 alphabetic code.
type Currency [3]byte

// ParseCurrency reads three capital letters. It does not know which codes are in use.
func ParseCurrency(s string) (Currency, error) {
	if len(s) != 3 {
		return Currency{}, fmt.Errorf("ledger: currency %q: three capital letters are wanted, such as CNY", s)
	}
	for i := range 3 {
		if s[i] < 'A' || s[i] > 'Z' {
			return Currency{}, fmt.Errorf("ledger: currency %q: three capital letters are wanted, such as CNY", s)
		}
	}
	return Currency{s[0], s[1], s[2]}, nil
}

func (c Currency) String() string { return string(c[:]) }

// Number is an account number of 1 to 19 digits.
type Number struct {
	length uint8
	digits [NumberMax]byte
}

// ErrNumber says that a text is no account number. It does not repeat the text, which may be one nearly.
var ErrNumber = errors.New("ledger: an account number has 1 to 19 digits and nothing else")

// ParseNumber reads 1 to 19 digits, or fails with ErrNumber.
func ParseNumber(s string) (Number, error) {
	if len(s) == 0 || len(s) > NumberMax {
		return Number{}, ErrNumber
	}
	n := Number{length: uint8(len(s))}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return Number{}, ErrNumber
		}
		n.digits[i] = s[i]
	}
	return n, nil
}

// String gives the digits. It is secret: never log it.
func (n Number) String() string { return string(n.digits[:n.length]) }

// Reference is a core's idempotency key: the RRN (field 37) and the payment id (field 48, tag 01).
type Reference struct {
	RRN     [12]byte
	Payment uuid.UUID
}

// ParseReference reads an RRN of 12 letters or digits and a payment id in the 36-character form.
func ParseReference(rrn, paymentID string) (Reference, error) {
	var ref Reference
	if len(rrn) != len(ref.RRN) {
		return ref, fmt.Errorf("ledger: retrieval reference number %q: 12 characters are wanted", rrn)
	}
	for i := range len(rrn) {
		if !alphanumeric(rrn[i]) {
			return ref, fmt.Errorf("ledger: retrieval reference number %q: letters and digits are wanted", rrn)
		}
	}
	copy(ref.RRN[:], rrn)
	if len(paymentID) != 36 {
		return ref, fmt.Errorf("ledger: payment id %q: a UUID of 36 characters is wanted", paymentID)
	}
	id, err := uuid.Parse(paymentID)
	if err != nil {
		return ref, fmt.Errorf("ledger: payment id %q: a UUID of 36 characters is wanted", paymentID)
	}
	ref.Payment = id
	return ref, nil
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// Account is an account to be opened.
type Account struct {
	Number   Number
	Currency Currency
	Balance  int64 // opening balance, minor units, 0 to MinorMax
	Limit    int64 // largest single debit, minor units, 1 to MinorMax; 0 takes DebitLimitMinor
}

// Kind says what an operation asks for.
type Kind uint8

// The kinds of operation.
const (
	OpDebit   Kind = iota + 1 // Reference, Number, Currency, Minor; Decline if it is to be declined whatever the ledger says
	OpReverse                 // Reference, Number, Currency, Minor
	OpInquire                 // Reference
	OpBalance                 // Number, Currency
	OpOpen                    // Accounts
	OpBarrier                 // nothing: answered once all before it is durable
)

// Op is one operation.
type Op struct {
	Kind      Kind
	Reference Reference
	Number    Number
	Currency  Currency
	Minor     int64 // minor units, 1 to MinorMax
	Decline   Code  // zero: the ledger decides
	Accounts  []Account
}

// Outcome is what an operation came to.
type Outcome struct {
	Code     Code
	Approval uint32 // number of the approval, for field 38; 0 unless a debit stands approved
	Repeat   bool   // the reference was known: this is its first answer again, or what became of it
	Balance  int64  // OpBalance, minor units
	Opened   int    // OpOpen: accounts that are new
	Existing int    // OpOpen: accounts that were there, left as they were
	Refused  int    // OpOpen: accounts that were there in another currency, have a bad amount, or are over AccountsMax
}

// ApprovalCode gives the six characters of field 38, or "" without an approval.
func (o Outcome) ApprovalCode() string {
	if o.Approval == 0 {
		return ""
	}
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	var code [6]byte
	for i, n := len(code)-1, o.Approval; i >= 0; i, n = i-1, n/36 {
		code[i] = digits[n%36]
	}
	return string(code[:])
}
