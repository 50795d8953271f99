package journal

import (
	"bytes"
	"encoding/binary"
	"math"
)

// appendMembership encodes the membership apart from its lists.
func appendMembership(to []byte, m *Membership) []byte {
	for _, v := range [...]uint64{m.Version, uint64(m.Issuer), uint64(m.lastIssuer), uint64(m.NextNode)} {
		to = binary.AppendUvarint(to, v)
	}
	return to
}

// write writes nothing for a node alone, which never had a membership: its snapshots stay those of version 1.
func (m *Membership) write(w *snapshotWriter) {
	if m.Version == 0 {
		return
	}
	w.record(kindMembership, appendMembership(nil, m))
	var b []byte
	for _, a := range m.Authorities {
		b = binary.AppendUvarint(b[:0], uint64(a.ID))
		b = binary.AppendUvarint(b, uint64(a.Added))
		w.record(kindAuthority, appendText(append(b, a.Fingerprint[:]...), a.Sealed))
	}
	for _, t := range m.Tokens {
		b = append(append(append(b[:0], t.ID[:]...), t.Hash[:]...), byte(t.Role))
		for _, v := range [...]uint64{uint64(t.Expires), uint64(t.Uses), uint64(t.Used)} {
			b = binary.AppendUvarint(b, v)
		}
		w.record(kindToken, b)
	}
	for _, n := range m.Nodes {
		b = append(append(append(b[:0], n.Key[:]...), n.Token[:]...), byte(n.Role))
		for _, v := range [...]uint64{uint64(n.ID), uint64(n.Joined), uint64(n.Removed)} {
			b = binary.AppendUvarint(b, v)
		}
		w.record(kindNode, appendText(b, n.Address))
	}
	for _, n := range m.Nodes {
		if n.Draining > 0 {
			b = binary.AppendUvarint(b[:0], uint64(n.ID))
			b = binary.AppendUvarint(b, uint64(n.Draining))
			w.record(kindDraining, appendText(b, n.DrainReason))
		}
	}
}

// snapshotVersionOf is as low as it can be, so that earlier programs read what they can hold. Nothing of version 3 comes about without an
// entry of the audit, and nothing of version 4 without a line that was closed once, or a limit that was found.
func snapshotVersionOf(m *Membership, acts []Act, line *lineState, limit uint32, policy *Policy) uint16 {
	switch {
	case policy.Version > 0:
		return snapshotVersion
	case line.watermark > 0 || limit > 0:
		return 4
	case len(acts) > 0:
		return 3
	case m.Version > 0:
		return 2
	}
	return 1
}

func (t *tables) readMembership(p *parser) bool {
	m := &Membership{Version: p.uint(), Issuer: uint32(p.atMost(math.MaxUint32)), lastIssuer: uint32(p.atMost(math.MaxUint32)), NextNode: NodeID(p.atMost(math.MaxUint32))}
	once := t.members.Version == 0 && m.Version > 0
	t.members = m
	return once && m.NextNode > 0
}

func (t *tables) readAuthority(p *parser) bool {
	a := Authority{ID: uint32(p.atMost(math.MaxUint32)), Added: p.millis()}
	copy(a.Fingerprint[:], p.bytes(len(a.Fingerprint)))
	a.Sealed = bytes.Clone(p.text(snapshotRecord))
	m := t.members
	if n := len(m.Authorities); m.Version == 0 || a.ID == 0 || a.ID > m.lastIssuer || n > 0 && m.Authorities[n-1].ID >= a.ID {
		return false
	}
	m.Authorities = append(m.Authorities, a)
	return true
}

func (t *tables) readToken(p *parser) bool {
	var k Token
	copy(k.ID[:], p.bytes(len(k.ID)))
	copy(k.Hash[:], p.bytes(len(k.Hash)))
	k.Role, k.Expires = Role(p.byte()), p.millis()
	k.Uses, k.Used = uint32(p.atMost(math.MaxUint32)), uint32(p.atMost(math.MaxUint32))
	if t.members.Version == 0 || t.members.Token(k.ID) != nil || k.Role != RoleCoordinator && k.Role != RoleWorker || k.Used > k.Uses {
		return false
	}
	t.members.Tokens = append(t.members.Tokens, k)
	return true
}

func (t *tables) readNode(p *parser) bool {
	var n Node
	copy(n.Key[:], p.bytes(len(n.Key)))
	copy(n.Token[:], p.bytes(len(n.Token)))
	n.Role, n.ID = Role(p.byte()), NodeID(p.atMost(math.MaxUint32))
	n.Joined, n.Removed = p.millis(), p.millis()
	n.Address = string(p.text(snapshotRecord))
	m := t.members
	last := len(m.Nodes)
	if m.Version == 0 || n.ID == 0 || n.ID >= m.NextNode || n.Role != RoleCoordinator && n.Role != RoleWorker ||
		last > 0 && m.Nodes[last-1].ID >= n.ID || m.NodeByKey(n.Key) != nil {
		return false
	}
	m.Nodes = append(m.Nodes, n)
	return true
}

func (t *tables) readDraining(p *parser) bool {
	id := NodeID(p.atMost(math.MaxUint32))
	since, reason := p.millis(), string(p.text(snapshotRecord))
	n := t.members.Node(id)
	if n == nil || n.Draining > 0 || since <= 0 {
		return false
	}
	for i := range t.members.Nodes {
		if later := &t.members.Nodes[i]; later.ID > id && later.Draining > 0 {
			return false
		}
	}
	n.Draining, n.DrainReason = since, reason
	return true
}
