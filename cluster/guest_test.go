package cluster

import (
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/stream"
	"netbank/cluster/stream/wire"
)

// A node names itself as executor, and nobody else; what would bypass the gate is no command.
func TestRule1_AGuestSpeaksForItselfOnly(t *testing.T) {
	who := stream.Identity{Node: 2, Incarnation: 7}
	id := make([]byte, 16)
	f := func(kind wire.Kind, cmd *journal.Command, bad bool) {
		t.Helper()
		raw, err := cmd.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		if c := visitor(who, &wire.Call{Id: 1, Kind: kind, Command: raw}, 0); c.visit.bad != bad {
			t.Errorf("%v: bad is %v", cmd, c.visit.bad)
		}
	}
	authorise := func(node uint32, incarnation uint64) *journal.Command {
		return &journal.Command{Id: id, Body: &command.Command_Authorise{Authorise: &command.Authorise{PaymentId: id, Node: node, Incarnation: incarnation}}}
	}
	notSent := func(node uint32, incarnation uint64) *journal.Command {
		return &journal.Command{Id: id, Body: &command.Command_NotSent{NotSent: &command.NotSent{PaymentId: id, Node: node, Incarnation: incarnation}}}
	}
	f(wire.Kind_KIND_AUTHORISE, authorise(2, 7), false)
	f(wire.Kind_KIND_AUTHORISE, authorise(1, 7), true)
	f(wire.Kind_KIND_AUTHORISE, authorise(2, 8), true)
	f(wire.Kind_KIND_COMMAND, authorise(2, 7), true)
	f(wire.Kind_KIND_COMMAND, notSent(2, 7), false)
	f(wire.Kind_KIND_COMMAND, notSent(1, 7), true)
	f(wire.Kind_KIND_AUTHORISE, notSent(2, 7), true)
	f(wire.Kind_KIND_UNSPECIFIED, notSent(2, 7), true)
	good := attempt()
	good.Id = id
	f(wire.Kind_KIND_COMMAND, good, false)
	f(wire.Kind_KIND_COMMAND, attempt(), true)
	f(wire.Kind_KIND_COMMAND, &journal.Command{Id: id}, true)
	if c := visitor(who, &wire.Call{Kind: wire.Kind_KIND_COMMAND, Command: []byte{10, 200}}, 0); !c.visit.bad {
		t.Error("half a command is none")
	}
}

func FuzzVisitor(f *testing.F) {
	id := make([]byte, 16)
	good := attempt()
	good.Id = id
	raw, _ := good.MarshalVT()
	f.Add(int32(1), raw)
	f.Add(int32(2), raw)
	f.Add(int32(3), []byte(nil))
	f.Fuzz(func(t *testing.T, kind int32, raw []byte) {
		c := visitor(stream.Identity{Node: 2, Incarnation: 7}, &wire.Call{Id: 1, Kind: wire.Kind(kind), Command: raw}, 0)
		if c.visit.bad || c.cmd == nil {
			return
		}
		// What is packed as it came must be read alike by whoever applies the entry.
		l := &leader{n: &Node{}}
		l.n.clock.wall = time.Now
		var b journal.Batch
		if err := b.UnmarshalVT(l.encode([]*call{c}, entryHead+c.size)); err != nil || len(b.Commands) != 1 || string(b.Commands[0].Id) != string(c.cmd.Id) {
			t.Fatalf("%v: %v", b.Commands, err)
		}
		if len(raw) > 0 && c.size != sizeOf(len(raw)) {
			t.Fatalf("size %d", c.size)
		}
	})
}

func TestEverythingIsBounded_GuestsAndTheirCalls(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		said := make(chan error, 2)
		r.nodes[0].inbox.push(event{do: func(l *leader) {
			for i := range GuestsMax {
				if n := journal.NodeID(100 + i); len(l.guests) < GuestsMax {
					l.guests[n] = &guest{n: l.n, who: stream.Identity{Node: n}, calls: map[uint64]*call{}, parted: l.now}
				}
			}
			_, err := l.receive(nil, stream.Identity{Node: 99, Incarnation: 1})
			said <- err
		}}, true)
		if err := <-said; !errors.Is(err, errGuests) {
			t.Errorf("got %v", err)
		}
		near, far := net.Pipe()
		served := make(chan error, 1)
		time.Sleep(20 * time.Second) // those that never came are forgotten
		go func() { served <- r.nodes[0].Serve(far, 50) }()
		var traffic stream.Traffic
		link, _, err := stream.Knock(near, stream.Identity{Node: 50, Incarnation: 1}, &traffic)
		if err != nil {
			t.Fatal(err)
		}
		r.members[0].hold(true)
		raw := func() []byte {
			cmd := attempt()
			cmd.Id = newCommandID()
			b, _ := cmd.MarshalVT()
			return b
		}
		go func() {
			for {
				if _, err := link.Read(); err != nil {
					return
				}
			}
		}()
		sent := 0
		for ; link.Err() == nil && sent < 2*GuestCallsMax; sent++ {
			link.Send(&wire.Message{Body: &wire.Message_Call{Call: &wire.Call{Id: uint64(sent + 1), Kind: wire.Kind_KIND_COMMAND, Command: raw(), BudgetUs: 1e7}}})
			if sent%1000 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		<-served
		if sent < GuestCallsMax || sent > GuestCallsMax+5000 {
			t.Errorf("disconnected after %d calls", sent)
		}
		r.members[0].hold(false)
		link.Wait()
	})
}

// The stream breaks while a call waits for its seat: the leader takes it back, or it would be granted to a customer who has left.
func TestRefusedMeansNotCharged_WhatAGuestLeavesWaitingIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTrio(t, func(r *rig) { r.cfg.Gate.Limit = 1 })
		defer r.close()
		r.lead(0)
		r.core.script = func(Debit) script { return script{work: 3 * time.Second} }
		first, x := r.order(), r.order()
		var asks sync.WaitGroup
		asks.Go(func() { r.confirmAt(0, first) })
		time.Sleep(50 * time.Millisecond)
		x.Budget = 8 * time.Second
		asks.Go(func() { r.nodes[1].Confirm(x) })
		time.Sleep(50 * time.Millisecond)
		r.kill(1)
		asks.Wait()
		time.Sleep(5 * time.Second)
		r.is(x, journal.StateReceived, 0)
	})
}

// An entry is lost to its proposer while its term goes on. The guest whose grant it held hears what has become of it.
func TestGuest_HearsOfAGrantWhoseEntryWasInDoubt(t *testing.T) {
	f := func(what fate, want journal.State, moved int) {
		t.Helper()
		inTrio(t, func(t *testing.T, r *trio) {
			x := r.order()
			r.members[0].doubt(what)
			if got := r.confirmAt(1, x); got.Payment.State != want {
				t.Errorf("got %v, %v", got.Payment.State, got.Payment.Reason)
			}
			time.Sleep(20 * time.Second)
			r.is(x, want, moved)
			for i, n := range r.nodes {
				if left := leftovers(n); left != "" {
					t.Errorf("node %d keeps %s", i+1, left)
				}
			}
		})
	}
	f(vanishes, journal.StateSettled, 1)
	f(survives, journal.StateRejected, 0)
}
