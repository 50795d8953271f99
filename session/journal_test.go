package session

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/kek"
)

// ledger is the journal itself, applied in one place: what bank stands for, so that the two cannot drift apart.
type ledger struct {
	mu      sync.RWMutex
	machine *journal.Machine
	kek     *kek.Key
}

func newLedger(t *testing.T) *ledger {
	t.Helper()
	key, err := kek.New(slices.Repeat([]byte{9}, kek.Size))
	if err != nil {
		t.Fatal(err)
	}
	l := &ledger{machine: journal.New(journal.NewMemoryStore(), journal.DefaultLimits()), kek: key}
	phc, err := HashPassword(secret, Cheap)
	if err != nil {
		t.Fatal(err)
	}
	l.must(t, &journal.Command{Id: commandID(), Body: &command.Command_PutKey{PutKey: &command.PutKey{
		Id: 1, Sealed: key.Seal(RootKeyPurpose, make([]byte, RootKeySize)),
	}}})
	l.must(t, &journal.Command{Id: commandID(), Body: &command.Command_PutCustomer{PutCustomer: &command.PutCustomer{
		Id: uint64(anna), Username: "anna", Name: "Anna Li", ReservedMessage: "blue heron", Locale: "en",
		PasswordSealed: key.Seal(PasswordPurpose(anna), []byte(phc)),
		TotpSealed:     key.Seal(TOTPPurpose(anna), seed),
		Accounts:       []*command.Account{{Number: "6222020000000001", Currency: "CNY"}},
	}}})
	return l
}

func (l *ledger) must(t *testing.T, cmd *journal.Command) journal.Result {
	t.Helper()
	result, err := l.Submit(cmd, soon())
	if err != nil || result.Verdict != journal.Done {
		t.Fatalf("Submit = %v, %v", result.Verdict, err)
	}
	return result
}

func (l *ledger) Submit(cmd *journal.Command, _ time.Time) (journal.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := &journal.Batch{Version: journal.Version, Term: 1, StampMs: int64(l.Now()), Commands: []*journal.Command{cmd}}
	results, _, err := l.machine.Apply(1, batch, nil, nil)
	if err != nil {
		return journal.Result{}, err
	}
	return results[0], nil
}

func (l *ledger) Customer(username string) (journal.Customer, bool, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	found, ok := l.machine.Customer(username)
	return found, ok, nil
}

func (l *ledger) CustomerByID(id journal.CustomerID) (journal.Customer, bool, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	found, ok := l.machine.CustomerByID(id)
	return found, ok, nil
}

func (l *ledger) Access(id journal.CustomerID) (journal.Access, bool, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	found, ok := l.machine.Access(id)
	return found, ok, nil
}

func (l *ledger) Keys() []journal.Key {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.machine.Keys()
}

// Listed makes the ledger a list of passwords that others know, too.
func (l *ledger) Listed(password string) (bool, error) {
	if password == "cannot be asked" {
		return false, errors.New("the list is away")
	}
	return password == "trustno1", nil
}

func (l *ledger) Now() journal.Millis { return journal.Millis(time.Now().UnixMilli()) }

// onTheJournal runs a test on nodes over one journal.
func onTheJournal(t *testing.T, test func(t *testing.T, l *ledger, node func() *Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t)
		test(t, l, func() *Store {
			s, err := New(Config{Directory: l, Opener: l.kek, Sealer: l.kek, Breached: []Breached{l}, Bank: "Example Bank", Params: Cheap, AllowCheapHash: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			return s
		})
	})
}

func TestRule9_OnTheJournal_ParallelGuessesAtFourNodesGetFiveChecks(t *testing.T) {
	onTheJournal(t, func(t *testing.T, _ *ledger, node func() *Store) {
		var checked atomic.Int64
		var all sync.WaitGroup
		for range 4 {
			s := node()
			s.hasher.matches = func(h Hash, password string) bool {
				if string(h.Digest) != string(s.dummy.Digest) {
					checked.Add(1)
				}
				return h.matches(password)
			}
			for range 10 {
				all.Go(func() {
					if _, err := s.SignIn(nowhere, "anna", "wrong password", soon()); !errors.Is(err, ErrWrong) && !errors.Is(err, ErrLocked) {
						t.Errorf("SignIn = %v", err)
					}
				})
			}
		}
		all.Wait()
		if checked.Load() != journal.LockAfter {
			t.Fatalf("%d checks, want %d", checked.Load(), journal.LockAfter)
		}
		time.Sleep(time.Duration(journal.LockFor) * time.Millisecond)
		signedIn(t, node())
	})
}

func TestRule9_OnTheJournal_GuessingCodesLocksTheLaneAndEndsTheSession(t *testing.T) {
	onTheJournal(t, func(t *testing.T, _ *ledger, node func() *Store) {
		s := node()
		in := signedIn(t, s)
		right := codeAt(t, time.Now())
		wrong := "000000"
		for i := 0; strings.Contains(right+codeAt(t, time.Now().Add(CodeStep))+codeAt(t, time.Now().Add(-CodeStep)), wrong); i++ {
			wrong = strings.Repeat(string(rune('1'+i)), CodeDigits)
		}
		for range journal.LockAfter {
			if _, err := s.CheckCode(in.Session, wrong, soon()); !errors.Is(err, ErrWrong) {
				t.Fatalf("CheckCode = %v", err)
			}
		}
		if _, err := s.CheckCode(in.Session, right, soon()); !errors.Is(err, ErrLocked) {
			t.Fatalf("CheckCode = %v", err)
		}
		refused(t, node(), in.Cookie, ErrEnded)
	})
}

func TestRightCodesOfRefusedPaymentsLockNobodyOut_OnTheJournal(t *testing.T) {
	onTheJournal(t, func(t *testing.T, _ *ledger, node func() *Store) {
		s := node()
		in := signedIn(t, s)
		for range 3 * journal.LockAfter {
			if _, err := s.CheckCode(in.Session, codeAt(t, time.Now()), soon()); err != nil {
				t.Fatalf("CheckCode = %v", err)
			}
			if err := s.ForgiveCode(in.Session, soon()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// The customer's own browser has been idle for too long, a copy of its cookie has not. Signing out ends both.
func TestOutMeansOut_SigningOutAfterIdlingEndsACopyThatWasKeptAlive_OnTheJournal(t *testing.T) {
	onTheJournal(t, func(t *testing.T, _ *ledger, node func() *Store) {
		s := node()
		in := signedIn(t, s)
		time.Sleep(IdleLimit - time.Minute)
		copied, err := s.Open([]byte(in.Cookie))
		if err != nil {
			t.Fatal(err)
		}
		renewed := s.Renew(copied)
		time.Sleep(IdleLimit - time.Minute)
		if _, err := s.Open([]byte(in.Cookie)); !errors.Is(err, ErrIdle) {
			t.Fatalf("Open = %v", err)
		}
		ending, err := s.OpenToEnd([]byte(in.Cookie))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SignOut(ending, soon()); err != nil {
			t.Fatal(err)
		}
		refused(t, node(), renewed, ErrEnded)
	})
}

func TestOutMeansOut_OnTheJournal(t *testing.T) {
	onTheJournal(t, func(t *testing.T, l *ledger, node func() *Store) {
		here, there := node(), node()
		first := signedIn(t, here)
		opened(t, there, first.Cookie)
		second := signedIn(t, there)
		refused(t, here, first.Cookie, ErrReplaced)
		session := opened(t, here, second.Cookie)
		if access, ok, _ := l.Access(anna); !ok || !access.InForce(session.Epoch, l.Now()) || session.Expires() <= l.Now() {
			t.Fatalf("the journal does not take the session: %+v", access)
		}
		if err := there.SignOut(session, soon()); err != nil {
			t.Fatal(err)
		}
		refused(t, here, second.Cookie, ErrEnded)
		if err := there.SignOut(first.Session, soon()); err != nil {
			t.Fatalf("signing out of a replaced session = %v", err)
		}
	})
}

func TestStrangersCannotLockOutTheUsualDevice_OnTheJournal(t *testing.T) {
	onTheJournal(t, func(t *testing.T, _ *ledger, node func() *Store) {
		s := node()
		device := []byte(s.RememberDevice(signedIn(t, s).Session, nil))
		for range 3 * journal.LockAfter {
			if _, err := s.SignIn(nowhere, "anna", "wrong password", soon()); err == nil {
				t.Fatal("a wrong password signed in")
			}
		}
		if in, err := s.SignIn(Client{Device: device}, "anna", secret, soon()); err != nil || !in.Session.KnownDevice {
			t.Fatalf("SignIn = %v", err)
		}
	})
}

func TestNobodyLeavesNoTraceInTheJournal(t *testing.T) {
	onTheJournal(t, func(t *testing.T, l *ledger, node func() *Store) {
		s := node()
		for range 3 {
			if _, err := s.SignIn(nowhere, "nobody", "wrong password", soon()); !errors.Is(err, ErrWrong) {
				t.Fatalf("SignIn = %v", err)
			}
		}
		if access, ok, _ := l.Access(nobody); ok {
			t.Fatalf("the journal keeps %+v for nobody", access)
		}
	})
}
