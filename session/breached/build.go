package breached

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Bounds of what a file is made from.
const (
	// LineBytesMax bounds a line.
	LineBytesMax = 4096
	// PlainMax bounds the passwords of a list that is not hashed: they are sorted in memory, eight bytes each.
	PlainMax = 1 << 24
)

// Build makes a file of a list with one password, or its SHA-1, in each line, and gives the number of entries. What was there under that name is
// replaced once the new one is whole.
//
// Lines of SHA-1 are 40 hexadecimal digits; a count behind a colon, as Have I Been Pwned has it, is not looked at. They must be sorted, and may be
// any number. Passwords (plain) may have any order, and be PlainMax.
func Build(path string, list io.Reader, plain bool) (count int, err error) {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return 0, fmt.Errorf("breached: %w", err)
	}
	b := builder{out: bufio.NewWriterSize(f, 1<<20)}
	_, _ = b.out.WriteString(b.header())
	if plain {
		err = b.passwords(list)
	} else {
		err = b.hashes(list)
	}
	if err == nil {
		err = b.out.Flush()
	}
	if err == nil {
		_, err = f.WriteAt([]byte(b.header()), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		os.Remove(path + ".new")
		return 0, fmt.Errorf("breached: %w", err)
	}
	return b.count, nil
}

type builder struct {
	out   *bufio.Writer
	count int
	last  uint64
}

func (b *builder) header() string { return fmt.Sprintf(headerFormat, b.count) }

// add appends an entry, unless it is the one before again. The writer keeps its error for Flush.
func (b *builder) add(entry uint64) error {
	if b.count > 0 && entry == b.last {
		return nil
	}
	if b.count == EntriesMax {
		return fmt.Errorf("more than %d entries", EntriesMax)
	}
	var eight [entrySize]byte
	binary.BigEndian.PutUint64(eight[:], entry)
	_, _ = b.out.Write(eight[:])
	b.count, b.last = b.count+1, entry
	return nil
}

func (b *builder) hashes(list io.Reader) error {
	return lines(list, func(n int, line string) error {
		digits, _, _ := strings.Cut(line, ":")
		sum, err := hex.DecodeString(digits)
		if err != nil || len(sum) != 20 {
			return fmt.Errorf("line %d is not a SHA-1 of 40 hexadecimal digits; a list of passwords is read with --plain", n)
		}
		entry := binary.BigEndian.Uint64(sum)
		if b.count > 0 && entry < b.last {
			return fmt.Errorf("line %d comes before the one above it; sort the list first: LC_ALL=C sort", n)
		}
		return b.add(entry)
	})
}

func (b *builder) passwords(list io.Reader) error {
	var all []uint64
	err := lines(list, func(_ int, line string) error {
		if len(all) == PlainMax {
			return fmt.Errorf("more than %d passwords; hash them with SHA-1 and sort them, and give that list without --plain", PlainMax)
		}
		all = append(all, entryOf(line))
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(all)
	for _, entry := range all {
		if err := b.add(entry); err != nil {
			return err
		}
	}
	return nil
}

// lines calls f with each line that is not empty and its number.
func lines(list io.Reader, f func(n int, line string) error) error {
	s := bufio.NewScanner(list)
	s.Buffer(make([]byte, LineBytesMax), LineBytesMax)
	n := 0
	for s.Scan() {
		n++
		if line := strings.TrimSuffix(s.Text(), "\r"); line != "" {
			if err := f(n, line); err != nil {
				return err
			}
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("line %d: %w (a line may have %d bytes)", n+1, err, LineBytesMax)
	}
	return nil
}
