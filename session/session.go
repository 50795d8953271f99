package session

import (
	"time"

	"netbank/cluster/journal"
)

// Limits in time of a session.
const (
	// IdleLimit ends a session of which nothing was heard. Since a cookie is sealed anew only every RenewAfter, it may strike
	// that much earlier.
	IdleLimit = 5 * time.Minute
	// AbsoluteLimit ends a session however busy it is: 30 minutes, which the journal checks too.
	AbsoluteLimit = time.Duration(journal.SessionMax) * time.Millisecond
	// RenewAfter is the age of a cookie at which Renew makes a new one.
	RenewAfter = 15 * time.Second
	// LagMax is for how long after its sign-in a session is taken as in force by a node whose journal does not show it yet.
	LagMax = 5 * time.Second
	// skewMax is how far ahead another node's clock may have been when it sealed a cookie.
	skewMax = 10 * time.Second
)

// Session is an opened session, in force when it was opened. It belongs to one request and is not changed.
type Session struct {
	*Profile

	Customer    journal.CustomerID
	Epoch       journal.Epoch
	SignedIn    time.Time // when the session began, by the journal
	LastSeen    time.Time // when its cookie was sealed
	Seen        time.Time // when this request opened it
	KnownDevice bool      // the sign-in came from a known device
	Listed      bool      // others know the password that the session began with: a list on this machine has it

	csrf [csrfSize]byte
}

// Profile is what of a customer's record pages show. It is shared between requests: read only.
type Profile struct {
	Username        string
	Name            string
	ReservedMessage string
	Tier            uint8 // 0 best
	Locale          string
	Accounts        []journal.Account
	PasswordChanged journal.Millis // when the customer has chosen the password; 0: it is the bank's
}

// Expires is the earlier of the idle limit, counted from this request, and the absolute limit: what Authorise takes as
// session_expires_ms.
func (s *Session) Expires() journal.Millis {
	idle := s.Seen.Add(IdleLimit)
	if absolute := s.SignedIn.Add(AbsoluteLimit); absolute.Before(idle) {
		return journal.Millis(absolute.UnixMilli())
	}
	return journal.Millis(idle.UnixMilli())
}

// Account finds one of the customer's accounts by number and currency: one number may have several.
func (s *Session) Account(number, currency string) (journal.Account, bool) {
	for _, account := range s.Accounts {
		if account.Number == number && account.Currency == currency {
			return account, true
		}
	}
	return journal.Account{}, false
}
