package derive

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Nice is the priority of the hashing process: the lowest of the ordinary ones. What is as busy and has the usual priority gets 68 times
// as much of a processor, and when hashing waits for it, it does not starve (as it would under SCHED_IDLE).
const Nice = 19

// lowerPriority gives each thread of this process Nice: on Linux a priority is a thread's own. A new thread has that of the one
// that makes it, so the threads are looked through until none had to be changed.
func lowerPriority() error {
	for changed := true; changed; {
		changed = false
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("derive: %w", err)
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				return fmt.Errorf("derive: thread %q: %w", t.Name(), err)
			}
			now, err := unix.Getpriority(unix.PRIO_PROCESS, id)
			if errors.Is(err, unix.ESRCH) || err == nil && 20-now == Nice { // the system call gives 20 - nice
				continue
			}
			if err == nil {
				err = unix.Setpriority(unix.PRIO_PROCESS, id, Nice)
			}
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("derive: priority of thread %d: %w", id, err)
			}
			changed = true
		}
	}
	return nil
}
