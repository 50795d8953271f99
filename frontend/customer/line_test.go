package customer

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"pgregory.net/rapid"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// newLine is a house whose line is closed; people are called by the test.
func newLine(t testing.TB) *house {
	h := newHouse(t)
	h.pages.Line = true
	h.bank.pace = gate.Pace{PerSecond: 2}
	h.close(true)
	return h
}

func (h *house) close(closed bool) {
	h.t.Helper()
	h.bank.must(h.t, &journal.Command{Body: &command.Command_MoveLine{MoveLine: &command.MoveLine{Closed: closed, WatermarkMs: int64(h.bank.Now() - journal.HeadStart)}}})
}

// call calls the next n who wait.
func (h *house) call(n int) {
	h.t.Helper()
	h.bank.mu.RLock()
	to := h.bank.machine.WatermarkFor(n)
	h.bank.mu.RUnlock()
	h.bank.must(h.t, &journal.Command{Body: &command.Command_MoveLine{MoveLine: &command.MoveLine{Closed: true, WatermarkMs: int64(to)}}})
	h.wait(10 * time.Millisecond) // whoever comes next does not come in the same millisecond
}

// wait lets the bank's clock go on.
func (h *house) wait(d time.Duration) { h.bank.skip += d }

// crowd lets n others come to the line.
func (h *house) crowd(n int) {
	h.t.Helper()
	for range n {
		_, link := h.pay()
		h.visitor().open(link).want(h.t, 200, h.says("line-title"))
		h.wait(10 * time.Millisecond)
	}
}

const people = "People ahead of you</dt><dd>"

func TestFairLine_APlaceIsKeptOnOtherDevicesAndWhenThePageIsClosed(t *testing.T) {
	h := newLine(t)
	h.crowd(3)
	_, link := h.pay()
	h.visitor().open(link).want(t, 200, h.says("line-title"), people+"3")
	h.wait(time.Second)
	h.crowd(2)
	other := h.visitor()
	other.open(link).want(t, 200, people+"3")
	h.call(3)
	other.open(link).want(t, 200, people+"0")
	h.call(1)
	other.open(link).want(t, 200, h.says("sign-in-title"))
	h.visitor().open(link).want(t, 200, h.says("sign-in-title")) // who was called may come from anywhere
	if l := h.bank.Line(); l.Waiting != 2 {
		t.Errorf("%d wait, want 2", l.Waiting)
	}
}

func TestFairLine_NoWayLeadsPastIt(t *testing.T) {
	h := newLine(t)
	h.close(false)
	anna := h.visitor()
	_, first := h.pay()
	anna.follow(anna.submit(anna.open(first), "sign-in", "username", "anna", "password", password)).want(t, 200, h.says("confirm-title"))
	h.close(true)
	_, link := h.pay()
	step := func(name string) string { return strings.Replace(link, "?", "/"+name+"?", 1) }
	anna.follow(anna.get(step("confirm"))).want(t, 200, h.says("line-title")) // her session is in force, but this is a new flow
	anna.open(link).want(t, 200, h.says("line-title"))
	stranger := h.visitor()
	p := stranger.send("POST", step("sign-in"), map[string][]string{"username": {"bert"}, "password": {password}})
	if stranger.follow(p).want(t, 200, h.says("line-title")); stranger.cookies["__Host-netbank"] != "" {
		t.Error("he is signed in") // a sign-in costs more than anything else
	}
	// Another payment's pass is none of this one's.
	h.call(10)
	other := h.visitor()
	other.open(link).want(t, 200, h.says("sign-in-title"))
	_, third := h.pay()
	other.open(third).want(t, 200, h.says("line-title"))
	if h.bank.flows.Load() != 1 {
		t.Errorf("%d flows counted as come in without a place, want 1", h.bank.flows.Load())
	}
}

func TestAdmittedStaysAdmitted_TheLineClosesDuringTheSignIn(t *testing.T) {
	h := newLine(t)
	h.close(false)
	v := h.visitor()
	_, link := h.pay()
	p := v.open(link)
	h.close(true)
	h.wait(PassIdle - time.Minute)
	v.open(link).want(t, 200, h.says("sign-in-title")) // that makes his pass anew
	h.wait(PassIdle - time.Minute)
	p = v.follow(v.submit(p, "sign-in", "username", "anna", "password", password))
	p.want(t, 200, h.says("confirm-title"))
	v.open(link).want(t, 200, h.says("confirm-title"))
	if h.bank.flows.Load() != 1 {
		t.Errorf("%d flows were counted, want 1", h.bank.flows.Load())
	}
}

func TestAdmittedStaysAdmitted_ALapsedPassOfOneWhoWasCalledIsGivenAgain(t *testing.T) {
	h := newLine(t)
	v := h.visitor()
	_, link := h.pay()
	v.open(link).want(t, 200, h.says("line-title"))
	h.call(1)
	v.open(link).want(t, 200, h.says("sign-in-title"))
	h.wait(PassIdle + time.Second)
	h.crowd(2)
	v.open(link).want(t, 200, h.says("sign-in-title"))
}

func TestAdmittedStaysAdmitted_APassThatLapsedBeforeALineLeadsToIt(t *testing.T) {
	h := newLine(t)
	h.close(false)
	v := h.visitor()
	_, link := h.pay()
	v.open(link).want(t, 200, h.says("sign-in-title"))
	h.wait(PassIdle + time.Second)
	h.close(true)
	h.crowd(1)
	h.wait(2 * time.Minute)
	v.open(link).want(t, 200, h.says("line-title"), people+"1")
}

func TestLine_WithoutOneNothingIsKeptAndNothingCounted(t *testing.T) {
	h := newLine(t)
	h.pages.Line = false
	v := h.visitor()
	_, link := h.pay()
	v.open(link).want(t, 200, h.says("sign-in-title"))
	if len(v.cookies) != 0 || h.bank.flows.Load() != 0 {
		t.Errorf("cookies %v, %d flows", v.cookies, h.bank.flows.Load())
	}
	v.follow(v.get(strings.Replace(link, "?", "/wait?", 1))).want(t, 200, h.says("sign-in-title"))
}

func TestLine_WithoutAPaymentATicketKeepsThePlace(t *testing.T) {
	h := newLine(t)
	v := h.visitor()
	v.open("/sign-in").want(t, 200, h.says("line-title"))
	h.wait(time.Second)
	h.crowd(2)
	v.open("/sign-in").want(t, 200, people+"0")
	h.visitor().open("/sign-in").want(t, 200, people+"2")
	h.call(1)
	v.open("/sign-in").want(t, 200, h.says("enter-title"))
	v.open("/sign-in").want(t, 200, h.says("enter-title"))
	if l := h.bank.machine.Line(); l.Entered != 1 {
		t.Errorf("%d turns were taken, want 1", l.Entered)
	}
}

func TestLine_NobodyIsSentInCirclesWithoutALeader(t *testing.T) {
	h := newLine(t)
	v := h.visitor()
	v.open("/sign-in").want(t, 200, h.says("line-title"))
	_, link := h.pay()
	v.open(link).want(t, 200, h.says("line-title"))
	h.call(1000)
	h.bank.before = func(*journal.Command) error { return cluster.ErrNoLeader }
	v.open(link).want(t, 503, h.says("unavailable-title"))
	_, second := h.pay()
	v.open(second).want(t, 503, h.says("unavailable-title"))
	w := h.visitor()
	w.open("/sign-in").want(t, 200, h.says("line-title"))
	h.wait(time.Second)
	h.bank.before = nil
	h.call(1000)
	h.bank.must(t, &journal.Command{Body: &command.Command_MoveLine{MoveLine: &command.MoveLine{Closed: true, WatermarkMs: int64(h.bank.Now())}}})
	h.bank.before = func(*journal.Command) error { return cluster.ErrNoLeader }
	w.open("/sign-in").want(t, 200, h.says("enter-title"))
}

func TestLine_ATurnThatWouldComeTooLateIsToldAtOnce(t *testing.T) {
	h := newLine(t)
	h.crowd(4)
	h.bank.pace.PerSecond = 0.005 // 800 s for those four; the payment lives 900
	_, link := h.pay()
	v := h.visitor()
	v.open(link).want(t, 200, h.says("line-title"))
	h.bank.pace.PerSecond = 0.003
	v.open(link).want(t, 200, h.says("line-late-title"), `class="go" href="https://shop.example/sorry`)
	h.bank.pace.PerSecond = 0
	p := v.open(link)
	p.want(t, 200, h.says("line-title"), "nobody is being called", h.says("stay"))
	if refresh := string(p.header.Peek("Refresh")); !strings.Contains(refresh, "; url=/pay/") {
		t.Errorf("the page looks again by %q", refresh)
	}
	if p = v.open(p.address + "&stay=1"); p.header.Peek("Refresh") != nil {
		t.Error("it was asked to stay")
	}
}

// asked gives what a program is told at an address.
func (h *house) asked(address string) (s standing, status int) {
	h.t.Helper()
	var ctx fasthttp.RequestCtx
	ctx.Init(&fasthttp.Request{}, nil, nil)
	ctx.Request.SetRequestURI(address)
	ctx.Request.Header.Set("Accept", "application/json")
	h.handler(&ctx)
	if err := json.Unmarshal(ctx.Response.Body(), &s); err != nil && ctx.Response.StatusCode() == 200 {
		h.t.Fatalf("%s: %v: %s", address, err, ctx.Response.Body())
	}
	return s, ctx.Response.StatusCode()
}

func TestLine_AProgramIsToldWhatThePageShows(t *testing.T) {
	h := newLine(t)
	h.crowd(100)
	id, link := h.pay()
	wait := strings.Replace(link, "?", "/wait?", 1)
	s, _ := h.asked(wait)
	if s.State != "waiting" || *s.Ahead != 100 || *s.FromSeconds != 30 || *s.ToSeconds != 90 || s.LookAgain < 2 || s.AsOf == "" || s.Expires == "" || s.TooLate {
		t.Errorf("%+v, %d ahead, %d to %d s", s, *s.Ahead, *s.FromSeconds, *s.ToSeconds)
	}
	h.call(1000)
	if s, _ := h.asked(wait); s.State != "turn" || s.Open != link {
		t.Errorf("%+v, want the turn at %s", s, link)
	}
	h.bank.must(t, &journal.Command{Body: &command.Command_CancelPayment{CancelPayment: &command.CancelPayment{PaymentId: id[:]}}})
	if s, _ := h.asked(wait); s.State != "over" {
		t.Errorf("%+v, want over", s)
	}
	if _, status := h.asked("/pay/" + id.String() + "/wait?s=wrong"); status != 404 {
		t.Errorf("status %d", status)
	}
}

func TestLine_WaitsAreHeldAgainstWhatWasShown(t *testing.T) {
	h := newLine(t)
	h.crowd(100) // a wait of 30 to 90 s for the next
	for _, wait := range []time.Duration{10 * time.Second, 40 * time.Second, 110 * time.Second} {
		_, link := h.pay()
		v := h.visitor()
		v.open(link).want(t, 200, h.says("line-title"))
		h.wait(wait)
		h.call(1000)
		v.open(link).want(t, 200, h.says("sign-in-title"))
		h.crowd(100)
	}
	if got := h.pages.Waits(); got != (Waits{Inside: 1, Earlier: 1, Later: 1}) {
		t.Errorf("%+v", got)
	}
}

func TestEverythingIsBounded_LooksAtAPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "from"))
		waiting := rapid.IntRange(0, 1<<20).Draw(t, "waiting")
		known := rapid.Bool().Draw(t, "known")
		p := pause(from, known, waiting)
		if p < lookNext || p > 12*time.Minute {
			t.Fatalf("a pause of %v", p)
		}
		if known && float64(p) > 1.16*float64(from+lookLate)+float64(time.Second) {
			t.Fatalf("a pause of %v misses a turn in %v", p, from)
		}
		lower, upper := rounded(from, from+time.Minute)
		if lower > from || upper < from+time.Minute || upper-lower > 3*time.Minute {
			t.Fatalf("%v to %v rounded to %v and %v", from, from+time.Minute, lower, upper)
		}
	})
}

// Right after the line has closed nobody knows its pace, and the first are called at once: while they look away, the core has nothing to do.
func TestLine_WhoCannotBeToldHowLongAndWhoIsNextLookAgainSoon(t *testing.T) {
	f := func(from time.Duration, known bool, waiting int, least, most time.Duration) {
		t.Helper()
		for range 50 {
			if p := pause(from, known, waiting); p < least || p > most {
				t.Fatalf("%v before the turn (known: %v) with %d in the line: a pause of %v, want %v to %v", from, known, waiting, p, least, most)
			}
		}
	}
	f(0, false, 0, time.Second, 2*time.Second)
	f(0, false, 1000, time.Second, 2*time.Second)
	f(0, false, 20_000, 8*time.Second, 12*time.Second)
	f(0, false, 10_000_000, 50*time.Second, 70*time.Second)
	// Whose turn may come at any moment does not let it wait.
	f(0, true, 2000, time.Second, 2*time.Second)
	f(4*time.Second, true, 2000, time.Second, 2*time.Second)
	f(12*time.Second, true, 2000, 2*time.Second, 4*time.Second)
	f(time.Minute, true, 2000, 6*time.Second, 9*time.Second)
}
