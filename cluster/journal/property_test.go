package journal

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"netbank/cluster/journal/command"

	"pgregory.net/rapid"
)

// The tests of this file throw random logs at the journal: commands in any order, repeated, late, of stale terms, by
// the wrong customer, with time standing still or leaping. After each command they look whether an invariant
// of the design still holds. The invariants are written here once more, in other words than in the code.

// crowd draws commands from a small world, so that they meet often.
type crowd struct {
	t     *rapid.T
	now   Millis
	term  uint64
	past  []*Command
	count int
	ids   int      // payments are drawn from 1 to ids
	m     *Machine // sessions and codes are drawn near those in force
}

const crowdPayments = 6

func smallLimits() Limits {
	l := DefaultLimits()
	l.OpenPayments, l.PartnerOpen, l.CommandIDs, l.Contradictions, l.Keys = 5, 4, 30, 3, 2
	l.Nodes, l.Coordinators, l.Tokens, l.TokenUses, l.Acts = 4, 3, 2, 2, 5
	l.Notices, l.PartnerNotices, l.Stored, l.PruneRecords, l.Customers, l.Partners = 40, 30, 12, 2, 3, 2
	return l
}

func (c *crowd) number(from, to int, name string) int {
	return rapid.IntRange(from, to).Draw(c.t, name)
}

func (c *crowd) payment() (int, []byte) {
	n := c.number(1, c.ids, "payment")
	id := paymentID(n, c.now-c.now%(12*hour)) // old ids meet until a new half day begins
	return n, id[:]
}

// command draws the next command, or one of the past again.
func (c *crowd) command() *Command {
	if len(c.past) > 0 && c.number(0, 9, "repeat") == 0 {
		return rapid.SampledFrom(c.past).Draw(c.t, "again")
	}
	c.count++
	cmd := wrap(named("command", strconv.Itoa(c.count)), c.body())
	c.past = append(c.past, cmd)
	return cmd
}

func (c *crowd) body() any {
	n, id := c.payment()
	who := uint64(c.number(1, 2, "customer"))
	switch c.number(0, 39, "kind") {
	case 0, 1, 2, 3:
		return c.creation(n, id)
	case 4:
		return &command.CancelPayment{PaymentId: id, Partner: uint32(c.number(0, 2, "partner"))}
	case 5, 6, 7, 8, 9, 10:
		return c.consent(id, who)
	case 11, 12:
		return &command.NotSent{PaymentId: id, Node: uint32(c.number(1, 2, "node")), Incarnation: uint64(c.number(1, 2, "life"))}
	case 13, 14, 15:
		code := rapid.SampledFrom([]string{"", "00", "05", "09", "25", "51", "91", "94", "96"}).Draw(c.t, "code")
		return &command.Settle{PaymentId: id, Outcome: command.Outcome(c.number(0, 3, "outcome")), ResponseCode: code}
	case 16, 17:
		return &command.MarkInDoubt{PaymentId: id}
	case 18, 19:
		return &command.BeginReversal{PaymentId: id}
	case 20, 21:
		return &command.Reversed{PaymentId: id, ResponseCode: "00"}
	case 22:
		_, other := c.payment()
		return &command.Expire{PaymentIds: [][]byte{id, other}}
	case 23, 24:
		return &command.Attempt{Customer: who, Factor: command.Factor(c.number(1, 2, "factor")), KnownDevice: rapid.Bool().Draw(c.t, "known")}
	case 25:
		return &command.SignIn{Customer: who, KnownDevice: rapid.Bool().Draw(c.t, "known")}
	case 26:
		return &command.EndSession{Customer: who, SessionEpoch: c.session(who)}
	case 27:
		return &command.OutboxDone{Partner: 1, Sequences: []uint64{uint64(c.number(1, 20, "sequence"))}, Delivery: command.Delivery(c.number(1, 3, "delivery"))}
	case 28:
		ago := func(what string) int64 { return int64(c.now) - int64(hour)*int64(c.number(0, 100, what)) }
		return &command.Prune{FinishedBeforeMs: ago("finished"), IdempotencyBeforeMs: ago("keys"), OutboxBeforeMs: ago("outbox")}
	case 29:
		return &command.Contradiction{PaymentId: id, Outcome: command.Outcome_OUTCOME_APPROVED, ResponseCode: strconv.Itoa(c.number(0, 9, "code"))}
	case 30:
		return c.record()
	case 31:
		return &command.BumpEpoch{}
	case 32, 33:
		return c.wish()
	case 36, 37:
		return &command.Arrive{PaymentId: id}
	case 38:
		return &command.Enter{PaymentId: id}
	case 39:
		return &command.MoveLine{Closed: c.number(0, 3, "closed") > 0, WatermarkMs: int64(c.now) - int64(c.number(-1, int(2*minute), "watermark"))}
	}
	return c.member()
}

// record draws what the bank itself keeps.
func (c *crowd) record() any {
	switch c.number(0, 3, "record") {
	case 0:
		return partner(uint32(c.number(1, 3, "partner")))
	case 1:
		if rapid.Bool().Draw(c.t, "limit") {
			return &command.FindLimit{Seats: uint32(c.number(1, 4096, "seats"))}
		}
		return &command.PutKey{Id: uint32(c.number(1, 9, "key")), Sealed: []byte("sealed")}
	case 2:
		put := customer(uint64(c.number(1, 4, "customer")), rapid.SampledFrom([]string{"alice", "bob", "carol"}).Draw(c.t, "name"))
		put.ResetPassword = c.number(0, 3, "reset") == 0
		return put
	}
	if c.number(0, 1, "clear") == 0 {
		return &command.FactorPassed{Customer: uint64(c.number(1, 4, "customer")), SessionEpoch: uint64(c.number(0, 5, "session"))}
	}
	if c.number(0, 1, "change") == 0 {
		who := uint64(c.number(1, 4, "customer"))
		from, to := rapid.SampledFrom([]string{"sealed", "other"}).Draw(c.t, "from"), rapid.SampledFrom([]string{"sealed", "other"}).Draw(c.t, "to")
		if rapid.Bool().Draw(c.t, "factor") {
			a, _ := c.m.Access(CustomerID(who))
			return replacePassword(who, c.session(who), from, to, a.TOTPStep+int64(c.number(0, 2, "step")))
		}
		return changePassword(who, c.session(who), from, to)
	}
	return &command.Unlock{Customer: 1}
}

func (c *crowd) creation(n int, id []byte) any {
	b := bank{now: c.now}
	cmd := b.creation(n)
	cmd.PaymentId = id
	if c.number(0, 4, "other key") == 0 {
		cmd.IdempotencyKey = named("key", strconv.Itoa(c.number(1, c.ids, "key")))
	}
	if rapid.Bool().Draw(c.t, "no webhook") {
		cmd.NotificationUri = ""
	}
	if rapid.Bool().Draw(c.t, "from") {
		cmd.DebtorAccount = account(1)
	}
	return cmd
}

func (c *crowd) consent(id []byte, who uint64) any {
	b := bank{now: c.now}
	a, _ := c.m.Access(CustomerID(who))
	cmd := b.consent(PaymentID(id), a.TOTPStep+int64(c.number(0, 4, "step")))
	cmd.Customer, cmd.SessionEpoch = who, c.session(who)
	cmd.Node, cmd.Incarnation = uint32(c.number(1, 2, "node")), uint64(c.number(1, 2, "life"))
	cmd.DebtorAccount = account(uint64(c.number(1, 8, "from"))%8/7 + who) // now and then another customer's
	if c.number(0, 9, "amount") == 0 {
		cmd.AmountMinor++
	}
	return cmd
}

// session draws the newest session, or sometimes one before it.
func (c *crowd) session(who uint64) uint64 {
	a, _ := c.m.Access(CustomerID(who))
	return uint64(max(1, int(a.Epoch)-max(0, c.number(0, 5, "session")-3)))
}

// step is one command applied alone, and what was there before.
type step struct {
	cmd       *Command
	batchTerm uint64
	entryTerm uint64
	before    map[PaymentID]Payment
	access    map[CustomerID]Access
	result    Result
	changes   []Change
	m         *Machine
}

// walk applies a random log and shows each step. It gives the log as it would stand on disk.
func walk(t *rapid.T, m *Machine, see func(step)) []entry {
	return walkFor(t, m, rapid.IntRange(20, 120).Draw(t, "steps"), crowdPayments, see)
}

func walkFor(t *rapid.T, m *Machine, steps, ids int, see func(step)) []entry {
	c := &crowd{t: t, now: morning, term: 1, ids: ids, m: m}
	var log []entry
	first := []any{partner(1), customer(1, "alice"), customer(2, "bob"), &command.SignIn{Customer: 1}, &command.SignIn{Customer: 2}}
	for i := range len(first) + steps {
		var cmd *Command
		entryTerm := c.term
		if i < len(first) {
			cmd = wrap(named("first", strconv.Itoa(i)), first[i])
		} else {
			switch c.number(0, 19, "event") {
			case 0:
				c.term++
				entryTerm = c.term
			case 1:
				entryTerm = c.term + 1
			case 2:
				c.now += Millis(c.number(0, int(40*minute), "wait"))
			case 3:
				c.now -= Millis(c.number(0, int(minute), "back"))
			case 4:
				if c.number(0, 3, "leaps") == 0 {
					c.now += Millis(c.number(0, int(60*hour), "leap"))
				}
			}
			cmd = c.command()
		}
		s := step{cmd: cmd, batchTerm: c.term, entryTerm: entryTerm, before: paymentsOf(m), access: accessOf(m), m: m}
		b := &Batch{Version: Version, Term: c.term, StampMs: int64(c.now), Commands: []*Command{cmd}}
		results, changes, err := m.Apply(entryTerm, b, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		bytes, err := b.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, entry{entryTerm, bytes})
		s.result, s.changes = results[0], changes
		if see != nil {
			see(s)
		}
	}
	return log
}

// entry is a Raft log entry as it stands on disk.
type entry struct {
	term  uint64
	bytes []byte
}

func (e entry) apply(t interface{ Fatal(...any) }, m *Machine) []Result {
	var b Batch
	if err := b.UnmarshalVT(e.bytes); err != nil {
		t.Fatal(err)
	}
	results, _, err := m.Apply(e.term, &b, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func paymentsOf(m *Machine) map[PaymentID]Payment {
	all := map[PaymentID]Payment{}
	m.Payments(func(p Payment) bool {
		all[p.ID] = p
		return true
	})
	return all
}

func accessOf(m *Machine) map[CustomerID]Access {
	all := map[CustomerID]Access{}
	for id := CustomerID(1); id <= 4; id++ {
		if a, ok := m.Access(id); ok {
			all[id] = a
		}
	}
	return all
}

func newSmall() *Machine { return New(NewMemoryStore(), smallLimits()) }

func TestAtMostOneDebit_OneGrantAndOneReferenceAPayment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		granted := map[PaymentID]Payment{}
		references := map[string]PaymentID{}
		walk(t, newSmall(), func(s step) {
			for _, c := range s.changes {
				if c.To != StateAuthorised {
					continue
				}
				if first, twice := granted[c.Payment]; twice {
					t.Fatalf("%v was granted to %v and again", c.Payment, first.Executor)
				}
				if s.batchTerm != s.entryTerm {
					t.Fatalf("%v was granted by the gate of term %d in an entry of term %d", c.Payment, s.batchTerm, s.entryTerm)
				}
				p, _ := s.m.Payment(c.Payment)
				if other, taken := references[p.Wire.RRN]; taken {
					t.Fatalf("%v and %v have the reference %s", other, p.ID, p.Wire.RRN)
				}
				granted[p.ID], references[p.Wire.RRN] = p, p.ID
			}
			// Whoever is told Done for an Authorise is the executor that stands in the payment.
			if a := s.cmd.GetAuthorise(); a != nil && s.result.Verdict == Done && s.result.Payment.Executor != (Executor{NodeID(a.Node), a.Incarnation}) {
				t.Fatalf("done for %v, but the executor is %v", a, s.result.Payment.Executor)
			}
			for id, p := range paymentsOf(s.m) {
				if first, ok := granted[id]; ok && (p.Executor != first.Executor || p.Wire != first.Wire || p.Customer != first.Customer || p.Granted != first.Granted) {
					t.Fatalf("the grant %+v became %+v", first, p)
				}
			}
		})
	})
}

func TestStatusNeverGoesBack_WhateverComes(t *testing.T) {
	next := map[State][]State{
		StateNone:       {StateReceived},
		StateReceived:   {StateAuthorised, StateCancelled, StateExpired},
		StateAuthorised: {StateSettled, StateRejected, StateInDoubt},
		StateInDoubt:    {StateSettled, StateRejected, StateReversing},
		StateReversing:  {StateRejected},
	}
	rapid.Check(t, func(t *rapid.T) {
		walk(t, newSmall(), func(s step) {
			now := paymentsOf(s.m)
			changed := map[PaymentID]bool{}
			for _, c := range s.changes {
				if changed[c.Payment] {
					t.Fatalf("one command changed %v twice", c.Payment)
				}
				changed[c.Payment] = true
				if !slices.Contains(next[c.From], c.To) {
					t.Fatalf("%v went from %v to %v", c.Payment, c.From, c.To)
				}
				if before := s.before[c.Payment]; before.State != c.From || before.Version+1 != c.Version || now[c.Payment].Version != c.Version {
					t.Fatalf("%+v, but it was %v version %d", c, before.State, before.Version)
				}
			}
			for id, p := range s.before {
				after, kept := now[id]
				if !kept && (!p.State.Final() || s.cmd.GetPrune() == nil) {
					t.Fatalf("%v, which was %v, is gone", id, p.State)
				}
				if kept && !changed[id] && after != p {
					t.Fatalf("without a change\n%+v became\n%+v", p, after)
				}
			}
			if s.result.Verdict != Done && len(s.changes) > 0 {
				t.Fatalf("the verdict is %v, and yet %v", s.result.Verdict, s.changes)
			}
		})
	})
}

func TestBoundConsent_EveryGrantIsWhatTheCustomerSaw(t *testing.T) {
	grants := 0
	rapid.Check(t, func(t *rapid.T) {
		walk(t, newSmall(), func(s step) {
			a := s.cmd.GetAuthorise()
			if a == nil || s.result.Verdict != Done {
				return
			}
			grants++
			p, who := s.before[PaymentID(a.PaymentId)], s.access[CustomerID(a.Customer)]
			f := func(holds bool, what string) {
				t.Helper()
				if !holds {
					t.Fatalf("granted although %s:\n%+v\n%+v\n%+v", what, a, p, who)
				}
			}
			f(p.State == StateReceived, "it was not received")
			f(p.Amount == Money{a.AmountMinor, a.Currency}, "the amount differs")
			f(p.CreditorAccount == a.CreditorAccount && p.CreditorName == a.CreditorName, "the payee differs")
			f(p.DebtorAccount == "" || p.DebtorAccount == a.DebtorAccount, "the partner asked for another account")
			c, _ := s.m.CustomerByID(CustomerID(a.Customer))
			f(slices.ContainsFunc(c.Accounts, func(own Account) bool { return own.Number == a.DebtorAccount && own.Currency == a.Currency }), "it is not her account")
			f(uint64(who.Epoch) == a.SessionEpoch && !who.Ended, "the session is not in force")
			f(s.m.Now()-who.SignedIn < 30*minute && int64(s.m.Now()) < a.SessionExpiresMs, "the session is over")
			f(p.Expires > s.m.Now(), "its time is over")
			f(a.FactorStep > who.TOTPStep, "the code was used")
			f(s.result.Payment.DebtorAccount == a.DebtorAccount && s.result.Payment.Customer == CustomerID(a.Customer), "something else is stored")
			f(s.result.Access.TOTPStep == a.FactorStep, "the code is still good")
		})
	})
	if grants < 20 {
		t.Errorf("only %d grants were looked at; the random world is off", grants)
	}
}

func TestOutMeansOut_NoGrantToAnEndedSession(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type session struct {
			customer uint64
			epoch    Epoch
		}
		newest, ended := map[uint64]Epoch{}, map[session]bool{}
		walk(t, newSmall(), func(s step) {
			switch {
			case s.cmd.GetSignIn() != nil && s.result.Verdict == Done:
				who := s.cmd.GetSignIn().Customer
				ended[session{who, newest[who]}] = true
				newest[who] = s.result.Access.Epoch
			case s.cmd.GetChangePassword() != nil && s.result.Verdict == Done:
				who := s.cmd.GetChangePassword().Customer
				ended[session{who, newest[who]}] = true
				newest[who] = s.result.Access.Epoch
			case s.cmd.GetReplacePassword() != nil && s.result.Verdict == Done:
				who := s.cmd.GetReplacePassword().Customer
				ended[session{who, newest[who]}] = true
				newest[who] = s.result.Access.Epoch
			case s.cmd.GetEndSession() != nil && s.result.Verdict == Done:
				e := s.cmd.GetEndSession()
				ended[session{e.Customer, Epoch(e.SessionEpoch)}] = true
			case s.cmd.GetAttempt().GetFactor() == command.Factor_FACTOR_TOTP && s.result.Verdict == Locked:
				who := s.cmd.GetAttempt().Customer
				ended[session{who, newest[who]}] = true
			}
			if a := s.cmd.GetAuthorise(); a != nil && s.result.Verdict == Done && ended[session{a.Customer, Epoch(a.SessionEpoch)}] {
				t.Fatalf("granted to session %d of customer %d, which has ended", a.SessionEpoch, a.Customer)
			}
		})
	})
}

func TestUnknownIsNotFailed_OnlyTheCoresWordEndsADoubt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		walk(t, newSmall(), func(s step) {
			for _, c := range s.changes {
				word, code := s.cmd.GetSettle().GetOutcome(), s.cmd.GetSettle().GetResponseCode()
				notSent := s.cmd.GetNotSent() != nil
				doubtful := slices.Contains([]string{"09", "25", "94", "96"}, code)
				switch {
				case c.From == StateReversing && s.cmd.GetReversed() == nil:
					t.Fatalf("%v left reversing by %v", c, s.cmd)
				case c.To == StateSettled && word != command.Outcome_OUTCOME_APPROVED:
					t.Fatalf("%v was settled by %v", c, s.cmd)
				case c.From == StateAuthorised && c.To == StateRejected && !notSent && (word != command.Outcome_OUTCOME_DECLINED || doubtful),
					c.From == StateInDoubt && c.To == StateRejected && (word != command.Outcome_OUTCOME_DECLINED || doubtful):
					t.Fatalf("%v failed by %v", c, s.cmd)
				}
			}
		})
	})
}

func TestToldOnceCommitted_EachChangeStandsInTheOutboxUntilItIsTakenOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := map[uint64]Notice{}
		last := uint64(0)
		walk(t, newSmall(), func(s step) {
			disabled := false
			if done := s.cmd.GetOutboxDone(); done != nil && s.result.Verdict == Done {
				if done.Delivery == command.Delivery_DELIVERY_GONE {
					clear(want)
				}
				for _, sequence := range done.Sequences {
					delete(want, sequence)
				}
			}
			if p, ok := s.m.Partner(1); ok {
				disabled = p.WebhooksDisabled
			}
			for _, c := range s.changes {
				p, _ := s.m.Payment(c.Payment)
				if c.From != StateNone && p.NotificationURI != "" && !disabled {
					last++
					want[last] = Notice{last, p.Partner, p.ID, c.Version, c.To, p.Reason, s.m.Now()}
				}
			}
			got := map[uint64]Notice{}
			for _, n := range s.m.Notices(1, 0, 1000) {
				got[n.Sequence] = n
			}
			if prune := s.cmd.GetPrune(); prune != nil {
				for sequence, n := range want {
					if _, kept := got[sequence]; !kept && n.At < Millis(prune.OutboxBeforeMs) {
						delete(want, sequence)
					}
				}
			}
			if !maps.Equal(got, want) {
				t.Fatalf("after %v the outbox is\n%v\nwant\n%v", s.cmd, got, want)
			}
		})
	})
}

func TestEverythingIsBounded_NoTableOutgrowsItsLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := smallLimits()
		l.OpenPayments = rapid.IntRange(2, 5).Draw(t, "open") // sometimes all partners' limit is met first
		m := New(NewMemoryStore(), l)
		walk(t, m, func(s step) {
			c := s.m.Counts()
			f := func(got, limit int, what string) {
				t.Helper()
				if got > limit || got < 0 {
					t.Fatalf("%d %s, the limit is %d", got, what, limit)
				}
			}
			f(c.Open, l.OpenPayments, "open payments")
			f(c.Outbox, l.Notices, "notices")
			f(c.Partners, l.Partners, "partners")
			f(c.Customers, l.Customers, "customers")
			f(c.Keys, l.Keys, "keys")
			f(c.CommandIDs, l.CommandIDs, "command ids")
			f(c.IdempotencyKeys, l.Stored, "idempotency keys")
			f(c.Contradictions, l.Contradictions, "contradictions")
			f(c.Nodes, l.Nodes, "nodes")
			f(c.Tokens, l.Tokens, "tokens")
			stored := 0
			for _, n := range c.ByState {
				stored += int(n)
			}
			f(stored, l.Stored, "payments")
			for _, p := range c.PerPartner {
				f(p.Open, l.PartnerOpen, "open payments of one partner")
				f(p.Outbox, l.PartnerNotices, "notices of one partner")
			}
			consistent(t, s.m)
		})
	})
}

// consistent checks the tables against each other and against the store.
func consistent(t *rapid.T, m *Machine) {
	t.Helper()
	rows := map[byte]int{}
	_ = m.store.Scan([]byte{0}, []byte{0xff}, func(key, _ []byte) bool {
		rows[key[0]]++
		return true
	})
	c := m.Counts()
	finished := 0
	for _, n := range m.finished {
		finished += int(n)
	}
	f := func(got, want int, what string) {
		t.Helper()
		if got != want {
			t.Fatalf("%s: %d, want %d", what, got, want)
		}
	}
	f(rows[keyPayment], finished, "finished payments in the store")
	f(rows[keyNotice], c.Outbox, "notices in the store")
	f(rows[keyIdempotency], c.IdempotencyKeys, "idempotency keys in the store")
	f(rows[keyTime], c.IdempotencyKeys, "times of idempotency keys in the store")
	f(rows[keyCustomer], c.Customers, "customers in the store")
	f(rows[keyUsername], c.Customers, "usernames in the store")
	f(len(m.open.expiry)+m.open.granted, c.Open, "open payments in their orders")
	f(m.open.cells.len(), c.Open, "cells in use")
	f(m.seen.cells.len(), len(m.seen.index), "command ids")
	histories(t, m)
	blocks := 0
	for _, slot := range inOrder(&m.open.cells) {
		blocks += (int(m.open.cells.at(slot).textBytes) + 59) / 60
	}
	f(m.open.texts.blocks.len(), blocks, "blocks of text")
	for i, d := range m.open.expiry {
		f(int(m.open.links[d.slot].heap), i, "place in the heap")
		if parent := (i - 1) / 2; i > 0 && m.open.sooner(d, m.open.expiry[parent]) {
			t.Fatalf("the heap is out of order at %d", i)
		}
	}
}

// histories holds what customers are shown of their payments to what there is, in pages of two.
func histories(t *rapid.T, m *Machine) {
	t.Helper()
	want := map[CustomerID][]Payment{}
	m.Payments(func(p Payment) bool {
		if p.Granted != 0 {
			want[p.Customer] = append(want[p.Customer], p)
		}
		return true
	})
	for customer := CustomerID(0); customer <= 4; customer++ {
		slices.SortFunc(want[customer], func(a, b Payment) int { return strings.Compare(b.Wire.RRN, a.Wire.RRN) })
		var got []Payment
		for last := (PaymentID{}); ; last = got[len(got)-1].ID {
			n := len(got)
			if got = m.PaymentsOf(got, customer, last, 2); len(got) < n+2 {
				break
			}
		}
		if !slices.Equal(got, want[customer]) {
			t.Fatalf("customer %d is shown\n%v\nwant\n%v", customer, got, want[customer])
		}
	}
	keys := 0
	_ = m.store.Scan([]byte{keyHistory, 0}, []byte{keyHistory + 1}, func(_, _ []byte) bool {
		keys++
		return true
	})
	for _, customers := range want {
		for i := range customers {
			if customers[i].State.Final() {
				keys--
			}
		}
	}
	if keys != 0 || len(m.open.byCustomer) > m.open.granted {
		t.Fatalf("%d keys too many in the store, %d lists of %d granted payments", keys, len(m.open.byCustomer), m.open.granted)
	}
}

func TestNothingAcknowledgedIsLost_SnapshotAndReplayGiveTheSameState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newSmall()
		var answers []Result
		log := walk(t, m, func(s step) { answers = append(answers, s.result) })
		want, wantStore := m.Digest(), storeDigest(t, m)

		// A second node replays the log, is stopped somewhere, and goes on from its snapshot.
		store := NewMemoryStore()
		n := New(store, smallLimits())
		stop := rapid.IntRange(0, len(log)).Draw(t, "stop")
		for _, e := range log[:stop] {
			e.apply(t, n)
		}
		live, saved := n.Live(), store.Clone()
		for i, e := range log[stop:] {
			for j, r := range e.apply(t, n) {
				if r != answers[stop+i+j] {
					t.Fatalf("replayed, %v answered %+v, first %+v", e, r, answers[stop+i])
				}
			}
		}
		if n.Digest() != want || storeDigest(t, n) != wantStore {
			t.Fatal("the same log gave another state")
		}
		var snapshot bytes.Buffer
		if _, err := live.WriteTo(&snapshot); err != nil { // after Apply went on: it must be of the moment it was taken
			t.Fatal(err)
		}
		again := New(saved, smallLimits())
		size := int64(snapshot.Len())
		snapshot.WriteString("what follows")
		if got, err := again.ReadFrom(&snapshot); err != nil || got != size {
			t.Fatalf("read %d of %d bytes: %v", got, size, err)
		}
		for _, e := range log[stop:] {
			e.apply(t, again)
		}
		if again.Digest() != want || storeDigest(t, again) != wantStore {
			t.Fatal("snapshot and replay gave another state than replay")
		}
		if a, b := fmt.Sprint(again.Expired(stampMax, 100)), fmt.Sprint(m.Expired(stampMax, 100)); a != b {
			t.Fatalf("expired: %s, want %s", a, b)
		}
		histories(t, again)
		if a, b := unresolved(again), unresolved(m); !slices.Equal(a, b) {
			t.Fatalf("unresolved: %v, want %v", a, b)
		}
		if a, b := again.Line(), m.Line(); a != b {
			t.Fatalf("the line: %+v, want %+v", a, b)
		}
	})
}

func unresolved(m *Machine) (all []Open) {
	m.Unresolved(func(o Open) bool {
		all = append(all, o)
		return true
	})
	return all
}

func storeDigest(t *rapid.T, m *Machine) [32]byte {
	t.Helper()
	sum, err := m.StoreDigest()
	if err != nil {
		t.Fatal(err)
	}
	return sum
}
