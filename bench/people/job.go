package people

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"netbank/bench/audit"
	"netbank/bench/load"
)

// The kinds of jobs.
const (
	// Flow is a customer's whole way from the shop and back, sign-in included.
	Flow = "flow"
	// Returning is the same for customers whose sessions are open: created by the shop, confirmed, back at the result.
	Returning = "returning"
	// Confirm is the last part of it: customers who have chosen their account send the code and follow to the definite word. All before
	// is done in preparation.
	Confirm = "confirm"
	// Create is a payment platform without customers: it creates payments over mutual TLS, and repeats what was not answered
	// under the same idempotency key.
	Create = "create"
	// Status is pollers: each request asks for the status of one of the payments that were created in preparation.
	Status = "status"
	// SignIn is people who open a payment's link, sign in, look at the confirm page, and leave.
	SignIn = "sign-in"
)

// kinds say which steps each kind of job counts one by one.
var kinds = map[string][]step{
	Flow:      {toCreate, toEntry, toWait, toLine, toSignIn, toConfirm, toChoose, toCode, toSend, toResult, toBusy, toWord},
	Returning: {toCreate, toEntry, toWait, toLine, toSignIn, toConfirm, toChoose, toCode, toSend, toResult, toBusy, toWord},
	Confirm:   {toSend, toResult, toBusy, toCode, toWord},
	Create:    {toCreate, toRepeat},
	Status:    {toStatus},
	SignIn:    {toEntry, toSignIn, toConfirm},
}

// step is a part of what people do that is counted on its own: one request with its answer, but for the last.
type step uint8

const (
	toCreate step = iota
	toRepeat
	toStatus
	toEntry
	toWait
	toLine
	toSignIn
	toConfirm
	toChoose
	toCode
	toSend
	toResult
	toBusy
	toWord
	steps
)

// StepWord is the step from the moment at which a customer first meant to send the code until he has the bank's definite word, over all
// tries and pages. Its SLO is the job's.
const StepWord = "definite word"

// StepLine is the wait in the line of those who had to, from the first page that showed a place to the turn, or until they left.
const StepLine = "waiting line"

func (s step) String() string {
	return [...]string{
		"create", "repeat", "status", "sign-in page", "look at the line", StepLine, "sign in", "confirm page", "choose account", "code page", "send code", "result page", "busy page", StepWord,
	}[s]
}

// Job says who makes which requests, when and how often. It is all that a process needs beside demo.json, and goes as JSON to
// processes that share it.
type Job struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	Seed uint64 `json:"seed"`

	// Curve and Bursts say when requests or flows begin, whatever became of those before: an open loop.
	Curve  load.Curve   `json:"curve,omitempty"`
	Bursts *load.Bursts `json:"bursts,omitempty"`
	// AtOnce, in place of a curve, is how many go on at any time, each followed by the next: a closed loop.
	AtOnce int `json:"atOnce,omitempty"`
	// WarmUp comes before what is measured, and CoolDown, of arrivals by a curve, after it; Grace is how long what was begun may go on
	// after both.
	WarmUp   time.Duration `json:"warmUp"`
	Measure  time.Duration `json:"measure"`
	CoolDown time.Duration `json:"coolDown,omitempty"`
	Grace    time.Duration `json:"grace"`

	// Customers are those of demo.json that the job may use.
	Customers Range `json:"customers"`
	// Share and Of split the job among processes: this one makes the requests whose numbers leave the remainder Share when divided by
	// Of, and uses customers that no other uses. Of 0 counts as 1.
	Share int `json:"share"`
	Of    int `json:"of"`
	// Connections bounds how many are open to each door at once, over all processes.
	Connections int `json:"connections"`
	// Number is that of the first request. Jobs of one run have numbers apart, so that no idempotency key comes twice: the next begins
	// at Outcome.NextNumber.
	Number int64 `json:"number"`
	// SLO is within what time the answer is worth something: of the definite word on a confirmation, else of the whole.
	SLO    time.Duration `json:"slo"`
	Habits Habits        `json:"habits"`
	// Trace keeps each confirmation and each sign-in one by one, for Outcome.Confirmations and Outcome.SignIns.
	Trace bool `json:"trace,omitempty"`
	// Stock is how many payments are created in preparation: for pollers to ask about, and as links for people who only sign in. 0: StockDefault.
	Stock int `json:"stock,omitempty"`
}

// Range is a part of a list: from From on, up to before To.
type Range struct {
	From int `json:"from"`
	To   int `json:"to"`
}

// Bounds of a job.
const (
	StockDefault = 1000
	StockMax     = 1_000_000
	AtOnceMax    = 50_000
)

// Outcome is what came of a job, or of a process's share in it.
type Outcome struct {
	Name string       `json:"name"`
	Load *load.Result `json:"load"`
	// Told is what clients were told of payments, in the order in which each was told, for the audit.
	Told []audit.Told `json:"told"`
	// Unsettled are the payments whose customers left without a definite word after they had sent the code.
	Unsettled []string `json:"unsettled"`
	// Confirmations are those of a job with Trace, warm-up included, in no order.
	Confirmations []Confirmation `json:"confirmations,omitempty"`
	// SignIns are the moments at which customers of a job with Trace were signed in, by the clock of the machine, warm-up included, in no order.
	SignIns []time.Time `json:"signIns,omitempty"`
	// NextNumber is the first number that neither the run nor its preparation has used.
	NextNumber int64 `json:"nextNumber"`
	// UsedCustomers is how many customers made requests.
	UsedCustomers int `json:"usedCustomers"`
	// Skipped is how many customers were passed over because they were still busy, or because the code on their telephones was spent.
	Skipped int64 `json:"skipped"`
	// Unserved is how many flows were not begun for want of a customer. They count as failed in Load, and are the generator's fault: a run with
	// many of them is void.
	Unserved int64 `json:"unserved"`
	// Exhausted says that a closed loop ended early because all who were prepared had been. Load.Elapsed is the shorter for it.
	Exhausted bool `json:"exhausted,omitempty"`
	// Retries is how many requests were sent again: because no answer came, or because the bank was busy.
	Retries int64 `json:"retries"`
	// Waited is how often a request had to wait for a connection.
	Waited int64 `json:"waited"`
	// Prepared is how long the preparation took.
	Prepared time.Duration `json:"prepared"`
}

// Confirmation is one customer's sending of a code, over all tries and pages.
type Confirmation struct {
	Payment string        `json:"payment"`
	Sent    time.Time     `json:"sent"` // when he first meant to send it, by the clock of the machine
	Took    time.Duration `json:"tookNs"`
	// Word is what he was told at last, if it was definite: a status, or audit.Refused. Empty: he left without knowing, after Took.
	Word string `json:"word"`
	Why  string `json:"why,omitempty"` // what kept it from being completed
}

// Void says why a run is worth nothing, or nil.
func (o *Outcome) Void() error {
	if err := o.Load.Void(); err != nil {
		return err
	}
	if float64(o.Unserved) > load.DroppedMax*float64(o.Load.Offered) {
		return fmt.Errorf("people: %s: for %d of %d flows no customer was free whose code is not spent; seed more customers or offer less", o.Name, o.Unserved, o.Load.Offered)
	}
	return nil
}

// Merge adds another process's share of the same job. What both were told of a payment is put into an order in which one client could have
// heard it, if there is one.
func (o *Outcome) Merge(p *Outcome) error {
	if o.Load == nil || p.Load == nil {
		return fmt.Errorf("people: %s: an outcome without a result cannot be merged", o.Name)
	}
	if err := o.Load.Merge(p.Load); err != nil {
		return fmt.Errorf("people: %s: %w", o.Name, err)
	}
	o.Told = merged(o.Told, p.Told)
	o.Unsettled = append(o.Unsettled, p.Unsettled...)
	o.Confirmations = append(o.Confirmations, p.Confirmations...)
	o.SignIns = append(o.SignIns, p.SignIns...)
	o.NextNumber = max(o.NextNumber, p.NextNumber)
	o.UsedCustomers += p.UsedCustomers
	o.Skipped += p.Skipped
	o.Unserved += p.Unserved
	o.Exhausted = o.Exhausted || p.Exhausted
	o.Retries += p.Retries
	o.Waited += p.Waited
	o.Prepared = max(o.Prepared, p.Prepared)
	return nil
}

// Check says what of a job cannot be.
func (j *Job) Check() error {
	switch {
	case kinds[j.Kind] == nil:
		return fmt.Errorf("people: a job of kind %q; there are %s", j.Kind, strings.Join(Kinds(), ", "))
	case j.Measure <= 0 || j.WarmUp < 0 || j.CoolDown < 0 || j.Grace < 0 || j.WarmUp+j.Measure+j.CoolDown > load.MeasureMax || j.Grace > load.MeasureMax:
		return fmt.Errorf("people: %s: %v measured after %v, %v of cool-down and %v of grace; each is positive and in all at most %v", j.Name, j.Measure, j.WarmUp, j.CoolDown, j.Grace, load.MeasureMax)
	case (len(j.Curve) == 0) == (j.AtOnce == 0):
		return fmt.Errorf("people: %s: a job has either a curve or a number at once", j.Name)
	case j.AtOnce < 0 || j.AtOnce > AtOnceMax:
		return fmt.Errorf("people: %s: %d at once; 1 to %d are possible", j.Name, j.AtOnce, AtOnceMax)
	case j.Of < 0 || j.Of > load.SharesMax || j.Share < 0 || j.Share >= j.of():
		return fmt.Errorf("people: %s: share %d of %d; there may be %d, counted from 0", j.Name, j.Share, j.Of, load.SharesMax)
	case j.AtOnce > 0 && j.AtOnce < j.of():
		return fmt.Errorf("people: %s: %d at once cannot be shared by %d processes", j.Name, j.AtOnce, j.of())
	case j.Connections < j.of() || j.Connections > load.ConnectionsMax:
		return fmt.Errorf("people: %s: %d connections for %d processes; each needs one, and %d can be opened", j.Name, j.Connections, j.of(), load.ConnectionsMax)
	case j.Number < 0 || j.SLO < 0 || j.SLO > load.LatencyMax:
		return fmt.Errorf("people: %s: number %d, SLO %v; neither may be negative, and an SLO is at most %v", j.Name, j.Number, j.SLO, load.LatencyMax)
	case j.Stock < 0 || j.Stock > StockMax:
		return fmt.Errorf("people: %s: a stock of %d payments; 0 to %d are possible", j.Name, j.Stock, StockMax)
	case j.Customers.From < 0 || j.people() && j.Customers.To-j.Customers.From < j.of():
		return fmt.Errorf("people: %s: customers %d to %d for %d processes; each needs one", j.Name, j.Customers.From, j.Customers.To, j.of())
	}
	if len(j.Curve) > 0 {
		if err := j.Curve.Check(); err != nil {
			return fmt.Errorf("people: %s: %w", j.Name, err)
		}
	}
	if j.Bursts != nil {
		if err := j.Bursts.Check(); err != nil {
			return fmt.Errorf("people: %s: %w", j.Name, err)
		}
	}
	return j.Habits.check()
}

// Kinds lists the kinds of jobs.
func Kinds() []string {
	var all []string
	for k := range kinds {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func (j *Job) of() int { return max(j.Of, 1) }

// share is this process's part of a number of things, which are dealt out like cards.
func (j *Job) share(all int) int { return (all - j.Share + j.of() - 1) / j.of() }

// ByCustomers tells whether the requests of a kind of job are made by customers, and not by a partner's programs.
func ByCustomers(kind string) bool { return kind != Create && kind != Status }

// people tells whether the job's requests are made by customers.
func (j *Job) people() bool { return ByCustomers(j.Kind) }

// run begins the idempotency keys of all jobs of a seed.
func (j *Job) run() string { return "b" + strconv.FormatUint(j.Seed, 36) + "-" }

// Arrivals draws the schedule of an open loop, and says how many will come in all shares together, warm-up included. A job of kind Confirm needs as many
// customers.
func (j *Job) Arrivals() (int64, error) {
	all := *j
	all.Share, all.Of = 0, 1
	s, err := all.schedule()
	if err != nil {
		return 0, err
	}
	n := int64(0)
	for {
		if _, _, ok := s.Next(); !ok {
			return n, nil
		}
		n++
	}
}

// schedule draws the arrivals of this process's share.
func (j *Job) schedule() (*load.Schedule, error) {
	curve, end := j.Curve, j.WarmUp+j.Measure+j.CoolDown
	if j.Bursts != nil {
		var err error
		if curve, err = j.Bursts.Curve(j.Seed, curve, end); err != nil {
			return nil, fmt.Errorf("people: %s: %w", j.Name, err)
		}
	}
	s, err := load.NewSchedule(j.Seed, curve, end)
	if err != nil {
		return nil, fmt.Errorf("people: %s: %w", j.Name, err)
	}
	return s, s.Share(j.Share, j.of())
}
