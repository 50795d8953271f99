package benchmark

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"netbank/bench/report"
)

// program is netbank-lab, built once; netbank lies beside it.
var program string

// frontVariable makes this test program a front: a proxy as --front starts one.
const frontVariable = "NETBANK_TEST_FRONT"

func TestMain(m *testing.M) {
	if os.Getenv(frontVariable) != "" {
		os.Exit(front(os.Args[1:]))
	}
	os.Exit(run(m))
}

// front proxies from --listen to --bank, and refuses every second confirmation.
func front(args []string) int {
	if len(args) != 4 || args[0] != "--listen" || args[2] != "--bank" {
		fmt.Fprintln(os.Stderr, "a front was given", args)
		return 64
	}
	bank := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: args[3]})
	var confirmations atomic.Int64
	fmt.Fprintln(os.Stderr, http.ListenAndServe(args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/code") && confirmations.Add(1)%2 == 0 {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		bank.ServeHTTP(w, r)
	})))
	return 1
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "netbank-bench")
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "netbank-lab")
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./cmd/netbank-lab", "./cmd/netbank")
	build.Dir, build.Env = filepath.Join("..", "..", ".."), append(os.Environ(), "CGO_ENABLED=0")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		os.Stderr.WriteString("building the programs: " + err.Error() + "\n")
		return 1
	}
	return m.Run()
}

// TestSingleMeasuresARealBank runs the scenario as short as it goes, with the real programs. It looks at what is counted, never at how
// fast it was.
func TestSingleMeasuresARealBank(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(program, "bench", "single", "--seconds", "0.3", "--customers", "8000", "--connections", "16", "--seed", "9",
		"--out", filepath.Join(dir, "results"), "--data-dir", filepath.Join(dir, "data"), "--json")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	valid(t, stdout.Bytes())
	var r report.Result
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"create", "status", "sign-in", "confirm", "confirm-open", "flow"} {
		p := r.Phase(name)
		if p == nil || p.Completed == 0 {
			t.Errorf("phase %s counted nothing: %+v", name, p)
			continue
		}
		if p.Failed > 0 || p.Offered != p.Completed+p.Refused+p.Dropped {
			t.Errorf("phase %s: %d offered, %d completed, %d refused, %d failed, %d dropped: %v", name, p.Offered, p.Completed, p.Refused, p.Failed, p.Dropped, p.Reasons)
		}
		compared := slices.Contains([]string{"create", "status", "confirm"}, name)
		if compared && (p.Baseline == nil || p.Baseline.Before <= 0 || p.Baseline.After <= 0) {
			t.Errorf("phase %s has no hello world beside it", name)
		}
	}
	confirmed := r.Phase("confirm").Completed + r.Phase("confirm-open").Completed + r.Phase("flow").Completed
	if a := r.Audit; a == nil || int64(a.Settled) < confirmed || a.Debited != a.Settled || a.FindingsCount != 0 {
		t.Errorf("%d were confirmed, the audit says %+v", confirmed, a)
	}
	files, err := filepath.Glob(filepath.Join(dir, "results", "*-single", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(f))
	}
	for _, want := range []string{report.JSONName, report.BenchstatName, report.MarkdownName, report.HTMLName, report.RatesName, report.LatencyName, "confirm-cpu.pprof"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing among %v", want, names)
		}
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "data")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// measured runs a scenario as short as it goes, and gives its result when it counts.
func measured(t *testing.T, args ...string) *report.Result {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(program, append([]string{"bench"}, append(args, "--seed", "9", "--out", filepath.Join(dir, "results"), "--data-dir", filepath.Join(dir, "data"), "--json")...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, stderr.String())
	}
	valid(t, stdout.Bytes())
	r := new(report.Result)
	if err := json.Unmarshal(stdout.Bytes(), r); err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	return r
}

// The scenarios beside single, with the real programs and two processes that share the load. What is looked at is what was counted, never how
// fast it was.
func TestScenariosMeasureARealBank(t *testing.T) {
	f := func(phases []string, args ...string) {
		t.Helper()
		r := measured(t, append(args, "--generators", "2", "--connections", "16")...)
		for _, name := range phases {
			if p := r.Phase(name); p == nil || p.Completed == 0 || p.Failed > 0 {
				t.Errorf("%v: phase %s: %+v", args, name, p)
			}
		}
		if a := r.Audit; a == nil || a.Settled == 0 || a.Debited != a.Settled || a.FindingsCount != 0 {
			t.Errorf("%v: audit %+v", args, a)
		}
		if r.Generators != 2 || len(r.Headlines) == 0 || r.Asked == "" {
			t.Errorf("%v: %d generators, headlines %v, asked %q", args, r.Generators, r.Headlines, r.Asked)
		}
	}
	f([]string{"returning", "flow", "flow-open"}, "throughput-confirm", "--seconds", "0.5", "--customers", "12000", "--pace", "0.01", "--open-share", "0.2")
	f([]string{"confirm-quiet-before", "confirm-elsewhere", "confirm-flood", "status-flood", "confirm-quiet-after"}, "status-flood", "--seconds", "0.5", "--customers", "3000")
	f([]string{"confirm-quiet-before", "confirm-storm", "sign-in-storm", "confirm-quiet-after"}, "sign-in-storm", "--seconds", "0.5", "--customers", "8000")
	f([]string{"ceiling", "soak-1"}, "soak", "--seconds", "1", "--customers", "12000", "--pace", "0.01")
}

// With admission control no more is inside the core than there are seats; without, more.
func TestOverloadMeasuresTwoBanks(t *testing.T) {
	const seats, resolver = 8, 2
	r := measured(t, "overload", "--seconds", "1", "--multiples", "4", "--customers", "4000", "--pace", "0.01")
	on, off := r.Phase("overload-on-4x"), r.Phase("overload-off-4x")
	if on == nil || off == nil || len(r.Audits) != 2 {
		t.Fatalf("phases %v, %v, audits %v", on, off, r.Audits)
	}
	if on.Inside > seats+resolver || off.Inside <= seats+resolver || on.Refused == 0 {
		t.Errorf("inside the core: %d with admission control, %d without; %d were refused", on.Inside, off.Inside, on.Refused)
	}
	for _, a := range r.Audits {
		if a.Report == nil || a.Report.FindingsCount != 0 || a.Report.Debited != a.Report.Settled || a.Report.Settled == 0 {
			t.Errorf("audit of %s: %+v", a.Of, a.Report)
		}
	}
}

// What stands before a bank is an arm of its own: here a proxy that refuses every second confirmation. What the bank did is audited all the same.
func TestOverloadMeasuresWhatStandsBeforeTheBank(t *testing.T) {
	t.Setenv(frontVariable, "1")
	r := measured(t, "overload", "--admission", "neither", "--front", "half="+os.Args[0], "--seconds", "1", "--multiples", "0.5", "--customers", "4000", "--pace", "0.01")
	p := r.Phase("overload-half-0.5x")
	if p == nil || p.Arm != "half" || p.Completed == 0 || p.Refused == 0 || p.Processes["front"].CPUSeconds <= 0 {
		t.Fatalf("%+v", p)
	}
	if !strings.HasSuffix(r.Command, " --admission neither --habits impatient --multiples 0.5 --front 'half="+os.Args[0]+"'") {
		t.Errorf("it is not repeated by %s", r.Command)
	}
	if len(r.Audits) != 1 || r.Audits[0].Of != "half" {
		t.Fatalf("audits %+v", r.Audits)
	}
	if a := r.Audits[0].Report; a.FindingsCount != 0 || a.Debited != a.Settled || a.Settled == 0 {
		t.Errorf("audit: %+v", a)
	}
}

// The core slows down, stands still and is far away under the load, with the real programs. What is looked at is the audit, and that the weather came.
func TestCoreWeatherMeasuresABankThatIsAudited(t *testing.T) {
	r := measured(t, "core-weather", "--admission", "on", "--seconds", "1", "--customers", "6000", "--pace", "0.01")
	on := r.Phase("core-weather-on")
	if on == nil || on.InSLO == 0 || on.Refused == 0 || len(r.Audits) != 1 {
		t.Fatalf("phase %+v, audits %v", on, r.Audits)
	}
	if a := r.Audits[0].Report; a == nil || a.FindingsCount != 0 || a.Debited != a.Settled || a.Settled == 0 {
		t.Errorf("audit: %+v", a)
	}
}

// A leader is killed, then every node is restarted and one replaced, with the real programs. What is looked at is whether everybody who confirmed knows
// what became of it, never how long it took.
func TestFailoverAndRollingMeasureARealCluster(t *testing.T) {
	f := func(done int, args ...string) {
		t.Helper()
		r := measured(t, append(args, "--rate", "20", "--customers", "1500", "--connections", "64")...)
		p := r.Phase(r.Scenario)
		if p == nil || p.Completed == 0 || p.Offered != p.Completed+p.Reasons["rejected"] {
			t.Errorf("%v: %+v", args, p)
		}
		if len(r.Disturbances) != done {
			t.Errorf("%v: %+v", args, r.Disturbances)
		}
		for _, d := range r.Disturbances {
			if d.Confirmations == 0 || d.Unanswered != 0 || d.Node == "" {
				t.Errorf("%v: %+v", args, d)
			}
		}
		if a := r.Audit; a == nil || a.Settled == 0 || a.Debited != a.Settled || a.FindingsCount != 0 {
			t.Errorf("%v: audit %+v", args, a)
		}
	}
	f(1, "failover", "--kills", "1", "--seconds", "8")
	f(6, "rolling", "--seconds", "8")
}

// An operator asks for more workers under load, behind a real HAProxy, and for fewer. (The name is short because the socket's path has it.) What is looked at is what was counted, never how fast it was.
func TestScaleOutBehindHAProxy(t *testing.T) {
	if _, err := os.Stat("/usr/sbin/haproxy"); err != nil {
		if _, err := exec.LookPath("haproxy"); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal("haproxy is not installed, and in CI a real one must carry the load; .ci/needs installs it")
			}
			t.Skip("haproxy is not installed; .ci/needs installs it")
		}
	}
	r := measured(t, "scale-out", "--workers", "1", "--workers-after", "2", "--seconds", "0.5", "--settle", "0.5", "--rate", "20", "--customers", "1500", "--connections", "256", "--balancer", "haproxy")
	p := r.Phase("scale-out")
	if p == nil || p.Completed == 0 || p.Failed > 0 || p.Abandoned > 0 {
		t.Errorf("%+v", p)
	}
	if len(r.Scalings) != 2 || r.Scalings[0].Most != 2 || len(r.Scalings[0].Nodes) != 1 || r.Scalings[0].Nodes[0].PaidMs <= 0 {
		t.Errorf("%+v", r.Scalings)
	}
	if a := r.Audit; a == nil || a.Settled == 0 || a.Debited != a.Settled || a.FindingsCount != 0 {
		t.Errorf("audit %+v", a)
	}
}

// The same confirmations at one node and at three, and bare Raft with the entries that the three wrote.
func TestReplicatedMeasuresThreeBanks(t *testing.T) {
	r := measured(t, "replicated", "--seconds", "0.5", "--customers", "1500", "--connections", "32")
	for _, name := range []string{"confirm-one-node", "confirm-3-coordinators"} {
		if p := r.Phase(name); p == nil || p.Completed == 0 || p.Failed > 0 {
			t.Errorf("phase %s: %+v", name, p)
		}
	}
	if len(r.Headlines) != 2 || r.Headlines[1].Baseline <= 0 {
		t.Errorf("headlines %+v", r.Headlines)
	}
	if len(r.Audits) != 2 || len(r.Profiles) == 0 {
		t.Errorf("%d audits, %d profiles", len(r.Audits), len(r.Profiles))
	}
}

func TestTheGeneratorMeasuresItself(t *testing.T) {
	r := measured(t, "generator", "--seconds", "0.3")
	if p := r.Phase("generator-16-1"); p == nil || p.Completed == 0 || p.Failed > 0 {
		t.Errorf("%+v", p)
	}
}

func TestAnInterruptLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(program, "bench", "single", "--seconds", "60", "--customers", "1000", "--connections", "4",
		"--out", filepath.Join(dir, "results"), "--data-dir", filepath.Join(dir, "data"))
	progress, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Load is on when the first phase is named.
	lines := bufio.NewScanner(progress)
	for lines.Scan() && lines.Text() != "creates" {
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var last string
	for lines.Scan() {
		last = lines.Text()
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(last, "interrupted") {
		t.Errorf("%v: %s", err, last)
	}
	for _, folder := range []string{"results", "data"} {
		if left, err := os.ReadDir(filepath.Join(dir, folder)); err != nil || len(left) != 0 {
			t.Errorf("left behind in %s: %v, %v", folder, left, err)
		}
	}
}

func valid(t *testing.T, text []byte) {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(report.Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBeMeasuredIsToldWithAnExitCode(t *testing.T) {
	f := func(code int, args ...string) {
		t.Helper()
		cmd := exec.Command(program, append([]string{"bench"}, args...)...)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != code {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f(64, "no-such-scenario")
	f(64, "single", "--customers", "3")
	f(64, "single", "--seconds", "-1")
	f(64, "single", "--connections", "-1")
	f(64, "single", "--generators", "0")
	f(64, "overload", "--multiples", "1000")
	f(64, "overload", "--admission", "perhaps")
	f(64, "overload", "--admission", "neither")
	f(64, "overload", "--front", "proxy")
	f(64, "single", "--front", "name=proxy")
	f(64, "failover", "--nodes", "1")
	f(64, "single", "--nodes", "3")
	f(64, "scale-out", "--workers", "5", "--workers-after", "2")
	f(73, "single", "--out", filepath.Join(file, "results"))
	f(73, "single", "--out", t.TempDir(), "--data-dir", filepath.Join(file, "data"))
}
