package session

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// ChosenMin is how many characters a password has at least that a customer chooses. NIST SP 800-63B asks for 8 beside a second factor, without
// which nothing is paid here, and for at least 64 to be taken (PasswordMax).
const ChosenMin = 8

// ownWordMin is how many characters a word has of a customer's or the bank's name that counts for nothing in a password.
const ownWordMin = 3

// Sealer seals under the key-encryption key. *kek.Key is one.
type Sealer interface {
	Seal(purpose string, secret []byte) []byte
}

// Breached is a list of passwords that others know. An error says that it cannot be asked at the moment.
type Breached interface {
	Listed(password string) (bool, error)
}

// Unfit is why nobody may have a password.
type Unfit string

// The reasons. They are words of a page's sentences.
const (
	UnfitShort      Unfit = "short"      // fewer than ChosenMin characters
	UnfitLong       Unfit = "long"       // more than PasswordMax characters
	UnfitCharacters Unfit = "characters" // control characters, or no UTF-8
	UnfitOwn        Unfit = "own"        // too little is left of it without the customer's or the bank's names
	UnfitBreached   Unfit = "breached"   // others know it
	UnfitSame       Unfit = "same"       // it is the present one
)

// UnfitError says why nobody may have the password that was chosen. errors.Is finds ErrUnfit in it.
type UnfitError struct {
	Why Unfit
}

func (e *UnfitError) Error() string { return ErrUnfit.Error() + " (" + string(e.Why) + ")" }

// Is makes the error one of ErrUnfit.
func (e *UnfitError) Is(target error) bool { return target == ErrUnfit }

// NewPassword is a password of the customer's own choice, hashed and sealed under the key-encryption key, and what it replaces.
type NewPassword struct {
	Replaces [sha256.Size]byte // SHA-256 of the sealed password that was checked
	Sealed   []byte
}

// PreparePassword checks the present password, and gives the change that puts a password of the customer's own choice in its place: for a second factor
// to confirm, and PutPassword to make. The attempt is counted with those of signing in, and committed before the password is looked at (rule 9).
//
// Lists of passwords that others know are asked before anything is counted. One that cannot be asked does not keep a customer from changing a
// password, who may have the best of reasons to: it is left out, and counted (netbank_password_breached_unasked_total).
//
// Errors: ErrUnfit (a *UnfitError), ErrBusy, ErrReplaced and ErrEnded (no attempt was counted), ErrWrong, ErrLocked, ErrUnavailable, ErrNoKey.
func (s *Store) PreparePassword(session *Session, present, chosen string, deadline time.Time) (Change, error) {
	change, err := s.preparePassword(session, present, chosen, deadline)
	if err != nil {
		s.metrics.changed(err)
	}
	return change, err
}

func (s *Store) preparePassword(session *Session, present, chosen string, deadline time.Time) (Change, error) {
	now := s.clock()
	if err := s.inForce(session.Customer, session.Epoch, journal.Millis(session.SignedIn.UnixMilli()), journal.Millis(now.UnixMilli())); err != nil {
		return Change{}, err
	}
	if s.sealer == nil {
		return Change{}, fmt.Errorf("%w: nothing to seal a password with", ErrUnavailable)
	}
	if _, err := s.sealing(now); err != nil {
		return Change{}, err
	}
	chosen, err := s.fit(session, chosen)
	if err != nil {
		return Change{}, err
	}
	present, err = normalPassword(present)
	if err != nil {
		return Change{}, ErrWrong // nobody has that one, so there is nothing to count
	}
	if present == chosen {
		return Change{}, &UnfitError{UnfitSame}
	}
	place, err := s.hasher.reserve(deadline)
	if err != nil {
		return Change{}, err
	}
	defer place.leave()
	stored, against, err := s.passwordOf(session.Customer)
	if err != nil {
		return Change{}, err
	}
	if err := place.await(deadline); err != nil {
		return Change{}, err
	}
	if err := s.countPassword(session, deadline); err != nil {
		return Change{}, err
	}
	right, phc := false, ""
	place.work(func() { right = s.hasher.matches(against, present) })
	if !right {
		return Change{}, ErrWrong
	}
	place.work(func() { phc, err = HashPasswordBy(s.deriver, chosen, s.params) })
	if err != nil {
		return Change{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return Change{Kind: PutPassword, Password: NewPassword{Replaces: sha256.Sum256(stored), Sealed: s.sealer.Seal(PasswordPurpose(session.Customer), []byte(phc))}}, nil
}

// passwordOf gives a customer's sealed password and the hash in it.
func (s *Store) passwordOf(id journal.CustomerID) ([]byte, Hash, error) {
	customer, ok, err := s.directory.CustomerByID(id)
	if err != nil {
		return nil, Hash{}, fmt.Errorf("%w: customer: %w", ErrUnavailable, err)
	}
	if !ok {
		return nil, Hash{}, ErrEnded
	}
	against, err := s.hashOf(&customer)
	return customer.PasswordSealed, against, err
}

// countPassword commits the attempt at the present password.
func (s *Store) countPassword(session *Session, deadline time.Time) error {
	result, err := s.submit(attemptPassword(session.Customer, session.KnownDevice), deadline)
	if err != nil {
		return err
	}
	switch result.Verdict {
	case journal.Done, journal.Repeated:
		return nil
	case journal.Locked:
		lane := journal.LaneUnknownDevice
		if session.KnownDevice {
			lane = journal.LaneKnownDevice
		}
		return lockedUntil(&result.Access, lane)
	}
	return fmt.Errorf("%w: attempt: %s", ErrUnavailable, result.Verdict)
}

// EnactPassword commits a new password with the proof that confirms it, and gives the session that begins with it: whoever has a copy of the old one's
// cookie, or the old password, is out at every node. A nil proof does only for customers who have no second factor.
//
// Errors: ErrUsed and ErrPasskey (of the proof), ErrReplaced, ErrWrong (it was changed meanwhile), ErrUnavailable, ErrNoKey. On ErrUnavailable it may
// have been changed.
func (s *Store) EnactPassword(session *Session, c *Change, proof *journal.Proof, deadline time.Time) (SignedIn, error) {
	changed, err := s.enactPassword(session, c, proof, deadline)
	s.metrics.changed(err)
	return changed, err
}

func (s *Store) enactPassword(session *Session, c *Change, proof *journal.Proof, deadline time.Time) (SignedIn, error) {
	if c.Kind != PutPassword {
		return SignedIn{}, ErrConsent
	}
	if soon := time.Now().Add(grace); deadline.Before(soon) {
		deadline = soon
	}
	subject := c.Subject()
	body := &command.ReplacePassword{
		Customer: uint64(session.Customer), SessionEpoch: uint64(session.Epoch), Replaces: c.Password.Replaces[:], PasswordSealed: c.Password.Sealed,
		KnownDevice: session.KnownDevice, Subject: subject[:],
	}
	if proof != nil {
		body.Proof = commandOf(proof)
	}
	result, err := s.submit(&journal.Command{Id: commandID(), Body: &command.Command_ReplacePassword{ReplacePassword: body}}, deadline)
	if err != nil {
		return SignedIn{}, err
	}
	switch result.Verdict {
	case journal.Done, journal.Repeated:
		return s.enter(session.Customer, session.KnownDevice, false, &result.Access)
	case journal.NoSession:
		return SignedIn{}, ErrReplaced
	case journal.NotAllowed: // it was changed meanwhile: the present one is another
		return SignedIn{}, ErrWrong
	case journal.FactorUsed:
		return SignedIn{}, ErrUsed
	case journal.FactorRefused:
		return SignedIn{}, ErrPasskey
	}
	return SignedIn{}, fmt.Errorf("%w: change of password: %s", ErrUnavailable, result.Verdict)
}

// fit gives the normal form of a password that a customer may have, or an *UnfitError.
func (s *Store) fit(session *Session, chosen string) (string, error) {
	switch {
	case len(chosen) > passwordBytesMax:
		return "", &UnfitError{UnfitLong}
	case !plain(chosen):
		return "", &UnfitError{UnfitCharacters}
	}
	chosen = norm.NFC.String(chosen)
	switch n := utf8.RuneCountInString(chosen); {
	case n < ChosenMin:
		return "", &UnfitError{UnfitShort}
	case n > PasswordMax:
		return "", &UnfitError{UnfitLong}
	case utf8.RuneCountInString(without(chosen, session.Username, session.Name, s.bank)) < ChosenMin:
		return "", &UnfitError{UnfitOwn}
	}
	for _, list := range s.breached {
		switch listed, err := list.Listed(chosen); {
		case err != nil:
			s.metrics.unasked.Inc()
		case listed:
			return "", &UnfitError{UnfitBreached}
		}
	}
	return chosen, nil
}

// without takes the words of some names out of a password, in whatever case, as those who guess passwords would.
func without(password string, names ...string) string {
	rest := strings.ToLower(password)
	for _, name := range names {
		for _, word := range strings.Fields(strings.ToLower(name)) {
			if utf8.RuneCountInString(word) >= ownWordMin {
				rest = strings.ReplaceAll(rest, word, "")
			}
		}
	}
	return rest
}
