package stream

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"netbank/cluster/stream/wire"
)

// Bounds of a connection.
const (
	// OutgoingBytesMax is what may wait to be written. A peer that lets more pile up is disconnected.
	OutgoingBytesMax = 16 << 20
	// HeartbeatEvery is the pause between two heartbeats of one side.
	HeartbeatEvery = 100 * time.Millisecond
	// SilenceMax is how long a side may be silent before it is taken for gone. Raft's heartbeat time-out is 500 ms: whoever
	// has lost the leader knows it about when the others elect a new one.
	SilenceMax = 750 * time.Millisecond
	// WriteTimeout is how long one write may take.
	WriteTimeout = time.Second
	// HandshakeTimeout is how long the answer to Hello, or Hello itself, may take.
	HandshakeTimeout = 2 * time.Second
	// bufferKept is the capacity up to which a buffer is used again.
	bufferKept = 1 << 20
	readBuffer = 64 << 10
)

var (
	// ErrSlow says that the peer did not read what was sent to it.
	ErrSlow = fmt.Errorf("stream: the other side does not read: %d bytes wait for it", OutgoingBytesMax)
	// ErrClosed says that this side has closed the connection.
	ErrClosed = errors.New("stream: closed by this side")
)

// Traffic counts what went over connections. Several may share one.
type Traffic struct {
	MessagesIn, MessagesOut atomic.Uint64
	BytesIn, BytesOut       atomic.Uint64
}

// Link is one connection between two nodes. Send and Close are safe for concurrent use; Read is for one goroutine.
type Link struct {
	conn    net.Conn
	traffic *Traffic
	in      *bufio.Reader
	body    []byte
	rest    []*wire.Message // came in one frame with the answer to Hello

	mu       sync.Mutex
	out      batch
	spare    []byte
	err      error // why it ended; nil while it is open
	draining bool  // close when everything is written
	beat     func() *wire.Message

	wake  chan struct{}
	ended chan struct{} // closed with err
	wrote chan struct{} // closed when the writing goroutine has ended
}

// NewLink takes a connection over and starts its writer. Close ends it, and so does the first error of either direction.
func NewLink(conn net.Conn, traffic *Traffic) *Link {
	l := &Link{
		conn: conn, traffic: traffic, in: bufio.NewReaderSize(conn, readBuffer),
		wake: make(chan struct{}, 1), ended: make(chan struct{}), wrote: make(chan struct{}),
	}
	go l.write()
	return l
}

// Beat begins to send heartbeats. f gives each; it is called on the writer's goroutine.
func (l *Link) Beat(f func() *wire.Message) {
	l.mu.Lock()
	l.beat = f
	l.mu.Unlock()
}

// Send queues a message. It never blocks; the message belongs to the caller again when it returns. An error means that
// the link is closed, or has just been closed because the peer does not read.
func (l *Link) Send(m *wire.Message) error {
	l.mu.Lock()
	if l.err != nil || l.draining {
		defer l.mu.Unlock()
		return errors.Join(l.err, ErrClosed)
	}
	first := len(l.out.bytes) == 0
	err := l.out.add(m)
	if err == nil && len(l.out.bytes) > OutgoingBytesMax {
		err = ErrSlow
	}
	l.mu.Unlock()
	if err != nil {
		l.Close(err)
		return err
	}
	l.traffic.MessagesOut.Add(1)
	if first {
		l.rouse()
	}
	return nil
}

func (l *Link) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Read waits for the next frame, at most SilenceMax.
func (l *Link) Read() ([]*wire.Message, error) {
	if rest := l.rest; len(rest) > 0 {
		l.rest = nil
		return rest, nil
	}
	return l.read(SilenceMax)
}

func (l *Link) read(limit time.Duration) ([]*wire.Message, error) {
	if err := l.conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return nil, l.broken(err)
	}
	var err error
	if l.body, err = readFrame(l.in, l.body); err != nil {
		return nil, l.broken(err)
	}
	all, err := decode(l.body)
	if err != nil {
		return nil, l.broken(err)
	}
	l.traffic.BytesIn.Add(uint64(headBytes + len(l.body)))
	l.traffic.MessagesIn.Add(uint64(len(all)))
	if cap(l.body) > bufferKept {
		l.body = nil
	}
	return all, nil
}

// broken closes the link with the first error, and gives that one.
func (l *Link) broken(err error) error {
	l.Close(fmt.Errorf("stream: the connection broke: %w", err))
	return l.Err()
}

// Close ends the link at once; nil stands for ErrClosed. What is queued is lost. The first reason stays.
func (l *Link) Close(why error) {
	if why == nil {
		why = ErrClosed
	}
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	l.err = why
	l.out = batch{}
	l.mu.Unlock()
	close(l.ended)
	l.conn.Close()
}

// Drain takes no more messages, and closes the link when what is queued is written, or cannot be within WriteTimeout.
func (l *Link) Drain() {
	l.mu.Lock()
	l.draining = true
	l.mu.Unlock()
	l.rouse()
}

// Err tells why the link ended; nil while it is open.
func (l *Link) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Ended is closed when the link has ended.
func (l *Link) Ended() <-chan struct{} { return l.ended }

// Wait returns when the link has ended and its writer with it.
func (l *Link) Wait() {
	<-l.ended
	<-l.wrote
}

// write is the writer's goroutine.
func (l *Link) write() {
	defer close(l.wrote)
	ticker := time.NewTicker(HeartbeatEvery)
	defer ticker.Stop()
	for {
		select {
		case <-l.wake:
		case <-ticker.C:
			l.mu.Lock()
			beat := l.beat
			l.mu.Unlock()
			if beat == nil {
				continue
			}
			l.Send(beat())
		case <-l.ended:
			return
		}
		// Whoever is about to add something does it now: one write for all. It is worth half of the throughput.
		runtime.Gosched()
		if !l.flush() {
			return
		}
	}
}

// flush writes what is queued, and reports whether the link goes on.
func (l *Link) flush() bool {
	for {
		l.mu.Lock()
		b, done := l.out.bytes, l.draining
		l.out = batch{bytes: l.spare[:0]}
		l.spare = nil
		l.mu.Unlock()
		if len(b) == 0 {
			if done {
				l.Close(nil)
				return false
			}
			l.keep(b)
			return true
		}
		if err := l.conn.SetWriteDeadline(time.Now().Add(WriteTimeout)); err != nil {
			l.broken(err)
			return false
		}
		if _, err := l.conn.Write(b); err != nil {
			l.broken(err)
			return false
		}
		l.traffic.BytesOut.Add(uint64(len(b)))
		l.keep(b)
	}
}

// keep puts a written buffer aside for the next frames, unless it has grown out of proportion.
func (l *Link) keep(b []byte) {
	if cap(b) > bufferKept {
		return
	}
	l.mu.Lock()
	if l.spare == nil {
		l.spare = b[:0]
	}
	l.mu.Unlock()
}
