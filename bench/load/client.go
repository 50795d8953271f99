package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Waits of a client.
const (
	// DefaultTimeout is how long a request may take before the connection is given up.
	DefaultTimeout = 20 * time.Second
	// idleMax is how long a connection may have been idle before it is opened anew: servers close idle ones, and a request
	// that meets this would look like a failure of theirs.
	idleMax = 8 * time.Second
	// lookAfter is how long a connection may have been idle before it is looked at whether the server has closed it, as browsers do: a request
	// on a connection that was closed in order is no failure of the server's.
	lookAfter = 10 * time.Millisecond
	// dialsAtOnce bounds the handshakes under way while a pool is opened.
	dialsAtOnce = 64
	dialTimeout = 10 * time.Second
)

// Dialer says how connections to one server are made.
type Dialer struct {
	Addr    string
	TLS     *tls.Config   // nil: plain
	Timeout time.Duration // of a request; 0: DefaultTimeout
	// Dial replaces net.Dialer in tests.
	Dial func(ctx context.Context) (net.Conn, error)
}

// ErrUnreached says that no connection could be made, so that the server knows nothing of the request.
var ErrUnreached = errors.New("load: no connection")

func (d *Dialer) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if d.Dial != nil {
		c, err := d.Dial(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnreached, err)
		}
		return c, nil
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", d.Addr)
	switch {
	case noHandle(err):
		return nil, fmt.Errorf("%w: %w; allow more open files (ulimit -n), or share the load among more processes", ErrUnreached, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnreached, err)
	}
	if d.TLS == nil {
		return c, nil
	}
	secured := tls.Client(c, d.TLS)
	if err := secured.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("%w: %s: %w", ErrUnreached, d.Addr, err)
	}
	return secured, nil
}

// Client is one kept-alive connection, opened anew after a failure. One goroutine uses it at a time.
type Client struct {
	// Index is the client's place in its pool, so that work can keep something per connection.
	Index int
	// Scratch is for the work to build requests in.
	Scratch []byte

	dialer   *Dialer
	conn     net.Conn
	in       []byte
	response Response
	used     time.Time // when the connection was last used
	until    time.Time // deadline that is set on it
	opened   atomic.Int64
	// lean clients wait for an answer with no more than few bytes, and get the rest of it into a buffer when it comes: thousands of
	// requests that a server lets wait then cost little. That is a system call more for answers that are longer.
	lean bool
	few  [fewBytes]byte
}

const (
	// firstBuffer holds most pages.
	firstBuffer = 16 << 10
	// fewBytes hold a redirect, or the status of a payment.
	fewBytes = 512
)

// buffers are what clients read into. One of a pool keeps its own from request to request.
var buffers = sync.Pool{New: func() any { return new([firstBuffer]byte) }}

func newClient(d *Dialer, index int) *Client { return &Client{dialer: d, Index: index} }

func (c *Client) open(ctx context.Context) error {
	conn, err := c.dialer.dial(ctx)
	if err != nil {
		return err
	}
	c.conn, c.used, c.until = conn, time.Now(), time.Time{}
	c.opened.Add(1)
	return nil
}

// Close closes the connection; the next request opens it again.
func (c *Client) Close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// rest gives back what an idle client need not hold.
func (c *Client) rest() {
	c.buffer(nil)
	c.Scratch, c.response = nil, Response{}
}

// buffer changes what the client reads into, and gives back what it had.
func (c *Client) buffer(in []byte) {
	if len(c.in) == firstBuffer {
		buffers.Put((*[firstBuffer]byte)(c.in))
	}
	c.in = in
}

// grow makes room for an answer of size bytes, of which n are there.
func (c *Client) grow(n, size int) {
	var grown []byte
	if size <= firstBuffer {
		grown = buffers.Get().(*[firstBuffer]byte)[:]
	} else {
		grown = make([]byte, size)
	}
	copy(grown, c.in[:n])
	c.buffer(grown)
}

// Do sends a request, which is one whole HTTP/1.1 message, and reads its answer. An error means that it is not known
// whether the server acted on it, unless it is ErrUnreached; the connection is then closed.
func (c *Client) Do(request []byte) (*Response, error) { return c.do(request, 0) }

// DoWithin is Do with a patience of its own instead of the dialer's timeout. When it ends the connection is closed, as by a customer
// who reloads a page; the server may well go on with the request.
func (c *Client) DoWithin(request []byte, patience time.Duration) (*Response, error) {
	if patience <= 0 {
		return nil, fmt.Errorf("load: a patience of %v; let it be longer", patience)
	}
	return c.do(request, patience)
}

func (c *Client) do(request []byte, patience time.Duration) (*Response, error) {
	now := time.Now()
	if idle := now.Sub(c.used); c.conn != nil && (idle > idleMax || idle > lookAfter && hungUp(c.conn)) {
		c.Close()
	}
	if c.conn == nil {
		ctx, cancel := context.Background(), func() {}
		if patience > 0 {
			ctx, cancel = context.WithDeadline(ctx, now.Add(patience))
		}
		err := c.open(ctx)
		cancel()
		if err != nil {
			return nil, err
		}
	}
	r, err := c.exchange(request, now, patience)
	if err != nil {
		c.Close()
		return nil, err
	}
	return r, nil
}

// deadline moves the connection's deadline on. Setting one costs as much as a small request's parsing, so it may stay where it is
// when the dialer's timeout is then cut by no more than an eighth and a second. A customer's patience is kept exactly.
func (c *Client) deadline(now time.Time, patience time.Duration) error {
	var until time.Time
	if patience > 0 {
		if until = now.Add(patience); until.Equal(c.until) {
			return nil
		}
	} else {
		timeout := c.dialer.Timeout
		if timeout == 0 {
			timeout = DefaultTimeout
		}
		if until = now.Add(timeout); !until.Before(c.until) && until.Sub(c.until) <= min(timeout/8, time.Second) {
			return nil
		}
	}
	if err := c.conn.SetDeadline(until); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	c.until = until
	return nil
}

func (c *Client) exchange(request []byte, now time.Time, patience time.Duration) (*Response, error) {
	if err := c.deadline(now, patience); err != nil {
		return nil, err
	}
	switch {
	case c.lean:
		c.buffer(c.few[:])
	case c.in == nil:
		c.grow(0, firstBuffer)
	}
	if _, err := c.conn.Write(request); err != nil {
		return nil, fmt.Errorf("load: sending: %w", err)
	}
	r, keep, err := c.read()
	if err != nil {
		return nil, err
	}
	c.used = time.Now() // the answer may have taken longer than a connection may be idle
	if !keep {
		c.Close()
	}
	return r, nil
}

// read reads one answer, and refuses bytes that follow it: nothing is sent ahead, so nothing more can be due.
func (c *Client) read() (r *Response, keep bool, err error) {
	n := 0
	var h head
	for ok := false; !ok; {
		if n == len(c.in) {
			c.grow(n, max(2*len(c.in), firstBuffer))
		}
		got, err := c.conn.Read(c.in[n:])
		if n += got; got > 0 {
			if h, ok, err = readHead(c.in[:n]); err != nil {
				return nil, false, err
			}
			continue
		}
		if err != nil {
			return nil, false, fmt.Errorf("load: receiving: %w", err)
		}
	}
	total := h.size + h.body
	if total > len(c.in) {
		c.grow(n, total)
		end := h.size - len(headEnd) + 2
		h.lines = c.in[end-len(h.lines) : end]
	}
	for n < total {
		got, err := c.conn.Read(c.in[n:total])
		if n += got; got == 0 && err != nil {
			return nil, false, fmt.Errorf("load: receiving: %w", err)
		}
	}
	if n > total {
		return nil, false, fmt.Errorf("%w: %d bytes follow the answer", ErrMalformed, n-total)
	}
	c.response = Response{Status: h.status, Body: c.in[h.size:total], head: h.lines}
	return &c.response, !h.close, nil
}

// Pool is a number of clients of one server.
type Pool struct {
	Clients []*Client
	dialer  Dialer
}

// Bounds of a pool.
const ConnectionsMax = 100_000

// NewPool opens connections to a server, all of them before it returns, so that no handshake is measured.
func NewPool(ctx context.Context, d Dialer, connections int) (*Pool, error) {
	if connections < 1 || connections > ConnectionsMax {
		return nil, fmt.Errorf("load: %d connections; 1 to %d can be opened", connections, ConnectionsMax)
	}
	p := &Pool{dialer: d}
	for i := range connections {
		p.Clients = append(p.Clients, newClient(&p.dialer, i))
	}
	if err := p.Open(ctx); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// First is a pool of the first clients of this one, for work that more at once would only have refused. The two must not be
// used at the same time.
func (p *Pool) First(connections int) *Pool {
	return &Pool{Clients: p.Clients[:min(max(connections, 1), len(p.Clients))]}
}

// Open opens what is closed or has been idle for too long.
func (p *Pool) Open(ctx context.Context) error { return openAll(ctx, p.Clients) }

// openAll opens clients, several at once.
func openAll(ctx context.Context, clients []*Client) error {
	var (
		wait sync.WaitGroup
		lock sync.Mutex
		errs []error
	)
	next := make(chan *Client)
	for range min(dialsAtOnce, len(clients)) {
		wait.Go(func() {
			for c := range next {
				if c.conn != nil && time.Since(c.used) > idleMax {
					c.Close()
				}
				if c.conn != nil {
					continue
				}
				if err := c.open(ctx); err != nil {
					lock.Lock()
					errs = append(errs, err)
					lock.Unlock()
				}
			}
		})
	}
	for _, c := range clients {
		next <- c
	}
	close(next)
	wait.Wait()
	if len(errs) > 0 {
		return fmt.Errorf("load: %d of %d connections cannot be opened: %w", len(errs), len(clients), errs[0])
	}
	return nil
}

// Reopened is how many connections had to be opened again since the pool was made.
func (p *Pool) Reopened() int {
	n := 0
	for _, c := range p.Clients {
		n += max(0, int(c.opened.Load())-1)
	}
	return n
}

// Close closes the connections.
func (p *Pool) Close() {
	for _, c := range p.Clients {
		c.Close()
	}
}

// noHandle says whether the process, or the system, has no file handle left.
func noHandle(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// Reason names an error in a few words that do not differ from request to request, for counting.
func Reason(err error) string {
	var timed net.Error
	switch {
	case errors.Is(err, ErrMalformed):
		return "malformed answer"
	case errors.Is(err, ErrTooLarge):
		return "answer too large"
	case noHandle(err):
		return "no file handle left for a connection (ulimit -n)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no local port left for a connection"
	case errors.Is(err, ErrLinesClosed):
		return "closed"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timed) && timed.Timeout():
		return "timeout"
	case errors.Is(err, net.ErrClosed):
		return "closed"
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return "connection: " + op.Op
	}
	if errors.Is(err, ErrUnreached) {
		return "no connection"
	}
	return "connection ended"
}
