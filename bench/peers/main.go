package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/alecthomas/kong"

	"netbank/bench/sim"
)

const (
	documentAt = "../../docs/peers.md"
	tunedAt    = "tuned.json"
)

type command struct {
	Scenario string   `help:"A scenario, several with commas between them, or all." default:"all"`
	Seed     uint64   `help:"The first seed; 1 to 1000 are for tuning, from 1001 on for judging." default:"1001"`
	Seeds    int      `help:"So many seeds, from the first on; the tables show the mean." default:"1"`
	JSON     bool     `name:"json" help:"One object a run on standard output, in the place of the tables."`
	Tune     bool     `help:"Try every setting of every peer on tuning scenarios and seeds, and write tuned.json."`
	From     []string `help:"Write docs/peers.md from files of earlier runs with --json; nothing is played. Of two runs of the same, the later one counts." type:"existingfile"`
	Only     []string `help:"Only the peers whose name and arrangement contain this, such as \"Vegas, bare\"; may be given several times." sep:"none"`
	Tuned    bool     `help:"Only the settings of tuned.json that are not defaults."`
	Write    bool     `help:"Write docs/peers.md, if every scenario and every peer was played." default:"true" negatable:""`
}

func main() {
	quiet()
	var commands struct {
		Play command `cmd:"" default:"withargs" help:"Before the simulated core, in virtual time. The default."`
		Live live    `cmd:"" help:"One of them in a proxy before a real bank, for netbank-lab bench --front."`
	}
	chosen := kong.Parse(&commands, kong.Name("peers"), kong.Description("Others' limiters before netbank's simulated core, in virtual time, and before a real bank."),
		kong.Vars{"limiters": strings.Join(liveLimiters(), ", ")})
	if err := chosen.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// Run plays, tunes or reports, as was asked.
func (c *command) Run() error {
	out := os.Stdout // package testing, which plays, has it redirected
	switch {
	case c.Seeds < 1 || c.Seeds > sim.SeedsApart:
		return fmt.Errorf("--seeds is %d; it may be 1 to %d", c.Seeds, sim.SeedsApart)
	case c.Tune:
		return tune(out, c.chosen)
	case len(c.From) > 0:
		records, err := read(c.From)
		if err != nil {
			return err
		}
		return c.report(out, records)
	}
	return c.play(out)
}

// chosen tells whether a peer takes part.
func (c *command) chosen(peer string) bool {
	return len(c.Only) == 0 || slices.ContainsFunc(c.Only, func(part string) bool { return strings.Contains(peer, part) })
}

// play plays what was asked for.
func (c *command) play(out io.Writer) error {
	chosen := scenarios()
	if c.Scenario != "all" {
		names := strings.Split(c.Scenario, ",")
		for _, name := range names {
			if _, err := sim.Find(name); err != nil {
				return err
			}
		}
		chosen = slices.DeleteFunc(chosen, func(s sim.Scenario) bool { return !slices.Contains(names, s.Name) })
	}
	who, err := entrants()
	if err != nil {
		return err
	}
	who = slices.DeleteFunc(who, func(e entrant) bool {
		return !c.chosen(e.as.Peer+", "+string(e.as.Kind)) || c.Tuned && !e.as.Tuned
	})
	if len(who) == 0 {
		return fmt.Errorf("nothing is left to be played with --only %q and --tuned=%v", c.Only, c.Tuned)
	}
	var (
		mu      sync.Mutex
		records []record
		failed  error
		jobs    []func(*world)
		done    int
	)
	for n := range c.Seeds {
		for _, s := range chosen {
			seed := c.Seed + uint64(n)
			jobs = append(jobs, func(w *world) {
				rs, err := match(w, s, seed, who)
				mu.Lock()
				defer mu.Unlock()
				done++
				fmt.Fprintf(os.Stderr, "%d of %d: %s, seed %d\n", done, len(jobs), s.Name, seed)
				failed = errors.Join(failed, err)
				records = append(records, rs...)
				if c.JSON {
					for _, r := range rs {
						failed = errors.Join(failed, json.NewEncoder(out).Encode(r))
					}
				}
			})
		}
	}
	inBubbles(jobs, func() error {
		if failed != nil || c.JSON {
			return failed
		}
		return c.report(out, records)
	})
	return nil
}

// match plays one scenario with one seed.
func match(w *world, s sim.Scenario, seed uint64, who []entrant) ([]record, error) {
	policies := make([]sim.Policy, len(who))
	for i := range who {
		policies[i] = who[i].policy(w)
	}
	results, err := sim.Play(s, seed, policies...)
	if err != nil {
		return nil, fmt.Errorf("%s, seed %d: %w", s.Name, seed, err)
	}
	records := make([]record, len(results))
	for i := range results {
		r := who[i].as
		r.Scenario, r.Seed = s.Name, seed
		r.Percent, r.Finished, r.Wasted = results[i].Percent(), results[i].Finished(), results[i].Wasted()
		records[i] = r
	}
	return records, nil
}

// read gives the runs of files that --json wrote.
func read(files []string) ([]record, error) {
	var all []record
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		for d := json.NewDecoder(f); ; {
			var r record
			if err := d.Decode(&r); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			same := func(o record) bool {
				return o.Scenario == r.Scenario && o.Seed == r.Seed && o.Peer == r.Peer && o.Kind == r.Kind && o.Tuned == r.Tuned
			}
			if i := slices.IndexFunc(all, same); i >= 0 {
				all[i] = r
				continue
			}
			all = append(all, r)
		}
	}
	return all, nil
}
