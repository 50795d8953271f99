package journal

import (
	"bytes"
	"testing"

	"netbank/cluster/journal/command"
)

// sent records that customer 1 is sent the code of that number for a payment.
func (b *bank) sent(want Verdict, id PaymentID, number int64) {
	b.t.Helper()
	b.must(want, &command.SendCode{Customer: 1, SessionEpoch: 1, Subject: id[:], Number: number})
}

// byMessage is consent with a code that was sent.
func (b *bank) byMessage(id PaymentID, number int64) *command.Authorise {
	c := b.consent(id, number)
	c.Factor = command.Factor_FACTOR_MESSAGE
	return c
}

// byPasskey is consent with an assertion.
func (b *bank) byPasskey(id PaymentID, credential string, count uint32) *command.Authorise {
	c := b.consent(id, 0)
	c.Factor, c.Credential, c.SignCount = command.Factor_FACTOR_PASSKEY, []byte(credential), count
	return c
}

// enrolment of a passkey by customer 1, proved with a time step.
func enrolment(credential string, count uint32, step int64) *command.PutPasskey {
	return &command.PutPasskey{
		Customer: 1, SessionEpoch: 1, Subject: named("subject", credential), Proof: &command.Proof{Factor: command.Factor_FACTOR_TOTP, Step: step},
		Credential: []byte(credential), PublicKey: []byte("key of " + credential), SignCount: count, Name: "Telephone",
	}
}

func removal(credential string, step int64) *command.DropPasskey {
	return &command.DropPasskey{
		Customer: 1, SessionEpoch: 1, Subject: named("subject", credential), Proof: &command.Proof{Factor: command.Factor_FACTOR_TOTP, Step: step},
		Credential: []byte(credential),
	}
}

func (b *bank) passkeys() []Passkey {
	b.t.Helper()
	c, ok := b.m.CustomerByID(1)
	if !ok {
		b.t.Fatal("there is no customer 1")
	}
	return c.Passkeys
}

func TestDynamicLinking_ACodeForOnePaymentConfirmsNoOther(t *testing.T) {
	b := newBank(t, DefaultLimits())
	first, other := b.create(1), b.create(2)
	b.sent(Done, first, 11)
	b.must(FactorUsed, b.byMessage(other, 11))
	b.must(Done, b.byMessage(first, 11))
	b.must(FactorUsed, b.byMessage(other, 11)) // nor afterwards
}

func TestDynamicLinking_OnlyTheNewestCodeIsGoodAndForFiveMinutes(t *testing.T) {
	b := newBank(t, DefaultLimits())
	id := b.create(1)
	b.sent(Done, id, 11)
	b.now += CodeEvery
	b.sent(Done, id, 12)
	b.must(FactorUsed, b.byMessage(id, 11))
	b.now += CodeFor
	b.must(FactorUsed, b.byMessage(id, 12))
	b.sent(Done, id, 13)
	b.now += CodeFor - 1
	b.must(Done, b.byMessage(id, 13))
}

func TestSentCode_IsGoodForOneChangeOnly(t *testing.T) {
	b := newBank(t, DefaultLimits())
	e := enrolment("k1", 0, 1)
	b.must(Done, &command.SendCode{Customer: 1, SessionEpoch: 1, Subject: e.Subject, Number: 5})
	e.Proof = &command.Proof{Factor: command.Factor_FACTOR_MESSAGE, Step: 5}
	b.must(Done, e)
	again := enrolment("k2", 0, 1)
	again.Subject, again.Proof = e.Subject, e.Proof
	b.must(FactorUsed, again)
}

func TestEverythingIsBounded_CodesAreSentAtAPace(t *testing.T) {
	b := newBank(t, DefaultLimits())
	id := b.create(1)
	b.sent(Done, id, 1)
	b.sent(TooMany, id, 2) // within CodeEvery
	for range CodesForOne - 1 {
		b.now += CodeEvery
		b.sent(Done, id, 2)
	}
	b.now += CodeEvery
	b.sent(TooMany, id, 3)
	for n := range CodesPerHour - CodesForOne {
		b.sent(Done, paymentID(10+n, b.now), 4) // another payment's first needs no wait
	}
	b.sent(TooMany, paymentID(99, b.now), 5)
	b.now += hour - CodesForOne*CodeEvery - 1
	b.must(Done, &command.SignIn{Customer: 1}) // half an hour is a session's most
	other := paymentID(99, b.now)
	next := &command.SendCode{Customer: 1, SessionEpoch: 2, Subject: other[:], Number: 6}
	b.must(TooMany, next)
	b.now++
	b.must(Done, next)
}

func TestSentCode_GoesToNobodyWhoIsLockedOrSignedOut(t *testing.T) {
	b := newBank(t, DefaultLimits())
	id := b.create(1)
	for range LockAfter {
		b.must(Done, &command.Attempt{Customer: 1, Factor: command.Factor_FACTOR_MESSAGE})
	}
	b.sent(Locked, id, 1)
	b.must(Done, &command.Unlock{Customer: 1})
	b.must(Done, &command.EndSession{Customer: 1, SessionEpoch: 1})
	b.sent(NoSession, id, 1)
}

func TestPasskey_CounterThatDoesNotGoOnIsRefused(t *testing.T) {
	b := newBank(t, DefaultLimits())
	b.must(Done, enrolment("k1", 5, 1))
	id := b.create(1)
	b.must(FactorRefused, b.byPasskey(id, "k1", 5))
	b.must(FactorRefused, b.byPasskey(id, "k1", 0))
	b.must(FactorRefused, b.byPasskey(id, "another", 6))
	b.must(Done, b.byPasskey(id, "k1", 6))
	b.must(FactorRefused, b.byPasskey(b.create(2), "k1", 6)) // the same assertion's count, at another node
	if k := b.passkeys()[0]; k.SignCount != 6 || k.Used != b.now {
		t.Fatalf("the passkey's record says count %d, used %d", k.SignCount, k.Used)
	}
	b.must(Done, enrolment("none", 0, 2)) // one that keeps no count
	b.must(Done, b.byPasskey(b.create(3), "none", 0))
	b.must(Done, b.byPasskey(b.create(4), "none", 0))
}

func TestPasskey_ThatWasRemovedPaysNothing(t *testing.T) {
	b := newBank(t, DefaultLimits())
	b.must(Done, enrolment("k1", 0, 1))
	b.must(FactorUsed, removal("k1", 1)) // the step that enrolled it
	b.must(Done, removal("k1", 2))
	b.must(FactorRefused, b.byPasskey(b.create(1), "k1", 0))
	b.must(NotFound, removal("k1", 3))
}

func TestPasskey_IsEnrolledAndRemovedByASessionInForceAndAProofOnly(t *testing.T) {
	b := newBank(t, DefaultLimits())
	e := enrolment("k1", 0, 1)
	e.Proof = nil
	b.must(BadCommand, e)
	e = enrolment("k1", 0, 1)
	e.SessionEpoch = 2
	b.must(NoSession, e)
	b.must(Done, enrolment("k1", 0, 1))
	b.must(Exists, enrolment("k1", 0, 2))
	b.must(Done, enrolment("k2", 0, 2)) // what is refused spends nothing
	again := enrolment("k3", 0, 2)
	again.Proof = &command.Proof{Factor: command.Factor_FACTOR_PASSKEY, Credential: []byte("k2"), SignCount: 1}
	b.must(Done, again)
	b.must(FactorRefused, func() any { r := removal("k1", 0); r.Proof = again.Proof; return r }())
	if n := len(b.passkeys()); n != 3 {
		t.Fatalf("%d passkeys", n)
	}
}

func TestEverythingIsBounded_PasskeysOfACustomer(t *testing.T) {
	limits := DefaultLimits()
	b := newBank(t, limits)
	for n := range limits.Passkeys {
		b.must(Done, enrolment(string(rune('a'+n)), 0, int64(n+1)))
	}
	b.must(TooMany, enrolment("z", 0, 100))
	f := func(change func(*command.PutPasskey)) {
		t.Helper()
		e := enrolment("y", 0, 101)
		change(e)
		b.must(BadCommand, e)
	}
	f(func(e *command.PutPasskey) { e.Credential = make([]byte, limits.CredentialBytes+1) })
	f(func(e *command.PutPasskey) { e.Credential = nil })
	f(func(e *command.PutPasskey) { e.PublicKey = make([]byte, limits.PublicKeyBytes+1) })
	f(func(e *command.PutPasskey) { e.PublicKey = nil })
	f(func(e *command.PutPasskey) { e.Name = "" })
	f(func(e *command.PutPasskey) { e.Name = "a\nb" })
	f(func(e *command.PutPasskey) { e.Subject = e.Subject[:15] })
}

func TestPasskey_TheLastFactorIsTakenAwayBySupportOnly(t *testing.T) {
	b := newBank(t, DefaultLimits())
	b.must(Done, enrolment("k1", 0, 1))
	bare := customer(1, "alice")
	bare.TotpSealed = nil
	b.must(Done, bare) // the bank has taken the authenticator away
	r := removal("k1", 0)
	r.Proof = &command.Proof{Factor: command.Factor_FACTOR_PASSKEY, Credential: []byte("k1")}
	b.must(NotAllowed, r)
	b.must(BadCommand, &command.ResetFactors{Customer: 1, Operator: "li"}) // no reason
	b.must(Done, &command.ResetFactors{Customer: 1, Reason: "lost, by telephone", Operator: "li"})
	if n := len(b.passkeys()); n != 0 {
		t.Fatalf("%d passkeys", n)
	}
	b.must(NoSession, b.byPasskey(b.create(1), "k1", 0)) // and the session is over
	if acts := b.m.Acts(1); len(acts) != 1 || acts[0].Verb != VerbReset || acts[0].Operator != "li" || acts[0].Detail != "customer 1" {
		t.Fatalf("the audit says %+v", acts)
	}
}

func TestPasskeys_SurviveAnImportASnapshotAndAReplay(t *testing.T) {
	b := newBank(t, DefaultLimits())
	b.must(Done, enrolment("k1", 7, 1))
	c := customer(1, "alice")
	c.PhoneSealed = []byte("sealed phone")
	b.must(Done, c)
	again, _ := restored(t, b.m, b.store, DefaultLimits())
	for _, m := range []*Machine{b.m, again} {
		got, ok := m.CustomerByID(1)
		if !ok || string(got.PhoneSealed) != "sealed phone" || len(got.Passkeys) != 1 {
			t.Fatalf("found: %v, %+v", ok, got)
		}
		k := got.Passkeys[0]
		if string(k.ID) != "k1" || string(k.PublicKey) != "key of k1" || k.SignCount != 7 || k.Name != "Telephone" || k.Added != b.now || k.Used != 0 {
			t.Fatalf("%+v", k)
		}
	}
}

// FuzzFactors reads records as a damaged disk might give them, and writes what it understands.
func FuzzFactors(f *testing.F) {
	f.Add(appendFactors(nil, &factors{}))
	f.Add(appendFactors(nil, &factors{
		sent:     sentCode{number: 9, subject: Subject{1}, at: morning, times: 2, since: morning, hourly: 3},
		passkeys: []Passkey{{ID: []byte("k"), PublicKey: []byte("p"), SignCount: 1, Name: "n", Added: morning, Used: morning}},
	}))
	f.Fuzz(func(t *testing.T, b []byte) {
		one, ok := readFactors(b)
		if !ok {
			return
		}
		written := appendFactors(nil, &one)
		two, ok := readFactors(written)
		if !ok || !bytes.Equal(appendFactors(nil, &two), written) {
			t.Fatalf("%x reads as %+v, which reads as %+v", b, one, two)
		}
	})
}

// recordedCustomer is the one whose factors are in the recorded journal.
const recordedCustomer = 77

// recordFactors goes on from the recorded membership: a customer has codes sent, enrols two passkeys, pays by each factor, removes one, changes the
// password in the old way and in the new one; another's factors are reset.
func recordFactors(t *testing.T) {
	recordOn(t, fixtureMembership, fixtureFactors, func(b *bank, apply func(body any)) {
		who := customer(recordedCustomer, "dora")
		who.PhoneSealed = []byte("sealed phone")
		apply(who)
		apply(customer(recordedCustomer+1, "emil"))
		apply(&command.SignIn{Customer: recordedCustomer})
		apply(&command.SignIn{Customer: recordedCustomer + 1})
		count := 2000
		pay := func(epoch uint64, change func(c *command.Authorise)) {
			b.now += CodeEvery
			count++
			creation := b.creation(count)
			apply(creation)
			c := b.consent(PaymentID(creation.PaymentId), 1)
			c.Customer, c.SessionEpoch, c.DebtorAccount = recordedCustomer, epoch, account(recordedCustomer)
			change(c)
			apply(c)
			apply(settle(PaymentID(creation.PaymentId), approved, "00"))
		}
		sent := func(epoch uint64, subject []byte, number int64) *command.Proof {
			apply(&command.SendCode{Customer: recordedCustomer, SessionEpoch: epoch, Subject: subject, Number: number})
			return &command.Proof{Factor: command.Factor_FACTOR_MESSAGE, Step: number}
		}
		put := func(credential string, count uint32, proof *command.Proof) {
			e := enrolment(credential, count, 1)
			e.Customer = recordedCustomer
			if proof != nil {
				e.Proof = proof
			}
			apply(e)
		}
		put("k1", 0, sent(1, named("subject", "k1"), 41))
		put("k2", 8, &command.Proof{Factor: command.Factor_FACTOR_PASSKEY, Credential: []byte("k1")})
		pay(1, func(c *command.Authorise) { c.FactorStep = 100 })
		pay(1, func(c *command.Authorise) {
			p := sent(1, c.PaymentId, 42)
			c.Factor, c.FactorStep = p.Factor, p.Step
		})
		pay(1, func(c *command.Authorise) {
			c.Factor, c.FactorStep, c.Credential, c.SignCount = command.Factor_FACTOR_PASSKEY, 0, []byte("k2"), 9
		})
		apply(&command.Attempt{Customer: recordedCustomer, Factor: command.Factor_FACTOR_PASSWORD})
		apply(changePassword(recordedCustomer, 1, "sealed", "second"))
		drop := removal("k1", 0)
		drop.Customer, drop.SessionEpoch = recordedCustomer, 2
		drop.Proof = &command.Proof{Factor: command.Factor_FACTOR_PASSKEY, Credential: []byte("k2"), SignCount: 10}
		apply(drop)
		apply(&command.Attempt{Customer: recordedCustomer, Factor: command.Factor_FACTOR_PASSWORD, KnownDevice: true})
		replace := replacePassword(recordedCustomer, 2, "second", "third", 0)
		b.now += CodeEvery
		replace.Proof, replace.KnownDevice = sent(2, replace.Subject, 43), true
		apply(replace)
		e := enrolment("k1", 0, 1)
		e.Customer = recordedCustomer + 1
		apply(e)
		apply(&command.ResetFactors{Customer: recordedCustomer + 1, Reason: "lost", Operator: "li"})
	})
}
