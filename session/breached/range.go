package breached

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Bounds of asking a service.
const (
	// RangeWait bounds a question with its answer: a customer waits for it.
	RangeWait = time.Second
	// RangeBytesMax bounds an answer. Those of Have I Been Pwned have about 80,000 bytes with what is added to hide their length.
	RangeBytesMax = 512 << 10
	// RangeAtOnceMax is how many questions are asked at once.
	RangeAtOnceMax = 8
)

// prefixDigits is how many hexadecimal digits of a SHA-1 the service learns.
const prefixDigits = 5

// Range asks a service that has the interface of Have I Been Pwned's range search: GET base/ABCDE gives lines of the other 35 digits, a colon
// and a count. It is safe for concurrent use.
type Range struct {
	base   string
	client *http.Client
	places chan struct{}
}

// NewRange asks the service under an address such as https://api.pwnedpasswords.com/range. Plain HTTP is for loopback only.
func NewRange(base string) (*Range, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, fmt.Errorf("breached: %q is not an address of a range search; write one with https, such as https://api.pwnedpasswords.com/range", base)
	}
	return &Range{
		base: strings.TrimSuffix(base, "/") + "/",
		client: &http.Client{
			Timeout:       RangeWait,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		places: make(chan struct{}, RangeAtOnceMax),
	}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

var errPlaces = errors.New("breached: as many questions as there may be at once are being asked already")

// Listed asks whether a password is in the service's list.
func (r *Range) Listed(password string) (bool, error) {
	select {
	case r.places <- struct{}{}:
		defer func() { <-r.places }()
	default:
		return false, errPlaces
	}
	sum := sha1.Sum([]byte(password))
	digits := strings.ToUpper(hex.EncodeToString(sum[:]))
	q, err := http.NewRequestWithContext(context.Background(), http.MethodGet, r.base+digits[:prefixDigits], http.NoBody)
	if err != nil {
		return false, fmt.Errorf("breached: %w", err)
	}
	q.Header.Set("Add-Padding", "true") // answers are of the like length then, whatever was asked
	q.Header.Set("User-Agent", "netbank")
	answer, err := r.client.Do(q)
	if err != nil {
		var wrapped *url.Error // it names the address, digits and all
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return false, fmt.Errorf("breached: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return false, fmt.Errorf("breached: the range search answered %d", answer.StatusCode)
	}
	return listed(answer.Body, digits[prefixDigits:])
}

// listed looks for a suffix in an answer. Entries with a count of 0 are padding. An answer that is none says so.
func listed(body io.Reader, suffix string) (bool, error) {
	bounded := &io.LimitedReader{R: body, N: RangeBytesMax + 1}
	s := bufio.NewScanner(bounded)
	found := false
	for s.Scan() {
		entry, count, ok := strings.Cut(strings.TrimSuffix(s.Text(), "\r"), ":")
		if !ok || len(entry) != len(suffix) || count == "" || len(count) > 20 {
			return false, errors.New("breached: an answer that is no range")
		}
		if strings.EqualFold(entry, suffix) && strings.Trim(count, "0") != "" {
			found = true
		}
	}
	switch err := s.Err(); {
	case err != nil:
		return false, fmt.Errorf("breached: %w", err)
	case bounded.N == 0:
		return false, fmt.Errorf("breached: an answer of more than %d bytes", RangeBytesMax)
	}
	return found, nil
}
