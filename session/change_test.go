package session

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"netbank/cluster/journal"
)

const chosen = "four plums in a row"

// mayNot expects that nobody can sign in with a password.
func mayNot(t *testing.T, s *Store, password string) {
	t.Helper()
	if _, err := s.SignIn(nowhere, "anna", password, nil, soon()); !errors.Is(err, ErrWrong) {
		t.Errorf("SignIn with %q = %v", password, err)
	}
}

func TestChangedPassword_CountsAtEveryNodeAndTheOldOneDoesNot(t *testing.T) {
	onTheJournal(t, func(t *testing.T, _ *ledger, node func() *Store) {
		here, there := node(), node()
		in := signedIn(t, here)
		copied := in.Cookie
		changed, err := here.ChangePassword(in.Session, secret, chosen, soon())
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
		if _, err := there.SignIn(nowhere, "anna", chosen, nil, soon()); err != nil {
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
				if _, err := other.ChangePassword(in.Session, "wrong password", chosen, soon()); !errors.Is(err, ErrWrong) && !errors.Is(err, ErrLocked) {
					t.Errorf("ChangePassword = %v", err)
				}
			})
		}
		all.Wait()
		access, _, _ := l.Access(anna)
		if n := access.Lanes[journal.LaneUnknownDevice].Failures; n != journal.LockAfter {
			t.Errorf("%d attempts are counted, want %d", n, journal.LockAfter)
		}
		var locked *LockedError
		if _, err := s.ChangePassword(in.Session, secret, chosen, soon()); !errors.As(err, &locked) {
			t.Fatalf("the right password changes it although attempts are closed: %v", err)
		}
		mayNot(t, s, secret) // nor does it sign in
		time.Sleep(time.Duration(journal.LockFor) * time.Millisecond)
		if _, err := s.ChangePassword(signedIn(t, s).Session, secret, chosen, soon()); err != nil {
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
				_, err := other.ChangePassword(in.Session, secret, "four ripe "+word, soon())
				if err == nil {
					done <- "four ripe " + word
				} else if !errors.Is(err, ErrReplaced) && !errors.Is(err, ErrWrong) {
					t.Errorf("ChangePassword = %v", err)
				}
			})
		}
		all.Wait()
		if len(done) != 1 {
			t.Fatalf("%d of four changes were done", len(done))
		}
		if _, err := s.SignIn(nowhere, "anna", <-done, nil, soon()); err != nil {
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
			if _, err := s.ChangePassword(in.Session, secret, password, soon()); !errors.As(err, &unfit) || unfit.Why != want {
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
		if _, err := s.ChangePassword(signedIn(t, s).Session, secret, long, soon()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.SignIn(nowhere, "anna", long, nil, soon()); err != nil {
			t.Errorf("SignIn = %v", err)
		}
	})
}

func TestChosenPassword_AListThatCannotBeAskedIsLeftOutAndCounted(t *testing.T) {
	onTheJournal(t, func(t *testing.T, _ *ledger, node func() *Store) {
		s := node()
		if _, err := s.ChangePassword(signedIn(t, s).Session, secret, "cannot be asked", soon()); err != nil {
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
		if _, err := s.ChangePassword(in.Session, secret, chosen, soon()); !errors.Is(err, ErrEnded) {
			t.Errorf("ChangePassword = %v", err)
		}
		signedIn(t, s)
		if _, err := s.ChangePassword(in.Session, "wrong password", chosen, soon()); !errors.Is(err, ErrReplaced) {
			t.Errorf("ChangePassword = %v", err)
		}
		if access, _, _ := l.Access(anna); access.Lanes[journal.LaneUnknownDevice].Failures != 0 {
			t.Errorf("attempts were counted: %+v", access)
		}
	})
}
