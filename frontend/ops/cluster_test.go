package ops

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"netbank/cluster"
	"netbank/cluster/journal"
)

// members is a cluster that remembers what was asked of it.
type members struct {
	nodes  []ClusterNode
	signs  ClusterAuthority
	listed error // of Nodes
	err    error // of changes
	asked  []string
	wait   chan struct{} // changes wait for it
}

func (m *members) Name() string                  { return "test" }
func (m *members) Nodes() ([]ClusterNode, error) { return m.nodes, m.listed }

func (m *members) note(format string, args ...any) error {
	if m.wait != nil {
		<-m.wait
	}
	m.asked = append(m.asked, fmt.Sprintf(format, args...))
	return m.err
}

func (m *members) NewToken(_ context.Context, t TokenTerms) (string, error) {
	return "netbank_join1_secret", m.note("token %s %d %v %s", t.Role, t.Uses, t.Lifetime, t.Reason)
}

func (m *members) RemoveNode(_ context.Context, node journal.NodeID, force bool, reason string) error {
	return m.note("remove %d %v %s", node, force, reason)
}

func (m *members) PromoteNode(_ context.Context, node journal.NodeID, reason string) error {
	return m.note("promote %d %s", node, reason)
}

func (m *members) DrainNode(_ context.Context, node journal.NodeID, on bool, operator, reason string) error {
	return m.note("drain %d %v %s %s", node, on, operator, reason)
}

func (m *members) Authority() ClusterAuthority { return m.signs }

func (m *members) RotateAuthority(_ context.Context, reason string) error {
	return m.note("rotate %s", reason)
}

// Leader gives that of three.
func (m *members) Leader() (journal.NodeID, string) {
	for _, n := range m.nodes {
		if n.Leader {
			return n.Node, n.Operator
		}
	}
	return 0, ""
}

func (m *members) TransferLeadership(_ context.Context, to journal.NodeID, reason string) error {
	return m.note("lead %d %s", to, reason)
}

var since = time.Date(2026, 11, 11, 10, 0, 0, 0, time.UTC)

// three are three coordinators with a vote and a worker; node 1 leads, and is asked.
func three() *members {
	m := &members{}
	for n := range journal.NodeID(3) {
		m.nodes = append(m.nodes, ClusterNode{
			Node: n + 1, Role: RoleCoordinator, Address: fmt.Sprintf("10.0.0.%d:7000", n+1), Operator: fmt.Sprintf("https://10.0.0.%d:9090", n+1),
			Voter: true, Leader: n == 0, Self: n == 0, Up: true, Since: since, Applied: 1000, Known: true, Version: "netbank 1", Ready: true, CertificateEnd: since.AddDate(10, 0, 0),
		})
	}
	m.nodes = append(m.nodes, ClusterNode{Node: 4, Role: RoleWorker, Address: "10.0.0.4:7000", Up: true, Since: since, Version: "netbank 1", Ready: true})
	return m
}

func (m *members) change(node journal.NodeID, f func(*ClusterNode)) *members {
	f(&m.nodes[node-1])
	return m
}

func (m *members) down(node journal.NodeID) *members {
	return m.change(node, func(n *ClusterNode) { n.Up, n.Ready = false, false })
}

// follower gives what node 2 knows.
func (m *members) follower() *members {
	for i := range m.nodes {
		n := &m.nodes[i]
		if n.Self = n.Node == 2; !n.Self {
			n.Since, n.Known, n.Ready = time.Time{}, false, false
		}
	}
	return m
}

func clusterPort(t testing.TB, b *bank, c Cluster, checks ...Check) http.Handler {
	t.Helper()
	return loggedPort(t, io.Discard, b, c, checks...)
}

func loggedPort(t testing.TB, log io.Writer, b *bank, c Cluster, checks ...Check) http.Handler {
	t.Helper()
	return changedPort(t, log, b, c, func(cfg *Config) { cfg.Checks = checks })
}

// explainer knows one reference.
func explainer(reference string) (Explained, bool, error) {
	if reference == "blind" {
		return Explained{}, false, cluster.ErrUnavailable
	}
	return Explained{
		Reference: reference, Code: "declined", Payment: "019ab0c4-5b7e-7c3a-9d2f-0123456789ab", State: "rejected", Status: "RJCT", Partner: 1, Payee: "Shop", Amount: "CNY 1.00",
		Created: since, Changed: since, Tell: map[string][]string{"en": {"Not paid"}},
	}, reference == "known", nil
}

func changedPort(t testing.TB, log io.Writer, b *bank, c Cluster, change func(*Config)) http.Handler {
	t.Helper()
	cfg := Config{
		Bank: b, Credentials: plainCredentials{}, Gatherer: prometheus.NewRegistry(), Token: token, BankName: "Test bank",
		SupportToken: supportToken, Why: explainer, Cluster: c, Version: "netbank 1", Logger: slog.New(slog.NewJSONHandler(log, nil)),
	}
	change(&cfg)
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestClusterIsJudgedByWhoAnswers(t *testing.T) {
	f := func(m *members, well bool, verdict string, advice ...string) {
		t.Helper()
		got := assess(m.nodes, since)
		if got.Well != well || !strings.Contains(got.Verdict, verdict) {
			t.Errorf("well %v: %s; want %v, %q", got.Well, got.Verdict, well, verdict)
		}
		var all []string
		for _, a := range got.Advice {
			all = append(all, a.Text+" "+a.Command)
		}
		if text := strings.Join(all, "\n"); len(advice) == 0 && text != "" {
			t.Errorf("advised without need: %s", text)
		} else {
			for _, want := range advice {
				if !strings.Contains(text, want) {
					t.Errorf("the advice lacks %q:\n%s", want, text)
				}
			}
		}
	}
	f(three(), true, "3 of 3 coordinators answer; the loss of 1 more is survived")
	f(three().down(3), false, "2 of 3 coordinators answer: the next loss stops payments", "Node 3 has not answered since 2026-11-11 10:00:00 UTC", "netbank cluster remove 3")
	f(three().down(3).down(2), false, "Only 1 of 3 coordinators with a vote answer; 2 are needed", "Node 2 has not answered", "Node 3 has not answered")
	f(three().down(4), true, "3 of 3", "Node 4 has not answered", "netbank cluster remove 4")
	f(three().change(4, func(n *ClusterNode) { n.Draining, n.DrainReason = since, "A new kernel." }), true, "3 of 3", "Node 4 has been drained since 2026-11-11 10:00:00 UTC: A new kernel. No customers", "netbank node undrain 4")
	f(three().change(1, func(n *ClusterNode) { n.Leader = false }), false, "No coordinator leads: no new money moves. 2 of 3", "disk, clock and log")
	f(three().follower(), true, "Node 1 leads; ask it who answers, with --operator https://10.0.0.1:9090")
	f(three().change(3, func(n *ClusterNode) { n.Voter = false }), false, "2 of 2 coordinators answer: the next loss", "Node 3 is a coordinator without a vote", "netbank cluster promote 3", "2 votes stand no more losses than 1")
	f(three().change(2, func(n *ClusterNode) { n.Lag = LagWarnEntries + 1 }), true, "3 of 3", "Node 2 is 10,001 entries behind")
	f(three().change(2, func(n *ClusterNode) { n.CertificateEnd = since.Add(CertificateWarnFor - 1) }), true, "3 of 3", "certificate that ends on 2026-11-16")
	f(three().change(2, func(n *ClusterNode) { n.CertificateEnd = since.Add(-1) }), true, "3 of 3", "certificate that ended")
	f(three().change(2, func(n *ClusterNode) { n.Version = "netbank 2" }), true, "3 of 3", "2 versions run side by side (netbank 1; netbank 2)")
	f(three().change(4, func(n *ClusterNode) { n.Ready, n.NotReady = false, []string{"no stream to the leader"} }), true, "3 of 3", "Node 4 gets no customers: no stream to the leader")
}

func TestNodeAloneIsAClusterOfOne(t *testing.T) {
	w := ask(newPort(t, &bank{}), "GET", "/api/v1/cluster", token, "")
	var m Members
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil || !m.Alone || len(m.Nodes) != 1 || m.Majority != 1 {
		t.Errorf("%v: %s", err, w.Body)
	}
	if w := ask(newPort(t, &bank{}), "POST", "/api/v1/cluster/lead", token, `{"reason":"x"}`); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "--peer-addr") {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
}

func TestChangesOfTheClusterAreForeseenAndRefusedWhenTheyDoHarm(t *testing.T) {
	f := func(m *members, path, body string, code int, words ...string) {
		t.Helper()
		dry := ask(clusterPort(t, &bank{}, m), "POST", path+"?dryRun=1", token, body)
		if len(m.asked) > 0 {
			t.Errorf("%s: a dry run changed something: %q", path, m.asked)
		}
		real := ask(clusterPort(t, &bank{}, m), "POST", path, token, body)
		if (code == http.StatusOK) != (len(m.asked) == 1) {
			t.Errorf("%s: the cluster was asked %q", path, m.asked)
		}
		for _, w := range []string{dry.Body.String(), real.Body.String()} {
			for _, word := range words {
				if !strings.Contains(w, word) {
					t.Errorf("%s does not say %q: %s", path, word, w)
				}
			}
		}
		if dry.Code != code || real.Code != code {
			t.Errorf("%s answered %d and %d, want %d: %s", path, dry.Code, real.Code, code, real.Body)
		}
	}
	node := func(n int, verb string) string { return fmt.Sprintf("/api/v1/cluster/nodes/%d/%s", n, verb) }
	const why = `{"reason":"because"}`
	f(three(), node(3, "remove"), why, 200, "10.0.0.3:7000", "2 coordinators with a vote are left, and a majority is 2", "2 of them answer")
	f(three().down(3), node(2, "remove"), why, 409, "without node 2, 1 of 2 coordinators answer, and 2 are needed: payments would stop", "--force")
	f(three().down(3), node(2, "remove"), `{"reason":"because","force":true}`, 200, "that is forced")
	f(three().down(3), node(3, "remove"), why, 200, "2 of them answer")
	f(three(), node(1, "remove"), why, 409, "cannot remove itself", "netbank cluster lead")
	f(three(), node(9, "remove"), why, 404, "no node 9")
	f(three(), node(4, "remove"), why, 200, "It has no vote")
	f(three(), node(4, "promote"), why, 409, "is a worker")
	f(three(), node(2, "promote"), why, 200, "has a vote already")
	f(three().change(3, func(n *ClusterNode) { n.Voter = false }), node(3, "promote"), why, 200, "Then 3 coordinators have a vote")
	drained := func(n *ClusterNode) { n.Draining, n.DrainReason = since, "a new kernel" }
	f(three(), node(4, "drain"), why, 200, "Node 4 says that it is not ready", "3 other nodes take its customers")
	f(three(), node(1, "drain"), why, 200, "hands the leadership over")
	f(three().change(4, drained), node(4, "drain"), why, 200, "since 2026-11-11 10:00:00 UTC: nothing changes")
	f(three().down(4).down(3).change(2, drained), node(1, "drain"), why, 409, "no other node can take the customers of node 1: payments would stop", "--force")
	f(three().down(4).down(3).change(2, drained), node(1, "drain"), `{"reason":"because","force":true}`, 200, "That is forced")
	f(three(), node(9, "drain"), why, 404, "no node 9")
	f(three().change(4, drained), node(4, "undrain"), why, 200, "balancers send customers there")
	f(three(), node(4, "undrain"), why, 200, "not being drained: nothing changes")
	f(three(), "/api/v1/cluster/lead", `{"node":4,"reason":"because"}`, 409, "has no vote")
	f(three().down(2), "/api/v1/cluster/lead", `{"node":2,"reason":"because"}`, 409, "does not answer")
	f(three(), "/api/v1/cluster/lead", why, 200, "Node 1 hands the leadership to the coordinator whose journal is nearest")
	f(three(), "/api/v1/cluster/lead", `{"node":1,"reason":"because"}`, 200, "leads already")
	f(three(), "/api/v1/cluster/tokens", `{"role":"coordinator","reason":"because"}`, 200, "one node join as coordinator", "the whole journal")
	f(three(), "/api/v1/cluster/tokens", `{"role":"worker","uses":100,"lifetimeSeconds":604800,"reason":"because"}`, 200, "100 nodes join as worker")
	f(three(), "/api/v1/cluster/tokens", `{"role":"king","reason":"because"}`, 400, "worker or coordinator")
	f(three(), "/api/v1/cluster/tokens", `{"role":"worker","uses":101,"reason":"because"}`, 400, "1 to 100")
	f(three(), "/api/v1/cluster/tokens", `{"role":"worker","uses":0,"reason":"because"}`, 400, "1 to 100")
	f(three(), "/api/v1/cluster/tokens", `{"role":"worker","lifetimeSeconds":604801,"reason":"because"}`, 400, "a week")
	f(three(), "/api/v1/cluster/lead", `{}`, 400, "the reason is missing")
	f(three(), "/api/v1/cluster/lead", `{"reason":"a\nb"}`, 400, "control characters")
	f(three(), "/api/v1/cluster/lead", `{"reason":"`+strings.Repeat("长", ReasonRunesMax+1)+`"}`, 400, "201 characters")
	f(three(), node(3, "promote"), `{"reason":"because","force":true}`, 400, "cannot be forced")
	f(three(), "/api/v1/cluster/nodes/zero/remove", why, 400, "by its number")
	f(three(), "/api/v1/cluster/lead", `{"reason":"`+strings.Repeat("x", LineBytesMax)+`"}`, 400, fmt.Sprint(LineBytesMax))
}

// A follower's list of members may be out of date: it does not refuse what the leader may allow.
func TestFollowerLeavesTheRefusalToTheLeader(t *testing.T) {
	m := three().follower()
	m.err = fmt.Errorf("asked in vain: %w", &NotLeader{Leader: 1, Operator: "https://10.0.0.1:9090"})
	w := ask(clusterPort(t, &bank{}, m), "POST", "/api/v1/cluster/nodes/9/remove", token, `{"reason":"x"}`)
	var got problem
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusConflict || got.Code != "not-leader" || got.Leader != 1 || got.Remedy != "ask with --operator https://10.0.0.1:9090" {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	if len(m.asked) != 1 {
		t.Errorf("asked %q", m.asked)
	}
	if w := ask(clusterPort(t, &bank{}, three().follower()), "POST", "/api/v1/cluster/nodes/3/remove?dryRun=1", token, `{"reason":"x"}`); !strings.Contains(w.Body.String(), "Node 1 leads, and this one knows only part") {
		t.Errorf("a follower foresaw %s", w.Body)
	}
}

func TestErrorsOfTheClusterSayWhatIsCertain(t *testing.T) {
	f := func(err error, code int, word, words string) {
		t.Helper()
		m := three()
		m.err = fmt.Errorf("node 3 is behind: %w", err)
		w := ask(clusterPort(t, &bank{}, m), "POST", "/api/v1/cluster/nodes/3/remove", token, `{"reason":"x"}`)
		if w.Code != code || !strings.Contains(w.Body.String(), `"code":"`+word+`"`) || !strings.Contains(w.Body.String(), words) {
			t.Errorf("%v is answered %d %s", err, w.Code, w.Body)
		}
	}
	f(ErrNotAllowed, 409, "not-allowed", "node 3 is behind")
	f(ErrUnknownNode, 404, "unknown-node", "no such node")
	f(ErrOutcomeUnknown, 504, "unknown", "as if done once")
	f(context.DeadlineExceeded, 504, "unknown", "as if done once")
	f(&NotLeader{}, 409, "not-leader", "no leader is known; nothing was changed")
	f(errors.New("the disk is full"), 500, "failed", "the disk is full")
}

func TestEveryChangeIsAuditedWithoutSecrets(t *testing.T) {
	var log bytes.Buffer
	h := loggedPort(t, &log, &bank{}, three())
	w := ask(h, "POST", "/api/v1/cluster/tokens", token, `{"role":"worker","reason":"for the evening"}`)
	if !strings.Contains(w.Body.String(), "netbank_join1_secret") {
		t.Fatal(w.Body)
	}
	ask(h, "POST", "/api/v1/cluster/nodes/9/remove", token, `{"reason":"a mistake"}`)
	ask(h, "POST", "/api/v1/cluster/lead?dryRun=1", token, `{"reason":"a try"}`)
	ask(h, "POST", "/api/v1/customers/wang/unlock", token, "")
	ask(h, "POST", "/api/v1/partners", token, "")
	for _, want := range []string{
		`"verb":"token","outcome":"begun","who":"token"`, `"verb":"token","outcome":"done"`, `"reason":"for the evening"`, `"verb":"remove","outcome":"refused"`, `"reason":"a mistake"`,
		`"verb":"lead","outcome":"dry-run"`, `"verb":"unlock","outcome":"done"`, `"verb":"import","outcome":"done"`, `"node":9`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, &log)
		}
	}
	for _, secret := range []string{token, "secret"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%q stands in the log:\n%s", secret, &log)
		}
	}
}

func TestChangesAreMadeOneAfterTheOther(t *testing.T) {
	m := three()
	m.wait = make(chan struct{})
	h := clusterPort(t, &bank{}, m)
	done := make(chan int)
	asked := make(chan struct{})
	go func() {
		close(asked)
		done <- ask(h, "POST", "/api/v1/cluster/lead", token, `{"reason":"first"}`).Code
	}()
	<-asked
	// Whichever of the two is first holds the other off; it is let go once one was refused.
	go func() { done <- ask(h, "POST", "/api/v1/cluster/lead", token, `{"reason":"second"}`).Code }()
	if code := <-done; code != http.StatusServiceUnavailable {
		t.Errorf("a change beside another was answered %d", code)
	}
	close(m.wait)
	if code := <-done; code != http.StatusOK {
		t.Errorf("the first was answered %d", code)
	}
}

func TestClusterPageSaysWhatToDo(t *testing.T) {
	f := func(m *members, words ...string) {
		t.Helper()
		w := ask(clusterPort(t, &bank{}, m), "GET", "/cluster", "", "")
		for _, word := range words {
			if !strings.Contains(w.Body.String(), word) {
				t.Errorf("the page lacks %q:\n%s", word, w.Body)
			}
		}
	}
	f(three(), "Payments are getting through", "3 of 3 coordinators answer", "Node 4", "10.0.0.2:7000", "leader", "netbank 1", "2036-11-11")
	f(three().down(3), "the next loss stops payments", "<code>netbank cluster remove 3</code>", "since 2026-11-11 10:00:00 UTC")
	f(three().change(2, func(n *ClusterNode) { n.Version = "<script>" }), "&lt;script&gt;")
	w := ask(newPort(t, &bank{}), "GET", "/cluster", "", "")
	if !strings.Contains(w.Body.String(), "This node runs alone") && !strings.Contains(w.Body.String(), "Three coordinators survive") {
		t.Errorf("a node alone is told as\n%s", w.Body)
	}
}

// What the node's own checks say is what the cluster page says of it, whatever else is known.
func TestOwnReadinessOfANodeIsThatOfItsChecks(t *testing.T) {
	m := three().change(1, func(n *ClusterNode) { n.Ready = false })
	m.listed = errors.New("replica: this node is in no cluster yet")
	f := func(h http.Handler, want string) {
		t.Helper()
		var got Members
		if err := json.Unmarshal(ask(h, "GET", "/api/v1/cluster", token, "").Body.Bytes(), &got); err != nil || fmt.Sprint(got.Nodes[0].Ready, got.Nodes[0].NotReady) != want {
			t.Errorf("%v: %+v, want %s", err, got.Nodes[0], want)
		}
		if got.Well || got.Verdict != "This node cannot say who the members are: this node is in no cluster yet" {
			t.Errorf("well %v: %s", got.Well, got.Verdict)
		}
	}
	f(clusterPort(t, &bank{}, m), "true []")
	f(clusterPort(t, &bank{}, m, Check{Name: "core", Ask: func() error { return &Fault{"gone", "ask"} }}), "false [gone; ask]")
}

func TestPageStaysAsItIsUnlessAskedToChange(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		if got := ask(clusterPort(t, &bank{}, three()), "GET", path, "", "").Header().Get("Refresh"); got != want {
			t.Errorf("%s is written anew %q, want %q", path, got, want)
		}
	}
	f("/", "")
	f("/cluster", "")
	f("/?every=5", "5")
	f("/cluster?every=60", "60")
	f("/?every=0", "")
	f("/?every=3601", "")
	f("/?every=5;url=https://elsewhere.example", "")
}

func FuzzChange(f *testing.F) {
	f.Add("/api/v1/cluster/tokens", `{"role":"worker","uses":2,"lifetimeSeconds":60,"reason":"x"}`)
	f.Add("/api/v1/cluster/lead", `{"reason":"x","node":2}`)
	f.Add("/api/v1/cluster/nodes/3/remove", `{"reason":"x","force":true}`)
	f.Add("/api/v1/cluster/nodes/-1/promote", `[]`)
	f.Add("/api/v1/cluster/lead?dryRun=2", "{}{}")
	h := clusterPort(f, &bank{}, three())
	f.Fuzz(func(t *testing.T, path, body string) {
		if !strings.HasPrefix(path, "/api/v1/cluster/") || strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r > '~' || r == '%' || r == '#' }) {
			return
		}
		w := ask(h, "POST", path, token, body)
		if w.Code >= 500 {
			t.Fatalf("%s %q answered %d %s", path, body, w.Code, w.Body)
		}
	})
}

func TestARotationOfTheAuthoritySaysHowFarItIs(t *testing.T) {
	end := since.AddDate(10, 0, 0)
	f := func(a ClusterAuthority, words ...string) {
		t.Helper()
		m := assess(three().nodes, since)
		m.vouch(a, since)
		var said strings.Builder
		for _, advice := range m.Advice {
			fmt.Fprintln(&said, advice.Text, advice.Command)
		}
		for _, word := range words {
			if !strings.Contains(said.String(), word) {
				t.Errorf("%+v: lacks %q:\n%s", a, word, said.String())
			}
		}
		if len(words) == 0 && said.Len() > 0 {
			t.Errorf("%+v: %s", a, said.String())
		}
	}
	f(ClusterAuthority{})
	f(ClusterAuthority{Fingerprint: "ab", End: end})
	f(ClusterAuthority{Fingerprint: "ab", End: since.Add(AuthorityWarnFor - time.Hour)}, "rotate it. netbank cluster rotate-authority")
	f(ClusterAuthority{Fingerprint: "ab", End: end, Rotation: RotationTrust, Waiting: []journal.NodeID{2, 4}, Known: true}, "step 1 of 2", "Not yet: node 2, node 4.", "start it, or remove it")
	f(ClusterAuthority{Fingerprint: "ab", End: end, Rotation: RotationRenew, Known: true}, "step 2 of 2", "all have")
	f(ClusterAuthority{Fingerprint: "ab", End: end, Rotation: RotationRenew}, "Ask the leader")
	m := assess(three().down(3).nodes, since)
	if effect := strings.Join(m.previewRotate(), " "); !strings.Contains(effect, "Node 3 does not answer and is waited for") || !strings.Contains(effect, "no payment and no page waits") {
		t.Errorf("%s", effect)
	}
	m.Authority = &Authority{Rotation: RotationTrust}
	if effect := strings.Join(m.previewRotate(), " "); !strings.Contains(effect, "nothing changes") {
		t.Errorf("%s", effect)
	}
}

func TestAWorkerSaysWhereItsJournalIs(t *testing.T) {
	h := clusterPort(t, &bank{worker: true}, three())
	for _, path := range []string{"/api/v1/payments", "/api/v1/backup"} {
		r := httptest.NewRequest("GET", "http://127.0.0.1:9090"+path, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 404 || !strings.Contains(w.Body.String(), `"no-journal"`) || !strings.Contains(w.Body.String(), "such as node 1: --operator https://10.0.0.1:9090") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestANodeThatCannotReachTheCoreIsNamed(t *testing.T) {
	m := three().change(2, func(n *ClusterNode) { n.Core = &CoreStatus{Since: since, LastError: "connection refused"} })
	got := assess(m.nodes, since)
	if !slices.ContainsFunc(got.Advice, func(a Advice) bool { return strings.HasPrefix(a.Text, "Node 2 cannot reach the core since") }) || got.Nodes[1].Core == nil {
		t.Errorf("%+v", got.Advice)
	}
	s := Status{Ready: true, CutOff: []uint32{2, 4}, Reads: &ReadsStatus{Since: since}}
	s.judge()
	if text := strings.Join(s.Advice, " "); !strings.Contains(text, "node 2, node 4 cannot reach the core") || !strings.Contains(text, "can ask no coordinator since") {
		t.Errorf("%s", text)
	}
}

// What a node does not know is not shown as nothing.
func TestPageOfAWorkerShowsNoGateAndNoJournal(t *testing.T) {
	f := func(role string, want string, never ...string) {
		t.Helper()
		b := &bank{}
		b.status.Role, b.status.Core.Reachable = role, true
		r := httptest.NewRequest("GET", "http://127.0.0.1:9090/", nil)
		w := httptest.NewRecorder()
		clusterPort(t, b, three()).ServeHTTP(w, r)
		if w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: lacks %q:\n%s", role, want, w.Body)
		}
		for _, word := range never {
			if strings.Contains(w.Body.String(), word) {
				t.Errorf("%s: shows %q:\n%s", role, word, w.Body)
			}
		}
	}
	f("leader", "Seats taken")
	f("follower", "Payments not yet final", "Seats taken", "Inside")
	f("worker", "keeps no journal", "Seats taken", "Payments not yet final", "stamped", "term")
}
