package bank

import (
	"fmt"
	"slices"

	"netbank/cluster/journal"
	"netbank/cluster/peer"
)

// roster is what a node knows of the others: who they are, and where. Before it has a journal it is what the founders' flags or the
// answer to its join said; afterwards what the journal says. A roster never changes.
type roster struct {
	Version uint64         `json:"version"` // of the journal's membership; 0: not from the journal
	Next    journal.NodeID `json:"next"`    // nodes from here on are not known yet
	Members []peer.Member  `json:"members"`
}

func (r *roster) find(node journal.NodeID) *peer.Member {
	for i := range r.Members {
		if r.Members[i].Node == node {
			return &r.Members[i]
		}
	}
	return nil
}

// admitted says whether a node with a good certificate is a member. One with a number that was not given yet when this roster was made has
// joined since: certificates are issued after the journal has the node. A coordinator that was off for long must let such a node in, or
// it could not learn from it when it leads.
func (r *roster) admitted(p peer.Peer) error {
	m := r.find(p.Node)
	if m == nil && p.Node >= r.Next || m != nil && m.Role == p.Role {
		return nil
	}
	return fmt.Errorf("%w (%s, a %s)", peer.ErrRemoved, p, p.Role)
}

func (r *roster) addressOf(node journal.NodeID) (string, error) {
	if m := r.find(node); m != nil && m.Addr != "" {
		return m.Addr, nil
	}
	return "", fmt.Errorf("bank: no address of %s is known here", peer.Name(node))
}

// coordinators lists the coordinators, first before the others.
func (r *roster) coordinators(first journal.NodeID) (all []peer.Member) {
	for _, m := range r.Members {
		switch {
		case m.Role != peer.Coordinator:
		case m.Node == first:
			all = slices.Insert(all, 0, m)
		default:
			all = append(all, m)
		}
	}
	return all
}

func (r *roster) numbers() (all []journal.NodeID) {
	for _, m := range r.Members {
		all = append(all, m.Node)
	}
	return all
}

// following gives the roster of a membership of the journal, and keeps who has a number that the journal has not given yet: the
// founders, until the first leader has recorded them.
func (r *roster) following(m *journal.Membership) *roster {
	next := &roster{Version: m.Version, Next: max(m.NextNode, 1)}
	for _, n := range m.Nodes {
		if n.Member() {
			next.Members = append(next.Members, peer.Member{Node: n.ID, Role: peer.Role(n.Role), Addr: n.Address})
		}
	}
	for _, old := range r.Members {
		if old.Node >= m.NextNode {
			next.Members = append(next.Members, old)
			next.Next = max(next.Next, old.Node+1)
		}
	}
	return next
}
