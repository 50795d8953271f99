package gate

import "time"

// Class orders work by what a bank loses when it is not done. Lower is better.
type Class uint8

// The classes, best first.
const (
	Resolve Class = iota // inquiry and reversal of what is in doubt; two seats of its own
	Confirm              // view and confirm of a running flow
	Express              // debits under a mandate; at least 10 % of the seats
	SignIn               // what a sign-in asks of the core; at least 5 % of the seats
	Inquiry              // balances and other reads
	Classes = 5
)

func (c Class) String() string {
	names := [Classes]string{"resolve", "confirm", "express", "sign-in", "inquiry"}
	if int(c) < len(names) {
		return names[c]
	}
	return "unknown"
}

// Reason says why something was refused. Each stands in a metric, a log, a page and the API under the same word.
type Reason uint8

// The reasons. A refusal always means that nothing reached the core.
const (
	Admitted  Reason = iota
	QueueFull        // the queue holds its limit of better or equal work
	TooLate          // it could not be answered in time, or its time ran out in the queue
	Quota            // the partner's own quota is used up
	Stalled          // the core has stopped answering
	Breaker          // the core cannot be reached
	Plan             // an operator's plan keeps this work out
	NoLeader         // no leader has confirmed that it may grant
	Reasons   = 8
)

func (r Reason) String() string {
	names := [Reasons]string{"", "queue-full", "too-late", "quota", "stalled", "breaker", "plan", "no-leader"}
	if int(r) < len(names) {
		return names[r]
	}
	return "unknown"
}

// Time is the gate's clock: time since an arbitrary origin, advancing monotonically, given with every event.
type Time = time.Duration

// Ticket names one piece of work from its offer to its answer. The caller gives it and never uses one again.
type Ticket uint64

// Offer is a wish to enter the core.
type Offer struct {
	Ticket  Ticket
	Class   Class
	Tier    uint8         // customer tier, 0 best
	Partner uint32        // 0: none
	Weight  float64       // relative cost of the operation; 1 is a debit
	Budget  time.Duration // how long the asker waits for the core's answer, from now
}

// Action is what the gate decided about a ticket.
type Action uint8

// The actions.
const (
	Start  Action = iota // take the seat now
	Refuse               // never entered, or left the queue without a seat
)

// Decision goes out for every offer exactly once, at once or later: a start or a refusal.
type Decision struct {
	Ticket     Ticket
	Action     Action
	Reason     Reason        // of a refusal
	RetryAfter time.Duration // of a refusal: when it would probably be admitted, from measured rates, without jitter
}
