package cluster

import (
	"fmt"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/stream"
	"netbank/cluster/stream/wire"
)

// heard takes what the leader says, in its order.
func (l *leader) heard(link *stream.Link, all []*wire.Message) {
	for _, m := range all {
		if l.away.link != link {
			return // what an earlier leader still had to say came too late
		}
		var err error
		switch body := m.GetBody().(type) {
		case *wire.Message_Result:
			err = l.resulted(body.Result)
		case *wire.Message_Go:
			err = l.permitted(body.Go)
		case *wire.Message_Levels:
			l.levels(body.Levels.GetWords())
			var line Line
			if line, err = takeLine(body.Levels.GetLine()); err == nil {
				l.n.lineSeen.Store(&line)
			}
		case *wire.Message_About:
			var text []byte
			if text, err = takeAbout(body.About); err == nil {
				l.n.leaderSays.Store(&text)
			}
		case *wire.Message_Heartbeat:
			if body.Heartbeat.GetTerm() != l.away.term {
				err = errOtherTerm
				break
			}
			l.hearTime(body.Heartbeat)
		case nil:
		default:
			err = fmt.Errorf("%w: a leader does not say %T", stream.ErrFrame, body)
		}
		if err != nil {
			link.Close(err)
			l.part(err)
			return
		}
	}
	l.unpark()
}

// unpark sends what found no room before.
func (l *leader) unpark() {
	for len(l.parked) > 0 && len(l.away.sent) < CallsAwayMax && l.away.bytes < CallsAwayBytesMax && l.n.executors.Load() < ExecutorsMax {
		parked := l.parked[:min(len(l.parked), CallsAwayMax-len(l.away.sent))]
		l.parked = append([]*call(nil), l.parked[len(parked):]...)
		for _, c := range parked {
			l.take(c)
		}
	}
}

// levels takes the edge's refusals over from the leader.
func (l *leader) levels(words []uint64) {
	for class := range l.n.edge {
		word := packRefusal(gate.NoLeader, time.Second)
		if class < len(words) {
			word = words[class]
		}
		l.n.edge[class].Store(word)
	}
}

// arrived takes a call from those that are out.
func (l *leader) arrived(c *call) {
	delete(l.away.sent, c.id)
	if !c.internal {
		l.away.bytes -= c.size
	}
}

// resulted takes the leader's word about a call. An error means that it cannot be believed.
func (l *leader) resulted(r *wire.Result) error {
	c := l.away.sent[r.Id]
	if c == nil {
		return nil
	}
	payment, err := stream.TakePayment(r.Payment)
	if err != nil {
		return err
	}
	access, err := stream.TakeAccess(r.Access)
	if err != nil {
		return err
	}
	c.result = journal.Result{Verdict: journal.Verdict(min(r.Verdict, 255)), Payment: payment, Access: access}
	if l.n.far != nil && payment.State != journal.StateNone {
		l.n.learn(&payment)
	}
	refused := gate.Reason(r.Refusal)
	switch {
	case refused != gate.Admitted && (refused >= gate.Reasons || c.kind == kindCommand):
		return fmt.Errorf("%w: refusal %d of a call of kind %d", stream.ErrFrame, r.Refusal, c.kind)
	case (refused != gate.Admitted || r.Error == wire.Error_ERROR_WITHDRAWN) && l.n.highestTerm.Load() > l.away.term:
		return errOtherTerm // rule 4: a no counts in the current term only
	case r.Error == wire.Error_ERROR_OFFERED:
		c.stage.CompareAndSwap(abroad, offered)
		c.ring()
		return nil
	}
	l.arrived(c)
	switch c.kind {
	case kindCommand:
		l.commandResulted(c, r.Error)
	case kindAuthorise:
		l.authoriseResulted(c, r)
	case kindSeat:
		l.seatResulted(c, r)
	case kindApplied:
		c.applied = r.Applied
		if c.stage.CompareAndSwap(abroad, offered) {
			c.finish()
		}
	}
	return nil
}

func (l *leader) commandResulted(c *call, e wire.Error) {
	switch {
	case e == wire.Error_ERROR_WITHDRAWN:
		c.stage.Store(withdrawn)
		c.ring()
		return
	case e == wire.Error_ERROR_TOO_LARGE:
		c.stage.Store(withdrawn)
		c.fail(ErrTooLarge)
		return
	}
	c.stage.CompareAndSwap(abroad, offered)
	c.finish()
	l.settled(c)
}

// seatResulted begins a call that needs a seat only, if its asker is still there.
func (l *leader) seatResulted(c *call, r *wire.Result) {
	if r.Refusal != 0 || r.Error != wire.Error_ERROR_NONE {
		reason := gate.Reason(r.Refusal)
		if reason == gate.Admitted {
			reason = gate.TooLate
		}
		if c.stage.CompareAndSwap(abroad, withdrawn) {
			c.refuse(reason, stream.Duration(r.RetryAfterUs))
		}
		return
	}
	if !c.stage.CompareAndSwap(abroad, offered) {
		end := ending{id: c.id, answer: Answer{Word: NotSent}}
		l.say(&wire.Message{Body: &wire.Message_Answered{Answered: end.message(nil)}})
		return
	}
	c.granted = l.now
	l.away.inside[c.id] = c
	c.finish()
}

func (l *leader) authoriseResulted(c *call, r *wire.Result) {
	p := c.result.Payment
	switch {
	case r.Refusal != 0:
		if c.stage.CompareAndSwap(abroad, withdrawn) {
			c.refuse(gate.Reason(r.Refusal), stream.Duration(r.RetryAfterUs))
		}
		l.abandon(c)
	case r.Error == wire.Error_ERROR_TOO_LARGE:
		c.stage.Store(withdrawn)
		c.fail(ErrTooLarge)
		l.abandon(c)
	case r.Error == wire.Error_ERROR_WITHDRAWN && p.State <= journal.StateReceived:
		c.stage.Store(withdrawn)
		c.ring()
		l.abandon(c)
	case r.Error == wire.Error_ERROR_WITHDRAWN, c.result.Verdict == journal.Done, c.result.Verdict == journal.Repeated, c.result.Verdict == journal.Attached:
		// Granted, to whomever. If it was to this process, its "go" is lost: it would have come before.
		followers := l.forget(c)
		c.attach(p)
		for _, f := range followers {
			f.attach(p)
		}
		l.disown(p)
	default:
		c.stage.CompareAndSwap(abroad, offered)
		c.finish()
		l.abandon(c)
	}
}

// permitted takes a "go". It starts the executor at most once: the call is no longer among those that are out.
//
// The leader counts send-by from the grant, on its clock; this node, from the moment at which it sent the call, on its
// own, plus the time that the call lay at the leader before its grant. The call cannot have arrived before it was sent, so
// this node's end never lies after the leader's, however long either way took.
func (l *leader) permitted(g *wire.Go) error {
	c := l.away.sent[g.Id]
	if c == nil {
		return nil
	}
	p, err := stream.TakePayment(g.Payment)
	if err != nil {
		return err
	}
	sent, goodFor := stream.Duration(g.SentUs), stream.Duration(g.GoodForUs)
	if c.kind != kindAuthorise || p.ID != c.payment || p.Executor != l.n.executor || sent > l.now || goodFor < 0 || g.Term != l.away.term {
		return fmt.Errorf("%w: a go for call %d that is not its own", stream.ErrFrame, g.Id)
	}
	l.arrived(c)
	if l.n.far != nil {
		l.n.learn(&p)
	}
	c.result = journal.Result{Verdict: journal.Done, Payment: p}
	c.went, c.granted = true, l.now
	// Clocks of two machines do not run exactly alike.
	c.until = max(sent+goodFor-(goodFor>>driftShift), 1)
	c.stage.CompareAndSwap(abroad, offered)
	for _, f := range l.followersOf(c) {
		f.attach(p)
	}
	l.n.goExecute(c, g.Term)
	return nil
}
