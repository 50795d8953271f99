package benchmark

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"netbank/bench/generator"
	"netbank/bench/machine"
	"netbank/bench/report"
	"netbank/bench/scenario"
	"netbank/cmd/internal/bank"
	"netbank/cmd/internal/lab"
	"netbank/session"
)

// Command is `netbank-lab bench`.
type Command struct {
	Scenario      string    `arg:"" help:"What is measured: ${scenarios}; or all of them, in their short forms."`
	Short         bool      `help:"The scenario's short form, of a minute or two."`
	Seconds       float64   `help:"How long each phase is measured. 0: as the scenario has it."`
	Seed          uint64    `help:"Of schedules and choices: the same seed offers the same load, to the request." default:"1"`
	Connections   int       `help:"Connections to each door. 0: as the scenario has it."`
	Customers     int       `help:"Customers to seed. 0: as the scenario has it."`
	Generators    int       `help:"Processes that make the load; they share it." default:"1"`
	OpenShare     float64   `help:"What an open loop below the ceiling offers, as a share of it. 0: 0.6."`
	Admission     string    `help:"overload, core-weather: admission control on, off, or both, one after the other; neither, with --front." enum:"both,on,off,neither" default:"both"`
	Front         []string  `help:"overload, core-weather: another arm, NAME=PROGRAM ARGUMENTS: what is started between the customers and a bank without admission control, with --listen ADDRESS --bank ADDRESS. May be given several times." sep:"none"`
	Multiples     []float64 `help:"overload, core-weather: the multiples of the core's peak that are offered; core-weather has one."`
	Habits        string    `help:"overload, core-weather: customers are patient or impatient." enum:"patient,impatient," default:""`
	Line          bool      `help:"overload: with admission control, let new customers wait in a line when more come than can be served."`
	Waiting       int       `help:"waiting-room: people in the line. 0: as the scenario has it."`
	Pace          float64   `help:"By what customers' times of reading and typing are multiplied. 0: as the scenario has it."`
	CoreModel     string    `help:"How the simulated core behaves: fixed:LATENCY, ps[:SIGMA,KAPPA] or servers:K. Empty: as the scenario has it."`
	CoreSync      bool      `help:"Let the core's answers wait for its disk. Without it the disk is the bank's alone."`
	CoreSeats     int       `help:"The most calls that may be inside the core at once. 0: as the scenario has it."`
	CoreFixed     bool      `help:"Always let in as many. Without this the gate finds by trying with how many of them the core does most work."`
	Nodes         int       `help:"Coordinators of the bank: 1, 3 or 5. 0: as the scenario has it."`
	Workers       int       `help:"Nodes without a journal beside them. 0: as the scenario has it."`
	Kills         int       `help:"failover: how many leaders are killed, one in every --seconds. 0: 20."`
	WorkersAfter  int       `help:"scale-out: how many workers an operator asks for under load. 0: 5."`
	WorkerSignIns float64   `help:"scale-out: how many passwords each worker can check a second. 0: 15."`
	Settle        float64   `help:"scale-out: seconds after each command until sign-ins are counted again. 0: 6, when balancers have given new workers their whole share."`
	KillLeader    bool      `help:"scale-out: kill the leader when the wish for more workers is committed."`
	Balancer      string    `help:"scale-out: what stands in front of the nodes, the lab's own balancer or a real haproxy." enum:"own,haproxy," default:""`
	Rate          float64   `help:"failover, rolling, scale-out: how many customers come in a second. 0: as the scenario has it."`
	Down          float64   `help:"failover, scale-out: seconds until a killed node is started again. 0: as the scenario has it."`
	Out           string    `help:"Where results go, each run in a folder of its own." default:"results" type:"path"`
	DataDir       string    `help:"Where the bank under load keeps its data; on the disk to be measured." default:"data/bench" type:"path"`
	JSON          bool      `name:"json" help:"Print the result's JSON on standard output."`
	Keep          bool      `help:"Keep the bank's data and logs."`
	Commit        string    `help:"What was built, where the build does not say so itself; a suffix -dirty tells of changes."`
	Quiet         bool      `help:"No progress on standard error."`
}

// Everything is what Command.Scenario names all scenarios by.
const Everything = "all"

// Scenarios names them for the help.
func Scenarios() string {
	var names []string
	for _, s := range scenario.Scenarios() {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}

// Help lists the scenarios, and how each is begun.
func (Command) Help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  netbank-lab bench %-20s every scenario, in its short form, within ten minutes\n", Everything)
	for _, s := range scenario.Scenarios() {
		fmt.Fprintf(&b, "  netbank-lab bench %-20s %s\n", s.Name, s.Help)
	}
	b.WriteString("  netbank-lab bench overload --admission off --multiples 2 --seconds 30\n")
	b.WriteString("  netbank-lab bench overload --line --admission on --multiples 2,5\n")
	b.WriteString("  netbank-lab bench overload --admission neither --front 'gradient2=bin/peers live --limiter Gradient2'\n")
	b.WriteString("  netbank-lab bench failover --nodes 3 --workers 2 --kills 20 --rate 100\n")
	b.WriteString("  netbank-lab bench scale-out --balancer haproxy\n")
	return b.String()
}

// Run runs the scenario, or all, and writes a report of each. A failed audit, and a void run, are errors.
func (c *Command) Run() error {
	scenarios, short := scenario.Scenarios(), true
	if c.Scenario != Everything {
		s, err := scenario.Find(c.Scenario)
		if err != nil {
			return usage(fmt.Errorf("%w, and %s", err, Everything))
		}
		scenarios, short = []*scenario.Scenario{s}, c.Short
	}
	if c.Generators < 1 || c.Generators > generator.ProcessesMax {
		return usage(fmt.Errorf("--generators is %d; it may be 1 to %d", c.Generators, generator.ProcessesMax))
	}
	given, err := c.options()
	if err != nil {
		return usage(err)
	}
	for _, s := range scenarios {
		o := s.With(given, short)
		if err := s.Check(&o); err != nil {
			return usage(err)
		}
		if o.Customers > lab.CustomersMax {
			return usage(fmt.Errorf("--customers is %d; it may be %d to %d", o.Customers, scenario.CustomersMin, lab.CustomersMax))
		}
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	out := filepath.Join(c.Out, time.Now().UTC().Format("20060102T150405Z")+"-"+c.Scenario)
	var (
		errs []error
		all  []report.Entry
	)
	for _, s := range scenarios {
		folder := out
		if c.Scenario == Everything {
			folder = filepath.Join(out, s.Name)
		}
		result, err := c.one(ctx, s, s.With(given, short), folder)
		if ctx.Err() != nil {
			return errors.New("benchmark: interrupted")
		}
		if err != nil {
			return err
		}
		errs = append(errs, result.Err())
		all = append(all, report.Entry{Folder: s.Name, Result: result})
	}
	if c.Scenario == Everything {
		if err := report.WriteIndex(out, all); err != nil {
			return err
		}
		c.say("%s", filepath.Join(out, report.IndexName))
	}
	return errors.Join(errs...)
}

func usage(err error) error { return &bank.Error{Code: bank.ExitUsage, Err: err} }

// options are those that were given.
func (c *Command) options() (scenario.Options, error) {
	o := scenario.Options{
		Seconds: c.Seconds, Connections: c.Connections, Customers: c.Customers, Seed: c.Seed, OpenShare: c.OpenShare, CoreModel: c.CoreModel, CoreSeats: c.CoreSeats, CoreFixed: c.CoreFixed,
		CoreSync: c.CoreSync, Multiples: c.Multiples, Habits: c.Habits, Pace: c.Pace,
		Line: c.Line, Waiting: c.Waiting,
		Nodes: c.Nodes, Workers: c.Workers, Kills: c.Kills, Rate: c.Rate, Down: c.Down,
		WorkersAfter: c.WorkersAfter, WorkerSignIns: c.WorkerSignIns, Settle: c.Settle, KillLeader: c.KillLeader, Balancer: c.Balancer,
	}
	switch c.Admission {
	case "on":
		o.Arms = []string{report.ArmOn}
	case "off":
		o.Arms = []string{report.ArmOff}
	case "neither":
		if len(c.Front) == 0 {
			return o, errors.New("--admission neither measures nothing without a --front")
		}
	default:
		if len(c.Front) > 0 {
			o.Arms = []string{report.ArmOff, report.ArmOn}
		}
	}
	for _, text := range c.Front {
		f, err := scenario.ReadFront(text)
		if err != nil {
			return o, err
		}
		o.Fronts, o.Arms = append(o.Fronts, f), append(o.Arms, f.Name)
	}
	return o, nil
}

// one runs one scenario and writes its report into a folder.
func (c *Command) one(ctx context.Context, s *scenario.Scenario, options scenario.Options, out string) (*report.Result, error) {
	began := time.Now()
	dir, err := c.folders(out)
	if err != nil {
		return nil, &bank.Error{Code: bank.ExitDirectory, Err: err}
	}
	options.ProfileDir = out
	result, err := c.measure(ctx, s, dir, options)
	if !c.Keep && (err == nil || ctx.Err() != nil) {
		os.RemoveAll(dir)
	} else {
		c.say("the bank's data and logs are in %s", dir)
	}
	if err != nil {
		os.RemoveAll(out) // profiles without a report
		return nil, err
	}
	if err := result.Write(out); err != nil {
		return nil, err
	}
	c.say("%s: %s took %.0f s", filepath.Join(out, report.HTMLName), s.Name, time.Since(began).Seconds())
	return result, c.print(result, os.Stdout)
}

// folders makes the folder of the results and one for the banks' data.
func (c *Command) folders(out string) (data string, err error) {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", fmt.Errorf("cannot write results to %s: %w; choose another folder with --out", out, err)
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return "", fmt.Errorf("cannot use %s: %w; choose another folder with --data-dir", c.DataDir, err)
	}
	if data, err = os.MkdirTemp(c.DataDir, "run-"); err != nil {
		return "", fmt.Errorf("cannot use %s: %w; choose another folder with --data-dir", c.DataDir, err)
	}
	return data, nil
}

func (c *Command) say(format string, args ...any) {
	if !c.Quiet {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	}
}

func (c *Command) print(result *report.Result, w io.Writer) error {
	text := []byte(result.Benchstat())
	if c.JSON {
		var err error
		if text, err = result.JSON(); err != nil {
			return err
		}
	}
	_, err := w.Write(text)
	return err
}

// measure starts what is needed, runs the scenario, and stops it all.
func (c *Command) measure(ctx context.Context, s *scenario.Scenario, dir string, o scenario.Options) (*report.Result, error) {
	m, err := machine.Look(dir)
	if err != nil {
		return nil, err
	}
	if m.Commit == "" {
		m.Commit, m.Modified = strings.CutSuffix(c.Commit, "-dirty")
	}
	r, err := newRig(dir, c.Generators)
	if err != nil {
		return nil, err
	}
	defer r.close()
	var shown scenario.Progress
	if !c.Quiet {
		c.say("%s: %s", s.Name, s.Help)
		p := newProgress(os.Stderr, term.IsTerminal(int(os.Stderr.Fd())))
		defer p.end()
		shown = p
	}
	result, err := s.Run(ctx, r, o, shown)
	if gone := r.Alive(); gone != nil {
		err = errors.Join(gone, err)
	}
	if err != nil {
		return nil, err
	}
	result.Machine, result.Command = m, c.line(s, o)
	result.Setting = report.Setting{
		Nodes: max(o.Nodes, 1), Workers: o.Workers, Connections: o.Connections, Seconds: o.Seconds, Customers: o.Customers, PartnerTLS: "mutual, version 1.3, kept-alive connections",
		PasswordHash: r.hashes(), CoreModel: o.CoreModel, CoreSync: o.CoreSync, CoreSeats: o.CoreSeats, CoreSought: !o.CoreFixed, JournalSync: true, GeneratorShares: true,
		Processes: r.kinds(o, c.Generators), WorkerSignIns: o.WorkerSignIns, Balancer: strings.TrimPrefix(o.Balancer, "own"),
	}
	result.Notes = append(result.Notes,
		"Bank, core, generator and whatever stands beside them share one machine: the bank has what the others leave it. Processor time by process is in the table above.",
		"The customer door is plain HTTP, as it is behind a balancer that ends TLS. The partner door is mutual TLS 1.3.",
		"Loopback has no latency to speak of and no loss.",
	)
	if slices.Contains(r.raisedWith, "cheap") {
		result.Notes = append(result.Notes, "Password hashes are cheap, so that signing in does not hide everything else. With the product's hashes a sign-in costs about 20 ms of one core more.")
	}
	if len(result.Profiles) > 0 {
		result.Notes = append(result.Notes, "Profiles of the bank were taken while its phases were measured, and cost it a few per cent.")
	}
	return result, nil
}

// hashes describes the password hashes of the banks that were raised.
func (r *rig) hashes() string {
	describe := func(p session.Params, note string) string {
		return fmt.Sprintf("argon2id m=%d,t=%d,p=%d%s", p.MemoryKiB, p.Passes, p.Lanes, note)
	}
	switch {
	case slices.Contains(r.raisedWith, "cheap"):
		return describe(session.Cheap, " (cheap; the product refuses it)")
	default:
		return describe(session.Standard, "")
	}
}

// line is the command that repeats a run.
func (c *Command) line(s *scenario.Scenario, o scenario.Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "bin/netbank-lab bench %s --seed %d --seconds %v --connections %d --customers %d --generators %d --core-model %s --core-seats %d --open-share %v --pace %v",
		s.Name, o.Seed, o.Seconds, o.Connections, o.Customers, c.Generators, o.CoreModel, o.CoreSeats, o.OpenShare, o.Pace)
	if o.CoreFixed {
		b.WriteString(" --core-fixed")
	}
	if o.CoreSync {
		b.WriteString(" --core-sync")
	}
	if o.Line {
		b.WriteString(" --line")
	}
	if o.Waiting > 0 {
		fmt.Fprintf(&b, " --waiting %d", o.Waiting)
	}
	if o.Nodes > 1 || o.Workers > 0 {
		fmt.Fprintf(&b, " --nodes %d --workers %d", o.Nodes, o.Workers)
	}
	if o.Kills > 0 {
		fmt.Fprintf(&b, " --kills %d --down %v", o.Kills, o.Down)
	}
	if o.WorkersAfter > 0 {
		fmt.Fprintf(&b, " --workers-after %d --worker-sign-ins %v --settle %v --balancer %s --down %v", o.WorkersAfter, o.WorkerSignIns, o.Settle, cmp.Or(o.Balancer, "own"), o.Down)
		if o.KillLeader {
			b.WriteString(" --kill-leader")
		}
	}
	if o.Rate > 0 {
		fmt.Fprintf(&b, " --rate %v", o.Rate)
	}
	if len(o.Multiples) > 0 {
		var multiples []string
		for _, m := range o.Multiples {
			multiples = append(multiples, fmt.Sprint(m))
		}
		admission := "both"
		switch own := len(o.Arms) - len(o.Fronts); own {
		case 0:
			admission = "neither"
		case 1:
			admission = strings.TrimPrefix(o.Arms[0], "admission ")
		}
		fmt.Fprintf(&b, " --admission %s --habits %s --multiples %s", admission, o.Habits, strings.Join(multiples, ","))
		for _, f := range o.Fronts {
			fmt.Fprintf(&b, " --front '%s'", &f)
		}
	}
	return b.String()
}
