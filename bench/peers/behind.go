package main

import (
	"time"

	"netbank/cluster/gate"
)

// lent is our gate with another's number of seats: the limiter hears of every start and every answer, and what it then says is the gate's limit.
type lent struct {
	*gate.Gate
	door *door
	last int
}

func behind(d *door) *lent {
	l := &lent{door: d, last: seatsOf(d.limiter)}
	l.Gate = gate.New(gate.Config{Limit: l.last})
	return l
}

func seatsOf(l limiter) int { return min(max(l.limit(), 1), gate.CeilingMax) }

// follow tells the limiter of the starts from out[from] on, and the gate of the limit, until neither has anything new.
func (l *lent) follow(now gate.Time, from int, out []gate.Decision) []gate.Decision {
	for {
		for ; from < len(out); from++ {
			if out[from].Action != gate.Start {
				continue
			}
			if release, ok := l.door.limiter.acquire(); ok {
				l.door.seats[out[from].Ticket] = release
			}
		}
		limit := seatsOf(l.door.limiter)
		if limit == l.last {
			return out
		}
		l.last = limit
		out = l.Gate.SetLimit(now, limit, out)
	}
}

func (l *lent) Offer(now gate.Time, o gate.Offer, out []gate.Decision) []gate.Decision {
	l.door.pass(now)
	from := len(out)
	return l.follow(now, from, l.Gate.Offer(now, o, out))
}

func (l *lent) Withdraw(now gate.Time, t gate.Ticket, out []gate.Decision) []gate.Decision {
	l.door.pass(now)
	from := len(out)
	return l.follow(now, from, l.Gate.Withdraw(now, t, out))
}

func (l *lent) Answer(now gate.Time, t gate.Ticket, elapsed time.Duration, late bool, out []gate.Decision) []gate.Decision {
	l.door.pass(now)
	l.door.seats.release(t, late)
	from := len(out)
	return l.follow(now, from, l.Gate.Answer(now, t, elapsed, late, out))
}

func (l *lent) Tick(now gate.Time, out []gate.Decision) []gate.Decision {
	l.door.pass(now)
	from := len(out)
	return l.follow(now, from, l.Gate.Tick(now, out))
}

func (l *lent) Occupy(now gate.Time, t gate.Ticket, class gate.Class, weight float64, granted gate.Time) bool {
	l.door.Occupy(now, t, class, weight, granted)
	return l.Gate.Occupy(now, t, class, weight, granted)
}

func (l *lent) close() { l.door.close() }
