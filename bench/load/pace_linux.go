package load

import (
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// newPace waits by nanosleep on a thread of its own. The runtime's timers are good to a millisecond while a process is
// idle, which is more than many of the latencies measured here.
func newPace() pace { return nanosleep{} }

type nanosleep struct{}

// urgent is the nice value of the pacer's thread, where the process may set it: it needs little time, and needs it now, on
// processors that the server under load keeps busy.
const urgent = -10

// begin keeps the thread and asks the kernel not to bundle its wake-ups with others' (50 µs by default; prctl(2)).
func (nanosleep) begin() {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1_000, 0, 0, 0)
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, urgent)
}

func (nanosleep) sleep(d time.Duration) {
	until := time.Now().Add(d)
	for d > 0 {
		t := syscall.NsecToTimespec(int64(d))
		if err := syscall.Nanosleep(&t, nil); err == nil {
			return
		}
		d = time.Until(until) // a signal came in between
	}
}

func (nanosleep) end() {
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 0)
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // the default again
	runtime.UnlockOSThread()
}
