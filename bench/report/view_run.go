package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"netbank/bench/audit"
)

// Rules of the audit by the names under which its report counts them.
const (
	ruleLost   = audit.Lost
	ruleDouble = audit.DoubleDebit
)

// promise is what one rule of the audit means, in words for those who do not know the bank.
type promise struct {
	rule, kept string
}

// promises are in the order in which a customer would ask.
func (r *Result) promises() []promise {
	all := []promise{
		{audit.DoubleDebit, "No payment was debited twice, or with another amount."},
		{audit.Lost, "Nothing is lost: every payment of which a client was told stands in the journal, and every settled one in the core’s ledger."},
		{audit.Unresolved, "Nothing was left in doubt: every payment that was begun has an end."},
		{audit.Charged, "Nobody was charged who had been told that nothing was charged, and the core debited nothing that the journal does not know."},
		{audit.WentBack, "No status went back: what a client was told for good is what the journal says."},
		{audit.Unbalanced, "The ledger’s postings sum to zero in every currency."},
	}
	if r.Setting.Webhooks {
		all = append(all, promise{audit.Untold, "Every payment’s last state was told by webhook."})
	}
	for _, a := range r.audited() {
		for _, rule := range slices.Sorted(maps.Keys(a.Report.FindingsByRule)) {
			if !slices.ContainsFunc(all, func(p promise) bool { return p.rule == rule }) {
				all = append(all, promise{rule, "The rule “" + rule + "” held."})
			}
		}
	}
	return all
}

// findingsShown is how many findings of an audit the pages list; the JSON has more.
const findingsShown = 10

// auditSection says what the audit compared and what it found.
func (r *Result) auditSection() section {
	s := section{ID: "audit", Title: "Is the money right?"}
	all := r.audited()
	if len(all) == 0 {
		return s
	}
	s.Paragraphs = []string{r.auditSays(all)}
	rules := table{Columns: []column{{"what must hold", text}}}
	counts := table{Columns: []column{{"counted", text}}}
	for _, a := range all {
		rules.Columns = append(rules.Columns, column{cmp.Or(a.Of, "did it?"), word})
		counts.Columns = append(counts.Columns, column{cmp.Or(a.Of, "count"), number})
	}
	for _, p := range r.promises() {
		row := []string{p.kept}
		for _, a := range all {
			if n := a.Report.FindingsByRule[p.rule]; n > 0 {
				row = append(row, "✗ broken, "+plural(int64(n), "finding", "findings"))
			} else {
				row = append(row, "✓ held")
			}
		}
		rules.add(row...)
	}
	for _, c := range []struct {
		name string
		of   func(*audit.Report) string
	}{
		{"payments in the journal", func(a *audit.Report) string { return grouped(int64(a.Payments)) }},
		{"settled", func(a *audit.Report) string { return grouped(int64(a.Settled)) }},
		{"not charged", func(a *audit.Report) string { return grouped(int64(a.NotCharged)) }},
		{"of them debited and reversed, or reversed to be sure", func(a *audit.Report) string { return grouped(int64(a.Reversed)) }},
		{"never confirmed by anybody", func(a *audit.Report) string { return grouped(int64(a.Received)) }},
		{"unresolved", func(a *audit.Report) string { return grouped(int64(a.Unresolved)) }},
		{"references at the core", func(a *audit.Report) string { return grouped(int64(a.References)) }},
		{"of them debited, and standing", func(a *audit.Report) string { return grouped(int64(a.Debited)) }},
		{"statements to clients, held against both", func(a *audit.Report) string { return grouped(int64(a.Told)) }},
		{"longest from the core’s turn to the end", func(a *audit.Report) string { return short(a.LongestMs * 1e6) }},
		{"lost", func(a *audit.Report) string { return grouped(int64(a.FindingsByRule[ruleLost])) }},
		{"duplicated", func(a *audit.Report) string { return grouped(int64(a.FindingsByRule[ruleDouble])) }},
	} {
		row := []string{c.name}
		for _, a := range all {
			row = append(row, c.of(a.Report))
		}
		counts.add(row...)
	}
	s.Tables = []table{rules, counts}
	for _, a := range all {
		for i := range a.Report.Findings[:min(findingsShown, len(a.Report.Findings))] {
			f := &a.Report.Findings[i]
			s.List = append(s.List, strings.Join(strings.Fields(a.Of+" "+f.Rule+": "+f.Payment+" "+f.Detail), " "))
		}
	}
	return s
}

func (r *Result) auditSays(all []Audited) string {
	settled, debited, told, found := int64(0), int64(0), int64(0), int64(0)
	for _, a := range all {
		settled, debited = settled+int64(a.Report.Settled), debited+int64(a.Report.Debited)
		told, found = told+int64(a.Report.Told), found+int64(a.Report.FindingsCount)
	}
	if found > 0 {
		return fmt.Sprintf("No. The bank’s journal, the core’s ledger and what clients were told disagree: %s. Whatever the figures say, the run failed.", plural(found, "finding", "findings"))
	}
	return fmt.Sprintf("Every acknowledged payment was debited once, and no other was: %s in the bank’s journal, %s in the core’s ledger. %s, taken down while the load ran, %s held against both afterwards; none disagrees.",
		plural(settled, "settled payment", "settled payments"), plural(debited, "standing debit", "standing debits"), plural(told, "statement to clients", "statements to clients"), yes(told == 1, "was", "were"))
}

// nodes says which nodes there were, and what stood in front of them.
func (s *Setting) nodes() string {
	all := plural(int64(s.Nodes), "coordinator", "coordinators")
	if s.Nodes <= 1 && s.Workers == 0 {
		return "1"
	}
	if s.Workers > 0 {
		all += ", " + plural(int64(s.Workers), "worker", "workers")
	}
	if s.WorkerSignIns > 0 {
		all += fmt.Sprintf(" that check %v passwords a second each", s.WorkerSignIns)
	}
	return all + ", behind " + cmp.Or(s.Balancer, "the lab’s own balancer")
}

func (r *Result) machineSection() section {
	m, s := &r.Machine, &r.Setting
	t := table{Columns: []column{{"", text}, {"", text}}}
	speed := ""
	if s.CoreSpeed != 0 && s.CoreSpeed != 1 {
		speed = fmt.Sprintf(" at %s its speed", times(s.CoreSpeed))
	}
	seats := fmt.Sprintf("%d seats", s.CoreSeats)
	if s.CoreSought {
		seats = fmt.Sprintf("up to %d seats, as the gate finds best", s.CoreSeats)
	}
	arms, peoples, peaks := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for i := range r.Phases {
		p := &r.Phases[i]
		arms[p.Arm], peoples[p.People] = true, true
		if p.PeakPerSecond > 0 {
			peaks[figure(p.PeakPerSecond)+" "+p.Unit+"/s"] = true
		}
	}
	listed := func(of map[string]bool) string {
		delete(of, "")
		return strings.Join(slices.Sorted(maps.Keys(of)), "; ")
	}
	for _, line := range [][2]string{
		{"commit", commit(m.Commit, m.Modified)},
		{"Go, GOMAXPROCS", fmt.Sprintf("%s, %d", m.Go, m.GOMAXPROCS)},
		{"processor", fmt.Sprintf("%s, %s", m.CPU, plural(int64(m.CPUs), "core", "cores"))},
		{"kernel", fmt.Sprintf("%s %s %s", m.OS, m.Kernel, m.Arch)},
		{"memory", grouped(m.MemoryMB) + " MB"},
		{"disk sync of 4 KiB", fmt.Sprintf("p50 %s, p99 %s, max %s (%d samples)", short(m.Sync.P50), short(m.Sync.P99), short(m.Sync.Max), m.Sync.Samples)},
		{"nodes", s.nodes()},
		{"forms of the bank", listed(arms)},
		{"journal", yes(s.JournalSync, "every answer waits for the disk", "answers do not wait for the disk")},
		{"TLS", yes(s.CustomerTLS, "customers: on", "customers: off") + "; partners: " + s.PartnerTLS},
		{"password hash", s.PasswordHash},
		{"core", fmt.Sprintf("simulated, model %s%s, %s, %s", s.CoreModel, speed, yes(s.CoreSync, "answers wait for its disk", "answers do not wait for its disk"), seats)},
		{"the core’s peak", listed(peaks)},
		{"customers", grouped(int64(s.Customers))},
		{"how they behave", listed(peoples)},
		{"webhooks", yes(s.Webhooks, "on", "off: payments have no notification address")},
		{"generator", plural(int64(max(1, r.Generators)), "process", "processes") + ", " + yes(s.GeneratorShares, "on the machine and cores that it measures", "on a machine of its own")},
		{"connections", grouped(int64(s.Connections)) + " to each door"},
		{"processes", strings.Join(s.Processes, ", ")},
		{"seed", fmt.Sprint(r.Seed)},
		{"measured", fmt.Sprintf("%g s in each phase; the whole run took %s s", s.Seconds, figure(r.TookSeconds))},
	} {
		if line[1] != "" {
			t.add(line[0], line[1])
		}
	}
	return section{ID: "machine", Title: "Where and how", Tables: []table{t}}
}

func (r *Result) leftOutSection() section {
	return section{ID: "left-out", Title: "What was left out", List: r.LeftOut}
}

func (r *Result) notesSection() section {
	return section{ID: "notes", Title: "What to know before believing a figure", List: r.Notes}
}

func (r *Result) repeatSection() section {
	s := section{ID: "repeat", Title: "How to repeat it", Code: r.Command}
	if r.Command == "" {
		return s
	}
	s.Paragraphs = []string{"At commit " + commit(r.Machine.Commit, r.Machine.Modified) + ", after `make build`. The same seed offers the same load, to the request; what the machine makes of it differs from run to run."}
	return s
}

func (r *Result) profileSection() section {
	s := section{ID: "profiles", Title: "Where the bank’s time and memory went", Folded: true}
	for i := range r.Profiles {
		p := &r.Profiles[i]
		for _, of := range []struct {
			name string
			rows []Hotspot
		}{{"function", p.Top}, {"of netbank, with what it calls", p.Causes}} {
			if len(of.rows) == 0 || p.Total == 0 {
				continue
			}
			t := table{Title: p.Phase + ", " + p.Kind + ": " + p.File, Columns: []column{{of.name, code}, {"itself", number}, {"with what it calls", number}}}
			for _, h := range of.rows {
				t.add(h.Function, percent(float64(h.Flat)/float64(p.Total)), percent(float64(h.Cum)/float64(p.Total)))
			}
			s.Tables = append(s.Tables, t)
		}
	}
	if len(s.Tables) > 0 {
		s.Paragraphs = []string{"The files are read with `go tool pprof`."}
	}
	return s
}

// wordsSection explains the terms that a report of this run uses.
func (r *Result) wordsSection() section {
	open, closed, peak := false, false, false
	for i := range r.Phases {
		open, closed = open || r.Phases[i].Loop == "open", closed || r.Phases[i].Loop == "closed"
		peak = peak || r.Phases[i].PeakPerSecond > 0
	}
	s := section{ID: "words", Title: "Words", Web: true}
	for _, w := range []struct {
		used bool
		term
	}{
		{peak, term{"goodput", "Work that was completed in time, a second. What is completed too late is work for the machine and no use to anybody, and does not count."}},
		{peak, term{"SLO", "Service-level objective: how soon an answer must come to count as in time. The time counts from the intended start."}},
		{peak, term{"the core’s peak", "The most that the bank’s core system can do a second, which it does when about as many jobs are inside as it has room for. With many more inside it does less: that is how it collapses."}},
		{peak, term{"admission control", "Letting into the core only as many as it can serve in time, and telling everybody else at once, before anything is charged."}},
		{open, term{"open loop", "Requests come by a schedule, whether or not earlier ones were answered, as customers do."}},
		{closed, term{"closed loop", "Each connection sends its next request when the last one was answered. It finds the ceiling and hides stalls: a server that stands still is asked less."}},
		{open, term{"intended start", "The moment at which the schedule meant a request to start. If the generator or the server was late, that is part of the latency."}},
		{open, term{"lag", "How late the generator itself released requests. Latencies cannot be finer than that."}},
		{true, term{"p50, p99, p99.9", "Percentiles: the time within which 50, 99 or 99.9 of 100 were answered."}},
		{true, term{"offered", "All that was meant to be asked in the measured time, answered or not."}},
		{true, term{"refused", "The bank said: not now. Nothing was charged, and nothing reached the core."}},
		{true, term{"abandoned", "The customer’s patience ended before any definite word."}},
		{true, term{"in doubt", "The bank said: not known yet. It finds out from the core, and the audit sees whether it did."}},
		{true, term{"lost, duplicated", "A payment that was acknowledged and is not in the ledger; one that is there more than once. Either fails the run."}},
		{true, term{"void", "A run that says nothing about the bank, because the generator could not do its part: it dropped more than 0.1 % of what was due."}},
		{true, term{"failed", "Of a request: neither completed nor refused nor any of the above. Of a run: the audit found a disagreement, or the bank said what is not so."}},
	} {
		if w.used {
			s.Terms = append(s.Terms, w.term)
		}
	}
	return s
}
