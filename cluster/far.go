package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/replica"
	"netbank/cluster/stream"
	"netbank/cluster/stream/wire"
)

// far is what a node without a journal has in its place: a stream to any node that has one, over which it looks things up. It is the
// node's Log, too: one that never leads, and whose state is empty.
type far struct {
	coordinators func() []journal.NodeID
	empty        *journal.Machine // nothing is ever applied to it
	index        atomic.Uint64    // of the last entry that any answer may have come from: who is asked must have applied it
	settings     atomic.Pointer[settings]
	known        known
	leads        atomic.Pointer[lead]
	ready        chan struct{} // closed when the settings have come for the first time
	readyOnce    sync.Once

	mu     sync.Mutex
	link   *stream.Link // nil: nobody can be asked
	node   journal.NodeID
	since  time.Time // of link's last change
	lastID uint64
	asks   map[uint64]*ask // that have no answer; all of them are repeated over the next link

	// Owned by the goroutine that reads.
	gathered *settings // that are still coming
	alone    int       // heartbeats in a row of a node that knows no leader, while this one does
}

// aloneMax is how many heartbeats a node that is asked may know no leader while this one does, before another is asked: what it shows may
// be long past.
const aloneMax = 4

// ask is a lookup under way.
type ask struct {
	message *wire.Ask
	told    func(*wire.Told) // called once, unless it is forgotten
}

// lead is who leads, as far as the node knows that is asked.
type lead struct {
	node journal.NodeID
	term uint64
}

// settings are the keys and partners, whole, and whether this node is being drained.
type settings struct {
	keys     []journal.Key
	partners []journal.Partner
	index    map[journal.PartnerID]int
	speaks   map[[32]byte]int
	applied  uint64 // index of the last entry that was applied where they were read
	draining draining
}

func newFar(coordinators func() []journal.NodeID, limits journal.Limits) *far {
	f := &far{
		coordinators: coordinators, empty: journal.New(journal.NewMemoryStore(), limits),
		ready: make(chan struct{}), asks: make(map[uint64]*ask), since: time.Now(),
	}
	f.settings.Store(&settings{})
	f.leads.Store(&lead{})
	return f
}

// The node's Log.

// Propose takes nothing.
func (f *far) Propose([]byte) replica.Future { return notTaken{} }

// View shows an empty state.
func (f *far) View(look func(*journal.Machine)) { look(f.empty) }

// Leadership is never this node's.
func (f *far) Leadership() (uint64, bool) { return 0, false }

// LeadershipChanged never gives a signal.
func (f *far) LeadershipChanged() <-chan bool { return nil }

// Barrier fails.
func (f *far) Barrier(time.Duration) (uint64, error) { return 0, replica.ErrNotLeader }

// Verify fails.
func (f *far) Verify() (uint64, error) { return 0, replica.ErrNotLeader }

// Stats tells how much of the journal this node has seen something of.
func (f *far) Stats() replica.Stats { return replica.Stats{AppliedIndex: f.index.Load()} }

// Close has nothing to close: run ends with the node.
func (f *far) Close() error { return nil }

// notTaken is the future of an entry that was not appended.
type notTaken struct{}

func (notTaken) Done() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}
func (notTaken) Wait() (replica.Outcome, error) { return replica.Outcome{}, replica.ErrNotLeader }

// leader is Config.Leader of a node that hears who leads from the node that it asks.
func (f *far) leader() (journal.NodeID, uint64) {
	l := f.leads.Load()
	return l.node, l.term
}

// run keeps a stream to a node with a journal, until this node closes. It is one goroutine.
func (f *far) run(n *Node) {
	next := rand.IntN(1 << 16)
	for {
		all := f.coordinators()
		if len(all) > 0 {
			next++
			if err := f.follow(n, all[next%len(all)]); err == nil {
				continue // it was established: another one is tried at once
			}
		}
		if !n.sleep(seekEvery/2 + rand.N(seekEvery)) {
			return
		}
	}
}

// follow asks one node for as long as it answers. nil: the stream had been established.
func (f *far) follow(n *Node, node journal.NodeID) error {
	select {
	case <-n.closing:
		return ErrClosed
	default:
	}
	ctx, cancel := context.WithTimeout(n.coreCtx, dialLimit)
	defer cancel()
	conn, err := n.cfg.Dial(ctx, node)
	if err != nil {
		return err
	}
	who := n.identity()
	who.Reads = true
	link, _, err := stream.Knock(conn, who, &n.traffic)
	if err != nil {
		return err
	}
	link.Beat(n.heartbeat(0))
	n.logger.Info("this node asks another one for what it has no journal for", "node", node)
	n.metrics.asked.Inc()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-n.closing:
			link.Close(ErrClosed)
		case <-link.Ended():
		}
	}()
	f.connected(link, node)
	f.listen(n, link)
	f.disconnected(link)
	link.Wait()
	<-ended
	n.logger.Info("the stream to the node that was asked has ended", "node", node, "why", link.Err())
	return nil
}

// connected repeats over a new link what has no answer.
func (f *far) connected(link *stream.Link, node journal.NodeID) {
	f.gathered, f.alone = nil, 0
	f.mu.Lock()
	defer f.mu.Unlock()
	f.link, f.node, f.since = link, node, time.Now()
	for _, a := range f.asks {
		f.sendLocked(a)
	}
}

func (f *far) disconnected(link *stream.Link) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.link == link {
		f.link, f.node, f.since = nil, 0, time.Now()
	}
}

func (f *far) sendLocked(a *ask) {
	if f.link != nil {
		a.message.AtLeast = f.index.Load()
		_ = f.link.Send(&wire.Message{Body: &wire.Message_Ask{Ask: a.message}}) // an error has closed the link; its reader tells
	}
}

// listen takes what a node says, until the stream ends.
func (f *far) listen(n *Node, link *stream.Link) {
	for {
		all, err := link.Read()
		if err != nil {
			return
		}
		for _, m := range all {
			if err := f.heard(n, m); err != nil {
				link.Close(err)
				return
			}
		}
	}
}

// errNotLed ends a stream to a node that has lost the others.
var errNotLed = errors.New("cluster: the node that is asked knows no leader, and this one does")

func (f *far) heard(n *Node, m *wire.Message) error {
	switch body := m.GetBody().(type) {
	case *wire.Message_Told:
		return f.answered(n, body.Told)
	case *wire.Message_Settings:
		return f.set(body.Settings)
	case *wire.Message_Heartbeat:
		h := body.Heartbeat
		if now := f.leads.Load(); h.LeaderTerm > now.term || h.LeaderTerm == now.term && h.Leader != 0 {
			f.leads.Store(&lead{journal.NodeID(h.Leader), h.LeaderTerm})
			raise(&n.highestTerm, h.LeaderTerm)
		}
		if f.alone++; h.Led || !n.led() {
			f.alone = 0
		}
		if f.alone >= aloneMax {
			return errNotLed
		}
	case nil:
	default:
		return fmt.Errorf("%w: a node that is asked does not say %T", stream.ErrFrame, body)
	}
	return nil
}

// answered takes an answer to whoever waits for it. What it shows of a payment is remembered first.
func (f *far) answered(n *Node, t *wire.Told) error {
	p, err := stream.TakePayment(t.Payment)
	if err != nil {
		return err
	}
	raise(&f.index, t.Applied)
	f.mu.Lock()
	a := f.asks[t.Id]
	delete(f.asks, t.Id)
	f.mu.Unlock()
	if p.State != journal.StateNone {
		n.learn(&p)
	}
	if a != nil && a.told != nil {
		a.told(t)
	}
	return nil
}

// set takes the keys and partners. They count when they are whole.
func (f *far) set(w *wire.Settings) error {
	if w.First {
		f.gathered = &settings{index: make(map[journal.PartnerID]int), speaks: make(map[[32]byte]int)}
	}
	s := f.gathered
	if s == nil {
		return fmt.Errorf("%w: settings without a beginning", stream.ErrFrame)
	}
	most := journal.DefaultLimits()
	if len(s.keys)+len(w.Keys) > most.Keys || len(s.partners)+len(w.Partners) > most.Partners {
		return fmt.Errorf("%w: more than %d keys or %d partners", stream.ErrFrame, most.Keys, most.Partners)
	}
	for _, k := range w.Keys {
		s.keys = append(s.keys, stream.TakeKey(k))
	}
	for _, wp := range w.Partners {
		p, err := stream.TakePartner(wp)
		if err != nil {
			return err
		}
		s.index[p.ID] = len(s.partners)
		for _, print := range p.Fingerprints {
			s.speaks[print] = len(s.partners)
		}
		s.partners = append(s.partners, p)
	}
	if w.Last {
		if d := w.GetDraining(); d != nil {
			// What keeps the node from serving has no other bound than its message: the reason is cut, the fact counts.
			s.draining = draining{max(journal.Millis(d.SinceMs), 1), firstRunes(d.Reason, most.ReasonRunes)}
		}
		if w.Applied < f.settings.Load().applied {
			return errBehind // rule 8: older ones than those at hand are not taken
		}
		s.applied = w.Applied
		raise(&f.index, w.Applied)
		f.settings.Store(s)
		f.gathered = nil
		f.readyOnce.Do(func() { close(f.ready) })
	}
	return nil
}

func (s *settings) partner(id journal.PartnerID) (p journal.Partner, ok bool) {
	at, ok := s.index[id]
	if ok {
		p = s.partners[at]
	}
	return p, ok
}

func (s *settings) partnerOf(fingerprint [32]byte) (p journal.Partner, ok bool) {
	at, ok := s.speaks[fingerprint]
	if ok {
		p = s.partners[at]
	}
	return p, ok
}

// begin sends a lookup. It gives 0 if too many are under way.
func (f *far) begin(message *wire.Ask, told func(*wire.Told)) (id uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asks) >= AsksMax {
		return 0
	}
	f.lastID++
	message.Id = f.lastID
	a := &ask{message: message, told: told}
	f.asks[message.Id] = a
	f.sendLocked(a)
	return message.Id
}

// forget ends a lookup that nobody waits for any more.
func (f *far) forget(id uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asks[id] == nil {
		return
	}
	delete(f.asks, id)
	if f.link != nil {
		_ = f.link.Send(&wire.Message{Body: &wire.Message_Forget{Forget: &wire.Forget{Id: id}}})
	}
}

// ask looks something up, for at most AskWait. The error is ErrUnavailable.
func (f *far) ask(message *wire.Ask) (*wire.Told, error) {
	answer := make(chan *wire.Told, 1)
	id := f.begin(message, func(t *wire.Told) { answer <- t })
	if id == 0 {
		return nil, ErrUnavailable
	}
	timer := time.NewTimer(AskWait)
	defer timer.Stop()
	select {
	case t := <-answer:
		return t, nil
	case <-timer.C:
		f.forget(id)
		return nil, ErrUnavailable
	}
}

// payment looks a payment up, or gives it as it was seen last.
func (f *far) payment(id journal.PaymentID) (journal.Payment, bool, error) {
	seen, ok := f.known.get(id)
	if ok && seen.State.Final() {
		return seen, true, nil
	}
	t, err := f.ask(&wire.Ask{What: wire.What_WHAT_PAYMENT, Key: id[:]})
	now, again := f.known.get(id) // what the answer has shown, if nothing newer was seen meanwhile
	switch {
	case err == nil && (t.Found && again || !t.Found && !ok):
		return now, again, nil
	case again && now.State.Final():
		return now, true, nil
	case again:
		return now, true, ErrStale
	case err == nil:
		return journal.Payment{}, false, nil
	}
	return journal.Payment{}, false, err
}

// paymentsOf lists a customer's payments as the node shows them that is asked, or newer where this one has seen newer (rule 8).
func (f *far) paymentsOf(n *Node, customer journal.CustomerID, before journal.PaymentID) ([]journal.Payment, error) {
	ask := &wire.Ask{What: wire.What_WHAT_PAYMENTS, Customer: uint64(customer)}
	if before != (journal.PaymentID{}) {
		ask.Key = before[:]
	}
	t, err := f.ask(ask)
	if err != nil {
		return nil, err
	}
	page := make([]journal.Payment, 0, min(len(t.Payments), HistoryMax))
	for _, w := range t.Payments[:min(len(t.Payments), HistoryMax)] {
		p, err := stream.TakePayment(w)
		if err != nil || p.Customer != customer {
			return nil, errors.Join(ErrUnavailable, err)
		}
		n.learn(&p)
		if seen, ok := f.known.get(p.ID); ok {
			p = seen
		}
		page = append(page, p)
	}
	return page, nil
}

func (f *far) access(id journal.CustomerID) (journal.Access, bool, error) {
	t, err := f.ask(&wire.Ask{What: wire.What_WHAT_ACCESS, Customer: uint64(id)})
	if err != nil {
		return journal.Access{}, false, err
	}
	a, err := stream.TakeAccess(t.Access)
	if err != nil {
		return journal.Access{}, false, errors.Join(ErrUnavailable, err)
	}
	return a, t.Found, nil
}

// learn remembers a payment that another node has shown, and wakes those who wait for what it has come to.
func (n *Node) learn(p *journal.Payment) {
	if n.far.known.put(p) {
		n.watch.stands(p)
	}
}

// spoken has the end of a payment remembered that this process has sent, and about which the journal has not taken its word.
func (f *far) spoken(n *Node, id journal.PaymentID) {
	told := func(*wire.Told) {
		n.inbox.push(event{do: func(l *leader) {
			l.unspoken = slices.DeleteFunc(l.unspoken, func(other journal.PaymentID) bool { return other == id })
			delete(l.asked, id)
		}}, true)
	}
	_ = f.begin(&wire.Ask{What: wire.What_WHAT_CHANGE, Key: id[:], Outcome: true}, told)
}

// attendTo waits for a payment's change, here and, on a node without a journal, at the node that it asks. It reports false if too many
// wait already.
func (n *Node) attendTo(w *waiter) bool {
	if !n.watch.add(w) {
		return false
	}
	if n.far == nil {
		return true
	}
	id := w.id
	w.ask = n.far.begin(&wire.Ask{What: wire.What_WHAT_CHANGE, Key: id[:], Above: w.above, Outcome: w.outcome}, nil)
	if w.ask == 0 {
		n.watch.remove(w)
		return false
	}
	return true
}

// turnFrom ends that.
func (n *Node) turnFrom(w *waiter) {
	n.watch.remove(w)
	if w.ask != 0 {
		n.far.forget(w.ask)
	}
}

// known remembers payments that were seen lately: at least KnownMax of them, at most twice as many.
type known struct {
	mu         sync.Mutex
	young, old map[journal.PaymentID]journal.Payment
}

// put remembers a payment, unless a newer version of it is known (rule 8). It reports whether it did.
func (k *known) put(p *journal.Payment) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if seen, ok := k.getLocked(p.ID); ok && seen.Version > p.Version {
		return false
	}
	if k.young == nil || len(k.young) >= KnownMax {
		k.young, k.old = make(map[journal.PaymentID]journal.Payment), k.young
	}
	k.young[p.ID] = *p
	return true
}

func (k *known) get(id journal.PaymentID) (journal.Payment, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.getLocked(id)
}

func (k *known) getLocked(id journal.PaymentID) (journal.Payment, bool) {
	p, ok := k.young[id]
	if !ok {
		p, ok = k.old[id]
	}
	return p, ok
}

// ReadsStatus says whom a node without a journal asks.
type ReadsStatus struct {
	Node   journal.NodeID // 0: nobody can be asked
	Since  time.Time      // of the last change
	Leader journal.NodeID // as far as that node knows
}

func (f *far) status() ReadsStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return ReadsStatus{Node: f.node, Since: f.since, Leader: f.leads.Load().node}
}

// NewWorker starts a node without a journal: it serves customers and partners, sends its payments to the core itself, and asks
// Config.Coordinators for everything that it does not know. Of Config.Replica it uses Node and Limits only. Joined tells when it may serve.
func NewWorker(cfg Config) (*Node, error) {
	if cfg.Coordinators == nil || cfg.Dial == nil {
		return nil, errors.New("cluster: a worker needs Config.Coordinators and Config.Dial; say where the journal is and how to connect")
	}
	cfg.Role = stream.Worker
	cfg = cfg.withDefaults()
	f := newFar(cfg.Coordinators, cfg.Replica.Limits)
	if cfg.Leader == nil {
		cfg.Leader = f.leader
	}
	return open(cfg, func(replica.Config) (Log, error) { return f, nil })
}

// Joined reports whether this node may serve: it leads, or has a stream to the node that does; and without a journal it has heard the keys
// and the partners.
func (n *Node) Joined() bool {
	if n.far != nil {
		select {
		case <-n.far.ready:
		default:
			return false
		}
	}
	return n.led()
}

// Worker reports whether this node has no journal. Status.Counts are empty there.
func (n *Node) Worker() bool { return n.far != nil }
