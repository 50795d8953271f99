package bank

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"netbank/cluster"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/peer"
	"netbank/cluster/replica"
	"netbank/frontend/ops"
)

// operated is a node's cluster as its operator's port needs it.
type operated struct{ *peers }

var _ ops.Cluster = operated{}

// Name implements ops.Cluster.
func (o operated) Name() string { return o.config.Cluster }

// Nodes implements ops.Cluster.
func (o operated) Nodes() ([]ops.ClusterNode, error) {
	if o.worker() {
		return o.seenByWorker(), nil
	}
	r := o.node.Load().Replica()
	stats := r.Stats()
	var all []ops.ClusterNode
	for _, m := range r.Members() {
		all = append(all, o.coordinator(m, stats))
	}
	for _, m := range o.roster.Load().Members {
		if slices.ContainsFunc(all, func(n ops.ClusterNode) bool { return n.Node == m.Node }) {
			continue
		}
		n := ops.ClusterNode{Node: m.Node, Role: m.Role.String(), Address: m.Addr, Self: m.Node == o.self()}
		if h, ok := o.seen.of(m.Node); ok {
			n.Up, n.Since = h.up, h.since
		}
		all = append(all, n)
	}
	m := o.node.Load().Membership()
	for i := range all {
		if n := m.Node(all[i].Node); n != nil && n.Draining > 0 {
			all[i].Draining, all[i].DrainReason = time.UnixMilli(int64(n.Draining)), n.DrainReason
		}
	}
	o.fill(all)
	return all, r.Waiting()
}

// seenByWorker is what a node without a journal knows: the coordinators, and itself.
func (o operated) seenByWorker() (all []ops.ClusterNode) {
	leader := o.leader()
	for _, m := range o.roster.Load().Members {
		all = append(all, ops.ClusterNode{Node: m.Node, Role: m.Role.String(), Address: m.Addr, Voter: true, Leader: m.Node == leader})
	}
	self := ops.ClusterNode{Node: o.self(), Role: ops.RoleWorker, Self: true}
	if since, reason := o.node.Load().Draining(); since > 0 {
		self.Draining, self.DrainReason = time.UnixMilli(int64(since)), reason
	}
	all = append(all, self)
	o.fill(all)
	return all
}

// fill adds what nodes tell of themselves: this one, those that follow it, or the leader that it follows.
func (o operated) fill(all []ops.ClusterNode) {
	told := o.everybody()
	if leader, ok := o.leaderTells(); ok {
		told[o.leader()] = leader
	}
	for i := range all {
		n := &all[i]
		a, ok := told[n.Node]
		if !ok {
			continue
		}
		n.Version, n.Operator, n.CertificateEnd, n.Core = a.Version, a.Operator, a.CertificateEnd, &a.Core
		if n.Up || n.Since.IsZero() { // what one says that does not answer any more holds no longer
			n.Ready, n.NotReady, n.Serving, n.Left = a.Ready, a.NotReady, a.Serving, a.Left
		}
	}
}

func (o operated) coordinator(m replica.Member, stats replica.Stats) ops.ClusterNode {
	n := ops.ClusterNode{Node: m.Node, Role: ops.RoleCoordinator, Voter: m.Voter, Leader: m.Leader, Self: m.Self}
	n.Address, _ = o.roster.Load().addressOf(m.Node)
	if h, ok := o.seen.of(m.Node); ok {
		n.Up, n.Since = h.up, h.since
	}
	if stats.Leading && !m.Contact.IsZero() {
		n.Known, n.Applied = true, m.Matched
		n.Lag = stats.LastIndex - min(m.Matched, stats.LastIndex)
	}
	return n
}

// operatorURL is where operators reach this node's port.
func (c *Config) operatorURL() string {
	at := c.OperatorAdvertise
	if at == "" {
		at = c.OperatorAddr
		host, port, _ := net.SplitHostPort(at)
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host, _, _ = net.SplitHostPort(c.PeerAdvertise)
			if host == "" {
				host, _ = os.Hostname()
			}
			at = net.JoinHostPort(host, port)
		}
	}
	if c.OperatorCert != "" {
		return "https://" + at
	}
	return "http://" + at
}

// NewToken implements ops.Cluster.
func (o operated) NewToken(_ context.Context, terms ops.TokenTerms) (string, error) {
	role, err := peer.ParseRole(terms.Role)
	if err != nil {
		return "", err
	}
	if o.worker() {
		return "", o.leading()
	}
	if o.node.Load().Membership().Issuer == 0 {
		return "", fmt.Errorf("%w: the cluster has not recorded its founders yet", cluster.ErrNoLeader)
	}
	var addrs []string
	for _, m := range o.roster.Load().coordinators(o.leader()) {
		addrs = append(addrs, m.Addr)
	}
	addrs = addrs[:min(len(addrs), peer.AddrsMax)]
	token, record, err := peer.NewToken(o.port.Identity(), peer.TokenTerms{Addrs: addrs, Role: role, Lifetime: terms.Lifetime, Multiple: terms.Uses > 1}, time.Now())
	if err != nil {
		return "", err
	}
	put := &command.PutToken{
		Id: record.ID[:], Hash: record.Hash[:], Role: command.Role(record.Role), ExpiresMs: record.Expires.UnixMilli(), Uses: uint32(terms.Uses),
	}
	verdict, err := o.commit(&journal.Command{Body: &command.Command_PutToken{PutToken: put}})
	switch {
	case err != nil:
		return "", err
	case verdict == journal.TooMany:
		return "", fmt.Errorf("%w: there are as many join tokens as there may be; wait until one has expired", ops.ErrNotAllowed)
	case verdict != journal.Done:
		return "", fmt.Errorf("bank: the journal did not take the token: %s; look at the clocks", verdict)
	}
	return token.Text(), nil
}

// leading refuses what only the leader can do.
func (o operated) leading() error {
	if o.node.Load().Leading() {
		return nil
	}
	return o.elsewhere()
}

// elsewhere names the leader and where its operator's port is, as far as they are known.
func (o operated) elsewhere() *ops.NotLeader {
	leader := o.leader()
	if leader == o.self() {
		return &ops.NotLeader{} // elected, and not yet ready
	}
	a, _ := o.leaderTells()
	return &ops.NotLeader{Leader: leader, Operator: a.Operator}
}

// Leader implements ops.Cluster.
func (o operated) Leader() (journal.NodeID, string) {
	if o.node.Load().Leading() {
		return o.self(), o.config.operatorURL()
	}
	to := o.elsewhere()
	return to.Leader, to.Operator
}

// worded puts an error of the replica into the words of the operator's port.
func (o operated) worded(err error) error {
	for _, known := range []struct{ is, as error }{
		{replica.ErrUnknown, ops.ErrOutcomeUnknown},
		{replica.ErrNotMember, ops.ErrUnknownNode},
		{replica.ErrMajority, ops.ErrNotAllowed},
		{replica.ErrTooMany, ops.ErrNotAllowed},
		{replica.ErrMember, ops.ErrNotAllowed},
		{replica.ErrUnreachable, ops.ErrNotAllowed},
		{replica.ErrBehind, ops.ErrNotAllowed},
		{replica.ErrBusy, cluster.ErrOverloaded},
		{replica.ErrClosed, cluster.ErrClosed},
	} {
		if errors.Is(err, known.is) {
			return fmt.Errorf("%w: %w", known.as, err)
		}
	}
	if errors.Is(err, replica.ErrNotLeader) {
		if now := o.leading(); now != nil {
			return now
		}
		return fmt.Errorf("%w: %w", ops.ErrOutcomeUnknown, err)
	}
	return err
}

// RemoveNode implements ops.Cluster. The vote goes first, which may be refused; the journal then bars the node for good. Broken off in
// between, it is repeated.
func (o operated) RemoveNode(ctx context.Context, node journal.NodeID, force bool, reason string) error {
	if err := o.leading(); err != nil {
		return err
	}
	r := o.node.Load().Replica()
	n := o.node.Load().Membership().Node(node)
	votes := slices.ContainsFunc(r.Members(), func(m replica.Member) bool { return m.Node == node })
	switch {
	case n == nil && !votes:
		return fmt.Errorf("%w: node %d", ops.ErrUnknownNode, node)
	case node == o.self():
		return fmt.Errorf("%w: node %d leads and cannot remove itself; let another node lead first, and ask that one", ops.ErrNotAllowed, node)
	}
	if votes {
		if err := r.Remove(ctx, node, force); err != nil {
			return o.worded(err)
		}
	}
	if n == nil || !n.Member() {
		return nil
	}
	if err := o.must(&journal.Command{Body: &command.Command_RemoveNode{RemoveNode: &command.RemoveNode{Node: uint32(node)}}}); err != nil {
		return fmt.Errorf("bank: removing node %d: %w", node, err)
	}
	o.port.Disconnect(node)
	o.logger.Info("a node was removed", "node", node, "reason", reason, "forced", force)
	return nil
}

// PromoteNode implements ops.Cluster. The leader does the same by itself; this says why it does not come about.
func (o operated) PromoteNode(ctx context.Context, node journal.NodeID, _ string) error {
	if err := o.leading(); err != nil {
		return err
	}
	n := o.node.Load().Membership().Node(node)
	if n == nil || !n.Member() {
		return fmt.Errorf("%w: node %d", ops.ErrUnknownNode, node)
	}
	if n.Role != journal.RoleCoordinator {
		return fmt.Errorf("%w: node %d is a %s, and only coordinators vote", ops.ErrNotAllowed, node, n.Role)
	}
	r := o.node.Load().Replica()
	if !slices.ContainsFunc(r.Members(), func(m replica.Member) bool { return m.Node == node }) {
		if err := r.AddNonvoter(ctx, node, peer.Name(node)); err != nil {
			return o.worded(err)
		}
	}
	return o.worded(r.Promote(ctx, node))
}

// DrainNode implements ops.Cluster. Any node may be asked: the leader commits it, and the node itself acts.
func (o operated) DrainNode(_ context.Context, node journal.NodeID, on bool, operator, reason string) error {
	verdict, err := o.commit(&journal.Command{Body: &command.Command_DrainNode{DrainNode: &command.DrainNode{Node: uint32(node), On: on, Reason: reason, Operator: operator}}})
	switch {
	case err != nil:
		return err
	case verdict == journal.NotFound:
		return fmt.Errorf("%w: node %d", ops.ErrUnknownNode, node)
	case verdict != journal.Done:
		return fmt.Errorf("bank: the journal did not take it: %s", verdict)
	}
	return nil
}

// TransferLeadership implements ops.Cluster.
func (o operated) TransferLeadership(ctx context.Context, to journal.NodeID, _ string) error {
	if to != 0 && o.leader() == to {
		return nil
	}
	if err := o.leading(); err != nil {
		return err
	}
	return o.worded(o.node.Load().Replica().TransferLeadership(ctx, to))
}
