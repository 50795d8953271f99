package benchmark

import "syscall"

// attributes let this process alone end its children, and none outlive it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
