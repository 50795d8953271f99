package webhook

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"netbank/cluster/journal"
)

// Outbox is what the dispatcher needs of the cluster. *cluster.Node is one.
type Outbox interface {
	Submit(cmd *journal.Command, deadline time.Time) (journal.Result, error)
	// Payment reports false for a payment that there is not, which is certain unless there is an error.
	Payment(id journal.PaymentID) (journal.Payment, bool, error)
	Partners() []journal.Partner
	// Notices lists up to max undelivered notices of a partner with a sequence above after, oldest first.
	Notices(partner journal.PartnerID, after uint64, max int) []journal.Notice
	// Noticed receives a token when the outbox has grown. Nobody else may receive from it.
	Noticed() <-chan struct{}
	Leading() bool
	Now() journal.Millis
}

// Bounds of the dispatcher.
const (
	inFlightMax  = 64                    // deliveries at once, to all partners
	lineInFlight = 8                     // deliveries at once, to one partner
	readMax      = 256                   // notices read from the outbox at once
	waitingMax   = 4096                  // notices of one partner that failed and are due later
	doneMax      = 1024                  // deliveries in one OutboxDone, and as many waiting for the next
	downAfter    = 3                     // failures in a row after which a partner is down
	refreshEvery = time.Second           // how often leadership and partners are looked at
	gatherFor    = 20 * time.Millisecond // the least time between two readings of the outbox
	commitWithin = 10 * time.Second      // for one OutboxDone; then it is repeated
)

// Config is what a dispatcher is made of; all fields are required.
type Config struct {
	Outbox     Outbox
	Signer     Signer
	Transport  http.RoundTripper // NewTransport, but in tests
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Dispatcher tells partners.
type Dispatcher struct {
	outbox    Outbox
	signer    Signer
	transport http.RoundTripper
	logger    *slog.Logger
	metrics   *metrics
	slots     chan struct{} // inFlightMax
}

// New makes a dispatcher and registers its metrics.
func New(cfg Config) (*Dispatcher, error) {
	if cfg.Outbox == nil || cfg.Signer == nil || cfg.Transport == nil || cfg.Logger == nil || cfg.Registerer == nil {
		return nil, errors.New("webhook: Config needs Outbox, Signer, Transport, Logger and Registerer")
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	return &Dispatcher{
		outbox: cfg.Outbox, signer: cfg.Signer, transport: cfg.Transport, logger: cfg.Logger, metrics: m,
		slots: make(chan struct{}, inFlightMax),
	}, nil
}

// Run delivers while this node leads, until ctx is done and the deliveries under way have ended. It may run on every node.
func (d *Dispatcher) Run(ctx context.Context) {
	var running sync.WaitGroup
	lines := map[journal.PartnerID]*line{}
	stop := func(id journal.PartnerID) {
		lines[id].cancel()
		delete(lines, id)
	}
	defer func() {
		for id := range lines {
			stop(id)
		}
		running.Wait()
		if idle, ok := d.transport.(interface{ CloseIdleConnections() }); ok {
			idle.CloseIdleConnections()
		}
	}()
	refresh := time.NewTicker(refreshEvery)
	defer refresh.Stop()
	for {
		serving := map[journal.PartnerID]bool{}
		if d.outbox.Leading() {
			for _, p := range d.outbox.Partners() {
				if p.WebhooksDisabled {
					continue
				}
				serving[p.ID] = true
				l := lines[p.ID]
				if l == nil {
					l = newLine(ctx, d, p.ID)
					lines[p.ID] = l
					l.register(p, d.logger)
					running.Go(l.run)
				} else {
					l.register(p, d.logger)
				}
			}
		}
		for id := range lines {
			if !serving[id] {
				stop(id)
			}
		}
		if !d.rouse(ctx, lines, refresh.C) {
			return
		}
	}
}

// rouse wakes the lines whenever the outbox has grown, until the next refresh. It reports false when ctx is done.
func (d *Dispatcher) rouse(ctx context.Context, lines map[journal.PartnerID]*line, refresh <-chan time.Time) bool {
	for {
		for _, l := range lines {
			l.wake()
		}
		pause := time.NewTimer(gatherFor)
		select {
		case <-ctx.Done():
			pause.Stop()
			return false
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
			return false
		case <-refresh:
			return true
		case <-d.outbox.Noticed():
		}
	}
}
