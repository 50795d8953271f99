package scaling

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Bounds of the local provider.
const (
	// SlotsMax is how many workers one machine is asked for at most.
	SlotsMax = 64
	// EndWithin is how long a worker that was told to end may take, before it is killed.
	EndWithin = time.Minute
	lockEvery = 20 * time.Millisecond
)

// The files in a Local's directory. Each worker has a slot: a directory with these two files, and a log beside it.
const (
	orderFile   = "order"   // the fence of the last order
	turnFile    = "turn"    // locked by who changes something
	slotLock    = "alive"   // locked as long as the worker lives
	slotProcess = "process" // its process id
	slotLeaving = "leaving" // it has been told to end
)

// Local runs workers as processes of this machine, which the nodes of a cluster there share. Workers outlive the node that has started
// them: all that is known of them stands in a directory, and whoever leads next takes them over.
//
// That a worker lives is known by a lock which it has inherited, and which ends with it however it ends: no process id is trusted for that,
// and a leader that dies between starting a worker and writing its number down leaves a worker that is counted all the same.
type Local struct {
	// Dir is the directory, the same for all nodes of this machine.
	Dir string
	// Command makes what runs the worker of a slot, from 1, with a directory of its own. Standard output and the files are set by Local.
	Command func(slot int, dir, tokenFile string) (*exec.Cmd, error)
	// Invite makes a token that lets so many workers join.
	Invite func(ctx context.Context, uses int) (string, error)
	Logger *slog.Logger
}

var _ Provider = (*Local)(nil)

// Name implements Provider.
func (*Local) Name() string { return "local" }

// slot is a place for one worker.
type slot struct {
	number  int
	alive   bool
	leaving bool
	since   time.Time // of the leaving
	started time.Time
}

func (l *Local) slotDir(n int) string { return filepath.Join(l.Dir, fmt.Sprintf("worker-%d", n)) }

// Status implements Provider.
func (l *Local) Status(ctx context.Context) (Standing, error) {
	release, err := l.turn(ctx)
	if err != nil {
		return Standing{}, err
	}
	defer release()
	slots, err := l.slots()
	if err != nil {
		return Standing{}, err
	}
	var s Standing
	for i := range slots {
		one := &slots[i]
		switch {
		case !one.alive:
			continue
		case one.leaving:
			s.Leaving++
			if time.Since(one.since) > EndWithin {
				l.signal(one.number, syscall.SIGKILL)
			}
		default:
			s.Running++
		}
		s.Instances = append(s.Instances, Instance{Name: filepath.Base(l.slotDir(one.number)), Process: l.process(one.number), Started: one.started, Leaving: one.leaving})
	}
	s.Wanted = s.Running // one that has died is asked for again
	return s, nil
}

// Scale implements Provider.
func (l *Local) Scale(ctx context.Context, o Order) error {
	if err := o.check(); err != nil {
		return err
	}
	if o.Workers > SlotsMax {
		return fault(nil, "wish for fewer, or use a provider with more machines", "%d workers are asked for, and this machine runs at most %d", o.Workers, SlotsMax)
	}
	release, err := l.turn(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := l.accept(o.Fence); err != nil {
		return err
	}
	slots, err := l.slots()
	if err != nil {
		return err
	}
	var staying, free []int
	for i := range slots {
		switch one := &slots[i]; {
		case !one.alive:
			free = append(free, one.number)
		case !one.leaving:
			staying = append(staying, one.number)
		}
	}
	for len(staying) > o.Workers { // those that came last go first
		last := staying[len(staying)-1]
		staying = staying[:len(staying)-1]
		if err := l.end(last); err != nil {
			return err
		}
	}
	missing := o.Workers - len(staying)
	if missing <= 0 {
		return nil
	}
	if missing > len(free) {
		return fault(nil, "wait until those that are being ended have ended", "%d workers are asked for, and %d places are left", missing, len(free))
	}
	token, err := l.invite(ctx, missing)
	if err != nil {
		return err
	}
	for _, n := range free[:missing] {
		if err := l.start(n, token); err != nil {
			return err
		}
	}
	return nil
}

// turn waits until nobody else changes anything here.
func (l *Local) turn(ctx context.Context) (release func(), err error) {
	const remedy = "see that the directory exists, and is this program's own"
	if err := os.MkdirAll(l.Dir, 0o700); err != nil {
		return nil, fault(err, remedy, "the directory of the workers cannot be made: %v", err)
	}
	f, err := os.OpenFile(filepath.Join(l.Dir, turnFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault(err, remedy, "the directory of the workers cannot be used: %v", err)
	}
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			return func() { f.Close() }, nil
		} else if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, fault(err, remedy, "the directory of the workers cannot be locked: %v", err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("scaling: another node changes the workers of this machine: %w", ctx.Err())
		case <-time.After(lockEvery):
		}
	}
}

// accept remembers the fence, and refuses one that is lower than an earlier one.
func (l *Local) accept(fence uint64) error {
	path := filepath.Join(l.Dir, orderFile)
	if text, err := os.ReadFile(path); err == nil {
		if last, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil && last > fence {
			return ErrOvertaken
		}
	}
	if err := replace(path, strconv.FormatUint(fence, 10)+"\n"); err != nil {
		return fault(err, "see that there is room on the disk", "the order cannot be written down: %v", err)
	}
	return nil
}

// replace writes a file as a whole: a crash leaves the old one or the new one.
func replace(path, text string) error {
	next := path + ".new"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// slots looks at all places, by number.
func (l *Local) slots() ([]slot, error) {
	all := make([]slot, SlotsMax)
	for i := range all {
		one := &all[i]
		one.number = i + 1
		f, err := os.OpenFile(filepath.Join(l.slotDir(one.number), slotLock), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fault(err, "see that the directory is this program's own", "worker %d cannot be looked at: %v", one.number, err)
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if info, statErr := f.Stat(); statErr == nil {
			one.started = info.ModTime()
		}
		f.Close()
		if one.alive = err != nil; one.alive {
			if info, err := os.Stat(filepath.Join(l.slotDir(one.number), slotLeaving)); err == nil {
				one.leaving, one.since = true, info.ModTime()
			}
		}
	}
	return all, nil
}

// invite puts a token into a file that the workers read.
func (l *Local) invite(ctx context.Context, uses int) (string, error) {
	token, err := l.Invite(ctx, uses)
	if err != nil {
		return "", fault(err, "it is tried again; `netbank cluster status` shows what is in the way", "no token can be made that lets workers join: %v", err)
	}
	path := filepath.Join(l.Dir, "token")
	if err := replace(path, token+"\n"); err != nil {
		return "", fault(err, "see that there is room on the disk", "the workers' token cannot be written: %v", err)
	}
	return path, nil
}

// start starts the worker of a place.
func (l *Local) start(n int, token string) error {
	dir := l.slotDir(n)
	const remedy = "see that there is room on the disk, and that the directory is this program's own"
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return fault(err, remedy, "a directory for worker %d cannot be made: %v", n, err)
	}
	alive, err := os.OpenFile(filepath.Join(dir, slotLock), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fault(err, remedy, "worker %d cannot be started: %v", n, err)
	}
	defer alive.Close() // the worker has it too, and with it the lock
	if err := syscall.Flock(int(alive.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fault(err, remedy, "worker %d cannot be started: %v", n, err)
	}
	log, err := os.OpenFile(dir+".log", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fault(err, remedy, "the log of worker %d cannot be made: %v", n, err)
	}
	defer log.Close()
	cmd, err := l.Command(n, dir, token)
	if err != nil {
		return fault(err, "see that the program is still where it was started from", "worker %d cannot be started: %v", n, err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = append(cmd.ExtraFiles, alive)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it is not this node's, and outlives it
	if err := cmd.Start(); err != nil {
		return fault(err, "see that the program is still where it was started from", "worker %d cannot be started: %v", n, err)
	}
	if err := replace(filepath.Join(dir, slotProcess), strconv.Itoa(cmd.Process.Pid)+"\n"); err != nil {
		l.note("the process id of a worker cannot be written", "worker", n, "process", cmd.Process.Pid, "error", err)
	}
	go func() { l.note("a worker has ended", "worker", n, "process", cmd.Process.Pid, "how", cmd.Wait()) }()
	return nil
}

func (l *Local) note(text string, attributes ...any) {
	if l.Logger != nil {
		l.Logger.Info(text, attributes...)
	}
}

// end tells the worker of a place to end in order.
func (l *Local) end(n int) error {
	if err := replace(filepath.Join(l.slotDir(n), slotLeaving), ""); err != nil {
		return fault(err, "see that there is room on the disk", "worker %d cannot be told to end: %v", n, err)
	}
	l.signal(n, syscall.SIGTERM)
	return nil
}

// signal sends a signal to the worker of a place, if it lives.
func (l *Local) signal(n int, s syscall.Signal) {
	if pid := l.process(n); pid > 0 {
		_ = syscall.Kill(pid, s) // it may have ended in this moment
	}
}

// process gives the process id of a worker that lives. 0: it cannot be found.
func (l *Local) process(n int) int {
	text, err := os.ReadFile(filepath.Join(l.slotDir(n), slotProcess))
	if err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && pid > 1 {
			return pid
		}
	}
	return holder(filepath.Join(l.slotDir(n), slotLock))
}

// EndAll tells every worker to end, and waits until none lives, or ctx is done; those that live then are killed.
func (l *Local) EndAll(ctx context.Context) error {
	for told := false; ; told = true {
		slots, err := l.slots()
		if err != nil {
			return err
		}
		living := 0
		for i := range slots {
			if one := &slots[i]; one.alive {
				living++
				switch {
				case ctx.Err() != nil:
					l.signal(one.number, syscall.SIGKILL)
				case !told:
					l.signal(one.number, syscall.SIGTERM)
				}
			}
		}
		if living == 0 || ctx.Err() != nil {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(lockEvery):
		}
	}
}
