package journal

import (
	"encoding/binary"
	"slices"

	"netbank/cluster/journal/command"
)

// The times of the waiting line. They are fixed: a change is a change of the algorithm.
const (
	// HeadStart is how far a place may lie before the first visit that took it: an order that was made long before its customer came gains this
	// much at most over one that is made and brought at once.
	HeadStart = minute
	// PassIdle is how long a flow that was let in may do nothing before it has to be let in again. Its place stays.
	PassIdle = 5 * minute
)

// Line is where the waiting line stands.
type Line struct {
	Closed    bool   // new flows wait for their turn; else they go in as they come, and no place is given
	Watermark Millis // whoever has a place before it has been called; never goes back
	Waiting   int    // places that have not been called
	Called    uint64 // places called, since the journal began
	Entered   uint64 // turns taken by those who were called, since the journal began
}

// Place is a payment's place in the waiting line.
type Place struct {
	At      Millis // first come, first served, by this time
	Ahead   int    // how many come before it, exactly; those called do not count
	Called  bool   // it may enter
	Entered Millis // when it did, to the second; 0: it did not
}

// spot is a place as a payment keeps it: the time in the upper 44 bits, good until the year 2527, and in the others the seconds from there to its entry,
// plus one. 0: it has no place.
type spot uint64

const (
	spotShift      = 20
	spotAtMax      = Millis(1<<(64-spotShift) - 1)
	spotSecondsMax = 1<<spotShift - 2
)

func newSpot(at Millis) spot { return spot(min(max(at, 1), spotAtMax)) << spotShift }

func (s spot) at() Millis { return Millis(s >> spotShift) }

func (s spot) entered() Millis {
	after := Millis(s & (1<<spotShift - 1))
	if after == 0 {
		return 0
	}
	return s.at() + (after-1)*second
}

func (s spot) enter(now Millis) spot {
	after := min(max(now-s.at(), 0)/second, spotSecondsMax)
	return newSpot(s.at()) | spot(after+1)
}

// lineState is what the journal keeps of the line beside the places. Watermark 0: there never was one.
type lineState struct {
	closed    bool
	watermark Millis
	called    uint64
	entered   uint64
}

// admissionCommand is command for admission: the waiting line, and the limit that the gate has found.
func (m *Machine) admissionCommand(termHolds bool, c *Command, out *Result) {
	switch body := c.Body.(type) {
	case *command.Command_Arrive:
		m.arrive(body.Arrive, out)
	case *command.Command_Enter:
		m.comeIn(body.Enter, out)
	case *command.Command_MoveLine:
		m.moveLine(termHolds, body.MoveLine, out)
	case *command.Command_FindLimit:
		m.findLimit(termHolds, body.FindLimit, out)
	default:
		m.factorsCommand(c, out)
	}
}

// arrive gives a payment its place, at its customer's first visit while there is a line. It keeps the place for as long as it is received, whoever asks
// again, from wherever.
func (m *Machine) arrive(c *command.Arrive, out *Result) {
	if !m.find(c.GetPaymentId(), out) {
		return
	}
	r := &m.found.rec
	switch {
	case r.state != StateReceived || r.expires <= m.now || !m.line.closed && r.spot == 0:
		m.answer(NotAllowed, out)
	case r.spot != 0:
		m.answer(Done, out)
	default:
		r.spot = newSpot(max(r.created, m.now-HeadStart))
		m.open.cells.edit(m.found.slot).spot = r.spot
		if r.spot.at() < m.line.watermark {
			m.line.called++
		} else {
			m.open.stand(m.found.slot, r.spot.at())
		}
		m.answer(Done, out)
	}
}

// comeIn lets a flow in whose turn it is (FairLine). Who does it again within PassIdle takes no second turn.
func (m *Machine) comeIn(c *command.Enter, out *Result) {
	if len(c.GetPaymentId()) == 0 {
		m.enterVisitor(Millis(c.GetSinceMs()), out)
		return
	}
	if !m.find(c.GetPaymentId(), out) {
		return
	}
	r := &m.found.rec
	switch {
	case r.state != StateReceived || r.expires <= m.now || m.line.closed && (r.spot == 0 || r.spot.at() >= m.line.watermark):
		m.answer(NotAllowed, out)
	case !m.line.closed || r.spot.entered() != 0 && m.now-r.spot.entered() < PassIdle:
		m.answer(Done, out)
	default:
		r.spot = r.spot.enter(m.now)
		m.open.cells.edit(m.found.slot).spot = r.spot
		m.line.entered++
		m.answer(Done, out)
	}
}

// enterVisitor lets somebody in who has no payment, only a sealed ticket of the time of his first visit.
func (m *Machine) enterVisitor(since Millis, out *Result) {
	switch {
	case since <= 0:
		out.Verdict = BadCommand
	case m.line.closed && since >= m.line.watermark:
		out.Verdict = NotAllowed
	case m.line.closed:
		m.line.called++
		m.line.entered++
	}
}

// moveLine opens or closes the line, or calls those whose places lie before a time. Only the leader of the entry's own term may: it knows
// how much can be carried.
func (m *Machine) moveLine(termHolds bool, c *command.MoveLine, out *Result) {
	to := Millis(c.GetWatermarkMs())
	switch {
	case to < 0 || to > spotAtMax:
		out.Verdict = BadCommand
	case !termHolds:
		out.Verdict = StaleTerm
	default:
		m.line.closed = c.GetClosed()
		if to > m.line.watermark {
			m.line.watermark = to
			m.line.called += uint64(m.open.callBefore(to))
		}
		m.line.watermark = max(m.line.watermark, 1) // there was a line from here on
	}
}

// Line gives where the waiting line stands.
func (m *Machine) Line() Line {
	return Line{m.line.closed, m.line.watermark, m.open.waiting, m.line.called, m.line.entered}
}

// Place gives a payment's place; false if it has none.
func (m *Machine) Place(id PaymentID) (Place, bool) {
	slot, ok := m.open.index[id]
	if !ok || m.open.cells.at(slot).spot == 0 {
		return Place{}, false
	}
	s := m.open.cells.at(slot).spot
	p := Place{At: s.at(), Called: s.at() < m.line.watermark, Entered: s.entered()}
	if !p.Called {
		p.Ahead = m.open.ahead(p.At)
	}
	return p, true
}

// Ahead tells how many places that have not been called lie before a time.
func (m *Machine) Ahead(at Millis) int { return m.open.ahead(at) }

// WatermarkFor gives the least watermark that calls n more places, or all if there are not so many. More are called only where places of the same
// millisecond have to go together. Without any it is the watermark that is.
func (m *Machine) WatermarkFor(n int) Millis {
	if n <= 0 || m.open.waiting == 0 {
		return m.line.watermark
	}
	return m.open.nth(n) + 1
}

// The places that have not been called lie in buckets of 100 ms, which are counted, in minutes, which are counted too. Within a bucket they are a list,
// threaded through the links that a received payment does not use otherwise: so a place costs the eight bytes of its spot. What is told about them
// never depends on the order of a list.
const (
	lineBucket  = 100 * Millis(1)
	minuteTotal = int(minute / lineBucket)
)

// lineMinute is one minute of places.
type lineMinute struct {
	start Millis
	total int
	count [minuteTotal]uint32
	first [minuteTotal]uint32 // slot of the first in the list
}

func bucketOf(at Millis) (start Millis, bucket int) {
	return at - at%minute, int(at % minute / lineBucket)
}

// minuteAt finds a minute, or where it would stand.
func (t *openTable) minuteAt(start Millis) (int, bool) {
	return slices.BinarySearchFunc(t.minutes, start, func(m *lineMinute, start Millis) int { return int(m.start - start) })
}

// stand puts a received payment among those that wait to be called.
func (t *openTable) stand(slot uint32, at Millis) {
	start, b := bucketOf(at)
	i, ok := t.minuteAt(start)
	if !ok {
		t.minutes = slices.Insert(t.minutes, i, &lineMinute{start: start})
	}
	m := t.minutes[i]
	l := &t.links[slot]
	l.before, l.after = 0, m.first[b]
	if l.after != 0 {
		t.links[l.after].before = slot
	}
	m.first[b] = slot
	m.count[b]++
	m.total++
	t.waiting++
}

// unstand takes one away that waits.
func (t *openTable) unstand(slot uint32, at Millis) {
	start, b := bucketOf(at)
	i, ok := t.minuteAt(start)
	if !ok {
		return
	}
	m := t.minutes[i]
	l := &t.links[slot]
	if l.before == 0 {
		m.first[b] = l.after
	} else {
		t.links[l.before].after = l.after
	}
	if l.after != 0 {
		t.links[l.after].before = l.before
	}
	l.before, l.after = 0, 0
	m.count[b]--
	m.total--
	t.waiting--
	if m.total == 0 {
		t.minutes = slices.Delete(t.minutes, i, i+1)
	}
}

// ahead counts those who wait with a place before at.
func (t *openTable) ahead(at Millis) (n int) {
	start, b := bucketOf(at)
	for _, m := range t.minutes {
		if m.start > start {
			break
		}
		if m.start < start {
			n += m.total
			continue
		}
		for _, count := range m.count[:b] {
			n += int(count)
		}
		for slot := m.first[b]; slot != 0; slot = t.links[slot].after {
			if t.cells.at(slot).spot.at() < at {
				n++
			}
		}
	}
	return n
}

// nth gives the place of the nth who waits, from 1, or of the last.
func (t *openTable) nth(n int) Millis {
	n = min(n, t.waiting)
	for _, m := range t.minutes {
		if n > m.total {
			n -= m.total
			continue
		}
		for b, count := range m.count {
			if n > int(count) {
				n -= int(count)
				continue
			}
			places := make([]Millis, 0, count)
			for slot := m.first[b]; slot != 0; slot = t.links[slot].after {
				places = append(places, t.cells.at(slot).spot.at())
			}
			slices.Sort(places)
			return places[n-1]
		}
	}
	return 0
}

// callBefore takes away all who wait with places before a time, and says how many. It costs a look at the minutes and at those of them who lie in the minute
// of that time: the others' links are not touched, since nobody reads them again.
func (t *openTable) callBefore(at Millis) int {
	was := t.waiting
	start, _ := bucketOf(at)
	for len(t.minutes) > 0 && t.minutes[0].start < start {
		t.waiting -= t.minutes[0].total
		t.minutes = slices.Delete(t.minutes, 0, 1)
	}
	if len(t.minutes) == 0 || t.minutes[0].start != start {
		return was - t.waiting
	}
	first := t.minutes[0]
	for b := range first.first {
		if start+Millis(b)*lineBucket >= at {
			break
		}
		for slot := first.first[b]; slot != 0; {
			next := t.links[slot].after
			if place := t.cells.at(slot).spot.at(); place < at {
				t.unstand(slot, place)
			}
			slot = next
		}
	}
	return was - t.waiting
}

// leaveLine takes a payment's place away that is no longer received.
func (m *Machine) leaveLine() {
	f := &m.found
	if f.rec.spot == 0 {
		return
	}
	if f.rec.spot.at() >= m.line.watermark {
		m.open.unstand(f.slot, f.rec.spot.at())
	}
	f.rec.spot = 0
}

// write writes nothing where there never was a line.
func (l *lineState) write(w *snapshotWriter) {
	if l.watermark == 0 {
		return
	}
	closed := uint64(0)
	if l.closed {
		closed = 1
	}
	var b []byte
	for _, v := range [...]uint64{closed, uint64(l.watermark), l.called, l.entered} {
		b = binary.AppendUvarint(b, v)
	}
	w.record(kindLine, b)
}

func (t *tables) readLine(p *parser) bool {
	once := t.line.watermark == 0
	t.line.closed = p.atMost(1) == 1
	t.line.watermark = Millis(p.atMost(uint64(spotAtMax)))
	t.line.called, t.line.entered = p.uint(), p.uint()
	return once && t.line.watermark > 0
}

// standAll puts the payments back that wait to be called.
func (t *tables) standAll() bool {
	for slot := uint32(1); slot <= t.open.cells.used; slot++ {
		s := t.open.cells.at(slot).spot
		if s != 0 && t.line.watermark == 0 {
			return false // nobody ever stood in a line
		}
		if s != 0 && s.at() >= t.line.watermark {
			t.open.stand(slot, s.at())
		}
	}
	return true
}
