package corelink

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	coreadapter "netbank/core-adapter"
	"netbank/core-adapter/iso8583"
)

func TestAConfigurationIsRefusedWithItsReason(t *testing.T) {
	f := func(want string, change func(*Config)) {
		t.Helper()
		c := Config{Addr: "127.0.0.1:8583", Acquirer: "102", Terminal: "NETBANK1", Acceptor: "NETBANKING"}
		change(&c)
		l, err := Open(c)
		if err == nil {
			l.Close()
		}
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %v, want %q in it", err, want)
		}
	}
	f("not on loopback and no certificate is pinned", func(c *Config) { c.Addr = "192.0.2.1:8583" })
	f("not on loopback and no certificate is pinned", func(c *Config) { c.Addr = "core.bank.example:8583" })
	f("not on loopback and no certificate is pinned", func(c *Config) { c.Addr = ":8583" })
	f("not host:port", func(c *Config) { c.Addr = "127.0.0.1" })
	f("must all be given", func(c *Config) { c.Acquirer = "" })
	f("must all be given", func(c *Config) { c.Terminal = "" })
	f("must all be given", func(c *Config) { c.Acceptor = "" })
	f("field 32", func(c *Config) { c.Acquirer = "1234567890123" })
	f("begins with a zero", func(c *Config) { c.Acquirer = "0102" })
	f("field 41", func(c *Config) { c.Terminal = "123456789" })
	f("field 42", func(c *Config) { c.Acceptor = "bank\n" })
	f("Conns is 65; give 1 to 64", func(c *Config) { c.Conns = 65 })
	f("InFlightMax is -1", func(c *Config) { c.InFlightMax = -1 })
	f("LateMax", func(c *Config) { c.LateMax = 1 << 21 })
	f("WaitersMax", func(c *Config) { c.WaitersMax = 1 << 17 })
	f("Timeouts.Write is -1s", func(c *Config) { c.Timeouts.Write = -time.Second })
}

// server is a core on a real socket that approves everything.
type server struct {
	ln net.Listener
	wg sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

func serveOn(t testing.TB, ln net.Listener) *server {
	s := &server{ln: ln}
	s.wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, nc)
			s.mu.Unlock()
			s.wg.Go(func() { approveAll(nc) })
		}
	})
	t.Cleanup(s.stop)
	return s
}

func (s *server) stop() {
	s.ln.Close()
	s.cut()
	s.wg.Wait()
}

func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, nc := range s.conns {
		nc.Close()
	}
	s.conns = nil
}

// approveAll answers each message with 00, as many in one write as have come together.
func approveAll(nc net.Conn) {
	defer nc.Close()
	r, w := bufio.NewReaderSize(nc, 64<<10), bufio.NewWriterSize(nc, 64<<10)
	var request, answer iso8583.Message
	buf, out := make([]byte, iso8583.MaxMessage), []byte(nil)
	for {
		b, err := iso8583.ReadFrame(r, buf)
		if err != nil || iso8583.Parse(b, &request) != nil {
			return
		}
		answer.Reset(request.MTI().Answer())
		for _, field := range [...]int{2, 3, 4, 7, 11, 32, 37, 41, 49, 70} {
			if v, ok := request.Get(field); ok && answer.SetBytes(field, v) != nil {
				return
			}
		}
		if answer.Set(iso8583.FieldResponse, "00") != nil {
			return
		}
		if out, err = answer.AppendTo(out[:0]); err != nil {
			return
		}
		w.Write(out)
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
	}
}

func openTo(t testing.TB, s *server, change func(*Config)) *Link {
	t.Helper()
	c := Config{Addr: s.ln.Addr().String(), Acquirer: "102", Terminal: "NETBANK1", Acceptor: "NETBANKING", Conns: 2}
	if change != nil {
		change(&c)
	}
	l, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func TestOverRealSocketsALostConnectionIsMadeAnew(t *testing.T) {
	s := serveOn(t, listen(t))
	l := openTo(t, s, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for n := 1; n <= 3; n++ {
		must(t, l.WaitUp(ctx))
		// Just after a cut the link may not have noticed: then the debit is in doubt or not sent, and the next one is not.
		for i := 0; ; i++ {
			if a := l.Debit(ctx, debit(n*1000+i), time.Now().Add(10*time.Second)); a.Word == coreadapter.Approved {
				break
			} else if a.Word != coreadapter.InDoubt && a.Word != coreadapter.NotSent {
				t.Fatalf("%+v", a)
			}
			if ctx.Err() != nil {
				t.Fatal("no debit went through any more")
			}
		}
		s.cut()
	}
	if l.Stats().Connected < 3 {
		t.Errorf("%+v", l.Stats())
	}
}

func certificate(t testing.TB) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// It has ended long ago and bears another name: what counts is that it is the one.
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"core.bank.example"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, leaf
}

func TestOnlyThePinnedCertificateIsTrusted(t *testing.T) {
	own, leaf := certificate(t)
	_, other := certificate(t)
	s := serveOn(t, tls.NewListener(listen(t), &tls.Config{Certificates: []tls.Certificate{own}}))

	l := openTo(t, s, func(c *Config) { c.Pin = leaf })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	must(t, l.WaitUp(ctx))
	if a := l.Debit(ctx, debit(1), time.Now().Add(10*time.Second)); a.Word != coreadapter.Approved {
		t.Errorf("with the pinned certificate: %+v", a)
	}

	refused := make(chan string, 64)
	wrong := openTo(t, s, func(c *Config) {
		c.Pin, c.Logger = other, slog.New(slog.NewTextHandler(chanWriter(refused), nil))
	})
	if line := <-refused; !strings.Contains(line, "is not the pinned one") {
		t.Errorf("with another certificate: %s", line)
	}
	if wrong.Up() != 0 || wrong.Stats().Connected != 0 {
		t.Errorf("with another certificate: %+v", wrong.Stats())
	}
}

// chanWriter gives each line of a log to a channel, while it has room.
type chanWriter chan string

func (c chanWriter) Write(b []byte) (int, error) {
	select {
	case c <- string(b):
	default:
	}
	return len(b), nil
}

func BenchmarkDebit(b *testing.B) {
	s := serveOn(b, listen(b))
	l := openTo(b, s, func(c *Config) { c.Conns = 4 })
	if err := l.WaitUp(b.Context()); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	var mu sync.Mutex
	number := 0
	b.ReportAllocs()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		d := debit(1)
		for pb.Next() {
			mu.Lock()
			number++
			d.STAN = uint32(number%maxSTAN + 1)
			mu.Unlock()
			if a := l.Debit(ctx, d, time.Now().Add(time.Minute)); a.Word != coreadapter.Approved {
				b.Errorf("%+v", a)
				return
			}
		}
	})
}
