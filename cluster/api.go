package cluster

import (
	"context"
	"errors"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
)

// Errors of a node. Each says what is certain, since money hangs on it.
var (
	// ErrNoLeader: the command was never offered to the journal, or was refused by a leader in its term. Nothing
	// happened and nothing will.
	ErrNoLeader = errors.New("cluster: no leader can take the command; nothing was done")
	// ErrUnknown: the command was offered, and its fate is not known in time. Repeat it with the same id, or look.
	ErrUnknown = errors.New("cluster: the command's outcome is not known yet")
	// ErrTooLarge: the command does not fit into an entry of 64 KiB.
	ErrTooLarge = errors.New("cluster: the command is larger than an entry of the journal (64 KiB)")
	// ErrOverloaded: the node's bounded queue of commands is full. Nothing was offered.
	ErrOverloaded = errors.New("cluster: too many commands are waiting; nothing was done")
	// ErrUnavailable: this node does not know what was asked for, and can ask nobody who would. It is not "not found".
	ErrUnavailable = errors.New("cluster: nobody who knows can be asked at the moment; try again")
	// ErrStale comes with an answer: it is what this node saw last, and nobody can say whether it still stands so.
	ErrStale = errors.New("cluster: as last seen; no leader confirms it at the moment")
	// ErrWorker: this node keeps no journal, and what was asked for is read from one.
	ErrWorker = errors.New("cluster: this node is a worker, which keeps no journal; ask a coordinator")
	// ErrClosed: the node is shutting down. Nothing was offered.
	ErrClosed = errors.New("cluster: the node is shutting down")
)

// Refusal is the gate's no: nothing was sent to the core, nothing was or will be charged for this call.
type Refusal struct {
	Reason     gate.Reason
	RetryAfter time.Duration
}

// Confirmation asks for one payment's debit: the customer's consent, and how long the customer waits.
// Payment id, customer, session, what was seen, and the factor are those of journal.Command's Authorise; the node fills in
// the executor.
type Confirmation struct {
	Payment        journal.PaymentID
	Customer       journal.CustomerID
	SessionEpoch   journal.Epoch
	SessionExpires journal.Millis
	Amount         journal.Money
	CreditorAccount,
	CreditorName,
	DebtorAccount string
	Proof       journal.Proof
	KnownDevice bool
	Tier        uint8
	Partner     journal.PartnerID
	Budget      time.Duration // at most 30 s
	// Within is when the answer is wanted, counted from a leader's first look at the call: the gate refuses at once what it does not
	// expect to be answered by then. A call that was given its seat may take longer, up to Budget. 0 means Budget.
	Within time.Duration
}

// Confirmed is what is known when Confirm returns.
type Confirmed struct {
	// Refusal is set when the gate refused; then nothing was sent and Payment is as it was.
	Refusal *Refusal
	// Verdict is Done or Attached, or why the journal did not authorise.
	Verdict journal.Verdict
	// Payment as it stands now: settled or rejected as a rule; authorised or in doubt when the core has not spoken in time.
	Payment journal.Payment
	// Access after the attempt, for "locked until".
	Access journal.Access
}

// Core is what the cluster needs of a core banking system. Implementations are safe for concurrent use.
// Every method returns by its context's deadline; work that the core has begun goes on all the same.
type Core interface {
	// Debit sends a payment once. It checks sendBefore just before the write, and answers NotSent if that has
	// passed or nothing was written.
	Debit(ctx context.Context, d Debit, sendBefore time.Time) Answer
	// Inquire asks what became of a payment.
	Inquire(ctx context.Context, ref Reference) Answer
	// Reverse sends a reversal advice; repeat marks it as sent before.
	Reverse(ctx context.Context, d Debit, repeat bool) Answer
	// Balance asks for the available balance of an account.
	Balance(ctx context.Context, account, currency string) (journal.Money, error)
}

// Reference names a payment at the core.
type Reference struct {
	Payment journal.PaymentID
	Wire    journal.WireIdentity
}

// Debit is all that the core is told of a payment.
type Debit struct {
	Reference
	Account         string
	Amount          journal.Money
	CreditorAccount string
	CreditorName    string
	EndToEndID      string
}

// Word is the core's answer in one word.
type Word uint8

// The words.
const (
	InDoubt  Word = iota // no answer in time, or an answer that says nothing: the money may have moved
	Approved             // debit: moved. Inquiry: done. Reversal: acknowledged
	Declined             // debit: not moved, with a code. Inquiry: declined
	NotSent              // nothing was written to the core
	Reversed             // inquiry, or a debit that came after its reversal: the reversal stands, nothing remains moved
	Unknown              // inquiry: the core has never seen the reference
	Running              // inquiry: still under way
)

// Answer is what a call to the core brought.
type Answer struct {
	Word         Word
	ResponseCode string        // field 39, empty without an answer
	ApprovalCode string        // field 38 of an approved debit
	Elapsed      time.Duration // measured at the core's socket; 0 if nothing was sent
	Err          error         // for the log: why in doubt or not sent; holds no account number
	Unreachable  bool          // not sent because no connection to the core is up: what opens the breaker
}

// LateAnswer is the core's answer to a debit that came after Debit had returned in doubt.
type LateAnswer struct {
	Reference
	Answer
}
