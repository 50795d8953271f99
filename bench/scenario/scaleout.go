package scenario

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"netbank/bench/people"
	"netbank/bench/report"
)

// Scaled is how the number of workers stands, by the node that leads.
type Scaled struct {
	Wished  int // by operators
	Wanted  int // that the provider was told to run; below 0: it has not said
	Running int
	Leaving int
	Workers []ScaledWorker
}

// ScaledWorker is a worker that is a member of the cluster, as the leader hears of it.
type ScaledWorker struct {
	Node               uint32
	Operator           string // URL of its operator's port; empty: not known yet
	Up, Ready, Serving bool
}

// Limits of the scenario scale-out.
const (
	// firstPaymentObjective is within what time of the command the first new worker should have its first payment.
	firstPaymentObjective = 2 * time.Second
	// scaleTolerance is by how much sign-ins may differ from their share.
	scaleTolerance = .1
	// firstPaymentWait is how long a new worker's first payment is waited for after the command has returned.
	firstPaymentWait = 6 * time.Second
	// commandsRoom is what the two commands may take beyond that, and killRoom what a leader that dies in the middle of one adds.
	commandsRoom = 6 * time.Second
	killRoom     = 5 * time.Second
	// scalePoll is the time between two looks at the workers that come.
	scalePoll = 20 * time.Millisecond
	// overCapacity is how many times as many customers come as the most workers can sign in.
	overCapacity = 1.3
	// Customers who are told that the bank is busy wait as long as they are told, and come back so often in all.
	scaleTries = 3
)

// scaleOut adds workers under load, and takes them away.
func scaleOut() *Scenario {
	return &Scenario{
		Name: "scale-out",
		Help: "more sign-ins than two workers can check; an operator asks for five, and for two again: how soon do they help, and does a request fail?",
		Defaults: Options{
			Seconds: 20, Nodes: 3, Workers: 2, WorkersAfter: 5, WorkerSignIns: 15, Customers: 20_000, Connections: 1024, Pace: .02, Down: 2, Settle: 6, CoreModel: "fixed:15ms", CoreSeats: 64,
		},
		Short:   Options{Seconds: 6, Customers: 10_000},
		cluster: true,
		run:     func(ctx context.Context, b *bench) error { return b.scaleOut(ctx) },
	}
}

func (b *bench) scaleOut(ctx context.Context) error {
	b.result.Asked = fmt.Sprintf("What one bank did by closing for an hour. More customers come than %d workers can sign in; each worker is held to %v sign-ins a second, and coordinators take no customers. "+
		"An operator asks for %d workers, by the command that the product has, and later for %d again. How soon does a new worker take a payment, how many more customers get in, and does any request fail?",
		b.Workers, b.WorkerSignIns, b.WorkersAfter, b.Workers)
	during := 3*b.measure() + 2*b.settle() + commandsRoom
	if b.KillLeader {
		during += killRoom
	}
	b.Plan(during + clusterGrace)
	if err := b.raise(ctx, Bank{PasswordHash: "cheap", Wished: true, WorkersFirst: true, WorkerSignIns: b.WorkerSignIns, Balancer: b.Balancer}); err != nil {
		return err
	}
	defer b.lower()
	if _, err := b.target.Cluster.Scale(ctx, "out", "--to", strconv.Itoa(b.Workers)); err != nil {
		return err
	}
	b.Rate = cmp.Or(b.Rate, overCapacity*b.WorkerSignIns*float64(b.WorkersAfter))
	b.Do(fmt.Sprintf("%.0f customers a second", b.Rate))
	habits := b.customers(people.Patient())
	habits.Own, habits.Tries, habits.Watch = true, scaleTries, clusterWatch
	s := scaling{bench: b}
	o, err := b.disturbed(ctx, report.Phase{Name: "scale-out", What: "whole payments, sign-in included, while the number of workers changes"}, habits, during, s.run)
	if err != nil {
		return err
	}
	s.judge(o)
	return b.audit(ctx, "")
}

// scaling is what the operator does under load.
type scaling struct {
	*bench
	spans  [3]span // of unchanging numbers of workers: before, with more, and after
	events []report.Disturbance
}

// span is a part of the run.
type span struct{ from, until time.Time }

// run is the operator's part. The load goes on until its own end, so that nobody who is counted has the bank to himself.
func (s *scaling) run(ctx context.Context) (err error) {
	if s.spans[0], err = s.quiet(ctx, time.Now()); err != nil {
		return err
	}
	for i, verb := range []struct {
		word string
		to   int
	}{{"out", s.WorkersAfter}, {"in", s.Workers}} {
		c := report.Scaling{Command: fmt.Sprintf("netbank scale %s --to %d", verb.word, verb.to), Workers: verb.to}
		asked := time.Now()
		c.Second = asked.Sub(s.result.Started).Seconds()
		if err := s.command(ctx, &c, verb.word, s.KillLeader && i == 0); err != nil {
			return err
		}
		if s.spans[i+1], err = s.quiet(ctx, laterOf(asked.Add(s.settle()), time.Now())); err != nil {
			return err
		}
		s.result.Scalings = append(s.result.Scalings, c)
	}
	return nil
}

// settle is how long balancers are given after a command until sign-ins are counted again.
func (b *bench) settle() time.Duration { return time.Duration(b.Settle * float64(time.Second)) }

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// quiet lets a span pass that begins at a moment.
func (s *scaling) quiet(ctx context.Context, from time.Time) (span, error) {
	until := from.Add(s.measure())
	return span{from, until}, pause(ctx, time.Until(until))
}

// command has the operator's command run, and watches what comes of it until it has returned and the new workers have taken payments.
func (s *scaling) command(ctx context.Context, c *report.Scaling, verb string, kill bool) error {
	began := time.Now()
	before, err := s.target.Cluster.Scaled(ctx)
	if err != nil {
		return err
	}
	watch := watcher{bench: s.bench, began: began, known: make(map[uint32]bool), to: c.Workers}
	for _, w := range before.Workers {
		watch.known[w.Node] = true
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	var (
		tasks  sync.WaitGroup
		killed error
	)
	tasks.Go(func() { watch.run(watching) })
	if kill {
		tasks.Go(func() { killed = s.kill(ctx, c.Workers) })
	}
	said, err := s.target.Cluster.Scale(ctx, verb, "--to", strconv.Itoa(c.Workers))
	c.DoneMs = ms(time.Since(began))
	s.note("`%s` said: %s", c.Command, strings.Join(strings.FieldsFunc(said, func(r rune) bool { return r == '\n' }), " · "))
	if err == nil && verb == "out" {
		// The first payment may come a little after the command has returned.
		for limit := time.Now().Add(firstPaymentWait); !watch.paid() && time.Now().Before(limit) && err == nil; {
			err = pause(ctx, scalePoll)
		}
	}
	stop()
	tasks.Wait()
	c.Most, c.Nodes = watch.most, watch.nodes
	slices.SortFunc(c.Nodes, func(a, b report.ScaledNode) int { return cmp.Compare(a.PaidMs, b.PaidMs) })
	if err = errors.Join(err, killed); err != nil {
		return err
	}
	now, err := s.target.Cluster.Scaled(ctx)
	if err == nil && (now.Wished != c.Workers || now.Running != c.Workers || now.Leaving != 0) {
		s.fail("%s returned, and %d workers are wished for, %d run, %d are leaving", c.Command, now.Wished, now.Running, now.Leaving)
	}
	return err
}

// kill ends the leader as soon as the wish is committed, and starts it again a little later.
func (s *scaling) kill(ctx context.Context, wished int) error {
	for {
		now, err := s.target.Cluster.Scaled(ctx)
		if err == nil && now.Wished == wished {
			break
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	name, err := s.leader(ctx)
	if err != nil {
		return err
	}
	e := report.Disturbance{What: "kill -9", Node: name, Second: time.Since(s.result.Started).Seconds()}
	if err := s.target.Cluster.Kill(ctx, name); err != nil {
		return err
	}
	if err := pause(ctx, time.Duration(s.Down*float64(time.Second))); err != nil {
		return err
	}
	again := time.Now()
	if err := s.target.Cluster.Start(ctx, name); err != nil {
		return err
	}
	e.ReadyMs = ms(time.Since(again))
	s.events = append(s.events, e)
	return nil
}

// watcher sees how far new workers are.
type watcher struct {
	*bench
	began time.Time
	known map[uint32]bool // those that were there
	to    int

	lock  sync.Mutex
	most  int
	nodes []report.ScaledNode
}

// paid says whether all new workers have taken a payment.
func (w *watcher) paid() bool {
	w.lock.Lock()
	defer w.lock.Unlock()
	return len(w.nodes) >= w.to-len(w.known) && !slices.ContainsFunc(w.nodes, func(n report.ScaledNode) bool { return n.PaidMs == 0 })
}

func (w *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		if s, err := w.target.Cluster.Scaled(ctx); err == nil { // no node may lead just now
			w.look(ctx, &s)
		}
		_ = pause(ctx, scalePoll)
	}
}

// look notes what is new.
func (w *watcher) look(ctx context.Context, s *Scaled) {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.most = max(w.most, s.Running)
	since := func(at *float64, yes bool) {
		if yes && *at == 0 {
			*at = ms(time.Since(w.began))
		}
	}
	for _, worker := range s.Workers {
		if w.known[worker.Node] || !worker.Up {
			continue
		}
		i := slices.IndexFunc(w.nodes, func(n report.ScaledNode) bool { return n.Node == worker.Node })
		if i < 0 {
			i = len(w.nodes)
			w.nodes = append(w.nodes, report.ScaledNode{Node: worker.Node})
		}
		n := &w.nodes[i]
		since(&n.JoinedMs, true)
		since(&n.WarmMs, worker.Ready)
		since(&n.ServingMs, worker.Serving)
		if n.PaidMs == 0 && worker.Operator != "" {
			debits, err := w.target.debits(ctx, worker.Operator)
			since(&n.PaidMs, err == nil && debits > 0)
		}
	}
}

// judge makes figures of what was seen.
func (s *scaling) judge(o *people.Outcome) {
	rates := make([]float64, len(s.spans))
	for i, span := range s.spans {
		for _, at := range o.SignIns {
			if !at.Before(span.from) && at.Before(span.until) {
				rates[i]++
			}
		}
		rates[i] /= span.until.Sub(span.from).Seconds()
	}
	for i := range s.result.Scalings {
		s.result.Scalings[i].SignInsPerSecond = rates[i+1]
	}
	stallsOf(o.Confirmations, s.events, s.result.Started, s.loadEnd)
	s.result.Disturbances = s.events
	out, share := &s.result.Scalings[0], float64(s.WorkersAfter)/float64(s.Workers)
	ratio := 0.
	if rates[0] > 0 {
		ratio = rates[1] / rates[0]
	}
	first := 0.
	if len(out.Nodes) > 0 {
		first = out.Nodes[0].PaidMs / 1e3
	}
	failed, busy := int64(0), int64(0)
	for i := range o.Load.Steps {
		if step := &o.Load.Steps[i]; step.Name != people.StepWord {
			failed, busy = failed+step.Failed+step.Abandoned, busy+step.Refused
		}
	}
	for _, h := range []report.Headline{
		{
			Name: fmt.Sprintf("sign-ins with %d workers, times those with %d", s.WorkersAfter, s.Workers), Value: ratio, Unit: "times", Against: fmt.Sprintf("workers by workers, of which %.0f %% may be missing or too many", 100*scaleTolerance), Baseline: share,
			Text: fmt.Sprintf("Customers signed in a second, by their own count: %.1f with %d workers, %.1f with %d, %.1f with %d again.", rates[0], s.Workers, rates[1], s.WorkersAfter, rates[2], s.Workers),
		},
		{
			Name: "first payment on a new worker", Value: first, Unit: "s", Against: "the objective: at most", Baseline: firstPaymentObjective.Seconds(),
			Text: "From the operator's command until the core had answered the first payment that was admitted by a worker which came of it. It includes that customer's way from the sign-in page on.",
		},
		{
			Name: "failed requests", Value: float64(failed), Unit: "requests", Against: "the objective: at most", Baseline: 0,
			Text: fmt.Sprintf("No answer, a broken connection, or an answer that is an error. %d requests were answered by the page that says to come back in a moment: that is no failure, more came than could be signed in.", busy),
		},
		{
			Name: "the command returned", Value: out.DoneMs / 1e3, Unit: "s", Against: "", Text: "All new workers had answered a customer who came by the balancer. There is nothing to hold this against.",
		},
	} {
		s.headline(h)
	}
	if s.KillLeader {
		s.headline(report.Headline{
			Name: "the most workers at once, though the leader died", Value: float64(out.Most), Unit: "workers", Against: "asked for", Baseline: float64(s.WorkersAfter),
			Text: "The leader was killed as soon as the wish was committed, before its workers had come. The next one goes on with the wish: to the number asked, and not more.",
		})
	}
	if out.Most > s.WorkersAfter {
		s.fail("%d workers ran at once, and %d were asked for", out.Most, s.WorkersAfter)
	}
	s.note("Each worker checks %v passwords a second at most, which only the lab can ask for: so several on one machine each have a capacity of their own. Coordinators take customers only while no worker is ready.", s.WorkerSignIns)
	s.note("Each customer has a connection of his own. Times of reading and typing are %v of a patient person's, so that a customer's way is short beside the two seconds in question.", s.Pace)
	if s.KillLeader {
		s.note("The leader was killed when the wish had been committed. Requests that were under way at it may fail: its clients' connections end with it.")
	}
	s.leftOut("Machines that have to be started first: these workers are processes of the same machine.")
}
