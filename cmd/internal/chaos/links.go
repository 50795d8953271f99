package chaos

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Bounds of the links.
const (
	linksMax    = 4096 // connections at once
	chunkBytes  = 64 << 10
	chunksAhead = 64 // read and not yet passed on, for each direction of a connection
	dialTimeout = 2 * time.Second
)

// links carries all bytes between nodes. Each node is known to the others by an address of this process, which passes connections on
// to the node; so every direction between two nodes can be stopped or delayed on its own. Bytes that are stopped are not lost:
// they go on when the link is whole again, as TCP would send them once more. Ends of connections wait as bytes do, so that
// nobody learns through a broken link that the other one has died.
type links struct {
	who func(client, server net.Addr) int // which node has opened a connection; 0: not known

	lock    sync.Mutex
	changed *sync.Cond
	stopped map[[2]int]int        // how many faults stop the direction from, to
	late    map[int]time.Duration // bytes from and to a node
	over    bool
	conns   map[net.Conn]bool
	ports   []net.Listener
	going   sync.WaitGroup
}

func newLinks(who func(client, server net.Addr) int) *links {
	l := &links{who: who, stopped: make(map[[2]int]int), late: make(map[int]time.Duration), conns: make(map[net.Conn]bool)}
	l.changed = sync.NewCond(&l.lock)
	return l
}

// open passes what comes at one address on to a node at another.
func (l *links) open(addr string, to int, target string) error {
	port, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	l.pass(port, to, func() (net.Conn, error) { return net.DialTimeout("tcp", target, dialTimeout) })
	return nil
}

// pass passes what comes at a port on to where dial leads.
func (l *links) pass(port net.Listener, to int, dial func() (net.Conn, error)) {
	l.lock.Lock()
	l.ports = append(l.ports, port)
	l.lock.Unlock()
	l.going.Go(func() {
		for {
			in, err := port.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil && l.hold(in) {
				l.going.Go(func() { l.carry(in, l.who(in.RemoteAddr(), in.LocalAddr()), to, dial) })
			}
		}
	})
}

// hold counts a connection, and closes it if there are too many.
func (l *links) hold(c net.Conn) bool {
	l.lock.Lock()
	defer l.lock.Unlock()
	if l.over || len(l.conns) >= linksMax {
		c.Close()
		return false
	}
	l.conns[c] = true
	return true
}

func (l *links) drop(c net.Conn) {
	c.Close()
	l.lock.Lock()
	delete(l.conns, c)
	l.lock.Unlock()
}

func (l *links) carry(in net.Conn, from, to int, dial func() (net.Conn, error)) {
	defer l.drop(in)
	if !l.may(from, to) {
		return
	}
	out, err := dial()
	if err != nil || !l.hold(out) {
		return
	}
	defer l.drop(out)
	var both sync.WaitGroup
	both.Go(func() { l.pump(out, in, from, to) })
	both.Go(func() { l.pump(in, out, to, from) })
	both.Wait()
}

// chunk is some bytes, or the end, and when it was read.
type chunk struct {
	bytes []byte
	at    time.Time
}

// pump carries one direction of a connection.
func (l *links) pump(dst, src net.Conn, from, to int) {
	ahead := make(chan chunk, chunksAhead)
	l.going.Go(func() {
		defer close(ahead)
		for {
			buffer := make([]byte, chunkBytes)
			n, err := src.Read(buffer)
			if n > 0 {
				ahead <- chunk{buffer[:n], time.Now()}
			}
			if err != nil {
				return
			}
		}
	})
	for c := range ahead {
		if wait := l.delay(from, to); wait > 0 {
			time.Sleep(time.Until(c.at.Add(wait)))
		}
		if !l.may(from, to) {
			break
		}
		if _, err := dst.Write(c.bytes); err != nil {
			break
		}
	}
	l.may(from, to) // the end waits as well
	if half, ok := dst.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
	// What comes after a failed write goes nowhere; the reader ends with the connection.
	if half, ok := src.(*net.TCPConn); ok {
		_ = half.CloseRead()
	}
	for range ahead {
	}
}

// may waits until bytes may go from one node to another. It is false when the run is over.
func (l *links) may(from, to int) bool {
	l.lock.Lock()
	defer l.lock.Unlock()
	for l.stopped[[2]int{from, to}] > 0 && !l.over {
		l.changed.Wait()
	}
	return !l.over
}

func (l *links) delay(from, to int) time.Duration {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.late[from] + l.late[to]
}

// stop stops a direction, and gives what lets it go on.
func (l *links) stop(from, to int) (resume func()) {
	l.turn(from, to, 1)
	return func() { l.turn(from, to, -1) }
}

func (l *links) turn(from, to, by int) {
	l.lock.Lock()
	defer l.lock.Unlock()
	l.stopped[[2]int{from, to}] += by
	l.changed.Broadcast()
}

// slow makes what goes from and to a node late; 0 ends it.
func (l *links) slow(node int, by time.Duration) {
	l.lock.Lock()
	defer l.lock.Unlock()
	l.late[node] = by
}

// heal lets everything go on at once.
func (l *links) heal() {
	l.lock.Lock()
	defer l.lock.Unlock()
	clear(l.stopped)
	clear(l.late)
	l.changed.Broadcast()
}

// close ends all connections.
func (l *links) close() {
	l.lock.Lock()
	l.over = true
	l.changed.Broadcast()
	for _, p := range l.ports {
		p.Close()
	}
	for c := range l.conns {
		c.Close()
	}
	l.lock.Unlock()
	l.going.Wait()
}
