package expansion

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"netbank/cluster/journal"
)

// Operator is who wishes, in the journal and the audit. No person is told by that name: operators are "token" or the name of a certificate.
const Operator = "automatic expansion"

const (
	// Lease is how long a wish for more stands that is not renewed.
	Lease = 6 * time.Hour
	// LookEvery is the time between two looks.
	LookEvery = 500 * time.Millisecond
	// GapMax is the longest time between two looks after which what was seen before still counts.
	GapMax = 5 * time.Second
	// coreSmoothing is the time constant of how often the core was found full; the gate's own trials of fewer seats last up to two seconds.
	coreSmoothing = 3 * time.Second
	coreFull      = 0.5 // part of the looks from which on the core is what limits
	coreFree      = 0.2 // and below which it no longer is
)

// Core is how the gate finds the core.
type Core uint8

// How it is found.
const (
	CoreFree        Core = iota
	CoreFull             // calls wait for a seat or are refused one, or the line in front of it is as long as it is because of the core
	CoreStalled          // it has stopped answering
	CoreUnreachable      // no node reaches it
)

// Line is the waiting line, if there is one.
type Line uint8

// How it stands.
const (
	LineOpen       Line = iota
	LineForSignIns      // closed, because no more passwords can be checked
	LineForCore         // closed, because the core can carry no more
)

// Runner is who runs workers, as the reconciler has it.
type Runner struct {
	Name    string // empty: nobody
	Known   bool   // it has answered this leader
	Problem string // why its last call failed; empty: it did not
	Wanted  int
	Running int // -1: it does not know
	Leaving int
	Serving int // workers that have answered a customer and are ready
}

// Sample is what a leader sees at a moment.
type Sample struct {
	At       time.Duration  // since an origin of the caller's, advancing monotonically
	Now      journal.Millis // the journal's time, in which wishes end
	Nodes    []Pressure     // of the nodes that answer customers; those that are quiet count only where all are
	Silent   int            // nodes that answer customers and have not told their pressure
	Core     Core
	Line     Line
	Wish     journal.Wanted // of the workers
	Runner   Runner
	Approval bool // each wish needs a second operator
}

// Limit is what limits how many customers can be served.
type Limit uint8

// The limits. The parts follow LimitPart in their order.
const (
	LimitUnknown Limit = iota
	LimitNone
	LimitCore
	LimitSignIn
	LimitProcessor
	LimitConnections
	Limits = 6
)

func (l Limit) String() string {
	names := [Limits]string{"unknown", "none", "core", SignIn.String(), Processor.String(), Connections.String()}
	if int(l) < len(names) {
		return names[l]
	}
	return "unknown"
}

func limitOf(p Part) Limit { return LimitSignIn + Limit(p) }

// Helps says whether more workers would help.
func (l Limit) Helps() bool { return l >= LimitSignIn }

// Move is a change of the wish that is due now.
type Move struct {
	From, To int
	Until    journal.Millis // 0: it stays, because it is what operators wish for anyway
	Fence    uint64
	Reason   string
	Approval bool // it waits for an operator
}

// Finding is what a look came to.
type Finding struct {
	Limit  Limit
	Busy   [Parts]int // percent, mean of the nodes that answer customers
	Nodes  int        // these
	Text   string     // what limits, in a few words
	Doing  string     // what automatic expansion does, or why it does nothing
	Move   *Move      // nil: nothing is due
	Moving bool       // workers that were asked for do not serve yet
}

// since remembers for how long something has been so.
type since struct {
	is bool
	at time.Duration
}

func (s *since) see(is bool, now time.Duration) {
	if is && !s.is {
		s.at = now
	}
	s.is = is
}

func (s *since) lasts(now, least time.Duration) bool { return s.is && now-s.at >= least }

// Expansion is one leadership's watch over what limits. Make a new one for each; it is not safe for concurrent use.
type Expansion struct {
	c       Config
	begun   bool
	last    time.Duration
	changed time.Duration // the lever was, or the leadership began
	fence   uint64
	full    float64 // part of the looks in which the core was full, smoothed
	core    bool    // is what limits
	short   since   // a part of the front end is
	idle    since   // every part is
	refused string
}

// New begins the watch.
func New(c Config) *Expansion { return &Expansion{c: c} }

// Refused says that a Move could not be made, and why: it is tried again after a pause.
func (e *Expansion) Refused(why string) { e.refused, e.changed = why, e.last }

// Look takes a sample, and says what limits and what is due.
func (e *Expansion) Look(s *Sample) Finding {
	e.pass(s)
	f := e.find(s)
	e.short.see(f.Limit.Helps(), s.At)
	e.idle.see(e.isIdle(&f), s.At)
	if f.Doing = "off"; e.c.On() {
		f.Doing = e.decide(s, &f)
	}
	return f
}

// pass lets time pass: it forgets what is too old, and notes that somebody has moved the lever.
func (e *Expansion) pass(s *Sample) {
	dt := s.At - e.last
	if !e.begun || dt > GapMax {
		e.short, e.idle = since{}, since{}
	}
	moved := e.fence != s.Wish.Fence
	if !e.begun || moved {
		e.changed, e.refused = s.At, ""
	}
	now := 0.0
	if s.Core != CoreFree || s.Line == LineForCore {
		now = 1
	}
	switch {
	case !e.begun || s.Core >= CoreStalled:
		e.full = now
	default:
		e.full += (1 - math.Exp(-max(dt, 0).Seconds()/coreSmoothing.Seconds())) * (now - e.full)
	}
	if e.full >= coreFull {
		e.core = true
	} else if e.full < coreFree {
		e.core = false
	}
	e.begun, e.last, e.fence = true, s.At, s.Wish.Fence
}

// find says what limits. The core comes first: while it does, more of anything else only brings it more.
func (e *Expansion) find(s *Sample) Finding {
	nodes := inUse(s.Nodes)
	f := Finding{Nodes: len(nodes)}
	for part := range Part(Parts) {
		for _, n := range nodes {
			f.Busy[part] += n.Of(part)
		}
		if f.Nodes > 0 {
			f.Busy[part] /= f.Nodes
		}
	}
	switch {
	case e.core:
		f.Limit = LimitCore
	case f.Nodes == 0 || s.Silent > f.Nodes:
		f.Limit = LimitUnknown
	default:
		f.Limit = LimitNone
		busiest := SignIn
		for part := range Part(Parts) {
			if f.Busy[part] > f.Busy[busiest] {
				busiest = part
			}
		}
		if f.Busy[busiest] >= e.c.Out {
			f.Limit = limitOf(busiest)
		} else if s.Line == LineForSignIns {
			f.Limit = LimitSignIn // the line calls in a little fewer than the pools can check
		}
	}
	f.Text = e.text(s, &f)
	return f
}

// inUse leaves out nodes to which no customer comes: what balancers keep in reserve has room that nobody is given. At night, when customers
// come to none, all count.
func inUse(all []Pressure) []Pressure {
	if used := slices.DeleteFunc(slices.Clone(all), func(n Pressure) bool { return n.Quiet }); len(used) > 0 {
		return used
	}
	return all
}

// isIdle says whether every part is below In. While the core limits nobody knows what there would be to do without that.
func (e *Expansion) isIdle(f *Finding) bool {
	return f.Limit == LimitNone && f.Busy[SignIn] < e.c.In && f.Busy[Processor] < e.c.In && f.Busy[Connections] < e.c.In
}

// decide says what it does, and fills in the Move that is due.
func (e *Expansion) decide(s *Sample, f *Finding) string {
	r, now := &s.Runner, &s.Wish.Now
	value, base := int(now.Value), int(s.Wish.Base)
	if now.Number == 0 {
		value, base = r.Wanted, r.Wanted
	}
	own := now.Number > 0 && now.Operator == Operator
	f.Moving = r.Wanted != value || r.Running >= 0 && r.Running != r.Wanted || r.Leaving > 0 || r.Running > r.Serving
	switch {
	case !r.Known:
		return "waits until the provider of workers says what runs"
	case s.Wish.Pending.Number > 0:
		return "waits: a wish waits for a second operator"
	case now.Until > 0 && !own:
		return "stands back until an operator's wish has ended, at " + clock(now.Until)
	case r.Problem != "":
		return "waits: the provider of workers has failed"
	case e.refused != "" && s.At-e.changed < e.c.OutPause:
		return "stands back: " + e.refused
	}
	move := func(to int, until journal.Millis, reason string) string {
		f.Move = &Move{From: value, To: to, Until: until, Fence: s.Wish.Fence, Reason: reason, Approval: s.Approval && to > value}
		return "moves"
	}
	lease := s.Now + journal.Millis(Lease.Milliseconds())
	paused := s.At-e.changed < e.c.OutPause
	if value < e.c.Min && (now.Number == 0 || own && now.Until == 0) && !paused && !f.Moving {
		return move(min(value+e.c.Step, e.c.Min), 0, fmt.Sprintf("there are to be %d workers at least", e.c.Min))
	}
	floor := max(base, e.c.Min)
	if ends := own && now.Until > 0 && now.Until-s.Now < journal.Millis(Lease.Milliseconds())/2; ends && value > floor && !e.idle.is && f.Limit != LimitUnknown {
		return move(value, lease, "kept: "+strings.TrimPrefix(f.Text, "nothing: "))
	}
	switch {
	case f.Limit.Helps():
		switch {
		case value >= e.c.Max:
			return "has as many workers as it may have"
		case f.Moving:
			return "waits until the workers that were asked for serve"
		case paused:
			return "waits: the last change, or this leadership's beginning, was less than " + e.c.OutPause.String() + " ago"
		case !e.short.lasts(s.At, e.c.OutAfter):
			return "watches: that has to last for " + e.c.OutAfter.String()
		}
		return move(min(value+e.c.Step, e.c.Max), lease, lasting(f.Text, s.At-e.short.at))
	case value <= floor:
		return "watches"
	case !e.idle.is:
		return "keeps its workers"
	case len(s.Nodes) < 2:
		return "keeps the last node that serves"
	case f.Moving || s.At-e.changed < e.c.InPause || !e.idle.lasts(s.At, e.c.InAfter):
		return "will give workers back one by one"
	}
	if value-1 == base {
		lease = 0 // it is what operators wish for anyway
	}
	return move(value-1, lease, lasting(strings.TrimPrefix(f.Text, "nothing: "), s.At-e.idle.at))
}
