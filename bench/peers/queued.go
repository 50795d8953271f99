package main

import (
	"container/heap"
	"context"
	"math"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"netbank/cluster/gate"
)

// verdict is what a limiter with a queue says at once.
type verdict uint8

const (
	refused verdict = iota
	started
	waits
)

// queue is a limiter whose callers may wait in it.
type queue interface {
	// try says at once what becomes of an offer. release is there if it was started.
	try(o gate.Offer) (release func(late bool), v verdict)
	// wait gives a seat as soon as the limiter has one, or an error when it has none in time. It is called after try has said waits.
	wait(ctx context.Context, o gate.Offer) (release func(late bool), err error)
}

// hall has callers wait in goroutines of the bubble, as they would before the limiter of a server.
type hall struct {
	clock     clock
	queue     queue
	seats     seats
	waiting   map[gate.Ticket]context.CancelFunc
	deadlines deadlines
	stop      context.CancelFunc
	ctx       context.Context

	mu   sync.Mutex
	done []called
}

// called is who has waited.
type called struct {
	ticket  gate.Ticket
	release func(late bool) // nil: in vain
}

func queued(q queue, end func()) *hall {
	h := &hall{queue: q, seats: make(seats), waiting: make(map[gate.Ticket]context.CancelFunc)}
	ctx, cancel := context.WithCancel(context.Background())
	h.ctx, h.stop = ctx, func() {
		cancel()
		if end != nil {
			end()
		}
	}
	return h
}

func (h *hall) Offer(now gate.Time, o gate.Offer, out []gate.Decision) []gate.Decision {
	h.clock.at(now)
	out = h.collect(out)
	release, v := h.queue.try(o)
	switch v {
	case started:
		h.seats[o.Ticket] = release
		return append(out, gate.Decision{Ticket: o.Ticket, Action: gate.Start})
	case refused:
		return append(out, gate.Decision{Ticket: o.Ticket, Action: gate.Refuse, Reason: gate.QueueFull})
	}
	ctx, cancel := context.WithTimeout(h.ctx, o.Budget)
	h.waiting[o.Ticket] = cancel
	heap.Push(&h.deadlines, deadline{at: now + o.Budget, ticket: o.Ticket})
	go func() {
		release, err := h.queue.wait(ctx, o)
		if err != nil {
			release = nil
		}
		h.mu.Lock()
		h.done = append(h.done, called{o.Ticket, release})
		h.mu.Unlock()
	}()
	synctest.Wait()
	return h.collect(out)
}

// collect tells what became of those who waited.
func (h *hall) collect(out []gate.Decision) []gate.Decision {
	h.mu.Lock()
	done := h.done
	h.done = nil
	h.mu.Unlock()
	slices.SortFunc(done, func(a, b called) int { return int(int64(a.ticket) - int64(b.ticket)) })
	for _, c := range done {
		cancel, known := h.waiting[c.ticket]
		delete(h.waiting, c.ticket)
		if cancel != nil {
			cancel()
		}
		switch {
		case c.release == nil && known:
			out = append(out, gate.Decision{Ticket: c.ticket, Action: gate.Refuse, Reason: gate.TooLate})
		case c.release == nil:
		case known:
			h.seats[c.ticket] = c.release
			out = append(out, gate.Decision{Ticket: c.ticket, Action: gate.Start})
		default:
			c.release(true) // who has left in the same moment
		}
	}
	return out
}

func (h *hall) Withdraw(now gate.Time, t gate.Ticket, out []gate.Decision) []gate.Decision {
	if cancel := h.waiting[t]; cancel != nil {
		delete(h.waiting, t)
		cancel()
	}
	return h.Tick(now, out)
}

func (h *hall) Answer(now gate.Time, t gate.Ticket, _ time.Duration, late bool, out []gate.Decision) []gate.Decision {
	h.clock.at(now)
	h.seats.release(t, late)
	if len(h.waiting) > 0 {
		synctest.Wait()
	}
	return h.collect(out)
}

func (h *hall) Occupy(now gate.Time, t gate.Ticket, class gate.Class, weight float64, _ gate.Time) bool {
	h.clock.at(now)
	release, v := h.queue.try(gate.Offer{Ticket: t, Class: class, Weight: weight})
	if v == started {
		h.seats[t] = release
	}
	return v == started
}

func (h *hall) Tick(now gate.Time, out []gate.Decision) []gate.Decision {
	h.clock.at(now)
	synctest.Wait()
	return h.collect(out)
}

// Next is the earliest end of somebody's time.
func (h *hall) Next(now gate.Time) (gate.Time, bool) {
	for len(h.deadlines) > 0 {
		d := h.deadlines[0]
		if h.waiting[d.ticket] != nil {
			return max(now, d.at), true
		}
		heap.Pop(&h.deadlines)
	}
	return 0, false
}

func (h *hall) Snapshot() gate.Snapshot {
	return gate.Snapshot{Limit: math.MaxInt32, Ceiling: math.MaxInt32, Taken: len(h.seats), Queued: len(h.waiting)}
}

func (h *hall) close() {
	h.stop()
	synctest.Wait()
}

type deadline struct {
	at     gate.Time
	ticket gate.Ticket
}

type deadlines []deadline

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].at < d[j].at }
func (d deadlines) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *deadlines) Push(x any)        { *d = append(*d, x.(deadline)) }
func (d *deadlines) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}
