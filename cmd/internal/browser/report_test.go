package browser

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"netbank/bench/audit"
	"netbank/bench/machine"
	"netbank/bench/report"
)

// collapsed is the result of a run with every part that a report can have.
func collapsed() *report.Result {
	quantiles := func(scale float64) *report.Quantiles {
		q := &report.Quantiles{Count: 1000, P50: int64(scale), P90: int64(2 * scale), P99: int64(4 * scale), P999: int64(6 * scale), Max: int64(7 * scale)}
		for p := 50.; p < 99.99; p += (100 - p) / 8 {
			q.Curve = append(q.Curve, report.Point{Percentile: p, Ns: int64(scale * math.Log2(100/(100-p)))})
		}
		return q
	}
	r := &report.Result{
		Version: report.Version, Scenario: "overload", Started: time.Date(2010, 11, 11, 2, 0, 0, 0, time.UTC), TookSeconds: 280, Seed: 7, Command: "bin/netbank-lab bench overload --seed 7",
		Asked:     "What becomes of a bank whose core can do 1,000 payments a second, when more and more is asked of it?",
		Headlines: []report.Headline{{Name: "goodput at 2× the core's peak", Value: 96, Unit: "%", Against: "the same load without admission control", Baseline: 15, Text: "Completed within 2 s of the customer's click."}},
		Setting:   report.Setting{Nodes: 1, Connections: 2000, Seconds: 10, Customers: 1000, PartnerTLS: "mutual, 1.3", PasswordHash: "argon2id m=64,t=1,p=1", CoreModel: "ps", CoreSeats: 64, JournalSync: true, GeneratorShares: true},
		Machine:   machine.Machine{Commit: "0123456789abcdef", Go: "go1.26.8", OS: "linux", Arch: "amd64", Kernel: "6.18", CPU: "a processor", CPUs: 2, GOMAXPROCS: 2, MemoryMB: 24_000},
		Profiles:  []report.Profile{{Phase: "confirm", Kind: "cpu", File: "confirm-cpu.pprof", Unit: "nanoseconds", Total: 10, Top: []report.Hotspot{{Function: "netbank/cluster.(*a).veryLongNameOfAFunctionThatDoesNotFit.func1", Flat: 4, Cum: 4}}}},
		Audits:    []report.Audited{{Of: report.ArmOff, Report: &audit.Report{Settled: 9, Debited: 9}}, {Of: report.ArmOn, Report: &audit.Report{Settled: 9, Debited: 9}}},
		Notes:     []string{"Generator and bank share one machine; `make bench` says how much each took."}, LeftOut: []string{"Webhooks."},
	}
	for arm, name := range []string{report.ArmOff, report.ArmOn} {
		for _, multiple := range []float64{.5, .9, 1.2, 2, 5, 10, 50} {
			offered := int64(10_000 * multiple)
			done := min(offered, 9_600)
			if arm == 0 && multiple > 1 {
				done = int64(9_600 / multiple / multiple)
			}
			p := report.Phase{
				Name: fmt.Sprintf("%s %gx", name, multiple), What: "payments confirmed", Server: "bank", Loop: "open", Connections: 2000, Unit: "payments", Arm: name, Multiple: multiple, PeakPerSecond: 1000, SLOSeconds: 2,
				OfferedPerSecond: 1000 * multiple, Offered: offered, Completed: done, InSLO: done, Seconds: 10, PerSecond: float64(done) / 10, RequestsEach: 1, OthersShare: .2,
				Latency: quantiles(2e7 * multiple), Lag: quantiles(3e4), Steps: []report.Step{{Name: "send code", Latency: quantiles(1e7), SLOSeconds: 2, Completed: done, InSLO: done}},
				Processes: map[string]report.Used{"bank": {CPUSeconds: 4, ResidentMB: 200}},
			}
			if arm == 0 {
				p.Abandoned = offered - done
				p.Reasons = map[string]int64{"patience ended": p.Abandoned}
			} else {
				p.Refused = offered - done
				p.Reasons = map[string]int64{"too-late": p.Refused}
			}
			p.SetPeak(1000)
			for range 10 {
				p.Timeline = append(p.Timeline, report.Second{Offered: offered / 10, Completed: done / 10, InSLO: done / 10, Refused: p.Refused / 10, Abandoned: p.Abandoned / 10})
			}
			r.Phases = append(r.Phases, p)
		}
	}
	r.Phases = append(r.Phases, report.Phase{
		Name: "create", What: "payments created", Server: "bank", Loop: "closed", Unit: "payments", Offered: 9, Completed: 9, InSLO: 9, PerSecond: 30_000, Seconds: 1, Latency: quantiles(1e6),
		Baseline: &report.Baseline{Name: "hello", Before: 99_000, After: 101_000, PerSecond: 100_000, Ratio: .3, CPURatio: .35},
	})
	for i := range 60 {
		r.Samples = append(r.Samples, report.Sample{Second: float64(5 * i), ResidentMB: 200 + int64(i%7), Goroutines: 500, Files: 1200})
	}
	return r
}

// The benchmark's report is read by strangers, on whatever they have at hand.
func TestTheBenchmarkReportInABrowser(t *testing.T) {
	browser := startBrowser(t)
	source := axe(t)
	failed := collapsed()
	failed.Audits[1].Report = &audit.Report{Settled: 9, Debited: 10, FindingsCount: 1, FindingsByRule: map[string]int{audit.DoubleDebit: 1}, Findings: []audit.Finding{{Rule: audit.DoubleDebit, Payment: "0198a4c2-7f31-7aaa-8bbb-000000000001", Detail: "2 debits stand, 2 were made"}}}
	failed.Failures = []string{"the audit has 1 finding"}
	for name, r := range map[string]*report.Result{"report": collapsed(), "report-failed": failed} {
		text, err := r.HTML()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), report.HTMLName)
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
		t.Cleanup(cancel)
		i := &inspector{visitor: &visitor{t: t, ctx: ctx}, axe: source, pictures: os.Getenv("NETBANK_SCREENSHOTS")}
		i.run(chromedp.EmulateViewport(320, 700, chromedp.EmulateMobile))
		i.open("file://" + file)
		i.sees("h1")
		if fetched := evaluate[float64](i.visitor, `performance.getEntriesByType('resource').length`); fetched != 0 {
			t.Errorf("%s: the page fetched %v things", name, fetched)
		}
		evaluate[float64](i.visitor, i.axe+";document.querySelectorAll('details').forEach(d => d.open = true);0")
		for _, width := range []int64{320, 390, 820, 1280} {
			i.run(chromedp.EmulateViewport(width, 900))
			if wide := evaluate[float64](i.visitor, `document.documentElement.scrollWidth`); wide > float64(width) {
				t.Errorf("%s: %v pixels wide on a screen of %d", name, wide, width)
			}
		}
		for width, scheme := range map[int64]string{320: "dark", 1280: "light"} {
			i.run(chromedp.EmulateViewport(width, 900))
			i.scheme(scheme)
			i.findsNothing(fmt.Sprintf("%s at %d pixels, %s", name, width, scheme))
		}
		if i.pictures != "" {
			i.language = "en"
			for kind, width := range map[string]int64{"phone": 390, "desk": 1200} {
				i.picture(name, kind, width, 900, "light")
				i.picture(name, kind+"-dark", width, 900, "dark")
			}
			i.picture(name, "print", 700, 900, "light")
		}
	}
}

// findsNothing lets axe-core look at the page as it stands.
func (i *inspector) findsNothing(where string) {
	i.t.Helper()
	found := evaluate[string](i.visitor, `axe.run(document).then(r => JSON.stringify(r.violations.map(v => [v.id, v.help, v.nodes.slice(0, 5).map(n => n.html + ' ' + n.failureSummary)])))`, chromedp.EvalAwaitPromise)
	var findings [][]any
	if err := json.Unmarshal([]byte(found), &findings); err != nil {
		i.t.Fatalf("%s: axe-core answered %q", where, found)
	}
	for _, f := range findings {
		i.t.Errorf("%s: axe-core finds %v", where, f)
	}
}
