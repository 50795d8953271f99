package bank

import (
	"context"
	"fmt"
	"sync"
	"time"

	"netbank/cluster/journal"
	"netbank/frontend/edge"
	"netbank/frontend/ops"
)

// How a node follows the order to drain it.
const (
	// DrainFollowEvery is the time between two looks whether the node is to be drained.
	DrainFollowEvery = 100 * time.Millisecond
	// HandOverEvery is the least time between two attempts of a drained node that leads to let another one lead.
	HandOverEvery = 5 * time.Second
)

// leaving is whether, and why, a node sends its clients away: because it is being stopped, or because an operator has it drained.
type leaving struct {
	lock    sync.Mutex
	doors   []edge.Door // that are open
	stopped bool
	since   journal.Millis // an operator has it drained; 0: nobody has
	heard   time.Time      // when this node took that up
	reason  string
}

// stop has the node leave for good. Done again, it changes nothing.
func (v *leaving) stop() {
	v.lock.Lock()
	defer v.lock.Unlock()
	v.stopped = true
	v.drain()
}

// order takes up what the journal says; it reports whether that is new.
func (v *leaving) order(since journal.Millis, reason string) bool {
	v.lock.Lock()
	defer v.lock.Unlock()
	if v.since == since && v.reason == reason {
		return false
	}
	v.since, v.reason, v.heard = since, reason, time.Now()
	v.drain()
	return true
}

// open takes up the doors that customers and partners use.
func (v *leaving) open(doors ...edge.Door) {
	v.lock.Lock()
	defer v.lock.Unlock()
	v.doors = doors
	v.drain()
}

// drain makes the doors what the node is. The lock is held.
func (v *leaving) drain() {
	for _, d := range v.doors {
		if on := v.stopped || v.since > 0; on != d.Draining() {
			d.Drain(on)
		}
	}
}

// left is how many connections of customers and partners are open. The lock is held.
func (v *leaving) left() (n int64) {
	for _, d := range v.doors {
		n += d.Open()
	}
	return n
}

// remaining is how many connections are left of a drained node, once balancers have had their time to notice; before, nobody can say whether
// another will come.
func (v *leaving) remaining(notice time.Duration) (n int64, known bool) {
	v.lock.Lock()
	defer v.lock.Unlock()
	if v.since == 0 || time.Since(v.heard) < notice {
		return 0, false
	}
	return v.left(), true
}

// check says why customers should not be sent here; nil: they may be.
func (v *leaving) check() error {
	v.lock.Lock()
	defer v.lock.Unlock()
	switch {
	case v.stopped:
		return &ops.Fault{
			What: "the node is being stopped" + v.whoIsLeft(), Remedy: "customers are served elsewhere; start it again when it is to come back",
		}
	case v.since > 0:
		return &ops.Fault{
			What:   fmt.Sprintf("the node has been drained since %s (%s)%s", time.UnixMilli(int64(v.since)).UTC().Format(time.RFC3339), v.reason, v.whoIsLeft()),
			Remedy: "customers are served elsewhere; `netbank node undrain` lets them come again",
		}
	}
	return nil
}

func (v *leaving) whoIsLeft() string {
	switch n := v.left(); n {
	case 0:
		return ", and nobody is left"
	case 1:
		return ", and one connection is left"
	default:
		return fmt.Sprintf(", and %d connections are left", n)
	}
}

// followDrain does what operators have ordered until ctx is done: it drains the node and, as long as it is drained, lets another one lead.
func (b *Bank) followDrain(ctx context.Context) {
	ticker := time.NewTicker(DrainFollowEvery)
	defer ticker.Stop()
	var handed time.Time
	for {
		since, reason := b.node.Draining()
		if b.leaving.order(since, reason) {
			b.logger.Info("an operator's order to this node", "drained", since > 0, "reason", reason)
		}
		if since > 0 && b.peers != nil && b.node.Leading() && time.Since(handed) > HandOverEvery {
			b.peers.handOver()
			handed = time.Now()
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
