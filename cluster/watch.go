package cluster

import (
	"sync"
	"sync/atomic"

	"netbank/cluster/journal"
)

// watch lets callers wait for payments to change. It is told of every applied entry, on every node.
type watch struct {
	waiters atomic.Int64
	shards  [64]watchShard
}

type watchShard struct {
	mu sync.Mutex
	by map[journal.PaymentID]*waiter
	_  [40]byte // a cache line each
}

// waiter waits for one change, and leaves the watch with it.
type waiter struct {
	id      journal.PaymentID
	above   uint32 // versions up to this one are known
	outcome bool   // only a final or doubtful state counts
	wake    chan struct{}
	notify  func() // instead of wake; it is called under the shard's lock
	ask     uint64 // at another node, of one without a journal

	// Guarded by the shard's lock.
	next    *waiter
	told    bool
	payment journal.Payment // as of the change; empty when only the change is known
}

func (w *watch) shard(id journal.PaymentID) *watchShard { return &w.shards[id[15]%64] }

// add registers a waiter. It reports false when WaitersMax wait already.
func (w *watch) add(x *waiter) bool {
	if w.waiters.Add(1) > WaitersMax {
		w.waiters.Add(-1)
		return false
	}
	s := w.shard(x.id)
	s.mu.Lock()
	if s.by == nil {
		s.by = make(map[journal.PaymentID]*waiter)
	}
	x.next = s.by[x.id]
	s.by[x.id] = x
	s.mu.Unlock()
	return true
}

// remove takes a waiter away and tells whether the change had come.
func (w *watch) remove(x *waiter) (told bool) {
	w.waiters.Add(-1)
	s := w.shard(x.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.told {
		return true
	}
	at := s.by[x.id]
	if at == x {
		s.set(x.id, x.next)
		return false
	}
	for ; at != nil; at = at.next {
		if at.next == x {
			at.next = x.next
			break
		}
	}
	return false
}

// told reports whether the change has come. After that the waiter's payment does not change.
func (w *watch) told(x *waiter) bool {
	s := w.shard(x.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return x.told
}

func (s *watchShard) set(id journal.PaymentID, first *waiter) {
	if first == nil {
		delete(s.by, id)
		return
	}
	s.by[id] = first
}

// changed wakes those who wait for this change. payment is the payment after it, if it is at hand.
func (w *watch) changed(c *journal.Change, payment *journal.Payment) {
	s := w.shard(c.Payment)
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.by[c.Payment]
	if first == nil {
		return
	}
	var kept *waiter
	for x := first; x != nil; {
		next := x.next
		if c.Version <= x.above || x.outcome && !spoken(c.To) {
			x.next, kept = kept, x
		} else {
			x.told = true
			if payment != nil {
				x.payment = *payment
			}
			if x.notify != nil {
				x.notify()
			} else {
				select {
				case x.wake <- struct{}{}:
				default:
				}
			}
		}
		x = next
	}
	s.set(c.Payment, kept)
}

// outcomeAwaited reports whether somebody waits for a payment's outcome.
func (w *watch) outcomeAwaited(id journal.PaymentID) bool {
	s := w.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	for x := s.by[id]; x != nil; x = x.next {
		if x.outcome {
			return true
		}
	}
	return false
}

// spoken reports whether a state is an answer to a confirmation: final, or in doubt.
func spoken(s journal.State) bool {
	return s.Final() || s == journal.StateInDoubt || s == journal.StateReversing
}

// ids lists the payments that somebody waits for.
func (w *watch) ids() (all []journal.PaymentID) {
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		for id := range s.by {
			all = append(all, id)
		}
		s.mu.Unlock()
	}
	return all
}

// stands wakes those who wait for something that has come about already, whichever change it came with.
func (w *watch) stands(p *journal.Payment) {
	w.changed(&journal.Change{Payment: p.ID, Version: p.Version, To: p.State}, p)
}
