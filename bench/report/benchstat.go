package report

import (
	"fmt"
	"strings"
	"unicode"
)

// Benchstat writes the phases as lines of Go's benchmark format, which benchstat and benchseries read
// (golang.org/design/14313-benchmark-format): configuration first, then one line a phase.
//
// goodput-% is what was completed in time, as a percentage of the core's peak where the phase was measured against it, and of what was
// offered elsewhere.
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
		if p := &r.Phases[i]; p.Offered > 0 {
			r.benchLine(&b, p)
		}
	}
	return b.String()
}

// benchLine writes one phase. Arm and multiple stand in the name as keys, so that benchstat can put them into rows and columns
// ("-col /arm"). A phase in which nothing was completed has no time for each, and says so by its goodput of 0.
func (r *Result) benchLine(b *strings.Builder, p *Phase) {
	fmt.Fprintf(b, "Benchmark%s", camel(r.Scenario))
	if name := p.plain(); name != r.Scenario {
		fmt.Fprintf(b, "/%s", benchName(name))
	}
	if p.Arm != "" {
		fmt.Fprintf(b, "/arm=%s", benchName(p.shortArm()))
	}
	if p.Multiple != 0 {
		fmt.Fprintf(b, "/load=%s", p.load())
	}
	fmt.Fprintf(b, "-%d\t%d", r.Machine.GOMAXPROCS, p.Completed)
	if p.Completed > 0 {
		fmt.Fprintf(b, "\t%.1f ns/op", p.Seconds*1e9/float64(p.Completed))
	}
	fmt.Fprintf(b, "\t%.1f %s/s", p.PerSecond, benchName(p.Unit))
	if q := p.Latency; q != nil && q.Count > 0 {
		fmt.Fprintf(b, "\t%d p50-ns\t%d p99-ns\t%d p999-ns", q.P50, q.P99, q.P999)
	}
	inTime := 100 * share(p.InSLO, p.Offered)
	if p.PeakPerSecond > 0 {
		fmt.Fprintf(b, "\t%.3f goodput-%%\t%.3f in-time-%%\t%.3f refused-%%", p.GoodputPercent, inTime, 100*share(p.Refused, p.Offered))
	} else {
		fmt.Fprintf(b, "\t%.3f goodput-%%", inTime)
	}
	if each := p.CPUEach(); each > 0 {
		fmt.Fprintf(b, "\t%.0f cpu-ns/op", 1e9*each)
	}
	if p.Baseline != nil {
		fmt.Fprintf(b, "\t%.2f hello-%%\t%.2f hello-cpu-%%", 100*p.Baseline.Ratio, 100*p.Baseline.CPURatio)
	}
	b.WriteByte('\n')
}

// benchName keeps what may stand in a name or unit of the format: no blanks, which end it, and no slash, which divides it.
func benchName(name string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsSpace(c) || c == '/' {
			return '-'
		}
		return c
	}, name)
}

// camel makes a name that can follow "Benchmark".
func camel(name string) string {
	var b strings.Builder
	for _, word := range strings.FieldsFunc(name, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}
