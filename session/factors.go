package session

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// PhonePurpose is the purpose under which the address that a customer's codes are sent to is sealed with the key-encryption key.
func PhonePurpose(id journal.CustomerID) string { return "phone/" + strconv.FormatUint(uint64(id), 10) }

// PhoneMax bounds a telephone number (ITU-T E.164: a plus sign and 15 digits).
const PhoneMax = 16

// NormalPhone gives a telephone number as it is kept, or false: a plus sign and 7 to 15 digits; spaces, hyphens and brackets are left out.
func NormalPhone(number string) (string, bool) {
	digits, ok := strings.CutPrefix(strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -()", r) {
			return -1
		}
		return r
	}, number), "+")
	if !ok || len(digits) < 7 || len(digits) > PhoneMax-1 || strings.Trim(digits, "0123456789") != "" || digits[0] == '0' {
		return "", false
	}
	return "+" + digits, true
}

// Factors are the second factors that a customer has.
type Factors struct {
	TOTP     bool
	Phone    string // the last digits of the number that codes are sent to; empty: they are sent nowhere
	Passkeys []journal.Passkey
}

// Factors looks up which second factors a customer has now.
func (s *Store) Factors(session *Session) (Factors, error) {
	c, err := s.customer(session.Customer)
	if err != nil {
		return Factors{}, err
	}
	f := Factors{TOTP: len(c.TOTPSealed) > 0, Passkeys: c.Passkeys}
	if len(c.PhoneSealed) > 0 {
		number, err := s.phone(&c)
		if err != nil {
			return Factors{}, err
		}
		f.Phone = number[len(number)-phoneShown:]
	}
	return f, nil
}

// Phone gives the number that messages to a customer go to; empty: there is none.
func (s *Store) Phone(session *Session) (string, error) {
	c, err := s.customer(session.Customer)
	if err != nil || len(c.PhoneSealed) == 0 {
		return "", err
	}
	return s.phone(&c)
}

// phoneShown is how many digits of a telephone number pages show.
const phoneShown = 4

func (s *Store) customer(id journal.CustomerID) (journal.Customer, error) {
	c, ok, err := s.directory.CustomerByID(id)
	if err != nil {
		return journal.Customer{}, fmt.Errorf("%w: customer: %w", ErrUnavailable, err)
	}
	if !ok {
		return journal.Customer{}, ErrEnded
	}
	return c, nil
}

func (s *Store) phone(c *journal.Customer) (string, error) {
	number, err := s.opener.Open(PhonePurpose(c.ID), c.PhoneSealed)
	if err == nil && (len(number) <= phoneShown || len(number) > PhoneMax) {
		err = fmt.Errorf("session: a telephone number of %d characters", len(number))
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w: customer %d: %w", ErrWrong, ErrCredential, c.ID, err)
	}
	return string(number), nil
}

// SentCode is a one-time code that is sent to a customer for one consent or change. It travels sealed with that, so that no node keeps it, and
// the journal holds which number is the newest.
type SentCode struct {
	Number int64
	At     journal.Millis

	digits [CodeDigits]byte
}

// Digits is the code itself, for the message and nothing else.
func (c *SentCode) Digits() string { return string(c.digits[:]) }

// PrepareCode draws a code for a subject, commits that it is sent, and says where to. The caller seals it with the consent or change, and sends it.
//
// Errors: ErrNoPhone, ErrTooSoon, ErrLocked, ErrEnded, ErrReplaced, ErrUnavailable.
func (s *Store) PrepareCode(session *Session, subject journal.Subject, deadline time.Time) (code SentCode, to string, err error) {
	c, err := s.customer(session.Customer)
	if err != nil {
		return SentCode{}, "", err
	}
	if len(c.PhoneSealed) == 0 {
		return SentCode{}, "", ErrNoPhone
	}
	if to, err = s.phone(&c); err != nil {
		return SentCode{}, "", err
	}
	if code, err = drawCode(); err != nil {
		return SentCode{}, "", err
	}
	result, err := s.submit(&journal.Command{Id: commandID(), Body: &command.Command_SendCode{SendCode: &command.SendCode{
		Customer: uint64(session.Customer), SessionEpoch: uint64(session.Epoch), Subject: subject[:], Number: code.Number,
	}}}, deadline)
	if err != nil {
		return SentCode{}, "", err
	}
	switch result.Verdict {
	case journal.Done, journal.Repeated:
	case journal.TooMany:
		return SentCode{}, "", ErrTooSoon
	case journal.Locked:
		return SentCode{}, "", lockedUntil(&result.Access, journal.LaneOneTimeCode)
	case journal.NoSession:
		return SentCode{}, "", ErrEnded
	default:
		return SentCode{}, "", fmt.Errorf("%w: code to send: %s", ErrUnavailable, result.Verdict)
	}
	code.At = journal.Millis(s.clock().UnixMilli())
	return code, to, nil
}

// drawCode draws the digits, and the number that stands for them in the journal.
func drawCode() (c SentCode, err error) {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return c, fmt.Errorf("session: %w", err)
	}
	copy(c.digits[:], fmt.Sprintf("%0*d", CodeDigits, n.Int64()))
	number, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return c, fmt.Errorf("session: %w", err)
	}
	c.Number = number.Int64() + 1
	return c, nil
}

// CheckSentCode checks what a customer typed against the code that was sent. The attempt is committed before it is looked at (rule 9); that the code is
// the newest, is for this and is spent once, the journal sees to when it takes the proof.
//
// Errors: ErrMalformed, ErrCodeOld, ErrReplaced and ErrEnded (no attempt was counted), ErrWrong, ErrLocked, ErrUnavailable.
func (s *Store) CheckSentCode(session *Session, sent *SentCode, typed string, deadline time.Time) (proof journal.Proof, err error) {
	proof, err = s.checkSentCode(session, sent, typed, deadline)
	s.metrics.messages.WithLabelValues(outcomeOf(err)).Inc()
	return proof, err
}

func (s *Store) checkSentCode(session *Session, sent *SentCode, typed string, deadline time.Time) (journal.Proof, error) {
	typed, ok := normalCode(typed)
	if !ok || sent.Number < 1 {
		return journal.Proof{}, ErrMalformed
	}
	if journal.Millis(s.clock().UnixMilli()) >= sent.At+journal.CodeFor {
		return journal.Proof{}, ErrCodeOld
	}
	tried := rightCode{session.Customer, session.Epoch, typed + strconv.FormatInt(sent.Number, 10)}
	if err := s.try(session, tried, command.Factor_FACTOR_MESSAGE, deadline); err != nil {
		return journal.Proof{}, err
	}
	if subtle.ConstantTimeCompare([]byte(typed), sent.digits[:]) != 1 {
		return journal.Proof{}, ErrWrong
	}
	s.right.add(tried, s.wall())
	return journal.Proof{Factor: command.Factor_FACTOR_MESSAGE, Step: sent.Number}, nil
}

// try commits an attempt at a factor before that is checked, but for what was lately found right: an impatient customer's second click is no second
// guess. Only a session in force may use up the customer's attempts.
func (s *Store) try(session *Session, tried rightCode, factor command.Factor, deadline time.Time) error {
	now := s.clock()
	if err := s.inForce(session.Customer, session.Epoch, journal.Millis(session.SignedIn.UnixMilli()), journal.Millis(now.UnixMilli())); err != nil {
		return err
	}
	if s.right.has(tried, s.wall()) {
		return nil
	}
	_, err := s.attempt(session, factor, deadline)
	return err
}

// attempt commits an attempt at a second factor.
func (s *Store) attempt(session *Session, factor command.Factor, deadline time.Time) (journal.Access, error) {
	result, err := s.submit(attemptFactor(session.Customer, session.KnownDevice, factor), deadline)
	if err != nil {
		return journal.Access{}, err
	}
	switch result.Verdict {
	case journal.Done, journal.Repeated: // Repeated: it took the node two tries to commit it, and it is counted once
		return result.Access, nil
	case journal.Locked:
		return journal.Access{}, lockedUntil(&result.Access, journal.LaneOneTimeCode)
	case journal.NoSession:
		return journal.Access{}, ErrEnded
	}
	return journal.Access{}, fmt.Errorf("%w: attempt: %s", ErrUnavailable, result.Verdict)
}

// Enact commits a change of the customer's factors with the proof that confirms it.
//
// Errors: ErrUsed and ErrPasskey (of the proof), ErrKnown, ErrFull, ErrLast, ErrGone, ErrEnded, ErrUnavailable.
func (s *Store) Enact(session *Session, c *Change, proof journal.Proof, deadline time.Time) error {
	subject := c.Subject()
	p := commandOf(&proof)
	cmd := &journal.Command{Id: commandID()}
	switch c.Kind {
	case AddPasskey:
		cmd.Body = &command.Command_PutPasskey{PutPasskey: &command.PutPasskey{
			Customer: uint64(session.Customer), SessionEpoch: uint64(session.Epoch), Subject: subject[:], Proof: p,
			Credential: c.Passkey.ID, PublicKey: c.Passkey.PublicKey, SignCount: c.Passkey.SignCount, Name: c.Passkey.Name,
		}}
	case DropPasskey:
		cmd.Body = &command.Command_DropPasskey{DropPasskey: &command.DropPasskey{
			Customer: uint64(session.Customer), SessionEpoch: uint64(session.Epoch), Subject: subject[:], Proof: p, Credential: c.Passkey.ID,
		}}
	default:
		return ErrConsent
	}
	result, err := s.submit(cmd, deadline)
	if err != nil {
		return err
	}
	switch result.Verdict {
	case journal.Done, journal.Repeated:
		return nil
	case journal.FactorUsed:
		return ErrUsed
	case journal.FactorRefused:
		return ErrPasskey
	case journal.Exists:
		return ErrKnown
	case journal.TooMany:
		return ErrFull
	case journal.NotAllowed:
		return ErrLast
	case journal.NotFound:
		return ErrGone
	case journal.NoSession:
		return ErrEnded
	}
	return fmt.Errorf("%w: change of factors: %s", ErrUnavailable, result.Verdict)
}

func commandOf(p *journal.Proof) *command.Proof {
	return &command.Proof{Factor: p.Factor, Step: p.Step, Credential: p.Credential, SignCount: p.SignCount}
}

// Why a change of factors was not made, or a code not sent.
var (
	// ErrNoPhone: the bank knows no address for messages to this customer.
	ErrNoPhone = errors.New("session: the customer has no telephone number for codes; import the customer with one")
	// ErrTooSoon: the customer was sent codes lately, or often.
	ErrTooSoon = errors.New("session: codes were sent a moment ago, or too many of them; wait, or use another factor")
	// ErrCodeOld: the code that was sent is older than journal.CodeFor. Send another.
	ErrCodeOld = errors.New("session: the code is older than 5 minutes; send another one")
	// ErrPasskey: the passkey is not the customer's any more, or its signature counter has not gone on: there may be a copy of it.
	ErrPasskey = errors.New("session: the passkey was removed, or its counter has not gone on; use another factor, and remove the passkey if it may have been copied")
	// ErrKnown: the customer has this passkey already.
	ErrKnown = errors.New("session: the passkey is enrolled already")
	// ErrFull: the customer has as many passkeys as one may.
	ErrFull = errors.New("session: the customer has as many passkeys as one may have; remove one first")
	// ErrLast: without it the customer could confirm nothing any more.
	ErrLast = errors.New("session: the last factor is not removed here; who supports customers can (netbank customers reset-factors)")
	// ErrGone: the passkey was removed before.
	ErrGone = errors.New("session: there is no such passkey any more")
)
