package machine

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Machine is what is disclosed with every result.
type Machine struct {
	Commit     string `json:"commit"`   // of the build, or empty
	Modified   bool   `json:"modified"` // the build had changes that no commit has
	Go         string `json:"go"`
	OS         string `json:"os"`
	Arch       string `json:"arch"`
	Kernel     string `json:"kernel"`
	CPU        string `json:"cpu"`
	CPUs       int    `json:"cpus"` // that this process may run on
	GOMAXPROCS int    `json:"gomaxprocs"`
	MemoryMB   int64  `json:"memoryMB"`
	Sync       Sync   `json:"sync"`
}

// Sync is what the disk takes to promise that 4 KiB appended to a file are kept.
type Sync struct {
	Dir     string `json:"-"`
	Samples int    `json:"samples"`
	P50     int64  `json:"p50Ns"`
	P99     int64  `json:"p99Ns"`
	Max     int64  `json:"maxNs"`
}

// Look finds out what this machine is, and measures the syncs of the disk that holds dir for at most a second.
func Look(dir string) (Machine, error) {
	m := Machine{
		Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), GOMAXPROCS: runtime.GOMAXPROCS(0),
		Kernel: firstLine("/proc/sys/kernel/osrelease"), CPU: cpuModel("/proc/cpuinfo"), MemoryMB: memory("/proc/meminfo"),
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, s := range build.Settings {
			switch s.Key {
			case "vcs.revision":
				m.Commit = s.Value
			case "vcs.modified":
				m.Modified = s.Value == "true"
			}
		}
	}
	var err error
	m.Sync, err = MeasureSync(dir, time.Second)
	return m, err
}

func firstLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}

// lineOf gives the value of the first "key : value" line of a file.
func lineOf(path, key string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func cpuModel(path string) string { return lineOf(path, "model name") }

func memory(path string) int64 {
	kilobytes, err := strconv.ParseInt(strings.TrimSuffix(lineOf(path, "MemTotal"), " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return kilobytes / 1024
}

// Samples of MeasureSync.
const (
	syncSamplesMax = 500
	syncBytes      = 4096
)

// MeasureSync appends 4 KiB to a file in dir and syncs it, again and again, for at most the given time.
func MeasureSync(dir string, during time.Duration) (Sync, error) {
	path := filepath.Join(dir, ".sync-probe")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return Sync{}, fmt.Errorf("machine: %w", err)
	}
	defer os.Remove(path)
	defer f.Close()
	block := make([]byte, syncBytes)
	var took []time.Duration
	for end := time.Now().Add(during); len(took) == 0 || len(took) < syncSamplesMax && time.Now().Before(end); {
		if _, err := f.Write(block); err != nil {
			return Sync{}, fmt.Errorf("machine: %w", err)
		}
		began := time.Now()
		if err := f.Sync(); err != nil {
			return Sync{}, fmt.Errorf("machine: %w", err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	n := len(took)
	return Sync{Dir: dir, Samples: n, P50: int64(took[n/2]), P99: int64(took[min(n-1, n*99/100)]), Max: int64(took[n-1])}, nil
}

// Process is what a process has used since it began.
type Process struct {
	CPU        time.Duration // user and system, to the 10 ms of the kernel's ticks
	ResidentMB int64         // now
	PeakMB     int64
}

// ticks a second of /proc/<pid>/stat: USER_HZ, which is 100 on every Linux that Go runs on.
const ticks = 100

// Used asks the kernel what a process has used. It gives zeros where that cannot be found out.
func Used(pid int) Process {
	var p Process
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	if text, err := os.ReadFile(filepath.Join(dir, "stat")); err == nil {
		p.CPU = cpuTime(string(text))
	}
	kilobytes := func(key string) int64 {
		n, _ := strconv.ParseInt(strings.TrimSuffix(lineOf(filepath.Join(dir, "status"), key), " kB"), 10, 64)
		return n / 1024
	}
	p.ResidentMB, p.PeakMB = kilobytes("VmRSS"), kilobytes("VmHWM")
	return p
}

// Busy is the processor time that all processes of the machine have used since it was started, with what a hypervisor
// gave to others (steal). It leaves out interrupts, which no process is charged for. Zero where it cannot be found out.
func Busy() time.Duration { return busyTime(firstLine("/proc/stat")) }

// busyTime reads the line "cpu" of proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal.
func busyTime(line string) time.Duration {
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0
	}
	sum := int64(0)
	for _, i := range []int{1, 2, 3, 8} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0
		}
		sum += n
	}
	return time.Duration(sum) * (time.Second / ticks)
}

// cpuTime reads fields 14 and 15 of proc_pid_stat(5). The name in field 2 may hold anything, and ends with the last parenthesis.
func cpuTime(stat string) time.Duration {
	_, rest, ok := cutLast(stat, ")")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		return 0
	}
	return time.Duration(user+system) * (time.Second / ticks)
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
