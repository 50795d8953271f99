package benchmark

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"

	"netbank/cluster/replica"
)

// RawRaft is the command that runs one node of a bare Raft group which a cluster is measured beside: the library and the log of the bank with the bank's
// settings, plain TCP in place of its streams, and a state machine that does nothing.
type RawRaft struct {
	Dir   string   `help:"Where its log is kept." required:"" type:"path"`
	Addr  string   `help:"Where the others reach it." required:""`
	Peers []string `help:"Where each of the group is reached, this one included." required:""`
	Admin string   `help:"Where it says who leads, and is put under load." required:""`
}

// Bounds of a load of a bare Raft group.
const (
	rawSecondsMax  = 60
	rawInFlightMax = 64
	rawTimeout     = 10 * time.Second
)

// idle is a state machine that does nothing.
type idle struct{}

func (idle) Apply(*raft.Log) any { return nil }
func (idle) Snapshot() (raft.FSMSnapshot, error) {
	return nil, errors.New("benchmark: a bare group takes no snapshots")
}
func (idle) Restore(r io.ReadCloser) error { return r.Close() }

// Run serves until the process is asked to end.
func (n *RawRaft) Run() error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	node, err := n.open()
	if err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	defer func() { _ = node.Shutdown().Error() }()
	l, err := net.Listen("tcp", n.Admin)
	if err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	server := &http.Server{Handler: rawHandler(node), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: rawSecondsMax*time.Second + rawTimeout}
	defer server.Close()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// open starts Raft as package replica does; its reasons stand there.
func (n *RawRaft) open() (*raft.Raft, error) {
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr})
	path := filepath.Join(n.Dir, "log")
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	log, err := wal.Open(path)
	if err != nil {
		return nil, err
	}
	cache, err := raft.NewLogCache(replica.LogCacheEntries, log)
	if err != nil {
		return nil, err
	}
	advertise, err := net.ResolveTCPAddr("tcp", n.Addr)
	if err != nil {
		return nil, err
	}
	transport, err := raft.NewTCPTransportWithConfig(n.Addr, advertise, &raft.NetworkTransportConfig{MaxPool: 3, MaxRPCsInFlight: 1, Timeout: rawTimeout, Logger: logger})
	if err != nil {
		return nil, err
	}
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(n.Addr)
	conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = 500*time.Millisecond, 500*time.Millisecond, 250*time.Millisecond
	conf.CommitTimeout, conf.MaxAppendEntries = 10*time.Millisecond, 32
	conf.SnapshotThreshold, conf.SnapshotInterval = math.MaxUint64, 365*24*time.Hour
	conf.NoLegacyTelemetry, conf.Logger = true, logger
	var members raft.Configuration
	for _, p := range n.Peers {
		members.Servers = append(members.Servers, raft.Server{ID: raft.ServerID(p), Address: raft.ServerAddress(p)})
	}
	snapshots := raft.NewDiscardSnapshotStore()
	if err := raft.BootstrapCluster(conf, cache, log, snapshots, transport, members); err != nil {
		return nil, err
	}
	return raft.NewRaft(conf, idle{}, cache, log, snapshots, transport)
}

// rawHandler answers GET /leader with 200 on the node that leads, and POST /load with what it committed.
func rawHandler(node *raft.Raft) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /leader", func(w http.ResponseWriter, _ *http.Request) {
		if node.VerifyLeader().Error() != nil {
			http.Error(w, "another node leads, or none", http.StatusConflict)
		}
	})
	mux.HandleFunc("POST /load", func(w http.ResponseWriter, r *http.Request) {
		number := func(name string, most int) int {
			n, err := strconv.Atoi(r.FormValue(name))
			if err != nil || n < 1 || n > most {
				return 0
			}
			return n
		}
		bytes, inFlight, millis := number("bytes", 1<<20), number("inFlight", rawInFlightMax), number("ms", rawSecondsMax*1000)
		if bytes == 0 || inFlight == 0 || millis == 0 {
			http.Error(w, "bytes, inFlight and ms say how much is committed at once, and for how long", http.StatusBadRequest)
			return
		}
		done, took, err := rawLoad(node, bytes, inFlight, time.Duration(millis)*time.Millisecond)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(rawDone{Entries: done, Seconds: took.Seconds()})
	})
	return mux
}

// rawDone is what a bare group committed.
type rawDone struct {
	Entries int64   `json:"entries"`
	Seconds float64 `json:"seconds"`
}

// rawLoad commits entries of a size, so many at once.
func rawLoad(node *raft.Raft, bytes, inFlight int, during time.Duration) (int64, time.Duration, error) {
	var (
		done  atomic.Int64
		all   sync.WaitGroup
		errs  = make([]error, inFlight)
		entry = make([]byte, bytes)
	)
	began := time.Now()
	for i := range inFlight {
		all.Go(func() {
			for time.Since(began) < during {
				if errs[i] = node.Apply(entry, rawTimeout).Error(); errs[i] != nil {
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	return done.Load(), time.Since(began), errors.Join(errs...)
}
