package load

import (
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sink answers requests by system calls, so that of each connection nothing but the client's side takes memory of this
// process. It gives the address and the function that closes everything.
func sink(t testing.TB, answer bool) (addr string, end func()) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 1024); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan []int)
	go func() {
		var taken []int
		in := make([]byte, 4096)
		defer func() { done <- taken }()
		for {
			c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
			if err != nil {
				return
			}
			taken = append(taken, c)
			if !answer {
				continue
			}
			if n, err := unix.Read(c, in); err != nil || n == 0 {
				continue
			}
			if _, err := unix.Write(c, []byte(answerOK)); err != nil {
				return
			}
		}
	}()
	return (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*unix.SockaddrInet4).Port}).String(), func() {
		_ = unix.Shutdown(fd, unix.SHUT_RDWR) // wakes the accept
		for _, c := range append(<-done, fd) {
			unix.Close(c)
		}
	}
}

// used is what the process holds, stacks and the poller's memory included.
func used() float64 {
	runtime.GC()
	runtime.GC() // a sync.Pool keeps what it has over one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse + m.OtherSys)
}

// waiting makes n requests that are not answered, each in a goroutine of its own, and says what the process then holds for each.
func waiting(t testing.TB, n int) (bytesEach float64) {
	addr, end := sink(t, false)
	before := used()
	lines, err := NewLines(Dialer{Addr: addr, Timeout: time.Minute}, n)
	if err != nil {
		t.Fatal(err)
	}
	defer lines.Close()
	if err := lines.Open(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for range n {
		wait.Go(func() {
			c, err := lines.Take(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			defer lines.Give(c)
			if v := plain(c, 0); v.Outcome != Failed {
				t.Errorf("an answer came: %+v", v)
			}
		})
	}
	for lines.Count().Taken < n || runtime.NumGoroutine() < n {
		runtime.Gosched()
	}
	each := (used() - before) / float64(n)
	end() // closes the server's side: nobody waits any longer
	wait.Wait()
	return each
}

// idle makes a request on each of n lines, gives them back, and says what the process then holds for each.
func idle(t testing.TB, n int) (bytesEach float64) {
	addr, end := sink(t, true)
	defer end()
	before := used()
	lines, err := NewLines(Dialer{Addr: addr}, n)
	if err != nil {
		t.Fatal(err)
	}
	defer lines.Close()
	taken := make([]*Client, n)
	for i := range taken {
		if taken[i], err = lines.Take(t.Context()); err != nil {
			t.Fatal(err)
		}
		if v := plain(taken[i], int64(i)); v.Outcome != Completed {
			t.Fatalf("line %d of %d: %s", i, n, v.Reason)
		}
	}
	for _, c := range taken {
		lines.Give(c)
	}
	taken = nil
	each := (used() - before) / float64(n)
	runtime.KeepAlive(lines)
	return each
}

// room is how many connections fit under the limit on open files, both ends in this process.
func room(most int) int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return min(most, (int(min(limit.Cur, 1<<20))-200)/2)
}

func TestConnectionsCostLittle(t *testing.T) {
	n := room(1000)
	if n < 100 {
		t.Skipf("the limit on open files leaves room for %d connections, too few to tell", n)
	}
	f := func(what string, each, most float64) {
		t.Helper()
		t.Logf("%d %s connections, %.0f bytes each", n, what, each)
		if each > most {
			t.Errorf("a connection that is %s costs %.0f bytes, at most %.0f are promised", what, each, most)
		}
	}
	f("idle", idle(t, n), 8<<10)
	f("waiting for an answer, with its goroutine", waiting(t, n), 16<<10)
}

// BenchmarkConnections opens 10,000 connections, or as many as the limit on open files leaves room for with both ends in one
// process, and reports what each costs while it is idle, and while a request waits on it.
func BenchmarkConnections(b *testing.B) {
	n := room(10_000)
	for b.Loop() {
		b.ReportMetric(idle(b, n), "B/idle")
		b.ReportMetric(waiting(b, n), "B/waiting")
	}
	b.ReportMetric(float64(n), "connections")
}
