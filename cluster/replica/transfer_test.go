package replica

import (
	"context"
	"errors"
	"testing"

	"github.com/hashicorp/raft"
)

// stuck is a cluster of five whose leader has an entry that only one other node has got: it is not committed, and that node would
// win an election without the others.
type stuck struct {
	*cluster
	leader, heir *station
	term         uint64
	entry        Future
	release      func()
}

func newStuck(t *testing.T) *stuck {
	c := newCluster(t, 5)
	for node := range c.nodes {
		c.open(node)
	}
	propose(t, c.leader().Replica, partner())
	c.same()
	s := &stuck{cluster: c, leader: c.leader()}
	s.heir = c.others(s.leader)[0]
	s.term, _ = s.leader.Leadership()
	gate := make(chan struct{})
	s.release = func() { close(gate) }
	hold := func(to raft.ServerID) {
		if to != serverID(s.heir.cfg.Node) {
			<-gate
		}
	}
	s.leader.wire.entries.Store(&hold)
	t.Cleanup(func() {
		select {
		case <-gate:
		default: // the test has failed
			close(gate)
		}
	})
	s.entry = s.leader.Propose(encode(t, customer(1)))
	c.await("the heir has the entry", func() bool {
		return s.heir.Stats().LastIndex == s.leader.Stats().LastIndex && s.leader.Stats().LastIndex > s.leader.Stats().CommitIndex
	})
	return s
}

// transfer begins to hand over, and returns when that waits for the entry.
func (s *stuck) transfer(ctx context.Context) <-chan error {
	s.t.Helper()
	over := make(chan error, 1)
	go func() { over <- s.leader.TransferLeadership(ctx, s.heir.cfg.Node) }()
	s.await("the transfer waits for the entry under way", func() bool {
		select {
		case err := <-over:
			s.t.Fatalf("the transfer did not wait for the entry under way: %v", err)
		default:
		}
		p := s.leader.proposer
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.idle != nil
	})
	return over
}

// An entry that is appended and not committed when the leadership moves is committed by the next leader or by nobody: its
// proposer is told ErrUnknown. So a transfer waits for it.
func TestNoEntryIsUnknownBecauseOfATransfer(t *testing.T) {
	s := newStuck(t)
	over := s.transfer(t.Context())
	// Who comes now is refused for certain, and at once.
	_, err := s.leader.Propose(encode(t, customer(2))).Wait()
	wantError(t, err, ErrNotLeader, "handing the leadership over")
	if errors.Is(err, ErrUnknown) {
		t.Error("it is not certain")
	}
	if term, leading := s.leader.Leadership(); !leading || term != s.term {
		t.Error("the leadership has moved while an entry was under way")
	}
	s.release()
	if _, err := s.entry.Wait(); err != nil {
		t.Errorf("the entry under way: %v", err)
	}
	if err := <-over; err != nil {
		t.Fatal("transfer:", err)
	}
	if node, term := s.leader.Leader(); node != s.heir.cfg.Node || term <= s.term {
		t.Errorf("node %d leads in term %d", node, term)
	}
	s.acknowledge(3)
	s.same()
	for _, r := range s.others(nil) {
		for customer, want := range map[uint64]bool{1: true, 2: false, 3: true} {
			if has(r.Replica, customer) != want {
				t.Errorf("node %d has customer %d: %t", r.cfg.Node, customer, !want)
			}
		}
	}
}

// A transfer that cannot wait any longer changes nothing: the leadership stays, and entries are taken again.
func TestATransferThatGivesUpLeavesTheLeadershipAndTheEntriesUnderWay(t *testing.T) {
	s := newStuck(t)
	ctx, cancel := context.WithCancel(t.Context())
	over := s.transfer(ctx)
	cancel()
	wantError(t, <-over, ErrBusy, "1 entries are still under way", "stays here")
	next := s.leader.Propose(encode(t, customer(2)))
	s.release()
	for n, f := range map[int]Future{1: s.entry, 2: next} {
		if _, err := f.Wait(); err != nil {
			t.Errorf("customer %d: %v", n, err)
		}
	}
	if term, leading := s.leader.Leadership(); !leading || term != s.term {
		t.Error("the leadership has moved")
	}
	if err := s.leader.TransferLeadership(t.Context(), s.heir.cfg.Node); err != nil {
		t.Error("tried again:", err)
	}
}
