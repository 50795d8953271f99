package gate

import (
	"fmt"
	"math"
	"time"
)

// Bounds of the gate. They hold whatever the configuration says.
const (
	CeilingMax        = 4096                      // the highest limit that can be configured
	ResolveSeats      = 2                         // the seats of Resolve's own, beyond the limit
	SeatsMax          = CeilingMax + ResolveSeats // seats that are ever taken
	QueueCap          = 65536                     // the highest QueueMax
	Tiers             = 4                         // tiers 0 to 3; what is higher counts as 3
	WeightMin         = 0.01                      // lower weights count as this
	WeightMax         = 16.0                      // higher weights count as this
	BudgetMax         = 10 * time.Minute          // longer budgets count as this
	PartnerWeightMin  = 0.01
	PartnerWeightMax  = 100.0
	PartnerWeightsMax = 4096 // partners with a weight other than 1
	CoreLimitMax      = 10 * time.Minute
)

// Defaults of a Config, for the fields left zero.
const (
	DefaultLimit       = 64 // the knee of the reference core: with fewer calls inside it idles, with more it trips over itself
	DefaultQueueMax    = 4096
	DefaultCoreLimit   = 10 * time.Second
	DefaultServiceTime = 50 * time.Millisecond
)

// Config is what the gate is built from. The zero value of a field means its default.
type Config struct {
	// Limit is the number of seats in the core: calls that may be inside at once. 1 to CeilingMax, default 64.
	Limit int
	// Seek lets the gate find the limit by itself; Limit is then only where it begins, by default 8.
	Seek bool
	// SeekSeed orders the trials of Seek.
	SeekSeed uint64
	// Ceiling is the operator's upper bound of the limit, however the limit comes about. 1 to CeilingMax, default CeilingMax.
	Ceiling int
	// QueueMax bounds what waits for a seat, over all classes. 1 to QueueCap, default 4096.
	QueueMax int
	// CoreLimit is how long after its grant a call may still be inside the core when no answer has come; then its seat
	// ends. Up to 10 minutes, default 10 s. If a grant may be used some time after it was given, that time belongs in here.
	CoreLimit time.Duration
	// Shares is the part of the seats that each class is guaranteed while it has work, 0 to 1, together at most 0.9.
	// Idle shares are lent. Default: Express 0.10, SignIn 0.05. All zero means the default.
	Shares [Classes]float64
	// PartnerWeights are the partners' parts of a class relative to each other, 0.01 to 100. A partner that is not
	// listed has 1. At most 4096 entries.
	PartnerWeights map[uint32]float64
	// ServiceTime is how long a call of weight 1 is expected to take until the first answer has been measured.
	// Default 50 ms.
	ServiceTime time.Duration
	// IgnoreStalls goes on admitting when the core has stopped answering. For experiments that show what the stall rule is for.
	IgnoreStalls bool
}

// Default gives the configuration that a zero Config stands for.
func Default() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	if c.Ceiling == 0 {
		c.Ceiling = CeilingMax
	}
	if c.Limit == 0 && c.Seek {
		c.Limit = min(seekStart, c.Ceiling)
	}
	if c.Limit == 0 {
		c.Limit = min(DefaultLimit, c.Ceiling)
	}
	if c.QueueMax == 0 {
		c.QueueMax = DefaultQueueMax
	}
	if c.CoreLimit == 0 {
		c.CoreLimit = DefaultCoreLimit
	}
	if c.Shares == [Classes]float64{} {
		c.Shares[Express], c.Shares[SignIn] = 0.10, 0.05
	}
	if c.ServiceTime == 0 {
		c.ServiceTime = DefaultServiceTime
	}
	return c
}

// Validate reports the first value that is out of its range, with the range and the remedy.
func (c Config) Validate() error {
	c = c.withDefaults()
	if c.Ceiling < 1 || c.Ceiling > CeilingMax {
		return fmt.Errorf("gate: ceiling %d is not between 1 and %d; leave it 0 for %d", c.Ceiling, CeilingMax, CeilingMax)
	}
	if c.Limit < 1 || c.Limit > c.Ceiling {
		return fmt.Errorf("gate: limit %d is not between 1 and the ceiling %d; lower the limit or raise the ceiling (at most %d)", c.Limit, c.Ceiling, CeilingMax)
	}
	if c.QueueMax < 1 || c.QueueMax > QueueCap {
		return fmt.Errorf("gate: queue of %d is not between 1 and %d; leave it 0 for %d", c.QueueMax, QueueCap, DefaultQueueMax)
	}
	if c.CoreLimit < 0 || c.CoreLimit > CoreLimitMax {
		return fmt.Errorf("gate: core limit %v is not between 0 and %v; leave it 0 for %v", c.CoreLimit, CoreLimitMax, DefaultCoreLimit)
	}
	if c.ServiceTime < 0 || c.ServiceTime > c.CoreLimit {
		return fmt.Errorf("gate: service time %v is not between 0 and the core limit %v; leave it 0 for %v", c.ServiceTime, c.CoreLimit, DefaultServiceTime)
	}
	return c.validateShares()
}

func (c Config) validateShares() error {
	sum := 0.0
	for class, share := range c.Shares {
		if !(share >= 0 && share <= 1) {
			return fmt.Errorf("gate: share %v of class %v is not between 0 and 1", share, Class(class))
		}
		sum += share
	}
	if sum > 0.9 {
		return fmt.Errorf("gate: guaranteed shares add up to %.3f; at most 0.9, or priority would mean nothing", sum)
	}
	if len(c.PartnerWeights) > PartnerWeightsMax {
		return fmt.Errorf("gate: %d partners have a weight; at most %d, leave out those with weight 1", len(c.PartnerWeights), PartnerWeightsMax)
	}
	for partner, weight := range c.PartnerWeights {
		if !(weight >= PartnerWeightMin && weight <= PartnerWeightMax) {
			return fmt.Errorf("gate: weight %v of partner %d is not between %v and %v", weight, partner, PartnerWeightMin, PartnerWeightMax)
		}
	}
	return nil
}

// work is an amount of work in millionths of a debit. Whole numbers, so that what is added can be taken away again
// without a remainder.
type work int64

const workUnit work = 1_000_000

// workOf turns a weight into work, within WeightMin and WeightMax. What is no number counts as one debit.
func workOf(weight float64) work {
	if weight != weight {
		return workUnit
	}
	return work(math.Round(min(max(weight, WeightMin), WeightMax) * float64(workUnit)))
}
