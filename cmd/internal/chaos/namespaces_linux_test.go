package chaos

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

func TestNamespaces_WhatIsStoppedIsLostAndComesAgainWhenTheWayIsFree(t *testing.T) {
	s, err := newNamespaces(2, t.Logf)
	if err != nil {
		t.Skipf("namespaces need the superuser and iproute2: %v", err)
	}
	defer s.close()
	var port net.Listener
	var c net.Conn
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.inside(2, func() (err error) { port, err = net.Listen("tcp", s.address(2)); return err }))
	defer port.Close()
	go func() {
		for {
			in, err := port.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				_, _ = io.Copy(in, in)
			}()
		}
	}()
	must(s.inside(1, func() (err error) { c, err = net.DialTimeout("tcp", s.address(2), dialTimeout); return err }))
	defer c.Close()
	echoes := func(text string, within time.Duration) error {
		must(c.SetReadDeadline(time.Now().Add(within)))
		got := make([]byte, len(text))
		if _, err := io.ReadFull(c, got); err != nil {
			return err
		}
		if string(got) != text {
			t.Errorf("%q came back as %q", text, got)
		}
		return nil
	}
	f := func(from, to int) {
		t.Helper()
		resume, again := s.stop(from, to), s.stop(from, to)
		_, err := c.Write([]byte("lost"))
		must(err)
		if err := echoes("lost", 300*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("with %d to %d stopped: %v", from, to, err)
		}
		resume()
		if err := echoes("lost", 300*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("with %d to %d stopped still: %v", from, to, err)
		}
		again()
		must(echoes("lost", 20*time.Second))
	}
	_, err = c.Write([]byte("first"))
	must(err)
	must(echoes("first", 20*time.Second))
	f(1, 2)
	f(2, 1)
	s.stop(1, 2)
	_, err = c.Write([]byte("healed"))
	must(err)
	s.heal()
	must(echoes("healed", 20*time.Second))
}
