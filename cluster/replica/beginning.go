package replica

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"netbank/cluster/journal"
)

// Bounds of a cluster's membership.
const (
	// VotersMax is the number of voters. More of them make commits slower and nothing safer.
	VotersMax = 5
	// MembersMax is the number of members, those without a vote among them.
	MembersMax = 16
	// ClusterIDBytesMax is the length of a cluster's id.
	ClusterIDBytesMax = 64
	// AddressBytesMax is the length of a member's address.
	AddressBytesMax = 255
)

// Beginning says what a node does whose data directory holds no journal yet. A node that has a journal goes on with it,
// whatever its Beginning.
type Beginning uint8

const (
	// Alone makes a cluster of this node and no other. Others may join it later, if it has a cluster id.
	Alone Beginning = iota
	// Founding makes a new cluster together with the other Founders, once all of them are there with empty
	// directories.
	Founding
	// Joining waits until the leader of an existing cluster adds this node.
	Joining
)

func (b Beginning) String() string {
	switch b {
	case Alone:
		return "Alone"
	case Founding:
		return "Founding"
	case Joining:
		return "Joining"
	}
	return fmt.Sprintf("Beginning(%d)", uint8(b))
}

// Founder is one of the first voters of a new cluster.
type Founder struct {
	Node    journal.NodeID
	Address string // as Config.Transport knows it
}

// checkBeginning refuses settings that do not go together.
func (c Config) checkBeginning() error {
	switch {
	case c.Beginning > Joining:
		return fmt.Errorf("replica: Config.Beginning is %d; it is Alone, Founding or Joining", c.Beginning)
	case c.Cluster != "" && !plainID(c.Cluster):
		return fmt.Errorf("replica: Config.Cluster is %.80q; an id has 1 to %d of the characters a-z, A-Z, 0-9, '-', '_' and '.'", c.Cluster, ClusterIDBytesMax)
	case c.Beginning != Alone && c.Cluster == "":
		return fmt.Errorf("replica: Config.Beginning is %v, but Config.Cluster is empty; give the cluster's id, the same on all nodes", c.Beginning)
	case c.Beginning != Alone && c.Transport == nil:
		return fmt.Errorf("replica: Config.Beginning is %v, but Config.Transport is nil; a node with others needs a transport to them", c.Beginning)
	case c.Beginning != Founding && len(c.Founders) > 0:
		return fmt.Errorf("replica: Config.Founders names %d nodes, but Config.Beginning is %v; set it to Founding, or leave the founders out", len(c.Founders), c.Beginning)
	}
	if c.Cluster != "" && c.Transport != nil {
		if _, ok := c.Transport.(carrier); !ok {
			return fmt.Errorf("replica: Config.Transport is a %T, which cannot carry pre-votes; use one that implements raft.WithPreVote, as raft.NetworkTransport does", c.Transport)
		}
		if err := checkAddress(string(c.Transport.LocalAddr())); err != nil {
			return fmt.Errorf("replica: Config.Transport: %w", err)
		}
	}
	if c.Beginning != Founding {
		return nil
	}
	return c.checkFounders()
}

func (c Config) checkFounders() error {
	if n := len(c.Founders); n != 1 && n != 3 && n != VotersMax {
		return fmt.Errorf("replica: Config.Founders names %d nodes; a cluster is founded by 1, 3 or %d, an even number survives no more than one less", n, VotersMax)
	}
	seen := make(map[string]journal.NodeID)
	var self *Founder
	for i, f := range c.Founders {
		if f.Node == 0 {
			return fmt.Errorf("replica: Config.Founders names node 0 at %q; nodes are numbered from 1", f.Address)
		}
		if err := checkAddress(f.Address); err != nil {
			return fmt.Errorf("replica: Config.Founders, node %d: %w", f.Node, err)
		}
		if other, twice := seen[f.Address]; twice {
			return fmt.Errorf("replica: Config.Founders names the address %s twice, for node %d and node %d; each node has its own", f.Address, other, f.Node)
		}
		if slices.ContainsFunc(c.Founders[:i], func(g Founder) bool { return g.Node == f.Node }) {
			return fmt.Errorf("replica: Config.Founders names node %d twice; each node has its own number", f.Node)
		}
		seen[f.Address] = f.Node
		if f.Node == c.Node {
			self = &c.Founders[i]
		}
	}
	if self == nil {
		return fmt.Errorf("replica: Config.Founders does not name this node, %d; name all founders on all of them, or let this node join", c.Node)
	}
	if at := string(c.Transport.LocalAddr()); at != self.Address {
		return fmt.Errorf("replica: Config.Founders has this node, %d, at %s, but Config.Transport is at %s; name the address under which the others reach it", c.Node, self.Address, at)
	}
	return nil
}

func plainID(id string) bool {
	ok := len(id) > 0 && len(id) <= ClusterIDBytesMax
	for i := 0; i < len(id); i++ {
		c := id[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')
	}
	return ok
}

// checkAddress refuses what would be misread in a greeting or in the list of members.
func checkAddress(address string) error {
	if address == "" || len(address) > AddressBytesMax {
		return fmt.Errorf("the address has %d bytes, the limits are 1 and %d", len(address), AddressBytesMax)
	}
	for i := 0; i < len(address); i++ {
		if c := address[i]; c <= ' ' || c == 0x7f || c == diskMark {
			return fmt.Errorf("the address %.80q holds %q, which an address must not", address, c)
		}
	}
	return nil
}

// digestOf stands for the list of founders, in whatever order they are named.
func digestOf(founders []Founder) string {
	if len(founders) == 0 {
		return ""
	}
	var text strings.Builder
	for _, f := range sortedFounders(founders) {
		fmt.Fprintf(&text, "%d %s\n", f.Node, f.Address)
	}
	sum := sha256.Sum256([]byte(text.String()))
	return hex.EncodeToString(sum[:8])
}

func sortedFounders(founders []Founder) []Founder {
	return slices.SortedFunc(slices.Values(founders), func(a, b Founder) int { return cmp.Compare(a.Node, b.Node) })
}

// first is the founder with the lowest number: the only one that writes the first configuration.
func first(founders []Founder) Founder {
	return sortedFounders(founders)[0]
}

// diskMark parts a member's address from the number of its disk, in Raft's list of members.
const diskMark = '#'

// withDisk is the address of a member as Raft keeps it. A data directory that is lost and made anew has another disk
// number, so Raft's messages for the old one never reach the new one: a node that has forgotten its vote and what it
// acknowledged must not pass for the one that promised.
func withDisk(address, disk string) raft.ServerAddress {
	return raft.ServerAddress(address + string(diskMark) + disk)
}

// cutDisk gives the address for the transport, and the disk: empty for a node that was founded without a cluster id.
func cutDisk(address raft.ServerAddress) (plain raft.ServerAddress, disk string) {
	if at := strings.LastIndexByte(string(address), diskMark); at >= 0 {
		return address[:at], string(address[at+1:])
	}
	return address, ""
}
