package gate

import "math/bits"

// laneOverRoom is how many times as long as the room left in the queue a lane may be.
const laneOverRoom = 8

// queue holds what waits for a seat. Each entry stands in three orders: in its lane by deadline (who is next), in
// its class by deadline backwards (who gives way when the queue is full), and among all by deadline (who is too late).
type queue struct {
	entries    []entry // the slab, shared with the seats
	lanes      []lane
	freeLanes  []int32
	laneOf     index // class, tier and partner -> lane
	rings      [Classes][Tiers]ring
	tiers      [Classes]uint8 // bit per tier that has a lane
	latest     [Classes]heap
	byDeadline heap

	length   int
	lengthOf [Classes]int
	workOf   [Classes]work
	arrivals uint64
	places   [Classes]int    // guaranteed to each class
	weights  map[uint32]work // the partners' quanta; workUnit if not listed
}

func newQueue(entries []entry, size int, shares [Classes]float64, weights map[uint32]float64) queue {
	q := queue{
		entries:    entries,
		lanes:      make([]lane, size),
		freeLanes:  make([]int32, size),
		laneOf:     newIndex(size),
		byDeadline: heap{nodes: make([]heapNode, 0, size), at: make([]int32, len(entries))},
		weights:    make(map[uint32]work, len(weights)),
	}
	for partner, weight := range weights {
		q.weights[partner] = work(weight * float64(workUnit))
	}
	for i := range q.freeLanes {
		q.freeLanes[i] = int32(size - 1 - i)
	}
	at := make([]int32, len(entries))
	for class := range q.latest {
		q.places[class] = int(shares[class] * float64(size))
		q.latest[class] = heap{nodes: make([]heapNode, 0, size), at: at}
		for tier := range q.rings[class] {
			q.rings[class][tier].current = none
		}
	}
	return q
}

// add lets an entry wait. There must be room.
func (q *queue) add(slot int32, partner uint32) {
	e := &q.entries[slot]
	q.arrivals++
	e.place, e.arrival = queued, q.arrivals
	e.child, e.next, e.prev = none, none, none
	e.lane = q.laneFor(e.class, e.tier, partner)
	l := &q.lanes[e.lane]
	l.root = q.meld(l.root, slot)
	l.work += e.cost
	l.length++
	q.rings[e.class][e.tier].work += e.cost
	q.latest[e.class].push(-int64(e.deadline), ^e.arrival, slot)
	q.byDeadline.push(int64(e.deadline), e.arrival, slot)
	q.length++
	q.lengthOf[e.class]++
	q.workOf[e.class] += e.cost
}

// remove takes an entry out, from wherever it stands.
func (q *queue) remove(slot int32) {
	e := &q.entries[slot]
	l := &q.lanes[e.lane]
	l.root = q.cut(l.root, slot)
	l.work -= e.cost
	l.length--
	q.rings[e.class][e.tier].work -= e.cost
	if l.root == none {
		q.closeLane(e.lane)
	}
	q.latest[e.class].remove(slot)
	q.byDeadline.remove(slot)
	q.length--
	q.lengthOf[e.class]--
	q.workOf[e.class] -= e.cost
}

func laneKey(class Class, tier uint8, partner uint32) uint64 {
	return uint64(class)<<40 | uint64(tier)<<32 | uint64(partner)
}

func (q *queue) laneFor(class Class, tier uint8, partner uint32) int32 {
	key := laneKey(class, tier, partner)
	if l := q.laneOf.get(key); l != none {
		return l
	}
	l := q.freeLanes[len(q.freeLanes)-1]
	q.freeLanes = q.freeLanes[:len(q.freeLanes)-1]
	q.lanes[l] = lane{partner: partner, class: class, tier: tier, root: none, quantum: q.quantum(partner)}
	q.laneOf.put(key, l)
	q.insert(&q.rings[class][tier], l)
	q.tiers[class] |= 1 << tier
	return l
}

func (q *queue) quantum(partner uint32) work {
	if quantum, listed := q.weights[partner]; listed {
		return quantum
	}
	return workUnit
}

// full reports whether there is no room for work of this lane: the queue is full, or the lane is eight times as long as the
// room that is left (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Trans. Networking 1998). So one partner's flood
// leaves a ninth of the queue to the others.
func (q *queue) full(class Class, tier uint8, partner uint32) bool {
	room := len(q.lanes) - q.length
	if room <= 0 {
		return true
	}
	if q.length < laneOverRoom*room {
		return false // not even one lane alone could be too long
	}
	l := q.laneOf.get(laneKey(class, tier, partner))
	return l != none && q.lanes[l].length >= laneOverRoom*room
}

// ahead estimates the work of its own class that starts before a call which would join this lane now: what waits in better
// tiers, and what all lanes of its tier start in the turns that the lane needs. A flood of one partner is ahead of
// that partner's own calls; ahead of another's is one turn of it.
func (q *queue) ahead(class Class, tier uint8, partner uint32, cost work) work {
	if q.lengthOf[class] == 0 {
		return 0
	}
	var better work
	for t := range tier {
		better += q.rings[class][t].work
	}
	r := &q.rings[class][tier]
	if r.lanes == 0 || r.lanes == 1 && q.lanes[r.current].partner == partner {
		return better + r.work
	}
	own, quanta := work(0), r.quanta
	quantum := q.quantum(partner)
	if l := q.laneOf.get(laneKey(class, tier, partner)); l != none {
		own = q.lanes[l].work
	} else {
		quanta += quantum
	}
	turns := float64(own+cost) / float64(quantum)
	return better + work(min(float64(r.work), turns*float64(quanta)))
}

func (q *queue) closeLane(l int32) {
	ln := &q.lanes[l]
	r := &q.rings[ln.class][ln.tier]
	q.take(r, l)
	if r.lanes == 0 {
		q.tiers[ln.class] &^= 1 << ln.tier
	}
	q.laneOf.remove(laneKey(ln.class, ln.tier, ln.partner))
	q.freeLanes = append(q.freeLanes, l)
}

// next finds who of a class starts next: the best tier, the partner whose turn it is, the earliest deadline.
// The class must have something waiting.
func (q *queue) next(class Class) (slot, lane int32) {
	tier := bits.TrailingZeros8(q.tiers[class])
	lane = q.turn(&q.rings[class][tier])
	return q.lanes[lane].root, lane
}

// givesWay finds who leaves a full queue for work of this class: the latest deadline of the lowest class below it. But a
// guaranteed share of the seats is worth nothing to work that cannot wait for one, so it is one of the queue, too:
// within its places a class gives way to nobody, and it gets them from better classes as well.
func (q *queue) givesWay(class Class) int32 {
	owed := q.lengthOf[class] < q.places[class]
	for c := Class(Classes); c > 0; c-- {
		if worse := c - 1; (worse > class || owed && worse != class) && q.lengthOf[worse] > q.places[worse] {
			return q.latest[worse].nodes[0].slot
		}
	}
	return none
}
