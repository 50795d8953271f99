package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// ViolationsMax is how many violations a Report names; it counts all.
const ViolationsMax = 100

// Report is what an audit found. Amounts are minor units.
type Report struct {
	Records    uint64 `json:"records"`
	Bytes      int64  `json:"bytes"`
	TornBytes  int64  `json:"tornBytes"` // behind the last whole frame: a crash, or a core at work
	Accounts   uint64 `json:"accounts"`
	References uint64 `json:"references"` // payments the core was asked about, whatever it said
	Payments   uint64 `json:"payments"`   // payment ids among them

	Debits    uint64 `json:"debits"`    // debit postings; each reference may have one
	Reversals uint64 `json:"reversals"` // reversal postings
	Declined  uint64 `json:"declined"`
	Voided    uint64 `json:"voided"` // reversed before they were seen

	Currencies map[string]AuditSum `json:"currencies"` // by alphabetic code

	ViolationCount uint64   `json:"violationCount"`
	Violations     []string `json:"violations"` // the first ViolationsMax
}

// AuditSum is what an audit found in one currency, in minor units.
type AuditSum struct {
	Opened   int64 `json:"openedMinor"`
	Debited  int64 `json:"debitedMinor"`
	Reversed int64 `json:"reversedMinor"`
	Net      int64 `json:"netMinor"`      // debited less reversed
	Postings int64 `json:"postingsMinor"` // sum of all postings: 0
}

// OK reports whether nothing was violated.
func (r *Report) OK() bool { return r.ViolationCount == 0 }

// audit counts postings. It knows nothing of Book: what decided a record must not be what judges it.
type audit struct {
	report   Report
	accounts []auditAccount
	moves    map[Reference]moves
	payments map[[16]byte]int32 // debits less reversals, under whatever RRN
	sums     map[Currency]AuditSum
}

type auditAccount struct {
	currency Currency
	balance  int64
	own      bool
}

// moves are the postings made for one reference.
type moves struct {
	debits, reversals uint16
	minor             int64 // of the debit
	account           uint32
}

// Audit reads the ledger in dir, which may be in use, and changes nothing. It fails if the file cannot be read to its end;
// what is wrong with the money stands in the report.
func Audit(dir string) (Report, error) {
	path := filepath.Join(dir, FileName)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Report{}, fmt.Errorf("ledger: no ledger at %s; name the directory that the core was started with", path)
	}
	if err != nil {
		return Report{}, fmt.Errorf("ledger: %w", err)
	}
	defer f.Close()
	a := &audit{report: Report{Violations: []string{}}, moves: map[Reference]moves{}, payments: map[[16]byte]int32{}, sums: map[Currency]AuditSum{}}
	read, err := scanLog(f, func(r *Record) error { a.record(r); return nil })
	if err != nil {
		return a.report, err
	}
	a.report.Bytes, a.report.TornBytes, a.report.Records = read.good, read.torn, read.records
	a.conclude()
	return a.report, nil
}

func (a *audit) violation(format string, args ...any) {
	a.report.ViolationCount++
	if len(a.report.Violations) < ViolationsMax {
		a.report.Violations = append(a.report.Violations, fmt.Sprintf(format, args...))
	}
}

func (a *audit) record(r *Record) {
	switch r.Kind {
	case RecordOwn:
		a.accounts = append(a.accounts, auditAccount{currency: r.Currency, own: true})
		return
	case RecordAccount:
		a.report.Accounts++
		a.accounts = append(a.accounts, auditAccount{currency: r.Currency})
	case RecordDecline:
		a.report.Declined++
	case RecordVoid:
		a.report.Voided++
	}
	sum := a.sums[r.Currency]
	switch r.Kind {
	case RecordAccount:
		sum.Opened += r.Postings[0].Minor
	case RecordDebit:
		sum.Debited += r.Minor
	case RecordReversal:
		sum.Reversed += r.Minor
	}
	for _, p := range r.postings() {
		sum.Postings += p.Minor
	}
	a.sums[r.Currency] = sum
	a.post(r)
	if r.Kind != RecordAccount {
		a.refer(r)
	}
}

func (a *audit) post(r *Record) {
	for _, p := range r.postings() {
		if int(p.Account) >= len(a.accounts) {
			a.violation("a posting names account %d of %d", p.Account, len(a.accounts))
			continue
		}
		account := &a.accounts[p.Account]
		account.balance += p.Minor
		if account.currency != r.Currency {
			a.violation("a posting of %v is made to account %d, which is in %v", r.Currency, p.Account, account.currency)
		}
		if account.balance < 0 && !account.own {
			a.violation("account %d falls to %d minor units", p.Account, account.balance)
		}
	}
}

func (a *audit) refer(r *Record) {
	m := a.moves[r.Reference]
	switch r.Kind {
	case RecordDebit:
		a.report.Debits++
		m.debits++
		m.minor, m.account = r.Postings[1].Minor, r.Postings[0].Account
		if m.debits > 1 {
			a.violation("reference %s of payment %v is debited %d times", r.Reference.RRN[:], r.Reference.Payment, m.debits)
		}
		if r.Postings[0].Minor != -r.Minor || r.Postings[1].Minor != r.Minor || r.Minor <= 0 {
			a.violation("reference %s posts %d and %d for a debit of %d", r.Reference.RRN[:], r.Postings[0].Minor, r.Postings[1].Minor, r.Minor)
		}
		a.payments[r.Reference.Payment]++
	case RecordReversal:
		a.report.Reversals++
		m.reversals++
		if m.reversals > m.debits || r.Postings[0].Minor != m.minor || r.Postings[0].Account != m.account {
			a.violation("reference %s of payment %v is reversed %d times after %d debits, or by another amount or account", r.Reference.RRN[:], r.Reference.Payment, m.reversals, m.debits)
		}
		a.payments[r.Reference.Payment]--
	default:
		a.payments[r.Reference.Payment] += 0
	}
	a.moves[r.Reference] = m
}

func (a *audit) conclude() {
	a.report.References, a.report.Payments = uint64(len(a.moves)), uint64(len(a.payments))
	for payment, debits := range a.payments {
		if debits > 1 {
			a.violation("payment %x-%x-%x-%x-%x is debited %d times under different references", payment[:4], payment[4:6], payment[6:8], payment[8:10], payment[10:], debits)
		}
	}
	a.report.Currencies = make(map[string]AuditSum, len(a.sums))
	for _, currency := range slices.SortedFunc(maps.Keys(a.sums), func(x, y Currency) int { return slices.Compare(x[:], y[:]) }) {
		sum := a.sums[currency]
		sum.Net = sum.Debited - sum.Reversed
		a.report.Currencies[currency.String()] = sum
		if sum.Postings != 0 {
			a.violation("the postings in %v sum to %d minor units, not to 0", currency, sum.Postings)
		}
	}
}
