package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"netbank/cluster/journal"
	"netbank/cluster/kek"
	"netbank/cluster/replica"
	"netbank/cmd/internal/bank"
	"netbank/cmd/internal/cli"
)

type restore struct {
	From    string `help:"The backup." required:"" type:"path" placeholder:"FILE"`
	DataDir string `help:"The data directory to make; it must be missing or empty." required:"" type:"path" placeholder:"NEW"`
	Node    uint32 `help:"The restored node's number. Default: that of the node that wrote the backup."`
	Cluster string `help:"The restored node's cluster. Default: the backup's."`
	KEKFile string `name:"kek-file" help:"Look whether this is the key-encryption key that the backup's secrets open with." type:"path"`
	DryRun  bool   `help:"Check the backup and say what would be done; write nothing."`
	Yes     bool   `help:"Do not ask."`
	JSON    bool   `name:"json" help:"Print JSON."`
	Verbose bool   `help:"Log more."`
}

// Help is shown by `netbank restore --help`.
func (restore) Help() string {
	return `Examples:
  netbank restore --from /backup/netbank-20261123T020000Z.backup --data-dir /var/lib/netbank-new \
      --kek-file /etc/netbank/kek --dry-run
  netbank restore --from /backup/netbank-20261123T020000Z.backup --data-dir /var/lib/netbank-new --yes

Stop every old node first, for good. Start the restored one with 'netbank serve --data-dir NEW' and the same key-encryption key. What
happened after the backup is not in it, though the core may have done it: docs/operations.md says how it is found.

Exit codes: 0 done; 1 the backup cannot be read; 64 it is damaged or no backup, or a flag is wrong; 73 the directory is not empty or
cannot be written; 78 the backup was written by a newer version.`
}

// plan is what `netbank restore --json` prints.
type plan struct {
	Done    bool   `json:"done"`
	DataDir string `json:"dataDir"`
	replica.Restored
}

// Run restores, or says what it would do.
func (r *restore) Run(t *terminal) error {
	cfg := replica.RestoreConfig{
		From: r.From, Dir: r.DataDir, Node: journal.NodeID(r.Node), Cluster: r.Cluster, DryRun: true, Logger: cli.Logger(r.Verbose),
	}
	if err := r.checkKey(); err != nil {
		return err
	}
	if !r.DryRun && !r.Yes {
		if err := r.ask(cfg, t); err != nil {
			return err
		}
	}
	cfg.DryRun = r.DryRun
	restored, err := replica.Restore(cfg)
	if err != nil {
		return coded(err)
	}
	text, err := marshal(plan{!r.DryRun, r.DataDir, restored})
	if err != nil {
		return err
	}
	return t.print(r.JSON, text, func() {
		describe(t.out, &restored)
		if r.DryRun {
			t.say("nothing was written")
			return
		}
		t.say("restored into %s; before you open the doors: stop every old node for good, and read \"Backup and restore\" in docs/operations.md", r.DataDir)
	})
}

// checkKey compares the key-encryption key, if one is named, with that of the backup.
func (r *restore) checkKey() error {
	if r.KEKFile == "" {
		return nil
	}
	key, err := kek.Load(r.KEKFile)
	if err != nil {
		return usage("%w", err)
	}
	from, err := os.Open(r.From)
	if err != nil {
		return usage("--from: %w", err)
	}
	defer from.Close()
	header, err := replica.ReadBackupHeader(from)
	if err != nil {
		return coded(fmt.Errorf("%s: %w", r.From, err))
	}
	if header.KEK != key.ID() {
		return usage("--kek-file %s is key %s, and the backup's secrets open with key %s; find that one: without it nobody can sign in", r.KEKFile, key.ID(), header.KEK)
	}
	return nil
}

// ask shows what would be done and wants a yes.
func (r *restore) ask(cfg replica.RestoreConfig, t *terminal) error {
	restored, err := replica.Restore(cfg)
	if err != nil {
		return coded(err)
	}
	if !t.person {
		return usage("there is nobody to ask: add --yes to restore, or --dry-run to see what it would do; nothing was written")
	}
	describe(t.err, &restored)
	return t.agree(fmt.Sprintf("Restore into %s? Every old node must be stopped, for good.", r.DataDir))
}

func describe(out io.Writer, r *replica.Restored) {
	h := &r.Header
	fmt.Fprintf(out, "backup of node %d%s up to entry %d, the journal's time %s, written by %s\n", h.Node, inCluster(h.Cluster), h.Index, clock(r.Stamp), h.Writer)
	fmt.Fprintf(out, "its secrets open with key-encryption key %s\n", h.KEK)
	fmt.Fprintf(out, "%d partners, %d customers, %d finished payments\n", r.Partners, r.Customers, r.Finished)
	fmt.Fprintf(out, "%d payments that may be inside the core: the node asks the core what became of them\n", r.Unresolved)
	fmt.Fprintf(out, "%d payments that nobody had confirmed: they are cancelled, since they may have been paid after the backup\n", r.Cancelled)
	fmt.Fprintf(out, "restored as node %d%s; references go on in epoch %d\n", r.Node, inCluster(r.Cluster), r.Epoch)
}

// coded gives an error of a restore its exit code.
func coded(err error) error {
	code := cli.ExitFailure
	switch {
	case errors.Is(err, replica.ErrBackupNewer):
		code = bank.ExitNewer
	case errors.Is(err, replica.ErrBackup):
		code = bank.ExitUsage
		err = fmt.Errorf("%w; restore another backup, or fetch this one again from where it is kept: nothing was written", err)
	case errors.Is(err, replica.ErrNotEmpty), errors.Is(err, replica.ErrUnwritable), errors.Is(err, replica.ErrLocked):
		code = bank.ExitDirectory
	case errors.Is(err, fs.ErrNotExist):
		code = bank.ExitUsage
	}
	return &bank.Error{Code: code, Err: err}
}
