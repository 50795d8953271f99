package bank

import (
	"context"
	"time"
)

// How a node of a cluster waits at its start. It has no limit: a majority of the others may have to be started first.
const (
	// ReadyLookEvery is the time between two looks whether the node has become ready.
	ReadyLookEvery = 20 * time.Millisecond
	// ReadyCatchUpWait is how long one try to catch up with the leader may take.
	ReadyCatchUpWait = 2 * time.Second
)

// becomeReady waits until this node can serve: a leader takes its calls, it knows what the leader knew, and there are keys to seal with.
func (b *Bank) becomeReady(ctx context.Context) error {
	if b.peers != nil {
		return b.joinOthers(ctx)
	}
	if err := waitForLeader(ctx, b.node.Leading, func() uint64 { return b.node.Status().Replica.AppliedIndex }); err != nil {
		return err
	}
	return ensureKey(b.node, b.key)
}

// joinOthers waits for the cluster, and says in the log what it waits for.
func (b *Bank) joinOthers(ctx context.Context) error {
	b.peers.checks, b.peers.left = b.checks, b.left
	b.keeping.Go(func() { b.peers.keep(b.kept) })
	ticker := time.NewTicker(ReadyLookEvery)
	defer ticker.Stop()
	told := ""
	for {
		reason := b.peers.waits()
		if reason == nil {
			if b.peers.worker() {
				return nil
			}
			if b.node.Leading() {
				// A leadership that is lost meanwhile is no failure of this node.
				if err := ensureKey(b.node, b.key); err == nil {
					return nil
				}
			} else if b.node.CatchUp(ReadyCatchUpWait) && len(b.node.Keys()) > 0 {
				return nil
			}
		} else if text := reason.Error(); text != told {
			told = text
			b.logger.Info("this node waits for its cluster", "reason", text)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// handingOver gives the context of the doors. When ctx is done a node that leads lets another one lead before its doors close: so calls
// that are under way wait for milliseconds, and not for an election.
func (b *Bank) handingOver(ctx context.Context) (doors context.Context, release func()) {
	if b.peers == nil {
		return context.WithCancel(ctx)
	}
	doors, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		b.leaving.stop()
		b.peers.ending.Store(true)
		b.peers.handOver()
		cancel()
	})
	return doors, func() {
		stop()
		cancel()
	}
}
