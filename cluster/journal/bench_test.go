package journal

import (
	"encoding/binary"
	"io"
	"runtime"
	"testing"

	"netbank/cluster/journal/command"
)

// thinStore is a store without a cost of its own, so that the benchmarks show the journal's: it keeps
// customers, and forgets the rest.
type thinStore struct{ *MemoryStore }

func (s thinStore) Get(key []byte, f func([]byte)) (bool, error) {
	if key[0] == keyCustomer || key[0] == keyUsername {
		return s.MemoryStore.Get(key, f)
	}
	return false, nil
}

func (s thinStore) Set(key, value []byte) error {
	if key[0] == keyCustomer || key[0] == keyUsername {
		return s.MemoryStore.Set(key, value)
	}
	return nil
}

// till makes the three commands of a payment over and over in the same memory, as a decoder that reuses its batch would.
type till struct {
	b         *bank
	batch     *Batch
	create    *command.CreatePayment
	authorise *command.Authorise
	settle    *command.Settle
	ids       [3][16]byte
	payment   PaymentID
	key       Key16
	results   []Result
	changes   []Change
	n         uint64
}

func newTill(b *testing.B) *till {
	limits := DefaultLimits()
	bank := newBank(b, limits)
	bank.m.store = thinStore{bank.store}
	l := &till{b: bank}
	l.create = bank.creation(1)
	l.authorise = bank.consent(l.payment, 1)
	l.settle = settle(l.payment, approved, "00")
	l.create.PaymentId, l.authorise.PaymentId, l.settle.PaymentId = l.payment[:], l.payment[:], l.payment[:]
	l.create.IdempotencyKey = l.key[:]
	l.batch = &Batch{Version: Version, Term: 1, StampMs: int64(bank.now)}
	for i, body := range []any{l.create, l.authorise, l.settle} {
		l.batch.Commands = append(l.batch.Commands, wrap(l.ids[i][:], body))
	}
	return l
}

// next names everything anew.
func (l *till) next() {
	l.n++
	l.payment = paymentID(int(uint32(l.n)), l.b.now)
	binary.BigEndian.PutUint64(l.key[:], l.n)
	for i := range l.ids {
		binary.BigEndian.PutUint64(l.ids[i][:], l.n)
		l.ids[i][15] = byte(i + 1)
	}
	l.authorise.FactorStep = int64(l.n)
}

func (l *till) apply(b *testing.B, batch *Batch) {
	var err error
	l.results, l.changes, err = l.b.m.Apply(1, batch, l.results[:0], l.changes[:0])
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range l.results {
		if r.Verdict != Done {
			b.Fatal(r.Verdict)
		}
	}
}

// BenchmarkApplyPayment creates, authorises and settles: the three commands of a payment in one entry.
func BenchmarkApplyPayment(b *testing.B) {
	l := newTill(b)
	b.ReportAllocs()
	for b.Loop() {
		l.next()
		l.apply(b, l.batch)
	}
}

// BenchmarkApplyCreate fills the table of open payments, and begins anew when it is full.
func BenchmarkApplyCreate(b *testing.B) {
	l := newTill(b)
	only := &Batch{Version: Version, Term: 1, StampMs: l.batch.StampMs, Commands: l.batch.Commands[:1]}
	b.ReportAllocs()
	for b.Loop() {
		if l.b.m.open.len() == DefaultLimits().PartnerOpen {
			b.StopTimer()
			l = newTill(b)
			only.Commands = l.batch.Commands[:1]
			b.StartTimer()
		}
		l.next()
		l.apply(b, only)
	}
}

// BenchmarkApplyAttempt is a sign-in's first command.
func BenchmarkApplyAttempt(b *testing.B) {
	l := newTill(b)
	batch := &Batch{Version: Version, Term: 1, StampMs: l.batch.StampMs, Commands: []*Command{
		wrap(l.ids[0][:], &command.Attempt{Customer: 1, Factor: command.Factor_FACTOR_PASSWORD}), wrap(l.ids[1][:], &command.SignIn{Customer: 1}),
	}}
	b.ReportAllocs()
	for b.Loop() {
		l.next()
		l.apply(b, batch)
	}
}

// filled gives a machine with n open payments.
func filled(b *testing.B, n int) *till {
	l := newTill(b)
	l.b.m.limits.PartnerOpen = n
	only := &Batch{Version: Version, Term: 1, StampMs: l.batch.StampMs, Commands: l.batch.Commands[:1]}
	for range n {
		l.next()
		l.apply(b, only)
	}
	return l
}

// BenchmarkOpenPayments tells what an open payment costs in memory, and how long the collector looks at 200,000 of them.
func BenchmarkOpenPayments(b *testing.B) {
	const n = 200_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		l := filled(b, n)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/payment")
		runtime.KeepAlive(l)
	}
}

// BenchmarkLive is what Apply waits for when a snapshot is taken.
func BenchmarkLive(b *testing.B) {
	l := filled(b, 200_000)
	b.ReportAllocs()
	for b.Loop() {
		l.b.m.Live()
	}
}

// BenchmarkSnapshot writes 200,000 open payments, beside Apply.
func BenchmarkSnapshot(b *testing.B) {
	l := filled(b, 200_000)
	b.ReportAllocs()
	for b.Loop() {
		if n, err := l.b.m.Live().WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		} else {
			b.SetBytes(n)
		}
	}
}

// BenchmarkPayment is a status read.
func BenchmarkPayment(b *testing.B) {
	l := filled(b, 1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := l.b.m.Payment(l.payment); !ok {
			b.Fatal("gone")
		}
	}
}

// BenchmarkExpired asks while nothing is due, and while all is.
func BenchmarkExpired(b *testing.B) {
	l := filled(b, 200_000)
	b.Run("none", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if len(l.b.m.Expired(l.b.now, 1024)) != 0 {
				b.Fatal("somebody's time is over")
			}
		}
	})
	b.Run("all", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if len(l.b.m.Expired(l.b.now+hour, 1024)) != 1024 {
				b.Fatal("too few")
			}
		}
	})
}
