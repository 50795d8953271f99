package replica

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// What is needed of raft-wal's segment format: a header of 32 bytes, then frames of 8 bytes and a payload padded to 8.
// A frame's type stands in its first byte, the payload's length, or a commit's CRC-32C over everything since the
// commit before, in its last four (little-endian).
const (
	segmentHead = 32
	frameHead   = 8
)

// repairLog finishes or undoes what a crash has left half done in the newest segment of the log. raft-wal v0.4.1 writes
// a full segment's index with its last entries, and only then notes in its metadata that the segment is sealed and
// which one comes next. After a crash in between it takes the segment for sealed and for the one to append to,
// and refuses every append for ever ("segment is sealed"). The same happens when the last write, with the index in it,
// reached the disk in part. So:
//
//   - a seal that is whole is noted in the metadata, as raft-wal would have done;
//   - what lies behind the last whole commit was never acknowledged, and is cut off.
func repairLog(dir string) (repaired string, err error) {
	if _, err := os.Stat(filepath.Join(dir, metadb.FileName)); errors.Is(err, fs.ErrNotExist) {
		return "", nil // a new log
	}
	var meta metadb.BoltMetaDB
	state, err := meta.Load(dir)
	if err != nil {
		return "", errors.Join(err, meta.Close())
	}
	defer func() { err = errors.Join(err, meta.Close()) }()
	if len(state.Segments) == 0 {
		return "", nil
	}
	tail := &state.Segments[len(state.Segments)-1]
	if !tail.SealTime.IsZero() {
		return "", nil
	}
	f, err := os.OpenFile(filepath.Join(dir, segment.FileName(*tail)), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil // raft-wal makes it
	}
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	found, err := scanSegment(f)
	if err != nil {
		return "", err
	}
	if found.torn {
		if err := cutBehind(f, found.end); err != nil {
			return "", err
		}
		repaired = "an unfinished write was cut off"
	}
	if found.index == 0 || found.entries == 0 {
		return repaired, nil
	}
	now := time.Now()
	tail.SealTime, tail.IndexStart, tail.MaxIndex = now, uint64(found.index), tail.BaseIndex+found.entries-1
	state.Segments = append(state.Segments, types.SegmentInfo{
		ID: state.NextSegmentID, BaseIndex: tail.MaxIndex + 1, MinIndex: tail.MaxIndex + 1,
		Codec: tail.Codec, CreateTime: now, SizeLimit: tail.SizeLimit,
	})
	state.NextSegmentID++
	return "the change to a new segment was finished", meta.CommitState(state)
}

// scan is what a segment holds up to its last whole commit.
type scan struct {
	end     int64  // of the last whole commit
	entries uint64 // up to there
	index   int64  // where the content of the index begins, if it is up to there
	torn    bool   // something lies behind it
}

// scanSegment reads through the frames of a segment. Like raft-wal it checks the last commit only: earlier ones were
// synchronised before the next was written.
func scanSegment(f *os.File) (scan, error) {
	info, err := f.Stat()
	if err != nil {
		return scan{}, err
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f, segmentHead, max(0, info.Size()-segmentHead)), 1<<20)
	var now, last, before scan // the frames so far; up to the last commit; up to the one before
	now.end = segmentHead
	var sum uint32
	for {
		head, err := r.Peek(frameHead)
		if err != nil || !whole(head) {
			now.torn = err == nil && binary.LittleEndian.Uint64(head) != 0
			break
		}
		kind, size := head[0], int64(binary.LittleEndian.Uint32(head[4:]))
		switch kind {
		case segment.FrameEntry:
			now.entries++
		case segment.FrameIndex:
			now.index = now.end + frameHead
		case segment.FrameCommit:
			sum, size = uint32(size), 0
		}
		frame := frameHead + (size+frameHead-1)/frameHead*frameHead
		if n, err := io.CopyN(io.Discard, r, frame); err != nil {
			if n < frame && !errors.Is(err, io.EOF) {
				return scan{}, err
			}
			now.torn = true
			break
		}
		now.end += frame
		if kind == segment.FrameCommit {
			before, last = last, now
		}
	}
	return wholeCommit(f, sum, now, last, before)
}

// whole tells whether a frame's head is one that raft-wal writes.
func whole(head []byte) bool {
	kind := head[0]
	return head[1]|head[2]|head[3] == 0 && (kind == segment.FrameEntry || kind == segment.FrameIndex || kind == segment.FrameCommit)
}

// wholeCommit chooses the last commit, or the one before if the last is not whole.
func wholeCommit(f *os.File, sum uint32, now, last, before scan) (scan, error) {
	if last.end > 0 {
		start := before.end // 0: the first commit covers the segment's head too
		got := crc32.New(castagnoli)
		if _, err := io.Copy(got, io.NewSectionReader(f, start, last.end-frameHead-start)); err != nil {
			return scan{}, err
		}
		if got.Sum32() != sum {
			now.torn, last = true, before
		}
	}
	last.torn = now.torn || now.end > max(last.end, segmentHead)
	return last, nil
}

// cutBehind makes everything behind end zero, as in a segment that was just made.
func cutBehind(f *os.File, end int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := f.Truncate(end); err != nil {
		return fmt.Errorf("cut %s at %d: %w", f.Name(), end, err)
	}
	if err := f.Truncate(info.Size()); err != nil {
		return fmt.Errorf("cut %s at %d: %w", f.Name(), end, err)
	}
	return f.Sync()
}
