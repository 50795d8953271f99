package replica

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
)

// snapshotted closes a replica that has taken count snapshots and has log behind them, and gives its state.
func snapshotted(t *testing.T, cfg Config, count int) [64]byte {
	t.Helper()
	r := start(t, cfg)
	rng := rand.New(rand.NewPCG(7, 7))
	var n uint64
	propose(t, r, partner())
	for range count {
		steps(t, r, rng, &n, 3)
		if err := r.raft.ReloadConfig(withoutTrailingLogs(r)); err != nil {
			t.Fatal(err)
		}
		if err := r.Snapshot(); err != nil {
			t.Fatal(err)
		}
	}
	steps(t, r, rng, &n, 3)
	sum := digest(t, r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return sum
}

// finished lists the finished snapshots, newest first.
func finished(t *testing.T, dir string) []string {
	t.Helper()
	s, unreadable, err := openSnapshots(filepath.Join(dir, snapshotsName), testLogger())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range append(s.kept, unreadable...) {
		names = append(names, filepath.Join(dir, snapshotsName, m.Meta.ID))
	}
	return names
}

// spoil changes one byte in the middle of a file.
func spoil(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	// Written anew: tables are linked into other directories, and a disk spoils one copy.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// tableOf gives one table of a snapshot.
func tableOf(t *testing.T, snapshot string) string {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(snapshot, pebbleName, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal("no table in", snapshot, err)
	}
	return tables[len(tables)-1]
}

// The log was joined to the newest snapshot and may begin behind the one before it: to start from that one would forget what lies
// between them.
func TestOnlyTheNewestSnapshotIsTakenOverAtTheStart(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	want := snapshotted(t, cfg, 2)
	blocked := small
	blocked.wrap = func(l diskLog) diskLog { // before the snapshot is taken over
		if err := os.WriteFile(filepath.Join(cfg.Dir, stateName, "1"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return l
	}
	r, err := open(cfg, blocked)
	if err == nil {
		r.Close()
		t.Fatal("it started from the snapshot before the newest")
	}
	wantError(t, err, syscall.ENOTDIR, "newest snapshot", "check the disk")
	if digest(t, start(t, cfg)) != want {
		t.Error("the state is another one afterwards")
	}
}

func TestTheNewestTwoSnapshotsAreKeptAndTheLogReachesTheOlder(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	snapshotted(t, cfg, 4)
	if names := finished(t, cfg.Dir); len(names) != SnapshotsKept {
		t.Fatalf("%d snapshots: %v", len(names), names)
	}
	s, _, err := openSnapshots(filepath.Join(cfg.Dir, snapshotsName), testLogger())
	if err != nil {
		t.Fatal(err)
	}
	log := openTestLog(t, cfg.Dir)
	defer log.Close()
	first, err := log.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	if older := s.kept[1].Meta.Index; first != older+1 || first == 1 {
		t.Fatalf("the older snapshot ends at entry %d, the log begins at %d", older, first)
	}
	entries, err := os.ReadDir(filepath.Join(cfg.Dir, snapshotsName))
	if err != nil || len(entries) != SnapshotsKept {
		t.Fatalf("left behind: %v, %v", entries, err)
	}
}

func TestADamagedNewestSnapshotCostsNothingButTime(t *testing.T) {
	f := func(what string, count int, damage func(snapshot string)) {
		t.Helper()
		cfg, log := testConfig(t, t.TempDir())
		want := snapshotted(t, cfg, count)
		newest := finished(t, cfg.Dir)[0]
		damage(newest)
		r := start(t, cfg)
		if digest(t, r) != want {
			t.Errorf("%s: another state", what)
		}
		if !contains(log, "level=ERROR") || !contains(log, filepath.Base(newest)) {
			t.Errorf("%s: not a loud word about %s in\n%s", what, filepath.Base(newest), log)
		}
		if aside, _ := filepath.Glob(filepath.Join(cfg.Dir, snapshotsName, damagedPrefix+"*")); len(aside) != 1 {
			t.Errorf("%s: set aside: %v", what, aside)
		}
		propose(t, r, customer(1_000_000))
		if err := r.Snapshot(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	f("a table", 3, func(s string) { spoil(t, tableOf(t, s)) })
	f("the live set", 3, func(s string) { spoil(t, filepath.Join(s, liveName)) })
	f("the manifest", 3, func(s string) { spoil(t, filepath.Join(s, manifestName)) })
	f("a missing table", 3, func(s string) { os.Remove(tableOf(t, s)) })
	f("a missing manifest", 3, func(s string) { os.Remove(filepath.Join(s, manifestName)) })
	f("a file too many", 3, func(s string) {
		if err := os.WriteFile(filepath.Join(s, pebbleName, "000999.sst"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	f("the only one", 1, func(s string) { spoil(t, filepath.Join(s, liveName)) })
}

func TestAHoleBetweenSnapshotAndLogIsRefused(t *testing.T) {
	f := func(what string, damage func(dir string)) {
		t.Helper()
		cfg, _ := testConfig(t, t.TempDir())
		snapshotted(t, cfg, 3)
		damage(cfg.Dir)
		before := tree(t, cfg.Dir)
		r, err := open(cfg, small)
		if err == nil {
			r.Close()
		}
		if !errors.Is(err, ErrDamaged) || !containsText(err.Error(), "restore") {
			t.Errorf("%s: %v, want %v and a remedy", what, err, ErrDamaged)
		}
		if after := tree(t, cfg.Dir); after != before {
			t.Errorf("%s: the directory was changed:\n%s\nwas\n%s", what, after, before)
		}
	}
	f("both snapshots damaged", func(dir string) {
		for _, s := range finished(t, dir) {
			spoil(t, filepath.Join(s, liveName))
		}
	})
	f("all snapshots gone", func(dir string) {
		for _, s := range finished(t, dir) {
			if err := os.RemoveAll(s); err != nil {
				t.Fatal(err)
			}
		}
	})
	f("the newest damaged, and the log ends before it", func(dir string) {
		spoil(t, filepath.Join(finished(t, dir)[0], liveName))
		log := openTestLog(t, dir)
		first, _ := log.FirstIndex()
		last, _ := log.LastIndex()
		if err := log.DeleteRange(first+1, last); err != nil {
			t.Fatal(err)
		}
		log.Close()
	})
}

// tree lists the snapshots with their sizes.
func tree(t *testing.T, dir string) (list string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, snapshotsName), func(path string, entry os.DirEntry, err error) error {
		list += path + "\n"
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestSnapshotsAreTakenByBytesOfLog(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	cfg.SnapshotBytes = 1 << 20
	r := start(t, cfg)
	var written int64
	var n uint64
	for r.Stats().Snapshots == 0 {
		if written > 8<<20 {
			t.Fatalf("no snapshot after %d bytes of log", written)
		}
		var batch []byte
		for len(batch) < EntryBytesMax-4096 {
			n++
			batch = append(batch, encodeMore(t, customer(n))...)
		}
		batch = append(encode(t), batch...)
		if _, err := r.Propose(batch).Wait(); err != nil {
			t.Fatal(err)
		}
		written += int64(len(batch))
	}
	if written < cfg.SnapshotBytes {
		t.Fatalf("a snapshot after %d bytes, the limit is %d", written, cfg.SnapshotBytes)
	}
	if err := r.Snapshot(); err != nil {
		t.Fatal(err)
	}
	if left := r.Stats().LogBytes; left >= cfg.SnapshotBytes {
		t.Fatalf("%d bytes still count after the snapshot", left)
	}
}

func TestAFailedSnapshotLeavesTheOlderOnes(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	r := start(t, cfg)
	propose(t, r, partner(), customer(1))
	if err := r.Snapshot(); err != nil {
		t.Fatal(err)
	}
	kept := r.Stats().SnapshotIndex
	propose(t, r, customer(2))
	want := digest(t, r)
	// A stream that breaks off, as when the other node dies in the middle.
	s, err := r.snapshots.Create(raft.SnapshotVersionMax, 1000, 9, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(streamOf(t, sample)[:50]); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); !errors.Is(err, errStream) {
		t.Fatalf("%v, want %v", err, errStream)
	}
	// One that Raft gives up.
	s, err = r.snapshots.Create(raft.SnapshotVersionMax, 1001, 9, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(streamOf(t, sample)); err != nil {
		t.Fatal(err)
	}
	if err := s.Cancel(); err != nil {
		t.Fatal(err)
	}
	if got := r.Stats().SnapshotIndex; got != kept {
		t.Fatalf("the newest snapshot ends at %d, not %d", got, kept)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = start(t, cfg)
	if digest(t, r) != want {
		t.Fatal("another state")
	}
}
