package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html/template"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"netbank/bench/audit"
)

func html(t *testing.T, r *Result) string {
	t.Helper()
	text, err := r.HTML()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wellFormed reads the text as XML: every element that is opened is closed, in order. The page is written so that it is both.
func wellFormed(text []byte) error {
	for d := xml.NewDecoder(bytes.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestThePageIsOneFileThatAsksForNothing(t *testing.T) {
	for _, r := range []*Result{sample(t), overloaded(), {}} {
		page := html(t, r)
		if err := wellFormed([]byte(page)); err != nil {
			t.Errorf("%s: %v", r.Scenario, err)
		}
		for _, word := range []string{"<script", "<link", "<img", "<image", "<iframe", "<object", "<embed", "<base", "<form", " src=", " href=", "xlink", "url(", "@import", "http:", "https:", "javascript:"} {
			if strings.Contains(page, word) {
				t.Errorf("%s: the page has %q", r.Scenario, word)
			}
		}
		if found := regexp.MustCompile(`(?i)<[^>]*\son[a-z]+=`).FindString(page); found != "" {
			t.Errorf("%s: a script in %q", r.Scenario, found)
		}
	}
}

func TestThePageSaysFirstWhetherTheRunCounts(t *testing.T) {
	f := func(want string, spoil func(*Result)) {
		t.Helper()
		r := sample(t)
		spoil(r)
		page := html(t, r)
		header := page[strings.Index(page, "<header>"):strings.Index(page, "</header>")]
		if !strings.Contains(header, want) {
			t.Errorf("it begins with %s", header)
		}
	}
	f("This run counts.", func(*Result) {})
	f("<strong>Void.</strong>", func(r *Result) { r.Void = []string{"dropped too much"} })
	f("dropped too much", func(r *Result) { r.Void = []string{"dropped too much"} })
	f("<strong>Failed.</strong>", func(r *Result) { r.Failures, r.Void = []string{"the audit"}, []string{"dropped too much"} })
	f("<strong>Not audited.</strong>", func(r *Result) { r.Audit = nil })
	f("no commit has", func(r *Result) { r.Machine.Modified = true })
	f("took up to 58 %", func(r *Result) { r.Phases[1].OthersShare = .58 })
}

func TestThePageAnswersInTheOrderOfAStrangersQuestions(t *testing.T) {
	r := overloaded()
	r.Audits = []Audited{{ArmOff, &audit.Report{Settled: 11_000, Debited: 11_000, Told: 24_000}}, {ArmOn, &audit.Report{Settled: 1, Debited: 1, Told: 1}}}
	page := html(t, r)
	last := 0
	for _, want := range []string{
		"This run counts.", r.Asked, "What came out", "beside 15.0 %: the same load without admission control", "Work done in time", "with admission control", "What became of everything", "Lost: 0. Duplicated: 0.",
		"Is the money right?", "Every acknowledged payment was debited once, and no other was: 11,001 settled payments", "11,001 standing debits", "24,001 statements to clients", "How long it took", "Step by step", "Second by second", "What the bank held",
		"Processor time", "Where and how", "model ps at 2× its speed", "2 processes, on the machine and cores that it measures", "What was left out", "How to repeat it", r.Command, "Words", "goodput", "SLO", "open loop", "intended start", "p99", "void",
	} {
		at := strings.Index(page[last:], want)
		if at < 0 {
			t.Fatalf("after %q there is no %q", page[max(0, last-40):last], want)
		}
		last += at
	}
}

func TestAFailedAuditIsSaidInWords(t *testing.T) {
	r := sample(t)
	r.Audit = &audit.Report{
		Settled: 5, Debited: 6, FindingsCount: 2, FindingsByRule: map[string]int{audit.DoubleDebit: 1, "ARuleOfTomorrow": 1},
		Findings: []audit.Finding{{Rule: audit.DoubleDebit, Payment: "p-1", Detail: "2 debits stand, 2 were made"}},
	}
	r.Failures = []string{"the audit has 2 findings"}
	for name, text := range map[string]string{"page": html(t, r), "markdown": r.Markdown()} {
		for _, want := range []string{"disagree: 2 findings", "✗ broken, 1 finding", "AtMostOneDebit: p-1 2 debits stand", "ARuleOfTomorrow", "Duplicated: 1"} {
			if !strings.Contains(text, want) {
				t.Errorf("the %s does not say %q", name, want)
			}
		}
		if strings.Contains(text, "Every acknowledged payment was debited once") {
			t.Errorf("the %s says that all is well", name)
		}
	}
}

// What one page says, the other says: rows are computed once.
func TestPageAndMarkdownSayTheSame(t *testing.T) {
	for _, r := range []*Result{sample(t), overloaded()} {
		page, markdown, v := html(t, r), r.Markdown(), r.view()
		both := func(text string) {
			t.Helper()
			if !strings.Contains(page, string(marked(text))) && !strings.Contains(page, template.HTMLEscapeString(text)) {
				t.Errorf("%s: the page does not say %q", r.Scenario, text)
			}
			if !strings.Contains(markdown, text) {
				t.Errorf("%s: the Markdown does not say %q", r.Scenario, text)
			}
		}
		both(v.Verdict.Says)
		for _, s := range v.Sections {
			if s.Web {
				continue
			}
			both(s.Title)
			for _, text := range slices.Concat(s.Paragraphs, s.After, s.List) {
				both(text)
			}
			for _, table := range s.Tables {
				for _, row := range table.Rows {
					if len(row) != len(table.Columns) {
						t.Errorf("%s, %s: %d cells under %d heads: %q", r.Scenario, s.Title, len(row), len(table.Columns), row)
					}
					for _, cell := range row {
						both(cell)
					}
				}
			}
		}
	}
}

func TestWhatOthersNamedDoesNotBecomeMarkup(t *testing.T) {
	r := overloaded()
	const bad = `<script>alert("&'")</script>`
	r.Scenario, r.Asked, r.Command = bad, bad, bad
	r.Notes, r.Failures, r.LeftOut = []string{bad + " `" + bad + "` `"}, []string{bad}, []string{bad}
	for i := range r.Phases {
		p := &r.Phases[i]
		p.Name, p.Arm, p.Unit, p.People, p.Reasons = bad, bad+strconv.Itoa(i%2), bad, bad, map[string]int64{bad: 1}
		p.Steps[0].Name = bad
	}
	page := html(t, r)
	if strings.Contains(page, "<script") {
		t.Error("it does")
	}
	if err := wellFormed([]byte(page)); err != nil {
		t.Error(err)
	}
	for _, p := range r.pictures() {
		text, err := p.render()
		if err != nil {
			t.Fatal(err)
		}
		if err := wellFormed(text); err != nil || bytes.Contains(text, []byte("<script")) {
			t.Errorf("%s: %v", p.Name, err)
		}
		if filepath.Base(p.Name) != p.Name {
			t.Errorf("a plot would be written to %q", p.Name)
		}
	}
}

func TestTheIndexLeadsToEachReportAndSaysWhetherItCounts(t *testing.T) {
	void := sample(t)
	void.Void = []string{"dropped too much"}
	dir := t.TempDir()
	if err := WriteIndex(dir, []Entry{{"one", sample(t)}, {"two&<", void}}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, IndexName))
	if err != nil {
		t.Fatal(err)
	}
	if err := wellFormed(page); err != nil {
		t.Error(err)
	}
	for _, want := range []string{`href="one/report.html"`, "This run counts.", `href="two&amp;%3c/report.html"`, "<strong>Void.</strong>", "dropped too much"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("it does not have %q:\n%s", want, page)
		}
	}
}

func names(all []*picture) []string {
	var list []string
	for _, p := range all {
		list = append(list, p.Name)
	}
	return list
}

func TestOnlyPlotsWithSomethingToShowAreWritten(t *testing.T) {
	if got := names((&Result{}).pictures()); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
	if got := names(sample(t).pictures()); !slices.Equal(got, []string{OutcomesName, RatesName, LatencyName}) {
		t.Errorf("of a run of one node: %v", got)
	}
	r, dir := overloaded(), filepath.Join(t.TempDir(), "out")
	want := append([]string{GoodputName, OutcomesName, LatencyName, SamplesName}, "timeline-overload-off-0.5x.svg", "timeline-overload-on-0.5x.svg", "timeline-overload-off-2x.svg", "timeline-overload-on-2x.svg", "timeline-overload-off-10x.svg", "timeline-overload-on-10x.svg")
	if got := names(r.pictures()); !slices.Equal(got, want) {
		t.Errorf("of an overload: %v", got)
	}
	same := r.Phases[0]
	r.Phases = append(r.Phases, same)
	want = append(want, "timeline-overload-off-0.5x-2.svg")
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	if err != nil || len(files) != len(want) {
		t.Errorf("%d plots in files, %d drawn: %v %v", len(files), len(want), files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := wellFormed(text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestTheGoodputPlotNamesItsLines(t *testing.T) {
	text, err := overloaded().goodputPicture().render()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{">with admission control<", ">without admission control<", ">96.0 % at 10×<", ">0.0 % at 10×<", "the core’s peak", "offered load, as a multiple"} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("it does not say %q", want)
		}
	}
}

// The picture of README.md and docs/performance.md is drawn from the result that lies beside it.
func TestThePictureOfTheDocumentsIsDrawnFromItsResult(t *testing.T) {
	at := filepath.Join("..", "..", "docs", "img", "overload-goodput")
	text, err := os.ReadFile(at + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var r Result
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	want, err := r.goodputPicture().render()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(at+".svg", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(at + ".svg"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("it is another (%v). If that is meant: go test ./bench/report -update", err)
	}
}

// In the page a plot has the colours of the style sheet, which knows day and night; only what is written on a series' colour stays as it is.
func TestPlotsInThePageHaveNoColoursOfTheirOwn(t *testing.T) {
	for _, p := range append(sample(t).pictures(), overloaded().pictures()...) {
		for _, narrow := range []bool{false, true} {
			text, err := p.inline(narrow)
			if err != nil {
				t.Fatal(err)
			}
			for _, color := range regexp.MustCompile(`#[0-9A-Fa-f]{6}`).FindAllString(text, -1) {
				if color != hex(onHueColor()) {
					t.Errorf("%s: %s", p.Name, color)
				}
			}
		}
	}
}

// A plot that stands alone has a colour of the night for each that it has by day.
func TestPlotsThatStandAloneKnowTheNight(t *testing.T) {
	for _, p := range append(sample(t).pictures(), overloaded().pictures()...) {
		text, err := p.render()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`style="[^"]*(fill|stroke):(#[0-9A-F]{6})`).FindAllSubmatch(text, -1) {
			if color := string(m[2]); color != hex(onHueColor()) && !regexp.MustCompile(`\[style\*="`+string(m[1])+`:`+color+`"\]\{`+string(m[1])+`:#[0-9a-f]{6}!important\}`).Match(text) {
				t.Errorf("%s: %s %s by day, and nothing at night", p.Name, m[1], color)
			}
		}
	}
}

// luminance and contrast are those of WCAG 2.2, which asks for 4.5 of text.
func luminance(t *testing.T, color string) float64 {
	t.Helper()
	var c [3]uint8
	if _, err := fmt.Sscanf(strings.ToLower(color), "#%02x%02x%02x", &c[0], &c[1], &c[2]); err != nil {
		t.Fatalf("%q: %v", color, err)
	}
	sum := 0.
	for i, weight := range []float64{.2126, .7152, .0722} {
		v := float64(c[i]) / 255
		if v <= .04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+.055)/1.055, 2.4)
		}
		sum += weight * v
	}
	return sum
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + .05) / (min(x, y) + .05)
}

func TestWordsCanBeReadByDayAndNight(t *testing.T) {
	variables := func(css string) map[string]string {
		all := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+):(#[0-9a-fA-F]{6})`).FindAllStringSubmatch(css, -1) {
			all[m[1]] = m[2]
		}
		return all
	}
	page := html(t, sample(t))
	roots := regexp.MustCompile(`:root\{[^}]*\}`).FindAllString(page, -1)
	if len(roots) != 2 {
		t.Fatalf("%d palettes", len(roots))
	}
	for _, root := range roots {
		v := variables(root)
		if len(v) != len(variables(roots[0])) {
			t.Errorf("night and day have %d and %d colours", len(v), len(variables(roots[0])))
		}
		for name, color := range v {
			switch {
			case strings.HasSuffix(name, "-words"), name == "ink", name == "muted", name == "good", name == "bad", name == "warn":
				for _, ground := range []string{"paper", "panel"} {
					if c := contrast(t, color, v[ground]); c < 4.5 {
						t.Errorf("%s %s on %s %s: %.2f", name, color, ground, v[ground], c)
					}
				}
			case slices.ContainsFunc(fates(), func(f fate) bool { return hues()[f.hue].name == name }):
				if c := contrast(t, color, hex(onHueColor())); c < 4.5 {
					t.Errorf("words on %s %s: %.2f", name, color, c)
				}
			}
		}
	}
}

func TestRoundNumbersAreMarked(t *testing.T) {
	f := func(low, high float64, want string) {
		t.Helper()
		var got []string
		for _, tick := range (numberTicks{}).Ticks(low, high) {
			got = append(got, tick.Label)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%v to %v: %q, want %q", low, high, got, want)
		}
	}
	f(0, 100, "0 20 40 60 80 100")
	f(0, 108, "0 20 40 60 80 100")
	f(0, 115, "0 50 100")
	f(0, 880, "0 200 400 600 800")
	f(0, 1, "0 0.2 0.4 0.6 0.8 1")
	f(0, 80_000, "0 20,000 40,000 60,000 80,000")
	f(12, 19, "12 14 16 18")
	f(5, 5, "")
	// At the end of precision, where one step more changes nothing, it ends all the same.
	if got := (numberTicks{}).Ticks(1e18, 1e18+128); len(got) > 7 {
		t.Errorf("%v", got)
	}
}

func TestFiguresHaveThreeDigits(t *testing.T) {
	f := func(v float64, want string) {
		t.Helper()
		if got := figure(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	f(0, "0")
	f(.01234, "0.0123")
	f(1.234, "1.23")
	f(12.34, "12.3")
	f(99.96, "100")
	f(1234.5, "1,235")
	f(1234567, "1,234,567")
	f(-1234567, "−1,234,567")
	f(math.NaN(), "–")
	f(math.Inf(1), "–")
}

// drawnResult is any result that a program could write.
func drawnResult(t *rapid.T) *Result {
	count := rapid.Int64Range(0, 1e12)
	some := rapid.Float64Range(0, 1e9)
	r := overloaded()
	r.Phases = r.Phases[:0]
	for range rapid.IntRange(0, 6).Draw(t, "phases") {
		p := Phase{
			Name: rapid.String().Draw(t, "name"), Server: "bank", Loop: rapid.SampledFrom([]string{"open", "closed"}).Draw(t, "loop"), Arm: rapid.SampledFrom([]string{"", ArmOn, ArmOff, "third"}).Draw(t, "arm"),
			Multiple: rapid.SampledFrom([]float64{0, .5, 1, 2, 50}).Draw(t, "multiple"), PeakPerSecond: rapid.SampledFrom([]float64{0, 1600}).Draw(t, "peak"), SLOSeconds: rapid.SampledFrom([]float64{0, 2}).Draw(t, "slo"),
			Offered: count.Draw(t, "offered"), Completed: count.Draw(t, "completed"), InSLO: count.Draw(t, "inSLO"), Refused: count.Draw(t, "refused"), Dropped: count.Draw(t, "dropped"), Seconds: some.Draw(t, "seconds"), PerSecond: some.Draw(t, "rate"),
			GoodputPercent: some.Draw(t, "goodput"),
		}
		if rapid.Bool().Draw(t, "latency") {
			ns := rapid.Int64Range(0, 1e12)
			p.Latency = &Quantiles{Count: 3, P50: ns.Draw(t, "p50"), P99: ns.Draw(t, "p99")}
			for range rapid.IntRange(0, 5).Draw(t, "points") {
				p.Latency.Curve = append(p.Latency.Curve, Point{rapid.Float64Range(0, 100).Draw(t, "percentile"), ns.Draw(t, "ns")})
			}
		}
		for range rapid.IntRange(0, 20).Draw(t, "timeline") {
			p.Timeline = append(p.Timeline, Second{Offered: count.Draw(t, "due"), InSLO: count.Draw(t, "good")})
		}
		r.Phases = append(r.Phases, p)
	}
	r.Samples = r.Samples[:rapid.IntRange(0, 20).Draw(t, "samples")]
	return r
}

func TestEveryResultCanBeWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawnResult(t)
		page, err := r.HTML()
		if err == nil {
			err = wellFormed(page)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}

// A result's file may come from anywhere. Whatever it says, reading it gives an error or something that can be shown.
func FuzzRead(f *testing.F) {
	small := overloaded() // inputs are mutated byte by byte
	small.Phases, small.Samples = small.Phases[3:5], small.Samples[:2]
	for i := range small.Phases {
		p := &small.Phases[i]
		p.Latency.Curve, p.Timeline = p.Latency.Curve[:3], p.Timeline[:8]
	}
	for _, r := range []*Result{small, {Version: Version}} {
		text, err := r.JSON()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"version":3,"phases":[{"server":"bank","offered":-1,"inSLO":-9223372036854775808,"multiple":1e300,"peakPerSecond":1e-300,"goodputPercent":-5},{"server":"bank","multiple":1e-300,"peakPerSecond":1,"latency":{"count":1,"curve":[{"percentile":99,"ns":1},{"percentile":99,"ns":1}]}}],"disturbances":[{"node":"<b>","longestMs":1e300,"gapMs":-1}],"samples":[{"second":1e18},{"second":-1e18}],"audits":[{"of":"x","report":null}]}`))
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), JSONName)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Read(file)
		if err != nil {
			if json.Valid(text) && !strings.Contains(err.Error(), file) {
				t.Errorf("the error does not name the file: %v", err)
			}
			return
		}
		if _, err := r.HTML(); err != nil {
			t.Error(err)
		}
		_, _ = r.Markdown(), r.Benchstat()
	})
}
