package gate

import (
	"testing"
	"time"
)

// BenchmarkAcceptAndRelease is a call that finds a free seat, and its answer.
func BenchmarkAcceptAndRelease(b *testing.B) {
	g := New(Config{})
	out := make([]Decision, 0, 8)
	b.ReportAllocs()
	t := Ticket(0)
	for b.Loop() {
		t++
		now := Time(t) * 1000
		out = g.Offer(now, Offer{Ticket: t, Class: Confirm, Weight: 1, Budget: 2 * time.Second}, out[:0])
		out = g.Answer(now, t, 40*time.Millisecond, false, out)
	}
}

// BenchmarkQueueAndRelease is a call that waits first: each answer starts the one that is next, of 1,000 waiting
// calls of 50 partners.
func BenchmarkQueueAndRelease(b *testing.B) {
	g := New(Config{Limit: 64})
	out := make([]Decision, 0, 8)
	var inside []Ticket
	t, now := Ticket(0), Time(0)
	offer := func() {
		t++
		out = g.Offer(now, Offer{Ticket: t, Class: Express, Partner: uint32(t % 50), Weight: 1, Budget: BudgetMax - Time(t*7919%1000)*time.Millisecond}, out[:0])
		if len(out) > 0 {
			inside = append(inside, out[0].Ticket)
		}
	}
	for range 1064 {
		offer()
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i = (i + 1) % len(inside) {
		now += time.Microsecond
		offer()
		out = g.Answer(now, inside[i], 40*time.Millisecond, false, out[:0])
		inside[i] = out[0].Ticket
	}
}

// full makes a gate in which everything is taken and much waits.
func full() *Gate {
	g := New(Config{Limit: 64})
	for t := Ticket(1); t <= 1064; t++ {
		g.Offer(0, Offer{Ticket: t, Class: Confirm, Weight: 1, Budget: 30 * time.Second}, nil)
	}
	return g
}

// BenchmarkRefusal is an offer that the gate refuses at its door.
func BenchmarkRefusal(b *testing.B) {
	g := full()
	out := make([]Decision, 0, 8)
	b.ReportAllocs()
	t := Ticket(1 << 20)
	for b.Loop() {
		t++
		out = g.Offer(time.Millisecond, Offer{Ticket: t, Class: Confirm, Weight: 1, Budget: 100 * time.Millisecond}, out[:0])
	}
	if out[0].Reason != TooLate {
		b.Fatal(out[0])
	}
}

// BenchmarkRefusalAtTheNode is the same refusal from the level that a node holds.
func BenchmarkRefusalAtTheNode(b *testing.B) {
	levels := full().Level()
	b.ReportAllocs()
	var reason Reason
	for b.Loop() {
		reason, _ = levels[Confirm].Refuses(1, 100*time.Millisecond)
	}
	if reason != TooLate {
		b.Fatal(reason)
	}
}
