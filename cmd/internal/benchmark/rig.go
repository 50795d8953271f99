package benchmark

import (
	"cmp"
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
	r.raisedWith = append(r.raisedWith, b.PasswordHash)
	dir := filepath.Join(r.dir, fmt.Sprintf("bank-%d", len(r.raisedWith)))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, &bank.Error{Code: bank.ExitDirectory, Err: fmt.Errorf("cannot use %s: %w; choose another folder with --data-dir", r.dir, err)}
	}
	d, err := r.bank(dir, b)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.lower()
		}
	}()
	t := &scenario.Target{Processes: map[string]int{"generator": os.Getpid()}}
	if b.Nodes > 1 || b.Workers > 0 {
		t.Cluster, err = r.raiseCluster(ctx, d)
	} else {
		err = r.raiseOne(ctx, d, t, b.Front)
	}
	if err != nil {
		return nil, err
	}
	if t.Demo, err = demo.Load(dir); err != nil {
		return nil, err
	}
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

// bank is the demo bank that a scenario asks for, on addresses of its own.
func (r *rig) bank(dir string, b scenario.Bank) (*lab.Dev, error) {
	addrs, err := freeAddrs(9)
	if err != nil {
		return nil, err
	}
	d := &lab.Dev{
		DataDir: dir, CustomerAddr: addrs[0], PartnerAddr: addrs[1], OperatorAddr: addrs[2], ShopAddr: addrs[3], NotifyAddr: addrs[4],
		CoreAddr: addrs[5], CoreAdmin: addrs[6], ControlAddr: addrs[7], CoreModel: b.CoreModel, CoreSeats: b.CoreSeats, CoreFixed: b.CoreFixed, Line: b.Line, Customers: b.Customers,
		PasswordHash: b.PasswordHash, Admission: "on", Nodes: max(b.Nodes, 1), Workers: b.Workers, NoPhone: true, CoreNoSync: !b.CoreSync,
		Balancer: cmp.Or(b.Balancer, "own"), WorkersFirst: b.WorkersFirst, WorkerSignIns: b.WorkerSignIns,
	}
	if b.AdmissionOff {
		d.Admission = "off"
	}
	if len(b.Front) > 0 {
		d.BehindAddr = addrs[8]
	}
	if err := d.Prepare(); err != nil {
		return nil, &bank.Error{Code: bank.ExitDirectory, Err: err}
	}
	return d, nil
}

// run starts a process and waits until an address of it answers.
func (r *rig) run(ctx context.Context, dir, name, ready string, args ...string) error {
	p, err := start(dir, name, args...)
	if err != nil {
		return err
	}
	r.processes = append(r.processes, p)
	return p.await(ctx, ready)
}

// raiseOne starts a bank of one process, and what stands before it, if anything does.
func (r *rig) raiseOne(ctx context.Context, d *lab.Dev, t *scenario.Target, front []string) error {
	if err := r.run(ctx, d.DataDir, "core", "http://"+d.CoreAdmin+"/status", d.CoreArgs()...); err != nil {
		return err
	}
	if err := r.run(ctx, d.DataDir, "bank", "http://"+d.OperatorAddr+"/readyz", d.BankArgs()...); err != nil {
		return err
	}
	if len(front) > 0 {
		p, err := launch(d.DataDir, "front", front[0], append(slices.Clone(front[1:]), "--listen", d.CustomerAddr, "--bank", d.BehindAddr)...)
		if err != nil {
			return err
		}
		r.processes = append(r.processes, p)
		if err := p.await(ctx, "http://"+d.CustomerAddr+"/sign-in"); err != nil {
			return err
		}
	}
	hello, err := freeAddrs(2)
	if err != nil {
		return err
	}
	t.Hello, t.HelloTLS = hello[0], hello[1]
	cert, key, ca := d.ServerFiles()
	err = r.run(ctx, d.DataDir, "hello", "http://"+t.Hello+"/", "hello", "--addr", t.Hello, "--tls-addr", t.HelloTLS, "--cert", cert, "--key", key, "--ca", ca)
	if err != nil {
		return err
	}
	if err := d.Seed(ctx); err != nil {
		return err
	}
	_, err = d.WriteDemo()
	return err
}

// kinds are the kinds of process that a run consisted of.
func (r *rig) kinds(o scenario.Options, generators int) []string {
	load := fmt.Sprintf("generator ×%d", generators)
	if o.Nodes > 1 || o.Workers > 0 {
		workers := fmt.Sprintf("worker ×%d", o.Workers)
		if o.WorkersAfter > 0 {
			workers += fmt.Sprintf(" to %d", o.WorkersAfter)
		}
		return []string{fmt.Sprintf("coordinator ×%d", o.Nodes), workers, "core", "balancer and shop", load}
	}
	all := []string{"bank", "core", "hello world", load}
	if len(o.Fronts) > 0 {
		all = append(all, "what stands before the bank")
	}
	return all
}

// Generate is the hidden command of a process that makes a share of a load.
type Generate struct{}

// Run carries out what standard input asks for.
func (Generate) Run() error { return generator.Serve(context.Background(), os.Stdin, os.Stdout) }
