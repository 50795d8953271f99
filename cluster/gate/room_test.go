package gate

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// visitors plays people before a room: so many come a second, and those called come in unless they stay away.
type visitors struct {
	room    *Room
	now     Time
	load    Load
	waiting int
	inside  int     // all who came in
	ready   []Time  // when who is inside confirms
	asking  float64 // who confirm a second, over the last one
	thinks  time.Duration
	notices time.Duration // until who was called comes in
	coming  []Time        // when who was called comes in
	parts   map[string]float64
}

func newVisitors(perSecond float64) *visitors {
	seats := 10
	return &visitors{
		room: NewRoom(FlowCost{Confirm: 1}), parts: map[string]float64{}, thinks: 11 * time.Second,
		load: Load{Seats: seats, SeatTime: time.Duration(float64(seats) / perSecond * float64(time.Second))},
	}
}

// of gives how many of something that happens so often a second happen in a tick.
func (v *visitors) of(what string, rate float64) int {
	v.parts[what] += rate * 0.01
	n := math.Floor(v.parts[what])
	v.parts[what] -= n
	return int(n)
}

func (v *visitors) pass(seconds, come, show float64) {
	for range int(seconds * 100) {
		v.now += 10 * time.Millisecond
		confirmed := 0.0
		for len(v.ready) > 0 && v.ready[0] <= v.now {
			v.ready = v.ready[1:]
			v.room.Confirmed(v.thinks)
			confirmed++
		}
		v.asking += 0.01 * (confirmed/0.01 - v.asking)
		v.load.Taken = min(int(v.asking*v.load.SeatTime.Seconds()+0.5), v.load.Seats)
		n := v.of("come", come)
		if v.room.Closed() {
			v.waiting += n
		} else {
			v.enter(n + v.waiting)
			v.waiting = 0
		}
		v.room.Pass(v.now, v.load, v.waiting, 0)
		if due := min(v.room.Due(), v.waiting); due > 0 {
			v.room.Called(due)
			v.waiting -= due
			for range v.of("show", 100*show*float64(due)) {
				v.coming = append(v.coming, v.now+v.notices)
			}
		}
		for len(v.coming) > 0 && v.coming[0] <= v.now {
			v.coming = v.coming[1:]
			v.room.Came(v.notices)
			v.in(1)
		}
	}
}

// enter lets people in on credit.
func (v *visitors) enter(n int) {
	if n > 0 {
		v.room.Entered(n)
		v.in(n)
	}
}

// in has people inside; nine of ten confirm when they have thought.
func (v *visitors) in(n int) {
	v.inside += n
	for range v.of("confirm", 90*float64(n)) {
		v.ready = append(v.ready, v.now+v.thinks)
	}
}

func TestRoom_IsOpenAndEmptyWhileAllCanBeCarried(t *testing.T) {
	v := newVisitors(20)
	v.pass(20, 5, 1)
	v.pass(120, 15, 1)
	if v.room.Closed() || v.waiting > 0 {
		t.Errorf("closed: %v, %d wait", v.room.Closed(), v.waiting)
	}
}

func TestRoom_LetsInAsManyAsCanBeCarried(t *testing.T) {
	v := newVisitors(20)
	v.pass(30, 100, 1)
	if !v.room.Closed() {
		t.Fatal("it is open")
	}
	before := v.inside
	v.pass(60, 100, 1)
	if rate, want := float64(v.inside-before)/60, 20/0.9; math.Abs(rate-want) > 0.1*want {
		t.Errorf("%.1f come in a second, want about %.1f", rate, want)
	}
	if p := v.room.Pace(); math.Abs(p.PerSecond-22) > 3 || p.Guessed || p.SlowFor > 0 {
		t.Errorf("the pace is %+v", p)
	}
}

func TestRoom_CallsOthersForThoseWhoDoNotCome(t *testing.T) {
	v := newVisitors(20)
	v.pass(200, 100, 0.6)
	before := v.inside
	v.pass(100, 100, 0.6)
	if rate, want := float64(v.inside-before)/100, 20/0.9; math.Abs(rate-want) > 0.15*want {
		t.Errorf("%.1f come in a second, want about %.1f; %.2f do not come", rate, want, v.room.Snapshot().NoShows)
	}
}

func TestRoom_CarriesAsManyWhoNoticeLateAndThinkLittle(t *testing.T) {
	v := newVisitors(20)
	v.thinks, v.notices = 2*time.Second, 3*time.Second
	v.pass(60, 100, 1)
	before := v.inside
	v.pass(60, 100, 1)
	if rate, want := float64(v.inside-before)/60, 20/0.9; math.Abs(rate-want) > 0.1*want {
		t.Errorf("%.1f come in a second, want about %.1f", rate, want)
	}
}

func TestRoom_WhoNoticesLateIsNotTakenForSomebodyWhoStaysAway(t *testing.T) {
	v := newVisitors(20)
	v.notices = 3 * time.Second
	for range 60 {
		before := v.inside
		v.pass(1, 100, 1)
		if s := v.room.Snapshot(); s.NoShows > 0.4 || s.Tokens > 10 {
			t.Fatalf("after %v it is thought that %.2f do not come, and %.0f can be called at once", v.now, s.NoShows, s.Tokens)
		}
		if came := v.inside - before; v.now > 10*time.Second && came > 40 {
			t.Fatalf("%d come in within a second, after %v", came, v.now)
		}
	}
}

func TestRoom_BelievesLittleOfACoreThatWasNeverFull(t *testing.T) {
	load := Load{Seats: 100, SeatTime: time.Second, Taken: 4}
	f := func(taken int, wanted bool, want float64) {
		t.Helper()
		r := NewRoom(FlowCost{Confirm: 1})
		load.Taken, load.Wanted, load.Done = taken, wanted, 0
		for i := range 2000 {
			load.Done += 0.6
			r.Pass(Time(i)*10*time.Millisecond, load, 0, 0)
		}
		if got := r.capacity; math.Abs(got-want) > 0.02*want {
			t.Errorf("with %d of 100 seats taken it is thought to do %.1f a second, want %.1f", taken, got, want)
		}
	}
	f(0, false, usedMargin*10)
	f(4, false, usedMargin*20)
	f(100, false, 100)
	f(100, true, fullMargin*60)
}

func TestRoom_CallsPastThoseWhoLeftTheLineForGood(t *testing.T) {
	v := newVisitors(20)
	v.notices = 2 * time.Second
	v.pass(60, 1000, 1)
	v.pass(10, 1000, 0) // they were there until now, and nobody knows that they have left
	before := v.waiting
	v.pass(10, 1000, 0)
	if called := before + 10_000 - v.waiting; called < 1000 {
		t.Errorf("%d of those who left are called within ten seconds, after ten in which nobody came; 22 a second would have been carried", called)
	}
	before = v.inside
	v.pass(20, 1000, 1)
	if came := v.inside - before; came < 300 || came > 1000 {
		t.Errorf("when others come again, %d come in within 20 s; 440 can be carried, and up to %.1f times as many come from those who were called meanwhile", came, roomMore)
	}
}

func TestRoom_OpensAgainWhenNobodyWaits(t *testing.T) {
	v := newVisitors(20)
	v.pass(20, 100, 1)
	v.pass(120, 5, 1)
	if v.room.Closed() || v.waiting > 0 {
		t.Errorf("closed: %v, %d wait", v.room.Closed(), v.waiting)
	}
}

func TestRoom_LetsNobodyInWhileTheCoreIsSilent(t *testing.T) {
	v := newVisitors(20)
	v.pass(20, 10, 1)
	v.load.Halted = true
	v.pass(10, 10, 1)
	before := v.inside
	v.pass(30, 10, 1)
	if v.inside > before || !v.room.Closed() {
		t.Errorf("%d came in, closed: %v", v.inside-before, v.room.Closed())
	}
	v.load.Halted = false
	v.pass(60, 10, 1)
	if v.waiting > 0 {
		t.Errorf("%d still wait", v.waiting)
	}
}

func TestRoom_ANewLeaderSupposesThatManyAreInside(t *testing.T) {
	v := newVisitors(20)
	v.room.Pass(v.now, v.load, 1000, 0)
	v.room.Close()
	v.waiting = 1000
	for i := range 220 { // who were let in by the last leader
		v.ready = append(v.ready, time.Duration(i)*50*time.Millisecond)
	}
	v.pass(5, 0, 1)
	if rate := float64(v.inside) / 5; rate > 1.1*20/0.9 {
		t.Errorf("%.1f come in a second beside those who are inside already; %.1f can be carried", rate, 20/0.9)
	}
}

func TestRoom_WhoWasCalledAndIsToComeCounts(t *testing.T) {
	v := newVisitors(1)
	v.room.Pass(v.now, v.load, 200, 0)
	v.room.close()
	v.waiting = 200
	v.pass(25, 0, 0)
	if called := 200 - v.waiting; called > 30 {
		t.Errorf("%d were called within 25 s, none of whom has come yet; one a second can be carried", called)
	}
}

func TestRoom_GuessesForTheFirstUntilThePaceIsKnown(t *testing.T) {
	v := newVisitors(20)
	v.pass(20, 100, 1)
	v.room.Close()
	if from, to, known := v.room.Pace().Wait(100); !known || from > 0 || to != time.Minute {
		t.Errorf("in the moment in which the line closes one of the first is shown %v to %v, %v", from, to, known)
	}
	if _, _, known := v.room.Pace().Wait(1000); known {
		t.Error("a range is shown in the moment in which the line closes to who is far behind")
	}
	v.pass(paceAfter*paceWindow.Seconds()+1, 100, 1)
	if from, to, known := v.room.Pace().Wait(1000); !known || from < 20*time.Second || to-from != time.Minute {
		t.Errorf("when the line has moved for some time who is far behind is shown %v to %v, %v", from, to, known)
	}
	v.load.Halted = true
	v.pass(1, 100, 1)
	v.room.Close()
	v.pass(1, 100, 1)
	if _, _, known := v.room.Pace().Wait(1); known {
		t.Error("a range is shown when the line closes since the core has stopped")
	}
}

func TestRoom_ALineThatHasJustBecomeSlowIsExpectedToRecover(t *testing.T) {
	v := newVisitors(20)
	v.pass(60, 100, 1)
	usual := v.room.Pace()
	v.load.SeatTime *= 4
	f := func(seconds float64) time.Duration {
		t.Helper()
		v.pass(seconds, 100, 1)
		from, to, known := v.room.Pace().Wait(2000)
		if !known || from <= 0 || to <= from {
			t.Errorf("%v to %v, %v", from, to, known)
		}
		return from
	}
	quick, _, _ := usual.Wait(2000)
	soon, later, atLast := f(12), f(48), f(600)
	if soon < quick || soon > quick+45*time.Second {
		t.Errorf("12 s after it became slow, a wait from %v on has become one from %v on", quick, soon)
	}
	if later < soon+30*time.Second || later > soon+120*time.Second {
		t.Errorf("48 s later it is from %v on, after %v", later, soon)
	}
	if atLast < 3*quick {
		t.Errorf("after ten minutes it is from %v on, and at four times the pace was %v", atLast, quick)
	}
}

func TestRoom_IsNotMisledByAPauseInWhichOnlySlowCustomersAreLeft(t *testing.T) {
	v := newVisitors(20)
	v.pass(120, 100, 1)
	before := v.room.Snapshot()
	v.load.Halted = true
	v.pass(10, 0, 1) // whoever is quick confirms
	after := v.room.Snapshot()
	if d := after.Think - before.Think; d.Abs() > time.Second || math.Abs(after.GoOn-before.GoOn) > 0.05 {
		t.Errorf("customers took %v, and %.2f went on to confirm; after the pause that seems to be %v and %.2f", before.Think, before.GoOn, after.Think, after.GoOn)
	}
}

func TestRoom_IsLimitedBySignIns(t *testing.T) {
	r := NewRoom(FlowCost{Confirm: 1})
	load := Load{Seats: 1000, SeatTime: 10 * time.Millisecond}
	for i := range 1000 {
		r.Pass(Time(i)*10*time.Millisecond, load, 0, 40)
	}
	if got := r.Snapshot(); got.Rate != 38 || !got.SignIns {
		t.Errorf("%+v, want 38 flows a second, because of sign-ins", got)
	}
	load.Seats = 0
	r.Pass(11*time.Second, load, 0, 1e6)
	if got := r.Snapshot(); got.SignIns {
		t.Errorf("%+v, and it is the core that can carry no more", got)
	}
	load.Halted = true
	r.Pass(12*time.Second, load, 0, 40)
	if got := r.Snapshot(); got.SignIns || got.Rate > 0 {
		t.Errorf("%+v, and the core has stopped", got)
	}
}

func TestEverythingIsBounded_ARoomInRandomHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := NewRoom(FlowCost{SignIn: rapid.Float64Range(0, 2).Draw(t, "sign-in"), View: rapid.Float64Range(0, 2).Draw(t, "view"), Confirm: rapid.Float64Range(0, 2).Draw(t, "confirm")})
		now := Time(0)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 0:
				r.Entered(rapid.IntRange(0, 1000).Draw(t, "entered"))
			case 1:
				r.Called(rapid.IntRange(0, 1000).Draw(t, "called"))
				r.Came(time.Duration(rapid.Int64Range(-int64(time.Second), int64(time.Hour)).Draw(t, "came")))
			case 2:
				r.Confirmed(time.Duration(rapid.Int64Range(-int64(time.Second), int64(time.Hour)).Draw(t, "think")))
			case 3:
				now += time.Duration(rapid.Int64Range(0, int64(10*time.Minute)).Draw(t, "long"))
			default:
				now += time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "short"))
			}
			load := Load{
				Seats: rapid.IntRange(1, CeilingMax).Draw(t, "seats"), SeatTime: time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "seat time")),
				Others: float64(rapid.IntRange(0, 5000).Draw(t, "others")), Halted: rapid.Bool().Draw(t, "halted"), Wanted: rapid.Bool().Draw(t, "wanted"),
			}
			r.Pass(now, load, rapid.IntRange(0, 10).Draw(t, "waiting"), rapid.Float64Range(0, 1000).Draw(t, "sign-ins"))
			s := r.Snapshot()
			sound := func(x float64) bool { return x >= 0 && !math.IsNaN(x) && !math.IsInf(x, 0) }
			if !sound(s.Rate) || !sound(s.GoOn) || !sound(s.NoShows) || s.NoShows > noShowMax || !sound(s.Pace.PerSecond) || !sound(s.Pace.Then) || s.Pace.SlowFor < 0 || s.Pace.SlowFor > WaitKnownMax || math.IsNaN(s.Tokens) || r.Due() < 0 {
				t.Fatalf("%+v", s)
			}
			if from, to, known := s.Pace.Wait(rapid.IntRange(0, 1<<20).Draw(t, "ahead")); known && (from < 0 || to < from || to-from > max(rangeWide, time.Duration(rangePart*float64(from+to)/2)+time.Second)) {
				t.Fatalf("a range of %v to %v", from, to)
			}
		}
	})
}

func BenchmarkRoom(b *testing.B) {
	r := NewRoom(FlowCost{Confirm: 1})
	load := Load{Seats: 64, SeatTime: 50 * time.Millisecond}
	b.ReportAllocs()
	now := Time(0)
	for b.Loop() {
		now += 10 * time.Millisecond
		r.Entered(1)
		r.Pass(now, load, 0, 100)
	}
}

// TestRoom_SeesTheEndOfAFloodBeforeItsQueueIsEmpty: who is called then comes when it is, and a core of which the flood has taken nearly all does not stand still.
func TestRoom_SeesTheEndOfAFloodBeforeItsQueueIsEmpty(t *testing.T) {
	r := NewRoom(FlowCost{SignIn: 0.3, View: 0.1, Confirm: 1})
	load := Load{Seats: 10, Taken: 10, SeatTime: 100 * time.Millisecond, OtherQueue: 200, Wanted: true} // 100 a second
	now := Time(0)
	pass := func(seconds, bring float64) {
		for range int(seconds * 100) {
			now += 10 * time.Millisecond
			load.Others += bring / 100
			load.Done++
			load.OtherQueue = max(load.OtherQueue+(bring-100)/100, 0)
			r.Pass(now, load, 1000, 0)
		}
	}
	pass(0.5, 100)
	r.Close()
	pass(20, 100)
	if rate := r.Snapshot().Rate; rate > 10 {
		t.Errorf("%.1f flows a second are called into a flood", rate)
	}
	pass(1, 5)
	if rate := r.Snapshot().Rate; load.OtherQueue < 100 || rate < 20 {
		t.Errorf("%.1f flows a second are called when the flood is over and %.0f of it wait for one more second", rate, load.OtherQueue)
	}
}

func TestRoom_WhatWaitsForSeatsWhileItIsOpenClosesItSooner(t *testing.T) {
	f := func(queue, least, most float64) {
		t.Helper()
		r := NewRoom(FlowCost{Confirm: 1})
		load := Load{Seats: 10, Taken: 10, SeatTime: 500 * time.Millisecond, FlowQueue: queue} // 20 a second
		r.Pass(0, load, 0, 0)
		r.Pass(time.Second, load, 0, 0)
		if rate := r.Snapshot().Rate; rate < least || rate > most {
			t.Errorf("with work of %.0f waiting: %.1f flows a second, want %.1f to %.1f", queue, rate, least, most)
		}
	}
	f(0, 20, 50)
	f(20, 0, 0.1)
}

// TestRoom_OthersWhoseQueueStaysBringMoreThanTheyGet, however short it is: what they get says only how much the flows have left them.
func TestRoom_OthersWhoseQueueStaysBringMoreThanTheyGet(t *testing.T) {
	r := NewRoom(FlowCost{SignIn: 0.3, View: 0.1, Confirm: 1})
	load := Load{Seats: 10, Taken: 10, SeatTime: 100 * time.Millisecond, OtherQueue: 50, Wanted: true} // 100 a second
	for now := Time(0); now < 20*time.Second; now += 10 * time.Millisecond {
		load.Others += 0.85
		load.Done++
		r.Pass(now, load, 1000, 0)
		if now == 500*time.Millisecond {
			r.Close()
		}
	}
	if rate := r.Snapshot().Rate; rate > 8 {
		t.Errorf("%.1f flows a second are called beside others who fill the core", rate)
	}
}
