package partner

import (
	"log/slog"
	"strconv"
	"sync"
	"time"

	"netbank/cluster/journal"
	"netbank/frontend/partner/callback"
)

// partner is a partner's record, ready for use. It is never changed; a newer one replaces it.
type partner struct {
	id            journal.PartnerID
	redirects     callback.Registered
	notifications callback.Registered
	quotas        quotas
	openPolicy    string    // RateLimit-Policy of the limit on open payments
	read          time.Time // when the record was read
}

// registry finds the partner of a certificate without copying its record for every request. It holds registered
// certificates only, so the journal's limit on partners and fingerprints bounds it.
type registry struct {
	bank   Bank
	limits Limits
	logger *slog.Logger

	mu       sync.Mutex
	partners map[[32]byte]*partner
	quotas   map[journal.PartnerID]*quotas // outlive a record, and are shared by a partner's certificates
}

func newRegistry(bank Bank, limits Limits, logger *slog.Logger) *registry {
	return &registry{bank: bank, limits: limits, logger: logger, partners: map[[32]byte]*partner{}, quotas: map[journal.PartnerID]*quotas{}}
}

// find gives the caller's partner as it was registered at most PartnerFresh ago, or nil.
func (r *registry) find(c *caller, now time.Time) *partner {
	if c.known != nil && now.Sub(c.known.read) < r.limits.PartnerFresh {
		return c.known
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.partners[c.fingerprint]
	if known == nil || now.Sub(known.read) >= r.limits.PartnerFresh {
		known = r.readLocked(c.fingerprint, known, now)
	}
	c.known = known
	return known
}

func (r *registry) readLocked(fingerprint [32]byte, before *partner, now time.Time) *partner {
	record, ok := r.bank.PartnerByFingerprint(fingerprint)
	if !ok {
		delete(r.partners, fingerprint)
		return nil
	}
	q := r.quotas[record.ID]
	if q == nil {
		q = &quotas{}
		r.quotas[record.ID] = q
	}
	q.set(record, r.limits)
	openMax := record.OpenPaymentsMax
	setDefault(&openMax, uint32(journal.DefaultLimits().PartnerOpen))
	p := &partner{
		id: record.ID, quotas: *q, read: now,
		openPolicy: `"open-payments";q=` + strconv.FormatUint(uint64(openMax), 10) + `;qu="payments"`,
	}
	var errs [2]error
	p.redirects, errs[0] = callback.ParseAll(record.RedirectURIs)
	p.notifications, errs[1] = callback.ParseAll(record.NotificationURIs)
	for _, err := range errs {
		if err != nil && before == nil {
			r.logger.Warn("partner: a registered address cannot be used; register it anew", "partner", record.ID, "error", err)
		}
	}
	r.partners[fingerprint] = p
	return p
}
