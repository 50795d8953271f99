package journal

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// Millis is a journal time: milliseconds since 1970-01-01 00:00 UTC. It comes from the leader's stamps,
// never from a node's own clock, and never goes back.
type Millis int64

// PaymentID is a UUID of version 7, so identifiers sort by time of creation. It is public, never a secret.
type PaymentID [16]byte

// String gives the canonical 36-character form, lower case.
func (id PaymentID) String() string {
	var b [36]byte
	hex.Encode(b[:8], id[:4])
	b[8] = '-'
	hex.Encode(b[9:13], id[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], id[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], id[8:10])
	b[23] = '-'
	hex.Encode(b[24:], id[10:])
	return string(b[:])
}

// ParsePaymentID reads the canonical 36-character form; upper-case digits are accepted.
func ParsePaymentID(s string) (PaymentID, error) {
	var id PaymentID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, ErrPaymentID
	}
	var packed [32]byte
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] == '-' && (i == 8 || i == 13 || i == 18 || i == 23) {
			continue
		}
		packed[n] = s[i]
		n++
	}
	if _, err := hex.Decode(id[:], packed[:]); err != nil {
		return PaymentID{}, ErrPaymentID
	}
	return id, nil
}

// ErrPaymentID says that a text is not a payment identifier in its canonical form.
var ErrPaymentID = errors.New("journal: a payment id is a UUID of 36 characters, such as 019ab0c4-5b7e-7c3a-9d2f-0123456789ab")

// CommandID makes a command take effect once. Whoever repeats a command repeats its id.
type CommandID [16]byte

// Key16 is a SHA-256 cut to 128 bits: an idempotency key with its partner, or a request body.
type Key16 [16]byte

type (
	// PartnerID numbers payment platforms from 1.
	PartnerID uint32
	// CustomerID numbers the bank's customers from 1.
	CustomerID uint64
	// NodeID numbers the members of the cluster from 1.
	NodeID uint32
	// Epoch numbers a customer's sessions; a new sign-in raises it, and only the newest can be in force.
	Epoch uint64
)

// Executor is the one process that may send a payment to the core: a node in one of its lives.
type Executor struct {
	Node        NodeID
	Incarnation uint64 // drawn at random when the process starts
}

// Money is an amount in minor units (fen, cents) of an ISO 4217 currency.
type Money struct {
	Minor    int64
	Currency string // alphabetic code, three capitals
}

// State is where a payment stands. The numbers are in the log: never reuse one.
type State uint8

// The states of a payment; the partner's code stands behind each.
const (
	StateNone       State = iota
	StateReceived         // RCVD: created, nobody has confirmed it
	StateAuthorised       // ACSP: granted; it may be inside the core
	StateSettled          // ACSC: the core has moved the money; final
	StateRejected         // RJCT: the core has refused, or it was never sent; final
	StateCancelled        // CANC: by the partner or the customer before confirmation; final
	StateExpired          // RJCT: nobody confirmed it in time; final
	StateInDoubt          // PDNG: the core may or may not have moved the money
	StateReversing        // PDNG: the decision to reverse is committed; its outcome is awaited
)

// Final reports whether the state can never change again.
func (s State) Final() bool {
	return s == StateSettled || s == StateRejected || s == StateCancelled || s == StateExpired
}

// Code gives the ISO 20022 external payment transaction status that partners see.
func (s State) Code() string {
	switch s {
	case StateReceived:
		return "RCVD"
	case StateAuthorised:
		return "ACSP"
	case StateSettled:
		return "ACSC"
	case StateRejected, StateExpired:
		return "RJCT"
	case StateCancelled:
		return "CANC"
	case StateInDoubt, StateReversing:
		return "PDNG"
	}
	return ""
}

func (s State) String() string {
	names := [...]string{"none", "received", "authorised", "settled", "rejected", "cancelled", "expired", "in-doubt", "reversing"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// Reason says why a payment came to stand where it does. The numbers are in the log: never reuse one.
type Reason uint8

// The reasons.
const (
	ReasonNone            Reason = iota
	ReasonDeclined               // the core said no: see the response code
	ReasonNotSent                // granted, but never sent to the core: nothing was charged
	ReasonExpired                // nobody confirmed in time
	ReasonByPartner              // cancelled by the partner
	ReasonByCustomer             // cancelled by the customer
	ReasonReversed               // sent, in doubt, and reversed: nothing remains charged
	ReasonNoAnswer               // in doubt: the core did not answer in time
	ReasonCoreUncertain          // in doubt: the core answered that it does not know
	ReasonCoreUnavailable        // the core said that it did nothing (91)
)

func (r Reason) String() string {
	names := [...]string{"", "declined", "not-sent", "expired", "cancelled-by-partner", "cancelled-by-customer", "reversed", "no-answer", "core-uncertain", "core-unavailable"}
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// WireIdentity is a payment's name at the core: given by the journal when the payment is authorised, the same
// for the debit, every inquiry and every reversal.
type WireIdentity struct {
	Transmission string // field 7, UTC MMDDhhmmss
	STAN         uint32 // field 11, 1 to 999999
	RRN          string // field 37, 12 characters; the first two hold the journal's epoch
}

// Payment is a copy of what the journal knows of one payment. It shares no memory with the journal.
type Payment struct {
	ID              PaymentID
	Partner         PartnerID
	State           State
	Reason          Reason
	Version         uint32 // from 1; grows with each change of this payment
	Amount          Money
	CreditorAccount string
	CreditorName    string
	DebtorAccount   string // as asked for by the partner, or chosen by the customer; may be empty before
	EndToEndID      string
	Remittance      string
	RedirectURI     string
	NokRedirectURI  string
	NotificationURI string
	Created         Millis
	Expires         Millis
	Changed         Millis
	Granted         Millis // when it was authorised; 0 before
	Customer        CustomerID
	SessionEpoch    Epoch
	Executor        Executor
	Wire            WireIdentity // empty before it was authorised
	ResponseCode    string       // field 39 of the core's last word
	ApprovalCode    string       // field 38
}

// Account is one of a customer's accounts. Numbers are shown masked and never logged.
type Account struct {
	Number   string
	Currency string
	Label    string
}

// Customer is a copy of a customer's record. The sealed parts open only with the key-encryption key.
type Customer struct {
	ID              CustomerID
	Username        string
	PasswordSealed  []byte // a PHC string
	TOTPSealed      []byte // a raw TOTP seed; empty: none
	PhoneSealed     []byte // where one-time codes are sent; empty: nowhere
	Passkeys        []Passkey
	Name            string
	ReservedMessage string
	Tier            uint32
	Locale          string
	Accounts        []Account
	PasswordChanged Millis // when the customer has chosen the password; 0: it is the bank's
}

// Access is what the journal holds of a customer between requests: the session in force and the attempts.
// Failures are counted in lanes, so that a stranger who guesses from an unknown device can lock out
// unknown devices only, and never the customer's own.
type Access struct {
	Epoch    Epoch  // of the newest session; 0 if there never was one
	SignedIn Millis // when that session began
	Ended    bool   // that session was ended by logout, lock or an operator
	Lanes    [3]Lane
	TOTPStep int64 // the last step used; that step and earlier ones are refused
}

// Lane counts attempts in a row that were not followed by a success. Index 0: passwords from unknown devices; 1: passwords
// from known ones; 2: one-time codes, which only a session in force may try.
type Lane struct {
	Failures    uint8
	LastAttempt Millis // the lane is locked for 15 minutes from here once Failures is 5
}

// Partner is a copy of a payment platform's record.
type Partner struct {
	ID               PartnerID
	Name             string
	Fingerprints     [][32]byte
	RedirectURIs     []string
	NotificationURIs []string
	OpenPaymentsMax  uint32
	CreatesPerSecond uint32
	PollsPerSecond   uint32
	WebhooksDisabled bool
}

// Key is a generation of the root key, sealed under the key-encryption key.
type Key struct {
	ID      uint32
	Sealed  []byte
	Created Millis
}

// Notice is one entry of the outbox: a state change that its partner has not yet been told.
type Notice struct {
	Sequence uint64 // over all partners; grows
	Partner  PartnerID
	Payment  PaymentID
	Version  uint32
	State    State
	Reason   Reason
	At       Millis
}
