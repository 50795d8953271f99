package webhook

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Window is how long after its change a partner is told of it. Then the notice is given up.
const Window = 72 * time.Hour

// attemptsAt are the ages of a notice at which it is tried: the gaps that Standard Webhooks proposes (5 s, 5 min, 30 min, 2 h, 5 h, 10 h,
// 14 h, 20 h), without the last, which would end after the Window.
func attemptsAt() [8]time.Duration {
	return [8]time.Duration{
		5 * time.Second,
		5*time.Minute + 5*time.Second,
		35*time.Minute + 5*time.Second,
		2*time.Hour + 35*time.Minute + 5*time.Second,
		7*time.Hour + 35*time.Minute + 5*time.Second,
		17*time.Hour + 35*time.Minute + 5*time.Second,
		31*time.Hour + 35*time.Minute + 5*time.Second,
		51*time.Hour + 35*time.Minute + 5*time.Second,
	}
}

// nextAttempt gives how long to wait after a failure at the given age, or false when there is no attempt left but the one at the
// Window's end. Jitter is up to a fifth of the wait.
func nextAttempt(age time.Duration) (time.Duration, bool) {
	for _, at := range attemptsAt() {
		if at > age {
			wait := at - age
			return wait + rand.N(wait/5+1), true
		}
	}
	if last := Window - 15*time.Minute; age < last {
		return last - age, true
	}
	return 0, false
}

// Probes of a partner that is down: doubling from the least to the most.
const (
	probeMin = 5 * time.Second // the wait before the first probe
	probeMax = 5 * time.Minute // the longest wait, without its jitter
)

// probeAfter gives the wait before the next probe, after so many failures in a row.
func probeAfter(failures int) time.Duration {
	wait := probeMin
	for range min(failures-downAfter, 10) {
		wait = min(2*wait, probeMax)
	}
	return wait + rand.N(wait/5+1)
}

// retryAfterMax bounds what a partner's Retry-After can ask for.
const retryAfterMax = 24 * time.Hour

// retryAfter reads a Retry-After field (RFC 9110, section 10.2.3): seconds or a date. 0 means none.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, retryAfterMax)
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(0, at.Sub(now)), retryAfterMax)
	}
	return 0
}
