package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"text/template"
	"time"

	"netbank/bench/sim"
)

// documentText is docs/peers.md without its figures. What the figures say is said there, by hand.
//
//go:embed peers.md.tmpl
var documentText string

// document is what docs/peers.md is made of.
type document struct {
	Date, Commit, Go string
	Seeds            string
	Summary, Details string
	Settings         string
	Versions         string
}

// report prints the tables, and writes them down if they are whole.
func (c *command) report(out io.Writer, records []record) error {
	r := newResults(records)
	fmt.Fprint(out, r.summary(), "\n", r.details())
	if whole := len(c.Only) == 0 && !c.Tuned && len(r.scenarios) == len(scenarios()); !c.Write || !whole && len(c.From) == 0 {
		return nil
	}
	t, err := template.New("peers.md").Parse(documentText)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	err = t.Execute(&b, document{
		Date: time.Now().UTC().Format(time.DateOnly), Commit: commit(), Go: runtime.Version(), Seeds: r.seedsText(),
		Summary: r.summary(), Details: r.details(), Settings: r.settings(), Versions: versions(),
	})
	if err != nil {
		return err
	}
	return os.WriteFile(documentAt, b.Bytes(), 0o644)
}

// commit names the commit that is checked out.
func commit() string {
	text, err := exec.Command("git", "describe", "--always", "--dirty", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// versions are those of the limiters' modules, as built.
func versions() string {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var all []string
	for _, m := range build.Deps {
		for _, of := range []string{"failsafe-go", "go-concurrency-limits", "aegis", "go-zero", "sentinel-golang", "x/sync"} {
			if strings.HasSuffix(m.Path, of) {
				all = append(all, strings.TrimPrefix(m.Path, "github.com/")+" "+m.Version)
			}
		}
	}
	return strings.Join(all, ", ")
}

// column is an entrant in the tables.
type column struct {
	peer  string
	kind  arrangement
	tuned bool
}

// results are means over seeds.
type results struct {
	scenarios []sim.Scenario
	columns   []column
	seeds     map[uint64]bool
	percent   map[string]map[column]float64
	setting   map[column]string
}

func newResults(records []record) *results {
	r := &results{seeds: make(map[uint64]bool), percent: make(map[string]map[column]float64), setting: make(map[column]string)}
	counts := make(map[string]map[column]float64)
	for _, rec := range records {
		of := column{rec.Peer, rec.Kind, rec.Tuned}
		if counts[rec.Scenario] == nil {
			counts[rec.Scenario], r.percent[rec.Scenario] = make(map[column]float64), make(map[column]float64)
		}
		counts[rec.Scenario][of]++
		mean := r.percent[rec.Scenario]
		mean[of] += (rec.Percent - mean[of]) / counts[rec.Scenario][of]
		r.seeds[rec.Seed], r.setting[of] = true, rec.Setting
	}
	for _, s := range scenarios() {
		if counts[s.Name] != nil {
			r.scenarios = append(r.scenarios, s)
		}
	}
	r.columns = append(r.columns, column{"netbank", ours, false})
	for _, p := range peers() {
		for _, tuned := range []bool{false, true} {
			if of := (column{p.name, p.arrangement, tuned}); r.setting[of] != "" || p.name == "no limit" && !tuned {
				r.columns = append(r.columns, of)
			}
		}
	}
	return r
}

func (r *results) seedsText() string {
	var all []uint64
	for s := range r.seeds {
		all = append(all, s)
	}
	slices.Sort(all)
	if len(all) == 1 {
		return fmt.Sprintf("one seed (%d)", all[0])
	}
	return fmt.Sprintf("%d seeds (%d to %d)", len(all), all[0], all[len(all)-1])
}

// best gives the highest value of a scenario among some entrants, and whose it is.
func (r *results) best(scenario string, among func(column) bool) (column, float64) {
	who, most := column{}, math.Inf(-1)
	for _, of := range r.columns {
		if p, played := r.percent[scenario][of]; played && among(of) && p > most {
			who, most = of, p
		}
	}
	return who, most
}

// finds tells whether a limiter finds its limit, rather than being told it.
func (c column) finds() bool {
	return c.kind != ours && c.peer != "fixed limit" && c.peer != "x/sync semaphore" && c.peer != "no limit"
}

// summary puts netbank beside the best of the others.
func (r *results) summary() string {
	var b strings.Builder
	b.WriteString("| scenario | netbank | best that finds its limit, by itself | the same behind our queue | a limit that was given | that behind our queue |\n| --- | ---: | --- | --- | --- | --- |\n")
	for _, s := range r.scenarios {
		own := r.percent[s.Name][column{"netbank", ours, false}]
		fmt.Fprintf(&b, "| `%s` | %.1f |", s.Name, own)
		for _, among := range []func(column) bool{
			func(c column) bool { return c.finds() && c.kind != asBehind },
			func(c column) bool { return c.finds() && c.kind == asBehind },
			func(c column) bool { return !c.finds() && (c.kind == asBare || c.kind == asQueued) },
			func(c column) bool { return !c.finds() && c.kind == asBehind },
		} {
			who, most := r.best(s.Name, among)
			if math.IsInf(most, 0) {
				b.WriteString(" – |")
				continue
			}
			name := who.peer
			if name == "fixed limit" {
				name = r.setting[who]
			} else if who.tuned {
				name += ", tuned"
			}
			fmt.Fprintf(&b, " %s (%s) |", beside(most, own), name)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// beside prints a value, bold where it is better than ours by what is printed.
func beside(value, own float64) string {
	text := fmt.Sprintf("%.1f", value)
	if value > own && text != fmt.Sprintf("%.1f", own) {
		return "**" + text + "**"
	}
	return text
}

// details are all figures, in one table an arrangement.
func (r *results) details() string {
	var b strings.Builder
	for _, kind := range []arrangement{asBare, asQueued, asBehind} {
		for _, tuned := range []bool{false, true} {
			chosen := []column{r.columns[0]}
			for _, of := range r.columns[1:] {
				if of.kind == kind && of.tuned == tuned {
					chosen = append(chosen, of)
				}
			}
			if len(chosen) > 1 {
				r.table(&b, kind, tuned, chosen)
			}
		}
	}
	return b.String()
}

func (r *results) table(b *strings.Builder, kind arrangement, tuned bool, chosen []column) {
	title := map[arrangement]string{asBare: "Bare", asQueued: "With their own queue", asBehind: "Behind our queue"}[kind]
	how := "defaults"
	if tuned {
		how = "the best of their settings, where that is not the defaults"
	}
	fmt.Fprintf(b, "**%s, %s**\n\n| scenario |", title, how)
	for _, of := range chosen {
		fmt.Fprintf(b, " %s |", of.peer)
	}
	b.WriteString("\n| --- |" + strings.Repeat(" ---: |", len(chosen)) + "\n")
	for _, s := range r.scenarios {
		own := r.percent[s.Name][chosen[0]]
		if !slices.ContainsFunc(chosen[1:], func(of column) bool { _, played := r.percent[s.Name][of]; return played }) {
			continue
		}
		fmt.Fprintf(b, "| `%s` |", s.Name)
		for _, of := range chosen {
			p, played := r.percent[s.Name][of]
			if !played {
				b.WriteString(" – |")
				continue
			}
			b.WriteString(" " + beside(p, own) + " |")
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

// settings says with which setting each was played.
func (r *results) settings() string {
	var b strings.Builder
	b.WriteString("| limiter | defaults | best setting |\n| --- | --- | --- |\n")
	for _, p := range peers() {
		if len(p.settings) == 1 {
			continue
		}
		best := r.setting[column{p.name, p.arrangement, true}]
		if best == "" {
			best = "the same"
		}
		fmt.Fprintf(&b, "| %s, %s | %s | %s |\n", p.name, p.arrangement, p.settings[0].text, best)
	}
	return b.String()
}
