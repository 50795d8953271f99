package peer

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"netbank/cluster/journal"
)

func TestStreamsCarryBytesBetweenMembers(t *testing.T) {
	r := newRig(t)
	seen := make(chan Peer, 1)
	cfg := r.config(1, Coordinator)
	cfg.Stream = func(p Peer, c net.Conn) {
		seen <- p
		echo(p, c)
	}
	one := r.listen(1, cfg)
	two := r.port(2, Worker)
	c := r.dial(two, 1, ALPNStream)
	says(t, c, "hello")
	if got := <-seen; got.Node != 2 || got.Role != Worker || got.Serial != two.Identity().Serial() {
		t.Fatalf("the handler was told of %+v", got)
	}
	if got := c.Peer(); got.Node != 1 || got.Role != Coordinator || got.Serial != one.Identity().Serial() {
		t.Fatalf("the dialling side was told of %+v", got)
	}
	if v := c.ConnectionState().Version; v != tls.VersionTLS13 {
		t.Fatalf("the connection is TLS %x", v)
	}
	counted(t, one, resultOK, 1)
}

func TestANodeThatListensNowhereDials(t *testing.T) {
	r := newRig(t)
	r.port(1, Coordinator)
	worker, err := Listen("", r.config(2, Worker))
	if err != nil {
		t.Fatal(err)
	}
	defer worker.Close()
	if worker.Addr() != nil {
		t.Fatalf("it listens on %v", worker.Addr())
	}
	says(t, r.dial(worker, 1, ALPNStream), "hello")
}

// stranger dials with settings of its own, and gives how the connection ended.
func stranger(t testing.TB, p *Port, config *tls.Config) error {
	t.Helper()
	config.InsecureSkipVerify = true
	d := tls.Dialer{Config: config, NetDialer: &net.Dialer{Timeout: patience}}
	c, err := d.DialContext(t.Context(), "tcp", p.Addr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	var first [1]byte
	if _, err := io.ReadFull(c, first[:]); err != nil {
		return err
	}
	if first[0] == welcome {
		t.Fatal("a stranger was welcomed")
	}
	return nil
}

// forged signs any certificate with the cluster's own authority, which Issue would never do.
func (r *rig) forged(change func(*x509.Certificate)) tls.Certificate {
	key, _, err := newRequest()
	if err != nil {
		r.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(), NotBefore: r.clock().Add(-time.Hour), NotAfter: r.clock().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
		URIs: []*url.URL{Subject{"main", 2, Coordinator}.uri()},
	}
	change(template)
	der := must(x509.CreateCertificate(rand.Reader, template, r.authority.cert, key.Public(), r.authority.key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// showing always shows a certificate, whether the other side would accept its authority or not.
func showing(c tls.Certificate, alpn ...string) *tls.Config {
	return &tls.Config{NextProtos: alpn, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }}
}

func TestStrangersAreRefused(t *testing.T) {
	r := newRig(t)
	p := r.port(1, Coordinator)
	foreign := must(must(NewAuthority("main", r.clock())).Identity(Subject{"main", 2, Coordinator}, r.clock()))
	own := *r.identity(2, Coordinator).shown
	seen := map[result]int{}
	refuse := func(config *tls.Config, want result, alert uint8) {
		t.Helper()
		err := stranger(t, p, config)
		if err == nil {
			t.Fatal("a stranger was told more than an alert")
		}
		if alert != 0 && !strings.Contains(err.Error(), tls.AlertError(alert).Error()) {
			t.Fatalf("the stranger saw %v, want %v", err, tls.AlertError(alert))
		}
		seen[want]++
		counted(t, p, want, seen[want])
	}
	uri := func(uris ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.URIs = nil
			for _, u := range uris {
				c.URIs = append(c.URIs, must(url.Parse(u)))
			}
		}
	}
	const badCertificate, expired, unknownCA = 42, 45, 48
	for _, alpn := range []string{ALPNRaft, ALPNStream, ALPNRenew} {
		refuse(&tls.Config{NextProtos: []string{alpn}}, resultNoCertificate, badCertificate)
		refuse(showing(*foreign.shown, alpn), resultAuthority, unknownCA)
		refuse(showing(r.forged(func(c *x509.Certificate) { c.NotAfter = r.clock().Add(-time.Second) }), alpn), resultLapsed, expired)
		refuse(showing(r.forged(func(c *x509.Certificate) { c.NotBefore = r.clock().Add(time.Minute) }), alpn), resultLapsed, expired)
		refuse(showing(r.forged(uri("netbank://other/coordinator/2")), alpn), resultCertificate, badCertificate)
		refuse(showing(r.forged(uri("netbank://main/coordinator/2", "netbank://main/coordinator/3")), alpn), resultCertificate, badCertificate)
		refuse(showing(r.forged(uri()), alpn), resultCertificate, badCertificate)
		refuse(showing(r.forged(uri("https://main/coordinator/2")), alpn), resultCertificate, badCertificate)
		refuse(showing(r.forged(func(c *x509.Certificate) { c.DNSNames = []string{"node-2"} }), alpn), resultCertificate, badCertificate)
		refuse(showing(r.forged(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), alpn), resultCertificate, badCertificate)
	}
	refuse(showing(own), resultALPN, 0)
	refuse(showing(own, "h2"), resultALPN, 0)
	refuse(showing(own, ALPNRaft, ALPNStream), resultALPN, 0)
	refuse(showing(own, ALPNJoin, ALPNStream), resultALPN, 0)
	old := showing(own, ALPNStream)
	old.MaxVersion = tls.VersionTLS12
	refuse(old, resultFailed, 0)
	if n := handshakes(p, resultOK); n != 0 {
		t.Fatalf("%d strangers got in", n)
	}
}

func TestAStrangerThatSpeaksNoTLSIsRefused(t *testing.T) {
	r := newRig(t)
	p := r.port(1, Coordinator)
	c := must(net.Dial("tcp", p.Addr().String()))
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: node-1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	ended(t, c)
	counted(t, p, resultFailed, 1)
}

func TestAWorkerGetsNoRaft(t *testing.T) {
	r := newRig(t)
	coordinator := r.port(1, Coordinator)
	worker := r.port(2, Worker)
	transport, err := coordinator.RaftTransport(RaftConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeTransport(t, transport)
	r.refuses(worker, 1, ALPNRaft, ErrRole, "only coordinators", "(worker)")
	counted(t, coordinator, resultRole, 1)
	if _, err := worker.RaftTransport(RaftConfig{}); !errors.Is(err, ErrRole) {
		t.Fatalf("a worker's RaftTransport = %v", err)
	}
	// The other way round the dialling side hangs up.
	r.refuses(coordinator, 2, ALPNRaft, ErrRole)
	r.refuses(coordinator, 2, ALPNRenew, ErrRole)
}

func TestARemovedNodeIsRefusedOnBothSides(t *testing.T) {
	r := newRig(t)
	one, two := r.port(1, Coordinator), r.port(2, Coordinator)
	standing := r.dial(two, 1, ALPNStream)
	says(t, standing, "hello")
	r.mu.Lock()
	r.removed[2] = true
	r.mu.Unlock()
	// Node 2 has not heard of its removal.
	two.cfg.Admitted = func(Peer) error { return nil }
	r.refuses(two, 1, ALPNStream, ErrRemoved, "join again", "node-2 was removed")
	r.refuses(two, 1, ALPNRenew, ErrRemoved)
	r.refuses(one, 2, ALPNStream, ErrRemoved, "node-2 was removed")
	counted(t, one, resultRemoved, 2)
	one.Disconnect(2)
	ended(t, standing)
}

// A node that is removed while its handshake runs: Disconnect comes before the connection has a place, or after.
func TestANodeRemovedDuringItsHandshakeDoesNotStay(t *testing.T) {
	r := newRig(t)
	var one *Port
	var once sync.Once
	cfg := r.config(1, Coordinator)
	cfg.Admitted = func(p Peer) error {
		err := r.admitted(p)
		// The removal comes right behind the question.
		once.Do(func() {
			r.mu.Lock()
			r.removed[p.Node] = true
			r.mu.Unlock()
			one.Disconnect(p.Node)
		})
		return err
	}
	one = r.listen(1, cfg)
	two := r.port(2, Worker)
	c, err := two.Dial(t.Context(), 1, ALPNStream)
	if err == nil {
		ended(t, c)
		c.Close()
	}
	eventually(t, "nothing is open", func() bool {
		one.places.mu.Lock()
		defer one.places.mu.Unlock()
		return len(one.places.open) == 0
	})
	r.refuses(two, 1, ALPNStream, ErrRemoved)

	// The same on the dialling side.
	r.removed[2] = false
	asked := 0
	two.cfg.Admitted = func(p Peer) error {
		if asked++; asked == 2 {
			return errors.New("removed just now")
		}
		return nil
	}
	r.refuses(two, 1, ALPNStream, ErrRemoved, "removed just now")
}

func TestADialEndsWhenAnotherNodeAnswers(t *testing.T) {
	r := newRig(t)
	one, two := r.port(1, Coordinator), r.port(2, Coordinator)
	r.port(3, Coordinator)
	r.setAddr(3, two.Addr().String())
	r.refuses(one, 3, ALPNStream, ErrNode, "node-3 was dialled, node-2 answers", "member list")
	counted(t, two, resultFailed, 1)
}

func TestADialSaysWhatToDo(t *testing.T) {
	r := newRig(t)
	one := r.port(1, Coordinator)
	r.refuses(one, 9, ALPNStream, ErrUnreachable, "not in the member list")
	r.setAddr(9, "127.0.0.1:1")
	r.refuses(one, 9, ALPNStream, ErrUnreachable, "node-9 at 127.0.0.1:1", "check that it runs")
	if _, err := one.Dial(t.Context(), 1, ALPNJoin); err == nil || !strings.Contains(err.Error(), ALPNStream) {
		t.Fatalf("Dial for a join = %v", err)
	}
	// A foreign authority on the dialling side, and lapsed certificates on either.
	lone := newRig(t)
	lone.setAddr(1, one.Addr().String())
	stray := lone.port(2, Coordinator)
	r.refuses(stray, 1, ALPNStream, ErrAuthority, "same cluster")
	both := r.config(3, Coordinator)
	both.Identity = must(lone.identity(3, Coordinator).Trusting(lone.authorities[0], r.authorities[0]))
	r.refuses(r.listen(3, both), 1, ALPNStream, ErrAuthority, "same cluster")
	r.advance(CertificateLifetime + time.Hour)
	late := r.port(4, Coordinator)
	r.refuses(late, 1, ALPNStream, ErrLapsed, "clocks right")
	r.refuses(one, 4, ALPNStream, ErrLapsed, "clocks right")
}

func TestACallersContextEndsItsDial(t *testing.T) {
	r := newRig(t)
	one := r.port(1, Coordinator)
	silent := must(net.Listen("tcp", "127.0.0.1:0"))
	defer silent.Close()
	r.setAddr(2, silent.Addr().String())
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		c, err := silent.Accept()
		cancel()
		if err == nil {
			ended(t, c)
			c.Close()
		}
	}()
	if _, err := one.Dial(ctx, 2, ALPNStream); !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.Canceled) {
		t.Fatalf("Dial = %v", err)
	}
}

// One that welcomes nobody holds the dial no longer than DialTimeout.
func TestADialWaitsForTheWelcomeForABoundedTime(t *testing.T) {
	r := newRig(t)
	cfg := r.config(1, Coordinator)
	cfg.Limits.DialTimeout = 50 * time.Millisecond
	one := r.listen(1, cfg)
	cert := *r.identity(2, Coordinator).shown
	mute := must(tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{ALPNStream}}))
	defer mute.Close()
	r.setAddr(2, mute.Addr().String())
	var served sync.WaitGroup
	defer served.Wait()
	served.Go(func() {
		for {
			c, err := mute.Accept()
			if err != nil {
				return
			}
			if c.(*tls.Conn).Handshake() == nil {
				ended(t, c)
			}
			c.Close()
		}
	})
	r.refuses(one, 2, ALPNStream, ErrUnreachable)
	mute.Close()
}

func TestASlowHandshakeEnds(t *testing.T) {
	r := newRig(t)
	cfg := r.config(1, Coordinator)
	cfg.Limits.HandshakeTimeout = 20 * time.Millisecond
	p := r.listen(1, cfg)
	silent := must(net.Dial("tcp", p.Addr().String()))
	defer silent.Close()
	ended(t, silent)
	counted(t, p, resultSlow, 1)
	// One that finishes the handshake for a join and then says nothing is no better off.
	mute := must(tls.Dial("tcp", p.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{ALPNJoin}}))
	defer mute.Close()
	ended(t, mute)
	counted(t, p, resultSlow, 2)
}

func TestAFloodOfHandshakesPushesOutItsOwn(t *testing.T) {
	r := newRig(t)
	cfg := r.config(1, Coordinator)
	cfg.Limits.Handshakes = 4
	cfg.Limits.HandshakeTimeout = time.Minute
	p := r.listen(1, cfg)
	member := r.port(2, Worker)
	standing := r.dial(member, 1, ALPNStream)
	const flood = 40
	var silent []net.Conn
	for range flood {
		c := must(net.Dial("tcp", p.Addr().String()))
		defer c.Close()
		silent = append(silent, c)
		p.room.mu.Lock()
		if n := p.room.guests.Len(); n > 4 {
			t.Errorf("%d connections wait, the bound is 4", n)
		}
		p.room.mu.Unlock()
	}
	counted(t, p, resultCrowded, flood-4)
	// The room is full of silent strangers: a member gets in, and so does one who joins.
	says(t, r.dial(member, 1, ALPNStream), "hello")
	if _, _, err := Join(t.Context(), JoinConfig{Token: r.newToken(TokenTerms{Addrs: []string{p.Addr().String()}, Role: Worker}), Now: r.clock}); err != nil {
		t.Fatal(err)
	}
	counted(t, p, resultCrowded, flood-3) // the first of the two pushed one out and left its place to the second
	for _, c := range silent[:flood-3] {
		ended(t, c)
	}
	says(t, standing, "still here")
}

func TestStreamsCannotCrowdOutRaft(t *testing.T) {
	r := newRig(t)
	cfg := r.config(1, Coordinator)
	cfg.Limits.Streams = 3
	cfg.Limits.PerNode = 2
	p := r.listen(1, cfg)
	transport := must(p.RaftTransport(RaftConfig{}))
	defer closeTransport(t, transport)
	two, three, four := r.port(2, Worker), r.port(3, Coordinator), r.port(4, Worker)
	first := r.dial(two, 1, ALPNStream)
	r.dial(two, 1, ALPNStream)
	r.refuses(two, 1, ALPNStream, ErrBusy, "docs/limits.md") // PerNode
	r.dial(three, 1, ALPNStream)
	r.refuses(four, 1, ALPNStream, ErrBusy) // Streams
	counted(t, p, resultBusy, 2)
	r.dial(three, 1, ALPNRaft)
	// A place that is given back is there for the next one.
	first.Close()
	eventually(t, "the place is free", func() bool {
		p.places.mu.Lock()
		defer p.places.mu.Unlock()
		return p.places.kinds[kindStream] == 2
	})
	says(t, r.dial(four, 1, ALPNStream), "hello")
}

func TestOneNodeIsDialledSoManyTimesOnly(t *testing.T) {
	r := newRig(t)
	r.port(1, Coordinator)
	cfg := r.config(2, Worker)
	cfg.Limits.PerNode = 1
	two := r.listen(2, cfg)
	c := r.dial(two, 1, ALPNStream)
	r.refuses(two, 1, ALPNStream, ErrBusy)
	c.Close()
	c.Close() // once more does no harm
	r.dial(two, 1, ALPNStream)
}

func TestAPortThatServesNoStreamsSaysSo(t *testing.T) {
	r := newRig(t)
	cfg := r.config(1, Coordinator)
	cfg.Stream = nil
	r.listen(1, cfg)
	two := r.port(2, Coordinator)
	r.refuses(two, 1, ALPNStream, ErrRole, "serves no streams")
	r.refuses(two, 1, ALPNRaft, ErrUnavailable, "has not started Raft")
}

func TestCloseEndsEverything(t *testing.T) {
	r := newRig(t)
	started := make(chan struct{})
	cfg := r.config(1, Coordinator)
	cfg.Limits.HandshakeTimeout = time.Minute // so that it is not this that ends the silent one
	cfg.Stream = func(p Peer, c net.Conn) {
		close(started)
		echo(p, c)
	}
	one := r.listen(1, cfg)
	two := r.port(2, Worker)
	standing := r.dial(two, 1, ALPNStream)
	<-started
	silent := must(net.Dial("tcp", one.Addr().String()))
	defer silent.Close()
	eventually(t, "the silent one waits", func() bool {
		one.room.mu.Lock()
		defer one.room.mu.Unlock()
		return one.room.guests.Len() == 1
	})
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	ended(t, standing)
	ended(t, silent)
	r.refuses(two, 1, ALPNStream, ErrUnreachable)
	if _, err := one.Dial(t.Context(), 2, ALPNStream); !errors.Is(err, ErrClosed) {
		t.Fatalf("a closed port's Dial = %v", err)
	}
	if err := one.Close(); err != nil {
		t.Fatalf("the second Close = %v", err)
	}
}

func TestCloseWaitsForAHandlerForABoundedTime(t *testing.T) {
	r := newRig(t)
	release, started := make(chan struct{}), make(chan struct{})
	cfg := r.config(1, Coordinator)
	cfg.Limits.CloseTimeout = 10 * time.Millisecond
	cfg.Stream = func(Peer, net.Conn) {
		close(started)
		<-release
	}
	p, err := Listen("127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.setAddr(1, p.Addr().String())
	r.dial(r.port(2, Worker), 1, ALPNStream)
	<-started
	if err := p.Close(); err == nil || !strings.Contains(err.Error(), "handler") {
		t.Fatalf("Close = %v", err)
	}
	close(release)
	p.serving.Wait()
}

func TestListenRefusesAnIncompleteConfig(t *testing.T) {
	r := newRig(t)
	refuse := func(want string, change func(*Config)) {
		t.Helper()
		cfg := r.config(1, Coordinator)
		change(&cfg)
		p, err := Listen("127.0.0.1:0", cfg)
		if err == nil {
			p.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("Listen = %v, want an error that says %q", err, want)
		}
	}
	refuse("Config.Identity", func(c *Config) { c.Identity = nil })
	refuse("Config.Admitted", func(c *Config) { c.Admitted = nil })
	refuse("Config.AddressOf", func(c *Config) { c.AddressOf = nil })
	refuse("go together", func(c *Config) { c.Token = nil })
	refuse("Limits.Streams is -1", func(c *Config) { c.Limits.Streams = -1 })
	refuse("Limits.DialTimeout is 1h0m0s", func(c *Config) { c.Limits.DialTimeout = time.Hour })
	refuse("registry of its own", func(c *Config) {
		c.Registerer = prometheus.NewRegistry()
		r.listen(1, *c)
	})
	taken := r.port(2, Coordinator)
	if _, err := Listen(taken.Addr().String(), r.config(3, Coordinator)); err == nil || !strings.Contains(err.Error(), "choose another address") {
		t.Fatalf("Listen on a taken address = %v", err)
	}
}

func TestMetricsCountConnectionsByKindAndRole(t *testing.T) {
	r := newRig(t)
	one := r.port(1, Coordinator)
	two := r.port(2, Worker)
	c := r.dial(two, 1, ALPNStream)
	says(t, c, "hello")
	gauge := func(p *Port, k kind, role Role, want float64) {
		t.Helper()
		eventually(t, "the gauge is right", func() bool { return testutil.ToFloat64(p.metrics.connections[k][role]) == want })
	}
	gauge(one, kindStream, Worker, 1)
	gauge(two, kindStream, Coordinator, 1)
	problems, err := testutil.GatherAndLint(r.registries[one])
	if err != nil || len(problems) > 0 {
		t.Fatalf("the metrics: %v, %v", problems, err)
	}
	text := must(r.registries[one].Gather())
	var names []string
	for _, f := range text {
		names = append(names, f.GetName())
		if f.GetName() == "netbank_peer_certificate_remaining_seconds" {
			if got := f.GetMetric()[0].GetGauge().GetValue(); got < (CertificateLifetime-2*time.Second).Seconds() || got > CertificateLifetime.Seconds() {
				t.Fatalf("the certificate remains %v s", got)
			}
		}
	}
	if strings.Join(names, " ") != "netbank_peer_certificate_remaining_seconds netbank_peer_connections netbank_peer_handshakes_total" {
		t.Fatalf("the metrics are %v", names)
	}
	c.Close()
	gauge(one, kindStream, Worker, 0)
	gauge(two, kindStream, Coordinator, 0)
}

func TestALogOfRefusalsIsBounded(t *testing.T) {
	r := newRig(t)
	p := r.port(1, Coordinator)
	for range 50 {
		if err := stranger(t, p, &tls.Config{NextProtos: []string{ALPNRaft}}); err == nil {
			t.Fatal("a stranger got in")
		}
	}
	counted(t, p, resultNoCertificate, 50)
	lines := func(want int) {
		t.Helper()
		eventually(t, "the line is there", func() bool { return strings.Count(r.log.String(), "refused a connection") >= want })
		if n := strings.Count(r.log.String(), "refused a connection"); n != want {
			t.Fatalf("%d lines in the log, want %d", n, want)
		}
	}
	lines(1)
	r.advance(complainEvery)
	_ = stranger(t, p, &tls.Config{NextProtos: []string{ALPNRaft}})
	lines(2)
	if !strings.Contains(r.log.String(), "left_out=49") {
		t.Fatalf("the log does not say how many were left out: %s", r.log)
	}
}

func BenchmarkDial(b *testing.B) {
	r := newRig(b)
	r.port(1, Coordinator)
	two := r.port(2, Worker)
	b.ReportAllocs()
	for b.Loop() {
		c, err := two.Dial(b.Context(), 1, ALPNStream)
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

func BenchmarkStreamRoundTrip(b *testing.B) {
	r := newRig(b)
	r.port(1, Coordinator)
	two := r.port(2, Worker)
	c := r.dial(two, journal.NodeID(1), ALPNStream)
	buf := make([]byte, 256)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Fatal(err)
		}
	}
}
