package report

import (
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"netbank/bench/audit"
	"netbank/bench/load"
	"netbank/bench/machine"
)

// Version of the JSON's schema. It grows with every change that a reader must know of.
//
// Version 2 (2026-11): what was asked, headlines, what was left out and the command; arms, multiples of the core's peak, objectives, what was
// abandoned or in doubt, timelines and counts of steps in each phase; samples; audits by arm.
//
// Version 3 (2026-11): what was done to the nodes of a cluster, and what confirmations met of it; the number of workers.
//
// Version 4 (2026-11): what operators did to the number of workers; the balancer, and how many passwords each worker could check.
const Version = 4

// Schema is the JSON schema of Result.
//
//go:embed schema.json
var Schema []byte

// Result is one run of a scenario. Durations are nanoseconds where a name ends in Ns, and seconds where it ends in Seconds.
type Result struct {
	Version     int             `json:"version"`
	Scenario    string          `json:"scenario"`
	Started     time.Time       `json:"started"`
	TookSeconds float64         `json:"tookSeconds"`
	Seed        uint64          `json:"seed"`
	Command     string          `json:"command"` // that repeats the run, to be typed as it stands; empty: not recorded
	Asked       string          `json:"asked"`   // one paragraph in plain words: what this run asks
	Headlines   []Headline      `json:"headlines"`
	Setting     Setting         `json:"setting"`
	Machine     machine.Machine `json:"machine"`
	Generators  int             `json:"generators"` // processes that made the load; 0 is read as 1
	Phases      []Phase         `json:"phases"`
	// Disturbances are what was done to the nodes of a cluster under load, in order of time.
	Disturbances []Disturbance `json:"disturbances,omitempty"`
	// Scalings are what operators did to the number of workers under load, in order of time.
	Scalings []Scaling `json:"scalings,omitempty"`
	Samples  []Sample  `json:"samples"` // of the bank over the whole run, in order of time
	Profiles []Profile `json:"profiles"`
	// Audit is that of a run with one bank. A run that raised several, such as one for each arm, has Audits instead.
	Audit    *audit.Report `json:"audit,omitempty"`
	Audits   []Audited     `json:"audits"`
	Void     []string      `json:"void"`     // why the figures are worth nothing
	Failures []string      `json:"failures"` // what the bank did wrong
	Notes    []string      `json:"notes"`    // what to know before believing a figure
	LeftOut  []string      `json:"leftOut"`  // what the run did not look at
}

// Headline is one of the few figures that a reader takes away. No headline stands without its baseline: what the same minute, machine
// and requests gave without what is measured.
type Headline struct {
	Name     string  `json:"name"`
	Value    float64 `json:"value"`
	Unit     string  `json:"unit"`     // such as "payments/s", "ms" or "%"
	Against  string  `json:"against"`  // what the baseline is; empty: there is none, and Text says why
	Baseline float64 `json:"baseline"` // in the same unit
	Text     string  `json:"text"`     // one sentence for those who do not know the terms
}

// Audited is the audit of one of several banks.
type Audited struct {
	Of     string        `json:"of"` // an Arm, or another name that tells the banks apart
	Report *audit.Report `json:"report"`
}

// Disturbance is what was done to a node, and what was met of it until the next one. A confirmation's wait counts from the moment at which
// the customer meant to send the code until the definite answer, over all tries and pages.
type Disturbance struct {
	What   string  `json:"what"` // such as "kill -9"
	Node   string  `json:"node"`
	Second float64 `json:"second"` // since Started
	// ReadyMs is how long it took from the node's start until it was ready again; of a restart, from the asking to stop.
	ReadyMs float64 `json:"readyMs"`
	// Confirmations are those during whose wait this was the first disturbance, or which were meant to be sent after it and met none.
	Confirmations int     `json:"confirmations"`
	LongestMs     float64 `json:"longestMs"`  // the longest wait of one of them
	Late          int     `json:"late"`       // of them, how many waited longer than two seconds
	Unanswered    int     `json:"unanswered"` // of them, how many led to no definite answer
	GapMs         float64 `json:"gapMs"`      // the longest time in which nobody was told that he has paid
}

// Scaling is one command of an operator about the number of workers, and what came of it.
type Scaling struct {
	Command string  `json:"command"` // such as "netbank scale out --to 5"
	Second  float64 `json:"second"`  // since Started
	Workers int     `json:"workers"` // that were asked for
	DoneMs  float64 `json:"doneMs"`  // until the command returned: the new workers serve, or those that are too many have gone
	Most    int     `json:"most"`    // the most that ran at once from then on, until the next command
	// SignInsPerSecond is how many customers were signed in a second with that many workers, by their own count, over a span that begins when the
	// balancer has given the new ones their whole share.
	SignInsPerSecond float64 `json:"signInsPerSecond"`
	// Nodes are the workers that came of it, in the order of their first payment.
	Nodes []ScaledNode `json:"nodes,omitempty"`
}

// ScaledNode is how soon after the command a new worker had done its first of each. 0: it was not seen to.
type ScaledNode struct {
	Node      uint32  `json:"node"`
	JoinedMs  float64 `json:"joinedMs"`  // the leader heard of it
	WarmMs    float64 `json:"warmMs"`    // it said that it was ready
	ServingMs float64 `json:"servingMs"` // it had answered a customer who came by the balancer
	PaidMs    float64 `json:"paidMs"`    // the core had answered a payment that was admitted there
}

// Sample is what the bank's process held at one moment of a run.
type Sample struct {
	Second     float64 `json:"second"` // since Started
	ResidentMB int64   `json:"residentMB"`
	Goroutines int64   `json:"goroutines"`
	Files      int64   `json:"files"` // open file descriptors, sockets among them
}

// Setting is how the bank under load was run.
type Setting struct {
	Nodes           int     `json:"nodes"`
	Workers         int     `json:"workers,omitempty"`
	Balancer        string  `json:"balancer,omitempty"`      // of a cluster: what stood in front of its nodes; empty: the lab's own
	WorkerSignIns   float64 `json:"workerSignIns,omitempty"` // how many passwords a worker could check a second; 0: as many as the machine could
	Connections     int     `json:"connections"`
	Seconds         float64 `json:"seconds"` // measured in each phase
	Customers       int     `json:"customers"`
	CustomerTLS     bool    `json:"customerTLS"`
	PartnerTLS      string  `json:"partnerTLS"`
	PasswordHash    string  `json:"passwordHash"`
	CoreModel       string  `json:"coreModel"`
	CoreSpeed       float64 `json:"coreSpeed,omitempty"` // times as fast as its model says; 0 is read as 1
	CoreSync        bool    `json:"coreSync"`            // the core's answers wait for its disk
	CoreSeats       int     `json:"coreSeats"`
	CoreSought      bool    `json:"coreSought,omitempty"` // the gate looks for the best number, up to that
	JournalSync     bool    `json:"journalSync"`          // the bank's answers wait for its disk
	Webhooks        bool    `json:"webhooks"`
	GeneratorShares bool    `json:"generatorShares"` // the generator runs on the machine it measures
	// Processes are the kinds of process that the run consisted of, with their number where there are several, such as "bank" or
	// "generator ×3".
	Processes []string `json:"processes,omitempty"`
}

// Phase is one measurement of a run.
type Phase struct {
	Name        string `json:"name"`
	What        string `json:"what"`
	Server      string `json:"server"` // bank or hello
	Loop        string `json:"loop"`   // closed or open
	Connections int    `json:"connections"`
	TLS         bool   `json:"tls"`
	// Unit is what is counted: requests, payments, flows.
	Unit string `json:"unit"`
	// Arm is which form of the bank was measured, where a run compares several: ArmOn, ArmOff or another name; empty: there is one.
	Arm string `json:"arm,omitempty"`
	// People says how those who made the requests behave: think times, patience, retries. Empty: they behave like machines.
	People string `json:"people,omitempty"`

	Multiple      float64 `json:"multiple,omitempty"`      // what was offered, as a multiple of PeakPerSecond; 0: not measured against it
	PeakPerSecond float64 `json:"peakPerSecond,omitempty"` // what the core can do at its best, of what is counted
	SLOSeconds    float64 `json:"sloSeconds,omitempty"`    // from the intended start; 0: what completed is in time, unless a step of it was late

	OfferedPerSecond float64          `json:"offeredPerSecond,omitempty"` // open: what the schedule asks for
	WarmUp           int64            `json:"warmUp"`
	Offered          int64            `json:"offered"`
	Admitted         int64            `json:"admitted,omitempty"` // by the bank's own count; 0: not asked
	Waiting          int64            `json:"waiting,omitempty"`  // most in the bank's queue at once, by its own count
	Inside           int64            `json:"inside,omitempty"`   // most in the core at once, by the bank's own count
	Completed        int64            `json:"completed"`          // in time or late
	InSLO            int64            `json:"inSLO"`              // of Completed: in time
	Refused          int64            `json:"refused"`
	Abandoned        int64            `json:"abandoned"` // the customer's patience ended before any definite word
	InDoubt          int64            `json:"inDoubt"`   // the bank said: not known yet
	Failed           int64            `json:"failed"`
	Dropped          int64            `json:"dropped"`
	Reasons          map[string]int64 `json:"reasons,omitempty"`
	Seconds          float64          `json:"seconds"`
	PerSecond        float64          `json:"perSecond"`
	// GoodputPercent is InSLO a second as a percentage of PeakPerSecond; 0 without a peak.
	GoodputPercent float64 `json:"goodputPercent,omitempty"`
	RequestsEach   int     `json:"requestsEach"`          // HTTP requests that make one of what is counted
	HoldsAtOnce    int64   `json:"holdsAtOnce,omitempty"` // most flows under way at once

	Latency *Quantiles `json:"latency"`
	Service *Quantiles `json:"service,omitempty"` // open: from the sending, which hides waits
	Lag     *Quantiles `json:"lag,omitempty"`     // open: the generator's own

	Steps     []Step          `json:"steps,omitempty"`
	Timeline  []Second        `json:"timeline,omitempty"` // of the measured span, and of what came after it until the last request ended
	Baseline  *Baseline       `json:"baseline,omitempty"`
	Processes map[string]Used `json:"processes,omitempty"`
	// OthersShare is the part of the machine's processor time that went to processes which have no part in the run.
	OthersShare float64 `json:"othersShare"`
	Reopened    int     `json:"reopened"` // connections opened anew during the run
}

// Arms of the scenarios that compare the bank with and without admission control.
const (
	ArmOn  = "admission on"
	ArmOff = "admission off"
)

// shortArm is the arm as a part of a name: "on", "off", or the whole of it.
func (p *Phase) shortArm() string { return strings.TrimPrefix(p.Arm, "admission ") }

// load is the multiple as a part of a name.
func (p *Phase) load() string { return strconv.FormatFloat(p.Multiple, 'g', 4, 64) + "x" }

// plain is the name without arm and multiple at its end: names of phases are unique within a run, and these are told apart anyway.
func (p *Phase) plain() string {
	name := p.Name
	if p.Multiple != 0 {
		name = strings.TrimSuffix(name, "-"+p.load())
	}
	if p.Arm != "" {
		name = strings.TrimSuffix(name, "-"+p.shortArm())
	}
	return name
}

// Step is one request of a flow, or one class of a mixed load. Counts that were not taken are 0.
type Step struct {
	Name       string     `json:"name"`
	Latency    *Quantiles `json:"latency"`
	SLOSeconds float64    `json:"sloSeconds,omitempty"`
	Completed  int64      `json:"completed,omitempty"`
	InSLO      int64      `json:"inSLO,omitempty"`
	Refused    int64      `json:"refused,omitempty"`
	Abandoned  int64      `json:"abandoned,omitempty"`
	InDoubt    int64      `json:"inDoubt,omitempty"`
	Failed     int64      `json:"failed,omitempty"`
}

// Second is one second of a phase: Offered and Dropped by intended start (in closed loops by when it ended), all else by when it ended. So
// what was offered in one second may be completed in a later one.
type Second struct {
	Offered   int64 `json:"offered"`
	Completed int64 `json:"completed"`
	InSLO     int64 `json:"inSLO"`
	Refused   int64 `json:"refused"`
	Failed    int64 `json:"failed"`
	Abandoned int64 `json:"abandoned"`
	InDoubt   int64 `json:"inDoubt"`
	Dropped   int64 `json:"dropped"`
	UnderWay  int64 `json:"underWay"` // flows at the second's end
}

// Baseline is what a server that does nothing did with the same requests from the same client, right before and right
// after.
type Baseline struct {
	Name      string  `json:"name"`
	Before    float64 `json:"beforePerSecond"`
	After     float64 `json:"afterPerSecond"`
	PerSecond float64 `json:"perSecond"` // the mean of both
	Ratio     float64 `json:"ratio"`     // the phase's rate by it
	// CPURatio is the processor time of one of its requests, server and client together, by that of one of the phase's. On a
	// machine that has nothing else to do it is near Ratio; where others take time, it is the one to believe.
	CPURatio float64 `json:"cpuRatio"`
}

// Used is what a process took during a phase.
type Used struct {
	CPUSeconds float64 `json:"cpuSeconds"`
	ResidentMB int64   `json:"residentMB"` // at the end
}

// Quantiles of a histogram, in nanoseconds.
type Quantiles struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"meanNs"`
	P50   int64   `json:"p50Ns"`
	P90   int64   `json:"p90Ns"`
	P99   int64   `json:"p99Ns"`
	P999  int64   `json:"p999Ns"`
	Max   int64   `json:"maxNs"`
	Curve []Point `json:"curve,omitempty"`
}

// Point is one point of a percentile curve.
type Point struct {
	Percentile float64 `json:"percentile"`
	Ns         int64   `json:"ns"`
}

// histogram is what QuantilesOf needs of one.
type histogram interface {
	TotalCount() int64
	Mean() float64
	Max() int64
	ValueAtPercentile(float64) int64
}

// QuantilesOf reads a histogram of nanoseconds; with curve also the points of its percentile curve.
func QuantilesOf(h histogram, curve bool) *Quantiles {
	q := &Quantiles{Count: h.TotalCount()}
	if q.Count == 0 {
		return q
	}
	q.Mean, q.Max = h.Mean(), h.Max()
	q.P50, q.P90, q.P99, q.P999 = h.ValueAtPercentile(50), h.ValueAtPercentile(90), h.ValueAtPercentile(99), h.ValueAtPercentile(99.9)
	if !curve {
		return q
	}
	// Nine points between 0 and 90 %, nine between 90 and 99 %, and so on, while there are samples to tell them apart.
	for tail := 1.; tail >= 1/float64(q.Count); tail /= 10 {
		for i := range 9 {
			p := 100 * (1 - tail*(1-.1*float64(i)))
			q.Curve = append(q.Curve, Point{p, h.ValueAtPercentile(p)})
		}
	}
	q.Curve = append(q.Curve, Point{100, q.Max})
	return q
}

// Count takes the counts and latencies of a run into the phase.
func (p *Phase) Count(r *load.Result) {
	p.WarmUp, p.Offered, p.Completed, p.Refused, p.Failed, p.Dropped = r.WarmUp, r.Offered, r.Completed, r.Refused, r.Failed, r.Dropped
	p.Reasons, p.Seconds, p.PerSecond = r.Reasons, r.Elapsed.Seconds(), r.PerSecond()
	p.InSLO, p.Abandoned, p.InDoubt, p.HoldsAtOnce = r.InSLO, r.Abandoned, r.InDoubt, r.AtOnce
	p.SetPeak(p.PeakPerSecond)
	p.Timeline = make([]Second, len(r.Timeline))
	for i, s := range r.Timeline {
		p.Timeline[i] = Second(s)
	}
	if len(r.Steps) > 0 {
		p.Steps = nil
	}
	for i := range r.Steps {
		s := &r.Steps[i]
		p.Steps = append(p.Steps, Step{
			Name: s.Name, SLOSeconds: s.SLO.Seconds(), Completed: s.Completed, InSLO: s.InSLO, Refused: s.Refused, Abandoned: s.Abandoned, InDoubt: s.InDoubt, Failed: s.Failed,
			Latency: QuantilesOf(s.Latency, false),
		})
	}
	p.Latency = QuantilesOf(r.Latency, true)
	if r.Service != nil {
		p.Service = QuantilesOf(r.Service, true)
	}
	if r.Lag != nil {
		p.Lag = QuantilesOf(r.Lag, false)
	}
}

// SetPeak says what the core can do at its best and works out GoodputPercent from it. It is to be called again when InSLO or
// Seconds have changed; Count does.
func (p *Phase) SetPeak(perSecond float64) {
	p.PeakPerSecond, p.GoodputPercent = perSecond, 0
	if p.PeakPerSecond > 0 && p.Seconds > 0 {
		p.GoodputPercent = 100 * float64(p.InSLO) / p.Seconds / p.PeakPerSecond
	}
}

// CPUEach is the processor time that all processes of the run took for one of what is counted, in seconds; 0 if nothing was done.
func (p *Phase) CPUEach() float64 {
	done := p.done()
	if done == 0 {
		return 0
	}
	sum := 0.
	for _, u := range p.Processes {
		sum += u.CPUSeconds
	}
	return sum / float64(done)
}

// done is how many were ended in any way while processor time was counted.
func (p *Phase) done() int64 {
	return p.WarmUp + p.Completed + p.Refused + p.Abandoned + p.InDoubt + p.Failed
}

// OthersMax is the share of the machine that others may take before a report warns of it.
const OthersMax = .1

// Phase finds a phase by its name.
func (r *Result) Phase(name string) *Phase {
	for i := range r.Phases {
		if r.Phases[i].Name == name {
			return &r.Phases[i]
		}
	}
	return nil
}

// Errors of a run that was measured and is worth nothing, or measured something that must not be.
var (
	ErrVoid   = errors.New("report: the run is void")
	ErrFailed = errors.New("report: the run failed")
)

// Err says whether the run counts.
func (r *Result) Err() error {
	var errs []error
	if len(r.Failures) > 0 {
		errs = append(errs, fmt.Errorf("%w: %s", ErrFailed, strings.Join(r.Failures, "; ")))
	}
	if len(r.Void) > 0 {
		errs = append(errs, fmt.Errorf("%w: %s", ErrVoid, strings.Join(r.Void, "; ")))
	}
	return errors.Join(errs...)
}
