package bank

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sync/errgroup"

	"netbank/frontend/customer"
	"netbank/frontend/edge"
	"netbank/frontend/partner"
	"netbank/frontend/partner/webhook"
)

// serve opens the doors and keeps them open until ctx is done or one of them fails.
func (b *Bank) serve(ctx context.Context, d *doors, ready func()) error {
	c := &b.config
	messages, closeMessages, err := b.openMessages()
	if err != nil {
		return err
	}
	defer closeMessages()
	totpMax, err := c.totpMax()
	if err != nil {
		return err
	}
	pages, err := customer.New(customer.Config{
		Bank: b.node, Sessions: b.sessions, BankName: c.BankName, PublicURL: c.CustomerURL, Registerer: b.registry, Logger: b.logger, Location: time.Local, Line: c.Line,
		Messages: messages, TOTPMax: totpMax,
	})
	if err != nil {
		return &Error{Code: ExitUsage, Err: err}
	}
	handler, err := pages.Handler()
	if err != nil {
		return err
	}
	b.pages.Store(pages)
	if b.peers != nil {
		handler = b.peers.answering(handler)
	}
	if err := b.openPartner(); err != nil {
		return err
	}
	for name, l := range map[string]*edge.Listener{"customer": d.customer, "partner": d.partner.Listener} {
		m, err := edge.NewMetrics(b.registry, name)
		if err != nil {
			return err
		}
		if err := m.Watch(b.registry, l); err != nil {
			return err
		}
	}
	ctx, ended := b.handingOver(ctx)
	defer ended()
	group, ctx := errgroup.WithContext(ctx)
	drain := edge.Drain{Limit: drainLimit}
	if b.peers != nil {
		drain.Notice = c.DrainNotice // of a node alone there is nobody else to be sent to
	}
	var open sync.WaitGroup
	open.Add(2)
	serve := func(s *fasthttp.Server, door edge.Door) func() error {
		return func() error {
			defer open.Done()
			return edge.Serve(ctx, s, door, drain)
		}
	}
	b.leaving.open(d.customer, d.partner)
	group.Go(serve(edge.NewServer("customer", handler, pages.Fail, b.customerLimits, b.logger), d.customer))
	group.Go(serve(b.api.Server(b.partnerLimits), d.partner))
	group.Go(func() error { return b.watchOperator(ctx, open.Wait) })
	group.Go(func() error { b.rotateKeys(ctx); return nil })
	group.Go(func() error { b.followDrain(ctx); return nil })
	group.Go(func() error { b.hooks.Run(ctx); return nil })
	group.Go(func() error { boundMemory(ctx); return nil })
	group.Go(func() error { b.measure(ctx, d); return nil })
	if b.filesNote != "" {
		b.logger.Warn("bank: " + b.filesNote)
	}
	b.open.Store(true)
	ready()
	return group.Wait()
}

// openPartner makes the partner API and the webhooks out.
func (b *Bank) openPartner() (err error) {
	b.signer = new(signer)
	if err := b.signer.refresh(b.node.Keys(), b.key); err != nil {
		return err
	}
	b.hooks, err = webhook.New(webhook.Config{Outbox: b.node, Signer: b.signer, Transport: webhook.NewTransport(nil), Logger: b.logger, Registerer: b.registry})
	if err != nil {
		return err
	}
	b.api, err = partner.New(partner.Config{
		Bank: b.node, Links: b.sessions, Keys: b.signer, Logger: b.logger, Registerer: b.registry, PublicURL: b.config.CustomerURL,
	})
	return err
}

// watchOperator keeps the operator's port up until the other doors are closed: balancers ask it whether they are, and a port that does not
// answer says that the node is dead.
func (b *Bank) watchOperator(ctx context.Context, doorsClosed func()) error {
	select {
	case err := <-b.port.Served():
		return err
	case <-ctx.Done():
	}
	b.leaving.stop()
	doorsClosed()
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainLimit)
	defer cancel()
	b.port.Shutdown(limit)
	return nil
}

// rotateKeys commits a new root key when one is due, and takes up what has been committed.
func (b *Bank) rotateKeys(ctx context.Context) {
	ticker := time.NewTicker(rotateEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !b.node.Leading() {
			// Another node commits the key.
		} else if err := ensureKey(b.node, b.key); err != nil {
			b.logger.Error("bank: a new root key is due and cannot be committed; it is tried again in a minute", "error", err)
		}
		if err := errors.Join(b.sessions.Refresh(), b.signer.refresh(b.node.Keys(), b.key)); err != nil {
			b.logger.Error("bank: the key ring cannot be read; the keys in memory stay in use", "error", err)
		}
	}
}
