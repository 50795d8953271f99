package session

import (
	"sync"
	"time"

	"netbank/cluster/journal"
)

// Bounds of what is remembered of right codes.
const (
	// rightCodesMax is the number of right codes remembered. One that is forgotten is counted again, no more.
	rightCodesMax = 16_384
	// rightCodeLifetime is how long a code can be good: its own step, and those that a clock may be off.
	rightCodeLifetime = (2*codeWindow + 1) * CodeStep
)

// rightCode is a code that a session has been told is right.
type rightCode struct {
	customer journal.CustomerID
	epoch    journal.Epoch
	code     string
}

// rightCodes remembers the codes that were lately found right, in memory only. Who waits for a busy core and sends the form again and
// again repeats one guess: six clicks must not lock a customer out who did everything right. It answers nothing by itself:
// a code that is found here is compared once more, and its step may have been spent.
type rightCodes struct {
	mu   sync.Mutex
	at   map[rightCode]time.Time
	next []rightCode // in the order of their times
}

func newRightCodes() *rightCodes { return &rightCodes{at: make(map[rightCode]time.Time)} }

func (r *rightCodes) has(c rightCode, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.at[c]
	return ok && now.Sub(at) < rightCodeLifetime
}

func (r *rightCodes) add(c rightCode, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.at[c]; ok {
		return // two at once: the first one's time is as good
	}
	for len(r.next) > 0 && (len(r.next) >= rightCodesMax || now.Sub(r.at[r.next[0]]) >= rightCodeLifetime) {
		delete(r.at, r.next[0])
		r.next = r.next[1:]
	}
	r.at[c] = now
	r.next = append(r.next, c)
}
