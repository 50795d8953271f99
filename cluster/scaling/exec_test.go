package scaling

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// script makes a program that an operator might have.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "standby")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestACommandIsToldTheNumberAndSaysHowItStands(t *testing.T) {
	path := script(t, `case $1 in
scale) echo "$2 $3" > "$0.told" ;;
status) read n fence < "$0.told"; echo "{\"wanted\": $n, \"running\": 1}" ;;
esac
`)
	e, err := ParseExec(path + " {verb} {workers} fence-{fence}")
	must(t, err)
	must(t, e.Scale(t.Context(), order(5, 3)))
	if text, _ := os.ReadFile(path + ".told"); string(text) != "5 fence-3\n" {
		t.Errorf("told %q", text)
	}
	s, err := e.Status(t.Context())
	if err != nil || s.Wanted != 5 || s.Running != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestACommandThatFailsSaysWhyAndWhatToDo(t *testing.T) {
	f := func(text, what string) {
		t.Helper()
		e, err := ParseExec(script(t, text) + " {verb} {workers}")
		must(t, err)
		_, err = e.Status(t.Context())
		var fault *Fault
		if !errors.As(err, &fault) || !strings.Contains(fault.What, what) || fault.Remedy == "" {
			t.Errorf("%v, want %q", err, what)
		}
	}
	f("echo no machine is left >&2; exit 3", "exit status 3: no machine is left")
	f("echo three", "cannot be read")
	f("echo '{}'", "how many workers are wanted")
	f(`echo '{"wanted": 3}{}'`, "more than one object")
	f(`echo '{"wanted": 3, "runing": 3}'`, "runing")
	f(`echo '{"wanted": -3}'`, "0 to 1000")
	f(`echo '{"wanted": 3, "running": 10000}'`, "10000")
	f("head -c 70000 /dev/zero", "more than")
	e := &Exec{Words: []string{"/nonexistent/standby"}}
	var fault *Fault
	if err := e.Scale(t.Context(), order(1, 1)); !errors.As(err, &fault) || !strings.Contains(fault.What, "cannot be run") {
		t.Errorf("%v", err)
	}
}

func TestACommandThatHangsIsEndedWithAllThatItStarted(t *testing.T) {
	path := script(t, `sleep 600 & echo $! > "$0.child"; wait`)
	e, err := ParseExec(path + " {verb} {workers}")
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var fault *Fault
	if err := e.Scale(ctx, order(1, 1)); !errors.As(err, &fault) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestACommandIsNoShellsLine(t *testing.T) {
	f := func(line string, ok bool) {
		t.Helper()
		if _, err := ParseExec(line); (err == nil) != ok {
			t.Errorf("%q: %v", line, err)
		}
	}
	f("/usr/bin/standby {verb} --count={workers}", true)
	f("", false)
	f("/usr/bin/standby {workers}", false)
	f("/usr/bin/standby {verb}", false)
	f("/usr/bin/standby {verb} {workers} | logger", false)
	f("/usr/bin/standby '{verb} {workers}'", false)
	f("/usr/bin/standby {verb} {workers}"+strings.Repeat(" x", ExecWordsMax), false)
}

func FuzzStatusOfACommand(f *testing.F) {
	for _, seed := range []string{`{"wanted": 5, "running": 4}`, `{"wanted": 5}`, `{"wanted": -1}`, `{"wanted": 1e3}`, `{}`, `[]`, `{"wanted":1} x`, ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, out []byte) {
		s, err := parseStatus(out)
		if err == nil && (s.Wanted < 0 || s.Wanted > WorkersMax || s.Running < -1 || s.Running > WorkersMax) {
			t.Errorf("%q gives %+v", out, s)
		}
		lastLine(out)
	})
}
