package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netbank/frontend/ops"
)

// draining answers as a node's port, whose cluster is one step further with each question.
func draining(t *testing.T, steps ...ops.Members) (url, token string) {
	t.Helper()
	at := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_ = json.NewEncoder(w).Encode(ops.Change{Verb: "drain", DryRun: r.URL.Query().Has("dryRun"), Effect: []string{"No customers are sent to node 4."}})
			return
		}
		_ = json.NewEncoder(w).Encode(steps[at])
		at = min(at+1, len(steps)-1)
	}))
	t.Cleanup(server.Close)
	token = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return server.URL, token
}

func TestADrainThatWaitsReturnsWhenNobodyIsLeft(t *testing.T) {
	as := func(change func(m *ops.Members, n *ops.Node)) ops.Members {
		m := threeNodes()
		change(&m, &m.Nodes[2])
		return m
	}
	left := func(n int64) ops.Members {
		return as(func(_ *ops.Members, of *ops.Node) { of.State, of.Left = ops.NodeUp, &n })
	}
	unknown := as(func(_ *ops.Members, of *ops.Node) { of.State = ops.NodeUp })
	f := func(code int, words, said string, wait string, steps ...ops.Members) string {
		t.Helper()
		url, token := draining(t, steps...)
		got, out, complaint := try("", false, "node", "drain", "4", "--reason=x", "--yes", "--wait="+wait, "--operator="+url, "--operator-token-file="+token)
		if got != code || !strings.Contains(out, words) || !strings.Contains(complaint, said) {
			t.Errorf("%d, want %d\n%s\n%s", got, code, out, complaint)
		}
		return out
	}
	out := f(0, "nobody is left at node 4", "", "1m", unknown, left(2), left(2), left(0))
	if strings.Count(out, "2 are left") != 1 || !strings.HasSuffix(out, "Done.\n") {
		t.Error(out)
	}
	f(0, "nobody is left at node 4", "", "1m", threeNodes()) // it does not run
	f(75, "1 are left", "somebody is still left at node 4 after 1ms", "1ms", left(1))
	f(75, "", "ask node 3 with --operator http://10.0.0.3:9090", "1m", as(func(m *ops.Members, of *ops.Node) {
		m.Leader, of.State = 3, ops.NodeUnknown
		m.Nodes[0].Leader, m.Nodes[1].Leader, m.Nodes[1].Operator = false, true, "http://10.0.0.3:9090"
	}))
	f(64, "", "--wait is -1s", "-1s", left(0))

	url, token := draining(t, left(1), left(0))
	code, text, _ := try("", false, "node", "drain", "4", "--reason=x", "--yes", "--json", "--wait=1m", "--operator="+url, "--operator-token-file="+token)
	var c ops.Change
	if err := json.Unmarshal([]byte(text), &c); code != 0 || err != nil || c.Verb != "drain" {
		t.Errorf("%d %v\n%s", code, err, text)
	}
}
