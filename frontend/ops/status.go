package ops

import (
	"fmt"
	"strings"
	"time"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
)

// Status is the answer of GET /api/v1/status, and what `netbank status` prints.
type Status struct {
	Ready         bool          `json:"ready"`   // customers may be sent here
	Verdict       string        `json:"verdict"` // are payments getting through? in one sentence
	Advice        []string      `json:"advice"`  // what to look at, and what to do
	Checks        []Checked     `json:"checks"`
	Version       string        `json:"version,omitempty"`
	Cluster       *Members      `json:"cluster,omitempty"` // missing: the node does not say in time
	Node          uint32        `json:"node"`
	Role          string        `json:"role"` // leader, starting, follower or worker
	Term          uint64        `json:"term"`
	Applied       uint64        `json:"applied"` // index of the last journal entry applied
	Stamp         time.Time     `json:"stamp"`   // the journal's time
	Seats         int           `json:"seats"`   // calls inside the core
	Limit         int           `json:"limit"`
	Stalled       bool          `json:"stalled"`
	Open          int           `json:"open"`                 // payments not yet final
	InDoubt       uint64        `json:"inDoubt"`              // in doubt or being reversed
	Outbox        int           `json:"outbox"`               // notifications not yet delivered
	Disagreements int           `json:"disagreements"`        // the core contradicted a final state; a person must look
	Waiting       int           `json:"waiting"`              // calls that wait for the journal
	Core          CoreStatus    `json:"core"`                 // this node's own connection
	CutOff        []uint32      `json:"cutOff,omitempty"`     // other nodes that cannot reach the core; the leader alone knows
	Reads         *ReadsStatus  `json:"reads,omitempty"`      // of a worker
	Bottleneck    *Limit        `json:"bottleneck,omitempty"` // what limits how many customers can be served; the leader alone knows
	Clock         ClockStatus   `json:"clock"`
	Classes       []ClassStatus `json:"classes"`
	Line          *LineStatus   `json:"line,omitempty"` // missing: there is none
}

// LineStatus says where the waiting line stands.
type LineStatus struct {
	Closed    bool       `json:"closed"`              // new customers wait
	Waiting   int        `json:"waiting"`             // people who have not been called
	Watermark *time.Time `json:"watermark,omitempty"` // who has a place before it has been called; while it is closed
	PerSecond float64    `json:"perSecond"`           // people called, lately
	Carried   *float64   `json:"carried,omitempty"`   // flows a second that can be carried to their end; the leader alone knows
	NoShows   *float64   `json:"noShows,omitempty"`   // part of those called who do not come; the leader alone knows
	Waits     Waits      `json:"waits"`               // of those whom this node has let in since it was started
}

// Waits counts waits in the line by how they compare with the range of time that was shown at first.
type Waits struct {
	Inside  uint64 `json:"inside"`
	Earlier uint64 `json:"earlier"`
	Later   uint64 `json:"later"`
	Untold  uint64 `json:"untold"` // nothing could be said
}

// lineOf puts where the line stands into the words of this port; nil: there is none.
func lineOf(s *cluster.Status, waits func() Waits) *LineStatus {
	if !s.Line.On {
		return nil
	}
	l := &LineStatus{Closed: s.Line.Closed, Waiting: s.Line.Waiting, PerSecond: s.Line.Pace.PerSecond}
	if s.Line.Closed {
		at := timeOf(s.Line.Watermark)
		l.Watermark = &at
	}
	if s.Role == "leader" {
		l.Carried, l.NoShows = &s.Line.Room.Rate, &s.Line.Room.NoShows
	}
	if waits != nil {
		l.Waits = waits()
	}
	return l
}

// Pace is how many can be carried, in words; empty: only the leader knows.
func (l *LineStatus) Pace() string {
	if l.Carried == nil {
		return ""
	}
	return fmt.Sprintf("%.3g customers a second", *l.Carried)
}

// Told is how many of the waits that something was said about were as it was said, in words.
func (w Waits) Told() string {
	all := w.Inside + w.Earlier + w.Later
	if all == 0 {
		return "nobody has waited here yet who was told how long"
	}
	return fmt.Sprintf("%d of %d waits were within the range shown (%d shorter, %d longer)", w.Inside, all, w.Earlier, w.Later)
}

// CoreStatus says whether the core can be reached.
type CoreStatus struct {
	Reachable bool      `json:"reachable"`
	Since     time.Time `json:"since"`
	LastError string    `json:"lastError,omitempty"`
}

// CoreStatusOf puts the status of a node's connection to the core into the words of this port.
func CoreStatusOf(c cluster.CoreStatus) CoreStatus {
	return CoreStatus{Reachable: c.Reachable, Since: c.Since.UTC(), LastError: c.LastError}
}

// ReadsStatus says at which node a worker, which has no journal, looks things up.
type ReadsStatus struct {
	Node  uint32    `json:"node"` // 0: none can be asked
	Since time.Time `json:"since"`
}

// ClockStatus says how far this machine's clock is from the journal's time.
type ClockStatus struct {
	DeviationMillis int64  `json:"deviationMillis"`
	Stopped         bool   `json:"stopped"` // no payments are granted because of it
	Remedy          string `json:"remedy,omitempty"`
}

// ClassStatus says what waits in a class of the gate and what would be refused now.
type ClassStatus struct {
	Class   string `json:"class"`
	Queued  int    `json:"queued"`
	Inside  int    `json:"inside"`
	Refused string `json:"refused,omitempty"` // the reason a new offer would get
}

// statusNow asks the node how it is. ok is false when it does not say in time; what is known all the same is in the answer.
func (p *port) statusNow() (now Status, ok bool) {
	ready := p.readiness()
	now, _, ok = p.statuses.ask(func() Status { return p.statusOf(p.Bank.Status()) })
	now.Ready, now.Checks, now.Version = ready.Ready, ready.Checks, p.Version
	if members, told := p.membersNow(ready); told {
		now.Cluster = &members
	}
	if p.Levers != nil {
		_, found := p.Levers.Watch()
		now.Bottleneck = limitOf(found)
	}
	now.judge()
	return now, ok
}

// judge answers "are payments getting through?".
func (s *Status) judge() {
	s.Verdict, s.Advice = "Payments are getting through", []string{}
	for _, c := range s.Checks {
		if !c.OK {
			s.Verdict = "Payments are not getting through"
			s.Advice = append(s.Advice, c.Problem())
		}
	}
	if len(s.Classes) > int(gate.Confirm) {
		if refused := s.Classes[gate.Confirm].Refused; s.Ready && refused != "" {
			s.Verdict = "New confirmations are being refused: " + refused
			s.Advice = append(s.Advice, "The core takes no more than it takes now. More nodes would not help; ask the core's operators, or raise the limit if the core has room.")
		}
	}
	if l := s.Line; l != nil && l.Closed && l.Waiting > 0 {
		s.Advice = append(s.Advice, fmt.Sprintf("New customers wait in line: %s, and %.3g a second are called. That is as it should be while more come than the core and the sign-ins can carry; `netbank_line_rate` against the two says which of them is short.", peopleText(l.Waiting), l.PerSecond))
	}
	if l := s.Bottleneck; l != nil && l.Advice() != "" {
		s.Advice = append(s.Advice, fmt.Sprintf("Bottleneck: %s. %s", l.Text, l.Advice()))
	}
	if len(s.CutOff) > 0 {
		s.Advice = append(s.Advice, fmt.Sprintf("Of the other nodes %s cannot reach the core: what comes to them is refused, and comes through elsewhere. Look at their networks.", nodesOf(numbers(s.CutOff))))
	}
	if r := s.Reads; r != nil && r.Node == 0 {
		s.Advice = append(s.Advice, fmt.Sprintf("This worker can ask no coordinator since %s: what it shows is as last seen. Look at its network and at the coordinators.", stamp(r.Since)))
	}
	if s.InDoubt > 0 {
		s.Advice = append(s.Advice, "Payments in doubt are being resolved with the core by themselves; nothing is to be done as long as their number falls.")
	}
	if s.Disagreements > 0 {
		s.Advice = append(s.Advice, "The core has contradicted a payment's final state. Compare the payments on the reconciliation list with the core's books.")
	}
}

func numbers(all []uint32) (nodes []journal.NodeID) {
	for _, n := range all {
		nodes = append(nodes, journal.NodeID(n))
	}
	return nodes
}

// Well says whether nothing stands in the way of payments.
func (s *Status) Well() bool { return strings.HasPrefix(s.Verdict, "Payments are getting") }

func (p *port) statusOf(s cluster.Status) Status {
	out := Status{
		Node: uint32(s.Node), Role: s.Role, Term: s.Replica.Term, Applied: s.Replica.AppliedIndex, Stamp: time.UnixMilli(int64(s.Stamp)).UTC(),
		Seats: s.Gate.Taken, Limit: s.Gate.Limit, Stalled: s.Gate.Stalled, Open: s.Counts.Open,
		InDoubt: s.Counts.ByState[journal.StateInDoubt] + s.Counts.ByState[journal.StateReversing],
		Outbox:  s.Counts.Outbox, Disagreements: s.Counts.Contradictions, Waiting: s.Waiting,
		Core:  CoreStatusOf(s.Core),
		Clock: ClockStatus{DeviationMillis: s.Clock.Deviation.Milliseconds(), Stopped: s.Clock.Stopped, Remedy: s.Clock.Remedy},
	}
	for _, n := range s.CutOff {
		out.CutOff = append(out.CutOff, uint32(n))
	}
	if !s.Reads.Since.IsZero() {
		out.Reads = &ReadsStatus{Node: uint32(s.Reads.Node), Since: s.Reads.Since.UTC()}
	}
	out.Line = lineOf(&s, p.Waits)
	for c := range gate.Class(gate.Classes) {
		line := ClassStatus{Class: c.String(), Queued: s.Gate.QueuedBy[c], Inside: s.Gate.TakenBy[c]}
		if refusal, refused := p.Bank.Refused(c); refused {
			line.Refused = refusal.Reason.String()
		}
		out.Classes = append(out.Classes, line)
	}
	return out
}
