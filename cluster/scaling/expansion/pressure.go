package expansion

import (
	"math"
	"time"
)

// Part is a part of the front end of which there may be too little. More workers bring more of each.
type Part uint8

// The parts, in the order in which they are named where two are equally short.
const (
	SignIn      Part = iota // the pool that checks passwords
	Processor               // time of the processors that the process may use
	Connections             // places of the doors
	Parts       = 3
)

func (p Part) String() string {
	names := [Parts]string{"sign-in", "processor", "connections"}
	if int(p) < len(names) {
		return names[p]
	}
	return "unknown"
}

// smoothing is the time constant of a Meter: long enough for the lumps of password hashes on a busy machine, short beside OutAfter.
const smoothing = 3 * time.Second

// waitMax is the longest wait that is told, in milliseconds: who would wait longer is refused by the pool.
const waitMax = 60_000

// Pressure is how busy a node is, as it tells the leader: smoothed, in whole percent.
type Pressure struct {
	SignIn      int `json:"signIn"`               // of the pool's time in which it checked passwords
	Processor   int `json:"processor"`            // of the processors' time that the process may use
	Connections int `json:"connections"`          // of the fuller door's places
	WaitMillis  int `json:"waitMillis,omitempty"` // that who signs in now waits for the pool
	// Quiet says that no customer has come lately: balancers may keep the node in reserve.
	Quiet bool `json:"quiet,omitempty"`
}

// Of gives one part.
func (p Pressure) Of(part Part) int { return [Parts]int{p.SignIn, p.Processor, p.Connections}[part] }

// Fit makes what another node tells fit to be reckoned with.
func (p Pressure) Fit() Pressure {
	percent := func(n int) int { return min(max(n, 0), 100) }
	return Pressure{percent(p.SignIn), percent(p.Processor), percent(p.Connections), min(max(p.WaitMillis, 0), waitMax), p.Quiet}
}

// Reading is what a node's counters say at a moment. Times and counts grow from the node's start.
type Reading struct {
	At         time.Duration // since an origin of the caller's, advancing monotonically
	Hashing    time.Duration // that the pool's workers spent on passwords, all together
	Workers    int           // of the pool; 0: there is none yet
	Wait       time.Duration // that who signs in now would wait for the pool
	Processor  time.Duration // that the process has used
	Processors float64       // that it may use at once
	Periods    uint64        // in which its control group has been given processor time
	Throttled  uint64        // of these, those in which it was stopped because it had used its share
	Full       float64       // part of the fuller door's places that are taken
	Quiet      bool          // no customer has come lately
}

// Meter makes a node's pressure of its readings. It is not safe for concurrent use.
type Meter struct {
	begun bool
	last  Reading
	part  [Parts]float64
}

// Read takes a reading, and gives the pressure now.
func (m *Meter) Read(r Reading) Pressure {
	dt := (r.At - m.last.At).Seconds()
	if m.begun && dt > 0 {
		gain := 1 - math.Exp(-dt/smoothing.Seconds())
		now := [Parts]float64{Connections: r.Full}
		if r.Workers > 0 {
			now[SignIn] = (r.Hashing - m.last.Hashing).Seconds() / dt / float64(r.Workers)
		}
		if r.Processors > 0 {
			now[Processor] = (r.Processor - m.last.Processor).Seconds() / dt / r.Processors
		}
		// A group that is stopped in every period has no processor time left, whoever in it has used it up.
		if r.Periods > m.last.Periods && r.Throttled >= m.last.Throttled {
			now[Processor] = max(now[Processor], float64(r.Throttled-m.last.Throttled)/float64(r.Periods-m.last.Periods))
		}
		for part, busy := range now {
			m.part[part] += gain * (busy - m.part[part])
		}
	}
	m.begun, m.last = true, r
	percent := func(part Part) int { return int(100*m.part[part] + 0.5) }
	return Pressure{percent(SignIn), percent(Processor), percent(Connections), int(r.Wait.Milliseconds()), r.Quiet}.Fit()
}
