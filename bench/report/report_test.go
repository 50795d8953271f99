package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"netbank/bench/audit"
	"netbank/bench/load"
	"netbank/bench/machine"
)

// sample is a result with everything in it.
func sample(t *testing.T) *Result {
	t.Helper()
	h := load.NewHistogram()
	for n := range int64(100_000) {
		if err := h.RecordValue(50_000 + n*n/1000); err != nil {
			t.Fatal(err)
		}
	}
	r := &Result{
		Version: Version, Scenario: "single", Started: time.Date(2010, 11, 11, 2, 0, 0, 0, time.UTC), TookSeconds: 90, Seed: 1, Machine: overloaded().Machine,
		Setting:  Setting{Nodes: 1, Connections: 64, Seconds: 5, Customers: 1000, PartnerTLS: "mutual, 1.3", PasswordHash: "argon2id m=64,t=1,p=1", CoreModel: "fixed:0", CoreSeats: 64, JournalSync: true, GeneratorShares: true},
		Audit:    &audit.Report{Findings: []audit.Finding{}},
		Profiles: []Profile{{Phase: "status", Kind: "cpu", File: "status-cpu.pprof", Unit: "nanoseconds", Total: 10, Top: []Hotspot{{"runtime.memmove", 4, 4}}, Causes: []Hotspot{{"netbank/frontend/partner.(*API).status", 1, 6}}}},
		Void:     []string{}, Failures: []string{}, Notes: []string{"Something to know."},
	}
	closed := &load.Result{WarmUp: 10, Offered: 100_100, Completed: 100_000, InSLO: 100_000, Refused: 90, Failed: 10, Reasons: map[string]int64{"503": 90, "timeout": 10}, Elapsed: 5 * time.Second, Latency: h}
	open := &load.Result{Offered: 100_000, Completed: 100_000, InSLO: 100_000, Elapsed: 5 * time.Second, Latency: h, Service: h, Lag: h, Reasons: map[string]int64{}}
	for _, name := range []string{"hello", "status", "confirm"} {
		p := Phase{Name: name, What: "what it is", Server: "bank", Loop: "closed", Connections: 64, TLS: true, Unit: "requests", RequestsEach: 1}
		p.Count(closed)
		switch name {
		case "hello":
			p.Server = "hello"
		case "status":
			p.Baseline = &Baseline{Name: "hello", Before: 30_000, After: 34_000, PerSecond: 32_000, Ratio: .625, CPURatio: .64}
			p.Processes = map[string]Used{"bank": {4.2, 120}, "generator": {3.9, 80}}
		case "confirm":
			p.Loop, p.OfferedPerSecond = "open", 20_000
			p.Count(open)
			p.Steps = []Step{{Name: "sign-in", Latency: QuantilesOf(h, false)}}
		}
		r.Phases = append(r.Phases, p)
	}
	return r
}

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheJSONIsAsItsSchemaSays(t *testing.T) {
	whole := overloaded()
	whole.Audits, whole.Setting.Processes = []Audited{{ArmOn, &audit.Report{Findings: []audit.Finding{}}}}, []string{"bank", "generator ×2"}
	here, err := machine.Look(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	whole.Machine = here
	if text, err := whole.JSON(); err != nil {
		t.Error(err)
	} else if value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text)); err != nil {
		t.Error(err)
	} else if err := schema(t).Validate(value); err != nil {
		t.Error(err)
	}
	text, err := sample(t).JSON()
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	s := schema(t)
	if err := s.Validate(value); err != nil {
		t.Error(err)
	}
	// A phase in which nothing was completed is a result too.
	r := sample(t)
	r.Phases[0].Count(&load.Result{Latency: load.NewHistogram()})
	r.Phases[1].Latency = nil
	r.Audit = nil
	if text, err = r.JSON(); err != nil {
		t.Fatal(err)
	}
	if value, err = jsonschema.UnmarshalJSON(bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(value); err != nil {
		t.Error(err)
	}
}

func TestTheSchemaRefusesWhatItDoesNotKnow(t *testing.T) {
	s := schema(t)
	f := func(name string, spoil func(map[string]any)) {
		t.Helper()
		text, err := sample(t).JSON()
		if err != nil {
			t.Fatal(err)
		}
		var value map[string]any
		if err := json.Unmarshal(text, &value); err != nil {
			t.Fatal(err)
		}
		spoil(value)
		if s.Validate(value) == nil {
			t.Errorf("%s was taken", name)
		}
	}
	f("another version", func(v map[string]any) { v["version"] = 1. })
	f("an unknown field", func(v map[string]any) { v["speed"] = "high" })
	f("a missing field", func(v map[string]any) { delete(v, "void") })
	f("a negative count", func(v map[string]any) { v["phases"].([]any)[0].(map[string]any)["completed"] = -1. })
	f("an unknown loop", func(v map[string]any) { v["phases"].([]any)[0].(map[string]any)["loop"] = "half-open" })
	f("a time that is none", func(v map[string]any) { v["started"] = "yesterday" })
}

func TestWriteLeavesEverythingAndReadFindsIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results", "run")
	r := sample(t)
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	again, err := Read(filepath.Join(dir, JSONName))
	if err != nil {
		t.Fatal(err)
	}
	before, _ := r.JSON()
	after, _ := again.JSON()
	if !bytes.Equal(before, after) {
		t.Error("what was read differs from what was written")
	}
	for _, p := range r.pictures() {
		text, err := p.render()
		if err != nil {
			t.Fatal(err)
		}
		if err := wellFormed(text); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}

func TestMarkdownSaysFirstWhetherTheRunCounts(t *testing.T) {
	f := func(want string, spoil func(*Result)) {
		t.Helper()
		r := sample(t)
		spoil(r)
		paragraphs := strings.Split(r.Markdown(), "\n\n")
		if !strings.Contains(paragraphs[1], want) {
			t.Errorf("it begins with %q", paragraphs[1])
		}
		if failed, void := errors.Is(r.Err(), ErrFailed), errors.Is(r.Err(), ErrVoid); failed != (len(r.Failures) > 0) || void != (len(r.Void) > 0) {
			t.Errorf("failed %v, void %v", failed, void)
		}
		if counts := r.Err() == nil; counts != (want == "nothing wrong") {
			t.Errorf("Err is %v", r.Err())
		}
	}
	f("nothing wrong", func(*Result) {})
	f("**Void.**", func(r *Result) { r.Void = []string{"dropped too much"} })
	f("**Failed.**", func(r *Result) { r.Failures = []string{"the audit"} })
	f("**Failed.**", func(r *Result) { r.Failures, r.Void = []string{"the audit"}, []string{"dropped too much"} })
}

func TestMarkdownTablesHaveAsManyCellsAsHeads(t *testing.T) {
	cells := 0
	for _, line := range strings.Split(sample(t).Markdown(), "\n") {
		n := strings.Count(line, "|")
		switch {
		case !strings.HasPrefix(line, "|"):
			cells = 0
		case cells == 0:
			cells = n
		case n != cells:
			t.Errorf("%q has %d bars, its head %d", line, n, cells)
		}
	}
}

func TestMarkdownWarnsOfABusyMachine(t *testing.T) {
	r := sample(t)
	if strings.Contains(r.Markdown(), "busy with other things") {
		t.Error("it warns of nothing")
	}
	r.Phases[1].OthersShare = .58
	if !strings.Contains(r.Markdown(), "up to 58 % of its processor time (phase status)") {
		t.Error("it does not warn")
	}
}

func TestQuantilesOfNothing(t *testing.T) {
	if q := QuantilesOf(load.NewHistogram(), true); q.Count != 0 || len(q.Curve) != 0 || q.Mean != 0 {
		t.Errorf("%+v", q)
	}
}

func TestThePercentileCurveRises(t *testing.T) {
	q := sample(t).Phases[0].Latency
	for i := 1; i < len(q.Curve); i++ {
		if q.Curve[i].Percentile <= q.Curve[i-1].Percentile || q.Curve[i].Ns < q.Curve[i-1].Ns {
			t.Fatalf("point %d: %v after %v", i, q.Curve[i], q.Curve[i-1])
		}
	}
	if last := q.Curve[len(q.Curve)-1]; last.Percentile != 100 || last.Ns != q.Max {
		t.Errorf("it ends at %v", last)
	}
}

// planted is a profile of known shares: main calls serve, which calls memmove; serve is on the stack twice once.
func planted(t *testing.T, factor int64) []byte {
	t.Helper()
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}}}
	location := map[string]*profile.Location{}
	for i, name := range []string{"main.main", "netbank/frontend/edge.serve", "runtime.memmove"} {
		f := &profile.Function{ID: uint64(i + 1), Name: name}
		l := &profile.Location{ID: uint64(i + 1), Line: []profile.Line{{Function: f}}}
		p.Function, p.Location, location[name] = append(p.Function, f), append(p.Location, l), l
	}
	main, serve, move := location["main.main"], location["netbank/frontend/edge.serve"], location["runtime.memmove"]
	p.Sample = []*profile.Sample{
		{Location: []*profile.Location{move, serve, main}, Value: []int64{6 * factor, 60 * factor}},
		{Location: []*profile.Location{serve, serve, main}, Value: []int64{3 * factor, 30 * factor}},
		{Location: []*profile.Location{main}, Value: []int64{1, 10}},
	}
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadProfileRanksFunctions(t *testing.T) {
	p, err := ReadProfile(planted(t, 1), "cpu", func(f string) bool { return strings.HasPrefix(f, "netbank/") })
	if err != nil {
		t.Fatal(err)
	}
	top := []Hotspot{{"runtime.memmove", 60, 60}, {"netbank/frontend/edge.serve", 30, 90}, {"main.main", 10, 100}}
	if p.Total != 100 || p.Unit != "nanoseconds" || !slices.Equal(p.Top, top) || !slices.Equal(p.Causes, top[1:2]) {
		t.Errorf("%+v", p)
	}
	if _, err := ReadProfile([]byte("no profile"), "cpu", nil); err == nil {
		t.Error("what is no profile was read")
	}
	if _, err := ReadProfile(planted(t, 1), "alloc_space", nil); err == nil {
		t.Error("a sample type that the profile does not have was read")
	}
}

func TestAllocatedIsWhatCameBetween(t *testing.T) {
	between, err := Allocated(planted(t, 1), planted(t, 4))
	if err != nil {
		t.Fatal(err)
	}
	p, err := ReadProfile(between, "cpu", nil)
	if err != nil {
		t.Fatal(err)
	}
	// What did not grow is not in it.
	want := []Hotspot{{"runtime.memmove", 180, 180}, {"netbank/frontend/edge.serve", 90, 270}, {"main.main", 0, 270}}
	if p.Total != 270 || !slices.Equal(p.Top, want) {
		t.Errorf("%+v", p)
	}
	for _, pair := range [][2][]byte{{[]byte("x"), planted(t, 1)}, {planted(t, 1), []byte("x")}} {
		if _, err := Allocated(pair[0], pair[1]); err == nil {
			t.Error("what is no profile was read")
		}
	}
}
