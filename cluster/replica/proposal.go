package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"netbank/cluster/journal"
)

// Future is a proposal under way.
type Future interface {
	// Done is closed when the outcome is known, or known to be unknown.
	Done() <-chan struct{}
	// Wait waits for Done. The error is nil; or ErrNotLeader, ErrBusy, ErrEntry or ErrClosed, and then the entry was
	// never appended; or ErrUnknown.
	Wait() (Outcome, error)
}

// Outcome is what Apply made of a proposed entry. The slices belong to the caller; all who wait for one Future share
// them.
type Outcome struct {
	Index   uint64
	Term    uint64           // in which the entry was appended
	Results []journal.Result // one for each command of the batch
	Changes []journal.Change
}

// proposal implements Future.
type proposal struct {
	entry   []byte
	batch   *journal.Batch // the entry decoded, so that the state machine need not do it again
	raft    raft.ApplyFuture
	once    sync.Once
	done    chan struct{}
	outcome Outcome
	err     error
}

// Done implements Future.
func (p *proposal) Done() <-chan struct{} { return p.done }

// Wait implements Future.
func (p *proposal) Wait() (Outcome, error) {
	<-p.done
	return p.outcome, p.err
}

func (p *proposal) resolve(outcome Outcome, err error) {
	p.once.Do(func() {
		p.outcome, p.err = outcome, err
		close(p.done)
	})
}

// proposer hands entries to Raft in the order of Propose, and their outcomes back in the same order. Raft takes none
// while it writes to the disk, so that the caller must not be the one who waits for it.
type proposer struct {
	apply   func(entry []byte, timeout time.Duration) raft.ApplyFuture
	waiting chan *proposal
	offered chan *proposal
	ended   chan struct{}

	mu     sync.Mutex
	closed bool
	held   bool          // the leadership is being handed over
	idle   chan struct{} // closed when nothing is open, if somebody waits for it
	// open holds what is not resolved, by the address of the entry's first byte: Raft gives the state machine of
	// this node the very slice that was proposed.
	open map[*byte]*proposal
}

func newProposer(apply func([]byte, time.Duration) raft.ApplyFuture) *proposer {
	p := &proposer{
		apply:   apply,
		waiting: make(chan *proposal, ProposalsMax),
		offered: make(chan *proposal, ProposalsMax),
		ended:   make(chan struct{}),
		open:    make(map[*byte]*proposal, ProposalsMax),
	}
	go p.offer()
	go p.collect()
	return p
}

// propose never blocks.
func (p *proposer) propose(entry []byte) Future {
	f := &proposal{entry: entry, done: make(chan struct{})}
	if err := f.decode(); err != nil {
		f.resolve(Outcome{}, err)
		return f
	}
	if err := p.enqueue(f); err != nil {
		f.resolve(Outcome{}, err)
	}
	return f
}

// decode refuses what the state machine could not read: once committed, it would stop every node of the cluster for
// ever.
func (p *proposal) decode() error {
	if len(p.entry) == 0 || len(p.entry) > EntryBytesMax {
		return fmt.Errorf("%w: it has %d bytes, the limits are 1 and %d", ErrEntry, len(p.entry), EntryBytesMax)
	}
	p.batch = new(journal.Batch)
	if err := p.batch.UnmarshalVT(p.entry); err != nil {
		return fmt.Errorf("%w: %w", ErrEntry, err)
	}
	if p.batch.Version != journal.Version {
		return fmt.Errorf("%w: it has version %d, this program writes %d", ErrEntry, p.batch.Version, journal.Version)
	}
	return nil
}

func (p *proposer) enqueue(f *proposal) error {
	key := &f.entry[0]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	if p.held {
		return fmt.Errorf("%w (it is handing the leadership over)", ErrNotLeader)
	}
	if len(p.open) >= ProposalsMax {
		return ErrBusy
	}
	if p.open[key] != nil {
		return fmt.Errorf("%w: the same slice is under way already", ErrEntry)
	}
	p.open[key] = f
	p.waiting <- f // has room for all that are open
	return nil
}

// decoded gives the batch of an entry that was proposed here and is not resolved.
func (p *proposer) decoded(entry []byte) (*journal.Batch, bool) {
	if len(entry) == 0 {
		return nil, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.open[&entry[0]]
	if f == nil {
		return nil, false
	}
	return f.batch, true
}

func (p *proposer) pending() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open)
}

func (p *proposer) offer() {
	defer close(p.offered)
	for f := range p.waiting {
		f.raft = p.apply(f.entry, enqueueTimeout)
		p.offered <- f
	}
}

func (p *proposer) collect() {
	defer close(p.ended)
	for f := range p.offered {
		outcome, err := outcomeOf(f.raft)
		p.mu.Lock()
		delete(p.open, &f.entry[0])
		if p.idle != nil && len(p.open) == 0 {
			close(p.idle)
			p.idle = nil
		}
		p.mu.Unlock()
		f.resolve(outcome, err)
	}
}

// outcomeOf waits for Raft's word, and says what it means.
func outcomeOf(f raft.ApplyFuture) (Outcome, error) {
	err := f.Error()
	if err == nil {
		r, ok := f.Response().(*response)
		if !ok {
			return Outcome{}, fmt.Errorf("%w: this node stopped while it was applied", ErrUnknown)
		}
		return Outcome{Index: f.Index(), Term: r.term, Results: r.results, Changes: r.changes}, nil
	}
	// Raft gives an entry its index when it appends it. Without one, these errors mean that it never will.
	if f.Index() == 0 {
		switch {
		case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
			return Outcome{}, fmt.Errorf("%w (%v)", ErrNotLeader, err)
		case errors.Is(err, raft.ErrEnqueueTimeout):
			return Outcome{}, fmt.Errorf("%w (Raft took none for %v: it is writing the log)", ErrBusy, enqueueTimeout)
		case errors.Is(err, raft.ErrRaftShutdown):
			return Outcome{}, ErrClosed
		}
	}
	return Outcome{}, fmt.Errorf("%w: %v", ErrUnknown, err)
}

// hold refuses new entries until resume, and waits for those under way.
func (p *proposer) hold(ctx context.Context) error {
	p.mu.Lock()
	p.held = true
	var idle chan struct{}
	if len(p.open) > 0 {
		idle = make(chan struct{})
		p.idle = idle
	}
	p.mu.Unlock()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *proposer) resume() {
	p.mu.Lock()
	p.held = false
	p.mu.Unlock()
}

// drain refuses new entries, and waits up to limit for those under way.
func (p *proposer) drain(limit time.Duration) {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.waiting)
	}
	p.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
	}
}

// abandon tells those who still wait, when Raft has stopped without a word: it never answers for entries that were
// committed and not handed to the state machine.
func (p *proposer) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.open {
		f.resolve(Outcome{}, fmt.Errorf("%w: this node stopped before it was applied", ErrUnknown))
	}
}
