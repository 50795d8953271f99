package bank

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/peer"
	"netbank/cluster/replica"
)

// The pace at which a node looks after its cluster.
const (
	// FollowEvery is the time between two looks at the membership in the journal.
	FollowEvery = 100 * time.Millisecond
	// TendEvery is the time between two rounds of the leader, in which it makes the voters what the membership says.
	TendEvery = time.Second
	// TendTimeout bounds each of the leader's changes of the voters; what is not done by then goes on in the next round.
	TendTimeout = 30 * time.Second
	// WorkerRenewAgain is how long a worker whose certificate is not from the authority that issues now waits before it asks for another again.
	WorkerRenewAgain = 5 * time.Second
	// HandOverWait is how long a leader that stops waits for another one: a transfer takes milliseconds, or fails because all stop at once.
	HandOverWait = time.Second
	// HeardWithin is how long after its last answer a coordinator is still called up.
	HeardWithin = 2 * time.Second
)

// keep looks after the cluster until ctx is done.
func (p *peers) keep(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { p.speak(ctx) })
	if p.worker() {
		all.Go(func() { p.listen(ctx) })
	} else {
		all.Go(func() { p.follow(ctx) })
		all.Go(func() { p.lead(ctx) })
	}
	if own := p.roster.Load().find(p.self()); own != nil && own.Addr != p.config.PeerAdvertise {
		p.logger.Info("this node has moved, and tells the others", "from", own.Addr, "to", p.config.PeerAdvertise)
		p.port.RenewNow()
	}
	all.Go(func() {
		p.port.KeepRenewed(ctx, func() []journal.NodeID {
			var nodes []journal.NodeID
			for _, m := range p.roster.Load().coordinators(p.leader()) {
				if m.Node != p.self() || m.Addr == p.config.PeerAdvertise { // where it was, it cannot be dialled
					nodes = append(nodes, m.Node)
				}
			}
			return nodes
		}, p.store)
	})
	all.Wait()
}

// leader gives who leads as far as this node knows. 0: nobody.
func (p *peers) leader() journal.NodeID {
	if p.worker() {
		return p.node.Load().Status().Reads.Leader
	}
	leader, _ := p.node.Load().Replica().Leader()
	return leader
}

// speak keeps what this node tells of itself true.
func (p *peers) speak(ctx context.Context) {
	ticker := time.NewTicker(AboutEvery)
	defer ticker.Stop()
	for {
		p.compose()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// listen lets a worker take up what the leader tells.
func (p *peers) listen(ctx context.Context) {
	ticker := time.NewTicker(FollowEvery)
	defer ticker.Stop()
	complaint := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		leader, ok := p.leaderTells()
		if !ok || leader.Led == nil {
			continue
		}
		if err := p.hear(leader.Led); err == nil {
			complaint = ""
		} else if text := err.Error(); text != complaint {
			complaint = text
			p.logger.Warn("what the leader tells cannot be taken up yet; trying again", "error", err)
		}
	}
}

// follow takes up what the journal says of the membership.
func (p *peers) follow(ctx context.Context) {
	ticker := time.NewTicker(FollowEvery)
	defer ticker.Stop()
	var last *journal.Membership
	complaint := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		n := p.node.Load()
		m := n.Membership()
		p.seen.look(n, m)
		if m == last && p.certified(m) || m.Version < p.roster.Load().Version {
			continue // a node that has just started may know more than its journal has replayed
		}
		err := p.adopt(m)
		if err == nil {
			last, complaint = m, ""
		} else if text := err.Error(); text != complaint {
			complaint = text
			p.logger.Warn("the cluster's membership cannot be taken up yet; trying again", "version", m.Version, "error", err)
		}
	}
}

// adopt makes a membership of the journal this node's own.
func (p *peers) adopt(m *journal.Membership) error {
	was := p.roster.Load()
	next := was.following(m)
	p.roster.Store(next)
	for _, old := range was.Members {
		if next.find(old.Node) == nil {
			p.logger.Info("a node is no member any more", "node", old.Node)
			p.port.Disconnect(old.Node)
		}
	}
	return errors.Join(p.trust(m), p.store(nil))
}

// lead does, as long as this node leads, what only the leader does.
func (p *peers) lead(ctx context.Context) {
	ticker := time.NewTicker(TendEvery)
	defer ticker.Stop()
	complaint := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !p.node.Load().Leading() {
			complaint = ""
			continue
		}
		err := p.tend(ctx)
		if err == nil || errors.Is(err, replica.ErrNotLeader) || ctx.Err() != nil {
			complaint = ""
		} else if text := fmt.Sprint(err); text != complaint {
			complaint = text
			p.logger.Warn("the cluster is not as it should be; trying again", "error", err)
		}
	}
}

// tend is one round of the leader.
func (p *peers) tend(ctx context.Context) error {
	if err := p.record(); err != nil {
		return err
	}
	r := p.node.Load().Replica()
	m := p.node.Load().Membership()
	members := r.Members()
	errs := []error{p.rotate(m), p.forget(m)}
	within := func(f func(ctx context.Context) error) {
		limited, cancel := context.WithTimeout(ctx, TendTimeout)
		defer cancel()
		errs = append(errs, f(limited))
	}
	voters := 0
	for _, member := range members {
		n := m.Node(member.Node)
		if gone := n == nil && member.Node < m.NextNode || n != nil && !n.Member(); gone && !member.Self {
			within(func(ctx context.Context) error { return r.Remove(ctx, member.Node, false) })
			p.port.Disconnect(member.Node)
		} else if member.Voter {
			voters++
		}
	}
	for i := range m.Nodes {
		n := &m.Nodes[i]
		at := slices.IndexFunc(members, func(member replica.Member) bool { return member.Node == n.ID })
		if !n.Member() || n.Role != journal.RoleCoordinator || at >= 0 && members[at].Voter {
			continue
		}
		if at < 0 {
			within(func(ctx context.Context) error { return r.AddNonvoter(ctx, n.ID, peer.Name(n.ID)) })
		}
		if at >= 0 || errs[len(errs)-1] == nil {
			if voters >= replica.VotersMax {
				continue
			}
			within(func(ctx context.Context) error { return r.Promote(ctx, n.ID) })
			if errs[len(errs)-1] == nil {
				voters++
				p.logger.Info("a coordinator has a vote now", "node", n.ID)
			}
		}
	}
	return errors.Join(errs...)
}

// record puts into the journal what a new cluster begins with: its founders, and then its authority. Nobody can join before the authority is
// there, or a new node would get a founder's number.
func (p *peers) record() error {
	n := p.node.Load()
	m := n.Membership()
	known := p.roster.Load()
	for _, member := range n.Replica().Members() { // in the order of their numbers
		if member.Node < m.NextNode {
			continue
		}
		addr, err := known.addressOf(member.Node)
		if err != nil {
			return err
		}
		put := &command.PutNode{Node: uint32(member.Node), Role: command.Role_ROLE_COORDINATOR, Address: addr}
		if err := p.must(&journal.Command{Body: &command.Command_PutNode{PutNode: put}}); err != nil {
			return fmt.Errorf("bank: recording node %d: %w", member.Node, err)
		}
	}
	if m.Issuer != 0 {
		if own := m.Node(p.self()); own != nil && own.Address != p.config.PeerAdvertise {
			return p.moved(p.self(), p.config.PeerAdvertise) // it was alone with the vote, or the others sleep
		}
		return nil
	}
	authority, err := p.derived()
	if err != nil {
		return err
	}
	sealed, err := authority.Seal(p.key)
	if err != nil {
		return err
	}
	fingerprint := authority.Fingerprint()
	put := &command.PutAuthority{Id: 1, Fingerprint: fingerprint[:], Sealed: sealed}
	if err := p.must(&journal.Command{Body: &command.Command_PutAuthority{PutAuthority: put}}); err != nil {
		return fmt.Errorf("bank: recording the cluster's authority: %w", err)
	}
	return nil
}

// must commits what the journal has no reason to refuse.
func (p *peers) must(c *journal.Command) error {
	verdict, err := p.commit(c)
	if err == nil && verdict != journal.Done {
		err = fmt.Errorf("the journal says %s", verdict)
	}
	return err
}

// handOver lets another coordinator lead, so that payments wait for milliseconds instead of an election when this node stops.
func (p *peers) handOver() {
	if p.worker() {
		return
	}
	r := p.node.Load().Replica()
	voters := 0
	for _, m := range r.Members() {
		if m.Voter {
			voters++
		}
	}
	if _, leading := r.Leadership(); !leading || voters < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), HandOverWait)
	defer cancel()
	if err := r.TransferLeadership(ctx, 0); err != nil && !errors.Is(err, replica.ErrNotLeader) {
		p.logger.Warn("nobody took over the leadership before this node stops; an election follows", "error", err)
		return
	}
	leader, _ := r.Leader()
	p.logger.Info("another node leads from here on", "leader", leader)
}
