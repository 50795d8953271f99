package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"netbank/bench/audit"
	"netbank/bench/flow"
	"netbank/cmd/internal/bank"
)

// Command is a run of chaos, or a look at the history of one.
type Command struct {
	Seconds   int     `help:"For how long faults come." default:"120"`
	Seed      uint64  `help:"Repeats the plan and the load of a run; 0: another one. Times depend on the machine, so the interleaving is not repeated."`
	Nodes     int     `help:"Coordinators: 1, 3 or 5." default:"3"`
	Workers   int     `help:"Nodes without a journal beside them, up to 8." default:"2"`
	Rate      float64 `help:"Errands that begin a second." default:"25"`
	Network   string  `help:"Between nodes: links, of this process on the loopback; or namespaces, of the kernel, with packets that are really lost (Linux, the superuser, iproute2; delays need netem)." enum:"links,namespaces" default:"links"`
	CoreModel string  `help:"How the core behaves under load: ps, servers:K or fixed:LATENCY." default:"fixed:10ms"`
	Faults    string  `help:"Only these, with commas between them; empty: all that the machine allows."`
	DataDir   string  `help:"Where everything is kept; it must be new or empty. Empty: a folder that is removed when nothing was found." type:"path"`
	Program   string  `help:"The netbank-lab whose bank is tried; empty: this one." type:"path"`
	Check     string  `help:"Run nothing, and check the history in this file." type:"existingfile"`
	Plan      bool    `help:"Run nothing, and print the plan."`
}

// ErrFound says that the bank broke a promise.
var ErrFound = errors.New("chaos: promises were broken")

// Bounds of a run.
const (
	secondsMax  = 24 * 3600
	settleLimit = 90 * time.Second // after the last fault, until nothing is in doubt and everything was told
	historyName = "history.ndjson"
	workersMax  = 8
)

// Run runs.
func (c *Command) Run() error {
	if c.Check != "" {
		return c.check()
	}
	only, err := ParseFaults(c.Faults)
	switch {
	case err != nil:
	case c.Seconds < 10 || c.Seconds > secondsMax:
		err = fmt.Errorf("--seconds is %d; it may be 10 to %d", c.Seconds, secondsMax)
	case c.Nodes != 1 && c.Nodes != 3 && c.Nodes != 5:
		err = fmt.Errorf("--nodes is %d; it may be 1, 3 or 5", c.Nodes)
	case c.Workers < 0 || c.Workers > workersMax:
		err = fmt.Errorf("--workers is %d; it may be 0 to %d", c.Workers, workersMax)
	case c.Rate <= 0 || c.Rate > 1000:
		err = fmt.Errorf("--rate is %v; it may be up to 1000", c.Rate)
	}
	if err != nil {
		return &bank.Error{Code: bank.ExitUsage, Err: err}
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64()>>1 | 1
	}
	if c.Program == "" {
		if c.Program, err = os.Executable(); err != nil {
			return fmt.Errorf("chaos: %w", err)
		}
	}
	shape := Shape{Coordinators: c.Nodes, Workers: c.Workers, Disks: os.Geteuid() == 0, Delays: c.Network == byLinks, Only: only}
	if c.Plan {
		for _, s := range Plan(c.Seed, c.length(), shape) {
			fmt.Println(s)
		}
		return nil
	}
	made := c.DataDir == ""
	if made {
		if c.DataDir, err = os.MkdirTemp("", "netbank-chaos"); err != nil {
			return fmt.Errorf("chaos: %w", err)
		}
	} else if entries, err := os.ReadDir(c.DataDir); err == nil && len(entries) > 0 {
		return &bank.Error{Code: bank.ExitDirectory, Err: fmt.Errorf("%s is not empty; name another --data-dir", c.DataDir)}
	} else if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return &bank.Error{Code: bank.ExitDirectory, Err: err}
	}
	say("seed %d: `make chaos SEED=%d SECONDS=%d CHAOSFLAGS='--nodes=%d --workers=%d --network=%s'` makes the same plan again", c.Seed, c.Seed, c.Seconds, c.Nodes, c.Workers, c.Network)
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	err = c.run(ctx, shape)
	if err == nil && made {
		return os.RemoveAll(c.DataDir)
	}
	say("seed %d; logs and history are in %s", c.Seed, c.DataDir)
	return err
}

func (c *Command) length() time.Duration { return time.Duration(c.Seconds) * time.Second }

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (c *Command) check() error {
	f, err := os.Open(c.Check)
	if err != nil {
		return &bank.Error{Code: bank.ExitUsage, Err: err}
	}
	defer f.Close()
	all, err := Parse(f)
	if err != nil {
		return err
	}
	return c.judge(all)
}

func (c *Command) judge(all []Operation) error {
	v := Check(all, Rules{Stale: c.Nodes+c.Workers > 1})
	say("%s", v)
	if !v.OK() {
		return fmt.Errorf("%w: %d payments have a history that no sound bank makes", ErrFound, v.Count+v.Inconclusive)
	}
	return nil
}

func (c *Command) run(ctx context.Context, shape Shape) error {
	r, err := newRig(c, say)
	if err != nil {
		return err
	}
	defer r.close()
	if shape.Delays = r.delays; !r.delays {
		say("faults of delay are left out: this kernel's tc has no netem")
	}
	if shape.Disks {
		if err := r.mountDisks(); err != nil {
			say("faults of disks are left out: %v", err)
			shape.Disks = false
		}
	}
	plan := Plan(c.Seed, c.length(), shape)
	say("%d faults in %d s, %v errands a second, %d coordinators, %d workers", len(plan), c.Seconds, c.Rate, c.Nodes, c.Workers)
	starting, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	if err := r.start(starting); err != nil {
		return err
	}
	h := NewHistory()
	l, err := newLoad(r, h, c.Seed)
	if err != nil {
		return err
	}
	defer l.close()
	heard := new(heard)
	receiver, err := flow.Listen(r.nodes[0].demo.Partner.NotificationURI, l.doors[0].partner.Keys, heard.add)
	if err != nil {
		return err
	}
	defer receiver.Close()

	began := time.Now()
	loading, enough := context.WithTimeout(ctx, c.length())
	defer enough()
	var both sync.WaitGroup
	both.Go(func() { l.run(loading, c.Rate) })
	both.Go(func() { r.inflict(loading, l, began, plan) })
	both.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("chaos: interrupted after %v", time.Since(began).Round(time.Second))
	}
	r.heal()
	found := c.settle(ctx, r, l, heard)
	r.close()
	return errors.Join(found, r.crashes(), l.cuts.judge(h), c.write(h), c.judge(h.Operations()))
}

// crashes tells of processes that ended as no fault explains.
func (r *rig) crashes() error {
	r.lock.Lock()
	defer r.lock.Unlock()
	if len(r.bad) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrFound, strings.Join(r.bad, "; "))
}

// settle waits until the bank is at rest, and audits it.
func (c *Command) settle(ctx context.Context, r *rig, l *load, h *heard) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	for _, n := range append([]*node{r.core}, r.nodes...) {
		if err := r.await(ctx, n); err != nil {
			return fmt.Errorf("%w: %w; %s", ErrFound, err, r.autopsy(n))
		}
	}
	leader, err := r.leader(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFound, err)
	}
	auditor, err := audit.NewBank(leader.demo)
	if err != nil {
		return err
	}
	var found []error
	if err := auditor.Await(ctx, true); err != nil {
		found = append(found, fmt.Errorf("%w: %w", ErrFound, err))
	}
	l.readAll()
	say("%s", &l.cuts)
	say("load: %d errands, %d turned away; %d told that they have paid, %d operations without a certain answer, %d sessions ended that went on",
		l.begun.Load(), l.turnedAway.Load(), l.settled.Load(), l.unknown.Load(), l.haunted.Load())
	report, err := auditor.Collect(ctx, told(l.history.Operations(), l, h), true)
	if err != nil {
		return errors.Join(append(found, err)...)
	}
	say("%s", report)
	if !report.OK() {
		found = append(found, fmt.Errorf("%w: the audit found %d disagreements", ErrFound, report.FindingsCount))
	}
	if s, err := auditor.Standing(ctx); err != nil || s.Disagreements > 0 {
		found = append(found, fmt.Errorf("%w: the core contradicted %d final states (%v)", ErrFound, s.Disagreements, err))
	}
	if l.settled.Load() == 0 {
		found = append(found, fmt.Errorf("%w: nobody could pay in %d s", ErrFound, c.Seconds))
	}
	return errors.Join(found...)
}

func (c *Command) write(h *History) error {
	f, err := os.OpenFile(filepath.Join(c.DataDir, historyName), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	return errors.Join(Write(f, h.Operations()), f.Close())
}

// heard is what the partner was notified of.
type heard struct {
	lock sync.Mutex
	all  []audit.Told
}

func (h *heard) add(n flow.Notification) {
	h.lock.Lock()
	defer h.lock.Unlock()
	h.all = append(h.all, audit.Told{Payment: n.PaymentID, Source: audit.ByWebhook, Status: n.Status.Status, Version: n.Version})
}

// told makes what clients were told, for the audit. It comes from many clients at once, so its order says nothing: that is the history's part.
func told(all []Operation, l *load, h *heard) []audit.Told {
	_, ids := l.everything()
	h.lock.Lock()
	list := append([]audit.Told(nil), h.all...)
	h.lock.Unlock()
	words := map[string]string{Settled: settled, Rejected: rejected, Cancelled: cancelled}
	for _, o := range all {
		status := o.Status
		if o.Kind == Confirm {
			status = words[status]
		}
		if id := ids[o.Key]; id != "" && status != "" && status != NotFound {
			list = append(list, audit.Told{Payment: id, Source: audit.ByPage, Status: status, Version: o.Version})
		}
	}
	return list
}
