package load

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
)

// Lines are connections to one server for a crowd whose customers hold none while they think. They are opened as needed and kept; who
// needs one is given the one that was used last, so that few stay busy when little goes on.
type Lines struct {
	dialer Dialer
	most   int

	lock    sync.Mutex
	all     []*Client
	idle    []*Client // the last was used last
	waiting list.List // of chan *Client, which hold one; who asked first is in front
	closed  bool
	waited  int64
}

// LinesCount is how lines stand.
type LinesCount struct {
	Clients int   // that were ever needed: the most that were taken at once
	Taken   int   // now
	Opened  int64 // connections opened until now, those opened again included
	Waited  int64 // how often all were taken, so that a customer had to wait; his latency includes it
}

// ErrLinesClosed says that lines were closed.
var ErrLinesClosed = errors.New("load: the lines were closed")

// NewLines makes lines of up to most connections. None is opened yet.
func NewLines(d Dialer, most int) (*Lines, error) {
	if most < 1 || most > ConnectionsMax {
		return nil, fmt.Errorf("load: %d connections; 1 to %d can be opened", most, ConnectionsMax)
	}
	return &Lines{dialer: d, most: most}, nil
}

// Take gives a client that nobody else uses until it is given back. When all are taken it waits, in the order of asking, until ctx ends.
// The connection itself is opened by the client's first request.
func (l *Lines) Take(ctx context.Context) (*Client, error) {
	l.lock.Lock()
	switch {
	case l.closed:
		l.lock.Unlock()
		return nil, ErrLinesClosed
	case len(l.idle) > 0:
		c := l.idle[len(l.idle)-1]
		l.idle = l.idle[:len(l.idle)-1]
		l.lock.Unlock()
		return c, nil
	case len(l.all) < l.most:
		c := newClient(&l.dialer, len(l.all))
		c.lean = true
		l.all = append(l.all, c)
		l.lock.Unlock()
		return c, nil
	}
	turn := make(chan *Client, 1)
	place := l.waiting.PushBack(turn)
	l.waited++
	l.lock.Unlock()
	select {
	case c := <-turn:
		if c == nil {
			return nil, ErrLinesClosed
		}
		return c, nil
	case <-ctx.Done():
		l.leave(place)
		return nil, fmt.Errorf("load: all %d connections are taken: %w", l.most, ctx.Err())
	}
}

// leave takes one who waits out of the queue; what he was given meanwhile goes to the next.
func (l *Lines) leave(place *list.Element) {
	l.lock.Lock()
	turn := l.waiting.Remove(place).(chan *Client) // nothing happens when it is out already
	l.lock.Unlock()
	select {
	case c := <-turn:
		if c != nil {
			l.Give(c)
		}
	default:
	}
}

// Give takes a client back. Answers that it gave are no longer valid then, and neither is its Scratch.
func (l *Lines) Give(c *Client) {
	c.rest()
	l.lock.Lock()
	defer l.lock.Unlock()
	switch {
	case l.closed:
		c.Close()
	case l.waiting.Len() > 0:
		l.waiting.Remove(l.waiting.Front()).(chan *Client) <- c
	default:
		l.idle = append(l.idle, c)
	}
}

// Count says how the lines stand.
func (l *Lines) Count() LinesCount {
	l.lock.Lock()
	defer l.lock.Unlock()
	n := LinesCount{Clients: len(l.all), Taken: len(l.all) - len(l.idle), Waited: l.waited}
	for _, c := range l.all {
		n.Opened += c.opened.Load()
	}
	return n
}

// Open opens connections until n are open and idle, so that no handshake is measured.
func (l *Lines) Open(ctx context.Context, n int) error {
	if n < 0 || n > l.most {
		return fmt.Errorf("load: %d connections of lines that have up to %d", n, l.most)
	}
	var taken []*Client
	defer func() {
		for _, c := range taken {
			l.Give(c)
		}
	}()
	for range n {
		c, err := l.Take(ctx)
		if err != nil {
			return err
		}
		taken = append(taken, c)
	}
	return openAll(ctx, taken)
}

// Close closes what is idle, and the rest when it is given back. Who waits is told ErrLinesClosed.
func (l *Lines) Close() {
	l.lock.Lock()
	defer l.lock.Unlock()
	l.closed = true
	for _, c := range l.idle {
		c.Close()
	}
	for l.waiting.Len() > 0 {
		l.waiting.Remove(l.waiting.Front()).(chan *Client) <- nil
	}
}
