package replica

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"netbank/cluster/journal"
)

// backupTriesMax is how often a snapshot is chosen anew when two later ones came while its files were being linked.
const backupTriesMax = 5

// Backup is a consistent copy of the journal on its way out. The caller closes it.
type Backup struct {
	replica *Replica
	header  BackupHeader
	head    []byte
	dir     string // hard links to the snapshot's files, which stay when later snapshots replace it
	files   []file
}

// Backup takes a snapshot and gives it as a backup: everything that was committed and applied here before the call is in it. writer
// names the program, and kekID the key-encryption key (kek.Key.ID). A node that follows gives what it has applied,
// which may lie behind the leader. One backup of a node is under way at a time. Payments wait for as long as for any snapshot
// (Stats.SnapshotPause). The errors are ErrBackupRuns, ErrNoJournal, or what taking a snapshot gave.
func (r *Replica) Backup(writer, kekID string) (*Backup, error) {
	select {
	case <-r.stop:
		return nil, ErrClosed
	default:
	}
	if !r.snapshots.backingUp.CompareAndSwap(false, true) {
		return nil, ErrBackupRuns
	}
	b, err := r.backup(writer, kekID)
	if err != nil {
		r.snapshots.backingUp.Store(false)
	}
	return b, err
}

func (r *Replica) backup(writer, kekID string) (*Backup, error) {
	header := BackupHeader{
		Cluster: r.directory.identity.cluster, Node: r.cfg.Node, Taken: journal.Millis(time.Now().UnixMilli()), KEK: kekID, Writer: writer,
	}
	if r.machine.applied.Load() == 0 {
		return nil, fmt.Errorf("%w: there is nothing to back up", ErrNoJournal)
	}
	r.View(func(m *journal.Machine) { header.Stamp = m.Now() })
	if err := r.Snapshot(); err != nil {
		return nil, err
	}
	dir := filepath.Join(r.snapshots.path, "backup"+unfinished)
	m, err := r.snapshots.pin(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	header.Index, header.Term, header.StreamBytes = m.Meta.Index, m.Meta.Term, streamSize(m.Files)
	b := &Backup{replica: r, header: header, dir: dir, files: m.Files}
	if b.head, err = header.encode(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return b, nil
}

// pin links the files of the newest snapshot into dir. It holds no lock, since a file system without hard links has to
// copy; so the snapshot may be replaced meanwhile, and then the next one is taken.
func (s *snapshots) pin(dir string) (m manifest, err error) {
	for range backupTriesMax {
		s.mu.Lock()
		if len(s.kept) > 0 {
			m = s.kept[0]
		}
		s.mu.Unlock()
		if len(m.Files) == 0 {
			return m, ErrNoJournal
		}
		if err = s.link(m, dir); !errors.Is(err, fs.ErrNotExist) {
			return m, err
		}
	}
	return m, err
}

func (s *snapshots) link(m manifest, dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("replica: hold a snapshot for a backup: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, pebbleName), 0o700); err != nil {
		return fmt.Errorf("replica: hold a snapshot for a backup: %w", err)
	}
	for _, f := range m.Files {
		name := filepath.FromSlash(f.Name)
		if err := linkOrCopy(filepath.Join(s.path, m.Meta.ID, name), filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("replica: hold a snapshot for a backup: %w", err)
		}
	}
	return nil
}

// Header says what the backup holds.
func (b *Backup) Header() BackupHeader { return b.header }

// Size is the number of bytes that WriteTo writes.
func (b *Backup) Size() int64 { return b.header.Bytes() }

// WriteTo implements io.WriterTo. Whoever reads the backup compares its checksums, which are those of when the snapshot was taken: a
// disk that has spoilt a file since is found there.
func (b *Backup) WriteTo(to io.Writer) (int64, error) {
	sum := sha256.New()
	both := io.MultiWriter(to, sum)
	n, err := both.Write(b.head)
	written := int64(n)
	if err != nil {
		return written, err
	}
	stream := newStreamReader(b.dir, b.files)
	defer stream.Close()
	streamed, err := io.CopyBuffer(both, untilStopped{stream, b.replica.stop}, make([]byte, 256<<10))
	written += streamed
	if err != nil {
		return written, err
	}
	n, err = to.Write(sum.Sum(nil))
	return written + int64(n), err
}

// untilStopped ends a copy when the replica closes.
type untilStopped struct {
	from io.Reader
	stop <-chan struct{}
}

func (r untilStopped) Read(p []byte) (int, error) {
	select {
	case <-r.stop:
		return 0, ErrClosed
	default:
		return r.from.Read(p)
	}
}

// Close lets go of the snapshot. It must be called once.
func (b *Backup) Close() error {
	err := os.RemoveAll(b.dir)
	b.replica.snapshots.backingUp.Store(false)
	return err
}
