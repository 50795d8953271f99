package journal

import (
	"errors"
	"slices"
	"testing"

	"netbank/cluster/journal/command"
)

func settle(id PaymentID, outcome command.Outcome, code string) *command.Settle {
	return &command.Settle{PaymentId: id[:], Outcome: outcome, ResponseCode: code}
}

const (
	approved = command.Outcome_OUTCOME_APPROVED
	declined = command.Outcome_OUTCOME_DECLINED
	inDoubt  = command.Outcome_OUTCOME_IN_DOUBT
)

func TestRule1_OnlyTheFirstExecutorIsEverNamed(t *testing.T) {
	b := newBank(t, DefaultLimits())
	id := b.create(1)
	b.must(Done, b.consent(id, 1))
	second := b.consent(id, 2)
	second.Node, second.Incarnation = 2, 9
	if r := b.must(Attached, second); r.Payment.Executor != (Executor{1, 7}) {
		t.Errorf("the executor became %v", r.Payment.Executor)
	}
	b.must(NotAllowed, &command.NotSent{PaymentId: id[:], Node: 2, Incarnation: 9})
	b.state(id, StateAuthorised)
}

func TestRule3_AGrantOfAnotherTermIsVoidAndMayBeOfferedAgain(t *testing.T) {
	b := newBank(t, DefaultLimits())
	id := b.create(1)
	grant := wrap(named("command", "grant"), b.consent(id, 1))
	for _, entryTerm := range []uint64{0, 2, 9} {
		if r := b.apply(entryTerm, grant); r.Verdict != StaleTerm {
			t.Errorf("in an entry of term %d a grant of term 1 is %v", entryTerm, r.Verdict)
		}
	}
	b.state(id, StateReceived)
	b.term = 9
	if r := b.apply(9, grant); r.Verdict != Done {
		t.Errorf("offered again: %v", r.Verdict)
	}
	b.term = 10
	if r := b.apply(11, grant); r.Verdict != Repeated {
		t.Errorf("once it has taken effect: %v", r.Verdict)
	}
}

func TestRule4_ARefusedCommandNeverTakesEffectLater(t *testing.T) {
	b := newBank(t, DefaultLimits())
	id := b.create(1)
	b.must(Done, &command.EndSession{Customer: 1, SessionEpoch: 1})
	// Refused for want of a session; the customer is told that nothing was charged, and signs in again.
	refused := b.consent(id, 1)
	refused.SessionEpoch = 2
	c := wrap(named("command", "refused"), refused)
	if r := b.apply(1, c); r.Verdict != NoSession {
		t.Fatal(r.Verdict)
	}
	b.must(Done, &command.SignIn{Customer: 1})
	// A copy that was under way arrives. By itself it would now be granted.
	if r := b.apply(1, c); r.Verdict != NoSession || r.Payment.State != StateReceived {
		t.Errorf("the copy: %v", r)
	}
}

func TestRule5_ReferencesComeFromTheJournalAndAreNeverGivenTwice(t *testing.T) {
	b := newBank(t, DefaultLimits())
	b.m.stan = stanMax - 1
	b.m.references = 35
	var got []WireIdentity
	for n := 1; n <= 3; n++ {
		if n == 3 {
			b.must(Done, &command.BumpEpoch{})
			b.m.references = 36 // as a backup would have it
		}
		id := b.create(n)
		b.must(Done, b.consent(id, int64(n)))
		got = append(got, b.state(id, StateAuthorised).Wire)
	}
	want := []WireIdentity{{"1111100000", 999999, "000000000010"}, {"1111100000", 1, "000000000011"}, {"1111100000", 2, "010000000011"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// The reference stays with the payment to the end, so that a reversal can always be built.
	id := b.create(4)
	wire := b.must(Done, b.consent(id, 4)).Payment.Wire
	b.now += 12 * second
	for _, body := range []any{&command.MarkInDoubt{PaymentId: id[:]}, &command.BeginReversal{PaymentId: id[:]}, &command.Reversed{PaymentId: id[:]}} {
		if p := b.must(Done, body).Payment; p.Wire != wire || p.DebtorAccount != account(1) {
			t.Errorf("%T: the reference became %v", body, p.Wire)
		}
	}
}

// Two restores of one backup are at the same epoch. The later one begins above whatever the earlier one gave.
func TestRule5_TwoRestoresOfOneBackupShareNoReference(t *testing.T) {
	f := func(above uint64, want string) {
		t.Helper()
		b := newBank(t, DefaultLimits())
		b.must(Done, b.consent(b.create(1), 1)) // in the backup
		b.must(Done, &command.BumpEpoch{ReferencesAbove: above})
		if rrn := b.must(Done, b.consent(b.create(2), 2)).Payment.Wire.RRN; rrn != want {
			t.Errorf("above %d the reference is %s, want %s", above, rrn, want)
		}
	}
	f(0, "010000000002")
	f(1, "010000000002")
	f(35, "010000000010")
	f(36*36, "010000000101")
	f(referenceMax-1, "01ZZZZZZZZZZ")
	b := newBank(t, DefaultLimits())
	b.must(BadCommand, &command.BumpEpoch{ReferencesAbove: referenceMax + 1})
	if c := b.m.Counts(); c.ReferenceEpoch != 0 || c.References != 0 {
		t.Errorf("a refused bump changed %+v", c)
	}
}

func TestRule5_TheEpochEnds(t *testing.T) {
	b := newBank(t, DefaultLimits())
	b.m.epoch = rrnEpochMax
	b.must(TooMany, &command.BumpEpoch{})
	id := b.create(1)
	if rrn := b.must(Done, b.consent(id, 1)).Payment.Wire.RRN; rrn != "ZZ0000000001" {
		t.Errorf("the reference is %s", rrn)
	}
	b.m.references = referenceMax
	b.must(NotAllowed, b.consent(b.create(2), 2))
}

func TestRule6_ReversalIsADecision(t *testing.T) {
	b := newBank(t, DefaultLimits())
	id := b.create(1)
	begin, done := &command.BeginReversal{PaymentId: id[:]}, &command.Reversed{PaymentId: id[:], ResponseCode: "00"}
	b.must(NotAllowed, begin)
	b.must(Done, b.consent(id, 1))
	b.must(NotAllowed, begin) // the executor may still get its answer
	b.must(NotAllowed, done)
	b.must(Done, settle(id, inDoubt, "25")) // "unknown" decides nothing
	b.must(NotAllowed, done)                // nobody has decided
	b.must(Done, begin)
	for _, word := range []*command.Settle{settle(id, approved, "00"), settle(id, declined, "05"), settle(id, inDoubt, "")} {
		b.must(NotAllowed, word)
		b.state(id, StateReversing)
	}
	if p := b.must(Done, done).Payment; p.State != StateRejected || p.Reason != ReasonReversed {
		t.Errorf("after the reversal it is %v (%v)", p.State, p.Reason)
	}
}

func TestRule7_TimeNeverGoesBackAndExpiryIsCommittedFirst(t *testing.T) {
	b := newBank(t, DefaultLimits())
	id := b.create(1)
	b.now += 15 * minute
	b.must(Done, &command.Unlock{Customer: 1})
	b.state(id, StateReceived)
	b.now -= 15 * minute
	b.must(NotAllowed, b.consent(id, 1))
	if b.m.Now() != b.now+15*minute {
		t.Errorf("the journal's time is %d", b.m.Now())
	}
	b.must(Done, &command.Expire{PaymentIds: [][]byte{id[:]}})
	b.state(id, StateExpired)
	// A stamp from after the year 9999 is no time.
	before := b.m.Now()
	b.now = stampMax + 1
	b.must(Done, &command.Unlock{Customer: 1})
	if b.m.Now() != before {
		t.Errorf("the journal's time is %d", b.m.Now())
	}
}

func TestRule8_EveryChangeRaisesTheVersionByOne(t *testing.T) {
	b := newBank(t, DefaultLimits())
	id := b.create(1)
	want := uint32(1)
	f := func(body any, changes bool) {
		t.Helper()
		if changes {
			want++
		}
		if p := b.must(Done, body).Payment; p.Version != want {
			t.Errorf("%T: version %d, want %d", body, p.Version, want)
		}
	}
	f(b.consent(id, 1), true)
	f(&command.MarkInDoubt{PaymentId: id[:]}, true)
	f(&command.MarkInDoubt{PaymentId: id[:]}, false)
	f(settle(id, inDoubt, "09"), false)
	f(&command.BeginReversal{PaymentId: id[:]}, true)
	f(&command.Reversed{PaymentId: id[:]}, true)
	f(settle(id, declined, "21"), false)
	for i, n := range b.m.Notices(1, 0, 10) {
		if n.Version != uint32(i)+2 || n.Sequence != uint64(i)+1 {
			t.Errorf("notice %d tells of version %d", n.Sequence, n.Version)
		}
	}
}

func TestRule9_AttemptsInParallelAreCountedBeforeAnyIsChecked(t *testing.T) {
	b := newBank(t, DefaultLimits())
	var batch []*Command
	for n := range 20 { // ten nodes guess twice each; all is in the log before the first answer comes back
		batch = append(batch, wrap(named("guess", string(rune('a'+n))), &command.Attempt{Customer: 1, Factor: command.Factor_FACTOR_PASSWORD}))
	}
	results, _, err := b.m.Apply(1, &Batch{Version: Version, Term: 1, StampMs: int64(b.now), Commands: batch}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	allowed := 0
	for _, r := range results {
		if r.Verdict == Done {
			allowed++
		}
	}
	if allowed != LockAfter {
		t.Errorf("%d guesses were let through, want %d", allowed, LockAfter)
	}
	until := b.now + LockFor
	if a, _ := b.m.Access(1); a.Lanes[LaneUnknownDevice].LockedUntil(b.now) != until || a.Ended {
		t.Errorf("%+v", a)
	}
	b.now = until - 1
	b.must(Locked, &command.Attempt{Customer: 1, Factor: command.Factor_FACTOR_PASSWORD})
	b.now = until
	b.must(Done, &command.Attempt{Customer: 1, Factor: command.Factor_FACTOR_PASSWORD})
}

func TestOutMeansOut_AGuesserOfCodesLosesTheSession(t *testing.T) {
	b := newBank(t, DefaultLimits())
	id := b.create(1)
	guess := &command.Attempt{Customer: 1, Factor: command.Factor_FACTOR_TOTP}
	for range LockAfter {
		b.must(Done, guess)
	}
	if r := b.must(Locked, guess); !r.Access.Ended {
		t.Errorf("%+v", r.Access)
	}
	b.must(NoSession, b.consent(id, 1))
}

func TestUnknownVersionsFailClosed(t *testing.T) {
	b := newBank(t, DefaultLimits())
	id := b.create(1)
	before := b.m.Digest()
	good := wrap(named("command", "good"), b.consent(id, 1))
	// A command of a kind that a later program knows: field 99 of Command.
	later := &Command{}
	if err := later.UnmarshalVT([]byte{0x9a, 0x06, 0x00}); err != nil {
		t.Fatal(err)
	}
	f := func(batch *Batch) {
		t.Helper()
		results, changes, err := b.m.Apply(1, batch, nil, nil)
		if !errors.Is(err, ErrVersion) || len(results) > 0 || len(changes) > 0 || b.m.Digest() != before {
			t.Errorf("%v: %v, results %v", batch, err, results)
		}
	}
	f(nil)
	f(&Batch{Term: 1, Commands: []*Command{good}})
	f(&Batch{Version: Version + 1, Term: 1, Commands: []*Command{good}})
	f(&Batch{Version: Version, Term: 1, StampMs: int64(b.now + hour), Commands: []*Command{good, later}})
	// What is merely wrong is answered, and does not stop the bank.
	results, _, err := b.m.Apply(1, &Batch{Version: Version, Term: 1, Commands: []*Command{{}, nil, {Id: good.Id}, {Id: []byte("short")}}}, nil, nil)
	for i, r := range results {
		if err != nil || r.Verdict != BadCommand {
			t.Errorf("command %d: %v, %v", i, r.Verdict, err)
		}
	}
	if len(results) != 4 {
		t.Errorf("%d results", len(results))
	}
}

// brokenStore fails when told to.
type brokenStore struct {
	*MemoryStore
	err error
}

func (s *brokenStore) Set(key, value []byte) error {
	if s.err != nil {
		return s.err
	}
	return s.MemoryStore.Set(key, value)
}

func TestAFailingStoreStopsTheMachineForGood(t *testing.T) {
	b := newBank(t, DefaultLimits())
	store := &brokenStore{MemoryStore: b.store}
	b.m.store = store
	store.err = errors.New("disk full")
	c := wrap(named("command", "create"), b.creation(1))
	batch := &Batch{Version: Version, Term: 1, StampMs: int64(b.now), Commands: []*Command{c}}
	if _, _, err := b.m.Apply(1, batch, nil, nil); !errors.Is(err, ErrStore) || !errors.Is(err, store.err) {
		t.Errorf("the store failed, and Apply says %v", err)
	}
	store.err = nil
	if _, _, err := b.m.Apply(1, batch, nil, nil); !errors.Is(err, ErrStore) {
		t.Errorf("after that Apply says %v", err)
	}
}

func TestCreateChecksEveryField(t *testing.T) {
	b := newBank(t, DefaultLimits())
	n := 0
	f := func(want Verdict, change func(c *command.CreatePayment)) {
		t.Helper()
		n++
		c := b.creation(n)
		change(c)
		if r := b.do(c); r.Verdict != want {
			t.Errorf("%v for %v, want %v", r.Verdict, c, want)
		}
	}
	long := func(n int) string { return string(slices.Repeat([]byte("x"), n)) }
	f(Done, func(c *command.CreatePayment) {})
	f(BadCommand, func(c *command.CreatePayment) { c.AmountMinor = 0 })
	f(BadCommand, func(c *command.CreatePayment) { c.AmountMinor = -1 })
	f(Done, func(c *command.CreatePayment) { c.AmountMinor = 999_999_999_999 })
	f(BadCommand, func(c *command.CreatePayment) { c.AmountMinor = 1_000_000_000_000 })
	for _, currency := range []string{"", "CN", "cny", "CNYY", "C1Y", "元"} {
		f(BadCommand, func(c *command.CreatePayment) { c.Currency = currency })
	}
	f(BadCommand, func(c *command.CreatePayment) { c.CreditorAccount = "" })
	f(BadCommand, func(c *command.CreatePayment) { c.CreditorAccount = long(35) })
	f(BadCommand, func(c *command.CreatePayment) { c.CreditorAccount = "1 2" })
	f(BadCommand, func(c *command.CreatePayment) { c.CreditorName = "" })
	f(Done, func(c *command.CreatePayment) { c.CreditorName = "淘宝" + long(68) })
	f(BadCommand, func(c *command.CreatePayment) { c.CreditorName = long(71) })
	f(BadCommand, func(c *command.CreatePayment) { c.CreditorName = "a\xffb" })
	f(BadCommand, func(c *command.CreatePayment) { c.CreditorName = "a\nb" })
	f(BadCommand, func(c *command.CreatePayment) { c.DebtorAccount = long(35) })
	f(BadCommand, func(c *command.CreatePayment) { c.EndToEndId = long(36) })
	f(BadCommand, func(c *command.CreatePayment) { c.Remittance = long(141) })
	f(BadCommand, func(c *command.CreatePayment) { c.RedirectUri = "https://shop.example/\r\nSet-Cookie: x" })
	f(BadCommand, func(c *command.CreatePayment) { c.NotificationUri = long(1025) })
	f(Done, func(c *command.CreatePayment) { c.NokRedirectUri = long(1024) })
	f(BadCommand, func(c *command.CreatePayment) { c.ExpiresMs = int64(b.now) })
	f(Done, func(c *command.CreatePayment) { c.ExpiresMs = int64(b.now + 24*hour + minute) })
	f(BadCommand, func(c *command.CreatePayment) { c.ExpiresMs = int64(b.now + 24*hour + minute + 1) })
	f(BadCommand, func(c *command.CreatePayment) { c.PaymentId = c.PaymentId[:15] })
	f(BadCommand, func(c *command.CreatePayment) { c.PaymentId[6] = 0x40 })
	f(BadCommand, func(c *command.CreatePayment) { late := paymentID(n, b.now+minute+1); c.PaymentId = late[:] })
	f(Done, func(c *command.CreatePayment) { old := paymentID(n, b.now-24*hour); c.PaymentId = old[:] })
	f(BadCommand, func(c *command.CreatePayment) { old := paymentID(n, b.now-24*hour-1); c.PaymentId = old[:] })
	f(BadCommand, func(c *command.CreatePayment) { c.IdempotencyKey = nil })
	f(BadCommand, func(c *command.CreatePayment) { c.RequestHash = []byte("short") })
	f(NotFound, func(c *command.CreatePayment) { c.Partner = 9 })
	taken := paymentID(1, b.now)
	f(NotAllowed, func(c *command.CreatePayment) { c.PaymentId = taken[:] })
}

func TestNamesAndCertificatesBelongToOne(t *testing.T) {
	b := newBank(t, DefaultLimits())
	b.must(NotAllowed, customer(3, "alice"))
	b.must(Done, customer(1, "alicia"))
	if _, ok := b.m.Customer("alice"); ok {
		t.Error("the old name still leads to somebody")
	}
	b.must(Done, customer(3, "alice"))
	if c, ok := b.m.Customer("alice"); !ok || c.ID != 3 || len(c.Accounts) != 2 || c.Accounts[0].Label != "Wages" {
		t.Errorf("%+v, %v", c, ok)
	}
	if a, _ := b.m.Access(1); a.Epoch != 1 {
		t.Errorf("a new record ended the session: %+v", a)
	}
	stolen := partner(2)
	stolen.Fingerprints = partner(1).Fingerprints
	b.must(NotAllowed, stolen)
	b.must(Done, partner(2))
	if p, ok := b.m.PartnerByFingerprint([32]byte(partner(2).Fingerprints[0])); !ok || p.ID != 2 {
		t.Errorf("%+v, %v", p, ok)
	}
	moved := partner(2)
	moved.Fingerprints = nil
	b.must(Done, moved)
	if _, ok := b.m.PartnerByFingerprint([32]byte(partner(2).Fingerprints[0])); ok {
		t.Error("a certificate that was taken back still speaks for the partner")
	}
}

func TestReadsGiveCopies(t *testing.T) {
	b := newBank(t, DefaultLimits())
	b.must(Done, &command.PutKey{Id: 1, Sealed: []byte("sealed")})
	before := b.m.Digest()
	p, _ := b.m.Partner(1)
	p.Fingerprints[0][0]++
	p.RedirectURIs[0] = "changed"
	b.m.Keys()[0].Sealed[0]++
	b.m.Partners()[0].NotificationURIs[0] = "changed"
	if b.m.Digest() != before {
		t.Error("a reader changed the journal")
	}
}

func TestUnknownIsNotFailed_CodesThatSayNothingEndNothing(t *testing.T) {
	b := newBank(t, DefaultLimits())
	n := 0
	f := func(outcome command.Outcome, code string, want State, reason Reason) {
		t.Helper()
		n++
		id := b.create(n)
		b.must(Done, b.consent(id, int64(n)))
		if p := b.must(Done, settle(id, outcome, code)).Payment; p.State != want || p.Reason != reason {
			t.Errorf("%v %q made it %v (%v), want %v (%v)", outcome, code, p.State, p.Reason, want, reason)
		}
	}
	f(approved, "00", StateSettled, ReasonNone)
	f(declined, "05", StateRejected, ReasonDeclined)
	f(declined, "51", StateRejected, ReasonDeclined)
	f(declined, "91", StateRejected, ReasonCoreUnavailable)
	f(declined, "09", StateInDoubt, ReasonCoreUncertain)
	f(declined, "25", StateInDoubt, ReasonCoreUncertain)
	f(declined, "94", StateInDoubt, ReasonCoreUncertain)
	f(declined, "96", StateInDoubt, ReasonCoreUncertain)
	f(inDoubt, "96", StateInDoubt, ReasonCoreUncertain)
	f(inDoubt, "", StateInDoubt, ReasonNoAnswer)
}

func TestPruneKeepsWhatIsYoungerThan48Hours(t *testing.T) {
	b := newBank(t, DefaultLimits())
	id := b.create(1)
	b.must(Done, &command.CancelPayment{PaymentId: id[:], Partner: 1})
	open := b.create(2)
	b.must(Done, b.consent(open, 1))
	prune := &command.Prune{FinishedBeforeMs: int64(stampMax), IdempotencyBeforeMs: int64(stampMax), OutboxBeforeMs: int64(stampMax)}
	f := func(payments uint64, keys, notices int) {
		t.Helper()
		b.must(Done, prune)
		if c := b.m.Counts(); c.ByState[StateCancelled] != payments || c.IdempotencyKeys != keys || c.Outbox != notices {
			t.Errorf("%+v", c)
		}
	}
	b.now += PruneAfter
	f(1, 2, 0) // notices have no such protection: the retry window is the sender's
	b.now++
	f(0, 0, 0)
	b.state(open, StateAuthorised) // what is open is never pruned
	old := b.creation(3)
	old.PaymentId = id[:]
	b.must(BadCommand, old) // the id is used up
}

func TestPruneWorksInPieces(t *testing.T) {
	limits := DefaultLimits()
	limits.PruneRecords = 3
	b := newBank(t, limits)
	for n := 1; n <= 7; n++ {
		id := b.create(n)
		b.must(Done, &command.CancelPayment{PaymentId: id[:], Partner: 1})
	}
	b.now += 97 * hour
	prune := &command.Prune{FinishedBeforeMs: int64(b.now), IdempotencyBeforeMs: int64(b.now), OutboxBeforeMs: int64(b.now)}
	b.must(TooMany, prune)
	b.must(TooMany, prune)
	b.must(Done, prune)
	if c := b.m.Counts(); c.ByState[StateCancelled] != 0 || c.IdempotencyKeys != 0 || c.Outbox != 0 || b.store.Len() != 5 { // two customers and their names, and that every payment has its place among its customer's
		t.Errorf("%+v, %d entries", c, b.store.Len())
	}
}

func TestAKeyWhosePaymentWasPrunedIsFreeAgain(t *testing.T) {
	b := newBank(t, DefaultLimits())
	id := b.create(1)
	b.must(Done, &command.CancelPayment{PaymentId: id[:], Partner: 1})
	b.now += 97 * hour
	b.must(Done, &command.Prune{FinishedBeforeMs: int64(b.now)})
	wrong := b.creation(1)
	wrong.AmountMinor = 0
	b.must(BadCommand, wrong)
	if n := b.m.Counts().IdempotencyKeys; n != 0 {
		t.Errorf("%d keys", n)
	}
	b.create(1)
	if n := b.m.Counts().IdempotencyKeys; n != 1 {
		t.Errorf("%d keys", n)
	}
}

func TestASnapshotKeepsTheOrderOfGrantsAcrossEpochs(t *testing.T) {
	b := newBank(t, DefaultLimits())
	for n := 5; n > 0; n-- { // ids against the order of grants
		id := b.create(n)
		b.must(Done, b.consent(id, int64(10-n)))
		if n == 3 {
			b.must(Done, &command.BumpEpoch{})
			b.m.references = 0 // as a backup would have it
		}
	}
	again, _ := restored(t, b.m, b.store, DefaultLimits())
	if got, want := unresolved(again), unresolved(b.m); !slices.Equal(got, want) || len(got) != 5 {
		t.Errorf("got %v, want %v", got, want)
	}
}
