package replica

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

const (
	// restoringName is the first file of a restore. While it is there and "version" is not, the directory is no journal, and
	// another restore may clear it.
	restoringName = "restoring"
	restoringText = "A backup is being restored into this directory. If no `netbank restore` is running, it was broken off: run it again, or delete the directory.\n"
	// restoredCommandsMax is the number of commands in one of the entries that a restore writes: 512 with their ids are
	// less than half of EntryBytesMax.
	restoredCommandsMax = 512
)

// make builds the directory. The version file is written last: before it, Open refuses what lies there.
func (r *restore) make(from io.Reader) (err error) {
	dir := r.cfg.Dir
	if err := makeDirectory(dir); err != nil {
		return unwritable(dir, err)
	}
	lock, err := lockDirectory(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	// A node may have begun here since it was looked at first.
	if err := emptyDirectory(dir); err != nil {
		return err
	}
	// Nothing is whole before the version file: what an interrupted restore left goes, and what this one leaves after an error.
	if err := r.clear(); err != nil {
		return unwritable(dir, err)
	}
	if err := r.build(from); err != nil {
		if errors.Is(err, ErrBackup) {
			return errors.Join(fmt.Errorf("%s: %w", r.cfg.From, err), r.clear())
		}
		return errors.Join(unwritable(dir, err), r.clear())
	}
	return nil
}

func (r *restore) clear() error {
	var errs []error
	for _, name := range []string{logName, snapshotsName, stateName, restoringName, versionName + unfinished, restoringName + unfinished} {
		errs = append(errs, os.RemoveAll(filepath.Join(r.cfg.Dir, name)))
	}
	return errors.Join(errs...)
}

func (r *restore) build(from io.Reader) error {
	dir := r.cfg.Dir
	if err := writeWhole(dir, restoringName, []byte(restoringText)); err != nil {
		return err
	}
	id := identity{node: r.Node, cluster: r.Cluster}
	if id.cluster != "" {
		// A member whose disk has a new number: nobody takes it for the one that was lost.
		id.disk, id.member = newDisk(), true
	}
	if err := r.writeSnapshot(from, id); err != nil {
		return err
	}
	if err := r.writeLog(); err != nil {
		return err
	}
	if err := syncDirectory(dir); err != nil {
		return err
	}
	if err := writeWhole(dir, versionName, id.encode()); err != nil {
		return err
	}
	// Left behind by a crash at this point, it means nothing any more.
	if err := os.Remove(filepath.Join(dir, restoringName)); err != nil {
		return err
	}
	return syncDirectory(dir)
}

// writeSnapshot writes the backup's snapshot as that of a cluster of this node alone.
func (r *restore) writeSnapshot(from io.Reader, id identity) error {
	h := r.Header
	name := snapshotName(h.Index, h.Term, time.UnixMilli(int64(h.Taken)))
	top := filepath.Join(r.cfg.Dir, snapshotsName)
	dir := filepath.Join(top, name)
	if err := makeDirectory(dir); err != nil {
		return err
	}
	if err := makeDirectory(filepath.Join(dir, pebbleName)); err != nil {
		return err
	}
	header, files, err := readBackup(from, func(f file) (target, error) { return newTargetFile(dir, f, (*os.File).Sync) })
	if err != nil {
		return err
	}
	if header != h || !slices.Equal(files, r.files) {
		return fmt.Errorf("%w: it has changed while it was being read", ErrBackup)
	}
	address := raft.ServerAddress(serverID(r.Node)) // until another node is to reach this one: see nameSelf
	if id.disk != "" {
		address = withDisk(string(address), id.disk)
	}
	m := manifest{Format: Format, Streamed: true, Files: files, Meta: raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: name, Index: h.Index, Term: h.Term, Size: h.StreamBytes,
		Configuration:      raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: serverID(r.Node), Address: address}}},
		ConfigurationIndex: h.Index,
	}}
	text, err := m.encode()
	if err != nil {
		return err
	}
	if err := syncDirectory(filepath.Join(dir, pebbleName)); err != nil {
		return err
	}
	if err := writeWhole(dir, manifestName, text); err != nil {
		return err
	}
	return syncDirectory(top)
}

// writeLog writes the log behind the snapshot: what the restored node commits first.
func (r *restore) writeLog() (err error) {
	path := filepath.Join(r.cfg.Dir, logName)
	if err := makeDirectory(path); err != nil {
		return err
	}
	log, err := openLog(path, SegmentBytes, r.cfg.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if err := log.SetUint64(keyCurrentTerm, r.Header.Term); err != nil {
		return err
	}
	entries, err := r.entries()
	if err != nil {
		return err
	}
	for some := range slices.Chunk(entries, appendEntriesMax) {
		if err := log.StoreLogs(some); err != nil {
			return err
		}
	}
	return nil
}

// entries are BumpEpoch, alone, and the cancellations. They have no stamp: the journal's time goes on with the first leader.
func (r *restore) entries() ([]*raft.Log, error) {
	all := [][]*journal.Command{{{Body: &command.Command_BumpEpoch{BumpEpoch: &command.BumpEpoch{ReferencesAbove: r.ReferencesAbove}}}}}
	for some := range slices.Chunk(r.open, restoredCommandsMax) {
		var commands []*journal.Command
		for i := range some {
			commands = append(commands, &journal.Command{Body: &command.Command_CancelPayment{
				CancelPayment: &command.CancelPayment{PaymentId: some[i].ID[:], Partner: uint32(some[i].Partner)},
			}})
		}
		all = append(all, commands)
	}
	entries := make([]*raft.Log, 0, len(all))
	for i, commands := range all {
		for _, c := range commands {
			c.Id = make([]byte, len(journal.CommandID{}))
			rand.Read(c.Id) // never fails
		}
		batch := &journal.Batch{Version: journal.Version, Term: r.Header.Term, Commands: commands}
		text, err := batch.MarshalVT()
		if err != nil {
			return nil, fmt.Errorf("replica: write an entry: %w", err)
		}
		entries = append(entries, &raft.Log{Index: r.Header.Index + 1 + uint64(i), Term: r.Header.Term, Type: raft.LogCommand, Data: text, AppendedAt: r.cfg.Now()})
	}
	return entries, nil
}
