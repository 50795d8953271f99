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

func TestADeadlineIsInDoubtAtOnceAndTheLateAnswerIsReportedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		began := time.Now()
		answer := debiting(t, l, 7)
		m := p.read()
		a := answer()
		if a.Word != coreadapter.InDoubt || !errors.Is(a.Err, ErrNoAnswer) || a.ResponseCode != "" || time.Since(began) != 10*time.Second {
			t.Errorf("%+v after %v", a, time.Since(began))
		}
		time.Sleep(5 * time.Second)
		p.answer(m, "00", nil)
		p.answer(m, "00", nil)
		synctest.Wait()
		want := coreadapter.LateAnswer{Reference: debit(7).Reference, Answer: coreadapter.Answer{Word: coreadapter.Approved, ResponseCode: "00", ApprovalCode: "A1B2C3", Elapsed: 15 * time.Second}}
		if got := s.lates(); len(got) != 1 || got[0] != want {
			t.Errorf("late answers %+v", got)
		}
		if st := l.Stats(); st.Late != 1 || st.Unmatched != 1 || st.GivenUp != 1 || st.Remembered != 0 || st.InFlight != 0 {
			t.Errorf("%+v", st)
		}
		if last := s.seen[len(s.seen)-1]; !last.Late || last.Word != coreadapter.Approved {
			t.Errorf("observed %+v", last)
		}
	})
}

func TestALateAnswerCountsOnAnotherConnectionToo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		answer := debiting(t, l, 7)
		m := p.read()
		p.nc.Close()
		if a := answer(); a.Word != coreadapter.InDoubt || !errors.Is(a.Err, ErrConnectionLost) {
			t.Errorf("%+v", a)
		}
		s.peer().answer(m, "51", nil)
		synctest.Wait()
		if got := s.lates(); len(got) != 1 || got[0].Word != coreadapter.Declined || got[0].STAN != 7 {
			t.Errorf("late answers %+v", got)
		}
		if l.Stats().Lost != 1 {
			t.Errorf("%+v", l.Stats())
		}
	})
}

func TestACoreThatComesToKnowLaterIsHeard(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		answer := debiting(t, l, 7)
		m := p.read()
		p.answer(m, "96", nil)
		if a := answer(); a.Word != coreadapter.InDoubt || a.ResponseCode != "96" {
			t.Errorf("%+v", a)
		}
		p.answer(m, "96", nil) // nothing new
		p.answer(m, "00", nil)
		synctest.Wait()
		if got := s.lates(); len(got) != 1 || got[0].Word != coreadapter.Approved {
			t.Errorf("late answers %+v", got)
		}
		if l.Stats().Unmatched != 1 {
			t.Errorf("%+v", l.Stats())
		}
	})
}

func TestOnlyTheNewestReferencesAreRemembered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, func(c *Config) { c.LateMax = 3 })
		p := s.peer()
		var sent []*iso8583.Message
		for n := 1; n <= 5; n++ {
			ctx := within(t, time.Second)
			answer := asked(func() coreadapter.Answer { return l.Debit(ctx, debit(n), time.Now().Add(time.Second)) })
			sent = append(sent, p.read())
			answer()
		}
		if got := l.Stats().Remembered; got != 3 {
			t.Errorf("%d are remembered", got)
		}
		for _, m := range sent {
			p.answer(m, "00", nil)
		}
		synctest.Wait()
		got := s.lates()
		if len(got) != 3 || got[0].STAN != 3 || got[2].STAN != 5 || l.Stats().Unmatched != 2 {
			t.Errorf("late answers %+v, %+v", got, l.Stats())
		}
	})
}

func TestTheBookOfLateReferencesStaysWithinItsBound(t *testing.T) {
	k := func(n int) key { return key{stan: uint32(n)} }
	// A reference that was heard of leaves its place behind: that place must not take its younger entry with it.
	two := newLateBook(2)
	two.remember(k(1), late{})
	two.forget(k(1))
	two.remember(k(1), late{})
	two.remember(k(2), late{})
	if len(two.byKey) != 2 {
		t.Errorf("%d entries of 2", len(two.byKey))
	}
	b := newLateBook(4)
	for n := range 1000 {
		b.remember(k(n), late{})
		if n%3 == 0 {
			b.forget(k(n))
			b.remember(k(n), late{})
		}
		if len(b.byKey) > 4 || len(b.order) > 4 {
			t.Fatalf("%d entries in %d places", len(b.byKey), len(b.order))
		}
		if _, ok := b.byKey[k(n)]; !ok {
			t.Fatalf("the newest, %d, is gone", n)
		}
	}
}

func TestADuplicateAnswerIsIgnored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		answer := debiting(t, l, 7)
		m := p.read()
		p.answer(m, "00", nil)
		p.answer(m, "51", nil)
		if a := answer(); a.Word != coreadapter.Approved {
			t.Errorf("%+v", a)
		}
		synctest.Wait()
		if len(s.lates()) != 0 || l.Stats().Unmatched != 1 || l.Up() != 1 {
			t.Errorf("%+v, %+v", s.lates(), l.Stats())
		}
	})
}

// A core that answers what it has not been asked yet has guessed, or mixes up its callers.
func TestAnAnswerBeforeTheWriteIsNobodys(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		first := debiting(t, l, 1) // its write stands still
		synctest.Wait()
		second := debiting(t, l, 2) // only queued
		synctest.Wait()
		l.mu.Lock()
		var request iso8583.Message
		must(t, iso8583.Parse(l.up[0].queue[0].frame[2:], &request))
		l.mu.Unlock()
		p.answer(&request, "00", nil)
		synctest.Wait()
		if l.Stats().Unmatched != 1 {
			t.Errorf("%+v", l.Stats())
		}
		p.answer(p.read(), "00", nil)
		p.answer(p.read(), "51", nil)
		if a, b := first(), second(); a.Word != coreadapter.Approved || b.Word != coreadapter.Declined {
			t.Errorf("%+v, %+v", a, b)
		}
	})
}

func TestAnAnswerToAnotherAcquirerIsNobodys(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		answer := debiting(t, l, 7)
		m := p.read()
		p.answer(m, "51", func(m *iso8583.Message) { must(t, m.Set(iso8583.FieldAcquirer, "103")) })
		synctest.Wait()
		if l.Stats().Unmatched != 1 {
			t.Errorf("%+v", l.Stats())
		}
		p.answer(m, "00", nil)
		if a := answer(); a.Word != coreadapter.Approved {
			t.Errorf("%+v", a)
		}
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

func TestAfterSendBeforeNothingIsWritten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		for _, sendBefore := range []time.Time{{}, time.Now(), time.Now().Add(-time.Hour)} {
			if a := l.Debit(t.Context(), debit(1), sendBefore); a.Word != coreadapter.NotSent || !errors.Is(a.Err, ErrTooLate) {
				t.Errorf("%+v", a)
			}
		}
		// The core does not read: the first write stands still, and the second message waits for it until it is too late.
		first := debiting(t, l, 2)
		synctest.Wait()
		ctx := within(t, 10*time.Second)
		second := asked(func() coreadapter.Answer { return l.Debit(ctx, debit(3), time.Now().Add(time.Second)) })
		time.Sleep(time.Second)
		p.answer(p.read(), "00", nil)
		if a := first(); a.Word != coreadapter.Approved {
			t.Errorf("the first: %+v", a)
		}
		if a := second(); a.Word != coreadapter.NotSent || !errors.Is(a.Err, ErrTooLate) {
			t.Errorf("the second: %+v", a)
		}
		third := debiting(t, l, 4)
		if m := p.read(); !m.Is(11, "000004") {
			t.Errorf("number %s was written", m.Text(11))
		} else {
			p.answer(m, "00", nil)
		}
		third()
		if st := l.Stats(); st.Sent != 2 || st.NotSent != 4 {
			t.Errorf("%+v", st)
		}
	})
}

func TestACallThatIsStillQueuedAtItsDeadlineIsNotSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		first := debiting(t, l, 1) // the core does not read
		synctest.Wait()
		ctx := within(t, 100*time.Millisecond)
		second := asked(func() coreadapter.Answer { return l.Debit(ctx, debit(2), time.Now().Add(time.Second)) })
		if a := second(); a.Word != coreadapter.NotSent {
			t.Errorf("%+v", a)
		}
		p.answer(p.read(), "00", nil)
		first()
		synctest.Wait()
		if l.Stats().Sent != 1 {
			t.Errorf("%+v", l.Stats())
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

func TestMessagesInFlightAreBoundedAndTheNextWaitsItsTurn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, func(c *Config) { c.InFlightMax, c.WaitersMax = 2, 2 })
		p := s.peer()
		var answers []func() coreadapter.Answer
		var sent []*iso8583.Message
		for n := 1; n <= 2; n++ {
			answers = append(answers, debiting(t, l, n))
			sent = append(sent, p.read())
		}
		waiting := debiting(t, l, 3)
		synctest.Wait()
		impatient := asked(func() coreadapter.Answer {
			return l.Debit(within(t, 10*time.Second), debit(4), time.Now().Add(time.Millisecond))
		})
		synctest.Wait()
		if st := l.Stats(); st.Waiting != 2 || st.InFlight != 4 || st.Sent != 2 {
			t.Errorf("%+v", st)
		}
		if a := debiting(t, l, 5)(); a.Word != coreadapter.NotSent || !errors.Is(a.Err, ErrBusy) {
			t.Errorf("beyond WaitersMax: %+v", a)
		}
		if a := impatient(); a.Word != coreadapter.NotSent || !errors.Is(a.Err, ErrTooLate) {
			t.Errorf("too late in line: %+v", a)
		}
		p.answer(sent[0], "00", nil)
		m := p.read()
		if !m.Is(11, "000003") {
			t.Errorf("number %s was next", m.Text(11))
		}
		p.answer(m, "00", nil)
		p.answer(sent[1], "00", nil)
		for _, answer := range append(answers, waiting) {
			if a := answer(); a.Word != coreadapter.Approved {
				t.Errorf("%+v", a)
			}
		}
	})
}

func TestTheRoomOfWhatCameTooLateGoesToTheNextInLine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, func(c *Config) { c.InFlightMax = 2 })
		p := s.peer()
		ctx := within(t, 10*time.Second)
		sending := func(n int, d time.Duration) func() coreadapter.Answer {
			answer := asked(func() coreadapter.Answer { return l.Debit(ctx, debit(n), time.Now().Add(d)) })
			synctest.Wait()
			return answer
		}
		first := sending(1, 5*time.Second) // its write stands still
		second := sending(2, time.Second)  // queued behind it
		third := sending(3, 5*time.Second) // in line
		time.Sleep(1500 * time.Millisecond)
		m1 := p.read()
		synctest.Wait() // the writer finds the second too late, and the third's place with it
		m := p.read()
		p.answer(m1, "00", nil)
		p.answer(m, "00", nil)
		if a := second(); a.Word != coreadapter.NotSent || !m.Is(11, "000003") {
			t.Errorf("the second: %+v; number %s was written", a, m.Text(11))
		}
		if a, b := first(), third(); a.Word != coreadapter.Approved || b.Word != coreadapter.Approved {
			t.Errorf("%+v, %+v", a, b)
		}
	})
}

// NotSent would let the journal reject a payment whose first message is on its way.
func TestTheSameReferenceInFlightTwiceIsInDoubtNeverNotSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		first := debiting(t, l, 7)
		m := p.read()
		if a := debiting(t, l, 7)(); a.Word != coreadapter.InDoubt || !errors.Is(a.Err, ErrInFlight) {
			t.Errorf("%+v", a)
		}
		p.answer(m, "00", nil)
		if a := first(); a.Word != coreadapter.Approved {
			t.Errorf("%+v", a)
		}
	})
}

func TestManyMessagesAreInFlightAndAnswersComeInAnyOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		const n = 100
		var answers []func() coreadapter.Answer
		for i := 1; i <= n; i++ {
			answers = append(answers, debiting(t, l, i))
		}
		var sent []*iso8583.Message
		for range n {
			sent = append(sent, p.read())
		}
		for i := n - 1; i >= 0; i-- {
			code := "00"
			if stan, _ := sent[i].Int(11); stan%2 == 0 {
				code = "51"
			}
			p.answer(sent[i], code, nil)
		}
		for i, answer := range answers {
			want := coreadapter.Approved
			if (i+1)%2 == 0 {
				want = coreadapter.Declined
			}
			if a := answer(); a.Word != want {
				t.Errorf("payment %d: %+v", i+1, a)
			}
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

func TestACancelledCallReturnsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		ctx, cancel := context.WithCancel(t.Context())
		answer := asked(func() coreadapter.Answer { return l.Debit(ctx, debit(1), time.Now().Add(time.Second)) })
		p.read()
		began := time.Now()
		cancel()
		if a := answer(); a.Word != coreadapter.InDoubt || time.Since(began) != 0 {
			t.Errorf("%+v", a)
		}
		if a := l.Debit(ctx, debit(2), time.Now().Add(time.Second)); a.Word != coreadapter.NotSent {
			t.Errorf("%+v", a)
		}
	})
}

func TestACallWithoutADeadlineHasOneAllTheSame(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		began := time.Now()
		answer := asked(func() coreadapter.Answer { return l.Inquire(context.Background(), debit(1).Reference) })
		p.read()
		if a := answer(); a.Word != coreadapter.InDoubt || time.Since(began) != 10*time.Second {
			t.Errorf("%+v after %v", a, time.Since(began))
		}
	})
}

func TestOwnReferencesAreTwelveCharactersAndApart(t *testing.T) {
	seen := make(map[string]bool)
	for n := range uint64(10_000) {
		r := ownRRN(^uint64(0) - 5_000 + n)
		if len(r) != 12 || seen[r] {
			t.Fatalf("reference %q", r)
		}
		seen[r] = true
	}
}
