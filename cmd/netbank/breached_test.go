package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netbank/cmd/internal/bank"
	"netbank/session/breached"
)

func TestBreachedBuildMakesAFileOfAListOrSaysWhyNot(t *testing.T) {
	out := filepath.Join(t.TempDir(), "list")
	f := func(want int, says, stdin string, args ...string) {
		t.Helper()
		code, said, wrong := try(stdin, false, append([]string{"breached", "build", "-", out}, args...)...)
		if code != want || !strings.Contains(said+wrong, says) {
			t.Errorf("%v: exit code %d, want %d and %q\n%s%s", args, code, want, says, said, wrong)
		}
	}
	f(1, "line 1 is not a SHA-1", "zebra")
	f(0, "2 passwords in "+out, "zebra\nhorse\n", "--plain")
	if code, _, said := try("", false, "breached", "build", out+".txt", out); code != bank.ExitUsage {
		t.Errorf("exit code %d\n%s", code, said)
	}
	list, err := breached.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	if known, err := list.Listed("zebra"); !known || err != nil {
		t.Errorf("Listed = %v, %v", known, err)
	}
	if _, err := os.Stat(out + ".new"); err == nil {
		t.Error("something was left")
	}
}
