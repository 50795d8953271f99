package gate

// SetShares changes what the classes are guaranteed of the seats, and the partners' parts of a class: those of a Config that Validate accepts. What
// waits keeps its place; a lane that waits already has its new part from its next turn on.
func (g *Gate) SetShares(now Time, shares [Classes]float64, weights map[uint32]float64, out []Decision) []Decision {
	out = g.pass(now, out)
	g.shares = shares
	g.queue.reweigh(shares, weights)
	return g.fill(out)
}

// reweigh takes up other shares and weights.
func (q *queue) reweigh(shares [Classes]float64, weights map[uint32]float64) {
	q.weights = make(map[uint32]work, len(weights))
	for partner, weight := range weights {
		q.weights[partner] = work(weight * float64(workUnit))
	}
	for class := range q.rings {
		q.places[class] = int(shares[class] * float64(len(q.lanes)))
		for tier := range q.rings[class] {
			r := &q.rings[class][tier]
			r.quanta = 0
			for i, l := 0, r.current; i < r.lanes; i, l = i+1, q.lanes[l].next {
				q.lanes[l].quantum = q.quantum(q.lanes[l].partner)
				r.quanta += q.lanes[l].quantum
			}
		}
	}
}
