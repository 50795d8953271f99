package journal

import "netbank/cluster/journal/command"

// Verdict is what became of a command. The numbers are not in the log, but in snapshots: never reuse one.
type Verdict uint8

// The verdicts. Everything but Done left payments and sessions as they were, with two exceptions that are meant: a one-time
// code tried in a locked lane ends the session (Locked), and a Prune that says TooMany has dropped as many records as one may.
// A command that was refused is refused in the same way whenever its id comes again, except with StaleTerm.
const (
	Done           Verdict = iota
	Repeated               // this command id took effect before; the result is that of the state now
	Attached               // Authorise: the payment was authorised before; follow its outcome, start nothing
	Exists                 // CreatePayment: same idempotency key, same request; Payment is the one created then
	KeyConflict            // CreatePayment: same idempotency key, another request
	NotFound               // no such payment, customer, partner or session
	NotAllowed             // the state of the payment does not allow it; Payment shows where it stands
	StaleTerm              // Authorise: granted by a gate of another term; nothing was granted
	NoSession              // the session is not in force: replaced, ended or too old
	ConsentDiffers         // Authorise: amount, payee or account are not those of the payment
	Locked                 // too many failed attempts; Access says until when
	FactorUsed             // a one-time code was used before, is not the newest that was sent, or too old
	TooMany                // a limit on open payments or records is reached
	BadCommand             // a field is out of its range; the proposer is at fault
	TokenUsed              // Enrol: the token has let in as many nodes as it is good for
	TokenExpired           // Enrol: the token's time is over
	FactorRefused          // the passkey was taken away, or its signature counter has not gone on
)

func (v Verdict) String() string {
	names := [...]string{
		"done", "repeated", "attached", "exists", "key-conflict", "not-found", "not-allowed", "stale-term",
		"no-session", "consent-differs", "locked", "factor-used", "too-many", "bad-command", "token-used", "token-expired",
		"factor-refused",
	}
	if int(v) < len(names) {
		return names[v]
	}
	return "unknown"
}

// Result answers one command of a batch. Payment is set for commands about a payment, Access for those about a
// customer's sign-in; each is a copy.
type Result struct {
	Verdict Verdict
	Payment Payment
	Access  Access
}

// Change tells what a command did to a payment: what waiters, caches and the outbox dispatcher listen to.
// Version is the payment's after the change. A new payment comes from StateNone, with version 1; of that no notice is made.
type Change struct {
	Payment PaymentID
	From    State
	To      State
	Version uint32
}

// Batch and Command are the wire forms, so that proposers need not import the generated package.
type (
	Batch   = command.Batch
	Command = command.Command
)

// Store holds what is finished, outside the memory of the state machine: payments in a final state, customers,
// idempotency keys and the outbox. Keys sort as bytes. A write is visible to every later read. Nothing needs to be
// durable: after a crash the store is rebuilt from the snapshot and the log.
type Store interface {
	// Get calls f with the value under key, if there is one, and reports whether there was. The value is valid
	// only until f returns.
	Get(key []byte, f func(value []byte)) (bool, error)
	Set(key, value []byte) error
	Delete(key []byte) error
	// DeleteRange deletes all keys k with from <= k < to.
	DeleteRange(from, to []byte) error
	// Scan calls f with each entry with from <= key < to, in order, until f returns false.
	Scan(from, to []byte, f func(key, value []byte) bool) error
}

// Open is what the leader must know of a payment that may be inside the core.
type Open struct {
	ID       PaymentID
	State    State // authorised, in doubt or reversing
	Granted  Millis
	Changed  Millis
	Executor Executor
}

// Contradiction is an entry of the reconciliation list: the core said something that the payment's state
// does not allow. A person looks at it; the journal never acts on it.
type Contradiction struct {
	Payment      PaymentID
	State        State  // of the payment, when the core first said it
	Said         string // "approved", "declined", "in-doubt" or "reversed"
	ResponseCode string // field 39
	First        Millis
	Last         Millis
	Times        uint32 // how often it was said
}

// Counts tells how full the journal is.
type Counts struct {
	ByState               [StateReversing + 1]uint64 // finished ones until they are pruned
	Open                  int                        // payments not in a final state
	Unresolved            int                        // of these, authorised, in doubt or reversing
	Outbox                int
	Partners              int
	PerPartner            []PartnerCounts // by partner, ascending
	Customers             int
	Keys                  int
	CommandIDs            int
	IdempotencyKeys       int
	Contradictions        int
	Nodes                 int    // members of the cluster, as the journal knows them, and those removed
	Tokens                int    // join tokens, expired ones among them
	ContradictionsDropped uint64 // that did not fit the list
	ReferenceEpoch        uint16 // the first two characters of every reference given now
	References            uint64 // the last one given, within its epoch
}

// PartnerCounts tells how much of its limits a partner uses.
type PartnerCounts struct {
	Partner PartnerID
	Open    int
	Outbox  int
}
