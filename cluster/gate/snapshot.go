package gate

import "time"

// Tally counts what happened since the gate was made, over all classes.
type Tally struct {
	Answers   uint64 // answers of the core, late ones included
	Late      uint64 // of these, answers that came after their asker's deadline
	Expired   uint64 // seats that ended at the core limit
	Withdrawn uint64 // offers that were taken back
	Stalls    uint64 // times the core was found to have stopped answering
}

// Snapshot is the state of the gate for metrics and for the operator's console. It shares no memory with the gate.
type Snapshot struct {
	Limit    int // seats while the core answers, without Resolve's own
	Found    int // where the search for the limit stands, between its arms; 0 if the limit is not sought
	Probes   int // calls inside that were tried in the present stall
	Ceiling  int
	Taken    int // over all classes, Resolve's own included
	TakenBy  [Classes]int
	Queued   int
	QueuedBy [Classes]int
	Wait     [Classes]time.Duration // of an offer made now, behind all that waits in its class
	Stretch  time.Duration          // mean time of a call per unit of weight, by answers
	SeatTime time.Duration          // the same, with the calls inside in view
	Median   float64                // q50 of elapsed/(stretch*weight)
	Tail     float64                // q95 of it
	Stalled  bool
	Breaker  bool
	Closed   [Classes]bool
	// Counts holds the decisions by class and reason; those under Admitted are starts.
	Counts [Classes][Reasons]uint64
	Tally  Tally
}

// Snapshot gives the state as of the last event.
func (g *Gate) Snapshot() Snapshot {
	s := Snapshot{
		Limit:    g.limit.seats(),
		Ceiling:  g.limit.ceiling,
		Taken:    g.taken,
		TakenBy:  g.takenOf,
		Queued:   g.queue.length,
		QueuedBy: g.queue.lengthOf,
		Stretch:  time.Duration(g.estimate.stretch),
		SeatTime: time.Duration(g.seatTime()),
		Median:   g.estimate.median,
		Tail:     g.estimate.tail,
		Stalled:  g.stalled,
		Breaker:  g.breaker,
		Closed:   g.closed,
		Counts:   g.counts,
		Tally:    g.tally,
	}
	if g.seek.enabled {
		s.Found = g.seek.found()
	}
	s.Tally.Stalls = uint64(g.stall)
	if g.stalled {
		s.Probes = g.probes
	}
	for class := range s.Wait {
		s.Wait[class] = g.wait(Class(class), g.queue.workOf[class], g.seatTime())
	}
	return s
}
