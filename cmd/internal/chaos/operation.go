package chaos

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"
)

// Kind says what a client did.
type Kind string

// What clients do. The subject of each is one payment, named by its idempotency key.
const (
	Create  Kind = "create"   // by the partner
	Confirm Kind = "confirm"  // by the customer: from opening the link until the bank's last word of this try
	Cancel  Kind = "cancel"   // by the partner
	Read    Kind = "read"     // by the partner: the status
	SignOut Kind = "sign-out" // a session has ended: by signing out, or because the customer signed in again elsewhere
)

// Answers to a confirmation that are certain. Anything else leaves open what became of it.
const (
	Settled   = "settled"
	Rejected  = "rejected" // or expired: not charged, for good
	Cancelled = "cancelled"
	Refused   = "refused"  // not charged by this try; the payment can still be made
	NotFound  = "NOTFOUND" // Status of a read that was told that there is no such payment
)

// Never is the Return of an operation without an answer: it may take effect at any time after its call.
const Never = math.MaxInt64

// Operation is what one client did and what it was told. Times are nanoseconds since the beginning of the run.
type Operation struct {
	Client  int    `json:"client"`
	Kind    Kind   `json:"kind"`
	Key     string `json:"key"` // the payment's idempotency key; of a SignOut: empty, it is about all payments of the session
	Call    int64  `json:"call"`
	Return  int64  `json:"return"`            // Never: no answer, or one that promises nothing
	Node    int    `json:"node"`              // that was asked, from 1
	Life    int    `json:"life,omitempty"`    // of the node: how often it had been started
	Session int    `json:"session,omitempty"` // of Confirm and SignOut; 0: a session that nobody ends
	Payment string `json:"payment,omitempty"` // answer of Create
	Status  string `json:"status,omitempty"`  // answer of Create and Read: partner's code; of Cancel: CANC; of Confirm: one of the words above
	Version uint32 `json:"version,omitempty"` // answer of Create and Read
}

// String is the operation in a line.
func (o Operation) String() string {
	end := "no answer"
	if o.Return != Never {
		end = fmt.Sprintf("%9.3f s", float64(o.Return)/1e9)
	}
	text := fmt.Sprintf("%9.3f s … %s  client %d at node %d.%d: %s", float64(o.Call)/1e9, end, o.Client, o.Node, o.Life, o.Kind)
	if o.Session != 0 {
		text += fmt.Sprintf(" session %d", o.Session)
	}
	if o.Status != "" {
		text += " → " + o.Status
	}
	if o.Version != 0 {
		text += fmt.Sprintf(" version %d", o.Version)
	}
	if o.Payment != "" {
		text += " " + o.Payment
	}
	return text
}

// History is what all clients did, safe for concurrent use.
type History struct {
	began time.Time
	lock  sync.Mutex
	all   []Operation
}

// OperationsMax is how many operations a history holds: more than half an hour of two busy processors makes.
const OperationsMax = 2_000_000

// NewHistory begins now.
func NewHistory() *History { return &History{began: time.Now()} }

// Now is the time for Operation.Call.
func (h *History) Now() int64 { return time.Since(h.began).Nanoseconds() }

// at is a moment as operations have it.
func (h *History) at(t time.Time) int64 { return t.Sub(h.began).Nanoseconds() }

// Add notes an operation that has ended. Return 0 means now.
func (h *History) Add(o Operation) {
	if o.Return == 0 {
		o.Return = h.Now()
	}
	h.lock.Lock()
	defer h.lock.Unlock()
	if len(h.all) < OperationsMax {
		h.all = append(h.all, o)
	}
}

// Operations gives a copy of what was noted.
func (h *History) Operations() []Operation {
	h.lock.Lock()
	defer h.lock.Unlock()
	return append([]Operation(nil), h.all...)
}

// Write writes a history, a JSON object a line.
func Write(to io.Writer, all []Operation) error {
	buffered := bufio.NewWriter(to)
	encoder := json.NewEncoder(buffered)
	for i := range all {
		if err := encoder.Encode(&all[i]); err != nil {
			return fmt.Errorf("chaos: %w", err)
		}
	}
	return buffered.Flush()
}

// ErrHistory says that a file is no history.
var ErrHistory = errors.New("chaos: not a history")

// Parse reads what Write has written.
func Parse(from io.Reader) ([]Operation, error) {
	decoder := json.NewDecoder(from)
	decoder.DisallowUnknownFields()
	var all []Operation
	for {
		var o Operation
		err := decoder.Decode(&o)
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("%w: operation %d: %w", ErrHistory, len(all)+1, err)
		case o.Kind != Create && o.Kind != Confirm && o.Kind != Cancel && o.Kind != Read && o.Kind != SignOut:
			return nil, fmt.Errorf("%w: operation %d is a %.40q", ErrHistory, len(all)+1, o.Kind)
		case o.Return < o.Call:
			return nil, fmt.Errorf("%w: operation %d ends at %d, before it begins at %d", ErrHistory, len(all)+1, o.Return, o.Call)
		case len(all) >= OperationsMax:
			return nil, fmt.Errorf("%w: it has more than %d operations", ErrHistory, OperationsMax)
		}
		all = append(all, o)
	}
}
