package report

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Markdown writes the page that a person reads first.
func (r *Result) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s, %s\n\n", r.Scenario, r.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
	switch {
	case len(r.Failures) > 0:
		b.WriteString("**Failed.** The figures below are worth nothing until this is explained:\n\n")
		list(&b, r.Failures)
	case len(r.Void) > 0:
		b.WriteString("**Void.** The run cannot be used:\n\n")
		list(&b, r.Void)
	default:
		b.WriteString("The audit found nothing wrong, and the generator kept up.\n\n")
	}
	r.company(&b)
	r.figures(&b)
	fmt.Fprintf(&b, "![What was done a second](%s)\n\n![Latency by percentile](%s)\n\n", RatesName, LatencyName)
	r.latencies(&b)
	r.steps(&b)
	r.used(&b)
	r.refusals(&b)
	r.machine(&b)
	r.profiles(&b)
	if len(r.Notes) > 0 {
		b.WriteString("## What to know before believing a figure\n\n")
		list(&b, r.Notes)
	}
	fmt.Fprintf(&b, "All of it, with percentile curves: [%s](%s). For benchstat: [%s](%s).\n", JSONName, JSONName, BenchstatName, BenchstatName)
	return b.String()
}

func list(b *strings.Builder, lines []string) {
	for _, l := range lines {
		fmt.Fprintf(b, "- %s\n", l)
	}
	b.WriteByte('\n')
}

// company warns of a machine that had other things to do.
func (r *Result) company(b *strings.Builder) {
	worst := &Phase{}
	for i := range r.Phases {
		if r.Phases[i].OthersShare > worst.OthersShare {
			worst = &r.Phases[i]
		}
	}
	if worst.OthersShare > OthersMax {
		fmt.Fprintf(b, "**The machine was busy with other things**: processes that have no part in this run took up to %.0f %% of its processor time (phase %s). Rates are lower and latencies higher than it can do; shares by processor time still hold.\n\n",
			100*worst.OthersShare, worst.Name)
	}
}

func (r *Result) figures(b *strings.Builder) {
	b.WriteString("## What was done a second\n\n| phase | what | loop | connections | a second | hello world | share | share by CPU |\n|---|---|---|--:|--:|--:|--:|--:|\n")
	for i := range r.Phases {
		p := &r.Phases[i]
		if p.Server != "bank" {
			continue
		}
		hello, share, byCPU := "", "", ""
		if p.Baseline != nil {
			hello = fmt.Sprintf("%.0f (%.0f, %.0f)", p.Baseline.PerSecond, p.Baseline.Before, p.Baseline.After)
			share, byCPU = fmt.Sprintf("%.1f %%", 100*p.Baseline.Ratio), fmt.Sprintf("%.1f %%", 100*p.Baseline.CPURatio)
		}
		fmt.Fprintf(b, "| %s | %s | %s | %d | %.0f %s | %s | %s | %s |\n", p.Name, p.What, p.Loop, p.Connections, p.PerSecond, p.Unit, hello, share, byCPU)
	}
	b.WriteString("\nHello world: a fasthttp server in a process of its own that answers the same requests with the same 200, on as many connections, right before and right after (in parentheses). Share by CPU: the processor time of one of its requests, server and client together, by that of one of the bank's.\n\n")
	if a := r.Audit; a != nil {
		fmt.Fprintf(b, "Audit: %d payments in the journal: %d settled, %d not charged, %d never confirmed, %d unresolved; %d references at the core, %d of them debited; %d statements to clients held against both; %d findings.\n\n",
			a.Payments, a.Settled, a.NotCharged, a.Received, a.Unresolved, a.References, a.Debited, a.Told, a.FindingsCount)
	}
}

func short(ns int64) string {
	d := time.Duration(ns)
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

func row(b *strings.Builder, name, of string, q *Quantiles) {
	if q != nil && q.Count > 0 {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n", name, of, short(q.P50), short(q.P90), short(q.P99), short(q.P999), short(q.Max))
	}
}

func (r *Result) latencies(b *strings.Builder) {
	b.WriteString("## Latency\n\n| phase | of | p50 | p90 | p99 | p99.9 | max |\n|---|---|--:|--:|--:|--:|--:|\n")
	for i := range r.Phases {
		p := &r.Phases[i]
		of := "answer"
		if p.Loop == "open" {
			of = fmt.Sprintf("from the intended start, at %.0f %s/s", p.OfferedPerSecond, p.Unit)
		}
		row(b, p.Name, of, p.Latency)
		row(b, p.Name, "from the sending", p.Service)
		row(b, p.Name, "the generator's own lag", p.Lag)
	}
	b.WriteString("\nLatencies of a closed loop say what a saturated server does to those who wait for each other; customers do not. The open loop is the one to believe.\n\n")
}

func (r *Result) steps(b *strings.Builder) {
	for i := range r.Phases {
		p := &r.Phases[i]
		if len(p.Steps) == 0 {
			continue
		}
		fmt.Fprintf(b, "### Steps of %s\n\n| step | | p50 | p90 | p99 | p99.9 | max |\n|---|---|--:|--:|--:|--:|--:|\n", p.Name)
		for _, s := range p.Steps {
			row(b, s.Name, "", s.Latency)
		}
		b.WriteByte('\n')
	}
}

func (r *Result) used(b *strings.Builder) {
	b.WriteString("## Processor time\n\n| phase | process | CPU s | µs for each | resident |\n|---|---|--:|--:|--:|\n")
	for i := range r.Phases {
		p := &r.Phases[i]
		names := make([]string, 0, len(p.Processes))
		for name := range p.Processes {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			u := p.Processes[name]
			if u.CPUSeconds == 0 {
				continue
			}
			each := ""
			if done := p.done(); done > 0 {
				each = fmt.Sprintf("%.1f", 1e6*u.CPUSeconds/float64(done))
			}
			fmt.Fprintf(b, "| %s | %s | %.2f | %s | %d MB |\n", p.Name, name, u.CPUSeconds, each, u.ResidentMB)
		}
	}
	b.WriteByte('\n')
}

func (r *Result) refusals(b *strings.Builder) {
	var lines []string
	for i := range r.Phases {
		p := &r.Phases[i]
		for why, n := range p.Reasons {
			lines = append(lines, fmt.Sprintf("%s: %d × %s", p.Name, n, why))
		}
		if p.Dropped > 0 {
			lines = append(lines, fmt.Sprintf("%s: %d dropped by the generator", p.Name, p.Dropped))
		}
	}
	if len(lines) > 0 {
		slices.Sort(lines)
		b.WriteString("## Refused, failed, dropped\n\n")
		list(b, lines)
	}
}

func yes(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

func (r *Result) machine(b *strings.Builder) {
	m, s := &r.Machine, &r.Setting
	b.WriteString("## Where and how\n\n| | |\n|---|---|\n")
	for _, line := range [][2]string{
		{"commit", m.Commit + yes(m.Modified, " with uncommitted changes", "")},
		{"Go, GOMAXPROCS", fmt.Sprintf("%s, %d", m.Go, m.GOMAXPROCS)},
		{"processor", fmt.Sprintf("%s, %d cores", m.CPU, m.CPUs)},
		{"kernel", fmt.Sprintf("%s %s %s", m.OS, m.Kernel, m.Arch)},
		{"memory", fmt.Sprintf("%d MB", m.MemoryMB)},
		{"disk sync of 4 KiB", fmt.Sprintf("p50 %s, p99 %s, max %s (%d samples)", short(m.Sync.P50), short(m.Sync.P99), short(m.Sync.Max), m.Sync.Samples)},
		{"nodes", fmt.Sprint(s.Nodes)},
		{"journal", yes(s.JournalSync, "every answer waits for the disk", "answers do not wait for the disk")},
		{"TLS", yes(s.CustomerTLS, "customers: on", "customers: off") + "; partners: " + s.PartnerTLS},
		{"password hash", s.PasswordHash},
		{"core", fmt.Sprintf("model %s, %s, %d seats", s.CoreModel, yes(s.CoreSync, "answers wait for its disk", "answers do not wait for its disk"), s.CoreSeats)},
		{"customers", fmt.Sprint(s.Customers)},
		{"webhooks", yes(s.Webhooks, "on", "off: payments have no notification address")},
		{"generator", yes(s.GeneratorShares, "on the same machine and cores", "on a machine of its own")},
		{"seed", fmt.Sprint(r.Seed)},
		{"measured", fmt.Sprintf("%g s in each phase; the whole run took %.0f s", s.Seconds, r.TookSeconds)},
	} {
		fmt.Fprintf(b, "| %s | %s |\n", line[0], line[1])
	}
	b.WriteByte('\n')
}

func (r *Result) profiles(b *strings.Builder) {
	for i := range r.Profiles {
		p := &r.Profiles[i]
		fmt.Fprintf(b, "## Profile of the bank: %s, %s\n\n[%s](%s), to be read with `go tool pprof`.\n\n", p.Phase, p.Kind, p.File, p.File)
		for _, t := range []struct {
			name string
			rows []Hotspot
		}{{"function", p.Top}, {"of netbank, with what it calls", p.Causes}} {
			if len(t.rows) == 0 || p.Total == 0 {
				continue
			}
			fmt.Fprintf(b, "| %s | itself | with what it calls |\n|---|--:|--:|\n", t.name)
			for _, h := range t.rows {
				fmt.Fprintf(b, "| `%s` | %.1f %% | %.1f %% |\n", h.Function, 100*float64(h.Flat)/float64(p.Total), 100*float64(h.Cum)/float64(p.Total))
			}
			b.WriteByte('\n')
		}
	}
}
