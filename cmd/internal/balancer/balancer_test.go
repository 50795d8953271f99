package balancer

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"netbank/frontend/ops"
)

func TestConnectionsAreSpreadEvenly(t *testing.T) {
	nodes := []*node{newNode(t, "a"), newNode(t, "b"), newNode(t, "c")}
	b := start(t, nil, nodes...)
	came := make(map[string]int)
	for range 30 {
		came[dial(t, b.Addr("door")).line(t)]++ // and stays
	}
	if came["a"] != 10 || came["b"] != 10 || came["c"] != 10 {
		t.Errorf("30 connections went %v", came)
	}
}

// A choice by the number of connections alone gave the new one all twenty.
func TestABackendThatHasJustComeIsNotGivenEverything(t *testing.T) {
	a, cold := newNode(t, "a"), newNode(t, "cold")
	b := start(t, nil, a)
	// As if it had been ready for long, and the other would be new for ever.
	b.lock.Lock()
	b.config.SlowStart = 24 * time.Hour
	b.backends[0].since = time.Now().Add(-25 * time.Hour)
	b.lock.Unlock()
	for range 20 {
		dial(t, b.Addr("door")).line(t)
	}
	set(t, b, a, cold)
	b.await(t, "both", func(s Status) bool { return s.state("cold") == Ready })
	for range 20 {
		dial(t, b.Addr("door")).line(t)
	}
	if n := cold.came.Load(); n < 1 || n > 6 {
		t.Errorf("%d of 20 connections came to the new backend, want about a tenth of its share", n)
	}
}

func TestABackendInReserveIsUsedOnlyWhileNoOtherIsReady(t *testing.T) {
	reserve, other := newNode(t, "reserve"), newNode(t, "other")
	b := start(t, nil)
	held := reserve.backend()
	held.Reserve = []string{"door"}
	if err := b.Set([]Backend{held, other.backend()}); err != nil {
		t.Fatal(err)
	}
	f := func(want string) {
		t.Helper()
		for range 5 {
			if got := dial(t, b.Addr("door")).line(t); got != want {
				t.Fatalf("went to %s, want %s", got, want)
			}
		}
	}
	b.await(t, "both", func(s Status) bool { return s.state("reserve") == Ready && s.state("other") == Ready })
	f("other")
	other.answer.Store(http.StatusServiceUnavailable)
	b.await(t, "the other not ready", func(s Status) bool { return s.state("other") == NotReady })
	f("reserve")
	other.answer.Store(http.StatusOK)
	b.await(t, "the other ready again", func(s Status) bool { return s.state("other") == Ready })
	f("other")
}

func TestAConnectionThatIsRefusedGoesToAnotherBackend(t *testing.T) {
	nodes := []*node{newNode(t, "a"), newNode(t, "b"), newNode(t, "c")}
	// No check comes in between: who is asked must find out by itself.
	b := start(t, func(c *Config) { c.CheckEvery = time.Hour }, nodes...)
	nodes[0].door.Close()
	nodes[1].door.Close()
	for range 5 {
		if got := dial(t, b.Addr("door")).line(t); got != "c" {
			t.Fatalf("went to %s", got)
		}
	}
	if s := b.Status(); s.Fronts[0].Unserved > 0 {
		t.Errorf("%+v", s)
	}
}

func TestABackendThatRefusesAConnectionIsAskedAtOnce(t *testing.T) {
	a, c := newNode(t, "a"), newNode(t, "c")
	b := start(t, func(c *Config) { c.CheckEvery = time.Hour }, a, c)
	a.answer.Store(http.StatusServiceUnavailable)
	a.door.Close()
	for range 2 {
		if got := dial(t, b.Addr("door")).line(t); got != "c" {
			t.Fatalf("went to %s", got)
		}
	}
	b.await(t, "a not ready, as it says itself", func(s Status) bool { return s.state("a") == NotReady && s.backend("a").Missed == 1 })
}

// A backend whose queue of connections is full neither takes nor refuses one.
func TestAConnectionThatIsNotTakenGoesToAnotherBackend(t *testing.T) {
	a, c := newNode(t, "a"), newNode(t, "c")
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	full := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 8 { // fill the queue
		filler, err := net.DialTimeout("tcp", full, 50*time.Millisecond)
		if err != nil {
			break
		}
		defer filler.Close()
	}
	b := start(t, nil)
	stuck := a.backend()
	stuck.Doors["door"] = full
	if err := b.Set([]Backend{stuck, c.backend()}); err != nil {
		t.Fatal(err)
	}
	b.await(t, "both ready", func(s Status) bool { return s.state("a") == Ready && s.state("c") == Ready })
	for range 3 {
		if got := dial(t, b.Addr("door")).line(t); got != "c" {
			t.Fatalf("went to %s", got)
		}
	}
}

func TestAConnectionThatHasCarriedBytesIsBrokenByAResetAndNeverMoved(t *testing.T) {
	a, other := newNode(t, "a"), newNode(t, "other")
	b := start(t, nil, a)
	c := dial(t, b.Addr("door"))
	c.line(t)
	c.echo(t, "pay once")
	set(t, b, a, other)
	b.await(t, "other ready", func(s Status) bool { return s.state("other") == Ready })
	a.cut()
	c.wantReset(t)
	if other.came.Load() > 0 {
		t.Error("the connection was moved")
	}
	b.await(t, "the connection gone", func(s Status) bool { return s.Fronts[0].Open == 0 && s.backend("a").Open == 0 })
}

func TestTheDeathOfABackendIsNoticedByNobodyWhoComesAfterwards(t *testing.T) {
	nodes := []*node{newNode(t, "a"), newNode(t, "b"), newNode(t, "c")}
	b := start(t, nil, nodes...)
	nodes[1].kill()
	for range 20 {
		c := dial(t, b.Addr("door"))
		c.line(t)
		c.echo(t, "here")
	}
	b.await(t, "b down", func(s Status) bool { return s.state("b") == Down })
}

// A process that is killed ends its connections one after the other, and its listener at some moment between: until then new ones are taken, and end too. Who
// has lost his connection must not come to it again.
func TestWhoHasLostHisConnectionIsNotSentToTheSameBackendAgain(t *testing.T) {
	dies, lives := newNode(t, "dies"), newNode(t, "lives")
	b := start(t, nil, dies, lives)
	var held []*client
	for range 8 {
		c := dial(t, b.Addr("door"))
		if c.line(t) == "dies" {
			held = append(held, c)
		}
	}
	silent := make(chan struct{})
	defer close(silent)
	dies.pause(silent) // it answers no question any more, but takes connections
	dies.cut()
	for _, c := range held {
		c.wantReset(t)
	}
	for range 20 {
		if got := dial(t, b.Addr("door")).line(t); got != "lives" {
			t.Fatalf("who came again was sent to %s", got)
		}
	}
}

// One that ends a connection because nothing came over it is as good as before, once it has said so.
func TestABackendThatEndsAConnectionAndAnswersIsUsedAgain(t *testing.T) {
	a, c := newNode(t, "a"), newNode(t, "c")
	b := start(t, nil, a, c)
	first := dial(t, b.Addr("door"))
	name := first.line(t)
	for _, n := range []*node{a, c} {
		if n.name == name {
			n.cut()
		}
	}
	first.wantReset(t)
	b.await(t, "both used again", func(Status) bool { return dial(t, b.Addr("door")).line(t) == name })
}

func TestABackendThatIsNotReadyKeepsItsConnectionsAndGetsNoMore(t *testing.T) {
	a, c := newNode(t, "a"), newNode(t, "c")
	b := start(t, nil, a)
	old := dial(t, b.Addr("door"))
	old.line(t)
	set(t, b, a, c)
	a.answer.Store(http.StatusServiceUnavailable)
	b.await(t, "a not ready", func(s Status) bool { return s.state("a") == NotReady && s.state("c") == Ready })
	for range 4 {
		if got := dial(t, b.Addr("door")).line(t); got != "c" {
			t.Fatalf("went to %s", got)
		}
	}
	old.echo(t, "still here")
	a.answer.Store(http.StatusOK)
	b.await(t, "a ready", func(s Status) bool { return s.state("a") == Ready })
	if got := dial(t, b.Addr("door")).line(t); got != "a" {
		t.Errorf("went to %s, which has more connections", got)
	}
}

// While nobody leads, no node is ready; their pages say so, and lead back to the merchant.
func TestWithoutAReadyBackendThoseThatAnswerAreUsedAndThoseThatStartAreNot(t *testing.T) {
	a, c := newNode(t, "a"), newNode(t, "c")
	b := start(t, nil, a, c)
	a.answer.Store(http.StatusServiceUnavailable)
	a.words.Store("[+]serving ok\n[-]leader failed: nobody leads\n")
	c.words.Store("[-]started failed: the node is reading its journal\n")
	c.answer.Store(http.StatusServiceUnavailable)
	b.await(t, "nobody ready", func(s Status) bool { return s.state("a") == NotReady && s.state("c") == Starting })
	if why := b.Status().backend("a").Why; why != "leader failed: nobody leads" {
		t.Errorf("not ready because %q", why)
	}
	for range 4 {
		if got := dial(t, b.Addr("door")).line(t); got != "a" {
			t.Fatalf("went to %s", got)
		}
	}
}

func TestANodeThatReadsItsJournalIsStarting(t *testing.T) {
	a := newNode(t, "a")
	page := httptest.NewServer(ops.Starting())
	defer page.Close()
	k := a.backend()
	k.Ready = page.URL + "/readyz"
	b := start(t, nil)
	if err := b.Set([]Backend{k}); err != nil {
		t.Fatal(err)
	}
	b.await(t, "a starting", func(s Status) bool { return s.state("a") == Starting })
	b.Close()
}

func TestAConnectionWaitsForABackend(t *testing.T) {
	b := start(t, nil)
	c := dial(t, b.Addr("door"))
	if _, err := fmt.Fprintln(c, "early"); err != nil {
		t.Fatal(err)
	}
	b.await(t, "the connection", func(s Status) bool { return s.Fronts[0].Open == 1 })
	set(t, b, newNode(t, "late"))
	if got := c.line(t); got != "late" {
		t.Errorf("came to %s", got)
	}
	if got := c.line(t); got != "early" {
		t.Errorf("what was sent early came back as %q", got)
	}
}

func TestEverythingIsBounded_AConnectionThatNobodyTakesIsRefusedInTheFrontsWords(t *testing.T) {
	b := start(t, func(c *Config) { c.hold = 20 * time.Millisecond; c.Fronts[0].Refusal = []byte("nobody is here\n") })
	c := dial(t, b.Addr("door"))
	fmt.Fprintln(c, "hello")
	if got := c.line(t); got != "nobody is here" {
		t.Errorf("was told %q", got)
	}
	if rest, err := io.ReadAll(c.lines); err != nil || len(rest) > 0 {
		t.Errorf("then %q and %v", rest, err)
	}
	if s := b.Status(); s.Fronts[0].Unserved != 1 {
		t.Errorf("%+v", s)
	}
}

func TestEverythingIsBounded_ConnectionsBeyondTheLimitAreReset(t *testing.T) {
	b := start(t, func(c *Config) { c.ConnectionsMax = 2 }, newNode(t, "a"))
	first, second := dial(t, b.Addr("door")), dial(t, b.Addr("door"))
	first.line(t)
	second.line(t)
	if third, err := net.Dial("tcp", b.Addr("door").String()); err == nil {
		(&client{third.(*net.TCPConn), bufio.NewReader(third)}).wantReset(t)
	} else if !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	first.echo(t, "undisturbed")
	second.Close()
	b.await(t, "a place", func(s Status) bool { return s.Fronts[0].Open == 1 })
	dial(t, b.Addr("door")).line(t)
	if s := b.Status(); s.Fronts[0].Refused != 1 || s.Fronts[0].Accepted != 4 {
		t.Errorf("%+v", s)
	}
}

func TestTheEndOfOneHalfIsTheEndOfThatHalfAlone(t *testing.T) {
	heard := make(chan string, 1)
	a := newNodeServing(t, "a", func(c *net.TCPConn) {
		text, _ := io.ReadAll(c) // until the client has said all
		heard <- string(text)
		io.WriteString(c, strings.Repeat("answer ", 50_000))
	})
	b := start(t, nil, a)
	c := dial(t, b.Addr("door"))
	question := strings.Repeat("question ", 50_000)
	io.WriteString(c, question)
	c.CloseWrite()
	if got := <-heard; got != question {
		t.Errorf("%d bytes came, %d were sent", len(got), len(question))
	}
	if got, err := io.ReadAll(c.lines); err != nil || len(got) != 350_000 {
		t.Errorf("%d bytes of the answer, %v", len(got), err)
	}
}

// A node that answers and closes, as to "Connection: close", while the client still sends: the answer arrives.
func TestWhatABackendSaidLastArrivesAlthoughItListensNoMore(t *testing.T) {
	const size = 400_000
	closed := make(chan struct{})
	a := newNodeServing(t, "a", func(c *net.TCPConn) {
		io.ReadFull(c, make([]byte, 4))
		io.WriteString(c, strings.Repeat("x", size))
		c.Close()
		close(closed)
	})
	b := start(t, nil, a)
	c := dial(t, b.Addr("door"))
	_ = c.SetReadBuffer(64 << 10) // so that most of the answer waits at the balancer
	io.WriteString(c, "more")
	<-closed
	b.await(t, "all of the answer", func(s Status) bool { return s.Fronts[0].BytesDown == size })
	io.WriteString(c, "late") // makes the backend's machine say that nobody is there
	b.await(t, "what came late", func(s Status) bool { return s.Fronts[0].BytesUp == 8 })
	io.WriteString(c, "later") // and this cannot be delivered
	got, err := io.ReadAll(c.lines)
	if err != nil || len(got) != size {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

func TestTheLeadersDoorIsTheLeadersAlone(t *testing.T) {
	nodes := []*node{newNode(t, "a"), newNode(t, "b"), newNode(t, "c")}
	b := start(t, func(c *Config) { c.Fronts[0].Policy = ToLeader }, nodes...)
	b.Lead("b")
	stays := dial(t, b.Addr("door"))
	for range 5 {
		if got := dial(t, b.Addr("door")).line(t); got != "b" {
			t.Fatalf("went to %s", got)
		}
	}
	nodes[1].answer.Store(http.StatusServiceUnavailable)
	b.await(t, "b not ready", func(s Status) bool { return s.state("b") == NotReady })
	if got := dial(t, b.Addr("door")).line(t); got != "b" {
		t.Errorf("a leader that takes no payments was not asked why, but %s", got)
	}
	stays.line(t)
	stays.echo(t, "here")
	b.Lead("")
	stays.echo(t, "nobody leads: stay")
	b.Lead("c")
	stays.wantReset(t)
	if got := dial(t, b.Addr("door")).line(t); got != "c" {
		t.Errorf("went to %s", got)
	}
	nodes[2].kill()
	if got := dial(t, b.Addr("door")).line(t); got == "c" {
		t.Errorf("went to the dead")
	}
}

// A process that is stopped keeps its sockets open. Its clients are told by a reset, and can repeat elsewhere.
func TestTheConnectionsOfAFrozenBackendAreReset(t *testing.T) {
	a := newNode(t, "a")
	thaw := make(chan struct{})
	page := a.page
	defer page.Close()
	frozen := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if a.came.Load() > 0 {
			select {
			case <-thaw:
			case <-r.Context().Done():
			}
		}
	}))
	defer frozen.Close()
	defer close(thaw)
	a.page = frozen
	b := start(t, func(c *Config) { c.silent = time.Millisecond }, a)
	c := dial(t, b.Addr("door"))
	c.line(t)
	c.wantReset(t)
	if got := b.Status().state("a"); got != Down {
		t.Errorf("the frozen node is %v", got)
	}
}

func TestABackendThatLeavesKeepsItsConnectionsUntilTheyEnd(t *testing.T) {
	a, c := newNode(t, "a"), newNode(t, "c")
	b := start(t, nil, a)
	old := dial(t, b.Addr("door"))
	old.line(t)
	set(t, b, c)
	if k := b.Status().backend("a"); k == nil || !k.Leaving || k.Open != 1 {
		t.Fatalf("%+v", b.Status())
	}
	for range 3 {
		if got := dial(t, b.Addr("door")).line(t); got != "c" {
			t.Errorf("went to %s", got)
		}
	}
	old.echo(t, "still here")
	set(t, b, a, c) // the same name comes back while the old one leaves
	b.await(t, "a again", func(s Status) bool { return s.state("a") == Ready })
	old.Close()
	b.await(t, "one a", func(s Status) bool { return len(s.Backends) == 2 })
	set(t, b)
	b.await(t, "nobody but who has connections", func(s Status) bool { return len(s.Backends) == 1 && s.Backends[0].Leaving })
}

// Nothing of the balancer runs after Close; TestMain looks for goroutines.
func TestCloseResetsWhatIsOpenAndLeavesNothing(t *testing.T) {
	b := start(t, nil, newNode(t, "a"))
	c := dial(t, b.Addr("door"))
	c.line(t)
	b.Stop()
	if _, err := net.DialTimeout("tcp", b.Addr("door").String(), time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the front is open after Stop: %v", err)
	}
	c.echo(t, "goes on")
	b.Close()
	c.wantReset(t)
	if err := b.Set(nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Set after Close: %v", err)
	}
}

func TestClientCertificatesPassThrough(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "partner"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	pair := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	a := newNode(t, "a")
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	server.StartTLS()
	defer server.Close()
	b := start(t, nil)
	k := a.backend()
	k.Doors["door"] = server.Listener.Addr().String()
	if err := b.Set([]Backend{k}); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("https://" + b.Addr("door").String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); string(text) != "partner" {
		t.Errorf("the backend saw %q", text)
	}
}

// Clients pay while backends die, come back, drain and leave: no byte is lost, changed or seen by another on a connection that did not break.
func TestBytesArriveAsTheyWereSentWhileBackendsComeAndGo(t *testing.T) {
	stable := newNode(t, "stable")
	b := start(t, nil, stable)
	var clients sync.WaitGroup
	var whole, broken atomic.Int64
	stop := make(chan struct{})
	for i := range 8 {
		clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				c, err := net.Dial("tcp", b.Addr("door").String())
				if errors.Is(err, syscall.ECONNRESET) { // the node died while the client was connecting
					broken.Add(1)
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				_ = c.SetDeadline(time.Now().Add(patience))
				text := bytes.Repeat(fmt.Appendf(nil, "%d/%d ", i, n), 1+n%5000)
				go func() { _, _ = c.Write(text); _ = c.(*net.TCPConn).CloseWrite() }()
				got, err := io.ReadAll(c)
				c.Close()
				_, body, named := bytes.Cut(got, []byte("\n"))
				switch {
				case err != nil:
					broken.Add(1)
					if named && !bytes.HasPrefix(text, body) {
						t.Errorf("what came back before the reset is not what was sent")
					}
				case !bytes.Equal(body, text):
					t.Errorf("%d bytes were sent, and %d came back with an orderly end", len(text), len(body))
				default:
					whole.Add(1)
				}
			}
		})
	}
	for range 6 {
		n := newNode(t, "passing")
		set(t, b, stable, n)
		b.await(t, "the passing node's connections", func(s Status) bool { return s.backend("passing") != nil && s.backend("passing").Taken > 20 })
		n.answer.Store(http.StatusServiceUnavailable)
		b.await(t, "it drains", func(s Status) bool { return s.state("passing") == NotReady })
		n.answer.Store(http.StatusOK)
		b.await(t, "it is back", func(s Status) bool { return s.state("passing") == Ready })
		b.await(t, "it has work", func(s Status) bool { return s.backend("passing").Open > 2 })
		n.kill()
		set(t, b, stable)
	}
	close(stop)
	clients.Wait()
	t.Logf("%d whole, %d broken", whole.Load(), broken.Load())
	b.await(t, "every connection gone", func(s Status) bool { return s.Fronts[0].Open == 0 && len(s.Backends) == 1 && s.Backends[0].Open == 0 })
}

func TestWhatCannotBeServedIsRefusedByName(t *testing.T) {
	f := func(c Config, word string) {
		t.Helper()
		b, err := Listen(c)
		if err == nil {
			b.Close()
		}
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), word) {
			t.Errorf("%v; it should name %s", err, word)
		}
	}
	f(Config{}, "0 fronts")
	f(Config{Fronts: make([]Front, FrontsMax+1)}, "9 fronts")
	f(Config{Fronts: []Front{{Name: "x"}, {Name: "x"}}}, `"x"`)
	f(Config{Fronts: []Front{{Name: "x"}}, ConnectionsMax: -1}, "-1")

	taken := listen(t)
	if _, err := Listen(Config{Fronts: []Front{{Name: "x", Addr: "127.0.0.1:0"}, {Name: "y", Addr: taken.Addr().String()}}}); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("a taken address: %v", err)
	}

	b := start(t, nil)
	g := func(word string, all ...Backend) {
		t.Helper()
		if err := b.Set(all); !errors.Is(err, ErrBackend) || !strings.Contains(err.Error(), word) {
			t.Errorf("%v; it should name %s", err, word)
		}
	}
	good := Backend{Name: "a", Ready: "http://127.0.0.1:1/readyz", Doors: map[string]string{"door": "127.0.0.1:1"}}
	other := good
	other.Ready = "nowhere"
	g("nowhere", other)
	g(`"a"`, good, good)
	other = good
	other.Doors = map[string]string{"window": "127.0.0.1:1"}
	g("window", other)
	other.Doors = map[string]string{"door": "here"}
	g("here", other)
	g("65 of them", make([]Backend, BackendsMax+1)...)
	g(`""`, Backend{Ready: good.Ready})
}

func TestStatusIsReadableByPrograms(t *testing.T) {
	b := start(t, nil, newNode(t, "a"))
	b.Lead("a")
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	var s struct {
		Leader   string
		Fronts   []struct{ Name, Addr string }
		Backends []struct{ Name, State string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	if s.Leader != "a" || s.Fronts[0].Name != "door" || s.Backends[0].State != "ready" {
		t.Errorf("%s", w.Body)
	}
}
