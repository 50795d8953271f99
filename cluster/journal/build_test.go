package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"netbank/cluster/journal/command"
)

// The tests' world begins here: 2010-11-11 10:00:00 UTC, when the pages began to crawl.
const morning Millis = 1_289_469_600_000

// paymentID gives the UUID of version 7 of payment n, created at the given time.
func paymentID(n int, at Millis) PaymentID {
	var id PaymentID
	binary.BigEndian.PutUint64(id[:8], uint64(at)<<16)
	id[6] = 0x70
	id[8] = 0x80
	binary.BigEndian.PutUint32(id[12:], uint32(n))
	return id
}

func named(kind, name string) []byte {
	sum := sha256.Sum256([]byte(kind + "/" + name))
	return sum[:16]
}

// wrap puts a body into a command.
func wrap(id []byte, body any) *Command {
	c := &Command{Id: id}
	switch b := body.(type) {
	case *command.PutPartner:
		c.Body = &command.Command_PutPartner{PutPartner: b}
	case *command.PutCustomer:
		c.Body = &command.Command_PutCustomer{PutCustomer: b}
	case *command.PutKey:
		c.Body = &command.Command_PutKey{PutKey: b}
	case *command.CreatePayment:
		c.Body = &command.Command_CreatePayment{CreatePayment: b}
	case *command.CancelPayment:
		c.Body = &command.Command_CancelPayment{CancelPayment: b}
	case *command.Authorise:
		c.Body = &command.Command_Authorise{Authorise: b}
	case *command.NotSent:
		c.Body = &command.Command_NotSent{NotSent: b}
	case *command.Settle:
		c.Body = &command.Command_Settle{Settle: b}
	case *command.MarkInDoubt:
		c.Body = &command.Command_MarkInDoubt{MarkInDoubt: b}
	case *command.BeginReversal:
		c.Body = &command.Command_BeginReversal{BeginReversal: b}
	case *command.Reversed:
		c.Body = &command.Command_Reversed{Reversed: b}
	case *command.Expire:
		c.Body = &command.Command_Expire{Expire: b}
	case *command.Attempt:
		c.Body = &command.Command_Attempt{Attempt: b}
	case *command.SignIn:
		c.Body = &command.Command_SignIn{SignIn: b}
	case *command.EndSession:
		c.Body = &command.Command_EndSession{EndSession: b}
	case *command.Unlock:
		c.Body = &command.Command_Unlock{Unlock: b}
	case *command.FactorPassed:
		c.Body = &command.Command_FactorPassed{FactorPassed: b}
	case *command.ChangePassword:
		c.Body = &command.Command_ChangePassword{ChangePassword: b}
	case *command.SendCode:
		c.Body = &command.Command_SendCode{SendCode: b}
	case *command.PutPasskey:
		c.Body = &command.Command_PutPasskey{PutPasskey: b}
	case *command.DropPasskey:
		c.Body = &command.Command_DropPasskey{DropPasskey: b}
	case *command.ResetFactors:
		c.Body = &command.Command_ResetFactors{ResetFactors: b}
	case *command.ReplacePassword:
		c.Body = &command.Command_ReplacePassword{ReplacePassword: b}
	case *command.OutboxDone:
		c.Body = &command.Command_OutboxDone{OutboxDone: b}
	case *command.Prune:
		c.Body = &command.Command_Prune{Prune: b}
	case *command.Contradiction:
		c.Body = &command.Command_Contradiction{Contradiction: b}
	case *command.BumpEpoch:
		c.Body = &command.Command_BumpEpoch{BumpEpoch: b}
	case *command.PutAuthority:
		c.Body = &command.Command_PutAuthority{PutAuthority: b}
	case *command.IssueFrom:
		c.Body = &command.Command_IssueFrom{IssueFrom: b}
	case *command.DropAuthority:
		c.Body = &command.Command_DropAuthority{DropAuthority: b}
	case *command.PutToken:
		c.Body = &command.Command_PutToken{PutToken: b}
	case *command.Enrol:
		c.Body = &command.Command_Enrol{Enrol: b}
	case *command.PutNode:
		c.Body = &command.Command_PutNode{PutNode: b}
	case *command.RemoveNode:
		c.Body = &command.Command_RemoveNode{RemoveNode: b}
	case *command.PutWish:
		c.Body = &command.Command_PutWish{PutWish: b}
	case *command.ApproveWish:
		c.Body = &command.Command_ApproveWish{ApproveWish: b}
	case *command.LapseWishes:
		c.Body = &command.Command_LapseWishes{LapseWishes: b}
	case *command.DrainNode:
		c.Body = &command.Command_DrainNode{DrainNode: b}
	case *command.Note:
		c.Body = &command.Command_Note{Note: b}
	case *command.Arrive:
		c.Body = &command.Command_Arrive{Arrive: b}
	case *command.Enter:
		c.Body = &command.Command_Enter{Enter: b}
	case *command.MoveLine:
		c.Body = &command.Command_MoveLine{MoveLine: b}
	case *command.PutPolicy:
		c.Body = &command.Command_PutPolicy{PutPolicy: b}
	case *command.FindLimit:
		c.Body = &command.Command_FindLimit{FindLimit: b}
	}
	return c
}

// bank drives a Machine with one command at a time.
type bank struct {
	t     testing.TB
	m     *Machine
	store *MemoryStore
	now   Millis
	term  uint64 // of the gate and of the entries
	count int
}

// newBank gives a journal with partner 1, customer 1 (alice, signed in as session 1) and customer 2 (bob, the same).
func newBank(t testing.TB, limits Limits) *bank {
	b := &bank{t: t, store: NewMemoryStore(), now: morning, term: 1}
	b.m = New(b.store, limits)
	b.must(Done, partner(1))
	b.must(Done, customer(1, "alice"))
	b.must(Done, customer(2, "bob"))
	b.must(Done, &command.SignIn{Customer: 1})
	b.must(Done, &command.SignIn{Customer: 2})
	return b
}

func partner(id uint32) *command.PutPartner {
	sum := sha256.Sum256([]byte{byte(id)})
	return &command.PutPartner{Id: id, Name: "Shop", Fingerprints: [][]byte{sum[:]}, RedirectUris: []string{"https://shop.example/back"}, NotificationUris: []string{"https://shop.example/told"}}
}

func customer(id uint64, name string) *command.PutCustomer {
	return &command.PutCustomer{
		Id: id, Username: name, PasswordSealed: []byte("sealed"), TotpSealed: []byte("sealed"), Name: name, Locale: "en",
		Accounts: []*command.Account{{Number: account(id), Currency: "CNY", Label: "Wages"}, {Number: account(id), Currency: "USD"}},
	}
}

func changePassword(who, session uint64, from, to string) *command.ChangePassword {
	sum := sha256.Sum256([]byte(from))
	return &command.ChangePassword{Customer: who, SessionEpoch: session, Replaces: sum[:], PasswordSealed: []byte(to)}
}

// replacePassword is the same, confirmed with a time step; 0: with nothing.
func replacePassword(who, session uint64, from, to string, step int64) *command.ReplacePassword {
	c := changePassword(who, session, from, to)
	r := &command.ReplacePassword{Customer: who, SessionEpoch: session, Replaces: c.Replaces, PasswordSealed: c.PasswordSealed, Subject: named("subject", to)}
	if step != 0 {
		r.Proof = &command.Proof{Factor: command.Factor_FACTOR_TOTP, Step: step}
	}
	return r
}

func account(customer uint64) string { return "622200000000000" + string(rune('0'+customer)) }

// do applies one command as one entry.
func (b *bank) do(body any) Result {
	b.t.Helper()
	b.count++
	return b.apply(b.term, wrap(named("command", string(binary.AppendUvarint(nil, uint64(b.count)))), body))
}

func (b *bank) apply(entryTerm uint64, c *Command) Result {
	b.t.Helper()
	results, _, err := b.m.Apply(entryTerm, &Batch{Version: Version, Term: b.term, StampMs: int64(b.now), Commands: []*Command{c}}, nil, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return results[0]
}

func (b *bank) must(want Verdict, body any) Result {
	b.t.Helper()
	r := b.do(body)
	if r.Verdict != want {
		b.t.Fatalf("%T: the verdict is %v, want %v", body, r.Verdict, want)
	}
	return r
}

// create makes payment n of partner 1.
func (b *bank) create(n int) PaymentID {
	b.t.Helper()
	c := b.creation(n)
	b.must(Done, c)
	return PaymentID(c.PaymentId)
}

func (b *bank) creation(n int) *command.CreatePayment {
	id := paymentID(n, b.now)
	name := string(binary.AppendUvarint(nil, uint64(n)))
	return &command.CreatePayment{
		PaymentId: id[:], Partner: 1, IdempotencyKey: named("key", name), RequestHash: named("request", name),
		AmountMinor: 12_345, Currency: "CNY", CreditorAccount: "6225880000000001", CreditorName: "天猫 Shop Ltd",
		EndToEndId: "E2E-0001", Remittance: "one parasol", RedirectUri: "https://shop.example/back?state=42",
		NokRedirectUri: "https://shop.example/back?state=42", NotificationUri: "https://shop.example/told", ExpiresMs: int64(b.now + 15*minute),
	}
}

// consent gives customer 1's consent to a payment made by create.
func (b *bank) consent(id PaymentID, step int64) *command.Authorise {
	return &command.Authorise{
		PaymentId: id[:], Node: 1, Incarnation: 7, Customer: 1, SessionEpoch: 1, SessionExpiresMs: int64(b.now + 5*minute),
		AmountMinor: 12_345, Currency: "CNY", CreditorAccount: "6225880000000001", CreditorName: "天猫 Shop Ltd",
		DebtorAccount: account(1), Factor: command.Factor_FACTOR_TOTP, FactorStep: step,
	}
}

// state expects a payment to stand there.
func (b *bank) state(id PaymentID, want State) Payment {
	b.t.Helper()
	p, ok := b.m.Payment(id)
	if !ok || p.State != want {
		b.t.Fatalf("the payment is %v (found: %v), want %v", p.State, ok, want)
	}
	return p
}

// restored gives a machine from a snapshot of m and its store.
func restored(t testing.TB, m *Machine, store *MemoryStore, limits Limits) (*Machine, *MemoryStore) {
	t.Helper()
	again := store.Clone()
	n := New(again, limits)
	if _, err := n.ReadFrom(snapshotOf(t, m)); err != nil {
		t.Fatal(err)
	}
	return n, again
}
