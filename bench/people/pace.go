package people

import (
	"fmt"
	"strings"
	"time"
)

// Times gives the same people at another pace: with every time of thought multiplied.
func (t Think) Times(factor float64) Think {
	of := func(d time.Duration) time.Duration { return time.Duration(float64(d) * factor) }
	return Think{SignIn: of(t.SignIn), Confirm: of(t.Confirm), Code: of(t.Code)}
}

// Whole is the mean time of thought of a whole flow.
func (t Think) Whole() time.Duration { return t.SignIn + t.Confirm + t.Code }

// String describes habits to a reader of a report; it is empty for a machine's.
func (h Habits) String() string {
	if h == (Habits{}) {
		return ""
	}
	var parts []string
	if h.Think.Whole() > 0 {
		parts = append(parts, fmt.Sprintf("read and type for %v, %v and %v in the mean (sign-in, confirm, code)", h.Think.SignIn, h.Think.Confirm, h.Think.Code))
	}
	if h.Patience > 0 {
		parts = append(parts, fmt.Sprintf("wait up to %v for an answer", h.Patience))
	}
	if h.Tries > 1 {
		when := "at once"
		if h.RetryAfter > 0 {
			when = "after " + h.RetryAfter.String()
		}
		if h.Heeds {
			when += " or when the page says"
		}
		parts = append(parts, fmt.Sprintf("try up to %d times, again %s", h.Tries, when))
	}
	if h.Queues > 0 {
		parts = append(parts, fmt.Sprintf("stay in the waiting line for %v", h.Queues))
	}
	if h.Watch > 0 {
		parts = append(parts, fmt.Sprintf("watch a payment that is not known yet for %v", h.Watch))
	}
	if h.Repeats > 0 {
		parts = append(parts, fmt.Sprintf("repeat %.0f %% of creates", 100*h.Repeats))
	}
	return strings.Join(parts, "; ")
}
