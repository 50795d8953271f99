package replica

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"strings"

	"netbank/cluster/journal"
)

// A backup is one file:
//
//	head     "netbank\x00backup\x00"  version (2 bytes)  length of the header (4)  header (JSON)  CRC-32C of all before (4)
//	stream   a snapshot as it travels between nodes (stream.go)
//	trailer  SHA-256 of all before (32)
//
// Numbers are big-endian. Nothing may follow the trailer, so that a file that was cut off, and one to which something was
// added, both fail. The key-encryption key is not in it: what the journal keeps sealed is sealed in the backup.
const (
	backupMagic = "netbank\x00backup\x00"
	// BackupVersion is the version of the backups that this program writes, and the newest that it reads.
	BackupVersion = 1
	// BackupHeaderBytesMax is the length of a backup's header.
	BackupHeaderBytesMax = 4096
	// BackupTextBytesMax is the length of each text in a backup's header.
	BackupTextBytesMax = 128

	backupHeadBytes = len(backupMagic) + 2 + 4
)

// Errors of backups.
var (
	// ErrBackup says that a file is not a whole backup. The text says where it fails and why.
	ErrBackup = errors.New("replica: the backup is damaged or not whole")
	// ErrBackupNewer says that a backup was written in a format that this program does not know.
	ErrBackupNewer = errors.New("replica: the backup was written by a newer netbank")
	// ErrBackupRuns says that this node is writing a backup already.
	ErrBackupRuns = errors.New("replica: a backup of this node is under way already")
	// ErrNoJournal says that there is nothing to back up yet.
	ErrNoJournal = errors.New("replica: the journal is empty")
)

// BackupHeader says what a backup holds. Nothing in it is secret.
type BackupHeader struct {
	Cluster string         `json:"cluster,omitempty"` // empty: of a node alone that has no cluster id
	Node    journal.NodeID `json:"node"`              // that wrote it
	Index   uint64         `json:"index"`             // the last entry that is in it
	Term    uint64         `json:"term"`              // of that entry
	// Stamp is the journal's time when the backup was asked for. Everything up to then is in it, and perhaps some more.
	Stamp journal.Millis `json:"stampMs"`
	// Taken is the time by the clock of the machine that wrote it.
	Taken journal.Millis `json:"takenMs"`
	// StreamBytes is the length of the snapshot's stream.
	StreamBytes int64 `json:"streamBytes"`
	// KEK is the id of the key-encryption key (kek.Key.ID) without which the secrets in it do not open. Empty: not known.
	KEK string `json:"kekId,omitempty"`
	// Writer is the program that wrote it.
	Writer string `json:"writer,omitempty"`
}

// check refuses what no backup can be.
func (h BackupHeader) check() error {
	switch {
	case h.Cluster != "" && !plainID(h.Cluster):
		return fmt.Errorf("%.80q is no cluster id", h.Cluster)
	case h.Node == 0 || h.Index == 0 || h.Term == 0:
		return fmt.Errorf("node %d, entry %d and term %d are counted from 1", h.Node, h.Index, h.Term)
	case h.Stamp < 0 || h.Taken < 0:
		return fmt.Errorf("the times %d and %d are before 1970", h.Stamp, h.Taken)
	case h.StreamBytes <= 0 || h.StreamBytes > streamBytesMax:
		return fmt.Errorf("a snapshot of %d bytes; the limits are 1 and %d", h.StreamBytes, int64(streamBytesMax))
	}
	for _, text := range []string{h.KEK, h.Writer} {
		if len(text) > BackupTextBytesMax || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("the text %.80q is longer than %d bytes or holds control characters", text, BackupTextBytesMax)
		}
	}
	return nil
}

// streamBytesMax is the longest stream: the files, and their frames.
const streamBytesMax = SnapshotStreamBytesMax + SnapshotFilesMax*(2+255+8+4) + 64

// encode gives the head of a backup file.
func (h BackupHeader) encode() ([]byte, error) {
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("replica: write a backup's header: %w", err)
	}
	text, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("replica: write a backup's header: %w", err)
	}
	head := binary.BigEndian.AppendUint16([]byte(backupMagic), BackupVersion)
	head = binary.BigEndian.AppendUint32(head, uint32(len(text)))
	head = append(head, text...)
	return binary.BigEndian.AppendUint32(head, crc32.Checksum(head, castagnoli)), nil
}

// Bytes is the length of the whole backup.
func (h BackupHeader) Bytes() int64 {
	head, err := h.encode()
	if err != nil {
		return 0
	}
	return int64(len(head)) + h.StreamBytes + sha256.Size
}

// CheckBackup reads a backup to its end and compares every checksum. It keeps nothing. The error is ErrBackup, ErrBackupNewer, or what
// reading gave.
func CheckBackup(from io.Reader) (BackupHeader, error) {
	seen := make(names)
	header, _, err := readBackup(from, func(f file) (target, error) { return ignored{}, seen.once(f) })
	return header, err
}

// ReadBackupHeader reads what a backup says of itself, and no further. The errors are those of CheckBackup.
func ReadBackupHeader(from io.Reader) (BackupHeader, error) {
	return (&backupReader{from: from, sum: sha256.New()}).header()
}

// names holds the names of a stream whose files are not written, where nothing else would find one that comes twice.
type names map[string]bool

func (n names) once(f file) error {
	if n[f.Name] {
		return fmt.Errorf("%w: %s comes twice", errStream, f.Name)
	}
	n[f.Name] = true
	return nil
}

// ignored is the target of a file that is only looked at.
type ignored struct{}

func (ignored) Write(p []byte) (int, error) { return len(p), nil }
func (ignored) keep() error                 { return nil }
func (ignored) Close() error                { return nil }

// readBackup reads a backup to its end, and gives each file of the snapshot to the target that create makes. What the
// targets got is to be used only when there was no error.
func readBackup(from io.Reader, create func(file) (target, error)) (BackupHeader, []file, error) {
	r := &backupReader{from: from, sum: sha256.New()}
	header, err := r.header()
	if err != nil {
		return header, nil, err
	}
	began := r.at
	frames := bufio.NewReaderSize(io.LimitReader(r, header.StreamBytes), 256<<10)
	files, err := readFrames(frames, create)
	if err != nil {
		return header, nil, r.failed(err, r.at-int64(frames.Buffered()), began+header.StreamBytes+sha256.Size)
	}
	want := r.sum.Sum(nil)
	var trailer [sha256.Size]byte
	if err := r.full(trailer[:]); err != nil {
		return header, nil, err
	}
	if !bytes.Equal(trailer[:], want) {
		return header, nil, fmt.Errorf("%w: the SHA-256 of the %d bytes before it does not fit", ErrBackup, r.at-sha256.Size)
	}
	switch n, err := io.ReadFull(r.from, make([]byte, 1)); {
	case n > 0:
		return header, nil, fmt.Errorf("%w: something follows its end at byte %d", ErrBackup, r.at)
	case err != io.EOF:
		return header, nil, fmt.Errorf("replica: read the backup: %w", err)
	}
	return header, files, nil
}

// backupReader counts and sums what it reads, and remembers a reader that failed by itself.
type backupReader struct {
	from io.Reader
	sum  hash.Hash
	at   int64
	err  error
}

// Read implements io.Reader.
func (r *backupReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.sum.Write(p[:n])
	r.at += int64(n)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

func (r *backupReader) full(p []byte) error {
	if _, err := io.ReadFull(r, p); err != nil {
		return r.failed(err, r.at, 0)
	}
	return nil
}

// failed says where and why reading ended. whole is the length that the header promises; 0 when it is not known.
func (r *backupReader) failed(err error, at, whole int64) error {
	var promised string
	if whole > 0 {
		promised = fmt.Sprintf(" of %d", whole)
	}
	switch {
	case r.err != nil:
		return fmt.Errorf("replica: read the backup at byte %d%s: %w", at, promised, r.err)
	case errors.Is(err, errReceive):
		return err
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it ends at byte %d%s", ErrBackup, r.at, promised)
	}
	return fmt.Errorf("%w: at byte %d%s: %w", ErrBackup, at, promised, err)
}

func (r *backupReader) header() (h BackupHeader, err error) {
	head := make([]byte, backupHeadBytes, backupHeadBytes+BackupHeaderBytesMax)
	if err := r.full(head); err != nil {
		return h, err
	}
	if string(head[:len(backupMagic)]) != backupMagic {
		return h, fmt.Errorf("%w: it does not begin as one; name a file that `netbank backup` has written", ErrBackup)
	}
	version, length := binary.BigEndian.Uint16(head[len(backupMagic):]), binary.BigEndian.Uint32(head[len(backupMagic)+2:])
	if version > BackupVersion {
		return h, fmt.Errorf("%w: it has format %d, this program knows up to %d; run the version of netbank that wrote it, or a later one", ErrBackupNewer, version, BackupVersion)
	}
	if version == 0 || length == 0 || length > BackupHeaderBytesMax {
		return h, fmt.Errorf("%w: its head, bytes 0 to %d, names format %d and a header of %d bytes; the limit is %d", ErrBackup, backupHeadBytes, version, length, BackupHeaderBytesMax)
	}
	text := head[backupHeadBytes : backupHeadBytes+int(length)]
	head = head[:backupHeadBytes+int(length)]
	if err := r.full(text); err != nil {
		return h, err
	}
	var crc [4]byte
	if err := r.full(crc[:]); err != nil {
		return h, err
	}
	if binary.BigEndian.Uint32(crc[:]) != crc32.Checksum(head, castagnoli) {
		return h, fmt.Errorf("%w: the checksum of its header, bytes 0 to %d, does not fit", ErrBackup, len(head))
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err = d.Decode(&h)
	if err == nil && d.More() {
		err = errors.New("something follows it")
	}
	if err == nil {
		err = h.check()
	}
	if err != nil {
		return h, fmt.Errorf("%w: its header: %w", ErrBackup, err)
	}
	return h, nil
}
