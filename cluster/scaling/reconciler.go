package scaling

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"netbank/cluster/journal"
)

// CallTimeout bounds each call of a provider.
const CallTimeout = 30 * time.Second

// Leader is what the reconciler needs of a node. Its methods do not block for long.
type Leader interface {
	// Leads gives the term in which this node leads for certain, because a majority has just said so; 0: it does not.
	Leads() uint64
	// Leading is the same without asking anybody: a deposed leader may not know yet.
	Leading() bool
	// Wish gives how many workers are wished for.
	Wish() journal.Wanted
}

// Reconciler sees to it, as long as its node leads, that as many workers run as operators wish for.
type Reconciler struct {
	leader   Leader
	provider Provider
	logger   *slog.Logger
	wake     chan struct{}

	lock  sync.Mutex
	state State
}

// State is how far the reconciler has come. It is of this leadership only; a node that does not lead has none.
type State struct {
	Known    bool // the provider has answered in this leadership
	Standing Standing
	At       time.Time // when that was
	Problem  string    // why the provider's last call failed; empty: it did not
	Remedy   string
	Failures int       // in a row
	Again    time.Time // when it is tried again
}

// NewReconciler makes one; Run runs it. A nil logger logs nothing.
func NewReconciler(leader Leader, provider Provider, logger *slog.Logger) *Reconciler {
	if logger == nil {
		logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return &Reconciler{leader: leader, provider: provider, logger: logger, wake: make(chan struct{}, 1)}
}

// Provider gives who runs the workers.
func (r *Reconciler) Provider() Provider { return r.provider }

// State gives how far it has come.
func (r *Reconciler) State() State {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.state
}

// Wake has it look at once: a wish has been committed.
func (r *Reconciler) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run goes on until ctx is done.
func (r *Reconciler) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var seen *Seen
	var fence uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
		pause := LookSoon
		switch {
		case !r.leader.Leading():
			if seen != nil {
				seen = nil
				r.publish(nil)
			}
		default:
			if seen == nil {
				seen = new(Seen)
			}
			if seen.Wish = r.leader.Wish(); seen.Wish.Fence != fence {
				// What hindered the last wish need not hinder this one, and somebody waits for it.
				fence, seen.Failures, seen.Told = seen.Wish.Fence, 0, time.Time{}
			}
			if r.step(ctx, seen) {
				pause = 0
			}
		}
		timer.Reset(pause)
	}
}

// step does what is to be done, and says whether there may be more at once.
func (r *Reconciler) step(ctx context.Context, s *Seen) bool {
	step, order, _ := Next(s, time.Now())
	if step == Rest {
		return false
	}
	if ctx.Err() != nil {
		return false
	}
	calling, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	var err error
	switch step {
	case Look:
		var standing Standing
		if standing, err = r.provider.Status(calling); err == nil {
			s.Standing, s.At = standing, time.Now()
		}
	case Scale:
		term := r.leader.Leads()
		if term == 0 {
			return false // another one leads, and sees to it
		}
		order.Holds = func() bool { return r.leader.Leads() == term && r.leader.Wish().Fence == order.Fence }
		r.logger.Info("workers are asked for", "workers", order.Workers, "were", s.Standing.Wanted, "provider", r.provider.Name(), "fence", order.Fence)
		if err = r.provider.Scale(calling, order); err == nil {
			s.At, s.Told = time.Time{}, time.Now() // look at once what has come of it
		}
	}
	if ctx.Err() != nil {
		return false
	}
	r.judge(s, step, err)
	r.publish(s)
	return err == nil
}

// judge counts failures, and logs each kind once. A provider that only says how it stands has not yet shown that it does what it is told.
func (r *Reconciler) judge(s *Seen, step Step, err error) {
	if err == nil {
		done := step == Scale || s.Wish.Now.Number == 0 || s.Standing.Wanted == int(s.Wish.Now.Value)
		if s.Failures > 0 && done {
			r.logger.Info("the provider of workers does as it is told again", "provider", r.provider.Name())
			s.Failures = 0
		}
		return
	}
	s.Failures, s.Failed, s.Jitter = s.Failures+1, time.Now(), rand.Float64()
	problem, remedy := worded(err)
	if r.State().Problem != problem {
		r.logger.Warn("the provider of workers has failed; it is tried again", "provider", r.provider.Name(), "problem", problem, "remedy", remedy)
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	r.state.Problem, r.state.Remedy = problem, remedy
}

func worded(err error) (problem, remedy string) {
	var f *Fault
	switch {
	case errors.As(err, &f):
		return f.What, f.Remedy
	case errors.Is(err, ErrOvertaken):
		return "the provider has seen to a later wish already", "nothing: the leader of that wish goes on with it; if there is none, wish again"
	case errors.Is(err, context.DeadlineExceeded):
		return "the provider does not answer within " + CallTimeout.String(), "look at the provider; it is tried again"
	}
	return err.Error(), "look at the provider; it is tried again"
}

// publish tells how far it has come; nil: this node does not lead.
func (r *Reconciler) publish(s *Seen) {
	r.lock.Lock()
	defer r.lock.Unlock()
	if s == nil {
		r.state = State{}
		return
	}
	next := State{Known: !s.At.IsZero() || r.state.Known, Standing: s.Standing, At: s.At, Failures: s.Failures}
	if s.At.IsZero() {
		next.At = r.state.At
	}
	if s.Failures > 0 {
		next.Problem, next.Remedy = r.state.Problem, r.state.Remedy
		next.Again = s.Failed.Add(backoff(s.Failures, s.Jitter))
	}
	r.state = next
}
