package report

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"netbank/bench/load"
	"netbank/bench/machine"
)

var update = flag.Bool("update", false, "write the files in testdata anew")

// overloaded is a run of two arms, small enough to be worked out by hand.
func overloaded() *Result {
	r := &Result{
		Version: Version, Scenario: "overload", Started: time.Date(2010, 11, 11, 2, 0, 0, 0, time.UTC), TookSeconds: 90, Seed: 7, Generators: 2,
		Command: "bin/netbank-lab bench overload --seed 7", Asked: "What becomes of a bank of which more is asked than its core can do?",
		Machine: machine.Machine{Commit: "0123456789abcdef", Go: "go1.26.8", OS: "linux", Arch: "amd64", Kernel: "6.18", CPU: "a processor", CPUs: 2, GOMAXPROCS: 2, MemoryMB: 24_000, Sync: machine.Sync{Samples: 500, P50: 151_000, P99: 217_000, Max: 3_000_000}},
		Setting: Setting{Nodes: 1, Connections: 2000, Seconds: 10, Customers: 1000, PartnerTLS: "mutual, 1.3", PasswordHash: "argon2id m=64,t=1,p=1", CoreModel: "ps", CoreSpeed: 2, CoreSeats: 64, JournalSync: true, GeneratorShares: true},
	}
	for _, of := range []struct {
		arm                                                  string
		multiple                                             float64
		offered, completed, inSLO, refused, abandoned, doubt int64
	}{
		{ArmOff, .5, 5_000, 5_000, 5_000, 0, 0, 0},
		{ArmOff, 2, 20_000, 6_000, 1_500, 0, 13_990, 10},
		{ArmOff, 10, 100_000, 0, 0, 0, 100_000, 0},
		{ArmOn, .5, 5_000, 5_000, 5_000, 0, 0, 0},
		{ArmOn, 2, 20_000, 9_800, 9_700, 10_200, 0, 0},
		{ArmOn, 10, 100_000, 9_700, 9_600, 90_290, 10, 0},
	} {
		h := load.NewHistogram()
		for range of.completed {
			_ = h.RecordValue(int64(of.multiple * 1e8))
		}
		p := Phase{
			Name: "overload-" + strings.TrimPrefix(of.arm, "admission ") + "-" + strconv.FormatFloat(of.multiple, 'g', -1, 64) + "x", What: "payments confirmed", Server: "bank", Loop: "open", Connections: 2000, Unit: "payments", Arm: of.arm, Multiple: of.multiple, PeakPerSecond: 1000, SLOSeconds: 2,
			OfferedPerSecond: 1000 * of.multiple, RequestsEach: 1, People: "patient",
		}
		p.Count(&load.Result{
			Offered: of.offered, Completed: of.completed, InSLO: of.inSLO, Refused: of.refused, Abandoned: of.abandoned, InDoubt: of.doubt, AtOnce: 500,
			Reasons: map[string]int64{"queue-full": of.refused}, Elapsed: 10 * time.Second, Latency: h,
			Steps: []load.StepResult{{Name: "send code", SLO: 2 * time.Second, Completed: of.completed, InSLO: of.inSLO, Latency: h}},
		})
		for range 10 {
			p.Timeline = append(p.Timeline, Second{
				Offered: of.offered / 10, Completed: of.completed / 10, InSLO: of.inSLO / 10, Refused: of.refused / 10, Abandoned: of.abandoned / 10, InDoubt: of.doubt / 10,
			})
		}
		p.Processes = map[string]Used{"bank": {2.5, 120}, "core": {.5, 80}}
		r.Phases = append(r.Phases, p)
	}
	r.Headlines = []Headline{{"goodput at 2× the core's peak", 97, "%", "the same load without admission control", 15, "Completed within 2 s."}}
	r.LeftOut = []string{"Webhooks."}
	for i := range 20 {
		r.Samples = append(r.Samples, Sample{float64(i), 100 + int64(i), 500, 1200})
	}
	return r
}

// benchFormat is a result line of Go's benchmark format: a name, a count, and pairs of value and unit.
var benchFormat = regexp.MustCompile(`^Benchmark[A-Z]\S*-\d+\t\d+(\t[0-9.]+ \S+)+$`)

func TestBenchstatLinesAreGosBenchmarkFormat(t *testing.T) {
	spaced := overloaded()
	spaced.Phases[0].Name, spaced.Phases[0].Unit, spaced.Phases[0].Arm = "send / confirm", "payments of all", "closed for an hour"
	for _, r := range []*Result{sample(t), overloaded(), spaced} {
		results := 0
		for _, line := range strings.Split(strings.TrimSpace(r.Benchstat()), "\n") {
			if strings.HasPrefix(line, "Benchmark") {
				results++
				if !benchFormat.MatchString(line) {
					t.Errorf("%q", line)
				}
			} else if !regexp.MustCompile(`^[a-z-]+: .`).MatchString(line) {
				t.Errorf("%q is neither configuration nor a result", line)
			}
		}
		if results != len(r.Phases) {
			t.Errorf("%d result lines of %d phases", results, len(r.Phases))
		}
	}
	lines := strings.Split(strings.TrimSpace(sample(t).Benchstat()), "\n")
	for _, want := range []string{"BenchmarkSingle/status-", "20000.0 requests/s", "62.50 hello-%", "64.00 hello-cpu-%", "80911 cpu-ns/op", "99.900 goodput-%"} {
		if got := lines[len(lines)-2]; !strings.Contains(got, want) {
			t.Errorf("%q has no %q", got, want)
		}
	}
}

// The file shows what a reader of benchstat's tables sees: one name for each arm and multiple, and goodput against the peak.
func TestBenchstatOfAnOverloadIsAsRecorded(t *testing.T) {
	file := filepath.Join("testdata", "overload-benchstat.txt")
	got := overloaded().Benchstat()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("it is\n%s\nand was recorded as\n%s\nIf that is meant: go test ./bench/report -update", got, want)
	}
}
