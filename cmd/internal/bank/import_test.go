package bank

import (
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"netbank/cluster/journal"
	"netbank/cluster/kek"
	"netbank/session"
)

// An import has 256 lines under way; a hash takes 19 MiB. All at once they would take 5 GB, and the sign-ins' cores.
func TestPasswordsOfAnImportAreHashedAFewAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kek")
	if err := kek.Generate(path); err != nil {
		t.Fatal(err)
	}
	key, err := kek.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	c := newCredentials(key, session.Standard, false, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var wait sync.WaitGroup
	const lines = 48
	for i := range journal.CustomerID(lines) {
		wait.Go(func() {
			if _, err := c.Password(i+1, "lotus-river-42"); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	runtime.ReadMemStats(&after)
	// With a place for each core, and as much again until the collector has come by.
	most := uint64(8*cap(c.places)) * uint64(session.Standard.MemoryKiB) << 10
	if grown := after.HeapSys - min(before.HeapSys, after.HeapSys); grown > most || cap(c.places) > runtime.GOMAXPROCS(0) {
		t.Errorf("%d hashes with %d places took %d MiB, want at most %d", lines, cap(c.places), grown>>20, most>>20)
	}
}
