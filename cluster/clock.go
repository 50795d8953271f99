package cluster

import (
	"fmt"
	"sync/atomic"
	"time"

	"netbank/cluster/journal"
)

// clock makes the journal's stamps. They start where the journal or the wall clock is, whichever is later, and from
// there on they follow elapsed monotonic time only: setting the machine's clock moves no expiry and no lock. The
// wall clock is watched, and when the two are more than ClockDeviationMax apart a person has to look.
type clock struct {
	wall func() time.Time

	base    atomic.Int64 // stamp at origin, in ms
	origin  time.Time    // never changes; carries the monotonic reading
	excused atomic.Int64 // deviation that an operator has accepted, in ms
	stopped atomic.Bool
}

func (c *clock) elapsed() time.Duration { return time.Since(c.origin) }

// start begins a leadership: stamps go on from last, the journal's last stamp, or from the wall clock if that is later.
func (c *clock) start(last journal.Millis, accept bool) {
	wall := c.wall().UnixMilli()
	stamp := max(int64(last), wall)
	c.base.Store(stamp - c.elapsed().Milliseconds())
	c.excused.Store(0)
	if accept {
		c.excused.Store(wall - stamp)
	}
	c.check()
}

// now is the stamp of this moment. It never goes back within a leadership.
func (c *clock) now() journal.Millis {
	return journal.Millis(c.base.Load() + c.elapsed().Milliseconds())
}

// deviation is the wall clock minus the stamps.
func (c *clock) deviation() time.Duration {
	return time.Duration(c.wall().UnixMilli()-int64(c.now())) * time.Millisecond
}

// check compares the clocks and reports whether seats may be granted.
func (c *clock) check() bool {
	off := c.deviation() - time.Duration(c.excused.Load())*time.Millisecond
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
