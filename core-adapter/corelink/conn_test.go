package corelink

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	coreadapter "netbank/core-adapter"
	"netbank/core-adapter/iso8583"
)

func TestEveryConnectionSignsOnFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, func(c *Config) { c.Conns = 4 }) // the scripted core holds the first message against a sign-on
		must(t, l.WaitUp(t.Context()))
		for range 4 {
			s.peer()
		}
		synctest.Wait()
		if l.Up() != 4 || l.Stats().Connected != 4 {
			t.Errorf("%d up, %+v", l.Up(), l.Stats())
		}
	})
}

func TestARefusedSignOnIsTriedAgainAndNothingIsSentMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newScripted(t)
		s.signOn = "96"
		l := s.open(func(c *Config) { c.Timeouts.BackoffMax = time.Second })
		began := time.Now()
		a := debiting(t, l, 1)()
		if a.Word != coreadapter.NotSent || !errors.Is(a.Err, ErrNotConnected) {
			t.Errorf("%+v", a)
		}
		if waited := time.Since(began); waited != 200*time.Millisecond {
			t.Errorf("waited %v for a connection, want Timeouts.Up", waited)
		}
		if l.Up() != 0 || l.Stats().ConnectFailed == 0 || !strings.Contains(s.logged(), "refused the sign-on") || !strings.Contains(s.logged(), "response code 96") {
			t.Errorf("%d up, %+v, %s", l.Up(), l.Stats(), s.logged())
		}
		time.Sleep(time.Minute)
		if n := strings.Count(s.logged(), "\n"); n != 1 {
			t.Errorf("the same reason stands in %d lines", n)
		}
		s.mu.Lock()
		dialled := s.dialled
		s.signOn = "00"
		s.mu.Unlock()
		if dialled < 60 || dialled > 200 {
			t.Errorf("%d attempts in a minute of waits up to a second", dialled)
		}
		p := s.peer()
		answer := debiting(t, l, 1)
		p.answer(p.read(), "00", nil)
		if a := answer(); a.Word != coreadapter.Approved {
			t.Errorf("%+v", a)
		}
	})
}

func TestASilentSignOnIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newScripted(t)
		s.signOn = ""
		l := s.open(nil)
		time.Sleep(5*time.Second + time.Millisecond)
		if l.Up() != 0 || l.Stats().ConnectFailed != 1 || !strings.Contains(s.logged(), "no sign-on within 5s") {
			t.Errorf("%+v, %s", l.Stats(), s.logged())
		}
	})
}

func TestAFailedDialIsTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newScripted(t)
		s.refuse = errors.New("connection refused")
		l := s.open(nil)
		if err := l.WaitUp(within(t, time.Minute)); !errors.Is(err, ErrNotConnected) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		s.mu.Lock()
		s.refuse = nil
		s.mu.Unlock()
		must(t, l.WaitUp(within(t, time.Minute)))
	})
}

func TestBadInputClosesTheConnectionAndLeavesItsCallsInDoubt(t *testing.T) {
	f := func(reason string, send func(p *peer, m *iso8583.Message)) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			l, s := open(t, nil)
			p := s.peer()
			first := debiting(t, l, 1)
			m := p.read()
			second := debiting(t, l, 2)
			p.read()
			send(p, m)
			for _, a := range []coreadapter.Answer{first(), second()} {
				if a.Word != coreadapter.InDoubt || !errors.Is(a.Err, ErrConnectionLost) || !strings.Contains(a.Err.Error(), reason) {
					t.Errorf("%s: %+v", reason, a)
				}
			}
			p.ended()
			synctest.Wait()
			if st := l.Stats(); st.BadInput != 1 || st.Lost != 1 || st.Remembered != 2 || st.Up != 0 {
				t.Errorf("%s: %+v", reason, st)
			}
			if log := s.logged(); !strings.Contains(log, reason) || strings.Contains(log, testAccount[:6]) || strings.Contains(log, "19900") || strings.Contains(log, "天猫") {
				t.Errorf("%s: logged %s", reason, log)
			}
			again := s.peer()
			third := debiting(t, l, 3)
			again.answer(again.read(), "00", nil)
			if a := third(); a.Word != coreadapter.Approved {
				t.Errorf("%s: afterwards %+v", reason, a)
			}
		})
	}
	raw := func(change func(b []byte) []byte) func(p *peer, m *iso8583.Message) {
		return func(p *peer, m *iso8583.Message) {
			// The link may end the connection before it has read the last byte.
			p.nc.Write(change(answerTo(p.t, m, "51", nil)))
		}
	}
	set := func(field int, value string) func(p *peer, m *iso8583.Message) {
		return func(p *peer, m *iso8583.Message) {
			p.answer(m, "00", func(m *iso8583.Message) { must(p.t, m.Set(field, value)) })
		}
	}
	f("a length of 65535 bytes", raw(func(b []byte) []byte { b[0], b[1] = 255, 255; return b }))
	f("a length of 3 bytes", raw(func(b []byte) []byte { b[0], b[1] = 0, 3; return b }))
	f("bytes after the last field", raw(func(b []byte) []byte { b[1]++; return append(b, '0') }))
	f("message type", raw(func(b []byte) []byte { b[3] = '7'; return b }))
	f("field 5", raw(func(b []byte) []byte { b[6] |= 0x08; return b }))
	f("not all digits", raw(func(b []byte) []byte { b[14] = 'x'; return b }))
	f("field 39 (response code): found no such field", raw(func(b []byte) []byte { // the code and its bit cut out
		b[10] &^= 0x02
		b = append(b[:len(b)-13], b[len(b)-11:]...)
		b[1] -= 2
		return b
	}))
	f("a request from the core", func(p *peer, m *iso8583.Message) {
		b, err := m.AppendTo(nil)
		must(p.t, err)
		p.write(b)
	})
	f("contradicts its request in field 2 (account)", set(2, "6222021234567890124"))
	f("contradicts its request in field 3", set(3, "310000"))
	f("contradicts its request in field 4 (amount)", set(4, "000000019901"))
	f("contradicts its request in field 37", set(37, "010000000008"))
	f("contradicts its request in field 41", set(41, "NETBANK2"))
	f("contradicts its request in field 49", set(49, "840"))
	f("contradicts its request in field 48", set(48, "01036"+paymentID(9)))
	f("sub-field", set(48, "99"))
}

func TestALateAnswerThatContradictsItsRequestIsNoAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		answer := debiting(t, l, 1)
		m := p.read()
		answer()
		p.answer(m, "00", func(m *iso8583.Message) { must(t, m.Set(4, "000000000001")) })
		synctest.Wait()
		if st := l.Stats(); len(s.lates()) != 0 || st.BadInput != 1 || st.Remembered != 1 {
			t.Errorf("%+v, %+v", s.lates(), st)
		}
	})
}

func TestHalfAnAnswerIsNone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		answer := debiting(t, l, 7)
		b := answerTo(t, p.read(), "00", nil)
		p.write(b[:len(b)/2])
		p.nc.Close()
		if a := answer(); a.Word != coreadapter.InDoubt || !errors.Is(a.Err, ErrConnectionLost) {
			t.Errorf("%+v", a)
		}
		if l.Stats().BadInput != 0 {
			t.Errorf("a cut connection is no bad input: %+v", l.Stats())
		}
	})
}

func TestAWriteThatFailsIsInDoubtAndWhatWaitedBehindItIsNotSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		began := time.Now()
		first := debiting(t, l, 1)
		synctest.Wait()
		one := make([]byte, 1)
		if _, err := p.nc.Read(one); err != nil { // one byte of it is out
			t.Fatal(err)
		}
		ctx := within(t, 10*time.Second)
		second := asked(func() coreadapter.Answer { return l.Debit(ctx, debit(2), time.Now().Add(5*time.Second)) })
		synctest.Wait()
		s.mu.Lock()
		s.refuse = errors.New("no more")
		s.mu.Unlock()
		if a := first(); a.Word != coreadapter.InDoubt || !errors.Is(a.Err, ErrConnectionLost) || time.Since(began) != 2*time.Second {
			t.Errorf("%+v after %v, want in doubt after Timeouts.Write", a, time.Since(began))
		}
		if a := second(); a.Word != coreadapter.NotSent || !errors.Is(a.Err, ErrConnectionLost) {
			t.Errorf("%+v", a)
		}
	})
}

func TestWhatIsOnlyQueuedMovesToAnotherConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, func(c *Config) { c.Conns = 2 })
		p, q := s.peer(), s.peer()
		a1 := debiting(t, l, 1)
		synctest.Wait()
		a2 := debiting(t, l, 2) // one on each, neither read
		synctest.Wait()
		a3 := debiting(t, l, 3)
		synctest.Wait()
		// Whoever has two: its third is behind the first.
		l.mu.Lock()
		for _, k := range l.up {
			if len(k.queue) == 1 {
				k.nc.Close()
			}
		}
		l.mu.Unlock()
		words := make(map[coreadapter.Word]int)
		serve := func(p *peer) {
			for {
				b, err := iso8583.ReadFrame(p.r, nil)
				if err != nil {
					return
				}
				var m iso8583.Message
				must(t, iso8583.Parse(b, &m))
				if _, err := p.nc.Write(answerTo(t, &m, "00", nil)); err != nil {
					return
				}
			}
		}
		go serve(p)
		go serve(q)
		for _, answer := range []func() coreadapter.Answer{a1, a2, a3} {
			words[answer().Word]++
		}
		if words[coreadapter.Approved] != 2 || words[coreadapter.InDoubt] != 1 {
			t.Errorf("%v", words)
		}
	})
}

func TestWhatComesTogetherIsWrittenTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		debiting(t, l, 1)
		synctest.Wait() // its write stands still
		for n := 2; n <= 50; n++ {
			debiting(t, l, n)
		}
		synctest.Wait()
		for range 50 {
			p.read()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.writes != 3 { // the sign-on, the first, all others
			t.Errorf("%d writes", s.writes)
		}
	})
}

func TestSilenceIsEchoedAndADeadConnectionIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		for range 3 {
			began := time.Now()
			m := p.read()
			wantFields(t, m, iso8583.NetworkRequest, map[int]string{7: "*", 11: "*", 70: "301"})
			if got := time.Since(began); got != 30*time.Second {
				t.Errorf("an echo after %v", got)
			}
			p.answer(m, "00", nil)
			synctest.Wait()
		}
		p.read()
		began := time.Now()
		p.ended()
		if got := time.Since(began); got != 5*time.Second {
			t.Errorf("given up after %v", got)
		}
		s.peer()
		synctest.Wait()
		if st := l.Stats(); st.Lost != 1 || st.Connected != 2 || st.Up != 1 || st.InFlight != 0 {
			t.Errorf("%+v", st)
		}
		if !strings.Contains(s.logged(), "did not answer an echo within 5s") {
			t.Errorf("logged %s", s.logged())
		}
	})
}

func TestAnEchoWithoutAnAnswerHurtsNobodyWhileTheCoreSpeaks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		for n := 1; n <= 5; n++ {
			if m := p.read(); !m.Is(70, "301") {
				t.Fatalf("a %v", m.MTI())
			}
			answer := debiting(t, l, n)
			p.answer(p.read(), "00", nil)
			answer()
		}
		if st := l.Stats(); st.Lost != 0 || st.InFlight > 1 {
			t.Errorf("%+v", st)
		}
	})
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, func(c *Config) { c.InFlightMax = 2 })
		p := s.peer()
		written := debiting(t, l, 1)
		p.read()
		stuck := debiting(t, l, 2) // being written
		synctest.Wait()
		waiting := debiting(t, l, 3)
		synctest.Wait()
		must(t, l.Close())
		must(t, l.Close())
		if a := written(); a.Word != coreadapter.InDoubt || !errors.Is(a.Err, ErrClosed) {
			t.Errorf("written: %+v", a)
		}
		if a := stuck(); a.Word != coreadapter.InDoubt || !errors.Is(a.Err, ErrClosed) {
			t.Errorf("being written: %+v", a)
		}
		if a := waiting(); a.Word != coreadapter.NotSent || !errors.Is(a.Err, ErrClosed) {
			t.Errorf("waiting: %+v", a)
		}
		if a := debiting(t, l, 4)(); a.Word != coreadapter.NotSent || !errors.Is(a.Err, ErrClosed) {
			t.Errorf("afterwards: %+v", a)
		}
		if err := l.WaitUp(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("WaitUp: %v", err)
		}
		if st := l.Stats(); st.InFlight != 0 || st.Waiting != 0 || st.Up != 0 {
			t.Errorf("%+v", st)
		}
	})
}
