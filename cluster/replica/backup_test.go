package replica

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// backedUp gives a replica with a past, and a backup of it.
func backedUp(t testing.TB) (*Replica, []byte) {
	t.Helper()
	cfg, _ := testConfig(t, t.TempDir())
	r := start(t, cfg)
	propose(t, r, partner(), customer(1), create(1), create(2), cancel(2))
	return r, take(t, r)
}

func take(t testing.TB, r *Replica) []byte {
	t.Helper()
	b, err := r.Backup("netbank test", "0123456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	n, err := b.WriteTo(&out)
	if err != nil || n != int64(out.Len()) || n != b.Size() {
		t.Fatalf("%d bytes were written, %d counted, %d promised: %v", out.Len(), n, b.Size(), err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func put(t testing.TB, backup []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "backup")
	if err := os.WriteFile(path, backup, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// later is when the tests restore: the journal's time of their entries lies before it.
func later() time.Time { return time.Now().Add(time.Hour) }

func restoring(t testing.TB, backup []byte) RestoreConfig {
	t.Helper()
	return RestoreConfig{From: put(t, backup), Dir: filepath.Join(t.TempDir(), "new"), Now: later, Logger: testLogger()}
}

func payment(t testing.TB, r *Replica, n uint64) (p journal.Payment) {
	t.Helper()
	r.View(func(m *journal.Machine) {
		var ok bool
		if p, ok = m.Payment(journal.PaymentID(paymentID(n))); !ok {
			t.Fatalf("payment %d is not there", n)
		}
	})
	return p
}

func TestABackupIsRestoredAsItWasTaken_AndTheEpochIsBumpedFirst(t *testing.T) {
	r, backup := backedUp(t)
	var before [64]byte
	r.View(func(m *journal.Machine) { before = digestOfMachine(t, m) })
	propose(t, r, customer(2), create(3)) // behind the backup
	cfg := restoring(t, backup)
	restored, err := Restore(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if restored.Header.KEK != "0123456789abcdef" || restored.Header.Writer != "netbank test" || restored.Header.Node != 1 || restored.Node != 1 {
		t.Errorf("%+v", restored)
	}
	if restored.Stamp != epoch || restored.Customers != 1 || restored.Partners != 1 || restored.Cancelled != 1 || restored.Finished != 1 || restored.Epoch != 1 {
		t.Errorf("%+v", restored)
	}
	config, _ := testConfig(t, cfg.Dir)
	var order []string
	config.OnApplied = func(a Applied) {
		for _, c := range a.Batch.Commands {
			order = append(order, typeName(c))
		}
	}
	again := start(t, config)
	if want := "bumpepoch cancelpayment"; strings.Join(order, " ") != want {
		t.Errorf("the first entries were %v, want %s", order, want)
	}
	again.View(func(m *journal.Machine) {
		c := m.Counts()
		if c.ReferenceEpoch != 1 || c.References != restored.ReferencesAbove || c.References < uint64(time.Now().UnixMilli())*ReferencesPerMilli {
			t.Errorf("epoch %d, references above %d", c.ReferenceEpoch, c.References)
		}
		if _, ok := m.Payment(journal.PaymentID(paymentID(3))); ok {
			t.Error("what came after the backup is there")
		}
	})
	// Received at the backup: it may have been paid since.
	if p := payment(t, again, 1); p.State != journal.StateCancelled {
		t.Errorf("payment 1 is %v", p.State)
	}
	if p, was := payment(t, again, 2), payment(t, r, 2); p != was {
		t.Errorf("payment 2 is %+v, was %+v", p, was)
	}
	// All but that is what it was.
	dir, files := t.TempDir(), []file(nil)
	if _, files, err = readBackup(bytes.NewReader(backup), func(f file) (target, error) {
		if err := os.MkdirAll(filepath.Join(dir, pebbleName), 0o700); err != nil {
			return nil, err
		}
		return newTargetFile(dir, f, notDurable)
	}); err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	store, err := openStore(filepath.Join(dir, pebbleName), testLogger(), newFuse(func(err error) { t.Error(err) }))
	if err != nil {
		t.Fatal(err)
	}
	defer store.close()
	machine := journal.New(store, journal.DefaultLimits())
	if err := readLive(filepath.Join(dir, liveName), machine); err != nil {
		t.Fatal(err)
	}
	if digestOfMachine(t, machine) != before {
		t.Error("the backup holds another state")
	}
	// It goes on, restarts, and takes snapshots and backups of its own.
	propose(t, again, customer(3))
	second := take(t, again)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	config.OnApplied = nil
	third := start(t, config)
	third.View(func(m *journal.Machine) {
		if c := m.Counts(); c.ReferenceEpoch != 1 || c.Customers != 2 {
			t.Errorf("after another start: %+v", c)
		}
	})
	cfg = restoring(t, second)
	cfg.Now = func() time.Time { return later().Add(time.Hour) }
	if restored, err = Restore(cfg); err != nil || restored.Epoch != 2 {
		t.Errorf("restored again: epoch %d, %v", restored.Epoch, err)
	}
}

func typeName(c *command.Command) string {
	switch c.Body.(type) {
	case *command.Command_BumpEpoch:
		return "bumpepoch"
	case *command.Command_CancelPayment:
		return "cancelpayment"
	}
	return "another"
}

func digestOfMachine(t testing.TB, m *journal.Machine) (sum [64]byte) {
	t.Helper()
	live := m.Digest()
	stored, err := m.StoreDigest()
	if err != nil {
		t.Fatal(err)
	}
	copy(sum[:32], live[:])
	copy(sum[32:], stored[:])
	return sum
}

// However often the first start is broken off, the epoch is bumped once, and nothing is applied before it.
func TestRule5_ARestoredNodeThatIsKilledAtEachStartBumpsTheEpochOnce(t *testing.T) {
	_, backup := backedUp(t)
	cfg := restoring(t, backup)
	if _, err := Restore(cfg); err != nil {
		t.Fatal(err)
	}
	config, _ := testConfig(t, cfg.Dir)
	crashed := filepath.Join(t.TempDir(), "crashed")
	for range 4 {
		r, err := open(config, small) // not waited for: it may or may not lead, and commit
		if err != nil {
			t.Fatal(err)
		}
		os.RemoveAll(crashed)
		copyTree(t, config.Dir, crashed)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		again, _ := testConfig(t, crashed)
		c := start(t, again)
		c.View(func(m *journal.Machine) {
			if c := m.Counts(); c.ReferenceEpoch != 1 || c.Open != 0 {
				t.Errorf("epoch %d, %d open", c.ReferenceEpoch, c.Open)
			}
		})
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// One backup restored twice reaches the same epoch; the numbers of the second life lie above those of the first.
func TestRule5_OneBackupRestoredTwiceGivesNoReferenceTwice(t *testing.T) {
	_, backup := backedUp(t)
	at := later()
	var above []uint64
	for range 2 {
		cfg := restoring(t, backup)
		cfg.Now = func() time.Time { return at }
		restored, err := Restore(cfg)
		if err != nil || restored.Epoch != 1 {
			t.Fatal(restored.Epoch, err)
		}
		above = append(above, restored.ReferencesAbove)
		at = at.Add(time.Minute)
	}
	if given := uint64(100 * 60_000); above[1] < above[0]+given {
		t.Errorf("the second life begins at %d, %d above the first", above[1], above[1]-above[0])
	}
	cfg := restoring(t, backup)
	cfg.Now = func() time.Time { return time.UnixMilli(int64(epoch) - 1) }
	if _, err := Restore(cfg); err == nil || !strings.Contains(err.Error(), "clock") {
		t.Errorf("a clock behind the backup was taken: %v", err)
	}
}

func TestARestoredNodeOfAClusterIsTheOnlyVoterAndHasADiskOfItsOwn(t *testing.T) {
	_, backup := backedUp(t)
	cfg := restoring(t, backup)
	cfg.Node, cfg.Cluster = 7, "bank-2"
	restored, err := Restore(cfg)
	if err != nil || restored.Node != 7 || restored.Cluster != "bank-2" {
		t.Fatal(restored, err)
	}
	config, _ := testConfig(t, cfg.Dir)
	if _, err := Open(config); !errors.Is(err, ErrOtherNode) {
		t.Fatalf("another node opened it: %v", err)
	}
	config.Node, config.Cluster = 7, "bank-2"
	r := start(t, config)
	propose(t, r, customer(9))
	members := r.Members()
	if len(members) != 1 || members[0].Node != 7 || !members[0].Voter || members[0].Disk == "" || members[0].Disk != r.directory.identity.disk {
		t.Errorf("the members are %+v", members)
	}
	if r.Waiting() != nil {
		t.Errorf("it waits: %v", r.Waiting())
	}
}

func TestADamagedBackupIsRefusedAndNothingIsWritten(t *testing.T) {
	_, backup := backedUp(t)
	refused := func(what string, damaged []byte, want error, words ...string) {
		t.Helper()
		if _, err := CheckBackup(bytes.NewReader(damaged)); !errors.Is(err, want) {
			t.Errorf("%s: checking gave %v, want %v", what, err, want)
		}
		cfg := restoring(t, damaged)
		_, err := Restore(cfg)
		if !errors.Is(err, want) {
			t.Errorf("%s: restoring gave %v, want %v", what, err, want)
			return
		}
		for _, word := range append(words, cfg.From) {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: the error does not say %q: %v", what, word, err)
			}
		}
		if _, err := os.Lstat(cfg.Dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the directory was made (%v)", what, err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		flipped := bytes.Clone(backup)
		at := rng.IntN(len(flipped))
		if at == len(backupMagic)+1 || at == len(backupMagic) {
			continue // the version, which may become a newer one
		}
		flipped[at] ^= 1 << rng.IntN(8)
		refused("one bit", flipped, ErrBackup, "byte")
		cut := rng.IntN(len(backup))
		refused("cut off", backup[:cut], ErrBackup, "it ends at byte")
	}
	refused("cut off by one byte", backup[:len(backup)-1], ErrBackup, "it ends at byte")
	refused("something behind its end", append(bytes.Clone(backup), 0), ErrBackup, "follows its end")
	refused("empty", nil, ErrBackup, "byte 0")
	refused("another file", []byte("#!/bin/sh\necho this is no backup at all"), ErrBackup, "netbank backup")
	newer := bytes.Clone(backup)
	newer[len(backupMagic)+1] = BackupVersion + 1
	refused("a newer format", newer, ErrBackupNewer, "format 2", "later one")
}

// sealBackup makes a backup of a header and a stream, all checksums right.
func sealBackup(header string, stream []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte(backupMagic), BackupVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(len(header)))
	b = append(b, header...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	b = append(b, stream...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func TestABackupWithRightChecksumsAndWrongContentsIsRefused(t *testing.T) {
	stream := streamOf(t, sample)
	f := func(header, word string) {
		t.Helper()
		backup := sealBackup(header, stream)
		if _, err := CheckBackup(bytes.NewReader(backup)); word == "" && err != nil || word != "" && (!errors.Is(err, ErrBackup) || !strings.Contains(err.Error(), word)) {
			t.Errorf("%s: %v, want %q", header, err, word)
		}
	}
	size := len(stream)
	good := `{"node":1,"index":5,"term":2,"stampMs":1,"takenMs":2,"streamBytes":` + itoa(size) + `}`
	f(good, "")
	f(strings.Replace(good, `"node":1`, `"node":0`, 1), "counted from 1")
	f(strings.Replace(good, `"term":2`, `"term":0`, 1), "counted from 1")
	f(strings.Replace(good, `"stampMs":1`, `"stampMs":-1`, 1), "1970")
	f(strings.Replace(good, itoa(size), itoa(size-1), 1), "ends at byte")
	f(strings.Replace(good, itoa(size), itoa(size+1), 1), "follows its end")
	f(strings.Replace(good, itoa(size), "-1", 1), "limits")
	f(strings.Replace(good, `{`, `{"cluster":"a b",`, 1), "cluster id")
	f(strings.Replace(good, `{`, `{"kekId":"`+strings.Repeat("x", BackupTextBytesMax+1)+`",`, 1), "longer than")
	f(strings.Replace(good, `{`, `{"more":1,`, 1), "more")
	f(good+"{}", "follows it")
	f(`[]`, "header")

	// The frames are whole, and there is no live set in them.
	cfg := restoring(t, sealBackup(good, stream))
	if _, err := Restore(cfg); !errors.Is(err, ErrBackup) || !strings.Contains(err.Error(), "live set") {
		t.Errorf("no live set: %v", err)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

func TestABackupIsRestoredIntoAnEmptyDirectoryOnly(t *testing.T) {
	_, backup := backedUp(t)
	f := func(want error, make func(dir string)) {
		t.Helper()
		cfg := restoring(t, backup)
		if err := os.Mkdir(cfg.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		make(cfg.Dir)
		before := listing(t, cfg.Dir)
		cfg.DryRun = true
		if _, err := Restore(cfg); !errors.Is(err, want) {
			t.Errorf("a dry run gave %v, want %v", err, want)
		}
		if after := listing(t, cfg.Dir); after != before {
			t.Errorf("a dry run left %s, there was %s", after, before)
		}
		cfg.DryRun = false
		if _, err := Restore(cfg); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		if want != nil {
			if after := listing(t, cfg.Dir); after != before {
				t.Errorf("the refusal left %s, there was %s", after, before)
			}
			return
		}
		config, _ := testConfig(t, cfg.Dir)
		start(t, config)
		if _, err := Restore(cfg); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("restored over a journal: %v", err)
		}
	}
	write := func(name string) func(string) {
		return func(dir string) {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	f(nil, func(string) {})
	f(nil, write(lockName))
	f(nil, func(dir string) { _ = os.Mkdir(filepath.Join(dir, lostAndFound), 0o700) })
	f(ErrNotEmpty, write("a file"))
	f(ErrNotEmpty, write(versionName))
	f(ErrNotEmpty, func(dir string) { _ = os.Mkdir(filepath.Join(dir, logName), 0o700) })
	f(nil, func(dir string) { // what a restore leaves that was killed
		write(restoringName)(dir)
		_ = os.MkdirAll(filepath.Join(dir, snapshotsName, "x", pebbleName), 0o700)
		_ = os.MkdirAll(filepath.Join(dir, logName), 0o700)
		write(filepath.Join(logName, "00000000000000000001-0000000000000001.wal"))(dir)
	})
	f(ErrNotEmpty, func(dir string) { write(restoringName)(dir); write(versionName)(dir) })
	f(ErrUnwritable, func(dir string) { os.Remove(dir); write("")(dir) })
}

func listing(t testing.TB, dir string) string {
	t.Helper()
	var all []string
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		all = append(all, strings.TrimPrefix(path, dir))
		return err
	})
	return strings.Join(all, " ")
}

// A start in the middle of a restore, or after one that was killed, takes nothing for a journal.
func TestAnInterruptedRestoreIsNoDataDirectory(t *testing.T) {
	_, backup := backedUp(t)
	cfg := restoring(t, backup)
	if _, err := Restore(cfg); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(cfg.Dir, versionName)); err != nil {
		t.Fatal(err)
	}
	config, _ := testConfig(t, cfg.Dir)
	if _, err := Open(config); !errors.Is(err, ErrDamaged) {
		t.Errorf("opened: %v", err)
	}
}

func TestOneBackupAtATime_AndItSurvivesLaterSnapshots(t *testing.T) {
	r, first := backedUp(t)
	b, err := r.Backup("", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Backup("", ""); !errors.Is(err, ErrBackupRuns) {
		t.Errorf("a second backup: %v", err)
	}
	rng, n := rand.New(rand.NewPCG(3, 3)), uint64(10)
	for range SnapshotsKept + 1 { // the snapshot of the backup is replaced
		steps(t, r, rng, &n, 3)
		if err := r.Snapshot(); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if _, err := b.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	if header, err := CheckBackup(&out); err != nil || header != b.Header() {
		t.Errorf("%+v, %v", header, err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(r.snapshots.path, "*"+unfinished))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if next := take(t, r); len(next) <= len(first) {
		t.Errorf("the next backup has %d bytes, the first had %d", len(next), len(first))
	}
}

// tooSmall is a disk with room for so many bytes.
type tooSmall struct{ room int }

func (w *tooSmall) Write(p []byte) (int, error) {
	if len(p) > w.room {
		n := w.room
		w.room = 0
		return n, io.ErrShortWrite
	}
	w.room -= len(p)
	return len(p), nil
}

func TestABackupThatCannotBeWrittenSaysSoAndLeavesTheNodeWell(t *testing.T) {
	r, whole := backedUp(t)
	for _, room := range []int{0, 10, 200, len(whole) / 2, len(whole) - 1} {
		b, err := r.Backup("netbank test", "0123456789abcdef")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := b.WriteTo(&tooSmall{room}); err == nil || n > int64(room) {
			t.Errorf("with room for %d of %d bytes: %d were written, %v", room, len(whole), n, err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	propose(t, r, customer(50))
	if _, err := CheckBackup(bytes.NewReader(take(t, r))); err != nil {
		t.Error(err)
	}
}

func TestAnEmptyJournalHasNoBackup(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	if _, err := start(t, cfg).Backup("", ""); !errors.Is(err, ErrNoJournal) {
		t.Error(err)
	}
}

// Invariant EverythingIsBounded: whatever a file says, reading it takes bounded memory and no panic.
func FuzzBackup(f *testing.F) {
	dir, files := writeSnapshot(f, sample)
	r := newStreamReader(dir, files)
	defer r.Close()
	stream, err := io.ReadAll(r)
	if err != nil {
		f.Fatal(err)
	}
	header := `{"cluster":"c","node":1,"index":5,"term":2,"stampMs":1,"takenMs":2,"streamBytes":` + itoa(len(stream)) + `,"kekId":"00","writer":"w"}`
	whole := sealBackup(header, stream)
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(append(bytes.Clone(whole), 1))
	f.Add(sealBackup("{}", stream))
	f.Add(sealBackup(header, nil))
	f.Add([]byte(backupMagic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := CheckBackup(bytes.NewReader(text))
		switch {
		case err == nil && int64(len(text)) < h.StreamBytes:
			t.Errorf("taken, and shorter than its header says: %+v", h)
		case err == nil && h.check() != nil:
			t.Errorf("taken with the header %+v", h)
		case err != nil && !errors.Is(err, ErrBackup) && !errors.Is(err, ErrBackupNewer):
			t.Errorf("an error without a name: %v", err)
		}
	})
}

func BenchmarkCheckBackup(b *testing.B) {
	_, backup := backedUp(b)
	b.SetBytes(int64(len(backup)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := CheckBackup(bytes.NewReader(backup)); err != nil {
			b.Fatal(err)
		}
	}
}
