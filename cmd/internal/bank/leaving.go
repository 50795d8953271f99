package bank

import (
	"sync"

	"netbank/frontend/edge"
	"netbank/frontend/ops"
)

// leaving is whether, and why, a node sends its clients away: because it is being stopped, or because an operator has it drained.
type leaving struct {
	lock    sync.Mutex
	doors   []edge.Door // that are open
	stopped bool
}

// stop has the node leave for good. Done again, it changes nothing.
func (v *leaving) stop() {
	v.lock.Lock()
	defer v.lock.Unlock()
	v.stopped = true
	v.drain()
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
		d.Drain(v.stopped)
	}
}

// check says why customers should not be sent here; nil: they may be.
func (v *leaving) check() error {
	v.lock.Lock()
	defer v.lock.Unlock()
	if v.stopped {
		return &ops.Fault{What: "the node is being stopped", Remedy: "customers are served elsewhere; start it again when it is to come back"}
	}
	return nil
}
