package ops

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"netbank/cluster/journal"
	"netbank/frontend/money"
)

// What the cluster page warns of.
const (
	// LagWarnEntries is how far behind a journal may be before the page says so.
	LagWarnEntries = 10_000
	// CertificateWarnFor is how long before its end a node's certificate is called late. Nodes renew theirs when a third of its 30 days is
	// left.
	CertificateWarnFor = 5 * 24 * time.Hour
	// AuthorityWarnFor is how long before its end an authority is called late. Certificates end with it.
	AuthorityWarnFor = 90 * 24 * time.Hour
)

// States of a node, as Node.State.
const (
	NodeUp      = "up"
	NodeDown    = "down"
	NodeUnknown = "unknown" // only the leader hears from all
)

// Members is the answer of GET /api/v1/cluster: what the node that is asked knows of its cluster.
type Members struct {
	Cluster  string `json:"cluster,omitempty"` // its id
	Alone    bool   `json:"alone"`             // this node runs without others
	Self     uint32 `json:"self"`              // the node that is asked
	Leader   uint32 `json:"leader"`            // 0: no leader is known
	Well     bool   `json:"well"`
	Verdict  string `json:"verdict"` // in one sentence
	Voters   int    `json:"voters"`
	Majority int    `json:"majority"` // voters that must answer
	// VotersUp counts the voters that answer. Only the leader knows it; -1 elsewhere.
	VotersUp int `json:"votersUp"`
	// Authority is missing on a node that does not know it.
	Authority *Authority `json:"authority,omitempty"`
	Advice    []Advice   `json:"advice"`
	Nodes     []Node     `json:"nodes"`
}

// Authority is who signs the nodes' certificates.
type Authority struct {
	Fingerprint string     `json:"fingerprint"` // SHA-256 of its certificate
	End         *time.Time `json:"end,omitempty"`
	Rotation    string     `json:"rotation,omitempty"` // trust or renew, while another one takes its place
	Waiting     []uint32   `json:"waiting,omitempty"`  // nodes that have not done that; the leader alone knows
}

// Advice is something to look at.
type Advice struct {
	Text    string `json:"text"`
	Command string `json:"command,omitempty"` // what may help; the reason, and how to reach the port, are to be added
}

// Node is one member.
type Node struct {
	Node           uint32      `json:"node"`
	Role           string      `json:"role"` // coordinator or worker
	Address        string      `json:"address,omitempty"`
	Operator       string      `json:"operator,omitempty"`
	Voter          bool        `json:"voter"`
	Leader         bool        `json:"leader"`
	Self           bool        `json:"self"`
	State          string      `json:"state"` // up, down or unknown
	Since          *time.Time  `json:"since,omitempty"`
	Applied        *uint64     `json:"applied,omitempty"`
	Lag            *uint64     `json:"lag,omitempty"`
	Version        string      `json:"version,omitempty"`
	CertificateEnd *time.Time  `json:"certificateEnd,omitempty"`
	Core           *CoreStatus `json:"core,omitempty"`     // its own connection to the core
	Draining       *time.Time  `json:"draining,omitempty"` // since when no customers are to be sent there
	DrainReason    string      `json:"drainReason,omitempty"`
	Left           *int64      `json:"left,omitempty"` // of a drained node: connections and payments; missing: not known, or balancers may not have noticed yet
	Ready          bool        `json:"ready"`          // false with an empty notReady: not known
	NotReady       []string    `json:"notReady"`       // why customers should not be sent there
	Serving        bool        `json:"serving"`        // it has answered a request; false: it has not, or that is not known
}

type nodesAnswer struct {
	nodes []ClusterNode
	err   error
}

// membersNow lists the cluster as this node knows it. A node alone is a cluster of one. ok is false when the node does not say in time.
func (p *port) membersNow(now Readiness) (m Members, ok bool) {
	if p.Cluster == nil {
		return p.alone(now)
	}
	answer, _, ok := p.nodes.ask(func() nodesAnswer {
		nodes, err := p.Cluster.Nodes()
		return nodesAnswer{nodes, err}
	})
	if !ok {
		return Members{}, false
	}
	nodes := slices.Clone(answer.nodes)
	for i := range nodes {
		if nodes[i].Self {
			nodes[i].Ready, nodes[i].NotReady = now.Ready, now.problems()
		}
	}
	m = assess(nodes, time.Now())
	m.Cluster = p.Cluster.Name()
	m.vouch(p.Cluster.Authority(), time.Now())
	if answer.err != nil {
		m.Well, m.Verdict = false, "This node cannot say who the members are: "+plain(answer.err)
	}
	return m, true
}

// problems lists what the failed checks have found.
func (r Readiness) problems() (all []string) {
	for _, c := range r.Checks {
		if !c.OK {
			all = append(all, c.Problem())
		}
	}
	return all
}

// plain gives an error's text without the names of the packages that it went through.
func plain(err error) string {
	return strings.NewReplacer("ops: ", "", "bank: ", "", "replica: ", "", "cluster: ", "", "peer: ", "").Replace(err.Error())
}

func (p *port) alone(now Readiness) (Members, bool) {
	s, _, ok := p.statuses.ask(func() Status { return p.statusOf(p.Bank.Status()) })
	if !ok {
		return Members{}, false
	}
	n := ClusterNode{Node: journal.NodeID(s.Node), Role: RoleCoordinator, Voter: true, Leader: s.Role == "leader", Self: true, Up: true, Since: p.opened, Applied: s.Applied, Known: true, Version: p.Version, Ready: now.Ready, NotReady: now.problems()}
	m := assess([]ClusterNode{n}, time.Now())
	m.Alone = true
	if m.Well {
		m.Verdict = "This node runs alone: when it stops, payments stop"
	}
	m.Advice = append(m.Advice, Advice{Text: "Three coordinators survive the loss of any one of them. Start this node with --peer-addr, and let two more join.", Command: "netbank cluster token --role coordinator"})
	return m, true
}

// assess makes the picture of a cluster out of what a node knows, and says what to do.
func assess(nodes []ClusterNode, now time.Time) Members {
	m := Members{VotersUp: -1, Advice: []Advice{}, Nodes: []Node{}}
	nodes = slices.SortedFunc(slices.Values(nodes), func(a, b ClusterNode) int { return cmp.Compare(a.Node, b.Node) })
	leading, up := false, 0
	for _, n := range nodes {
		line := nodeOf(n)
		m.Nodes = append(m.Nodes, line)
		if n.Self {
			m.Self = line.Node
			leading = n.Leader
		}
		if n.Leader {
			m.Leader = line.Node
		}
		if n.Voter {
			m.Voters++
			if line.State == NodeUp {
				up++
			}
		}
	}
	m.Majority = m.Voters/2 + 1
	if leading {
		m.VotersUp = up
	}
	m.judge()
	for i, n := range m.Nodes {
		m.advise(n, nodes[i], now)
	}
	m.adviseVersions()
	return m
}

func nodeOf(n ClusterNode) Node {
	line := Node{
		Node: uint32(n.Node), Role: n.Role, Address: n.Address, Operator: n.Operator, Voter: n.Voter, Leader: n.Leader, Self: n.Self,
		State: NodeUnknown, Version: n.Version, Core: n.Core, Ready: n.Ready, Serving: n.Serving, NotReady: append([]string{}, n.NotReady...),
	}
	switch {
	case n.Self:
		line.State = NodeUp
	case n.Since.IsZero():
	case n.Up:
		line.State = NodeUp
	default:
		line.State = NodeDown
	}
	if !n.Since.IsZero() {
		since := n.Since.UTC()
		line.Since = &since
	}
	if n.Known {
		line.Applied, line.Lag = &n.Applied, &n.Lag
	}
	if !n.Draining.IsZero() {
		since := n.Draining.UTC()
		line.Draining, line.DrainReason, line.Left = &since, n.DrainReason, n.Left
	}
	if !n.CertificateEnd.IsZero() {
		end := n.CertificateEnd.UTC()
		line.CertificateEnd = &end
	}
	return line
}

// judge says in one sentence how the journal stands.
func (m *Members) judge() {
	switch {
	case m.Leader == 0:
		m.Verdict = fmt.Sprintf("No coordinator leads: no new money moves. %d of %d coordinators with a vote must run and reach each other", m.Majority, m.Voters)
		m.Advice = append(m.Advice, Advice{Text: "Look at each coordinator's disk, clock and log, and start those that have stopped; an election takes about a second once a majority is there."})
		return
	case m.VotersUp < 0:
		m.Well, m.Verdict = true, fmt.Sprintf("Node %d leads; ask it who answers", m.Leader)
		for _, n := range m.Nodes {
			if n.Leader && n.Operator != "" {
				m.Verdict += ", with --operator " + n.Operator
			}
		}
		return
	}
	spare := m.VotersUp - m.Majority
	switch {
	case spare < 0:
		m.Verdict = fmt.Sprintf("Only %d of %d coordinators with a vote answer; %d are needed", m.VotersUp, m.Voters, m.Majority)
	case spare == 0 && m.Voters > 1:
		m.Verdict = fmt.Sprintf("%d of %d coordinators answer: the next loss stops payments", m.VotersUp, m.Voters)
	case m.Voters == 1:
		m.Well, m.Verdict = true, "One coordinator has the journal: when it stops, payments stop"
	default:
		m.Well, m.Verdict = true, fmt.Sprintf("%d of %d coordinators answer; the loss of %d more is survived", m.VotersUp, m.Voters, spare)
	}
	if m.Voters%2 == 0 {
		m.Advice = append(m.Advice, Advice{
			Text:    fmt.Sprintf("%d votes stand no more losses than %d would. Let another coordinator join, or remove one.", m.Voters, m.Voters-1),
			Command: "netbank cluster token --role coordinator",
		})
	}
}

// advise looks at one node.
func (m *Members) advise(line Node, n ClusterNode, now time.Time) {
	who := fmt.Sprintf("Node %d", line.Node)
	add := func(command, format string, args ...any) {
		m.Advice = append(m.Advice, Advice{Text: who + " " + fmt.Sprintf(format, args...), Command: command})
	}
	switch {
	case line.State == NodeDown && n.Role == RoleCoordinator:
		add(fmt.Sprintf("netbank cluster remove %d", line.Node), "has not answered since %s. Start it again; if its disk is gone, remove it, and let another join in its place.", stamp(n.Since))
	case line.State == NodeDown:
		add(fmt.Sprintf("netbank cluster remove %d", line.Node), "has not answered since %s. Start it again, or remove it if it is not to come back.", stamp(n.Since))
	case line.State == NodeUp && n.Role == RoleCoordinator && !n.Voter:
		add(fmt.Sprintf("netbank cluster promote %d", line.Node), "is a coordinator without a vote: it gets one by itself once its journal has caught up.")
	}
	if n.Known && n.Lag > LagWarnEntries && line.State == NodeUp {
		add("", "is %s entries behind the leader: look at its disk and at the network. The journal does not wait for it as long as a majority is quicker.", money.Grouped(int64(n.Lag)))
	}
	if end := n.CertificateEnd; !end.IsZero() && end.Sub(now) < CertificateWarnFor {
		verb := "ends"
		if end.Before(now) {
			verb = "ended"
		}
		add("", "has a certificate that %s on %s, and should have renewed it by itself: read its log, and start it again.", verb, stamp(end))
	}
	if core := n.Core; core != nil && !core.Reachable && (n.Self || line.State != NodeDown) {
		add("", "cannot reach the core since %s: %s. What comes to it is refused or waits, while others may go on: look at its network.", stamp(core.Since), core.LastError)
	}
	if !n.Draining.IsZero() {
		add(fmt.Sprintf("netbank node undrain %d", line.Node), "has been drained since %s: %s. No customers are sent there until that is undone.", stamp(n.Draining), strings.TrimSuffix(n.DrainReason, "."))
	} else if len(n.NotReady) > 0 && !n.Self {
		add("", "gets no customers: %s", strings.Join(n.NotReady, "; "))
	}
}

// vouch says who signs certificates, and how far a rotation is.
func (m *Members) vouch(a ClusterAuthority, now time.Time) {
	if a.Fingerprint == "" {
		return
	}
	m.Authority = &Authority{Fingerprint: a.Fingerprint, Rotation: a.Rotation}
	if !a.End.IsZero() {
		end := a.End.UTC()
		m.Authority.End = &end
	}
	for _, n := range a.Waiting {
		m.Authority.Waiting = append(m.Authority.Waiting, uint32(n))
	}
	step := ""
	switch a.Rotation {
	case RotationTrust:
		step = "step 1 of 2: every node comes to trust the next one"
	case RotationRenew:
		step = "step 2 of 2: every node gets its certificate from the next one"
	default:
		if !a.End.IsZero() && a.End.Sub(now) < AuthorityWarnFor {
			m.Advice = append(m.Advice, Advice{Text: fmt.Sprintf("The authority that signs the nodes' certificates ends on %s, and they with it: rotate it.", stamp(a.End)), Command: "netbank cluster rotate-authority"})
		}
		return
	}
	text := "The authority that signs the nodes' certificates is being rotated, " + step
	switch {
	case len(a.Waiting) > 0:
		text += fmt.Sprintf(". Not yet: %s. One that is away is waited for: start it, or remove it.", nodesOf(a.Waiting))
	case a.Known:
		text += "; all have."
	default:
		text += ". Ask the leader for whom it waits."
	}
	m.Advice = append(m.Advice, Advice{Text: text})
}

// nodesOf names nodes in a sentence.
func nodesOf(all []journal.NodeID) string {
	names := make([]string, len(all))
	for i, n := range all {
		names[i] = fmt.Sprintf("node %d", n)
	}
	return strings.Join(names, ", ")
}

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05") + " UTC" }

func (m *Members) adviseVersions() {
	var versions []string
	for _, n := range m.Nodes {
		if n.Version != "" && !slices.Contains(versions, n.Version) {
			versions = append(versions, n.Version)
		}
	}
	if len(versions) > 1 {
		m.Advice = append(m.Advice, Advice{Text: fmt.Sprintf("%d versions run side by side (%s). That is so while nodes are upgraded one after the other; finish it.", len(versions), strings.Join(versions, "; "))})
	}
}
