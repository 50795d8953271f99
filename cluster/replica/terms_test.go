package replica

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"netbank/cluster/journal"
)

// Nodes lose and win the leadership quickly. Whoever looks sees at most one leader in a term, terms that only grow, and a
// signal after every change.
func TestTerms_AtMostOneNodeLeadsInATermHoweverQuicklyItChanges(t *testing.T) {
	c := newTrio(t)
	c.same()
	stop := make(chan struct{})
	var mu sync.Mutex
	leaders := make(map[uint64]journal.NodeID)
	var watch sync.WaitGroup
	for node, s := range c.nodes {
		r := s.Replica
		watch.Go(func() {
			var before uint64
			for {
				term, leading := r.Leadership()
				if term < before {
					t.Errorf("node %d: term %d after %d", node, term, before)
				}
				before = term
				if leading {
					mu.Lock()
					if other := leaders[term]; other != 0 && other != node {
						t.Errorf("nodes %d and %d both lead in term %d", other, node, term)
					}
					leaders[term] = node
					mu.Unlock()
				}
				select {
				case <-stop:
					return
				default:
					time.Sleep(100 * time.Microsecond)
				}
			}
		})
	}
	for range 6 {
		leader := c.leader()
		if err := leader.TransferLeadership(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		// Cut off in the moment of its victory, it learns that it lost what it had just won.
		next := c.leader()
		c.part(next.cfg.Node)
		c.await("it does not lead any more", func() bool {
			_, leading := next.Leadership()
			return !leading
		})
		if _, err := next.Barrier(time.Second); !errors.Is(err, ErrNotLeader) {
			t.Errorf("a barrier on a node that is cut off: %v", err)
		}
		c.heal()
		select {
		case <-next.LeadershipChanged():
		case <-time.After(10 * time.Second):
			t.Error("no signal")
		}
	}
	close(stop)
	watch.Wait()
	c.same()
}

func TestABarrierShowsTheNextLeaderEverythingThatWasAcknowledged(t *testing.T) {
	c := newTrio(t)
	for n := range uint64(5) {
		c.acknowledge(n + 1)
		old := c.leader()
		c.part(old.cfg.Node)
		var next *station
		c.await("another node leads", func() bool {
			for _, s := range c.others(old) {
				if _, err := s.Barrier(time.Second); err == nil {
					next = s
					return true
				}
			}
			return false
		})
		if !has(next.Replica, n+1) {
			t.Fatalf("node %d has passed a barrier without customer %d", next.cfg.Node, n+1)
		}
		if _, err := old.Barrier(time.Second); !errors.Is(err, ErrNotLeader) {
			t.Errorf("a barrier on the leader that was cut off: %v", err)
		}
		c.heal()
		c.same()
	}
}

func TestALeaderIsVerifiedByAMajorityAndByNothingElse(t *testing.T) {
	c := newTrio(t)
	leader := c.leader()
	term, _ := leader.Leadership()
	last := leader.Stats().LastIndex
	if verified, err := leader.Verify(); err != nil || verified != term {
		t.Errorf("term %d, %v; it leads in term %d", verified, err, term)
	}
	if now := leader.Stats().LastIndex; now != last {
		t.Errorf("to verify a leader has written %d entries", now-last)
	}
	_, err := c.others(leader)[0].Verify()
	wantError(t, err, ErrNotLeader)
	c.part(leader.cfg.Node)
	// It believes that it leads until its lease is over.
	_, err = leader.Verify()
	wantError(t, err, ErrNotLeader)
}

// Answers that lay there while a process stood still say nothing of the time since.
func TestALeaderIsNotVerifiedByAnswersToWhatWasAskedBefore(t *testing.T) {
	c := newTrio(t)
	c.same()
	leader := c.leader()
	held, release := make(chan raft.ServerID, 100), make(chan struct{})
	hold := func(from raft.ServerID) {
		held <- from
		<-release
	}
	leader.wire.answers.Store(&hold)
	for from := make(map[raft.ServerID]bool); len(from) < 2; {
		from[<-held] = true
	}
	c.part(leader.cfg.Node)
	verified := make(chan error, 1)
	go func() {
		_, err := leader.Verify()
		verified <- err
	}()
	close(release)
	wantError(t, <-verified, ErrNotLeader)
}

// A leader that is cut off takes entries until its lease ends. What it appended may be committed by nobody, or by the next
// leader: it is unknown. What it did not append is certain, and never turns up.
func TestADeposedLeaderTellsUnknownFromNeverAppended(t *testing.T) {
	c := newTrio(t)
	c.same()
	n := uint64(0)
	for range 4 {
		old := c.leader()
		c.part(old.cfg.Node)
		last := old.Stats().LastIndex
		var never, unknown []uint64
		for never == nil || unknown == nil && len(never) < 100 {
			n++
			_, err := old.Propose(encode(t, customer(n))).Wait()
			switch {
			case errors.Is(err, ErrUnknown):
				unknown = append(unknown, n)
			case errors.Is(err, ErrNotLeader):
				never = append(never, n)
			default:
				t.Fatalf("an entry of a leader that is cut off: %v", err)
			}
		}
		if appended := old.Stats().LastIndex - last; appended < uint64(len(unknown)) {
			t.Errorf("%d entries are unknown, but only %d were appended", len(unknown), appended)
		}
		n++
		c.await("the others acknowledge", func() bool {
			for _, s := range c.others(old) {
				if _, err := s.Propose(encode(t, customer(n))).Wait(); err == nil {
					return true
				}
			}
			return false
		})
		c.heal()
		c.same()
		for _, s := range c.others(nil) {
			for _, x := range never {
				if has(s.Replica, x) {
					t.Errorf("customer %d was certainly never appended, and node %d has it", x, s.cfg.Node)
				}
			}
			if !has(s.Replica, n) {
				t.Errorf("customer %d was acknowledged, and node %d has lost it", n, s.cfg.Node)
			}
		}
	}
}
