package ops

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func newServer(t *testing.T, config *tls.Config, connections int) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(l, config, slog.New(slog.NewTextHandler(io.Discard, nil)), connections)
	t.Cleanup(func() {
		s.Close()
		if err := <-s.Served(); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the port ended with %v", err)
		}
	})
	return s, l.Addr().String()
}

// talk sends a request, or some of it, over a connection of its own.
func talk(t *testing.T, addr, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

func answered(t *testing.T, c net.Conn) string {
	t.Helper()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(line)
}

// Without the room's choice, as many connections as the port takes would keep every balancer out by saying nothing.
func TestPortAnswersWhenItsConnectionsAreFullOfWhoSaysNothing(t *testing.T) {
	const places = 4
	s, addr := newServer(t, nil, places)
	const whole = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
	var idle []net.Conn
	for _, text := range []string{"", "GET /livez HTTP/1.1\r\nHost: loc", "", whole} {
		idle = append(idle, talk(t, addr, text))
	}
	answered(t, idle[3]) // and waits for its next request
	for range 3 * places {
		if line := answered(t, talk(t, addr, whole)); line != "HTTP/1.1 200 OK" {
			t.Fatalf("answered %q", line)
		}
		for !someoneWaits(s.room) { // the client has its answer before the server knows that it has nothing to do
			runtime.Gosched()
		}
	}
	if line := answered(t, idle[0]); line == "HTTP/1.1 200 OK" {
		t.Error("the one that waited longest did not make way")
	}
	if n := s.room.size(); n > places {
		t.Errorf("%d connections, of %d", n, places)
	}
	if s.room.evicted.Load() == 0 {
		t.Error("none is counted")
	}
}

func someoneWaits(o *room) bool {
	o.lock.Lock()
	defer o.lock.Unlock()
	for _, g := range o.guests {
		if !g.served {
			return true
		}
	}
	return false
}

func TestEverythingIsBounded_ConnectionsThatAreBeingAnsweredKeepTheirPlaces(t *testing.T) {
	s, addr := newServer(t, nil, 2)
	entered, release := make(chan struct{}), make(chan struct{})
	s.Handle(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-release
	}))
	const whole = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
	a, b := talk(t, addr, whole), talk(t, addr, whole)
	<-entered
	<-entered
	if line := answered(t, talk(t, addr, whole)); strings.HasPrefix(line, "HTTP") {
		t.Errorf("a third was answered %q", line)
	}
	close(release)
	for _, c := range []net.Conn{a, b} {
		if line := answered(t, c); line != "HTTP/1.1 200 OK" {
			t.Errorf("who was being answered got %q", line)
		}
	}
	if s.room.refused.Load() != 1 {
		t.Errorf("%d refused", s.room.refused.Load())
	}
}

func TestHangingCheckIsToldAndHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		var asked atomic.Int32
		h := newPort(t, &bank{}, Check{Name: "disk", Ask: func() error { asked.Add(1); <-hang; return nil }}, Check{Name: "core", Ask: func() error { return nil }})
		for range 3 {
			w := ask(h, "GET", "/readyz", "", "")
			if text := w.Body.String(); w.Code != http.StatusServiceUnavailable || !strings.Contains(text, "[-]disk failed: the node has not been able to say so since") || !strings.Contains(text, "[+]core ok") {
				t.Errorf("answered %d: %s", w.Code, text)
			}
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times at once", n)
		}
		close(hang)
		synctest.Wait()
		if w := ask(h, "GET", "/readyz?verbose", "", ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "readyz check passed") {
			t.Errorf("answered %d: %s", w.Code, w.Body)
		}
	})
}

func TestPortAnswersWhileTheNodeHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bank{hang: make(chan struct{})}
		h := newPort(t, b)
		f := func(path string, code int, word string) {
			t.Helper()
			if w := ask(h, "GET", path, token, ""); w.Code != code || !strings.Contains(w.Body.String(), word) {
				t.Errorf("%s answered %d: %s", path, w.Code, w.Body)
			}
		}
		f("/livez", 200, "ok")
		f("/metrics", 200, "")
		f("/", 200, "The node does not say how it is")
		f("/cluster", 200, "ask another node")
		f("/api/v1/status", 503, "look at its disk")
		f("/api/v1/cluster", 503, "look at this one's disk")
		close(b.hang)
		synctest.Wait()
		f("/api/v1/status", 200, "Payments are getting through")
	})
}

// dated remembers the deadlines that it was given for writing.
type dated struct {
	http.ResponseWriter
	writes []time.Time
}

func (d *dated) SetWriteDeadline(at time.Time) error { d.writes = append(d.writes, at); return nil }

// An import may take minutes, on the connection of a health check that was to take seconds.
func TestShortRequestLeavesNoDeadlineToALongOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := func(path string, want ...time.Duration) {
			t.Helper()
			s := &Server{room: newRoom(1)}
			s.Handle(newPort(t, &bank{}))
			w := &dated{ResponseWriter: httptest.NewRecorder()}
			r := httptest.NewRequest("POST", "http://localhost"+path, strings.NewReader(""))
			if path == "/readyz" {
				r.Method = "GET"
			}
			r.Header.Set("Authorization", "Bearer "+token)
			s.answer(w, r)
			if len(w.writes) != 1+len(want) || !w.writes[0].IsZero() {
				t.Fatalf("%s has the deadlines %v", path, w.writes)
			}
			for i, d := range want {
				if got := time.Until(w.writes[i+1]); got != d {
					t.Errorf("%s may take %v, want %v", path, got, d)
				}
			}
		}
		f("/readyz", AnswerTimeout)
		f("/api/v1/customers")
	})
}

// authority signs certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key = a.sign(t, "operators", true)
	return a
}

func (a *authority) sign(t *testing.T, name string, ca bool) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), IsCA: ca, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	parent, signer := a.cert, a.key
	if ca {
		parent, signer, template.ExtKeyUsage = template, key, nil
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (a *authority) pair(t *testing.T, name string) tls.Certificate {
	cert, key := a.sign(t, name, false)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func TestOffLoopbackOnlyWhoShowsACertificateOfTheAuthorityIsAnswered(t *testing.T) {
	own, foreign := newAuthority(t), newAuthority(t)
	config, err := ServerTLS(own.pair(t, "node 1"), own.pool())
	if err != nil {
		t.Fatal(err)
	}
	s, addr := newServer(t, config, ConnectionsMax)
	var log strings.Builder
	handle := func(bearer string) {
		h, err := New(Config{
			Bank: &bank{}, Credentials: plainCredentials{}, Gatherer: prometheus.NewRegistry(), Token: bearer, ClientCertificates: true, Cluster: three(),
			Logger: slog.New(slog.NewJSONHandler(&log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Handle(h)
	}
	f := func(path, bearer string, want int, certificates ...tls.Certificate) {
		t.Helper()
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: own.pool(), Certificates: certificates}}
		defer transport.CloseIdleConnections()
		r, err := http.NewRequest("GET", "https://"+addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if bearer != "" {
			r.Header.Set("Authorization", "Bearer "+bearer)
		}
		if strings.HasSuffix(path, "lead") {
			r.Method, r.Body = "POST", io.NopCloser(strings.NewReader(`{"reason":"x"}`))
		}
		r.Host = "node1.bank.example:9090" // a name is fine: the certificate vouches for it
		resp, err := (&http.Client{Transport: transport}).Do(r)
		code := 0
		if err == nil {
			code = resp.StatusCode
			resp.Body.Close()
		}
		if code != want {
			t.Errorf("%s answered %d (%v), want %d", path, code, err, want)
		}
	}
	handle("")
	me := own.pair(t, "li.na@bank.example")
	f("/livez", "", 0)
	f("/api/v1/status", token, 0, foreign.pair(t, "stranger"))
	f("/livez", "", 200, me)
	f("/api/v1/status", "", 200, me)
	f("/api/v1/cluster/lead", "", 200, me)
	if !strings.Contains(log.String(), `li.na@bank.example`) {
		t.Errorf("the audit does not name who it was:\n%s", &log)
	}
	handle(token) // both are asked for
	f("/readyz", "", 200, me)
	f("/api/v1/status", "", 401, me)
	f("/api/v1/status", token, 200, me)
	if _, err := New(Config{}); err == nil {
		t.Error("a port without token and without certificates was opened")
	}
}
