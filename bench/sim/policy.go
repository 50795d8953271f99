package sim

import (
	"fmt"
	"math"
	"time"

	"netbank/cluster/gate"
)

// Fixed is the gate with a limit that somebody has configured.
func Fixed(limit int) Policy {
	return Policy{Name: fmt.Sprintf("fixed-%d", limit), New: func(int, uint64) Admission { return gate.New(gate.Config{Limit: limit}) }}
}

// Seek is the gate that finds its limit by itself, from start on; 0 is the gate's own start.
func Seek(start int) Policy {
	name := "seek"
	if start > 0 {
		name = fmt.Sprintf("seek-%d", start)
	}
	return Policy{Name: name, New: func(last int, seed uint64) Admission {
		c := gate.Config{Seek: true, SeekSeed: seed, Limit: start}
		if last > 0 {
			c.Limit = last
		}
		return gate.New(c)
	}}
}

// Lined is a policy with a waiting line before it.
func Lined(p Policy) Policy {
	p.Name, p.Line = p.Name+"-line", true
	return p
}

// Off lets everybody in at once.
func Off() Policy {
	return Policy{Name: "off", New: func(int, uint64) Admission { return &open{} }}
}

// open admits whatever comes.
type open struct{ inside int }

func (o *open) Offer(_ gate.Time, of gate.Offer, out []gate.Decision) []gate.Decision {
	o.inside++
	return append(out, gate.Decision{Ticket: of.Ticket, Action: gate.Start})
}

func (o *open) Withdraw(_ gate.Time, _ gate.Ticket, out []gate.Decision) []gate.Decision { return out }

func (o *open) Answer(_ gate.Time, _ gate.Ticket, _ time.Duration, _ bool, out []gate.Decision) []gate.Decision {
	o.inside--
	return out
}

func (o *open) Occupy(gate.Time, gate.Ticket, gate.Class, float64, gate.Time) bool {
	o.inside++
	return true
}

func (o *open) Tick(_ gate.Time, out []gate.Decision) []gate.Decision { return out }

func (o *open) Next(gate.Time) (gate.Time, bool) { return 0, false }

func (o *open) Snapshot() gate.Snapshot {
	return gate.Snapshot{Limit: math.MaxInt32, Ceiling: math.MaxInt32, Taken: o.inside}
}

// Knee is the number of calls with which a scenario's core does most at first.
func (s *Scenario) Knee() int {
	jobs, _ := s.Core.Knee()
	return max(1, jobs)
}
