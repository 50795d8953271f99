package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"
)

const answerOK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

var request = []byte("GET / HTTP/1.1\r\nHost: test\r\n\r\n")

// stalls is a server in a bubble of virtual time: an answer takes service, and none is given inside a planted stall.
type stalls struct {
	start   time.Time
	service time.Duration
	planted [][2]time.Duration
}

// finish is when an answer is ready that was begun at an offset.
func (s *stalls) finish(began time.Duration) time.Duration {
	done := began + s.service
	for _, p := range s.planted {
		if done >= p[0] && done < p[1] {
			done = p[1]
		}
	}
	return done
}

func (s *stalls) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		began := time.Since(s.start)
		time.Sleep(s.finish(began) - began)
		if _, err := io.WriteString(c, answerOK); err != nil {
			return
		}
	}
}

func plain(c *Client, _ int64) Verdict {
	r, err := c.Do(request)
	switch {
	case err != nil:
		return Verdict{Outcome: Failed, Reason: Reason(err)}
	case r.Status != 200 || string(r.Body) != "ok":
		return Verdict{Outcome: Refused, Reason: fmt.Sprint(r.Status)}
	}
	return Verdict{}
}

// pipes dials servers over net.Pipe, which a bubble of virtual time sees through.
func pipes(serve func(net.Conn)) Dialer {
	return Dialer{Timeout: time.Hour, Dial: func(context.Context) (net.Conn, error) {
		client, server := net.Pipe()
		go serve(server)
		return client, nil
	}}
}

// expected works the same run out on paper: arrivals in order, each to the connection that is free first.
func expected(s *stalls, connections int, arrivals []time.Duration) []time.Duration {
	free := make([]time.Duration, connections)
	var latencies []time.Duration
	for _, due := range arrivals {
		first := slices.Index(free, slices.Min(free))
		done := s.finish(max(due, free[first]))
		free[first] = done
		latencies = append(latencies, done-due)
	}
	slices.Sort(latencies)
	return latencies
}

// The check of the instrument: what it says about a server with planted stalls is what the arithmetic of intended starts
// says, to the histogram's resolution. Time is virtual, so there is nothing to be lucky about.
func TestLatencyCountsFromTheIntendedStart_PlantedStalls(t *testing.T) {
	f := func(name string, connections int, perSecond float64, s stalls) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			s.start = time.Now()
			pool, err := NewPool(t.Context(), pipes(s.serve), connections)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			const length = 20 * time.Second
			schedule := func() *Schedule {
				drawn, err := NewSchedule(11, Constant(perSecond), length)
				if err != nil {
					t.Fatal(err)
				}
				return drawn
			}
			got, err := Open(t.Context(), Run{Pool: pool, Work: plain, Measure: length, pace: timers{}}, schedule())
			if err != nil {
				t.Fatal(err)
			}
			want := expected(&s, connections, offsets(t, 11, Constant(perSecond), length))
			if got.Completed != int64(len(want)) || got.Offered != got.Completed || got.Dropped != 0 || got.Failed != 0 {
				t.Fatalf("%s: %d offered, %d completed of %d", name, got.Offered, got.Completed, len(want))
			}
			for _, percentile := range []float64{50, 90, 99, 99.9, 100} {
				index := max(0, min(len(want)-1, int(float64(len(want))*percentile/100+.5)-1))
				exact, read := max(want[index], LatencyMin), time.Duration(got.Latency.ValueAtPercentile(percentile))
				if off := read - exact; off.Abs() > exact/500+time.Microsecond {
					t.Errorf("%s: p%v is %v, by arithmetic %v", name, percentile, read, exact)
				}
			}
			// Lag is the pacer's own, and here it has none.
			if lag := time.Duration(got.Lag.Max()); lag > 2*time.Microsecond {
				t.Errorf("%s: a lag of %v in virtual time", name, lag)
			}
		})
	}
	two := [][2]time.Duration{{3 * time.Second, 5 * time.Second}, {9 * time.Second, 9*time.Second + 300*time.Millisecond}}
	f("no stall", 1, 50, stalls{service: time.Millisecond})
	f("two stalls, one connection", 1, 200, stalls{service: time.Millisecond, planted: two})
	f("two stalls, four connections", 4, 200, stalls{service: 5 * time.Millisecond, planted: two})
	f("more connections than arrivals wait", 500, 100, stalls{service: 5 * time.Millisecond, planted: two})
}

// What a closed loop would have said of the same stall: one slow answer. The open run's Service histogram shows it, and
// Latency does not fall for it.
func TestServiceTimeHidesWhatLatencyTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stalls{start: time.Now(), service: time.Millisecond, planted: [][2]time.Duration{{2 * time.Second, 4 * time.Second}}}
		pool, err := NewPool(t.Context(), pipes(s.serve), 1)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		schedule, err := NewSchedule(5, Constant(100), 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Open(t.Context(), Run{Pool: pool, Work: plain, Measure: 10 * time.Second, pace: timers{}}, schedule)
		if err != nil {
			t.Fatal(err)
		}
		if hidden, told := time.Duration(r.Service.ValueAtPercentile(95)), time.Duration(r.Latency.ValueAtPercentile(95)); hidden > 2*time.Millisecond || told < time.Second {
			t.Errorf("p95 is %v from the sending and %v from the intended start", hidden, told)
		}
	})
}

func TestTheWarmUpIsNotMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stalls{start: time.Now(), service: time.Millisecond, planted: [][2]time.Duration{{0, time.Second}}}
		pool, err := NewPool(t.Context(), pipes(s.serve), 4)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		schedule, err := NewSchedule(5, Constant(100), 6*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		all := offsets(t, 5, Constant(100), 6*time.Second)
		inWarmUp, _ := slices.BinarySearch(all, 2*time.Second)
		r, err := Open(t.Context(), Run{Pool: pool, Work: plain, WarmUp: 2 * time.Second, Measure: 4 * time.Second, pace: timers{}}, schedule)
		if err != nil {
			t.Fatal(err)
		}
		addsUp(t, r)
		if r.WarmUp != int64(inWarmUp) || r.Offered != int64(len(all)-inWarmUp) || r.Completed != r.Offered || r.Next != int64(len(all)) {
			t.Errorf("%d in the warm-up, %d offered, %d completed, next %d; the schedule has %d, of them %d in the warm-up", r.WarmUp, r.Offered, r.Completed, r.Next, len(all), inWarmUp)
		}
		if slowest := time.Duration(r.Latency.Max()); slowest > 2*time.Millisecond {
			t.Errorf("the stall of the warm-up was measured: %v", slowest)
		}
	})
}

func TestArrivalsBeyondTheBacklogAreDroppedAndTheRunIsVoid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const seconds = 20
		s := &stalls{start: time.Now(), service: time.Microsecond, planted: [][2]time.Duration{{0, seconds * time.Second}}}
		pool, err := NewPool(t.Context(), pipes(s.serve), 1)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		schedule, err := NewSchedule(5, Constant(5000), seconds*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Open(t.Context(), Run{Pool: pool, Work: plain, Measure: seconds * time.Second, pace: timers{}}, schedule)
		if err != nil {
			t.Fatal(err)
		}
		addsUp(t, r)
		if r.Offered != r.Completed+r.Dropped || r.Completed < BacklogMax || r.Completed > BacklogMax+1 || r.Void() == nil {
			t.Errorf("%d offered, %d completed, %d dropped, void: %v", r.Offered, r.Completed, r.Dropped, r.Void())
		}
	})
}

func TestClosedKeepsEveryConnectionBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stalls{start: time.Now(), service: 10 * time.Millisecond}
		pool, err := NewPool(t.Context(), pipes(s.serve), 8)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		r, err := Closed(t.Context(), Run{Pool: pool, Work: plain, WarmUp: time.Second, Measure: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		addsUp(t, r)
		// 8 connections, 100 requests a second each; those that finish at the very edges belong to one side.
		if r.WarmUp < 8*98 || r.WarmUp > 8*100 || r.Completed < 8*199 || r.Completed > 8*201 {
			t.Errorf("%d in the warm-up, %d measured", r.WarmUp, r.Completed)
		}
		limited, err := Closed(t.Context(), Run{Pool: pool, Work: plain, Measure: time.Hour, From: 100, Limit: 800})
		if err != nil {
			t.Fatal(err)
		}
		if limited.Completed != 800 || limited.Next != 900 || limited.Elapsed != time.Second {
			t.Errorf("%d of 800 in %v, next %d", limited.Completed, limited.Elapsed, limited.Next)
		}
	})
}

func TestEveryNumberIsWorkedOnOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stalls{start: time.Now(), service: time.Millisecond}
		pool, err := NewPool(t.Context(), pipes(s.serve), 8)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		var lock sync.Mutex
		times := map[int64]int{}
		work := func(c *Client, n int64) Verdict {
			lock.Lock()
			times[n]++
			lock.Unlock()
			return plain(c, n)
		}
		schedule, err := NewSchedule(5, Constant(500), 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Open(t.Context(), Run{Pool: pool, Work: work, From: 40, Measure: 2 * time.Second, pace: timers{}}, schedule)
		if err != nil {
			t.Fatal(err)
		}
		for n := int64(40); n < r.Next; n++ {
			if times[n] != 1 {
				t.Errorf("request %d was made %d times", n, times[n])
			}
		}
		if len(times) != int(r.Next-40) {
			t.Errorf("%d numbers were worked on, expected %d", len(times), r.Next-40)
		}
	})
}

func TestFailuresAndRefusalsAreCountedApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		pool, err := NewPool(t.Context(), pipes(func(c net.Conn) {
			defer c.Close()
			in := bufio.NewReader(c)
			for {
				if _, err := http.ReadRequest(in); err != nil {
					return
				}
				switch asked++; asked % 4 {
				case 1:
					return // ends without an answer
				case 2:
					io.WriteString(c, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
				case 3:
					io.WriteString(c, "SSH-2.0\r\n\r\n")
				default:
					io.WriteString(c, answerOK)
				}
			}
		}), 1)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		r, err := Closed(t.Context(), Run{Pool: pool, Work: plain, Measure: time.Second, Limit: 400})
		if err != nil {
			t.Fatal(err)
		}
		addsUp(t, r)
		if r.Completed != 100 || r.Refused != 100 || r.Failed != 200 || r.Reasons["503"] != 100 || r.Reasons["malformed answer"] != 100 || r.Reasons["connection ended"] != 100 {
			t.Errorf("%d completed, %d refused, %d failed: %v", r.Completed, r.Refused, r.Failed, r.Reasons)
		}
		if pool.Reopened() != 200 {
			t.Errorf("%d connections were opened again, expected one after each failure", pool.Reopened())
		}
	})
}

func TestAnswersOfAllSizesAreRead(t *testing.T) {
	ln := fasthttputil.NewInmemoryListener()
	server := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		n := ctx.QueryArgs().GetUintOrZero("n")
		ctx.Response.SetBody(slices.Repeat([]byte{'a' + byte(n%26)}, n))
	}}
	go server.Serve(ln)
	defer ln.Close()
	for _, lean := range []bool{false, true} {
		c := newClient(&Dialer{Dial: func(context.Context) (net.Conn, error) { return ln.Dial() }}, 0)
		c.lean = lean
		for _, n := range []int{0, 1, fewBytes - 200, fewBytes, firstBuffer - 200, firstBuffer, firstBuffer + 1, 1 << 20, 7, 5000} {
			r, err := c.Do(fmt.Appendf(nil, "GET /?n=%d HTTP/1.1\r\nHost: test\r\n\r\n", n))
			if err != nil {
				t.Fatalf("%d bytes: %v", n, err)
			}
			if len(r.Body) != n || n > 0 && (r.Body[0] != 'a'+byte(n%26) || r.Body[n-1] != r.Body[0]) || string(r.Header("Content-Length")) != fmt.Sprint(n) {
				t.Errorf("%d bytes came of %d, lean: %v", len(r.Body), n, lean)
			}
			if clear(c.in); r.Header("Content-Length") != nil {
				t.Errorf("headers before a body of %d bytes are in a buffer that others use, lean: %v", n, lean)
			}
		}
		c.Close()
	}
}

func TestBytesBehindAnAnswerAreAFailure(t *testing.T) {
	client, server := net.Pipe()
	go func() {
		if _, err := http.ReadRequest(bufio.NewReader(server)); err == nil {
			io.WriteString(server, answerOK+answerOK)
		}
	}()
	c := newClient(&Dialer{Dial: func(context.Context) (net.Conn, error) { return client, nil }}, 0)
	if _, err := c.Do(request); !errors.Is(err, ErrMalformed) {
		t.Errorf("two answers to one request: %v", err)
	}
}

// BenchmarkExchange is the generator's own cost of a request, with a server of nothing.
func BenchmarkExchange(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	go (&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.Response.SetBodyString("ok") }}).Serve(ln)
	c := newClient(&Dialer{Addr: ln.Addr().String()}, 0)
	defer c.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Do(request); err != nil {
			b.Fatal(err)
		}
	}
}

// oversleeps is a pacer that is late by the same time whenever it had to wait.
type oversleeps struct {
	timers
	by time.Duration
}

func (o oversleeps) sleep(d time.Duration) { time.Sleep(d + o.by) }

// What the generator is late by is told as its lag, and is part of the latency all the same: it does not make the server look
// better, and does not hide that it made it look worse.
func TestAPacerThatIsLateSaysSo(t *testing.T) {
	const late = 50 * time.Millisecond
	f := func(name string, run func(t *testing.T, s *stalls, schedule *Schedule) (*Result, error)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			// Two arrivals a second: none is due while the pacer oversleeps for another.
			r, err := run(t, &stalls{start: time.Now(), service: time.Millisecond}, scheduled(t, 5, 2, 20*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			addsUp(t, r)
			if lag, latency := time.Duration(r.Lag.Max()), time.Duration(r.Latency.Max()); lag < late || lag > late+late/500 || latency < late+time.Millisecond || latency > late+2*time.Millisecond {
				t.Errorf("%s: a lag of %v and a latency of %v", name, lag, latency)
			}
		})
	}
	f("open", func(t *testing.T, s *stalls, schedule *Schedule) (*Result, error) {
		pool, err := NewPool(t.Context(), pipes(s.serve), 5)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		return Open(t.Context(), Run{Pool: pool, Work: plain, Measure: 20 * time.Second, pace: oversleeps{by: late}}, schedule)
	})
	f("crowd", func(t *testing.T, s *stalls, schedule *Schedule) (*Result, error) {
		lines := flows(t, s, 5)
		defer lines.Close()
		flow := func(v *Visit) Verdict {
			c, err := lines.Take(v.Context())
			if err != nil {
				return Verdict{Outcome: Failed, Reason: Reason(err)}
			}
			defer lines.Give(c)
			return plain(c, v.N)
		}
		return Crowd(t.Context(), CrowdRun{Flow: flow, Measure: 20 * time.Second, Grace: time.Second, pace: oversleeps{by: late}}, schedule)
	})
}

// A connection is idle from its last answer on; a server that takes long over one does not cost a handshake.
func TestALongAnswerIsNoIdleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stalls{start: time.Now(), service: idleMax + time.Second}
		d := pipes(s.serve)
		c := newClient(&d, 0)
		defer c.Close()
		f := func(pause time.Duration, opened int64) {
			t.Helper()
			time.Sleep(pause)
			if _, err := c.Do(request); err != nil {
				t.Fatal(err)
			}
			if n := c.opened.Load(); n != opened {
				t.Errorf("after a pause of %v %d connections were opened, expected %d", pause, n, opened)
			}
		}
		f(0, 1)
		f(time.Second, 1)
		f(idleMax, 1)
		f(idleMax+time.Second, 2)
	})
}

func TestTheCeilingIsMeasuredAgainstAnyPlainServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go (&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.Response.SetBodyString("ok") }}).Serve(ln)
	r, err := Ceiling(t.Context(), ln.Addr().String(), 8, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	addsUp(t, r)
	if r.Completed == 0 || r.Failed != 0 || r.PerSecond() <= 0 || r.InSLO != r.Completed {
		t.Errorf("%d completed, %d failed: %v", r.Completed, r.Failed, r.Reasons)
	}
	if _, err := Ceiling(t.Context(), "127.0.0.1:1", 1, time.Second); !errors.Is(err, ErrUnreached) {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := Ceiling(t.Context(), ln.Addr().String(), 0, time.Second); err == nil {
		t.Error("no connection at all was taken")
	}
}
