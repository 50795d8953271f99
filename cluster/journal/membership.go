package journal

import (
	"encoding/hex"
	"fmt"
	"math"
	"slices"

	"netbank/cluster/journal/command"
)

// Role is what a node may do. The numbers are in the log.
type Role uint8

// The roles.
const (
	RoleCoordinator Role = iota + 1 // keeps the journal; votes, or may come to vote
	RoleWorker                      // serves HTTP only
)

func (r Role) String() string {
	switch r {
	case RoleCoordinator:
		return "coordinator"
	case RoleWorker:
		return "worker"
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// TokenID names a join token. It is no secret.
type TokenID [8]byte

// String gives 16 hexadecimal digits.
func (id TokenID) String() string { return hex.EncodeToString(id[:]) }

// Authority is an authority of the cluster's certificates, sealed under the key-encryption key.
type Authority struct {
	ID          uint32
	Fingerprint [32]byte // SHA-256 of its certificate
	Sealed      []byte
	Added       Millis
}

// Token is what the cluster keeps of a join token: enough to know it again, too little to make it.
type Token struct {
	ID      TokenID
	Hash    [32]byte // of the secret
	Role    Role     // of the nodes that it lets in
	Expires Millis
	Uses    uint32 // nodes that it is good for
	Used    uint32
}

// Node is a member of the cluster, or one that was.
type Node struct {
	ID      NodeID
	Role    Role
	Address string   // host:port of its port; empty for one that nobody dials
	Key     [32]byte // SHA-256 of the public key with which it joined; zero for a founder
	Token   TokenID  // with which it joined; zero for a founder
	Joined  Millis
	Removed Millis // 0: it is a member
	// Draining is since when no customer is to be sent to it, and DrainReason why; 0: it is not being drained.
	Draining    Millis
	DrainReason string
}

// Member reports whether the node belongs to the cluster.
func (n *Node) Member() bool { return n.Removed == 0 }

// Membership says who belongs to the cluster, who can join, and who signs certificates. Which coordinators vote is in Raft's own
// list. A Membership never changes: each change makes another one, with the next version. Nobody may write to it.
type Membership struct {
	Version     uint64      // grows with each change; 0: nothing was ever said
	Authorities []Authority // by id, oldest first
	Issuer      uint32      // the id of the one that issues; 0: none yet
	Tokens      []Token     // in the order of their making
	Nodes       []Node      // by number
	NextNode    NodeID      // what the next node that joins gets
	lastIssuer  uint32      // the highest id that an authority ever had
}

func newMembership() *Membership { return &Membership{NextNode: 1} }

// Membership gives who belongs to the cluster now.
func (m *Machine) Membership() *Membership { return m.members }

// Node finds a node by its number, removed ones among them. nil: none.
func (m *Membership) Node(id NodeID) *Node {
	if at, ok := m.nodeAt(id); ok {
		return &m.Nodes[at]
	}
	return nil
}

func (m *Membership) nodeAt(id NodeID) (int, bool) {
	return slices.BinarySearchFunc(m.Nodes, id, func(n Node, id NodeID) int { return int(int64(n.ID) - int64(id)) })
}

// NodeByKey finds the node that joined with a key. nil: none.
func (m *Membership) NodeByKey(key [32]byte) *Node {
	if key == ([32]byte{}) {
		return nil
	}
	return find(m.Nodes, func(n *Node) bool { return n.Key == key })
}

// Token finds a join token. nil: none.
func (m *Membership) Token(id TokenID) *Token {
	return find(m.Tokens, func(t *Token) bool { return t.ID == id })
}

// Authority finds an authority. nil: none.
func (m *Membership) Authority(id uint32) *Authority {
	return find(m.Authorities, func(a *Authority) bool { return a.ID == id })
}

func find[T any](all []T, is func(*T) bool) *T {
	for i := range all {
		if is(&all[i]) {
			return &all[i]
		}
	}
	return nil
}

// NextAuthority gives the id of the next authority to be put: above all that there ever were.
func (m *Membership) NextAuthority() uint32 { return m.lastIssuer + 1 }

// reform gives the next membership to be written.
func (m *Machine) reform() *Membership {
	next := *m.members
	next.Version++
	next.Authorities, next.Tokens, next.Nodes = slices.Clone(next.Authorities), slices.Clone(next.Tokens), slices.Clone(next.Nodes)
	m.members = &next
	return &next
}

func (m *Machine) putAuthority(c *command.PutAuthority, out *Result) {
	now := m.members
	switch {
	case c.GetId() == 0 || len(c.GetFingerprint()) != 32 || len(c.GetSealed()) == 0 || len(c.GetSealed()) > m.limits.SealedBytes:
		out.Verdict = BadCommand
	case c.Id <= now.lastIssuer || find(now.Authorities, func(a *Authority) bool { return a.Fingerprint == [32]byte(c.Fingerprint) }) != nil:
		out.Verdict = NotAllowed
	case len(now.Authorities) >= m.limits.Authorities:
		out.Verdict = TooMany
	default:
		next := m.reform()
		next.Authorities = append(next.Authorities, Authority{c.Id, [32]byte(c.Fingerprint), slices.Clone(c.Sealed), m.now})
		next.lastIssuer = c.Id
		if next.Issuer == 0 {
			next.Issuer = c.Id
		}
	}
}

func (m *Machine) issueFrom(c *command.IssueFrom, out *Result) {
	switch {
	case m.members.Authority(c.GetId()) == nil:
		out.Verdict = NotFound
	case m.members.Issuer != c.Id:
		m.reform().Issuer = c.Id
	}
}

func (m *Machine) dropAuthority(c *command.DropAuthority, out *Result) {
	switch {
	case m.members.Authority(c.GetId()) == nil:
		out.Verdict = NotFound
	case m.members.Issuer == c.Id:
		out.Verdict = NotAllowed
	default:
		next := m.reform()
		next.Authorities = slices.DeleteFunc(next.Authorities, func(a Authority) bool { return a.ID == c.Id })
	}
}

func knownRole(r command.Role) bool {
	return r == command.Role_ROLE_COORDINATOR || r == command.Role_ROLE_WORKER
}

// validAddress lets a worker have none: nobody dials it.
func (m *Machine) validAddress(address string, role Role) bool {
	return address == "" && role == RoleWorker || visible(address, 1, m.limits.AddressBytes)
}

func (m *Machine) putToken(c *command.PutToken, out *Result) {
	expires := Millis(c.GetExpiresMs())
	switch {
	case len(c.GetId()) != len(TokenID{}) || len(c.GetHash()) != 32 || !knownRole(c.GetRole()) ||
		c.Uses == 0 || int64(c.Uses) > int64(m.limits.TokenUses) || expires <= m.now || expires > m.now+m.limits.TokenLife+m.limits.ClockSlack:
		out.Verdict = BadCommand
		return
	case m.members.Token(TokenID(c.Id)) != nil:
		out.Verdict = NotAllowed
		return
	}
	live := func(t Token) bool { return t.Expires > m.now }
	kept := len(m.members.Tokens)
	if kept >= m.limits.Tokens {
		kept = 0
		for _, t := range m.members.Tokens {
			if live(t) {
				kept++
			}
		}
	}
	if kept >= m.limits.Tokens {
		out.Verdict = TooMany
		return
	}
	next := m.reform()
	if kept < len(next.Tokens) { // those that have expired are kept only as long as there is room, to say so
		next.Tokens = slices.DeleteFunc(next.Tokens, func(t Token) bool { return !live(t) })
	}
	next.Tokens = append(next.Tokens, Token{ID: TokenID(c.Id), Hash: [32]byte(c.Hash), Role: Role(c.Role), Expires: expires, Uses: c.Uses})
}

// enrol lets a node in. Its key is looked up first: an answer that was lost is given again, whatever has become of the token.
func (m *Machine) enrol(c *command.Enrol, out *Result) {
	if len(c.GetToken()) != len(TokenID{}) || len(c.GetKey()) != 32 || [32]byte(c.Key) == ([32]byte{}) {
		out.Verdict = BadCommand
		return
	}
	now, id, key := m.members, TokenID(c.Token), [32]byte(c.Key)
	if known := now.NodeByKey(key); known != nil {
		if !known.Member() || known.Token != id {
			out.Verdict = NotAllowed
		}
		return
	}
	token := now.Token(id)
	switch {
	case token == nil:
		out.Verdict = NotFound
		return
	case !m.validAddress(c.Address, token.Role):
		out.Verdict = BadCommand
		return
	case token.Expires <= m.now:
		out.Verdict = TokenExpired
		return
	case token.Used >= token.Uses:
		out.Verdict = TokenUsed
		return
	case !m.roomForNode(token.Role) || now.NextNode == math.MaxUint32:
		out.Verdict = TooMany
		return
	}
	role := token.Role
	next := m.reform()
	next.Token(id).Used++
	m.add(next, Node{ID: next.NextNode, Role: role, Address: string([]byte(c.Address)), Key: key, Token: id, Joined: m.now})
}

// roomForNode tells whether one more node fits: a removed one makes room, a member does not.
func (m *Machine) roomForNode(role Role) bool {
	members, coordinators := 0, 0
	for i := range m.members.Nodes {
		if n := &m.members.Nodes[i]; n.Member() {
			members++
			if n.Role == RoleCoordinator {
				coordinators++
			}
		}
	}
	return members < m.limits.Nodes && (role != RoleCoordinator || coordinators < m.limits.Coordinators)
}

// add takes a node in, for which there is room, and forgets the one that was removed first if there are too many.
func (m *Machine) add(next *Membership, n Node) {
	if len(next.Nodes) >= m.limits.Nodes {
		oldest := -1
		for i := range next.Nodes {
			if !next.Nodes[i].Member() && (oldest < 0 || next.Nodes[i].Removed < next.Nodes[oldest].Removed) {
				oldest = i
			}
		}
		next.Nodes = slices.Delete(next.Nodes, oldest, oldest+1)
	}
	next.Nodes = append(next.Nodes, n) // its number is the highest
	next.NextNode = n.ID + 1
}

// putNode records a founder, whose number is above all earlier ones, or where a member is now.
func (m *Machine) putNode(c *command.PutNode, out *Result) {
	role := Role(c.GetRole())
	if c.GetNode() == 0 || c.Node == math.MaxUint32 || !knownRole(c.Role) || !m.validAddress(c.Address, role) {
		out.Verdict = BadCommand
		return
	}
	id := NodeID(c.Node)
	switch known := m.members.Node(id); {
	case known != nil && (!known.Member() || known.Role != role), known == nil && id < m.members.NextNode:
		out.Verdict = NotAllowed
	case known != nil:
		if known.Address != c.Address {
			m.reform().Node(id).Address = string([]byte(c.Address))
		}
	case !m.roomForNode(role):
		out.Verdict = TooMany
	default:
		m.add(m.reform(), Node{ID: id, Role: role, Address: string([]byte(c.Address)), Joined: m.now})
	}
}

func (m *Machine) removeNode(c *command.RemoveNode, out *Result) {
	known := m.members.Node(NodeID(c.GetNode()))
	switch {
	case known == nil:
		out.Verdict = NotFound
	case known.Member():
		m.reform().Node(known.ID).Removed = max(m.now, 1)
	}
}

// drainNode keeps customers away from a member, or lets them come again.
func (m *Machine) drainNode(c *command.DrainNode, out *Result) {
	known := m.members.Node(NodeID(c.GetNode()))
	switch {
	case !m.signed(c.GetReason(), c.GetOperator()):
		out.Verdict = BadCommand
	case known == nil || !known.Member():
		out.Verdict = NotFound
	case known.Draining > 0 == c.On:
	default:
		n := m.reform().Node(known.ID)
		act := Act{Verb: VerbUndrain, Node: n.ID, Operator: c.Operator, Reason: c.Reason}
		n.Draining, n.DrainReason = 0, ""
		if c.On {
			act.Verb = VerbDrain
			n.Draining, n.DrainReason = max(m.now, 1), string([]byte(c.Reason))
		}
		m.enter(act)
	}
}
