package gate

import (
	"testing"
	"time"
)

// A partner's new part counts for who waits already: of two who have as much waiting, one with three times the weight starts three times as many.
func TestPartnersPartsChangeWhileTheyWait(t *testing.T) {
	g := New(Config{Limit: 1, ServiceTime: time.Millisecond})
	ticket, partner := Ticket(0), map[Ticket]uint32{}
	started := map[uint32]int{}
	take := func(decisions []Decision) (inside Ticket) {
		for _, d := range decisions {
			if d.Action == Start {
				inside = d.Ticket
				started[partner[d.Ticket]]++
			}
		}
		return inside
	}
	inside := Ticket(0)
	for range 40 {
		for _, p := range []uint32{1, 2} {
			ticket++
			partner[ticket] = p
			if in := take(g.Offer(0, Offer{Ticket: ticket, Class: Confirm, Partner: p, Weight: 1, Budget: time.Minute}, nil)); in != 0 {
				inside = in
			}
		}
	}
	now := Time(0)
	run := func(calls int, want1, want2 int) {
		t.Helper()
		clear(started)
		for range calls {
			now += time.Millisecond
			inside = take(g.Answer(now, inside, time.Millisecond, false, nil))
		}
		if got1, got2 := started[1], started[2]; got1 < want1-1 || got1 > want1+1 || got1+got2 != calls || got2 < want2-1 {
			t.Errorf("%d and %d started, want %d and %d", got1, got2, want1, want2)
		}
	}
	run(20, 10, 10)
	g.SetShares(now, Default().Shares, map[uint32]float64{1: 3}, nil)
	run(20, 15, 5)
	g.SetShares(now, Default().Shares, nil, nil)
	run(10, 5, 5)
}

// A class's guaranteed share counts from the next seat on.
func TestSharesChangeWhileClassesWait(t *testing.T) {
	g := New(Config{Limit: 10, ServiceTime: time.Millisecond})
	class := map[Ticket]Class{}
	var inside []Ticket
	take := func(decisions []Decision) {
		for _, d := range decisions {
			if d.Action == Start {
				inside = append(inside, d.Ticket)
			}
		}
	}
	for n := range Ticket(200) {
		class[n+1] = [...]Class{Confirm, Inquiry}[n%2]
		take(g.Offer(0, Offer{Ticket: n + 1, Class: class[n+1], Weight: 1, Budget: time.Minute}, nil))
	}
	run := func(want int) {
		t.Helper()
		for range 30 { // three times each seat
			first := inside[0]
			inside = inside[1:]
			take(g.Answer(time.Millisecond, first, time.Millisecond, false, nil))
		}
		got := 0
		for _, ticket := range inside {
			if class[ticket] == Inquiry {
				got++
			}
		}
		if got != want || len(inside) != 10 {
			t.Errorf("%d of %d seats are the lowest class's, want %d", got, len(inside), want)
		}
	}
	run(0)
	shares := Default().Shares
	shares[Inquiry] = 0.5
	g.SetShares(time.Millisecond, shares, nil, nil)
	run(5)
}
