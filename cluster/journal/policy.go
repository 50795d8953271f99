package journal

import (
	"encoding/binary"
	"math"
	"slices"

	"netbank/cluster/journal/command"
)

// Bounds of a policy. They are part of the algorithm, as Limits are.
const (
	// PolicyClasses is the number of the gate's classes, in its order.
	PolicyClasses = 5
	// ShareWhole is all seats, as a share.
	ShareWhole = 1000
	// SharesMax is what all classes together may be guaranteed: with more, priority would mean nothing.
	SharesMax = 900
	// WeightUnit is a partner's weight of 1.
	WeightUnit = 100
	// WeightMax is the highest weight of a partner: 100.
	WeightMax = 100 * WeightUnit
	// WeightsMax is how many partners may have a weight other than 1.
	WeightsMax = 1000
)

// Policy is what operators have set of the gate while it runs. It never changes: each change makes another, with the next version. Nobody may write
// to it. Version 0: nothing was ever set, and each node's configuration counts.
type Policy struct {
	Version uint64 // who sets the next one names it
	At      Millis
	// Shares are what the classes are guaranteed of the seats, in thousandths.
	Shares [PolicyClasses]uint16
	// Closed are the classes that are kept out.
	Closed [PolicyClasses]bool
	// Seats is the most that may be inside the core at the normal level; 0: as configured.
	Seats uint32
	// Weights are the partners' parts of a class, in hundredths, for those who have another than 1; by partner.
	Weights  []Weight
	Reason   string
	Operator string
}

// Weight is a partner's part of a class, relative to those of the others.
type Weight struct {
	Partner    PartnerID
	Hundredths uint32 // 1 to WeightMax
}

// Policy gives what is set now.
func (m *Machine) Policy() *Policy { return m.policy }

func (m *Machine) putPolicy(c *command.PutPolicy, out *Result) {
	next, ok := policyOf(c)
	switch {
	case !ok || !m.signed(c.Reason, c.Operator) || !readable(c.Detail, 1, m.limits.ReasonRunes):
		out.Verdict = BadCommand
	case c.Fence != m.policy.Version:
		out.Verdict = NotAllowed
	default:
		next.Version, next.At = c.Fence+1, m.now
		next.Reason, next.Operator = string([]byte(c.Reason)), string([]byte(c.Operator))
		m.policy = next
		m.enter(Act{Verb: VerbPolicy, Operator: next.Operator, Reason: next.Reason, Detail: string([]byte(c.Detail))})
	}
}

// policyOf reads what is to be set, and says whether it is within the bounds.
func policyOf(c *command.PutPolicy) (*Policy, bool) {
	if len(c.GetShares()) != PolicyClasses || c.Closed >= 1<<PolicyClasses || c.Seats > LimitMax || len(c.Weights) > WeightsMax {
		return nil, false
	}
	p, sum := &Policy{Seats: c.Seats}, uint32(0)
	for class, share := range c.Shares {
		if share > ShareWhole {
			return nil, false
		}
		p.Shares[class], p.Closed[class] = uint16(share), c.Closed&(1<<class) != 0
		sum += share
	}
	for _, w := range c.Weights {
		p.Weights = append(p.Weights, Weight{PartnerID(w.GetPartner()), w.GetHundredths()})
	}
	return p, sum <= SharesMax && p.inOrder()
}

// inOrder says whether the weights are in their bounds and in the order of the partners, each once.
func (p *Policy) inOrder() bool {
	last := PartnerID(0)
	return !slices.ContainsFunc(p.Weights, func(w Weight) bool {
		bad := w.Partner <= last || w.Hundredths < 1 || w.Hundredths > WeightMax
		last = w.Partner
		return bad
	})
}

// writePolicy writes nothing where nothing was ever set.
func writePolicy(w *snapshotWriter, policy *Policy) {
	if policy.Version == 0 {
		return
	}
	b := binary.AppendUvarint(nil, policy.Version)
	b = binary.AppendUvarint(b, uint64(policy.At))
	for class, share := range policy.Shares {
		b = binary.AppendUvarint(b, uint64(share))
		closed := uint64(0)
		if policy.Closed[class] {
			closed = 1
		}
		b = binary.AppendUvarint(b, closed)
	}
	b = binary.AppendUvarint(b, uint64(policy.Seats))
	b = binary.AppendUvarint(b, uint64(len(policy.Weights)))
	for _, v := range policy.Weights {
		b = binary.AppendUvarint(b, uint64(v.Partner))
		b = binary.AppendUvarint(b, uint64(v.Hundredths))
	}
	w.record(kindPolicy, appendText(appendText(b, policy.Reason), policy.Operator))
}

func (t *tables) readPolicy(p *parser) bool {
	n := &Policy{Version: p.uint(), At: p.millis()}
	sum := uint64(0)
	for class := range n.Shares {
		share := p.atMost(ShareWhole)
		sum += share
		n.Shares[class], n.Closed[class] = uint16(share), p.atMost(1) == 1
	}
	n.Seats = uint32(p.atMost(LimitMax))
	for left := p.atMost(WeightsMax); left > 0 && !p.bad; left-- {
		n.Weights = append(n.Weights, Weight{PartnerID(p.atMost(math.MaxUint32)), uint32(p.atMost(WeightMax))})
	}
	n.Reason, n.Operator = string(p.text(snapshotRecord)), string(p.text(snapshotRecord))
	once := t.policy.Version == 0 && n.Version > 0
	t.policy = n
	return once && sum <= SharesMax && n.inOrder()
}
