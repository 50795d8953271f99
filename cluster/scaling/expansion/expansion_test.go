package expansion

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"

	"pgregory.net/rapid"
)

// The rules of the package, over random days: pressure, core, line, operators, leaders and providers as they come.
func TestItMovesWithinItsBoundsAfterItsPausesAndNeverForASlowCore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := func(low, high int, name string) int { return rapid.IntRange(low, high).Draw(t, name) }
		c := Defaults()
		c.Max = number(1, 12, "max")
		c.Min, c.Step = number(0, c.Max, "min"), number(1, c.Max, "step")
		c.OutAfter, c.InAfter = time.Duration(number(1, 20, "out-after"))*time.Second, time.Duration(number(1, 60, "in-after"))*time.Second
		c.OutPause, c.InPause = time.Duration(number(1, 30, "out-pause"))*time.Second, time.Duration(number(1, 60, "in-pause"))*time.Second
		w := newWorld(t, c)
		w.s.Approval = number(0, 3, "approval") == 0
		w.s.Runner.Wanted = number(0, 4, "run")
		w.s.Runner.Running, w.s.Runner.Serving = w.s.Runner.Wanted, w.s.Runner.Wanted
		var changed, began, free, busy time.Duration // the lever changed; the core was last free; a part was last short
		began, free, busy = -time.Nanosecond, -time.Hour, -time.Hour
		var fence uint64
		for range number(1, 40, "spells") {
			drawSpell(t, w, &began)
			for range number(1, 200, "looks") {
				w.s.At += LookEvery
				if began < 0 {
					began = w.s.At
				}
				if w.s.Core == CoreFree && w.s.Line != LineForCore {
					free = w.s.At
				}
				before := w.m.Wishes().Workers
				short := w.s.Line == LineForSignIns
				used := inUse(w.s.Nodes)
				for part := range Part(Parts) {
					sum := 0
					for _, n := range used {
						sum += n.Of(part)
					}
					short = short || len(used) > 0 && sum/len(used) >= c.Out
				}
				if short {
					busy = w.s.At
				}
				f := w.look()
				// What lapsed at this look is a change as well.
				if w.s.Wish.Fence != fence {
					changed, fence = w.s.At, w.s.Wish.Fence
				}
				if m := f.Move; m != nil {
					hold(t, w, m, before, changed, began)
					if forced := m.From < c.Min && m.To <= c.Min; m.To > m.From && !forced && (w.s.At-free > coreSmoothing || busy != w.s.At) {
						t.Fatalf("%v: out, with the core free last at %v and a part short last at %v: %+v", w.s.At, free, busy, m)
					}
				}
			}
		}
	})
}

// drawSpell changes something.
func drawSpell(t *rapid.T, w *world, began *time.Duration) {
	number := func(low, high int, name string) int { return rapid.IntRange(low, high).Draw(t, name) }
	switch number(0, 9, "spell") {
	case 0:
		w.s.Core = Core(number(0, 3, "core"))
	case 1:
		w.s.Line = Line(number(0, 2, "line"))
	case 2:
		w.lead()
		*began = -1
	case 3:
		w.wish("ann", number(0, 14, "value"), time.Duration(number(0, 600, "for"))*time.Second, w.s.Approval)
	case 4:
		if p := w.m.Wishes().Workers.Pending; p.Number > 0 {
			w.commit(&command.ApproveWish{Lever: command.Lever_LEVER_WORKERS, Number: p.Number, Operator: "bob"})
		}
	case 5:
		w.stuck = number(-1, 3, "stuck")
	case 6:
		w.s.Runner.Problem = []string{"", "it does not answer"}[number(0, 1, "problem")]
	case 7:
		w.s.At += time.Duration(number(0, 10, "gap")) * time.Second
	default:
		w.s.Nodes = nil
		low, high := 0, 100
		switch number(0, 3, "busy") {
		case 0:
			low = w.c.Out
		case 1:
			high = w.c.In - 1
		}
		for range number(0, 6, "nodes") {
			w.s.Nodes = append(w.s.Nodes, Pressure{SignIn: number(low, high, "sign-in"), Processor: number(0, high, "processor"), Connections: number(0, high, "connections"), Quiet: number(0, 3, "quiet") == 0})
		}
	}
}

// hold holds one move to the rules.
func hold(t *rapid.T, w *world, m *Move, before journal.Wanted, changed, began time.Duration) {
	c, at := w.c, w.s.At
	base := int(w.s.Wish.Base)
	if w.s.Wish.Now.Number == 0 {
		base = w.s.Runner.Wanted
	}
	own := w.s.Wish.Now.Operator == Operator
	out, back := m.To > m.From, m.To < m.From
	switch {
	case out && (m.To > c.Max || m.To > m.From+c.Step):
		t.Fatalf("out by too much: %+v of %+v", m, c)
	case back && (m.To < m.From-1 || m.To < max(base, c.Min)):
		t.Fatalf("in by too much: %+v with base %d of %+v", m, base, c)
	case !out && !own:
		t.Fatalf("an operator's wish is taken back: %+v for %+v", m, w.s.Wish)
	case out && (at-changed < c.OutPause || at-began < c.OutPause):
		t.Fatalf("%v: out within a pause that began at %v or %v: %+v", at, changed, began, m)
	case back && (at-changed < c.InPause || at-began < c.InPause):
		t.Fatalf("%v: in within a pause that began at %v or %v: %+v", at, changed, began, m)
	case w.s.Wish.Now.Until > 0 && !own:
		t.Fatalf("an operator's wish with an end is pushed aside: %+v by %+v", w.s.Wish, m)
	case w.s.Wish.Pending.Number > 0:
		t.Fatalf("a wish that waits is pushed aside: %+v by %+v", w.s.Wish, m)
	case out && m.Approval != w.s.Approval, !out && m.Approval:
		t.Fatalf("approval %v of %+v", w.s.Approval, m)
	case m.Until == 0 && m.To != base && m.To > c.Min:
		t.Fatalf("%+v has no end, with base %d", m, base)
	case out && w.s.Runner.Running < w.s.Runner.Wanted:
		t.Fatalf("out while workers are on their way: %+v, %+v", m, w.s.Runner)
	}
	if n := utf8.RuneCountInString(m.Reason); n == 0 || n > journal.DefaultLimits().ReasonRunes {
		t.Fatalf("a reason of %d characters: %q", n, m.Reason)
	}
}

func TestThePressureOfANodeIsSmoothedAndBounded(t *testing.T) {
	var m Meter
	r := Reading{Workers: 2, Processors: 2}
	read := func(lasts time.Duration, step func(r *Reading)) (p Pressure) {
		for range int(lasts / time.Second) {
			r.At += time.Second
			step(&r)
			p = m.Read(r)
		}
		return p
	}
	if p := m.Read(r); p != (Pressure{}) {
		t.Errorf("%+v before anything was measured", p)
	}
	full := func(r *Reading) { r.Hashing += 2 * time.Second }
	if p := read(time.Second, full); p.SignIn < 10 || p.SignIn > 40 {
		t.Errorf("%+v after one second of full work", p)
	}
	if p := read(30*time.Second, full); p.SignIn != 100 || p.Processor != 0 {
		t.Errorf("%+v after half a minute of it", p)
	}
	half := func(r *Reading) { r.Processor += time.Second; r.Full, r.Wait = 0.25, 1200*time.Millisecond }
	if p := read(60*time.Second, half); p != (Pressure{SignIn: 0, Processor: 50, Connections: 25, WaitMillis: 1200}) {
		t.Errorf("%+v", p)
	}
	// Stopped in three of four periods, by whatever ran in its group.
	stopped := func(r *Reading) { r.Periods += 10; r.Throttled += 7 }
	if p := read(60*time.Second, stopped); p.Processor != 70 {
		t.Errorf("%+v in a group that is stopped", p)
	}
	// Hashes on a machine that is busy otherwise take seconds, and are counted at their end.
	lumps := func(r *Reading) {
		if r.At%(3*time.Second) == 0 {
			r.Hashing += 6 * time.Second
		}
	}
	if p := read(60*time.Second, lumps); p.SignIn < 80 {
		t.Errorf("%+v of a pool that is always at work", p)
	}
}

func TestWhatANodeTellsOfItsPressureIsMadeFit(t *testing.T) {
	var p Pressure
	if err := json.Unmarshal([]byte(`{"signIn":-5,"processor":1000,"connections":50,"waitMillis":99999999}`), &p); err != nil {
		t.Fatal(err)
	}
	if got, want := p.Fit(), (Pressure{SignIn: 0, Processor: 100, Connections: 50, WaitMillis: 60_000}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestParse(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		c, err := Parse(text)
		if want == "" {
			if err != nil || c.check() != nil && text != "" {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	f("", "")
	f("max=8", "")
	f("max=1", "")
	f("max=8, min=2,step=3,out=90,out-after=2s,out-pause=5s,in=45,in-after=1m,in-pause=1m", "")
	f("max=8,out=50", "") // in follows
	f("max=0", "max is 0; it may be 1 to 1000")
	f("min=2", "max is 0")
	f("max=1001", "max is 1001")
	f("max=8,min=9", "min is 9; it may be 0 to 8")
	f("max=8,step=9", "step is 9; it may be 1 to 8")
	f("max=8,out=40", "out is 40; it may be 50 to 100")
	f("max=8,in=41", "in is 41; it may be 1 to 40")
	f("max=8,out-after=1ms", "out-after is 1ms; it may be 1s to 24h0m0s")
	f("max=8,in-pause=25h", "in-pause is 25h0m0s")
	f("max=8,out-pause=10", `out-pause is "10"; write a number such as 8, or for a time 10s`)
	f("max=many", `max is "many"`)
	f("max=8,max=9", `"max" is said twice`)
	f("most=8", `"most" is not known; write max=8`)
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "max=8", "max=8,min=2,step=3,out=90,out-after=2s,out-pause=5s,in=45,in-after=1m,in-pause=1m", "max=,=,", "in=-1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := Parse(text); err == nil && c.On() && c.check() != nil {
			t.Errorf("%q is read as %+v", text, c)
		}
	})
}

func BenchmarkLook(b *testing.B) {
	e := New(Defaults())
	s := Sample{Nodes: make([]Pressure, 64), Runner: Runner{Known: true}}
	b.ReportAllocs()
	for b.Loop() {
		s.At += LookEvery
		e.Look(&s)
	}
}
