package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"netbank/cluster/replica"
)

// full is a disk with room for so many bytes.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if len(p) <= f.room {
		f.room -= len(p)
		return len(p), nil
	}
	n := f.room
	f.room = 0
	return n, &os.PathError{Op: "write", Path: "backup.partial", Err: syscall.ENOSPC}
}

func TestAFullDiskIsToldFromADamagedBackup(t *testing.T) {
	damaged := []byte("netbank\x00backup\x00\x00\x01\x00\x00\x00\x02{}....")
	_, err := receive(bytes.NewReader(damaged), &full{room: 1 << 10})
	if !errors.Is(err, replica.ErrBackup) || !strings.Contains(err.Error(), "node's log") {
		t.Error(err)
	}
	_, err = receive(bytes.NewReader(damaged), &full{room: 7})
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "another disk") {
		t.Error(err)
	}
}

// Two of them may open one partial file; only one writes it, and none writes to a file that has got its name.
func TestAPartialBackupHasOneWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backup.partial")
	open := func() *os.File {
		t.Helper()
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	first, second := open(), open()
	if !alone(first) || alone(second) {
		t.Error("not exactly the first may write")
	}
	late := open()
	if err := settle(first, strings.TrimSuffix(path, ".partial")); err != nil {
		t.Fatal(err)
	}
	first.Close()
	if alone(late) {
		t.Error("a finished backup would be written over")
	}
	if err := settle(open(), strings.TrimSuffix(path, ".partial")); err == nil {
		t.Error("a finished backup was replaced")
	}
}
