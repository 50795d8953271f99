package journal

import (
	"slices"

	"netbank/cluster/journal/command"
)

// putPartner adds a partner or replaces its record. Its open payments and its outbox stay.
func (m *Machine) putPartner(c *command.PutPartner, out *Result) {
	if !m.validPartner(c) {
		out.Verdict = BadCommand
		return
	}
	p := Partner{
		ID: PartnerID(c.Id), Name: string([]byte(c.Name)),
		RedirectURIs: ownStrings(c.RedirectUris), NotificationURIs: ownStrings(c.NotificationUris),
		OpenPaymentsMax: c.OpenPaymentsMax, CreatesPerSecond: c.CreatesPerSecond, PollsPerSecond: c.PollsPerSecond,
		WebhooksDisabled: c.WebhooksDisabled,
	}
	for _, f := range c.Fingerprints {
		sum := [32]byte(f)
		if holder, ok := m.fingerprints[sum]; ok && holder != p.ID {
			out.Verdict = NotAllowed
			return
		}
		p.Fingerprints = append(p.Fingerprints, sum)
	}
	if m.partnerIndex[p.ID] == nil && len(m.partners) >= m.limits.Partners {
		out.Verdict = TooMany
		return
	}
	m.setPartner(p)
}

// setPartner writes a partner that was checked.
func (t *tables) setPartner(p Partner) *partnerRecord {
	record := t.partnerIndex[p.ID]
	if record == nil {
		record = &partnerRecord{}
		at, _ := slices.BinarySearchFunc(t.partners, p.ID, func(r *partnerRecord, id PartnerID) int { return int(int64(r.ID) - int64(id)) })
		t.partners = slices.Insert(t.partners, at, record)
		t.partnerIndex[p.ID] = record
	}
	for _, sum := range record.Fingerprints {
		delete(t.fingerprints, sum)
	}
	record.Partner = p
	for _, sum := range p.Fingerprints {
		t.fingerprints[sum] = p.ID
	}
	return record
}

func (m *Machine) validPartner(c *command.PutPartner) bool {
	l := &m.limits
	if c.GetId() == 0 || !readable(c.Name, 1, l.NameRunes) || int64(c.OpenPaymentsMax) > int64(l.OpenPayments) ||
		len(c.Fingerprints) > l.Fingerprints || len(c.RedirectUris) > l.PartnerURIs || len(c.NotificationUris) > l.PartnerURIs {
		return false
	}
	for i, f := range c.Fingerprints {
		if len(f) != 32 || slices.ContainsFunc(c.Fingerprints[:i], func(g []byte) bool { return string(g) == string(f) }) {
			return false
		}
	}
	for _, uris := range [][]string{c.RedirectUris, c.NotificationUris} {
		for _, uri := range uris {
			if !visible(uri, 1, l.URIBytes) {
				return false
			}
		}
	}
	return true
}

// ownStrings copies strings out of a command's memory, which may be reused.
func ownStrings(from []string) []string {
	var own []string
	for _, s := range from {
		own = append(own, string([]byte(s)))
	}
	return own
}

// copyOf gives a partner that shares nothing with the journal.
func copyOf(p Partner) Partner {
	p.Fingerprints = slices.Clone(p.Fingerprints)
	p.RedirectURIs = slices.Clone(p.RedirectURIs)
	p.NotificationURIs = slices.Clone(p.NotificationURIs)
	return p
}

// Partner gives a partner.
func (m *Machine) Partner(id PartnerID) (Partner, bool) {
	record := m.partnerIndex[id]
	if record == nil {
		return Partner{}, false
	}
	return copyOf(record.Partner), true
}

// PartnerByFingerprint gives the partner for whom a client certificate speaks.
func (m *Machine) PartnerByFingerprint(sum [32]byte) (Partner, bool) {
	id, ok := m.fingerprints[sum]
	if !ok {
		return Partner{}, false
	}
	return m.Partner(id)
}

// Partners gives all partners, by id.
func (m *Machine) Partners() []Partner {
	all := make([]Partner, 0, len(m.partners))
	for _, record := range m.partners {
		all = append(all, copyOf(record.Partner))
	}
	return all
}

// putKey adds a generation of the root key. When there are too many the oldest leaves: what it made is long expired.
func (m *Machine) putKey(c *command.PutKey, out *Result) {
	if c.GetId() == 0 || len(c.GetSealed()) == 0 || len(c.GetSealed()) > m.limits.SealedBytes {
		out.Verdict = BadCommand
		return
	}
	if n := len(m.keys); n > 0 && m.keys[n-1].ID >= c.Id {
		out.Verdict = NotAllowed
		return
	}
	if len(m.keys) >= m.limits.Keys {
		m.keys = slices.Clone(m.keys[1:]) // a new slice: a Live may hold the old one
	}
	m.keys = append(m.keys[:len(m.keys):len(m.keys)], Key{c.Id, slices.Clone(c.Sealed), m.now})
}

// Keys gives the generations of the root key, the newest last.
func (m *Machine) Keys() []Key {
	keys := slices.Clone(m.keys)
	for i := range keys {
		keys[i].Sealed = slices.Clone(keys[i].Sealed)
	}
	return keys
}
