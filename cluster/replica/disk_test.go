package replica

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"netbank/cluster/journal"
)

// disks gives every node's log a fault that can be switched on: nil, an error, or a hang until the test ends.
type disks struct {
	fault map[journal.NodeID]*atomic.Pointer[error]
	hang  chan struct{}
}

var errHang = errors.New("hang")

func withDisks(t *testing.T, c *cluster) *disks {
	d := &disks{fault: make(map[journal.NodeID]*atomic.Pointer[error]), hang: make(chan struct{})}
	for node, s := range c.nodes {
		fault := new(atomic.Pointer[error])
		d.fault[node] = fault
		s.seam.wrap = func(real diskLog) diskLog {
			return faultyLog{real, func(string) error {
				err := fault.Load()
				switch {
				case err == nil:
					return nil
				case *err == errHang:
					<-d.hang
					return nil
				}
				return *err
			}}
		}
		c.open(node)
	}
	t.Cleanup(func() { // before the nodes are closed
		select {
		case <-d.hang:
		default:
			close(d.hang)
		}
	})
	return d
}

// The leader's heartbeats go on while its disk hangs, so that nobody else is elected until its process ends.
func TestDiskGuard_ALeaderWhoseDiskHangsEndsAndTheOthersElect(t *testing.T) {
	c := newCluster(t, 3)
	d := withDisks(t, c)
	propose(t, c.leader().Replica, partner())
	c.same()
	leader := c.leader()
	term, _ := leader.Leadership()
	d.fault[leader.cfg.Node].Store(&errHang)
	began := time.Now()
	waiting := leader.Propose(encode(t, customer(1)))
	fatal := leader.log.told(t)
	wantError(t, fatal, fatal, "has not returned for", "the leader may wait 3s", "check the disk")
	if took := time.Since(began); took < SilenceLeaderMax {
		t.Errorf("it ended after %v", took)
	}
	for _, s := range c.others(leader) {
		if _, leading := s.Leadership(); leading {
			t.Error("another node led while the process was alive; the guard is not needed any more")
		}
	}
	// The process is gone: nothing more is heard of it.
	c.part(leader.cfg.Node)
	next := c.others(leader)
	c.await("another node leads", func() bool {
		for _, s := range next {
			if now, leading := s.Leadership(); leading && now > term {
				return true
			}
		}
		return false
	})
	close(d.hang)
	c.stop(leader.cfg.Node)
	if _, err := waiting.Wait(); !errors.Is(err, ErrUnknown) {
		t.Errorf("the entry that hung: %v", err)
	}
	c.acknowledge(2)
	d.fault[leader.cfg.Node].Store(nil)
	c.heal()
	c.open(leader.cfg.Node)
	c.same()
}

func TestDiskGuard_AFollowerWhoseDiskFailsEndsAndTheOthersGoOn(t *testing.T) {
	c := newCluster(t, 3)
	d := withDisks(t, c)
	propose(t, c.leader().Replica, partner())
	c.same()
	leader := c.leader()
	term, _ := leader.Leadership()
	follower := c.others(leader)[0]
	d.fault[follower.cfg.Node].Store(&errDisk)
	propose(t, leader.Replica, customer(1))
	wantError(t, follower.log.told(t), errDisk, "free or replace the disk")
	propose(t, leader.Replica, customer(2))
	for _, s := range c.others(follower) {
		select {
		case err := <-s.log.fatal:
			t.Errorf("node %d ended too: %v", s.cfg.Node, err)
		default:
		}
	}
	if now, leading := leader.Leadership(); !leading || now != term {
		t.Errorf("the leader lost its leadership of term %d: term %d, leading %t", term, now, leading)
	}
	c.stop(follower.cfg.Node)
	d.fault[follower.cfg.Node].Store(nil)
	c.open(follower.cfg.Node)
	c.same()
}

func TestAFollowerWhoseDiskHangsHoldsNobodyUp(t *testing.T) {
	c := newCluster(t, 3)
	d := withDisks(t, c)
	propose(t, c.leader().Replica, partner())
	c.same()
	leader := c.leader()
	follower := c.others(leader)[0]
	d.fault[follower.cfg.Node].Store(&errHang)
	for n := range uint64(20) {
		propose(t, leader.Replica, customer(n+1))
	}
	if has(follower.Replica, 20) {
		t.Error("the disk did not hang; the test tests nothing")
	}
	close(d.hang)
	c.same()
}
