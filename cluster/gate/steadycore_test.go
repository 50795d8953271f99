package gate

import "time"

// steadyCore is a core behind a gate that answers every call after the same time, but for those that it loses.
type steadyCore struct {
	gate     *Gate
	callTime time.Duration
	loses    func(started int) bool // nil: none
	inside   []insideUntil
	ticket   Ticket
	started  int
	told     time.Duration // the last refusal's RetryAfter
}

type insideUntil struct {
	at time.Duration
	of Ticket
}

// run lets time pass, in which offers come at even times.
func (c *steadyCore) run(from, until, every time.Duration, o Offer) {
	for now := from; now < until; now += time.Millisecond {
		for len(c.inside) > 0 && c.inside[0].at <= now {
			of := c.inside[0].of
			c.inside = c.inside[1:]
			c.follow(now, c.gate.Answer(now, of, c.callTime, false, nil))
		}
		if now%every == 0 {
			c.ticket++
			o.Ticket = c.ticket
			c.follow(now, c.gate.Offer(now, o, nil))
		}
		c.follow(now, c.gate.Tick(now, nil))
	}
}

func (c *steadyCore) follow(now time.Duration, out []Decision) {
	for _, d := range out {
		if d.Action != Start {
			c.told = d.RetryAfter
			continue
		}
		if c.started++; c.loses == nil || !c.loses(c.started) {
			c.inside = append(c.inside, insideUntil{now + c.callTime, d.Ticket})
		}
	}
}
