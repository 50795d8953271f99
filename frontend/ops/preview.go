package ops

import (
	"fmt"
	"time"
)

// refusal is a change that cannot be made, and why.
type refusal struct {
	err    error // ErrUnknownNode or ErrNotAllowed
	text   string
	remedy string
}

func (r *refusal) Error() string { return r.text + "; " + r.remedy }
func (r *refusal) Unwrap() error { return r.err }

func (m *Members) find(node uint32) (Node, error) {
	for _, n := range m.Nodes {
		if n.Node == node {
			return n, nil
		}
	}
	return Node{}, &refusal{ErrUnknownNode, fmt.Sprintf("the cluster has no node %d", node), "`netbank cluster status` lists the nodes"}
}

// leading says whether the node that was asked leads, and so knows enough to foresee a change.
func (m *Members) leading() bool { return m.Leader != 0 && m.Leader == m.Self }

// elsewhere is what a dry run says first when another node would have to be asked.
func (m *Members) elsewhere() []string {
	switch {
	case m.leading():
		return nil
	case m.Leader == 0:
		return []string{"No leader is known: nothing can be changed until there is one."}
	}
	return []string{fmt.Sprintf("Node %d leads, and this one knows only part of what it does.", m.Leader)}
}

// previewRemove says what removing a node does, or why it is refused.
func (m *Members) previewRemove(node uint32, force bool) ([]string, error) {
	n, err := m.find(node)
	if err != nil {
		return nil, err
	}
	if n.Leader && n.Self {
		return nil, &refusal{ErrNotAllowed, fmt.Sprintf("node %d leads, and cannot remove itself", node), "hand over first with `netbank cluster lead`, and ask the next leader"}
	}
	effect := append(m.elsewhere(), fmt.Sprintf("Node %d (%s at %s) leaves for good: its certificate is refused from then on, and its number is not given again.", node, n.Role, n.Address))
	if !n.Voter {
		return append(effect, "It has no vote, so the journal does not notice. Payments that it has sent to the core are resolved by inquiry."), nil
	}
	left, majority, up := m.Voters-1, (m.Voters-1)/2+1, m.VotersUp
	if n.State == NodeUp {
		up--
	}
	effect = append(effect, fmt.Sprintf("%d coordinators with a vote are left, and a majority is %d.", left, majority))
	if !m.leading() {
		return effect, nil
	}
	effect = append(effect, fmt.Sprintf("%d of them answer.", up))
	if up < majority {
		if !force {
			return nil, &refusal{
				ErrNotAllowed, fmt.Sprintf("without node %d, %d of %d coordinators answer, and %d are needed: payments would stop", node, up, left, majority),
				"let another coordinator join first, or start one that is down; --force removes it all the same",
			}
		}
		effect = append(effect, "Payments stop until enough of them answer: that is forced.")
	}
	return effect, nil
}

// previewPromote says what promoting a node does, or why it is refused.
func (m *Members) previewPromote(node uint32) ([]string, error) {
	n, err := m.find(node)
	switch {
	case err != nil:
		return nil, err
	case n.Role == RoleWorker:
		return nil, &refusal{ErrNotAllowed, fmt.Sprintf("node %d is a worker, which has no journal and can have no vote", node), "let a coordinator join: `netbank cluster token --role coordinator`"}
	case n.Voter:
		return append(m.elsewhere(), fmt.Sprintf("Node %d has a vote already: nothing changes.", node)), nil
	}
	effect := append(m.elsewhere(), fmt.Sprintf("Node %d gets a vote once its journal has caught up.", node))
	return append(effect, fmt.Sprintf("Then %d coordinators have a vote, and a majority is %d.", m.Voters+1, (m.Voters+1)/2+1)), nil
}

// previewDrain says what draining a node does, or why it is refused.
func (m *Members) previewDrain(node uint32, force bool) ([]string, error) {
	n, err := m.find(node)
	switch {
	case err != nil:
		return nil, err
	case n.Draining != nil:
		return append(m.elsewhere(), fmt.Sprintf("Node %d is being drained since %s: nothing changes.", node, stamp(*n.Draining))), nil
	}
	left := 0
	for _, other := range m.Nodes {
		if other.Node != node && other.Draining == nil && other.State != NodeDown {
			left++
		}
	}
	effect := append(m.elsewhere(),
		fmt.Sprintf("Node %d says that it is not ready, so that balancers send nobody there. Who is there is served, and leaves with the answer.", node))
	if n.Leader {
		effect = append(effect, "It hands the leadership over: payments wait for milliseconds.")
	}
	switch {
	case left > 0:
		return append(effect, fmt.Sprintf("%d other nodes take its customers. It stays in the cluster until it is undrained or removed.", left)), nil
	case force:
		return append(effect, "No other node can take its customers: payments stop. That is forced."), nil
	}
	return nil, &refusal{
		ErrNotAllowed, fmt.Sprintf("no other node can take the customers of node %d: payments would stop", node),
		"start another node or undrain one first; --force drains it all the same",
	}
}

// previewUndrain says what it does to let customers come to a node again.
func (m *Members) previewUndrain(node uint32) ([]string, error) {
	n, err := m.find(node)
	switch {
	case err != nil:
		return nil, err
	case n.Draining == nil && m.Leader != 0:
		return append(m.elsewhere(), fmt.Sprintf("Node %d is not being drained: nothing changes.", node)), nil
	}
	return append(m.elsewhere(), fmt.Sprintf("Node %d says that it is ready as soon as it is, and balancers send customers there.", node)), nil
}

// previewLead says what handing over the leadership does, or why it is refused.
func (m *Members) previewLead(to uint32) ([]string, error) {
	who := "the coordinator whose journal is nearest to the leader's"
	if to != 0 {
		n, err := m.find(to)
		switch {
		case err != nil:
			return nil, err
		case !n.Voter:
			return nil, &refusal{ErrNotAllowed, fmt.Sprintf("node %d has no vote, and cannot lead", to), "choose a coordinator with a vote; `netbank cluster status` lists them"}
		case n.Leader:
			return append(m.elsewhere(), fmt.Sprintf("Node %d leads already: nothing changes.", to)), nil
		case n.State == NodeDown:
			return nil, &refusal{ErrNotAllowed, fmt.Sprintf("node %d does not answer, and cannot take over", to), "choose one that is up, or 0 for the best"}
		}
		who = fmt.Sprintf("node %d", to)
	}
	if m.Voters < 2 {
		return nil, &refusal{ErrNotAllowed, "no other coordinator has a vote, so none can take over", "let others join first: `netbank cluster token --role coordinator`"}
	}
	from := "The leader"
	if m.Leader != 0 {
		from = fmt.Sprintf("Node %d", m.Leader)
	}
	return append(m.elsewhere(), fmt.Sprintf("%s hands the leadership to %s.", from, who),
		"New payments wait until it has taken over, and then go on; none is lost, and customers see at most a short wait."), nil
}

// previewRotate says what rotating the authority does.
func (m *Members) previewRotate() []string {
	effect := m.elsewhere()
	if m.Authority != nil && m.Authority.Rotation != "" {
		return append(effect, "A rotation is under way and goes on by itself: nothing changes.")
	}
	effect = append(effect,
		"A new authority is made. Every node comes to trust it beside the one that issues now; once all do, each gets a certificate from it; once all have, the old one is trusted no more.",
		"It takes seconds, and goes on by itself. Connections stand: no payment and no page waits for it.",
		"Join tokens that were made before are refused afterwards: make new ones.")
	for _, n := range m.Nodes {
		if n.State == NodeDown {
			effect = append(effect, fmt.Sprintf("Node %d does not answer and is waited for: both authorities are trusted until it is started or removed.", n.Node))
		}
	}
	return effect
}

// previewToken says what a token lets in.
func (m *Members) previewToken(t TokenTerms, now time.Time) []string {
	nodes := fmt.Sprintf("%d nodes", t.Uses)
	if t.Uses == 1 {
		nodes = "one node"
	}
	effect := append(m.elsewhere(), fmt.Sprintf("Whoever has the token can let %s join as %s until %s.", nodes, t.Role, stamp(now.Add(t.Lifetime))))
	if t.Role == RoleCoordinator {
		return append(effect, "A coordinator gets the whole journal, and a vote once it has caught up.")
	}
	return append(effect, "A worker gets the keys that open customers' sessions, and no journal.")
}
