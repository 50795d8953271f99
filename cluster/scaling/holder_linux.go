package scaling

import (
	"os"
	"path/filepath"
	"strconv"
)

// holder finds the process that a worker's lock was handed to, when the leader that started it died before it wrote that down. Of several,
// which a worker and its own children are, the first is meant: process ids grow, but for the wrap that takes days.
func holder(lock string) int {
	path, err := filepath.Abs(lock)
	if err != nil {
		return 0
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/3")
	if err != nil {
		return 0
	}
	found := 0
	for _, link := range links {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(link))))
		if err != nil || pid == os.Getpid() {
			continue
		}
		if to, err := os.Readlink(link); err == nil && to == path && (found == 0 || pid < found) {
			found = pid
		}
	}
	return found
}
