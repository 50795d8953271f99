package scenario

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"netbank/bench/demo"
	"netbank/bench/load"
	"netbank/bench/people"
	"netbank/bench/report"
)

// Scenario is one way of measuring netbank.
type Scenario struct {
	Name string
	Help string // a line
	// Defaults are used where an option is zero; Short is laid over them for a run that has to be quick.
	Defaults, Short Options
	// cluster says that it is about a bank of several nodes; the others are about one.
	cluster bool
	run     func(ctx context.Context, b *bench) error
}

// Scenarios are all there are, in the order in which they are best read.
func Scenarios() []*Scenario {
	return []*Scenario{singleScenario(), throughputConfirm(), statusFlood(), signInStorm(), overload(), coreWeather(), waitingRoom(), soak(), replicated(), failover(), rolling(), scaleOut(), generatorScenario()}
}

// Find finds a scenario by its name.
func Find(name string) (*Scenario, error) {
	var names []string
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return nil, fmt.Errorf("scenario: %q is none; there are %s", name, strings.Join(names, ", "))
}

// Bank is what a scenario asks a rig to raise.
type Bank struct {
	AdmissionOff bool
	PasswordHash string // standard or cheap
	CoreModel    string // of netbank-lab core --model
	CoreSeats    int
	CoreFixed    bool
	Line         bool // new customers wait in a line when more come than can be served
	CoreSync     bool
	Customers    int
	// Nodes are its coordinators, and Workers the nodes without a journal beside them. Up to 1 and 0: the bank is one process.
	Nodes, Workers int
	// Wished says that workers come by the operator's command, and none is started with the bank.
	Wished        bool
	WorkersFirst  bool     // customers go to coordinators only while no worker is ready
	WorkerSignIns float64  // how many passwords a worker checks a second at most; 0: as many as the machine does
	Balancer      string   // in front of a cluster's nodes: own or haproxy
	Front         []string // command of what stands between customers and a bank of one process; none: nothing
}

// Rig raises banks, each new and empty but for its customers.
type Rig interface {
	// Raise starts a bank, its core and a hello world in processes of their own, and ends what was raised before.
	Raise(ctx context.Context, b Bank) (*Target, error)
	// BareRaft ends what was raised, commits entries of a size through a group of three bare Raft nodes, so many at once, and says how many
	// a second.
	BareRaft(ctx context.Context, bytes, inFlight int, during time.Duration) (float64, error)
	// Alive says which of the processes has ended, and why.
	Alive() error
	// Generators are the processes that make load.
	Generators() Generators
}

// Generators carry out jobs at the same time, each job shared among as many processes as there are.
type Generators interface {
	// Run returns one outcome for each job, in their order. ready is called when all is prepared, right before the load begins.
	Run(ctx context.Context, d *demo.Demo, jobs []people.Job, ready func()) ([]*people.Outcome, error)
	// Number is how many processes there are.
	Number() int
}

// Progress is told how a run goes on.
type Progress interface {
	// Plan says how long the run will take from now on, as far as can be known.
	Plan(d time.Duration)
	// Do says what is being done from now on.
	Do(what string)
	// Say gives a line to be kept.
	Say(format string, args ...any)
}

type silent struct{}

func (silent) Plan(time.Duration) {}
func (silent) Do(string)          {}
func (silent) Say(string, ...any) {}

// Options of a run. What is zero is the scenario's default.
type Options struct {
	Seconds     float64 // measured in each phase
	Connections int     // to each door
	Customers   int
	Seed        uint64    // of schedules and choices
	OpenShare   float64   // of a closed loop's rate that an open loop offers, such as 0.6
	CoreModel   string    // of netbank-lab core --model
	CoreSeats   int       // the most calls inside the core at once
	CoreFixed   bool      // always so many: the gate does not look for the best number
	CoreSync    bool      // the core's answers wait for its disk
	Line        bool      // of overload: new customers wait in a line
	Waiting     int       // people in the line of waiting-room
	Multiples   []float64 // of the core's peak, for overload and core-weather
	Arms        []string  // of both: report.ArmOn, report.ArmOff, and names of Fronts
	Fronts      []Front   // of both
	Habits      string    // of their customers: patient or impatient
	Pace        float64   // by which customers' times of reading and typing are multiplied
	Nodes       int       // coordinators; 0 and 1: one process without others
	Workers     int       // nodes without a journal beside them
	Kills       int       // of failover
	Rate        float64   // customers a second of failover, rolling and scale-out
	Down        float64   // seconds that a killed node of failover or scale-out stays down

	WorkersAfter  int     // of scale-out: how many workers an operator asks for under load
	WorkerSignIns float64 // of scale-out: how many passwords a worker checks a second at most
	Settle        float64 // of scale-out: seconds after a command until sign-ins are counted again; HAProxy gives a new worker its whole share after 5
	KillLeader    bool    // of scale-out: when the wish is committed
	Balancer      string  // of scale-out: own or haproxy

	ProfileDir string // where profiles of the bank go; empty: none are taken
}

// Bounds of options.
const (
	SecondsMin   = 0.2
	SecondsMax   = 24 * 3600
	CustomersMin = 100
	MultipleMax  = 100
	MultiplesMax = 32
	PaceMin      = 0.001
	PaceMax      = 10
	NodesMax     = 5
	WorkersMax   = 8
	KillsMax     = 1000
	RateMax      = 10_000
	DownMax      = 60
	WaitingMax   = 5_000_000
	SettleMax    = 600
	// SignInsMax is more passwords a second than any machine checks.
	SignInsMax = 1_000_000
)

// over lays the options that are set over others.
func (o Options) over(under Options) Options {
	number := func(at *float64, under float64) {
		if *at == 0 {
			*at = under
		}
	}
	whole := func(at *int, under int) {
		if *at == 0 {
			*at = under
		}
	}
	text := func(at *string, under string) {
		if *at == "" {
			*at = under
		}
	}
	number(&o.Seconds, under.Seconds)
	number(&o.OpenShare, under.OpenShare)
	number(&o.Pace, under.Pace)
	number(&o.Rate, under.Rate)
	number(&o.Down, under.Down)
	whole(&o.Connections, under.Connections)
	whole(&o.Customers, under.Customers)
	whole(&o.CoreSeats, under.CoreSeats)
	whole(&o.Nodes, under.Nodes)
	whole(&o.Workers, under.Workers)
	whole(&o.Kills, under.Kills)
	whole(&o.Waiting, under.Waiting)
	whole(&o.WorkersAfter, under.WorkersAfter)
	number(&o.WorkerSignIns, under.WorkerSignIns)
	number(&o.Settle, under.Settle)
	text(&o.Balancer, under.Balancer)
	text(&o.CoreModel, under.CoreModel)
	text(&o.Habits, under.Habits)
	text(&o.ProfileDir, under.ProfileDir)
	if o.Seed == 0 {
		o.Seed = under.Seed
	}
	if len(o.Multiples) == 0 {
		o.Multiples = under.Multiples
	}
	if len(o.Arms) == 0 {
		o.Arms = under.Arms
	}
	if len(o.Fronts) == 0 {
		o.Fronts = under.Fronts
	}
	o.CoreFixed = o.CoreFixed || under.CoreFixed
	o.CoreSync = o.CoreSync || under.CoreSync
	o.Line = o.Line || under.Line
	o.KillLeader = o.KillLeader || under.KillLeader
	return o
}

// common are defaults of every scenario.
var common = Options{Nodes: 1, Seconds: 10, Connections: 128, Customers: 50_000, Seed: 1, OpenShare: .6, CoreModel: "fixed:0", CoreSeats: 256, Pace: 1}

// With gives the options of a run of this scenario: the given ones, and defaults for the rest.
func (s *Scenario) With(o Options, short bool) Options {
	if short {
		o = o.over(s.Short)
	}
	return o.over(s.Defaults).over(common)
}

// Check says which option is out of bounds, or not of this scenario.
func (s *Scenario) Check(o *Options) error {
	if err := o.Check(); err != nil {
		return err
	}
	switch several := o.Nodes > 1; {
	case s.cluster && !several:
		return fmt.Errorf("scenario: %s is about a bank of several nodes; give it 3 or %d", s.Name, NodesMax)
	case !s.cluster && (several || o.Workers > 0):
		return fmt.Errorf("scenario: %s is about one node; leave the number of nodes and workers out", s.Name)
	case len(o.Fronts) > 0 && len(s.Defaults.Arms) == 0:
		return fmt.Errorf("scenario: %s compares no arms; leave the fronts out", s.Name)
	}
	return nil
}

// Check says which option is out of bounds.
func (o *Options) Check() error {
	switch {
	case !(o.Seconds >= SecondsMin && o.Seconds <= SecondsMax):
		return fmt.Errorf("scenario: %v seconds; a phase takes %v to %v", o.Seconds, SecondsMin, SecondsMax)
	case o.Connections < 1 || o.Connections > load.ConnectionsMax:
		return fmt.Errorf("scenario: %d connections; 1 to %d can be opened", o.Connections, load.ConnectionsMax)
	case o.Customers < CustomersMin:
		return fmt.Errorf("scenario: %d customers; %d or more are needed", o.Customers, CustomersMin)
	case !(o.OpenShare > 0 && o.OpenShare < 1):
		return fmt.Errorf("scenario: an open loop at %v of the ceiling; it belongs between 0 and 1", o.OpenShare)
	case !(o.Pace >= PaceMin && o.Pace <= PaceMax):
		return fmt.Errorf("scenario: a pace of %v; %v to %v are possible", o.Pace, PaceMin, PaceMax)
	case o.Waiting < 0 || o.Waiting > WaitingMax:
		return fmt.Errorf("scenario: %d people in the line; up to %d are possible", o.Waiting, WaitingMax)
	case len(o.Multiples) > MultiplesMax:
		return fmt.Errorf("scenario: %d multiples of the core's peak; up to %d in one run", len(o.Multiples), MultiplesMax)
	}
	if err := o.checkCluster(); err != nil {
		return err
	}
	for _, m := range o.Multiples {
		if !(m > 0 && m <= MultipleMax) {
			return fmt.Errorf("scenario: %v times the core's peak; more than 0 and up to %d are possible", m, MultipleMax)
		}
	}
	if err := o.checkFronts(); err != nil {
		return err
	}
	if h := o.Habits; h != "" && !slices.Contains([]string{"patient", "impatient"}, h) {
		return fmt.Errorf("scenario: habits %q; customers are patient or impatient", h)
	}
	return nil
}

// checkCluster says what of a bank of several nodes, and of what is done to it, cannot be.
func (o *Options) checkCluster() error {
	switch {
	case o.Nodes != 0 && o.Nodes != 1 && o.Nodes != 3 && o.Nodes != NodesMax:
		return fmt.Errorf("scenario: %d nodes; there may be 1, 3 or %d coordinators", o.Nodes, NodesMax)
	case o.Workers < 0 || o.Workers > WorkersMax:
		return fmt.Errorf("scenario: %d workers; 0 to %d are possible", o.Workers, WorkersMax)
	case o.Kills < 0 || o.Kills > KillsMax:
		return fmt.Errorf("scenario: %d kills; 1 to %d are possible", o.Kills, KillsMax)
	case !(o.Rate >= 0 && o.Rate <= RateMax):
		return fmt.Errorf("scenario: %v customers a second; more than 0 and up to %d are possible", o.Rate, RateMax)
	case o.WorkersAfter < 0 || o.WorkersAfter > WorkersMax || o.WorkersAfter > 0 && o.WorkersAfter <= o.Workers:
		return fmt.Errorf("scenario: %d workers after %d; more, and up to %d are possible", o.WorkersAfter, o.Workers, WorkersMax)
	case !(o.WorkerSignIns >= 0 && o.WorkerSignIns <= SignInsMax):
		return fmt.Errorf("scenario: %v sign-ins a second for each worker; more than 0 and up to %d are possible", o.WorkerSignIns, SignInsMax)
	case !(o.Settle >= 0 && o.Settle <= SettleMax):
		return fmt.Errorf("scenario: %v s until new workers have their share; more than 0 and up to %d are possible", o.Settle, SettleMax)
	case !slices.Contains([]string{"", "own", "haproxy"}, o.Balancer):
		return fmt.Errorf("scenario: balancer %q; it may be own or haproxy", o.Balancer)
	case !(o.Down >= 0 && o.Down <= DownMax):
		return fmt.Errorf("scenario: killed nodes are down for %v s; more than 0 and up to %d are possible", o.Down, DownMax)
	}
	return nil
}

func (o *Options) measure() time.Duration {
	return time.Duration(math.Round(o.Seconds*1e3)) * time.Millisecond
}

// warmUp is a fifth of what is measured, at least 200 ms: connections, caches and the journal's batches settle in that time.
func (o *Options) warmUp() time.Duration { return max(o.measure()/5, 200*time.Millisecond) }

// Run runs the scenario with options of With. It fills all of a result but machine, setting and command, which the caller knows.
func (s *Scenario) Run(ctx context.Context, rig Rig, o Options, progress Progress) (*report.Result, error) {
	if err := s.Check(&o); err != nil {
		return nil, err
	}
	if progress == nil {
		progress = silent{}
	}
	b := &bench{Options: o, Progress: progress, rig: rig}
	b.result = &report.Result{
		Version: report.Version, Scenario: s.Name, Started: time.Now().UTC(), Seed: o.Seed, Generators: rig.Generators().Number(),
		Headlines: []report.Headline{}, Phases: []report.Phase{}, Samples: []report.Sample{}, Profiles: []report.Profile{}, Audits: []report.Audited{},
		Void: []string{}, Failures: []string{}, Notes: []string{}, LeftOut: []string{},
	}
	if err := s.run(ctx, b); err != nil {
		return nil, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	b.result.TookSeconds = time.Since(b.result.Started).Seconds()
	return b.result, nil
}
