package peer

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"netbank/cluster/journal"
)

const (
	// RenewCheckEvery is how often KeepRenewed looks at the clock. Renewals are spread over as long.
	RenewCheckEvery = 5 * time.Minute
	// RenewRetryEvery is the pause after every coordinator has failed to renew.
	RenewRetryEvery = time.Minute
)

// Renew asks a coordinator for a certificate for a new key of this node, gives the new identity to store, and shows it from then
// on. When store fails nothing changes. store may be nil.
func (p *Port) Renew(ctx context.Context, from journal.NodeID, store func(*Identity) error) error {
	key, csr, err := newRequest()
	if err != nil {
		return err
	}
	c, err := p.Dial(ctx, from, ALPNRenew)
	if err != nil {
		return err
	}
	defer c.Close()
	answering, cancel := context.WithTimeout(ctx, p.cfg.Limits.HandshakeTimeout+p.cfg.Limits.ExchangeTimeout)
	defer cancel()
	defer whenDone(answering, c)()
	granted, err := request(c.Conn, Name(from), &joinRequest{Request: csr, Addr: p.cfg.Addr})
	if err != nil {
		return err
	}
	if p.cfg.Told != nil {
		p.cfg.Told(granted.Members)
	}
	return p.adopt(key, granted, store)
}

// adopt stores and shows a renewed identity.
func (p *Port) adopt(key *ecdsa.PrivateKey, granted *Granted, store func(*Identity) error) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	// What this node has been told to trust stands, unless the certificate needs more: the answer may be older than a Trust.
	next, err := newIdentity(key, granted.Certificate, p.Identity().Authorities())
	if errors.Is(err, ErrAuthority) {
		next, err = newIdentity(key, granted.Certificate, granted.Authorities)
	}
	if err != nil {
		return err
	}
	if err := p.Identity().replaces(next); err != nil {
		return err
	}
	if store != nil {
		if err := store(next); err != nil {
			return fmt.Errorf("peer: store the renewed certificate: %w", err)
		}
	}
	return p.set(next)
}

// RenewNow makes KeepRenewed renew at once, as in a rotation of the authority. It does not wait.
func (p *Port) RenewNow() {
	select {
	case p.renewal <- struct{}{}:
	default:
	}
}

// KeepRenewed renews the certificate when two thirds of its life are over, until ctx is done or the port closes. coordinators
// gives the nodes to ask, in order; on a coordinator it may name itself.
func (p *Port) KeepRenewed(ctx context.Context, coordinators func() []journal.NodeID, store func(*Identity) error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	k := keeper{
		due: func() bool { return !p.cfg.Now().Before(p.Identity().RenewAt()) },
		renew: func(ctx context.Context) error {
			err := fmt.Errorf("%w: no coordinator is known", ErrUnavailable)
			for _, node := range coordinators() {
				if err = p.Renew(ctx, node, store); err == nil {
					p.log.Info("renewed this node's certificate", "through", Name(node), "until", p.Identity().NotAfter())
					return nil
				}
			}
			p.log.Warn("cannot renew this node's certificate; trying again", "until", p.Identity().NotAfter(), "error", err)
			return err
		},
		now:    p.renewal,
		spread: func() time.Duration { return rand.N(RenewCheckEvery) },
	}
	k.run(ctx)
}

// keeper is the loop of KeepRenewed, without what it renews.
type keeper struct {
	due    func() bool
	renew  func(context.Context) error
	now    <-chan struct{}
	spread func() time.Duration // nodes that joined together shall not renew together
}

func (k *keeper) run(ctx context.Context) {
	wait := time.NewTimer(k.spread())
	defer wait.Stop()
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-k.now:
			asked = true
		case <-wait.C:
		}
		next := RenewCheckEvery
		for (asked || k.due()) && ctx.Err() == nil {
			if k.renew(ctx) == nil {
				break
			}
			next = RenewRetryEvery
			if !asked {
				break
			}
			// What was asked for is not forgotten.
			select {
			case <-ctx.Done():
			case <-time.After(RenewRetryEvery):
			}
		}
		wait.Reset(next)
	}
}
