package edge

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// How a door is drained.
const (
	// DrainIdle is how long a connection without a request stays open once its door is drained. A client that comes back within it is served,
	// and told to go elsewhere with the next request.
	DrainIdle = time.Second
	// drainLook is the time between two looks whether the last connection has gone.
	drainLook = 20 * time.Millisecond
)

// Drain sends a door's clients away without failing any of them, or, with false, lets them stay again. While it drains the
// door takes connections and serves them, because balancers need time to notice; every answer closes its connection, and a
// connection that waits for a request is closed after DrainIdle. It is drained when Open is 0.
func (l *Listener) Drain(on bool) {
	l.draining.Store(on)
	if !on {
		return
	}
	l.lock.Lock()
	defer l.lock.Unlock()
	for c := range l.conns {
		c.hasten(c.until.Load())
	}
}

// Draining says whether the door sends its clients away.
func (l *Listener) Draining() bool { return l.draining.Load() }

// SetReadDeadline is how the server says what it waits for: for a request to arrive, at most Limits.ReadTimeout, or for the next one to begin.
func (c *conn) SetReadDeadline(t time.Time) error {
	if err := c.Conn.SetReadDeadline(t); err != nil {
		return err
	}
	// Drain stores first and looks then, this the other way round: one of the two sees the other.
	until := t.UnixNano()
	c.until.Store(until)
	if c.listener.draining.Load() {
		c.hasten(until)
	}
	return nil
}

// hasten gives a connection that waits for its next request no more than DrainIdle for it.
func (c *conn) hasten(until int64) {
	now := time.Now()
	if until > now.Add(c.listener.readTimeout).UnixNano() {
		_ = c.Conn.SetReadDeadline(now.Add(DrainIdle))
	}
}

// Door is a listener that can be drained: a *Listener, or what is built on one.
type Door interface {
	net.Listener
	Drain(on bool)
	Draining() bool
	Open() int64
}

// Drain orders a shutdown: the door is drained while balancers notice that it is not ready any more, and then closed.
type Drain struct {
	Notice time.Duration // how long balancers need to notice; the door is open as long
	Limit  time.Duration // how long the last clients may take after that; 0: 15 s
}

// Serve serves connections of a door until ctx is done, then drains it. It returns nil after an orderly end, and otherwise an error that
// names the door's address. It owns the door and the server.
func Serve(ctx context.Context, server *fasthttp.Server, door Door, drain Drain) error {
	handler := server.Handler
	server.Handler = func(ctx *fasthttp.RequestCtx) {
		handler(ctx)
		if door.Draining() {
			ctx.SetConnectionClose()
		}
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(door) }()
	select {
	case err := <-served:
		if err == nil {
			return nil
		}
		return fmt.Errorf("edge: serving %s: %w", door.Addr(), err)
	case <-ctx.Done():
	}
	setDefault(&drain.Limit, 15*time.Second)
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain.Notice+drain.Limit)
	defer cancel()
	empty(limit, door, drain.Notice)
	err := server.ShutdownWithContext(limit)
	// A shutdown that comes before Serve has taken the listener does nothing; a listener that is closed ends Serve in any case.
	door.Close()
	if err != nil {
		return fmt.Errorf("edge: %s still had requests under way after %s: %w", door.Addr(), drain.Limit, err)
	}
	if err := <-served; err != nil {
		return fmt.Errorf("edge: serving %s: %w", door.Addr(), err)
	}
	return nil
}

// empty drains a door and returns when nobody is left in it, after notice at the earliest, or when ctx is done.
func empty(ctx context.Context, door Door, notice time.Duration) {
	door.Drain(true)
	if notice <= 0 && door.Open() == 0 {
		return
	}
	noticed := time.NewTimer(notice)
	defer noticed.Stop()
	select {
	case <-noticed.C:
	case <-ctx.Done():
		return
	}
	look := time.NewTicker(drainLook)
	defer look.Stop()
	for door.Open() > 0 {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}
