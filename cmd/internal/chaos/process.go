package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// stopLimit is how long a process may take to end by itself.
const stopLimit = 30 * time.Second

// process is a child whose output is appended to a log.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait; read after done
}

// start starts a child. enter, unless it is nil, brings the calling thread to where the child is to be.
func start(enter func() error, log, program string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("chaos: %w", err)
	}
	p := &process{cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the thread that started the child ends, so this goroutine keeps its thread.
		runtime.LockOSThread()
		defer out.Close()
		var err error
		if enter == nil {
			defer runtime.UnlockOSThread()
		} else {
			err = enter() // such a thread ends with its goroutine
		}
		p.cmd.SysProcAttr = attributes()
		if err == nil {
			err = p.cmd.Start()
		}
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("chaos: %w", err)
	}
	return p, nil
}

// signal does not fail: the process may have ended.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// exit is the code with which the process has ended; -1: by a signal.
func (p *process) exit() int {
	if exit := new(exec.ExitError); errors.As(p.err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// stop asks the process to end, and ends it when it does not.
func (p *process) stop() {
	p.signal(syscall.SIGCONT)
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopLimit):
		p.signal(syscall.SIGKILL)
		<-p.done
	}
}
