package load

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestLinesGiveTheOneThatWasUsedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stalls{service: time.Millisecond}
		lines := flows(t, s, 3)
		defer lines.Close()
		take := func() *Client {
			t.Helper()
			c, err := lines.Take(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if v := plain(c, 0); v.Outcome != Completed {
				t.Fatal(v)
			}
			return c
		}
		a, b := take(), take()
		lines.Give(a)
		lines.Give(b)
		for range 10 {
			c := take()
			if c != b {
				t.Fatal("another line than the one that was used last")
			}
			lines.Give(c)
		}
		if n := lines.Count(); n != (LinesCount{Clients: 2, Opened: 2}) {
			t.Errorf("%+v", n)
		}
		if err := lines.Open(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		if n := lines.Count(); n != (LinesCount{Clients: 3, Opened: 3}) {
			t.Errorf("after opening all: %+v", n)
		}
		if lines.Open(t.Context(), 4) == nil {
			t.Error("more lines were opened than there are")
		}
	})
}

func TestWhoNeedsALineWaitsInTurn_AndItIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := flows(t, &stalls{}, 1)
		defer lines.Close()
		first, err := lines.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var (
			lock sync.Mutex
			wait sync.WaitGroup
			turn []int
		)
		for i := range 5 {
			ctx, cancel := t.Context(), func() {}
			if i == 2 {
				ctx, cancel = context.WithTimeout(ctx, time.Second)
			}
			wait.Go(func() {
				defer cancel()
				c, err := lines.Take(ctx)
				if i == 2 {
					if !errors.Is(err, context.DeadlineExceeded) || Reason(err) != "timeout" {
						t.Errorf("who waited too long was told %v", err)
					}
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				lock.Lock()
				turn = append(turn, i)
				lock.Unlock()
				time.Sleep(time.Second)
				lines.Give(c)
			})
			synctest.Wait()
		}
		time.Sleep(2 * time.Second)
		lines.Give(first)
		wait.Wait()
		if len(turn) != 4 || turn[0] != 0 || turn[1] != 1 || turn[2] != 3 || turn[3] != 4 {
			t.Errorf("the turns were %v", turn)
		}
		if n := lines.Count(); n.Waited != 5 || n.Clients != 1 || n.Taken != 0 {
			t.Errorf("%+v", n)
		}
	})
}

func TestALineGivenToOneWhoLeavesIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := flows(t, &stalls{}, 1)
		defer lines.Close()
		f := func(leavesFirst bool) {
			t.Helper()
			held, err := lines.Take(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			left := false
			go func() {
				c, err := lines.Take(ctx)
				if left = err != nil; !left {
					lines.Give(c)
				}
			}()
			synctest.Wait()
			if leavesFirst {
				cancel()
				lines.Give(held)
			} else {
				lines.Give(held)
				cancel()
			}
			synctest.Wait()
			if n := lines.Count(); n.Taken != 0 || left != leavesFirst {
				t.Fatalf("%+v, and nobody holds one; left: %v, before it was given: %v", n, left, leavesFirst)
			}
		}
		f(true)
		f(false)
	})
}

func TestNoLineIsLostOrSharedByTwo(t *testing.T) {
	const most, users, turns = 5, 40, 200
	lines, err := NewLines(Dialer{}, most)
	if err != nil {
		t.Fatal(err)
	}
	var (
		wait sync.WaitGroup
		held [most]atomic.Int32
	)
	for user := range users {
		wait.Go(func() {
			for turn := range turns {
				ctx, cancel := context.WithCancel(t.Context())
				if (user+turn)%3 == 0 {
					go cancel() // now, or later
				}
				if c, err := lines.Take(ctx); err == nil {
					if held[c.Index].Add(1) != 1 {
						t.Error("two hold one line")
					}
					held[c.Index].Add(-1)
					lines.Give(c)
				}
				cancel()
			}
		})
	}
	wait.Wait()
	if n := lines.Count(); n.Taken != 0 || n.Clients > most || lines.waiting.Len() != 0 {
		t.Errorf("%+v, %d wait", n, lines.waiting.Len())
	}
	lines.Close()
	if _, err := lines.Take(t.Context()); !errors.Is(err, ErrLinesClosed) {
		t.Errorf("closed lines said %v", err)
	}
}

func TestWhoWaitsForLinesIsToldThatTheyClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := flows(t, &stalls{}, 1)
		c, err := lines.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if v := plain(c, 0); v.Outcome != Completed {
			t.Fatal(v)
		}
		told := make(chan error)
		go func() {
			_, err := lines.Take(t.Context())
			told <- err
		}()
		synctest.Wait()
		lines.Close()
		if err := <-told; !errors.Is(err, ErrLinesClosed) {
			t.Error(err)
		}
		lines.Give(c) // which closes it: the bubble's server ends
	})
}

func TestNewLinesBounds(t *testing.T) {
	for _, most := range []int{-1, 0, ConnectionsMax + 1} {
		if _, err := NewLines(Dialer{}, most); err == nil {
			t.Errorf("%d lines were taken", most)
		}
	}
}

// taking is a server that takes as long as it is told at the moment.
func taking(service *atomic.Int64) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		in := bufio.NewReader(c)
		for {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			time.Sleep(time.Duration(service.Load()))
			if _, err := io.WriteString(c, answerOK); err != nil {
				return
			}
		}
	}
}

// A customer's patience is his own: it ends when it says, whatever deadline a request before it left on the connection.
func TestPatienceIsKeptExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var takes atomic.Int64
		d := pipes(taking(&takes))
		d.Timeout = 8 * time.Second
		c := newClient(&d, 0)
		defer c.Close()
		f := func(patience, service, took time.Duration, want string) {
			t.Helper()
			takes.Store(int64(service))
			began := time.Now()
			var err error
			if patience > 0 {
				_, err = c.DoWithin(request, patience)
			} else {
				_, err = c.Do(request)
			}
			got := ""
			if err != nil {
				got = Reason(err)
			}
			if passed := time.Since(began); passed != took || got != want {
				t.Errorf("patience %v, service %v: %q after %v, expected %q after %v", patience, service, got, passed, want, took)
			}
		}
		f(time.Second, time.Millisecond, time.Millisecond, "")
		f(time.Second, 999*time.Millisecond, 999*time.Millisecond, "")
		f(time.Second, 2*time.Second, time.Second, "timeout")
		f(100*time.Millisecond, time.Millisecond, time.Millisecond, "")
		f(0, 7*time.Second, 7*time.Second, "")
		f(0, 500*time.Millisecond, 500*time.Millisecond, "")
		f(7500*time.Millisecond, 7400*time.Millisecond, 7400*time.Millisecond, "")
		f(0, time.Minute, 8*time.Second, "timeout")
		if _, err := c.DoWithin(request, 0); err == nil {
			t.Error("no patience at all was taken")
		}
		if n := c.opened.Load(); n != 2 {
			t.Errorf("%d connections were opened; one after each timeout is due, when it is needed", n)
		}
		time.Sleep(time.Hour) // until the server has noticed, too
	})
}

// The dialer's timeout may be cut by as much as it costs to keep it to the nanosecond, and by no more.
func TestTheTimeoutIsKeptToAnEighth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var takes atomic.Int64
		d := pipes(taking(&takes))
		d.Timeout = 400 * time.Millisecond
		c := newClient(&d, 0)
		defer c.Close()
		for range 100 {
			takes.Store(int64(340 * time.Millisecond))
			if _, err := c.Do(request); err != nil {
				t.Fatalf("a request of 340 ms within %v: %v", d.Timeout, err)
			}
			takes.Store(int64(7 * time.Millisecond))
			if _, err := c.Do(request); err != nil {
				t.Fatal(err)
			}
		}
		takes.Store(int64(time.Second))
		began := time.Now()
		if _, err := c.Do(request); Reason(err) != "timeout" || time.Since(began) > 400*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		time.Sleep(time.Hour) // until the server has noticed, too
	})
}

// A line at rest holds nothing of a request: what came last must not be seen by who takes it next.
func TestALineAtRestHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := flows(t, &stalls{service: time.Millisecond}, 1)
		defer lines.Close()
		c, err := lines.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if v := plain(c, 0); v.Outcome != Completed {
			t.Fatal(v)
		}
		c.Scratch = make([]byte, 1000)
		lines.Give(c)
		if c.in != nil || c.Scratch != nil || c.response.Body != nil {
			t.Error("it still holds its buffers")
		}
	})
}

// Every system refuses sockets at some point. The generator counts what it could not send, and goes on.
func TestFileHandlesThatRunOutAreFailuresWithAReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stalls{service: time.Millisecond, start: time.Now()}
		good := pipes(s.serve)
		var tries atomic.Int64
		lines, err := NewLines(Dialer{Dial: func(ctx context.Context) (net.Conn, error) {
			if tries.Add(1) > 3 {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", syscall.EMFILE)}
			}
			return good.Dial(ctx)
		}}, 100)
		if err != nil {
			t.Fatal(err)
		}
		defer lines.Close()
		flow := func(v *Visit) Verdict {
			c, err := lines.Take(v.Context())
			if err != nil {
				return Verdict{Outcome: Failed, Reason: Reason(err)}
			}
			defer lines.Give(c)
			return plain(c, v.N)
		}
		r, err := Busy(t.Context(), CrowdRun{Flow: func(v *Visit) Verdict { v.Wait(time.Millisecond); return flow(v) }, Measure: time.Second}, 10)
		if err != nil {
			t.Fatal(err)
		}
		addsUp(t, r)
		if r.Completed == 0 || r.Failed == 0 || r.Reasons["no file handle left for a connection (ulimit -n)"] != r.Failed {
			t.Errorf("%d completed, %d failed: %v", r.Completed, r.Failed, r.Reasons)
		}
	})
}

// hostile serves each connection with one script of pieces, whatever is asked.
func hostile(pieces ...string) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		go io.Copy(io.Discard, c) // it hears no more, and is in nobody's way
		for _, p := range pieces {
			if _, err := io.WriteString(c, p); err != nil {
				return
			}
		}
	}
}

func FuzzExchange(f *testing.F) {
	f.Add([]byte(answerOK), uint8(3))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n"), uint8(1))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 4194304\r\n\r\nabc"), uint8(255))
	f.Add([]byte(answerOK+answerOK), uint8(0))
	f.Add([]byte("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"), uint8(7))
	f.Fuzz(func(t *testing.T, answer []byte, piece uint8) {
		var pieces []string
		for size := int(piece) + 1; len(answer) > 0; {
			n := min(size, len(answer))
			pieces = append(pieces, string(answer[:n]))
			answer = answer[n:]
		}
		d := pipes(hostile(pieces...))
		c := newClient(&d, 0)
		c.lean = piece%2 == 0
		defer c.Close()
		for range 2 {
			r, err := c.Do(request)
			if err != nil {
				if Reason(err) == "" || c.conn != nil {
					t.Fatalf("%v leaves the connection open", err)
				}
				continue
			}
			if r.Status < 200 || len(r.Body) > BodyBytesMax || len(c.in) > HeadBytesMax+BodyBytesMax+firstBuffer {
				t.Fatalf("status %d, %d bytes, a buffer of %d", r.Status, len(r.Body), len(c.in))
			}
		}
		c.rest()
	})
}
