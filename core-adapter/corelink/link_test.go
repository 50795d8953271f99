package corelink

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	coreadapter "netbank/core-adapter"
	"netbank/core-adapter/iso8583"
)

func TestUnknownIsNotFailed_ADeadlineIsInDoubtAndTheLateAnswerIsReportedOnce(t *testing.T) {
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

func TestEverythingIsBounded_OnlyTheNewestReferencesAreRemembered(t *testing.T) {
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

func TestSendBy_AfterSendBeforeNothingIsWritten(t *testing.T) {
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

func TestEverythingIsBounded_MessagesInFlightAndTheNextWaitsItsTurn(t *testing.T) {
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
func TestAtMostOneDebit_TheSameReferenceInFlightTwiceIsInDoubtNeverNotSent(t *testing.T) {
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
