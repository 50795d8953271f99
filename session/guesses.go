package session

import (
	"hash/maphash"
	"sync"

	"netbank/cluster/journal"
)

// guesses counts wrong attempts from unknown devices by user name, whether or not a customer has that name, and decides what a
// stranger is told: "locked" after as many as the journal allows. Since it depends on nothing but what strangers tried at this
// node, its answers tell nothing about who is a customer. The journal's own lanes decide what is checked.
type guesses struct {
	mu   sync.Mutex
	seed maphash.Seed
	max  int
	by   map[uint64]guess
}

type guess struct {
	failures uint8
	last     journal.Millis
}

func newGuesses(most int) *guesses {
	return &guesses{seed: maphash.MakeSeed(), max: most, by: make(map[uint64]guess)}
}

// count notes an attempt and gives until when the name is locked for strangers, or 0 if it was not. Like the journal's lanes, a
// locked name is not locked for longer by trying again.
func (g *guesses) count(username string, now journal.Millis) (until journal.Millis) {
	key := maphash.String(g.seed, username)
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.by[key]
	if now-at.last >= journal.LockFor {
		at.failures = 0
	}
	if at.failures >= journal.LockAfter {
		return at.last + journal.LockFor
	}
	if _, known := g.by[key]; !known && len(g.by) >= g.max {
		g.evict()
	}
	g.by[key] = guess{at.failures + 1, now}
	return 0
}

// evict makes room for one: the oldest of a few that the map happens to give. Whose guesses are forgotten is told "wrong"
// instead of "locked"; the journal does not forget.
func (g *guesses) evict() {
	const sample = 8
	var oldest uint64
	var last journal.Millis
	n := 0
	for key, at := range g.by {
		if n == 0 || at.last < last {
			oldest, last = key, at.last
		}
		if n++; n == sample {
			break
		}
	}
	delete(g.by, oldest)
}

// forget drops the count after a success.
func (g *guesses) forget(username string) {
	key := maphash.String(g.seed, username)
	g.mu.Lock()
	delete(g.by, key)
	g.mu.Unlock()
}
