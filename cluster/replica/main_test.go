package replica

import (
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// TestMain also serves as the child process of the tests that kill one.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(runChild(dir))
	}
	goleak.VerifyTestMain(m)
}

// epoch is the stamp of the first test batch.
const epoch = journal.Millis(1_790_000_000_000)

// lines collects what is logged and what OnFatal is told.
type lines struct {
	mu    sync.Mutex
	text  strings.Builder
	fatal chan error
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// told waits for what OnFatal is told.
func (l *lines) told(t *testing.T) error {
	t.Helper()
	select {
	case err := <-l.fatal:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("OnFatal was not called")
		return nil
	}
}

func testConfig(t testing.TB, dir string) (Config, *lines) {
	t.Helper()
	l := &lines{fatal: make(chan error, 1)}
	return Config{
		Dir: dir, Node: 1, Limits: journal.DefaultLimits(),
		Logger: slog.New(slog.NewTextHandler(l, nil)),
		OnFatal: func(err error) {
			l.fatal <- err
			fmt.Fprintln(l, "fatal:", err)
		},
	}, l
}

var small = seams{segmentBytes: 256 << 10}

// start opens a replica, waits until it leads and has applied its log, and closes it at the end of the test.
func start(t testing.TB, cfg Config) *Replica { return startWith(t, cfg, small) }

func startWith(t testing.TB, cfg Config, s seams) *Replica {
	t.Helper()
	r, err := open(cfg, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	lead(t, r)
	return r
}

// lead waits until the replica leads and has applied its log.
func lead(t testing.TB, r *Replica) uint64 {
	t.Helper()
	for {
		if _, leading := r.Leadership(); leading {
			term, err := r.Barrier(5 * time.Second)
			if err != nil {
				select {
				case <-r.fuse.blown:
					t.Log("the fuse has blown")
				default:
				}
				t.Fatal("barrier:", err)
			}
			return term
		}
		select {
		case <-r.LeadershipChanged():
		case <-time.After(20 * time.Second):
			t.Fatal("no leader after 20 s")
		}
	}
}

func encode(t testing.TB, commands ...*command.Command) []byte {
	t.Helper()
	entry, err := (&journal.Batch{Version: journal.Version, StampMs: int64(epoch), Commands: commands}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return entry
}

func commandID(kind byte, n uint64) []byte {
	id := make([]byte, 16)
	id[0] = kind
	binary.BigEndian.PutUint64(id[8:], n)
	return id
}

// customer is a command whose effect is in memory and in the store.
func customer(n uint64) *command.Command {
	return &command.Command{Id: commandID('c', n), Body: &command.Command_PutCustomer{PutCustomer: &command.PutCustomer{
		Id: n, Username: fmt.Sprintf("customer%06d", n), Name: "Wang Fang", Locale: "zh-CN",
		PasswordSealed: make([]byte, 100), Accounts: []*command.Account{{Number: fmt.Sprintf("62%014d", n), Currency: "CNY", Label: "Savings"}},
	}}}
}

func partner() *command.Command {
	return &command.Command{Id: commandID('p', 1), Body: &command.Command_PutPartner{PutPartner: &command.PutPartner{Id: 1, Name: "Shop"}}}
}

func paymentID(n uint64) []byte {
	id := make([]byte, 16)
	binary.BigEndian.PutUint64(id, uint64(epoch)<<16)
	id[6] = 0x70
	binary.BigEndian.PutUint64(id[8:], n)
	id[8] = 0x80
	return id
}

// create is a payment; cancel moves it from memory to the store.
func create(n uint64) *command.Command {
	return &command.Command{Id: commandID('n', n), Body: &command.Command_CreatePayment{CreatePayment: &command.CreatePayment{
		PaymentId: paymentID(n), Partner: 1, IdempotencyKey: commandID('k', n), RequestHash: commandID('h', n),
		AmountMinor: 12345, Currency: "CNY", CreditorAccount: "6222000011112222", CreditorName: "Shop", ExpiresMs: int64(epoch) + 900_000,
	}}}
}

func cancel(n uint64) *command.Command {
	return &command.Command{Id: commandID('x', n), Body: &command.Command_CancelPayment{CancelPayment: &command.CancelPayment{PaymentId: paymentID(n), Partner: 1}}}
}

// propose commits one batch and fails unless every command is done.
func propose(t testing.TB, r *Replica, commands ...*command.Command) Outcome {
	t.Helper()
	outcome, err := r.Propose(encode(t, commands...)).Wait()
	if err != nil {
		t.Fatal("propose:", err)
	}
	if len(outcome.Results) != len(commands) {
		t.Fatalf("%d results of %d commands", len(outcome.Results), len(commands))
	}
	for i, result := range outcome.Results {
		if result.Verdict != journal.Done {
			t.Fatalf("command %d: %v", i, result.Verdict)
		}
	}
	return outcome
}

// digest stands for the whole state: what is in memory and what is in the store.
func digest(t testing.TB, r *Replica) (sum [64]byte) {
	t.Helper()
	r.View(func(m *journal.Machine) {
		live := m.Digest()
		stored, err := m.StoreDigest()
		if err != nil {
			t.Fatal(err)
		}
		copy(sum[:32], live[:])
		copy(sum[32:], stored[:])
	})
	return sum
}

// copyTree copies a data directory as a crash would leave it.
func copyTree(t testing.TB, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if rel == stateName {
			return filepath.SkipDir // worth nothing, and Pebble removes files while they are copied
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.Create(filepath.Join(to, rel))
		if err != nil {
			return err
		}
		defer out.Close()
		_, err = io.Copy(out, in)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func contains(l *lines, text string) bool { return containsText(l.String(), text) }

func containsText(s, text string) bool { return strings.Contains(s, text) }

func testLogger() *slog.Logger { return slog.New(slog.DiscardHandler) }

// encodeMore gives bytes that add commands to an encoded batch: repeated fields concatenate.
func encodeMore(t testing.TB, commands ...*command.Command) []byte {
	t.Helper()
	more, err := (&journal.Batch{Commands: commands}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return more
}
