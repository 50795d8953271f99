package cluster

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/stream"
	"netbank/cluster/stream/wire"
)

var (
	errBehind  = fmt.Errorf("cluster: the node that was asked has not applied within %v what the one that asks has seen", BehindMax)
	errNoCopy  = errors.New("cluster: this node has no journal to look things up in")
	errReaders = fmt.Errorf("cluster: %d nodes look things up here already", GuestsMax)
)

// settingsChunk is how many partners travel in one message, each of up to some 70 kB.
const settingsChunk = 4

// readers are the nodes without a journal that look things up here.
type readers struct {
	count   atomic.Int64
	version atomic.Uint64 // of keys, partners and who is being drained, counted here

	mu  sync.Mutex
	all map[*reader]bool
}

// reader is one of them.
type reader struct {
	n    *Node
	node journal.NodeID // that asks
	link *stream.Link
	wake chan struct{}

	mu    sync.Mutex
	waits map[uint64]*waiter // by ask
	due   []uint64           // of these, those whose change has come
}

// applied is told of every entry.
func (r *readers) applied(b *journal.Batch) {
	if r.count.Load() == 0 || b == nil {
		return
	}
	for _, c := range b.Commands {
		switch c.GetBody().(type) {
		case *command.Command_PutKey, *command.Command_PutPartner, *command.Command_DrainNode:
			r.renewed()
			return
		}
	}
}

// renewed has everybody told the settings again.
func (r *readers) renewed() {
	r.version.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	for one := range r.all {
		one.rouse()
	}
}

func (r *readers) add(one *reader) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) >= GuestsMax {
		return errReaders
	}
	if r.all == nil {
		r.all = make(map[*reader]bool)
	}
	r.all[one] = true
	r.count.Add(1)
	return nil
}

func (r *readers) remove(one *reader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, one)
	r.count.Add(-1)
}

func (r *reader) rouse() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// installed is told that the state of another node has taken the place of this one's: whatever anybody here waits for may have come about
// with it.
func (n *Node) installed() {
	n.readers.renewed()
	if n.watch.waiters.Load() == 0 {
		return
	}
	// Beside the state machine's goroutine, and not all in one look: entries go on.
	n.start(func() {
		for _, id := range n.watch.ids() {
			if p, ok := n.payment(id); ok {
				n.watch.stands(&p)
			}
		}
	})
}

// serveReads answers a node's lookups until the stream ends.
func (n *Node) serveReads(link *stream.Link, who stream.Identity) error {
	r := &reader{n: n, node: who.Node, link: link, wake: make(chan struct{}, 1), waits: make(map[uint64]*waiter)}
	err := errNoCopy
	if n.far == nil {
		err = n.readers.add(r)
	}
	if err != nil {
		link.Turn(0, 0, err.Error())
		link.Wait()
		return err
	}
	defer n.readers.remove(r)
	link.Beat(n.beatOfCopy)
	if err := link.Welcome(stream.Welcomed{Term: n.highestTerm.Load()}); err == nil {
		n.metrics.readerStreams.Inc()
		r.serve()
	}
	link.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.waits {
		n.watch.remove(w)
	}
	return nil
}

// beatOfCopy tells, beside how far this copy is, who leads as far as is known here.
func (n *Node) beatOfCopy() *wire.Message {
	h := &wire.Heartbeat{Term: n.highestTerm.Load(), Applied: n.log.Stats().AppliedIndex, Led: n.led()}
	if n.gateTerm.Load() != 0 {
		h.Leader, h.LeaderTerm = uint32(n.executor.Node), n.gateTerm.Load()
	} else if n.cfg.Leader != nil {
		leader, term := n.cfg.Leader()
		h.Leader, h.LeaderTerm = uint32(leader), term
	}
	return &wire.Message{Body: &wire.Message_Heartbeat{Heartbeat: h}}
}

func (r *reader) serve() {
	pushed := make(chan struct{})
	go func() {
		defer close(pushed)
		r.push()
	}()
	defer func() { <-pushed }()
	for {
		all, err := r.link.Read()
		if err != nil {
			return
		}
		for _, m := range all {
			switch body := m.GetBody().(type) {
			case *wire.Message_Ask:
				err = r.asked(body.Ask)
			case *wire.Message_Forget:
				r.forget(body.Forget.GetId())
			case *wire.Message_Heartbeat, nil:
			default:
				err = fmt.Errorf("%w: a node that looks things up does not say %T", stream.ErrFrame, body)
			}
			if err != nil {
				r.link.Close(err)
				return
			}
		}
	}
}

// asked answers one lookup. An error ends the stream.
func (r *reader) asked(a *wire.Ask) error {
	if !r.caughtUp(a.AtLeast) {
		return errBehind
	}
	t := &wire.Told{Id: a.Id}
	switch a.What {
	case wire.What_WHAT_PAYMENT, wire.What_WHAT_CHANGE:
		if len(a.Key) != len(journal.PaymentID{}) {
			return fmt.Errorf("%w: a payment's id of %d bytes", stream.ErrFrame, len(a.Key))
		}
		if a.What == wire.What_WHAT_CHANGE {
			return r.await(a)
		}
		r.fill(t, journal.PaymentID(a.Key))
	case wire.What_WHAT_PLACE:
		if len(a.Key) != len(journal.PaymentID{}) {
			return fmt.Errorf("%w: a payment's id of %d bytes", stream.ErrFrame, len(a.Key))
		}
		p, ok, _ := r.n.placeHere(journal.PaymentID(a.Key))
		t.Found, t.Place, t.Applied = ok, putPlace(&p), r.n.log.Stats().AppliedIndex
	case wire.What_WHAT_PAYMENTS:
		if len(a.Key) != 0 && len(a.Key) != len(journal.PaymentID{}) {
			return fmt.Errorf("%w: a payment's id of %d bytes", stream.ErrFrame, len(a.Key))
		}
		var before journal.PaymentID
		copy(before[:], a.Key)
		for _, p := range r.n.paymentsOf(journal.CustomerID(a.Customer), before) {
			t.Payments = append(t.Payments, stream.PutPayment(&p))
		}
		t.Found, t.Applied = true, r.n.log.Stats().AppliedIndex
	case wire.What_WHAT_USERNAME, wire.What_WHAT_CUSTOMER, wire.What_WHAT_ACCESS:
		r.n.log.View(func(m *journal.Machine) {
			var c journal.Customer
			switch a.What {
			case wire.What_WHAT_USERNAME:
				c, t.Found = m.Customer(string(a.Key))
			case wire.What_WHAT_CUSTOMER:
				c, t.Found = m.CustomerByID(journal.CustomerID(a.Customer))
			default:
				var access journal.Access
				access, t.Found = m.Access(journal.CustomerID(a.Customer))
				t.Access = stream.PutAccess(&access)
				return
			}
			if t.Found {
				t.Customer = stream.PutCustomer(&c)
			}
		})
		t.Applied = r.n.log.Stats().AppliedIndex
	default:
		return fmt.Errorf("%w: what is %d?", stream.ErrFrame, a.What)
	}
	r.say(t)
	return nil
}

func (r *reader) say(t *wire.Told) {
	_ = r.link.Send(&wire.Message{Body: &wire.Message_Told{Told: t}}) // an error has closed the link; its reader tells
}

// fill looks a payment up. The index is read after the look, so that it is not below that of what was seen.
func (r *reader) fill(t *wire.Told, id journal.PaymentID) {
	p, ok := r.n.payment(id)
	t.Found, t.Payment, t.Applied = ok, stream.PutPayment(&p), r.n.log.Stats().AppliedIndex
}

// caughtUp waits until this node has applied what the one that asks has seen. Everything else that it asks waits meanwhile, since it wants
// the same.
func (r *reader) caughtUp(index uint64) bool {
	for waited, wait := time.Duration(0), time.Millisecond; r.n.log.Stats().AppliedIndex < index; waited += wait {
		if waited >= BehindMax || !r.n.sleep(wait) {
			return false
		}
	}
	return true
}

// await answers when a payment has come to what was asked for: at once, or when that comes.
func (r *reader) await(a *wire.Ask) error {
	id := a.Id
	w := &waiter{id: journal.PaymentID(a.Key), above: a.Above, outcome: a.Outcome}
	w.notify = func() {
		r.mu.Lock()
		r.due = append(r.due, id)
		r.mu.Unlock()
		r.rouse()
	}
	r.mu.Lock()
	sound := len(r.waits) < AsksMax && r.waits[id] == nil
	if sound {
		r.waits[id] = w
	}
	r.mu.Unlock()
	if !sound {
		return fmt.Errorf("%w: more than %d waiting lookups, or one of them twice", stream.ErrFrame, AsksMax)
	}
	if !r.n.watch.add(w) {
		r.mu.Lock()
		delete(r.waits, id)
		r.mu.Unlock()
		return ErrOverloaded
	}
	// First the watch, then the look: a change between the two is seen by one of them.
	if p, ok := r.n.payment(w.id); ok && p.Version > w.above && (!w.outcome || spoken(p.State)) {
		w.notify()
	}
	return nil
}

// forget ends the waiting for an ask, and gives what waited; nil: nothing did.
func (r *reader) forget(id uint64) *waiter {
	r.mu.Lock()
	w := r.waits[id]
	delete(r.waits, id)
	r.mu.Unlock()
	if w != nil {
		r.n.watch.remove(w)
	}
	return w
}

// push tells what has come about, and the keys and partners at first and when they have changed.
func (r *reader) push() {
	version := uint64(0)
	for first := true; ; first = false {
		if now := r.n.readers.version.Load(); first || now != version {
			version = now
			r.tellSettings()
		}
		r.mu.Lock()
		due := r.due
		r.due = nil
		r.mu.Unlock()
		for _, id := range due {
			if w := r.forget(id); w != nil {
				t := &wire.Told{Id: id}
				r.fill(t, w.id)
				r.say(t)
			}
		}
		select {
		case <-r.wake:
		case <-r.n.closing:
			r.link.Close(ErrClosed)
			return
		case <-r.link.Ended():
			return
		}
	}
}

// tellSettings sends all keys and partners, and whether the node that is told is being drained.
func (r *reader) tellSettings() {
	var keys []journal.Key
	var partners []journal.Partner
	r.n.log.View(func(m *journal.Machine) { keys, partners = m.Keys(), m.Partners() })
	w := &wire.Settings{First: true, Applied: r.n.log.Stats().AppliedIndex}
	for i := range keys {
		w.Keys = append(w.Keys, stream.PutKey(&keys[i]))
	}
	for i := range partners {
		w.Partners = append(w.Partners, stream.PutPartner(&partners[i]))
		if len(w.Partners) == settingsChunk {
			_ = r.link.Send(&wire.Message{Body: &wire.Message_Settings{Settings: w}})
			w = &wire.Settings{Applied: w.Applied}
		}
	}
	w.Last = true
	if since, reason := r.n.drainingOf(r.node); since > 0 {
		w.Draining = &wire.Draining{SinceMs: int64(since), Reason: reason}
	}
	_ = r.link.Send(&wire.Message{Body: &wire.Message_Settings{Settings: w}})
}
