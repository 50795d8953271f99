// Package simulate is the command that plays bench/sim's scenarios.
package simulate

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"netbank/bench/sim"
	"netbank/cluster/gate"
)

// Command plays scenarios in virtual time.
type Command struct {
	Scenario string   `arg:"" optional:"" default:"all" help:"A scenario, several with commas between them, all, or list."`
	Policy   []string `help:"knee, knee/4, knee*4, fixed-N, seek, seek-N, off." default:"knee,knee/4,knee*4,off"`
	Seed     uint64   `help:"The first seed; 1 to 1000 are for tuning, from 1001 on for judging." default:"1"`
	Seeds    int      `help:"So many seeds, from the first on; the table shows the mean." default:"1"`
	JSON     bool     `name:"json" help:"One object a run, with all figures, in the place of the table."`
}

// Run plays.
func (c *Command) Run() error { return c.play(os.Stdout) }

func (c *Command) play(out io.Writer) error {
	if c.Scenario == "list" {
		for _, s := range sim.Scenarios() {
			fmt.Fprintf(out, "%-20s %s\n", s.Name, s.About)
		}
		return nil
	}
	if c.Seeds < 1 || c.Seeds > sim.SeedsApart {
		return fmt.Errorf("--seeds is %d; it may be 1 to %d", c.Seeds, sim.SeedsApart)
	}
	scenarios := sim.Scenarios()
	if c.Scenario != "all" {
		scenarios = nil
		for _, name := range strings.Split(c.Scenario, ",") {
			s, err := sim.Find(name)
			if err != nil {
				return err
			}
			scenarios = append(scenarios, s)
		}
	}
	if !c.JSON {
		fmt.Fprintf(out, "value in %% of a clairvoyant's (limit in the second half: mean; work wasted in %%; flows let in that finished in %%; starts before better work that no share explains, all runs)\n%-20s", "")
		for _, p := range c.Policy {
			fmt.Fprintf(out, " %31s", p)
		}
		fmt.Fprintln(out)
	}
	for _, s := range scenarios {
		if err := c.row(out, s); err != nil {
			return err
		}
	}
	return nil
}

func (c *Command) row(out io.Writer, s sim.Scenario) error {
	policies := make([]sim.Policy, len(c.Policy))
	for i, name := range c.Policy {
		var err error
		if policies[i], err = policy(name, &s); err != nil {
			return err
		}
	}
	type mean struct {
		percent, limit, wasted, finished float64
		inversions                       uint64
	}
	means := make([]mean, len(policies))
	for n := range c.Seeds {
		results, err := sim.Play(s, c.Seed+uint64(n), policies...)
		if err != nil {
			return err
		}
		for i, r := range results {
			if c.JSON {
				if err := json.NewEncoder(out).Encode(r); err != nil {
					return err
				}
			}
			limit, _, _ := r.Limits()
			m, of := &means[i], float64(c.Seeds)
			m.percent += r.Percent() / of
			m.limit += limit / of
			m.wasted += r.Wasted() / of
			m.finished += r.Finished() / of
			m.inversions += r.Inversions
		}
	}
	if c.JSON {
		return nil
	}
	fmt.Fprintf(out, "%-20s", s.Name)
	for i, m := range means {
		limit := "-"
		if c.Policy[i] != "off" {
			limit = strconv.Itoa(int(m.limit + 0.5))
		}
		fmt.Fprintf(out, " %7.1f (%4s %5.1f %5.1f %4d)", m.percent, limit, m.wasted, m.finished, m.inversions)
	}
	fmt.Fprintln(out)
	return nil
}

func policy(name string, s *sim.Scenario) (sim.Policy, error) {
	if bare, ok := strings.CutSuffix(name, "-line"); ok {
		p, err := policy(bare, s)
		return sim.Lined(p), err
	}
	knee := s.Knee()
	named := func(p sim.Policy) (sim.Policy, error) {
		p.Name = name
		return p, nil
	}
	switch name {
	case "off":
		return sim.Off(), nil
	case "knee":
		return named(sim.Fixed(knee))
	case "knee/4":
		return named(sim.Fixed(max(1, knee/4)))
	case "knee*4":
		return named(sim.Fixed(4 * knee))
	}
	if name == "seek" {
		return sim.Seek(0), nil
	}
	kind, n, _ := strings.Cut(name, "-")
	if limit, err := strconv.Atoi(n); err == nil && limit >= 1 && limit <= gate.CeilingMax {
		switch kind {
		case "fixed":
			return sim.Fixed(limit), nil
		case "seek":
			return sim.Seek(limit), nil
		}
	}
	return sim.Policy{}, fmt.Errorf("there is no policy %q; there are knee, knee/4, knee*4, fixed-N, seek, seek-N and off, each also with -line behind it for a waiting line", name)
}
