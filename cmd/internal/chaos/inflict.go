package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"syscall"
	"time"

	"netbank/frontend/ops"
)

// inflict carries a plan out, and returns when the last fault is over or ctx is.
func (r *rig) inflict(ctx context.Context, l *load, began time.Time, plan []Step) {
	var going sync.WaitGroup
	for _, s := range plan {
		if !pause(ctx, time.Until(began.Add(s.At))) {
			break
		}
		r.say("%8.3f s  %s", time.Since(began).Seconds(), s.String()[12:])
		if s.Fault == Cut && s.Node > r.coordinators {
			going.Go(func() { r.cutWorker(ctx, l, s) })
			continue
		}
		undo, err := r.do(s)
		if err != nil {
			r.say("            %s could not be done: %v", s.Fault, err)
			continue
		}
		going.Go(func() { r.undo(ctx, s, undo) })
	}
	going.Wait()
}

// undo ends a fault when its time is over.
func (r *rig) undo(ctx context.Context, s Step, undo func() error) {
	pause(ctx, s.For)
	if err := undo(); err != nil {
		r.say("            %s could not be undone: %v", s.Fault, err)
	}
}

// cutWorker cuts a worker off, and looks how it bears it.
func (r *rig) cutWorker(ctx context.Context, l *load, s Step) {
	look := l.beforeCut(s)
	undo, err := r.do(s)
	if err != nil {
		r.say("            %s could not be done: %v", s.Fault, err)
		return
	}
	look.begin()
	var looking sync.WaitGroup
	looking.Go(func() { look.during(ctx) })
	r.undo(ctx, s, func() error {
		look.end()
		return undo()
	})
	looking.Wait()
}

// pause waits, and tells whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// do begins a fault, and gives what ends it.
func (r *rig) do(s Step) (undo func() error, err error) {
	var n *node
	if s.Node > 0 {
		n = r.nodes[s.Node-1]
	}
	fine := func() error { return nil }
	switch s.Fault {
	case Kill:
		return r.kill(n), nil
	case KillCore:
		return r.kill(r.core), nil
	case Pause:
		p := n.process()
		if p == nil {
			return fine, nil
		}
		p.signal(syscall.SIGSTOP)
		return func() error { p.signal(syscall.SIGCONT); return nil }, nil
	case CoreLoses:
		return r.coreIs(`{"dropAnswers":0.1,"dropRequests":0.1}`)
	case CoreTwice:
		return r.coreIs(`{"duplicateAnswers":1}`)
	case CoreSlow:
		return r.coreIs(fmt.Sprintf(`{"extraLatencyMillis":%d}`, coreLimit.Milliseconds()))
	case CoreFrozen:
		return r.coreIs(`{"freeze":true}`)
	case CoreAway:
		if err := r.ask(http.MethodDelete, "/connections", ""); err != nil {
			return nil, err
		}
		return r.coreIs(`{"refuseConnections":true}`)
	case DiskFull:
		return n.disk.free, n.disk.fill()
	case DiskStall:
		return n.disk.thaw, n.disk.freeze()
	case ClockStep:
		return func() error { return n.putClock(0) }, n.putClock(s.By)
	case Cut:
		var others []int
		for other := range len(r.nodes) + 1 { // 0: connections that nobody is known to have opened
			others = append(others, other)
		}
		return r.cut(n, others...), nil
	case CutLeader:
		return r.cutLeader(n)
	case OneWay:
		return each([]func(){r.net.stop(s.Node, s.To)}), nil
	case Delay:
		r.net.slow(n.number, s.By)
		return each([]func(){func() { r.net.slow(n.number, 0) }}), nil
	case HandOver:
		return fine, r.handOver()
	case Replace:
		return r.replace(n), nil
	}
	return nil, fmt.Errorf("%w: %s", ErrFault, s.Fault)
}

// cut stops what goes between a node and others.
func (r *rig) cut(n *node, others ...int) func() error {
	var resume []func()
	for _, other := range others {
		if other != n.number {
			resume = append(resume, r.net.stop(n.number, other), r.net.stop(other, n.number))
		}
	}
	return each(resume)
}

// cutLeader stops what goes between a node and whoever leads; nothing, if the node does.
func (r *rig) cutLeader(n *node) (func() error, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	leader, err := r.leader(ctx)
	if err != nil {
		return nil, err
	}
	return r.cut(n, leader.number), nil
}

func each(all []func()) func() error {
	return func() error {
		for _, f := range all {
			f()
		}
		return nil
	}
}

// handOver asks whoever leads to hand the lead over. That it does not work is no fault of the run: there may be nobody to take it.
func (r *rig) handOver() error {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	leader, err := r.leader(ctx)
	if err != nil {
		return err
	}
	var done ops.Change
	return r.operate(leader, http.MethodPost, "/api/v1/cluster/lead", ops.LeadRequest{Reason: "chaos"}, &done)
}

func (r *rig) kill(n *node) func() error {
	n.hold(true)
	n.signal(syscall.SIGKILL)
	return func() error { n.hold(false); return nil }
}

func (r *rig) coreIs(faults string) (func() error, error) {
	if err := r.coreFaults(faults); err != nil {
		return nil, err
	}
	return func() error {
		// The core may have been killed meanwhile, and heals by that.
		_ = r.coreFaults("{}")
		return nil
	}, nil
}

// heal ends all faults, whatever state they are in.
func (r *rig) heal() {
	for _, n := range r.nodes {
		if n.disk != nil {
			_ = n.disk.thaw()
			_ = n.disk.free()
		}
		_ = n.putClock(0)
		n.signal(syscall.SIGCONT)
		n.hold(false)
	}
	r.core.hold(false)
	if r.net != nil {
		r.net.heal()
	}
	_ = r.coreFaults("{}")
}

// drawn is the load's dice, which several goroutines throw.
type drawn struct {
	lock sync.Mutex
	r    *rand.Rand
}

func (d *drawn) intN(n int) int {
	d.lock.Lock()
	defer d.lock.Unlock()
	return d.r.IntN(n)
}

func (d *drawn) exp() float64 {
	d.lock.Lock()
	defer d.lock.Unlock()
	return d.r.ExpFloat64()
}
