package cluster

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"netbank/cluster/journal"
	"netbank/cluster/stream"
	"netbank/cluster/stream/wire"
)

// Follower is another node that brings its calls to this leader, in its present life or the one that has just ended.
type Follower struct {
	Node journal.NodeID
	Up   bool // there is a stream from it
	// CutOff says that it cannot reach the core, as far as its calls show.
	CutOff bool
	// About is what it tells of itself, as its Config.About gives it; nil: nothing yet. Nobody may write to it.
	About []byte
}

// Followers lists the nodes that follow this one, by number, as of at most 250 ms ago. nil: it does not lead.
func (n *Node) Followers() []Follower {
	if all := n.followers.Load(); all != nil {
		return *all
	}
	return nil
}

// LeaderSays gives what the leader that this node follows tells of itself. nil: there is no stream to one, or it has said nothing yet.
func (n *Node) LeaderSays() []byte {
	if text := n.leaderSays.Load(); text != nil {
		return *text
	}
	return nil
}

func (l *leader) listFollowers() {
	all := make([]Follower, 0, len(l.guests))
	for _, g := range l.guests {
		all = append(all, Follower{Node: g.who.Node, Up: g.link != nil, CutOff: g.core.open, About: g.about})
	}
	slices.SortFunc(all, func(a, b Follower) int { return cmp.Compare(a.Node, b.Node) })
	l.n.followers.Store(&all)
}

// heartbeatAbout is heartbeat on a stream over which About goes as well, whenever it has changed.
func (n *Node) heartbeatAbout(link *stream.Link, term uint64) func() *wire.Message {
	beat := n.heartbeat(term)
	if n.cfg.About == nil {
		return beat
	}
	var told []byte
	return func() *wire.Message {
		if text := n.cfg.About(); len(text) <= AboutBytesMax && !bytes.Equal(text, told) {
			told = text
			_ = link.Send(&wire.Message{Body: &wire.Message_About{About: &wire.About{Text: text}}}) // an error has closed the link; its reader tells
		}
		return beat()
	}
}

func takeAbout(a *wire.About) ([]byte, error) {
	if len(a.GetText()) > AboutBytesMax {
		return nil, fmt.Errorf("%w: a node tells %d bytes of itself, at most %d are read", stream.ErrFrame, len(a.Text), AboutBytesMax)
	}
	return a.GetText(), nil
}
