package journal

import (
	"slices"
	"testing"

	"netbank/cluster/journal/command"
)

func policy(fence uint64) *command.PutPolicy {
	return &command.PutPolicy{
		Fence: fence, Shares: []uint32{0, 0, 200, 50, 0}, Closed: 1 << 4, Seats: 48, Weights: []*command.Weight{{Partner: 3, Hundredths: 50}, {Partner: 7, Hundredths: 300}},
		Reason: "the 11th", Operator: "ann", Detail: "inquiry is closed",
	}
}

func TestAPolicyIsSetByWhoSawTheLastOne(t *testing.T) {
	b := newBank(t, DefaultLimits())
	before := b.m.Policy()
	b.must(NotAllowed, policy(1))
	b.must(Done, policy(0))
	b.must(NotAllowed, policy(0))
	p := b.m.Policy()
	if before.Version != 0 || p.Version != 1 || p.Shares[2] != 200 || !p.Closed[4] || p.Closed[3] || p.Seats != 48 || !slices.Equal(p.Weights, []Weight{{3, 50}, {7, 300}}) {
		t.Errorf("%+v, then %+v", before, p)
	}
	acts := b.m.Acts(10)
	if len(acts) != 1 || acts[0].Verb != VerbPolicy || acts[0].Operator != "ann" || acts[0].Detail != "inquiry is closed" {
		t.Errorf("%+v", acts)
	}
	again, _ := restored(t, b.m, b.store, DefaultLimits())
	if p := again.Policy(); p.Version != 1 || p.Reason != "the 11th" || len(p.Weights) != 2 || again.Digest() != b.m.Digest() {
		t.Errorf("from a snapshot: %+v", p)
	}
	next := policy(1)
	next.Weights, next.Closed, next.Seats = nil, 0, 0
	b.must(Done, next)
	if p := b.m.Policy(); p.Version != 2 || len(p.Weights) > 0 || p.Closed != [PolicyClasses]bool{} {
		t.Errorf("%+v", p)
	}
}

func TestEverythingIsBounded_APolicy(t *testing.T) {
	b := newBank(t, DefaultLimits())
	f := func(change func(*command.PutPolicy)) {
		t.Helper()
		p := policy(0)
		change(p)
		b.must(BadCommand, p)
	}
	f(func(p *command.PutPolicy) { p.Shares = p.Shares[:4] })
	f(func(p *command.PutPolicy) { p.Shares[0] = ShareWhole + 1 })
	f(func(p *command.PutPolicy) { p.Shares[0] = SharesMax - 249 })
	f(func(p *command.PutPolicy) { p.Closed = 1 << PolicyClasses })
	f(func(p *command.PutPolicy) { p.Seats = LimitMax + 1 })
	f(func(p *command.PutPolicy) { p.Weights[1].Partner = 3 })
	f(func(p *command.PutPolicy) { p.Weights[0].Partner = 0 })
	f(func(p *command.PutPolicy) { p.Weights[0].Hundredths = 0 })
	f(func(p *command.PutPolicy) { p.Weights[0].Hundredths = WeightMax + 1 })
	f(func(p *command.PutPolicy) { p.Weights = make([]*command.Weight, WeightsMax+1) })
	f(func(p *command.PutPolicy) { p.Weights[0] = nil })
	f(func(p *command.PutPolicy) { p.Reason = "" })
	f(func(p *command.PutPolicy) { p.Operator = "a\nb" })
	f(func(p *command.PutPolicy) { p.Detail = "" })
	if len(b.m.Acts(10)) > 0 || b.m.Policy().Version != 0 {
		t.Errorf("%+v, %+v", b.m.Acts(10), b.m.Policy())
	}
}
