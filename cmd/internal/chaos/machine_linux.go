package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// attributes let this process alone end its children, and none outlive it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// Requests of ioctl_fifreeze (linux/fs.h).
const (
	fiFreeze = 0xc0045877
	fiThaw   = 0xc0045878
)

// disk is a small file system of its own, in a file. It can be filled and frozen: a write to a frozen one waits, as it does on a disk that
// does not answer.
type disk struct{ dir string }

// newDisk makes one and mounts it, which needs the superuser.
func newDisk(image, dir string) (*disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("chaos: %w", err)
	}
	f, err := os.Create(image)
	if err != nil {
		return nil, fmt.Errorf("chaos: %w", err)
	}
	err = f.Truncate(diskBytes)
	f.Close()
	if err != nil {
		return nil, fmt.Errorf("chaos: %w", err)
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-m", "0", image}, {"mount", "-o", "loop", image, dir}} {
		if text, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("chaos: %s: %w: %.200s", args[0], err, text)
		}
	}
	return &disk{dir}, nil
}

func (d *disk) control(request uintptr) error {
	f, err := os.Open(d.dir)
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	defer f.Close()
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, 0); errno != 0 {
		return fmt.Errorf("chaos: freeze or thaw %s: %w", d.dir, errno)
	}
	return nil
}

func (d *disk) freeze() error { return d.control(fiFreeze) }
func (d *disk) thaw() error   { return d.control(fiThaw) }

// fill takes all that is left.
func (d *disk) fill() error {
	f, err := os.Create(filepath.Join(d.dir, "filler"))
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for len(block) > 0 {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			return fmt.Errorf("chaos: %w", err)
		}
	}
	return nil
}

func (d *disk) free() error { return os.Remove(filepath.Join(d.dir, "filler")) }

func (d *disk) close() { _ = syscall.Unmount(d.dir, syscall.MNT_DETACH) }
