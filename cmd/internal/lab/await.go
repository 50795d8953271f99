package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

// How a process that was started is waited for.
const (
	readyLimit = 60 * time.Second
	readyPoll  = 50 * time.Millisecond
)

// ErrSilent says that an address did not answer in time.
var ErrSilent = errors.New("no answer")

// Await asks an address until it answers 200, failed gives an error, or a minute is over (ErrSilent).
func Await(ctx context.Context, url string, failed func() error) error {
	limit := time.NewTimer(readyLimit)
	defer limit.Stop()
	client := &http.Client{Timeout: 2 * time.Second}
	for {
		if resp, err := client.Get(url); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if err := failed(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return fmt.Errorf("%w: %s within %v", ErrSilent, url, readyLimit)
		case <-time.After(readyPoll):
		}
	}
}

// LastLine gives the last line of a log, which says more than an exit code; or nothing.
func LastLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}
