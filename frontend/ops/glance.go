package ops

import (
	"sync"
	"time"
)

// GlanceTimeout is how long the port waits for a part of the node to say how it is. A node whose disk hangs may not say it at all.
const GlanceTimeout = 2 * time.Second

// glance asks something that may hang. Who asks while somebody else does gets the same answer, so that at most one goroutine hangs.
type glance[T any] struct {
	lock   sync.Mutex
	flight *flight[T]
}

type flight[T any] struct {
	since  time.Time
	landed chan struct{}
	value  T
}

// ask gives f's answer, or since when it is awaited.
func (g *glance[T]) ask(f func() T) (value T, since time.Time, ok bool) {
	g.lock.Lock()
	a := g.flight
	if a == nil {
		a = &flight[T]{since: time.Now(), landed: make(chan struct{})}
		g.flight = a
		go func() {
			a.value = f()
			g.lock.Lock()
			g.flight = nil
			g.lock.Unlock()
			close(a.landed)
		}()
	}
	g.lock.Unlock()
	limit := time.NewTimer(GlanceTimeout)
	defer limit.Stop()
	select {
	case <-a.landed:
		return a.value, a.since, true
	case <-limit.C:
		return value, a.since, false
	}
}
