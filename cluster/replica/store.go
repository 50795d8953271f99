package replica

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"netbank/cluster/journal"
)

// Bounds of the store of finished payments. Memory: the cache, and at most four memtables.
const (
	StoreCacheBytes     = 64 << 20
	StoreMemtableBytes  = 16 << 20
	storeMemtablesMax   = 4
	StoreOpenFilesMax   = 512
	storeBloomBits      = 10 // 1 % of lookups of missing keys read a block
	storeCompactionsMax = 1  // beside payments, a second core is better spent elsewhere
	preflushWait        = 30 * time.Second
)

// storeFormat is pinned, so that a newer Pebble does not upgrade a directory that an older program may have to read.
const storeFormat = pebble.FormatTableFormatV6

// store is journal.Store over Pebble. It needs no log of its own: see doc.go.
type store struct {
	db   *pebble.DB
	path string
}

var _ journal.Store = (*store)(nil)

// openStore opens the Pebble directory at path, which is made when missing.
func openStore(path string, logger *slog.Logger, f *fuse) (*store, error) {
	cache := pebble.NewCache(StoreCacheBytes)
	defer cache.Unref()
	lines := storeLogger{out: logger.With("from", "store"), fatal: f.stop}
	options := &pebble.Options{
		Cache:                       cache,
		DisableWAL:                  true,
		FormatMajorVersion:          storeFormat,
		Logger:                      lines,
		MaxOpenFiles:                StoreOpenFilesMax,
		MemTableSize:                StoreMemtableBytes,
		MemTableStopWritesThreshold: storeMemtablesMax,
		CompactionConcurrencyRange:  func() (int, int) { return 1, storeCompactionsMax },
	}
	options.EventListener = &pebble.EventListener{
		// A flush or compaction that fails is tried again for ever, and writes hang once the memtables are
		// full. The state can be rebuilt from snapshot and log, so ending at once is better.
		BackgroundError: func(err error) {
			if !errors.Is(err, pebble.ErrCancelledCompaction) && !errors.Is(err, pebble.ErrClosed) {
				f.report(fmt.Errorf("replica: the store of finished payments under %s failed: %w; free or replace the disk, then start this node again: nothing acknowledged is lost", path, err))
			}
		},
	}
	for i := range options.Levels {
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(storeBloomBits)
		options.Levels[i].FilterType = pebble.TableFilter
	}
	db, err := pebble.Open(path, options)
	if err != nil {
		return nil, fmt.Errorf("replica: open the store of finished payments: %w", err)
	}
	return &store{db: db, path: path}, nil
}

// linkStore makes a working directory at path from a snapshot's checkpoint, and opens it. Tables never change, so they
// are linked; the few small files that Pebble may write to are copied.
func linkStore(checkpoint, path string, logger *slog.Logger, f *fuse) (*store, error) {
	entries, err := os.ReadDir(checkpoint)
	if err != nil {
		return nil, fmt.Errorf("replica: link the store of finished payments: %w", err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("replica: link the store of finished payments: %w", err)
	}
	for _, entry := range entries {
		from, to := filepath.Join(checkpoint, entry.Name()), filepath.Join(path, entry.Name())
		link := copyFile
		if immutable(entry.Name()) {
			link = linkOrCopy
		}
		if err := link(from, to); err != nil {
			return nil, fmt.Errorf("replica: link the store of finished payments: %w", err)
		}
	}
	return openStore(path, logger, f)
}

// immutable tells which of Pebble's files are never written again once they are complete.
func immutable(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")
}

// Get implements journal.Store. It asks the Bloom filters of the lowest level too, where nearly everything lies. Pebble's own Get does
// not, and reads a block for each key that is not there; every new payment looks for two such keys (docs/decisions/0005).
func (s *store) Get(key []byte, f func(value []byte)) (bool, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{KeyTypes: pebble.IterKeyTypePointsOnly, UseL6Filters: true})
	if err != nil {
		return false, fmt.Errorf("replica: read from the store of finished payments: %w", err)
	}
	found := it.SeekPrefixGE(key) && bytes.Equal(it.Key(), key)
	if found {
		f(it.Value())
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return false, fmt.Errorf("replica: read from the store of finished payments: %w", err)
	}
	return found, nil
}

// Set implements journal.Store.
func (s *store) Set(key, value []byte) error { return s.db.Set(key, value, pebble.NoSync) }

// Delete implements journal.Store.
func (s *store) Delete(key []byte) error { return s.db.Delete(key, pebble.NoSync) }

// DeleteRange implements journal.Store.
func (s *store) DeleteRange(from, to []byte) error { return s.db.DeleteRange(from, to, pebble.NoSync) }

// Scan implements journal.Store.
func (s *store) Scan(from, to []byte, f func(key, value []byte) bool) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return fmt.Errorf("replica: scan the store of finished payments: %w", err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		if !f(it.Key(), it.Value()) {
			break
		}
	}
	return errors.Join(it.Error(), it.Close())
}

// preflush writes what is in memory, so that the flush inside checkpoint, during which no entry is applied, is short.
func (s *store) preflush() (done <-chan struct{}, err error) { return s.db.AsyncFlush() }

// checkpoint writes what is in memory and links all tables into dir, which must not exist.
func (s *store) checkpoint(dir string) error {
	if err := s.db.Flush(); err != nil {
		return fmt.Errorf("replica: flush the store of finished payments: %w", err)
	}
	if err := s.db.Checkpoint(dir); err != nil {
		return fmt.Errorf("replica: checkpoint of the store of finished payments: %w", err)
	}
	return nil
}

func (s *store) close() error { return s.db.Close() }
