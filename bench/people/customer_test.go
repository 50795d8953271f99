package people

import (
	"context"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"netbank/bench/audit"
	"netbank/bench/load"
	"netbank/bench/load/loadtest"
)

// visits makes n flows of a job, one after the other, in a time of their own.
func visits(t *testing.T, b *bank, n int64, j Job) *Outcome {
	t.Helper()
	var o *Outcome
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		j.Name, j.Seed, j.AtOnce, j.Measure, j.Connections = "test", 7, 1, time.Hour, 4
		if j.Customers.To == 0 {
			j.Customers.To = 3
		}
		p, err := prepareAt(t.Context(), demoOf(j.Customers.To), b.doors(), j)
		if err != nil {
			t.Fatal(err)
		}
		defer b.serving.Wait()
		defer p.Close()
		run := p.crowd()
		if n > 0 {
			run.Limit = n // without it, as many as the job has prepared
		}
		r, err := load.Busy(t.Context(), run, 1)
		if err != nil {
			t.Fatal(err)
		}
		o = p.outcome(r)
	})
	return o
}

// one makes one flow, and holds it to its outcome and to what its customer was told.
func one(t *testing.T, b *bank, j Job, want load.Outcome, why string, words ...string) *Outcome {
	t.Helper()
	o := visits(t, b, 1, j)
	got := map[load.Outcome]int64{
		load.Completed: o.Load.Completed, load.Refused: o.Load.Refused, load.Failed: o.Load.Failed, load.Abandoned: o.Load.Abandoned, load.InDoubt: o.Load.InDoubt,
	}
	if got[want] != 1 || why != "" && o.Load.Reasons[why] != 1 {
		t.Errorf("outcomes %v, reasons %v", got, o.Load.Reasons)
	}
	all := told(o)
	if len(all) != 1 || !slices.Equal(all["0197a9a4-5b7f-7000-8000-000000000000"], words) {
		t.Errorf("told %v, expected %v", all, words)
	}
	unsettled := slices.Contains(words, "PDNG")
	if unsettled != (len(o.Unsettled) == 1) {
		t.Errorf("unsettled %v", o.Unsettled)
	}
	return o
}

func stepsOf(o *Outcome) map[string]int64 {
	all := map[string]int64{}
	for _, s := range o.Load.Steps {
		if s.Completed > 0 {
			all[s.Name] = s.Completed
		}
	}
	return all
}

func word(t *testing.T, o *Outcome) load.StepResult {
	t.Helper()
	for _, s := range o.Load.Steps {
		if s.Name == StepWord {
			return s
		}
	}
	t.Fatal("nobody counted the definite word")
	return load.StepResult{}
}

// hasty is impatience without thought, for times that can be told beforehand.
func hasty() Habits {
	h := Impatient()
	h.Think = Think{}
	return h
}

func TestACustomerGoesTheWholeWayAsABrowserDoes(t *testing.T) {
	o := one(t, newBank(t), Job{Kind: Flow, SLO: time.Second}, load.Completed, "", "RCVD", "ACSC")
	want := map[string]int64{
		"create": 1, "sign-in page": 1, "sign in": 1, "confirm page": 1, "choose account": 1, "code page": 1, "send code": 1, "result page": 1, StepWord: 1,
	}
	if got := stepsOf(o); !reflect.DeepEqual(got, want) || o.Load.InSLO != 1 || o.UsedCustomers != 1 {
		t.Errorf("steps %v, %d in time, %d customers", got, o.Load.InSLO, o.UsedCustomers)
	}
}

func TestACustomerWithAConnectionOfHisOwnComesAndLeavesWithIt(t *testing.T) {
	f := func(own bool, connections int) {
		t.Helper()
		b := newBank(t)
		o := visits(t, b, 3, Job{Kind: Flow, Habits: Habits{Own: own}, Trace: true})
		if b.came != connections || o.Load.Completed != 3 {
			t.Errorf("own %v: %d connections for %d customers", own, b.came, o.Load.Completed)
		}
		if len(o.SignIns) != 3 || len(o.Confirmations) != 3 {
			t.Errorf("%d sign-ins and %d confirmations were kept", len(o.SignIns), len(o.Confirmations))
		}
	}
	f(true, 3)
	f(false, 1)
}

func TestAReturningCustomerDoesNotSignIn(t *testing.T) {
	o := visits(t, newBank(t), 3, Job{Kind: Returning, Stock: 2})
	if got := stepsOf(o); got["sign in"] != 0 || got["confirm page"] != 3 || o.Load.Completed != 3 || o.NextNumber != 5 {
		t.Errorf("steps %v, %d completed (%v), next number %d", got, o.Load.Completed, o.Load.Reasons, o.NextNumber)
	}
}

func TestThinkingIsNotTheBanksLatency(t *testing.T) {
	b := newBank(t)
	b.script = func(name string, _ *scripted, _ int) *event {
		return map[string]*event{"POST code": {before: time.Second}, "GET confirm": {before: 2 * time.Second}}[name]
	}
	h := Patient()
	o := one(t, b, Job{Kind: Flow, SLO: 1500 * time.Millisecond, Habits: h}, load.Completed, "", "RCVD", "ACSC")
	near := func(name string, got, want time.Duration) {
		t.Helper()
		if got < want || got > want+want/50 {
			t.Errorf("%s took %v, expected %v", name, got, want)
		}
	}
	near("the flow", time.Duration(o.Load.Latency.Max()), 3*time.Second)
	near("the definite word", time.Duration(word(t, o).Latency.Max()), time.Second)
	if o.Load.InSLO != 1 {
		t.Error("the objective of the confirmation counts from the sending of the code, not from the first page")
	}
}

// inLine has a customer wait for so many looks.
func inLine(looks int, late bool) func(name string, _ *scripted, times int) *event {
	return func(name string, _ *scripted, times int) *event {
		return &event{waits: name == "GET" && times == 1 || name == "GET wait" && times <= looks, late: late}
	}
}

func TestAWaitInTheLineIsCountedApart(t *testing.T) {
	b := newBank(t)
	b.script = inLine(3, false)
	o := one(t, b, Job{Kind: Flow, SLO: time.Second, Habits: Habits{Queues: time.Minute}}, load.Completed, "", "RCVD", "ACSC")
	line := lineOf(t, o)
	if got := stepsOf(o); got["look at the line"] != 4 || line.Completed != 1 || time.Duration(line.Latency.Max()).Round(time.Second) != 15*time.Second {
		t.Errorf("steps %v, %v in the line", got, time.Duration(line.Latency.Max()))
	}
	if whole := time.Duration(o.Load.Latency.Max()); whole > time.Second || o.Load.InSLO != 1 {
		t.Errorf("the flow took %v, %d in time", whole, o.Load.InSLO)
	}
}

func TestWhoseTurnIsTooFarLeavesTheLineUncharged(t *testing.T) {
	f := func(habits Habits, late bool, why string) {
		t.Helper()
		b := newBank(t)
		b.script = inLine(1000, late)
		o := one(t, b, Job{Kind: Flow, Habits: habits}, load.Abandoned, why, "RCVD", audit.Refused)
		if line := lineOf(t, o); line.Abandoned != 1 {
			t.Errorf("%+v", line)
		}
	}
	f(Habits{Queues: 20 * time.Second}, false, "the line took too long")
	f(Habits{}, true, "the turn would have come too late")
}

func lineOf(t *testing.T, o *Outcome) load.StepResult {
	t.Helper()
	for _, s := range o.Load.Steps {
		if s.Name == StepLine {
			return s
		}
	}
	t.Fatal("nobody counted the waits in the line")
	return load.StepResult{}
}

func TestProcessingIsLookedAtAgainAsOftenAsThePageDoesByItself(t *testing.T) {
	b := newBank(t)
	b.script = func(name string, _ *scripted, _ int) *event {
		return map[string]*event{"POST code": {state: "twice settled"}}[name]
	}
	o := one(t, b, Job{Kind: Flow, SLO: 3 * time.Second, Habits: Habits{Watch: 10 * time.Second}}, load.Completed, "", "RCVD", "ACSC")
	w := word(t, o)
	if o.Load.InSLO != 0 || w.InSLO != 0 || w.Completed != 1 || time.Duration(w.Latency.Max()).Round(10*time.Millisecond) != 4*time.Second {
		t.Errorf("in time %d; definite word %d times after %v", o.Load.InSLO, w.Completed, time.Duration(w.Latency.Max()))
	}
	if got := stepsOf(o)["result page"]; got != 3 {
		t.Errorf("the result was looked at %d times, expected 3", got)
	}
}

// A page that does not know is not a page that says no.
func TestWhoLeavesWithoutAWordIsInDoubt(t *testing.T) {
	b := newBank(t)
	b.script = func(name string, _ *scripted, _ int) *event {
		return map[string]*event{"POST code": {state: "doubt"}}[name]
	}
	o := one(t, b, Job{Kind: Flow, SLO: time.Second, Habits: Habits{Watch: 6 * time.Second}}, load.InDoubt, "not known yet", "RCVD", "PDNG")
	if got := stepsOf(o)["result page"]; got != 2 || word(t, o).InDoubt != 1 {
		t.Errorf("the result was looked at %d times, expected at once and after 5 s", got)
	}
}

func TestAnImpatientCustomerPressesAgainWhileTheFirstGoesOn(t *testing.T) {
	b := newBank(t)
	b.script = func(name string, _ *scripted, times int) *event {
		if name == "POST code" && times == 1 {
			return &event{after: 10 * time.Second} // charged, but the answer does not come
		}
		return nil
	}
	o := one(t, b, Job{Kind: Flow, SLO: 2 * time.Second, Habits: hasty()}, load.Completed, "", "RCVD", "ACSC")
	if w := word(t, o); o.Retries != 1 || o.Load.InSLO != 0 || time.Duration(w.Latency.Max()).Round(10*time.Millisecond) != 3*time.Second {
		t.Errorf("%d retries, the word came after %v", o.Retries, time.Duration(w.Latency.Max()))
	}
	if len(b.creates) != 1 {
		t.Errorf("%d creates", len(b.creates))
	}
}

func TestPatienceEndsAfterAllTries(t *testing.T) {
	b, sent := newBank(t), 0
	b.script = func(name string, _ *scripted, _ int) *event {
		if name == "POST code" {
			sent++
			return &event{before: time.Minute}
		}
		return nil
	}
	o := one(t, b, Job{Kind: Flow, Habits: hasty()}, load.Abandoned, "no answer within the customer's patience", "RCVD", "PDNG")
	if w := word(t, o); sent != 3 || o.Retries != 2 || w.Abandoned != 1 {
		t.Errorf("the code was sent %d times, %d retries, %+v", sent, o.Retries, w)
	}
}

func TestWhoGivesUpBeforeTheCodeWasNotCharged(t *testing.T) {
	b := newBank(t)
	b.script = func(name string, _ *scripted, _ int) *event {
		return map[string]*event{"GET confirm": {before: time.Minute}}[name]
	}
	o := one(t, b, Job{Kind: Flow, Habits: hasty()}, load.Abandoned, "no answer within the customer's patience", "RCVD", audit.Refused)
	if word(t, o).Abandoned != 0 {
		t.Error("who never sent the code waits for no word")
	}
}

func TestABusyBankIsTriedAgainAsHabitsSay(t *testing.T) {
	f := func(name string, h Habits, refusals, sent int, took time.Duration, want load.Outcome, words ...string) {
		t.Helper()
		b, came := newBank(t), 0
		b.script = func(name string, o *scripted, times int) *event {
			if name != "POST code" {
				return nil
			}
			if came++; came <= refusals {
				return &event{answer: b.busy(o, "code")}
			}
			return nil
		}
		why := ""
		if want == load.Refused {
			why = "busy queue-full"
		}
		o := one(t, b, Job{Kind: Flow, Habits: h}, want, why, words...)
		if came != sent || o.Retries != int64(sent-1) {
			t.Errorf("%s: the code was sent %d times, %d retries", name, came, o.Retries)
		}
		if w := word(t, o); want == load.Completed && time.Duration(w.Latency.Max()).Round(100*time.Millisecond) != took {
			t.Errorf("%s: the word came after %v", name, time.Duration(w.Latency.Max()))
		}
	}
	heeds := Habits{Tries: 3, RetryAfter: time.Second, Heeds: true}
	f("a machine leaves", Machine(), 1, 1, 0, load.Refused, "RCVD", audit.Refused)
	f("an impatient one comes back at once", hasty(), 2, 3, 0, load.Completed, "RCVD", "ACSC")
	f("and leaves in the end", hasty(), 9, 3, 0, load.Refused, "RCVD", audit.Refused)
	f("a patient one waits as long as the page says", heeds, 1, 2, 7*time.Second, load.Completed, "RCVD", "ACSC")
	heeds.Heeds = false
	f("or as long as he thinks right", heeds, 1, 2, time.Second, load.Completed, "RCVD", "ACSC")
}

func TestABusySignInIsTriedAgain(t *testing.T) {
	f := func(refusals, sent int, want load.Outcome, words ...string) {
		t.Helper()
		b, came := newBank(t), 0
		b.script = func(name string, o *scripted, times int) *event {
			if name != "POST sign-in" {
				return nil
			}
			if came++; came <= refusals {
				return &event{answer: b.lead(o, "", "sign-in-busy")}
			}
			return nil
		}
		if one(t, b, Job{Kind: Flow, Habits: hasty()}, want, "", words...); came != sent {
			t.Errorf("signed in %d times, expected %d", came, sent)
		}
	}
	f(2, 3, load.Completed, "RCVD", "ACSC")
	f(3, 3, load.Refused, "RCVD", audit.Refused)
}

func TestASpentCodeIsNotTypedAgain(t *testing.T) {
	f := func(h Habits, sent int, want load.Outcome, why string, words ...string) {
		t.Helper()
		b, came := newBank(t), 0
		b.script = func(name string, _ *scripted, _ int) *event {
			if name == "POST code" {
				if came++; came == 1 {
					b.spent["user0"] = counterOf(time.Now())
				}
			}
			return nil
		}
		o := one(t, b, Job{Kind: Flow, Habits: h}, want, why, words...)
		if w := word(t, o); came != sent || time.Duration(w.Latency.Max()) > codeStep+time.Second {
			t.Errorf("%d codes, the word came after %v", came, time.Duration(w.Latency.Max()))
		}
	}
	f(Habits{Tries: 2}, 2, load.Completed, "", "RCVD", "ACSC")
	f(Machine(), 1, load.Failed, "led to /code code-used", "RCVD", audit.Refused)
}

func TestADeclinedPaymentIsAWordAndNoSuccess(t *testing.T) {
	f := func(state, status string) {
		t.Helper()
		b := newBank(t)
		b.script = func(name string, _ *scripted, _ int) *event {
			return map[string]*event{"POST code": {state: state}}[name]
		}
		one(t, b, Job{Kind: Flow}, load.Failed, state, "RCVD", status)
	}
	f("rejected", "RJCT")
	f("expired", "RJCT")
	f("cancelled", "CANC")
}

func TestAnErrorPageSaysNothingOfThePayment(t *testing.T) {
	f := func(back string) {
		t.Helper()
		b := newBank(t)
		b.script = func(name string, o *scripted, _ int) *event {
			if name == "POST code" {
				return &event{answer: b.page(500, "", b.back(o, back))}
			}
			return nil
		}
		one(t, b, Job{Kind: Flow}, load.Failed, "status 500 of /code", "RCVD", "PDNG")
	}
	f("not-completed")
	f("rejected")
	f("")
}

func TestAnswersThatLeadToAnotherSiteAreNotFollowed(t *testing.T) {
	b := newBank(t)
	b.script = func(name string, _ *scripted, _ int) *event {
		return map[string]*event{"POST sign-in": {answer: loadtest.Reply(303, "Location: //evil.example/confirm\r\n", "")}}[name]
	}
	one(t, b, Job{Kind: Flow}, load.Failed, "malformed answer", "RCVD", audit.Refused)
}

func TestConfirmingIsPreparedAndEachCustomerPaysOnce(t *testing.T) {
	b := newBank(t)
	o := visits(t, b, 0, Job{Kind: Confirm, SLO: time.Second, Customers: Range{0, 5}, Number: 100})
	_ = o
	if got := stepsOf(o); got["send code"] != 5 || got["result page"] != 5 || got["sign in"] != 0 || o.Load.Completed != 5 || o.NextNumber != 105 {
		t.Errorf("steps %v, reasons %v, next %d", got, o.Load.Reasons, o.NextNumber)
	}
	if len(b.users) != 5 || len(b.creates) != 5 {
		t.Errorf("%d customers, %d payments", len(b.users), len(b.creates))
	}
	for id, words := range told(o) {
		if !slices.Equal(words, []string{"RCVD", "ACSC"}) {
			t.Errorf("%s: %v", id, words)
		}
	}
}

func TestALostCreateIsRepeatedUnderItsKey(t *testing.T) {
	b := newBank(t)
	b.script = func(name string, _ *scripted, times int) *event {
		if name == "POST create" && times == 1 {
			return &event{after: time.Minute}
		}
		return nil
	}
	h := hasty()
	h.Repeats = 1
	o := one(t, b, Job{Kind: Create, Habits: h}, load.Completed, "", "RCVD", "RCVD")
	if len(b.creates) != 3 || b.creates[0] != b.creates[1] || b.creates[0] != b.creates[2] || o.Retries != 1 {
		t.Errorf("%d retries, creates %q", o.Retries, b.creates)
	}
}

func TestARepeatThatMakesAnotherPaymentIsFound(t *testing.T) {
	b := newBank(t)
	b.forgets = true
	b.script = func(name string, _ *scripted, times int) *event {
		if name == "POST create" {
			clear(b.orders)
		}
		return nil
	}
	o := visits(t, b, 1, Job{Kind: Create, Habits: Habits{Repeats: 1}})
	if o.Load.Reasons["a repeat named another payment"] != 1 {
		t.Errorf("reasons %v", o.Load.Reasons)
	}
}

func TestPollersAskAboutTheStockAndTellWhatIsNews(t *testing.T) {
	b := newBank(t)
	b.first = 40
	b.script = func(name string, o *scripted, times int) *event {
		if name == "GET status" && o.n == 1 && times > 2 {
			return &event{answer: loadtest.Reply(200, "", `{"transactionStatus":"ACSC","version":3}`)}
		}
		return nil
	}
	o := visits(t, b, 100, Job{Kind: Status, Stock: 3, Number: 40})
	all := told(o)
	if o.Load.Completed != 100 || len(all) != 3 || o.NextNumber != 143 || len(b.statuses) < 60 {
		t.Errorf("%d polls, told %v, next number %d", o.Load.Completed, all, o.NextNumber)
	}
	for id, words := range all {
		want := []string{"RCVD"}
		if strings.HasSuffix(id, "1") {
			want = append(want, "ACSC")
		}
		if !slices.Equal(words, want) {
			t.Errorf("%s: told %v, expected %v", id, words, want)
		}
	}
}

// A lying status has to reach the audit, whatever was told before.
func TestAStatusThatGoesBackIsTold(t *testing.T) {
	b := newBank(t)
	b.script = func(name string, _ *scripted, times int) *event {
		if name == "GET status" && times == 2 {
			return &event{answer: loadtest.Reply(200, "", `{"transactionStatus":"ACSC","version":3}`)}
		}
		return nil
	}
	o := visits(t, b, 3, Job{Kind: Status, Stock: 1})
	if all := told(o); !slices.Equal(all["0197a9a4-5b7f-7000-8000-000000000000"], []string{"RCVD", "ACSC", "RCVD"}) {
		t.Errorf("told %v", all)
	}
}

func TestSignInsEndAtTheConfirmPage(t *testing.T) {
	b := newBank(t)
	o := visits(t, b, 7, Job{Kind: SignIn, Stock: 2, SLO: time.Second})
	if got := stepsOf(o); o.Load.InSLO != 7 || got["sign in"] != 7 || got["confirm page"] != 7 || len(b.creates) != 2 || len(b.users) != 3 {
		t.Errorf("steps %v, %v, %d payments, %d customers", got, o.Load.Reasons, len(b.creates), len(b.users))
	}
}

func TestWhoIsUnderWayWhenTheRunEndsIsAbandoned(t *testing.T) {
	b := newBank(t)
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		j := Job{
			Name: "test", Kind: Flow, AtOnce: 1, Measure: time.Second, Grace: time.Second, Connections: 1, Customers: Range{0, 2},
			Habits: Habits{Think: Think{Confirm: time.Hour}},
		}
		p, err := prepareAt(t.Context(), demoOf(2), b.doors(), j)
		if err != nil {
			t.Fatal(err)
		}
		defer b.serving.Wait()
		began := time.Now()
		o, err := p.Run(t.Context())
		if err != nil || time.Since(began) != 2*time.Second {
			t.Fatal(err, time.Since(began))
		}
		if words := told(o)["0197a9a4-5b7f-7000-8000-000000000000"]; !slices.Equal(words, []string{"RCVD", audit.Refused}) {
			t.Errorf("told %v", words)
		}
		if _, err := p.Run(t.Context()); err == nil {
			t.Error("a job ran twice")
		}
	})
}

// BenchmarkConfirmation is the generator's own cost of a customer who sends his code and reads the result: two requests, with a server
// of nothing.
func BenchmarkConfirmation(b *testing.B) {
	settledPage, err := os.ReadFile("testdata/pages/settled.http")
	if err != nil {
		b.Fatal(err)
	}
	led := []byte("HTTP/1.1 303 See Other\r\nLocation: /pay/1/result?s=2\r\nContent-Length: 0\r\n\r\n")
	dialer := load.Dialer{Dial: func(context.Context) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			request := make([]byte, 4096)
			for {
				n, err := server.Read(request)
				if err != nil {
					return
				}
				answer := settledPage
				if request[0] == 'P' {
					answer = led
				}
				if _, err := server.Write(answer); err != nil || n == 0 {
					return
				}
			}
		}()
		return client, nil
	}}
	p := &Prepared{job: Job{Kind: Confirm, AtOnce: 1, Measure: time.Hour, Connections: 1, SLO: time.Second}}
	if err := p.open(&Doors{Customer: dialer, Partner: dialer, Redirect: "http://127.0.0.1:18081/return"}); err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	who := &member{Person: Person{Seed: []byte("12345678901234567890")}}
	run := p.crowd()
	run.Limit, run.Of = int64(b.N), 1
	run.Flow = func(v *load.Visit) load.Verdict {
		c := &customer{Prepared: p, v: v, who: who, last: toEntry, sending: v.Intended, order: Order{ID: "1"}}
		return c.leave(c.browse(c.send("/pay/1/code?s=2&c=3", "token")))
	}
	b.ReportAllocs()
	b.ResetTimer()
	r, err := load.Busy(b.Context(), run, 1)
	if err != nil || r.Completed != int64(b.N) {
		b.Fatal(err, r.Reasons)
	}
}
