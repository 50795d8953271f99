package load

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// Whatever the number of processes: together they offer what one would, to the request.
func TestSharesAreOneSchedule(t *testing.T) {
	type arrivalAt struct {
		n  int64
		at time.Duration
	}
	draw := func(t *rapid.T, s *Schedule) (all []arrivalAt) {
		for {
			n, at, ok := s.Next()
			if !ok {
				return all
			}
			all = append(all, arrivalAt{n, at})
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		curve := Curve{}
		for i := range rapid.IntRange(1, 5).Draw(t, "steps") {
			curve = append(curve, Step{time.Duration(i) * time.Second, rapid.Float64Range(0, 300).Draw(t, "rate")})
		}
		if rapid.Bool().Draw(t, "bursts") {
			var err error
			if curve, err = (Bursts{Factor: 8, Calm: time.Second, Burst: 200 * time.Millisecond}).Curve(seed, curve, 4*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		schedule := func() *Schedule {
			s, err := NewSchedule(seed, curve, 4*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		whole := draw(t, schedule())
		for i, a := range whole {
			if a.n != int64(i) {
				t.Fatalf("arrival %d has the number %d", i, a.n)
			}
		}
		of := rapid.IntRange(1, 5).Draw(t, "processes")
		var union []arrivalAt
		for k := range of {
			s := schedule()
			if err := s.Share(k, of); err != nil {
				t.Fatal(err)
			}
			part := draw(t, s)
			for _, a := range part {
				if a.n%int64(of) != int64(k) {
					t.Fatalf("share %d of %d has arrival %d", k, of, a.n)
				}
			}
			if s.drawn != int64(len(whole)) {
				t.Fatalf("share %d of %d drew %d of %d arrivals: its Next would differ from the others'", k, of, s.drawn, len(whole))
			}
			union = append(union, part...)
		}
		slices.SortFunc(union, func(a, b arrivalAt) int { return int(a.n - b.n) })
		if !slices.Equal(union, whole) {
			t.Fatalf("%d processes offer %d arrivals, one offers %d: %v and %v", of, len(union), len(whole), union, whole)
		}
	})
}

func TestASharedScheduleThatCannotBeIsRefused(t *testing.T) {
	f := func(k, of int) {
		t.Helper()
		if err := scheduled(t, 1, 1, time.Second).Share(k, of); err == nil {
			t.Errorf("share %d of %d was taken", k, of)
		}
	}
	f(0, 0)
	f(-1, 2)
	f(2, 2)
	f(0, SharesMax+1)
	begun := scheduled(t, 1, 100, time.Second)
	begun.Next()
	if begun.Share(0, 2) == nil {
		t.Error("a schedule that was begun was shared")
	}
}

// What a visit draws depends on its number and the seed only, not on who makes it, or after whom.
func TestVisitsDrawByTheirNumber(t *testing.T) {
	draws := func(seed uint64, of int) map[int64]string {
		var lock sync.Mutex
		all := map[int64]string{}
		synctest.Test(t, func(t *testing.T) {
			for k := range of {
				s := scheduled(t, 5, 100, time.Second)
				if err := s.Share(k, of); err != nil {
					t.Fatal(err)
				}
				_, err := Crowd(t.Context(), CrowdRun{Seed: seed, Measure: time.Second, pace: timers{}, Flow: func(v *Visit) Verdict {
					lock.Lock()
					defer lock.Unlock()
					all[v.N] = fmt.Sprint(v.Intended, v.Uniform(), v.Lognormal(time.Second, 1), v.Source().Uint64())
					return Verdict{}
				}}, s)
				if err != nil {
					t.Fatal(err)
				}
			}
		})
		return all
	}
	one, three, other := draws(1, 1), draws(1, 3), draws(2, 1)
	if len(one) < 50 || !reflect.DeepEqual(one, three) {
		t.Errorf("one process draws %v, three draw %v", one, three)
	}
	if one[0] == other[0] || strings.Fields(one[0])[1] == strings.Fields(one[1])[1] {
		t.Error("the seed or the number does not matter")
	}
}

// Several processes measure what one would have: shares of one load, each in its own run, sent as JSON and merged.
func TestMergedResultsAreAsIfOneHadRun(t *testing.T) {
	const length = 10 * time.Second
	run := func(t *testing.T, k, of int) *Result {
		s := stalls{service: 5 * time.Millisecond, planted: [][2]time.Duration{{2 * time.Second, 4 * time.Second}}}
		// The server asks nothing of one that it does not of the others, so that shares do not wait for each other.
		lines := flows(t, &s, 5000)
		defer lines.Close()
		shopping := shop(lines)
		flow := func(v *Visit) Verdict {
			verdict := shopping(v)
			if kind := Outcome(v.N % 7); kind <= InDoubt {
				verdict.Outcome, verdict.Reason = kind, fmt.Sprint("reason ", kind)
			}
			return verdict
		}
		schedule := scheduled(t, 11, 150, length)
		if err := schedule.Share(k, of); err != nil {
			t.Fatal(err)
		}
		r, err := Crowd(t.Context(), CrowdRun{Flow: flow, Steps: steps(), SLO: time.Second, WarmUp: time.Second, Measure: length - time.Second, Grace: time.Second, From: 40, pace: timers{}}, schedule)
		if err != nil {
			t.Fatal(err)
		}
		addsUp(t, r)
		return r
	}
	var whole *Result
	synctest.Test(t, func(t *testing.T) { whole = run(t, 0, 1) })
	for of := 1; of <= 5; of++ {
		var merged *Result
		for k := range of {
			var text []byte
			synctest.Test(t, func(t *testing.T) {
				var err error
				if text, err = json.Marshal(run(t, k, of)); err != nil {
					t.Fatal(err)
				}
			})
			part := new(Result)
			if err := json.Unmarshal(text, part); err != nil {
				t.Fatal(err)
			}
			if merged == nil {
				merged = part
			} else if err := merged.Merge(part); err != nil {
				t.Fatal(err)
			}
		}
		if merged.AtOnce < whole.AtOnce || merged.AtOnce > 2*whole.AtOnce {
			t.Errorf("%d processes: at most %d flows at once, one had %d", of, merged.AtOnce, whole.AtOnce)
		}
		merged.AtOnce = whole.AtOnce
		one, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		several, err := json.Marshal(merged)
		if err != nil {
			t.Fatal(err)
		}
		if string(one) != string(several) {
			t.Errorf("%d processes measured\n%s\none measured\n%s", of, several, one)
		}
	}
}

func steps() []NamedStep { return slices.Clone(shopping) }

func someResult() *Result {
	h := NewHistogram()
	for i := range int64(1000) {
		_ = h.RecordValue(i * i * 1000)
	}
	return &Result{
		WarmUp: 1, Offered: 21, Completed: 3, InSLO: 2, Refused: 4, Failed: 5, Abandoned: 6, InDoubt: 2, Dropped: 1, Reasons: map[string]int64{"busy": 4, "x": 13},
		Elapsed: time.Second, Next: 77, AtOnce: 9, Latency: h, Lag: NewHistogram(), Steps: []StepResult{{Name: "pay", SLO: time.Second, Completed: 2, InSLO: 1, Latency: h}, {Name: "look"}},
		Timeline: []Second{{Offered: 21, UnderWay: 18}, {Completed: 3, InSLO: 2, Refused: 4, Failed: 5, Abandoned: 6, InDoubt: 2, Dropped: 1}},
	}
}

func TestAResultIsTheSameAfterItsJSON(t *testing.T) {
	want := someResult()
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got := new(Result)
	if err := json.Unmarshal(text, got); err != nil {
		t.Fatal(err)
	}
	if !got.Latency.Equals(want.Latency) || !got.Lag.Equals(want.Lag) || got.Service != nil || !got.Steps[0].Latency.Equals(want.Steps[0].Latency) || got.Steps[1].Latency != nil {
		t.Error("a histogram is another one")
	}
	for _, r := range []*Result{want, got} {
		r.Latency, r.Lag, r.Steps[0].Latency = nil, nil, nil
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v became\n%+v", want, got)
	}
	if len(text) > 8<<10 {
		t.Errorf("a small result has %d bytes", len(text))
	}
}

func TestResultsThatDoNotBelongTogetherAreNotMerged(t *testing.T) {
	f := func(change func(*Result)) {
		t.Helper()
		r, o := someResult(), someResult()
		change(o)
		if err := r.Merge(o); err == nil {
			t.Error("merged")
		}
		if !reflect.DeepEqual(r, someResult()) {
			t.Errorf("an error left %+v", r)
		}
	}
	f(func(o *Result) { o.Steps = nil })
	f(func(o *Result) { o.Steps[0].Name = "buy" })
	f(func(o *Result) { o.Steps[0].SLO = 0 })
	r := someResult()
	if r.Merge(r) == nil || r.Merge(nil) == nil {
		t.Error("a result was merged with itself or with none")
	}
	if empty := new(Result); empty.Merge(&Result{Reasons: map[string]int64{"x": 1}, Latency: NewHistogram()}) != nil || empty.Reasons["x"] != 1 || empty.Latency == nil {
		t.Error("an empty result takes no other")
	}
}

func TestAResultThatNoRunMeasuredIsRefused(t *testing.T) {
	good, err := json.Marshal(someResult())
	if err != nil {
		t.Fatal(err)
	}
	f := func(old, replacement string) {
		t.Helper()
		text := strings.Replace(string(good), old, replacement, 1)
		if text == string(good) {
			t.Fatalf("%s is not in %s", old, good)
		}
		if err := json.Unmarshal([]byte(text), new(Result)); err == nil {
			t.Errorf("%s was taken for %s", replacement, old)
		}
	}
	f(`"offered":21`, `"offered":-1`)
	f(`"busy":4`, `"busy":-4`)
	f(`"underWay":18`, `"underWay":-1`)
	f(`"sloNs":1000000000`, `"sloNs":-1`)
	f(`"latency":"HIST`, `"latency":"HISS`)
	f(`"timeline":[`, `"timeline":[`+strings.Repeat(`{},`, timelineMax))
	f(`"steps":[`, `"steps":[`+strings.Repeat(`{},`, stepsMax))
	f(`"elapsedNs":1`, `"elapsedNs":"one"`)
	f(`"lag":"`, `"lag":"`+strings.Repeat("A", encodedMax))
}

func FuzzResult(f *testing.F) {
	for _, r := range []*Result{someResult(), {}} {
		text, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"latency":"HISTFAAAABt42pNpmSzMwMDAxAABzFCaEUoz2X+AMIA"}`))
	f.Add([]byte(`{"timeline":[{"offered":1}],"steps":[{"name":"x","latency":""}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := new(Result)
		if json.Unmarshal(b, r) != nil {
			return
		}
		r.PerSecond()
		_ = r.Void()
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatalf("%q was read and cannot be written: %v", b, err)
		}
		other := new(Result)
		if err := json.Unmarshal(again, other); err != nil {
			t.Fatalf("%q was written and cannot be read: %v", again, err)
		}
		if err := r.Merge(other); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLognormalHasItsMeanAndVariation(t *testing.T) {
	const n = 200_000
	s := scheduled(t, 9, 1, time.Second).source
	var sum, squares float64
	for range n {
		x := Lognormal(s, 3*time.Second, 1).Seconds()
		sum += x
		squares += x * x
	}
	mean := sum / n
	if cv := math.Sqrt(squares/n-mean*mean) / mean; math.Abs(mean-3) > .05 || math.Abs(cv-1) > .05 {
		t.Errorf("a mean of %.3f s and a variation of %.3f, expected 3 and 1", mean, cv)
	}
	if Lognormal(s, 0, 1) != 0 || Lognormal(s, -1, 1) != 0 || Lognormal(s, time.Second, 0) != time.Second {
		t.Error("no mean, or no variation, gives something else")
	}
}
