package scaling

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHook_IsHandedEveryWorkerWithoutAShell(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out; $(rm)")
	script := filepath.Join(t.TempDir(), "steer")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n{ echo \"$1\"; cat; } >\"$2\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	h := &Hook{Words: []string{script, "$HOME", out}}
	f := func(want string, routes ...Route) {
		t.Helper()
		if err := h.Steer(t.Context(), routes); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(out); err != nil || string(got) != "$HOME\n"+want+"\n" {
			t.Errorf("%q %v, want %q", got, err, want)
		}
	}
	f(`[]`)
	f(`[{"node":7,"customer":"10.0.0.7:8080","partner":"10.0.0.7:8443","operator":"10.0.0.7:9090","draining":true}]`,
		Route{Node: 7, Customer: "10.0.0.7:8080", Partner: "10.0.0.7:8443", Operator: "10.0.0.7:9090", Draining: true})
}

func TestHook_ThatFailsSaysWhy(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		h, err := ParseHook(line)
		if err == nil {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err = h.Steer(ctx, nil)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
	f("", "the hook is empty")
	f(strings.Repeat("x ", ExecWordsMax+1), "of 64; call a script")
	f("/nowhere/steer", "the hook cannot be run")
	f("ls /nowhere", "the hook failed")
	f("sleep 60", "did not end in time")
}
