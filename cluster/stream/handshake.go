package stream

import (
	"errors"
	"fmt"
	"net"

	"netbank/cluster/journal"
	"netbank/cluster/stream/wire"
)

// The versions of the protocol that this program speaks.
const (
	versionOldest = 1
	versionNewest = 1
)

var (
	// ErrElsewhere says that the node that was dialled takes no calls: it does not lead, or not yet.
	ErrElsewhere = errors.New("stream: the node does not lead")
	// ErrHandshake says that two nodes do not belong together.
	ErrHandshake = errors.New("stream: the nodes do not belong together")
)

// Role is what a node is to the cluster.
type Role uint8

// The roles.
const (
	Coordinator Role = iota + 1 // keeps the journal and votes
	Worker                      // serves customers only
)

func (r Role) String() string {
	switch r {
	case Coordinator:
		return "coordinator"
	case Worker:
		return "worker"
	}
	return "unknown"
}

// Identity is how a node presents itself.
type Identity struct {
	Cluster     string // the cluster's id; empty where there is only one
	Node        journal.NodeID
	Role        Role
	Incarnation uint64
	HighestTerm uint64
	Reads       bool // it looks things up, and brings no calls
}

// Welcomed is what a leader says to a node that it takes calls from.
type Welcomed struct {
	Term   uint64
	Levels []uint64
}

// Knock presents a node to the one that it has dialled, which must be expected. A link comes back with a Welcome; with any
// error it is closed. The error is ErrElsewhere, ErrHandshake, or what the connection says.
func Knock(conn net.Conn, who Identity, traffic *Traffic) (*Link, Welcomed, error) {
	l := NewLink(conn, traffic)
	l.Send(&wire.Message{Body: &wire.Message_Hello{Hello: &wire.Hello{
		VersionMin: versionOldest, VersionMax: versionNewest, Cluster: who.Cluster, Node: uint32(who.Node),
		Role: wire.Role(who.Role), Incarnation: who.Incarnation, HighestTerm: who.HighestTerm, Reads: who.Reads,
	}}})
	first, err := l.first()
	if err != nil {
		return nil, Welcomed{}, err
	}
	switch body := first.GetBody().(type) {
	case *wire.Message_Welcome:
		w := body.Welcome
		if w.Version < versionOldest || w.Version > versionNewest {
			err = fmt.Errorf("%w: the leader has chosen version %d of the protocol, this node speaks %d to %d", ErrHandshake, w.Version, versionOldest, versionNewest)
			break
		}
		if w.Term == 0 && !who.Reads {
			err = fmt.Errorf("%w: the leader names no term", ErrHandshake)
			break
		}
		return l, Welcomed{Term: w.Term, Levels: w.Levels.GetWords()}, nil
	case *wire.Message_Elsewhere:
		err = fmt.Errorf("%w: %s", ErrElsewhere, body.Elsewhere.Why)
	default:
		err = fmt.Errorf("%w: no answer to Hello", ErrHandshake)
	}
	l.Close(err)
	l.Wait()
	return nil, Welcomed{}, err
}

// Receive hears who has dialled. Welcome or Turn answers. node is the one that the connection was authenticated for.
func Receive(conn net.Conn, cluster string, node journal.NodeID, traffic *Traffic) (*Link, Identity, error) {
	l := NewLink(conn, traffic)
	first, err := l.first()
	if err != nil {
		return nil, Identity{}, err
	}
	h := first.GetHello()
	switch {
	case h == nil:
		err = fmt.Errorf("%w: the first message is no Hello", ErrHandshake)
	case h.VersionMin > versionNewest || h.VersionMax < versionOldest:
		err = fmt.Errorf("%w: node %d speaks version %d to %d of the protocol, this node %d to %d; upgrade the older one", ErrHandshake, h.Node, h.VersionMin, h.VersionMax, versionOldest, versionNewest)
	case h.Cluster != cluster:
		err = fmt.Errorf("%w: node %d is of another cluster", ErrHandshake, h.Node)
	case journal.NodeID(h.Node) != node:
		err = fmt.Errorf("%w: node %d says that it is node %d", ErrHandshake, node, h.Node)
	case h.Incarnation == 0:
		err = fmt.Errorf("%w: node %d does not say which life of its this is", ErrHandshake, h.Node)
	}
	if err != nil {
		l.Turn(0, 0, err.Error())
		l.Wait()
		return nil, Identity{}, err
	}
	return l, Identity{
		Cluster: h.Cluster, Node: node, Role: Role(h.Role), Incarnation: h.Incarnation, HighestTerm: h.HighestTerm, Reads: h.Reads,
	}, nil
}

func (l *Link) first() (*wire.Message, error) {
	all, err := l.read(HandshakeTimeout)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%w: the first frame is empty", ErrHandshake)
		l.Close(err)
	}
	if err != nil {
		l.Wait()
		return nil, err
	}
	l.rest = all[1:]
	return all[0], nil
}

// Welcome takes a node in.
func (l *Link) Welcome(w Welcomed) error {
	return l.Send(&wire.Message{Body: &wire.Message_Welcome{Welcome: &wire.Welcome{
		Version: versionNewest, Term: w.Term, Levels: &wire.Levels{Words: w.Levels},
	}}})
}

// Turn sends a node away, with the leader as far as it is known, and closes the link when that is said.
func (l *Link) Turn(leader journal.NodeID, term uint64, why string) {
	l.Send(&wire.Message{Body: &wire.Message_Elsewhere{Elsewhere: &wire.Elsewhere{Node: uint32(leader), Term: term, Why: why}}})
	l.Drain()
}
