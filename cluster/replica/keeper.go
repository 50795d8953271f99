package replica

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// snapshotRetry is how long a failed snapshot rests before the next is tried. The log keeps everything meanwhile.
const snapshotRetry = 30 * time.Second

// openSnapshots chooses the snapshot to start from, and makes sure that it and the log join without a hole.
func (r *Replica) openSnapshots() error {
	path := r.directory.path
	s, unreadable, err := openSnapshots(r.directory.snapshots(), r.cfg.Logger)
	if err != nil {
		return err
	}
	r.snapshots = s
	s.failed = func(err error) {
		r.fuse.report(fmt.Errorf("replica: a snapshot from another node could not be kept under %s: %w; free or replace the disk, then start this node again: it goes on from the newest state that it has whole", s.path, err))
	}
	first, err := r.disk.FirstIndex()
	if err != nil {
		return fmt.Errorf("replica: read the log: %w", err)
	}
	last, err := r.disk.LastIndex()
	if err != nil {
		return fmt.Errorf("replica: read the log: %w", err)
	}
	damaged := unreadable
	for len(s.kept) > 0 {
		newest := s.kept[0]
		err := s.verify(newest)
		if err == nil {
			s.verified = newest.Meta.ID
			break
		}
		r.cfg.Logger.Error("the newest snapshot is damaged; the one before it and the log are used if they reach", "snapshot", newest.Meta.ID, "error", err)
		damaged = append(damaged, newest)
		s.kept = s.kept[1:]
	}
	from := s.newest()
	for _, d := range damaged {
		// What a damaged snapshot covered must be in the log, from the snapshot that is left to the damaged one's end.
		if d.Meta.Index > from && (last < d.Meta.Index || first > from+1) {
			return fmt.Errorf("%w: snapshot %s under %s is damaged, and without it entries %d to %d are missing; %s",
				ErrDamaged, d.Meta.ID, path, from+1, missingEnd(first, last, d.Meta.Index), remedy)
		}
	}
	for _, d := range damaged {
		if err := s.setAside(d.Meta.ID); err != nil {
			return unwritable(path, err)
		}
	}
	return r.joinLog(first, last, from)
}

func missingEnd(first, last, covered uint64) uint64 {
	if last < covered {
		return covered
	}
	return first - 1
}

// joinLog empties a log that ends before the snapshot. Only a snapshot from another node can lead to that, by a crash
// before Raft emptied the log itself. raft-wal takes entries without gaps only, and would refuse the next one for
// ever.
func (r *Replica) joinLog(first, last, from uint64) error {
	if last > 0 && first > from+1 {
		return fmt.Errorf("%w: the newest snapshot under %s ends at entry %d, but the log begins at entry %d; %s", ErrDamaged, r.directory.path, from, first, remedy)
	}
	if last == 0 || last >= from {
		return nil
	}
	r.cfg.Logger.Warn("the newest snapshot lies past the log's end; the log is emptied", "snapshot", from, "first", first, "last", last)
	if err := r.disk.DeleteRange(first, last); err != nil {
		return unwritable(r.directory.path, err)
	}
	return nil
}

// grown asks for a snapshot when enough log was written.
func (r *Replica) grown(bytes int64) {
	if bytes < r.cfg.SnapshotBytes {
		return
	}
	select {
	case r.due <- struct{}{}:
	default:
	}
}

func (r *Replica) keepSnapshots() {
	for {
		select {
		case <-r.stop:
			return
		case <-r.due:
		}
		if r.machine.bytes.Load() < r.cfg.SnapshotBytes {
			continue // one was taken meanwhile
		}
		if err := r.Snapshot(); err != nil {
			r.cfg.Logger.Error("no snapshot could be taken; the log grows until one can", "error", err, "log_bytes", r.machine.bytes.Load(), "retry_after", snapshotRetry)
			select {
			case <-r.stop:
				return
			case <-time.After(snapshotRetry):
			}
		}
	}
}

// Snapshot takes a snapshot now, unless nothing was applied since the last one. It returns when the snapshot is
// durable.
func (r *Replica) Snapshot() error {
	if r.machine.applied.Load() == r.snapshots.newest() {
		return nil
	}
	began := time.Now()
	r.preflush()
	err := r.raft.Snapshot().Error()
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return nil
	}
	if err != nil {
		r.snapshotFailures.Add(1)
		return fmt.Errorf("replica: take a snapshot: %w", err)
	}
	r.snapshotsTaken.Add(1)
	r.snapshotTook.Store(int64(time.Since(began)))
	return nil
}

// preflush lets Pebble write most of what is in memory before entries have to wait for the rest. It is no loss if
// it does not succeed.
func (r *Replica) preflush() {
	r.machine.mu.RLock()
	done, err := r.machine.store.preflush()
	r.machine.mu.RUnlock()
	if err != nil {
		return
	}
	timer := time.NewTimer(preflushWait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-r.stop:
	}
}
