package people

import (
	"fmt"
	"time"

	"netbank/bench/load"
)

// Habits are how people behave. The zero value is that of a machine which thinks nothing, asks once and takes the first answer.
type Habits struct {
	Think Think `json:"think"`
	// Patience is how long a customer looks at a page that does not come before he gives up waiting for it: the connection is closed, while the bank may
	// go on with what it was asked. 0: as long as a connection waits (load.DefaultTimeout).
	Patience time.Duration `json:"patience"`
	// Tries is how often a form is sent in all when no answer comes or the bank says that it is busy; 0 counts as 1.
	Tries int `json:"tries"`
	// RetryAfter is how long a customer waits before he tries again: 0 is at once, which a page reloaded by an angry finger is.
	RetryAfter time.Duration `json:"retryAfter"`
	// Heeds makes a customer who is told how long to wait wait that long, if it is longer than RetryAfter.
	Heeds bool `json:"heeds"`
	// Watch is how long a customer stays with a page that does not know yet what became of the payment, from the moment at which he first meant to send the code.
	// He looks again as often as the page does by itself. 0: as long as Job.SLO.
	Watch time.Duration `json:"watch"`
	// Queues is how long a customer stays in the waiting line. 0: until his turn comes.
	Queues time.Duration `json:"queues"`
	// Own gives each customer a connection of his own, opened when he comes and closed when he leaves, as a browser's is. Without it customers share what
	// is open, which balancers that carry connections see as a few clients who never leave.
	Own bool `json:"own,omitempty"`
	// Repeats is the share of creates that an API client sends a second time though the first was answered: 0 to 1. The two must name one payment.
	Repeats float64 `json:"repeats"`
}

// Think holds mean times of thought. Each single one is drawn from a lognormal distribution with a coefficient of variation of 1,
// as times of reading and typing are found to be: many are short, some are long, and none is negative.
type Think struct {
	SignIn  time.Duration `json:"signIn"`  // reading the sign-in page, typing user name and password
	Confirm time.Duration `json:"confirm"` // checking payee and amount, choosing the account
	Code    time.Duration `json:"code"`    // taking up the telephone, typing the code
}

// Machine is a client that never waits and never repeats: what a bank's own speed is measured with.
func Machine() Habits { return Habits{} }

// Patient is a customer who reads, waits long, and tries again when the page says so.
func Patient() Habits {
	return Habits{
		Think:    Think{SignIn: 8 * time.Second, Confirm: 5 * time.Second, Code: 6 * time.Second},
		Patience: 15 * time.Second, Tries: 3, RetryAfter: time.Second, Heeds: true, Watch: 30 * time.Second,
	}
}

// Impatient is the customer of a bad day: three seconds without an answer, and he presses the button again, at once and up to three times
// in all. He thinks as a patient one does: haste shows in waiting, not in reading.
func Impatient() Habits {
	return Habits{Think: Patient().Think, Patience: 3 * time.Second, Tries: 3, Watch: 6 * time.Second}
}

// Bounds of habits.
const (
	TriesMax       = 100
	ThinkMax       = time.Hour
	watchMax       = time.Hour
	thinkVariation = 1.0
)

func (h *Habits) check() error {
	for _, d := range []struct {
		name string
		d    time.Duration
		most time.Duration
	}{
		{"a time of thought at sign-in", h.Think.SignIn, ThinkMax},
		{"a time of thought at the confirm page", h.Think.Confirm, ThinkMax},
		{"a time of thought at the code page", h.Think.Code, ThinkMax},
		{"a patience", h.Patience, load.LatencyMax},
		{"a wait before the next try", h.RetryAfter, ThinkMax},
		{"a time of watching", h.Watch, watchMax},
		{"a time in the line", h.Queues, watchMax},
	} {
		if d.d < 0 || d.d > d.most {
			return fmt.Errorf("people: %s of %v; it may be 0 to %v", d.name, d.d, d.most)
		}
	}
	if h.Tries < 0 || h.Tries > TriesMax {
		return fmt.Errorf("people: %d tries; 0 to %d are possible", h.Tries, TriesMax)
	}
	if !(h.Repeats >= 0 && h.Repeats <= 1) {
		return fmt.Errorf("people: a share of repeats of %v; it belongs between 0 and 1", h.Repeats)
	}
	return nil
}

func (h *Habits) tries() int { return max(h.Tries, 1) }
