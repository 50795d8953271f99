package replica

import (
	"bufio"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"netbank/cluster/journal"
)

// The child process: it proposes customers numbered from childFrom on, two entries in flight, prints the numbers that
// were acknowledged, and takes snapshots all the time, until it is killed.
const (
	childEnv  = "NETBANK_REPLICA_CHILD"
	childFrom = "NETBANK_REPLICA_CHILD_FROM"
)

func runChild(dir string) int {
	from, err := strconv.ParseUint(os.Getenv(childFrom), 10, 64)
	if err != nil {
		return complain(err)
	}
	cfg := Config{Dir: dir, Node: 1, Limits: journal.DefaultLimits(), Logger: slog.New(slog.DiscardHandler)}
	r, err := open(cfg, seams{segmentBytes: 16 << 10})
	if err != nil {
		return complain(err)
	}
	for _, leading := r.Leadership(); !leading; _, leading = r.Leadership() {
		<-r.LeadershipChanged()
	}
	if _, err := r.Barrier(time.Minute); err != nil {
		return complain(err)
	}
	go func() {
		for {
			if err := r.Snapshot(); err != nil {
				os.Exit(complain(err))
			}
		}
	}()
	if _, err := r.Propose(encodeOrDie(partner())).Wait(); err != nil { // done, or repeated
		return complain(err)
	}
	return childProposes(r, from)
}

func encodeOrDie(commands ...*journal.Command) []byte {
	entry, err := (&journal.Batch{Version: journal.Version, StampMs: int64(epoch), Commands: commands}).MarshalVT()
	if err != nil {
		panic(err)
	}
	return entry
}

func complain(err error) int {
	fmt.Println("error", err)
	return 1
}

func childProposes(r *Replica, n uint64) int {
	var before Future
	var numbers string
	for {
		next := r.Propose(encodeOrDie(customer(n), customer(n+1), create(n), cancel(n), create(n+1)))
		if before != nil {
			outcome, err := before.Wait()
			if err != nil {
				return complain(err)
			}
			for _, result := range outcome.Results {
				if result.Verdict != journal.Done {
					return complain(fmt.Errorf("%s: %v", numbers, result.Verdict))
				}
			}
			fmt.Println("ack", numbers)
		}
		before, numbers = next, fmt.Sprint(n, " ", n+1)
		n += 2
	}
}

// killed runs the child until it has acknowledged count entries, kills it, and gives all the numbers it acknowledged.
func killed(t *testing.T, dir string, from uint64, count int) (acknowledged []journal.CustomerID) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+dir, childFrom+"="+strconv.FormatUint(from, 10))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	// A child that hangs fails the test, and does not outlive it.
	watch := time.AfterFunc(time.Minute, func() { child.Process.Kill() })
	defer watch.Stop()
	lines := bufio.NewScanner(out)
	for lines.Scan() { // to the end: what it printed before it was killed counts
		words := strings.Fields(lines.Text())
		if len(words) != 3 || words[0] != "ack" {
			t.Fatalf("the child said %q", lines.Text())
		}
		for _, word := range words[1:] {
			n, err := strconv.ParseUint(word, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			acknowledged = append(acknowledged, journal.CustomerID(n))
		}
		if count--; count == 0 {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	child.Wait()
	if count > 0 {
		t.Fatalf("the child ended %d entries early", count)
	}
	return acknowledged
}

func TestNothingAcknowledgedIsLost_KilledWhileProposingAndTakingSnapshots(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	var acknowledged []journal.CustomerID
	for round := range uint64(6) {
		acknowledged = append(acknowledged, killed(t, dir, 1_000_000*(round+1), 1+rng.IntN(150))...)
		cfg, log := testConfig(t, dir)
		r := start(t, cfg)
		r.View(func(m *journal.Machine) {
			for _, id := range acknowledged {
				if c, ok := m.CustomerByID(id); !ok || c.Username != fmt.Sprintf("customer%06d", id) {
					t.Errorf("round %d: customer %d was acknowledged and is lost\n%s", round, id, log)
					return
				}
				if _, ok := m.Access(id); !ok {
					t.Errorf("round %d: customer %d is in the store and not in memory\n%s", round, id, log)
					return
				}
			}
		})
		if contains(log, "level=ERROR") {
			t.Errorf("round %d: %s", round, log)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// replayed applies the whole log of a closed replica to an empty journal.
func replayed(t *testing.T, dir string) (sum [64]byte) {
	t.Helper()
	log := openTestLog(t, dir)
	defer log.Close()
	first, err := log.FirstIndex()
	if err != nil || first != 1 {
		t.Fatalf("the log begins at %d: %v", first, err)
	}
	last, err := log.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	machine := journal.New(journal.NewMemoryStore(), journal.DefaultLimits())
	for index := first; index <= last; index++ {
		var entry raft.Log
		if err := log.GetLog(index, &entry); err != nil {
			t.Fatal(err)
		}
		if entry.Type != raft.LogCommand {
			continue
		}
		var batch journal.Batch
		if err := batch.UnmarshalVT(entry.Data); err != nil {
			t.Fatal(err)
		}
		if _, _, err := machine.Apply(entry.Term, &batch, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	live := machine.Digest()
	stored, err := machine.StoreDigest()
	if err != nil {
		t.Fatal(err)
	}
	copy(sum[:32], live[:])
	copy(sum[32:], stored[:])
	return sum
}

// The whole log, applied to nothing, is the state that snapshots and the log behind them make, even when they were
// taken between two entries of a busy log and the process was killed.
func TestRestartIsSnapshotPlusReplay_AfterSIGKILL(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for round := range uint64(4) {
		killed(t, dir, 1_000_000*(round+1), 1+rng.IntN(60))
		cfg, _ := testConfig(t, dir)
		r := start(t, cfg)
		got := digest(t, r)
		if r.Stats().SnapshotIndex == 0 && round > 2 {
			t.Error("no snapshot was ever finished; the test tests nothing")
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if got != replayed(t, dir) {
			t.Fatalf("round %d: another state", round)
		}
	}
}
