package ledger

import (
	"errors"
	"fmt"
	"math"
)

// Status is what became of a reference.
type Status uint8

// The statuses. The numbers are in no file.
const (
	StatusDebited  Status = iota + 1 // the money moved, once
	StatusDeclined                   // the first answer was no
	StatusReversed                   // the money moved, and moved back
	StatusVoided                     // reversed before it was ever seen: no debit can come any more
)

// Entry is one reference with its first answer.
type Entry struct {
	Reference Reference
	Minor     int64
	Currency  Currency
	Status    Status
	Code      Code   // the first answer
	Debits    uint8  // debit postings made for it; more than 1 is a broken ledger
	Approval  uint32 // number of the record that debited it
	account   uint32 // noAccount if it is none of ours
}

const (
	noAccount  = math.MaxUint32
	chunkOf    = 4096 // entries are kept in chunks: growing never copies what is there
	ownLimit   = 0    // the bank's own accounts have no debit limit, because no customer's debit may name them
	equityMark = 'E'
	clearMark  = 'C'
)

type account struct {
	number   Number
	currency Currency
	balance  int64 // minor units
	limit    int64 // ownLimit: one of the bank's own accounts, which may go below zero
}

// Book is the state of a ledger and its rules. It does no I/O, and is not safe for concurrent use.
type Book struct {
	accounts   []account
	numbers    map[Number]uint32
	own        map[Currency]ownAccounts
	chunks     []*[chunkOf]Entry
	references map[Reference]uint32
	records    uint64
	sums       Sums
}

// ownAccounts are the bank's own accounts of one currency.
type ownAccounts struct{ equity, clearing uint32 }

// Sums counts what a Book holds and was asked since the process started.
type Sums struct {
	Accounts   int    `json:"accounts"`
	References int    `json:"references"`
	Debited    uint64 `json:"debited"`    // references whose money moved, reversed ones included
	Declined   uint64 `json:"declined"`   // references first answered no
	Reversed   uint64 `json:"reversed"`   // references debited and reversed
	Voided     uint64 `json:"voided"`     // references reversed before they were seen
	Duplicates uint64 `json:"duplicates"` // debits asked for again, since the process started; none moved money
	Mismatched uint64 `json:"mismatched"` // of these and of the reversals, how many had other contents than the first
	Records    uint64 `json:"records"`
}

// NewBook makes an empty Book.
func NewBook() *Book {
	return &Book{numbers: map[Number]uint32{}, own: map[Currency]ownAccounts{}, references: map[Reference]uint32{}}
}

// Sums gives the counters.
func (b *Book) Sums() Sums {
	s := b.sums
	s.Accounts = len(b.numbers)
	s.References = len(b.references)
	s.Records = b.records
	return s
}

// Decide says what op comes to, and the record that makes it so; the caller applies the record before it decides the
// next operation. Nothing is to be recorded if record.Kind is zero. OpOpen is decided by DecideOpen.
func (b *Book) Decide(op *Op) (out Outcome, record Record) {
	switch op.Kind {
	case OpDebit:
		return b.debit(op)
	case OpReverse:
		return b.reverse(op)
	case OpInquire:
		return b.inquire(op.Reference), Record{}
	case OpBalance:
		return b.balance(op), Record{}
	}
	return Outcome{Code: CodeApproved}, Record{}
}

func (b *Book) debit(op *Op) (Outcome, Record) {
	if e := b.entry(op.Reference); e != nil {
		b.sums.Duplicates++
		return b.again(op, e), Record{}
	}
	if len(b.references) >= ReferencesMax || op.Decline == CodeUnavailable {
		return Outcome{Code: CodeUnavailable}, Record{}
	}
	record := Record{Kind: RecordDecline, Reference: op.Reference, Number: op.Number, Currency: op.Currency, Minor: op.Minor}
	at, known := b.numbers[op.Number]
	record.Code = op.Decline
	if record.Code == (Code{}) {
		record.Code = b.judge(op, at, known)
	}
	if record.Code == CodeUnavailable {
		return Outcome{Code: CodeUnavailable}, Record{}
	}
	out := Outcome{Code: record.Code}
	if record.Code == CodeApproved {
		record.Kind = RecordDebit
		record.Postings = [2]Posting{{Account: at, Minor: -op.Minor}, {Account: b.own[op.Currency].clearing, Minor: op.Minor}}
		out.Approval = approval(b.records)
	}
	return out, record
}

// judge decides a debit of a reference that was never seen.
func (b *Book) judge(op *Op, at uint32, known bool) Code {
	if !known {
		return CodeNoAccount
	}
	a := &b.accounts[at]
	switch {
	case a.currency != op.Currency || op.Minor <= 0 || op.Minor > MinorMax:
		return CodeDeclined
	case op.Minor > a.limit:
		return CodeOverLimit
	case op.Minor > a.balance:
		return CodeInsufficient
	case b.accounts[b.own[op.Currency].clearing].balance > math.MaxInt64-op.Minor:
		return CodeUnavailable
	}
	return CodeApproved
}

// again answers a debit whose reference is known. Its money has moved already, or never will.
func (b *Book) again(op *Op, e *Entry) Outcome {
	switch e.Status {
	case StatusReversed, StatusVoided:
		return Outcome{Code: CodeReversed, Repeat: true}
	}
	if b.differs(op, e) {
		b.sums.Mismatched++
		return Outcome{Code: CodeDuplicate, Repeat: true}
	}
	return Outcome{Code: e.Code, Approval: e.Approval, Repeat: true}
}

func (b *Book) reverse(op *Op) (Outcome, Record) {
	record := Record{Kind: RecordVoid, Reference: op.Reference, Number: op.Number, Currency: op.Currency, Minor: op.Minor, Code: CodeReversed}
	e := b.entry(op.Reference)
	if e == nil {
		if len(b.references) >= ReferencesMax {
			return Outcome{Code: CodeUnavailable}, Record{}
		}
		return Outcome{Code: CodeApproved}, record
	}
	if e.Status != StatusVoided && b.differs(op, e) {
		// Acknowledging would say that another payment than the one meant is undone.
		b.sums.Mismatched++
		return Outcome{Code: CodeDuplicate, Repeat: true}, Record{}
	}
	if e.Status != StatusDebited {
		return Outcome{Code: CodeApproved, Repeat: true}, Record{}
	}
	record.Kind = RecordReversal
	record.Postings = [2]Posting{{Account: e.account, Minor: e.Minor}, {Account: b.own[e.Currency].clearing, Minor: -e.Minor}}
	return Outcome{Code: CodeApproved}, record
}

func (b *Book) inquire(ref Reference) Outcome {
	e := b.entry(ref)
	if e == nil {
		return Outcome{Code: CodeUnknown}
	}
	switch e.Status {
	case StatusDebited:
		return Outcome{Code: CodeApproved, Approval: e.Approval, Repeat: true}
	case StatusDeclined:
		return Outcome{Code: CodeDeclined, Repeat: true}
	}
	return Outcome{Code: CodeReversed, Repeat: true}
}

func (b *Book) balance(op *Op) Outcome {
	at, known := b.numbers[op.Number]
	if !known {
		return Outcome{Code: CodeNoAccount}
	}
	if b.accounts[at].currency != op.Currency {
		return Outcome{Code: CodeDeclined}
	}
	return Outcome{Code: CodeApproved, Balance: b.accounts[at].balance}
}

// DecideOpen says whether a can be opened, and gives the records that do so: the bank's own accounts come before the
// first account of a currency. records is appended to.
func (b *Book) DecideOpen(a Account, out *Outcome, records []Record) []Record {
	if a.Limit == 0 {
		a.Limit = DebitLimitMinor
	}
	if at, known := b.numbers[a.Number]; known {
		if b.accounts[at].currency == a.Currency {
			out.Existing++
		} else {
			out.Refused++
		}
		return records
	}
	if len(b.accounts) >= AccountsMax || a.Balance < 0 || a.Balance > MinorMax || a.Limit < 1 || a.Limit > MinorMax || a.Number.length == 0 || a.Currency == (Currency{}) {
		out.Refused++
		return records
	}
	next := uint32(len(b.accounts))
	own, known := b.own[a.Currency]
	if !known {
		own = ownAccounts{equity: next, clearing: next + 1}
		records = append(records,
			Record{Kind: RecordOwn, Currency: a.Currency, Code: Code{equityMark}},
			Record{Kind: RecordOwn, Currency: a.Currency, Code: Code{clearMark}})
		next += 2
	}
	out.Opened++
	return append(records, Record{
		Kind: RecordAccount, Number: a.Number, Currency: a.Currency, Minor: a.Limit,
		Postings: [2]Posting{{Account: next, Minor: a.Balance}, {Account: own.equity, Minor: -a.Balance}},
	})
}

// ErrRecord says that a record contradicts the ones before it: the file was damaged, or written by something else.
var ErrRecord = errors.New("ledger: a record contradicts the ones before it; restore ledger.log from a backup, or start with an empty directory")

// Apply makes a record so. Replay and live operation both come through here, which is why a restart gives the same Book.
// After an error the Book is of no use.
func (b *Book) Apply(r *Record) error {
	for _, p := range r.postings() {
		if p.Account == noAccount || int(p.Account) > len(b.accounts) {
			return fmt.Errorf("%w (record %d posts to account %d of %d)", ErrRecord, b.records, p.Account, len(b.accounts))
		}
	}
	switch r.Kind {
	case RecordOwn:
		b.openOwn(r)
	case RecordAccount:
		if _, known := b.numbers[r.Number]; known || int(r.Postings[0].Account) != len(b.accounts) || int(r.Postings[1].Account) >= len(b.accounts) {
			return fmt.Errorf("%w (record %d opens an account out of turn)", ErrRecord, b.records)
		}
		b.numbers[r.Number] = uint32(len(b.accounts))
		b.accounts = append(b.accounts, account{number: r.Number, currency: r.Currency, limit: r.Minor})
	case RecordDebit, RecordDecline, RecordVoid, RecordReversal:
		if err := b.applyReference(r); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%w (record %d has the unknown kind %d)", ErrRecord, b.records, r.Kind)
	}
	b.records++
	return b.post(r)
}

func (b *Book) openOwn(r *Record) {
	own := b.own[r.Currency]
	if r.Code[0] == equityMark {
		own.equity = uint32(len(b.accounts))
	} else {
		own.clearing = uint32(len(b.accounts))
	}
	b.own[r.Currency] = own
	b.accounts = append(b.accounts, account{currency: r.Currency, limit: ownLimit})
}

func (b *Book) applyReference(r *Record) error {
	e := b.entry(r.Reference)
	if r.Kind == RecordReversal {
		if e == nil || e.Status != StatusDebited {
			return fmt.Errorf("%w (record %d reverses what was not debited)", ErrRecord, b.records)
		}
		e.Status = StatusReversed
		b.sums.Reversed++
		return nil
	}
	if e != nil {
		return fmt.Errorf("%w (record %d answers a reference a second time)", ErrRecord, b.records)
	}
	fresh := Entry{Reference: r.Reference, Minor: r.Minor, Currency: r.Currency, Code: r.Code, account: noAccount}
	if at, known := b.numbers[r.Number]; known {
		fresh.account = at
	}
	switch r.Kind {
	case RecordDebit:
		fresh.Status, fresh.Debits, fresh.Approval = StatusDebited, 1, approval(b.records)
		b.sums.Debited++
	case RecordDecline:
		fresh.Status = StatusDeclined
		b.sums.Declined++
	case RecordVoid:
		fresh.Status = StatusVoided
		b.sums.Voided++
	}
	b.add(fresh)
	return nil
}

func (b *Book) post(r *Record) error {
	for _, p := range r.postings() {
		if int(p.Account) >= len(b.accounts) {
			return fmt.Errorf("%w (record %d posts to account %d of %d)", ErrRecord, b.records, p.Account, len(b.accounts))
		}
		a := &b.accounts[p.Account]
		a.balance += p.Minor
		if a.balance < 0 && a.limit != ownLimit {
			return fmt.Errorf("%w (record %d takes account %d below zero)", ErrRecord, b.records, p.Account)
		}
	}
	return nil
}

// approval makes the number of an approval of the position of its record. It is never 0, and unique for 2 billion records.
func approval(record uint64) uint32 { return uint32(record%(36*36*36*36*36*36-1)) + 1 }

func (b *Book) differs(op *Op, e *Entry) bool {
	if op.Minor != e.Minor || op.Currency != e.Currency {
		return true
	}
	at, known := b.numbers[op.Number]
	// Declined for want of an account: which one it was is not kept, and it may have been opened since.
	return e.account != noAccount && (!known || at != e.account)
}

func (b *Book) entry(ref Reference) *Entry {
	at, known := b.references[ref]
	if !known {
		return nil
	}
	return &b.chunks[at/chunkOf][at%chunkOf]
}

func (b *Book) add(e Entry) {
	at := uint32(len(b.references))
	if at%chunkOf == 0 {
		b.chunks = append(b.chunks, new([chunkOf]Entry))
	}
	b.chunks[at/chunkOf][at%chunkOf] = e
	b.references[e.Reference] = at
}

// Entries copies up to len(into) entries, in the order in which they came, from position from on, and says how many.
func (b *Book) Entries(from int, into []Entry) int {
	n := 0
	for ; n < len(into) && from+n < len(b.references); n++ {
		at := from + n
		into[n] = b.chunks[at/chunkOf][at%chunkOf]
	}
	return n
}

// CurrencySum is what the ledger holds in one currency, in minor units.
type CurrencySum struct {
	Customers int64 `json:"customersMinor"` // balances of all customers' accounts
	Clearing  int64 `json:"clearingMinor"`  // debited and not reversed
	Equity    int64 `json:"equityMinor"`    // minus the opening balances
	Total     int64 `json:"totalMinor"`     // of all postings; anything but 0 is a broken ledger
}

// Balances sums all accounts by currency. It walks every account.
func (b *Book) Balances() map[Currency]CurrencySum {
	sums := make(map[Currency]CurrencySum, len(b.own))
	for i := range b.accounts {
		a := &b.accounts[i]
		s := sums[a.currency]
		switch own := b.own[a.currency]; {
		case a.limit != ownLimit:
			s.Customers += a.balance
		case uint32(i) == own.clearing:
			s.Clearing += a.balance
		default:
			s.Equity += a.balance
		}
		s.Total += a.balance
		sums[a.currency] = s
	}
	return sums
}

func (s Status) String() string {
	names := [...]string{"none", "debited", "declined", "reversed", "voided"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}
