package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alibaba/sentinel-golang/api"
	"github.com/alibaba/sentinel-golang/core/base"
	"github.com/alibaba/sentinel-golang/core/stat"
	"github.com/alibaba/sentinel-golang/core/system"
	"github.com/alibaba/sentinel-golang/core/system_metric"
	"github.com/alibaba/sentinel-golang/logging"
	"github.com/alibaba/sentinel-golang/util"

	"netbank/cluster/gate"
)

// sentinelWorld is the one Sentinel that a process has: its statistics, its rules and its clock are package variables. A run has it for itself.
type sentinelWorld struct {
	sync.Mutex
	now   atomic.Int64 // ns
	chain *base.SlotChain
}

// theSentinel is a package variable because Sentinel's state is.
var theSentinel sentinelWorld

// Now and the rest make it a clock of Sentinel's.
func (s *sentinelWorld) Now() time.Time            { return time.Unix(0, s.now.Load()) }
func (s *sentinelWorld) Sleep(time.Duration)       {}
func (s *sentinelWorld) CurrentTimeMillis() uint64 { return uint64(s.now.Load() / 1e6) }
func (s *sentinelWorld) CurrentTimeNano() uint64   { return uint64(s.now.Load()) }

// sentinel is its system rule, with the statistics of all inbound traffic.
type sentinel struct{ begin int64 }

// longAfter is later than the time at which Sentinel's statistics began, with the process.
var longAfter = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()

// betweenRuns is long enough for Sentinel to forget a run.
const betweenRuns = time.Hour

func newSentinel(rules ...*system.Rule) *sentinel {
	theSentinel.Lock()
	if theSentinel.chain == nil {
		logging.ResetGlobalLoggerLevel(logging.ErrorLevel)
		theSentinel.now.Store(longAfter)
		theSentinel.chain = base.NewSlotChain()
		theSentinel.chain.AddStatPrepareSlot(stat.DefaultResourceNodePrepareSlot)
		theSentinel.chain.AddRuleCheckSlot(system.DefaultAdaptiveSlot)
		theSentinel.chain.AddStatSlot(stat.DefaultSlot)
		util.SetClock(&theSentinel)
	}
	if _, err := system.LoadRules(rules); err != nil {
		panic(err) // a setting of ours that it does not take
	}
	system_metric.SetSystemLoad(1) // above the trigger of the rule that asks for it
	return &sentinel{begin: theSentinel.now.Add(int64(betweenRuns))}
}

func (s *sentinel) at(now gate.Time) { theSentinel.now.Store(s.begin + int64(now)) }

func (s *sentinel) acquire() (func(bool), bool) {
	entry, blocked := api.Entry("core", api.WithTrafficType(base.Inbound), api.WithSlotChain(theSentinel.chain))
	if blocked != nil {
		return nil, false
	}
	return func(bool) { entry.Exit() }, true
}

// limit is what its rule compares the calls inside with, from the same statistics; one more, since that many may be inside already.
func (s *sentinel) limit() int {
	node := stat.InboundNode()
	return int(node.GetMaxAvg(base.MetricEventComplete)*node.MinRT()/1000) + 1
}

func sentinelDoor(rules []*system.Rule) *door {
	s := newSentinel(rules...)
	d := bare(s)
	d.before = s.at
	d.end = func() {
		for t := range d.seats {
			d.seats.release(t, true)
		}
		theSentinel.Unlock()
	}
	return d
}

func sentinelPeers() []peer {
	bareOnes, behinds := peer{name: "Sentinel", arrangement: asBare}, peer{name: "Sentinel", arrangement: asBehind}
	of := func(kind system.MetricType, trigger float64) *system.Rule {
		strategy := system.NoAdaptive
		if kind == system.Load {
			strategy = system.BBR
		}
		return &system.Rule{MetricType: kind, TriggerCount: trigger, Strategy: strategy}
	}
	add := func(text string, rules ...*system.Rule) {
		bareOnes.add(text, func() admission { return sentinelDoor(rules) })
	}
	add("BBR, load above its trigger", of(system.Load, 0))
	behinds.add("BBR, load above its trigger", func() admission { return behind(sentinelDoor([]*system.Rule{of(system.Load, 0)})) })
	for _, n := range []float64{8, 16, 32, 48, 64, 96, 128, 256} {
		add(fmt.Sprintf("at most %v inside", n), of(system.Concurrency, n))
	}
	for _, ms := range []float64{50, 100, 150, 200, 300, 500, 800, 1200} {
		add(fmt.Sprintf("mean time below %v ms", ms), of(system.AvgRT, ms))
	}
	for _, rate := range []float64{200, 400, 600} {
		add(fmt.Sprintf("less than %v calls a second", rate), of(system.InboundQPS, rate))
	}
	return []peer{bareOnes, behinds}
}
