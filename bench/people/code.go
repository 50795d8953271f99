package people

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"time"
)

// seedOf decodes a TOTP seed.
func seedOf(text string) ([]byte, error) {
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("people: a customer's TOTP seed is not base32: %w", err)
	}
	return seed, nil
}

// codeStep is how long a one-time code is shown.
const codeStep = 30 * time.Second

// counterOf numbers the code that is shown at a moment.
func counterOf(at time.Time) int64 { return at.Unix() / int64(codeStep/time.Second) }

// Code is the one-time code of a moment (RFC 6238 with HMAC-SHA-1, 30 s, 6 digits).
func Code(seed []byte, at time.Time) string { return codeOf(seed, counterOf(at)) }

func codeOf(seed []byte, number int64) string {
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(number))
	mac := hmac.New(sha1.New, seed)
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 15
	n := binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff % 1_000_000
	digits := []byte("000000")
	for i := 5; i >= 0; i, n = i-1, n/10 {
		digits[i] = byte('0' + n%10)
	}
	return string(digits)
}
