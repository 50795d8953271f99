package derive

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestIsolation_EveryThreadOfTheHashingProcessHasTheLowestPriority(t *testing.T) {
	p, _ := started(t, "serve")
	var all sync.WaitGroup
	for range 20 { // so that it makes threads
		all.Go(func() {
			if _, err := p.Key(request("password")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	nices := func(pid int) (all []string) {
		t.Helper()
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range threads {
			text, err := os.ReadFile(path)
			if err != nil {
				continue // a thread that has ended
			}
			// proc_pid_stat(5): after the name, which ends with the last parenthesis, field 3 comes first; nice is field 19.
			fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
			all = append(all, fields[19-3])
		}
		return all
	}
	threads := nices(p.PID())
	if len(threads) < 3 {
		t.Fatalf("threads %v", threads)
	}
	for _, nice := range threads {
		if nice != fmt.Sprint(Nice) {
			t.Errorf("a thread has nice %s, want %d", nice, Nice)
		}
	}
	own := nices(os.Getpid())
	for _, nice := range own {
		if nice == fmt.Sprint(Nice) {
			t.Errorf("a thread of the process that started it has nice %s", nice)
		}
	}
}
