package system

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"netbank/cmd/internal/bank"
)

// diskBytes is enough for a journal at work: a segment of its log is 64 MiB and allocated whole.
const diskBytes = "size=256m"

// fill takes all that is left of a file system, and gives it back when the result is called.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	name := filepath.Join(dir, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for len(block) > 0 {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() { os.Remove(name) }
}

// Invariant NothingAcknowledgedIsLost: a full disk ends the process with its own exit code, and after room was made the bank goes
// on with all that it had promised.
func TestNothingAcknowledgedIsLost_FullDisk(t *testing.T) {
	r := prepare(t, 2000, "fixed:1ms")
	dir := filepath.Join(r.dev.DataDir, "bank")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, diskBytes); err != nil {
		t.Skipf("a small disk has to be mounted, which only the superuser may: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	r.bankArgs = []string{"--snapshot-bytes=1048576"}
	r.open()
	l := r.startLoad(shoppers)
	l.progress(50)
	free := fill(t, dir)
	if code := r.bank.exit(t, 2*time.Minute); code != bank.ExitFatal {
		t.Errorf("the full disk ended the bank with %d, want %d\n%s", code, bank.ExitFatal, r.bank.tail())
	}
	// Full is full: a start must not harm what is there.
	p := r.launchBank()
	r.await("a bank that gives up, or goes on", func() bool { return p.ended() || r.answers(r.demo.Operator.URL+"/readyz") })
	t.Logf("started on the full disk: ended %v; %s", p.ended(), p.tail())
	if p.ended() {
		if code := p.exit(t, time.Minute); code != bank.ExitDirectory && code != bank.ExitFatal {
			t.Errorf("the start on the full disk ended with %d, want %d or %d", code, bank.ExitDirectory, bank.ExitFatal)
		}
	}
	p.kill()
	free()
	r.startBank()
	l.progress(50)
	l.finish()
	r.audit()
}
