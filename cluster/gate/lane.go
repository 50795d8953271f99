package gate

// lane is what one partner has waiting in one tier of one class: a heap by deadline, and its account in the
// round robin. Lanes exist only while something waits in them.
type lane struct {
	partner    uint32
	class      Class
	tier       uint8
	root       int32 // the entry with the earliest deadline
	next, prev int32 // the ring of lanes of the same class and tier
	deficit    work  // what the lane may still start in this turn
	quantum    work  // what it is given at each turn: the partner's weight
	work       work  // what waits in it
	length     int
}

// ring is the lanes of one class and tier, in the order of their turns.
type ring struct {
	current int32 // the lane whose turn it is; none if the ring is empty
	lanes   int
	quanta  work // of all lanes
	work    work // what waits in all lanes
}

// insert puts a lane at the end of the round.
func (q *queue) insert(r *ring, l int32) {
	r.lanes++
	r.quanta += q.lanes[l].quantum
	if r.current == none {
		q.lanes[l].next, q.lanes[l].prev = l, l
		q.lanes[l].deficit = q.lanes[l].quantum
		r.current = l
		return
	}
	after := r.current
	before := q.lanes[after].prev
	q.lanes[l].next, q.lanes[l].prev = after, before
	q.lanes[before].next, q.lanes[after].prev = l, l
}

// take removes a lane from its ring. What it had left is forfeit: a share cannot be saved up.
func (q *queue) take(r *ring, l int32) {
	r.lanes--
	r.quanta -= q.lanes[l].quantum
	next, prev := q.lanes[l].next, q.lanes[l].prev
	q.lanes[prev].next, q.lanes[next].prev = next, prev
	if r.current != l {
		return
	}
	r.current = none
	if r.lanes > 0 {
		r.current = next
		q.lanes[next].deficit += q.lanes[next].quantum
	}
}

// turn finds the lane that starts next by deficit round robin (Shreedhar and Varghese, SIGCOMM 1995): each lane gets its
// quantum when its turn comes, and keeps the turn while its deficit covers its next call. A quantum may be smaller
// than a call, so that partners with small weights need several rounds; rounds in which nobody could start are
// then taken in one step instead of being walked.
func (q *queue) turn(r *ring) int32 {
	for passed := 0; ; passed++ {
		l := &q.lanes[r.current]
		if l.deficit >= q.entries[l.root].cost {
			return r.current
		}
		if passed == r.lanes {
			q.skipRounds(r)
			passed = 0
		}
		r.current = l.next
		q.lanes[r.current].deficit += q.lanes[r.current].quantum
	}
}

// skipRounds gives every lane the quanta of all the rounds in which none could start yet.
func (q *queue) skipRounds(r *ring) {
	rounds := work(-1)
	for i, l := 0, r.current; i < r.lanes; i, l = i+1, q.lanes[l].next {
		ln := &q.lanes[l]
		short := q.entries[ln.root].cost - ln.deficit
		if need := (short + ln.quantum - 1) / ln.quantum; rounds < 0 || need < rounds {
			rounds = need
		}
	}
	if rounds <= 1 {
		return
	}
	for i, l := 0, r.current; i < r.lanes; i, l = i+1, q.lanes[l].next {
		q.lanes[l].deficit += (rounds - 1) * q.lanes[l].quantum
	}
}

// The heap of a lane is a pairing heap (Fredman, Sedgewick, Sleator, Tarjan, Algorithmica 1986) threaded through the
// entries: any number of lanes share one slab, and an entry can leave from the middle.

func (q *queue) earlier(a, b int32) bool {
	x, y := &q.entries[a], &q.entries[b]
	return x.deadline < y.deadline || x.deadline == y.deadline && x.arrival < y.arrival
}

// meld joins two heaps, either of which may be none, and returns the root.
func (q *queue) meld(a, b int32) int32 {
	if a == none {
		return b
	}
	if b == none {
		return a
	}
	if q.earlier(b, a) {
		a, b = b, a
	}
	child := q.entries[a].child
	q.entries[b].next, q.entries[b].prev = child, a
	if child != none {
		q.entries[child].prev = b
	}
	q.entries[a].child = b
	return a
}

// pair joins siblings into one heap: two by two from the left, then the pairs from the right.
func (q *queue) pair(first int32) int32 {
	pairs := none
	for first != none {
		a := first
		b := q.entries[a].next
		first = none
		if b != none {
			first = q.entries[b].next
		}
		a = q.meld(a, b)
		q.entries[a].next = pairs
		pairs = a
	}
	root := none
	for pairs != none {
		next := q.entries[pairs].next
		q.entries[pairs].next = none
		root = q.meld(root, pairs)
		pairs = next
	}
	if root != none {
		q.entries[root].next, q.entries[root].prev = none, none
	}
	return root
}

// cut removes an entry from a lane's heap and returns the new root.
func (q *queue) cut(root, x int32) int32 {
	e := &q.entries[x]
	rest := q.pair(e.child)
	e.child = none
	if x == root {
		return rest
	}
	if q.entries[e.prev].child == x {
		q.entries[e.prev].child = e.next
	} else {
		q.entries[e.prev].next = e.next
	}
	if e.next != none {
		q.entries[e.next].prev = e.prev
	}
	e.next, e.prev = none, none
	return q.meld(root, rest)
}
