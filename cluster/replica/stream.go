package replica

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A snapshot travels between nodes as one stream:
//
//	header  "netbank\x00snapshot\x00"  version (2 bytes)  number of files (4)
//	file    1 (1 byte)  name length (1)  name  size (8)  content  CRC-32C of all before it in this frame (4)
//	...
//	end     2 (1 byte)  CRC-32C of the files' CRCs (4)
//
// Numbers are big-endian. The first file is "live", the copy of the state machine's memory; the others are
// "pebble/<name>", the checkpoint of the store. Nothing may follow the end.
const (
	streamMagic   = "netbank\x00snapshot\x00"
	streamVersion = 1
	frameFile     = 1
	frameEnd      = 2

	liveName      = "live"
	pebbleName    = "pebble"
	checkpointDir = pebbleName + "/"

	// Bounds of a stream and of a finished snapshot.
	SnapshotFilesMax     = 65536
	SnapshotFileBytesMax = 64 << 30
	// SnapshotStreamBytesMax is the sum of the files' sizes in a stream from another node.
	SnapshotStreamBytesMax = 1 << 40
	snapshotNameMax        = 100
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errStream says that a stream is not a whole snapshot: it is worth while to send it again. errReceive says that this
// node's disk did not take it.
var (
	errStream  = errors.New("replica: the snapshot stream is damaged")
	errReceive = errors.New("replica: the snapshot cannot be written")
)

// file is one file of a snapshot. The CRC is that of its frame, so that it stands for name and size too.
type file struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
	CRC  uint32 `json:"crc32c"`
}

// frameHead is what stands before a file's content.
func (f file) frameHead() []byte {
	head := make([]byte, 0, 10+len(f.Name))
	head = append(head, frameFile, byte(len(f.Name)))
	head = append(head, f.Name...)
	return binary.BigEndian.AppendUint64(head, uint64(f.Size))
}

// checkName accepts "live" and "pebble/<name>" with a plain file name, and nothing that could lead elsewhere.
func checkName(name string) error {
	plain, inCheckpoint := strings.CutPrefix(name, checkpointDir)
	if name == liveName {
		return nil
	}
	ok := inCheckpoint && plain != "" && plain[0] != '.' && len(name) <= snapshotNameMax
	for i := 0; i < len(plain); i++ {
		c := plain[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')
	}
	if !ok {
		return fmt.Errorf("%w: %.120q is not a name in a snapshot", errStream, name)
	}
	return nil
}

// streamSize is the length of the stream of these files.
func streamSize(files []file) int64 {
	size := int64(len(streamMagic) + 2 + 4 + 1 + 4)
	for _, f := range files {
		size += int64(len(f.frameHead())) + f.Size + 4
	}
	return size
}

// streamReader reads a finished snapshot as a stream. A CRC is what the manifest says, so the receiver finds what
// the disk has spoilt.
type streamReader struct {
	dir     string
	files   []file
	next    int
	pending []byte        // of a head or a CRC
	open    *os.File      // whose content is being read
	left    int64         // of the content
	buffer  *bufio.Reader // over open
	ended   bool
}

func newStreamReader(dir string, files []file) *streamReader {
	head := append([]byte(streamMagic), 0, 0)
	binary.BigEndian.PutUint16(head[len(streamMagic):], streamVersion)
	head = binary.BigEndian.AppendUint32(head, uint32(len(files)))
	return &streamReader{dir: dir, files: files, pending: head, buffer: bufio.NewReaderSize(nil, 256<<10)}
}

// Read implements io.Reader.
func (r *streamReader) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if len(r.pending) > 0 {
			n := copy(p, r.pending)
			r.pending = r.pending[n:]
			return n, nil
		}
		if r.left > 0 {
			n, err := r.buffer.Read(p[:min(int64(len(p)), r.left)])
			r.left -= int64(n)
			if n == 0 && err == io.EOF {
				err = fmt.Errorf("%w: %s is shorter than its manifest says", errStream, r.files[r.next-1].Name)
			}
			if n > 0 || err != nil {
				return n, err
			}
			continue
		}
		if err := r.advance(); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// advance closes the file that was read and opens the next one.
func (r *streamReader) advance() error {
	if r.ended {
		return io.EOF
	}
	if r.open != nil {
		err := r.open.Close()
		r.open = nil
		r.pending = binary.BigEndian.AppendUint32(nil, r.files[r.next-1].CRC)
		return err
	}
	if r.next == len(r.files) {
		r.ended = true
		r.pending = binary.BigEndian.AppendUint32([]byte{frameEnd}, sumOfSums(r.files))
		return nil
	}
	f := r.files[r.next]
	open, err := os.Open(filepath.Join(r.dir, filepath.FromSlash(f.Name)))
	if err != nil {
		return fmt.Errorf("replica: read a snapshot: %w", err)
	}
	r.next++
	r.open, r.left, r.pending = open, f.Size, f.frameHead()
	r.buffer.Reset(open)
	return nil
}

// Close implements io.Closer.
func (r *streamReader) Close() error {
	if r.open == nil {
		return nil
	}
	err := r.open.Close()
	r.open = nil
	return err
}

func sumOfSums(files []file) uint32 {
	var sums []byte
	for _, f := range files {
		sums = binary.BigEndian.AppendUint32(sums, f.CRC)
	}
	return crc32.Checksum(sums, castagnoli)
}

// readStream writes the files of a stream into dir, each made durable by sync, and lists them. dir must be empty. On
// an error dir is left as it is, for the caller to remove.
func readStream(from io.Reader, dir string, sync func(*os.File) error) ([]file, error) {
	if err := os.Mkdir(filepath.Join(dir, pebbleName), 0o700); err != nil {
		return nil, fmt.Errorf("%w: %w", errReceive, err)
	}
	return readFrames(bufio.NewReaderSize(from, 256<<10), func(f file) (target, error) { return newTargetFile(dir, f, sync) })
}

// target takes one file's content. keep is called when the checksum fits, and Close in any case.
type target interface {
	io.Writer
	keep() error
	Close() error
}

type targetFile struct {
	*os.File
	sync func(*os.File) error
}

func newTargetFile(dir string, f file, sync func(*os.File) error) (target, error) {
	// O_EXCL: a name that comes twice is refused.
	out, err := os.OpenFile(filepath.Join(dir, filepath.FromSlash(f.Name)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: %s comes twice", errStream, f.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errReceive, err)
	}
	return &targetFile{out, sync}, nil
}

func (t *targetFile) keep() error {
	if err := t.sync(t.File); err != nil {
		return fmt.Errorf("%w: %w", errReceive, err)
	}
	return nil
}

// readFrames reads a stream to its end, gives each file to the target that create makes, and lists the files.
func readFrames(from *bufio.Reader, create func(file) (target, error)) ([]file, error) {
	r := &frameReader{from: from, create: create}
	head := make([]byte, len(streamMagic)+6)
	if err := r.full(head); err != nil {
		return nil, err
	}
	if string(head[:len(streamMagic)]) != streamMagic {
		return nil, fmt.Errorf("%w: it does not begin as a snapshot", errStream)
	}
	if v := binary.BigEndian.Uint16(head[len(streamMagic):]); v != streamVersion {
		return nil, fmt.Errorf("%w: it has version %d, this program knows %d; run the same version of netbank on all nodes", errStream, v, streamVersion)
	}
	count := binary.BigEndian.Uint32(head[len(streamMagic)+2:])
	if count == 0 || count > SnapshotFilesMax {
		return nil, fmt.Errorf("%w: it names %d files, the limit is %d", errStream, count, SnapshotFilesMax)
	}
	var files []file
	for range count {
		f, err := r.file(len(files) == 0)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, r.end(files)
}

// frameReader reads frames, and sums what it reads.
type frameReader struct {
	from   *bufio.Reader
	sum    hash.Hash32
	create func(file) (target, error)
	total  int64
}

func (r *frameReader) full(p []byte) error {
	if _, err := io.ReadFull(r.from, p); err != nil {
		return fmt.Errorf("%w: it ends early: %w", errStream, err)
	}
	return nil
}

func (r *frameReader) file(first bool) (file, error) {
	var f file
	r.sum = crc32.New(castagnoli)
	head := make([]byte, 2, 2+255+8)
	if err := r.full(head); err != nil {
		return f, err
	}
	if head[0] != frameFile {
		return f, fmt.Errorf("%w: a file was expected, not frame %d", errStream, head[0])
	}
	head = head[:2+int(head[1])+8]
	if err := r.full(head[2:]); err != nil {
		return f, err
	}
	r.sum.Write(head)
	f.Name = string(head[2 : len(head)-8])
	if err := checkName(f.Name); err != nil {
		return f, err
	}
	if first != (f.Name == liveName) {
		return f, fmt.Errorf("%w: %q is not where it belongs", errStream, f.Name)
	}
	size := binary.BigEndian.Uint64(head[len(head)-8:])
	if size > SnapshotFileBytesMax {
		return f, fmt.Errorf("%w: %s has %d bytes, the limit is %d", errStream, f.Name, size, int64(SnapshotFileBytesMax))
	}
	f.Size = int64(size)
	if r.total += f.Size; r.total > SnapshotStreamBytesMax {
		return f, fmt.Errorf("%w: %d bytes with %s, the limit is %d", errStream, r.total, f.Name, int64(SnapshotStreamBytesMax))
	}
	return r.content(f)
}

func (r *frameReader) content(f file) (file, error) {
	out, err := r.create(f)
	if err != nil {
		return f, err
	}
	defer out.Close()
	n, err := io.CopyN(io.MultiWriter(received{out}, r.sum), r.from, f.Size)
	if errors.Is(err, errReceive) {
		return f, err
	}
	if err != nil {
		return f, fmt.Errorf("%w: %s ends after %d of %d bytes: %w", errStream, f.Name, n, f.Size, err)
	}
	var crc [4]byte
	if err := r.full(crc[:]); err != nil {
		return f, err
	}
	f.CRC = r.sum.Sum32()
	if binary.BigEndian.Uint32(crc[:]) != f.CRC {
		return f, fmt.Errorf("%w: the checksum of %s does not fit", errStream, f.Name)
	}
	return f, out.keep()
}

// received tells what this node's disk refuses from what the stream lacks.
type received struct{ to io.Writer }

func (w received) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", errReceive, err)
	}
	return n, err
}

func (r *frameReader) end(files []file) error {
	var end [5]byte
	if err := r.full(end[:]); err != nil {
		return err
	}
	if end[0] != frameEnd || binary.BigEndian.Uint32(end[1:]) != sumOfSums(files) {
		return fmt.Errorf("%w: its end does not fit", errStream)
	}
	if _, err := r.from.ReadByte(); err != io.EOF {
		return fmt.Errorf("%w: something follows its end", errStream)
	}
	return nil
}

// sumFile computes the CRC of a file on disk as it will stand in its frame.
func sumFile(dir string, f file) (uint32, error) {
	open, err := os.Open(filepath.Join(dir, filepath.FromSlash(f.Name)))
	if err != nil {
		return 0, err
	}
	defer open.Close()
	sum := crc32.New(castagnoli)
	sum.Write(f.frameHead())
	n, err := io.Copy(sum, open)
	if err == nil && n != f.Size {
		err = fmt.Errorf("%s has %d bytes, not %d", f.Name, n, f.Size)
	}
	return sum.Sum32(), err
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// linkOrCopy links where the file system can, which costs no space and no time.
func linkOrCopy(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	return copyFile(from, to)
}
