package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"netbank/cluster/journal"
	"netbank/cluster/kek"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits that end at once when all is well.
const patience = 20 * time.Second

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !so(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", patience, what)
		}
	}
}

// lines collects what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// rig is a cluster's member list, authority, clock and journal of tokens, as the callers of this package have them.
type rig struct {
	t   testing.TB
	log *lines

	mu          sync.Mutex
	now         time.Time
	authority   *Authority // that issues
	authorities [][]byte   // that are trusted
	addrs       map[journal.NodeID]string
	removed     map[journal.NodeID]bool
	tokens      map[TokenID]TokenRecord
	used        map[TokenID]Fingerprint
	numbers     map[Fingerprint]journal.NodeID
	last        journal.NodeID
	registries  map[*Port]*prometheus.Registry
	leaderless  bool
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{
		t: t, log: &lines{}, now: time.Now(), addrs: make(map[journal.NodeID]string), removed: make(map[journal.NodeID]bool),
		tokens: make(map[TokenID]TokenRecord), used: make(map[TokenID]Fingerprint), numbers: make(map[Fingerprint]journal.NodeID), last: 100,
		registries: make(map[*Port]*prometheus.Registry),
	}
	r.authority = must(NewAuthority("main", r.clock()))
	r.authorities = [][]byte{r.authority.Certificate()}
	return r
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) advance(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func (r *rig) identity(node journal.NodeID, role Role) *Identity {
	r.t.Helper()
	return must(r.authority.Identity(Subject{"main", node, role}, r.clock()))
}

func (r *rig) admitted(p Peer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.removed[p.Node] {
		return fmt.Errorf("%s was removed", p)
	}
	return nil
}

func (r *rig) addressOf(node journal.NodeID) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if addr, ok := r.addrs[node]; ok {
		return addr, nil
	}
	return "", errors.New("not in the member list")
}

func (r *rig) setAddr(node journal.NodeID, addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addrs[node] = addr
}

// enrol is what a journal would do: the same key gets the same node, a token of one use lets one key in.
func (r *rig) enrol(_ context.Context, e Enrolment) (Granted, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leaderless {
		return Granted{}, errors.New("no leader")
	}
	if by, ok := r.used[e.Token]; ok && by != e.Key && !r.tokens[e.Token].Multiple {
		return Granted{}, ErrTokenUsed
	}
	node, ok := r.numbers[e.Key]
	if !ok {
		r.last++
		node = r.last
		r.numbers[e.Key] = node
	}
	r.used[e.Token] = e.Key
	if e.Addr != "" {
		r.addrs[node] = e.Addr
	}
	return r.grant(e.Request, Subject{"main", node, e.Role})
}

func (r *rig) renew(_ context.Context, renewal Renewal) (Granted, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leaderless {
		return Granted{}, errors.New("no leader")
	}
	if renewal.Addr != "" {
		r.addrs[renewal.From.Node] = renewal.Addr
	}
	return r.grant(renewal.Request, Subject{"main", renewal.From.Node, renewal.From.Role})
}

// grant needs r.mu.
func (r *rig) grant(request []byte, to Subject) (Granted, error) {
	issued, err := r.authority.Issue(request, to, r.now)
	if err != nil {
		return Granted{}, err
	}
	g := Granted{Node: to.Node, Certificate: issued.Certificate, Authorities: r.authorities}
	for node, addr := range r.addrs {
		g.Members = append(g.Members, Member{Node: node, Role: Coordinator, Addr: addr})
	}
	return g, nil
}

func (r *rig) token(id TokenID) (TokenRecord, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	record, ok := r.tokens[id]
	return record, ok
}

func (r *rig) newToken(terms TokenTerms) Token {
	r.t.Helper()
	id := r.identity(1, Coordinator)
	id = must(id.Trusting(r.authorities...))
	token, record, err := NewToken(id, terms, r.clock())
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens[token.ID] = record
	return token
}

// echo serves a stream by giving back what comes.
func echo(_ Peer, c net.Conn) { _, _ = io.Copy(c, c) }

// config is that of a coordinator that offers everything, or of a worker.
func (r *rig) config(node journal.NodeID, role Role) Config {
	c := Config{
		Identity: r.identity(node, role), Admitted: r.admitted, AddressOf: r.addressOf, Stream: echo, Now: r.clock,
		Logger: slog.New(slog.NewTextHandler(r.log, nil)), Registerer: prometheus.NewRegistry(),
	}
	if role == Coordinator {
		c.Token, c.Enrol, c.Renew = r.token, r.enrol, r.renew
	}
	return c
}

// listen opens a port on loopback, tells the cluster its address, and closes it at the end.
func (r *rig) listen(node journal.NodeID, cfg Config) *Port {
	r.t.Helper()
	p, err := Listen("127.0.0.1:0", cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := p.Close(); err != nil {
			r.t.Error(err)
		}
	})
	r.setAddr(node, p.Addr().String())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.registries[p], _ = cfg.Registerer.(*prometheus.Registry)
	return p
}

func (r *rig) port(node journal.NodeID, role Role) *Port {
	r.t.Helper()
	return r.listen(node, r.config(node, role))
}

// dial must succeed.
func (r *rig) dial(p *Port, node journal.NodeID, alpn string) *Conn {
	r.t.Helper()
	c, err := p.Dial(r.t.Context(), node, alpn)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

// refuses must fail with an error, in so many words.
func (r *rig) refuses(p *Port, node journal.NodeID, alpn string, want error, words ...string) {
	r.t.Helper()
	c, err := p.Dial(r.t.Context(), node, alpn)
	if err == nil {
		c.Close()
		r.t.Fatalf("the dial for %s succeeded, want %v", alpn, want)
	}
	if !errors.Is(err, want) {
		r.t.Fatalf("the dial for %s gave %v, want %v", alpn, err, want)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			r.t.Fatalf("the error does not say %q: %v", w, err)
		}
	}
}

// handshakes gives how many of the port's handshakes ended so.
func handshakes(p *Port, of result) int {
	return int(testutil.ToFloat64(p.metrics.handshakes[of]))
}

// counted waits until so many handshakes of a port have ended so.
func counted(t testing.TB, p *Port, of result, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d handshakes end with %q", n, resultNames[of]), func() bool { return handshakes(p, of) == n })
}

// says must get back what it sends.
func says(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if err := exchangeText(c, text); err != nil {
		t.Fatal(err)
	}
}

func exchangeText(c net.Conn, text string) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != text {
		return fmt.Errorf("sent %q, got %q", text, got)
	}
	return nil
}

// ended waits until the other side has closed a connection.
func ended(t testing.TB, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	for buf := make([]byte, 512); ; {
		_, err := c.Read(buf)
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			t.Fatalf("the connection is still open after %v", patience)
		}
		if err != nil {
			return
		}
	}
}

func sealer(secret byte) *kek.Key { return must(kek.New(bytes.Repeat([]byte{secret}, kek.Size))) }
