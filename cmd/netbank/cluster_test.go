package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netbank/frontend/ops"
)

const secret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// node answers as an operator's port does, and remembers what it was asked.
type node struct {
	*httptest.Server
	asked  []string
	bodies []string
	status int
	answer any
}

func newNode(t *testing.T, status int, answer any) *node {
	n := &node{status: status, answer: answer}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		n.asked, n.bodies = append(n.asked, r.Method+" "+r.URL.String()), append(n.bodies, string(body))
		if r.Header.Get("Authorization") != "Bearer "+secret {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"code":"unauthorized","detail":"this call needs the operator's token","remedy":"send it"}`)
			return
		}
		out := n.answer
		if r.URL.Query().Has("dryRun") {
			out = ops.Change{Verb: "x", DryRun: true, Effect: []string{"Something happens."}}
			w.WriteHeader(http.StatusOK)
		} else {
			w.WriteHeader(n.status)
		}
		_ = json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(n.Close)
	return n
}

// try runs the program against the node.
func (n *node) try(t *testing.T, in string, person bool, args ...string) (code int, out, said string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return try(in, person, append(args, "--operator="+n.URL, "--operator-token-file="+file)...)
}

func try(in string, person bool, args ...string) (code int, out, said string) {
	var o, e bytes.Buffer
	code = run(args, &terminal{in: strings.NewReader(in), out: &o, err: &e, person: person})
	return code, o.String(), e.String()
}

func number(n uint64) *uint64 { return &n }

func threeNodes() ops.Members {
	return ops.Members{
		Cluster: "bank", Self: 1, Leader: 1, Well: true, Verdict: "3 of 3 coordinators answer", Voters: 3, Majority: 2, VotersUp: 3,
		Advice: []ops.Advice{{Text: "Node 4 gets no customers", Command: "netbank cluster remove 4"}},
		Nodes: []ops.Node{
			{Node: 1, Role: "coordinator", Voter: true, Leader: true, Self: true, State: "up", Ready: true, Applied: number(77), Lag: number(0), Address: "10.0.0.1:7000", Version: "netbank 1"},
			{Node: 3, Role: "coordinator", State: "up"},
			{Node: 4, Role: "worker", State: "down", NotReady: []string{"no stream"}},
		},
	}
}

func TestStatusExitsWith0OnlyWhenTheNodeIsReady(t *testing.T) {
	m := threeNodes()
	v := ops.Status{Ready: true, Verdict: "Payments are getting through", Node: 1, Role: "leader", Checks: []ops.Checked{{Name: "core", OK: true}}, Cluster: &m}
	code, out, said := newNode(t, 200, v).try(t, "", false, "status")
	if code != 0 || !strings.HasPrefix(out, "Payments are getting through.\n") || !strings.Contains(out, "[+] core") || !strings.Contains(out, "3 of 3 coordinators answer") || said != "" {
		t.Errorf("%d\n%s\n%s", code, out, said)
	}
	if lines := strings.Count(out, "\n"); lines > 24 {
		t.Errorf("%d lines are more than a screen:\n%s", lines, out)
	}
	v.Ready, v.Verdict, v.Advice, v.Checks[0] = false, "Payments are not getting through", []string{"the core is gone; ask them"}, ops.Checked{Name: "core", What: "gone"}
	code, out, said = newNode(t, 200, v).try(t, "", false, "status")
	if code != 75 || !strings.Contains(out, "! the core is gone; ask them") || !strings.Contains(out, "[-] core") || said != "netbank: the node is not ready for customers\n" {
		t.Errorf("%d\n%s\n%s", code, out, said)
	}
	code, out, _ = newNode(t, 200, v).try(t, "", false, "status", "--json")
	var back ops.Status
	if err := json.Unmarshal([]byte(out), &back); err != nil || code != 75 || back.Verdict != v.Verdict {
		t.Errorf("%d %v %s", code, err, out)
	}
}

func TestOperatorCommandsSayWhyTheyCannotReachTheNode(t *testing.T) {
	f := func(code int, word string, args ...string) {
		t.Helper()
		if got, _, said := try("", false, args...); got != code || !strings.Contains(said, word) {
			t.Errorf("%q: %d %s, want %d %q", args, got, said, code, word)
		}
	}
	gone := newNode(t, 200, nil)
	gone.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	token := "--operator-token-file=" + file
	f(69, "does not answer", "status", "--operator="+gone.URL, token)
	f(64, "in clear", "status", "--operator=http://10.0.0.1:9090", token)
	f(64, "--operator-ca, --operator-cert and --operator-key", "status", "--operator=https://10.0.0.1:9090", token)
	f(64, "begins with http", "status", "--operator=ftp://localhost", token)
	f(64, "write http", "status", "--operator=localhost", token)
	f(64, "--operator-token-file is missing", "status")
	f(64, "--operator-ca", "status", "--operator=https://h", "--operator-ca="+file, "--operator-cert="+file, "--operator-key="+file)
	f(77, "operator's token; send it", "status", "--operator="+newNode(t, 200, nil).URL, "--operator-token-file="+longer(t, file))
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	f(64, "chmod 600", "status", token)
	for status, want := range map[int]int{503: 75, 504: 75, 409: 1, 500: 1, 404: 1, 403: 77} {
		code, _, said := newNode(t, status, map[string]string{"code": "x", "detail": "so it is", "remedy": "do that"}).try(t, "", false, "cluster", "status")
		if code != want || said != "netbank: so it is; do that\n" {
			t.Errorf("%d became %d %q", status, code, said)
		}
	}
	if code, _, said := newNode(t, 409, map[string]string{"code": "not-leader", "detail": "only the leader", "remedy": "ask with --operator x"}).try(t, "", false, "cluster", "lead", "--yes", "--reason=r"); code != 75 || !strings.Contains(said, "ask with --operator x") {
		t.Errorf("%d %s", code, said)
	}
	// Where another node leads, the whole command is told. It is not run there by itself.
	named := map[string]any{"code": "not-leader", "detail": "only the leader", "remedy": "ask with --operator x", "leader": 2, "operator": "https://b:9090"}
	if code, _, said := newNode(t, 409, named).try(t, "", false, "cluster", "remove", "3", "--yes", "--reason=it's gone"); code != 75 ||
		!strings.Contains(said, "only the leader; ask node 2 with --operator https://b:9090\nRun:\n  netbank cluster remove 3 --yes '--reason=it'\\''s gone' ") || !strings.HasSuffix(said, " --operator https://b:9090\n") {
		t.Errorf("%d %s", code, said)
	}
	named["operator"] = "http://127.0.0.1:9090"
	if _, _, said := newNode(t, 409, named).try(t, "", false, "cluster", "lead", "--yes", "--reason=r"); !strings.Contains(said, "\nRun on the machine of node 2:\n") {
		t.Errorf("%s", said)
	}
	// The token must not go elsewhere.
	other := newNode(t, 200, ops.Status{Ready: true})
	leads := httptest.NewServer(http.RedirectHandler(other.URL+"/api/v1/status", http.StatusTemporaryRedirect))
	t.Cleanup(leads.Close)
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	f(1, "answered 307", "status", "--operator="+leads.URL, token)
	if len(other.asked) > 0 {
		t.Errorf("a redirect was followed: %q", other.asked)
	}
}

func longer(t *testing.T, file string) string {
	t.Helper()
	other := file + "-other"
	if err := os.WriteFile(other, []byte(secret+"0"), 0o600); err != nil {
		t.Fatal(err)
	}
	return other
}

func TestClusterStatusListsTheNodes(t *testing.T) {
	m := threeNodes()
	code, out, _ := newNode(t, 200, m).try(t, "", false, "cluster", "status")
	for _, want := range []string{"3 of 3 coordinators answer.", "! Node 4 gets no customers\n    netbank cluster remove 4", "1*", "leader", "77", "coordinator (no vote)", "down", "10.0.0.1:7000"} {
		if !strings.Contains(out, want) {
			t.Errorf("lacks %q:\n%s", want, out)
		}
	}
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	m.Well = false
	if code, _, _ := newNode(t, 200, m).try(t, "", false, "cluster", "status"); code != 75 {
		t.Errorf("exit code %d of a cluster that is not well", code)
	}
}

func TestChangeShowsItsEffectAndAsksBeforeItIsMade(t *testing.T) {
	f := func(in string, person bool, wantCode, wantCalls int, word string, flags ...string) {
		t.Helper()
		n := newNode(t, 200, ops.Change{Verb: "remove", Effect: []string{"Something happens."}})
		code, out, said := n.try(t, in, person, append([]string{"cluster", "remove", "3", "--reason=its disk is gone"}, flags...)...)
		if code != wantCode || len(n.asked) != wantCalls || !strings.Contains(out+said, word) {
			t.Errorf("%q %q: %d after %q\n%s%s", in, flags, code, n.asked, out, said)
		}
		if wantCalls > 0 && (n.asked[0] != "POST /api/v1/cluster/nodes/3/remove?dryRun=1" || !strings.Contains(n.bodies[0], `"reason":"its disk is gone"`)) {
			t.Errorf("asked first %q with %s", n.asked[0], n.bodies[0])
		}
	}
	f("y\n", true, 0, 2, "Something happens.\nGo on? [y/N] ")
	f("y\n", true, 0, 2, "Done.")
	f("yes", true, 0, 2, "Done.")
	f("n\n", true, 1, 1, "nothing was changed")
	f("", true, 1, 1, "nothing was changed")
	f("y\n", false, 64, 1, "add --yes")
	f("", false, 0, 2, "Something happens.\nDone.", "--yes")
	f("", false, 0, 1, "Something happens.\nNothing was changed.", "--dry-run")
	f("", false, 0, 1, `"dryRun":true`, "--dry-run", "--json")
	f("", false, 0, 2, `"effect":["Something happens."]`, "--yes", "--json")
	for verb, body := range map[string]string{"drain": `{"force":true,"reason":"r"}`, "undrain": `{"reason":"r"}`} {
		args := []string{"node", verb, "3", "--yes", "--reason=r"}
		if verb == "drain" {
			args = append(args, "--force")
		}
		n := newNode(t, 200, ops.Change{Verb: verb})
		if code, _, said := n.try(t, "", false, args...); code != 0 || n.asked[len(n.asked)-1] != "POST /api/v1/cluster/nodes/3/"+verb || n.bodies[len(n.bodies)-1] != body {
			t.Errorf("%s: %d %q %q %s", verb, code, n.asked, n.bodies, said)
		}
	}
	if code, _, said := try("", false, "cluster", "remove", "3"); code != 64 || !strings.Contains(said, "--reason") {
		t.Errorf("without a reason: %d %s", code, said)
	}
}

func TestTokenGoesIntoAFileOfItsOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "join.token")
	answer := ops.Change{Verb: "token", Effect: []string{}, Token: "netbank_join1_x"}
	args := []string{"cluster", "token", "--role=worker", "--uses=2", "--for=2h", "--reason=r"}
	n := newNode(t, 200, answer)
	code, printed, said := n.try(t, "", false, append(args, "--yes", "--json", "--out="+out)...)
	text, err := os.ReadFile(out)
	info, _ := os.Stat(out)
	if code != 0 || err != nil || string(text) != "netbank_join1_x\n" || info.Mode().Perm() != 0o600 {
		t.Errorf("%d %v %q %s", code, err, text, said)
	}
	if strings.Contains(printed+said, "netbank_join1_x") {
		t.Errorf("the token was printed: %s%s", printed, said)
	}
	if !strings.Contains(n.bodies[1], `"uses":2,"lifetimeSeconds":7200`) {
		t.Errorf("asked with %s", n.bodies[1])
	}
	f := func(code, status int, wantOut, word string, flags ...string) {
		t.Helper()
		got, printed, said := newNode(t, status, answer).try(t, "", false, append(args, flags...)...)
		if got != code || printed != wantOut || !strings.Contains(said, word) {
			t.Errorf("%q: %d %q %s", flags, got, printed, said)
		}
	}
	f(64, 200, "", "exists", "--yes", "--out="+out) // is never overwritten
	f(0, 200, "netbank_join1_x\n", "Done.", "--yes", "--out=-")
	f(64, 200, "", "name a file", "--yes", "--json", "--out=-")
	f(64, 200, "", "whole seconds", "--yes", "--out=-", "--for=1500ms")
	other := filepath.Join(dir, "other")
	f(1, 500, "", "answered 500", "--yes", "--out="+other)
	f(64, 200, "", "--yes", "--out="+other)
	f(0, 200, "Something happens.\nNothing was changed.\n", "", "--dry-run", "--out="+other)
	if _, err := os.Stat(other); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was left behind: %v", err)
	}
}

func TestHelpBeginsWithExamples(t *testing.T) {
	type helper interface{ Help() string }
	for _, c := range []helper{&status{}, &clusterVerb{}, &clusterStatus{}, &clusterToken{}, &clusterRemove{}, &clusterPromote{}, &clusterLead{}, &clusterRotate{}, &policyVerb{}, backup{}, restore{}} {
		if !strings.HasPrefix(c.Help(), "Examples:\n  netbank ") {
			t.Errorf("%T: %s", c, c.Help())
		}
	}
}

// What is asked for is a number that everybody sees, never a difference: who repeats the command repeats its fence.
func TestScaleAsksForANumberUnderTheFenceThatWasSeen(t *testing.T) {
	now := ops.Scale{Node: 1, Leader: 1, Leading: true, Workers: ops.Lever{Fence: 7, Wished: true, Value: 4, Base: 2}, Level: ops.Lever{Fence: 3}}
	f := func(code int, body string, args ...string) {
		t.Helper()
		n := newNode(t, 200, now)
		got, _, said := n.try(t, "", false, append(append([]string{"scale"}, args...), "--yes", "--reason=r")...)
		last := ""
		if len(n.bodies) > 0 {
			last = n.bodies[len(n.bodies)-1]
		}
		if got != code || last != body {
			t.Errorf("%q: %d, %q, want %d, %q: %s", args, got, last, code, body, said)
		}
	}
	f(0, `{"fence":7,"value":7,"forSeconds":7200,"reason":"r"}`, "out", "3", "--for=2h", "--wait=0s")
	f(0, `{"fence":7,"value":5,"forSeconds":0,"reason":"r"}`, "out", "--to=5", "--wait=0s")
	f(0, `{"fence":7,"value":2,"forSeconds":0,"reason":"r"}`, "in", "--wait=0s")
	f(0, `{"fence":7,"value":3,"forSeconds":0,"reason":"r"}`, "in", "1", "--wait=0s")
	f(0, `{"fence":3,"value":1,"forSeconds":60,"reason":"r"}`, "level", "reserve", "--for=1m")
	f(64, "", "out")
	f(64, "", "out", "3", "--to=5")
	f(64, "", "out", "--to=3")
	f(64, "", "in", "5")
	f(64, "", "in", "2", "--to=1")
	f(64, "", "out", "3", "--for=1500ms")
	f(64, "", "level", "wide")
}

// What is not named of a policy stays as it is.
func TestPolicySetSendsTheWholeUnderTheVersionThatWasSeen(t *testing.T) {
	now := ops.Policy{
		Version: 4, Shares: map[string]float64{"resolve": 0, "confirm": 0, "express": .1, "sign-in": .05, "inquiry": 0}, Weights: map[string]float64{"7": 3}, Seats: 64, SeatsMax: 96,
		Closed: []string{"inquiry"},
	}
	f := func(code int, body string, args ...string) {
		t.Helper()
		n := newNode(t, 200, now)
		got, _, said := n.try(t, "", false, append(append([]string{"policy", "set"}, args...), "--yes", "--reason=r")...)
		last := ""
		if len(n.bodies) > 0 {
			last = n.bodies[len(n.bodies)-1]
		}
		if got != code || last != body {
			t.Errorf("%q: %d, %q, want %d, %q: %s", args, got, last, code, body, said)
		}
	}
	const shares = `"shares":{"confirm":0,"express":0.1,"inquiry":0,"resolve":0,"sign-in":0.05}`
	f(0, `{"fence":4,"shares":{"confirm":0,"express":0.2,"inquiry":0,"resolve":0,"sign-in":0.05},"weights":{"7":3},"seats":64,"closed":["inquiry"],"reason":"r"}`, "--share=express=0.2")
	f(0, `{"fence":4,`+shares+`,"weights":{"7":1,"9":0.5},"seats":48,"closed":["inquiry"],"reason":"r"}`, "--weight=7=1", "--weight=9=0.5", "--seats=48")
	f(0, `{"fence":4,`+shares+`,"weights":{"7":3},"seats":64,"closed":["sign-in"],"reason":"r"}`, "--close=sign-in", "--open=inquiry")
	f(64, "", "--share=express")
	f(64, "", "--weight=7=much")
	f(64, "", "--open=vip")
	f(64, "", "--close=inquiry", "--open=inquiry")
	f(64, "")
	code, out, _ := newNode(t, 200, now).try(t, "", false, "policy", "show")
	for _, want := range []string{"at most 64 calls", "express   10.0 %", "guaranteed, closed", "partner   7        weight 3"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%d, lacks %q:\n%s", code, want, out)
		}
	}
}

func TestStatusPrintsWhereTheLineStands(t *testing.T) {
	carried := 2.75
	at := time.Date(2010, 11, 11, 2, 0, 0, 0, time.UTC)
	v := ops.Status{Ready: true, Verdict: "Payments are getting through", Role: "leader", Line: &ops.LineStatus{Closed: true, Waiting: 1042, Watermark: &at, PerSecond: 2.5, Carried: &carried, Waits: ops.Waits{Inside: 9, Later: 1}}}
	code, out, _ := newNode(t, 200, v).try(t, "", false, "status")
	for _, want := range []string{"line      1042 wait, 2.5 a second are called, as far as who came before 2010-11-11T02:00:00Z; 2.75 customers a second can be carried", "9 of 10 waits were within the range shown (0 shorter, 1 longer)"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%d, lacks %q:\n%s", code, want, out)
		}
	}
}
