package journal

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"slices"
)

// ErrSnapshot says that a snapshot is not whole. The Machine is as it was.
var ErrSnapshot = errors.New("journal: the snapshot is damaged; restore this node from another node's or from a backup")

// A snapshot is a magic, a version, frames (4 bytes of length, then as many bytes, 64 KiB at most), an empty frame, and the
// SHA-256 of all that stood in the frames. The frames' contents, joined, are records: a kind, a uvarint
// length, the contents. It is canonical: equal states give equal bytes, whatever way they came about.
//
// Frames tell a reader exactly how much to take, so something else may follow in the same stream.
const (
	snapshotMagic   = "NBJRNL"
	snapshotVersion = 5 // each is written as long as it holds all there is: 1 no membership, 2 no audit and what goes with it, 3 no waiting line, 4 no policy
	frameMax        = 64 << 10
	snapshotRecord  = 64 << 10 // the longest record
)

// The kinds of records, in the order in which they stand.
const (
	kindCounters = iota + 1
	kindPartner
	kindKey
	kindSeen
	kindAccess
	kindOpen
	kindContradiction
	kindEnd
	// Since version 2; they stand before kindEnd.
	kindMembership
	kindAuthority
	kindToken
	kindNode
	// Since version 3.
	kindDraining
	kindWishes
	kindAct
	// Since version 4.
	kindLine
	kindFound
	// Since version 5.
	kindPolicy
)

// placeOf orders the kinds in a snapshot.
func placeOf(kind byte) int {
	if kind == kindEnd {
		return math.MaxInt
	}
	return int(kind)
}

// Live is a copy of the live set at one moment. It can be written by another goroutine while Apply goes on.
type Live struct {
	now            Millis
	open           slab[paymentRecord]
	texts          texts
	access         slab[accessRecord]
	seen           slab[seenRecord]
	seenNext       uint32
	partners       []partnerRecord
	keys           []Key
	contradictions []Contradiction
	members        *Membership
	wishes         *Wishes
	policy         *Policy
	acts           []Act
	line           lineState
	limit          uint32
	counters
}

// Live copies the live set. It shares the tables' chunks, which Apply copies one by one when it first writes to them;
// what it copies at once are the list of chunks, the partners and the reconciliation list.
func (m *Machine) Live() *Live {
	return m.view(
		m.open.cells.share(), texts{m.open.texts.blocks.share()}, m.access.cells.share(), m.seen.cells.share(),
	)
}

func (m *Machine) view(open slab[paymentRecord], t texts, access slab[accessRecord], seen slab[seenRecord]) *Live {
	l := &Live{
		now: m.now, open: open, texts: t, access: access, seen: seen, seenNext: m.seen.next,
		keys: m.keys, contradictions: slices.Clone(m.contradictions), members: m.members,
		wishes: m.wishes, policy: m.policy, acts: m.acts, line: m.line, limit: m.limit, counters: m.counters,
	}
	for _, p := range m.partners {
		l.partners = append(l.partners, *p)
	}
	return l
}

// Digest gives the SHA-256 of the live set as a snapshot would hold it. Equal logs give equal digests. It costs as much
// as a snapshot: for tests and audits. StoreDigest gives the rest.
func (m *Machine) Digest() [32]byte {
	w := newSnapshotWriter(io.Discard)
	m.view(m.open.cells, m.open.texts, m.access.cells, m.seen.cells).write(w)
	return [32]byte(w.sum.Sum(nil))
}

// StoreDigest gives the SHA-256 of all that stands in the Store, but for what is derived from the rest.
func (m *Machine) StoreDigest() ([32]byte, error) {
	sum := sha256.New()
	var b []byte
	err := m.store.Scan([]byte{0}, []byte{0xff}, func(key, value []byte) bool {
		if key[0] == keyHistory {
			return true
		}
		b = appendText(appendText(b[:0], key), value)
		sum.Write(b)
		return true
	})
	return [32]byte(sum.Sum(nil)), err
}

// WriteTo writes the snapshot.
func (l *Live) WriteTo(to io.Writer) (int64, error) {
	w := newSnapshotWriter(to)
	w.raw(binary.BigEndian.AppendUint16([]byte(snapshotMagic), snapshotVersionOf(l.members, l.acts, &l.line, l.limit, l.policy)))
	l.write(w)
	w.flush()
	w.raw(make([]byte, 4))
	w.raw(w.sum.Sum(nil))
	if w.err != nil {
		return w.written, fmt.Errorf("journal: writing the snapshot: %w", w.err)
	}
	return w.written, nil
}

func (l *Live) write(w *snapshotWriter) {
	var b []byte
	w.record(kindCounters, l.appendCounters(nil))
	for i := range l.partners {
		b = appendPartner(b[:0], &l.partners[i])
		w.record(kindPartner, b)
	}
	for _, k := range l.keys {
		b = binary.AppendUvarint(b[:0], uint64(k.ID))
		b = binary.AppendUvarint(b, uint64(k.Created))
		w.record(kindKey, appendText(b, k.Sealed))
	}
	for i := range l.seen.used { // from the oldest on, so that the ring forgets in the same order
		slot := (l.seenNext-1+i)%l.seen.used + 1
		cell := l.seen.at(slot)
		w.record(kindSeen, append(append(b[:0], cell.id[:]...), byte(cell.verdict)))
	}
	for _, cell := range accessInOrder(&l.access) {
		b = appendAccess(b[:0], cell)
		w.record(kindAccess, b)
	}
	var text []byte
	for _, slot := range inOrder(&l.open) {
		r := l.open.at(slot)
		text = l.texts.appendTo(text[:0], r.text, int(r.textBytes))
		b = appendRecord(b[:0], r, text)
		w.record(kindOpen, b)
	}
	for _, c := range l.contradictions {
		b = append(append(b[:0], c.Payment[:]...), byte(c.State))
		for _, v := range [...]uint64{uint64(c.First), uint64(c.Last), uint64(c.Times)} {
			b = binary.AppendUvarint(b, v)
		}
		w.record(kindContradiction, appendText(appendText(b, c.Said), c.ResponseCode))
	}
	l.members.write(w)
	writeWishes(w, l.wishes, l.acts)
	l.line.write(w)
	writeLimit(w, l.limit)
	writePolicy(w, l.policy)
	w.record(kindEnd, nil)
}

func accessInOrder(cells *slab[accessRecord]) []*accessRecord {
	all := make([]*accessRecord, 0, cells.used)
	for slot := uint32(1); slot <= cells.used; slot++ {
		all = append(all, cells.at(slot)) // customers are never dropped
	}
	slices.SortFunc(all, func(a, b *accessRecord) int { return cmp.Compare(a.id, b.id) })
	return all
}

func (l *Live) appendCounters(to []byte) []byte {
	c := &l.counters
	for _, v := range c.finished {
		to = binary.AppendUvarint(to, v)
	}
	for _, v := range [...]uint64{
		uint64(l.now), c.idempotency, c.outbox, c.noticeSequence, c.references, c.dropped, uint64(c.stan), uint64(c.epoch),
	} {
		to = binary.AppendUvarint(to, v)
	}
	return to
}

func appendPartner(to []byte, p *partnerRecord) []byte {
	disabled := uint64(0)
	if p.WebhooksDisabled {
		disabled = 1
	}
	for _, v := range [...]uint64{
		uint64(p.ID), uint64(p.OpenPaymentsMax), uint64(p.CreatesPerSecond), uint64(p.PollsPerSecond), disabled, p.outbox,
		uint64(len(p.Fingerprints)), uint64(len(p.RedirectURIs)), uint64(len(p.NotificationURIs)),
	} {
		to = binary.AppendUvarint(to, v)
	}
	to = appendText(to, p.Name)
	for _, sum := range p.Fingerprints {
		to = append(to, sum[:]...)
	}
	for _, uri := range p.RedirectURIs {
		to = appendText(to, uri)
	}
	for _, uri := range p.NotificationURIs {
		to = appendText(to, uri)
	}
	return to
}

func appendAccess(to []byte, r *accessRecord) []byte {
	ended := byte(0)
	if r.ended {
		ended = 1
	}
	to = append(to, ended)
	for _, v := range [...]uint64{uint64(r.id), uint64(r.epoch), uint64(r.signedIn), uint64(r.step)} {
		to = binary.AppendUvarint(to, v)
	}
	for i := range r.last {
		to = append(to, r.failures[i])
		to = binary.AppendUvarint(to, uint64(r.last[i]))
	}
	return to
}

// snapshotWriter packs records into frames and remembers the first error.
type snapshotWriter struct {
	to      io.Writer
	frame   []byte // 4 bytes for its length, then its contents
	head    []byte // of the record in hand
	sum     hash.Hash
	written int64
	err     error
}

func newSnapshotWriter(to io.Writer) *snapshotWriter {
	return &snapshotWriter{to: to, frame: make([]byte, 4, 4+frameMax), sum: sha256.New()}
}

func (w *snapshotWriter) raw(b []byte) {
	if w.err != nil {
		return
	}
	var n int
	n, w.err = w.to.Write(b)
	w.written += int64(n)
}

func (w *snapshotWriter) record(kind byte, contents []byte) {
	w.head = binary.AppendUvarint(append(w.head[:0], kind), uint64(len(contents)))
	w.add(w.head)
	w.add(contents)
}

func (w *snapshotWriter) add(b []byte) {
	w.sum.Write(b)
	for len(b) > 0 {
		n := min(len(b), 4+frameMax-len(w.frame))
		w.frame = append(w.frame, b[:n]...)
		if b = b[n:]; len(w.frame) == 4+frameMax {
			w.flush()
		}
	}
}

func (w *snapshotWriter) flush() {
	if size := len(w.frame) - 4; size > 0 {
		binary.BigEndian.PutUint32(w.frame, uint32(size))
		w.raw(w.frame)
		w.frame = w.frame[:4]
	}
}

// ReadFrom replaces the live set by that of a snapshot, and reads not a byte further than that goes. The Store is
// restored apart, to the same moment. Memory grows with what is read, never with what a length field claims. On an error
// (ErrSnapshot, ErrVersion, or the reader's own) the Machine is as it was.
func (m *Machine) ReadFrom(from io.Reader) (int64, error) {
	r := &snapshotReader{from: from, sum: sha256.New()}
	head := r.raw(len(snapshotMagic) + 2)
	if r.err == nil && string(head[:len(snapshotMagic)]) != snapshotMagic {
		r.err = fmt.Errorf("%w: it does not begin as one", ErrSnapshot)
	}
	var version uint16
	if r.err == nil {
		if version = binary.BigEndian.Uint16(head[len(snapshotMagic):]); version == 0 || version > snapshotVersion {
			r.err = fmt.Errorf("%w: the snapshot has version %d, known are 1 to %d", ErrVersion, version, snapshotVersion)
		}
	}
	t := newTables(m.limits)
	t.read(r)
	if r.err == nil && version != snapshotVersionOf(t.members, t.acts, &t.line, t.limit, t.policy) {
		r.damaged("its version does not fit its records")
	}
	if r.err == nil && len(r.frame) > 0 {
		r.damaged("there is more behind its end")
	}
	if sum := r.sum.Sum(nil); r.err == nil {
		if r.next(); r.err == nil && r.more {
			r.damaged("there is more behind its end")
		}
		if want := r.raw(len(sum)); r.err == nil && !bytes.Equal(want, sum) {
			r.damaged("its checksum differs")
		}
	}
	if r.err != nil {
		if errors.Is(r.err, io.EOF) || errors.Is(r.err, io.ErrUnexpectedEOF) {
			r.err = fmt.Errorf("%w: it ends too early", ErrSnapshot)
		}
		return r.count, r.err
	}
	m.tables = t
	m.rememberAll()
	return r.count, m.Err()
}

// snapshotReader takes frames apart into records and remembers the first error.
type snapshotReader struct {
	from  io.Reader
	buf   [frameMax]byte
	frame []byte // what is left of the frame in buf
	more  bool   // the last frame read was not the empty one
	kept  []byte // the contents of the record in hand
	sum   hash.Hash
	count int64
	err   error
}

func (r *snapshotReader) damaged(how string) { r.err = fmt.Errorf("%w: %s", ErrSnapshot, how) }

// raw reads exactly n bytes, at most a frame's.
func (r *snapshotReader) raw(n int) []byte {
	if r.err != nil {
		return nil
	}
	got, err := io.ReadFull(r.from, r.buf[:n])
	r.count += int64(got)
	r.err = err
	return r.buf[:got]
}

// next reads a frame.
func (r *snapshotReader) next() {
	head := r.raw(4)
	if r.err != nil {
		return
	}
	size := binary.BigEndian.Uint32(head)
	if size > frameMax {
		r.damaged("a frame is longer than 64 KiB")
		return
	}
	r.frame, r.more = r.raw(int(size)), size > 0
}

// take appends n bytes of the frames' contents to kept.
func (r *snapshotReader) take(n int) {
	for n > 0 && r.err == nil {
		if len(r.frame) == 0 {
			if r.next(); r.err == nil && !r.more {
				r.damaged("it ends too early")
			}
			continue
		}
		size := min(n, len(r.frame))
		r.kept = append(r.kept, r.frame[:size]...)
		r.frame = r.frame[size:]
		n -= size
	}
}

// record reads the next record. Its contents are valid until the next call.
func (r *snapshotReader) record() (kind byte, contents []byte) {
	r.kept = r.kept[:0]
	r.take(2)
	for r.err == nil && r.kept[len(r.kept)-1] >= 0x80 && len(r.kept) < 4 {
		r.take(1)
	}
	if r.err != nil {
		return 0, nil
	}
	size, n := binary.Uvarint(r.kept[1:])
	if n <= 0 || size > snapshotRecord {
		r.damaged("a record is longer than 64 KiB")
		return 0, nil
	}
	head := len(r.kept)
	if r.take(int(size)); r.err != nil {
		return 0, nil
	}
	r.sum.Write(r.kept)
	return r.kept[0], r.kept[head:]
}

// read fills empty tables from the records, which must come in the order of their kinds.
func (t *tables) read(r *snapshotReader) {
	var granted []grantedRecord
	for last := byte(0); r.err == nil && last != kindEnd; {
		kind, contents := r.record()
		if r.err != nil {
			return
		}
		p := parser{rest: contents}
		ok := placeOf(kind) >= placeOf(last) && (kind == kindCounters) == (last == 0)
		switch last = kind; kind {
		case kindCounters:
			t.readCounters(&p)
		case kindPartner:
			ok = t.readPartner(&p) && ok
		case kindKey:
			ok = t.readKey(&p) && ok
		case kindSeen:
			ok = t.readSeen(&p) && ok
		case kindAccess:
			ok = t.readAccess(&p) && ok
		case kindOpen:
			ok = t.readOpen(&p, &granted) && ok
		case kindContradiction:
			ok = t.readContradiction(&p) && ok
		case kindMembership:
			ok = t.readMembership(&p) && ok
		case kindAuthority:
			ok = t.readAuthority(&p) && ok
		case kindToken:
			ok = t.readToken(&p) && ok
		case kindNode:
			ok = t.readNode(&p) && ok
		case kindDraining:
			ok = t.readDraining(&p) && ok
		case kindWishes:
			ok = t.readWishes(&p) && ok
		case kindAct:
			ok = t.readAct(&p) && ok
		case kindLine:
			ok = t.readLine(&p) && ok
		case kindFound:
			ok = t.readLimit(&p) && ok
		case kindPolicy:
			ok = t.readPolicy(&p) && ok
		case kindEnd:
			ok = t.standAll() && t.enlistAll(granted) && t.outboxAddsUp() && ok
		default:
			ok = false
		}
		if !ok || p.bad || len(p.rest) > 0 {
			r.damaged("a record is not what it should be")
		}
	}
}

func (t *tables) readKey(p *parser) bool {
	k := Key{ID: uint32(p.atMost(math.MaxUint32)), Created: p.millis(), Sealed: bytes.Clone(p.text(snapshotRecord))}
	if n := len(t.keys); n > 0 && t.keys[n-1].ID >= k.ID {
		return false
	}
	t.keys = append(t.keys, k)
	return true
}

func (t *tables) outboxAddsUp() bool {
	var sum uint64
	for _, p := range t.partners {
		if p.outbox > t.outbox {
			return false
		}
		sum += p.outbox
	}
	return sum == t.outbox
}

func (t *tables) readCounters(p *parser) {
	c := &t.counters
	for i := range c.finished {
		c.finished[i] = p.atMost(math.MaxInt64)
	}
	t.now = p.millis()
	c.idempotency, c.outbox = p.atMost(math.MaxInt64), p.atMost(math.MaxInt64)
	c.noticeSequence, c.references, c.dropped = p.atMost(math.MaxInt64), p.atMost(referenceMax), p.uint()
	c.stan, c.epoch = uint32(p.atMost(stanMax)), uint16(p.atMost(rrnEpochMax))
}

func (t *tables) readPartner(p *parser) bool {
	var record Partner
	record.ID = PartnerID(p.atMost(math.MaxUint32))
	record.OpenPaymentsMax, record.CreatesPerSecond = uint32(p.atMost(math.MaxUint32)), uint32(p.atMost(math.MaxUint32))
	record.PollsPerSecond, record.WebhooksDisabled = uint32(p.atMost(math.MaxUint32)), p.atMost(1) == 1
	outbox := p.atMost(math.MaxInt64)
	fingerprints, redirects, notifications := p.atMost(snapshotRecord), p.atMost(snapshotRecord), p.atMost(snapshotRecord)
	record.Name = string(p.text(snapshotRecord))
	for ; fingerprints > 0 && !p.bad; fingerprints-- {
		if b := p.bytes(32); len(b) == 32 {
			if _, taken := t.fingerprints[[32]byte(b)]; taken {
				return false
			}
			record.Fingerprints = append(record.Fingerprints, [32]byte(b))
		}
	}
	for ; redirects > 0 && !p.bad; redirects-- {
		record.RedirectURIs = append(record.RedirectURIs, string(p.text(snapshotRecord)))
	}
	for ; notifications > 0 && !p.bad; notifications-- {
		record.NotificationURIs = append(record.NotificationURIs, string(p.text(snapshotRecord)))
	}
	if n := len(t.partners); p.bad || record.ID == 0 || n > 0 && t.partners[n-1].ID >= record.ID {
		return false
	}
	t.setPartner(record).outbox = outbox
	return true
}

func (t *tables) readSeen(p *parser) bool {
	id, verdict := p.bytes(len(CommandID{})), Verdict(p.byte())
	if p.bad || verdict > FactorRefused {
		return false
	}
	if _, twice := t.seen.find(CommandID(id)); twice {
		return false
	}
	t.seen.add(CommandID(id), verdict)
	return true
}

func (t *tables) readAccess(p *parser) bool {
	var r accessRecord
	flag := p.byte()
	r.ended = flag == 1
	r.id, r.epoch, r.signedIn, r.step = CustomerID(p.uint()), Epoch(p.uint()), p.millis(), int64(p.atMost(math.MaxInt64))
	for i := range r.last {
		r.failures[i] = p.byte()
		r.last[i] = p.millis()
	}
	if _, twice := t.access.index[r.id]; twice || p.bad || flag > 1 || r.id == 0 {
		return false
	}
	t.access.add(&r)
	return true
}

// grantedRecord lets payments that were granted be put into the order of their grants.
type grantedRecord struct {
	epoch     uint16
	reference uint64
	slot      uint32
	customer  CustomerID
}

func (t *tables) readOpen(p *parser, granted *[]grantedRecord) bool {
	r, text, ok := readRecord(p.rest)
	p.rest = nil
	partner := t.partnerIndex[r.partner]
	if _, twice := t.open.index[r.id]; !ok || twice || partner == nil || r.state.Final() || (r.state == StateReceived) != (r.reference == 0) {
		return false
	}
	slot := t.open.insert(&r, text)
	partner.open++
	if r.state != StateReceived {
		*granted = append(*granted, grantedRecord{r.epoch, r.reference, slot, r.customer})
	}
	return true
}

// enlistAll puts payments that were granted into the order of their grants.
func (t *tables) enlistAll(granted []grantedRecord) bool {
	slices.SortFunc(granted, func(a, b grantedRecord) int {
		return cmp.Or(cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.reference, b.reference))
	})
	for i, g := range granted {
		if i > 0 && g.epoch == granted[i-1].epoch && g.reference == granted[i-1].reference {
			return false // a reference names one payment
		}
		t.open.enlist(g.slot, g.customer)
	}
	return true
}

func (t *tables) readContradiction(p *parser) bool {
	var c Contradiction
	copy(c.Payment[:], p.bytes(len(c.Payment)))
	c.State, c.First, c.Last = State(p.byte()), p.millis(), p.millis()
	c.Times = uint32(p.atMost(math.MaxUint32))
	c.Said, c.ResponseCode = string(p.text(32)), string(p.text(32))
	if _, twice := t.contradictionIndex[said{c.Payment, c.Said, c.ResponseCode}]; twice {
		return false
	}
	t.addContradiction(c)
	return true
}
