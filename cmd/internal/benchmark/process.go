package benchmark

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"netbank/cmd/internal/lab"
)

// stopLimit is how long a process may take to end by itself.
const stopLimit = 20 * time.Second

// process is a child: another run of this program, or a front.
type process struct {
	name, log string
	cmd       *exec.Cmd
	ended     chan struct{}
	err       error // how it ended; read after ended is closed
}

// start runs this program with other arguments, and its output in a log file in dir.
func start(dir, name string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	return launch(dir, name, self, args...)
}

// launch runs a program as start does.
func launch(dir, name, program string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), ended: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	p.cmd = exec.Command(program, args...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the thread that started the child ends, so this goroutine keeps its thread.
		runtime.LockOSThread()
		defer out.Close()
		p.cmd.SysProcAttr = attributes()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("benchmark: starting %s: %w", name, err)
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// alive says how the process ended, or nil while it runs.
func (p *process) alive() error {
	select {
	case <-p.ended:
		return fmt.Errorf("benchmark: %s has ended (%v); its last line: %s", p.name, p.err, lab.LastLine(p.log))
	default:
		return nil
	}
}

// await asks an address until it answers 200, or the process has ended.
func (p *process) await(ctx context.Context, url string) error {
	err := lab.Await(ctx, url, p.alive)
	if errors.Is(err, lab.ErrSilent) {
		return fmt.Errorf("benchmark: %s: %w; its last line: %s", p.name, err, lab.LastLine(p.log))
	}
	return err
}

// stop asks the process to end, and ends it when it does not.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopLimit):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// freeAddrs finds addresses of the loopback that nobody listens on. Another process may take one before it is used; then the
// start fails and says so.
func freeAddrs(n int) ([]string, error) {
	var all []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("benchmark: %w", err)
		}
		defer l.Close()
		all = append(all, l.Addr().String())
	}
	return all, nil
}
