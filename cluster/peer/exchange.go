package peer

import (
	"context"
	"fmt"
	"time"
)

// serveJoin lets the cluster decide about a join and answers.
func (p *Port) serveJoin(c *Conn, e Enrolment) {
	p.exchange(c, "join", func(ctx context.Context) (Granted, error) { return p.cfg.Enrol(ctx, e) })
}

// serveRenewal reads a member's request for its next certificate and answers.
func (p *Port) serveRenewal(c *Conn) {
	if err := c.SetDeadline(time.Now().Add(p.cfg.Limits.HandshakeTimeout)); err != nil {
		c.cut()
		return
	}
	var req joinRequest
	err := readMessage(c, &req, JoinRequestBytesMax)
	if err == nil {
		err = req.check()
	}
	if err == nil {
		_, err = checkRequest(req.Request)
	}
	p.exchange(c, "renewal", func(ctx context.Context) (Granted, error) {
		if err != nil {
			return Granted{}, err
		}
		return p.cfg.Renew(ctx, Renewal{From: c.peer, Request: req.Request, Addr: req.Addr})
	})
}

// exchange answers with what decide gives, and ends the connection.
func (p *Port) exchange(c *Conn, what string, decide func(context.Context) (Granted, error)) {
	defer c.Close()
	ctx, cancel := context.WithTimeout(p.ctx, p.cfg.Limits.ExchangeTimeout)
	defer cancel()
	granted, err := decide(ctx)
	if err == nil {
		if bad := granted.check(); bad != nil { // a fault of this side's, so not the asker's ErrRequest
			err = fmt.Errorf("%w: what was granted cannot be sent: %v", ErrUnavailable, bad)
		}
	}
	a := answer{Granted: &granted}
	if err != nil {
		p.complain(err, c.RemoteAddr().String())
		a = refuse(err)
	} else {
		p.log.Info("granted a "+what, "node", granted.Node, "remote", c.RemoteAddr().String())
	}
	// The decision may have used up the time of the first deadline.
	if c.SetDeadline(time.Now().Add(p.cfg.Limits.HandshakeTimeout)) == nil {
		_ = writeMessage(c, a, JoinAnswerBytesMax)
	}
}
