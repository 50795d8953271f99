package derive

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// started starts the test binary as a hashing process of a kind.
func started(t testing.TB, kind string) (*Process, *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	p := New(func() *exec.Cmd {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), role+"="+kind)
		return cmd
	}, slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(p.Close)
	return p, &log
}

func request(password string) *Request {
	return &Request{Password: []byte(password), Salt: []byte("saltsalt"), MemoryKiB: 64, Passes: 1, Lanes: 1, KeySize: 32}
}

func TestKeyIsTheSameAsInThisProcess(t *testing.T) {
	p, _ := started(t, "serve")
	var all sync.WaitGroup
	for i := range 2 * PendingMax { // more than are asked at once
		all.Go(func() {
			r := request(fmt.Sprint("password ", i))
			key, err := p.Key(r)
			if err != nil || !bytes.Equal(key, r.Key()) {
				t.Errorf("Key = %x, %v", key, err)
			}
		})
	}
	all.Wait()
}

// Argon2id of "password" and "somesalt" with m=64 MiB, t=2, p=1, from test.c of the reference implementation.
func TestKeyIsThatOfTheReference(t *testing.T) {
	p, _ := started(t, "serve")
	key, err := p.Key(&Request{Password: []byte("password"), Salt: []byte("somesalt"), MemoryKiB: 1 << 16, Passes: 2, Lanes: 1, KeySize: 32})
	if err != nil || hex.EncodeToString(key) != "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7" {
		t.Fatalf("Key = %x, %v", key, err)
	}
}

func TestKeyOutOfBoundsIsRefusedBeforeItIsSent(t *testing.T) {
	p, _ := started(t, "serve")
	f := func(change func(*Request)) {
		t.Helper()
		r := request("password")
		change(r)
		if _, err := p.Key(r); !errors.Is(err, ErrRequest) || strings.Contains(err.Error(), "password1") {
			t.Errorf("Key = %v", err)
		}
	}
	f(func(r *Request) { r.Password = []byte(strings.Repeat("password1", 100)) })
	f(func(r *Request) { r.Salt = make([]byte, SaltMax+1) })
	f(func(r *Request) { r.KeySize = KeyMax + 1 })
	f(func(r *Request) { r.KeySize = 0 })
	f(func(r *Request) { r.MemoryKiB = MemoryMaxKiB + 1 })
	f(func(r *Request) { r.Passes = PassesMax + 1 })
	f(func(r *Request) { r.Lanes = 0 })
	if _, err := p.Key(request("password")); err != nil {
		t.Fatal(err)
	}
}

func TestProcessThatEndsAnswersGoneAndIsStartedAgain(t *testing.T) {
	f := func(kind string) {
		t.Helper()
		p, _ := started(t, kind)
		if _, err := p.Key(request("password")); !errors.Is(err, ErrGone) {
			t.Errorf("%s: Key = %v, want ErrGone", kind, err)
		}
	}
	f("end")
	f("nonsense")
	f("short")
	p, log := started(t, "serve")
	p.mu.Lock()
	first := p.life
	p.started = p.started.Add(-restartAfter) // a second has gone by
	p.mu.Unlock()
	first.kill()
	<-first.gone
	if _, err := p.Key(request("password")); err != nil {
		t.Fatalf("the second life: %v", err)
	}
	p.mu.Lock()
	second := p.life
	p.mu.Unlock()
	if second == first {
		t.Fatal("a killed process answered")
	}
	// It is not started again at once, lest a process that cannot run is started for every sign-in.
	second.kill()
	<-second.gone
	if _, err := p.Key(request("password")); !errors.Is(err, ErrGone) || p.PID() != 0 {
		t.Fatalf("within a second of its start: %v, process %d", err, p.PID())
	}
	p.Close()
	if _, err := p.Key(request("password")); !errors.Is(err, ErrGone) {
		t.Fatalf("closed: %v", err)
	}
	if strings.Contains(log.String(), "password=") || !strings.Contains(log.String(), "has ended") {
		t.Fatalf("log: %s", log)
	}
}

func TestProcessThatCannotBeStartedIsSaid(t *testing.T) {
	var log bytes.Buffer
	p := New(func() *exec.Cmd { return exec.Command("/nowhere/netbank") }, slog.New(slog.NewTextHandler(&log, nil)))
	defer p.Close()
	if _, err := p.Key(request("password")); !errors.Is(err, ErrGone) || !strings.Contains(log.String(), "cannot be started") {
		t.Fatalf("Key = %v, log %s", err, &log)
	}
}

// Whoever ends the whole group of processes leaves this one to its bank, which ends it by closing its input.
func TestProcessEndsWithItsInputAndNotWithASignalToTheGroup(t *testing.T) {
	p, log := started(t, "serve")
	if _, err := p.Key(request("password")); err != nil { // it is up, and has its signals set
		t.Fatal(err)
	}
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		if err := syscall.Kill(p.PID(), s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Key(request("password")); err != nil {
		t.Fatal(err)
	}
	p.Close()
	if p.PID() != 0 || log.Len() != 0 || !p.life.cmd.ProcessState.Success() {
		t.Fatalf("process %d, %v, log %s", p.PID(), p.life.cmd.ProcessState, log)
	}
}
