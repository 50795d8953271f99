package cluster

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/replica"
)

func quietLogger() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// The benchmarks' core answers at once, and keeps no ledger.
type instantCore struct{ Core }

func (instantCore) Debit(context.Context, Debit, time.Time) Answer {
	return Answer{Word: Approved, ResponseCode: "00", ApprovalCode: "A00001", Elapsed: time.Microsecond}
}

const benchCustomers = 256

// benchParallelism is callers per processor: about what a busy node has in flight.
const benchParallelism = 128

func benchConfirm(b *testing.B, n *Node) {
	orders := make([]Confirmation, b.N)
	next := atomic.Int64{}
	b.SetParallelism(benchParallelism)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := next.Add(1) - 1
			orders[i] = order(b, n, uint64(i)%benchCustomers+1)
		}
	})
	next.Store(0)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			x := orders[next.Add(1)-1]
			for {
				got, err := n.Confirm(x)
				if err != nil {
					b.Error(err)
					return
				}
				if got.Verdict == journal.FactorUsed { // another order of this customer overtook
					x.Proof = journal.TOTP(lastStep.Add(1))
					continue
				}
				if got.Payment.State != journal.StateSettled {
					b.Errorf("%+v", got)
				}
				break
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "payments/s")
}

func inMemory(b *testing.B) *Node {
	b.Helper()
	var log *fakeLog
	n, err := open(Config{Replica: replica.Config{Node: 1}, Core: instantCore{}, Gate: gate.Config{Limit: 1024}}, func(c replica.Config) (Log, error) {
		log = newFakeLog(newDisk(), 0, c.OnApplied)
		return log, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	log.elect()
	return n
}

// One confirmation is two commits: the grant, and the outcome.
func BenchmarkConfirm_Durable(b *testing.B) {
	n := durable(b, b.TempDir(), instantCore{}, 1024)
	defer n.Close()
	populate(b, n, benchCustomers)
	benchConfirm(b, n)
}

func BenchmarkConfirm_InMemory(b *testing.B) {
	n := inMemory(b)
	defer n.Close()
	populate(b, n, benchCustomers)
	benchConfirm(b, n)
}

func benchSubmit(b *testing.B, n *Node) {
	b.SetParallelism(benchParallelism)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			cmd := &journal.Command{Body: &command.Command_Attempt{Attempt: &command.Attempt{Customer: 1, Factor: command.Factor_FACTOR_PASSWORD}}}
			if _, err := n.Submit(cmd, time.Now().Add(30*time.Second)); err != nil {
				b.Error(err)
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
}

func BenchmarkSubmit_Durable(b *testing.B) {
	n := durable(b, b.TempDir(), instantCore{}, 1024)
	defer n.Close()
	populate(b, n, 1)
	benchSubmit(b, n)
}

func BenchmarkSubmit_InMemory(b *testing.B) {
	n := inMemory(b)
	defer n.Close()
	populate(b, n, 1)
	benchSubmit(b, n)
}

func BenchmarkRefused(b *testing.B) {
	var n Node
	n.closeEdge(gate.Breaker)
	b.ReportAllocs()
	for b.Loop() {
		n.Refused(gate.Confirm)
	}
}
