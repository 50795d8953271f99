package system

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"netbank/cmd/internal/bank"
	"netbank/frontend/ops"
)

// Three coordinators found a cluster on three empty directories, with one key-encryption key between them. Their leaders are killed under
// load; set NETBANK_LEADER_KILLS for more than the normal run's three.
func TestNothingAcknowledgedIsLost_KillTheLeader(t *testing.T) {
	kills := times(t, "NETBANK_LEADER_KILLS", 3)
	c := newTrio(t, 4000)
	l := c.startLoad(shoppers)
	for range kills {
		c.bank = c.leader().process // whose end must not fail the waiting for progress
		leader := c.leader()
		c.progress(l, 20)
		<-time.After(time.Duration(c.random.IntN(400)) * time.Millisecond) // the random point
		leader.kill()
		c.progress(l, 20) // by those that are left
		c.launch(leader)
		c.awaitReady(leader)
	}
	c.progress(l, 20)
	l.finish()
	c.bank = c.leader().process
	report := c.audit()
	if report.Settled < 40*kills {
		t.Errorf("only %d payments were settled", report.Settled)
	}
}

// A fourth joins by a token and gets its vote; a dead one is removed and replaced; then all are restarted one after the other. Nobody
// who pays notices more than one repetition.
func TestNodesAreReplacedAndRestartedUnderLoad(t *testing.T) {
	c := newTrio(t, 4000)
	l := c.startLoad(shoppers)
	c.progress(l, 10)
	c.joins("joiner4")
	dead := c.nodes[0]
	if c.leader() == dead {
		dead = c.nodes[1]
	}
	number := c.number(dead)
	dead.kill()
	c.progress(l, 10)
	var done ops.Change
	if err := c.call(c.leader(), http.MethodPost, fmt.Sprintf("/api/v1/cluster/nodes/%d/remove", number), ops.NodeRequest{Reason: "its disk is gone"}, &done); err != nil {
		t.Fatal(err)
	}
	c.joins("joiner5")
	c.lock.Lock()
	c.nodes = slices.DeleteFunc(c.nodes, func(n *coordinator) bool { return n == dead })
	c.lock.Unlock()
	for _, n := range slices.Clone(c.nodes) {
		if code := n.stop(t); code != 0 {
			t.Errorf("%s ended with %d\n%s", n.name, code, n.tail())
		}
		c.progress(l, 5)
		c.launch(n)
		c.awaitReady(n)
	}
	c.progress(l, 20)
	l.finish()
	m, err := c.members(c.leader())
	if err != nil {
		t.Fatal(err)
	}
	if m.Voters != 4 || slices.ContainsFunc(m.Nodes, func(n ops.Node) bool { return n.Node == number }) {
		t.Errorf("%d voters of %+v", m.Voters, m.Nodes)
	}
	c.bank = c.leader().process
	c.audit()
	// A node that was removed stays out, whatever it remembers.
	c.launch(dead)
	c.await("the removed node to see that it is alone", func() bool { return !dead.ended() && c.answers("http://"+dead.operator+"/livez") })
	if c.answers("http://" + dead.operator + "/readyz") {
		t.Error("a removed node is ready")
	}
}

// A bank that has run as one node for a while goes on as the first of a cluster, with all that it knows.
func TestANodeAloneBecomesACluster(t *testing.T) {
	c := prepareTrio(t, 2000)
	addr := ports(t, c.random, 4)
	first := c.add("first", append(addr[:3:3], ""))
	c.open(first)
	l := c.startLoad(shoppers)
	c.progress(l, 10)
	if code := first.stop(t); code != 0 {
		t.Fatalf("it ended with %d\n%s", code, first.tail())
	}
	first.peer = addr[3]
	c.launch(first)
	c.awaitReady(first)
	c.joins("second")
	c.joins("third")
	c.progress(l, 10)
	first.kill()
	c.progress(l, 10)
	c.launch(first)
	c.awaitReady(first)
	l.finish()
	c.bank = c.leader().process
	c.audit()
	first.stop(t)
	first.peer = ""
	c.launch(first)
	if code := first.exit(t, upWait); code != bank.ExitUsage {
		t.Errorf("without --peer-addr a member of a cluster ended with %d\n%s", code, first.tail())
	}
}

// progress waits until so many more customers were told that they have paid, by whichever nodes there are.
func (c *trio) progress(l *load, n int64) {
	c.t.Helper()
	goal := l.settled.Load() + n
	c.await("progress of the load", func() bool { return l.settled.Load() >= goal }, c.core)
}
