//go:build !linux

package chaos

import (
	"errors"
	"syscall"
)

func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

var errDisk = errors.New("chaos: disks of one's own are made on Linux only")

type disk struct{ dir string }

func newDisk(_, _ string) (*disk, error) { return nil, errDisk }
func (d *disk) freeze() error            { return errDisk }
func (d *disk) thaw() error              { return errDisk }
func (d *disk) fill() error              { return errDisk }
func (d *disk) free() error              { return errDisk }
func (d *disk) close()                   {}
