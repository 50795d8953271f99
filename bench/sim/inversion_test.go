package sim

import (
	"testing"
	"time"

	"netbank/cluster/gate"
)

// oneQueue is an admission without classes: first come, first served. A seat ends with the answer.
type oneQueue struct {
	open
	seats   int
	waiting []gate.Ticket
}

func (q *oneQueue) next(out []gate.Decision) []gate.Decision {
	for ; q.inside < q.seats && len(q.waiting) > 0; q.waiting = q.waiting[1:] {
		out = q.open.Offer(0, gate.Offer{Ticket: q.waiting[0]}, out)
	}
	return out
}

func (q *oneQueue) Offer(_ gate.Time, o gate.Offer, out []gate.Decision) []gate.Decision {
	q.waiting = append(q.waiting, o.Ticket)
	return q.next(out)
}

func (q *oneQueue) Withdraw(_ gate.Time, t gate.Ticket, out []gate.Decision) []gate.Decision {
	for i, waiting := range q.waiting {
		if waiting == t {
			q.waiting = append(q.waiting[:i:i], q.waiting[i+1:]...)
			break
		}
	}
	return out
}

func (q *oneQueue) Answer(now gate.Time, t gate.Ticket, elapsed time.Duration, late bool, out []gate.Decision) []gate.Decision {
	return q.next(q.open.Answer(now, t, elapsed, late, out))
}

func TestInversions_AreSeenInOneQueueForAllClasses(t *testing.T) {
	s := Scenario{Name: "twice", Core: small(), Times: 2, Length: 4 * time.Second}
	all := one(t, s, Policy{Name: "one queue", New: func(int, uint64) Admission { return &oneQueue{seats: 16} }})
	ours := one(t, s, Fixed(16))
	t.Logf("%d and %d in one queue, %d and %d at the gate", all.Inversions, all.Shared, ours.Inversions, ours.Shared)
	if all.Inversions < 100 || ours.Inversions > 0 || ours.Shared == 0 {
		t.Errorf("of %d starts in one queue %d were inversions; at the gate %d, and %d that a share explains", all.decided, all.Inversions, ours.Inversions, ours.Shared)
	}
}

func TestInversions_AreWhatNoShareExplains(t *testing.T) {
	f := func(what string, class gate.Class, held, limit int, inversion, explained bool, before func(*precedence)) {
		t.Helper()
		p := newPrecedence()
		before(&p)
		if i, e := p.starts(time.Second, class, 1, held, limit); i != inversion || e != explained {
			t.Errorf("%s: inversion %v, explained %v", what, i, e)
		}
	}
	waits := func(p *precedence) { p.waiting[gate.Confirm] = 1 }
	spent := func(p *precedence) { waits(p); p.spare = [gate.Classes]float64{} }
	f("nobody waits", gate.Inquiry, 9, 64, false, false, func(*precedence) {})
	f("an equal waits", gate.Confirm, 9, 64, false, false, waits)
	f("a class without a share", gate.Inquiry, 0, 64, true, false, waits)
	f("five of six whole seats", gate.Express, 5, 64, true, true, spent)
	f("six of six", gate.Express, 6, 64, true, false, spent)
	f("what rounding took away", gate.Express, 6, 64, true, true, waits)
	f("refused at this moment, with time enough", gate.Inquiry, 0, 64, true, false, func(p *precedence) {
		p.answered(50*time.Millisecond, 1)
		p.refuses(time.Second, gate.Confirm, gate.TooLate, 60*time.Millisecond, 1)
	})
	f("refused, and it was too late", gate.Inquiry, 0, 64, false, false, func(p *precedence) {
		p.answered(50*time.Millisecond, 1)
		p.refuses(time.Second, gate.Confirm, gate.TooLate, 40*time.Millisecond, 1)
	})
	f("refused a moment before", gate.Inquiry, 0, 64, false, false, func(p *precedence) {
		p.refuses(time.Second-1, gate.Confirm, gate.QueueFull, time.Second, 1)
	})
}
