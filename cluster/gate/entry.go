package gate

// none is the slot that is no slot.
const none int32 = -1

type place uint8

const (
	queued place = iota
	inside
)

// entry is one piece of work that the gate knows: waiting, or inside the core. Entries live in one slab and refer to
// each other by slot, so that the collector has nothing to follow and nothing is allocated while they come and go.
type entry struct {
	ticket   Ticket
	deadline Time   // waiting: when the core's answer is no use any more
	granted  Time   // inside: when the seat was taken
	budget   Time   // as offered; 0 if found by a new leader
	cost     work   // weight, in work
	arrival  uint64 // order of arrival, to break ties

	// Waiting: links of the lane's heap. Inside: neighbours in the list of seats (child is unused).
	child, next, prev int32
	lane              int32

	class Class
	tier  uint8
	place place
	found bool   // inside: granted by an earlier leader
	stall uint32 // inside: the number of the stall in which it was granted, as a probe; 0 outside of one
}
