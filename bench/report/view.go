package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// view is the report in the order in which a stranger reads it. Markdown and HTML are made from it and say the same; what has Web set stands
// in HTML only.
type view struct {
	Title    string
	Under    string // the line under the title
	Verdict  verdict
	Sections []section
}

// verdict says whether the run counts.
type verdict struct {
	Word    string // Failed, Void, Not audited, or Counts
	Good    bool
	Says    string
	Reasons []string
	// Cautions are reasons to believe less than the figures say, though the run counts.
	Cautions []string
}

// section is one part of the report. Whatever is empty is left out.
type section struct {
	ID, Title  string
	Paragraphs []string
	Headlines  []headline
	Pictures   []*picture
	Small      bool // pictures stand two in a row
	Tables     []table
	List       []string
	Code       string
	Terms      []term
	After      []string // paragraphs at the end
	Web        bool
	Folded     bool
}

// headline is a Headline in words.
type headline struct {
	Name, Value, Unit, Beside, Text string
}

// term is an entry of the glossary.
type term struct{ Name, Means string }

func (r *Result) view() *view {
	v := &view{
		Title: r.Scenario,
		Under: fmt.Sprintf("%s · commit %s · seed %d · took %s s",
			r.Started.UTC().Format("2006-01-02 15:04:05 UTC"), commit(r.Machine.Commit, r.Machine.Modified), r.Seed, figure(r.TookSeconds)),
		Verdict: r.verdict(),
	}
	for _, s := range []section{
		r.askedSection(), r.headlineSection(), r.disturbancesSection(), r.scalingsSection(), r.goodputSection(), r.outcomesSection(), r.auditSection(), r.ratesSection(), r.latencySection(), r.stepsSection(),
		r.timelineSection(), r.samplesSection(), r.processorSection(), r.machineSection(), r.leftOutSection(), r.notesSection(), r.repeatSection(), r.profileSection(), r.wordsSection(),
	} {
		if len(s.Paragraphs)+len(s.Headlines)+len(s.Pictures)+len(s.Tables)+len(s.List)+len(s.Code)+len(s.Terms) > 0 {
			v.Sections = append(v.Sections, s)
		}
	}
	return v
}

// commit shortens a commit's name as Git does.
func commit(name string, modified bool) string {
	if name == "" {
		return "unknown"
	}
	if len(name) > 12 {
		name = name[:12]
	}
	return name + yes(modified, " with uncommitted changes", "")
}

// audited are the audits of all banks of the run.
func (r *Result) audited() []Audited {
	all := slices.DeleteFunc(slices.Clone(r.Audits), func(a Audited) bool { return a.Report == nil })
	if r.Audit != nil {
		all = append([]Audited{{Report: r.Audit}}, all...)
	}
	return all
}

func (r *Result) verdict() verdict {
	v := verdict{Cautions: r.cautions()}
	switch {
	case len(r.Failures) > 0:
		v.Word, v.Says = "Failed", "The figures below are worth nothing until this is explained:"
		v.Reasons = append(slices.Clone(r.Failures), r.Void...)
	case len(r.Void) > 0:
		v.Word, v.Says, v.Reasons = "Void", "The run cannot be used:", r.Void
	case len(r.audited()) == 0:
		v.Word, v.Says = "Not audited", "Nobody held the bank’s journal and the core’s ledger against what clients were told. Until that is done, the figures prove nothing."
	default:
		v.Word, v.Good = "Counts", true
		v.Says = "The audit found nothing wrong, and the generator kept up" + r.kept() + "."
	}
	return v
}

// kept says by how much the generator kept up, where it had a schedule to keep.
func (r *Result) kept() string {
	due, dropped, lag := int64(0), int64(0), int64(0)
	for i := range r.Phases {
		if p := &r.Phases[i]; p.Loop == "open" {
			due, dropped = due+p.Offered, dropped+p.Dropped
			if p.Lag != nil {
				lag = max(lag, p.Lag.P99)
			}
		}
	}
	if due == 0 {
		return ""
	}
	said := fmt.Sprintf(": of %s that were due it dropped %s", plural(due, "request", "requests"), grouped(dropped))
	if lag > 0 {
		said += fmt.Sprintf(", and 99 of 100 went out within %s of their time", short(lag))
	}
	return said
}

func (r *Result) cautions() []string {
	var all []string
	worst := &Phase{}
	for i := range r.Phases {
		if r.Phases[i].OthersShare > worst.OthersShare {
			worst = &r.Phases[i]
		}
	}
	if worst.OthersShare > OthersMax {
		all = append(all, fmt.Sprintf("The machine was busy with other things: processes that have no part in this run took up to %.0f %% of its processor time (phase %s). Rates are lower and latencies higher than it can do; shares by processor time still hold.",
			100*worst.OthersShare, worst.Name))
	}
	if r.Machine.Modified {
		all = append(all, "The program was built with changes that no commit has: nobody else can build it.")
	}
	return all
}

func (r *Result) askedSection() section {
	s := section{ID: "asked", Title: "What was asked"}
	if r.Asked != "" {
		s.Paragraphs = []string{r.Asked}
	}
	return s
}

func (r *Result) headlineSection() section {
	s := section{ID: "answer", Title: "What came out"}
	for _, h := range r.Headlines {
		line := headline{Name: h.Name, Value: in(h.Value, h.Unit), Unit: h.Unit, Text: h.Text}
		if h.Against != "" {
			line.Beside = fmt.Sprintf("%s %s: %s", in(h.Baseline, h.Unit), h.Unit, h.Against)
		}
		s.Headlines = append(s.Headlines, line)
	}
	return s
}

func (r *Result) goodputSection() section {
	s := section{ID: "goodput", Title: "Work done in time, while more and more is asked for"}
	p := r.goodputPicture()
	if p == nil {
		return s
	}
	s.Pictures = []*picture{p}
	all := r.lines()
	t := table{Columns: []column{{"offered", number}, {"a second", number}}}
	for _, l := range all {
		t.Columns = append(t.Columns, column{l.name + ": goodput, % of the peak", number}, column{"in time, a second", number})
	}
	for _, m := range multiples(all) {
		row := []string{times(m), ""}
		for _, l := range all {
			cells := []string{"", ""}
			for _, p := range l.phases {
				if p.Multiple == m {
					row[1] = figure(p.Multiple * p.PeakPerSecond)
					cells = []string{points(p.GoodputPercent), figure(perSecond(p.InSLO, p.Seconds))}
				}
			}
			row = append(row, cells...)
		}
		t.add(row...)
	}
	s.Tables = []table{t.trimmed()}
	var objectives []string
	for _, l := range all {
		for _, p := range l.phases {
			if said := fmt.Sprintf("%g s", p.SLOSeconds); p.SLOSeconds > 0 && !slices.Contains(objectives, said) {
				objectives = append(objectives, said)
			}
		}
	}
	if len(objectives) > 0 {
		s.After = []string{fmt.Sprintf("In time: completed within %s of the moment at which it was meant to start. The core’s peak: %s %s a second.", strings.Join(objectives, " or "), figure(all[0].phases[0].PeakPerSecond), all[0].phases[0].Unit)}
	}
	return s
}

func perSecond(n int64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(n) / seconds
}

func p99(q *Quantiles) string {
	if q == nil || q.Count == 0 {
		return ""
	}
	return short(q.P99)
}

// outcomesSection counts apart what was offered and what became of it.
func (r *Result) outcomesSection() section {
	s := section{ID: "outcomes", Title: "What became of everything that was asked for"}
	if p := r.outcomesPicture(); p != nil {
		s.Pictures = []*picture{p}
	}
	t := table{Columns: []column{
		{"phase", word},
		{"load", number},
		{"arm", text},
		{"offered", number},
		{"admitted", number},
		{"most waiting", number},
		{"most in the core", number},
		{"refused", number},
		{"abandoned", number},
		{"completed", number},
		{"of it in time", number},
		{"in doubt", number},
		{"failed", number},
		{"dropped", number},
		{"not accounted for", number},
		{"why", small},
	}}
	onLines := 0
	for _, l := range r.lines() {
		onLines += len(l.phases)
	}
	for i := range r.Phases {
		p := &r.Phases[i]
		if p.Server != "bank" {
			continue
		}
		name, inTime := p.Name, ""
		if onLines == r.ofBank() {
			name = "" // load and arm say it
		}
		if p.SLOSeconds > 0 || p.InSLO != p.Completed {
			inTime = grouped(p.InSLO)
		}
		missing := p.Offered - p.Completed - p.Refused - p.Abandoned - p.InDoubt - p.Failed - p.Dropped
		t.add(name, times(p.Multiple), p.shortArm(), grouped(p.Offered), nonzero(p.Admitted), nonzero(p.Waiting), nonzero(p.Inside), grouped(p.Refused), grouped(p.Abandoned), grouped(p.Completed),
			inTime, grouped(p.InDoubt), grouped(p.Failed), grouped(p.Dropped), nonzero(missing), reasons(p.Reasons))
	}
	if len(t.Rows) == 0 {
		return s
	}
	s.Tables = []table{t.trimmed()}
	if all := r.audited(); len(all) > 0 {
		lost, doubled := 0, 0
		for _, a := range all {
			lost, doubled = lost+a.Report.FindingsByRule[ruleLost], doubled+a.Report.FindingsByRule[ruleDouble]
		}
		s.After = []string{fmt.Sprintf("Lost: %d. Duplicated: %d. Both by the audit, over the whole run.", lost, doubled)}
	} else {
		s.After = []string{"Lost, duplicated: not known; there was no audit."}
	}
	return s
}

// ofBank counts the phases that measured the bank.
func (r *Result) ofBank() int {
	n := 0
	for i := range r.Phases {
		if r.Phases[i].Server == "bank" {
			n++
		}
	}
	return n
}

// reasonsShown is how many reasons a cell names.
const reasonsShown = 6

// reasons names the most frequent reasons first.
func reasons(all map[string]int64) string {
	names := slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		if all[a] != all[b] {
			return int(max(-1, min(1, all[b]-all[a])))
		}
		return strings.Compare(a, b)
	})
	var said []string
	rest := int64(0)
	for _, name := range names {
		if all[name] == 0 {
			continue
		}
		if len(said) < reasonsShown {
			said = append(said, grouped(all[name])+" "+name)
		} else {
			rest += all[name]
		}
	}
	if rest > 0 {
		said = append(said, grouped(rest)+" others")
	}
	return strings.Join(said, "; ")
}

func (r *Result) ratesSection() section {
	s := section{ID: "rates", Title: "What was done a second"}
	if p := r.ratesPicture(); p != nil {
		s.Pictures = []*picture{p}
	}
	t := table{Columns: []column{{"phase", word}, {"what", text}, {"loop", text}, {"connections", number}, {"a second", number}, {"of", text}, {"flows at once", number}, {"hello world (before, after)", number}, {"share", number}, {"share by CPU", number}}}
	beside := false
	for i := range r.Phases {
		p := &r.Phases[i]
		if p.Server != "bank" {
			continue
		}
		hello, share, byCPU := "", "", ""
		if p.Baseline != nil {
			beside = true
			hello = fmt.Sprintf("%s (%s, %s)", figure(p.Baseline.PerSecond), figure(p.Baseline.Before), figure(p.Baseline.After))
			share, byCPU = percent(p.Baseline.Ratio), percent(p.Baseline.CPURatio)
		}
		t.add(p.Name, p.What, p.Loop, nonzero(int64(p.Connections)), figure(p.PerSecond), p.Unit, nonzero(p.HoldsAtOnce), hello, share, byCPU)
	}
	if len(t.Rows) > 0 {
		s.Tables = []table{t.trimmed()}
	}
	s.Folded = len(s.Pictures) == 0 && len(t.Rows) > rowsShown/2
	if beside {
		s.After = []string{"Hello world: a fasthttp server in a process of its own that answers the same requests with the same 200, on as many connections, right before and right after (in parentheses). Share by CPU: the processor time of one of its requests, server and client together, by that of one of the bank’s."}
	}
	return s
}

// quantileColumns follow the columns that say whose latency it is.
func quantileColumns(before ...column) []column {
	return append(before, column{"p50", number}, column{"p90", number}, column{"p99", number}, column{"p99.9", number}, column{"max", number})
}

// quantiles are the cells of quantileColumns.
func quantiles(q *Quantiles) []string {
	if q == nil || q.Count == 0 {
		return make([]string, 5)
	}
	return []string{short(q.P50), short(q.P90), short(q.P99), short(q.P999), short(q.Max)}
}

func (r *Result) latencySection() section {
	s := section{ID: "latency", Title: "How long it took"}
	if p := r.latencyPicture(); p != nil {
		s.Pictures = []*picture{p}
	}
	t := table{Columns: append(quantileColumns(column{"phase", word}, column{"measured from", word}, column{"offered, a second", number}), column{"p99 from the sending", number}, column{"p99 of the generator’s lag", number})}
	closed := false
	for i := range r.Phases {
		p := &r.Phases[i]
		if p.Latency == nil || p.Latency.Count == 0 {
			continue
		}
		from, offered := "the sending", ""
		if p.Loop == "open" {
			from = "the intended start"
			if p.OfferedPerSecond > 0 {
				offered = figure(p.OfferedPerSecond)
			}
		} else {
			closed = true
		}
		t.add(slices.Concat([]string{p.Name, from, offered}, quantiles(p.Latency), []string{p99(p.Service), p99(p.Lag)})...)
	}
	if len(t.Rows) == 0 {
		return s
	}
	s.Tables = []table{t.trimmed()}
	if closed {
		s.After = []string{"Latencies of a closed loop say what a saturated server does to those who wait for each other; customers do not. The open loop is the one to believe."}
	}
	return s
}

// rowsShown is how many rows a table of details has before the page folds it away.
const rowsShown = 16

func (r *Result) stepsSection() section {
	t := table{Columns: quantileColumns(column{"phase", word}, column{"step", word}, column{"completed", number}, column{"of it in time", number}, column{"objective", number}, column{"refused", number}, column{"abandoned", number}, column{"in doubt", number}, column{"failed", number})}
	for i := range r.Phases {
		p := &r.Phases[i]
		for j := range p.Steps {
			step := &p.Steps[j]
			inTime, objective := "", ""
			if step.SLOSeconds > 0 {
				inTime, objective = grouped(step.InSLO), fmt.Sprintf("%g s", step.SLOSeconds)
			}
			t.add(append([]string{
				p.Name, step.Name, nonzero(step.Completed), inTime, objective, nonzero(step.Refused), nonzero(step.Abandoned), nonzero(step.InDoubt), nonzero(step.Failed),
			}, quantiles(step.Latency)...)...)
		}
	}
	s := section{ID: "steps", Title: "Step by step", Folded: len(t.Rows) > rowsShown}
	if len(t.Rows) > 0 {
		s.Tables = []table{t.trimmed()}
	}
	return s
}

func (r *Result) timelineSection() section {
	s := section{ID: "timeline", Title: "Second by second", Web: true, Pictures: r.timelinePictures()}
	s.Small = len(s.Pictures) > 1
	if len(s.Pictures) > 0 {
		s.Paragraphs = []string{"Offered counts when a request was meant to start, all else when it ended: what is offered in one second may be completed in a later one."}
	}
	return s
}

func (r *Result) disturbancesSection() section {
	s := section{ID: "disturbances", Title: "What was done to the nodes"}
	t := table{Columns: []column{
		{"second", number},
		{"what", word},
		{"node", word},
		{"ready again, ms", number},
		{"confirmations", number},
		{"longest wait, ms", number},
		{"longer than 2 s", number},
		{"no definite answer", number},
		{"nobody paid for, ms", number},
	}}
	for _, d := range r.Disturbances {
		t.add(figure(d.Second), d.What, d.Node, figure(d.ReadyMs), grouped(int64(d.Confirmations)), figure(d.LongestMs), grouped(int64(d.Late)), grouped(int64(d.Unanswered)), figure(d.GapMs))
	}
	if len(t.Rows) > 0 {
		s.Tables = []table{t}
		s.After = []string{"A confirmation counts for what was done first while it waited, or else for what was done last before it was sent. A wait is the time from the moment at which " +
			"the customer meant to press the button until the bank’s definite answer, over all tries and pages; a payment that the core has to be asked about waits for the core’s word."}
	}
	return s
}

func (r *Result) scalingsSection() section {
	s := section{ID: "scalings", Title: "What was done to the number of workers"}
	if len(r.Scalings) == 0 {
		return s
	}
	all := table{Columns: []column{{"second", number}, {"command", code}, {"workers", number}, {"most at once", number}, {"it returned after, ms", number}, {"then signed in a second", number}}}
	each := table{
		Title:   "The workers that came: ms after the command",
		Columns: []column{{"second", number}, {"node", number}, {"joined", number}, {"warm", number}, {"serving", number}, {"first payment", number}},
	}
	for i := range r.Scalings {
		c := &r.Scalings[i]
		all.add(figure(c.Second), c.Command, grouped(int64(c.Workers)), grouped(int64(c.Most)), figure(c.DoneMs), figure(c.SignInsPerSecond))
		for _, n := range c.Nodes {
			each.add(figure(c.Second), grouped(int64(n.Node)), figure(n.JoinedMs), figure(n.WarmMs), figure(n.ServingMs), figure(n.PaidMs))
		}
	}
	s.Tables = []table{all}
	if len(each.Rows) > 0 {
		s.Tables = append(s.Tables, each)
	}
	s.After = []string{"Joined: the leader heard of it. Warm: it said that it was ready. Serving: it had answered a customer who came by the balancer. First payment: the core had answered a payment that was admitted there."}
	return s
}

func (r *Result) samplesSection() section {
	s := section{ID: "samples", Title: "What the bank held"}
	if p := r.samplesPicture(); p != nil {
		s.Pictures = []*picture{p}
		t := table{Columns: []column{{"second", number}, {"resident, MB", number}, {"goroutines", number}, {"open files", number}}}
		for _, i := range slices.Compact([]int{0, len(r.Samples) / 4, len(r.Samples) / 2, len(r.Samples) * 3 / 4, len(r.Samples) - 1}) {
			x := &r.Samples[i]
			t.add(figure(x.Second), grouped(x.ResidentMB), grouped(x.Goroutines), grouped(x.Files))
		}
		s.Tables = []table{t}
	}
	return s
}

func (r *Result) processorSection() section {
	s := section{ID: "processor", Title: "Processor time", Folded: true}
	t := table{Columns: []column{{"phase", word}, {"process", text}, {"CPU s", number}, {"µs for each", number}, {"resident, MB", number}}}
	for i := range r.Phases {
		p := &r.Phases[i]
		for _, name := range slices.Sorted(maps.Keys(p.Processes)) {
			u := p.Processes[name]
			if u.CPUSeconds == 0 {
				continue
			}
			each := ""
			if done := p.done(); done > 0 {
				each = fmt.Sprintf("%.1f", 1e6*u.CPUSeconds/float64(done))
			}
			t.add(p.Name, name, fmt.Sprintf("%.2f", u.CPUSeconds), each, nonzero(u.ResidentMB))
		}
	}
	if len(t.Rows) > 0 {
		s.Tables = []table{t}
	}
	return s
}
