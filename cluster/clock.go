package cluster

import (
	"fmt"
	"sync/atomic"
	"time"

	"netbank/cluster/journal"
)

// clock makes the journal's stamps. They start where the journal or the wall clock is, whichever is later, and from
// there on they follow elapsed monotonic time only, from one leader to the next: setting a machine's clock moves no expiry and no lock. The
// wall clock is watched, and when the two are more than ClockDeviationMax apart a person has to look.
type clock struct {
	wall func() time.Time
	// known says that the stamps go on from a leader's, this node's own or one that it has heard: its wall clock has no say in them.
	known atomic.Bool

	base    atomic.Int64 // stamp at origin, in ms
	origin  time.Time    // never changes; carries the monotonic reading
	excused atomic.Int64 // deviation that an operator has accepted, in ms
	stopped atomic.Bool
}

func (c *clock) elapsed() time.Duration { return time.Since(c.origin) }

// start begins a leadership. Stamps go on from those of the leader before it. A node that has heard none in this life (all of them were down)
// has its wall clock only: then they start from there, or from last, the journal's last stamp, if that is later. What the way of a heartbeat takes would
// add up from leader to leader; so a wall clock that is a little ahead is followed.
func (c *clock) start(last journal.Millis, accept bool) {
	wall := c.wall().UnixMilli()
	stamp := max(int64(last), wall)
	if goesOn := max(int64(last), int64(c.now())); c.known.Load() && (wall < goesOn || wall > goesOn+ClockYieldAt.Milliseconds()) {
		stamp = goesOn
	}
	c.base.Store(stamp - c.elapsed().Milliseconds())
	switch {
	case accept:
		c.excused.Store(wall - stamp)
	case !c.known.Load():
		c.excused.Store(0)
	}
	c.check()
}

// hear takes the time of a leader that this node follows. It is no younger than it was when it was sent, so of what one leader says the highest is the
// nearest; first says that this leader has said nothing before.
func (c *clock) hear(stamp journal.Millis, first bool) {
	base := int64(stamp) - c.elapsed().Milliseconds()
	if first || base > c.base.Load() {
		c.base.Store(base)
	}
	c.known.Store(true)
}

// now is the stamp of this moment. It never goes back within a leadership.
func (c *clock) now() journal.Millis {
	return journal.Millis(c.base.Load() + c.elapsed().Milliseconds())
}

// deviation is the wall clock minus the stamps.
func (c *clock) deviation() time.Duration {
	return time.Duration(c.wall().UnixMilli()-int64(c.now())) * time.Millisecond
}

// off is the deviation, but for what an operator has accepted of it.
func (c *clock) off() time.Duration {
	return c.deviation() - time.Duration(c.excused.Load())*time.Millisecond
}

// check compares the clocks and reports whether seats may be granted.
func (c *clock) check() bool {
	off := c.off()
	c.stopped.Store(off > ClockDeviationMax || off < -ClockDeviationMax)
	return !c.stopped.Load()
}

// accept takes the present deviation for right.
func (c *clock) accept() {
	c.excused.Store(c.deviation().Milliseconds())
	c.check()
}

func (c *clock) status() ClockStatus {
	s := ClockStatus{Deviation: c.deviation(), Stopped: c.stopped.Load()}
	if !s.Stopped {
		return s
	}
	where := "ahead of"
	if s.Deviation < 0 {
		where = "behind"
	}
	s.Remedy = fmt.Sprintf("this machine's clock is %v %s the journal's time (limit %v), so no payment is granted: set the clock right, or, if it is right, accept it",
		s.Deviation.Abs().Round(time.Millisecond), where, ClockDeviationMax)
	return s
}
