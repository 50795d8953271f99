package cluster

import (
	"net"

	"netbank/cluster/journal"
	"netbank/cluster/stream"
	"netbank/cluster/stream/wire"
)

// Serve hears a node that has connected to this one, and looks after its calls as long as this node leads and the stream holds.
// The connection must be authenticated as that node's; it is closed in any case. nil means that the stream was established.
func (n *Node) Serve(conn net.Conn, node journal.NodeID) error {
	link, who, err := stream.Receive(conn, n.cfg.ClusterID, node, &n.traffic)
	if err != nil {
		return err
	}
	if who.Reads {
		return n.serveReads(link, who)
	}
	type reply struct {
		guest *guest
		err   error
	}
	answer := make(chan reply, 1)
	_ = n.inbox.push(event{do: func(l *leader) {
		g, err := l.receive(link, who)
		answer <- reply{g, err}
	}}, true)
	var got reply
	select {
	case got = <-answer:
	case <-n.ended:
		got.err = ErrClosed
	}
	if got.err != nil {
		leader, term := journal.NodeID(0), uint64(0)
		if n.cfg.Leader != nil {
			leader, term = n.cfg.Leader()
		}
		link.Turn(leader, term, got.err.Error())
		link.Wait()
		return got.err
	}
	n.metrics.guestStreams.Inc()
	n.listen(link, func(all []*wire.Message) func(*leader) {
		// Decoding and checking commands is the most of the work; it is done here, and not where the gate is.
		messages := understand(who, all, n.clock.elapsed())
		return func(l *leader) { l.said(got.guest, link, messages) }
	})
	_ = n.inbox.push(event{do: func(l *leader) {
		if got.guest.link == link {
			l.gone(got.guest, link.Err())
		}
	}}, true)
	link.Wait()
	return nil
}
