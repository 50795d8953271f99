package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/replica"
	"netbank/cluster/stream"
)

// Node is one member of the cluster: its copy of the journal and, while it leads, the gate. Its methods are safe for
// concurrent use.
type Node struct {
	cfg      Config
	core     Core
	pinger   pinger // nil if the core has none
	logger   *slog.Logger
	log      Log
	far      *far // where lookups go on a node without a journal; else nil
	clock    clock
	metrics  *metrics
	executor journal.Executor

	inbox      inbox
	watch      watch
	readers    readers
	committing chan *entry // to the goroutine that waits for Raft; room for EntriesInFlight
	resolver   *resolver

	gateTerm    atomic.Uint64 // term of the open gate; 0 while this node may not grant
	linkTerm    atomic.Uint64 // term of the leader at the other end of the stream; 0 without one
	traffic     stream.Traffic
	guests      atomic.Int64  // that have a stream to this node
	highestTerm atomic.Uint64 // seen anywhere
	lostAt      atomic.Int64  // when this node last lost its leader, by its clock; 0: never
	edge        [gate.Classes]atomic.Uint64
	gateSeen    atomic.Pointer[gate.Snapshot]
	coreSeen    atomic.Pointer[CoreStatus]
	cutOff      atomic.Pointer[[]journal.NodeID] // other nodes that cannot reach the core, as this leader sees it
	coreShut    atomic.Bool                      // no node can reach the core, as this leader sees it
	followers   atomic.Pointer[[]Follower]       // of this leader
	leaderSays  atomic.Pointer[[]byte]           // what the leader at the other end of the stream tells of itself
	lineSeen    atomic.Pointer[Line]
	roomSeen    atomic.Pointer[gate.RoomSnapshot]
	flows       atomic.Uint64 // let in without a place in the line
	executors   atomic.Int64  // payments between "go" and their outcome's way to the leader
	noticed     chan struct{}

	coreCtx    context.Context // of every call into the core
	coreCancel context.CancelFunc
	closing    chan struct{} // closed when Close begins
	stop       chan struct{} // closed when the leader's goroutine has to end
	closeOnce  sync.Once
	closeErr   error
	ended      chan struct{} // closed by the leader's goroutine when it ends
	starting   sync.Mutex
	halted     bool           // guarded by starting: nothing is started any more
	running    sync.WaitGroup // executors, barriers, pings
	loops      sync.WaitGroup // leader, commit, resolver
}

// pinger is what a core may have to be asked whether it can be reached.
type pinger interface {
	Ping(ctx context.Context) error
}

// Open opens the journal and starts the node. The caller closes it. Errors are those of replica.Open, or name the field
// of Config that is wrong.
func Open(cfg Config) (*Node, error) {
	return open(cfg, func(c replica.Config) (Log, error) { return replica.Open(c) })
}

func open(cfg Config, openLog func(replica.Config) (Log, error)) (*Node, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	var drawn [8]byte
	rand.Read(drawn[:])
	n := &Node{
		cfg: cfg, core: cfg.Core, logger: cfg.Logger,
		executor:   journal.Executor{Node: cfg.Replica.Node, Incarnation: binary.LittleEndian.Uint64(drawn[:])},
		inbox:      inbox{wake: make(chan struct{}, 1)},
		committing: make(chan *entry, EntriesInFlight),
		noticed:    make(chan struct{}, 1),
		closing:    make(chan struct{}),
		stop:       make(chan struct{}),
		ended:      make(chan struct{}),
	}
	n.pinger, _ = cfg.Core.(pinger)
	n.clock.wall, n.clock.origin = cfg.wall, time.Now()
	n.clock.start(0, false)
	n.coreCtx, n.coreCancel = context.WithCancel(context.Background())
	n.coreSeen.Store(&CoreStatus{Reachable: true, Since: cfg.wall()})
	n.gateSeen.Store(&gate.Snapshot{})
	n.lineSeen.Store(&Line{})
	n.roomSeen.Store(&gate.RoomSnapshot{})
	n.closeEdge(gate.NoLeader)
	n.resolver = newResolver(n)
	n.metrics = newMetrics(n)
	if err := n.metrics.register(cfg.Registerer); err != nil {
		return nil, fmt.Errorf("cluster: register the metrics: %w", err)
	}
	also := cfg.Replica.OnApplied
	cfg.Replica.OnApplied = func(a replica.Applied) {
		n.applied(a)
		if also != nil {
			also(a)
		}
	}
	installed := cfg.Replica.OnInstalled
	cfg.Replica.OnInstalled = func() {
		n.installed()
		if installed != nil {
			installed()
		}
	}
	if cfg.Replica.Logger == nil {
		cfg.Replica.Logger = cfg.Logger
	}
	log, err := openLog(cfg.Replica)
	if err != nil {
		n.coreCancel()
		n.metrics.unregister(cfg.Registerer)
		return nil, err
	}
	n.log = log
	if far, ok := log.(*far); ok {
		n.far = far
		n.loops.Go(func() { far.run(n) })
	}
	n.loops.Go(func() { newLeader(n).run(n.stop) })
	n.loops.Go(n.commit)
	n.loops.Go(n.resolver.run)
	if cfg.Leader != nil {
		n.loops.Go(n.seek)
	}
	return n, nil
}

// applied is told of every entry, on the state machine's goroutine.
func (n *Node) applied(a replica.Applied) {
	raise(&n.highestTerm, a.Term)
	grew := false
	for i := range a.Changes {
		c := &a.Changes[i]
		n.watch.changed(c, paymentIn(a.Results, c))
		n.metrics.changed(c)
		grew = true
	}
	n.readers.applied(a.Batch)
	if grew {
		select {
		case n.noticed <- struct{}{}:
		default:
		}
	}
}

// paymentIn finds the copy of the payment after a change among the results, if it is there. Only waiters need it, and
// results and changes come in the same order, but not every command has both.
func paymentIn(results []journal.Result, c *journal.Change) *journal.Payment {
	for i := range results {
		p := &results[i].Payment
		if p.Version == c.Version && p.ID == c.Payment {
			return p
		}
	}
	return nil
}

// raise lifts an atomic to a value, never lowers it.
func raise(at *atomic.Uint64, to uint64) {
	for {
		old := at.Load()
		if old >= to || at.CompareAndSwap(old, to) {
			return
		}
	}
}

// start runs f beside the node's own goroutines. It reports false when the node has stopped starting things.
func (n *Node) start(f func()) bool {
	n.starting.Lock()
	defer n.starting.Unlock()
	if n.halted {
		return false
	}
	n.running.Go(f)
	return true
}

// goBarrier waits, beside the leader's goroutine, until everything committed before this term is applied.
func (n *Node) goBarrier(term uint64) {
	n.start(func() {
		for {
			got, err := n.log.Barrier(time.Second)
			if err == nil && got == term {
				n.inbox.push(event{do: func(l *leader) { l.begin(term) }}, true)
				return
			}
			if now, leading := n.log.Leadership(); !leading || now != term {
				return // the signal of that change brings the leader's goroutine here again
			}
			if !n.sleep(50 * time.Millisecond) {
				return
			}
		}
	})
}

// goPing asks the core, beside the leader's goroutine, whether it can be reached.
func (n *Node) goPing() {
	n.start(func() {
		ctx, cancel := context.WithTimeout(n.coreCtx, pingLimit)
		defer cancel()
		err := n.pinger.Ping(ctx)
		n.inbox.push(event{do: func(l *leader) { l.breaker.pinged(l, err) }}, true)
	})
}

// sleep waits, and reports false if the node is closing.
func (n *Node) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-n.closing:
		return false
	}
}

// Close takes no more work, lets calls in the core finish for Config.CloseWait, commits what they brought, and closes
// the journal. Payments whose outcome is not known by then are resolved after the next start.
func (n *Node) Close() error {
	n.closeOnce.Do(n.close)
	return n.closeErr
}

func (n *Node) close() {
	n.inbox.close()
	close(n.closing)
	n.inbox.push(event{do: (*leader).quit}, true)
	n.drain() // grants that are being committed start their executors
	n.starting.Lock()
	n.halted = true
	n.starting.Unlock()
	finished := make(chan struct{})
	go func() {
		n.running.Wait()
		close(finished)
	}()
	timer := time.NewTimer(n.cfg.CloseWait)
	defer timer.Stop()
	select {
	case <-finished:
	case <-timer.C:
		n.coreCancel() // Core promises to return by its context's end
		<-finished
	}
	n.drain() // what the executors have brought
	close(n.stop)
	n.coreCancel()
	n.closeErr = n.log.Close()
	n.loops.Wait()
	n.metrics.unregister(n.cfg.Registerer)
}

// drain waits, for a short while, until what is urgent is committed.
func (n *Node) drain() {
	empty := make(chan struct{})
	var look func(l *leader)
	look = func(l *leader) {
		if !l.busy() {
			close(empty)
			return
		}
		l.onIdle = append(l.onIdle, look)
	}
	n.inbox.push(event{do: look}, true)
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-empty:
	case <-timer.C:
	}
}

// busy reports whether something that must not be lost is on its way into the journal.
func (l *leader) busy() bool {
	if l.phase == ready {
		return l.urgent.len()+l.inFlight > 0
	}
	for _, c := range l.away.sent {
		if c.internal {
			return true
		}
	}
	return false
}

// Leading reports whether this node leads and has applied a barrier of its own term, so that it may grant.
func (n *Node) Leading() bool { return n.gateTerm.Load() != 0 }

// Now is the journal's time of this moment, as this node would stamp it if it led.
func (n *Node) Now() journal.Millis { return n.clock.now() }

// Refused tells the edge whether the gate would refuse a class of call now, however long it could wait, and why. It is
// one atomic read. Between two leaders nothing is refused: a call waits for the next one (LeaderlessMax).
func (n *Node) Refused(class gate.Class) (Refusal, bool) {
	refusal, refused := unpackRefusal(n.edge[min(class, gate.Classes-1)].Load())
	if refused && refusal.Reason == gate.NoLeader && n.leaderless() > 0 {
		return Refusal{}, false
	}
	if refused && refusal.Reason == gate.NoLeader && refusal.RetryAfter == 0 {
		refusal.RetryAfter = asLongAgain(n.clock.elapsed() - time.Duration(n.lostAt.Load()))
	}
	return refusal, refused
}

// BetweenLeaders reports whether the last leader was lost so short a while ago that the next one is to be expected: calls may come, and wait for
// it. It is so for half of LeaderlessMax, so that whoever is sent here in its last moment can still wait for as long again.
func (n *Node) BetweenLeaders() bool { return !n.led() && n.leaderless() > LeaderlessMax/2 }

// leaderless is for how long from now calls may still come and wait, because the last leader was lost a short while ago; 0 or less: not any more.
func (n *Node) leaderless() time.Duration {
	lost := time.Duration(n.lostAt.Load())
	if lost == 0 {
		return 0
	}
	return lost + LeaderlessMax - n.clock.elapsed()
}

// Bounds of when to come again after something of which only its beginning is known.
const (
	againMin = time.Second
	againMax = time.Minute
)

// asLongAgain is when to come again after something that has lasted for so long: it is expected to last about as long again (Gott, Nature 1993).
func asLongAgain(lasted time.Duration) time.Duration { return min(max(lasted, againMin), againMax) }

// loseLeader closes the edge, and notes since when there is no leader.
func (n *Node) loseLeader() {
	n.lostAt.Store(int64(n.clock.elapsed()))
	n.closeEdge(gate.NoLeader)
}

// Confirming reports whether a confirmation of a payment is under way at this node. Another one of the same payment is not refused by
// what Refused says: the first may be granted, and then "nothing was charged" would be a lie.
func (n *Node) Confirming(id journal.PaymentID) bool { return n.watch.outcomeAwaited(id) }

// closeEdge refuses every class.
func (n *Node) closeEdge(reason gate.Reason) {
	retryAfter := againMin
	if reason == gate.NoLeader {
		retryAfter = 0 // Refused says how long there has been none
	}
	for class := range n.edge {
		n.edge[class].Store(packRefusal(reason, retryAfter))
	}
}

// AcceptClock takes the present deviation of the machine's clock from the journal's time for right, so that seats are
// granted again.
func (n *Node) AcceptClock() {
	n.inbox.push(event{do: func(*leader) {
		n.clock.accept()
		n.logger.Warn("the clock was accepted", "deviation", n.clock.deviation())
	}}, true)
}

// Noticed receives a token when the outbox may have grown since the last token was taken.
func (n *Node) Noticed() <-chan struct{} { return n.noticed }
