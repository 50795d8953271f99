package machine

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func TestCPUTimeIsReadPastAnyName(t *testing.T) {
	f := func(stat string, want time.Duration) {
		t.Helper()
		if got := cpuTime(stat); got != want {
			t.Errorf("%q gives %v, want %v", stat, got, want)
		}
	}
	f("7 (netbank) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 100", 2*time.Second)
	f("7 (a) b) 1 2 (c) S 1 7 7 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 9 0 100", 30*time.Millisecond)
	f("7 (short) S 1", 0)
	f("", 0)
	f("7 (x) S 1 7 7 0 -1 4194560 1 0 0 0 x y 0 0", 0)
}

func TestBusyTimeLeavesIdlingAndInterruptsOut(t *testing.T) {
	f := func(line string, want time.Duration) {
		t.Helper()
		if got := busyTime(line); got != want {
			t.Errorf("%q gives %v, want %v", line, got, want)
		}
	}
	f("cpu  100 20 30 9999 9999 9999 9999 50 0 0", 2*time.Second)
	f("cpu0 100 20 30 9999 9999 9999 9999 50 0 0", 0)
	f("cpu  100 20 x 9999 9999 9999 9999 50 0 0", 0)
	f("cpu  100", 0)
	f("", 0)
}

func TestLookDisclosesTheMachine(t *testing.T) {
	m, err := Look(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if m.Go == "" || m.CPUs < 1 || m.GOMAXPROCS < 1 || m.Sync.Samples < 1 || m.Sync.P50 <= 0 || m.Sync.P50 > m.Sync.Max {
		t.Errorf("%+v", m)
	}
	if runtime.GOOS == "linux" && (m.Kernel == "" || m.MemoryMB == 0) {
		t.Errorf("on Linux: %+v", m)
	}
}

func TestMeasureSyncLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	if _, err := MeasureSync(dir, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := MeasureSync(filepath.Join(dir, "none"), time.Millisecond); err == nil {
		t.Error("a folder that is not there was measured")
	}
}

func TestUsedOfThisProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc, which only Linux has")
	}
	if p := Used(os.Getpid()); p.ResidentMB < 1 || p.PeakMB < p.ResidentMB {
		t.Errorf("%+v", p)
	}
	if p := Used(1 << 30); p != (Process{}) {
		t.Errorf("of no process: %+v", p)
	}
}
