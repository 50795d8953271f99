package journal

import (
	"slices"
	"strconv"
	"testing"

	"netbank/cluster/journal/command"

	"pgregory.net/rapid"
)

const (
	workers = command.Lever_LEVER_WORKERS
	level   = command.Lever_LEVER_LEVEL
)

func wishFor(lever command.Lever, fence uint64, value uint32, until Millis) *command.PutWish {
	return &command.PutWish{Lever: lever, Fence: fence, Value: value, UntilMs: int64(until), Base: 2, Reason: "the 11th", Operator: "ann"}
}

func proposal(fence uint64, value uint32, until Millis) *command.PutWish {
	w := wishFor(workers, fence, value, until)
	w.Approval = true
	return w
}

func drain(node uint32, on bool) *command.DrainNode {
	return &command.DrainNode{Node: node, On: on, Reason: "a new kernel", Operator: "ann"}
}

// wishBodies are commands of each kind that take effect after membershipBodies, in this order.
func wishBodies(now Millis) []any {
	return []any{
		wishFor(workers, 0, 4, now+hour), proposal(1, 3, now+hour), wishFor(level, 0, LevelReserve, 0),
		&command.ApproveWish{Lever: workers, Number: 2, Operator: "bob"}, &command.LapseWishes{}, drain(1, true),
		&command.Note{Verb: "unlock", Operator: "ann", Reason: "he called", Detail: "customer 7"}, wishFor(workers, 3, 1, now+hour),
	}
}

// wished says whether a journal holds all that there is of wishes.
func wished(m *Machine) bool {
	draining := slices.ContainsFunc(m.Membership().Nodes, func(n Node) bool { return n.Draining > 0 && n.Member() })
	approved := slices.ContainsFunc(m.acts, func(a Act) bool { return a.Approver != "" })
	return draining && approved && m.Wishes().Workers.Now.Until > 0 && m.Wishes().Level.Pending.Number > 0
}

// wish draws a command of an operator.
func (c *crowd) wish() any {
	lever := command.Lever(c.number(0, 2, "lever"))
	names := []string{"ann", "bob", ""}
	who := func() string { return names[min(c.number(0, 20, "who")%3, c.number(1, 2, "nobody"))] }
	fence, pending := uint64(0), uint64(0)
	if w := c.m.Wishes().Of(leverOf(lever)); w != nil {
		fence, pending = w.Fence, w.Pending.Number
	}
	if fence > 0 && c.number(0, 4, "late") == 0 {
		fence--
	}
	switch c.number(0, 8, "wish") {
	case 8:
		p := policy(c.m.Policy().Version)
		if c.number(0, 4, "late") == 0 {
			p.Fence++
		}
		p.Seats, p.Operator = uint32(c.number(0, LimitMax+1, "seats")), who()
		return p
	case 0, 1, 2:
		w := wishFor(lever, fence, uint32(c.number(0, 5, "value")), 0)
		if c.number(0, 2, "ends") > 0 {
			w.UntilMs = int64(c.now) + int64(c.number(-1, int(2*hour), "until"))
		}
		w.Approval, w.Operator = c.number(0, 2, "approval") == 0, who()
		return w
	case 3:
		return &command.ApproveWish{Lever: lever, Number: pending, Operator: who()}
	case 4:
		return &command.LapseWishes{}
	case 5, 6:
		return drain(uint32(c.number(0, 9, "node")), c.number(0, 2, "on") > 0)
	}
	return &command.Note{Verb: "unlock", Operator: who(), Reason: "he called"}
}

// The invariants of the wishes, over random logs of their own commands: a lever is moved under the fence that was seen, by two operators
// where it was asked for, and what has an end gives way to what has none.
func TestALeverIsMovedByWhoSawItLast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := smallLimits()
		m := New(NewMemoryStore(), l)
		c := &crowd{t: t, now: morning, term: 1, ids: 1, m: m}
		base := map[Lever]uint32{}
		number := uint64(0)
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			c.now += Millis(c.number(0, int(20*minute), "wait"))
			c.count++
			cmd := wrap(named("command", strconv.Itoa(c.count)), c.wish())
			if len(c.past) > 0 && c.number(0, 5, "repeat") == 0 {
				cmd = rapid.SampledFrom(c.past).Draw(t, "again")
			}
			c.past = append(c.past, cmd)
			was := m.Wishes()
			results, _, err := m.Apply(1, &Batch{Version: Version, Term: 1, StampMs: int64(c.now), Commands: []*Command{cmd}}, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			is := m.Wishes()
			for _, lever := range []Lever{LeverWorkers, LeverLevel} {
				a, b := was.Of(lever), is.Of(lever)
				put, approve := cmd.GetPutWish(), cmd.GetApproveWish()
				switch {
				case a.Fence > b.Fence || *a != *b && a.Fence == b.Fence:
					t.Fatalf("%v changed from fence %d to %d", lever, a.Fence, b.Fence)
				case *a == *b:
				case put != nil && leverOf(put.Lever) == lever:
					if put.Fence != a.Fence || put.Approval && a.Now != b.Now {
						t.Fatalf("moved under fence %d by who saw %d", a.Fence, put.Fence)
					}
				case approve != nil && leverOf(approve.Lever) == lever:
					if b.Now.Value != a.Pending.Value || b.Now.Approver == b.Now.Operator || b.Now.Approver == "" {
						t.Fatalf("%+v became %+v", a, b)
					}
				case cmd.GetLapseWishes() == nil:
					t.Fatalf("%v moved by %v", lever, cmd)
				}
				if b.Now.Number > 0 && b.Now.Until == 0 {
					base[lever] = b.Now.Value
				}
				if want, known := base[lever]; known && b.Base != want {
					t.Fatalf("%v goes back to %d, want %d", lever, b.Base, want)
				}
				if cmd.GetLapseWishes() != nil && results[0].Verdict == Done && b.Now.Until > 0 && b.Now.Until <= m.Now() {
					t.Fatalf("%v stands although its time is over: %+v", lever, b)
				}
			}
			acts := m.Acts(100)
			if len(acts) > l.Acts {
				t.Fatalf("%d acts", len(acts))
			}
			for i, a := range acts {
				if i > 0 && a.Number != acts[i-1].Number+1 {
					t.Fatalf("act %d follows %d", a.Number, acts[i-1].Number)
				}
			}
			if is.Version > was.Version && (len(acts) == 0 || acts[len(acts)-1].Number == number) {
				t.Fatal("a lever moved, and the audit does not know")
			}
			if len(acts) > 0 {
				number = acts[len(acts)-1].Number
			}
		}
	})
}

func TestOfTwoOperatorsWhoLookedAtOnceOneIsRefused(t *testing.T) {
	b := newBank(t, DefaultLimits())
	b.must(Done, wishFor(workers, 0, 5, b.now+2*hour))
	b.must(NotAllowed, wishFor(workers, 0, 7, b.now+2*hour))
	if w := b.m.Wishes().Workers; w.Now.Value != 5 || w.Fence != 1 || w.Base != 2 || w.Now.Operator != "ann" {
		t.Errorf("%+v", w)
	}
	b.must(Done, wishFor(level, 0, LevelEmergency, 0)) // each lever has a fence of its own
}

func TestAWishRevertsByItself_InJournalTime(t *testing.T) {
	b := newBank(t, DefaultLimits())
	until := b.now + 2*hour
	b.must(Done, wishFor(workers, 0, 5, until))
	if due := b.m.Wishes().Due(DefaultLimits()); due != until {
		t.Errorf("due is %d, want %d", due, until)
	}
	b.now = until - 1
	b.must(Done, &command.LapseWishes{})
	if w := b.m.Wishes().Workers; w.Now.Value != 5 {
		t.Fatalf("it was over too early: %+v", w)
	}
	b.now = until
	b.must(Done, &command.LapseWishes{})
	w := b.m.Wishes().Workers
	if w.Now.Value != 2 || w.Now.Until != 0 || w.Now.Operator != "" || w.Fence != 2 {
		t.Errorf("%+v", w)
	}
	b.must(NotAllowed, wishFor(workers, 1, 7, b.now+hour)) // seen before the end came
	if due := b.m.Wishes().Due(DefaultLimits()); due != 0 {
		t.Errorf("still due: %d", due)
	}
	acts := b.m.Acts(10)
	if len(acts) != 2 || acts[0].Verb != "workers" || acts[0].From != 2 || acts[0].To != 5 || acts[1].Verb != "workers-lapsed" || acts[1].From != 5 || acts[1].To != 2 {
		t.Errorf("%+v", acts)
	}
}

// One emergency on top of another ends where both began, and what is to stay is where later ones end.
func TestATimedWishNeverBecomesTheBase(t *testing.T) {
	b := newBank(t, DefaultLimits())
	b.must(Done, wishFor(workers, 0, 5, b.now+hour))
	b.must(Done, wishFor(workers, 1, 8, b.now+2*hour))
	b.now += 2 * hour
	b.must(Done, &command.LapseWishes{})
	if w := b.m.Wishes().Workers; w.Now.Value != 2 {
		t.Fatalf("%+v", w)
	}
	b.must(Done, wishFor(workers, 3, 4, 0))
	b.must(Done, wishFor(workers, 4, 9, b.now+hour))
	b.now += hour
	b.must(Done, &command.LapseWishes{})
	if w := b.m.Wishes().Workers; w.Now.Value != 4 || w.Base != 4 {
		t.Errorf("%+v", w)
	}
}

func TestASecondOperatorAgreesOrNothingHappens(t *testing.T) {
	b := newBank(t, DefaultLimits())
	b.must(Done, proposal(0, 5, b.now+2*hour))
	if w := b.m.Wishes().Workers; w.Now.Number != 0 || w.Pending.Value != 5 {
		t.Fatalf("%+v", w)
	}
	agree := func(number uint64, who string) *command.ApproveWish {
		return &command.ApproveWish{Lever: workers, Number: number, Operator: who}
	}
	b.must(NotAllowed, agree(1, "ann"))
	b.must(NotFound, agree(2, "bob"))
	b.must(Done, agree(1, "bob"))
	if w := b.m.Wishes().Workers; w.Now.Value != 5 || w.Now.Approver != "bob" || w.Pending.Number != 0 || w.Fence != 2 {
		t.Fatalf("%+v", w)
	}
	b.must(NotFound, agree(1, "bob"))
	b.must(Done, proposal(2, 9, b.now+2*hour))
	b.now += hour
	b.must(NotFound, agree(3, "bob")) // nobody agreed in time
	b.must(Done, &command.LapseWishes{})
	if w := b.m.Wishes().Workers; w.Now.Value != 5 || w.Pending.Number != 0 || w.Fence != 4 {
		t.Errorf("%+v", w)
	}
}

func TestAWishOutOfRangeIsRefused(t *testing.T) {
	b := newBank(t, DefaultLimits())
	f := func(change func(w *command.PutWish)) {
		t.Helper()
		w := wishFor(workers, 0, 5, b.now+hour)
		change(w)
		b.must(BadCommand, w)
	}
	f(func(w *command.PutWish) { w.Lever = 0 })
	f(func(w *command.PutWish) { w.Lever = 257 })
	f(func(w *command.PutWish) { w.Value = 1025 })
	f(func(w *command.PutWish) { w.Base = 1025 })
	f(func(w *command.PutWish) { w.Lever, w.Value = level, LevelEmergency+1 })
	f(func(w *command.PutWish) { w.UntilMs = int64(b.now) })
	f(func(w *command.PutWish) { w.UntilMs = -1 })
	f(func(w *command.PutWish) { w.UntilMs = int64(b.now + 32*24*hour) })
	f(func(w *command.PutWish) { w.Reason = "" })
	f(func(w *command.PutWish) { w.Operator = "a\nb" })
	b.must(BadCommand, &command.Note{Verb: "two words", Operator: "ann", Reason: "why"})
	b.must(BadCommand, &command.ApproveWish{Lever: 257, Number: 1, Operator: "bob"})
	if len(b.m.Acts(10)) > 0 {
		t.Errorf("the audit has %+v", b.m.Acts(10))
	}
}

func TestANodeIsDrainedUntilItIsNot(t *testing.T) {
	b := newBank(t, DefaultLimits())
	b.must(NotFound, drain(1, true))
	b.must(Done, founder(1))
	b.must(Done, drain(1, true))
	held := b.m.Membership()
	if n := held.Node(1); n.Draining != b.now || n.DrainReason != "a new kernel" {
		t.Fatalf("%+v", n)
	}
	b.must(Done, drain(1, true))
	if b.m.Membership() != held {
		t.Error("drained twice, it is drained anew")
	}
	again, _ := restored(t, b.m, b.store, DefaultLimits())
	if n := again.Membership().Node(1); n.Draining != b.now || n.DrainReason != "a new kernel" {
		t.Errorf("from the snapshot: %+v", n)
	}
	b.must(Done, drain(1, false))
	if n := b.m.Membership().Node(1); n.Draining != 0 || n.DrainReason != "" || held.Node(1).Draining == 0 {
		t.Errorf("%+v", n)
	}
	b.must(Done, &command.RemoveNode{Node: 1})
	b.must(NotFound, drain(1, true))
	b.must(BadCommand, &command.DrainNode{Node: 1, On: true, Operator: "ann"})
	if acts := b.m.Acts(10); len(acts) != 2 || acts[0].Verb != VerbDrain || acts[1].Verb != VerbUndrain || acts[1].Node != 1 {
		t.Errorf("%+v", acts)
	}
}

func TestTheAuditForgetsTheOldest(t *testing.T) {
	l := DefaultLimits()
	l.Acts = 3
	b := newBank(t, l)
	for n := range 5 {
		b.must(Done, &command.Note{Verb: "unlock", Operator: "ann", Reason: "he called", Detail: strconv.Itoa(n)})
	}
	held := b.m.Acts(10)
	b.must(Done, &command.Note{Verb: "unlock", Operator: "ann", Reason: "he called", Detail: "5"})
	if len(held) != 3 || held[0].Detail != "2" || held[0].Number != 3 {
		t.Errorf("%+v", held)
	}
	again, _ := restored(t, b.m, b.store, l)
	if now := again.Acts(2); len(now) != 2 || now[1].Number != 6 || now[1].Detail != "5" {
		t.Errorf("%+v", now)
	}
	if again.Digest() != b.m.Digest() {
		t.Error("the snapshot gives another state")
	}
}

// A program that knows no wishes must read what has none.
func TestASnapshotIsOfTheOldestVersionThatHoldsIt(t *testing.T) {
	b := newBank(t, DefaultLimits())
	f := func(want byte) {
		t.Helper()
		if got := snapshotOf(t, b.m).Bytes()[len(snapshotMagic)+1]; got != want {
			t.Errorf("version %d, want %d", got, want)
		}
	}
	f(1)
	b.must(NotAllowed, wishFor(workers, 3, 5, 0))
	b.must(Done, &command.LapseWishes{})
	f(1)
	b.must(Done, founder(1))
	f(2)
	b.must(Done, wishFor(workers, 0, 5, 0))
	f(3)
}
