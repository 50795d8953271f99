package cluster

import (
	"sync"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/replica"
)

// disk is what survives a process: the state that the log gives, and the term.
type disk struct {
	mu      sync.RWMutex
	machine *journal.Machine
	term    uint64
	index   uint64
}

func newDisk() *disk {
	return &disk{machine: journal.New(journal.NewMemoryStore(), journal.DefaultLimits())}
}

func (d *disk) apply(term uint64, b *journal.Batch, told func(replica.Applied)) (replica.Outcome, error) {
	d.mu.Lock()
	d.index++
	results, changes, err := d.machine.Apply(term, b, nil, nil)
	out := replica.Outcome{Index: d.index, Term: term, Results: results, Changes: changes}
	stamp := d.machine.Now()
	d.mu.Unlock()
	if err == nil && told != nil {
		told(replica.Applied{Index: out.Index, Term: term, Stamp: stamp, Results: results, Changes: changes, Batch: b})
	}
	return out, err
}

// fate is what becomes of an entry that is in flight when leadership is lost.
type fate int

const (
	vanishes fate = iota // it was in no majority's log
	survives             // the next leader commits it
)

// fakeLog is a Log of one process over a disk, whose leadership the test gives and takes.
type fakeLog struct {
	disk    *disk
	latency time.Duration
	told    func(replica.Applied)
	changed chan bool
	work    chan *fakeFuture
	quit    chan struct{}
	ended   sync.WaitGroup

	mu       sync.Mutex
	leading  bool
	term     uint64
	held     bool // entries are taken, and stay in flight
	inFlight []*fakeFuture
	refuse   error // what Propose fails with, instead of taking the entry
	commits  int
	entries  [][]byte
	closed   bool
}

type fakeFuture struct {
	entry []byte
	term  uint64
	done  chan struct{}
	once  sync.Once
	out   replica.Outcome
	err   error
}

func (f *fakeFuture) Done() <-chan struct{} { return f.done }
func (f *fakeFuture) Wait() (replica.Outcome, error) {
	<-f.done
	return f.out, f.err
}

func (f *fakeFuture) resolve(out replica.Outcome, err error) {
	f.once.Do(func() { f.out, f.err = out, err; close(f.done) })
}

func newFakeLog(d *disk, latency time.Duration, told func(replica.Applied)) *fakeLog {
	l := &fakeLog{disk: d, latency: latency, told: told, changed: make(chan bool, 1), work: make(chan *fakeFuture, 1024), quit: make(chan struct{})}
	l.ended.Go(l.run)
	return l
}

func (l *fakeLog) run() {
	for {
		select {
		case f := <-l.work:
			if l.latency > 0 {
				time.Sleep(l.latency)
			}
			l.commit(f)
		case <-l.quit:
			return
		}
	}
}

// commit applies an entry unless leadership was lost meanwhile, or the test holds entries back.
func (l *fakeLog) commit(f *fakeFuture) {
	l.mu.Lock()
	if l.held {
		l.inFlight = append(l.inFlight, f)
		l.mu.Unlock()
		return
	}
	if !l.leading || f.term != l.term {
		l.mu.Unlock()
		f.resolve(replica.Outcome{}, replica.ErrUnknown)
		return
	}
	l.commits++
	l.mu.Unlock()
	var b journal.Batch
	if err := b.UnmarshalVT(f.entry); err != nil {
		f.resolve(replica.Outcome{}, replica.ErrEntry)
		return
	}
	f.resolve(l.disk.apply(f.term, &b, l.told))
}

func (l *fakeLog) Propose(entry []byte) replica.Future {
	f := &fakeFuture{entry: entry, done: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	f.term = l.term
	switch {
	case l.refuse != nil:
		f.resolve(replica.Outcome{}, l.refuse)
	case !l.leading:
		f.resolve(replica.Outcome{}, replica.ErrNotLeader)
	case l.closed:
		f.resolve(replica.Outcome{}, replica.ErrClosed)
	default:
		l.entries = append(l.entries, entry)
		l.work <- f
	}
	return f
}

func (l *fakeLog) View(f func(*journal.Machine)) {
	l.disk.mu.RLock()
	defer l.disk.mu.RUnlock()
	f(l.disk.machine)
}

func (l *fakeLog) Leadership() (uint64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term, l.leading
}

func (l *fakeLog) LeadershipChanged() <-chan bool { return l.changed }

func (l *fakeLog) Barrier(time.Duration) (uint64, error) {
	if l.latency > 0 {
		time.Sleep(l.latency)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.leading {
		return 0, replica.ErrNotLeader
	}
	return l.term, nil
}

func (l *fakeLog) Verify() (uint64, error) {
	term, leading := l.Leadership()
	if !leading {
		return 0, replica.ErrNotLeader
	}
	return term, nil
}

func (l *fakeLog) Stats() replica.Stats {
	term, leading := l.Leadership()
	return replica.Stats{Term: term, Leading: leading}
}

func (l *fakeLog) Close() error {
	l.mu.Lock()
	l.closed, l.leading = true, false
	held := l.inFlight
	l.inFlight = nil
	l.mu.Unlock()
	close(l.quit)
	l.ended.Wait()
	for _, f := range held {
		f.resolve(replica.Outcome{}, replica.ErrUnknown)
	}
	for {
		select {
		case f := <-l.work:
			f.resolve(replica.Outcome{}, replica.ErrUnknown)
		default:
			return nil
		}
	}
}

// elect gives leadership in a new term.
func (l *fakeLog) elect() {
	l.mu.Lock()
	l.disk.mu.Lock()
	l.disk.term++
	l.leading, l.term = true, l.disk.term
	l.disk.mu.Unlock()
	l.mu.Unlock()
	l.signal()
}

// depose takes leadership; what is held in flight meets its fate, and its proposer is not told.
func (l *fakeLog) depose(f fate) {
	l.mu.Lock()
	l.leading, l.held = false, false
	held := l.inFlight
	l.inFlight = nil
	l.mu.Unlock()
	for _, h := range held {
		if f == survives {
			var b journal.Batch
			if b.UnmarshalVT(h.entry) == nil {
				l.disk.apply(h.term, &b, l.told)
			}
		}
		h.resolve(replica.Outcome{}, replica.ErrUnknown)
	}
	l.signal()
}

func (l *fakeLog) signal() {
	select {
	case l.changed <- true:
	default:
	}
}

// hold keeps entries in flight until release or depose.
func (l *fakeLog) hold() {
	l.mu.Lock()
	l.held = true
	l.mu.Unlock()
}

func (l *fakeLog) release() {
	l.mu.Lock()
	l.held = false
	held := l.inFlight
	l.inFlight = nil
	l.mu.Unlock()
	for _, f := range held {
		l.commit(f)
	}
}

// proposed gives the entries that were taken, and how many of them were committed.
func (l *fakeLog) proposed() (entries [][]byte, commits int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries, l.commits
}

func (l *fakeLog) setRefuse(err error) {
	l.mu.Lock()
	l.refuse = err
	l.mu.Unlock()
}
