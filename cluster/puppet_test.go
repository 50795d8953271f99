package cluster

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/stream"
	"netbank/cluster/stream/wire"
)

// puppet is a leader of a test's own, to which one node is connected.
type puppet struct {
	t     *testing.T
	r     *rig
	log   *fakeLog
	node  *Node
	links chan *stream.Link
	calls chan *wire.Call
	said  chan *wire.Message // everything but calls and heartbeats
	term  uint64
	asks  sync.WaitGroup
	ends  sync.WaitGroup
}

// withPuppet runs a test with one node that follows a leader of the test's own, in term 5.
func withPuppet(t *testing.T, f func(t *testing.T, p *puppet)) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		p := &puppet{t: t, r: r, links: make(chan *stream.Link, 8), calls: make(chan *wire.Call, 64), said: make(chan *wire.Message, 64), term: 5}
		r.cfg.Leader = func() (journal.NodeID, uint64) { return 9, p.term }
		r.cfg.Dial = func(context.Context, journal.NodeID) (net.Conn, error) {
			near, far := net.Pipe()
			p.ends.Go(func() { p.serve(far) })
			return near, nil
		}
		r.start()
		p.node, p.log = r.node, r.log
		defer p.ends.Wait()
		defer r.close()
		defer p.asks.Wait()
		f(t, p)
	})
}

func (p *puppet) serve(conn net.Conn) {
	var traffic stream.Traffic
	link, _, err := stream.Receive(conn, "", 1, &traffic)
	if err != nil {
		return
	}
	link.Beat(func() *wire.Message {
		return &wire.Message{Body: &wire.Message_Heartbeat{Heartbeat: &wire.Heartbeat{Term: p.term}}}
	})
	link.Welcome(stream.Welcomed{Term: p.term, Levels: make([]uint64, gate.Classes)})
	p.links <- link
	for {
		all, err := link.Read()
		if err != nil {
			break
		}
		for _, m := range all {
			switch {
			case m.GetCall() != nil:
				p.calls <- m.GetCall()
			case m.GetAnswered().GetNext() != nil:
				next := m.GetAnswered().GetNext()
				p.said <- m
				link.Send(&wire.Message{Body: &wire.Message_Result{Result: &wire.Result{Id: next.Id}}})
			case m.GetHeartbeat() == nil && m.GetOpen() == nil:
				p.said <- m
			}
		}
	}
	link.Wait()
}

// grant commits a payment's Authorise as the puppet's leadership would, and gives the "go" for it.
func (p *puppet) grant(x Confirmation, c *wire.Call, after time.Duration) *wire.Message {
	p.t.Helper()
	var cmd journal.Command
	if err := cmd.UnmarshalVT(c.Command); err != nil {
		p.t.Fatal(err)
	}
	got := p.r.put(&cmd)
	return &wire.Message{Body: &wire.Message_Go{Go: &wire.Go{
		Id: c.Id, Term: p.term, SentUs: c.SentUs, GoodForUs: stream.Micros(after + SendByDefault), Payment: stream.PutPayment(&got.Payment),
	}}}
}
