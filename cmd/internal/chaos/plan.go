package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Fault names what can go wrong.
type Fault string

// The faults. Those of a disk need the superuser, who alone may mount; those of a link need more than one node.
const (
	Kill       Fault = "kill"        // SIGKILL, and started again when the time is over
	Pause      Fault = "pause"       // SIGSTOP, SIGCONT
	KillCore   Fault = "kill-core"   //
	CoreLoses  Fault = "core-loses"  // a fifth of what it is sent and of what it answers
	CoreTwice  Fault = "core-twice"  // every answer comes twice
	CoreSlow   Fault = "core-slow"   // answers come about when the core limit is over
	CoreFrozen Fault = "core-frozen" // no answers at all
	CoreAway   Fault = "core-away"   // no connections
	DiskFull   Fault = "disk-full"   //
	DiskStall  Fault = "disk-stall"  // writes wait
	ClockStep  Fault = "clock-step"  // the node's clock is off, and right again when the time is over
	Cut        Fault = "cut"         // no bytes between a node and the others
	CutLeader  Fault = "cut-leader"  // no bytes between a node and whoever leads
	OneWay     Fault = "one-way"     // no bytes from a node to another one
	Delay      Fault = "delay"       // bytes from and to a node come late
	HandOver   Fault = "hand-over"   // the leader hands the lead over
	Replace    Fault = "replace"     // a worker is killed for good and removed, and a new one joins in its place
)

// Faults lists all of them.
func Faults() []Fault {
	return []Fault{
		Kill, Pause, KillCore, CoreLoses, CoreTwice, CoreSlow, CoreFrozen, CoreAway, DiskFull, DiskStall, ClockStep, Cut, OneWay, Delay, HandOver,
		CutLeader, Replace,
	}
}

// ErrFault says that there is no such fault.
var ErrFault = errors.New("chaos: no such fault")

// ParseFaults reads names with commas between them. An empty text is all.
func ParseFaults(text string) ([]Fault, error) {
	if text == "" {
		return Faults(), nil
	}
	var some []Fault
	for name := range strings.SplitSeq(text, ",") {
		f := Fault(strings.TrimSpace(name))
		if !slices.Contains(Faults(), f) {
			return nil, fmt.Errorf("%w: %.40q; the faults are %v", ErrFault, name, Faults())
		}
		some = append(some, f)
	}
	return some, nil
}

// Shape is what a plan is for.
type Shape struct {
	Coordinators int
	Workers      int // numbered behind the coordinators
	Disks        bool
	Delays       bool
	Only         []Fault // nil: all that the shape has
}

// has tells whether a fault makes sense.
func (s Shape) has(f Fault) bool {
	switch f {
	case DiskFull, DiskStall:
		if !s.Disks {
			return false
		}
	case Cut, CutLeader, OneWay, Delay:
		if s.Coordinators+s.Workers < 2 || f == Delay && !s.Delays {
			return false
		}
	case HandOver:
		if s.Coordinators < 2 {
			return false
		}
	case Replace:
		if s.Workers == 0 {
			return false
		}
	}
	return s.Only == nil || slices.Contains(s.Only, f)
}

// Step is one fault of a plan.
type Step struct {
	At, For time.Duration
	Fault   Fault
	Node    int           // 0: it is the core's, or the leader's
	To      int           // of OneWay
	By      time.Duration // of ClockStep and Delay
}

// String is the step in a line.
func (s Step) String() string {
	text := fmt.Sprintf("%8.3f s  %-11s", s.At.Seconds(), s.Fault)
	if s.Node > 0 {
		text += fmt.Sprintf(" node %d", s.Node)
	}
	if s.To > 0 {
		text += fmt.Sprintf(" to %d", s.To)
	}
	if s.By != 0 {
		text += fmt.Sprintf(" by %v", s.By)
	}
	return text + fmt.Sprintf(" for %v", s.For)
}

// Bounds of a plan.
const (
	calmBefore = 2 * time.Second // for the load to begin
	calmAfter  = 5 * time.Second // for it to go on
	gapMean    = 1500 * time.Millisecond
	forMax     = 8 * time.Second
)

// Plan draws faults for a time. The same arguments give the same plan.
func Plan(seed uint64, length time.Duration, shape Shape) []Step {
	r := rand.New(rand.NewPCG(seed, 0xc4a05))
	kinds := slices.DeleteFunc(Faults(), func(f Fault) bool { return !shape.has(f) })
	if len(kinds) == 0 {
		return nil
	}
	nodes := shape.Coordinators + shape.Workers
	busy := make(map[string]time.Duration) // until when, by what it is about
	var plan []Step
	for at := calmBefore; ; {
		at += time.Duration(r.ExpFloat64() * float64(gapMean)).Truncate(time.Millisecond)
		s := draw(r, kinds[r.IntN(len(kinds))], nodes, shape.Coordinators)
		s.At = at
		if at+s.For > length-calmAfter {
			break
		}
		// Faults overlap, but not two of a kind on the same thing.
		about := fmt.Sprint(s.subject(), s.Node)
		if busy[about] > at {
			continue
		}
		busy[about] = at + s.For + 500*time.Millisecond
		plan = append(plan, s)
	}
	return plan
}

// subject is what a fault holds while it lasts.
func (s Step) subject() string {
	switch s.Fault {
	case Kill, Pause, Replace:
		return "process"
	case KillCore, CoreLoses, CoreTwice, CoreSlow, CoreFrozen, CoreAway:
		return "core"
	case DiskFull, DiskStall:
		return "disk"
	case Cut, CutLeader, OneWay, Delay:
		return "link"
	}
	return string(s.Fault)
}

func draw(r *rand.Rand, f Fault, nodes, coordinators int) Step {
	span := func(from, to time.Duration) time.Duration {
		return (from + time.Duration(r.Int64N(int64(to-from)))).Truncate(time.Millisecond)
	}
	s := Step{Fault: f, Node: 1 + r.IntN(nodes)}
	switch f {
	case Kill:
		s.For = span(0, 2*time.Second)
	case Pause:
		s.For = span(100*time.Millisecond, forMax)
	case KillCore:
		s.Node, s.For = 0, span(0, time.Second)
	case CoreLoses, CoreTwice, CoreSlow, CoreFrozen, CoreAway:
		s.Node, s.For = 0, span(500*time.Millisecond, 4*time.Second)
	case DiskFull:
		s.Node, s.For = 1+r.IntN(coordinators), span(500*time.Millisecond, 3*time.Second)
	case DiskStall:
		s.Node, s.For = 1+r.IntN(coordinators), span(50*time.Millisecond, 5*time.Second)
	case ClockStep:
		s.For, s.By = span(500*time.Millisecond, 4*time.Second), span(-8*time.Second, 8*time.Second)
	case Cut, CutLeader:
		s.For = span(100*time.Millisecond, forMax)
	case OneWay:
		s.For, s.To = span(100*time.Millisecond, forMax), 1+r.IntN(nodes-1)
		if s.To >= s.Node {
			s.To++
		}
	case Delay:
		s.For, s.By = span(500*time.Millisecond, forMax), span(time.Millisecond, 400*time.Millisecond)
	case HandOver:
		s.Node = 0
	case Replace:
		s.Node, s.For = coordinators+1+r.IntN(nodes-coordinators), span(0, 2*time.Second)
	}
	return s
}
