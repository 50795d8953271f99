package ops

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Waits of the port's connections.
const (
	// HeaderTimeout bounds a TLS handshake, and the sending of a request's header.
	HeaderTimeout = 5 * time.Second
	// AnswerTimeout bounds a request that is no import, export or backup, body and answer included.
	AnswerTimeout = 45 * time.Second
	// StreamTimeout is how long the reader of a long answer may take none of it.
	StreamTimeout = time.Minute
	// IdleTimeout is how long a connection may wait for its next request.
	IdleTimeout = 30 * time.Second
)

// Server is the port itself. It listens and answers from the first moment: before the bank is open, without a leader, and when the
// doors for customers and partners are full, with whom it shares nothing.
type Server struct {
	http    *http.Server
	room    *room
	handler atomic.Pointer[http.Handler]
	served  chan error
}

// Serve answers on l, with Starting until Handle says otherwise. It owns l. config is that of ServerTLS; nil: plain HTTP, for
// loopback only.
func Serve(l net.Listener, config *tls.Config, logger *slog.Logger) *Server {
	return serve(l, config, logger, ConnectionsMax)
}

func serve(l net.Listener, config *tls.Config, logger *slog.Logger, connections int) *Server {
	s := &Server{served: make(chan error, 1), room: newRoom(connections)}
	s.Handle(Starting())
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	s.http = &http.Server{
		Handler:        http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.answer(w, r) }),
		MaxHeaderBytes: HeaderBytesMax, ReadHeaderTimeout: HeaderTimeout, ReadTimeout: ReadTimeout, IdleTimeout: IdleTimeout,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn), Protocols: &protocols,
		ConnContext: s.room.enter, ConnState: s.room.turn,
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	go func() { s.served <- s.http.Serve(l) }()
	return s
}

// Handle changes what answers.
func (s *Server) Handle(h http.Handler) { s.handler.Store(&h) }

// Served gives the error that ended the port, once.
func (s *Server) Served() <-chan error { return s.served }

// Shutdown waits for the requests under way until ctx is done, and then for no more.
func (s *Server) Shutdown(ctx context.Context) {
	if err := s.http.Shutdown(ctx); err != nil {
		s.Close()
	}
}

// Close ends everything at once.
func (s *Server) Close() { _ = s.http.Close() }

func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	s.room.begin(r.Context())
	// What bounded the answer before on this connection is no bound of this one.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	(*s.handler.Load()).ServeHTTP(w, r)
}

// room keeps a place for who comes: of the connections that wait for a request, the one that has waited longest makes way. Without
// it, as many idle connections as the port takes would keep balancers and operators out.
type room struct {
	lock    sync.Mutex
	max     int
	guests  map[net.Conn]*guest
	evicted atomic.Uint64 // made way for another
	refused atomic.Uint64 // were closed, since every other connection was being answered
}

type guest struct {
	since  time.Time // it waits for a request, or sends its header
	served bool      // a handler is at work for it
}

func newRoom(limit int) *room {
	return &room{max: limit, guests: make(map[net.Conn]*guest, limit)}
}

type guestKey struct{}

// enter is the server's ConnContext: it gives a new connection its place.
func (o *room) enter(ctx context.Context, c net.Conn) context.Context {
	o.lock.Lock()
	defer o.lock.Unlock()
	if len(o.guests) >= o.max {
		oldest := c
		for other, g := range o.guests {
			if !g.served && (oldest == c || g.since.Before(o.guests[oldest].since)) {
				oldest = other
			}
		}
		defer shut(oldest) // who sees it finds it counted
		if oldest == c {
			o.refused.Add(1)
			return ctx
		}
		o.evicted.Add(1)
		delete(o.guests, oldest)
	}
	g := &guest{since: time.Now()}
	o.guests[c] = g
	return context.WithValue(ctx, guestKey{}, g)
}

// shut closes the socket below TLS, whose own Close may wait for a peer that does not read.
func shut(c net.Conn) {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	c.Close()
}

// begin notes that a handler is at work for the connection.
func (o *room) begin(ctx context.Context) {
	if g, ok := ctx.Value(guestKey{}).(*guest); ok {
		o.lock.Lock()
		g.served = true
		o.lock.Unlock()
	}
}

// turn is the server's ConnState.
func (o *room) turn(c net.Conn, state http.ConnState) {
	o.lock.Lock()
	defer o.lock.Unlock()
	switch state {
	case http.StateIdle:
		if g, ok := o.guests[c]; ok {
			g.since, g.served = time.Now(), false
		}
	case http.StateClosed, http.StateHijacked:
		delete(o.guests, c)
	}
}

func (o *room) size() int {
	o.lock.Lock()
	defer o.lock.Unlock()
	return len(o.guests)
}
