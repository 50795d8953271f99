package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/platinummonkey/go-concurrency-limits/core"
	"github.com/platinummonkey/go-concurrency-limits/limit"
	"github.com/platinummonkey/go-concurrency-limits/limit/functions"
	pool "github.com/platinummonkey/go-concurrency-limits/limiter"
	"github.com/platinummonkey/go-concurrency-limits/strategy"
)

// concurrency is a limiter of go-concurrency-limits. An answer after its deadline is a drop to it: its documentation names time-outs.
type concurrency struct {
	of         *pool.DefaultLimiter
	lateIsGood bool
}

func newConcurrency(l core.Limit, window time.Duration, lateIsGood bool) concurrency {
	// With the window, the threshold and the number of samples of NewDefaultLimiterWithDefaults.
	of, err := pool.NewDefaultLimiter(l, int64(window), int64(window), 1e5, 100, strategy.NewPreciseStrategy(l.EstimatedLimit()), limit.NoopLimitLogger{}, core.EmptyMetricRegistryInstance)
	if err != nil {
		panic(err) // a setting of ours that it does not take
	}
	return concurrency{of: of, lateIsGood: lateIsGood}
}

func (c concurrency) acquire() (func(bool), bool) {
	listener, ok := c.of.Acquire(context.Background())
	if !ok {
		return nil, false
	}
	return func(late bool) {
		if late && !c.lateIsGood {
			listener.OnDropped()
			return
		}
		listener.OnSuccess()
	}, true
}

func (c concurrency) limit() int { return c.of.EstimatedLimit() }

// concurrencySetting is one way of configuring Gradient2 or Vegas; zero stands for the default.
type concurrencySetting struct {
	most, least int
	smoothing   float64
	queue       int // Gradient2: growth; 1: the square root of the limit
	long        int // Gradient2: length of the long window
	factor      int // Vegas: of alpha and beta
	probe       int // Vegas: probe multiplier
	window      time.Duration
	lateIsGood  bool
}

func (s concurrencySetting) String() string {
	text := ""
	say := func(set bool, format string, args ...any) {
		if set {
			text += fmt.Sprintf(format, args...)
		}
	}
	say(s.most > 0, " at most %d;", s.most)
	say(s.least > 0, " at least %d;", s.least)
	say(s.smoothing > 0, " smoothing %v;", s.smoothing)
	say(s.queue == 1, " queue √limit;")
	say(s.queue > 1, " queue %d;", s.queue)
	say(s.long > 0, " long window %d;", s.long)
	say(s.factor > 0, " alpha and beta times %d;", s.factor)
	say(s.probe > 0, " probe multiplier %d;", s.probe)
	say(s.window > 0, " samples of %v;", s.window)
	say(s.lateIsGood, " late answers count as good;")
	if text == "" {
		return "defaults"
	}
	return text[1 : len(text)-1]
}

func or[T comparable](x, otherwise T) T {
	var zero T
	if x == zero {
		return otherwise
	}
	return x
}

func (s concurrencySetting) gradient() limiterOf {
	growth := func(int) int { return or(s.queue, 4) }
	if s.queue == 1 {
		growth = func(limit int) int { return int(math.Sqrt(float64(limit))) }
	}
	return func() concurrency {
		l, err := limit.NewGradient2Limit("sim", 20, or(s.most, 200), or(s.least, 20), growth, or(s.smoothing, 0.2), or(s.long, 600), nil, nil)
		if err != nil {
			panic(err)
		}
		return newConcurrency(l, or(s.window, time.Second), s.lateIsGood)
	}
}

func (s concurrencySetting) vegas() limiterOf {
	scaled := func(times int) func(int) int {
		if s.factor == 0 {
			return nil
		}
		root := functions.Log10RootFunction(0)
		return func(limit int) int { return times * s.factor * root(limit) }
	}
	return func() concurrency {
		l := limit.NewVegasLimitWithRegistry("sim", -1, nil, or(s.most, -1), or(s.smoothing, -1), scaled(3), scaled(6), nil, nil, nil, or(s.probe, -1), nil, nil)
		return newConcurrency(l, or(s.window, time.Second), s.lateIsGood)
	}
}

type limiterOf func() concurrency

func gradientSettings() []concurrencySetting {
	const tenth = 100 * time.Millisecond
	return []concurrencySetting{
		{},
		{least: 4},
		{most: 1000, least: 4},
		{window: tenth},
		{window: tenth, least: 4},
		{window: tenth, least: 4, most: 1000},
		{queue: 1},
		{queue: 1, least: 4},
		{queue: 1, window: tenth},
		{queue: 2, least: 4},
		{queue: 8},
		{smoothing: 0.05},
		{smoothing: 0.5},
		{smoothing: 1, least: 4},
		{long: 100},
		{long: 100, least: 4, window: tenth},
		{long: 3000, least: 4},
		{long: 3000, least: 4, window: tenth},
		{queue: 1, least: 4, most: 1000, window: tenth, long: 3000},
		{queue: 2, least: 4, smoothing: 0.05, long: 3000},
	}
}

func vegasSettings() []concurrencySetting {
	const tenth = 100 * time.Millisecond
	return []concurrencySetting{
		{},
		{lateIsGood: true},
		{window: tenth},
		{window: tenth, lateIsGood: true},
		{factor: 2},
		{factor: 4},
		{factor: 8},
		{factor: 16},
		{factor: 32},
		{factor: 2, lateIsGood: true},
		{factor: 4, lateIsGood: true},
		{factor: 8, lateIsGood: true},
		{factor: 4, window: tenth},
		{factor: 8, window: tenth},
		{factor: 16, window: tenth},
		{smoothing: 0.2},
		{smoothing: 0.2, factor: 8},
		{probe: 5},
		{probe: 200},
		{probe: 200, factor: 8},
	}
}

func concurrencyPeers() []peer {
	var all []peer
	add := func(name string, settings []concurrencySetting, make func(concurrencySetting) limiterOf) {
		bareOnes, behinds := peer{name: name, arrangement: asBare}, peer{name: name, arrangement: asBehind}
		for _, s := range settings {
			l := make(s)
			bareOnes.add(s.String(), func() admission { return bare(l()) })
			behinds.add(s.String(), func() admission { return behind(bare(l())) })
		}
		all = append(all, bareOnes, behinds)
	}
	add("Gradient2", gradientSettings(), concurrencySetting.gradient)
	add("Vegas", vegasSettings(), concurrencySetting.vegas)
	return all
}
