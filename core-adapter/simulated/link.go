package simulated

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"netbank/core-adapter/iso8583"
)

// link is one connection of the wire.
type link struct {
	server *Server
	conn   net.Conn
	signed bool // owned by the reader

	mu      sync.Mutex      // guards the three below
	out     []byte          // answers not yet written
	answer  iso8583.Message // the one that is being made
	ended   bool
	pending chan struct{} // holds one token when out is not empty
	gone    chan struct{} // closed by end
}

var (
	errSilent      = errors.New("no sign-on, or no message, for longer than is allowed; send an echo every 30 s")
	errNotSignedOn = errors.New("a message before the sign-on")
	errSlowPeer    = errors.New("the peer does not read its answers")
)

func newLink(s *Server, conn net.Conn) *link {
	return &link{server: s, conn: conn, pending: make(chan struct{}, 1), gone: make(chan struct{})}
}

// end closes the connection, once, and logs why if its peer did wrong. Requests of the link go on.
func (k *link) end(reason error) {
	k.mu.Lock()
	first := !k.ended
	if first {
		k.ended = true
		close(k.gone)
	}
	k.mu.Unlock()
	if !first {
		return
	}
	// The bare connection: closing TLS in order may wait for a peer that does not read, and the caller may be the ledger.
	if secured, ok := k.conn.(*tls.Conn); ok {
		secured.NetConn().Close()
	} else {
		k.conn.Close()
	}
	k.server.forget(k)
	if reason != nil {
		k.server.counts.closedForCause.Add(1)
		k.server.cfg.Logger.Warn("core: connection closed", "peer", k.conn.RemoteAddr().String(), "reason", reason.Error())
	}
}

// read takes messages until the connection ends.
func (k *link) read() {
	defer k.server.waiting.Done()
	in := bufio.NewReaderSize(k.conn, 64<<10)
	buf := make([]byte, iso8583.MaxMessage)
	deadline := time.Now().Add(k.server.cfg.Limits.SignOn)
	k.conn.SetReadDeadline(deadline)
	for {
		if k.signed && time.Until(deadline) < k.server.cfg.Limits.Silence/2 {
			// Not before every message: moving a deadline costs more than parsing one.
			deadline = time.Now().Add(k.server.cfg.Limits.Silence)
			k.conn.SetReadDeadline(deadline)
		}
		frame, err := iso8583.ReadFrame(in, buf)
		if err != nil {
			k.end(worthLogging(err))
			return
		}
		if !k.thawed() {
			return
		}
		if err := k.take(frame); err != nil {
			k.end(err)
			return
		}
	}
}

// worthLogging keeps what the peer did wrong: an orderly or abrupt end of the connection between messages is no fault.
func worthLogging(err error) error {
	for _, ordinary := range []error{io.EOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, ordinary) {
			return nil
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errSilent
	}
	return err
}

// thawed waits while the host is frozen, and reports whether the link still stands.
func (k *link) thawed() bool {
	for {
		thaw := k.server.settings.Load().thawed
		if thaw == nil {
			return true
		}
		select {
		case <-thaw:
		case <-k.gone:
			return false
		}
	}
}

// queue makes room for an answer: fill sets its fields. It reports whether the link still stood.
func (k *link) queue(mti iso8583.MTI, fill func(*iso8583.Message)) bool {
	k.mu.Lock()
	if k.ended {
		k.mu.Unlock()
		return false
	}
	k.answer.Reset(mti)
	fill(&k.answer)
	out, err := k.answer.AppendTo(k.out)
	k.out = out
	full := len(k.out) > k.server.cfg.Limits.OutBytes
	k.mu.Unlock()
	if err != nil {
		k.end(err)
		return false
	}
	if full {
		k.end(errSlowPeer)
		return false
	}
	select {
	case k.pending <- struct{}{}:
	default:
	}
	return true
}

// write sends answers, as many at once as are there.
func (k *link) write() {
	defer k.server.waiting.Done()
	var sending []byte
	for {
		select {
		case <-k.pending:
		case <-k.gone:
			return
		}
		if !k.thawed() {
			return
		}
		runtime.Gosched() // lets the ledger hand over the rest of its batch: one write instead of many
		k.mu.Lock()
		sending, k.out = k.out, sending[:0]
		k.mu.Unlock()
		if len(sending) == 0 {
			continue
		}
		k.conn.SetWriteDeadline(time.Now().Add(k.server.cfg.Limits.Write))
		if _, err := k.conn.Write(sending); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				err = errSlowPeer
			} else {
				err = nil
			}
			k.end(err)
			return
		}
	}
}
