package session

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// PasswordPurpose is the purpose under which a customer's PHC string is sealed with the key-encryption key. It names the customer,
// so that one customer's hash cannot be put in another's record.
func PasswordPurpose(id journal.CustomerID) string {
	return "password/" + strconv.FormatUint(uint64(id), 10)
}

// nobody is the customer of attempts at user names that nobody has. No customer gets this number.
const nobody journal.CustomerID = math.MaxInt64

// grace is what a sign-in still gets to commit when its deadline passed while the password was hashed: the attempt is counted, so
// the answer should count too.
const grace = 2 * time.Second

// LockedError says until when a factor is locked. errors.Is finds ErrLocked in it.
type LockedError struct {
	Until time.Time
}

func (e *LockedError) Error() string {
	return ErrLocked.Error() + ", until " + e.Until.UTC().Format(time.RFC3339)
}

// Is makes the error one of ErrLocked.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// BusyError says when the sign-ins that are waiting will have been answered, from measured times. errors.Is finds ErrBusy in it.
type BusyError struct {
	RetryAfter time.Duration
}

func (e *BusyError) Error() string { return ErrBusy.Error() + " in " + e.RetryAfter.String() }

// Is makes the error one of ErrBusy.
func (e *BusyError) Is(target error) bool { return target == ErrBusy }

// AddressError says when the next sign-in from a device that never paid is taken from an address. errors.Is finds ErrAddress in it.
type AddressError struct {
	RetryAfter time.Duration
}

func (e *AddressError) Error() string { return ErrAddress.Error() + " in " + e.RetryAfter.String() }

// Is makes the error one of ErrAddress.
func (e *AddressError) Is(target error) bool { return target == ErrAddress }

// SignedIn is the outcome of a sign-in.
type SignedIn struct {
	Session *Session
	Cookie  string // the value of the session cookie to set
}

// SignIn checks a user name and a password and begins a session, which replaces the customer's older one. Both halves of a double click
// get one session (see Client.Form). It takes until the deadline, or a little longer once the attempt is counted.
//
// Errors: ErrMalformed, ErrBusy and ErrAddress (no attempt was counted), ErrWrong, ErrLocked, ErrUnavailable, ErrNoKey. An error
// that is also an ErrCredential belongs in the log: a record in the directory is unusable.
func (s *Store) SignIn(from Client, username, password string, deadline time.Time) (SignedIn, error) {
	name, err := NormalUsername(username)
	if err == nil {
		password, err = normalPassword(password)
	}
	if err != nil {
		s.metrics.signedIn(err)
		return SignedIn{}, err
	}
	return s.once(&from, name, password, deadline)
}

// check is one sign-in, and counts it.
func (s *Store) check(from *Client, username, password string, deadline time.Time) (SignedIn, error) {
	signedIn, err := s.signIn(from, username, password, deadline)
	s.metrics.signedIn(err)
	return signedIn, err
}

// signIn takes a user name and a password in their normal form.
func (s *Store) signIn(from *Client, username, password string, deadline time.Time) (SignedIn, error) {
	now := s.clock()
	if _, err := s.sealing(now); err != nil {
		return SignedIn{}, err
	}
	place, err := s.hasher.reserve(deadline)
	if err != nil {
		return SignedIn{}, err
	}
	defer place.leave()

	who, against, broken := s.claimed(username)
	if errors.Is(broken, ErrUnavailable) {
		return SignedIn{}, broken
	}
	owner, _, ok := s.openDevice(from.Device, now)
	a := attempt{from: from.Address, username: username, customer: who, known: ok && who != nobody && owner == who}
	if wait := s.sprays.full(a.from, journal.Millis(now.UnixMilli())); wait > 0 && !a.known {
		return SignedIn{}, &AddressError{wait}
	}
	// Rule 9: the attempt is committed before the password is looked at. Who waits too long for a turn has none.
	if err := place.await(deadline); err != nil {
		return SignedIn{}, err
	}
	result, err := s.submit(attemptPassword(who, a.known), deadline)
	if err != nil {
		return SignedIn{}, err
	}
	a.access = result.Access
	// Repeated: it took the node two tries to commit the attempt, and it is counted once.
	counted := result.Verdict == journal.Done || result.Verdict == journal.Repeated
	a.open = who != nobody && broken == nil && counted
	if !a.known {
		a.toldLocked = s.guesses.count(username, journal.Millis(now.UnixMilli()))
	}
	if !a.open {
		// The same work, whatever the reason, and no password matches the dummy.
		against = s.dummy
	}
	if right := place.check(password, against); !right || !a.open {
		if !a.known {
			s.sprays.count(a.from, 1, journal.Millis(now.UnixMilli()))
		}
		return SignedIn{}, a.refusal(result.Verdict, broken)
	}
	return s.begin(a, s.isListed(password), deadline)
}

// claimed looks up whom a user name claims to be, and gives the hash to check: nobody and no hash if there is none. broken says
// that the customer's own is unusable.
func (s *Store) claimed(username string) (who journal.CustomerID, against Hash, broken error) {
	customer, ok, err := s.directory.Customer(username)
	if err != nil {
		return nobody, Hash{}, fmt.Errorf("%w: customer: %w", ErrUnavailable, err)
	}
	if !ok {
		// The work that a customer's record asks for, with nothing in it: it is microseconds beside a hash, and measurable.
		_, _ = s.opener.Open(PasswordPurpose(nobody), s.decoy)
		_, _ = ParseHash(s.decoyPHC)
		return nobody, Hash{}, nil
	}
	against, err = s.hashOf(&customer)
	return customer.ID, against, err
}

// hashOf opens a customer's hash, or says that it is unusable.
func (s *Store) hashOf(customer *journal.Customer) (against Hash, err error) {
	phc, err := s.opener.Open(PasswordPurpose(customer.ID), customer.PasswordSealed)
	if err == nil {
		against, err = ParseHash(string(phc))
	}
	if err == nil {
		err = against.check(s.cheap)
	}
	if err != nil {
		return Hash{}, fmt.Errorf("%w: %w: customer %d: %w", ErrWrong, ErrCredential, customer.ID, err)
	}
	return against, nil
}

// attempt is one try at a password after it was committed.
type attempt struct {
	from       netip.Addr
	username   string
	customer   journal.CustomerID
	known      bool // from a device of the customer's own
	open       bool // the journal lets the password be checked
	access     journal.Access
	toldLocked journal.Millis // for strangers: until when the name is said to be locked, or 0
}

// refusal decides what a failed attempt is told. On a known device it is the journal's word; a stranger learns nothing but what
// strangers have tried at this node.
func (a *attempt) refusal(verdict journal.Verdict, broken error) error {
	switch {
	case a.known && verdict == journal.Locked:
		return lockedUntil(&a.access, journal.LaneKnownDevice)
	case a.toldLocked != 0:
		return &LockedError{time.UnixMilli(int64(a.toldLocked))}
	case broken != nil:
		return broken
	}
	return ErrWrong
}

func lockedUntil(access *journal.Access, lane int) error {
	return &LockedError{time.UnixMilli(int64(access.Lanes[lane].LastAttempt + journal.LockFor))}
}

// begin commits the session of a right password and seals its cookie.
func (s *Store) begin(a attempt, listed bool, deadline time.Time) (SignedIn, error) {
	if soon := time.Now().Add(grace); deadline.Before(soon) {
		deadline = soon
	}
	result, err := s.submit(signIn(a.customer, a.known), deadline)
	if err != nil {
		return SignedIn{}, err
	}
	switch result.Verdict {
	case journal.Done, journal.Repeated:
	case journal.Locked:
		return SignedIn{}, a.refusal(journal.Locked, nil)
	default:
		return SignedIn{}, fmt.Errorf("%w: sign-in: %s", ErrUnavailable, result.Verdict)
	}
	if !a.known {
		s.guesses.forget(a.username)
		s.sprays.count(a.from, -1, result.Access.SignedIn)
	}
	return s.enter(a.customer, a.known, listed, &result.Access)
}

// isListed tells whether others know a password that was right: the bank's own word for it may be one of theirs. That is the customer's to hear and to
// change, and no reason to keep him out: a payment takes a second factor.
func (s *Store) isListed(password string) bool {
	for _, list := range s.listed {
		switch listed, err := list.Listed(password); {
		case err != nil:
			s.metrics.unasked.Inc()
		case listed:
			s.metrics.listed.Inc()
			return true
		}
	}
	return false
}

// enter seals the cookie of a session that was committed.
func (s *Store) enter(customer journal.CustomerID, knownDevice, listed bool, access *journal.Access) (SignedIn, error) {
	now := s.clock()
	c := state{
		customer:    customer,
		epoch:       access.Epoch,
		signedIn:    access.SignedIn,
		lastSeen:    journal.Millis(now.UnixMilli()),
		knownDevice: knownDevice,
		listed:      listed,
	}
	rand.Read(c.csrf[:])
	profile, err := s.profile(c.customer, c.epoch, now)
	if err != nil {
		return SignedIn{}, err
	}
	cookie, err := s.sealCookie(&c, now)
	if err != nil {
		return SignedIn{}, err
	}
	return SignedIn{Session: newSession(&c, profile, now), Cookie: cookie}, nil
}

// submit gives the journal's answer, or an error that is ErrUnavailable and the node's own.
func (s *Store) submit(cmd *journal.Command, deadline time.Time) (journal.Result, error) {
	result, err := s.directory.Submit(cmd, deadline)
	if err != nil {
		return journal.Result{}, errors.Join(ErrUnavailable, err)
	}
	return result, nil
}

func commandID() []byte {
	id := make([]byte, 16)
	rand.Read(id)
	return id
}

func attemptPassword(customer journal.CustomerID, known bool) *journal.Command {
	return &journal.Command{Id: commandID(), Body: &command.Command_Attempt{Attempt: &command.Attempt{
		Customer: uint64(customer), Factor: command.Factor_FACTOR_PASSWORD, KnownDevice: known,
	}}}
}

func attemptFactor(customer journal.CustomerID, known bool, factor command.Factor) *journal.Command {
	return &journal.Command{Id: commandID(), Body: &command.Command_Attempt{Attempt: &command.Attempt{
		Customer: uint64(customer), Factor: factor, KnownDevice: known,
	}}}
}

func signIn(customer journal.CustomerID, known bool) *journal.Command {
	return &journal.Command{Id: commandID(), Body: &command.Command_SignIn{SignIn: &command.SignIn{
		Customer: uint64(customer), KnownDevice: known,
	}}}
}

func endSession(customer journal.CustomerID, epoch journal.Epoch) *journal.Command {
	return &journal.Command{Id: commandID(), Body: &command.Command_EndSession{EndSession: &command.EndSession{
		Customer: uint64(customer), SessionEpoch: uint64(epoch),
	}}}
}
