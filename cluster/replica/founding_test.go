package replica

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"netbank/cluster/journal"
)

func TestFoundersMakeOneClusterOnceAllOfThemAreThere(t *testing.T) {
	c := newCluster(t, 3)
	c.open(1)
	c.open(2)
	c.await("node 1 misses node 3", func() bool {
		err := c.nodes[1].Waiting()
		return errors.Is(err, ErrUnreachable) && containsText(err.Error(), "node 3 at "+addressOf(3))
	})
	if n := c.nodes[1].Stats().LastIndex; n != 0 {
		t.Fatalf("node 1 founded without node 3: %d entries", n)
	}
	c.open(3)
	term := lead(t, c.leader().Replica)
	c.acknowledge(1)
	c.same()
	for node, s := range c.nodes {
		c.await("it is a member", func() bool { return s.Waiting() == nil })
		members := s.Members()
		if len(members) != 3 || voters(members) != 3 || members[0].Address != addressOf(1) || members[0].Disk == "" || !findMember(members, node).Self {
			t.Errorf("node %d: %+v", node, members)
		}
	}
	// Founders with a log never found again.
	for node := range c.nodes {
		c.stop(node)
	}
	for node := range c.nodes {
		c.open(node)
	}
	if again := lead(t, c.leader().Replica); again <= term {
		t.Errorf("term %d after %d", again, term)
	}
	c.same()
	if !has(c.leader().Replica, 1) {
		t.Error("customer 1 is lost")
	}
}

func TestNoTwoClustersAreFounded_FoundersThatDisagree(t *testing.T) {
	c := newCluster(t, 3)
	c.nodes[3].cfg.Founders = []Founder{{2, addressOf(2)}, {3, addressOf(3)}, {4, addressOf(4)}}
	for node := range c.nodes {
		c.open(node)
	}
	for node, other := range map[journal.NodeID]string{1: "node 3", 2: "node 3"} {
		c.await("it sees that the lists differ", func() bool {
			err := c.nodes[node].Waiting()
			return errors.Is(err, ErrWaiting) && containsText(err.Error(), "other founders") && containsText(err.Error(), other)
		})
	}
	for node, s := range c.nodes {
		if s.Stats().LastIndex != 0 {
			t.Errorf("node %d has a journal", node)
		}
	}
}

// Each of these has lost its directory and is started as on the first day.
func TestNoTwoClustersAreFounded_AFounderWhoseDirectoryWasLostStaysOut(t *testing.T) {
	f := func(lost ...journal.NodeID) {
		t.Helper()
		c := newTrio(t)
		c.acknowledge(1)
		c.same()
		for _, node := range lost {
			c.stop(node)
			c.lose(node)
		}
		for _, node := range lost {
			c.open(node)
		}
		for _, node := range lost {
			c.await("it has met the cluster", func() bool { return errors.Is(c.nodes[node].Waiting(), ErrFounded) })
			wantError(t, c.nodes[node].Waiting(), ErrFounded, "new number")
			if n := c.nodes[node].Stats().LastIndex; n != 0 {
				t.Errorf("node %d, whose directory was lost, has %d entries", node, n)
			}
		}
		if len(lost) == 1 { // the other two go on
			c.acknowledge(2)
			return
		}
		// The one that is left acknowledges nothing.
		for _, s := range c.others(nil) {
			if _, err := s.Propose(encode(t, customer(3))).Wait(); err == nil {
				t.Errorf("node %d acknowledged an entry without a majority", s.cfg.Node)
			}
		}
	}
	f(1)
	f(3)
	f(1, 2)
	f(2, 3)
}

// An entry is on nodes 1 and 2. Node 1 is down, node 2 has lost its directory: node 3 must not lead without the entry,
// whatever node 2 says it is.
func TestNothingAcknowledgedIsLost_ANodeWhoseDirectoryWasLostDoesNotVote(t *testing.T) {
	f := func(beginning Beginning) {
		t.Helper()
		c := newTrio(t)
		c.same()
		if leader := c.leader(); leader.cfg.Node == 3 {
			if err := leader.TransferLeadership(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
		c.part(3)
		c.acknowledge(1)
		c.stop(1)
		c.stop(2)
		c.lose(2)
		c.nodes[2].cfg.Beginning = beginning
		if beginning != Founding {
			c.nodes[2].cfg.Founders = nil
		}
		c.open(2)
		c.heal()
		asked := c.nodes[3].log
		c.await("node 3 has asked for node 2's vote", func() bool { return contains(asked, "another data directory") })
		if _, leading := c.nodes[3].Leadership(); leading {
			t.Errorf("%v: node 3 leads", beginning)
		}
		c.open(1)
		// Node 2 leads nobody but itself, if it was told to be alone.
		c.await("nodes 1 and 3 agree", func() bool {
			leader, _ := c.nodes[3].Leader()
			return leader == 1 && has(c.nodes[3].Replica, 1)
		})
		if len(c.nodes[2].Members()) > 1 {
			t.Errorf("%v: node 2 takes part: %+v", beginning, c.nodes[2].Members())
		}
	}
	f(Founding)
	f(Joining)
	f(Alone)
}

func TestFoundingIsFinishedAfterACrashBetweenTermAndFirstEntry(t *testing.T) {
	c := newCluster(t, 3)
	c.open(1)
	c.stop(1)
	log := openTestLog(t, c.nodes[1].cfg.Dir)
	if err := log.SetUint64(keyCurrentTerm, 1); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	for node := range c.nodes {
		c.open(node)
	}
	c.acknowledge(1)
	c.same()
}

func TestAMemberWhoseLogWasDeletedIsRefused(t *testing.T) {
	c := newTrio(t)
	c.same()
	for node := range c.nodes {
		c.await("its directory is marked", func() bool {
			text, err := os.ReadFile(filepath.Join(c.nodes[node].cfg.Dir, versionName))
			return err == nil && containsText(string(text), "member")
		})
		c.stop(node)
		emptyLog(t, c.nodes[node].cfg.Dir)
		_, err := c.tryOpen(node)
		wantError(t, err, ErrDamaged, "new number")
	}
}

func TestADataDirectoryRemembersItsCluster(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	cfg.Cluster = "one"
	if err := start(t, cfg).Close(); err != nil {
		t.Fatal(err)
	}
	f := func(cluster string, want error) {
		t.Helper()
		cfg.Cluster, cfg.Transport = cluster, nil
		r, err := open(cfg, small)
		if err == nil {
			err = r.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("cluster %q: %v, want %v", cluster, err, want)
		}
	}
	f("one", nil)
	f("two", ErrOtherCluster)
	f("", ErrOtherCluster)
	f("one", nil)
}

func TestADirectoryOfANodeAloneBecomesTheFirstOfACluster(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	r := start(t, cfg)
	propose(t, r, partner(), customer(1))
	if err := r.AddNonvoter(t.Context(), 2, "node-2"); err == nil || !containsText(err.Error(), "Config.Cluster") {
		t.Errorf("without a cluster id: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, 0)
	for _, beginning := range []Beginning{Joining, Alone} {
		s := c.prepare(1, beginning)
		s.cfg.Dir = cfg.Dir
		if beginning == Joining {
			_, err := c.tryOpen(1)
			wantError(t, err, ErrOtherCluster, "node alone")
		}
	}
	c.open(1)
	lead(t, c.nodes[1].Replica)
	c.prepare(2, Joining)
	c.open(2)
	leader := c.leader()
	if err := leader.AddNonvoter(t.Context(), 2, addressOf(2)); err != nil {
		t.Fatal(err)
	}
	if err := leader.Promote(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	// The node that was alone is known to the other by its address, and follows it.
	if err := leader.TransferLeadership(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	c.acknowledge(2)
	c.same()
	if !has(c.nodes[2].Replica, 1) {
		t.Error("what the node had when it was alone is lost")
	}
}

func TestAConfigThatNamesAClusterWronglyIsRefused(t *testing.T) {
	f := func(says string, change func(*Config)) {
		t.Helper()
		cfg, _ := testConfig(t, t.TempDir())
		_, transport := raft.NewInmemTransport("a:1")
		cfg.Cluster, cfg.Beginning, cfg.Transport = "one", Founding, transport
		cfg.Founders = []Founder{{1, "a:1"}, {2, "b:1"}, {3, "c:1"}}
		change(&cfg)
		r, err := Open(cfg)
		if err == nil {
			r.Close()
			t.Errorf("opened, and should have said %q", says)
			return
		}
		if !containsText(err.Error(), says) || containsText(err.Error(), "\n") {
			t.Errorf("%q does not say %q in one line", err, says)
		}
	}
	f("it is Alone, Founding or Joining", func(c *Config) { c.Beginning = 3 })
	f("Cluster is empty", func(c *Config) { c.Cluster = "" })
	f("an id has 1 to 64", func(c *Config) { c.Cluster = "two words" })
	f("needs a transport", func(c *Config) { c.Transport = nil })
	f("leave the founders out", func(c *Config) { c.Beginning = Joining })
	f("an even number", func(c *Config) { c.Founders = c.Founders[:2] })
	f("numbered from 1", func(c *Config) { c.Founders[2].Node = 0 })
	f("names node 2 twice", func(c *Config) { c.Founders[2].Node = 2 })
	f("names the address b:1 twice", func(c *Config) { c.Founders[2].Address = "b:1" })
	f("does not name this node", func(c *Config) { c.Node = 4 })
	f("is at a:1", func(c *Config) { c.Founders[0].Address = "a:2" })
	f("0 bytes", func(c *Config) { c.Founders[1].Address = "" })
	f("holds '#'", func(c *Config) { c.Founders[1].Address = "b#1" })
	f("pre-votes", func(c *Config) { c.Transport = struct{ raft.Transport }{c.Transport} })
}

// The same over TCP: hellos and addresses pass through Raft's own encoding.
func TestFoundersMakeOneClusterOverTCP(t *testing.T) {
	c := newCluster(t, 3)
	transports := make(map[journal.NodeID]*raft.NetworkTransport)
	for i := range c.founders {
		transport, err := raft.NewTCPTransportWithConfig("127.0.0.1:0", nil, &raft.NetworkTransportConfig{MaxPool: 3, MaxRPCsInFlight: 1, Timeout: time.Second, Logger: newRaftLogger(testLogger(), "net")})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(transport.CloseStreams) // closing the transport leaves its connections
		c.founders[i].Address = string(transport.LocalAddr())
		transports[c.founders[i].Node] = transport
	}
	for node, s := range c.nodes {
		s.cfg.Founders, s.cfg.Transport = slices.Clone(c.founders), transports[node]
		r, err := open(s.cfg, s.seam)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		s.Replica, s.wire = r, &wire{}
		t.Cleanup(func() { s.Replica = nil })
	}
	c.acknowledge(1)
	c.same()
	// A message for another disk is refused here too, and the connection goes on.
	leader := c.leader()
	other := c.others(leader)[0]
	address := findMember(leader.Members(), other.cfg.Node).Address
	var resp raft.InstallSnapshotResponse
	err := leader.link.InstallSnapshot(serverID(other.cfg.Node), withDisk(address, "0123456789abcdef"), &raft.InstallSnapshotRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: 3, Addr: []byte("x")}, Size: 5}, &resp, strings.NewReader("12345"))
	if err == nil || !containsText(err.Error(), "new number") {
		t.Errorf("%v", err)
	}
	leader.link.mu.Lock()
	delete(leader.link.peers, serverID(other.cfg.Node))
	leader.link.mu.Unlock()
	c.acknowledge(2)
	c.same()
}
