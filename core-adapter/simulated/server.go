package simulated

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"netbank/core-adapter/simulated/congestion"
	"netbank/core-adapter/simulated/ledger"
)

// ErrServerClosed is what Serve returns after Close.
var ErrServerClosed = errors.New("simulated: the core host is closed")

// Server is one simulated core host. It is safe for concurrent use.
type Server struct {
	cfg    Config
	ledger *ledger.Ledger
	driver *congestion.Driver

	settings atomic.Pointer[settings]
	inFlight atomic.Int64 // requests inside
	counts   counts

	mu       sync.Mutex // guards the four below
	links    map[*link]struct{}
	listener net.Listener
	closed   bool
	waiting  sync.WaitGroup // goroutines of links

	running  runningDebits
	requests sync.Pool // of *request

	dice struct {
		sync.Mutex
		random  *rand.Rand
		demands *congestion.Demands
	}
}

// settings is what can be changed at run time, replaced as a whole so that readers need no lock.
type settings struct {
	model   Model
	faults  Faults
	decline ledger.Code
	thawed  chan struct{} // nil unless frozen; closed at the thaw
}

// counts are counters since the start.
type counts struct {
	accepted, refused, closedForCause      atomic.Uint64
	debits, balances, inquiries, reversals atomic.Uint64
	overflowed, answered, dropped, doubled atomic.Uint64
	unsent                                 atomic.Uint64 // answers whose connection was gone
}

// NewServer opens the ledger in cfg.Dir and starts the model. Close lets go of both.
func NewServer(cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	books, err := ledger.Open(ledger.Options{Dir: cfg.Dir, NoSync: !cfg.Sync, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	driver, err := congestion.NewDriver(cfg.Model.Model)
	if err != nil {
		return nil, errors.Join(err, books.Close())
	}
	s := &Server{cfg: cfg, ledger: books, driver: driver, links: map[*link]struct{}{}}
	s.requests.New = func() any { return new(request) }
	s.running.first = map[ledger.Reference]*request{}
	s.settings.Store(&settings{})
	if err := errors.Join(s.SetModel(cfg.Model), s.SetFaults(cfg.Faults)); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Ledger gives the ledger behind the host.
func (s *Server) Ledger() *ledger.Ledger { return s.ledger }

// Model gives the model in force.
func (s *Server) Model() Model { return s.settings.Load().model }

// SetModel changes the model. Requests inside keep the work that they have left.
func (s *Server) SetModel(m Model) error {
	if err := m.Validate(); err != nil {
		return err
	}
	s.dice.Lock()
	defer s.dice.Unlock()
	if err := s.driver.SetModel(m.Model); err != nil {
		return err
	}
	s.dice.random = rand.New(rand.NewPCG(m.Seed, 0x64696365))
	s.dice.demands = congestion.NewDemands(m.CV, m.Seed)
	next := *s.settings.Load()
	next.model = m
	s.settings.Store(&next)
	return nil
}

// Faults gives the faults in force.
func (s *Server) Faults() Faults { return s.settings.Load().faults }

// SetFaults changes the faults, all of them.
func (s *Server) SetFaults(f Faults) error {
	if err := f.Validate(); err != nil {
		return err
	}
	s.dice.Lock()
	defer s.dice.Unlock()
	before := s.settings.Load()
	next := *before
	next.faults, next.decline = f, ledger.Code{}
	if f.Decline != "" {
		next.decline = ledger.Code{f.Decline[0], f.Decline[1]}
	}
	capacity := f.Capacity
	if f.Freeze {
		capacity = 0
		if next.thawed == nil {
			next.thawed = make(chan struct{})
		}
	} else {
		next.thawed = nil
	}
	if err := s.driver.SetCapacity(capacity); err != nil {
		return err
	}
	s.settings.Store(&next)
	if before.thawed != nil && next.thawed == nil {
		close(before.thawed)
	}
	return nil
}

// chance throws a die.
func (s *Server) chance(p float64) bool {
	if p <= 0 {
		return false
	}
	s.dice.Lock()
	defer s.dice.Unlock()
	return s.dice.random.Float64() < p
}

// draw gives the work of one request.
func (s *Server) draw(mean time.Duration) time.Duration {
	if s.settings.Load().model.Kind == congestion.Fixed {
		return 0 // the model does not look at it
	}
	s.dice.Lock()
	defer s.dice.Unlock()
	return s.dice.demands.Draw(mean)
}

// Serve accepts connections until Close, and then returns ErrServerClosed. It closes the listener.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrServerClosed
	}
	s.listener = l
	s.mu.Unlock()
	pause := time.Duration(0)
	for {
		conn, err := l.Accept()
		if err != nil {
			if s.isClosed() {
				return ErrServerClosed
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			// Out of file handles, most likely: closing connections give some back.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.cfg.Logger.Warn("core: accepting a connection failed", "err", err, "pause", pause)
			time.Sleep(pause)
			continue
		}
		pause = 0
		s.admit(conn)
	}
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *Server) admit(conn net.Conn) {
	if s.settings.Load().faults.RefuseConnections {
		s.counts.refused.Add(1)
		reset(conn)
		return
	}
	s.mu.Lock()
	if s.closed || len(s.links) >= s.cfg.Limits.Connections {
		full := !s.closed
		s.mu.Unlock()
		s.counts.refused.Add(1)
		if full {
			s.cfg.Logger.Warn("core: connection refused, too many are open", "peer", conn.RemoteAddr().String(), "limit", s.cfg.Limits.Connections)
		}
		reset(conn)
		return
	}
	k := newLink(s, conn)
	s.links[k] = struct{}{}
	s.waiting.Add(2)
	s.mu.Unlock()
	s.counts.accepted.Add(1)
	go k.read()
	go k.write()
}

// reset closes a connection so that its peer sees a refusal, not an orderly end.
func reset(conn net.Conn) {
	if tcp, ok := conn.(interface{ SetLinger(int) error }); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

func (s *Server) forget(k *link) {
	s.mu.Lock()
	delete(s.links, k)
	s.mu.Unlock()
}

// CloseConnections closes every open connection, as a core that restarts its line would, and says how many. Work inside goes on.
func (s *Server) CloseConnections() int {
	s.mu.Lock()
	open := make([]*link, 0, len(s.links))
	for k := range s.links {
		open = append(open, k)
	}
	s.mu.Unlock()
	for _, k := range open {
		k.end(nil)
	}
	return len(open)
}

// Close stops the host: the port, the connections, the work inside (which is then as if it had never begun, unless its
// record is written), and the ledger.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	if s.listener != nil {
		s.listener.Close()
	}
	s.mu.Unlock()
	s.CloseConnections()
	s.waiting.Wait()
	s.driver.Close()
	return s.ledger.Close()
}
