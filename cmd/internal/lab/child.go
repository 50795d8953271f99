package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"netbank/cmd/internal/bank"
)

// How children are kept alive and ended.
const (
	restartAfter = 200 * time.Millisecond
	// A child that ends restartsMax times within restartWindow is given up.
	restartsMax   = 20
	restartWindow = time.Minute
	stopLimit     = 20 * time.Second
)

// child is a process of the demo bank: started again when it dies, as a supervisor of a real machine would do.
type child struct {
	name string
	args []string
	// program is what runs, with env and nothing else of the environment; empty: this program itself, with all of it.
	program string
	env     []string
	dir     string // where its process id is written, as <name>.pid
	out     io.Writer
	note    func(format string, args ...any)

	// Of a cluster's node; nil and false for the rest. When such a node ends after the cluster has stood, it is no failure of the whole: it stays
	// down until again says otherwise, or is started again like the rest when kept is set.
	again   chan struct{}
	kept    bool
	stands  atomic.Bool
	process atomic.Int64 // its id; 0: it does not run
	changed func()       // called when it has been started or has ended
}

// exitConfigured are exit codes that a restart does not mend: a wrong flag, a taken port, a directory that cannot be used.
func exitConfigured(code int) bool {
	return code == bank.ExitUsage || code == bank.ExitAddress || code == bank.ExitDirectory || code == bank.ExitNewer
}

// run keeps the child alive until ctx is done, then ends it in order. It returns an error when the child cannot be kept alive.
func (c *child) run(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	// The kernel sends Pdeathsig when the thread that started the child ends, not the process: so this goroutine keeps its thread.
	runtime.LockOSThread()
	var ended []time.Time
	for {
		pid, err := c.once(ctx, self)
		if ctx.Err() != nil {
			return nil
		}
		if pid == 0 {
			return err
		}
		if down, err := c.staysDown(pid, err); err != nil {
			return err
		} else if down {
			select {
			case <-ctx.Done():
				return nil
			case <-c.again:
			}
			continue
		}
		now := time.Now()
		ended = append(ended, now)
		if len(ended) > restartsMax {
			ended = ended[1:]
			if now.Sub(ended[0]) < restartWindow {
				return fmt.Errorf("lab: %s ended %d times within %v; its last lines are in %s", c.name, restartsMax, restartWindow, c.log())
			}
		}
		c.note("%s ended (%v) and is started again", c.name, ending(err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(restartAfter):
		}
	}
}

// once runs the child until it ends or ctx is done, and gives its process id and how it ended. Without an id it could not be started.
func (c *child) once(ctx context.Context, self string) (pid int, err error) {
	cmd := exec.Command(self, c.args...)
	if c.program != "" {
		cmd = exec.Command(c.program, c.args...)
		cmd.Env = c.env
	}
	cmd.Stdout, cmd.Stderr = c.out, c.out
	// The child is to be ended by this process alone, in its own order, and never to outlive it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("lab: starting %s: %w", c.name, err)
	}
	pidFile := filepath.Join(c.dir, c.name+".pid")
	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o644); err != nil {
		c.note("cannot write %s: %v", pidFile, err)
	}
	c.tell(cmd.Process.Pid)
	defer c.tell(0)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-ctx.Done():
		os.Remove(pidFile)
		return cmd.Process.Pid, stop(cmd, done)
	case err = <-done:
		if c.again != nil {
			os.Remove(pidFile) // it may stay down for long, and its number be given to another
		}
		return cmd.Process.Pid, err
	}
}

func (c *child) tell(pid int) {
	c.process.Store(int64(pid))
	if c.changed != nil {
		c.changed()
	}
}

func (c *child) log() string { return filepath.Join(c.dir, c.name+".log") }

// staysDown says whether a child that has ended is left alone until somebody starts it. An error: the whole cannot go on.
func (c *child) staysDown(pid int, ended error) (bool, error) {
	var exit *exec.ExitError
	configured := errors.As(ended, &exit) && exitConfigured(exit.ExitCode())
	why := strings.TrimPrefix(LastLine(c.log()), "netbank-lab: ")
	switch {
	case c.stands.Load() && (configured || !c.kept):
		c.note("%s, process %d, has ended (%v); the others go on. To start it again: netbank-lab node start %s --data-dir %s", c.name, pid, ending(ended), c.name, c.dir)
		if configured {
			c.note("It said: %s", why)
		}
		return true, nil
	case configured:
		return false, &bank.Error{Code: exit.ExitCode(), Err: fmt.Errorf("lab: %s cannot run: %s", c.name, why)}
	case c.again != nil && !c.stands.Load():
		return false, fmt.Errorf("lab: %s ended (%v) before the cluster stood; its log is %s", c.name, ending(ended), c.log())
	}
	return false, nil
}

func ending(err error) string {
	if err == nil {
		return "by itself"
	}
	return err.Error()
}

// stop asks the process to end, and ends it when it does not.
func stop(cmd *exec.Cmd, done <-chan error) error {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-done:
	case <-time.After(stopLimit):
		_ = cmd.Process.Kill()
		<-done
	}
	return nil
}

// running reports whether the process of a pid file lives.
func running(pidFile string) bool {
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return err == nil && syscall.Kill(pid, 0) == nil
}
