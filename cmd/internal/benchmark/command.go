package benchmark

import (
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

	"netbank/bench/demo"
	"netbank/bench/machine"
	"netbank/bench/report"
	"netbank/bench/scenario"
	"netbank/cmd/internal/bank"
	"netbank/cmd/internal/lab"
	"netbank/session"
)

// Command is `netbank-lab bench`.
type Command struct {
	Scenario    string  `arg:"" help:"single: one node, every door, beside a hello world." enum:"single" default:"single"`
	Seconds     float64 `help:"How long each phase is measured." default:"5"`
	Seed        uint64  `help:"Of schedules and choices: the same seed offers the same load." default:"1"`
	Connections int     `help:"Connections to each door." default:"128"`
	Customers   int     `help:"Customers to seed; each pays once." default:"200000"`
	OpenShare   float64 `help:"What the open loop offers, as a share of the closed loop's rate." default:"0.6"`
	CoreModel   string  `help:"How the simulated core behaves: fixed:LATENCY, ps or servers:K." default:"fixed:0"`
	CoreSync    bool    `help:"Let the core's answers wait for its disk. Without it the disk is the bank's alone."`
	CoreSeats   int     `help:"Payments inside the core at once." default:"256"`
	Out         string  `help:"Where results go, each run in a folder of its own." default:"results" type:"path"`
	DataDir     string  `help:"Where the bank under load keeps its data; on the disk to be measured." default:"data/bench" type:"path"`
	JSON        bool    `name:"json" help:"Print the result's JSON on standard output."`
	Keep        bool    `help:"Keep the bank's data and logs."`
	Commit      string  `help:"What was built, where the build does not say so itself; a suffix -dirty tells of changes."`
	Quiet       bool    `help:"No progress on standard error."`
}

// customersMin leaves a few for each part of a scenario.
const customersMin = 100

// Run runs the scenario and writes its report. A failed audit, and a void run, are errors.
func (c *Command) Run() error {
	options := scenario.Options{Seconds: c.Seconds, Connections: c.Connections, Seed: c.Seed, OpenShare: c.OpenShare, Say: c.say}
	if err := options.Check(); err != nil {
		return &bank.Error{Code: bank.ExitUsage, Err: err}
	}
	if c.Customers < customersMin || c.Customers > lab.CustomersMax {
		return &bank.Error{Code: bank.ExitUsage, Err: fmt.Errorf("--customers is %d; it may be %d to %d", c.Customers, customersMin, lab.CustomersMax)}
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	began := time.Now()
	out := filepath.Join(c.Out, began.UTC().Format("20060102T150405Z")+"-"+c.Scenario)
	dir, err := c.folders(out)
	if err != nil {
		return &bank.Error{Code: bank.ExitDirectory, Err: err}
	}
	options.ProfileDir = out
	result, err := c.measure(ctx, dir, options)
	if !c.Keep && (err == nil || ctx.Err() != nil) {
		os.RemoveAll(dir)
	} else {
		c.say("the bank's data and logs are in %s", dir)
	}
	if err != nil {
		os.RemoveAll(out) // profiles without a report
		if ctx.Err() != nil {
			return errors.New("benchmark: interrupted; nothing is left behind")
		}
		return err
	}
	if err := result.Write(out); err != nil {
		return err
	}
	c.say("%s: %s took %.0f s", filepath.Join(out, report.MarkdownName), c.Scenario, time.Since(began).Seconds())
	if err := c.print(result, os.Stdout); err != nil {
		return err
	}
	return result.Err()
}

// folders makes the folder of the results and one for the bank's data.
func (c *Command) folders(out string) (data string, err error) {
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return "", fmt.Errorf("cannot write results to %s: %w; choose another folder with --out", c.Out, err)
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return "", fmt.Errorf("cannot use %s: %w; choose another folder with --data-dir", c.DataDir, err)
	}
	if data, err = os.MkdirTemp(c.DataDir, "run-"); err != nil {
		return "", fmt.Errorf("cannot use %s: %w; choose another folder with --data-dir", c.DataDir, err)
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		os.Remove(data)
		return "", fmt.Errorf("cannot write results to %s: %w; choose another folder with --out", out, err)
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
func (c *Command) measure(ctx context.Context, dir string, options scenario.Options) (*report.Result, error) {
	m, err := machine.Look(dir)
	if err != nil {
		return nil, err
	}
	if m.Commit == "" {
		m.Commit, m.Modified = strings.CutSuffix(c.Commit, "-dirty")
	}
	c.say("seeding %d customers", c.Customers)
	rig, err := c.raise(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer rig.lower()
	result, err := scenario.Single(ctx, rig.target, options)
	if gone := rig.alive(); gone != nil {
		err = errors.Join(gone, err)
	}
	if err != nil {
		return nil, err
	}
	p := session.Cheap
	result.Machine = m
	result.Setting = report.Setting{
		Nodes: 1, Connections: c.Connections, Seconds: c.Seconds, Customers: c.Customers, PartnerTLS: "mutual, version 1.3, kept-alive connections",
		PasswordHash: fmt.Sprintf("argon2id m=%d,t=%d,p=%d (cheap; the product refuses it)", p.MemoryKiB, p.Passes, p.Lanes),
		CoreModel:    c.CoreModel, CoreSync: c.CoreSync, CoreSeats: c.CoreSeats, JournalSync: true, GeneratorShares: true,
	}
	result.Notes = append(result.Notes,
		"Bank, core, hello world and generator share one machine: the bank has what the generator and the core leave it. Processor time by process is in the table above.",
		"Password hashes are cheap, so that signing in does not hide everything else. With the product's hashes a sign-in costs about 20 ms of one core more.",
		"The customer door is plain HTTP, as it is behind a balancer that ends TLS. The partner door is mutual TLS 1.3.",
		"Payments have no notification address: webhooks are not part of these figures.",
		"Profiles of the bank were taken while its phases were measured, and cost it a few per cent.",
		"Loopback has no latency to speak of and no loss. Customers here do not think, and their browsers fetch no style sheet.",
	)
	return result, nil
}

// rig is a bank with its core and a hello world, each in a process.
type rig struct {
	processes []*process // in the order of their start
	target    *scenario.Target
}

func (r *rig) lower() {
	for _, p := range slices.Backward(r.processes) {
		p.stop()
	}
}

func (r *rig) alive() error {
	var errs []error
	for _, p := range r.processes {
		errs = append(errs, p.alive())
	}
	return errors.Join(errs...)
}

// raise starts core, bank and hello world and seeds them.
func (c *Command) raise(ctx context.Context, dir string) (_ *rig, err error) {
	addrs, err := freeAddrs(9)
	if err != nil {
		return nil, err
	}
	d := &lab.Dev{
		DataDir: dir, CustomerAddr: addrs[0], PartnerAddr: addrs[1], OperatorAddr: addrs[2], ShopAddr: addrs[3], NotifyAddr: addrs[4],
		CoreAddr: addrs[5], CoreAdmin: addrs[6], CoreModel: c.CoreModel, CoreSeats: c.CoreSeats, Customers: c.Customers, PasswordHash: "cheap",
	}
	if err := d.Prepare(); err != nil {
		return nil, &bank.Error{Code: bank.ExitDirectory, Err: err}
	}
	r := &rig{}
	defer func() {
		if err != nil {
			r.lower()
		}
	}()
	run := func(name, ready string, args ...string) error {
		p, err := start(dir, name, args...)
		if err != nil {
			return err
		}
		r.processes = append(r.processes, p)
		return p.await(ctx, ready)
	}
	coreArgs := d.CoreArgs()
	if !c.CoreSync {
		coreArgs = append(coreArgs, "--no-sync")
	}
	if err := run("core", "http://"+d.CoreAdmin+"/status", coreArgs...); err != nil {
		return nil, err
	}
	if err := run("bank", "http://"+d.OperatorAddr+"/readyz", withoutPhone(d.BankArgs())...); err != nil {
		return nil, err
	}
	cert, key, ca := d.ServerFiles()
	err = run("hello", "http://"+addrs[7]+"/", "hello", "--addr", addrs[7], "--tls-addr", addrs[8], "--cert", cert, "--key", key, "--ca", ca)
	if err != nil {
		return nil, err
	}
	if err := d.Seed(ctx); err != nil {
		return nil, err
	}
	if _, err := d.WriteDemo(); err != nil {
		return nil, err
	}
	who, err := demo.Load(dir)
	if err != nil {
		return nil, err
	}
	r.target = &scenario.Target{Demo: who, Hello: addrs[7], HelloTLS: addrs[8], Processes: map[string]int{"generator": os.Getpid()}}
	for _, p := range r.processes {
		r.target.Processes[p.name] = p.pid()
	}
	return r, nil
}

// withoutPhone leaves the demo phone out, which would hold every customer in the bank's memory.
func withoutPhone(args []string) []string {
	if i := slices.Index(args, "--demo-file"); i >= 0 && i+1 < len(args) {
		return slices.Delete(slices.Clone(args), i, i+2)
	}
	return args
}
