package main

import (
	"context"
	"fmt"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
	"github.com/failsafe-go/failsafe-go/priority"

	"netbank/cluster/gate"
)

// calibrateEvery is how often the prioritizer looks at the queue; its documentation says 500 ms.
const calibrateEvery = 500 * time.Millisecond

// adaptive is failsafe-go's adaptive limiter.
type adaptive struct {
	of adaptivelimiter.AdaptiveLimiter[any]
}

func (a adaptive) acquire() (func(bool), bool) {
	permit, ok := a.of.TryAcquirePermit()
	if !ok {
		return nil, false
	}
	return func(bool) { permit.Record() }, true
}

func (a adaptive) limit() int { return a.of.Limit() }

// prioritized is the same limiter with its queue and its prioritizer.
type prioritized struct {
	of adaptivelimiter.PriorityLimiter[any]
}

// priorities are our classes in its words.
func priorities(c gate.Class) priority.Priority {
	return [gate.Classes]priority.Priority{priority.VeryHigh, priority.VeryHigh, priority.High, priority.Medium, priority.Low}[c]
}

func (p *prioritized) try(o gate.Offer) (func(bool), verdict) {
	level := priorities(o.Class).RandomLevel()
	switch {
	case !p.of.CanAcquirePermitWithLevel(level):
		return nil, refused
	case p.of.Queued() > 0 || p.of.Inflight() >= p.of.Limit():
		return nil, waits
	}
	permit, err := p.of.AcquirePermitWithLevel(context.Background(), level)
	if err != nil {
		return nil, refused
	}
	return func(bool) { permit.Record() }, started
}

func (p *prioritized) wait(ctx context.Context, o gate.Offer) (func(bool), error) {
	permit, err := p.of.AcquirePermitWithPriority(ctx, priorities(o.Class))
	if err != nil {
		return nil, err
	}
	return func(bool) { permit.Record() }, nil
}

// adaptiveSetting is one way of configuring the limiter; zero stands for its default.
type adaptiveSetting struct {
	most, first uint          // limits
	window      time.Duration // least
	samples     uint
	quantile    float64
	baseline    uint
	correlation uint
	queue       float64 // factor at which it begins to refuse; half as much again is the most
}

func (s adaptiveSetting) String() string {
	text := ""
	say := func(set bool, format string, args ...any) {
		if set {
			text += fmt.Sprintf(format, args...)
		}
	}
	say(s.most > 0, " limits 1, %d, from %d;", s.most, s.first)
	say(s.window > 0, " window %v, %d samples;", s.window, s.samples)
	say(s.quantile > 0, " quantile %v;", s.quantile)
	say(s.baseline > 0, " baseline %d;", s.baseline)
	say(s.correlation > 0, " correlation %d;", s.correlation)
	say(s.queue > 0, " queue %v;", s.queue)
	if text == "" {
		return "defaults"
	}
	return text[1 : len(text)-1]
}

func (s adaptiveSetting) builder() adaptivelimiter.Builder[any] {
	b := adaptivelimiter.NewBuilder[any]()
	if s.most > 0 {
		b = b.WithLimits(1, s.most, s.first)
	}
	if s.window > 0 {
		b = b.WithRecentWindow(s.window, 30*time.Second, s.samples)
	}
	if s.quantile > 0 {
		b = b.WithRecentQuantile(s.quantile)
	}
	if s.baseline > 0 {
		b = b.WithBaselineWindow(s.baseline)
	}
	if s.correlation > 0 {
		b = b.WithCorrelationWindow(s.correlation)
	}
	if s.queue > 0 {
		b = b.WithQueueing(s.queue, 1.5*s.queue)
	}
	return b
}

func adaptiveSettings() []adaptiveSetting {
	ms := time.Millisecond
	return []adaptiveSetting{
		{},
		{most: 1000, first: 20},
		{most: 100, first: 20},
		{most: 1000, first: 64},
		{quantile: 0.5},
		{quantile: 0.75},
		{window: 200 * ms, samples: 20},
		{window: 200 * ms, samples: 100},
		{window: 500 * ms, samples: 50},
		{window: 2000 * ms, samples: 50},
		{baseline: 3},
		{baseline: 30},
		{baseline: 100},
		{correlation: 20},
		{correlation: 200},
		{quantile: 0.5, baseline: 30},
		{quantile: 0.5, window: 200 * ms, samples: 50},
		{quantile: 0.5, baseline: 100, most: 1000, first: 20},
		{quantile: 0.75, window: 500 * ms, samples: 50, baseline: 30, correlation: 100},
		{most: 1000, first: 64, quantile: 0.5, window: 200 * ms, samples: 50, baseline: 30},
	}
}

// queueSettings are for the limiter with its queue: the first ten with how long it may be, too.
func queueSettings() []adaptiveSetting {
	all := adaptiveSettings()
	for i, factor := range []float64{1, 4, 8, 16} {
		s := all[15+i%2]
		s.queue = factor
		all[16+i] = s
	}
	all[10] = adaptiveSetting{queue: 1}
	all[11] = adaptiveSetting{queue: 4}
	all[13] = adaptiveSetting{queue: 8}
	return all
}

func failsafePeers() []peer {
	const name = "failsafe-go"
	bareOnes, halls, behinds := peer{name: name, arrangement: asBare}, peer{name: name, arrangement: asQueued}, peer{name: name, arrangement: asBehind}
	for _, s := range adaptiveSettings() {
		bareOnes.add(s.String(), func() admission { return bare(adaptive{s.builder().Build()}) })
		behinds.add(s.String(), func() admission { return behind(bare(adaptive{s.builder().Build()})) })
	}
	for _, s := range queueSettings() {
		halls.add(s.String(), func() admission {
			p := adaptivelimiter.NewPrioritizer()
			q := &prioritized{s.builder().BuildPrioritized(p)}
			return queued(q, p.ScheduleCalibrations(context.Background(), calibrateEvery))
		})
	}
	return []peer{bareOnes, halls, behinds}
}
