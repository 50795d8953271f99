package bank

import (
	"time"

	"netbank/session"
	"netbank/session/derive"
)

// paced checks passwords one after the other and at most so many a second, as a machine does that can do no more: so several nodes on
// one machine each have a capacity of their own.
type paced struct {
	session.Deriver
	turn  chan struct{} // held by who has a password checked
	every time.Duration
	last  time.Time // when the last one was done, or should have been
}

func newPaced(d session.Deriver, perSecond float64) *paced {
	return &paced{Deriver: d, turn: make(chan struct{}, 1), every: time.Duration(float64(time.Second) / perSecond)}
}

// Key implements session.Deriver.
func (p *paced) Key(r *derive.Request) ([]byte, error) {
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	// Who comes right behind another is done in step, however late the timers are. Who has been idle has saved nothing up.
	done := p.last.Add(p.every)
	if now := time.Now(); done.Before(now) {
		done = now.Add(p.every)
	}
	p.last = done
	key, err := p.Deriver.Key(r)
	time.Sleep(time.Until(done))
	return key, err
}
