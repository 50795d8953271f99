package gate

import "time"

// Constants of rushes, tuned in simulation before bursts, slow spells and floods.
const (
	rushGain = 0.01 // of the moving average: about the last hundred decisions
	rushPart = 0.05 // of them, above which refusals are a rush
	rushEnds = 10 * time.Second
	laterMax = 10 * time.Second // the most that somebody is put off for it: people and partners who are told more do not come again
)

// rush is a time in which more is offered of a class than can be admitted. Somebody who is refused in it and comes again at once only adds to it; who comes when it is
// over is served, by a core that would otherwise do something of less worth. When that will be nobody knows: what has
// lasted some time is expected to last about as long again (Gott, Nature 1993). So he is put off for that time, in proportion to the part that is refused.
type rush struct {
	part  float64 // of the decisions of late that were refusals for lack of room
	since Time    // when they became more than a few
	last  Time    // the last one
}

func (r *rush) decided(now Time, refused bool) {
	if now-r.last > rushEnds {
		r.part = 0
	}
	if refused {
		r.last = now
		r.part += rushGain
	}
	r.part -= rushGain * r.part
	if r.part < rushPart {
		r.since = now
	}
}

// later is for how long to put off who is refused.
func (r *rush) later(now Time) time.Duration {
	if r.part < rushPart || now-r.last > rushEnds {
		return 0
	}
	return time.Duration(r.part * float64(min(now-r.since, laterMax)))
}
