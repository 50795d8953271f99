package session

import (
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"strconv"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// The parameters of one-time codes (RFC 6238 with HMAC-SHA-1, as authenticator applications have them).
const (
	CodeDigits = 6
	CodeStep   = 30 * time.Second
	// codeWindow is how many steps the customer's clock may be off, either way.
	codeWindow = 1
	// SeedMin and SeedMax bound a seed in bytes; RFC 4226 asks for at least 16 and recommends 20.
	SeedMin = 16
	SeedMax = 64
)

// TOTPPurpose is the purpose under which a customer's raw seed is sealed with the key-encryption key.
func TOTPPurpose(id journal.CustomerID) string { return "totp/" + strconv.FormatUint(uint64(id), 10) }

// CheckCode checks a one-time code and gives the time step that it belongs to. The attempt is committed before the code is looked at
// (rule 9); the step is spent, and the attempt forgiven, by the Authorise that names it. Where none comes, because the gate refused,
// call ForgiveCode. A code that was found right is counted once, however often the session sends it while it is good.
//
// Errors: ErrMalformed, ErrReplaced and ErrEnded (no attempt was counted), ErrWrong, ErrLocked, ErrUsed, ErrUnavailable.
func (s *Store) CheckCode(session *Session, code string, deadline time.Time) (step int64, err error) {
	step, err = s.checkCode(session, code, deadline)
	s.metrics.codeChecked(err)
	return step, err
}

// ForgiveCode clears the customer's attempts at one-time codes after CheckCode took a code and its payment was then refused before anything
// was granted: a right code is no failure, however often the core has no room. The code can be sent again. On
// ErrUnavailable the attempt stays counted, which costs the customer one of five tries.
func (s *Store) ForgiveCode(session *Session, deadline time.Time) error {
	passed := &command.FactorPassed{Customer: uint64(session.Customer), SessionEpoch: uint64(session.Epoch)}
	result, err := s.submit(&journal.Command{Id: commandID(), Body: &command.Command_FactorPassed{FactorPassed: passed}}, deadline)
	if err == nil && result.Verdict != journal.Done && result.Verdict != journal.Repeated {
		err = fmt.Errorf("%w: code passed: %s", ErrUnavailable, result.Verdict)
	}
	return err
}

func (s *Store) checkCode(session *Session, code string, deadline time.Time) (int64, error) {
	// Only a session in force may use up the customer's attempts.
	now := s.clock()
	if err := s.inForce(session.Customer, session.Epoch, journal.Millis(session.SignedIn.UnixMilli()), journal.Millis(now.UnixMilli())); err != nil {
		return 0, err
	}
	code, ok := normalCode(code)
	if !ok {
		return 0, ErrMalformed
	}
	seed, err := s.seed(session.Customer)
	if err != nil {
		return 0, err
	}
	at := s.wall()
	tried := rightCode{session.Customer, session.Epoch, code}
	if s.right.has(tried, at) {
		// An impatient customer's second click is no second guess.
		access, _, err := s.directory.Access(session.Customer)
		if err != nil {
			return 0, fmt.Errorf("%w: code: %w", ErrUnavailable, err)
		}
		return judgeCode(seed, code, at, access.TOTPStep)
	}
	access, err := s.attempt(session, command.Factor_FACTOR_TOTP, deadline)
	if err != nil {
		return 0, err
	}
	step, err := judgeCode(seed, code, at, access.TOTPStep)
	if err == nil {
		s.right.add(tried, at)
	}
	return step, err
}

// judgeCode compares a code, and refuses the steps up to the last one that was spent.
func judgeCode(seed []byte, code string, at time.Time, spent int64) (int64, error) {
	step, ok := matchCode(seed, code, at)
	switch {
	case !ok:
		return 0, ErrWrong
	case step <= spent:
		return 0, ErrUsed
	}
	return step, nil
}

func (s *Store) seed(id journal.CustomerID) ([]byte, error) {
	customer, err := s.customer(id)
	if err != nil {
		return nil, err
	}
	if len(customer.TOTPSealed) == 0 {
		return nil, ErrWrong // the customer has no authenticator: no code is right
	}
	seed, err := s.opener.Open(TOTPPurpose(id), customer.TOTPSealed)
	if err == nil && (len(seed) < SeedMin || len(seed) > SeedMax) {
		err = fmt.Errorf("session: a TOTP seed of %d bytes; %d to %d", len(seed), SeedMin, SeedMax)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w: customer %d: %w", ErrWrong, ErrCredential, id, err)
	}
	return seed, nil
}

// matchCode looks for six digits in the window around now, every step in the same time, and gives the latest step that has it.
func matchCode(seed []byte, code string, now time.Time) (step int64, ok bool) {
	secret := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(seed)
	current := now.Unix() / int64(CodeStep/time.Second)
	found := 0
	for i := int64(-codeWindow); i <= codeWindow; i++ {
		want, err := hotp.GenerateCodeCustom(secret, uint64(current+i), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0, false
		}
		same := subtle.ConstantTimeCompare([]byte(want), []byte(code))
		step = int64(subtle.ConstantTimeSelect(same, int(current+i), int(step)))
		found |= same
	}
	return step, found == 1
}

// normalCode drops the spaces that people type between groups of digits, and reports whether six digits remain.
func normalCode(code string) (string, bool) {
	var b [CodeDigits]byte
	n := 0
	for i := 0; i < len(code); i++ {
		switch c := code[i]; {
		case c == ' ':
		case c < '0' || c > '9' || n == CodeDigits:
			return "", false
		default:
			b[n] = c
			n++
		}
	}
	return string(b[:n]), n == CodeDigits
}
