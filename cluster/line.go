package cluster

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/stream"
	"netbank/cluster/stream/wire"
)

// lineMoveEvery is the least pause between two entries that move the watermark.
const lineMoveEvery = 100 * time.Millisecond

// signInsMax is the most passwords a second that a node is believed to check.
const signInsMax = 1e6

// Line is what every node knows of the waiting line. All of it is committed, or measured by the leader.
type Line struct {
	Closed    bool           // new flows have to wait
	Watermark journal.Millis // who has a place before it has been called
	Waiting   int            // who have not been called
	Pace      gate.Pace
}

// Line gives where the waiting line stands, as far as it is known here. It is one atomic read.
func (n *Node) Line() Line { return *n.lineSeen.Load() }

// FlowBegan counts a flow that came in while the line was open. The leader hears of it with the next heartbeat, so that it can close the line.
func (n *Node) FlowBegan() { n.flows.Add(1) }

// Place looks up a payment's place in the waiting line; false if it has none as far as is known here or, with certain, where the leader is. Errors:
// ErrUnavailable.
func (n *Node) Place(id journal.PaymentID, certain bool) (p journal.Place, ok bool, err error) {
	p, ok, err = n.placeHere(id)
	if !ok && err == nil && certain && n.gateTerm.Load() == 0 {
		if !n.CatchUp(CatchUpMax) {
			return p, false, ErrUnavailable
		}
		p, ok, err = n.placeHere(id)
	}
	return p, ok, err
}

func (n *Node) placeHere(id journal.PaymentID) (p journal.Place, ok bool, err error) {
	if n.far != nil {
		t, err := n.far.ask(&wire.Ask{What: wire.What_WHAT_PLACE, Key: id[:]})
		return takePlace(t.GetPlace()), t.GetFound(), err
	}
	n.log.View(func(m *journal.Machine) { p, ok = m.Place(id) })
	return p, ok, nil
}

// Ahead tells how many who were not called yet have places before a time, as far as is known here: for those who wait with a ticket. Without a journal
// at hand it is all who wait.
func (n *Node) Ahead(at journal.Millis) (ahead int) {
	if n.far != nil {
		return n.Line().Waiting
	}
	n.log.View(func(m *journal.Machine) { ahead = m.Ahead(at) })
	return ahead
}

func putPlace(p *journal.Place) *wire.Place {
	return &wire.Place{AtMs: int64(p.At), Ahead: uint32(p.Ahead), Called: p.Called, EnteredMs: int64(p.Entered)}
}

func takePlace(w *wire.Place) journal.Place {
	return journal.Place{At: journal.Millis(w.GetAtMs()), Ahead: int(w.GetAhead()), Called: w.GetCalled(), Entered: journal.Millis(w.GetEnteredMs())}
}

func putLine(l *Line) *wire.Line {
	return &wire.Line{
		Closed: l.Closed, WatermarkMs: int64(l.Watermark), Waiting: uint32(min(l.Waiting, math.MaxInt32)),
		PerSecond: l.Pace.PerSecond, Guessed: l.Pace.Guessed, SlowForMs: l.Pace.SlowFor.Milliseconds(), Then: l.Pace.Then,
	}
}

func takeLine(w *wire.Line) (Line, error) {
	l := Line{
		Closed: w.GetClosed(), Watermark: journal.Millis(w.GetWatermarkMs()), Waiting: int(w.GetWaiting()),
		Pace: gate.Pace{PerSecond: w.GetPerSecond(), Guessed: w.GetGuessed(), SlowFor: time.Duration(w.GetSlowForMs()) * time.Millisecond, Then: w.GetThen()},
	}
	sound := func(x float64) bool { return x >= 0 && x <= signInsMax }
	slow := w.GetSlowForMs()
	if !sound(l.Pace.PerSecond) || !sound(l.Pace.Then) || slow < 0 || slow > gate.WaitKnownMax.Milliseconds() || l.Watermark < 0 {
		return Line{}, fmt.Errorf("%w: a waiting line with watermark %d and pace %+v", stream.ErrFrame, w.GetWatermarkMs(), l.Pace)
	}
	return l, nil
}

// lineKeeper is the leader's side of the waiting line: the room says how many can come in, and the journal who is next. It begins anew with every leadership.
type lineKeeper struct {
	room      *gate.Room // nil: there is no line
	flows     uint64     // of this node, as last counted
	called    uint64     // by the journal, as last counted
	marks     []mark     // of late, the earliest first
	confirmed recently   // who has come to the confirmation, and may come again
	moving    bool       // an entry that moves the watermark is under way
	moved     gate.Time  // when the last one was proposed
	shown     gate.Time  // when the line was last looked at for showing
}

// mark is when the line was first seen to stand at a watermark.
type mark struct {
	at        gate.Time
	watermark journal.Millis
}

// marksMax is how many are kept at most: those of 25 seconds at least.
const marksMax = 512

// takeUpLine begins to keep the line. One that an earlier leader closed stays closed until nobody waits.
func (l *leader) takeUpLine() {
	l.line = lineKeeper{}
	if !l.n.cfg.Line {
		return
	}
	var now journal.Line
	l.n.log.View(func(m *journal.Machine) { now = m.Line() })
	k := &l.line
	k.room = gate.NewRoom(gate.FlowCost{Confirm: weightDebit}) // neither a sign-in nor a look asks the core for anything
	k.flows, k.called = l.n.flows.Load(), now.Called
	k.shown = l.now - lineMoveEvery
	k.room.Pass(l.now, l.gate.Load(), now.Waiting, l.signIns())
	if now.Closed {
		k.room.Close()
	}
	l.showLine(now)
}

// keepLine hears who came in, and opens, closes or moves the line. It is called every 10 ms while anything is under way.
func (l *leader) keepLine() {
	k := &l.line
	if k.room == nil {
		return
	}
	var now journal.Line
	l.n.log.View(func(m *journal.Machine) { now = m.Line() })
	k.heard(l, now)
	k.room.Pass(l.now, l.gate.Load(), now.Waiting, l.signIns())
	due := 0
	if now.Waiting > 0 {
		due = k.room.Due()
	}
	if !k.moving && (k.room.Closed() != now.Closed || due > 0 && l.now-k.moved >= lineMoveEvery) {
		l.moveLine(now, due)
	}
	l.showLine(now)
}

// heard tells the room who was called, by the journal, and who came in without that, by the nodes' word.
func (k *lineKeeper) heard(l *leader, now journal.Line) {
	flows := l.n.flows.Load()
	came := flows - k.flows
	k.flows = flows
	for _, g := range l.guests {
		came += g.flows - g.flowsTaken
		g.flowsTaken = g.flows
	}
	if now.Called > k.called {
		k.room.Called(int(now.Called - k.called))
	}
	k.called = now.Called
	if n := len(k.marks); n == 0 || now.Watermark > k.marks[n-1].watermark {
		if n == marksMax {
			k.marks = append(k.marks[:0], k.marks[n/2:]...)
		}
		k.marks = append(k.marks, mark{l.now, now.Watermark})
	}
	if came > 0 {
		k.room.Entered(int(min(came, math.MaxInt32)))
	}
}

// cameIn tells the room of a customer who has taken his turn.
func (l *leader) cameIn(c *call) {
	x, k := c.cmd.GetEnter(), &l.line
	if x == nil || k.room == nil || c.result.Verdict != journal.Done {
		return
	}
	var (
		p   journal.Place
		has bool
	)
	if id := x.GetPaymentId(); len(id) == len(journal.PaymentID{}) {
		l.n.log.View(func(m *journal.Machine) { p, has = m.Place(journal.PaymentID(id)) })
		if !has || l.n.clock.now()-p.Entered > turnTaken { // he came in without a turn, or had taken it before
			return
		}
	} else if !l.n.Line().Closed {
		return
	}
	// Who has no payment is not known before he comes in, and is called with that.
	k.room.Came(k.since(l.now, p.At, has))
}

// turnTaken is how long after a turn was taken, to the second, its entry is committed.
const turnTaken = 3 * journal.Millis(time.Second/time.Millisecond)

// since is how long ago a place was called, as far as that is remembered.
func (k *lineKeeper) since(now gate.Time, at journal.Millis, has bool) time.Duration {
	if !has {
		return 0
	}
	i := sort.Search(len(k.marks), func(i int) bool { return k.marks[i].watermark > at })
	if i == len(k.marks) {
		return 0
	}
	return now - k.marks[i].at
}

// signIns is how many passwords all nodes together can check a second; 0: not known.
func (l *leader) signIns() (sum float64) {
	if f := l.n.cfg.SignIns; f != nil {
		sum = f()
	}
	for _, g := range l.guests {
		if g.link != nil {
			sum += g.signIns
		}
	}
	return sum
}

// moveLine proposes where the line is to stand. Who reads it goes by what is committed.
func (l *leader) moveLine(now journal.Line, due int) {
	k := &l.line
	to := now.Watermark
	switch {
	case k.room.Closed() && !now.Closed:
		to = max(to, l.n.clock.now()-journal.HeadStart) // nobody who comes from here on has a place before it
	case due > 0:
		l.n.log.View(func(m *journal.Machine) { to = m.WatermarkFor(due) })
	}
	c := internalCall(&journal.Command{Body: &command.Command_MoveLine{MoveLine: &command.MoveLine{Closed: k.room.Closed(), WatermarkMs: int64(to)}}})
	c.bound = l.term
	c.done = func(l *leader) { l.line.moving = false }
	k.moving, k.moved = true, l.now
	l.take(c)
}

// showLine lets everybody know where the line stands, when that has changed.
func (l *leader) showLine(now journal.Line) {
	k := &l.line
	was := l.n.Line()
	if was.Closed == now.Closed && l.now-k.shown < lineMoveEvery {
		return
	}
	k.shown = l.now
	room := k.room.Snapshot()
	l.n.roomSeen.Store(&room)
	if !now.Closed && !was.Closed {
		return
	}
	next := Line{Closed: now.Closed, Watermark: now.Watermark, Waiting: now.Waiting, Pace: room.Pace}
	if next == was {
		return
	}
	if next.Closed != was.Closed {
		l.n.logger.Info("the waiting line", "closed", next.Closed, "flows a second", math.Round(10*room.Rate)/10, "waiting", next.Waiting)
	}
	l.n.lineSeen.Store(&next)
	l.spread()
}

// confirming tells the room of a customer who has come to the confirmation. Whoever is refused there has come to it as well: if he did not count, the room would
// reckon with fewer the more are refused, and let in more.
func (l *leader) confirming(c *call) {
	k := &l.line
	if k.room == nil || !k.confirmed.first(c.payment) {
		return
	}
	x := c.cmd.GetAuthorise()
	var a journal.Access
	l.n.log.View(func(m *journal.Machine) { a, _ = m.Access(journal.CustomerID(x.GetCustomer())) })
	if now := l.n.clock.now(); a.InForce(journal.Epoch(x.GetSessionEpoch()), now) {
		k.room.Confirmed(time.Duration(now-a.SignedIn) * time.Millisecond)
	}
}

// confirmedMax is the number of payments in each of two halves of a memory of those whose customers have come to the confirmation of late.
const confirmedMax = 16_384

// recently remembers payments: the last confirmedMax at least, and no more than twice as many.
type recently struct {
	newer, older map[journal.PaymentID]struct{}
}

// first reports whether a payment is not remembered, and remembers it.
func (r *recently) first(id journal.PaymentID) bool {
	if _, known := r.newer[id]; known {
		return false
	}
	if _, known := r.older[id]; known {
		return false
	}
	if r.newer == nil || len(r.newer) >= confirmedMax {
		r.older, r.newer = r.newer, make(map[journal.PaymentID]struct{})
	}
	r.newer[id] = struct{}{}
	return true
}

// errBeat ends a stream whose heartbeat cannot be believed.
var errBeat = errors.New("cluster: a heartbeat that cannot be")

// beaten takes what a guest's heartbeat says of itself.
func (g *guest) beaten(h *wire.Heartbeat) error {
	if !(h.SignIns >= 0 && h.SignIns <= signInsMax) || h.Flows < g.flows {
		return fmt.Errorf("%w: %w: %d flows after %d, %v sign-ins a second", stream.ErrFrame, errBeat, h.Flows, g.flows, h.SignIns)
	}
	if !g.beat { // what it counted before is an earlier leader's matter
		g.beat, g.flowsTaken = true, h.Flows
	}
	g.flows, g.signIns = h.Flows, h.SignIns
	return nil
}
