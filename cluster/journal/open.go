package journal

import (
	"bytes"
	"slices"
)

// openTable holds the payments that are not in a final state. Beside the cells stand three orders that are derived
// from them and are made anew when a snapshot is read: by id, by expiry (received payments) and by grant
// (payments that may be inside the core), of all customers and of each.
type openTable struct {
	cells  slab[paymentRecord]
	texts  texts
	index  map[PaymentID]uint32
	links  []link // by slot
	expiry []due  // a binary heap, the next to expire first
	// The list of granted payments, by order of their grants.
	first, last uint32
	granted     int
	byCustomer  map[CustomerID]uint32 // the newest of each customer's
	byState     [StateReversing + 1]uint64
	// Those who wait to be called from the waiting line, by their places; see line.go.
	minutes []*lineMinute
	waiting int
}

// link places a slot in its order: in the heap while received, in the lists of granted payments, of all and of its customer's, afterwards.
type link struct{ heap, before, after, older, newer uint32 }

type due struct {
	at   Millis
	slot uint32
}

func newOpenTable() openTable {
	return openTable{index: make(map[PaymentID]uint32), byCustomer: make(map[CustomerID]uint32)}
}

func (t *openTable) len() int { return len(t.index) }

// insert takes a payment in. One that is not received is still to be enlisted.
func (t *openTable) insert(r *paymentRecord, text []byte) uint32 {
	slot, cell := t.cells.take()
	*cell = *r
	cell.text = t.texts.put(text)
	cell.textBytes = uint16(len(text))
	t.index[r.id] = slot
	for int(slot) >= len(t.links) {
		t.links = append(t.links, link{})
	}
	t.byState[r.state]++
	if r.state == StateReceived {
		t.expiry = append(t.expiry, due{r.expires, slot})
		t.rise(len(t.expiry) - 1)
	}
	return slot
}

// text appends the payment's texts.
func (t *openTable) text(to []byte, r *paymentRecord) []byte {
	return t.texts.appendTo(to, r.text, int(r.textBytes))
}

// move brings the derived orders in line with a state, and with it a customer, that the caller is about to write into the cell.
func (t *openTable) move(slot uint32, customer CustomerID, from, to State) {
	t.byState[from]--
	t.byState[to]++
	if from == StateReceived {
		t.unheap(slot)
		if !to.Final() {
			t.enlist(slot, customer)
		}
	} else if to.Final() {
		t.delist(slot, customer)
	}
}

// remove forgets a payment that has reached a final state by move.
func (t *openTable) remove(slot uint32) {
	r := t.cells.at(slot)
	t.byState[r.state]--
	delete(t.index, r.id)
	t.texts.drop(r.text)
	t.cells.drop(slot)
}

// enlist puts a payment at the end of all grants, and before its customer's earlier ones.
func (t *openTable) enlist(slot uint32, customer CustomerID) {
	older := t.byCustomer[customer]
	t.links[slot] = link{before: t.last, older: older}
	if older != 0 {
		t.links[older].newer = slot
	}
	t.byCustomer[customer] = slot
	if t.last == 0 {
		t.first = slot
	} else {
		t.links[t.last].after = slot
	}
	t.last = slot
	t.granted++
}

func (t *openTable) delist(slot uint32, customer CustomerID) {
	l := t.links[slot]
	switch {
	case l.newer != 0:
		t.links[l.newer].older = l.older
	case l.older != 0:
		t.byCustomer[customer] = l.older
	default:
		delete(t.byCustomer, customer)
	}
	if l.older != 0 {
		t.links[l.older].newer = l.newer
	}
	if l.before == 0 {
		t.first = l.after
	} else {
		t.links[l.before].after = l.after
	}
	if l.after == 0 {
		t.last = l.before
	} else {
		t.links[l.after].before = l.before
	}
	t.links[slot] = link{}
	t.granted--
}

// sooner orders by expiry, then by id, so that the order is that of the log's contents and not of the heap's history.
func (t *openTable) sooner(a, b due) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	x, y := t.cells.at(a.slot).id, t.cells.at(b.slot).id
	return bytes.Compare(x[:], y[:]) < 0
}

func (t *openTable) place(i int, d due) {
	t.expiry[i] = d
	t.links[d.slot].heap = uint32(i)
}

func (t *openTable) rise(i int) {
	d := t.expiry[i]
	for i > 0 {
		parent := (i - 1) / 2
		if !t.sooner(d, t.expiry[parent]) {
			break
		}
		t.place(i, t.expiry[parent])
		i = parent
	}
	t.place(i, d)
}

func (t *openTable) sink(i int) {
	d := t.expiry[i]
	for {
		child := 2*i + 1
		if child >= len(t.expiry) {
			break
		}
		if child+1 < len(t.expiry) && t.sooner(t.expiry[child+1], t.expiry[child]) {
			child++
		}
		if !t.sooner(t.expiry[child], d) {
			break
		}
		t.place(i, t.expiry[child])
		i = child
	}
	t.place(i, d)
}

func (t *openTable) unheap(slot uint32) {
	i, last := int(t.links[slot].heap), len(t.expiry)-1
	moved := t.expiry[last]
	t.expiry = t.expiry[:last]
	if i < last {
		t.place(i, moved)
		t.rise(i)
		t.sink(int(t.links[moved.slot].heap))
	}
}

// expired gives at most n received payments whose time is over, the oldest first. Its cost grows with what it gives,
// not with the table.
func (t *openTable) expired(now Millis, n int) []PaymentID {
	if n <= 0 || len(t.expiry) == 0 || t.expiry[0].at > now {
		return nil
	}
	var ids []PaymentID
	// The next one is always a child of one that was given. The frontier is kept in order, the soonest last.
	frontier := []int{0}
	for len(frontier) > 0 && len(ids) < n {
		i := frontier[len(frontier)-1]
		frontier = frontier[:len(frontier)-1]
		ids = append(ids, t.cells.at(t.expiry[i].slot).id)
		for child := 2*i + 1; child <= 2*i+2 && child < len(t.expiry); child++ {
			if t.expiry[child].at > now {
				continue
			}
			at, _ := slices.BinarySearchFunc(frontier, child, func(a, b int) int {
				if t.sooner(t.expiry[b], t.expiry[a]) {
					return -1
				}
				return 1
			})
			frontier = slices.Insert(frontier, at, child)
		}
	}
	return ids
}

// accessTable holds the sign-in state of every customer.
type accessTable struct {
	cells slab[accessRecord]
	index map[CustomerID]uint32
}

type accessRecord struct {
	id       CustomerID
	epoch    Epoch
	signedIn Millis
	step     int64
	last     [3]Millis
	failures [3]uint8
	ended    bool
}

func newAccessTable() accessTable { return accessTable{index: make(map[CustomerID]uint32)} }

func (t *accessTable) len() int { return len(t.index) }

func (t *accessTable) add(r *accessRecord) {
	slot, cell := t.cells.take()
	*cell = *r
	t.index[r.id] = slot
}

func (r *accessRecord) access() Access {
	a := Access{Epoch: r.epoch, SignedIn: r.signedIn, Ended: r.ended, TOTPStep: r.step}
	for i := range a.Lanes {
		a.Lanes[i] = Lane{r.failures[i], r.last[i]}
	}
	return a
}

// clear forgets a lane's failures.
func (r *accessRecord) clear(lane int) { r.failures[lane], r.last[lane] = 0, 0 }

// seenTable remembers the newest command ids and what was answered, in a ring.
type seenTable struct {
	cells slab[seenRecord]
	index map[CommandID]uint32
	limit int
	next  uint32 // the oldest, replaced next, once the ring is full
}

type seenRecord struct {
	id      CommandID
	verdict Verdict
}

func newSeenTable(limit int) seenTable {
	return seenTable{index: make(map[CommandID]uint32), limit: max(1, limit), next: 1}
}

func (t *seenTable) find(id CommandID) (Verdict, bool) {
	slot, ok := t.index[id]
	if !ok {
		return 0, false
	}
	return t.cells.at(slot).verdict, true
}

// add remembers an id that is not in the table.
func (t *seenTable) add(id CommandID, v Verdict) {
	if t.cells.len() < t.limit {
		slot, cell := t.cells.take()
		*cell = seenRecord{id, v}
		t.index[id] = slot
		return
	}
	cell := t.cells.edit(t.next)
	delete(t.index, cell.id)
	*cell = seenRecord{id, v}
	t.index[id] = t.next
	if t.next++; int(t.next) > t.limit {
		t.next = 1
	}
}
