package cluster

import (
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/stream"
	"netbank/cluster/stream/wire"
)

// inLine is inFive with a waiting line, and nodes that check two passwords a second each.
func inLine(t *testing.T, f func(t *testing.T, r *trio)) {
	synctest.Test(t, func(t *testing.T) {
		r := newTrio(t, func(r *rig) {
			r.cfg.Line, r.cfg.SignIns = true, func() float64 { return 2 }
		})
		defer r.close()
		r.addWorkers()
		r.lead(0)
		time.Sleep(time.Second) // the leader has heard how many flows each node has let in so far
		f(t, r)
	})
}

// flows lets so many flows come in at every living node.
func (r *trio) flows(n int) {
	for i, node := range r.nodes {
		for range n {
			if !r.dead[i].Load() {
				node.FlowBegan()
			}
		}
	}
}

// stands checks that the line is closed, or open, as every living node knows it.
func (r *trio) stands(closed bool) {
	r.t.Helper()
	for i, n := range r.nodes {
		if !r.dead[i].Load() && n.Line().Closed != closed {
			r.t.Errorf("node %d: closed is %v, want %v", i+1, n.Line().Closed, closed)
		}
	}
}

// somewhere gives a living node.
func (r *trio) somewhere(dice *rand.Rand) *Node {
	for {
		if i := dice.IntN(len(r.nodes)); !r.dead[i].Load() {
			return r.nodes[i]
		}
	}
}

func arrival(id journal.PaymentID) *journal.Command {
	return &journal.Command{Body: &command.Command_Arrive{Arrive: &command.Arrive{PaymentId: id[:]}}}
}

func admission(id journal.PaymentID) *journal.Command {
	return &journal.Command{Body: &command.Command_Enter{Enter: &command.Enter{PaymentId: id[:]}}}
}

func TestLine_CostsNothingWhileNobodyHasToWait(t *testing.T) {
	inLine(t, func(t *testing.T, r *trio) {
		r.group.mu.Lock()
		before := len(r.group.entries)
		r.group.mu.Unlock()
		for range 30 { // five flows a second; ten can be carried
			r.flows(1)
			time.Sleep(time.Second)
		}
		r.group.mu.Lock()
		defer r.group.mu.Unlock()
		if grown := len(r.group.entries) - before; grown > 0 {
			t.Errorf("%d entries were made", grown)
		}
		r.stands(false)
	})
}

// TestFairLine_AcrossLeaderChangesLostNodesAndWorkers: people come to the line at all nodes and look for their turns at others, while a leader and a worker
// die. They come in by their places, not faster than they can be carried, and all of them.
func TestFairLine_AcrossLeaderChangesLostNodesAndWorkers(t *testing.T) {
	inLine(t, func(t *testing.T, r *trio) {
		dice := rand.New(rand.NewPCG(1, 2))
		r.flows(10)
		time.Sleep(2 * time.Second)
		r.stands(true)
		const people = 90
		var waiting []journal.PaymentID
		places := map[journal.PaymentID]journal.Millis{}
		for range people {
			x := r.order()
			n := r.somewhere(dice)
			if res, err := n.Submit(arrival(x.Payment), time.Now().Add(5*time.Second)); err != nil || res.Verdict != journal.Done {
				t.Fatalf("arrive: %v, %v", res.Verdict, err)
			}
			p, ok, err := n.Place(x.Payment, true)
			if !ok || err != nil {
				t.Fatalf("no place: %v", err)
			}
			if !p.Called && p.Ahead > len(waiting) {
				t.Errorf("%d are ahead of one who came after %d", p.Ahead, len(waiting))
			}
			waiting, places[x.Payment] = append(waiting, x.Payment), p.At
		}
		began := time.Now()
		highest := make([]journal.Millis, len(r.nodes))
		for turn := 0; len(waiting) > 0 && time.Since(began) < 5*time.Minute; turn++ {
			switch turn {
			case 10:
				r.kill(0)
				r.lead(1)
				time.Sleep(500 * time.Millisecond)
				if l := r.nodes[1].Line(); !l.Closed || l.Waiting == 0 {
					t.Errorf("the next leader's line is %+v, and people wait", l)
				}
			case 20:
				r.kill(4)
			}
			time.Sleep(200 * time.Millisecond)
			for i, n := range r.nodes {
				w := n.Line().Watermark
				if !r.dead[i].Load() && w < highest[i] {
					t.Fatalf("the watermark at node %d goes back from %d to %d", i+1, highest[i], w)
				}
				highest[i] = max(highest[i], w)
			}
			waiting = r.takeTurns(dice, waiting, places)
		}
		if len(waiting) > 0 {
			t.Fatalf("%d of %d never came in", len(waiting), people)
		}
		if took := time.Since(began); took < (people-20)*time.Second/10 {
			t.Errorf("%d came in within %v; ten a second can be carried", people, took)
		}
		time.Sleep(5 * time.Second)
		r.stands(false)
	})
}

// TestLine_TheLeaderLearnsHowManyOfThoseCalledCome: from whichever node they come in, and however often they say so.
func TestLine_TheLeaderLearnsHowManyOfThoseCalledCome(t *testing.T) {
	inLine(t, func(t *testing.T, r *trio) {
		dice := rand.New(rand.NewPCG(3, 4))
		r.flows(10)
		time.Sleep(2 * time.Second)
		r.stands(true)
		f := func(people int, comes float64, least, most float64) {
			t.Helper()
			var waiting []journal.PaymentID
			places := map[journal.PaymentID]journal.Millis{}
			for range people {
				x := r.order()
				if res, err := r.somewhere(dice).Submit(arrival(x.Payment), time.Now().Add(5*time.Second)); err != nil || res.Verdict != journal.Done {
					t.Fatalf("arrive: %v, %v", res.Verdict, err)
				}
				if p, ok := r.anyPlace(x.Payment); ok && dice.Float64() < comes {
					waiting, places[x.Payment] = append(waiting, x.Payment), p.At
				}
			}
			for end := time.Now().Add(time.Duration(people) * time.Second / 10); len(waiting) > 0 && time.Now().Before(end); {
				time.Sleep(200 * time.Millisecond)
				waiting = r.takeTurns(dice, waiting, places)
				for id := range places { // who took his turn seconds ago opens his page once more
					if p, ok := r.anyPlace(id); ok && p.Entered > 0 && r.nodes[0].clock.now()-p.Entered > 4000 {
						if _, err := r.somewhere(dice).Submit(admission(id), time.Now().Add(5*time.Second)); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			if got := r.nodes[0].roomSeen.Load(); got.NoShows < least || got.NoShows > most {
				t.Errorf("%.2f of those called are thought not to come, when %.2f of %d did", got.NoShows, comes, people)
			}
		}
		f(80, 1, 0, 0.1)
		f(120, 0.4, 0.1, 0.75)
		f(120, 1, 0, 0.25)
	})
}

// takeTurns lets everybody look once, at any node, who has not come in.
func (r *trio) takeTurns(dice *rand.Rand, waiting []journal.PaymentID, places map[journal.PaymentID]journal.Millis) (left []journal.PaymentID) {
	r.t.Helper()
	for _, id := range waiting {
		n := r.somewhere(dice)
		p, ok, err := n.Place(id, false)
		if err != nil || !ok {
			left = append(left, id) // the node is behind, or has nobody to ask
			continue
		}
		if p.At != places[id] {
			r.t.Fatalf("a place at %d is at %d now", places[id], p.At)
		}
		res, err := n.Submit(admission(id), time.Now().Add(5*time.Second))
		if err != nil {
			left = append(left, id)
			continue
		}
		closed := n.Line().Closed
		if p.Called && res.Verdict != journal.Done {
			r.t.Fatalf("one who was called is told %v", res.Verdict)
		}
		if res.Verdict != journal.Done {
			left = append(left, id)
			continue
		}
		for other, at := range places {
			if q, ok := r.anyPlace(other); closed && ok && at < places[id] && !q.Called {
				r.t.Fatalf("one with a place at %d came in before one with %d was called", places[id], at)
			}
		}
	}
	return left
}

// anyPlace looks a place up at the leader.
func (r *trio) anyPlace(id journal.PaymentID) (journal.Place, bool) {
	for _, n := range r.nodes {
		if n.Leading() {
			p, ok, _ := n.Place(id, false)
			return p, ok
		}
	}
	return journal.Place{}, false
}

func TestEverythingIsBounded_AHeartbeatThatCannotBe(t *testing.T) {
	f := func(h *wire.Heartbeat) {
		t.Helper()
		g := &guest{flows: 5, beat: true}
		if err := g.beaten(h); !errors.Is(err, stream.ErrFrame) || g.flows != 5 || g.signIns != 0 {
			t.Errorf("%v was taken: %v", h, err)
		}
	}
	f(&wire.Heartbeat{Flows: 4})
	f(&wire.Heartbeat{Flows: 6, SignIns: math.NaN()})
	f(&wire.Heartbeat{Flows: 6, SignIns: math.Inf(1)})
	f(&wire.Heartbeat{Flows: 6, SignIns: -1})
	line := func(w *wire.Line) {
		t.Helper()
		if l, err := takeLine(w); !errors.Is(err, stream.ErrFrame) {
			t.Errorf("%v was taken: %+v, %v", w, l, err)
		}
	}
	line(&wire.Line{PerSecond: math.NaN()})
	line(&wire.Line{PerSecond: 1, Then: math.Inf(1)})
	line(&wire.Line{PerSecond: 1, SlowForMs: -1})
	line(&wire.Line{PerSecond: 1, SlowForMs: math.MaxInt64})
	want := Line{Closed: true, Watermark: 7, Waiting: 3, Pace: gate.Pace{PerSecond: 2, Guessed: true, SlowFor: time.Minute, Then: 5}}
	if got, err := takeLine(putLine(&want)); err != nil || got != want {
		t.Errorf("%+v became %+v, %v", want, got, err)
	}
}

// Customers who are refused at the confirmation have come to it. If only those counted who were let through, the more were refused the more would be let in.
func TestLine_WhoIsRefusedAtTheConfirmationHasComeToIt(t *testing.T) {
	f := func(flows, paid, refused, tries int, least, most float64) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			defer r.close()
			r.cfg.Line, r.cfg.Gate.Limit = true, 1
			slow := false
			r.core.script = func(Debit) script {
				if slow {
					return script{work: 5 * time.Second}
				}
				return script{work: time.Millisecond}
			}
			r.boot()
			for range flows {
				r.node.FlowBegan()
			}
			time.Sleep(time.Second)
			for range paid {
				r.confirm(r.create())
			}
			slow = true
			var inside sync.WaitGroup
			first := r.create()
			inside.Go(func() { r.confirm(first) })
			time.Sleep(time.Second)
			for range refused {
				x := r.create()
				x.Budget = 20 * time.Millisecond
				for range tries {
					if got, err := r.node.Confirm(x); err != nil || got.Refusal == nil {
						t.Fatalf("%+v, %v", got.Refusal, err)
					}
				}
			}
			inside.Wait()
			time.Sleep(30 * time.Second)
			if goOn := r.node.Status().Line.Room.GoOn; goOn < least || goOn > most {
				t.Errorf("of %d who came in, %d paid and %d were refused %d times: a part of %.2f is said to confirm, want %.2f to %.2f", flows, paid, refused, tries, goOn, least, most)
			}
		})
	}
	f(1000, 100, 600, 1, 0.6, 0.8)
	f(1000, 100, 400, 2, 0.4, 0.6) // who presses again is the same customer
}
