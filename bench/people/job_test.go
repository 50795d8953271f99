package people

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netbank/bench/audit"
	"netbank/bench/demo"
	"netbank/bench/load"
	"netbank/bench/load/loadtest"
)

// together runs a job in a number of processes' shares at once, and gives what came of them all.
func together(t *testing.T, b *bank, d *demo.Demo, j Job, of int) *Outcome {
	t.Helper()
	outcomes := make([]*Outcome, of)
	var wait sync.WaitGroup
	for share := range of {
		wait.Go(func() {
			mine := j
			mine.Share, mine.Of = share, of
			p, err := prepareAt(t.Context(), d, b.doors(), mine)
			if err != nil {
				t.Error(err)
				return
			}
			if outcomes[share], err = p.Run(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
	for _, o := range outcomes[1:] {
		if err := outcomes[0].Merge(o); err != nil {
			t.Fatal(err)
		}
	}
	return outcomes[0]
}

// One seed offers the same load, to the request, however many processes share it.
func TestSharesTogetherAreTheSameLoadToTheRequest(t *testing.T) {
	f := func(kind string, h Habits) {
		t.Helper()
		j := Job{
			Name: kind, Kind: kind, Seed: 11, Curve: load.Curve{{From: 0, PerSecond: 200}, {From: 100 * time.Millisecond, PerSecond: 600}},
			WarmUp: 50 * time.Millisecond, Measure: 250 * time.Millisecond, Grace: 20 * time.Second, Connections: 8, Customers: Range{10, 400}, Number: 5000, Stock: 7,
			Habits: h,
		}
		once, thrice := newBank(t), newBank(t)
		d := demoOf(400)
		one, three := together(t, once, d, j, 1), together(t, thrice, d, j, 3)
		same := func(what string, a, b []string) {
			t.Helper()
			if a, b = sorted(a), sorted(b); !slices.Equal(a, b) {
				t.Errorf("%s: one process made %d %s, three made %d, and they differ", kind, len(a), what, len(b))
			}
		}
		stock := map[string]bool{Status: true, SignIn: true, Returning: true}[kind]
		if stock {
			// Each process creates the stock, under the same keys.
			thrice.creates = slices.Compact(sorted(thrice.creates))
		}
		same("creates", once.creates, thrice.creates)
		same("status requests", once.statuses, thrice.statuses)
		same("sign-ins", once.signIns, thrice.signIns)
		if one.Load.Offered != three.Load.Offered || one.NextNumber != three.NextNumber || one.Load.Offered == 0 || one.Unserved+three.Unserved+one.Skipped+three.Skipped > 0 {
			t.Errorf("%s: offered %d and %d, next %d and %d, %d and %d customers passed over", kind,
				one.Load.Offered, three.Load.Offered, one.NextNumber, three.NextNumber, one.Skipped, three.Skipped)
		}
		if one.Load.Completed != one.Load.Offered || three.Load.Completed != three.Load.Offered || !stock && len(one.Told) != len(three.Told) {
			t.Errorf("%s: completed %d of %d (%v) and %d of %d (%v), told %d and %d things", kind, one.Load.Completed, one.Load.Offered, one.Load.Reasons,
				three.Load.Completed, three.Load.Offered, three.Load.Reasons, len(one.Told), len(three.Told))
		}
	}
	short := Habits{Think: Think{SignIn: 20 * time.Millisecond, Confirm: 10 * time.Millisecond, Code: 5 * time.Millisecond}, Repeats: .3}
	f(Flow, short)
	f(Returning, short)
	f(Confirm, short)
	f(Create, short)
	f(Status, short)
	f(SignIn, short)
}

func TestProcessesShareNoCustomer(t *testing.T) {
	d := demoOf(20)
	seen := map[string]int{}
	for share := range 3 {
		r, err := newRoster(d, &Job{Customers: Range{3, 19}, Share: share, Of: 3})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.members) != 5 {
			t.Errorf("share %d has %d customers, expected a third of 16", share, len(r.members))
		}
		for i := range r.members {
			seen[r.members[i].Username]++
		}
	}
	if len(seen) != 15 || seen["user3"] != 1 || seen["user17"] != 1 || seen["user18"] != 0 {
		t.Errorf("customers %v", seen)
	}
	if _, err := newRoster(d, &Job{Customers: Range{3, 21}}); err == nil {
		t.Error("customers that were not seeded were taken")
	}
}

func TestACustomerWhoseCodeIsSpentIsPassedOver(t *testing.T) {
	r, err := newRoster(demoOf(3), &Job{Customers: Range{0, 3}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(3000, 0)
	a, b := r.enter(0, now), r.enter(3, now)
	if a == nil || b == nil || a.Username != "user0" || b.Username != "user1" || r.skipped != 1 {
		t.Fatalf("%v and %v came, %d were passed over", a, b, r.skipped)
	}
	r.leave(a, counterOf(now))
	r.leave(b, 0)
	if c := r.enter(0, now); c == nil || c.Username != "user1" {
		t.Errorf("%v came, whose turn it was has spent his code", c)
	}
	if c := r.enter(0, now.Add(codeStep)); c == nil || c.Username != "user0" {
		t.Errorf("%v came, and the next code is shown", c)
	}
	if r.enter(0, now); r.enter(0, now) != nil {
		t.Error("somebody came, and nobody was free")
	}
}

func TestAFlowWithoutACustomerVoidsTheRun(t *testing.T) {
	o := visits(t, newBank(t), 0, Job{Kind: Flow, Customers: Range{0, 2}})
	if o.Unserved == 0 || o.Void() == nil || o.Load.Completed == 0 {
		t.Errorf("%d completed, %d unserved, void: %v", o.Load.Completed, o.Unserved, o.Void())
	}
	if o := visits(t, newBank(t), 1, Job{Kind: Flow}); o.Void() != nil {
		t.Error(o.Void())
	}
}

func TestMoreConfirmationsThanCustomersAreRefused(t *testing.T) {
	j := Job{Name: "c", Kind: Confirm, Curve: load.Constant(1000), Measure: time.Second, Connections: 1, Customers: Range{0, 20}}
	_, err := prepareAt(t.Context(), demoOf(20), newBank(t).doors(), j)
	if err == nil || !strings.Contains(err.Error(), "for 20 customers") {
		t.Error(err)
	}
}

func TestAPreparationThatFailsSaysWhy(t *testing.T) {
	b := newBank(t)
	b.script = func(name string, _ *scripted, _ int) *event {
		return map[string]*event{"POST create": {answer: loadtest.Reply(400, "", "")}}[name]
	}
	j := Job{Name: "s", Kind: Status, Curve: load.Constant(1), Measure: time.Second, Connections: 1, Stock: 2}
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		defer b.serving.Wait()
		_, err := prepareAt(t.Context(), demoOf(1), b.doors(), j)
		if err == nil || !strings.Contains(err.Error(), "creating payments: only 0 of 2") {
			t.Error(err)
		}
	})
}

func TestJobsAndOutcomesTravelAsJSON(t *testing.T) {
	j := Job{
		Name: "x", Kind: Returning, Seed: 1<<64 - 1, Curve: load.Curve{{From: 0, PerSecond: 1.5}, {From: time.Second, PerSecond: 3}},
		Bursts: &load.Bursts{Factor: 3, Calm: time.Second, Burst: time.Second}, AtOnce: 3, WarmUp: 1, Measure: 2, CoolDown: 12, Grace: 3, Customers: Range{4, 5}, Share: 6, Of: 7,
		Connections: 8, Number: 9, SLO: 10, Habits: Impatient(), Stock: 11,
	}
	text, err := json.Marshal(&j)
	if err != nil {
		t.Fatal(err)
	}
	var back Job
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(j, back) {
		t.Errorf("%v: %+v came back as %+v", err, j, back)
	}
	o := visits(t, newBank(t), 2, Job{Kind: Flow})
	if text, err = json.Marshal(o); err != nil {
		t.Fatal(err)
	}
	var copied Outcome
	if err := json.Unmarshal(text, &copied); err != nil {
		t.Fatal(err)
	}
	if copied.Load.Completed != 2 || copied.Load.Latency.Max() != o.Load.Latency.Max() || !slices.Equal(copied.Told, o.Told) || len(copied.Load.Steps) != len(o.Load.Steps) {
		t.Errorf("%+v", copied)
	}
	if err := copied.Merge(o); err != nil || copied.Load.Completed != 4 || copied.UsedCustomers != 4 || len(copied.Told) != 8 {
		t.Errorf("%v, %+v", err, copied)
	}
}

func TestJobsThatCannotBeAreRefused(t *testing.T) {
	good := Job{Name: "x", Kind: Flow, Curve: load.Constant(5), Measure: time.Second, Connections: 4, Customers: Range{0, 10}, Habits: Patient()}
	f := func(what string, change func(j *Job), ok bool) {
		t.Helper()
		j := good
		change(&j)
		if err := j.Check(); (err == nil) != ok {
			t.Errorf("%s: %v", what, err)
		}
	}
	f("as it is", func(*Job) {}, true)
	f("closed", func(j *Job) { j.Curve, j.AtOnce = nil, 5 }, true)
	f("kind", func(j *Job) { j.Kind = "none" }, false)
	f("nothing measured", func(j *Job) { j.Measure = 0 }, false)
	f("too long", func(j *Job) { j.Measure = 1000 * time.Hour }, false)
	f("two loops", func(j *Job) { j.AtOnce = 5 }, false)
	f("no loop", func(j *Job) { j.Curve = nil }, false)
	f("a curve that goes back", func(j *Job) { j.Curve = load.Curve{{From: 0, PerSecond: 1}, {From: 0, PerSecond: 2}} }, false)
	f("bursts of nothing", func(j *Job) { j.Bursts = &load.Bursts{} }, false)
	f("a share too many", func(j *Job) { j.Share, j.Of = 2, 2 }, false)
	f("shares", func(j *Job) { j.Share, j.Of = 1, 2 }, true)
	f("more shares than connections", func(j *Job) { j.Of = 5 }, false)
	f("less at once than shares", func(j *Job) { j.Curve, j.AtOnce, j.Of = nil, 1, 2 }, false)
	f("no customers", func(j *Job) { j.Customers = Range{5, 5} }, false)
	f("none are needed", func(j *Job) { j.Kind, j.Customers = Create, Range{} }, true)
	f("negative number", func(j *Job) { j.Number = -1 }, false)
	f("stock", func(j *Job) { j.Stock = StockMax + 1 }, false)
	f("tries", func(j *Job) { j.Habits.Tries = TriesMax + 1 }, false)
	f("negative patience", func(j *Job) { j.Habits.Patience = -1 }, false)
	f("endless thought", func(j *Job) { j.Habits.Think.Code = 2 * ThinkMax }, false)
	f("repeats", func(j *Job) { j.Habits.Repeats = 1.5 }, false)
}

func TestWordsKeepTheOrderOfTheirFlow(t *testing.T) {
	var n notes[audit.Told]
	for i := range int64(100) {
		n.add(i, audit.Told{Payment: string(rune('a' + i%26)), Version: uint32(i)})
		n.add(i, audit.Told{Payment: string(rune('a' + i%26)), Version: uint32(i + 1)})
	}
	all := n.take()
	if len(all) != 200 || len(n.take()) != 0 {
		t.Fatalf("%d notes", len(all))
	}
	for i := 0; i < len(all); i += 2 {
		if all[i+1].Version != all[i].Version+1 {
			t.Errorf("%v before %v", all[i], all[i+1])
		}
	}
}

func TestWordsOfTwoProcessesMakeOneOrder(t *testing.T) {
	f := func(a, b, want string) {
		t.Helper()
		told := func(text string) []audit.Told {
			var all []audit.Told
			for word := range strings.FieldsSeq(text) {
				all = append(all, audit.Told{Payment: word[:1], Version: uint32(word[1] - '0')})
			}
			return all
		}
		var got []string
		for _, w := range merged(told(a), told(b)) {
			got = append(got, w.Payment+string(rune('0'+w.Version)))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s and %s make %s, expected %s", a, b, strings.Join(got, " "), want)
		}
	}
	f("x1 y1 x2", "z1 z2", "x1 y1 x2 z1 z2")
	f("x1 x3 y1", "x1 x2 x3", "y1 x1 x1 x2 x3 x3")
	f("x1 x3 x1", "x2", "x1 x2 x3 x1") // what went back still does
	f("x2", "x3 x1", "x2 x3 x1")
	f("", "x1", "x1")
	f("x1", "", "x1")
}
