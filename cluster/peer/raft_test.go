package peer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"netbank/cluster/journal"
)

func closeTransport(t testing.TB, transport raft.Transport) {
	t.Helper()
	if err := transport.(raft.WithClose).Close(); err != nil {
		t.Error(err)
	}
}

// book is a state machine that remembers what was applied.
type book struct {
	mu      sync.Mutex
	applied []string
}

func (b *book) Apply(l *raft.Log) any {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.applied = append(b.applied, string(l.Data))
	return nil
}

func (b *book) has(text string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.applied {
		if a == text {
			return true
		}
	}
	return false
}

func (b *book) Snapshot() (raft.FSMSnapshot, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return page(fmt.Sprint(b.applied)), nil
}

func (b *book) Restore(from io.ReadCloser) error {
	text, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.applied = nil
	for _, word := range bytes.Fields(bytes.Trim(text, "[]")) {
		b.applied = append(b.applied, string(word))
	}
	return nil
}

type page string

func (p page) Persist(to raft.SnapshotSink) error {
	if _, err := io.WriteString(to, string(p)); err != nil {
		return errors.Join(err, to.Cancel())
	}
	return to.Close()
}

func (page) Release() {}

// voter is a Raft node in memory over a real port.
type voter struct {
	node      journal.NodeID
	port      *Port
	cfg       Config
	raft      *raft.Raft
	book      *book
	store     *raft.InmemStore
	snapshots raft.SnapshotStore
	running   bool
}

func (v *voter) start(t *testing.T) {
	t.Helper()
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(Name(v.node))
	conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = 150*time.Millisecond, 150*time.Millisecond, 100*time.Millisecond
	conf.CommitTimeout = 5 * time.Millisecond
	conf.Logger = hclog.NewNullLogger()
	conf.TrailingLogs = 4
	transport, err := v.port.RaftTransport(RaftConfig{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := transport.(raft.WithPreVote); !ok {
		t.Fatal("the transport carries no pre-votes")
	}
	v.book = &book{}
	if v.raft, err = raft.NewRaft(conf, v.book, v.store, v.store, v.snapshots, transport); err != nil {
		t.Fatal(err)
	}
	v.running = true
}

func (v *voter) stop(t *testing.T) {
	t.Helper()
	if !v.running {
		return
	}
	v.running = false
	if err := v.raft.Shutdown().Error(); err != nil { // closes the transport
		t.Error(err)
	}
}

func newVoters(t *testing.T, r *rig) []*voter {
	t.Helper()
	var voters []*voter
	var servers []raft.Server
	for node := journal.NodeID(1); node <= 3; node++ {
		v := &voter{node: node, cfg: r.config(node, Coordinator), store: raft.NewInmemStore(), snapshots: raft.NewInmemSnapshotStore()}
		v.port = r.listen(node, v.cfg)
		voters = append(voters, v)
		servers = append(servers, raft.Server{ID: raft.ServerID(Name(node)), Address: raft.ServerAddress(Name(node))})
		t.Cleanup(func() { v.stop(t) })
	}
	for _, v := range voters {
		v.start(t)
	}
	if err := voters[0].raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		t.Fatal(err)
	}
	return voters
}

// leader waits until one of the voters leads and has applied an entry.
func leader(t *testing.T, voters []*voter, entry string) *voter {
	t.Helper()
	var found *voter
	eventually(t, "a leader applies "+entry, func() bool {
		for _, v := range voters {
			if v.running && v.raft.State() == raft.Leader && v.raft.Apply([]byte(entry), time.Second).Error() == nil {
				found = v
				return true
			}
		}
		return false
	})
	return found
}

func everywhere(t *testing.T, voters []*voter, entry string) {
	t.Helper()
	for _, v := range voters {
		if v.running {
			eventually(t, Name(v.node)+" applies "+entry, func() bool { return v.book.has(entry) })
		}
	}
}

func TestRaftElectsAppliesAndElectsAgainWhenTheLeaderIsLost(t *testing.T) {
	r := newRig(t)
	voters := newVoters(t, r)
	first := leader(t, voters, "one")
	everywhere(t, voters, "one")
	if addr, id := first.raft.LeaderWithID(); string(addr) != Name(first.node) || string(id) != Name(first.node) {
		t.Fatalf("the leader is known as %s at %s, want its name", id, addr)
	}
	// As with a killed process: its connections end, and nobody answers at its address.
	first.port.Close()
	second := leader(t, voters, "two")
	if second == first {
		// It led on paper only: without its port it cannot have committed.
		t.Fatal("the cut-off leader committed alone")
	}
	first.stop(t)
	everywhere(t, voters, "two")

	// It comes back at another address, with what it had; Raft's configuration knows only its name.
	first.cfg.Registerer = nil
	first.port = r.listen(first.node, first.cfg)
	first.start(t)
	leader(t, voters, "three")
	everywhere(t, voters, "three")
}

func TestRaftInstallsASnapshotThroughThePort(t *testing.T) {
	r := newRig(t)
	voters := newVoters(t, r)
	first := leader(t, voters, "begin")
	lagging := voters[first.node%3]
	lagging.stop(t)
	for i := range 40 {
		if err := first.raft.Apply(fmt.Appendf(nil, "entry-%d", i), 5*time.Second).Error(); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	// An empty disk: only the snapshot can bring back what the log no longer holds.
	lagging.store, lagging.snapshots = raft.NewInmemStore(), raft.NewInmemSnapshotStore()
	lagging.start(t)
	everywhere(t, voters, "entry-0")
	everywhere(t, voters, "entry-39")
}

func TestRaftGoesOnWhileTheAuthorityIsRotated(t *testing.T) {
	r := newRig(t)
	voters := newVoters(t, r)
	before := leader(t, voters, "before")
	term := before.raft.CurrentTerm()
	first, second := r.authority, must(NewAuthority("main", r.clock()))
	for _, v := range voters {
		if _, err := v.port.Trust(first.Certificate(), second.Certificate()); err != nil {
			t.Fatal(err)
		}
	}
	r.mu.Lock()
	r.authority, r.authorities = second, [][]byte{first.Certificate(), second.Certificate()}
	r.mu.Unlock()
	for _, v := range voters {
		if err := v.port.Renew(t.Context(), v.node%3+1, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range voters {
		if _, err := v.port.Trust(second.Certificate()); err != nil {
			t.Fatal(err)
		}
	}
	leader(t, voters, "after")
	everywhere(t, voters, "after")
	if now := before.raft.CurrentTerm(); now != term {
		t.Logf("the term went from %d to %d", term, now) // a busy machine may lose a heartbeat; no reason to fail
	}
	// New connections are of the new authority alone.
	first2 := leader(t, voters, "more")
	first2.stop(t)
	leader(t, voters, "last")
	everywhere(t, voters, "last")
}

func TestRaftHasAPortForItself(t *testing.T) {
	r := newRig(t)
	p := r.port(1, Coordinator)
	transport := must(p.RaftTransport(RaftConfig{}))
	if _, err := p.RaftTransport(RaftConfig{}); err == nil {
		t.Fatal("two transports share a port")
	}
	if got := transport.LocalAddr(); got != "node-1" {
		t.Fatalf("LocalAddr = %s", got)
	}
	two := r.port(2, Coordinator)
	c := r.dial(two, 1, ALPNRaft)
	closeTransport(t, transport)
	ended(t, c)
	r.refuses(two, 1, ALPNRaft, ErrUnavailable)
	says(t, r.dial(two, 1, ALPNStream), "the port is open")
	closeTransport(t, must(p.RaftTransport(RaftConfig{})))
	layer := p.raft.Load()
	if _, err := layer.Dial("node-2", time.Second); !errors.Is(err, ErrClosed) {
		t.Fatalf("a closed transport's Dial = %v", err)
	}
	if _, err := layer.Dial("10.0.0.1:80", time.Second); err == nil {
		t.Fatal("an address was dialled that is no node's name")
	}
}
