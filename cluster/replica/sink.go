package replica

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/raft"

	"netbank/cluster/journal"
)

// sink is a snapshot being made: from this node's state by adopt, or from another's stream by Write. It becomes a
// snapshot by one rename, when everything in it is durable.
type sink struct {
	to       *snapshots
	dir      string
	manifest manifest
	pipe     *io.PipeWriter
	received chan error
	ended    bool
	result   error
}

var _ raft.SnapshotSink = (*sink)(nil)

// ID implements raft.SnapshotSink.
func (s *sink) ID() string { return s.manifest.Meta.ID }

// Write implements raft.SnapshotSink: it takes the next piece of a stream.
func (s *sink) Write(p []byte) (int, error) {
	if s.ended {
		return 0, errors.New("replica: the snapshot is closed")
	}
	if s.pipe == nil {
		from, to := io.Pipe()
		s.pipe, s.received = to, make(chan error, 1)
		s.manifest.Streamed = true
		go func() {
			files, err := readStream(from, s.dir, s.to.sync)
			from.CloseWithError(err)
			s.manifest.Files = files
			s.received <- err
			if errors.Is(err, errReceive) {
				s.to.failed(err)
			}
		}()
	}
	return s.pipe.Write(p)
}

// adopt takes the state machine's copy and the checkpoint directory, which is moved.
func (s *sink) adopt(live *journal.Live, checkpoint string) error {
	if err := writeLive(filepath.Join(s.dir, liveName), live); err != nil {
		return fmt.Errorf("replica: write the live set: %w", err)
	}
	if err := os.Rename(checkpoint, filepath.Join(s.dir, pebbleName)); err != nil {
		return fmt.Errorf("replica: take the checkpoint: %w", err)
	}
	files, err := s.listFiles()
	if err != nil {
		return fmt.Errorf("replica: list the checkpoint: %w", err)
	}
	s.manifest.Files = files
	return nil
}

func writeLive(path string, live *journal.Live) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	_, err = live.WriteTo(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// listFiles sums the files, live first and the others by name. It also makes those durable that Pebble has not.
func (s *sink) listFiles() ([]file, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, pebbleName))
	if err != nil {
		return nil, err
	}
	names := []string{liveName}
	for _, entry := range entries {
		names = append(names, checkpointDir+entry.Name())
	}
	if len(names) > SnapshotFilesMax {
		return nil, fmt.Errorf("%d files, the limit is %d", len(names), SnapshotFilesMax)
	}
	files := make([]file, 0, len(names))
	for _, name := range names {
		f, err := s.listFile(name)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

func (s *sink) listFile(name string) (file, error) {
	f := file{Name: name}
	if err := checkName(name); err != nil {
		return f, err
	}
	path := filepath.Join(s.dir, filepath.FromSlash(name))
	info, err := os.Stat(path)
	if err != nil {
		return f, err
	}
	f.Size = info.Size()
	if f.Size > SnapshotFileBytesMax {
		return f, fmt.Errorf("%s has %d bytes, the limit is %d", name, f.Size, int64(SnapshotFileBytesMax))
	}
	if crc, ok := s.to.known(f, info); ok {
		f.CRC = crc
		return f, nil
	}
	if err := syncFile(path); err != nil {
		return f, err
	}
	f.CRC, err = sumFile(s.dir, f)
	return f, err
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Close implements raft.SnapshotSink: it makes the snapshot durable and lists it.
func (s *sink) Close() error {
	if s.ended {
		return s.result
	}
	s.ended = true
	s.result = s.finish()
	if s.result != nil {
		os.RemoveAll(s.dir)
	}
	if s.result != nil && s.pipe != nil && !errors.Is(s.result, errStream) {
		s.to.failed(s.result)
	}
	return s.result
}

func (s *sink) finish() error {
	if s.pipe != nil {
		s.pipe.Close()
		if err := <-s.received; err != nil {
			return err
		}
	}
	if len(s.manifest.Files) == 0 {
		return errors.New("replica: the snapshot is empty")
	}
	s.manifest.Meta.Size = streamSize(s.manifest.Files)
	text, err := s.manifest.encode()
	if err != nil {
		return fmt.Errorf("replica: write the manifest: %w", err)
	}
	if err := syncDirectory(filepath.Join(s.dir, pebbleName)); err != nil {
		return fmt.Errorf("replica: write the snapshot: %w", err)
	}
	if err := writeWhole(s.dir, manifestName, text); err != nil {
		return fmt.Errorf("replica: write the manifest: %w", err)
	}
	if err := os.Rename(s.dir, strings.TrimSuffix(s.dir, unfinished)); err != nil {
		return fmt.Errorf("replica: finish the snapshot: %w", err)
	}
	if err := syncDirectory(s.to.path); err != nil {
		return fmt.Errorf("replica: finish the snapshot: %w", err)
	}
	return s.to.add(s.manifest)
}

// Cancel implements raft.SnapshotSink.
func (s *sink) Cancel() error {
	if s.ended {
		return nil
	}
	s.ended = true
	s.result = errors.New("replica: the snapshot was cancelled")
	if s.pipe != nil {
		s.pipe.CloseWithError(s.result)
		<-s.received
	}
	return os.RemoveAll(s.dir)
}
