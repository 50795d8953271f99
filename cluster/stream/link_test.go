package stream

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"netbank/cluster/stream/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair runs a test in virtual time with two linked sides.
func pair(t *testing.T, f func(t *testing.T, a, b *Link)) {
	synctest.Test(t, func(t *testing.T) {
		one, two := net.Pipe()
		var traffic Traffic
		a, b := NewLink(one, &traffic), NewLink(two, &traffic)
		f(t, a, b)
		a.Close(nil)
		b.Close(nil)
		a.Wait()
		b.Wait()
	})
}

func heartbeat(term uint64) *wire.Message {
	return &wire.Message{Body: &wire.Message_Heartbeat{Heartbeat: &wire.Heartbeat{Term: term}}}
}

func TestLink_KeepsTheOrderOfManySenders(t *testing.T) {
	pair(t, func(t *testing.T, a, b *Link) {
		const each, senders = 500, 8
		var sending sync.WaitGroup
		for s := range senders {
			sending.Go(func() {
				for i := range each {
					if err := a.Send(call(uint64(s*each+i), make([]byte, i))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		last := map[uint64]uint64{}
		frames := 0
		for got := 0; got < each*senders; frames++ {
			all, err := b.Read()
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range all {
				id := m.GetCall().Id
				if before, ok := last[id/each]; ok && id != before+1 {
					t.Fatalf("message %d came after %d", id, before)
				}
				last[id/each] = id
			}
			got += len(all)
		}
		sending.Wait()
		t.Logf("%d messages in %d frames", each*senders, frames)
	})
}

func TestLink_SilenceEndsItAndHeartbeatsKeepIt(t *testing.T) {
	pair(t, func(t *testing.T, a, b *Link) {
		a.Beat(func() *wire.Message { return heartbeat(7) })
		for range 100 {
			all, err := b.Read()
			if err != nil || all[0].GetHeartbeat().GetTerm() != 7 {
				t.Fatalf("%v, %v", all, err)
			}
		}
		start := time.Now()
		_, err := a.Read()
		if err == nil || !errors.Is(err, a.Err()) {
			t.Errorf("%v, and the link says %v", err, a.Err())
		}
		if took := time.Since(start); took < SilenceMax || took > 2*SilenceMax {
			t.Errorf("silence was noticed after %v", took)
		}
		if err := a.Send(heartbeat(1)); err == nil {
			t.Error("sent over a link that has ended")
		}
		if _, err := b.Read(); err == nil {
			// What was under way may still come; then the end does.
			if _, err = b.Read(); err == nil {
				t.Error("the other side goes on")
			}
		}
	})
}

// A peer that does not read is disconnected before what waits for it grows without end.
func TestEverythingIsBounded_ASlowReaderIsDisconnected(t *testing.T) {
	pair(t, func(t *testing.T, a, b *Link) {
		var err error
		sent := 0
		for ; err == nil && sent < 2*OutgoingBytesMax; sent += 60_000 {
			err = a.Send(call(1, make([]byte, 60_000)))
		}
		if !errors.Is(err, ErrSlow) || !errors.Is(a.Err(), ErrSlow) {
			t.Errorf("after %d bytes: %v", sent, err)
		}
	})
	pair(t, func(t *testing.T, a, b *Link) {
		a.Send(heartbeat(1))
		start := time.Now()
		<-a.Ended()
		if took := time.Since(start); took > WriteTimeout {
			t.Errorf("a write hung for %v", took)
		}
	})
}

func TestLink_DrainSaysWhatIsQueuedAndCloses(t *testing.T) {
	pair(t, func(t *testing.T, a, b *Link) {
		for i := range uint64(10) {
			a.Send(heartbeat(i))
		}
		a.Drain()
		if err := a.Send(heartbeat(99)); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
		got := 0
		for {
			all, err := b.Read()
			if err != nil {
				break
			}
			got += len(all)
		}
		if got != 10 {
			t.Errorf("%d messages came, want 10", got)
		}
	})
}

// shake lets two identities meet.
func shake(t *testing.T, cluster string, who Identity, answer func(l *Link)) (*Link, Welcomed, error) {
	t.Helper()
	one, two := net.Pipe()
	var traffic Traffic
	var ends sync.WaitGroup
	ends.Go(func() {
		l, got, err := Receive(two, cluster, 2, &traffic)
		if err != nil {
			return
		}
		if got != who {
			t.Errorf("got %+v, want %+v", got, who)
		}
		answer(l)
		for err == nil {
			_, err = l.Read()
		}
		l.Wait()
	})
	l, w, err := Knock(one, who, &traffic)
	if err == nil {
		defer ends.Wait()
		defer l.Wait()
		defer l.Close(nil)
		return l, w, nil
	}
	ends.Wait()
	return l, w, err
}

func TestHandshake(t *testing.T) {
	me := Identity{Cluster: "c1", Node: 2, Role: Worker, Incarnation: 5, HighestTerm: 9}
	welcome := func(l *Link) {
		l.Welcome(Welcomed{Term: 11, Levels: []uint64{1, 2, 3}})
		l.Send(heartbeat(11)) // may come in the same frame
	}
	f := func(change func(*Identity), answer func(l *Link), want error, words string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			who := me
			change(&who)
			_, w, err := shake(t, "c1", who, answer)
			if !errors.Is(err, want) || err != nil && !strings.Contains(err.Error(), words) {
				t.Errorf("got %v, want %v with %q", err, want, words)
			}
			if err == nil && (w.Term != 11 || len(w.Levels) != 3) {
				t.Errorf("welcomed with %+v", w)
			}
		})
	}
	f(func(*Identity) {}, welcome, nil, "")
	f(func(*Identity) {}, func(l *Link) { l.Turn(3, 12, "node 3 leads") }, ErrElsewhere, "node 3 leads")
	f(func(i *Identity) { i.Cluster = "c2" }, welcome, ErrElsewhere, "another cluster")
	f(func(i *Identity) { i.Node = 3 }, welcome, ErrElsewhere, "says that it is node 3")
	f(func(i *Identity) { i.Incarnation = 0 }, welcome, ErrElsewhere, "which life")
	f(func(*Identity) {}, func(l *Link) { l.Welcome(Welcomed{}) }, ErrHandshake, "no term")
	f(func(*Identity) {}, func(l *Link) { l.Send(heartbeat(1)) }, ErrHandshake, "no answer to Hello")
}

func TestHandshake_VersionsThatDoNotMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := net.Pipe()
		var traffic Traffic
		newer := NewLink(one, &traffic)
		newer.Send(&wire.Message{Body: &wire.Message_Hello{Hello: &wire.Hello{VersionMin: versionNewest + 1, VersionMax: versionNewest + 3, Node: 2, Incarnation: 1}}})
		go func() {
			all, err := newer.Read()
			if err != nil || !strings.Contains(all[0].GetElsewhere().GetWhy(), "upgrade the older one") {
				t.Errorf("%v, %v", all, err)
			}
			newer.Close(nil)
		}()
		if _, _, err := Receive(two, "", 2, &traffic); !errors.Is(err, ErrHandshake) {
			t.Errorf("got %v", err)
		}
		newer.Wait()
	})
}

// Nobody who has connected keeps a goroutine for long without having said who he is.
func TestEverythingIsBounded_AHandshakeThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, two := net.Pipe()
		var traffic Traffic
		start := time.Now()
		if _, _, err := Receive(two, "", 2, &traffic); err == nil || time.Since(start) > HandshakeTimeout {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func BenchmarkLink_Loopback(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	var traffic Traffic
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		echo := NewLink(conn, &traffic)
		for {
			all, err := echo.Read()
			if err != nil {
				return
			}
			for _, m := range all {
				echo.Send(m)
			}
		}
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	l := NewLink(conn, &traffic)
	for _, window := range []int{1, 256} {
		b.Run(fmt.Sprintf("InFlight%d", window), func(b *testing.B) {
			m := call(1, make([]byte, 200))
			b.ReportAllocs()
			inFlight := 0
			for b.Loop() {
				l.Send(m)
				for inFlight++; inFlight >= window; {
					all, err := l.Read()
					if err != nil {
						b.Fatal(err)
					}
					inFlight -= len(all)
				}
			}
			for inFlight > 0 {
				all, err := l.Read()
				if err != nil {
					b.Fatal(err)
				}
				inFlight -= len(all)
			}
		})
	}
	l.Close(nil)
	l.Wait()
}
