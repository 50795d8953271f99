package ledger

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

var cny, eur = Currency{'C', 'N', 'Y'}, Currency{'E', 'U', 'R'}

func number(t testing.TB, digits string) Number {
	t.Helper()
	n, err := ParseNumber(digits)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// reference makes the n-th reference of a test.
func reference(n int) Reference {
	var ref Reference
	copy(ref.RRN[:], fmt.Sprintf("%012d", n))
	ref.Payment = uuid.UUID{6: 0x70, 8: 0x80, 12: byte(n >> 24), 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)}
	return ref
}

// pureLedger decides and applies as Ledger does, and keeps the bytes that would be written.
type pureLedger struct {
	t    testing.TB
	book *Book
	log  []byte
}

func newPureLedger(t testing.TB, accounts ...Account) *pureLedger {
	p := &pureLedger{t: t, book: NewBook()}
	for _, a := range accounts {
		p.open(a)
	}
	return p
}

func (p *pureLedger) open(a Account) Outcome {
	p.t.Helper()
	var out Outcome
	for _, r := range p.book.DecideOpen(a, &out, nil) {
		p.apply(&r)
	}
	return out
}

func (p *pureLedger) apply(r *Record) {
	p.t.Helper()
	p.log = appendRecord(p.log, r)
	if err := p.book.Apply(r); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pureLedger) do(op Op) Outcome {
	p.t.Helper()
	out, record := p.book.Decide(&op)
	if record.Kind != 0 {
		p.apply(&record)
	}
	return out
}

func (p *pureLedger) replayed() *Book {
	p.t.Helper()
	book := NewBook()
	var r Record
	for rest := p.log; len(rest) > 0; {
		var err error
		if rest, err = parseRecord(rest, &r); err != nil {
			p.t.Fatal(err)
		}
		if err := book.Apply(&r); err != nil {
			p.t.Fatal(err)
		}
	}
	return book
}

func TestDebit_GivesTheCodeOfTheFirstRuleThatForbidsIt(t *testing.T) {
	const account = "6222020000000000001"
	f := func(want string, minor int64, currency Currency, digits string) {
		t.Helper()
		p := newPureLedger(t, Account{Number: number(t, account), Currency: cny, Balance: 1000, Limit: 800}, Account{Number: number(t, "99"), Currency: eur})
		out := p.do(Op{Kind: OpDebit, Reference: reference(1), Number: number(t, digits), Minor: minor, Currency: currency})
		if out.Code.String() != want {
			t.Errorf("debit of %d %v: %v, want %s", minor, currency, out.Code, want)
		}
		if (out.ApprovalCode() != "") != (want == "00") {
			t.Errorf("approval code %q with code %v", out.ApprovalCode(), out.Code)
		}
	}
	f("00", 800, cny, account)
	f("61", 801, cny, account)
	f("05", 800, eur, account)
	f("05", 0, cny, account)
	f("05", -5, cny, account)
	f("14", 1, cny, "6222020000000000002")
	f("51", 1, eur, "99")
}

func TestAtMostOneDebit_ARepeatGetsTheFirstAnswer(t *testing.T) {
	p := newPureLedger(t, Account{Number: number(t, "1"), Currency: cny, Balance: 1000})
	debit := func(ref int, minor int64) Outcome {
		return p.do(Op{Kind: OpDebit, Reference: reference(ref), Number: number(t, "1"), Minor: minor, Currency: cny})
	}
	first := debit(1, 700)
	if again := debit(1, 700); again.Code != CodeApproved || again.Approval != first.Approval || !again.Repeat {
		t.Errorf("repeat: %+v, first was %+v", again, first)
	}
	if out := debit(2, 700); out.Code != CodeInsufficient {
		t.Errorf("second reference: %v, want 51", out.Code)
	}
	p.do(Op{Kind: OpReverse, Reference: reference(1), Number: number(t, "1"), Minor: 700, Currency: cny})
	if again := debit(2, 700); again.Code != CodeInsufficient {
		t.Errorf("repeat of a decline, the money being there now: %v, want the first answer, 51", again.Code)
	}
	if out := debit(3, 1000); out.Code != CodeApproved {
		t.Errorf("a new reference after the reversal: %v, want 00", out.Code)
	}
	if out := debit(3, 999); out.Code != CodeDuplicate {
		t.Errorf("known reference, other amount: %v, want 94", out.Code)
	}
}

func TestReversal_OfAnUnseenReferenceForbidsItsDebitForEver(t *testing.T) {
	p := newPureLedger(t, Account{Number: number(t, "1"), Currency: cny, Balance: 1000})
	reverse := Op{Kind: OpReverse, Reference: reference(1), Number: number(t, "1"), Minor: 700, Currency: cny}
	debit := Op{Kind: OpDebit, Reference: reference(1), Number: number(t, "1"), Minor: 700, Currency: cny}
	for range 2 {
		if out := p.do(reverse); out.Code != CodeApproved {
			t.Fatalf("reversal: %v, want 00", out.Code)
		}
	}
	for range 2 {
		if out := p.do(debit); out.Code != CodeReversed {
			t.Fatalf("debit after its reversal: %v, want 21", out.Code)
		}
	}
	if out := p.do(Op{Kind: OpInquire, Reference: reference(1)}); out.Code != CodeReversed {
		t.Errorf("inquiry: %v, want 21", out.Code)
	}
	if out := p.do(Op{Kind: OpBalance, Number: number(t, "1"), Currency: cny}); out.Balance != 1000 {
		t.Errorf("balance %d, want 1000: no money may move", out.Balance)
	}
}

func TestReversal_OfADoneDebitPostsTheReverseOnce(t *testing.T) {
	p := newPureLedger(t, Account{Number: number(t, "1"), Currency: cny, Balance: 1000})
	debit := Op{Kind: OpDebit, Reference: reference(1), Number: number(t, "1"), Minor: 700, Currency: cny}
	reverse := debit
	reverse.Kind = OpReverse
	other := reverse
	other.Minor = 699
	p.do(debit)
	if out := p.do(other); out.Code != CodeDuplicate {
		t.Errorf("reversal of another amount: %v, want 94", out.Code)
	}
	for range 3 {
		if out := p.do(reverse); out.Code != CodeApproved {
			t.Fatalf("reversal: %v, want 00", out.Code)
		}
	}
	if out := p.do(debit); out.Code != CodeReversed {
		t.Errorf("repeat of a reversed debit: %v, want 21", out.Code)
	}
	if out := p.do(Op{Kind: OpBalance, Number: number(t, "1"), Currency: cny}); out.Balance != 1000 {
		t.Errorf("balance %d, want 1000", out.Balance)
	}
}

func TestReversal_OfADeclinedDebitChangesNothing(t *testing.T) {
	p := newPureLedger(t, Account{Number: number(t, "1"), Currency: cny, Balance: 10})
	op := Op{Kind: OpDebit, Reference: reference(1), Number: number(t, "1"), Minor: 700, Currency: cny}
	p.do(op)
	op.Kind = OpReverse
	if out := p.do(op); out.Code != CodeApproved {
		t.Errorf("reversal: %v, want 00", out.Code)
	}
	if out := p.do(Op{Kind: OpInquire, Reference: reference(1)}); out.Code != CodeDeclined {
		t.Errorf("inquiry: %v, want 05", out.Code)
	}
}

func TestForcedDecline_IsTheFirstAnswerUnlessItSaysUnavailable(t *testing.T) {
	p := newPureLedger(t, Account{Number: number(t, "1"), Currency: cny, Balance: 1000})
	op := Op{Kind: OpDebit, Reference: reference(1), Number: number(t, "1"), Minor: 700, Currency: cny, Decline: Code{'6', '2'}}
	if out := p.do(op); out.Code.String() != "62" {
		t.Errorf("forced: %v, want 62", out.Code)
	}
	op.Decline = Code{}
	if out := p.do(op); out.Code.String() != "62" {
		t.Errorf("repeat: %v, want the first answer, 62", out.Code)
	}
	op.Reference, op.Decline = reference(2), CodeUnavailable
	if out := p.do(op); out.Code != CodeUnavailable {
		t.Errorf("forced: %v, want 91", out.Code)
	}
	if out := p.do(Op{Kind: OpInquire, Reference: reference(2)}); out.Code != CodeUnknown {
		t.Errorf("inquiry after 91: %v, want 25: not done is not recorded", out.Code)
	}
}

func TestOpen_LeavesWhatIsThereAndRefusesWhatCannotBe(t *testing.T) {
	p := newPureLedger(t, Account{Number: number(t, "1"), Currency: cny, Balance: 1000})
	f := func(want Outcome, a Account) {
		t.Helper()
		if got := p.open(a); got != want {
			t.Errorf("opening %+v: %+v, want %+v", a, got, want)
		}
	}
	f(Outcome{Existing: 1}, Account{Number: number(t, "1"), Currency: cny, Balance: 5})
	f(Outcome{Refused: 1}, Account{Number: number(t, "1"), Currency: eur})
	f(Outcome{Refused: 1}, Account{Number: number(t, "2"), Currency: cny, Balance: -1})
	f(Outcome{Refused: 1}, Account{Number: number(t, "2"), Currency: cny, Balance: MinorMax + 1})
	f(Outcome{Refused: 1}, Account{Number: number(t, "2"), Currency: cny, Limit: -1})
	f(Outcome{Refused: 1}, Account{Currency: cny})
	f(Outcome{Opened: 1}, Account{Number: number(t, "01"), Currency: cny, Balance: MinorMax})
	if out := p.do(Op{Kind: OpBalance, Number: number(t, "1"), Currency: cny}); out.Balance != 1000 {
		t.Errorf("balance %d, want 1000", out.Balance)
	}
}

func TestApply_RefusesARecordThatContradictsTheOnesBefore(t *testing.T) {
	f := func(what string, r Record) {
		t.Helper()
		p := newPureLedger(t, Account{Number: number(t, "1"), Currency: cny, Balance: 1000})
		p.do(Op{Kind: OpDebit, Reference: reference(1), Number: number(t, "1"), Minor: 700, Currency: cny})
		if err := p.book.Apply(&r); err == nil {
			t.Errorf("%s was applied", what)
		}
	}
	debit := Record{Kind: RecordDebit, Reference: reference(1), Number: number(t, "1"), Minor: 1, Currency: cny, Postings: [2]Posting{{2, -1}, {1, 1}}}
	f("a second debit of a reference", debit)
	debit.Reference, debit.Postings = reference(2), [2]Posting{{2, -301}, {1, 301}}
	f("a debit below zero", debit)
	debit.Postings = [2]Posting{{3, -1}, {1, 1}}
	f("a posting to an account that is not there", debit)
	f("a reversal of what was not debited", Record{Kind: RecordReversal, Reference: reference(3), Postings: [2]Posting{{2, 1}, {1, -1}}})
	f("an account a second time", Record{Kind: RecordAccount, Number: number(t, "1"), Currency: cny, Postings: [2]Posting{{3, 0}, {0, 0}}})
	f("an unknown kind", Record{Kind: 99})
}

func drawOp(r *rapid.T, t testing.TB) Op {
	op := Op{
		Kind:      rapid.SampledFrom([]Kind{OpDebit, OpDebit, OpDebit, OpReverse, OpInquire, OpBalance}).Draw(r, "kind"),
		Reference: reference(rapid.IntRange(1, 12).Draw(r, "reference")),
		Number:    number(t, rapid.SampledFrom([]string{"1", "2", "3", "4"}).Draw(r, "account")),
		Minor:     rapid.Int64Range(0, 600).Draw(r, "minor"),
		Currency:  rapid.SampledFrom([]Currency{cny, cny, cny, eur}).Draw(r, "currency"),
	}
	if rapid.IntRange(0, 9).Draw(r, "forced") == 0 {
		op.Decline = rapid.SampledFrom([]Code{CodeDeclined, CodeUnavailable, {'6', '2'}}).Draw(r, "decline")
	}
	return op
}

func TestAtMostOneDebit_WhateverIsAskedInWhateverOrderMoneyIsConserved(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := newPureLedger(t,
			Account{Number: number(t, "1"), Currency: cny, Balance: 1000}, Account{Number: number(t, "2"), Currency: cny, Balance: 300, Limit: 200},
			Account{Number: number(t, "3"), Currency: eur, Balance: 500})
		first := map[Reference]Code{}
		for range rapid.IntRange(1, 60).Draw(r, "operations") {
			op := drawOp(r, t)
			before := p.book.Balances()
			out := p.do(op)
			if op.Kind == OpDebit && out.Code != CodeUnavailable {
				if was, known := first[op.Reference]; known && out.Code != was && out.Code != CodeReversed && out.Code != CodeDuplicate {
					r.Fatalf("reference %s was answered %v, then %v", op.Reference.RRN[:], was, out.Code)
				} else if !known {
					first[op.Reference] = out.Code
				}
				if out.Repeat && !reflect.DeepEqual(before, p.book.Balances()) {
					r.Fatalf("a repeat moved money")
				}
			}
			for currency, sum := range p.book.Balances() {
				if sum.Total != 0 || sum.Clearing < 0 || sum.Customers != -sum.Equity-sum.Clearing {
					r.Fatalf("%v does not balance: %+v", currency, sum)
				}
			}
		}
		entries := make([]Entry, 64)
		for _, e := range entries[:p.book.Entries(0, entries)] {
			if e.Debits > 1 {
				r.Fatalf("reference %s has %d debits", e.Reference.RRN[:], e.Debits)
			}
		}
	})
}

func TestReplay_GivesTheSameBook(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := newPureLedger(t, Account{Number: number(t, "1"), Currency: cny, Balance: 1000}, Account{Number: number(t, "3"), Currency: eur, Balance: 500})
		for range rapid.IntRange(0, 60).Draw(r, "operations") {
			p.do(drawOp(r, t))
		}
		again := p.replayed()
		p.book.sums.Duplicates, p.book.sums.Mismatched = 0, 0 // counted since the start
		if !reflect.DeepEqual(again, p.book) {
			r.Fatalf("replay of %d records gives another book", p.book.records)
		}
	})
}
