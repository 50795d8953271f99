package load

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// shopping is a flow of three steps with thinking between them that depends on the visit's number only.
var shopping = []NamedStep{{"look", 100 * time.Millisecond}, {"choose", 0}, {"pay", time.Second}}

func shoppingThink(n int64, step int) time.Duration {
	return time.Duration(Mix(uint64(n), uint64(step)) % uint64(2*time.Second))
}

func shop(lines *Lines) Flow {
	return func(v *Visit) Verdict {
		for i := range shopping {
			if i > 0 && !v.Think(shoppingThink(v.N, i)) {
				return v.Ended()
			}
			c, err := lines.Take(v.Context())
			if err != nil {
				v.Step(i, Failed)
				return Verdict{Outcome: Failed, Reason: Reason(err)}
			}
			verdict := plain(c, v.N)
			lines.Give(c)
			v.Step(i, verdict.Outcome)
			if verdict.Outcome != Completed {
				return verdict
			}
		}
		return Verdict{Latency: v.Now() - v.Intended - v.Thought()}
	}
}

// paper works a crowd's run out without any of the code under test: visits come when they are due, a request goes to the line that is
// free first in the order in which requests became due, and takes what the server takes (Lindley's recursion for several
// servers). That is what wrk2's recording from intended starts comes to.
type paper struct {
	flows        []time.Duration // without the thinking
	steps, naive [][]time.Duration
	timeline     []Second
}

type dueStep struct {
	at      time.Duration
	n       int64
	step    int
	waited  time.Duration
	arrived time.Duration
}

type dueSteps []dueStep

func (d dueSteps) Len() int           { return len(d) }
func (d dueSteps) Less(i, j int) bool { return d[i].at < d[j].at }
func (d dueSteps) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *dueSteps) Push(x any)        { *d = append(*d, x.(dueStep)) }
func (d *dueSteps) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}

func onPaper(s *stalls, lines int, arrivals []time.Duration, slo time.Duration) paper {
	p := paper{steps: make([][]time.Duration, len(shopping)), naive: make([][]time.Duration, len(shopping))}
	second := func(at time.Duration) *Second {
		for int(at/time.Second) >= len(p.timeline) {
			p.timeline = append(p.timeline, Second{})
		}
		return &p.timeline[at/time.Second]
	}
	var (
		queue dueSteps
		ends  []time.Duration
		free  = make([]time.Duration, lines)
	)
	for n, at := range arrivals {
		heap.Push(&queue, dueStep{at: at, n: int64(n), arrived: at})
		second(at).Offered++
	}
	for len(queue) > 0 {
		d := heap.Pop(&queue).(dueStep)
		first := slices.Index(free, slices.Min(free))
		sent := max(d.at, free[first])
		done := s.finish(sent)
		free[first] = done
		p.steps[d.step] = append(p.steps[d.step], done-d.at)
		p.naive[d.step] = append(p.naive[d.step], done-sent)
		d.waited += done - d.at
		if d.step++; d.step < len(shopping) {
			d.at = done + shoppingThink(d.n, d.step)
			heap.Push(&queue, d)
			continue
		}
		p.flows = append(p.flows, d.waited)
		second(done).Completed++
		if d.waited <= slo {
			second(done).InSLO++
		}
		ends = append(ends, done)
	}
	for i := range p.timeline {
		for n := range arrivals {
			if end := time.Duration(i+1) * time.Second; arrivals[n] < end {
				p.timeline[i].UnderWay++
			}
		}
		for _, done := range ends {
			if done < time.Duration(i+1)*time.Second {
				p.timeline[i].UnderWay--
			}
		}
	}
	return p
}

// agrees compares a histogram with the exact values, to its resolution.
func agrees(t *testing.T, name string, got *hdrhistogram.Histogram, want []time.Duration) {
	t.Helper()
	if got.TotalCount() != int64(len(want)) {
		t.Errorf("%s: %d values were recorded of %d", name, got.TotalCount(), len(want))
		return
	}
	want = slices.Sorted(slices.Values(want))
	for _, percentile := range []float64{10, 50, 90, 99, 99.9, 100} {
		index := max(0, min(len(want)-1, int(float64(len(want))*percentile/100+.5)-1))
		exact, read := max(want[index], LatencyMin), time.Duration(got.ValueAtPercentile(percentile))
		if off := read - exact; off.Abs() > exact/500+time.Microsecond {
			t.Errorf("%s: p%v is %v, by arithmetic %v", name, percentile, read, exact)
		}
	}
}

// addsUp holds a result's columns against its counts.
func addsUp(t *testing.T, r *Result) {
	t.Helper()
	var sum Second
	for i := range r.Timeline {
		sum.add(&r.Timeline[i])
	}
	sum.UnderWay = 0
	if all := (Second{r.Offered, r.Completed, r.InSLO, r.Refused, r.Failed, r.Abandoned, r.InDoubt, r.Dropped, 0}); sum != all {
		t.Errorf("the timeline adds up to %+v, the counts are %+v", sum, all)
	}
	if ended := r.Completed + r.Refused + r.Failed + r.Abandoned + r.InDoubt + r.Dropped; r.Offered != ended {
		t.Errorf("%d were offered, and of %d is known what became of them", r.Offered, ended)
	}
	if n := len(r.Timeline); n > 0 && r.Timeline[n-1].UnderWay < 0 {
		t.Errorf("%d flows are under way at the end", r.Timeline[n-1].UnderWay)
	}
}

// flows is a bubble's server with lines to it.
func flows(t *testing.T, s *stalls, most int) *Lines {
	t.Helper()
	s.start = time.Now()
	lines, err := NewLines(pipes(s.serve), most)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func scheduled(t *testing.T, seed uint64, perSecond float64, length time.Duration) *Schedule {
	t.Helper()
	s, err := NewSchedule(seed, Constant(perSecond), length)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The same judgement as of Open: what a crowd's run says about a server with planted stalls is what arithmetic says, for each step,
// for the flows, and for each second.
func TestCrowdLatencyCountsFromTheIntendedStart_PlantedStalls(t *testing.T) {
	const (
		length = 20 * time.Second
		slo    = 700 * time.Millisecond
	)
	f := func(name string, most int, perSecond float64, s stalls, hidden bool) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			lines := flows(t, &s, most)
			defer lines.Close()
			run := CrowdRun{Flow: shop(lines), Steps: shopping, SLO: slo, Measure: length, Grace: time.Hour, pace: timers{}}
			got, err := Crowd(t.Context(), run, scheduled(t, 11, perSecond, length))
			if err != nil {
				t.Fatal(err)
			}
			want := onPaper(&s, most, offsets(t, 11, Constant(perSecond), length), slo)
			agrees(t, name+": flows", got.Latency, want.flows)
			for i, step := range shopping {
				agrees(t, name+": "+step.Name, got.Steps[i].Latency, want.steps[i])
				inSLO := int64(0)
				for _, latency := range want.steps[i] {
					if step.SLO == 0 || latency <= step.SLO {
						inSLO++
					}
				}
				if got.Steps[i].InSLO != inSLO || got.Steps[i].Completed != int64(len(want.steps[i])) {
					t.Errorf("%s: %s completed %d times, %d in its objective; by arithmetic %d and %d", name, step.Name, got.Steps[i].Completed, got.Steps[i].InSLO, len(want.steps[i]), inSLO)
				}
			}
			if !slices.Equal(got.Timeline, want.timeline) {
				t.Errorf("%s: the timeline is\n%+v, by arithmetic\n%+v", name, got.Timeline, want.timeline)
			}
			addsUp(t, got)
			if lag := time.Duration(got.Lag.Max()); lag > 2*time.Microsecond {
				t.Errorf("%s: a lag of %v in virtual time", name, lag)
			}
			// The check must be able to fail: latencies from the sending would not pass it where requests wait for a line.
			naive, honest := slices.Sorted(slices.Values(want.naive[0])), slices.Sorted(slices.Values(want.steps[0]))
			if p95 := len(naive) * 95 / 100; hidden && honest[p95] < 2*naive[p95] {
				t.Errorf("%s: p95 is %v from the sending and %v from the intended start: the case shows nothing", name, naive[p95], honest[p95])
			}
		})
	}
	two := [][2]time.Duration{{3 * time.Second, 5 * time.Second}, {9 * time.Second, 9*time.Second + 300*time.Millisecond}}
	f("no stall", 500, 50, stalls{service: time.Millisecond}, false)
	f("two stalls, a line for everyone", 2000, 100, stalls{service: 5 * time.Millisecond, planted: two}, false)
	f("two stalls, twenty lines", 20, 100, stalls{service: 5 * time.Millisecond, planted: two}, true)
	f("two stalls, one line near its ceiling", 1, 60, stalls{service: 5 * time.Millisecond, planted: two}, true)
}

// A generator whose goroutine wakes late has made the customer wait, and says so twice: in the latency and as its own lag.
func TestAStepIsMeantToStartWhenTheThinkingEnds_NotWhenTheGeneratorWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flow := func(v *Visit) Verdict {
			time.Sleep(100 * time.Millisecond)
			v.Step(0, Completed)
			time.Sleep(500 * time.Millisecond) // the generator is busy with something else
			v.Think(200 * time.Millisecond)
			v.Step(1, Completed)
			v.Think(time.Second)
			v.Wait(50 * time.Millisecond) // within a step
			v.Step(2, Completed)
			if thought, waited := v.Thought(), v.Now()-v.Intended-v.Thought(); thought != 1200*time.Millisecond || waited != 450*time.Millisecond {
				t.Errorf("%v thought, %v waited", thought, waited)
			}
			return Verdict{}
		}
		r, err := Crowd(t.Context(), CrowdRun{Flow: flow, Steps: shopping, Measure: time.Second, Grace: time.Minute, pace: timers{}}, scheduled(t, 1, 20, time.Second))
		if err != nil {
			t.Fatal(err)
		}
		f := func(step int, want time.Duration) {
			t.Helper()
			if low, high := time.Duration(r.Steps[step].Latency.Min()), time.Duration(r.Steps[step].Latency.Max()); low < want-want/500 || high > want+want/500 {
				t.Errorf("step %d took %v to %v, expected %v", step, low, high, want)
			}
		}
		f(0, 100*time.Millisecond)
		f(1, 300*time.Millisecond)
		f(2, 50*time.Millisecond)
		if lag := time.Duration(r.Lag.Max()); lag < 299*time.Millisecond || lag > 301*time.Millisecond {
			t.Errorf("a lag of up to %v was told, expected 300 ms", lag)
		}
	})
}

func TestFlowsUnderWayAtTheEndHaveTheirGraceAndAreThenAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const length, grace = 10 * time.Second, 3 * time.Second
		long := func(n int64) time.Duration { return time.Duration(n%5) * 2 * time.Second }
		flow := func(v *Visit) Verdict {
			if !v.Think(long(v.N)) {
				if v.N%2 == 0 {
					return Verdict{Outcome: Failed, Reason: "a request that was cut off"}
				}
				return v.Ended()
			}
			if within := v.Within(time.Hour); within != max(length+grace-v.Now(), time.Millisecond) {
				t.Errorf("a request at %v may take %v", v.Now(), within)
			}
			return Verdict{}
		}
		all := offsets(t, 3, Constant(50), length)
		var completed int64
		for n, at := range all {
			if at+long(int64(n)) < length+grace {
				completed++
			}
		}
		r, err := Crowd(t.Context(), CrowdRun{Flow: flow, Measure: length, Grace: grace, pace: timers{}}, scheduled(t, 3, 50, length))
		if err != nil {
			t.Fatal(err)
		}
		addsUp(t, r)
		if cut := int64(len(all)) - completed; r.Completed != completed || r.Abandoned != cut || cut == 0 || r.Reasons[EndedReason] != cut || len(r.Reasons) != 1 {
			t.Errorf("%d completed and %d abandoned of %d, expected %d completed: %v", r.Completed, r.Abandoned, len(all), completed, r.Reasons)
		}
		if len(r.Timeline) != 14 || r.Timeline[12].UnderWay != r.Abandoned || r.Timeline[13].Abandoned != r.Abandoned || r.Elapsed != length {
			t.Errorf("the timeline ends with %+v", r.Timeline[len(r.Timeline)-2:])
		}
	})
}

func TestTheLastWhoAreMeasuredDoNotHaveTheServerToThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// A server of 10 a second, with a queue of two seconds, gets five times as many as it can serve, after up to four seconds of thinking.
		const length, perSecond, queue, think = 20 * time.Second, 10, 2 * time.Second, 4 * time.Second
		served := func(coolDown time.Duration) int64 {
			var lock sync.Mutex
			free := time.Duration(0) // when the server will have done what it has taken
			flow := func(v *Visit) Verdict {
				if !v.Think(time.Duration(Mix(uint64(v.N), 1) % uint64(think))) {
					return v.Ended()
				}
				lock.Lock()
				free = max(free, v.Now())
				wait := free - v.Now()
				if wait <= queue {
					free += time.Second / perSecond
				}
				lock.Unlock()
				if wait > queue {
					return Verdict{Outcome: Refused, Reason: "busy"}
				}
				v.Wait(wait)
				return Verdict{}
			}
			r, err := Crowd(t.Context(), CrowdRun{Flow: flow, WarmUp: length, Measure: length, CoolDown: coolDown, Grace: time.Minute, pace: timers{}}, scheduled(t, 3, 5*perSecond, time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			addsUp(t, r)
			if all := int64(len(offsets(t, 3, Constant(5*perSecond), 2*length+coolDown))); r.Elapsed != length || r.Offered+r.WarmUp != all {
				t.Errorf("%v elapsed; %d measured and %d not, of %d", r.Elapsed, r.Offered, r.WarmUp, all)
			}
			return r.Completed
		}
		if n := served(think + queue); n < 190 || n > 210 {
			t.Errorf("%d served in %v by a server of %d a second", n, length, perSecond)
		}
		if n := served(0); n < 215 {
			t.Errorf("%d served in %v although those who came last had the server to themselves; then the cool-down is of no use", n, length)
		}
	})
}

func TestArrivalsBeyondTheFlowsAtOnceAreDroppedAndTheRunIsVoid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lock sync.Mutex
		now, most := 0, 0
		flow := func(v *Visit) Verdict {
			lock.Lock()
			now++
			most = max(most, now)
			lock.Unlock()
			v.Wait(time.Second)
			lock.Lock()
			now--
			lock.Unlock()
			return Verdict{}
		}
		r, err := Crowd(t.Context(), CrowdRun{Flow: flow, Measure: 10 * time.Second, Grace: time.Minute, AtOnce: 10, pace: timers{}}, scheduled(t, 3, 100, 10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		addsUp(t, r)
		if most != 10 || r.AtOnce != 10 || r.Dropped < 800 || r.Void() == nil {
			t.Errorf("%d at once, %d told, %d dropped of %d, void: %v", most, r.AtOnce, r.Dropped, r.Offered, r.Void())
		}
		if calm, err := Crowd(t.Context(), CrowdRun{Flow: flow, Measure: 10 * time.Second, Grace: time.Minute, pace: timers{}}, scheduled(t, 3, 100, 10*time.Second)); err != nil || calm.Dropped != 0 || calm.Void() != nil {
			t.Errorf("a crowd with room: %d dropped, %v, %v", calm.Dropped, calm.Void(), err)
		}
	})
}

func TestOutcomesAreCountedApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flow := func(v *Visit) Verdict {
			outcome := Outcome(v.N % 6) // 5 is none that there is
			v.Step(0, outcome)
			return Verdict{Outcome: outcome, Reason: fmt.Sprint("reason ", outcome), Late: v.N%12 == 0}
		}
		r, err := Busy(t.Context(), CrowdRun{Flow: func(v *Visit) Verdict { v.Wait(10 * time.Millisecond); return flow(v) }, Steps: shopping[:1], Measure: time.Hour, Limit: 600}, 1)
		if err != nil {
			t.Fatal(err)
		}
		addsUp(t, r)
		s := r.Steps[0]
		f := func(what string, want int64, got ...int64) {
			t.Helper()
			for _, n := range got {
				if n != want {
					t.Errorf("%s: %v, expected %d", what, got, want)
				}
			}
		}
		f("completed", 100, r.Completed, s.Completed, s.InSLO)
		f("in SLO: not the late half", 50, r.InSLO)
		f("refused", 100, r.Refused, s.Refused, r.Reasons["reason 1"])
		f("failed, the unknown outcome among them", 200, r.Failed, s.Failed, r.Reasons["reason 2"]+r.Reasons["reason 5"])
		f("abandoned", 100, r.Abandoned, s.Abandoned, r.Reasons["reason 3"])
		f("in doubt", 100, r.InDoubt, s.InDoubt, r.Reasons["reason 4"])
		f("latencies", 100, r.Latency.TotalCount(), s.Latency.TotalCount())
	})
}

func TestReasonsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flow := func(v *Visit) Verdict {
			v.Wait(time.Millisecond)
			return Verdict{Outcome: Failed, Reason: fmt.Sprint("reason ", v.N)}
		}
		r, err := Busy(t.Context(), CrowdRun{Flow: flow, Measure: time.Hour, Limit: 10 * reasonsMax}, 4)
		if err != nil {
			t.Fatal(err)
		}
		sum := int64(0)
		for _, n := range r.Reasons {
			sum += n
		}
		if len(r.Reasons) > reasonsMax+1 || sum != r.Failed || r.Reasons["other"] == 0 {
			t.Errorf("%d reasons for %d failures, %d of them others", len(r.Reasons), sum, r.Reasons["other"])
		}
	})
}

func TestBusyKeepsFlowsGoing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stalls{service: 10 * time.Millisecond}
		lines := flows(t, s, 8)
		defer lines.Close()
		flow := func(v *Visit) Verdict {
			c, err := lines.Take(v.Context())
			if err != nil {
				return Verdict{Outcome: Failed, Reason: Reason(err)}
			}
			defer lines.Give(c)
			verdict := plain(c, v.N)
			v.Step(0, verdict.Outcome)
			return verdict
		}
		r, err := Busy(t.Context(), CrowdRun{Flow: flow, Steps: shopping[:1], WarmUp: time.Second, Measure: 2 * time.Second, Grace: time.Second}, 8)
		if err != nil {
			t.Fatal(err)
		}
		addsUp(t, r)
		// 8 flows at once, 100 a second each; those that end at the very edges belong to one side.
		if r.WarmUp < 8*98 || r.WarmUp > 8*100 || r.Completed < 8*199 || r.Completed > 8*201 || r.Steps[0].Completed != r.Completed || r.AtOnce != 8 {
			t.Errorf("%d in the warm-up, %d measured, %d steps, %d at once", r.WarmUp, r.Completed, r.Steps[0].Completed, r.AtOnce)
		}
		slow := func(v *Visit) Verdict {
			v.Wait(700 * time.Millisecond)
			v.Step(0, Completed)
			return Verdict{}
		}
		r, err = Busy(t.Context(), CrowdRun{Flow: slow, Steps: shopping[:1], Measure: time.Second, Grace: time.Minute}, 4)
		if err != nil {
			t.Fatal(err)
		}
		addsUp(t, r)
		if r.WarmUp != 0 || r.Completed != 4 || r.Steps[0].Completed != 4 || r.Next != 8 || len(r.Timeline) != 2 || r.Timeline[0].UnderWay != 4 || r.Timeline[1].UnderWay != 0 {
			t.Errorf("of 4 flows that ended in time and 4 that ended in the grace %d were counted: %+v", r.Completed, r.Timeline)
		}
	})
}

// Numbers are what keeps idempotency keys and customers of several processes apart.
func TestBusySharesTakeEachNumberOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const from, limit, of = 100, 1000, 3
		var (
			lock sync.Mutex
			wait sync.WaitGroup
		)
		times := map[int64]int{}
		flow := func(v *Visit) Verdict {
			lock.Lock()
			times[v.N]++
			lock.Unlock()
			v.Wait(time.Millisecond)
			return Verdict{}
		}
		for k := range of {
			wait.Go(func() {
				r, err := Busy(t.Context(), CrowdRun{Flow: flow, Measure: time.Hour, From: from, Limit: limit, Share: k, Of: of}, 7)
				// 333 or 334 flows of a millisecond by seven customers: 48 rounds.
				if err != nil || r.Next != from+limit || r.Elapsed != 48*time.Millisecond {
					t.Errorf("share %d: next %d after %v, %v", k, r.Next, r.Elapsed, err)
				}
			})
		}
		wait.Wait()
		for n := int64(from); n < from+limit; n++ {
			if times[n] != 1 {
				t.Errorf("number %d was taken %d times", n, times[n])
			}
		}
		if len(times) != limit {
			t.Errorf("%d numbers were taken, expected %d", len(times), limit)
		}
	})
}

func TestACrowdStartsWhenItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		f := func(name string, start time.Time, first time.Duration, lag bool) {
			t.Helper()
			began = time.Now()
			var lock sync.Mutex
			earliest := time.Hour
			flow := func(v *Visit) Verdict {
				lock.Lock()
				earliest = min(earliest, time.Since(began)-v.Intended)
				lock.Unlock()
				return Verdict{}
			}
			r, err := Crowd(t.Context(), CrowdRun{Flow: flow, Measure: 4 * time.Second, Start: start, pace: timers{}}, scheduled(t, 3, 100, 4*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			if earliest != first || (time.Duration(r.Lag.Max()) > time.Millisecond) != lag {
				t.Errorf("%s: offsets count from %v, lag up to %v", name, earliest, time.Duration(r.Lag.Max()))
			}
		}
		f("at once", time.Time{}, 0, false)
		f("in two seconds, by another process's clock", time.Now().Round(0).Add(2*time.Second), 2*time.Second, false)
		f("a second ago", time.Now().Round(0).Add(-time.Second), -time.Second, true)
		if _, err := Crowd(t.Context(), CrowdRun{Flow: shop(nil), Measure: time.Second, Start: time.Now().Add(time.Hour)}, scheduled(t, 3, 1, time.Second)); err == nil {
			t.Error("a start in an hour was taken")
		}
	})
}

func TestARunThatCannotBeIsRefused(t *testing.T) {
	good := CrowdRun{Flow: func(*Visit) Verdict { return Verdict{} }, Measure: time.Millisecond}
	f := func(change func(*CrowdRun)) {
		t.Helper()
		run := good
		change(&run)
		if _, err := Busy(t.Context(), run, 1); err == nil {
			t.Errorf("taken: %+v", run)
		}
	}
	f(func(r *CrowdRun) { r.Flow = nil })
	f(func(r *CrowdRun) { r.Measure = 0 })
	f(func(r *CrowdRun) { r.Measure = MeasureMax + 1 })
	f(func(r *CrowdRun) { r.WarmUp = -1 })
	f(func(r *CrowdRun) { r.CoolDown = -1 })
	f(func(r *CrowdRun) { r.CoolDown = 1 }) // Busy has none
	f(func(r *CrowdRun) { r.Grace = GraceMax + 1 })
	f(func(r *CrowdRun) { r.SLO = -1 })
	f(func(r *CrowdRun) { r.AtOnce = CrowdMax + 1 })
	f(func(r *CrowdRun) { r.Limit = -1 })
	f(func(r *CrowdRun) { r.Of = SharesMax + 1 })
	f(func(r *CrowdRun) { r.Share, r.Of = 2, 2 })
	f(func(r *CrowdRun) { r.Share = 1 })
	f(func(r *CrowdRun) { r.Steps = make([]NamedStep, stepsMax+1) })
	if _, err := Busy(t.Context(), good, CrowdMax+1); err == nil {
		t.Error("more flows at once than there may be were taken")
	}
	if _, err := Crowd(t.Context(), good, nil); err == nil {
		t.Error("a crowd without a schedule was taken")
	}
}

func TestACrowdThatIsCalledOffEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		flow := func(v *Visit) Verdict {
			if !v.Think(time.Hour) {
				return v.Ended()
			}
			return Verdict{}
		}
		began := time.Now()
		r, err := Crowd(ctx, CrowdRun{Flow: flow, Measure: 10 * time.Minute, Grace: time.Hour, pace: timers{}}, scheduled(t, 3, 100, 10*time.Minute))
		if !errors.Is(err, context.Canceled) || r == nil || r.Abandoned != r.Offered || time.Since(began) > 4*time.Second {
			t.Errorf("%+v, %v after %v", r, err, time.Since(began))
		}
	})
}

// A stalled server that then closes everything must cost failures, and no more than that.
func TestACrowdOutlivesAServerThatDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines, err := NewLines(Dialer{Dial: func(context.Context) (net.Conn, error) { return nil, errors.New("nobody listens") }}, 10)
		if err != nil {
			t.Fatal(err)
		}
		defer lines.Close()
		r, err := Crowd(t.Context(), CrowdRun{Flow: shop(lines), Steps: shopping, Measure: time.Second, pace: timers{}}, scheduled(t, 3, 1000, time.Second))
		if err != nil {
			t.Fatal(err)
		}
		addsUp(t, r)
		if r.Failed != r.Offered || r.Reasons["no connection"] != r.Failed {
			t.Errorf("%d failed of %d: %v", r.Failed, r.Offered, r.Reasons)
		}
	})
}

func BenchmarkVisit(b *testing.B) {
	c := &crowd{CrowdRun: &CrowdRun{Steps: shopping[:1], Flow: func(v *Visit) Verdict { v.Step(0, Completed); return Verdict{} }}, ctx: b.Context()}
	c.cut, c.tally = time.Hour, newTally(0, time.Hour, 0, c.Steps)
	c.tally.start = time.Now()
	b.ReportAllocs()
	for n := int64(0); b.Loop(); n++ {
		c.visit(n, c.tally.from)
	}
}
