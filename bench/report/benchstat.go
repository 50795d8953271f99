package report

import (
	"fmt"
	"strings"
	"unicode"
)

// Benchstat writes the phases as lines of Go's benchmark format, which benchstat and benchseries read
// (golang.org/design/14313-benchmark-format): configuration first, then one line a phase.
func (r *Result) Benchstat() string {
	var b strings.Builder
	for _, line := range [][2]string{
		{"goos", r.Machine.OS},
		{"goarch", r.Machine.Arch},
		{"cpu", r.Machine.CPU},
		{"go", r.Machine.Go},
		{"kernel", r.Machine.Kernel},
		{"commit", r.Machine.Commit},
		{"scenario", r.Scenario},
		{"core-model", r.Setting.CoreModel},
		{"core-sync", fmt.Sprint(r.Setting.CoreSync)},
		{"password-hash", r.Setting.PasswordHash},
		{"seed", fmt.Sprint(r.Seed)},
	} {
		if line[1] != "" {
			fmt.Fprintf(&b, "%s: %s\n", line[0], line[1])
		}
	}
	for i := range r.Phases {
		p := &r.Phases[i]
		if p.Completed == 0 {
			continue
		}
		fmt.Fprintf(&b, "Benchmark%s/%s-%d\t%d\t%.1f ns/op\t%.1f %s/s", camel(r.Scenario), p.Name, r.Machine.GOMAXPROCS,
			p.Completed, p.Seconds*1e9/float64(p.Completed), p.PerSecond, p.Unit)
		if q := p.Latency; q != nil && q.Count > 0 {
			fmt.Fprintf(&b, "\t%d p50-ns\t%d p99-ns\t%d p999-ns", q.P50, q.P99, q.P999)
		}
		if p.Offered > 0 {
			fmt.Fprintf(&b, "\t%.3f goodput-%%", 100*float64(p.Completed)/float64(p.Offered))
		}
		if each := p.CPUEach(); each > 0 {
			fmt.Fprintf(&b, "\t%.0f cpu-ns/op", 1e9*each)
		}
		if p.Baseline != nil {
			fmt.Fprintf(&b, "\t%.2f hello-%%\t%.2f hello-cpu-%%", 100*p.Baseline.Ratio, 100*p.Baseline.CPURatio)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// camel makes a name that can follow "Benchmark".
func camel(name string) string {
	var b strings.Builder
	for _, word := range strings.FieldsFunc(name, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}
