package replica

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

const (
	manifestName  = "manifest"
	manifestBytes = 32 << 20 // 65,536 files with names of 100 characters, and room
	unfinished    = ".tmp"
	damagedPrefix = "damaged-"
)

// snapshots is the directory of finished snapshots: raft.SnapshotStore over files, without an archive around them, so that
// taking one links tables instead of copying them.
type snapshots struct {
	path   string
	logger *slog.Logger
	sync   func(*os.File) error // (*os.File).Sync, or a faulty one in a test
	// failed is told when the disk did not take another node's snapshot. Raft would have it sent again and again.
	failed func(error)
	// backingUp is true while a backup holds links to a snapshot's files.
	backingUp atomic.Bool

	mu       sync.Mutex
	kept     []manifest // newest first
	verified string     // the snapshot that Open has verified and that Raft will restore next
}

// manifest describes a finished snapshot. It is written last.
type manifest struct {
	Format int               `json:"format"`
	Meta   raft.SnapshotMeta `json:"meta"`
	// Streamed says that the snapshot came from another node or from a backup, so that this node's log need not
	// lead up to it.
	Streamed bool   `json:"streamed"`
	Files    []file `json:"files"`
}

var _ raft.SnapshotStore = (*snapshots)(nil)

// openSnapshots removes what is unfinished and reads the manifests. A snapshot whose manifest cannot be read stays
// listed with its index only, so that Open can tell what it would have covered.
func openSnapshots(path string, logger *slog.Logger) (s *snapshots, unreadable []manifest, err error) {
	s = &snapshots{path: path, logger: logger, sync: (*os.File).Sync, failed: func(error) {}}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, nil, fmt.Errorf("replica: read the snapshots: %w", err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasSuffix(name, unfinished) {
			if err := os.RemoveAll(filepath.Join(path, name)); err != nil {
				return nil, nil, fmt.Errorf("replica: remove an unfinished snapshot: %w", err)
			}
			continue
		}
		id, ok := parseSnapshotName(name)
		if !ok {
			continue
		}
		m, err := s.readManifest(name)
		if err != nil {
			logger.Error("a snapshot cannot be read", "snapshot", name, "error", err)
			unreadable = append(unreadable, manifest{Meta: id})
			continue
		}
		s.kept = append(s.kept, m)
	}
	slices.SortFunc(s.kept, newestFirst)
	return s, unreadable, nil
}

func newestFirst(a, b manifest) int { return strings.Compare(b.Meta.ID, a.Meta.ID) }

// snapshotName sorts by index, then term, then time.
func snapshotName(index, term uint64, at time.Time) string {
	return fmt.Sprintf("%020d-%020d-%014d", index, term, at.UnixMilli())
}

func parseSnapshotName(name string) (raft.SnapshotMeta, bool) {
	meta := raft.SnapshotMeta{ID: name}
	var at int64
	n, err := fmt.Sscanf(name, "%020d-%020d-%014d", &meta.Index, &meta.Term, &at)
	return meta, err == nil && n == 3 && name == snapshotName(meta.Index, meta.Term, time.UnixMilli(at))
}

func (s *snapshots) readManifest(name string) (manifest, error) {
	var m manifest
	text, err := readSmall(filepath.Join(s.path, name, manifestName), manifestBytes)
	if err != nil {
		return m, err
	}
	return parseManifest(name, text)
}

// parseManifest reads "crc32c\n{json}\n".
func parseManifest(name string, text []byte) (manifest, error) {
	var m manifest
	sum, body, _ := bytes.Cut(text, []byte("\n"))
	if string(sum) != fmt.Sprintf("%08x", crc32.Checksum(body, castagnoli)) {
		return m, errors.New("the manifest's checksum does not fit")
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, err
	}
	if m.Format != Format {
		return m, fmt.Errorf("the manifest has format %d, this program knows %d", m.Format, Format)
	}
	if m.Meta.ID != name {
		return m, fmt.Errorf("the manifest is that of %q", m.Meta.ID)
	}
	if len(m.Files) == 0 || len(m.Files) > SnapshotFilesMax || m.Files[0].Name != liveName {
		return m, fmt.Errorf("the manifest names %d files", len(m.Files))
	}
	for _, f := range m.Files {
		if err := checkName(f.Name); err != nil {
			return m, err
		}
	}
	return m, nil
}

func (m manifest) encode() ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return append(fmt.Appendf(nil, "%08x\n", crc32.Checksum(body, castagnoli)), body...), nil
}

// verify reads every file of a snapshot and compares the checksums.
func (s *snapshots) verify(m manifest) error {
	dir := filepath.Join(s.path, m.Meta.ID)
	for _, f := range m.Files {
		crc, err := sumFile(dir, f)
		if err != nil {
			return err
		}
		if crc != f.CRC {
			return fmt.Errorf("the checksum of %s does not fit", f.Name)
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, pebbleName))
	if err != nil {
		return err
	}
	if len(entries) != len(m.Files)-1 {
		return fmt.Errorf("%d files, the manifest names %d", len(entries)+1, len(m.Files))
	}
	return nil
}

// takeVerified tells once that Open has read the snapshot a moment ago.
func (s *snapshots) takeVerified(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.verified != id {
		return false
	}
	s.verified = ""
	return true
}

// setAside renames a damaged snapshot, so that Raft does not find it and a person can. One is kept.
func (s *snapshots) setAside(id string) error {
	old, err := filepath.Glob(filepath.Join(s.path, damagedPrefix+"*"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	if err := os.Rename(filepath.Join(s.path, id), filepath.Join(s.path, damagedPrefix+id)); err != nil {
		return err
	}
	s.mu.Lock()
	s.kept = slices.DeleteFunc(s.kept, func(m manifest) bool { return m.Meta.ID == id })
	s.mu.Unlock()
	return syncDirectory(s.path)
}

// floor tells up to which entries the log may be cut: behind the older of two snapshots. local is false when the
// newest came from elsewhere.
func (s *snapshots) floor() (newest, older uint64, local bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) == 0 {
		return 0, 0, true
	}
	newest, local = s.kept[0].Meta.Index, !s.kept[0].Streamed
	if len(s.kept) > 1 {
		older = s.kept[1].Meta.Index
	}
	return newest, older, local
}

func (s *snapshots) newest() uint64 {
	newest, _, _ := s.floor()
	return newest
}

// List implements raft.SnapshotStore.
func (s *snapshots) List() ([]*raft.SnapshotMeta, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*raft.SnapshotMeta
	for _, m := range s.kept {
		list = append(list, &m.Meta)
	}
	return list, nil
}

// openedSnapshot is a finished snapshot, as a stream for Raft and as files for the state machine of this node.
type openedSnapshot struct {
	*streamReader
	manifest manifest
	from     *snapshots
}

// Open implements raft.SnapshotStore.
func (s *snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.kept {
		if m.Meta.ID == id {
			return &m.Meta, &openedSnapshot{newStreamReader(filepath.Join(s.path, id), m.Files), m, s}, nil
		}
	}
	return nil, nil, fmt.Errorf("replica: there is no snapshot %s", id)
}

// Create implements raft.SnapshotStore.
func (s *snapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	if version != raft.SnapshotVersionMax {
		return nil, fmt.Errorf("replica: Raft's snapshot version %d is not known, only %d", version, raft.SnapshotVersionMax)
	}
	name := snapshotName(index, term, time.Now())
	dir := filepath.Join(s.path, name+unfinished)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("replica: make a snapshot: %w", err)
	}
	return &sink{to: s, dir: dir, manifest: manifest{Format: Format, Meta: raft.SnapshotMeta{
		Version: version, ID: name, Index: index, Term: term,
		Configuration: configuration, ConfigurationIndex: configurationIndex,
	}}}, nil
}

// known gives the CRC of a table that the newest snapshot holds as the same file on disk. Tables never change, so
// only new ones have to be read.
func (s *snapshots) known(f file, info os.FileInfo) (uint32, bool) {
	s.mu.Lock()
	kept := s.kept
	s.mu.Unlock()
	if len(kept) == 0 || !immutable(f.Name) {
		return 0, false
	}
	newest := kept[0]
	at, ok := slices.BinarySearchFunc(newest.Files[1:], f.Name, func(g file, name string) int { return strings.Compare(g.Name, name) })
	if !ok || newest.Files[1+at].Size != f.Size {
		return 0, false
	}
	other, err := os.Stat(filepath.Join(s.path, newest.Meta.ID, filepath.FromSlash(f.Name)))
	if err != nil || !os.SameFile(info, other) {
		return 0, false
	}
	return newest.Files[1+at].CRC, true
}

// add lists a finished snapshot and removes those beyond SnapshotsKept.
func (s *snapshots) add(m manifest) error {
	s.mu.Lock()
	s.kept = append(slices.Clone(s.kept), m) // cloned: known reads the old list
	slices.SortFunc(s.kept, newestFirst)
	var surplus []manifest
	if len(s.kept) > SnapshotsKept {
		s.kept, surplus = s.kept[:SnapshotsKept], s.kept[SnapshotsKept:]
	}
	s.mu.Unlock()
	for _, old := range surplus {
		path := filepath.Join(s.path, old.Meta.ID)
		// Renamed first: a crash in the middle leaves something unfinished, not half a snapshot.
		if err := os.Rename(path, path+unfinished); err != nil {
			return fmt.Errorf("replica: remove an old snapshot: %w", err)
		}
		if err := os.RemoveAll(path + unfinished); err != nil {
			return fmt.Errorf("replica: remove an old snapshot: %w", err)
		}
	}
	return syncDirectory(s.path)
}
