package session

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

func TestRule9_FiveParallelGuessesOverSeveralNodesGetFiveChecksAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		var checked atomic.Int64
		var wrong, locked atomic.Int64
		var all sync.WaitGroup
		for range 4 {
			s := newStore(t, b, dropped{})
			s.hasher.matches = func(h Hash, password string) bool {
				if string(h.Digest) != string(s.dummy.Digest) {
					checked.Add(1)
				}
				return h.matches(password)
			}
			for i := range 5 {
				all.Go(func() {
					_, err := s.SignIn(nowhere, "anna", fmt.Sprintf("wrong guess %d", i), soon())
					switch {
					case errors.Is(err, ErrLocked):
						locked.Add(1)
					case errors.Is(err, ErrWrong):
						wrong.Add(1)
					default:
						t.Errorf("SignIn = %v", err)
					}
				})
			}
		}
		all.Wait()
		if checked.Load() != journal.LockAfter {
			t.Fatalf("20 guesses at 4 nodes got %d checks, want %d", checked.Load(), journal.LockAfter)
		}
		if _, err := newStore(t, b, dropped{}).SignIn(nowhere, "anna", secret, soon()); !errors.Is(err, ErrWrong) {
			t.Fatalf("the right password opened a locked lane: %v", err)
		}
	})
}

func TestRule9_PasswordIsNotLookedAtBeforeItsAttemptIsCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		hashed := 0
		s.hasher.matches = func(h Hash, password string) bool { hashed++; return h.matches(password) }
		b.before = func(cmd *journal.Command) {
			if kindOf(cmd) == "attempt" && hashed != 0 {
				t.Error("hashed before the attempt was committed")
			}
		}
		signedIn(t, s)
		lost := errors.New("no leader")
		b.fail = lost
		hashed = 0
		if _, err := s.SignIn(nowhere, "anna", secret, soon()); !errors.Is(err, ErrUnavailable) || !errors.Is(err, lost) {
			t.Fatalf("SignIn = %v", err)
		}
		if hashed != 0 {
			t.Fatal("a password was checked whose attempt is not in the journal")
		}
	})
}

func TestRule9_CodeIsNotLookedAtBeforeItsAttemptIsCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		session := signedIn(t, s).Session
		b.fail = errors.New("no leader")
		right := codeAt(t, time.Now())
		if _, err := s.CheckCode(session, right, soon()); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("CheckCode = %v, want no word on the code", err)
		}
	})
}

func TestSignInTellsAStrangerNothingAboutWhoIsACustomer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		b.put(t, 8, "broken", secret)
		broken := b.customers[8]
		broken.PasswordSealed = []byte("damaged")
		b.customers[8] = broken
		s := newStore(t, b, dropped{})
		hashed := 0
		s.hasher.matches = func(h Hash, password string) bool { hashed++; return h.matches(password) }
		// What a name's n-th wrong guess brings: the answer, the hashes and the journal's commands.
		course := func(name string) (told []string) {
			for range 2 * journal.LockAfter {
				hashed = 0
				commands := len(b.submitted)
				_, err := s.SignIn(nowhere, name, "wrong password", soon())
				answer := "wrong"
				var locked *LockedError
				if errors.As(err, &locked) {
					answer = "locked for " + time.Until(locked.Until).String()
				} else if !errors.Is(err, ErrWrong) {
					t.Fatalf("SignIn(%s) = %v", name, err)
				}
				told = append(told, fmt.Sprintf("%s, %d hashes, %d commands", answer, hashed, len(b.submitted)-commands))
				time.Sleep(time.Second)
			}
			return told
		}
		want := course("nobody")
		if want[0] != "wrong, 1 hashes, 1 commands" || want[5] != "locked for 14m59s, 1 hashes, 1 commands" {
			t.Fatalf("an unknown name is told %q", want)
		}
		for _, name := range []string{"anna", "broken"} {
			if got := course(name); strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Fatalf("%s is told %q, an unknown name %q", name, got, want)
			}
		}
		// The same at a node that has seen none of it, although anna's lane is locked.
		other := newStore(t, b, dropped{})
		for _, name := range []string{"anna", "nobody", "broken"} {
			if _, err := other.SignIn(nowhere, name, "wrong password", soon()); !errors.Is(err, ErrWrong) {
				t.Fatalf("SignIn(%s) at another node = %v", name, err)
			}
		}
	})
}

func TestStrangersCannotLockOutTheUsualDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		device := s.RememberDevice(signedIn(t, s).Session, nil)
		for range 50 {
			if _, err := s.SignIn(nowhere, "anna", "wrong password", soon()); err == nil {
				t.Fatal("a wrong password signed in")
			}
		}
		if _, err := s.SignIn(nowhere, "anna", secret, soon()); !errors.Is(err, ErrLocked) {
			t.Fatalf("unknown device: %v, want ErrLocked", err)
		}
		in, err := s.SignIn(Client{Device: []byte(device)}, "anna", secret, soon())
		if err != nil || !in.Session.KnownDevice {
			t.Fatalf("the usual device: %v", err)
		}
		if !opened(t, s, in.Cookie).KnownDevice {
			t.Fatal("the cookie forgot that the device is known")
		}
		// Nor does another customer's device help a stranger.
		b.put(t, 8, "ben", "another password")
		ben, err := s.SignIn(Client{Device: []byte(device)}, "ben", "another password", soon())
		if err != nil || ben.Session.KnownDevice {
			t.Fatalf("ben on anna's device: %v", err)
		}
		if _, err := s.SignIn(Client{Device: []byte(s.RememberDevice(ben.Session, nil))}, "anna", secret, soon()); !errors.Is(err, ErrLocked) {
			t.Fatalf("anna on ben's device: %v", err)
		}
		if _, err := s.SignIn(Client{Device: []byte(device[:len(device)-1] + "!")}, "anna", secret, soon()); !errors.Is(err, ErrLocked) {
			t.Fatalf("a forged device: %v", err)
		}
	})
}

func TestKnownDeviceIsToldUntilWhenItIsLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		device := []byte(s.RememberDevice(signedIn(t, s).Session, nil))
		for range journal.LockAfter {
			if _, err := s.SignIn(Client{Device: device}, "anna", "wrong password", soon()); !errors.Is(err, ErrWrong) {
				t.Fatalf("SignIn = %v", err)
			}
		}
		lockedAt := time.Now()
		time.Sleep(time.Minute)
		_, err := newStore(t, b, dropped{}).SignIn(Client{Device: device}, "anna", secret, soon())
		var locked *LockedError
		if !errors.As(err, &locked) || !locked.Until.Equal(lockedAt.Add(15*time.Minute)) || !strings.Contains(err.Error(), "until 2000-01-01T00:15:00Z") {
			t.Fatalf("SignIn = %v", err)
		}
		time.Sleep(14 * time.Minute)
		if _, err := s.SignIn(Client{Device: device}, "anna", secret, soon()); err != nil {
			t.Fatalf("after the lock: %v", err)
		}
		if n := len(b.submitted); n == 0 {
			t.Fatal("nothing was submitted")
		}
	})
}

func TestSuccessForgivesEarlierMistakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, newBank(t), dropped{})
		for range 3 {
			for range journal.LockAfter - 1 {
				if _, err := s.SignIn(nowhere, "anna", "wrong password", soon()); !errors.Is(err, ErrWrong) {
					t.Fatal(err)
				}
			}
			signedIn(t, s)
		}
	})
}

func TestWhatNobodyCanHaveIsRefusedWithoutAnAttempt(t *testing.T) {
	b := newBank(t)
	s := newStore(t, b, dropped{})
	f := func(username, password string) {
		t.Helper()
		if _, err := s.SignIn(nowhere, username, password, soon()); !errors.Is(err, ErrMalformed) {
			t.Fatalf("SignIn = %v", err)
		}
	}
	f("", secret)
	f("   ", secret)
	f(strings.Repeat("a", UsernameMax+1), secret)
	f("anna\x00", secret)
	f("anna\xff", secret)
	f("anna", "1234567")
	f("anna", strings.Repeat("a", PasswordMax+1))
	f("anna", strings.Repeat("a", 1<<20))
	f("anna", "12345678\n")
	f("anna", "1234567\xc3\x28")
	session := signedIn(t, s).Session
	for _, code := range []string{"", "12345", "1234567", "12345a", "１２３４５６", "12345\n"} {
		if _, err := s.CheckCode(session, code, soon()); !errors.Is(err, ErrMalformed) {
			t.Fatalf("CheckCode(%q) = %v", code, err)
		}
	}
	if n := b.count("attempt"); n != 1 {
		t.Fatalf("%d attempts were counted", n)
	}
}

func TestPasswordIsTheSameFromEveryKeyboard(t *testing.T) {
	b := newBank(t)
	b.put(t, 8, "zoé", "crème brûlée") // composed
	s := newStore(t, b, dropped{})
	if _, err := s.SignIn(nowhere, " zoe\u0301 ", "cre\u0300me bru\u0302le\u0301e", soon()); err != nil {
		t.Fatal(err)
	}
}

func TestUnusableCredentialIsForTheLogOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		session := signedIn(t, s).Session
		spoil := func(change func(*journal.Customer)) {
			customer := b.customers[anna]
			change(&customer)
			b.customers[anna] = customer
		}
		f := func(err error, want string) {
			t.Helper()
			if !errors.Is(err, ErrWrong) || !errors.Is(err, ErrCredential) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "m=64,t=1,p=1$") {
				t.Fatalf("error %v, want ErrWrong and ErrCredential with %q", err, want)
			}
		}
		password := func(sealed []byte) error {
			spoil(func(c *journal.Customer) { c.PasswordSealed = sealed })
			_, err := s.SignIn(nowhere, "anna", secret, soon())
			return err
		}
		f(password([]byte("damaged")), "customer 7")
		f(password(b.kek.Seal(PasswordPurpose(8), []byte("x"))), "--kek-file")
		f(password(b.kek.Seal(PasswordPurpose(anna), []byte("plain"))), "PHC")
		s.cheap = false
		phc, err := HashPassword(secret, Cheap)
		if err != nil {
			t.Fatal(err)
		}
		f(password(b.kek.Seal(PasswordPurpose(anna), []byte(phc))), "weaker than")

		spoil(func(c *journal.Customer) { c.TOTPSealed = b.kek.Seal(TOTPPurpose(anna), []byte("short")) })
		_, err = s.CheckCode(session, "123456", soon())
		f(err, "seed of 5 bytes")
	})
}

func TestJournalsOddAnswersAreUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		session := signedIn(t, s).Session
		b.answer["sign-in"] = journal.NotFound
		if _, err := s.SignIn(nowhere, "anna", secret, soon()); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("SignIn = %v", err)
		}
		b.answer["sign-in"] = journal.Locked
		if _, err := s.SignIn(nowhere, "anna", secret, soon()); !errors.Is(err, ErrWrong) {
			t.Fatalf("SignIn = %v", err)
		}
		b.answer["attempt"] = journal.BadCommand
		if _, err := s.CheckCode(session, "123456", soon()); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("CheckCode = %v", err)
		}
		b.answer["attempt"] = journal.NoSession
		if _, err := s.CheckCode(session, "123456", soon()); !errors.Is(err, ErrEnded) {
			t.Fatalf("CheckCode = %v", err)
		}
	})
}

func TestAttemptThatWasCountedMayCommitAfterItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		s.hasher.matches = func(h Hash, password string) bool {
			time.Sleep(time.Second)
			return h.matches(password)
		}
		if _, err := s.SignIn(nowhere, "anna", secret, time.Now().Add(500*time.Millisecond)); err != nil {
			t.Fatalf("SignIn = %v", err)
		}
	})
}

func TestAttemptsNameTheLaneAndNoSecret(t *testing.T) {
	b := newBank(t)
	s := newStore(t, b, dropped{})
	in := signedIn(t, s)
	device := s.RememberDevice(in.Session, nil)
	if _, err := s.SignIn(Client{Device: []byte(device)}, "anna", secret, soon()); err != nil {
		t.Fatal(err)
	}
	known := b.submitted[len(b.submitted)-2].Body.(*command.Command_Attempt).Attempt
	if !known.KnownDevice || known.Factor != command.Factor_FACTOR_PASSWORD || known.Customer != uint64(anna) {
		t.Fatalf("attempt %v", known)
	}
	for _, cmd := range b.submitted {
		if strings.Contains(cmd.String(), secret) {
			t.Fatal("a command holds the password")
		}
	}
}

func TestGuessesAreBoundedAndForgottenAfterTheLock(t *testing.T) {
	g := newGuesses(100)
	now := journal.Millis(1_000_000)
	for i := range 10_000 {
		g.count(fmt.Sprint("user", i), now)
	}
	if len(g.by) != 100 {
		t.Fatalf("%d names are remembered, want 100", len(g.by))
	}
	g = newGuesses(100)
	for range journal.LockAfter {
		if until := g.count("anna", now); until != 0 {
			t.Fatalf("locked until %d", until)
		}
	}
	if until := g.count("anna", now+journal.LockFor-1); until != now+journal.LockFor {
		t.Fatalf("locked until %d", until)
	}
	if until := g.count("anna", now+journal.LockFor); until != 0 {
		t.Fatalf("still locked until %d", until)
	}
}
