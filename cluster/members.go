package cluster

import (
	"netbank/cluster/journal"
	"netbank/cluster/replica"
)

// Replica gives this node's copy of the journal, for changes of the members. nil: it keeps none.
func (n *Node) Replica() *replica.Replica {
	r, _ := n.log.(*replica.Replica)
	return r
}

// Membership tells who belongs to the cluster, as this node's copy of the journal has it.
func (n *Node) Membership() (m *journal.Membership) {
	n.log.View(func(machine *journal.Machine) { m = machine.Membership() })
	return m
}

// Led reports whether a leader takes this node's calls: this node itself, or another one over the stream.
func (n *Node) Led() bool { return n.led() }
