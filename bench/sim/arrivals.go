package sim

import (
	"time"

	"netbank/bench/load"
)

// customers come in streams: flows, each partner's express debits, inquiries.
const (
	flowStream    = 0
	firstPartner  = 1
	inquiryStream = firstPartner + partners
	streams       = inquiryStream + 1
)

// arrivals draws when whoever of a stream comes.
func (s *Scenario) arrivals(seed uint64) ([streams][]time.Duration, error) {
	var all [streams][]time.Duration
	flows, express, inquiries := s.rates()
	for i := range all {
		c := curve(express, s.Surges)
		switch i {
		case flowStream:
			c = curve(flows, s.Surges)
		case firstPartner:
			c = curve(express, s.Surges, s.Flood)
		case inquiryStream:
			c = curve(inquiries, s.Surges)
		}
		if s.Bursts != nil {
			var err error
			// One path for all streams: a burst is something that happens to everybody.
			if c, err = s.Bursts.Curve(seed, c, s.Length); err != nil {
				return all, err
			}
		}
		schedule, err := load.NewSchedule(load.Mix(seed, uint64(i)), c, s.Length)
		if err != nil {
			return all, err
		}
		for _, at, ok := schedule.Next(); ok; _, at, ok = schedule.Next() {
			all[i] = append(all[i], at)
		}
	}
	return all, nil
}

// dice draws what belongs to one customer's nth draw, whatever else happens in the run.
type dice struct{ seed, n uint64 }

// Uint64 makes dice a rand.Source.
func (d *dice) Uint64() uint64 {
	d.n++
	return load.Mix(d.seed, d.n)
}

func (d *dice) roll(seed, customer, draw uint64) {
	d.seed, d.n = load.Mix(load.Mix(seed, customer), draw), 0
}

func (d *dice) uniform() float64 { return float64(d.Uint64()>>11) / (1 << 53) }
