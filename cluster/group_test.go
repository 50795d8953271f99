package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/replica"
)

// group is a Raft group of the tests: one log, of which each member has applied a part. The test says who leads.
type group struct {
	mu      sync.Mutex
	entries []groupEntry
	term    uint64
	leader  int // index of the member that the others follow; -1: none
}

type groupEntry struct {
	term  uint64
	bytes []byte
}

// member is one node's Log over a group.
type member struct {
	group   *group
	index   int
	latency time.Duration
	changed chan bool
	work    chan *fakeFuture
	quit    chan struct{}
	ended   sync.WaitGroup

	mu       sync.RWMutex // guards machine, applied and told
	machine  *journal.Machine
	applied  int
	told     func(replica.Applied)
	whole    func() // told of an installed state
	handOver func(to journal.NodeID)
	lag      atomic.Int64 // of a follower, in ns
	stall    atomic.Int64 // of the next look at who leads, in ns
	state    sync.Mutex   // guards the rest
	leading  bool
	term     uint64
	held     bool
	doubtful *fate // of the next entry, whose proposer is not told what became of it
	inFlight []*fakeFuture
	closed   bool
}

func (m *member) start(told func(replica.Applied), whole func()) {
	m.changed, m.work, m.quit = make(chan bool, 1), make(chan *fakeFuture, 1024), make(chan struct{})
	m.mu.Lock()
	m.told, m.whole = told, whole
	m.mu.Unlock()
	m.state.Lock()
	m.leading, m.held, m.closed, m.inFlight = false, false, false, nil
	m.state.Unlock()
	m.ended.Go(m.propose)
	m.ended.Go(m.follow)
}

// propose commits what was proposed, one after the other.
func (m *member) propose() {
	for {
		select {
		case f := <-m.work:
			time.Sleep(m.latency)
			m.commit(f)
		case <-m.quit:
			return
		}
	}
}

func (m *member) commit(f *fakeFuture) {
	m.state.Lock()
	mine := m.leading && f.term == m.term
	if mine && m.held {
		m.inFlight = append(m.inFlight, f)
		m.state.Unlock()
		return
	}
	doubtful := m.doubtful
	m.doubtful = nil
	m.state.Unlock()
	if doubtful != nil && *doubtful == vanishes {
		f.resolve(replica.Outcome{}, replica.ErrUnknown)
		return
	}
	if !mine {
		f.resolve(replica.Outcome{}, replica.ErrUnknown)
		return
	}
	out, appended := m.append(f)
	if !appended || doubtful != nil {
		f.resolve(replica.Outcome{}, replica.ErrUnknown)
		return
	}
	f.resolve(out, nil)
}

// append adds an entry to the log of a member that leads, and applies it. Nothing comes between the two: follow would apply the entry, and
// its outcome would be nobody's.
func (m *member) append(f *fakeFuture) (out replica.Outcome, appended bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.group
	g.mu.Lock()
	if g.leader != m.index || g.term != f.term {
		g.mu.Unlock()
		return out, false
	}
	g.entries = append(g.entries, groupEntry{f.term, f.entry})
	at := len(g.entries)
	g.mu.Unlock()
	return m.catchUp(at), true
}

// apply applies the log up to a number of entries.
func (m *member) apply(upTo int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.catchUp(upTo)
}

// catchUp is apply for who holds mu; it gives what the last one did.
func (m *member) catchUp(upTo int) (out replica.Outcome) {
	for m.applied < upTo {
		m.group.mu.Lock()
		e := m.group.entries[m.applied]
		m.group.mu.Unlock()
		var b journal.Batch
		if err := b.UnmarshalVT(e.bytes); err != nil {
			panic(err)
		}
		m.applied++
		results, changes, err := m.machine.Apply(e.term, &b, nil, nil)
		if err != nil {
			panic(err)
		}
		out = replica.Outcome{Index: uint64(m.applied), Term: e.term, Results: results, Changes: changes}
		if m.told != nil {
			m.told(replica.Applied{Index: out.Index, Term: e.term, Stamp: m.machine.Now(), Results: results, Changes: changes, Batch: &b})
		}
	}
	return out
}

// install gives a member everything at once, as a snapshot from the leader does.
func (m *member) install() {
	m.mu.Lock()
	told := m.told
	m.told = nil
	m.mu.Unlock()
	m.group.mu.Lock()
	at := len(m.group.entries)
	m.group.mu.Unlock()
	m.apply(at)
	m.mu.Lock()
	m.told = told
	m.mu.Unlock()
	m.whole()
}

// follow applies what others have committed, some time after.
func (m *member) follow() {
	for {
		select {
		case <-time.After(time.Millisecond + time.Duration(m.lag.Load())):
		case <-m.quit:
			return
		}
		m.group.mu.Lock()
		at := len(m.group.entries)
		m.group.mu.Unlock()
		m.apply(at)
	}
}

func (m *member) Propose(entry []byte) replica.Future {
	f := &fakeFuture{entry: entry, done: make(chan struct{})}
	m.state.Lock()
	defer m.state.Unlock()
	f.term = m.term
	switch {
	case m.closed:
		f.resolve(replica.Outcome{}, replica.ErrClosed)
	case !m.leading:
		f.resolve(replica.Outcome{}, replica.ErrNotLeader)
	default:
		m.work <- f
	}
	return f
}

func (m *member) View(f func(*journal.Machine)) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	f(m.machine)
}

func (m *member) Leadership() (uint64, bool) {
	if d := m.stall.Swap(0); d != 0 {
		time.Sleep(time.Duration(d))
	}
	return m.leads()
}

func (m *member) leads() (uint64, bool) {
	m.state.Lock()
	defer m.state.Unlock()
	return m.term, m.leading
}

// TransferLeadership has the test's group elect another member.
func (m *member) TransferLeadership(_ context.Context, to journal.NodeID) error {
	if _, leading := m.Leadership(); !leading {
		return replica.ErrNotLeader
	}
	m.handOver(to)
	return nil
}

func (m *member) LeadershipChanged() <-chan bool { return m.changed }

func (m *member) Barrier(time.Duration) (uint64, error) {
	time.Sleep(min(m.latency, time.Millisecond))
	term, leading := m.Leadership()
	m.group.mu.Lock()
	at, real := len(m.group.entries), m.group.leader == m.index && m.group.term == term
	m.group.mu.Unlock()
	if !leading || !real {
		return 0, replica.ErrNotLeader
	}
	m.apply(at)
	return term, nil
}

func (m *member) Verify() (uint64, error) {
	term, leading := m.leads()
	m.group.mu.Lock()
	defer m.group.mu.Unlock()
	if !leading || m.group.leader != m.index || m.group.term != term {
		return 0, replica.ErrNotLeader
	}
	return term, nil
}

func (m *member) Stats() replica.Stats {
	term, leading := m.leads()
	m.mu.RLock()
	defer m.mu.RUnlock()
	return replica.Stats{Term: term, Leading: leading, AppliedIndex: uint64(m.applied)}
}

func (m *member) Close() error {
	m.depose(vanishes)
	m.state.Lock()
	m.closed = true
	m.state.Unlock()
	close(m.quit)
	m.ended.Wait()
	for {
		select {
		case f := <-m.work:
			f.resolve(replica.Outcome{}, replica.ErrUnknown)
		default:
			return nil
		}
	}
}

// depose lets a member notice that it does not lead any more. What it held in flight was in a majority's log, or not; nobody tells it.
func (m *member) depose(f fate) {
	m.state.Lock()
	was := m.leading
	m.leading, m.held = false, false
	held := m.inFlight
	m.inFlight = nil
	m.state.Unlock()
	g := m.group
	g.mu.Lock()
	if was && g.leader == m.index && g.term == m.term {
		if f == survives {
			for _, h := range held {
				// What a later leader has committed stands where this would be: terms never go back in a log of Raft's.
				if n := len(g.entries); n > 0 && g.entries[n-1].term > h.term {
					break
				}
				g.entries = append(g.entries, groupEntry{h.term, h.entry})
			}
		}
		g.leader = -1
	}
	g.mu.Unlock()
	for _, h := range held {
		h.resolve(replica.Outcome{}, replica.ErrUnknown)
	}
	m.signal()
}

func (m *member) signal() {
	select {
	case m.changed <- true:
	default:
	}
}

// doubt lets the next entry come to an end that its proposer is not told.
func (m *member) doubt(f fate) {
	m.state.Lock()
	defer m.state.Unlock()
	m.doubtful = &f
}

func (m *member) hold(held bool) {
	m.state.Lock()
	m.held = held
	var let []*fakeFuture
	if !held {
		let, m.inFlight = m.inFlight, nil
	}
	m.state.Unlock()
	for _, f := range let {
		m.commit(f)
	}
}

// elect makes a member the leader of a new term. An earlier leader does not notice by itself.
func (g *group) elect(m *member) {
	m.state.Lock()
	g.mu.Lock()
	g.term++
	g.leader = m.index
	m.leading, m.term = true, g.term
	g.mu.Unlock()
	m.state.Unlock()
	m.signal()
}
