package system

import (
	"net/http"
	"testing"

	"netbank/bench/audit"
	"netbank/bench/flow"
)

// storm sets a fault, lets the load run in it until the bank has met it often enough, and heals the core.
func (r *rig) storm(l *load, faults string, orders int64) {
	r.t.Helper()
	r.faults(faults)
	goal := l.orders.Load() + orders
	r.await("orders in "+faults, func() bool { return l.orders.Load() >= goal }, r.bank, r.core)
	r.faults("{}")
}

// Invariants AtMostOneDebit, UnknownIsNotFailed: a core that loses what it is sent and what it answers, that answers twice, and
// that is slow beyond the core limit for one in a while.
func TestAtMostOneDebit_CoreLosesAndRepeatsAnswers(t *testing.T) {
	r := newRig(t, 3000, "fixed:10ms", "--core-limit=2s")
	l := r.startLoad(shoppers)
	l.progress(20)
	r.storm(l, `{"dropAnswers":0.1}`, 150)
	r.storm(l, `{"dropRequests":0.1}`, 150)
	r.storm(l, `{"duplicateAnswers":1}`, 150)
	r.storm(l, `{"dropAnswers":0.1,"dropRequests":0.1,"duplicateAnswers":0.5,"extraLatencyMillis":100}`, 150)
	l.progress(20)
	l.finish()
	report := r.audit()
	r.withinAMinute(report)
	if report.Reversed == 0 || l.doubtful.Load()+l.settled.Load() == 0 {
		t.Error("the faults have not been met: nothing was reversed")
	}
}

// Invariants NothingAcknowledgedIsLost, SeatsAreExact: answers that come after the core limit, a core that refuses connections,
// and one that stands still.
func TestNothingAcknowledgedIsLost_CoreSlowRefusingAndFrozen(t *testing.T) {
	r := newRig(t, 3000, "fixed:10ms", "--core-limit=2s")
	l := r.startLoad(shoppers)
	l.progress(20)
	r.storm(l, `{"extraLatencyMillis":2500}`, 60) // later than the core limit: every one of them is in doubt at first
	l.progress(20)

	r.faults(`{"refuseConnections":true}`)
	req, err := http.NewRequest(http.MethodDelete, r.demo.Core.Admin+"/connections", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	r.await("a bank that says that its core is away", func() bool { return !r.answers(r.demo.Operator.URL + "/readyz") }, r.bank)
	r.faults("{}")
	r.await("the bank's return to the core", func() bool { return r.answers(r.demo.Operator.URL + "/readyz") }, r.bank)
	l.progress(20)

	r.faults(`{"freeze":true}`)
	doubtful := l.doubtful.Load()
	r.await("a payment that the frozen core leaves in doubt", func() bool { return l.doubtful.Load() > doubtful }, r.bank)
	r.faults("{}")
	l.progress(20)
	l.finish()
	r.withinAMinute(r.audit())
}

// Invariant RefusedMeansNotCharged: with two seats and a slow core most are turned away, and each of them was not charged.
func TestRefusedMeansNotCharged_FullGate(t *testing.T) {
	r := prepare(t, 2000, "fixed:400ms")
	r.dev.CoreSeats = 2
	r.open()
	// More payments are confirmed at once than can be answered in time.
	l := r.startLoad(4 * shoppers)
	r.await("refusals", func() bool { return l.refused.Load() >= 40 && l.settled.Load() >= 10 }, r.bank, r.core)
	l.finish()
	report := r.audit()
	refused := 0
	for _, one := range r.told.all() {
		if one.Status == audit.Refused {
			refused++
		}
	}
	if refused == 0 {
		t.Error("nobody was refused for good: the gate was not full")
	}
	t.Logf("%d customers were refused for good, %d payments were settled", refused, report.Settled)
}

// Invariant AtMostOneDebit: every confirmation is sent twice at once.
func TestAtMostOneDebit_EveryConfirmationSentTwice(t *testing.T) {
	r := newRig(t, 300, "fixed:5ms")
	const payments = 200
	work := make(chan int, payments)
	for i := range payments {
		work <- i
	}
	close(work)
	l := &load{rig: r, ctx: t.Context(), stop: func() {}, name: "twice"}
	for range 8 {
		l.wait.Go(func() {
			for i := range work {
				c := r.people.take(l.ctx)
				if created, ok := l.create(int64(i)); ok {
					l.pay(c, &created, true)
				}
				r.people.give(c)
			}
		})
	}
	l.wait.Wait()
	if report := r.audit(); report.Settled != payments || l.settled.Load() != payments {
		t.Errorf("%d of %d payments were settled, %d customers were told so", report.Settled, payments, l.settled.Load())
	}
}

// A restart in order keeps payments, customers, sessions and idempotency keys.
func TestNothingAcknowledgedIsLost_RestartKeepsAllState(t *testing.T) {
	r := newRig(t, 50, "fixed:1ms")
	c := r.people.take(t.Context())
	l := &load{rig: r, ctx: t.Context(), stop: func() {}, name: "restart"}
	paid, ok1 := l.create(1)
	waiting, ok2 := l.create(2)
	if !ok1 || !ok2 {
		t.Fatal("no payments")
	}
	l.pay(c, &paid, false)
	if code := r.bank.stop(t); code != 0 {
		t.Errorf("the bank ended with %d", code)
	}
	if code := r.core.stop(t); code != 0 {
		t.Errorf("the core ended with %d", code)
	}
	r.startCore()
	r.startBank()
	again, ok := l.create(2)
	if !ok || again.PaymentID != waiting.PaymentID || !again.Replayed || again.Link != waiting.Link {
		t.Errorf("the idempotency key gives %+v, want %+v again", again, waiting)
	}
	page, err := c.Open(waiting.Link)
	if err != nil || page.Offers() == nil {
		t.Errorf("the session is gone: the link leads to %d (%v)", page.Status, err)
	}
	l.pay(c, &waiting, false)
	if l.settled.Load() != 2 {
		t.Errorf("%d of 2 customers were told that they have paid", l.settled.Load())
	}
	if told, err := c.Pay(paid.Link, false); err != nil || told != flow.ToldSettled {
		t.Errorf("the first payment's page says %s (%v)", told, err)
	}
	r.audit()
}
