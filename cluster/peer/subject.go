package peer

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"netbank/cluster/journal"
)

// ClusterBytesMax is the length of a cluster's id: that of a label in a URI's host.
const ClusterBytesMax = 63

// Role is what a node may do.
type Role uint8

const (
	// Coordinator is a Raft voter, or becomes one: it keeps the journal.
	Coordinator Role = iota + 1
	// Worker serves HTTP only: no journal, no vote.
	Worker
)

// String gives the role as certificates and metrics name it.
func (r Role) String() string {
	switch r {
	case Coordinator:
		return "coordinator"
	case Worker:
		return "worker"
	}
	return "none"
}

// ParseRole reads what String gives for Coordinator and Worker.
func ParseRole(s string) (Role, error) {
	switch s {
	case "coordinator":
		return Coordinator, nil
	case "worker":
		return Worker, nil
	}
	return 0, fmt.Errorf("peer: %q is no role; the roles are coordinator and worker", clip(s, 32))
}

// MarshalText implements encoding.TextMarshaler.
func (r Role) MarshalText() ([]byte, error) {
	if r != Coordinator && r != Worker {
		return nil, fmt.Errorf("peer: role %d does not exist; the roles are coordinator and worker", r)
	}
	return []byte(r.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Role) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRole(string(text))
	return err
}

// Subject is whom a certificate names.
type Subject struct {
	Cluster string // the cluster's id: see CheckCluster
	Node    journal.NodeID
	Role    Role
}

// CheckCluster says whether a text may be a cluster's id: 1 to ClusterBytesMax of a-z, 0-9 and -, with no - at either end.
func CheckCluster(id string) error {
	bad := len(id) == 0 || len(id) > ClusterBytesMax || id[0] == '-' || id[len(id)-1] == '-'
	for i := range len(id) {
		c := id[i]
		bad = bad || c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9')
	}
	if bad {
		return fmt.Errorf("peer: %q is no cluster id; use 1 to %d of a-z, 0-9 and -, and no - at either end", clip(id, ClusterBytesMax), ClusterBytesMax)
	}
	return nil
}

func (s Subject) check() error {
	if err := CheckCluster(s.Cluster); err != nil {
		return err
	}
	if s.Node == 0 {
		return fmt.Errorf("peer: node 0 does not exist; nodes are numbered from 1")
	}
	if _, err := s.Role.MarshalText(); err != nil {
		return err
	}
	return nil
}

// String gives the URI of the certificate, as netbank://main/worker/7.
func (s Subject) String() string {
	return "netbank://" + s.Cluster + "/" + s.Role.String() + "/" + strconv.FormatUint(uint64(s.Node), 10)
}

// ParseSubject reads what Subject.String gives, and nothing else.
func ParseSubject(uri string) (Subject, error) {
	no := func(why string) (Subject, error) {
		return Subject{}, fmt.Errorf("peer: %q does not name a node (%s); the form is netbank://CLUSTER/ROLE/NUMBER", clip(uri, 128), why)
	}
	rest, ok := strings.CutPrefix(uri, "netbank://")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		return no("another form")
	}
	if err := CheckCluster(parts[0]); err != nil {
		return no("the cluster's id")
	}
	role, err := ParseRole(parts[1])
	if err != nil {
		return no("the role")
	}
	n, err := strconv.ParseUint(parts[2], 10, 32)
	// One spelling only: two texts for one node would let a comparison of texts miss it.
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != parts[2] {
		return no("the number")
	}
	return Subject{Cluster: parts[0], Role: role, Node: journal.NodeID(n)}, nil
}

func (s Subject) uri() *url.URL {
	return &url.URL{Scheme: "netbank", Host: s.Cluster, Path: "/" + s.Role.String() + "/" + strconv.FormatUint(uint64(s.Node), 10)}
}

// subjectOf reads a certificate's subject: its one URI, with no other name beside it.
func subjectOf(c *x509.Certificate) (Subject, error) {
	if len(c.URIs) != 1 || len(c.DNSNames)+len(c.EmailAddresses)+len(c.IPAddresses) > 0 || c.IsCA {
		return Subject{}, fmt.Errorf("%w (it does not have exactly one URI and no other name)", ErrCertificate)
	}
	s, err := ParseSubject(c.URIs[0].String())
	if err != nil {
		return Subject{}, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return s, nil
}

// Serial is a certificate's serial number: 127 random bits.
type Serial [16]byte

// String gives 32 hexadecimal digits.
func (s Serial) String() string { return hex.EncodeToString(s[:]) }

// serialOf gives false for a number that no Authority of this package has given.
func serialOf(c *x509.Certificate) (s Serial, ok bool) {
	if c.SerialNumber == nil || c.SerialNumber.Sign() < 0 || c.SerialNumber.BitLen() > 8*len(s) {
		return s, false
	}
	c.SerialNumber.FillBytes(s[:])
	return s, true
}

// Peer is the node at the other end of a connection, as its certificate names it.
type Peer struct {
	Node   journal.NodeID
	Role   Role
	Serial Serial // of the certificate that it showed
}

// String gives the node as people and Raft name it, as node-7.
func (p Peer) String() string { return Name(p.Node) }

// Name gives the node's name, as node-7. It is its raft.ServerID and raft.ServerAddress too.
func Name(node journal.NodeID) string { return "node-" + strconv.FormatUint(uint64(node), 10) }

// ParseName reads what Name gives, and nothing else.
func ParseName(name string) (journal.NodeID, error) {
	rest, ok := strings.CutPrefix(name, "node-")
	n, err := strconv.ParseUint(rest, 10, 32)
	if !ok || err != nil || n == 0 || Name(journal.NodeID(n)) != name {
		return 0, fmt.Errorf("peer: %q is no node; nodes are named node-1, node-2 and so on", clip(name, 64))
	}
	return journal.NodeID(n), nil
}

// peerOf reads who stands behind a certificate of this cluster.
func peerOf(c *x509.Certificate, cluster string) (Peer, error) {
	s, err := subjectOf(c)
	if err != nil {
		return Peer{}, err
	}
	if s.Cluster != cluster {
		return Peer{}, fmt.Errorf("%w (it names cluster %q, this is %q)", ErrCertificate, s.Cluster, cluster)
	}
	serial, ok := serialOf(c)
	if !ok {
		return Peer{}, fmt.Errorf("%w (its serial number has another form)", ErrCertificate)
	}
	return Peer{Node: s.Node, Role: s.Role, Serial: serial}, nil
}
