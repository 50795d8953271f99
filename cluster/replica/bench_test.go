package replica

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// BenchmarkPropose commits batches to a log that is synchronised to the disk, two in flight, as the engine does.
// Read ns/op beside commands/op: a batch of 64 costs little more than one of 1.
func BenchmarkPropose(b *testing.B) {
	for _, size := range []int{1, 64} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			r := benchReplica(b)
			var n uint64
			entry := func() []byte {
				commands := make([]*command.Command, size)
				for i := range commands {
					n++
					commands[i] = customer(n)
				}
				return encode(b, commands...)
			}
			b.ReportAllocs()
			var before Future
			for b.Loop() {
				b.StopTimer()
				next := entry()
				b.StartTimer()
				f := r.Propose(next)
				if before != nil {
					if _, err := before.Wait(); err != nil {
						b.Fatal(err)
					}
				}
				before = f
			}
			if _, err := before.Wait(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(size), "commands/op")
		})
	}
}

func benchReplica(b *testing.B) *Replica {
	b.Helper()
	cfg := Config{Dir: b.TempDir(), Node: 1, Limits: journal.DefaultLimits(), Logger: slog.New(slog.DiscardHandler)}
	return startWith(b, cfg, seams{segmentBytes: SegmentBytes})
}

// BenchmarkView is a read of the state machine beside nothing else.
func BenchmarkView(b *testing.B) {
	r := benchReplica(b)
	propose(b, r, customer(1))
	b.ReportAllocs()
	for b.Loop() {
		r.View(func(m *journal.Machine) {
			if _, ok := m.Access(1); !ok {
				b.Fatal("no customer")
			}
		})
	}
}

// BenchmarkSnapshot takes snapshots of 10,000 customers, with one new entry before each.
func BenchmarkSnapshot(b *testing.B) {
	r := benchReplica(b)
	var n uint64
	for range 100 {
		commands := make([]*command.Command, 100)
		for i := range commands {
			n++
			commands[i] = customer(n)
		}
		propose(b, r, commands...)
	}
	b.ReportAllocs()
	for b.Loop() {
		n++
		propose(b, r, customer(n))
		if err := r.Snapshot(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(r.Stats().SnapshotPause.Microseconds()), "pause-us")
}

// BenchmarkOpen is a start that replays 100,000 customers from the log, and one from a snapshot of them, until this
// node leads and has applied everything.
func BenchmarkOpen(b *testing.B) {
	for _, snapshot := range []bool{false, true} {
		b.Run(fmt.Sprintf("snapshot=%t", snapshot), func(b *testing.B) {
			cfg := Config{Dir: b.TempDir(), Node: 1, Limits: journal.DefaultLimits(), Logger: slog.New(slog.DiscardHandler)}
			r := openLeading(b, cfg)
			var n uint64
			for range 1000 {
				commands := make([]*command.Command, 100)
				for i := range commands {
					n++
					commands[i] = customer(n)
				}
				propose(b, r, commands...)
			}
			if snapshot {
				if err := r.Snapshot(); err != nil {
					b.Fatal(err)
				}
			}
			if err := r.Close(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				r := openLeading(b, cfg)
				b.StopTimer()
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func openLeading(b *testing.B, cfg Config) *Replica {
	b.Helper()
	r, err := Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	lead(b, r)
	return r
}

// BenchmarkStoreGet looks up keys as idempotency keys are: at random places, most of them not there.
func BenchmarkStoreGet(b *testing.B) {
	s, err := openStore(b.TempDir(), slog.New(slog.DiscardHandler), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	const stored, asked = 200_000, 10_000
	dice := rand.New(rand.NewPCG(1, 2))
	draw := func() []byte {
		key := make([]byte, 17)
		key[0] = 'i'
		for i := range key[1:] {
			key[1+i] = byte(dice.Uint32())
		}
		return key
	}
	var here, missing [][]byte
	value := make([]byte, 100)
	for i := range stored {
		key := draw()
		if err := s.Set(key, value); err != nil {
			b.Fatal(err)
		}
		if i < asked {
			here, missing = append(here, key), append(missing, draw())
		}
	}
	if err := s.db.Compact(b.Context(), []byte{0}, []byte{255}, false); err != nil {
		b.Fatal(err)
	}
	for name, keys := range map[string][][]byte{"here": here, "missing": missing} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if found, err := s.Get(keys[i%asked], func([]byte) {}); err != nil || found != (name == "here") {
					b.Fatal(found, err)
				}
			}
		})
	}
}

// BenchmarkFinishedPayments creates, authorises and settles 64 payments an entry, of 100,000 customers in turn, over the store itself: what it
// costs that each finished payment has a key of its own, and one among its customer's.
func BenchmarkFinishedPayments(b *testing.B) {
	const customers, atOnce = 100_000, 64
	s, err := openStore(b.TempDir(), slog.New(slog.DiscardHandler), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	m := journal.New(s, journal.DefaultLimits())
	var results []journal.Result
	var changes []journal.Change
	apply := func(commands []*command.Command) {
		batch := &journal.Batch{Version: journal.Version, Term: 1, StampMs: int64(epoch), Commands: commands}
		if results, changes, err = m.Apply(1, batch, results[:0], changes[:0]); err != nil {
			b.Fatal(err)
		}
		for i, r := range results {
			if r.Verdict != journal.Done {
				b.Fatal(commands[i], r.Verdict)
			}
		}
	}
	apply([]*command.Command{partner()})
	for n := uint64(1); n <= customers; n++ {
		apply([]*command.Command{customer(n), {Id: commandID('i', n), Body: &command.Command_SignIn{SignIn: &command.SignIn{Customer: n}}}})
	}
	dice := rand.New(rand.NewPCG(1, 2))
	steps := make([]int64, customers+1)
	n := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		var commands []*command.Command
		for range atOnce {
			n++
			who := 1 + dice.Uint64N(customers)
			steps[who]++
			c := create(n)
			commands = append(commands, c, authorisation(n, who, steps[who], c.GetCreatePayment()), &command.Command{
				Id: commandID('s', n), Body: &command.Command_Settle{Settle: &command.Settle{PaymentId: paymentID(n), Outcome: command.Outcome_OUTCOME_APPROVED, ResponseCode: "00"}},
			})
		}
		b.StartTimer()
		apply(commands)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/payment")
}

func authorisation(n, who uint64, step int64, c *command.CreatePayment) *command.Command {
	return &command.Command{Id: commandID('a', n), Body: &command.Command_Authorise{Authorise: &command.Authorise{
		PaymentId: c.PaymentId, Customer: who, SessionEpoch: 1, SessionExpiresMs: int64(epoch) + 60_000, AmountMinor: c.AmountMinor, Currency: c.Currency,
		CreditorAccount: c.CreditorAccount, CreditorName: c.CreditorName, DebtorAccount: fmt.Sprintf("62%014d", who),
		Factor: command.Factor_FACTOR_TOTP, FactorStep: step, Node: 1, Incarnation: 1,
	}}}
}
