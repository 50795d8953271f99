package bank

import (
	"context"
	"fmt"
	"slices"
	"time"

	"netbank/cluster"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/peer"
	"netbank/frontend/ops"
)

// A cluster's authority is rotated in three commits, each after every member has done what the one before asks for:
//
//	PutAuthority    every node comes to trust the next authority beside the one that issues
//	IssueFrom       every node gets a certificate from the next one
//	DropAuthority   the old one is trusted no more
//
// So at no moment does a node show a certificate that another one does not trust. What has been done is in the journal, and what members have done
// they tell of themselves: any leader goes on where the last one was. A member that is away is waited for, since it would be locked out.

// RotateAuthority implements ops.Cluster.
func (o operated) RotateAuthority(_ context.Context, reason string) error {
	if err := o.leading(); err != nil {
		return err
	}
	m := o.node.Load().Membership()
	switch {
	case m.Issuer == 0:
		return fmt.Errorf("%w: the cluster has not recorded its founders yet", cluster.ErrNoLeader)
	case len(m.Authorities) > 1:
		return nil // one is under way
	}
	next, err := peer.NewAuthority(o.config.Cluster, time.Now())
	if err != nil {
		return err
	}
	sealed, err := next.Seal(o.key)
	if err != nil {
		return err
	}
	fingerprint := next.Fingerprint()
	put := &command.PutAuthority{Id: m.NextAuthority(), Fingerprint: fingerprint[:], Sealed: sealed}
	if err := o.must(&journal.Command{Body: &command.Command_PutAuthority{PutAuthority: put}}); err != nil {
		return fmt.Errorf("bank: recording the next authority: %w", err)
	}
	o.logger.Info("the cluster's authority is being rotated", "next", fingerprint.String(), "reason", reason)
	return nil
}

// rotate takes the next step of a rotation, if every member is ready for it.
func (p *peers) rotate(m *journal.Membership) error {
	if len(m.Authorities) < 2 || len(awaited(m, p.everybody())) > 0 {
		return nil
	}
	next := m.Authorities[len(m.Authorities)-1]
	if m.Issuer != next.ID {
		if err := p.must(&journal.Command{Body: &command.Command_IssueFrom{IssueFrom: &command.IssueFrom{Id: next.ID}}}); err != nil {
			return fmt.Errorf("bank: issuing from the next authority: %w", err)
		}
		p.logger.Info("every node trusts the next authority; certificates come from it now", "authority", next.ID)
		return nil
	}
	old := m.Authorities[0].ID
	if err := p.must(&journal.Command{Body: &command.Command_DropAuthority{DropAuthority: &command.DropAuthority{Id: old}}}); err != nil {
		return fmt.Errorf("bank: dropping the old authority: %w", err)
	}
	p.logger.Info("no node uses the old authority any more; it is trusted no longer", "authority", old)
	return nil
}

// awaited lists the members that have not yet done what the present step of a rotation asks for, by what they tell of themselves. One that
// tells nothing has not.
func awaited(m *journal.Membership, told map[journal.NodeID]about) (late []journal.NodeID) {
	next := m.Authorities[len(m.Authorities)-1]
	fingerprint := peer.Fingerprint(next.Fingerprint).String()
	done := func(a about) bool { return slices.Contains(a.Trusts, fingerprint) }
	if m.Issuer == next.ID {
		done = func(a about) bool { return a.Authority == fingerprint }
	}
	for _, n := range m.Nodes {
		if a, ok := told[n.ID]; n.Member() && (!ok || !done(a)) {
			late = append(late, n.ID)
		}
	}
	return late
}

// Authority implements ops.Cluster.
func (o operated) Authority() (a ops.ClusterAuthority) {
	if o.worker() {
		if leader, ok := o.leaderTells(); ok && leader.Led != nil {
			a.Fingerprint = leader.Led.Issuer
		}
		return a
	}
	m := o.node.Load().Membership()
	issuer := m.Authority(m.Issuer)
	if issuer == nil {
		return a
	}
	a.Fingerprint = peer.Fingerprint(issuer.Fingerprint).String()
	if opened, err := peer.OpenAuthority(o.key, issuer.Sealed); err == nil {
		a.End = opened.NotAfter()
	}
	if len(m.Authorities) < 2 {
		return a
	}
	a.Rotation = ops.RotationTrust
	if m.Issuer == m.Authorities[len(m.Authorities)-1].ID {
		a.Rotation = ops.RotationRenew
	}
	if o.node.Load().Leading() {
		a.Waiting, a.Known = awaited(m, o.everybody()), true
	}
	return a
}

// trust makes the authorities of the journal those that this node trusts, and its certificate one of the authority that issues. A
// coordinator has that one in its own copy of the journal, and needs nobody for it.
func (p *peers) trust(m *journal.Membership) error {
	certificates, err := p.certificates(m)
	issuer := m.Authority(m.Issuer)
	if err != nil || issuer == nil {
		return err
	}
	shown := p.port.Identity()
	switch {
	case shown.Authority() != issuer.Fingerprint:
		authority, err := peer.OpenAuthority(p.key, issuer.Sealed)
		if err != nil {
			return err
		}
		if shown, err = authority.Identity(shown.Subject(), time.Now()); err != nil {
			return err
		}
		if shown, err = shown.Trusting(certificates...); err != nil {
			return err
		}
		if err := p.port.SetIdentity(shown); err != nil {
			return err
		}
		p.logger.Info("this node has a certificate from the authority that issues now", "authority", issuer.ID, "until", shown.NotAfter())
	case !slices.EqualFunc(shown.Authorities(), certificates, slices.Equal[[]byte]):
		if shown, err = p.port.Trust(certificates...); err != nil {
			return err
		}
	}
	sealed := make(map[uint32][]byte, len(m.Authorities))
	for _, a := range m.Authorities {
		sealed[a.ID] = a.Sealed
	}
	p.writing.Lock()
	p.id.shown, p.id.Authorities, p.id.Issuer = shown, sealed, m.Issuer
	p.writing.Unlock()
	return nil
}

// certified says whether this node's certificate comes from the authority that issues. A renewal through a coordinator that was behind may
// have brought back an older one.
func (p *peers) certified(m *journal.Membership) bool {
	issuer := m.Authority(m.Issuer)
	return issuer == nil || p.port.Identity().Authority() == issuer.Fingerprint
}

// hear lets a worker take up what the leader tells: where the coordinators are, whom to trust, and who issues.
func (p *peers) hear(l *led) error {
	if p.told(l.Coordinators) {
		if err := p.store(nil); err != nil {
			return err
		}
	}
	shown := p.port.Identity()
	if !slices.EqualFunc(shown.Authorities(), l.Authorities, slices.Equal[[]byte]) {
		next, err := p.port.Trust(l.Authorities...)
		if err != nil {
			return err
		}
		if err := p.store(next); err != nil {
			return err
		}
	}
	if shown.Authority().String() != l.Issuer && time.Since(p.renewed) >= WorkerRenewAgain {
		p.renewed = time.Now()
		p.port.RenewNow()
	}
	return nil
}
