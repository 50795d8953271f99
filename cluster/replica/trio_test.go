package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"netbank/cluster/journal"
)

// quick is a clock for clusters in one process: elections take 0.2 to 0.4 s. Under the race detector everything is several times as slow,
// and a machine that has no time for a node must not look like a node that is gone.
var quick = timing{heartbeat: patience * 200 * time.Millisecond, election: patience * 200 * time.Millisecond, lease: patience * 150 * time.Millisecond}

// wire is a node's transport in memory, with faults.
type wire struct {
	*raft.InmemTransport
	// snapshot stands between a snapshot's stream and its receiver. nil: nothing does.
	snapshot atomic.Pointer[func(io.Reader) io.Reader]
	// entries is asked before entries are sent to a node, and may hold them up; heartbeats pass. nil: nothing is held up.
	entries atomic.Pointer[func(to raft.ServerID)]
	// answers is called before a node's answer is handed over, and may hold it up. nil: nothing is held up.
	answers atomic.Pointer[func(from raft.ServerID)]
}

func (w *wire) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if ask := w.entries.Load(); ask != nil && len(args.Entries) > 0 {
		(*ask)(id)
	}
	err := w.InmemTransport.AppendEntries(id, target, args, resp)
	if hold := w.answers.Load(); hold != nil && err == nil {
		(*hold)(id)
	}
	return err
}

func (w *wire) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	if through := w.snapshot.Load(); through != nil {
		data = (*through)(data)
	}
	return w.InmemTransport.InstallSnapshot(id, target, args, resp, data)
}

// station is a node of a test cluster; its replica is nil while it is down.
type station struct {
	*Replica
	cfg  Config
	log  *lines
	wire *wire
	at   raft.ServerAddress
	seam seams
}

// cluster is a network of nodes in one process.
type cluster struct {
	t        testing.TB
	founders []Founder
	cut      map[[2]journal.NodeID]bool // from, to: nothing goes this way

	mu      sync.Mutex
	nodes   map[journal.NodeID]*station
	up      map[journal.NodeID]*Replica
	applied map[journal.NodeID][]Applied // index, term and stamp of each entry, since the node's last start
}

func addressOf(node journal.NodeID) string { return fmt.Sprintf("host-%d:7000", node) }

// newCluster prepares founders and opens none of them.
func newCluster(t testing.TB, founders int) *cluster {
	c := &cluster{t: t, nodes: make(map[journal.NodeID]*station), up: make(map[journal.NodeID]*Replica), cut: make(map[[2]journal.NodeID]bool), applied: make(map[journal.NodeID][]Applied)}
	for n := range journal.NodeID(founders) {
		c.founders = append(c.founders, Founder{n + 1, addressOf(n + 1)})
	}
	for _, f := range c.founders {
		c.prepare(f.Node, Founding)
	}
	t.Cleanup(func() {
		for node := range c.nodes {
			c.stop(node)
		}
	})
	return c
}

// newTrio is a cluster of three that is founded and has a partner.
func newTrio(t testing.TB) *cluster {
	c := newCluster(t, 3)
	for node := range c.nodes {
		c.open(node)
	}
	propose(t, c.leader().Replica, partner())
	return c
}

func (c *cluster) prepare(node journal.NodeID, beginning Beginning) *station {
	cfg, log := testConfig(c.t, c.t.TempDir())
	cfg.Node, cfg.Cluster, cfg.Beginning = node, "test", beginning
	if beginning == Founding {
		cfg.Founders = c.founders
	}
	cfg.OnApplied = func(a Applied) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.applied[node] = append(c.applied[node], Applied{Index: a.Index, Term: a.Term, Stamp: a.Stamp})
	}
	s := &station{cfg: cfg, log: log, at: raft.ServerAddress(addressOf(node)), seam: seams{segmentBytes: small.segmentBytes, timing: quick}}
	c.nodes[node] = s
	return s
}

// open starts a node, and fails unless it opens.
func (c *cluster) open(node journal.NodeID) *Replica {
	c.t.Helper()
	r, err := c.tryOpen(node)
	if err != nil {
		c.t.Fatalf("node %d: %v", node, err)
	}
	return r
}

func (c *cluster) tryOpen(node journal.NodeID) (*Replica, error) {
	s := c.nodes[node]
	_, transport := raft.NewInmemTransport(s.at)
	s.wire = &wire{InmemTransport: transport}
	s.cfg.Transport = s.wire
	c.mu.Lock()
	c.applied[node] = nil
	c.mu.Unlock()
	r, err := open(s.cfg, s.seam)
	if err != nil {
		return nil, err
	}
	s.Replica = r
	c.mu.Lock()
	c.up[node] = r
	c.mu.Unlock()
	c.connect()
	return r, nil
}

// running gives the replicas that are up, for those who act beside the test.
func (c *cluster) running() []*Replica {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.up))
}

// connect makes the network what cut says.
func (c *cluster) connect() {
	for from, a := range c.nodes {
		for to, b := range c.nodes {
			switch {
			case from == to || a.Replica == nil:
			case b.Replica == nil || c.cut[[2]journal.NodeID{from, to}]:
				a.wire.Disconnect(b.at)
			default:
				a.wire.Connect(b.at, b.wire.InmemTransport)
			}
		}
	}
}

// part cuts one node off, both ways.
func (c *cluster) part(node journal.NodeID) {
	for other := range c.nodes {
		c.cut[[2]journal.NodeID{node, other}], c.cut[[2]journal.NodeID{other, node}] = true, true
	}
	c.connect()
}

func (c *cluster) heal() {
	clear(c.cut)
	c.connect()
}

// stop ends a node as a kill would: nothing of it is heard any more.
func (c *cluster) stop(node journal.NodeID) {
	c.t.Helper()
	s := c.nodes[node]
	r := s.Replica
	if r == nil {
		return
	}
	s.Replica = nil
	c.mu.Lock()
	delete(c.up, node)
	c.mu.Unlock()
	c.connect()
	s.wire.DisconnectAll()
	if err := r.Close(); err != nil {
		c.t.Errorf("close node %d: %v", node, err)
	}
}

// lose replaces a node's data directory by an empty one, while it is down.
func (c *cluster) lose(node journal.NodeID) {
	c.nodes[node].cfg.Dir = c.t.TempDir()
}

// await waits for a condition.
func (c *cluster) await(what string, condition func() bool) {
	c.t.Helper()
	await(c.t, what, condition)
}

func await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatal("after 30 s, still waiting until", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// leader waits until one node leads and has applied its log.
func (c *cluster) leader() (leads *station) {
	c.t.Helper()
	c.await("a node leads", func() bool {
		for _, s := range c.nodes {
			if s.Replica == nil {
				continue
			}
			if _, leading := s.Leadership(); !leading {
				continue
			}
			if _, err := s.Barrier(time.Second); err == nil {
				leads = s
				return true
			}
		}
		return false
	})
	return leads
}

// others gives the running nodes but one.
func (c *cluster) others(than *station) (others []*station) {
	for n := range journal.NodeID(MembersMax) {
		if s := c.nodes[n+1]; s != nil && s != than && s.Replica != nil {
			others = append(others, s)
		}
	}
	return others
}

// same waits until all running nodes have the same state.
func (c *cluster) same() {
	c.t.Helper()
	leader := c.leader()
	for _, s := range c.others(leader) {
		c.await(fmt.Sprintf("node %d has the state of node %d", s.cfg.Node, leader.cfg.Node), func() bool {
			return s.Stats().CommitIndex == leader.Stats().CommitIndex && digest(c.t, s.Replica) == digest(c.t, leader.Replica)
		})
	}
}

// has tells whether a node's state holds a customer.
func has(r *Replica, n uint64) (found bool) {
	r.View(func(m *journal.Machine) { _, found = m.CustomerByID(journal.CustomerID(n)) })
	return found
}

// acknowledge proposes a customer at whichever node leads until it is acknowledged.
func (c *cluster) acknowledge(n uint64) {
	c.t.Helper()
	c.await(fmt.Sprintf("customer %d is acknowledged", n), func() bool {
		outcome, err := c.leader().Propose(encode(c.t, customer(n))).Wait()
		return err == nil && (outcome.Results[0].Verdict == journal.Done || outcome.Results[0].Verdict == journal.Repeated)
	})
}

func short(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func wantError(t *testing.T, err, want error, says ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
		return
	}
	for _, text := range says {
		if !containsText(err.Error(), text) {
			t.Errorf("%q does not say %q", err, text)
		}
	}
}

// emptyLog removes the log of a closed replica.
func emptyLog(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{logName, snapshotsName} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}
