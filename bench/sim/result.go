package sim

import (
	"encoding/json"
	"math"
	"time"

	"netbank/cluster/gate"
)

// Result is what became of everybody in one run.
type Result struct {
	Scenario string
	Policy   string
	Seed     uint64
	// Value in the counted part of the run, and what a clairvoyant would have had at most.
	Value, Clairvoyant float64
	Offered            uint64
	Outcomes           [streams][Outcomes]uint64 // of flows, of each partner's express debits, of inquiries
	Tries              [Operations]uint64
	InTime             [Operations]uint64
	Attached           uint64               // tries that joined what was under way, or found its answer
	Refusals           [gate.Reasons]uint64 // by the admission, of tries
	// Signed flows were let in: SignedOutcomes is how they ended.
	Signed         uint64
	SignedOutcomes [Outcomes]uint64
	Samples        []Sample
	// Waits in the line that ended, or should have by what was shown; of these those for which a range was shown at first, and of these those that lay inside it.
	Waits, WaitsKnown, WaitsInside uint64
	// Recoveries are how soon the core was used again after each change of it, and after each change of the leader.
	Recoveries []Recovery
	Events     uint64 // of the simulation
	// Violations counts what must not be: a decision about a call that waits for none, a call started beyond the limit.
	Violations uint64
	// Inversions are calls that were started before waiting ones of a better class, and that no guaranteed share explains; Shared are those that one does. See precedence.
	Inversions, Shared uint64

	tickets            uint64
	offers             uint64 // that reached the admission
	decided, withdrawn uint64
	queued             uint64 // at the end
	started, wasted    float64
	work               []float64 // in time, by workBin
}

// Sample is the admission's state every tenth of a second.
type Sample struct {
	At     time.Duration
	Limit  int
	Inside int
	Queued int
}

const sampleEvery = 100 * time.Millisecond

// Recovery is what followed a change for better or worse.
type Recovery struct {
	At    time.Duration // of the change
	After time.Duration // from then on two seconds together were within a tenth of the best that the core could do now
	Known bool          // false: that was not so before the next change, which is After away
}

const (
	recoveredPart = 0.9
	recoveredFor  = 2 * time.Second
)

// recoveries are found where there is always more to do than the core can.
func (r *run) recoveries() []Recovery {
	if r.s.Times <= 1 || r.s.Bursts != nil {
		return nil
	}
	type change struct {
		at   time.Duration
		best float64
	}
	var all []change
	_, best := r.s.Core.Knee()
	peak := best
	for _, w := range r.s.Weather {
		if w.Model != nil {
			_, peak = w.Model.Knee()
		}
		best = peak * w.Capacity
		all = append(all, change{w.At, best})
	}
	for _, c := range r.s.Changes {
		all = append(all, change{c.At + c.For, best})
	}
	var found []Recovery
	for i, c := range all {
		end := r.s.Length
		if i+1 < len(all) {
			end = min(end, all[i+1].at)
		}
		if c.best == 0 || c.at >= end {
			continue
		}
		found = append(found, r.recovery(c.at, end, recoveredPart*c.best*recoveredFor.Seconds()))
	}
	return found
}

func (r *run) recovery(from, end time.Duration, enough float64) Recovery {
	for at := from; at+recoveredFor <= end; at += workBin {
		sum := 0.0
		for _, w := range r.result.work[int(at/workBin):int((at+recoveredFor)/workBin)] {
			sum += w
		}
		if sum >= enough {
			return Recovery{At: from, After: at - from, Known: true}
		}
	}
	return Recovery{At: from, After: end - from}
}

// Percent is the value as a part of the clairvoyant's.
func (r *Result) Percent() float64 {
	if r.Clairvoyant <= 0 {
		return 100
	}
	return 100 * r.Value / r.Clairvoyant
}

// Wasted is the part of the work, in percent, that was begun for answers which came too late, or for nobody.
func (r *Result) Wasted() float64 {
	if r.started == 0 {
		return 0
	}
	return 100 * r.wasted / r.started
}

// Finished is the part of the flows let in whose customers got all they wanted in time, in percent. Those still thinking at the
// end do not count.
func (r *Result) Finished() float64 {
	ended := r.Signed - r.SignedOutcomes[Unfinished]
	if ended == 0 {
		return 100
	}
	return 100 * float64(r.SignedOutcomes[Completed]) / float64(ended)
}

// DebitsInTime is the part of each partner's express debits that was answered in time, in percent of those that ended, the first partner's first.
func (r *Result) DebitsInTime() [partners]float64 {
	var all [partners]float64
	for partner := range all {
		of := &r.Outcomes[firstPartner+partner]
		ended := uint64(0)
		for o, n := range of {
			if Outcome(o) != Unfinished {
				ended += n
			}
		}
		all[partner] = 100
		if ended > 0 {
			all[partner] = 100 * float64(of[Completed]) / float64(ended)
		}
	}
	return all
}

// Limits gives the geometric mean of the limit over the last half of the run, and its least and greatest there.
func (r *Result) Limits() (mean float64, least, most int) {
	if len(r.Samples) == 0 {
		return 0, 0, 0
	}
	half := r.Samples[len(r.Samples)/2:]
	least = half[0].Limit
	for _, s := range half {
		mean += math.Log(float64(s.Limit)) / float64(len(half))
		least, most = min(least, s.Limit), max(most, s.Limit)
	}
	return math.Exp(mean), least, most
}

// workBin is how finely the work is counted that was answered in time.
const workBin = 100 * time.Millisecond

// PerSecond is the mean work of what was answered in time, for each second of the run.
func (r *Result) PerSecond() []float64 {
	const bins = int(time.Second / workBin)
	all := make([]float64, (len(r.work)+bins-1)/bins)
	for i, w := range r.work {
		all[i/bins] += w
	}
	return all
}

// MarshalJSON gives the figures without the samples.
func (r Result) MarshalJSON() ([]byte, error) {
	limit, least, most := r.Limits()
	outcomes := make(map[string]uint64)
	for _, of := range r.Outcomes {
		for o, n := range of {
			outcomes[Outcome(o).String()] += n
		}
	}
	inTime, refusals := make(map[string]uint64), make(map[string]uint64)
	for o, n := range r.InTime {
		inTime[Operation(o).String()] = n
	}
	for reason, n := range r.Refusals {
		if n > 0 {
			refusals[gate.Reason(reason).String()] = n
		}
	}
	return json.Marshal(struct {
		Schema                                                    string
		Scenario, Policy                                          string
		Seed                                                      uint64
		Value, Clairvoyant, Percent, WastedPercent, FlowsFinished float64
		Offered                                                   uint64
		Outcomes, InTime, RefusedTries                            map[string]uint64
		LimitMean                                                 float64
		LimitLeast, LimitMost                                     int
		Events, Violations, Inversions, Shared                    uint64
		Waits, WaitsKnown, WaitsInside                            uint64
		Attached                                                  uint64
		Recoveries                                                []Recovery
		DebitsInTime                                              [partners]float64
	}{
		"netbank-sim-1", r.Scenario, r.Policy, r.Seed, r.Value, r.Clairvoyant, r.Percent(), r.Wasted(), r.Finished(), r.Offered,
		outcomes, inTime, refusals, limit, least, most, r.Events, r.Violations, r.Inversions, r.Shared, r.Waits, r.WaitsKnown, r.WaitsInside, r.Attached, r.Recoveries, r.DebitsInTime(),
	})
}

func (r *run) sample() {
	s := r.adm.Snapshot()
	r.result.Samples = append(r.result.Samples, Sample{r.now, s.Limit, s.Taken, s.Queued})
	r.events.add(r.now+sampleEvery, sampleDue, 0, 0)
}

// close ends the run: who is under way stays unfinished.
func (r *run) close() {
	gone := make([]bool, len(r.customers))
	for _, slot := range r.freeCust {
		gone[slot] = true
	}
	for slot := range r.customers {
		if !gone[slot] {
			r.leave(int32(slot), Unfinished)
		}
	}
	for i := range r.calls {
		if r.calls[i].state == waiting {
			r.result.queued++
		}
	}
	r.overdue()
	r.result.Recoveries = r.recoveries()
}

// seatCount counts seats for itself, to hold the admission to its limit: a seat is taken from the grant to the moment at which the
// leader hears of the answer, or to the core limit.
type seatCount struct {
	inside map[gate.Ticket]gate.Class
	of     [gate.Classes]int
	order  []grant
}

type grant struct {
	ticket gate.Ticket
	at     time.Duration
}

func (s *seatCount) begin(t gate.Ticket, class gate.Class, now time.Duration) {
	if s.inside == nil {
		s.inside = make(map[gate.Ticket]gate.Class)
	}
	s.inside[t] = class
	s.of[class]++
	s.order = append(s.order, grant{t, now})
}

func (s *seatCount) end(t gate.Ticket) {
	if class, ok := s.inside[t]; ok {
		delete(s.inside, t)
		s.of[class]--
	}
}

func (s *seatCount) taken(now time.Duration) int {
	for len(s.order) > 0 && s.order[0].at+coreLimit <= now {
		s.end(s.order[0].ticket)
		s.order = s.order[1:]
	}
	return len(s.inside)
}
