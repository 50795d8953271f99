package scaling

import (
	"math"
	"time"

	"netbank/cluster/journal"
)

// The pace of the reconciler.
const (
	// LookEvery is the time between two questions to the provider while all stands as it was wished for.
	LookEvery = 2 * time.Second
	// LookSoon is the same while it does not yet.
	LookSoon = 200 * time.Millisecond
	// BackoffMin and BackoffMax bound the pause after a failure, which doubles with each one in a row.
	BackoffMin = 500 * time.Millisecond
	BackoffMax = 30 * time.Second
)

// Seen is what the reconciler of a leader has seen so far.
type Seen struct {
	Wish journal.Wanted // of the workers, as committed
	// Standing is the provider's last word in this leadership, and At when it came; a zero At: it has not been asked yet.
	Standing Standing
	At       time.Time
	Told     time.Time // when it was told the last number; zero: not yet
	Failures int       // in a row
	Failed   time.Time // the last of them
	Jitter   float64   // 0 to 1, drawn for this pause
}

// Step is what to do next.
type Step uint8

// The steps.
const (
	Rest  Step = iota // until the time that comes with it, or something happens
	Look              // ask the provider how it stands
	Scale             // tell it the number that is wished for
)

// Next decides what a leader does about its workers now, or until when it may rest.
func Next(s *Seen, now time.Time) (Step, Order, time.Time) {
	if s.Failures > 0 {
		if again := s.Failed.Add(backoff(s.Failures, s.Jitter)); now.Before(again) {
			return Rest, Order{}, again
		}
		// After a failure nobody knows how far it came: look first.
		if !s.At.After(s.Failed) {
			return Look, Order{}, time.Time{}
		}
	}
	if s.At.IsZero() {
		return Look, Order{}, time.Time{}
	}
	wanted := s.Wish.Now.Number > 0
	if wanted && s.Standing.Wanted != int(s.Wish.Now.Value) {
		if again := s.Told.Add(LookSoon); now.Before(again) {
			return Rest, Order{}, again // it has been told, and does not say so yet
		}
		return Scale, Order{Workers: int(s.Wish.Now.Value), Fence: s.Wish.Fence}, time.Time{}
	}
	pause := LookEvery
	if wanted && (s.Standing.Running != s.Standing.Wanted && s.Standing.Running >= 0 || s.Standing.Leaving > 0) {
		pause = LookSoon
	}
	if next := s.At.Add(pause); now.Before(next) {
		return Rest, Order{}, next
	}
	return Look, Order{}, time.Time{}
}

// backoff is half to all of a pause that doubles with each failure: many clusters whose provider comes back must not meet at its door.
func backoff(failures int, jitter float64) time.Duration {
	pause := min(float64(BackoffMax), float64(BackoffMin)*math.Pow(2, float64(min(failures, 16)-1)))
	return time.Duration(pause * (0.5 + 0.5*min(max(jitter, 0), 1)))
}
