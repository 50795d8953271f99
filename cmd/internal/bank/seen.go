package bank

import (
	"sync"
	"time"

	"netbank/cluster"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// How long the leader waits for workers that are away, before their numbers are taken from the journal. It counts what it has seen itself:
// a new leader begins anew.
const (
	// WorkerForgottenAfter is how long a worker may be away. Then it joins again, with a token and an empty data directory.
	WorkerForgottenAfter = 72 * time.Hour
	// MemoryWorkerForgottenAfter is the same for a worker without a data directory, whose number ends with its process.
	MemoryWorkerForgottenAfter = 15 * time.Minute
)

// seen remembers since when which node answers or does not, as long as this one leads.
type seen struct {
	sync.Mutex
	term  uint64
	from  time.Time // the beginning of the leadership, as far as it was looked at
	nodes map[journal.NodeID]hearing
}

type hearing struct {
	up     bool
	since  time.Time
	memory bool // its identity ends with its process
	ended  bool // it has said that it is being stopped
}

// look takes up who answers: coordinators to Raft, and workers by their streams.
func (s *seen) look(n *cluster.Node, m *journal.Membership) {
	term, leading := n.Replica().Leadership()
	s.Lock()
	defer s.Unlock()
	if !leading || term != s.term {
		s.term, s.from, s.nodes = term, time.Now(), make(map[journal.NodeID]hearing)
	}
	if !leading {
		return
	}
	now := time.Now()
	for _, r := range n.Replica().Members() {
		s.note(r.Node, now, r.Self || !r.Contact.IsZero() && now.Sub(r.Contact) < HeardWithin, r.Contact)
	}
	streams := make(map[journal.NodeID]bool)
	for _, f := range n.Followers() {
		streams[f.Node] = f.Up
	}
	for i := range m.Nodes {
		if w := &m.Nodes[i]; w.Member() && w.Role == journal.RoleWorker {
			s.note(w.ID, now, streams[w.ID], time.Time{})
		}
	}
}

// note keeps what is seen of a node. contact is when it was heard last; zero: not known.
func (s *seen) note(node journal.NodeID, now time.Time, up bool, contact time.Time) {
	old, known := s.nodes[node]
	if !up && now.Sub(s.from) < HeardWithin || known && old.up == up {
		return // in the first case it has not had the time to answer to this leader
	}
	next := hearing{up: up, since: now, memory: old.memory, ended: old.ended && !up}
	if !up && !contact.IsZero() {
		next.since = contact
	}
	s.nodes[node] = next
}

func (s *seen) of(node journal.NodeID) (hearing, bool) {
	s.Lock()
	defer s.Unlock()
	h, ok := s.nodes[node]
	return h, ok
}

// remember keeps which nodes have their identities in memory, since one that is gone cannot say so any more.
func (s *seen) remember(all map[journal.NodeID]about) {
	s.Lock()
	defer s.Unlock()
	for node, a := range all {
		if h, ok := s.nodes[node]; ok {
			h.memory, h.ended = a.Memory, a.Ending
			s.nodes[node] = h
		}
	}
}

// overdue says whether a worker has been away for so long that it is not waited for any more. most is Lab.WorkerAway.
func (h hearing) overdue(now time.Time, most time.Duration) bool {
	limit := WorkerForgottenAfter
	switch {
	case h.memory && h.ended:
		limit = HeardWithin // nothing is left of it
	case most > 0:
		limit = most
	case h.memory:
		limit = MemoryWorkerForgottenAfter
	}
	return !h.up && now.Sub(h.since) >= limit
}

// forget takes workers out of the membership that will not come back: their numbers would stay in the journal for ever.
func (p *peers) forget(m *journal.Membership) error {
	p.seen.remember(p.followers())
	for i := range m.Nodes {
		n := &m.Nodes[i]
		if !n.Member() || n.Role != journal.RoleWorker {
			continue
		}
		h, ok := p.seen.of(n.ID)
		if !ok || !h.overdue(time.Now(), p.config.Lab.WorkerAway) {
			continue
		}
		remove := &command.RemoveNode{Node: uint32(n.ID)}
		if err := p.must(&journal.Command{Body: &command.Command_RemoveNode{RemoveNode: remove}}); err != nil {
			return err
		}
		p.port.Disconnect(n.ID)
		p.logger.Info("a worker has been away for so long that its number is given up", "node", n.ID, "since", h.since, "memory", h.memory)
	}
	return nil
}
