package system

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"netbank/frontend/ops"
)

// The authority of the nodes' certificates is rotated under load: no call is repeated, nobody loses the lead, and what each node has stored
// is good for its next start.
func TestNobodyNoticesARotationOfTheAuthority(t *testing.T) {
	c := newTrio(t, 2000)
	c.works("worker1")
	leader := c.leader()
	before := c.status(leader)
	l := c.startLoad(shoppers)
	c.progress(l, 20)
	var begun ops.Change
	if err := c.call(leader, http.MethodPost, "/api/v1/cluster/authority/rotate", ops.RotateRequest{Reason: "test"}, &begun); err != nil {
		t.Fatal(err)
	}
	c.await("the end of the rotation", func() bool {
		for _, n := range c.nodes {
			m, err := c.members(n)
			if err != nil || m.Authority == nil || m.Authority.Rotation != "" || m.Authority.Fingerprint == before.Cluster.Authority.Fingerprint {
				return false
			}
		}
		return true
	}, leader.process)
	c.progress(l, 20)
	if after := c.status(leader); l.repeated.Load() != 0 || l.failed.Load() != 0 || l.doubtful.Load() != 0 || after.Term != before.Term {
		t.Errorf("%d calls were repeated, %d failed, %d payments are in doubt; term %d became %d: %v", l.repeated.Load(), l.failed.Load(), l.doubtful.Load(), before.Term, after.Term, l.why)
	}
	c.works("worker2") // who joins now knows the new one
	for _, n := range c.nodes {
		n.kill()
		c.launch(n)
		c.awaitReady(n)
	}
	c.progress(l, 10)
	l.finish()
	c.bank = c.leader().process
	c.audit()
}

// A worker is away when a rotation begins, and the leader that began it dies. Nobody is locked out: the next leader waits for both.
func TestARotationWaitsForWhoIsAwayAndOutlivesItsLeader(t *testing.T) {
	c := newTrio(t, 500)
	w := c.works("worker1")
	away := c.number(w)
	w.kill()
	leader := c.leader()
	before := c.status(leader).Cluster.Authority.Fingerprint
	var begun ops.Change
	if err := c.call(leader, http.MethodPost, "/api/v1/cluster/authority/rotate", ops.RotateRequest{Reason: "test"}, &begun); err != nil {
		t.Fatal(err)
	}
	waits := func(n *coordinator, numbers ...uint32) {
		t.Helper()
		c.await("the leader to wait for those who are away", func() bool {
			m, err := c.members(n)
			return err == nil && m.Authority != nil && m.Authority.Rotation == ops.RotationTrust && m.Authority.Fingerprint == before && slices.Equal(m.Authority.Waiting, numbers)
		}, n.process)
	}
	waits(leader, away)
	number := c.number(leader)
	leader.kill()
	waits(c.leader(), number, away)
	for _, n := range []*coordinator{leader, w} {
		c.launch(n)
		c.awaitReady(n)
	}
	c.await("the end of the rotation", func() bool {
		for _, n := range c.nodes {
			m, err := c.members(n)
			if err != nil || m.Authority == nil || m.Authority.Rotation != "" || m.Authority.Fingerprint == before {
				return false
			}
		}
		return true
	}, w.process)
	w.kill()
	c.launch(w)
	c.awaitReady(w)
	l := c.startLoad(shoppers)
	c.progress(l, 10)
	l.finish()
	c.bank = c.leader().process
	c.audit()
}

// A worker without a data directory joins at each start, and leaves nothing behind.
func TestAWorkerNeedsNoDisk(t *testing.T) {
	c := newTrio(t, 1000)
	addr := append(ports(t, c.random, 3), "")
	w := c.add("memory", addr, "--role=worker", "--join-token-file", c.invite("memory", ops.RoleWorker, 2))
	w.data = ""
	c.launch(w)
	c.awaitReady(w)
	c.doors.Store(&[]*coordinator{w})
	first := c.number(w)
	l := c.startLoad(shoppers)
	c.progress(l, 10)
	w.kill()
	c.launch(w)
	c.awaitReady(w)
	second := c.number(w)
	c.progress(l, 10)
	l.finish()
	if first == second {
		t.Errorf("both lives have number %d", first)
	}
	c.await("the leader to tell its two lives apart", func() bool {
		m, err := c.members(c.leader())
		if err != nil {
			return false
		}
		ended, goesOn := m.Nodes[first-1], m.Nodes[second-1]
		return ended.State == ops.NodeDown && goesOn.State == ops.NodeUp && goesOn.Ready && goesOn.Core != nil && goesOn.Core.Reachable &&
			goesOn.Operator == "http://"+w.operator && goesOn.Version != ""
	}, w.process)
	// One that the cluster has given up says so.
	var done ops.Change
	if err := c.call(c.leader(), http.MethodPost, fmt.Sprintf("/api/v1/cluster/nodes/%d/remove", second), ops.NodeRequest{Reason: "test"}, &done); err != nil {
		t.Fatal(err)
	}
	c.await("the worker to say that it was removed", func() bool {
		s := c.status(w)
		return !s.Ready && strings.Contains(strings.Join(s.Advice, " "), "no member any more")
	}, w.process)
	if _, err := os.Stat(filepath.Join(c.dev.DataDir, "memory")); err == nil {
		t.Error("it has a directory after all")
	}
	c.bank = c.leader().process
	c.audit()
}

// A machine is replaced, and its disk goes on under another address; then that of the leader. Each time the others can do without one of them
// only if they reach it where it is now.
func TestACoordinatorComesBackAtAnotherAddress(t *testing.T) {
	c := newTrio(t, 1000)
	l := c.startLoad(shoppers)
	c.progress(l, 10)
	for _, n := range c.nodes[:2] {
		number := c.number(n)
		if code := n.stop(t); code != 0 {
			t.Fatalf("%s ended with %d\n%s", n.name, code, n.tail())
		}
		n.peer, n.args = ports(t, c.random, 1)[0], nil
		c.launch(n)
		c.awaitReady(n)
		c.await("the others to know where it is", func() bool {
			for _, other := range c.nodes {
				m, err := c.members(other)
				if err != nil || m.Nodes[number-1].Address != n.peer {
					return false
				}
			}
			return true
		}, n.process)
		other := c.nodes[2]
		other.kill()
		c.progress(l, 10)
		c.launch(other)
		c.awaitReady(other)
	}
	l.finish()
	c.bank = c.leader().process
	c.audit()
}

// status is what a node says of itself.
func (c *trio) status(n *coordinator) (s ops.Status) {
	c.t.Helper()
	if err := c.call(n, http.MethodGet, "/api/v1/status", nil, &s); err != nil {
		c.t.Fatal(err)
	}
	return s
}
