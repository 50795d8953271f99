package cluster

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/replica"
)

// trio is a bank of three nodes over one group and one core.
type trio struct {
	*rig
	group   *group
	members [3]*member
	nodes   []*Node // first those with a journal, then workers
	workers atomic.Int64
	noReads atomic.Bool     // nobody can be asked
	noCore  [5]atomic.Bool  // cannot reach the core
	blind   [5]atomic.Bool  // does not know who leads
	deaf    [5]atomic.Bool  // cannot be connected to, nor connect
	dead    [5]*atomic.Bool // of the present life
	abouts  [5]atomic.Pointer[[]byte]
	walls   [5]jumpy // each node's clock

	fresh func(i int) *member // a member that has applied nothing

	mu     sync.Mutex
	lines  map[*line][2]int // open connections: from, to
	sentBy map[journal.PaymentID]int
	// tooLate counts debits that might have been written after send-by.
	tooLate  int
	delay    time.Duration // of new and open lines, in each direction
	served   sync.WaitGroup
	died     sync.WaitGroup
	carriers sync.WaitGroup
}

// seen is the core as one node sees it.
type seen struct {
	*fakeCore
	t    *trio
	node int
}

func (s seen) Debit(ctx context.Context, d Debit, sendBefore time.Time) Answer {
	s.t.mu.Lock()
	s.t.sentBy[d.Payment] = s.node
	s.t.mu.Unlock()
	if s.t.noCore[s.node].Load() {
		return Answer{Word: NotSent, Err: errBroken, Unreachable: true}
	}
	s.t.inTime(d.Payment, sendBefore)
	return s.fakeCore.Debit(ctx, d, sendBefore)
}

// inTime holds a debit that is about to be written to rule 2: all nodes of the tests share one clock, so the grant's stamp and
// the time that the executor may use can be compared.
func (r *trio) inTime(id journal.PaymentID, sendBefore time.Time) {
	var p journal.Payment
	r.mu.Lock()
	members := r.members
	r.mu.Unlock()
	for _, m := range members {
		m.View(func(j *journal.Machine) {
			if found, ok := j.Payment(id); ok && found.Granted != 0 {
				p = found
			}
		})
	}
	// Stamps are cut to milliseconds twice. A member that has just been started may know nothing yet.
	if over := sendBefore.UnixMilli() - int64(p.Granted) - SendByDefault.Milliseconds(); p.Granted != 0 && over > 2 {
		r.mu.Lock()
		r.tooLate++
		r.mu.Unlock()
	}
}

// inTrio runs a test in virtual time with a bank of three nodes. The first one leads.
func inTrio(t *testing.T, f func(t *testing.T, r *trio)) {
	synctest.Test(t, func(t *testing.T) {
		r := newTrio(t)
		defer r.close()
		r.lead(0)
		f(t, r)
	})
}

// inFive is inTrio with two nodes more, which have no journal.
func inFive(t *testing.T, f func(t *testing.T, r *trio)) {
	synctest.Test(t, func(t *testing.T) {
		r := newTrio(t)
		defer r.close()
		r.addWorkers()
		r.lead(0)
		f(t, r)
	})
}

// addWorkers starts the nodes 4 and 5, without a journal.
func (r *trio) addWorkers() {
	for i := len(r.members); i < len(r.dead); i++ {
		r.mu.Lock()
		r.nodes = append(r.nodes, nil)
		r.mu.Unlock()
		r.workers.Add(1)
		r.bootWorker(i)
	}
}

func newTrio(t testing.TB, options ...func(*rig)) *trio {
	r := &trio{rig: newRig(t), nodes: make([]*Node, 3), group: &group{leader: -1}, lines: make(map[*line][2]int), sentBy: make(map[journal.PaymentID]int)}
	for _, o := range options {
		o(r.rig)
	}
	r.core.onLate = func(a LateAnswer) {
		r.mu.Lock()
		n := r.nodes[r.sentBy[a.Payment]]
		r.mu.Unlock()
		n.Late(a)
	}
	// What the rig has put into its disk, every member has from the start; later puts are entries.
	base := slices.Clone(r.puts)
	r.fresh = func(i int) *member {
		m := &member{group: r.group, index: i, latency: time.Millisecond, machine: journal.New(journal.NewMemoryStore(), journal.DefaultLimits())}
		for _, b := range base {
			if _, _, err := m.machine.Apply(0, b, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		return m
	}
	r.putAlso = func(b *journal.Batch) {
		raw, err := b.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		r.group.mu.Lock()
		r.group.entries = append(r.group.entries, groupEntry{0, raw})
		at := len(r.group.entries)
		leader := r.group.leader
		r.group.mu.Unlock()
		if leader >= 0 {
			r.members[leader].apply(at)
		}
	}
	for i := range r.nodes {
		r.bootNode(i)
	}
	return r
}

func (r *trio) bootWorker(i int) {
	dead := new(atomic.Bool)
	cfg := Config{Replica: replica.Config{Node: journal.NodeID(i + 1)}, Core: seen{r.core, r, i}, Gate: r.rig.cfg.Gate, Line: r.rig.cfg.Line, SignIns: r.rig.cfg.SignIns}
	cfg.About = r.about(i)
	cfg.wall = r.walls[i].now
	cfg.Coordinators = func() []journal.NodeID {
		if r.noReads.Load() {
			return nil
		}
		return []journal.NodeID{1, 2, 3}
	}
	cfg.Dial = func(_ context.Context, node journal.NodeID) (net.Conn, error) {
		if dead.Load() {
			return nil, errUnreachable
		}
		return r.dial(i, int(node)-1)
	}
	n, err := NewWorker(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.nodes[i], r.dead[i] = n, dead
	r.mu.Unlock()
}

func (r *trio) bootNode(i int) {
	if i >= len(r.members) {
		r.bootWorker(i)
		return
	}
	dead := new(atomic.Bool)
	member := r.fresh(i)
	r.mu.Lock()
	r.dead[i], r.members[i] = dead, member
	r.mu.Unlock()
	cfg := Config{Replica: replica.Config{Node: journal.NodeID(i + 1)}, Core: seen{r.core, r, i}, Gate: r.rig.cfg.Gate, Line: r.rig.cfg.Line, SignIns: r.rig.cfg.SignIns}
	cfg.About = r.about(i)
	cfg.wall = r.walls[i].now
	member.handOver = func(to journal.NodeID) { r.elect(int(to) - 1) }
	cfg.Leader = func() (journal.NodeID, uint64) {
		if r.blind[i].Load() || dead.Load() {
			return 0, 0
		}
		r.group.mu.Lock()
		defer r.group.mu.Unlock()
		return journal.NodeID(r.group.leader + 1), r.group.term
	}
	cfg.Dial = func(_ context.Context, node journal.NodeID) (net.Conn, error) {
		if dead.Load() {
			return nil, errUnreachable
		}
		return r.dial(i, int(node)-1)
	}
	cfg.Members = func() (all []journal.NodeID) {
		for i := range 3 + r.workers.Load() {
			all = append(all, journal.NodeID(i+1))
		}
		return all
	}
	n, err := open(cfg, func(c replica.Config) (Log, error) {
		member.start(c.OnApplied, c.OnInstalled)
		return member, nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.nodes[i] = n
	r.mu.Unlock()
}

func (r *trio) about(i int) func() []byte {
	return func() []byte {
		if text := r.abouts[i].Load(); text != nil {
			return *text
		}
		return nil
	}
}

func (r *trio) tells(i int, text string) {
	about := []byte(text)
	r.abouts[i].Store(&about)
}

var errUnreachable = errors.New("trio: no route to that node")

func (r *trio) dial(from, to int) (net.Conn, error) {
	r.mu.Lock()
	n, dead := r.nodes[to], r.dead[to]
	r.mu.Unlock()
	if n == nil || dead.Load() || r.deaf[to].Load() || r.deaf[from].Load() {
		return nil, errUnreachable
	}
	near, far := net.Pipe()
	l := &line{near: newSlow(near, &r.carriers), far: newSlow(far, &r.carriers)}
	r.mu.Lock()
	l.slow(r.delay)
	r.lines[l] = [2]int{from, to}
	r.mu.Unlock()
	r.served.Go(func() {
		_ = n.Serve(l.far, journal.NodeID(from+1))
		r.mu.Lock()
		delete(r.lines, l)
		r.mu.Unlock()
	})
	return l.near, nil
}

// each calls f with the open connections of a node.
func (r *trio) each(node int, f func(l *line)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for l, ends := range r.lines {
		if ends[0] == node || ends[1] == node {
			f(l)
		}
	}
}

// cut breaks the connections of a node.
func (r *trio) cut(node int) { r.each(node, (*line).cut) }

// lead makes a node the leader, and waits until it may grant and the others have streams to it.
func (r *trio) lead(i int) {
	r.t.Helper()
	r.elect(i)
	for range 5000 {
		ready := r.nodes[i].Leading()
		for j, n := range r.nodes {
			ready = ready && (j == i || r.dead[j].Load() || r.deaf[j].Load() || r.blind[j].Load() || n.linkTerm.Load() == r.group.term && n.Joined())
		}
		if ready {
			return
		}
		time.Sleep(time.Millisecond)
	}
	r.t.Fatalf("node %d does not lead after 5 s", i+1)
}

// elect makes a node the leader; whoever led notices.
func (r *trio) elect(i int) {
	for j, m := range r.members {
		if j != i {
			m.depose(vanishes)
		}
	}
	r.members[i].depose(vanishes)
	r.group.elect(r.members[i])
}

// kill ends a node's process without its knowing: what it has in the core goes on, what it says is lost.
func (r *trio) kill(i int) {
	n := r.nodes[i]
	r.dead[i].Store(true)
	r.cut(i)
	if i < len(r.members) {
		r.members[i].depose(vanishes)
		r.members[i].mu.Lock()
		r.members[i].told = nil
		r.members[i].mu.Unlock()
	}
	r.died.Go(func() { n.Close() })
}

func (r *trio) close() {
	for i, n := range r.nodes {
		if !r.dead[i].Load() {
			n.Close()
		}
	}
	r.died.Wait()
	r.served.Wait()
	r.carriers.Wait()
	r.core.ends.Wait()
	if r.tooLate > 0 {
		r.t.Errorf("rule 2: %d debits might have been written later than %v after their grants", r.tooLate, SendByDefault)
	}
}

// state gives a payment's state at whoever has applied most.
func (r *trio) state(x Confirmation) journal.State {
	best := r.members[0]
	for _, m := range r.members {
		if m.Stats().AppliedIndex > best.Stats().AppliedIndex {
			best = m
		}
	}
	var p journal.Payment
	best.View(func(m *journal.Machine) { p, _ = m.Payment(x.Payment) })
	return p.State
}

func (r *trio) is(x Confirmation, state journal.State, moved int) {
	r.t.Helper()
	if got := r.state(x); got != state {
		r.t.Errorf("the payment is %v, want %v", got, state)
	}
	if got := r.core.moved(x.Payment); got != moved {
		r.t.Errorf("the core has moved the money %d times, want %d", got, moved)
	}
}

// order creates a payment and waits until every living node knows it.
func (r *trio) order() Confirmation {
	r.t.Helper()
	x := r.create()
	time.Sleep(10 * time.Millisecond)
	return x
}

func (r *trio) confirmAt(i int, x Confirmation) Confirmed {
	r.t.Helper()
	got, err := r.nodes[i].Confirm(x)
	if err != nil {
		r.t.Errorf("confirm at node %d: %v (%v)", i+1, err, got.Payment.State)
	}
	return got
}

// line is a connection whose two directions a test delays, or cuts.
type line struct{ near, far *slow }

func (l *line) slow(d time.Duration) { l.near.delay.Store(int64(d)); l.far.delay.Store(int64(d)) }
func (l *line) cut()                 { l.near.Close(); l.far.Close() }

// slow is a net.Conn whose writes arrive some time later, in order.
type slow struct {
	net.Conn
	delay atomic.Int64
	mu    sync.Mutex
	queue []late
	wake  chan struct{}
	gone  chan struct{}
	once  sync.Once
}

type late struct {
	bytes []byte
	due   time.Time
}

func newSlow(c net.Conn, carriers *sync.WaitGroup) *slow {
	s := &slow{Conn: c, wake: make(chan struct{}, 1), gone: make(chan struct{})}
	carriers.Go(s.carry)
	return s
}

func (s *slow) Write(b []byte) (int, error) {
	select {
	case <-s.gone:
		return 0, net.ErrClosed
	default:
	}
	s.mu.Lock()
	s.queue = append(s.queue, late{append([]byte(nil), b...), time.Now().Add(time.Duration(s.delay.Load()))})
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (s *slow) SetWriteDeadline(time.Time) error { return nil }

func (s *slow) Close() error {
	s.once.Do(func() { close(s.gone) })
	return s.Conn.Close()
}

func (s *slow) carry() {
	for {
		select {
		case <-s.wake:
		case <-s.gone:
			return
		}
		for {
			s.mu.Lock()
			if len(s.queue) == 0 {
				s.mu.Unlock()
				break
			}
			next := s.queue[0]
			s.queue = s.queue[1:]
			s.mu.Unlock()
			time.Sleep(time.Until(next.due))
			if _, err := s.Conn.Write(next.bytes); err != nil {
				s.Close()
				return
			}
		}
	}
}
