package cluster

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/stream"
	"netbank/cluster/stream/wire"
)

const firstWorker = 3

// asks gives the index of the node that a worker asks.
func (r *trio) asks(worker int) int {
	r.t.Helper()
	for range 3000 {
		if node := r.nodes[worker].Status().Reads.Node; node != 0 {
			return int(node) - 1
		}
		time.Sleep(time.Millisecond)
	}
	r.t.Fatal("the worker asks nobody")
	return 0
}

func TestWorker_ServesCustomersAndPartnersInFull(t *testing.T) {
	inFive(t, func(t *testing.T, r *trio) {
		time.Sleep(13 * time.Second) // until nothing that a process before the first may have left is inside the core
		for i := firstWorker; i < len(r.nodes); i++ {
			n := r.nodes[i]
			x := r.order()
			if p, ok, err := n.Payment(x.Payment); !ok || err != nil || p.State != journal.StateReceived || p.CreditorName != "Shop" {
				t.Errorf("%+v, %v, %v", p, ok, err)
			}
			got := r.confirmAt(i, x)
			if got.Verdict != journal.Done || got.Payment.State != journal.StateSettled || got.Payment.Executor.Node != journal.NodeID(i+1) {
				t.Errorf("node %d: %+v", i+1, got)
			}
			r.is(x, journal.StateSettled, 1)
			for node := range r.nodes {
				if page, err := r.nodes[node].PaymentsOf(x.Customer, journal.PaymentID{}); err != nil || len(page) != 1 || page[0].ID != x.Payment || page[0].State != journal.StateSettled {
					t.Errorf("node %d lists %d payments, %v", node+1, len(page), err)
				}
			}
			if page, err := n.PaymentsOf(x.Customer, x.Payment); err != nil || len(page) != 0 {
				t.Errorf("behind the newest: %d payments, %v", len(page), err)
			}
			if r.sentBy[x.Payment] != i {
				t.Errorf("node %d's payment was sent by node %d", i+1, r.sentBy[x.Payment]+1)
			}
			if money, refusal, err := n.Balance(gate.Inquiry, "62220000000001", "CNY", time.Second); err != nil || refusal != nil || money.Minor != 12345 {
				t.Errorf("balance %v, %v, %v", money, refusal, err)
			}
			if result, err := n.Submit(attempt(), time.Now().Add(time.Second)); err != nil || result.Verdict != journal.Done {
				t.Errorf("submit %v, %v", result.Verdict, err)
			}
			if c, ok, err := n.Customer("customer-7"); !ok || err != nil || c.ID != 7 || string(c.TOTPSealed) != "sealed" || len(c.Accounts) != 1 || c.Accounts[0].Number != accountOf(7) {
				t.Errorf("%+v, %v, %v", c, ok, err)
			}
			if c, ok, err := n.CustomerByID(7); !ok || err != nil || c.Username != "customer-7" {
				t.Errorf("%+v, %v, %v", c, ok, err)
			}
			if _, ok, err := n.Customer("nobody"); ok || err != nil {
				t.Errorf("nobody: %v, %v", ok, err)
			}
			if a, ok, err := n.Access(7); !ok || err != nil || a.Epoch != 1 {
				t.Errorf("%+v, %v, %v", a, ok, err)
			}
			if p, ok := n.Partner(1); !ok || p.Name != "Shop" || len(n.Partners()) != 1 {
				t.Errorf("%+v, %v", p, ok)
			}
		}
	})
}

// The outcome is the work of another node: the worker hears it from the node that it asks.
func TestWorker_HearsAnOutcomeThatAnotherNodeBrought(t *testing.T) {
	inFive(t, func(t *testing.T, r *trio) {
		r.core.script = func(Debit) script { return script{work: time.Second} }
		x := r.order()
		var asks sync.WaitGroup
		asks.Go(func() { r.confirmAt(1, x) })
		time.Sleep(100 * time.Millisecond)
		asks.Go(func() {
			if got := r.confirmAt(firstWorker, x); got.Payment.State != journal.StateSettled || got.Verdict != journal.Attached {
				t.Errorf("got %+v", got)
			}
		})
		asks.Go(func() {
			start := time.Now()
			p, ok, err := r.nodes[firstWorker+1].Await(x.Payment, 2, time.Now().Add(10*time.Second))
			if !ok || err != nil || p.State != journal.StateSettled || time.Since(start) > 1200*time.Millisecond {
				t.Errorf("%v, %v, %v after %v", p.State, ok, err, time.Since(start))
			}
		})
		// Whoever is asked dies meanwhile: the waiting goes on at another.
		time.Sleep(300 * time.Millisecond)
		for _, w := range []int{firstWorker, firstWorker + 1} {
			r.each(w, (*line).cut)
		}
		asks.Wait()
	})
}

// The outcome comes while the worker is cut off: it hears it when it is back, and not at the end of its patience.
func TestWorker_HearsWhatItHasMissed(t *testing.T) {
	inFive(t, func(t *testing.T, r *trio) {
		r.core.script = func(Debit) script { return script{work: time.Second} }
		x := r.order()
		var asks sync.WaitGroup
		asks.Go(func() { r.confirmAt(1, x) })
		time.Sleep(100 * time.Millisecond)
		start := time.Now()
		within := func(p journal.Payment) {
			if took := time.Since(start); p.State != journal.StateSettled || took > 4*time.Second {
				t.Errorf("%v after %v", p.State, took)
			}
		}
		asks.Go(func() { within(r.confirmAt(firstWorker, x).Payment) })
		asks.Go(func() {
			p, _, _ := r.nodes[firstWorker].Await(x.Payment, 2, time.Now().Add(30*time.Second))
			within(p)
		})
		time.Sleep(200 * time.Millisecond)
		r.deaf[firstWorker].Store(true)
		r.cut(firstWorker)
		time.Sleep(2 * time.Second)
		r.deaf[firstWorker].Store(false)
		asks.Wait()
	})
}

// What nobody confirms is marked, whichever of its two streams a worker lacks; and on nodes with a journal too.
func TestUnknownIsNotFailed_WhatNobodyConfirmsIsMarked(t *testing.T) {
	inFive(t, func(t *testing.T, r *trio) {
		w := r.nodes[firstWorker]
		x, other := r.order(), r.order()
		f := func(n *Node, want, listed error) {
			t.Helper()
			if p, ok, err := n.Payment(x.Payment); !ok || p.State != journal.StateReceived || !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("node %d: %v, %v, %v", n.executor.Node, p.State, ok, err)
			}
			if _, err := n.PaymentsOf(1, journal.PaymentID{}); !errors.Is(err, listed) || listed == nil && err != nil {
				t.Errorf("node %d, a customer's payments: %v", n.executor.Node, err)
			}
		}
		f(w, nil, nil)
		f(r.nodes[1], nil, nil)
		// There is a leader, and nobody to ask.
		r.noReads.Store(true)
		w.far.mu.Lock()
		link := w.far.link
		w.far.mu.Unlock()
		link.Close(nil)
		link.Wait()
		time.Sleep(time.Millisecond)
		f(w, ErrStale, ErrUnavailable)
		if _, ok, err := w.Payment(other.Payment); ok || !errors.Is(err, ErrUnavailable) {
			t.Errorf("never seen: %v, %v", ok, err)
		}
		if !w.led() {
			t.Error("the stream to the leader has ended too")
		}
		r.noReads.Store(false)
		r.asks(firstWorker)
		f(w, nil, nil)
		// There is somebody to ask, and no leader.
		r.members[0].depose(vanishes)
		time.Sleep(time.Millisecond)
		f(w, ErrStale, ErrStale)
		f(r.nodes[1], ErrStale, ErrStale)
		f(r.nodes[0], ErrStale, ErrStale)
	})
}

func TestRule8_OlderPaymentsAndSettingsAreNotTaken(t *testing.T) {
	n := &Node{far: newFar(nil, journal.DefaultLimits())}
	id := journal.PaymentID{1}
	for _, version := range []uint32{1, 3, 2} {
		n.learn(&journal.Payment{ID: id, State: journal.StateReceived, Version: version})
	}
	if p, _ := n.far.known.get(id); p.Version != 3 {
		t.Errorf("version %d is remembered", p.Version)
	}
	put := func(applied uint64, name string) error {
		partner := journal.Partner{ID: 1, Name: name}
		return n.far.set(&wire.Settings{First: true, Last: true, Applied: applied, Partners: []*wire.Partner{stream.PutPartner(&partner)}})
	}
	n.linkTerm.Store(1)
	if n.Joined() {
		t.Error("it says that it serves, and knows no partner")
	}
	if put(7, "old") != nil || !n.Joined() || put(8, "new") != nil || put(8, "newer") != nil {
		t.Error("newer settings are not taken")
	}
	if err := put(7, "old"); !errors.Is(err, errBehind) {
		t.Errorf("got %v", err)
	}
	if err := n.far.set(&wire.Settings{First: true, Applied: 9}); err != nil {
		t.Error(err)
	}
	if p, ok := n.far.settings.Load().partner(1); !ok || p.Name != "newer" {
		t.Errorf("%+v: half of the settings count", p)
	}
}

// A worker that has seen something never shows less, whoever it asks next.
func TestRule8_AWorkerNeverShowsLessThanItHasShown(t *testing.T) {
	inFive(t, func(t *testing.T, r *trio) {
		x := r.order()
		w := r.nodes[firstWorker]
		for i := range r.members {
			if i != 0 {
				r.members[i].lag.Store(int64(time.Hour))
			}
		}
		time.Sleep(10 * time.Millisecond)
		// What the leader has seen, the worker has seen: it found out that there is no such payment.
		x2 := r.create()
		if p, ok, err := w.Payment(x2.Payment); err == nil && !ok {
			t.Errorf("%v is not found", p)
		}
		r.nodes[0].Submit(&journal.Command{Body: &command.Command_EndSession{EndSession: &command.EndSession{Customer: uint64(x.Customer), SessionEpoch: 1}}}, time.Now().Add(time.Second))
		w.CatchUp(time.Second)
		for range 40 {
			a, ok, err := w.Access(x.Customer)
			if err == nil && (!ok || !a.Ended) {
				t.Errorf("node %d shows a session that has ended: %+v", r.asks(firstWorker)+1, a)
			}
			time.Sleep(50 * time.Millisecond)
			r.each(firstWorker, (*line).cut)
		}
	})
}

// "Not found" is confirmed at the leader, and told as not found only then.
func TestRule8_AWorkersNotFoundIsConfirmedAtTheLeader(t *testing.T) {
	inFive(t, func(t *testing.T, r *trio) {
		for i := range r.members {
			r.members[i].lag.Store(int64(200 * time.Millisecond))
		}
		time.Sleep(time.Second)
		for range 10 {
			x := r.create()
			if p, ok, err := r.nodes[firstWorker].Payment(x.Payment); !ok || err != nil {
				t.Errorf("%v, %v, %v", p.State, ok, err)
			}
		}
		x := r.create()
		x.Payment[15]++
		if _, ok, err := r.nodes[firstWorker].Payment(x.Payment); ok || err != nil {
			t.Errorf("found what there is not: %v, %v", ok, err)
		}
		r.members[0].depose(vanishes)
		time.Sleep(50 * time.Millisecond)
		if _, ok, err := r.nodes[firstWorker].Payment(x.Payment); ok || !errors.Is(err, ErrUnavailable) {
			t.Errorf("without a leader: %v, %v", ok, err)
		}
	})
}

// Cut off from everybody, a worker grants nothing, shows what it has seen as that, and says of everything else that it cannot know.
func TestWorker_CutOffItGrantsNothingAndShowsWhatItKnowsAsStale(t *testing.T) {
	inFive(t, func(t *testing.T, r *trio) {
		w := r.nodes[firstWorker]
		seen, other, done := r.order(), r.order(), r.order()
		r.confirmAt(firstWorker, done)
		if _, ok, err := w.Payment(seen.Payment); !ok || err != nil {
			t.Fatalf("%v, %v", ok, err)
		}
		r.deaf[firstWorker].Store(true)
		r.cut(firstWorker)
		time.Sleep(time.Second)
		if refusal, ok := w.Refused(gate.Confirm); ok {
			t.Errorf("a moment after the loss of its leader the edge says %v", refusal.Reason)
		}
		if p, ok, err := w.Payment(seen.Payment); !ok || !errors.Is(err, ErrStale) || p.State != journal.StateReceived {
			t.Errorf("seen: %v, %v, %v", p.State, ok, err)
		}
		if p, ok, err := w.Payment(done.Payment); !ok || err != nil || p.State != journal.StateSettled {
			t.Errorf("done, which never changes: %v, %v, %v", p.State, ok, err)
		}
		if _, ok, err := w.Payment(other.Payment); ok || !errors.Is(err, ErrUnavailable) {
			t.Errorf("never seen: %v, %v", ok, err)
		}
		if page, err := w.PaymentsOf(done.Customer, journal.PaymentID{}); len(page) != 0 || !errors.Is(err, ErrUnavailable) {
			t.Errorf("a customer's payments: %d, %v", len(page), err)
		}
		if _, _, err := w.Access(1); !errors.Is(err, ErrUnavailable) {
			t.Errorf("access: %v", err)
		}
		if _, ok := w.Partner(1); !ok {
			t.Error("the partners are forgotten")
		}
		time.Sleep(LeaderlessMax)
		if refusal, ok := w.Refused(gate.Confirm); !ok || refusal.Reason != gate.NoLeader {
			t.Errorf("long after the loss of its leader the edge says %v, %v", refusal.Reason, ok)
		}
		seen.Budget = 2 * time.Second
		if got, err := w.Confirm(seen); !errors.Is(err, ErrNoLeader) || got.Refusal != nil {
			t.Errorf("confirm: %+v, %v", got, err)
		}
		if w.Joined() {
			t.Error("it says that it serves")
		}
		r.deaf[firstWorker].Store(false)
		time.Sleep(500 * time.Millisecond)
		if p, ok, err := w.Payment(seen.Payment); !ok || err != nil || p.State != journal.StateReceived || !w.Joined() {
			t.Errorf("back: %v, %v, %v", p.State, ok, err)
		}
		r.is(seen, journal.StateReceived, 0)
	})
}

// A node that is asked and dies, or falls silent without closing its connections, is left for another one.
func TestWorker_LeavesANodeThatDiesOrIsSilent(t *testing.T) {
	inFive(t, func(t *testing.T, r *trio) {
		x := r.order()
		w := r.nodes[firstWorker]
		for range 5 {
			first := r.asks(firstWorker)
			r.deaf[first].Store(true)
			r.cut(first)
			start := time.Now()
			if _, ok, err := w.Payment(x.Payment); !ok || err != nil && !errors.Is(err, ErrStale) {
				t.Errorf("%v, %v", ok, err)
			}
			if second := r.asks(firstWorker); second == first || time.Since(start) > stream.SilenceMax {
				t.Errorf("node %d is asked after node %d, %v later", second+1, first+1, time.Since(start))
			}
			r.deaf[first].Store(false)
			r.lead((first + 1) % 3)
		}
		silent := r.asks(firstWorker)
		r.each(firstWorker, func(l *line) { l.far.delay.Store(int64(time.Hour)) })
		time.Sleep(2 * stream.SilenceMax)
		if _, ok, err := w.Payment(x.Payment); !ok || err != nil {
			t.Errorf("after node %d was silent: %v, %v", silent+1, ok, err)
		}
	})
}

// A node that has lost the others is not asked by one that has not.
func TestWorker_LeavesANodeThatKnowsNoLeader(t *testing.T) {
	inFive(t, func(t *testing.T, r *trio) {
		first := r.asks(firstWorker)
		r.lead((first + 1) % 3)
		first = r.asks(firstWorker)
		if first == (first+1)%3 {
			t.Fatal("it asks the leader")
		}
		r.blind[first].Store(true)
		r.deaf[first].Store(false)
		r.nodes[first].inbox.push(event{do: func(l *leader) { l.part(errOtherTerm) }}, true)
		time.Sleep(2 * time.Second)
		if second := r.asks(firstWorker); second == first && r.nodes[firstWorker].led() && !r.nodes[second].led() {
			t.Errorf("it still asks node %d", second+1)
		}
	})
}

// Keys and partners are at hand on a worker: whole, and soon after they have changed.
func TestWorker_HearsNewPartnersAndKeys(t *testing.T) {
	inFive(t, func(t *testing.T, r *trio) {
		put := func(body *journal.Command) {
			t.Helper()
			if result, err := r.nodes[firstWorker+1].Submit(body, time.Now().Add(time.Second)); err != nil || result.Verdict != journal.Done {
				t.Fatalf("%v, %v", result.Verdict, err)
			}
		}
		print := [32]byte{1, 2, 3}
		for id := uint32(2); id < 40; id++ {
			put(&journal.Command{Body: &command.Command_PutPartner{PutPartner: &command.PutPartner{
				Id: id, Name: "Another", RedirectUris: []string{"https://shop.example/back"}, Fingerprints: [][]byte{append([]byte{byte(id)}, print[1:]...)},
			}}})
		}
		put(&journal.Command{Body: &command.Command_PutKey{PutKey: &command.PutKey{Id: 1, Sealed: []byte("sealed")}}})
		time.Sleep(200 * time.Millisecond)
		for _, w := range r.nodes[firstWorker:] {
			print[0] = 39
			if p, ok := w.PartnerByFingerprint(print); !ok || p.ID != 39 || len(w.Partners()) != 39 {
				t.Errorf("%+v, %v, %d partners", p, ok, len(w.Partners()))
			}
			if keys := w.Keys(); len(keys) != 1 || string(keys[0].Sealed) != "sealed" || keys[0].Created == 0 {
				t.Errorf("%+v", keys)
			}
		}
	})
}

func TestWorker_HearsThatItIsDrained(t *testing.T) {
	inFive(t, func(t *testing.T, r *trio) {
		put := func(c *command.Command) {
			t.Helper()
			if result, err := r.nodes[0].Submit(&journal.Command{Body: c.Body}, time.Now().Add(time.Second)); err != nil || result.Verdict != journal.Done {
				t.Fatal(result.Verdict, err)
			}
		}
		w := r.nodes[firstWorker]
		worker := w.executor.Node
		for node := r.nodes[0].Membership().NextNode; node <= worker; node++ {
			put(&command.Command{Body: &command.Command_PutNode{PutNode: &command.PutNode{Node: uint32(node), Role: command.Role_ROLE_WORKER}}})
		}
		f := func(on bool, reason string) {
			t.Helper()
			put(&command.Command{Body: &command.Command_DrainNode{DrainNode: &command.DrainNode{Node: uint32(worker), On: on, Reason: reason, Operator: "test"}}})
			time.Sleep(100 * time.Millisecond)
			if since, why := w.Draining(); since > 0 != on || on && why != reason {
				t.Errorf("the worker says %d, %q; want %v, %q", since, why, on, reason)
			}
			if since, _ := r.nodes[firstWorker+1].Draining(); since != 0 {
				t.Error("another worker thinks that it is drained")
			}
		}
		f(true, "a new kernel")
		f(false, "back")
	})
}

// A worker serves in less than a second after its process has started, and so does one that takes over from a dead one.
func TestWorker_IsReadyInLessThanASecond(t *testing.T) {
	inFive(t, func(t *testing.T, r *trio) {
		r.kill(firstWorker)
		start := time.Now()
		r.bootWorker(firstWorker)
		for !r.nodes[firstWorker].Joined() {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(start); took > 500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		if got := r.confirmAt(firstWorker, r.order()); got.Payment.State != journal.StateSettled {
			t.Errorf("%+v", got)
		}
	})
}

// The leader dies; a worker follows the next one, and what it has out is repeated there.
func TestWorker_FollowsALeaderChange(t *testing.T) {
	inFive(t, func(t *testing.T, r *trio) {
		r.core.script = func(Debit) script { return script{work: 300 * time.Millisecond} }
		for i := range 6 {
			x := r.order()
			done := make(chan struct{})
			go func() {
				defer close(done)
				got, err := r.nodes[firstWorker].Confirm(x)
				if err != nil || got.Payment.State != journal.StateSettled && got.Payment.Reason != journal.ReasonNotSent {
					t.Errorf("%+v, %v", got, err)
				}
			}()
			time.Sleep(time.Duration(i) * time.Millisecond)
			start := time.Now()
			r.lead((i + 1) % 3)
			if took := time.Since(start); took > 400*time.Millisecond {
				t.Errorf("the worker followed after %v", took)
			}
			<-done
		}
	})
}

// What a worker waits for comes to the node that it asks with a snapshot, and new partners with it.
func TestWorker_HearsWhatCameWithASnapshot(t *testing.T) {
	inFive(t, func(t *testing.T, r *trio) {
		r.core.script = func(Debit) script { return script{work: time.Second} }
		x := r.order()
		at := r.asks(firstWorker)
		if at == 0 {
			r.lead(1)
		}
		r.members[at].lag.Store(int64(time.Hour))
		time.Sleep(10 * time.Millisecond)
		var asks sync.WaitGroup
		asks.Go(func() { r.confirmAt((at+1)%3, x) })
		start := time.Now()
		asks.Go(func() {
			p, _, _ := r.nodes[firstWorker].Await(x.Payment, 2, time.Now().Add(30*time.Second))
			if p.State != journal.StateSettled || time.Since(start) > 3*time.Second {
				t.Errorf("%v after %v", p.State, time.Since(start))
			}
		})
		put := &journal.Command{Body: &command.Command_PutPartner{PutPartner: &command.PutPartner{Id: 2, Name: "Another", RedirectUris: []string{"https://shop.example/back"}}}}
		if result, err := r.nodes[(at+1)%3].Submit(put, time.Now().Add(time.Second)); err != nil || result.Verdict != journal.Done {
			t.Fatal(result.Verdict, err)
		}
		time.Sleep(2 * time.Second)
		r.members[at].install()
		asks.Wait()
		time.Sleep(100 * time.Millisecond)
		if _, ok := r.nodes[firstWorker].Partner(2); !ok {
			t.Error("the worker does not know the new partner")
		}
	})
}

func FuzzFar(f *testing.F) {
	seed := func(m *wire.Message) {
		raw, err := m.MarshalVT()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	p := journal.Payment{ID: journal.PaymentID{1}, State: journal.StateSettled, Version: 3}
	seed(&wire.Message{Body: &wire.Message_Told{Told: &wire.Told{Id: 1, Found: true, Applied: 7, Payment: stream.PutPayment(&p)}}})
	seed(&wire.Message{Body: &wire.Message_Told{Told: &wire.Told{Id: 1, Found: true, Customer: stream.PutCustomer(&journal.Customer{ID: 1, Accounts: make([]journal.Account, 1)})}}})
	seed(&wire.Message{Body: &wire.Message_Told{Told: &wire.Told{Id: 1, Access: stream.PutAccess(&journal.Access{Epoch: 1})}}})
	partner := journal.Partner{ID: 1, Fingerprints: make([][32]byte, 1)}
	seed(&wire.Message{Body: &wire.Message_Settings{Settings: &wire.Settings{First: true, Last: true, Keys: []*wire.Key{stream.PutKey(&journal.Key{ID: 1})}, Partners: []*wire.Partner{stream.PutPartner(&partner)}}}})
	seed(&wire.Message{Body: &wire.Message_Settings{Settings: &wire.Settings{First: true, Last: true, Draining: &wire.Draining{SinceMs: 1, Reason: "a new kernel"}}}})
	seed(&wire.Message{Body: &wire.Message_Heartbeat{Heartbeat: &wire.Heartbeat{Leader: 1, LeaderTerm: 2, Led: true}}})
	seed(&wire.Message{Body: &wire.Message_Ask{Ask: &wire.Ask{Id: 1, What: wire.What_WHAT_CHANGE, Key: make([]byte, 16)}}})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m wire.Message
		if m.UnmarshalVT(raw) != nil {
			return
		}
		n := &Node{far: newFar(nil, journal.DefaultLimits()), log: newFar(nil, journal.DefaultLimits()), closing: make(chan struct{})}
		close(n.closing)
		n.far.begin(&wire.Ask{What: wire.What_WHAT_PAYMENT}, func(told *wire.Told) {
			stream.TakeCustomer(told.GetCustomer())
			_, _ = stream.TakeAccess(told.GetAccess())
		})
		_ = n.far.heard(n, &m)
		_, _ = n.far.settings.Load().partner(1)
		// The same where it is asked.
		n.far = nil
		near, far := net.Pipe()
		defer near.Close()
		go func() { _, _ = io.Copy(io.Discard, near) }()
		var traffic stream.Traffic
		link := stream.NewLink(far, &traffic)
		defer link.Wait()
		defer link.Close(nil)
		r := &reader{n: n, link: link, wake: make(chan struct{}, 1), waits: make(map[uint64]*waiter)}
		if ask := m.GetAsk(); ask != nil {
			_ = r.asked(ask)
			r.forget(ask.Id)
		}
	})
}

// Whoever asks more than a node may, or what no node asks, is disconnected.
func TestEverythingIsBounded_ReadersAndTheirLookups(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		n := r.nodes[1]
		ask := func(f func(link *stream.Link)) {
			t.Helper()
			near, far := net.Pipe()
			served := make(chan error, 1)
			go func() { served <- n.Serve(far, 50) }()
			var traffic stream.Traffic
			link, _, err := stream.Knock(near, stream.Identity{Node: 50, Incarnation: 1, Reads: true}, &traffic)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				for {
					if _, err := link.Read(); err != nil {
						return
					}
				}
			}()
			link.Beat(func() *wire.Message {
				return &wire.Message{Body: &wire.Message_Heartbeat{Heartbeat: &wire.Heartbeat{}}}
			})
			f(link)
			<-served
			link.Wait()
			if waiters := n.watch.waiters.Load(); waiters != 0 {
				t.Errorf("%d waiters are left", waiters)
			}
		}
		ask(func(link *stream.Link) {
			for i := range uint64(AsksMax + 1) {
				link.Send(&wire.Message{Body: &wire.Message_Ask{Ask: &wire.Ask{Id: i + 1, What: wire.What_WHAT_CHANGE, Key: make([]byte, 16)}}})
			}
		})
		ask(func(link *stream.Link) {
			link.Send(&wire.Message{Body: &wire.Message_Ask{Ask: &wire.Ask{Id: 1, What: wire.What_WHAT_PAYMENT, Key: []byte("short")}}})
		})
		ask(func(link *stream.Link) {
			link.Send(&wire.Message{Body: &wire.Message_Call{Call: &wire.Call{Id: 1}}})
		})
		ask(func(link *stream.Link) { // what this node will never have applied
			link.Send(&wire.Message{Body: &wire.Message_Ask{Ask: &wire.Ask{Id: 1, What: wire.What_WHAT_ACCESS, AtLeast: 1 << 60}}})
		})
		f := newFar(nil, journal.DefaultLimits())
		for range AsksMax {
			f.begin(&wire.Ask{}, nil)
		}
		if id := f.begin(&wire.Ask{}, nil); id != 0 {
			t.Error("more lookups than there may be")
		}
		for i := range uint32(3 * KnownMax) {
			f.known.put(&journal.Payment{ID: journal.PaymentID{byte(i), byte(i >> 8), byte(i >> 16)}, Version: 1})
		}
		if kept := len(f.known.young) + len(f.known.old); kept > 2*KnownMax {
			t.Errorf("%d payments are remembered", kept)
		}
	})
}

// The journal has not taken a worker's word about what it has sent: until the payment has come to its end nobody here may take its "go" for
// lost, although the worker has no copy to look at.
func TestAtMostOneDebit_AWorkerRemembersWhatItHasSentUntilItsEnd(t *testing.T) {
	inFive(t, func(t *testing.T, r *trio) {
		x := r.order()
		asked := func(f func(l *leader)) (out bool) {
			done := make(chan bool)
			r.nodes[firstWorker].inbox.push(event{do: func(l *leader) {
				f(l)
				done <- l.asked[x.Payment] != nil
			}}, true)
			return <-done
		}
		sent := &call{kind: kindAuthorise, payment: x.Payment}
		said := &call{of: sent, payment: x.Payment, result: journal.Result{Payment: journal.Payment{ID: x.Payment, State: journal.StateAuthorised}}}
		if !asked(func(l *leader) {
			l.asked[x.Payment] = sent
			l.concluded(said)
			l.speak()
		}) {
			t.Error("it is forgotten at once")
		}
		time.Sleep(time.Second)
		if !asked((*leader).speak) {
			t.Error("it is forgotten before its end")
		}
		r.confirmAt(1, x)
		time.Sleep(time.Second)
		if asked((*leader).speak) {
			t.Error("it is never forgotten")
		}
		if left := leftovers(r.nodes[firstWorker]); left != "" {
			t.Errorf("it keeps %s", left)
		}
	})
}
