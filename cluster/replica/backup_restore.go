package replica

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"netbank/cluster/journal"
)

// ReferencesPerMilli is how far the numbers in references are moved on for each millisecond since 1970 by a restore: more than a bank
// could ever give in that time, so that what one restored life of a backup gave lies below where a later one begins.
// 36^10 numbers, the most that a reference holds, last until the year 2201.
const ReferencesPerMilli = 500

// ErrNotEmpty says that a backup would be restored into a directory that holds something.
var ErrNotEmpty = errors.New("replica: the directory is not empty")

// RestoreConfig says what to restore, and as whom.
type RestoreConfig struct {
	From string // the backup
	Dir  string // the data directory to make: missing or empty
	// Node and Cluster are the identity of the restored node. 0 and empty: the backup's.
	Node    journal.NodeID
	Cluster string
	Limits  journal.Limits   // zero: journal.DefaultLimits
	DryRun  bool             // look at everything, write nothing
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: slog.Default()
}

// Restored says what a backup holds, and what the restore makes of it.
type Restored struct {
	Header    BackupHeader   `json:"backup"`
	Node      journal.NodeID `json:"node"`              // of the restored node
	Cluster   string         `json:"cluster,omitempty"` // of the restored node
	Stamp     journal.Millis `json:"stampMs"`           // the journal's time: what happened later is not in the backup
	Partners  int            `json:"partners"`
	Customers int            `json:"customers"`
	Finished  uint64         `json:"finished"` // payments in a final state that are still kept
	// Cancelled is the number of payments that nobody had confirmed. Nobody can tell whether they were confirmed after the backup, so none
	// may be debited again.
	Cancelled int `json:"cancelled"`
	// Unresolved is the number of payments that may be inside the core, whose fate the node asks the core for.
	Unresolved int `json:"unresolved"`
	// Epoch is that of the references given from the restore on, and ReferencesAbove the number that they exceed.
	Epoch           uint16 `json:"referenceEpoch"`
	ReferencesAbove uint64 `json:"referencesAbove"`
}

// Restore makes a data directory of a backup: its snapshot, as that of a node alone, and a log whose first entry is BumpEpoch,
// followed by the cancellation of every payment that nobody had confirmed. No start of the node can pass them over, whenever it
// comes and however often it is broken off, since they are in the log behind the snapshot. The whole backup is
// checked before anything is written; the directory becomes one that Open takes with the last file that is written, and holds
// nothing but its lock after an error. Other nodes of the cluster join the restored one with empty directories.
//
// The errors are ErrBackup, ErrBackupNewer, ErrNotEmpty, ErrLocked and ErrUnwritable, or say what is wrong with cfg.
func Restore(cfg RestoreConfig) (Restored, error) {
	if cfg.Limits == (journal.Limits{}) {
		cfg.Limits = journal.DefaultLimits()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Cluster != "" && !plainID(cfg.Cluster) {
		return Restored{}, fmt.Errorf("replica: the cluster id is %.80q; it has 1 to %d of the characters a-z, A-Z, 0-9, '-', '_' and '.'", cfg.Cluster, ClusterIDBytesMax)
	}
	from, err := os.Open(cfg.From)
	if err != nil {
		return Restored{}, fmt.Errorf("replica: open the backup: %w", err)
	}
	defer from.Close()
	r := &restore{cfg: cfg, machine: journal.New(journal.NewMemoryStore(), cfg.Limits)}
	if err := r.look(from); err != nil {
		return r.Restored, fmt.Errorf("%s: %w", cfg.From, err)
	}
	if err := r.decide(); err != nil {
		return r.Restored, err
	}
	if err := emptyDirectory(cfg.Dir); err != nil || cfg.DryRun {
		return r.Restored, err
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return r.Restored, fmt.Errorf("replica: read the backup again: %w", err)
	}
	return r.Restored, r.make(from)
}

// restore is a restore under way.
type restore struct {
	Restored
	cfg     RestoreConfig
	machine *journal.Machine // the live set
	files   []file
	open    []journal.Payment // received, by id
}

// look reads the whole backup, and the live set in it, and writes nothing.
func (r *restore) look(from io.Reader) (err error) {
	seen := make(names)
	r.Header, r.files, err = readBackup(from, func(f file) (target, error) {
		if f.Name == liveName {
			return newLiveTarget(r.machine), seen.once(f)
		}
		return ignored{}, seen.once(f)
	})
	if errors.Is(err, journal.ErrVersion) {
		return fmt.Errorf("%w: %w; run the version of netbank that wrote it, or a later one", ErrBackupNewer, err)
	}
	return err
}

// liveTarget reads the live set while it passes.
type liveTarget struct {
	*io.PipeWriter
	read chan error
}

func newLiveTarget(into *journal.Machine) *liveTarget {
	from, to := io.Pipe()
	t := &liveTarget{to, make(chan error, 1)}
	go func() {
		in := bufio.NewReaderSize(from, 1<<20)
		_, err := into.ReadFrom(in)
		if err == nil {
			if _, more := in.ReadByte(); more != io.EOF {
				err = errors.New("something follows its end")
			}
		}
		// What follows is read and not looked at: the checksum of the file says more than a live set that cannot be read.
		_, _ = io.Copy(io.Discard, from)
		t.read <- err
	}()
	return t
}

func (t *liveTarget) keep() error {
	t.PipeWriter.Close()
	if err := <-t.read; err != nil {
		return fmt.Errorf("%w: the live set: %w", errStream, err)
	}
	return nil
}

// Close also ends the reading when the checksum did not fit.
func (t *liveTarget) Close() error {
	return t.CloseWithError(errStream)
}

// decide settles what the restored node is and does first.
func (r *restore) decide() error {
	r.Node, r.Cluster = cmp.Or(r.cfg.Node, r.Header.Node), cmp.Or(r.cfg.Cluster, r.Header.Cluster)
	counts := r.machine.Counts()
	now := r.cfg.Now()
	r.Stamp, r.Partners, r.Customers, r.Unresolved = r.machine.Now(), counts.Partners, counts.Customers, counts.Unresolved
	for state, n := range counts.ByState {
		if journal.State(state).Final() {
			r.Finished += n
		}
	}
	// References follow the clock. One that is behind would lead to numbers that an earlier restore may have given.
	if at := max(r.Stamp, r.Header.Taken); journal.Millis(now.UnixMilli()) < at {
		return fmt.Errorf("replica: this machine's clock says %s, and the backup is of %s; set the clock right: the references given from the restore on depend on it",
			now.UTC().Format(time.RFC3339), time.UnixMilli(int64(at)).UTC().Format(time.RFC3339))
	}
	for _, id := range r.machine.OpenIDs() {
		if p, ok := r.machine.Payment(id); ok && p.State == journal.StateReceived {
			r.open = append(r.open, p)
		}
	}
	slices.SortFunc(r.open, func(a, b journal.Payment) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	r.Cancelled = len(r.open)
	r.ReferencesAbove = max(counts.References, uint64(now.UnixMilli())*ReferencesPerMilli)
	r.Epoch = counts.ReferenceEpoch + 1
	if r.Epoch > journal.ReferenceEpochMax {
		return fmt.Errorf("replica: the journal was restored %d times, and references have no room for another epoch; ask the maintainers", counts.ReferenceEpoch)
	}
	return nil
}

// lostAndFound is what a new file system holds by itself.
const lostAndFound = "lost+found"

// emptyDirectory refuses a directory that holds anything but what an interrupted restore has left.
func emptyDirectory(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return unwritable(path, err)
	}
	_, err = os.Lstat(filepath.Join(path, versionName))
	whole := err == nil
	_, err = os.Lstat(filepath.Join(path, restoringName))
	if interrupted := err == nil && !whole; interrupted {
		return nil
	}
	for _, entry := range entries {
		if name := entry.Name(); name != lostAndFound && name != lockName {
			return fmt.Errorf("%w: %s holds %s; a backup is restored into a new directory: name one that does not exist or is empty, and keep the old one until the bank is well", ErrNotEmpty, path, entry.Name())
		}
	}
	return nil
}
