package replica

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"netbank/cluster/journal"
)

// Format is the format of the data directory that this program writes, and the newest that it reads.
const Format = 1

const (
	lockName      = "LOCK"
	versionName   = "version"
	logName       = "log"
	snapshotsName = "snapshots"
	stateName     = "state"
	versionBytes  = 256 // more than any version file holds
)

// directory is a data directory that this process has for itself.
type directory struct {
	path string
	lock *os.File
}

// openDirectory makes or checks the data directory, and locks it.
func openDirectory(path string, node journal.NodeID) (*directory, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnwritable, err)
	}
	if err := makeDirectory(path); err != nil {
		return nil, unwritable(path, err)
	}
	lock, err := lockDirectory(path)
	if err != nil {
		return nil, err
	}
	d := &directory{path: path, lock: lock}
	if err := d.prepare(node); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *directory) prepare(node journal.NodeID) error {
	if err := checkVersion(d.path, node); err != nil {
		return err
	}
	for _, name := range []string{logName, snapshotsName} {
		if err := makeDirectory(filepath.Join(d.path, name)); err != nil {
			return unwritable(d.path, err)
		}
	}
	// The working directory is made anew from the snapshot; what it holds belongs to a process that has ended.
	if err := os.RemoveAll(filepath.Join(d.path, stateName)); err != nil {
		return unwritable(d.path, err)
	}
	if err := os.Mkdir(filepath.Join(d.path, stateName), 0o700); err != nil {
		return unwritable(d.path, err)
	}
	return nil
}

func (d *directory) snapshots() string { return filepath.Join(d.path, snapshotsName) }

func (d *directory) close() error { return d.lock.Close() }

func unwritable(path string, err error) error {
	return fmt.Errorf("%w: %s: %w; check that the path is a directory on a disk with free space and that this user may write it, or name another one", ErrUnwritable, path, err)
}

func lockDirectory(path string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unwritable(path, err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder, _ := io.ReadAll(io.LimitReader(f, 20))
		f.Close()
		return nil, fmt.Errorf("%w: %s is open in process %s; stop that process, or name another directory", ErrLocked, path, bytes.TrimSpace(holder))
	}
	if err != nil {
		f.Close()
		return nil, unwritable(path, fmt.Errorf("flock: %w", err))
	}
	// The pid helps a person; the lock itself goes with the process.
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, unwritable(path, err)
	}
	return f, nil
}

// checkVersion reads the version file, or writes it into a directory that holds no journal yet.
func checkVersion(path string, node journal.NodeID) error {
	name := filepath.Join(path, versionName)
	text, err := readSmall(name, versionBytes)
	if errors.Is(err, fs.ErrNotExist) {
		for _, part := range []string{logName, snapshotsName} {
			if _, err := os.Lstat(filepath.Join(path, part)); err == nil {
				return fmt.Errorf("%w: %s holds %s/ but no version file; restore the directory as a whole from a backup", ErrDamaged, path, part)
			}
		}
		if err := writeWhole(path, versionName, fmt.Appendf(nil, "netbank data %d node %d\n", Format, node)); err != nil {
			return unwritable(path, err)
		}
		return nil
	}
	if err != nil {
		return unwritable(path, err)
	}
	format, owner, err := parseVersion(string(text))
	if err != nil {
		return fmt.Errorf("%w: %s: %w; restore the directory as a whole from a backup", ErrDamaged, name, err)
	}
	if format > Format {
		return fmt.Errorf("%w: %s has format %d, this program knows up to %d; run the version of netbank that wrote it, or a later one", ErrNewer, path, format, Format)
	}
	if owner != node {
		return fmt.Errorf("%w: %s belongs to node %d, this is node %d; name this node's own directory", ErrOtherNode, path, owner, node)
	}
	return nil
}

// parseVersion reads "netbank data 1 node 1". A newer format may add anything behind its number.
func parseVersion(text string) (format uint32, node journal.NodeID, err error) {
	line, _, _ := strings.Cut(text, "\n")
	if n, _ := fmt.Sscanf(line, "netbank data %d node %d", &format, &node); n == 0 || format == 0 || (n == 1 && format <= Format) {
		return 0, 0, fmt.Errorf("%q is not of the form \"netbank data 1 node 1\"", line)
	}
	return format, node, nil
}

func readSmall(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return text, err
}

// writeWhole writes a file so that a crash leaves either all of it or none.
func writeWhole(dir, name string, content []byte) error {
	temporary := filepath.Join(dir, name+unfinished)
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, filepath.Join(dir, name)); err != nil {
		return err
	}
	return syncDirectory(dir)
}

// makeDirectory makes path and what is missing above it, durably.
func makeDirectory(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		return &fs.PathError{Op: "mkdir", Path: path, Err: syscall.ENOTDIR}
	}
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(path)
	if err := makeDirectory(parent); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDirectory(parent)
}

// syncDirectory makes names made, changed or removed in a directory durable.
func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
