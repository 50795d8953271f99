package replica

import (
	"testing"

	"netbank/cluster/journal"
)

// A cluster of which no disk is left: its backup, which a follower wrote, becomes a node alone, and the others join that one empty.
func TestRule5_AClusterIsFoundedAnewFromABackup(t *testing.T) {
	old := newTrio(t)
	leader := old.leader()
	propose(t, leader.Replica, customer(1), create(1), create(2), cancel(2))
	old.same()
	follower := old.others(leader)[0]
	backup := take(t, follower.Replica)
	for node := range old.nodes {
		old.stop(node)
	}

	c := newCluster(t, 0)
	first := c.prepare(7, Alone)
	cfg := restoring(t, backup)
	cfg.Dir, cfg.Node = first.cfg.Dir, 7
	restored, err := Restore(cfg)
	if err != nil || restored.Header.Node != follower.cfg.Node || restored.Cluster != "test" {
		t.Fatalf("%+v, %v", restored, err)
	}
	c.open(7)
	lead(t, c.nodes[7].Replica)
	for _, node := range []journal.NodeID{8, 9} {
		c.join(node)
	}
	c.acknowledge(2)
	c.same()
	for node := range c.nodes {
		c.nodes[node].View(func(m *journal.Machine) {
			counts := m.Counts()
			if counts.ReferenceEpoch != 1 || counts.References != restored.ReferencesAbove || counts.Customers != 2 || counts.Open != 0 {
				t.Errorf("node %d: %+v", node, counts)
			}
		})
	}
	// It stands without the node that was restored.
	c.stop(7)
	c.acknowledge(3)
	// A node of the old cluster has another disk than any member, and is not heard.
	if members := c.leader().Members(); len(members) != 3 {
		t.Errorf("%+v", members)
	}
}
