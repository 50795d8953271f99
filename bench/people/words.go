package people

import (
	"slices"
	"sync"

	"netbank/bench/audit"
)

// Words are what clients were told, kept for the audit. Each client writes to its own list.
type Words [][]audit.Told

// NewWords makes empty lists.
func NewWords(clients int) Words { return make(Words, clients) }

// Add keeps what was told to a client of that Index.
func (w Words) Add(client int, t audit.Told) { w[client] = append(w[client], t) }

// All gives what was told to all of them.
func (w Words) All() []audit.Told {
	var all []audit.Told
	for _, mine := range w {
		all = append(all, mine...)
	}
	return all
}

// merged puts the words of two clients together. Of a payment that both know, those of lower versions come first, but neither's own order
// is changed: where one of them heard of a version that went back, the sum tells of it too.
func merged(a, b []audit.Told) []audit.Told {
	both := make(map[string][2][]audit.Told)
	for i := range b {
		both[b[i].Payment] = [2][]audit.Told{}
	}
	var all []audit.Told
	for i, list := range [2][]audit.Told{a, b} {
		for _, t := range list {
			if words, ok := both[t.Payment]; ok {
				words[i] = append(words[i], t)
				both[t.Payment] = words
			} else {
				all = append(all, t)
			}
		}
	}
	for _, t := range b {
		words, ok := both[t.Payment]
		if !ok {
			continue // it came before
		}
		delete(both, t.Payment)
		for x, y := words[0], words[1]; len(x)+len(y) > 0; {
			if len(y) == 0 || len(x) > 0 && x[0].Version <= y[0].Version {
				all, x = append(all, x[0]), x[1:]
			} else {
				all, y = append(all, y[0]), y[1:]
			}
		}
	}
	return all
}

// notes are lists that many goroutines write to. What one flow writes stays in the order in which it was written.
type notes[T any] struct {
	shard [16]struct {
		sync.Mutex
		all []T
		_   [32]byte // apart in memory, so that two processors do not share a cache line
	}
}

// add keeps what came of the flow with a number.
func (n *notes[T]) add(number int64, note T) {
	s := &n.shard[uint64(number)%uint64(len(n.shard))]
	s.Lock()
	s.all = append(s.all, note)
	s.Unlock()
}

// take gives all that was kept, and keeps it no longer.
func (n *notes[T]) take() []T {
	var all []T
	for i := range n.shard {
		s := &n.shard[i]
		s.Lock()
		all = slices.Concat(all, s.all)
		s.all = nil
		s.Unlock()
	}
	return all
}
