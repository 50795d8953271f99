package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/stream"
	"netbank/cluster/stream/wire"
)

// The pace at which a node looks for the leader.
const (
	seekEvery      = 20 * time.Millisecond  // between two looks at who leads
	seekBackoffMax = 200 * time.Millisecond // between two tries after a failure
	dialLimit      = time.Second
	// creditsMax is how many frames of one stream may wait for the leader's goroutine. A reader that has none left does not read.
	creditsMax = 2
)

// seek keeps a stream to the node that leads, while another one does. It is one goroutine.
func (n *Node) seek() {
	pause := seekEvery
	for n.sleep(pause/2 + rand.N(pause/2+1)) {
		node, term := n.cfg.Leader()
		if node == 0 || node == n.executor.Node || term < n.highestTerm.Load() {
			pause = seekEvery
			continue
		}
		err := n.follow(node)
		if pause = seekEvery; err != nil && !errors.Is(err, stream.ErrElsewhere) {
			pause = seekBackoffMax
		}
	}
}

// follow dials the leader and serves the stream until it ends. nil: it had been established.
func (n *Node) follow(node journal.NodeID) error {
	ctx, cancel := context.WithTimeout(n.coreCtx, dialLimit)
	defer cancel()
	conn, err := n.cfg.Dial(ctx, node)
	if err != nil {
		return err
	}
	link, welcomed, err := stream.Knock(conn, n.identity(), &n.traffic)
	if err != nil {
		return err
	}
	link.Beat(n.heartbeatAbout(link, welcomed.Term))
	n.logger.Info("this node follows", "leader", node, "term", welcomed.Term)
	_ = n.inbox.push(event{do: func(l *leader) { l.joined(link, welcomed) }}, true)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		n.watchLeader(link, welcomed.Term)
	}()
	n.listen(link, func(all []*wire.Message) func(*leader) {
		return func(l *leader) { l.heard(link, all) }
	})
	_ = n.inbox.push(event{do: func(l *leader) { l.parted(link) }}, true)
	<-watching
	link.Wait()
	n.logger.Info("the stream to the leader has ended", "leader", node, "term", welcomed.Term, "why", link.Err())
	return nil
}

// watchLeader ends a stream when somebody else leads.
func (n *Node) watchLeader(link *stream.Link, term uint64) {
	ticker := time.NewTicker(seekEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-link.Ended():
			return
		case <-n.ended:
			link.Close(ErrClosed)
			return
		}
		if now, t := n.cfg.Leader(); n.highestTerm.Load() > term || now != 0 && t > term {
			link.Close(errOtherTerm)
			return
		}
	}
}

// listen hands the frames of a stream to the leader's goroutine, as fast as that one takes them, until the stream ends.
func (n *Node) listen(link *stream.Link, f func([]*wire.Message) func(*leader)) {
	credits := make(chan struct{}, creditsMax)
	for {
		all, err := link.Read()
		if err != nil {
			return
		}
		do := f(all)
		select {
		case credits <- struct{}{}:
		case <-link.Ended():
			return
		}
		_ = n.inbox.push(event{do: func(l *leader) {
			do(l)
			<-credits
		}}, true)
	}
}

func (n *Node) identity() stream.Identity {
	return stream.Identity{
		Cluster: n.cfg.ClusterID, Node: n.executor.Node, Role: n.cfg.Role,
		Incarnation: n.executor.Incarnation, HighestTerm: n.highestTerm.Load(),
	}
}

func (n *Node) heartbeat(term uint64) func() *wire.Message {
	return func() *wire.Message {
		h := &wire.Heartbeat{Term: term, Applied: n.log.Stats().AppliedIndex, Flows: n.flows.Load()}
		n.tellTime(h)
		if n.cfg.SignIns != nil {
			h.SignIns = min(max(n.cfg.SignIns(), 0), signInsMax)
		}
		return &wire.Message{Body: &wire.Message_Heartbeat{Heartbeat: h}}
	}
}
