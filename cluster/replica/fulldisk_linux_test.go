package replica

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestAStartOnAFullDiskIsRefusedWithARemedyAndHarmsNothing(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	want := snapshotted(t, cfg, 2)
	work := filepath.Join(cfg.Dir, stateName, "1")
	full := small
	full.wrap = func(l diskLog) diskLog {
		if err := os.Mkdir(work, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("tmpfs", work, "tmpfs", 0, "size=4k"); err != nil {
			t.Skipf("a small disk has to be mounted, which only the superuser may: %v", err)
		}
		return l
	}
	r, err := open(cfg, full)
	if err == nil {
		r.Close()
	}
	if err := syscall.Unmount(work, syscall.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	wantError(t, err, ErrUnwritable, cfg.Dir, "free space")
	wantError(t, err, syscall.ENOSPC)
	if digest(t, start(t, cfg)) != want {
		t.Error("the state is another one afterwards")
	}
}
