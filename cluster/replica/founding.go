package replica

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"netbank/cluster/journal"
)

// keyCurrentTerm is where Raft keeps its term in the stable store.
var keyCurrentTerm = []byte("CurrentTerm")

// begin makes the first configuration of a node alone, and puts the link before the transport of a node with a cluster.
func (r *Replica) begin(conf *raft.Config) (hasJournal bool, err error) {
	last, err := r.guard.LastIndex()
	if err != nil {
		return false, fmt.Errorf("replica: read the log: %w", err)
	}
	hasJournal = last > 0 || r.snapshots.newest() > 0
	if r.directory.identity.cluster != "" {
		if r.directory.identity.member && !hasJournal {
			return false, fmt.Errorf("%w: %s is the directory of a member, but there is neither log nor snapshot; remove this node from its cluster, and let it join anew with an empty directory and a new number", ErrDamaged, r.directory.path)
		}
		r.link = newLink(r.cfg, r.directory.identity, hasJournal || r.cfg.Beginning == Alone, r.isMember)
	}
	switch {
	case hasJournal:
		return true, nil
	case r.cfg.Beginning == Alone:
		return false, bootstrap(conf, r.guard, r.transport())
	}
	return false, r.undoFounding()
}

// isMember tells whether a disk is that of a member. Hellos ask before Raft has started, too.
func (r *Replica) isMember(disk string) bool {
	started := r.started.Load()
	if started == nil {
		return false
	}
	for _, s := range started.GetConfiguration().Configuration().Servers {
		if _, has := cutDisk(s.Address); has == disk {
			return true
		}
	}
	return false
}

// transport is what Raft uses.
func (r *Replica) transport() raft.Transport {
	if r.link != nil {
		return r.link
	}
	return r.cfg.Transport
}

// bootstrap makes a cluster of one node in an empty directory. Raft's own bootstrap writes the term and then the first
// entry, and refuses when it finds only the term; a crash in between must not leave a directory that never elects.
func bootstrap(conf *raft.Config, g *guard, transport raft.Transport) error {
	term, err := g.GetUint64(keyCurrentTerm)
	if err != nil {
		return fmt.Errorf("replica: read the term: %w", err)
	}
	// The first election makes term 2, before anything can be acknowledged.
	if term > 1 {
		return fmt.Errorf("%w: term %d was reached, but there is neither log nor snapshot under %s; %s", ErrDamaged, term, filepath.Dir(g.path), remedy)
	}
	members := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: conf.LocalID, Address: transport.LocalAddr()}}}
	if err := g.SetUint64(keyCurrentTerm, 1); err != nil {
		return unwritable(g.path, err)
	}
	first := &raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(members), AppendedAt: time.Now()}
	if err := g.StoreLog(first); err != nil {
		return unwritable(g.path, err)
	}
	return nil
}

// undoFounding lets the first founder begin again after a crash in which only the term of the first entry was written.
// In term 1 nobody votes, so that forgetting it breaks no promise.
func (r *Replica) undoFounding() error {
	if r.cfg.Beginning != Founding || !r.isFirstFounder() {
		return nil // it may have voted for the first founder, and not have got an entry yet
	}
	term, err := r.guard.GetUint64(keyCurrentTerm)
	if err != nil {
		return fmt.Errorf("replica: read the term: %w", err)
	}
	if term > 1 {
		return fmt.Errorf("%w: term %d was reached, but there is neither log nor snapshot under %s; remove this node from its cluster, and let it join anew with an empty directory and a new number", ErrDamaged, term, filepath.Dir(r.guard.path))
	}
	if term == 1 {
		if err := r.guard.SetUint64(keyCurrentTerm, 0); err != nil {
			return unwritable(r.guard.path, err)
		}
	}
	return nil
}

// becomeMember founds the cluster if it is this node's part, and notes in the data directory when it has a journal.
func (r *Replica) becomeMember(hasJournal bool) {
	ticker := time.NewTicker(r.timing.heartbeat)
	defer ticker.Stop()
	var before string
	for !hasJournal {
		if r.cfg.Beginning == Founding {
			reason := r.found()
			r.waits.Store(&reason)
			if text := fmt.Sprint(reason); reason != nil && text != before {
				r.cfg.Logger.Warn("the cluster is not founded yet", "reason", reason)
				before = text
			}
		}
		if r.raft.LastIndex() > 0 {
			break
		}
		select {
		case <-r.stop:
			return
		case <-ticker.C:
		}
	}
	if err := r.directory.markMember(); err != nil {
		r.cfg.Logger.Error("the data directory could not be marked as that of a member", "error", err)
	}
}

// found is one look at the other founders. Only the first of them, by number, ever writes a first configuration, and
// only while all the others say that they are waiting with empty directories for the same founders. So nobody can found a
// second cluster beside it: the others get the configuration as an entry of the log. A founder whose directory was lost
// meets one that has a journal, and stays out. The error says what is missing; nil: nothing, or nothing more to do here.
func (r *Replica) found() error {
	configuration := raft.Configuration{}
	for _, f := range sortedFounders(r.cfg.Founders) {
		disk := r.link.disk
		if f.Node != r.cfg.Node {
			answer, err := r.ask(context.Background(), f.Node, f.Address)
			if err != nil {
				return err
			}
			if err := r.fits(f, answer); err != nil {
				return err
			}
			disk = answer.disk
		}
		configuration.Servers = append(configuration.Servers, raft.Server{
			Suffrage: raft.Voter, ID: serverID(f.Node), Address: withDisk(f.Address, disk),
		})
	}
	if !r.isFirstFounder() {
		return fmt.Errorf("%w: it waits for node %d, which founds the cluster", ErrWaiting, first(r.cfg.Founders).Node)
	}
	r.link.journal.Store(true)
	if err := r.await(r.raft.BootstrapCluster(configuration)); err != nil {
		return fmt.Errorf("%w: the first configuration could not be written: %w", ErrWaiting, err)
	}
	r.cfg.Logger.Info("the cluster was founded", "cluster", r.link.cluster, "founders", len(configuration.Servers))
	return nil
}

// fits tells whether a founder waits for the same cluster as this one, or has got its journal together with this one.
func (r *Replica) fits(f Founder, answer hello) error {
	switch {
	case answer.state == stateMember && answer.known && !r.isFirstFounder():
		return nil // entries are on their way
	case answer.state == stateMember:
		return fmt.Errorf("%w: node %d at %s has a journal, and this node, %d, has none; if its data directory was lost, remove it from the cluster and let it join with a new number; if this is to be a new cluster, give it an id of its own and empty directories",
			ErrFounded, f.Node, f.Address, r.cfg.Node)
	case answer.state == stateJoining:
		return fmt.Errorf("%w: node %d at %s waits to be added to a cluster, and founds none; start it with the same founders", ErrWaiting, f.Node, f.Address)
	case answer.founders != r.link.founders:
		return fmt.Errorf("%w: node %d at %s was given other founders than this node; give the same numbers and addresses to all of them", ErrWaiting, f.Node, f.Address)
	}
	return nil
}

func (r *Replica) isFirstFounder() bool { return first(r.cfg.Founders).Node == r.cfg.Node }

// ask is link.ask, and returns at the latest with the context, or when the replica closes.
func (r *Replica) ask(ctx context.Context, node journal.NodeID, address string) (hello, error) {
	type reply struct {
		hello hello
		err   error
	}
	got := make(chan reply, 1)
	go func() {
		h, err := r.link.ask(node, address)
		got <- reply{h, err}
	}()
	select {
	case a := <-got:
		return a.hello, a.err
	case <-ctx.Done():
		return hello{}, fmt.Errorf("%w: node %d at %s: %w", ErrUnreachable, node, address, ctx.Err())
	case <-r.stop:
		return hello{}, ErrClosed
	}
}

// Waiting says what a node waits for that is in no cluster yet: an error that wraps ErrWaiting, ErrFounded, ErrUnreachable,
// ErrOtherCluster or ErrOtherNode. It is ErrNotMember when the node was removed, and nil for a member.
func (r *Replica) Waiting() error {
	servers := r.raft.GetConfiguration().Configuration().Servers
	for _, s := range servers {
		if s.ID != serverID(r.cfg.Node) {
			continue
		}
		if _, disk := cutDisk(s.Address); r.link != nil && disk != "" && disk != r.link.disk {
			break
		}
		return nil
	}
	if len(servers) > 0 {
		return fmt.Errorf("%w: node %d is not among its %d members; it was removed, or its data directory was made anew under a number that was in use: start it with an empty directory and a new number", ErrNotMember, r.cfg.Node, len(servers))
	}
	if reason := r.waits.Load(); reason != nil && *reason != nil {
		return *reason
	}
	if r.cfg.Beginning == Founding {
		return fmt.Errorf("%w: it looks for the other founders", ErrWaiting)
	}
	return fmt.Errorf("%w: node %d waits at %s until the leader of cluster %q adds it", ErrWaiting, r.cfg.Node, r.link.inner.LocalAddr(), r.link.cluster)
}
