package session

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"netbank/cluster/journal"
)

const chosen = "four plums in a row"

// steps are the time steps of proofs: each is used once.
var steps atomic.Int64

// changes takes both steps of a change of password, with an authenticator's proof.
func changes(s *Store, session *Session, present, chosen string) (SignedIn, error) {
	c, err := s.PreparePassword(session, present, chosen, soon())
	if err != nil {
		return SignedIn{}, err
	}
	proof := journal.TOTP(steps.Add(1))
	return s.EnactPassword(session, &c, &proof, soon())
}

// mayNot expects that nobody can sign in with a password.
func mayNot(t *testing.T, s *Store, password string) {
	t.Helper()
	if _, err := s.SignIn(nowhere, "anna", password, soon()); !errors.Is(err, ErrWrong) {
		t.Errorf("SignIn with %q = %v", password, err)
	}
}

func TestChangedPassword_CountsAtEveryNodeAndTheOldOneDoesNot(t *testing.T) {
	onTheJournal(t, func(t *testing.T, _ *ledger, node func() *Store) {
		here, there := node(), node()
		in := signedIn(t, here)
		copied := in.Cookie
		changed, err := changes(here, in.Session, secret, chosen)
		if err != nil {
			t.Fatal(err)
		}
		// Invariant OutMeansOut: a copy of the cookie is worth nothing, the customer's own session goes on.
		refused(t, there, copied, ErrReplaced)
		if s := opened(t, there, changed.Cookie); s.PasswordChanged == 0 || s.Epoch != in.Session.Epoch+1 {
			t.Errorf("the session that begins is %+v", s)
		}
		mayNot(t, there, secret)
		mayNot(t, here, secret)
		if _, err := there.SignIn(nowhere, "anna", chosen, soon()); err != nil {
			t.Errorf("SignIn = %v", err)
		}
	})
}

func TestRule9_AttemptsAtThePresentPasswordAreThoseOfSigningIn(t *testing.T) {
	onTheJournal(t, func(t *testing.T, l *ledger, node func() *Store) {
		s := node()
		in := signedIn(t, s)
		var all sync.WaitGroup
		for range 10 {
			other := node()
			all.Go(func() {
				if _, err := changes(other, in.Session, "wrong password", chosen); !errors.Is(err, ErrWrong) && !errors.Is(err, ErrLocked) {
					t.Errorf("the change: %v", err)
				}
			})
		}
		all.Wait()
		access, _, _ := l.Access(anna)
		if n := access.Lanes[journal.LaneUnknownDevice].Failures; n != journal.LockAfter {
			t.Errorf("%d attempts are counted, want %d", n, journal.LockAfter)
		}
		var locked *LockedError
		if _, err := changes(s, in.Session, secret, chosen); !errors.As(err, &locked) {
			t.Fatalf("the right password changes it although attempts are closed: %v", err)
		}
		mayNot(t, s, secret) // nor does it sign in
		time.Sleep(time.Duration(journal.LockFor) * time.Millisecond)
		if _, err := changes(s, signedIn(t, s).Session, secret, chosen); err != nil {
			t.Fatal(err)
		}
	})
}

func TestChangedPassword_OfTwoChangesAtOnceOneCounts_OnTheJournal(t *testing.T) {
	onTheJournal(t, func(t *testing.T, _ *ledger, node func() *Store) {
		s := node()
		in := signedIn(t, s)
		var all sync.WaitGroup
		done := make(chan string, 4)
		for _, word := range []string{"plums", "cherries", "apricots", "quinces"} {
			other := node()
			all.Go(func() {
				_, err := changes(other, in.Session, secret, "four ripe "+word)
				if err == nil {
					done <- "four ripe " + word
				} else if !errors.Is(err, ErrReplaced) && !errors.Is(err, ErrWrong) {
					t.Errorf("the change: %v", err)
				}
			})
		}
		all.Wait()
		if len(done) != 1 {
			t.Fatalf("%d of four changes were done", len(done))
		}
		if _, err := s.SignIn(nowhere, "anna", <-done, soon()); err != nil {
			t.Errorf("SignIn = %v", err)
		}
	})
}

func TestChosenPassword_UnfitOnesAreRefusedWithoutAnAttempt(t *testing.T) {
	onTheJournal(t, func(t *testing.T, l *ledger, node func() *Store) {
		s := node()
		in := signedIn(t, s)
		f := func(password string, want Unfit) {
			t.Helper()
			var unfit *UnfitError
			if _, err := changes(s, in.Session, secret, password); !errors.As(err, &unfit) || unfit.Why != want {
				t.Errorf("%q: %v, want %s", password, err, want)
			} else if strings.Contains(err.Error(), password) && password != "" {
				t.Errorf("the error holds the password: %v", err)
			}
		}
		f("", UnfitShort)
		f("plums 7", UnfitShort)
		f("六个字密码吧", UnfitShort) // 18 bytes
		f(strings.Repeat("a", PasswordMax+1), UnfitLong)
		f(strings.Repeat("a", passwordBytesMax+1), UnfitLong)
		f("four plums\x00 in a row", UnfitCharacters)
		f("four plums\xff in a row", UnfitCharacters)
		f("anna1234", UnfitOwn)
		f("1anna-ANNA-Anna7", UnfitOwn)
		f("Example Bank 1", UnfitOwn)
		f("trustno1", UnfitBreached)
		f(secret, UnfitSame)
		if access, _, _ := l.Access(anna); access.Lanes[journal.LaneUnknownDevice].Failures != 0 {
			t.Errorf("attempts were counted: %+v", access)
		}
		signedIn(t, s)
	})
}

func TestChosenPassword_SixtyFourCharactersOfAnyScriptAreTaken(t *testing.T) {
	onTheJournal(t, func(t *testing.T, _ *ledger, node func() *Store) {
		s := node()
		long := strings.Repeat("李子四颗", 16)
		if _, err := changes(s, signedIn(t, s).Session, secret, long); err != nil {
			t.Fatal(err)
		}
		if _, err := s.SignIn(nowhere, "anna", long, soon()); err != nil {
			t.Errorf("SignIn = %v", err)
		}
	})
}

func TestChosenPassword_AListThatCannotBeAskedIsLeftOutAndCounted(t *testing.T) {
	onTheJournal(t, func(t *testing.T, _ *ledger, node func() *Store) {
		s := node()
		if _, err := changes(s, signedIn(t, s).Session, secret, "cannot be asked"); err != nil {
			t.Fatal(err)
		}
		if n := testutil.ToFloat64(s.metrics.unasked); n != 1 {
			t.Errorf("%v passwords are counted that no list was asked for, want 1", n)
		}
	})
}

func TestChangedPassword_OnlyASessionInForceGetsThatFar(t *testing.T) {
	onTheJournal(t, func(t *testing.T, l *ledger, node func() *Store) {
		s := node()
		in := signedIn(t, s)
		if err := s.SignOut(in.Session, soon()); err != nil {
			t.Fatal(err)
		}
		if _, err := changes(s, in.Session, secret, chosen); !errors.Is(err, ErrEnded) {
			t.Errorf("the change: %v", err)
		}
		signedIn(t, s)
		if _, err := changes(s, in.Session, "wrong password", chosen); !errors.Is(err, ErrReplaced) {
			t.Errorf("the change: %v", err)
		}
		if access, _, _ := l.Access(anna); access.Lanes[journal.LaneUnknownDevice].Failures != 0 {
			t.Errorf("attempts were counted: %+v", access)
		}
	})
}

func TestChangedPassword_AsksForTheSecondFactorAndIsSealedForItsSession(t *testing.T) {
	onTheJournal(t, func(t *testing.T, _ *ledger, node func() *Store) {
		here, there := node(), node()
		in := signedIn(t, here)
		prepared, err := here.PreparePassword(in.Session, secret, chosen, soon())
		if err != nil {
			t.Fatal(err)
		}
		token, err := here.SealChange(in.Session, prepared)
		if err != nil {
			t.Fatal(err)
		}
		c, err := there.OpenChange(in.Session, []byte(token))
		if err != nil || c.Kind != PutPassword || c.Password.Replaces != prepared.Password.Replaces || !bytes.Equal(c.Password.Sealed, prepared.Password.Sealed) {
			t.Fatalf("opened: %v, %+v", err, c)
		}
		other := c
		other.Password.Sealed = append([]byte{1}, c.Password.Sealed...)
		if other.Challenge() == c.Challenge() || other.Subject() == c.Subject() {
			t.Error("another password has the same challenge or subject")
		}
		if _, err := there.EnactPassword(in.Session, &c, nil, soon()); !errors.Is(err, ErrPasskey) {
			t.Errorf("without a factor: %v", err)
		}
		mayNot(t, there, chosen)
		proof := journal.TOTP(steps.Add(1))
		in = signedIn(t, there)
		if _, err := there.OpenChange(in.Session, []byte(token)); !errors.Is(err, ErrConsent) {
			t.Errorf("in the next session: %v", err)
		}
		c, err = there.PreparePassword(in.Session, secret, chosen, soon())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := there.EnactPassword(in.Session, &c, &proof, soon()); err != nil {
			t.Fatal(err)
		}
		if _, err := here.SignIn(nowhere, "anna", chosen, soon()); err != nil {
			t.Error(err)
		}
	})
}
