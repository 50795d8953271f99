package bank

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"netbank/cluster/scaling/expansion"
)

// groupRoot is where Linux shows control groups, version 2.
const groupRoot = "/sys/fs/cgroup"

// processor fills in what this process has used of the processors, and may use. The hashing process is not in it: it takes what nothing else
// wants, and how busy it is the password pool tells. Where it takes a container's share away, the group is stopped, which is.
func processor(r *expansion.Reading, group string) {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err == nil {
		r.Processor = time.Duration(used.Utime.Nano() + used.Stime.Nano())
		r.Processors = float64(runtime.GOMAXPROCS(0))
	}
	if group == "" {
		return
	}
	if text, err := os.ReadFile(filepath.Join(group, "cpu.max")); err == nil {
		if share, ok := shareOf(string(text)); ok {
			r.Processors = min(r.Processors, share)
		}
	}
	if text, err := os.ReadFile(filepath.Join(group, "cpu.stat")); err == nil {
		r.Periods, r.Throttled = periodsOf(string(text))
	}
}

// groupOf finds the directory of this process's control group; of is the text of /proc/self/cgroup. Empty: it has none of version 2.
func groupOf(of, root string) string {
	for line := range strings.Lines(of) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ok {
			continue
		}
		// In a container the path may be the host's, and the group is what is mounted.
		for _, dir := range []string{filepath.Join(root, filepath.Clean("/"+path)), root} {
			if _, err := os.Stat(filepath.Join(dir, "cpu.stat")); err == nil {
				return dir
			}
		}
	}
	return ""
}

func ownGroup() string {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	return groupOf(string(text), groupRoot)
}

// shareOf reads cpu.max: microseconds in each period of so many, or max. false: there is no bound.
func shareOf(text string) (processors float64, ok bool) {
	most, period, _ := strings.Cut(strings.TrimSpace(text), " ")
	a, err := strconv.ParseUint(most, 10, 63)
	b, errPeriod := strconv.ParseUint(period, 10, 63)
	if err != nil || errPeriod != nil || a == 0 || b == 0 {
		return 0, false
	}
	return float64(a) / float64(b), true
}

// periodsOf reads cpu.stat: the periods in which the group ran, and those of them in which it was stopped.
func periodsOf(text string) (periods, throttled uint64) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			continue
		}
		switch name {
		case "nr_periods":
			periods = n
		case "nr_throttled":
			throttled = n
		}
	}
	return periods, throttled
}
