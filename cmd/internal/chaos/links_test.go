package chaos

import (
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers what it is sent.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func TestLinksCarryStopAndDelayEachDirectionOnItsOwn(t *testing.T) {
	l := newLinks(func(_, _ net.Addr) int { return 1 })
	t.Cleanup(l.close)
	if err := l.open("127.0.0.1:0", 2, echo(t)); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", l.ports[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	var got atomic.Int64
	arrived := make(chan struct{}, 100)
	go func() {
		one := make([]byte, 1)
		for {
			if _, err := io.ReadFull(c, one); err != nil {
				return
			}
			got.Add(1)
			arrived <- struct{}{}
		}
	}()
	say := func() {
		t.Helper()
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	hear := func() {
		t.Helper()
		select {
		case <-arrived:
		case <-time.After(10 * time.Second):
			t.Fatal("nothing came")
		}
	}
	say()
	hear()
	for _, direction := range [][2]int{{1, 2}, {2, 1}} {
		resume := l.stop(direction[0], direction[1])
		before := got.Load()
		say()
		say()
		select {
		case <-arrived:
			t.Errorf("a byte came through the stopped link %v", direction)
		case <-time.After(50 * time.Millisecond): // too short only for a link that is not stopped and slow
		}
		resume()
		hear()
		hear()
		if n := got.Load() - before; n != 2 {
			t.Errorf("%d bytes of 2", n)
		}
	}
	l.slow(2, 30*time.Millisecond)
	began := time.Now()
	say()
	hear()
	if took := time.Since(began); took < 60*time.Millisecond {
		t.Errorf("there and back took %v, with 30 ms each way", took)
	}
	l.stop(1, 3) // another link
	l.slow(2, 0)
	say()
	hear()
}

func TestTheEndOfAConnectionDoesNotPassAStoppedLink(t *testing.T) {
	l := newLinks(func(_, _ net.Addr) int { return 1 })
	t.Cleanup(l.close)
	if err := l.open("127.0.0.1:0", 2, echo(t)); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", l.ports[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	one := make([]byte, 1)
	if _, err := c.Write(one); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, one); err != nil {
		t.Fatal(err)
	}
	resume := l.stop(2, 1)
	if err := c.(*net.TCPConn).CloseWrite(); err != nil { // the echo ends, too
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := c.Read(one)
		ended <- err
	}()
	select {
	case err := <-ended:
		t.Errorf("the end came through: %v", err)
	case <-time.After(50 * time.Millisecond): // too short only for a link that is not stopped and slow
	}
	resume()
	if err := <-ended; err != io.EOF {
		t.Error(err)
	}
}

func TestTheOwnerOfAConnectionIsFound(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	switch owner := ownerOf(c.LocalAddr(), c.RemoteAddr(), []int{1 << 30, os.Getpid()}); owner {
	case os.Getpid():
	case 0:
		if _, err := os.Stat("/proc/net/tcp"); err == nil {
			t.Error("the owner was not found")
		}
	default:
		t.Errorf("it belongs to process %d", owner)
	}
}
