package ledger

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// FileName is the name of the ledger's one file in its directory.
const FileName = "ledger.log"

// Bounds of the file.
const (
	frameMax    = 1 << 20 // bytes of records in one frame, which is one group commit
	frameHeader = 4 + 4 + 4 + 8
	fileHeader  = 16
	fileVersion = 1
)

var (
	fileMagic  = [...]byte{'n', 'e', 't', 'b', 'a', 'n', 'k', '-', 'l', 'e', 'd', 'g', 'e', 'r', '\n'}
	frameMagic = [...]byte{'N', 'B', 'L', 'F'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

var (
	// ErrDamaged says that a frame is bad although good ones follow it, which no crash of this program can leave.
	ErrDamaged = errors.New("ledger: ledger.log is damaged in its middle; restore it from a backup, or start with an empty directory")
	// ErrNotALedger says that the file is something else, or of a newer version.
	ErrNotALedger = errors.New("ledger: ledger.log is no ledger of this version; point the core at another directory, or use the newer netbank-lab that wrote it")
)

// sealFrame completes a frame whose first frameHeader bytes are still empty.
func sealFrame(frame []byte, first uint64) {
	copy(frame, frameMagic[:])
	binary.LittleEndian.PutUint32(frame[4:], uint32(len(frame)-frameHeader))
	binary.LittleEndian.PutUint64(frame[12:], first)
	binary.LittleEndian.PutUint32(frame[8:], frameSum(frame))
}

func frameSum(frame []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, frame[4:8]), castagnoli, frame[12:])
}

// scan is what reading a file came to.
type scan struct {
	good    int64  // bytes of header and whole frames
	torn    int64  // bytes behind them that are no whole frame
	records uint64 // in the whole frames
}

// scanLog reads a log from its beginning and hands over every record. A last frame that was cut short ends it without an
// error: scan.torn says how long it was. The tail of a log that is being written looks the same.
func scanLog(r io.Reader, each func(*Record) error) (scan, error) {
	var s scan
	in := bufio.NewReaderSize(r, frameHeader+frameMax)
	header, err := in.Peek(fileHeader)
	if len(header) == 0 && err == io.EOF {
		return s, nil
	}
	if len(header) < fileHeader && bytes.HasPrefix(append(fileMagic[:], fileVersion), header) {
		s.torn = int64(len(header)) // killed while the file was made
		return s, nil
	}
	if len(header) < fileHeader || !bytes.Equal(header[:len(fileMagic)], fileMagic[:]) || header[fileHeader-1] != fileVersion {
		return s, ErrNotALedger
	}
	in.Discard(fileHeader)
	s.good = fileHeader
	for {
		frame, err := nextFrame(in, s.records)
		if err != nil {
			return s, err
		}
		if frame == nil {
			s.torn, err = tornTail(in, s.good)
			return s, err
		}
		var record Record
		for rest := frame[frameHeader:]; len(rest) > 0; s.records++ {
			if rest, err = parseRecord(rest, &record); err != nil {
				return s, fmt.Errorf("%w (record %d: %w)", ErrDamaged, s.records, err)
			}
			if err := each(&record); err != nil {
				return s, err
			}
		}
		s.good += int64(len(frame))
		in.Discard(len(frame))
	}
}

// nextFrame gives the whole frame that comes next, valid until the reader moves, or nil if none does.
func nextFrame(in *bufio.Reader, first uint64) ([]byte, error) {
	header, err := in.Peek(frameHeader)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	if len(header) < frameHeader || !plausible(header) || binary.LittleEndian.Uint64(header[12:]) != first {
		return nil, nil
	}
	frame, err := in.Peek(frameHeader + int(binary.LittleEndian.Uint32(header[4:])))
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	if err == io.EOF || frameSum(frame) != binary.LittleEndian.Uint32(frame[8:]) {
		return nil, nil
	}
	return frame, nil
}

func plausible(header []byte) bool {
	n := binary.LittleEndian.Uint32(header[4:])
	return bytes.Equal(header[:4], frameMagic[:]) && n > 0 && n <= frameMax
}

// tornTail measures what stands behind the last whole frame. One write is under way at a time, so a crash leaves less
// than one frame; if there is more, or a whole frame in it, what was acknowledged would be lost by cutting it off.
func tornTail(in *bufio.Reader, at int64) (int64, error) {
	tail, err := io.ReadAll(io.LimitReader(in, frameHeader+frameMax+1))
	if err != nil {
		return 0, fmt.Errorf("ledger: %w", err)
	}
	if len(tail) > frameHeader+frameMax {
		return 0, fmt.Errorf("%w (behind byte %d)", ErrDamaged, at)
	}
	for i := 1; i+frameHeader <= len(tail); i++ {
		next := bytes.Index(tail[i:], frameMagic[:])
		if next < 0 || i+next+frameHeader > len(tail) {
			break
		}
		i += next
		end := i + frameHeader + int(binary.LittleEndian.Uint32(tail[i+4:]))
		if plausible(tail[i:]) && end <= len(tail) && frameSum(tail[i:end]) == binary.LittleEndian.Uint32(tail[i+8:]) {
			return 0, fmt.Errorf("%w (behind byte %d)", ErrDamaged, at)
		}
	}
	return int64(len(tail)), nil
}

// openLog opens or makes the log of dir, replays it, cuts off a torn tail, and stands at its end.
func openLog(dir string, each func(*Record) error) (*os.File, scan, error) {
	path := filepath.Join(dir, FileName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, scan{}, fmt.Errorf("ledger: %w", err)
	}
	s, err := scanLog(f, each)
	if err == nil {
		err = settleLog(f, dir, &s)
	}
	if err != nil {
		f.Close()
		return nil, s, err
	}
	return f, s, nil
}

func settleLog(f *os.File, dir string, s *scan) error {
	if s.torn > 0 {
		if err := f.Truncate(s.good); err != nil {
			return fmt.Errorf("ledger: cutting off a torn tail: %w", err)
		}
	}
	if _, err := f.Seek(s.good, io.SeekStart); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if s.good == 0 {
		if _, err := f.Write(append(fileMagic[:], fileVersion)); err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
		s.good = fileHeader
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return syncDirectory(dir)
}

// syncDirectory makes the file's name durable, not only its contents.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}
