package replica

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
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
	path     string
	lock     *os.File
	identity identity
}

// identity is whose directory it is, for all time.
type identity struct {
	node    journal.NodeID
	cluster string // empty: of a node alone that never had a cluster id
	// disk is a random number that stands for this very directory: see withDisk. Empty without a cluster id.
	disk string
	// member says that the directory has had a journal.
	member bool
}

// openDirectory makes or checks the data directory, and locks it.
func openDirectory(cfg Config) (*directory, error) {
	path, err := filepath.Abs(cfg.Dir)
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
	if err := d.prepare(cfg); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *directory) prepare(cfg Config) error {
	id, err := checkVersion(d.path, cfg)
	if err != nil {
		return err
	}
	d.identity = id
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

// cannotWrite tells whether the disk took nothing more or let nobody write: nothing is wrong with what lies on it.
func cannotWrite(err error) bool {
	for _, sign := range []error{fs.ErrPermission, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS} {
		if errors.Is(err, sign) {
			return true
		}
	}
	return false
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
func checkVersion(path string, cfg Config) (identity, error) {
	name := filepath.Join(path, versionName)
	text, err := readSmall(name, versionBytes)
	if errors.Is(err, fs.ErrNotExist) {
		for _, part := range []string{logName, snapshotsName} {
			if _, err := os.Lstat(filepath.Join(path, part)); err == nil {
				return identity{}, fmt.Errorf("%w: %s holds %s/ but no version file; %s", ErrDamaged, path, part, remedy)
			}
		}
		return writeVersion(path, cfg)
	}
	if err != nil {
		return identity{}, unwritable(path, err)
	}
	format, id, err := parseVersion(string(text))
	if err != nil {
		return identity{}, fmt.Errorf("%w: %s: %w; %s", ErrDamaged, name, err, remedy)
	}
	if format > Format {
		return identity{}, fmt.Errorf("%w: %s has format %d, this program knows up to %d; run the version of netbank that wrote it, or a later one", ErrNewer, path, format, Format)
	}
	if id.node != cfg.Node {
		return identity{}, fmt.Errorf("%w: %s belongs to node %d, this is node %d; name this node's own directory", ErrOtherNode, path, id.node, cfg.Node)
	}
	if id.cluster == "" && cfg.Cluster != "" {
		if cfg.Beginning != Alone {
			return identity{}, fmt.Errorf("%w: %s holds the journal of a node alone, and Config.Beginning is %v; name an empty directory, or open this one with Beginning Alone and let the others join it", ErrOtherCluster, path, cfg.Beginning)
		}
		return writeVersion(path, cfg) // a node alone becomes the first of a cluster
	}
	if id.cluster != cfg.Cluster {
		return identity{}, fmt.Errorf("%w: %s belongs to cluster %q, and this node was given the cluster id %q; name this cluster's directory, or the directory's cluster", ErrOtherCluster, path, id.cluster, cfg.Cluster)
	}
	return id, nil
}

// writeVersion says whose directory it is. The second line is for nodes of a cluster only; a program that does not know
// it reads the first.
func writeVersion(path string, cfg Config) (identity, error) {
	id := identity{node: cfg.Node, cluster: cfg.Cluster}
	if id.cluster != "" {
		id.disk = newDisk()
	}
	if err := writeWhole(path, versionName, id.encode()); err != nil {
		return identity{}, unwritable(path, err)
	}
	return id, nil
}

func newDisk() string {
	var number [diskDigits / 2]byte
	rand.Read(number[:]) // never fails
	return hex.EncodeToString(number[:])
}

func (id identity) encode() []byte {
	text := fmt.Appendf(nil, "netbank data %d node %d\n", Format, id.node)
	if id.cluster == "" {
		return text
	}
	part := "waiting"
	if id.member {
		part = "member"
	}
	return fmt.Appendf(text, "cluster %s disk %s %s\n", id.cluster, id.disk, part)
}

// markMember notes that the directory has a journal. Without the mark, a member whose log was deleted would pass for a
// node that never had one, and go on under its old number with nothing of what it promised.
func (d *directory) markMember() error {
	if d.identity.member {
		return nil
	}
	d.identity.member = true
	return writeWhole(d.path, versionName, d.identity.encode())
}

// parseVersion reads "netbank data 1 node 1" and, if there is one, the line "cluster <id> disk <number> member". A newer format
// may add anything behind its number.
func parseVersion(text string) (format uint32, id identity, err error) {
	line, rest, _ := strings.Cut(text, "\n")
	if n, _ := fmt.Sscanf(line, "netbank data %d node %d", &format, &id.node); n == 0 || format == 0 || (n == 1 && format <= Format) {
		return 0, identity{}, fmt.Errorf("%q is not of the form \"netbank data 1 node 1\"", line)
	}
	if format > Format || rest == "" {
		return format, id, nil
	}
	line, _, _ = strings.Cut(rest, "\n")
	var part string
	n, _ := fmt.Sscanf(line, "cluster %s disk %s %s", &id.cluster, &id.disk, &part)
	if n != 3 || !plainID(id.cluster) || !isDisk(id.disk) || (part != "waiting" && part != "member") {
		return 0, identity{}, fmt.Errorf("%q is not of the form \"cluster <id> disk <%d hexadecimal digits> waiting\", or \"member\"", line, diskDigits)
	}
	id.member = part == "member"
	return format, id, nil
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
