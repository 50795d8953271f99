package sim

import (
	"fmt"
	"strings"
	"time"

	"netbank/bench/load"
	"netbank/core-adapter/simulated/congestion"
)

// The cores.
func convoying() congestion.Model { return congestion.DefaultModel() }

// small is a core whose best is at 16 calls.
func small() congestion.Model {
	return congestion.Model{Kind: congestion.PS, Sigma: 0.02, Kappa: 0.98 / 256}
}

// narrow is the core of the live benchmark overload, whose best is at 8 calls.
func narrow() congestion.Model {
	return congestion.Model{Kind: congestion.PS, Sigma: 0.16, Kappa: 0.01536}
}

// flat does no less however many are inside.
func flat() congestion.Model { return congestion.Model{Kind: congestion.Servers, Servers: 200} }

// wide has its knee at 1,000 calls, where they take 22 times as long as one alone; with wideScale that is 5 ms for a confirmation.
func wide() congestion.Model {
	return congestion.Model{Kind: congestion.PS, Sigma: 0.02, Kappa: 0.98e-6}
}

const wideScale = 0.125

// Scenarios are all there are, in the order of the table.
func Scenarios() []Scenario {
	all := steady()
	all = append(all, shapes()...)
	all = append(all, hasty()...)
	return append(all, troubles()...)
}

// steady is the reference core under every load.
func steady() []Scenario {
	var all []Scenario
	for _, times := range []float64{0.5, 0.9, 1.2, 2, 5, 10, 50} {
		length := 120 * time.Second
		if times >= 50 {
			length = 60 * time.Second
		}
		s := Scenario{
			Name: "load-" + strings.ReplaceAll(fmt.Sprint(times), ".", "_"), About: fmt.Sprintf("the reference core at %v times its best, patient customers", times),
			Length: length, Core: convoying(), Times: times,
		}
		all = append(all, s)
		if times == 2 || times == 10 || times == 50 {
			s.Name, s.About, s.Habits = s.Name+"-impatient", s.About[:strings.Index(s.About, ", ")]+", customers who press again at once", Impatient()
			all = append(all, s)
		}
	}
	return all
}

// hasty customers think for two seconds, and only their confirmations ask the core for anything: those of the live benchmark overload.
func hasty() []Scenario {
	var all []Scenario
	for _, times := range []float64{0.9, 2, 5, 10} {
		all = append(all, Scenario{
			Name: "hasty-" + strings.ReplaceAll(fmt.Sprint(times), ".", "_"), About: fmt.Sprintf("knee at 8 calls, at %v times, customers who think for 2 s and press again at once; sign-ins are free", times),
			Length: 60 * time.Second, Core: narrow(), Times: times, Bulk: 0.01, Habits: Impatient(), Think: 2 * time.Second,
			Free: [Operations]bool{SignIn: true, View: true},
		})
	}
	return all
}

// shapes are other cores.
func shapes() []Scenario {
	s := func(name, about string, core congestion.Model, scale, times float64) Scenario {
		return Scenario{Name: name, About: about, Length: 120 * time.Second, Core: core, Scale: scale, Times: times}
	}
	wide2 := s("wide-2", "knee at 1,000 calls of 5 ms, at 2 times", wide(), wideScale, 2)
	wide2.Length = 60 * time.Second
	tails := s("tails-2", "demands with a coefficient of variation of 4, at 2 times", convoying(), 1, 2)
	tails.Variation = 4
	return []Scenario{
		s("small-2", "knee at 16 calls, at 2 times", small(), 1, 2),
		s("small-10", "knee at 16 calls, at 10 times", small(), 1, 10),
		s("flat-2", "200 servers, at 2 times", flat(), 1, 2),
		s("flat-5", "200 servers, at 5 times", flat(), 1, 5),
		wide2, tails,
	}
}

// troubles are what goes wrong.
func troubles() []Scenario {
	base := func(name, about string, times float64) Scenario {
		return Scenario{Name: name, About: about, Length: 120 * time.Second, Core: convoying(), Times: times}
	}
	at := func(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

	slow := base("slowdown", "2 times; capacity 0.3 from 50 s to 85 s", 2)
	slow.Weather = []Weather{{At: at(50), Capacity: 0.3}, {At: at(85), Capacity: 1}}

	step := base("step", "1.5 times; capacity 0.7 from 60 s on", 1.5)
	step.Weather = []Weather{{At: at(60), Capacity: 0.7}}

	knee, narrow, again := base("knee-moves", "2 times; the knee moves from 64 to 16 at 50 s and back at 85 s", 2), small(), convoying()
	knee.Weather = []Weather{{At: at(50), Capacity: 1, Model: &narrow}, {At: at(85), Capacity: 1, Model: &again}}

	pause := base("pauses", "2 times; the core stands still for 0.4 s, 2 s and 5 s", 2)
	for _, p := range [][2]float64{{40, 0.4}, {60, 2}, {80, 5}} {
		pause.Weather = append(pause.Weather, Weather{At: at(p[0]), Capacity: 0}, Weather{At: at(p[0] + p[1]), Capacity: 1})
	}

	far := base("latency", "2 times; 50 ms more on the way to the core from 50 s on", 2)
	far.Weather = []Weather{{At: at(50), Capacity: 1, Delay: at(0.05)}}

	bursts := base("bursts", "0.9 times in the mean, in bursts of 4 times the calm rate (MMPP, 5 s in 20 s)", 0.9)
	bursts.Bursts = &load.Bursts{Factor: 4, Calm: 15 * time.Second, Burst: 5 * time.Second}

	flood := base("flood", "0.8 times; from 40 s on one partner of five sends 20 times its debits", 0.8)
	flood.Flood = []Surge{{From: at(40), Until: at(120), Factor: 20}}

	surge := base("surge", "0.8 times, 10 times from 40 s to 60 s, customers who press again at once", 0.8)
	surge.Surges, surge.Habits = []Surge{{From: at(40), Until: at(60), Factor: 12.5}}, Impatient()

	change := base("leader", "2 times; the leader is lost at 40 s for 1 s and at 80 s for 3 s", 2)
	change.Changes = []Change{{at(40), at(1)}, {at(80), at(3)}}

	heavy, light := base("weights-double", "2 times; confirmations count double at the gate", 2), base("weights-flat", "2 times on 200 servers; confirmations count double at the gate", 2)
	heavy.Misweighed[Confirm] = 2
	light.Core, light.Misweighed[Confirm] = flat(), 2

	all := []Scenario{slow, step, knee, pause, far, bursts, flood, surge, change, heavy, light}
	return append(all, weather())
}

// weather is the core-weather timeline of the live benchmark, in virtual time.
func weather() Scenario {
	at := func(seconds int) time.Duration { return time.Duration(seconds) * time.Second }
	return Scenario{
		Name: "core-weather", About: "2 times; capacity 0.3 at 60 s, 1 at 120 s, nothing for 5 s at 180 s, 50 ms more at 240 s, one partner 20 times at 300 s, 10 times for 30 s at 360 s",
		Length: 420 * time.Second, Core: convoying(), Times: 2,
		Weather: []Weather{
			{At: at(60), Capacity: 0.3},
			{At: at(120), Capacity: 1},
			{At: at(180), Capacity: 0},
			{At: at(185), Capacity: 1},
			{At: at(240), Capacity: 1, Delay: 50 * time.Millisecond},
			{At: at(300), Capacity: 1},
		},
		Flood:  []Surge{{From: at(300), Until: at(360), Factor: 20}},
		Surges: []Surge{{From: at(360), Until: at(390), Factor: 5}},
	}
}

// Find gives the scenario of a name.
func Find(name string) (Scenario, error) {
	var names []string
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Scenario{}, fmt.Errorf("%w: there is no %q; there are all, %s", ErrScenario, name, strings.Join(names, ", "))
}
