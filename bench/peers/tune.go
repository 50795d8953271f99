package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"sync"
	"time"

	"netbank/bench/sim"
)

// tuningScenarios are what settings are chosen on: calm, twice and ten times too much, and a core of another shape; cut short.
func tuningScenarios() []sim.Scenario {
	lengths := map[string]time.Duration{
		"load-0_9": 20 * time.Second, "load-2": 20 * time.Second, "load-10": 10 * time.Second, "flat-2": 20 * time.Second,
	}
	var all []sim.Scenario
	for _, s := range sim.Scenarios() {
		if l, chosen := lengths[s.Name]; chosen {
			s.Length = l
			all = append(all, s)
		}
	}
	return all
}

// tune plays every setting on the tuning scenarios, and keeps for each peer the one with the highest mean.
func tune(out io.Writer, takesPart func(peer string) bool) error {
	type score struct {
		setting string
		percent float64
	}
	var (
		mu     sync.Mutex
		scores = make(map[string][]score)
		failed error
		done   int
		jobs   []func(*world)
		best   = make(map[string]string)
	)
	if err := json.Unmarshal(tunedFile, &best); err != nil {
		best = make(map[string]string)
	}
	chosen := tuningScenarios()
	for _, p := range peers() {
		if len(p.settings) == 1 || !takesPart(p.String()) {
			continue
		}
		who := make([]entrant, len(p.settings))
		for i, s := range p.settings {
			who[i] = entrant{policy: func(w *world) sim.Policy { return w.policy(s.text, s.begin) }}
		}
		scores[p.String()] = make([]score, len(who))
		for _, s := range chosen {
			jobs = append(jobs, func(w *world) {
				records, err := match(w, s, sim.TuningSeed, who)
				mu.Lock()
				defer mu.Unlock()
				done++
				fmt.Fprintf(os.Stderr, "%d of %d: %s, %s\n", done, len(jobs), &p, s.Name)
				if err != nil {
					failed = err
					return
				}
				for i, r := range records {
					of := &scores[p.String()][i]
					of.setting, of.percent = p.settings[i].text, of.percent+r.Percent/float64(len(chosen))
				}
			})
		}
	}
	inBubbles(jobs, func() error {
		if failed != nil {
			return failed
		}
		for name, of := range scores {
			first := of[0]
			sort.SliceStable(of, func(i, k int) bool { return of[i].percent > of[k].percent })
			best[name] = of[0].setting
			fmt.Fprintf(out, "%-32s %5.1f with %-60s %5.1f with defaults\n", name, of[0].percent, of[0].setting, first.percent)
		}
		text, err := json.MarshalIndent(best, "", "\t")
		if err != nil {
			return err
		}
		return os.WriteFile(tunedAt, append(text, '\n'), 0o644)
	})
	return nil
}
