package sim

import (
	"time"

	"netbank/cluster/gate"
)

// How customers stand in the line. Orders live for 15 minutes, so nobody in a run loses patience there; who is called notices at his next look.
const (
	linePatience = 15 * time.Minute
	lineTick     = 10 * time.Millisecond
	lineLooks    = 2 * time.Second // between two looks of who was shown no range
	lineNotices  = 3 * time.Second // within which a customer who was called notices
)

// line is the waiting line of a run: the room is the real one, and what the journal knows is a queue here.
type line struct {
	room    *gate.Room
	waiting []waiter // first come, first served
	next    int
	untold  int // who wait, and were shown no range yet
	looked  time.Duration
}

type waiter struct {
	slot     int32
	told     time.Duration // when he was first shown a range
	from, to time.Duration
	known    bool
}

// loader is an admission that a room can look at.
type loader interface{ Load() gate.Load }

// flowCost is what the gate is told of a flow's parts.
func (s *Scenario) flowCost() gate.FlowCost {
	of := func(o Operation) float64 {
		if s.Free[o] {
			return 0
		}
		return o.weight() * s.Misweighed[o]
	}
	return gate.FlowCost{SignIn: of(SignIn), View: of(View), Confirm: of(Confirm)}
}

// openLine puts a room before the admission, if the policy has one.
func (r *run) openLine() {
	if !r.policy.Line {
		return
	}
	closed := r.line != nil && r.line.room.Closed()
	if r.line == nil {
		r.line = &line{}
		r.events.add(lineTick, lineDue, 0, 0)
	}
	r.line.room = gate.NewRoom(r.s.flowCost())
	if load, ok := r.adm.(loader); ok {
		r.line.room.Pass(r.now, load.Load(), r.line.length(), 0)
	}
	if closed {
		r.line.room.Close()
	}
}

func (l *line) length() int { return len(l.waiting) - l.next }

// waits reports whether a new flow has to wait, and has it do so.
func (r *run) waits(slot int32) bool {
	if r.line == nil {
		return false
	}
	l := r.line
	if !l.room.Closed() {
		l.room.Entered(1)
		return false
	}
	l.waiting = append(l.waiting, waiter{slot: slot})
	l.untold++
	l.tell(r.now, l.length()-1)
	return true
}

// tell shows a range to who has so many ahead of him, if there is one.
func (l *line) tell(now time.Duration, ahead int) {
	w := &l.waiting[l.next+ahead]
	if w.from, w.to, w.known = l.room.Pace().Wait(ahead); w.known {
		w.told = now
		l.untold--
	}
}

// look has all see whether there is a range now to whom none could be shown.
func (l *line) look(now time.Duration) {
	if l.untold == 0 || now < l.looked+lineLooks {
		return
	}
	l.looked = now
	for i := range l.length() {
		if !l.waiting[l.next+i].known {
			l.tell(now, i)
		}
	}
}

// move lets the room look, and calls who is due.
func (r *run) move() {
	r.events.add(r.now+lineTick, lineDue, 0, 0)
	load, ok := r.adm.(loader)
	if r.leaderless || !ok {
		return
	}
	l := r.line
	l.room.Pass(r.now, load.Load(), l.length(), 0)
	l.look(r.now)
	due := min(l.room.Due(), l.length())
	if due == 0 {
		return
	}
	l.room.Called(due)
	for range due {
		w := l.waiting[l.next]
		l.next++
		r.shown(w)
		r.dice.roll(r.seed, r.customers[w.slot].id, 1<<18)
		r.customers[w.slot].came = r.now
		r.events.add(r.now+time.Duration(r.dice.uniform()*float64(lineNotices)), comesIn, w.slot, 0)
	}
	if l.next > len(l.waiting)/2 {
		l.waiting = append(l.waiting[:0], l.waiting[l.next:]...)
		l.next = 0
	}
}

// shown holds a wait against what was shown.
func (r *run) shown(w waiter) {
	waited := r.now - w.told
	r.result.Waits++
	if !w.known {
		r.line.untold--
	} else {
		r.result.WaitsKnown++
		if waited >= w.from && waited <= w.to {
			r.result.WaitsInside++
		}
	}
}

// overdue counts those who wait at the end of the run, and should have been called.
func (r *run) overdue() {
	if r.line == nil {
		return
	}
	for _, w := range r.line.waiting[r.line.next:] {
		if w.known && r.now-w.told > w.to {
			r.shown(w)
		}
	}
}

// confirming tells the room of a customer who goes on.
func (r *run) confirming(c *customer) {
	if r.line != nil && c.op == Confirm && c.tries == 0 {
		r.line.room.Confirmed(r.now - c.came)
	}
}
