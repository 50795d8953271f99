package journal

import (
	"testing"

	"netbank/cluster/journal/command"
)

// password expects the stored password, and when the customer has chosen it.
func (b *bank) password(who CustomerID, want string, changed Millis) {
	b.t.Helper()
	c, ok := b.m.CustomerByID(who)
	if !ok || string(c.PasswordSealed) != want || c.PasswordChanged != changed {
		b.t.Errorf("customer %d has the password %q of %d (found: %v), want %q of %d", who, c.PasswordSealed, c.PasswordChanged, ok, want, changed)
	}
}

func TestChangedPassword_IsTheOneThatWasCheckedAndAskedForByASessionInForce(t *testing.T) {
	b := newBank(t, DefaultLimits())
	for _, refused := range []struct {
		want Verdict
		cmd  *command.ChangePassword
	}{
		{NotFound, changePassword(9, 1, "sealed", "chosen")},
		{NoSession, changePassword(1, 2, "sealed", "chosen")},
		{NotAllowed, changePassword(1, 1, "another", "chosen")},
		{BadCommand, changePassword(1, 1, "sealed", "")},
		{BadCommand, changePassword(1, 1, "sealed", string(make([]byte, DefaultLimits().SealedBytes+1)))},
		{BadCommand, &command.ChangePassword{Customer: 1, SessionEpoch: 1, Replaces: []byte("sealed"), PasswordSealed: []byte("chosen")}},
	} {
		b.must(refused.want, refused.cmd)
		b.password(1, "sealed", 0)
	}
	b.now += SessionMax
	b.must(NoSession, changePassword(1, 1, "sealed", "chosen"))
	b.password(1, "sealed", 0)
	b.must(Done, &command.SignIn{Customer: 1})
	b.must(Done, changePassword(1, 2, "sealed", "chosen"))
	b.password(1, "chosen", b.now)
	b.password(2, "sealed", 0)
}

func TestChangedPassword_OfTwoAtOnceOneCounts(t *testing.T) {
	b := newBank(t, DefaultLimits())
	b.must(Done, changePassword(1, 1, "sealed", "mine"))
	b.must(NoSession, changePassword(1, 1, "sealed", "theirs"))
	b.must(Done, &command.SignIn{Customer: 1})
	b.must(NotAllowed, changePassword(1, 3, "sealed", "theirs")) // what was checked stood there before
	b.password(1, "mine", b.now)
}

func TestOutMeansOut_AChangedPasswordEndsTheSessionBefore(t *testing.T) {
	b := newBank(t, DefaultLimits())
	id := b.create(1)
	b.must(Done, &command.Attempt{Customer: 1, Factor: command.Factor_FACTOR_PASSWORD})
	r := b.must(Done, changePassword(1, 1, "sealed", "chosen"))
	if r.Access.Epoch != 2 || r.Access.SignedIn != b.now || r.Access.Ended || r.Access.Lanes[LaneUnknownDevice].Failures != 0 {
		t.Errorf("after the change the sign-in state is %+v", r.Access)
	}
	b.must(NoSession, b.consent(id, 1))
	c := b.consent(id, 1)
	c.SessionEpoch = 2
	b.must(Done, c)
}

func TestChangedPassword_StaysWhenTheRecordIsImportedAgain(t *testing.T) {
	b := newBank(t, DefaultLimits())
	chosen := b.now
	b.must(Done, changePassword(1, 1, "sealed", "chosen"))
	again := customer(1, "alice")
	again.PasswordSealed, again.Name = []byte("the bank's"), "Alice Wang"
	b.must(Done, again)
	b.password(1, "chosen", chosen)
	if c, _ := b.m.CustomerByID(1); c.Name != "Alice Wang" || len(c.Accounts) != 2 {
		t.Errorf("the rest of the record is %+v", c)
	}
	m, _ := restored(t, b.m, b.store, DefaultLimits())
	if c, _ := m.CustomerByID(1); c.PasswordChanged != chosen {
		t.Error("a snapshot forgets that the customer has chosen the password")
	}
	reset := customer(1, "alice")
	reset.PasswordSealed, reset.ResetPassword = []byte("the bank's"), true
	if r := b.must(Done, reset); !r.Access.Ended {
		t.Error("a session goes on whose password was reset")
	}
	b.password(1, "the bank's", 0)
	b.must(Done, again)
	b.password(1, "the bank's", 0)
}

func TestReplacedPassword_AsksForTheFactorThatTheCustomerHasAndSpendsIt(t *testing.T) {
	b := newBank(t, DefaultLimits())
	f := func(want Verdict, change func(*command.ReplacePassword)) {
		t.Helper()
		r := replacePassword(1, 1, "sealed", "chosen", 7)
		change(r)
		b.must(want, r)
		b.password(1, "sealed", 0)
	}
	f(FactorRefused, func(r *command.ReplacePassword) { r.Proof = nil })
	f(BadCommand, func(r *command.ReplacePassword) { r.Proof.Step = 0 })
	f(BadCommand, func(r *command.ReplacePassword) { r.Subject = r.Subject[:15] })
	f(NoSession, func(r *command.ReplacePassword) { r.SessionEpoch = 2 })
	f(NotFound, func(r *command.ReplacePassword) { r.Customer = 9 })
	f(NotAllowed, func(r *command.ReplacePassword) { r.Replaces = changePassword(1, 1, "another", "").Replaces })
	f(FactorUsed, func(r *command.ReplacePassword) { // a code that was sent for something else
		b.must(Done, &command.SendCode{Customer: 1, SessionEpoch: 1, Subject: named("subject", "another"), Number: 5})
		r.Proof = &command.Proof{Factor: command.Factor_FACTOR_MESSAGE, Step: 5}
	})
	b.must(Done, enrolment("k1", 3, 1))
	f(FactorRefused, func(r *command.ReplacePassword) { // a passkey whose counter does not go on
		r.Proof = &command.Proof{Factor: command.Factor_FACTOR_PASSKEY, Credential: []byte("k1"), SignCount: 3}
	})
	id := b.create(1)
	result := b.must(Done, replacePassword(1, 1, "sealed", "chosen", 7))
	if result.Access.Epoch != 2 || result.Access.TOTPStep != 7 {
		t.Errorf("after the change the sign-in state is %+v", result.Access)
	}
	b.password(1, "chosen", b.now)
	again := b.consent(id, 7)
	again.SessionEpoch = 2
	b.must(FactorUsed, again)
	b.must(FactorUsed, replacePassword(1, 2, "chosen", "theirs", 7))
	b.password(1, "chosen", b.now)
}

func TestReplacedPassword_WhoHasNoFactorIsAskedForNone(t *testing.T) {
	b := newBank(t, DefaultLimits())
	bare := customer(1, "alice")
	bare.TotpSealed = nil
	b.must(Done, bare)
	b.must(Done, replacePassword(1, 1, "sealed", "chosen", 0))
	b.password(1, "chosen", b.now)
	bare.PhoneSealed = []byte("sealed phone")
	b.must(Done, bare)
	b.must(FactorRefused, replacePassword(1, 2, "chosen", "theirs", 0))
}
