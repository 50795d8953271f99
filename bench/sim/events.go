package sim

import (
	"time"

	"netbank/cluster/gate"
)

type eventKind uint8

const (
	comes        eventKind = iota // a customer of stream at32
	offered                       // call at32 reaches the leader
	told                          // the leader hears that the asker of call at32 has left
	settles                       // the leader hears of the answer to call at32
	granted                       // call at32's node may send it
	refused                       // customer at32 hears that his call was refused
	answered                      // call at32's node has the core's answer
	patienceOver                  // with call at32
	nextStep                      // customer at32 goes on
	again                         // customer at32 tries again
	weatherTurns                  // to the at32th
	leaderGone
	leaderCame
	sampleDue
	lineDue // the room looks at the gate
	comesIn // customer at32, who was called from the line
)

type event struct {
	at     time.Duration
	order  uint64 // of what happens at once, the first planned comes first
	ticket gate.Ticket
	retry  time.Duration
	at32   int32
	kind   eventKind
}

// events is a binary heap; container/heap would box every event.
type events struct {
	heap  []event
	order uint64
}

func (q *events) add(at time.Duration, kind eventKind, slot int32, ticket gate.Ticket) {
	q.push(event{at: at, kind: kind, at32: slot, ticket: ticket})
}

func (q *events) before(i, k int) bool {
	a, b := &q.heap[i], &q.heap[k]
	return a.at < b.at || a.at == b.at && a.order < b.order
}

func (q *events) push(e event) {
	q.order++
	e.order = q.order
	q.heap = append(q.heap, e)
	for i := len(q.heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !q.before(i, parent) {
			return
		}
		q.heap[i], q.heap[parent] = q.heap[parent], q.heap[i]
		i = parent
	}
}

func (q *events) next() (time.Duration, bool) {
	if len(q.heap) == 0 {
		return 0, false
	}
	return q.heap[0].at, true
}

func (q *events) take() event {
	top := q.heap[0]
	last := len(q.heap) - 1
	q.heap[0] = q.heap[last]
	q.heap = q.heap[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return top
		}
		if child+1 < last && q.before(child+1, child) {
			child++
		}
		if !q.before(child, i) {
			return top
		}
		q.heap[i], q.heap[child] = q.heap[child], q.heap[i]
		i = child
	}
}
