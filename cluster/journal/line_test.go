package journal

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"netbank/cluster/journal/command"

	"pgregory.net/rapid"
)

// crowdedLine is the waiting line once more, in other words than in the code: a list of who came when.
type crowdedLine struct {
	t         *rapid.T
	b         *bank
	all       []PaymentID
	came      map[PaymentID]Millis // those with a place that are still received
	called    map[PaymentID]bool
	entered   map[PaymentID]Millis
	closed    bool
	watermark Millis
	turns     uint64
}

func (c *crowdedLine) pick() PaymentID { return rapid.SampledFrom(c.all).Draw(c.t, "payment") }

// order gives those who wait, by their places.
func (c *crowdedLine) order() (waiting []Millis) {
	for id, at := range c.came {
		if !c.called[id] {
			waiting = append(waiting, at)
		}
	}
	slices.Sort(waiting)
	return waiting
}

func (c *crowdedLine) received(id PaymentID) bool {
	p, ok := c.b.m.Payment(id)
	return ok && p.State == StateReceived
}

func (c *crowdedLine) arrive() {
	id := c.pick()
	alive := c.received(id)
	p, _ := c.b.m.Payment(id)
	_, placed := c.came[id]
	want := NotAllowed
	if alive && p.Expires > c.b.now && (placed || c.closed) {
		want = Done
	}
	if got := c.b.do(&command.Arrive{PaymentId: id[:]}); got.Verdict != want {
		c.t.Fatalf("arrive: %v, want %v", got.Verdict, want)
	}
	if want == Done && !placed {
		c.came[id] = max(p.Created, c.b.now-HeadStart)
		c.called[id] = c.came[id] < c.watermark
	}
}

func (c *crowdedLine) enter() {
	id := c.pick()
	p, _ := c.b.m.Payment(id)
	_, placed := c.came[id]
	may := c.received(id) && p.Expires > c.b.now && (!c.closed || placed && c.called[id])
	got := c.b.do(&command.Enter{PaymentId: id[:]})
	if (got.Verdict == Done) != may {
		c.t.Fatalf("enter: %v, called %v, placed %v, closed %v", got.Verdict, c.called[id], placed, c.closed)
	}
	if may && c.closed {
		if last, ok := c.entered[id]; !ok || c.b.now-last >= PassIdle+second {
			c.turns++
			c.entered[id] = c.b.now
		} else if c.b.now-last >= PassIdle { // the journal keeps the second only
			c.turns = c.b.m.Line().Entered
			place, _ := c.b.m.Place(id)
			c.entered[id] = place.Entered
		}
	}
}

// move calls some by number, or opens or closes the line.
func (c *crowdedLine) move() {
	var w Millis
	switch rapid.IntRange(0, 3).Draw(c.t, "how") {
	case 0:
		w = c.b.now - Millis(rapid.IntRange(0, int(2*minute)).Draw(c.t, "ago"))
		c.closed = rapid.Bool().Draw(c.t, "closed")
	default:
		waiting := c.order()
		n := rapid.IntRange(0, len(waiting)+1).Draw(c.t, "call")
		w = c.b.m.WatermarkFor(n)
		switch {
		case n == 0 || len(waiting) == 0:
			if w != c.watermark {
				c.t.Fatalf("the watermark for nobody is %d, it is %d", w, c.watermark)
			}
		case w != waiting[min(n, len(waiting))-1]+1:
			c.t.Fatalf("the watermark for %d of %v is %d", n, waiting, w)
		}
	}
	c.b.must(Done, &command.MoveLine{Closed: c.closed, WatermarkMs: int64(w)})
	c.watermark = max(c.watermark, w, 1)
	for id, at := range c.came {
		c.called[id] = c.called[id] || at < c.watermark
	}
}

// look holds the journal against the list.
func (c *crowdedLine) look() {
	for id := range c.came {
		if !c.received(id) {
			delete(c.came, id)
			delete(c.called, id)
		}
	}
	waiting := c.order()
	l := c.b.m.Line()
	if l.Waiting != len(waiting) || l.Closed != c.closed || l.Watermark != c.watermark || l.Entered != c.turns {
		c.t.Fatalf("the line is %+v; %d wait, closed %v, watermark %d, %d turns taken", l, len(waiting), c.closed, c.watermark, c.turns)
	}
	for _, id := range c.all {
		at, placed := c.came[id]
		p, ok := c.b.m.Place(id)
		if ok != placed {
			c.t.Fatalf("a place: %v, want %v", ok, placed)
		}
		if !placed {
			continue
		}
		ahead, _ := slices.BinarySearch(waiting, at)
		if c.called[id] {
			ahead = 0
		}
		if p.At != at || p.Called != c.called[id] || p.Ahead != ahead {
			c.t.Fatalf("%+v, want place %d, called %v, %d ahead", p, at, c.called[id], ahead)
		}
	}
}

// TestFairLine_AdmittedStaysAdmitted_InRandomHistories: places by the first visit, kept whatever happens, exact numbers ahead, nobody enters before he was called, and who was called
// once stays called; on this machine and on others that go on from its snapshot.
func TestFairLine_AdmittedStaysAdmitted_InRandomHistories(outer *testing.T) {
	rapid.Check(outer, func(t *rapid.T) {
		b := newBank(outer, DefaultLimits())
		c := &crowdedLine{t: t, b: b, came: map[PaymentID]Millis{}, called: map[PaymentID]bool{}, entered: map[PaymentID]Millis{}}
		for step := range rapid.IntRange(20, 150).Draw(t, "steps") {
			switch k := rapid.IntRange(0, 12).Draw(t, "kind"); {
			case k < 2 || len(c.all) == 0:
				c.all = append(c.all, b.create(len(c.all)+1))
			case k < 6:
				c.arrive()
			case k < 8:
				c.enter()
			case k < 10:
				c.move()
			case k == 10:
				wait := rapid.SampledFrom([]Millis{1, 30, 100, second, minute, 6 * minute}).Draw(t, "wait")
				b.now += Millis(rapid.IntRange(0, int(wait)).Draw(t, "of"))
			case k == 11:
				c.end(step)
			default:
				b.m, b.store = restored(outer, b.m, b.store, DefaultLimits())
			}
			c.look()
		}
	})
}

// end brings a payment out of the line by one of the ways there are.
func (c *crowdedLine) end(step int) {
	id := c.pick()
	switch rapid.IntRange(0, 2).Draw(c.t, "end") {
	case 0:
		c.b.do(&command.CancelPayment{PaymentId: id[:]})
	case 1:
		c.b.do(&command.Expire{PaymentIds: [][]byte{id[:]}})
	default:
		c.b.do(c.b.consent(id, int64(step+1)))
	}
}

func TestFairLine_AWatermarkOfADeposedLeaderIsVoid(t *testing.T) {
	b := newBank(t, DefaultLimits())
	b.must(Done, &command.MoveLine{Closed: true, WatermarkMs: int64(b.now) - 60_000})
	b.now += second
	id := b.create(1)
	b.must(Done, &command.Arrive{PaymentId: id[:]})
	move := wrap(named("command", "deposed"), &command.MoveLine{Closed: true, WatermarkMs: int64(b.now + second)})
	if r := b.apply(b.term+1, move); r.Verdict != StaleTerm {
		t.Fatalf("a watermark of another term: %v", r.Verdict)
	}
	if p, _ := b.m.Place(id); p.Called {
		t.Fatal("it called somebody")
	}
}

func TestAdmittedStaysAdmitted_WhoWasCalledEntersAgainAfterHisPassLapsed(t *testing.T) {
	b := newBank(t, DefaultLimits())
	b.must(Done, &command.MoveLine{Closed: true, WatermarkMs: int64(b.now) - 60_000})
	id := b.create(1)
	b.must(Done, &command.Arrive{PaymentId: id[:]})
	b.must(NotAllowed, &command.Enter{PaymentId: id[:]})
	b.must(Done, &command.MoveLine{Closed: true, WatermarkMs: int64(b.now) + 1})
	for range 3 {
		b.must(Done, &command.Enter{PaymentId: id[:]})
		b.now += PassIdle + second
		other := b.create(int(b.now))
		b.must(Done, &command.Arrive{PaymentId: other[:]})
	}
	if l := b.m.Line(); l.Entered != 3 || l.Waiting != 3 {
		t.Fatalf("%+v: three turns, and three wait behind", l)
	}
}

func TestEverythingIsBounded_APlaceInTheLineCostsEightBytes(t *testing.T) {
	if size := unsafe.Sizeof(paymentRecord{}.spot); size != 8 {
		t.Errorf("a place has %d bytes", size)
	}
	const people = 20_000
	limits := DefaultLimits()
	limits.CommandIDs = 1000
	b := newBank(t, limits)
	b.must(Done, &command.MoveLine{Closed: true, WatermarkMs: int64(b.now) - 60_000})
	ids := make([]PaymentID, people)
	for i := range ids {
		b.now += 10
		ids[i] = b.create(i + 1)
	}
	before := heapInUse()
	for _, id := range ids {
		b.must(Done, &command.Arrive{PaymentId: id[:]})
	}
	// What is beside the place in the payment: the counts of the minutes.
	if grown := int64(heapInUse()) - int64(before); grown > 4*people {
		t.Errorf("%d people in the line cost %d bytes beside the places in their payments", people, grown)
	}
	if l := b.m.Line(); l.Waiting != people {
		t.Errorf("%d wait, want %d", l.Waiting, people)
	}
	if p, _ := b.m.Place(ids[people-1]); p.Ahead < people*9/10 {
		t.Errorf("%d are ahead of the last", p.Ahead)
	}
	runtime.KeepAlive(b)
}

func heapInUse() uint64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// BenchmarkLine shows what a place costs where many wait: to take it, to ask how many are ahead, to call the next hundred.
func BenchmarkLine(b *testing.B) {
	for _, people := range []int{1_000, 200_000} {
		bank := newBank(b, DefaultLimits())
		bank.m.store = thinStore{bank.store}
		bank.must(Done, &command.MoveLine{Closed: true, WatermarkMs: int64(bank.now) - 60_000})
		var last PaymentID
		before := heapInUse()
		for i := range people {
			bank.now++
			last = bank.create(i + 1)
			bank.must(Done, &command.Arrive{PaymentId: last[:]})
		}
		perPayment := float64(heapInUse()-before) / float64(people)
		b.Run(fmt.Sprintf("ahead/%d", people), func(b *testing.B) {
			b.ReportAllocs()
			b.ReportMetric(perPayment, "B/payment")
			for b.Loop() {
				bank.m.Place(last)
			}
		})
		b.Run(fmt.Sprintf("next/%d", people), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bank.m.WatermarkFor(100)
			}
		})
	}
}

// recordLine goes on from the recorded membership: three customers come to a line, two are called, one enters, and another two come.
func recordLine(t *testing.T) {
	recordOn(t, fixtureMembership, fixtureLine, func(b *bank, apply func(body any)) {
		var ids []PaymentID
		come := func() {
			b.now += second
			c := b.creation(1000 + len(ids))
			ids = append(ids, PaymentID(c.PaymentId))
			apply(c)
			apply(&command.Arrive{PaymentId: c.PaymentId})
		}
		apply(&command.MoveLine{Closed: true, WatermarkMs: int64(b.now)})
		come()
		come()
		come()
		apply(&command.MoveLine{Closed: true, WatermarkMs: int64(b.m.WatermarkFor(2))})
		apply(&command.Enter{PaymentId: ids[1][:]})
		come()
		come()
		apply(&command.CancelPayment{PaymentId: ids[2][:]})
	})
}
