// Netbank-lab is for trying and measuring netbank: a whole bank on one machine, the simulated core host, the demo shop. None of it
// is linked into the product.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"netbank/cmd/internal/bank"
	"netbank/cmd/internal/benchmark"
	"netbank/cmd/internal/chaos"
	"netbank/cmd/internal/cli"
	"netbank/cmd/internal/lab"
	"netbank/cmd/internal/simulate"
	"netbank/core-adapter/simulated"
	"netbank/frontend/ops"
	"netbank/session"
)

const description = `For trying and measuring netbank.

Examples:
  netbank-lab dev                                     a whole bank on this machine, with a shop to begin at
  netbank-lab dev --nodes 3                           a cluster of three processes behind a balancer: kill one and go on paying
  netbank-lab dev --customers 200000 --password-hash cheap
  netbank-lab core --dir data/core --model ps         the simulated core host alone
  netbank-lab core --dir data/core --audit            what its ledger says
  netbank-lab bench single --seconds 5                a report in results/`

type program struct {
	Dev      lab.Dev            `cmd:"" help:"Run a whole bank on this machine: core, bank, shop and a phone that shows codes."`
	Node     lab.Node           `cmd:"" help:"The nodes of a demo cluster that runs."`
	Core     core               `cmd:"" help:"Run the simulated core host, or audit its ledger."`
	Bank     labBank            `cmd:"" help:"Run a bank with what only the lab allows." hidden:""`
	Bench    benchmark.Command  `cmd:"" help:"Measure a bank of its own through its doors, beside a hello world."`
	Generate benchmark.Generate `cmd:"" help:"Make a share of a load." hidden:""`
	Hello    benchmark.Hello    `cmd:"" help:"Run the hello world that bench measures beside." hidden:""`
	RawRaft  benchmark.RawRaft  `cmd:"" help:"Run a node of the bare Raft group that bench measures beside." hidden:""`
	Derive   bank.Derive        `cmd:"" help:"Hash passwords for the bank that started this process." hidden:""`
	Chaos    chaos.Command      `cmd:"" help:"Let a bank of processes live through faults drawn from a seed, and look whether its promises held."`
	Sim      simulate.Command   `cmd:"" help:"Play the gate in virtual time before cores of several shapes."`
	Reset    reset              `cmd:"" help:"Remove the demo bank's data."`
	Version  version            `cmd:"" help:"Print the version."`
}

type core struct {
	Addr    string `help:"Where the ISO 8583 wire listens." default:"127.0.0.1:8583"`
	Admin   string `help:"Where the admin port listens; empty: none." default:"127.0.0.1:8584"`
	Dir     string `help:"Where the ledger is kept." required:"" type:"path"`
	Model   string `help:"Behaviour under load: ps[:SIGMA,KAPPA], servers:K or fixed:LATENCY." default:"ps"`
	NoSync  bool   `help:"Answer before the disk has the record: for measuring, and to be disclosed."`
	Audit   bool   `help:"Print what the ledger holds, and exit with 1 if it does not add up."`
	Verbose bool   `help:"Log more."`
}

func (c *core) Run() error {
	if c.Audit {
		report, err := simulated.Audit(c.Dir)
		if err != nil {
			return err
		}
		text, err := json.MarshalIndent(report, "", "  ")
		if err != nil {
			return err
		}
		fmt.Println(string(text))
		if !report.OK() {
			return fmt.Errorf("the ledger does not add up: %d violations, listed above", report.ViolationCount)
		}
		return nil
	}
	model, err := simulated.ParseModel(c.Model)
	if err != nil {
		return &bank.Error{Code: bank.ExitUsage, Err: err}
	}
	logger := cli.Logger(c.Verbose)
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	err = simulated.Run(ctx, simulated.Config{
		Addr: c.Addr, AdminAddr: c.Admin, Dir: c.Dir, Model: model, Sync: !c.NoSync, Logger: logger,
		Ready: func(wire, admin net.Addr) {
			logger.Info("the simulated core is up", "wire", wire, "admin", admin, "model", c.Model, "sync", !c.NoSync)
		},
	})
	if errors.Is(err, syscall.EADDRINUSE) {
		return &bank.Error{Code: bank.ExitAddress, Err: err}
	}
	return err
}

// labBank is the bank of the product with the lab's liberties.
type labBank struct {
	bank.Config
	PasswordHash  string  `help:"standard or cheap." enum:"standard,cheap" default:"standard"`
	Admission     string  `help:"on, or off: every confirmation goes to the core at once, however many are inside." enum:"on,off" default:"on"`
	DemoFile      string  `help:"Whose codes the demo phone shows." type:"path"`
	ClockFile     string  `help:"A file that holds how far the bank's clock is to be off, such as 8s; read again all the time." type:"path"`
	WorkerSignIns float64 `help:"How many passwords a worker checks a second at most, so that several on one machine each have a capacity of their own. 0: as many as the machine does."`
	WhileLocked   string  `help:"A file that is locked as long as the demo cluster runs; then this node ends." type:"path"`
	Verbose       bool    `help:"Log more."`
}

func (b *labBank) Run() error {
	if b.WhileLocked != "" {
		if err := lab.WhileLocked(b.WhileLocked, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGTERM) }); err != nil {
			return err
		}
	}
	if b.ClockFile != "" {
		b.Lab.Wall = lab.WrongClock(b.ClockFile)
	}
	if b.PasswordHash == "cheap" {
		b.Lab.Params, b.Lab.AllowCheapHash = session.Cheap, true
	}
	if b.Role == ops.RoleWorker {
		b.Lab.SignInsPerSecond = b.WorkerSignIns
	}
	b.Lab.AdmissionOff = b.Admission == "off"
	b.Lab.Operator = map[string]http.Handler{benchmark.ProfilesPath: benchmark.Profiles()}
	if b.DemoFile != "" {
		phone, err := lab.Phone(b.DemoFile, b.MessageGateway, b.MessageGatewayTokenFile)
		if err != nil {
			return &bank.Error{Code: bank.ExitUsage, Err: err}
		}
		b.Lab.Operator["/demo-phone"] = phone
	}
	again := []string{"bank", "--password-hash=" + b.PasswordHash, "--admission=" + b.Admission, fmt.Sprintf("--verbose=%v", b.Verbose), fmt.Sprintf("--worker-sign-ins=%v", b.WorkerSignIns)}
	for flag, file := range map[string]string{"--demo-file": b.DemoFile, "--clock-file": b.ClockFile, "--while-locked": b.WhileLocked} {
		if file != "" {
			again = append(again, flag+"="+file)
		}
	}
	return cli.RunBank(b.Config, cli.Logger(b.Verbose), again...)
}

type reset struct {
	DataDir string `help:"The demo bank's data directory." default:"data/dev" type:"path"`
	DryRun  bool   `help:"Say what would be removed, change nothing."`
}

func (r *reset) Run() error { return lab.Reset(r.DataDir, r.DryRun, os.Stdout) }

type version struct{}

func (version) Run() error {
	fmt.Println(strings.Replace(cli.Version(), "netbank", "netbank-lab", 1))
	return nil
}

func main() {
	var p program
	parser := kong.Must(&p, kong.Name("netbank-lab"), kong.Description(description), kong.Vars{"scenarios": benchmark.Scenarios()}, kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	ctx, err := parser.Parse(os.Args[1:])
	if err != nil {
		os.Exit(cli.Exit("netbank-lab", &bank.Error{Code: bank.ExitUsage, Err: fmt.Errorf("%w; `netbank-lab --help` has examples", err)}, os.Stderr))
	}
	os.Exit(cli.Exit("netbank-lab", ctx.Run(), os.Stderr))
}
