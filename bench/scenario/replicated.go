package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"netbank/bench/people"
	"netbank/bench/report"
)

// entriesInFlight is how many entries the bank's leader commits at once (package cluster, EntriesInFlight).
const entriesInFlight = 2

// replicated measures what it costs that three nodes keep the journal.
func replicated() *Scenario {
	return &Scenario{
		Name:     "replicated",
		Help:     "payments a second with three coordinators, beside one node and beside bare Raft",
		Defaults: Options{Seconds: 5, Nodes: 3, Customers: 60_000, Connections: 256, CoreSeats: 256, CoreFixed: true},
		Short:    Options{Seconds: 1, Customers: 10_000},
		cluster:  true,
		run:      func(ctx context.Context, b *bench) error { return b.replicated(ctx) },
	}
}

func (b *bench) replicated(ctx context.Context) error {
	b.result.Asked = "What it costs that every payment is on the disks of a majority before it is acknowledged. Customers whose sessions are open confirm as fast as they are answered, at one node, " +
		"and then at a cluster. Beside the cluster stands a group of as many bare Raft nodes, with the same log, settings, and entries of the size that the cluster's leader wrote: it does nothing else, " +
		"so it says how much of the cluster's work is agreeing."
	b.Plan(3*b.measure() + 150*time.Second)
	nodes, workers := b.Nodes, b.Workers
	confirms := func(name string) (*people.Outcome, journaled, error) {
		b.Do(name + ": starting a bank")
		if err := b.raise(ctx, Bank{PasswordHash: "cheap"}); err != nil {
			return nil, journaled{}, err
		}
		defer b.lower()
		b.Do(name + ": customers sign in, and confirm")
		var (
			before  journaled
			unseen  error
			profile func() error
		)
		b.onStart = func() {
			profile = b.profile(ctx, name, b.warmUp())
			before, unseen = b.target.journaled(ctx)
		}
		o, err := b.alone(ctx, report.Phase{
			Name: name, What: "payments confirmed with sessions open", Server: "bank", Unit: "payments", RequestsEach: requestsEach[people.Confirm],
		}, people.Job{Kind: people.Confirm, AtOnce: b.Connections, WarmUp: b.warmUp(), Measure: b.measure(), Grace: overloadGrace, Connections: b.Connections})
		if err != nil {
			return nil, journaled{}, err
		}
		after, err := b.target.journaled(ctx)
		if err := errors.Join(unseen, err, profile()); err != nil {
			return nil, journaled{}, err
		}
		return o, journaled{after.entries - before.entries, after.commands - before.commands, after.bytes - before.bytes}, b.audit(ctx, name)
	}
	b.Nodes, b.Workers = 1, 0
	one, _, err := confirms("confirm-one-node")
	if err != nil {
		return err
	}
	b.Nodes, b.Workers = nodes, workers
	name := fmt.Sprintf("confirm-%d-coordinators", nodes)
	several, j, err := confirms(name)
	if err != nil {
		return err
	}
	done := float64(several.Load.Completed + several.Load.WarmUp)
	if j.entries == 0 || done == 0 {
		return fmt.Errorf("%s: %v payments with %v entries of the journal: there is nothing to compare", name, done, j.entries)
	}
	bytes, each, commands := j.bytes/j.entries, j.commands/j.entries, j.commands/done
	b.Do(fmt.Sprintf("bare Raft, entries of %.0f bytes", bytes))
	raw, err := b.rig.BareRaft(ctx, int(bytes), entriesInFlight, b.measure())
	if err != nil {
		return err
	}
	capable := raw * each / commands
	b.Say("  bare Raft %.0f entries/s of %.0f bytes, which would carry %.0f payments/s", raw, bytes, capable)
	b.headline(report.Headline{
		Name: "payments a second, replicated", Value: several.Load.PerSecond(), Unit: "payments/s", Against: "one node", Baseline: one.Load.PerSecond(),
		Text: fmt.Sprintf("Confirmations with %d coordinators, each of which has every payment on its disk. All nodes, the core, the balancer and the load share the processors of this machine.", nodes),
	})
	b.headline(report.Headline{
		Name: "the same beside bare Raft", Value: several.Load.PerSecond(), Unit: "payments/s", Against: "bare Raft", Baseline: capable,
		Text: fmt.Sprintf("Bare Raft committed %.0f entries a second of %.0f bytes. With %.1f commands in an entry, and %.2f commands for a payment, that would be so many payments.", raw, bytes, each, commands),
	})
	b.note("The journal's entries held %.1f commands and %.0f bytes in the mean; a confirmed payment took %.2f commands. Bare Raft is %d processes with the bank's log and settings, plain TCP, two entries in flight, and a state machine that does nothing; "+
		"the load is made inside its leader.", each, bytes, commands, nodes)
	b.leftOut("The creating of payments and the signing in of customers, which were done before; TLS between customers and the bank's balancer; webhooks.")
	return nil
}
