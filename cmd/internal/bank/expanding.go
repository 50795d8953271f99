package bank

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/scaling"
	"netbank/cluster/scaling/expansion"
)

const (
	// PressureEvery is the time between two looks of a node at how busy it is.
	PressureEvery = time.Second
	// QuietAfter is how long no customer has come to a node that says it is quiet.
	QuietAfter = 10 * time.Second
	// OwnerTimeout bounds the question whether something else is in charge of the workers, which is asked before a wish.
	OwnerTimeout = 5 * time.Second
)

// measure keeps what this node tells of how busy it is, until ctx is done.
func (b *Bank) measure(ctx context.Context, d *doors) {
	ticker := time.NewTicker(PressureEvery)
	defer ticker.Stop()
	var meter expansion.Meter
	group, began := ownGroup(), time.Now()
	for {
		pool := b.sessions.Pool()
		r := expansion.Reading{
			At: time.Since(began), Hashing: pool.Worked, Workers: pool.Workers, Wait: pool.Wait,
			Full: max(d.customer.Full(), d.partner.Full()), Quiet: b.peers != nil && b.peers.quiet(),
		}
		processor(&r, group)
		pressure := meter.Read(r)
		b.pressure.Store(&pressure)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// watch is what a node that keeps a journal finds while it leads: what limits and, where that was asked for, when there are to be more workers.
type watch struct {
	b       *Bank
	config  expansion.Config
	levers  *levers
	began   time.Time
	finding atomic.Pointer[expansion.Finding] // nil: it does not lead
	moves   *prometheus.CounterVec
	gate    gateLook
}

func newWatch(b *Bank, l *levers, c expansion.Config) (*watch, error) {
	w := &watch{b: b, config: c, levers: l, began: time.Now(), moves: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "netbank_expansion_wishes_total", Help: "Wishes of automatic expansion that this node has committed, by way: out, in, kept.",
	}, []string{"way"})}
	for _, way := range []string{"out", "in", "kept"} {
		w.moves.WithLabelValues(way)
	}
	all := []prometheus.Collector{w.moves}
	for part := range expansion.Part(expansion.Parts) {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "netbank_expansion_pressure_ratio", Help: "How busy the front end is, mean of the nodes that answer customers; the leader alone knows.",
			ConstLabels: prometheus.Labels{"part": part.String()},
		}, func() float64 {
			if f := w.finding.Load(); f != nil {
				return float64(f.Busy[part]) / 100
			}
			return 0
		}))
	}
	for limit := range expansion.Limit(expansion.Limits) {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "netbank_expansion_limit", Help: "1 for what limits how many customers can be served; the leader alone knows.", ConstLabels: prometheus.Labels{"limit": limit.String()},
		}, func() float64 {
			if f := w.finding.Load(); f != nil && f.Limit == limit {
				return 1
			}
			return 0
		}))
	}
	for _, c := range all {
		if err := b.registry.Register(c); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// run looks until ctx is done. Each leadership begins anew.
func (w *watch) run(ctx context.Context) {
	ticker := time.NewTicker(expansion.LookEvery)
	defer ticker.Stop()
	var e *expansion.Expansion
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !w.b.node.Leading() {
			e = nil
			w.finding.Store(nil)
			continue
		}
		if e == nil {
			e = expansion.New(w.config)
		}
		s := w.sample()
		f := e.Look(&s)
		if m := f.Move; m != nil {
			if err := w.move(ctx, m); err != nil {
				e.Refused(err.Error())
				w.b.logger.Warn("automatic expansion could not wish for another number of workers; it is tried again", "workers", m.To, "were", m.From, "error", err)
			}
		}
		w.finding.Store(&f)
	}
}

// sample is what this leader sees now.
func (w *watch) sample() expansion.Sample {
	n := w.b.node
	status := n.Status()
	s := expansion.Sample{At: time.Since(w.began), Now: n.Now(), Wish: n.Wishes().Workers, Approval: w.b.config.ScaleApproval, Core: w.gate.look(&status, n.Refused)}
	switch {
	case !status.Line.Room.Closed:
	case status.Line.Room.SignIns:
		s.Line = expansion.LineForSignIns
	default:
		s.Line = expansion.LineForCore
	}
	provider, state := w.levers.Workers()
	s.Runner = expansion.Runner{
		Name: provider, Known: state.Known, Problem: state.Problem, Wanted: state.Standing.Wanted, Running: state.Standing.Running, Leaving: state.Standing.Leaving,
	}
	if own := w.b.pressure.Load(); own != nil && (w.b.peers == nil || w.b.peers.serving.Load()) && w.b.open.Load() {
		s.Nodes = append(s.Nodes, *own)
	}
	if w.b.peers != nil {
		w.b.peers.others(&s)
	}
	return s
}

// others adds what the nodes that follow tell of themselves. Only those count that customers come to.
func (p *peers) others(s *expansion.Sample) {
	n := p.node.Load()
	m := n.Membership()
	for _, f := range n.Followers() {
		if !f.Up || f.About == nil {
			continue
		}
		a, err := readAbout(f.About)
		if err != nil || !a.Ready || !a.Serving {
			continue
		}
		if of := m.Node(f.Node); of != nil && of.Role == journal.RoleWorker {
			s.Runner.Serving++
		}
		if a.Pressure == nil {
			s.Silent++
			continue
		}
		s.Nodes = append(s.Nodes, *a.Pressure)
	}
}

// gateLook remembers what it has counted at the gate.
type gateLook struct{ refusals uint64 }

// look says how the gate finds the core: by who waits for a seat, by whom it has refused since the last look, and by whom the doors refuse.
func (g *gateLook) look(s *cluster.Status, refusedAtDoors func(gate.Class) (cluster.Refusal, bool)) expansion.Core {
	var refusals uint64
	waiting, shut := 0, false
	full := func(r gate.Reason) bool { return r == gate.QueueFull || r == gate.TooLate || r == gate.Stalled }
	for class := gate.Resolve + 1; class < gate.Classes; class++ {
		waiting += s.Gate.QueuedBy[class]
		for reason := range gate.Reason(gate.Reasons) {
			if full(reason) {
				refusals += s.Gate.Counts[class][reason]
			}
		}
		if refusal, refused := refusedAtDoors(class); refused && full(refusal.Reason) {
			shut = true
		}
	}
	more := refusals > g.refusals
	g.refusals = refusals
	switch {
	case s.CoreShut || s.Gate.Breaker:
		return expansion.CoreUnreachable
	case s.Gate.Stalled:
		return expansion.CoreStalled
	case waiting > 0 || more || shut:
		return expansion.CoreFull
	}
	return expansion.CoreFree
}

// move commits a wish. Somebody who has moved the lever meanwhile has precedence.
func (w *watch) move(ctx context.Context, m *expansion.Move) error {
	if o, ok := w.levers.reconciler.Provider().(scaling.Ownable); ok {
		asking, cancel := context.WithTimeout(ctx, OwnerTimeout)
		err := o.Free(asking)
		cancel()
		if err != nil {
			return err
		}
	}
	verdict, err := w.levers.Move(&journal.Command{Body: &command.Command_PutWish{PutWish: &command.PutWish{
		Lever: command.Lever_LEVER_WORKERS, Fence: m.Fence, Value: uint32(m.To), UntilMs: int64(m.Until), Base: uint32(m.From), Reason: m.Reason, Operator: expansion.Operator, Approval: m.Approval,
	}}})
	switch {
	case err != nil:
		return err
	case verdict == journal.NotAllowed:
		return errors.New("somebody else has moved the lever at the same moment")
	case verdict != journal.Done:
		return errors.New("the journal did not take the wish: " + verdict.String())
	}
	way := "kept"
	if m.To > m.From {
		way = "out"
	} else if m.To < m.From {
		way = "in"
	}
	w.moves.WithLabelValues(way).Inc()
	w.b.logger.Info("automatic expansion wishes for workers", "workers", m.To, "were", m.From, "reason", m.Reason, "approval", m.Approval)
	return nil
}
