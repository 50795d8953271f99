package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"netbank/cluster/journal"
)

// How long changes of the members may take. Every call ends earlier when its context does.
const (
	// ChangeTimeout bounds a change of the members: Raft takes it, and a majority has it on disk.
	ChangeTimeout = 10 * time.Second
	// CatchUpTimeout bounds how long Promote waits for a node to catch up: a snapshot of 8 GiB at 20 MB/s, and the log
	// behind it.
	CatchUpTimeout = 10 * time.Minute
	// TransferTimeout bounds how long TransferLeadership waits for the entries in flight, and then for another leader.
	TransferTimeout = 5 * time.Second
	// changeTriesMax is how often a change is tried when another one was quicker.
	changeTriesMax = 3
)

// Member is a node of the cluster, as this node's log has it: a change is in it before it is committed.
type Member struct {
	Node    journal.NodeID
	Address string // as Config.Transport knows it
	Disk    string // the number of its data directory; empty for a node that was founded without a cluster id
	Voter   bool
	Leader  bool // as far as this node knows
	Self    bool
	// Matched is the entry up to which the member's log is known to be the leader's, and Contact when it last answered.
	// Only the leader knows them, from its own term. Zero: not known.
	Matched uint64
	Contact time.Time
}

// Members lists the members in the order of their numbers. It is empty while the node is in no cluster.
func (r *Replica) Members() []Member {
	term, leading := r.Leadership()
	return r.describe(r.raft.GetConfiguration().Configuration().Servers, term, leading)
}

func (r *Replica) describe(servers []raft.Server, term uint64, leading bool) []Member {
	_, leader := r.raft.LeaderWithID()
	members := make([]Member, 0, len(servers))
	for _, s := range servers {
		node, err := nodeOf(s.ID)
		if err != nil {
			r.cfg.Logger.Error("a member has an id that this program did not give", "error", err)
			continue
		}
		plain, disk := cutDisk(s.Address)
		m := Member{Node: node, Address: string(plain), Disk: disk, Voter: s.Suffrage == raft.Voter, Leader: s.ID == leader, Self: node == r.cfg.Node}
		switch {
		case leading && m.Self:
			m.Matched, m.Contact = r.raft.LastIndex(), time.Now()
		case leading && r.link != nil:
			m.Matched, m.Contact = r.link.progress(s.ID, term)
		}
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.Node, b.Node) })
	return members
}

// Leader tells which node leads as far as this one knows, and the term that this one is in. node is 0 when no leader is known.
func (r *Replica) Leader() (node journal.NodeID, term uint64) {
	for {
		term = r.raft.CurrentTerm()
		_, id := r.raft.LeaderWithID()
		if r.raft.CurrentTerm() != term {
			continue
		}
		node, err := nodeOf(id)
		if err != nil {
			return 0, term
		}
		return node, term
	}
}

// Verify gives the term in which this node leads, once a majority of the voters has answered a question that was asked during the call, and
// knows no later term. It writes nothing, and costs a heartbeat. The error is ErrNotLeader or ErrClosed; it may take as long as two
// elections.
//
// Leadership says what this node believes. A process that stood still believes that it leads until it has heard of its successor.
// Raft's own VerifyLeader takes answers to what was asked before, too, which may have lain there while the process stood still; here
// it only makes heartbeats go out.
func (r *Replica) Verify() (term uint64, err error) {
	began := time.Now()
	term, leading := r.Leadership()
	if !leading {
		return 0, ErrNotLeader
	}
	limit := time.NewTimer(2 * r.timing.election)
	defer limit.Stop()
	for asked := false; ; asked = true {
		var moved <-chan struct{}
		done := func() {}
		if r.link != nil {
			moved, done = r.link.news()
		}
		voters, yes := 0, 0
		for _, s := range r.raft.GetConfiguration().Configuration().Servers {
			if s.Suffrage != raft.Voter {
				continue
			}
			voters++
			if s.ID == serverID(r.cfg.Node) || r.link != nil && r.link.followed(s.ID, term, began) {
				yes++
			}
		}
		if now, leading := r.Leadership(); !leading || now != term {
			done()
			return 0, fmt.Errorf("%w (it led in term %d, the term is %d now)", ErrNotLeader, term, now)
		}
		if yes > voters/2 {
			done()
			return term, nil
		}
		if !asked {
			r.raft.VerifyLeader()
		}
		select {
		case <-moved:
		case <-limit.C:
			err = fmt.Errorf("%w (no majority has answered within %v)", ErrNotLeader, 2*r.timing.election)
		case <-r.stop:
			err = ErrClosed
		}
		done()
		if err != nil {
			return 0, err
		}
	}
}

// AddNonvoter makes a node a member that gets every entry and has no vote. The node must be running at the address with an
// empty data directory and Beginning Joining: it is asked first. Done again, it changes nothing. Only the leader can.
// The errors are ErrNotLeader, ErrUnreachable, ErrOtherCluster, ErrOtherNode, ErrOtherDisk, ErrMember, ErrTooMany,
// ErrBusy, ErrClosed, or ErrUnknown: then do it again.
func (r *Replica) AddNonvoter(ctx context.Context, node journal.NodeID, address string) error {
	if err := checkAddress(address); err != nil {
		return fmt.Errorf("replica: add node %d: %w", node, err)
	}
	if err := r.nameSelf(ctx); err != nil {
		return err
	}
	return r.change(ctx, func(ctx context.Context, c configured) (raft.IndexFuture, error) {
		present := findMember(r.describe(c.servers, 0, false), node)
		answer, err := r.ask(ctx, node, address)
		if present != nil {
			return nil, confirm(*present, address, answer, err)
		}
		switch {
		case err != nil:
			return nil, err
		case answer.state == stateMember:
			return nil, fmt.Errorf("%w: node %d at %s has a journal of its own; stop it, give it an empty data directory, and start it to join", ErrMember, node, address)
		case answer.state == stateFounding:
			return nil, fmt.Errorf("%w: node %d at %s waits to found a cluster; start it to join this one", ErrMember, node, address)
		case len(c.servers) >= MembersMax:
			return nil, fmt.Errorf("%w: it has %d members, the limit is %d; remove one first", ErrTooMany, len(c.servers), MembersMax)
		}
		return r.raft.AddNonvoter(serverID(node), withDisk(address, answer.disk), c.index, enqueueTimeout), nil
	})
}

// confirm tells whether a member is already what AddNonvoter was asked for.
func confirm(present Member, address string, answer hello, err error) error {
	switch {
	case present.Address != address:
		return fmt.Errorf("%w: node %d is a member at %s; use that address, or give the node at %s another number", ErrMember, present.Node, present.Address, address)
	case err == nil && answer.disk != present.Disk:
		return fmt.Errorf("%w: node %d at %s has disk %s, the member has %s; remove the node, and add it with a new number", ErrOtherDisk, present.Node, address, answer.disk, present.Disk)
	}
	return nil
}

// nameSelf gives a node that was founded alone the address and the disk under which others reach it.
func (r *Replica) nameSelf(ctx context.Context) error {
	if r.link == nil {
		return fmt.Errorf("replica: this node has no cluster id, so that no other can join it; set Config.Cluster")
	}
	return r.change(ctx, func(_ context.Context, c configured) (raft.IndexFuture, error) {
		for _, s := range c.servers {
			if s.ID == serverID(r.cfg.Node) && s.Address != r.link.LocalAddr() {
				return r.raft.AddVoter(s.ID, r.link.LocalAddr(), c.index, enqueueTimeout), nil
			}
		}
		return nil, nil
	})
}

// Promote gives a member a vote, once its log has caught up: see catchUp. Done again, it changes nothing. Only the leader
// can. The errors are ErrNotLeader, ErrNotMember, ErrBehind, ErrTooMany, ErrBusy, ErrClosed, or ErrUnknown: then do it
// again.
func (r *Replica) Promote(ctx context.Context, node journal.NodeID) error {
	var promoted bool
	look := func(c configured) (*Member, error) {
		members := r.describe(c.servers, 0, false)
		m := findMember(members, node)
		if m == nil {
			return nil, fmt.Errorf("%w: node %d; add it first", ErrNotMember, node)
		}
		promoted = m.Voter
		if n := voters(members); !m.Voter && n >= VotersMax {
			return nil, fmt.Errorf("%w: it has %d voters, the limit is %d; remove one first", ErrTooMany, n, VotersMax)
		}
		return m, nil
	}
	// Looked at before the wait, which is long, and once more with the change.
	if err := r.change(ctx, func(_ context.Context, c configured) (raft.IndexFuture, error) {
		_, err := look(c)
		return nil, err
	}); err != nil || promoted {
		return err
	}
	if err := r.catchUp(ctx, node); err != nil {
		return err
	}
	return r.change(ctx, func(_ context.Context, c configured) (raft.IndexFuture, error) {
		m, err := look(c)
		if err != nil || promoted {
			return nil, err
		}
		return r.raft.AddVoter(serverID(node), withDisk(m.Address, m.Disk), c.index, enqueueTimeout), nil
	})
}

// Remove takes a node out of the cluster. It is refused with ErrMajority when fewer live voters would be left than a
// majority, unless force is set: then Raft takes the change, and commits it only if that majority answers after all. The
// leader cannot remove itself; it hands over first. Done again, it changes nothing. Only the leader can. Raft tells the
// node once: if that is lost, it does not know why it hears of no leader any more. The other errors are ErrNotLeader, ErrBusy, ErrClosed, or ErrUnknown: then do it again.
func (r *Replica) Remove(ctx context.Context, node journal.NodeID, force bool) error {
	return r.change(ctx, func(ctx context.Context, c configured) (raft.IndexFuture, error) {
		term, leading := r.Leadership()
		if !leading {
			return nil, ErrNotLeader
		}
		members := r.describe(c.servers, term, true)
		m := findMember(members, node)
		if m == nil {
			return nil, nil
		}
		if m.Self {
			return nil, fmt.Errorf("replica: node %d leads the cluster and cannot remove itself; transfer the leadership, and remove it from there", node)
		}
		if m.Voter && !force {
			if err := r.keepsMajority(ctx, c, term, node); err != nil {
				return nil, err
			}
		}
		return r.raft.RemoveServer(serverID(node), c.index, enqueueTimeout), nil
	})
}

// keepsMajority tells whether a majority of the voters without one node answers. Those not heard of yet get one heartbeat
// time-out.
func (r *Replica) keepsMajority(ctx context.Context, c configured, term uint64, without journal.NodeID) error {
	deadline := time.NewTimer(r.timing.heartbeat)
	defer deadline.Stop()
	for {
		moved, done := r.link.news()
		var live, silent []journal.NodeID
		for _, m := range r.describe(c.servers, term, true) {
			switch {
			case !m.Voter || m.Node == without:
			case m.Self || time.Since(m.Contact) < r.timing.heartbeat:
				live = append(live, m.Node)
			default:
				silent = append(silent, m.Node)
			}
		}
		needed := (len(live)+len(silent))/2 + 1
		if len(live) >= needed {
			done()
			return nil
		}
		var over bool
		select {
		case <-moved:
		case <-deadline.C:
			over = true
		case <-ctx.Done():
			over = true
		case <-r.stop:
			over = true
		}
		done()
		if over {
			return fmt.Errorf("%w: without node %d the voters are %v that answer and %v that do not, and %d of them must answer; nothing could be committed any more, not even this change; bring one back first, or remove one that does not answer",
				ErrMajority, without, live, silent, needed)
		}
	}
}

// catchUp waits until a member's log has caught up, as chapter 4.2.1 of Ongaro's dissertation on Raft defines it: the log
// is copied in rounds, each up to the entry that was the last when the round began, and a round that takes less than an
// election time-out is good enough. A node that is slower than the entries that come never ends such a round.
func (r *Replica) catchUp(ctx context.Context, node journal.NodeID) error {
	term, leading := r.Leadership()
	if !leading {
		return ErrNotLeader
	}
	limit := time.NewTimer(CatchUpTimeout)
	defer limit.Stop()
	look := time.NewTicker(r.timing.heartbeat) // in case leadership is lost, and no news come
	defer look.Stop()
	began, target := time.Now(), r.raft.LastIndex()
	for {
		if now, leading := r.Leadership(); !leading || now != term {
			return fmt.Errorf("%w (it was lost while node %d caught up)", ErrNotLeader, node)
		}
		moved, done := r.link.news()
		matched, _ := r.link.progress(serverID(node), term)
		if matched >= target {
			if time.Since(began) < r.timing.election {
				done()
				return nil
			}
			began, target = time.Now(), r.raft.LastIndex()
		}
		var err error
		select {
		case <-moved:
		case <-look.C:
		case <-ctx.Done():
			err = ctx.Err()
		case <-limit.C:
			err = fmt.Errorf("the limit is %v", CatchUpTimeout)
		case <-r.stop:
			err = ErrClosed
		}
		done()
		if err != nil {
			return fmt.Errorf("%w: node %d has the log up to entry %d, and the leader up to %d: %w; see whether it is running and reachable, then do it again", ErrBehind, node, matched, r.raft.LastIndex(), err)
		}
	}
}

// change makes one change to the members. plan looks at the committed ones, and gives nil when there is nothing to do.
func (r *Replica) change(ctx context.Context, plan func(context.Context, configured) (raft.IndexFuture, error)) error {
	if r.link == nil {
		return fmt.Errorf("replica: this node has no cluster id, so that its cluster has no other members; set Config.Cluster")
	}
	ctx, cancel := context.WithTimeout(ctx, ChangeTimeout)
	defer cancel()
	select {
	case r.changing <- struct{}{}:
		defer func() { <-r.changing }()
	case <-ctx.Done():
		return fmt.Errorf("%w: another change of the members is under way", ErrBusy)
	case <-r.stop:
		return ErrClosed
	}
	for try := 1; ; try++ {
		// Behind a barrier of this term, what is applied is the newest list that is committed.
		if _, err := r.Barrier(enqueueTimeout); err != nil {
			return err
		}
		members := r.machine.members.Load()
		if members == nil {
			return ErrNotLeader
		}
		f, err := plan(ctx, *members)
		if err != nil || f == nil {
			return err
		}
		err = r.changed(ctx, f)
		if now := r.machine.members.Load(); errors.Is(err, errStale) && now.index != members.index && try < changeTriesMax {
			continue
		}
		return err
	}
}

// errStale says that Raft did not take a change, most likely because of another one.
var errStale = errors.New("replica: the members were not changed")

// changed waits for a change, and says what became of it.
func (r *Replica) changed(ctx context.Context, f raft.IndexFuture) error {
	done := make(chan error, 1)
	go func() { done <- r.await(f) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		return fmt.Errorf("%w: the change of the members was not committed within %v; do it again", ErrUnknown, ChangeTimeout)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrClosed):
		return fmt.Errorf("%w: this node stopped before the change of the members was committed", ErrUnknown)
	case f.Index() > 0:
		return fmt.Errorf("%w: %v; do it again", ErrUnknown, err)
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fmt.Errorf("%w (%v)", ErrNotLeader, err)
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return fmt.Errorf("%w (Raft took no change of the members for %v: an earlier one is not committed)", ErrBusy, enqueueTimeout)
	case errors.Is(err, raft.ErrRaftShutdown):
		return ErrClosed
	}
	return fmt.Errorf("%w: %w", errStale, err)
}

// TransferLeadership hands the lead over to a voter, 0: to the one whose log has come farthest, and returns when another
// node leads. From the beginning of the call on proposals are refused with ErrNotLeader, and those under way are waited for
// first: so none of them ends as ErrUnknown because of the transfer. When it fails this node goes on leading, or another
// one does; Leader tells. The errors are ErrNotLeader, ErrNotMember, ErrUnreachable, ErrBehind, ErrBusy and ErrClosed.
func (r *Replica) TransferLeadership(ctx context.Context, to journal.NodeID) error {
	ctx, cancel := context.WithTimeout(ctx, TransferTimeout)
	defer cancel()
	select {
	case r.changing <- struct{}{}:
		defer func() { <-r.changing }()
	case <-ctx.Done():
		return fmt.Errorf("%w: a change of the members is under way", ErrBusy)
	case <-r.stop:
		return ErrClosed
	}
	term, leading := r.Leadership()
	if !leading {
		return ErrNotLeader
	}
	heir, err := r.heir(term, to)
	if err != nil {
		return err
	}
	defer r.proposer.resume()
	if err := r.proposer.hold(ctx); err != nil {
		return fmt.Errorf("%w: %d entries are still under way: %w; the leadership stays here", ErrBusy, r.proposer.pending(), err)
	}
	err = r.await(r.raft.LeadershipTransferToServer(serverID(heir.Node), withDisk(heir.Address, heir.Disk)))
	if errors.Is(err, ErrClosed) {
		return err
	}
	if now, leading := r.Leadership(); err != nil && leading && now == term {
		return fmt.Errorf("%w: node %d did not take the leadership: %w; it stays here", ErrBehind, heir.Node, err)
	}
	return r.succeeded(ctx, term)
}

// heir chooses who is to lead.
func (r *Replica) heir(term uint64, to journal.NodeID) (Member, error) {
	var best *Member
	members := r.describe(r.raft.GetConfiguration().Configuration().Servers, term, true)
	for i, m := range members {
		switch {
		case to != 0 && m.Node == to && m.Self:
			return m, fmt.Errorf("%w: node %d leads already", ErrMember, to)
		case to != 0 && m.Node != to, m.Self, !m.Voter, time.Since(m.Contact) >= r.timing.heartbeat:
		case best == nil || m.Matched > best.Matched:
			best = &members[i]
		}
	}
	switch m := findMember(members, to); {
	case best != nil:
		return *best, nil
	case to == 0:
		return Member{}, fmt.Errorf("%w: no other voter has answered within %v; bring one back first", ErrUnreachable, r.timing.heartbeat)
	case m == nil || !m.Voter:
		return Member{}, fmt.Errorf("%w: node %d has no vote; promote it first, or name another node", ErrNotMember, to)
	}
	return Member{}, fmt.Errorf("%w: node %d has not answered within %v; name another node", ErrUnreachable, to, r.timing.heartbeat)
}

// succeeded waits until a later term has a leader.
func (r *Replica) succeeded(ctx context.Context, term uint64) error {
	ticker := time.NewTicker(r.timing.heartbeat / 20)
	defer ticker.Stop()
	for {
		if node, now := r.Leader(); node != 0 && now > term {
			return nil
		}
		select {
		case <-ticker.C:
		case <-r.stop:
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("%w: the leadership was given up, and no other leader is known yet", ErrUnreachable)
		}
	}
}

func findMember(members []Member, node journal.NodeID) *Member {
	for i := range members {
		if members[i].Node == node {
			return &members[i]
		}
	}
	return nil
}

func voters(members []Member) (n int) {
	for _, m := range members {
		if m.Voter {
			n++
		}
	}
	return n
}
