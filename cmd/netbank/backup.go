package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/replica"
	"netbank/cmd/internal/bank"
)

const (
	// backupStall is how long the node may send nothing before the backup is given up. A snapshot of millions of payments is taken before
	// the first byte.
	backupStall   = 5 * time.Minute
	backupPartial = ".partial"
)

type backup struct {
	operator
	Out  string `help:"The file to write; it must not exist." required:"" type:"path" placeholder:"FILE"`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help is shown by `netbank backup --help`.
func (backup) Help() string {
	return `Examples:
  netbank backup --out /backup/netbank-$(date -u +%Y%m%dT%H%M%SZ).backup --operator-token-file /etc/netbank/operator.token
  netbank backup --out backup.nb --operator-token-file operator.token --json | jq .kekId

The node goes on serving. The file is FILE.partial until it is whole, checked and on the disk. Secrets in it are sealed under the
key-encryption key, which is not in it: keep that file elsewhere. The backup names the key's id.`
}

// taken is what `netbank backup --json` prints.
type taken struct {
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
	replica.BackupHeader
}

// Run fetches a backup.
func (b *backup) Run(t *terminal) error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	h, err := b.save(ctx)
	if err != nil {
		return err
	}
	text, err := marshal(taken{File: b.Out, Bytes: h.Bytes(), BackupHeader: h})
	if err != nil {
		return err
	}
	return t.print(b.JSON, text, func() {
		t.say("%s: %d bytes: node %d%s up to entry %d, the journal's time %s", b.Out, h.Bytes(), h.Node, inCluster(h.Cluster), h.Index, clock(h.Stamp))
		t.say("its secrets open with key-encryption key %s, which is not in it", h.KEK)
	})
}

func marshal(v any) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	return append(text, '\n'), err
}

func inCluster(id string) string {
	if id == "" {
		return ""
	}
	return " of cluster " + id
}

func clock(at journal.Millis) string { return time.UnixMilli(int64(at)).UTC().Format(time.RFC3339) }

// save writes the backup beside its name, checks it on the way, and gives it its name when it is on the disk.
func (b *backup) save(ctx context.Context) (replica.BackupHeader, error) {
	var none replica.BackupHeader
	if _, err := os.Lstat(b.Out); err == nil {
		return none, usage("--out %s exists; name another file: a backup overwrites none", b.Out)
	}
	partial := b.Out + backupPartial
	file, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return none, usage("--out: %w", err)
	}
	defer file.Close()
	if !alone(file) {
		return none, usage("%s is being written by another `netbank backup`; wait for it, or name another file", partial)
	}
	header, err := b.fetch(ctx, file)
	if err == nil {
		err = settle(file, b.Out)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("no backup was made: %w", err), os.Remove(partial))
	}
	return header, err
}

// alone takes the lock of a partial file. One that has got its name, or is gone, between opening and locking is another's.
func alone(file *os.File) bool {
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return false
	}
	locked, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(file.Name())
	return err == nil && os.SameFile(locked, named)
}

// settle makes the file durable and gives it its name.
func settle(file *os.File, name string) error {
	if err := file.Sync(); err != nil {
		return err
	}
	if _, err := os.Lstat(name); err == nil {
		return fmt.Errorf("%s has come into being meanwhile", name)
	}
	if err := os.Rename(file.Name(), name); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// fetch asks the node and checks what it sends while it is written.
func (b *backup) fetch(ctx context.Context, file *os.File) (replica.BackupHeader, error) {
	var none replica.BackupHeader
	// What an interrupted backup has left is overwritten, and its mode may be another.
	if err := errors.Join(file.Truncate(0), file.Chmod(0o600)); err != nil {
		return none, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, err := b.open(ctx, "/api/v1/backup", cancel)
	if err != nil {
		return none, err
	}
	defer body.Close()
	header, err := receive(body, file)
	if body.stalled.Load() {
		err = fmt.Errorf("the node has sent nothing for %v", backupStall)
	}
	return header, err
}

// receive writes a backup and checks it. A disk that is full is told from a backup that is cut off.
func receive(from io.Reader, to io.Writer) (replica.BackupHeader, error) {
	writing := &kept{to: to}
	header, err := replica.CheckBackup(io.TeeReader(from, writing))
	switch {
	case errors.Is(writing.err, syscall.ENOSPC):
		return header, fmt.Errorf("%w; make room, or name a file on another disk: the backup has %d bytes", writing.err, header.Bytes())
	case writing.err != nil:
		return header, writing.err
	case err != nil:
		return header, fmt.Errorf("%w; if it happens again look at the node's log and its disk", err)
	}
	return header, nil
}

// kept remembers why writing failed.
type kept struct {
	to  io.Writer
	err error
}

func (k *kept) Write(p []byte) (int, error) {
	n, err := k.to.Write(p)
	if err != nil {
		k.err = err
	}
	return n, err
}

// reply is a body that is given up when nothing comes.
type reply struct {
	io.ReadCloser
	timer   *time.Timer
	stalled *atomic.Bool
}

func (r *reply) Read(p []byte) (int, error) {
	r.timer.Reset(backupStall)
	return r.ReadCloser.Read(p)
}

func (r *reply) Close() error {
	r.timer.Stop()
	return r.ReadCloser.Close()
}

// open asks for something that may take long. cancel is called when nothing comes.
func (o *operator) open(ctx context.Context, path string, cancel func()) (*reply, error) {
	stalled := new(atomic.Bool)
	timer := time.AfterFunc(backupStall, func() {
		stalled.Store(true)
		cancel()
	})
	resp, err := o.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		timer.Stop()
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		timer.Stop()
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
		return nil, refusalOf(resp.StatusCode, text)
	}
	return &reply{resp.Body, timer, stalled}, nil
}

func usage(format string, args ...any) error {
	return &bank.Error{Code: bank.ExitUsage, Err: fmt.Errorf(format, args...)}
}
