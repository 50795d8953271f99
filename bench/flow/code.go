package flow

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// CodeStep is how long a one-time code is shown.
const CodeStep = 30 * time.Second

// Authenticator makes the one-time codes of one customer (RFC 6238: HMAC-SHA-1, six digits, 30 s), each at most once, as a bank
// asks for: a code's step and those before it are spent with it. It is not safe for concurrent use.
type Authenticator struct {
	seed []byte
	last int64
}

// NewAuthenticator takes a seed in base32.
func NewAuthenticator(seed string) (*Authenticator, error) {
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(strings.ToUpper(seed), "="))
	if err != nil || len(raw) == 0 {
		return nil, fmt.Errorf("flow: the TOTP seed is not base32")
	}
	return &Authenticator{seed: raw}, nil
}

// Next gives a code that was not given before. A second one within a step is that of the step to come, which banks take for
// clocks that run ahead. If that one was given too, ok is false and wait is how long until there is one.
func (a *Authenticator) Next(now time.Time) (code string, wait time.Duration, ok bool) {
	current := now.Unix() / int64(CodeStep/time.Second)
	step := max(current, a.last+1)
	if step > current+1 {
		return "", time.Unix((step-1)*int64(CodeStep/time.Second), 0).Sub(now), false
	}
	a.last = step
	return a.at(step), 0, true
}

// at is HOTP (RFC 4226, section 5.3).
func (a *Authenticator) at(step int64) string {
	mac := hmac.New(sha1.New, a.seed)
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step))
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 15
	number := binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff % 1_000_000
	var digits [6]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = byte('0' + number%10)
		number /= 10
	}
	return string(digits[:])
}
