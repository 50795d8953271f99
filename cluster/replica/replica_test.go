package replica

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

func TestAnEmptyDirectoryBecomesAClusterOfOneNode(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	r := start(t, cfg)
	propose(t, r, partner(), create(1))
	outcome := propose(t, r, cancel(1))
	if len(outcome.Changes) != 1 || outcome.Changes[0].To != journal.StateCancelled {
		t.Fatalf("changes %+v", outcome.Changes)
	}
	stats := r.Stats()
	if !stats.Leading || stats.AppliedIndex != outcome.Index || stats.Term != outcome.Term || stats.CommitIndex < outcome.Index || stats.LogBytes == 0 {
		t.Fatalf("%+v does not fit %d of term %d", stats, outcome.Index, outcome.Term)
	}
}

func TestOnAppliedTellsEveryEntryInOrderWithTheProposersResults(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	var mu sync.Mutex
	var seen []uint64
	cfg.OnApplied = func(a Applied) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, a.Index)
		if a.Stamp != epoch || len(a.Results) != len(a.Batch.Commands) {
			t.Errorf("stamp %d, %d results of %d commands", a.Stamp, len(a.Results), len(a.Batch.Commands))
		}
	}
	r := start(t, cfg)
	var want []uint64
	var futures []Future
	for n := range uint64(20) {
		futures = append(futures, r.Propose(encode(t, customer(2*n+1), customer(2*n+2))))
	}
	for _, f := range futures {
		outcome, err := f.Wait()
		if err != nil || len(outcome.Results) != 2 {
			t.Fatal(outcome, err)
		}
		want = append(want, outcome.Index)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(seen, want) || !slices.IsSorted(want) {
		t.Fatalf("applied %v, answered %v", seen, want)
	}
}

func TestARefusedProposalWasNeverAppended(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	r := start(t, cfg)
	f := func(entry []byte, want error) {
		t.Helper()
		before := r.Stats().LastIndex
		if _, err := r.Propose(entry).Wait(); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		if after := r.Stats().LastIndex; after != before {
			t.Errorf("the log grew from %d to %d", before, after)
		}
	}
	f(nil, ErrEntry)
	f(make([]byte, EntryBytesMax+1), ErrEntry)
	f([]byte("no batch"), ErrEntry)
	newer, err := (&journal.Batch{Version: journal.Version + 1}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	f(newer, ErrEntry)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	f(encode(t, partner()), ErrClosed)
}

func TestANodeThatDoesNotLeadRefusesProposalsAndBarriers(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	cfg.Cluster, cfg.Beginning = "test", Joining
	_, cfg.Transport = raft.NewInmemTransport("node-1")
	r, err := open(cfg, small)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Propose(encode(t, partner())).Wait(); !errors.Is(err, ErrNotLeader) {
		t.Errorf("propose: %v", err)
	}
	if _, err := r.Barrier(time.Second); !errors.Is(err, ErrNotLeader) {
		t.Errorf("barrier: %v", err)
	}
	if _, leading := r.Leadership(); leading {
		t.Error("it says that it leads")
	}
}

// steps drives random commands; n numbers them over the whole test.
func steps(t *testing.T, r *Replica, rng *rand.Rand, n *uint64, count int) {
	t.Helper()
	for range count {
		batch := make([]*command.Command, 0, 8)
		for range 1 + rng.IntN(4) {
			*n++
			batch = append(batch, customer(*n), create(*n))
			if rng.IntN(2) == 0 {
				batch = append(batch, cancel(*n))
			}
		}
		propose(t, r, batch...)
	}
}

func TestRestartIsSnapshotPlusReplay(t *testing.T) {
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 2))
		cfg, log := testConfig(t, t.TempDir())
		r := start(t, cfg)
		propose(t, r, partner())
		var n uint64
		for range 8 {
			steps(t, r, rng, &n, 1+rng.IntN(6))
			if rng.IntN(2) == 0 {
				if err := r.Snapshot(); err != nil {
					t.Fatal(err)
				}
				steps(t, r, rng, &n, rng.IntN(3))
			}
			want := digest(t, r)
			if rng.IntN(2) == 0 {
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
			} else { // killed: nothing is closed, and the next process sees what is on disk
				crashed := t.TempDir()
				copyTree(t, cfg.Dir, crashed)
				cfg.Dir = crashed
			}
			litter(t, cfg.Dir)
			r = start(t, cfg)
			if digest(t, r) != want {
				t.Fatalf("seed %d: after a restart the state differs\n%s", seed, log)
			}
		}
	}
}

// Under the race detector this is the proof that readers, snapshots and entries do not meet.
func TestReadersSeeWholeEntriesBesideSnapshots(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	r := start(t, cfg)
	propose(t, r, partner())
	stop := make(chan struct{})
	var others sync.WaitGroup
	beside := func(f func()) {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					f()
				}
			}
		})
	}
	beside(func() {
		r.View(func(m *journal.Machine) {
			// Each entry adds one customer and one payment.
			counts := m.Counts()
			if counts.Customers != counts.Open {
				t.Errorf("%d customers and %d payments: half an entry", counts.Customers, counts.Open)
			}
			m.Customer("customer000001")
		})
	})
	beside(func() { r.Stats() })
	beside(func() {
		if err := r.Snapshot(); err != nil {
			t.Error(err)
		}
	})
	for n := range uint64(40) {
		propose(t, r, customer(n+1), create(n+1))
	}
	close(stop)
	others.Wait()
	if r.Stats().Snapshots == 0 {
		t.Error("no snapshot was taken meanwhile")
	}
}

// litter leaves what a killed process may leave.
func litter(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"state/7/000004.sst", "snapshots/checkpoint-1.tmp/000004.sst", "snapshots/00000000000000000009-00000000000000000001-00000000000001.tmp/live"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("unfinished"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// openTestLog opens the log of a closed replica.
func openTestLog(t *testing.T, dir string) *wal.WAL {
	t.Helper()
	log, err := openLog(filepath.Join(dir, logName), small.segmentBytes, testLogger())
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// A follower cuts entries off that another leader replaced. raft-wal v0.4.0 could not open its log afterwards.
func TestRestartAfterTheTailOfTheLogWasCut(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	r := start(t, cfg)
	propose(t, r, partner())
	for n := range uint64(50) {
		propose(t, r, customer(n+1))
	}
	want := digest(t, r)
	last := r.Stats().LastIndex
	for n := range uint64(50) {
		propose(t, r, customer(n+51))
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	log := openTestLog(t, cfg.Dir)
	end, err := log.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	if err := log.DeleteRange(last+1, end); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r = start(t, cfg)
		if digest(t, r) != want {
			t.Fatal("the state is not that of the entries that are left")
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheLogIsEmptiedWhenTheSnapshotLiesPastItsEnd(t *testing.T) {
	cfg, log := testConfig(t, t.TempDir())
	r := start(t, cfg)
	propose(t, r, partner(), customer(1))
	cut := r.Stats().LastIndex
	propose(t, r, customer(2), customer(3))
	if err := r.Snapshot(); err != nil {
		t.Fatal(err)
	}
	want := digest(t, r)
	snapshot := r.Stats().SnapshotIndex
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	// The crash between receiving a snapshot and emptying the log leaves a log that ends before the snapshot.
	onDisk := openTestLog(t, cfg.Dir)
	end, err := onDisk.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	if err := onDisk.DeleteRange(cut+1, end); err != nil {
		t.Fatal(err)
	}
	if err := onDisk.Close(); err != nil {
		t.Fatal(err)
	}
	r = start(t, cfg)
	if digest(t, r) != want {
		t.Fatal("the state is not the snapshot's")
	}
	if outcome := propose(t, r, customer(4)); outcome.Index <= snapshot {
		t.Fatalf("entry %d was given again; the snapshot ends at %d", outcome.Index, snapshot)
	}
	if !contains(log, "past the log's end") {
		t.Error("nothing in the log about it")
	}
	want = digest(t, r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = start(t, cfg)
	if digest(t, r) != want {
		t.Fatal("after one more restart the state differs")
	}
}

func TestBootstrapIsFinishedAfterACrashBetweenTermAndFirstEntry(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	if err := start(t, cfg).Close(); err != nil {
		t.Fatal(err)
	}
	f := func(term uint64, want error) {
		t.Helper()
		if err := os.RemoveAll(filepath.Join(cfg.Dir, logName)); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(cfg.Dir, logName), 0o700); err != nil {
			t.Fatal(err)
		}
		log := openTestLog(t, cfg.Dir)
		if err := log.SetUint64(keyCurrentTerm, term); err != nil {
			t.Fatal(err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := open(cfg, small)
		if !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
		if err == nil {
			lead(t, r)
			propose(t, r, partner())
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	f(1, nil)
	f(2, ErrDamaged) // a log was here once
}

// join makes node 2 a voter of node 1's cluster.
func join(t *testing.T, one *Replica) (two *Replica, cfg Config) {
	t.Helper()
	cfg, _ = testConfig(t, t.TempDir())
	cfg.Node, cfg.Cluster, cfg.Beginning = 2, one.cfg.Cluster, Joining
	_, transport := raft.NewInmemTransport("node-2")
	cfg.Transport = transport
	two, err := open(cfg, small)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { two.Close() })
	first := one.cfg.Transport.(*raft.InmemTransport)
	first.Connect("node-2", transport)
	transport.Connect("node-1", first)
	if err := one.AddNonvoter(t.Context(), 2, "node-2"); err != nil {
		t.Fatal("add:", err)
	}
	if err := one.Promote(t.Context(), 2); err != nil {
		t.Fatal("promote:", err)
	}
	return two, cfg
}

// caughtUp waits until both have applied the same entries.
func caughtUp(t *testing.T, one, two *Replica) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for two.Stats().AppliedIndex != one.Stats().AppliedIndex {
		select {
		case <-deadline:
			t.Fatalf("node 2 is at %+v, node 1 at %+v", two.Stats(), one.Stats())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestAnotherNodeGetsTheSnapshotAsAStream(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	cfg.Cluster = "test"
	// Many small segments: raft-wal goes on serving what was cut off inside its newest one.
	r := startWith(t, cfg, seams{segmentBytes: 4 << 10})
	rng := rand.New(rand.NewPCG(1, 1))
	var n uint64
	propose(t, r, partner())
	for range 2 {
		steps(t, r, rng, &n, 5)
		if err := r.Snapshot(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.raft.ReloadConfig(withoutTrailingLogs(r)); err != nil {
		t.Fatal(err)
	}
	steps(t, r, rng, &n, 2)
	if err := r.Snapshot(); err != nil {
		t.Fatal(err)
	}
	two, twoCfg := join(t, r)
	steps(t, r, rng, &n, 2)
	caughtUp(t, r, two)
	if digest(t, two) != digest(t, r) {
		t.Fatal("node 2 has another state")
	}
	if newest, _, local := two.snapshots.floor(); newest == 0 || local {
		t.Fatalf("node 2 received no snapshot: its newest ends at %d", newest)
	}
	crashed := t.TempDir()
	copyTree(t, twoCfg.Dir, crashed)
	twoCfg.Dir = crashed
	_, twoCfg.Transport = raft.NewInmemTransport("node-2")
	again, err := open(twoCfg, small)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	// Alone it leads nothing, so it applies only what the snapshot holds.
	if got := again.Stats().AppliedIndex; got != again.snapshots.newest() {
		t.Fatalf("applied %d, the snapshot ends at %d", got, again.snapshots.newest())
	}
}

func withoutTrailingLogs(r *Replica) raft.ReloadableConfig {
	conf := r.raft.ReloadableConfig()
	conf.TrailingLogs = 0
	return conf
}

func TestTerms_EveryStartLeadsInAHigherTermAndABarrierIsOfItsOwn(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	var before uint64
	for range 3 {
		r := start(t, cfg)
		barrier := lead(t, r)
		term, leading := r.Leadership()
		if !leading || term != barrier || term <= before {
			t.Fatalf("leading %t in term %d, the barrier is of term %d, the last life led in %d", leading, term, barrier, before)
		}
		if outcome, err := r.Propose(encode(t, partner())).Wait(); err != nil || outcome.Term != term {
			t.Fatalf("an entry of term %d in term %d: %v", outcome.Term, term, err)
		}
		before = term
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Barrier(time.Second); err == nil {
			t.Fatal("a barrier after Close")
		}
	}
}

// A leader that hands over, and is handed the lead back, sees one signal or two; the term tells.
func TestTerms_LeadershipLostAndWonAgainIsSeenByTheTerm(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	cfg.Cluster = "test"
	r := start(t, cfg)
	propose(t, r, partner())
	two, _ := join(t, r)
	caughtUp(t, r, two)
	first := lead(t, r)
	if err := r.TransferLeadership(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if second := lead(t, two); second <= first {
		t.Fatalf("node 2 leads in term %d after %d", second, first)
	}
	if err := two.TransferLeadership(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if third := lead(t, r); third <= first+1 {
		t.Fatalf("node 1 leads in term %d after %d", third, first)
	}
}

func TestLeadershipLostIsToldAsUnknownOrNotLeader(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	cfg.Cluster = "test"
	r := start(t, cfg)
	propose(t, r, partner())
	two, _ := join(t, r)
	caughtUp(t, r, two)
	term, _ := r.Leadership()
	r.cfg.Transport.(*raft.InmemTransport).DisconnectAll()
	two.cfg.Transport.(*raft.InmemTransport).DisconnectAll()
	last := r.Stats().LastIndex
	_, err := r.Propose(encode(t, customer(1))).Wait()
	if appended := r.Stats().LastIndex > last; appended && !errors.Is(err, ErrUnknown) {
		t.Fatalf("it stands in the log and nobody knows: %v", err)
	}
	if err == nil {
		t.Fatal("acknowledged without a majority")
	}
	if _, err := r.Barrier(time.Second); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("barrier: %v", err)
	}
	if now, leading := r.Leadership(); leading && now == term {
		t.Fatal("it still leads")
	}
	if _, err := r.Propose(encode(t, customer(2))).Wait(); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("%v, want %v", err, ErrNotLeader)
	}
}

func TestAPoisonedEntryStopsTheNodeBeforeAnythingOfItIsApplied(t *testing.T) {
	cfg, log := testConfig(t, t.TempDir())
	r := start(t, cfg)
	propose(t, r, partner())
	before := digest(t, r)
	newer, err := (&journal.Batch{Version: journal.Version + 1, StampMs: int64(epoch), Commands: []*command.Command{customer(1)}}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	// Propose would refuse it; a newer leader does not.
	f := r.raft.Apply(newer, time.Second)
	fatal := log.told(t)
	for _, want := range []string{"cannot be applied", "newer", "start the version"} {
		if !containsText(fatal.Error(), want) {
			t.Errorf("%q does not say %q", fatal, want)
		}
	}
	if digest(t, r) != before {
		t.Error("something of it was applied")
	}
	waiting := r.Propose(encode(t, customer(2)))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if f.Response() != nil {
		t.Error("the poisoned entry was answered")
	}
	if _, err := waiting.Wait(); !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrClosed) {
		t.Errorf("the entry behind it: %v", err)
	}
	// The same at the next start: it is not skipped.
	again, err := open(cfg, small)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if fatal := log.told(t); !errors.Is(fatal, journal.ErrVersion) {
		t.Error(fatal)
	}
}
