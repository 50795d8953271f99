package ops

import (
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/scaling"
	"netbank/cluster/scaling/expansion"
)

// drawer is a journal's wishes, and a provider that runs two workers.
type drawer struct {
	m        *journal.Machine
	err      error
	provider string
	state    scaling.State
	approval bool
	auto     expansion.Config
	found    *expansion.Finding
	now      journal.Millis
	moved    []*journal.Command
}

func newDrawer() *drawer {
	return &drawer{
		m: journal.New(journal.NewMemoryStore(), journal.DefaultLimits()), provider: "local", now: journal.Millis(time.Now().UnixMilli()),
		state: scaling.State{Known: true, Standing: scaling.Standing{Wanted: 2, Running: 2, Instances: []scaling.Instance{{Name: "worker-1", Process: 7}}}},
	}
}

func (d *drawer) Wishes() *journal.Wishes                       { return d.m.Wishes() }
func (d *drawer) Acts(max int) ([]journal.Act, error)           { return d.m.Acts(max), nil }
func (d *drawer) Ceilings() [3]int                              { return [3]int{64, 96, 96} }
func (d *drawer) Workers() (string, scaling.State)              { return d.provider, d.state }
func (d *drawer) Watch() (expansion.Config, *expansion.Finding) { return d.auto, d.found }
func (d *drawer) Approval() bool                                { return d.approval }
func (d *drawer) SeatsMax() int                                 { return 96 }
func (d *drawer) Policy() cluster.Policy {
	set := d.m.Policy()
	p := cluster.Policy{Version: set.Version, At: set.At, Seats: 64, Reason: set.Reason, Operator: set.Operator, Weights: map[uint32]float64{}, Shares: gate.Default().Shares}
	if set.Version == 0 {
		return p
	}
	p.Seats = int(set.Seats)
	for class := range p.Shares {
		p.Shares[class], p.Closed[class] = float64(set.Shares[class])/journal.ShareWhole, set.Closed[class]
	}
	for _, w := range set.Weights {
		p.Weights[uint32(w.Partner)] = float64(w.Hundredths) / journal.WeightUnit
	}
	return p
}

func (d *drawer) Move(c *journal.Command) (journal.Verdict, error) {
	if d.err != nil {
		return 0, d.err
	}
	d.moved = append(d.moved, c)
	c.Id = make([]byte, 16)
	c.Id[0] = byte(len(d.moved))
	results, _, err := d.m.Apply(1, &journal.Batch{Version: 1, Term: 1, StampMs: int64(d.now), Commands: []*journal.Command{c}}, nil, nil)
	return results[0].Verdict, err
}

func leverPort(t testing.TB, b *bank, c Cluster, d Levers) http.Handler {
	t.Helper()
	return changedPort(t, io.Discard, b, c, func(cfg *Config) { cfg.Levers = d })
}

// holdLevers holds the calls about levers against the document.
func holdLevers(t *testing.T, c *contract, b *bank) {
	const (
		lever   = "/api/v1/scale/{lever}"
		approve = "/api/v1/scale/{lever}/approve"
	)
	d := newDrawer()
	h := leverPort(t, b, three(), d)
	c.hold(h, "GET", "/api/v1/scale", "", "", 200)
	c.hold(h, "POST", lever, "?dryRun=1", `{"fence":0,"value":5,"forSeconds":7200,"reason":"x"}`, 200)
	c.hold(h, "POST", lever, "", `{"fence":0,"value":5,"forSeconds":7200,"reason":"x","approval":true}`, 200)
	d.m.Wishes().Workers.Pending.Operator = "another" // the port's caller has a token, as everybody here
	c.hold(h, "GET", "/api/v1/scale", "", "", 200)
	c.hold(h, "POST", approve, "?dryRun=1", `{"number":1,"reason":"x"}`, 200)
	c.hold(h, "POST", approve, "", `{"number":1,"reason":"x"}`, 200)
	c.hold(h, "GET", "/api/v1/audit", "", "", 200)
	d.auto.Max, d.found = 8, &expansion.Finding{Limit: expansion.LimitSignIn, Nodes: 2, Text: "sign-in pool: 96 % busy", Doing: "watches"}
	c.hold(h, "GET", "/api/v1/scale", "", "", 200)
	c.hold(h, "GET", "/api/v1/status", "", "", 200)
	holdPolicy(t, c, b)
	for path, body := range map[string]string{lever: `{"fence":9,"value":5,"reason":"x"}`, approve: `{"number":9,"reason":"x"}`} {
		c.hold(h, "POST", path, "", body, 409)
		c.hold(h, "POST", path, "", `{"reason":""}`, 400)
		c.hold(h, "POST", path, "", body, 401, "Authorization", "Bearer x")
		c.hold(h, "POST", path, "", body, 403, "Sec-Fetch-Site", "cross-site")
		c.hold(clusterPort(t, b, three()), "POST", path, "", body, 404)
	}
	for status, err := range map[int]error{500: errors.New("broken"), 503: cluster.ErrNoLeader, 504: cluster.ErrUnknown} {
		d := newDrawer()
		h := leverPort(t, b, three(), d)
		c.hold(h, "POST", lever, "", `{"fence":0,"value":5,"reason":"x","approval":true}`, 200)
		d.m.Wishes().Workers.Pending.Operator = "another"
		d.err = err
		c.hold(h, "POST", lever, "", `{"fence":1,"value":5,"reason":"x"}`, status)
		c.hold(h, "POST", approve, "", `{"number":1,"reason":"x"}`, status)
	}
	for _, path := range []string{"/api/v1/scale", "/api/v1/audit"} {
		c.hold(h, "GET", path, "", "", 401, "Authorization", "Bearer x")
		c.hold(h, "GET", path, "", "", 403, "Host", "rebound.example")
		c.hold(clusterPort(t, b, three()), "GET", path, "", "", 404)
	}
	c.hold(Starting(), "GET", "/api/v1/scale", "", "", 503)
	c.hold(h, "GET", "/scale", "", "", 200)
	c.hold(h, "GET", "/scale", "", "", 403, "Host", "rebound.example")
}

func post(t *testing.T, h http.Handler, path, body string, status int) string {
	t.Helper()
	r := httptest.NewRequest("POST", "http://127.0.0.1:9090"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != status {
		t.Fatalf("%s %s: %d, want %d: %s", path, body, w.Code, status, w.Body)
	}
	return w.Body.String()
}

func TestAWishShowsItsEffectAndIsFenced(t *testing.T) {
	d := newDrawer()
	h := leverPort(t, &bank{}, three(), d)
	said := post(t, h, "/api/v1/scale/workers?dryRun=1", `{"fence":0,"value":5,"forSeconds":7200,"reason":"the 11th"}`, 200)
	for _, want := range []string{"5 workers instead of 2 workers run (local).", "It goes back to 2 by itself at "} {
		if !strings.Contains(said, want) {
			t.Errorf("%s, want %q", said, want)
		}
	}
	if len(d.moved) > 0 {
		t.Fatal("a dry run moved something")
	}
	post(t, h, "/api/v1/scale/workers", `{"fence":0,"value":5,"forSeconds":7200,"reason":"the 11th"}`, 200)
	if w := d.m.Wishes().Workers; w.Now.Value != 5 || w.Base != 2 || w.Now.Until != d.now+7200_000 && w.Now.Until-d.now-7200_000 > 10_000 || w.Now.Operator != "token" {
		t.Errorf("%+v", w)
	}
	if said := post(t, h, "/api/v1/scale/workers", `{"fence":0,"value":9,"reason":"me too"}`, 409); !strings.Contains(said, "somebody else has moved this lever since you looked: it is at 5 now, by token, because: the 11th") {
		t.Error(said)
	}
	if said := post(t, h, "/api/v1/scale/workers?dryRun=1", `{"fence":1,"value":2,"reason":"it is over"}`, 200); !strings.Contains(said, "no request fails") {
		t.Error(said)
	}
}

// Only the leader knows how many run: a wish through another node would make a bank go back to none.
func TestAFirstWishThatDoesNotKnowWhatRunsIsRefused(t *testing.T) {
	d := newDrawer()
	d.state = scaling.State{}
	post(t, leverPort(t, &bank{}, three().follower(), d), "/api/v1/scale/workers", `{"fence":0,"value":5,"forSeconds":60,"reason":"x"}`, 409)
	post(t, leverPort(t, &bank{}, three(), d), "/api/v1/scale/workers", `{"fence":0,"value":5,"forSeconds":60,"reason":"x"}`, 409)
	d.state.Problem, d.state.Remedy = "the cloud is full", "ask for more"
	if said := post(t, leverPort(t, &bank{}, three(), d), "/api/v1/scale/workers", `{"fence":0,"value":5,"reason":"x"}`, 409); !strings.Contains(said, "the cloud is full") || !strings.Contains(said, "ask for more") {
		t.Error(said)
	}
	d.provider = ""
	if said := post(t, leverPort(t, &bank{}, three(), d), "/api/v1/scale/workers", `{"fence":0,"value":5,"reason":"x"}`, 409); !strings.Contains(said, "--scale") {
		t.Error(said)
	}
	if len(d.moved) > 0 {
		t.Errorf("moved: %v", d.moved)
	}
}

func TestALevelIsMovedAlsoWhereANodeRunsAlone(t *testing.T) {
	d := newDrawer()
	h := changedPort(t, io.Discard, &bank{}, nil, func(cfg *Config) { cfg.Cluster, cfg.Levers = nil, d })
	if said := post(t, h, "/api/v1/scale/level?dryRun=1", `{"fence":0,"value":2,"forSeconds":60,"reason":"x"}`, 200); !strings.Contains(said, "96 seats (emergency) instead of 64 (normal)") {
		t.Error(said)
	}
	post(t, h, "/api/v1/scale/level", `{"fence":0,"value":2,"forSeconds":60,"reason":"x"}`, 200)
	if d.m.Wishes().Level.Now.Value != journal.LevelEmergency {
		t.Errorf("%+v", d.m.Wishes().Level)
	}
	post(t, h, "/api/v1/scale/level", `{"fence":1,"value":3,"reason":"x"}`, 400)
	post(t, h, "/api/v1/scale/lanes", `{"fence":1,"value":1,"reason":"x"}`, 400)
	post(t, h, "/api/v1/scale/workers", `{"fence":0,"value":3,"reason":"x"}`, 409)
}

func TestTheBottleneckIsNamedAndWhetherMoreWorkersHelp(t *testing.T) {
	d := newDrawer()
	h := leverPort(t, &bank{}, three(), d)
	get := func(path string) string {
		t.Helper()
		r := httptest.NewRequest("GET", "http://127.0.0.1:9090"+path, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return html.UnescapeString(w.Body.String())
	}
	f := func(found *expansion.Finding, pages, status string) {
		t.Helper()
		d.found = found
		for path, want := range map[string]string{"/scale": pages, "/": status, "/api/v1/status": status} {
			if said := get(path); !strings.Contains(said, want) || status == "" && strings.Contains(said, "ottleneck: ") {
				t.Errorf("%s says %s, want %q", path, said, want)
			}
		}
	}
	core := &expansion.Finding{Limit: expansion.LimitCore, Text: "the core: calls wait for a seat", Doing: "off"}
	signIn := &expansion.Finding{Limit: expansion.LimitSignIn, Text: "sign-in pool: 96 % busy on 2 of 2 nodes", Doing: "watches"}
	f(core, "the core: calls wait for a seat. More workers would not help.", "Bottleneck: the core: calls wait for a seat. More workers would not help.")
	f(signIn, "sign-in pool: 96 % busy on 2 of 2 nodes. More workers help.", "Bottleneck: sign-in pool: 96 % busy on 2 of 2 nodes. More workers help.")
	f(&expansion.Finding{Limit: expansion.LimitNone, Text: "nothing: all is quiet"}, "nothing: all is quiet.", "")
	f(nil, "only the leader knows, which is node", "")
	if said := get("/scale"); !strings.Contains(said, "<dt>Automatic expansion</dt><dd>off</dd>") {
		t.Error(said)
	}
	d.auto.Max, d.found = 8, signIn
	if said := get("/scale"); !strings.Contains(said, "<dd>0 to 8 workers; watches</dd>") {
		t.Error(said)
	}
}

// With one token for all there is no second operator.
func TestWhoWishedCannotAgreeAsWell(t *testing.T) {
	d := newDrawer()
	d.approval = true
	h := leverPort(t, &bank{}, three(), d)
	post(t, h, "/api/v1/scale/workers", `{"fence":0,"value":5,"reason":"x"}`, 200)
	if d.m.Wishes().Workers.Now.Number != 0 {
		t.Fatal("it is in force")
	}
	if said := post(t, h, "/api/v1/scale/workers/approve", `{"number":1,"reason":"x"}`, 409); !strings.Contains(said, "who has wished cannot agree") {
		t.Error(said)
	}
}

func TestWhatOperatorsDoStandsInTheJournalsAudit(t *testing.T) {
	d := newDrawer()
	h := leverPort(t, &bank{acts: d}, three(), d)
	post(t, h, "/api/v1/cluster/lead?dryRun=1", `{"node":2,"reason":"a new kernel"}`, 200)
	post(t, h, "/api/v1/cluster/lead", `{"node":2,"reason":"a new kernel"}`, 200)
	r := httptest.NewRequest("GET", "http://127.0.0.1:9090/api/v1/audit", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var out struct{ Acts []Act }
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || len(out.Acts) != 1 {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if a := out.Acts[0]; a.Verb != "lead" || a.Operator != "token" || a.Reason != "a new kernel" || a.Detail != "node 2" {
		t.Errorf("%+v", a)
	}
}
