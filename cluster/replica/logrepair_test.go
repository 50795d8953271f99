package replica

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

const testSegment = 4096

func openSmallLog(t *testing.T, dir string) *wal.WAL {
	t.Helper()
	log, err := openLog(dir, testSegment, testLogger())
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// entryBytes is what entry index holds: sizes differ, so that segments end in all ways.
func entryBytes(index uint64) []byte { return bytes.Repeat([]byte{byte(index)}, int(50+index*37%300)) }

func appendEntries(t *testing.T, log *wal.WAL, from, to uint64) {
	t.Helper()
	var entries []*raft.Log
	for index := from; index <= to; index++ {
		entries = append(entries, &raft.Log{Index: index, Term: 1, Data: entryBytes(index)})
	}
	if err := log.StoreLogs(entries); err != nil {
		t.Fatalf("entries %d to %d: %v", from, to, err)
	}
}

func checkEntries(t *testing.T, log *wal.WAL, last uint64) {
	t.Helper()
	if got, err := log.LastIndex(); err != nil || got != last {
		t.Fatalf("the log ends at %d, want %d: %v", got, last, err)
	}
	for index := uint64(1); index <= last; index++ {
		var entry raft.Log
		if err := log.GetLog(index, &entry); err != nil || !bytes.Equal(entry.Data, entryBytes(index)) {
			t.Fatalf("entry %d: %d bytes, %v", index, len(entry.Data), err)
		}
	}
}

// crashes calls f with a directory for each append: it holds the metadata from before the append, and the segment
// from after it. The append of two entries that fills a segment is among them.
func crashes(t *testing.T, appends int, f func(dir, segment string, sizeBefore int64, last uint64)) {
	t.Helper()
	dir := t.TempDir()
	log := openSmallLog(t, dir)
	defer log.Close()
	for n := range appends {
		last := uint64(2*n + 2)
		// An empty cut waits until raft-wal has noted a segment's seal.
		if err := log.DeleteRange(1<<40, 1<<41); err != nil {
			t.Fatal(err)
		}
		crashed := t.TempDir()
		copyTree(t, dir, crashed)
		newest := newestSegment(t, crashed)
		before := contentEnd(t, filepath.Join(crashed, newest))
		appendEntries(t, log, last-1, last)
		text, err := os.ReadFile(filepath.Join(dir, newest))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(crashed, newest), text, 0o600); err != nil {
			t.Fatal(err)
		}
		f(crashed, filepath.Join(crashed, newest), before, last)
	}
}

func newestSegment(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil || len(names) == 0 {
		t.Fatal("no segment:", err)
	}
	slices.Sort(names)
	return filepath.Base(names[len(names)-1])
}

// contentEnd is where the zeros at the end of a segment begin.
func contentEnd(t *testing.T, path string) int64 {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return int64((len(bytes.TrimRight(text, "\x00")) + frameHead - 1) / frameHead * frameHead)
}

func TestALogIsWritableAfterACrashWhileASegmentWasSealed(t *testing.T) {
	sealed := 0
	crashes(t, 40, func(dir, _ string, _ int64, last uint64) {
		repaired, err := repairLog(dir)
		if err != nil {
			t.Fatal(err)
		}
		if repaired != "" {
			sealed++
		}
		log := openSmallLog(t, dir)
		defer log.Close()
		checkEntries(t, log, last)
		appendEntries(t, log, last+1, last+30)
		checkEntries(t, log, last+30)
	})
	if sealed < 2 {
		t.Fatalf("%d of the crashes came while a segment was sealed; the test tests nothing", sealed)
	}
}

func TestALogIsWritableAfterItsLastWriteReachedTheDiskInPart(t *testing.T) {
	cut := 0
	crashes(t, 12, func(dir, segment string, before int64, last uint64) {
		end := contentEnd(t, segment)
		for at := before; at < end; at += 4 * frameHead {
			torn := t.TempDir()
			copyTree(t, dir, torn)
			tear(t, filepath.Join(torn, filepath.Base(segment)), at, end)
			log := openSmallLog(t, torn)
			checkEntries(t, log, last-2) // the entries of the torn write were never acknowledged
			appendEntries(t, log, last-1, last+20)
			log.Close()
			log = openSmallLog(t, torn)
			checkEntries(t, log, last+20)
			log.Close()
			cut++
		}
	})
	if cut < 100 {
		t.Fatalf("only %d torn writes", cut)
	}
}

// tear leaves zeros where one block of a write did not reach the disk.
func tear(t *testing.T, path string, at, end int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, min(4*frameHead, end-at)), at); err != nil {
		t.Fatal(err)
	}
}

func TestAWholeLogIsNotTouched(t *testing.T) {
	dir := t.TempDir()
	log := openSmallLog(t, dir)
	appendEntries(t, log, 1, 3)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, newestSegment(t, dir))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if repaired, err := repairLog(dir); err != nil || repaired != "" {
		t.Fatalf("%q, %v", repaired, err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Fatal("the segment was changed", err)
	}
}

// FuzzLogSegment feeds the scan what a disk may hold.
func FuzzLogSegment(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 200))
	f.Add(append(make([]byte, segmentHead), 1, 0, 0, 0, 255, 255, 255, 255, 3, 0, 0, 0, 1, 2, 3, 4))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := os.Create(filepath.Join(t.TempDir(), "segment"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := file.Write(text); err != nil {
			t.Fatal(err)
		}
		found, err := scanSegment(file)
		if err != nil {
			t.Fatal(err)
		}
		if found.end < segmentHead && found.end != 0 || found.end > int64(len(text)) || found.index > found.end {
			t.Fatalf("%+v in %d bytes", found, len(text))
		}
	})
}
