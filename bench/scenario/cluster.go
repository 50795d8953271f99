package scenario

import (
	"context"
	"fmt"
	"slices"
	"time"

	"netbank/bench/demo"
	"netbank/bench/load"
	"netbank/bench/machine"
	"netbank/bench/people"
	"netbank/bench/report"
)

// Cluster is the nodes of a bank of several, which a scenario may end and start.
type Cluster interface {
	// Nodes tells the nodes as they stand: who runs, and who leads.
	Nodes(ctx context.Context) ([]demo.Node, error)
	// Kill ends a node with SIGKILL, and returns when its process is gone.
	Kill(ctx context.Context, name string) error
	// Stop asks a node to end, and returns when its process is gone. That it had to be killed is an error.
	Stop(ctx context.Context, name string) error
	// Start starts a node that has ended, and returns when it is ready.
	Start(ctx context.Context, name string) error
	// Replace takes a node that has ended out of the cluster, with all its data, lets a new one join in its place, and returns when that one is ready and,
	// if it is a coordinator, has its vote.
	Replace(ctx context.Context, name string) error
	// Scale runs `netbank scale` with these words, as an operator does, and gives what it printed.
	Scale(ctx context.Context, words ...string) (string, error)
	// Scaled tells how the number of workers stands, by the node that leads.
	Scaled(ctx context.Context) (Scaled, error)
	// Used is what each node has used until now, in all its lives.
	Used() map[string]machine.Process
}

// Limits of the scenarios of a cluster.
const (
	// clusterGrace is how long customers who have come may take after the last: longer than a payment can be in doubt.
	clusterGrace = 30 * time.Second
	// clusterWatch is how long a customer stays with a page that does not know yet.
	clusterWatch = 25 * time.Second
	// onceMore is how often each form is sent at most: one repetition, at once.
	onceMore = 2
)

// onceMoreAtOnce are customers who repeat what was not answered, or was refused, once and at once, whatever the page asks for.
func (b *bench) onceMoreAtOnce() people.Habits {
	h := b.customers(people.Patient())
	h.Patience, h.Tries, h.RetryAfter, h.Heeds, h.Watch = 0, onceMore, 0, false, clusterWatch
	return h
}

// disturbed puts customers on the bank for as long as is said, and does something to it beside them, once the warm-up is over.
func (b *bench) disturbed(ctx context.Context, p report.Phase, habits people.Habits, during time.Duration, disturb func(ctx context.Context) error) (*people.Outcome, error) {
	warmUp := b.warmUp() + habits.Think.Whole()
	p.OfferedPerSecond, p.RequestsEach, p.Unit, p.Server = b.Rate, requestsEach[people.Flow], "payments", "bank"
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	b.onStart = func() {
		end := time.Now().Add(warmUp + during)
		b.loadEnd = end
		go func() {
			err := pause(ctx, warmUp)
			if err == nil {
				err = disturb(ctx)
			}
			if err == nil && time.Now().After(end) {
				err = fmt.Errorf("what was done to the cluster took longer than the load of %v; give it more --seconds", during)
			}
			if err != nil {
				cancel()
			}
			done <- err
		}()
	}
	o, err := b.alone(ctx, p, people.Job{
		Kind: people.Flow, Curve: load.Constant(b.Rate), WarmUp: warmUp, Measure: during, Grace: clusterGrace, Habits: habits, SLO: stallObjective,
		Connections: b.Connections, Trace: true,
	})
	started := b.onStart == nil
	if b.onStart = nil; !started {
		return nil, err
	}
	if failed := <-done; failed != nil {
		return nil, failed
	}
	return o, err
}

// answers counts the confirmations whose customers left without a definite answer, which fails the run if there is one.
func (b *bench) answers(all []people.Confirmation) {
	without, rejected, why := 0, 0, make(map[string]int)
	for _, c := range all {
		switch c.Word {
		case "":
			without++
			why[c.Why]++
			b.note("Payment %s, confirmed at second %.1f, was left without a definite answer after %v: %s.", c.Payment, c.Sent.Sub(b.result.Started).Seconds(), c.Took.Round(time.Millisecond), c.Why)
		case "RJCT":
			rejected++
		}
	}
	b.headline(report.Headline{
		Name: "confirmations without a definite answer", Value: float64(without), Unit: fmt.Sprintf("of %d", len(all)), Against: "the objective: at most", Baseline: 0,
		Text: "Customers who had pressed the button, tried once more where they got no answer, and left without knowing what became of the payment.",
	})
	if rejected > 0 {
		b.note("%d confirmations were answered by a rejection, because their permission to debit was lost with a node: nothing was charged, and the payment ended.", rejected)
	}
	if without > 0 {
		b.Say("  without a definite answer: %v", why)
	}
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// leader waits for a node that leads.
func (b *bench) leader(ctx context.Context) (string, error) {
	for {
		nodes, err := b.target.Cluster.Nodes(ctx)
		if err != nil {
			return "", err
		}
		if i := slices.IndexFunc(nodes, func(n demo.Node) bool { return n.Leader && n.PID != 0 }); i >= 0 {
			return nodes[i].Name, nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return "", err
		}
	}
}

// stallsOf measures what confirmations met of disturbances: the longest wait from the moment at which one was meant to be sent until the definite word; and the
// longest time until the next disturbance in which nobody was told that he has paid. A confirmation counts for the first disturbance that came while it
// waited, or else for the last one before it was sent. The last disturbance counts until end, when nobody comes any more.
func stallsOf(all []people.Confirmation, events []report.Disturbance, began, end time.Time) {
	at := func(i int) time.Time {
		if i == len(events) {
			return end
		}
		return seconds(began, events[i].Second)
	}
	var paid []time.Time
	for _, c := range all {
		if c.Word == "ACSC" {
			paid = append(paid, c.Sent.Add(c.Took))
		}
	}
	slices.SortFunc(paid, time.Time.Compare)
	for _, c := range all {
		i := slices.IndexFunc(events, func(e report.Disturbance) bool { return !seconds(began, e.Second).Before(c.Sent) })
		if i < 0 {
			i = len(events)
		}
		if i == len(events) || seconds(began, events[i].Second).After(c.Sent.Add(c.Took)) {
			i--
		}
		if i < 0 {
			continue
		}
		e := &events[i]
		e.Confirmations++
		e.LongestMs = max(e.LongestMs, ms(c.Took))
		if c.Word == "" {
			e.Unanswered++
		}
		if c.Took > stallObjective {
			e.Late++
		}
	}
	for i := range events {
		e, from, until := &events[i], at(i), at(i+1)
		last := from
		for _, t := range paid {
			if t.After(from) && !last.After(until) {
				e.GapMs, last = max(e.GapMs, ms(t.Sub(last))), t
			}
		}
	}
}

func seconds(since time.Time, n float64) time.Time {
	return since.Add(time.Duration(n * float64(time.Second)))
}

// quantile is the value that a share of all does not exceed; 0 of none.
func quantile(values []float64, share float64) float64 {
	if len(values) == 0 {
		return 0
	}
	values = slices.Sorted(slices.Values(values))
	at := int(share*float64(len(values))+.999999) - 1
	return values[min(max(at, 0), len(values)-1)]
}
