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
