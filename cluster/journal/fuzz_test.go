package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"netbank/cluster/journal/command"
)

var record = flag.Bool("record", false, "record the journal fixture anew; only for a new Batch.version")

// The recorded journals: of the first program, of the one that knew the cluster's membership first, of the one that knew operators'
// wishes first, and a waiting line and customers' second factors that go on from the second.
const (
	fixture           = "testdata/journal-v1"
	fixtureMembership = "testdata/journal-v1-membership"
	fixtureWishes     = "testdata/journal-v1-wishes"
	fixtureLine       = "testdata/journal-v1-line"
	fixtureFactors    = "testdata/journal-v1-factors"
)

// recorded reads the entries of the fixture: each 8 bytes of term, 4 of length, and the batch.
func recorded(t testing.TB, fixture string) (log []entry) {
	t.Helper()
	b, err := os.ReadFile(fixture + ".bin")
	if err != nil {
		t.Fatal(err)
	}
	for len(b) > 0 {
		size := 12 + binary.BigEndian.Uint32(b[8:])
		log = append(log, entry{binary.BigEndian.Uint64(b), b[12:size]})
		b = b[size:]
	}
	return log
}

// TestRecordedJournalsReplay holds every later program to the meaning of the entries that this one wrote. If it fails, do
// not record anew: a command has got another meaning, and that needs a new Batch.version.
func TestRecordedJournalsReplay(t *testing.T) {
	if *record {
		recordLine(t)
		recordFactors(t)
	}
	replayed(t, fixture)
	if m := replayed(t, fixtureMembership); len(m.Membership().Nodes) < 2 || len(m.Membership().Authorities) == 0 {
		t.Error("the recorded journal has no membership")
	}
	if m := replayed(t, fixtureWishes); !wished(m) {
		t.Error("the recorded journal has no wishes")
	}
	if l := replayed(t, fixtureLine).Line(); l.Entered != 1 || l.Waiting != 2 {
		t.Errorf("the line of the recorded journal is %+v", l)
	}
	m := replayed(t, fixtureFactors)
	if c, ok := m.CustomerByID(recordedCustomer); !ok || len(c.Passkeys) != 1 || string(c.Passkeys[0].ID) != "k2" || c.Passkeys[0].SignCount != 10 || string(c.PasswordSealed) != "third" {
		t.Errorf("the customer of the recorded journal is %+v", c)
	}
}

// recordOn goes on from a recorded journal: play applies what is added, each command in an entry of its own.
func recordOn(t *testing.T, from, to string, play func(b *bank, apply func(body any))) {
	t.Helper()
	log := recorded(t, from)
	m := New(NewMemoryStore(), DefaultLimits())
	for _, e := range log {
		e.apply(t, m)
	}
	b := bank{t: t, m: m, now: m.Now() + second}
	play(&b, func(body any) {
		t.Helper()
		b.count++
		batch := &Batch{Version: Version, Term: 1, StampMs: int64(b.now), Commands: []*Command{wrap(named(strings.TrimPrefix(to, fixture+"-"), string(rune(b.count))), body)}}
		contents, err := batch.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, entry{1, contents})
		if r := log[len(log)-1].apply(t, m)[0]; r.Verdict != Done {
			t.Fatalf("%T: %v", body, r.Verdict)
		}
	})
	var out []byte
	for _, e := range log {
		out = binary.BigEndian.AppendUint64(out, e.term)
		out = binary.BigEndian.AppendUint32(out, uint32(len(e.bytes)))
		out = append(out, e.bytes...)
	}
	if err := errors.Join(os.WriteFile(to+".bin", out, 0o644), os.WriteFile(to+".digest", []byte(digestLines(t, m)), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func replayed(t *testing.T, fixture string) *Machine {
	t.Helper()
	m := New(NewMemoryStore(), DefaultLimits())
	states, verdicts := map[State]int{}, map[Verdict]int{}
	for _, e := range recorded(t, fixture) {
		for _, r := range e.apply(t, m) {
			states[r.Payment.State]++
			verdicts[r.Verdict]++
		}
	}
	want, err := os.ReadFile(fixture + ".digest")
	if err != nil {
		t.Fatal(err)
	}
	if got := digestLines(t, m); got != string(want) {
		t.Errorf("the recorded journal gives\n%swant\n%s", got, want)
	}
	for s := StateReceived; s <= StateReversing; s++ {
		if states[s] == 0 {
			t.Errorf("the recorded journal never comes to %v", s)
		}
	}
	t.Logf("verdicts: %v", verdicts)
	return m
}

func digestLines(t *testing.T, m *Machine) string {
	live := m.Digest()
	store, err := m.StoreDigest()
	if err != nil {
		t.Fatal(err)
	}
	return "live " + hex.EncodeToString(live[:]) + "\nstore " + hex.EncodeToString(store[:]) + "\n"
}

// FuzzApply feeds arbitrary bytes as a Raft entry. Whatever they are, the machine stays sound: it can be written,
// read, and gives the same state again.
func FuzzApply(f *testing.F) {
	for i, e := range recorded(f, fixture) {
		if i%7 == 0 {
			f.Add(e.term, e.bytes)
		}
	}
	f.Add(uint64(1), []byte{0x08, 0x01, 0x22, 0x03, 0x9a, 0x06, 0x00})
	for i, body := range append(membershipBodies(morning), wishBodies(morning)...) {
		batch := &Batch{Version: Version, Term: 1, StampMs: int64(morning), Commands: []*Command{wrap(named("seed", string(rune('a'+i))), body)}}
		entry, err := batch.MarshalVT()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint64(1), entry)
	}
	f.Fuzz(func(t *testing.T, term uint64, contents []byte) {
		var b Batch
		if b.UnmarshalVT(contents) != nil {
			return
		}
		bank := newBank(t, smallLimits())
		id := bank.create(1)
		bank.must(Done, bank.consent(id, 1))
		bank.create(2)
		before := bank.m.Digest()
		results, _, err := bank.m.Apply(term, &b, nil, nil)
		if err != nil {
			if !errors.Is(err, ErrVersion) || bank.m.Digest() != before {
				t.Fatalf("refused with %v, and changed: %v", err, bank.m.Digest() != before)
			}
			return
		}
		if len(results) != len(b.Commands) {
			t.Fatalf("%d results for %d commands", len(results), len(b.Commands))
		}
		again, _ := restored(t, bank.m, bank.store, smallLimits())
		if again.Digest() != bank.m.Digest() {
			t.Fatal("the snapshot gives another state")
		}
		exercise(t, again)
	})
}

// FuzzReadFrom reads arbitrary bytes as a snapshot: as they are, and as the contents of one whose checksum is right.
func FuzzReadFrom(f *testing.F) {
	b := newBank(f, smallLimits())
	id := b.create(1)
	b.must(Done, b.consent(id, 1))
	b.create(2)
	whole := snapshotOf(f, b.m).Bytes()
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(whole[len(snapshotMagic)+2+4 : len(whole)-36]) // the contents alone
	for _, body := range append(membershipBodies(b.now), wishBodies(b.now)...) {
		b.must(Done, body)
	}
	f.Add(snapshotOf(f, b.m).Bytes())
	b.must(Done, &command.MoveLine{Closed: true, WatermarkMs: int64(b.now) - 1})
	third := b.create(3)
	b.must(Done, &command.Arrive{PaymentId: third[:]})
	b.must(Done, policy(0))
	lined := snapshotOf(f, b.m).Bytes()
	f.Add(lined)
	f.Add(lined[len(snapshotMagic)+2+4 : len(lined)-36])
	f.Fuzz(func(t *testing.T, contents []byte) {
		for _, snapshot := range [][]byte{contents, framed(contents)} {
			store := b.store.Clone()
			m := New(store, smallLimits())
			before := m.Digest()
			n, err := m.ReadFrom(bytes.NewReader(snapshot))
			if n > int64(len(snapshot)) {
				t.Fatalf("read %d of %d bytes", n, len(snapshot))
			}
			if err != nil {
				if !errors.Is(err, ErrSnapshot) && !errors.Is(err, ErrVersion) || m.Digest() != before {
					t.Fatalf("%v; changed: %v", err, m.Digest() != before)
				}
				continue
			}
			again, _ := restored(t, m, store, smallLimits())
			if again.Digest() != m.Digest() {
				t.Fatal("written and read again it is another state")
			}
			exercise(t, m)
		}
	})
}

// framed makes a snapshot of records, right or wrong, with a checksum that holds.
func framed(records []byte) []byte {
	var out bytes.Buffer
	w := newSnapshotWriter(&out)
	w.raw(binary.BigEndian.AppendUint16([]byte(snapshotMagic), snapshotVersion))
	w.add(records)
	w.flush()
	w.raw(make([]byte, 4))
	w.raw(w.sum.Sum(nil))
	return out.Bytes()
}

// exercise reads all that a machine holds and moves its payments.
func exercise(t *testing.T, m *Machine) {
	m.Counts()
	m.Keys()
	for i := range m.Membership().Nodes {
		m.Membership().NodeByKey(m.Membership().Nodes[i].Key)
	}
	m.Wishes().Due(smallLimits())
	m.Acts(10)
	m.Partners()
	m.Contradictions(10)
	m.Notices(1, 0, 10)
	m.Expired(stampMax, 100)
	m.WatermarkFor(m.Line().Waiting)
	b := &Batch{Version: Version, Term: 1, StampMs: int64(m.Now())}
	m.Payments(func(p Payment) bool {
		name := p.ID.String()
		for i, body := range []any{settle(p.ID, approved, "00"), &command.CancelPayment{PaymentId: p.ID[:]}, &command.BeginReversal{PaymentId: p.ID[:]}, &command.Reversed{PaymentId: p.ID[:]}} {
			b.Commands = append(b.Commands, wrap(named(name, string(rune('a'+i))), body))
		}
		return true
	})
	b.Commands = append(b.Commands, wrap(named("last", "prune"), &command.Prune{FinishedBeforeMs: int64(stampMax), OutboxBeforeMs: int64(stampMax)}))
	if _, _, err := m.Apply(1, b, nil, nil); err != nil {
		t.Fatal(err)
	}
	if m.Counts().Open != 0 && len(b.Commands) < smallLimits().BatchCommands {
		t.Fatalf("%d payments cannot be ended", m.Counts().Open)
	}
}

func FuzzParsePaymentID(f *testing.F) {
	f.Add("019ab0c4-5b7e-7c3a-9d2f-0123456789ab")
	f.Add("019AB0C4-5B7E-7C3A-9D2F-0123456789AB")
	f.Add("019ab0c4-5b7e-7c3a-9d2f-0123456789a")
	f.Add("019ab0c45b7e-7c3a-9d2f-0123456789ab-")
	f.Add("--------------------------------------")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParsePaymentID(s)
		if err != nil {
			if id != (PaymentID{}) {
				t.Fatalf("%q is refused, and gives %v", s, id)
			}
			return
		}
		if id.String() != strings.ToLower(s) {
			t.Fatalf("%q became %v", s, id)
		}
	})
}
