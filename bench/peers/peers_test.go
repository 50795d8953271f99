package main

import (
	"testing"
	"testing/synctest"
	"time"

	"netbank/bench/sim"
	"netbank/cluster/gate"
)

// short is a scenario in which everything happens that a limiter can hear of: too much, a leader that is lost, and no word for a second.
func short() sim.Scenario {
	s := scenarios()[3]
	s.Length = 4 * time.Second
	s.Changes = []sim.Change{{At: 2 * time.Second, For: 200 * time.Millisecond}}
	s.Weather = []sim.Weather{{At: time.Second, Capacity: 0}, {At: 2 * time.Second, Capacity: 1}}
	s.Habits = sim.Habits{Patience: 700 * time.Millisecond, Tries: 2, Again: 50 * time.Millisecond}
	return s
}

// TestEveryPeerDecidesOnceForEveryCall plays each peer, with its defaults and its last setting. A bubble that ends with a goroutine in it fails.
func TestEveryPeerDecidesOnceForEveryCall(t *testing.T) {
	for _, p := range peers() {
		for _, s := range []setting{p.settings[0], p.settings[len(p.settings)-1]} {
			synctest.Test(t, func(t *testing.T) {
				var w world
				defer w.close()
				results, err := sim.Play(short(), sim.TuningSeed, w.policy(p.String(), s.begin))
				if err != nil {
					t.Fatal(err)
				}
				if r := results[0]; r.Violations > 0 && p.arrangement != asBehind {
					t.Errorf("%s, %s: %d decisions about calls that wait for none", &p, s.text, r.Violations)
				} else if r.InTime[sim.Confirm]+r.InTime[sim.Express]+r.InTime[sim.SignIn] == 0 {
					t.Errorf("%s, %s: nobody was served", &p, s.text)
				}
			})
		}
	}
}

func TestEveryPeerHasAtMostTwentySettings_AndOneThatWasChosen(t *testing.T) {
	seen := make(map[string]bool)
	for _, p := range peers() {
		if n := len(p.settings); n < 1 || n > settingsMax {
			t.Errorf("%s has %d settings; 1 to %d are fair", &p, n, settingsMax)
		}
		for _, s := range p.settings {
			if key := p.String() + s.text; seen[key] {
				t.Errorf("%s has %q twice", &p, s.text)
			} else {
				seen[key] = true
			}
		}
		if _, err := p.tuned(); err != nil {
			t.Error(err)
		}
	}
}

// TestBehindOurQueue_TheGateHasTheLimitersSeats after every event.
func TestBehindOurQueue_TheGateHasTheLimitersSeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &steps{size: 2}
		g := behind(bare(l))
		started := 0
		count := func(out []gate.Decision) {
			for _, d := range out {
				if d.Action == gate.Start {
					started++
				}
			}
		}
		for i := range 10 {
			count(g.Offer(0, gate.Offer{Ticket: gate.Ticket(i + 1), Class: gate.Confirm, Weight: 1, Budget: 10 * time.Second}, nil))
		}
		if started != 2 {
			t.Errorf("%d started with 2 seats", started)
		}
		l.size = 5
		count(g.Answer(time.Millisecond, 1, time.Millisecond, false, nil))
		if started != 6 || l.taken != 5 || g.Snapshot().Limit != 5 {
			t.Errorf("%d started, %d taken, limit %d; want 6, 5 and 5 with 5 seats after an answer", started, l.taken, g.Snapshot().Limit)
		}
	})
}

// steps is a limiter of a size that is changed from outside.
type steps struct{ size, taken int }

func (s *steps) acquire() (func(bool), bool) {
	if s.taken >= s.size {
		return nil, false
	}
	s.taken++
	return func(bool) { s.taken-- }, true
}

func (s *steps) limit() int { return s.size }

// TestOwnQueue_WhoWaitsIsServedOrRefusedInHisTime, and who leaves hears nothing more.
func TestOwnQueue_WhoWaitsIsServedOrRefusedInHisTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := queued(newWeighted(1), nil)
		defer h.close()
		f := func(what string, got []gate.Decision, want ...gate.Decision) {
			t.Helper()
			if len(got) != len(want) {
				t.Fatalf("%s: %v, want %v", what, got, want)
			}
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("%s: %v, want %v", what, got, want)
				}
			}
		}
		offer := func(n gate.Ticket, budget time.Duration) []gate.Decision {
			return h.Offer(0, gate.Offer{Ticket: n, Class: gate.Confirm, Weight: 1, Budget: budget}, nil)
		}
		f("a free seat", offer(1, time.Second), gate.Decision{Ticket: 1, Action: gate.Start})
		f("none", offer(2, time.Second))
		f("none", offer(3, 10*time.Millisecond))
		f("none", offer(4, time.Second))
		at, any := h.Next(0)
		if !any || at != 10*time.Millisecond {
			t.Errorf("the next moment is %v", at)
		}
		f("his time is over", h.Tick(at, nil), gate.Decision{Ticket: 3, Action: gate.Refuse, Reason: gate.TooLate})
		f("he leaves", h.Withdraw(20*time.Millisecond, 2, nil))
		f("a seat is free", h.Answer(30*time.Millisecond, 1, time.Millisecond, false, nil), gate.Decision{Ticket: 4, Action: gate.Start})
	})
}

func TestReport_SaysWhereAPeerIsBetter(t *testing.T) {
	run := func(scenario, peer string, kind arrangement, percent float64, seed uint64) record {
		return record{Scenario: scenario, Seed: seed, Peer: peer, Kind: kind, Setting: "defaults", Percent: percent}
	}
	r := newResults([]record{
		run("load-2", "netbank", ours, 90, 1), run("load-2", "netbank", ours, 92, 2),
		run("load-2", "Vegas", asBare, 50, 1), run("load-2", "Vegas", asBare, 40, 2),
		run("load-2", "Vegas", asBehind, 95, 1), run("load-2", "Vegas", asBehind, 94, 2),
	})
	const want = "| `load-2` | 91.0 | 45.0 (Vegas) | **94.5** (Vegas) | – | – |\n"
	if got := r.summary(); got[len(got)-len(want):] != want {
		t.Errorf("%s\nwant a last line of %s", got, want)
	}
	if got := r.seedsText(); got != "2 seeds (1 to 2)" {
		t.Error(got)
	}
}
