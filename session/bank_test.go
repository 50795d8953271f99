package session

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/kek"
)

// bank stands for the journal: it applies the commands of signing in one after another, as every node would. It also
// counts what it was asked, so that tests can say "before".
type bank struct {
	mu        sync.Mutex
	customers map[journal.CustomerID]journal.Customer
	access    map[journal.CustomerID]journal.Access
	keys      []journal.Key
	kek       *kek.Key
	submitted []*journal.Command
	fail      error                      // what Submit answers instead
	before    func(*journal.Command)     // called by Submit, outside the lock
	answer    map[string]journal.Verdict // by kind of command: what Submit answers instead
	ahead     time.Duration              // of the journal's time before the machine's
	again     bool                       // commands take two tries: what took effect is answered with Repeated
	asked     map[journal.CustomerID]int // calls of CustomerByID
	attempts  map[journal.CustomerID]int // attempts that were let through
}

const (
	anna   journal.CustomerID = 7
	secret                    = "correct horse battery"
)

// nowhere is the client of tests that are not about clients.
var nowhere Client

var seed = []byte("12345678901234567890") // that of RFC 6238's examples

// newBank has one root key and the customer anna, and stands in t's (maybe synthetic) time.
func newBank(t testing.TB) *bank {
	t.Helper()
	key, err := kek.New(slices.Repeat([]byte{9}, kek.Size))
	if err != nil {
		t.Fatal(err)
	}
	b := &bank{
		customers: map[journal.CustomerID]journal.Customer{},
		access:    map[journal.CustomerID]journal.Access{},
		asked:     map[journal.CustomerID]int{},
		attempts:  map[journal.CustomerID]int{},
		answer:    map[string]journal.Verdict{},
		kek:       key,
	}
	b.rotate(1)
	b.put(t, anna, "anna", secret)
	return b
}

func (b *bank) put(t testing.TB, id journal.CustomerID, username, password string) {
	t.Helper()
	phc, err := HashPassword(password, Cheap)
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.customers[id] = journal.Customer{
		ID: id, Username: username, Name: "Anna Li", ReservedMessage: "blue heron", Tier: 2, Locale: "zh-CN",
		PasswordSealed: b.kek.Seal(PasswordPurpose(id), []byte(phc)),
		TOTPSealed:     b.kek.Seal(TOTPPurpose(id), seed),
		Accounts:       []journal.Account{{Number: "6222020000000001", Currency: "CNY", Label: "everyday"}},
	}
}

// rotate adds the root key of an id, as the leader's job does.
func (b *bank) rotate(id uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keys = append(b.keys, journal.Key{ID: id, Sealed: b.kek.Seal(RootKeyPurpose, slices.Repeat([]byte{byte(id), byte(id >> 8), 3, 4}, RootKeySize/4)), Created: b.Now()})
}

func (b *bank) Now() journal.Millis { return journal.Millis(time.Now().Add(b.ahead).UnixMilli()) }

func (b *bank) Keys() []journal.Key {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.keys)
}

func (b *bank) Customer(username string) (journal.Customer, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for customer := range maps.Values(b.customers) {
		if customer.Username == username {
			return customer, true, nil
		}
	}
	return journal.Customer{}, false, nil
}

func (b *bank) CustomerByID(id journal.CustomerID) (journal.Customer, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked[id]++
	customer, ok := b.customers[id]
	return customer, ok, nil
}

func (b *bank) Access(id journal.CustomerID) (journal.Access, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	access, ok := b.access[id]
	return access, ok, nil
}

func (b *bank) Submit(cmd *journal.Command, deadline time.Time) (journal.Result, error) {
	if b.before != nil {
		b.before(cmd)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(cmd.Id) != 16 {
		return journal.Result{}, errors.New("bank: a command without an id")
	}
	if b.fail != nil {
		return journal.Result{}, b.fail
	}
	if !time.Now().Before(deadline) {
		return journal.Result{}, errors.New("bank: too late")
	}
	b.submitted = append(b.submitted, cmd)
	if verdict, ok := b.answer[kindOf(cmd)]; ok {
		return journal.Result{Verdict: verdict}, nil
	}
	switch body := cmd.Body.(type) {
	case *command.Command_Attempt:
		result := b.attempt(body.Attempt)
		if b.again && result.Verdict == journal.Done {
			result.Verdict = journal.Repeated
		}
		return result, nil
	case *command.Command_SignIn:
		return b.signIn(body.SignIn), nil
	case *command.Command_EndSession:
		return b.endSession(body.EndSession), nil
	}
	return journal.Result{Verdict: journal.BadCommand}, nil
}

func kindOf(cmd *journal.Command) string {
	switch cmd.Body.(type) {
	case *command.Command_Attempt:
		return "attempt"
	case *command.Command_SignIn:
		return "sign-in"
	}
	return "end"
}

func laneOf(factor command.Factor, known bool) int {
	switch {
	case factor == command.Factor_FACTOR_TOTP:
		return journal.LaneOneTimeCode
	case known:
		return journal.LaneKnownDevice
	}
	return journal.LaneUnknownDevice
}

func (b *bank) attempt(a *command.Attempt) journal.Result {
	id := journal.CustomerID(a.Customer)
	if _, ok := b.customers[id]; !ok {
		return journal.Result{Verdict: journal.NotFound}
	}
	access, now := b.access[id], b.Now()
	lane := &access.Lanes[laneOf(a.Factor, a.KnownDevice)]
	if lane.Failures >= journal.LockAfter {
		if now-lane.LastAttempt < journal.LockFor {
			return journal.Result{Verdict: journal.Locked, Access: access}
		}
		lane.Failures = 0
	}
	lane.Failures++
	lane.LastAttempt = now
	b.access[id] = access
	b.attempts[id]++
	return journal.Result{Access: access}
}

func (b *bank) signIn(s *command.SignIn) journal.Result {
	id := journal.CustomerID(s.Customer)
	access := b.access[id]
	access.Epoch++
	access.SignedIn, access.Ended = b.Now(), false
	access.Lanes[laneOf(command.Factor_FACTOR_PASSWORD, s.KnownDevice)] = journal.Lane{}
	b.access[id] = access
	return journal.Result{Access: access}
}

func (b *bank) endSession(e *command.EndSession) journal.Result {
	id := journal.CustomerID(e.Customer)
	access := b.access[id]
	if access.Epoch != journal.Epoch(e.SessionEpoch) || access.Ended {
		return journal.Result{Verdict: journal.NoSession, Access: access}
	}
	access.Ended = true
	b.access[id] = access
	return journal.Result{Access: access}
}

// spend is what Authorise does with the step of a code.
func (b *bank) spend(id journal.CustomerID, step int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	access := b.access[id]
	access.TOTPStep = step
	access.Lanes[journal.LaneOneTimeCode] = journal.Lane{}
	b.access[id] = access
}

func (b *bank) count(kind string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, cmd := range b.submitted {
		if kindOf(cmd) == kind {
			n++
		}
	}
	return n
}

// dropped is a cache that keeps nothing: every Set is lost.
type dropped struct{}

func (dropped) get(string) (*cachedProfile, bool) { return nil, false }
func (dropped) set(string, *cachedProfile)        {}
func (dropped) close()                            {}

// kept is a cache that loses nothing, whatever its age, so that what stands in it is certain.
type kept map[string]*cachedProfile

func (k kept) get(key string) (*cachedProfile, bool) { p, ok := k[key]; return p, ok }
func (k kept) set(key string, p *cachedProfile)      { k[key] = p }
func (kept) close()                                  {}

// newStore makes a node's Store over a bank, with a given cache.
func newStore(t testing.TB, b *bank, cache profiles) *Store {
	t.Helper()
	s, err := New(Config{Directory: b, Opener: b.kek, Sealer: b.kek, Params: Cheap, AllowCheapHash: true, Limits: Limits{HashWorkers: 2, HashQueue: 8}})
	if err != nil {
		t.Fatal(err)
	}
	if cache != nil {
		s.profiles.close()
		s.profiles = cache
	}
	t.Cleanup(s.Close)
	return s
}

func soon() time.Time { return time.Now().Add(5 * time.Second) }

// signedIn signs anna in on an unknown device.
func signedIn(t testing.TB, s *Store) SignedIn {
	t.Helper()
	in, err := s.SignIn(nowhere, "anna", secret, soon())
	if err != nil {
		t.Fatalf("SignIn = %v", err)
	}
	return in
}
