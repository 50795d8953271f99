package cluster

import (
	"net"
	"testing"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/stream"
	"netbank/cluster/stream/wire"
)

// The grant is committed and its "go" is lost with the leader. Its executor says that it has not sent: the payment is
// rejected within a commit, and not after an inquiry.
func TestRule1_AGoThatIsLostWithItsLeaderIsNotSent(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		x := r.order()
		r.members[0].hold(true)
		var got Confirmed
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			got, err = r.nodes[1].Confirm(x)
		}()
		time.Sleep(10 * time.Millisecond)
		start := time.Now()
		r.members[0].depose(survives)
		r.group.elect(r.members[2])
		<-done
		if err != nil || got.Payment.State != journal.StateRejected || got.Payment.Reason != journal.ReasonNotSent {
			t.Errorf("%+v, %v", got, err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("it took %v", took)
		}
		if r.core.wasSent(x.Payment) != 0 {
			t.Error("it was sent")
		}
	})
}

// The node dies before its "go" was handed to a stream. The leader knows that nobody has it, and says so in its name.
func TestRule1_AGoThatWasNeverSaidIsNotSent(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		x := r.order()
		r.members[0].hold(true)
		go r.nodes[1].Confirm(x)
		time.Sleep(10 * time.Millisecond)
		r.kill(1)
		time.Sleep(50 * time.Millisecond)
		r.members[0].hold(false)
		time.Sleep(SendByDefault + 500*time.Millisecond)
		r.is(x, journal.StateRejected, 0)
		y := r.order()
		r.members[0].hold(true)
		go r.nodes[2].Confirm(y)
		time.Sleep(10 * time.Millisecond)
		r.kill(2)
		r.bootNode(2) // another life: the earlier one will not come back
		time.Sleep(200 * time.Millisecond)
		r.members[0].hold(false)
		time.Sleep(200 * time.Millisecond)
		r.is(y, journal.StateRejected, 0)
	})
}

// The same "go" twice is used once.
func TestRule1_AGoIsUsedOnce(t *testing.T) {
	withPuppet(t, func(t *testing.T, p *puppet) {
		x := p.r.create()
		link := <-p.links
		x.Budget = 2 * time.Second
		p.asks.Go(func() { p.node.Confirm(x) })
		m := p.grant(x, <-p.calls, 0)
		for range 3 {
			link.Send(m)
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(3 * time.Second)
		if sent := p.r.core.wasSent(x.Payment); sent != 1 {
			t.Errorf("sent %d times", sent)
		}
	})
}

// A "go" whose stream has ended is not used any more: the node may have said already that it will not send.
func TestRule1_AGoOfAnEndedStreamIsNotUsed(t *testing.T) {
	withPuppet(t, func(t *testing.T, p *puppet) {
		x := p.r.create()
		first := <-p.links
		p.asks.Go(func() { p.node.Confirm(x) })
		m := p.grant(x, <-p.calls, 0)
		link := make(chan *stream.Link, 1)
		p.node.inbox.push(event{do: func(l *leader) {
			link <- l.away.link
			l.part(errOtherTerm)
		}}, true)
		old := <-link
		p.node.inbox.push(event{do: func(l *leader) { l.heard(old, []*wire.Message{m}) }}, true)
		time.Sleep(100 * time.Millisecond)
		if sent := p.r.core.wasSent(x.Payment); sent != 0 {
			t.Errorf("sent %d times", sent)
		}
		first.Close(nil)
	})
}

// Send-by counts from the moment at which the call left this node, whatever the network does with the call or with the "go".
func TestRule2_AGoThatWasUnderWayTooLongIsNotUsed(t *testing.T) {
	f := func(queued, underWay time.Duration, want int) {
		t.Helper()
		withPuppet(t, func(t *testing.T, p *puppet) {
			x := p.r.create()
			link := <-p.links
			p.asks.Go(func() { p.node.Confirm(x) })
			c := <-p.calls
			time.Sleep(queued)
			m := p.grant(x, c, queued)
			time.Sleep(underWay)
			link.Send(m)
			time.Sleep(100 * time.Millisecond)
			if sent := p.r.core.wasSent(x.Payment); sent != want {
				t.Errorf("queued %v, under way %v: sent %d times, want %d", queued, underWay, sent, want)
			}
			if want == 0 {
				if m := <-p.said; m.GetAnswered() == nil || !m.GetAnswered().NotSent {
					t.Errorf("it said %v", m)
				}
			}
		})
	}
	f(0, 0, 1)
	f(0, 1900*time.Millisecond, 1)
	f(0, SendByDefault, 0)
	f(5*time.Second, 1900*time.Millisecond, 1)
	f(5*time.Second, SendByDefault, 0)
}

// The call itself lies in the network before it arrives: the leader's two seconds begin later than the node's, never earlier.
func TestRule2_NoDebitBeginsAfterSendByOfItsGrantWhateverTheDelay(t *testing.T) {
	for _, delay := range []time.Duration{0, 50 * time.Millisecond, 250 * time.Millisecond} {
		inTrio(t, func(t *testing.T, r *trio) {
			r.mu.Lock()
			r.delay = delay
			r.mu.Unlock()
			r.each(1, func(l *line) { l.slow(delay) })
			x := r.order()
			got, _ := r.nodes[1].Confirm(x)
			if sent := r.core.wasSent(x.Payment); sent != 1 || got.Payment.State != journal.StateSettled {
				t.Errorf("with %v each way: sent %d times, %v", delay, sent, got.Payment.State)
			}
		})
	}
}

// The node has seen a higher term than that of the leader that says "go".
func TestRule3_AGoOfATermThatIsOverIsNotUsed(t *testing.T) {
	withPuppet(t, func(t *testing.T, p *puppet) {
		x := p.r.create()
		link := <-p.links
		p.asks.Go(func() { p.node.Confirm(x) })
		m := p.grant(x, <-p.calls, 0)
		raise(&p.node.highestTerm, 6)
		link.Send(m)
		time.Sleep(100 * time.Millisecond)
		if sent := p.r.core.wasSent(x.Payment); sent != 0 {
			t.Errorf("sent %d times", sent)
		}
	})
	withPuppet(t, func(t *testing.T, p *puppet) {
		x := p.r.create()
		link := <-p.links
		p.asks.Go(func() { p.node.Confirm(x) })
		m := p.grant(x, <-p.calls, 0)
		m.GetGo().Term = 4
		link.Send(m)
		time.Sleep(100 * time.Millisecond)
		if sent := p.r.core.wasSent(x.Payment); sent != 0 {
			t.Errorf("sent %d times", sent)
		}
	})
}

// The leader's turn began long before the call was sent: the time of the turn is no time of its arrival, or the node would take the
// difference for time that its call has waited.
func TestRule2_TheTimeOfTheLeadersTurnIsNotThatOfACallsArrival(t *testing.T) {
	inTrio(t, func(t *testing.T, r *trio) {
		x := r.order()
		near, far := net.Pipe()
		r.served.Go(func() { _ = r.nodes[0].Serve(far, 50) })
		var traffic stream.Traffic
		link, _, err := stream.Knock(near, stream.Identity{Node: 50, Incarnation: 1}, &traffic)
		if err != nil {
			t.Fatal(err)
		}
		defer link.Wait()
		defer link.Close(nil)
		origin := time.Now()
		r.members[0].stall.Store(int64(400 * time.Millisecond))
		for r.members[0].stall.Load() != 0 {
			time.Sleep(time.Millisecond)
		}
		began := time.Since(origin)
		time.Sleep(200 * time.Millisecond)
		id := newCommandID()
		cmd := &journal.Command{Id: id, Body: &command.Command_Authorise{Authorise: &command.Authorise{
			PaymentId: x.Payment[:], Node: 50, Incarnation: 1,
			Customer: uint64(x.Customer), SessionEpoch: uint64(x.SessionEpoch), SessionExpiresMs: int64(x.SessionExpires),
			AmountMinor: x.Amount.Minor, Currency: x.Amount.Currency, CreditorAccount: x.CreditorAccount, CreditorName: x.CreditorName,
			DebtorAccount: x.DebtorAccount, Factor: x.Proof.Factor, FactorStep: x.Proof.Step, Credential: x.Proof.Credential, SignCount: x.Proof.SignCount,
		}}}
		raw, err := cmd.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		link.Send(&wire.Message{Body: &wire.Message_Call{Call: &wire.Call{
			Id: 1, Kind: wire.Kind_KIND_AUTHORISE, Urgent: true, Weight: weightDebit, BudgetUs: 1e7, SentUs: stream.Micros(time.Since(origin)), Command: raw,
		}}})
		for {
			all, err := link.Read()
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range all {
				if g := m.GetGo(); g != nil {
					if over := stream.Duration(g.SentUs+g.GoodForUs) - began - SendByDefault; over > 5*time.Millisecond {
						t.Errorf("it may be used for %v longer than the leader counts", over)
					}
					return
				}
			}
		}
	})
}
