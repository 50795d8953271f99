package ops

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"netbank/cluster"
)

// holdPolicy holds the calls about the policy against the document.
func holdPolicy(t *testing.T, c *contract, b *bank) {
	const path = "/api/v1/policy"
	d := newDrawer()
	h := leverPort(t, b, three(), d)
	set := `{"fence":0,"shares":{"express":0.2,"sign-in":0.05},"weights":{"7":3},"seats":48,"closed":["inquiry"],"reason":"x"}`
	c.hold(h, "GET", path, "", "", 200)
	c.hold(h, "POST", path, "?dryRun=1", set, 200)
	c.hold(h, "POST", path, "", set, 200)
	c.hold(h, "GET", path, "", "", 200)
	c.hold(h, "POST", path, "", set, 409)
	c.hold(h, "POST", path, "", `{"reason":""}`, 400)
	c.hold(h, "POST", path, "", set, 401, "Authorization", "Bearer x")
	c.hold(h, "POST", path, "", set, 403, "Sec-Fetch-Site", "cross-site")
	c.hold(clusterPort(t, b, three()), "POST", path, "", set, 404)
	c.hold(h, "GET", path, "", "", 401, "Authorization", "Bearer x")
	c.hold(h, "GET", path, "", "", 403, "Host", "rebound.example")
	c.hold(clusterPort(t, b, three()), "GET", path, "", "", 404)
	c.hold(Starting(), "GET", path, "", "", 503)
	for status, err := range map[int]error{500: errors.New("broken"), 503: cluster.ErrNoLeader, 504: cluster.ErrUnknown} {
		d := newDrawer()
		d.err = err
		c.hold(leverPort(t, b, three(), d), "POST", path, "", set, status)
	}
}

func TestAPolicyIsSetAsAWholeAndUnderAFence(t *testing.T) {
	d := newDrawer()
	h := leverPort(t, &bank{}, three(), d)
	const first = `{"fence":0,"shares":{"express":0.2,"sign-in":0.05},"weights":{"7":3,"12":0.5,"3":1},"seats":48,"closed":["inquiry","confirm"],"reason":"the 11th"}`
	said := post(t, h, "/api/v1/policy?dryRun=1", first, 200)
	for _, want := range []string{
		"express is guaranteed 20 % of the seats instead of 10 %", "at most 48 calls are inside the core at the normal level instead of 64", "inquiry is closed", "Pages show no balances.",
		"partner 7 has weight 3 instead of 1", "partner 12 has weight 0.5 instead of 1", "keep it until it expires",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("%s, want %q", said, want)
		}
	}
	if len(d.moved) > 0 || strings.Contains(said, "partner 3") {
		t.Errorf("%d commands, %s", len(d.moved), said)
	}
	post(t, h, "/api/v1/policy", first, 200)
	now := d.Policy()
	if now.Version != 1 || now.Shares[2] != 0.2 || !now.Closed[4] || !now.Closed[1] || now.Seats != 48 || len(now.Weights) != 2 || now.Weights[7] != 3 {
		t.Errorf("%+v", now)
	}
	if said := post(t, h, "/api/v1/policy", first, 409); !strings.Contains(said, "somebody else has set the policy") || !strings.Contains(said, "the 11th") {
		t.Errorf("%s", said)
	}
	again := strings.Replace(first, `"fence":0`, `"fence":1`, 1)
	if said := post(t, h, "/api/v1/policy", again, 200); !strings.Contains(said, "Nothing changes") || len(d.moved) != 1 {
		t.Errorf("%s, %d commands", said, len(d.moved))
	}
	acts, _ := d.Acts(10)
	if len(acts) != 1 || acts[0].Verb != "policy" || !strings.Contains(acts[0].Detail, "express is guaranteed 20 %") || acts[0].Operator != "token" {
		t.Errorf("%+v", acts)
	}
}

func TestAPolicyOutOfItsBoundsNamesThem(t *testing.T) {
	f := func(change func(*PolicyRequest), status int, word string) {
		t.Helper()
		d := newDrawer()
		in := PolicyRequest{Shares: map[string]float64{"express": .1, "sign-in": .05}, Weights: map[string]float64{}, Seats: 64, Reason: "x"}
		change(&in)
		text, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		if said := post(t, leverPort(t, &bank{}, three(), d), "/api/v1/policy", string(text), status); !strings.Contains(said, word) || len(d.moved) > 0 {
			t.Errorf("%s, want %q; %d commands", said, word, len(d.moved))
		}
	}
	f(func(in *PolicyRequest) { in.Shares["express"] = 1.5 }, 400, "choose 0 to 1")
	f(func(in *PolicyRequest) { in.Shares["express"] = .12345 }, 400, "three decimal places")
	f(func(in *PolicyRequest) { in.Shares["express"] = .86 }, 400, "0.9 together")
	f(func(in *PolicyRequest) { in.Shares["vip"] = .1 }, 400, "the classes are confirm, express")
	f(func(in *PolicyRequest) { in.Closed = []string{"resolve"} }, 400, "cannot be closed")
	f(func(in *PolicyRequest) { in.Closed = []string{"vip"} }, 400, "no class")
	f(func(in *PolicyRequest) { in.Weights["7"] = 101 }, 400, "0.01 to 100")
	f(func(in *PolicyRequest) { in.Weights["shop"] = 2 }, 400, "write its number")
	f(func(in *PolicyRequest) { in.Weights["7"], in.Weights["07"] = 2, 3 }, 400, "two weights")
	f(func(in *PolicyRequest) { in.Seats = 0 }, 400, "choose 1 to 4096")
	f(func(in *PolicyRequest) { in.Seats = 97 }, 400, "choose 1 to 96")
	f(func(in *PolicyRequest) { in.Reason = "" }, 400, "reason is missing")
}

func TestMoreSeatsByAPolicyAreNoWayPastTheSecondOperator(t *testing.T) {
	d := newDrawer()
	d.approval = true
	h := leverPort(t, &bank{}, three(), d)
	if said := post(t, h, "/api/v1/policy", `{"fence":0,"shares":{"express":0.1,"sign-in":0.05},"weights":{},"seats":80,"closed":[],"reason":"x"}`, 409); !strings.Contains(said, "second operator") {
		t.Errorf("%s", said)
	}
	post(t, h, "/api/v1/policy", `{"fence":0,"shares":{"express":0.1,"sign-in":0.05},"weights":{},"seats":40,"closed":[],"reason":"x"}`, 200)
}

func TestStatusSaysWhereTheLineStands(t *testing.T) {
	b := &bank{}
	b.status.Role, b.status.Line.On, b.status.Line.Closed, b.status.Line.Waiting, b.status.Line.Watermark = "leader", true, true, 1042, 1_290_000_000_000
	b.status.Line.Pace.PerSecond, b.status.Line.Room.Rate = 2.5, 2.75
	h := changedPort(t, io.Discard, b, three(), func(c *Config) { c.Waits = func() Waits { return Waits{Inside: 9, Earlier: 1} } })
	page := func() string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1:9090/", nil))
		return w.Body.String()
	}
	said := page()
	for _, want := range []string{"New customers wait in line: 1,042 people", "1,042 people, 2.5 called a second", "2.75 customers a second", "9 of 10 waits were within the range shown", "2010-11-17"} {
		if !strings.Contains(said, want) {
			t.Errorf("lacks %q:\n%s", want, said)
		}
	}
	b.status.Line.On = false
	if strings.Contains(page(), "waiting line") {
		t.Error("there is no line")
	}
}
