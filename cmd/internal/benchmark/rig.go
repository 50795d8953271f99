package benchmark

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"netbank/bench/demo"
	"netbank/bench/generator"
	"netbank/bench/scenario"
	"netbank/cmd/internal/bank"
	"netbank/cmd/internal/lab"
)

// rig raises banks, each with its core and a hello world in processes of their own, and the processes that make load.
type rig struct {
	dir        string     // of all data; each bank has a folder of its own in it
	raisedWith []string   // the password hashes of each bank
	processes  []*process // of the bank that is raised, in the order of their start
	generators *generator.Processes
}

// newRig starts the processes that make load; one of them is this process itself.
func newRig(dir string, generators int) (*rig, error) {
	r := &rig{dir: dir}
	if generators == 1 {
		return r, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	r.generators, err = generator.Start(generators, func() *exec.Cmd {
		cmd := exec.Command(self, "generate")
		cmd.Stderr, cmd.SysProcAttr = os.Stderr, attributes()
		return cmd
	})
	return r, err
}

// Generators are the processes that make load.
func (r *rig) Generators() scenario.Generators {
	if r.generators == nil {
		return generator.Local{}
	}
	return r.generators
}

func (r *rig) lower() {
	for _, p := range slices.Backward(r.processes) {
		p.stop()
	}
	r.processes = nil
}

// close ends all processes.
func (r *rig) close() {
	r.lower()
	if r.generators != nil {
		r.generators.Close()
	}
}

// Alive says which process has ended, and why.
func (r *rig) Alive() error {
	var errs []error
	for _, p := range r.processes {
		errs = append(errs, p.alive())
	}
	return errors.Join(errs...)
}

// Raise starts core, bank and hello world and seeds them, in place of those before.
func (r *rig) Raise(ctx context.Context, b scenario.Bank) (_ *scenario.Target, err error) {
	r.lower()
	addrs, err := freeAddrs(9)
	if err != nil {
		return nil, err
	}
	r.raisedWith = append(r.raisedWith, b.PasswordHash)
	dir := filepath.Join(r.dir, fmt.Sprintf("bank-%d", len(r.raisedWith)))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, &bank.Error{Code: bank.ExitDirectory, Err: fmt.Errorf("cannot use %s: %w; choose another folder with --data-dir", r.dir, err)}
	}
	d := &lab.Dev{
		DataDir: dir, CustomerAddr: addrs[0], PartnerAddr: addrs[1], OperatorAddr: addrs[2], ShopAddr: addrs[3], NotifyAddr: addrs[4],
		CoreAddr: addrs[5], CoreAdmin: addrs[6], CoreModel: b.CoreModel, CoreSeats: b.CoreSeats, CoreFixed: b.CoreFixed, Customers: b.Customers, PasswordHash: b.PasswordHash,
	}
	if b.AdmissionOff {
		d.Admission = "off"
	}
	if err := d.Prepare(); err != nil {
		return nil, &bank.Error{Code: bank.ExitDirectory, Err: err}
	}
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
	if !b.CoreSync {
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
	t := &scenario.Target{Demo: who, Hello: addrs[7], HelloTLS: addrs[8], Processes: map[string]int{"generator": os.Getpid()}}
	for _, p := range r.processes {
		t.Processes[p.name] = p.pid()
	}
	if r.generators != nil {
		for i, pid := range r.generators.PIDs() {
			t.Processes[fmt.Sprintf("generator-%d", i+1)] = pid
		}
	}
	return t, nil
}

// withoutPhone leaves the demo phone out, which would hold every customer in the bank's memory.
func withoutPhone(args []string) []string {
	if i := slices.Index(args, "--demo-file"); i >= 0 && i+1 < len(args) {
		return slices.Delete(slices.Clone(args), i, i+2)
	}
	return args
}

// Generate is the hidden command of a process that makes a share of a load.
type Generate struct{}

// Run carries out what standard input asks for.
func (Generate) Run() error { return generator.Serve(context.Background(), os.Stdin, os.Stdout) }
