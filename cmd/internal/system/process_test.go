package system

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// endWait is how long a process may take to end when it is asked to.
const endWait = 30 * time.Second

// process is a program under test.
type process struct {
	cmd  *exec.Cmd
	log  string        // where it writes
	done chan struct{} // closed when it has ended
	err  error         // of Wait; read after done
}

// start runs a program whose output is appended to a file. It dies with the test.
func start(t *testing.T, program, log string, args ...string) *process {
	t.Helper()
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(program, args...), log: log, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the thread that started the child ends, so the thread waits with it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer out.Close()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// kill ends the process at once, and waits.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop asks the process to end, waits, and gives its exit code.
func (p *process) stop(t *testing.T) int {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	return p.exit(t, endWait)
}

// exit waits for the process to end by itself and gives its exit code.
func (p *process) exit(t *testing.T, limit time.Duration) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		t.Fatalf("the process did not end within %v\n%s", limit, p.tail())
	}
	if exit := new(exec.ExitError); errors.As(p.err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// tail gives the last lines of the output.
func (p *process) tail() string {
	text, _ := os.ReadFile(p.log)
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	for i, line := range lines {
		// A crash ends with a list of all goroutines, and says at its beginning what it is.
		if bytes.HasPrefix(line, []byte("panic:")) || bytes.HasPrefix(line, []byte("fatal error:")) {
			return fmt.Sprintf("%s:\n%s", p.log, bytes.Join(lines[max(0, i-4):min(len(lines), i+40)], []byte("\n")))
		}
	}
	return fmt.Sprintf("%s ends:\n%s", p.log, bytes.Join(lines[max(0, len(lines)-12):], []byte("\n")))
}

// memory gives what the process has in memory and the most that it had, in bytes, from /proc.
func (p *process) memory(t *testing.T) (now, peak int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		kib, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			now = kib << 10
		case "VmHWM:":
			peak = kib << 10
		}
	}
	return now, peak
}
