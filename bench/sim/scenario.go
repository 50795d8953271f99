package sim

import (
	"errors"
	"fmt"
	"time"

	"netbank/bench/load"
	"netbank/core-adapter/simulated/congestion"
)

// Seeds. Constants are found on the ones, and judged on the others.
const (
	TuningSeed   = 1
	JudgingSeed  = 1001
	SeedsApart   = 1000 // seeds of a kind are that many at most
	DefaultSeeds = 5
)

// TuningSeeds gives n seeds for finding constants.
func TuningSeeds(n int) []uint64 { return seeds(TuningSeed, n) }

// JudgingSeeds gives n seeds on which nothing is tuned.
func JudgingSeeds(n int) []uint64 { return seeds(JudgingSeed, n) }

func seeds(first uint64, n int) []uint64 {
	out := make([]uint64, min(max(n, 0), SeedsApart))
	for i := range out {
		out[i] = first + uint64(i)
	}
	return out
}

// Scenario is a core, its weather, and who comes.
type Scenario struct {
	Name, About string
	Length      time.Duration // 1 s to an hour

	Core      congestion.Model // PS or Servers
	Scale     float64          // of all demands: 0 counts as 1
	Variation float64          // coefficient of variation of a call's demand: 0 counts as 1
	Weather   []Weather        // in the order of At

	// Times is the mean work that is asked for, by the core's best at capacity 1, up to 100.
	Times   float64
	Surges  []Surge
	Bursts  *load.Bursts
	Flood   []Surge // of the first partner's express debits alone
	Bulk    float64 // part of the work that is express debits and inquiries, 0 counts as 0.3; the rest is flows
	Habits  Habits
	Think   time.Duration    // before the confirmation, in the mean: 0 counts as 11 s, which is checking payee and amount, taking up the telephone, typing the code
	Free    [Operations]bool // for which the core is not asked: the bank answers by itself
	Nodes   []time.Duration  // one-way delays to the leader; none counts as three nodes of 0.2 ms, 0.5 ms and 1 ms
	Changes []Change         // of the leader, in the order of At
	// Misweighed multiplies the weights that the gate is told: 0 counts as 1.
	Misweighed [Operations]float64
}

// Weather is a change of the core, or of the way to it.
type Weather struct {
	At       time.Duration
	Capacity float64 // factor from now on
	Model    *congestion.Model
	Delay    time.Duration // that every answer takes longer on its way, from now on
}

// Surge multiplies arrivals for a while.
type Surge struct {
	From, Until time.Duration
	Factor      float64
}

// Change of the leader: from At on there is none, for as long as For. The next one knows the seats and the last limit.
type Change struct{ At, For time.Duration }

// Habits are how customers bear waiting. people.Habits has the same for the customers of a real bank.
type Habits struct {
	Patience time.Duration // without an answer; 0 counts as 15 s
	Tries    int           // in all; 0 counts as 1
	Again    time.Duration // from a refusal to the next try, at least
	Heeds    bool          // waits as long as he is told to, if that is longer
}

// Patient customers heed what they are told. Impatient ones press the button again at once.
func Patient() Habits {
	return Habits{Patience: 15 * time.Second, Tries: 3, Again: time.Second, Heeds: true}
}

// Impatient customers give an answer three seconds, and try three times at once.
func Impatient() Habits {
	return Habits{Patience: 3 * time.Second, Tries: 3, Again: 50 * time.Millisecond}
}

const (
	partners     = 5 // of express debits, with equal parts
	goesOn       = 0.9
	timesMax     = 100
	lengthMax    = time.Hour
	arrivalsMax  = 8_000_000
	thinkDefault = 11 * time.Second
	looksAfter   = 300 * time.Millisecond
	coreLimit    = 10 * time.Second
	limitKept    = 0.9 // of its predecessor's, by a new leader: it may have been too high
	bulkDefault  = 0.3
	expressShare = 2.0 / 3 // of the bulk's work; inquiries are the rest
)

func (s *Scenario) withDefaults() Scenario {
	c := *s
	if c.Scale == 0 {
		c.Scale = 1
	}
	if c.Variation == 0 {
		c.Variation = 1
	}
	if c.Bulk == 0 {
		c.Bulk = bulkDefault
	}
	if c.Think == 0 {
		c.Think = thinkDefault
	}
	if c.Habits == (Habits{}) {
		c.Habits = Patient()
	}
	if c.Habits.Patience == 0 {
		c.Habits.Patience = Patient().Patience
	}
	c.Habits.Tries = max(c.Habits.Tries, 1)
	if len(c.Nodes) == 0 {
		c.Nodes = []time.Duration{200 * time.Microsecond, 500 * time.Microsecond, time.Millisecond}
	}
	for i, x := range c.Misweighed {
		if x == 0 {
			c.Misweighed[i] = 1
		}
	}
	return c
}

// ErrScenario says that a scenario cannot be played.
var ErrScenario = errors.New("sim: bad scenario")

func (s *Scenario) check() error {
	_, peak := s.Core.Knee()
	switch {
	case s.Length < time.Second || s.Length > lengthMax:
		return fmt.Errorf("%w: a length of %v; it may be 1 s to %v", ErrScenario, s.Length, lengthMax)
	case s.Core.Validate() != nil:
		return fmt.Errorf("%w: %w", ErrScenario, s.Core.Validate())
	case !(peak > 0 && peak < 1e6):
		return fmt.Errorf("%w: a core of kind %q has no peak; take ps with sigma or kappa, or servers", ErrScenario, s.Core.Kind)
	case !(s.Times > 0 && s.Times <= timesMax):
		return fmt.Errorf("%w: %v times the peak; it may be up to %d", ErrScenario, s.Times, timesMax)
	case s.Free[Confirm] || s.Free[Express] || s.Free[Inquiry]:
		return fmt.Errorf("%w: confirmations, express debits and inquiries are what a core is for; only sign-ins and looks may be free", ErrScenario)
	case s.Think < 0:
		return fmt.Errorf("%w: %v of thought", ErrScenario, s.Think)
	case !(s.Bulk > 0 && s.Bulk <= 1):
		return fmt.Errorf("%w: a bulk of %v; it is a part, up to 1", ErrScenario, s.Bulk)
	case s.expected() > arrivalsMax:
		return fmt.Errorf("%w: about %.0f customers; at most %d, make it shorter", ErrScenario, s.expected(), arrivalsMax)
	}
	for _, w := range s.Weather {
		if err := congestion.ValidateCapacity(w.Capacity); err != nil {
			return fmt.Errorf("%w: %w", ErrScenario, err)
		}
		if w.Model != nil && w.Model.Validate() != nil {
			return fmt.Errorf("%w: %w", ErrScenario, w.Model.Validate())
		}
	}
	return nil
}

func (s *Scenario) demand(o Operation) float64 {
	if s.Free[o] {
		return 0
	}
	return o.terms().demand.Seconds() * s.Scale
}

// value is what an answer in time is worth; what the core is not asked for is nothing that it could be used well for.
func (s *Scenario) value(o Operation) float64 {
	if s.Free[o] {
		return 0
	}
	return o.terms().value
}

// flowDemand is the mean work of a whole flow, in seconds.
func (s *Scenario) flowDemand() float64 {
	return s.demand(SignIn) + s.demand(View) + goesOn*s.demand(Confirm)
}

// rates are the arrivals a second of flows, of one partner's express debits and of inquiries.
func (s *Scenario) rates() (flows, express, inquiries float64) {
	_, peak := s.Core.Knee()
	work := peak * s.Times
	return work * (1 - s.Bulk) / s.flowDemand(),
		work * s.Bulk * expressShare / s.demand(Express) / partners,
		work * s.Bulk * (1 - expressShare) / s.demand(Inquiry)
}

// expected is how many customers come in the mean.
func (s *Scenario) expected() float64 {
	flows, express, inquiries := s.rates()
	usual := curve(flows+(partners-1)*express+inquiries, s.Surges).Expected(s.Length)
	return usual + curve(express, s.Surges, s.Flood).Expected(s.Length)
}

// curve is a rate under surges, which must not overlap.
func curve(perSecond float64, surges ...[]Surge) load.Curve {
	c := load.Constant(perSecond)
	for _, of := range surges {
		for _, g := range of {
			c = surge(c, g)
		}
	}
	return c
}

// surge multiplies the part of a curve from g.From until g.Until.
func surge(c load.Curve, g Surge) load.Curve {
	var out load.Curve
	add := func(from time.Duration, perSecond float64) {
		if n := len(out); n > 0 && out[n-1].From == from {
			out[n-1].PerSecond = perSecond
			return
		}
		out = append(out, load.Step{From: from, PerSecond: perSecond})
	}
	for i, step := range c {
		end := time.Duration(1<<63 - 1)
		if i+1 < len(c) {
			end = c[i+1].From
		}
		if step.From < g.From || step.From >= g.Until {
			add(step.From, step.PerSecond)
		}
		if in := max(step.From, g.From); in < min(end, g.Until) {
			add(in, step.PerSecond*g.Factor)
		}
		if step.From < g.Until && g.Until < end {
			add(g.Until, step.PerSecond)
		}
	}
	return out
}
