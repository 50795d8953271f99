package breached

import (
	"bytes"
	"crypto/sha1"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
)

const (
	headerFormat = "netbank breached 1 %018d\n"
	headerSize   = len("netbank breached 1 ") + 18 + 1
	entrySize    = 8
	// EntriesMax bounds the entries of a file: 80 GB of them.
	EntriesMax = 10_000_000_000
)

// ErrFormat is found in the error about a file that is none of these, or not whole.
var ErrFormat = errors.New("breached: not a whole file of this format; make it anew with 'netbank breached build'")

// common is made of Django's list of common passwords, whose author is Royce Williams, with 'netbank breached build --plain': those of at least
// eight characters, in lower case.
//
//go:embed common.breached
var common []byte

// Common is the list that is part of the program. Upper and lower case are the same to it. An error means that the program was built from a
// broken file.
func Common() (*File, error) {
	f, err := newFile(bytes.NewReader(common), int64(len(common)))
	if err != nil {
		return nil, err
	}
	f.fold = true
	return f, nil
}

// File is a list on disk. It is safe for concurrent use.
type File struct {
	entries io.ReaderAt
	count   int
	fold    bool // it holds lower case only
	close   func() error
}

// Open opens a file that Build has made. It must not be written to while it is open; another one may be put in its place.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("breached: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("breached: %w", err)
	}
	list, err := newFile(f, info.Size())
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	list.close = f.Close
	return list, nil
}

func newFile(r io.ReaderAt, size int64) (*File, error) {
	header := make([]byte, headerSize)
	if _, err := r.ReadAt(header, 0); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	var count int64
	if _, err := fmt.Sscanf(string(header), headerFormat, &count); err != nil || fmt.Sprintf(headerFormat, count) != string(header) ||
		count < 0 || count > EntriesMax || size != int64(headerSize)+count*entrySize {
		return nil, ErrFormat
	}
	return &File{entries: io.NewSectionReader(r, int64(headerSize), count*entrySize), count: int(count)}, nil
}

// Count is the number of entries.
func (f *File) Count() int { return f.count }

// Listed reports whether a password is in the list. An error says that the disk could not be read.
func (f *File) Listed(password string) (bool, error) {
	if f.fold {
		password = strings.ToLower(password)
	}
	var failed error
	want := entryOf(password)
	at := func(i int) uint64 {
		var b [entrySize]byte
		if _, err := f.entries.ReadAt(b[:], int64(i)*entrySize); err != nil {
			failed = err
		}
		return binary.BigEndian.Uint64(b[:])
	}
	i := sort.Search(f.count, func(i int) bool { return at(i) >= want })
	found := i < f.count && at(i) == want
	if failed != nil {
		return false, fmt.Errorf("breached: %w", failed)
	}
	return found, nil
}

// Close closes the file.
func (f *File) Close() error {
	if f.close == nil {
		return nil
	}
	return f.close()
}

func entryOf(password string) uint64 {
	sum := sha1.Sum([]byte(password))
	return binary.BigEndian.Uint64(sum[:])
}
