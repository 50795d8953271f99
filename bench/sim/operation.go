package sim

import (
	"time"

	"netbank/cluster/gate"
	"netbank/core-adapter/simulated/congestion"
)

// Operation is what a customer asks the core for.
type Operation uint8

// The operations.
const (
	SignIn Operation = iota
	View
	Confirm
	Express
	Inquiry
	Operations = 5
)

func (o Operation) String() string {
	return [Operations]string{"sign-in", "view", "confirm", "express", "inquiry"}[o]
}

// terms are what one operation costs, is worth and is promised.
type terms struct {
	class  gate.Class
	demand time.Duration // mean work, when alone in a core of capacity 1
	slo    time.Duration // from the start of a try; the budget of its offer as well
	value  float64       // in time
}

func (o Operation) terms() terms {
	return [Operations]terms{
		SignIn:  {gate.SignIn, congestion.SignInMean, 3 * time.Second, 2},
		View:    {gate.Confirm, congestion.InquiryMean, 2 * time.Second, 0},
		Confirm: {gate.Confirm, congestion.ConfirmMean, 2 * time.Second, 10},
		Express: {gate.Express, congestion.ExpressMean, 5 * time.Second, 8},
		Inquiry: {gate.Inquiry, congestion.InquiryMean, time.Second, 1},
	}[o]
}

// keyed tells whether a node knows a further try of it as the same request. What only reads is asked anew.
func (o Operation) keyed() bool { return o == Confirm || o == Express }

// weight is the cost that the gate is told: 1 is an express debit.
func (o Operation) weight() float64 {
	return float64(o.terms().demand) / float64(congestion.ExpressMean)
}

// Outcome is how it ended for a customer.
type Outcome uint8

// The outcomes. A customer has one.
const (
	Completed  Outcome = iota // all that he wanted, each part of it in time
	Late                      // all that he wanted, some of it too late
	Refused                   // told no as often as he was willing to hear it
	Abandoned                 // lost patience without an answer
	Unfinished                // the run ended first
	Outcomes   = 5
)

func (o Outcome) String() string {
	return [Outcomes]string{"completed", "late", "refused", "abandoned", "unfinished"}[o]
}
