package session

import (
	"encoding/base32"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pquerna/otp/totp"

	"netbank/cluster/journal"
)

// codeAt gives the code that an authenticator shows at a time.
func codeAt(t testing.TB, at time.Time) string {
	t.Helper()
	code, err := totp.GenerateCode(base32.StdEncoding.EncodeToString(seed), at)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func TestCodesAreThoseOfRFC6238(t *testing.T) {
	// Appendix B, SHA-1, cut to six digits.
	f := func(unix int64, code string) {
		t.Helper()
		if step, ok := matchCode(seed, code, time.Unix(unix, 0)); !ok || step != unix/30 {
			t.Fatalf("at %d: step %d, %v", unix, step, ok)
		}
	}
	f(59, "287082")
	f(1111111109, "081804")
	f(1111111111, "050471")
	f(1234567890, "005924")
	f(2000000000, "279037")
	f(20000000000, "353130")
}

func TestCodeIsTakenOneStepEitherWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		session := signedIn(t, s).Session
		now := time.Now().Unix() / 30
		f := func(steps int64, want error) {
			t.Helper()
			code := codeAt(t, time.Now().Add(time.Duration(steps)*CodeStep))
			step, err := s.CheckCode(session, code[:3]+" "+code[3:], soon())
			if !errors.Is(err, want) {
				t.Fatalf("%d steps off: %v, want %v", steps, err, want)
			}
			if err == nil && step != now+steps {
				t.Fatalf("%d steps off: step %d", steps, step)
			}
		}
		f(-1, nil)
		f(0, nil)
		f(1, nil)
		b.spend(anna, 0)
		f(-2, ErrWrong)
		f(2, ErrWrong)
	})
}

func TestCodeIsUsedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		session := signedIn(t, s).Session
		code, earlier := codeAt(t, time.Now()), codeAt(t, time.Now().Add(-CodeStep))
		step, err := s.CheckCode(session, code, soon())
		if err != nil {
			t.Fatal(err)
		}
		b.spend(anna, step)
		for _, c := range []string{code, earlier} {
			if _, err := newStore(t, b, dropped{}).CheckCode(session, c, soon()); !errors.Is(err, ErrUsed) {
				t.Fatalf("CheckCode = %v, want ErrUsed", err)
			}
		}
		time.Sleep(CodeStep)
		if _, err := s.CheckCode(session, codeAt(t, time.Now()), soon()); err != nil {
			t.Fatalf("the next code: %v", err)
		}
	})
}

func TestRule9_FiveWrongCodesLockTheLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		session := signedIn(t, s).Session
		right := codeAt(t, time.Now())
		wrong := string(flip(right, 0)[1:]) + "0"
		if wrong == right {
			t.Fatal("bad luck with the code")
		}
		for range journal.LockAfter {
			if _, err := newStore(t, b, dropped{}).CheckCode(session, wrong, soon()); !errors.Is(err, ErrWrong) {
				t.Fatalf("CheckCode = %v", err)
			}
		}
		var locked *LockedError
		if _, err := s.CheckCode(session, right, soon()); !errors.As(err, &locked) || !locked.Until.Equal(time.Now().Add(15*time.Minute)) {
			t.Fatalf("CheckCode = %v, want it locked for 15 minutes", err)
		}
	})
}

func TestOutMeansOut_AnEndedSessionCannotTryCodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		first := signedIn(t, s).Session
		second := signedIn(t, s).Session
		attempts := b.count("attempt")
		if _, err := s.CheckCode(first, "123456", soon()); !errors.Is(err, ErrReplaced) {
			t.Fatalf("CheckCode = %v", err)
		}
		if err := s.SignOut(second, soon()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.CheckCode(second, "123456", soon()); !errors.Is(err, ErrEnded) {
			t.Fatalf("CheckCode = %v", err)
		}
		delete(b.customers, anna)
		b.access[anna] = journal.Access{Epoch: second.Epoch, SignedIn: journal.Millis(second.SignedIn.UnixMilli())}
		if _, err := s.CheckCode(second, "123456", soon()); !errors.Is(err, ErrEnded) {
			t.Fatalf("CheckCode = %v", err)
		}
		if b.count("attempt") != attempts {
			t.Fatal("an ended session used up attempts")
		}
	})
}

// On a busy day the confirmation waits for its seat, and a customer sends the form again and again.
func TestRightCodeSentAgainIsNoGuess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		session := signedIn(t, s).Session
		code := codeAt(t, time.Now())
		before := b.count("attempt")
		var step int64
		for click := range 2 * journal.LockAfter {
			var err error
			if step, err = s.CheckCode(session, code, soon()); err != nil {
				t.Fatalf("click %d: %v", click+1, err)
			}
		}
		if n := b.count("attempt") - before; n != 1 {
			t.Errorf("%d attempts were counted for one code", n)
		}
		// A guess beside it is one, and five of them lock.
		for guess := range journal.LockAfter - 1 {
			if _, err := s.CheckCode(session, "000000", soon()); !errors.Is(err, ErrWrong) {
				t.Fatalf("guess %d: %v", guess+1, err)
			}
		}
		if _, err := s.CheckCode(session, "000000", soon()); !errors.Is(err, ErrLocked) {
			t.Errorf("after five attempts: %v, want ErrLocked", err)
		}
		// Spent is spent, and old is old.
		b.spend(anna, step)
		if _, err := s.CheckCode(session, code, soon()); !errors.Is(err, ErrUsed) {
			t.Errorf("a spent code: %v, want ErrUsed", err)
		}
		time.Sleep(3 * CodeStep)
		if _, err := s.CheckCode(session, code, soon()); !errors.Is(err, ErrWrong) {
			t.Errorf("an old code: %v, want ErrWrong", err)
		}
	})
}

func TestRightCodesAreBounded(t *testing.T) {
	r := newRightCodes()
	now := time.Unix(1_800_000_000, 0)
	for i := range rightCodesMax + 10 {
		r.add(rightCode{journal.CustomerID(i), 1, "123456"}, now)
	}
	if len(r.at) != rightCodesMax || len(r.next) != rightCodesMax {
		t.Errorf("%d and %d codes are remembered, want %d", len(r.at), len(r.next), rightCodesMax)
	}
	r.add(rightCode{1, 2, "123456"}, now.Add(rightCodeLifetime))
	if len(r.at) != 1 || len(r.next) != 1 {
		t.Errorf("%d and %d codes are remembered after their time", len(r.at), len(r.next))
	}
}

// After `--accept-clock`, or when the machine was asleep, the journal's time is not the wall's. Customers' devices show the latter.
func TestCodesGoByTheClockOnTheWall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, ahead := range []time.Duration{time.Hour, -10 * time.Minute} {
			b := newBank(t)
			b.ahead = ahead
			s := newStore(t, b, dropped{})
			s.wall = time.Now // Config.CodeClock
			if _, err := s.CheckCode(signedIn(t, s).Session, codeAt(t, time.Now()), soon()); err != nil {
				t.Errorf("the journal is %v ahead: %v", ahead, err)
			}
		}
	})
}

// A command whose first try got lost on its way back from the log is committed once more under its id: that is no refusal.
func TestAttemptThatTookTwoTriesCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		b.again = true
		s := newStore(t, b, dropped{})
		if _, err := s.CheckCode(signedIn(t, s).Session, codeAt(t, time.Now()), soon()); err != nil {
			t.Error(err)
		}
	})
}
