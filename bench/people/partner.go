package people

import (
	"fmt"

	"netbank/bench/load"
)

// Order is a payment that was created and that nobody has confirmed.
type Order struct{ ID, Link string }

// Place creates the nth payment.
func (m *Maker) Place(c *load.Client, n int64) (Order, load.Verdict) {
	c.Scratch = m.Create(c.Scratch[:0], n)
	r, err := c.Do(c.Scratch)
	switch {
	case err != nil:
		return Order{}, failed(load.Reason(err))
	case r.Status == 429 || r.Status == 503:
		return Order{}, load.Verdict{Outcome: load.Refused, Reason: fmt.Sprint("status ", r.Status)}
	case r.Status != 201:
		return Order{}, failed(fmt.Sprint("status ", r.Status))
	}
	id, link, ok := created(r.Body)
	if !ok {
		return Order{}, failed("a create without id or link")
	}
	return Order{id, link}, load.Verdict{}
}

// Ask reads a payment's status.
func (m *Maker) Ask(c *load.Client, id string, n int64) (status string, version uint32, v load.Verdict) {
	c.Scratch = m.Status(c.Scratch[:0], id, n)
	r, err := c.Do(c.Scratch)
	switch {
	case err != nil:
		return "", 0, failed(load.Reason(err))
	case r.Status == 429 || r.Status == 503:
		return "", 0, load.Verdict{Outcome: load.Refused, Reason: fmt.Sprint("status ", r.Status)}
	case r.Status != 200:
		return "", 0, failed(fmt.Sprint("status ", r.Status))
	}
	status, version, ok := standing(r.Body)
	if !ok {
		return "", 0, failed("a status without its code")
	}
	return status, version, load.Verdict{}
}
