package bank

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"netbank/cluster"
	"netbank/cluster/journal"
	"netbank/cluster/peer"
	"netbank/cluster/scaling"
	"netbank/cluster/scaling/expansion"
	"netbank/frontend/ops"
)

// Workers of the local provider.
const (
	// WorkerPorts is how far the ports of one worker of a machine are from those of the next.
	WorkerPorts = 10
	// WorkerTokenLifetime is how long the token is good for with which they join, at once.
	WorkerTokenLifetime = 5 * time.Minute
)

// How the leader finds out that balancers send customers to new workers.
const (
	// KnockEvery is the time between two rounds in which it comes as a customer would, as long as a worker that is ready has answered nobody.
	KnockEvery = 100 * time.Millisecond
	// KnocksMax is how many times it comes in one round: balancers give a new node a small share at first.
	KnocksMax = 8
	// KnockFor is how long it goes on for the same workers. A worker that no balancer knows is answered for by nobody.
	KnockFor     = 30 * time.Second
	knockTimeout = time.Second
)

// The words of --scale.
const (
	scaleLocal      = "local"
	scaleExec       = "exec"
	scaleKubernetes = "kubernetes"
)

// Scaling is how a node that leads gets workers.
type Scaling struct {
	Scale           string   `name:"scale" help:"Who runs workers when operators wish for them: local (processes of this machine), exec (a command), kubernetes. Left out: nobody. The same on all coordinators."`
	ScaleDir        string   `help:"Of local: where the workers' files are, the same for all nodes of this machine. Left out: workers, beside --data-dir." type:"path"`
	ScalePort       int      `help:"Of local: the first port of its workers; each has ten." default:"7210"`
	ScaleExec       string   `help:"Of exec: the command, words without a shell, with {verb} (scale or status), {workers} and {fence}. For status it prints {\"wanted\": 5, \"running\": 4}."`
	ScaleKubernetes string   `help:"Of kubernetes: what is scaled, deployments/NAME or statefulsets/NAME."`
	ScaleNamespace  string   `help:"Of kubernetes: its namespace. Left out: the service account's."`
	ScaleServer     string   `help:"Of kubernetes: the API server, https://HOST:PORT. Left out: the pod's own."`
	ScaleAccount    string   `help:"Of kubernetes: the directory of the service account. Left out: the pod's own." type:"path"`
	Traffic         []string `name:"traffic" sep:"none" help:"A balancer that is told which workers there are, haproxy=unix:/run/haproxy/admin.sock, or a program that is handed the list, hook=/usr/local/bin/steer; repeat it for more. Left out: balancers find them by themselves. The same on all coordinators."`
	ScaleAuto       string   `help:"Have more workers by itself when the nodes are too busy, and fewer when they are not: max=8, and min, step, out, out-after, out-pause, in, in-after, in-pause where the defaults do not suit. Never because of a slow core. Left out: operators alone decide. The same on all coordinators."`
	ScaleApproval   bool     `help:"Each wish for workers or seats waits until a second operator has agreed. Operators are told apart by their certificates."`
}

// provider makes who runs workers. nil: nobody.
func (p *peers) provider() (scaling.Provider, error) {
	c := p.config
	switch c.Scale {
	case "":
		return nil, nil
	case scaleLocal:
		return p.localWorkers(), nil
	case scaleExec:
		e, err := scaling.ParseExec(c.ScaleExec)
		if err != nil {
			return nil, usage("--scale-exec: %w", err)
		}
		return e, nil
	case scaleKubernetes:
		target, err := scaling.ParseTarget(c.ScaleKubernetes)
		if err != nil {
			return nil, usage("--scale-kubernetes: %w", err)
		}
		k, err := scaling.NewKubernetes(scaling.KubernetesConfig{Target: target, Namespace: c.ScaleNamespace, Server: c.ScaleServer, Dir: c.ScaleAccount})
		if err != nil {
			return nil, usage("--scale kubernetes: %w", err)
		}
		return k, nil
	}
	return nil, usage("--scale is %q; it may be local, exec or kubernetes", c.Scale)
}

// localWorkers runs processes of this program, which join with a token.
func (p *peers) localWorkers() *scaling.Local {
	c := *p.config
	dir := c.ScaleDir
	if dir == "" {
		dir = filepath.Join(filepath.Dir(filepath.Clean(c.DataDir)), "workers")
	}
	return &scaling.Local{
		Dir: dir, Logger: p.logger,
		Command: func(slot int, _, token string) (*exec.Cmd, error) {
			self, err := os.Executable()
			if err != nil {
				return nil, err
			}
			args, err := c.workerArgs(slot, token)
			return exec.Command(self, args...), err
		},
		Invite: func(ctx context.Context, uses int) (string, error) {
			return operated{p}.NewToken(ctx, ops.TokenTerms{Role: ops.RoleWorker, Uses: uses, Lifetime: WorkerTokenLifetime})
		},
	}
}

// workerArgs is the command line of a worker on this machine: this node's own, but for what makes it this node.
func (c Config) workerArgs(slot int, token string) ([]string, error) {
	addr := func(was string, door int) (string, error) {
		host, _, err := net.SplitHostPort(was)
		if err != nil {
			return "", fmt.Errorf("bank: %q is no address: %w", was, err)
		}
		return net.JoinHostPort(host, strconv.Itoa(c.ScalePort+(slot-1)*WorkerPorts+door)), nil
	}
	var errs [3]error
	c.CustomerAddr, errs[0] = addr(c.CustomerAddr, 0)
	c.PartnerAddr, errs[1] = addr(c.PartnerAddr, 1)
	c.OperatorAddr, errs[2] = addr(c.OperatorAddr, 2)
	c.DataDir, c.Role, c.JoinTokenFile = "", peer.Worker.String(), token // its identity ends with it
	c.PeerAddr, c.PeerAdvertise, c.OperatorAdvertise, c.BootstrapExpect, c.Join, c.AcceptClock = "", "", "", 0, nil, false
	c.Scaling = Scaling{}
	return append(append([]string{}, c.Again...), flagsOf(reflect.ValueOf(c))...), errors.Join(errs[:]...)
}

// flagsOf writes a configuration as the flags that it is read from.
func flagsOf(v reflect.Value) (flags []string) {
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		tag := field.Tag
		if tag.Get("kong") == "-" || value.IsZero() && tag.Get("default") == "" {
			continue
		}
		if field.Anonymous {
			flags = append(flags, flagsOf(value)...)
			continue
		}
		name := tag.Get("name")
		if name == "" {
			name = kebab(field.Name)
		}
		text := fmt.Sprint(value.Interface())
		if list, ok := value.Interface().([]string); ok {
			text = strings.Join(list, ",")
		}
		flags = append(flags, "--"+name+"="+text)
	}
	return flags
}

// kebab is a field's name as kong makes a flag of it.
func kebab(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}

// leads is this node as its reconciler needs it.
type leads struct{ node *cluster.Node }

func (l leads) Leading() bool { return l.node.Leading() }
func (l leads) Leads() uint64 { return l.node.Verified() }

func (l leads) Wish() journal.Wanted { return l.node.Wishes().Workers }

// levers are what operators move at this node.
type levers struct {
	node       *cluster.Node
	reconciler *scaling.Reconciler // nil: nobody runs workers
	config     *Config
	watch      *watch
}

var _ ops.Levers = (*levers)(nil)

// openLevers makes them, and has workers looked after until ctx is done. nil: this node keeps no journal.
func (b *Bank) openLevers(ctx context.Context) (ops.Levers, error) {
	if b.node.Worker() {
		return nil, nil
	}
	l := &levers{node: b.node, config: &b.config}
	auto, err := expansion.Parse(b.config.ScaleAuto)
	if err != nil {
		return nil, usage("--scale-auto: %w", err)
	}
	if l.watch, err = newWatch(b, l, auto); err != nil {
		return nil, err
	}
	if b.peers != nil {
		if err := b.openScaling(ctx, l); err != nil {
			return nil, err
		}
	}
	b.keeping.Go(func() { l.watch.run(ctx) })
	return l, nil
}

// openScaling has balancers told which workers there are, and workers looked after.
func (b *Bank) openScaling(ctx context.Context, l *levers) error {
	balancers, err := parseTraffic(b.config.Traffic)
	if err != nil {
		return err
	}
	if len(balancers) > 0 {
		b.keeping.Go(func() { b.peers.steer(b.kept, balancers) })
	}
	provider, err := b.peers.provider()
	if err != nil || provider == nil {
		return err
	}
	l.reconciler = scaling.NewReconciler(leads{b.node}, provider, b.logger)
	b.keeping.Go(func() { l.reconciler.Run(ctx) }) // not until the very end: a node that is being stopped starts nobody
	b.keeping.Go(func() { b.peers.knock(ctx) })
	return nil
}

// Wishes implements ops.Levers.
func (l *levers) Wishes() *journal.Wishes { return l.node.Wishes() }

// Acts implements ops.Levers.
func (l *levers) Acts(max int) ([]journal.Act, error) { return l.node.Acts(max) }

// Ceilings implements ops.Levers.
func (l *levers) Ceilings() (seats [3]int) {
	for level := range seats {
		seats[level] = l.node.Ceiling(uint32(level))
	}
	return seats
}

// Policy implements ops.Levers.
func (l *levers) Policy() cluster.Policy { return l.node.Policy() }

// SeatsMax implements ops.Levers.
func (l *levers) SeatsMax() int {
	return max(l.config.CoreSeats, l.config.CoreReserve, l.config.CoreEmergency)
}

// Watch implements ops.Levers.
func (l *levers) Watch() (expansion.Config, *expansion.Finding) {
	return l.watch.config, l.watch.finding.Load()
}

// Approval implements ops.Levers.
func (l *levers) Approval() bool { return l.config.ScaleApproval }

// Workers implements ops.Levers.
func (l *levers) Workers() (provider string, s scaling.State) {
	if l.reconciler == nil {
		return "", scaling.State{}
	}
	return l.reconciler.Provider().Name(), l.reconciler.State()
}

// Move implements ops.Levers.
func (l *levers) Move(c *journal.Command) (journal.Verdict, error) {
	result, err := l.node.Submit(c, time.Now().Add(CommitWithin))
	if l.reconciler != nil {
		l.reconciler.Wake()
	}
	if result.Verdict == journal.Repeated {
		result.Verdict = journal.Done
	}
	return result.Verdict, err
}

// knock comes as a customer, by the address that customers use, while this node leads and a worker is ready that has answered nobody yet: so
// operators see within moments whether the balancers know it, also at night.
func (p *peers) knock(ctx context.Context) {
	client := &http.Client{
		Timeout: knockTimeout, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	ticker := time.NewTicker(KnockEvery)
	defer ticker.Stop()
	var waiting string
	var since time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		n := p.node.Load()
		if n == nil || !n.Leading() {
			continue
		}
		now := p.unanswering(n)
		if now != waiting {
			waiting, since = now, time.Now()
		}
		if waiting == "" || time.Since(since) > KnockFor {
			continue
		}
		var all sync.WaitGroup
		for range KnocksMax {
			all.Go(func() {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.config.CustomerURL+"/", nil)
				if err != nil {
					return
				}
				if resp, err := client.Do(req); err == nil {
					resp.Body.Close()
				}
			})
		}
		all.Wait()
	}
}

// unanswering names the workers that are ready and have answered nobody yet.
func (p *peers) unanswering(n *cluster.Node) (names string) {
	m := n.Membership()
	told := p.everybody()
	for i := range m.Nodes {
		w := &m.Nodes[i]
		if a := told[w.ID]; w.Member() && w.Role == journal.RoleWorker && a.Ready && !a.Serving {
			if h, ok := p.seen.of(w.ID); !ok || h.up {
				names += peer.Name(w.ID) + " "
			}
		}
	}
	return names
}
