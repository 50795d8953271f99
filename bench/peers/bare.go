package main

import (
	"math"
	"time"

	"netbank/cluster/gate"
)

// limiter is another's limiter.
type limiter interface {
	// acquire asks for a seat. release gives it back; late says that the answer came after its asker's deadline.
	acquire() (release func(late bool), ok bool)
	// limit is the number of seats there are now.
	limit() int
}

// seats are those that a limiter has given.
type seats map[gate.Ticket]func(late bool)

func (s seats) release(t gate.Ticket, late bool) {
	if release := s[t]; release != nil {
		release(late)
	}
	delete(s, t)
}

// door asks a limiter once, and tells the customer what it says.
type door struct {
	clock   clock
	limiter limiter
	seats   seats
	before  func(now gate.Time) // told the time before anything happens, if it is not nil
	end     func()
}

func bare(l limiter) *door { return &door{limiter: l, seats: make(seats)} }

func (d *door) pass(now gate.Time) {
	d.clock.at(now)
	if d.before != nil {
		d.before(now)
	}
}

func (d *door) Offer(now gate.Time, o gate.Offer, out []gate.Decision) []gate.Decision {
	d.pass(now)
	release, ok := d.limiter.acquire()
	if !ok {
		return append(out, gate.Decision{Ticket: o.Ticket, Action: gate.Refuse, Reason: gate.QueueFull})
	}
	d.seats[o.Ticket] = release
	return append(out, gate.Decision{Ticket: o.Ticket, Action: gate.Start})
}

func (d *door) Withdraw(_ gate.Time, _ gate.Ticket, out []gate.Decision) []gate.Decision { return out }

func (d *door) Answer(now gate.Time, t gate.Ticket, _ time.Duration, late bool, out []gate.Decision) []gate.Decision {
	d.pass(now)
	d.seats.release(t, late)
	return out
}

// Occupy asks for a seat for what is inside already. Whatever the limiter says, it is.
func (d *door) Occupy(now gate.Time, t gate.Ticket, _ gate.Class, _ float64, _ gate.Time) bool {
	d.pass(now)
	release, ok := d.limiter.acquire()
	if ok {
		d.seats[t] = release
	}
	return ok
}

func (d *door) Tick(_ gate.Time, out []gate.Decision) []gate.Decision { return out }

func (d *door) Next(gate.Time) (gate.Time, bool) { return 0, false }

func (d *door) Snapshot() gate.Snapshot {
	return gate.Snapshot{Limit: math.MaxInt32, Ceiling: math.MaxInt32, Taken: len(d.seats)}
}

func (d *door) close() {
	if d.end != nil {
		d.end()
	}
}
