package load

import (
	"net"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// sink answers requests by system calls, so that of each connection nothing but the client's side takes memory of this
// process. It gives the address and the function that closes everything.
func sink(t testing.TB) (addr string, end func()) {
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

// idle makes a request on each of n lines, gives them back, and says what the process then holds for each, stacks and the
// poller's memory included.
func idle(t testing.TB, n int) (bytesEach float64) {
	addr, end := sink(t)
	defer end()
	used := func() uint64 {
		runtime.GC()
		runtime.GC() // a sync.Pool keeps what it has over one
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse + m.OtherSys
	}
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
	each := float64(used()-before) / float64(n)
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

func TestAnIdleConnectionCostsLittle(t *testing.T) {
	n := room(2000)
	if n < 100 {
		t.Skipf("the limit on open files leaves room for %d connections, too few to tell", n)
	}
	const most = 8 << 10
	each := idle(t, n)
	t.Logf("%d idle connections, %.0f bytes each", n, each)
	if each > most {
		t.Errorf("an idle connection costs %.0f bytes, at most %d are promised", each, most)
	}
}

// BenchmarkIdleConnections opens 10,000 connections, or as many as the limit on open files leaves room for with both ends in one
// process, and reports what each costs while it is idle.
func BenchmarkIdleConnections(b *testing.B) {
	n := room(10_000)
	for b.Loop() {
		b.ReportMetric(idle(b, n), "B/connection")
	}
	b.ReportMetric(float64(n), "connections")
}
