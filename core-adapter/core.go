package coreadapter

import (
	"context"
	"time"
)

// Core is a core banking system. Implementations are safe for concurrent use. Every method returns by its context's
// deadline; what the core has begun goes on all the same, and its late answer is reported through OnLate.
type Core interface {
	// Debit sends a financial request (0200) once. Just before the write it checks sendBefore: if that has passed, or
	// no connection could take the message, nothing is written and the word is NotSent.
	Debit(ctx context.Context, d Debit, sendBefore time.Time) Answer
	// Inquire asks what became of a reference (0600).
	Inquire(ctx context.Context, ref Reference) Answer
	// Reverse sends a reversal advice (0420; 0421 if repeat). Approved means acknowledged (0430); anything else is to be repeated.
	Reverse(ctx context.Context, d Debit, repeat bool) Answer
	// Balance asks for an account's available balance (0100), in minor units.
	Balance(ctx context.Context, account, currency string) (minor int64, err error)
	// Ping exchanges an echo (0800) on one connection.
	Ping(ctx context.Context) error
}

// Reference names a payment at the core. It is given before the first send and never changes.
type Reference struct {
	PaymentID    string // 36 characters; field 48 tag 01
	Transmission string // field 7, UTC MMDDhhmmss
	STAN         uint32 // field 11, 1 to 999999
	RRN          string // field 37, 12 characters
}

// Debit is all that the core is told of a payment.
type Debit struct {
	Reference
	Account         string // field 2, up to 19 digits
	Minor           int64  // field 4, minor units, 1 to 999999999999
	Currency        string // ISO 4217 alphabetic; numeric on the wire (field 49)
	CreditorAccount string
	CreditorName    string
	EndToEndID      string
}

// Word is the core's answer in one word.
type Word uint8

// The words.
const (
	InDoubt Word = iota
	Approved
	Declined
	NotSent
	Reversed
	Unknown
	Running
)

func (w Word) String() string {
	names := [...]string{"in-doubt", "approved", "declined", "not-sent", "reversed", "unknown", "running"}
	if int(w) < len(names) {
		return names[w]
	}
	return "invalid"
}

// Answer is what a call brought.
type Answer struct {
	Word         Word
	ResponseCode string        // field 39; empty without an answer
	ApprovalCode string        // field 38
	Elapsed      time.Duration // from the write to the answer, at the socket; 0 if nothing was sent
	Err          error         // why in doubt or not sent; holds no account number
}

// LateAnswer is the answer to a debit that arrived after Debit had returned in doubt.
type LateAnswer struct {
	Reference
	Answer
}
