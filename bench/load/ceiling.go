package load

import (
	"context"
	"fmt"
	"time"
)

// Ceiling measures the generator itself: GET / on kept-alive connections to a plain HTTP server at addr, each sending its next
// request when the last is answered with 200, for d after a warm-up of a fifth of it. Against a server that does nothing, the rate
// is the most that this generator can offer on this machine beside it.
func Ceiling(ctx context.Context, addr string, connections int, d time.Duration) (*Result, error) {
	pool, err := NewPool(ctx, Dialer{Addr: addr}, connections)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	get := fmt.Appendf(nil, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", addr)
	work := func(c *Client, _ int64) Verdict {
		r, err := c.Do(get)
		switch {
		case err != nil:
			return Verdict{Outcome: Failed, Reason: Reason(err)}
		case r.Status != 200:
			return Verdict{Outcome: Failed, Reason: fmt.Sprint("status ", r.Status)}
		}
		return Verdict{}
	}
	return Closed(ctx, Run{Pool: pool, Work: work, WarmUp: d / 5, Measure: d})
}
