package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"netbank/bench/demo"
	"netbank/cluster/scaling"
	"netbank/cmd/internal/bank"
)

const (
	// scaledDir is where the coordinators of a demo cluster keep what they know of the workers that `netbank scale` has started.
	scaledDir = "scaled"
	// livesFile is locked as long as the demo cluster runs. Those workers are no process's children, and end when it is locked no more.
	livesFile = "lives"
)

// scaled are the workers that come and go by `netbank scale`. Those of --workers are the demo's own, as if somebody had started them by hand.
type scaled struct {
	dev    *Dev
	local  *scaling.Local // as the leader has them
	lives  *os.File       // locked
	routed []string       // those that the balancer knows
}

// scaleArgs let a coordinator run more workers.
func (d *Dev) scaleArgs() []string {
	args := []string{
		"--scale", "local", "--scale-dir", d.path(scaledDir), "--scale-port", strconv.Itoa(d.scalePort()), "--while-locked", d.path(livesFile),
		"--core-seats-reserve", strconv.Itoa(d.CoreSeats * 5 / 4), "--core-seats-emergency", strconv.Itoa(d.CoreSeats * 3 / 2),
	}
	if d.behindHAProxy() {
		args = append(args, "--traffic", "haproxy=unix:"+d.haproxySocket())
	}
	return args
}

// scalePort is the first port of the workers that come: behind all that --workers may have.
func (d *Dev) scalePort() int { return d.NodePort + (d.Nodes+workersMax)*NodePorts }

// openScaled ends workers of a demo cluster that was killed.
func (d *Dev) openScaled() (*scaled, error) {
	s := &scaled{dev: d, local: &scaling.Local{Dir: d.path(scaledDir)}}
	var err error
	if s.lives, err = lockLives(d.path(livesFile)); err != nil {
		return nil, err
	}
	if err := s.end(); err != nil {
		s.lives.Close()
		return nil, err
	}
	return s, nil
}

// lockLives locks the file that says that the demo cluster runs.
func lockLives(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, &bank.Error{Code: bank.ExitDirectory, Err: fmt.Errorf("another demo cluster runs in this data directory: %s is locked; stop it, or choose another --data-dir", path)}
	}
	return f, nil
}

// WhileLocked calls end once nobody has the file locked any more: whoever ran this process is gone.
func WhileLocked(path string, end func()) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	go func() {
		defer f.Close()
		for errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH), syscall.EINTR) {
		}
		end()
	}()
	return nil
}

// now lists those that run, those among them that are leaving. Behind HAProxy it lists none: the leader that has started a worker gives it an
// address of its own host and tells HAProxy, and `netbank scale status` says where it is.
func (s *scaled) now(ctx context.Context) (all []member, processes []int) {
	if s.dev.behindHAProxy() {
		return nil, nil
	}
	standing, err := s.local.Status(ctx)
	if err != nil {
		return nil, nil
	}
	for _, i := range standing.Instances {
		if slot, err := strconv.Atoi(strings.TrimPrefix(i.Name, "worker-")); err == nil {
			all, processes = append(all, s.dev.scaledAt(slot)), append(processes, i.Process)
		}
	}
	return all, processes
}

// scaledAt is the worker of a place, where its coordinator starts it.
func (d *Dev) scaledAt(slot int) member {
	addr := func(door int) string {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(d.scalePort()+(slot-1)*bank.WorkerPorts+door))
	}
	return member{
		worker: true, name: fmt.Sprintf("scaled-%d", slot), dir: d.path(scaledDir, fmt.Sprintf("worker-%d", slot)),
		customer: addr(0), partner: addr(1), operator: addr(2),
	}
}

// scaledEntry is such a worker as demo.json names it.
func (m member) scaledEntry(process int) demo.Node {
	n := m.entry()
	n.PID = process
	n.DataDir = filepath.Join(scaledDir, filepath.Base(m.dir))
	n.Log = n.DataDir + ".log"
	return n
}

// changed says whether other workers run than the balancer knows.
func (s *scaled) changed(workers []member) bool {
	var names []string
	for _, m := range workers {
		names = append(names, m.name)
	}
	if slices.Equal(names, s.routed) {
		return false
	}
	s.routed = names
	return true
}

// end ends all of them.
func (s *scaled) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	return s.local.EndAll(ctx)
}
