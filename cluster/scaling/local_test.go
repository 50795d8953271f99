package scaling

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// workerEnv makes this test's program a worker: it runs until it is told to end, or for ever when it is deaf.
const workerEnv = "NETBANK_SCALING_TEST_WORKER"

func TestMain(m *testing.M) {
	switch os.Getenv(workerEnv) {
	case "":
		os.Exit(m.Run())
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGUSR1)
	if os.Getenv(workerEnv) == "worker" {
		signal.Notify(told, syscall.SIGTERM)
	}
	<-told
}

// machine gives two providers of one directory, as two nodes of one machine have.
func machine(t *testing.T) (a, b *Local, invited *int) {
	t.Helper()
	dir := t.TempDir()
	invited = new(int)
	make := func() *Local {
		return &Local{
			Dir: dir,
			Command: func(slot int, own, token string) (*exec.Cmd, error) {
				if _, err := os.Stat(own); err != nil {
					return nil, err
				}
				if text, err := os.ReadFile(token); err != nil || string(text) != "a token\n" {
					return nil, fmt.Errorf("the token is %q, %v", text, err)
				}
				cmd := exec.Command(os.Args[0], strconv.Itoa(slot))
				cmd.Env = append(os.Environ(), workerEnv+"=worker")
				return cmd, nil
			},
			Invite: func(_ context.Context, uses int) (string, error) { *invited += uses; return "a token", nil },
		}
	}
	a, b = make(), make()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.EndAll(ctx); err != nil {
			t.Error(err)
		}
	})
	return a, b, invited
}

func order(workers int, fence uint64) Order { return Order{Workers: workers, Fence: fence} }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stands waits until a provider says so of itself.
func stands(t *testing.T, l *Local, want func(Standing) bool) Standing {
	t.Helper()
	limit := time.Now().Add(20 * time.Second)
	for {
		s, err := l.Status(t.Context())
		must(t, err)
		if want(s) {
			return s
		}
		if time.Now().After(limit) {
			t.Fatalf("it stands at %+v", s)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestANewLeaderTakesOverTheWorkersOfTheOldOne(t *testing.T) {
	a, b, invited := machine(t)
	must(t, a.Scale(t.Context(), order(2, 1)))
	s, err := b.Status(t.Context())
	must(t, err)
	if s.Wanted != 2 || s.Running != 2 || len(s.Instances) != 2 || s.Instances[0].Name != "worker-1" || s.Instances[0].Process == 0 {
		t.Fatalf("%+v", s)
	}
	must(t, b.Scale(t.Context(), order(3, 2)))
	must(t, b.Scale(t.Context(), order(3, 2)))
	if s, err = a.Status(t.Context()); err != nil || s.Running != 3 || *invited != 3 {
		t.Fatalf("%+v, %v, %d invited", s, err, *invited)
	}
	must(t, b.Scale(t.Context(), order(1, 3)))
	stands(t, a, func(s Standing) bool { return s.Wanted == 1 && s.Running == 1 && s.Leaving == 0 })
}

// The process id is written after the worker has been started. A leader that dies in between must not make the next one start another.
func TestAWorkerIsCountedAlthoughItsLeaderDiedBeforeItWroteTheNumberDown(t *testing.T) {
	a, b, _ := machine(t)
	must(t, a.Scale(t.Context(), order(2, 1)))
	must(t, os.Remove(filepath.Join(a.slotDir(2), slotProcess)))
	s, err := b.Status(t.Context())
	if err != nil || s.Running != 2 || s.Instances[1].Process == 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	must(t, b.Scale(t.Context(), order(1, 2)))
	stands(t, b, func(s Standing) bool { return s.Running == 1 && s.Leaving == 0 })
}

func TestAWorkerThatDiesIsAskedForAgain(t *testing.T) {
	a, _, _ := machine(t)
	must(t, a.Scale(t.Context(), order(2, 1)))
	must(t, syscall.Kill(a.process(1), syscall.SIGKILL))
	stands(t, a, func(s Standing) bool { return s.Wanted == 1 })
	must(t, a.Scale(t.Context(), order(2, 1)))
	stands(t, a, func(s Standing) bool { return s.Running == 2 })
}

func TestAnOrderWithALowerFenceIsRefused(t *testing.T) {
	a, b, _ := machine(t)
	must(t, b.Scale(t.Context(), order(1, 7)))
	if err := a.Scale(t.Context(), order(4, 6)); !errors.Is(err, ErrOvertaken) {
		t.Errorf("%v", err)
	}
	if s, err := a.Status(t.Context()); err != nil || s.Running != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestMoreThanTheMachineRunsIsRefusedWithARemedy(t *testing.T) {
	a, _, _ := machine(t)
	for _, n := range []int{-1, SlotsMax + 1, WorkersMax + 1} {
		var f *Fault
		if err := a.Scale(t.Context(), order(n, 1)); !errors.As(err, &f) || f.Remedy == "" {
			t.Errorf("%d workers: %v", n, err)
		}
	}
}

func TestTwoNodesTakeTurns(t *testing.T) {
	a, b, _ := machine(t)
	release, err := a.turn(t.Context())
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 3*lockEvery)
	defer cancel()
	if err := b.Scale(ctx, order(1, 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	release()
	must(t, b.Scale(t.Context(), order(1, 1)))
}
