package replica

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"netbank/cluster/journal"
)

// join makes a node a voter of the cluster.
func (c *cluster) join(node journal.NodeID) {
	c.t.Helper()
	c.prepare(node, Joining)
	c.open(node)
	if err := c.leader().AddNonvoter(c.t.Context(), node, addressOf(node)); err != nil {
		c.t.Fatal("add:", err)
	}
	if err := c.leader().Promote(c.t.Context(), node); err != nil {
		c.t.Fatal("promote:", err)
	}
}

func TestANodeJoinsWithoutAVoteAndIsPromotedWhenItHasCaughtUp(t *testing.T) {
	c := newTrio(t)
	s := c.prepare(4, Joining)
	c.open(4)
	wantError(t, s.Waiting(), ErrWaiting, addressOf(4))
	leader := c.leader()
	before := len(leader.Members())
	// Nobody takes it for a voter, or at all, before it is added.
	wantError(t, leader.Promote(t.Context(), 4), ErrNotMember, "node 4")
	for range 2 { // repeated, it changes nothing
		if err := leader.AddNonvoter(t.Context(), 4, addressOf(4)); err != nil {
			t.Fatal(err)
		}
		if m := findMember(leader.Members(), 4); m == nil || m.Voter || len(leader.Members()) != before+1 {
			t.Fatalf("%+v", leader.Members())
		}
	}
	for range 2 {
		if err := leader.Promote(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
		if m := findMember(leader.Members(), 4); !m.Voter || m.Matched == 0 || time.Since(m.Contact) > time.Second {
			t.Fatalf("%+v", m)
		}
	}
	if err := leader.AddNonvoter(t.Context(), 4, addressOf(4)); err != nil { // it has its vote still
		t.Fatal(err)
	}
	c.acknowledge(1)
	c.same()
	c.await("it knows that it is a member", func() bool { return s.Waiting() == nil && findMember(s.Members(), 4).Voter })
	for range 2 {
		if err := c.leader().Remove(t.Context(), 4, false); err != nil {
			t.Fatal(err)
		}
		if findMember(c.leader().Members(), 4) != nil {
			t.Fatal("node 4 is still a member")
		}
	}
	c.acknowledge(2)
	c.await("it knows that it was removed, or, as Raft says so once only, hears of no leader", func() bool {
		heard, _ := s.Leader()
		return errors.Is(s.Waiting(), ErrNotMember) || heard == 0
	})
}

func TestOnlyANodeThatIsAskedForAndEmptyIsAdded(t *testing.T) {
	c := newTrio(t)
	leader := c.leader()
	other := c.others(leader)[0].cfg.Node
	f := func(node journal.NodeID, address string, want error, says string) {
		t.Helper()
		before := leader.machine.members.Load().index
		wantError(t, leader.AddNonvoter(t.Context(), node, address), want, says)
		if after := leader.machine.members.Load().index; after != before {
			t.Errorf("the members were changed: %+v", leader.Members())
		}
	}
	c.prepare(4, Joining)
	c.open(4)
	c.prepare(5, Joining).cfg.Cluster = "other"
	c.open(5)
	c.prepare(6, Alone)
	c.open(6)
	c.prepare(7, Founding).cfg.Founders = []Founder{{7, addressOf(7)}, {8, addressOf(8)}, {9, addressOf(9)}}
	c.open(7)
	f(9, addressOf(9), ErrUnreachable, addressOf(9))
	f(9, addressOf(4), ErrOtherNode, "node 4")
	f(5, addressOf(5), ErrOtherCluster, `"other"`)
	f(6, addressOf(6), ErrMember, "journal of its own")
	f(7, addressOf(7), ErrMember, "found a cluster")
	f(other, addressOf(4), ErrMember, addressOf(other))
	wantError(t, c.nodes[other].AddNonvoter(t.Context(), 4, addressOf(4)), ErrNotLeader)
	wantError(t, c.nodes[other].Promote(t.Context(), 4), ErrNotLeader)
	wantError(t, c.nodes[other].Remove(t.Context(), 4, false), ErrNotLeader)
	wantError(t, c.nodes[other].TransferLeadership(t.Context(), 0), ErrNotLeader)
	// A member whose directory was lost in the meantime is told from itself.
	if err := leader.AddNonvoter(t.Context(), 4, addressOf(4)); err != nil {
		t.Fatal(err)
	}
	c.stop(4)
	if err := leader.AddNonvoter(t.Context(), 4, addressOf(4)); err != nil {
		t.Error("repeated while the node is down:", err)
	}
	c.lose(4)
	c.open(4)
	f(4, addressOf(4), ErrOtherDisk, "new number")
}

func TestADeadCoordinatorIsReplacedUnderANewNumber(t *testing.T) {
	c := newTrio(t)
	c.acknowledge(1)
	dead := c.others(c.leader())[0].cfg.Node
	c.stop(dead)
	if err := c.leader().Remove(t.Context(), dead, false); err != nil {
		t.Fatal(err)
	}
	c.join(4)
	c.acknowledge(2)
	c.same()
	// The new one counts: with one of the old ones down, the cluster goes on.
	c.stop(c.others(c.leader())[0].cfg.Node)
	c.acknowledge(3)
	// The dead one comes back from a drawer. It is in nobody's list, and disturbs nobody.
	delete(c.nodes, dead)
	if voters(c.leader().Members()) != 3 {
		t.Errorf("%+v", c.leader().Members())
	}
}

func TestRemoveRefusesToLoseTheMajority(t *testing.T) {
	c := newTrio(t)
	c.same()
	leader := c.leader()
	others := c.others(leader)
	if err := leader.Remove(t.Context(), leader.cfg.Node, true); err == nil || !containsText(err.Error(), "transfer the leadership") {
		t.Errorf("a leader that removes itself: %v", err)
	}
	down, up := others[0].cfg.Node, others[1].cfg.Node
	c.stop(down)
	c.await("the leader misses it", func() bool {
		return time.Since(findMember(leader.Members(), down).Contact) > quick.heartbeat
	})
	before := leader.machine.members.Load().index
	wantError(t, leader.Remove(t.Context(), up, false), ErrMajority, "nothing could be committed")
	if leader.machine.members.Load().index != before {
		t.Fatal("the members were changed")
	}
	c.acknowledge(1)
	// The one that is down may go, and then the other one may not be the next.
	if err := c.leader().Remove(t.Context(), down, false); err != nil {
		t.Fatal(err)
	}
	c.acknowledge(2)
	// Forced, Raft takes it; with the node alive, it commits.
	if err := c.leader().Remove(t.Context(), up, true); err != nil {
		t.Fatal(err)
	}
	if n := voters(leader.Members()); n != 1 {
		t.Fatalf("%d voters", n)
	}
	propose(t, leader.Replica, customer(3))
}

func TestAForcedRemovalThatLosesTheMajorityIsToldAsUnknown(t *testing.T) {
	c := newTrio(t)
	c.same()
	leader := c.leader()
	others := c.others(leader)
	c.stop(others[0].cfg.Node)
	wantError(t, leader.Remove(t.Context(), others[1].cfg.Node, true), ErrUnknown, "do it again")
	// The node that was down comes back, and all is decided one way or the other.
	c.open(others[0].cfg.Node)
	c.acknowledge(1)
}

func TestPromoteWaitsForANodeThatIsBehindAndSaysHowFar(t *testing.T) {
	c := newTrio(t)
	c.prepare(4, Joining)
	c.open(4)
	leader := c.leader()
	if err := leader.AddNonvoter(t.Context(), 4, addressOf(4)); err != nil {
		t.Fatal(err)
	}
	c.part(4)
	c.acknowledge(1)
	err := leader.Promote(short(t), 4)
	wantError(t, err, ErrBehind, "node 4", "do it again")
	wantError(t, err, context.DeadlineExceeded)
	if findMember(leader.Members(), 4).Voter {
		t.Fatal("it was promoted")
	}
	promoted := make(chan error, 1)
	go func() { promoted <- leader.Promote(t.Context(), 4) }()
	c.heal()
	if err := <-promoted; err != nil {
		t.Fatal(err)
	}
	if matched := findMember(leader.Members(), 4).Matched; matched == 0 {
		t.Error("promoted without knowing its log")
	}
}

func TestEverythingIsBounded_VotersAndMembers(t *testing.T) {
	c := newTrio(t)
	c.join(4)
	c.join(5)
	c.prepare(6, Joining)
	c.open(6)
	if err := c.leader().AddNonvoter(t.Context(), 6, addressOf(6)); err != nil {
		t.Fatal(err)
	}
	wantError(t, c.leader().Promote(t.Context(), 6), ErrTooMany, "5 voters")
	leader := c.leader()
	for n := len(leader.Members()); n < MembersMax; n++ { // members that do not exist
		if err := leader.raft.AddNonvoter(serverID(journal.NodeID(100+n)), raft.ServerAddress(addressOf(journal.NodeID(100+n))), 0, time.Second).Error(); err != nil {
			t.Fatal(err)
		}
	}
	c.prepare(7, Joining)
	c.open(7)
	wantError(t, leader.AddNonvoter(t.Context(), 7, addressOf(7)), ErrTooMany, "16 members")
}

func TestLeadershipGoesToTheVoterThatIsNamedOrHasComeFarthest(t *testing.T) {
	c := newTrio(t)
	c.same()
	for range 3 {
		leader := c.leader()
		term, _ := leader.Leadership()
		to := c.others(leader)[1].cfg.Node
		if err := leader.TransferLeadership(t.Context(), to); err != nil {
			t.Fatal(err)
		}
		if node, now := leader.Leader(); node != to || now <= term {
			t.Fatalf("node %d leads in term %d, want node %d after term %d", node, now, to, term)
		}
	}
	leader := c.leader()
	others := c.others(leader)
	c.part(others[0].cfg.Node)
	c.acknowledge(1)
	c.await("the leader misses it", func() bool {
		return time.Since(findMember(leader.Members(), others[0].cfg.Node).Contact) > quick.heartbeat
	})
	wantError(t, leader.TransferLeadership(t.Context(), others[0].cfg.Node), ErrUnreachable)
	wantError(t, leader.TransferLeadership(t.Context(), 9), ErrNotMember)
	wantError(t, leader.TransferLeadership(t.Context(), leader.cfg.Node), ErrMember)
	propose(t, leader.Replica, customer(2)) // a transfer that failed holds nothing up
	if err := leader.TransferLeadership(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if node, _ := leader.Leader(); node != others[1].cfg.Node {
		t.Errorf("node %d leads", node)
	}
	c.part(others[1].cfg.Node)
	c.part(leader.cfg.Node)
	c.await("nobody leads", func() bool {
		_, leading := others[1].Leadership()
		return !leading
	})
	c.heal()
	c.acknowledge(3)
	c.same()
}

// proposers propose at whichever node leads, and repeat what was certainly refused. They give the numbers of entries that
// were acknowledged, and of those whose fate they never learnt.
func (c *cluster) proposers(stop <-chan struct{}, first uint64) (acknowledged, unknown []uint64) {
	var mu sync.Mutex
	var group sync.WaitGroup
	for lane := range uint64(2) {
		group.Go(func() {
			for n := first + lane; ; n += 2 {
				err := c.proposeUntilTaken(stop, n)
				mu.Lock()
				switch {
				case err == nil:
					acknowledged = append(acknowledged, n)
				case errors.Is(err, ErrUnknown):
					unknown = append(unknown, n)
				}
				mu.Unlock()
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	group.Wait()
	return acknowledged, unknown
}

func (c *cluster) proposeUntilTaken(stop <-chan struct{}, n uint64) error {
	for {
		for _, s := range c.running() {
			if _, leading := s.Leadership(); !leading {
				continue
			}
			_, err := s.Propose(encode(c.t, customer(n))).Wait()
			if err == nil || errors.Is(err, ErrUnknown) {
				return err
			}
		}
		select {
		case <-stop:
			return ErrNotLeader
		case <-time.After(time.Millisecond):
		}
	}
}

// Every node is restarted once under load, the leader after it has handed over. A proposer never has to wonder.
func TestARollingRestartLeavesNoEntryUnknown(t *testing.T) {
	c := newTrio(t)
	stop := make(chan struct{})
	var acknowledged, unknown []uint64
	var load sync.WaitGroup
	load.Go(func() { acknowledged, unknown = c.proposers(stop, 1) })
	for node := range journal.NodeID(3) {
		s := c.nodes[node+1]
		leader := c.leader()
		if leader == s {
			if err := leader.TransferLeadership(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
		}
		c.stop(node + 1)
		c.open(node + 1)
		c.await("the node has caught up", func() bool {
			leader := c.leader()
			m := findMember(leader.Members(), node+1)
			return leader.cfg.Node == node+1 || m.Matched > 0 && m.Matched+10 > leader.Stats().CommitIndex
		})
	}
	close(stop)
	load.Wait()
	if len(unknown) > 0 {
		t.Errorf("%d of %d entries are unknown: %v", len(unknown), len(acknowledged), unknown)
	}
	t.Logf("%d entries were acknowledged", len(acknowledged))
	c.same()
	for _, n := range acknowledged {
		if !has(c.leader().Replica, n) {
			t.Errorf("customer %d was acknowledged and is lost", n)
		}
	}
}
