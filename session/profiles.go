package session

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/dgraph-io/ristretto/v2"

	"netbank/cluster/journal"
)

// profileLifetime is how old what a page shows of the customer's record may be.
const profileLifetime = time.Minute

// profiles is a cache and nothing else. set may do nothing, be late, or happen twice; get may give anything that set was
// ever given. So a key is written with one value only (it holds the customer, the epoch and the minute), and what get gives is
// compared before it is used.
type profiles interface {
	get(key string) (*cachedProfile, bool)
	set(key string, p *cachedProfile)
	close()
}

// cachedProfile is a profile with what it must be compared by.
type cachedProfile struct {
	Profile
	customer journal.CustomerID
	epoch    journal.Epoch
	loaded   journal.Millis
}

func (p *cachedProfile) valid(customer journal.CustomerID, epoch journal.Epoch, now journal.Millis) bool {
	age := now - p.loaded
	return p.customer == customer && p.epoch == epoch && age >= 0 && age < journal.Millis(profileLifetime.Milliseconds())
}

// profile gives the enriched part of a session, from the cache or the directory. The epoch was found in force before.
func (s *Store) profile(customer journal.CustomerID, epoch journal.Epoch, now time.Time) (*Profile, error) {
	ms := journal.Millis(now.UnixMilli())
	key := profileKey(customer, epoch, ms)
	if cached, ok := s.profiles.get(key); ok && cached.valid(customer, epoch, ms) {
		s.metrics.hits.Inc()
		return &cached.Profile, nil
	}
	s.metrics.misses.Inc()
	record, ok, err := s.directory.CustomerByID(customer)
	if err != nil {
		return nil, fmt.Errorf("%w: customer: %w", ErrUnavailable, err)
	}
	if !ok {
		return nil, ErrEnded
	}
	loaded := &cachedProfile{profileOf(&record), customer, epoch, ms}
	s.profiles.set(key, loaded)
	return &loaded.Profile, nil
}

// profileOf copies what pages show, and never a sealed secret.
func profileOf(c *journal.Customer) Profile {
	return Profile{
		Username:        c.Username,
		Name:            c.Name,
		ReservedMessage: c.ReservedMessage,
		Tier:            uint8(min(c.Tier, 255)),
		Locale:          c.Locale,
		Accounts:        c.Accounts,
		PasswordChanged: c.PasswordChanged,
	}
}

// profileKey is customer, epoch and period. Periods of different customers begin at different times, so that a minute's turn is not a
// storm of misses.
func profileKey(customer journal.CustomerID, epoch journal.Epoch, now journal.Millis) string {
	period := uint64(profileLifetime.Milliseconds())
	// Fibonacci hashing spreads neighbouring customers (Knuth, TAOCP 6.4).
	offset := uint64(customer) * 0x9e3779b97f4a7c15 >> 32 % period
	var b [24]byte
	binary.BigEndian.PutUint64(b[:], uint64(customer))
	binary.BigEndian.PutUint64(b[8:], uint64(epoch))
	binary.BigEndian.PutUint64(b[16:], (uint64(now)+offset)/period)
	return string(b[:])
}

// ristrettoProfiles keeps profiles in ristretto, counted by number.
type ristrettoProfiles struct {
	cache *ristretto.Cache[string, *cachedProfile]
}

func newCachedProfiles(entries int64) (profiles, error) {
	cache, err := ristretto.NewCache(&ristretto.Config[string, *cachedProfile]{
		NumCounters:        10 * entries,
		MaxCost:            entries,
		BufferItems:        64,
		IgnoreInternalCost: true,
	})
	if err != nil {
		return nil, fmt.Errorf("session: cache: %w", err)
	}
	return ristrettoProfiles{cache}, nil
}

func (r ristrettoProfiles) get(key string) (*cachedProfile, bool) { return r.cache.Get(key) }

func (r ristrettoProfiles) set(key string, p *cachedProfile) {
	r.cache.SetWithTTL(key, p, 1, profileLifetime)
}

func (r ristrettoProfiles) close() { r.cache.Close() }
