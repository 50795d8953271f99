package session

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"netbank/cluster/journal"
)

// Bounds of the wrong sign-ins that one address may bring. A name is locked after five of them whatever their addresses; this is about who tries
// one password with many names.
const (
	// AddressFailuresMax is how many wrong sign-ins from devices that never paid one address may have open. A sign-in that is right takes one of
	// them off, and so does each AddressForgivenEvery: behind a carrier's shared address thousands sign in, and nearly all of them rightly.
	AddressFailuresMax = 100
	// AddressForgivenEvery is after what time one of them is forgotten: 100 in 15 minutes.
	AddressForgivenEvery = 9 * time.Second
)

// sprays counts wrong sign-ins from unknown devices by address. The customer's own device is never counted nor refused, so that nobody is locked
// out by what his neighbours at a shared address do.
type sprays struct {
	mu   sync.Mutex
	seed maphash.Seed
	max  int
	by   map[uint64]spray
}

type spray struct {
	failures float64
	at       journal.Millis
}

func newSprays(most int) *sprays {
	return &sprays{seed: maphash.MakeSeed(), max: most, by: make(map[uint64]spray)}
}

// network is what counts as one address: an IPv6 customer has a whole /64 (RFC 6177).
func network(address netip.Addr) netip.Addr {
	if address = address.Unmap().WithZone(""); address.Is6() {
		if p, err := address.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return address
}

func (s *sprays) key(address netip.Addr) uint64 { return maphash.Comparable(s.seed, network(address)) }

// left gives the failures that are not forgotten.
func (g spray) left(now journal.Millis) float64 {
	return max(0, g.failures-float64(max(0, now-g.at))/float64(AddressForgivenEvery.Milliseconds()))
}

// full gives how long it takes until one more attempt may be made from an address; 0: now.
func (s *sprays) full(address netip.Addr, now journal.Millis) time.Duration {
	if !address.IsValid() {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	over := s.by[s.key(address)].left(now) - (AddressFailuresMax - 1)
	if over <= 0 {
		return 0
	}
	return time.Duration(over * float64(AddressForgivenEvery))
}

// count notes the outcome of an attempt: 1 a wrong one, -1 a right one.
func (s *sprays) count(address netip.Addr, failures float64, now journal.Millis) {
	if !address.IsValid() {
		return
	}
	key := s.key(address)
	s.mu.Lock()
	defer s.mu.Unlock()
	old, known := s.by[key]
	level := old.left(now) + failures
	switch {
	case level <= 0:
		delete(s.by, key)
		return
	case !known && len(s.by) >= s.max:
		s.evict(now)
	}
	s.by[key] = spray{level, now}
}

// evict makes room for one: the least of a few that the map happens to give.
func (s *sprays) evict(now journal.Millis) {
	const sample = 8
	var least uint64
	level, n := 0.0, 0
	for key, g := range s.by {
		if left := g.left(now); n == 0 || left < level {
			least, level = key, left
		}
		if n++; n == sample {
			break
		}
	}
	delete(s.by, least)
}
