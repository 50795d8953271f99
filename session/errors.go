package session

import "errors"

// Why a cookie opens no session. Each has its own page, since each asks something else of the customer.
var (
	// ErrNoSession: there is no cookie, or it is not one that this cluster has sealed, or its key is gone. Sign in.
	ErrNoSession = errors.New("session: no session; sign in")
	// ErrIdle: nothing was heard of the customer for five minutes. Sign in again.
	ErrIdle = errors.New("session: idle for more than 5 minutes; sign in again")
	// ErrExpired: the session began more than thirty minutes ago. Sign in again.
	ErrExpired = errors.New("session: older than 30 minutes; sign in again")
	// ErrReplaced: the customer has signed in since, here or on another device. One session is in force at a time.
	ErrReplaced = errors.New("session: replaced by a newer sign-in of the same customer")
	// ErrEnded: the session was ended by a logout, a lock or an operator.
	ErrEnded = errors.New("session: ended by a logout, a lock or an operator; sign in again")
)

// Why a factor was not accepted.
var (
	// ErrMalformed: what was typed is nothing that any customer can have. Nothing was counted.
	ErrMalformed = errors.New("session: a user name has 1 to 64 bytes, a password 8 bytes to 128 characters, both of valid UTF-8 without control characters; a one-time code has 6 digits")
	// ErrWrong: the user name, the password or the code is wrong, or attempts are closed; it never says which.
	ErrWrong = errors.New("session: wrong, or too many wrong attempts; try again later or from the usual device")
	// ErrLocked: too many wrong attempts in a row. The error is a *LockedError, which says until when.
	ErrLocked = errors.New("session: locked after too many wrong attempts in a row")
	// ErrUsed: the one-time code was right, but it, or a later one, was used before. Wait for the next one.
	ErrUsed = errors.New("session: this one-time code was used before; wait for the next one")
	// ErrBusy: the queue for checking passwords is full, or too long. No attempt was counted. The error is a *BusyError, which says
	// when to try again.
	ErrBusy = errors.New("session: too many sign-ins are waiting; no attempt was counted, try again")
	// ErrAddress: too many wrong sign-ins came from this address. No attempt was counted. The error is an *AddressError, which says when to try again.
	ErrAddress = errors.New("session: too many wrong sign-ins from this address; no attempt was counted, try again")
	// ErrUnavailable: the journal took no decision in time. No factor was checked, or no session was begun.
	ErrUnavailable = errors.New("session: the journal could not record the attempt; try again")
	// ErrCredential: the customer's stored password hash or TOTP seed cannot be used. It is for the log; what the
	// customer sees is ErrWrong, which such an error wraps too.
	ErrCredential = errors.New("session: the stored credential cannot be used; import the customer again")
)

// ErrUnfit: nobody may have the password that was chosen. No attempt was counted. The error is an *UnfitError, which says why.
var ErrUnfit = errors.New("session: not fit to be a password; choose another")

// Why a consent was not accepted.
var (
	// ErrConsent: the form was not made for this session, or was changed. Show the confirm page anew.
	ErrConsent = errors.New("session: the consent was not made for this session, or was changed")
	// ErrConsentExpired: the confirm page is older than ten minutes. Show it anew.
	ErrConsentExpired = errors.New("session: the confirm page is older than 10 minutes; show it again")
)

// ErrNoKey says that the ring has no key to seal with.
var ErrNoKey = errors.New("session: no root key in the journal yet; the leader commits the first one when the cluster starts")
